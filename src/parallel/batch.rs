//! A parallel map over a list. The results are in the order of the items.

use std::path::Path;
#[cfg(feature = "parallel")]
use std::sync::LazyLock;

#[cfg(feature = "parallel")]
use rayon::prelude::*;

/// Files larger than this, in bytes, are processed one after the other, next to the small ones: each is in memory, often in its
/// old and its new version.
const LARGE: u64 = 4 << 20;

/// Whether there are several threads for the work. If there is one, the calling thread does the work: a pool of one thread would
/// only add its start, and system calls at any time.
#[cfg(feature = "parallel")]
fn has_threads() -> bool {
    threads() > 1
}

/// How many threads there are for the work.
#[cfg(not(feature = "parallel"))]
pub(crate) fn threads() -> usize {
    1
}

/// How many threads there are for the work.
#[cfg(feature = "parallel")]
pub(crate) fn threads() -> usize {
    // The number of threads of a pool that does not exist yet; asking rayon for it would start the pool.
    static WITHOUT_POOL: LazyLock<usize> = LazyLock::new(|| {
        let wanted = std::env::var("RAYON_NUM_THREADS").ok().and_then(|text| text.parse().ok());
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        wanted.filter(|wanted| *wanted > 0).unwrap_or_else(cores)
    });
    match rayon::current_thread_index() {
        Some(_) => rayon::current_num_threads(),
        None => *WITHOUT_POOL,
    }
}

/// Applies `work` to each item. With one thread, with fewer than two items, or without the feature `parallel`, the calling
/// thread does it, in order.
pub(crate) fn map<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync + Send) -> Vec<R> {
    #[cfg(feature = "parallel")]
    if items.len() > 1 && has_threads() {
        return items.into_par_iter().map(work).collect();
    }
    items.into_iter().map(work).collect()
}

/// Folds the items into values that start as `R::default()`, and joins these values.
pub(crate) fn fold<T: Sync, R: Default + Send>(
    items: &[T],
    add: impl Fn(R, &T) -> R + Sync + Send,
    join: impl Fn(R, R) -> R + Sync + Send,
) -> R {
    #[cfg(feature = "parallel")]
    if items.len() > 1 && has_threads() {
        return items.par_iter().fold(R::default, add).reduce(R::default, join);
    }
    let _ = join;
    items.iter().fold(R::default(), add)
}

/// Does both, at the same time if there are threads for it.
pub(crate) fn both<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
    #[cfg(feature = "parallel")]
    if has_threads() {
        return rayon::join(a, b);
    }
    (a(), b())
}

/// Applies `work` to each item that stands for a file, and never to two large files at the same time.
pub(crate) fn map_files<T: Send, R: Send>(
    files: Vec<T>,
    path: impl Fn(&T) -> &Path,
    work: impl Fn(T) -> R + Sync + Send,
) -> Vec<R> {
    let is_large = |file: &T| path(file).symlink_metadata().is_ok_and(|meta| meta.len() > LARGE);
    let (large, small): (Vec<_>, Vec<_>) = files.into_iter().enumerate().partition(|(_, file)| is_large(file));
    let work = |(at, file): (usize, T)| (at, work(file));
    let (mut done, of_large) = match large.is_empty() {
        true => (map(small, work), Vec::new()),
        false => both(|| map(small, work), || large.into_iter().map(work).collect::<Vec<_>>()),
    };
    done.extend(of_large);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, done)| done).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    #[test]
    fn results_are_in_order_and_no_two_large_files_are_processed_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<_> = (0..40).map(|n| (n, folder.path().join(n.to_string()))).collect();
        for (n, path) in &files {
            std::fs::File::create(path).unwrap().set_len(if n % 3 == 0 { LARGE + 1 } else { LARGE }).unwrap();
        }
        let (large, together) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = |(n, _)| {
            if n % 3 == 0 {
                together.fetch_max(large.fetch_add(1, SeqCst) + 1, SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(2));
                large.fetch_sub(1, SeqCst);
            }
            n
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
        let done = pool.install(|| map_files(files, |(_, path)| path, work));
        assert_eq!(done, (0..40).collect::<Vec<_>>());
        assert_eq!(together.into_inner(), 1);
    }
}
