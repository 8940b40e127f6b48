//! All fuzz targets in one program, so that the crate is linked once. `KMODLAB_FUZZ` is the name of the target.

#![no_main]

mod btf;
mod console;
mod explain;
mod image;
mod journal;
mod limits;
mod memory_file;
mod message;
mod package;
mod plan;
#[path = "../../tests/suite/hostile/promises.rs"]
mod promises;
mod read;
mod scratch;
mod tree;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

/// A target: it reads an input, and panics if a promise does not hold.
type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 9] = [
    ("read", read::check),
    ("plan", plan::check),
    ("image", image::check),
    ("package", package::check),
    ("btf", btf::check),
    ("journal", journal::check),
    ("tree", tree::check),
    ("console", console::check),
    ("explain", explain::check),
];

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("KMODLAB_FUZZ").unwrap_or_default();
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    target.unwrap_or_else(|| panic!("KMODLAB_FUZZ={name}: one of {:?}", TARGETS.map(|(name, _)| name))).1
});

fuzz_target!(|bytes: &[u8]| limits::within(bytes.len(), || TARGET(bytes)));
