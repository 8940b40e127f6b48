//! The compiler that a configuration records, and the one that would be used.
//!
//! It is recorded as CONFIG_CC_VERSION_TEXT (since 4.18) with CONFIG_GCC_VERSION or CONFIG_CLANG_VERSION, before that in
//! a comment of the configuration (`# Compiler: …`, 5.0 and around), and by a full build in compile.h (LINUX_COMPILER).

use std::process::Command;
use std::time::Duration;

use serde::Serialize;

use crate::buildtree::file_line::FileLine;
use crate::buildtree::reading::external::{ProgramFailure, ask};
use crate::buildtree::reading::files::read_text;
use crate::buildtree::reading::layout::TreeLayout;
use crate::buildtree::reading::options::Options;
use crate::error::Result;

/// Two compilers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Compilers {
    /// The compiler that the tree was configured or built with.
    pub recorded: Option<Compiler>,
    /// The compiler that would be used now; `None` if it cannot be run.
    pub here: Option<Compiler>,
    /// The command of that compiler: `gcc`, or from `CC` and `CROSS_COMPILE`.
    pub command: String,
    /// Why it could not be run.
    pub missing: Option<String>,
}

/// A compiler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Compiler {
    /// `gcc` or `clang`.
    pub family: CompilerFamily,
    /// Its major version.
    pub major: u32,
    /// Its whole version: `12.2.0`.
    pub version: String,
    /// The line that contains the version.
    pub text: String,
    /// Where it is recorded; `None` for the output of a program.
    pub place: Option<FileLine>,
}

/// A family of compilers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CompilerFamily {
    /// GNU C.
    Gcc,
    /// LLVM.
    Clang,
}

/// The time limit for a compiler to print its version.
const LIMIT: Duration = Duration::from_secs(10);

impl Compilers {
    /// Both compilers. `cc` and `cross` are the values that make would get as `CC=` and `CROSS_COMPILE=`.
    ///
    /// # Errors
    ///
    /// [`crate::error::ErrorKind::Io`] for a file that records a compiler and cannot be read.
    pub fn read(layout: &TreeLayout, config: Option<&Options>, cc: Option<&str>, cross: Option<&str>) -> Result<Self> {
        let recorded = recorded(layout, config)?;
        let command = command(layout, cc, cross);
        let mut words = command.split_whitespace();
        let program = words.next().unwrap_or("gcc");
        let answer = ask(Command::new(program).args(words).arg("--version").env("LC_ALL", "C"), LIMIT);
        let (here, missing) = match answer {
            Ok(answer) => match Compiler::parse(answer.stdout.lines().next().unwrap_or_default(), None) {
                Some(compiler) => (Some(compiler), None),
                None => (None, Some(format!("{command} --version prints no version"))),
            },
            Err(ProgramFailure::Missing) => (None, Some(format!("{program} is not installed here"))),
            Err(ProgramFailure::Failed(why)) => (None, Some(format!("{command} could not be run: {why}"))),
        };
        Ok(Compilers { recorded, here, command, missing })
    }

    /// The first two numbers of the version of the installed compiler; if it cannot be run, of the recorded one.
    pub fn numbers(&self) -> Option<(u32, u32)> {
        let compiler = self.here.as_ref().or(self.recorded.as_ref())?;
        let mut numbers = compiler.version.split('.').map(|number| number.parse().ok());
        Some((numbers.next()??, numbers.next().flatten().unwrap_or(0)))
    }
}

impl Compiler {
    /// Do both have the same family and major version?
    pub fn is_like(&self, other: &Compiler) -> bool {
        (self.family, self.major) == (other.family, other.major)
    }

    /// Parses the line in which a compiler prints its version, or a kernel records it.
    pub fn parse(text: &str, place: Option<FileLine>) -> Option<Self> {
        let after = |words: &str| text.split_once(words).and_then(|(_, rest)| rest.split_whitespace().next());
        let (family, version) = match (after("clang version "), after("gcc version ")) {
            (Some(version), _) => (CompilerFamily::Clang, version),
            (None, Some(version)) => (CompilerFamily::Gcc, version),
            (None, None) => (CompilerFamily::Gcc, outside_of_brackets(text)?),
        };
        let end = version.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(version.len());
        let version = version.get(..end)?.trim_end_matches('.');
        let major = version.split('.').next()?.parse().ok()?;
        Some(Compiler { family, major, version: version.to_owned(), text: text.trim().to_owned(), place })
    }
}

impl Compiler {
    /// The compiler that a kernel's banner names: `Linux version 6.1.0-56-amd64 (BUILDER) (gcc-12 (Debian
    /// 12.2.0-14+deb12u1) 12.2.0, GNU ld …) #1 …`, before 5.8 `(gcc version 8.3.0 (Debian 8.3.0-6))`.
    pub fn of_banner(banner: &str) -> Option<Self> {
        let start =
            [" (gcc", " (clang", "gcc version ", "clang version "].iter().filter_map(|mark| banner.find(mark)).min()?;
        let named = banner.get(start..)?.trim_start_matches([' ', '(']);
        let end = [", GNU ld", ", LLD", ") #", ")) #"].iter().filter_map(|mark| named.find(mark)).min();
        Compiler::parse(named.get(..end.unwrap_or(named.len()))?, None)
    }
}

/// The version in `gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0`, and in Red Hat's `gcc (GCC) 4.8.5 20150623 (Red Hat
/// 4.8.5-44)`: the first version outside of brackets.
fn outside_of_brackets(text: &str) -> Option<&str> {
    let is_version = |word: &&str| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit());
    let mut depth = 0_usize;
    let mut outside = text.split_inclusive(['(', ')']).filter_map(|piece| {
        let is_outside = depth == 0;
        match piece.as_bytes().last() {
            Some(b'(') => depth += 1,
            Some(b')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        is_outside.then(|| piece.trim_end_matches(['(', ')']))
    });
    outside.find_map(|piece| piece.split_whitespace().find(is_version))
}

/// # Errors
///
/// As [`Compilers::read`].
fn recorded(layout: &TreeLayout, config: Option<&Options>) -> Result<Option<Compiler>> {
    if let Some(config) = config {
        let text = config.get("CC_VERSION_TEXT").filter(|text| !text.is_empty());
        let found = text.and_then(|text| Compiler::parse(text, Some(config.place("CC_VERSION_TEXT"))));
        if found.is_some() {
            return Ok(found);
        }
        for (family, name, option) in
            [(CompilerFamily::Clang, "clang", "CLANG_VERSION"), (CompilerFamily::Gcc, "gcc", "GCC_VERSION")]
        {
            // 120200 is 12.2.0.
            let Some(number) = config.get(option).and_then(|text| text.parse::<u32>().ok()).filter(|n| *n >= 10_000)
            else {
                continue;
            };
            let version = format!("{}.{}.{}", number / 10_000, number / 100 % 100, number % 100);
            let text = format!("{name} {version}");
            let place = Some(config.place(option));
            return Ok(Some(Compiler { family, major: number / 10_000, version, text, place }));
        }
    }
    let file = layout.object.join(".config");
    let comment = read_text(&file)?.and_then(|text| {
        let (at, line) = text.lines().take(16).enumerate().find(|(_, line)| line.starts_with("# Compiler: "))?;
        Compiler::parse(line.strip_prefix("# Compiler: ")?, Some(FileLine::new(&file, at + 1)))
    });
    if comment.is_some() {
        return Ok(comment);
    }
    for below in ["include/generated/compile.h", "include/linux/compile.h"] {
        let file = layout.object.join(below);
        let Some(text) = read_text(&file)? else { continue };
        for (at, line) in text.lines().enumerate() {
            let value = line.strip_prefix("#define LINUX_COMPILER ").map(|value| value.trim().trim_matches('"'));
            if let Some(found) = value.and_then(|value| Compiler::parse(value, Some(FileLine::new(&file, at + 1)))) {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

/// The compiler that make would run: `CC` of the caller, else the one that a package forces, else `gcc` with the prefix. A
/// compiler that a tree names is only run if it is a bare name, because a tree can come from anybody.
fn command(layout: &TreeLayout, cc: Option<&str>, cross: Option<&str>) -> String {
    if let Some(cc) = cc.filter(|cc| !cc.trim().is_empty()) {
        return cc.trim().to_owned();
    }
    // The package overrides the value that make gets. Debian's 7.2 does this, to call gcc by its full name.
    let forced_cross = layout.forced_cross.as_ref().map(|forced| forced.value.as_str()).filter(|word| is_prefix(word));
    let cross = forced_cross.or(cross).unwrap_or_default();
    let forced = layout.forced_compiler.as_ref().and_then(|forced| forced.value.split_whitespace().next_back());
    let forced =
        forced.map(|word| word.strip_prefix("$(CROSS_COMPILE)").unwrap_or(word)).filter(|word| is_compiler(word));
    format!("{cross}{}", forced.unwrap_or("gcc"))
}

/// `x86_64-linux-gnu-`: not a path, because programs that a tree names are only run by their bare names.
fn is_prefix(word: &str) -> bool {
    word.ends_with('-') && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// `gcc`, `gcc-12`, `clang-16`.
fn is_compiler(word: &str) -> bool {
    let rest = ["gcc", "clang"].iter().find_map(|name| word.strip_prefix(name));
    let is_number = |rest: &str| rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('-').is_some_and(is_number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernels_banner_names_its_compiler() {
        let of =
            |banner: &str| Compiler::of_banner(banner).map(|found| (found.family, found.major, found.text)).unwrap();
        let debian = "Linux version 6.1.0-56-amd64 (debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0-14+deb12u1) \
                      12.2.0, GNU ld (GNU Binutils for Debian) 2.40) #1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2";
        assert_eq!(of(debian), (CompilerFamily::Gcc, 12, "gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0".to_owned()));
        let old = "Linux version 4.19.0 (me@here) (gcc version 8.3.0 (Debian 8.3.0-6)) #1 SMP Debian 4.19.1";
        assert_eq!(of(old).1, 8);
        let clang = "Linux version 6.6.1 (me@here) (Debian clang version 17.0.6, LLD 17.0.6) #2 SMP";
        assert_eq!((of(clang).0, of(clang).1), (CompilerFamily::Clang, 17));
        assert!(Compiler::of_banner("Linux version 2.6.5").is_none());
    }

    #[test]
    fn every_form_of_a_version() {
        for (text, family, major, version) in [
            ("gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0", CompilerFamily::Gcc, 12, "12.2.0"),
            ("gcc (GCC) 13.2.1 20230801", CompilerFamily::Gcc, 13, "13.2.1"),
            ("x86_64-linux-gnu-gcc-16 (Debian 16.1.0-3) 16.1.0", CompilerFamily::Gcc, 16, "16.1.0"),
            ("gcc (GCC) 3.3.3 20040412 (Red Hat Linux 3.3.3-7)", CompilerFamily::Gcc, 3, "3.3.3"),
            ("gcc (GCC) 4.8.5 20150623 (Red Hat 4.8.5-44)", CompilerFamily::Gcc, 4, "4.8.5"),
            ("gcc (x (y 1.2) 3.4) 5.6.7 (z 8.9)", CompilerFamily::Gcc, 5, "5.6.7"),
            ("gcc version 4.1.2 20061115 (prerelease) (Debian 4.1.1-21)", CompilerFamily::Gcc, 4, "4.1.2"),
            ("gcc version 3.3.3 20040412 (Red Hat Linux 3.3.3-7)", CompilerFamily::Gcc, 3, "3.3.3"),
            ("Debian clang version 14.0.6", CompilerFamily::Clang, 14, "14.0.6"),
            ("Ubuntu clang version 18.1.3 (1ubuntu1)", CompilerFamily::Clang, 18, "18.1.3"),
            ("clang version 17.0.0 (https://example.org (a.b) 1.2)", CompilerFamily::Clang, 17, "17.0.0"),
        ] {
            let compiler = Compiler::parse(text, None).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(
                (compiler.family, compiler.major, compiler.version.as_str()),
                (family, major, version),
                "{text}"
            );
        }
        assert_eq!(Compiler::parse("no such thing", None), None);
    }

    #[test]
    fn only_the_bare_name_of_a_compiler_is_run() {
        for (word, is) in
            [("gcc", true), ("gcc-12", true), ("clang-16", true), ("/tmp/gcc", false), ("gcc-12;x", false)]
        {
            assert_eq!(is_compiler(word), is, "{word}");
        }
    }
}
