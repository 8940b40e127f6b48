//! What this machine can do: virtual machines, kernels, folders, and what the guards see; and the command that installs what is
//! missing. The examination changes nothing.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{Access, access, statvfs};
use serde::Serialize;

use crate::guard::machine::Machine;
use crate::kernel::installed::{InstalledKernel, installed};
use crate::lab::acceleration::{self, Acceleration};
use crate::lab::distribution::{QemuProgram, install};
use crate::lab::guest::find_qemu;
use crate::lab::machine_type::{MACHINE_TYPES, MachineType};
use crate::text;

/// The space that a guest needs in the temporary folder, in MiB: an unpacked image, its initramfs, and the guest's memory.
const TEMPORARY_SPACE: u64 = 600;

/// The free memory that a guest needs, in MiB: its own and QEMU's.
const MEMORY: u64 = 400;

/// How long `qemu --version` may take.
const VERSION_TIMEOUT: Duration = Duration::from_secs(5);

/// The result of an examination.
#[derive(Serialize)]
pub struct Examination {
    schema_version: u32,
    /// Can this machine run a guest of its own architecture?
    pub can_run_guests: bool,
    /// What is missing for that, in words.
    pub missing: Vec<String>,
    /// The command that installs it.
    pub install: Option<String>,
    /// QEMU's programs, one per machine type.
    pub qemu: Vec<InstalledQemu>,
    /// Hardware acceleration.
    pub kvm: KvmState,
    /// The kernels that are installed.
    pub kernels: Vec<InstalledKernel>,
    /// The folder for temporary files.
    pub temporary: FolderState,
    /// Free memory, in MiB; `None` if the system does not report it.
    pub memory_mib: Option<u64>,
    /// The program modinfo, which this program does not need.
    pub modinfo: Option<PathBuf>,
    /// The state folder; `None` if there is no home folder.
    pub state: Option<FolderState>,
    /// The cache folder; `None` if there is no home folder.
    pub cache: Option<FolderState>,
    /// The machine as the guards see it.
    pub guards: GuardedMachine,
}

/// A QEMU program for one architecture.
#[derive(Serialize)]
pub struct InstalledQemu {
    /// The name of the program.
    pub program: &'static str,
    /// Is it for this machine's own architecture? The agent in the guest is this program.
    pub is_native: bool,
    /// Where it is on PATH.
    pub path: Option<PathBuf>,
    /// The version that it reports.
    pub version: Option<String>,
}

/// Whether KVM can be used.
#[derive(Serialize)]
pub struct KvmState {
    /// Does `/dev/kvm` exist?
    pub is_there: bool,
    /// Does it open?
    pub opens: bool,
    /// What the last guest ran on; `None` if none was started.
    pub found: Option<Acceleration>,
}

/// A folder that the program writes to.
#[derive(Serialize)]
pub struct FolderState {
    /// Its path.
    pub path: PathBuf,
    /// Does it exist?
    pub is_there: bool,
    /// Can this user write to it, or create it?
    pub is_writable: bool,
    /// Free space, in MiB.
    pub free_mib: Option<u64>,
}

/// The machine as the guards see it.
#[derive(Serialize)]
pub struct GuardedMachine {
    /// The release of the running kernel.
    pub running: String,
    /// Is it declared a lab machine?
    pub is_lab_machine: bool,
    /// How many modules are loaded.
    pub loaded: usize,
    /// Traces of a virtual machine or container. They do not change what the guards refuse.
    pub virtual_traces: Option<String>,
    /// Does an IMA policy appraise modules? `None` if the policy cannot be read.
    pub ima: Option<bool>,
}

/// Examines this machine. `state` and `cache` are the state and cache folders, where they are known.
pub fn examine(machine: &Machine, state: Option<PathBuf>, cache: Option<PathBuf>) -> Examination {
    let qemu: Vec<InstalledQemu> = MACHINE_TYPES.iter().map(InstalledQemu::of).collect();
    let kvm = KvmState {
        is_there: Path::new("/dev/kvm").exists(),
        opens: acceleration::kvm_opens(),
        found: acceleration::AccelerationCache::here(cache.clone()).recall(),
    };
    let temporary = std::env::temp_dir();
    let temporary = FolderState::at(std::path::absolute(&temporary).unwrap_or(temporary));
    let memory_mib = std::fs::read_to_string("/proc/meminfo").ok().as_deref().and_then(available);
    let modinfo = on_path("modinfo");

    let mut missing = Vec::new();
    let mut programs = Vec::new();
    match qemu.iter().find(|qemu| qemu.is_native) {
        None => missing.push("a virtual machine for this processor: x86-64, i386 and arm64 are supported".to_owned()),
        Some(qemu) if qemu.path.is_none() => {
            missing.push(format!("{}, which is not on PATH", qemu.program));
            programs.push(QemuProgram::Qemu(qemu.program));
        }
        Some(qemu) if qemu.version.is_none() => {
            missing.push(format!("{}, which is on PATH but does not report its version", qemu.program));
        }
        Some(_) => {}
    }
    let temporary_path = || text::path(&temporary.path);
    if !(temporary.is_there && temporary.is_writable) {
        missing.push(format!("a temporary folder: {} is none (TMPDIR names another)", temporary_path()));
    } else if temporary.free_mib.is_some_and(|free| free < TEMPORARY_SPACE) {
        missing.push(format!("{TEMPORARY_SPACE} MiB of space in {} (TMPDIR names another)", temporary_path()));
    }
    if memory_mib.is_some_and(|free| free < MEMORY) {
        missing.push(format!("{MEMORY} MiB of free memory"));
    }
    if modinfo.is_none() {
        programs.push(QemuProgram::Kmod);
    }
    let os_release =
        ["/etc/os-release", "/usr/lib/os-release"].iter().find_map(|path| std::fs::read_to_string(path).ok());
    let sudo = if rustix::process::geteuid().is_root() { "" } else { "sudo " };
    let command = install(&os_release.unwrap_or_default(), &programs);

    Examination {
        schema_version: 1,
        can_run_guests: missing.is_empty(),
        missing,
        install: command.map(|command| format!("{sudo}{command}")),
        qemu,
        kvm,
        kernels: installed(Path::new("/")),
        temporary,
        memory_mib,
        modinfo,
        state: state.map(FolderState::at),
        cache: cache.map(FolderState::at),
        guards: GuardedMachine {
            running: machine.release().to_owned(),
            is_lab_machine: machine.is_lab_machine(),
            loaded: machine.loaded().len(),
            virtual_traces: machine.virtual_traces(),
            ima: machine.ima_appraises_modules(),
        },
    }
}

impl InstalledQemu {
    fn of(machine_type: &MachineType) -> InstalledQemu {
        let path = find_qemu(machine_type).ok();
        let version = path.as_deref().and_then(version_output).as_deref().and_then(version).map(str::to_owned);
        InstalledQemu { program: machine_type.qemu, is_native: machine_type.is_native(), path, version }
    }
}

impl FolderState {
    fn at(path: PathBuf) -> FolderState {
        let existing = path.ancestors().find(|above| above.is_dir());
        let can_be_written = |folder: &Path| access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok();
        let space = existing.and_then(|folder| statvfs(folder).ok());
        FolderState {
            is_there: path.is_dir(),
            // A file of that name is not a folder, and cannot become one.
            is_writable: existing.is_some_and(can_be_written) && (path.is_dir() || !path.exists()),
            free_mib: space.map(|space| space.f_bavail.saturating_mul(space.f_frsize) >> 20),
            path,
        }
    }
}

/// Finds a program on PATH.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The output of `PROGRAM --version`, if it succeeds in time.
fn version_output(program: &Path) -> Option<String> {
    let mut command = Command::new(program);
    command.arg(OsStr::new("--version")).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let end = Instant::now() + VERSION_TIMEOUT;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(5)),
            _ => break None,
        }
    };
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let mut text = Vec::new();
    // Its children may still hold the pipe open, so only what fits into a pipe is read, and only after it has ended.
    status.filter(|status| status.success())?;
    child.stdout.take()?.take(1 << 12).read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// The version in `QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)`.
fn version(text: &str) -> Option<&str> {
    text.split_once("version ")?.1.split([' ', '\n']).next().filter(|version| !version.is_empty())
}

/// `MemAvailable` of /proc/meminfo (proc(5)), in MiB.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib >> 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_in_the_first_line_of_qemu() {
        assert_eq!(version("QEMU emulator version 7.2.22 (Debian 1:7.2)\nCopyright\n"), Some("7.2.22"));
        assert_eq!(version("QEMU emulator version 10.0.0\n"), Some("10.0.0"));
        assert_eq!(version("version "), None);
        assert_eq!(version("something else"), None);
    }

    #[test]
    fn available_memory_is_given_in_kibibytes() {
        assert_eq!(available("MemTotal:        8000000 kB\nMemAvailable:    2097152 kB\n"), Some(2048));
        assert_eq!(available("MemAvailable: many kB\n"), None);
        assert_eq!(available(""), None);
    }

    #[test]
    fn a_folder_that_can_be_created_counts_as_writable() {
        let home = tempfile::tempdir().unwrap();
        let seen = |path: PathBuf| {
            let folder = FolderState::at(path);
            (folder.is_there, folder.is_writable)
        };
        assert_eq!(seen(home.path().to_owned()), (true, true));
        assert_eq!(seen(home.path().join("a/b")), (false, true));
        std::fs::write(home.path().join("file"), "").unwrap();
        assert_eq!(seen(home.path().join("file")), (false, false));
    }
}
