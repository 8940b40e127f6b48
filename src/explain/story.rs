//! One story of its lines: what became of the module, at which step, why, and what to do next.

use std::collections::HashSet;

use crate::explain::draft::{Draft, Event, Said};
use crate::explain::error_name;
use crate::explain::kernel_name::NamedFact;
use crate::explain::known::{KnownLine, Recognised};
use crate::explain::oops::OopsPart;
use crate::explain::program::Report;
use crate::explain::report::{ExplainedLine, NextStep, Outcome, StatedFact, Story};
use crate::predict::errno::{EACCES, EINVAL, ENOENT, ENOEXEC};
use crate::predict::message::{Effect, Message};
use crate::predict::{LoaderStep, errno_words, taint_bits, taints};
use crate::vermagic::{Vermagic, compare};

/// How many symbols a reason names.
const NAMED: usize = 5;

/// The line that decided a story: of those that refuse, the first; but of those about one symbol, the one with the reason.
fn decisive(draft: &Draft) -> Option<&Event> {
    let first = draft.events.iter().find(|event| event.refuses().is_some())?;
    let symbol = first.value("symbol");
    let is_general = first.value("error").is_some() && symbol.is_some();
    let is_reason = |event: &&Event| {
        let is_precise = event.value("error").is_none();
        event.loader().is_some_and(|(message, _)| !matches!(message.effect, Effect::Taints(_) | Effect::Warns))
            && is_precise
            && event.value("symbol") == symbol
    };
    match is_general {
        true => draft.events.iter().find(is_reason).or(Some(first)),
        false => Some(first),
    }
}

/// The story of some lines, which are in the order of their numbers.
pub(super) fn story(draft: &Draft) -> Story {
    let mut story = Story {
        module: draft.module.clone(),
        kernel: draft.kernel.clone(),
        outcome: Outcome::Described,
        step: None,
        errno: None,
        errno_name: None,
        reason: String::new(),
        printed_by: None,
        architectures: Vec::new(),
        facts: Vec::new(),
        lines: draft.events.iter().map(explained).collect(),
        lines_more: draft.more,
        next: Vec::new(),
        commands: Vec::new(),
        exact: None,
    };
    let is_oops = draft.events.iter().find(|event| event.is_oops(OopsPart::Header) || event.is_oops(OopsPart::Warning));
    let has_oops = draft
        .events
        .iter()
        .any(|event| matches!(&event.said, Said::Known(known) if matches!(known.line, KnownLine::Oops(_))));
    if has_oops {
        of_oops(draft, is_oops, &mut story);
    } else if let Some(event) = decisive(draft) {
        of_loader(draft, event, &mut story);
    } else {
        of_others(draft, &mut story);
    }
    story.facts.extend(stated(draft));
    story
}

/// The meaning of one line.
fn explained(event: &Event) -> ExplainedLine {
    let meaning = match &event.said {
        Said::Error(errno) => format!("{}: {}", errno_words(*errno), error_name::meaning(*errno)),
        Said::Named(NamedFact::Release(release)) => format!("the kernel {release}"),
        Said::Named(NamedFact::Modinfo { field, .. }) => format!("the module's {field}"),
        Said::Known(known) => match &known.line {
            KnownLine::Loader(message) => meaning_of(message, known),
            KnownLine::Oops(line) => known.values.fill(line.meaning),
            KnownLine::Program(line) => match (line.report, event.stated_errno()) {
                (Report::Failed, Some(errno)) => {
                    format!("{}: {}: {}", line.program, errno_words(errno), error_name::meaning(errno))
                }
                (Report::Failed, None) if line.meaning.is_empty() => {
                    format!(
                        "{}: the system call failed: {}",
                        line.program,
                        known.values.get("error").unwrap_or_default()
                    )
                }
                _ => format!("{}: {}", line.program, known.values.fill(line.meaning)),
            },
        },
    };
    ExplainedLine { number: event.number, text: event.text.to_string(), count: event.count, meaning }
}

/// The meaning of a loader's line; that of `Unknown symbol` depends on its error.
fn meaning_of(message: &Message, known: &Recognised) -> String {
    let text = known.values.fill(message.meaning);
    let (Some(error), true) = (known.values.get("error"), message.step == Some(LoaderStep::Symbols)) else {
        return text;
    };
    match unknown_symbol(error) {
        Some(why) => format!("{text}: {why}"),
        None => text,
    }
}

/// Why a symbol is not given to a module, by the error in its line (`resolve_symbol`, `simplify_symbols`, kernel/module/main.c;
/// kernels of 2.6.35 to 4.14 print 0 for a symbol that nobody exports).
fn unknown_symbol(error: &str) -> Option<&'static str> {
    Some(match error {
        "0" | "-2" => {
            "neither the kernel nor a loaded module exports it, or it is for GPL-compatible modules only; load the module that \
             has it first, or build for this kernel's configuration"
        }
        "-22" => {
            "it is exported, but with another CRC, or in a namespace that the module does not import; the line before says which"
        }
        "-13" => "this Android kernel gives it only to modules that Google signed (CONFIG_MODULE_SIG_PROTECT)",
        "-16" => "the module that has it was still in its init function after 30 seconds",
        "-8" => "its version cannot be compared, and this kernel cannot be forced",
        "-1" => "the kernel forbids it to this module",
        _ => return None,
    })
}

/// A module that the loader refused, by the line that decided it.
fn of_loader(draft: &Draft, event: &Event, story: &mut Story) {
    let Some((message, known)) = event.loader() else { return };
    story.outcome = Outcome::Refused;
    let is_layout = matches!(event.value("symbol"), Some("module_layout" | "struct_module"));
    let is_of_symbols = message.step == Some(LoaderStep::Symbols);
    story.step = if is_layout && is_of_symbols { Some(LoaderStep::ModuleLayout) } else { message.step };
    story.reason = meaning_of(message, known);
    let errno = match (event.refuses(), story.step) {
        (_, Some(LoaderStep::ModuleLayout)) => Some(ENOEXEC),
        (Some(errno), _) => errno_of_symbol(event).or(Some(errno)),
        (None, _) => draft.events.iter().find_map(errno_of_symbol),
    };
    story.set_errno(errno.or_else(|| draft.stated_errno()));
    let versions = message.versions();
    story.printed_by = (!versions.is_empty()).then_some(versions);
    story.architectures = known.architectures.clone();
    let mut seen = HashSet::new();
    let first = draft.events.first().map(|event| event.number);
    let refused = draft.events.iter().filter(|event| event.refuses().is_some() || Some(event.number) == first);
    let symbols: Vec<&str> =
        refused.filter_map(|event| event.value("symbol")).filter(|symbol| seen.insert(*symbol)).collect();
    if let (true, Some(more)) = (is_of_symbols && !is_layout, symbols.len().checked_sub(1).filter(|more| *more > 0)) {
        let names: Vec<&str> = symbols.iter().skip(1).take(NAMED).copied().collect();
        let rest = more.saturating_sub(names.len());
        let rest = match (rest, draft.more) {
            (0, 0) => String::new(),
            (rest, 0) => format!(" and {rest} more"),
            // Lines that are not kept may name others.
            (rest, _) => format!(" and at least {rest} more"),
        };
        story.reason.push_str(&format!("; the same holds for {}{rest}", names.join(", ")));
    }
    if let (Some(ours), Some(theirs)) = (event.value("ours"), event.value("theirs")) {
        story.facts.extend(differences(ours, theirs));
    }
    story.next = next_of_step(story, event);
}

/// The errno of the system call after `Unknown symbol`.
fn errno_of_symbol(event: &Event) -> Option<i32> {
    event.loader().filter(|(message, _)| message.step == Some(LoaderStep::Symbols))?;
    match event.value("error")?.parse().ok()? {
        0 => Some(ENOENT),
        errno @ -133..=-1 => Some(-errno),
        _ => None,
    }
}

/// What two version magic strings have, and where they differ.
fn differences(ours: &str, theirs: &str) -> Vec<StatedFact> {
    let both = [("module", ours), ("kernel", theirs)];
    let both = both.map(|(about, value)| StatedFact {
        about,
        value: format!("version magic {}", crate::text::vermagic(value.as_bytes())),
    });
    let compared = compare(&Vermagic::parse(ours.as_bytes()), &Vermagic::parse(theirs.as_bytes()));
    let differs = compared.differences().iter().map(|one| StatedFact { about: "differs", value: one.to_string() });
    both.into_iter().chain(differs).collect()
}

/// What to do about a step's refusal.
fn next_of_step(story: &Story, event: &Event) -> Vec<NextStep> {
    let headers = || NextStep::InstallHeaders(story.kernel.clone());
    match story.step {
        Some(LoaderStep::Vermagic) => match event.value("theirs") {
            Some(theirs) => vec![
                NextStep::BuildFor(format!("vermagic:{theirs}")),
                NextStep::Check(Some(format!("vermagic:{theirs}"))),
            ],
            None => vec![NextStep::Show],
        },
        Some(LoaderStep::Symbols) => match event.value("symbol") {
            Some(symbol) if story.errno == Some(ENOENT) => {
                vec![NextStep::FindSymbol(symbol.to_owned()), NextStep::Check(None)]
            }
            _ => vec![headers(), NextStep::Check(None)],
        },
        Some(LoaderStep::Signature) => vec![NextStep::ShowSignature],
        Some(LoaderStep::Container) => vec![NextStep::Repack],
        Some(LoaderStep::Elf) => vec![NextStep::Show],
        Some(LoaderStep::Name) => vec![NextStep::Unload],
        Some(_) => vec![headers(), NextStep::Check(None)],
        None => vec![NextStep::Show],
    }
}

/// An oops: what happened, where, and with which taint.
fn of_oops(draft: &Draft, header: Option<&Event>, story: &mut Story) {
    story.outcome = Outcome::Crashed;
    let what = header.map(|event| explained(event).meaning);
    let place = draft.events.iter().find(|event| event.is_oops(OopsPart::Place));
    let place = place
        .and_then(|event| event.value("place"))
        .map(|place| place.rsplit([':', ' ']).next().unwrap_or(place).trim().to_owned());
    let what = what.unwrap_or_else(|| "the kernel died or warned".to_owned());
    story.reason = match (place, &story.module) {
        (Some(place), Some(module)) => format!("{what}, in {place} of the module {module}"),
        (Some(place), None) => format!("{what}, in {place} of the kernel itself"),
        (None, _) => what,
    };
    if let Some(flags) = draft.events.iter().find_map(|event| event.value("flags")) {
        let letters: String = flags.chars().filter(char::is_ascii_uppercase).collect();
        story.facts.extend(taints(taint_bits(&letters)).filter_map(|(_, known)| {
            let (letter, meaning) = known?;
            Some(StatedFact { about: "taint", value: format!("{letter}: {meaning}") })
        }));
    }
    if let Some(modules) = draft.events.iter().find_map(|event| event.value("modules")) {
        let foreign: Vec<&str> = modules
            .split_whitespace()
            .filter(|module| module.split_once('(').is_some_and(|(_, flags)| flags.contains(['O', 'P', 'F'])))
            .take(2 * NAMED)
            .collect();
        if !foreign.is_empty() {
            story.facts.push(StatedFact {
                about: "modules",
                value: format!("from outside of the kernel's tree: {}", foreign.join(" ")),
            });
        }
    }
    story.next = vec![NextStep::Try];
}

/// Lines without one that shows a refusal by the loader.
fn of_others(draft: &Draft, story: &mut Story) {
    let programs = || {
        draft.events.iter().filter_map(|event| match &event.said {
            Said::Known(Recognised { line: KnownLine::Program(line), .. }) => Some((line, event)),
            _ => None,
        })
    };
    let errno = draft.stated_errno();
    let precedes =
        draft.events.iter().find(|event| event.loader().is_some_and(|(message, _)| message.effect == Effect::Precedes));
    let failed = programs().find(|(line, _)| line.report == Report::Failed);
    story.set_errno(errno);
    if let Some(event) = precedes {
        of_loader(draft, event, story);
        // Without another line it is not certain that the kernel refused the module.
        let is_certain = failed.is_some() || errno.is_some();
        let is_refusing = matches!(story.step, Some(LoaderStep::Btf | LoaderStep::Memory))
            || is_certain
            || event.text.contains("no symbol version for")
                && draft.kernel.as_deref().is_some_and(refuses_missing_versions);
        if !is_refusing {
            story.outcome = Outcome::Loaded;
            story.set_errno(None);
            story.reason.push_str("; some kernels refuse that, others go on: the next line or insmod's error tells");
        }
        return;
    }
    if failed.is_some() || programs().count() == 0 && errno.is_some() {
        let errno = errno.unwrap_or_default();
        let is_of_loader =
            matches!(errno, 0 | 1 | ENOENT | ENOEXEC | 12 | EACCES | 17 | EINVAL | 38 | 61 | 65 | 74 | 95 | 126 | 129);
        story.outcome = if is_of_loader { Outcome::Refused } else { Outcome::InitFailed };
        story.reason = match errno {
            0 => "the system call failed; the kernel's log has the reason".to_owned(),
            errno => error_name::meaning(errno).to_owned(),
        };
        story.next = vec![NextStep::ReadLog];
        return;
    }
    if let Some((line, event)) =
        programs().find(|(line, _)| line.report != Report::Remark).or_else(|| programs().next())
    {
        let release = event.value("release").map(str::to_owned).or_else(|| story.kernel.clone());
        story.reason = explained(event).meaning;
        story.kernel = story.kernel.take().or_else(|| release.clone());
        (story.outcome, story.next) = match line.report {
            Report::NotFound | Report::NoIndex => (Outcome::NotTried, vec![NextStep::MakeIndex(release)]),
            Report::NotBuilt => (Outcome::NotTried, vec![NextStep::InstallHeaders(release)]),
            Report::NotRemoved => (Outcome::NotRemoved, Vec::new()),
            Report::Present => (Outcome::Loaded, Vec::new()),
            Report::Failed | Report::Remark => (Outcome::NotTried, vec![NextStep::ReadLog]),
        };
        return;
    }
    let Some((message, known)) = draft.events.iter().find_map(Event::loader) else {
        story.reason = "what the module and the kernel are".to_owned();
        story.next = vec![NextStep::Check(story.kernel.clone())];
        return;
    };
    story.outcome = Outcome::Loaded;
    story.step = message.step;
    story.reason = format!("{}; nothing here says that it failed", meaning_of(message, known));
    let versions = message.versions();
    story.printed_by = (!versions.is_empty()).then_some(versions);
}

/// Does this kernel certainly refuse a module without the CRC of a symbol (2.6.28 to 4.8, `check_version`)?
fn refuses_missing_versions(release: &str) -> bool {
    let mut numbers = release.split(['.', '-', '+']).map_while(|number| number.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    ((2, 6, 28)..(4, 8, 0)).contains(&version)
}

/// What modinfo's lines and those about a kernel state.
fn stated(draft: &Draft) -> Vec<StatedFact> {
    let mut facts = Vec::new();
    let mut built_for = None;
    for event in &draft.events {
        let Said::Named(NamedFact::Modinfo { field: field @ ("vermagic" | "depends" | "signer" | "license"), value }) =
            &event.said
        else {
            continue;
        };
        if *field == "vermagic" {
            built_for = value.split(' ').next().map(str::to_owned);
        }
        if !value.is_empty() {
            facts.push(StatedFact { about: "module", value: format!("{field} {value}") });
        }
    }
    if let (Some(built_for), Some(kernel)) = (built_for, &draft.kernel)
        && built_for != *kernel
    {
        facts.push(StatedFact {
            about: "differs",
            value: format!("the module was built for {built_for}, the kernel is {kernel}"),
        });
    }
    facts
}
