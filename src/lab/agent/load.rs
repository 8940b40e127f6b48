//! Runs one trial, phase by phase.

use std::ffi::CString;
use std::fs::{self, File};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::system::{delete_module, finit_module};

use crate::lab::agent::log::KernelLog;
use crate::lab::agent::port::ResultPort;
use crate::lab::agent::probe::{self, SystemSnapshot};
use crate::lab::agent::trace;
use crate::lab::agent::worker::{GuardedWorker, WorkEnd};
use crate::lab::record::{Init, ModuleState, Phase};
use crate::lab::wire::{AgentMessage, TrialOrder, UnloadMode};

/// The time limit of a phase. The longest known init function of a module measures for two seconds.
const LIMIT: Duration = Duration::from_secs(10);

/// The number of log lines per message.
const LOT: usize = 20;

/// Flags of delete_module(2): O_NONBLOCK and, for force, O_TRUNC.
const DELETE_PLAIN: i32 = rustix::fs::OFlags::NONBLOCK.bits() as i32;
const DELETE_FORCED: i32 = DELETE_PLAIN | rustix::fs::OFlags::TRUNC.bits() as i32;

/// Runs trials in a guest.
pub(super) struct TrialRunner {
    pub(super) port: ResultPort,
    pub(super) log: KernelLog,
    pub(super) worker: GuardedWorker,
    /// The state at the end of the guest's boot.
    pub(super) at_boot: Arc<SystemSnapshot>,
    /// The loaded modules and the taint at the end of the guest's boot.
    pub(super) kernel_at_boot: KernelState,
}

/// What a load changes in a kernel, unless it is refused early: /proc/modules, which has names, sizes, reference counts and
/// states (proc_modules(5)), and the taint.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KernelState {
    modules: Option<Vec<u8>>,
    taint: u64,
}

impl KernelState {
    pub(super) fn look() -> KernelState {
        KernelState { modules: fs::read("/proc/modules").ok(), taint: taint() }
    }

    /// Is the kernel still in this state?
    fn is_now(&self) -> bool {
        self.modules.is_some() && *self == KernelState::look()
    }
}

impl TrialRunner {
    /// Runs the ordered trial. An error is one of the port, after which the agent cannot continue.
    pub(super) fn trial(&mut self, order: &TrialOrder) -> Result<(), String> {
        self.log.read();
        self.port.say(&AgentMessage::Begin { trial: order.trial })?;
        self.phases(order)?;
        self.port.say(&AgentMessage::Done { taint: taint(), is_as_booted: self.kernel_at_boot.is_now() })
    }

    fn phases(&mut self, order: &TrialOrder) -> Result<(), String> {
        let Some(before) = self.prepare(order)? else { return Ok(()) };
        if !self.load(order)? {
            return Ok(());
        }
        let Some(exercise) = order.exercise.clone() else { return Ok(()) };
        let name = order.name.clone();
        match self.phase(Phase::Exercise, move || probe::look(&name, &exercise, &before))? {
            WorkEnd::With(probe) => self.port.say(&AgentMessage::Exercised { probe })?,
            WorkEnd::Killed => return Ok(()),
            WorkEnd::Not => return self.port.say(&AgentMessage::Stuck { phase: Phase::Exercise }),
        }
        self.unload(order)
    }

    /// Runs the work of a phase, and sends the lines that the kernel logs meanwhile.
    fn phase<T: Send + 'static>(
        &mut self,
        phase: Phase,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<WorkEnd<T>, String> {
        KernelLog::mark(phase);
        self.port.say(&AgentMessage::Phase { phase })?;
        let ended = self.worker.run(LIMIT, work, || self.port.say(&AgentMessage::Beat))?;
        for lines in self.log.read().chunks(LOT) {
            self.port.say(&AgentMessage::Log { phase, lines: lines.to_vec() })?;
        }
        Ok(ended)
    }

    /// Loads the modules that are needed, and takes a snapshot of the system without the module.
    fn prepare(&mut self, order: &TrialOrder) -> Result<Option<Arc<SystemSnapshot>>, String> {
        let (files, at_boot) = (order.before.clone(), Arc::clone(&self.at_boot));
        let work = move || {
            let load = |file: &String| finit(file, "", 0);
            let failed: Vec<(String, i32)> =
                files.iter().map(|file| (file.clone(), load(file))).filter(|(_, errno)| *errno != 0).collect();
            // The loaded modules may have created devices.
            (failed, if files.is_empty() { at_boot } else { Arc::new(SystemSnapshot::look()) })
        };
        match self.phase(Phase::Prepare, work)? {
            WorkEnd::With((failed, before)) => {
                self.port.say(&AgentMessage::Prepared { taint: taint(), failed })?;
                Ok(Some(before))
            }
            WorkEnd::Killed => Ok(None),
            WorkEnd::Not => self.port.say(&AgentMessage::Stuck { phase: Phase::Prepare }).map(|()| None),
        }
    }

    /// Loads the module. Returns whether it can be used.
    fn load(&mut self, order: &TrialOrder) -> Result<bool, String> {
        let (file, params, flags) = (order.file.clone(), order.params.clone(), order.flags);
        let ended = self.phase(Phase::Load, move || finit(&file, &params, flags))?;
        let (traced, init) = trace::read(&order.name);
        let errno = match ended {
            WorkEnd::With(errno) => Some(errno),
            WorkEnd::Killed | WorkEnd::Not => None,
        };
        // Without the trace events only a successful call shows that the kernel accepted the module.
        let accepted = traced || errno == Some(0);
        let init = if accepted && !traced { Init::Returned(0) } else { init };
        self.port.say(&AgentMessage::Loaded { errno, accepted, init, state: state(&order.name) })?;
        if ended == WorkEnd::Not {
            self.port.say(&AgentMessage::Stuck { phase: Phase::Load })?;
        }
        Ok(errno == Some(0))
    }

    fn unload(&mut self, order: &TrialOrder) -> Result<(), String> {
        let Some(force) = order.unload else { return Ok(()) };
        let flags = match force {
            UnloadMode::Plain => DELETE_PLAIN,
            UnloadMode::Forced => DELETE_FORCED,
        };
        let name = order.name.clone();
        let delete = move || CString::new(name).map_err(|_| Errno::INVAL).and_then(|name| delete_module(&name, flags));
        let ended = self.phase(Phase::Unload, move || errno(delete()))?;
        let errno = match ended {
            WorkEnd::With(errno) => Some(errno),
            WorkEnd::Killed | WorkEnd::Not => None,
        };
        self.port.say(&AgentMessage::Unloaded { errno, gone: state(&order.name).is_none() })?;
        if ended == WorkEnd::Not {
            self.port.say(&AgentMessage::Stuck { phase: Phase::Unload })?;
        }
        Ok(())
    }
}

/// Calls finit_module(2); returns its errno, or 0.
fn finit(file: &str, params: &str, flags: u32) -> i32 {
    let load = || {
        let file = File::open(format!("/{file}")).map_err(|_| Errno::NOENT)?;
        let params = CString::new(params).map_err(|_| Errno::INVAL)?;
        finit_module(file, &params, flags as i32)
    };
    errno(load())
}

fn errno(result: rustix::io::Result<()>) -> i32 {
    result.map_or_else(|e| e.raw_os_error(), |()| 0)
}

/// The kernel's taint bits.
fn taint() -> u64 {
    fs::read_to_string("/proc/sys/kernel/tainted").ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// The state of a loadable module in /sys/module; `None` if it is not there.
fn state(name: &str) -> Option<ModuleState> {
    let read = |file: &str| fs::read_to_string(format!("/sys/module/{name}/{file}")).map(|text| text.trim().to_owned());
    let initstate = read("initstate").ok()?;
    Some(ModuleState { initstate, taint: read("taint").unwrap_or_default() })
}
