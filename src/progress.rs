//! The progress of long work, on the terminal that stderr is: what is waited for, and how many of many items are done.
//! Nothing is written if stderr is no terminal.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc;
use std::time::Duration;

use crate::escape;
use crate::text::count;

/// The progress of many items, if stderr is a terminal: how many are done, of how many, and the remaining time, if the total is
/// known. The line is cleared at the end.
pub(crate) struct Progress {
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
    pub(crate) fn new(what: &'static str, all: usize) -> Progress {
        Progress::of(what, || Some(all))
    }

    /// A progress whose total takes time to estimate, or is unknown: `all` is called only if the progress is shown.
    pub(crate) fn of(what: &'static str, all: impl FnOnce() -> Option<usize>) -> Progress {
        let is_shown = io::stderr().is_terminal();
        let all = if is_shown { all() } else { None };
        let (state, begun) = (std::sync::Mutex::default(), std::time::Instant::now());
        Progress { what, all, is_shown, state, begun }
    }

    /// Shows the current item.
    pub(crate) fn doing(&self, what: &str) {
        self.change(|state| state.doing = escape::for_eyes(what).chars().take(40).collect());
    }

    /// One more item is done.
    pub(crate) fn step(&self) {
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
pub(crate) struct Counter {
    what: &'static str,
    is_wanted: bool,
    is_there: bool,
    begun: std::time::Instant,
    next: Duration,
}

impl Counter {
    /// A counter at zero. `is_wanted` is false if the output itself shows the progress.
    pub(crate) fn new(what: &'static str, is_wanted: bool) -> Counter {
        let is_wanted = is_wanted && io::stderr().is_terminal();
        Counter { what, is_wanted, is_there: false, begun: std::time::Instant::now(), next: Duration::from_secs(1) }
    }

    /// Sets the number of items done.
    pub(crate) fn at(&mut self, done: usize) {
        let passed = self.begun.elapsed();
        if self.is_wanted && passed >= self.next {
            let _ = write!(io::stderr(), "\r\x1b[K{} ({})", count(done, self.what), duration(passed.as_secs()));
            self.is_there = true;
            self.next = passed + Duration::from_millis(200);
        }
    }

    /// Clears the line.
    pub(crate) fn clear(&mut self) {
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

/// Calls a function that may take long. If stderr is a terminal, it shows `what` after a second, and clears the line at the end.
pub(crate) fn waiting<T>(what: &str, work: impl FnOnce() -> T) -> T {
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
