// E0599
// A proposal that no guard has reviewed can't be confirmed.

use kmodlab::{Confirmable, Proposal};

pub fn confirm(proposal: Proposal<'_>) {
    let _ = proposal.confirm_name("dummy");
}

fn main() {}
