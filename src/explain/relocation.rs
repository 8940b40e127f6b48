//! Lines about relocations that no rule of [`crate::predict`] prints: the address or the rest of the file decides about them.
//!
//! Read in arch/*/kernel/module*.c (5.10, 6.1, 6.12, 7.2) and kernel/livepatch/core.c.

use crate::predict::LoaderStep;
use crate::predict::availability::Availability;
use crate::predict::errno::{EINVAL, ENOEXEC};
use crate::predict::message::{Effect, Message};

const fn line(text: &'static str, errno: i32, meaning: &'static str) -> Message {
    Message::new(text, Effect::Refuses(errno), Availability::Always, meaning).at(LoaderStep::Relocations)
}

const POSITION: &str = "it was compiled as position-independent code, or for another kernel";

/// These lines, by architecture.
#[rustfmt::skip]
pub(super) const MESSAGES: &[(&str, &[Message])] = &[
    ("x86", &[
        line("`{module}' likely not compiled with -mcmodel=kernel", ENOEXEC, "an address does not fit into 32 bits: the module was compiled without the kernel's options"),
        line("module: x86/modules: Invalid relocation target, existing value does not match expected value for {place:*}", ENOEXEC, "a livepatch's relocation cannot be taken back"),
        line("module: `{module}' likely not compiled with -mcmodel=kernel", ENOEXEC, "an address does not fit into 32 bits: the module was compiled without the kernel's options"),
        line("overflow in relocation type {type:d} val {value:*}", ENOEXEC, "a value does not fit into 32 bits"),
        line("Unknown rela relocation: {type:d}", ENOEXEC, "it has a relocation of type {type}, which the loader does not know: it was compiled by a newer compiler than the kernel"),
        line("Skipping invalid relocation target, existing value is nonzero for {place:*}", ENOEXEC, "there are nonzero bytes where an address is to be filled in"),
    ]),
    ("arm", &[
        line("{module}: section {section:d} reloc {index:d}: bad relocation sym offset", ENOEXEC, "a relocation is against a symbol that does not exist"),
        line("{module}: section {section:d} reloc {index:d} sym '{symbol:*}': unsupported interworking call (Thumb -> ARM)", ENOEXEC, "a branch of Thumb code goes to ARM code"),
        line("{module}: section {section:d} reloc {index:d} sym '{symbol:*}': only Thumb addresses allowed{rest:*}", ENOEXEC, "a branch of Thumb code goes to ARM code"),
    ]),
    ("riscv", &[
        line("{module}: The unexpected relocation type '{type:*}' from PC = {place:*}", EINVAL, "it has a relocation of type {type}, which only a linker can apply"),
    ]),
    ("powerpc", &[
        line("{module}: Unknown ADD relocation: {type:d}", ENOEXEC, POSITION),
        line("{module}: doesn't contain .toc or .stubs.", ENOEXEC, "it lacks the sections for calls (.toc, .stubs): it was not linked by kbuild, or for another ABI"),
        line("module_64: {module}: doesn't contain .toc or .stubs.", ENOEXEC, "it lacks the sections for calls (.toc, .stubs): it was not linked by kbuild, or for another ABI"),
        line("{module}: Expected nop after call, got {instruction:x} at {place:*}", ENOEXEC, "a call is not followed by the nop that the loader replaces"),
    ]),
    ("mips", &[
        line("module {module}: dangerous R_MIPS_{type} REL relocation", ENOEXEC, "the two halves of an address do not fit each other"),
        line("module {module}: dangerous R_MIPS_{type} RELArelocation", ENOEXEC, "the two halves of an address do not fit each other"),
        line("module {module}: dangerous R_MIPS_{type} RELA relocation", ENOEXEC, "the two halves of an address do not fit each other"),
    ]),
    ("ia64", &[
        line("{module}: special reloc {type} not supported", ENOEXEC, POSITION),
    ]),
    ("", &[
        line("livepatch: Unknown symbol {symbol:*}", ENOEXEC, "the kernel has no symbol that the livepatch changes"),
        line("livepatch: symbol '{symbol}' not found in symbol table", EINVAL, "the livepatch changes {symbol}, which this kernel does not have"),
    ]),
];
