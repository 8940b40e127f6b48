//! The guarantees of the library for everything that it reads or plans, as assertions. The fuzz targets check the same ones.

use kmodlab::edit::{self, Edit};
use kmodlab::error::ErrorKind;
use kmodlab::module::Module;
use kmodlab::module::trailer::Trailer;
use kmodlab::patch::{MARK, Mark, Modversions, NewVermagic, Plan, Request, Signature};

/// Every position that a module's facts name is in the file, and contains the stated value.
pub(crate) fn agrees_with_its_bytes(module: &Module, file: &[u8]) {
    assert_eq!(module.size, file.len());
    assert!(module.unclaimed <= module.image_len() && module.image_len() <= module.size);
    if let Some(trailer) = &module.trailer {
        assert_eq!(trailer.start + trailer.len, file.len());
    }
    let mut end = 0;
    for entry in &module.modinfo.entries {
        assert!(end <= entry.space.start && entry.range.end < entry.space.end, "a NUL ends each string");
        assert_eq!(entry.range.start, entry.space.start);
        assert_eq!(file[entry.value_range()], entry.value);
        assert!(file[entry.range.clone()].starts_with(&entry.key));
        assert!(file[entry.range.end..entry.space.end].iter().all(|byte| *byte == 0));
        end = entry.space.end;
    }
}

/// A plan changes exactly what it states, can be undone, and leads to the requested result.
pub(crate) fn keeps_its_word(plan: &Plan, request: &Request, file: &[u8]) {
    changes_what_it_says(plan, file);
    can_be_undone(plan, file);
    leads_to_the_wish(plan, request, file);
}

/// Outside its edits no byte differs; its edits are in order and do not overlap, and only the last one changes the length, at
/// the end of the file.
fn changes_what_it_says(plan: &Plan, file: &[u8]) {
    let after = edit::apply(file, &plan.edits).expect("a plan fits the file that it was made of");
    assert_eq!(after, plan.bytes_after);
    let (length_kept, ends): (Vec<&Edit>, Vec<&Edit>) = plan.edits.iter().partition(|edit| edit.keeps_length());
    assert!(ends.is_empty() || plan.grows || matches!(plan.signature, Signature::Strip | Signature::Renew));
    assert!(ends.len() <= 1 && ends.iter().all(|edit| edit.range().end == file.len() as u64));
    assert!(plan.edits.is_sorted_by(|a, b| a.range().end <= b.range().start));
    assert_eq!(plan.is_in_place(), ends.is_empty());

    let end = ends.first().map_or(file.len(), |edit| edit.offset as usize);
    let is_planned = |at: usize| length_kept.iter().any(|edit| edit.range().contains(&(at as u64)));
    assert!((0..end).all(|at| file[at] == after[at] || is_planned(at)));
}

/// The reversed edits, last one first, restore every byte; and a write that was torn inside them is undone.
fn can_be_undone(plan: &Plan, file: &[u8]) {
    let mut undone = plan.bytes_after.clone();
    for edit in plan.edits.iter().rev() {
        let start = edit.offset as usize;
        undone.splice(start..start + edit.new.len(), edit.old.iter().copied());
    }
    assert_eq!(undone, file);
    if plan.edits.iter().all(Edit::keeps_length) {
        assert_eq!(edit::undo_torn(&plan.bytes_after, &plan.edits).as_deref(), Some(file));
    }
}

/// Read again, the module has the requested version magic and is otherwise unchanged; nothing is left to plan.
fn leads_to_the_wish(plan: &Plan, request: &Request, file: &[u8]) {
    let [before, after] = [file, &plan.bytes_after].map(|bytes| Module::read(bytes).expect("planned, so readable"));
    let rest = |module: &Module| {
        let entries = module.modinfo.entries.iter();
        let entries = entries.filter(|entry| entry.key != b"vermagic" && entry.key != MARK.as_bytes());
        entries.map(|entry| (entry.key.clone(), entry.value.clone())).collect::<Vec<_>>()
    };
    assert_eq!(rest(&before), rest(&after));
    assert_eq!((before.imports.len(), &before.exports), (after.imports.len(), &after.exports));
    assert_eq!(before.versions.kind(), after.versions.kind());
    if matches!(request.modversions, Modversions::Keep) {
        assert_eq!((&before.imports, &before.versions), (&after.imports, &after.versions));
    }
    let is_marked = after.modinfo.first(MARK).is_some();
    assert_eq!(is_marked, before.modinfo.first(MARK).is_some() || plan.mark.is_some());
    assert!(is_marked || request.mark != Mark::Always);
    assert!(plan.mark.is_none() || request.mark != Mark::Never);
    assert!(!plan.grows || !request.in_place);
    assert_eq!((before.this_module, before.build_id), (after.this_module, after.build_id));
    assert_eq!(after.btf, before.btf.filter(|_| !request.drop_btf));
    let trailer = |trailer: Option<Trailer>| trailer.map(|trailer| Trailer { start: 0, ..trailer });
    assert!(trailer(after.trailer) == trailer(before.trailer) || plan.signature == Signature::Strip);

    let again = Plan::make(&plan.bytes_after, request);
    match &request.new_vermagic {
        NewVermagic::Rewrite(string) => {
            assert_eq!(after.modinfo.first("vermagic"), Some(string.as_slice()));
            assert!(again.expect("the requested string can be planned for").edits.is_empty());
        }
        NewVermagic::Keep => {
            assert_eq!(after.modinfo.first("vermagic"), before.modinfo.first("vermagic"));
            assert!(again.expect("what was done once can be asked for again").edits.is_empty());
        }
        NewVermagic::Blank => {
            assert_eq!(after.modinfo.first("vermagic"), None);
            assert_eq!(again.expect_err("there is nothing left to blank").kind(), ErrorKind::NotFound);
        }
    }
}

/// The error is one that reading, decompressing and planning document, and its message is one plain line.
pub(crate) fn is_documented(error: &kmodlab::error::Error) {
    const DOCUMENTED: [ErrorKind; 10] = [
        ErrorKind::NotAModule,
        ErrorKind::Wrapped,
        ErrorKind::Unsupported,
        ErrorKind::Truncated,
        ErrorKind::Malformed,
        ErrorKind::TooLarge,
        ErrorKind::Usage,
        ErrorKind::NotFound,
        ErrorKind::Ambiguous,
        ErrorKind::DoesNotFit,
    ];
    assert!(DOCUMENTED.contains(&error.kind()), "{error}");
    assert!(!error.to_string().contains(char::is_control), "{error}");
}
