//! How commands print: colours, escaped text, one-line errors, JSON.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::cli::status::Status;
use crate::cli::words;
use crate::error::{Error, ErrorKind};
use crate::escape;
pub(super) use crate::escape::shell_word;
use crate::kernel::Kernel;
pub(super) use crate::progress::{Counter, Progress, waiting};
pub(super) use crate::text::{count, grouped, path, vermagic};
use crate::text::{hex_rows, json_line};
use crate::vault::system_root::SystemRoot;

/// The streams of a command, and the settings of all commands.
pub(super) struct Session<'s> {
    /// Data.
    pub(super) out: &'s mut dyn Write,
    /// Errors, remarks and progress.
    pub(super) err: &'s mut dyn Write,
    /// Print in colour?
    pub(super) color: bool,
    /// Is stdout a terminal, so that a listing in another tool's form must be escaped?
    pub(super) escapes: bool,
    /// Can a person be asked for a confirmation?
    pub(super) may_ask: bool,
    /// `--state-dir`
    pub(super) state_dir: Option<PathBuf>,
    /// `--root`
    pub(super) root: Option<SystemRoot>,
    /// The arguments of the program, for the journal.
    pub(super) arguments: Vec<OsString>,
    /// `--max-size`
    pub(super) max_size: u64,
}

#[cfg(test)]
impl<'s> Session<'s> {
    /// A session without a terminal, for tests.
    pub(super) fn unattended(out: &'s mut Vec<u8>, err: &'s mut Vec<u8>) -> Session<'s> {
        let (color, escapes, may_ask) = (false, false, false);
        Session {
            out,
            err,
            color,
            escapes,
            may_ask,
            state_dir: None,
            root: None,
            arguments: Vec::new(),
            max_size: 1 << 20,
        }
    }
}

/// Why a command stopped.
#[derive(Debug)]
pub(super) enum Failure {
    /// The command's own error.
    Error(Error),
    /// Stdout cannot be written.
    Output(io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Error(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Output(error)
    }
}

/// The colours, each with one meaning in all commands.
#[derive(Clone, Copy)]
pub(super) enum Paint {
    /// A heading or a name.
    Strong,
    /// Less important.
    Faint,
    /// Good: pass, equal, new bytes.
    Good,
    /// Bad: refused, old bytes.
    Bad,
    /// Deserves attention.
    Odd,
}

impl Session<'_> {
    /// Text in colour, if the session has colours. The caller escapes text that comes from a file.
    pub(super) fn paint(&self, paint: Paint, text: impl Display) -> String {
        if !self.color {
            return text.to_string();
        }
        let style = match paint {
            Paint::Strong => Style::new().bold(),
            Paint::Faint => Style::new().dimmed(),
            Paint::Good => AnsiColor::Green.on_default(),
            Paint::Bad => AnsiColor::Red.on_default(),
            Paint::Odd => AnsiColor::Yellow.on_default(),
        };
        format!("{style}{text}{style:#}")
    }

    /// Prints an error in one line on stderr, after flushing stdout.
    pub(super) fn complain(&mut self, error: &Error) {
        let _ = self.out.flush();
        // One call, because stderr has no buffer.
        let _ = self.err.write_all(format!("kmodlab: {}\n", words::error(error)).as_bytes());
    }

    /// Prints a remark on stderr, after flushing stdout.
    pub(super) fn remark(&mut self, text: impl Display) {
        let _ = self.out.flush();
        let _ = writeln!(self.err, "kmodlab: {text}");
    }

    /// Prints one JSON object in one line.
    pub(super) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        Ok(write_json(value, &mut self.out)?)
    }
}

/// Writes one JSON object in one line. All JSON of the program is written here.
pub(super) fn write_json(value: &impl Serialize, out: &mut impl Write) -> io::Result<()> {
    out.write_all(json_line(value)?.as_bytes())
}

/// Prints the bytes at an offset in two versions, at most `most` rows of each, indented.
pub(super) fn print_sides(
    session: &mut Session<'_>,
    indent: &str,
    offset: u64,
    (old, new): (&[u8], &[u8]),
    most: usize,
) -> Result<(), Failure> {
    for (sign, paint, side) in [('-', Paint::Bad, old), ('+', Paint::Good, new)] {
        let (rows, left) = hex_rows(offset, side, most);
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

/// Says what is known of the modules that were not reached when a group ended with an error.
pub(super) fn remark_left(left: usize, done: &str, error: &Error, session: &mut Session<'_>) {
    let left = count(left, "module");
    match error.kind() {
        ErrorKind::NeedsRecovery => session.remark(format_args!("{left} may be {done} or not, or were not reached")),
        _ => session.remark(format_args!("{left} not {done}, and as before")),
    }
}

/// The statuses of the files of a batch.
#[derive(Default)]
pub(super) struct Statuses {
    last: Option<Status>,
    count: usize,
    is_any_other: bool,
}

impl Statuses {
    /// Adds the status of one file.
    pub(super) fn add(&mut self, status: Status) {
        self.last = Some(status);
        self.count += 1;
        self.is_any_other |= status != Status::Done;
    }

    /// The exit status of the batch: that of its only file, or [`Status::Partial`] if any of several is not [`Status::Done`].
    pub(super) fn of_all(&self) -> Status {
        match (self.count, self.last) {
            (1, Some(only)) => only,
            _ if self.is_any_other => Status::Partial,
            _ => Status::Done,
        }
    }
}

/// A kernel's vermagic, escaped, or why it is not known.
pub(super) fn vermagic_of(kernel: &Kernel) -> String {
    match &kernel.vermagic {
        Some(known) => vermagic(known.value.as_bytes()),
        None => format!("version magic not known: {}", escape::for_eyes(&kernel.why_no_vermagic().to_string())),
    }
}
