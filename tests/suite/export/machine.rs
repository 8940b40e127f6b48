//! A machine: a folder with modules and a state folder, in which the program runs.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kmodlab::digest::sha256;
use kmodlab::vault::Vault;
use tempfile::TempDir;

use crate::support::KMODLAB;

/// Small modules, of which all but the first are compressed.
pub(crate) const MODULES: [&str; 3] = ["poet_atkm.ko", "hello-4.ko.xz", "hello-4.ko.zst"];

pub(crate) struct Machine {
    folder: TempDir,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: i32,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Answer {
    /// Checks the status, and that a failure is one line.
    #[track_caller]
    pub(crate) fn with(self, status: i32) -> Answer {
        assert_eq!(self.status, status, "{} {}", String::from_utf8_lossy(&self.out), self.err);
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.out.clone()).unwrap()
    }

    /// The text after a label.
    #[track_caller]
    pub(crate) fn value(&self, label: &str) -> String {
        let text = self.text();
        let value = text.lines().find_map(|line| line.trim().strip_prefix(label)).unwrap_or_else(|| panic!("{self:?}"));
        value.trim().to_owned()
    }
}

impl Machine {
    /// A machine without a state folder and without modules.
    pub(crate) fn new() -> Machine {
        Machine { folder: tempfile::tempdir().unwrap() }
    }

    /// A machine on which these modules are patched, in this order.
    pub(crate) fn with(modules: &[&str]) -> Machine {
        let machine = Machine::new();
        modules.iter().for_each(|module| machine.patch(module));
        machine
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

    /// Copies a fixture here and patches it.
    pub(crate) fn patch(&self, module: &str) {
        fs::copy(fixture(module), self.path(module)).unwrap();
        let patch = ["patch", module, "--mode", "blank"];
        let digest = self.run(patch.iter().chain(&["-n"])).with(0).value("digest");
        self.run(patch.iter().chain(&["--confirm", &digest])).with(0);
    }

    /// Exports to this file, with these options.
    pub(crate) fn export(&self, file: &str, options: &[&str]) -> PathBuf {
        self.run(["vault", "export", file].iter().chain(options)).with(0);
        self.path(file)
    }

    /// Imports a file after a confirmation.
    pub(crate) fn import(&self, file: &Path, options: &[&str]) -> Answer {
        let import = ["vault", "import", file.to_str().unwrap()];
        let planned = self.run(import.iter().chain(options).chain(&["-n"]));
        if planned.status != 0 {
            return planned;
        }
        let digest =
            planned.text().lines().find_map(|line| Some(line.trim().strip_prefix("digest")?.trim().to_owned()));
        let digest = digest.unwrap_or_default();
        self.run(import.iter().chain(options).chain(&["--confirm", &digest]))
    }

    /// Runs the program in the folder.
    pub(crate) fn run<'a>(&self, arguments: impl IntoIterator<Item = &'a &'a str>) -> Answer {
        let mut command = Command::new(KMODLAB);
        command.args(arguments).current_dir(self.folder.path()).env("KMODLAB_STATE_DIR", "state").env("NO_COLOR", "1");
        let output = command.stdin(Stdio::null()).output().unwrap();
        Answer {
            status: output.status.code().unwrap(),
            out: output.stdout,
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Every file here, by its path.
    pub(crate) fn snapshot(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let files = walkdir::WalkDir::new(self.folder.path()).into_iter().map(Result::unwrap);
        let contents = |path: &Path| if path.is_file() { fs::read(path).unwrap() } else { Vec::new() };
        files.map(|entry| (entry.path().to_owned(), contents(entry.path()))).collect()
    }

    /// The lines of the journal.
    pub(crate) fn journal(&self) -> Vec<String> {
        let text = fs::read_to_string(self.state().join("journal.jsonl")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The path of the backup of a fixture.
    pub(crate) fn backup(&self, module: &str) -> PathBuf {
        self.state().join("objects").join(sha256(&fs::read(fixture(module)).unwrap()).to_string())
    }
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/modules").join(name)
}

/// Writes a file that only its user may write, in place of one that has the name.
pub(crate) fn write(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path);
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    std::io::Write::write_all(&mut file.unwrap(), bytes).unwrap();
}
