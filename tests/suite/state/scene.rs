//! A folder with two modules, one patched and one with an interrupted patch, and everything that a state folder can contain.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
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

/// No command of this program takes this long here, unless it waits for something that never comes.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Scene {
    folder: TempDir,
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
        let line = scene.vault().journal().unwrap().entries.remove(0);
        scene.patch(INTERRUPTED);
        let other = scene.vault().journal().unwrap().entries.remove(1);
        // Back to the moment before the second line: its intent exists, and the module has its old contents.
        let text = fs::read_to_string(scene.state().join("journal.jsonl")).unwrap();
        write(&scene.state().join("journal.jsonl"), text.split_inclusive('\n').next().unwrap().as_bytes());
        fs::remove_file(scene.state().join("journal.copy.jsonl")).unwrap();
        assert_eq!(scene.vault().journal().unwrap().entries, [line]);
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
        scene
    }

    /// Both modules, without a state folder.
    pub(crate) fn bare() -> Scene {
        Scene::inside(tempfile::tempdir().unwrap())
    }

    /// The same in this folder.
    pub(crate) fn inside(folder: TempDir) -> Scene {
        let scene = Scene { folder };
        for module in [PATCHED, INTERRUPTED] {
            fs::copy(fixture(module), scene.path(module)).unwrap();
        }
        scene
    }

    /// A confirmed patch of a module, or of a folder.
    pub(crate) fn patch(&self, module: &str) {
        let patch = ["patch", module, "--vermagic", "2.6.5", "--allow-abi-mismatch"];
        let plan = self.run(patch.into_iter().chain(["-n"])).out;
        let digest = plan.lines().find_map(|line| line.trim().strip_prefix("digest")).unwrap().trim();
        let answer = self.run(patch.into_iter().chain(["--confirm", digest]));
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
        let line = [KMODLAB].into_iter().chain(arguments).map(OsString::from);
        self.run_line(&line.collect::<Vec<_>>())
    }

    /// The same for a command line that runs the program.
    pub(crate) fn run_line(&self, line: &[OsString]) -> Answer {
        let output = self.output_of(line);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Answer { status: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
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

    /// Everything in the folder.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::new();
        add(self.folder.path(), &mut snapshot);
        snapshot
    }
}

fn add(path: &Path, snapshot: &mut Snapshot) {
    let meta = path.symlink_metadata().unwrap();
    let contents = match meta.file_type() {
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
