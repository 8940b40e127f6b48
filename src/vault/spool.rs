//! Things put by for later, in the order in which they came: in memory while they are few, then in a file without a name. So
//! a plan of very many modules takes no more memory than one of some hundred.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tempfile::SpooledTempFile;

use crate::error::{Error, ErrorKind, Result};

/// How many bytes are kept in memory.
const IN_MEMORY: usize = 1 << 20;

/// The largest thing, in bytes, as it is put by: more is not what was written.
const LARGEST: u32 = 1 << 30;

const PUTTING: &str = "putting by what is planned";
const READING: &str = "reading what was planned";

/// Things put by.
pub struct Spool<T> {
    file: BufWriter<SpooledTempFile>,
    count: usize,
    of: PhantomData<fn(T) -> T>,
}

impl<T: Serialize + DeserializeOwned> Spool<T> {
    /// An empty one. Its file, should it need one, has no name, and is made in `folder`, or, where that is not there or not
    /// ours to write, where temporary files are made.
    pub fn new(folder: Option<&Path>) -> Spool<T> {
        let file = BufWriter::new(SpooledTempFile::new_in(IN_MEMORY, folder_for_files(folder)));
        Spool { file, count: 0, of: PhantomData }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Puts one by.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] if there is no room for it.
    pub fn push(&mut self, thing: &T) -> Result<()> {
        let bytes = postcard::to_stdvec(thing).map_err(|e| failed(PUTTING, std::io::Error::other(e)))?;
        let too_large = || Error::new(ErrorKind::TooLarge, "too large to be put by");
        let len = u32::try_from(bytes.len()).ok().filter(|len| *len <= LARGEST).ok_or_else(too_large)?;
        let written = self.file.write_all(&len.to_le_bytes()).and_then(|()| self.file.write_all(&bytes));
        written.map_err(|e| failed(PUTTING, e))?;
        self.count += 1;
        Ok(())
    }

    /// All of them, the oldest first. What can't be read is an error, and ends it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] if what was put by can't be read again.
    pub fn iter(&mut self) -> Result<impl Iterator<Item = Result<T>> + Send + use<'_, T>> {
        self.file.flush().map_err(|e| failed(PUTTING, e))?;
        let (file, mut left) = (self.file.get_mut(), self.count);
        file.seek(SeekFrom::Start(0)).map_err(|e| failed(READING, e))?;
        let mut file = BufReader::new(file);
        let mut bytes = Vec::new();
        let mut next = move || -> std::io::Result<T> {
            let mut len = [0; 4];
            file.read_exact(&mut len)?;
            bytes.resize(u32::from_le_bytes(len).min(LARGEST) as usize, 0);
            file.read_exact(&mut bytes)?;
            postcard::from_bytes(&bytes).map_err(std::io::Error::other)
        };
        Ok(std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let thing = next().map_err(|e| failed(READING, e));
            if thing.is_err() {
                left = 0;
            }
            Some(thing)
        }))
    }
}

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

/// The folder, if files can be made in it, else that of temporary files.
pub(super) fn folder_for_files(folder: Option<&Path>) -> PathBuf {
    let can_write = |folder: &&Path| rustix::fs::access(*folder, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    folder.filter(can_write).map_or_else(std::env::temp_dir, Path::to_owned)
}

fn failed(what: &str, error: std::io::Error) -> Error {
    Error::io(what, error).hint("is there room for temporary files?")
}

/// A path as it is put by: any bytes.
pub mod bytes_of_path {
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// The path's bytes.
    ///
    /// # Errors
    ///
    /// The serializer's own.
    pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        path.as_os_str().as_bytes().serialize(serializer)
    }

    /// The path of these bytes.
    ///
    /// # Errors
    ///
    /// The deserializer's own.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        Ok(OsString::from_vec(Vec::<u8>::deserialize(deserializer)?).into())
    }
}

/// A path alone, to be put by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize)]
pub struct Place(#[serde(with = "bytes_of_path")] pub PathBuf);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_by_comes_again_in_its_order_be_it_little_or_much() {
        for count in [0, 3, 60_000] {
            let mut spool = Spool::new(None);
            let things = || (0..count).map(|number: u32| (number, "x".repeat(number as usize % 60)));
            things().for_each(|thing| spool.push(&thing).unwrap());
            assert_eq!(spool.len(), count as usize);
            for _ in 0..2 {
                assert!(spool.iter().unwrap().map(Result::unwrap).eq(things()));
            }
        }
    }

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

    #[test]
    fn a_path_of_any_bytes_comes_again() {
        use std::os::unix::ffi::OsStrExt;
        let path = Place(Path::new(std::ffi::OsStr::from_bytes(b"/a\xff\nb.ko")).to_owned());
        let mut spool = Spool::new(Some(Path::new("/not/there")));
        spool.push(&path).unwrap();
        assert_eq!(spool.iter().unwrap().next().unwrap().unwrap(), path);
    }
}
