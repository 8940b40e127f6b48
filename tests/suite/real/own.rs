//! No kernel refuses its own modules because of the checks of its architecture: file header, sections, relocations.
//!
//! One module in twelve is tested; all of them with `KMODLAB_ALL_MODULES=1`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kmodlab::kernel::{self, Kernel, Lookup, package};
use kmodlab::module::Module;
use kmodlab::module::container::{Container, DEFAULT_MAX_SIZE};
use kmodlab::predict::{Candidate, Decision, LoadOptions, LoaderStep, StepResult, predict};

use crate::real::{alone, on_all_cores};

/// One module in this many is tested.
const ONE_OF: usize = 12;

/// The results for the modules of one kernel.
#[derive(Default)]
struct Tally {
    modules: usize,
    /// Modules without a failing finding at the steps that depend on the architecture.
    passing: usize,
    /// The failing findings, with examples.
    other: BTreeMap<String, usize>,
}

/// The package of a kernel's image, and the packages that belong to it.
fn packages(folder: &Path) -> Option<(String, Vec<PathBuf>)> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).ok()?.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "deb"));
    files.retain(|file| !file.file_name().unwrap().to_string_lossy().contains("headers"));
    files.sort();
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    (!names.is_empty()).then(|| (names.join("+"), files))
}

/// Since 7.x Debian has the image and the modules in separate packages.
fn has_modules(file: &Path) -> bool {
    let name = file.file_name().unwrap().to_string_lossy();
    name.starts_with("linux-image") || name.starts_with("linux-modules")
}

fn look(kernel: &Kernel, bytes: &[u8], tally: &mut Tally) {
    let module = Module::read(bytes).ok();
    let load = LoadOptions { alone: false, ..LoadOptions::default() };
    let verdict = predict(&Candidate { bytes, module: module.as_ref(), packing: None }, kernel, &load);
    tally.modules += 1;
    let decided = [LoaderStep::Elf, LoaderStep::Sections, LoaderStep::Relocations];
    let against = verdict.findings.iter().find(|finding| {
        matches!(finding.result, StepResult::Fail | StepResult::Unknown) && decided.contains(&finding.step)
    });
    match against {
        None => tally.passing += 1,
        Some(finding) => {
            let answer = if verdict.answer == Decision::Refused { "refused" } else { "unknown" };
            *tally.other.entry(format!("{answer} at {}: {}", finding.step.name(), finding.note)).or_default() += 1;
        }
    }
}

#[test]
#[ignore = "needs the packages of tests/real/fetch; looks at all that are there"]
fn no_kernel_refuses_its_own_modules_by_a_rule_of_its_architecture() {
    let _alone = alone();
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/real/deb");
    let only = std::env::var("KMODLAB_KERNELS").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::fs::read_dir(&top).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.retain(|folder| folder.join(".complete").exists());
    folders.retain(|folder| only.is_empty() || only.split(',').any(|one| folder.ends_with(one)));
    folders.sort();
    assert!(!folders.is_empty(), "no kernel is there: run tests/real/fetch");
    let tallies = on_all_cores(&folders, |folder| {
        let (name, files) = packages(folder).unwrap();
        let lookup = Lookup { max_size: DEFAULT_MAX_SIZE, cache: std::env::var_os("KMODLAB_FACTS").map(PathBuf::from) };
        let kernel = kernel::named(name.as_ref(), &lookup).unwrap();
        let mut tally = Tally::default();
        let step = if std::env::var_os("KMODLAB_ALL_MODULES").is_some() { 1 } else { ONE_OF };
        let mut number = 0;
        for file in files.iter().filter(|file| has_modules(file)) {
            package::each_module(file, DEFAULT_MAX_SIZE, |path, bytes| {
                number += 1;
                if number % step != 0 {
                    return Ok(());
                }
                let image = Container::of(&bytes).decompress(&bytes, DEFAULT_MAX_SIZE);
                look(&kernel, &image.unwrap_or_else(|e| panic!("{path}: {e}")), &mut tally);
                Ok(())
            })
            .unwrap();
        }
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        println!("{name}: {} of {} pass what the architecture looks at", tally.passing, tally.modules);
        for (why, count) in tally.other.iter().take(12) {
            println!("  {count} × {why}");
        }
        tally
    });
    let (modules, passing): (usize, usize) =
        tallies.iter().fold((0, 0), |(all, passing), tally| (all + tally.modules, passing + tally.passing));
    println!("{passing} of {modules} modules of {} kernels", folders.len());
    assert!(modules > 500 && passing == modules, "{passing} of {modules}");
}
