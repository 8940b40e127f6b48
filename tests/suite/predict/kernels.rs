//! Kernels made of facts: everything that decides about `hello-4.ko` is known, and the kernels accept it.

use std::collections::HashMap;

use kmodlab::kernel::{Config, Export, Exports, Fact, Facts, Kernel, Machine, ModuleTree};
use kmodlab::module::elf::{Class, Endian};
use kmodlab::module::this_module::ModuleLayout;
use kmodlab::vermagic::Vermagic;

fn fact<T>(value: T) -> Option<Fact<T>> {
    Some(Fact { value, source: "this test".into() })
}

/// A kernel as the named project builds it, with this version in its release; otherwise it is the kernel that `hello-4.ko` was
/// built for.
fn built_by(builder: &str, package: &str, version: &str) -> Kernel {
    let release = format!("{version}-47-amd64");
    let vermagic = Vermagic::parse(format!("{release} SMP preempt mod_unload modversions ").as_bytes());
    let symbol = |name: &str, crc| {
        let export = Export { crc: Some(crc), gpl_only: Some(false), namespace: Some(String::new()) };
        (name.to_owned(), export)
    };
    let symbols =
        [symbol("_printk", 0x92997ed8), symbol("param_ops_charp", 0x5c28e3b1), symbol("module_layout", 0x1a2b3c4d)];
    let config = ["MODULE_FORCE_LOAD", "MODULE_SIG", "MODVERSIONS", "STRICT_MODULE_RWX", "LIVEPATCH", "RETPOLINE"];
    let config: Config = config.map(|option| (option.to_owned(), "y".to_owned())).into();
    let facts = Facts {
        release: fact(release.clone()),
        banner: fact(format!("Linux version {release} ({builder}) (gcc (Debian 12.2.0-14) 12.2.0) #1 SMP {package}")),
        vermagic: fact(vermagic.clone()),
        machine: fact(Machine { class: Class::Elf64, endian: Endian::Little, number: 62 }),
        fingerprint: fact(ModuleLayout { size: 0x380, init: Some(0x138), exit: Some(0x350) }),
        exports: fact(Exports { symbols: HashMap::from(symbols), complete: true }),
        tree: fact(ModuleTree::default()),
        config: fact(config),
        ..Facts::default()
    };
    Kernel { name: release.as_str().into(), vermagic: fact(vermagic), facts }
}

/// A Debian kernel.
pub(crate) fn debian(version: &str) -> Kernel {
    built_by("debian-kernel@lists.debian.org", "Debian 1-1 (2026-01-01)", version)
}

/// An upstream kernel.
pub(crate) fn upstream(version: &str) -> Kernel {
    built_by("builder@example.org", "Thu Jan  1 00:00:00 UTC 2026", version)
}

/// The same kernel with an option of its configuration set or not.
pub(crate) fn with_option(mut kernel: Kernel, option: &str, is_set: bool) -> Kernel {
    let config = &mut kernel.facts.config.as_mut().unwrap().value;
    match is_set {
        true => config.insert(option.to_owned(), "y".to_owned()),
        false => config.remove(option),
    };
    kernel
}

/// The same kernel with one export changed.
pub(crate) fn with_export(mut kernel: Kernel, symbol: &str, change: impl FnOnce(&mut Export)) -> Kernel {
    change(kernel.facts.exports.as_mut().unwrap().value.symbols.get_mut(symbol).unwrap());
    kernel
}

/// The same kernel without an export.
pub(crate) fn without_export(mut kernel: Kernel, symbol: &str) -> Kernel {
    kernel.facts.exports.as_mut().unwrap().value.symbols.remove(symbol).unwrap();
    kernel
}

/// A Debian kernel without symbol versions, whose `struct module` is that of the modules from
/// [`crate::make::special::Special`].
pub(crate) fn without_versions(version: &str) -> Kernel {
    let mut kernel = debian(version);
    let vermagic = &mut kernel.vermagic.as_mut().unwrap().value;
    *vermagic = Vermagic::parse(vermagic.to_string().replace("modversions ", "").as_bytes());
    kernel.facts.fingerprint = fact(ModuleLayout { size: 0x300, init: Some(0x138), exit: Some(0x2d8) });
    kernel
}
