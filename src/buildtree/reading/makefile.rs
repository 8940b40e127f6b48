//! `VERSION`, `PATCHLEVEL`, `SUBLEVEL`, `EXTRAVERSION` of a kernel's top Makefile. Pure.
//!
//! They are its first lines in every age. Joined as `VERSION.PATCHLEVEL.SUBLEVEL` and `EXTRAVERSION` they are the
//! `KERNELVERSION` (up to 2.6.14 a part of `KERNELRELEASE`). Since 3.0 an empty `PATCHLEVEL` or `SUBLEVEL` has no dot
//! either.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::buildtree::file_line::FileLine;
use crate::error::{Error, ErrorKind, Result};

/// The three numbers of a kernel's version: 2.6.32 is `(2, 6, 32)`.
pub type KernelNumbers = (u32, u32, u32);

/// The version in a Makefile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MakefileVersion {
    /// `VERSION`.
    pub version: MakeVariable,
    /// `PATCHLEVEL`.
    pub patchlevel: MakeVariable,
    /// `SUBLEVEL`.
    pub sublevel: MakeVariable,
    /// `EXTRAVERSION`, with its hyphen. If the Makefile does not set it: empty, and the file as a whole.
    pub extraversion: MakeVariable,
    /// Those of the four lines that end with a carriage return, which make includes in the value.
    pub windows_lines: Vec<usize>,
}

/// A variable's value, and the line that sets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MakeVariable {
    /// The value without surrounding white space, comment and carriage return.
    pub value: String,
    /// The assignment that takes effect: the last one.
    pub place: FileLine,
}

impl MakefileVersion {
    /// The version in a kernel's top Makefile.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Malformed`] if it does not set them, or not to numbers; [`ErrorKind::Unsupported`] for a kernel before 2.6,
    /// whose modules have no vermagic.
    pub fn parse(text: &str, file: &Path) -> Result<Self> {
        let mut windows_lines = Vec::new();
        let mut last: BTreeMap<&str, MakeVariable> = BTreeMap::new();
        for MakeAssignment { name, value, line, windows } in assignments(text) {
            if !NAMES.contains(&name) {
                continue;
            }
            if windows {
                windows_lines.push(line);
            }
            last.insert(name, MakeVariable { value: value.to_owned(), place: FileLine::new(file, line) });
        }
        let mut take = |name: &str| {
            last.remove(name).ok_or_else(|| {
                let what = format!("not a kernel's top Makefile: it does not set {name}");
                Error::new(ErrorKind::Malformed, what).hint(HINT).on(file)
            })
        };
        let version = MakefileVersion {
            version: take("VERSION")?,
            patchlevel: take("PATCHLEVEL")?,
            sublevel: take("SUBLEVEL")?,
            extraversion: take("EXTRAVERSION")
                .unwrap_or_else(|_| MakeVariable { value: String::new(), place: FileLine::whole(file) }),
            windows_lines,
        };
        version.must_be_linux(file)?;
        Ok(version)
    }

    /// The three numbers; an empty one is 0.
    pub fn numbers(&self) -> KernelNumbers {
        let number = |assigned: &MakeVariable| assigned.value.parse().unwrap_or(0);
        (number(&self.version), number(&self.patchlevel), number(&self.sublevel))
    }

    /// `KERNELVERSION`, as make puts it together.
    pub fn kernelversion(&self) -> String {
        let dotted = |assigned: &MakeVariable| match assigned.value.as_str() {
            "" => String::new(),
            value => format!(".{value}"),
        };
        let MakefileVersion { version, patchlevel, sublevel, extraversion, .. } = self;
        format!("{}{}{}{}", version.value, dotted(patchlevel), dotted(sublevel), extraversion.value)
    }

    /// # Errors
    ///
    /// As [`MakefileVersion::parse`].
    fn must_be_linux(&self, file: &Path) -> Result<()> {
        for (name, assigned) in
            [("VERSION", &self.version), ("PATCHLEVEL", &self.patchlevel), ("SUBLEVEL", &self.sublevel)]
        {
            let may_be_empty = name != "VERSION";
            if assigned.value.parse::<u32>().is_err() && !(may_be_empty && assigned.value.is_empty()) {
                let what =
                    format!("line {}: {name} is '{}', which is not a number", assigned.place.line, assigned.value);
                return Err(Error::new(ErrorKind::Malformed, what).hint(HINT).on(file));
            }
        }
        match self.numbers() {
            (2, patchlevel @ 0..=5, sublevel) => {
                let what = format!("the source of Linux 2.{patchlevel}.{sublevel}, whose modules have no vermagic");
                Err(Error::new(ErrorKind::Unsupported, what).hint("name a tree of Linux 2.6 or later").on(file))
            }
            (2..=99, _, _) => Ok(()),
            (version, _, _) => {
                let what = format!("not a kernel's top Makefile: its VERSION is {version}");
                Err(Error::new(ErrorKind::Malformed, what).hint(HINT).on(file))
            }
        }
    }
}

const NAMES: [&str; 4] = ["VERSION", "PATCHLEVEL", "SUBLEVEL", "EXTRAVERSION"];

const HINT: &str = "name the top folder of a kernel's source, headers or build tree";

/// Does a Makefile set all numbers of a kernel's version? One that `make O=` generates sets only the first two.
pub(super) fn is_top(text: &str) -> bool {
    let names: Vec<&str> = assignments(text).map(|line| line.name).collect();
    ["VERSION", "PATCHLEVEL", "SUBLEVEL"].iter().all(|name| names.contains(name))
}

/// The variables that a Makefile sets without indentation, each with its last value as text.
pub(super) fn variables(text: &str) -> BTreeMap<&str, &str> {
    assignments(text).map(|line| (line.name, line.value)).collect()
}

/// An assignment.
pub(super) struct MakeAssignment<'t> {
    /// The variable, without `export` or `override` before it.
    pub(super) name: &'t str,
    /// Its text.
    pub(super) value: &'t str,
    /// Its line, from 1.
    pub(super) line: usize,
    /// Does it end with a carriage return?
    windows: bool,
}

/// The assignments without indentation: `NAME = value`, with any of make's operators except `+=`.
pub(super) fn assignments(text: &str) -> impl Iterator<Item = MakeAssignment<'_>> {
    text.split('\n').enumerate().filter_map(|(at, raw)| {
        let windows = raw.ends_with('\r');
        let code = without_comment(raw);
        let (left, value) = code.split_once('=')?;
        let name = left.trim_end_matches([':', '?']).trim_end();
        let name = ["export", "override"].iter().fold(name, |name, word| {
            name.strip_prefix(word).filter(|rest| rest.starts_with([' ', '\t'])).map_or(name, str::trim_start)
        });
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        (!name.is_empty() && name.chars().all(is_name)).then_some(MakeAssignment {
            name,
            value: value.trim(),
            line: at + 1,
            windows,
        })
    })
}

/// A line without its comment. An escaped `#` is text.
fn without_comment(line: &str) -> &str {
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match c {
            '#' if !escaped => return line.get(..at).unwrap_or(line),
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<MakefileVersion> {
        MakefileVersion::parse(text, Path::new("Makefile"))
    }

    #[test]
    fn the_guides_tree() {
        let version =
            parse("VERSION = 2\nPATCHLEVEL = 6\nSUBLEVEL = 5\nEXTRAVERSION = -1.358custom\nNAME=Zonked\n").unwrap();
        assert_eq!(version.kernelversion(), "2.6.5-1.358custom");
        assert_eq!(version.extraversion.place.to_string(), "Makefile:4");
        assert_eq!(version.numbers(), (2, 6, 5));
    }

    #[test]
    fn the_last_assignment_takes_effect_and_comments_do_not() {
        let version = parse(
            "# SPDX-License-Identifier: GPL-2.0\nVERSION = 6\nPATCHLEVEL := 1\nSUBLEVEL = 192 # stable\n\
             EXTRAVERSION = -a\n#EXTRAVERSION = -b\nEXTRAVERSION ?= -c\nEXTRAVERSION_X = -d\n",
        )
        .unwrap();
        assert_eq!(version.kernelversion(), "6.1.192-c");
        assert_eq!(version.extraversion.place.line, 7);
    }

    #[test]
    fn an_empty_extraversion_is_empty() {
        assert_eq!(
            parse("VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 0\nEXTRAVERSION =\n").unwrap().kernelversion(),
            "6.1.0"
        );
        let without = parse("VERSION = 3\nPATCHLEVEL = 0\nSUBLEVEL =\n").unwrap();
        assert_eq!((without.kernelversion().as_str(), without.extraversion.place.line), ("3.0", 0));
    }

    #[test]
    fn lines_with_carriage_returns_are_listed() {
        let version = parse("VERSION = 6\r\nPATCHLEVEL = 1\r\nSUBLEVEL = 0\nEXTRAVERSION = -x\r\n").unwrap();
        assert_eq!((version.kernelversion().as_str(), version.windows_lines.as_slice()), ("6.1.0-x", &[1, 2, 4][..]));
    }

    #[test]
    fn other_projects_and_old_kernels_are_refused() {
        let kind = |text| parse(text).unwrap_err().kind();
        assert_eq!(kind("all:\n\tcc x.c\n"), ErrorKind::Malformed);
        assert_eq!(kind("VERSION = 2\nPATCHLEVEL = 4\nSUBLEVEL = 37\nEXTRAVERSION =\n"), ErrorKind::Unsupported);
        // U-Boot and busybox have the same variables.
        assert_eq!(kind("VERSION = 2024\nPATCHLEVEL = 01\nSUBLEVEL =\nEXTRAVERSION =\n"), ErrorKind::Malformed);
        assert_eq!(kind("VERSION = 1\nPATCHLEVEL = 36\nSUBLEVEL = 1\n"), ErrorKind::Malformed);
        assert_eq!(kind("VERSION = 6\nPATCHLEVEL = x\nSUBLEVEL = 1\n"), ErrorKind::Malformed);
    }

    #[test]
    fn the_makefile_of_an_output_folder_is_not_a_top_makefile() {
        assert!(!is_top("VERSION = 2\nPATCHLEVEL = 6\nKERNELSRC := /src\nMAKEARGS := -C $(KERNELSRC)\n"));
        assert!(is_top("VERSION = 2\nPATCHLEVEL = 6\nSUBLEVEL = 5\n"));
        let words = variables("override ARCH = x86\noverride KERNELRELEASE = 6.1.0-56-amd64\nifneq ($(A),$(B))\n");
        assert_eq!(words["KERNELRELEASE"], "6.1.0-56-amd64");
    }
}
