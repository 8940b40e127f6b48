// E0599
// A reviewed proposal without a confirmation can't be applied.

use kmodlab::{Reviewed, Writer};

pub fn apply(reviewed: Reviewed<'_>, writer: &mut Writer<'_>) {
    let _ = reviewed.apply(writer);
}

fn main() {}
