//! Work that may never return, in a thread with a time limit.
//!
//! The thread is created at the guest's boot, so that clones need not create one: in a clone the first execution of
//! any code costs its translation.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// The time until the first check whether the thread still exists.
const FIRST_LOOK: Duration = Duration::from_millis(20);

/// How the work ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WorkEnd<T> {
    /// It returned this.
    With(T),
    /// The kernel killed its thread: an oops in a system call.
    Killed,
    /// It is still running.
    Not,
}

type GuardedWork = Box<dyn FnOnce() + Send>;

/// A thread for work that may never return.
pub(super) struct GuardedWorker {
    work: SyncSender<GuardedWork>,
    /// The thread's folder in /proc, which disappears with the thread.
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

    /// Runs the work. `beat` is called once per second meanwhile. After any result except [`WorkEnd::With`] the worker
    /// is lost, and the trial is over.
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
                // The work panicked, which is an error of this program.
                Err(RecvTimeoutError::Disconnected) => return Ok(WorkEnd::Killed),
                Err(RecvTimeoutError::Timeout) => {}
            }
            // A thread killed by the kernel drops nothing; only the missing folder shows that it is gone.
            if !std::path::Path::new(&self.place).exists() {
                // It may have sent its result just before.
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
    fn results_are_returned_and_endless_work_is_abandoned() {
        let worker = GuardedWorker::start().unwrap();
        assert_eq!(worker.run(SOON, || 7, || Ok(())), Ok(WorkEnd::With(7)));
        assert_eq!(worker.run(SOON, || 8, || Ok(())), Ok(WorkEnd::With(8)));
        assert_eq!(worker.run(SOON, || std::thread::sleep(10 * SOON), || Ok(())), Ok(WorkEnd::Not));
    }

    #[test]
    fn heartbeats_are_sent_during_the_work() {
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
