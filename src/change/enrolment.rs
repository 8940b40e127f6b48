//! Enrolment: a person declares this machine a lab machine, on which modules in use may be patched.

use std::path::{Path, PathBuf};

use crate::change::confirmation::sealed::Sealed;
use crate::change::confirmation::{Confirmable, Confirmed};
use crate::digest::Sha256;
use crate::error::{Error, Result};
use crate::guard::enrol::{self, EnrolmentFile, FILE};
use crate::vault::Writer;
use crate::vault::record::Operation;

/// The enrolment of this machine, not written yet.
#[derive(Debug)]
pub struct Enrolment {
    root: PathBuf,
    machine: Sha256,
    host: String,
}

impl Enrolment {
    /// The enrolment of the machine with this root folder.
    ///
    /// # Errors
    ///
    /// [`crate::error::ErrorKind::NotFound`] if the machine has no id (machine-id(5)).
    pub fn of(root: &Path) -> Result<Enrolment> {
        let machine = enrol::machine(root)?;
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Ok(Enrolment { root: root.to_owned(), machine, host })
    }
}

impl Sealed for Enrolment {}

impl Confirmable for Enrolment {
    /// The host's name.
    fn name_to_type(&self) -> String {
        self.host.clone()
    }

    fn digest(&self) -> Sha256 {
        self.machine
    }
}

/// Enrols the machine.
///
/// # Errors
///
/// [`crate::error::ErrorKind::Io`]; [`crate::error::ErrorKind::NotFound`] if the machine's id is gone.
pub fn enrol(confirmed: Confirmed<Enrolment>, writer: &mut Writer<'_>) -> Result<()> {
    let enrolment = confirmed.into_change();
    let file = EnrolmentFile { schema_version: 1, machine: enrol::machine(&enrolment.root)? };
    let text = serde_json::to_vec_pretty(&file).map_err(|e| Error::io("writing the enrolment", e))?;
    writer.note(Operation::Enrol, "this machine was declared a lab machine")?;
    writer.vault().keep(FILE, &text)
}

/// Withdraws an enrolment. Without one, nothing happens.
///
/// # Errors
///
/// [`crate::error::ErrorKind::Io`].
pub fn withdraw(writer: &mut Writer<'_>) -> Result<()> {
    if !writer.vault().discard(FILE)? {
        return Ok(());
    }
    writer.note(Operation::Unenrol, "this machine is no lab machine any more").map(drop)
}
