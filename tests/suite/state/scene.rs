//! A folder with two modules, one patched and one with an interrupted patch, and everything that a state folder can contain.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use kmodlab::digest::sha256;
use kmodlab::vault::{Intent, Vault};
use tempfile::TempDir;

use crate::support::KMODLAB;

/// The module that is patched.
pub(crate) const PATCHED: &str = "poet_atkm.ko";

/// The module whose patch was interrupted before it was written.
pub(crate) const INTERRUPTED: &str = "hello-4.ko";

/// The module whose backup is compressed, in [`Scene::full`].
pub(crate) const COMPRESSED: &str = "vendor.ko";

/// A user without rights.
pub(crate) const USER: u32 = 65534;

/// Runs a command as this user.
const AS_USER: [&str; 5] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];

/// No command of this program takes this long here, unless it waits for something that never comes.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Scene {
    folder: TempDir,
    /// Whether a user without rights runs the program.
    is_of_user: bool,
}

/// The result of a call.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The contents of a folder: for each path its kind, mode, owner and bytes.
pub(crate) type Snapshot = BTreeMap<PathBuf, (u32, u32, Vec<u8>)>;

impl Scene {
    /// Both modules, with a state folder that contains one file of each kind.
    pub(crate) fn new() -> Scene {
        let scene = Scene::bare();
        scene.patch(PATCHED);
        scene.interrupt();
        fs::remove_file(scene.state().join("journal.copy.jsonl")).unwrap();
        scene
    }

    /// The same, with everything else that a state folder can contain: a compressed backup, a part of the journal that a repair closed,
    /// the journal's copies, and a part that an import wrote, which was stopped before it was a part of the journal.
    pub(crate) fn full() -> Scene {
        Scene::bare().fill()
    }

    /// The same of a user without rights, who runs the program.
    pub(crate) fn full_of_user() -> Scene {
        Scene { is_of_user: true, ..Scene::bare() }.fill()
    }

    fn fill(self) -> Scene {
        let scene = self;
        fs::copy(fixture(COMPRESSED), scene.path(COMPRESSED)).unwrap();
        scene.hand_over(USER);
        scene.patch_with(COMPRESSED, &["--vault-compress"]);
        let journal = scene.state().join("journal.jsonl");
        let mut text = fs::read(&journal).unwrap();
        text[100] ^= 1;
        write(&journal, &text);
        scene.hand_over(USER);
        scene.confirm(&["vault", "repair"]);
        scene.patch(PATCHED);
        scene.interrupt();
        for name in ["journal.2.jsonl.tmp", "journal.2.copy.jsonl.tmp"] {
            fs::copy(scene.state().join("journal.1.jsonl"), scene.state().join(name)).unwrap();
        }
        scene.hand_over(USER);
        scene
    }

    /// If a user without rights runs the program: gives everything to that user, or to root, who runs the test.
    fn hand_over(&self, user: u32) {
        if self.is_of_user {
            self.give_to(user);
        }
    }

    /// A second module, whose patch was interrupted before it was written, and files that other interrupted runs left.
    fn interrupt(&self) {
        let scene = self;
        let files = ["journal.jsonl", "journal.copy.jsonl"].map(|name| scene.state().join(name));
        let texts = files.clone().map(|file| fs::read(file).unwrap());
        scene.hand_over(0);
        let lines = scene.vault().journal().unwrap().entries;
        scene.hand_over(USER);
        scene.patch(INTERRUPTED);
        scene.hand_over(0);
        let other = scene.vault().journal().unwrap().entries.pop().unwrap();
        // Back to the moment before the last line: its intent exists, and the module has its old contents.
        for (file, text) in files.iter().zip(texts) {
            write(file, &text);
        }
        assert_eq!(scene.vault().journal().unwrap().entries, lines);
        fs::copy(fixture(INTERRUPTED), scene.path(INTERRUPTED)).unwrap();
        let intent = Intent {
            schema_version: other.schema_version,
            id: other.id,
            operation: other.operation,
            identity: (0, 0),
            change: other.change.unwrap(),
            metadata_after: None,
            temporary: None,
            note: None,
            run: None,
            checksum: None,
        };
        scene.announce(&[intent]);
        for name in ["lab-machine.json", "lab-machine.json.tmp", "intents/1-1.json.tmp", &half_a_backup()] {
            write(&scene.state().join(name), b"{}");
        }
    }

    /// Both modules, without a state folder.
    pub(crate) fn bare() -> Scene {
        Scene::inside(tempfile::tempdir().unwrap())
    }

    /// The same in this folder.
    pub(crate) fn inside(folder: TempDir) -> Scene {
        let scene = Scene { folder, is_of_user: false };
        for module in [PATCHED, INTERRUPTED] {
            fs::copy(fixture(module), scene.path(module)).unwrap();
        }
        scene
    }

    /// A confirmed patch of a module, or of a folder.
    pub(crate) fn patch(&self, module: &str) {
        self.patch_with(module, &[]);
    }

    /// The same with these options.
    fn patch_with(&self, module: &str, options: &[&str]) {
        self.confirm(&[&["patch", module, "--vermagic", "2.6.5", "--allow-abi-mismatch"][..], options].concat());
    }

    /// A command, with the digest that its plan shows.
    fn confirm(&self, call: &[&str]) {
        let plan = self.run(call.iter().copied().chain(["-n"])).out;
        let digest = plan.lines().find_map(|line| line.trim().strip_prefix("digest")).unwrap().trim();
        let answer = self.run(call.iter().copied().chain(["--confirm", digest]));
        assert_eq!(answer.status, 0, "{answer:?}");
    }

    /// Writes intents, each with its checksum, as an interrupted run leaves them: one intent per file, or several in one file.
    pub(crate) fn announce(&self, intents: &[Intent]) -> PathBuf {
        let mut text = Vec::new();
        for intent in intents {
            let bare = Intent { checksum: None, ..intent.clone() };
            let checksum = sha256(&serde_json::to_vec(&bare).unwrap());
            text.extend(serde_json::to_vec(&Intent { checksum: Some(checksum), ..bare }).unwrap());
            text.push(b'\n');
        }
        let name = if intents.len() == 1 { "7-7.json" } else { "7-7.jsonl" };
        let path = self.state().join("intents").join(name);
        write(&path, &text);
        path
    }

    /// The only pending intent.
    pub(crate) fn intent(&self) -> Intent {
        self.vault().pending().unwrap().remove(0)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub(crate) fn vault(&self) -> Vault {
        Vault::at(self.state())
    }

    /// Runs the program in the folder, with the state folder given relative to it. It must end.
    pub(crate) fn run<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Answer {
        let user: &[&str] = if self.is_of_user { &AS_USER } else { &[] };
        let line = user.iter().copied().chain([KMODLAB]).chain(arguments).map(OsString::from);
        self.run_line(&line.collect::<Vec<_>>())
    }

    /// The same for a command line that runs the program.
    pub(crate) fn run_line(&self, line: &[OsString]) -> Answer {
        let output = self.output_of(line);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Answer { status: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// The same in 256 MB of memory. Output that is no text is shown as one.
    pub(crate) fn run_in_little_memory(&self, call: &[&str]) -> Answer {
        let limit = ["prlimit", "--data=268435456", "--", KMODLAB];
        let output = self.output_of(&limit.iter().chain(call).map(OsString::from).collect::<Vec<_>>());
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let status = output.status.code().unwrap_or_else(|| panic!("{call:?}: {output:?}"));
        Answer { status, out: text(output.stdout), err: text(output.stderr) }
    }

    /// Gives everything to a user.
    pub(crate) fn give_to(&self, user: u32) {
        fs::set_permissions(self.path(""), fs::Permissions::from_mode(0o755)).unwrap();
        for path in self.snapshot().keys() {
            chown(path, Some(user), Some(user)).unwrap();
        }
    }

    /// A user without rights runs the program.
    pub(crate) fn run_as_user(&self, call: &[&str]) -> Answer {
        self.run_line(&AS_USER.iter().chain(&[KMODLAB]).chain(call).map(OsString::from).collect::<Vec<_>>())
    }

    /// The exit status and the bytes on stdout.
    pub(crate) fn run_raw<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> (i32, Vec<u8>) {
        let output = self.output(arguments);
        (output.status.code().unwrap(), output.stdout)
    }

    fn output<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Output {
        let line = [KMODLAB].into_iter().chain(arguments).map(OsString::from);
        self.output_of(&line.collect::<Vec<_>>())
    }

    fn output_of(&self, line: &[OsString]) -> Output {
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).current_dir(self.folder.path()).env("KMODLAB_STATE_DIR", "state").env("NO_COLOR", "1");
        command.env("XDG_CACHE_HOME", self.folder.path().join("cache"));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let begun = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if begun.elapsed() > PATIENCE {
                child.kill().unwrap();
                panic!("it blocks: {command:?}");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        child.wait_with_output().unwrap()
    }

    /// Everything in the state folder, and the folder itself.
    pub(crate) fn parts(&self) -> Vec<PathBuf> {
        let mut all = vec![self.state()];
        let mut next = 0;
        while let Some(path) = all.get(next).cloned() {
            if path.is_dir() {
                let mut inside: Vec<PathBuf> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
                inside.sort();
                all.extend(inside);
            }
            next += 1;
        }
        all
    }

    /// Puts back everything that was in the folder.
    pub(crate) fn put_back(&self, was: &Snapshot) {
        for entry in fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path()) {
            let is_folder = entry.symlink_metadata().unwrap().is_dir();
            if is_folder { fs::remove_dir_all(entry) } else { fs::remove_file(entry) }.unwrap();
        }
        for (path, (mode, owner, contents)) in was.iter().filter(|(path, _)| *path != self.folder.path()) {
            match mode & 0o170_000 {
                0o040_000 => fs::create_dir(path).unwrap(),
                _ => write(path, contents),
            }
            fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7777)).unwrap();
            if path.metadata().unwrap().uid() != *owner {
                chown(path, Some(*owner), Some(*owner)).unwrap();
            }
        }
    }

    /// Everything in the folder.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::new();
        add(self.folder.path(), &mut snapshot);
        snapshot
    }
}

/// The paths with other contents, outside of the cache.
pub(crate) fn changes(before: &Snapshot, after: &Snapshot, cache: &Path) -> Vec<PathBuf> {
    let paths: BTreeSet<&PathBuf> = before.keys().chain(after.keys()).collect();
    let differs = |path: &&&PathBuf| before.get(**path) != after.get(**path) && !path.starts_with(cache);
    paths.iter().filter(differs).map(|path| (*path).clone()).collect()
}

/// The name of a part of the state; a backup has that of its module.
pub(crate) fn label(scene: &Scene, part: &Path) -> String {
    let mut name = part.strip_prefix(scene.state()).unwrap().display().to_string();
    for module in [PATCHED, INTERRUPTED, COMPRESSED] {
        name = name.replace(&sha256(&fs::read(fixture(module)).unwrap()).to_string(), module);
    }
    let name = name.replace(&sha256(b"half").to_string(), "half");
    if name.is_empty() { "the folder".to_owned() } else { name }
}

fn add(path: &Path, snapshot: &mut Snapshot) {
    let meta = path.symlink_metadata().unwrap();
    let contents = match meta.file_type() {
        // Of a file with a large hole, the length.
        kind if kind.is_file() && meta.len() > 1 << 30 => meta.len().to_string().into_bytes(),
        kind if kind.is_file() => fs::read(path).unwrap(),
        kind if kind.is_symlink() => fs::read_link(path).unwrap().into_os_string().into_encoded_bytes(),
        _ => Vec::new(),
    };
    snapshot.insert(path.to_owned(), (meta.mode(), meta.uid(), contents));
    if meta.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            add(&entry.unwrap().path(), snapshot);
        }
    }
}

/// The name, in the state folder, of a backup whose writer was stopped.
fn half_a_backup() -> String {
    format!("objects/{}.tmp", sha256(b"half"))
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/modules").join(name)
}

/// Writes a file as the program does: no one else may write to it, whatever the umask.
pub(crate) fn write(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path);
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    std::io::Write::write_all(&mut file.unwrap(), bytes).unwrap();
}
