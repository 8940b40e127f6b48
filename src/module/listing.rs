//! The listing of modinfo(8), byte for byte (kmod 30 to 34 and its development version of July 2026).
//!
//! Order and duplicates stay as in the file. The parameters come last, in the reverse order of their first mention, each `parm`
//! joined with its `parmtype`. The fields of the signature follow the strings of the file.

use std::borrow::Cow;
use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};
use crate::module::Module;
use crate::module::modinfo::key_and_value;
use crate::module::partial::{Extract, ImageParts, PartialReader, UsualParts};
use crate::module::trailer::{self, Trailer, hex_lines};

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

    fn from_str(name: &str) -> Result<KmodVersion> {
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
pub enum ListedModule<'p> {
    /// In the file at this path.
    File(&'p Path),
    /// In the kernel image, with this name: only its modinfo is kept (`modules.builtin.modinfo`).
    BuiltIn(Vec<u8>),
}

/// An absolute path. kmod prefixes a relative path with the working directory and does not normalise it.
fn absolute(path: &Path) -> Cow<'_, [u8]> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.starts_with(b"/") {
        return Cow::Borrowed(bytes);
    }
    match std::env::current_dir() {
        Ok(here) => Cow::Owned([here.as_os_str().as_bytes(), b"/", bytes].concat()),
        Err(_) => Cow::Borrowed(bytes),
    }
}

/// Reads the fields of module files, with buffers that are reused from file to file. Of a usual file it reads only the headers,
/// `.modinfo` and the trailer.
#[derive(Default)]
pub struct FieldReader(PartialReader);

impl FieldReader {
    /// The fields of a module file in modinfo's order, as far as a listing needs them: the strings of `.modinfo`, the build-id, then
    /// those of the signature. A file that is compressed may become `max_size` bytes.
    ///
    /// # Errors
    ///
    /// Those of [`module::open`](crate::module::open), with the file's name, as far as the parts that are read show them.
    pub fn file(&mut self, path: &Path, max_size: u64, listing: &Listing) -> Result<Vec<ListedField>> {
        self.0.file(path, max_size, &mut Fields(listing)).map(|extracted| extracted.facts)
    }
}

/// The fields that a listing needs.
struct Fields<'l>(&'l Listing);

impl Fields<'_> {
    fn has_build_id(&self) -> bool {
        self.0.kmod >= KmodVersion::Development && self.0.needs(b"build-id")
    }

    fn signature(&self, trailer: &Trailer) -> impl Iterator<Item = ListedField> {
        let entries = trailer.modinfo_entries(self.0.kmod >= KmodVersion::V32).into_iter();
        entries.map(|(key, value)| (key.as_bytes().to_vec(), value))
    }
}

impl Extract for Fields<'_> {
    type Facts = Vec<ListedField>;

    fn of_parts(
        &mut self,
        _: &impl ImageParts,
        parts: &UsualParts<'_>,
        _: &mut Vec<u8>,
    ) -> Result<Option<Vec<ListedField>>> {
        // Only the full reader reads notes.
        if self.has_build_id() {
            return Ok(None);
        }
        let strings = parts.strings().map(key_and_value).filter(|(key, _)| self.0.needs(key));
        let mut fields: Vec<ListedField> = strings.map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
        if parts.trailer.is_some() && self.0.field.as_deref().is_none_or(|field| Trailer::has_entry(field.as_bytes())) {
            let Ok(Some(trailer)) = trailer::find(parts.tail) else { return Ok(None) };
            fields.extend(self.signature(&trailer));
        }
        Ok(Some(fields))
    }

    fn of_image(&mut self, image: &[u8]) -> Result<Vec<ListedField>> {
        let module = Module::read(image)?;
        let strings = module.modinfo.entries.into_iter().map(|entry| (entry.key, entry.value));
        let build_id = module.build_id.iter().filter(|_| self.has_build_id());
        let build_id = build_id.map(|id| (b"build-id".to_vec(), hex_lines(id)));
        Ok(strings.chain(build_id).chain(module.trailer.iter().flat_map(|trailer| self.signature(trailer))).collect())
    }
}

/// A parameter, made of its `parm` and its `parmtype`.
#[derive(Default)]
struct Parameter {
    name: Vec<u8>,
    description: Option<Vec<u8>>,
    kind: Option<Vec<u8>>,
}

impl Listing {
    /// Does the listing need the field with this key?
    fn needs(&self, key: &[u8]) -> bool {
        match self.field.as_deref() {
            None => true,
            Some("parm") => is_parameter(key),
            Some(field) => key == field.as_bytes(),
        }
    }

    /// The listing of one module, in order.
    pub fn items(&self, module: &ListedModule<'_>, fields: &[ListedField]) -> Vec<ListedItem> {
        let mut items = Vec::new();
        let mut line = |parts: &[&[u8]]| items.push(ListedItem::Line(parts.concat()));
        let field = self.field.as_deref();
        let file = || match module {
            ListedModule::File(path) => absolute(path),
            ListedModule::BuiltIn(_) => Cow::Borrowed(b"(builtin)".as_slice()),
        };
        if let ListedModule::BuiltIn(name) = module {
            match field {
                None => line(&[b"name:           ", name]),
                Some("name") => line(&[name]),
                Some(_) => {}
            }
        }
        match field {
            Some("filename") => {
                line(&[&file()]);
                return items;
            }
            Some(_) => {}
            None => line(&[b"filename:       ", &file()]),
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
                None if is_parameter(key) => {}
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
    let malformed = fields.iter().filter(|field| is_parameter(&field.0) && split(&field.1).is_none());
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

fn is_parameter(key: &[u8]) -> bool {
    key == b"parm" || key == b"parmtype"
}

fn parameters(fields: &[ListedField]) -> Vec<Parameter> {
    let mut parameters: Vec<Parameter> = Vec::new();
    let mut indexes: HashMap<&[u8], usize> = HashMap::new();
    for (key, value) in fields.iter().filter(|field| is_parameter(&field.0)) {
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
