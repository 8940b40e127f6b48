//! An external merge sort: runs that fit into memory are sorted and written, then merged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Result;
use crate::spill::spool::Spool;

/// Sorts items of which memory should not hold all.
pub(crate) struct Sorter<T> {
    folder: Option<PathBuf>,
    /// The number of items of a run.
    most: usize,
    items: Vec<T>,
    runs: Vec<Spool<T>>,
}

impl<T: Ord + Serialize + DeserializeOwned> Sorter<T> {
    /// An empty sorter, which sorts up to `most` items in memory. For `folder` see [`Spool::new`].
    pub(crate) fn new(folder: Option<&Path>, most: usize) -> Sorter<T> {
        Sorter { folder: folder.map(Path::to_owned), most: most.max(1), items: Vec::new(), runs: Vec::new() }
    }

    /// A sorter with room for this many items: a list that grows is copied again and again, and leaves holes in memory.
    pub(crate) fn with_room(mut self, count: usize) -> Sorter<T> {
        self.items.reserve_exact(count.min(self.most));
        self
    }

    /// Adds an item.
    ///
    /// # Errors
    ///
    /// Those of [`Spool::push`].
    pub(crate) fn push(&mut self, item: T) -> Result<()> {
        if self.items.len() >= self.most {
            self.items.sort_unstable();
            let mut run = Spool::new(self.folder.as_deref());
            self.items.drain(..).try_for_each(|item| run.push(&item))?;
            self.runs.push(run);
        }
        self.items.push(item);
        Ok(())
    }

    /// All items in ascending order, if they fit into one run; else the sorter again.
    pub(crate) fn in_memory(mut self) -> std::result::Result<Vec<T>, Sorter<T>> {
        if !self.runs.is_empty() {
            return Err(self);
        }
        self.items.sort_unstable();
        Ok(self.items)
    }

    /// Calls `each` with every item, in ascending order.
    ///
    /// # Errors
    ///
    /// The first one of `each`; those of [`Spool::iter`].
    pub(crate) fn each(mut self, mut each: impl FnMut(T) -> Result<()>) -> Result<()> {
        self.items.sort_unstable();
        let mut sources: Vec<Box<dyn Iterator<Item = Result<T>> + '_>> = vec![Box::new(self.items.into_iter().map(Ok))];
        for run in &mut self.runs {
            sources.push(Box::new(run.iter()?));
        }
        // The next item of each run, the smallest on top.
        let mut heap = BinaryHeap::with_capacity(sources.len());
        let mut wanted: Vec<usize> = (0..sources.len()).collect();
        loop {
            for which in wanted.drain(..) {
                if let Some(item) = sources.get_mut(which).and_then(Iterator::next) {
                    heap.push(Reverse((item?, which)));
                }
            }
            let Some(Reverse((item, which))) = heap.pop() else { return Ok(()) };
            each(item)?;
            wanted.push(which);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_sorted_however_many_fit_into_a_run() {
        for (count, most) in [(0, 1), (1, 1), (50, 7), (50, 50), (5000, 300)] {
            let mut sorter = Sorter::new(None, most);
            let mut items: Vec<u32> = (0..count).map(|number: u32| number.wrapping_mul(2_654_435_761) % 1000).collect();
            items.iter().for_each(|item| sorter.push(*item).unwrap());
            let mut sorted = Vec::new();
            sorter
                .each(|item| {
                    sorted.push(item);
                    Ok(())
                })
                .unwrap();
            items.sort_unstable();
            assert_eq!(sorted, items);
        }
    }
}
