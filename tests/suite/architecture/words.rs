//! Words that this project has replaced by better ones: searched for in string literals, help texts and documents.

use std::path::{Path, PathBuf};

use super::SOURCES;

/// Words, each with its replacement.
const REPLACED: &[(&[&str], &str)] = &[
    (&["the house", "rooms", "a room", "each room", "of the room"], "the architecture, layers, a layer"),
    (&["glance", "glances", "glanced"], "summary"),
    (&["mend", "mends", "mended", "mending"], "fix"),
    (&["outlook"], "prediction"),
    (&["anew"], "again, regenerate"),
    (&["let go of", "lets go of", "letting go of"], "discard"),
    (&["hang on", "hangs on", "hung on"], "depend on"),
    (&["specimen", "specimens"], "subject"),
    (&["witness", "witnesses", "witnessed"], "probe, observe"),
    (&["but for"], "except for"),
    (&["told", "untold"], "shown, printed, reported, known"),
    (&["beside"], "next to"),
    (&["stands", "stood"], "is"),
    (&["alone"], "only"),
    (&["cell", "cells"], "trial"),
    (&["trail", "trails"], "history"),
    (&["way of loading", "ways of loading"], "load mode"),
    (&["speaks of", "speak of", "spoke of", "says of", "said of", "tells of"], "is about, reports about"),
    (&["others than", "otherwise than"], "differ from, differently from"),
    (&["as far as is known"], "no other failure known"),
    (&["nobody here"], "no terminal"),
    (&["fits no more", "no more than one"], "is now invalid, at most one"),
    (&["can't be told", "cannot be told", "can't tell"], "unknown, does not show"),
    (&["the question was left"], "confirmation cancelled"),
];

/// Phrases in which one of the words is right.
const EXCEPT: &[&str] = &[
    "cells.jsonl",
    "stands for",
    "left alone",
    "leave it alone",
    "leaves it alone",
    "leave the module alone",
    "packages alone",
];

/// Complete literals that are part of the format of files on disk: they never change.
const ON_DISK: &[&str] = &["witness", "kmodlab cell"];

/// A text and its position.
struct Place {
    file: PathBuf,
    line: usize,
    text: String,
}

/// Documents, without the blocks that show the output of other programs, and without the changes of earlier versions.
fn documents() -> Vec<Place> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<PathBuf> =
        ["README.md", "SAFETY.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "fuzz/README.md", "fixtures/README.md"]
            .map(|name| top.join(name))
            .into();
    for folder in ["docs", "findings", "benches", "examples"] {
        let Ok(entries) = std::fs::read_dir(top.join(folder)) else { continue };
        files.extend(
            entries
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.extension().is_some_and(|ending| ending == "md")),
        );
    }
    let mut places = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let below = file.strip_prefix(top).unwrap();
        places.extend(text.lines().enumerate().map(|(at, line)| Place {
            file: below.to_owned(),
            line: at + 1,
            text: line.to_owned(),
        }));
    }
    places
}

/// String literals of the crate, and the documentation comments of the commands, which clap prints as help.
fn texts_of_the_crate() -> Vec<Place> {
    let mut places = Vec::new();
    for contents in SOURCES.modules.values() {
        let has_help = contents.file.starts_with("cli");
        let texts = contents.texts.iter().filter(|text| has_help || !text.is_documentation);
        let file = Path::new("src").join(&contents.file);
        places.extend(texts.map(|text| Place { file: file.clone(), line: text.line, text: text.text.clone() }));
    }
    places
}

/// The number of occurrences of a phrase in a text, in whole words. A name with an underscore, a hyphen, a slash or a dot is
/// one word.
fn count(text: &str, phrase: &str) -> usize {
    let joins = |c: char| c.is_alphanumeric() || "_-/".contains(c);
    let found = text.match_indices(phrase).filter(|(at, _)| {
        let (before, after) = (&text[..*at], &text[at + phrase.len()..]);
        let mut next = after.chars();
        let is_end = match next.next() {
            Some('.') => !next.next().is_some_and(char::is_alphanumeric),
            Some(c) => !joins(c),
            None => true,
        };
        is_end && !before.chars().next_back().is_some_and(|c| joins(c) || c == '.')
    });
    found.count()
}

#[test]
fn replaced_words_are_gone() {
    let mut places = documents();
    places.extend(texts_of_the_crate());
    assert!(places.len() > 3000, "only {} texts found", places.len());
    let mut found = Vec::new();
    for Place { file, line, text } in places.iter().filter(|place| !ON_DISK.contains(&place.text.as_str())) {
        let mut text = text.to_lowercase().split_whitespace().collect::<Vec<&str>>().join(" ");
        EXCEPT.iter().for_each(|exception| text = text.replace(exception, ""));
        for (words, better) in REPLACED {
            for word in words.iter().filter(|word| count(&text, word) > 0) {
                found.push(format!("{}:{line}: {word} → {better}: {:.100}", file.display(), text));
            }
        }
    }
    assert!(found.is_empty(), "{} replaced words:\n{}", found.len(), found.join("\n"));
}

#[test]
fn words_are_found_whole() {
    assert_eq!(count("it is told, as told.", "told"), 2);
    assert_eq!(count("untold, told_by, told-off, a.told, told.txt", "told"), 0);
    assert_eq!(count("all but for one", "but for"), 1);
}
