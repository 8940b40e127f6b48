// E0599
// A refused proposal can't be confirmed.

use kmodlab::{Confirmable, Refused};

pub fn confirm(refused: Refused<'_>) {
    let _ = refused.confirm_name("dummy");
}

fn main() {}
