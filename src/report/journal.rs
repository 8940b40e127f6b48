//! The page of a journal: figures, the state of the modules now, each day's operations, and the chain of hashes. Without a script.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{DOCTYPE, Markup, html};

use crate::report::head;
use crate::report::text;
use crate::text::path;
use crate::vault::audit::Audit;
use crate::vault::record::{FileChange, JournalEntry, Operation, PartFate, RunRecord, WriteMethod};
use crate::vault::standing::{BackupState, FileState, Standing};

/// The style of this page, after the style of all pages.
const JOURNAL_STYLE: &str = include_str!("journal.css");

/// The limits of the page.
const END: &str = "The page shows what the journal records. The user names of sudo are those that sudo passed on; whoever can \
                   write the state folder can replace the whole journal, which only a head hash that is kept elsewhere shows.";

/// The states in the order in which they deserve attention.
const STATES: [FileState; 6] = [
    FileState::Changed,
    FileState::Missing,
    FileState::Marked,
    FileState::Patched,
    FileState::Unknown,
    FileState::Original,
];

/// A journal page: the operations, and which part of the journal they are.
pub(crate) struct JournalPage<'p> {
    /// The operations, the files and the chain.
    pub(crate) audit: &'p Audit,
    /// What the operations are about; `None` for all.
    pub(crate) about: Option<String>,
    /// The first time, in UTC, as the journal writes it.
    pub(crate) since: Option<String>,
    /// The last time, likewise.
    pub(crate) until: Option<String>,
    /// The time zone of the page.
    pub(crate) zone: TimeZone,
}

impl JournalPage<'_> {
    /// The page.
    pub(crate) fn html(&self) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                (head::head("journal", JOURNAL_STYLE))
                body.journal {
                    header { (self.head()) }
                    main {
                        (self.files())
                        @if self.audit.entries.is_empty() { p { "No operation in this part of the journal." } }
                        @if self.audit.is_cut { p.cut { "Older operations are left out; choose a shorter period." } }
                        @for (day, entries) in self.days() {
                            section.day {
                                h2 { (day) }
                                ol { @for entry in entries { (self.operation(entry)) } }
                            }
                        }
                        (self.chain())
                    }
                    footer { p { "Made by kmodlab " (env!("CARGO_PKG_VERSION")) ". " (END) } }
                }
            }
        };
        page.into_string()
    }

    fn head(&self) -> Markup {
        let entries = &self.audit.entries;
        let people: BTreeSet<String> = entries.iter().filter_map(|entry| Some(entry.run.as_ref()?.who())).collect();
        let overridden = entries.iter().filter(|entry| entry.change.as_ref().is_some_and(|c| !c.overrides.is_empty()));
        let figure = |class: &str, amount: usize, one: &str, several: &str| {
            html! { div.(class) { dd { (text::grouped(amount as u64)) } dt { (if amount == 1 { one } else { several }) } } }
        };
        html! {
            p.k { "kmodlab" }
            h1 { "Changes to kernel modules" }
            p.period {
                (self.period())
                @if let Some(about) = &self.about { " \u{b7} " code { (text::line(about)) } }
            }
            dl.n {
                (figure("all", entries.len(), "operation", "operations"))
                (figure("all", self.audit.files.len(), "file", "files"))
                (figure("all", people.len(), "person", "people"))
                (figure("all", overridden.count(), "with overrides", "with overrides"))
                (figure("all", self.count(FileState::Patched), "patched now", "patched now"))
            }
        }
    }

    fn period(&self) -> String {
        let first = self.since.as_deref().or_else(|| self.audit.entries.first().map(|entry| entry.time.as_str()));
        let last = self.until.as_deref().or_else(|| self.audit.entries.last().map(|entry| entry.time.as_str()));
        match (first, last) {
            (Some(first), Some(last)) if self.day(first) == self.day(last) => self.day(first),
            (Some(first), Some(last)) => format!("{} to {}", self.day(first), self.day(last)),
            (Some(first), None) => format!("from {}", self.day(first)),
            (None, Some(last)) => format!("up to {}", self.day(last)),
            (None, None) => "the whole journal".to_owned(),
        }
    }

    fn count(&self, state: FileState) -> usize {
        self.audit.files.values().flatten().filter(|standing| standing.state == state).count()
    }

    /// The files now: a bar, and a table with the last operation of each.
    fn files(&self) -> Markup {
        let present: Vec<FileState> = STATES.into_iter().filter(|state| self.count(*state) > 0).collect();
        let words: Vec<String> = present
            .iter()
            .map(|state| format!("{} {}", text::grouped(self.count(*state) as u64), state_word(*state)))
            .collect();
        let mut last: BTreeMap<&std::path::Path, u64> = BTreeMap::new();
        for entry in &self.audit.entries {
            last.extend(entry.change.iter().map(|change| (change.path.as_path(), entry.seq)));
        }
        let mut files: Vec<_> = self.audit.files.iter().collect();
        files.sort_by_key(|(_, standing)| {
            standing.as_ref().map(|it| STATES.iter().position(|state| *state == it.state))
        });
        html! {
            @if !files.is_empty() {
                section id="now" {
                    h2 { "The files now" }
                    div.bar role="img" aria-label=(words.join(", ")) {
                        @for (state, words) in present.iter().zip(&words) {
                            span.(state_class(*state)) style={ "flex-grow:" (self.count(*state)) } title=(words) { (words) }
                        }
                    }
                    table.t.now {
                        thead { tr { th { "file" } th { "now" } th { "backup of the original" } th { "last" } } }
                        tbody {
                            @for (file, standing) in files {
                                tr {
                                    td { (file_name(&path(file))) }
                                    td { (state_badge(standing.as_ref(), "")) }
                                    td { (standing.as_ref().map_or("", |it| backup_words(it.backup))) }
                                    td { @if let Some(line) = last.get(file.as_path()) { a href={ "#l" (line) } { "line\u{a0}" (line) } } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// The operations by day, the newest first.
    fn days(&self) -> Vec<(String, Vec<&JournalEntry>)> {
        let mut days: Vec<(String, Vec<&JournalEntry>)> = Vec::new();
        for entry in self.audit.entries.iter().rev() {
            let day = self.day(&entry.time);
            match days.last_mut().filter(|(last, _)| *last == day) {
                Some((_, entries)) => entries.push(entry),
                None => days.push((day, vec![entry])),
            }
        }
        days
    }

    fn operation(&self, entry: &JournalEntry) -> Markup {
        let change = entry.change.as_ref();
        let standing = change.and_then(|change| self.audit.files.get(&change.path)).and_then(Option::as_ref);
        let run = entry.run.as_deref();
        html! {
            li.op.(operation_class(entry.operation)) id={ "l" (entry.seq) } {
                div.when { time { (self.clock(&entry.time)) } a href={ "#l" (entry.seq) } { "line " (entry.seq) } }
                div.what {
                    p.title {
                        span.badge { (entry.operation.name()) }
                        @if let Some(change) = change { strong { (text::name(&change.module)) } (state_badge(standing, " now")) }
                        @else { strong { (text::line(entry.note.as_deref().unwrap_or_default())) } }
                    }
                    @if let Some(change) = change { p.path { (file_name(&path(&change.path))) } }
                    @if let Some(message) = run.and_then(|run| run.message.as_ref()) { blockquote { (text::line(message)) } }
                    dl {
                        @if let Some(run) = run { dt { "by" } dd { (person(run)) } }
                        @if let Some(run) = &entry.recovered_by { dt { "recovered by" } dd { (person(run)) } }
                        @if let Some(change) = change { (details(change)) }
                        @if let Some(note) = entry.note.as_ref().filter(|_| change.is_some()) { dt { "remark" } dd { (text::line(note)) } }
                    }
                    @if let Some(change) = change { (hashes(change, entry)) }
                }
            }
        }
    }

    fn chain(&self) -> Markup {
        let chain = &self.audit.chain;
        html! {
            section id="chain" {
                h2 { "The chain of hashes" }
                p {
                    (text::count(usize::try_from(chain.lines).unwrap_or(usize::MAX), "line"))
                    @if chain.damage.is_empty() { ", each with the hash of the one before" } @else { "; the journal is damaged" }
                    @if let Some(head) = chain.head {
                        ". The last line has the hash " code { (head) } ". If it is kept elsewhere, "
                        code { "kmodlab log --verify " (head) } " shows later that this line and all before it are unchanged."
                    } @else { "." }
                }
                @if !(chain.damage.is_empty() && chain.repaired.is_empty()) {
                    ul {
                        @for damage in &chain.damage {
                            li { (damage) @if damage.is_lossless { "; the journal's copy has it, or nothing is lost" } }
                        }
                        @for damage in &chain.repaired {
                            li { (damage) "; a repair recorded that" }
                        }
                    }
                }
            }
        }
    }

    /// A day in local time. What is no time is shown as it is.
    fn day(&self, time: &str) -> String {
        self.local(time, "%A, %-d %B %Y")
    }

    fn clock(&self, time: &str) -> String {
        self.local(time, "%H:%M:%S %:z")
    }

    fn local(&self, time: &str, form: &str) -> String {
        match time.parse::<Timestamp>() {
            Ok(moment) => moment.to_zoned(self.zone.clone()).strftime(form).to_string(),
            Err(_) => text::line(time),
        }
    }
}

/// A path: the folder less important than the name.
fn file_name(path: &str) -> Markup {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    html! { code.file title=(path) { span { (folder) "/" } wbr; (name) } }
}

/// Who ran the program, where, and how.
fn person(run: &RunRecord) -> Markup {
    let command = run.command.join(" ");
    html! {
        (text::line(&run.who()))
        @if let Some(host) = &run.host { " on " (text::name(host)) }
        @if !command.is_empty() {
            details { summary { "command" } code { (text::line(&command)) @if run.omitted > 0 { " \u{2026} " (text::count(run.omitted, "argument")) } } }
        }
    }
}

fn details(change: &FileChange) -> Markup {
    let patch = change.patch.as_ref();
    let chip = |what: &str, fate: PartFate| {
        let class = if fate == PartFate::Kept { "chip" } else { "chip odd" };
        html! { span class=(class) { (what) " " (fate.name()) } " " }
    };
    html! {
        @if let Some(kernel) = patch.and_then(|patch| patch.kernel.as_ref()) {
            dt { "for" }
            dd {
                (text::line(&kernel.text()))
                @for source in &kernel.sources { div.source { code { (path(&source.path)) } " " code { (source.sha256) } } }
            }
        }
        @if let Some(patch) = patch.filter(|patch| patch.parts().next().is_some()) {
            dt { "parts" }
            dd {
                @if let Some(fate) = patch.signature { (chip("signature", fate)) }
                @if let Some(fate) = patch.crcs { (chip("CRCs", fate)) }
                @if let Some(fate) = patch.btf { (chip("BTF", fate)) }
            }
        }
        @if !change.overrides.is_empty() {
            dt { "overrides" }
            dd { @for guard in &change.overrides { span.chip.bad { (text::name(guard)) } " " } }
        }
        @if let (Some(before), Some(after)) = (&change.vermagic_before, &change.vermagic_after) {
            @if before != after {
                dt { "vermagic" }
                dd.magic {
                    del { (text::vermagic(before)) }
                    ins { (if after.is_empty() { "blank".to_owned() } else { text::vermagic(after) }) }
                }
            }
        }
    }
}

fn hashes(change: &FileChange, entry: &JournalEntry) -> Markup {
    let how = match change.how {
        WriteMethod::InPlace => format!("in place, {}", text::count(change.edits.len(), "edit")),
        WriteMethod::Replace => "a new file replaced it".to_owned(),
        WriteMethod::Create => "into a new file".to_owned(),
    };
    html! {
        details.hashes {
            summary { "hashes" }
            dl {
                dt { "before" } dd { code { (change.before) } ", " (text::grouped(change.size_before)) " bytes" }
                dt { "after" } dd { code { (change.after) } ", " (text::grouped(change.size_after)) " bytes" }
                @if let Some(plan) = change.plan { dt { "plan" } dd { code { (plan) } } }
                dt { "written" } dd { (how) @if entry.recovered { ", settled by recovery" } }
                dt { "by" } dd { (text::name(&entry.tool)) }
            }
        }
    }
}

fn state_badge(standing: Option<&Standing>, now: &str) -> Markup {
    match standing {
        Some(standing) => {
            html! { span.badge.now.(state_class(standing.state)) { (state_words(standing.state)) (now) } }
        }
        None => html! {},
    }
}

/// A state in one word, for the bar.
fn state_word(state: FileState) -> &'static str {
    state_words(state).split(' ').next().unwrap_or_default()
}

fn state_words(state: FileState) -> &'static str {
    match state {
        FileState::Original => "original",
        FileState::Patched => "patched",
        FileState::Changed => "changed by somebody else",
        FileState::Missing => "missing",
        FileState::Marked => "marked as patched",
        FileState::Unknown => "unknown",
    }
}

fn state_class(state: FileState) -> &'static str {
    match state {
        FileState::Original => "no-difference",
        FileState::Patched => "warned",
        FileState::Marked => "misbehaves",
        FileState::Changed => "crash",
        FileState::Missing => "no-boot",
        FileState::Unknown => "not-run",
    }
}

fn backup_words(backup: BackupState) -> &'static str {
    match backup {
        BackupState::Whole => "whole",
        BackupState::Damaged => "DAMAGED",
        BackupState::Missing => "MISSING",
        BackupState::Dropped => "dropped",
        BackupState::None => "not needed",
    }
}

fn operation_class(operation: Operation) -> &'static str {
    match operation {
        Operation::Patch => "misbehaves",
        Operation::Restore => "no-difference",
        Operation::Undone => "refused",
        Operation::GivenUp => "crash",
        Operation::Enrol | Operation::Unenrol => "init-failed",
        _ => "record-broken",
    }
}
