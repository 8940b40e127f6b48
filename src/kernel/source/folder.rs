//! The kernel in a folder: a root file system, an unpacked package, a module tree, a build tree.
//!
//! Only the places that [`crate::kernel::place`] knows are read: a root file system is not searched. Links are not followed,
//! except for the folder itself: `build` and `source` of a module tree lead to other places.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::kernel::bundle::Bundle;
use crate::kernel::collect::FileSink;
use crate::kernel::facts::Facts;
use crate::kernel::lookup::KernelQuestion;
use crate::kernel::merge::FactSink;
use crate::kernel::note::Note;
use crate::kernel::origin::Origin;
use crate::kernel::packed::LARGEST_TEXT;
use crate::kernel::place::{self, BundlePath, FileRole, KernelGroup};
use crate::kernel::preference::{self, DepmodOrder, DepmodRank};
use crate::kernel::source::KernelSource;
use crate::kernel::stored::{StoredBytes, StoredModule};
use crate::kernel::{cached, gather};
use crate::module::{self, is_module_name, name_of_file};
use crate::walk::{Scope, Walk};

/// The greatest depth of modules in a tree.
const DEPTH: usize = 24;

/// The most entries of a tree: a kernel's source has 90,000 files.
const MOST: usize = 1 << 20;

/// A folder.
pub(in crate::kernel) struct Folder(pub(in crate::kernel) PathBuf);

impl KernelSource for Folder {
    fn add_facts(&self, sink: &mut FactSink, question: &KernelQuestion<'_>) -> Result<()> {
        sink.add(&Origin::File(self.0.clone()), facts(&self.0, question)?)
    }

    fn add_files(&self, sink: &mut FileSink, question: &KernelQuestion<'_>) -> Result<()> {
        files(&self.0, sink, question)
    }

    fn each_module(&self, _: &KernelQuestion<'_>, each: &mut dyn FnMut(StoredModule) -> Result<()>) -> Result<()> {
        let trees = survey(&self.0)?.trees;
        place::must_be_one(&trees.iter().filter_map(|(group, _)| group.release()).collect())
            .map_err(|e| e.on(&self.0))?;
        trees.iter().try_for_each(|(group, tree)| each_module_of_tree(tree, group, each))
    }
}

/// Passes each module of a tree to `each`. The paths are sorted.
///
/// # Errors
///
/// The first error of `each`.
pub(in crate::kernel) fn each_module_of_tree(
    tree: &Path,
    group: &KernelGroup,
    each: &mut dyn FnMut(StoredModule) -> Result<()>,
) -> Result<()> {
    let release = group.release().map(str::to_owned).or_else(|| release_of(tree));
    for file in tree_files(tree) {
        let Some(below) = file.to_str().filter(|below| is_module_name(below)) else { continue };
        let path = tree.join(&file);
        each(StoredModule {
            release: release.clone(),
            below: below.to_owned(),
            path: path.display().to_string(),
            package: None,
            bytes: StoredBytes::InFile(path),
            modified: None,
        })?;
    }
    Ok(())
}

/// The facts in a folder.
///
/// # Errors
///
/// Those of [`Bundle::facts`], and [`ErrorKind::Io`] for what can't be read.
pub(in crate::kernel) fn facts(folder: &Path, question: &KernelQuestion<'_>) -> Result<Facts> {
    let mut bundle = Bundle::new(question.budget);
    let FolderContents { files, trees } = survey(folder)?;
    for (role, group, file) in files {
        add_file(&mut bundle, role, group, &file, question)?;
    }
    for (group, folder) in trees {
        let mut facts = tree(&folder, question);
        if let Some(release) = release_of(&folder) {
            facts.learn_release_of_folder(&release);
        }
        // An empty tree yields no facts.
        if facts.tree.is_some() {
            bundle.add_tree(group, facts);
        }
    }
    bundle.facts().map_err(|e| e.on(folder))
}

/// Adds the files in a folder, as far as they are wanted.
///
/// # Errors
///
/// Those of [`survey`], and [`ErrorKind::Io`] for what is wanted and can't be read.
pub(in crate::kernel) fn files(folder: &Path, found: &mut FileSink, question: &KernelQuestion<'_>) -> Result<()> {
    let FolderContents { files, trees } = survey(folder)?;
    for (role, group, file) in files.into_iter().filter(|(role, _, file)| *role == FileRole::Image && is_there(file)) {
        let path = file.display().to_string();
        if found.wants(&BundlePath { role, group: group.clone(), below: &path }) {
            found.add(role, &group, &path, read(&file, question)?);
        }
    }
    for (group, folder) in trees {
        tree_modules(&folder, &group, found, question)?;
    }
    Ok(())
}

/// Adds the modules of a tree, as far as they are wanted.
///
/// # Errors
///
/// [`ErrorKind::Io`] for what is wanted and can't be read.
pub(in crate::kernel) fn tree_modules(
    folder: &Path,
    group: &KernelGroup,
    found: &mut FileSink,
    question: &KernelQuestion<'_>,
) -> Result<()> {
    let preference = DepmodOrder::of_tree(folder);
    let mut best: BTreeMap<String, (DepmodRank, PathBuf)> = BTreeMap::new();
    for file in tree_files(folder) {
        let Some(below) = file.to_str().filter(|below| is_module_name(below)) else { continue };
        if found.wants(&BundlePath { role: FileRole::Module, group: group.clone(), below }) {
            let rank = preference.rank(&file);
            let is_better = |(known, _): &(DepmodRank, PathBuf)| rank < *known;
            if best.get(&name_of_file(&file)).is_none_or(is_better) {
                best.insert(name_of_file(&file), (rank, folder.join(&file)));
            }
        }
    }
    for (_, file) in best.into_values() {
        found.add(FileRole::Module, group, &file.display().to_string(), read(&file, question)?);
    }
    Ok(())
}

/// The files in a folder, by their places.
struct FolderContents {
    /// All files except for modules and the lists of built-in modules.
    files: Vec<(FileRole, KernelGroup, PathBuf)>,
    /// The module trees.
    trees: Vec<(KernelGroup, PathBuf)>,
}

/// Finds the files at the places that [`crate::kernel::place`] knows.
///
/// # Errors
///
/// [`ErrorKind::Io`] if the folder can't be read, [`ErrorKind::Ambiguous`] if it is one of module trees.
fn survey(folder: &Path) -> Result<FolderContents> {
    std::fs::read_dir(folder).map_err(|e| Error::io("reading the folder", e).on(folder))?;
    let mut trees = module_trees(folder);
    let mut places = files_in(folder, "boot");
    places.extend(build_files(folder, ""));
    let kernels = names_in(&folder.join("usr/src/kernels")).into_iter().map(|name| format!("kernels/{name}"));
    for headers in names_in(&folder.join("usr/src")).into_iter().chain(kernels) {
        places.extend(build_files(folder, &format!("usr/src/{headers}/")));
    }
    let mut is_root = !trees.is_empty();
    let mut files = Vec::new();
    for below in places {
        let Some(place) = place::classify(&below) else { continue };
        is_root |= place.role == FileRole::Image && below.starts_with("boot/");
        files.push((place.role, place.group, folder.join(&below)));
    }
    for (group, tree) in &trees {
        files.extend(tree_others(tree).into_iter().map(|(role, file)| (role, group.clone(), file)));
    }
    if !is_root {
        must_be_one_tree(folder)?;
        let group = KernelGroup::Folder(String::new());
        files.extend(next_to(folder).into_iter().map(|(role, file)| (role, group.clone(), file)));
        trees.push((group, folder.to_owned()));
    }
    Ok(FolderContents { files, trees })
}

/// The files of a module tree of a root file system that are not modules.
fn tree_others(tree: &Path) -> Vec<(FileRole, PathBuf)> {
    let names = names_in(tree).into_iter();
    let other = |name: String| {
        let role = place::classify(&name).map(|place| place.role).filter(|role| is_other(*role))?;
        Some((role, tree.join(name)))
    };
    names.filter_map(other).chain(in_build(tree)).collect()
}

/// The exports in the `build` of a module tree, if that is not a link.
fn in_build(tree: &Path) -> Option<(FileRole, PathBuf)> {
    let is_folder = tree.join("build").symlink_metadata().is_ok_and(|meta| meta.is_dir());
    is_folder.then(|| (FileRole::Symvers, tree.join(place::IN_BUILD)))
}

/// The files with the exports of a kernel in `/boot` and the module trees of a root file system.
pub(in crate::kernel) fn symvers(root: &Path, release: &str, trees: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let of_release = |name: &String| place::in_boot(name) == Some((FileRole::Symvers, release));
    let in_boot = names_in(&root.join("boot")).into_iter().filter(of_release).map(|name| root.join("boot").join(name));
    let in_trees = trees.flat_map(|tree| tree_others(&tree)).filter(|(role, _)| *role == FileRole::Symvers);
    in_boot.chain(in_trees.map(|(_, file)| file)).filter(|file| is_there(file)).collect()
}

/// The module trees of a root file system. If `/lib` is a link to `/usr/lib`, both are one.
fn module_trees(root: &Path) -> Vec<(KernelGroup, PathBuf)> {
    let mut trees: Vec<(KernelGroup, PathBuf)> = Vec::new();
    for modules in ["lib/modules", "usr/lib/modules"] {
        let modules = root.join(modules);
        for release in names_in(&modules) {
            let tree = modules.join(&release);
            let is_known = |(_, known): &(KernelGroup, PathBuf)| known.canonicalize().ok() == tree.canonicalize().ok();
            // Removed headers leave a folder with two links.
            let holds = |name: &String| !matches!(name.as_str(), "build" | "source");
            if names_in(&tree).iter().any(holds) && !trees.iter().any(is_known) {
                trees.push((KernelGroup::Release(release), tree));
            }
        }
    }
    trees
}

/// The release in the name of a module tree: `…/lib/modules/RELEASE`.
fn release_of(tree: &Path) -> Option<String> {
    let tree =
        tree.canonicalize().ok().filter(|tree| tree.parent().is_some_and(|path| path.ends_with("lib/modules")))?;
    Some(tree.file_name()?.to_str()?.to_owned())
}

/// The files in `boot` for a module tree that was named without its root.
fn next_to(tree: &Path) -> Vec<(FileRole, PathBuf)> {
    let Ok(tree) = tree.canonicalize() else { return Vec::new() };
    let Some(release) = release_of(&tree) else { return Vec::new() };
    let Some(lib) = tree.parent().and_then(Path::parent) else { return Vec::new() };
    let mut roots: Vec<&Path> = lib.parent().into_iter().collect();
    if let Some(usr) = lib.parent().filter(|usr| usr.ends_with("usr")) {
        roots.extend(usr.parent());
    }
    let mut found: Vec<(FileRole, PathBuf)> = in_build(&tree).into_iter().collect();
    for root in roots {
        for name in names_in(&root.join("boot")) {
            if let Some((role, _)) = place::in_boot(&name).filter(|(_, of)| *of == release) {
                found.push((role, root.join("boot").join(name)));
            }
        }
    }
    found
}

/// The paths of the files in a folder, relative to the root.
fn files_in(root: &Path, folder: &str) -> Vec<String> {
    names_in(&root.join(folder)).into_iter().map(|name| format!("{folder}/{name}")).collect()
}

/// The files of a build tree at known places, relative to the root.
fn build_files(root: &Path, folder: &str) -> Vec<String> {
    let mut paths: Vec<String> =
        names_in(&root.join(folder)).into_iter().map(|name| format!("{folder}{name}")).collect();
    paths.push(format!("{folder}include/generated/utsrelease.h"));
    paths.push(format!("{folder}include/config/kernel.release"));
    for arch in names_in(&root.join(format!("{folder}arch"))) {
        paths.extend(files_in(root, &format!("{folder}arch/{arch}/boot")));
    }
    let is_other = |path: &String| place::classify(path).is_some_and(|place| is_other(place.role));
    paths.into_iter().filter(is_other).collect()
}

/// The UTF-8 names in a folder, sorted; none if it cannot be read.
fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).take(MOST).collect();
    names.sort();
    names
}

/// Is it a regular file that is not empty? The target of a link has a place of its own.
fn is_there(file: &Path) -> bool {
    file.symlink_metadata().is_ok_and(|meta| meta.is_file() && meta.len() > 0)
}

/// Adds a file, if it exists.
fn add_file(
    bundle: &mut Bundle,
    role: FileRole,
    group: KernelGroup,
    file: &Path,
    question: &KernelQuestion<'_>,
) -> Result<()> {
    if !is_there(file) {
        return Ok(());
    }
    let source = Origin::File(file.to_owned());
    if role == FileRole::Image {
        match cached::image(&source, file, question) {
            Ok(facts) => bundle.add_image(group, facts),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            // On some systems only root can read the image; the files next to it yield many facts without it.
            Err(error) if error.is_errno(rustix::io::Errno::ACCESS) => {
                let notes = vec![Note::Unreadable(error.on(file).to_string())];
                bundle.add_image(group, Facts { notes, ..Facts::default() });
            }
            Err(error) => return Err(module::file::raisable(error).on(file)),
        }
        return Ok(());
    }
    bundle.add(role, group, &source, read_text(file, question)?).map_err(|e| e.on(file))
}

/// All bytes of an image or a module, which the question is then about too.
pub(in crate::kernel) fn read(path: &Path, question: &KernelQuestion<'_>) -> Result<Vec<u8>> {
    read_up_to(path, question.max_size(), question).map_err(module::file::raisable)
}

/// All bytes of a text of a kernel, which the question is then about too.
pub(in crate::kernel) fn read_text(path: &Path, question: &KernelQuestion<'_>) -> Result<Vec<u8>> {
    read_up_to(path, question.max_size().min(LARGEST_TEXT), question)
}

fn read_up_to(path: &Path, most: u64, question: &KernelQuestion<'_>) -> Result<Vec<u8>> {
    let bytes = module::file::read_small(path, most)?;
    question.budget.admit(bytes.len());
    Ok(bytes)
}

/// Fails for a folder of several module trees, as /lib/modules is: it has several kernels.
fn must_be_one_tree(folder: &Path) -> Result<()> {
    let is_tree = |name: &String| folder.join(name).join("kernel").is_dir();
    let trees: Vec<String> = names_in(folder).into_iter().filter(is_tree).collect();
    if trees.len() < 2 {
        return Ok(());
    }
    let what = format!("{} kernels in it: {}", trees.len(), trees.join(", "));
    Err(Error::new(ErrorKind::Ambiguous, what).hint("name one of these folders").on(folder))
}

/// The facts of a module tree; none without any module or list of built-in modules.
pub(in crate::kernel) fn tree(folder: &Path, question: &KernelQuestion<'_>) -> Facts {
    let files = tree_files(folder);
    if files.is_empty() {
        return Facts::default();
    }
    let keys: Vec<PathBuf> = files.iter().cloned().chain(preference::configuration_files(folder)).collect();
    cached::tree(folder, &keys, question, |name| {
        let index = |name: &str| {
            let file = folder.join(name);
            let is_file = file.symlink_metadata().is_ok_and(|meta| meta.is_file());
            is_file.then(|| read_text(&file, question).ok()).flatten()
        };
        let (list, modinfo) = (index("modules.builtin"), index("modules.builtin.modinfo"));
        let lists = gather::ModuleLists {
            built_in: gather::built_in(list.as_deref(), modinfo.as_deref()),
            // Only the first has modules that were built and are not here; trees without it have the second.
            names: ["modules.order", "modules.dep"].iter().find_map(|list| gather::names_in(&index(list)?)),
        };
        let is_module = |file: &&PathBuf| file.to_str().is_some_and(is_module_name);
        let modules: Vec<PathBuf> = files.iter().filter(is_module).cloned().collect();
        gather::gather(folder, &modules, question.budget).facts(name, lists, &DepmodOrder::of_tree(folder))
    })
}

/// Is it a file that the reader of a module tree does not read?
fn is_other(role: FileRole) -> bool {
    !matches!(role, FileRole::Module | FileRole::BuiltIn | FileRole::BuiltInModinfo | FileRole::Order)
}

/// The modules in a tree and its lists of modules, by their paths in it, sorted.
fn tree_files(folder: &Path) -> Vec<PathBuf> {
    let wanted = |name: &OsStr, depth: usize| match name.to_str() {
        Some("modules.builtin" | "modules.builtin.modinfo" | "modules.order" | "modules.dep") => depth == 0,
        name => name.is_some_and(is_module_name),
    };
    let scope = Scope { wanted, depth: DEPTH - 1, entries: MOST, one_file_system: true };
    let files = Walk::new(folder.to_owned(), scope).filter_map(Result::ok);
    files.filter_map(|file| file.strip_prefix(folder).map(Path::to_owned).ok()).collect()
}
