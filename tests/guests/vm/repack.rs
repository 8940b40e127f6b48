//! Promise: repacked modules load in real kernels exactly as predicted, also in a kernel that enforces signatures.
//!
//! Each kernel is booted twice with `module.sig_enforce=1`: with a built-in certificate replaced by ours (`trusting`), and as
//! Debian built it. Modules from all parts of its tree are repacked and signed (`repackings`), or not signed, and loaded, each
//! in its own clone: compressed where the kernel decompresses, otherwise as kmod would pass them to the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use kmodlab::kernel::files::{self, KernelFiles};
use kmodlab::kernel::{Fact, Kernel, Policy, TreeModule};
use kmodlab::lab::agreement;
use kmodlab::lab::guest::{Guest, GuestContents, GuestSettings};
use kmodlab::lab::record::{Agreement, Observed, TrialPrediction};
use kmodlab::lab::wire::TrialOrder;
use kmodlab::module::Module;
use kmodlab::module::container::Container;
use kmodlab::patch::sign::Signer;
use kmodlab::predict::{Candidate, Decision, LoadOptions, predict, taint_letters};

use crate::support::facts::Facts;
use crate::vm::kernels::{X86_64, chosen, files_of};
use crate::vm::repackings::{Expected, Repacked, repacked};
use crate::vm::tally::of_the_loader;
use crate::vm::trusting::Trusting;
use crate::vm::{alone, settings};

/// The kernel that is left out: 6.1 cloud has the same code for checking signatures.
const LEFT_OUT: &str = "amd64-6.1-rt";

/// How many modules of each kernel are repacked and signed: enough for each repacking twice, or with `KMODLAB_REPACK=all` six
/// times.
fn how_many() -> usize {
    if std::env::var_os("KMODLAB_REPACK").is_some() { 54 } else { 18 }
}

/// How many modules there are for each other kind of refusal.
const REFUSED: usize = 3;

/// The command line of the kernels.
const COMMAND_LINE: &str = "module.sig_enforce=1";

/// MODULE_INIT_COMPRESSED_FILE (include/uapi/linux/module.h).
const COMPRESSED: u32 = 4;

/// How many other modules a module may need.
const MOST_NEEDED: usize = 1;

/// Folders of a module tree whose modules only register themselves if their hardware is missing.
const FOLDERS: [&str; 6] =
    ["/kernel/crypto/", "/kernel/drivers/", "/kernel/fs/", "/kernel/lib/", "/kernel/net/", "/kernel/sound/"];

/// Words in the names of modules that do harm or take time, and the name of one that others need for their digest.
const UNWELCOME: [&str; 7] = ["test", "torture", "lkdtm", "bench", "watchdog", "wdt", "sha512"];

const EKEYREJECTED: i32 = 129;
const UNSIGNED: Expected = Expected::Refused(EKEYREJECTED, Some("Loading of unsigned module is rejected"));
const NO_KEY: Expected = Expected::Refused(EKEYREJECTED, Some("Loading of module with unavailable key is rejected"));
const CHANGED: Expected = Expected::Refused(EKEYREJECTED, None);

#[test]
#[ignore = "needs QEMU, openssl and fetched kernels: tests/run runs it"]
fn repacked_modules_load_as_predicted() {
    let _alone = alone();
    let unknown = unknown_signer();
    for name in chosen().into_iter().filter(|name| *name != LEFT_OUT) {
        let begun = Instant::now();
        let facts = Facts::of(name);
        let trusting = Trusting::new(name);
        let names = picked(&trusting.kernel);
        let needed = needed(&trusting.kernel, &names);
        let text = |names: &BTreeSet<String>| files_of(name, &names.iter().map(String::as_str).collect::<Vec<_>>());
        let stage = Stage {
            unpacks: facts.unpacks() == Some("xz"),
            forces: facts.is_set("MODULE_FORCE_LOAD"),
            files: text(&names.iter().cloned().collect()),
            needed: text(&needed),
            trusting,
            names,
            unknown: &unknown,
        };
        let counts = [stage.on_a_kernel_that_trusts_us(), stage.on_a_kernel_that_trusts_nobody_of_ours()];
        let [trusted, untrusted] = counts;
        println!(
            "{name}: {} modules repacked and signed: {} accepted, {} refused, all as predicted; {} grown, {} loaded \
             compressed; {} others, and {} where nobody trusts the key, as predicted; disagree 0; {:.0?}",
            how_many(),
            trusted.accepted,
            how_many() - trusted.accepted,
            trusted.grown,
            trusted.compressed,
            trusted.all - how_many(),
            untrusted.all,
            begun.elapsed()
        );
        assert!(trusted.grown >= how_many() / 2, "{} grew", trusted.grown);
        assert_eq!(trusted.compressed > 0, stage.unpacks);
    }
}

/// A signer that no kernel trusts.
fn unknown_signer() -> Signer {
    let folder = tempfile::tempdir().unwrap();
    let words = "req -new -x509 -newkey rsa:2048 -nodes -keyout key -out crt -subj /CN=unknown";
    let output = Command::new("openssl").args(words.split(' ')).current_dir(folder.path()).output();
    let output = output.expect("openssl: tests/run installs what the tests need");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    Signer::from_pem(&read("key"), &read("crt")).unwrap()
}

/// Modules that need few others, from all parts of the tree.
fn picked(kernel: &Kernel) -> Vec<String> {
    let tree = &kernel.facts.tree.as_ref().unwrap().value;
    let file = |module: &TreeModule| format!("/{}", module.file.display());
    // A driver that others need may require its hardware.
    let drivers: BTreeSet<&str> = tree
        .modules
        .iter()
        .filter(|module| file(module).contains("/kernel/drivers/"))
        .map(|module| module.name.as_str())
        .collect();
    let mut found: Vec<(String, String)> = Vec::new();
    for module in &tree.modules {
        let needs = tree.in_load_order(std::slice::from_ref(&module.name));
        let mut others = needs.iter().filter(|needed| **needed != module.name);
        let is_welcome = FOLDERS.iter().any(|folder| file(module).contains(folder))
            && !UNWELCOME.iter().any(|word| module.name.contains(word))
            && needs.len() <= MOST_NEEDED + 1
            && !others.any(|needed| drivers.contains(needed.as_str()));
        if is_welcome {
            found.push((file(module), module.name.clone()));
        }
    }
    found.sort();
    assert!(found.len() >= how_many(), "only {} modules to choose from", found.len());
    (0..how_many()).map(|number| found[number * found.len() / how_many()].1.clone()).collect()
}

/// The modules that must be loaded before these, and those that provide the longer digests if they are not built in.
fn needed(kernel: &Kernel, names: &[String]) -> BTreeSet<String> {
    let of_one = |name: &String| {
        let mut all = files::with_dependencies(kernel, std::slice::from_ref(name));
        all.retain(|needed| needed != name);
        all
    };
    let mut all: BTreeSet<String> = names.iter().flat_map(of_one).collect();
    let tree = &kernel.facts.tree.as_ref().unwrap().value;
    all.extend(tree.modules.iter().map(|module| module.name.clone()).filter(|name| name == "sha512_generic"));
    all
}

/// A kernel, and the modules that it loads.
struct Stage<'s> {
    trusting: Trusting,
    names: Vec<String>,
    /// The modules as Debian built and signed them.
    files: KernelFiles,
    /// The modules that they need.
    needed: KernelFiles,
    unknown: &'s Signer,
    /// Does it decompress xz?
    unpacks: bool,
    /// Can a module be forced?
    forces: bool,
}

impl Stage<'_> {
    fn original(&self, name: &str) -> &[u8] {
        &self.files.modules[name].bytes
    }

    fn repacked(&self, number: usize, name: &str) -> Repacked {
        repacked(number, name, self.original(name), &self.trusting.kernel, self.forces, &self.trusting.signer)
    }

    /// All are repacked and signed by us; several others are not signed by us, or were changed afterwards.
    fn on_a_kernel_that_trusts_us(&self) -> Counts {
        let signer = &self.trusting.signer;
        let mut cases: Vec<Repacked> =
            self.names.iter().enumerate().map(|(number, name)| self.repacked(number, name)).collect();
        for name in self.names.iter().take(REFUSED) {
            let image = image_of(self.original(name));
            let mut changed = [image, &signer.trailer(image).unwrap()].concat();
            let at = memchr::memmem::find(&changed, b"vermagic=").unwrap() + 9;
            changed[at] ^= 1;
            let unknown = [image, &self.unknown.trailer(image).unwrap()].concat();
            for (what, inside, expected) in [
                ("unsigned", image.to_vec(), UNSIGNED),
                ("signed by an unknown key", unknown, NO_KEY),
                ("signed by us and changed since", changed, CHANGED),
                ("signed by who was trusted before", self.original(name).to_vec(), NO_KEY),
            ] {
                cases.push(Repacked { expected, ..as_it_is(what, name, inside) });
            }
        }
        let signed = |bytes: &[u8]| [image_of(bytes), &signer.trailer(image_of(bytes)).unwrap()].concat();
        let needed = self.needed.modules.iter().map(|(name, file)| (name.clone(), signed(&file.bytes))).collect();
        self.ask("trusts us", &self.trusting.kernel, &self.trusting.image, &needed, &cases)
    }

    /// Debian's own image does not trust the same signatures.
    fn on_a_kernel_that_trusts_nobody_of_ours(&self) -> Counts {
        let mut kernel = self.trusting.kernel.clone();
        kernel.facts.keys.as_mut().unwrap().value = self.trusting.keys_before.clone();
        let mut cases = Vec::new();
        for (number, name) in self.names.iter().enumerate().take(4 * REFUSED) {
            cases.push(Repacked { expected: NO_KEY, ..self.repacked(number, name) });
        }
        for name in self.names.iter().take(REFUSED) {
            cases.push(as_it_is("as Debian signed it", name, self.original(name).to_vec()));
        }
        let needed = self.needed.modules.iter().map(|(name, file)| (name.clone(), file.bytes.clone())).collect();
        self.ask("trusts Debian", &kernel, &self.trusting.image_before, &needed, &cases)
    }

    /// Predicts and loads all of them, and fails if the result of one is not the predicted or the expected one.
    fn ask(
        &self,
        title: &str,
        kernel: &Kernel,
        image: &[u8],
        needed: &BTreeMap<String, Vec<u8>>,
        cases: &[Repacked],
    ) -> Counts {
        let mut kernel = kernel.clone();
        let policy = Policy { sig_enforce: Some(true), ..Policy::default() };
        kernel.facts.policy = Some(Fact { value: policy, source: "the guest's command line".into() });
        let release = &kernel.facts.release.as_ref().unwrap().value;
        let is_packed = |case: &Repacked| self.unpacks && Container::of(&case.file) == Container::Xz;
        let own = cases.iter().enumerate().map(|(number, case)| {
            (format!("m/{number}"), if is_packed(case) { case.file.as_slice() } else { case.inside.as_slice() })
        });
        let others = needed.iter().map(|(name, bytes)| (format!("k/{name}.ko"), bytes.as_slice()));
        let files: Vec<(String, &[u8])> = own.chain(others).collect();
        let settings = GuestSettings { command_line: COMMAND_LINE.to_owned(), ..settings() };
        let guest = Guest::boot(&GuestContents { machine: X86_64, image, files: &files }, &settings).unwrap();
        assert_eq!(guest.release, *release);

        let next = AtomicUsize::new(0);
        let outcome = Mutex::new((BTreeMap::<(&str, &str), usize>::new(), Counts::default(), String::new()));
        let work = || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(case) = cases.get(number) else { return };
                let module = Module::read(&case.inside).ok();
                let subject = Candidate { bytes: &case.inside, module: module.as_ref(), packing: None };
                let prediction = TrialPrediction::of(&predict(&subject, &kernel, &LoadOptions::default()));
                let before = prediction.needs.iter().map(|name| {
                    assert!(needed.contains_key(name), "{}: {name} is needed, and was not foreseen", case.name);
                    format!("k/{name}.ko")
                });
                let order = TrialOrder {
                    trial: number as u32,
                    name: case.name.clone(),
                    file: format!("m/{number}"),
                    flags: if is_packed(case) { COMPRESSED } else { 0 },
                    before: before.collect(),
                    ..TrialOrder::default()
                };
                let seen = guest.run(&order);
                let wrong = judged(case, &prediction, &seen);
                let mut outcome = outcome.lock().unwrap();
                let (rows, counts, text) = &mut *outcome;
                counts.all += 1;
                counts.accepted += usize::from(seen.accepted);
                counts.grown += usize::from(case.grew);
                counts.compressed += usize::from(is_packed(case));
                *rows.entry((case.what, if seen.accepted { "accepted" } else { "refused" })).or_default() += 1;
                if let Some(why) = wrong {
                    let _ = writeln!(text, "{release}, {title}: {}, {}: {why}", case.name, case.what);
                }
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(work);
            work();
        });
        let (rows, counts, wrong) = outcome.into_inner().unwrap();
        for ((what, answer), count) in &rows {
            println!("{release}, {title}: {count:>3} {what}: {answer}");
        }
        assert_eq!(counts.all, cases.len());
        assert!(wrong.is_empty(), "{wrong}");
        counts
    }
}

/// The number of modules by result.
#[derive(Clone, Copy, Default)]
struct Counts {
    all: usize,
    accepted: usize,
    grown: usize,
    compressed: usize,
}

/// A module that is loaded unchanged.
fn as_it_is(what: &'static str, name: &str, inside: Vec<u8>) -> Repacked {
    let (name, file) = (name.to_owned(), inside.clone());
    Repacked { what, name, file, inside, grew: false, expected: Expected::Clean }
}

/// A module's bytes without the trailer.
fn image_of(bytes: &[u8]) -> &[u8] {
    &bytes[..Module::read(bytes).unwrap().image_len()]
}

/// Why the result is not the predicted one, or not the expected one.
fn judged(case: &Repacked, prediction: &TrialPrediction, seen: &Observed) -> Option<String> {
    let (agreement, why) = agreement::compare(seen, prediction);
    if agreement != Agreement::Agree {
        return Some(format!("{agreement:?}: {why}\n  {:?} {:?}\n  {seen:?}", prediction.verdict, prediction.dmesg));
    }
    let taint = of_the_loader(&taint_letters(seen.taint_after & !seen.taint_before));
    let predicted = of_the_loader(prediction.taint.as_deref().unwrap_or_default());
    if taint != predicted {
        return Some(format!("taint {taint:?}, {predicted:?} was predicted"));
    }
    let first = agreement::loader_lines(seen).first().copied();
    let is_as_expected = match case.expected {
        Expected::Clean => prediction.verdict == Decision::Accepted && seen.accepted && taint.is_empty(),
        Expected::Forced => prediction.verdict == Decision::Accepted && seen.accepted && taint == "F",
        Expected::Refused(errno, words) => {
            let is_said = match (first, words) {
                (Some(first), Some(words)) => first.contains(words),
                (first, words) => first.is_none() && words.is_none(),
            };
            prediction.verdict == Decision::Refused && seen.errno == Some(errno) && is_said
        }
    };
    (!is_as_expected).then(|| format!("{:?} must come out of it: {seen:?}", case.expected))
}
