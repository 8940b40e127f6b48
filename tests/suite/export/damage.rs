//! Damaged backups and journals cost only themselves.

use std::fs;

use super::machine::{MODULES, Machine, fixture, write};

#[test]
fn a_damaged_backup_is_named_and_left_out() {
    let (here, there) = (Machine::with(&MODULES), Machine::new());
    write(&here.backup(MODULES[0]), b"changed");
    for options in [&[][..], &["--zstd"]] {
        let answer = here.run(["vault", "export", "export"].iter().chain(options)).with(1);
        let name = here.backup(MODULES[0]).file_name().unwrap().to_str().unwrap().to_owned();
        assert!(answer.err.contains(&format!("{name}: left out: damaged")), "{answer:?}");
        let planned = there.run(&["vault", "import", here.path("export").to_str().unwrap(), "-n"]).with(0);
        assert!(planned.text().contains("backups  2; 2 would be written"), "{planned:?}");
        fs::remove_file(here.path("export")).unwrap();
    }
}

#[test]
fn a_damaged_backup_here_is_replaced_by_an_intact_one() {
    for (options, form) in [(&[][..], ""), (&["--vault-compress"], ".zst")] {
        let machine = Machine::with(&MODULES[1..]);
        fs::copy(fixture(MODULES[0]), machine.path(MODULES[0])).unwrap();
        let patch = ["patch", MODULES[0], "--mode", "blank"];
        let digest = machine.run(patch.iter().chain(options).chain(&["-n"])).with(0).value("digest");
        machine.run(patch.iter().chain(options).chain(&["--confirm", &digest])).with(0);
        let export = machine.export("export", &[]);
        let backup = format!("{}{form}", machine.backup(MODULES[0]).display());
        let whole = fs::read(&backup).unwrap();
        write(backup.as_ref(), b"changed");
        machine.run(&["vault", "verify"]).with(1);
        let done = machine.import(&export, &[]).with(0);
        assert!(done.text().contains("imported 0 lines and 1 backup\n  repaired  "), "{done:?}");
        assert!(fs::read(&backup).unwrap() == whole);
        machine.run(&["vault", "verify"]).with(0);
    }
}

#[test]
fn a_backup_that_is_intact_is_never_written_again() {
    use std::os::unix::fs::MetadataExt;
    let (here, there) = (Machine::with(&MODULES), Machine::with(&MODULES[..1]));
    let inode = || there.backup(MODULES[0]).metadata().unwrap().ino();
    let before = inode();
    there.import(&here.export("export", &[]), &["--backups-only"]).with(0);
    assert_eq!(inode(), before);
}

#[test]
fn a_damaged_journal_is_exported_as_it_is_and_its_backups_can_be_imported() {
    let (here, there) = (Machine::with(&MODULES), Machine::new());
    let mut text = fs::read(here.state().join("journal.jsonl")).unwrap();
    let second = text.iter().position(|byte| *byte == b'\n').unwrap() + 30;
    text[second] ^= 1;
    write(&here.state().join("journal.jsonl"), &text);
    let answer = here.run(&["vault", "export", "export"]).with(1);
    assert!(answer.err.contains("line 2 breaks its hash chain"), "{answer:?}");
    let refused = there.import(&here.path("export"), &[]).with(2);
    assert!(refused.err.contains("line 2 breaks the hash chain; nothing was written; --backups-only"), "{refused:?}");
    assert!(!there.state().exists());
    there.import(&here.path("export"), &["--backups-only"]).with(0);
    for module in MODULES {
        assert!(fs::read(there.backup(module)).unwrap() == fs::read(fixture(module)).unwrap());
    }
}

#[test]
fn a_torn_last_line_is_not_exported() {
    let (here, there) = (Machine::with(&MODULES), Machine::new());
    let whole = fs::read(here.state().join("journal.jsonl")).unwrap();
    for (text, lines) in [([&whole[..], b"{\"schema"].concat(), 3), (whole[..whole.len() - 1].to_vec(), 3)] {
        write(&here.state().join("journal.jsonl"), &text);
        let export = here.export("export", &[]);
        let planned = there.run(&["vault", "import", export.to_str().unwrap(), "-n"]).with(0);
        assert!(planned.text().contains(&format!("{lines} would be appended")), "{planned:?}");
        fs::remove_file(export).unwrap();
    }
}
