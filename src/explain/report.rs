//! The explanation as values.

use std::collections::HashSet;

use serde::Serialize;

use crate::predict::{LoaderStep, StepResult, Verdict, errno_name};

/// The explanation of some lines.
#[derive(Debug, Serialize)]
pub struct ExplainReport {
    schema_version: u32,
    r#type: &'static str,
    /// The number of lines that are not empty.
    pub lines: usize,
    /// What happened, story by story, in the order of their first lines.
    pub stories: Vec<Story>,
    /// The number of lines that belong to further stories, which are too many to be kept.
    #[serde(skip_serializing_if = "is_zero")]
    pub stories_more: usize,
    /// The first lines that are not known.
    pub unknown: Vec<UnknownLine>,
    /// The number of further lines that are not known.
    #[serde(skip_serializing_if = "is_zero")]
    pub unknown_more: usize,
}

impl ExplainReport {
    pub(super) fn new(
        lines: usize,
        stories: Vec<Story>,
        stories_more: usize,
        unknown: Vec<UnknownLine>,
        unknown_more: usize,
    ) -> ExplainReport {
        let (schema_version, r#type) = (1, "explain");
        ExplainReport { schema_version, r#type, lines, stories, stories_more, unknown, unknown_more }
    }

    /// Adds what the prediction for a module says to the stories that may be about it. Is there one?
    pub fn compare(&mut self, module: &str, verdict: &Verdict) -> bool {
        let predicted: HashSet<&str> = verdict.dmesg.iter().map(String::as_str).collect();
        let is_about = |story: &&mut Story| story.module.as_ref().is_none_or(|name| name == module);
        let about = self.stories.iter_mut().filter(is_about);
        about.map(|story| story.compare(verdict, &predicted)).count() > 0
    }
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// A line that is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnknownLine {
    /// The number of the line, from 1.
    pub number: usize,
    /// The line, without what a log put before it.
    pub text: String,
}

/// What became of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The kernel refused it.
    Refused,
    /// The loader accepted it, and its own init function failed.
    InitFailed,
    /// No file was passed to the kernel: not found, not built.
    NotTried,
    /// It was not removed.
    NotRemoved,
    /// Nothing in the lines says that it failed.
    Loaded,
    /// The kernel died or warned.
    Crashed,
    /// The lines say only what a module or a kernel is.
    Described,
}

/// Lines that belong together.
#[derive(Clone, Debug, Serialize)]
pub struct Story {
    /// The module, if a line names it.
    pub module: Option<String>,
    /// The release of the kernel, if a line names it.
    pub kernel: Option<String>,
    /// What became of the module.
    pub outcome: Outcome,
    /// The loader's step that decided it.
    pub step: Option<LoaderStep>,
    /// The errno with the numbers of asm-generic, if the lines show it or the step has only one.
    pub errno: Option<i32>,
    /// The name of the errno.
    pub errno_name: Option<String>,
    /// What decided it.
    pub reason: String,
    /// The versions of the kernel that print exactly the line that decided it, if not all do.
    pub printed_by: Option<String>,
    /// The architectures that print exactly this line, if not all do.
    pub architectures: Vec<&'static str>,
    /// What the lines say of the module and the kernel.
    pub facts: Vec<StatedFact>,
    /// The lines, each once.
    pub lines: Vec<ExplainedLine>,
    /// The number of further lines, which are too many to be kept.
    #[serde(skip_serializing_if = "is_zero")]
    pub lines_more: usize,
    /// What to do next.
    #[serde(skip)]
    pub next: Vec<NextStep>,
    /// The commands for it.
    pub commands: Vec<String>,
    /// What the prediction for the module on the kernel adds.
    pub exact: Option<ExactFact>,
}

/// A fact that the lines state: what it is about, and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StatedFact {
    /// What it is about: "module", "kernel", "differs".
    pub about: &'static str,
    /// The value.
    pub value: String,
}

/// A line of a story.
#[derive(Clone, Debug, Serialize)]
pub struct ExplainedLine {
    /// The number of the line, from 1.
    pub number: usize,
    /// The line, without what a log put before it.
    pub text: String,
    /// How often it appears.
    pub count: usize,
    /// What it means.
    pub meaning: String,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// Show how to build for the kernel with this version magic or of this release.
    BuildFor(String),
    /// Ask for a prediction on this kernel, or on the running one.
    Check(Option<String>),
    /// Read the kernel's log, which has the reason.
    ReadLog,
    /// Look at the module file.
    Show,
    /// Look at the module's signature, and at the keys of the machine.
    ShowSignature,
    /// Compress the file as the kernel unpacks it.
    Repack,
    /// Install the headers of this kernel, and build again.
    InstallHeaders(Option<String>),
    /// Make the index of modules of this kernel again.
    MakeIndex(Option<String>),
    /// Show which module has this symbol.
    FindSymbol(String),
    /// Remove the loaded module first.
    Unload,
    /// Try it where a crash does no harm.
    Try,
}

/// What the prediction for a given module and kernel says about a story.
#[derive(Clone, Debug, Serialize)]
pub struct ExactFact {
    /// The prediction has the line that decided the story.
    pub agrees: bool,
    /// The step that the prediction names.
    pub step: Option<LoaderStep>,
    /// The facts that decide it: what the module and the kernel have.
    pub facts: Vec<String>,
}

impl Story {
    /// Adds what the prediction for this module says, which has these lines.
    fn compare(&mut self, verdict: &Verdict, predicted: &HashSet<&str>) {
        let decisive = verdict.findings.iter().filter(|finding| match finding.result {
            StepResult::Fail => true,
            StepResult::Unknown => self.step == Some(finding.step),
            StepResult::Pass | StepResult::Skip => false,
        });
        let facts = decisive.map(|finding| {
            let sides = [("module", &finding.module), ("kernel", &finding.kernel)];
            let sides = sides.iter().filter_map(|(side, value)| Some(format!("{side}: {}", value.as_ref()?)));
            let sides: Vec<String> = sides.collect();
            match sides.is_empty() {
                true => format!("{}: {}", finding.step.name(), finding.sentence()),
                false => format!("{}: {} ({})", finding.step.name(), finding.sentence(), sides.join(", ")),
            }
        });
        let has_line = self.lines.iter().any(|line| predicted.contains(line.text.as_str()));
        let agrees = has_line || self.step.is_some() && self.step == verdict.stage;
        self.exact = Some(ExactFact { agrees, step: verdict.stage, facts: facts.collect() });
    }

    /// Sets the errno and its name.
    pub(super) fn set_errno(&mut self, errno: Option<i32>) {
        self.errno = errno;
        self.errno_name = errno.map(|errno| errno_name(errno).into_owned());
    }
}
