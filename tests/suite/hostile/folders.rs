//! Promise: a file in a folder is opened like a file that is named: only a regular one, without waiting, and up to a limit.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::hostile::bounds::cost;
use crate::hostile::{fixture, kinds, kmodlab};

use crate::support::in_own_process;

/// A root folder with one module, whose tree and `/boot` are the places for files that are not what they should be.
struct Root(tempfile::TempDir);

impl Root {
    fn new() -> Root {
        let root = Root(tempfile::tempdir().unwrap());
        fs::create_dir_all(root.path("lib/modules/6.1/kernel")).unwrap();
        fs::create_dir(root.path("boot")).unwrap();
        fs::copy(fixture("modules/hello-4.ko"), root.path("lib/modules/6.1/kernel/hello-4.ko")).unwrap();
        root
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    /// A file that is a hole of 3 GiB.
    fn hole(&self, below: &str) {
        File::create(self.path(below)).unwrap().set_len(3 << 30).unwrap();
    }

    fn fifo(&self, below: &str) {
        mknodat(CWD, self.path(below), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    }

    /// Asks for the kernel in it. The answer comes, whichever it is, with the memory for files of `size` bytes, and its status is
    /// returned.
    fn ask(&self, what: &str, size: usize) -> Option<i32> {
        let cost = cost([Path::new("kernel"), self.0.path()]);
        cost.is_bounded(what, size as u64);
        assert!(cost.err.lines().count() <= 1, "{what}: {}", cost.err);
        cost.status.code()
    }
}

#[test]
fn a_hole_of_gigabytes_is_not_read() {
    if !in_own_process!() {
        return;
    }
    for place in ["boot/vmlinuz-6.1", "boot/config-6.1", "boot/System.map-6.1", "lib/modules/6.1/Module.symvers"] {
        let root = Root::new();
        root.hole(place);
        assert_eq!(root.ask(&format!("{place} with a hole"), 0), Some(2));
    }
    // Lists of modules only add to what the modules themselves say.
    for place in ["modules.dep", "modules.order", "modules.builtin", "modules.builtin.modinfo"] {
        let root = Root::new();
        root.hole(&format!("lib/modules/6.1/{place}"));
        assert_eq!(root.ask(&format!("{place} with a hole"), 0), Some(0));
    }
}

#[test]
fn a_module_that_is_a_hole_is_one_error_and_the_others_are_answered() {
    let root = Root::new();
    let top = root.0.path();
    kinds::MODULES.iter().for_each(|(place, start)| kinds::hole(&root.path(place), start));
    let same = Root::new();
    // Sound modules with the names of the holes.
    (0..kinds::MODULES.len()).for_each(|number| {
        let to = same.path(&format!("lib/modules/6.1/kernel/m{number}.ko"));
        fs::copy(fixture("modules/hello-4.ko"), to).unwrap();
    });
    let [tree, other] = [top.join("lib"), same.path("lib/modules/6.1")];
    let module = other.join("kernel/hello-4.ko");
    let holes = kinds::MODULES.len();
    let ask =
        |words: &[&Path]| kmodlab(words.iter().copied().chain(["--state-dir".as_ref(), same.path("state").as_path()]));
    let said = ask(&["kernel".as_ref(), top]);
    assert_eq!((said.status, said.err.as_str()), (Some(0), ""));
    assert!(
        said.out
            .contains(&format!("1 module in {}/lib/modules/6.1, and {holes} more that can't be read", top.display())),
        "{}",
        said.out
    );
    let said = ask(&["scan".as_ref(), top]);
    assert!(
        said.out.contains("vermagic           1  6.1.0-47-amd64") && said.out.contains("unreadable         4"),
        "{}",
        said.out
    );
    // A line of its own for each hole, and an answer for the sound module.
    for (words, answer) in [
        (["show", "-F", "name"].map(Path::new).as_slice(), "hello_4\n"),
        (&["check", "--kernel", "vermagic:6.1 SMP "].map(Path::new), "refused  hello_4"),
        (&["patch", "-n", "--vermagic", "6.1.0 "].map(Path::new), "1 refused by a guard, 4 can't be patched"),
        (&["verify".as_ref(), "--against".as_ref(), other.as_path()], "5 modules: 1 original, 4 not readable"),
        (
            &["restore".as_ref(), "-n".as_ref(), "--from".as_ref(), other.as_path()],
            "hello-4.ko: is the original already",
        ),
    ] {
        let words: Vec<&Path> = words.iter().copied().chain([tree.as_path()]).collect();
        let said = ask(&words);
        assert!(said.out.contains(answer), "{words:?}: {}{}", said.out, said.err);
        let lines: Vec<&str> =
            said.err.lines().filter(|line| line.contains("it exceeds the limit of 1073741824 bytes")).collect();
        assert_eq!(lines.len(), holes, "{words:?}: {}", said.err);
    }
    // The other way round: the holes are the originals.
    for words in [["verify", "--against"].map(Path::new).as_slice(), &["restore", "-n", "--from"].map(Path::new)] {
        let words: Vec<&Path> = words.iter().copied().chain([tree.parent().unwrap(), module.as_path()]).collect();
        let said = ask(&words);
        assert_eq!((said.status, said.err.as_str()), (Some(0), ""), "{}", said.out);
    }
}

#[test]
fn what_is_no_regular_file_is_passed_over() {
    if !in_own_process!() {
        return;
    }
    let places =
        ["boot/vmlinuz-6.1", "boot/config-6.1", "lib/modules/6.1/Module.symvers", "lib/modules/6.1/modules.dep"];
    for place in places {
        let root = Root::new();
        root.fifo(place);
        assert_eq!(root.ask(&format!("{place} as a FIFO"), 0), Some(0));
        // A name is looked up in the same tree.
        let found = cost(["show", "-F", "name", "-k", "6.1", "-b", root.0.path().to_str().unwrap(), "hello_4"]);
        found.is_bounded(&format!("a module next to {place} as a FIFO"), 0);
    }
    let root = Root::new();
    std::os::unix::fs::symlink("/dev/zero", root.path("boot/config-6.1")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", root.path("lib/modules/6.1/modules.dep")).unwrap();
    assert_eq!(root.ask("devices", 0), Some(0));
}

#[test]
fn a_list_of_one_long_line_and_a_configuration_of_many_options_take_little_memory() {
    if !in_own_process!() {
        return;
    }
    const LONG: usize = 200 << 20;
    let root = Root::new();
    let mut long = io::repeat(b'a').take(LONG as u64);
    io::copy(&mut long, &mut File::create(root.path("lib/modules/6.1/modules.dep")).unwrap()).unwrap();
    assert_eq!(root.ask("modules.dep of one line", LONG), Some(0));
    let root = Root::new();
    let options: String = (0..1_000_000).map(|number| format!("CONFIG_{number:x}=\n")).collect();
    fs::write(root.path("boot/config-6.1"), &options).unwrap();
    root.ask("a configuration of a million options", options.len());
}

/// A text that a kernel has, and its lines, each with a number.
type Text = (&'static str, fn(usize) -> String);

/// The texts.
const TEXTS: [Text; 4] = [
    ("Module.symvers of the image", |n| format!("0x{n:08x}\ts{n:x}\tvmlinux\tEXPORT_SYMBOL\n")),
    ("Module.symvers of modules", |n| format!("0x{n:08x}\ts{n:x}\tm{n:x}\tEXPORT_SYMBOL\n")),
    ("System.map", |n| format!("{n:016x} r __ksymtab_s{n:x}\n")),
    ("a configuration", |n| format!("CONFIG_{n:x}=y\n")),
];

#[test]
fn a_text_of_many_lines_takes_little_memory() {
    if !in_own_process!() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text");
    for (what, line) in TEXTS {
        let mut text = BufWriter::new(File::create(&path).unwrap());
        (0..500_000).for_each(|number| text.write_all(line(number).as_bytes()).unwrap());
        drop(text);
        let cost = cost([Path::new("kernel"), &path]);
        cost.is_bounded(&format!("{what}, 500,000 lines"), fs::metadata(&path).unwrap().len());
        assert_eq!((cost.status.code(), cost.err.lines().count()), (Some(2), 1), "{}", cost.err);
    }
}

#[test]
fn a_small_package_of_texts_that_repeat_a_line_takes_little_memory() {
    if !in_own_process!() {
        return;
    }
    const SIZE: usize = 16 << 20;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("linux.tar.xz");
    let list: fn(usize) -> String = |_| "a.ko\n".to_owned();
    let places = ["Module.symvers", "Module.symvers", "System.map", "config", "modules.order", "modules.builtin"];
    for (place, (what, line)) in places.into_iter().zip(TEXTS.into_iter().chain([("a list", list), ("a list", list)])) {
        let line = line(0xabcdef);
        // Never in memory as a whole, so that the memory of the program can be seen.
        let file = liblzma::write::XzEncoder::new(File::create(&path).unwrap(), 1);
        let mut tar = tar::Builder::new(file);
        let mut header = tar::Header::new_ustar();
        header.set_size((SIZE / line.len() * line.len()) as u64);
        let text = Repeated { line: line.as_bytes(), at: 0 }.take(header.size().unwrap());
        tar.append_data(&mut header, format!("usr/lib/modules/6.1/{place}"), text).unwrap();
        tar.into_inner().unwrap().finish().unwrap();
        let size = fs::metadata(&path).unwrap().len();
        let cost = cost([Path::new("kernel"), &path]);
        cost.is_bounded(&format!("{what} as {place}, repeated"), size);
        assert!(!cost.err.contains("bytes of work"), "it is read: {}", cost.err);
    }
}

/// A line again and again.
struct Repeated<'l> {
    line: &'l [u8],
    at: usize,
}

impl Read for Repeated<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = buffer.len().min(self.line.len() - self.at);
        buffer[..read].copy_from_slice(&self.line[self.at..self.at + read]);
        self.at = (self.at + read) % self.line.len();
        Ok(read)
    }
}

#[test]
fn a_build_tree_with_many_options_takes_little_memory() {
    if !in_own_process!() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let makefile = "VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 0\nEXTRAVERSION =\nKERNELRELEASE = x\n";
    fs::write(folder.path().join("Makefile"), makefile).unwrap();
    fs::create_dir(folder.path().join("scripts")).unwrap();
    let options: String = (0..1_000_000).map(|number| format!("CONFIG_{number:x}=\n")).collect();
    fs::write(folder.path().join(".config"), &options).unwrap();
    cost([Path::new("tree"), folder.path()]).is_bounded("a .config of a million options", options.len() as u64);
}
