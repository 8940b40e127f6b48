// E0277
// A confirmed change can't be copied.

use kmodlab::{Confirmed, Reviewed};

fn copy<C: Clone>(_: C) {}

pub fn apply_twice(confirmed: Confirmed<Reviewed<'_>>) {
    copy(confirmed);
}

fn main() {}
