// E0603
// The write protocol below the confirmed changes is private.

use kmodlab::vault::group::PlannedWrite;

pub fn write(_: PlannedWrite) {}

fn main() {}
