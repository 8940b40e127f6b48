//! Work that may never come back: in a thread of its own, with a time limit.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended<T> {
    /// With this.
    With(T),
    /// The kernel ended its thread: an oops in a system call.
    Killed,
    /// It goes on still.
    Not,
}

/// Runs it; `beat` is called once a second meanwhile.
pub(super) fn run<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
    mut beat: impl FnMut() -> Result<(), String>,
) -> Result<Ended<T>, String> {
    let (begun, thread) = sync_channel(1);
    let (done, result) = sync_channel(1);
    let spawned = std::thread::Builder::new().spawn(move || {
        let _ = begun.send(rustix::thread::gettid());
        let _ = done.send(work());
    });
    spawned.map_err(|e| format!("starting a thread: {e}"))?;
    let thread = thread.recv().map_err(|_| "a thread ended at once".to_owned())?;
    let place = format!("/proc/self/task/{}", thread.as_raw_nonzero());
    let start = Instant::now();
    let (mut wait, mut next_beat) = (Duration::from_millis(1), Duration::from_secs(1));
    loop {
        match result.recv_timeout(wait) {
            Ok(value) => return Ok(Ended::With(value)),
            // It panicked; that is an error of this program.
            Err(RecvTimeoutError::Disconnected) => return Ok(Ended::Killed),
            Err(RecvTimeoutError::Timeout) => {}
        }
        // A thread that the kernel ended drops nothing: that it is gone shows only here.
        if !std::path::Path::new(&place).exists() {
            // It may have answered in its last moment.
            return Ok(result.try_recv().map_or(Ended::Killed, Ended::With));
        }
        if start.elapsed() > limit {
            return Ok(Ended::Not);
        }
        if start.elapsed() > next_beat {
            next_beat += Duration::from_secs(1);
            beat()?;
        }
        wait = (wait * 2).min(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(30);

    #[test]
    fn what_comes_back_is_given_and_what_does_not_is_left() {
        assert_eq!(run(SOON, || 7, || Ok(())), Ok(Ended::With(7)));
        assert_eq!(run(SOON, || std::thread::sleep(10 * SOON), || Ok(())), Ok(Ended::Not));
    }

    #[test]
    fn meanwhile_the_heart_beats() {
        let mut beats = 0;
        let work = || std::thread::sleep(Duration::from_millis(1300));
        let ended = run(Duration::from_secs(5), work, || {
            beats += 1;
            Ok(())
        });
        assert_eq!((ended, beats), (Ok(Ended::With(())), 1));
    }
}
