//! A kernel whose version magic is not known is shown with everything else that is known of it, and each result that needs the
//! string says so.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kmodlab::error::ErrorKind;
use kmodlab::kernel::{self, Kernel, Lookup};
use kmodlab::module::container::DEFAULT_MAX_SIZE;
use kmodlab::predict::{Decision, LoaderStep, PatchHelps, StepResult};
use kmodlab::vermagic::Vermagic;

use crate::evidence::{added, ask, named, notes, outcome};

use crate::support::KMODLAB;

/// The version magic in the image of these tests, whose release is 6.1.0-1-kmodlab.
const VERMAGIC: &str = "6.1.0-1-kmodlab SMP preempt mod_unload modversions ";

/// The start of the image's configuration. CONFIG_MODULES is not set in it.
const CONFIG: &str = "IKCFG_ST";

/// This line shows that the image's loader knows symbol versions; without it nothing shows what the loader prints.
const LINE: &str = "disagrees about version of symbol";

/// An image in which some strings are replaced by others of the same length.
fn image(folder: &Path, changes: &[(&str, &str)]) -> PathBuf {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/kernels/vmlinux-amd64");
    let mut bytes = std::fs::read(file).unwrap();
    for (from, to) in changes {
        let padded = [to.as_bytes(), vec![0; from.len() - to.len()].as_slice()].concat();
        let places: Vec<usize> = memchr::memmem::find_iter(&bytes, from.as_bytes()).collect();
        assert!(!places.is_empty(), "{from}");
        for at in places {
            bytes[at..at + from.len()].copy_from_slice(&padded);
        }
    }
    let path = folder.join("vmlinux");
    std::fs::write(&path, bytes).unwrap();
    path
}

fn kernel(changes: &[(&str, &str)]) -> Kernel {
    let folder = tempfile::tempdir().unwrap();
    named(&image(folder.path(), changes))
}

fn run(args: &[&OsStr]) -> Output {
    Command::new(KMODLAB).env("KMODLAB_STATE", "/nonexistent").args(args).output().unwrap()
}

fn vermagic(kernel: &Kernel) -> Option<String> {
    kernel.vermagic.as_ref().map(|known| String::from_utf8_lossy(known.value.as_bytes()).into_owned())
}

#[test]
fn a_constant_string_is_found_by_its_tokens_and_taken_as_it_is() {
    for constant in [
        "vendor SMP mod_unload modversions ",
        "3.10.0 SMP preempt mod_unload ",
        "9.9.9-fixed modversions  aarch64",
        "board-7 SMP mod_unload vendorword ARMv7 ",
    ] {
        let kernel = kernel(&[(VERMAGIC, constant)]);
        assert_eq!(vermagic(&kernel).as_deref(), Some(constant));
        // Its version is that of the version line, whatever the constant contains.
        assert_eq!(kernel.release(), Some("6.1.0-1-kmodlab"));
        assert_eq!(kernel.release_parts().unwrap().version(), Some((6, 1)));
    }
}

#[test]
fn a_module_with_the_constant_string_passes_and_one_with_the_release_does_not() {
    let tested = kernel(&[(VERMAGIC, "vendor SMP mod_unload "), (LINE, "")]);
    let module = |vermagic| {
        let mut module = added("asked", &[]);
        module.vermagic = vermagic;
        ask(&module, &tested)
    };
    assert_eq!(outcome(&module("vendor SMP mod_unload "), LoaderStep::Vermagic), Some(StepResult::Pass));
    let verdict = module("6.1.0-1-kmodlab SMP mod_unload ");
    assert_eq!(outcome(&verdict, LoaderStep::Vermagic), Some(StepResult::Fail));
    let line = "asked: version magic '6.1.0-1-kmodlab SMP mod_unload ' should be 'vendor SMP mod_unload '";
    assert!(verdict.dmesg.contains(&line.to_owned()), "{:?}", verdict.dmesg);
}

#[test]
fn an_ambiguous_version_magic_is_not_used() {
    for both in ["a SMP mod_unload \0b SMP modversions ", "a mod_unload \0b mod_unload \0c mod_unload "] {
        let kernel = kernel(&[(VERMAGIC, both), (CONFIG, "")]);
        assert_eq!(vermagic(&kernel), None);
        let [note] = kernel.facts.notes.as_slice() else { panic!("{:?}", kernel.facts.notes) };
        for string in both.split('\0') {
            assert!(note.to_string().contains(&format!("'{string}'")), "{note}");
        }
    }
    // Two occurrences of one string count as one.
    assert_eq!(vermagic(&kernel(&[(VERMAGIC, "a mod_unload \0a mod_unload ")])).as_deref(), Some("a mod_unload "));
}

#[test]
fn a_string_that_only_resembles_a_version_magic_is_not_used() {
    for other in [
        "vermagic=6.6.1 SMP mod_unload ",
        "%s SMP mod_unload ",
        "why not mod_unload it, please?",
        "\x01\x02 mod_unload ",
        "SMP preempt",
        "",
    ] {
        assert_eq!(vermagic(&kernel(&[(VERMAGIC, other)])), None, "{other:?}");
    }
}

#[test]
fn an_image_without_it_shows_the_facts_that_exist() {
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), &[(VERMAGIC, ""), (CONFIG, "")]);
    let shown = run(&["kernel".as_ref(), image.as_os_str()]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.status.success(), "{text}");
    for line in [
        "release        6.1.0-1-kmodlab",
        "vermagic       not known: no string in ",
        "machine        ELF64",
        "exports        ",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let json = run(&["kernel".as_ref(), "--json".as_ref(), image.as_os_str()]).stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert!(json["vermagic"].is_null() && json["release"]["value"] == "6.1.0-1-kmodlab");
    assert!(json["no_vermagic"].as_str().unwrap().ends_with("is certainly it"));
}

#[test]
fn a_verdict_of_a_kernel_without_it_is_unknown_there_and_certain_elsewhere() {
    let tested = kernel(&[(VERMAGIC, ""), (CONFIG, ""), (LINE, "")]);
    let verdict = ask(&added("asked", &[]), &tested);
    assert_eq!(
        (verdict.answer, outcome(&verdict, LoaderStep::Vermagic)),
        (Decision::Unknown, Some(StepResult::Unknown))
    );
    assert!(notes(&verdict, LoaderStep::Vermagic).contains("the kernel's version magic is not known"));
    assert_eq!(verdict.patched[0].note, "the string to write is not known: give it by hand, vermagic:'STRING'");
    // A missing symbol is reported all the same.
    let missing = ask(&added("asked", &[("nowhere", 1)]), &tested);
    assert!(missing.dmesg.iter().all(|line| !line.contains("version magic")), "{:?}", missing.dmesg);
}

#[test]
fn a_kernel_with_disabled_modules_has_no_system_call_that_loads_them() {
    let tested = kernel(&[(VERMAGIC, "")]);
    assert!(tested.without_modules().unwrap().to_string().contains("embedded configuration"));
    let verdict = ask(&added("asked", &[]), &tested);
    assert_eq!(
        (verdict.answer, verdict.stage, verdict.errno),
        (Decision::Refused, Some(LoaderStep::Permission), Some(38))
    );
    assert_eq!((verdict.dmesg.len(), verdict.taint.as_deref()), (0, Some("")));
    assert!(notes(&verdict, LoaderStep::Permission).starts_with("modules are disabled (CONFIG_MODULES is not set)"));
    assert_eq!(verdict.patch_helps(), PatchHelps::Insufficient);
}

#[test]
fn a_configuration_without_modules_next_to_the_image_shows_it() {
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), &[(VERMAGIC, ""), (CONFIG, "")]);
    let config = folder.path().join("config");
    let both = format!("{}+{}", image.display(), config.display());
    let with = |text: &str| {
        std::fs::write(&config, text).unwrap();
        named(Path::new(&both))
    };
    assert!(with("CONFIG_X86_64=y\n# CONFIG_MODULES is not set\n").without_modules().is_some());
    // With modules enabled nothing is known: a string by mainline's rules would be in the image.
    let enabled = with("CONFIG_X86_64=y\nCONFIG_MODULES=y\nCONFIG_SMP=y\nCONFIG_MODULE_UNLOAD=y\n");
    assert!(enabled.without_modules().is_none() && enabled.vermagic.is_none());
    // A kernel with a version magic loads modules, whichever part of a configuration is given with it.
    std::fs::write(&config, "CONFIG_X86_64=y\n").unwrap();
    let module = folder.path().join("a.ko");
    std::fs::write(&module, added("a", &[]).bytes().unwrap()).unwrap();
    assert!(named(Path::new(&format!("{}+{}", module.display(), config.display()))).without_modules().is_none());
}

#[test]
fn a_module_of_the_same_kernel_shows_it() {
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), &[(VERMAGIC, "")]);
    let module = folder.path().join("a.ko");
    let mut own = added("a", &[]);
    own.vermagic = VERMAGIC;
    std::fs::write(&module, own.bytes().unwrap()).unwrap();
    let both = named(Path::new(&format!("{}+{}", image.display(), module.display())));
    assert_eq!(vermagic(&both).as_deref(), Some(VERMAGIC));
}

#[test]
fn a_patch_to_such_a_kernel_refuses_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("a.ko");
    std::fs::write(&module, added("a", &[]).bytes().unwrap()).unwrap();
    for (changes, hint) in [
        ([(VERMAGIC, ""), (CONFIG, "")], "give the string by hand: vermagic:'STRING'"),
        ([(VERMAGIC, "a mod_unload \0b mod_unload "), (CONFIG, "")], "give the string by hand: vermagic:'STRING'"),
        ([(VERMAGIC, ""), (LINE, "")], "no patch of a module helps there"),
    ] {
        let image = image(folder.path(), &changes);
        let args = ["patch", "-n", "--to"].map(OsStr::new);
        let refused = run(&[&args[..], &[image.as_os_str(), module.as_os_str()]].concat());
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success() && said.contains("the kernel's version magic is not known: "), "{said}");
        assert!(said.contains(hint) && said.trim_end().lines().count() == 1, "{said}");
        let lookup = Lookup { max_size: DEFAULT_MAX_SIZE, cache: None };
        let kernel = kernel::named(image.as_os_str(), &lookup).unwrap();
        assert_eq!(kernel.known_vermagic().unwrap_err().kind(), ErrorKind::NoVermagic);
    }
}

#[test]
fn no_other_part_of_a_kernel_is_one_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let lookup = Lookup { max_size: DEFAULT_MAX_SIZE, cache: None };
    for (name, text) in [
        ("Module.symvers", "0x00000001\tkfree\tvmlinux\tEXPORT_SYMBOL\t\n"),
        ("config", "# a kernel's\nCONFIG_MODULES=y\n"),
        ("System.map", "ffffffff82000000 r __ksymtab_kmalloc\nffffffff82000010 R __stop___ksymtab\n"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        assert_eq!(kernel::named(path.as_os_str(), &lookup).unwrap_err().kind(), ErrorKind::NotFound, "{name}");
    }
    assert!(Vermagic::parse(VERMAGIC.as_bytes()).release().is_some());
}
