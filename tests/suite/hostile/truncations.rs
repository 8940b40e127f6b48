//! Each module of `fixtures/modules`, cut at each byte, is refused.

use std::fs::{self, File};
use std::ops::Range;
use std::path::Path;

use kmodlab::error::ErrorKind::{Malformed, NotAModule, Truncated};
use kmodlab::module::container::{Container, DEFAULT_MAX_SIZE};
use kmodlab::module::elf::Elf;
use kmodlab::module::{self, trailer};

use crate::hostile::{fixtures, kmodlab, name};

/// A cut that leaves a complete module: it removes exactly the trailer, and nothing shows that there was one.
fn leaves_a_module(file: &str) -> Option<usize> {
    match file {
        "hello-4-signed.ko" => Some(2936),
        "hello-4-x509.ko" => Some(2656),
        _ => None,
    }
}

#[test]
fn a_module_cut_at_any_byte_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.ko");
    let mut cuts = 0;
    for path in fixtures("modules") {
        let whole = fs::copy(&path, &cut).unwrap();
        assert!(module::open(&cut, DEFAULT_MAX_SIZE).is_ok());
        let file = File::options().write(true).open(&cut).unwrap();
        for length in (0..whole).rev() {
            file.set_len(length).unwrap();
            let answer = module::open(&cut, DEFAULT_MAX_SIZE);
            if leaves_a_module(name(&path)) == Some(length as usize) {
                let (_, module) = answer.unwrap();
                assert!(module.trailer.is_none() && module.unclaimed == 0);
            } else {
                let error = answer.err().unwrap_or_else(|| panic!("{} cut at {length} was read", path.display()));
                assert!([NotAModule, Truncated, Malformed].contains(&error.kind()), "cut at {length}: {error}");
            }
            cuts += 1;
        }
    }
    println!("{cuts} cuts");
}

#[test]
fn the_program_refuses_a_cut_module_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.ko");
    let mut cuts = 0;
    for path in fixtures("modules") {
        let bytes = fs::read(&path).unwrap();
        for length in places_to_cut(&bytes) {
            fs::write(&cut, &bytes[..length]).unwrap();
            if leaves_a_module(name(&path)) != Some(length) {
                kmodlab([Path::new("show"), &cut]).is_one_line_and_exit_2();
                cuts += 1;
            }
        }
    }
    println!("{cuts} cuts by the program");
}

/// Each 64th byte, and the bytes before, at and after each place where something starts or ends.
fn places_to_cut(bytes: &[u8]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..bytes.len()).step_by(64).collect();
    if Container::of(bytes) == Container::None {
        let trailer = trailer::locate(bytes).unwrap().unwrap_or(bytes.len()..bytes.len());
        let elf = Elf::read(&bytes[..trailer.start]).unwrap();
        let ranges = elf.sections.into_iter().map(|section| section.range).chain([0..elf.end, trailer]);
        places.extend(ranges.flat_map(|Range { start, end }| [start, end]).flat_map(|at| [at.max(1) - 1, at, at + 1]));
    }
    places.retain(|&place| place < bytes.len());
    places.sort_unstable();
    places.dedup();
    places
}
