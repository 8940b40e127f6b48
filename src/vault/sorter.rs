//! Things that are to come sorted, for more of them than memory should hold: some are sorted at a time, then merged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Result;
use crate::vault::spool::Spool;

/// Things that are to come sorted: some are sorted in memory at a time, then merged.
pub struct Sorter<T> {
    folder: Option<PathBuf>,
    /// How many are sorted in memory.
    most: usize,
    things: Vec<T>,
    runs: Vec<Spool<T>>,
}

impl<T: Ord + Serialize + DeserializeOwned> Sorter<T> {
    /// One without any. Of `folder` the same is true as in [`Spool::new`].
    pub fn new(folder: Option<&Path>, most: usize) -> Sorter<T> {
        Sorter { folder: folder.map(Path::to_owned), most: most.max(1), things: Vec::new(), runs: Vec::new() }
    }

    /// Adds one.
    ///
    /// # Errors
    ///
    /// Those of [`Spool::push`].
    pub fn push(&mut self, thing: T) -> Result<()> {
        if self.things.len() >= self.most {
            self.things.sort_unstable();
            let mut run = Spool::new(self.folder.as_deref());
            self.things.drain(..).try_for_each(|thing| run.push(&thing))?;
            self.runs.push(run);
        }
        self.things.push(thing);
        Ok(())
    }

    /// Hands all of them on, the least first.
    ///
    /// # Errors
    ///
    /// The first one of `each`; those of [`Spool::iter`].
    pub fn each(mut self, mut each: impl FnMut(T) -> Result<()>) -> Result<()> {
        self.things.sort_unstable();
        let mut sources: Vec<Box<dyn Iterator<Item = Result<T>> + '_>> =
            vec![Box::new(self.things.into_iter().map(Ok))];
        for run in &mut self.runs {
            sources.push(Box::new(run.iter()?));
        }
        // The next one of each source, the least on top.
        let mut heap = BinaryHeap::with_capacity(sources.len());
        let mut wanted: Vec<usize> = (0..sources.len()).collect();
        loop {
            for which in wanted.drain(..) {
                if let Some(thing) = sources.get_mut(which).and_then(Iterator::next) {
                    heap.push(Reverse((thing?, which)));
                }
            }
            let Some(Reverse((thing, which))) = heap.pop() else { return Ok(()) };
            each(thing)?;
            wanted.push(which);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sorted_comes_sorted_however_many_are_in_memory() {
        for (count, most) in [(0, 1), (1, 1), (50, 7), (50, 50), (5000, 300)] {
            let mut sorter = Sorter::new(None, most);
            let mut things: Vec<u32> =
                (0..count).map(|number: u32| number.wrapping_mul(2_654_435_761) % 1000).collect();
            things.iter().for_each(|thing| sorter.push(*thing).unwrap());
            let mut sorted = Vec::new();
            sorter
                .each(|thing| {
                    sorted.push(thing);
                    Ok(())
                })
                .unwrap();
            things.sort_unstable();
            assert_eq!(sorted, things);
        }
    }
}
