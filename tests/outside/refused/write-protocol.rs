// E0603
// The write protocol below the confirmed changes is private.

use kmodlab::vault::group::Wanted;

pub fn write(_: Wanted) {}

fn main() {}
