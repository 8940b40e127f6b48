//! The listing of modinfo(8), byte for byte (kmod 30 to 34 and its development version of July 2026).
//!
//! Order and duplicates stay as in the file. The parameters come last, in the reverse order of their first mention, each `parm`
//! joined with its `parmtype`. The fields of the signature follow the strings of the file.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};
use crate::module::Module;
use crate::module::trailer::hex_lines;

/// A key and its value, as listed.
pub type ListedField = (Vec<u8>, Vec<u8>);

/// A version of kmod whose listing is reproduced (tools/modinfo.c, libkmod/libkmod-module.c and libkmod-signature.c).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum KmodVersion {
    /// 30
    #[default]
    V30,
    /// 31, which lists as 30 does
    V31,
    /// 32: any digest of a signature, by OpenSSL's name
    V32,
    /// 33, which lists as 32 does
    V33,
    /// 34: no padding after a key of more than fifteen bytes
    V34,
    /// The development version: `build-id` as well
    Development,
}

impl KmodVersion {
    /// The names of all versions, in order.
    pub const NAMES: [&str; 6] = ["30", "31", "32", "33", "34", "development"];
}

impl FromStr for KmodVersion {
    type Err = Error;

    fn from_str(name: &str) -> Result<KmodVersion, Error> {
        Ok(match name {
            "30" => KmodVersion::V30,
            "31" => KmodVersion::V31,
            "32" => KmodVersion::V32,
            "33" => KmodVersion::V33,
            "34" => KmodVersion::V34,
            "development" => KmodVersion::Development,
            _ => return Err(Error::new(ErrorKind::Usage, "not a version of kmod whose listing is known")),
        })
    }
}

/// Which listing is made.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// The version of kmod.
    pub kmod: KmodVersion,
    /// A single field; `None` for all.
    pub field: Option<String>,
    /// Is each field `KEY=VALUE`, as with `modinfo -0`? The caller then ends each item with a NUL.
    pub nul: bool,
}

/// An item of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListedItem {
    /// A line, without its end. A value may contain line feeds.
    Line(Vec<u8>),
    /// A parameter without a colon. modinfo reports it on stderr and omits it.
    MalformedParameter(ListedField),
    /// The module is built in, and the kernel's build kept no modinfo of it. The listing ends here.
    NoModinfo,
}

/// Where a listed module is.
#[derive(Clone, Debug)]
pub enum ListedModule {
    /// In a file, with this absolute path.
    File(Vec<u8>),
    /// In the kernel image, with this name: only its modinfo is kept (`modules.builtin.modinfo`).
    BuiltIn(Vec<u8>),
}

impl ListedModule {
    /// The module in the file at this path. kmod prefixes a relative path with the working directory and does not normalise it.
    pub fn file(path: &Path) -> ListedModule {
        let path = path.as_os_str().as_bytes();
        ListedModule::File(match std::env::current_dir() {
            Ok(here) if !path.starts_with(b"/") => [here.as_os_str().as_bytes(), b"/", path].concat(),
            _ => path.to_vec(),
        })
    }
}

/// The fields of a module in modinfo's order: the strings of `.modinfo`, the build-id, then those of the signature.
pub fn fields(module: &Module, kmod: KmodVersion) -> Vec<ListedField> {
    let strings = module.modinfo.entries.iter().map(|e| (e.key.clone(), e.value.clone()));
    let has_build_id = kmod >= KmodVersion::Development;
    let build_id = module.build_id.iter().filter(|_| has_build_id).map(|id| ("build-id", hex_lines(id)));
    let signature = module.trailer.iter().flat_map(|t| t.modinfo_entries(kmod >= KmodVersion::V32));
    let added = build_id.chain(signature).map(|(key, value)| (key.as_bytes().to_vec(), value));
    strings.chain(added).collect()
}

/// A parameter, made of its `parm` and its `parmtype`.
#[derive(Default)]
struct Parameter {
    name: Vec<u8>,
    description: Option<Vec<u8>>,
    kind: Option<Vec<u8>>,
}

impl Listing {
    /// The listing of one module, in order.
    pub fn items(&self, module: &ListedModule, fields: &[ListedField]) -> Vec<ListedItem> {
        let mut items = Vec::new();
        let mut line = |parts: &[&[u8]]| items.push(ListedItem::Line(parts.concat()));
        let field = self.field.as_deref();
        let file: &[u8] = match module {
            ListedModule::File(path) => path,
            ListedModule::BuiltIn(name) => {
                match field {
                    None => line(&[b"name:           ", name]),
                    Some("name") => line(&[name]),
                    Some(_) => {}
                }
                b"(builtin)"
            }
        };
        match field {
            Some("filename") => {
                line(&[file]);
                return items;
            }
            Some(_) => {}
            None => line(&[b"filename:       ", file]),
        }
        if matches!(module, ListedModule::BuiltIn(_)) && fields.is_empty() {
            items.push(ListedItem::NoModinfo);
            return items;
        }
        if field == Some("parm") {
            add_parameters(fields, b"", &mut items);
            return items;
        }
        for (key, value) in fields {
            match field {
                Some(field) if key == field.as_bytes() => line(&[value]),
                Some(_) => {}
                None if key == b"parm" || key == b"parmtype" => {}
                None if self.nul => line(&[key, b"=", value]),
                None => {
                    // Up to kmod 33 a key of more than fifteen bytes makes the field width negative; printf uses its absolute value.
                    let width = match self.kmod {
                        KmodVersion::V34 | KmodVersion::Development => 15usize.saturating_sub(key.len()),
                        _ => 15usize.abs_diff(key.len()),
                    };
                    let padding = vec![b' '; width];
                    line(&[key, b":", &padding, value]);
                }
            }
        }
        if field.is_none() {
            add_parameters(fields, b"parm:           ", &mut items);
        }
        items
    }
}

fn add_parameters(fields: &[ListedField], label: &[u8], items: &mut Vec<ListedItem>) {
    let malformed = fields.iter().filter(|field| is_parameter(field) && split(&field.1).is_none());
    items.extend(malformed.cloned().map(ListedItem::MalformedParameter));
    let mut line = |parts: &[&[u8]]| items.push(ListedItem::Line(parts.concat()));
    for Parameter { name, description, kind } in &parameters(fields) {
        match (description, kind) {
            (None, None) => {}
            // modinfo prints a type without a description differently in a listing of all fields and of this field only.
            (None, Some(kind)) if label.is_empty() => line(&[name, b": (", kind, b")"]),
            (None, Some(kind)) => line(&[label, name, b":", kind]),
            (Some(description), None) => line(&[label, name, b":", description]),
            (Some(description), Some(kind)) => line(&[label, name, b":", description, b" (", kind, b")"]),
        }
    }
}

fn is_parameter((key, _): &ListedField) -> bool {
    key == b"parm" || key == b"parmtype"
}

fn parameters(fields: &[ListedField]) -> Vec<Parameter> {
    let mut parameters: Vec<Parameter> = Vec::new();
    let mut indexes: HashMap<&[u8], usize> = HashMap::new();
    for (key, value) in fields.iter().filter(|field| is_parameter(field)) {
        let Some((name, rest)) = split(value) else { continue };
        let index = *indexes.entry(name).or_insert_with(|| {
            parameters.push(Parameter { name: name.to_vec(), ..Parameter::default() });
            parameters.len() - 1
        });
        if let Some(parameter) = parameters.get_mut(index) {
            let side = if key == b"parm" { &mut parameter.description } else { &mut parameter.kind };
            *side = Some(rest.to_vec());
        }
    }
    parameters.reverse();
    parameters
}

/// A parameter's name, and the text after the colon.
fn split(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = value.iter().position(|b| *b == b':')?;
    Some((value.get(..colon)?, value.get(colon + 1..)?))
}
