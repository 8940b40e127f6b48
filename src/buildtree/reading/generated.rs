//! The files that the last build left in a tree: those with its release, and those that a build of modules needs.
//!
//! | kernel | the header with `UTS_RELEASE` | the file that make reads |
//! |---|---|---|
//! | 2.6.0 to 2.6.17 | include/linux/version.h | none; 2.6.16 and 2.6.17 `.kernelrelease` |
//! | 2.6.18 to 2.6.32 | include/linux/utsrelease.h | `.kernelrelease`, since 2.6.20 include/config/kernel.release |
//! | 2.6.33 on | include/generated/utsrelease.h | include/config/kernel.release |
//!
//! The header that the tree's include/linux/vermagic.h includes counts; only without that file the version decides.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::buildtree::file_line::FileLine;
use crate::buildtree::reading::files::read_text;
use crate::buildtree::reading::layout::TreeLayout;
use crate::buildtree::reading::makefile::KernelNumbers;
use crate::buildtree::reading::options::Options;
use crate::error::Result;

/// The files that the last build left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GeneratedFiles {
    /// Each existing file that contains a release.
    pub releases: Vec<ReleaseFile>,
    /// The header of those whose `UTS_RELEASE` modules get; `None` if there is none yet.
    pub header: Option<ReleaseFile>,
    /// Where that header is, or would be, below the object folder.
    pub header_path: &'static str,
    /// The files that `make` generates before modules can be built, existing or missing.
    pub parts: Vec<GeneratedPart>,
}

/// A generated file that contains a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReleaseFile {
    /// The file and the line in it.
    pub place: FileLine,
    /// The release.
    pub release: String,
    /// Does the preprocessor read it (`UTS_RELEASE`), or only make?
    pub is_header: bool,
}

/// A file that is generated before modules are built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GeneratedPart {
    /// Where it is, or would be.
    #[serde(serialize_with = "crate::buildtree::file_line::lossy")]
    pub path: PathBuf,
    /// Its purpose, in words.
    pub role: &'static str,
    /// Does it exist?
    pub present: bool,
    /// Do modules of this tree need it?
    pub needed: bool,
    /// What generates it.
    pub made_by: MadeBy,
}

/// What generates a missing file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MadeBy {
    /// `make modules_prepare` (before 2.6.11: `make`).
    ModulesPrepare,
    /// Only a full `make`.
    Make,
}

/// The files that can contain a release, and whether they are headers.
const FILES: [(&str, bool); 5] = [
    ("include/linux/version.h", true),
    ("include/linux/utsrelease.h", true),
    ("include/generated/utsrelease.h", true),
    ("include/config/kernel.release", false),
    (".kernelrelease", false),
];

impl GeneratedFiles {
    /// Looks for the files.
    ///
    /// # Errors
    ///
    /// [`crate::error::ErrorKind::Io`] for a release file that cannot be read.
    pub fn read(layout: &TreeLayout, version: KernelNumbers, options: Option<&Options>) -> Result<Self> {
        let header_path = header_path(&layout.source.value, version)?;
        let mut folders = vec![&layout.object];
        if layout.is_split() {
            folders.push(&layout.source.value);
        }
        let mut releases = Vec::new();
        let mut header = None;
        for folder in folders {
            for (below, is_header) in FILES {
                let path = folder.join(below);
                let Some(text) = read_text(&path)? else { continue };
                let found = if is_header { uts_releases(&text) } else { first_line(&text).into_iter().collect() };
                for (line, release) in found {
                    let file = ReleaseFile { place: FileLine::new(&path, line), release, is_header };
                    if below == header_path && header.is_none() {
                        header = Some(file.clone());
                    }
                    releases.push(file);
                }
            }
        }
        let parts = parts(layout, header_path, version, options);
        Ok(GeneratedFiles { releases, header, header_path, parts })
    }

    /// The files that modules need and that are missing.
    pub fn missing(&self) -> impl Iterator<Item = &GeneratedPart> {
        self.parts.iter().filter(|part| part.needed && !part.present)
    }
}

/// The header that include/linux/vermagic.h includes.
///
/// # Errors
///
/// [`crate::error::ErrorKind::Io`] if that cannot be read.
fn header_path(source: &Path, version: KernelNumbers) -> Result<&'static str> {
    let text = read_text(&source.join("include/linux/vermagic.h"))?.unwrap_or_default();
    let included = FILES.iter().filter(|(_, is_header)| *is_header).find(|(below, _)| {
        let name = below.strip_prefix("include/").unwrap_or(below);
        text.lines().any(|line| {
            let line = line.trim_start();
            line.strip_prefix('#').is_some_and(|rest| rest.trim_start().starts_with("include"))
                && line.contains(&format!("<{name}>"))
        })
    });
    Ok(match (included, version) {
        (Some((below, _)), _) => below,
        (None, (2, 6, ..=17)) => "include/linux/version.h",
        (None, (2, 6, ..=32)) => "include/linux/utsrelease.h",
        (None, _) => "include/generated/utsrelease.h",
    })
}

/// Each `#define UTS_RELEASE "…"`, with its line. Red Hat's headers of 2.6 had several, of which the preprocessor uses one.
fn uts_releases(text: &str) -> Vec<(usize, String)> {
    let found = text.lines().enumerate().filter_map(|(at, line)| {
        let rest = line.trim_start().strip_prefix('#')?.trim_start().strip_prefix("define")?.trim_start();
        let rest = rest.strip_prefix("UTS_RELEASE").filter(|rest| rest.starts_with([' ', '\t']))?;
        let (_, rest) = rest.split_once('"')?;
        Some((at + 1, rest.split('"').next()?.to_owned()))
    });
    found.collect()
}

fn first_line(text: &str) -> Option<(usize, String)> {
    let line = text.lines().next()?.trim();
    (!line.is_empty()).then(|| (1, line.to_owned()))
}

/// The files that are generated before modules are built, by age and configuration (targets `prepare` and `scripts` of the
/// top Makefile).
fn parts(
    layout: &TreeLayout,
    header_path: &'static str,
    version: KernelNumbers,
    options: Option<&Options>,
) -> Vec<GeneratedPart> {
    let is = |name: &str| options.is_some_and(|options| options.is_yes(name));
    let since = |patch: KernelNumbers| version >= patch;
    let modversions = is("MODVERSIONS");
    let dwarf = is("GENDWARFKSYMS");
    let prepare = MadeBy::ModulesPrepare;
    let autoconf = if since((2, 6, 33)) { "include/generated/autoconf.h" } else { "include/linux/autoconf.h" };
    let modpost = if since((2, 6, 6)) { "scripts/mod/modpost" } else { "scripts/modpost" };
    let wanted: [(&str, &'static str, bool, bool, MadeBy); 15] = [
        // path, role, does this age have it, is it needed, what generates it
        (".config", "the configuration", true, false, prepare),
        ("include/config/auto.conf", "the options that make reads", since((2, 6, 18)), true, prepare),
        (autoconf, "the options that the compiler reads", true, true, prepare),
        (header_path, "the release of modules", true, true, prepare),
        ("include/config/kernel.release", "the release that make reads", since((2, 6, 20)), false, prepare),
        ("include/generated/bounds.h", "sizes that headers need", since((2, 6, 33)), true, prepare),
        ("scripts/basic/fixdep", "tracks the build's dependencies", true, true, prepare),
        (modpost, "writes the vermagic into modules", true, true, prepare),
        ("scripts/genksyms/genksyms", "computes symbol versions", true, modversions && !dwarf, prepare),
        ("scripts/gendwarfksyms/gendwarfksyms", "computes symbol versions", dwarf, modversions, prepare),
        ("tools/objtool/objtool", "checks objects", since((4, 6, 0)), objtool(options), prepare),
        ("scripts/module.lds", "the linker script of modules", since((5, 10, 0)), true, prepare),
        ("Module.symvers", "the kernel's exports and symbol versions", true, modversions, MadeBy::Make),
        ("System.map", "the addresses in the image", true, false, MadeBy::Make),
        ("vmlinux", "the image, for BTF of modules", is("DEBUG_INFO_BTF_MODULES"), false, MadeBy::Make),
    ];
    let part = |(below, role, _, needed, made_by)| {
        let mut path = layout.object.join(below);
        // Debian's headers keep it where it was until 5.9.
        if let Some(srcarch) = layout.srcarch.as_ref().filter(|_| below == "scripts/module.lds" && !path.exists()) {
            let kept = layout.object.join("arch").join(&srcarch.value).join("module.lds");
            path = if kept.exists() { kept } else { path };
        }
        GeneratedPart { present: path.exists(), path, role, needed, made_by }
    };
    wanted.into_iter().filter(|(_, _, exists, ..)| *exists).map(part).collect()
}

/// Does a build of modules run objtool? CONFIG_OBJTOOL since 5.19, CONFIG_STACK_VALIDATION before.
fn objtool(options: Option<&Options>) -> bool {
    options.is_some_and(|options| options.is_yes("OBJTOOL") || options.is_yes("STACK_VALIDATION"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_header_of_each_age() {
        let text = "#define UTS_RELEASE \"2.6.5-1.358custom\"\n#define LINUX_VERSION_CODE 132613\n";
        assert_eq!(uts_releases(text), [(1, "2.6.5-1.358custom".to_owned())]);
        assert_eq!(uts_releases("#define UTS_RELEASE_X \"a\"\n/* UTS_RELEASE \"b\" */\n"), []);
        assert_eq!(uts_releases("# define  UTS_RELEASE\t\"a\"\n#define UTS_RELEASE \"b\"\n").len(), 2);
        let none = Path::new("/nonexistent");
        assert_eq!(header_path(none, (2, 6, 5)).unwrap(), "include/linux/version.h");
        assert_eq!(header_path(none, (2, 6, 18)).unwrap(), "include/linux/utsrelease.h");
        assert_eq!(header_path(none, (2, 6, 33)).unwrap(), "include/generated/utsrelease.h");
    }

    #[test]
    fn the_trees_own_header_takes_precedence_over_its_version() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("include/linux")).unwrap();
        fs::write(
            root.path().join("include/linux/vermagic.h"),
            "#include <linux/version.h>\n#include <linux/module.h>\n",
        )
        .unwrap();
        assert_eq!(header_path(root.path(), (6, 1, 0)).unwrap(), "include/linux/version.h");
    }

    #[test]
    fn a_half_built_tree_lists_what_is_missing() {
        let root = tempfile::tempdir().unwrap();
        let put = |below: &str, text: &str| {
            let path = root.path().join(below);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("Makefile", "VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 0\n");
        put("init/main.c", "");
        put("include/linux/module.h", "");
        put("include/config/kernel.release", "6.1.0-new\n");
        put("include/generated/utsrelease.h", "#define UTS_RELEASE \"6.1.0-old\"\n");
        put("scripts/basic/fixdep", "");
        let layout = TreeLayout::read(root.path(), None).unwrap();
        let options = Options::parse("CONFIG_MODVERSIONS=y\nCONFIG_OBJTOOL=y\n", Path::new(".config"));
        let generated = GeneratedFiles::read(&layout, (6, 1, 0), Some(&options)).unwrap();
        assert_eq!(generated.header.as_ref().unwrap().release, "6.1.0-old");
        assert_eq!(generated.releases.len(), 2);
        let missing: Vec<_> = generated.missing().map(|part| part.path.strip_prefix(root.path()).unwrap()).collect();
        let expected = [
            "include/config/auto.conf",
            "include/generated/autoconf.h",
            "include/generated/bounds.h",
            "scripts/mod/modpost",
            "scripts/genksyms/genksyms",
            "tools/objtool/objtool",
            "scripts/module.lds",
            "Module.symvers",
        ];
        assert_eq!(missing, expected.map(Path::new));
    }
}
