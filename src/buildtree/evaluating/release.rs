//! The release of a tree's modules: current, and after the next build. Pure.
//!
//! It consists of `KERNELVERSION`, the `localversion*` files, `CONFIG_LOCALVERSION`, `LOCALVERSION` of the environment, and the
//! suffix of version control, in this order. Up to 2.6.13 the environment is not used, and up to 2.6.34 only if
//! CONFIG_LOCALVERSION_AUTO is set (the top Makefile of each).

use serde::Serialize;

use crate::buildtree::file_line::FileLine;
use crate::buildtree::reading::localversion::{Gathering, LocalVersion};
use crate::buildtree::reading::makefile::MakefileVersion;
use crate::buildtree::reading::scm::ScmSuffix;

/// A tree's two releases.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Releases {
    /// The release of a module that is built now, and its line; `None` if nothing was built yet.
    pub current: Option<ReleasePiece>,
    /// The pieces of the release after the next build, in order, as far as they are known.
    pub pieces: Vec<ReleasePiece>,
    /// The pieces joined; `None` if one of them is not known, or no build creates a release.
    pub rebuilt: Option<String>,
    /// Why it is not known, in words.
    pub unknown: Option<String>,
}

/// A piece of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReleasePiece {
    /// The text, with its dot or hyphen.
    pub text: String,
    /// The line that it comes from.
    pub place: FileLine,
    /// What it is.
    pub from: ReleasePieceKind,
}

/// What a piece of a release is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleasePieceKind {
    /// `VERSION` of the Makefile.
    Version,
    /// `PATCHLEVEL`.
    Patchlevel,
    /// `SUBLEVEL`.
    Sublevel,
    /// `EXTRAVERSION`.
    Extraversion,
    /// A `localversion*` file.
    LocalversionFile,
    /// `CONFIG_LOCALVERSION`.
    ConfigLocalversion,
    /// `LOCALVERSION` of the environment.
    Environment,
    /// Version control.
    Scm,
    /// A generated file, completely.
    Generated,
    /// `override KERNELRELEASE` of a package's makefiles.
    Forced,
}

/// The sources of a release.
pub(super) struct ReleaseInputs<'t> {
    pub(super) version: &'t MakefileVersion,
    pub(super) gathering: Gathering,
    pub(super) files: &'t [LocalVersion],
    /// `CONFIG_LOCALVERSION`; `None` if the tree is not configured.
    pub(super) config: Option<(String, FileLine)>,
    /// Is CONFIG_LOCALVERSION_AUTO set?
    pub(super) auto: bool,
    /// `LOCALVERSION`, and the Makefile that reads it.
    pub(super) environment: Option<(String, FileLine)>,
    pub(super) scm: &'t ScmSuffix,
    /// `override KERNELRELEASE`.
    pub(super) forced: Option<(String, FileLine)>,
    /// Why no build of this tree creates a release, if so.
    pub(super) kept: Option<&'static str>,
}

impl Releases {
    /// Joins them. `current` is the release of the generated header, with its line.
    pub(super) fn assemble(of: &ReleaseInputs, current: Option<(String, FileLine)>) -> Self {
        let current = current.map(|(text, place)| ReleasePiece { text, place, from: ReleasePieceKind::Generated });
        if let Some((text, place)) = &of.forced {
            let piece = ReleasePiece { text: text.clone(), place: place.clone(), from: ReleasePieceKind::Forced };
            return Releases { current, rebuilt: Some(piece.text.clone()), pieces: vec![piece], unknown: None };
        }
        let pieces = of.pieces();
        let unknown = of.unknown();
        let whole: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
        let rebuilt = unknown.is_none().then(|| as_echoed(&whole));
        Releases { current, pieces, rebuilt, unknown }
    }

    /// The longest release, in characters: with a longer one make stops (`uts_len` of the top Makefile).
    pub const LONGEST: usize = 64;
}

/// A release as the header contains it: `echo \#define UTS_RELEASE \"$(KERNELRELEASE)\"` (top Makefile, since 2.6.18) splits it
/// into words, and prints one space between them.
fn as_echoed(release: &str) -> String {
    let mut echoed = String::with_capacity(release.len());
    for c in release.chars().map(|c| if matches!(c, '\t' | '\n') { ' ' } else { c }) {
        if c != ' ' || !echoed.ends_with(' ') {
            echoed.push(c);
        }
    }
    echoed
}

impl ReleaseInputs<'_> {
    fn pieces(&self) -> Vec<ReleasePiece> {
        let mut pieces = Vec::new();
        let mut add = |text: String, place: &FileLine, from| {
            if !text.is_empty() {
                pieces.push(ReleasePiece { text, place: place.clone(), from });
            }
        };
        let MakefileVersion { version, patchlevel, sublevel, extraversion, .. } = self.version;
        let dotted = |value: &str| if value.is_empty() { String::new() } else { format!(".{value}") };
        add(version.value.clone(), &version.place, ReleasePieceKind::Version);
        add(dotted(&patchlevel.value), &patchlevel.place, ReleasePieceKind::Patchlevel);
        add(dotted(&sublevel.value), &sublevel.place, ReleasePieceKind::Sublevel);
        add(extraversion.value.clone(), &extraversion.place, ReleasePieceKind::Extraversion);
        if self.gathering == Gathering::Never {
            return pieces;
        }
        for file in self.files {
            add(file.text.clone(), &file.place, ReleasePieceKind::LocalversionFile);
        }
        if let Some((text, place)) = &self.config {
            add(self.gathering.text(text), place, ReleasePieceKind::ConfigLocalversion);
        }
        if let Some((text, place)) = self.environment.as_ref().filter(|_| self.reads_environment()) {
            add(text.clone(), place, ReleasePieceKind::Environment);
        }
        add(self.scm.suffix.clone().unwrap_or_default(), &self.scm.place, ReleasePieceKind::Scm);
        pieces
    }

    /// Does this age append `LOCALVERSION` of the environment?
    fn reads_environment(&self) -> bool {
        match self.gathering {
            Gathering::Never | Gathering::Listed => false,
            // 2.6.10 to 2.6.13 set it themselves; since 2.6.14 LOCALVERSION_AUTO appends it.
            Gathering::Sorted | Gathering::Found => self.auto && self.version.numbers() >= (2, 6, 14),
            Gathering::Script => true,
        }
    }

    /// Why it is not known.
    fn unknown(&self) -> Option<String> {
        let MakefileVersion { version, patchlevel, sublevel, extraversion, windows_lines } = self.version;
        if let Some(why) = self.kept {
            return Some(why.to_owned());
        }
        if let Some(line) = windows_lines.first() {
            let file = FileLine::new(&version.place.file, *line);
            return Some(format!("{file} ends with a carriage return, which make includes in the release"));
        }
        let of_make = [version, patchlevel, sublevel, extraversion].into_iter().find(|a| a.value.contains("$("));
        if let Some(assigned) = of_make {
            return Some(format!("{}: only make can evaluate {}", assigned.place, assigned.value));
        }
        if self.config.is_none() && self.gathering != Gathering::Never {
            return Some("the tree is not configured".to_owned());
        }
        match &self.scm.suffix {
            Some(_) => None,
            None => Some(format!("{}: {}", self.scm.place, self.scm.why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn version(text: &str) -> MakefileVersion {
        MakefileVersion::parse(text, Path::new("Makefile")).unwrap()
    }

    const GUIDE: &str = "VERSION = 2\nPATCHLEVEL = 6\nSUBLEVEL = 5\nEXTRAVERSION = -1.358custom\n";
    const NEW: &str = "VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 0\nEXTRAVERSION = -rc1\n";

    fn scm(suffix: Option<&str>) -> ScmSuffix {
        ScmSuffix { suffix: suffix.map(str::to_owned), place: FileLine::whole("script"), why: "why".to_owned() }
    }

    fn releases(text: &str, gathering: Gathering, suffix: Option<&str>, auto: bool) -> Releases {
        let file = LocalVersion { place: FileLine::new("localversion", 1), text: "-rt1".to_owned() };
        let of = ReleaseInputs {
            version: &version(text),
            gathering,
            files: &[file],
            config: Some(("-a b".to_owned(), FileLine::new(".config", 9))),
            auto,
            environment: Some(("-env".to_owned(), FileLine::whole("Makefile"))),
            scm: &scm(suffix),
            forced: None,
            kept: None,
        };
        Releases::assemble(&of, Some(("2.6.5-1.358".to_owned(), FileLine::new("version.h", 1))))
    }

    #[test]
    fn the_release_of_the_guides_tree_has_four_lines() {
        let releases = releases(GUIDE, Gathering::Never, Some(""), false);
        let pieces: Vec<String> =
            releases.pieces.iter().map(|piece| format!("{} {}", piece.place, piece.text)).collect();
        assert_eq!(pieces, ["Makefile:1 2", "Makefile:2 .6", "Makefile:3 .5", "Makefile:4 -1.358custom"]);
        assert_eq!(releases.rebuilt.as_deref(), Some("2.6.5-1.358custom"));
        assert_eq!(releases.current.unwrap().text, "2.6.5-1.358");
    }

    #[test]
    fn white_space_in_the_middle_becomes_one_space() {
        assert_eq!(as_echoed("6.1.192 -one  -two\tand more"), "6.1.192 -one -two and more");
    }

    #[test]
    fn each_age_has_its_order() {
        let rebuilt = |gathering, auto| releases(NEW, gathering, Some("+"), auto).rebuilt.unwrap();
        assert_eq!(rebuilt(Gathering::Script, false), "6.1.0-rc1-rt1-a b-env+");
        assert_eq!(rebuilt(Gathering::Found, true), "6.1.0-rc1-rt1-ab-env+");
        assert_eq!(rebuilt(Gathering::Found, false), "6.1.0-rc1-rt1-ab+");
        assert_eq!(releases(GUIDE, Gathering::Sorted, Some(""), true).rebuilt.unwrap(), "2.6.5-1.358custom-rt1-ab");
    }

    #[test]
    fn an_unknown_piece_makes_the_release_unknown() {
        let releases_of = |text, suffix| releases(text, Gathering::Script, suffix, true);
        let unknown = releases_of(NEW, None);
        assert_eq!((unknown.rebuilt.as_deref(), unknown.unknown.as_deref()), (None, Some("script: why")));
        let windows = releases_of("VERSION = 6\nPATCHLEVEL = 1\r\nSUBLEVEL = 0\n", Some(""));
        assert!(windows.unknown.unwrap().starts_with("Makefile:2 ends with a carriage return"));
        let made = releases_of("VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 0\nEXTRAVERSION = $(shell date)\n", Some(""));
        assert_eq!(made.rebuilt, None);
    }
}
