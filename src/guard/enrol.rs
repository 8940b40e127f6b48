//! A lab machine: one that a person declared to be one, by an explicit act that is bound to the machine's own id.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::digest::{Sha256, sha256};
use crate::error::{Error, ErrorKind, Result};
use crate::vault::journal::Operation;
use crate::vault::{Vault, Writer};

/// What the file in the state folder says.
#[derive(Serialize, Deserialize)]
struct Enrolment {
    schema_version: u32,
    /// SHA-256 of the machine's id: a state folder that is copied to another machine enrols nothing there.
    machine: Sha256,
}

/// The file in the state folder.
const FILE: &str = "lab-machine.json";

/// The SHA-256 of this machine's id (machine-id(5)), with this program's name in it so that it tells nobody the id.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] if the machine has no id: then it can't be enrolled.
pub fn machine(root: &Path) -> Result<Sha256> {
    let path = root.join("etc/machine-id");
    let id = std::fs::read_to_string(&path).unwrap_or_default();
    let id = id.trim();
    if id.len() != 32 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        let what = "this machine has no id, so that nothing can be bound to it";
        return Err(Error::new(ErrorKind::NotFound, what).hint("systemd-machine-id-setup makes one").on(path));
    }
    Ok(sha256(format!("kmodlab lab machine {id}").as_bytes()))
}

/// Is this machine enrolled in this vault? A damaged or foreign enrolment is none, and so is one that another user could have
/// written.
pub fn is_enrolled(vault: &Vault, root: &Path) -> bool {
    let text = vault.kept(FILE).ok().flatten().unwrap_or_default();
    let enrolment: Option<Enrolment> = serde_json::from_slice(&text).ok();
    enrolment.is_some_and(|e| e.schema_version == 1 && machine(root).is_ok_and(|machine| machine == e.machine))
}

/// Enrols this machine.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] without a machine id, [`ErrorKind::Io`].
pub fn enrol(writer: &mut Writer<'_>, root: &Path) -> Result<()> {
    let enrolment = Enrolment { schema_version: 1, machine: machine(root)? };
    let text = serde_json::to_vec_pretty(&enrolment).map_err(|e| Error::io("writing the enrolment", e))?;
    writer.note(Operation::Enrol, "this machine was declared a lab machine")?;
    writer.vault().keep(FILE, &text)
}

/// Takes an enrolment back; there need not be one.
///
/// # Errors
///
/// [`ErrorKind::Io`].
pub fn unenrol(writer: &mut Writer<'_>) -> Result<()> {
    if !writer.vault().discard(FILE)? {
        return Ok(());
    }
    writer.note(Operation::Unenrol, "this machine is no lab machine any more").map(drop)
}
