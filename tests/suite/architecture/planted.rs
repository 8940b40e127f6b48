//! Tests the architecture tests: each kind of violation is planted in a copy of the sources, and must be reported.

use std::path::Path;

use super::imports::{cycles, imports};
use super::source::{Sources, files_below};
use super::{against_the_layers, src};

/// A kind of violation: files that are added in a separate folder below the module `edit`, and parts of a line that must be
/// reported. `HERE` is replaced by the folder.
struct Violation {
    what: &'static str,
    added: &'static [(&'static str, &'static str)],
    reported: &'static [&'static str],
}

const VIOLATIONS: [Violation; 13] = [
    Violation {
        what: "use crate::cli from a lower layer",
        added: &[("mod.rs", "use crate::cli;")],
        reported: &["HERE/mod.rs:1: edit imports crate::cli from cli"],
    },
    Violation {
        what: "after the first #[cfg(test)]",
        added: &[("mod.rs", "#[cfg(test)]\nmod tests {}\nuse crate::cli::main;")],
        reported: &["HERE/mod.rs:3: edit imports crate::cli::main from cli"],
    },
    Violation {
        what: "use super::",
        added: &[("mod.rs", "use super::super::cli::main;")],
        reported: &["HERE/mod.rs:1: edit imports super::super::cli::main from cli"],
    },
    Violation {
        what: "use crate::{a, b}",
        added: &[("mod.rs", "use crate::{error::Error, cli::{self, main}};")],
        reported: &["HERE/mod.rs:1: edit imports crate::cli::main from cli"],
    },
    Violation {
        what: "pub use",
        added: &[("mod.rs", "pub use crate::cli::*;")],
        reported: &["HERE/mod.rs:1: edit imports crate::cli::* from cli"],
    },
    Violation {
        what: "a path in an expression",
        added: &[("mod.rs", "fn planted() { let _ = crate::cli::main(std::env::args_os()); }")],
        reported: &["HERE/mod.rs:1: edit imports crate::cli::main from cli"],
    },
    Violation {
        what: "a path in a type",
        added: &[("mod.rs", "struct Planted { plan: Option<crate::cli::Main> }")],
        reported: &["HERE/mod.rs:1: edit imports crate::cli::Main from cli"],
    },
    Violation {
        what: "a path in a macro's arguments",
        added: &[("mod.rs", "fn planted() { println!(\"{:?}\", crate::cli::main()); }")],
        reported: &["HERE/mod.rs:1: edit imports crate::cli::main from cli"],
    },
    Violation {
        what: "a path in an attribute",
        added: &[("mod.rs", "struct Planted {\n    #[serde(serialize_with = \"crate::cli::main\")]\n    a: u8,\n}")],
        reported: &["HERE/mod.rs:2: edit imports crate::cli::main from cli"],
    },
    Violation {
        what: "a cycle of two files",
        added: &[
            ("mod.rs", "mod one;\nmod two;"),
            ("one.rs", "use super::two::Two;\npub struct One(Two);"),
            ("two.rs", "pub struct Two(super::one::One);"),
        ],
        reported: &[
            "HERE/one.rs:1 imports super::two::Two (HERE/two.rs)",
            "HERE/two.rs:1 imports super::one::One (HERE/one.rs)",
        ],
    },
    Violation {
        what: "a cycle of three files",
        added: &[
            ("mod.rs", "mod one;\nmod two;\nmod three;"),
            ("one.rs", "use super::two;\npub struct One(two::Two);"),
            ("two.rs", "use super::three::{Three};\npub struct Two(Three);"),
            ("three.rs", "use super::*;\npub fn three() -> one::One { loop {} }\npub struct Three;"),
        ],
        reported: &[
            "HERE/one.rs:2 imports two::Two (HERE/two.rs)",
            "HERE/two.rs:1 imports super::three::Three (HERE/three.rs)",
            "HERE/three.rs:2 imports one::One (HERE/one.rs)",
        ],
    },
    Violation {
        what: "a cycle of a file and its module's parent",
        added: &[("mod.rs", "mod one;\npub struct Zero(one::One);"), ("one.rs", "pub struct One(super::Zero);")],
        reported: &["imports super::Zero (HERE/mod.rs)", "imports one::One (HERE/one.rs)"],
    },
    Violation {
        what: "a cycle through a name that a third file re-exports",
        added: &[
            ("mod.rs", "mod one;\nmod two;\npub use two::Two;"),
            ("one.rs", "use super::Two;\npub struct One(Two);"),
            ("two.rs", "use super::one::One;\npub struct Two(One);"),
        ],
        reported: &[
            "HERE/one.rs:1 imports super::Two (HERE/two.rs)",
            "HERE/two.rs:1 imports super::one::One (HERE/one.rs)",
        ],
    },
];

/// A copy of the sources with these files added at their paths below the module `edit`.
fn planted(files: impl IntoIterator<Item = (String, String)>) -> Sources {
    let folder = tempfile::tempdir().unwrap();
    for file in files_below(&src(), Path::new("")) {
        let to = folder.path().join(&file);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(src().join(file), to).unwrap();
    }
    let edit = folder.path().join("edit.rs");
    let mut declared = std::fs::read_to_string(&edit).unwrap();
    for (file, text) in files {
        if let Some(module) = file.strip_suffix("/mod.rs") {
            declared += &format!("mod {module};\n");
        }
        let file = folder.path().join("edit").join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text + "\n").unwrap();
    }
    std::fs::write(edit, declared).unwrap();
    Sources::read(folder.path())
}

#[test]
fn each_planted_violation_is_reported() {
    let added = VIOLATIONS.iter().enumerate().flat_map(|(number, violation)| {
        violation.added.iter().map(move |(file, text)| (format!("planted_{number}/{file}"), (*text).to_owned()))
    });
    let sources = planted(added);
    let imports = imports(&sources);
    let mut found = against_the_layers(&sources, &imports);
    found.extend(cycles(&imports).iter().map(|cycle| super::imports::shown(cycle)));
    for (number, violation) in VIOLATIONS.iter().enumerate() {
        let here = format!("edit/planted_{number}");
        let new: Vec<String> = found
            .iter()
            .filter(|line| line.contains(&format!("{here}/")))
            .map(|line| line.replace(&here, "HERE"))
            .collect();
        println!("{}:\n  {}", violation.what, new.join("\n").trim_end().replace('\n', "\n  "));
        let is_reported = new.iter().any(|line| violation.reported.iter().all(|part| line.contains(part)));
        assert!(is_reported, "{} is not reported: {new:#?}", violation.what);
    }
}

/// Code that is compiled only for tests may import from anywhere.
#[test]
fn code_for_tests_is_left_out() {
    let texts = [
        (
            "planted/mod.rs",
            "#[cfg(test)]\nmod tests { use crate::cli::main; }\n#[cfg(test)]\nuse crate::cli;\n#[cfg(test)]\nmod file;",
        ),
        ("planted/file.rs", "use crate::cli::main;"),
    ];
    let sources = planted(texts.map(|(file, text)| (file.to_owned(), text.to_owned())));
    let found = against_the_layers(&sources, &imports(&sources));
    assert!(found.iter().all(|line| !line.contains("planted")), "{found:#?}");
    assert!(sources.unused.iter().all(|file| !file.starts_with("edit")), "{:?}", sources.unused);
}
