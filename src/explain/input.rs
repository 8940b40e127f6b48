//! Reads the lines to be explained from files, stdin, arguments and the running kernel's log, and keeps none of them.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::explain::explanation::Explanation;
use crate::explain::report::ExplainReport;
use crate::explain::{prefix, running};
use crate::module::file;

/// The most input of an explanation, in bytes: the size of the largest log that a kernel keeps by its configuration
/// (CONFIG_LOG_BUF_SHIFT is at most 25, init/Kconfig).
const MOST: u64 = 32 << 20;

/// The most bytes of a line that are kept while it is read: what is read of it, and a character that is cut there.
const LONGEST: usize = prefix::LONGEST + char::MAX_LEN_UTF8;

/// Explains the lines of arguments. Each is the name of a file of lines, `-` for stdin, or a line.
///
/// # Errors
///
/// [`ErrorKind::Io`] if a file or stdin cannot be read; [`ErrorKind::Usage`] for anything with a name that is not a regular
/// file or a pipe without a name, as a FIFO, whose writer may never come; [`ErrorKind::TooLarge`] if all of it exceeds 32 MiB.
pub fn explain_arguments(arguments: &[OsString]) -> Result<ExplainReport> {
    let mut input = Input { explanation: Explanation::default(), left: MOST };
    for argument in arguments {
        input.argument(argument)?;
    }
    Ok(input.explanation.report())
}

/// Explains the log of the running kernel.
///
/// # Errors
///
/// Those of opening /dev/kmsg: most systems allow it only to root. [`ErrorKind::TooLarge`] if it exceeds 32 MiB.
pub fn explain_running() -> Result<ExplainReport> {
    let mut input = Input { explanation: Explanation::default(), left: MOST };
    running::log(&mut |line| {
        input.spend(line.len())?;
        input.explanation.add(line);
        Ok(())
    })?;
    Ok(input.explanation.report())
}

struct Input {
    explanation: Explanation,
    /// How many bytes may still be read.
    left: u64,
}

impl Input {
    fn argument(&mut self, argument: &OsString) -> Result<()> {
        if argument == "-" {
            return self.lines(io::stdin().lock()).map_err(|e| e.on("stdin"));
        }
        let path = Path::new(argument);
        match file::open_text(path) {
            Ok(file) => {
                let size = file.metadata().map_or(0, |meta| meta.len());
                let read = || if size > self.left { Err(too_large()) } else { self.lines(BufReader::new(file)) };
                read().map_err(|e| e.on(path))
            }
            Err(error) if path.exists() => Err(match error.kind() {
                ErrorKind::Usage => error.hint("pass its lines as standard input"),
                _ => error,
            }),
            // Not a file, so it is a line itself, or several.
            Err(_) if argument.is_empty() => {
                self.explanation.add("");
                Ok(())
            }
            Err(_) => self.lines(argument.as_encoded_bytes()),
        }
    }

    /// Explains the lines of a text. The end of a long line is dropped while it is read.
    fn lines(&mut self, mut text: impl BufRead) -> Result<()> {
        let mut line = Vec::new();
        loop {
            let buffer = match text.fill_buf() {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                buffer => buffer.map_err(|e| Error::io("reading", e))?,
            };
            let end = memchr::memchr(b'\n', buffer);
            let part = buffer.get(..end.unwrap_or(buffer.len())).unwrap_or_default();
            line.extend(part.iter().take(LONGEST.saturating_sub(line.len())));
            let (read, is_over) = (part.len() + usize::from(end.is_some()), buffer.is_empty());
            text.consume(read);
            self.spend(read)?;
            if end.is_some() || is_over && !line.is_empty() {
                self.explanation.add(&String::from_utf8_lossy(&line));
                line.clear();
            }
            if is_over {
                return Ok(());
            }
        }
    }

    /// Counts bytes that were read.
    fn spend(&mut self, bytes: usize) -> Result<()> {
        self.left = self.left.checked_sub(bytes as u64).ok_or_else(too_large)?;
        Ok(())
    }
}

fn too_large() -> Error {
    let what = format!("more than {} MiB of lines", MOST >> 20);
    Error::new(ErrorKind::TooLarge, what)
        .hint("explain a part: grep for the module's name, or take the last lines with tail")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(text: &[u8]) -> ExplainReport {
        let mut input = Input { explanation: Explanation::default(), left: MOST };
        // Small reads cut lines and characters everywhere.
        input.lines(BufReader::with_capacity(7, text)).unwrap();
        input.explanation.report()
    }

    #[test]
    fn a_line_is_the_same_however_it_is_read() {
        let long = format!("{}é and its end", "x".repeat(prefix::LONGEST - 1));
        let text = format!("foo: Unknown symbol bar (err -2)\r\n\n{long}\nENOEXEC");
        let report = explained(text.as_bytes());
        assert_eq!(report.lines, 3);
        assert_eq!(
            serde_json::to_value(&report).unwrap(),
            serde_json::to_value(crate::explain::explain(text.lines())).unwrap()
        );
        assert_eq!((report.unknown[0].number, report.unknown[0].text.len()), (3, prefix::LONGEST - 1));
    }

    #[test]
    fn too_much_is_an_error_and_not_a_part() {
        let mut input = Input { explanation: Explanation::default(), left: 10 };
        input.lines(b"12345678\n".as_slice()).unwrap();
        let error = input.lines(b"22".as_slice()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
    }
}
