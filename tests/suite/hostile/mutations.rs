//! Modules with one byte changed, and with terminal control sequences inserted everywhere.

use std::fs;
use std::path::{Path, PathBuf};

use kmodlab::error::ErrorKind;
use kmodlab::module::Module;
use kmodlab::module::container::{Container, DEFAULT_MAX_SIZE};
use kmodlab::module::elf::Elf;

use crate::hostile::promises::{agrees_with_its_bytes, is_documented};
use crate::hostile::{fixture, kmodlab};

/// Each class and byte order, basic and extended versions, exports, both trailers, texts, and each container.
const MUTATED: &[&str] = &[
    "hello-4.ko",
    "mips-be.ko",
    "s390x.ko",
    "poet_atkm.ko",
    "extended.ko",
    "exports.ko",
    "hello-4-signed.ko",
    "hello-4-x509.ko",
    "text.ko",
    "hello-4.ko.gz",
    "hello-4.ko.xz",
    "hello-4.ko.zst",
];

fn read(file: &str) -> Vec<u8> {
    fs::read(fixture("modules").join(file)).unwrap()
}

#[test]
fn a_module_with_any_byte_changed_never_panics() {
    let (mut readable, mut refused) = (0, 0);
    for file in MUTATED {
        let whole = read(file);
        let mut bytes = whole.clone();
        for at in 0..whole.len() {
            for value in values(&whole, at) {
                bytes[at] = value;
                match unpacked(&bytes).and_then(|image| Ok((Module::read(&image)?, image))) {
                    Ok((module, image)) => {
                        agrees_with_its_bytes(&module, &image);
                        readable += 1;
                    }
                    Err(error) => {
                        // In a container, a header may contain an offset after the limit.
                        assert!(error.kind() != ErrorKind::TooLarge || Container::of(&bytes) != Container::None);
                        is_documented(&error);
                        refused += 1;
                    }
                }
            }
            bytes[at] = whole[at];
        }
    }
    println!("{} mutants: {readable} are read, {refused} refused", readable + refused);
}

/// The new values of a byte: every value in a file header; limits and flipped bits in section headers and streams; a few values
/// elsewhere.
fn values(whole: &[u8], at: usize) -> Vec<u8> {
    let old = whole[at];
    let borders = [0, 1, 2, 0x40, 0x7f, 0x80, 0xfe, 0xff, old.wrapping_add(1), old.wrapping_sub(1)];
    let in_a_stream = Container::of(whole) != Container::None;
    let mut values = match at {
        ..64 => (0..=255).collect(),
        _ if in_a_stream || at > whole.len() * 2 / 3 => {
            borders.into_iter().chain((0..8).map(|bit| old ^ 1 << bit)).collect()
        }
        _ => vec![0, 0xff, old ^ 1, old ^ 0x80],
    };
    values.retain(|value| *value != old);
    values.sort_unstable();
    values.dedup();
    values
}

fn unpacked(bytes: &[u8]) -> kmodlab::error::Result<Vec<u8>> {
    Container::of(bytes).decompress(bytes, DEFAULT_MAX_SIZE)
}

/// Sequences that a terminal interprets: escape, one-byte and two-byte control sequence introducers, a reordering mark, a line
/// feed.
const OBEYED: [&[u8]; 6] = [b"\x1b[2J", b"\x9b2J", "\u{9b}2J".as_bytes(), "\u{202e}".as_bytes(), b"\x7f\x08", b"\r\n"];

#[test]
fn no_text_in_a_module_is_obeyed_by_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let state = tempfile::tempdir().unwrap();
    let mut count = 0;
    for file in ["hello-4.ko", "poet_atkm.ko", "extended.ko", "exports.ko", "hello-4-x509.ko", "text.ko"] {
        let mutants = with_obeyed_text(&read(file), folder.path());
        let forms: [&[&str]; 6] = [
            &["show"],
            &["show", "--json"],
            &["check", "--kernel", "vermagic:6.1"],
            &["check", "--kernel", "vermagic:6.1", "--json"],
            &["diff", "--brief"],
            &["patch", "-n", "--vermagic", "6.1 "],
        ];
        for form in forms {
            let said = |modules: &[PathBuf]| {
                let words = form.iter().map(Path::new).chain(modules.iter().map(PathBuf::as_path));
                kmodlab(words.chain(["--state-dir".as_ref(), state.path()]))
            };
            match form[0] {
                "show" | "check" => _ = said(&mutants).obeys_nobody(),
                // These commands take one module or two: a sample.
                "diff" => mutants.windows(2).step_by(97).for_each(|pair| _ = said(pair).obeys_nobody()),
                _ => mutants.chunks(1).step_by(97).for_each(|one| _ = said(one).obeys_nobody()),
            }
        }
        count += mutants.len();
    }
    println!("{count} mutants with texts that a terminal obeys");
}

/// Puts each of those texts at each position that may contain text, and writes the results that are still modules to files.
fn with_obeyed_text(whole: &[u8], folder: &Path) -> Vec<PathBuf> {
    let elf = Elf::read(whole).unwrap();
    let holds_text = [".modinfo", ".strtab", "__versions", "__version_ext_names", "__ksymtab_strings"];
    let sections = elf.sections.iter().filter(|section| holds_text.iter().any(|name| section.name == name.as_bytes()));
    let places = sections.flat_map(|section| section.range.clone()).chain(elf.end..whole.len());
    let mutants = places.enumerate().filter_map(|(count, at)| {
        let mut bytes = whole.to_vec();
        let text = OBEYED[count % OBEYED.len()];
        bytes.get_mut(at..at + text.len())?.copy_from_slice(text);
        Module::read(&bytes).ok()?;
        let path = folder.join(format!("{count}.ko"));
        fs::write(&path, bytes).unwrap();
        Some(path)
    });
    mutants.collect()
}
