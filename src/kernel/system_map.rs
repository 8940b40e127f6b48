//! `System.map` and /proc/kallsyms: the symbols of a kernel's image with their addresses.
//!
//! Each export has an entry `__ksymtab_NAME` (include/linux/export.h, export-internal.h). Debian ships one line that names
//! another package instead. Pure.

use crate::kernel::facts::{Fact, Facts};
use crate::kernel::origin::Origin;
use crate::kernel::tree::{Export, Exports, MOST_EXPORTS};

/// Does the text begin as one?
pub(super) fn looks_like(text: &str) -> bool {
    text.lines().next().and_then(line).is_some()
}

/// The names of the exports; none from a stub or a file without such entries, or with more of them than any kernel has. They are complete if the end of the table is
/// there too (`__stop___ksymtab`, include/asm-generic/vmlinux.lds.h), which a truncated file lacks.
pub(super) fn facts(text: &str, source: &Origin) -> Facts {
    let mut exports = Exports::default();
    let mut has_end = false;
    for (name, owner) in text.lines().filter_map(line) {
        if owner.is_some() {
            continue;
        }
        has_end |= name == "__stop___ksymtab" || name == "__stop___ksymtab_gpl";
        if let Some(symbol) = name.strip_prefix("__ksymtab_").filter(|symbol| !symbol.is_empty()) {
            exports.symbols.insert(symbol.to_owned(), Export::default());
            if exports.symbols.len() > MOST_EXPORTS {
                return Facts::default();
            }
        }
    }
    exports.complete = has_end;
    let exports = (!exports.symbols.is_empty()).then_some(Fact { value: exports, source: source.clone() });
    Facts { exports, ..Facts::default() }
}

/// `address type name`, in kallsyms followed by a tab and `[module]`.
fn line(line: &str) -> Option<(&str, Option<&str>)> {
    let mut fields = line.split_ascii_whitespace();
    let (address, kind, name, owner) = (fields.next()?, fields.next()?, fields.next()?, fields.next());
    let is_line = matches!(address.len(), 8 | 16)
        && address.bytes().all(|byte| byte.is_ascii_hexdigit())
        && kind.len() == 1
        && owner.is_none_or(|owner| owner.starts_with('['));
    is_line.then_some((name, owner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_exports_than_any_kernel_has_are_none() {
        let map = |count: usize| (0..count).map(|n| format!("{n:016x} r __ksymtab_s{n}\n")).collect::<String>();
        let known = facts(&map(MOST_EXPORTS), &Origin::default()).exports.unwrap();
        assert_eq!(known.value.symbols.len(), MOST_EXPORTS);
        assert_eq!(facts(&map(MOST_EXPORTS + 1), &Origin::default()).exports, None);
    }

    #[test]
    fn entries_of_the_table_are_exports() {
        let text =
            "ffffffff81000000 T _text\nffffffff82000000 r __ksymtab__printk\nffffffff82000010 R __stop___ksymtab\n";
        assert!(looks_like(text));
        let exports = facts(text, &"System.map".into()).exports.unwrap().value;
        assert!(exports.complete);
        assert_eq!(exports.symbols.keys().collect::<Vec<_>>(), ["_printk"]);
    }

    #[test]
    fn the_exports_of_a_truncated_file_are_incomplete() {
        assert!(!facts("ffffffff82000000 r __ksymtab__printk\n", &Origin::default()).exports.unwrap().value.complete);
    }

    #[test]
    fn entries_of_modules_are_not_exports_of_the_image() {
        assert!(facts("ffffffffc0000000 r __ksymtab_x\t[kvm]\n", &Origin::default()).exports.is_none());
    }

    #[test]
    fn debians_stub_has_no_exports() {
        let stub = "ffffffffffffffff B The real System.map is in the linux-image-<version>-dbg package\n";
        assert!(facts(stub, &"System.map".into()).exports.is_none());
    }
}
