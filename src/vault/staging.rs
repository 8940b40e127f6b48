//! Staging: new backups that are written, but not yet flushed, read back and named.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Seek;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::fs::AtFlags;
use rustix::io::Errno;

use crate::digest::Sha256;
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::parallel;
use crate::private_folder::PrivateFolder;
use crate::text::grouped;
use crate::vault::disk::{self, Flusher};
use crate::vault::objects::{COMPRESSED, Objects};
use crate::vault::target;

/// zstd's own default.
const LEVEL: i32 = 3;

/// New backups that are written, but not yet flushed, read back and named. Backups that are never settled are removed.
pub(super) struct Staging<'o> {
    objects: &'o Objects,
    folder: PrivateFolder,
    /// The approximate number of files.
    files: usize,
    device: u64,
    flusher: Flusher,
    staged: Mutex<BTreeMap<Sha256, Staged>>,
    /// Whether the file system refused to share blocks, so that it is not asked again.
    shares_nothing: AtomicBool,
}

struct Staged {
    /// The file name that it will get.
    name: OsString,
    /// `None` while it is being written.
    file: Option<File>,
    /// Whether it existed before, so that it already has its name.
    is_old: bool,
    /// Whether it was already read back.
    is_read: bool,
}

impl Staged {
    fn temporary(&self) -> OsString {
        let mut name = self.name.clone();
        name.push(disk::TEMPORARY);
        name
    }
}

impl<'o> Staging<'o> {
    /// Begins staging of backups of about this many files.
    pub(super) fn begin(objects: &'o Objects, files: usize) -> Result<Staging<'o>> {
        let folder = objects.open()?;
        let mut flusher = Flusher::default();
        let mut device = 0;
        if !Flusher::are_few(files) {
            device = target::identity(folder.dir())?.0;
            flusher.watch(device, folder.dir());
        }
        let (staged, shares_nothing) = (Mutex::default(), AtomicBool::new(false));
        Ok(Staging { objects, folder, files, device, flusher, staged, shares_nothing })
    }

    /// Writes a backup of `bytes`, which were read from `source`. A backup that exists and matches its name is kept, but flushed again,
    /// because its writer may have been stopped before its name was flushed.
    pub(super) fn stage(&self, sha: Sha256, bytes: &[u8], source: &File) -> Result<()> {
        self.stage_from(sha, bytes, Some(source))
    }

    /// As [`Staging::stage`], of bytes that are no file of their own.
    pub(super) fn stage_bytes(&self, sha: Sha256, bytes: &[u8]) -> Result<()> {
        self.stage_from(sha, bytes, None)
    }

    fn stage_from(&self, sha: Sha256, bytes: &[u8], source: Option<&File>) -> Result<()> {
        {
            let mut staged = self.staged.lock().unwrap_or_else(|e| e.into_inner());
            if staged.contains_key(&sha) {
                return Ok(());
            }
            // From here on this call writes it: two modules with the same contents have one backup.
            let name =
                OsString::from(if self.objects.compress { format!("{sha}{COMPRESSED}") } else { sha.to_string() });
            staged.insert(sha, Staged { name, file: None, is_old: false, is_read: false });
        }
        let done = self.write(sha, bytes, source).map_err(|e| e.on(self.objects.path(sha)))?;
        self.staged.lock().unwrap_or_else(|e| e.into_inner()).insert(sha, done);
        Ok(())
    }

    fn write(&self, sha: Sha256, bytes: &[u8], source: Option<&File>) -> Result<Staged> {
        match self.objects.checked(sha, &|| bytes.len() as u64) {
            Ok((name, file)) => return Ok(Staged { name, file: Some(file), is_old: true, is_read: true }),
            Err(e) if e.kind() == ErrorKind::Untrusted => return Err(e),
            Err(_) => {}
        }
        let name = if self.objects.compress { format!("{sha}{COMPRESSED}") } else { sha.to_string() };
        let mut new = Staged { name: name.into(), file: None, is_old: false, is_read: false };
        let file = self.create(&new.temporary())?;
        if self.objects.compress {
            let packed = zstd::bulk::compress(bytes, LEVEL).map_err(|e| Error::io("compressing", e))?;
            disk::write_at(&file, &packed, 0).map_err(|e| self.not_written(e, packed.len()))?;
        } else if source.is_some_and(|source| self.shares_blocks(&file, source, bytes)) {
            new.is_read = true;
        } else {
            disk::write_at(&file, bytes, 0).map_err(|e| self.not_written(e, bytes.len()))?;
        }
        if !Flusher::are_few(self.files) {
            disk::begin_flush(&file);
        }
        Ok(Staged { file: Some(file), ..new })
    }

    /// The error of a backup of so many bytes. On a full disk it says how much space there is.
    fn not_written(&self, error: Errno, size: usize) -> Error {
        let is_full = matches!(error, Errno::NOSPC | Errno::DQUOT);
        let failed = Error::io("writing", error);
        if !is_full {
            return failed;
        }
        let free = match rustix::fs::fstatvfs(self.folder.dir()) {
            Ok(disk) if error == Errno::NOSPC => {
                format!(", {} are free", grouped(disk.f_bavail.saturating_mul(disk.f_frsize)))
            }
            _ => String::new(),
        };
        let failed = failed.reworded(|what| format!("{what}: this backup needs {} bytes{free}", grouped(size as u64)));
        if self.objects.compress { failed.hint("make room there") } else { failed.remedy(Remedy::CompressBackups) }
    }

    fn create(&self, name: &OsString) -> Result<File> {
        let create = || disk::create_new(self.folder.dir(), name, 0o400);
        let created = create().or_else(|e| match e {
            // A run that was stopped left it.
            Errno::EXIST => rustix::fs::unlinkat(self.folder.dir(), name, AtFlags::empty()).and_then(|()| create()),
            e => Err(e),
        });
        created.map_err(|e| Error::io("creating", e))
    }

    /// Lets `file` share the blocks of the module (FICLONE: btrfs, XFS, bcachefs). Returns whether it then has these contents.
    fn shares_blocks(&self, file: &File, source: &File, bytes: &[u8]) -> bool {
        if self.shares_nothing.load(Relaxed) {
            return false;
        }
        if rustix::fs::ioctl_ficlone(file, source).is_err() {
            self.shares_nothing.store(true, Relaxed);
            return false;
        }
        let is_same = disk::holds(file, bytes).unwrap_or(false);
        // Somebody changed the module meanwhile. The backup is of the bytes that were read.
        if !is_same {
            let _ = rustix::fs::ftruncate(file, 0);
        }
        is_same
    }

    /// Makes all of them durable: one flush, each is read back and renamed, and the folder is flushed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`], with every new backup removed.
    pub(super) fn settle(self) -> Result<()> {
        let staged = std::mem::take(&mut *self.staged.lock().unwrap_or_else(|e| e.into_inner()));
        if staged.is_empty() {
            return Ok(());
        }
        let done = self.make_last(&staged);
        if done.is_err() {
            self.remove(&staged);
        }
        done
    }

    fn make_last(&self, staged: &BTreeMap<Sha256, Staged>) -> Result<()> {
        let failed = |what, e: Errno, sha: Sha256| Error::io(what, e).on(self.objects.path(sha));
        let files: Vec<(u64, &File)> =
            staged.values().filter_map(|s| s.file.as_ref()).map(|f| (self.device, f)).collect();
        for (sha, flushed) in staged.keys().zip(self.flusher.flush(&files)) {
            flushed.map_err(|e| failed("flushing to disk", e, *sha))?;
        }
        let read: Vec<(&Sha256, &Staged)> = staged.iter().filter(|(_, s)| !s.is_read).collect();
        parallel::map(read, |(sha, staged)| self.read_back(*sha, staged)).into_iter().collect::<Result<()>>()?;
        for (sha, new) in staged.iter().filter(|(_, s)| !s.is_old) {
            rustix::fs::renameat(self.folder.dir(), new.temporary(), self.folder.dir(), &new.name)
                .map_err(|e| failed("renaming", e, *sha))?;
        }
        let flushed = disk::sync(self.folder.dir());
        flushed.map_err(|e| Error::io("flushing the folder to disk", e).on(&self.objects.folder))
    }

    fn read_back(&self, sha: Sha256, staged: &Staged) -> Result<()> {
        let found: Result<Option<Sha256>> = match (&staged.file, self.objects.compress) {
            (Some(file), true) => {
                let mut from_start = file;
                let read = from_start.rewind().and_then(|()| disk::sha256_of_stream(zstd::Decoder::new(file)?, |_| ()));
                read.map(Some).map_err(|e| Error::io("reading the backup", e))
            }
            (Some(file), false) => disk::sha256_of(file).map(Some),
            (None, _) => Ok(None),
        };
        if found? == Some(sha) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Io, "verification failed: the bytes read differ from the bytes written")
            .hint("is the disk failing?")
            .on(self.objects.path(sha)))
    }

    fn remove(&self, staged: &BTreeMap<Sha256, Staged>) {
        for new in staged.values().filter(|s| !s.is_old) {
            let _ = rustix::fs::unlinkat(self.folder.dir(), new.temporary(), AtFlags::empty());
        }
    }
}

impl Drop for Staging<'_> {
    fn drop(&mut self) {
        let staged = std::mem::take(&mut *self.staged.lock().unwrap_or_else(|e| e.into_inner()));
        self.remove(&staged);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::sha256;
    use crate::edit::Edit;
    use crate::vault::reader::Vault;

    fn objects_in(folder: &tempfile::TempDir, compress: bool) -> Objects {
        let vault = Vault::at(folder.path()).compressing(compress);
        drop(vault.writer().unwrap());
        vault.objects()
    }

    fn kept(compress: bool) -> (tempfile::TempDir, Objects, Vec<u8>, Sha256) {
        let folder = tempfile::tempdir().unwrap();
        let objects = objects_in(&folder, compress);
        let bytes = b"a module, a module, a module".repeat(40);
        let source = folder.path().join("source");
        std::fs::write(&source, &bytes).unwrap();
        let sha = sha256(&bytes);
        let staging = Staging::begin(&objects, 1).unwrap();
        staging.stage(sha, &bytes, &File::open(source).unwrap()).unwrap();
        assert_eq!(objects.get(sha).unwrap_err().kind(), ErrorKind::NotFound, "it has no name before it is settled");
        staging.settle().unwrap();
        (folder, objects, bytes, sha)
    }

    #[test]
    fn a_plain_and_a_compressed_backup_have_the_same_contents() {
        for compress in [false, true] {
            let (_folder, objects, bytes, sha) = kept(compress);
            assert_eq!(objects.get(sha).unwrap(), bytes);
            let all = objects.all().unwrap();
            assert_eq!((all.len(), all[0].is_compressed, all[0].size < bytes.len() as u64), (1, compress, compress));
            assert!(objects.is_whole(&all[0]));
        }
    }

    #[test]
    fn the_edits_that_lead_back_to_a_backup_are_found_in_either_form() {
        for compress in [false, true] {
            let (_folder, objects, bytes, sha) = kept(compress);
            let mut changed = bytes.clone();
            changed[10..13].copy_from_slice(b"XYZ");
            let edits = objects.edits_of(&changed, sha, 3).unwrap().unwrap();
            assert_eq!(edits, [Edit { offset: 10, old: b"XYZ".to_vec(), new: bytes[10..13].to_vec() }]);
            assert_eq!(objects.edits_of(&changed, sha, 2).unwrap(), None, "too many differ");
            assert_eq!(objects.edits_of(&changed[1..], sha, 3).unwrap(), None, "of another length");
            let place = objects.path(sha);
            std::fs::remove_file(&place).unwrap();
            assert_eq!(objects.edits_of(&changed, sha, 3).unwrap_err().kind(), ErrorKind::NotFound);
            std::fs::write(&place, changed).unwrap();
            assert_eq!(objects.edits_of(&bytes, sha, 3).unwrap_err().kind(), ErrorKind::Damaged);
        }
    }

    #[test]
    fn a_changed_byte_is_detected_in_either_form() {
        for compress in [false, true] {
            let (_folder, objects, bytes, sha) = kept(compress);
            let place = objects.path(sha);
            let whole = std::fs::read(&place).unwrap();
            std::fs::remove_file(&place).unwrap();
            for at in 0..whole.len() {
                let mut changed = whole.clone();
                changed[at] ^= 1;
                std::fs::write(&place, changed).unwrap();
                match objects.get(sha) {
                    // Some bits of a frame's header say nothing of what is in it.
                    Ok(read) => assert!(compress && read == bytes, "byte {at}"),
                    Err(_) => assert!(!objects.is_whole(&objects.all().unwrap()[0]), "byte {at}"),
                }
            }
        }
    }

    #[test]
    fn staged_backups_that_are_not_settled_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let objects = objects_in(&folder, false);
        let source = tempfile::tempfile().unwrap();
        let staging = Staging::begin(&objects, 1).unwrap();
        staging.stage(sha256(b"x"), b"x", &source).unwrap();
        assert_eq!(std::fs::read_dir(objects.folder()).unwrap().count(), 1);
        drop(staging);
        assert_eq!(std::fs::read_dir(objects.folder()).unwrap().count(), 0);
    }
}
