//! A summary shows what the full reader shows, for each module of real kernels: uncompressed and xz, both classes and byte
//! orders; and a scan of a package finds the modules that dpkg unpacks.

use std::path::Path;

use kmodlab::budget::WorkBudget;
use kmodlab::kernel::package;
use kmodlab::module;
use kmodlab::module::container::DEFAULT_MAX_SIZE;
use kmodlab::module::summary::Summarizer;

use crate::real::kernels::{kernel_name, unpacked};
use crate::real::{ALL, alone, modules, on_all_cores};
use crate::scan::full_reader;

#[test]
#[ignore = "needs the packages of tests/real/fetch"]
fn a_summary_of_each_module_has_what_the_full_reader_shows() {
    let _alone = alone();
    for package in ALL {
        let paths = modules(package);
        let parts: Vec<_> = paths.chunks(64).collect();
        let counts = on_all_cores(&parts, |paths| {
            let mut looker = Summarizer::default();
            for path in *paths {
                let (stored, module) = module::open(path, DEFAULT_MAX_SIZE).unwrap();
                let name = module.name();
                let full = full_reader::summary(&stored, &module, name.as_deref());
                assert_eq!(looker.file(path, DEFAULT_MAX_SIZE).unwrap(), full, "{}", path.display());
            }
            paths.len()
        });
        println!("{package}: a summary agrees with the full reader on {} modules", counts.iter().sum::<usize>());
    }
}

#[test]
#[ignore = "needs the packages of tests/real/fetch"]
fn a_package_yields_each_module_that_dpkg_unpacks() {
    let _alone = alone();
    let name = kernel_name("amd64-6.1-cloud", &["linux-image"]);
    let place = tempfile::tempdir().unwrap();
    let mut unpacked = unpacked("amd64-6.1-cloud", &["linux-image"], place.path());
    let mut seen = Vec::new();
    package::each_module(Path::new(&name), &WorkBudget::new(DEFAULT_MAX_SIZE), |path, bytes| {
        let path = place.path().join(path);
        assert!(std::fs::read(&path).unwrap() == bytes, "{}", path.display());
        seen.push(path);
        Ok(())
    })
    .unwrap();
    seen.sort();
    unpacked.sort();
    assert_eq!(seen, unpacked);
    println!("{} modules out of a package are those that dpkg unpacks", seen.len());
}
