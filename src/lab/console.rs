//! Reads the kernel's console output: did the kernel crash or hang, where, in which phase, and is the log complete?
//!
//! Pure. The input is everything from a guest's first serial port, from power-on to the end. It may be malformed:
//! firmware prints first, lines may be truncated, and bytes may be garbage. A line counts only if it begins with a
//! form of the kernel's own, after the prefixes that the kernel prints (level, time, caller; kernel/printk/printk.c);
//! so a driver's "Oops: no card" is not an oops. **A module can still lie**: it runs in the kernel and can print
//! anything, including this program's own markers. The result describes the console output, and proves nothing.
//!
//! Rules:
//!
//! - A *fault* (BUG, oops, panic) takes precedence over a *standstill* (hung task, RCU stall, lockup), whichever came
//!   first. Otherwise the first event counts: the oops after a BUG, and the panic after either, are consequences.
//! - A panic that a watchdog triggered is classified as the standstill that it detected.
//! - A problem that the kernel reports and survives is a warning: WARN, lockdep, KASAN, KFENCE, KCSAN, KMSAN, UBSAN,
//!   `refcount_t`, corrupted lists, SLUB's checks, sleeping or scheduling in atomic context. If the kernel does not
//!   survive it, a BUG, an oops or a panic follows, which is the crash.
//!
//! A guest that hangs silently looks clean here; the missing heartbeat shows that it hangs.
//!
//! The forms are from the kernel's sources, 2.6 to 7.2: arch/*/kernel/{traps,dumpstack,process,stacktrace}.c,
//! arch/*/mm/fault.c, lib/bug.c, kernel/{panic,watchdog,hung_task}.c, kernel/rcu/tree_stall.h, mm/slub.c. Traces of
//! 32-bit ARM have a different form and are not read.

mod line;

pub use line::LONGEST_LINE;

use crate::lab::record::{Crash, CrashKind, Phase};
use crate::lab::wire::PHASE_MARK;
use line::{ConsoleEvent, ReportEnd, TraceLine, bare, call, event, function, is_trace_begin, place};

/// The most functions of a call trace that are kept.
pub const MOST_CALLS: usize = 32;

/// The most warnings that are kept. Repeated warnings are kept once.
pub const MOST_WARNINGS: usize = 64;

/// The information found in console output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsoleReading {
    /// The crash or standstill, if there was one.
    pub crash: Option<Crash>,
    /// The warnings, the first line of each.
    pub warnings: Vec<String>,
    /// Does the output end in the middle of a line or of a report? Kernels before about 5.17 do not mark the end of a trace, so
    /// a trace at the very end is treated as truncated.
    pub is_cut: bool,
}

/// Reads console output.
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

/// Is it a standstill, as opposed to a fault?
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
    /// Do its location and trace belong to the crash? Otherwise they belong to a warning, or to a consequence of the
    /// crash.
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

    /// Is the report complete if no more lines follow?
    fn is_whole(&self) -> bool {
        match self.ends {
            ReportEnd::AtMark => false,
            ReportEnd::WithTrace => self.trace == TraceProgress::Behind,
            ReportEnd::Anywhere => self.trace != TraceProgress::Within,
        }
    }
}

impl ConsoleReader {
    /// Reads one line. `is_whole` is true if the end of the line was seen.
    fn line(&mut self, line: &str, is_whole: bool) {
        if let Some(name) = line.strip_prefix(PHASE_MARK) {
            let phase = Phase::ALL.into_iter().find(|phase| phase.name() == name);
            self.phase = phase.filter(|_| is_whole).unwrap_or(self.phase);
            // The guest is alive, so a report without an end mark is over.
            self.report = self.report.take().filter(|report| !is_whole || report.ends == ReportEnd::AtMark);
            return;
        }
        match event(line, is_whole) {
            Some(ConsoleEvent::Crash(kind)) => self.crash(kind, line),
            Some(ConsoleEvent::Died) => self.died(line),
            Some(ConsoleEvent::Panic(kind)) => self.panic(kind, line),
            Some(ConsoleEvent::Warning(ends)) => {
                self.warn(line);
                // Corrupted lists and counters are reported in the middle of a WARN or a BUG that has already begun.
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

    /// Is this crash more severe than all earlier ones?
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

    /// Handles the line with the number of the oops. After a BUG or the line of a fault it belongs to that report.
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
        // After a fault, panic() prints no trace, so none is missing.
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

    /// Handles a line that begins no report; it may belong to the current one.
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
                    // The processor hangs where the watchdog interrupted it.
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
            // Only the report of a fault has a location, and that has exactly one.
            self.set_place(place.to_owned());
        }
    }
}

#[cfg(test)]
mod tests;
