//! What a kernel says about itself on its console: did it crash, where, in which phase, and is the log whole?
//!
//! Pure. The log is that of a guest's first serial port from power-on to its end. Nothing in it is trusted to be well
//! formed: firmware speaks first, lines may be cut, and bytes may be garbage. A line counts only if a kernel's own form
//! stands at its beginning, behind what the kernel puts before each line (level, time, caller, kernel/printk/printk.c);
//! so a driver's "Oops: no card" is no oops. **A module can lie all the same**: it runs in the kernel and prints what it
//! likes, this program's own marks too. What is read here is what the console said, and no proof.
//!
//! What counts as what:
//!
//! - A *fault* (BUG, oops, panic) beats a *standstill* (hung task, RCU stall, lockup), whichever came first. Otherwise the
//!   first event stays: the oops behind a BUG, and the panic behind either, are consequences.
//! - A panic that a watchdog called for is the standstill that it saw.
//! - What the kernel reports and survives is a warning: WARN, lockdep, KASAN, KFENCE, KCSAN, KMSAN, UBSAN, `refcount_t`,
//!   broken lists, SLUB's checks, sleeping or scheduling where that is forbidden. Where it gives up over one, a BUG, an
//!   oops or a panic follows, and that is the crash.
//!
//! A guest that stands still and says nothing looks clean here. That it stands still, the missing heartbeat tells.
//!
//! The forms are those of the kernel's sources from 2.6 to 7.2: arch/*/kernel/{traps,dumpstack,process,stacktrace}.c,
//! arch/*/mm/fault.c, lib/bug.c, kernel/{panic,watchdog,hung_task}.c, kernel/rcu/tree_stall.h, mm/slub.c. Traces of
//! 32-bit ARM have a form of their own and are not read.

mod line;

pub use line::LONGEST_LINE;

use crate::lab::record::{Crash, CrashKind, Phase};
use crate::lab::wire::PHASE_MARK;
use line::{ConsoleEvent, ReportEnd, TraceLine, bare, call, event, function, is_trace_begin, place};

/// The most functions of a trace that are kept.
pub const MOST_CALLS: usize = 32;

/// The most warnings that are kept; one that was said before is not kept again.
pub const MOST_WARNINGS: usize = 64;

/// What a console said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsoleReading {
    /// The crash or standstill, if there was one.
    pub crash: Option<Crash>,
    /// What else the kernel found wrong, each by its first line.
    pub warnings: Vec<String>,
    /// Does the log end in the middle of a line, or of a report? A kernel before 5.17 or so does not mark where a trace
    /// ends, so that one at the log's very end counts as cut.
    pub is_cut: bool,
}

/// Reads a guest's console.
pub fn read(console: &str) -> ConsoleReading {
    let mut reader = ConsoleReader::default();
    let (whole, rest) = console.split_at(console.rfind('\n').map_or(0, |at| at + 1));
    for line in whole.lines() {
        reader.line(bare(line), true);
    }
    if !rest.is_empty() {
        reader.line(bare(rest), false);
    }
    let is_cut = !rest.is_empty() || reader.report.is_some_and(|report| !report.is_whole());
    ConsoleReading { crash: reader.crash, warnings: reader.warnings, is_cut }
}

/// Is it a standstill, rather than a fault?
fn is_standstill(kind: CrashKind) -> bool {
    kind < CrashKind::Bug
}

struct ConsoleReader {
    phase: Phase,
    crash: Option<Crash>,
    warnings: Vec<String>,
    report: Option<CrashReport>,
}

impl Default for ConsoleReader {
    fn default() -> Self {
        ConsoleReader { phase: Phase::Boot, crash: None, warnings: Vec::new(), report: None }
    }
}

/// The report that is being read.
struct CrashReport {
    /// Do its place and trace belong to the crash? Else they are a warning's, or those of what came after the crash.
    is_crash: bool,
    ends: ReportEnd,
    has_place: bool,
    trace: TraceProgress,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TraceProgress {
    Before,
    Within,
    Behind,
}

impl CrashReport {
    fn new(is_crash: bool, ends: ReportEnd) -> CrashReport {
        CrashReport { is_crash, ends, has_place: false, trace: TraceProgress::Before }
    }

    /// Nothing more has to come, if nothing more comes.
    fn is_whole(&self) -> bool {
        match self.ends {
            ReportEnd::AtMark => false,
            ReportEnd::WithTrace => self.trace == TraceProgress::Behind,
            ReportEnd::Anywhere => self.trace != TraceProgress::Within,
        }
    }
}

impl ConsoleReader {
    /// One line. `is_whole` if its end was seen.
    fn line(&mut self, line: &str, is_whole: bool) {
        if let Some(name) = line.strip_prefix(PHASE_MARK) {
            let phase = Phase::ALL.into_iter().find(|phase| phase.name() == name);
            self.phase = phase.filter(|_| is_whole).unwrap_or(self.phase);
            // The guest is alive: what has no end mark is over.
            self.report = self.report.take().filter(|report| !is_whole || report.ends == ReportEnd::AtMark);
            return;
        }
        match event(line, is_whole) {
            Some(ConsoleEvent::Crash(kind)) => self.crash(kind, line),
            Some(ConsoleEvent::Died) => self.died(line),
            Some(ConsoleEvent::Panic(kind)) => self.panic(kind, line),
            Some(ConsoleEvent::Warning(ends)) => {
                self.warn(line);
                // Broken lists and counters are told in the midst of a WARN or a BUG that has begun already.
                match &self.report {
                    Some(report) if report.ends == ReportEnd::AtMark && report.trace == TraceProgress::Before => {}
                    _ => self.report = Some(CrashReport::new(false, ends)),
                }
            }
            Some(ConsoleEvent::Begin) => self.report = Some(CrashReport::new(false, ReportEnd::AtMark)),
            Some(ConsoleEvent::End) => self.report = None,
            None => self.detail(line),
        }
    }

    /// Is what is said now worse than all before?
    fn is_decisive(&self, kind: CrashKind) -> bool {
        self.crash.as_ref().is_none_or(|before| is_standstill(before.kind) && !is_standstill(kind))
    }

    fn crash(&mut self, kind: CrashKind, line: &str) {
        let is_crash = self.is_decisive(kind);
        if is_crash {
            let line = line.trim_end().to_owned();
            self.crash = Some(Crash { kind, line, phase: self.phase, place: None, trace: Vec::new() });
        }
        let ends = if is_standstill(kind) { ReportEnd::WithTrace } else { ReportEnd::AtMark };
        self.report = Some(CrashReport::new(is_crash, ends));
    }

    /// The line with the number of the oops: behind a BUG or a fault's own line it belongs to that report.
    fn died(&mut self, line: &str) {
        let goes_on = |report: &CrashReport| {
            report.is_crash
                && report.ends == ReportEnd::AtMark
                && !report.has_place
                && report.trace == TraceProgress::Before
        };
        if !self.report.as_ref().is_some_and(goes_on) {
            self.crash(CrashKind::Oops, line);
        }
    }

    fn panic(&mut self, kind: CrashKind, line: &str) {
        // After a fault there is no trace to come (panic() has none if something died), so nothing is missing.
        let after_fault = self.crash.as_ref().is_some_and(|before| !is_standstill(before.kind));
        self.crash(kind, line);
        if let Some(report) = &mut self.report {
            report.ends = if after_fault { ReportEnd::Anywhere } else { ReportEnd::WithTrace };
        }
        let place = line.split_once("stack is corrupted in: ").and_then(|(_, place)| function(place));
        if let (Some(report), Some(place)) = (&self.report, place)
            && report.is_crash
        {
            self.set_place(place.to_owned());
        }
    }

    fn warn(&mut self, line: &str) {
        let line = line.trim_end();
        if self.warnings.len() < MOST_WARNINGS && !self.warnings.iter().any(|known| known == line) {
            self.warnings.push(line.to_owned());
        }
    }

    fn set_place(&mut self, place: String) {
        if let (Some(report), Some(crash)) = (&mut self.report, &mut self.crash)
            && report.is_crash
            && !report.has_place
        {
            report.has_place = true;
            crash.place = Some(place);
        }
    }

    /// A line that begins nothing: it may belong to the report that is being read.
    fn detail(&mut self, line: &str) {
        let Some(report) = &mut self.report else { return };
        if report.trace == TraceProgress::Within {
            match call(line) {
                TraceLine::Sure(function) => {
                    if let Some(crash) = self.crash.as_mut().filter(|_| report.is_crash)
                        && crash.trace.len() < MOST_CALLS
                    {
                        crash.trace.push(function.to_owned());
                    }
                }
                TraceLine::Unsure => {}
                TraceLine::Between => {
                    // Where the watchdog's interrupt came is where the processor hangs.
                    let is_hanging = self.crash.as_ref().is_some_and(|crash| is_standstill(crash.kind));
                    if let Some(place) = place(line).filter(|_| is_hanging) {
                        self.set_place(place.to_owned());
                    }
                }
                TraceLine::Last | TraceLine::None => report.trace = TraceProgress::Behind,
            }
            return;
        }
        if report.trace == TraceProgress::Before && is_trace_begin(line) {
            report.trace = TraceProgress::Within;
        } else if let Some(place) = place(line) {
            // What has a place has died, and says so first; a report does not have two.
            self.set_place(place.to_owned());
        }
    }
}

#[cfg(test)]
mod tests;
