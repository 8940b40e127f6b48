//! The write protocol: how files are changed so that their old or new contents can be had at every moment.
//!
//! Backups, intents, a second check, the writes, verification through new descriptors, journal lines, and only then the removal of the
//! intents. Each step is done for the complete group before the next one, so that a group takes the flushes of one file. If the protocol is
//! interrupted, [`super::recovery`] finds the intents, and the contents of each file show how far its write got.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::digest::Sha256;
use crate::edit::{self, Edit};
use crate::error::{Error, ErrorKind, Result};
use crate::module::container::Container;
use crate::parallel;
use crate::vault::disk::{self, Flusher};
use crate::vault::intent::Intent;
use crate::vault::metadata::Metadata;
use crate::vault::record::{self, FileChange, JournalEntry, NewEntry, Operation, PatchRecord, WriteMethod};
use crate::vault::segment::IntentSegment;
use crate::vault::staging::Staging;
use crate::vault::target::{self, Target};
use crate::vault::write;
use crate::vault::writer::Writer;

/// The maximum number of files per group: enough that the flushes of a group are cheap per file, and few enough to bound the memory.
const MOST_FILES: usize = 1024;

/// The bytes that a group keeps in memory before it is written: new files, and edits.
const MOST_BYTES: usize = 32 << 20;

/// How many files are inspected before the size of the group is checked.
const STEP: usize = 128;

/// Descriptors that are reserved for other uses.
const RESERVE: u64 = 128;

/// Descriptors that one file of a group may hold open: itself, its backup, its new file, and the directory of that.
const OPEN_FOR_EACH: u64 = 4;

/// A write that is planned for one file.
pub struct PlannedWrite {
    /// Patch or restore.
    pub operation: Operation,
    /// The new contents; `None` if the edits of an uncompressed file lead to them, so that a large file is not in memory twice.
    pub after: Option<Vec<u8>>,
    /// The SHA-256 of the new contents. If it is wrong, verification fails, and the write is rolled back.
    pub after_sha256: Sha256,
    /// The planned edits. If they keep the length and lead to `after`, they are written in place; otherwise a new file replaces the old one.
    pub edits: Vec<Edit>,
    /// The metadata that the file gets; `None` keeps the present ones, except for the times.
    pub metadata_after: Option<Metadata>,
    /// The module's name, for the journal.
    pub module: String,
    /// The labels before and after, for the journal ([`FileChange::vermagic_before`]).
    pub vermagic: (Option<String>, Option<String>),
    /// Digest of the plan that was confirmed, for the journal.
    pub plan: Option<Sha256>,
    /// Overrides used, for the journal.
    pub overrides: Vec<String>,
    /// What a patch was for, and what became of the parts that a kernel checks, for the journal.
    pub patch: Option<PatchRecord>,
    /// Anything else for the journal.
    pub note: Option<String>,
    /// How the file is compressed. If it is, the edits apply to the uncompressed bytes, and a new file replaces the old one.
    pub container: Container,
    /// The path of a new file that gets the new contents, where there must be none. The target is then not changed.
    pub creates: Option<PathBuf>,
}

/// A file of a group.
struct GroupMember<'t> {
    target: HeldTarget<'t>,
    intent: Intent,
    /// The contents of the new file until it is written; empty for writes in place.
    after: Vec<u8>,
    /// The new file.
    new: Option<File>,
}

/// A target that the group owns, or that the caller owns.
enum HeldTarget<'t> {
    Own(Target),
    Lent(&'t Target),
}

impl Deref for HeldTarget<'_> {
    type Target = Target;

    fn deref(&self) -> &Target {
        match self {
            HeldTarget::Own(target) => target,
            HeldTarget::Lent(target) => target,
        }
    }
}

impl Writer<'_> {
    /// Carries a change of one file out, by the protocol.
    ///
    /// # Errors
    ///
    /// Any, with the file as it was before; but [`ErrorKind::NeedsRecovery`] where only `recover` can tell.
    pub(crate) fn carry_out(&mut self, target: &Target, wanted: PlannedWrite) -> Result<JournalEntry> {
        if !wanted.operation.is_way_back() {
            self.must_be_whole()?;
        }
        let objects = self.vault.objects();
        let backups = Staging::begin(&objects, 1)?;
        backups.stage(target.sha256(), &target.bytes, &target.file)?;
        backups.settle()?;
        let creates = wanted.creates.as_deref().map(target::real_path).transpose()?;
        let wanted = PlannedWrite { creates, ..wanted };
        let member = GroupMember::new(HeldTarget::Lent(target), wanted).map_err(|e| e.on(&target.path))?;
        let done = self.commit(vec![member])?.pop();
        done.unwrap_or_else(|| Err(Error::new(ErrorKind::Io, "nothing came of it").on(&target.path)))
    }

    /// Carries out many changes, in groups, each by the protocol. `files` are `count` real paths ([`target::real_path`]), each once, with the
    /// caller's data; they are taken one group at a time.
    ///
    /// `decide` opens each file as a target and plans its write, on any thread; `None` means that there is nothing to do. `report` is called
    /// for each file, in order, when its group is durable. A failure of one file does not affect the others.
    ///
    /// # Errors
    ///
    /// A failure of the vault itself, or an error among `files`, which ends the call: a file that was not reported has its old contents,
    /// unless the error is [`ErrorKind::NeedsRecovery`].
    pub(crate) fn carry_out_all<T: Send + Sync>(
        &mut self,
        count: usize,
        files: impl IntoIterator<Item = Result<(PathBuf, T)>>,
        decide: impl Fn(&T, &Path) -> Result<Option<(Target, PlannedWrite)>> + Sync + Send,
        mut report: impl FnMut(&Path, T, Result<Option<JournalEntry>>),
    ) -> Result<()> {
        let tail = self.tail.clone();
        let decide = |own: &T, path: &Path| {
            let wanted = decide(own, path)?;
            match wanted.as_ref().is_some_and(|(_, wanted)| !wanted.operation.is_way_back()) {
                true => tail.must_be_whole().map(|()| wanted),
                false => Ok(wanted),
            }
        };
        let objects = self.vault.objects();
        let most = if Flusher::are_few(count) { count.max(1) } else { most_files() };
        let mut files = files.into_iter().peekable();
        let mut left = count;
        while files.peek().is_some() {
            let backups = Staging::begin(&objects, left)?;
            let mut members = Vec::new();
            let mut group: Vec<(PathBuf, T)> = Vec::new();
            let mut answers: Vec<Option<Result<Option<JournalEntry>>>> = Vec::new();
            let mut kept = 0;
            while members.len() < most && kept < MOST_BYTES {
                let step = STEP.min(most - members.len());
                let some: Vec<(PathBuf, T)> = files.by_ref().take(step).collect::<Result<_>>()?;
                if some.is_empty() {
                    break;
                }
                let looked = parallel::map_files(
                    some.iter().collect(),
                    |(path, _)| path,
                    |(path, own)| look(path, own, &decide, &backups),
                );
                for looked in looked {
                    match looked {
                        Inspected::Ready(member) => {
                            kept += member.kept();
                            members.push(*member);
                            answers.push(None);
                        }
                        Inspected::Nothing => answers.push(Some(Ok(None))),
                        Inspected::Failed(error) => answers.push(Some(Err(error))),
                        Inspected::Stop(error) => return Err(error),
                    }
                }
                group.extend(some);
            }
            left = left.saturating_sub(group.len());
            backups.settle()?;
            let mut done = self.commit(members)?.into_iter();
            for ((path, own), answer) in group.into_iter().zip(answers) {
                match answer.or_else(|| done.next().map(|done| done.map(Some))) {
                    Some(answer) => report(&path, own, answer),
                    None => return Err(Error::new(ErrorKind::Io, "a file of the group was forgotten")),
                }
            }
        }
        Ok(())
    }

    /// The protocol, from the intents on: the backups are there. What became of each member is in the answer; the error
    /// is the vault's own.
    fn commit(&mut self, mut members: Vec<GroupMember<'_>>) -> Result<Vec<Result<JournalEntry>>> {
        if members.is_empty() {
            return Ok(Vec::new());
        }
        members.iter_mut().for_each(|member| member.intent.run.clone_from(&self.vault.run));
        let folder = self.vault.state.intents()?;
        let mut segment = IntentSegment::write(
            &folder,
            members.iter().map(|m| m.intent.clone()).collect(),
            self.vault.root.as_ref(),
        )?;
        let mut group = WriteGroup::of(members);
        group.write();
        group.flush();
        group.name();
        group.verify();
        group.give_metadata();

        let going = group.members.iter().zip(&group.fates).filter(|(_, fate)| fate.is_ok());
        let news: Vec<NewEntry> = going.map(|(member, _)| member.intent.line(false)).collect();
        let mut lines = match news.is_empty() {
            true => Vec::new(),
            false => self.append_all(news).map_err(write::unfinished)?,
        }
        .into_iter();
        let unfinished: BTreeSet<&str> = group.unfinished().collect();
        let retired = segment.retire(&folder, |intent| !unfinished.contains(intent.id.as_str()));
        if unfinished.is_empty() {
            retired.map_err(|e| if group.fates.iter().any(Result::is_ok) { write::unfinished(e) } else { e })?;
        }
        let fates = group.fates.into_iter();
        let forgotten = || Error::new(ErrorKind::Io, "a line of the journal was forgotten");
        Ok(fates.map(|fate| fate.and_then(|()| lines.next().ok_or_else(forgotten))).collect())
    }
}

/// The result of inspecting a file.
enum Inspected {
    Ready(Box<GroupMember<'static>>),
    /// There is nothing to do.
    Nothing,
    /// This file can't be written.
    Failed(Error),
    /// The backup could not be written. It would fail for every other file too.
    Stop(Error),
}

fn look<T>(
    path: &Path,
    own: &T,
    decide: &impl Fn(&T, &Path) -> Result<Option<(Target, PlannedWrite)>>,
    backups: &Staging<'_>,
) -> Inspected {
    let (target, wanted) = match decide(own, path) {
        Ok(Some(decided)) => decided,
        Ok(None) => return Inspected::Nothing,
        Err(e) => return Inspected::Failed(e.on(path)),
    };
    if let Err(e) = backups.stage(target.sha256(), &target.bytes, &target.file) {
        return Inspected::Stop(e);
    }
    match GroupMember::new(HeldTarget::Own(target), wanted) {
        Ok(mut member) => {
            if let HeldTarget::Own(target) = &mut member.target {
                target.forget_bytes();
            }
            Inspected::Ready(Box::new(member))
        }
        Err(e) => Inspected::Failed(e.on(path)),
    }
}

impl Intent {
    /// The intent of a planned write.
    fn of(target: &Target, wanted: PlannedWrite, how: WriteMethod, at: &Path, size_after: u64) -> Intent {
        let id = record::new_id();
        let temporary = (how != WriteMethod::InPlace).then(|| Intent::temporary_of(&id));
        let change = FileChange {
            path: at.to_owned(),
            module: wanted.module,
            how,
            before: target.sha256(),
            after: wanted.after_sha256,
            size_before: target.size(),
            size_after,
            edits: wanted.edits,
            container: wanted.container,
            metadata: target.metadata.clone(),
            vermagic_before: wanted.vermagic.0,
            vermagic_after: wanted.vermagic.1,
            plan: wanted.plan,
            overrides: wanted.overrides,
            patch: wanted.patch,
        };
        Intent {
            schema_version: record::SCHEMA_VERSION,
            id,
            operation: wanted.operation,
            change,
            identity: target.identity,
            metadata_after: wanted.metadata_after,
            temporary,
            note: wanted.note,
            run: None,
            checksum: None,
        }
    }
}

impl<'t> GroupMember<'t> {
    /// # Errors
    ///
    /// [`ErrorKind::Changed`] if the new contents are known only by edits, and these do not fit the file.
    fn new(target: HeldTarget<'t>, mut wanted: PlannedWrite) -> Result<GroupMember<'t>> {
        let (after, creates) = (wanted.after.take(), wanted.creates.take());
        let fit = || edit::fit_in_place(&target.bytes, &wanted.edits, after.as_deref());
        let how = match creates {
            Some(_) => WriteMethod::Create,
            None if wanted.container.is_none() && fit() => WriteMethod::InPlace,
            None => WriteMethod::Replace,
        };
        let after = match (how, after) {
            (WriteMethod::InPlace, _) => Vec::new(),
            (_, Some(after)) => after,
            (_, None) => edit::apply(&target.bytes, &wanted.edits)?,
        };
        let size_after = if how == WriteMethod::InPlace { target.size() } else { after.len() as u64 };
        let intent = Intent::of(&target, wanted, how, creates.as_deref().unwrap_or(&target.path), size_after);
        Ok(GroupMember { target, intent, after, new: None })
    }

    fn is_in_place(&self) -> bool {
        self.intent.change.how == WriteMethod::InPlace
    }

    fn is_created(&self) -> bool {
        self.intent.change.how == WriteMethod::Create
    }

    /// The approximate number of bytes that it keeps in memory.
    fn kept(&self) -> usize {
        let edits: usize = self.intent.change.edits.iter().map(|e| e.old.len() + e.new.len()).sum();
        // Edits exist three times: as bytes, and as hexadecimal digits in the segment and in the journal line.
        self.after.len() + 5 * edits + 4096
    }

    /// The name of its new file until it replaces the old one.
    fn temporary(&self) -> OsString {
        self.intent.temporary.clone().unwrap_or_default().into()
    }
}

/// A group that goes through the protocol. Each step is done for all members that did not fail.
struct WriteGroup<'t> {
    members: Vec<GroupMember<'t>>,
    /// The result of each member up to now.
    fates: Vec<Result<()>>,
    /// The directories of new files, with their devices.
    folders: BTreeMap<PathBuf, (u64, File)>,
    flusher: Flusher,
}

impl<'t> WriteGroup<'t> {
    fn of(members: Vec<GroupMember<'t>>) -> WriteGroup<'t> {
        let mut group = WriteGroup {
            fates: members.iter().map(|_| Ok(())).collect(),
            members,
            folders: BTreeMap::new(),
            flusher: Flusher::default(),
        };
        let is_few = Flusher::are_few(group.members.len());
        for (member, fate) in group.members.iter().zip(&mut group.fates) {
            let device = member.target.identity.0;
            if !is_few {
                group.flusher.watch(device, &member.target.file);
            }
            if member.is_in_place() {
                continue;
            }
            let path = &member.intent.change.path;
            let Some(folder) = path.parent().filter(|_| path.file_name().is_some()) else {
                *fate = Err(Error::new(ErrorKind::Usage, "names no file").on(path));
                continue;
            };
            if group.folders.contains_key(folder) {
                continue;
            }
            let opened = disk::open_real_folder(folder).and_then(|dir| Ok((target::identity(&dir)?.0, dir)));
            match opened {
                Ok((device, dir)) => {
                    if !is_few {
                        group.flusher.watch(device, &dir);
                    }
                    group.folders.insert(folder.to_owned(), (device, dir));
                }
                Err(e) => *fate = Err(e.on(path)),
            }
        }
        group
    }

    /// Checks each file again, then writes its spans, or the new file.
    fn write(&mut self) {
        let folders = &self.folders;
        each_going(&mut self.members, &mut self.fates, |member| {
            let (target, intent) = (&member.target, &member.intent);
            let path = &intent.change.path;
            if member.is_in_place() {
                target.look_again()?;
                let written = write::write_spans(&target.file, &intent.change.edits, |e| &e.new);
                return written.map_err(|e| write::undo(target, intent, Error::io("writing", e).on(path)));
            }
            let dir = folder_of(folders, path)?;
            let given = intent.metadata_after.as_ref().unwrap_or(&target.metadata);
            let with_times = intent.metadata_after.is_some();
            let made = write::make_beside(dir, &member.temporary(), &member.after, given, with_times);
            member.new = Some(made.map_err(|e| write::take_away(dir, &member.temporary(), true, e.on(path)))?);
            Ok(())
        });
    }

    /// Flushes the writes. A flush that fails is not repeated; the write is rolled back.
    fn flush(&mut self) {
        let going = self.members.iter().zip(&self.fates).enumerate().filter(|(_, (_, fate))| fate.is_ok());
        let files: Vec<(usize, (u64, &File))> = going
            .map(|(at, (member, _))| match &member.new {
                None => (at, (member.target.identity.0, &member.target.file)),
                Some(new) => (at, (self.device_of(member), new)),
            })
            .collect();
        let flushed = self.flusher.flush(&files.iter().map(|(_, file)| *file).collect::<Vec<_>>());
        let failed: Vec<_> =
            files.iter().zip(flushed).filter_map(|((at, _), answer)| Some((*at, answer.err()?))).collect();
        for (at, e) in failed {
            if let (Some(member), Some(fate)) = (self.members.get(at), self.fates.get_mut(at)) {
                let path = &member.intent.change.path;
                *fate = Err(match folder_of(&self.folders, path) {
                    _ if member.is_in_place() => {
                        write::undo(&member.target, &member.intent, Error::io("writing", e).on(path))
                    }
                    Ok(dir) => {
                        let error = Error::io("flushing to disk", e).on(path);
                        write::take_away(dir, &member.temporary(), true, error)
                    }
                    Err(error) => write::unfinished(error),
                });
            }
        }
    }

    /// Reads new files back and lets them replace the old ones, if these are unchanged; then flushes the directories.
    fn name(&mut self) {
        let folders = &self.folders;
        each_going(&mut self.members, &mut self.fates, |member| {
            let Some(new) = member.new.take() else { return Ok(()) };
            let after = std::mem::take(&mut member.after);
            let path = &member.intent.change.path;
            let dir = folder_of(folders, path)?;
            let read_back = || match disk::holds(&new, &after)? {
                true => Ok(()),
                false => {
                    Err(Error::new(ErrorKind::Io, "verification failed: the bytes read differ from the bytes written"))
                }
            };
            let look_again = || if member.is_created() { Ok(()) } else { member.target.look_again() };
            read_back()
                .and_then(|()| look_again())
                .map_err(|e| write::take_away(dir, &member.temporary(), true, e.on(path)))?;
            let name = path.file_name().unwrap_or_default();
            let renamed = disk::rename(dir, &member.temporary(), name, !member.is_created());
            renamed.map_err(|e| not_named(member, dir, e))
        });
        let mut wanted: BTreeMap<&Path, Vec<usize>> = BTreeMap::new();
        for (at, (member, fate)) in self.members.iter().zip(&self.fates).enumerate() {
            if let (false, Ok(()), Some(folder)) = (member.is_in_place(), fate, member.intent.change.path.parent()) {
                wanted.entry(folder).or_default().push(at);
            }
        }
        let dirs: Vec<(u64, &File)> =
            wanted.keys().filter_map(|folder| self.folders.get(*folder)).map(|(device, dir)| (*device, dir)).collect();
        let flushed = self.flusher.flush(&dirs);
        for ((at, answer), (_, dir)) in wanted.into_values().zip(flushed).zip(dirs) {
            let Err(e) = answer else { continue };
            for at in at {
                if let (Some(member), Some(fate)) = (self.members.get(at), self.fates.get_mut(at)) {
                    *fate = Err(not_named(member, dir, Error::io("flushing the folder to disk", e)));
                }
            }
        }
    }

    /// Reads each file through a new descriptor.
    fn verify(&mut self) {
        each_going(&mut self.members, &mut self.fates, |member| {
            let (target, intent) = (&member.target, &member.intent);
            let path = &intent.change.path;
            match member.is_in_place() {
                true => write::verify(path, intent.change.after, Some(target.identity))
                    .map_err(|e| write::undo(target, intent, e)),
                false => write::verify(path, intent.change.after, None).map_err(write::unfinished),
            }
        });
    }

    /// Gives files that were written in place their metadata, durably. (New files have them from the start.) The contents are complete, so
    /// recovery completes whatever fails from here on.
    fn give_metadata(&mut self) {
        let given = |member: &GroupMember<'_>| member.is_in_place() && member.intent.metadata_after.is_some();
        each_going(&mut self.members, &mut self.fates, |member| match &member.intent.metadata_after {
            Some(metadata) if given(member) => write::give_metadata(metadata, &member.target.file)
                .map_err(|e| write::unfinished(e.on(&member.intent.change.path))),
            _ => Ok(()),
        });
        let going = self.members.iter().zip(&mut self.fates).filter(|(member, fate)| fate.is_ok() && given(member));
        let (members, fates): (Vec<_>, Vec<_>) = going.unzip();
        let files: Vec<(u64, &File)> = members.iter().map(|m| (m.target.identity.0, &m.target.file)).collect();
        for ((member, fate), flushed) in members.iter().zip(fates).zip(self.flusher.flush(&files)) {
            if let Err(e) = flushed {
                let error = Error::io("flushing to disk", e).on(&member.intent.change.path);
                *fate = Err(write::unfinished(error));
            }
        }
    }

    /// The ids of the intents that only recovery can settle.
    fn unfinished(&self) -> impl Iterator<Item = &str> {
        let fates = self.members.iter().zip(&self.fates);
        fates
            .filter(|(_, fate)| fate.as_ref().is_err_and(|e| e.kind() == ErrorKind::NeedsRecovery))
            .map(|(member, _)| member.intent.id.as_str())
    }

    /// The device on which a member's new file is.
    fn device_of(&self, member: &GroupMember<'_>) -> u64 {
        let folder = member.intent.change.path.parent().and_then(|folder| self.folders.get(folder));
        folder.map_or(member.target.identity.0, |(device, _)| *device)
    }
}

/// Calls `work` for each member that did not fail, on all cores.
fn each_going<'t>(
    members: &mut [GroupMember<'t>],
    fates: &mut [Result<()>],
    work: impl Fn(&mut GroupMember<'t>) -> Result<()> + Sync + Send,
) {
    let going = members.iter_mut().zip(fates).filter(|(_, fate)| fate.is_ok()).collect();
    parallel::map(going, |(member, fate)| *fate = work(member));
}

fn folder_of<'f>(folders: &'f BTreeMap<PathBuf, (u64, File)>, path: &Path) -> Result<&'f File> {
    let folder = path.parent().and_then(|folder| folders.get(folder));
    folder.map(|(_, dir)| dir).ok_or_else(|| Error::new(ErrorKind::Usage, "names no file").on(path))
}

/// The error for a new file that was not renamed, or whose name may not be durable. The contents of the file decide.
fn not_named(member: &GroupMember<'_>, dir: &File, error: Error) -> Error {
    let change = &member.intent.change;
    let is_taken = error.kind() == ErrorKind::Usage;
    let error = match member.intent.operation {
        Operation::Restore if is_taken => {
            Error::new(ErrorKind::Changed, "a file appeared there meanwhile; nothing was written")
        }
        _ => error,
    };
    let is_as_before = match change.how {
        WriteMethod::Create => is_taken || !change.path.exists(),
        WriteMethod::InPlace | WriteMethod::Replace => write::verify(&change.path, change.before, None).is_ok(),
    };
    write::take_away(dir, &member.temporary(), is_as_before, error.on(&change.path))
}

/// The maximum number of files per group by the number of descriptors. The limit of this process is raised first.
fn most_files() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let room = current.map_or(u64::MAX, |descriptors| descriptors.saturating_sub(RESERVE) / OPEN_FOR_EACH);
    usize::try_from(room).unwrap_or(MOST_FILES).clamp(1, MOST_FILES)
}
