//! Work that may never come back: done by a thread of its own, with a time limit.
//!
//! The thread waits from the guest's boot on, so that clones need not make one: in a clone each first step into code costs
//! its translation.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// How long it is waited before it is looked whether the thread is still there.
const FIRST_LOOK: Duration = Duration::from_millis(20);

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WorkEnd<T> {
    /// With this.
    With(T),
    /// The kernel ended its thread: an oops in a system call.
    Killed,
    /// It goes on still.
    Not,
}

type GuardedWork = Box<dyn FnOnce() + Send>;

/// The thread that does what may never come back.
pub(super) struct GuardedWorker {
    work: SyncSender<GuardedWork>,
    /// Its folder in /proc, which is gone when the thread is.
    place: String,
}

impl GuardedWorker {
    pub(super) fn start() -> Result<GuardedWorker, String> {
        let (begun, thread) = sync_channel(1);
        let (work, given): (SyncSender<GuardedWork>, Receiver<GuardedWork>) = sync_channel(1);
        let spawned = std::thread::Builder::new().spawn(move || {
            let _ = begun.send(rustix::thread::gettid());
            while let Ok(work) = given.recv() {
                work();
            }
        });
        spawned.map_err(|e| format!("starting a thread: {e}"))?;
        let thread = thread.recv().map_err(|_| "a thread ended at once".to_owned())?;
        Ok(GuardedWorker { work, place: format!("/proc/self/task/{}", thread.as_raw_nonzero()) })
    }

    /// Has it done; `beat` is called once a second meanwhile. After anything but [`WorkEnd::With`] there is no worker any
    /// more, and the trial is over.
    pub(super) fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
        mut beat: impl FnMut() -> Result<(), String>,
    ) -> Result<WorkEnd<T>, String> {
        let (done, result) = sync_channel(1);
        let work = move || {
            let _ = done.send(work());
        };
        if self.work.try_send(Box::new(work)).is_err() {
            return Ok(WorkEnd::Killed);
        }
        let start = Instant::now();
        let (mut wait, mut next_beat) = (FIRST_LOOK, Duration::from_secs(1));
        loop {
            match result.recv_timeout(wait) {
                Ok(value) => return Ok(WorkEnd::With(value)),
                // It panicked; that is an error of this program.
                Err(RecvTimeoutError::Disconnected) => return Ok(WorkEnd::Killed),
                Err(RecvTimeoutError::Timeout) => {}
            }
            // A thread that the kernel ended drops nothing: that it is gone shows only here.
            if !std::path::Path::new(&self.place).exists() {
                // It may have answered in its last moment.
                return Ok(result.try_recv().map_or(WorkEnd::Killed, WorkEnd::With));
            }
            if start.elapsed() > limit {
                return Ok(WorkEnd::Not);
            }
            if start.elapsed() > next_beat {
                next_beat += Duration::from_secs(1);
                beat()?;
            }
            wait = (wait * 2).min(Duration::from_millis(100));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(30);

    #[test]
    fn what_comes_back_is_given_and_what_does_not_is_left() {
        let worker = GuardedWorker::start().unwrap();
        assert_eq!(worker.run(SOON, || 7, || Ok(())), Ok(WorkEnd::With(7)));
        assert_eq!(worker.run(SOON, || 8, || Ok(())), Ok(WorkEnd::With(8)));
        assert_eq!(worker.run(SOON, || std::thread::sleep(10 * SOON), || Ok(())), Ok(WorkEnd::Not));
    }

    #[test]
    fn meanwhile_the_heart_beats() {
        let mut beats = 0;
        let worker = GuardedWorker::start().unwrap();
        let work = || std::thread::sleep(Duration::from_millis(1300));
        let ended = worker.run(Duration::from_secs(5), work, || {
            beats += 1;
            Ok(())
        });
        assert_eq!((ended, beats), (Ok(WorkEnd::With(())), 1));
    }
}
