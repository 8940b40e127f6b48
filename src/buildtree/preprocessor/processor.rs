//! The preprocessor itself: reads headers, follows `#include` and conditions, and keeps the macros.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::rc::Rc;

use super::condition::{self, Branches, Condition, Test};
use super::diagnostic::{Diagnostic, DiagnosticKind};
use super::expanded::{Alternative, ExpandedPart, Expansion, Spelled};
use super::expansion::{Macro, MacroName, Macros};
use super::headers::{HeaderSource, IncludeFolder, below};
use super::limits::{PreprocessorLimits, too_much};
use super::location::Location;
use super::token::{self, Directive, PreprocessorToken, TokenClass, TokenPosition, tokens_of};
use super::{expression, literal};
use crate::error::Result;

/// Macros, and the files that they come from.
pub struct Preprocessor<'a, H> {
    headers: &'a H,
    folders: &'a [IncludeFolder],
    follows: &'a dyn Fn(&str, &str) -> bool,
    limits: PreprocessorLimits,
    macros: Macros,
    /// Names that no file may define, because their values were given.
    pinned: HashSet<MacroName>,
    /// Every name that was a macro once.
    ever: HashSet<MacroName>,
    skipped: HashMap<MacroName, Vec<SkippedDefinition>>,
    /// The files that positions refer to, in the order in which they were read.
    files: Vec<PathBuf>,
    read: HashMap<String, Option<Rc<HeaderText>>>,
    bytes: usize,
    once: HashSet<u32>,
    branches: Branches,
    branch: u32,
    notes: Vec<Diagnostic>,
}

struct HeaderText {
    number: u32,
    /// Its path below the tree.
    path: String,
    directives: Vec<Directive>,
}

struct SkippedDefinition {
    source: Rc<HeaderText>,
    directive: usize,
    branch: u32,
}

/// One `#if` to its `#endif`.
struct ConditionalGroup {
    /// Is the surrounding group active?
    outer: bool,
    /// Is the current branch active?
    counts: bool,
    /// Was a branch active already?
    done: bool,
    /// The surrounding branch, then the branch in which all conditions so far are false.
    around: u32,
    last: Rc<Test>,
    outer_branch: u32,
}

/// More diagnostics than these contain nothing new.
const MOST_DIAGNOSTICS: usize = 200;

/// The alternatives of one macro. A processor's family has some thirty.
const MOST_ALTERNATIVES: usize = 200;

impl<'a, H: HeaderSource> Preprocessor<'a, H> {
    /// A preprocessor without macros. `follows` decides whether a header is read, from its name and the path of the header that
    /// includes it; other headers are skipped silently.
    pub fn new(
        headers: &'a H,
        folders: &'a [IncludeFolder],
        follows: &'a dyn Fn(&str, &str) -> bool,
        limits: PreprocessorLimits,
    ) -> Self {
        Preprocessor {
            headers,
            folders,
            follows,
            limits,
            macros: Macros::new(limits.steps),
            pinned: HashSet::new(),
            ever: HashSet::new(),
            skipped: HashMap::new(),
            files: Vec::new(),
            read: HashMap::new(),
            bytes: 0,
            once: HashSet::new(),
            branches: Branches::default(),
            branch: 0,
            notes: Vec::new(),
        }
    }

    /// Defines an object-like macro, as `-D` does. `from` is the line that it comes from.
    pub fn define(&mut self, name: &str, value: &str, from: &Location) {
        let spot = self.spot_of(from);
        let tokens = tokens_of(value.as_bytes(), spot, 0);
        // The only error in an object-like macro is a '##' at one of its ends, which no given value has.
        if let Ok(definition) = Macro::of(spot, spaced(tokens)) {
            self.put(name.as_bytes().into(), definition);
        }
    }

    /// Defines an object-like macro that no header can redefine.
    pub fn pin(&mut self, name: &str, value: &str, from: &Location) {
        self.define(name, value, from);
        self.pinned.insert(name.as_bytes().into());
    }

    /// Reads a header, as `#include <name>` does. False if no folder contains it.
    pub fn include(&mut self, name: &str) -> Result<bool> {
        match self.find(name, None)? {
            Some(source) => self.process(&source, 0).map(|()| true),
            None => Ok(false),
        }
    }

    /// Is there a macro of this name?
    pub fn is_defined(&self, name: &str) -> bool {
        self.macros.table.contains_key(name.as_bytes())
    }

    /// Was a macro of this name ever defined?
    pub fn was_defined(&self, name: &str) -> bool {
        self.ever.contains(name.as_bytes())
    }

    /// What a compiler would have reported.
    pub fn notes(&self) -> &[Diagnostic] {
        &self.notes
    }

    /// How many files were read.
    pub fn files_read(&self) -> usize {
        self.read.values().flatten().count()
    }

    /// The expansion of a macro; `None` if there is no macro of this name.
    pub fn expand(&mut self, name: &str) -> Result<Option<Expansion>> {
        let Some(definition) = self.macros.table.get(name.as_bytes()) else { return Ok(None) };
        let tokens = tokens_of(name.as_bytes(), definition.spot, 0);
        self.macros.reached.clear();
        self.macros.quoted.clear();
        let tokens = self.macros.expand(tokens, false)?;
        let parts = self.parts(tokens)?;
        let mut reached = Vec::new();
        let mut seen = HashSet::new();
        for name in std::mem::take(&mut self.macros.reached) {
            if seen.insert(name.clone()) {
                reached.push(String::from_utf8_lossy(&name).into_owned());
            }
        }
        let mut quoted = Vec::new();
        for token in std::mem::take(&mut self.macros.quoted) {
            let name = String::from_utf8_lossy(&token.text).into_owned();
            if quoted.len() < MOST_DIAGNOSTICS
                && !self.macros.table.contains_key(&token.text)
                && !quoted.contains(&name)
            {
                quoted.push(name);
            }
        }
        Ok(Some(Expansion { parts, reached, quoted }))
    }

    /// The definitions of a name that were skipped.
    pub fn alternatives(&mut self, name: &str) -> Result<Vec<Alternative>> {
        let skipped = self.skipped.get(name.as_bytes()).map(Vec::as_slice).unwrap_or_default();
        let mut found = Vec::new();
        let mut bodies = Vec::new();
        for skipped in skipped {
            let Some(directive) = skipped.source.directives.get(skipped.directive) else { continue };
            let mut tokens = directive.tokens(directive.name().1, skipped.source.number, skipped.branch).into_iter();
            let Some(name) = tokens.next() else { continue };
            if let Ok(definition) = Macro::of(name.spot, tokens.collect()) {
                bodies.push((name.spot, skipped.branch, definition.tokens()));
            }
        }
        for (spot, branch, tokens) in bodies {
            let tokens = self.macros.expand(tokens, false)?;
            let parts = self.parts(tokens)?;
            found.push(Alternative { place: self.place(spot), conditions: self.conditions(branch)?, parts });
        }
        Ok(found)
    }

    fn parts(&mut self, tokens: Vec<PreprocessorToken>) -> Result<Vec<ExpandedPart>> {
        let mut parts = Vec::new();
        for token in tokens {
            let text = match (token.kind, literal::bytes(&token.text)) {
                (TokenClass::Text, Some(bytes)) => Spelled::Text(bytes),
                _ => Spelled::Token(String::from_utf8_lossy(&token.text).into_owned()),
            };
            parts.push(ExpandedPart {
                text,
                place: self.place(token.spot),
                conditions: self.conditions(token.branch)?,
            });
        }
        Ok(parts)
    }

    fn conditions(&mut self, branch: u32) -> Result<Vec<Condition>> {
        let path = self.branches.path_to(branch);
        // Hostile headers can have thousands of nested conditions, and each part of a string would list them all.
        self.macros.spend(path.iter().map(|(test, _)| test.tokens.len() + 1).sum())?;
        let condition = |(test, holds): (&Test, bool)| Condition {
            place: self.place(test.spot),
            text: test.text.clone(),
            holds,
            names: condition::names(test),
            needs: condition::needs(test, holds),
        };
        Ok(path.into_iter().map(condition).collect())
    }

    fn place(&self, spot: TokenPosition) -> Location {
        let file = usize::try_from(spot.file).ok().and_then(|number| self.files.get(number));
        Location { file: file.cloned().unwrap_or_default(), line: spot.line as usize }
    }

    fn spot_of(&mut self, place: &Location) -> TokenPosition {
        let line = u32::try_from(place.line).unwrap_or(0);
        // Thousands of options come from one file, so the last file is compared first.
        let known = self.files.iter().rposition(|file| *file == place.file);
        let file = known.unwrap_or_else(|| {
            self.files.push(place.file.clone());
            self.files.len() - 1
        });
        TokenPosition { file: u32::try_from(file).unwrap_or(0), line }
    }

    fn put(&mut self, name: MacroName, definition: Macro) {
        if !self.pinned.contains(&name) {
            self.ever.insert(name.clone());
            self.macros.table.insert(name, Rc::new(definition));
        }
    }

    fn note(&mut self, kind: DiagnosticKind, spot: TokenPosition, text: String) {
        if self.notes.len() < MOST_DIAGNOSTICS {
            self.notes.push(Diagnostic { kind, place: self.place(spot), text });
        }
    }

    /// The file of a name; for `"…"` the folder of the including file comes first.
    fn find(&mut self, name: &str, including: Option<&str>) -> Result<Option<Rc<HeaderText>>> {
        if let Some(path) =
            including.and_then(|path| below(path.rsplit_once('/').map_or("", |(folder, _)| folder), name))
            && let Some(source) = self.open(path)?
        {
            return Ok(Some(source));
        }
        let folders = self.folders;
        for folder in folders {
            let path = name.strip_prefix(folder.prefix.as_str()).and_then(|rest| below(&folder.path, rest));
            if let Some(path) = path
                && let Some(source) = self.open(path)?
            {
                return Ok(Some(source));
            }
        }
        Ok(None)
    }

    /// A file, read once.
    fn open(&mut self, path: String) -> Result<Option<Rc<HeaderText>>> {
        if let Some(known) = self.read.get(&path) {
            return Ok(known.clone());
        }
        self.macros.spend(1)?;
        let source = match self.headers.read(&path)? {
            None => None,
            Some(header) => {
                self.bytes = self.bytes.saturating_add(header.bytes.len());
                if self.bytes > self.limits.bytes {
                    return Err(too_much("they are larger than a kernel's").on(header.file));
                }
                if self.files_read() >= self.limits.files {
                    return Err(too_much("there are more than in a kernel").on(header.file));
                }
                let spot = self.spot_of(&Location { file: header.file, line: 0 });
                let directives = token::directives(&header.bytes);
                Some(Rc::new(HeaderText { number: spot.file, path: path.clone(), directives }))
            }
        };
        self.read.insert(path, source.clone());
        Ok(source)
    }

    fn process(&mut self, source: &Rc<HeaderText>, depth: usize) -> Result<()> {
        if self.once.contains(&source.number) {
            return Ok(());
        }
        if depth > self.limits.depth {
            return Err(too_much("they include each other endlessly").on(self.place_of(source).file));
        }
        let outer_branch = self.branch;
        let mut groups: Vec<ConditionalGroup> = Vec::new();
        for (number, directive) in source.directives.iter().enumerate() {
            self.macros.spend(1 + directive.length() / 8)?;
            let spot = TokenPosition { file: source.number, line: directive.line() };
            let (name, after) = directive.name();
            let counts = groups.last().is_none_or(|group| group.counts);
            match name {
                b"if" | b"ifdef" | b"ifndef" => {
                    let test = Rc::new(test(directive, spot, self.branch));
                    let holds = counts && self.holds(&test)?;
                    let (around, outer_branch) = (self.branch, self.branch);
                    self.branch = self.branches.add(around, test.clone(), true);
                    groups.push(ConditionalGroup {
                        outer: counts,
                        counts: holds,
                        done: holds,
                        around,
                        last: test,
                        outer_branch,
                    });
                }
                b"elif" | b"elifdef" | b"elifndef" | b"else" => {
                    let Some(group) = groups.last_mut() else {
                        self.note(DiagnosticKind::BadDirective, spot, "it has no #if".to_owned());
                        continue;
                    };
                    group.around = self.branches.add(group.around, group.last.clone(), false);
                    let open = group.outer && !group.done;
                    let (counts, branch) = if name == b"else" {
                        (open, group.around)
                    } else {
                        let test = Rc::new(test(directive, spot, group.around));
                        group.last = test.clone();
                        let branch = self.branches.add(group.around, test.clone(), true);
                        (open && self.holds(&test)?, branch)
                    };
                    self.branch = branch;
                    // At a second `#else` a branch was already active, so it is inactive, as it should be.
                    if let Some(group) = groups.last_mut() {
                        group.counts = counts;
                        group.done |= counts;
                    }
                }
                b"endif" => match groups.pop() {
                    Some(group) => self.branch = group.outer_branch,
                    None => self.note(DiagnosticKind::BadDirective, spot, "it has no #if".to_owned()),
                },
                b"define" if !counts => self.skip(source, number, directive, after),
                _ if !counts => {}
                b"define" => self.define_as(directive, after, spot)?,
                b"undef" => {
                    let tokens = directive.tokens(after, spot.file, 0);
                    if let Some(name) = tokens.first().filter(|name| !self.pinned.contains(&name.text)) {
                        self.macros.table.remove(&name.text);
                    }
                }
                b"include" | b"include_next" | b"import" => self.include_as(source, directive, after, spot, depth)?,
                b"error" => {
                    let text = String::from_utf8_lossy(directive.rest(after)).into_owned();
                    self.note(DiagnosticKind::Error, spot, text);
                }
                b"pragma" if directive.rest(after) == b"once" => {
                    self.once.insert(source.number);
                }
                b"pragma" | b"warning" | b"line" | b"ident" | b"sccs" | b"assert" | b"unassert" => {}
                _ if name.is_empty() && directive.rest(after).is_empty() => {}
                _ => {
                    let text = format!("unknown directive: #{}", String::from_utf8_lossy(directive.rest(0)));
                    self.note(DiagnosticKind::BadDirective, spot, text);
                }
            }
        }
        if let Some(open) = groups.last() {
            let spot = open.last.spot;
            self.note(DiagnosticKind::BadDirective, spot, "it has no #endif".to_owned());
        }
        self.branch = outer_branch;
        Ok(())
    }

    fn place_of(&self, source: &HeaderText) -> Location {
        self.place(TokenPosition { file: source.number, line: 0 })
    }

    fn holds(&mut self, test: &Test) -> Result<bool> {
        let tokens = self.macros.expand(test.tokens.clone(), true)?;
        self.macros.reached.clear();
        self.macros.quoted.clear();
        let table = &self.macros.table;
        match expression::evaluate(&tokens, &|name| table.contains_key(name)) {
            Ok(holds) => Ok(holds),
            Err(why) => {
                self.note(DiagnosticKind::BadExpression, test.spot, format!("{}: {why}", test.text));
                Ok(false)
            }
        }
    }

    fn define_as(&mut self, directive: &Directive, after: usize, spot: TokenPosition) -> Result<()> {
        let tokens = directive.tokens(after, spot.file, self.branch);
        self.macros.spend(tokens.len())?;
        let mut tokens = tokens.into_iter();
        match tokens.next() {
            Some(name) if name.kind == TokenClass::Name && !name.is_name(b"defined") => {
                match Macro::of(spot, tokens.collect()) {
                    Ok(definition) => self.put(name.text, definition),
                    Err(why) => {
                        let text = format!("{}: {why}", String::from_utf8_lossy(&name.text));
                        self.note(DiagnosticKind::BadDirective, spot, text);
                    }
                }
            }
            _ => self.note(DiagnosticKind::BadDirective, spot, "it defines no name".to_owned()),
        }
        Ok(())
    }

    /// Remembers a skipped definition by its position only: most are never needed.
    fn skip(&mut self, source: &Rc<HeaderText>, number: usize, directive: &Directive, after: usize) {
        let rest = directive.rest(after);
        let length = rest.iter().position(|&byte| !(byte.is_ascii_alphanumeric() || byte == b'_'));
        let name: MacroName = rest.get(..length.unwrap_or(rest.len())).unwrap_or_default().into();
        let known = self.skipped.entry(name).or_default();
        // A header that is read twice would list each twice.
        if known.len() < MOST_ALTERNATIVES
            && !known.iter().any(|known| known.source.number == source.number && known.directive == number)
        {
            known.push(SkippedDefinition { source: source.clone(), directive: number, branch: self.branch });
        }
    }

    fn include_as(
        &mut self,
        source: &Rc<HeaderText>,
        directive: &Directive,
        after: usize,
        spot: TokenPosition,
        depth: usize,
    ) -> Result<()> {
        let mut written = String::from_utf8_lossy(directive.rest(after)).into_owned();
        if !written.starts_with(['"', '<']) {
            let tokens = self.macros.expand(directive.tokens(after, spot.file, 0), false)?;
            written = tokens.iter().map(|token| String::from_utf8_lossy(&token.text).into_owned()).collect();
        }
        let (name, including) = if let Some(rest) = written.strip_prefix('<') {
            (rest.split_once('>').map(|(name, _)| name), None)
        } else {
            let quoted = written.strip_prefix('"').and_then(|rest| rest.split_once('"'));
            (quoted.map(|(name, _)| name), Some(source.path.as_str()))
        };
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            self.note(DiagnosticKind::BadDirective, spot, format!("it names no header: {written}"));
            return Ok(());
        };
        if !(self.follows)(name, &source.path) {
            return Ok(());
        }
        match self.find(name, including)? {
            Some(found) => self.process(&found, depth + 1),
            None => {
                self.note(DiagnosticKind::MissingHeader, spot, name.to_owned());
                Ok(())
            }
        }
    }
}

/// The condition of `#if`, `#ifdef` and so on, as the expression of an `#if`.
fn test(directive: &Directive, spot: TokenPosition, branch: u32) -> Test {
    let (name, after) = directive.name();
    let mut tokens = directive.tokens(after, spot.file, branch);
    let before: &[u8] = match name {
        b"ifdef" | b"elifdef" => b"defined",
        b"ifndef" | b"elifndef" => b"!defined",
        _ => b"",
    };
    if !before.is_empty() {
        tokens.truncate(1);
        tokens.splice(0..0, tokens_of(before, spot, branch));
    }
    let written = String::from_utf8_lossy(directive.rest(0)).split_whitespace().collect::<Vec<_>>().join(" ");
    Test { spot, text: format!("#{written}"), tokens }
}

/// Marks the first token as preceded by a space, so that a bracket at the start is not a list of parameters.
fn spaced(mut tokens: Vec<PreprocessorToken>) -> Vec<PreprocessorToken> {
    if let Some(first) = tokens.first_mut() {
        first.spaced = true;
    }
    tokens
}
