//! Starts QEMU so that it ends together with this process.
//!
//! This program starts itself under another name. That process asks the kernel to be killed when its parent thread
//! ends (prctl(2), PR_SET_PDEATHSIG), sets its limits, and becomes QEMU; the request survives execve(2). So QEMU ends
//! when kmodlab ends, for whatever reason.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, Signal, getppid, set_parent_process_death_signal, setrlimit};

use crate::error::Error;

/// The name under which this program is the launcher.
const LAUNCHER: &str = "kmodlab-launcher";

/// Is this process the launcher?
pub fn is_launcher(name: &OsString) -> bool {
    name == LAUNCHER
}

/// A command that becomes `program`, and ends with the thread that starts it. `kmodlab` is the path of this program.
pub(crate) fn command(kmodlab: &Path, program: &Path, most_memory: u64) -> Command {
    let mut command = Command::new(kmodlab);
    command.arg0(LAUNCHER).arg(std::process::id().to_string()).arg(most_memory.to_string()).arg(program);
    command
}

/// Becomes the program given by the arguments: the parent's process id, the memory limit in bytes, the program and its
/// arguments. Returns only on failure, with the error.
pub fn launch(mut arguments: impl Iterator<Item = OsString>) -> Error {
    let mut number = || arguments.next().and_then(|text| text.to_str().and_then(|text| text.parse::<u64>().ok()));
    let (Some(parent), Some(most_memory)) = (number(), number()) else {
        return Error::new(crate::error::ErrorKind::Usage, "only kmodlab itself starts the launcher");
    };
    let Some(program) = arguments.next() else {
        return Error::new(crate::error::ErrorKind::Usage, "the launcher needs a program to start");
    };
    if let Err(e) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return Error::io("requesting a signal at the end of kmodlab", e);
    }
    // The parent may have ended before the request.
    if getppid().map(Pid::as_raw_nonzero).map(|pid| pid.get() as u64) != Some(parent) {
        return Error::new(crate::error::ErrorKind::Io, "kmodlab has ended");
    }
    let limit = |most| Rlimit { current: Some(most), maximum: Some(most) };
    for (resource, most) in [(Resource::Core, 0), (Resource::As, most_memory)] {
        if let Err(e) = setrlimit(resource, limit(most)) {
            return Error::io("limiting QEMU", e);
        }
    }
    let path = program.clone();
    Error::io("starting QEMU", Command::new(program).args(arguments).exec()).on(path)
}
