//! The program itself on a simulated machine: a chroot (chroot(8)) with a module tree, loaded modules and packages that are
//! only files. Mounts are made in a separate mount namespace (unshare(1)).
//!
//! All of these tests need root, so a plain `cargo test` leaves them out; `tests/run` runs them. If a tool is missing they
//! fail.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kmodlab::module::Module;
use kmodlab::vault::Vault;
use tempfile::TempDir;

use crate::guards::fixture;

use crate::support::KMODLAB;

/// The paths of the program in the chroot, and of the state folder: the default for root.
const PROGRAM: &str = "/kmodlab";
const STATE: &str = "var/lib/kmodlab";

/// A machine in a folder.
struct Machine {
    folder: TempDir,
}

impl Machine {
    /// Created in cargo's folder for tests, which is on a disk: a tmpfs does not support chattr.
    fn new() -> Machine {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let machine = Machine { folder };
        let program = KMODLAB;
        machine.copy(program, PROGRAM);
        let libraries = run(Command::new("ldd").arg(program));
        for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
            machine.copy(library, library);
        }
        machine.write("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
        machine.write("proc/modules", "");
        fs::create_dir(machine.path("tmp")).unwrap();
        fs::create_dir_all(machine.path(&format!("lib/modules/{}", release()))).unwrap();
        fs::set_permissions(machine.path(""), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        machine
    }

    /// The path of a file of the machine, seen from outside.
    fn path(&self, place: &str) -> PathBuf {
        self.folder.path().join(place.trim_start_matches('/'))
    }

    fn write(&self, place: &str, content: impl AsRef<[u8]>) {
        let path = self.path(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn copy(&self, from: impl AsRef<Path>, place: &str) {
        self.write(place, "");
        fs::copy(from, self.path(place)).unwrap();
    }

    /// Writes a module to this path, and returns its path as the machine sees it.
    fn module(&self, place: &str) -> String {
        self.copy(fixture("hello-4.ko"), place);
        place.to_owned()
    }

    /// A module in the running kernel's tree.
    fn live_module(&self) -> String {
        self.module(&format!("/lib/modules/{}/kernel/drivers/hello-4.ko", release()))
    }

    /// A module in a place that no guard refuses.
    fn free_module(&self) -> String {
        self.module("/srv/hello-4.ko")
    }

    fn loads(&self, name: &str) {
        self.write("proc/modules", format!("{name} 16384 0 - Live 0x0000000000000000 (OE)\n"));
    }

    /// Runs the program on the machine.
    fn kmodlab(&self, arguments: &[&str]) -> Answer {
        let mut command = Command::new("chroot");
        command.arg(self.folder.path()).arg(PROGRAM).args(arguments).env_clear().env("PATH", search_path());
        Answer::of(&command.output().expect("chroot can't be run"))
    }

    /// Plans with these patch options, and applies exactly that plan.
    fn patch(&self, module: &str, options: &[&str]) -> Answer {
        let arguments = [&["patch", module, "--mode", "blank"], options].concat();
        let plan = self.kmodlab(&[&arguments[..], &["-n"]].concat());
        assert_eq!(plan.status, 0, "{}", plan.text);
        self.kmodlab(&[&arguments[..], &["--confirm", &plan.digest()]].concat())
    }

    /// A guard refuses the patch: exit status 3, one line that contains the guard's name; and the module is unchanged.
    #[track_caller]
    fn assert_refused(&self, module: &str, options: &[&str], guard: &str) {
        let before = fs::read(self.path(module)).unwrap();
        let answer = self.patch(module, options);
        answer.assert_refused_by(guard);
        assert_eq!(fs::read(self.path(module)).unwrap(), before, "it was written all the same");
    }

    /// The patch succeeds; returns the overrides that the journal records for it.
    #[track_caller]
    fn assert_patched(&self, module: &str, options: &[&str]) -> Vec<String> {
        let answer = self.patch(module, options);
        assert_eq!(answer.status, 0, "{}", answer.text);
        let written = Module::read(&fs::read(self.path(module)).unwrap()).unwrap();
        assert_eq!(written.vermagic(), None, "it was not written");
        let journal = Vault::at(self.path(STATE)).journal().unwrap();
        journal.entries.last().unwrap().change.as_ref().unwrap().overrides.clone()
    }

    /// Enrols it as a lab machine, as a person does: reads the explanation, then gives the digest.
    fn enrol(&self) {
        let shown = self.kmodlab(&["enrol", "-n"]);
        assert_eq!(shown.status, 0, "{}", shown.text);
        assert!(shown.text.contains("now      not enrolled"), "{}", shown.text);
        let done = self.kmodlab(&["enrol", "--confirm", &shown.digest()]);
        assert_eq!(done.status, 0, "{}", done.text);
        assert!(self.kmodlab(&["enrol", "-n"]).text.contains("now      enrolled"));
    }
}

/// The output of the program: stdout and stderr combined.
struct Answer {
    status: i32,
    text: String,
}

impl Answer {
    fn of(output: &Output) -> Answer {
        let text = [&output.stdout[..], &output.stderr].concat();
        Answer { status: output.status.code().unwrap_or(-1), text: String::from_utf8(text).unwrap() }
    }

    fn digest(&self) -> String {
        let digest = self.text.lines().find_map(|line| line.trim_start().strip_prefix("digest"));
        digest.expect("no digest").trim().to_owned()
    }

    #[track_caller]
    fn assert_refused_by(&self, guard: &str) {
        assert_eq!(self.status, 3, "{}", self.text);
        assert_eq!(self.text.lines().count(), 1, "{}", self.text);
        assert!(self.text.contains(&format!(": refused by the guard {guard}: ")), "{}", self.text);
    }
}

fn release() -> String {
    rustix::system::uname().release().to_str().unwrap().to_owned()
}

/// The search path for tools; chroot(8) is not in every user's path.
fn search_path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap())
}

/// Runs a tool, which must succeed.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.env("PATH", search_path()).output();
    let output =
        output.unwrap_or_else(|e| panic!("{command:?} can't be run ({e}): tests/run installs what tests need"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

// ---- live-tree -----------------------------------------------------------------------------------------------------

#[test]
#[ignore = "needs root: tests/run runs it"]
fn live_tree_is_refused_and_no_option_overrides_it() {
    let machine = Machine::new();
    let module = machine.live_module();
    machine.assert_refused(&module, &[], "live-tree");
    machine.assert_refused(
        &module,
        &["--allow-installed", "--accept-ima-break", "--allow-abi-mismatch", "--signature", "strip"],
        "live-tree",
    );
}

#[test]
#[ignore = "needs root: tests/run runs it"]
fn live_tree_is_refused_through_links() {
    let machine = Machine::new();
    machine.live_module();
    fs::rename(machine.path("lib/modules"), machine.path("usr-lib-modules")).unwrap();
    fs::create_dir_all(machine.path("usr/lib")).unwrap();
    fs::rename(machine.path("usr-lib-modules"), machine.path("usr/lib/modules")).unwrap();
    symlink("../usr/lib/modules", machine.path("lib/modules")).unwrap();
    symlink(format!("/lib/modules/{}/kernel", release()), machine.path("srv")).unwrap();
    for module in [
        format!("/lib/modules/{}/kernel/drivers/hello-4.ko", release()),
        format!("/usr/lib/modules/{}/kernel/drivers/hello-4.ko", release()),
    ] {
        machine.assert_refused(&module, &["--allow-installed"], "live-tree");
    }
    machine.patch("/srv/drivers/hello-4.ko", &["--allow-installed"]).assert_refused_by("live-tree");
}

/// Bind mounts, of the tree and of the single file, show the same device and inode at another path.
#[test]
#[ignore = "needs root: tests/run runs it"]
fn live_tree_is_refused_through_bind_mounts() {
    let machine = Machine::new();
    let module = machine.live_module();
    let before = fs::read(machine.path(&module)).unwrap();
    fs::create_dir_all(machine.path("srv/tree")).unwrap();
    machine.write("srv/one.ko", "");
    let script = format!(
        "set -eu
        mount --bind '{0}/lib/modules/{1}' '{0}/srv/tree'
        mount --bind '{0}{module}' '{0}/srv/one.ko'
        for module in /srv/tree/kernel/drivers/hello-4.ko /srv/one.ko; do
            digest=$(chroot '{0}' {PROGRAM} patch $module --mode blank -n | sed -n 's/^ *digest *//p')
            status=0
            chroot '{0}' {PROGRAM} patch $module --mode blank --allow-installed --confirm $digest 2>&1 || status=$?
            test $status -eq 3
        done",
        machine.folder.path().display(),
        release()
    );
    let answers = run(Command::new("unshare").args(["--mount", "sh", "-c", &script]));
    assert_eq!(answers.matches("refused by the guard live-tree: ").count(), 2, "{answers}");
    assert_eq!(fs::read(machine.path(&module)).unwrap(), before);
}

#[test]
#[ignore = "needs root: tests/run runs it"]
fn live_tree_is_no_place_for_a_new_file() {
    let machine = Machine::new();
    let module = machine.live_module();
    let new = format!("/lib/modules/{}/kernel/new.ko", release());
    machine.patch(&module, &["-o", &new, "--allow-installed"]).assert_refused_by("live-tree");
    assert!(!machine.path(&new).exists());
    // But a copy elsewhere may be patched on any machine: the refusal names this alternative.
    let done = machine.patch(&module, &["-o", "/tmp/new.ko"]);
    assert_eq!(done.status, 0, "{}", done.text);
}

// ---- loaded --------------------------------------------------------------------------------------------------------

#[test]
#[ignore = "needs root: tests/run runs it"]
fn loaded_is_refused_by_name() {
    let machine = Machine::new();
    let module = machine.free_module();
    machine.loads("hello_4");
    machine.assert_refused(&module, &["--allow-installed", "--accept-ima-break"], "loaded");
    machine.loads("hello_5");
    assert_eq!(machine.assert_patched(&module, &[]), Vec::<String>::new());
}

#[test]
#[ignore = "needs root: tests/run runs it"]
fn loaded_is_refused_by_build_id_under_another_name() {
    let machine = Machine::new();
    let module = machine.free_module();
    let id = Module::read(&fs::read(machine.path(&module)).unwrap()).unwrap().build_id.unwrap();
    let words = [4, id.len() as u32, 3].map(u32::to_ne_bytes).concat();
    machine.write("sys/module/other/initstate", "live\n");
    machine.write("sys/module/other/notes/.note.gnu.build-id", [&words[..], b"GNU\0", &id].concat());
    machine.assert_refused(&module, &[], "loaded");
}

// ---- installed-tree ------------------------------------------------------------------------------------------------

#[test]
#[ignore = "needs root: tests/run runs it"]
fn installed_tree_is_refused_and_overridden() {
    let machine = Machine::new();
    let module = machine.module("/lib/modules/5.10.0-1-amd64/kernel/hello-4.ko");
    machine.assert_refused(&module, &["--accept-ima-break", "--allow-abi-mismatch"], "installed-tree");
    assert_eq!(machine.assert_patched(&module, &["--allow-installed"]), ["installed-tree"]);
}

#[test]
#[ignore = "needs root: tests/run runs it"]
fn a_packages_file_is_refused_and_overridden() {
    let machine = Machine::new();
    let module = machine.free_module();
    machine.write("var/lib/dpkg/info/hello-dkms.list", "/.\n/srv\n/srv/hello-4.ko\n");
    machine.assert_refused(&module, &[], "installed-tree");
    assert_eq!(machine.assert_patched(&module, &["--allow-installed"]), ["installed-tree"]);
}

// ---- A lab machine -------------------------------------------------------------------------------------------------

#[test]
#[ignore = "needs root: tests/run runs it"]
fn only_an_enrolled_machine_lets_live_and_loaded_modules_be_patched() {
    let machine = Machine::new();
    let module = machine.live_module();
    machine.loads("hello_4");
    machine.assert_refused(&module, &["--allow-installed"], "live-tree");

    machine.enrol();
    // The tree is also an installed tree, and that guard has its own override.
    machine.assert_refused(&module, &[], "installed-tree");
    let overrides = machine.assert_patched(&module, &["--allow-installed"]);
    assert_eq!(overrides, ["live-tree", "loaded", "installed-tree"]);
    let log = machine.kmodlab(&["log", &module]);
    assert!(log.text.contains("overrides: live-tree, loaded, installed-tree"), "{}", log.text);

    // A restore does not need a lab machine.
    let undone = machine.kmodlab(&["enrol", "--undo"]);
    assert_eq!((undone.status, undone.text.trim()), (0, "this machine is no lab machine"));
    let restored = machine.kmodlab(&["restore", &module]);
    assert_eq!(restored.status, 0, "{}", restored.text);
    machine.assert_refused(&module, &["--allow-installed"], "live-tree");
    let log = machine.kmodlab(&["log"]);
    let operations: Vec<&str> = log.text.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    assert!(log.text.contains("  enrol     ") && log.text.contains("  unenrol   "), "{operations:?}");
}

#[test]
#[ignore = "needs root: tests/run runs it"]
fn enrolment_is_confirmed_by_the_machines_own_digest() {
    let machine = Machine::new();
    machine.kmodlab(&["enrol"]).assert_refused_by("confirmed");
    machine.kmodlab(&["enrol", "--confirm", "yes"]).assert_refused_by("confirmed");
    let other = Machine::new();
    other.write("etc/machine-id", "fedcba9876543210fedcba9876543210\n");
    let digest = other.kmodlab(&["enrol", "-n"]).digest();
    machine.kmodlab(&["enrol", "--confirm", &digest]).assert_refused_by("confirmed");
    assert!(machine.kmodlab(&["enrol", "-n"]).text.contains("now      not enrolled"));
}

#[test]
#[ignore = "needs root: tests/run runs it"]
fn a_state_folder_that_is_copied_enrols_no_other_machine() {
    let lab = Machine::new();
    lab.enrol();
    let other = Machine::new();
    other.write("etc/machine-id", "fedcba9876543210fedcba9876543210\n");
    fs::create_dir_all(other.path("var/lib")).unwrap();
    run(Command::new("cp").arg("-a").arg(lab.path(STATE)).arg(other.path("var/lib/")));
    assert!(other.path(STATE).join("lab-machine.json").exists());
    assert!(other.kmodlab(&["enrol", "-n"]).text.contains("now      not enrolled"));
    let module = other.live_module();
    other.assert_refused(&module, &["--allow-installed"], "live-tree");
}

#[test]
#[ignore = "needs root: tests/run runs it"]
fn a_machine_without_an_id_cannot_be_enrolled() {
    let machine = Machine::new();
    machine.write("etc/machine-id", "");
    let answer = machine.kmodlab(&["enrol", "-n"]);
    assert_eq!(answer.status, 2, "{}", answer.text);
    assert_eq!(
        answer.text,
        "kmodlab: /etc/machine-id: this machine has no id to which an enrolment could be bound; \
         systemd-machine-id-setup creates one\n"
    );
}

// ---- ima -----------------------------------------------------------------------------------------------------------

#[test]
#[ignore = "needs root: tests/run runs it"]
fn integrity_attributes_are_refused_and_overridden_and_survive() {
    for attribute in ["security.ima", "security.evm"] {
        let machine = Machine::new();
        let module = machine.free_module();
        let value = b"\x04\x04a hash that kmodlab never looks into";
        let path = machine.path(&module);
        let set = rustix::fs::setxattr(&path, attribute, value, rustix::fs::XattrFlags::CREATE);
        set.unwrap_or_else(|e| panic!("{attribute} can't be set on {}: {e}", path.display()));
        machine.assert_refused(&module, &["--allow-installed", "--allow-abi-mismatch"], "ima");
        assert_eq!(machine.assert_patched(&module, &["--accept-ima-break"]), ["ima"]);
        let restored = machine.kmodlab(&["restore", &module]);
        assert_eq!(restored.status, 0, "{}", restored.text);
        let mut found = [0; 64];
        let size = rustix::fs::getxattr(&path, attribute, &mut found).unwrap();
        assert_eq!(&found[..size], value);
    }
}

#[test]
#[ignore = "needs root: tests/run runs it"]
fn a_policy_that_appraises_modules_is_refused() {
    let machine = Machine::new();
    let module = machine.free_module();
    machine.write("sys/kernel/security/ima/policy", "appraise func=MODULE_CHECK appraise_type=imasig\n");
    machine.assert_refused(&module, &[], "ima");
    assert_eq!(machine.assert_patched(&module, &["--accept-ima-break"]), ["ima"]);
}

// ---- file-kind -----------------------------------------------------------------------------------------------------

/// A flag of chattr(1), cleared again when this is dropped, so that the folder can be removed.
struct Flag {
    flag: char,
    path: PathBuf,
}

impl Flag {
    fn set(flag: char, path: PathBuf) -> Flag {
        run(Command::new("chattr").arg(format!("+{flag}")).arg(&path));
        Flag { flag, path }
    }
}

impl Drop for Flag {
    fn drop(&mut self) {
        run(Command::new("chattr").arg(format!("-{}", self.flag)).arg(&self.path));
    }
}

#[test]
#[ignore = "needs root: tests/run runs it"]
fn an_immutable_or_append_only_file_is_refused() {
    let machine = Machine::new();
    let module = machine.free_module();
    for flag in ['i', 'a'] {
        let _flag = Flag::set(flag, machine.path(&module));
        machine.enrol_once();
        machine.assert_refused(&module, &["--allow-installed", "--accept-ima-break"], "file-kind");
    }
    assert_eq!(machine.assert_patched(&module, &[]), Vec::<String>::new());
}

impl Machine {
    /// Even a lab machine does not lift the guard file-kind.
    fn enrol_once(&self) {
        if self.kmodlab(&["enrol", "-n"]).text.contains("not enrolled") {
            self.enrol();
        }
    }
}

#[test]
#[ignore = "needs root: tests/run runs it"]
fn a_file_on_a_read_only_mount_is_refused() {
    let machine = Machine::new();
    fs::create_dir(machine.path("srv")).unwrap();
    let script = format!(
        "set -eu
        mount -t tmpfs none '{0}/srv'
        cp '{1}' '{0}/srv/hello-4.ko'
        mount -o remount,ro '{0}/srv'
        digest=$(chroot '{0}' {PROGRAM} patch /srv/hello-4.ko --mode blank -n | sed -n 's/^ *digest *//p')
        chroot '{0}' {PROGRAM} patch /srv/hello-4.ko --mode blank --confirm $digest 2>&1 || test $? -eq 3",
        machine.folder.path().display(),
        fixture("hello-4.ko").display()
    );
    let answer = run(Command::new("unshare").args(["--mount", "sh", "-c", &script]));
    assert!(answer.contains("refused by the guard file-kind: it is on a read-only mount"), "{answer}");
}

#[test]
#[ignore = "needs root: tests/run runs it"]
fn a_file_that_is_not_regular_is_refused() {
    let machine = Machine::new();
    let module = machine.free_module();
    symlink("hello-4.ko", machine.path("srv/link.ko")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(machine.path("srv/s.ko")).unwrap();
    run(Command::new("mkfifo").arg(machine.path("srv/fifo.ko")));
    run(Command::new("mknod").arg(machine.path("srv/device.ko")).args(["c", "1", "3"]));
    for (name, what) in [
        ("link", "it is a symbolic link to /srv/hello-4.ko; name that file instead"),
        ("s", "it is a socket, not a regular file"),
        ("fifo", "it is a FIFO, not a regular file"),
        ("device", "it is a device, not a regular file"),
    ] {
        let answer = machine.kmodlab(&["patch", &format!("/srv/{name}.ko"), "--mode", "blank", "--confirm", "0"]);
        answer.assert_refused_by("file-kind");
        assert!(answer.text.contains(what), "{}", answer.text);
    }
    fs::hard_link(machine.path(&module), machine.path("srv/second-name.ko")).unwrap();
    machine.assert_refused(&module, &["--allow-installed"], "file-kind");
}

// ---- Without root --------------------------------------------------------------------------------------------------

/// Runs the program as an unprivileged user, with this environment.
fn as_nobody(machine: &Machine, environment: &[(&str, &str)], arguments: &[&str]) -> Answer {
    let mut command = Command::new("chroot");
    command.args(["--userspec=65534:65534"]).arg(machine.folder.path()).arg(PROGRAM).args(arguments);
    command.env_clear().env("PATH", search_path()).envs(environment.iter().copied());
    Answer::of(&command.output().expect("chroot can't be run"))
}

#[test]
#[ignore = "needs root: tests/run runs it"]
fn a_person_has_a_state_folder_of_their_own() {
    let machine = Machine::new();
    let module = machine.free_module();
    fs::create_dir(machine.path("home")).unwrap();
    for place in ["home", "srv", "srv/hello-4.ko"] {
        std::os::unix::fs::chown(machine.path(place), Some(65534), Some(65534)).unwrap();
    }
    for (environment, state) in [
        (&[("HOME", "/home")][..], "home/.local/state/kmodlab"),
        (&[("HOME", "/home"), ("XDG_STATE_HOME", "/home/state")], "home/state/kmodlab"),
        (&[("HOME", "/home"), ("XDG_STATE_HOME", "not/absolute")], "home/.local/state/kmodlab"),
        (&[("HOME", "/home"), ("KMODLAB_STATE_DIR", "/home/mine")], "home/mine"),
    ] {
        let plan = as_nobody(&machine, environment, &["patch", &module, "--mode", "blank", "-n"]);
        let confirmed = ["patch", &module, "--mode", "blank", "--confirm", &plan.digest()];
        let done = as_nobody(&machine, environment, &confirmed);
        assert_eq!(done.status, 0, "{}", done.text);
        assert!(machine.path(state).join("journal.jsonl").exists(), "{state}");
        assert_eq!(as_nobody(&machine, environment, &["restore", &module]).status, 0);
    }
    let nowhere = as_nobody(&machine, &[], &["log"]);
    assert_eq!(nowhere.text, "kmodlab: no home folder to keep backups in; name a folder: --state-dir\n");
    assert_eq!(nowhere.status, 2);
}

#[test]
#[ignore = "needs root: tests/run runs it"]
fn a_file_of_somebody_else_could_not_be_put_back() {
    let machine = Machine::new();
    let module = machine.free_module();
    fs::create_dir(machine.path("home")).unwrap();
    std::os::unix::fs::chown(machine.path("home"), Some(65534), Some(65534)).unwrap();
    let home = [("HOME", "/home")];
    let plan = as_nobody(&machine, &home, &["patch", &module, "--mode", "blank", "-n"]);
    let confirmed = ["patch", &module, "--mode", "blank", "--confirm", &plan.digest()];
    let answer = as_nobody(&machine, &home, &confirmed);
    let why = "it belongs to another user; only that user or root can restore its times and mode";
    assert_eq!(answer.text, format!("kmodlab: /srv/hello-4.ko: refused by the guard file-kind: {why}\n"));
    assert_eq!(answer.status, 3);
}

/// `restore --all` and `verify` never say that nothing is patched while a module in the machine's trees has a mark.
#[test]
#[ignore = "needs root: tests/run runs it"]
fn without_a_journal_the_module_trees_are_searched_for_marks() {
    let machine = Machine::new();
    let module = machine.module("/lib/modules/6.1.0-1-demo/kernel/hello-4.ko");
    machine.module("/lib/modules/6.1.0-1-demo/kernel/other.ko");
    let original = fs::read(machine.path(&module)).unwrap();
    machine.assert_patched(&module, &["--mark", "--allow-installed"]);
    let patched = fs::read(machine.path(&module)).unwrap();
    fs::rename(machine.path(STATE), machine.path("away")).unwrap();

    let answer = machine.kmodlab(&["restore", "--all"]);
    assert_eq!(answer.status, 2, "{}", answer.text);
    assert!(answer.text.contains(&module) && answer.text.contains("no backup here begins with"), "{}", answer.text);
    assert!(!answer.text.contains("nothing is patched"), "{}", answer.text);
    let answer = machine.kmodlab(&["verify"]);
    assert_eq!(answer.status, 1, "{}", answer.text);
    assert!(answer.text.contains("patched by its mark, and unknown to the journal"), "{}", answer.text);
    assert_eq!(fs::read(machine.path(&module)).unwrap(), patched);

    // Only the journal is lost: the mark leads to the backup.
    fs::rename(machine.path("away"), machine.path(STATE)).unwrap();
    for name in ["journal.jsonl", "journal.copy.jsonl"] {
        fs::remove_file(machine.path(STATE).join(name)).unwrap();
    }
    let answer = machine.kmodlab(&["restore", "--all"]);
    assert_eq!(answer.status, 0, "{}", answer.text);
    assert_eq!(fs::read(machine.path(&module)).unwrap(), original);
    let answer = machine.kmodlab(&["restore", "--all"]);
    assert!(answer.status == 0 && answer.text.contains("nothing is patched by the journal, and"), "{}", answer.text);
}

/// The program of this machine, with the root folder of the other one, as a person uses it on a mounted disk.
fn from_outside(machine: &Machine, arguments: &[&str]) -> Answer {
    let mut command = Command::new(KMODLAB);
    command.arg("--root").arg(machine.path("")).args(arguments).env_clear().env("PATH", search_path());
    Answer::of(&command.output().unwrap())
}

/// The first module of [`patched_machine`], without links in its path.
const IN_TREE: &str = "/usr/lib/modules/6.1.0-1-demo/kernel/hello-4.ko";

/// A machine whose /lib is an absolute link, on which two modules were patched. Returns them, as the machine sees them; the first one's path
/// has the link. Nothing here writes through that link, which would lead to this machine's own /usr/lib.
fn patched_machine() -> (Machine, [String; 2]) {
    let machine = Machine::new();
    machine.module(IN_TREE);
    machine.module("/srv/a/hello-4.ko");
    for entry in fs::read_dir(machine.path("lib")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "modules" {
            fs::rename(entry.path(), machine.path("usr/lib").join(entry.file_name())).unwrap();
        }
    }
    fs::remove_dir_all(machine.path("lib")).unwrap();
    symlink("/usr/lib", machine.path("lib")).unwrap();
    machine.assert_patched(IN_TREE, &["--allow-installed"]);
    machine.assert_patched("/srv/a/hello-4.ko", &["--mark"]);
    (machine, [IN_TREE.replace("/usr", ""), "/srv/a/hello-4.ko".to_owned()])
}

#[test]
#[ignore = "needs root: tests/run runs it"]
fn a_mounted_system_is_restored_from_outside_and_knows_it_later() {
    let (machine, modules) = patched_machine();
    let original = fs::read(fixture("hello-4.ko")).unwrap();
    let answer = from_outside(&machine, &["verify"]);
    assert!(answer.status == 0 && answer.text.contains("2 modules: 2 patched"), "{}", answer.text);
    let log = from_outside(&machine, &["log", &modules[0]]);
    assert!(log.status == 0 && log.text.contains("usr/lib/modules/6.1.0-1-demo/kernel/hello-4.ko"), "{}", log.text);
    assert_eq!(from_outside(&machine, &["restore", "--all", "-n"]).text.matches("would be restored").count(), 2);

    let done = from_outside(&machine, &["restore", &modules[0]]);
    assert_eq!(done.status, 0, "{}", done.text);
    assert_eq!(from_outside(&machine, &["restore", "--all"]).status, 0);
    for module in ["usr/lib/modules/6.1.0-1-demo/kernel/hello-4.ko", "srv/a/hello-4.ko"] {
        assert!(fs::read(machine.path(module)).unwrap() == original, "{module}");
    }
    // The journal has paths as the machine itself sees them, so it knows what was done.
    let journal = fs::read_to_string(machine.path(STATE).join("journal.jsonl")).unwrap();
    assert_eq!(
        journal.matches(machine.path("").to_str().unwrap().trim_end_matches('/')).count(),
        2,
        "only in command lines"
    );
    assert_eq!(journal.matches(r#""path":"/usr/lib/modules/6.1.0-1-demo/kernel/hello-4.ko""#).count(), 2);
    let verified = machine.kmodlab(&["verify", IN_TREE, &modules[1]]);
    assert!(verified.status == 0 && verified.text.contains("2 original"), "{}", verified.text);
    assert_eq!(machine.kmodlab(&["log", "--verify"]).status, 0);
}

#[test]
#[ignore = "needs root: tests/run runs it"]
fn from_outside_deleted_modules_kernels_and_the_vault_are_those_of_the_mounted_system() {
    let (machine, modules) = patched_machine();
    let original = fs::read(fixture("hello-4.ko")).unwrap();
    fs::remove_file(machine.path(&modules[1])).unwrap();
    assert_eq!(from_outside(&machine, &["restore", &modules[1]]).status, 0);
    assert!(fs::read(machine.path(&modules[1])).unwrap() == original);
    // A kernel's release is one of that system.
    machine.module("/usr/lib/modules/6.1.0-2-demo/kernel/hello-4.ko");
    let against = from_outside(&machine, &["verify", "--against", "6.1.0-2-demo", "/lib/modules/6.1.0-1-demo/kernel"]);
    assert!(against.status == 1 && against.text.contains("hello-4.ko: patched"), "{}", against.text);
    let out = machine.path("extracted.ko");
    assert_eq!(from_outside(&machine, &["restore", "-o", out.to_str().unwrap(), &modules[0]]).status, 0);
    assert!(fs::read(out).unwrap() == original);
    let export = machine.path("export");
    let exported = from_outside(&machine, &["vault", "export", export.to_str().unwrap()]);
    assert!(exported.status == 0 && exported.text.contains("3 lines"), "{}", exported.text);
    assert_eq!(from_outside(&machine, &["recover"]).status, 0);
    let refused = from_outside(&machine, &["patch", &modules[1], "--mode", "blank", "-n"]);
    assert!(refused.status == 2 && refused.text.contains("only looks at this system"), "{}", refused.text);
}

/// Whoever made the mounted disk chose its links. None of them leads to a file of this machine.
#[test]
#[ignore = "needs root: tests/run runs it"]
fn no_link_of_a_mounted_system_leads_out_of_it() {
    for target in ["absolute", "relative"] {
        let (machine, modules) = patched_machine();
        let outside = tempfile::tempdir().unwrap();
        let bait = outside.path().join("hello-4.ko");
        fs::rename(machine.path(&modules[1]), &bait).unwrap();
        fs::remove_dir(machine.path("srv/a")).unwrap();
        match target {
            "absolute" => symlink(outside.path(), machine.path("srv/a")).unwrap(),
            _ => {
                let up = "../".repeat(30) + outside.path().to_str().unwrap().trim_start_matches('/');
                symlink(up, machine.path("srv/a")).unwrap();
            }
        }
        let before = fs::read(&bait).unwrap();
        let answer = from_outside(&machine, &["restore", "--all"]);
        assert_eq!(answer.status, 4, "{}", answer.text);
        assert_eq!(from_outside(&machine, &["restore", &modules[1]]).status, 2);
        let verified = from_outside(&machine, &["verify", &modules[1]]);
        assert!(verified.status == 2 && verified.text.contains("No such file"), "{}", verified.text);
        assert!(fs::read(&bait).unwrap() == before, "{target}");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    }
}
