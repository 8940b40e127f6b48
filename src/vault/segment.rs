//! Intent segments: the intents of one batch of writes, in one file.

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::PathBuf;

use rustix::fs::OFlags;

use crate::error::{Error, ErrorKind, Result};
use crate::parallel;
use crate::private_folder::PrivateFolder;
use crate::vault::disk;
use crate::vault::intent::{Intent, is_id};
use crate::vault::system_root::SystemRoot;

/// The extensions of files with one intent and with several.
const ENDINGS: [&str; 2] = ["json", "jsonl"];

/// The largest file with intents, in bytes.
const LARGEST: u64 = 1 << 30;

/// Whether this is the name of a segment that was being written.
pub(super) fn is_temporary(name: &str) -> bool {
    let name = name.strip_suffix(disk::TEMPORARY).and_then(|name| name.rsplit_once('.'));
    name.is_some_and(|(id, form)| is_id(id) && ENDINGS.contains(&form))
}

/// The intents of one batch of writes, in one file: one JSON object per intent. Announcing thousands takes the flushes of one file.
pub(super) struct IntentSegment {
    /// The name of the file.
    name: String,
    /// The intents.
    pub(super) intents: Vec<Intent>,
    /// Lines that can't be read. They stay.
    unreadable: Vec<Vec<u8>>,
    /// The root folder of the system whose intents these are, if that is not this one: in the file they have that system's paths.
    root: Option<SystemRoot>,
}

/// A file with an announced write that can't be read, or that this program never wrote. Nothing is done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedIntent {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub what: String,
}

/// The announced writes of a state folder.
#[derive(Default)]
pub(super) struct AnnouncedWrites {
    /// Those that can be read, oldest first.
    pub(super) segments: Vec<IntentSegment>,
    /// The others.
    pub(super) damaged: Vec<DamagedIntent>,
}

impl IntentSegment {
    /// Writes intents durably.
    pub(super) fn write(
        folder: &PrivateFolder,
        mut intents: Vec<Intent>,
        root: Option<&SystemRoot>,
    ) -> Result<IntentSegment> {
        let signed =
            parallel::map(intents.iter_mut().collect(), |intent| intent.sum().map(|sum| intent.checksum = Some(sum)));
        signed.into_iter().collect::<Result<()>>()?;
        let id = intents.first().map_or("none", |first| &first.id);
        let [one, several] = ENDINGS;
        let name = format!("{id}.{}", if intents.len() == 1 { one } else { several });
        let segment = IntentSegment { name, intents, unreadable: Vec::new(), root: root.cloned() };
        segment.put(folder)?;
        Ok(segment)
    }

    fn put(&self, folder: &PrivateFolder) -> Result<()> {
        let mut text = Vec::new();
        let failed = |e: serde_json::Error| Error::io("writing the intent", e);
        let intents = match &self.root {
            None => Cow::Borrowed(&self.intents),
            Some(root) => Cow::Owned(self.intents.iter().map(|intent| inside(intent, root)).collect::<Result<_>>()?),
        };
        match intents.as_slice() {
            [only] if self.unreadable.is_empty() => serde_json::to_writer_pretty(&mut text, only).map_err(failed)?,
            several => {
                for intent in several {
                    serde_json::to_writer(&mut text, intent).map_err(failed)?;
                    text.push(b'\n');
                }
                self.unreadable.iter().for_each(|line| text.extend([line.as_slice(), b"\n"].concat()));
            }
        }
        if text.len() as u64 > LARGEST {
            let what = format!("the announced writes would have more than {LARGEST} bytes");
            return Err(Error::new(ErrorKind::TooLarge, what).on(folder.path().join(&self.name)));
        }
        disk::create_durably(folder, &self.name, &text, 0o600)
    }

    /// Removes settled intents durably: those that were completed or rolled back.
    pub(super) fn retire(&mut self, folder: &PrivateFolder, is_settled: impl Fn(&Intent) -> bool) -> Result<()> {
        let before = self.intents.len();
        self.intents.retain(|intent| !is_settled(intent));
        match self.intents.len() {
            0 if self.unreadable.is_empty() => {
                let removed = disk::remove_durably(folder.dir(), self.name.as_ref());
                removed.map_err(|e| e.on(folder.path().join(&self.name)))
            }
            left if left == before => Ok(()),
            _ => self.put(folder),
        }
    }

    /// The names of the files with announced writes in a folder.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] if the folder can't be read.
    pub(super) fn names(folder: &PrivateFolder) -> Result<Vec<OsString>> {
        folder.names(|name| ENDINGS.iter().any(|ending| name.extension() == Some(ending.as_ref())))
    }

    /// All announced writes of a folder.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] if the folder can't be read; [`ErrorKind::Untrusted`] for a file that another user could have written. A file that
    /// can't be read, with a wrong checksum, or with a property that this program never writes, is no error: the result has it.
    pub(super) fn all(folder: &PrivateFolder, root: Option<&SystemRoot>) -> Result<AnnouncedWrites> {
        let mut announced = AnnouncedWrites::default();
        for name in IntentSegment::names(folder)? {
            let path = folder.path().join(&name);
            let text = folder
                .file(&name, "reading the intent", OFlags::RDONLY)
                .and_then(|file| disk::read_text(&file, LARGEST));
            let (intents, unreadable, what) = match text {
                Ok(text) => readable(&text),
                Err(e) if e.kind() == ErrorKind::Untrusted => return Err(e),
                Err(e) => (Vec::new(), Vec::new(), Some(e.what().to_owned())),
            };
            announced.damaged.extend(what.map(|what| DamagedIntent { path, what }));
            if let (Some(name), false) = (name.to_str(), intents.is_empty()) {
                let intents = match root {
                    Some(root) => intents.into_iter().map(|intent| root.intent(intent)).collect(),
                    None => intents,
                };
                let (name, root) = (name.to_owned(), root.cloned());
                announced.segments.push(IntentSegment { name, intents, unreadable, root });
            }
        }
        Ok(announced)
    }
}

/// An intent as the system with this root folder sees it, with its checksum.
fn inside(intent: &Intent, root: &SystemRoot) -> Result<Intent> {
    let mut inside = intent.clone();
    inside.change.path = root.inside(&intent.change.path);
    inside.checksum = Some(inside.sum()?);
    Ok(inside)
}

/// The intents in a text, the lines that are none, and what is wrong with these.
fn readable(text: &[u8]) -> (Vec<Intent>, Vec<Vec<u8>>, Option<String>) {
    let problem = |intent: &Intent| match intent.sum() {
        Ok(sum) if Some(sum) == intent.checksum => {
            intent.oddity().map(|what| format!("this intent is refused: {what}"))
        }
        _ => Some(DAMAGED.to_owned()),
    };
    if let Ok(one) = serde_json::from_slice::<Intent>(text) {
        return match problem(&one) {
            None => (vec![one], Vec::new(), None),
            what => (Vec::new(), Vec::new(), what),
        };
    }
    let (mut intents, mut unreadable, mut first) = (Vec::new(), Vec::new(), None);
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let read = serde_json::from_slice::<Intent>(line).map_err(|_| DAMAGED.to_owned());
        match read.and_then(|intent| problem(&intent).map_or(Ok(intent), Err)) {
            Ok(intent) => intents.push(intent),
            Err(what) => {
                unreadable.push(line.to_vec());
                first.get_or_insert(what);
            }
        }
    }
    if intents.is_empty() && first.is_none() {
        first = Some(DAMAGED.to_owned());
    }
    (intents, unreadable, first)
}

/// What is wrong with an intent that can't be read, or that has another checksum.
const DAMAGED: &str = "this intent is damaged";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// What a run below another system's root folder announces, that system's own recovery understands, and the other way round.
    #[test]
    fn an_intent_has_the_paths_of_the_system_whose_state_it_is_in() {
        let folder = tempfile::tempdir().unwrap();
        let root = SystemRoot::open(folder.path()).unwrap();
        let outside = root.folder().join("srv/a.ko");
        let state = PrivateFolder::open(folder.path()).unwrap();
        let intents = [1, 2].map(|number| {
            let mut intent = crate::vault::intent::tests::intent(number);
            intent.change.path.clone_from(&outside);
            intent
        });
        let mut written = IntentSegment::write(&state, intents.to_vec(), Some(&root)).unwrap();
        let paths = |root: Option<&SystemRoot>| {
            let announced = IntentSegment::all(&state, root).unwrap();
            assert_eq!(announced.damaged, []);
            let intents = announced.segments.into_iter().flat_map(|segment| segment.intents);
            intents.map(|intent| intent.change.path).collect::<Vec<_>>()
        };
        assert_eq!(paths(None), [Path::new("/srv/a.ko"); 2]);
        assert_eq!(paths(Some(&root)), [outside.as_path(); 2]);
        // What is left after one of them was settled has that system's paths too.
        written.retire(&state, |intent| intent.id == intents[0].id).unwrap();
        assert_eq!((paths(None), paths(Some(&root))), (vec!["/srv/a.ko".into()], vec![outside]));
    }
}
