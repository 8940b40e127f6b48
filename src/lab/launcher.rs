//! Starts QEMU so that it ends with whoever started it.
//!
//! This program starts itself under another name; that process asks the kernel to be killed when its parent thread ends
//! (prctl(2), PR_SET_PDEATHSIG), sets its limits, and becomes QEMU. The wish outlives execve(2). So QEMU is gone when
//! kmodlab is, whatever ended that.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, Signal, getppid, set_parent_process_death_signal, setrlimit};

use crate::error::Error;

/// The name that this program is started by as the launcher.
const LAUNCHER: &str = "kmodlab-launcher";

/// Is this process the launcher?
pub fn is_launcher(name: &OsString) -> bool {
    name == LAUNCHER
}

/// A command that will become `program`, and end with the thread that starts it. `kmodlab` is the file of this program.
pub(crate) fn command(kmodlab: &Path, program: &Path, most_memory: u64) -> Command {
    let mut command = Command::new(kmodlab);
    command.arg0(LAUNCHER).arg(std::process::id().to_string()).arg(most_memory.to_string()).arg(program);
    command
}

/// Becomes the program that the arguments name: the parent's process number, the most memory in bytes, the program and
/// its arguments. Returns only what went wrong.
pub fn launch(mut arguments: impl Iterator<Item = OsString>) -> Error {
    let mut number = || arguments.next().and_then(|text| text.to_str().and_then(|text| text.parse::<u64>().ok()));
    let (Some(parent), Some(most_memory)) = (number(), number()) else {
        return Error::new(crate::error::ErrorKind::Usage, "the launcher is started by kmodlab itself alone");
    };
    let Some(program) = arguments.next() else {
        return Error::new(crate::error::ErrorKind::Usage, "the launcher has nothing to start");
    };
    if let Err(e) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return Error::io("asking to end with kmodlab", e);
    }
    // The parent may have ended before the wish was made.
    if getppid().map(Pid::as_raw_nonzero).map(|pid| pid.get() as u64) != Some(parent) {
        return Error::new(crate::error::ErrorKind::Io, "kmodlab is gone");
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
