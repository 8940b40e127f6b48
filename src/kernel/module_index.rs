//! The module index of an installed kernel: modules by name or alias, as modinfo(8) looks them up.
//!
//! It reads the text indexes that depmod(8) makes: `modules.dep`, `modules.alias`, `modules.builtin` and
//! `modules.builtin.modinfo`. Without `modules.dep` it searches the tree by file name; of two files with one name it takes the
//! one that depmod prefers ([`DepmodOrder`]).

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::kernel::packed::LARGEST_TEXT;
use crate::kernel::preference::DepmodOrder;
use crate::module::listing::ListedField;
use crate::module::{file, is_module_name, name_of_file};
use crate::walk::{Scope, Walk};
use crate::wildcard::{Bracket, matches};

/// The greatest depth of directories that are searched in a tree without `modules.dep`.
const SEARCH_DEPTH: usize = 16;

/// The indexes in a kernel's module tree (`lib/modules/RELEASE`).
pub struct ModuleIndex {
    folder: PathBuf,
}

/// A module that the index has.
pub enum IndexedModule {
    /// A module file.
    File(PathBuf),
    /// A module that is part of the kernel image: its name, and its modinfo if the kernel's build kept it.
    BuiltIn(String, Vec<ListedField>),
}

impl ModuleIndex {
    /// The index of a release below a root directory; without a release, of the running kernel.
    pub fn of(release: Option<&str>, root: Option<&Path>) -> ModuleIndex {
        let release =
            release.map_or_else(|| rustix::system::uname().release().to_string_lossy().into_owned(), str::to_owned);
        // Joined as kmod does, so that files have the same names: the root directory stays as it was written.
        let mut folder = root.map_or_else(OsString::new, |root| root.as_os_str().to_owned());
        if root.is_some_and(Path::is_relative)
            && let Ok(here) = std::env::current_dir()
        {
            folder = [here.as_os_str(), &folder].join(OsStr::new("/"));
        }
        folder.push("/lib/modules/");
        folder.push(release);
        ModuleIndex { folder: PathBuf::from(folder) }
    }

    /// The modules with a name or alias: by precedence those with the name, with the alias, built-in ones with the name, and
    /// built-in ones with the alias.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is none.
    pub fn find(&self, name: &str) -> Result<Vec<IndexedModule>> {
        let wanted = name.replace('-', "_");
        if let Some(file) = self.by_name(&wanted) {
            return Ok(vec![IndexedModule::File(file)]);
        }
        let by_alias: Vec<IndexedModule> =
            self.by_alias(name).iter().filter_map(|module| self.by_name(module)).map(IndexedModule::File).collect();
        if !by_alias.is_empty() {
            return Ok(by_alias);
        }
        if let Some(found) = self.built_in(&wanted) {
            return Ok(vec![found]);
        }
        let by_alias = self.built_in_by_alias(name);
        if !by_alias.is_empty() {
            return Ok(by_alias);
        }
        let what = format!("no such file, and no module of this name in {}", self.folder.display());
        Err(Error::new(ErrorKind::NotFound, what))
    }

    fn index(&self, name: &str) -> Option<String> {
        // A FIFO or a device is not an index.
        let text = file::read_small(&self.folder.join(name), LARGEST_TEXT).ok()?;
        Some(String::from_utf8_lossy(&text).into_owned())
    }

    fn by_name(&self, wanted: &str) -> Option<PathBuf> {
        match self.index("modules.dep") {
            Some(text) => {
                let mut files = text.lines().filter_map(|line| line.split_once(':')).map(|(file, _)| file);
                files.find(|file| name_of_file(Path::new(file)) == wanted).map(|file| self.folder.join(file))
            }
            None => {
                let preference = DepmodOrder::of_tree(&self.folder);
                let scope = Scope { depth: SEARCH_DEPTH, ..Scope::MODULES };
                let files = Walk::new(self.folder.clone(), scope).filter_map(Result::ok);
                let found = files.filter(|file| name_of_file(file) == wanted);
                let below = |file: &PathBuf| file.strip_prefix(&self.folder).unwrap_or(file).to_owned();
                found.min_by_key(|file| preference.rank(&below(file)))
            }
        }
    }

    fn by_alias(&self, alias: &str) -> Vec<String> {
        let text = self.index("modules.alias").unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.strip_prefix("alias ")?.rsplit_once(' '));
        let alias = underscores(alias);
        let same = |pattern: &str| matches(underscores(pattern).as_bytes(), alias.as_bytes(), Bracket::Class);
        lines.filter(|(pattern, _)| same(pattern)).map(|(_, module)| module.to_owned()).collect()
    }

    fn built_in(&self, wanted: &str) -> Option<IndexedModule> {
        let list = self.index("modules.builtin")?;
        list.lines().find(|file| name_of_file(Path::new(file)) == wanted)?;
        Some(self.with_modinfo(wanted))
    }

    /// The built-in modules with this alias (`NAME.alias=PATTERN` in `modules.builtin.modinfo`).
    fn built_in_by_alias(&self, alias: &str) -> Vec<IndexedModule> {
        let text = self.index("modules.builtin.modinfo").unwrap_or_default();
        let aliases = text.split('\0').filter_map(|string| string.split_once(".alias="));
        let alias = underscores(alias);
        let mut names: Vec<&str> = aliases
            .filter(|(_, pattern)| matches(underscores(pattern).as_bytes(), alias.as_bytes(), Bracket::Class))
            .map(|(name, _)| name)
            .collect();
        names.dedup();
        names.into_iter().map(|name| self.with_modinfo(name)).collect()
    }

    /// A built-in module with its strings in `modules.builtin.modinfo`.
    fn with_modinfo(&self, wanted: &str) -> IndexedModule {
        let strings = file::read_even_empty(&self.folder.join("modules.builtin.modinfo"));
        let strings = strings.map(|file| file.bytes().to_vec()).unwrap_or_default();
        let own =
            strings.split(|b| *b == 0).filter_map(|string| string.strip_prefix(wanted.as_bytes())?.strip_prefix(b"."));
        let fields = own.map(|string| {
            let eq = string.iter().position(|b| *b == b'=').unwrap_or(string.len());
            (string.get(..eq).unwrap_or_default().to_vec(), string.get(eq + 1..).unwrap_or_default().to_vec())
        });
        IndexedModule::BuiltIn(wanted.to_owned(), fields.collect())
    }
}

/// Does modinfo take the argument for a file: does a regular file with the suffix of a module exist?
pub fn is_module_file(path: &Path) -> bool {
    is_module_name(path) && path.metadata().is_ok_and(|meta| meta.is_file())
}

/// The name or pattern with `_` in place of `-`, except in brackets, where `-` denotes a range.
fn underscores(pattern: &str) -> String {
    let mut in_brackets = false;
    let one = |c: char| {
        in_brackets = (in_brackets || c == '[') && c != ']';
        if c == '-' && !in_brackets { '_' } else { c }
    };
    pattern.chars().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_keeps_its_dash() {
        assert_eq!(underscores("of:N-x[0-9a-f]-*"), "of:N_x[0-9a-f]_*");
    }
}
