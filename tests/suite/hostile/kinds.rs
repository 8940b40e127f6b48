//! A generator of small inputs that are expensive to read: one function per kind, and a table of all kinds.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::hostile::budget::{image_of, in_vain, package_of};
use crate::hostile::{fixture, forge};

/// What a command can read an input as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A module file.
    Module,
    /// A folder with the module `m.ko`, and `vmlinux`, a kernel to ask about it.
    ModuleAndKernel,
    /// A kernel: an image, a package, a text.
    Kernel,
    /// A root folder with a module tree, `lib/modules/6.1`.
    Root,
    /// A build tree.
    Build,
    /// A list of paths.
    List,
    /// Lines of a log.
    Log,
    /// Any other file: an export of a vault, recorded trials.
    File,
}

use Role::{Build, Kernel, List, Log, Module, ModuleAndKernel, Root};

/// A kind of input.
pub(crate) struct Kind {
    /// Its name.
    pub(crate) what: &'static str,
    /// What it can be read as.
    pub(crate) roles: &'static [Role],
    /// The name of its file or folder.
    name: &'static str,
    /// Makes it at this path, where nothing is.
    make: fn(&Path),
}

/// How many modules the packages and folders have that try to take a budget of their own for each.
pub(crate) const MEMBERS: usize = scaled(200);

/// The number of parts of an input: an eighth of it where the program is not optimised.
pub(crate) const fn scaled(count: usize) -> usize {
    if cfg!(debug_assertions) { count / 8 } else { count }
}

const MIB: usize = 1 << 20;

/// More than any file that is read. A hole of this size takes no space on a disk.
const GIGABYTES: u64 = 3 << 30;

macro_rules! kind {
    ($what:literal, $roles:expr, $name:literal, $make:expr) => {
        Kind { what: $what, roles: &$roles, name: $name, make: $make }
    };
}

pub(crate) const KINDS: &[Kind] = &[
    // Streams in images and packages.
    kind!("an image of gzip streams in vain", [Kernel], "vmlinuz", |to| write(
        to,
        image_of(&in_vain("gzip").repeat(200))
    )),
    kind!("an image of bzip2 streams in vain", [Kernel], "vmlinuz", |to| write(
        to,
        image_of(&in_vain("bzip2").repeat(200))
    )),
    kind!("an image of xz streams in vain", [Kernel], "vmlinuz", |to| write(to, image_of(&in_vain("xz").repeat(200)))),
    kind!("an image of zstd streams in vain", [Kernel], "vmlinuz", |to| write(
        to,
        image_of(&in_vain("zstd").repeat(200))
    )),
    kind!("gzip headers with the same data", [Kernel], "vmlinuz", |to| write(to, image_of(&forge::gzip_headers(200)))),
    kind!("the starts of streams", [Kernel], "vmlinuz", |to| write(
        to,
        image_of(&forge::starts_of_streams(scaled(20_000)))
    )),
    kind!("a package of images", [Kernel], "linux.tar.xz", |to| write(to, images_in_a_package())),
    kind!("an opkg package of an image", [Kernel], "kmod.ipk", |to| write(to, nested_package())),
    kind!("a package of texts that expand", [Kernel], "linux.tar.xz", |to| write(to, texts_in_a_package())),
    kind!("a package of modules in vain", [Kernel], "linux.tar.xz", |to| write(to, modules_in_a_package())),
    // Each has a budget of its own: so many take half of the most time on a slow machine.
    kind!("a folder of modules in vain", [Root], "root", |to| modules_in_a_root(to, MEMBERS / 2)),
    // Sparse files.
    kind!("a sparse image, lzma", [Kernel], "vmlinuz", |to| sparse_image(to, "lzma")),
    kind!("a sparse image, zstd", [Kernel], "vmlinuz", |to| sparse_image(to, "zstd")),
    kind!("a sparse image, zstd at its end", [Kernel], "vmlinuz", |to| sparse_image(to, "zstd, late")),
    kind!("a module that is a hole", [Module, Role::File], "m.ko", |to| hole(to, b"")),
    kind!("a module that is a hole after an ELF header", [Module], "m.ko", |to| hole(to, &forge::ends_at_the_end())),
    kind!("a gzip module that is a hole", [Module], "m.ko.gz", |to| hole(to, GZIP)),
    kind!("an xz module that is a hole", [Module], "m.ko.xz", |to| hole(to, XZ)),
    kind!("a zstd module that is a hole", [Module], "m.ko.zst", |to| hole(to, ZSTD)),
    kind!("an image that is a hole", [Kernel], "vmlinuz", |to| hole(to, b"")),
    kind!("a package that is a hole", [Kernel], "linux.tar.xz", |to| hole(to, XZ)),
    kind!("a tree whose modules are holes", [Root], "root", |to| holes_in_a_root(to, MODULES)),
    kind!("a root whose other files are holes", [Root], "root", |to| holes_in_a_root(to, OTHERS)),
    kind!("a build tree whose files are holes", [Build], "build", |to| holes_in_a_build_tree(to)),
    // What is no regular file, and long lines.
    kind!("a root whose lists are FIFOs", [Root], "root", |to| others_in_a_root(to, fifo)),
    kind!("a root whose lists are devices", [Root], "root", |to| others_in_a_root(to, device)),
    kind!("a root whose lists are lines of 200 MB", [Root], "root", |to| others_in_a_root(to, long_line)),
    kind!("a FIFO", [Module, Kernel, List, Role::File], "m.ko", fifo),
    kind!("a device", [Module, Kernel, List, Role::File], "m.ko", device),
    kind!("a list of one line of 200 MB", [List], "list", long_line),
    // Texts.
    kind!("a configuration of many options", [Kernel], "config", |to| write(to, options(scaled(500_000)))),
    kind!("a build tree with many options", [Build], "build", |to| build_tree_with_options(to)),
    kind!("a Module.symvers of many lines", [Kernel], "Module.symvers", |to| write(to, symvers(scaled(200_000)))),
    // Logs.
    kind!("a log of many modules", [Log], "log", |to| write(to, log_of_modules(scaled(100_000)))),
    kind!("a log of many symbols", [Log], "log", |to| write(to, log_of_symbols(scaled(100_000)))),
    kind!("a log of many lines without a name", [Log], "log", |to| write(to, log_without_names(scaled(100_000)))),
    kind!("a log of many failed calls", [Log], "log", |to| write(to, log_of_failed_calls(scaled(40_000)))),
    kind!("a log of many unknown lines", [Log], "log", |to| write(to, log_of_unknown_lines(scaled(1_000_000)))),
    kind!("a log of many oopses", [Log], "log", |to| write(to, log_of_oopses(scaled(50_000)))),
    kind!("a log of many warnings", [Log], "log", |to| write(to, log_of_warnings(scaled(100_000)))),
    kind!("many lines of modinfo", [Log], "log", |to| write(to, modinfo_of_aliases(scaled(200_000)))),
    kind!("a log of many kernels", [Log], "log", |to| write(to, log_of_kernels(scaled(100_000)))),
    kind!("a log of long lines", [Log], "log", |to| write(to, log_of_long_lines(scaled(2_000)))),
    kind!("a log of prefixes", [Log], "log", |to| write(to, log_of_prefixes(scaled(2_000)))),
    kind!("lines that nearly are known", [Log], "log", |to| write(to, nearly_known_lines(scaled(2_000)))),
    // Parts that refer to each other.
    kind!("section names within names", [Kernel], "vmlinux", |to| {
        write(to, forge::vmlinux_of_names_within_names(scaled(30_000)))
    }),
    kind!("parameters times sections", [Kernel], "vmlinux", |to| {
        write(to, forge::vmlinux_of_parameters_times_sections(scaled(16_000)))
    }),
    kind!("exports of one long name", [Kernel], "vmlinux", |to| write(
        to,
        forge::vmlinux_of_one_long_name(scaled(100_000))
    )),
    kind!("equal type names in .BTF.base", [ModuleAndKernel], "btf", |to| equal_types(to, scaled(40_000))),
    kind!("relocations times sections", [Module], "m.ko", |to| write(
        to,
        forge::relocations_times_sections(scaled(16_000))
    )),
    kind!("one name for all symbols", [Module], "m.ko", |to| write(
        to,
        forge::one_name_for_all_symbols(scaled(40_000))
    )),
    kind!("names within names", [Module], "m.ko", |to| write(to, forge::names_within_names(scaled(40_000)))),
    kind!("one name for all sections", [Module], "m.ko", |to| write(
        to,
        forge::one_name_for_all_sections(scaled(20_000))
    )),
    kind!("notes read again and again", [Module], "m.ko", |to| write(
        to,
        forge::notes_read_again_and_again(scaled(20_000))
    )),
    kind!("imports times versions", [Module], "m.ko", |to| write(to, forge::imports_times_versions(scaled(40_000)))),
    kind!("exports times sections", [Module], "m.ko", |to| write(to, forge::exports_times_sections(scaled(40_000)))),
    kind!("one namespace for all exports", [Module], "m.ko", |to| write(
        to,
        forge::one_namespace_for_all_exports(scaled(40_000))
    )),
    kind!("parameters", [Module], "m.ko", |to| write(to, forge::parameters(scaled(60_000)))),
    kind!("shortest strings", [Module], "m.ko", |to| write(to, forge::shortest_strings(scaled(500_000)))),
    kind!("a version magic of words", [Module], "m.ko", |to| write(to, forge::vermagic_of_words(scaled(500_000)))),
    kind!("the smallest symbols", [Module], "m.ko", |to| write(to, forge::smallest_symbols(scaled(40_000)))),
    // Paths and patterns.
    kind!("a package of long paths and links", [Kernel], "linux.tar.gz", |to| write(
        to,
        package_of_paths(scaled(7_000))
    )),
    kind!("a package of a kernel per module", [Kernel], "linux.tar.gz", |to| {
        write(to, package_of_kernels(scaled(16_000)))
    }),
    kind!("aliases that are patterns", [Root], "root", |to| pattern_aliases(to, scaled(100_000))),
    kind!("an alias of many modules", [Root], "root", |to| one_alias(to, scaled(20_000))),
    kind!("an alias of many built-in modules", [Root], "root", |to| built_in_aliases(to, scaled(20_000))),
    // Equal findings.
    kind!("relocations outside a section", [Module], "m.ko", |to| {
        write(to, forge::relocations_outside(".text", scaled(100_000)))
    }),
    kind!("relocations outside a section with a long name", [Module], "m.ko", |to| {
        write(to, forge::relocations_outside_a_long_name(scaled(16_000)))
    }),
    kind!("common symbols", [Module], "m.ko", |to| write(to, forge::common_symbols(scaled(40_000)))),
];

const GZIP: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3];
const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0, 0, 1, 0x69, 0x22, 0xde, 0x36];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd, 0, 0x38];

impl Kind {
    /// Its path below a folder for all kinds.
    pub(crate) fn path(&self) -> PathBuf {
        Path::new(&self.what.replace(' ', "-")).join(self.name)
    }

    /// Makes it below a folder for all kinds.
    pub(crate) fn make_in(&self, folder: &Path) -> PathBuf {
        let path = folder.join(self.path());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        (self.make)(&path);
        path
    }
}

/// The size of an input, in bytes. A file of more than 100 MiB counts as nothing, because none of it may be read.
pub(crate) fn size(path: &Path) -> u64 {
    match path.symlink_metadata().unwrap() {
        meta if meta.is_dir() => fs::read_dir(path).unwrap().map(|entry| size(&entry.unwrap().path())).sum(),
        meta if meta.is_file() && meta.len() < 100 << 20 => meta.len(),
        _ => 0,
    }
}

fn write(to: &Path, bytes: impl AsRef<[u8]>) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::write(to, bytes).unwrap();
}

// ---- Streams -------------------------------------------------------------------------------------------------------

fn images_in_a_package() -> Vec<u8> {
    let image = image_of(&in_vain("bzip2").repeat(100));
    let names: Vec<String> = (0..100).map(|n| format!("boot/vmlinuz-6.1.0-{n}-kmodlab")).collect();
    package_of(&names.iter().map(|name| (name.as_str(), image.as_slice())).collect::<Vec<_>>())
}

fn nested_package() -> Vec<u8> {
    let image = image_of(&in_vain("bzip2").repeat(100));
    let data = package_of(&[("boot/vmlinuz-6.1.0-1-kmodlab", &image)]);
    package_of(&[("./debian-binary", b"2.0\n"), ("./data.tar.gz", &data)])
}

fn texts_in_a_package() -> Vec<u8> {
    let mut symvers = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    symvers.write_all(&vec![b'\n'; 40 * MIB]).unwrap();
    let symvers = symvers.finish().unwrap();
    let names: Vec<String> = (0..20).map(|n| format!("boot/symvers-6.1.0-{n}-kmodlab.gz")).collect();
    package_of(&names.iter().map(|name| (name.as_str(), symvers.as_slice())).collect::<Vec<_>>())
}

/// A zstd stream of 32 MiB that begins as a module does and is cut short.
fn module_in_vain() -> Vec<u8> {
    let mut head = forge::ends_at_the_end();
    head[40..48].copy_from_slice(&(32 * MIB as u64).to_le_bytes());
    let mut module = [ZSTD, &[0, 2, 0], &head].concat();
    (0..240).for_each(|_| module.extend([2, 0, 16, 0]));
    module
}

pub(crate) fn modules_in_a_package() -> Vec<u8> {
    let module = module_in_vain();
    let names: Vec<String> = (0..MEMBERS).map(|n| format!("lib/modules/6.1/kernel/m{n}.ko.zst")).collect();
    package_of(&names.iter().map(|name| (name.as_str(), module.as_slice())).collect::<Vec<_>>())
}

pub(crate) fn modules_in_a_root(root: &Path, count: usize) {
    let module = module_in_vain();
    (0..count).for_each(|n| write(&root.join(format!("lib/modules/6.1/kernel/m{n}.ko.zst")), &module));
}

// ---- Sparse files --------------------------------------------------------------------------------------------------

/// An image of 40 MiB that is a hole except for its start. It announces a kernel of 1000 MiB.
fn sparse_image(to: &Path, stream: &str) {
    const SIZE: usize = 40 * MIB;
    let file = File::create(to).unwrap();
    file.set_len(SIZE as u64).unwrap();
    let mut header = forge::bz_image(b"");
    header[0x24c..0x250].copy_from_slice(&((SIZE - 1024) as u32).to_le_bytes());
    file.write_all_at(&header, 0).unwrap();
    file.write_all_at(&((1000 * MIB) as u32).to_le_bytes(), SIZE as u64 - 4).unwrap();
    let repeated: Vec<u8> = (0..8000).flat_map(|_| [2, 0, 16, 0]).chain([1, 0, 0]).collect();
    match stream {
        "lzma" => file.write_all_at(&[b"\x5d\0\0\0\x04".as_slice(), &[0xff; 8]].concat(), 1024).unwrap(),
        "zstd" => file.write_all_at(&[ZSTD, &repeated].concat(), 1024).unwrap(),
        // Zeros are empty blocks.
        _ => {
            file.write_all_at(ZSTD, 1024).unwrap();
            file.write_all_at(&repeated, 1030 + 36 * MIB as u64).unwrap();
        }
    }
}

pub(crate) fn hole(to: &Path, start: &[u8]) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    let file = File::create(to).unwrap();
    file.write_all_at(start, 0).unwrap();
    file.set_len(GIGABYTES).unwrap();
}

/// Modules below a tree, and their first bytes.
pub(crate) const MODULES: &[(&str, &[u8])] = &[
    ("lib/modules/6.1/kernel/m0.ko", b""),
    ("lib/modules/6.1/kernel/m1.ko.gz", GZIP),
    ("lib/modules/6.1/kernel/m2.ko.xz", XZ),
    ("lib/modules/6.1/kernel/m3.ko.zst", ZSTD),
];

/// The other files of a root folder.
const OTHERS: &[(&str, &[u8])] = &[
    ("boot/vmlinuz-6.1", b""),
    ("boot/config-6.1", b""),
    ("boot/System.map-6.1", b""),
    ("lib/modules/6.1/Module.symvers", b""),
    ("lib/modules/6.1/modules.dep", b""),
    ("lib/modules/6.1/modules.alias", b""),
    ("lib/modules/6.1/modules.order", b""),
    ("lib/modules/6.1/modules.builtin", b""),
    ("lib/modules/6.1/modules.builtin.modinfo", b""),
];

/// A root folder with a sound module.
fn root_with_module(root: &Path) {
    let module = fs::read(fixture("modules/hello-4.ko")).unwrap();
    write(&root.join("lib/modules/6.1/kernel/hello-4.ko"), module);
    fs::create_dir(root.join("boot")).unwrap();
}

fn holes_in_a_root(root: &Path, places: &[(&str, &[u8])]) {
    root_with_module(root);
    places.iter().for_each(|(place, start)| hole(&root.join(place), start));
}

/// A build tree whose Makefile is sound.
fn build_tree(tree: &Path) {
    let makefile = "VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 0\nEXTRAVERSION =\nKERNELRELEASE = x\n";
    write(&tree.join("Makefile"), makefile);
    fs::create_dir(tree.join("scripts")).unwrap();
}

fn holes_in_a_build_tree(tree: &Path) {
    build_tree(tree);
    let places = [".config", "Module.symvers", "include/generated/utsrelease.h", "include/config/auto.conf", "vmlinux"];
    places.iter().for_each(|place| hole(&tree.join(place), b""));
    hole(&tree.join("drivers/m.ko"), b"");
}

// ---- What is no regular file, and long lines -----------------------------------------------------------------------

fn others_in_a_root(root: &Path, make: fn(&Path)) {
    root_with_module(root);
    let one = root.join("one");
    make(&one);
    // Several names of one file: a line of 200 MB is written once.
    let lists = OTHERS.iter().filter(|(place, _)| !place.contains("vmlinuz"));
    lists.for_each(|(place, _)| fs::hard_link(&one, root.join(place)).unwrap());
}

fn fifo(to: &Path) {
    mknodat(CWD, to, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

fn device(to: &Path) {
    symlink("/dev/zero", to).unwrap();
}

fn long_line(to: &Path) {
    io::copy(&mut io::repeat(b'a').take(200 << 20), &mut File::create(to).unwrap()).unwrap();
}

// ---- Texts ---------------------------------------------------------------------------------------------------------

pub(crate) fn options(count: usize) -> String {
    (0..count).map(|number| format!("CONFIG_{number:x}=\n")).collect()
}

fn build_tree_with_options(tree: &Path) {
    build_tree(tree);
    write(&tree.join(".config"), options(scaled(500_000)));
}

pub(crate) fn symvers(count: usize) -> String {
    (0..count).map(|n| format!("0x{n:08x}\ts{n:x}\tm{n:x}\tEXPORT_SYMBOL\n")).collect()
}

/// A module with equal type names in its `.BTF.base`, and a kernel with these names.
pub(crate) fn equal_types(folder: &Path, count: usize) {
    let [module, vmlinux] = forge::equal_types(count);
    write(&folder.join("m.ko"), module);
    write(&folder.join("vmlinux"), vmlinux);
}

// ---- Logs ----------------------------------------------------------------------------------------------------------

pub(crate) fn log_of_modules(count: usize) -> String {
    (0..count).map(|n| format!("m{n:x}: Unknown symbol s{n:x} (err -2)\n")).collect()
}

pub(crate) fn log_of_symbols(count: usize) -> String {
    (0..count).map(|n| format!("m: Unknown symbol s{n:x} (err -2)\n")).collect()
}

/// Lines of the loader that name no module, none like another.
pub(crate) fn log_without_names(count: usize) -> String {
    (0..count).map(|n| format!("Module len {n} truncated\n")).collect()
}

/// Programs' errors, each for another module, and between them a line of the loader with another error.
pub(crate) fn log_of_failed_calls(count: usize) -> String {
    let failed = |n| format!("insmod: ERROR: could not insert module m{n:x}.ko: Invalid parameters\n");
    (0..count)
        .map(|n| failed(n) + "x86/modules: Unknown rela relocation: 9\nLoading of unsigned module is rejected\n")
        .collect()
}

pub(crate) fn log_of_unknown_lines(count: usize) -> String {
    (0..count).map(|n| format!("{n:x}x\n")).collect()
}

pub(crate) fn log_of_oopses(count: usize) -> String {
    let machine = "CPU: 1 PID: 4 Comm: x Tainted: G           OE     5.4.0-40-generic #44-Ubuntu\n";
    (0..count).map(|n| format!("Oops: 0003 [#{n}] SMP PTI\n{machine}RIP: 0010:f+0x{n:x}/0x370 [m{n:x}]\n")).collect()
}

pub(crate) fn log_of_warnings(count: usize) -> String {
    (0..count).map(|n| format!("WARNING: CPU: 1 PID: {n} at f+0x2e5/0x370 [m]\n")).collect()
}

/// Lines that are modinfo's only because of the last one.
pub(crate) fn modinfo_of_aliases(count: usize) -> String {
    let aliases = (0..count).map(|n| format!("alias:          pci:v{n:08X}*\n"));
    aliases.chain(["vermagic:       6.1.0 SMP mod_unload \n".to_owned()]).collect()
}

pub(crate) fn log_of_kernels(count: usize) -> String {
    (0..count).map(|n| format!("Linux version 6.1.{n} (x@y) #1 SMP\nm: Unknown symbol s (err -2)\n")).collect()
}

/// Lines of 4 KiB whose parts could be divided in very many ways.
pub(crate) fn log_of_long_lines(count: usize) -> String {
    let line = format!("CPU: 1 PID: 4 Comm:{}", " Tainted: x".repeat(360));
    (0..count).map(|_| format!("{line} #\n")).collect()
}

pub(crate) fn log_of_prefixes(count: usize) -> String {
    (0..count).map(|_| "<1>".repeat(1_360) + "\n").collect()
}

/// Lines of 4 KiB with the beginnings and the longest parts of many lines that are known.
pub(crate) fn nearly_known_lines(count: usize) -> String {
    let parts =
        ["RIP: +0x", "m: Unknown symbol ", "' should be '", ": could not insert '", " Not tainted ", "avc:  denied  "];
    let line: String = parts.iter().cycle().take(280).copied().collect();
    (0..count).map(|_| format!("{line}\n")).collect()
}

// ---- Paths and patterns --------------------------------------------------------------------------------------------

/// A package of links and files, each below as many folders as a path can name.
pub(crate) fn package_of_paths(count: usize) -> Vec<u8> {
    let deep = "a/".repeat(2000);
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for number in 0..count / 2 {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, format!("{deep}l{number}"), "x").unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        tar.append_data(&mut header, format!("{deep}f{number}"), [].as_slice()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

/// A package with a module of each of this many kernels.
pub(crate) fn package_of_kernels(count: usize) -> Vec<u8> {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for number in 0..count {
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        tar.append_data(&mut header, format!("lib/modules/6.1.{number}/m.ko"), b"x".as_slice()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

/// A root folder whose list of aliases has lines that a name almost matches, and a long one.
pub(crate) fn pattern_aliases(root: &Path, count: usize) {
    let long = format!("alias {}x m\n", "*a".repeat(count / 5));
    let lines = (0..count).map(|_| "alias *a*n*_*a*l*i*a*s*s m\n");
    aliases(root, &lines.chain(std::iter::once(long.as_str())).collect::<String>());
}

/// A root folder with the same alias for this many modules.
pub(crate) fn one_alias(root: &Path, count: usize) {
    aliases(root, &(0..count).map(|number| format!("alias an_* m{number}\n")).collect::<String>());
}

fn aliases(root: &Path, aliases: &str) {
    root_with_module(root);
    let tree = root.join("lib/modules/6.1");
    let names = aliases.lines().filter_map(|line| Some(line.rsplit_once(' ')?.1));
    write(&tree.join("modules.dep"), names.map(|name| format!("kernel/{name}.ko:\n")).collect::<String>());
    write(&tree.join("modules.alias"), aliases);
}

/// A root folder with the same alias for this many built-in modules.
pub(crate) fn built_in_aliases(root: &Path, count: usize) {
    root_with_module(root);
    let strings = (0..count).map(|number| format!("m{number}.alias=an_*\0m{number}.license=GPL\0"));
    write(&root.join("lib/modules/6.1/modules.builtin.modinfo"), strings.collect::<String>());
}

/// A root folder with this many modules.
pub(crate) fn many_modules(root: &Path, count: usize) {
    root_with_module(root);
    let module = fs::read(fixture("modules/exports.ko")).unwrap();
    (0..count).for_each(|n| write(&root.join(format!("lib/modules/6.1/kernel/m{n}.ko")), &module));
}
