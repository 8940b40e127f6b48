//! Promise: the result of loading a compressed module file is predicted for each loader: the kernel's own decompressor, and the
//! insmod of kmod 30 and of kmod 34.
//!
//! Modules signed by the kernel's builder are compressed in each possible form (`packing`). One guest per kernel loads all of
//! them. `KMODLAB_CONTAINERS=all` tests 3 kernels with 330 files each; otherwise one kernel with 66 files.

use std::collections::BTreeMap;
use std::time::Instant;

use kmodlab::kernel;
use kmodlab::module::Module;
use kmodlab::module::container::{Container, Packing};
use kmodlab::predict::{Candidate, Decision, Force, LoadOptions, Loader, LoaderStep, StepResult, predict};

use crate::support::fetched::LOOKUP;
use crate::vm::insmod::{By, Trial, compare, load};
use crate::vm::kernels::{deb, files_of};
use crate::vm::{alone, packing};

/// Modules that print nothing themselves when they are loaded.
const MODULES: [&str; 5] = ["dummy", "llc", "nls_utf8", "ts_kmp", "lz4hc_compress"];

/// A kernel that does not decompress modules, and two that decompress xz; only the second has a configuration in its package.
const KERNELS: [&str; 3] = ["amd64-6.1-cloud", "amd64-6.12", "amd64-7.2"];

fn is_all() -> bool {
    std::env::var("KMODLAB_CONTAINERS").is_ok_and(|what| what == "all")
}

/// The way to load a file, and the matching options of the prediction.
fn loaders(is_plain: bool) -> [(By, Loader, Force); 6] {
    let flag = if is_plain { 0 } else { 4 };
    [
        (By::Flags(flag), Loader::Kernel, Force::None),
        (By::Kmod30, Loader::Kmod30, Force::None),
        (By::Kmod34, Loader::Kmod34, Force::None),
        (By::Flags(flag | 3), Loader::Kernel, Force::Both),
        (By::ForcedKmod30, Loader::Kmod30, Force::Both),
        (By::ForcedKmod34, Loader::Kmod34, Force::Both),
    ]
}

#[test]
#[ignore = "needs QEMU, kmod 30 and 34, and fetched kernels: tests/run runs it"]
fn compressed_files_are_loaded_as_predicted() {
    let _alone = alone();
    let (kernels, modules) = if is_all() { (&KERNELS[..], &MODULES[..]) } else { (&KERNELS[1..2], &MODULES[..1]) };
    let mut wrong = String::new();
    for name in kernels {
        wrong += &on(name, modules);
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Asks one kernel; returns the disagreements.
fn on(name: &str, modules: &[&str]) -> String {
    let begun = Instant::now();
    let kernel = kernel::named(&deb(name), &LOOKUP).unwrap();
    let files = files_of(name, modules);
    let (_, image) = files.image.unwrap();
    let mut cases = Vec::new();
    for module in modules {
        let bytes = &files.modules[*module].bytes;
        for packed in packing::all(bytes) {
            for (by, loader, force) in loaders(packed.ending == ".ko") {
                let bytes = packed.bytes.clone();
                let trial = Trial { module: (*module).to_owned(), ending: packed.ending, bytes, by };
                cases.push((packed.what.clone(), loader, force, trial));
            }
        }
    }
    let trials: Vec<&Trial> = cases.iter().map(|(.., trial)| trial).collect();
    let all = load(&image, &trials);

    let (mut wrong, mut counts, mut unknown) =
        (String::new(), BTreeMap::<(&str, String), usize>::new(), BTreeMap::new());
    let mut said = Vec::new();
    for (number, ((what, loader, force, trial), seen)) in cases.iter().zip(&all).enumerate() {
        said.extend(number.checked_sub(1).iter().flat_map(|before| &all[*before].log).map(String::as_str));
        let loaded_by = format!("{:?}", trial.by);
        let mut count = |outcome| *counts.entry((outcome, loaded_by.clone())).or_default() += 1;
        let Some((inside, packing)) = unpacked(&trial.bytes) else {
            assert_ne!(seen.error, 0, "{name}: {what}: {loaded_by} loaded what can't be read");
            count("can't be read, and was refused");
            continue;
        };
        let module = Module::read(&inside).ok();
        let subject = Candidate { bytes: &inside, module: module.as_ref(), packing: packing.as_ref() };
        let verdict = predict(
            &subject,
            &kernel,
            &LoadOptions { force: *force, alone: true, loader: *loader, ..LoadOptions::default() },
        );
        let findings: Vec<_> =
            verdict.findings.iter().filter(|finding| finding.step == LoaderStep::Container).collect();
        assert_eq!(findings.len(), usize::from(packing.is_some()), "{what}: {findings:?}");
        if verdict.answer == Decision::Unknown {
            count("unknown");
            let why = verdict.findings.iter().find(|finding| finding.result == StepResult::Unknown).unwrap();
            *unknown.entry((what, why.note.clone())).or_insert(0) += 1;
            continue;
        }
        match compare(&verdict, seen, &said) {
            Ok(()) => count("agree"),
            Err(why) => {
                count("DISAGREE");
                wrong += &format!("{name}: {}: {what}: {loaded_by}: {why}\n  {seen:?}\n", trial.module);
            }
        }
    }
    for ((outcome, loaded_by), count) in &counts {
        println!("{name}: {loaded_by:<14} {count:>4} {outcome}");
    }
    for ((what, why), count) in &unknown {
        println!("{name}: unknown {count}: {what}: {why}");
    }
    println!("{name}: {} files, {} trials, {:.0?}", cases.len() / 6, cases.len(), begun.elapsed());
    wrong
}

/// The contents of a file, and its compression; `None` if it cannot be decompressed.
fn unpacked(bytes: &[u8]) -> Option<(Vec<u8>, Option<Packing>)> {
    let container = Container::of(bytes);
    let mut inside = Vec::new();
    let packing = container.unpack(&mut inside, bytes, 1 << 30).ok()?;
    Some((inside, (!container.is_none()).then_some(packing)))
}
