// E0308
// A confirmed change is written by a writer, not by a vault.

use kmodlab::{Confirmed, Reviewed, Vault};

pub fn apply(confirmed: Confirmed<Reviewed<'_>>, mut vault: Vault) {
    let _ = confirmed.apply(&mut vault);
}

fn main() {}
