//! Promise: the predictions of `check` for broken modules are the answers of real kernels.
//!
//! Each way of breaking is a function that changes the bytes of a good module of the kernel under test: `dummy`, or `crc_itu_t`
//! where exports are concerned. All ways except those that break the trailer are applied to the module without its trailer,
//! since an invalid signature is refused before anything else is checked.
//!
//! Malformed files exist that crash the loader of some kernels. None of them is made here: `check` predicts *unknown* for them,
//! and there would be no answer to compare.

use std::collections::HashMap;
use std::path::Path;

use kmodlab::kernel::files::KernelFiles;
use kmodlab::lab::experiment;
use kmodlab::lab::record::{LoadMode, TrialRole};
use kmodlab::lab::spec::TrialSpec;
use kmodlab::lab::store::{self, TrialWriter};
use kmodlab::lab::subject::TrialSubject;
use kmodlab::lab::target::TargetKernel;

use crate::support::fetched::LOOKUP;
use crate::vm::kernels::{chosen, deb};
use crate::vm::tally::Tally;
use crate::vm::{alone, emptied, load_only};

/// A way of breaking. It does nothing if the module lacks the part, as in kernels without MODVERSIONS.
type Breaking = fn(&mut Elf) -> Option<()>;

/// The types of sections and the section numbers of symbols in ELF (System V ABI, chapter 4).
const PROGBITS: u32 = 1;
const WRITE: u64 = 1;
const ALLOC: u64 = 2;

#[rustfmt::skip]
const WAYS: &[(&str, Breaking)] = &[
    ("nothing, but the trailer is gone", |_| Some(())),
    // The version magic.
    ("vermagic: a token changed", |elf| elf.vermagic(|text| text.replacen(" SMP ", " SMQ ", 1))),
    ("vermagic: a token more", |elf| elf.vermagic(|text| text.replacen("mod_unload ", "mod_unload vivo ", 1))),
    ("vermagic: a token less", |elf| elf.vermagic(|text| text.replacen("mod_unload ", "", 1))),
    ("vermagic: trailing space removed", |elf| elf.vermagic(|text| text.trim_end().to_owned())),
    ("vermagic: a space more at its end", |elf| elf.vermagic(|text| format!("{text} "))),
    ("vermagic: another release", |elf| elf.vermagic(|text| format!("4{}", &text[1..]))),
    ("vermagic: another release and token", |elf| elf.vermagic(|text| format!("4{}", text[1..].replacen("SMP ", "", 1)))),
    ("vermagic: empty", |elf| elf.vermagic(|_| String::new())),
    ("vermagic: missing", |elf| elf.modinfo(|entries| entries.retain(|entry| !entry.starts_with("vermagic=")))),
    ("vermagic: a wrong one before", |elf| elf.modinfo(|entries| entries.insert(0, "vermagic=none of this".to_owned()))),
    ("vermagic: a wrong one after", |elf| elf.modinfo(|entries| entries.push("vermagic=none of this".to_owned()))),
    // Symbol versions.
    ("versions: CRC of module_layout changed", |elf| elf.crc("module_layout", |crc| crc ^ 1)),
    ("versions: CRC of an import changed", |elf| elf.crc("eth_validate_addr", |crc| crc ^ 1)),
    ("versions: CRC of an import zero", |elf| elf.crc("eth_validate_addr", |_| 0)),
    ("versions: entry of an import renamed", |elf| elf.version_name("eth_validate_addr", b"fth_validate_addr")),
    ("versions: entry of module_layout renamed", |elf| elf.version_name("module_layout", b"nodule_layout")),
    ("versions: not ALLOC", |elf| elf.section("__versions")?.clear_flags(elf, ALLOC)),
    ("versions: section renamed", |elf| elf.section("__versions")?.rename(elf)),
    ("versions: half of the section", |elf| elf.section("__versions")?.set_size(elf, |size| size / 128 * 64)),
    ("versions: empty", |elf| elf.section("__versions")?.set_size(elf, |_| 0)),
    // The modinfo.
    ("modinfo: renamed", |elf| elf.section(".modinfo")?.rename(elf)),
    ("modinfo: not ALLOC", |elf| elf.section(".modinfo")?.clear_flags(elf, ALLOC)),
    ("modinfo: two", |elf| elf.again(".modinfo")),
    ("modinfo: not NUL terminated", |elf| elf.section(".modinfo")?.set_size(elf, |size| size - 1)),
    ("modinfo: empty", |elf| elf.section(".modinfo")?.set_size(elf, |_| 0)),
    ("modinfo: licence Proprietary", |elf| elf.entry("license=", Some("license=Proprietary"))),
    ("modinfo: licence missing", |elf| elf.entry("license=", None)),
    ("modinfo: intree missing", |elf| elf.entry("intree=", None)),
    ("modinfo: retpoline missing", |elf| elf.entry("retpoline=", None)),
    ("modinfo: livepatch", |elf| elf.entry("", Some("livepatch=Y"))),
    ("modinfo: staging", |elf| elf.entry("", Some("staging=Y"))),
    ("modinfo: test", |elf| elf.entry("", Some("test=Y"))),
    ("modinfo: imports a namespace that nobody has", |elf| elf.entry("", Some("import_ns=NOBODYS"))),
    // struct module.
    ("this_module: 64 bytes short", |elf| elf.this_module()?.set_size(elf, |size| size - 64)),
    ("this_module: 64 bytes long", |elf| elf.this_module()?.set_size(elf, |size| size + 64)),
    ("this_module: renamed", |elf| elf.this_module()?.rename(elf)),
    ("this_module: not ALLOC", |elf| elf.this_module()?.clear_flags(elf, ALLOC)),
    ("this_module: two", |elf| elf.again(".gnu.linkonce.this_module")),
    ("this_module: name of a built-in module", |elf| elf.name(b"block")),
    ("this_module: another name than modinfo's", |elf| elf.put(elf.this_module()?.offset(elf) + NAME_AT, b"dammy")),
    // The ELF file.
    ("elf: another version in its ident", |elf| elf.put(6, &[2])),
    ("elf: another machine", |elf| elf.put(18, &183u16.to_le_bytes())),
    ("elf: another type", |elf| elf.put(16, &2u16.to_le_bytes())),
    ("elf: 32 bit in its ident", |elf| elf.put(4, &[1])),
    ("elf: big-endian in its ident", |elf| elf.put(5, &[2])),
    ("elf: section headers of another size", |elf| elf.put(58, &56u16.to_le_bytes())),
    ("elf: section headers beyond the end", |elf| { let end = elf.bytes.len() as u64; elf.put(40, &end.to_le_bytes()) }),
    ("elf: section headers far beyond the end", |elf| elf.put(40, &(u64::MAX - 64).to_le_bytes())),
    ("elf: no sections", |elf| elf.put(60, &0u16.to_le_bytes())),
    ("elf: one section less", |elf| { let less = elf.count() - 1; elf.put(60, &less.to_le_bytes()) }),
    ("elf: a section beyond the end", |elf| elf.section(".comment")?.set_offset(elf, 1 << 40)),
    ("elf: a section longer than the file", |elf| elf.section(".comment")?.set_size(elf, |_| 1 << 40)),
    ("elf: an allocated section beyond the end", |elf| elf.section(".rodata")?.set_offset(elf, 1 << 40)),
    ("elf: section 0 has a type", |elf| Section(0).set_kind(elf, PROGBITS)),
    ("elf: section 0 has a size", |elf| Section(0).set_size(elf, |_| 1)),
    ("elf: section names' index out of range", |elf| { let beyond = elf.count(); elf.put(62, &beyond.to_le_bytes()) }),
    ("elf: section names' index 0", |elf| elf.put(62, &0u16.to_le_bytes())),
    ("elf: section names not NUL terminated", |elf| elf.section(".shstrtab")?.set_size(elf, |size| size - 1)),
    ("elf: section names of another type", |elf| elf.section(".shstrtab")?.set_kind(elf, PROGBITS)),
    ("elf: section names empty", |elf| elf.section(".shstrtab")?.set_size(elf, |_| 0)),
    ("elf: W+X section", |elf| elf.section(".text")?.set_flags(elf, WRITE)),
    ("elf: shortened to 32 bytes", |elf| elf.shorten(|_| 32)),
    ("elf: shortened to its header", |elf| elf.shorten(|_| 64)),
    ("elf: shortened to half", |elf| elf.shorten(|len| len / 2)),
    ("elf: a byte short", |elf| elf.shorten(|len| len - 1)),
    ("elf: garbage after it", |elf| { elf.bytes.extend_from_slice(&[0x5a; 100]); Some(()) }),
    // Symbols.
    ("symbols: no table", |elf| elf.section(".symtab")?.set_kind(elf, PROGBITS)),
    ("symbols: two tables", |elf| elf.again(".symtab")),
    ("symbols: entries of size 0", |elf| elf.section(".symtab")?.set(elf, 56, &0u64.to_le_bytes())),
    ("symbols: link 0", |elf| elf.section(".symtab")?.set(elf, 40, &0u32.to_le_bytes())),
    ("symbols: link out of range", |elf| { let beyond = u32::from(elf.count()); elf.section(".symtab")?.set(elf, 40, &beyond.to_le_bytes()) }),
    ("symbols: strings of another type", |elf| elf.section(".strtab")?.set_kind(elf, PROGBITS)),
    ("symbols: strings not NUL terminated", |elf| elf.section(".strtab")?.set_size(elf, |size| size - 1)),
    ("symbols: an import that nobody exports", |elf| elf.import_nobody()),
    ("symbols: a weak import that nobody exports", |elf| { elf.import_nobody()?; elf.symbol("fth_validate_addr")?.set(elf, 4, &[0x20]) }),
    ("symbols: a weak import", |elf| elf.symbol("eth_validate_addr")?.set(elf, 4, &[0x20])),
    ("symbols: an import for GPL only, licence Proprietary", |elf| elf.entry("license=", Some("license=None of yours"))),
    ("symbols: a common symbol", |elf| elf.symbol("eth_validate_addr")?.set(elf, 6, &0xfff2u16.to_le_bytes())),
    // Relocations.
    ("relocations: a target that is not zero", |elf| elf.fill_target()),
    ("relocations: an unknown type", |elf| elf.relocation(".rela.init.text")?.set(elf, 8, &0xeeu32.to_le_bytes())),
    // BTF.
    ("btf: renamed", |elf| elf.section(".BTF")?.rename(elf)),
    ("btf: wrong magic", |elf| elf.put(elf.section(".BTF")?.offset(elf), &[0, 0])),
    ("btf: 8 bytes", |elf| elf.section(".BTF")?.set_size(elf, |_| 8)),
    ("btf: empty", |elf| elf.section(".BTF")?.set_size(elf, |_| 0)),
];

/// The ways that are applied to a signed module with its trailer.
#[rustfmt::skip]
const TRAILER_WAYS: &[(&str, Breaking)] = &[
    ("trailer: good", |_| Some(())),
    ("trailer: a code byte changed", |elf| { let at = elf.section(".text")?.offset(elf); elf.flip(at + 32) }),
    ("trailer: a byte of the signature changed", |elf| elf.flip(elf.bytes.len() - TRAILER - 8)),
    ("trailer: id_type 1", |elf| elf.put(elf.bytes.len() - TRAILER + 2, &[1])),
    ("trailer: an algorithm", |elf| elf.put(elf.bytes.len() - TRAILER, &[1])),
    ("trailer: a signer's length", |elf| elf.put(elf.bytes.len() - TRAILER + 3, &[1])),
    ("trailer: a hash", |elf| elf.put(elf.bytes.len() - TRAILER + 1, &[1])),
    ("trailer: padding", |elf| elf.put(elf.bytes.len() - TRAILER + 6, &[1])),
    ("trailer: length 0", |elf| elf.put(elf.bytes.len() - TRAILER + 8, &0u32.to_be_bytes())),
    ("trailer: length huge", |elf| elf.put(elf.bytes.len() - TRAILER + 8, &u32::MAX.to_be_bytes())),
    ("trailer: length one less", |elf| elf.signature_length(|len| len - 1)),
    ("trailer: PKCS#7 garbage", |elf| { let len = elf.signature()?; let at = elf.bytes.len() - TRAILER - len; elf.put(at, &vec![0x5a; len]) }),
    ("trailer: PKCS#7 zeros", |elf| { let len = elf.signature()?; let at = elf.bytes.len() - TRAILER - len; elf.put(at, &vec![0; len]) }),
    ("trailer: its magic string spoilt", |elf| elf.flip(elf.bytes.len() - 2)),
    ("trailer: a byte after it", |elf| { elf.bytes.push(0); Some(()) }),
    ("trailer: twice", |elf| { let len = elf.signature()?; let at = elf.bytes.len() - TRAILER - len; elf.bytes.extend_from_within(at..); Some(()) }),
    ("trailer: vermagic changed in place", |elf| { let at = elf.find(b"vermagic=")?; elf.put(at + 9, b"4") }),
];

/// The ways that are applied to a module that exports symbols.
#[rustfmt::skip]
const EXPORT_WAYS: &[(&str, Breaking)] = &[
    ("exports: good", |_| Some(())),
    ("exports: a symbol that the kernel has", |elf| { let at = elf.find(b"\0crc_itu_t\0")?; elf.put(at + 1, b"kfree\0\0\0\0") }),
    ("exports: without CRCs", |elf| elf.section("__kcrctab")?.rename(elf)),
    ("exports: without flags", |elf| elf.section("__kflagstab")?.rename(elf)),
];

/// The part of a trailer after the signature: `struct module_signature` and the magic string.
pub(crate) const TRAILER: usize = 12 + 28;

/// The offset of `name` in `struct module` on 64-bit machines: after `state` and `list` (include/linux/module.h).
const NAME_AT: usize = 24;

/// The number of trials on five Debian kernels with `KMODLAB_BREAKAGE=all`; otherwise half of them. Kernels without symbol
/// versions or BTF have fewer trials.
const TRIALS_OF_FIVE: usize = 1024;

#[test]
#[ignore = "needs QEMU and fetched kernels: tests/run runs it"]
fn real_kernels_answer_to_broken_modules_as_predicted() {
    let _alone = alone();
    let conditions = load_only();
    let good = ["dummy", "crc_itu_t"].map(str::to_owned).into();
    let kernels = chosen();
    let mut trials = Vec::new();
    let is_all = std::env::var_os("KMODLAB_BREAKAGE").is_some_and(|how_many| how_many == "all");
    for (nth, name) in kernels.iter().enumerate() {
        let begun = std::time::Instant::now();
        let target = TargetKernel::open(&deb(name), &good, &conditions.settings, &LOOKUP).unwrap();
        let mut subjects = broken(name, &target.files);
        if !is_all {
            // In turn, so that each way is tried on two or three of the kernels.
            let mut index = nth;
            subjects.retain(|_| {
                index += 1;
                index.is_multiple_of(2)
            });
        }
        let questions: Vec<TrialSpec<'_>> = subjects
            .iter()
            .flat_map(|subject| {
                [LoadMode::Original, LoadMode::Forced].map(|load_mode| TrialSpec {
                    role: TrialRole::Asked,
                    subject,
                    load_mode,
                })
            })
            .collect();
        trials.extend(experiment::run(&target, &questions, &conditions, &HashMap::new(), &|_| {}));
        println!("{name}: {} ways of breaking, {} trials, {:?}", subjects.len(), questions.len(), begun.elapsed());
    }
    // Kept for inspection.
    let mut writer = TrialWriter::open(&emptied("target/report/broken").join(store::FILE)).unwrap();
    trials.iter().for_each(|trial| writer.add(trial).unwrap());
    Tally::of(&trials).judge("broken modules");
    let least = if is_all { TRIALS_OF_FIVE } else { TRIALS_OF_FIVE / 2 - 5 };
    assert!(kernels.len() < 5 || trials.len() >= least, "{} trials", trials.len());
}

/// All broken variants of a kernel's modules. The path names the way of breaking, so that it is shown in reports.
fn broken(kernel: &str, files: &KernelFiles) -> Vec<TrialSubject> {
    let mut subjects = Vec::new();
    for (module, is_signed, breakages) in
        [("dummy", false, WAYS), ("dummy", true, TRAILER_WAYS), ("crc_itu_t", false, EXPORT_WAYS)]
    {
        let good = Elf { bytes: files.modules[module].bytes.clone() };
        for (name, breakage) in breakages {
            let mut elf = good.clone();
            if !is_signed {
                let len = elf.signature().expect("Debian's modules are signed") + TRAILER;
                elf.bytes.truncate(elf.bytes.len() - len);
            }
            let before = elf.bytes.clone();
            if breakage(&mut elf).is_none() {
                // A kernel's own modules may lack only these; any other missing part is an error of this test.
                let (has_versions, has_btf) = (good.section("__versions").is_some(), good.section(".BTF").is_some());
                let is_absent = name.starts_with("versions:") && !has_versions
                    || name.starts_with("btf:") && !has_btf
                    || name.ends_with("without CRCs") && !has_versions
                    || name.ends_with("without flags") && good.section("__kflagstab").is_none();
                assert!(is_absent, "{kernel}: {name} does not apply");
                continue;
            }
            assert!(before != elf.bytes || name.ends_with("good") || name.starts_with("nothing"), "{name}");
            let path = Path::new(name).join(format!("{module}.ko"));
            subjects.push(TrialSubject::new(elf.bytes, &path, Some("broken".to_owned())));
        }
    }
    subjects
}

/// A 64-bit little-endian ELF file for breaking. Anything that the file does not have is `None`.
#[derive(Clone)]
pub(crate) struct Elf {
    pub(crate) bytes: Vec<u8>,
}

/// A section, by its number.
#[derive(Clone, Copy)]
pub(crate) struct Section(usize);

/// A record in a section, by its offset in the file.
#[derive(Clone, Copy)]
struct Record(usize);

impl Elf {
    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.bytes[at..at + 2].try_into().unwrap())
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().unwrap())
    }

    fn u64(&self, at: usize) -> usize {
        usize::try_from(u64::from_le_bytes(self.bytes[at..at + 8].try_into().unwrap())).unwrap()
    }

    fn put(&mut self, at: usize, bytes: &[u8]) -> Option<()> {
        self.bytes.get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
        Some(())
    }

    fn flip(&mut self, at: usize) -> Option<()> {
        self.bytes[at] ^= 1;
        Some(())
    }

    fn shorten(&mut self, to: impl Fn(usize) -> usize) -> Option<()> {
        self.bytes.truncate(to(self.bytes.len()));
        Some(())
    }

    fn find(&self, text: &[u8]) -> Option<usize> {
        self.bytes.windows(text.len()).position(|window| window == text)
    }

    fn count(&self) -> u16 {
        self.u16(60)
    }

    fn text_at(&self, at: usize) -> &[u8] {
        self.bytes[at..].split(|byte| *byte == 0).next().unwrap()
    }

    pub(crate) fn section(&self, name: &str) -> Option<Section> {
        let names = Section(usize::from(self.u16(62))).offset(self);
        (0..usize::from(self.count()))
            .map(Section)
            .find(|section| self.text_at(names + self.u32(section.header(self)) as usize) == name.as_bytes())
    }

    fn this_module(&self) -> Option<Section> {
        self.section(".gnu.linkonce.this_module")
    }

    /// Appends a section's changed contents to the end of the file.
    pub(crate) fn rewrite(&mut self, section: Section, content: &[u8]) -> Option<()> {
        self.bytes.resize(self.bytes.len().next_multiple_of(64), 0);
        let at = self.bytes.len();
        self.bytes.extend_from_slice(content);
        section.set_offset(self, at as u64)?;
        section.set_size(self, |_| content.len() as u64)
    }

    /// Changes the modinfo's entries.
    fn modinfo(&mut self, change: impl Fn(&mut Vec<String>)) -> Option<()> {
        let section = self.section(".modinfo")?;
        let content = String::from_utf8(section.content(self).to_vec()).unwrap();
        let mut entries: Vec<String> = content.split_terminator('\0').map(str::to_owned).collect();
        change(&mut entries);
        let content: String = entries.into_iter().map(|entry| entry + "\0").collect();
        self.rewrite(section, content.as_bytes())
    }

    fn vermagic(&mut self, change: impl Fn(&str) -> String) -> Option<()> {
        self.modinfo(|entries| {
            let entry = entries.iter_mut().find(|entry| entry.starts_with("vermagic=")).unwrap();
            *entry = format!("vermagic={}", change(&entry["vermagic=".len()..]));
        })
    }

    /// Removes the entries that begin with `out`, and inserts this entry.
    fn entry(&mut self, out: &str, entry: Option<&str>) -> Option<()> {
        self.modinfo(|entries| {
            entries.retain(|one| out.is_empty() || !one.starts_with(out));
            entries.splice(0..0, entry.map(str::to_owned));
        })
    }

    /// Sets the module's name, in both places.
    fn name(&mut self, name: &[u8; 5]) -> Option<()> {
        self.put(self.this_module()?.offset(self) + NAME_AT, name)?;
        self.put(self.find(b"\0name=dummy\0")? + 6, name)
    }

    /// An entry of `__versions`: a CRC of 8 bytes and a name of 56 (`struct modversion_info`).
    fn version(&self, symbol: &str) -> Option<usize> {
        let section = self.section("__versions")?;
        let entries = section
            .content(self)
            .chunks(64)
            .position(|entry| entry[8..].split(|byte| *byte == 0).next() == Some(symbol.as_bytes()));
        Some(section.offset(self) + entries.expect("dummy imports it") * 64)
    }

    fn crc(&mut self, symbol: &str, change: impl Fn(u32) -> u32) -> Option<()> {
        let at = self.version(symbol)?;
        self.put(at, &change(self.u32(at)).to_le_bytes())
    }

    fn version_name(&mut self, symbol: &str, name: &[u8]) -> Option<()> {
        self.put(self.version(symbol)? + 8, name)
    }

    /// Adds a second section header equal to this one.
    fn again(&mut self, name: &str) -> Option<()> {
        let (from, count) = (self.u64(40), self.count());
        let header = self.section(name)?.header(self);
        let mut headers = self.bytes[from..from + usize::from(count) * 64].to_vec();
        headers.extend_from_slice(&self.bytes[header..header + 64]);
        self.bytes.resize(self.bytes.len().next_multiple_of(64), 0);
        let at = self.bytes.len() as u64;
        self.bytes.extend_from_slice(&headers);
        self.put(40, &at.to_le_bytes())?;
        self.put(60, &(count + 1).to_le_bytes())
    }

    /// Adds a section that is not loaded.
    pub(crate) fn add_section(&mut self, name: &str, content: &[u8]) -> Option<()> {
        let names = Section(usize::from(self.u16(62)));
        let old = names.content(self).to_vec();
        let at = u32::try_from(old.len()).unwrap();
        self.rewrite(names, &[&old, name.as_bytes(), b"\0"].concat())?;
        self.again(".comment")?;
        let new = Section(usize::from(self.count()) - 1);
        new.set(self, 0, &at.to_le_bytes())?;
        self.rewrite(new, content)
    }

    /// A symbol: name 4, info 1, other 1, section 2, value 8, size 8.
    fn symbols(&self) -> Vec<Record> {
        let table = self.section(".symtab").unwrap();
        (table.offset(self)..table.offset(self) + table.size(self)).step_by(24).map(Record).collect()
    }

    fn symbol(&self, name: &str) -> Option<Record> {
        let names = self.section(".strtab")?.offset(self);
        self.symbols().into_iter().find(|symbol| self.text_at(names + self.u32(symbol.0) as usize) == name.as_bytes())
    }

    fn import_nobody(&mut self) -> Option<()> {
        let names = self.section(".strtab")?;
        let within = names.content(self).windows(19).position(|window| window == b"\0eth_validate_addr\0")?;
        self.put(names.offset(self) + within + 1, b"f")
    }

    /// A relocation: offset 8, type 4, symbol 4, addend 8.
    fn relocation(&self, section: &str) -> Option<Record> {
        Some(Record(self.section(section)?.offset(self)))
    }

    fn fill_target(&mut self) -> Option<()> {
        let place = self.u64(self.relocation(".rela.init.text")?.0);
        self.put(self.section(".init.text")?.offset(self) + place, &[1])
    }

    /// The length of the signature.
    pub(crate) fn signature(&self) -> Option<usize> {
        self.bytes.ends_with(b"~Module signature appended~\n").then_some(())?;
        let at = self.bytes.len() - TRAILER + 8;
        Some(u32::from_be_bytes(self.bytes[at..at + 4].try_into().unwrap()) as usize)
    }

    fn signature_length(&mut self, change: impl Fn(u32) -> u32) -> Option<()> {
        let len = u32::try_from(self.signature()?).unwrap();
        self.put(self.bytes.len() - TRAILER + 8, &change(len).to_be_bytes())
    }
}

/// A section header: name 4, type 4, flags 8, address 8, offset 8, size 8, link 4, info 4, align 8, entry size 8.
impl Section {
    fn header(self, elf: &Elf) -> usize {
        elf.u64(40) + self.0 * 64
    }

    fn offset(self, elf: &Elf) -> usize {
        elf.u64(self.header(elf) + 24)
    }

    fn size(self, elf: &Elf) -> usize {
        elf.u64(self.header(elf) + 32)
    }

    fn content(self, elf: &Elf) -> &[u8] {
        &elf.bytes[self.offset(elf)..self.offset(elf) + self.size(elf)]
    }

    fn set(self, elf: &mut Elf, field: usize, bytes: &[u8]) -> Option<()> {
        elf.put(self.header(elf) + field, bytes)
    }

    /// Removes the first letter of its name.
    fn rename(self, elf: &mut Elf) -> Option<()> {
        let name = elf.u32(self.header(elf)) + 1;
        self.set(elf, 0, &name.to_le_bytes())
    }

    fn set_kind(self, elf: &mut Elf, kind: u32) -> Option<()> {
        self.set(elf, 4, &kind.to_le_bytes())
    }

    fn set_flags(self, elf: &mut Elf, flags: u64) -> Option<()> {
        let flags = elf.u64(self.header(elf) + 8) as u64 | flags;
        self.set(elf, 8, &flags.to_le_bytes())
    }

    fn clear_flags(self, elf: &mut Elf, flags: u64) -> Option<()> {
        let flags = elf.u64(self.header(elf) + 8) as u64 & !flags;
        self.set(elf, 8, &flags.to_le_bytes())
    }

    fn set_offset(self, elf: &mut Elf, offset: u64) -> Option<()> {
        self.set(elf, 24, &offset.to_le_bytes())
    }

    fn set_size(self, elf: &mut Elf, change: impl Fn(u64) -> u64) -> Option<()> {
        let size = change(self.size(elf) as u64);
        self.set(elf, 32, &size.to_le_bytes())
    }
}

impl Record {
    fn set(self, elf: &mut Elf, field: usize, bytes: &[u8]) -> Option<()> {
        elf.put(self.0 + field, bytes)
    }
}

#[test]
fn there_are_enough_breakages_and_each_has_its_own_name() {
    let names: Vec<&str> = [WAYS, TRAILER_WAYS, EXPORT_WAYS].concat().into_iter().map(|(name, _)| name).collect();
    let different: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(different.len(), names.len());
    assert!(names.len() >= 30, "{}", names.len());
}
