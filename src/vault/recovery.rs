//! Recovery: completes or rolls back interrupted operations, decided by the contents of the files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;

use rustix::fs::OFlags;

use crate::digest::sha256;
use crate::edit;
use crate::error::{Error, ErrorKind, Result};
use crate::vault::beneath::open_beneath;
use crate::vault::disk::Flusher;
use crate::vault::intent::Intent;
use crate::vault::layout::{self, COPY, JOURNAL};
use crate::vault::reader::Vault;
use crate::vault::record::{NewEntry, Operation, WriteMethod};
use crate::vault::recovered::{Recovered, RecoveryOutcome};
use crate::vault::segment::{self, AnnouncedWrites, IntentSegment};
use crate::vault::target::{self, Target};
use crate::vault::writer::Writer;
use crate::vault::{disk, objects, parts, write};

/// How many interrupted operations are settled together and share their flushes.
const TOGETHER: usize = 256;

/// How an interrupted operation is settled.
enum Settlement {
    /// Its line exists; only the intent has to be removed.
    Recorded(RecoveryOutcome),
    /// It is completed or rolled back once this file, if any, is flushed; then its line is written.
    Line(Operation, Option<Box<Target>>, RecoveryOutcome),
    /// It is not settled: the intent stays.
    Stay(RecoveryOutcome),
}

impl Vault {
    /// Creates the vault's folders where they are missing, takes its lock, and recovers every interrupted operation.
    ///
    /// An operation that can't be settled now does not keep the others from it: [`Writer::recovered`] has the outcomes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Busy`] if another run has the lock; [`ErrorKind::Io`] if the folder can't be created or written;
    /// [`ErrorKind::Untrusted`].
    pub fn writer(&self) -> Result<Writer<'_>> {
        let mut writer = self.lock()?;
        writer.recovered = writer.recover()?;
        Ok(writer)
    }
}

impl Writer<'_> {
    /// Completes or rolls back each operation that has an intent, and removes temporary files. A file that can't be settled does not prevent the
    /// recovery of others.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] if the vault itself can't be read or written.
    pub(super) fn recover(&mut self) -> Result<Vec<Recovered>> {
        let intents = self.vault.state.intents()?;
        let AnnouncedWrites { segments, damaged } = IntentSegment::all(&intents, self.vault.root.as_ref())?;
        self.damaged_intents = damaged;
        self.clear_temporaries()?;
        if segments.is_empty() {
            return Ok(Vec::new());
        }
        // The writer of an intent may have been stopped before its name was flushed. The following steps rely on it.
        disk::sync(intents.dir()).map_err(|e| Error::io("flushing the folder to disk", e).on(intents.path()))?;
        let mut lines = self.lines_of(&segments)?;
        let state = self.vault.state.open()?;
        let is_flushed = |name| disk::sync_by_name(state, name).is_ok();
        if !lines.is_empty() && !is_flushed(JOURNAL) && (self.tail.damage.is_empty() || !is_flushed(COPY)) {
            // No operation that depends on these lines can be settled now.
            lines.values_mut().for_each(|line| *line = None);
        }
        let mut outcomes = Vec::new();
        for segment in segments {
            outcomes.extend(self.settle(segment, &lines));
        }
        Ok(outcomes)
    }

    /// The operations that already have a line, which may not be flushed.
    fn lines_of(&self, segments: &[IntentSegment]) -> Result<BTreeMap<String, Option<Operation>>> {
        let ids: BTreeSet<&str> = segments.iter().flat_map(|s| &s.intents).map(|intent| intent.id.as_str()).collect();
        let mut lines = BTreeMap::new();
        self.vault.go_through(|line| {
            if ids.contains(line.entry.id.as_str()) {
                lines.insert(line.entry.id, Some(line.entry.operation));
            }
        })?;
        Ok(lines)
    }

    /// Settles the operations of one segment. Settled intents are removed from it, others stay.
    fn settle(&mut self, mut segment: IntentSegment, lines: &BTreeMap<String, Option<Operation>>) -> Vec<Recovered> {
        let mut outcomes: Vec<RecoveryOutcome> = Vec::with_capacity(segment.intents.len());
        let mut settled: BTreeSet<String> = BTreeSet::new();
        for intents in segment.intents.chunks(TOGETHER) {
            for (intent, (outcome, is_settled)) in intents.iter().zip(self.settle_some(intents, lines)) {
                outcomes.push(outcome);
                if is_settled {
                    settled.insert(intent.id.clone());
                }
            }
        }
        let what = |(intent, outcome): (&Intent, RecoveryOutcome)| Recovered {
            path: intent.change.path.clone(),
            operation: intent.operation,
            outcome,
        };
        let mut recovered: Vec<Recovered> = segment.intents.iter().zip(outcomes).map(what).collect();
        let is_settled: Vec<bool> = segment.intents.iter().map(|intent| settled.contains(&intent.id)).collect();
        let folder = self.vault.state.intents();
        let retired = folder.and_then(|folder| segment.retire(&folder, |intent| settled.contains(&intent.id)));
        if let Err(e) = retired {
            for (recovered, _) in recovered.iter_mut().zip(is_settled).filter(|(_, is_settled)| *is_settled) {
                recovered.outcome = RecoveryOutcome::Later(e.what().to_owned());
            }
        }
        recovered
    }

    /// The outcome for each of these intents, and whether the intent can be removed.
    fn settle_some(
        &mut self,
        intents: &[Intent],
        lines: &BTreeMap<String, Option<Operation>>,
    ) -> Vec<(RecoveryOutcome, bool)> {
        let later = |e: &Error| Settlement::Stay(RecoveryOutcome::Later(e.what().to_owned()));
        let mut flusher = Flusher::default();
        let mut ways: Vec<Settlement> = Vec::with_capacity(intents.len());
        for intent in intents {
            let way = match lines.get(&intent.id) {
                Some(Some(Operation::Undone)) => Settlement::Recorded(RecoveryOutcome::Undone),
                Some(Some(Operation::GivenUp)) => Settlement::Recorded(conflict("the operation was abandoned")),
                Some(Some(_)) => Settlement::Recorded(RecoveryOutcome::Done),
                Some(None) => {
                    Settlement::Stay(RecoveryOutcome::Later("the journal can't be flushed to disk".to_owned()))
                }
                None => way(intent, &mut flusher, intents.len()).unwrap_or_else(|e| later(&e)),
            };
            ways.push(way);
        }
        flush_files(&mut ways, &flusher);
        remove_temporaries(intents, &mut ways, &mut flusher);
        let of_lines = intents.iter().zip(&ways).filter_map(|(intent, way)| match way {
            Settlement::Line(operation, ..) => Some(NewEntry { operation: *operation, ..intent.line(true) }),
            Settlement::Recorded(_) | Settlement::Stay(_) => None,
        });
        let news: Vec<NewEntry> = of_lines.collect();
        if !news.is_empty()
            && let Err(e) = self.append_all(news)
        {
            ways.iter_mut().filter(|way| matches!(way, Settlement::Line(..))).for_each(|way| *way = later(&e));
        }
        let answer = |way| match way {
            Settlement::Recorded(outcome) | Settlement::Line(_, _, outcome) => (outcome, true),
            Settlement::Stay(outcome) => (outcome, false),
        };
        ways.into_iter().map(answer).collect()
    }

    /// Abandons the interrupted operations at this path, because a person resolves the conflict. The intents are removed, and the journal
    /// gets their lines.
    pub(super) fn give_up(&mut self, path: &Path) -> Result<()> {
        let folder = self.vault.state.intents()?;
        for mut segment in IntentSegment::all(&folder, self.vault.root.as_ref())?.segments {
            let here: Vec<Intent> = segment.intents.iter().filter(|i| i.change.path == path).cloned().collect();
            if here.is_empty() {
                continue;
            }
            let mut ways: Vec<Settlement> =
                here.iter().map(|_| Settlement::Line(Operation::GivenUp, None, RecoveryOutcome::Undone)).collect();
            remove_temporaries(&here, &mut ways, &mut Flusher::default());
            if let Some(Settlement::Stay(RecoveryOutcome::Later(what))) =
                ways.iter().find(|way| matches!(way, Settlement::Stay(_)))
            {
                return Err(Error::new(ErrorKind::Io, what).on(path));
            }
            let line = |intent: &Intent| NewEntry { operation: Operation::GivenUp, ..intent.line(true) };
            self.append_all(here.iter().map(line).collect())?;
            segment.retire(&folder, |intent| intent.change.path == path)?;
        }
        Ok(())
    }

    /// Removes incomplete files of the vault, which are never used. Files with any other name are not the vault's, and stay.
    fn clear_temporaries(&self) -> Result<()> {
        let state = self.vault.state.open()?.clone();
        parts::settle_stopped_import(&state)?;
        let [intents, objects] = [self.vault.state.intents()?, self.vault.objects().open()?];
        for (folder, is_own) in [
            (intents, segment::is_temporary as fn(&str) -> bool),
            (objects, objects::is_temporary as fn(&str) -> bool),
            (state, layout::is_temporary_journal as fn(&str) -> bool),
        ] {
            for name in folder.names(|name| name.to_str().is_some_and(is_own))? {
                match disk::remove_durably(folder.dir(), &name) {
                    // A folder is not the vault's.
                    Err(e) if e.is_errno(rustix::io::Errno::ISDIR) => {}
                    removed => removed.map_err(|e| e.on(folder.path().join(&name)))?,
                }
            }
        }
        Ok(())
    }
}

/// Decides by the contents of the file, and writes what has to be written. The result has the file that must be flushed.
fn way(intent: &Intent, flusher: &mut Flusher, together: usize) -> Result<Settlement> {
    let change = &intent.change;
    let undone =
        |target: Option<Target>| Settlement::Line(Operation::Undone, target.map(Box::new), RecoveryOutcome::Undone);
    let sha = match read_now(&change.path) {
        Ok(bytes) => sha256(&bytes),
        Err(e) if e.is_errno(rustix::io::Errno::NOENT) => {
            return Ok(match change.how {
                // The new file did not get its name.
                WriteMethod::Create => undone(None),
                // If the file is found elsewhere, this line leads from its contents to the backup.
                WriteMethod::InPlace | WriteMethod::Replace => {
                    let gone = conflict("the file is missing; its backup is kept");
                    Settlement::Line(Operation::GivenUp, None, gone)
                }
            });
        }
        Err(e) if e.is_errno(rustix::io::Errno::LOOP) => {
            return Ok(Settlement::Stay(conflict("the file was replaced by a symbolic link")));
        }
        Err(e) => return Err(e),
    };
    if sha != change.after && (sha == change.before || change.how != WriteMethod::InPlace) {
        match change.how {
            WriteMethod::Create => return Ok(undone(None)),
            WriteMethod::Replace if sha != change.before => {
                return Ok(Settlement::Stay(conflict("somebody else changed it meanwhile")));
            }
            WriteMethod::InPlace | WriteMethod::Replace => {}
        }
    }
    let mut target = Target::open(&change.path)?;
    if !Flusher::are_few(together) {
        flusher.watch(target.identity.0, &target.file);
    }
    if sha == change.after {
        if let Some(metadata) = &intent.metadata_after {
            write::give_metadata(metadata, &target.file)?;
        }
        target.forget_bytes();
        // The new bytes may not be flushed: their writer was stopped.
        return Ok(Settlement::Line(intent.operation, Some(Box::new(target)), RecoveryOutcome::Done));
    }
    if sha == change.before {
        // Not written yet, or already written back and perhaps not flushed: only the modification time may differ.
        if target.identity == intent.identity && target.metadata.modified != change.metadata.modified {
            change.metadata.give_times(&target.file)?;
        }
        target.forget_bytes();
        return Ok(undone(Some(target)));
    }
    match edit::undo_torn(&target.bytes, &change.edits) {
        Some(old) if sha256(&old) == change.before => {
            target.look_again()?;
            write::write_back(&target, &change.edits, &change.metadata)?;
            write::verify(&change.path, change.before, Some(target.identity))?;
            Ok(undone(None))
        }
        _ => Ok(Settlement::Stay(conflict("somebody else changed it meanwhile"))),
    }
}

fn flush_files(ways: &mut [Settlement], flusher: &Flusher) {
    let files: Vec<(usize, &Target)> = ways
        .iter()
        .enumerate()
        .filter_map(
            |(at, way)| if let Settlement::Line(_, Some(target), _) = way { Some((at, &**target)) } else { None },
        )
        .collect();
    let flushed = flusher.flush(&files.iter().map(|(_, t)| (t.identity.0, &t.file)).collect::<Vec<_>>());
    let failed: Vec<_> =
        files.iter().zip(flushed).filter_map(|((at, _), flushed)| Some((*at, flushed.err()?))).collect();
    for (at, e) in failed {
        if let Some(way) = ways.get_mut(at) {
            *way = Settlement::Stay(RecoveryOutcome::Later(Error::io("flushing to disk", e).what().to_owned()));
        }
    }
}

/// Removes the new files of settled operations durably.
fn remove_temporaries(intents: &[Intent], ways: &mut [Settlement], flusher: &mut Flusher) {
    let mut folders: BTreeMap<&Path, (u64, File)> = BTreeMap::new();
    for (intent, way) in intents.iter().zip(ways.iter_mut()).filter(|(_, way)| matches!(way, Settlement::Line(..))) {
        let (Some(temporary), Some(folder)) = (&intent.temporary, intent.change.path.parent()) else { continue };
        let removed = (|| {
            if !folders.contains_key(folder) {
                let dir = match disk::open_real_folder(folder) {
                    Ok(dir) => dir,
                    Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
                    Err(e) => return Err(e),
                };
                let device = target::identity(&dir)?.0;
                if !Flusher::are_few(intents.len()) {
                    flusher.watch(device, &dir);
                }
                folders.insert(folder, (device, dir));
            }
            folders.get(folder).map_or(Ok(()), |(_, dir)| disk::remove(dir, temporary.as_ref()))
        })();
        if let Err(e) = removed {
            *way = Settlement::Stay(RecoveryOutcome::Later(e.what().to_owned()));
        }
    }
    let flushed = flusher.flush(&folders.values().map(|(device, dir)| (*device, dir)).collect::<Vec<_>>());
    for ((folder, _), flushed) in folders.iter().zip(flushed) {
        let Err(e) = flushed else { continue };
        let of_it = intents.iter().zip(ways.iter_mut());
        for (_, way) in
            of_it.filter(|(i, way)| matches!(way, Settlement::Line(..)) && i.change.path.parent() == Some(folder))
        {
            *way =
                Settlement::Stay(RecoveryOutcome::Later(Error::io("flushing the folder to disk", e).what().to_owned()));
        }
    }
}

fn conflict(what: &str) -> RecoveryOutcome {
    RecoveryOutcome::Conflict(what.to_owned())
}

fn read_now(path: &Path) -> Result<Vec<u8>> {
    let file = open_beneath(path, OFlags::RDONLY).map_err(|e| Error::io("opening", e))?;
    disk::read_whole(&file)
}
