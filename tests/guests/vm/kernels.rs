//! The kernels under test, from the packages that `tests/real/fetch` keeps, and the modules that they are asked about.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::OnceLock;

use kmodlab::kernel::files::{self, KernelFiles};

use crate::support::facts::Facts;
use crate::support::fetched::{self, LOOKUP};

/// The kernels under test, by the names that `tests/real/fetch` gives them.
pub(crate) const KERNELS: [&str; 5] =
    ["amd64-5.10-cloud", "amd64-6.1-cloud", "amd64-6.1-rt", "amd64-6.12", "amd64-7.2"];

/// Those of them that were fetched. [`each_kernel_that_is_asked_was_fetched`] fails for every other one.
pub(crate) fn there() -> Vec<&'static str> {
    KERNELS.into_iter().filter(|name| fetched::folder_in(&fetched::top(), name).is_ok()).collect()
}

/// All fetched kernels, or those that KMODLAB_KERNELS names.
pub(crate) fn chosen() -> Vec<&'static str> {
    let Ok(names) = std::env::var("KMODLAB_KERNELS") else { return there() };
    let names: Vec<&str> = names.split(',').collect();
    let is_known = |name: &&str| KERNELS.contains(name);
    assert!(names.iter().all(is_known), "KMODLAB_KERNELS={names:?}: there are {KERNELS:?}");
    KERNELS.into_iter().filter(|name| names.contains(name)).collect()
}

/// A missing kernel fails here by its name, and the other kernels are still tested.
#[test]
#[ignore = "needs fetched kernels: tests/run runs it"]
fn each_kernel_that_is_asked_was_fetched() {
    let missing: Vec<String> =
        KERNELS.into_iter().filter_map(|name| fetched::folder_in(&fetched::top(), name).err()).collect();
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// Their ELF machine, EM_X86_64.
pub(crate) const X86_64: u16 = 62;

/// The modules that kernels are asked about: modules that import almost nothing, export symbols, need others, use a symbol
/// namespace (xcbc), have parameters, do work in their init function (raid6_pq, xor), or print there (bonding, tun).
const MODULES: [&str; 24] = [
    "8021q",
    "bonding",
    "brd",
    "crc_itu_t",
    "cuse",
    "dummy",
    "ifb",
    "isofs",
    "llc",
    "loop",
    "lz4hc_compress",
    "macvlan",
    "md4",
    "nlmon",
    "nls_utf8",
    "null_blk",
    "raid6_pq",
    "softdog",
    "stp",
    "ts_kmp",
    "tun",
    "veth",
    "vfat",
    "xcbc",
];

/// The modules in [`wanted`] that each kernel has as a module: a newer kernel may build one in or drop it.
pub(crate) fn modules() -> Vec<&'static str> {
    static MODULES: OnceLock<Vec<&str>> = OnceLock::new();
    let there = || {
        let kernels: Vec<Facts> = there().into_iter().map(Facts::of).collect();
        let (all, some): (Vec<_>, Vec<_>) =
            wanted().into_iter().partition(|module| kernels.iter().all(|kernel| kernel.has_module(module)));
        println!("modules that not every kernel has: {some:?}");
        assert!(!all.is_empty(), "no module is in every kernel");
        all
    };
    MODULES.get_or_init(there).clone()
}

/// All of them if KMODLAB_MATRIX is `all`, every other one if it is `half`, otherwise every fourth: each sort is represented.
pub(crate) fn wanted() -> Vec<&'static str> {
    match std::env::var("KMODLAB_MATRIX").as_deref() {
        Ok("all") => MODULES.to_vec(),
        Ok("half") => MODULES.into_iter().skip(1).step_by(2).collect(),
        Ok(other) => panic!("KMODLAB_MATRIX={other:?}: all, half, or nothing"),
        Err(_) => MODULES.into_iter().skip(1).step_by(4).collect(),
    }
}

/// The name of a kernel for the program.
pub(crate) fn deb(name: &str) -> OsString {
    fetched::named(name)
}

/// The image of a kernel, and these of its modules; all of them must exist.
pub(crate) fn files_of(name: &str, modules: &[&str]) -> KernelFiles {
    let wanted: BTreeSet<String> = modules.iter().map(|module| (*module).to_owned()).collect();
    let files = files::of(&deb(name), &wanted, &LOOKUP).unwrap();
    assert!(files.image.is_some(), "{name} has no image");
    assert_eq!(files.modules.keys().collect::<Vec<_>>(), wanted.iter().collect::<Vec<_>>(), "modules of {name}");
    files
}
