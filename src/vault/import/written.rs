//! Files of the journal that an import writes: under temporary names, flushed and read back, before one of them takes the journal's place.

use std::fs::File;
use std::io::Read;

use crate::digest::Sha256Hasher;
use crate::error::{Error, ErrorKind, Result};
use crate::private_folder::PrivateFolder;
use crate::vault::archive::reader::reading;
use crate::vault::disk;
use crate::vault::layout::temporary;

/// A file of the journal with a temporary name. If it is not kept, it is removed.
pub(super) struct NewFile {
    state: PrivateFolder,
    name: String,
    file: File,
    len: u64,
    sum: Sha256Hasher,
    is_kept: bool,
}

impl NewFile {
    /// An empty file, which is to get this name.
    pub(super) fn create(state: &PrivateFolder, name: &str) -> Result<NewFile> {
        let new = temporary(name);
        disk::remove(state.dir(), new.as_ref())?;
        let file = disk::create_new(state.dir(), new.as_ref(), 0o600);
        let file = file.map_err(|e| Error::io("creating", e).on(state.path().join(&new)))?;
        let (state, name) = (state.clone(), name.to_owned());
        Ok(NewFile { state, name, file, len: 0, sum: Sha256Hasher::new(), is_kept: false })
    }

    /// A file with the contents of a stream, which is to get this name.
    pub(super) fn copied(state: &PrivateFolder, name: &str, contents: &mut impl Read) -> Result<NewFile> {
        let (mut new, mut written) = (NewFile::create(state, name)?, Ok(()));
        disk::sha256_of_stream(contents, |piece| {
            if written.is_ok() {
                written = new.write(piece);
            }
        })
        .map_err(reading)?;
        written.map(|()| new)
    }

    /// Appends text.
    pub(super) fn write(&mut self, text: &[u8]) -> Result<()> {
        let failed = |e| Error::io("writing the journal", e).on(self.state.path().join(temporary(&self.name)));
        disk::write_at(&self.file, text, self.len).map_err(failed)?;
        self.len += text.len() as u64;
        self.sum.update(text);
        Ok(())
    }

    /// Flushes it and reads it back.
    pub(super) fn flush(&self) -> Result<()> {
        let path = self.state.path().join(&self.name);
        disk::sync(&self.file).map_err(|e| Error::io("flushing to disk", e).on(&path))?;
        match disk::sha256_of(&self.file).map_err(|e| e.on(&path))? == self.sum.clone().finish() {
            true => Ok(()),
            false => {
                let what = "verification failed: the bytes read differ from the bytes written";
                Err(Error::new(ErrorKind::Io, what).hint("is the disk failing?").on(&path))
            }
        }
    }

    /// Gives it its name, in place of a file that has it. The caller flushes the folder.
    pub(super) fn rename(mut self) -> Result<()> {
        let renamed = disk::rename(self.state.dir(), temporary(&self.name).as_ref(), self.name.as_ref(), true);
        renamed.map_err(|e| e.on(self.state.path().join(&self.name)))?;
        self.is_kept = true;
        Ok(())
    }

    /// Leaves it, with its temporary name.
    pub(super) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = disk::remove(self.state.dir(), temporary(&self.name).as_ref());
        }
    }
}
