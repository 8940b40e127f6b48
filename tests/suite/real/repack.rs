//! Promise: a version magic may grow. For each module of four real kernels, uncompressed and xz, 32 and 64 bits, both byte
//! orders: a string that does not fit is moved, no byte outside the plan differs, other tools read the result as they read the
//! original, and a restore gives every byte back.
//!
//! `tests/run` tests some of the modules; all of them with `KMODLAB_ALL_MODULES=1`.

use std::collections::BTreeMap;
use std::path::Path;

use kmodlab::digest::sha256;
use kmodlab::edit::{self, Edit};
use kmodlab::module::Module;
use kmodlab::module::container::{Container, DEFAULT_MAX_SIZE};
use kmodlab::patch::{MARK, NewVermagic, Plan, Request, Signature};
use kmodlab::vault::Vault;
use kmodlab::vault::standing::{FileState, standing};

use crate::real::round_trip::{give_metadata, metadata, patch, restore};
use crate::real::{alone, modules, on_all_cores, run};

const PACKAGES: [&str; 4] = ["amd64-6.1", "amd64-6.12", "i386-5.10", "s390x-6.12"];

/// The numbers of bytes by which the version magic grows.
const GROWN: [usize; 4] = [1, 3, 40, 200];

/// One module in this many is tested, unless all are.
const ONE_OF: usize = 151;

#[test]
#[ignore = "needs fetched kernels: tests/run runs it"]
fn each_version_magic_may_grow() {
    let _alone = alone();
    let step = if std::env::var_os("KMODLAB_ALL_MODULES").is_some() { 1 } else { ONE_OF };
    for package in PACKAGES {
        let modules: Vec<_> = modules(package).into_iter().step_by(step).collect();
        let folder = tempfile::tempdir().unwrap();
        let numbered: Vec<_> = modules.iter().enumerate().collect();
        let counts = on_all_cores(&numbered, |(number, module)| {
            let place = folder.path().join(number.to_string());
            std::fs::create_dir(&place).unwrap();
            let count = grow(&place, module);
            std::fs::remove_dir_all(&place).unwrap();
            count
        });
        let sum = |of: fn(&Count) -> usize| counts.iter().map(of).sum::<usize>();
        println!(
            "{package}: {} modules, {} grown ({} had room in place), shown, verified and restored; modinfo and readelf \
             take all, eu-elflint takes {} as it took {} originals, and says of the others what it said; {} planned bytes, \
             0 others",
            modules.len(),
            sum(|c| c.grown),
            sum(|c| c.in_place),
            sum(|c| c.accepted),
            sum(|c| c.accepted_before),
            sum(|c| c.bytes),
        );
        assert_eq!(sum(|c| c.grown), GROWN.len() * modules.len());
        assert!(sum(|c| c.in_place) * 2 < sum(|c| c.grown), "most are to get another place");
    }
}

#[derive(Default)]
struct Count {
    grown: usize,
    in_place: usize,
    accepted: usize,
    accepted_before: usize,
    bytes: usize,
}

/// Grows a module by all sizes, each time from its original.
fn grow(place: &Path, module: &Path) -> Count {
    let copy = place.join(module.file_name().unwrap());
    std::fs::copy(module, &copy).unwrap();
    give_metadata(&copy);
    let original = std::fs::read(&copy).unwrap();
    let inside = uncompressed(&original);
    let mut count = Count::default();
    let before = Said::of(place, &inside);
    for by in GROWN {
        let magic = Module::read(&inside).unwrap().vermagic().unwrap();
        let (release, rest) = magic.as_bytes().split_at(magic.as_bytes().iter().position(|b| *b == b' ').unwrap());
        let new_vermagic = [release, &vec![b'x'; by], rest].concat();
        let request = Request::new(NewVermagic::Rewrite(new_vermagic.clone()), Signature::Keep);
        let plan = Plan::make(&original, &request).unwrap();
        let patched = round_trip(place, &copy, &original, &plan, &request);
        count.bytes += only_planned_bytes_differ(&inside, &patched, &plan.edits);
        let shown = run("modinfo", ["-F", "vermagic", place.join("inside.ko").to_str().unwrap()]);
        assert_eq!(String::from_utf8(shown.stdout).unwrap().trim_end_matches('\n').as_bytes(), new_vermagic);
        let is_marked = Module::read(&patched).unwrap().modinfo.first(MARK).map(<[u8]>::to_vec);
        assert_eq!(is_marked, (!plan.is_in_place()).then(|| format!("{:.12}", sha256(&original)).into_bytes()));
        let after = Said::of(place, &patched);
        assert_eq!(before, after, "{} grown by {by}", module.display());
        count.grown += 1;
        count.in_place += usize::from(!plan.grows);
        count.accepted_before += usize::from(before.elflint.is_empty());
        count.accepted += usize::from(after.elflint.is_empty());
    }
    count
}

/// Patches, verifies, restores; returns the decompressed patched module, which is also kept in `inside.ko`.
fn round_trip(place: &Path, copy: &Path, original: &[u8], plan: &Plan, request: &Request) -> Vec<u8> {
    let vault = Vault::at(place.join("state"));
    let before = metadata(copy);
    patch(&vault, copy, request);

    let stored = std::fs::read(copy).unwrap();
    assert_eq!((sha256(&stored), Container::of(&stored)), (plan.after, Container::of(original)));
    let patched = uncompressed(&stored);
    std::fs::write(place.join("inside.ko"), &patched).unwrap();
    assert_eq!(standing(&vault, &vault.index().unwrap(), copy).unwrap().state, FileState::Patched);
    let mut then = metadata(copy);
    (then.modified, then.accessed) = (before.modified, before.accessed);
    assert_eq!(then, before, "mode, owner and attributes stay");

    restore(&vault, copy);
    assert!(std::fs::read(copy).unwrap() == original);
    assert!(metadata(copy).same_but_access(&before));
    patched
}

fn uncompressed(stored: &[u8]) -> Vec<u8> {
    Container::of(stored).decompress(stored, DEFAULT_MAX_SIZE).unwrap()
}

/// The number of bytes that differ or were added; all of them must belong to the edits.
fn only_planned_bytes_differ(original: &[u8], patched: &[u8], edits: &[Edit]) -> usize {
    let (kept, ends): (Vec<&Edit>, Vec<&Edit>) = edits.iter().partition(|edit| edit.keeps_length());
    let end = ends.first().map_or(original.len(), |edit| edit.offset as usize);
    let differing = edit::between(&original[..end], &patched[..end]).unwrap();
    assert!(differing.iter().all(|run| run.range().all(|at| kept.iter().any(|edit| edit.range().contains(&at)))));
    assert!(ends.iter().all(|edit| edit.new == patched[end..] && edit.old == original[end..]));
    differing.iter().map(|run| run.new.len()).sum::<usize>() + patched.len() - original.len()
}

/// The results of other tools for a module.
#[derive(Debug, PartialEq)]
struct Said {
    /// Whether readelf succeeds, and its complaints.
    readelf: (bool, String),
    /// The complaints of eu-elflint, each with its count.
    elflint: BTreeMap<String, usize>,
}

impl Said {
    fn of(place: &Path, inside: &[u8]) -> Said {
        let file = place.join("look.ko");
        std::fs::write(&file, inside).unwrap();
        let readelf = run("readelf", ["-aW", file.to_str().unwrap()]);
        let elflint = run("eu-elflint", ["--gnu-ld", "-q", file.to_str().unwrap()]);
        let mut complaints = BTreeMap::new();
        for line in String::from_utf8_lossy(&[elflint.stdout, elflint.stderr].concat()).lines() {
            *complaints.entry(line.to_owned()).or_default() += 1;
        }
        assert_eq!(elflint.status.success(), complaints.is_empty());
        let said = Said {
            readelf: (readelf.status.success(), String::from_utf8_lossy(&readelf.stderr).into_owned()),
            elflint: complaints,
        };
        assert!(said.readelf.0 && !readelf.stdout.is_empty());
        said
    }
}
