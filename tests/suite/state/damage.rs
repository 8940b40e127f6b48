//! Promise: damage to the state folder never blocks the way back. Each damaged line of the journal is reported, and every original
//! whose backup is intact is restored.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use kmodlab::vault::Vault;
use kmodlab::vault::record::JournalEntry;

use crate::state::scene::{Answer, COMPRESSED, INTERRUPTED, PATCHED, Scene, changes, fixture, label, write};

/// How many modules are patched, each with a line of the journal.
const MODULES: usize = 40;

/// One byte in this many is changed, unless `KMODLAB_DAMAGE=all`.
const ONE_OF: usize = 41;

/// After one change in this many the modules are restored, which takes longer than reading.
const RESTORED: usize = 300;

/// Forty patched modules, and their state folder as the patch left it.
struct Patched {
    scene: Scene,
    /// The name, the original and the patched contents of each module.
    modules: Vec<(String, Vec<u8>, Vec<u8>)>,
    /// The files of the state folder.
    state: Vec<(PathBuf, Vec<u8>)>,
    entries: Vec<JournalEntry>,
}

impl Patched {
    fn new() -> Patched {
        let scene = Scene::bare();
        fs::create_dir(scene.path("tree")).unwrap();
        let hello = fs::read(fixture(INTERRUPTED)).unwrap();
        let at = hello.windows(12).position(|bytes| bytes == b"description=").unwrap() + 12;
        let names: Vec<String> = (0..MODULES).map(|number| format!("tree/m{number:02}.ko")).collect();
        let originals = names.iter().zip(b'0'..).map(|(name, letter)| {
            let mut original = hello.clone();
            original[at] = letter;
            write(&scene.path(name), &original);
            original
        });
        let originals: Vec<Vec<u8>> = originals.collect();
        scene.patch("tree");
        let modules = names.into_iter().zip(originals).map(|(name, original)| {
            let patched = fs::read(scene.path(&name)).unwrap();
            assert_ne!(patched, original);
            (name, original, patched)
        });
        let modules = modules.collect();
        let mut state = Vec::new();
        for folder in [scene.state(), scene.state().join("objects")] {
            let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
            state.extend(files.map(|path| (path.clone(), fs::read(&path).unwrap())));
        }
        let journal = scene.vault().journal().unwrap();
        assert_eq!((journal.entries.len(), journal.damage.len()), (MODULES, 0));
        Patched { scene, modules, state, entries: journal.entries }
    }

    fn journal(&self) -> Vec<u8> {
        fs::read(self.scene.state().join("journal.jsonl")).unwrap()
    }

    fn vault(&self) -> Vault {
        self.scene.vault()
    }

    /// Everything as it was after the patch.
    fn reset(&self) {
        fs::remove_dir_all(self.scene.state()).unwrap();
        for folder in ["objects", "intents"] {
            fs::create_dir_all(self.scene.state().join(folder)).unwrap();
        }
        for (path, bytes) in &self.state {
            write(path, bytes);
        }
        for (name, _, patched) in &self.modules {
            write(&self.scene.path(name), patched);
        }
    }

    /// How many modules have their original contents, and how many the patched ones. There are no others.
    fn restored(&self) -> (usize, usize) {
        let (mut originals, mut patched) = (0, 0);
        for (name, original, after) in &self.modules {
            let now = fs::read(self.scene.path(name)).unwrap();
            assert!(now == *original || now == *after, "{name} has other contents");
            originals += usize::from(now == *original);
            patched += usize::from(now == *after);
        }
        (originals, patched)
    }

    /// The answers of the commands that read, and of a restore of everything.
    fn answers(&self) -> [Answer; 4] {
        [&["scan", "tree"][..], &["verify"], &["log", "--oneline"], &["restore", "--all"]]
            .map(|call| self.scene.run(call.iter().copied()))
    }
}

#[test]
#[ignore = "reads a journal thousands of times: tests/run runs it"]
fn with_any_byte_of_the_journal_changed_everything_is_restored() {
    let patched = Patched::new();
    let text = patched.journal();
    let step = if std::env::var("KMODLAB_DAMAGE").as_deref() == Ok("all") { 1 } else { ONE_OF };
    let (mut read, mut restored, mut lines) = (0, 0, 0);
    for at in (0..text.len()).step_by(step) {
        for bits in [1, 0x80] {
            let mut changed = text.clone();
            changed[at] ^= bits;
            write(&patched.scene.state().join("journal.jsonl"), &changed);
            let journal = patched.vault().journal().unwrap();
            assert_eq!(journal.entries, patched.entries, "byte {at}");
            assert!(journal.damage.iter().all(|damage| damage.is_lossless) && !journal.damage.is_empty(), "byte {at}");
            read += 1;
            // Without the copy one line is lost, or two if they became one.
            fs::rename(patched.scene.state().join("journal.copy.jsonl"), patched.scene.path("copy")).unwrap();
            let without = patched.vault().journal().unwrap();
            assert!(without.entries.len() + 2 >= MODULES, "byte {at}: {}", without.entries.len());
            assert!(!without.damage.is_empty() || without.is_torn || without.entries.len() == MODULES, "byte {at}");
            fs::rename(patched.scene.path("copy"), patched.scene.state().join("journal.copy.jsonl")).unwrap();
            if read % RESTORED == 0 {
                let [scan, verify, log, restore] = patched.answers();
                let statuses = [scan.status, verify.status, log.status, restore.status];
                assert_eq!(statuses, [0, 1, 1, 0], "byte {at}: {scan:?} {verify:?} {log:?} {restore:?}");
                assert!(restore.err.contains("the journal is damaged: line"), "{restore:?}");
                assert_eq!(patched.restored(), (MODULES, 0), "byte {at}");
                assert_eq!(patched.vault().journal().unwrap().entries.len(), 2 * MODULES, "the restores are recorded");
                restored += MODULES;
                lines += 1;
                patched.reset();
            }
        }
    }
    println!(
        "{read} changed bytes: {MODULES} of {MODULES} lines are read each time; {restored} modules restored in {lines} runs"
    );
}

#[test]
fn with_any_line_of_the_journal_removed_everything_is_restored() {
    let patched = Patched::new();
    let text = patched.journal();
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let mut restored = 0;
    for gone in 0..lines.len() {
        let left: Vec<u8> =
            lines.iter().enumerate().filter(|(at, _)| *at != gone).flat_map(|(_, line)| line.to_vec()).collect();
        write(&patched.scene.state().join("journal.jsonl"), &left);
        let journal = patched.vault().journal().unwrap();
        assert_eq!(journal.entries, patched.entries);
        let numbers: Vec<(u64, u64)> = journal.damage.iter().map(|damage| (damage.first, damage.last)).collect();
        assert_eq!(numbers, [(gone as u64 + 1, gone as u64 + 1)]);
        if gone % 8 == 0 || gone + 1 == lines.len() {
            let restore = patched.scene.run(["restore", "--all"]);
            assert_eq!((restore.status, patched.restored()), (0, (MODULES, 0)), "line {gone}: {restore:?}");
            restored += MODULES;
            patched.reset();
        }
    }
    println!("{} removed lines, each reported with its number; {restored} modules restored", lines.len());
}

/// What is done to a file of the state folder.
#[derive(Clone, Copy, Debug)]
enum Harm {
    Removed,
    Emptied,
    Cut,
    Folder,
}

impl Harm {
    fn befall(self, path: &std::path::Path) {
        match self {
            Harm::Removed => fs::remove_file(path).unwrap(),
            Harm::Emptied => write(path, b""),
            Harm::Cut => {
                let bytes = fs::read(path).unwrap();
                write(path, &bytes[..bytes.len() / 2]);
            }
            Harm::Folder => {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            }
        }
    }
}

#[test]
fn whatever_becomes_of_a_file_every_intact_backup_is_restored() {
    let patched = Patched::new();
    let object = patched.entries[7].change.as_ref().unwrap().before.to_string();
    let files = [("journal.jsonl", MODULES), ("journal.copy.jsonl", MODULES), ("lock", MODULES)];
    let files = files.map(|(name, restored)| (name.to_owned(), restored));
    for (name, expected) in files.into_iter().chain([(format!("objects/{object}"), MODULES - 1)]) {
        for harm in [Harm::Removed, Harm::Emptied, Harm::Cut, Harm::Folder] {
            patched.reset();
            harm.befall(&patched.scene.state().join(&name));
            let restore = patched.scene.run(["restore", "--all"]);
            let (originals, others) = patched.restored();
            println!("{name} {harm:?}: status {}, {originals} restored", restore.status);
            // Without its lock nothing is written: the line says what to do.
            if name == "lock" && matches!(harm, Harm::Folder) {
                assert_eq!((restore.status, originals, restore.err.lines().count()), (2, 0, 1), "{restore:?}");
                continue;
            }
            assert_eq!((originals, others), (expected, MODULES - expected), "{name} {harm:?}: {restore:?}");
            assert_eq!(restore.status, if expected == MODULES { 0 } else { 4 }, "{name} {harm:?}: {restore:?}");
        }
    }
}

/// The exit statuses of `scan`, `verify`, `log` and `restore --all` for a user who may not read a part of the state, and how many of two
/// originals are restored; `-` if the command was refused with one line and status 2. The closed part of the journal has a changed line,
/// which only its copy has.
const UNREADABLE: &str = "
the folder                         0 - - - 0
intents                            0 - - - 0
journal.1.copy.jsonl               0 1 1 0 1
journal.1.jsonl                    0 1 1 0 2
journal.2.copy.jsonl.tmp           0 1 0 0 2
journal.2.jsonl.tmp                0 1 0 0 2
journal.copy.jsonl                 0 1 0 0 2
journal.jsonl                      0 1 1 0 2
lab-machine.json                   0 1 0 0 2
lab-machine.json.tmp               0 1 0 0 2
lock                               0 1 0 - 0
objects                            0 - - - 0
intents/1-1.json.tmp               0 1 0 0 2
intents/7-7.json                   0 1 0 0 2
objects/hello-4.ko                 0 1 0 0 2
objects/vendor.ko.zst              0 1 0 4 1
objects/poet_atkm.ko               0 1 0 4 1
objects/half.tmp                   0 1 0 0 2
journal.jsonl journal.copy.jsonl   0 1 1 - 0
";

#[test]
#[ignore = "needs root: tests/run runs it"]
fn whatever_can_not_be_read_every_readable_backup_is_restored() {
    let scene = Scene::full_of_user();
    let was = scene.snapshot();
    let modules = [PATCHED, COMPRESSED];
    let mut table = String::from("\n");
    let parts = scene.parts().into_iter().map(|part| vec![part]);
    let journals = ["journal.jsonl", "journal.copy.jsonl"].map(|name| scene.state().join(name));
    for parts in parts.chain([journals.to_vec()]) {
        for part in &parts {
            fs::set_permissions(part, fs::Permissions::from_mode(0o0)).unwrap();
        }
        let before = scene.snapshot();
        let mut row = Vec::new();
        for call in [&["scan", PATCHED, COMPRESSED][..], &["verify"], &["log"], &["restore", "--all"]] {
            let answer = scene.run(call.iter().copied());
            let is_refused = answer.status == 2 && answer.out.is_empty() && answer.err.lines().count() == 1;
            row.push(if is_refused { "-".to_owned() } else { answer.status.to_string() });
            let module_of = |name: &str| fs::read(scene.path(name)).unwrap();
            match call[0] {
                "restore" => {
                    let restored = modules.iter().filter(|name| module_of(name) == fs::read(fixture(name)).unwrap());
                    row.push(restored.count().to_string());
                }
                _ => assert!(
                    changes(&before, &scene.snapshot(), &scene.path("cache")).is_empty(),
                    "{call:?}: {answer:?}"
                ),
            }
        }
        let labels: Vec<String> = parts.iter().map(|part| label(&scene, part)).collect();
        table.push_str(&format!("{:34} {}\n", labels.join(" "), row.join(" ")));
        scene.put_back(&was);
    }
    println!(
        "{} parts that can't be read: scan, verify, log, restore --all, originals restored{table}",
        table.lines().count() - 1
    );
    assert_eq!(table, UNREADABLE);
}

#[test]
fn a_repair_keeps_the_damaged_journal_and_begins_a_new_part() {
    let patched = Patched::new();
    let mut text = patched.journal();
    let at = text.iter().position(|byte| *byte == b'\n').unwrap() + 100;
    text[at] ^= 1;
    write(&patched.scene.state().join("journal.jsonl"), &text);
    let refused = patched.scene.run(["vault", "drop", "--unneeded"]);
    assert_eq!(refused.status, 2, "{refused:?}");
    assert!(refused.err.contains("the journal is damaged (line 2 was changed)"), "{refused:?}");
    let plan = patched.scene.run(["vault", "repair", "-n"]);
    assert_eq!(plan.status, 1, "{plan:?}");
    let digest = plan.out.lines().find_map(|line| line.trim().strip_prefix("digest")).unwrap().trim().to_owned();
    let answer = patched.scene.run(["vault", "repair", "--confirm", &digest]);
    assert_eq!(answer.status, 0, "{answer:?}");
    assert_eq!(fs::read(patched.scene.state().join("journal.1.jsonl")).unwrap(), text, "the damaged file stays");

    let journal = patched.vault().journal().unwrap();
    assert_eq!((journal.entries.len(), journal.damage.len()), (MODULES + 1, 0));
    let repaired = journal.entries[MODULES].repaired.as_ref().unwrap();
    assert_eq!(
        (repaired.part.as_str(), repaired.damage.as_slice()),
        ("journal.1.jsonl", &["line 2 was changed".to_owned()][..])
    );
    let [scan, verify, log, restore] = patched.answers();
    assert_eq!(
        [scan.status, verify.status, log.status, restore.status],
        [0, 0, 0, 0],
        "{verify:?} {log:?} {restore:?}"
    );
    assert_eq!(patched.restored(), (MODULES, 0));
    assert_eq!(patched.scene.run(["vault", "repair"]).out, "the journal is whole; nothing to repair\n");
    // Whoever changes the closed part later is noticed.
    text[at] ^= 3;
    write(&patched.scene.state().join("journal.1.jsonl"), &text);
    assert_eq!(patched.scene.run(["log", "--verify"]).status, 1);
}

#[test]
fn without_the_line_that_names_it_a_closed_part_still_counts() {
    let patched = Patched::new();
    let mut text = patched.journal();
    text[100] ^= 1;
    write(&patched.scene.state().join("journal.jsonl"), &text);
    let plan = patched.scene.run(["vault", "repair", "-n"]);
    let digest = plan.out.lines().find_map(|line| line.trim().strip_prefix("digest")).unwrap().trim().to_owned();
    assert_eq!(patched.scene.run(["vault", "repair", "--confirm", &digest]).status, 0);
    assert_eq!(patched.scene.run(["restore", "tree/m00.ko"]).status, 0);
    let text = patched.journal();
    let repair = text.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for name in ["journal.jsonl", "journal.copy.jsonl"] {
        write(&patched.scene.state().join(name), &text[repair..]);
    }
    let journal = patched.vault().journal().unwrap();
    assert_eq!(journal.entries.len(), MODULES + 1, "{:?}", journal.damage);
    assert!(journal.damage.iter().any(|damage| damage.first == MODULES as u64 + 1), "{:?}", journal.damage);
    assert_eq!(patched.scene.run(["restore", "--all"]).status, 0);
    assert_eq!(patched.restored(), (MODULES, 0));
}
