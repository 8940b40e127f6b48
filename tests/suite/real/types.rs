//! Promise: BTF is read as pahole reads it; a kernel accepts the BTF of its own modules, and not that of others.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use kmodlab::btf::Btf;
use kmodlab::btf::validity::{Validity, validate_module};
use kmodlab::kernel::Kernel;
use kmodlab::module::{self, container::DEFAULT_MAX_SIZE};
use object::{Object, ObjectSection};

use crate::real::images::package;
use crate::real::{alone, on_all_cores, run};
use crate::support::facts::Facts;
use crate::support::premises::types_end_elsewhere;

const KERNELS: [&str; 4] = ["amd64-5.10-cloud", "amd64-6.1-cloud", "amd64-6.12", "amd64-7.2"];

/// The number of modules per kernel whose types are checked.
const SOME: usize = 60;

fn btf(kernel: &Kernel) -> &[u8] {
    &kernel.facts.btf.as_ref().unwrap().value
}

#[test]
#[ignore = "needs real kernels: tests/run"]
fn struct_module_is_where_the_modules_have_it() {
    let _alone = alone();
    for name in KERNELS {
        let package = package(name);
        let is_dummy = |path: &PathBuf| path.to_string_lossy().contains("/dummy.ko");
        let dummy = package.modules().into_iter().find(is_dummy).unwrap();
        let own = module::open_unhashed(&dummy, DEFAULT_MAX_SIZE).unwrap().this_module.unwrap().fingerprint;
        let (size, init, exit) = (own.size, own.init.unwrap(), own.exit.unwrap());
        let kernel = package.kernel();
        let started = Instant::now();
        let types = Btf::parse(btf(&kernel)).unwrap();
        let parsed = started.elapsed();
        let (found, members) = types.struct_members("module").unwrap();
        let offset = |name: &str| members.iter().find(|member| member.name == name).unwrap().offset;
        assert_eq!([found, offset("init"), offset("exit")], [size, init, exit], "{name}");
        let fingerprint = kernel.facts.fingerprint.as_ref().unwrap().value;
        assert_eq!((fingerprint.size, fingerprint.init, fingerprint.exit), (size, Some(init), Some(exit)), "{name}");
        println!(
            "{name}: {} bytes of BTF in {parsed:?}; struct module has {} members",
            btf(&kernel).len(),
            members.len()
        );
        // In a build without optimisation the limit is meaningless.
        assert!(cfg!(debug_assertions) || parsed < Duration::from_millis(20), "{name}: {parsed:?}");
    }
}

/// The members of a structure as `pahole` prints them: name, offset and size in bytes. Bit fields are left out.
fn by_pahole(btf: &[u8], structure: &str) -> Vec<(String, u64, u64)> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(btf).unwrap();
    let output =
        run("pahole", ["-F".as_ref(), "btf".as_ref(), "-C".as_ref(), structure.as_ref(), file.path().as_os_str()]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut members = Vec::new();
    for line in text.lines() {
        let Some((code, comment)) =
            line.split_once(";").and_then(|(code, rest)| Some((code, rest.split_once("/*")?.1)))
        else {
            continue;
        };
        let numbers: Vec<&str> = comment.trim_end_matches("*/").split_whitespace().collect();
        let [offset, size] = numbers.as_slice() else { continue };
        let (Ok(offset), Ok(size)) = (offset.parse(), size.parse()) else { continue };
        // `void (*exit)(void)`, `char name[56]`, `struct list_head list __attribute__(…)`, `} anonymous`
        let code = code.split("__attribute__").next().unwrap().trim();
        let name = match code.split_once("(*") {
            Some((_, rest)) => rest.split(')').next().unwrap(),
            None => code.split('[').next().unwrap().trim().rsplit([' ', '*', '\t']).next().unwrap(),
        };
        if !name.is_empty() && name != "}" {
            members.push((name.split('[').next().unwrap().to_owned(), offset, size));
        }
    }
    members
}

#[test]
#[ignore = "needs real kernels and pahole: tests/run"]
fn members_are_where_pahole_has_them() {
    let _alone = alone();
    for name in KERNELS.into_iter().take(3) {
        let kernel = package(name).kernel();
        let types = Btf::parse(btf(&kernel)).unwrap();
        for structure in ["module", "list_head", "module_kobject", "file_operations", "super_block"] {
            let (_, members) = types.struct_members(structure).unwrap();
            let theirs = by_pahole(btf(&kernel), structure);
            let ours: Vec<_> = members.iter().map(|m| (m.name.clone(), m.offset, m.size)).collect();
            let missing: Vec<_> = theirs.iter().filter(|member| !ours.contains(member)).collect();
            println!("{name}: struct {structure}: {} members, {} by pahole", ours.len(), theirs.len());
            assert!(!theirs.is_empty() && missing.is_empty(), "{name}: struct {structure}: {missing:?}");
        }
    }
}

/// The section `.BTF` of a module file, decompressed.
fn of_module(path: &std::path::Path) -> Option<Vec<u8>> {
    let section = |bytes: &[u8]| {
        let file = object::File::parse(bytes).unwrap();
        Some(file.section_by_name(".BTF")?.data().unwrap().to_vec())
    };
    module::with_bytes(path, DEFAULT_MAX_SIZE, section).unwrap()
}

#[test]
#[ignore = "needs real kernels: tests/run"]
fn a_kernel_takes_the_types_of_its_own_modules_and_not_those_of_others() {
    let _alone = alone();
    // Kernels that check BTF (since 5.11), each with some of its modules.
    let kernels = ["amd64-6.1-cloud", "amd64-6.12", "amd64-7.2"].map(|name| {
        let modules = package(name).modules();
        let some: Vec<_> = modules.iter().step_by((modules.len() / SOME).max(1)).collect();
        (name, Facts::of(name), on_all_cores(&some, |path| of_module(path)))
    });
    for (kernel, facts, _) in &kernels {
        for (of, other, modules) in &kernels {
            let modules: Vec<_> = modules.iter().flatten().collect();
            let (types, version) = (btf(&facts.kernel), facts.version());
            let found = on_all_cores(&modules, |module| validate_module(module, types, Some(version)));
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            for found in &found {
                let word = match found {
                    Validity::Valid => "valid".to_owned(),
                    Validity::Invalid(rejection) => format!("invalid -{}", rejection.errno),
                    Validity::Unsure(what) => format!("unsure: {what}"),
                };
                *counts.entry(word).or_default() += 1;
            }
            let example = found.iter().find(|found| matches!(found, Validity::Invalid { .. }));
            println!("modules of {of} on {kernel}: {counts:?}, such as {example:?}");
            assert!(found.len() > 20, "{of} has only {} modules with BTF", found.len());
            if of == kernel {
                assert!(found.iter().all(|found| *found == Validity::Valid), "{of} on {kernel}: {counts:?}");
            } else if types_end_elsewhere([&other.kernel, &facts.kernel]) {
                let invalid = found.iter().filter(|found| matches!(found, Validity::Invalid { .. })).count();
                // A module with few types of its own can fit by chance, and then the kernel accepts it.
                assert!(invalid * 3 > found.len() * 2, "{of} on {kernel}: {counts:?}");
            }
        }
    }
}
