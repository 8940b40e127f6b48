//! Export here, import there.

use std::fs;
use std::process::Command;

use super::machine::{MODULES, Machine, fixture, write};

#[test]
fn a_lost_state_comes_back_and_every_module_is_restored() {
    for options in [&[][..], &["--zstd"]] {
        let machine = Machine::with(&MODULES);
        let lines = machine.journal();
        machine.export("export", options);
        fs::remove_dir_all(machine.state()).unwrap();
        machine.import(&machine.path("export"), &[]).with(0);
        assert_eq!(machine.journal()[..3], lines, "the lines are the same, byte for byte");
        machine.run(&["verify"]).with(0);
        machine.run(&["restore", "--all"]).with(0);
        for module in MODULES {
            assert!(fs::read(machine.path(module)).unwrap() == fs::read(fixture(module)).unwrap(), "{module}");
        }
        machine.run(&["vault", "verify"]).with(0);
        machine.run(&["log", "--verify"]).with(0);
    }
}

#[test]
fn on_another_machine_the_log_the_originals_and_verify_answer() {
    let (here, there) = (Machine::with(&MODULES), Machine::new());
    let export = here.export("export", &[]);
    let head = here.run(&["log", "--verify"]).with(0).value("head");
    fs::remove_file(here.path(MODULES[0])).unwrap();
    there.import(&export, &[]).with(0);
    // The hash of the exported journal's last line proves that its lines are unchanged.
    there.run(&["log", "--verify", &head]).with(0);
    assert!(there.run(&["log"]).with(0).text().contains("3 lines and 3 backups from an export"));
    assert!(there.run(&["verify"]).with(1).text().contains("poet_atkm.ko: missing"));
    let original = fs::read(fixture(MODULES[0])).unwrap();
    let sha = kmodlab::digest::sha256(&original).to_string();
    assert!(there.run(&["vault", "cat", &sha]).with(0).out == original);
    // A patched copy that was brought along is known by its contents.
    fs::copy(here.path(MODULES[1]), there.path("copy.ko.xz")).unwrap();
    there.run(&["restore", "copy.ko.xz"]).with(0);
    assert!(fs::read(there.path("copy.ko.xz")).unwrap() == fs::read(fixture(MODULES[1])).unwrap());
}

#[test]
fn missing_lines_are_appended_and_equal_ones_are_skipped() {
    let (here, there) = (Machine::with(&MODULES[..1]), Machine::new());
    // A copy of the state folder goes on here, and is behind there.
    let copy = Command::new("cp").arg("-a").args([here.state(), there.state()]).status().unwrap();
    assert!(copy.success());
    MODULES[1..].iter().for_each(|module| here.patch(module));
    let export = here.export("export", &[]);
    assert!(there.import(&export, &[]).with(0).text().contains("imported 2 lines and 2 backups"));
    assert_eq!((there.journal()[..3].to_vec(), there.journal().len()), (here.journal(), 4));
    let before = there.snapshot();
    assert!(there.import(&export, &[]).with(0).text().contains("nothing is left to import"));
    assert_eq!(there.snapshot(), before);
}

#[test]
fn an_older_export_brings_only_backups_that_are_missing() {
    let machine = Machine::with(&MODULES[..2]);
    let export = machine.export("export", &[]);
    machine.patch(MODULES[2]);
    fs::remove_file(machine.backup(MODULES[0])).unwrap();
    let lines = machine.journal();
    assert!(machine.import(&export, &[]).with(0).text().contains("imported 0 lines and 1 backup"));
    assert_eq!(machine.journal()[..3], lines);
    machine.run(&["restore", "--all"]).with(0);
}

#[test]
fn journals_that_contradict_each_other_are_not_merged() {
    let (here, there) = (Machine::with(&MODULES[..2]), Machine::with(&MODULES[..1]));
    let export = here.export("export", &[]);
    let before = there.snapshot();
    for options in [&[][..], &["--json"]] {
        let refused = there.import(&export, options).with(5);
        assert!(refused.err.contains("line 1 differs; nothing was written; --backups-only"), "{refused:?}");
        assert_eq!((refused.err.lines().count(), refused.out.len()), (1, 0), "{refused:?}");
    }
    assert_eq!(there.snapshot(), before);
    let done = there.import(&export, &["--backups-only"]).with(0);
    assert!(done.text().contains("imported 0 lines and 1 backup"), "{done:?}");
    assert_eq!(there.journal().len(), 2, "its own line, and the one about the import");
    there.run(&["vault", "verify"]).with(0);
}

#[test]
fn the_line_at_which_they_part_is_named() {
    let (here, there) = (Machine::with(&MODULES[..1]), Machine::new());
    there.import(&here.export("first", &[]), &[]).with(0);
    here.patch(MODULES[1]);
    // Line 2 is the import there, and a patch here.
    let refused = there.import(&here.export("second", &[]), &[]).with(5);
    assert!(refused.err.contains("line 2 differs"), "{refused:?}");
}

#[test]
fn nothing_is_written_without_a_confirmation_of_exactly_this() {
    let (here, there) = (Machine::with(&MODULES[..1]), Machine::new());
    let export = here.export("export", &[]);
    let import = ["vault", "import", export.to_str().unwrap()];
    let digest = there.run(import.iter().chain(&["-n"])).with(0).value("digest");
    there.run(&import).with(3);
    there.run(import.iter().chain(&["--confirm", &"0".repeat(64)])).with(3);
    assert!(!there.state().exists());
    // Another export has another digest.
    here.patch(MODULES[1]);
    let other = here.export("other", &[]);
    there.run(&["vault", "import", other.to_str().unwrap(), "--confirm", &digest]).with(3);
    assert!(!there.state().exists());
    there.run(import.iter().chain(&["--confirm", &digest])).with(0);
}

#[test]
fn equal_vaults_make_equal_exports_and_tar_unpacks_a_state_folder() {
    let machine = Machine::with(&MODULES);
    for options in [&[][..], &["--zstd"]] {
        let [first, second] = ["first", "second"].map(|name| machine.export(name, options));
        assert!(fs::read(&first).unwrap() == fs::read(&second).unwrap());
        let unpacked = Machine::new();
        fs::create_dir(unpacked.state()).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(unpacked.state(), mode).unwrap();
        let mut tar = Command::new("tar");
        tar.args(options).arg("--no-same-owner").arg("-xf").arg(&first).arg("-C").arg(unpacked.state());
        let answer = tar.output().unwrap();
        assert!(answer.status.success() && answer.stderr.is_empty(), "{answer:?}");
        assert_eq!(unpacked.journal(), machine.journal());
        unpacked.run(&["vault", "verify"]).with(0);
        fs::remove_file(first).unwrap();
        fs::remove_file(second).unwrap();
    }
}

#[test]
fn an_export_overwrites_no_file_and_leaves_none_that_is_incomplete() {
    let machine = Machine::with(&MODULES[..1]);
    write(&machine.path("there"), b"mine");
    let before = machine.snapshot();
    let refused = machine.run(&["vault", "export", "there"]).with(2);
    assert!(refused.err.contains("exists already"), "{refused:?}");
    machine.run(&["vault", "export", "no/folder"]).with(2);
    machine.run(&["--state-dir", "nowhere", "vault", "export", "out"]).with(2);
    assert_eq!(machine.snapshot(), before);
    let sent = machine.run(&["vault", "export", "-"]).with(0).out;
    assert!(sent == fs::read(machine.export("file", &[])).unwrap());
}
