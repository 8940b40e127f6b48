//! Things put by for later, in the order in which they came: in memory while they are few, then in a file without a name. So
//! a plan of very many modules takes no more memory than one of some hundred.

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
    fn a_path_of_any_bytes_comes_again() {
        use std::os::unix::ffi::OsStrExt;
        let path = Place(Path::new(std::ffi::OsStr::from_bytes(b"/a\xff\nb.ko")).to_owned());
        let mut spool = Spool::new(Some(Path::new("/not/there")));
        spool.push(&path).unwrap();
        assert_eq!(spool.iter().unwrap().next().unwrap().unwrap(), path);
    }
}
