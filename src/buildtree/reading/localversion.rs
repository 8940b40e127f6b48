//! `localversion*` files: which of them count, in which order, and what they append.
//!
//! Each age gathers them differently, and the tree's own Makefile shows how:
//!
//! | kernel | where | what counts, in which order | white space |
//! |---|---|---|---|
//! | 2.6.0 to 2.6.8 | | none | |
//! | 2.6.9 | Makefile | all, the object folder's first, then the source's | spaces and line feeds are removed |
//! | 2.6.10 to 2.6.19 | Makefile | those without `~` in the path, sorted by path | the same |
//! | 2.6.20 to 2.6.34 | Makefile | those without `~` in the name, sorted by path | the same |
//! | 2.6.35 on | scripts/setlocalversion | those without `~` in the path, the object folder's first | line feeds at the end are removed |

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::buildtree::file_line::FileLine;
use crate::buildtree::reading::files::{names_in, read_text};
use crate::error::{Error, ErrorKind, Result};

/// A `localversion*` file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LocalVersion {
    /// The file.
    pub place: FileLine,
    /// The text that it appends to the release, according to the tree's age. Empty for an empty file.
    pub text: String,
}

/// How a tree gathers `localversion*` files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gathering {
    /// Not at all.
    Never,
    /// The Makefile of 2.6.9.
    Listed,
    /// The Makefile of 2.6.10 to 2.6.19.
    Sorted,
    /// The Makefile of 2.6.20 to 2.6.34, which calls find.
    Found,
    /// The script, since 2.6.35.
    Script,
}

impl Gathering {
    /// How a tree gathers them, by the text of its top Makefile.
    pub fn of(makefile: &str) -> Self {
        let has = |words: &str| makefile.contains(words);
        match () {
            () if has("localversion-files") => Gathering::Listed,
            () if has("-regex $(pattern)") => Gathering::Found,
            () if has("localversion* $(srctree)/localversion*") => Gathering::Sorted,
            () if has("setlocalversion") => Gathering::Script,
            () => Gathering::Never,
        }
    }

    /// The text of a file, as it is appended.
    pub fn text(self, text: &str) -> String {
        match self {
            Gathering::Never => String::new(),
            Gathering::Listed | Gathering::Sorted | Gathering::Found => text.replace([' ', '\n'], ""),
            // `$(cat file)` in the shell; make turns a line feed inside into a space when it reads the release.
            Gathering::Script => text.trim_end_matches('\n').replace('\n', " ").replace('\0', ""),
        }
    }

    /// The files that count, in order. `object` and `source` are the same for a tree that is built in place.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] for a file that cannot be read: make would stop, or leave it out; [`ErrorKind::TooLarge`] for a file
    /// that is too large to be part of a release.
    pub fn read(self, object: &Path, source: &Path) -> Result<Vec<LocalVersion>> {
        let mut files = match self {
            Gathering::Never => return Ok(Vec::new()),
            _ => named(object),
        };
        if object != source {
            files.extend(named(source));
        }
        let whole = |file: &PathBuf| std::path::absolute(file).unwrap_or_else(|_| file.clone());
        let has_tilde = |path: &Path| path.to_string_lossy().contains('~');
        let name = |file: &PathBuf| PathBuf::from(file.file_name().unwrap_or_default());
        match self {
            Gathering::Never | Gathering::Listed => {}
            Gathering::Sorted => {
                files.retain(|file| !has_tilde(&whole(file)));
                files.sort_by_key(whole);
            }
            Gathering::Found => {
                files.retain(|file| !has_tilde(&name(file)));
                files.sort_by_key(whole);
            }
            // Those of the object folder are named without a path, those of the source with one.
            Gathering::Script => {
                files.retain(|file| match file.parent() == Some(source) && object != source {
                    true => !has_tilde(&whole(file)),
                    false => !has_tilde(&name(file)),
                });
            }
        }
        let mut found = Vec::new();
        for file in files {
            if let Some(text) = read_text(&file)? {
                if text.len() > LONGEST {
                    let what = format!("{} bytes long, but a release has at most 64 characters", text.len());
                    return Err(Error::new(ErrorKind::TooLarge, what).hint("remove it, or make it empty").on(file));
                }
                found.push(LocalVersion { place: FileLine::new(&file, 1), text: self.text(&text) });
            }
        }
        Ok(found)
    }
}

/// Longer than any file that is meant to be part of a release, in bytes: the top Makefile accepts 64 for all of it.
const LONGEST: usize = 4096;

/// The `localversion*` files of a folder, as a shell expands the pattern (in the order of the C locale).
fn named(folder: &Path) -> Vec<PathBuf> {
    let names = names_in(folder).into_iter().filter(|name| name.starts_with("localversion"));
    names.map(|name| folder.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn texts(gathering: Gathering, object: &Path, source: &Path) -> Vec<String> {
        gathering.read(object, source).unwrap().into_iter().map(|file| file.text).collect()
    }

    #[test]
    fn the_makefile_shows_how_they_are_gathered() {
        assert_eq!(Gathering::of("KERNELRELEASE=$(VERSION).$(PATCHLEVEL)\n"), Gathering::Never);
        assert_eq!(Gathering::of("localversion-files := $(wildcard $(srctree)/localversion*)"), Gathering::Listed);
        assert_eq!(
            Gathering::of("localver := $(objtree)/localversion* $(srctree)/localversion*\n# setlocalversion"),
            Gathering::Sorted
        );
        assert_eq!(Gathering::of("pattern = \".*/localversion[^~]*\"\n`find -regex $(pattern)`"), Gathering::Found);
        assert_eq!(Gathering::of("filechk_kernel.release = scripts/setlocalversion $(srctree)"), Gathering::Script);
    }

    #[test]
    fn each_age_has_its_order() {
        let root = tempfile::tempdir().unwrap();
        let (object, source) = (root.path().join("out"), root.path().join("linux"));
        for (file, text) in [
            ("out/localversion-z", "-z\n"),
            ("out/localversion-a~", "-backup\n"),
            ("linux/localversion", "-rt 1\n\n"),
            ("linux/localversion.20", "-b\n"),
            ("linux/localversion~1", "-no\n"),
        ] {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        assert_eq!(texts(Gathering::Script, &object, &source), ["-z", "-rt 1", "-b"]);
        assert_eq!(texts(Gathering::Found, &object, &source), ["-rt1", "-b", "-z"]);
        assert_eq!(texts(Gathering::Sorted, &object, &source), ["-rt1", "-b", "-z"]);
        assert_eq!(texts(Gathering::Listed, &object, &source), ["-backup", "-z", "-rt1", "-b", "-no"]);
        assert_eq!(texts(Gathering::Script, &source, &source), ["-rt 1", "-b"]);
        assert!(texts(Gathering::Never, &object, &source).is_empty());
    }
}
