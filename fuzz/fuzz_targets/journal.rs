//! A state folder whose journal, copy and announced writes were damaged in any way. Every line that is still whole is read, nothing
//! else is; recovery and repair lose none of them; and a file that a write was announced for has its old or its new contents.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use arbitrary::{Arbitrary, Unstructured};
use kmodlab::digest::{Sha256, sha256};
use kmodlab::edit::Edit;
use kmodlab::module::container::Container;
use kmodlab::vault::record::{FileChange, JournalEntry, Operation, SCHEMA_VERSION, WriteMethod};
use kmodlab::vault::{Intent, Vault};
use serde_json::json;

use crate::scratch::{self, write};

/// The most lines of the journal before it is damaged, and the most damage to a text.
const MOST_LINES: usize = 12;
const MOST_DAMAGE: usize = 8;

/// The files for which writes are announced.
const FILES: [&str; 3] = ["a.ko", "b.ko", "c.ko"];

/// The contents of a file before and after a write, which differ in two spans of eight bytes.
const BEFORE: &[u8] = b"the old contents, 12345678 of a file, abcdefgh, that stays";
const AFTER: &[u8] = b"the old contents, ABCDEFGH of a file, 87654321, that stays";
const SPANS: [usize; 2] = [18, 38];
const SPAN: usize = 8;

/// A file that no write was announced for.
const OTHER: &[u8] = b"a letter";

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    /// The operations that the lines record.
    lines: Vec<u8>,
    journal: Vec<Damage<'a>>,
    copy: Copied<'a>,
    announced: Vec<Announced>,
    intents: Vec<Damage<'a>>,
    files: [Contents; FILES.len()],
    /// The damage after the repair: of the part that it closed, and of the journal.
    later: [Vec<Damage<'a>>; 2],
}

/// The journal's copy.
#[derive(Arbitrary, Debug)]
enum Copied<'a> {
    Whole,
    Gone,
    Damaged(Vec<Damage<'a>>),
}

/// What happens to a text.
#[derive(Arbitrary, Debug)]
enum Damage<'a> {
    Overwrite { at: u16, with: &'a [u8] },
    Insert { at: u16, what: &'a [u8] },
    Remove { at: u16, length: u16 },
    Cut { to: u16 },
    Line { line: u8, what: LineDamage },
}

/// What happens to a line.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum LineDamage {
    Gone,
    Repeated {
        before: u8,
    },
    Swapped {
        with: u8,
    },
    /// It loses its end.
    Joined,
    /// It becomes NUL bytes.
    Hole,
}

/// An announced write, of the file with its number.
#[derive(Arbitrary, Debug)]
struct Announced {
    how: u8,
    is_restore: bool,
    /// Does it have the identity of the file that is there?
    is_same_file: bool,
    /// Does the journal have its line already?
    is_recorded: bool,
}

/// What is in the place of a file.
#[derive(Arbitrary, Debug)]
enum Contents {
    Before,
    After,
    Torn { length: u8 },
    Other,
    Nothing,
}

/// An input is the choices of [`Input`], as `arbitrary` reads them.
pub(crate) fn check(bytes: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(bytes)) else { return };
    let scene = Scene::new();
    let intents = scene.intents(&input.announced);
    let lines = journal(&input.lines, &intents);
    let text = lines.concat();
    let damaged = damaged(&text, &input.journal);
    let copy = match &input.copy {
        Copied::Whole => Some(text.clone()),
        Copied::Gone => None,
        Copied::Damaged(damage) => Some(self::damaged(&text, damage)),
    };
    scene.write("journal.jsonl", &damaged);
    copy.iter().for_each(|copy| scene.write("journal.copy.jsonl", copy));
    scene.announce(&intents, &input.intents);
    input.files.iter().zip(FILES).for_each(|(contents, name)| scene.put(name, contents));

    let known = Known { lines: &lines, pending: scene.pending() };
    let kept = known.kept(&damaged, copy.as_deref());
    let before = known.read(&scene);
    assert!(kept.is_subset(&before), "lines {kept:?} are whole, and {before:?} were read");
    scene.recovers();
    let recovered = known.read(&scene);
    assert!(before.is_subset(&recovered), "recovery lost lines: {before:?}, then {recovered:?}");
    if !scene.repairs() {
        return;
    }
    assert_eq!(known.read(&scene), recovered, "the repair lost lines, or found some");

    for (name, damage) in ["journal.1.jsonl", "journal.jsonl"].into_iter().zip(&input.later) {
        let text = fs::read(scene.state().join(name)).expect("the repair left the damaged part, and the next one");
        scene.write(name, &self::damaged(&text, damage));
    }
    let still = known.read(&scene);
    assert!(still.is_subset(&recovered));
    scene.recovers();
    scene.repairs();
    let left = known.read(&scene);
    assert!(still.is_subset(&left), "the second repair lost lines: {still:?}, then {left:?}");
}

/// The journal before it was damaged.
struct Known<'k> {
    lines: &'k [Vec<u8>],
    /// The operations whose writes are announced; their lines need not be whole.
    pending: BTreeSet<String>,
}

impl Known<'_> {
    /// The numbers of the lines that are still whole in the journal; and of those that are in its copy, unless it is shorter: then it
    /// is not read, because it never has more lines.
    fn kept(&self, journal: &[u8], copy: Option<&[u8]>) -> BTreeSet<u64> {
        let copy = copy.filter(|copy| copy.len() > journal.len()).unwrap_or_default();
        let texts: BTreeSet<&[u8]> = [journal, copy].into_iter().flat_map(|text| text.split(|b| *b == b'\n')).collect();
        let is_kept = |(_, line): &(u64, &Vec<u8>)| {
            let entry: JournalEntry = serde_json::from_slice(line).expect("a line is JSON");
            !self.pending.contains(&entry.id) && texts.contains(line.strip_suffix(b"\n").expect("a line ends"))
        };
        (1..).zip(self.lines).filter(is_kept).map(|(number, _)| number).collect()
    }

    /// Reads the journal. It has lines of the known journal, in their order, and lines that recovery or a repair appended. The
    /// result is the numbers of the known ones.
    fn read(&self, scene: &Scene) -> BTreeSet<u64> {
        let journal = scene.vault().journal().expect("damage is no error");
        let numbers: Vec<u64> = journal.entries.iter().map(|entry| entry.seq).collect();
        assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
        assert!(journal.damage.iter().all(|damage| damage.first <= damage.last && damage.first > 0));
        let is_new = |entry: &JournalEntry| entry.recovered || entry.operation == Operation::Repair;
        let old = journal.entries.iter().filter(|entry| !is_new(entry));
        let number = |entry: &JournalEntry| {
            let line = usize::try_from(entry.seq - 1).ok().and_then(|at| self.lines.get(at));
            let known: Option<JournalEntry> = line.and_then(|line| serde_json::from_slice(line).ok());
            assert_eq!(known.as_ref(), Some(entry), "nobody wrote this line");
            entry.seq
        };
        old.map(number).collect()
    }
}

/// A folder with the state folder and the files.
struct Scene(PathBuf);

impl Scene {
    fn new() -> Scene {
        let scene = Scene(scratch::empty());
        scratch::state(&scene.state());
        write(&scene.other(), OTHER);
        scene
    }

    fn state(&self) -> PathBuf {
        self.0.join("state")
    }

    fn other(&self) -> PathBuf {
        self.0.join("other")
    }

    fn vault(&self) -> Vault {
        Vault::at(self.state())
    }

    /// Writes a file of the state.
    fn write(&self, name: &str, bytes: &[u8]) {
        write(&self.state().join(name), bytes);
    }

    fn put(&self, name: &str, contents: &Contents) {
        let path = self.0.join(name);
        match contents {
            Contents::Before => write(&path, BEFORE),
            Contents::After => write(&path, AFTER),
            Contents::Other => write(&path, OTHER),
            Contents::Nothing => fs::remove_file(&path).expect("it is there"),
            Contents::Torn { length } => {
                let written = usize::from(*length) % (SPANS.len() * SPAN);
                let places = SPANS.iter().flat_map(|start| *start..start + SPAN).take(written);
                let mut torn = BEFORE.to_vec();
                places.for_each(|at| torn[at] = AFTER[at]);
                write(&path, &torn);
            }
        }
    }

    /// The contents of the files now.
    fn contents(&self) -> [Option<Vec<u8>>; FILES.len()] {
        FILES.map(|name| fs::read(self.0.join(name)).ok())
    }

    /// The announced writes, each with whether the journal has its line.
    fn intents(&self, announced: &[Announced]) -> Vec<(Intent, bool)> {
        FILES.iter().for_each(|name| self.put(name, &Contents::Before));
        let intent = |(number, announced): (usize, &Announced)| {
            let id = format!("7-{number}");
            let how = [WriteMethod::InPlace, WriteMethod::Replace, WriteMethod::Create][usize::from(announced.how % 3)];
            let path = self.0.join(FILES[number]);
            let file = fs::metadata(&path).expect("it is there");
            let intent = Intent {
                schema_version: SCHEMA_VERSION,
                operation: if announced.is_restore { Operation::Restore } else { Operation::Patch },
                change: change(&path, how),
                identity: if announced.is_same_file { (file.dev(), file.ino()) } else { (0, 0) },
                metadata_after: None,
                temporary: (how != WriteMethod::InPlace).then(|| format!(".kmodlab-{id}.tmp")),
                note: None,
                run: None,
                checksum: None,
                id,
            };
            (intent, announced.is_recorded)
        };
        announced.iter().take(FILES.len()).enumerate().map(intent).collect()
    }

    /// Writes intents as an interrupted run leaves them, and damages their file.
    fn announce(&self, intents: &[(Intent, bool)], damage: &[Damage<'_>]) {
        let line = |(intent, _): &(Intent, bool)| {
            let checksum = sha256(&serde_json::to_vec(intent).expect("an intent can be serialised"));
            let signed = Intent { checksum: Some(checksum), ..intent.clone() };
            [serde_json::to_vec(&signed).expect("an intent can be serialised"), b"\n".to_vec()].concat()
        };
        let text = intents.iter().map(line).collect::<Vec<_>>().concat();
        if !text.is_empty() {
            self.write("intents/7-0.jsonl", &damaged(&text, damage));
        }
    }

    /// The operations whose intents can be read.
    fn pending(&self) -> BTreeSet<String> {
        let intents = self.vault().pending().expect("damage is no error");
        intents.into_iter().map(|intent| intent.id).collect()
    }

    /// Recovers interrupted operations. A file that was written in part has its old contents afterwards; every other file stays as it
    /// is. Nothing is left that a second recovery would do.
    fn recovers(&self) {
        let before = self.contents();
        let settle = || drop(self.vault().writer().expect("recovery leaves what it can't settle"));
        settle();
        for (before, after) in before.iter().zip(self.contents()) {
            let is_whole = before.as_deref().is_none_or(|bytes| bytes == BEFORE || bytes == AFTER);
            assert!(*before == after || !is_whole && after.as_deref() == Some(BEFORE), "{before:?} became {after:?}");
        }
        assert_eq!(fs::read(self.other()).ok().as_deref(), Some(OTHER));
        let state = || (self.contents(), self.pending(), fs::read(self.state().join("journal.jsonl")).ok());
        let settled = state();
        settle();
        assert_eq!(settled, state(), "a second recovery did something");
    }

    /// Repairs the journal, if it is damaged; was it? Then it is not any more.
    fn repairs(&self) -> bool {
        let vault = self.vault();
        let mut writer = vault.writer().expect("recovery leaves what it can't settle");
        let Some(plan) = writer.plan_repair().expect("a repair can be planned") else { return false };
        writer.repair(&plan).expect("the damage is that of the plan");
        drop(writer);
        assert_eq!(self.vault().journal().expect("damage is no error").damage, []);
        true
    }
}

/// A change of the file at this path.
fn change(path: &Path, how: WriteMethod) -> FileChange {
    let edit =
        |at: usize| Edit { offset: at as u64, old: BEFORE[at..at + SPAN].to_vec(), new: AFTER[at..at + SPAN].to_vec() };
    let time = json!({"seconds": 0, "nanoseconds": 0});
    let metadata = json!({"mode": 0o100_600, "uid": 0, "gid": 0, "xattrs": {}, "accessed": time, "modified": time});
    FileChange {
        path: path.to_owned(),
        module: "a".to_owned(),
        how,
        before: sha256(BEFORE),
        after: sha256(AFTER),
        size_before: BEFORE.len() as u64,
        size_after: AFTER.len() as u64,
        edits: SPANS.map(edit).to_vec(),
        container: Container::None,
        metadata: serde_json::from_value(metadata).expect("this is metadata"),
        vermagic_before: None,
        vermagic_after: None,
        plan: None,
        overrides: Vec::new(),
        patch: None,
    }
}

/// The lines of a journal, chained: these operations, and the announced ones that are recorded.
fn journal(operations: &[u8], intents: &[(Intent, bool)]) -> Vec<Vec<u8>> {
    const OTHERS: [Operation; 5] =
        [Operation::Enrol, Operation::Unenrol, Operation::Drop, Operation::Forget, Operation::Import];
    let mut news: Vec<(String, Operation, Option<FileChange>)> = Vec::new();
    for (number, operation) in operations.iter().take(MOST_LINES).enumerate() {
        let change = || change(Path::new("/srv/old.ko"), WriteMethod::InPlace);
        let (operation, change) = match operation % 8 {
            0 => (Operation::Patch, Some(change())),
            1 => (Operation::Restore, Some(change())),
            other => (OTHERS[usize::from(other) % OTHERS.len()], None),
        };
        news.push((format!("1-{number}"), operation, change));
    }
    let recorded = intents.iter().filter(|(_, is_recorded)| *is_recorded);
    news.extend(recorded.map(|(intent, _)| (intent.id.clone(), intent.operation, Some(intent.change.clone()))));
    let mut prev = Sha256::from_bytes([0; 32]);
    let line = |(seq, (id, operation, change)): (u64, (String, Operation, Option<FileChange>))| {
        let entry = JournalEntry {
            schema_version: SCHEMA_VERSION,
            seq,
            time: "2026-11-30T10:00:00Z".to_owned(),
            id,
            operation,
            recovered: false,
            change,
            dropped: Vec::new(),
            imported: None,
            repaired: None,
            note: None,
            run: None,
            recovered_by: None,
            tool: "kmodlab".to_owned(),
            prev,
        };
        let text = serde_json::to_string(&entry).expect("a line can be serialised");
        let signed = text.strip_suffix('}').expect("an object ends");
        prev = sha256(signed.as_bytes());
        format!("{signed},\"hash\":\"{prev}\"}}\n").into_bytes()
    };
    (1..).zip(news).map(line).collect()
}

/// A text after this damage, one after the other.
fn damaged(text: &[u8], all: &[Damage<'_>]) -> Vec<u8> {
    let mut text = text.to_vec();
    for damage in all.iter().take(MOST_DAMAGE) {
        let place = |at: u16| usize::from(at) % (text.len() + 1);
        match *damage {
            Damage::Overwrite { at, with } => {
                let end = text.len().min(place(at) + with.len());
                text.splice(place(at)..end, with.iter().copied());
            }
            Damage::Insert { at, what } => drop(text.splice(place(at)..place(at), what.iter().copied())),
            Damage::Remove { at, length } => {
                let end = text.len().min(place(at) + usize::from(length));
                text.drain(place(at)..end);
            }
            Damage::Cut { to } => text.truncate(place(to)),
            Damage::Line { line, what } => text = with_line_damaged(&text, line, what),
        }
    }
    text
}

fn with_line_damaged(text: &[u8], line: u8, what: LineDamage) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let number = |line: u8| usize::from(line) % lines.len();
    if lines.is_empty() {
        return Vec::new();
    }
    let at = number(line);
    match what {
        LineDamage::Gone => drop(lines.remove(at)),
        LineDamage::Repeated { before } => lines.insert(number(before), lines[at].clone()),
        LineDamage::Swapped { with } => {
            let other = number(with);
            lines.swap(at, other);
        }
        LineDamage::Joined => drop(lines[at].pop()),
        LineDamage::Hole => lines[at].fill(0),
    }
    lines.concat()
}
