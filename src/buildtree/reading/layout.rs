//! Which folder of a tree holds what, and what kind of tree it is.
//!
//! A build uses two folders: the source (`srctree`) and the one that it writes to (`objtree`), which are often the same.
//! In the second, a generated Makefile refers to the first: up to 4.19 by `MAKEARGS := -C SOURCE` (scripts/mkmakefile),
//! since 4.20 by `include SOURCE/Makefile`. Debian's headers packages consist of the same parts.
//!
//! Nothing is written, and no program is run. Links are followed as make follows them.

use std::fs;
use std::path::{Component, Path, PathBuf};

use serde::Serialize;

use crate::buildtree::file_line::FileLine;
use crate::buildtree::reading::architecture::TreeRoots;
use crate::buildtree::reading::files::{names_in, read_text};
use crate::buildtree::reading::located::{Located, located_path};
use crate::buildtree::reading::makefile;
use crate::buildtree::reading::options::Options;
use crate::error::{Error, ErrorKind, Result};

/// Which folder holds what, and what kind of tree it is.
#[derive(Clone, Debug, Serialize)]
pub struct TreeLayout {
    /// What kind of tree it is.
    pub kind: TreeKind,
    /// The distribution whose headers package it is, as far as its form shows; `None` for other trees, and for packages without
    /// such a form.
    pub packager: Option<Packager>,
    /// Where the build writes `.config`, `include/generated` and `Module.symvers`: the folder that was named.
    #[serde(serialize_with = "crate::buildtree::file_line::lossy")]
    pub object: PathBuf,
    /// Where the source's Makefile, `scripts/` and `arch/` are.
    #[serde(serialize_with = "located_path")]
    pub source: Located<PathBuf>,
    /// The name of the folder below `arch/`: `x86`, in old trees `i386` or `x86_64`. `None` if it is not known.
    pub srcarch: Option<Located<String>>,
    /// The release that the tree's own makefiles force onto every build (`override KERNELRELEASE`, Debian's headers).
    pub forced_release: Option<Located<String>>,
    /// The compiler that they set (`CC`), likewise.
    pub forced_compiler: Option<Located<String>>,
    /// The prefix that they set for compilers (`override CROSS_COMPILE`).
    pub forced_cross: Option<Located<String>>,
    /// What is odd about it, one line each.
    pub notes: Vec<String>,
}

/// What kind of tree a folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TreeKind {
    /// A source tree without a configuration.
    Source,
    /// A source tree with a configuration, built in place (or about to be).
    InTree,
    /// A folder that `make O=` writes to, with its source elsewhere.
    Output,
    /// A headers package: a tree without the kernel's C files.
    Headers,
}

/// The distribution of a headers package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Packager {
    /// Debian: `linux-headers-RELEASE-FLAVOUR` next to `linux-headers-RELEASE-common`.
    Debian,
    /// Ubuntu: `linux-headers-RELEASE-FLAVOUR`, of links into `linux-headers-RELEASE`.
    Ubuntu,
    /// Fedora and its derivatives: `/usr/src/kernels/RELEASE`.
    Fedora,
    /// Arch: `/usr/lib/modules/RELEASE/build`.
    Arch,
    /// openSUSE: `linux-RELEASE-obj/ARCH/FLAVOUR`.
    Suse,
}

impl TreeLayout {
    /// Reads the layout of a folder. `arch` is the value that make would get as `ARCH=`, if any.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is no such folder, or if the folder that its Makefile refers to is missing;
    /// [`ErrorKind::Malformed`] if it is not a kernel's tree; [`ErrorKind::Io`] if it cannot be read, as with links that loop.
    pub fn read(named: &Path, arch: Option<&str>) -> Result<Self> {
        let mut notes = Vec::new();
        let object = object_folder(named, &mut notes)?;
        let makefile = object.join("Makefile");
        let source = match read_text(&makefile)? {
            Some(text) if makefile::is_top(&text) => Located {
                value: object.clone(),
                place: FileLine::whole(&makefile),
                how: "its own Makefile is a kernel's".to_owned(),
            },
            Some(text) => led_to(&object, &makefile, &text)?,
            None => without_makefile(&object, &mut notes)?,
        };
        let forced = ForcedVariables::read(&object)?;
        let options = configuration(&object)?;
        let mut layout = TreeLayout {
            kind: kind(&object, &source.value, options.is_some()),
            packager: packager(&object, &source.value),
            srcarch: None,
            forced_release: forced.release,
            forced_compiler: forced.compiler,
            forced_cross: forced.cross,
            object,
            source,
            notes,
        };
        layout.must_be_kernel()?;
        layout.srcarch = layout.roots().find_srcarch(arch, forced.arch, options.as_ref());
        layout.note_dead_links();
        Ok(layout)
    }

    fn roots(&self) -> TreeRoots<'_> {
        TreeRoots { object: &self.object, source: &self.source.value }
    }

    /// The architecture of a configuration, and the line of the option that identifies it.
    pub(super) fn architecture_of(&self, options: &Options) -> Option<(String, FileLine)> {
        self.roots().architecture_of(options)
    }

    /// Are the source and the build in different folders?
    pub fn is_split(&self) -> bool {
        self.object != self.source.value
    }

    /// # Errors
    ///
    /// [`ErrorKind::Malformed`] if the source contains nothing of a kernel except a Makefile.
    fn must_be_kernel(&self) -> Result<()> {
        let source = &self.source.value;
        let holds = ["include/linux", "arch", "scripts", "Kconfig"].iter().any(|name| source.join(name).exists());
        match holds || self.object.join("include").is_dir() {
            true => Ok(()),
            false => {
                let what = "not a kernel's tree: a Makefile with a version, but neither include/linux nor arch/";
                let hint = "name the top folder of a kernel's source, headers or build tree";
                Err(Error::new(ErrorKind::Malformed, what).hint(hint).on(source))
            }
        }
    }

    /// Notes links into packages that are not installed.
    fn note_dead_links(&mut self) {
        let mut folders = vec![self.object.clone()];
        if self.is_split() {
            folders.push(self.source.value.clone());
        }
        for folder in folders {
            for name in ["scripts", "tools", "arch", "include"] {
                let link = folder.join(name);
                let Ok(target) = fs::read_link(&link) else { continue };
                if let Err(error) = fs::metadata(&link) {
                    let why = match error.kind() {
                        std::io::ErrorKind::NotFound => "which does not exist".to_owned(),
                        _ => format!("which cannot be opened ({})", Error::io("opening", error).what()),
                    };
                    self.notes.push(format!("{} is a link to {}, {why}", link.display(), target.display()));
                }
            }
        }
    }
}

/// The folder that was named, or the folder that its link `build` leads to, for a module tree.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] if it does not exist, [`ErrorKind::Usage`] if it is not a folder, [`ErrorKind::Io`] if it cannot be
/// read.
fn object_folder(named: &Path, notes: &mut Vec<String>) -> Result<PathBuf> {
    let opening = |e| Error::io("opening the tree", e).on(named);
    let meta = fs::metadata(named).map_err(|e| {
        let hint = match fs::read_link(named) {
            Ok(target) => format!("it is a link to {}: install the headers package that contains it", target.display()),
            Err(_) => "name the top folder of a kernel's source, headers or build tree".to_owned(),
        };
        opening(e).hint(hint)
    })?;
    if !meta.is_dir() {
        let what = "not a folder";
        let hint = "name the top folder of a kernel's source, headers or build tree";
        return Err(Error::new(ErrorKind::Usage, what).hint(hint).on(named));
    }
    fs::read_dir(named).map_err(opening)?;
    let build = named.join("build");
    let is_module_tree = !named.join("Makefile").exists() && build.symlink_metadata().is_ok_and(|m| m.is_symlink());
    if !is_module_tree {
        return Ok(named.to_owned());
    }
    let missing = match fs::metadata(&build) {
        Ok(_) => {
            notes.push(format!("{} is a module tree: its link build is used", named.display()));
            return Ok(build);
        }
        Err(error) => error,
    };
    let target = fs::read_link(&build).unwrap_or_default();
    // In a package that was unpacked elsewhere, the link leads to the folder where it would be installed.
    if let Some(found) = candidates(named, &target).into_iter().find(|folder| folder.join("Makefile").is_file()) {
        notes.push(format!("its link build leads to {}, which does not exist; found next to it", target.display()));
        return Ok(found);
    }
    let hint = format!("install the headers package of this kernel: it would be at {}", target.display());
    Err(Error::io("opening the module tree's link build", missing).hint(hint).on(build))
}

/// The source that a generated Makefile refers to.
///
/// # Errors
///
/// [`ErrorKind::Malformed`] if it refers to none, [`ErrorKind::NotFound`] if that does not exist.
fn led_to(object: &Path, makefile: &Path, text: &str) -> Result<Located<PathBuf>> {
    let Some((line, target, how)) = leads_to(text) else {
        let what = "not a kernel's top Makefile: it sets no version, and includes no Makefile that does";
        let hint = "name the top folder of a kernel's source, headers or build tree";
        return Err(Error::new(ErrorKind::Malformed, what).hint(hint).on(makefile));
    };
    let place = FileLine::new(makefile, line);
    let target = Path::new(&target);
    for folder in candidates(object, target) {
        let top = folder.join("Makefile");
        match read_text(&top) {
            Ok(Some(text)) if makefile::is_top(&text) => {
                let how = match folder == tidy(&object.join(target)) {
                    true => how.to_owned(),
                    false => format!("{how} as {}, which does not exist; found next to it", target.display()),
                };
                return Ok(Located { value: folder, place, how });
            }
            Ok(Some(_)) => {
                let what =
                    format!("not a kernel's top Makefile, but {makefile} includes it", makefile = makefile.display());
                return Err(Error::new(ErrorKind::Malformed, what).hint("regenerate this tree").on(top));
            }
            Ok(None) => {}
            Err(error) => return Err(error),
        }
    }
    let what = format!("line {line}: it refers to {}, which has no Makefile", target.display());
    let hint = "install the package with that folder, or name the folder of the source";
    Err(Error::new(ErrorKind::NotFound, what).hint(hint).on(makefile))
}

/// The line of a generated Makefile that refers to the source, the folder of the source, and how.
fn leads_to(text: &str) -> Option<(usize, String, &'static str)> {
    let variables = makefile::variables(text);
    let expand = |word: &str| {
        let mut word = word.to_owned();
        // No kernel's build writes more than a variable within a variable.
        for _ in 0..2 {
            for (name, value) in &variables {
                word = word.replace(&format!("$({name})"), value).replace(&format!("${{{name}}}"), value);
            }
        }
        word = word.replace("$(CURDIR)", ".");
        (!word.is_empty() && !word.contains("$(")).then_some(word)
    };
    text.split('\n').enumerate().find_map(|(at, line)| {
        let line = line.trim();
        if let Some(file) = line.strip_prefix("include ").or_else(|| line.strip_prefix("include\t")) {
            let file = expand(file.trim())?;
            let folder = file.strip_suffix("Makefile")?.trim_end_matches('/');
            let folder = if folder.is_empty() && file.starts_with('/') { "/" } else { folder };
            return (!folder.is_empty()).then(|| (at + 1, folder.to_owned(), "its Makefile includes the source's"));
        }
        let (_, rest) = line.split_once("-C ")?;
        if !(line.starts_with("MAKEARGS") || line.contains("MAKE")) {
            return None;
        }
        let folder = expand(rest.split_whitespace().next()?)?;
        Some((at + 1, folder, "its Makefile calls the source's"))
    })
}

/// Where a folder that a Makefile names can be: there; if its package was unpacked elsewhere, next to the object folder, or
/// below the folder that everything was unpacked into.
fn candidates(object: &Path, target: &Path) -> Vec<PathBuf> {
    let mut found = vec![tidy(&object.join(target))];
    let whole = std::path::absolute(object).unwrap_or_else(|_| object.to_owned());
    if let (true, Ok(below)) = (target.is_absolute(), target.strip_prefix("/")) {
        found.extend(whole.ancestors().skip(1).filter(|root| root.parent().is_some()).map(|root| root.join(below)));
    }
    if let (Some(parent), Some(name)) = (whole.parent(), target.file_name()) {
        found.push(parent.join(name));
    }
    found
}

/// A path without `.`.
fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            part => tidy.push(part),
        }
    }
    if tidy.as_os_str().is_empty() { PathBuf::from(".") } else { tidy }
}

/// The source of a folder without a Makefile: an output folder has a link to it.
///
/// # Errors
///
/// [`ErrorKind::Malformed`] if it has no such link.
fn without_makefile(object: &Path, notes: &mut Vec<String>) -> Result<Located<PathBuf>> {
    let link = object.join("source");
    if read_text(&link.join("Makefile"))?.is_some_and(|text| makefile::is_top(&text)) {
        notes.push(format!("{} has no Makefile; make -C would fail there", object.display()));
        let how = "its link source".to_owned();
        return Ok(Located {
            value: fs::canonicalize(&link).unwrap_or_else(|_| link.clone()),
            place: FileLine::whole(link),
            how,
        });
    }
    let is_left = |below: &&str| object.join(below).exists();
    let left: Vec<&str> = [".config", "include/config", "include/generated", "Module.symvers", "arch"]
        .into_iter()
        .filter(is_left)
        .collect();
    Err(match left.is_empty() {
        true => Error::new(ErrorKind::Malformed, "not a kernel's tree: it has no Makefile")
            .hint("name the top folder of a kernel's source, headers or build tree"),
        false => Error::new(ErrorKind::Malformed, format!("its Makefile is missing (it contains {})", left.join(", ")))
            .hint("restore the source's Makefile, or recreate the output folder with make O= in the source"),
    }
    .on(object))
}

/// The variables that a tree's `.kernelvariables` force: Debian's Makefile reads it first.
#[derive(Default)]
struct ForcedVariables {
    release: Option<Located<String>>,
    compiler: Option<Located<String>>,
    cross: Option<Located<String>>,
    arch: Option<Located<String>>,
}

impl ForcedVariables {
    /// # Errors
    ///
    /// [`ErrorKind::Io`] if it cannot be read.
    fn read(object: &Path) -> Result<Self> {
        let file = object.join(".kernelvariables");
        let Some(text) = read_text(&file)? else { return Ok(ForcedVariables::default()) };
        let mut forced = ForcedVariables::default();
        for assignment in makefile::assignments(&text) {
            let known = Located {
                value: assignment.value.to_owned(),
                place: FileLine::new(&file, assignment.line),
                how: "the package's .kernelvariables".to_owned(),
            };
            match assignment.name {
                "KERNELRELEASE" => forced.release = Some(known),
                "CC" => forced.compiler = Some(known),
                "CROSS_COMPILE" => forced.cross = Some(known),
                "ARCH" => forced.arch = Some(known),
                _ => {}
            }
        }
        Ok(forced)
    }
}

/// The options that identify the architecture, and the architecture in the configuration's title (`# Linux/x86 6.1.0 Kernel
/// Configuration`).
///
/// # Errors
///
/// [`ErrorKind::Io`] if one cannot be read.
fn configuration(object: &Path) -> Result<Option<(Options, Option<String>)>> {
    for below in [".config", "include/config/auto.conf"] {
        let file = object.join(below);
        if let Some(text) = read_text(&file)? {
            let title = text.lines().take(8).find_map(|line| {
                let (arch, rest) = line.strip_prefix("# Linux/")?.split_once(' ')?;
                rest.contains("Configuration").then(|| arch.to_owned())
            });
            return Ok(Some((Options::parse(&text, &file), title)));
        }
    }
    Ok(None)
}

/// What kind of tree it is. Every source since 2.6.0 has `init/main.c`; headers packages do not.
fn kind(object: &Path, source: &Path, configured: bool) -> TreeKind {
    match (source.join("init/main.c").exists(), object == source) {
        (false, _) if has_no_c_files(source) => TreeKind::Headers,
        (_, false) => TreeKind::Output,
        (_, true) if configured => TreeKind::InTree,
        (_, true) => TreeKind::Source,
    }
}

/// Are there headers, but no C files in the folders where a source has them?
fn has_no_c_files(source: &Path) -> bool {
    let made = |folder: &str| names_in(&source.join(folder)).iter().any(|name| name.ends_with(".c"));
    source.join("include").is_dir() && !["init", "kernel", "mm"].iter().any(|folder| made(folder))
}

fn packager(object: &Path, source: &Path) -> Option<Packager> {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let whole = std::path::absolute(object).unwrap_or_else(|_| object.to_owned());
    let text = whole.to_string_lossy().into_owned();
    let makefile = fs::read_link(object.join("Makefile")).ok();
    if object != source && name(source).contains("-common") && name(source).starts_with("linux-headers-") {
        return Some(Packager::Debian);
    }
    if object != source && (text.contains("-obj/") || object.parent().is_some_and(|p| name(p).ends_with("-obj"))) {
        return Some(Packager::Suse);
    }
    if makefile.is_some_and(|target| target.to_string_lossy().contains("linux-headers-")) {
        return Some(Packager::Ubuntu);
    }
    if text.contains("/src/kernels/") {
        return Some(Packager::Fedora);
    }
    if text.contains("/modules/") && text.ends_with("/build") && object.join("version").is_file() {
        return Some(Packager::Arch);
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const TOP: &str = "VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 192\nEXTRAVERSION =\n";

    fn put(root: &Path, below: &str, text: &str) {
        let path = root.join(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn source(root: &Path) {
        put(root, "Makefile", TOP);
        put(root, "init/main.c", "");
        put(root, "include/linux/module.h", "");
        put(root, "arch/x86/Makefile", "");
        put(root, "arch/arm64/Makefile", "");
    }

    #[test]
    fn a_source_before_and_after_configuration() {
        let root = tempfile::tempdir().unwrap();
        source(root.path());
        let layout = TreeLayout::read(root.path(), None).unwrap();
        assert_eq!((layout.kind, layout.srcarch), (TreeKind::Source, None));
        assert_eq!(TreeLayout::read(root.path(), Some("x86_64")).unwrap().srcarch.unwrap().value, "x86");
        put(root.path(), ".config", "#\n# Linux/arm64 6.1.0 Kernel Configuration\n#\nCONFIG_ARM64=y\n");
        let layout = TreeLayout::read(root.path(), None).unwrap();
        let srcarch = layout.srcarch.unwrap();
        assert_eq!((layout.kind, srcarch.value.as_str(), srcarch.place.line), (TreeKind::InTree, "arm64", 4));
    }

    #[test]
    fn an_output_folder_of_each_age() {
        let root = tempfile::tempdir().unwrap();
        let tree = root.path().join("linux");
        source(&tree);
        let src = tree.display();
        for text in [
            format!("# Automatically generated by {src}/Makefile: don't edit\ninclude {src}/Makefile\n"),
            format!(
                "# Automatically generated by {src}/Makefile: don't edit\nexport KBUILD_OUTPUT = .\ninclude {src}/Makefile\n"
            ),
            format!(
                "VERSION = 2\nPATCHLEVEL = 6\n\nKERNELSRC    := {src}\nKERNELOUTPUT := /o\n\nMAKEFLAGS += --no-print-directory\n\
                     all:\n\t$(MAKE) -C $(KERNELSRC) O=$(KERNELOUTPUT) $@\n"
            ),
            format!("VERSION = 3\nPATCHLEVEL = 2\n\nlastword = $(word $(words $(1)),$(1))\nMAKEARGS := -C {src}\n"),
            "include ../linux/Makefile\n".to_owned(),
        ] {
            let output = root.path().join("out");
            put(&output, "Makefile", &text);
            let layout = TreeLayout::read(&output, None).unwrap_or_else(|e| panic!("{e}\n{text}"));
            assert_eq!(layout.kind, TreeKind::Output);
            assert_eq!(fs::canonicalize(&layout.source.value).unwrap(), fs::canonicalize(&tree).unwrap());
        }
        fs::remove_file(root.path().join("out/Makefile")).unwrap();
        symlink(&tree, root.path().join("out/source")).unwrap();
        assert!(TreeLayout::read(&root.path().join("out"), None).unwrap().notes[0].contains("has no Makefile"));
    }

    #[test]
    fn both_parts_of_debians_headers_are_found() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("x/usr/src/linux-headers-9.9.0-1-amd64");
        put(&folder, "Makefile", "include /usr/src/linux-headers-9.9.0-1-common/Makefile\n");
        put(
            &folder,
            ".kernelvariables",
            "override ARCH = x86\noverride KERNELRELEASE = 9.9.0-1-amd64\nCC = $(CROSS_COMPILE)gcc-12\n",
        );
        symlink("../../lib/linux-kbuild-9.9/scripts", folder.join("scripts")).unwrap();
        let error = TreeLayout::read(&folder, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("line 1: it refers to /usr/src/linux-headers-9.9.0-1-common"), "{error}");
        let common = root.path().join("x/usr/src/linux-headers-9.9.0-1-common");
        put(&common, "Makefile", TOP);
        put(&common, "include/linux/module.h", "");
        let layout = TreeLayout::read(&folder, None).unwrap();
        assert_eq!((layout.kind, layout.packager), (TreeKind::Headers, Some(Packager::Debian)));
        assert_eq!(layout.source.value, common);
        assert_eq!(layout.forced_release.unwrap().value, "9.9.0-1-amd64");
        assert_eq!(layout.srcarch.unwrap().value, "x86");
        assert!(layout.notes[0].ends_with("scripts, which does not exist"), "{:?}", layout.notes);
        let modules = root.path().join("x/lib/modules/9.9.0-1-amd64");
        fs::create_dir_all(&modules).unwrap();
        symlink("/usr/src/linux-headers-9.9.0-1-amd64", modules.join("build")).unwrap();
        assert_eq!(TreeLayout::read(&modules, None).unwrap().object, folder);
        fs::remove_file(folder.join("Makefile")).unwrap();
        assert!(TreeLayout::read(&modules, None).unwrap_err().to_string().contains("install the headers package"));
    }

    #[test]
    fn an_old_tree_shows_its_architecture_by_a_link() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "Makefile", "VERSION = 2\nPATCHLEVEL = 6\nSUBLEVEL = 5\nEXTRAVERSION = -1.358custom\n");
        put(root.path(), "include/asm-i386/module.h", "");
        put(root.path(), "arch/i386/Makefile", "");
        put(root.path(), "arch/x86_64/Makefile", "");
        symlink("asm-i386", root.path().join("include/asm")).unwrap();
        let srcarch = TreeLayout::read(root.path(), None).unwrap().srcarch.unwrap();
        assert_eq!((srcarch.value.as_str(), srcarch.how.as_str()), ("i386", "the link to its asm headers"));
    }

    #[test]
    fn wrong_trees_give_one_line() {
        let root = tempfile::tempdir().unwrap();
        let error = |below: &str| TreeLayout::read(&root.path().join(below), None).unwrap_err();
        fs::create_dir(root.path().join("empty")).unwrap();
        assert_eq!((error("none").kind(), error("empty").kind()), (ErrorKind::NotFound, ErrorKind::Malformed));
        symlink("b", root.path().join("a")).unwrap();
        symlink("a", root.path().join("b")).unwrap();
        assert!(error("a").to_string().contains("Too many levels of symbolic links"), "{}", error("a"));
        put(root.path(), "half/include/generated/utsrelease.h", "");
        assert!(error("half").to_string().contains("its Makefile is missing (it contains include/generated)"));
        put(root.path(), "project/Makefile", "all:\n\tcc -c x.c\n");
        assert!(error("project").to_string().contains("not a kernel's top Makefile"));
        put(root.path(), "other/Makefile", TOP);
        assert!(error("other").to_string().contains("not a kernel's tree"), "{}", error("other"));
        put(root.path(), "file", "");
        assert_eq!(error("file").kind(), ErrorKind::Usage);
        put(root.path(), "looped/x", "");
        symlink("Makefile", root.path().join("looped/Makefile")).unwrap();
        assert!(error("looped").to_string().contains("Too many levels"), "{}", error("looped"));
    }
}
