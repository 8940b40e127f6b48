//! `Module.symvers`, which a kernel's build writes: every export with its CRC, its owner, and how it is exported.
//!
//! Fedora, RHEL and SUSE put it next to the modules and into `/boot`, compressed: `symvers.xz`, `symvers-RELEASE.gz`. Pure.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::budget::WorkBudget;
use crate::kernel::facts::{Fact, Facts};
use crate::kernel::note::Note;
use crate::kernel::origin::Origin;
use crate::kernel::packed;
use crate::kernel::tree::{Export, Exports, MOST_EXPORTS, MOST_MODULES, ModuleTree, TreeModule};
use crate::module::name_of_file;

/// Does the text begin as one?
pub(super) fn looks_like(text: &str) -> bool {
    text.lines().next().and_then(line).is_some()
}

/// The facts in a file, compressed or not. A damaged file yields only a note.
pub(super) fn read(bytes: &[u8], source: &Origin, budget: &WorkBudget) -> Facts {
    match packed::unpack(bytes, budget) {
        Ok(text) => facts(&String::from_utf8_lossy(&text), source),
        Err(error) => {
            Facts { notes: vec![Note::LeftOut { origin: source.clone(), why: error.to_string() }], ..Facts::default() }
        }
    }
}

/// The facts in a text. The owner `vmlinux` is the image; any other is a module, named by its path without the ending. If a
/// line is malformed, as the last line of a file that is just being written is, the exports are incomplete; so they are if there
/// are more than any kernel has.
pub(super) fn facts(text: &str, source: &Origin) -> Facts {
    let mut exports = Exports::default();
    let mut modules: BTreeMap<&str, Vec<(String, Export)>> = BTreeMap::new();
    let (mut read, mut bad) = (0, 0);
    for text in text.split_inclusive('\n') {
        let text = text.strip_suffix('\n').filter(|_| read < MOST_EXPORTS);
        let Some(SymversLine { crc, symbol, owner, gpl_only, namespace }) = text.and_then(line) else {
            bad += 1;
            continue;
        };
        if owner != "vmlinux" && modules.len() >= MOST_MODULES && !modules.contains_key(owner) {
            bad += 1;
            continue;
        }
        read += 1;
        let export = Export { crc: Some(crc), gpl_only: Some(gpl_only), namespace: Some(namespace.to_owned()) };
        if owner == "vmlinux" {
            exports.symbols.insert(symbol.to_owned(), export);
        } else {
            modules.entry(owner).or_default().push((symbol.to_owned(), export));
        }
    }
    let of_modules = modules.values_mut().flatten().map(|(_, export)| export);
    let mut all: Vec<&mut Export> = exports.symbols.values_mut().chain(of_modules).collect();
    // Without CONFIG_MODVERSIONS the build writes 0 for each.
    if all.iter().all(|export| export.crc == Some(0)) {
        all.iter_mut().for_each(|export| export.crc = None);
    }
    // The Module.symvers of a module that was built outside of the kernel's tree has no export of the image.
    let has_image = !exports.symbols.is_empty();
    exports.complete = has_image && bad == 0;
    let all: Vec<TreeModule> = modules
        .into_iter()
        .map(|(owner, exports)| TreeModule {
            name: name_of_file(PathBuf::from(owner).as_path()),
            file: PathBuf::from(owner),
            depends: Vec::new(),
            exports,
            is_added: !has_image,
        })
        .collect();
    let modules = ModuleTree::new(all, Vec::new());
    // That of a kernel has the exports of all modules that are built with it.
    let modules = if has_image && bad == 0 { modules.listed([]) } else { modules };
    let note = match (exports.symbols.is_empty() && modules.modules.is_empty(), bad) {
        (_, 0) => None,
        (true, _) => Some(Note::NoSymvers(source.clone())),
        (false, count) => Some(Note::BadSymversLines { count, origin: source.clone() }),
    };
    Facts {
        exports: has_image.then_some(Fact { value: exports, source: source.clone() }),
        tree: (!modules.modules.is_empty()).then_some(Fact { value: modules, source: source.clone() }),
        notes: note.into_iter().collect(),
        ..Facts::default()
    }
}

struct SymversLine<'t> {
    crc: u32,
    symbol: &'t str,
    owner: &'t str,
    gpl_only: bool,
    namespace: &'t str,
}

/// `CRC symbol owner kind` with tabs; since 5.4 also a namespace, which followed the symbol up to 5.5 and is at the end since
/// then (scripts/mod/modpost.c, `write_dump`).
fn line(line: &str) -> Option<SymversLine<'_>> {
    let fields: Vec<&str> = line.split('\t').take(6).collect();
    let (crc, symbol, owner, kind, namespace) = match fields.as_slice() {
        [crc, symbol, owner, kind, rest @ ..] if kind.starts_with("EXPORT_") => {
            (crc, symbol, owner, kind, rest.first().copied().unwrap_or_default())
        }
        [crc, symbol, namespace, owner, kind, ..] if kind.starts_with("EXPORT_") => {
            (crc, symbol, owner, kind, *namespace)
        }
        _ => return None,
    };
    let crc = u32::from_str_radix(crc.strip_prefix("0x")?, 16).ok()?;
    Some(SymversLine { crc, symbol, owner, gpl_only: kind.contains("GPL"), namespace: namespace.trim() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_are_of_the_image_or_of_a_module() {
        let text = "0x92997ed8\t_printk\tvmlinux\tEXPORT_SYMBOL\t\n\
                    0x0000abcd\tkvm_init\tarch/x86/kvm/kvm\tEXPORT_SYMBOL_GPL\tKVM\n";
        assert!(looks_like(text));
        let facts = facts(text, &"Module.symvers".into());
        let exports = facts.exports.unwrap().value;
        assert!(exports.complete);
        let printk = &exports.symbols["_printk"];
        assert_eq!(
            (printk.crc, printk.gpl_only, printk.namespace.as_deref()),
            (Some(0x9299_7ed8), Some(false), Some(""))
        );
        let tree = facts.tree.unwrap().value;
        let (module, export) = tree.exporter("kvm_init").unwrap();
        assert_eq!(
            (module.name.as_str(), export.gpl_only, export.namespace.as_deref()),
            ("kvm", Some(true), Some("KVM"))
        );
    }

    #[test]
    fn the_namespace_follows_the_symbol_in_5_4() {
        let facts = facts(
            "0x00000001\tusb_stor_disconnect\tUSB_STORAGE\tdrivers/usb/storage/usb-storage\tEXPORT_SYMBOL_GPL\n",
            &Origin::default(),
        );
        let tree = facts.tree.unwrap().value;
        let (module, export) = tree.exporter("usb_stor_disconnect").unwrap();
        assert_eq!((module.name.as_str(), export.namespace.as_deref()), ("usb_storage", Some("USB_STORAGE")));
    }

    #[test]
    fn without_symbol_versions_all_crcs_are_zero_and_none_is_known() {
        let facts =
            facts("0x00000000\ta\tvmlinux\tEXPORT_SYMBOL\t\n0x00000000\tb\tvmlinux\tEXPORT_SYMBOL\t\n", &"".into());
        assert!(facts.exports.unwrap().value.symbols.values().all(|export| export.crc.is_none()));
    }

    #[test]
    fn the_complete_lines_of_a_truncated_file_are_incomplete_exports() {
        let whole = "0x00000001\ta\tvmlinux\tEXPORT_SYMBOL\t\n0x00000002\tb\tvmlinux\tEXPORT_SYMBOL_GPL\t\n";
        let second = whole.find('\n').unwrap() + 1;
        for length in second + 1..whole.len() {
            let facts = facts(&whole[..length], &"x".into());
            let exports = facts.exports.unwrap().value;
            assert!(!exports.complete && exports.symbols.keys().eq(["a"]), "{length}: {exports:?}");
            assert_eq!(facts.notes, [Note::BadSymversLines { count: 1, origin: "x".into() }]);
        }
        assert!(facts(whole, &"x".into()).exports.unwrap().value.complete);
    }

    #[test]
    fn lines_beyond_what_any_kernel_has_are_counted_and_not_kept() {
        let text = |count: usize, owner: fn(usize) -> String| {
            let line = |n: usize| format!("0x00000001\ts{n}\t{}\tEXPORT_SYMBOL\n", owner(n));
            facts(&(0..count).map(line).collect::<String>(), &"x".into())
        };
        let of_image = text(MOST_EXPORTS + 3, |_| "vmlinux".to_owned());
        let exports = of_image.exports.unwrap().value;
        assert_eq!((exports.symbols.len(), exports.complete), (MOST_EXPORTS, false));
        assert_eq!(of_image.notes, [Note::BadSymversLines { count: 3, origin: "x".into() }]);
        let of_modules = text(MOST_MODULES + 2, |n| format!("m{n}"));
        assert_eq!(of_modules.tree.unwrap().value.modules.len(), MOST_MODULES);
        assert_eq!(of_modules.notes, [Note::BadSymversLines { count: 2, origin: "x".into() }]);
    }

    #[test]
    fn a_file_that_is_not_a_list_of_exports_yields_only_a_note() {
        for text in ["<html>\n", "CONFIG_X=y\n# CONFIG_Y is not set\n", "\0\0\0", "0x1\ta\tvmlinux\tEXPORT_SYMBOL"] {
            let facts = facts(text, &"x".into());
            assert!(facts.exports.is_none() && facts.tree.is_none());
            assert_eq!(facts.notes, [Note::NoSymvers("x".into())], "{text:?}");
        }
    }

    #[test]
    fn other_text_is_not_recognised() {
        assert!(!looks_like("CONFIG_X=y\n"));
        assert!(!looks_like(""));
    }
}
