//! Lab machines: a person enrols a machine explicitly, and the enrolment is bound to the machine's own id.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::digest::{Sha256, sha256};
use crate::error::{Error, ErrorKind, Result};
use crate::vault::Vault;

/// The contents of the file in the state folder.
#[derive(Serialize, Deserialize)]
pub(crate) struct EnrolmentFile {
    pub(crate) schema_version: u32,
    /// SHA-256 of the machine's id: a state folder that is copied to another machine enrols nothing there.
    pub(crate) machine: Sha256,
}

/// The file in the state folder.
pub(crate) const FILE: &str = "lab-machine.json";

/// SHA-256 of this program's name and the machine's id (machine-id(5)), so that the hash does not disclose the id.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] if the machine has no id. It can't be enrolled then.
pub fn machine(root: &Path) -> Result<Sha256> {
    let path = root.join("etc/machine-id");
    let id = std::fs::read_to_string(&path).unwrap_or_default();
    let id = id.trim();
    if id.len() != 32 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        let what = "this machine has no id to which an enrolment could be bound";
        return Err(Error::new(ErrorKind::NotFound, what).hint("systemd-machine-id-setup creates one").on(path));
    }
    Ok(sha256(format!("kmodlab lab machine {id}").as_bytes()))
}

/// Is this machine enrolled in this vault? An enrolment that is damaged, of another machine, or in a state folder that another
/// user could have written does not count.
pub fn is_enrolled(vault: &Vault, root: &Path) -> bool {
    let text = vault.kept(FILE).ok().flatten().unwrap_or_default();
    let enrolment: Option<EnrolmentFile> = serde_json::from_slice(&text).ok();
    enrolment.is_some_and(|e| e.schema_version == 1 && machine(root).is_ok_and(|machine| machine == e.machine))
}
