//! Each file and folder of the state, changed so that another user could have written it, with each command: refused with one
//! line and status 2, without any action and without blocking. Commands for which the journal is only additional information
//! continue.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use kmodlab::change::{Confirmable, Enrolment, enrol, withdraw};
use kmodlab::error::ErrorKind;
use rustix::fs::{FileType, Mode};

use crate::state::scene::{INTERRUPTED, PATCHED, Scene};

use crate::support::in_own_process;

/// Commands that work on the state. None of them may do anything.
const ABOUT_THE_STATE: [&[&str]; 15] = [
    &["patch", PATCHED, "--mode", "blank"],
    &["patch", PATCHED, INTERRUPTED, "--mode", "blank"],
    &["patch", PATCHED, "--mode", "blank", "-n"],
    &["restore", PATCHED],
    &["restore", PATCHED, "-n"],
    &["restore", "--all"],
    &["recover"],
    &["verify"],
    &["log"],
    &["log", "--json"],
    &["vault"],
    &["vault", "verify"],
    &["vault", "drop", "--unneeded"],
    &["vault", "export", "-"],
    &["enrol"],
];

/// Commands for which the state is additional information or irrelevant: they answer as usual.
const ABOUT_OTHER_THINGS: [&[&str]; 4] =
    [&["scan", "."], &["show", PATCHED], &["check", PATCHED, "--kernel", "vermagic:2.6.5 "], &["doctor", "--json"]];

/// The ones among them that report in one line that they continue without the state.
const TELLING: [&str; 2] = ["scan", "doctor"];

/// A change that another user may have made.
#[derive(Clone, Copy, Debug)]
enum Harm {
    GroupWrites,
    OthersWrite,
    Link,
    Fifo,
    Socket,
    Device,
    Owner,
}

impl Harm {
    /// Applies it to a file or folder; the original is moved out of the state folder.
    fn befall(self, scene: &Scene, path: &Path) {
        let mode = path.metadata().unwrap().permissions().mode();
        let moved = scene.path("moved");
        if matches!(self, Harm::Link | Harm::Fifo | Harm::Socket | Harm::Device) {
            fs::rename(path, &moved).unwrap();
        }
        match self {
            Harm::GroupWrites => fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o020)).unwrap(),
            Harm::OthersWrite => fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o002)).unwrap(),
            Harm::Link => symlink(&moved, path).unwrap(),
            Harm::Fifo => rustix::fs::mkfifoat(rustix::fs::CWD, path, Mode::RUSR | Mode::WUSR).unwrap(),
            Harm::Socket => drop(UnixListener::bind(path).unwrap()),
            Harm::Device => {
                // The null device, which is harmless to open.
                let null = rustix::fs::makedev(1, 3);
                let made = rustix::fs::mknodat(rustix::fs::CWD, path, FileType::CharacterDevice, Mode::RUSR, null);
                made.expect("a device takes root: tests/run runs this as root");
            }
            Harm::Owner => {
                chown(path, Some(65534), None).expect("another owner takes root: tests/run runs this as root");
            }
        }
    }
}

/// Everything in the state folder, and the folder itself.
fn everything(state: &Path) -> Vec<PathBuf> {
    let mut all = vec![state.to_owned()];
    let mut next = 0;
    while let Some(path) = all.get(next).cloned() {
        if path.is_dir() {
            all.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        }
        next += 1;
    }
    all
}

/// Each of these changes to each part of the state, with each command.
fn all_refuse(harms: &[Harm]) {
    let scene = Scene::new();
    let parts: Vec<PathBuf> = everything(&scene.state())
        .into_iter()
        .map(|path| path.strip_prefix(scene.state()).unwrap().to_owned())
        .collect();
    assert_eq!(parts.len(), 12, "{parts:?}");
    let (mut refused, mut went_on) = (0, 0);
    for &harm in harms {
        for nth in 0..parts.len() {
            let scene = Scene::new();
            let mut parts = everything(&scene.state());
            parts.sort();
            let part = &parts[nth];
            harm.befall(&scene, part);
            let before = scene.snapshot();
            for call in ABOUT_THE_STATE {
                let answer = scene.run(call.iter().copied());
                let of = format!("{call:?} with {harm:?} of {}: {answer:?}", part.display());
                assert_eq!((answer.status, answer.out.as_str()), (2, ""), "{of}");
                assert_eq!(answer.err.lines().count(), 1, "{of}");
                assert!(answer.err.contains("not trusted: "), "{of}");
                assert_eq!(scene.snapshot(), before, "{of}");
                refused += 1;
            }
            for call in ABOUT_OTHER_THINGS {
                let answer = scene.run(call.iter().copied());
                let of = format!("{call:?} with {harm:?} of {}: {answer:?}", part.display());
                assert!(answer.status != 2 && !answer.out.is_empty(), "{of}");
                assert_eq!(answer.err.contains("not trusted: "), TELLING.contains(&call[0]), "{of}");
                went_on += 1;
            }
            // Facts may be stored in the cache, which is not part of the state.
            let after = scene.snapshot();
            let left = |path: &PathBuf| !path.starts_with(scene.path("cache"));
            assert!(before.iter().all(|(path, was)| after.get(path) == Some(was)));
            assert!(after.keys().filter(|path| left(path)).all(|path| before.contains_key(path) || !left(path)));
        }
    }
    println!(
        "{} harms to {} parts of the state: {refused} of {refused} calls refused, nothing done; {went_on} of {went_on} went on",
        harms.len(),
        parts.len()
    );
}

#[test]
fn what_others_may_write_is_refused() {
    all_refuse(&[Harm::GroupWrites, Harm::OthersWrite]);
}

#[test]
fn links_fifos_and_sockets_are_refused() {
    all_refuse(&[Harm::Link, Harm::Fifo, Harm::Socket]);
}

#[test]
#[ignore = "needs root: tests/run runs it"]
fn devices_and_files_of_another_user_are_refused() {
    all_refuse(&[Harm::Device, Harm::Owner]);
}

/// A program may keep a vault open for long: files that are opened later are checked when they are opened.
#[test]
fn what_is_put_into_a_vault_that_is_open_is_refused_when_it_is_opened() {
    for harm in [Harm::GroupWrites, Harm::OthersWrite, Harm::Link, Harm::Fifo, Harm::Socket] {
        let scene = Scene::new();
        let vault = scene.vault();
        vault.must_be_trusted().unwrap();
        let sha = vault.journal().unwrap().entries[0].change.as_ref().unwrap().before;
        let mut intents = fs::read_dir(scene.state().join("intents")).unwrap().map(|entry| entry.unwrap().path());
        let intent = intents.find(|path| path.extension().is_some_and(|e| e == "json")).unwrap();
        harm.befall(&scene, &intent);
        fs::remove_file(scene.path("moved")).ok();
        assert_eq!(vault.pending().unwrap_err().kind(), ErrorKind::Untrusted, "{harm:?}");
        harm.befall(&scene, &scene.state().join("lab-machine.json"));
        fs::remove_file(scene.path("moved")).ok();
        assert_eq!(vault.kept("lab-machine.json").unwrap_err().kind(), ErrorKind::Untrusted, "{harm:?}");
        harm.befall(&scene, &scene.state().join("objects").join(sha.to_string()));
        fs::remove_file(scene.path("moved")).ok();
        assert_eq!(vault.objects().get(sha).unwrap_err().kind(), ErrorKind::Untrusted, "{harm:?}");
        assert_eq!(vault.objects().check(sha).unwrap_err().kind(), ErrorKind::Untrusted, "{harm:?}");
        harm.befall(&scene, &scene.state().join("lock"));
        fs::remove_file(scene.path("moved")).ok();
        assert_eq!(vault.writer().err().unwrap().kind(), ErrorKind::Untrusted, "{harm:?}");
        harm.befall(&scene, &scene.state().join("journal.jsonl"));
        assert_eq!(vault.journal().unwrap_err().kind(), ErrorKind::Untrusted, "{harm:?}");
        assert_eq!(vault.index().err().unwrap().kind(), ErrorKind::Untrusted, "{harm:?}");
    }
}

/// The owner of the parent folder can replace the state folder. An open vault keeps using the folder that it opened.
#[test]
fn a_state_folder_that_is_exchanged_during_a_run_changes_nothing_elsewhere() {
    let (scene, other) = (Scene::new(), Scene::new());
    let vault = scene.vault();
    vault.must_be_trusted().unwrap();
    fs::rename(scene.state(), scene.path("moved")).unwrap();
    symlink(other.state(), scene.state()).unwrap();
    let before = other.snapshot();
    withdraw(&mut vault.writer().unwrap()).unwrap();
    assert_eq!(other.snapshot(), before);
    let journal = fs::read_to_string(scene.path("moved/journal.jsonl")).unwrap();
    assert!(journal.contains("no lab machine any more"), "{journal}");
}

/// A link above the state folder belongs to the layout of the disks. A link in place of the state folder is refused.
#[test]
fn a_link_in_the_path_is_followed_and_a_link_at_its_end_is_not() {
    let scene = Scene::new();
    fs::create_dir(scene.path("way")).unwrap();
    symlink(scene.path(""), scene.path("way/link")).unwrap();
    for (state, status) in [("way/link/state", 0), ("./state", 0), ("state/", 0), ("way/../state", 0)] {
        let answer = scene.run(["log", "--state-dir", state]);
        assert_eq!(answer.status, status, "{state}: {answer:?}");
    }
    symlink("state", scene.path("alias")).unwrap();
    for state in ["alias", "alias/", "./alias", "alias/."] {
        let answer = scene.run(["log", "--state-dir", state]);
        assert_eq!(answer.status, 2, "{state}: {answer:?}");
    }
}

/// A default access control list or a set-gid parent folder gives no one else access to a new state folder.
#[test]
fn the_program_trusts_its_own_files_whatever_the_umask() {
    if !in_own_process!() {
        return;
    }
    let scene = Scene::bare();
    fs::set_permissions(scene.path(""), fs::Permissions::from_mode(0o2777)).unwrap();
    fs::create_dir(scene.path("etc")).unwrap();
    fs::write(
        scene.path("etc/machine-id"),
        "0123456789abcdef0123456789abcdef
",
    )
    .unwrap();
    rustix::process::umask(Mode::empty());
    let vault = scene.vault();
    let enrolment = Enrolment::of(&scene.path("")).unwrap();
    let digest = enrolment.digest();
    let confirmed = enrolment.confirm_digest(&digest.to_string()).unwrap();
    enrol(confirmed, &mut vault.writer().unwrap()).unwrap();
    let answer = scene.run(["log"]);
    assert_eq!((answer.status, answer.err.as_str()), (0, ""), "{answer:?}");
}
