//! The rules of the loader by kernel version, with one row per behaviour. Whether a kernel has a behaviour is determined, best
//! evidence first, by a loader message that its image contains or lacks, by its configuration, by its distribution, and by its
//! version. Versions between two whose sources were read are not guessed: the result is then `None`.
//!
//! To add a version, compare [`TABLE`] with kernel/module/main.c, version.c and signing.c (kernel/module.c before 5.18), and
//! set the end of each row whose behaviour ends.

use crate::kernel::image::messages::SHA512_NAMES;
use crate::kernel::{Facts, Kernel};
use crate::predict::builder::KernelBuilder;
use crate::vermagic::TokenKind;

/// A behaviour that only some kernels have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Signatures are checked (CONFIG_MODULE_SIG).
    Signatures,
    /// Unsigned modules are refused (CONFIG_MODULE_SIG_FORCE).
    SignaturesForced,
    /// SHA-384 and SHA-512 are built in (CONFIG_CRYPTO_SHA512=y).
    Sha512,
    /// Signed attributes together with ML-DSA are accepted (CONFIG_PKCS7_WAIVE_AUTHATTRS_REJECTION_FOR_MLDSA).
    AttributesWaived,
    /// The signature of a forced module is ignored.
    ForcedIsUnsigned,
    /// Without enforcement, an absent signature is tolerated with the errno ENODATA; other faults are tolerated with a reason
    /// in the log.
    SignatureReasons,
    /// The signature is checked after the ELF header and the blacklist; otherwise it is checked first.
    SignatureLate,
    /// "Module len … truncated" is the only line about ELF.
    TruncatedLine,
    /// "Module has invalid ELF structures" is the only line about ELF.
    OneElfLine,
    /// Each fault of an ELF header has its own line.
    ElfLines,
    /// The types of the symbols' string table and of the section name table are checked, and so are the names of all sections.
    ElfTables,
    /// The symbols' strings are checked up to the last name.
    SymbolNames,
    /// An empty table of section names is recognized as such.
    SectionNames,
    /// There may be only one `.modinfo`, and it is used even without SHF_ALLOC.
    OneModinfo,
    /// `.gnu.linkonce.this_module` must have the size of `struct module`, have bytes, and be allocated.
    ModuleSize,
    /// Architectures can check more of the file header (`module_elf_check_arch`, which only powerpc has).
    ModuleArchitecture,
    /// The message says "Exactly one", not "Only one", `.gnu.linkonce.this_module`.
    ExactlyOneModule,
    /// Symbol versions are compared (CONFIG_MODVERSIONS).
    Modversions,
    /// Extended symbol versions are supported.
    ExtendedVersions,
    /// A kernel refuses a module with a missing CRC (Debian); elsewhere it prints a warning.
    MissingCrcRefuses,
    /// Modules without a signature that the kernel can verify may export and import only certain symbols
    /// (CONFIG_MODULE_SIG_PROTECT of Android's kernels; not measured).
    SigProtect,
    /// The version magic is compared. OpenWrt's kernels with CONFIG_MODULE_STRIPPED do not
    /// (target/linux/generic/hack-5.15 and hack-6.12, 204-module_strip.patch; not measured).
    VermagicChecked,
    /// "No module found in object" is preceded by the module's name.
    NamedWithoutModule,
    /// Forcing is possible (CONFIG_MODULE_FORCE_LOAD).
    ForceLoad,
    /// Livepatch modules are accepted (CONFIG_LIVEPATCH).
    Livepatch,
    /// Sections must not be both writable and executable (CONFIG_STRICT_MODULE_RWX).
    WriteOrExecute,
    /// A module with both `.ctors` and `.init_array` is refused (CONFIG_CONSTRUCTORS).
    Constructors,
    /// Taints of origin and licence are set after the module is added to the list; in older kernels, right after the vermagic
    /// check.
    TaintsLate,
    /// A module without `intree` sets taint O.
    OutOfTreeTaint,
    /// A module without `retpoline=` causes a log line.
    RetpolineLine,
    /// A module with `test=` sets taint N.
    TestTaint,
    /// `lve` and, in older kernels, other modules are treated as proprietary because of their names.
    OffendersByName,
    /// `lve` is treated as proprietary because of its name.
    LveByName,
    /// A module that uses a symbol of a proprietary module becomes proprietary, and must not have used GPL-only symbols before.
    InheritsTaint,
    /// The lines about an inherited taint name the symbol.
    InheritedSymbol,
    /// The check for a loaded module of the same name precedes the memory layout.
    NameEarly,
    /// Exports need a table of flags, `__kflagstab`.
    ExportFlags,
    /// A module must import the namespace of each symbol that it uses.
    Namespaces,
    /// A missing namespace import causes only a warning (CONFIG_MODULE_ALLOW_MISSING_NAMESPACE_IMPORTS).
    NamespacesOptional,
    /// Namespaces with names like `module:…` are reserved for the modules that they name, and cannot be imported.
    ModuleNamespaces,
    /// A symbol whose section index is out of range is an error.
    SymbolSectionIndex,
    /// The line of an unresolved symbol contains its error.
    UnknownSymbolError,
    /// `_GLOBAL_OFFSET_TABLE_` is not an import (x86).
    IgnoresGot,
    /// The bytes at a relocation's place must be zero (x86-64).
    RelocationTargets,
    /// The message says "Invalid relocation target", not "Skipping invalid relocation target".
    RelocationInvalid,
    /// The line about a relocation names its section and its index there.
    RelocationPlace,
    /// A module's BTF is checked, and a module with wrong BTF is refused (no CONFIG_MODULE_ALLOW_BTF_MISMATCH).
    BtfChecked,
    /// A module's BTF may have its own base, `.BTF.base`, which is matched against the kernel's types.
    BtfBase,
}

/// A version: major, minor and patch.
type VersionTriple = (u32, u32, u32);

/// When a behaviour changes: versions before the first certainly have the old behaviour, versions from the second on the new
/// one. Versions between them are undecided, because their sources were not read, or because stable kernels of an older version
/// have a backport of the change.
#[derive(Clone, Copy)]
struct VersionChange(VersionTriple, VersionTriple);

impl VersionChange {
    /// Does a kernel of this version have the change? `None` between the two versions.
    fn is_before(self, version: VersionTriple) -> Option<bool> {
        match version {
            _ if version < self.0 => Some(false),
            _ if version >= self.1 => Some(true),
            _ => None,
        }
    }
}

/// A change whose exact version is known.
const fn at(major: u32, minor: u32) -> VersionChange {
    VersionChange((major, minor, 0), (major, minor, 0))
}

/// A change somewhere between two versions.
const fn between(first: VersionTriple, second: VersionTriple) -> VersionChange {
    VersionChange(first, second)
}

/// One row: the rule; when it begins and when it ends; the option on which it depends; and the loader's messages of which a
/// kernel with the rule contains at least one ([`crate::kernel::image::messages`]).
struct RuleRow(Rule, VersionChange, VersionChange, &'static str, &'static [&'static str]);

const NOW: VersionChange = at(u32::MAX, 0);
/// For a rule that does not depend on the version.
const NEVER: VersionChange = at(0, 0);

#[rustfmt::skip]
const TABLE: &[RuleRow] = &[
    // signature
    RuleRow(Rule::Signatures,           at(3, 7),  NOW,     "MODULE_SIG", &["module verification failed: signature and/or required key missing", "exports protected symbol"]),
    RuleRow(Rule::SignaturesForced,     at(3, 7),  NOW,     "MODULE_SIG_FORCE", &[]),
    RuleRow(Rule::Sha512,               at(2, 6),  NOW,     "CRYPTO_SHA512", &SHA512_NAMES),
    RuleRow(Rule::AttributesWaived,     at(7, 0),  NOW,     "PKCS7_WAIVE_AUTHATTRS_REJECTION_FOR_MLDSA", &["Waived invalid module sig (has authattrs)"]),
    // Read in 4.14 and 4.20; 5.10.262 and 5.11 again check the signature first.
    RuleRow(Rule::SignatureLate,        between((4, 15, 0), (4, 20, 0)), between((5, 10, 0), (5, 10, 262)), "", &[]),
    // Android's kernels, from android14-5.15 on (kernel/module/gki_module.c).
    RuleRow(Rule::SigProtect,           at(5, 15), NOW,    "MODULE_SIG_PROTECT", &["exports protected symbol"]),
    // elf
    RuleRow(Rule::TruncatedLine,        at(2, 6), between((5, 10, 0), (5, 10, 262)), "", &["Module len %lu truncated"]),
    // 5.10.262 and 5.11 were read; 5.12 to 5.15 were not, and stable kernels of 5.15 have a backport of 5.16's lines.
    RuleRow(Rule::OneElfLine,           between((5, 10, 0), (5, 10, 262)), between((5, 12, 0), (5, 16, 0)), "", &["Module has invalid ELF structures"]),
    RuleRow(Rule::ElfLines,             between((5, 12, 0), (5, 16, 0)), NOW,     "", &["Invalid ELF header magic"]),
    // 6.12 and 6.14 were read; later stable kernels of 6.12 have a backport of some (TAKEN_OVER).
    RuleRow(Rule::ElfTables,            between((6, 13, 0), (6, 14, 0)), NOW,     "", &["Invalid ELF section name table type"]),
    RuleRow(Rule::SymbolNames,          between((6, 13, 0), (6, 14, 0)), NOW,     "", &["symbol string table isn't NUL terminated"]),
    RuleRow(Rule::SectionNames,         between((5, 12, 0), (5, 16, 0)), NOW,     "", &["empty section name table"]),
    RuleRow(Rule::OneModinfo,           at(6, 4),  NOW,     "", &["Only one .modinfo section must exist"]),
    RuleRow(Rule::ModuleSize,           at(6, 4),  NOW,     "", &["section size must match the kernel's built struct module size"]),
    RuleRow(Rule::ModuleArchitecture,   between((6, 2, 0), (6, 3, 0)),  NOW,     "", &["Invalid module architecture in ELF header: %u"]),
    RuleRow(Rule::ExactlyOneModule,     between((6, 13, 0), (6, 14, 0)), NOW,     "", &["Exactly one .gnu.linkonce.this_module"]),
    // 4.14 prints no name; read in 4.20.
    RuleRow(Rule::NamedWithoutModule,   between((4, 15, 0), (4, 20, 0)), NOW, "", &[]),
    // symbol-versions
    RuleRow(Rule::ExtendedVersions,     between((6, 13, 0), (6, 14, 0)), NOW,     "", &["extended version crc+name presence does not match"]),
    RuleRow(Rule::ForceLoad,            at(2, 6),  NOW,     "MODULE_FORCE_LOAD", &["%s: %s: kernel tainted."]),
    // sections
    // Absent in 5.7; read in 5.10.
    RuleRow(Rule::WriteOrExecute,       between((5, 8, 0), (5, 10, 0)), NOW,     "STRICT_MODULE_RWX", &["has invalid WRITE|EXEC flags"]),
    // Absent in 3.10; read in 4.9.
    RuleRow(Rule::Constructors,         between((3, 11, 0), (4, 9, 0)), NOW, "CONSTRUCTORS", &["has both .ctors and .init_array"]),
    // taints
    RuleRow(Rule::TaintsLate,           at(6, 4),  NOW,     "", &[]),
    RuleRow(Rule::OutOfTreeTaint,       at(3, 2),  NOW,     "", &["loading out-of-tree module taints kernel"]),
    // 4.16, and late stable kernels of earlier versions (one of 4.1 or 4.4 was read): part of the Spectre fixes of January
    // 2018.
    RuleRow(Rule::RetpolineLine,        between((3, 2, 0), (4, 16, 0)), NOW,     "", &["loading module not compiled with retpoline compiler"]),
    RuleRow(Rule::TestTaint,            at(6, 0), NOW,     "", &["loading test module taints kernel"]),
    // 2.6.14 had none of them; 2.6.19 settled `add_taint` for ndiswrapper, which keeps access to GPL-only symbols.
    RuleRow(Rule::OffendersByName,      between((2, 6, 14), (2, 6, 20)), NOW, "", &[]),
    // Added in June 2012.
    RuleRow(Rule::LveByName,            between((3, 4, 0), (3, 7, 0)), NOW, "", &[]),
    // 5.9; stable kernels of 5.4 and other versions got a backport in May 2021.
    RuleRow(Rule::InheritsTaint,        between((4, 4, 0), (5, 9, 0)), NOW, "", &["from proprietary module %s, inheriting taint"]),
    // Absent in 5.18; read in 6.1.
    RuleRow(Rule::InheritedSymbol,      between((5, 19, 0), (6, 1, 0)), NOW, "", &["module uses symbols %s"]),
    RuleRow(Rule::NameEarly,            at(6, 5),  NOW,     "", &[]),
    // exports
    // Merged after 7.0; read in 7.2.
    RuleRow(Rule::ExportFlags,          at(7, 1), NOW,     "", &["no flags for exported symbols"]),
    // symbols
    RuleRow(Rule::Namespaces,           at(5, 4),  NOW,     "", &["but does not import it"]),
    RuleRow(Rule::NamespacesOptional,   at(5, 4),  NOW,     "MODULE_ALLOW_MISSING_NAMESPACE_IMPORTS", &[]),
    // Absent in 6.14; read in 7.2.
    RuleRow(Rule::ModuleNamespaces,     between((6, 15, 0), (7, 2, 0)), NOW,     "", &["module tries to import module namespace"]),
    // Absent in 6.1; read in 6.12.
    RuleRow(Rule::SymbolSectionIndex,   between((6, 2, 0), (6, 12, 0)), NOW,     "", &["has an invalid section index"]),
    // 4.14 prints `(err 0)`; read in 4.20.
    RuleRow(Rule::UnknownSymbolError,   between((4, 15, 0), (4, 20, 0)), NOW,     "", &[]),
    // relocations
    // Absent in 4.14.0; late stable kernels of 4.14 have a backport.
    RuleRow(Rule::RelocationTargets,    between((4, 14, 1), (4, 15, 0)),  NOW,     "", &["Skipping invalid relocation target", "Invalid relocation target, existing value is nonzero"]),
    RuleRow(Rule::RelocationInvalid,    at(6, 5),  NOW,     "", &["Invalid relocation target, existing value is nonzero"]),
    // Absent in 6.12; read in 7.2.
    RuleRow(Rule::RelocationPlace,      between((6, 13, 0), (7, 2, 0)),  NOW,     "", &["for sec %u, idx %u"]),
    // btf
    RuleRow(Rule::BtfChecked,           at(5, 11), NOW,     "DEBUG_INFO_BTF_MODULES", &["failed to validate module [%s] BTF", "Kernel module BTF mismatch detected"]),
    // 6.11 has the first version, which was not read.
    RuleRow(Rule::BtfBase,              between((6, 11, 0), (6, 12, 0)), NOW,     "DEBUG_INFO_BTF_MODULES", &["is not mapped to base BTF id"]),
    // These are decided by the functions below.
    RuleRow(Rule::SignatureReasons, NEVER, NEVER,   "", &[]),
    RuleRow(Rule::ForcedIsUnsigned, NEVER, NEVER,   "", &[]),
    RuleRow(Rule::IgnoresGot,           NEVER,   NEVER,   "", &[]),
    RuleRow(Rule::Modversions,          NEVER,   NEVER,   "", &[]),
    RuleRow(Rule::MissingCrcRefuses,    NEVER,   NEVER,   "", &[]),
    RuleRow(Rule::Livepatch,            NEVER,   NEVER,   "", &[]),
    RuleRow(Rule::VermagicChecked,      NEVER,   NEVER,   "", &[]),
];

/// The stable series with a backport of a rule: the last release that certainly lacks it, and the first that certainly has it,
/// or `u32::MAX` if none was read.
#[rustfmt::skip]
const TAKEN_OVER: &[(Rule, (u32, u32), u32, u32)] = &[
    // `ignore_undef_symbol` (kernel/module.c 5.12), in February and March 2021.
    (Rule::IgnoresGot,          (4, 4),  254, 260),
    (Rule::IgnoresGot,          (4, 9),  254, 260),
    (Rule::IgnoresGot,          (4, 14), 218, 224),
    (Rule::IgnoresGot,          (4, 19), 172, 179),
    (Rule::IgnoresGot,          (5, 4),  94,  103),
    (Rule::IgnoresGot,          (5, 10), 13,  21),
    (Rule::IgnoresGot,          (5, 11), 0,   4),
    // The images of 6.12.118 have the first two, those of 6.1.192 neither; 6.6 was not read.
    (Rule::ElfTables,           (6, 12), 0,   118),
    (Rule::ElfTables,           (6, 6),  0,   u32::MAX),
    (Rule::ExactlyOneModule,    (6, 12), 0,   118),
    (Rule::ExactlyOneModule,    (6, 6),  0,   u32::MAX),
    (Rule::SymbolNames,         (6, 12), 118, u32::MAX),
    (Rule::SymbolNames,         (6, 6),  0,   u32::MAX),
    // The images of 6.1.192 have it.
    (Rule::SymbolSectionIndex,  (6, 1),  0,   192),
    (Rule::SymbolSectionIndex,  (5, 15), 0,   u32::MAX),
    (Rule::SymbolSectionIndex,  (5, 10), 0,   u32::MAX),
    // These were not read.
    (Rule::RelocationPlace,     (6, 12), 118, u32::MAX),
    (Rule::RelocationTargets,   (4, 4),  0,   u32::MAX),
    (Rule::RelocationTargets,   (4, 9),  0,   u32::MAX),
    (Rule::RetpolineLine,       (4, 4),  0,   u32::MAX),
    (Rule::RetpolineLine,       (4, 9),  0,   u32::MAX),
];

/// The versions in which a rule of the table holds, as far as they alone decide it.
pub(super) struct RuleSpan {
    from: VersionChange,
    until: VersionChange,
    option: &'static str,
    backports: Vec<String>,
}

impl RuleSpan {
    /// The span of a rule.
    pub(super) fn of(rule: Rule) -> RuleSpan {
        let row = TABLE.iter().find(|row| row.0 == rule);
        let (from, until, option) =
            row.map_or((NEVER, NOW, ""), |RuleRow(_, from, until, option, _)| (*from, *until, option));
        // The reasons came with lockdown, in 5.4.
        let from = if rule == Rule::SignatureReasons { at(5, 4) } else { from };
        // The rules without versions in the table are decided by a function.
        let until = if until.1 == NEVER.1 { NOW } else { until };
        let backports =
            TAKEN_OVER.iter().filter(|(of, ..)| *of == rule).map(|(_, (major, minor), _, with)| match *with {
                u32::MAX => format!("perhaps late {major}.{minor}"),
                with => format!("{major}.{minor}.{with}"),
            });
        RuleSpan { from, until, option, backports: backports.collect() }
    }

    /// The span in words, or that of the kernels without the rule: "6.14 and later, perhaps from 6.13 on".
    pub(super) fn words(&self, is_not: bool) -> Vec<String> {
        let version = |(major, minor, patch): VersionTriple| match patch {
            0 => format!("{major}.{minor}"),
            _ => format!("{major}.{minor}.{patch}"),
        };
        let since = |change: VersionChange| match change.0 == change.1 {
            true => format!("{} and later", version(change.1)),
            false => format!("{} and later, perhaps from {} on", version(change.1), version(change.0)),
        };
        let before = |change: VersionChange| match change.0 == change.1 {
            true => format!("before {}", version(change.1)),
            false => format!("before {}, perhaps up to {}", version(change.0), version(change.1)),
        };
        let mut words = Vec::new();
        let is_now = self.until.0 == NOW.0;
        let begins = self.from.0 > (2, 6, 0);
        match (is_not, begins) {
            (false, true) => words.push(since(self.from)),
            (true, true) => words.push(before(self.from)),
            (_, false) => {}
        }
        match (is_not, is_now) {
            (false, false) => words.push(before(self.until)),
            (true, false) => words.push(since(self.until)),
            (_, true) => {}
        }
        match (is_not, self.backports.as_slice()) {
            (_, []) => {}
            (false, backports) => words.push(format!("also {}", backports.join(", "))),
            (true, backports) => words.push(format!("except for {}", backports.join(", "))),
        }
        match self.option {
            "" => {}
            option if is_not && words.is_empty() => words.push(format!("without CONFIG_{option}")),
            option if !is_not => words.push(format!("with CONFIG_{option}")),
            _ => {}
        }
        words
    }
}

/// The options that Debian sets in none of its kernels that were read (5.10, 6.1, 6.12, 7.2). They are used if a configuration
/// is missing: Debian's 7.2 has it only in the headers.
const UNSET_BY_DEBIAN: [&str; 2] = ["MODULE_SIG_FORCE", "MODULE_ALLOW_MISSING_NAMESPACE_IMPORTS"];

/// The rules of one kernel.
pub(crate) struct Rules<'k> {
    kernel: &'k Kernel,
    version: Option<VersionTriple>,
    /// The third number of `version` is only a lower bound.
    is_patch_hidden: bool,
    builder: KernelBuilder,
}

impl<'k> Rules<'k> {
    /// The rules of a kernel.
    pub(super) fn of(kernel: &'k Kernel) -> Rules<'k> {
        let of_package = package_version(kernel);
        let is_patch_hidden = of_package.is_none() && hides_its_patch(kernel);
        let version = of_package.or_else(|| version(kernel));
        Rules { kernel, version, is_patch_hidden, builder: KernelBuilder::of(kernel) }
    }

    /// Is the kernel's version at least this one? `None` if it is not known.
    pub(super) fn since(&self, major: u32, minor: u32) -> Option<bool> {
        self.version.map(|(ours, minors, _)| (ours, minors) >= (major, minor))
    }

    /// The facts about the kernel.
    pub(super) fn facts(&self) -> &'k Facts {
        &self.kernel.facts
    }

    /// Is the kernel known to be built by Debian?
    pub(super) fn is_debian(&self) -> bool {
        self.builder == KernelBuilder::Debian
    }

    /// Is the kernel known to be for this machine (`e_machine`)?
    pub(super) fn is_machine(&self, number: u16) -> bool {
        self.kernel.facts.machine.as_ref().is_some_and(|machine| machine.value.number == number)
    }

    /// The first two numbers of the kernel's version; `None` if it is not known.
    pub(super) fn major_minor(&self) -> Option<(u32, u32)> {
        self.version.map(|(major, minor, _)| (major, minor))
    }

    /// The same as [`Rules::since`], with a third number.
    pub(super) fn since_patch(&self, version: (u32, u32, u32)) -> Option<bool> {
        self.version.map(|ours| ours >= version)
    }

    /// Does the kernel have this rule? `None` if the facts do not show it.
    pub(super) fn has(&self, rule: Rule) -> Option<bool> {
        match rule {
            Rule::Modversions => return self.modversions(),
            Rule::MissingCrcRefuses => return self.missing_crc_refuses(),
            Rule::Livepatch => return self.livepatch(),
            Rule::VermagicChecked => return self.vermagic_checked(),
            Rule::IgnoresGot => return self.ignores_got(),
            Rule::RetpolineLine if self.kernel.facts.messages.is_none() && self.has_retpolines() == Some(false) => {
                return Some(false);
            }
            Rule::SignatureReasons => return self.signature_reasons(),
            Rule::ForcedIsUnsigned => return self.forced_is_unsigned(),
            // "module: harden ELF info handling" added these lines, and removed the checks that refused malformed files before
            // the signature check.
            Rule::SignatureLate
                if self.has(Rule::OneElfLine) == Some(true) || self.has(Rule::ElfLines) == Some(true) =>
            {
                return Some(false);
            }
            Rule::Sha512 if self.kernel.facts.messages.is_none() => return self.sha512(),
            _ => {}
        }
        let RuleRow(_, from, before, option, telling) = TABLE.iter().find(|row| row.0 == rule)?;
        if !telling.is_empty()
            && let Some(messages) = &self.kernel.facts.messages
        {
            return Some(telling.iter().any(|message| messages.value.contains(*message)));
        }
        let version = self.version?;
        let latest = (version.0, version.1, if self.is_patch_hidden { u32::MAX } else { version.2 });
        let has_ended = before.is_before(version).filter(|ended| before.is_before(latest) == Some(*ended));
        let is_set = if option.is_empty() { Some(true) } else { self.option(option) };
        match (self.has_begun(rule, *from), has_ended, is_set) {
            (Some(false), _, _) | (_, Some(true), _) | (_, _, Some(false)) => Some(false),
            (Some(true), Some(false), Some(true)) => Some(true),
            _ => None,
        }
    }

    /// Does the image contain this message of the loader? `None` if the image is not known.
    pub(super) fn prints(&self, message: &str) -> Option<bool> {
        self.kernel.facts.messages.as_ref().map(|messages| messages.value.contains(message))
    }

    /// The same as [`Rules::has`], but an unknown result is false.
    pub(super) fn surely(&self, rule: Rule) -> bool {
        self.has(rule) == Some(true)
    }

    /// Is this configuration option set? `None` if that is not known.
    pub(super) fn option(&self, option: &str) -> Option<bool> {
        match &self.kernel.facts.config {
            Some(config) => Some(config.value.contains_key(option)),
            None if self.builder == KernelBuilder::Debian && UNSET_BY_DEBIAN.contains(&option) => Some(false),
            None => None,
        }
    }

    /// From about 2.6.26 on, the token in the version magic shows it.
    fn modversions(&self) -> Option<bool> {
        // A bare release does not show the tokens.
        let Some(vermagic) = self.kernel.vermagic.as_ref().filter(|known| !known.value.is_bare_release()) else {
            return self.option("MODVERSIONS");
        };
        if vermagic.value.has(TokenKind::Modversions) {
            return Some(true);
        }
        match self.version {
            Some((2, 6, patch)) if patch < 26 => self.option("MODVERSIONS"),
            _ => Some(false),
        }
    }

    /// Mainline always compares it. A kernel whose image lacks the loader's line does not, and neither does one with OpenWrt's
    /// CONFIG_MODULE_STRIPPED, which is known from its configuration or from a tree in which all modules are stripped. The
    /// image takes precedence.
    fn vermagic_checked(&self) -> Option<bool> {
        match &self.kernel.facts.messages {
            // An image in which no loader message was found shows nothing.
            Some(messages) if messages.value.iter().any(|message| message.contains("symbol")) => {
                Some(messages.value.contains("version magic '%s' should be '%s'"))
            }
            Some(_) => Some(self.option("MODULE_STRIPPED") != Some(true)),
            None => Some(self.option("MODULE_STRIPPED") != Some(true) && self.kernel.facts.stripped.is_none()),
        }
    }

    /// The configuration decides if the image is not known: only `y` means that it is built in.
    fn sha512(&self) -> Option<bool> {
        let config = self.kernel.facts.config.as_ref()?;
        Some(config.value.get("CRYPTO_SHA512").is_some_and(|value| value == "y"))
    }

    /// A kernel without livepatch support contains a message that says so (`check_modinfo_livepatch`, 4.7 on).
    fn livepatch(&self) -> Option<bool> {
        let off = "is marked as livepatch module, but livepatch support is disabled";
        match &self.kernel.facts.messages {
            _ if self.since(4, 0) == Some(false) => Some(false),
            Some(messages) if self.since(4, 7) == Some(true) => Some(!messages.value.contains(off)),
            _ => self.option("LIVEPATCH"),
        }
    }

    /// Does the kernel have the change that begins this rule? A stable series may have a backport.
    fn has_begun(&self, rule: Rule, from: VersionChange) -> Option<bool> {
        let (major, minor, patch) = self.version?;
        let latest = (major, minor, if self.is_patch_hidden { u32::MAX } else { patch });
        let of_line = TAKEN_OVER.iter().find(|(of, line, ..)| *of == rule && *line == (major, minor));
        let (first, last) = match of_line {
            Some((_, _, without, with)) => {
                let change = between((major, minor, without.saturating_add(1)), (major, minor, *with));
                (change.is_before((major, minor, patch)), change.is_before(latest))
            }
            None => (from.is_before((major, minor, patch)), from.is_before(latest)),
        };
        first.filter(|_| first == last)
    }

    /// Whether a distribution's kernel below 5.12 has `ignore_undef_symbol` depends on its backports.
    fn ignores_got(&self) -> Option<bool> {
        let has = self.has_begun(Rule::IgnoresGot, at(5, 12))?;
        (has || !self.is_patch_hidden).then_some(has)
    }

    /// Was the kernel built with retpolines? Without them, `retpoline_module_ok` accepts all modules. The option was renamed in
    /// 6.9.
    fn has_retpolines(&self) -> Option<bool> {
        self.kernel.facts.config.as_ref()?;
        Some(self.option("RETPOLINE")? || self.option("MITIGATION_RETPOLINE")?)
    }

    /// Does the release have upstream's form, `4.14.100`? Other kernels may have any later patch under the same number.
    fn is_of_kernel_org(&self) -> bool {
        let release = self.kernel.release();
        release.zip(self.kernel.release_parts()).is_some_and(|(release, parts)| release == parts.base)
    }

    /// The reasons came with lockdown, in 5.4. Distributions had lockdown years before upstream, some with the reasons.
    fn signature_reasons(&self) -> Option<bool> {
        if self.since(5, 4)? {
            return Some(true);
        }
        // Kernels with backported reasons are from 2017 and later.
        if !self.since(4, 3)? {
            return Some(false);
        }
        match &self.kernel.facts.messages {
            Some(_) => (self.prints("Loading of unsigned module") == Some(false)).then_some(false),
            None => self.is_of_kernel_org().then_some(false),
        }
    }

    /// "module: Invalidate signatures on force-loaded modules", 4.8; late stable kernels of 3.10 to 4.7 also have it.
    fn forced_is_unsigned(&self) -> Option<bool> {
        match self.version? {
            version if version >= (4, 8, 0) => Some(true),
            version if ((4, 4, 100)..(4, 5, 0)).contains(&version) => Some(true),
            version if version < (3, 10, 100) && self.is_of_kernel_org() => Some(false),
            _ => None,
        }
    }

    /// Debian's own patch, in 5.10 to 7.2; upstream only warns from 4.9 on, and refused between 2.6.28 and 4.8.
    fn missing_crc_refuses(&self) -> Option<bool> {
        match (self.builder, self.version?) {
            (_, version) if version < (2, 6, 25) => Some(false),
            (_, version) if ((2, 6, 28)..(4, 8, 0)).contains(&version) => Some(true),
            (KernelBuilder::Debian, version) if version >= (5, 10, 0) => Some(true),
            (KernelBuilder::Upstream, version) if version >= (4, 9, 0) => Some(false),
            _ => None,
        }
    }
}

/// The three numbers of the version after these words.
fn numbers_after(text: &str, words: &str) -> Option<(u32, u32, u32)> {
    let (_, rest) = text.split_once(words)?;
    let version = rest.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
    let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
    Some((numbers.next()?, numbers.next()?, numbers.next().unwrap_or(0)))
}

/// The version of Debian's package, which follows the build number in the version line: releases up to Debian 12 stay at `.0`.
/// The compiler may also be Debian's.
fn package_version(kernel: &Kernel) -> Option<VersionTriple> {
    let banner = kernel.facts.banner.as_ref()?.value.as_str();
    let (major, minor, patch) = numbers_after(banner.rsplit_once('#')?.1, "Debian ")?;
    let release = version(kernel)?;
    (release.0 == major && release.1 == minor).then_some((major, minor, patch))
}

/// May the kernel include more stable releases than the third number of its release says? Distributions' releases keep one
/// number: `5.10.0-35-amd64`, `5.15.0-130-generic`, `5.14.21-150500.55-default`. Fedora's do not, nor do Debian's that contain
/// Debian's version, nor releases without any suffix.
fn hides_its_patch(kernel: &Kernel) -> bool {
    let Some(release) = kernel.release_parts() else { return false };
    let is_telling = release.rest.is_empty() || release.rest.contains(".fc") || release.rest.starts_with("+deb");
    !is_telling
}

fn version(kernel: &Kernel) -> Option<VersionTriple> {
    let parts = kernel.release_parts()?;
    let mut numbers = parts.base.split('.').map_while(|number| number.parse::<u32>().ok());
    Some((numbers.next()?, numbers.next()?, numbers.next().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::image::messages::LOADER_MESSAGES;

    #[test]
    fn each_message_that_identifies_a_rule_is_searched_in_images() {
        for RuleRow(rule, .., telling) in TABLE {
            for message in *telling {
                let is_known = LOADER_MESSAGES.contains(message) || SHA512_NAMES.contains(message);
                assert!(is_known, "{rule:?}: {message}");
            }
        }
    }

    fn kernel(release: &str, banner: Option<&str>) -> Kernel {
        let mut kernel = crate::kernel::named(
            format!("vermagic:{release} SMP mod_unload ").as_ref(),
            &crate::kernel::Lookup { max_size: 1 << 20, cache: None },
        )
        .unwrap();
        kernel.facts.banner =
            banner.map(|banner| crate::kernel::Fact { value: banner.to_owned(), source: Default::default() });
        kernel
    }

    #[test]
    fn a_release_with_a_fixed_number_does_not_show_which_backports_it_has() {
        let ignores_got =
            |release: &str, banner: Option<&str>| Rules::of(&kernel(release, banner)).has(Rule::IgnoresGot);
        for release in [
            "5.10.0-35-amd64",
            "4.19.0-27-amd64",
            "4.15.0-213-generic",
            "5.4.0-150-generic",
            "5.3.18-150300.59-default",
            "4.18.0-553.el8.x86_64",
        ] {
            assert_eq!(ignores_got(release, None), None, "{release}");
        }
        let banner =
            |version| format!("Linux version 5.10.0-9-amd64 (debian-kernel@lists.debian.org) #1 SMP Debian {version}");
        for (version, has) in [("5.10.4-1 (2021-01-09)", false), ("5.10.70-1 (2021-09-30)", true)] {
            assert_eq!(ignores_got("5.10.0-9-amd64", Some(&banner(version))), Some(has), "{version}");
        }
        for (release, has) in [
            ("5.10.4", Some(false)),
            ("5.10.17", None),
            ("5.10.21", Some(true)),
            ("5.10.120-own", Some(true)),
            ("5.9.16-200.fc33.x86_64", Some(false)),
            ("5.15.0-130-generic", Some(true)),
        ] {
            assert_eq!(ignores_got(release, None), has, "{release}");
        }
    }

    #[test]
    fn no_version_contradicts_an_image_of_it() {
        // Seen in Debian's images of 6.1.192 and 6.12.118; 5.10.262 was read.
        for (version, rule, seen) in [
            ("5.10.262", Rule::ElfTables, false),
            ("6.1.192", Rule::ElfTables, false),
            ("6.1.192", Rule::SymbolSectionIndex, true),
            ("6.12.118", Rule::ElfTables, true),
            ("6.12.118", Rule::ExactlyOneModule, true),
            ("6.12.118", Rule::SymbolSectionIndex, true),
        ] {
            let (line, _) = version.rsplit_once('.').unwrap();
            for release in [version.to_owned(), format!("{version}+deb13-amd64"), format!("{line}.0-1-amd64")] {
                let has = Rules::of(&kernel(&release, None)).has(rule);
                assert!(has.is_none_or(|has| has == seen), "{rule:?} on {release}: {has:?}");
            }
        }
        let between = Rules::of(&kernel("6.12.40", None)).has(Rule::ElfTables);
        assert_eq!(between, None, "its source was not read");
    }

    #[test]
    fn each_rule_has_one_row() {
        for (at, row) in TABLE.iter().enumerate() {
            assert!(TABLE.iter().skip(at + 1).all(|other| other.0 != row.0), "{:?}", row.0);
        }
    }
}
