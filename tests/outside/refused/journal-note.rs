// E0624
// A writer writes nothing by itself, not even a line of the journal.

use kmodlab::Writer;

pub fn write(writer: &mut Writer<'_>) {
    let _ = writer.note(todo!(), "a note");
}

fn main() {}
