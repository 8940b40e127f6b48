//! The agent: this program as the first process of a guest, alone in the initramfs with the modules. It loads modules
//! as ordered, examines the results, and reports them.
//!
//! Each phase runs in a separate thread with a time limit. A thread that oopses in the kernel is gone, and one that
//! blocks for ever is abandoned; the first thread continues to report. Fatal errors go to the console.

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
use load::{KernelState, TrialRunner};
use log::KernelLog;
use port::ResultPort;
use probe::{SCRATCH, SystemSnapshot};
use worker::GuardedWorker;

/// Is this process the first one of a guest? The first process of a container has another name.
pub fn is_agent(name: &OsString) -> bool {
    std::process::id() == 1 && std::path::Path::new(name).file_name() == Some(OsStr::new(AGENT))
}

/// Runs the agent. It returns only after an error, and then the kernel panics.
pub fn run() -> ExitCode {
    if let Err(why) = serve() {
        complain(&why);
        // PID 1 must not end while the console may still be read.
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
        // Some kernels mount devtmpfs themselves, and some have no tracefs; missing mounts cause errors on use.
        let _ = mount(kind, place, kind, MountFlags::empty(), None);
    }
    let log = KernelLog::open()?;
    // A processor without a scheduled task for twice this many seconds is a soft lockup; the kernel command line makes
    // it a panic.
    let _ = fs::write("/proc/sys/kernel/watchdog_thresh", "6");
    let (mut port, worker) = (ResultPort::open()?, GuardedWorker::start()?);
    let traces = trace::enable();
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
    let (at_boot, kernel_at_boot) = (Arc::new(SystemSnapshot::look()), KernelState::look());
    port.say(&AgentMessage::Ready { release, traces })?;
    let mut hands = TrialRunner { port, log, worker, at_boot, kernel_at_boot };
    loop {
        let order: TrialOrder = hands.port.hear()?;
        hands.trial(&order)?;
    }
}

/// Prints a line on the console.
fn complain(what: &str) {
    let _ = fs::write("/dev/console", format!("kmodlab: {what}\n"));
}
