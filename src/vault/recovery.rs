//! Recovery: finishes or undoes what an interrupted run left, by looking at content alone.

use std::path::PathBuf;

use rustix::fs::OFlags;

use crate::edit;
use crate::error::{Error, ErrorKind, Result};
use crate::module::sha256;
use crate::vault::intent::{self, Intent};
use crate::vault::journal::{How, News, Operation};
use crate::vault::target::{self, Target};
use crate::vault::{Locked, disk, write};

/// What became of one interrupted operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The file.
    pub path: PathBuf,
    /// What the operation was.
    pub operation: Operation,
    /// What became of it.
    pub outcome: Outcome,
}

/// The ways in which an interrupted operation ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The file is as after the operation; the journal now says so.
    Done,
    /// The file is as before the operation.
    Undone,
    /// The file is neither, and not torn by us: somebody else wrote it. Nothing was written; the words say more.
    Conflict(String),
    /// It can't be told or mended now (the words say why): the intent stays, and it can be tried again.
    Later(String),
}

impl Locked<'_> {
    /// Finishes or undoes each operation that an intent tells of, and clears away temporary files. One file that can't
    /// be settled does not keep the others from it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] if the vault itself can't be read or written; [`ErrorKind::Damaged`] for an intent that can't
    /// be read.
    pub fn recover(&mut self) -> Result<Vec<Recovered>> {
        self.clear_temporaries()?;
        let mut outcomes = Vec::new();
        let intents = Intent::all(&self.vault.intents())?;
        if !intents.is_empty() {
            // Whoever wrote an intent may have been stopped before its name lasted; what follows relies on it.
            disk::sync_folder(&self.vault.intents())?;
        }
        for intent in intents {
            let outcome = self.settle(&intent).unwrap_or_else(|e| Outcome::Later(e.what().to_owned()));
            outcomes.push(Recovered { path: intent.change.path.clone(), operation: intent.operation, outcome });
        }
        Ok(outcomes)
    }

    fn settle(&mut self, intent: &Intent) -> Result<Outcome> {
        let change = &intent.change;
        if let Some(line) = self.journal().entries.iter().find(|entry| entry.id == intent.id) {
            // The line was written, if perhaps not flushed; only the intent was still to go.
            let outcome = match line.operation {
                Operation::Undone => Outcome::Undone,
                Operation::GivenUp => conflict("it was given up"),
                _ => Outcome::Done,
            };
            disk::sync_by_name(&self.vault.journal_path())?;
            intent.retire(&self.vault.intents())?;
            return Ok(outcome);
        }
        let current = match read_now(&change.path) {
            Ok(bytes) => Some(bytes),
            Err(e) if e.is_errno(rustix::io::Errno::NOENT) => None,
            Err(e) if e.is_errno(rustix::io::Errno::LOOP) => return Ok(conflict("it is a symbolic link now")),
            Err(e) => return Err(e),
        };
        let Some(current) = current else {
            return match change.how {
                // The new file never got its name.
                How::Create => self.undone(intent),
                // Its line leads from its content back to the backup, should it turn up elsewhere.
                How::InPlace | How::Replace => {
                    self.give_up(intent)?;
                    Ok(conflict("it is not there any more; its backup is kept"))
                }
            };
        };
        let sha = sha256(&current);
        if sha == change.after {
            return self.finish(intent);
        }
        if sha == change.before && change.how != How::Create {
            self.put_times_back(intent)?;
            return self.undone(intent);
        }
        match change.how {
            How::InPlace => match edit::undo_torn(&current, &change.edits) {
                Some(old) if sha256(&old) == change.before => {
                    self.write_back(intent)?;
                    self.undone(intent)
                }
                _ => Ok(conflict("somebody else changed it meanwhile")),
            },
            How::Create => self.undone(intent),
            How::Replace => Ok(conflict("somebody else changed it meanwhile")),
        }
    }

    fn finish(&mut self, intent: &Intent) -> Result<Outcome> {
        let target = Target::open(&intent.change.path)?;
        write::give_metadata(intent.metadata_after.as_ref(), &target.file)?;
        // The bytes that were read may be in memory alone: whoever wrote them was stopped.
        disk::sync(&target.file).map_err(|e| Error::io("flushing to disk", e))?;
        self.remove_temporary(intent)?;
        self.close(intent, true)?;
        Ok(Outcome::Done)
    }

    /// The bytes were never written or already written back, if perhaps not flushed: only the time may have moved.
    fn put_times_back(&self, intent: &Intent) -> Result<()> {
        let target = Target::open(&intent.change.path)?;
        if target.identity == intent.identity && target.metadata.modified != intent.change.metadata.modified {
            intent.change.metadata.give_times(&target.file)?;
        }
        disk::sync(&target.file).map_err(|e| Error::io("flushing to disk", e))
    }

    fn write_back(&self, intent: &Intent) -> Result<()> {
        let target = Target::open(&intent.change.path)?;
        write::write_back(&target, &intent.change.edits, &intent.change.metadata)?;
        write::verify(&intent.change.path, &intent.change.before, Some(target.identity))
    }

    fn undone(&mut self, intent: &Intent) -> Result<Outcome> {
        self.end(intent, Operation::Undone)?;
        Ok(Outcome::Undone)
    }

    /// Gives an interrupted operation up: its conflict is being resolved by a person. Its intent goes, its line stays.
    pub(super) fn give_up(&mut self, intent: &Intent) -> Result<()> {
        self.end(intent, Operation::GivenUp)
    }

    fn end(&mut self, intent: &Intent, operation: Operation) -> Result<()> {
        self.remove_temporary(intent)?;
        self.append(News {
            id: intent.id.clone(),
            operation,
            recovered: true,
            change: Some(intent.change.clone()),
            note: intent.note.clone(),
        })?;
        intent.retire(&self.vault.intents())
    }

    fn remove_temporary(&self, intent: &Intent) -> Result<()> {
        let (Some(temporary), Some(folder)) = (&intent.temporary, intent.change.path.parent()) else { return Ok(()) };
        match disk::open_folder(folder) {
            Ok(dir) => disk::remove_durably(&dir, temporary.as_ref()),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Half-written files of the vault itself: they never counted.
    fn clear_temporaries(&self) -> Result<()> {
        for folder in [self.vault.intents(), self.vault.objects().folder] {
            let names = intent::names(&folder)?;
            for name in names.iter().filter(|name| name.extension().is_some_and(|e| e == "tmp")) {
                disk::remove_durably(&disk::open_folder(&folder)?, name.as_os_str())?;
            }
        }
        Ok(())
    }
}

fn conflict(what: &str) -> Outcome {
    Outcome::Conflict(what.to_owned())
}

fn read_now(path: &std::path::Path) -> Result<Vec<u8>> {
    let file = target::open_beneath(path, OFlags::RDONLY).map_err(|e| Error::io("opening", e))?;
    disk::read_whole(&file)
}
