//! PEM files (RFC 7468): blocks of Base64 between a BEGIN and an END line, decoded by `rustls-pki-types`.

use rustls_pki_types::pem::{self, SectionKind, SliceIter};

use crate::error::{Error, ErrorKind, Result};

/// The contents of the first block with this label; `None` if there is no such block. Text around blocks, and blocks with
/// other labels, are skipped.
///
/// # Errors
///
/// [`ErrorKind::Unsupported`] for a block with headers, which OpenSSL's own encryption has (RFC 1421, section 4.6);
/// [`ErrorKind::Truncated`] without an END line; [`ErrorKind::Malformed`] if the lines are not Base64.
pub(super) fn block(file: &[u8], label: &str) -> Result<Option<Vec<u8>>> {
    let Ok(wanted) = SectionKind::try_from(label.as_bytes()) else { return Ok(None) };
    if !names(file, label) {
        return Ok(None);
    }
    if has_headers(file, label) {
        let what = format!("its block {label} is encrypted, and no password is asked for here");
        return Err(Error::new(ErrorKind::Unsupported, what));
    }
    let mut is_cut = false;
    for section in SliceIter::<(SectionKind, Vec<u8>)>::new(file) {
        match section {
            Ok((kind, contents)) if kind == wanted => return Ok(Some(contents)),
            Err(pem::Error::MissingSectionEnd { end_marker }) => is_cut |= end_marker == label.as_bytes(),
            // Another block, or an error in one: this one is looked for further on.
            Ok(_) | Err(_) => {}
        }
    }
    Err(match is_cut {
        true => Error::new(ErrorKind::Truncated, format!("its block {label} has no END line")).hint("is it cut short?"),
        false => Error::new(ErrorKind::Malformed, format!("the contents of its block {label} are not Base64")),
    })
}

/// Does a block with this label begin in the file?
pub(super) fn names(file: &[u8], label: &str) -> bool {
    let begin = format!("-----BEGIN {label}-----");
    lines(file).any(|line| line == begin.as_bytes())
}

/// Has the first block with this label a header line (`Proc-Type: 4,ENCRYPTED`)?
fn has_headers(file: &[u8], label: &str) -> bool {
    let begin = format!("-----BEGIN {label}-----");
    let block = lines(file).skip_while(|line| *line != begin.as_bytes()).skip(1);
    block.take_while(|line| !line.starts_with(b"-----")).any(|line| line.contains(&b':'))
}

fn lines(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    file.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_found_among_others() {
        let file = b"words\r\n-----BEGIN CERTIFICATE-----\r\nZm9v\r\nYg==\r\n-----END CERTIFICATE-----\r\n\
                     -----BEGIN NOTES-----\nZg==\n-----END NOTES-----\n-----BEGIN PRIVATE KEY-----\nZg==\n";
        assert_eq!(block(file, "CERTIFICATE").unwrap().as_deref(), Some(&b"foob"[..]));
        assert_eq!(block(file, "PRIVATE KEY").unwrap_err().kind(), ErrorKind::Truncated);
        assert_eq!(block(file, "RSA PRIVATE KEY").unwrap(), None);
        assert!(names(file, "PRIVATE KEY") && !names(file, "RSA PRIVATE KEY"));
    }

    #[test]
    fn a_damaged_block_does_not_hide_a_whole_one() {
        let file = b"-----BEGIN PRIVATE KEY-----\nZ!==\n-----END PRIVATE KEY-----\n\
                     -----BEGIN CERTIFICATE-----\nZg==\n-----END CERTIFICATE-----\n";
        assert_eq!(block(file, "CERTIFICATE").unwrap().as_deref(), Some(&b"f"[..]));
        assert_eq!(block(file, "PRIVATE KEY").unwrap_err().kind(), ErrorKind::Malformed);
    }

    #[test]
    fn an_encrypted_block_is_unsupported() {
        let file = b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nZg==\n-----END RSA PRIVATE KEY-----\n";
        assert_eq!(block(file, "RSA PRIVATE KEY").unwrap_err().kind(), ErrorKind::Unsupported);
    }
}
