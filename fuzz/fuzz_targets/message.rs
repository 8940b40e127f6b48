//! What a terminal shows of an error.

use kmodlab::error::Error;

/// It is one line, and no character of it is obeyed.
pub(crate) fn is_one_line(error: &Error) {
    let text = error.to_string();
    assert!(!text.is_empty() && !text.contains(char::is_control), "{text:?}");
}
