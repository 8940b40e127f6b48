//! Intent segments: the intents of one batch of writes, in one file.

use rustix::fs::OFlags;

use crate::error::{Error, ErrorKind, Result};
use crate::parallel;
use crate::private_folder::PrivateFolder;
use crate::vault::disk;
use crate::vault::intent::{Intent, is_id};

/// The extensions of files with one intent and with several.
const ENDINGS: [&str; 2] = ["json", "jsonl"];

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
}

impl IntentSegment {
    /// Writes intents durably.
    pub(super) fn write(folder: &PrivateFolder, mut intents: Vec<Intent>) -> Result<IntentSegment> {
        let signed =
            parallel::map(intents.iter_mut().collect(), |intent| intent.sum().map(|sum| intent.checksum = Some(sum)));
        signed.into_iter().collect::<Result<()>>()?;
        let id = intents.first().map_or("none", |first| &first.id);
        let [one, several] = ENDINGS;
        let name = format!("{id}.{}", if intents.len() == 1 { one } else { several });
        let segment = IntentSegment { name, intents };
        segment.put(folder)?;
        Ok(segment)
    }

    fn put(&self, folder: &PrivateFolder) -> Result<()> {
        let mut text = Vec::new();
        let failed = |e: serde_json::Error| Error::io("writing the intent", e);
        match self.intents.as_slice() {
            [only] => serde_json::to_writer_pretty(&mut text, only).map_err(failed)?,
            several => {
                for intent in several {
                    serde_json::to_writer(&mut text, intent).map_err(failed)?;
                    text.push(b'\n');
                }
            }
        }
        disk::create_durably(folder, &self.name, &text, 0o600)
    }

    /// Removes settled intents durably: those that were completed or rolled back.
    pub(super) fn retire(&mut self, folder: &PrivateFolder, is_settled: impl Fn(&Intent) -> bool) -> Result<()> {
        let before = self.intents.len();
        self.intents.retain(|intent| !is_settled(intent));
        match self.intents.len() {
            0 => {
                let removed = disk::remove_durably(folder.dir(), self.name.as_ref());
                removed.map_err(|e| e.on(folder.path().join(&self.name)))
            }
            left if left == before => Ok(()),
            _ => self.put(folder),
        }
    }

    /// All segments of a folder, oldest first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`]; [`ErrorKind::Untrusted`]; [`ErrorKind::Damaged`] for an intent with a wrong checksum, or with a property that this
    /// program never writes.
    pub(super) fn all(folder: &PrivateFolder) -> Result<Vec<IntentSegment>> {
        let mut segments = Vec::new();
        for name in folder.names(|name| ENDINGS.iter().any(|ending| name.extension() == Some(ending.as_ref())))? {
            let path = folder.path().join(&name);
            let file = folder.file(&name, "reading the intent", OFlags::RDONLY)?;
            let text = disk::read_whole(&file).map_err(|e| e.on(&path))?;
            let read = serde_json::Deserializer::from_slice(&text).into_iter::<Intent>();
            let intents: Vec<Intent> = read.collect::<Result<_, _>>().unwrap_or_default();
            let fits = |intent: &Intent| intent.sum().is_ok_and(|sum| Some(sum) == intent.checksum);
            if let Some(what) = intents.iter().filter(|intent| fits(intent)).find_map(Intent::oddity) {
                return Err(Error::new(ErrorKind::Damaged, format!("this intent is refused: {what}"))
                    .hint("this program did not write it; inspect it, then move it away")
                    .on(path));
            }
            let (Some(name), true) = (name.to_str(), !intents.is_empty() && intents.iter().all(fits)) else {
                return Err(Error::new(ErrorKind::Damaged, "this intent is damaged")
                    .hint("inspect it, then move it away")
                    .on(path));
            };
            segments.push(IntentSegment { name: name.to_owned(), intents });
        }
        Ok(segments)
    }
}
