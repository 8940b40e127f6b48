//! A journal to which nothing can be appended: detected before the first write, in one line. Reading goes on.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::state::scene::{Answer, INTERRUPTED, PATCHED, Scene, USER};
use crate::support::KMODLAB;

/// Commands that write, and with them the journal.
const WRITING: [&[&str]; 5] = [
    &["patch", INTERRUPTED, "--vermagic", "2.6.5", "--allow-abi-mismatch", "--confirm"],
    &["restore", PATCHED],
    &["restore", "--all"],
    &["vault", "forget", PATCHED, "--confirm"],
    &["recover"],
];

/// Commands that read.
const READING: [&[&str]; 8] = [
    &["scan", "."],
    &["show", PATCHED],
    &["log"],
    &["log", "--verify"],
    &["verify"],
    &["vault"],
    &["vault", "verify"],
    &["vault", "--list"],
];

/// Why nothing can be appended.
#[derive(Clone, Copy, Debug)]
enum Obstacle {
    /// A flag of chattr(1) of a file in the state folder, or of the folder.
    Flag(char, &'static str),
    /// The same of the folder, in which there is no journal yet.
    FlagWithoutJournal(char),
    /// The file system of the state folder is mounted read-only.
    ReadOnly,
    /// Another user runs the program, and may not write the journal.
    Journal,
    /// The same, and may not write the folder, in which there is no journal yet.
    Folder,
}

/// A flag of chattr(1), which is cleared when this is dropped, so that the folder can be removed.
struct Flag(char, PathBuf);

impl Flag {
    fn set(flag: char, path: &Path) -> Flag {
        assert!(chattr(&format!("+{flag}"), path), "chattr needs root, and a file system with flags");
        Flag(flag, path.to_owned())
    }
}

impl Drop for Flag {
    fn drop(&mut self) {
        chattr(&format!("-{}", self.0), &self.1);
    }
}

fn chattr(change: &str, path: &Path) -> bool {
    Command::new("chattr").arg(change).arg(path).status().is_ok_and(|status| status.success())
}

impl Obstacle {
    /// Applies it to a scene.
    fn befall(self, scene: &Scene) -> Option<Flag> {
        let state = scene.state();
        let remove_journal = || {
            fs::remove_file(state.join("journal.jsonl")).unwrap();
            let _ = fs::remove_file(state.join("journal.copy.jsonl"));
        };
        match self {
            Obstacle::Flag(flag, name) => return Some(Flag::set(flag, &state.join(name))),
            Obstacle::FlagWithoutJournal(flag) => {
                remove_journal();
                return Some(Flag::set(flag, &state));
            }
            Obstacle::ReadOnly => {}
            Obstacle::Journal | Obstacle::Folder => {
                scene.give_to(USER);
                if let Obstacle::Folder = self {
                    remove_journal();
                    fs::set_permissions(&state, fs::Permissions::from_mode(0o500)).unwrap();
                } else {
                    fs::set_permissions(state.join("journal.jsonl"), fs::Permissions::from_mode(0o400)).unwrap();
                }
            }
        }
        None
    }

    /// Runs the program as it runs into this.
    fn run(self, scene: &Scene, call: &[&str]) -> Answer {
        let around: &[&str] = match self {
            Obstacle::ReadOnly => &[
                "unshare",
                "--mount",
                "sh",
                "-c",
                "mount --bind state state && mount -o remount,bind,ro state && exec \"$@\"",
                "sh",
            ],
            Obstacle::Journal | Obstacle::Folder => return scene.run_as_user(call),
            Obstacle::Flag(..) | Obstacle::FlagWithoutJournal(_) => &[],
        };
        let mut line: Vec<OsString> = around.iter().map(OsString::from).collect();
        line.push(KMODLAB.into());
        line.extend(call.iter().map(OsString::from));
        scene.run_line(&line)
    }
}

/// Each of these obstacles, with each command.
fn all_are_detected(obstacles: &[Obstacle]) {
    let (mut refused, mut read) = (0, 0);
    for &obstacle in obstacles {
        // In cargo's folder for tests, which is on a disk: a tmpfs does not support the flags before Linux 6.6.
        let folder = tempfile::Builder::new().tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let scene = Scene::inside(folder);
        scene.patch(PATCHED);
        let plan = scene.run(WRITING[0][..5].iter().copied().chain(["-n"])).out;
        let patch = plan.lines().find_map(|line| line.trim().strip_prefix("digest")).unwrap().trim().to_owned();
        let _flag = obstacle.befall(&scene);
        let before = scene.snapshot();
        for call in WRITING {
            let call: Vec<&str> = match call.last() {
                Some(&"--confirm") if call[0] == "patch" => call.iter().copied().chain([patch.as_str()]).collect(),
                Some(&"--confirm") => call[..call.len() - 1].to_vec(),
                _ => call.to_vec(),
            };
            let answer = obstacle.run(&scene, &call);
            let of = format!("{obstacle:?}, {call:?}: {answer:?}");
            assert_eq!((answer.status, answer.err.lines().count()), (2, 1), "{of}");
            assert!(scene.snapshot() == before, "{of}: something was written");
            refused += 1;
        }
        let has_journal = scene.state().join("journal.jsonl").exists();
        for call in READING.iter().filter(|_| has_journal) {
            let answer = obstacle.run(&scene, call);
            assert_eq!(answer.status, 0, "{obstacle:?}, {call:?}: {answer:?}");
            read += 1;
        }
        assert!(
            scene
                .snapshot()
                .iter()
                .all(|(path, now)| path.starts_with(scene.path("cache")) || before.get(path) == Some(now))
        );
    }
    println!(
        "{} obstacles: {refused} of {refused} writes refused before the first; {read} of {read} reads go on",
        obstacles.len()
    );
}

#[test]
#[ignore = "needs root: tests/run runs it"]
fn a_journal_that_cannot_be_appended_to_is_detected_before_the_first_write() {
    all_are_detected(&[
        Obstacle::Flag('i', "journal.jsonl"),
        Obstacle::Flag('a', "journal.jsonl"),
        Obstacle::FlagWithoutJournal('i'),
        Obstacle::ReadOnly,
        Obstacle::Journal,
        Obstacle::Folder,
    ]);
}
