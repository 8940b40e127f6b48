//! A map from keys to numbers that is built once and then only read. Few pairs stay in memory; more are sorted in a file without a
//! name and found by interpolation search, so that any number takes no more memory than a million.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::spill::sorter::Sorter;
use crate::spill::spool::temporary_folder;

/// How many pairs are sorted in memory, and stay there if there are no more.
const IN_MEMORY: usize = 1 << 20;

/// For how many pairs there is room from the start. Pages of it that are not used take no memory.
const ROOM: usize = 1 << 15;

/// How many pairs of a file are read at a time. Keys are hashes, so the place of a key is known except for a few pairs.
const AT_A_TIME: u64 = 128;

/// About how many pairs in memory are searched for a key.
const PAIRS_TOGETHER: usize = 8;

/// The size of a key and its number in a file: 16 and 8 bytes, little-endian.
const PAIR: usize = 24;

/// A key: 128 bits of a hash of the text to find. No two texts have the same key.
pub(crate) type Key = u128;

/// The upper and the lower half of a key, and a number. (A `u128` would be padded to 32 bytes.)
type Pair = (u64, u64, u64);

fn halves(key: Key) -> (u64, u64) {
    ((key >> 64) as u64, key as u64)
}

#[inline]
fn key_of(pair: &Pair) -> (u64, u64) {
    (pair.0, pair.1)
}

/// Collects the pairs.
pub(crate) struct MultimapBuilder {
    folder: Option<PathBuf>,
    pairs: Sorter<Pair>,
    count: u64,
}

/// For each key its numbers, in ascending order.
pub(crate) struct Multimap {
    pairs: Pairs,
}

enum Pairs {
    Few(SortedPairs),
    Many { file: File, count: u64 },
}

impl MultimapBuilder {
    /// An empty builder. Its files are created in `folder`, or, if that does not exist or is not writable, in the folder for temporary
    /// files.
    pub(crate) fn new(folder: Option<&Path>) -> MultimapBuilder {
        MultimapBuilder::with_limit(IN_MEMORY, folder)
    }

    fn with_limit(most: usize, folder: Option<&Path>) -> MultimapBuilder {
        MultimapBuilder {
            folder: folder.map(Path::to_owned),
            pairs: Sorter::new(folder, most).with_room(ROOM),
            count: 0,
        }
    }

    /// Adds a pair.
    ///
    /// # Errors
    ///
    /// [`crate::error::ErrorKind::Io`] if a temporary file can't be written.
    pub(crate) fn add(&mut self, key: Key, number: u64) -> Result<()> {
        self.count += 1;
        let (upper, lower) = halves(key);
        self.pairs.push((upper, lower, number))
    }

    /// The map of all pairs that were added.
    ///
    /// # Errors
    ///
    /// [`crate::error::ErrorKind::Io`] if a temporary file can't be written.
    pub(crate) fn done(self) -> Result<Multimap> {
        let MultimapBuilder { folder, pairs, count } = self;
        let pairs = match pairs.in_memory() {
            Ok(few) => return Ok(Multimap { pairs: Pairs::Few(SortedPairs::of(few)) }),
            Err(pairs) => pairs,
        };
        let file = tempfile::tempfile_in(temporary_folder(folder.as_deref())).map_err(failed)?;
        let mut all = BufWriter::with_capacity(1 << 16, file);
        pairs.each(|(upper, lower, number)| {
            let key = (Key::from(upper) << 64) | Key::from(lower);
            let written = all.write_all(&key.to_le_bytes()).and_then(|()| all.write_all(&number.to_le_bytes()));
            written.map_err(failed)
        })?;
        let file = all.into_inner().map_err(|e| failed(e.into_error()))?;
        Ok(Multimap { pairs: Pairs::Many { file, count } })
    }
}

impl Multimap {
    /// All numbers of a key.
    ///
    /// # Errors
    ///
    /// [`crate::error::ErrorKind::Io`].
    pub(crate) fn all(&self, key: Key) -> Result<Vec<u64>> {
        let mut numbers = Vec::new();
        self.each(key, |number| {
            numbers.push(number);
            true
        })?;
        Ok(numbers)
    }

    /// The largest number of a key.
    ///
    /// # Errors
    ///
    /// [`crate::error::ErrorKind::Io`].
    pub(crate) fn last(&self, key: Key) -> Result<Option<u64>> {
        let halves = halves(key);
        let found = match &self.pairs {
            Pairs::Few(pairs) => {
                let end = pairs.partition_point(halves, |pair| key_of(pair) <= halves);
                end.checked_sub(1).and_then(|at| pairs.pairs.get(at).copied())
            }
            Pairs::Many { file, count } => {
                let end = match key.checked_add(1) {
                    Some(next) => lower_bound(file, *count, next)?,
                    None => *count,
                };
                match end.checked_sub(1) {
                    Some(at) => read_some(file, at, *count)?.first().copied(),
                    None => None,
                }
            }
        };
        Ok(found.filter(|pair| key_of(pair) == halves).map(|pair| pair.2))
    }

    /// Calls `wants_more` with each number of a key, in ascending order, until it returns false.
    ///
    /// # Errors
    ///
    /// [`crate::error::ErrorKind::Io`].
    pub(crate) fn each(&self, key: Key, mut wants_more: impl FnMut(u64) -> bool) -> Result<()> {
        let halves = halves(key);
        match &self.pairs {
            Pairs::Few(pairs) => {
                let start = pairs.partition_point(halves, |pair| key_of(pair) < halves);
                let of_it = pairs.pairs.iter().skip(start).take_while(|pair| key_of(pair) == halves);
                of_it.map(|pair| pair.2).take_while(|number| wants_more(*number)).for_each(drop);
                Ok(())
            }
            Pairs::Many { file, count } => {
                let mut start = lower_bound(file, *count, key)?;
                loop {
                    let pairs = read_some(file, start, *count)?;
                    for pair in &pairs {
                        if key_of(pair) != halves || !wants_more(pair.2) {
                            return Ok(());
                        }
                    }
                    if pairs.is_empty() {
                        return Ok(());
                    }
                    start += pairs.len() as u64;
                }
            }
        }
    }
}

/// Pairs in memory, and where those begin whose keys have the same first bits. A search over all pairs would wait for memory at each step.
struct SortedPairs {
    pairs: Vec<Pair>,
    /// For each value of the first bits, the index of the first pair whose key is not less.
    starts: Vec<u32>,
    /// How many bits of the upper half of a key are not among the first bits.
    shift: u32,
}

impl SortedPairs {
    fn of(pairs: Vec<Pair>) -> SortedPairs {
        let bits = pairs.len().checked_ilog2().unwrap_or_default().saturating_sub(PAIRS_TOGETHER.ilog2()) + 1;
        let shift = u64::BITS - bits;
        let mut starts = Vec::with_capacity((1 << bits) + 1);
        let mut start = 0;
        for first in 0..=(1_u64 << bits) {
            while pairs.get(start).is_some_and(|pair| pair.0 >> shift < first) {
                start += 1;
            }
            starts.push(u32::try_from(start).unwrap_or(u32::MAX));
        }
        SortedPairs { pairs, starts, shift }
    }

    /// As `slice::partition_point`, for a condition that holds for all lower keys and for no higher ones.
    fn partition_point(&self, key: (u64, u64), is_before: impl Fn(&Pair) -> bool) -> usize {
        let first = usize::try_from(key.0 >> self.shift).unwrap_or_default();
        let start = |first: usize| self.starts.get(first).map_or(self.pairs.len(), |start| *start as usize);
        let (start, end) = (start(first), start(first + 1));
        start + self.pairs.get(start..end).unwrap_or_default().partition_point(is_before)
    }
}

/// The index of the first pair whose key is not less than this one.
fn lower_bound(file: &File, count: u64, key: Key) -> Result<u64> {
    // Every pair before `low` is less, and no pair from `high` on. Keys are hashes, so the first guess is near; from the second
    // guess on it is a binary search, whatever the keys are.
    let (mut low, mut high) = (0, count);
    let near = ((key >> 64) * u128::from(count)) >> 64;
    let mut guess = u64::try_from(near).unwrap_or(count).saturating_sub(AT_A_TIME / 2);
    while low < high {
        let start = guess.clamp(low, high.saturating_sub(1));
        let pairs = read_some(file, start, high)?;
        let below = pairs.partition_point(|pair| key_of(pair) < halves(key)) as u64;
        if below > 0 {
            low = start + below;
        }
        if below < pairs.len() as u64 {
            high = start + below;
        }
        if pairs.is_empty() {
            break;
        }
        guess = low + (high - low) / 2;
    }
    Ok(low)
}

/// Up to [`AT_A_TIME`] pairs from `start` on, before `end`.
fn read_some(file: &File, start: u64, end: u64) -> Result<Vec<Pair>> {
    let count = end.saturating_sub(start).min(AT_A_TIME);
    let mut bytes = vec![0; usize::try_from(count).unwrap_or_default() * PAIR];
    file.read_exact_at(&mut bytes, start * PAIR as u64).map_err(failed)?;
    Ok(bytes.as_chunks::<PAIR>().0.iter().map(unpacked).collect())
}

fn unpacked(pair: &[u8; PAIR]) -> Pair {
    let (key, number) = pair.split_at(16);
    let (upper, lower) = halves(Key::from_le_bytes(key.first_chunk().copied().unwrap_or_default()));
    let number = number.first_chunk().copied().unwrap_or_default();
    (upper, lower, u64::from_le_bytes(number))
}

fn failed(error: std::io::Error) -> Error {
    Error::io("sorting in a temporary file", error).hint("is there space for temporary files?")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn of(pairs: &[(Key, u64)], most: usize) -> Multimap {
        let mut builder = MultimapBuilder::with_limit(most, Some(Path::new("/not/there")));
        pairs.iter().for_each(|(key, number)| builder.add(*key, *number).unwrap());
        builder.done().unwrap()
    }

    fn check(pairs: &[(Key, u64)], most: usize) {
        let map = of(pairs, most);
        let mut expected: BTreeMap<Key, Vec<u64>> = BTreeMap::new();
        pairs.iter().for_each(|(key, number)| expected.entry(*key).or_default().push(*number));
        for (key, numbers) in &mut expected {
            numbers.sort_unstable();
            assert_eq!(map.all(*key).unwrap(), *numbers);
            let mut first = None;
            map.each(*key, |number| first.replace(number).is_some()).unwrap();
            assert_eq!(first, numbers.first().copied());
            assert_eq!(map.last(*key).unwrap(), numbers.last().copied());
        }
        for key in [0, 1, 1 << 127, Key::MAX, pairs.first().map_or(7, |pair| pair.0 ^ 1)] {
            assert_eq!(map.all(key).unwrap(), expected.get(&key).cloned().unwrap_or_default());
        }
    }

    proptest! {
        #[test]
        fn each_key_has_its_numbers_in_memory_and_in_a_file(
            keys in prop::collection::vec(prop_oneof![any::<Key>(), 0..5_u128, (0..5_u128).prop_map(|k| Key::MAX - k)], 0..900),
            most in 1..400_usize,
        ) {
            let pairs: Vec<(Key, u64)> = (0..).zip(keys).map(|(number, key)| (key, number * 7)).collect();
            check(&pairs, most);
        }
    }

    #[test]
    fn a_key_with_more_numbers_than_are_read_at_a_time_has_them_all() {
        let pairs: Vec<(Key, u64)> = (0..2000).map(|number| (Key::from(number % 3) << 120, number)).collect();
        check(&pairs, 100);
        check(&pairs, 10_000);
    }
}
