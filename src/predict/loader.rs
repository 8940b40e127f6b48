//! The loader's steps in the loader's order (`load_module`, kernel/module/main.c; before 5.18 kernel/module.c).

use crate::module::Module;
use crate::module::elf::Class;
use crate::predict::attempt::Attempt;
use crate::predict::load_info::{self, ElfHeader, LoadInfo, machine_of};
use crate::predict::record::{AttemptRecord, Flow};
use crate::predict::rules::Rule;
use crate::predict::validity::Checks;
use crate::predict::verdict::{Finding, LoaderStep, StepResult};
use crate::predict::{
    arch, btf, errno, exports, memory, names, relocations, sections, signature, symbol_versions, symbols, taints,
    vermagic,
};

/// One attempt at loading, from the system call to the module's own init function.
pub(super) fn attempt(attempt: &Attempt<'_>) -> AttemptRecord {
    let mut record = AttemptRecord::default();
    if let Err(refusal) = attempt.steps(&mut record) {
        record.refused = Some(refusal);
    }
    record
}

impl Attempt<'_> {
    fn steps(&self, record: &mut AttemptRecord) -> Flow {
        names::permission(self, record)?;
        // A compressed file was already decompressed at this point.
        if self.subject.bytes.is_empty() && self.subject.packing.is_none() {
            return self.nothing(record);
        }
        if let Some(version) = self.subject.module.and_then(Module::of_linux_2_4) {
            let version = crate::escape::bytes_for_eyes(version);
            let note = format!("a module of Linux 2.4 ({version}), which insmod links; no later kernel can load it");
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
        // If it is not known at which point the kernel sets taints, a refusal between the two points leaves the taints open.
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

    /// An empty file: finit_module(2) fails before the loader examines anything (`kernel_read_file`, fs/kernel_read_file.c of
    /// 5.10 to 7.2; `copy_module_from_fd`, kernel/module.c of 3.10). init_module(2), the only call up to 3.7, refuses files
    /// that are shorter than an ELF header.
    fn nothing(&self, record: &mut AttemptRecord) -> Flow {
        let errno = match self.rules.since(3, 8) {
            Some(false) => errno::ENOEXEC,
            Some(true) => errno::EINVAL,
            None => {
                record.otherwise.push(errno::ENOEXEC);
                errno::EINVAL
            }
        };
        record.fail(LoaderStep::Elf, errno, "an empty file, which the kernel does not read", None)
    }

    /// Runs the ELF checks.
    fn elf<'f>(&self, file: &'f [u8], record: &mut AttemptRecord) -> Result<LoadInfo<'f>, (LoaderStep, i32)> {
        let known = self.kernel.facts.machine.as_ref();
        // Unknown properties of the kernel's machine are taken from the module: only certain differences lead to a refusal.
        let ours = machine_of(file);
        let partly = self.kernel.facts.architecture.as_ref();
        let machine = known.map_or_else(|| partly.map_or(ours, |known| known.value.or(ours)), |machine| machine.value);
        let module_size = self.kernel.facts.fingerprint.as_ref().map(|fingerprint| fingerprint.value.size);
        let runs_on =
            partly.filter(|_| known.is_none()).map_or_else(|| machine.to_string(), |known| known.value.to_string());
        let checks = Checks { rules: self.rules, machine, runs_on, module_size, assume_unknown_checks: false };
        let (loaded, doubt) = checks.check(file).map_err(|wrong| {
            // A header's size and numbers depend on the machine.
            let is_machine_open = known.is_none() && partly.is_none_or(|known| known.value.machine().is_none());
            let is_line_open = is_machine_open
                && ElfHeader::is_of_no_module(file)
                && self.rules.has(Rule::ElfLines) != Some(false)
                && file.len() >= load_info::header_size(Class::Elf32)
                && (file.len() < load_info::header_size(Class::Elf64) || file.starts_with(b"\x7fELF"));
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
                record.unknown(
                    LoaderStep::Elf,
                    "is it built for the kernel's machine? (its image, or one of its modules)",
                );
            }
            (_, Some(true), None) if symbol_versions::prove_structure(self, &loaded) => {
                record.pass(
                    LoaderStep::Elf,
                    "struct module is the kernel's, because the CRC of module_layout agrees",
                    None,
                );
            }
            (_, Some(true), None) => {
                let note = "has struct module the size that it has in the kernel? (its BTF, or one of its modules)";
                record.unknown(LoaderStep::Elf, note);
            }
            (Some(machine), ..) => {
                let note = format!("a module for {}, with the required sections", machine.value);
                record.pass(LoaderStep::Elf, note, Some(&machine.source));
            }
        }
        Ok(loaded)
    }

    /// Records faults that some kernels do not check and that may crash them; the consequences are not decided here.
    fn unchecked(&self, loaded: &LoadInfo<'_>, record: &mut AttemptRecord) {
        let unchecked = |note: &str| format!("{note}; this kernel does not check that");
        // The kernel uses both before the version magic, so it is not certain to reach any later step.
        if !loaded.has_structure() {
            let note = "struct module has no bytes in the file, and the kernel may crash";
            record.unknown(LoaderStep::Elf, unchecked(note));
            record.may_crash = true;
        }
        let names = loaded.sections.get(usize::from(loaded.header.shstrndx)).map_or(0, |names| names.size);
        let is_nameless = |section: &load_info::SectionHeader| {
            section.kind != load_info::SHT_NULL && u64::from(section.name) >= names
        };
        if loaded.sections.iter().any(is_nameless) {
            let note = "a section's name is outside the table of names, and the kernel may crash";
            record.unknown(LoaderStep::Elf, unchecked(note));
            record.may_crash = true;
        }
        let mut stumbles = |note: &str| record.unknown(LoaderStep::Elf, unchecked(note));
        if !self.rules.surely(Rule::SymbolNames) && loaded.has_nameless_symbol() {
            stumbles("a symbol's name is outside the table of names, and the kernel may crash");
        }
        let count = loaded.sections.len();
        let is_relocation =
            |section: &&load_info::SectionHeader| matches!(section.kind, load_info::SHT_RELA | load_info::SHT_REL);
        if loaded.sections.iter().filter(is_relocation).any(|section| section.info as usize >= count) {
            stumbles("there are relocations for a section that does not exist, and the kernel may crash");
        }
    }
}
