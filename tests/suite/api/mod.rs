//! The public API: what `src/lib.rs` exports, with the fields, variants and methods that another crate can name, compared with
//! the recording in `public.txt`. `SNAPSHOTS=overwrite cargo test --test suite api::` records it again.

mod exported;

use std::path::Path;

use exported::{Api, exported};

/// The largest number of names at the top of the crate. Each name is a promise: raise the number only on purpose.
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

/// Items that other crates cannot reach are not part of the API; all others are.
#[test]
fn fields_and_methods_behind_the_internals_feature_are_left_out() {
    let text = api().text();
    for (there, not_there) in
        [("pub fn writer(", "fn append("), ("pub fn open(", "open_unhashed"), ("pub answer:", "internal_f")]
    {
        assert!(text.contains(there), "{there} is missing");
        assert!(!text.contains(not_there), "{not_there} is there");
    }
}
