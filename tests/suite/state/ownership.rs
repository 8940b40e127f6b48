//! Each file and folder of the state, with each kind of wrongness and each command.
//!
//! What another user could have written is refused with one line and status 2, without any action and without blocking; commands
//! for which the journal is only additional information continue. A file that is a folder, a folder that is a file, a file that is too long
//! and a small backup that decompresses to very much are refused or answered, in little memory, and nothing else is written.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use kmodlab::change::{Confirmable, Enrolment, enrol, withdraw};
use kmodlab::error::ErrorKind;
use rustix::fs::{FileType, Mode};

use crate::state::scene::{INTERRUPTED, PATCHED, Scene, changes, fixture, label, write};

use crate::support::in_own_process;

/// Commands that work on the state. None of them may do anything.
const ABOUT_THE_STATE: [&[&str]; 16] = [
    &["patch", PATCHED, "--mode", "blank"],
    &["patch", PATCHED, INTERRUPTED, "--mode", "blank"],
    &["patch", PATCHED, "--mode", "blank", "-n"],
    &["restore", PATCHED],
    &["restore", PATCHED, "-n"],
    &["restore", "--all"],
    &["restore", "--all", "-n"],
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
    Folder,
    File,
    /// A hole makes it longer than any disk.
    Long,
    /// A compressed backup of 2 MB, which decompresses to 64 GiB.
    Bomb,
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
            Harm::Folder => {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
                fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
            }
            Harm::File => {
                fs::remove_dir_all(path).unwrap();
                write(path, b"a file");
            }
            Harm::Long => {
                // A backup has mode 0400.
                fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
                fs::File::options().write(true).open(path).unwrap().set_len(1 << 40).unwrap();
            }
            Harm::Bomb => write(path, &bomb()),
        }
    }

    /// Whether it can befall this file or folder.
    fn fits(self, path: &Path) -> bool {
        match self {
            Harm::Folder | Harm::Long => path.is_file(),
            Harm::File => path.is_dir(),
            Harm::Bomb => path.extension().is_some_and(|extension| extension == "zst"),
            _ => true,
        }
    }
}

/// Each of these changes to each part of the state, with each command.
fn all_refuse(harms: &[Harm]) {
    let scene = Scene::full();
    let (was, parts) = (scene.snapshot(), scene.parts());
    assert_eq!(parts.len(), 18, "{parts:?}");
    let (mut refused, mut went_on) = (0, 0);
    for &harm in harms {
        for part in &parts {
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
            scene.put_back(&was);
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

/// A Zstandard frame of zeros: a window of 1 MiB, and blocks of four bytes, each of which stands for 128 KiB (RFC 8878).
fn bomb() -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0x50];
    let block = |is_last: u32| ((128_u32 << 10) << 3) | (1 << 1) | is_last;
    for is_last in std::iter::repeat_n(0, (1 << 19) - 1).chain([1]) {
        frame.extend(&block(is_last).to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

/// The commands of the table below, in the order of its columns.
const CALLS: [&[&str]; 9] = [
    &["log"],
    &["verify"],
    &["scan", "."],
    &["restore", "--all", "-n"],
    &["restore", PATCHED],
    &["patch", PATCHED, "--mode", "blank", "-n"],
    &["vault", "verify"],
    &["vault", "export", "-", "--max-size", "16777216"],
    &["recover"],
];

/// The commands among them that may write: the module, and the state.
const WRITING: [&str; 2] = ["restore", "recover"];

/// The exit status of each of these commands; `-` if it was refused with one line and status 2.
const ANSWERS: &str = "
journal.1.copy.jsonl             Folder 1 1 0 0 0 0 1 1 0
journal.1.jsonl                  Folder 1 1 0 0 0 0 1 - 0
journal.2.copy.jsonl.tmp         Folder 0 1 0 0 0 0 0 0 0
journal.2.jsonl.tmp              Folder 0 1 0 0 0 0 0 0 0
journal.copy.jsonl               Folder 0 1 0 0 0 0 0 0 0
journal.jsonl                    Folder 1 1 0 0 0 0 1 - 0
lab-machine.json                 Folder 0 1 0 0 0 0 0 0 0
lab-machine.json.tmp             Folder 0 1 0 0 0 0 0 0 0
lock                             Folder 0 1 0 0 - 0 0 0 -
intents/1-1.json.tmp             Folder 0 1 0 0 0 0 0 0 0
intents/7-7.json                 Folder 0 1 0 0 0 0 1 0 2
objects/hello-4.ko               Folder 0 1 0 0 0 0 1 1 0
objects/vendor.ko.zst            Folder 0 1 0 4 0 0 1 1 0
objects/poet_atkm.ko             Folder 0 1 0 4 2 0 1 1 0
objects/half.tmp                 Folder 0 1 0 0 0 0 0 0 0
the folder                       File   - - 0 - - - - - -
intents                          File   - - 0 - - - - - -
objects                          File   - - 0 - - - - - -
journal.1.copy.jsonl             Long   0 1 0 0 0 0 0 - 0
journal.1.jsonl                  Long   1 1 0 0 0 0 1 - 0
journal.2.copy.jsonl.tmp         Long   0 1 0 0 0 0 0 0 0
journal.2.jsonl.tmp              Long   0 1 0 0 0 0 0 0 0
journal.copy.jsonl               Long   0 1 0 0 0 0 0 0 0
journal.jsonl                    Long   1 1 0 0 0 0 1 - 0
lab-machine.json                 Long   0 1 0 0 0 0 0 0 0
lab-machine.json.tmp             Long   0 1 0 0 0 0 0 0 0
lock                             Long   0 1 0 0 0 0 0 0 0
intents/1-1.json.tmp             Long   0 1 0 0 0 0 0 0 0
intents/7-7.json                 Long   0 1 0 0 0 0 1 0 2
objects/hello-4.ko               Long   0 1 0 0 0 0 1 1 0
objects/vendor.ko.zst            Long   0 1 0 4 0 0 1 1 0
objects/poet_atkm.ko             Long   0 1 0 4 2 0 1 1 0
objects/half.tmp                 Long   0 1 0 0 0 0 0 0 0
objects/vendor.ko.zst            Bomb   0 1 0 4 0 0 1 1 0
";

#[test]
fn whatever_is_in_the_place_of_a_file_every_command_ends_in_little_memory() {
    let scene = Scene::full();
    let was = scene.snapshot();
    let (mut table, mut refused, mut answered) = (String::from("\n"), 0, 0);
    for harm in [Harm::Folder, Harm::File, Harm::Long, Harm::Bomb] {
        for part in scene.parts().iter().filter(|part| harm.fits(part)) {
            let mut row = Vec::new();
            for call in CALLS {
                harm.befall(&scene, part);
                let before = scene.snapshot();
                let answer = scene.run_in_little_memory(call);
                let changed = changes(&before, &scene.snapshot(), &scene.path("cache"));
                let of = format!("{call:?} with {harm:?} of {}: {answer:?}", part.display());
                let is_refused = answer.status == 2 && answer.out.is_empty() && answer.err.lines().count() == 1;
                let may_change = |path: &PathBuf| {
                    let is_own = path.starts_with(scene.state()) || *path == scene.path(PATCHED);
                    is_own && !is_refused && WRITING.contains(&call[0]) && !call.contains(&"-n")
                };
                assert!(changed.iter().all(may_change), "{of}: {changed:?}");
                let module = fs::read(scene.path(PATCHED)).unwrap();
                let is_restored = module == fs::read(fixture(PATCHED)).unwrap();
                assert_eq!(is_restored, call == ["restore", PATCHED] && answer.status == 0, "{of}");
                row.push(if is_refused { "-".to_owned() } else { answer.status.to_string() });
                refused += usize::from(is_refused);
                answered += usize::from(!is_refused);
                scene.put_back(&was);
            }
            let harm = format!("{harm:?}");
            table.push_str(&format!("{:32} {harm:6} {}\n", label(&scene, part), row.join(" ")));
        }
    }
    println!("{} calls: {refused} refused, {answered} answered{table}", refused + answered);
    assert_eq!(table, ANSWERS);
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
