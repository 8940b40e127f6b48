//! Which of several files of one module is used: depmod's order (tools/depmod.c, kmod 30 to 34; depmod.d(5)).
//!
//! depmod puts one file of each name into `modules.dep`, and modprobe loads that file. Without `modules.dep` the commands
//! `search` and `override` in depmod.d decide: a folder that is named earlier is preferred, and `built-in` stands for all
//! folders that are not named. Without such a file depmod prefers only `updates`, and of the others it takes the file that the
//! file system lists first. Distributions name the folders in an order that `USUAL` follows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::module::{self, name_of_file};

/// The order if no file of depmod.d is known: that of Fedora (`updates extra built-in weak-updates`) and Ubuntu (`updates
/// ubuntu built-in`), with the folders that are not the kernel's own build first.
const USUAL: &str = "search updates extra weak-updates ubuntu built-in";

/// The places of depmod.d in a root file system. Of two files of one name, that in the earlier place is used.
const CONFIGURATIONS: [&str; 5] =
    ["etc/depmod.d", "run/depmod.d", "usr/local/lib/depmod.d", "usr/lib/depmod.d", "lib/depmod.d"];

/// The largest file of depmod.d that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// The most bytes that are read of all files of depmod.d together. Distributions have a few hundred.
const MOST: u64 = 4 << 20;

/// The largest `modules.dep` that is read, in bytes.
const LARGEST_LIST: u64 = 64 << 20;

/// depmod's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepmodOrder {
    /// Folders below the tree's folder, each with its position; the first is preferred.
    searches: BTreeMap<String, usize>,
    /// How many folders were named, with repetitions.
    named: usize,
    /// The position of the folders that are not named.
    built_in: Option<usize>,
    /// Files that are preferred regardless of their folder, without their ending, each with the number of the last command about
    /// it. The last command is the strongest.
    overrides: BTreeMap<String, usize>,
    /// How many override commands there were.
    commands: usize,
    /// The file of each module in `modules.dep`.
    listed: BTreeMap<String, String>,
}

/// The rank of a file; smaller is preferred.
pub type DepmodRank = (bool, usize, usize, PathBuf);

/// The part of a path below a module tree `…/lib/modules/RELEASE/`; the whole path if it is not in a module tree.
pub(super) fn below_tree(path: &str) -> &str {
    let in_tree = path.rsplit_once("lib/modules/").and_then(|(_, rest)| rest.split_once('/'));
    in_tree.map_or(path, |(_, below)| below)
}

impl Default for DepmodOrder {
    fn default() -> DepmodOrder {
        let mut usual = DepmodOrder::none();
        usual.add(USUAL, "");
        usual
    }
}

impl DepmodOrder {
    fn none() -> DepmodOrder {
        DepmodOrder {
            searches: BTreeMap::new(),
            named: 0,
            built_in: None,
            overrides: BTreeMap::new(),
            commands: 0,
            listed: BTreeMap::new(),
        }
    }

    /// The order in a module tree: by its `modules.dep`, and by depmod.d of its root file system, if they exist.
    pub fn of_tree(tree: &Path) -> DepmodOrder {
        let release = tree.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut own = DepmodOrder::none();
        let mut left = MOST;
        for file in configuration_files(tree) {
            let Some(text) = read(&file, left.min(LARGEST)) else { continue };
            left = left.saturating_sub(text.len() as u64);
            own.add(&text, &release);
        }
        if own.searches.is_empty() && own.built_in.is_none() {
            own.add(USUAL, "");
        }
        own.list(&read(&tree.join("modules.dep"), LARGEST_LIST).unwrap_or_default());
        own
    }

    /// Adds the commands of a file of depmod.d, for a kernel of this release.
    fn add(&mut self, text: &str, release: &str) {
        for line in text.replace("\\\n", " ").lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("search") => words.for_each(|word| match word {
                    "built-in" => self.built_in = self.built_in.or(Some(self.named)),
                    // It stands for folders outside of the tree, which are not read here.
                    "external" => {}
                    folder => {
                        self.searches.entry(folder.trim_end_matches('/').to_owned()).or_insert(self.named);
                        self.named += 1;
                    }
                }),
                Some("override") => {
                    // depmod takes a regular expression; files have a release, or `*` for all.
                    if let (Some(module), Some(of), Some(folder)) = (words.next(), words.next(), words.next())
                        && (of == "*" || of == release)
                    {
                        self.overrides.insert(format!("{}/{module}", folder.trim_end_matches('/')), self.commands);
                        self.commands += 1;
                    }
                }
                _ => {}
            }
        }
    }

    /// Adds the files of `modules.dep`.
    fn list(&mut self, text: &str) {
        for (file, _) in text.lines().filter_map(|line| line.split_once(':')) {
            self.listed.entry(name_of_file(Path::new(file))).or_insert_with(|| file.to_owned());
        }
    }

    /// The rank of a file, by its path below the tree's folder.
    pub fn rank(&self, file: &Path) -> DepmodRank {
        let text = file.to_string_lossy();
        let is_listed = self.listed.get(&name_of_file(file)).is_some_and(|listed| *listed == *text);
        let (folder, name) = text.rsplit_once('/').unwrap_or(("", &text));
        let stem = name.split_once(".ko").map_or(name, |(stem, _)| stem);
        // The last command is number 0 here.
        let command = self.overrides.get(&format!("{folder}/{stem}"));
        let over = command.map_or(usize::MAX, |command| self.commands.saturating_sub(*command + 1));
        (!is_listed, over, usize::from(self.place(&text)), file.to_owned())
    }

    /// The position of a file's folder in the order of `search`; smaller is preferred.
    pub(super) fn place(&self, file: &str) -> u8 {
        let above = file.match_indices('/').filter_map(|(end, _)| self.searches.get(file.get(..end)?));
        // Two positions per folder, so that `built-in` fits between them.
        let place = match (above.min().copied(), self.built_in) {
            (Some(at), _) => at.saturating_mul(2).saturating_add(1),
            (None, Some(before)) => before.saturating_mul(2),
            (None, None) => usize::MAX,
        };
        u8::try_from(place).unwrap_or(u8::MAX)
    }
}

/// The files of depmod.d that are for a tree `ROOT/lib/modules/RELEASE` or `ROOT/usr/lib/modules/RELEASE`, in the order in
/// which depmod reads them: by name, and of two of one name only that in the earlier place.
pub fn configuration_files(tree: &Path) -> Vec<PathBuf> {
    let Ok(tree) = tree.canonicalize() else { return Vec::new() };
    let Some(lib) = tree.parent().filter(|modules| modules.ends_with("lib/modules")).and_then(Path::parent) else {
        return Vec::new();
    };
    let Some(root) = lib.parent() else { return Vec::new() };
    let root = if root.ends_with("usr") { root.parent().unwrap_or(root) } else { root };
    let mut files: BTreeMap<std::ffi::OsString, PathBuf> = BTreeMap::new();
    for folder in CONFIGURATIONS {
        for entry in std::fs::read_dir(root.join(folder)).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|ending| ending == "conf") {
                files.entry(entry.file_name()).or_insert_with(|| entry.path());
            }
        }
    }
    files.into_values().collect()
}

/// The text of a regular file of at most `most` bytes.
fn read(file: &Path, most: u64) -> Option<String> {
    // A link may lead out of the tree.
    file.symlink_metadata().ok().filter(std::fs::Metadata::is_file)?;
    let bytes = module::file::read_small(file, most).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(preference: &DepmodOrder, files: &[&str]) -> Vec<String> {
        let mut files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
        files.sort_by_key(|file| preference.rank(file));
        files.into_iter().map(|file| file.display().to_string()).collect()
    }

    const FILES: [&str; 5] =
        ["kernel/a.ko", "extra/a.ko.xz", "updates/dkms/a.ko", "weak-updates/x/a.ko", "ubuntu/a.ko"];

    #[test]
    fn added_modules_are_preferred_to_the_kernels_own() {
        let usual = ["updates/dkms/a.ko", "extra/a.ko.xz", "weak-updates/x/a.ko", "ubuntu/a.ko", "kernel/a.ko"];
        assert_eq!(order(&DepmodOrder::default(), &FILES), usual);
    }

    fn of(text: &str) -> DepmodOrder {
        let mut preference = DepmodOrder::none();
        preference.add(text, "6.1");
        preference
    }

    #[test]
    fn a_file_of_depmod_d_sets_another_order() {
        let fedora = of("# a comment\nsearch updates extra built-in weak-updates\n");
        let expected = ["updates/dkms/a.ko", "extra/a.ko.xz", "kernel/a.ko", "ubuntu/a.ko", "weak-updates/x/a.ko"];
        assert_eq!(order(&fedora, &FILES), expected);
        assert_eq!(order(&of("search \\\n built-in updates"), &FILES)[0], "extra/a.ko.xz");
        assert_eq!(order(&of("search built-in updates"), &FILES)[4], "updates/dkms/a.ko");
        // Two lines are one list.
        assert_eq!(
            order(&of("search extra\nsearch updates built-in"), &FILES)[..2],
            ["extra/a.ko.xz", "updates/dkms/a.ko"]
        );
    }

    #[test]
    fn an_override_is_for_one_module_and_kernel() {
        for (line, first) in [
            ("override a * kernel", "kernel/a.ko"),
            ("override a 6.1 extra", "extra/a.ko.xz"),
            ("override a 6.2 kernel", "updates/dkms/a.ko"),
            ("override b * kernel", "updates/dkms/a.ko"),
            ("override a * updates", "updates/dkms/a.ko"),
        ] {
            assert_eq!(order(&of(&format!("search updates built-in\n{line}")), &FILES)[0], first, "{line}");
        }
    }

    #[test]
    fn the_last_override_and_the_first_search_are_the_strongest() {
        let text =
            "search extra updates extra built-in\noverride a * kernel\noverride a * ubuntu\noverride a * kernel\n";
        let expected = ["kernel/a.ko", "ubuntu/a.ko", "extra/a.ko.xz", "updates/dkms/a.ko", "weak-updates/x/a.ko"];
        assert_eq!(order(&of(text), &FILES), expected);
        // A folder is as good as the best one that it is in.
        let nested = of("search updates/dkms built-in updates");
        assert_eq!(order(&nested, &["updates/b.ko", "kernel/a.ko", "updates/dkms/a.ko"])[0], "updates/dkms/a.ko");
    }

    /// A file of depmod.d may have some hundred thousand commands, and a tree some thousand modules.
    #[test]
    fn many_commands_cost_no_time_per_module() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("lib/depmod.d")).unwrap();
        std::fs::create_dir_all(root.path().join("lib/modules/6.1")).unwrap();
        for (file, line) in [("a", "override a * b\n"), ("b", "override x * y\n"), ("c", "search a b c\n")] {
            for number in 0..20 {
                let path = root.path().join(format!("lib/depmod.d/{number}{file}.conf"));
                std::fs::write(path, line.repeat((1 << 18) / line.len())).unwrap();
            }
        }
        let preference = DepmodOrder::of_tree(&root.path().join("lib/modules/6.1"));
        // What is read is bounded, and so is what is kept of it.
        assert!(preference.commands <= MOST as usize / "override a * b\n".len());
        assert!(preference.overrides.len() <= 2 && preference.searches.len() <= 3);
        let files: Vec<String> = (0..5000).map(|number| format!("kernel/{number}/m{number}.ko")).collect();
        let mut ranks: Vec<DepmodRank> = files.iter().map(|file| preference.rank(Path::new(file))).collect();
        ranks.dedup();
        assert_eq!(ranks.len(), files.len());
    }

    #[test]
    fn modules_dep_has_depmods_decision() {
        let mut listed = DepmodOrder::default();
        listed.list("weak-updates/x/a.ko: kernel/b.ko\nkernel/b.ko:\n");
        assert_eq!(order(&listed, &FILES)[0], "weak-updates/x/a.ko");
    }

    #[test]
    fn the_root_of_a_tree_sets_the_order() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let first = |tree: &str| order(&DepmodOrder::of_tree(&root.path().join(tree)), &FILES)[0].clone();
        for tree in ["lib/modules/6.1", "usr/lib/modules/6.1"] {
            put(&format!("{tree}/kernel/a.ko"), "");
            assert_eq!(first(tree), "updates/dkms/a.ko");
        }
        put("lib/depmod.d/dist.conf", "search weak-updates built-in\n");
        assert_eq!(first("lib/modules/6.1"), "weak-updates/x/a.ko");
        put("etc/depmod.d/dist.conf", "search extra built-in\n");
        put("etc/depmod.d/dist.conf.old", "search ubuntu\n");
        assert_eq!(first("lib/modules/6.1"), "extra/a.ko.xz");
        assert_eq!(first("usr/lib/modules/6.1"), "extra/a.ko.xz");
        put("usr/lib/modules/6.1/modules.dep", "ubuntu/a.ko:\n");
        assert_eq!(first("usr/lib/modules/6.1"), "ubuntu/a.ko");
    }
}
