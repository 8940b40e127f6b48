//! Each fixture's listing and JSON, as recorded in `recorded/`. To record them again (then read the difference):
//!
//! ```text
//! SNAPSHOTS=overwrite cargo test --test suite show::recorded
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use snapbox::Data;
use snapbox::data::DataFormat;

use crate::show::{KMODLAB, fixtures, names, run};

/// The folders with readable modules.
const FOLDERS: [&str; 2] = ["modules", "ambiguous"];

fn recorded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/show/recorded")
}

/// The output of `show` with an option for a fixture in the working folder.
fn show(folder: &str, name: &str, option: &str) -> String {
    let output = run(&fixtures().join(folder), KMODLAB, ["show", option, name]);
    assert!(output.status.success() && output.stderr.is_empty(), "{name}: {output:?}");
    String::from_utf8(output.stdout).expect("not UTF-8")
}

#[test]
fn the_listing_of_each_fixture_is_as_recorded() {
    for folder in FOLDERS {
        for name in names(folder) {
            let expected = Data::read_from(&recorded().join(format!("{name}.txt")), Some(DataFormat::Text));
            snapbox::assert_data_eq!(show(folder, &name, "--color=never"), expected.raw());
        }
    }
}

/// Indented for reading, with its keys in order.
#[test]
fn the_json_of_each_fixture_is_as_recorded() {
    for folder in FOLDERS {
        for name in names(folder) {
            let line = show(folder, &name, "--json");
            assert_eq!(line.matches('\n').count(), 1, "{name}: one object, one line");
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            let expected = Data::read_from(&recorded().join(format!("{name}.json")), Some(DataFormat::Text));
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            let pretty = kmodlab::escape::json_for_eyes(&pretty);
            snapbox::assert_data_eq!(format!("{pretty}\n"), expected.raw());
        }
    }
}

#[test]
fn nothing_is_recorded_that_is_no_fixture() {
    let of_fixtures = FOLDERS.into_iter().flat_map(names);
    let expected: BTreeSet<String> =
        of_fixtures.flat_map(|name| [format!("{name}.txt"), format!("{name}.json")]).collect();
    let there = fs::read_dir(recorded()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(there.collect::<BTreeSet<_>>(), expected);
}

/// Compressed fixtures differ from the uncompressed one only in the fields about storage.
#[test]
fn a_compressed_module_is_shown_like_the_uncompressed_one() {
    let value = |name: &str| {
        let mut value: serde_json::Value = serde_json::from_str(&show("modules", name, "--json")).unwrap();
        for key in ["path", "container", "stored_size", "sha256"] {
            assert!(value.as_object_mut().unwrap().remove(key).is_some(), "{name} has no {key}");
        }
        value
    };
    for ending in ["gz", "xz", "zst"] {
        assert_eq!(value(&format!("hello-4.ko.{ending}")), value("hello-4.ko"), "{ending}");
    }
    assert_eq!(value("hello-4-signed.ko.xz"), value("hello-4-signed.ko"));
}
