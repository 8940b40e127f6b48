//! The plan: the exact edits, before anything is written. Pure: bytes and a request in, edits out.

use std::cell::OnceCell;

use crate::digest::{Sha256, sha256, sha256_of_both};
use crate::door::internal_fn;
use crate::edit::{self, Edit};
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::module::Module;
use crate::module::container::Container;
use crate::module::elf::Elf;
use crate::module::modinfo::ModinfoEntry;
use crate::patch::repack;
use crate::patch::request::{Mark, Mode, NewVermagic, Request, Signature};
use crate::patch::strings::{self, Strings};
use crate::patch::versions::Versioned;
use crate::vermagic::{Comparison, Vermagic, compare_whole};

/// Stands for the digests of a plan until [`Plan::stored`] computes them.
const NOT_HASHED: Sha256 = Sha256::from_bytes([0; 32]);

/// The exact edits, and the file that they make.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "internals"), non_exhaustive)]
pub struct Plan {
    /// How the version magic is changed.
    pub mode: Mode,
    /// What becomes of the signature trailer.
    pub signature: Signature,
    /// What becomes of the symbol versions: keep, rewrite or blank.
    pub modversions: &'static str,
    /// The change of the symbol versions; `None` if they stay.
    pub versioned: Option<Versioned>,
    /// Is the type information hidden?
    pub drop_btf: bool,
    /// The mark that the module gets.
    pub mark: Option<String>,
    /// The compression of the file, before and after. The edits are those of the uncompressed module.
    pub container: Container,
    /// Is `.modinfo` moved to the end of the image?
    pub grows: bool,
    /// The edits, by offset. Empty if the module has the requested contents already.
    pub edits: Vec<Edit>,
    /// Version magic before.
    pub vermagic_before: Vermagic,
    /// Version magic after; `None` for a blanked one.
    pub vermagic_after: Option<Vermagic>,
    /// The maximum length in bytes of a string written in place: the old string and the NULs after it, except for the one that
    /// terminates it.
    pub room: usize,
    /// SHA-256 of the file before.
    pub before: Sha256,
    /// SHA-256 of the file after.
    pub after: Sha256,
    /// The file after.
    pub bytes_after: Vec<u8>,
    /// The uncompressed module after, if the file is compressed.
    inside_after: Option<Vec<u8>>,
    /// The module before.
    pub module: Module,
    /// The module after.
    pub module_after: Module,
    /// Remarks on the request: unusual, but not forbidden.
    pub notes: Vec<String>,
}

/// A plan that is complete except for the file after and the hashes: compressing and hashing take longer than planning, and
/// guards need neither.
pub(crate) struct PlanDraft<'f> {
    plan: Plan,
    file: File<'f>,
    inside_after: Vec<u8>,
    max_size: u64,
}

impl<'f> PlanDraft<'f> {
    /// Drafts a plan.
    ///
    /// # Errors
    ///
    /// Those of [`Plan::make`].
    pub(crate) fn make(file: &'f [u8], request: &Request) -> Result<PlanDraft<'f>> {
        PlanDraft::make_of(File { bytes: file, sha256: OnceCell::new() }, request)
    }

    fn make_of(file: File<'f>, request: &Request) -> Result<PlanDraft<'f>> {
        let container = Container::of(file.bytes);
        let unpacked;
        let inside = match container {
            Container::None => file.bytes,
            _ if request.in_place => {
                let what = format!("compressed ({}), so nothing in it can be overwritten in place", container.name());
                return Err(Error::new(ErrorKind::Unsupported, what).remedy(Remedy::AllowRepacking));
            }
            _ => {
                unpacked = container.decompress(file.bytes, request.max_size)?;
                unpacked.as_slice()
            }
        };
        let (plan, inside_after) = Plan::of(&file, inside, container, request)?;
        Ok(PlanDraft { plan, file, inside_after, max_size: request.max_size })
    }

    /// The plan, without the file after and the hashes.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The complete plan.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] if the module can't be compressed; [`ErrorKind::Malformed`] if it then decompresses to other bytes.
    pub(crate) fn finish(self) -> Result<Plan> {
        self.plan.stored(self.file, self.inside_after, self.max_size)
    }
}

impl Plan {
    /// Plans a patch of a module file, compressed or not.
    ///
    /// # Errors
    ///
    /// Those of [`Container::decompress`] and [`Module::read`]; [`ErrorKind::Usage`] for a string that must not be
    /// written; [`ErrorKind::NotFound`] if the module has no vermagic; [`ErrorKind::Ambiguous`] if it has two;
    /// [`ErrorKind::Malformed`] if its vermagic is invalid; with `in_place`, [`ErrorKind::DoesNotFit`], with both sizes, if
    /// the new string is too long, and [`ErrorKind::Unsupported`] for a compressed module.
    pub fn make(file: &[u8], request: &Request) -> Result<Plan> {
        PlanDraft::make(file, request)?.finish()
    }

    /// As [`Plan::make`], of a file whose SHA-256 is known already.
    ///
    /// # Errors
    ///
    /// Those of [`Plan::make`].
    pub fn make_of_known(file: &[u8], before: Sha256, request: &Request) -> Result<Plan> {
        PlanDraft::make_of(File { bytes: file, sha256: OnceCell::from(before) }, request)?.finish()
    }

    /// Plans for the uncompressed module: the plan without hashes and without the file after, and the uncompressed module after.
    fn of(file: &File<'_>, inside: &[u8], container: Container, request: &Request) -> Result<(Plan, Vec<u8>)> {
        let module = Module::read(inside)?;
        if module.buried_signature.is_some() {
            let what = "bytes follow the signature, so that no kernel sees it";
            return Err(Error::new(ErrorKind::Malformed, what).remedy(Remedy::ShowTrailingBytes));
        }
        let entry = vermagic_entry(&module)?;
        let mut notes = Vec::new();
        let (mode, vermagic_after) = match &request.new_vermagic {
            NewVermagic::Rewrite(string) => (Mode::Rewrite, Some(acceptable(string, &mut notes)?)),
            NewVermagic::Blank => (Mode::Blank, None),
            NewVermagic::Keep => (Mode::Keep, Some(Vermagic::parse(&entry.value))),
        };
        let room = entry.space.end.saturating_sub(entry.value_range().start).saturating_sub(1);
        let work = Work { inside, module: &module, entry, request };
        let marks = Marks { original: file, is_packed: container != Container::None };
        let Changes { edits, grows, mark, versioned } = work.changes(&marks, room, &mut notes)?;
        let inside_after = edit::apply(inside, &edits)?;
        let module_after = Module::read(&inside_after)?;
        let plan = Plan {
            mode,
            signature: request.signature,
            modversions: request.modversions.name(),
            versioned,
            drop_btf: request.drop_btf,
            mark,
            container,
            grows,
            vermagic_before: Vermagic::parse(&entry.value),
            vermagic_after,
            room,
            after: NOT_HASHED,
            before: NOT_HASHED,
            bytes_after: Vec::new(),
            inside_after: None,
            notes,
            edits,
            module_after,
            module,
        };
        plan.must_change_nothing_else()?;
        Ok((plan, inside_after))
    }

    /// The plan, with the file as it will be stored.
    fn stored(self, file: File<'_>, inside: Vec<u8>, max_size: u64) -> Result<Plan> {
        if self.edits.is_empty() {
            // Compressed again, the file would change for no reason.
            let inside_after = (self.container != Container::None).then_some(inside);
            let sha256 = file.sha256();
            return Ok(Plan { before: sha256, after: sha256, bytes_after: file.bytes.to_vec(), inside_after, ..self });
        }
        if self.container == Container::None {
            let (before, after) = match file.sha256.into_inner() {
                Some(before) => (before, sha256(&inside)),
                None => sha256_of_both(file.bytes, &inside, self.first_edit()),
            };
            return Ok(Plan { before, after, bytes_after: inside, ..self });
        }
        let bytes_after = self.container.compress(&inside)?;
        if self.container.decompress(&bytes_after, max_size)? != inside {
            return Err(Error::new(ErrorKind::Malformed, "the newly compressed file decompresses to other bytes")
                .hint("nothing was changed; please report this"));
        }
        let (before, after) = (file.sha256(), sha256(&bytes_after));
        Ok(Plan { before, after, bytes_after, inside_after: Some(inside), ..self })
    }

    /// Where the first edit begins.
    fn first_edit(&self) -> usize {
        self.edits.first().and_then(|edit| usize::try_from(edit.offset).ok()).unwrap_or(0)
    }

    /// The module after, uncompressed.
    pub fn inside_after(&self) -> &[u8] {
        self.inside_after.as_deref().unwrap_or(&self.bytes_after)
    }

    /// Are the edits written over the old bytes in the file itself? Otherwise a new file replaces it.
    pub fn is_in_place(&self) -> bool {
        self.container == Container::None && self.edits.iter().all(Edit::keeps_length)
    }

    /// The digest that a confirmation names: SHA-256 over the file's path, its hash before and after, and the exact edits.
    pub fn digest(&self, path: &std::path::Path) -> Sha256 {
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

    internal_fn! {
        /// The differences between the old version magic and the new one; `None` for a blanked one.
        fn comparison(&self) -> Option<Comparison> {
            self.vermagic_after.as_ref().map(|after| compare_whole(&self.vermagic_before, after))
        }
    }

    /// Compares the module before and after: only the version magic, the mark, the trailer, and the other requested parts may
    /// differ.
    fn must_change_nothing_else(&self) -> Result<()> {
        let (before, after) = (&self.module, &self.module_after);
        let rest = |module: &Module| {
            let changed = [b"vermagic".as_slice(), strings::MARK.as_bytes()];
            let entries = module.modinfo.entries.iter().filter(|e| !changed.contains(&e.key.as_slice()));
            entries.map(|e| (e.key.clone(), e.value.clone())).collect::<Vec<_>>()
        };
        // Their CRCs are compared as symbol versions.
        let imports = |module: &Module| {
            module.imports.iter().map(|import| (import.name.clone(), import.is_weak)).collect::<Vec<_>>()
        };
        let mark = self.mark.as_deref().and_then(|mark| mark.split_once('=')).map(|(_, value)| value.as_bytes());
        let mark = mark.or(before.modinfo.first(strings::MARK)) == after.modinfo.first(strings::MARK);
        let is_as_requested = self.vermagic_after.as_ref().map(Vermagic::as_bytes) == after.modinfo.first("vermagic");
        let btf = before.btf.filter(|_| !self.drop_btf);
        let same = rest(before) == rest(after)
            && mark
            && after.btf == btf
            && self.versions_are_as_planned(before, after)
            && imports(before) == imports(after)
            && before.exports == after.exports
            && before.this_module == after.this_module
            && before.build_id == after.build_id;
        if same && is_as_requested {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Malformed, "the planned edits would change more than the request")
            .hint("nothing was changed"))
    }

    /// Do symbol versions change only as requested, and their symbols not at all?
    fn versions_are_as_planned(&self, before: &Module, after: &Module) -> bool {
        let symbols = |module: &Module| {
            let lists =
                [&module.versions.basic, &module.versions.extended].map(|list| list.clone().unwrap_or_default());
            lists.map(|list| list.into_iter().map(|version| version.symbol).collect::<Vec<_>>())
        };
        match &self.versioned {
            None => before.versions == after.versions,
            Some(versioned) if versioned.hidden => {
                (&before.versions.basic, &before.versions.extended) == (&after.versions.basic, &after.versions.extended)
            }
            Some(_) => symbols(before) == symbols(after) && before.versions.kind() == after.versions.kind(),
        }
    }
}

/// The file before.
struct File<'f> {
    bytes: &'f [u8],
    /// Its hash, computed when it is first needed: hashing takes longer than planning.
    sha256: OnceCell<Sha256>,
}

impl File<'_> {
    fn sha256(&self) -> Sha256 {
        *self.sha256.get_or_init(|| sha256(self.bytes))
    }
}

/// The input of a plan.
struct Work<'w> {
    inside: &'w [u8],
    module: &'w Module,
    entry: &'w ModinfoEntry,
    request: &'w Request,
}

/// Properties of the file as it is stored, which decide about a mark: its hash, and whether it is compressed.
struct Marks<'w> {
    original: &'w File<'w>,
    is_packed: bool,
}

/// The edits, and their effects.
struct Changes {
    edits: Vec<Edit>,
    grows: bool,
    mark: Option<String>,
    versioned: Option<Versioned>,
}

impl Work<'_> {
    /// The bytes without the trailer.
    fn image(&self) -> &[u8] {
        self.inside.get(..self.module.image_len()).unwrap_or(self.inside)
    }

    fn trailer(&self) -> &[u8] {
        self.inside.get(self.module.image_len()..).unwrap_or_default()
    }

    fn changes(&self, marks: &Marks<'_>, room: usize, notes: &mut Vec<String>) -> Result<Changes> {
        let (image, request) = (self.image(), self.request);
        let elf = Elf::read(image)?;
        let section = elf.section(".modinfo")?;
        let section = section.ok_or_else(|| Error::new(ErrorKind::Malformed, "no section .modinfo"))?;
        let mut edits = Vec::new();
        let mut versioned = None;
        if let Some((found, what)) = request.modversions.edits(image, &elf, &self.module.versions)? {
            if found.is_empty() && what.unknown.is_empty() && what.equal == 0 {
                notes.push("it has no symbol versions to change".to_owned());
            }
            edits.extend(found);
            versioned = Some(what);
        }
        if request.drop_btf {
            match hide_btf(image, &elf)? {
                Some(edit) => edits.push(edit),
                None => notes.push("it has no .BTF to drop".to_owned()),
            }
        }
        let mut strings = Strings::of(section.bytes(image), section.range.start);
        match &request.new_vermagic {
            NewVermagic::Rewrite(string) if *string != self.entry.value => strings.set(self.entry, string),
            NewVermagic::Rewrite(_) | NewVermagic::Keep => {}
            NewVermagic::Blank => strings.blank(self.entry),
        }
        if strings.grow() && request.in_place {
            return Err(no_room(&request.new_vermagic, room));
        }
        if request.in_place && self.changes_the_trailer() {
            return Err(Error::new(ErrorKind::DoesNotFit, "adding or removing a signature changes the file's length")
                .remedy(Remedy::AllowNewFile));
        }
        let is_changed = !edits.is_empty() || strings.spans().next().is_some() || self.changes_the_trailer();
        let is_repacked = strings.grow() || marks.is_packed || self.changes_the_trailer();
        let is_marked = match request.mark {
            Mark::Always => true,
            Mark::WhenRepacked => is_changed && is_repacked,
            Mark::Never => false,
        };
        let mark =
            (is_marked && !strings::is_marked(&self.module.modinfo)).then(|| strings::mark(marks.original.sha256()));
        if let Some(mark) = &mark {
            strings.add(mark.as_bytes());
        }
        let mut appended = Vec::new();
        if strings.grow() {
            if request.in_place {
                let what =
                    format!("the mark of {} bytes does not fit into .modinfo", mark.map_or(0, |mark| mark.len() + 1));
                return Err(Error::new(ErrorKind::DoesNotFit, what).hint("nothing was changed"));
            }
            let growth = repack::grow(image, &elf, section, &strings.bytes)?;
            edits.push(growth.header);
            appended = growth.appended;
        } else {
            let base = section.range.start;
            edits.extend(strings.spans().filter_map(|(span, new)| {
                let place = base + span.start..base + span.end;
                let old = image.get(place)?;
                (old != new).then(|| Edit { offset: (base + span.start) as u64, old: old.to_vec(), new: new.to_vec() })
            }));
        }
        edits.sort_by_key(|edit| edit.offset);
        edits.extend(self.tail(&edits, &appended)?);
        Ok(Changes { edits, grows: !appended.is_empty(), mark, versioned })
    }

    fn changes_the_trailer(&self) -> bool {
        match self.request.signature {
            Signature::Refuse | Signature::Keep => false,
            Signature::Strip => !self.trailer().is_empty(),
            Signature::Renew => true,
        }
    }

    /// The edit of the file's end: the bytes appended to the image, and the trailer after them.
    fn tail(&self, edits: &[Edit], appended: &[u8]) -> Result<Option<Edit>> {
        let old = self.trailer();
        let new = match (self.request.signature, &self.request.signer) {
            (Signature::Refuse | Signature::Keep, _) if appended.is_empty() => return Ok(None),
            (Signature::Refuse | Signature::Keep, _) => [appended, old].concat(),
            (Signature::Strip, _) => appended.to_vec(),
            (Signature::Renew, Some(signer)) => {
                let image = [edit::apply(self.image(), edits)?.as_slice(), appended].concat();
                let trailer = signer.trailer(&image)?;
                [appended, &trailer].concat()
            }
            (Signature::Renew, None) => {
                return Err(Error::new(ErrorKind::Usage, "a new signature needs a key and a certificate"));
            }
        };
        Ok((old != new).then(|| Edit { offset: self.image().len() as u64, old: old.to_vec(), new }))
    }
}

fn no_room(new_vermagic: &NewVermagic, room: usize) -> Error {
    let len = if let NewVermagic::Rewrite(string) = new_vermagic { string.len() } else { 0 };
    let what = format!("the new version magic has {len} bytes, but the old entry has space for {room}");
    Error::new(ErrorKind::DoesNotFit, what).remedy(Remedy::AllowMovedSection)
}

/// The entry to be changed.
fn vermagic_entry(module: &Module) -> Result<&ModinfoEntry> {
    let mut entries = module.modinfo.entries.iter().filter(|e| e.key == b"vermagic");
    let entry = match (entries.next(), entries.next()) {
        (Some(entry), None) => entry,
        (None, _) if module.of_linux_2_4().is_some() => {
            let what = "a module of Linux 2.4, which has no vermagic";
            return Err(Error::new(ErrorKind::NotFound, what).hint("only kernels of 2.4 can use it"));
        }
        (None, _) if module.is_stripped() => {
            let what = "a stripped module without vermagic, name and intree, and an entry can't be added";
            let hint =
                "OpenWrt's kernels with CONFIG_MODULE_STRIPPED load it as it is; for another kernel build it there";
            return Err(Error::new(ErrorKind::NotFound, what).hint(hint));
        }
        (None, _) => {
            let what = "no vermagic entry to change";
            return Err(Error::new(ErrorKind::NotFound, what).remedy(Remedy::RestoreBlanked));
        }
        _ => {
            return Err(Error::new(
                ErrorKind::Ambiguous,
                "two vermagic entries, so it is ambiguous which one to change",
            ));
        }
    };
    if entry.range.len() == entry.key.len() {
        return Err(Error::new(ErrorKind::Malformed, "its vermagic entry has no value"));
    }
    if let Some(byte) = entry.value.iter().find(|b| b.is_ascii_control()) {
        let what = format!("its vermagic holds the control character 0x{byte:02x}: no kernel has such a version magic");
        return Err(Error::new(ErrorKind::Malformed, what));
    }
    Ok(entry)
}

/// The new version magic, if it may be written.
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

/// The edit that hides the section `.BTF`, if there is one: its name then begins one byte later, and is `BTF`, which no kernel
/// looks for. No byte moves. It keeps a name, because each section that stays in memory is a file in
/// `/sys/module/NAME/sections`.
fn hide_btf(image: &[u8], elf: &Elf<'_>) -> Result<Option<Edit>> {
    let Some(section) = elf.section(".BTF")? else { return Ok(None) };
    let Some(old) = image.get(section.header..section.header + 4) else { return Ok(None) };
    // The old name has four bytes and a NUL, so one byte further is still in the string table.
    let mut new = old.to_vec();
    elf.endian.write(elf.endian.number(old).wrapping_add(1), &mut new);
    Ok(Some(Edit { offset: section.header as u64, old: old.to_vec(), new }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::patch::versions::Modversions;

    /// A module with type information, of 6.12.
    const WITH_BTF: &[u8] = include_bytes!("../../fixtures/modules/btf.ko");

    fn without_btf(vermagic: &[u8]) -> Request {
        let new_vermagic = NewVermagic::Rewrite(vermagic.to_vec());
        Request { drop_btf: true, ..Request::new(new_vermagic, Signature::Refuse) }
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
    fn a_crc_becomes_the_kernel_s_and_all_others_stay() {
        let image = include_bytes!("../../fixtures/modules/hello-4.ko");
        let crcs = Modversions::Rewrite(Arc::new([("_printk".to_owned(), 0x0102_0304)].into()));
        let request =
            Request { modversions: crcs, mark: Mark::Never, ..Request::new(NewVermagic::Keep, Signature::Refuse) };
        let plan = Plan::make(image, &request).unwrap();
        let versioned = plan.versioned.unwrap();
        assert_eq!((versioned.rewritten, versioned.equal, versioned.unknown.len()), (1, 0, 2));
        let (before, after) = (Module::read(image).unwrap(), Module::read(&plan.bytes_after).unwrap());
        let mut expected = before.versions.by_symbol();
        expected.insert(b"_printk", 0x0102_0304);
        assert_eq!(after.versions.by_symbol(), expected);
        let differing: Vec<usize> = (0..image.len()).filter(|at| image[*at] != plan.bytes_after[*at]).collect();
        assert_eq!((plan.edits.len(), differing.len(), image.len()), (1, 4, plan.bytes_after.len()));
    }

    #[test]
    fn it_goes_together_with_the_version_magic_and_only_if_wished() {
        let new_vermagic = b"6.12 SMP ";
        let plan = Plan::make(WITH_BTF, &without_btf(new_vermagic)).unwrap();
        assert_eq!(plan.edits.len(), 2);
        assert!(plan.edits.is_sorted_by_key(|edit| edit.offset));
        let plan = Plan::make(WITH_BTF, &Request::new(NewVermagic::Rewrite(new_vermagic.to_vec()), Signature::Refuse))
            .unwrap();
        assert!(Module::read(&plan.bytes_after).unwrap().btf.is_some());
    }

    #[test]
    fn a_module_without_it_has_nothing_to_lose() {
        let plan = Plan::make(include_bytes!("../../fixtures/modules/hello-4.ko"), &without_btf(b"6.1 SMP ")).unwrap();
        assert_eq!((plan.edits.len(), plan.notes.as_slice()), (1, ["it has no .BTF to drop".to_owned()].as_slice()));
    }
}
