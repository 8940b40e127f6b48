//! The loader's ELF checks: those of the file's structure, before those of its contents.
//!
//! There are three generations, each in the order of its source: up to 5.11 and 6.3 (`elf_validity_check` and
//! `setup_load_info`, kernel/module.c 5.10, kernel/module/main.c 6.1); 6.4 to 6.13 (`elf_validity_cache_copy`, 6.4); 6.14 on,
//! and stable kernels with a backport (the functions `elf_validity_cache_*`, 6.12.118 and 7.2).

use crate::kernel::Machine;
use crate::module::elf::machine_name;
use crate::predict::arch;
use crate::predict::availability::Availability;
use crate::predict::errno::ENOEXEC;
use crate::predict::load_info::machine_of;
use crate::predict::load_info::{
    self, ElfHeader, LoadInfo, SHT_NOBITS, SHT_NULL, SHT_STRTAB, SHT_SYMTAB, SectionHeader, bytes_of, header_size,
    section_size, symbol_size,
};
use crate::predict::message::{Effect, messages};
use crate::predict::rules::{Rule, Rules};
use crate::predict::verdict::LoaderStep;
use crate::template::{Line, NO_NAME, Template};

/// The sections that the loader looks up by name.
const MODINFO: &str = ".modinfo";
const THIS_MODULE: &str = ".gnu.linkonce.this_module";
const EM_PPC64: u16 = 21;

/// A failed check: the kernel's lines, and the meaning.
pub(super) struct Wrong {
    /// The lines that this kernel prints.
    pub(super) lines: Vec<Line>,
    /// The fault, in words.
    pub(super) note: String,
    /// It is not known which lines the kernel prints; [`Wrong::lines`] contains those of one possible kernel, or none.
    pub(super) are_lines_open: bool,
}

/// The facts about the kernel that the checks use.
pub(super) struct Checks<'r> {
    pub(super) rules: &'r Rules<'r>,
    /// The kernel's machine, or the module's own if the kernel's is not known.
    pub(super) machine: Machine,
    /// The kernel's machine as far as it is known, in words.
    pub(super) runs_on: String,
    /// Size of the kernel's `struct module`, if it is known.
    pub(super) module_size: Option<u64>,
    /// The assumption for checks of which it is not known whether the kernel has them.
    pub(super) assume_unknown_checks: bool,
}

/// A module that the loader accepts; and the fault that only kernels with more checks find in it, if it is not known whether
/// this kernel has those checks.
pub(super) type Taken<'f> = (LoadInfo<'f>, Option<String>);

/// The result of a check that has its own line.
type Checked<T = ()> = Result<T, ElfFault>;

/// A failed check: the log line of kernels that print one, and the meaning.
struct ElfFault {
    text: Line,
    note: String,
    /// Also printed by kernels up to 5.11, which otherwise print no details.
    is_old: bool,
    /// The line that kernels up to 5.9 print instead.
    truncated: Option<Line>,
}

fn line<T>(text: Line, note: impl Into<String>) -> Checked<T> {
    Err(ElfFault { text, note: note.into(), is_old: false, truncated: None })
}

fn old_line<T>(text: Line, note: impl Into<String>) -> Checked<T> {
    Err(ElfFault { text, note: note.into(), is_old: true, truncated: None })
}

impl Checks<'_> {
    /// Does the loader accept this file as a module? `file` ends where the loader assumes the end. If it is not known whether
    /// the kernel has some of the checks, the file is checked both with and without them.
    pub(super) fn check<'f>(&self, file: &'f [u8]) -> Result<Taken<'f>, Wrong> {
        let with = |assume_unknown_checks| Checks { assume_unknown_checks, runs_on: self.runs_on.clone(), ..*self };
        match (with(false).check_once(file), with(true).check_once(file)) {
            (Ok(loaded), Ok(_)) => Ok((loaded, None)),
            (Ok(loaded), Err(wrong)) | (Err(wrong), Ok(loaded)) => Ok((loaded, Some(wrong.note))),
            (Err(old), Err(new)) => {
                let are_lines_open = old.are_lines_open || new.are_lines_open || old.lines != new.lines;
                Err(Wrong { are_lines_open, ..old })
            }
        }
    }

    /// Does the kernel have this check? If that is not known, the assumption is used.
    fn has(&self, rule: Rule) -> bool {
        self.rules.has(rule).unwrap_or(self.assume_unknown_checks)
    }

    fn check_once<'f>(&self, file: &'f [u8]) -> Result<LoadInfo<'f>, Wrong> {
        let sections = self.sections(file);
        let generation = match (self.has(Rule::ElfTables), self.has(Rule::OneModinfo)) {
            (true, _) => Self::newest,
            (false, true) => Self::middle,
            (false, false) => Self::oldest,
        };
        // In the first half only fields of the header can be wrong, and kernels up to 5.11 report them all in one line.
        match sections.and_then(|(header, sections)| self.all_sections(file, header, sections)) {
            Err(wrong) => Err(self.lines_for(wrong, true)),
            Ok((header, sections)) => {
                generation(self, file, header, sections).map_err(|wrong| self.lines_for(wrong, false))
            }
        }
    }

    /// The lines that this kernel prints about a failed check.
    fn lines_for(&self, wrong: ElfFault, in_header: bool) -> Wrong {
        let is_decided = |rule| self.rules.has(rule).is_some();
        let are_lines_open = in_header && !(is_decided(Rule::ElfLines) && is_decided(Rule::OneElfLine))
            || wrong.truncated.is_some() && !is_decided(Rule::TruncatedLine);
        let spoken = self.rules.surely(Rule::ElfLines);
        let one_line = self.rules.surely(Rule::OneElfLine);
        let mut lines = Vec::new();
        if spoken || !in_header || (one_line && wrong.is_old) {
            lines.push(wrong.text);
        }
        lines.extend(wrong.truncated.filter(|_| self.rules.surely(Rule::TruncatedLine)));
        if one_line && in_header {
            lines.push(INVALID_STRUCTURES.line([]));
        }
        Wrong { lines, note: wrong.note, are_lines_open }
    }

    /// Checks the file header, and locates the section headers.
    fn sections(&self, file: &[u8]) -> Checked<(ElfHeader, Vec<SectionHeader>)> {
        let Machine { class, endian, .. } = self.machine;
        let Some(header) = ElfHeader::read(file, class, endian) else {
            return line(
                HEADER_LENGTH.line([&file.len()]),
                format!("{} bytes, less than an ELF header of {}", file.len(), header_size(class)),
            );
        };
        if !header.has_magic {
            return line(HEADER_MAGIC.line([&"\x7fELF"]), "it does not begin as an ELF file does");
        }
        if header.kind != 1 {
            let text = HEADER_TYPE.line([&header.kind]);
            let note = match machine_of(file) {
                // In the opposite byte order, every number differs.
                ours if ours.endian != endian => format!("built for {ours}, the kernel runs on {}", self.runs_on),
                _ => format!("an ELF file of type {}, where a relocatable one has 1", header.kind),
            };
            return line(text, note);
        }
        if !arch::accepts(&header, self.machine) {
            let text = ARCHITECTURE.line([&header.machine]);
            let note = match machine_name(header.machine) {
                theirs if header.machine == self.machine.number => {
                    format!("built for {theirs}, but not for the kernel's variant of it: {}", self.machine)
                }
                theirs => format!("built for {theirs}, the kernel runs on {}", self.runs_on),
            };
            return line(text, note);
        }
        // `module_elf_check_arch`, which only powerpc has.
        if header.machine == EM_PPC64
            && arch::has_another_abi(header.flags, endian)
            && self.has(Rule::ModuleArchitecture)
        {
            let text = MODULE_ARCHITECTURE.line([&header.machine]);
            return line(text, format!("e_flags 0x{:x} name another ABI than the kernel's", header.flags));
        }
        let size = section_size(class);
        if usize::from(header.shentsize) != size {
            let note = format!("section headers of {} bytes, where {size} are right", header.shentsize);
            return line(SECTION_HEADER_SIZE.line([]), note);
        }
        let room = (file.len() as u64).checked_sub(header.shoff).filter(|room| *room > 0);
        if room.is_none_or(|room| u64::from(header.shnum) * size as u64 > room) {
            return line(SECTION_HEADER_OVERFLOW.line([]), "the section headers are outside the file");
        }
        Ok((header, header.sections(file)))
    }

    /// Checks section 0, the offset of each section, and the table of their names, in the order of the generation.
    fn all_sections(
        &self,
        file: &[u8],
        header: ElfHeader,
        sections: Vec<SectionHeader>,
    ) -> Checked<(ElfHeader, Vec<SectionHeader>)> {
        // Section 0 is read even if the header says that there are no sections.
        let first = ElfHeader { shnum: 1, ..header }.sections(file).first().copied().unwrap_or_default();
        if self.has(Rule::ElfTables) {
            must_be_null(&first)?;
            for (index, section) in sections.iter().enumerate().skip(1) {
                must_be_inside(file, index, section)?;
            }
            let names = self.names(file, &header, &sections)?;
            for (index, section) in sections.iter().enumerate().filter(|(_, s)| s.kind != SHT_NULL) {
                must_be_named(index, section, names.size)?;
            }
        } else {
            let names = self.names(file, &header, &sections)?;
            must_be_null(&first)?;
            for (index, section) in sections.iter().enumerate().skip(1) {
                if section.kind == SHT_SYMTAB && !(1..u32::from(header.shnum)).contains(&section.link) {
                    return bad_link(section.link, header.shnum);
                }
                must_be_inside(file, index, section)?;
                if section.is_alloc() && !matches!(section.kind, SHT_NULL | SHT_NOBITS) {
                    must_be_named(index, section, names.size)?;
                }
            }
        }
        Ok((header, sections))
    }

    /// Checks the table of section names.
    fn names(&self, file: &[u8], header: &ElfHeader, sections: &[SectionHeader]) -> Checked<SectionHeader> {
        let (index, count) = (header.shstrndx, header.shnum);
        let table = sections.get(usize::from(index)).filter(|_| index != 0);
        let Some(table) = table else {
            let text = NAME_INDEX.line([&index, &index, &count]);
            return line(text, format!("the section of names is number {index}, and there are {count} sections"));
        };
        if self.has(Rule::ElfTables) && table.kind != SHT_STRTAB {
            let text = NAME_TABLE_TYPE.line([&table.kind]);
            return line(text, "the section of names is no string table");
        }
        if !lies_inside(file, table) {
            let text = SECTION_HEADER.line([&table.kind]);
            return line(text, "the section of names is outside the file");
        }
        if table.size == 0 && self.rules.has(Rule::SectionNames) != Some(false) {
            return line(EMPTY_NAME_TABLE.line([]), "the table of section names is empty");
        }
        // Whatever the type of the table is, the kernel reads the bytes at its offset; for an empty table up to 5.15, the byte
        // before it.
        let end = table.offset.saturating_add(table.size);
        let last = end.checked_sub(1).and_then(|at| usize::try_from(at).ok()).and_then(|at| file.get(at));
        if last != Some(&0) {
            return line(UNTERMINATED_NAME_TABLE.line([]), "the table of section names has no NUL at its end");
        }
        Ok(*table)
    }

    /// Up to 6.3: only sections with SHF_ALLOC are found, and the first section with a name is used.
    fn oldest<'f>(&self, file: &'f [u8], header: ElfHeader, sections: Vec<SectionHeader>) -> Checked<LoadInfo<'f>> {
        let find = |name| load_info::find(file, &header, &sections, name, true);
        let modinfo = find(MODINFO);
        let name = name_in(file, &sections, modinfo);
        let Some(symtab) = sections.iter().skip(1).position(|s| s.kind == SHT_SYMTAB).map(|at| at + 1) else {
            return stripped(name);
        };
        let Some(this_module) = find(THIS_MODULE) else {
            let text = match self.rules.has(Rule::NamedWithoutModule) {
                Some(false) => NO_MODULE_UNNAMED.line([]),
                _ => NO_MODULE.line([&name.as_deref().unwrap_or(NO_NAME)]),
            };
            return line(text, format!("no section {THIS_MODULE} that is allocated"));
        };
        Ok(finish(file, header, sections, (modinfo, this_module, symtab), name))
    }

    /// The checks of 6.4 to 6.13.
    fn middle<'f>(&self, file: &'f [u8], header: ElfHeader, sections: Vec<SectionHeader>) -> Checked<LoadInfo<'f>> {
        let modinfo = self.modinfo(file, &header, &sections)?;
        let name = name_in(file, &sections, modinfo);
        let symtab = one_symtab(&sections, &name)?;
        let this_module = self.this_module(file, &header, &sections, &name)?;
        Ok(finish(file, header, sections, (modinfo, this_module, symtab), name))
    }

    /// The checks of 6.14 and later.
    fn newest<'f>(&self, file: &'f [u8], header: ElfHeader, sections: Vec<SectionHeader>) -> Checked<LoadInfo<'f>> {
        let modinfo = self.modinfo(file, &header, &sections)?;
        let name = name_in(file, &sections, modinfo);
        let this_module = self.this_module(file, &header, &sections, &name)?;
        let symtab = one_symtab(&sections, &name)?;
        let table = sections.get(symtab).copied().unwrap_or_default();
        let Some(strings) = sections.get(table.link as usize).filter(|_| table.link != 0) else {
            return bad_link(table.link, header.shnum);
        };
        if strings.kind != SHT_STRTAB {
            let text = STRING_TABLE_TYPE.line([&strings.kind]);
            return line(text, "the symbols' names are in a section that is no string table");
        }
        if self.has(Rule::ExtendedVersions) {
            must_be_in_step(file, &header, &sections)?;
        }
        if self.has(Rule::SymbolNames) {
            must_have_names(file, &header, &table, strings)?;
        }
        Ok(finish(file, header, sections, (modinfo, this_module, symtab), name))
    }

    /// The only `.modinfo`, allocated or not; it may be absent.
    fn modinfo(&self, file: &[u8], header: &ElfHeader, sections: &[SectionHeader]) -> Checked<Option<usize>> {
        match all_named(file, header, sections, MODINFO).as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(*one)),
            several => {
                let note = format!("{} sections are named {MODINFO}", several.len());
                line(ONE_MODINFO.line([]), note)
            }
        }
    }

    /// The only section of `struct module`, which must have the right size.
    fn this_module(
        &self,
        file: &[u8],
        header: &ElfHeader,
        sections: &[SectionHeader],
        name: &Option<String>,
    ) -> Checked<usize> {
        let name = name.as_deref().unwrap_or(NO_NAME);
        let found = all_named(file, header, sections, THIS_MODULE);
        let [index] = found.as_slice() else {
            let text = if self.has(Rule::ExactlyOneModule) { EXACTLY_ONE_MODULE } else { ONLY_ONE_MODULE };
            return line(text.line([&name]), format!("{} sections are named {THIS_MODULE}", found.len()));
        };
        let section = sections.get(*index).copied().unwrap_or_default();
        let wrong = |text: Template<1>, note: String| line(text.line([&name]), note);
        if section.kind == SHT_NOBITS {
            return wrong(MODULE_WITHOUT_SIZE, format!("section {THIS_MODULE} has no bytes in the file"));
        }
        if !section.is_alloc() {
            return wrong(MODULE_WITHOUT_MEMORY, format!("section {THIS_MODULE} is not allocated"));
        }
        match self.module_size {
            Some(size) if size != section.size => wrong(
                MODULE_OF_OTHER_SIZE,
                format!("struct module: module 0x{:x} bytes, kernel 0x{size:x}", section.size),
            ),
            _ => Ok(*index),
        }
    }
}

/// Assembles the loader's state for the later steps.
fn finish(
    file: &[u8],
    header: ElfHeader,
    sections: Vec<SectionHeader>,
    (modinfo, this_module, symtab): (Option<usize>, usize, usize),
    name: Option<String>,
) -> LoadInfo<'_> {
    // In struct module, the name follows a state and a list head.
    let structure = sections.get(this_module).copied().unwrap_or_default();
    let at = structure.offset.saturating_add(3 * header.class.word() as u64);
    let own_name = match structure.kind == SHT_NOBITS {
        true => String::new(),
        false => String::from_utf8_lossy(load_info::string(file, at)).into_owned(),
    };
    let name = name.unwrap_or_else(|| own_name.clone());
    LoadInfo { file, header, sections, modinfo, this_module, symtab, name, own_name }
}

/// The module's name in modinfo (`name=`, from 4.20 on).
fn name_in(file: &[u8], sections: &[SectionHeader], modinfo: Option<usize>) -> Option<String> {
    let bytes = bytes_of(file, sections.get(modinfo?)?);
    load_info::values(bytes, "name".to_owned()).next().map(|name| String::from_utf8_lossy(name).into_owned())
}

fn all_named(file: &[u8], header: &ElfHeader, sections: &[SectionHeader], name: &str) -> Vec<usize> {
    let fits = |section: &SectionHeader| load_info::name_of(file, header, sections, section) == name.as_bytes();
    let all = sections.iter().enumerate().skip(1).filter(|(_, s)| s.kind != SHT_NULL);
    all.filter(|(_, section)| fits(section)).map(|(index, _)| index).collect()
}

fn one_symtab(sections: &[SectionHeader], name: &Option<String>) -> Checked<usize> {
    let mut tables = sections.iter().enumerate().skip(1).filter(|(_, section)| section.kind == SHT_SYMTAB);
    match (tables.next(), tables.next()) {
        (Some((index, _)), None) => Ok(index),
        (None, _) => stripped(name.clone()),
        _ => {
            let text = NO_SYMBOLS.line([&name.as_deref().unwrap_or(NO_NAME)]);
            line(text, "it has several symbol tables")
        }
    }
}

fn stripped<T>(name: Option<String>) -> Checked<T> {
    let text = NO_SYMBOLS.line([&name.as_deref().unwrap_or(NO_NAME)]);
    line(text, "it has no symbol table: was it stripped?")
}

fn must_be_null(first: &SectionHeader) -> Checked {
    if first.kind == SHT_NULL && first.size == 0 && first.addr == 0 {
        return Ok(());
    }
    let text = SECTION_ZERO.line([&first.kind]);
    line(text, "section 0 is not empty")
}

fn lies_inside(file: &[u8], section: &SectionHeader) -> bool {
    section.offset.checked_add(section.size).is_some_and(|end| end <= file.len() as u64)
}

fn must_be_inside(file: &[u8], index: usize, section: &SectionHeader) -> Checked {
    if matches!(section.kind, SHT_NULL | SHT_NOBITS) || lies_inside(file, section) {
        return Ok(());
    }
    Err(ElfFault {
        text: SECTION.line([&index, &section.kind]),
        note: format!("section {index} is outside the file"),
        is_old: true,
        truncated: Some(TRUNCATED.line([&file.len()])),
    })
}

fn must_be_named(index: usize, section: &SectionHeader, names: u64) -> Checked {
    if u64::from(section.name) < names {
        return Ok(());
    }
    let text = SECTION_NAME.line([&index, &section.kind]);
    old_line(text, format!("section {index} has a name outside the table of names"))
}

fn bad_link<T>(link: u32, count: u16) -> Checked<T> {
    let text = LINK.line([&link, &link, &count]);
    line(text, format!("the symbols' names are in section {link}, which is not there"))
}

/// Checks extended symbol versions: two sections, with a name for each CRC.
fn must_be_in_step(file: &[u8], header: &ElfHeader, sections: &[SectionHeader]) -> Checked {
    let find = |name| {
        let index = load_info::find(file, header, sections, name, true)?;
        sections.get(index)
    };
    match (find("__version_ext_crcs"), find("__version_ext_names")) {
        (None, None) => Ok(()),
        (Some(crcs), Some(names)) => {
            let names = bytes_of(file, names).iter().filter(|byte| **byte == 0).count() as u64;
            match crcs.size / 4 > names {
                true => line(MORE_CRCS_THAN_NAMES.line([]), "extended symbol versions: a CRC without a name"),
                false => Ok(()),
            }
        }
        _ => line(CRCS_OR_NAMES_ONLY.line([]), "extended symbol versions: CRCs and names must come together"),
    }
}

/// Checks that the symbols' names lie in their table, which must begin and end with a NUL.
fn must_have_names(file: &[u8], header: &ElfHeader, table: &SectionHeader, strings: &SectionHeader) -> Checked {
    let names = bytes_of(file, strings);
    match (names.first(), names.last()) {
        (None, _) => return line(EMPTY_STRING_TABLE.line([]), "the table of the symbols' names is empty"),
        (Some(0), Some(0)) => {}
        (Some(0), _) => {
            return line(UNTERMINATED_STRING_TABLE.line([]), "the table of the symbols' names has no NUL at its end");
        }
        _ => {
            return line(UNBEGUN_STRING_TABLE.line([]), "the table of the symbols' names does not begin with a NUL");
        }
    }
    let entries = bytes_of(file, table).chunks_exact(symbol_size(header.class));
    let mut offsets = entries.map(|entry| load_info::number(entry, header.endian, 0, 4));
    match offsets.any(|offset| offset >= names.len() as u64) {
        true => line(SYMBOL_NAME.line([]), "a symbol's name is outside the table of names"),
        false => Ok(()),
    }
}

messages! {
    Some(LoaderStep::Elf);
    INVALID_STRUCTURES[0] Effect::Refuses(ENOEXEC), Availability::Rule(Rule::OneElfLine),
        "Module has invalid ELF structures",
        "the file is no module for this machine, or is damaged";
    TRUNCATED[1] Effect::Refuses(ENOEXEC), Availability::Rule(Rule::TruncatedLine),
        "Module len {size:d} truncated",
        "the file is cut short: a section ends after its {size} bytes";
    HEADER_LENGTH[1] Effect::Refuses(ENOEXEC), Availability::Rule(Rule::ElfLines),
        "Invalid ELF header len {size:d}",
        "the file has {size} bytes, fewer than an ELF header";
    HEADER_MAGIC[1] Effect::Refuses(ENOEXEC), Availability::Rule(Rule::ElfLines),
        "Invalid ELF header magic: != {magic:*}",
        "the file is no ELF file: compressed, an error page, or something else under this name";
    HEADER_TYPE[1] Effect::Refuses(ENOEXEC), Availability::Rule(Rule::ElfLines),
        "Invalid ELF header type: {type:d} != 1",
        "the file is no relocatable ELF file (type {type}), or has the other byte order";
    ARCHITECTURE[1] Effect::Refuses(ENOEXEC), Availability::Rule(Rule::ElfLines),
        "Invalid architecture in ELF header: {machine:d}",
        "the module was built for another processor (e_machine {machine})";
    MODULE_ARCHITECTURE[1] Effect::Refuses(ENOEXEC), Availability::Rule(Rule::ModuleArchitecture),
        "Invalid module architecture in ELF header: {machine:d}",
        "the module was built for another ABI of this processor (e_flags)";
    SECTION_HEADER_SIZE[0] Effect::Refuses(ENOEXEC), Availability::Rule(Rule::ElfLines),
        "Invalid ELF section header size",
        "the section headers have the size of the other class (32 or 64 bit), or the file is damaged";
    SECTION_HEADER_OVERFLOW[0] Effect::Refuses(ENOEXEC), Availability::Rule(Rule::ElfLines),
        "Invalid ELF section header overflow",
        "the section headers are outside the file: it is cut short";
    NAME_INDEX[3] Effect::Refuses(ENOEXEC), Availability::Rule(Rule::ElfLines),
        "Invalid ELF section name index: {index:d} || e_shstrndx ({same:d}) >= e_shnum ({count:d})",
        "the section of names is number {index}, and there are {count} sections";
    NAME_TABLE_TYPE[1] Effect::Refuses(ENOEXEC), Availability::Rule(Rule::ElfTables),
        "Invalid ELF section name table type: {type:d}",
        "the section of names is no string table";
    SECTION_HEADER[1] Effect::Refuses(ENOEXEC), Availability::Rule(Rule::ElfLines),
        "Invalid ELF section hdr(type {type:d})",
        "the section of names is outside the file: it is cut short";
    EMPTY_NAME_TABLE[0] Effect::Refuses(ENOEXEC), Availability::Rule(Rule::SectionNames),
        "empty section name table",
        "the table of section names is empty";
    UNTERMINATED_NAME_TABLE[0] Effect::Refuses(ENOEXEC), Availability::Rule(Rule::ElfLines),
        "ELF Spec violation: section name table isn't null terminated",
        "the table of section names has no NUL at its end";
    SECTION_ZERO[1] Effect::Refuses(ENOEXEC), Availability::Rule(Rule::ElfLines),
        "ELF Spec violation: section 0 type({type:d})!=SH_NULL or non-zero len or addr",
        "section 0 is not empty";
    SECTION[2] Effect::Refuses(ENOEXEC), Availability::Version((5, 10)),
        "Invalid ELF section in module (section {index:d} type {type:d})",
        "section {index} is outside the file: it is cut short";
    SECTION_NAME[2] Effect::Refuses(ENOEXEC), Availability::Version((5, 10)),
        "Invalid ELF section name in module (section {index:d} type {type:d})",
        "section {index} has a name outside the table of names";
    LINK[3] Effect::Refuses(ENOEXEC), Availability::Rule(Rule::ElfLines),
        "Invalid ELF sh_link!=SHN_UNDEF({link:d}) or (sh_link({same:d}) >= hdr->e_shnum({count:d})",
        "the symbols' names are in section {link}, and there are {count}";
    STRING_TABLE_TYPE[1] Effect::Refuses(ENOEXEC), Availability::Rule(Rule::ElfTables),
        "Invalid ELF symbol string table type: {type:d}",
        "the symbols' names are in a section that is no string table";
    ONE_MODINFO[0] Effect::Refuses(ENOEXEC), Availability::Rule(Rule::OneModinfo),
        "Only one .modinfo section must exist.",
        "it has several sections .modinfo: two modules were linked into one file";
    NO_MODULE_UNNAMED[0] Effect::Refuses(ENOEXEC), Availability::Not(&Availability::Rule(Rule::NamedWithoutModule)),
        "No module found in object",
        "it has no section .gnu.linkonce.this_module: it is an object file, not a module";
    NO_MODULE[1] Effect::Refuses(ENOEXEC), Availability::All(&[Availability::Rule(Rule::NamedWithoutModule), Availability::Not(&Availability::Rule(Rule::OneModinfo))]),
        "{module}: No module found in object",
        "it has no section .gnu.linkonce.this_module: it is an object file, not a module";
    ONLY_ONE_MODULE[1] Effect::Refuses(ENOEXEC), Availability::All(&[Availability::Rule(Rule::OneModinfo), Availability::Not(&Availability::Rule(Rule::ExactlyOneModule))]),
        "module {module}: Only one .gnu.linkonce.this_module section must exist.",
        "it has no section .gnu.linkonce.this_module, or several: it is an object file, or two modules in one file";
    EXACTLY_ONE_MODULE[1] Effect::Refuses(ENOEXEC), Availability::Rule(Rule::ExactlyOneModule),
        "module {module}: Exactly one .gnu.linkonce.this_module section must exist.",
        "it has no section .gnu.linkonce.this_module, or several: it is an object file, or two modules in one file";
    MODULE_WITHOUT_SIZE[1] Effect::Refuses(ENOEXEC), Availability::Rule(Rule::ModuleSize),
        "module {module}: .gnu.linkonce.this_module section must have a size set",
        "its struct module has no bytes in the file";
    MODULE_WITHOUT_MEMORY[1] Effect::Refuses(ENOEXEC), Availability::Rule(Rule::ModuleSize),
        "module {module}: .gnu.linkonce.this_module must occupy memory during process execution",
        "its struct module is in a section that is not loaded";
    MODULE_OF_OTHER_SIZE[1] Effect::Refuses(ENOEXEC), Availability::Rule(Rule::ModuleSize),
        "module {module}: .gnu.linkonce.this_module section size must match the kernel's built struct module size at run time",
        "its struct module has another size than the kernel's: it was built with another configuration or version";
    NO_SYMBOLS[1] Effect::Refuses(ENOEXEC), Availability::Always,
        "{module}: module has no symbols (stripped?)",
        "it has no symbol table, or several: it was stripped";
    CRCS_OR_NAMES_ONLY[0] Effect::Refuses(ENOEXEC), Availability::Rule(Rule::ExtendedVersions),
        "extended version crc+name presence does not match",
        "its extended symbol versions have CRCs without names, or names without CRCs";
    MORE_CRCS_THAN_NAMES[0] Effect::Refuses(ENOEXEC), Availability::Rule(Rule::ExtendedVersions),
        "more extended version crcs than names",
        "its extended symbol versions have a CRC without a name";
    EMPTY_STRING_TABLE[0] Effect::Refuses(ENOEXEC), Availability::Rule(Rule::SymbolNames),
        "empty symbol string table",
        "the table of the symbols' names is empty";
    UNTERMINATED_STRING_TABLE[0] Effect::Refuses(ENOEXEC), Availability::Rule(Rule::SymbolNames),
        "symbol string table isn't NUL terminated",
        "the table of the symbols' names has no NUL at its end";
    UNBEGUN_STRING_TABLE[0] Effect::Refuses(ENOEXEC), Availability::Rule(Rule::SymbolNames),
        "symbol string table missing leading NUL",
        "the table of the symbols' names does not begin with a NUL";
    SYMBOL_NAME[0] Effect::Refuses(ENOEXEC), Availability::Rule(Rule::SymbolNames),
        "symbol name out of bounds in string table",
        "a symbol's name is outside the table of names";
}
