//! The messages of the module loader that a kernel can print: those whose format strings are in its image.

use std::collections::BTreeSet;

use aho_corasick::{AhoCorasick, packed};
use memchr::memmem;

/// Parts of the loader's format strings, each of which shows that a check exists, or how it answers.
///
/// They are read in kernel/module.c (5.10), kernel/module/ (6.1, 6.12, 7.2), kernel/module_signature.c,
/// arch/x86/kernel/module.c, arch/arm64/kernel/module.c, arch/powerpc/kernel/module_64.c, kernel/bpf/btf.c and security/lockdown/lockdown.c; one in Android's kernel/module/main.c
/// (android14-6.1). None contains another.
pub const LOADER_MESSAGES: &[&str] = &[
    "%s: %s: kernel tainted.",
    "bad vermagic",
    "for sec %u, idx %u",
    "module GOT.PLT section(s) missing",
    "%s: doesn't contain .mygot.",
    ".init.text.ftrace_trampoline",
    "version magic '%s' should be '%s'",
    "no versions for exported symbols",
    "no flags for exported symbols",
    "module verification failed: signature and/or required key missing",
    "~Module signature appended~",
    "Loading of %s is rejected",
    "Loading of unsigned module",
    "module with unavailable key",
    "not signed with expected PKCS#7 message",
    "Waived invalid module sig (has authattrs)",
    "PKCS#7 signature info has unexpected non-zero params",
    "Lockdown: %s",
    "Kernel is locked down from %s",
    "is marked as livepatch module, but livepatch support is disabled",
    "failed to validate module [%s] BTF",
    "Kernel module BTF mismatch detected",
    "is not mapped to base BTF id",
    "disagrees about version of symbol",
    "no symbol version for %s",
    "no extended symbol version for %s",
    "extended version crc+name presence does not match",
    "more extended version crcs than names",
    "Unknown symbol %s (err %d)",
    "but does not import it",
    "module tries to import module namespace",
    "exports duplicate symbol",
    "exports protected symbol",
    "has an invalid section index",
    "please compile with -fno-common",
    "using GPL-only symbols uses symbols",
    "from proprietary module %s, inheriting taint",
    "module uses symbols %s",
    "has both .ctors and .init_array",
    "failing symbol_get of non-GPLONLY symbol",
    "is being used by a non-GPL module, which will not be allowed",
    "is marked as UNUSED, however this module is using it",
    "ignoring obsolete section __ksymtab_gpl",
    "has invalid WRITE|EXEC flags",
    "Module len %lu truncated",
    "Module has invalid ELF structures",
    "Invalid ELF header len %lu",
    "Invalid ELF header magic",
    "Invalid ELF header type: %u != %u",
    "Invalid architecture in ELF header: %u",
    "Invalid module architecture in ELF header: %u",
    "Invalid ELF section header size",
    "Invalid ELF section header overflow",
    "Invalid ELF section hdr(type %u)",
    "Invalid ELF section in module",
    "Invalid ELF section name in module",
    "Invalid ELF section name index: %d",
    "Invalid ELF section name table type",
    "Invalid ELF sh_link!=SHN_UNDEF",
    "Invalid ELF symbol string table type",
    "ELF Spec violation: section 0 type",
    "ELF Spec violation: section name table isn't null terminated",
    "empty section name table",
    "empty symbol string table",
    "symbol string table missing leading NUL",
    "symbol string table isn't NUL terminated",
    "symbol name out of bounds in string table",
    "Only one .modinfo section must exist",
    "Only one .gnu.linkonce.this_module",
    "Exactly one .gnu.linkonce.this_module",
    ".gnu.linkonce.this_module section must have a size set",
    ".gnu.linkonce.this_module must occupy memory during process execution",
    "section size must match the kernel's built struct module size",
    "No module found in object",
    "module has no symbols (stripped?)",
    "is blacklisted",
    "module is already loaded",
    "module license '%s' taints kernel",
    "module license taints kernel",
    "loading out-of-tree module taints kernel",
    "loading test module taints kernel",
    "module is from the staging directory",
    "loading module not compiled with retpoline compiler",
    "tainting kernel with TAINT_LIVEPATCH",
    "Skipping invalid relocation target",
    "Invalid relocation target, existing value is nonzero",
    "existing value does not match expected value",
    "overflow in relocation type %d val",
    "not a gzip compressed module",
    "not an xz compressed module",
    "not a zstd compressed module",
    "init suspiciously returned %d",
    "gave up waiting for init of module %s",
];

/// Names that the kernel's own implementations of SHA-384 and SHA-512 have in its image where they are built in
/// (`cra_driver_name`, crypto/sha512_generic.c; crypto/sha512.c from 6.16 on). They are in its data.
pub const SHA512_NAMES: [&str; 2] = ["sha512-generic", "sha512-lib"];

/// Those of [`SHA512_NAMES`] that are in an image's data.
pub(super) fn digests(data: &[u8]) -> impl Iterator<Item = String> {
    let is_there = |name: &&&str| memmem::find(data, name.as_bytes()).is_some();
    SHA512_NAMES.iter().filter(is_there).map(|name| (*name).to_owned())
}

/// How many messages one search looks for: the number that a vector search (Teddy) can handle. Several vector searches are
/// much faster than one automaton for all messages.
const AT_ONCE: usize = 48;

/// Those of [`LOADER_MESSAGES`] that are in an image's constants.
pub(super) fn find(constants: &[u8]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for messages in LOADER_MESSAGES.chunks(AT_ONCE) {
        let mut note = |pattern: usize| {
            if let Some(message) = messages.get(pattern) {
                found.insert((*message).to_owned());
            }
        };
        match packed::Searcher::new(messages) {
            Some(search) => search.find_iter(constants).for_each(|hit| note(hit.pattern().as_usize())),
            // A machine without the necessary vector instructions.
            None => {
                let Ok(search) = AhoCorasick::new(messages) else { continue };
                search.find_iter(constants).for_each(|hit| note(hit.pattern().as_usize()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_contains_another() {
        // One search finds no two at the same place.
        for (index, message) in LOADER_MESSAGES.iter().enumerate() {
            let others = LOADER_MESSAGES.iter().enumerate().filter(|(other, _)| *other != index);
            let within: Vec<_> = others.filter(|(_, other)| other.contains(message)).collect();
            assert_eq!(within, [], "{message}");
        }
    }

    #[test]
    fn each_message_is_found_with_what_printk_puts_around_it() {
        let image: Vec<u8> =
            LOADER_MESSAGES.iter().flat_map(|m| [b"\x013%s: ", m.as_bytes(), b"\n\0"].concat()).collect();
        assert_eq!(find(&image).len(), LOADER_MESSAGES.len());
        assert_eq!(find(b""), BTreeSet::new());
    }
}
