//! Promise: in modinfo's format, `show` prints byte for byte what modinfo prints. `tests/run` tests one module in three; all of
//! them with `KMODLAB_ALL_MODULES=1`.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::real::{ALL, KMODLAB, alone, modules, on_all_cores, run};

/// The arguments: both programs have the same options, except that ours needs an option for modinfo's full listing.
const WAYS: [&[&str]; 14] = [
    &["-F", "vermagic"],
    &["-F", "name"],
    &["-F", "license"],
    &["-F", "alias"],
    &["-F", "depends"],
    &["-F", "parm"],
    &["-F", "signer"],
    &["-F", "sig_key"],
    &["-F", "sig_hashalgo"],
    &["-F", "signature"],
    &["-F", "filename"],
    &["--modinfo"],
    &["-0"],
    &["-p", "-0"],
];

/// The number of modules per call. If a call differs, its modules are compared one by one.
const BATCH: usize = 64;

#[test]
#[ignore = "needs kmod and fetched kernels: tests/run runs it"]
fn each_listing_of_each_module_is_byte_for_byte_what_modinfo_prints() {
    let _alone = alone();
    let step = if std::env::var_os("KMODLAB_ALL_MODULES").is_some() { 1 } else { 3 };
    for package in ALL {
        let modules: Vec<PathBuf> = modules(package).into_iter().step_by(step).collect();
        let batches: Vec<&[PathBuf]> = modules.chunks(BATCH).collect();
        for way in WAYS {
            let differing: Vec<PathBuf> = on_all_cores(&batches, |batch| differing(way, batch)).concat();
            println!("{package}: {} {} modules compared, {} differ", way.join(" "), modules.len(), differing.len());
            assert!(differing.is_empty(), "{package}, {way:?}: {differing:?}");
        }
    }
}

#[test]
#[ignore = "needs kmod and fetched kernels: tests/run runs it"]
fn symbol_versions_are_byte_for_byte_what_modprobe_prints() {
    let _alone = alone();
    for package in ALL {
        let modules: Vec<PathBuf> = modules(package).into_iter().step_by(10).collect();
        let equal = on_all_cores(&modules, |module| {
            let theirs = run("modprobe", ["--show-modversions".into(), module.clone().into_os_string()]);
            let ours = run(KMODLAB, ["show".into(), "--versions".into(), module.clone().into_os_string()]);
            assert_eq!(ours.stdout, theirs.stdout, "{}", module.display());
        });
        println!("{package}: --versions, every tenth module, {} compared, 0 differ", equal.len());
    }
}

fn differing(way: &[&str], modules: &[PathBuf]) -> Vec<PathBuf> {
    if ours(way, modules) == theirs(way, modules) {
        return Vec::new();
    }
    if let [one] = modules {
        return vec![one.clone()];
    }
    let singly: Vec<PathBuf> = modules.iter().flat_map(|one| differing(way, std::slice::from_ref(one))).collect();
    if singly.is_empty() { modules.to_vec() } else { singly }
}

fn ours(way: &[&str], modules: &[PathBuf]) -> Vec<u8> {
    let output = run(KMODLAB, arguments(&["show"], way, modules));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn theirs(way: &[&str], modules: &[PathBuf]) -> Vec<u8> {
    let way: Vec<&str> = way.iter().copied().filter(|option| *option != "--modinfo").collect();
    let output = run("modinfo", arguments(&[], &way, modules));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!output.stdout.is_empty() || way.contains(&"parm") || way.contains(&"alias") || way.contains(&"-p"));
    output.stdout
}

fn arguments(command: &[&str], way: &[&str], modules: &[PathBuf]) -> Vec<OsString> {
    let words = command.iter().chain(way).map(OsString::from);
    words.chain(modules.iter().map(|m| m.clone().into_os_string())).collect()
}
