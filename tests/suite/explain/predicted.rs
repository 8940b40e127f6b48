//! The lines that predictions print, for modules and kernels of many kinds.

use kmodlab::kernel::{Kernel, KernelName, Lookup};
use kmodlab::module::Module;
use kmodlab::predict::{Candidate, Force, LoadOptions, predict};

use super::assert_explained;

/// Kernels of the versions between which rules change.
const RELEASES: [&str; 14] = [
    "2.6.18", "2.6.32", "3.2.0", "3.10.0", "4.4.0", "4.14.0", "4.19.0", "5.4.0", "5.10.0", "5.15.0", "6.1.0", "6.6.0",
    "6.14.0", "7.2.0",
];

fn files(folder: &str) -> Vec<std::path::PathBuf> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_line_about_a_fixture_is_explained() {
    let lookup = Lookup { max_size: 1 << 30, cache: None };
    let images = files("kernels").into_iter().map(|path| KernelName::from(path.as_path()));
    let tokens = ["SMP mod_unload ", "SMP preempt mod_unload modversions ", "mod_unload MIPS32_R2 32BIT ", ""];
    let given = RELEASES
        .iter()
        .flat_map(|release| tokens.map(|tokens| KernelName::from(format!("vermagic:{release} {tokens}").as_str())));
    let kernels: Vec<Kernel> = images.chain(given).filter_map(|name| Kernel::read(&name, &lookup).ok()).collect();
    let modules = files("modules");
    let (mut lines, mut explained, mut verdicts) = (0, 0, 0);
    for path in &modules {
        let bytes = std::fs::read(path).unwrap();
        let module = Module::read(&bytes).ok();
        let candidate = Candidate { bytes: &bytes, module: module.as_ref(), packing: None };
        for kernel in &kernels {
            for force in [Force::None, Force::Vermagic, Force::Both] {
                let load = LoadOptions { force, alone: true, ..LoadOptions::default() };
                let verdict = predict(&candidate, kernel, &load);
                assert_explained(&verdict);
                verdicts += 1;
                lines += verdict.dmesg.len();
                explained += verdict.dmesg.len();
            }
        }
    }
    println!("{explained} of {lines} lines of {verdicts} predictions are explained ({} kernels)", kernels.len());
    assert!(lines > 500, "only {lines} lines: does this test still print them?");
}
