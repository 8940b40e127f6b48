//! The plan: the exact edits before anything is written. Pure: bytes and a wish in, edits out.

use serde::Serialize;

use crate::edit::{self, Edit};
use crate::error::{Error, ErrorKind, Result};
use crate::module::elf::{Elf, Endian};
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

/// All that a plan is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What becomes of the version magic.
    pub wish: Wish,
    /// What becomes of the trailer.
    pub signature: Signature,
    /// Is the module's type information hidden from the kernel? Kernels from 5.11 on refuse a module whose `.BTF` is not
    /// for them (`btf_module_notify`, kernel/bpf/btf.c), and look for it by that name alone.
    pub drop_btf: bool,
}

impl Request {
    /// The version magic and the trailer; all else stays.
    pub fn new(wish: Wish, signature: Signature) -> Request {
        Request { wish, signature, drop_btf: false }
    }
}

/// The exact edits, and what they lead to.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How the version magic is changed.
    pub mode: Mode,
    /// What becomes of the trailer.
    pub signature: Signature,
    /// Is the type information hidden?
    pub drop_btf: bool,
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
    pub fn make(bytes: &[u8], request: &Request) -> Result<Plan> {
        let Request { wish, signature, drop_btf } = request;
        let (signature, drop_btf) = (*signature, *drop_btf);
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
        if drop_btf {
            match hide_btf(bytes, &module)? {
                Some(edit) => edits.push(edit),
                None => notes.push("it has no .BTF to drop".to_owned()),
            }
        }
        edits.sort_by_key(|edit| edit.offset);
        if let (Signature::Strip, Some(trailer)) = (signature, &module.trailer) {
            let old = bytes.get(trailer.start..).unwrap_or_default().to_vec();
            edits.push(Edit { offset: trailer.start as u64, old, new: Vec::new() });
        }
        let bytes_after = edit::apply(bytes, &edits)?;
        let plan = Plan {
            mode,
            signature,
            drop_btf,
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

    /// Reads the outcome again: it must be the same module in all but the version magic, the trailer, and the type
    /// information if that is to go.
    fn must_change_nothing_else(&self, before: &Module) -> Result<()> {
        let after = Module::read(&self.bytes_after)?;
        let rest = |module: &Module| {
            let entries = module.modinfo.entries.iter().filter(|e| e.key != b"vermagic");
            entries.map(|e| (e.key.clone(), e.value.clone())).collect::<Vec<_>>()
        };
        let wished = self.vermagic_after.as_ref().map(Vermagic::as_bytes) == after.modinfo.first("vermagic");
        let btf = before.btf.filter(|_| !self.drop_btf);
        let same = rest(before) == rest(&after)
            && after.btf == btf
            && before.versions == after.versions
            && before.imports == after.imports
            && before.exports == after.exports
            && before.this_module == after.this_module
            && before.build_id == after.build_id;
        if same && wished {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Malformed, "the planned edits would change more than what is wished for")
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

/// The edit that hides the section `.BTF`, if there is one: its name becomes the end of its name, `BTF`, which no kernel
/// looks for. No byte moves. A name it keeps, since each section that stays in memory is a file in
/// `/sys/module/NAME/sections`.
fn hide_btf(bytes: &[u8], module: &Module) -> Result<Option<Edit>> {
    let image = module.trailer.as_ref().and_then(|trailer| bytes.get(..trailer.start)).unwrap_or(bytes);
    let elf = Elf::read(image)?;
    let Some(section) = elf.section(".BTF")? else { return Ok(None) };
    let Some(old) = image.get(section.header..section.header + 4) else { return Ok(None) };
    // The name that is there has four bytes and a NUL, so one more is within the names too.
    let name = (elf.endian.number(old) as u32).wrapping_add(1);
    let new = match elf.endian {
        Endian::Little => name.to_le_bytes(),
        Endian::Big => name.to_be_bytes(),
    };
    Ok(Some(Edit { offset: section.header as u64, old: old.to_vec(), new: new.to_vec() }))
}

/// The edit that puts `new` at `at`, where `len` bytes count now, with NULs up to the longer of both.
fn overwrite(bytes: &[u8], at: usize, len: usize, new: &[u8]) -> Option<Edit> {
    let old = bytes.get(at..at + len.max(new.len()))?.to_vec();
    let mut new = new.to_vec();
    new.resize(old.len(), 0);
    (old != new).then_some(Edit { offset: at as u64, old, new })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module with type information, of 6.12.
    const WITH_BTF: &[u8] = include_bytes!("../../fixtures/modules/btf.ko");

    fn without_btf(vermagic: &[u8]) -> Request {
        let wish = Wish::Rewrite(vermagic.to_vec());
        Request { drop_btf: true, ..Request::new(wish, Signature::Refuse) }
    }

    #[test]
    fn the_type_information_is_hidden_by_one_byte_of_a_name() {
        let module = Module::read(WITH_BTF).unwrap();
        let same = module.vermagic().unwrap();
        let plan = Plan::make(WITH_BTF, &without_btf(same.as_bytes())).unwrap();
        assert_eq!(plan.edits.iter().map(|edit| edit.old.len()).collect::<Vec<_>>(), [4]);
        assert_eq!((module.btf.is_some(), Module::read(&plan.bytes_after).unwrap().btf), (true, None));
        let names = |bytes: &[u8]| {
            let elf = Elf::read(bytes).unwrap();
            elf.sections.iter().map(|section| String::from_utf8_lossy(section.name).into_owned()).collect::<Vec<_>>()
        };
        let renamed = |name: &String| if name == ".BTF" { "BTF".to_owned() } else { name.clone() };
        assert_eq!(names(&plan.bytes_after), names(WITH_BTF).iter().map(renamed).collect::<Vec<_>>());
        let differing = WITH_BTF.iter().zip(&plan.bytes_after).filter(|(old, new)| old != new).count();
        assert_eq!((differing, plan.bytes_after.len()), (1, WITH_BTF.len()));
    }

    #[test]
    fn it_goes_together_with_the_version_magic_and_only_if_wished() {
        let wish = b"6.12 SMP ";
        let plan = Plan::make(WITH_BTF, &without_btf(wish)).unwrap();
        assert_eq!(plan.edits.len(), 2);
        assert!(plan.edits.is_sorted_by_key(|edit| edit.offset));
        let plan = Plan::make(WITH_BTF, &Request::new(Wish::Rewrite(wish.to_vec()), Signature::Refuse)).unwrap();
        assert!(Module::read(&plan.bytes_after).unwrap().btf.is_some());
    }

    #[test]
    fn a_module_without_it_has_nothing_to_lose() {
        let plan = Plan::make(include_bytes!("../../fixtures/modules/hello-4.ko"), &without_btf(b"6.1 SMP ")).unwrap();
        assert_eq!((plan.edits.len(), plan.notes.as_slice()), (1, ["it has no .BTF to drop".to_owned()].as_slice()));
    }
}
