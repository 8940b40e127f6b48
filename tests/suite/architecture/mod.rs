//! Promise: the rooms are what ARCHITECTURE.md says, and dependencies between them run one way.

use std::path::{Path, PathBuf};

/// The rooms from the ground up: a room imports only from those before it.
const ROOMS: [&str; 21] = [
    "escape",
    "text",
    "error",
    "digest",
    "edit",
    "vermagic",
    "btf",
    "parallel",
    "spill",
    "private_folder",
    "module",
    "walk",
    "kernel",
    "predict",
    "buildtree",
    "vault",
    "scan",
    "patch",
    "guard",
    "lab",
    "report",
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(sources(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found.sort();
    found
}

/// The room that a source file is in: the first part of its path below src.
fn room(file: &Path, src: &Path) -> String {
    let below = file.strip_prefix(src).unwrap();
    let first = below.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The source without its unit tests, which may look anywhere.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap()
}

#[test]
fn a_room_imports_only_from_lower_ones() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut imports = 0;
    for file in sources(&src) {
        let room = room(&file, &src);
        let height = ROOMS.iter().position(|r| *r == room).unwrap_or(ROOMS.len());
        let text = std::fs::read_to_string(&file).unwrap();
        for path in without_tests(&text).split("crate::architecture::").skip(1) {
            let used: String = path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let Some(used_height) = ROOMS.iter().position(|r| *r == used) else { continue };
            imports += 1;
            assert!(used_height <= height, "{} (room {room}) imports from {used}", file.display());
        }
    }
    assert!(imports > 50, "only {imports} imports found: does this test still read them?");
}

#[test]
fn no_module_has_a_name_that_says_nothing() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in sources(&src) {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(!["util", "utils", "common", "helpers", "misc"].contains(&name.as_str()), "{}", file.display());
    }
}

#[test]
fn unsafe_is_in_three_files_and_each_place_says_why() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let with_unsafe = sources(&src).into_iter().filter(|f| std::fs::read_to_string(f).unwrap().contains("unsafe {"));
    let names: Vec<String> = with_unsafe.map(|f| f.strip_prefix(&src).unwrap().display().to_string()).collect();
    assert_eq!(names, ["main.rs", "module/file.rs", "scan/worker.rs"]);
}

#[test]
fn every_room_stands_in_the_architecture() {
    let text = include_str!("../../../ARCHITECTURE.md");
    for room in ROOMS {
        assert!(text.contains(&format!("`{room}.rs`")) || text.contains(&format!("`{room}/`")), "{room}");
    }
}
