//! Work on very many things on all cores, whose outcomes come in the things' order, and of which few wait at a time.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

/// How many things may be begun beyond the one whose outcome is next. A large module takes as long as hundreds of small ones.
const WAITING: u64 = 128;

/// How long a thread looks again and again whether the source is free, before it sleeps: to sleep and be woken takes as long,
/// and mostly the source is locked for less.
const SOON: Duration = Duration::from_micros(100);

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
    /// Does the caller's thread sleep?
    is_caller_idle: bool,
    /// The source has no more.
    is_over: bool,
    /// Nobody wants more.
    is_stopped: bool,
}

impl<R> Course<R> {
    fn is_full(&self) -> bool {
        self.begun - self.ended >= WAITING
    }
}

/// What the threads share. The source is locked before the course, where both are.
struct Shared<R, N> {
    source: Mutex<N>,
    course: Mutex<Course<R>>,
    /// The caller's thread has something to do again.
    called: Condvar,
    /// There is room for more outcomes.
    room: Condvar,
}

/// A thing and its number, or why there is none.
enum Next<I> {
    Thing(u64, I),
    /// Others must do something first.
    NotNow,
    None,
}

impl<I, R, N: FnMut() -> Option<I>> Shared<R, N> {
    fn course(&self) -> MutexGuard<'_, Course<R>> {
        self.course.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The source, if it is free or soon becomes so.
    fn source_soon(&self) -> Option<MutexGuard<'_, N>> {
        let mut since = None;
        loop {
            match self.source.try_lock() {
                Ok(source) => return Some(source),
                Err(TryLockError::Poisoned(source)) => return Some(source.into_inner()),
                Err(TryLockError::WouldBlock) => {}
            }
            if since.get_or_insert_with(Instant::now).elapsed() > SOON {
                return None;
            }
            std::hint::spin_loop();
        }
    }

    /// Takes a thing for a thread that can wait until there is one, and room for its outcome.
    fn wait_for_next(&self) -> Option<(u64, I)> {
        let wait = || self.source.lock().unwrap_or_else(|e| e.into_inner());
        let mut source = self.source_soon().unwrap_or_else(wait);
        let wait = |course: &mut Course<R>| course.is_full() && !course.is_stopped;
        drop(self.room.wait_while(self.course(), wait).unwrap_or_else(|e| e.into_inner()));
        let next = self.take(&mut *source);
        // Called earlier, the caller's thread would find the source locked, and sleep on.
        drop(source);
        if self.course().is_caller_idle {
            self.called.notify_one();
        }
        match next {
            Next::Thing(number, thing) => Some((number, thing)),
            Next::NotNow | Next::None => None,
        }
    }

    /// Takes a thing for the thread that makes the room, and so must not wait for it.
    fn try_next(&self) -> Next<I> {
        match self.source_soon() {
            Some(mut source) => self.take(&mut *source),
            None => Next::NotNow,
        }
    }

    fn take(&self, source: &mut N) -> Next<I> {
        let course = self.course();
        if course.is_over || course.is_stopped {
            return Next::None;
        }
        if course.is_full() {
            return Next::NotNow;
        }
        drop(course);
        let thing = source();
        let mut course = self.course();
        let Some(thing) = thing else {
            course.is_over = true;
            return Next::None;
        };
        course.begun += 1;
        Next::Thing(course.begun - 1, thing)
    }

    fn end(&self, number: u64, outcome: R) {
        let mut course = self.course();
        course.waiting.insert(number, outcome);
        if course.is_caller_idle && course.waiting.contains_key(&course.ended) {
            self.called.notify_one();
        }
    }

    /// The outcome that is next in order, if it is there.
    fn outcome(&self) -> Option<R> {
        let mut course = self.course();
        let number = course.ended;
        let outcome = course.waiting.remove(&number)?;
        if course.is_full() {
            self.room.notify_all();
        }
        course.ended += 1;
        Some(outcome)
    }

    /// Lets no more be begun.
    fn stop(&self) {
        self.course().is_stopped = true;
        self.room.notify_all();
        self.called.notify_all();
    }
}

/// Stops all if a thread panics: its outcome never comes.
struct OnPanic<F: Fn()>(F);

impl<F: Fn()> Drop for OnPanic<F> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.0)();
        }
    }
}

/// Takes things from `next` until there are none, does `work` on each on one of `threads` threads, each of which has a state
/// of its own made by `state`, and hands the outcomes to `each` in order, on the calling thread, which is one of them: to wake
/// another takes as long as to glance at a module. Where the caller's thread has nothing to do for a while, `idle` is called.
/// A thing stays on the thread that took it.
///
/// # Errors
///
/// The first one of `each`; then nothing more is begun.
pub(super) fn in_order<I, S, R: Send, E>(
    threads: usize,
    next: impl FnMut() -> Option<I> + Send,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, I) -> R + Sync,
    mut each: impl FnMut(R) -> Result<(), E>,
    mut idle: impl FnMut(),
) -> Result<(), E> {
    let course = Course {
        begun: 0,
        ended: 0,
        waiting: BTreeMap::new(),
        is_caller_idle: false,
        is_over: false,
        is_stopped: false,
    };
    let shared =
        Shared { source: Mutex::new(next), course: Mutex::new(course), called: Condvar::new(), room: Condvar::new() };
    // Linux as a rule begins a thread on the core of who made it, and takes it elsewhere with the next tick, after up to four
    // milliseconds; who sleeps and is woken goes to an idle core at once. So the caller's sleeps until all have begun.
    let (begun, has_begun) = (Mutex::new(0), Condvar::new());
    let thread = || {
        *begun.lock().unwrap_or_else(|e| e.into_inner()) += 1;
        has_begun.notify_one();
        let _on_panic = OnPanic(|| shared.stop());
        let mut own = state();
        while let Some((number, thing)) = shared.wait_for_next() {
            shared.end(number, work(&mut own, thing));
        }
    };
    std::thread::scope(|scope| {
        // Where no more may be made, fewer do it.
        let spawn = |_: &usize| std::thread::Builder::new().spawn_scoped(scope, thread).is_ok();
        let others = (1..threads).take_while(spawn).count();
        let all = begun.lock().unwrap_or_else(|e| e.into_inner());
        drop(has_begun.wait_while(all, |begun| *begun < others).unwrap_or_else(|e| e.into_inner()));
        let _on_panic = OnPanic(|| shared.stop());
        let mut own = state();
        loop {
            while let Some(outcome) = shared.outcome() {
                each(outcome).inspect_err(|_| shared.stop())?;
            }
            if let Next::Thing(number, thing) = shared.try_next() {
                shared.end(number, work(&mut own, thing));
                continue;
            }
            let mut course = shared.course();
            if course.is_stopped || course.is_over && course.begun == course.ended {
                return Ok(());
            }
            if course.waiting.contains_key(&course.ended) {
                continue;
            }
            course.is_caller_idle = true;
            let (mut course, timeout) =
                shared.called.wait_timeout(course, TICK).unwrap_or_else(std::sync::PoisonError::into_inner);
            course.is_caller_idle = false;
            drop(course);
            if timeout.timed_out() {
                idle();
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
