//! Joins related lines into stories: one module on one kernel, or one oops.

use std::collections::HashMap;

use crate::explain::kernel_name::{self, NamedFact};
use crate::explain::known::{self, KnownLine, Recognised};
use crate::explain::oops::OopsPart;
use crate::explain::program::Report;
use crate::explain::report::{ExplainReport, ExplainedLine, NextStep, Outcome, StatedFact, Story, UnknownLine};
use crate::explain::{error_name, prefix};
use crate::predict::errno::{EACCES, EINVAL, ENOENT, ENOEXEC};
use crate::predict::message::{Effect, Message};
use crate::predict::{LoaderStep, errno_words, taint_bits, taints};
use crate::template::NO_NAME;
use crate::vermagic::{Vermagic, compare};

/// How many lines may be between two lines that belong together although only one names the module.
const NEAR: usize = 3;

/// How many symbols a reason names.
const NAMED: usize = 5;

/// What a line says.
#[derive(Clone, Debug)]
enum Said {
    Known(Recognised),
    Error(i32),
    Named(NamedFact),
}

/// A line that says something.
#[derive(Clone, Debug)]
struct Event {
    number: usize,
    text: String,
    count: usize,
    said: Said,
}

impl Event {
    fn loader(&self) -> Option<(&Message, &Recognised)> {
        match &self.said {
            Said::Known(known) => match &known.line {
                KnownLine::Loader(message) => Some((message, known)),
                _ => None,
            },
            _ => None,
        }
    }

    fn value(&self, name: &str) -> Option<&str> {
        match &self.said {
            Said::Known(known) => known.values.get(name),
            _ => None,
        }
    }

    /// The errno that a program's line, or the name of an error, states.
    fn stated_errno(&self) -> Option<i32> {
        match &self.said {
            Said::Error(errno) => Some(*errno),
            Said::Known(Recognised { line: KnownLine::Program(_), values, .. }) => {
                values.get("error").and_then(error_name::of_words)
            }
            _ => None,
        }
    }

    fn refuses(&self) -> Option<i32> {
        match self.loader()?.0.effect {
            Effect::Refuses(errno) => Some(errno),
            _ => None,
        }
    }

    fn is_oops(&self, part: OopsPart) -> bool {
        matches!(&self.said, Said::Known(Recognised { line: KnownLine::Oops(line), .. }) if line.part == part)
    }

    /// The module that the line names.
    fn module(&self) -> Option<String> {
        if let Some(name) = self.value("module") {
            let is_name = !name.is_empty() && name != NO_NAME && name != "module";
            return is_name.then(|| plain_name(name));
        }
        self.value("file").and_then(name_of_path)
    }
}

/// A module's name with `_`, as the loader knows it.
fn plain_name(name: &str) -> String {
    name.replace('-', "_")
}

/// The name of the module in a file.
fn name_of_path(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let stem = file.split(".ko").next().unwrap_or(file);
    (!stem.is_empty()).then(|| plain_name(stem))
}

/// The lines of one story.
#[derive(Debug, Default)]
struct Draft {
    module: Option<String>,
    kernel: Option<String>,
    events: Vec<Event>,
}

impl Draft {
    fn push(&mut self, event: Event) {
        match self.events.iter_mut().find(|known| known.text == event.text) {
            Some(known) => known.count += 1,
            None => self.events.push(event),
        }
    }

    fn is_refused(&self) -> bool {
        self.events.iter().any(|event| event.refuses().is_some())
    }

    fn stated_errno(&self) -> Option<i32> {
        self.events.iter().find_map(Event::stated_errno)
    }
}

/// Explains lines, which may have any prefix.
pub fn explain<'l>(lines: impl IntoIterator<Item = &'l str>) -> ExplainReport {
    let lines: Vec<(usize, &str)> =
        lines.into_iter().enumerate().map(|(at, line)| (at + 1, prefix::strip(line))).collect();
    let lines: Vec<(usize, &str)> = lines.into_iter().filter(|(_, line)| !line.trim().is_empty()).collect();
    let has_modinfo = lines.iter().any(|(_, line)| kernel_name::is_modinfo(line));
    let mut unknown = Vec::new();
    let mut joiner = Joiner::default();
    for (number, line) in &lines {
        match said(line, has_modinfo) {
            Some(said) => joiner.add(Event { number: *number, text: (*line).to_owned(), count: 1, said }),
            None => unknown.push(UnknownLine { number: *number, text: (*line).to_owned() }),
        }
    }
    ExplainReport::new(lines.len(), joiner.stories(), unknown)
}

fn said(line: &str, has_modinfo: bool) -> Option<Said> {
    if let Some(fact) = kernel_name::read(line, has_modinfo) {
        return Some(Said::Named(fact));
    }
    known::recognise(line).map(Said::Known).or_else(|| error_name::of_text(line).map(Said::Error))
}

/// The stories so far.
#[derive(Default)]
struct Joiner {
    drafts: Vec<Draft>,
    by_module: HashMap<String, usize>,
    /// The kernel that the last line about one names.
    kernel: Option<String>,
    /// Lines that name no module and belong to no story yet.
    pending: Vec<Event>,
    /// The lines of modinfo and those that name a kernel.
    described: Vec<Event>,
    /// The story of the oops that has not ended.
    oops: Option<usize>,
    /// The story of the last line that names a module, and the number of that line.
    last: Option<(usize, usize)>,
}

impl Joiner {
    fn add(&mut self, event: Event) {
        match &event.said {
            Said::Named(fact) => {
                if let NamedFact::Release(release) = fact {
                    // After the boot of another kernel, lines about a module are a new story.
                    if self.kernel.as_ref().is_some_and(|before| before != release) {
                        self.by_module.clear();
                        (self.oops, self.last) = (None, None);
                    }
                    self.kernel = Some(release.clone());
                }
                self.described.push(event);
            }
            Said::Error(_) => self.add_nameless(event),
            Said::Known(Recognised { line: KnownLine::Oops(_), .. }) => self.add_to_oops(event),
            Said::Known(_) => match event.module() {
                Some(module) => self.add_named(&module, event),
                None => self.add_nameless(event),
            },
        }
    }

    fn draft(&mut self, module: &str) -> usize {
        if let Some(at) = self.by_module.get(module) {
            return *at;
        }
        let at = self.start(Some(module.to_owned()));
        self.by_module.insert(module.to_owned(), at);
        at
    }

    fn start(&mut self, module: Option<String>) -> usize {
        self.drafts.push(Draft { module, kernel: self.kernel.clone(), events: Vec::new() });
        self.drafts.len() - 1
    }

    fn push(&mut self, at: usize, event: Event) {
        if let Some(draft) = self.drafts.get_mut(at) {
            draft.push(event);
        }
    }

    /// A line that names a module takes the lines before it that belong to it.
    fn add_named(&mut self, module: &str, event: Event) {
        let at = self.draft(module);
        self.last = Some((at, event.number));
        let belongs = |pending: &Event| {
            let is_near = event.number.saturating_sub(pending.number) <= NEAR + usize::from(is_of_types(pending)) * 8;
            is_near && belong_together(pending, &event)
        };
        let (ours, others) = std::mem::take(&mut self.pending).into_iter().partition(belongs);
        self.pending = others;
        let ours: Vec<Event> = ours;
        ours.into_iter().for_each(|pending| self.push(at, pending));
        self.push(at, event);
    }

    /// A line without a name belongs to the line just before it, to a module that a program could not load with the same
    /// error, or to a later line.
    fn add_nameless(&mut self, event: Event) {
        let just_before = self.last.filter(|(at, number)| {
            let draft = self.drafts.get(*at);
            event.number.saturating_sub(*number) <= NEAR
                && draft.is_some_and(|draft| !draft.is_refused() && draft.events.iter().any(goes_on))
                && event.refuses().is_some()
        });
        let same_error = || {
            let errno = event.refuses()?;
            let fits = |draft: &Draft| !draft.is_refused() && draft.stated_errno() == Some(errno);
            self.drafts.iter().rposition(fits)
        };
        match just_before.map(|(at, _)| at).or_else(same_error) {
            Some(at) => self.push(at, event),
            None => self.pending.push(event),
        }
    }

    fn add_to_oops(&mut self, event: Event) {
        let begins = event.is_oops(OopsPart::Header) || event.is_oops(OopsPart::Warning);
        let has_place = |draft: &Draft| draft.events.iter().any(|one| one.is_oops(OopsPart::Machine));
        let open = self.oops.filter(|at| !begins || self.drafts.get(*at).is_some_and(|draft| !has_place(draft)));
        let at = open.unwrap_or_else(|| self.start(None));
        self.oops = (!event.is_oops(OopsPart::End)).then_some(at);
        if let Some(draft) = self.drafts.get_mut(at) {
            if draft.module.is_none() {
                draft.module = event.module();
            }
            if let Some(release) = event.value("release") {
                draft.kernel = Some(release.to_owned());
            }
            draft.push(event);
        }
    }

    fn stories(mut self) -> Vec<Story> {
        self.place_pending();
        self.place_described();
        let mut drafts: Vec<Draft> = self.drafts.into_iter().filter(|draft| !draft.events.is_empty()).collect();
        drafts.iter_mut().for_each(|draft| draft.events.sort_by_key(|event| event.number));
        drafts.sort_by_key(|draft| draft.events.first().map(|event| event.number));
        drafts.iter().map(story).collect()
    }

    /// Lines that no other line names a module for: they belong to the only story if that has no reason yet, or make a story
    /// per step.
    fn place_pending(&mut self) {
        for event in std::mem::take(&mut self.pending) {
            let is_only = self.drafts.len() == 1;
            let step = event.loader().and_then(|(message, _)| message.step);
            let same = self.drafts.iter().rposition(|draft| {
                let is_undecided = is_only && !draft.is_refused();
                let has_step = draft.module.is_none()
                    && step.is_some()
                    && draft.events.iter().any(|one| one.loader().is_some_and(|(message, _)| message.step == step));
                is_undecided || has_step
            });
            let at = same.unwrap_or_else(|| self.start(None));
            self.push(at, event);
        }
    }

    /// Lines of modinfo belong to their module, and those about a kernel to every story of it.
    fn place_described(&mut self) {
        let described = std::mem::take(&mut self.described);
        if described.is_empty() {
            return;
        }
        let field = |wanted: &str| {
            described.iter().find_map(|event| match &event.said {
                Said::Named(NamedFact::Modinfo { field, value }) if *field == wanted => Some(value.clone()),
                _ => None,
            })
        };
        let name = field("name").map(|name| plain_name(&name)).or_else(|| name_of_path(&field("filename")?));
        let at = match (name, self.drafts.len()) {
            (Some(name), _) => self.draft(&name),
            (None, 0) => self.start(None),
            (None, _) => 0,
        };
        for event in described {
            self.push(at, event);
        }
        let kernel = self.kernel.clone();
        self.drafts.iter_mut().filter(|draft| draft.kernel.is_none()).for_each(|draft| draft.kernel = kernel.clone());
    }
}

/// Is it a line about types, of which there are several per module?
fn is_of_types(event: &Event) -> bool {
    event.loader().is_some_and(|(message, _)| message.step == Some(LoaderStep::Btf))
}

/// Does the loader go on after this line?
fn goes_on(event: &Event) -> bool {
    event.loader().is_some_and(|(message, _)| matches!(message.effect, Effect::Taints(_) | Effect::Warns))
}

/// Does a line without a name belong to a line that names a module?
fn belong_together(nameless: &Event, named: &Event) -> bool {
    let Some((message, _)) = nameless.loader() else { return named.stated_errno() == nameless.stated_errno() };
    match named.loader() {
        Some((other, _)) => message.step.is_some() && message.step == other.step,
        None => match (message.effect, named.stated_errno()) {
            (Effect::Refuses(ours), Some(theirs)) => ours == theirs,
            (Effect::Refuses(_), None) => named.value("error").is_none(),
            _ => message.step.is_some(),
        },
    }
}

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

fn story(draft: &Draft) -> Story {
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
    ExplainedLine { number: event.number, text: event.text.clone(), count: event.count, meaning }
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
    let mut symbols: Vec<&str> = Vec::new();
    for event in &draft.events {
        let is_refused = event.refuses().is_some() || Some(event.number) == draft.events.first().map(|one| one.number);
        if let (Some(symbol), true) = (event.value("symbol"), is_refused)
            && !symbols.contains(&symbol)
        {
            symbols.push(symbol);
        }
    }
    if let (true, Some(more)) = (is_of_symbols && !is_layout, symbols.len().checked_sub(1).filter(|more| *more > 0)) {
        let names: Vec<&str> = symbols.iter().skip(1).take(NAMED).copied().collect();
        let rest = more.saturating_sub(names.len());
        let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
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
