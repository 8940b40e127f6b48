//! What a kernel will answer to a module: the loader's rules, applied to facts. Pure: bytes and facts in, a verdict out.
//!
//! [`predict`] goes through the loader's steps in the loader's order (`load_module`, kernel/module/main.c; before 5.18
//! kernel/module.c), one file a step. Which behaviour which kernel has is one table, in `rules.rs`. A step that the
//! facts do not decide is *unknown*, and says what would decide it.

mod arch;
mod btf;
mod builder;
mod container;
pub mod danger;
mod exports;
mod loaded;
mod memory;
mod names;
mod numbers;
mod patched;
mod record;
mod relocations;
mod rules;
mod sections;
mod signature;
mod structure;
mod symbol_versions;
mod symbols;
mod taints;
mod userspace;
mod validity;
mod vermagic;

use serde::{Deserialize, Serialize};

use crate::kernel::{Kernel, Machine, Own};
use crate::module::Module;
use crate::module::container::Packing;
use crate::module::elf::{Class, Endian};
use danger::Danger;
use loaded::{Header, Loaded};
pub use patched::{PatchHelps, PatchMode, PatchPrediction};
use record::{Flow, Record};
use rules::{Rule, Rules};
pub use taints::{taint_bits, taint_letters, taints};
pub use userspace::{Userspace, errno_name, errno_words};
use validity::Checks;

/// Errno values, as Linux numbers them on all architectures but alpha, mips, parisc and sparc (asm-generic/errno.h).
pub mod errno {
    /// Operation not permitted.
    pub const EPERM: i32 = 1;
    /// A symbol that nobody exports.
    pub const ENOENT: i32 = 2;
    /// What most refusals come back as.
    pub const ENOEXEC: i32 = 8;
    /// No memory for a module of this size.
    pub const ENOMEM: i32 = 12;
    /// A security module says no.
    pub const EACCES: i32 = 13;
    /// A module of this name is there.
    pub const EEXIST: i32 = 17;
    /// A symbol that is there, but is another.
    pub const EINVAL: i32 = 22;
    /// A system call that the kernel was built without.
    pub const ENOSYS: i32 = 38;
    /// Cryptography that the kernel lacks.
    pub const ENOPKG: i32 = 65;
    /// A signature that can't be read.
    pub const EBADMSG: i32 = 74;
    /// Something that the kernel was not built for.
    pub const EOPNOTSUPP: i32 = 95;
    /// No such key (kernels up to 4.20 that insist on signatures).
    pub const ENOKEY: i32 = 126;
    /// A signature that does not fit, or none where one is insisted on.
    pub const EKEYREJECTED: i32 = 129;
}

/// What the kernel will answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// The loader takes it. What its own init function then does is another matter.
    Accepted,
    /// The loader refuses it.
    Refused,
    /// A fact is missing that would decide it.
    Unknown,
}

/// A step of the loader's, in the order of 6.5 and later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoaderStep {
    /// May modules be loaded at all?
    Permission,
    /// How the file is compressed, and who unpacks it.
    Container,
    /// The appended signature.
    Signature,
    /// Is it an ELF file of this kernel's machine, with the sections that a module has?
    Elf,
    /// Is its name on the kernel's blacklist?
    Blacklist,
    /// The CRC of `module_layout`.
    ModuleLayout,
    /// The version magic.
    Vermagic,
    /// A livepatch on a kernel that takes them?
    Livepatch,
    /// Is its name taken?
    Name,
    /// No section both writable and executable.
    Sections,
    /// Memory for its sections, and for its per-CPU data.
    Memory,
    /// Exports with what belongs to them, and none that is there already.
    Exports,
    /// Each imported symbol is exported by somebody, and is the same.
    Symbols,
    /// Relocations, and where `struct module` is written to.
    Relocations,
    /// The module's BTF.
    Btf,
}

impl LoaderStep {
    /// Its name in messages and JSON.
    pub fn name(self) -> &'static str {
        match self {
            LoaderStep::Permission => "permission",
            LoaderStep::Container => "container",
            LoaderStep::Signature => "signature",
            LoaderStep::Elf => "elf",
            LoaderStep::Blacklist => "blacklist",
            LoaderStep::ModuleLayout => "module-layout",
            LoaderStep::Vermagic => "vermagic",
            LoaderStep::Livepatch => "livepatch",
            LoaderStep::Name => "name",
            LoaderStep::Sections => "sections",
            LoaderStep::Memory => "memory",
            LoaderStep::Exports => "exports",
            LoaderStep::Symbols => "symbols",
            LoaderStep::Relocations => "relocations",
            LoaderStep::Btf => "btf",
        }
    }

    /// What the system call may return for a module that this step refuses, on the architectures with the usual numbers.
    fn errnos(self, rules: &Rules<'_>) -> &'static [i32] {
        match self {
            LoaderStep::Permission => &[errno::EPERM, errno::ENOSYS],
            LoaderStep::Blacklist => &[errno::EPERM],
            LoaderStep::Container => &[errno::EINVAL, errno::ENOEXEC, errno::EACCES, errno::EOPNOTSUPP],
            // What it may return for this module is noted where it is left undecided.
            LoaderStep::Signature => &[errno::EKEYREJECTED],
            // Only some kernels keep symbols from modules that they can't verify.
            LoaderStep::Exports if rules.surely(Rule::SigProtect) => &[errno::ENOEXEC, errno::EACCES],
            LoaderStep::Symbols if rules.surely(Rule::SigProtect) => &[errno::ENOENT, errno::EINVAL, errno::EACCES],
            LoaderStep::Elf
            | LoaderStep::ModuleLayout
            | LoaderStep::Vermagic
            | LoaderStep::Livepatch
            | LoaderStep::Sections
            | LoaderStep::Exports => &[errno::ENOEXEC],
            LoaderStep::Memory => &[errno::ENOMEM],
            LoaderStep::Name => &[errno::EEXIST, errno::EINVAL],
            LoaderStep::Symbols => &[errno::ENOENT, errno::EINVAL],
            LoaderStep::Relocations => &[errno::ENOEXEC, errno::EINVAL, errno::ENOENT],
            LoaderStep::Btf => &[errno::EINVAL],
        }
    }
}

/// How a step ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepResult {
    /// The module passes it.
    Pass,
    /// The kernel refuses the module here.
    Fail,
    /// The kernel does not look.
    Skip,
    /// A fact is missing.
    Unknown,
}

/// One reason in a verdict: the loader's step, what the module has, what the kernel has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which step.
    pub step: LoaderStep,
    /// How it ends.
    pub result: StepResult,
    /// What the module has, for eyes.
    pub module: Option<String>,
    /// What the kernel has, for eyes.
    pub kernel: Option<String>,
    /// Where the kernel's side was read.
    pub source: Option<String>,
    /// Why, in words; for an unknown step, what would decide it.
    pub note: String,
}

/// What the kernel is told to ignore (flags of finit_module(2)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Force {
    /// Nothing.
    #[default]
    None,
    /// MODULE_INIT_IGNORE_VERMAGIC (2): kmod's `--force-vermagic`.
    Vermagic,
    /// MODULE_INIT_IGNORE_MODVERSIONS (1): kmod's `--force-modversion`.
    Modversions,
    /// Both (3): kmod's `--force`.
    Both,
}

impl Force {
    /// Is the version magic ignored?
    pub fn vermagic(self) -> bool {
        matches!(self, Force::Vermagic | Force::Both)
    }

    /// Are symbol versions ignored?
    pub fn modversions(self) -> bool {
        matches!(self, Force::Modversions | Force::Both)
    }

    /// Its name on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Force::None => "none",
            Force::Vermagic => "vermagic",
            Force::Modversions => "modversions",
            Force::Both => "both",
        }
    }
}

/// Who loads a compressed module file. Plain files are loaded alike by all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Loader {
    /// Not known. Where kmod's versions differ, the verdict is unknown.
    #[default]
    Any,
    /// kmod up to 30: it unpacks the file itself.
    Kmod30,
    /// kmod 31 to 33: it lets the kernel unpack what the kernel can.
    Kmod31,
    /// kmod 34: the same, and it takes one zstd frame of a known size only.
    Kmod34,
    /// finit_module(2) with MODULE_INIT_COMPRESSED_FILE (4): the kernel unpacks the file.
    Kernel,
}

/// How the module is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// What the kernel is told to ignore.
    pub force: Force,
    /// A bare insmod: the modules that it needs are not there. Else they count as loaded before it.
    pub alone: bool,
    /// Who loads it, if the file is compressed.
    pub loader: Loader,
    /// The module was patched: its CRCs may not be those that it was compiled with, and prove nothing about its layout. A
    /// module that says so itself (`kmodlab_patched=`) needs no telling.
    pub is_patched: bool,
}

/// A module as it is handed to the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'f> {
    /// The file's bytes, decompressed, with the trailer.
    pub bytes: &'f [u8],
    /// The same, read; `None` for a file that contradicts itself, of which no evidence about layouts can be had.
    pub module: Option<&'f Module>,
    /// How the file is compressed; `None` for a plain one, or where the bytes are handed over as they are.
    pub packing: Option<&'f Packing>,
}

/// The kernel's answer, with its reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The answer.
    pub answer: Decision,
    /// What init_module(2) returns, as a positive number and as the kernel's architecture numbers it; for a refusal, if it is
    /// the same whichever step refuses.
    pub errno: Option<i32>,
    /// The same as asm-generic numbers it, by which it has its name ([`errno_name`]).
    pub generic_errno: Option<i32>,
    /// All that it may return, for a refusal, as the kernel's architecture numbers it.
    pub errnos: Vec<i32>,
    /// The steps before [`Verdict::stage`] that are not decided, for a refusal. One of them may refuse first; then the lines
    /// are its own. Empty where all is certain.
    pub undecided: Vec<LoaderStep>,
    /// The lines that the loader prints, in order, without timestamps, in a kernel whose taint was clear before; if the
    /// steps that are not decided pass.
    pub dmesg: Vec<String>,
    /// The loader may print further lines, about what is not known and refuses nothing.
    pub is_dmesg_open: bool,
    /// The taints that the attempt leaves, as letters in the order of their bits; `None` where that is not known.
    pub taint: Option<String>,
    /// The step that refuses at the latest.
    pub stage: Option<LoaderStep>,
    /// It is refused because it was changed after somebody whose key the kernel has signed it.
    pub is_changed: bool,
    /// The reasons, in the loader's order.
    pub findings: Vec<Finding>,
    /// The modules that it needs, to be loaded before it.
    pub needs: Vec<String>,
    /// Would a patch of the file help? For each way to change the version magic.
    pub patched: [PatchPrediction; 2],
    /// What is unsafe about it, should it be loaded all the same; worst first.
    pub dangers: Vec<Danger>,
}

impl Verdict {
    /// The errno with its name and the kernel's own number: "ENOEXEC (8)".
    pub fn errno_words(&self) -> Option<String> {
        let (number, generic) = (self.errno?, self.generic_errno?);
        Some(match number == generic {
            true => errno_words(number),
            false => format!("{} ({number})", errno_name(generic)),
        })
    }

    /// Would a rewritten version magic help?
    pub fn patch_helps(&self) -> PatchHelps {
        let [rewritten, _] = &self.patched;
        rewritten.helps
    }
}

/// The verdict for a module on a kernel.
pub fn predict(subject: &Candidate<'_>, kernel: &Kernel, load: &LoadOptions) -> Verdict {
    let own = subject.module.and_then(|module| kernel.facts.imports.as_ref()?.value.own(module));
    let trimmed = own.as_ref().and_then(|own| kernel.without(own));
    let kernel = trimmed.as_ref().unwrap_or(kernel);
    let own = own.as_ref();
    let rules = Rules::of(kernel);
    let attempt = |subject: &Candidate<'_>, load: &LoadOptions, change| {
        attempt(&Attempt { subject, kernel, own, rules: &rules, load, change })
    };
    // A patch is there so that nothing need be forced.
    let plain = LoadOptions { force: Force::None, ..*load };
    let is_other = load.force != Force::None || subject.packing.is_some();
    let unforced = is_other.then(|| attempt(subject, &plain, None));
    let asked = match (subject.packing, &unforced) {
        (Some(packing), Some(unforced)) => {
            let plain = |subject: &Candidate<'_>, load: &LoadOptions| attempt(subject, load, None);
            container::attempt(subject, packing, &rules, load, (&plain, unforced))
        }
        _ => attempt(subject, load, None),
    };
    let before = unforced.as_ref().unwrap_or(&asked);
    let patched = [PatchMode::Rewrite, PatchMode::Blank]
        .map(|change| patched::judge(change, before, |change| attempt(subject, &plain, Some(change))))
        .map(|patched| if is_of_no_module(subject.bytes) { patched.of_no_module() } else { patched });
    let dangers = subject.module.map(|module| danger::of(module, kernel, own)).unwrap_or_default();
    let answer = asked.answer();
    let machine = kernel.facts.machine.as_ref().map_or_else(|| machine_of(subject.bytes), |machine| machine.value);
    let is_refused = answer == Decision::Refused;
    let (undecided, errnos) = if is_refused { (asked.undecided(), asked.errnos(&rules)) } else { Default::default() };
    let generic_errno = errnos.first().copied().filter(|_| errnos.len() == 1);
    let letters = asked.taints.letters();
    // What refuses first leaves fewer taints.
    let are_taints_open = asked.taints_are_open || !undecided.is_empty() && !letters.is_empty();
    Verdict {
        answer,
        errno: generic_errno.map(|errno| numbers::of(machine.number, errno)),
        generic_errno,
        errnos: errnos.iter().map(|errno| numbers::of(machine.number, *errno)).collect(),
        undecided,
        stage: asked.refused.filter(|_| is_refused).map(|(step, _)| step),
        taint: (answer != Decision::Unknown && !are_taints_open).then_some(letters),
        dmesg: asked.dmesg,
        is_dmesg_open: asked.lines_are_open,
        is_changed: is_refused && asked.is_changed,
        findings: asked.findings,
        needs: asked.needs,
        patched,
        dangers,
    }
}

/// What the steps look at.
struct Attempt<'a> {
    subject: &'a Candidate<'a>,
    kernel: &'a Kernel,
    /// What the module says of the kernel itself, where the facts hold it.
    own: Option<&'a Own>,
    rules: &'a Rules<'a>,
    load: &'a LoadOptions,
    /// What a patch would have changed before.
    change: Option<PatchMode>,
}

/// One attempt at loading, from the system call to the module's own init function.
fn attempt(attempt: &Attempt<'_>) -> Record {
    let mut record = Record::default();
    if let Err(refusal) = attempt.steps(&mut record) {
        record.refused = Some(refusal);
    }
    record
}

impl Attempt<'_> {
    fn steps(&self, record: &mut Record) -> Flow {
        names::permission(self, record)?;
        // A compressed file was unpacked by then.
        if self.subject.bytes.is_empty() && self.subject.packing.is_none() {
            return self.nothing(record);
        }
        if let Some(version) = self.subject.module.and_then(Module::of_linux_2_4) {
            let version = crate::escape::bytes_for_eyes(version);
            let note =
                format!("a module of Linux 2.4 ({version}), which insmod links and no loader of a later kernel knows");
            record.unknown(LoaderStep::Elf, note);
            return Ok(());
        }
        let loaded = if self.rules.surely(Rule::SignatureLate) {
            let loaded = self.elf(self.subject.bytes, record)?;
            names::blacklist(self, &loaded, record)?;
            record.is_unsigned = signature::check(self, Some(&loaded.name), record)?.is_unsigned;
            loaded
        } else {
            let seen = signature::check(self, None, record)?;
            record.is_unsigned = seen.is_unsigned;
            let loaded = self.elf(seen.file, record)?;
            names::blacklist(self, &loaded, record)?;
            loaded
        };
        symbol_versions::module_layout(self, &loaded, record)?;
        vermagic::check(self, &loaded, record)?;
        let late = self.rules.has(Rule::TaintsLate) != Some(false);
        // Where the place is not known at which taints are set, a refusal between the two places leaves that open.
        let (is_place_open, were_open) = (self.rules.has(Rule::TaintsLate).is_none(), record.taints_are_open);
        record.taints_are_open |= is_place_open;
        if !late {
            taints::origin(self, &loaded, record);
        }
        sections::livepatch(self, &loaded, record)?;
        if !late {
            taints::licence(self, &loaded, record);
        }
        if self.rules.surely(Rule::NameEarly) {
            names::taken(self, &loaded, record)?;
        }
        arch::sections(self, &loaded, record, || relocations::line(self, &loaded))?;
        sections::write_or_execute(self, &loaded, record)?;
        memory::area(self, &loaded, record)?;
        if !self.rules.surely(Rule::NameEarly) {
            names::taken(self, &loaded, record)?;
        }
        if is_place_open {
            record.taints_are_open = were_open;
        }
        if late {
            taints::origin(self, &loaded, record);
            taints::licence(self, &loaded, record);
        }
        taints::unsigned(self, &loaded, record);
        if late {
            taints::by_name(self, &loaded, record);
        }
        memory::per_cpu(self, &loaded, record)?;
        sections::constructors(self, &loaded, record)?;
        if !late {
            taints::by_name(self, &loaded, record);
        }
        exports::companions(self, &loaded, record)?;
        symbols::check(self, &loaded, record)?;
        relocations::check(self, &loaded, record)?;
        arch::finalize(self, &loaded, record)?;
        exports::duplicates(self, &loaded, record)?;
        btf::check(self, &loaded, record)?;
        names::in_sysfs(self, &loaded, record)
    }

    /// An empty file: finit_module(2) fails over it before the loader sees anything (`kernel_read_file`, fs/kernel_read_file.c
    /// of 5.10 to 7.2; `copy_module_from_fd`, kernel/module.c of 3.10). init_module(2), the only call up to 3.7, refuses what is
    /// shorter than an ELF header.
    fn nothing(&self, record: &mut Record) -> Flow {
        let errno = match self.rules.since(3, 8) {
            Some(false) => errno::ENOEXEC,
            Some(true) => errno::EINVAL,
            None => {
                record.otherwise.push(errno::ENOEXEC);
                errno::EINVAL
            }
        };
        record.fail(LoaderStep::Elf, errno, "an empty file, which the kernel does not even read", None)
    }

    /// The kernel's machine; the module's own where that is not known.
    fn machine(&self, loaded: &Loaded<'_>) -> Machine {
        let known = self.kernel.facts.machine.as_ref();
        known.map_or_else(|| machine_of(loaded.file), |machine| machine.value)
    }

    /// The ELF checks.
    fn elf<'f>(&self, file: &'f [u8], record: &mut Record) -> Result<Loaded<'f>, (LoaderStep, i32)> {
        let known = self.kernel.facts.machine.as_ref();
        // What is not known of the kernel's machine is taken as in the module: only certain differences refuse it.
        let ours = machine_of(file);
        let partly = self.kernel.facts.architecture.as_ref();
        let machine = known.map_or_else(|| partly.map_or(ours, |known| known.value.or(ours)), |machine| machine.value);
        let module_size = self.kernel.facts.fingerprint.as_ref().map(|fingerprint| fingerprint.value.size);
        let runs_on =
            partly.filter(|_| known.is_none()).map_or_else(|| machine.to_string(), |known| known.value.to_string());
        let checks = Checks { rules: self.rules, machine, runs_on, module_size, takes_open_for: false };
        let (loaded, doubt) = checks.check(file).map_err(|wrong| {
            // A header's size and the numbers in it depend on the machine.
            let is_machine_open = known.is_none() && partly.is_none_or(|known| known.value.machine().is_none());
            let is_line_open = is_machine_open
                && Header::is_of_no_module(file)
                && self.rules.has(Rule::ElfLines) != Some(false)
                && file.len() >= loaded::header_size(Class::Elf32)
                && (file.len() < loaded::header_size(Class::Elf64) || file.starts_with(b"\x7fELF"));
            if wrong.are_lines_open || is_line_open {
                record.unknown(LoaderStep::Elf, "which line does it print? (the kernel's image)");
            }
            wrong.lines.into_iter().for_each(|line| record.say(line));
            let mut finding = Finding::new(LoaderStep::Elf, StepResult::Fail, wrong.note);
            finding.module = file.starts_with(b"\x7fELF").then(|| machine_of(file).to_string());
            finding.kernel = known.map(|machine| machine.value.to_string());
            finding.kernel = finding.kernel.or_else(|| partly.map(|known| known.value.to_string()));
            finding.source = known.map(|machine| machine.source.to_string());
            finding.source = finding.source.or_else(|| partly.map(|known| known.source.to_string()));
            record.findings.push(finding);
            (LoaderStep::Elf, errno::ENOEXEC)
        })?;
        self.unchecked(&loaded, record);
        if let Some(doubt) = doubt {
            record.unknown(LoaderStep::Elf, format!("{doubt}; does this kernel check that? (its image)"));
            return Ok(loaded);
        }
        match (known, self.rules.has(Rule::ModuleSize), module_size) {
            (None, ..) => {
                record.unknown(LoaderStep::Elf, "is it of the kernel's machine? (its image, or one of its modules)");
            }
            (_, Some(true), None) if symbol_versions::prove_structure(self, &loaded) => {
                record.pass(LoaderStep::Elf, "struct module is the kernel's, as the CRC of module_layout agrees", None);
            }
            (_, Some(true), None) => {
                let note = "has struct module the size that it has in the kernel? (its BTF, or one of its modules)";
                record.unknown(LoaderStep::Elf, note);
            }
            (Some(machine), ..) => {
                let note = format!("a module for {}, with the sections that it must have", machine.value);
                record.pass(LoaderStep::Elf, note, Some(&machine.source));
            }
        }
        Ok(loaded)
    }

    /// What some kernels do not check and stumble over: what then happens is not decided here.
    fn unchecked(&self, loaded: &Loaded<'_>, record: &mut Record) {
        let unchecked = |note: &str| format!("{note}; this kernel does not check that");
        // Both are looked at before the version magic: no later step is sure to come.
        if !loaded.has_structure() {
            let note = "struct module has no bytes in the file, and the kernel may crash over it";
            record.unknown(LoaderStep::Elf, unchecked(note));
            record.may_crash = true;
        }
        let names = loaded.sections.get(usize::from(loaded.header.shstrndx)).map_or(0, |names| names.size);
        let is_nameless =
            |section: &loaded::Section| section.kind != loaded::SHT_NULL && u64::from(section.name) >= names;
        if loaded.sections.iter().any(is_nameless) {
            let note = "a section's name lies beyond the table of names, and the kernel may crash over it";
            record.unknown(LoaderStep::Elf, unchecked(note));
            record.may_crash = true;
        }
        let mut stumbles = |note: &str| record.unknown(LoaderStep::Elf, unchecked(note));
        if !self.rules.surely(Rule::SymbolNames) && loaded.has_nameless_symbol() {
            stumbles("a symbol's name lies beyond the table of names, and the kernel may crash over it");
        }
        let count = loaded.sections.len();
        let is_relocation = |section: &&loaded::Section| matches!(section.kind, loaded::SHT_RELA | loaded::SHT_REL);
        if loaded.sections.iter().filter(is_relocation).any(|section| section.info as usize >= count) {
            stumbles("there are relocations for a section that is not there, and the kernel may crash over them");
        }
    }
}

/// Is this file no module for any kernel, by its header alone? Then its refusal is certain, even where the kernel's machine
/// is not known: it is too short for an ELF header, without ELF's magic, or of a type other than that of relocatable files.
pub fn is_of_no_module(file: &[u8]) -> bool {
    Header::is_of_no_module(file)
}

/// The machine that an ELF header names, in its own class and byte order.
fn machine_of(file: &[u8]) -> Machine {
    let class = if file.get(4) == Some(&1) { Class::Elf32 } else { Class::Elf64 };
    let endian = if file.get(5) == Some(&2) { Endian::Big } else { Endian::Little };
    Machine { class, endian, number: loaded::number(file, endian, 18, 2) as u16 }
}

impl Finding {
    fn new(step: LoaderStep, result: StepResult, note: impl Into<String>) -> Finding {
        Finding { step, result, module: None, kernel: None, source: None, note: note.into() }
    }
}
