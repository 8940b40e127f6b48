//! One cell, phase by phase.

use std::ffi::CString;
use std::fs::{self, File};
use std::time::Duration;

use rustix::system::{delete_module, finit_module};

use crate::lab::agent::guarded::{self, Ended};
use crate::lab::agent::log::Log;
use crate::lab::agent::port::Port;
use crate::lab::agent::trace;
use crate::lab::agent::witness::{self, Before};
use crate::lab::record::{Init, Phase, State};
use crate::lab::wire::{Force, Order, Said};

/// How long a phase may take. The longest init function of a module that is known here measures for two seconds.
const LIMIT: Duration = Duration::from_secs(10);

/// How many lines of the log go into one record.
const LOT: usize = 20;

/// delete_module(2) knows O_NONBLOCK and, for force, O_TRUNC.
const DELETE_PLAIN: i32 = rustix::fs::OFlags::NONBLOCK.bits() as i32;
const DELETE_FORCED: i32 = DELETE_PLAIN | rustix::fs::OFlags::TRUNC.bits() as i32;

/// Does what the order says. An error is one of the port, and the end of everything.
pub(super) fn cell(order: &Order, port: &mut Port, log: &mut Log) -> Result<(), String> {
    log.read();
    port.say(&Said::Begin { cell: order.cell })?;
    phases(order, port, log)?;
    port.say(&Said::Done { taint: taint() })
}

fn phases(order: &Order, port: &mut Port, log: &mut Log) -> Result<(), String> {
    let Some(before) = prepare(order, port, log)? else { return Ok(()) };
    if !load(order, port, log)? {
        return Ok(());
    }
    let Some(exercise) = order.exercise.clone() else { return Ok(()) };
    begin(Phase::Exercise, port)?;
    let name = order.name.clone();
    let ended = guarded::run(LIMIT, move || witness::look(&name, &exercise, &before), || port.say(&Said::Beat))?;
    tell(Phase::Exercise, port, log)?;
    match ended {
        Ended::With(witness) => port.say(&Said::Exercised { witness })?,
        Ended::Killed => return Ok(()),
        Ended::Not => return port.say(&Said::Stuck { phase: Phase::Exercise }),
    }
    unload(order, port, log)
}

/// Loads what the module needs, and looks at what there is without it.
fn prepare(order: &Order, port: &mut Port, log: &mut Log) -> Result<Option<Before>, String> {
    begin(Phase::Prepare, port)?;
    let (files, wants_witness) = (order.before.clone(), order.exercise.is_some());
    let work = move || {
        let load = |file: &String| finit(file, "", 0);
        let failed: Vec<(String, i32)> =
            files.iter().map(|file| (file.clone(), load(file))).filter(|(_, errno)| *errno != 0).collect();
        (failed, if wants_witness { Before::look() } else { Before::default() })
    };
    let ended = guarded::run(LIMIT, work, || port.say(&Said::Beat))?;
    tell(Phase::Prepare, port, log)?;
    match ended {
        Ended::With((failed, before)) => {
            port.say(&Said::Prepared { taint: taint(), failed })?;
            Ok(Some(before))
        }
        Ended::Killed => Ok(None),
        Ended::Not => port.say(&Said::Stuck { phase: Phase::Prepare }).map(|()| None),
    }
}

/// Loads the module. Is it there to be used?
fn load(order: &Order, port: &mut Port, log: &mut Log) -> Result<bool, String> {
    begin(Phase::Load, port)?;
    trace::clear();
    let (file, params, flags) = (order.file.clone(), order.params.clone(), order.flags);
    let ended = guarded::run(LIMIT, move || finit(&file, &params, flags), || port.say(&Said::Beat))?;
    let (traced, init) = trace::read(&order.name);
    let errno = match ended {
        Ended::With(errno) => Some(errno),
        Ended::Killed | Ended::Not => None,
    };
    let state = state(&order.name);
    // A kernel without the trace events tells less: that it took a module shows by success alone.
    let accepted = traced || errno == Some(0);
    let init = if accepted && !traced { Init::Returned(0) } else { init };
    tell(Phase::Load, port, log)?;
    port.say(&Said::Loaded { errno, accepted, init, state })?;
    if ended == Ended::Not {
        port.say(&Said::Stuck { phase: Phase::Load })?;
    }
    Ok(errno == Some(0))
}

fn unload(order: &Order, port: &mut Port, log: &mut Log) -> Result<(), String> {
    let Some(force) = order.unload else { return Ok(()) };
    begin(Phase::Unload, port)?;
    let flags = match force {
        Force::No => DELETE_PLAIN,
        Force::Yes => DELETE_FORCED,
    };
    let name = order.name.clone();
    let work =
        move || errno(CString::new(name).map_err(|_| rustix::io::Errno::INVAL).and_then(|n| delete_module(&n, flags)));
    let ended = guarded::run(LIMIT, work, || port.say(&Said::Beat))?;
    tell(Phase::Unload, port, log)?;
    let errno = match ended {
        Ended::With(errno) => Some(errno),
        Ended::Killed | Ended::Not => None,
    };
    port.say(&Said::Unloaded { errno, gone: state(&order.name).is_none() })?;
    if ended == Ended::Not {
        port.say(&Said::Stuck { phase: Phase::Unload })?;
    }
    Ok(())
}

fn begin(phase: Phase, port: &mut Port) -> Result<(), String> {
    Log::mark(phase);
    port.say(&Said::Phase { phase })
}

/// Tells the lines that the kernel logged in the phase.
fn tell(phase: Phase, port: &mut Port, log: &mut Log) -> Result<(), String> {
    for lines in log.read().chunks(LOT) {
        port.say(&Said::Log { phase, lines: lines.to_vec() })?;
    }
    Ok(())
}

/// finit_module(2); its errno, or 0.
fn finit(file: &str, params: &str, flags: u32) -> i32 {
    let load = || {
        let file = File::open(format!("/{file}")).map_err(|_| rustix::io::Errno::NOENT)?;
        let params = CString::new(params).map_err(|_| rustix::io::Errno::INVAL)?;
        finit_module(file, &params, flags as i32)
    };
    errno(load())
}

fn errno(result: rustix::io::Result<()>) -> i32 {
    result.map_or_else(|e| e.raw_os_error(), |()| 0)
}

/// The kernel's taint, as a number.
fn taint() -> u64 {
    fs::read_to_string("/proc/sys/kernel/tainted").ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// What /sys/module says of a module that can be loaded; `None` if it is not there.
fn state(name: &str) -> Option<State> {
    let read = |file: &str| fs::read_to_string(format!("/sys/module/{name}/{file}")).map(|text| text.trim().to_owned());
    let initstate = read("initstate").ok()?;
    Some(State { initstate, taint: read("taint").unwrap_or_default() })
}
