//! The module index of an installed kernel: modules by name or alias, as modinfo(8) looks them up.
//!
//! It reads the text indexes that depmod(8) makes: `modules.dep`, `modules.alias`, `modules.builtin` and
//! `modules.builtin.modinfo`. Without `modules.dep` it searches the tree by file name; of two files with one name it takes the
//! one that depmod prefers ([`DepmodOrder`]).

use std::collections::{HashMap, HashSet};
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

/// The most modules with one alias: the widest aliases of a distribution's kernel have ten.
const MOST_OF_ALIAS: usize = 1 << 10;

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
    /// [`ErrorKind::NotFound`] if there is none, [`ErrorKind::Malformed`] if there are more than an alias can have.
    pub fn find(&self, name: &str) -> Result<Vec<IndexedModule>> {
        let wanted = name.replace('-', "_");
        let mut files = self.by_name(std::slice::from_ref(&wanted));
        if files.is_empty() {
            files = self.by_name(&self.by_alias(name)?);
        }
        if !files.is_empty() {
            return Ok(files.into_iter().map(IndexedModule::File).collect());
        }
        let strings = self.bytes("modules.builtin.modinfo").unwrap_or_default();
        let names = match self.is_built_in(&wanted) {
            true => vec![wanted],
            false => built_in_by_alias(&String::from_utf8_lossy(&strings), name)?,
        };
        if !names.is_empty() {
            return Ok(built_in(&strings, names));
        }
        let what = format!("no such file, and no module of this name in {}", self.folder.display());
        Err(Error::new(ErrorKind::NotFound, what))
    }

    fn index(&self, name: &str) -> Option<String> {
        Some(String::from_utf8_lossy(&self.bytes(name)?).into_owned())
    }

    fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        // A FIFO or a device is not an index.
        file::read_small(&self.folder.join(name), LARGEST_TEXT).ok()
    }

    /// The files of the modules with these names, in the order of the names; `modules.dep` is read once.
    fn by_name(&self, names: &[String]) -> Vec<PathBuf> {
        let mut found: HashMap<&str, Option<PathBuf>> = names.iter().map(|name| (name.as_str(), None)).collect();
        if found.is_empty() {
            return Vec::new();
        }
        match self.index("modules.dep") {
            Some(text) => {
                for (file, _) in text.lines().filter_map(|line| line.split_once(':')) {
                    if let Some(place) = found.get_mut(name_of_file(Path::new(file)).as_str()) {
                        _ = place.get_or_insert_with(|| self.folder.join(file));
                    }
                }
            }
            None => {
                let preference = DepmodOrder::of_tree(&self.folder);
                let rank = |file: &PathBuf| preference.rank(file.strip_prefix(&self.folder).unwrap_or(file));
                let scope = Scope { depth: SEARCH_DEPTH, ..Scope::MODULES };
                for file in Walk::new(self.folder.clone(), scope).filter_map(Result::ok) {
                    if let Some(place) = found.get_mut(name_of_file(&file).as_str())
                        && place.as_ref().is_none_or(|known| rank(&file) < rank(known))
                    {
                        *place = Some(file);
                    }
                }
            }
        }
        names.iter().filter_map(|name| found.get(name.as_str())?.clone()).collect()
    }

    /// The names of the modules with this alias, as often as the index has it: modinfo lists each.
    fn by_alias(&self, alias: &str) -> Result<Vec<String>> {
        let text = self.index("modules.alias").unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.strip_prefix("alias ")?.rsplit_once(' '));
        let alias = underscores(alias);
        let same = |pattern: &str| matches(underscores(pattern).as_bytes(), alias.as_bytes(), Bracket::Class);
        few(lines.filter(|(pattern, _)| same(pattern)).map(|(_, module)| module))
    }

    fn is_built_in(&self, wanted: &str) -> bool {
        let list = self.index("modules.builtin").unwrap_or_default();
        list.lines().any(|file| name_of_file(Path::new(file)) == wanted)
    }
}

/// The names, if there are not too many.
///
/// # Errors
///
/// [`ErrorKind::Malformed`].
fn few<'s>(names: impl Iterator<Item = &'s str>) -> Result<Vec<String>> {
    let names: Vec<String> = names.take(MOST_OF_ALIAS + 1).map(str::to_owned).collect();
    match names.len() > MOST_OF_ALIAS {
        true => Err(Error::new(ErrorKind::Malformed, format!("more than {MOST_OF_ALIAS} modules have this alias"))),
        false => Ok(names),
    }
}

/// The built-in modules with this alias (`NAME.alias=PATTERN` in `modules.builtin.modinfo`), each once.
fn built_in_by_alias(strings: &str, alias: &str) -> Result<Vec<String>> {
    let aliases = strings.split('\0').filter_map(|string| string.split_once(".alias="));
    let alias = underscores(alias);
    let same = |pattern: &str| matches(underscores(pattern).as_bytes(), alias.as_bytes(), Bracket::Class);
    let mut seen = HashSet::new();
    few(aliases.filter(|(name, pattern)| same(pattern) && seen.insert(*name)).map(|(name, _)| name))
}

/// Built-in modules, each with its strings; these are read once.
fn built_in(strings: &[u8], names: Vec<String>) -> Vec<IndexedModule> {
    let mut fields: HashMap<&[u8], Vec<ListedField>> = names.iter().map(|name| (name.as_bytes(), Vec::new())).collect();
    for string in strings.split(|byte| *byte == 0) {
        let Some((name, string)) = split_at_first(string, b'.') else { continue };
        if let Some(fields) = fields.get_mut(name) {
            let (key, value) = split_at_first(string, b'=').unwrap_or((string, &[]));
            fields.push((key.to_vec(), value.to_vec()));
        }
    }
    let mut fields_of = |name: &str| fields.remove(name.as_bytes()).unwrap_or_default();
    let fields: Vec<Vec<ListedField>> = names.iter().map(|name| fields_of(name)).collect();
    names.into_iter().zip(fields).map(|(name, fields)| IndexedModule::BuiltIn(name, fields)).collect()
}

fn split_at_first(bytes: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(byte, bytes)?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
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
