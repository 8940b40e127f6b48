//! Repair of a damaged journal: its files stay as they are, under other names, and a new part begins that names the damage.

use std::fs::File;

use rustix::fs::{AtFlags, OFlags};
use rustix::io::Errno;

use crate::digest::{Sha256, sha256};
use crate::door::internal_fn;
use crate::error::{Error, ErrorKind, Result};
use crate::private_folder::PrivateFolder;
use crate::vault::append;
use crate::vault::damage::JournalDamage;
use crate::vault::disk;
use crate::vault::journal::JournalTail;
use crate::vault::layout::{COPY, JOURNAL, temporary, temporary_journal};
use crate::vault::parts::{JournalPart, sum_of};
use crate::vault::record::{ClosedPart, JournalEntry, NewEntry, Operation, RepairedPart};
use crate::vault::writer::Writer;

/// What a repair would record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalRepair {
    /// What is wrong.
    pub damage: Vec<JournalDamage>,
    /// The name that the damaged part gets.
    pub part: String,
    /// The digest that confirms exactly this.
    pub digest: Sha256,
    sha256: Option<Sha256>,
    earlier: Vec<ClosedPart>,
}

impl Writer<'_> {
    internal_fn! {
        /// Plans the repair of the journal; `None` if it is whole, which is then durable.
        ///
        /// # Errors
        ///
        /// [`ErrorKind::Untrusted`]; [`ErrorKind::Io`].
        fn plan_repair(&self) -> Result<Option<JournalRepair>> {
            if self.tail.damage.is_empty() {
                // The run that repaired it may have been stopped before it flushed the new names.
                self.flush_journal()?;
                return Ok(None);
            }
            let state = self.vault.state.open()?;
            let part = next_part(state)?.name;
            let sha256_of = match state.file(JOURNAL, "reading the journal", OFlags::RDONLY) {
                Ok(file) => sum_of(&file)?,
                Err(e) if e.kind() == ErrorKind::Untrusted => return Err(e),
                Err(_) => None,
            };
            let mut text =
                format!("repair\n{part}\n{}\n", self.tail.last_hash.map(|hash| hash.to_string()).unwrap_or_default());
            text.push_str(&sha256_of.map(|hash| hash.to_string()).unwrap_or_default());
            self.tail.damage.iter().for_each(|damage| text.push_str(&format!("\n{damage}")));
            let earlier = self.unrecorded.clone();
            for ClosedPart { part, sha256 } in &earlier {
                text.push_str(&format!("\n{part} {}", sha256.map(|hash| hash.to_string()).unwrap_or_default()));
            }
            let digest = sha256(text.as_bytes());
            Ok(Some(JournalRepair { damage: self.tail.damage.clone(), part, digest, sha256: sha256_of, earlier }))
        }
    }

    internal_fn! {
        /// Closes the damaged part of the journal and begins the next one. Every file that was there stays, under its own or another name, and
        /// at every moment the journal has all lines that it had.
        ///
        /// # Errors
        ///
        /// [`ErrorKind::Changed`] if the damage is not that of the plan any more; [`ErrorKind::Io`].
        fn repair(&mut self, planned: &JournalRepair) -> Result<JournalEntry> {
            let changed = || Error::new(ErrorKind::Changed, "changed since the repair was planned; nothing was written");
            let now = self.plan_repair()?.filter(|now| now.digest == planned.digest);
            let now = now.ok_or_else(|| changed().on(self.vault.folder().join(JOURNAL)))?;
            let state = self.vault.state.open()?;
            let part = next_part(state)?;
            let damage = now.damage.iter().map(JournalDamage::to_string).collect();
            let repaired = RepairedPart { part: part.name.clone(), sha256: now.sha256, damage, earlier: now.earlier };
            let news = NewEntry { repaired: Some(repaired), ..NewEntry::of(Operation::Repair) };
            let (mut entries, lines, tail) = self.tail.next_lines(vec![news], self.vault.run.as_ref())?;
            set_aside(state, JOURNAL, &part.name)?;
            set_aside(state, COPY, &part.copy)?;
            disk::sync(state.dir()).map_err(|e| Error::io("flushing the folder to disk", e).on(state.path()))?;
            disk::create_durably(state, JOURNAL, lines.as_bytes(), 0o600)?;
            // Without it the next append makes the copy.
            let _ = append::copy_again(state);
            self.unrecorded = Vec::new();
            self.tail = JournalTail { whole: lines.len() as u64, damage: Vec::new(), ..tail };
            entries.pop().ok_or_else(|| Error::new(ErrorKind::Io, "a journal line is missing"))
        }
    }
}

/// The part that the next repair closes: a new one, or the one of a repair that was interrupted after it gave the files their second names. A
/// part that an import wrote keeps its number.
fn next_part(state: &PrivateFolder) -> Result<JournalPart> {
    let last = JournalPart::numbers(state)?.last().copied().unwrap_or_default();
    let part = JournalPart::closed(last);
    let is_free = |name: &str, to: &str| -> Result<bool> {
        Ok(inode(state, &temporary(to))?.is_none() && (inode(state, to)?.is_none() || is_same(state, name, to)?))
    };
    match last > 0 && is_free(JOURNAL, &part.name)? && is_free(COPY, &part.copy)? {
        true => Ok(part),
        false => Ok(JournalPart::closed(last.saturating_add(1))),
    }
}

/// The device and the inode of a file in the state folder; none if it is not there.
fn inode(state: &PrivateFolder, name: &str) -> Result<Option<(u64, u64)>> {
    match rustix::fs::statat(state.dir(), name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some((stat.st_dev, stat.st_ino))),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(Error::io("reading metadata", e).on(state.path().join(name))),
    }
}

/// Whether both are names of one file.
fn is_same(state: &PrivateFolder, name: &str, other: &str) -> Result<bool> {
    let one = inode(state, name)?;
    Ok(one.is_some() && one == inode(state, other)?)
}

/// Gives a file a second name, under which it stays. On a file system without second names the file is copied; something else that has the
/// name, such as a folder, is renamed.
fn set_aside(state: &PrivateFolder, name: &str, to: &str) -> Result<()> {
    let dir = state.dir();
    match rustix::fs::linkat(dir, name, dir, to, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::EXIST) if is_same(state, name, to)? => Ok(()),
        Err(Errno::PERM | Errno::NOTSUP | Errno::MLINK | Errno::ISDIR) => {
            match state.file(name, "copying the damaged journal", OFlags::RDONLY) {
                Ok(file) => copy_aside(state, &file, to),
                Err(e) if e.is_errno(Errno::ISDIR) => disk::rename(dir, name.as_ref(), to.as_ref(), false),
                Err(e) => Err(e),
            }
        }
        Err(e) => Err(Error::io("giving the damaged journal another name", e)),
    }
    .map_err(|e| e.on(state.path().join(name)))
}

/// Copies a file to another name, at which there is nothing. The caller flushes the name.
fn copy_aside(state: &PrivateFolder, file: &File, to: &str) -> Result<()> {
    let (dir, temporary) = (state.dir(), temporary_journal());
    disk::remove(dir, temporary.as_ref())?;
    let copy = disk::create_new(dir, temporary.as_ref(), 0o600).map_err(|e| Error::io("creating", e))?;
    let copied = disk::copy(file, &copy)
        .and_then(|()| disk::sync(&copy).map_err(|e| Error::io("flushing to disk", e)))
        .and_then(|()| disk::rename(dir, temporary.as_ref(), to.as_ref(), false));
    if copied.is_err() {
        let _ = disk::remove(dir, temporary.as_ref());
    }
    copied
}
