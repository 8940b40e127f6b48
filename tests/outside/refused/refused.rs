// E0599
// A refused proposal can't be applied.

use kmodlab::{Refused, Writer};

pub fn apply(refused: Refused<'_>, writer: &mut Writer<'_>) {
    let _ = refused.apply(writer);
}

fn main() {}
