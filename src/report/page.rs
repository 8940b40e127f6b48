//! The page: counts, trials that are not as predicted, legend, heat map, and articles.
//!
//! There is no script. A click on a box leads to an anchor, and the style sheet shows the article with that anchor
//! (`:target`). A browser without `:target` shows all articles, one after the other.

use std::collections::HashMap;

use maud::{DOCTYPE, Markup, html};

use crate::lab::outcome;
use crate::lab::record::{Agreement, Trial, TrialOutcome, TrialRole};
use crate::report::article::{ArticleContext, article};
use crate::report::control::Controls;
use crate::report::grid::{Grid, ModuleRow, PlacedTrial, columns, place};
use crate::report::head;
use crate::report::summary::TrialSummary;
use crate::report::text;
use crate::report::words;

/// The purpose of controls.
const CONTROLS: &str = "Each kernel\u{2019}s own modules on that kernel: what is odd here comes only from forcing or patching, \
                        and from no mismatch.";

/// The limits of the page.
const END: &str = "All of this was recorded in throwaway virtual machines. It is true of these modules on these kernels; that \
                   nothing was seen is no proof that nothing is there.";

/// The most trials not as predicted that are listed without folding.
const IN_VIEW: usize = 6;

pub(super) fn page(trials: &[&Trial]) -> String {
    let summary = TrialSummary::of_latest(trials);
    let labels: HashMap<&str, String> =
        columns(trials.iter().copied()).into_iter().map(|column| (column.name, column.label)).collect();
    let label = |kernel: &str| labels.get(kernel).cloned().unwrap_or_else(|| text::name(kernel));
    let (asked, controls): (Vec<_>, Vec<_>) =
        place(trials).into_iter().partition(|placed| placed.trial.role == TrialRole::Asked);
    let (asked, controls) = (Grid::of(&asked), Grid::of(&controls));
    let beside = Controls::of(trials);
    let all: Vec<&PlacedTrial<'_>> = asked.trials().chain(controls.trials()).collect();
    let wrong: Vec<&PlacedTrial<'_>> =
        all.iter().copied().filter(|placed| placed.trial.agreement == Agreement::Disagree).collect();
    let around = |number: usize, placed: &PlacedTrial<'_>| {
        let kernel = label(&placed.trial.kernel.name);
        let previous = number.checked_sub(1).and_then(|before| all.get(before)).copied();
        let control = beside.beside(placed.trial);
        article(placed, &ArticleContext { previous, next: all.get(number + 1).copied(), control, kernel: &kernel })
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            (head::head(&summary, ""))
            body {
                header { (head(&summary)) }
                main {
                    @if !wrong.is_empty() { (not_as_predicted(&wrong, &label)) }
                    @if summary.trials == 0 { p { "There are no trials: nothing was run yet." } }
                    div.both {
                        section id="legend" { (legend(&summary)) }
                        div.maps {
                            @if asked.trials().next().is_some() {
                                section id="map" {
                                    h2 { "Modules on kernels" }
                                    (map(&asked, "Modules on kernels", &label))
                                }
                            }
                            @if controls.trials().next().is_some() {
                                section id="controls" {
                                    h2 { "Controls" }
                                    p { (CONTROLS) }
                                    (map(&controls, "Controls", &label))
                                }
                            }
                        }
                    }
                    section id="trials" {
                        h2 { "Trials" }
                        @for (number, placed) in all.iter().enumerate() { (around(number, placed)) }
                    }
                }
                footer { p { "Made by kmodlab " (env!("CARGO_PKG_VERSION")) ". " (END) } }
            }
        }
    };
    page.into_string()
}

fn head(summary: &TrialSummary) -> Markup {
    let figure = |class: &str, amount: usize, what: &str| {
        html! { div.(class) { dd { (text::grouped(amount as u64)) } dt { (what) } } }
    };
    html! {
        p.k { "kmodlab" }
        h1 { "The kernels\u{2019} answers" }
        dl.n {
            (figure("all", summary.trials, if summary.trials == 1 { "trial" } else { "trials" }))
            (figure("agree", summary.agreement.agree, "as predicted"))
            (figure("unsure", summary.agreement.unknown, "can\u{2019}t be compared"))
            (figure(if summary.agreement.disagree > 0 { "wrong" } else { "none" }, summary.agreement.disagree, "not as predicted"))
        }
        @if summary.trials > 0 {
            div.bar role="img" aria-label=(bar_in_words(summary)) {
                @for outcome in TrialOutcome::ALL {
                    @let amount = summary.outcome(outcome);
                    @if amount > 0 {
                        span.(words::class(outcome)) style={ "flex-grow:" (amount) } title={ (outcome.name()) ": " (text::grouped(amount as u64)) } { (words::sign(outcome)) }
                    }
                }
            }
        }
    }
}

fn bar_in_words(summary: &TrialSummary) -> String {
    let present = TrialOutcome::ALL.into_iter().filter(|outcome| summary.outcome(*outcome) > 0);
    let words = present.map(|outcome| format!("{} {}", text::grouped(summary.outcome(outcome) as u64), outcome.name()));
    words.collect::<Vec<_>>().join(", ")
}

fn not_as_predicted(wrong: &[&PlacedTrial<'_>], label: &dyn Fn(&str) -> String) -> Markup {
    html! {
        section id="wrong" {
            h2 { "Not as predicted" }
            details open[wrong.len() <= IN_VIEW] {
                summary { (text::count(wrong.len(), "trial")) }
                ul {
                    @for PlacedTrial { trial, anchor } in wrong {
                        li {
                            a href={ "#" (anchor) } { (text::name(&trial.module.name)) " on " (label(&trial.kernel.name)) }
                            ", " (words::load_mode(trial.load_mode)) ": " b { (text::line(&outcome::words(trial))) } " \u{2013} " (text::line(&trial.disagreement))
                        }
                    }
                }
            }
        }
    }
}

/// One row per outcome. Selecting it dims all other boxes, with CSS only.
fn legend(summary: &TrialSummary) -> Markup {
    html! {
        h2 { "Legend" }
        p.q {
            span { span.b.d.refused { "R" sup { "\u{2260}" } } " not as predicted" }
            span { span.b.u.refused { "R" sup { "?" } } " can\u{2019}t be compared with a prediction" }
            span { span.b.refused { "R" } " as predicted" }
            label.f { input type="radio" name="f" id="f-all" checked; " all boxes in full colour" }
            label.f { input type="radio" name="f" id="f-wrong"; " only those not as predicted" }
        }
        ul {
            @for outcome in TrialOutcome::ALL { (legend_row(outcome, summary.outcome(outcome))) }
        }
    }
}

fn legend_row(outcome: TrialOutcome, amount: usize) -> Markup {
    let class = words::class(outcome);
    html! {
        li.z[amount == 0] {
            label {
                input type="radio" name="f" id={ "f-" (class) } disabled[amount == 0];
                b.s.(class) { (words::sign(outcome)) }
                span { strong { (outcome.name()) } i { ", " (text::count(amount, "trial")) ". " } (outcome.sentence()) }
            }
        }
    }
}

fn map(grid: &Grid<'_>, title: &str, label: &dyn Fn(&str) -> String) -> Markup {
    let width = 1 + grid.kernels.len() * grid.load_modes.len();
    html! {
        div.map tabindex="0" role="region" aria-label=(title) {
            table {
                thead {
                    tr {
                        th rowspan="2" scope="col" { "module" }
                        @for kernel in &grid.kernels {
                            th.k colspan=(grid.load_modes.len()) scope="colgroup" title=(text::name(kernel.name)) { span { (label(kernel.name)) } }
                        }
                    }
                    tr {
                        @for _ in &grid.kernels {
                            @for (number, load_mode) in grid.load_modes.iter().enumerate() {
                                th.w.k[number == 0] scope="col" { span { (load_mode.name()) } }
                            }
                        }
                    }
                }
                @for group in &grid.groups {
                    tbody {
                        tr.from {
                            th colspan=(width) scope="rowgroup" {
                                span { @match group.origin { Some(origin) => { "from " (label(origin)) }, None => "files" } }
                            }
                        }
                        @for row in &group.rows { (map_row(row, grid.load_modes.len())) }
                    }
                }
            }
        }
    }
}

fn map_row(row: &ModuleRow<'_>, load_modes: usize) -> Markup {
    html! {
        tr {
            th scope="row" title=(text::line(row.path)) {
                (text::name(row.name))
                @if row.is_ambiguous { small { (text::name(row.path)) } }
            }
            @for (number, trials) in row.boxes.iter().enumerate() {
                td.k[number.checked_rem(load_modes) == Some(0)] { @for placed in trials { (heat_box(placed)) } }
            }
        }
    }
}

fn heat_box(PlacedTrial { trial, anchor }: &PlacedTrial<'_>) -> Markup {
    let (class, mark) = match trial.agreement {
        Agreement::Agree => ("", ""),
        Agreement::Unknown => (" u", "?"),
        Agreement::Disagree => (" d", "\u{2260}"),
    };
    let said = format!("{}, {}", trial.outcome.name(), words::agreement(trial.agreement));
    html! {
        a class={ "b " (words::class(trial.outcome)) (class) } id={ "b" (anchor) } href={ "#" (anchor) } title=(said) aria-label=(said) {
            (words::sign(trial.outcome)) @if !mark.is_empty() { sup { (mark) } }
        }
    }
}
