//! The lines of a story while it is being joined. How many are kept is limited; the others are counted.

use std::collections::HashMap;
use std::rc::Rc;

use crate::explain::error_name;
use crate::explain::kernel_name::NamedFact;
use crate::explain::known::{KnownLine, Recognised};
use crate::explain::oops::OopsPart;
use crate::explain::program::Report;
use crate::predict::message::{Effect, Message};
use crate::template::NO_NAME;

/// The most lines that differ of one story.
const MOST_LINES: usize = 1_000;

/// What a line says.
#[derive(Clone, Debug)]
pub(super) enum Said {
    Known(Recognised),
    Error(i32),
    Named(NamedFact),
}

/// A line that says something.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) number: usize,
    pub(super) text: Rc<str>,
    pub(super) count: usize,
    pub(super) said: Said,
}

/// What a line contributes to a story, as bits. Some are for one kind of lines each, so that of each kind the first is kept.
#[derive(Clone, Copy, Debug, Default)]
struct Marks(u32);

impl Marks {
    const REFUSES: Marks = Marks(1);
    const GOES_ON: Marks = Marks(1 << 1);
    const PRECEDES: Marks = Marks(1 << 2);
    const STATES_ERRNO: Marks = Marks(1 << 3);
    const PROGRAM: Marks = Marks(1 << 4);
    const PROGRAM_FAILED: Marks = Marks(1 << 5);
    const RELEASE: Marks = Marks(1 << 6);
    const MACHINE: Marks = Marks::of_oops(OopsPart::Machine);

    /// The parts of an oops have the bits from 8 on.
    const fn of_oops(part: OopsPart) -> Marks {
        Marks(1 << (8 + part as u32))
    }

    /// The fields of modinfo that a story states have the bits from 16 on.
    fn of_field(field: &str) -> Marks {
        let stated = ["name", "filename", "vermagic", "depends", "signer", "license"];
        stated.iter().position(|known| *known == field).map_or(Marks(0), |at| Marks(1 << (16 + at)))
    }

    fn has(self, marks: Marks) -> bool {
        self.0 & marks.0 == marks.0
    }

    fn with(self, marks: Marks) -> Marks {
        Marks(self.0 | marks.0)
    }
}

impl Event {
    pub(super) fn loader(&self) -> Option<(&Message, &Recognised)> {
        match &self.said {
            Said::Known(known) => match &known.line {
                KnownLine::Loader(message) => Some((message, known)),
                _ => None,
            },
            _ => None,
        }
    }

    pub(super) fn value(&self, name: &str) -> Option<&str> {
        match &self.said {
            Said::Known(known) => known.values.get(name),
            _ => None,
        }
    }

    /// The errno that a program's line, or the name of an error, states.
    pub(super) fn stated_errno(&self) -> Option<i32> {
        match &self.said {
            Said::Error(errno) => Some(*errno),
            Said::Known(Recognised { line: KnownLine::Program(_), values, .. }) => {
                values.get("error").and_then(error_name::of_words)
            }
            _ => None,
        }
    }

    pub(super) fn refuses(&self) -> Option<i32> {
        match self.loader()?.0.effect {
            Effect::Refuses(errno) => Some(errno),
            _ => None,
        }
    }

    pub(super) fn is_oops(&self, part: OopsPart) -> bool {
        matches!(&self.said, Said::Known(Recognised { line: KnownLine::Oops(line), .. }) if line.part == part)
    }

    /// The module that the line names.
    pub(super) fn module(&self) -> Option<String> {
        if let Some(name) = self.value("module") {
            let is_name = !name.is_empty() && name != NO_NAME && name != "module";
            return is_name.then(|| plain_name(name));
        }
        self.value("file").and_then(name_of_path)
    }

    fn marks(&self, stated_errno: Option<i32>) -> Marks {
        let marks = match &self.said {
            Said::Error(_) => Marks::default(),
            Said::Named(NamedFact::Release(_)) => Marks::RELEASE,
            Said::Named(NamedFact::Modinfo { field, .. }) => Marks::of_field(field),
            Said::Known(known) => match &known.line {
                KnownLine::Loader(message) => match message.effect {
                    Effect::Refuses(_) => Marks::REFUSES,
                    Effect::Taints(_) | Effect::Warns => Marks::GOES_ON,
                    Effect::Precedes => Marks::PRECEDES,
                },
                KnownLine::Oops(line) => Marks::of_oops(line.part),
                KnownLine::Program(line) if line.report == Report::Failed => Marks::PROGRAM.with(Marks::PROGRAM_FAILED),
                KnownLine::Program(_) => Marks::PROGRAM,
            },
        };
        if stated_errno.is_some() { marks.with(Marks::STATES_ERRNO) } else { marks }
    }
}

/// A module's name with `_`, as the loader knows it.
pub(super) fn plain_name(name: &str) -> String {
    name.replace('-', "_")
}

/// The name of the module in a file.
pub(super) fn name_of_path(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let stem = file.split(".ko").next().unwrap_or(file);
    (!stem.is_empty()).then(|| plain_name(stem))
}

/// What all stories together may still keep: their memory does not depend on the length of a log.
#[derive(Debug)]
pub(super) struct Room {
    lines: usize,
    bytes: usize,
}

impl Default for Room {
    fn default() -> Room {
        Room { lines: 10_000, bytes: 1 << 20 }
    }
}

impl Room {
    /// Takes the room for a line, if there is enough.
    fn take(&mut self, text: &str) -> bool {
        let left = self.lines.checked_sub(1).zip(self.bytes.checked_sub(text.len()));
        if let Some((lines, bytes)) = left {
            *self = Room { lines, bytes };
        }
        left.is_some()
    }
}

/// The lines of one story.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) module: Option<String>,
    pub(super) kernel: Option<String>,
    /// Lines with different texts, the first ones.
    pub(super) events: Vec<Event>,
    /// How many lines are not kept.
    pub(super) more: usize,
    by_text: HashMap<Rc<str>, usize>,
    marks: Marks,
    stated_errno: Option<i32>,
}

impl Draft {
    pub(super) fn new(module: Option<String>, kernel: Option<String>) -> Draft {
        Draft { module, kernel, ..Draft::default() }
    }

    /// Adds a line, and keeps it if there is room. Of each kind of lines the first is kept even after many others.
    pub(super) fn push(&mut self, event: Event, room: &mut Room) {
        let stated_errno = event.stated_errno();
        let marks = event.marks(stated_errno);
        let is_new_kind = !self.marks.has(marks);
        self.marks = self.marks.with(marks);
        self.stated_errno = self.stated_errno.or(stated_errno);
        if let Some(known) = self.by_text.get(&event.text).and_then(|at| self.events.get_mut(*at)) {
            known.count += event.count;
        } else if (is_new_kind || self.events.len() < MOST_LINES) && room.take(&event.text) {
            self.by_text.insert(Rc::clone(&event.text), self.events.len());
            self.events.push(event);
        } else {
            self.more += event.count;
        }
    }

    /// Takes the lines of another draft, which has the room for them already.
    pub(super) fn take(&mut self, events: impl IntoIterator<Item = Event>) {
        let mut room = Room { lines: usize::MAX, bytes: usize::MAX };
        events.into_iter().for_each(|event| self.push(event, &mut room));
    }

    pub(super) fn is_refused(&self) -> bool {
        self.marks.has(Marks::REFUSES)
    }

    /// Has it a line after which the loader goes on?
    pub(super) fn goes_on(&self) -> bool {
        self.marks.has(Marks::GOES_ON)
    }

    /// Has it the line of an oops about the machine?
    pub(super) fn has_machine(&self) -> bool {
        self.marks.has(Marks::MACHINE)
    }

    /// The first errno that a line states.
    pub(super) fn stated_errno(&self) -> Option<i32> {
        self.stated_errno
    }
}
