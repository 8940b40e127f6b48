//! A hex view: an offset, sixteen bytes in hexadecimal, and the same bytes as text.

use std::fmt::Write as _;

use crate::cli::output::{Failure, Paint, Session, count};

/// Prints the bytes at an offset in two versions, at most `most` rows of each, indented.
pub(super) fn print_sides(
    session: &mut Session<'_>,
    indent: &str,
    offset: u64,
    (old, new): (&[u8], &[u8]),
    most: usize,
) -> Result<(), Failure> {
    for (sign, paint, side) in [('-', Paint::Bad, old), ('+', Paint::Good, new)] {
        let (rows, left) = rows(offset, side, most);
        for row in rows {
            let row = session.paint(paint, format_args!("{sign} {row}"));
            writeln!(session.out, "{indent}{row}")?;
        }
        if left > 0 {
            writeln!(session.out, "{indent}{sign} and {} more", count(left, "byte"))?;
        }
    }
    Ok(())
}

/// One row of a hex view.
fn row(offset: u64, bytes: &[u8]) -> String {
    let mut hex = String::new();
    let mut text = String::new();
    for (place, byte) in bytes.iter().enumerate() {
        let gap = if place == 8 { "  " } else { " " };
        let _ = write!(hex, "{gap}{byte:02x}");
        text.push(if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' });
    }
    format!("{offset:08x} {hex:<50} |{text}|")
}

/// The rows of a span, at most `most` of them; and how many bytes are omitted.
fn rows(offset: u64, bytes: &[u8], most: usize) -> (Vec<String>, usize) {
    let shown = bytes.len().min(most.saturating_mul(16));
    let rows = bytes.get(..shown).unwrap_or_default().chunks(16).enumerate();
    (rows.map(|(n, chunk)| row(offset + 16 * n as u64, chunk)).collect(), bytes.len() - shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_reads_like_hexdump() {
        let (rows, left) = rows(0x40, b"vermagic=6.1.0\0\0SMP", 1);
        assert_eq!(rows, ["00000040  76 65 72 6d 61 67 69 63  3d 36 2e 31 2e 30 00 00  |vermagic=6.1.0..|"]);
        assert_eq!(left, 3);
    }
}
