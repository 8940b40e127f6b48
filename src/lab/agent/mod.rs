//! The first process of a guest: this program, alone in its initramfs with the modules. It loads what it is told to,
//! looks at what comes of it, and reports.
//!
//! Each phase runs in a thread of its own with a time limit: a thread that oopses in the kernel is gone, one that waits
//! for ever is left behind, and the first thread goes on reporting. What it can't do it says on the console.

mod load;
mod log;
mod netlink;
mod port;
mod probe;
mod trace;
mod worker;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::process::ExitCode;
use std::sync::Arc;

use rustix::mount::{MountFlags, mount};

use crate::lab::wire::{AGENT, AgentMessage, TrialOrder};
use load::TrialRunner;
use log::KernelLog;
use port::ResultPort;
use probe::{SCRATCH, SystemSnapshot};
use worker::GuardedWorker;

/// Is this process a guest's first one? A container's first process is called otherwise.
pub fn is_agent(name: &OsString) -> bool {
    std::process::id() == 1 && std::path::Path::new(name).file_name() == Some(OsStr::new(AGENT))
}

/// Runs the guest. It does not return before the guest ends, unless something is wrong, and then the kernel panics.
pub fn run() -> ExitCode {
    if let Err(why) = serve() {
        complain(&why);
        // PID 1 must not end while somebody may still read the console.
        loop {
            std::thread::park();
        }
    }
    ExitCode::FAILURE
}

fn serve() -> Result<(), String> {
    for (kind, place) in [
        ("devtmpfs", "/dev"),
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("tracefs", "/sys/kernel/tracing"),
        ("tmpfs", SCRATCH),
    ] {
        let _ = fs::create_dir_all(place);
        // Some kernels mount devtmpfs themselves, and some have no traces: what is missing shows when it is used.
        let _ = mount(kind, place, kind, MountFlags::empty(), None);
    }
    let log = KernelLog::open()?;
    // Twice this many seconds without a scheduled task is a soft lockup, and the command line makes it a panic.
    let _ = fs::write("/proc/sys/kernel/watchdog_thresh", "6");
    let (mut port, worker) = (ResultPort::open()?, GuardedWorker::start()?);
    let traces = trace::enable();
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
    let at_boot = Arc::new(SystemSnapshot::look());
    port.say(&AgentMessage::Ready { release, traces })?;
    let mut hands = TrialRunner { port, log, worker, at_boot };
    loop {
        let order: TrialOrder = hands.port.hear()?;
        hands.trial(&order)?;
    }
}

/// A word on the console.
fn complain(what: &str) {
    let _ = fs::write("/dev/console", format!("kmodlab: {what}\n"));
}
