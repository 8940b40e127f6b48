//! A journal that was damaged and repaired moves with all of its parts: everything that reads it answers alike on both sides.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::machine::{MODULES, Machine, fixture, write};
use kmodlab::error::ErrorKind;

const JOURNAL: &str = "journal.jsonl";
const COPY: &str = "journal.copy.jsonl";
const PART: &str = "journal.1.jsonl";
const PART_COPY: &str = "journal.1.copy.jsonl";

fn state_file(machine: &Machine, name: &str) -> Vec<u8> {
    fs::read(machine.state().join(name)).unwrap_or_default()
}

/// Changes a byte in the middle of a line.
fn damage(machine: &Machine, name: &str, line: usize) {
    let mut text = state_file(machine, name);
    let before: usize = text.split_inclusive(|byte| *byte == b'\n').take(line - 1).map(<[u8]>::len).sum();
    text[before + 100] ^= 1;
    write(&machine.state().join(name), &text);
}

fn repair(machine: &Machine) {
    let digest = machine.run(&["vault", "repair", "-n"]).with(1).value("digest");
    machine.run(&["vault", "repair", "--confirm", &digest]).with(0);
}

/// Two patches, damage to line 2, a repair, another patch, and a restore. With `is_lost`, the copy has not the line either.
fn repaired(is_lost: bool) -> Machine {
    let machine = Machine::with(&MODULES[..2]);
    damage(&machine, JOURNAL, 2);
    if is_lost {
        damage(&machine, COPY, 2);
    }
    repair(&machine);
    machine.patch(MODULES[2]);
    machine.run(&["restore", MODULES[0]]).with(0);
    machine
}

/// Copies the state folder of a machine to another one that has none.
fn copy_state(from: &Machine, to: &Machine) {
    assert!(Command::new("cp").arg("-a").args([from.state(), to.state()]).status().unwrap().success());
}

/// The journal there is that of the export, byte for byte, and a line about the import, with its copy.
#[track_caller]
fn has_journal_of(there: &Machine, here: &Machine) {
    for name in [PART, PART_COPY] {
        assert!(!state_file(here, name).is_empty());
        assert!(state_file(there, name) == state_file(here, name), "{name}");
    }
    let text = state_file(there, JOURNAL);
    let more = text.strip_prefix(&state_file(here, JOURNAL)[..]).expect("the lines are the same");
    assert_eq!(more.iter().filter(|byte| **byte == b'\n').count(), 1, "the line about the import");
    assert!(state_file(there, COPY) == text, "the copy is made at once");
    let temporary = |path: &Path| path.extension().is_some_and(|extension| extension == "tmp");
    assert!(!there.snapshot().keys().any(|path| temporary(path)));
}

#[test]
fn both_sides_answer_alike() {
    for (options, is_lost) in [(&[][..], false), (&["--zstd"], false), (&[], true)] {
        let (here, there) = (repaired(is_lost), Machine::new());
        let export = here.export("export", options);
        let log = here.run(&["log", "--oneline"]).with(0).text();
        let head = here.run(&["log", "--verify"]).with(0).value("head");
        let proof = here.run(&["log", "--verify", &head]);
        assert_eq!(proof.status, i32::from(is_lost), "{proof:?}");
        let lines = if is_lost { 4 } else { 5 };
        assert_eq!(log.lines().count(), lines);

        there.import(&export, &[]).with(0);
        has_journal_of(&there, &here);
        let log_there = there.run(&["log", "--oneline"]).with(0).text();
        assert!(log_there.ends_with(&log) && log_there.lines().count() == lines + 1, "{log_there}");
        assert_eq!(there.run(&["log", "--verify", &head]).status, proof.status);
        assert_eq!(there.run(&["vault", "repair"]).with(0).text(), "the journal is whole; nothing to repair\n");

        // The state folder is lost here: the export brings it back.
        let verified = here.run(&["verify"]);
        let before = fs::read(here.state().join(JOURNAL)).unwrap();
        fs::remove_dir_all(here.state()).unwrap();
        here.import(&export, &[]).with(0);
        assert!(fs::read(here.state().join(JOURNAL)).unwrap().starts_with(&before));
        let verified_again = here.run(&["verify"]);
        assert_eq!((verified_again.status, verified_again.text()), (verified.status, verified.text()));
        here.run(&["restore", "--all"]).with(0);
        let restored =
            MODULES.iter().filter(|name| fs::read(here.path(name)).unwrap() == fs::read(fixture(name)).unwrap());
        // The patch of which no line is left is not known.
        assert_eq!(restored.count(), if is_lost { 2 } else { 3 });
        println!("{options:?}, a line lost: {is_lost}: {lines} lines in 2 parts, the same on both sides");
    }
}

#[test]
fn what_is_missing_is_added_to_any_beginning_of_the_journal() {
    let here = Machine::with(&MODULES[..2]);
    let beginnings: [Machine; 4] = std::array::from_fn(|_| Machine::new());
    // Without a repair; with one; with a part that is closed by the next repair; with everything.
    copy_state(&here, &beginnings[0]);
    damage(&here, JOURNAL, 2);
    repair(&here);
    copy_state(&here, &beginnings[1]);
    here.patch(MODULES[2]);
    copy_state(&here, &beginnings[2]);
    let older = here.export("older", &[]);
    damage(&here, JOURNAL, 1);
    repair(&here);
    here.run(&["restore", MODULES[0]]).with(0);
    copy_state(&here, &beginnings[3]);
    let export = here.export("export", &[]);
    for (there, lines) in beginnings.iter().zip([4, 3, 2, 0]) {
        let done = there.import(&export, &[]).with(0).text();
        assert!(done.contains(&format!("imported {lines} lines and ")), "{done}");
        has_journal_of(there, &here);
        for name in ["journal.2.jsonl", "journal.2.copy.jsonl"] {
            assert!(state_file(there, name) == state_file(&here, name), "{name}");
        }
        there.run(&["log", "--verify"]).with(0);
        let before = there.snapshot();
        assert!(there.import(&export, &[]).with(0).text().contains("nothing is left to import"));
        assert_eq!(there.snapshot(), before);
        // The older export has nothing that is missing.
        let planned = there.run(&["vault", "import", older.to_str().unwrap(), "-n"]).with(0).text();
        assert!(planned.contains("; 0 would be appended"), "{planned}");
    }
}

#[test]
fn journals_with_parts_that_contradict_each_other_are_not_merged() {
    let (here, other) = (repaired(false), repaired(false));
    let (lossy, early) = (Machine::with(&MODULES[..2]), Machine::new());
    // The journal from before the damage has a line that the export has not any more.
    copy_state(&lossy, &early);
    damage(&lossy, JOURNAL, 2);
    damage(&lossy, COPY, 2);
    repair(&lossy);
    let plain = Machine::with(&MODULES[..1]);
    for (from, to, line) in [(&here, &other, 1), (&here, &plain, 1), (&plain, &here, 1), (&lossy, &early, 2)] {
        let export = from.path("contradiction");
        let _ = fs::remove_file(&export);
        from.export("contradiction", &[]);
        let before = to.snapshot();
        let refused = to.import(&export, &[]).with(5);
        assert!(refused.err.contains(&format!("line {line} differs; nothing was written")), "{refused:?}");
        assert_eq!((refused.err.lines().count(), refused.out.len()), (1, 0), "{refused:?}");
        assert_eq!(to.snapshot(), before);
    }
}

#[test]
fn a_file_that_has_the_name_of_a_part_is_not_replaced() {
    let (here, there) = (Machine::with(&MODULES[..2]), Machine::new());
    copy_state(&here, &there);
    damage(&here, JOURNAL, 2);
    repair(&here);
    // An interrupted repair gave the journal this second name.
    write(&there.state().join(PART), &state_file(&there, JOURNAL));
    let export = here.export("export", &[]);
    let before = there.snapshot();
    let refused = there.import(&export, &[]).with(2);
    assert!(refused.err.contains("its journal has parts that can't be merged with the journal here"), "{refused:?}");
    assert_eq!(there.snapshot(), before);
    fs::remove_file(there.state().join(PART)).unwrap();
    there.import(&export, &[]).with(0);
    has_journal_of(&there, &here);
}

#[test]
fn a_part_that_was_changed_after_its_repair_is_exported_and_not_imported() {
    let (here, there) = (repaired(false), Machine::new());
    let mut text = state_file(&here, PART);
    text[10] ^= 1;
    write(&here.state().join(PART), &text);
    let answer = here.run(&["vault", "export", "export"]).with(1);
    assert!(answer.err.contains("line 1 breaks its hash chain"), "{answer:?}");
    let refused = there.import(&here.path("export"), &[]).with(2);
    assert!(refused.err.contains("line 1 breaks the hash chain; nothing was written"), "{refused:?}");
    assert!(!there.state().exists());
    there.import(&here.path("export"), &["--backups-only"]).with(0);
}

/// The current part was changed, so its copy is needed too: tar unpacks a state folder in which nothing is lost.
#[test]
fn the_copy_of_a_damaged_journal_is_in_the_export() {
    let (here, there) = (repaired(false), Machine::new());
    damage(&here, JOURNAL, 2);
    here.run(&["vault", "export", "export"]).with(1);
    fs::create_dir(there.state()).unwrap();
    fs::set_permissions(there.state(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let mut tar = Command::new("tar");
    tar.arg("--no-same-owner").arg("-xf").arg(here.path("export")).arg("-C").arg(there.state());
    assert!(tar.status().unwrap().success());
    for name in [JOURNAL, COPY, PART, PART_COPY] {
        assert!(state_file(&there, name) == state_file(&here, name), "{name}");
    }
    let [log, log_there] = [&here, &there].map(|machine| machine.run(&["log", "--oneline"]).with(1).text());
    assert_eq!(log, log_there);
}

/// Between the step that makes the parts count and their names.
#[test]
fn parts_with_temporary_names_count_as_soon_as_a_line_names_them() {
    let (here, there) = (repaired(false), Machine::new());
    there.import(&here.export("export", &[]), &[]).with(0);
    let log = there.run(&["log", "--oneline"]).with(0).text();
    let state = there.state();
    for names in [&[PART][..], &[PART_COPY], &[PART, PART_COPY]] {
        names.iter().for_each(|name| fs::rename(state.join(name), state.join(format!("{name}.tmp"))).unwrap());
        assert_eq!(there.run(&["log", "--oneline"]).with(0).text(), log, "{names:?}");
        there.run(&["vault", "export", "-"]).with(0);
        there.run(&["recover"]).with(0);
        assert!(names.iter().all(|name| state.join(name).exists()), "{names:?}");
    }
    // No line names this one.
    fs::copy(state.join(PART), state.join("journal.2.jsonl.tmp")).unwrap();
    assert_eq!(there.run(&["log", "--oneline"]).with(0).text(), log);
    there.run(&["recover"]).with(0);
    assert!(!state.join("journal.2.jsonl.tmp").exists() && !state.join("journal.2.jsonl").exists());
    has_journal_of(&there, &here);
}

/// The line that names the parts can't be read, so nobody knows whether they belong to the journal.
#[test]
fn parts_with_temporary_names_stay_while_the_line_that_names_them_is_damaged() {
    let (here, there) = (repaired(false), Machine::new());
    there.import(&here.export("export", &[]), &[]).with(0);
    let log = there.run(&["log", "--oneline"]).with(0).text();
    let path = |name: &str| there.state().join(name);
    let [part, part_copy, journal] = [PART, PART_COPY, JOURNAL].map(|name| state_file(&there, name));
    let mut changed = journal.clone();
    changed[100] ^= 1;
    // The journal, a folder for `None`, and its copy; the copy of the first part is what the copy was before an import.
    let harms = [
        (Some(&changed), None),
        (Some(&changed), Some(&changed)),
        (Some(&changed), Some(&part_copy)),
        (Some(&Vec::new()), None),
        (Some(&Vec::new()), Some(&part_copy)),
        (None, None),
        (None, Some(&part_copy)),
    ];
    for (number, (harmed, copy)) in harms.into_iter().enumerate() {
        for name in [PART, PART_COPY] {
            fs::rename(path(name), path(&format!("{name}.tmp"))).unwrap();
        }
        for (name, text) in [(JOURNAL, harmed), (COPY, copy)] {
            fs::remove_file(path(name)).unwrap();
            text.into_iter().for_each(|text| write(&path(name), text));
        }
        if harmed.is_none() {
            fs::create_dir(path(JOURNAL)).unwrap();
        }
        // Whoever recovers removes what was left of a journal. Without any line of the journal nothing is written.
        let is_refused = harmed.is_none() && copy.is_none();
        write(&path("journal.jsonl.tmp"), b"");
        there.run(&["recover"]).with(if is_refused { 2 } else { 0 });
        assert_eq!(path("journal.jsonl.tmp").exists(), is_refused, "harm {number}");
        let is_repaired = there.run(&["vault", "repair", "-n"]).status == 1;
        if is_repaired {
            // The repair leaves their numbers to them.
            repair(&there);
            there.run(&["recover"]).with(0);
            assert!(path("journal.2.jsonl").exists() || path("journal.2.copy.jsonl").exists(), "harm {number}");
        }
        for (name, text) in [(PART, &part), (PART_COPY, &part_copy)] {
            assert!(
                state_file(&there, &format!("{name}.tmp")) == *text && !path(name).exists(),
                "harm {number}, {name}"
            );
        }
        println!("harm {number}: the parts stay, repaired: {is_repaired}");
        // Whole again, it names them.
        for name in [JOURNAL, COPY, "journal.2.jsonl", "journal.2.copy.jsonl"] {
            let _ = fs::remove_file(path(name));
            let _ = fs::remove_dir(path(name));
        }
        [JOURNAL, COPY].iter().for_each(|name| write(&path(name), &journal));
        assert_eq!(there.run(&["log", "--oneline"]).with(0).text(), log, "harm {number}");
        there.run(&["recover"]).with(0);
        has_journal_of(&there, &here);
    }
}

/// A folder has the name of a part, or its temporary name: neither is the vault's, and nothing next to it is removed.
#[test]
fn a_folder_with_the_name_of_a_part_stops_nothing() {
    let (here, there) = (repaired(false), Machine::new());
    there.import(&here.export("export", &[]), &[]).with(0);
    let path = |name: &str| there.state().join(name);
    let part = state_file(&there, PART);
    fs::rename(path(PART), path("journal.1.jsonl.tmp")).unwrap();
    fs::create_dir(path(PART)).unwrap();
    fs::create_dir(path("journal.2.jsonl.tmp")).unwrap();
    there.run(&["recover"]).with(0);
    assert!(path("journal.2.jsonl.tmp").is_dir());
    assert!(state_file(&there, "journal.1.jsonl.tmp") == part);
    fs::remove_dir(path(PART)).unwrap();
    there.run(&["recover"]).with(0);
    assert!(path("journal.2.jsonl.tmp").is_dir());
    fs::remove_dir(path("journal.2.jsonl.tmp")).unwrap();
    has_journal_of(&there, &here);
}

#[test]
fn an_export_with_parts_and_any_byte_changed_is_refused() {
    for options in [&[][..], &["--zstd"]] {
        let (here, there) = (Machine::with(&MODULES[..1]), Machine::new());
        damage(&here, JOURNAL, 1);
        repair(&here);
        let whole = fs::read(here.export("export", options)).unwrap();
        let file = there.path("changed");
        let mut refused = 0;
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1 << (at % 8);
            fs::write(&file, changed).unwrap();
            match there.vault().plan_import(&file, 1 << 20, || {}) {
                Ok(_) => panic!("byte {at} of {}", whole.len()),
                Err(e) => assert!(matches!(e.kind(), ErrorKind::Damaged | ErrorKind::TooLarge), "byte {at}: {e}"),
            }
            refused += 1;
        }
        println!("an export with 2 parts {options:?}: {refused} of {} changed bytes refused", whole.len());
        assert!(!there.state().exists());
    }
}
