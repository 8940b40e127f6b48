//! The dependencies between files: every path in the sources, followed to the file that defines the item.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::source::{Module, Sources};

/// A file depends on another one, with the first line that shows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Import {
    pub(super) from: PathBuf,
    pub(super) line: usize,
    pub(super) to: PathBuf,
    /// The path as it is written.
    pub(super) path: String,
    /// Whether the path names only the module itself and no item in it: not a dependency in the search for cycles.
    pub(super) is_module: bool,
}

/// The target of a path.
#[derive(Clone, PartialEq, Eq)]
enum Target {
    Module(Module),
    /// An item that is defined in this module.
    Item(Module),
    /// An item of another crate, a local name, or a generic parameter.
    Outside,
}

/// All imports between different files, one per pair of files and kind.
pub(super) fn imports(sources: &Sources) -> Vec<Import> {
    let mut found: BTreeMap<(PathBuf, PathBuf, bool), Import> = BTreeMap::new();
    for (module, contents) in &sources.modules {
        for (path, line) in &contents.paths {
            let (to, is_module) = match resolve(sources, module, path, &mut BTreeSet::new()) {
                Target::Module(to) => (to, true),
                Target::Item(to) => (to, false),
                Target::Outside => continue,
            };
            let to = sources.modules[&to].file.clone();
            if to == contents.file {
                continue;
            }
            let key = (contents.file.clone(), to.clone(), is_module);
            let (from, path) = (contents.file.clone(), path.join("::"));
            let import = Import { from, line: *line, to, path, is_module };
            found.entry(key).and_modify(|known| *known = known.clone().min(import.clone())).or_insert(import);
        }
    }
    found.into_values().collect()
}

/// Follows a path that is written in a module.
fn resolve(sources: &Sources, module: &Module, path: &[String], seen: &mut BTreeSet<(Module, Vec<String>)>) -> Target {
    if !seen.insert((module.clone(), path.to_vec())) {
        return Target::Outside;
    }
    let Some((first, mut rest)) = path.split_first() else { return Target::Outside };
    let mut at = match first.as_str() {
        // The program refers to the library by the crate's name.
        "kmodlab" if module.first().is_some_and(|name| name == "main") => Target::Module(Vec::new()),
        "crate" if module.first().is_some_and(|name| name == "main") => Target::Module(vec!["main".to_owned()]),
        "crate" => Target::Module(Vec::new()),
        "self" => Target::Module(module.clone()),
        "super" => {
            let mut up = parent(module);
            while let Some((next, others)) = rest.split_first()
                && next == "super"
            {
                (up, rest) = (parent(&up), others);
            }
            Target::Module(up)
        }
        name => lookup(sources, module, name, seen),
    };
    for name in rest {
        at = match at {
            Target::Module(inside) if name == "*" => return Target::Item(inside),
            Target::Module(inside) if name == "self" => Target::Module(inside),
            Target::Module(inside) => match lookup(sources, &inside, name, seen) {
                // A name that this reader does not see, such as one made by a macro: it counts as the module's.
                Target::Outside => {
                    return if imports_name(sources, &inside, name) { Target::Outside } else { Target::Item(inside) };
                }
                found => found,
            },
            // A variant, an associated function, or a name of another crate.
            other => return other,
        };
    }
    at
}

/// Does a module import this name, or possibly import it with a glob, from another crate?
fn imports_name(sources: &Sources, module: &Module, name: &str) -> bool {
    sources.modules.get(module).is_some_and(|contents| contents.imports.contains_key(name))
}

fn parent(module: &Module) -> Module {
    module.split_last().map_or_else(Vec::new, |(_, above)| above.to_vec())
}

/// Finds a name in a module: an item, a child module, or a name that a `use` imports.
fn lookup(sources: &Sources, module: &Module, name: &str, seen: &mut BTreeSet<(Module, Vec<String>)>) -> Target {
    let Some(contents) = sources.modules.get(module) else { return Target::Outside };
    // A module and a function may have the same name: longer paths refer to the module.
    let below: Module = module.iter().cloned().chain([name.to_owned()]).collect();
    if sources.modules.contains_key(&below) && (name != "main" || !module.is_empty()) {
        return Target::Module(below);
    }
    if contents.items.contains(name) {
        return Target::Item(module.clone());
    }
    if let Some(path) = contents.imports.get(name) {
        // `use hex;` in a module names another crate and not the module itself.
        return if path.len() == 1 && path[0] == name { Target::Outside } else { resolve(sources, module, path, seen) };
    }
    for glob in &contents.globs {
        if let Target::Module(inside) = resolve(sources, module, glob, seen) {
            match lookup(sources, &inside, name, seen) {
                Target::Outside => {}
                found => return found,
            }
        }
    }
    Target::Outside
}

/// The files that import each other in a cycle, as the shortest cycle of each group, with the first file repeated at the end.
pub(super) fn cycles(imports: &[Import]) -> Vec<Vec<Import>> {
    let mut graph: BTreeMap<&PathBuf, Vec<&Import>> = BTreeMap::new();
    for import in imports.iter().filter(|import| !import.is_module) {
        graph.entry(&import.from).or_default().push(import);
    }
    let mut found: Vec<Vec<Import>> = Vec::new();
    for start in graph.keys() {
        let Some(cycle) = shortest_back(&graph, start) else { continue };
        let mut files: Vec<&PathBuf> = cycle.iter().map(|import| &import.from).collect();
        files.sort();
        let is_known = found.iter().any(|known| {
            let mut known: Vec<&PathBuf> = known.iter().map(|import| &import.from).collect();
            known.sort();
            known == files
        });
        if !is_known {
            found.push(cycle.into_iter().cloned().collect());
        }
    }
    found
}

/// The shortest path from a file back to itself.
fn shortest_back<'i>(graph: &BTreeMap<&'i PathBuf, Vec<&'i Import>>, start: &'i PathBuf) -> Option<Vec<&'i Import>> {
    let mut came_by: BTreeMap<&PathBuf, &Import> = BTreeMap::new();
    let mut next = std::collections::VecDeque::from([start]);
    while let Some(file) = next.pop_front() {
        for import in graph.get(file).into_iter().flatten() {
            if import.to == *start {
                let mut way = vec![*import];
                let mut at = file;
                while at != start {
                    way.push(came_by[at]);
                    at = &came_by[at].from;
                }
                way.reverse();
                return Some(way);
            }
            if !came_by.contains_key(&import.to) {
                came_by.insert(&import.to, import);
                next.push_back(&import.to);
            }
        }
    }
    None
}

/// A cycle of imports in one line per import.
pub(super) fn shown(cycle: &[Import]) -> String {
    cycle.iter().map(|i| format!("{}:{} imports {} ({})\n", i.from.display(), i.line, i.path, i.to.display())).collect()
}
