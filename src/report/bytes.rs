//! A hexadecimal view of the bytes before and after a change: offset, sixteen bytes, the same bytes as text.

use std::fmt::Write as _;

use crate::lab::record::RecordedEdit;

/// The most rows that are shown of a change.
const ROWS: usize = 16;

/// The bytes per row.
const WIDTH: usize = 16;

/// A text in pieces, each changed or not.
pub(super) type Runs = Vec<(String, bool)>;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HexRow {
    /// The offset of its first byte in the file.
    pub(super) offset: u64,
    /// The bytes in hexadecimal, in runs of changed and unchanged ones.
    pub(super) hex: Runs,
    /// The number of empty columns after the hexadecimal part.
    pub(super) padding: usize,
    /// The same bytes as text.
    pub(super) text: Runs,
}

/// The rows of one side, and the number of bytes that are not shown. A byte is changed if the other side has a
/// different one at its position.
pub(super) fn rows(offset: u64, side: &[u8], other: &[u8], whole: u64) -> (Vec<HexRow>, u64) {
    let shown = side.iter().take(ROWS * WIDTH);
    let left = whole.saturating_sub(shown.len() as u64);
    let bytes: Vec<(u8, bool)> =
        shown.enumerate().map(|(place, byte)| (*byte, other.get(place) != Some(byte))).collect();
    let rows = bytes.chunks(WIDTH).zip(0_u64..).map(|(chunk, number)| row(offset.saturating_add(16 * number), chunk));
    (rows.collect(), left)
}

/// Both sides of a change.
pub(super) fn sides(spot: &RecordedEdit) -> [(&'static str, Vec<HexRow>, u64); 2] {
    let (old, old_left) = rows(spot.offset, &spot.old, &spot.new, spot.old_len);
    let (new, new_left) = rows(spot.offset, &spot.new, &spot.old, spot.new_len);
    [("before", old, old_left), ("after", new, new_left)]
}

fn row(offset: u64, chunk: &[(u8, bool)]) -> HexRow {
    let (mut hex, mut text) = (Runs::new(), Runs::new());
    for (place, (byte, is_changed)) in chunk.iter().enumerate() {
        let gap = if place == WIDTH / 2 { "  " } else { " " };
        let mut shown = String::new();
        let _ = write!(shown, "{gap}{byte:02x}");
        let letter = if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' };
        for (runs, piece) in [(&mut hex, shown), (&mut text, letter.to_string())] {
            match runs.last_mut() {
                Some((run, was)) if was == is_changed => run.push_str(&piece),
                _ => runs.push((piece, *is_changed)),
            }
        }
    }
    let used: usize = hex.iter().map(|(run, _)| run.len()).sum();
    HexRow { offset, hex, padding: (3 * WIDTH + 1).saturating_sub(used), text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_and_unchanged_bytes_form_runs() {
        let spot =
            RecordedEdit { offset: 0x40, old: b"6.1.0\0".to_vec(), new: b"6.2.0\0".to_vec(), old_len: 6, new_len: 6 };
        let [(_, old, left), (_, new, _)] = sides(&spot);
        let run = |text: &str, is_changed| (text.to_owned(), is_changed);
        assert_eq!(old[0].hex, [run(" 36 2e", false), run(" 31", true), run(" 2e 30 00", false)]);
        assert_eq!(new[0].text, [run("6.", false), run("2", true), run(".0.", false)]);
        assert_eq!((old[0].offset, old[0].padding, left), (0x40, 31, 0));
    }

    #[test]
    fn a_long_change_is_truncated_and_the_rest_counted() {
        let (shown, left) = rows(u64::MAX, &[0; 1000], &[], 5000);
        assert_eq!((shown.len(), left), (16, 5000 - 256));
    }
}
