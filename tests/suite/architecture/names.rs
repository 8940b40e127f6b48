//! Rules for the names of modules and types.

use std::collections::BTreeMap;
use std::path::Path;

use super::source::files_below;
use super::{SOURCES, src};

/// The largest share of type names with more than one meaning, in per mille.
const MOST_WITH_SEVERAL_MEANINGS: usize = 100;

#[test]
fn no_module_has_a_name_that_says_nothing() {
    for file in files_below(&src(), Path::new("")) {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(
            !["util", "utils", "common", "helper", "helpers", "misc"].contains(&name.as_str()),
            "{}",
            file.display()
        );
    }
}

/// Counts the names of structs, enums, unions, traits and type aliases outside tests. A name has several meanings if it is
/// defined more than once; `Args`, the arguments of each command, counts as one meaning. Names defined inside functions count
/// too.
#[test]
fn a_type_name_has_one_meaning() {
    let mut places: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for contents in SOURCES.modules.values() {
        for found in &contents.types {
            let places = places.entry(&found.name).or_default();
            if !(found.is_arguments && found.name == "Args" && !places.is_empty()) {
                places.push(format!("{}:{}", contents.file.display(), found.line));
            }
        }
    }
    let several: Vec<(&&str, &Vec<String>)> = places.iter().filter(|(_, places)| places.len() > 1).collect();
    let definitions: usize = places.values().map(Vec::len).sum();
    let of_several: usize = several.iter().map(|(_, places)| places.len()).sum();
    let (names, of) = (places.len(), several.len());
    println!("{names} type names, {of} with more than one meaning: {:.1} %", of as f64 * 100.0 / names as f64);
    println!(
        "({definitions} definitions, {of_several} of them of such a name: {:.1} %)",
        of_several as f64 * 100.0 / definitions as f64
    );
    for (name, places) in &several {
        println!("  {name}: {}", places.join(", "));
    }
    assert!(of * 1000 < names * MOST_WITH_SEVERAL_MEANINGS, "{of} of {names} type names have more than one meaning");
}
