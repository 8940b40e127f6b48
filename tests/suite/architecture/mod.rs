//! Promise: the layers are those of ARCHITECTURE.md; a file imports only from lower layers, and no files import each other in
//! a cycle.
//!
//! - `source`: the crate's sources, parsed
//! - `imports`: which file depends on which
//! - `planted`: each kind of violation, planted in a copy of the sources, is reported
//! - `names`: rules for the names of modules and types
//! - `words`: words that this project has replaced by better ones

mod imports;
mod names;
mod planted;
pub(super) mod source;
mod words;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use imports::Import;
use source::Sources;

/// The layers from the bottom up. `door` contains the macros of the feature `internals`, `lib` is the crate's root, which lists
/// the public names, and `main` is the program.
const LAYERS: [&str; 38] = [
    "door",
    "escape",
    "error",
    "budget",
    "template",
    "text",
    "progress",
    "edit",
    "wildcard",
    "parallel",
    "digest",
    "spill",
    "private_folder",
    "vermagic",
    "btf",
    "module",
    "walk",
    "kernel",
    "comparison",
    "predict",
    "predict_file",
    "explain",
    "buildtree",
    "vault",
    "check",
    "selection",
    "against",
    "scan",
    "patch",
    "guard",
    "change",
    "lab",
    "doctor",
    "report",
    "demo",
    "cli",
    "lib",
    "main",
];

/// Files that may contain unsafe code.
const WITH_UNSAFE: [&str; 3] = ["main.rs", "module/file.rs", "scan/worker.rs"];

/// The crate's own sources.
static SOURCES: LazyLock<Sources> = LazyLock::new(|| Sources::read(&src()));

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The layer of a source file: the first part of its path.
fn layer(file: &Path) -> String {
    let first = file.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// Imports from a higher layer, and files that belong to no layer, as lines.
fn against_the_layers(sources: &Sources, imports: &[Import]) -> Vec<String> {
    let height = |file: &Path| LAYERS.iter().position(|known| *known == layer(file));
    let files: BTreeSet<&PathBuf> = sources.modules.values().map(|contents| &contents.file).collect();
    let homeless =
        files.iter().filter(|file| height(file).is_none()).map(|file| format!("{}: of no layer", file.display()));
    let upward = imports
        .iter()
        .filter(|import| height(&import.from).zip(height(&import.to)).is_some_and(|(from, to)| from < to))
        .map(|import| {
            let Import { from, line, to, path, .. } = import;
            format!("{}:{line}: {} imports {path} from {}", from.display(), layer(from), layer(to))
        });
    homeless.chain(upward).collect()
}

#[test]
fn a_file_imports_only_from_its_own_layer_and_lower_ones() {
    let imports = imports::imports(&SOURCES);
    println!("{} modules, {} imports between files", SOURCES.modules.len(), imports.len());
    assert!(imports.len() > 500, "only {} imports found: does this test still read them?", imports.len());
    assert_eq!(SOURCES.unused, BTreeSet::new(), "files that no module declares");
    let found = against_the_layers(&SOURCES, &imports);
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn no_files_import_each_other_in_a_cycle() {
    let imports = imports::imports(&SOURCES);
    let cycles = imports::cycles(&imports);
    let shown: Vec<String> = cycles.iter().map(|cycle| imports::shown(cycle)).collect();
    assert!(shown.is_empty(), "{} cycles:\n\n{}", shown.len(), shown.join("\n"));
}

/// The most lines of the program's layer: it parses arguments and prints, and nothing else.
const MOST_LINES_OF_CLI: usize = 7_000;

/// Reports are types of the library, so that a program can serialise them too.
#[test]
fn the_program_only_parses_and_prints() {
    let files = source::files_below(&src().join("cli"), Path::new(""));
    let texts: Vec<String> =
        files.iter().map(|file| std::fs::read_to_string(src().join("cli").join(file)).unwrap()).collect();
    let lines: usize = texts.iter().map(|text| text.lines().count()).sum();
    println!("{lines} lines in {} files", files.len());
    assert!(texts.len() > 30, "only {} files found: does this test still read them?", texts.len());
    assert!(lines < MOST_LINES_OF_CLI, "{lines} lines: move into the library what neither parses nor prints");
    let serialised: Vec<_> = files
        .iter()
        .zip(&texts)
        .filter(|(_, text)| text.lines().any(|line| line.trim().starts_with("#[derive(") && line.contains("Serialize")))
        .map(|(file, _)| file)
        .collect();
    assert!(serialised.is_empty(), "types that are serialised: {serialised:?}");
}

#[test]
fn unsafe_code_is_in_few_files() {
    let is_unsafe =
        |text: &str| ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"].iter().any(|words| text.contains(words));
    let files = source::files_below(&src(), Path::new(""));
    let found: Vec<&PathBuf> =
        files.iter().filter(|file| is_unsafe(&std::fs::read_to_string(src().join(file)).unwrap())).collect();
    assert_eq!(found, WITH_UNSAFE.map(Path::new));
}

/// The table of layers in ARCHITECTURE.md has the same layers, in the same order.
#[test]
fn the_layers_are_those_of_the_document() {
    let text = include_str!("../../../ARCHITECTURE.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(name, _)| name);
    let listed: Vec<&str> = rows
        .filter_map(|name| name.strip_suffix(".rs").or(name.strip_suffix('/')))
        .take_while(|name| !name.contains('/'))
        .collect();
    let layers: Vec<&str> = LAYERS.into_iter().filter(|layer| !["door", "lib"].contains(layer)).collect();
    assert_eq!(listed, layers);
}
