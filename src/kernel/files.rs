//! Stand-in.
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::Lookup;
use std::collections::{BTreeMap, BTreeSet};
/// x
#[derive(Debug, Default)]
pub struct Files {
    /// x
    pub image: Option<(String, Vec<u8>)>,
    /// x
    pub modules: BTreeMap<String, ModuleFile>,
}
/// x
#[derive(Debug)]
pub struct ModuleFile {
    /// x
    pub path: String,
    /// x
    pub bytes: Vec<u8>,
}
/// x
pub fn of(_kernel: &std::ffi::OsStr, _wanted: &BTreeSet<String>, _lookup: &Lookup) -> Result<Files> {
    Err(Error::new(ErrorKind::Unsupported, "x"))
}
