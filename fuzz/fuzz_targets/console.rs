//! Arbitrary bytes as the console output of a kernel. What was read of a part is never better than what is read of the whole.

use kmodlab::lab::console::{self, ConsoleReading, LONGEST_LINE, MOST_CALLS, MOST_WARNINGS};
use kmodlab::lab::record::CrashKind;

pub(crate) fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let whole = console::read(&text);
    is_bounded(&whole);
    assert_eq!(console::read(&text), whole);
    if !text.contains('\r') {
        assert_eq!(console::read(&text.replace('\n', "\r\n")), whole, "as a terminal's driver sends it");
    }
    // The first byte decides where the text is cut.
    let first = usize::from(bytes.first().copied().unwrap_or_default());
    let at = text.floor_char_boundary(text.len() * first / 256);
    let rest = text[at..].split('\n').next().unwrap_or_default();
    // Unless a part of the line is removed: another program's text, or a terminal sequence.
    if !rest.contains(['[', '*', '\r', '\u{1b}']) {
        never_looks_worse(&text[..at], &whole);
    }
    let line_end = text[..at].rfind('\n').map_or(0, |end| end + 1);
    is_kept(&console::read(&text[..line_end]), &whole);
}

fn is_bounded(reading: &ConsoleReading) {
    assert!(reading.warnings.len() <= MOST_WARNINGS && reading.warnings.iter().all(|line| line.len() <= LONGEST_LINE));
    let Some(crash) = &reading.crash else { return };
    assert!(!crash.line.is_empty() && crash.line.len() <= LONGEST_LINE && crash.trace.len() <= MOST_CALLS);
    let names = crash.trace.iter().chain(&crash.place);
    assert!(names.into_iter().all(|name| !name.is_empty() && name.len() <= LONGEST_LINE));
}

/// 0 for none, 1 for a standstill, 2 for a fault.
fn severity(reading: &ConsoleReading) -> u8 {
    reading.crash.as_ref().map_or(0, |crash| if crash.kind < CrashKind::Bug { 1 } else { 2 })
}

/// A log that ends anywhere.
fn never_looks_worse(part: &str, whole: &ConsoleReading) {
    let part = console::read(part);
    is_bounded(&part);
    assert!(severity(&part) <= severity(whole), "{part:?} of {whole:?}");
}

/// Whole lines: whatever follows, the warnings stay, and so does a fault; a standstill only gives way to a fault.
fn is_kept(part: &ConsoleReading, whole: &ConsoleReading) {
    assert!(whole.warnings.starts_with(&part.warnings), "{part:?} of {whole:?}");
    let (Some(part), Some(whole)) = (&part.crash, &whole.crash) else { return assert!(part.crash.is_none()) };
    if (part.kind < CrashKind::Bug) == (whole.kind < CrashKind::Bug) {
        assert_eq!((part.kind, &part.line, part.phase), (whole.kind, &whole.line, whole.phase));
        assert!(whole.trace.starts_with(&part.trace));
        assert!(part.place.is_none() || part.place == whole.place);
    }
}
