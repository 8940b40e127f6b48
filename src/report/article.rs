//! The article of a trial: prediction, result, log, and details.

use maud::{Markup, html};

use crate::lab::agreement::loader_lines;
use crate::lab::outcome;
use crate::lab::record::{
    Agreement, Crash, End, Observed, RecordedEdit, RecordedPatch, Trial, TrialRole, UnloadReport,
};
use crate::predict::{Decision, StepResult, errno_words, taint_letters, taints};
use crate::report::bytes::{self, HexRow};
use crate::report::control::{self, ProbePair};
use crate::report::grid::PlacedTrial;
use crate::report::log::{self, LogExcerpt};
use crate::report::text;
use crate::report::words;

/// The most lines of console output that are shown.
const CONSOLE_LINES: usize = 60;

/// The most lines of a call trace that are shown.
const TRACE_LINES: usize = 40;

/// The context of a trial.
pub(super) struct ArticleContext<'p, 'c> {
    /// The previous trial.
    pub(super) previous: Option<&'p PlacedTrial<'c>>,
    /// The next trial.
    pub(super) next: Option<&'p PlacedTrial<'c>>,
    /// Its control.
    pub(super) control: Option<&'c Trial>,
    /// The label of its kernel in the heat map.
    pub(super) kernel: &'p str,
}

/// The article of a trial.
pub(super) fn article(placed: &PlacedTrial<'_>, around: &ArticleContext<'_, '_>) -> Markup {
    let PlacedTrial { trial, anchor } = placed;
    let observed = &trial.observed;
    let class = words::class(trial.outcome);
    html! {
        article id=(anchor) class={ (class) @if is_printed(trial) { " p" } } {
            nav {
                @match around.previous {
                    Some(previous) => a href={ "#" (previous.anchor) } { "\u{2190} previous" },
                    None => span { "\u{2190} previous" },
                }
                @match around.next {
                    Some(next) => a href={ "#" (next.anchor) } { "next \u{2192}" },
                    None => span { "next \u{2192}" },
                }
                a.x href={ "#b" (anchor) } { "close \u{00d7}" }
            }
            h3 {
                (text::name(&trial.module.name))
                small {
                    @if trial.role == TrialRole::Control { "control, " }
                    (words::load_mode(trial.load_mode)) " \u{00b7} on " (around.kernel)
                }
            }
            p.o { b.s.(class) { (words::sign(trial.outcome)) } strong { (text::line(&outcome::words(trial))) "." } " " (trial.outcome.sentence()) }
            @if !trial.conditions.is_empty() {
                p { "Conditions: " (text::line(&conditions(trial))) "." }
            }
            (agreement(trial))
            (compared(trial))
            @if let Some(crash) = &observed.crash { (distress(crash)) }
            @if observed.is_cut { p { "The console ended in the middle of a report: what the kernel printed after it is lost." } }
            @if let Some(change) = &trial.change { (changed(change)) }
            (the_log(trial))
            @if !observed.warnings.is_empty() {
                h4 { "Warnings of the kernel" }
                ul { @for warning in &observed.warnings { li { code { (text::line(warning)) } } } }
            }
            (probe(trial, around.control))
            (marks(observed))
            (reasons(trial))
            (console(observed))
            (about(trial))
        }
    }
}

fn conditions(trial: &Trial) -> String {
    trial.conditions.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Is the article printed on paper?
pub(super) fn is_printed(trial: &Trial) -> bool {
    use crate::lab::record::TrialOutcome::{Crash, Hang};
    trial.agreement == Agreement::Disagree || matches!(trial.outcome, Crash | Hang)
}

fn agreement(trial: &Trial) -> Markup {
    // The prediction is about the loader's answer only; without that word, a later crash would seem predicted, too.
    let (class, words) = match trial.agreement {
        Agreement::Agree => ("a", "The loader answered as predicted"),
        Agreement::Unknown => ("u", "The answer cannot be compared with the prediction"),
        Agreement::Disagree => ("d", "\u{2260} The answer is not as predicted"),
    };
    html! {
        p.g.(class) {
            strong { (words) }
            @if !trial.disagreement.is_empty() { ": " (text::line(&trial.disagreement)) }
        }
    }
}

/// The prediction next to the result.
fn compared(trial: &Trial) -> Markup {
    let (prediction, observed) = (&trial.prediction, &trial.observed);
    let happened = match (observed.accepted, observed.errno) {
        (true, _) => "accepted by the loader",
        (false, Some(errno)) if errno != 0 => "refused by the loader",
        _ => "no answer",
    };
    let returned = match observed.errno {
        Some(errno) => words::errno(errno),
        None => "never returned".to_owned(),
    };
    // The lines that are compared: those of the module's own code and of others are left out.
    let first = loader_lines(observed).into_iter().next();
    let expected = match (prediction.errno, prediction.verdict) {
        (Some(errno), _) => words::errno(errno),
        (None, Decision::Accepted) => "0, unless its init fails".to_owned(),
        (None, _) => "unknown".to_owned(),
    };
    html! {
        table.t {
            thead { tr { td {} th scope="col" { "predicted" } th scope="col" { "happened" } } }
            tbody {
                tr { th scope="row" { "answer" } td { (words::answer(prediction.verdict)) } td { (happened) } }
                tr { th scope="row" { "finit_module" } td { (expected) } td { (returned) } }
                tr {
                    th scope="row" { "first line" }
                    td { (quoted(prediction.dmesg.first().map(String::as_str))) }
                    td { (quoted(first)) }
                }
                tr {
                    th scope="row" { "new taints" }
                    td { @match prediction.taint.as_deref() { Some("") => "none", Some(letters) => (text::line(letters)), None => "unknown" } }
                    td { (or_none(taint_letters(observed.taint_after & !observed.taint_before))) }
                }
                @if !prediction.needs.is_empty() || !observed.missing.is_empty() {
                    tr {
                        th scope="row" { "modules needed" }
                        td { (or_none(text::line(&prediction.needs.join(", ")))) }
                        td { (needs(observed)) }
                    }
                }
                @if let Some(stage) = &prediction.stage {
                    tr { th scope="row" { "refused at" } td { (text::line(stage)) } td {} }
                }
                tr { th scope="row" { "its init" } td {} td { (words::init(observed.init)) } }
                @if let Some(state) = &observed.state {
                    tr {
                        th scope="row" { "/sys/module" }
                        td {}
                        td { (text::line(&state.initstate)) ", its own taints: " (or_none(text::line(state.taint.trim()))) }
                    }
                }
                @if let Some(unload) = observed.unload {
                    tr { th scope="row" { "unloading" } td {} td { (unloaded(unload)) } }
                }
                tr { th scope="row" { "the guest" } td {} td { (text::line(&words::end(&observed.end))) } }
            }
        }
    }
}

/// The fate of the modules that are needed.
fn needs(observed: &Observed) -> String {
    if observed.missing.is_empty() {
        return if observed.end == End::NotRun { "not tried" } else { "all of them" }.to_owned();
    }
    let missing =
        observed.missing.iter().map(|(name, errno)| format!("{} with {}", text::name(name), errno_words(*errno)));
    format!("not all; refused: {}", missing.collect::<Vec<_>>().join(", "))
}

fn quoted(line: Option<&str>) -> Markup {
    match line {
        Some(line) => html! { code { (text::line(line)) } },
        None => html! { "none" },
    }
}

fn or_none(letters: String) -> String {
    if letters.is_empty() { "none".to_owned() } else { letters }
}

fn unloaded(unload: UnloadReport) -> String {
    let how = if unload.forced { "by force: " } else { "" };
    let answer = match unload.errno {
        Some(0) => "delete_module returned 0".to_owned(),
        Some(errno) => format!("delete_module returned {}", words::errno(errno)),
        None => "delete_module never returned".to_owned(),
    };
    let gone = if unload.gone { "it is gone" } else { "it is still there" };
    format!("{how}{answer}; {gone}")
}

fn distress(crash: &Crash) -> Markup {
    let left = crash.trace.len().saturating_sub(TRACE_LINES);
    html! {
        h4 { "Crash or hang: " (crash.kind.name()) ", in the phase " (crash.phase.name()) }
        pre.w { mark { (text::line(&crash.line)) } }
        @if let Some(place) = &crash.place { p { "It happened in " code { (text::line(place)) } "." } }
        @if !crash.trace.is_empty() {
            p { "Call trace, innermost function first:" }
            pre {
                @for line in crash.trace.iter().take(TRACE_LINES) { (text::line(line)) "\n" }
                @if left > 0 { i { "and " (text::count(left, "line")) " more" } }
            }
        }
    }
}

fn the_log(trial: &Trial) -> Markup {
    let parts = log::parts(trial);
    html! {
        h4 { "The kernel's log" }
        @if parts.is_empty() { p { "Nothing." } }
        @for part in &parts {
            @if part.is_before_the_load() {
                details {
                    summary { (part.phase.name()) ", " (text::count(part.all, "line")) }
                    (lines(part))
                }
            } @else {
                h5 { (part.phase.name()) }
                (lines(part))
            }
        }
    }
}

fn lines(part: &LogExcerpt<'_>) -> Markup {
    html! {
        pre {
            @if part.before > 0 { i { (text::count(part.before, "line")) " before these\n" } }
            @for (line, decides) in &part.lines {
                @if *decides { mark { (text::line(line)) } } @else { (text::line(line)) }
                "\n"
            }
            @if part.behind > 0 { i { (text::count(part.behind, "line")) " after these" } }
        }
    }
}

fn probe(trial: &Trial, control: Option<&Trial>) -> Markup {
    let seen = &trial.observed.probe;
    let beside = control.map(|control| control.observed.probe.as_slice()).unwrap_or_default();
    // A module that was not loaded was not probed, so no results are missing.
    if seen.is_empty() && (beside.is_empty() || !trial.observed.accepted) {
        return html! {};
    }
    html! {
        h4 { "Results of the probe" }
        table.t {
            thead {
                tr { th scope="col" { "check" } th scope="col" { "result" } @if control.is_some() { th scope="col" { "with the kernel's own" } } }
            }
            tbody {
                @for pair in control::pairs(seen, beside) { (pair_of_probes(pair, control.is_some())) }
            }
        }
    }
}

fn pair_of_probes(pair: ProbePair<'_>, has_control: bool) -> Markup {
    let differs = has_control && pair.how != pair.control;
    html! {
        tr.d[differs] {
            th scope="row" { (text::line(pair.what)) }
            td { @if differs { "\u{2260} " } (pair.how.map_or_else(|| "no result".to_owned(), text::line)) }
            @if has_control { td { (pair.control.map_or_else(|| "no result".to_owned(), text::line)) } }
        }
    }
}

/// The taints, one letter per line.
fn marks(observed: &Observed) -> Markup {
    if observed.taint_after == 0 {
        return html! {};
    }
    html! {
        h4 { "Taints at the end" }
        ul.m {
            @for (bit, known) in taints(observed.taint_after) {
                li {
                    @match known {
                        Some((letter, meaning)) => { b { (letter) } " " (meaning) },
                        None => { b { (bit) } " a bit of unknown meaning" },
                    }
                    @if observed.taint_before >> bit & 1 == 1 { " (set before)" }
                }
            }
        }
    }
}

/// The steps of the prediction: those that fail or are unknown with their reasons, the others by name.
fn reasons(trial: &Trial) -> Markup {
    let prediction = &trial.prediction;
    let with = |end: StepResult| prediction.findings.iter().filter(move |finding| finding.result == end);
    let names = |end: StepResult| with(end).map(|finding| finding.step.name()).collect::<Vec<_>>().join(", ");
    let telling = prediction.findings.iter().filter(|f| matches!(f.result, StepResult::Fail | StepResult::Unknown));
    let (passed, skipped) = (names(StepResult::Pass), names(StepResult::Skip));
    if prediction.findings.is_empty() && prediction.dangers.is_empty() && prediction.dmesg.len() < 2 {
        return html! {};
    }
    html! {
        h4 { "Reasons for the prediction" }
        ul {
            @for finding in telling {
                li {
                    b { (finding.step.name()) @if finding.result == StepResult::Unknown { ", unknown" } } ": " (text::line(&finding.sentence()))
                    @if let Some(source) = &finding.source { " " small { "(from " (text::line(source)) ")" } }
                }
            }
            @if !passed.is_empty() { li { "passes: " (passed) } }
            @if !skipped.is_empty() { li { "skipped: " (skipped) } }
            @for danger in &prediction.dangers { li { b { "unsafe" } ": " (text::line(danger)) } }
        }
        @if prediction.dmesg.len() > 1 {
            p { "The predicted log lines:" }
            pre { @for line in &prediction.dmesg { (text::line(line)) "\n" } }
        }
    }
}

fn changed(change: &RecordedPatch) -> Markup {
    let with = |result: &'static str| change.guards.iter().filter(move |guard| guard.result == result);
    let others = change.guards.iter().filter(|guard| guard.result != "pass");
    let passed = with("pass").map(|guard| text::name(&guard.guard)).collect::<Vec<_>>().join(", ");
    html! {
        h4 { "Changes by the patch" }
        @if let Some(why) = &change.impossible { p { "None, because the patch is impossible: " (text::line(why)) } }
        @for spot in &change.edits { (hex_view(spot)) }
        @if !change.guards.is_empty() {
            p { "Outside the lab, the guards would have answered:" }
            ul {
                @for guard in others {
                    li { b { (text::name(&guard.guard)) } " " (text::line(&guard.result)) ": " (text::line(&guard.why)) }
                }
                @if !passed.is_empty() { li { "pass: " (passed) } }
            }
        }
    }
}

fn hex_view(spot: &RecordedEdit) -> Markup {
    html! {
        pre.h {
            @for (side, rows, left) in bytes::sides(spot) {
                i { (side) "\n" }
                @for row in &rows { (hex_row(row)) }
                @if left > 0 { i { "and " (text::count(usize::try_from(left).unwrap_or(usize::MAX), "byte")) " more\n" } }
            }
        }
    }
}

fn hex_row(row: &HexRow) -> Markup {
    let runs = |runs: &[(String, bool)]| html! { @for (run, is_changed) in runs { @if *is_changed { b { (run) } } @else { (run) } } };
    html! {
        (format!("{:08x} ", row.offset)) (runs(&row.hex)) (" ".repeat(row.padding)) "  |" (runs(&row.text)) "|\n"
    }
}

fn console(observed: &Observed) -> Markup {
    if observed.console.is_empty() {
        return html! {};
    }
    let all = observed.console.lines().count();
    let left = all.saturating_sub(CONSOLE_LINES);
    html! {
        details {
            summary { "The end of the console output" }
            pre {
                @if left > 0 { i { (text::count(left, "line")) " before these\n" } }
                @for line in observed.console.lines().skip(left) { (text::line(line)) "\n" }
            }
        }
    }
}

/// The module and the kernel, as one text and not as a table: a page may have thousands of these.
fn about(trial: &Trial) -> Markup {
    let (module, kernel) = (&trial.module, &trial.kernel);
    let mut facts = String::new();
    let mut fact = |what: &str, text: String| facts.push_str(&format!("{what:<11} {text}\n"));
    fact("module", text::line(&module.path));
    module.origin.iter().for_each(|origin| fact("from", text::line(origin)));
    module.vermagic.iter().for_each(|vermagic| fact("vermagic", text::vermagic(vermagic)));
    fact("SHA-256", text::name(&module.sha256));
    trial.change.iter().for_each(|change| fact("patched", text::name(&change.sha256)));
    fact("kernel", text::line(&kernel.name));
    if kernel.release != kernel.name {
        fact("release", text::line(&kernel.release));
    }
    fact("vermagic", text::vermagic(&kernel.vermagic));
    fact(
        "loaded",
        format!("{}, flags {}, {:.2} s in the guest", trial.load_mode.name(), trial.load_mode.flags(), trial.seconds),
    );
    fact("id", text::name(&trial.id));
    html! {
        details {
            summary { "Module and kernel" }
            pre { (facts) }
        }
    }
}
