//! A workshop: a module, a state folder and the program, in a temporary folder.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kmodlab::digest::{Sha256, sha256};
use kmodlab::vault::journal::Journal;
use kmodlab::vault::record::JournalEntry;
use rustix::fs::XattrFlags;
use tempfile::TempDir;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_kmodlab");

/// The version magic that the fixtures get: another release, otherwise unchanged.
pub(crate) const WANTED: &str = "6.1.0-48-amd64 SMP preempt mod_unload modversions ";

/// An extended attribute that a module has here, if the file system supports it.
const LABEL: &str = "user.kmodlab.test";

/// Everything that a restore gives back: bytes, mode, owner, modification time, extended attribute.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Looks {
    pub(crate) bytes: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) modified: (i64, i64),
    pub(crate) label: Option<Vec<u8>>,
}

impl Looks {
    /// The current state of a file; `None` if it does not exist.
    pub(crate) fn of(path: &Path) -> Option<Looks> {
        let meta = path.symlink_metadata().ok().filter(|meta| meta.is_file())?;
        let mut value = [0; 256];
        let label = rustix::fs::getxattr(path, LABEL, &mut value[..]).ok().map(|len| value[..len].to_vec());
        Some(Looks {
            bytes: fs::read(path).unwrap(),
            mode: meta.mode() & 0o7777,
            owner: (meta.uid(), meta.gid()),
            modified: (meta.mtime(), meta.mtime_nsec()),
            label,
        })
    }

    /// Gives the file this state, and keeps its inode if it exists.
    pub(crate) fn put(&self, path: &Path) {
        if Looks::of(path).as_ref() == Some(self) {
            return;
        }
        // A file that has a second name is another file than the one with that name.
        let has_second_name = path.symlink_metadata().is_ok_and(|meta| meta.nlink() > 1);
        if has_second_name || path.is_symlink() || fs::write(path, &self.bytes).is_err() {
            fs::remove_file(path).unwrap();
            fs::write(path, &self.bytes).unwrap();
        }
        if path.metadata().map(|meta| (meta.uid(), meta.gid())).unwrap() != self.owner {
            chown(path, Some(self.owner.0), Some(self.owner.1)).unwrap();
        }
        fs::set_permissions(path, fs::Permissions::from_mode(self.mode)).unwrap();
        if let Some(label) = &self.label {
            let _ = rustix::fs::setxattr(path, LABEL, label, XattrFlags::empty());
        }
        let modified = time(self.modified);
        let file = File::open(path).unwrap();
        file.set_times(FileTimes::new().set_accessed(modified).set_modified(modified)).unwrap();
    }

    /// The SHA-256 of its bytes.
    pub(crate) fn sha(&self) -> Sha256 {
        sha256(&self.bytes)
    }
}

fn time((seconds, nanoseconds): (i64, i64)) -> SystemTime {
    UNIX_EPOCH + Duration::new(seconds.unsigned_abs(), nanoseconds as u32)
}

/// A folder with everything below it, for comparing and restoring. Of folders only the names are kept.
#[derive(Clone, PartialEq, Eq, Default, Hash)]
pub(crate) struct Tree(pub(crate) BTreeMap<PathBuf, Option<Looks>>);

impl Tree {
    /// The current state of the folder.
    pub(crate) fn of(root: &Path) -> Tree {
        let mut tree = Tree::default();
        tree.add(root, Path::new(""));
        tree
    }

    fn add(&mut self, root: &Path, below: &Path) {
        for entry in fs::read_dir(root.join(below)).unwrap() {
            let entry = entry.unwrap();
            let path = below.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                self.0.insert(path.clone(), None);
                self.add(root, &path);
            } else {
                self.0.insert(path.clone(), Looks::of(&root.join(&path)));
            }
        }
    }

    /// Restores this state of the folder.
    pub(crate) fn put(&self, root: &Path) {
        for path in Tree::names(root).iter().rev() {
            let there = root.join(path);
            let is_dir = there.symlink_metadata().unwrap().is_dir();
            if self.0.get(path).is_none_or(|looks| looks.is_none() != is_dir) {
                if is_dir { fs::remove_dir(there) } else { fs::remove_file(there) }.unwrap();
            }
        }
        for (path, looks) in &self.0 {
            match looks {
                Some(looks) => looks.put(&root.join(path)),
                None if root.join(path).is_dir() => {}
                // As the program creates them: no other user may write to them, whatever the umask.
                None => fs::DirBuilder::new().mode(0o700).create(root.join(path)).unwrap(),
            }
        }
    }

    /// The same without the times of the files below this folder, which are irrelevant.
    pub(crate) fn without_times_below(mut self, folder: &Path) -> Tree {
        let below = self.0.iter_mut().filter(|(path, _)| path.starts_with(folder));
        below.filter_map(|(_, looks)| looks.as_mut()).for_each(|looks| looks.modified = (0, 0));
        self
    }

    /// The names in a folder, folders before their contents.
    pub(crate) fn names(root: &Path) -> Vec<PathBuf> {
        fn walk(root: &Path, below: &Path, names: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(root.join(below)).unwrap().map(Result::unwrap) {
                let path = below.join(entry.file_name());
                names.push(path.clone());
                if entry.file_type().unwrap().is_dir() {
                    walk(root, &path, names);
                }
            }
        }
        let mut names = Vec::new();
        walk(root, Path::new(""), &mut names);
        names.sort();
        names
    }
}

/// How a run ended, and its output.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The exit status; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

impl Ran {
    /// Checks the exit status.
    #[track_caller]
    pub(crate) fn with(self, code: i32) -> Ran {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    /// The text after a label in its output ("digest").
    #[track_caller]
    pub(crate) fn value(&self, label: &str) -> String {
        let line = self.out.lines().find_map(|line| line.trim().strip_prefix(label));
        line.unwrap_or_else(|| panic!("no {label} in {self:?}")).trim().to_owned()
    }
}

/// A module, a state folder and the program.
pub(crate) struct Workshop {
    _folder: TempDir,
    /// The folder that holds both.
    pub(crate) home: PathBuf,
    /// The module.
    pub(crate) module: PathBuf,
    /// The state folder, which is not there at first.
    pub(crate) state: PathBuf,
    /// The module as it was at first.
    pub(crate) original: Looks,
}

impl Workshop {
    /// A workshop with a copy of a fixture, in memory if possible: there, thousands of flushes cost nothing, and no test here
    /// depends on the underlying disk.
    pub(crate) fn of(fixture: &str) -> Workshop {
        let in_memory = tempfile::Builder::new().prefix("kmodlab-faults-").tempdir_in("/dev/shm");
        Workshop::inside(in_memory.or_else(|_| tempfile::tempdir()).unwrap(), fixture)
    }

    /// A workshop in this folder.
    pub(crate) fn inside(folder: TempDir, fixture: &str) -> Workshop {
        let home = folder.path().canonicalize().unwrap();
        let (module, state) = (home.join("hello.ko"), home.join("state"));
        let is_root = rustix::process::geteuid().is_root();
        let looks = Looks {
            bytes: fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/modules").join(fixture)).unwrap(),
            mode: 0o640,
            owner: match is_root {
                true => (12, 34),
                false => (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
            },
            modified: (981_173_106, 123_456_789),
            label: Some(b"kept".to_vec()),
        };
        looks.put(&module);
        // The state that the file system kept: some support no extended attributes.
        let original = Looks::of(&module).unwrap();
        Workshop { _folder: folder, home, module, state, original }
    }

    /// The program's command line.
    pub(crate) fn line<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Vec<OsString> {
        let mut line = vec![PROGRAM.into(), "--state-dir".into(), self.state.clone().into_os_string()];
        line.extend(arguments.iter().map(|argument| argument.as_ref().to_owned()));
        line
    }

    /// Runs the program.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Ran {
        run(&self.line(arguments))
    }

    /// The arguments of a patch of the module, with the digest that confirms it.
    pub(crate) fn patch(&self, options: &[&str]) -> Vec<String> {
        let mut arguments = vec!["patch", self.module(), "--vermagic", WANTED];
        arguments.extend(options);
        let digest = self.run(&[&arguments[..], &["-n"]].concat()).with(0).value("digest");
        arguments.extend(["--confirm", &digest]);
        arguments.into_iter().map(str::to_owned).collect()
    }

    /// The arguments of a restore of the module.
    pub(crate) fn restore(&self) -> Vec<String> {
        vec!["restore".to_owned(), self.module().to_owned()]
    }

    /// The arguments of a restore that discards another writer's changes, with the digest that confirms it.
    pub(crate) fn discard(&self) -> Vec<String> {
        let arguments = ["restore", self.module(), "--discard-changes"];
        let digest = self.run(&[&arguments[..], &["-n"]].concat()).with(0).value("digest");
        [&arguments[..], &["--confirm", &digest]].concat().into_iter().map(str::to_owned).collect()
    }

    /// The copy of the original from which [`Workshop::restore_from`] restores.
    pub(crate) fn copy(&self) -> PathBuf {
        self.home.join("copy/hello.ko")
    }

    /// The arguments of a restore from the copy, with the digest that confirms it.
    pub(crate) fn restore_from(&self) -> Vec<String> {
        let copy = self.copy();
        let arguments = ["restore", self.module(), "--from", copy.to_str().unwrap()];
        let digest = self.run(&[&arguments[..], &["-n"]].concat()).with(0).value("digest");
        [&arguments[..], &["--confirm", &digest]].concat().into_iter().map(str::to_owned).collect()
    }

    /// The module's path as text.
    pub(crate) fn module(&self) -> &str {
        self.module.to_str().unwrap()
    }

    /// The path of the folder that contains everything, as text.
    pub(crate) fn home(&self) -> &str {
        self.home.to_str().unwrap()
    }

    /// The current state of the module.
    pub(crate) fn now(&self) -> Looks {
        Looks::of(&self.module).unwrap_or_else(|| panic!("{} is gone", self.module()))
    }

    /// Writes the module's bytes into the existing file, and resets its time.
    pub(crate) fn write(&self, bytes: &[u8]) {
        Looks { bytes: bytes.to_vec(), ..self.now() }.put(&self.module);
    }

    /// The journal's path.
    pub(crate) fn journal(&self) -> PathBuf {
        self.state.join("journal.jsonl")
    }

    /// Is there a complete backup of these bytes?
    pub(crate) fn has_backup(&self, sha: Sha256) -> bool {
        let plain = self.state.join("objects").join(sha.to_string());
        let compressed = plain.with_extension("zst");
        let unpacked = || zstd::decode_all(File::open(compressed)?);
        fs::read(plain).or_else(|_| unpacked()).is_ok_and(|bytes| sha256(&bytes) == sha)
    }

    /// A temporary file next to the module or in the state folder, or an intent: none may remain.
    pub(crate) fn leftover(&self) -> Option<PathBuf> {
        Tree::names(&self.home).into_iter().find(|path| {
            let is_intent = path.parent().is_some_and(|folder| folder.ends_with("intents"));
            is_intent || path.extension().is_some_and(|extension| extension == "tmp")
        })
    }
}

/// Runs a command line to its end. Cargo's library path is removed, since searching it would make up half of all system calls.
/// There is one thread, so that the calls are always in the same order.
pub(crate) fn run(line: &[OsString]) -> Ran {
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]).env_remove("LD_LIBRARY_PATH").env("RAYON_NUM_THREADS", "1");
    command.output().unwrap().into()
}

/// The lines of a journal. One that is damaged has lost something, or says so without cause.
pub(crate) fn whole(journal: Journal) -> Result<Vec<JournalEntry>, String> {
    match journal.damage.first() {
        None => Ok(journal.entries),
        Some(damage) => Err(format!("the journal is damaged: {damage}")),
    }
}
