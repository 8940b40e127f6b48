//! Work on very many things on all cores, whose outcomes come in the things' order, and of which few wait at a time.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// How many outcomes may wait for an earlier one. A large module takes as long as hundreds of small ones.
const WAITING: u64 = 128;

/// How many outcomes are handed on in one go while things are quick: to wake a thread takes as long as to glance at a module.
const TOGETHER: usize = 16;

/// How often whoever waits for outcomes is woken at least, be it to show that time goes on.
const TICK: Duration = Duration::from_millis(100);

/// How far the work is.
struct Course<R> {
    /// How many things were taken from the source.
    begun: u64,
    /// How many outcomes were handed on.
    ended: u64,
    /// Outcomes that wait for earlier ones.
    waiting: BTreeMap<u64, R>,
    /// How many threads still work.
    threads: usize,
    /// Nobody wants more.
    is_stopped: bool,
}

struct Shared<R> {
    course: Mutex<Course<R>>,
    /// An outcome is there, or a thread has ended.
    ready: Condvar,
    /// There is room for more outcomes.
    room: Condvar,
}

impl<R> Shared<R> {
    fn course(&self) -> MutexGuard<'_, Course<R>> {
        self.course.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Waits until there is room for one more outcome. `None` if nobody wants it.
    fn wait_for_room(&self) -> Option<()> {
        let is_full = |course: &mut Course<R>| !course.is_stopped && course.begun - course.ended >= WAITING;
        let course = self.room.wait_while(self.course(), is_full).unwrap_or_else(|e| e.into_inner());
        (!course.is_stopped).then_some(())
    }

    /// The number of a thing that was taken.
    fn begin(&self) -> u64 {
        let mut course = self.course();
        course.begun += 1;
        course.begun - 1
    }

    fn end(&self, number: u64, outcome: R) {
        let mut course = self.course();
        course.waiting.insert(number, outcome);
        if course.waiting.len() >= TOGETHER && course.waiting.contains_key(&course.ended) {
            self.ready.notify_all();
        }
    }
}

/// Tells that a thread has ended, however it ended.
struct Ending<'s, R>(&'s Shared<R>);

impl<R> Drop for Ending<'_, R> {
    fn drop(&mut self) {
        self.0.course().threads -= 1;
        self.0.ready.notify_all();
    }
}

/// Takes things from `next` until there are none, does `work` on each on one of `threads` threads, each of which has a state
/// of its own made by `state`, and hands the outcomes to `each` in order, on the calling thread. Where none comes for a
/// while, `idle` is called.
///
/// # Errors
///
/// The first one of `each`; then nothing more is begun.
pub(super) fn in_order<I: Send, S, R: Send, E>(
    threads: usize,
    next: impl FnMut() -> Option<I> + Send,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, I) -> R + Sync,
    mut each: impl FnMut(R) -> Result<(), E>,
    mut idle: impl FnMut(),
) -> Result<(), E> {
    let course = Course { begun: 0, ended: 0, waiting: BTreeMap::new(), threads, is_stopped: false };
    let shared = Shared { course: Mutex::new(course), ready: Condvar::new(), room: Condvar::new() };
    let source = Mutex::new(next);
    // Whoever has nothing to do goes to fetch, so that a slow source keeps no thread of its own.
    let fetch = || {
        let mut next = source.lock().unwrap_or_else(|e| e.into_inner());
        shared.wait_for_room()?;
        let thing = next()?;
        Some((shared.begin(), thing))
    };
    let thread = || {
        let _ending = Ending(&shared);
        let mut own = state();
        while let Some((number, thing)) = fetch() {
            shared.end(number, work(&mut own, thing));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(thread);
        }
        let mut course = shared.course();
        loop {
            let number = course.ended;
            if let Some(outcome) = course.waiting.remove(&number) {
                let was_full = course.begun - course.ended >= WAITING;
                course.ended += 1;
                drop(course);
                if was_full {
                    shared.room.notify_all();
                }
                let answer = each(outcome);
                course = shared.course();
                if answer.is_err() {
                    course.is_stopped = true;
                    shared.room.notify_all();
                    return answer;
                }
            } else if course.threads == 0 {
                return Ok(());
            } else {
                let (woken, timeout) =
                    shared.ready.wait_timeout(course, TICK).unwrap_or_else(std::sync::PoisonError::into_inner);
                course = woken;
                if timeout.timed_out() {
                    drop(course);
                    idle();
                    course = shared.course();
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn outcomes_come_in_order_and_few_wait() {
        let (taken, mut given) = (AtomicU64::new(0), 0);
        let mut source = 0..5000_u64;
        let next = || {
            // Not the end: each thread meets it once more.
            source.next().inspect(|_| {
                taken.fetch_add(1, Ordering::SeqCst);
            })
        };
        let work = |_: &mut (), number: u64| {
            if number.is_multiple_of(700) {
                std::thread::sleep(Duration::from_millis(20));
            }
            number
        };
        let each = |number| {
            assert_eq!(number, given);
            given += 1;
            assert!(taken.load(Ordering::SeqCst) <= given + WAITING + 1);
            Ok::<(), ()>(())
        };
        in_order(4, next, || (), work, each, || ()).unwrap();
        assert_eq!(given, 5000);
    }

    #[test]
    fn who_wants_no_more_gets_no_more_of_an_endless_source() {
        let mut left = 10;
        let each = |_| {
            left -= 1;
            if left == 0 { Err("enough") } else { Ok(()) }
        };
        assert_eq!(in_order(3, || Some(()), || (), |_, ()| (), each, || ()), Err("enough"));
    }

    #[test]
    fn nothing_is_done_for_an_empty_source() {
        let next = || None::<()>;
        assert_eq!(in_order(2, next, || (), |_, ()| (), |()| Err("none"), || ()), Ok(()));
    }

    #[test]
    fn more_threads_than_may_wait_come_to_an_end() {
        let mut source = 0..3;
        let mut given = Vec::new();
        let each = |number| {
            given.push(number);
            Ok::<(), ()>(())
        };
        in_order(2 * WAITING as usize, || source.next(), || (), |_, number| number, each, || ()).unwrap();
        assert_eq!(given, [0, 1, 2]);
    }
}
