// E0382
// A confirmed change is applied once.

use kmodlab::{Confirmed, Reviewed, Writer};

pub fn apply(confirmed: Confirmed<Reviewed<'_>>, writer: &mut Writer<'_>) {
    let _ = confirmed.apply(writer);
    let _ = confirmed.apply(writer);
}

fn main() {}
