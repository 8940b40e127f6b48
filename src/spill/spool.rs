//! A queue of items that is written once and can be read several times.

use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tempfile::SpooledTempFile;

use crate::error::{Error, ErrorKind, Result};

/// How many bytes stay in memory.
const IN_MEMORY: usize = 1 << 17;

/// The size of the largest serialized item, in bytes. A larger length in the file was not written by [`Spool::push`].
const LARGEST: u32 = 1 << 30;

const WRITING: &str = "writing a temporary file";
const READING: &str = "reading a temporary file";

/// Items in the order in which they were added.
pub(crate) struct Spool<T> {
    file: BufWriter<SpooledTempFile>,
    count: usize,
    of: PhantomData<fn(T) -> T>,
}

impl<T: Serialize + DeserializeOwned> Spool<T> {
    /// An empty spool. A file that it needs has no name and is created in `folder`, or, if that does not exist or is not writable, in
    /// the folder for temporary files.
    pub(crate) fn new(folder: Option<&Path>) -> Spool<T> {
        let file = BufWriter::new(SpooledTempFile::new_in(IN_MEMORY, temporary_folder(folder)));
        Spool { file, count: 0, of: PhantomData }
    }

    /// The number of items.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Adds an item.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] if the temporary file can't be written; [`ErrorKind::TooLarge`] for an item of more than a GiB.
    pub(crate) fn push(&mut self, item: &T) -> Result<()> {
        let bytes = postcard::to_stdvec(item).map_err(|e| failed(WRITING, std::io::Error::other(e)))?;
        let too_large = || Error::new(ErrorKind::TooLarge, "too large for a temporary file");
        let len = u32::try_from(bytes.len()).ok().filter(|len| *len <= LARGEST).ok_or_else(too_large)?;
        let written = self.file.write_all(&len.to_le_bytes()).and_then(|()| self.file.write_all(&bytes));
        written.map_err(|e| failed(WRITING, e))?;
        self.count += 1;
        Ok(())
    }

    /// All items, the oldest first. The first item that can't be read is an error, and the last one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] if the temporary file can't be read.
    pub(crate) fn iter(&mut self) -> Result<impl Iterator<Item = Result<T>> + Send + use<'_, T>> {
        self.file.flush().map_err(|e| failed(WRITING, e))?;
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
            let item = next().map_err(|e| failed(READING, e));
            if item.is_err() {
                left = 0;
            }
            Some(item)
        }))
    }
}

/// The folder, if this user can create files in it, else the folder for temporary files.
pub(crate) fn temporary_folder(folder: Option<&Path>) -> PathBuf {
    let can_write = |folder: &&Path| rustix::fs::access(*folder, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    folder.filter(can_write).map_or_else(std::env::temp_dir, Path::to_owned)
}

fn failed(what: &str, error: std::io::Error) -> Error {
    Error::io(what, error).hint("is there space for temporary files?")
}

/// Serde for a path of any bytes.
pub(crate) mod path_bytes {
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// The path's bytes.
    ///
    /// # Errors
    ///
    /// The serializer's own.
    pub(crate) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        path.as_os_str().as_bytes().serialize(serializer)
    }

    /// The path of these bytes.
    ///
    /// # Errors
    ///
    /// The deserializer's own.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        Ok(OsString::from_vec(Vec::<u8>::deserialize(deserializer)?).into())
    }
}

/// A path as an item.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize)]
pub(crate) struct SpooledPath(#[serde(with = "path_bytes")] pub(crate) PathBuf);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_read_in_order_from_memory_and_from_a_file() {
        for count in [0, 3, 60_000] {
            let mut spool = Spool::new(None);
            let items = || (0..count).map(|number: u32| (number, "x".repeat(number as usize % 60)));
            items().for_each(|item| spool.push(&item).unwrap());
            assert_eq!(spool.len(), count as usize);
            for _ in 0..2 {
                assert!(spool.iter().unwrap().map(Result::unwrap).eq(items()));
            }
        }
    }

    #[test]
    fn a_path_of_any_bytes_is_read_again() {
        use std::os::unix::ffi::OsStrExt;
        let path = SpooledPath(Path::new(std::ffi::OsStr::from_bytes(b"/a\xff\nb.ko")).to_owned());
        let mut spool = Spool::new(Some(Path::new("/not/there")));
        spool.push(&path).unwrap();
        assert_eq!(spool.iter().unwrap().next().unwrap().unwrap(), path);
    }
}
