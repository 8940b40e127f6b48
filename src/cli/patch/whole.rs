//! What a plan of many comes to, in numbers and in a few names: of bounded size, however many modules it is for and whatever
//! is in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::output::{self, Failure, Paint, Session, count, grouped};
use crate::cli::patch::item::Item;
use crate::cli::patch::shown;
use crate::cli::{Status, words};
use crate::digest::{Sha256, Sha256Hasher};
use crate::error::Error;
use crate::escape;
use crate::kernel::Kernel;
use crate::module::container::Container;
use crate::patch::{Plan, Request, Signature};
use crate::predict::{Decision, Verdict};
use crate::vermagic::Vermagic;

/// How many of many are named.
const NAMED: usize = 5;

/// How many errors are told one by one.
pub(super) const TOLD: usize = 20;

/// How many kinds are told apart where files make them up, which may be made to be all different.
const MOST_KINDS: usize = 256;

/// How much of a text from a file tells kinds apart, in bytes.
const LONGEST: usize = 512;

/// What the plan of one module comes to.
pub(super) enum Look {
    Wanted(Box<Wanted>),
    AsWished,
    /// A guard refuses it: which, and the error.
    Refused(&'static str, Error),
    Failed(Error),
}

/// A module that is to be patched.
pub(super) struct Wanted {
    pub(super) item: Item,
    pub(super) group: Group,
    /// What the kernel says before and after, in short.
    pub(super) answers: Option<[String; 2]>,
    /// What is odd about the wish.
    pub(super) notes: Vec<String>,
    /// The plan as JSON, where that is printed.
    pub(super) json: Option<String>,
}

/// What modules have in common that are shown in one line.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group {
    before: String,
    after: After,
    how: &'static str,
    /// What becomes of the rest.
    rest: Vec<&'static str>,
}

/// What becomes of a version magic.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum After {
    Nothing,
    Stays,
    Becomes(String),
}

/// The plan of all.
pub(super) struct Whole {
    /// How many are to be patched.
    wanted: usize,
    /// The first of them.
    named: Vec<PathBuf>,
    /// Over the digests of their plans, up to now.
    sum: Sha256Hasher,
    groups: BTreeMap<Group, usize>,
    /// Those to be patched for which there were too many groups.
    others: usize,
    answers: BTreeMap<[String; 2], usize>,
    overridden: BTreeMap<String, usize>,
    /// What is odd about the wish, and for how many.
    notes: BTreeMap<String, usize>,
    as_wished: usize,
    /// What guards refuse, by guard and reason.
    refused: BTreeMap<(&'static str, String), Refused>,
    /// Those refused for which there were too many reasons.
    refused_otherwise: usize,
    failed: usize,
    /// All modules that were looked at.
    all: usize,
}

/// What one guard refuses.
struct Refused {
    hint: Option<String>,
    paths: Vec<PathBuf>,
    count: usize,
}

/// A verdict in two or three words.
pub(super) fn in_short(verdict: &Verdict) -> String {
    match (verdict.answer, verdict.stage) {
        (Decision::Accepted, _) => "accepted".to_owned(),
        (Decision::Refused, Some(step)) => format!("refused at {}", step.name()),
        (Decision::Refused, None) => "refused".to_owned(),
        (Decision::Unknown, _) => "not refused by what is known".to_owned(),
    }
}

impl Group {
    pub(super) fn of(plan: &Plan) -> Group {
        let how = match (plan.container, plan.grows) {
            (Container::None, _) if plan.is_in_place() => "in place",
            (Container::None, true) => ".modinfo grows, a whole new file",
            (Container::None, false) => "a whole new file",
            (_, true) => ".modinfo grows, packed anew",
            (_, false) => "packed anew",
        };
        let before = plan.vermagic_before.as_bytes();
        let after = match plan.vermagic_after.as_ref().map(Vermagic::as_bytes) {
            None => After::Nothing,
            Some(after) if after == before => After::Stays,
            Some(after) => After::Becomes(output::vermagic(after)),
        };
        let is_hidden = plan.versioned.as_ref().map(|versioned| versioned.hidden);
        let rest = [
            (plan.signature == Signature::Strip && plan.module.trailer.is_some(), "signature stripped"),
            (plan.signature == Signature::Keep && plan.module.trailer.is_some(), "signature kept, which fits no more"),
            (plan.signature == Signature::Renew, "signed anew"),
            (is_hidden == Some(true), "symbol versions hidden"),
            (is_hidden == Some(false), "symbol versions rewritten"),
            (plan.drop_btf && plan.module.btf.is_some(), ".BTF dropped"),
            (plan.mark.is_some(), "marked"),
        ];
        let rest = rest.into_iter().filter_map(|(is_so, what)| is_so.then_some(what)).collect();
        let before = match before.get(..LONGEST) {
            Some(start) if before.len() > LONGEST => format!("{}…", escape::bytes_for_eyes(start)),
            _ => output::vermagic(before),
        };
        Group { before, after, how, rest }
    }
}

impl Default for Whole {
    fn default() -> Whole {
        let mut sum = Sha256Hasher::new();
        sum.update(b"kmodlab patch many 1\n");
        Whole {
            sum,
            wanted: 0,
            named: Vec::new(),
            groups: BTreeMap::new(),
            others: 0,
            answers: BTreeMap::new(),
            overridden: BTreeMap::new(),
            notes: BTreeMap::new(),
            as_wished: 0,
            refused: BTreeMap::new(),
            refused_otherwise: 0,
            failed: 0,
            all: 0,
        }
    }
}

impl Whole {
    /// One more, and what its plan comes to. What is to be told of it alone is told; what is to be patched is given back.
    ///
    /// # Errors
    ///
    /// If it can't be told.
    pub(super) fn add(
        &mut self,
        path: &Path,
        look: Look,
        is_json: bool,
        session: &mut Session<'_>,
    ) -> Result<Option<Item>, Failure> {
        self.all += 1;
        match look {
            Look::AsWished => self.as_wished += 1,
            Look::Failed(error) => self.fail(path, &error, is_json, session)?,
            Look::Refused(guard, error) => {
                if is_json {
                    session.json(&Trouble::of(path, Some(guard), &error))?;
                }
                self.refuse(path, guard, &error);
            }
            Look::Wanted(wanted) => {
                let Wanted { item, group, answers, notes, json } = *wanted;
                if let Some(json) = json {
                    writeln!(session.out, "{}", escape::json_for_eyes(&json))?;
                }
                self.count(group);
                if let Some(answers) = answers {
                    *self.answers.entry(answers).or_default() += 1;
                }
                for note in notes {
                    *self.notes.entry(note).or_default() += 1;
                }
                for guard in item.overrides() {
                    *self.overridden.entry(guard.clone()).or_default() += 1;
                }
                self.wanted += 1;
                self.sum.update(item.digest().as_bytes());
                if self.named.len() < NAMED {
                    self.named.push(path.to_owned());
                }
                return Ok(Some(item));
            }
        }
        Ok(None)
    }

    fn count(&mut self, group: Group) {
        let is_full = self.groups.len() >= MOST_KINDS;
        match self.groups.get_mut(&group) {
            Some(number) => *number += 1,
            None if is_full => self.others += 1,
            None => *self.groups.entry(group).or_default() += 1,
        }
    }

    fn refuse(&mut self, path: &Path, guard: &'static str, error: &Error) {
        let reason = (guard, cut(error.what()));
        if self.refused.len() >= MOST_KINDS && !self.refused.contains_key(&reason) {
            self.refused_otherwise += 1;
            return;
        }
        let refused = self.refused.entry(reason).or_insert_with(|| Refused {
            hint: words::next_step(error),
            paths: Vec::new(),
            count: 0,
        });
        refused.count += 1;
        if refused.paths.len() < NAMED {
            refused.paths.push(path.to_owned());
        }
    }

    fn fail(&mut self, path: &Path, error: &Error, is_json: bool, session: &mut Session<'_>) -> Result<(), Failure> {
        self.failed += 1;
        if is_json {
            session.json(&Trouble::of(path, None, error))?;
        }
        tell(self.failed, error, session);
        Ok(())
    }

    /// How many are to be patched.
    pub(super) fn wanted(&self) -> usize {
        self.wanted
    }

    /// How many can't be patched.
    pub(super) fn failed(&self) -> usize {
        self.failed
    }

    /// What a confirmation of all names: a SHA-256 over the digests of each plan, in order.
    pub(super) fn digest(&self) -> Sha256 {
        self.sum.clone().finish()
    }

    fn refused(&self) -> usize {
        self.refused.values().map(|refused| refused.count).sum::<usize>() + self.refused_otherwise
    }

    /// One line for each guard that refuses some, and each reason; beyond some, a count.
    pub(super) fn tell_refusals(&self, session: &mut Session<'_>) {
        for ((guard, why), refused) in self.refused.iter().take(TOLD) {
            let names = some_of(&refused.paths, refused.count);
            let why = why.trim_start_matches(&format!("refused by the guard {guard}: "));
            let hint = refused.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
            let what = count(refused.count, "module");
            let why = escape::for_eyes(why);
            session.remark(format_args!("{what} refused by the guard {guard} ({names}): {why}{hint}"));
        }
        let more = self.refused.values().skip(TOLD).map(|refused| refused.count);
        let others = more.sum::<usize>() + self.refused_otherwise;
        if others > 0 {
            session.remark(format_args!("and {} more refused by guards for other reasons", digits(others)));
        }
        if self.failed > TOLD {
            session.remark(format_args!("and {} more that can't be patched", digits(self.failed - TOLD)));
        }
    }

    /// What is not in the plan, in words.
    pub(super) fn left_alone(&self) -> String {
        let parts = [
            (self.as_wished, "already as wished"),
            (self.refused(), "refused by a guard"),
            (self.failed, "can't be patched"),
        ];
        let parts =
            parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{} {what}", digits(*count)));
        parts.collect::<Vec<_>>().join(", ")
    }

    /// Prints it, for eyes.
    ///
    /// # Errors
    ///
    /// If it can't be printed.
    pub(super) fn print(
        &self,
        request: &Request,
        kernel: Option<&Kernel>,
        digest: Sha256,
        session: &mut Session<'_>,
    ) -> Result<(), Failure> {
        let modules = session.paint(Paint::Strong, count(self.wanted, "module"));
        writeln!(session.out, "plan for {modules}")?;
        if self.wanted > 0 {
            writeln!(session.out, "  modules     {}", some_of(&self.named, self.wanted))?;
        }
        for (group, number) in &self.groups {
            let old = session.paint(Paint::Bad, &group.before);
            writeln!(session.out, "  {:>7}  {old}", digits(*number))?;
            let new = match &group.after {
                After::Stays => "stays".to_owned(),
                After::Becomes(after) => format!("becomes {}", session.paint(Paint::Good, after)),
                After::Nothing => "becomes nothing".to_owned(),
            };
            let rest: String = group.rest.iter().map(|what| format!("; {what}")).collect();
            writeln!(session.out, "           {new}; {}{rest}", group.how)?;
        }
        if self.others > 0 {
            let others = digits(self.others);
            writeln!(session.out, "  {others:>7}  of other kinds; only {MOST_KINDS} kinds are listed")?;
        }
        if self.wanted > 0 {
            shown::print_words(request, session)?;
        }
        for (note, number) in &self.notes {
            let note = session.paint(Paint::Odd, escape::for_eyes(note));
            writeln!(session.out, "  note        {note} ({})", count(*number, "module"))?;
        }
        if !self.left_alone().is_empty() {
            writeln!(session.out, "  left alone  {}", self.left_alone())?;
        }
        if kernel.is_some() {
            for ([before, after], number) in &self.answers {
                writeln!(session.out, "  kernel says {}: {before}, then {after}", digits(*number))?;
            }
        }
        for (guard, number) in &self.overridden {
            let guard = session.paint(Paint::Odd, format_args!("{guard} overridden"));
            writeln!(session.out, "  guard       {guard} for {}", count(*number, "module"))?;
        }
        if self.wanted > 0 {
            writeln!(session.out, "  digest      {}", session.paint(Paint::Strong, digest))?;
        }
        Ok(())
    }

    /// It as JSON.
    pub(super) fn shown(&self, digest: Sha256) -> WholeShown {
        WholeShown {
            schema_version: 1,
            digest,
            modules: self.wanted,
            as_wished: self.as_wished,
            refused: self.refused(),
            failed: self.failed,
        }
    }

    /// How it ended, with so many that could not be written.
    pub(super) fn status(&self, unwritten: usize) -> Status {
        let done = self.wanted - unwritten + self.as_wished;
        match (done, self.failed + unwritten, self.refused()) {
            (_, 0, 0) => Status::Done,
            (0, 0, _) => Status::Guarded,
            (0, _, 0) if self.all == 1 => Status::Failed,
            _ => Status::Partial,
        }
    }
}

/// The start of a text from a file that may be long.
fn cut(text: &str) -> String {
    match text.len() > LONGEST {
        true => format!("{}…", text.get(..text.floor_char_boundary(LONGEST)).unwrap_or_default()),
        false => text.to_owned(),
    }
}

/// The first of some paths, and how many more there are.
fn some_of(paths: &[PathBuf], all: usize) -> String {
    let names: Vec<String> = paths.iter().take(NAMED).map(|path| output::path(path)).collect();
    let more = all.saturating_sub(names.len());
    match more {
        0 => names.join(", "),
        more => format!("{} and {} more", names.join(", "), digits(more)),
    }
}

/// A number for eyes.
pub(super) fn digits(number: usize) -> String {
    grouped(number as u64)
}

/// Tells of one error, unless many were told of already.
pub(super) fn tell(number: usize, error: &Error, session: &mut Session<'_>) {
    if number <= TOLD {
        session.complain(error);
    }
}

/// A module that is not in the plan, as JSON.
#[derive(Serialize)]
struct Trouble<'t> {
    schema_version: u32,
    module: String,
    /// The path's bytes in hexadecimal, where they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    /// The guard that refuses it; none for any other error.
    guard: Option<&'static str>,
    error: &'t str,
}

impl<'t> Trouble<'t> {
    fn of(path: &Path, guard: Option<&'static str>, error: &'t Error) -> Trouble<'t> {
        Trouble {
            schema_version: 1,
            module: output::path_text(path).into_owned(),
            path_hex: output::path_hex(path),
            guard,
            error: error.what(),
        }
    }
}

/// The plan of all as JSON: the last line, behind a line for each module.
#[derive(Serialize)]
pub(super) struct WholeShown {
    schema_version: u32,
    /// What `--confirm` names.
    digest: Sha256,
    modules: usize,
    as_wished: usize,
    refused: usize,
    failed: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::sha256;
    use crate::error::ErrorKind;

    fn group(before: String) -> Group {
        Group { before, after: After::Nothing, how: "in place", rest: Vec::new() }
    }

    fn printed(whole: &Whole) -> [String; 2] {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut session = Session::unattended(&mut out, &mut err);
        let request = Request::new(crate::patch::Wish::Blank, Signature::Refuse);
        whole.tell_refusals(&mut session);
        whole.print(&request, None, sha256(b""), &mut session).unwrap();
        [out, err].map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn kinds_that_files_make_up_are_told_apart_up_to_a_bounded_number_and_all_are_counted() {
        let mut whole = Whole::default();
        for number in 0..3000 {
            whole.wanted += 1;
            whole.count(group(format!("{number:04}")));
            let error =
                Error::new(ErrorKind::Guard, format!("refused by the guard owned: by {number:04}{}", "x".repeat(900)));
            whole.refuse(Path::new("/a.ko"), "owned", &error);
        }
        whole.count(group("0007".to_owned()));
        whole.wanted += 1;
        assert_eq!((whole.groups.len(), whole.refused.len()), (MOST_KINDS, MOST_KINDS));
        assert_eq!(whole.groups.values().sum::<usize>() + whole.others, 3001);
        assert_eq!(whole.refused(), 3000);
        assert!(whole.refused.keys().all(|(_, why)| why.len() <= LONGEST + "…".len()));
        let [out, err] = printed(&whole);
        assert!(out.contains("\n        2  0007\n"), "{out}");
        assert!(out.contains("\n    2,744  of other kinds; only 256 kinds are listed\n"), "{out}");
        assert!(err.ends_with("\nkmodlab: and 2,980 more refused by guards for other reasons\n"), "{err}");
    }

    #[test]
    fn a_long_text_is_cut_between_characters_and_says_so() {
        assert_eq!(cut("short"), "short");
        let long = format!("{}äb", "x".repeat(LONGEST - 1));
        assert_eq!(cut(&long), format!("{}…", "x".repeat(LONGEST - 1)));
    }
}
