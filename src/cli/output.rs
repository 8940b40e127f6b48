//! How commands print: colours, escaped text, one-line errors, JSON, and progress on a terminal.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::cli::status::Status;
use crate::cli::words;
use crate::error::{Error, ErrorKind};
use crate::escape;
pub(super) use crate::escape::shell_word;
use crate::kernel::Kernel;
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

/// Calls a function that may take long. If stderr is a terminal, it shows `what` after a second, and clears the line at the end.
pub(super) fn waiting<T>(what: &str, work: impl FnOnce() -> T) -> T {
    if !io::stderr().is_terminal() {
        return work();
    }
    let (done, end) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let is_over = |time| !matches!(end.recv_timeout(time), Err(mpsc::RecvTimeoutError::Timeout));
            if is_over(Duration::from_secs(1)) {
                return;
            }
            let text: String = escape::for_eyes(what).chars().take(60).collect();
            let mut seconds = 1;
            loop {
                let _ = write!(io::stderr(), "\r{text} ({seconds} s)");
                seconds += 1;
                if is_over(Duration::from_secs(1)) {
                    let _ = write!(io::stderr(), "\r\x1b[K");
                    return;
                }
            }
        });
        let result = work();
        drop(done);
        result
    })
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

/// The progress of many items, if stderr is a terminal: how many are done, of how many, and the remaining time, if the total is
/// known. The line is cleared at the end.
pub(super) struct Progress {
    what: &'static str,
    all: Option<usize>,
    is_shown: bool,
    state: std::sync::Mutex<ProgressState>,
    begun: std::time::Instant,
}

#[derive(Default)]
struct ProgressState {
    done: usize,
    doing: String,
    /// When the line is written next, which limits how often it changes.
    next: Duration,
}

impl Progress {
    /// A progress of `all` items, none of which is done.
    pub(super) fn new(what: &'static str, all: usize) -> Progress {
        Progress::of(what, || Some(all))
    }

    /// A progress whose total takes time to estimate, or is unknown: `all` is called only if the progress is shown.
    pub(super) fn of(what: &'static str, all: impl FnOnce() -> Option<usize>) -> Progress {
        let is_shown = io::stderr().is_terminal();
        let all = if is_shown { all() } else { None };
        let (state, begun) = (std::sync::Mutex::default(), std::time::Instant::now());
        Progress { what, all, is_shown, state, begun }
    }

    /// Shows the current item.
    pub(super) fn doing(&self, what: &str) {
        self.change(|state| state.doing = escape::for_eyes(what).chars().take(40).collect());
    }

    /// One more item is done.
    pub(super) fn step(&self) {
        self.change(|state| state.done += 1);
    }

    fn change(&self, change: impl FnOnce(&mut ProgressState)) {
        let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        change(&mut state);
        let passed = self.begun.elapsed();
        if !self.is_shown || passed < state.next {
            return;
        }
        state.next = passed + Duration::from_millis(100);
        let line = line(state.done, self.all, self.what, passed);
        let _ = write!(io::stderr(), "\r\x1b[K{line}  {}", state.doing);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// "3 of 4 modules, 1 s left"; or "3 modules (9 s)" if the total is unknown.
fn line(done: usize, all: Option<usize>, what: &str, passed: Duration) -> String {
    let Some(all) = all else { return format!("{} ({})", count(done, what), duration(passed.as_secs())) };
    let left = match done {
        0 => String::new(),
        done => {
            let left = passed.as_secs_f64() / done as f64 * (all.saturating_sub(done)) as f64;
            format!(", {} left", duration(left as u64))
        }
    };
    format!("{done} of {}{left}", count(all, what))
}

/// The number of items done, of an unknown total, if stderr is a terminal: shown after a second, and at most five times per
/// second. The line is cleared before other output, and at the end.
pub(super) struct Counter {
    what: &'static str,
    is_wanted: bool,
    is_there: bool,
    begun: std::time::Instant,
    next: Duration,
}

impl Counter {
    /// A counter at zero. `is_wanted` is false if the output itself shows the progress.
    pub(super) fn new(what: &'static str, is_wanted: bool) -> Counter {
        let is_wanted = is_wanted && io::stderr().is_terminal();
        Counter { what, is_wanted, is_there: false, begun: std::time::Instant::now(), next: Duration::from_secs(1) }
    }

    /// Sets the number of items done.
    pub(super) fn at(&mut self, done: usize) {
        let passed = self.begun.elapsed();
        if self.is_wanted && passed >= self.next {
            let _ = write!(io::stderr(), "\r\x1b[K{} ({})", count(done, self.what), duration(passed.as_secs()));
            self.is_there = true;
            self.next = passed + Duration::from_millis(200);
        }
    }

    /// Clears the line.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.is_there) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.clear();
    }
}

/// "45 s", "3 min 20 s".
fn duration(seconds: u64) -> String {
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_progress_shows_the_remaining_time_if_the_total_is_known() {
        let passed = Duration::from_secs(3);
        assert_eq!(line(3, Some(4), "module", passed), "3 of 4 modules, 1 s left");
        assert_eq!(line(0, Some(4), "module", passed), "0 of 4 modules");
        assert_eq!(line(3000, None, "module", Duration::from_secs(63)), "3,000 modules (1 min 3 s)");
    }
}
