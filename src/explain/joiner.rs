//! Joins related lines: one story per module on one kernel, or per oops. Each line is looked at once.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::explain::draft::{Draft, Event, Room, Said, name_of_path, plain_name};
use crate::explain::kernel_name::NamedFact;
use crate::explain::known::{KnownLine, Recognised};
use crate::explain::oops::OopsPart;
use crate::explain::report::Story;
use crate::explain::story::story;
use crate::predict::LoaderStep;
use crate::predict::message::Effect;

/// How many lines may be between two lines that belong together although only one names the module.
const NEAR: usize = 3;

/// The same for lines about types, of which there are several per module.
const NEAR_OF_TYPES: usize = NEAR + 8;

/// The most stories.
const MOST_STORIES: usize = 1_000;

/// The stories so far.
#[derive(Default)]
pub(super) struct Joiner {
    drafts: Vec<Draft>,
    by_module: HashMap<String, usize>,
    /// The stories that state an errno and no refusal, by that errno.
    unexplained: BTreeSet<(i32, usize)>,
    /// The kernel that the last line about one names.
    kernel: Option<String>,
    /// Lines that name no module and belong to no story yet, near the last line.
    pending: VecDeque<Event>,
    /// Such lines that are too far from the last line for a later one to name their module.
    late: Draft,
    /// The lines of modinfo and those that name a kernel.
    described: Draft,
    /// The story of the oops that has not ended.
    oops: Option<usize>,
    /// The story of the last line that names a module, and the number of that line.
    last: Option<(usize, usize)>,
    room: Room,
    /// How many lines belong to stories that are too many.
    more: usize,
}

impl Joiner {
    /// Adds a line. Only lines of modinfo may come after lines with higher numbers.
    pub(super) fn add(&mut self, event: Event) {
        match &event.said {
            Said::Named(fact) => {
                if let NamedFact::Release(release) = fact
                    && self.kernel.as_ref() != Some(release)
                {
                    // After the boot of another kernel, lines about a module are a new story.
                    if self.kernel.is_some() {
                        self.by_module.clear();
                        (self.oops, self.last) = (None, None);
                    }
                    self.kernel = Some(release.clone());
                }
                self.described.push(event, &mut self.room);
            }
            Said::Error(_) => self.add_nameless(event),
            Said::Known(Recognised { line: KnownLine::Oops(_), .. }) => self.add_to_oops(event),
            Said::Known(_) => match event.module() {
                Some(module) => self.add_named(&module, event),
                None => self.add_nameless(event),
            },
        }
    }

    /// Counts lines of modinfo that are not kept.
    pub(super) fn count_described(&mut self, lines: usize) {
        self.described.more += lines;
    }

    /// The story of a module; `None` if it is one too many.
    fn draft(&mut self, module: &str) -> Option<usize> {
        if let Some(at) = self.by_module.get(module) {
            return Some(*at);
        }
        let at = self.start(Some(module))?;
        self.by_module.insert(module.to_owned(), at);
        Some(at)
    }

    fn start(&mut self, module: Option<&str>) -> Option<usize> {
        let at = self.drafts.len();
        (at < MOST_STORIES).then(|| {
            let (module, kernel) = (module.map(str::to_owned), self.kernel.clone());
            self.drafts.push(Draft::new(module, kernel));
            at
        })
    }

    /// Adds a line to a story, or counts it if there is none.
    fn push(&mut self, at: Option<usize>, event: Event) {
        let Some((at, draft)) = at.and_then(|at| Some((at, self.drafts.get_mut(at)?))) else {
            self.more += event.count;
            return;
        };
        draft.push(event, &mut self.room);
        if let Some(errno) = draft.stated_errno() {
            match draft.is_refused() {
                true => self.unexplained.remove(&(errno, at)),
                false => self.unexplained.insert((errno, at)),
            };
        }
    }

    /// A line that names a module takes the lines before it that belong to it.
    fn add_named(&mut self, module: &str, event: Event) {
        self.retire(event.number);
        let at = self.draft(module);
        self.last = at.map(|at| (at, event.number));
        let belongs = |pending: &Event| {
            let near = if is_of_types(pending) { NEAR_OF_TYPES } else { NEAR };
            event.number.saturating_sub(pending.number) <= near && belong_together(pending, &event)
        };
        let (ours, others): (VecDeque<Event>, _) = std::mem::take(&mut self.pending).into_iter().partition(belongs);
        self.pending = others;
        ours.into_iter().for_each(|pending| self.push(at, pending));
        self.push(at, event);
    }

    /// A line without a name belongs to the line just before it, to a module that a program could not load with the same
    /// error, or to a later line.
    fn add_nameless(&mut self, event: Event) {
        self.retire(event.number);
        let just_before = self.last.filter(|(at, number)| {
            let is_open = |draft: &Draft| !draft.is_refused() && draft.goes_on();
            event.number.saturating_sub(*number) <= NEAR
                && self.drafts.get(*at).is_some_and(is_open)
                && event.refuses().is_some()
        });
        let same_error = || {
            let errno = event.refuses()?;
            self.unexplained.range((errno, 0)..=(errno, usize::MAX)).next_back().map(|(_, at)| *at)
        };
        match just_before.map(|(at, _)| at).or_else(same_error) {
            Some(at) => self.push(Some(at), event),
            None => self.pending.push_back(event),
        }
    }

    /// Moves the lines that are far from this one.
    fn retire(&mut self, number: usize) {
        while let Some(event) = self.pending.pop_front_if(|event| number.saturating_sub(event.number) > NEAR_OF_TYPES) {
            self.late.push(event, &mut self.room);
        }
    }

    fn add_to_oops(&mut self, event: Event) {
        let begins = event.is_oops(OopsPart::Header) || event.is_oops(OopsPart::Warning);
        let is_open = |at: &usize| !begins || self.drafts.get(*at).is_some_and(|draft| !draft.has_machine());
        let at = self.oops.filter(is_open).or_else(|| self.start(None));
        self.oops = at.filter(|_| !event.is_oops(OopsPart::End));
        if let Some(draft) = at.and_then(|at| self.drafts.get_mut(at)) {
            if draft.module.is_none() {
                draft.module = event.module();
            }
            if let Some(release) = event.value("release") {
                draft.kernel = Some(release.to_owned());
            }
        }
        self.push(at, event);
    }

    /// The stories in the order of their first lines, and how many lines belong to further stories.
    pub(super) fn stories(mut self) -> (Vec<Story>, usize) {
        self.place_pending();
        self.place_described();
        let (mut drafts, empty): (Vec<Draft>, Vec<Draft>) =
            self.drafts.into_iter().partition(|draft| !draft.events.is_empty());
        drafts.iter_mut().for_each(|draft| draft.events.sort_by_key(|event| event.number));
        drafts.sort_by_key(|draft| draft.events.first().map(|event| event.number));
        let more = self.more + empty.iter().map(|draft| draft.more).sum::<usize>();
        (drafts.iter().map(story).collect(), more)
    }

    /// Lines that no other line names a module for: they belong to the only story if that has no reason yet, or make a story
    /// per step.
    fn place_pending(&mut self) {
        for event in std::mem::take(&mut self.pending) {
            self.late.push(event, &mut self.room);
        }
        let Draft { events, more, .. } = std::mem::take(&mut self.late);
        self.more += more;
        // There are few steps.
        let mut by_step: Vec<(LoaderStep, usize)> = Vec::new();
        for event in events {
            let step = event.loader().and_then(|(message, _)| message.step);
            let undecided = match self.drafts.as_slice() {
                [only] if !only.is_refused() => Some(0),
                _ => None,
            };
            let same = undecided.or_else(|| by_step.iter().rfind(|(known, _)| Some(*known) == step).map(|(_, at)| *at));
            let at = same.or_else(|| self.start(None));
            let Some((at, draft)) = at.and_then(|at| Some((at, self.drafts.get_mut(at)?))) else {
                self.more += event.count;
                continue;
            };
            if let (None, Some(step)) = (&draft.module, step)
                && !by_step.contains(&(step, at))
            {
                by_step.push((step, at));
            }
            draft.take([event]);
        }
    }

    /// Lines of modinfo belong to their module, and those about a kernel to every story of it.
    fn place_described(&mut self) {
        let Draft { events, more, .. } = std::mem::take(&mut self.described);
        if events.is_empty() {
            self.more += more;
            return;
        }
        let field = |wanted: &str| {
            events.iter().find_map(|event| match &event.said {
                Said::Named(NamedFact::Modinfo { field, value }) if *field == wanted => Some(value.as_str()),
                _ => None,
            })
        };
        let name = field("name").map(plain_name).or_else(|| name_of_path(field("filename")?));
        let at = match (name, self.drafts.len()) {
            (Some(name), _) => self.draft(&name),
            (None, 0) => self.start(None),
            (None, _) => Some(0),
        };
        match at.and_then(|at| self.drafts.get_mut(at)) {
            Some(draft) => {
                draft.take(events);
                draft.more += more;
            }
            None => self.more += more + events.iter().map(|event| event.count).sum::<usize>(),
        }
        let kernel = self.kernel.clone();
        self.drafts.iter_mut().filter(|draft| draft.kernel.is_none()).for_each(|draft| draft.kernel = kernel.clone());
    }
}

/// Is it a line about types?
fn is_of_types(event: &Event) -> bool {
    event.loader().is_some_and(|(message, _)| message.step == Some(LoaderStep::Btf))
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
