//! Another user's state: read with an explicit option, by commands that write nothing, and never written.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use kmodlab::digest::sha256;
use rustix::fs::Mode;

use crate::state::scene::{PATCHED, Scene, fixture};

/// The commands that read another user's state.
const READING: [&[&str]; 9] = [
    &["log"],
    &["log", "--json"],
    &["log", "--verify"],
    &["verify"],
    &["verify", PATCHED],
    &["vault"],
    &["vault", "--list"],
    &["vault", "verify"],
    &["vault", "export", "-"],
];

/// The commands that never do.
const OTHERS: [&[&str]; 12] = [
    &["patch", PATCHED, "--mode", "blank"],
    &["restore", PATCHED],
    &["restore", PATCHED, "-n"],
    &["restore", "--all"],
    &["recover"],
    &["vault", "drop", "--unneeded"],
    &["vault", "forget", PATCHED],
    &["enrol"],
    &["scan", "."],
    &["show", PATCHED],
    &["doctor"],
    &["check", PATCHED, "--kernel", "vermagic:2.6.5 "],
];

/// Runs a command with the option.
fn foreign(scene: &Scene, call: &[&str]) -> crate::state::scene::Answer {
    scene.run(call.iter().copied().chain(["--foreign-state"]))
}

/// Every file and folder of the state.
fn each_part(folder: &Path, each: &mut impl FnMut(&Path)) {
    each(folder);
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => each_part(&entry.path(), each),
            false => each(&entry.path()),
        }
    }
}

/// Each reading command reads this state, `restore -o` and `vault cat` extract the original, and all others refuse.
fn is_read_and_not_written(scene: &Scene) {
    let before = scene.snapshot();
    for call in READING {
        let without = scene.run(call.iter().copied());
        assert_eq!((without.status, without.out.as_str()), (2, ""), "{call:?}: {without:?}");
        let answer = scene.run_raw(call.iter().copied().chain(["--foreign-state"]));
        assert!(matches!(answer.0, 0 | 1) && !answer.1.is_empty(), "{call:?}: {answer:?}");
        assert_eq!(scene.snapshot(), before, "{call:?}");
    }
    for call in OTHERS {
        let answer = foreign(scene, call);
        assert_eq!((answer.status, answer.out.as_str()), (2, ""), "{call:?}: {answer:?}");
        assert_eq!(answer.err.lines().count(), 1, "{call:?}: {answer:?}");
        assert_eq!(scene.snapshot(), before, "{call:?}");
    }
    let original = fs::read(fixture(PATCHED)).unwrap();
    let cat = scene.run_raw(["vault", "cat", &sha256(&original).to_string(), "--foreign-state"]);
    assert_eq!((cat.0, cat.1), (0, original.clone()));
    let answer = foreign(scene, &["restore", "-o", "original.ko", PATCHED]);
    assert_eq!(answer.status, 0, "{answer:?}");
    assert_eq!(fs::read(scene.path("original.ko")).unwrap(), original);
    fs::remove_file(scene.path("original.ko")).unwrap();
    assert_eq!(scene.snapshot(), before, "only the output was written");
}

#[test]
fn a_state_that_others_may_write_is_read_when_asked_for() {
    let scene = Scene::new();
    each_part(&scene.state(), &mut |path| {
        let mode = path.metadata().unwrap().permissions().mode();
        fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o022)).unwrap();
    });
    is_read_and_not_written(&scene);
}

#[test]
#[ignore = "needs root: tests/run runs it"]
fn a_state_of_another_user_is_read_when_asked_for() {
    let scene = Scene::new();
    each_part(&scene.state(), &mut |path| chown(path, Some(65534), Some(65534)).unwrap());
    is_read_and_not_written(&scene);
}

#[test]
fn links_and_fifos_are_refused_and_large_files_are_not_read() {
    let read = ["journal.jsonl", "objects", "intents"];
    for name in read {
        for is_link in [true, false] {
            let scene = Scene::new();
            let (path, moved) = (scene.state().join(name), scene.path("moved"));
            fs::rename(&path, &moved).unwrap();
            match is_link {
                true => symlink(&moved, &path).unwrap(),
                false => rustix::fs::mkfifoat(rustix::fs::CWD, &path, Mode::RUSR | Mode::WUSR).unwrap(),
            }
            for call in READING {
                let answer = foreign(&scene, call);
                assert_eq!((answer.status, answer.out.as_str()), (2, ""), "{call:?}, {name}: {answer:?}");
                assert!(answer.err.contains("not trusted: it is a"), "{answer:?}");
            }
        }
    }
    let scene = Scene::new();
    let journal = File::options().write(true).open(scene.state().join("journal.jsonl")).unwrap();
    journal.set_len(1 << 40).unwrap();
    for call in [&["log"][..], &["verify"], &["vault"], &["restore", "-o", "original.ko", PATCHED]] {
        let answer = foreign(&scene, call);
        assert_eq!(answer.status, 2, "{call:?}: {answer:?}");
        assert!(answer.err.contains("too large"), "{answer:?}");
    }
}
