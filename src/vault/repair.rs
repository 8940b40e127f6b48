//! Repair of a damaged journal: its files stay as they are, under other names, and a new part begins that names the damage.

use rustix::fs::{AtFlags, OFlags};
use rustix::io::Errno;

use crate::digest::{Sha256, sha256};
use crate::error::{Error, ErrorKind, Result};
use crate::private_folder::PrivateFolder;
use crate::vault::append;
use crate::vault::damage::JournalDamage;
use crate::vault::disk;
use crate::vault::journal::JournalTail;
use crate::vault::layout::{COPY, JOURNAL};
use crate::vault::parts::JournalPart;
use crate::vault::record::{JournalEntry, NewEntry, Operation, RepairedPart};
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
}

impl Writer<'_> {
    /// Plans the repair of the journal; `None` if it is whole.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Untrusted`]; [`ErrorKind::Io`].
    pub(crate) fn plan_repair(&self) -> Result<Option<JournalRepair>> {
        if self.tail.damage.is_empty() {
            return Ok(None);
        }
        let state = self.vault.state.open()?;
        let part = next_part(state)?.name;
        let sha256_of = match state.file(JOURNAL, "reading the journal", OFlags::RDONLY) {
            Ok(file) => Some(disk::sha256_of(&file)?),
            Err(e) if e.kind() == ErrorKind::Untrusted => return Err(e),
            Err(_) => None,
        };
        let mut text =
            format!("repair\n{part}\n{}\n", self.tail.last_hash.map(|hash| hash.to_string()).unwrap_or_default());
        text.push_str(&sha256_of.map(|hash| hash.to_string()).unwrap_or_default());
        self.tail.damage.iter().for_each(|damage| text.push_str(&format!("\n{damage}")));
        let digest = sha256(text.as_bytes());
        Ok(Some(JournalRepair { damage: self.tail.damage.clone(), part, digest, sha256: sha256_of }))
    }

    /// Closes the damaged part of the journal and begins the next one. Every file that was there stays, under its own or another name, and
    /// at every moment the journal has all lines that it had.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Changed`] if the damage is not that of the plan any more; [`ErrorKind::Io`].
    pub(crate) fn repair(&mut self, planned: &JournalRepair) -> Result<JournalEntry> {
        let changed = || Error::new(ErrorKind::Changed, "changed since the repair was planned; nothing was written");
        let now = self.plan_repair()?.filter(|now| now.digest == planned.digest);
        let now = now.ok_or_else(|| changed().on(self.vault.folder().join(JOURNAL)))?;
        let state = self.vault.state.open()?;
        let part = next_part(state)?;
        let damage = now.damage.iter().map(JournalDamage::to_string).collect();
        let repaired = RepairedPart { part: part.name.clone(), sha256: now.sha256, damage };
        let news = NewEntry { repaired: Some(repaired), ..NewEntry::of(Operation::Repair) };
        let (mut entries, lines, tail) = self.tail.next_lines(vec![news], self.vault.run.as_ref())?;
        set_aside(state, JOURNAL, &part.name)?;
        set_aside(state, COPY, &part.copy)?;
        disk::sync(state.dir()).map_err(|e| Error::io("flushing the folder to disk", e).on(state.path()))?;
        disk::create_durably(state, JOURNAL, lines.as_bytes(), 0o600)?;
        // Without it the next append makes the copy.
        let _ = append::copy_again(state);
        self.tail = JournalTail { whole: lines.len() as u64, damage: Vec::new(), ..tail };
        entries.pop().ok_or_else(|| Error::new(ErrorKind::Io, "a journal line is missing"))
    }
}

/// The part that the next repair closes.
fn next_part(state: &PrivateFolder) -> Result<JournalPart> {
    let last = JournalPart::numbers(state)?.last().copied().unwrap_or_default();
    Ok(JournalPart::closed(last.saturating_add(1)))
}

/// Gives a file a second name, under which it stays; something else that has its name, such as a folder, is renamed.
fn set_aside(state: &PrivateFolder, name: &str, to: &str) -> Result<()> {
    let dir = state.dir();
    match rustix::fs::linkat(dir, name, dir, to, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::PERM | Errno::NOTSUP | Errno::ISDIR) => disk::rename(dir, name.as_ref(), to.as_ref(), false),
        Err(e) => Err(Error::io("giving the damaged journal another name", e)),
    }
    .map_err(|e| e.on(state.path().join(name)))
}
