//! A glance shows what the full reader shows, for each module of real kernels: plain and xz, both classes and byte orders.

use kmodlab::module;
use kmodlab::module::container::DEFAULT_MAX_SIZE;
use kmodlab::module::glance::{Glance, Looker, MARK};

use crate::{ALL, alone, modules, on_all_cores};

#[test]
#[ignore = "needs the packages of tests/real/fetch"]
fn a_glance_at_each_module_shows_what_the_full_reader_shows() {
    let _alone = alone();
    for package in ALL {
        let paths = modules(package);
        let parts: Vec<_> = paths.chunks(64).collect();
        let counts = on_all_cores(&parts, |paths| {
            let mut looker = Looker::default();
            for path in *paths {
                let (stored, module) = module::open(path, DEFAULT_MAX_SIZE).unwrap();
                let name = module.name();
                let full = Glance {
                    container: stored.container,
                    stored_size: stored.size,
                    size: module.size as u64,
                    class: module.class,
                    endian: module.endian,
                    machine: module.machine,
                    name: name.as_deref().map(str::as_bytes),
                    vermagic: module.modinfo.first("vermagic"),
                    vermagics: module.modinfo.all("vermagic").count(),
                    visible: module.modinfo.visible,
                    mark: module.modinfo.first(MARK),
                    versions: module.versions.kind(),
                    versions_visible: module.versions.visible,
                    btf: module.btf,
                    is_signed: module.trailer.is_some(),
                    signer: module.trailer.as_ref().and_then(|trailer| trailer.signer.as_deref()),
                    unclaimed: module.unclaimed as u64,
                };
                assert_eq!(looker.file(path, DEFAULT_MAX_SIZE).unwrap(), full, "{}", path.display());
            }
            paths.len()
        });
        println!("{package}: a glance agrees with the full reader on {} modules", counts.iter().sum::<usize>());
    }
}
