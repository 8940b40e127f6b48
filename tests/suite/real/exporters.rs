//! Imports of other modules are no evidence that the image exports a symbol: no module that exports symbols to others is
//! refused as a duplicate, whether the kernel is known by one of its users, by a folder of them, or by its whole tree without
//! the exporter.
//!
//! One pair in twelve is tested; all of them with `KMODLAB_ALL_MODULES=1`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use kmodlab::kernel::{self, Lookup};
use kmodlab::module::{self, container::DEFAULT_MAX_SIZE, with_bytes};
use kmodlab::predict::{self, Candidate, Decision, LoadOptions, LoaderStep, StepResult, Verdict};

use crate::real::kernels::unpacked;
use crate::real::{alone, on_all_cores};

const LOOKUP: Lookup = Lookup { max_size: DEFAULT_MAX_SIZE, cache: None };

/// The number of exporters, those with most users, that are tested with the whole tree.
const WHOLE: usize = 8;

/// One in this many pairs, and one in this many exporters, is tested.
const ONE_OF: usize = 12;

/// A module of the tree.
struct Member {
    path: PathBuf,
    depends: Vec<String>,
    exports: Vec<String>,
    imports: BTreeSet<String>,
}

fn member(path: &Path) -> (String, Member) {
    let module = module::open(path, DEFAULT_MAX_SIZE).unwrap().1;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let depends = text(module.modinfo.first("depends").unwrap());
    let member = Member {
        path: path.to_owned(),
        depends: depends.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect(),
        exports: module.exports.iter().map(|export| text(&export.name)).collect(),
        imports: module.imports.iter().map(|import| text(&import.name)).collect(),
    };
    (module.name().unwrap().replace('-', "_"), member)
}

fn ask(exporter: &Path, kernel: &OsStr) -> Verdict {
    let kernel = kernel::named(kernel, &LOOKUP).unwrap();
    with_bytes(exporter, DEFAULT_MAX_SIZE, |bytes| {
        let module = module::Module::read(bytes).unwrap();
        predict::predict(&Candidate { bytes, module: Some(&module), packing: None }, &kernel, &LoadOptions::default())
    })
    .unwrap()
}

/// The module is neither refused for its exports nor for another reason: it is the kernel's own.
#[track_caller]
fn assert_not_refused(verdict: &Verdict, what: &str) {
    assert_ne!(verdict.answer, Decision::Refused, "{what}: {verdict:#?}");
    let fails = |finding: &&predict::Finding| finding.step == LoaderStep::Exports && finding.result == StepResult::Fail;
    assert_eq!(verdict.findings.iter().find(fails), None, "{what}");
}

/// Links to files, in a folder with the same layout.
fn links<'p>(files: impl Iterator<Item = &'p Path>, tree: &Path, place: &Path) {
    for file in files {
        let link = place.join(file.strip_prefix(tree).unwrap());
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        if std::fs::hard_link(file, &link).is_err() {
            std::fs::copy(file, &link).unwrap();
        }
    }
}

fn tree_of(file: &Path) -> PathBuf {
    let mut folders = file.ancestors();
    folders.find(|folder| folder.parent().is_some_and(|parent| parent.ends_with("lib/modules"))).unwrap().to_owned()
}

#[test]
#[ignore = "needs the packages of tests/real/fetch"]
fn no_exporter_is_a_duplicate_of_what_its_users_import() {
    let _alone = alone();
    let (step, whole) = if std::env::var_os("KMODLAB_ALL_MODULES").is_some() { (1, WHOLE) } else { (ONE_OF, 1) };
    for (folder, words) in [("amd64-6.1", &[][..]), ("amd64-6.12", &["linux-image"])] {
        let place = tempfile::tempdir().unwrap();
        let paths = unpacked(folder, words, place.path());
        let tree = tree_of(&paths[0]);
        let members: BTreeMap<String, Member> = on_all_cores(&paths, |path| member(path)).into_iter().collect();
        let mut owners: HashMap<&str, &str> = HashMap::new();
        for (name, member) in &members {
            owners.extend(member.exports.iter().map(|symbol| (symbol.as_str(), name.as_str())));
        }
        let mut users: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (name, member) in &members {
            for owner in member.imports.iter().filter_map(|symbol| owners.get(symbol.as_str())) {
                users.entry(owner).or_default().insert(name);
            }
        }

        // One user represents the kernel.
        let pairs: Vec<(&str, &str)> =
            users.iter().flat_map(|(exporter, users)| users.iter().map(|user| (*exporter, *user))).collect();
        let (all_pairs, pairs) = (pairs.len(), pairs.into_iter().step_by(step).collect::<Vec<_>>());
        on_all_cores(&pairs, |(exporter, user)| {
            let verdict = ask(&members[*exporter].path, members[*user].path.as_os_str());
            assert_not_refused(&verdict, &format!("{exporter} with {user} for its kernel"));
        });

        // A folder of all users, with everything else that they depend on: nothing else could explain their imports.
        let exporters: Vec<(&str, &BTreeSet<&str>)> = users.iter().map(|(name, users)| (*name, users)).collect();
        let (all_exporters, mut largest) = (exporters.len(), exporters.clone());
        let exporters: Vec<_> = exporters.into_iter().step_by(step).collect();
        on_all_cores(&exporters, |(exporter, users)| {
            let mut wanted: BTreeSet<&str> = (*users).clone();
            wanted.extend(users.iter().flat_map(|user| &members[*user].depends).map(String::as_str));
            wanted.remove(exporter);
            let folder = tempfile::tempdir_in(place.path()).unwrap();
            links(wanted.iter().map(|name| members[*name].path.as_path()), &tree, folder.path());
            let verdict = ask(&members[*exporter].path, folder.path().as_os_str());
            assert_not_refused(&verdict, &format!("{exporter} and a folder of its users"));
        });

        // The whole tree with its lists of modules, except for the exporter.
        largest.sort_by_key(|(name, users)| (std::cmp::Reverse(users.len()), *name));
        largest.truncate(whole);
        for (exporter, _) in &largest {
            let folder = tempfile::tempdir_in(place.path()).unwrap();
            let others = members.iter().filter(|(name, _)| name != exporter).map(|(_, member)| member.path.as_path());
            links(others, &tree, folder.path());
            let lists = ["modules.order", "modules.builtin", "modules.builtin.modinfo"].map(|list| tree.join(list));
            links(lists.iter().map(PathBuf::as_path), &tree, folder.path());
            let verdict = ask(&members[*exporter].path, folder.path().as_os_str());
            assert_not_refused(&verdict, &format!("{exporter} and its tree without it"));
        }
        println!(
            "{folder}: {} of {} pairs of an exporter and a user, {} of {} exporters with a folder of their users, and {} of {} \
             with the whole tree but them, are not refused as duplicates",
            pairs.len(),
            all_pairs,
            exporters.len(),
            all_exporters,
            largest.len(),
            largest.len()
        );
    }
}
