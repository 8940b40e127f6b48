//! Which of the module loader's messages a kernel can print: those whose format strings stand in its image.

use std::collections::BTreeSet;

use aho_corasick::AhoCorasick;

/// Parts of the loader's format strings, each of which tells of a check, or of how it answers.
///
/// They are read in kernel/module.c (5.10), kernel/module/ (6.1, 6.12, 7.2), kernel/module_signature.c,
/// arch/x86/kernel/module.c, kernel/bpf/btf.c and security/lockdown/lockdown.c. None stands within another.
pub const LOADER_MESSAGES: &[&str] = &["%s: %s: kernel tainted."];

/// Those of [`LOADER_MESSAGES`] that stand in an image's constants.
pub(super) fn find(constants: &[u8]) -> BTreeSet<String> {
    let Ok(search) = AhoCorasick::new(LOADER_MESSAGES) else { return BTreeSet::new() };
    let found = search.find_iter(constants).filter_map(|hit| LOADER_MESSAGES.get(hit.pattern().as_usize()));
    found.map(|message| (*message).to_owned()).collect()
}
