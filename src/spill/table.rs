//! A list of records of one size that is written once and read by number. Few records stay in memory, more are in a file without a
//! name.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::spill::spool::temporary_folder;

/// How many bytes of records stay in memory.
const IN_MEMORY: usize = 32 << 20;

/// How many records are read at a time, if they are read one after the other.
const AT_A_TIME: usize = 64;

/// How many records are allocated at a time. A list that grows as one is copied again and again.
const CHUNK: usize = 1 << 9;

/// Collects the records, of `SIZE` bytes each.
pub(crate) struct TableBuilder<const SIZE: usize> {
    folder: Option<PathBuf>,
    few: Vec<Vec<[u8; SIZE]>>,
    many: Option<BufWriter<File>>,
    count: u64,
    most: usize,
}

/// The records.
pub(crate) enum Table<const SIZE: usize> {
    Few { chunks: Vec<Vec<[u8; SIZE]>>, count: u64 },
    Many { file: File, count: u64 },
}

impl<const SIZE: usize> TableBuilder<SIZE> {
    /// An empty builder. Its file is created in `folder`, or, if that does not exist or is not writable, in the folder for temporary files.
    pub(crate) fn new(folder: Option<&Path>) -> TableBuilder<SIZE> {
        TableBuilder::with_limit(IN_MEMORY / SIZE.max(1), folder)
    }

    fn with_limit(most: usize, folder: Option<&Path>) -> TableBuilder<SIZE> {
        TableBuilder { folder: folder.map(Path::to_owned), few: Vec::new(), many: None, count: 0, most }
    }

    /// Adds a record, and returns its number, from 0.
    ///
    /// # Errors
    ///
    /// [`crate::error::ErrorKind::Io`] if a temporary file can't be written.
    pub(crate) fn push(&mut self, record: [u8; SIZE]) -> Result<u64> {
        if self.many.is_none() && self.count >= self.most as u64 {
            let file = tempfile::tempfile_in(temporary_folder(self.folder.as_deref())).map_err(failed)?;
            let mut many = BufWriter::with_capacity(1 << 16, file);
            let few = std::mem::take(&mut self.few);
            few.iter().flatten().try_for_each(|record| many.write_all(record)).map_err(failed)?;
            self.many = Some(many);
        }
        match &mut self.many {
            Some(many) => many.write_all(&record).map_err(failed)?,
            None => match self.few.last_mut().filter(|chunk| chunk.len() < CHUNK) {
                Some(chunk) => chunk.push(record),
                None => {
                    let mut chunk = Vec::with_capacity(CHUNK);
                    chunk.push(record);
                    self.few.push(chunk);
                }
            },
        }
        self.count += 1;
        Ok(self.count - 1)
    }

    /// The table of all records.
    ///
    /// # Errors
    ///
    /// [`crate::error::ErrorKind::Io`] if a temporary file can't be written.
    pub(crate) fn done(self) -> Result<Table<SIZE>> {
        match self.many {
            Some(many) => {
                let file = many.into_inner().map_err(|e| failed(e.into_error()))?;
                Ok(Table::Many { file, count: self.count })
            }
            None => Ok(Table::Few { chunks: self.few, count: self.count }),
        }
    }
}

impl<const SIZE: usize> Table<SIZE> {
    /// The number of records.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Table::Few { count, .. } | Table::Many { count, .. } => *count,
        }
    }

    /// A reader of records.
    pub(crate) fn reader(&self) -> TableReader<'_, SIZE> {
        TableReader { table: self, next: None, start: 0, window: Vec::new() }
    }
}

/// Reads records of a table, fastest in ascending order.
pub(crate) struct TableReader<'t, const SIZE: usize> {
    table: &'t Table<SIZE>,
    /// The number after the one that was read last.
    next: Option<u64>,
    /// The number of the first record in the window.
    start: u64,
    window: Vec<[u8; SIZE]>,
}

impl<const SIZE: usize> TableReader<'_, SIZE> {
    /// The record of this number; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`crate::error::ErrorKind::Io`].
    pub(crate) fn get(&mut self, number: u64) -> Result<Option<[u8; SIZE]>> {
        let index = |from: u64| number.checked_sub(from).and_then(|index| usize::try_from(index).ok());
        let (file, count) = match self.table {
            Table::Few { chunks, .. } => {
                return Ok(index(0).and_then(|index| chunks.get(index / CHUNK)?.get(index % CHUNK)).copied());
            }
            Table::Many { file, count } => (file, *count),
        };
        if let Some(record) = index(self.start).and_then(|index| self.window.get(index)) {
            return Ok(Some(*record));
        }
        let Some(left) = count.checked_sub(number).filter(|left| *left > 0) else { return Ok(None) };
        let is_next = self.next == Some(number);
        let wanted = if is_next { AT_A_TIME } else { 1 };
        self.window.clear();
        self.window.resize(wanted.min(usize::try_from(left).unwrap_or(wanted)), [0; SIZE]);
        file.read_exact_at(self.window.as_flattened_mut(), number * SIZE as u64).map_err(failed)?;
        self.start = number;
        self.next = Some(number + self.window.len() as u64);
        Ok(self.window.first().copied())
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::io("writing a table into a temporary file", error).hint("is there space for temporary files?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_by_number_from_memory_and_from_a_file() {
        for (count, most) in [(0, 10), (10, 10), (11, 10), (1000, 10), (1000, 5000)] {
            let mut builder = TableBuilder::<8>::with_limit(most, Some(Path::new("/not/there")));
            for number in 0..count {
                assert_eq!(builder.push((number * 7_u64).to_le_bytes()).unwrap(), number);
            }
            let table = builder.done().unwrap();
            assert_eq!((table.len(), matches!(table, Table::Few { .. })), (count, count <= most as u64));
            let mut reader = table.reader();
            let steps = (0..count).chain((0..count).rev()).chain((0..count).map(|number| number * 389 % count));
            for number in steps {
                assert_eq!(reader.get(number).unwrap(), Some((number * 7).to_le_bytes()));
            }
            assert_eq!(reader.get(count).unwrap(), None);
            assert_eq!(reader.get(u64::MAX).unwrap(), None);
        }
    }
}
