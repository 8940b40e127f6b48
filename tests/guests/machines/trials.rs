//! The subjects of a kernel's trials: its own modules, modules of other kernels of its architecture, and broken ones.

use std::collections::BTreeSet;
use std::path::Path;

use kmodlab::kernel::Lookup;
use kmodlab::kernel::files::{self, KernelFiles};

use crate::machines::elf::Elf;
use crate::machines::ways::{Breaking, EXPORT_WAYS, NAMESPACE_WAYS, TRAILER_WAYS, WAYS};
use crate::support::fetched;

/// How many of a kernel's own modules, and of each other kernel's modules, are tried.
const OWN: usize = 14;
const OTHERS: usize = 6;

/// Modules that most kernels have, the most informative first: modules that import almost nothing, export symbols, need others,
/// use a symbol namespace, or have parameters. Their init functions fail on no machine.
const MODULES: [&str; 30] = [
    "dummy",
    "crc_itu_t",
    "vfat",
    "llc",
    "nls_utf8",
    "tun",
    "xcbc",
    "8021q",
    "veth",
    "loop",
    "macvlan",
    "ts_kmp",
    "isofs",
    "stp",
    "nlmon",
    "ifb",
    "cuse",
    "brd",
    "md4",
    "softdog",
    "lz4hc_compress",
    "nls_cp437",
    "ts_bm",
    "ts_fsm",
    "crc7",
    "bonding",
    "sit",
    "ip_gre",
    "cmac",
    "nls_iso8859_1",
];

/// Modules that import a namespace; one of them is enough.
const IN_A_NAMESPACE: [&str; 4] = ["xcbc", "cmac", "vmac", "nfsv4"];

/// The origin of a module.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Origin {
    Own,
    Other,
    Broken,
}

/// A module file that is tried on a kernel.
pub(crate) struct Subject {
    pub(crate) origin: Origin,
    /// Its description, for the reader of the results.
    pub(crate) what: String,
    pub(crate) bytes: Vec<u8>,
    /// Its name in `struct module`, if it has one.
    pub(crate) name: String,
    /// Would it disturb others if it could not be unloaded? That is so for modules that export symbols.
    pub(crate) exports: bool,
}

/// A subject, loaded with these flags of finit_module(2).
#[derive(Clone, Copy)]
pub(crate) struct Trial {
    pub(crate) subject: usize,
    pub(crate) flags: u32,
}

impl Subject {
    fn new(origin: Origin, what: String, elf: Elf) -> Subject {
        // A broken file may have no `struct module`.
        let readable = origin != Origin::Broken;
        let name = if readable { elf.name() } else { None };
        Subject {
            origin,
            what,
            name: name.unwrap_or_else(|| "dummy".to_owned()),
            exports: readable && elf.exports(),
            bytes: elf.bytes,
        }
    }
}

/// The image of a kernel, and all modules that these trials use.
pub(crate) fn files_of(kernel: &str, cache: &Path) -> KernelFiles {
    let wanted: BTreeSet<String> = MODULES.iter().chain(&IN_A_NAMESPACE).map(|name| (*name).to_owned()).collect();
    let lookup = Lookup { max_size: 1 << 30, cache: Some(cache.to_owned()) };
    files::of(&fetched::named(kernel), &wanted, &lookup).unwrap()
}

/// The first modules of the list that the kernel has.
fn chosen(files: &KernelFiles, count: usize) -> impl Iterator<Item = (&'static str, Elf)> {
    let module = |name: &'static str| Some((name, Elf { bytes: files.modules.get(name)?.bytes.clone() }));
    MODULES.into_iter().filter_map(module).take(count)
}

/// All subjects for a kernel. `others` are the other kernels with their files.
pub(crate) fn subjects(kernel: &str, files: &KernelFiles, others: &[(&str, KernelFiles)]) -> Vec<Subject> {
    let mut subjects: Vec<Subject> =
        chosen(files, OWN).map(|(name, elf)| Subject::new(Origin::Own, name.to_owned(), elf)).collect();
    assert_eq!(subjects.len(), OWN, "{kernel} has too few of the modules");
    for (other, files) in others {
        let theirs = chosen(files, OTHERS);
        subjects.extend(theirs.map(|(name, elf)| Subject::new(Origin::Other, format!("{name} of {other}"), elf)));
    }
    let unsigned = |name: &str| Elf { bytes: files.modules[name].bytes.clone() }.without_trailer();
    let signed = Elf { bytes: files.modules["dummy"].bytes.clone() };
    subjects.extend(broken(&unsigned("dummy"), WAYS));
    subjects.extend(broken(&signed, TRAILER_WAYS));
    subjects.extend(broken(&unsigned("crc_itu_t"), EXPORT_WAYS));
    let in_a_namespace =
        IN_A_NAMESPACE.iter().filter(|name| files.modules.contains_key(**name)).map(|name| unsigned(name));
    subjects.extend(in_a_namespace.flat_map(|elf| broken(&elf, NAMESPACE_WAYS)).take(1));
    let count = subjects.iter().filter(|subject| subject.origin == Origin::Broken).count();
    assert!(count >= 60, "{kernel}: only {count} ways of breaking apply");
    subjects
}

fn broken(good: &Elf, ways: &[(&str, Breaking)]) -> Vec<Subject> {
    let mut subjects = Vec::new();
    for (what, way) in ways {
        let mut elf = good.clone();
        if way(&mut elf).is_some() {
            assert!(
                elf.bytes != good.bytes || what.contains("nothing") || what.contains("good"),
                "{what} changes nothing"
            );
            subjects.push(Subject::new(Origin::Broken, (*what).to_owned(), elf));
        }
    }
    // A broken module has the same names as the good one, except in the breakages that concern names.
    let name = good.name().unwrap();
    for subject in &mut subjects {
        subject.name = name.clone();
        subject.exports = good.exports();
    }
    subjects
}

/// The trials in order: those that leave the kernel unchanged come first, those that may damage it last.
pub(crate) fn in_order(subjects: &[Subject], is_sample: bool) -> Vec<Trial> {
    let mut trials = Vec::new();
    let order = [Origin::Own, Origin::Broken, Origin::Other];
    for flags in 0..4 {
        for origin in order {
            let theirs = subjects.iter().enumerate().filter(|(_, subject)| subject.origin == origin);
            for (nth, (subject, _)) in theirs.enumerate() {
                // Each broken module is tried with one of the flags.
                let is_left_out = is_sample && origin == Origin::Broken && !(nth + flags as usize).is_multiple_of(4);
                if !is_left_out {
                    trials.push(Trial { subject, flags });
                }
            }
        }
    }
    trials
}
