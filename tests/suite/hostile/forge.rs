//! Files that are expensive to read: modules whose small parts refer to large ones again and again, and decompression bombs.

use std::fs::File;
use std::io::Write;
use std::iter::once;
use std::path::Path;

use flate2::{Compress, Compression, FlushCompress};

use crate::hostile::budget::in_vain;

const MIB: usize = 1 << 20;

// ---- Modules -------------------------------------------------------------------------------------------------------

const SHT_PROGBITS: u32 = 1;
const SHT_SYMTAB: u32 = 2;
const SHT_STRTAB: u32 = 3;
const SHT_RELA: u32 = 4;
const SHT_NOTE: u32 = 7;

const SHF_ALLOC: u64 = 2;
const SHF_EXECINSTR: u64 = 4;

/// A section of an ELF file, 64 bit, little-endian.
struct Section {
    /// The offset of its name in the section names, which are the last section.
    name: usize,
    kind: u32,
    /// The position of its bytes in the file, unless they have their own place.
    place: Option<(usize, usize)>,
    link: u32,
    info: u32,
    flags: u64,
    address: u64,
    bytes: Vec<u8>,
}

/// A module under construction: the sections, the names of sections, and the ELF file that they make.
struct Forge {
    sections: Vec<Section>,
    names: Vec<u8>,
}

impl Forge {
    /// A minimal module.
    fn new() -> Forge {
        Forge::with_modinfo(b"license=GPL\0vermagic=6.1 SMP \0")
    }

    fn with_modinfo(modinfo: &[u8]) -> Forge {
        let mut forge = Forge { sections: Vec::new(), names: vec![0] };
        forge.add("", 0, &[]);
        forge.add(".modinfo", SHT_PROGBITS, modinfo);
        forge
    }

    fn add(&mut self, name: &str, kind: u32, bytes: &[u8]) -> &mut Section {
        let at = if name.is_empty() { 0 } else { self.names.len() };
        self.names.extend(name.bytes().chain(once(0)));
        let section = Section {
            name: at,
            kind,
            place: None,
            link: 0,
            info: 0,
            flags: SHF_ALLOC,
            address: 0,
            bytes: bytes.to_vec(),
        };
        self.sections.push(section);
        self.sections.last_mut().unwrap()
    }

    /// Adds symbols, each defined in that section (0: an import), and the strings that contain their names.
    fn add_symbols(&mut self, strings: &[u8], names: impl Iterator<Item = usize>, section: u16) {
        let symbol = |name: usize| {
            let name = u32::try_from(name).unwrap().to_le_bytes();
            [name.as_slice(), &[0x10, 0], &section.to_le_bytes(), &[0; 16]].concat()
        };
        let symbols: Vec<u8> = once(vec![0; 24]).chain(names.map(symbol)).flatten().collect();
        let strtab = self.sections.len() as u32 + 1;
        self.add(".symtab", SHT_SYMTAB, &symbols).link = strtab;
        self.add(".strtab", SHT_STRTAB, strings);
    }

    fn done(mut self) -> Vec<u8> {
        let name = self.names.len();
        let names = [&self.names, b".shstrtab\0".as_slice()].concat();
        self.add("", SHT_STRTAB, &names).name = name;

        let mut file = vec![0; 64];
        let mut table = Vec::new();
        for section in &self.sections {
            let (offset, size) = section.place.unwrap_or((file.len(), section.bytes.len()));
            let alignment = if section.kind == SHT_NOTE { 4 } else { 1 };
            let entry = if section.kind == SHT_SYMTAB { 24 } else { 0 };
            table.extend((section.name as u32).to_le_bytes());
            table.extend(section.kind.to_le_bytes());
            table.extend(
                [section.flags, section.address, offset as u64, size as u64].iter().flat_map(|n| n.to_le_bytes()),
            );
            table.extend([section.link, section.info].iter().flat_map(|n| n.to_le_bytes()));
            table.extend([alignment, entry].iter().flat_map(|n: &u64| n.to_le_bytes()));
            file.extend(&section.bytes);
            file.resize(file.len().next_multiple_of(8), 0);
        }
        let header = header(file.len() as u64, u16::try_from(self.sections.len()).unwrap());
        file[..64].copy_from_slice(&header);
        file.extend(table);
        file
    }
}

/// The file header of a relocatable file for x86-64, whose section headers are at `table`.
fn header(table: u64, sections: u16) -> [u8; 64] {
    let mut header = [0; 64];
    header[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
    header[16..24].copy_from_slice(&[1, 0, 62, 0, 1, 0, 0, 0]);
    header[40..48].copy_from_slice(&table.to_le_bytes());
    header[52] = 64;
    header[58] = 64;
    header[60..62].copy_from_slice(&sections.to_le_bytes());
    header[62..64].copy_from_slice(&(sections.max(1) - 1).to_le_bytes());
    header
}

/// A long name: 26 bytes for each of this many parts of a file that use it.
fn long_name(count: usize) -> Vec<u8> {
    vec![b'a'; 26 * count]
}

/// This many symbols with the same long name: of 40,000 symbols, 40 GB if each had its own copy.
pub(crate) fn one_name_for_all_symbols(count: usize) -> Vec<u8> {
    let mut forge = Forge::new();
    forge.add_symbols(&[b"\0", long_name(count).as_slice(), b"\0"].concat(), (0..count).map(|_| 1), 0);
    forge.done()
}

/// This many symbols, where the name of each is the name before it without its start.
pub(crate) fn names_within_names(count: usize) -> Vec<u8> {
    let mut forge = Forge::new();
    forge.add_symbols(&[b"\0", long_name(count).as_slice(), b"\0"].concat(), 1..count, 0);
    forge.done()
}

/// This many sections with the same long name.
pub(crate) fn one_name_for_all_sections(count: usize) -> Vec<u8> {
    let mut forge = Forge::new();
    let long = forge.names.len();
    forge.names.extend(long_name(count).iter().chain(&[0]));
    (0..count).for_each(|_| forge.add("", SHT_PROGBITS, &[]).name = long);
    forge.done()
}

/// This many sections that all contain the same notes, four per section, none of which is a build ID.
pub(crate) fn notes_read_again_and_again(count: usize) -> Vec<u8> {
    let mut forge = Forge::new();
    // A note that says nothing has 12 bytes.
    let notes = vec![0; 12 * 4 * count];
    forge.add("", SHT_NOTE, &notes);
    // The place of the notes is known: they are the first bytes after the header.
    let notes = forge.sections.pop().unwrap();
    forge.sections.insert(1, notes);
    (0..count).for_each(|_| forge.add("", SHT_NOTE, &[]).place = Some((64, 12 * 4 * count)));
    forge.done()
}

/// This many imports, and as many symbol versions, none of which belongs to any of the imports.
pub(crate) fn imports_times_versions(count: usize) -> Vec<u8> {
    let mut forge = Forge::new();
    let version = |number: usize| {
        let mut entry = [0; 64];
        entry[8..15].copy_from_slice(format!("v{number:06}").as_bytes());
        entry
    };
    forge.add("__versions", SHT_PROGBITS, &(0..count).flat_map(version).collect::<Vec<u8>>());
    let strings: String = (0..count).map(|number| format!("\0i{number:06}")).chain(["\0".into()]).collect();
    forge.add_symbols(strings.as_bytes(), (0..count).map(|number| 1 + 8 * number), 0);
    forge.done()
}

/// This many exports in a module of half as many sections.
pub(crate) fn exports_times_sections(count: usize) -> Vec<u8> {
    let mut forge = Forge::new();
    forge.add("__ksymtab", SHT_PROGBITS, &[0; 16]);
    (0..count / 2).for_each(|_| _ = forge.add("", SHT_PROGBITS, &[]));
    let strings: String = (0..count).map(|number| format!("\0__ksymtab_{number:06}")).chain(["\0".into()]).collect();
    forge.add_symbols(strings.as_bytes(), (0..count).map(|number| 1 + 17 * number), 2);
    forge.done()
}

/// This many exports, all in one namespace with a long name.
pub(crate) fn one_namespace_for_all_exports(count: usize) -> Vec<u8> {
    let mut forge = Forge::new();
    let name = |number: usize| format!("\0__ksymtab_{number:06}\0__kstrtabns_{number:06}");
    let strings: String = (0..count).map(name).chain(["\0".into()]).collect();
    forge.add("__ksymtab", SHT_PROGBITS, &long_name(count));
    forge.add_symbols(strings.as_bytes(), (0..count).flat_map(|number| [1 + 36 * number, 18 + 36 * number]), 2);
    forge.done()
}

/// This many parameters.
pub(crate) fn parameters(count: usize) -> Vec<u8> {
    let modinfo: String = (0..count).map(|number| format!("parm=p{number}:\0")).collect();
    Forge::with_modinfo(modinfo.as_bytes()).done()
}

/// This many of the shortest strings that `.modinfo` can hold.
pub(crate) fn shortest_strings(count: usize) -> Vec<u8> {
    Forge::with_modinfo(&b"a\0".repeat(count)).done()
}

/// A version magic of this many words of one byte.
pub(crate) fn vermagic_of_words(count: usize) -> Vec<u8> {
    Forge::with_modinfo(&[b"vermagic=".as_slice(), &b"a ".repeat(count), b"\0"].concat()).done()
}

/// This many symbols with names of one byte: the largest number in the smallest space.
pub(crate) fn smallest_symbols(count: usize) -> Vec<u8> {
    let mut forge = Forge::new();
    forge.add_symbols(b"\0a\0", (0..count).map(|_| 1), 0);
    forge.done()
}

/// A module of 4 MiB in which every other byte is this one.
pub(crate) fn every_other_byte(byte: u8) -> Vec<u8> {
    let mut forge = Forge::new();
    forge.add(".text", SHT_PROGBITS, &[0, byte].repeat(2 * MIB));
    forge.done()
}

/// A minimal module that has a `struct module`, so that a loader gets as far as its relocations.
fn loadable(release: &str) -> Forge {
    let modinfo = format!("license=GPL\0vermagic={release} SMP mod_unload \0name=m\0");
    let mut forge = Forge::with_modinfo(modinfo.as_bytes());
    let mut structure = [0; 896];
    structure[24] = b'm';
    forge.add(".gnu.linkonce.this_module", SHT_PROGBITS, &structure);
    forge
}

/// A module with a section of this name and 16 bytes, and this many relocations for places after its end.
pub(crate) fn relocations_outside(name: &str, count: usize) -> Vec<u8> {
    let mut forge = loadable("6.1");
    let target = forge.sections.len() as u32;
    forge.add(name, SHT_PROGBITS, &[0; 16]).flags = SHF_ALLOC | SHF_EXECINSTR;
    add_relocations(&mut forge, target, (0..count).map(|number| 1000 + 8 * number));
    forge.add_symbols(b"\0x\0", once(1), 0);
    forge.done()
}

/// The same for a section with the usual name.
pub(crate) fn relocations_outside_text(count: usize) -> Vec<u8> {
    relocations_outside(".text", count)
}

/// The same with a name of 24 bytes per relocation, so that half of the file is the name.
pub(crate) fn relocations_outside_a_long_name(count: usize) -> Vec<u8> {
    relocations_outside(&"x".repeat(24 * count), count)
}

/// A module with this many sections, and as many relocations in another one.
pub(crate) fn relocations_times_sections(count: usize) -> Vec<u8> {
    let mut forge = loadable("6.1");
    let target = forge.sections.len() as u32;
    forge.add(".text", SHT_PROGBITS, &vec![0; 8 * count]).flags = SHF_ALLOC | SHF_EXECINSTR;
    (0..count).for_each(|_| forge.add("", SHT_PROGBITS, &[]).flags = SHF_ALLOC | SHF_EXECINSTR);
    add_relocations(&mut forge, target, (0..count).map(|number| 8 * number));
    forge.add_symbols(b"\0x\0", once(1), u16::try_from(target).unwrap() + 1);
    forge.done()
}

/// A module with this many common symbols, each of which causes the same line in the kernel's log.
pub(crate) fn common_symbols(count: usize) -> Vec<u8> {
    let mut forge = loadable("6.1");
    let strings: String = (0..count).map(|number| format!("\0c{number:06}")).chain(["\0".into()]).collect();
    forge.add_symbols(strings.as_bytes(), (0..count).map(|number| 1 + 8 * number), 0xfff2);
    forge.done()
}

/// Adds relocations of the type R_X86_64_64 against the first symbol, at these places in a section.
fn add_relocations(forge: &mut Forge, target: u32, places: impl Iterator<Item = usize>) {
    let entry = |place: usize| [place as u64, 1 << 32 | 1, 0].map(u64::to_le_bytes).concat();
    let table = places.flat_map(entry).collect::<Vec<u8>>();
    let link = forge.sections.len() as u32 + 1;
    let section = forge.add(".rela", SHT_RELA, &table);
    (section.info, section.link) = (target, link);
}

// ---- Bombs ---------------------------------------------------------------------------------------------------------

/// The decompressed size of a bomb: 10 GiB.
const BOMB: usize = 10 << 30;

/// The start of a bomb: a file header whose section headers are among the zeros that follow.
pub(crate) fn ends_soon() -> [u8; 64] {
    header(64, 1)
}

/// A file header without a valid class: none of its offsets can be trusted.
pub(crate) fn has_no_class() -> [u8; 64] {
    let mut header = ends_soon();
    header[4] = 3;
    header
}

/// A file header whose section headers have a size that does not exist.
pub(crate) fn has_strange_headers() -> [u8; 64] {
    let mut header = ends_soon();
    header[58] = 65;
    header
}

/// A file header with the section headers at the end of the 10 GiB, after any limit.
pub(crate) fn ends_at_the_end() -> [u8; 64] {
    header(BOMB as u64, 1)
}

/// A file header with the section headers just below the limit.
pub(crate) fn ends_below_the_limit() -> [u8; 64] {
    header(1000 << 20, 1)
}

/// Writes a bomb that starts with these bytes to a file.
pub(crate) type Bomb = fn(&Path, &[u8; 64]);

/// Blocks of 128 KiB, each encoded as one zero and a repeat count.
pub(crate) fn zstd_bomb(path: &Path, head: &[u8; 64]) {
    const BLOCK: usize = 128 << 10;
    let block = |size: usize, kind: u32, last: bool| {
        let [a, b, c, _] = ((size as u32) << 3 | kind << 1 | u32::from(last)).to_le_bytes();
        [a, b, c]
    };
    let magic_and_window = [0x28, 0xb5, 0x2f, 0xfd, 0, 0x38];
    let mut stream = [magic_and_window.as_slice(), &block(head.len(), 0, false), head].concat();
    (1..=BOMB / BLOCK).for_each(|n| stream.extend(block(BLOCK, 1, n * BLOCK == BOMB).iter().chain(&[0])));
    std::fs::write(path, stream).unwrap();
}

/// Pieces of 1 MiB that refer to nothing before them, so that they can be concatenated. 10 MB in total.
pub(crate) fn gzip_bomb(path: &Path, head: &[u8; 64]) {
    let mut piece = Vec::with_capacity(64 << 10);
    Compress::new(Compression::best(), false).compress_vec(&vec![0; MIB], &mut piece, FlushCompress::Full).unwrap();
    let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3];
    let stored = [0, 64, 0, !64, 0xff];
    let mut file = File::create(path).unwrap();
    file.write_all(&[header.as_slice(), &stored, head].concat()).unwrap();
    (0..BOMB / MIB).for_each(|_| file.write_all(&piece).unwrap());
    // The end and the checksum are left out: a reader that gets as far as that has read too far.
}

/// The same block of 8 MiB, repeated.
pub(crate) fn xz_bomb(path: &Path, head: &[u8; 64]) {
    const PIECE: usize = 8 * MIB;
    let streams = [head.to_vec(), vec![0; PIECE]].map(|data| {
        let stream = liblzma::stream::Stream::new_easy_encoder(0, liblzma::stream::Check::Crc32).unwrap();
        let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
        encoder.write_all(&data).unwrap();
        encoder.finish().unwrap()
    });
    // A stream of one block: 12 bytes of header, the block, the index, 12 bytes with the size of the index.
    let [first, piece] = streams.each_ref().map(|stream| {
        let index = u32::from_le_bytes(stream[stream.len() - 8..][..4].try_into().unwrap()) as usize * 4 + 4;
        &stream[12..stream.len() - 12 - index]
    });
    let mut file = File::create(path).unwrap();
    file.write_all(&[&streams[0][..12], first].concat()).unwrap();
    (0..BOMB / PIECE).for_each(|_| file.write_all(piece).unwrap());
}

// ---- Images of kernels ---------------------------------------------------------------------------------------------

/// A kernel with this many exports that all have the same name of 500 bytes: of 100,000 exports, 50 MB if each had its own copy.
pub(crate) fn vmlinux_of_one_long_name(count: usize) -> Vec<u8> {
    let mut forge = Forge { sections: Vec::new(), names: vec![0] };
    forge.add("", 0, &[]);
    forge.add(".rodata", SHT_PROGBITS, b"Linux version 6.1 (us) (gcc) #1 SMP\n\0\0\x006.1 SMP mod_unload \0");
    // Pointers: value and name. All sections are at address 0, so the name is at address 1.
    let entry = [0_u64, 1].map(u64::to_le_bytes).concat();
    forge.add("__ksymtab", SHT_PROGBITS, &entry.repeat(count));
    forge.add("__ksymtab_strings", SHT_PROGBITS, &[[0].as_slice(), &[b'a'; 500], &[0]].concat());
    let mut vmlinux = forge.done();
    vmlinux[16] = 2; // ET_EXEC
    vmlinux
}

fn vmlinux(release: &str) -> Forge {
    let banner = format!("Linux version {release} (us) (gcc) #1 SMP\n\0\0\0{release} SMP mod_unload \0");
    let mut forge = Forge { sections: Vec::new(), names: vec![0] };
    forge.add("", 0, &[]);
    forge.add(".rodata", SHT_PROGBITS, banner.as_bytes()).address = 0x1000;
    forge
}

/// BTF (Documentation/bpf/btf.rst) of these types, each a name, an info and a size or type.
fn btf(types: impl Iterator<Item = [u32; 3]>, strings: &[u8]) -> Vec<u8> {
    let types: Vec<u8> = types.flatten().flat_map(u32::to_le_bytes).collect();
    let [length, strings_length] = [types.len(), strings.len()].map(|length| length as u32);
    let numbers = [24, 0, length, length, strings_length].map(u32::to_le_bytes).concat();
    [[0x9f, 0xeb, 1, 0].as_slice(), &numbers, &types, strings].concat()
}

/// A module whose `.BTF.base` has this many structures of the same name, each with another size, and a kernel with as many of that name.
pub(crate) fn equal_types(count: usize) -> [Vec<u8>; 2] {
    const STRUCT: u32 = 4 << 24;
    const POINTER: u32 = 2 << 24;
    let structures = |first: usize| btf((first..first + count).map(|size| [1, STRUCT, size as u32]), b"\0t\0");
    let mut vmlinux = vmlinux("6.15.0");
    vmlinux.add(".BTF", SHT_PROGBITS, &structures(1));
    let mut vmlinux = vmlinux.done();
    vmlinux[16] = 2; // ET_EXEC
    let mut module = loadable("6.15.0");
    module.add(".BTF", SHT_PROGBITS, &btf(std::iter::once([0, POINTER, 1]), b"\0"));
    // None has the size of any of the kernel's.
    module.add(".BTF.base", SHT_PROGBITS, &structures(count + 1));
    [module.done(), vmlinux]
}

/// This many gzip headers; the extra field of each skips the headers after it, so all streams have the same data, 20 MiB of
/// zeros with a wrong checksum.
pub(crate) fn gzip_headers(count: u16) -> Vec<u8> {
    let headers = (1..=count).rev().flat_map(|left| {
        let [low, high] = (12 * (left - 1)).to_le_bytes();
        [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 2, 3, low, high]
    });
    headers.chain(in_vain("gzip").split_off(10)).collect()
}

/// The first bytes of this many streams of each kind, and nothing else of them.
pub(crate) fn starts_of_streams(count: usize) -> Vec<u8> {
    let starts: [&[u8]; 6] = [
        &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3],
        b"BZh9\x31\x41\x59\x26\x53\x59",
        &[0xfd, b'7', b'z', b'X', b'Z', 0, 0, 1, 0x69, 0x22, 0xde, 0x36],
        &[0x28, 0xb5, 0x2f, 0xfd, 0, 0x38],
        &[0x5d, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[2, 0x21, 0x4c, 0x18],
    ];
    starts.concat().repeat(count)
}

/// A kernel with this many sections, where the name of each is the name before it without its start; the first has 100 bytes
/// per section.
pub(crate) fn vmlinux_of_names_within_names(count: usize) -> Vec<u8> {
    let mut forge = vmlinux("6.1");
    let long = forge.names.len();
    forge.names.extend(vec![b'a'; 100 * count].iter().chain(&[0]));
    (0..count).for_each(|number| forge.add("", SHT_PROGBITS, &[]).name = long + number);
    let mut vmlinux = forge.done();
    vmlinux[16] = 2; // ET_EXEC
    vmlinux
}

/// A kernel with this many sections, and as many parameters, whose names are in the last section.
pub(crate) fn vmlinux_of_parameters_times_sections(count: usize) -> Vec<u8> {
    let mut forge = vmlinux("6.1");
    (0..count).for_each(|number| forge.add("", SHT_PROGBITS, b"x\0").address = 0x10_0000 + 16 * number as u64);
    forge.add(".data", SHT_PROGBITS, b"words.last\0").address = 0x10;
    // Pointers to the name, the operations and the owner, the mode, and a pointer to the value.
    let entry = [0x10, 0, 0, 0o644, 0].map(u64::to_le_bytes).concat();
    forge.add("__param", SHT_PROGBITS, &entry.repeat(count)).address = 0x800_0000;
    let mut vmlinux = forge.done();
    vmlinux[16] = 2; // ET_EXEC
    vmlinux
}

/// An x86 boot image with this payload.
pub(crate) fn bz_image(payload: &[u8]) -> Vec<u8> {
    let mut image = vec![0; 1024];
    image[0x1f1] = 1;
    image[0x202..0x208].copy_from_slice(b"HdrS\x0f\x02");
    image[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    image.extend(payload);
    image
}
