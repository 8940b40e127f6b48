//! `doctor`: what this machine can do, and the one command that installs what is missing. It changes nothing.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{Access, access, statvfs};
use serde::Serialize;

use crate::cli::Status;
use crate::cli::output::{self, Failure, Paint, Session, grouped};
use crate::escape::for_eyes;
use crate::kernel::installed::{Installed, installed};
use crate::lab::acceleration::{self, Acceleration};
use crate::lab::distribution::{QemuProgram, install};
use crate::lab::guest::find_qemu;
use crate::lab::machine_type::{MACHINE_TYPES, MachineType};

/// What the temporary folder must hold, in MiB: an unpacked image, its initramfs, and the memory of a guest.
const ROOM: u64 = 600;

/// What must be free in memory for one guest, in MiB: its own and QEMU's.
const MEMORY: u64 = 400;

/// How long QEMU may take to tell its version.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
pub(super) struct Args {
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let examination = Examination::of_this_machine(session);
    if let Some(Err(error)) = session.vault_unchecked().ok().map(|vault| vault.must_be_trusted()) {
        session.complain(&error);
    }
    match args.json {
        true => session.json(&examination)?,
        false => print(&examination, session)?,
    }
    Ok(if examination.can_run_guests { Status::Done } else { Status::Negative })
}

/// What was found.
#[derive(Serialize)]
struct Examination {
    schema_version: u32,
    /// Can a guest of this machine's own architecture be run?
    can_run_guests: bool,
    /// What it needs and has not, each in words.
    missing: Vec<String>,
    /// The command that installs it.
    install: Option<String>,
    qemu: Vec<Emulator>,
    kvm: Kvm,
    kernels: Vec<Installed>,
    temporary: Folder,
    /// What is free in memory, in MiB; `None` if the system does not say.
    memory_mib: Option<u64>,
    /// The program modinfo; kmodlab does its work without.
    modinfo: Option<PathBuf>,
    state: Option<Folder>,
    cache: Option<Folder>,
    guards: Guards,
}

/// A virtual machine of QEMU's.
#[derive(Serialize)]
struct Emulator {
    program: &'static str,
    /// Is it for this machine's own architecture? The agent in the guest is this program.
    is_native: bool,
    path: Option<PathBuf>,
    version: Option<String>,
}

#[derive(Serialize)]
struct Kvm {
    is_there: bool,
    opens: bool,
    /// What was found when a guest was started; `None` if none was.
    found: Option<Acceleration>,
}

#[derive(Serialize)]
struct Folder {
    path: PathBuf,
    is_there: bool,
    /// Can it be written, or be made?
    is_writable: bool,
    /// What is free there, in MiB.
    free_mib: Option<u64>,
}

/// The machine as the guards see it.
#[derive(Serialize)]
struct Guards {
    running: String,
    is_lab_machine: bool,
    /// How many modules are loaded.
    loaded: usize,
    /// Traces of a virtual machine or container. They unlock nothing.
    virtual_traces: Option<String>,
    /// Does an IMA policy judge modules? `None` if it can't be read.
    ima: Option<bool>,
}

impl Examination {
    fn of_this_machine(session: &Session<'_>) -> Examination {
        let qemu: Vec<Emulator> = MACHINE_TYPES.iter().map(Emulator::of).collect();
        let cache = session.lookup().cache;
        let kvm = Kvm {
            is_there: Path::new("/dev/kvm").exists(),
            opens: acceleration::kvm_opens(),
            found: acceleration::AccelerationCache::here(cache.clone()).recall(),
        };
        let temporary = std::env::temp_dir();
        let temporary = Folder::at(std::path::absolute(&temporary).unwrap_or(temporary));
        let memory_mib = std::fs::read_to_string("/proc/meminfo").ok().as_deref().and_then(available);
        let modinfo = on_path("modinfo");
        let vault = session.vault_unchecked().ok();

        let mut missing = Vec::new();
        let mut programs = Vec::new();
        match qemu.iter().find(|emulator| emulator.is_native) {
            None => missing
                .push("a virtual machine for this processor: there are some for x86-64, i386 and arm64".to_owned()),
            Some(emulator) if emulator.path.is_none() => {
                missing.push(format!("{}, which is not on PATH", emulator.program));
                programs.push(QemuProgram::Qemu(emulator.program));
            }
            Some(emulator) if emulator.version.is_none() => {
                missing.push(format!("{}, which is there and does not tell its version", emulator.program));
            }
            Some(_) => {}
        }
        if !(temporary.is_there && temporary.is_writable) {
            missing
                .push(format!("a temporary folder: {} is none (TMPDIR names another)", output::path(&temporary.path)));
        } else if temporary.free_mib.is_some_and(|free| free < ROOM) {
            missing.push(format!("{ROOM} MiB of room in {} (TMPDIR names another)", output::path(&temporary.path)));
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

        let machine = vault.as_ref().map(|vault| session.machine(vault));
        let machine = machine.unwrap_or_else(|| crate::guard::machine::Machine::here(false));
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
            state: vault.map(|vault| Folder::at(vault.folder().to_owned())),
            cache: cache.map(Folder::at),
            guards: Guards {
                running: machine.release().to_owned(),
                is_lab_machine: machine.is_lab_machine(),
                loaded: machine.loaded().len(),
                virtual_traces: machine.virtual_traces(),
                ima: machine.ima_appraises_modules(),
            },
        }
    }
}

impl Emulator {
    fn of(machine_type: &MachineType) -> Emulator {
        let path = find_qemu(machine_type).ok();
        let version = path.as_deref().and_then(told).as_deref().and_then(version).map(str::to_owned);
        Emulator { program: machine_type.qemu, is_native: machine_type.is_native(), path, version }
    }
}

impl Folder {
    fn at(path: PathBuf) -> Folder {
        let there = path.ancestors().find(|above| above.is_dir());
        let can_be_written = |folder: &Path| access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok();
        let space = there.and_then(|folder| statvfs(folder).ok());
        Folder {
            is_there: path.is_dir(),
            // A file in the folder's place is none, and can't become one.
            is_writable: there.is_some_and(can_be_written) && (path.is_dir() || !path.exists()),
            free_mib: space.map(|space| space.f_bavail.saturating_mul(space.f_frsize) >> 20),
            path,
        }
    }
}

/// A program on PATH.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// What a program says to `--version`, if it ends in time.
fn told(program: &Path) -> Option<String> {
    let mut command = Command::new(program);
    command.arg(OsStr::new("--version")).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let end = Instant::now() + PATIENCE;
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
    // What it started may still hold the pipe, so only what fits into a pipe is awaited, and only of one that ended.
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

fn print(examination: &Examination, session: &mut Session<'_>) -> Result<(), Failure> {
    let Examination { qemu, kvm, kernels, temporary, memory_mib, modinfo, state, cache, guards, .. } = examination;
    let mut row = |what: &str, text: &str| writeln!(session.out, "  {what:<13} {text}");
    for emulator in qemu {
        let what = if emulator.is_native { "QEMU" } else { "other QEMU" };
        let version = emulator.version.as_deref().map_or_else(|| "of no known version".to_owned(), for_eyes);
        let text = match &emulator.path {
            Some(path) => format!("{} {version}, {}", emulator.program, output::path(path)),
            None => format!("{} is not on PATH", emulator.program),
        };
        row(what, &text)?;
    }
    row("acceleration", kvm_text(kvm))?;
    for kernel in kernels {
        let image = match (&kernel.image, kernel.is_readable) {
            (Some(image), true) => output::path(image),
            (Some(image), false) => format!("{}, which you may not read", output::path(image)),
            (None, _) => "no image".to_owned(),
        };
        let modules = if kernel.modules.is_some() { "with modules" } else { "without modules" };
        row("kernel", &format!("{} {modules}, {image}", for_eyes(&kernel.release)))?;
    }
    if kernels.is_empty() {
        row("kernel", "none is installed; the lab takes packages too")?;
    }
    row("temporary", &folder_text(temporary))?;
    row("memory", &memory_mib.map_or_else(|| "not told".to_owned(), |mib| format!("{} MiB free", grouped(mib))))?;
    let modinfo = modinfo
        .as_ref()
        .map_or_else(|| "not on PATH; kmodlab does its work without".to_owned(), |path| output::path(path));
    row("modinfo", &modinfo)?;
    let no_home = || "nowhere: there is no home folder".to_owned();
    row("state folder", &state.as_ref().map_or_else(no_home, folder_text))?;
    row("cache folder", &cache.as_ref().map_or_else(no_home, folder_text))?;
    let lab_machine = match guards.is_lab_machine {
        true => "a lab machine: the guards live-tree and loaded do not refuse",
        false => "no lab machine: modules in use are not patched (kmodlab enrol)",
    };
    row("guards", lab_machine)?;
    let loaded = output::count(guards.loaded, "loaded module");
    row("", &format!("the running kernel is {}, with {loaded}", for_eyes(&guards.running)))?;
    if let Some(traces) = &guards.virtual_traces {
        row("", &format!("it looks like {}, which unlocks nothing", for_eyes(traces)))?;
    }
    row(
        "",
        match guards.ima {
            Some(true) => "an IMA policy judges modules",
            Some(false) => "no IMA policy judges modules",
            None => "whether an IMA policy judges modules can't be read",
        },
    )?;
    let (paint, text) = match examination.can_run_guests {
        true => (Paint::Good, "a virtual machine can be run here"),
        false => (Paint::Bad, "no virtual machine can be run here"),
    };
    let text = session.paint(paint, text);
    writeln!(session.out, "{text}")?;
    for missing in &examination.missing {
        writeln!(session.out, "  missing       {missing}")?;
    }
    if let Some(command) = &examination.install {
        writeln!(session.out, "  install       {command}")?;
    }
    Ok(())
}

fn kvm_text(kvm: &Kvm) -> &'static str {
    match kvm {
        Kvm { is_there: false, .. } => "no /dev/kvm: guests are translated (TCG), which is slower",
        Kvm { opens: false, .. } => "/dev/kvm does not open for you: guests are translated (TCG), which is slower",
        Kvm { found: Some(Acceleration::Kvm), .. } => "/dev/kvm opens, and a guest came up on it",
        Kvm { found: Some(Acceleration::Tcg), .. } => {
            "/dev/kvm opens, but no guest comes up on it: guests are translated (TCG), which is slower"
        }
        Kvm { found: None, .. } => "/dev/kvm opens, but is only believed after a guest came up on it",
    }
}

fn folder_text(folder: &Folder) -> String {
    let state = match (folder.is_there, folder.is_writable) {
        (true, true) => "",
        (true, false) => ", can't be written",
        (false, true) => ", not there yet",
        (false, false) => ", not there, and can't be made",
    };
    let free = folder.free_mib.map(|mib| format!(", {} MiB free", grouped(mib))).unwrap_or_default();
    format!("{}{state}{free}", output::path(&folder.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qemu_tells_its_version_in_a_line() {
        assert_eq!(version("QEMU emulator version 7.2.22 (Debian 1:7.2)\nCopyright\n"), Some("7.2.22"));
        assert_eq!(version("QEMU emulator version 10.0.0\n"), Some("10.0.0"));
        assert_eq!(version("version "), None);
        assert_eq!(version("something else"), None);
    }

    #[test]
    fn what_is_available_is_told_in_kibibytes() {
        assert_eq!(available("MemTotal:        8000000 kB\nMemAvailable:    2097152 kB\n"), Some(2048));
        assert_eq!(available("MemAvailable: many kB\n"), None);
        assert_eq!(available(""), None);
    }

    #[test]
    fn kvm_is_believed_only_after_a_guest_came_up_on_it() {
        let text = |is_there, opens, found| kvm_text(&Kvm { is_there, opens, found });
        assert!(text(false, false, None).starts_with("no /dev/kvm"));
        assert!(text(true, false, None).contains("does not open"));
        assert!(text(true, true, None).contains("only believed after a guest came up"));
        assert!(text(true, true, Some(Acceleration::Tcg)).contains("no guest comes up"));
        assert!(text(true, true, Some(Acceleration::Kvm)).ends_with("a guest came up on it"));
    }

    #[test]
    fn a_folder_that_can_be_made_is_as_good_as_one_that_is_there() {
        let home = tempfile::tempdir().unwrap();
        let seen = |path: PathBuf| {
            let folder = Folder::at(path);
            (folder.is_there, folder.is_writable)
        };
        assert_eq!(seen(home.path().to_owned()), (true, true));
        assert_eq!(seen(home.path().join("a/b")), (false, true));
        std::fs::write(home.path().join("file"), "").unwrap();
        assert_eq!(seen(home.path().join("file")), (false, false));
    }
}
