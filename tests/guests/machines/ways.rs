//! The ways of breaking a module: functions that change its bytes, and do nothing if the module or the architecture lacks the
//! part that they change.
//!
//! Files that are known to crash a loader are not included. Such files exist for each architecture; `check` answers *unknown*
//! for them.

use crate::machines::elf::{
    ALIGN, ALLOC, COUNT, ENTRY, ENTRY_SIZE, Elf, FILE_FLAGS, FLAGS, HEADER_SIZE, HEADERS, KIND, LINK, MACHINE, NAMES,
    OFFSET, SYMBOL_SECTION, Section, TRAILER, TYPE, WRITE,
};

/// A way of breaking.
pub(crate) type Breaking = fn(&mut Elf) -> Option<()>;

/// Numbers of ELF (System V ABI, chapter 4).
const PROGBITS: u64 = 1;
const COMMON: u64 = 0xfff2;

/// Architectures by number (`e_machine`).
const I386: u64 = 3;
const MIPS: u64 = 8;
const PPC64: u64 = 21;
const S390: u64 = 22;
const ARM: u64 = 40;
const X86_64: u64 = 62;
const ARM64: u64 = 183;
const RISCV: u64 = 243;

/// An import that `dummy` refers to in data, and one that it calls in code that is never run here.
const IMPORT: &str = "eth_validate_addr";
const CALLED: &str = "skb_clone_tx_timestamp";

/// The ways that are applied to `dummy` without its trailer, since an invalid signature is refused before anything else.
#[rustfmt::skip]
pub(crate) const WAYS: &[(&str, Breaking)] = &[
    ("nothing but the trailer is gone", |_| Some(())),
    // The version magic.
    ("vermagic: a token changed", |elf| elf.vermagic(|text| text.replacen(" mod_unload", " mod_onload", 1))),
    ("vermagic: a token more", |elf| elf.vermagic(|text| text.replacen("mod_unload ", "mod_unload vivo ", 1))),
    ("vermagic: a token less", |elf| elf.vermagic(|text| text.replacen("mod_unload ", "", 1))),
    ("vermagic: trailing space removed", |elf| elf.vermagic(|text| text.trim_end().to_owned())),
    ("vermagic: a space more at its end", |elf| elf.vermagic(|text| format!("{text} "))),
    ("vermagic: another release", |elf| elf.vermagic(|text| format!("4{}", &text[1..]))),
    ("vermagic: another release and token", |elf| elf.vermagic(|text| format!("4{}", text[1..].replacen("mod_unload ", "", 1)))),
    ("vermagic: a longer release", |elf| elf.vermagic(|text| text.replacen(' ', "-and-more ", 1))),
    ("vermagic: empty", |elf| elf.vermagic(|_| String::new())),
    ("vermagic: missing", |elf| elf.entry("vermagic=", None)),
    ("vermagic: a wrong one before", |elf| elf.modinfo(|entries| entries.insert(0, "vermagic=none of this".to_owned()))),
    ("vermagic: a wrong one after", |elf| elf.modinfo(|entries| entries.push("vermagic=none of this".to_owned()))),
    // Symbol versions.
    ("versions: CRC of module_layout changed", |elf| elf.crc("module_layout", |crc| crc ^ 1)),
    ("versions: CRC of an import changed", |elf| elf.crc(IMPORT, |crc| crc ^ 1)),
    ("versions: CRC of an import zero", |elf| elf.crc(IMPORT, |_| 0)),
    ("versions: entry of an import renamed", |elf| elf.version_name(IMPORT, b"fth_validate_addr")),
    ("versions: entry of module_layout renamed", |elf| elf.version_name("module_layout", b"nodule_layout")),
    ("versions: not ALLOC", |elf| clear(elf, "__versions", ALLOC)),
    ("versions: section renamed", |elf| elf.rename(elf.section("__versions")?)),
    ("versions: half of the section", |elf| elf.resize(elf.section("__versions")?, |size| size / 128 * 64)),
    ("versions: empty", |elf| elf.resize(elf.section("__versions")?, |_| 0)),
    // The modinfo.
    ("modinfo: renamed", |elf| elf.rename(elf.section(".modinfo")?)),
    ("modinfo: not ALLOC", |elf| clear(elf, ".modinfo", ALLOC)),
    ("modinfo: two", |elf| elf.again(elf.section(".modinfo")?)),
    ("modinfo: not NUL terminated", |elf| elf.resize(elf.section(".modinfo")?, |size| size - 1)),
    ("modinfo: empty", |elf| elf.resize(elf.section(".modinfo")?, |_| 0)),
    ("modinfo: licence Proprietary", |elf| elf.entry("license=", Some("license=Proprietary"))),
    ("modinfo: licence missing", |elf| elf.entry("license=", None)),
    ("modinfo: intree missing", |elf| elf.entry("intree=", None)),
    ("modinfo: intree=N", |elf| elf.entry("intree=", Some("intree=N"))),
    ("modinfo: retpoline missing", |elf| elf.entry_there("retpoline=", None)),
    ("modinfo: livepatch", |elf| elf.entry("", Some("livepatch=Y"))),
    ("modinfo: staging", |elf| elf.entry("", Some("staging=Y"))),
    ("modinfo: test", |elf| elf.entry("", Some("test=Y"))),
    ("modinfo: name missing", |elf| elf.entry("name=", None)),
    ("modinfo: imports a namespace that nobody has", |elf| elf.entry("", Some("import_ns=NOBODYS"))),
    // struct module.
    ("this_module: 64 bytes long", |elf| elf.resize(elf.this_module()?, |size| size + 64)),
    ("this_module: renamed", |elf| elf.rename(elf.this_module()?)),
    ("this_module: not ALLOC", |elf| clear(elf, ".gnu.linkonce.this_module", ALLOC)),
    ("this_module: two", |elf| elf.again(elf.this_module()?)),
    ("this_module: name of a built-in module", |elf| elf.set_name(b"block")),
    ("this_module: another name than modinfo's", |elf| elf.put_bytes(elf.name_at()?, b"dammy")),
    // The ELF file.
    ("elf: another magic", |elf| elf.put_bytes(1, b"F")),
    ("elf: another version in its ident", |elf| elf.put_bytes(6, &[2])),
    ("elf: another ABI in its ident", |elf| elf.put_bytes(7, &[9])),
    ("elf: another machine", |elf| { let other = if elf.machine() == X86_64 { ARM64 } else { X86_64 }; elf.set_header(MACHINE, other) }),
    ("elf: another type", |elf| elf.set_header(TYPE, 2)),
    ("elf: the other class in its ident", |elf| { let class = 3 - elf.bytes[4]; elf.put_bytes(4, &[class]) }),
    ("elf: the other byte order in its ident", |elf| { let order = 3 - elf.bytes[5]; elf.put_bytes(5, &[order]) }),
    ("elf: section headers of another size", |elf| elf.set_header(HEADER_SIZE, 56)),
    ("elf: section headers beyond the end", |elf| elf.set_header(HEADERS, elf.bytes.len() as u64)),
    ("elf: section headers far beyond the end", |elf| elf.set_header(HEADERS, u64::MAX - 64)),
    ("elf: no sections", |elf| elf.set_header(COUNT, 0)),
    ("elf: one section less", |elf| elf.set_header(COUNT, elf.count() as u64 - 1)),
    ("elf: a section beyond the end", |elf| set(elf, ".comment", OFFSET, far(elf))),
    ("elf: a section longer than the file", |elf| { let far = far(elf); elf.resize(elf.section(".comment")?, |_| far) }),
    ("elf: an allocated section beyond the end", |elf| set(elf, ".rodata", OFFSET, far(elf))),
    ("elf: an alignment that is no power of two", |elf| set(elf, ".text", ALIGN, 3)),
    ("elf: section 0 has a type", |elf| elf.set(Section(0), KIND, PROGBITS)),
    ("elf: section 0 has a size", |elf| elf.resize(Section(0), |_| 1)),
    ("elf: section names' index out of range", |elf| elf.set_header(NAMES, elf.count() as u64)),
    ("elf: section names' index 0", |elf| elf.set_header(NAMES, 0)),
    ("elf: section names not NUL terminated", |elf| elf.resize(elf.section(".shstrtab")?, |size| size - 1)),
    ("elf: section names of another type", |elf| set(elf, ".shstrtab", KIND, PROGBITS)),
    ("elf: section names empty", |elf| elf.resize(elf.section(".shstrtab")?, |_| 0)),
    ("elf: W+X section", |elf| { let flags = elf.get(elf.section(".text")?, FLAGS); set(elf, ".text", FLAGS, flags | WRITE) }),
    ("elf: no bytes", |elf| elf.shorten(|_| 0)),
    ("elf: text", |elf| { elf.bytes = b"no module\n".to_vec(); Some(()) }),
    ("elf: shortened to 32 bytes", |elf| elf.shorten(|_| 32)),
    ("elf: shortened to its header", |elf| elf.shorten(|_| 64)),
    ("elf: shortened to half", |elf| elf.shorten(|len| len / 2)),
    ("elf: a byte short", |elf| elf.shorten(|len| len - 1)),
    ("elf: garbage after it", |elf| { elf.bytes.extend_from_slice(&[0x5a; 100]); Some(()) }),
    // Symbols.
    ("symbols: no table", |elf| set(elf, ".symtab", KIND, PROGBITS)),
    ("symbols: two tables", |elf| elf.again(elf.section(".symtab")?)),
    ("symbols: entries of size 0", |elf| set(elf, ".symtab", ENTRY_SIZE, 0)),
    ("symbols: link 0", |elf| set(elf, ".symtab", LINK, 0)),
    ("symbols: strings of another type", |elf| set(elf, ".strtab", KIND, PROGBITS)),
    ("symbols: an import that nobody exports", |elf| elf.name_symbol(IMPORT, "nobody_exports_this")),
    ("symbols: an import with a dot before it", |elf| elf.name_symbol(IMPORT, ".eth_validate_addr")),
    ("symbols: a weak import that nobody exports, in data", |elf| { elf.weaken(IMPORT)?; elf.name_symbol(IMPORT, "nobody_exports_this") }),
    ("symbols: a weak import that nobody exports, in code", |elf| { elf.weaken(CALLED)?; elf.name_symbol(CALLED, "nobody_exports_this") }),
    ("symbols: a weak import", |elf| elf.weaken(IMPORT)),
    ("symbols: an import for GPL only, licence Proprietary", |elf| elf.entry("license=", Some("license=None of yours"))),
    ("symbols: a common symbol", |elf| elf.set_record(elf.symbol(IMPORT)?, SYMBOL_SECTION, COMMON)),
    ("symbols: a bad section index", |elf| elf.set_record(elf.a_local()?, SYMBOL_SECTION, elf.count() as u64)),
    // Relocations.
    ("relocations: type 238", |elf| retype(elf, 238)),
    ("relocations: type 0", |elf| retype(elf, 0)),
    ("relocations: a target that is not zero", |elf| { let at = elf.place(".text", elf.relocation_to(".text", CALLED)?)?; (elf.machine() == X86_64).then(|| elf.put_bytes(at, &[1]))? }),
    // Specific to an architecture.
    ("i386: relocation of type 3", |elf| { of(elf, I386)?; retype(elf, 3) }),
    ("s390x: another number of the same machine", |elf| { of(elf, S390)?; elf.set_header(MACHINE, 0xa390) }),
    ("s390x: relocation of type 9", |elf| { of(elf, S390)?; retype(elf, 9) }),
    ("s390x: relocation of type 12", |elf| { of(elf, S390)?; retype(elf, 12) }),
    ("s390x: an odd distance", |elf| { of(elf, S390)?; elf.add_to_addend(elf.relocation_to(".text", CALLED)?, 1) }),
    ("riscv64: relocation of type 4", |elf| { of(elf, RISCV)?; retype(elf, 4) }),
    ("riscv64: relocation of type 5", |elf| { of(elf, RISCV)?; retype(elf, 5) }),
    ("arm: without .plt", |elf| { of(elf, ARM).or_else(|| of(elf, ARM64))?; elf.rename(elf.section(".plt")?) }),
    ("arm: without .init.plt", |elf| { of(elf, ARM).or_else(|| of(elf, ARM64))?; elf.rename(elf.section(".init.plt")?) }),
    ("arm64: without .text.ftrace_trampoline", |elf| { of(elf, ARM64)?; elf.rename(elf.section(".text.ftrace_trampoline")?) }),
    ("arm64: without .init.text.ftrace_trampoline", |elf| { of(elf, ARM64)?; elf.rename(elf.section(".init.text.ftrace_trampoline")?) }),
    ("armhf: an entry of neither instruction set", |elf| { of(elf, ARM)?; elf.set_header(ENTRY, 2) }),
    ("armhf: flags of an unknown ABI", |elf| { of(elf, ARM)?; elf.set_header(FILE_FLAGS, 8) }),
    ("ppc64el: without .stubs", |elf| { of(elf, PPC64)?; elf.rename(elf.section(".stubs")?) }),
    ("ppc64el: without .toc", |elf| { of(elf, PPC64)?; elf.rename(elf.section(".toc")?) }),
    ("ppc64el: flags of the first ABI", |elf| { of(elf, PPC64)?; elf.set_header(FILE_FLAGS, 1) }),
    ("ppc64el: flags of no ABI", |elf| { of(elf, PPC64)?; elf.set_header(FILE_FLAGS, 0) }),
    ("ppc64el: no nop after a call", |elf| { of(elf, PPC64)?; let at = elf.place(".text", elf.relocation_to(".text", CALLED)?)?; elf.put(at + 4, 4, 0x6000_0001) }),
    ("mips: flags of another ABI", |elf| { of(elf, MIPS)?; let flags = elf.header(FILE_FLAGS); elf.set_header(FILE_FLAGS, flags | 0x20) }),
];

/// The ways that are applied to `dummy` with its trailer.
#[rustfmt::skip]
pub(crate) const TRAILER_WAYS: &[(&str, Breaking)] = &[
    ("trailer: a byte of a comment changed", |elf| { let at = elf.offset(elf.section(".comment")?); elf.flip(at + 8) }),
    ("trailer: a byte of the signature changed", |elf| elf.flip(elf.bytes.len() - TRAILER - 8)),
    ("trailer: id_type 1", |elf| elf.put_bytes(elf.bytes.len() - TRAILER + 2, &[1])),
    ("trailer: an algorithm", |elf| elf.put_bytes(elf.bytes.len() - TRAILER, &[1])),
    ("trailer: a signer's length", |elf| elf.put_bytes(elf.bytes.len() - TRAILER + 3, &[1])),
    ("trailer: a hash", |elf| elf.put_bytes(elf.bytes.len() - TRAILER + 1, &[1])),
    ("trailer: padding", |elf| elf.put_bytes(elf.bytes.len() - TRAILER + 6, &[1])),
    ("trailer: length 0", |elf| elf.set_signature_length(|_| 0)),
    ("trailer: length huge", |elf| elf.set_signature_length(|_| u32::MAX)),
    ("trailer: length one less", |elf| elf.set_signature_length(|length| length - 1)),
    ("trailer: PKCS#7 garbage", |elf| { let (at, length) = (elf.signature_at()?, elf.signature()?); elf.put_bytes(at, &vec![0x5a; length]) }),
    ("trailer: PKCS#7 zeros", |elf| { let (at, length) = (elf.signature_at()?, elf.signature()?); elf.put_bytes(at, &vec![0; length]) }),
    ("trailer: its magic string spoilt", |elf| elf.flip(elf.bytes.len() - 2)),
    ("trailer: a byte after it", |elf| { elf.bytes.push(0); Some(()) }),
    ("trailer: twice", |elf| { let at = elf.signature_at()?; elf.bytes.extend_from_within(at..); Some(()) }),
    ("trailer: vermagic changed in place", |elf| { let at = elf.find(b"vermagic=")?; elf.put_bytes(at + 9, b"4") }),
];

/// The ways that are applied to `crc_itu_t`, which exports symbols, without its trailer.
#[rustfmt::skip]
pub(crate) const EXPORT_WAYS: &[(&str, Breaking)] = &[
    ("exports: good", |_| Some(())),
    ("exports: a symbol that the kernel has", |elf| { let at = elf.find(b"\0crc_itu_t\0")?; elf.put_bytes(at + 1, b"kfree\0\0\0\0") }),
    ("exports: without CRCs", |elf| elf.rename(elf.section("__kcrctab")?)),
    ("exports: without flags", |elf| elf.rename(elf.section("__kflagstab")?)),
];

/// The ways that are applied to a module that imports a namespace.
pub(crate) const NAMESPACE_WAYS: &[(&str, Breaking)] =
    &[("namespace: not imported", |elf| elf.entry_there("import_ns=", None))];

fn of(elf: &Elf, machine: u64) -> Option<()> {
    (elf.machine() == machine).then_some(())
}

fn set(elf: &mut Elf, section: &str, field: [(usize, usize); 2], number: u64) -> Option<()> {
    elf.set(elf.section(section)?, field, number)
}

fn clear(elf: &mut Elf, section: &str, flags: u64) -> Option<()> {
    let section = elf.section(section)?;
    elf.set(section, FLAGS, elf.get(section, FLAGS) & !flags)
}

/// An offset beyond the end of any file.
fn far(elf: &Elf) -> u64 {
    if elf.is_wide() { 1 << 40 } else { 0x7fff_f000 }
}

/// Gives the relocation of a call another type; the call is never run.
fn retype(elf: &mut Elf, kind: u64) -> Option<()> {
    elf.retype(elf.relocation_to(".text", CALLED)?, kind)
}
