//! The limits of one execution: processor time, and memory that Rust code allocates. libFuzzer's own limits are for hangs and for
//! the memory of the whole process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The most processor time. A command of the program takes a second at most; the code here is compiled with little optimisation,
/// is counted for coverage, and answers more than one question about an input.
const LONGEST: Duration = Duration::from_secs(10);

/// The most memory, in bytes: four times the input, or this if it is more.
const MEMORY: usize = 64 << 20;

/// Runs a target on an input of this size.
pub(crate) fn within(size: usize, target: impl FnOnce()) {
    let (memory, begun) = (ALLOCATED.load(Relaxed), processor_time());
    MOST.store(memory, Relaxed);
    target();
    let took = processor_time().saturating_sub(begun);
    assert!(took <= LONGEST, "{size} bytes took {took:?} of processor time");
    let most = MOST.load(Relaxed).saturating_sub(memory);
    assert!(most <= MEMORY.max(4 * size), "{size} bytes took {most} bytes of memory");
}

/// The processor time of all threads of this process.
fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

/// The system's allocator, counted.
struct Counted;

#[global_allocator]
static ALLOCATOR: Counted = Counted;

/// How many bytes are allocated, and the most that were since [`within`] began.
static ALLOCATED: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

fn add(bytes: usize) {
    let now = ALLOCATED.fetch_add(bytes, Relaxed) + bytes;
    MOST.fetch_max(now, Relaxed);
}

// SAFETY: each call is passed on unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller's promises are those that `System` needs.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATED.fetch_sub(layout.size(), Relaxed);
        add(size);
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }
}
