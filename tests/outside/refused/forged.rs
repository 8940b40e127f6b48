// E0423
// A caller can't create a confirmed change by hand.

use kmodlab::{Confirmed, Reviewed};

pub fn forge(reviewed: Reviewed<'_>) -> Confirmed<Reviewed<'_>> {
    Confirmed(reviewed)
}

fn main() {}
