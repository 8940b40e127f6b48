//! The conditions under which a line of a header is active, in a form that a person can act on.

use std::rc::Rc;

use super::limits::MOST_NESTED;
use super::location::Location;
use super::token::{PreprocessorToken, TokenClass, TokenPosition};

/// A condition around a line of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The line of the condition.
    pub place: Location,
    /// Its text: `#ifdef CONFIG_SMP`. Escape it before showing it.
    pub text: String,
    /// Must it be true? It must be false for a later branch of the same group (`#else`).
    pub holds: bool,
    /// The names that it depends on: options with `CONFIG_`, and other macros.
    pub names: Vec<String>,
    /// What each name must be, if the condition can be reduced to that; `None` if there are several ways to satisfy it, or if it
    /// tests more than whether names are set.
    pub needs: Option<Vec<Need>>,
}

/// A name that must be set, or must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The name: `CONFIG_SMP`.
    pub name: String,
    /// Must it be set?
    pub set: bool,
}

/// A condition that a header tests.
#[derive(Debug)]
pub(super) struct Test {
    pub(super) spot: TokenPosition,
    /// Its text, from `#` on.
    pub(super) text: String,
    /// The tokens of the expression; for `#ifdef X` those of `defined X`, for `#ifndef X` of `!defined X`.
    pub(super) tokens: Vec<PreprocessorToken>,
}

/// A branch: a condition with its required value, within another branch.
pub(super) struct Branch {
    within: u32,
    test: Rc<Test>,
    wanted: bool,
}

/// All branches; number 0 is outside of all conditions.
#[derive(Default)]
pub(super) struct Branches(Vec<Branch>);

impl Branches {
    /// Adds the branch in which `test` has the value `wanted`, within another branch.
    pub(super) fn add(&mut self, within: u32, test: Rc<Test>, wanted: bool) -> u32 {
        self.0.push(Branch { within, test, wanted });
        u32::try_from(self.0.len()).unwrap_or(0)
    }

    /// The conditions of a branch and their required values, the outermost first.
    pub(super) fn path_to(&self, branch: u32) -> Vec<(&Test, bool)> {
        let mut path = Vec::new();
        let mut at = branch;
        while let Some(branch) = usize::try_from(at).ok().and_then(|at| self.0.get(at.checked_sub(1)?)) {
            path.push((&*branch.test, branch.wanted));
            at = branch.within;
        }
        path.reverse();
        path
    }
}

/// How many names of one expression are listed.
const MOST_NAMES: usize = 64;

/// The names in an expression, each once.
pub(super) fn names(test: &Test) -> Vec<String> {
    let mut names = Vec::new();
    for token in test.tokens.iter().filter(|token| token.kind == TokenClass::Name) {
        let name = String::from_utf8_lossy(&token.text).into_owned();
        if names.len() < MOST_NAMES
            && name != "defined"
            && !TESTING_MACROS.contains(&name.as_str())
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names
}

/// What each name must be for a test to have the value `wanted`, if it can be reduced to that.
pub(super) fn needs(test: &Test, wanted: bool) -> Option<Vec<Need>> {
    let mut reader = LogicParser { tokens: &test.tokens, at: 0, depth: 0 };
    let logic = reader.any()?;
    let mut needs = Vec::new();
    (reader.at == test.tokens.len() && collect(&logic, wanted, &mut needs)).then_some(needs)
}

/// The macros of `include/linux/kconfig.h` (3.1) that test whether an option is set.
const TESTING_MACROS: [&str; 4] = ["IS_ENABLED", "IS_BUILTIN", "IS_MODULE", "IS_REACHABLE"];

/// An expression, as far as it tests whether names are set.
enum Logic {
    Name(String),
    Not(Box<Logic>),
    All(Vec<Logic>),
    Any(Vec<Logic>),
}

fn collect(logic: &Logic, wanted: bool, needs: &mut Vec<Need>) -> bool {
    match logic {
        Logic::Name(name) => {
            needs.push(Need { name: name.clone(), set: wanted });
            true
        }
        Logic::Not(inner) => collect(inner, !wanted, needs),
        Logic::All(parts) if wanted => parts.iter().all(|part| collect(part, true, needs)),
        Logic::Any(parts) if !wanted => parts.iter().all(|part| collect(part, false, needs)),
        Logic::All(_) | Logic::Any(_) => false,
    }
}

struct LogicParser<'a> {
    tokens: &'a [PreprocessorToken],
    at: usize,
    depth: usize,
}

impl LogicParser<'_> {
    fn take(&mut self, sign: &[u8]) -> bool {
        let is_it = self.tokens.get(self.at).is_some_and(|token| token.is(sign));
        self.at += usize::from(is_it);
        is_it
    }

    fn name(&mut self) -> Option<String> {
        let token = self.tokens.get(self.at).filter(|token| token.kind == TokenClass::Name)?;
        self.at += 1;
        Some(String::from_utf8_lossy(&token.text).into_owned())
    }

    fn any(&mut self) -> Option<Logic> {
        let first = self.all()?;
        let mut parts = vec![first];
        while self.take(b"||") {
            parts.push(self.all()?);
        }
        if parts.len() == 1 { parts.pop() } else { Some(Logic::Any(parts)) }
    }

    fn all(&mut self) -> Option<Logic> {
        let first = self.one()?;
        let mut parts = vec![first];
        while self.take(b"&&") {
            parts.push(self.one()?);
        }
        if parts.len() == 1 { parts.pop() } else { Some(Logic::All(parts)) }
    }

    fn one(&mut self) -> Option<Logic> {
        self.depth += 1;
        if self.depth > MOST_NESTED {
            return None;
        }
        let logic = if self.take(b"!") {
            Logic::Not(Box::new(self.one()?))
        } else if self.take(b"(") {
            let inner = self.any()?;
            self.take(b")").then_some(inner)?
        } else {
            let name = self.name()?;
            if name == "defined" || TESTING_MACROS.contains(&name.as_str()) {
                let opens = self.take(b"(");
                let asked = self.name()?;
                (!opens || self.take(b")")).then_some(Logic::Name(asked))?
            } else {
                Logic::Name(name)
            }
        };
        self.depth -= 1;
        Some(logic)
    }
}
