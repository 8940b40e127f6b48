//! The vermagic that a tree's headers define for its modules, each part with the line that it comes from. Pure.
//!
//! Every kernel since 2.5.5x defines the string by the macro `VERMAGIC_STRING` in `include/linux/vermagic.h`. It consists of
//! `UTS_RELEASE`, words that depend on options, and the architecture's `MODULE_ARCH_VERMAGIC`, which is in `asm/vermagic.h`
//! since 5.8 and in `asm/module.h` before. Vendors add words. So there is no table here: the headers are preprocessed, as for
//! the file that modpost writes next to each module (`NAME.mod.c`; `add_header()` in `scripts/mod/modpost.c`), which includes
//! `linux/module.h`, then `linux/vermagic.h`.
//!
//! `linux/module.h` includes half of the kernel's headers, and almost none of them can affect the string. So at first only
//! those that can are read: the headers that the two files `vermagic.h` include, `module.h` of the architecture, and the
//! generated ones. If an undefined name remains, all headers are read.

mod arguments;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ops::Range;

use serde::Serialize;

use crate::buildtree::file_line::FileLine;
use crate::buildtree::preprocessor::{
    Condition, Diagnostic, DiagnosticKind, ExpandedPart, Expansion, HeaderSource, IncludeFolder, Location, Need,
    Preprocessor, PreprocessorLimits, Spelled,
};
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::Config;
use crate::vermagic::Vermagic;
use arguments::CompilerArgument;

/// The inputs of the evaluation.
#[derive(Clone, Debug)]
pub struct HeaderInputs<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The architecture's folder below `arch/` (`SRCARCH`): `x86`, `arm64`. Before 2.6.24 `i386` and `x86_64` are two.
    pub architecture: &'a str,
    /// The release of the modules, and its line; without one, the release in the tree's generated headers
    /// (`generated/utsrelease.h` since 2.6.33, `linux/utsrelease.h` since 2.6.18, `linux/version.h` before).
    pub release: Option<(&'a str, FileLine)>,
    /// The first two numbers of the compiler's version (`__GNUC__` and `__GNUC_MINOR__`): the vermagic had `gcc-3.3` before
    /// 2.6.20.
    pub compiler: Option<(u32, u32)>,
}

/// The vermagic of a tree's modules.
#[derive(Clone, Debug)]
pub struct HeaderVermagic {
    /// The parts of the string, in order.
    pub pieces: Vec<VermagicPiece>,
    /// Its parts under other conditions; they can be empty.
    pub others: Vec<AlternativePiece>,
    /// What a compiler would have reported about the headers.
    pub notes: Vec<Diagnostic>,
    /// How many headers were read.
    pub headers: usize,
}

/// A part of the string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VermagicPiece {
    /// Its text, or the name of an undefined macro in its place (`RANDSTRUCT_HASHED_SEED` before its header is generated).
    pub said: Spelled,
    /// The line that contains the text.
    pub place: FileLine,
    /// The conditions that select it, the outermost first; without those that no option decides (include guards).
    pub conditions: Vec<Condition>,
}

/// A part of the string under other conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlternativePiece {
    /// The macro that would be defined differently: `MODULE_VERMAGIC_SMP`.
    pub name: String,
    /// Its expansion now; `None` if it is not defined.
    pub now: Option<Vec<u8>>,
    /// Its expansion under these conditions.
    pub text: Vec<u8>,
    /// Undefined names in it; the text contains nothing in their places.
    pub unknown: Vec<String>,
    /// The line of that definition.
    pub place: FileLine,
    /// The conditions that would have to hold, the outermost first.
    pub conditions: Vec<Condition>,
}

/// An undefined name in a vermagic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UndefinedName {
    /// The undefined macro.
    pub name: String,
    /// The line that uses it.
    pub place: FileLine,
}

impl HeaderVermagic {
    /// The vermagic, if all of it is known.
    pub fn vermagic(&self) -> Option<Vermagic> {
        self.unknown().is_empty().then(|| Vermagic::parse(&self.known()))
    }

    /// The string without its unknown parts.
    pub fn known(&self) -> Vec<u8> {
        text_of(&self.pieces)
    }

    /// Its undefined names.
    pub fn unknown(&self) -> Vec<UndefinedName> {
        let unknown = |piece: &VermagicPiece| match &piece.said {
            Spelled::Token(name) => Some(UndefinedName { name: name.clone(), place: piece.place.clone() }),
            Spelled::Text(_) => None,
        };
        self.pieces.iter().filter_map(unknown).collect()
    }

    /// The pieces that a range of [`HeaderVermagic::known`], such as a token, comes from.
    pub fn pieces_of(&self, range: &Range<usize>) -> Vec<&VermagicPiece> {
        let mut at = 0;
        let mut found = Vec::new();
        for piece in &self.pieces {
            let Spelled::Text(text) = &piece.said else { continue };
            let (start, end) = (at, at + text.len());
            at = end;
            if start < range.end && range.start < end {
                found.push(piece);
            }
        }
        found
    }
}

/// Evaluates the vermagic of a tree's headers.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] if there is no `include/linux/vermagic.h`, or it defines no `VERMAGIC_STRING`; [`ErrorKind::Io`] if
/// a header cannot be read; [`ErrorKind::TooLarge`] if the evaluation would take too long. Other errors that a compiler would
/// report are in the notes, and an undefined name is a piece of its own.
pub fn vermagic(headers: &impl HeaderSource, given: &HeaderInputs) -> Result<HeaderVermagic> {
    let arguments = arguments::arguments(headers, given.architecture, given.config)?;
    let folders = arguments::folders(given.architecture, given.config);
    let near = evaluate(headers, given, &arguments, &folders, &reaches_the_string)?;
    if near.left_over.is_empty() {
        return Ok(near.carried);
    }
    match evaluate(headers, given, &arguments, &folders, &|name, _| !is_configuration(name)) {
        // Missing headers among half of the kernel's (generated ones, the compiler's own) are not relevant for the string.
        Ok(far) => Ok(HeaderVermagic { notes: near.carried.notes, ..far.carried }),
        Err(error) if error.kind() == ErrorKind::TooLarge => {
            let mut carried = near.carried;
            let place = Location { file: error.path().unwrap_or(VERMAGIC_H.as_ref()).to_owned(), line: 0 };
            let text = format!("{}; looked for: {}", error.what(), near.left_over.join(", "));
            carried.notes.push(Diagnostic { kind: DiagnosticKind::TooMuch, place, text });
            Ok(carried)
        }
        Err(error) => Err(error),
    }
}

const VERMAGIC_H: &str = "include/linux/vermagic.h";
const STRING: &str = "VERMAGIC_STRING";

/// Names that are defined outside of the headers, and so can be missing without another error.
const MADE: [&str; 4] = ["UTS_RELEASE", "RANDSTRUCT_HASHED_SEED", "__GNUC__", "__GNUC_MINOR__"];

/// hexagon's word, which nothing defines, at least in 5.10 to 7.2: the vermagic of its modules contains the name itself.
const NEVER_DEFINED: &str = "PROCESSOR_MODEL_NAME";

/// Names that select for whom a header is read; for a module they are always the same.
const ALWAYS: [&str; 6] = ["__KERNEL__", "MODULE", "INCLUDE_VERMAGIC", "__ASSEMBLY__", "__ASSEMBLER__", "__GENKSYMS__"];

/// Is it a header of the configuration? The configuration is an input instead, so that one can be tried that does not exist yet.
fn is_configuration(name: &str) -> bool {
    matches!(name, "linux/autoconf.h" | "generated/autoconf.h" | "linux/config.h")
}

/// Can a header that another one includes affect the string?
fn reaches_the_string(name: &str, within: &str) -> bool {
    let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let names_the_string = last(within) == "vermagic.h";
    let is_of_the_string = matches!(
        last(name).as_str(),
        "vermagic.h"
            | "module.h"
            | "mach_module.h"
            | "version.h"
            | "utsrelease.h"
            | "stringify.h"
            | "kconfig.h"
            | "randomize_layout_hash.h"
            | "randstruct_hash.h"
    );
    !is_configuration(name) && (names_the_string || is_of_the_string)
}

struct Evaluated {
    carried: HeaderVermagic,
    /// Undefined names that the string depends on.
    left_over: Vec<String>,
}

fn evaluate<H: HeaderSource>(
    headers: &H,
    given: &HeaderInputs,
    arguments: &[CompilerArgument],
    folders: &[IncludeFolder],
    follows: &dyn Fn(&str, &str) -> bool,
) -> Result<Evaluated> {
    let mut source = Preprocessor::new(headers, folders, follows, PreprocessorLimits::default());
    define(&mut source, given, arguments);
    // The compiler includes these first: kconfig.h since 3.1, compiler-version.h since 5.12.
    source.include("linux/compiler-version.h")?;
    source.include("linux/kconfig.h")?;
    source.include("linux/module.h")?;
    source.include("asm/module.h")?;
    if !source.include("linux/vermagic.h")? {
        let error = Error::new(ErrorKind::NotFound, "no such file, so the vermagic of modules is not known");
        return Err(error.on(VERMAGIC_H).hint("name the top folder of a kernel's source, headers or build tree"));
    }
    let Some(expansion) = source.expand(STRING)? else {
        let error = Error::new(ErrorKind::NotFound, format!("it does not define {STRING}"));
        return Err(error.on(VERMAGIC_H).hint("is this a kernel before 2.6, or a truncated header?"));
    };
    let Expansion { parts, mut reached, quoted } = expansion;
    let mut pieces = pieces(&source, arguments, parts);
    for piece in &mut pieces {
        // `#` turns an undefined name into text, and no compiler reports that. It is not a word of the string.
        if let Spelled::Text(text) = &piece.said
            && let Some(name) = quoted.iter().find(|name| name.as_bytes() == text && *name != NEVER_DEFINED)
        {
            piece.said = Spelled::Token(name.clone());
        }
    }
    let mut left_over: BTreeSet<String> = quoted.into_iter().collect();
    for piece in &pieces {
        if let Spelled::Token(name) = &piece.said {
            left_over.insert(name.clone());
            reached.push(name.clone());
        }
    }
    let others = others(&mut source, arguments, &reached)?;
    let conditions = pieces.iter().map(|piece| &piece.conditions).chain(others.iter().map(|other| &other.conditions));
    for name in conditions.flatten().flat_map(|condition| &condition.names) {
        let is_known = name.starts_with("CONFIG_") || source.was_defined(name);
        if !is_known && !arguments.iter().any(|argument| argument.name == name) {
            left_over.insert(name.clone());
        }
    }
    let mut notes = source.notes().to_vec();
    if given.release.is_some() {
        // Then the header with the release is not needed.
        notes.retain(|note| note.kind != DiagnosticKind::MissingHeader || !note.text.ends_with("utsrelease.h"));
    }
    let carried = HeaderVermagic { pieces, others, notes, headers: source.files_read() };
    let left_over = left_over.into_iter().filter(|name| !MADE.contains(&name.as_str())).collect();
    Ok(Evaluated { carried, left_over })
}

/// Defines the macros of the compiler's command line and of the configuration.
fn define<H: HeaderSource>(source: &mut Preprocessor<H>, given: &HeaderInputs, arguments: &[CompilerArgument]) {
    let kbuild = Location { file: "Makefile".into(), line: 0 };
    for name in ["__KERNEL__", "MODULE", "INCLUDE_VERMAGIC"] {
        source.define(name, "1", &kbuild);
    }
    let config = Location { file: ".config".into(), line: 0 };
    for (name, value) in given.config {
        match value.as_str() {
            "n" => {}
            "y" => source.define(&format!("CONFIG_{name}"), "1", &config),
            "m" => source.define(&format!("CONFIG_{name}_MODULE"), "1", &config),
            value if is_number(value) => source.define(&format!("CONFIG_{name}"), value, &config),
            value => source.define(&format!("CONFIG_{name}"), &literal(value), &config),
        }
    }
    if let Some((major, minor)) = given.compiler {
        let compiler = Location { file: "gcc".into(), line: 0 };
        source.define("__GNUC__", &major.to_string(), &compiler);
        source.define("__GNUC_MINOR__", &minor.to_string(), &compiler);
    }
    for argument in arguments.iter().filter(|argument| argument.is_given) {
        source.define(argument.name, &argument.value, &argument.place);
    }
    if let Some((release, place)) = &given.release {
        source.pin("UTS_RELEASE", &literal(release), &place.into());
    }
}

fn is_number(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) => !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

fn literal(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn text_of(pieces: &[VermagicPiece]) -> Vec<u8> {
    let text = |piece: &VermagicPiece| match &piece.said {
        Spelled::Text(text) => text.clone(),
        Spelled::Token(_) => Vec::new(),
    };
    pieces.iter().flat_map(text).collect()
}

fn pieces<H: HeaderSource>(
    source: &Preprocessor<H>,
    arguments: &[CompilerArgument],
    parts: Vec<ExpandedPart>,
) -> Vec<VermagicPiece> {
    let piece = |part: ExpandedPart| {
        let mut conditions = decisive(source, arguments, part.conditions);
        // A macro of the command line was selected by an option of its own.
        let argument = arguments.iter().find(|argument| argument.is_given && argument.place == part.place);
        conditions.extend(argument.map(CompilerArgument::condition));
        VermagicPiece { said: part.text, place: part.place.into(), conditions }
    };
    parts.into_iter().map(piece).collect()
}

/// The conditions that options or undefined names decide, without include guards.
fn decisive<H: HeaderSource>(
    source: &Preprocessor<H>,
    arguments: &[CompilerArgument],
    conditions: Vec<Condition>,
) -> Vec<Condition> {
    let counts = |name: &String| {
        let is_argument = arguments.iter().any(|argument| argument.name == name);
        let is_decided = ALWAYS.contains(&name.as_str()) || source.was_defined(name);
        is_argument || name.starts_with("CONFIG_") || !is_decided
    };
    let kept = conditions.into_iter().filter(|condition| condition.names.iter().any(counts));
    kept.map(|condition| Condition { needs: condition.needs.map(|needs| by_option(arguments, needs)), ..condition })
        .collect()
}

/// Replaces a macro of the command line by the option that selects it.
fn by_option(arguments: &[CompilerArgument], needs: Vec<Need>) -> Vec<Need> {
    let option = |need: Need| {
        let mut selecting = arguments.iter().filter(|argument| argument.name == need.name);
        match (selecting.next(), selecting.next()) {
            (Some(argument), None) => Need { name: argument.option.clone(), set: need.set },
            _ => need,
        }
    };
    needs.into_iter().map(option).collect()
}

/// The macros of the string under other conditions.
fn others<H: HeaderSource>(
    source: &mut Preprocessor<H>,
    arguments: &[CompilerArgument],
    reached: &[String],
) -> Result<Vec<AlternativePiece>> {
    let mut others = Vec::new();
    for name in reached {
        let alternatives = source.alternatives(name)?;
        let by_argument = arguments.iter().filter(|argument| argument.name == name && !argument.is_given);
        if alternatives.is_empty() && by_argument.clone().next().is_none() {
            continue;
        }
        let now = source.expand(name)?.map(|expansion| text_of(&pieces(source, arguments, expansion.parts)));
        for alternative in alternatives {
            let mut unknown = Vec::new();
            let mut text = Vec::new();
            for part in alternative.parts {
                match part.text {
                    Spelled::Text(bytes) => text.extend(bytes),
                    Spelled::Token(name) => unknown.push(name),
                }
            }
            if unknown.is_empty() && now.as_ref() == Some(&text) {
                continue;
            }
            let conditions = decisive(source, arguments, alternative.conditions);
            let (name, now, place) = (name.clone(), now.clone(), alternative.place.into());
            others.push(AlternativePiece { name, now, text, unknown, place, conditions });
        }
        let now = arguments.iter().find(|argument| argument.name == name && argument.is_given);
        let now = now.map(|argument| argument.value.clone().into_bytes());
        for argument in by_argument {
            let (name, place, text) =
                (name.clone(), argument.place.clone().into(), argument.value.clone().into_bytes());
            let conditions = vec![argument.condition()];
            others.push(AlternativePiece { name, now: now.clone(), text, unknown: Vec::new(), place, conditions });
        }
    }
    Ok(others)
}
