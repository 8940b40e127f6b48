//! Promise: a patch changes the planned bytes and no others, and a restore gives back every byte, mode, owner, time and
//! extended attribute; for each module of two real kernels. `tests/run` tests one in five; all of them with
//! `KMODLAB_ALL_MODULES=1`.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use kmodlab::change::{Applied, Confirmable, Proposal, Restore};
use kmodlab::digest::sha256;
use kmodlab::edit;
use kmodlab::guard::Overrides;
use kmodlab::guard::machine::made_up;
use kmodlab::patch::{Mark, NewVermagic, Plan, Request, Signature};
use kmodlab::vault::Vault;
use kmodlab::vault::metadata::Metadata;
use kmodlab::vault::record::{JournalEntry, WriteMethod};
use kmodlab::vault::standing::{FileState, standing};

use crate::real::{UNCOMPRESSED, alone, modules, on_all_cores};

#[test]
#[ignore = "needs fetched kernels: tests/run runs it"]
fn each_module_is_patched_verified_and_restored_exactly() {
    let _alone = alone();
    let step = if std::env::var_os("KMODLAB_ALL_MODULES").is_some() { 1 } else { 5 };
    for package in UNCOMPRESSED {
        let modules: Vec<_> = modules(package).into_iter().step_by(step).collect();
        let folder = tempfile::tempdir().unwrap();
        let numbered: Vec<_> = modules.iter().enumerate().collect();
        let counts = on_all_cores(&numbered, |(number, module)| {
            let place = folder.path().join(number.to_string());
            std::fs::create_dir(&place).unwrap();
            let count = round_trips(&place, module);
            std::fs::remove_dir_all(&place).unwrap();
            count
        });
        let trips: usize = counts.iter().map(|c| c.trips).sum();
        let bytes: usize = counts.iter().map(|c| c.bytes).sum();
        println!("{package}: {} modules, {trips} round trips, {bytes} planned bytes changed, 0 others", modules.len());
        println!("{package}: after restore SHA-256, mode, owner, times, extended attributes as before in all {trips}");
        assert_eq!(trips, 3 * modules.len());
    }
}

#[derive(Default)]
struct Count {
    trips: usize,
    bytes: usize,
}

/// Round trips with a string of the same length, a shorter one, and a shorter one with the trailer stripped.
fn round_trips(place: &Path, module: &Path) -> Count {
    let copy = place.join(module.file_name().unwrap());
    std::fs::copy(module, &copy).unwrap();
    give_metadata(&copy);
    let original = std::fs::read(&copy).unwrap();
    let magic = kmodlab::module::Module::read(&original).unwrap().vermagic().unwrap();
    let same = [b"9", magic.as_bytes().get(1..).unwrap()].concat();
    let shorter = b"6.6.6-lab SMP mod_unload ".to_vec();
    let mut count = Count::default();
    for (new_vermagic, signature, how) in [
        (same, Signature::Keep, WriteMethod::InPlace),
        (shorter.clone(), Signature::Keep, WriteMethod::InPlace),
        (shorter, Signature::Strip, WriteMethod::Replace),
    ] {
        count.bytes += round_trip(place, &copy, &original, new_vermagic, signature, how);
        count.trips += 1;
    }
    count
}

/// Patches, verifies, restores; returns the number of planned bytes that differed in the patched module.
fn round_trip(
    place: &Path,
    copy: &Path,
    original: &[u8],
    new_vermagic: Vec<u8>,
    signature: Signature,
    how: WriteMethod,
) -> usize {
    let vault = Vault::at(place.join("state"));
    let before = metadata(copy);

    let request =
        Request { drop_btf: true, mark: Mark::Never, ..Request::new(NewVermagic::Rewrite(new_vermagic), signature) };
    let plan = Plan::make(original, &request).unwrap();
    let entry = patch(&vault, copy, &request);
    assert_eq!(entry.change.unwrap().how, how);

    let patched = std::fs::read(copy).unwrap();
    assert_eq!(sha256(&patched), plan.after);
    let changed = only_planned_bytes_differ(original, &patched, &plan);
    assert_eq!(standing(&vault, &vault.index().unwrap(), copy).unwrap().state, FileState::Patched);

    restore(&vault, copy);
    assert!(std::fs::read(copy).unwrap() == original);
    let after = metadata(copy);
    assert!(after.same_but_access(&before), "{before:?}\n{after:?}");
    changed
}

/// Patches a module, with all guards overridden that can be.
pub(crate) fn patch(vault: &Vault, copy: &Path, request: &Request) -> JournalEntry {
    let machine = made_up("/not/there", "0.0.0", false);
    let proposal = Proposal::make(&copy.canonicalize().unwrap(), None, request, None, &machine).unwrap();
    let reviewed = proposal.review(Overrides::all()).unwrap();
    let digest = reviewed.digest();
    match reviewed.confirm_digest(&digest.to_string()).unwrap().apply(&mut vault.writer().unwrap()).unwrap() {
        Applied::Written(entry) => *entry,
        Applied::Unchanged => panic!("nothing to write"),
    }
}

/// Restores the original.
pub(crate) fn restore(vault: &Vault, copy: &Path) {
    let restore = Restore::plan(vault, &copy.canonicalize().unwrap()).unwrap();
    let confirmed = restore.without_discarding().unwrap();
    assert!(confirmed.apply(&mut vault.writer().unwrap()).unwrap().entry.is_some());
}

fn only_planned_bytes_differ(original: &[u8], patched: &[u8], plan: &Plan) -> usize {
    let kept = &original[..patched.len()];
    let planned = |at: u64| plan.edits.iter().any(|edit| edit.range().contains(&at));
    let differing = edit::between(kept, patched).unwrap();
    assert!(differing.iter().all(|run| run.range().all(planned)));
    assert!((patched.len() as u64..original.len() as u64).all(planned));
    differing.iter().map(|run| run.old.len()).sum::<usize>() + (original.len() - patched.len())
}

/// The metadata of a file.
pub(crate) fn metadata(file: &Path) -> Metadata {
    Metadata::of(&File::open(file).unwrap()).unwrap()
}

/// Sets metadata that a careless write would lose: an odd mode, an attribute, an old time with nanoseconds.
pub(crate) fn give_metadata(file: &Path) {
    std::fs::set_permissions(file, Permissions::from_mode(0o640)).unwrap();
    let value = b"kept by restore";
    rustix::fs::setxattr(file, "user.kmodlab-test", value, rustix::fs::XattrFlags::empty()).unwrap();
    let old = std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 123_456_789);
    File::options().write(true).open(file).unwrap().set_modified(old).unwrap();
}
