//! The facts of a kernel, each with the source that it was read from.
//!
//! A kernel is named the same way everywhere ([`named`]): `running`, `vermagic:STRING`, or a module of that kernel, which
//! carries the same version magic. A fact that is missing is missing; it is never guessed.

mod reference;
mod running;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::vermagic::Vermagic;

/// One thing known about a kernel, with where it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact<T> {
    /// What is known.
    pub value: T,
    /// Where it was read, in words.
    pub source: String,
}

/// A kernel: what is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// What it was called on the command line.
    pub name: String,
    /// Its version magic.
    pub vermagic: Fact<Vermagic>,
}

/// Finds a kernel by what people call it: `running`, `vermagic:STRING`, or the path of a module of that kernel.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] if there is nothing of that name, or nothing there that tells the version magic;
/// [`ErrorKind::Malformed`] for a version magic that no kernel can have; those of [`crate::module::open`].
pub fn named(name: &OsStr, max_size: u64) -> Result<Kernel> {
    let vermagic = match name.as_bytes() {
        b"running" => running::vermagic(Path::new("/"), max_size)?,
        bytes => match bytes.strip_prefix(b"vermagic:") {
            Some(string) => Fact { value: Vermagic::parse(string), source: "the command line".to_owned() },
            None => reference::vermagic(Path::new(name), max_size)?,
        },
    };
    let name = name.to_string_lossy().into_owned();
    match vermagic.value.problems().iter().find(|problem| problem.is_error()) {
        Some(problem) => {
            let what = format!("no version magic of a kernel ({}): {problem}", vermagic.source);
            Err(Error::new(ErrorKind::Malformed, what).on(name))
        }
        None => Ok(Kernel { name, vermagic }),
    }
}
