//! Enrolment of a lab machine: bound to the machine's own ID, and to nothing that can be copied.

use std::fs;
use std::path::{Path, PathBuf};

use kmodlab::change::{self, Confirmable, Enrolment, withdraw};
use kmodlab::error::{Error, ErrorKind};
use kmodlab::guard::enrol::{is_enrolled, machine};
use kmodlab::vault::Vault;
use tempfile::TempDir;

const THIS: &str = "0123456789abcdef0123456789abcdef\n";
const OTHER: &str = "fedcba9876543210fedcba9876543210\n";

/// A simulated machine with this ID.
fn root(id: &str) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    fs::write(root.path().join("etc/machine-id"), id).unwrap();
    root
}

fn state(root: &TempDir) -> PathBuf {
    root.path().join("state")
}

/// Enrols the machine with this root folder.
fn enrol(vault: &Vault, root: &Path) -> Result<(), Error> {
    let enrolment = Enrolment::of(root)?;
    let digest = enrolment.digest();
    change::enrol(enrolment.confirm_digest(&digest.to_string())?, &mut vault.writer()?)
}

/// The operations in a journal.
fn operations(vault: &Vault) -> Vec<&'static str> {
    vault.journal().unwrap().entries.iter().map(|entry| entry.operation.name()).collect()
}

#[test]
fn enrolment_and_its_end_are_in_the_journal() {
    let root = root(THIS);
    let vault = Vault::at(state(&root));
    assert!(!is_enrolled(&vault, root.path()));
    enrol(&vault, root.path()).unwrap();
    assert!(is_enrolled(&vault, root.path()));
    withdraw(&mut vault.writer().unwrap()).unwrap();
    assert!(!is_enrolled(&vault, root.path()));
    assert_eq!(operations(&vault), ["enrol", "unenrol"]);
}

#[test]
fn unenrolling_an_unenrolled_machine_is_no_operation() {
    let root = root(THIS);
    let vault = Vault::at(state(&root));
    withdraw(&mut vault.writer().unwrap()).unwrap();
    assert_eq!(operations(&vault), Vec::<&str>::new());
}

#[test]
fn a_state_folder_that_is_copied_enrols_no_other_machine() {
    let (here, there) = (root(THIS), root(OTHER));
    let vault = Vault::at(state(&here));
    enrol(&vault, here.path()).unwrap();
    assert!(!is_enrolled(&vault, there.path()));
}

#[test]
fn a_machine_without_an_id_cannot_be_enrolled() {
    for id in ["", "uninitialized\n", "0123456789abcdef", "0123456789abcdef0123456789abcdeg\n"] {
        let root = root(id);
        let vault = Vault::at(state(&root));
        let error = enrol(&vault, root.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(!is_enrolled(&vault, root.path()));
        assert_eq!(operations(&vault), Vec::<&str>::new());
    }
}

#[test]
fn a_damaged_or_forged_enrolment_is_none() {
    let root = root(THIS);
    let vault = Vault::at(state(&root));
    let digest = machine(root.path()).unwrap();
    let write = |text: &str| fs::write(Path::new(vault.folder()).join("lab-machine.json"), text).unwrap();
    fs::create_dir(vault.folder()).unwrap();
    for text in ["", "{}", "true", "{\"schema_version\":1}", "{\"schema_version\":1,\"machine\":\"\"}"] {
        write(text);
        assert!(!is_enrolled(&vault, root.path()), "{text}");
    }
    // A format that this program does not know yet is not guessed.
    write(&format!("{{\"schema_version\":2,\"machine\":\"{digest}\"}}"));
    assert!(!is_enrolled(&vault, root.path()));
}

#[test]
fn the_digest_does_not_reveal_the_machine_id() {
    let digest = machine(root(THIS).path()).unwrap();
    assert!(!digest.to_string().contains(THIS.trim()));
    assert_ne!(digest, machine(root(OTHER).path()).unwrap());
}
