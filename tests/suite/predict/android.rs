//! Android kernels with CONFIG_MODULE_SIG_PROTECT (kernel/module/gki_module.c of the common kernels, 5.15 to 6.12): what they
//! refuse depends on two lists that were compiled in. Neither list is known here, so a module without a signature that the
//! kernel can verify is undecided; a module that is signed with a known key, or that imports nothing, is decided. Not measured.

use std::collections::HashMap;

use kmodlab::kernel::{Config, Export, Exports, Fact, Facts, Kernel, Machine, ModuleTree, StructMember};
use kmodlab::module::Module;
use kmodlab::module::elf::{Class, Endian};
use kmodlab::module::this_module::ModuleLayout;
use kmodlab::predict::errno::ENOENT;
use kmodlab::predict::{Decision, Force, LoaderStep, StepResult, Verdict};
use kmodlab::vermagic::Vermagic;

use crate::make::special::Special;
use crate::predict::kernels::{upstream, with_option};
use crate::predict::{assert_accepted, assert_refused, assert_unknown, fixture, insmod, signed};

const RELEASE: &str = "6.1.112-android14-11-g0123456789ab-ab11111111";

fn fact<T>(value: T) -> Option<Fact<T>> {
    Some(Fact { value, source: "this test".into() })
}

fn tokens() -> String {
    format!("{RELEASE} SMP preempt mod_unload aarch64")
}

/// A generic kernel image for arm64 that exports two symbols.
fn gki() -> Kernel {
    let vermagic = Vermagic::parse(tokens().as_bytes());
    let export = || Export { crc: None, gpl_only: Some(false), namespace: Some(String::new()) };
    let symbols = ["_printk", "register_kprobe"].map(|name| (name.to_owned(), export()));
    let config = ["MODULE_SIG", "MODULE_SIG_PROTECT", "ARM64_MODULE_PLTS", "STRICT_MODULE_RWX"];
    let config: Config = config.map(|option| (option.to_owned(), "y".to_owned())).into();
    let facts = Facts {
        release: fact(RELEASE.to_owned()),
        banner: fact(format!("Linux version {RELEASE} (build-user@build-host) (Android clang) #1 SMP PREEMPT")),
        vermagic: fact(vermagic.clone()),
        machine: fact(Machine { class: Class::Elf64, endian: Endian::Little, number: 183 }),
        fingerprint: fact(ModuleLayout { size: 0x300, init: Some(0x138), exit: Some(0x2d8) }),
        exports: fact(Exports { symbols: HashMap::from(symbols), complete: true }),
        tree: fact(ModuleTree::default()),
        config: fact(config),
        ..Facts::default()
    };
    Kernel { name: RELEASE.into(), vermagic: fact(vermagic), facts }
}

/// A module that a vendor built for it.
fn vendor(change: impl FnOnce(&mut Special)) -> Vec<u8> {
    let vermagic = format!("vermagic={}", tokens());
    let mut module =
        Special::new("arm64", &["license=GPL", "depends=", "intree=Y", "scmversion=g0123456789ab", &vermagic]);
    change(&mut module);
    module.bytes().unwrap()
}

fn open(verdict: &Verdict) -> Vec<(LoaderStep, &str)> {
    let unknown = verdict.findings.iter().filter(|finding| finding.result == StepResult::Unknown);
    unknown.map(|finding| (finding.step, finding.note.as_str())).collect()
}

#[test]
fn a_vendors_module_may_import_what_is_listed() {
    let verdict = insmod(&vendor(|module| module.imports = vec!["_printk", "register_kprobe"]), &gki(), Force::None);
    assert_unknown(&verdict, &["are all 2 imports on its list?", "(err -13)", "an empty list allows all"]);
    assert_eq!((open(&verdict).len(), verdict.dmesg.len()), (1, 0), "nothing else is open, and it says nothing");
}

#[test]
fn what_it_exports_may_be_protected() {
    let module = vendor(|module| (module.imports, module.exports) = (vec![], vec!["rfkill_alloc", "rfkill_register"]));
    let verdict = insmod(&module, &gki(), Force::None);
    assert_unknown(&verdict, &["is rfkill_alloc one of them?", "exports protected symbol", "EACCES (13)"]);
    assert_eq!(open(&verdict).iter().map(|(step, _)| *step).collect::<Vec<_>>(), [LoaderStep::Exports]);
}

#[test]
fn what_neither_imports_nor_exports_loads() {
    let verdict = insmod(&vendor(|module| module.imports = vec![]), &gki(), Force::None);
    assert_accepted(&verdict, "", &[]);
}

#[test]
fn an_unexported_symbol_is_missing_as_on_other_kernels() {
    let module = vendor(|module| module.imports = vec!["gone_from_the_kernel"]);
    let verdict = insmod(&module, &gki(), Force::None);
    assert_eq!((verdict.answer, verdict.stage), (Decision::Refused, Some(LoaderStep::Symbols)));
    assert_eq!(verdict.dmesg, ["demo: Unknown symbol gone_from_the_kernel (err -2)"]);
    // The same kernel without protection.
    let plain = with_option(gki(), "MODULE_SIG_PROTECT", false);
    let line = "demo: module verification failed: signature and/or required key missing - tainting kernel";
    let missing = "demo: Unknown symbol gone_from_the_kernel (err -2)";
    assert_refused(&insmod(&module, &plain, Force::None), LoaderStep::Symbols, ENOENT, &[line, missing]);
}

#[test]
fn a_module_that_is_signed_by_a_known_key_is_not_asked() {
    let mut kernel = with_option(upstream("6.1.112"), "MODULE_SIG_PROTECT", true);
    kernel.facts.keys = Some(signed::known());
    let verdict = insmod(&fixture("modules/hello-4-signed.ko"), &kernel, Force::None);
    assert_accepted(&verdict, "O", &["hello_4: loading out-of-tree module taints kernel."]);
}

#[test]
fn a_kernel_without_the_option_allows_all() {
    let plain = with_option(gki(), "MODULE_SIG_PROTECT", false);
    let line = "demo: module verification failed: signature and/or required key missing - tainting kernel";
    assert_accepted(&insmod(&vendor(|_| {}), &plain, Force::None), "E", &[line]);
}

#[test]
fn a_pointer_of_another_layout_may_overlap_scmversion() {
    let mut kernel = with_option(gki(), "MODULE_SIG_PROTECT", false);
    kernel.facts.fingerprint = fact(ModuleLayout { size: 0x300, init: Some(0x140), exit: Some(0x2e0) });
    let member = |name: &str, offset| StructMember { name: name.to_owned(), offset, size: 8 };
    kernel.facts.layout = fact(vec![member("scmversion", 0x138), member("args", 0x2d8)]);
    let verdict = insmod(&vendor(|_| {}), &kernel, Force::None);
    assert_eq!((open(&verdict), verdict.answer), (vec![], Decision::Accepted), "{verdict:#?}");
}

#[test]
fn scmversion_is_an_entry_like_others() {
    let module = Module::read(&vendor(|_| {})).unwrap();
    assert_eq!(module.modinfo.first("scmversion"), Some(b"g0123456789ab".as_slice()));
}
