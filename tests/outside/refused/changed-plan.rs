// E0596
// A plan can't be changed after its review.

use kmodlab::Reviewed;

pub fn change(reviewed: Reviewed<'_>) {
    reviewed.review().proposal().plan().edits.clear();
}

fn main() {}
