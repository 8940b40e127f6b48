//! An ordered parallel map: work on a stream of items on all cores; results are returned in the order of the items, and few of
//! them wait at a time.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

use crate::parallel::batch;

/// How many items may be started after the one whose result is next. A large module takes as long as hundreds of small ones.
const WAITING: u64 = 128;

/// How long a thread spins until the source is free before it sleeps. To sleep and be woken takes as long, and the source is
/// usually locked for less.
const SPIN: Duration = Duration::from_micros(100);

/// The longest sleep of the caller's thread, so that it can show that time passes.
const TICK: Duration = Duration::from_millis(100);

/// The state of the work.
struct Schedule<R> {
    /// How many items were taken from the source.
    begun: u64,
    /// How many results were handed on.
    ended: u64,
    /// Results that wait for earlier ones.
    waiting: BTreeMap<u64, R>,
    /// Does the caller's thread sleep?
    is_caller_idle: bool,
    /// The source is exhausted.
    is_over: bool,
    /// No further item shall be started.
    is_stopped: bool,
    /// How many items may be started after the one whose result is next.
    most_waiting: u64,
}

impl<R> Schedule<R> {
    fn is_full(&self) -> bool {
        self.begun - self.ended >= self.most_waiting
    }
}

/// The state that the threads share. A thread that locks both locks the source first.
struct Coordinator<R, N> {
    source: Mutex<N>,
    schedule: Mutex<Schedule<R>>,
    /// The caller's thread has something to do again.
    caller: Condvar,
    /// The number of waiting results fell below the limit.
    vacancy: Condvar,
}

/// An item and its number, or why there is none.
enum NextItem<I> {
    Item(u64, I),
    /// Other threads must do something first.
    NotNow,
    None,
}

impl<I, R, N: FnMut() -> Option<I>> Coordinator<R, N> {
    fn schedule(&self) -> MutexGuard<'_, Schedule<R>> {
        self.schedule.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The source, if it is free or becomes free soon.
    fn source_soon(&self) -> Option<MutexGuard<'_, N>> {
        let mut since = None;
        loop {
            match self.source.try_lock() {
                Ok(source) => return Some(source),
                Err(TryLockError::Poisoned(source)) => return Some(source.into_inner()),
                Err(TryLockError::WouldBlock) => {}
            }
            if since.get_or_insert_with(Instant::now).elapsed() > SPIN {
                return None;
            }
            std::hint::spin_loop();
        }
    }

    /// Takes an item for a thread that may wait until there is one and its result may wait too.
    fn wait_for_next(&self) -> Option<(u64, I)> {
        let wait = || self.source.lock().unwrap_or_else(|e| e.into_inner());
        let mut source = self.source_soon().unwrap_or_else(wait);
        let wait = |schedule: &mut Schedule<R>| schedule.is_full() && !schedule.is_stopped;
        drop(self.vacancy.wait_while(self.schedule(), wait).unwrap_or_else(|e| e.into_inner()));
        let next = self.take(&mut *source);
        // If it were woken earlier, the caller's thread would find the source locked and sleep again.
        drop(source);
        if self.schedule().is_caller_idle {
            self.caller.notify_one();
        }
        match next {
            NextItem::Item(number, item) => Some((number, item)),
            NextItem::NotNow | NextItem::None => None,
        }
    }

    /// Takes an item for the caller's thread, which makes the vacancies and so must not wait for one.
    fn try_next(&self) -> NextItem<I> {
        match self.source_soon() {
            Some(mut source) => self.take(&mut *source),
            None => NextItem::NotNow,
        }
    }

    fn take(&self, source: &mut N) -> NextItem<I> {
        let schedule = self.schedule();
        if schedule.is_over || schedule.is_stopped {
            return NextItem::None;
        }
        if schedule.is_full() {
            return NextItem::NotNow;
        }
        drop(schedule);
        let item = source();
        let mut schedule = self.schedule();
        let Some(item) = item else {
            schedule.is_over = true;
            return NextItem::None;
        };
        schedule.begun += 1;
        NextItem::Item(schedule.begun - 1, item)
    }

    fn end(&self, number: u64, result: R) {
        let mut schedule = self.schedule();
        schedule.waiting.insert(number, result);
        if schedule.is_caller_idle && schedule.waiting.contains_key(&schedule.ended) {
            self.caller.notify_one();
        }
    }

    /// The result that is next in order, if it is ready.
    fn result(&self) -> Option<R> {
        let mut schedule = self.schedule();
        let number = schedule.ended;
        let result = schedule.waiting.remove(&number)?;
        if schedule.is_full() {
            self.vacancy.notify_all();
        }
        schedule.ended += 1;
        Some(result)
    }

    /// Starts no further item.
    fn stop(&self) {
        self.schedule().is_stopped = true;
        self.vacancy.notify_all();
        self.caller.notify_all();
    }
}

/// Calls a function if the thread panics: the result that others wait for never comes.
struct OnPanic<F: Fn()>(F);

impl<F: Fn()> Drop for OnPanic<F> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.0)();
        }
    }
}

/// Takes items from `next` until it returns `None`, calls `work` on each in one of `threads` threads, and passes the results to
/// `each` in the order of the items.
///
/// Each thread has a state of its own, made by `state`. An item stays on the thread that took it. `each` runs on the calling
/// thread, which is one of the workers: to wake another thread takes as long as to inspect a module. If the calling thread has
/// nothing to do for a while, it calls `idle`.
///
/// # Errors
///
/// The first error of `each`; then no further item is started.
pub fn in_order<I, S, R: Send, E>(
    threads: usize,
    next: impl FnMut() -> Option<I> + Send,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, I) -> R + Sync,
    each: impl FnMut(R) -> Result<(), E>,
    idle: impl FnMut(),
) -> Result<(), E> {
    in_order_of_few((threads, WAITING), next, state, work, each, idle)
}

/// As [`in_order`], with the number of threads, and of the results that may wait.
fn in_order_of_few<I, S, R: Send, E>(
    (threads, most_waiting): (usize, u64),
    next: impl FnMut() -> Option<I> + Send,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, I) -> R + Sync,
    mut each: impl FnMut(R) -> Result<(), E>,
    mut idle: impl FnMut(),
) -> Result<(), E> {
    let schedule = Schedule {
        begun: 0,
        ended: 0,
        waiting: BTreeMap::new(),
        is_caller_idle: false,
        is_over: false,
        is_stopped: false,
        most_waiting,
    };
    let coordinator = Coordinator {
        source: Mutex::new(next),
        schedule: Mutex::new(schedule),
        caller: Condvar::new(),
        vacancy: Condvar::new(),
    };
    // Linux usually starts a thread on the core of its creator and moves it with the next tick, after up to four milliseconds;
    // a thread that sleeps and is woken runs on an idle core at once. So the calling thread sleeps until all others have begun.
    let (begun, has_begun) = (Mutex::new(0), Condvar::new());
    let thread = || {
        *begun.lock().unwrap_or_else(|e| e.into_inner()) += 1;
        has_begun.notify_one();
        let _on_panic = OnPanic(|| coordinator.stop());
        let mut own = state();
        while let Some((number, item)) = coordinator.wait_for_next() {
            coordinator.end(number, work(&mut own, item));
        }
    };
    std::thread::scope(|scope| {
        // If the system allows no further threads, fewer do the work.
        let spawn = |_: &usize| std::thread::Builder::new().spawn_scoped(scope, thread).is_ok();
        let others = (1..threads).take_while(spawn).count();
        let all = begun.lock().unwrap_or_else(|e| e.into_inner());
        drop(has_begun.wait_while(all, |begun| *begun < others).unwrap_or_else(|e| e.into_inner()));
        let _on_panic = OnPanic(|| coordinator.stop());
        let mut own = state();
        loop {
            while let Some(result) = coordinator.result() {
                each(result).inspect_err(|_| coordinator.stop())?;
            }
            if let NextItem::Item(number, item) = coordinator.try_next() {
                coordinator.end(number, work(&mut own, item));
                continue;
            }
            let mut schedule = coordinator.schedule();
            if schedule.is_stopped || schedule.is_over && schedule.begun == schedule.ended {
                return Ok(());
            }
            if schedule.waiting.contains_key(&schedule.ended) {
                continue;
            }
            schedule.is_caller_idle = true;
            let (mut schedule, timeout) =
                coordinator.caller.wait_timeout(schedule, TICK).unwrap_or_else(std::sync::PoisonError::into_inner);
            schedule.is_caller_idle = false;
            drop(schedule);
            if timeout.timed_out() {
                idle();
            }
        }
    })
}

/// From how many items on results are handed on while others are worked on. For fewer it saves little time, and takes memory.
const MANY: usize = 10_000;

/// How many of fewer items are worked on together.
const TOGETHER: usize = 256;

/// How many small items are one piece of work: to hand an item on takes longer than to look at it.
const AT_ONCE: usize = 16;

/// How many such pieces may wait: little memory, and enough to keep all cores at work.
const PIECES: u64 = 16;

/// Applies `work` to each item of a stream of `len` items on all cores, and passes the results to `each` in the order of the items, on the
/// calling thread.
///
/// # Errors
///
/// The first error of `each`; then no further item is started.
pub(crate) fn each_in_order<I: Send, R: Send, E>(
    len: usize,
    mut items: impl Iterator<Item = I> + Send,
    work: impl Fn(I) -> R + Sync + Send,
    mut each: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let threads = batch::threads();
    let mut some = |count| Some(items.by_ref().take(count).collect::<Vec<I>>()).filter(|some| !some.is_empty());
    if len < MANY || threads < 2 {
        while let Some(some) = some(TOGETHER) {
            batch::map(some, &work).into_iter().try_for_each(&mut each)?;
        }
        return Ok(());
    }
    let (next, waiting) = (|| some(AT_ONCE), PIECES.max(2 * threads as u64));
    let work = |(): &mut (), some: Vec<I>| some.into_iter().map(&work).collect::<Vec<R>>();
    let each = |some: Vec<R>| some.into_iter().try_for_each(&mut each);
    in_order_of_few((threads, waiting), next, || (), work, each, || ())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn results_are_ordered_and_few_wait() {
        let (taken, mut given) = (AtomicU64::new(0), 0);
        let mut source = 0..5000_u64;
        let next = || {
            // Only items count: each thread also sees the end once.
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
    fn each_result_comes_in_the_order_of_the_items_however_many_there_are() {
        for len in [0, 1, 2, 255, 256, 300, 20_000] {
            let mut given = Vec::new();
            let each = |number: u64| {
                given.push(number);
                Ok::<(), ()>(())
            };
            each_in_order(len, 0..len as u64, |number| number * 2, each).unwrap();
            assert!(given.into_iter().eq((0..len as u64).map(|number| number * 2)), "{len}");
        }
    }

    #[test]
    fn an_error_ends_the_work_on_an_endless_source() {
        let mut left = 10;
        let each = |_| {
            left -= 1;
            if left == 0 { Err("enough") } else { Ok(()) }
        };
        assert_eq!(in_order(3, || Some(()), || (), |_, ()| (), each, || ()), Err("enough"));
    }

    #[test]
    fn an_empty_source_has_no_results() {
        let next = || None::<()>;
        assert_eq!(in_order(2, next, || (), |_, ()| (), |()| Err("none"), || ()), Ok(()));
    }

    #[test]
    fn more_threads_than_waiting_results_finish() {
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
