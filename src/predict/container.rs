//! A compressed module file: who decompresses it, and which bytes then reach the loader.
//!
//! kmod up to 30 decompresses each file itself and calls init_module(2). From 31 on it passes a file unchanged to
//! finit_module(2) with MODULE_INIT_COMPRESSED_FILE if `/sys/module/compression` names the same format, and an error is then
//! final; it decompresses all other files itself (`do_finit_module`, `do_init_module`, libkmod/libkmod-module.c, kmod 31 and
//! 34). The kernel's decoders support less than kmod's (kernel/module/decompress.c, lib/xz/xz_dec_stream.c, 6.1, 6.12 and 7.2),
//! and read only one stream or frame. Measured on 6.1, 6.12 and 7.2 with kmod 30 and 34.2 (tests/guests/vm/containers.rs);
//! kernels that decompress zstd or gzip were read and not measured.

use std::borrow::Cow;

use crate::module::container::{Container, Packing, StreamHeader, TrailingData};
use crate::predict::availability::Availability;
use crate::predict::errno;
use crate::predict::load_info::{self, number};
use crate::predict::message::{Effect, messages};
use crate::predict::options::{Candidate, Force, LoadOptions, Loader};
use crate::predict::record::AttemptRecord;
use crate::predict::rules::Rules;
use crate::predict::userspace::errno_name;
use crate::predict::verdict::{Decision, LoaderStep, StepResult};
use crate::template::Line;

/// How a file reaches the loader's first check.
#[derive(Clone, Debug, PartialEq)]
enum Handover<'f> {
    /// kmod decompresses the file and passes on the bytes, with the edits that force the loading.
    ByKmod(Cow<'f, [u8]>),
    /// The kernel decompresses the file.
    ByKernel(&'f [u8]),
    /// Either kmod or the kernel decompresses it, with the same result.
    ByEither,
    /// The kernel fails to decompress the file.
    KernelRefuses { errno: i32, line: Option<Line>, why: String },
    /// kmod rejects the file without calling the kernel.
    KmodRefuses { errno: i32, why: String },
    /// A fact is missing.
    Unknown(String),
}

/// The function that predicts an attempt at loading plain bytes, and its record for the whole contents without force.
type Plain<'a> = (&'a dyn Fn(&Candidate<'_>, &LoadOptions) -> AttemptRecord, &'a AttemptRecord);

/// Predicts the attempt to load a compressed file. The record is unknown if no loader is named and the loaders differ.
pub(super) fn attempt(
    subject: &Candidate<'_>,
    packing: &Packing,
    rules: &Rules<'_>,
    load: &LoadOptions,
    plain: Plain<'_>,
) -> AttemptRecord {
    let file = CompressedFile { bytes: subject.bytes, packing, rules, force: load.force };
    let named = [load.loader];
    let loaders: &[Loader] = match load.loader {
        Loader::Any => &[Loader::Kmod30, Loader::Kmod31, Loader::Kmod34],
        _ => &named,
    };
    // Group the loaders that hand over the file in the same way.
    let mut groups: Vec<(Vec<Loader>, Handover<'_>)> = Vec::new();
    for loader in loaders {
        let handed = file.handed(*loader);
        match groups.iter_mut().find(|(_, other)| *other == handed) {
            Some((same, _)) => same.push(*loader),
            None => groups.push((vec![*loader], handed)),
        }
    }
    let judged: Vec<(Vec<Loader>, Handover<'_>, AttemptRecord)> = groups
        .into_iter()
        .map(|(loaders, handed)| {
            let record = file.record(&handed, subject, load, plain);
            (loaders, handed, record)
        })
        .collect();
    let Some((_, _, first)) = judged.first() else { return AttemptRecord::default() };
    let is_same = |other: &AttemptRecord| {
        (other.answer(), other.refused, &other.dmesg, other.taints)
            == (first.answer(), first.refused, &first.dmesg, first.taints)
    };
    let is_decided = judged.iter().all(|(_, _, record)| is_same(record));
    // Each loader may have its own reason, but none accepts the file.
    let is_refused = judged.iter().all(|(_, _, record)| record.answer() == Decision::Refused);
    let mut errnos: Vec<i32> = judged.iter().flat_map(|(_, _, record)| record.errnos(rules)).collect();
    errnos.dedup();
    let note = file.note(&judged, is_decided);
    let result = match is_decided {
        false if is_refused => StepResult::Fail,
        false => StepResult::Unknown,
        true if matches!(first.refused, Some((LoaderStep::Container, _))) => StepResult::Fail,
        true if judged.iter().any(|(_, handed, _)| matches!(handed, Handover::Unknown(_))) => StepResult::Unknown,
        true => StepResult::Pass,
    };
    let mut record = judged.into_iter().next().map(|(_, _, record)| record).unwrap_or_default();
    record.findings.retain(|finding| finding.step != LoaderStep::Container);
    if !is_decided {
        // Facts that are certain for only one loader do not decide the result.
        (record.refused, record.dmesg, record.dmesg_more) = (None, Vec::new(), 0);
    }
    if let (false, true, [first, others @ ..]) = (is_decided, is_refused, errnos.as_slice()) {
        record.refused = Some((LoaderStep::Container, *first));
        record.otherwise = others.to_vec();
    }
    let at = record.findings.iter().position(|finding| finding.step != LoaderStep::Permission);
    let finding = crate::predict::verdict::Finding::new(LoaderStep::Container, result, note);
    record.findings.insert(at.unwrap_or(record.findings.len()), finding);
    record
}

/// A compressed file and the kernel.
struct CompressedFile<'f> {
    /// The decompressed contents of all streams.
    bytes: &'f [u8],
    packing: &'f Packing,
    rules: &'f Rules<'f>,
    force: Force,
}

/// The size of a 64-bit ELF header: init_module(2) refuses shorter files (`copy_module_from_user`).
const SHORTEST: usize = 64;

/// The largest dictionary or window, in bytes, that a kernel can certainly allocate.
const CERTAIN_MEMORY: u64 = 128 << 20;

impl<'f> CompressedFile<'f> {
    fn handed(&self, loader: Loader) -> Handover<'f> {
        let own = self.packing.container;
        match (loader, self.unpacked_by_kernel()) {
            (Loader::Kernel, known) => self.by_kernel(known),
            (Loader::Kmod30 | Loader::Any, _) => self.by_kmod(loader),
            // A file that every decoder of the format reads to the end needs no further fact.
            (_, None) => match self.by_kernel(Some(Some(own))) {
                Handover::ByKernel(inside) if inside.len() == self.bytes.len() && self.force == Force::None => {
                    match self.by_kmod(loader) {
                        Handover::ByKmod(_) => Handover::ByEither,
                        other => other,
                    }
                }
                _ => Handover::Unknown(
                    "does the kernel unpack modules itself? (/sys/module/compression; its image or configuration)"
                        .to_owned(),
                ),
            },
            (_, Some(Some(format))) if format == own => self.by_kernel(Some(Some(format))),
            (_, Some(_)) => self.by_kmod(loader),
        }
    }

    /// The format that the kernel decompresses (CONFIG_MODULE_DECOMPRESS, since 5.17). The outer `None` means that it is not
    /// known.
    fn unpacked_by_kernel(&self) -> Option<Option<Container>> {
        const FORMATS: [(Container, &str, &str); 3] = [
            (Container::Gzip, NOT_GZIP.text(), "MODULE_COMPRESS_GZIP"),
            (Container::Xz, NOT_XZ.text(), "MODULE_COMPRESS_XZ"),
            (Container::Zstd, NOT_ZSTD.text(), "MODULE_COMPRESS_ZSTD"),
        ];
        let facts = self.rules.facts();
        let format = |has: &dyn Fn(&(Container, &str, &str)) -> bool| {
            FORMATS.iter().find(|format| has(format)).map(|(container, ..)| *container)
        };
        if let Some(messages) = &facts.messages {
            return Some(format(&|(_, message, _)| messages.value.contains(*message)));
        }
        if let Some(config) = &facts.config {
            let is_set = config.value.contains_key("MODULE_DECOMPRESS");
            return Some(format(&|(_, _, option)| is_set && config.value.contains_key(*option)));
        }
        (self.rules.since(5, 17) == Some(false)).then_some(None)
    }

    /// The result if kmod decompresses the file (libkmod/libkmod-file.c of 30, libkmod-file-xz.c and -zstd.c of 34).
    fn by_kmod(&self, loader: Loader) -> Handover<'f> {
        let refuses = |why: &str| Handover::KmodRefuses { errno: errno::EINVAL, why: why.to_owned() };
        match (self.packing.container, self.packing.header) {
            (Container::Gzip, _) => {
                return Handover::Unknown("is it built with zlib? (kmod --version: +ZLIB; Debian's is not)".to_owned());
            }
            (_, _) if matches!(self.packing.after, TrailingData::Other(_)) => {
                return refuses("other bytes follow the compressed data");
            }
            (Container::Xz, Some(StreamHeader::Xz { filter: Some(RISCV), .. })) if loader != Loader::Kmod34 => {
                return Handover::Unknown("does its liblzma know the filter riscv? (5.6 and later do)".to_owned());
            }
            (Container::Zstd, Some(StreamHeader::Zstd { content, .. })) if loader == Loader::Kmod34 => match content {
                None | Some(0) => return refuses("the zstd frame does not say how much comes out of it"),
                Some(content) if (self.bytes.len() as u64) > content => {
                    return refuses("more than one zstd frame");
                }
                Some(_) => {}
            },
            _ => {}
        }
        if self.bytes.len() < SHORTEST {
            return Handover::KernelRefuses { errno: errno::ENOEXEC, line: None, why: "nothing inside".to_owned() };
        }
        Handover::ByKmod(match self.force {
            Force::None => Cow::Borrowed(self.bytes),
            force => Cow::Owned(edited(self.bytes, force)),
        })
    }

    /// The result if the kernel decompresses the file (finit_module(2) with flag 4).
    fn by_kernel(&self, format: Option<Option<Container>>) -> Handover<'f> {
        let own = self.packing.container;
        let refuses =
            |errno: i32, line: Option<Line>, why: &str| Handover::KernelRefuses { errno, line, why: why.to_owned() };
        let format = match (format, self.rules.since(5, 17)) {
            (Some(Some(format)), _) => format,
            (Some(None), Some(true)) => return refuses(errno::EOPNOTSUPP, None, "the kernel can't unpack modules"),
            (Some(None), Some(false)) => return refuses(errno::EINVAL, None, "the kernel does not know the flag"),
            _ => {
                return Handover::Unknown(
                    "does the kernel unpack modules itself? (its image or configuration)".to_owned(),
                );
            }
        };
        if format != own {
            let line = match format {
                Container::Xz => NOT_XZ,
                Container::Zstd => NOT_ZSTD,
                _ => NOT_GZIP,
            };
            return refuses(errno::EINVAL, Some(line.line([])), &format!("the kernel unpacks {} only", format.name()));
        }
        let limits = Handover::Unknown("does the kernel have memory for a dictionary of that size?".to_owned());
        match self.packing.header {
            Some(StreamHeader::Xz { check, filter, is_odd, dictionary }) => {
                // lib/xz/xz_dec_stream.c: XZ_OPTIONS_ERROR is 6.
                let options = |why: &str| refuses(errno::EINVAL, Some(DECOMPRESSION_FAILED.line([&6])), why);
                if check > 1 {
                    return options(&format!("its check is {}; the kernel knows CRC32 and none", check_name(check)));
                }
                let known = filter.map(|filter| (filter, self.knows_filter(filter)));
                match known {
                    _ if is_odd => return options("a chain of filters that the kernel does not take"),
                    Some((filter, Some(false))) => {
                        return options(&format!(
                            "its filter is {}, which the kernel does not know",
                            filter_name(filter)
                        ));
                    }
                    Some((filter, None)) => {
                        let name = filter_name(filter);
                        let option = filter_option(filter).unwrap_or("XZ_DEC_BCJ");
                        return Handover::Unknown(format!("does the kernel know the filter {name}? (CONFIG_{option})"));
                    }
                    Some((_, Some(true))) | None => {}
                }
                if dictionary > CERTAIN_MEMORY {
                    return limits;
                }
            }
            Some(StreamHeader::Zstd { window, .. }) if window > CERTAIN_MEMORY => return limits,
            None if own != Container::Gzip => {
                return Handover::Unknown("the file's header is not understood".to_owned());
            }
            _ => {}
        }
        let inside = self.bytes.get(..self.packing.first).unwrap_or(self.bytes);
        if !inside.is_empty() || self.rules.since(6, 13) == Some(false) {
            return Handover::ByKernel(inside);
        }
        // IMA refuses an empty file (`ima_post_read_file`); up to 6.12 the kernel does not call it again after decompression.
        match self.rules.since(7, 2) {
            Some(true) => refuses(errno::EACCES, None, "nothing inside its first stream"),
            _ => Handover::Unknown("does this kernel accept a file that decompresses to nothing?".to_owned()),
        }
    }

    /// Does the kernel support this xz filter? Each filter has an option; Debian sets the options of the filters that were seen
    /// to load.
    fn knows_filter(&self, filter: u64) -> Option<bool> {
        let Some(option) = filter_option(filter) else { return Some(false) };
        // lib/xz/Kconfig has arm64 and riscv since 6.12.
        if matches!(filter, ARM64 | RISCV) && self.rules.since(6, 12) == Some(false) {
            return Some(false);
        }
        if let Some(is_set) = self.rules.option(option) {
            return Some(is_set);
        }
        let is_measured = self.rules.is_debian() && self.rules.is_machine(object::elf::EM_X86_64.0);
        is_measured.then_some(matches!(filter, X86 | ARM64 | RISCV))
    }

    /// The record of the attempt after one handover.
    fn record(
        &self,
        handed: &Handover<'_>,
        subject: &Candidate<'_>,
        load: &LoadOptions,
        (attempt, whole): Plain<'_>,
    ) -> AttemptRecord {
        let plain = |bytes| Candidate { bytes, ..*subject };
        match handed {
            Handover::ByKmod(Cow::Borrowed(_)) | Handover::ByEither => whole.clone(),
            // The flags of finit_module(2) exist only for files.
            Handover::ByKmod(Cow::Owned(bytes)) => attempt(&plain(bytes), &LoadOptions { force: Force::None, ..*load }),
            Handover::ByKernel(bytes) if bytes.len() == self.bytes.len() && load.force == Force::None => whole.clone(),
            Handover::ByKernel(bytes) => attempt(&plain(bytes), load),
            Handover::KernelRefuses { errno, line, why } => {
                let mut record = AttemptRecord::default();
                line.iter().for_each(|line| record.say(line.clone()));
                record.refused = record.fail(LoaderStep::Container, *errno, why.clone(), None).err();
                record
            }
            Handover::KmodRefuses { errno, why } => {
                let mut record = AttemptRecord::default();
                record.refused = record.fail(LoaderStep::Container, *errno, why.clone(), None).err();
                record
            }
            Handover::Unknown(note) => {
                let mut record = whole.clone();
                record.unknown(LoaderStep::Container, note.clone());
                record
            }
        }
    }

    /// One sentence: how the file is compressed, what each loader does, and how to fix it.
    fn note(&self, judged: &[(Vec<Loader>, Handover<'_>, AttemptRecord)], is_decided: bool) -> String {
        let name = self.packing.container.name();
        let mut parts = vec![format!("compressed ({name})")];
        let (mut is_wrong, mut is_edited) = (false, false);
        for (loaders, handed, record) in judged {
            let who = words(loaders);
            let (what, is_bad) = match handed {
                Handover::ByKmod(Cow::Borrowed(_)) => ("unpacks it".to_owned(), false),
                Handover::ByEither => {
                    ("unpacks it or lets the kernel do it, which reads all of it too".to_owned(), false)
                }
                Handover::ByKmod(Cow::Owned(_)) => {
                    is_edited |= record.answer() == Decision::Refused;
                    ("unpacks it and edits the image, but leaves the trailer on".to_owned(), false)
                }
                Handover::ByKernel(inside) if inside.len() < self.bytes.len() => {
                    ("lets the kernel unpack it, which reads the first stream only".to_owned(), true)
                }
                Handover::ByKernel(_) => ("lets the kernel unpack it".to_owned(), false),
                Handover::KernelRefuses { line: Some(line), why, .. } => {
                    (format!("lets the kernel unpack it: \"{line}\" ({why})"), true)
                }
                Handover::KernelRefuses { why, .. } => (format!("hands it to the kernel: {why}"), true),
                Handover::KmodRefuses { why, .. } => (format!("does not take it: {why}"), true),
                Handover::Unknown(note) => (format!("may take it: {note}"), false),
            };
            is_wrong |= is_bad;
            let outcome = match (record.answer(), record.refused) {
                (Decision::Refused, Some((_, errno))) => format!(", {}", errno_name(errno)),
                (Decision::Accepted, _) if !is_decided => ", accepted".to_owned(),
                _ => String::new(),
            };
            parts.push(format!("{who} {what}{outcome}"));
        }
        if !is_decided {
            parts.push("the answer depends on the loader (kmod --version shows yours)".to_owned());
        }
        if is_wrong {
            parts.push(format!("fix: {}", self.fix()));
        } else if is_edited {
            parts.push("fix: force the plain file".to_owned());
        }
        parts.join("; ")
    }

    /// The commands that convert the file into one that every loader accepts.
    fn fix(&self) -> String {
        let format = self.unpacked_by_kernel().flatten().unwrap_or(self.packing.container);
        let unpack = match self.packing.container {
            Container::Xz => "xz -dc FILE > MODULE.ko",
            Container::Zstd => "zstd -dc FILE > MODULE.ko",
            _ => "gzip -dc FILE > MODULE.ko",
        };
        let pack = match format {
            Container::Zstd => "zstd -19 --no-progress MODULE.ko",
            Container::Gzip => "gzip -n MODULE.ko",
            _ => "xz --check=crc32 --lzma2=dict=1MiB MODULE.ko",
        };
        format!("`{unpack}`, then `{pack}`")
    }
}

/// The loaders by name, as the subject of a sentence.
fn words(loaders: &[Loader]) -> &'static str {
    match loaders {
        [Loader::Kmod30, Loader::Kmod31, Loader::Kmod34] => "every kmod",
        [Loader::Kmod30, Loader::Kmod31] => "kmod up to 33",
        [Loader::Kmod31, Loader::Kmod34] => "kmod from 31 on",
        [Loader::Kmod30, Loader::Kmod34] => "kmod up to 30 and from 34 on",
        [Loader::Kmod30, ..] => "kmod up to 30",
        [Loader::Kmod31, ..] => "kmod 31 to 33",
        [Loader::Kmod34, ..] => "kmod from 34 on",
        _ => "finit_module with flag 4",
    }
}

/// The filters of xz (the xz file format, 5.3).
const X86: u64 = 4;
const ARM64: u64 = 10;
const RISCV: u64 = 11;

fn filter_name(filter: u64) -> Cow<'static, str> {
    const NAMES: [&str; 9] = ["delta", "x86", "powerpc", "ia64", "arm", "armthumb", "sparc", "arm64", "riscv"];
    let name = filter.checked_sub(3).and_then(|at| NAMES.get(usize::try_from(at).ok()?));
    name.map_or_else(|| format!("number {filter}").into(), |name| (*name).into())
}

/// The option that enables a filter (lib/xz/Kconfig, 6.12; IA-64 up to 6.6); delta has none.
fn filter_option(filter: u64) -> Option<&'static str> {
    const OPTIONS: [&str; 8] = [
        "XZ_DEC_X86",
        "XZ_DEC_POWERPC",
        "XZ_DEC_IA64",
        "XZ_DEC_ARM",
        "XZ_DEC_ARMTHUMB",
        "XZ_DEC_SPARC",
        "XZ_DEC_ARM64",
        "XZ_DEC_RISCV",
    ];
    filter.checked_sub(X86).and_then(|at| OPTIONS.get(usize::try_from(at).ok()?)).copied()
}

fn check_name(check: u8) -> Cow<'static, str> {
    match check {
        0 => "none".into(),
        1 => "CRC32".into(),
        4 => "CRC64".into(),
        10 => "SHA-256".into(),
        other => format!("number {other}").into(),
    }
}

/// A module as kmod edits it in memory when it cannot pass flags (`kmod_elf_strip_section`, `kmod_elf_strip_vermagic`): the
/// first `vermagic=` is overwritten with zeros, and `__versions` loses SHF_ALLOC. Everything else stays, including the trailer.
fn edited(bytes: &[u8], force: Force) -> Vec<u8> {
    let mut edited = bytes.to_vec();
    let machine = load_info::machine_of(bytes);
    let Some(header) = load_info::ElfHeader::read(bytes, machine.class, machine.endian) else { return edited };
    let sections = header.sections(bytes);
    let find = |name: &str| load_info::find(bytes, &header, &sections, name, false);
    if force.vermagic()
        && let Some(section) = find(".modinfo").and_then(|at| sections.get(at))
    {
        let strings = load_info::bytes_of(bytes, section);
        let mut at = usize::try_from(section.offset).unwrap_or(usize::MAX);
        for string in strings.split(|byte| *byte == 0) {
            if string.starts_with(b"vermagic=") {
                edited.iter_mut().skip(at).take(string.len()).for_each(|byte| *byte = 0);
                break;
            }
            at = at.saturating_add(string.len() + 1);
        }
    }
    if force.modversions()
        && let Some(index) = find("__versions")
    {
        // sh_flags is the third field, after two 4-byte words.
        let table = usize::try_from(header.shoff).unwrap_or(usize::MAX);
        let flags = table.saturating_add(index * load_info::section_size(machine.class)).saturating_add(8);
        let size = if machine.class == crate::module::elf::Class::Elf32 { 4 } else { 8 };
        let cleared = number(bytes, machine.endian, flags, size) & !2;
        let digits = match machine.endian {
            crate::module::elf::Endian::Little => cleared.to_le_bytes().into_iter().take(size).collect::<Vec<_>>(),
            crate::module::elf::Endian::Big => cleared.to_be_bytes().into_iter().skip(8 - size).collect(),
        };
        edited.iter_mut().skip(flags).zip(digits).for_each(|(byte, digit)| *byte = digit);
    }
    edited
}

messages! {
    Some(LoaderStep::Container);
    NOT_GZIP[0] Effect::Refuses(errno::EINVAL), Availability::Version((5, 17)),
        "not a gzip compressed module",
        "the kernel unpacks gzip only, and the file is compressed in another way, or not at all";
    NOT_XZ[0] Effect::Refuses(errno::EINVAL), Availability::Version((5, 17)),
        "not an xz compressed module",
        "the kernel unpacks xz only, and the file is compressed in another way, or not at all";
    NOT_ZSTD[0] Effect::Refuses(errno::EINVAL), Availability::Version((5, 17)),
        "not a zstd compressed module",
        "the kernel unpacks zstd only, and the file is compressed in another way, or not at all";
    DECOMPRESSION_FAILED[1] Effect::Refuses(errno::EINVAL), Availability::Version((5, 17)),
        "decompression failed with status {status:d}",
        "the kernel cannot unpack the file: of xz it knows only the check CRC32 and few filters (status 6), as `xz --check=crc32` writes it";
}
