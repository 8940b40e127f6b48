// E0599
// A caller can't make up a machine on which the guards do not refuse.

use kmodlab::Machine;

pub fn lab_machine() -> Machine {
    Machine::made_up("/", "6.1.0", true)
}

fn main() {}
