//! The facts of a kernel, each with the source that it was read from.
//!
//! A kernel is named the same way everywhere ([`named`]): `running`, `vermagic:STRING`, or a module of that kernel, which
//! carries the same version magic. A fact that is missing is missing; it is never guessed.

mod reference;
mod running;

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::module::Module;
use crate::module::elf::{Class, Endian, machine_name};
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
    /// The machine that it runs on.
    pub machine: Option<Fact<Machine>>,
    /// The CRC of `module_layout`, which stands for `struct module` and its kin.
    pub module_layout: Option<Fact<u64>>,
}

/// A machine, as an ELF header tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// 32 or 64 bit.
    pub class: Class,
    /// Byte order.
    pub endian: Endian,
    /// `e_machine`.
    pub number: u16,
}

impl Machine {
    /// The machine that a module was built for.
    pub fn of(module: &Module) -> Machine {
        Machine { class: module.class, endian: module.endian, number: module.machine }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.class.name(), self.endian.name(), machine_name(self.number))
    }
}

/// Finds a kernel by what people call it: `running`, `vermagic:STRING`, or the path of a module of that kernel.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] if there is nothing of that name, or nothing there that tells the version magic;
/// [`ErrorKind::Malformed`] for a version magic that no kernel can have; those of [`crate::module::open`].
pub fn named(name: &OsStr, max_size: u64) -> Result<Kernel> {
    let facts = match name.as_bytes() {
        b"running" => running::facts(Path::new("/"), max_size)?,
        bytes => match bytes.strip_prefix(b"vermagic:") {
            Some(string) => {
                let vermagic = Fact { value: Vermagic::parse(string), source: "the command line".to_owned() };
                Kernel { name: String::new(), vermagic, machine: None, module_layout: None }
            }
            None => reference::facts(Path::new(name), max_size)?,
        },
    };
    let name = name.to_string_lossy().into_owned();
    match facts.vermagic.value.problems().iter().find(|problem| problem.is_error()) {
        Some(problem) => {
            let what = format!("no version magic of a kernel ({}): {problem}", facts.vermagic.source);
            Err(Error::new(ErrorKind::Malformed, what).on(name))
        }
        None => Ok(Kernel { name, ..facts }),
    }
}
