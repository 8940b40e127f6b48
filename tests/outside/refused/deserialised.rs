// E0277
// A confirmed change can't be read from a file.

use kmodlab::{Confirmed, Restore};

pub fn read(text: &str) -> Confirmed<Restore> {
    serde_json::from_str(text).unwrap()
}

fn main() {}
