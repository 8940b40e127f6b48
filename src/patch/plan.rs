//! The plan: the exact edits before anything is written. Pure: bytes and a wish in, edits out.

use serde::Serialize;

use crate::edit::{self, Edit};
use crate::error::{Error, ErrorKind, Result};
use crate::module::modinfo::Entry;
use crate::module::{Module, Sha256Hex, sha256};
use crate::vermagic::{Comparison, Vermagic, compare};

/// What becomes of the version magic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The string is replaced by another. The kernel sees a module that fits: no force, and no taint F.
    Rewrite,
    /// The whole entry becomes NULs, as kmod's `--force-vermagic` does to its copy (libkmod-elf.c): the kernel needs
    /// CONFIG_MODULE_FORCE_LOAD, and sets taint F.
    Blank,
}

/// What becomes of the signature trailer, which no longer fits the changed bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Signature {
    /// A signed module is not patched.
    #[default]
    Refuse,
    /// The trailer goes: the module counts as unsigned.
    Strip,
    /// The trailer stays: a kernel that knows its key refuses the module.
    Keep,
}

/// What is wished for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// This string instead of the old one.
    Rewrite(Vec<u8>),
    /// No string at all.
    Blank,
}

/// The exact edits, and what they lead to.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How the version magic is changed.
    pub mode: Mode,
    /// What becomes of the trailer.
    pub signature: Signature,
    /// The edits, by offset. Empty if the module is already as wished.
    pub edits: Vec<Edit>,
    /// Version magic before.
    pub vermagic_before: Vermagic,
    /// Version magic after; `None` for a blanked one.
    pub vermagic_after: Option<Vermagic>,
    /// How long a new string may be, in bytes: the old one and the NULs behind it, but the one that ends it.
    pub room: usize,
    /// SHA-256 of the file before.
    pub before: Sha256Hex,
    /// SHA-256 of the file after.
    pub after: Sha256Hex,
    /// The file after.
    pub bytes_after: Vec<u8>,
    /// What is odd about the wish, in words, but not forbidden.
    pub notes: Vec<String>,
}

impl Plan {
    /// Plans a patch of an uncompressed module file.
    ///
    /// # Errors
    ///
    /// Those of [`Module::read`]; [`ErrorKind::Usage`] for a string that must not be written; [`ErrorKind::NotFound`] if
    /// the module has no vermagic; [`ErrorKind::Ambiguous`] if it has two; [`ErrorKind::Malformed`] if the one it has is
    /// none; [`ErrorKind::DoesNotFit`], with both sizes, if the new string is longer than the room.
    pub fn make(bytes: &[u8], wish: &Wish, signature: Signature) -> Result<Plan> {
        let module = Module::read(bytes)?;
        let entry = vermagic_entry(&module)?;
        let prefix = entry.value_range().start;
        let room = entry.space.end.saturating_sub(prefix).saturating_sub(1);
        let vermagic_before = Vermagic::parse(&entry.value);
        let mut edits = Vec::new();
        let mut notes = Vec::new();
        let (mode, vermagic_after) = match wish {
            Wish::Rewrite(string) => {
                let after = acceptable(string, &mut notes)?;
                if string.len() > room {
                    let what = format!(
                        "the new version magic has {} bytes, but the old entry has room for {room}",
                        string.len()
                    );
                    return Err(Error::new(ErrorKind::DoesNotFit, what).hint("nothing was changed"));
                }
                edits.extend(overwrite(bytes, prefix, entry.value.len(), string));
                (Mode::Rewrite, Some(after))
            }
            Wish::Blank => {
                edits.extend(overwrite(bytes, entry.range.start, entry.range.len(), b""));
                (Mode::Blank, None)
            }
        };
        if let (Signature::Strip, Some(trailer)) = (signature, &module.trailer) {
            let old = bytes.get(trailer.start..).unwrap_or_default().to_vec();
            edits.push(Edit { offset: trailer.start as u64, old, new: Vec::new() });
        }
        let bytes_after = edit::apply(bytes, &edits)?;
        let plan = Plan {
            mode,
            signature,
            edits,
            vermagic_before,
            vermagic_after,
            room,
            before: sha256(bytes),
            after: sha256(&bytes_after),
            bytes_after,
            notes,
        };
        plan.must_change_nothing_else(&module)?;
        Ok(plan)
    }

    /// What a confirmation names: a SHA-256 over the file's place and the exact edits. Any other file, other bytes or
    /// other edits give another one.
    pub fn digest(&self, path: &std::path::Path) -> Sha256Hex {
        use std::os::unix::ffi::OsStrExt;
        let mut text = b"kmodlab patch 1\n".to_vec();
        text.extend_from_slice(path.as_os_str().as_bytes());
        text.extend_from_slice(format!("\n{}\n{}\n", self.before, self.after).as_bytes());
        for edit in &self.edits {
            text.extend_from_slice(
                format!("{} {} {}\n", edit.offset, hex::encode(&edit.old), hex::encode(&edit.new)).as_bytes(),
            );
        }
        sha256(&text)
    }

    /// What differs between the old string and the new one; `None` for a blanked one.
    pub fn comparison(&self) -> Option<Comparison> {
        self.vermagic_after.as_ref().map(|after| compare(&self.vermagic_before, after))
    }

    /// Reads the outcome again: it must be the same module in all but the version magic and the trailer.
    fn must_change_nothing_else(&self, before: &Module) -> Result<()> {
        let after = Module::read(&self.bytes_after)?;
        let rest = |module: &Module| {
            let entries = module.modinfo.entries.iter().filter(|e| e.key != b"vermagic");
            entries.map(|e| (e.key.clone(), e.value.clone())).collect::<Vec<_>>()
        };
        let wished = self.vermagic_after.as_ref().map(Vermagic::as_bytes) == after.modinfo.first("vermagic");
        let same = rest(before) == rest(&after)
            && before.versions == after.versions
            && before.imports == after.imports
            && before.exports == after.exports
            && before.this_module == after.this_module
            && before.build_id == after.build_id;
        if same && wished {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Malformed, "the planned edits would change more than the version magic")
            .hint("nothing was changed"))
    }
}

/// The one entry that is to be changed.
fn vermagic_entry(module: &Module) -> Result<&Entry> {
    let mut entries = module.modinfo.entries.iter().filter(|e| e.key == b"vermagic");
    let entry = match (entries.next(), entries.next()) {
        (Some(entry), None) => entry,
        (None, _) => {
            let what = "no vermagic entry to change";
            return Err(
                Error::new(ErrorKind::NotFound, what).hint("was it blanked before? kmodlab restore brings it back")
            );
        }
        _ => return Err(Error::new(ErrorKind::Ambiguous, "two vermagic entries: it is not clear which one to change")),
    };
    if entry.range.len() == entry.key.len() {
        return Err(Error::new(ErrorKind::Malformed, "its vermagic entry has no value"));
    }
    if let Some(byte) = entry.value.iter().find(|b| b.is_ascii_control()) {
        let what = format!("its vermagic holds the control character 0x{byte:02x}: not a version magic of any kernel");
        return Err(Error::new(ErrorKind::Malformed, what));
    }
    Ok(entry)
}

/// Is the string one that may be written?
fn acceptable(string: &[u8], notes: &mut Vec<String>) -> Result<Vermagic> {
    let vermagic = Vermagic::parse(string);
    for problem in vermagic.problems() {
        if problem.is_error() {
            return Err(Error::new(ErrorKind::Usage, format!("the new version magic can't be written: {problem}")));
        }
        notes.push(problem.to_string());
    }
    Ok(vermagic)
}

/// The edit that puts `new` at `at`, where `len` bytes count now, with NULs up to the longer of both.
fn overwrite(bytes: &[u8], at: usize, len: usize, new: &[u8]) -> Option<Edit> {
    let old = bytes.get(at..at + len.max(new.len()))?.to_vec();
    let mut new = new.to_vec();
    new.resize(old.len(), 0);
    (old != new).then_some(Edit { offset: at as u64, old, new })
}
