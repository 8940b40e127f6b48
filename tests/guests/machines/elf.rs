//! A module file that a test breaks: 32 or 64 bits, little- or big-endian, with REL or RELA. Anything that the file does not
//! have is `None`.

/// The part of a trailer after the signature: `struct module_signature` and the magic string.
pub(crate) const TRAILER: usize = 12 + 28;

/// Section flags (System V ABI, chapter 4).
pub(crate) const WRITE: u64 = 1;
pub(crate) const ALLOC: u64 = 2;

/// An ELF file.
#[derive(Clone)]
pub(crate) struct Elf {
    pub(crate) bytes: Vec<u8>,
}

/// A section, by its number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Section(pub(crate) usize);

/// A record of a table, by its offset in the file.
#[derive(Clone, Copy)]
pub(crate) struct Record(pub(crate) usize);

/// A field of a section header: its offset and size for 32 bits, and for 64.
type Field = [(usize, usize); 2];
pub(crate) const NAME: Field = [(0, 4), (0, 4)];
pub(crate) const KIND: Field = [(4, 4), (4, 4)];
pub(crate) const FLAGS: Field = [(8, 4), (8, 8)];
pub(crate) const OFFSET: Field = [(16, 4), (24, 8)];
pub(crate) const SIZE: Field = [(20, 4), (32, 8)];
pub(crate) const LINK: Field = [(24, 4), (40, 4)];
pub(crate) const ALIGN: Field = [(32, 4), (48, 8)];
pub(crate) const ENTRY_SIZE: Field = [(36, 4), (56, 8)];
/// Fields of the file header.
pub(crate) const TYPE: Field = [(16, 2), (16, 2)];
pub(crate) const MACHINE: Field = [(18, 2), (18, 2)];
pub(crate) const ENTRY: Field = [(24, 4), (24, 8)];
pub(crate) const HEADERS: Field = [(32, 4), (40, 8)];
pub(crate) const FILE_FLAGS: Field = [(36, 4), (48, 4)];
pub(crate) const HEADER_SIZE: Field = [(46, 2), (58, 2)];
pub(crate) const COUNT: Field = [(48, 2), (60, 2)];
pub(crate) const NAMES: Field = [(50, 2), (62, 2)];
/// Fields of a symbol.
pub(crate) const SYMBOL_NAME: Field = [(0, 4), (0, 4)];
pub(crate) const SYMBOL_INFO: Field = [(12, 1), (4, 1)];
pub(crate) const SYMBOL_SECTION: Field = [(14, 2), (6, 2)];

impl Elf {
    pub(crate) fn is_wide(&self) -> bool {
        self.bytes[4] == 2
    }

    fn is_big(&self) -> bool {
        self.bytes[5] == 2
    }

    /// The number of the architecture.
    pub(crate) fn machine(&self) -> u64 {
        self.header(MACHINE)
    }

    /// A number of `size` bytes.
    pub(crate) fn number(&self, at: usize, size: usize) -> u64 {
        let bytes = self.bytes[at..at + size].iter();
        let join = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        if self.is_big() { bytes.fold(0, join) } else { bytes.rev().fold(0, join) }
    }

    /// Writes a number of `size` bytes; higher bytes are cut off.
    pub(crate) fn put(&mut self, at: usize, size: usize, number: u64) -> Option<()> {
        let bytes = if self.is_big() {
            number.to_be_bytes()[8 - size..].to_vec()
        } else {
            number.to_le_bytes()[..size].to_vec()
        };
        self.put_bytes(at, &bytes)
    }

    pub(crate) fn put_bytes(&mut self, at: usize, bytes: &[u8]) -> Option<()> {
        self.bytes.get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
        Some(())
    }

    pub(crate) fn header(&self, field: Field) -> u64 {
        let (at, size) = field[usize::from(self.is_wide())];
        self.number(at, size)
    }

    pub(crate) fn set_header(&mut self, field: Field, number: u64) -> Option<()> {
        let (at, size) = field[usize::from(self.is_wide())];
        self.put(at, size, number)
    }

    pub(crate) fn flip(&mut self, at: usize) -> Option<()> {
        *self.bytes.get_mut(at)? ^= 1;
        Some(())
    }

    pub(crate) fn shorten(&mut self, to: impl Fn(usize) -> usize) -> Option<()> {
        self.bytes.truncate(to(self.bytes.len()));
        Some(())
    }

    pub(crate) fn find(&self, text: &[u8]) -> Option<usize> {
        memchr::memmem::find(&self.bytes, text)
    }

    pub(crate) fn count(&self) -> usize {
        self.header(COUNT) as usize
    }

    /// Size of a section header.
    fn section_size(&self) -> usize {
        if self.is_wide() { 64 } else { 40 }
    }

    fn section_at(&self, section: Section) -> usize {
        self.header(HEADERS) as usize + section.0 * self.section_size()
    }

    pub(crate) fn get(&self, section: Section, field: Field) -> u64 {
        let (at, size) = field[usize::from(self.is_wide())];
        self.number(self.section_at(section) + at, size)
    }

    pub(crate) fn set(&mut self, section: Section, field: Field, number: u64) -> Option<()> {
        let (at, size) = field[usize::from(self.is_wide())];
        self.put(self.section_at(section) + at, size, number)
    }

    fn text_at(&self, at: usize) -> &[u8] {
        self.bytes[at..].split(|byte| *byte == 0).next().unwrap()
    }

    pub(crate) fn section(&self, name: &str) -> Option<Section> {
        let names = self.offset(Section(self.header(NAMES) as usize));
        let is_it = |section: &Section| self.text_at(names + self.get(*section, NAME) as usize) == name.as_bytes();
        (1..self.count()).map(Section).find(is_it)
    }

    pub(crate) fn this_module(&self) -> Option<Section> {
        self.section(".gnu.linkonce.this_module")
    }

    pub(crate) fn offset(&self, section: Section) -> usize {
        self.get(section, OFFSET) as usize
    }

    pub(crate) fn size(&self, section: Section) -> usize {
        self.get(section, SIZE) as usize
    }

    pub(crate) fn content(&self, section: Section) -> &[u8] {
        &self.bytes[self.offset(section)..self.offset(section) + self.size(section)]
    }

    /// Removes the first letter of the section's name.
    pub(crate) fn rename(&mut self, section: Section) -> Option<()> {
        self.set(section, NAME, self.get(section, NAME) + 1)
    }

    pub(crate) fn resize(&mut self, section: Section, change: impl Fn(u64) -> u64) -> Option<()> {
        self.set(section, SIZE, change(self.get(section, SIZE)))
    }

    /// Appends a section's changed contents to the end of the file.
    pub(crate) fn rewrite(&mut self, section: Section, content: &[u8]) -> Option<()> {
        self.bytes.resize(self.bytes.len().next_multiple_of(64), 0);
        let at = self.bytes.len();
        self.bytes.extend_from_slice(content);
        self.set(section, OFFSET, at as u64)?;
        self.set(section, SIZE, content.len() as u64)
    }

    /// Changes the entries of the modinfo.
    pub(crate) fn modinfo(&mut self, change: impl Fn(&mut Vec<String>)) -> Option<()> {
        let section = self.section(".modinfo")?;
        let content = String::from_utf8(self.content(section).to_vec()).unwrap();
        let mut entries: Vec<String> = content.split_terminator('\0').map(str::to_owned).collect();
        change(&mut entries);
        let content: String = entries.into_iter().map(|entry| entry + "\0").collect();
        self.rewrite(section, content.as_bytes())
    }

    pub(crate) fn vermagic(&mut self, change: impl Fn(&str) -> String) -> Option<()> {
        self.modinfo(|entries| {
            let entry = entries.iter_mut().find(|entry| entry.starts_with("vermagic=")).unwrap();
            *entry = format!("vermagic={}", change(&entry["vermagic=".len()..]));
        })
    }

    /// Removes the entries that begin with `out`, and inserts this entry first.
    pub(crate) fn entry(&mut self, out: &str, entry: Option<&str>) -> Option<()> {
        self.modinfo(|entries| {
            entries.retain(|one| out.is_empty() || !one.starts_with(out));
            entries.splice(0..0, entry.map(str::to_owned));
        })
    }

    /// Like [`Elf::entry`], but only if an entry begins with `out`.
    pub(crate) fn entry_there(&mut self, out: &str, entry: Option<&str>) -> Option<()> {
        let key = [b"\0".as_slice(), out.as_bytes()].concat();
        let modinfo = self.content(self.section(".modinfo")?);
        (modinfo.starts_with(out.as_bytes()) || memchr::memmem::find(modinfo, &key).is_some()).then_some(())?;
        self.entry(out, entry)
    }

    /// The offset of the name in `struct module`: after `state` and `list` (include/linux/module.h).
    pub(crate) fn name_at(&self) -> Option<usize> {
        Some(self.offset(self.this_module()?) + if self.is_wide() { 24 } else { 12 })
    }

    /// The name in `struct module`.
    pub(crate) fn name(&self) -> Option<String> {
        Some(String::from_utf8_lossy(self.text_at(self.name_at()?)).into_owned())
    }

    /// Sets the module's name, in both places.
    pub(crate) fn set_name(&mut self, name: &[u8; 5]) -> Option<()> {
        self.put_bytes(self.name_at()?, name)?;
        self.put_bytes(self.find(b"\0name=dummy\0")? + 6, name)
    }

    /// An entry of `__versions`: a CRC of the machine's word size, then a name (`struct modversion_info`), 64 bytes in total.
    fn version(&self, symbol: &str) -> Option<usize> {
        let section = self.section("__versions")?;
        let word = self.word();
        let is_it = |entry: &[u8]| entry[word..].split(|byte| *byte == 0).next() == Some(symbol.as_bytes());
        let at = self.content(section).chunks(64).position(is_it)?;
        Some(self.offset(section) + at * 64)
    }

    fn word(&self) -> usize {
        if self.is_wide() { 8 } else { 4 }
    }

    pub(crate) fn crc(&mut self, symbol: &str, change: impl Fn(u64) -> u64) -> Option<()> {
        let (at, word) = (self.version(symbol)?, self.word());
        self.put(at, word, change(self.number(at, word)))
    }

    pub(crate) fn version_name(&mut self, symbol: &str, name: &[u8]) -> Option<()> {
        self.put_bytes(self.version(symbol)? + self.word(), name)
    }

    /// Adds a second section header equal to this one.
    pub(crate) fn again(&mut self, section: Section) -> Option<()> {
        let (from, count, size) = (self.header(HEADERS) as usize, self.count(), self.section_size());
        let mut headers = self.bytes[from..from + count * size].to_vec();
        headers.extend_from_within(section.0 * size..(section.0 + 1) * size);
        self.bytes.resize(self.bytes.len().next_multiple_of(64), 0);
        let at = self.bytes.len() as u64;
        self.bytes.extend_from_slice(&headers);
        self.set_header(HEADERS, at)?;
        self.set_header(COUNT, count as u64 + 1)
    }

    fn symbols(&self) -> Vec<Record> {
        let Some(table) = self.section(".symtab") else { return Vec::new() };
        let size = if self.is_wide() { 24 } else { 16 };
        (self.offset(table)..self.offset(table) + self.size(table)).step_by(size).map(Record).collect()
    }

    pub(crate) fn record(&self, record: Record, field: Field) -> u64 {
        let (at, size) = field[usize::from(self.is_wide())];
        self.number(record.0 + at, size)
    }

    pub(crate) fn set_record(&mut self, record: Record, field: Field, number: u64) -> Option<()> {
        let (at, size) = field[usize::from(self.is_wide())];
        self.put(record.0 + at, size, number)
    }

    /// A symbol by its name: its number and its record.
    fn symbol_and_number(&self, name: &str) -> Option<(usize, Record)> {
        let names = self.offset(self.section(".strtab")?);
        let is_it =
            |symbol: &Record| self.text_at(names + self.record(*symbol, SYMBOL_NAME) as usize) == name.as_bytes();
        self.symbols().into_iter().enumerate().find(|(_, symbol)| is_it(symbol))
    }

    pub(crate) fn symbol(&self, name: &str) -> Option<Record> {
        self.symbol_and_number(name).map(|(_, symbol)| symbol)
    }

    /// A local object that no relocation refers to by its symbol: an entry of the modinfo.
    pub(crate) fn a_local(&self) -> Option<Record> {
        let modinfo = self.section(".modinfo")?.0 as u64;
        self.symbols()
            .into_iter()
            .find(|symbol| self.record(*symbol, SYMBOL_INFO) == 1 && self.record(*symbol, SYMBOL_SECTION) == modinfo)
    }

    /// Gives a symbol another name, which is appended to the strings.
    pub(crate) fn name_symbol(&mut self, old: &str, new: &str) -> Option<()> {
        let symbol = self.symbol(old)?;
        let strings = self.section(".strtab")?;
        let at = self.size(strings);
        let content = [self.content(strings), new.as_bytes(), b"\0"].concat();
        self.rewrite(strings, &content)?;
        self.set_record(symbol, SYMBOL_NAME, at as u64)
    }

    /// Makes a symbol weak; its type is unchanged.
    pub(crate) fn weaken(&mut self, name: &str) -> Option<()> {
        let symbol = self.symbol(name)?;
        self.set_record(symbol, SYMBOL_INFO, self.record(symbol, SYMBOL_INFO) & 0xf | 0x20)
    }

    /// The relocations of a section, by its name: REL or RELA, depending on the architecture.
    fn relocations(&self, of: &str) -> Vec<Record> {
        let rela = self.section(&format!(".rela{of}"));
        let Some(section) = rela.or_else(|| self.section(&format!(".rel{of}"))) else { return Vec::new() };
        let size = self.word() * if rela.is_some() { 3 } else { 2 };
        (self.offset(section)..self.offset(section) + self.size(section)).step_by(size).map(Record).collect()
    }

    /// The offset and size of a relocation's type. mips64 has its own layout (`Elf64_Mips_Rela`, arch/mips/include/asm/elf.h).
    fn type_at(&self, relocation: Record) -> (usize, usize) {
        const MIPS: u64 = 8;
        match (self.is_wide(), self.is_big(), self.machine()) {
            (true, false, MIPS) => (relocation.0 + 15, 1),
            (true, false, _) => (relocation.0 + 8, 4),
            (true, true, _) => (relocation.0 + 12, 4),
            (false, false, _) => (relocation.0 + 4, 1),
            (false, true, _) => (relocation.0 + 7, 1),
        }
    }

    /// The number of a relocation's symbol.
    fn symbol_of(&self, relocation: Record) -> usize {
        let number = match (self.is_wide(), self.is_big()) {
            (true, false) if self.machine() == 8 => self.number(relocation.0 + 8, 4),
            (true, _) => self.number(relocation.0 + 8, 8) >> 32,
            (false, _) => self.number(relocation.0 + 4, 4) >> 8,
        };
        number as usize
    }

    /// Gives a relocation another type.
    pub(crate) fn retype(&mut self, relocation: Record, kind: u64) -> Option<()> {
        let (at, size) = self.type_at(relocation);
        self.put(at, size, kind)
    }

    /// The first relocation of a section to a symbol.
    pub(crate) fn relocation_to(&self, of: &str, symbol: &str) -> Option<Record> {
        let (number, _) = self.symbol_and_number(symbol)?;
        self.relocations(of).into_iter().find(|relocation| self.symbol_of(*relocation) == number)
    }

    /// The offset in the file at which a relocation of a section is applied.
    pub(crate) fn place(&self, of: &str, relocation: Record) -> Option<usize> {
        Some(self.offset(self.section(of)?) + self.number(relocation.0, self.word()) as usize)
    }

    /// Adds to a relocation's addend, which only RELA entries have.
    pub(crate) fn add_to_addend(&mut self, relocation: Record, more: u64) -> Option<()> {
        let (at, word) = (relocation.0 + 2 * self.word(), self.word());
        self.put(at, word, self.number(at, word).wrapping_add(more))
    }

    /// The length of the signature.
    pub(crate) fn signature(&self) -> Option<usize> {
        self.bytes.ends_with(b"~Module signature appended~\n").then_some(())?;
        let at = self.bytes.len() - TRAILER + 8;
        Some(u32::from_be_bytes(self.bytes[at..at + 4].try_into().unwrap()) as usize)
    }

    pub(crate) fn set_signature_length(&mut self, change: impl Fn(u32) -> u32) -> Option<()> {
        let length = u32::try_from(self.signature()?).unwrap();
        self.put_bytes(self.bytes.len() - TRAILER + 8, &change(length).to_be_bytes())
    }

    /// The offset of the signature.
    pub(crate) fn signature_at(&self) -> Option<usize> {
        Some(self.bytes.len() - TRAILER - self.signature()?)
    }

    /// The file without its trailer.
    pub(crate) fn without_trailer(mut self) -> Elf {
        if let Some(at) = self.signature_at() {
            self.bytes.truncate(at);
        }
        self
    }

    /// Does it export anything?
    pub(crate) fn exports(&self) -> bool {
        self.section("__ksymtab").is_some() || self.section("__ksymtab_gpl").is_some()
    }
}
