//! The public API: what `src/lib.rs` exports, with the fields, variants and methods that another crate can name, compared with
//! what was recorded in `public.txt`. `SNAPSHOTS=overwrite cargo test --test suite api::` records it again.

mod exported;

use std::path::Path;

use exported::{Api, exported};

/// Names at the top of the crate. A name more is a promise more: the number is raised only on purpose.
const MOST_NAMES: usize = 64;

fn api() -> Api {
    exported(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

#[test]
fn the_public_api_is_the_recorded_one() {
    let recorded = snapbox::Data::read_from(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/api/public.txt"),
        Some(snapbox::data::DataFormat::Text),
    );
    snapbox::Assert::new().action_env("SNAPSHOTS").eq(api().text(), recorded);
}

#[test]
fn every_public_item_is_documented_and_they_are_few() {
    let api = api();
    println!("{} names, {} items with their fields, variants and methods", api.names.len(), api.items);
    assert_eq!(api.undocumented, Vec::<String>::new());
    assert!(api.names.len() <= MOST_NAMES, "{} names are exported: {:?}", api.names.len(), api.names);
}

/// What other crates can't reach is no part of it; what they can is.
#[test]
fn fields_and_methods_behind_the_door_are_left_out() {
    let text = api().text();
    for (there, not_there) in
        [("pub fn writer(", "fn append("), ("pub fn open(", "open_unhashed"), ("pub answer:", "internal_f")]
    {
        assert!(text.contains(there), "{there} is missing");
        assert!(!text.contains(not_there), "{not_there} is there");
    }
}
