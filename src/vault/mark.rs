//! Marks: a module that was patched says so itself, by the modinfo entry `kmodlab_patched=` with the first digits of its original's
//! SHA-256. If the journal does not know the module, because it was lost or is another one, the mark leads to the backup.

use std::collections::BTreeSet;
use std::path::Path;

use crate::comparison::parts::compare_parts;
use crate::digest::Sha256;
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::module::Module;
use crate::module::container::Container;
use crate::module::summary::{MARK, Summarizer};
use crate::vault::objects::Objects;

/// The fewest digits of a mark that lead to a backup.
const FEWEST: usize = 8;

/// The largest module, in bytes, that is decompressed to look for its mark.
const LARGEST: u64 = 1 << 28;

/// The mark of a module: what its modinfo says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchMark(String);

/// Where the mark of a module leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkedOriginal {
    /// To this backup, which is whole and is the same module except for what a patch changes.
    Backup(Sha256),
    /// To this backup, which is damaged.
    Damaged(Sha256),
    /// To backups of other modules only.
    OtherModule,
    /// To no backup of this vault.
    Missing,
}

impl PatchMark {
    /// The mark of a module, given its bytes as they are stored. A file that is no module has none.
    pub fn of(stored: &[u8]) -> Option<PatchMark> {
        let mut summarizer = Summarizer::default();
        PatchMark::from(summarizer.bytes(stored, LARGEST).ok()?.mark)
    }

    /// The mark of the module at a path.
    pub fn of_file(path: &Path) -> Option<PatchMark> {
        let mut summarizer = Summarizer::default();
        PatchMark::from(summarizer.file(path, LARGEST).ok()?.mark)
    }

    fn from(value: Option<&[u8]>) -> Option<PatchMark> {
        value.map(|value| PatchMark(String::from_utf8_lossy(value).into_owned()))
    }

    /// The text of the mark.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The digits with which the SHA-256 of the original begins; `None` if the mark has no digits, or too few.
    pub fn digits(&self) -> Option<&str> {
        let is_hex = self.0.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (is_hex && (FEWEST..=64).contains(&self.0.len())).then_some(&self.0)
    }

    /// Looks for the original of a marked module, given its bytes as they are stored, among the backups.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Ambiguous`] if several backups are the same module; [`ErrorKind::Untrusted`] or [`ErrorKind::Io`] if the
    /// backups can't be listed.
    pub fn original_of(&self, stored: &[u8], objects: &Objects) -> Result<MarkedOriginal> {
        let Some(digits) = self.digits() else { return Ok(MarkedOriginal::Missing) };
        let named: BTreeSet<Sha256> = objects.all()?.into_iter().map(|object| object.sha).collect();
        let mut found = MarkedOriginal::Missing;
        let mut backups = Vec::new();
        for sha in named.into_iter().filter(|sha| sha.to_string().starts_with(digits)) {
            match objects.get(sha) {
                Ok(backup) if is_same_module(&backup, stored).unwrap_or(false) => backups.push(sha),
                Ok(_) => found = MarkedOriginal::OtherModule,
                Err(e) if e.kind() == ErrorKind::Untrusted => return Err(e),
                Err(_) => found = MarkedOriginal::Damaged(sha),
            }
        }
        match backups.as_slice() {
            [] => Ok(found),
            [only] => Ok(MarkedOriginal::Backup(*only)),
            several => {
                let what = format!("its mark {MARK}={digits} leads to {} backups", several.len());
                Err(Error::new(ErrorKind::Ambiguous, what).hint("copy the right one from objects/ in the state folder"))
            }
        }
    }

    /// The error of a marked module that the journal does not know, and whose mark leads to no original.
    pub fn unknown(&self, found: MarkedOriginal) -> Error {
        let why = match found {
            MarkedOriginal::Backup(_) => "the journal does not know it".to_owned(),
            MarkedOriginal::Damaged(sha) => format!("the journal does not know it, and the backup {sha} is damaged"),
            MarkedOriginal::OtherModule => {
                "the journal does not know it, and the backups with these digits are of other modules".to_owned()
            }
            MarkedOriginal::Missing => {
                "the journal does not know it, and no backup here begins with these digits".to_owned()
            }
        };
        let error = Error::new(ErrorKind::NotFound, format!("is patched by its mark {MARK}={}; {why}", self.0));
        match self.digits() {
            Some(digits) => error.remedy(Remedy::FindBackup(digits.to_owned())),
            None => error.remedy(Remedy::ShowHistory),
        }
    }
}

/// Whether two files, given by their bytes as they are stored, are the same module: of the same name, and equal except for what a patch
/// changes.
fn is_same_module(original: &[u8], found: &[u8]) -> Result<bool> {
    let image = |stored: &[u8]| Container::of(stored).decompress(stored, LARGEST);
    let (original, found) = (image(original)?, image(found)?);
    let name = |image: &[u8]| Module::read(image).map(|module| module.name());
    Ok(name(&original)? == name(&found)? && compare_parts(&original, &found)?.sections.is_empty())
}
