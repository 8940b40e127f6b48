//! The files of real kernels: the image and the modules that are read from a package are those that dpkg unpacks; and the
//! verdicts for modules of one kernel on another are those that the experiments with them need.

use std::collections::BTreeSet;

use kmodlab::kernel::files::{self, KernelFiles};
use kmodlab::kernel::{self, Kernel, Lookup};
use kmodlab::module::{Module, container::DEFAULT_MAX_SIZE, name_of_file, with_bytes};
use kmodlab::patch::{NewVermagic, Plan, Request, Signature};
use kmodlab::predict::{self, Candidate, Decision, Force, LoadOptions, LoaderStep, Verdict};

use crate::real::kernels::unpacked;
use crate::real::{alone, fetched};
use crate::support::fetched::LOOKUP;
use crate::support::premises::Pair;

/// Reads the image, and the modules with these names and the modules that they need.
fn take(folder: &str, names: &[&str], lookup: &Lookup) -> (Kernel, Vec<String>, KernelFiles) {
    let name = fetched::named(folder);
    let kernel = kernel::named(name.as_ref(), lookup).unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let order = files::with_dependencies(&kernel, &names);
    let wanted: BTreeSet<String> = order.iter().cloned().collect();
    let files = files::of(&name, &wanted, lookup).unwrap();
    (kernel, order, files)
}

#[test]
#[ignore = "needs the packages of tests/real/fetch"]
fn a_package_gives_the_files_that_dpkg_unpacks() {
    let _alone = alone();
    for folder in ["amd64-5.10-cloud", "amd64-7.2-cloud"] {
        let (_, order, files) = take(folder, &["btrfs", "dummy", "xfs", "macvlan", "nf-tables"], &Lookup::default());
        let needed = needs(&files.modules["btrfs"].bytes);
        assert!(needed.iter().all(|name| order.contains(name)), "btrfs needs {needed:?}: {order:?}");
        let place = tempfile::tempdir().unwrap();
        let mut same = 0;
        for path in unpacked(folder, &["linux"], place.path()) {
            let Some(file) = files.modules.get(&name_of_file(&path)) else { continue };
            assert!(path.ends_with(&file.path), "{} and {}", path.display(), file.path);
            with_bytes(&path, DEFAULT_MAX_SIZE, |bytes| assert!(bytes == file.bytes, "{}", path.display())).unwrap();
            same += 1;
        }
        assert_eq!((same, files.modules.len()), (order.len(), order.len()));
        let (path, image) = files.image.unwrap();
        let path = place.path().join(path.split(" in ").next().unwrap());
        assert!(std::fs::read(&path).unwrap() == image, "{}", path.display());
        println!("{folder}: the image and {same} modules as dpkg unpacks them: {order:?}");
    }
}

/// The names in a module's own `depends=`.
fn needs(bytes: &[u8]) -> Vec<String> {
    let module = Module::read(bytes).unwrap();
    let text = String::from_utf8_lossy(module.modinfo.first("depends").unwrap()).into_owned();
    text.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

/// The kernel's verdict for `dummy` of another kernel, and the module's bytes.
fn dummy(of: &KernelFiles, on: &Kernel, force: Force) -> (Verdict, Vec<u8>) {
    let bytes = of.modules["dummy"].bytes.clone();
    (ask(&bytes, on, force), bytes)
}

fn ask(bytes: &[u8], on: &Kernel, force: Force) -> Verdict {
    let module = Module::read(bytes).unwrap();
    predict::predict(
        &Candidate { bytes, module: Some(&module), packing: None },
        on,
        &LoadOptions { force, ..LoadOptions::default() },
    )
}

#[test]
#[ignore = "needs the packages of tests/real/fetch"]
fn dummy_of_other_builds_is_predicted_as_the_experiments_expect() {
    let _alone = alone();
    for name in ["amd64-6.1-cloud-old", "amd64-6.1-rt"] {
        let pair = Pair::of(name, "amd64-6.1-cloud");
        let (cloud, (_, _, other)) = (&pair.kernel.kernel, take(name, &["dummy"], &LOOKUP));
        if pair.is_another_abi() {
            assert_eq!(dummy(&other, cloud, Force::None).0.stage, Some(LoaderStep::ModuleLayout), "{name}");
        }
        if pair.can_be_forced() {
            let forced = dummy(&other, cloud, Force::Both).0;
            assert_eq!((forced.answer, forced.taint.as_deref()), (Decision::Accepted, Some("FE")), "{name}");
        }
    }

    let pair = Pair::of("amd64-7.3-cloud", "amd64-7.2-cloud");
    let (_, _, next) = take("amd64-7.3-cloud", &["dummy"], &LOOKUP);
    if pair.vermagic_decides() {
        assert_eq!(dummy(&next, &pair.kernel.kernel, Force::None).0.stage, Some(LoaderStep::Vermagic));
    }

    let pair = Pair::of("amd64-7.2-rt", "amd64-7.2-cloud");
    let cloud = &pair.kernel.kernel;
    let (_, _, rt) = take("amd64-7.2-rt", &["dummy"], &LOOKUP);
    let (verdict, bytes) = dummy(&rt, cloud, Force::None);
    if pair.vermagic_decides() {
        assert_eq!(verdict.stage, Some(LoaderStep::Vermagic));
    }
    let vermagic = cloud.vermagic.as_ref().unwrap().value.as_bytes().to_vec();
    let request = Request::new(NewVermagic::Rewrite(vermagic), Signature::Strip);
    let with_btf = Plan::make(&bytes, &request).unwrap();
    if pair.types_are_refused() {
        assert_eq!(ask(&with_btf.bytes_after, cloud, Force::None).stage, Some(LoaderStep::Btf));
    }
    let without = Plan::make(&bytes, &Request { drop_btf: true, ..request }).unwrap();
    let verdict = ask(&without.bytes_after, cloud, Force::None);
    if pair.vermagic_decides() {
        assert_eq!((verdict.answer, verdict.taint.as_deref()), (Decision::Accepted, Some("E")));
    }
    if pair.is_another_struct_module() {
        assert!(!verdict.dangers.is_empty(), "struct module is another");
    }
}
