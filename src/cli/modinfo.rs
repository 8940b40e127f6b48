//! The listing of kmod's modinfo, byte for byte (modinfo(8), kmod 30 to 34 and its development version of July 2026).
//!
//! Order and duplicates stay as in the file; the parameters come last, in the reverse order of their first mention,
//! each `parm` joined with its `parmtype`; the signature's fields follow the strings of the file.

use std::collections::HashMap;

use clap::ValueEnum;

use crate::cli::output::{Failure, Session};
use crate::error::{Error, ErrorKind};
use crate::escape;
use crate::module::Module;
use crate::module::trailer::hex_lines;

/// A key and its value, as listed.
pub(super) type Field = (Vec<u8>, Vec<u8>);

/// A version of kmod whose listing differs from that of the one before (tools/modinfo.c, libkmod/libkmod-module.c and
/// libkmod-signature.c).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Kmod {
    /// 30
    #[default]
    #[value(name = "30")]
    V30,
    /// 31, which lists as 30 does
    #[value(name = "31")]
    V31,
    /// 32: any digest of a signature, by OpenSSL's name
    #[value(name = "32")]
    V32,
    /// 33, which lists as 32 does
    #[value(name = "33")]
    V33,
    /// 34: no blanks after a key of more than fifteen bytes
    #[value(name = "34")]
    V34,
    /// The development version: `build-id` as well
    #[value(name = "development")]
    Development,
}

/// What is listed.
pub(super) struct Listing {
    /// Whose listing it is.
    pub(super) kmod: Kmod,
    /// One field alone; `None` for all.
    pub(super) field: Option<String>,
    /// Each item ends with a NUL instead of a line feed (`-0`).
    pub(super) nul: bool,
}

/// The fields of a module in modinfo's order: the strings of `.modinfo`, the build-id, then what the signature says.
pub(super) fn fields(module: &Module, kmod: Kmod) -> Vec<Field> {
    let strings = module.modinfo.entries.iter().map(|e| (e.key.clone(), e.value.clone()));
    let build_id = module.build_id.iter().filter(|_| kmod >= Kmod::Development).map(|id| ("build-id", hex_lines(id)));
    let signature = module.trailer.iter().flat_map(|t| t.modinfo_entries(kmod >= Kmod::V32));
    let added = build_id.chain(signature).map(|(key, value)| (key.as_bytes().to_vec(), value));
    strings.chain(added).collect()
}

/// A parameter, put together from its `parm` and its `parmtype`.
#[derive(Default)]
struct Parameter {
    name: Vec<u8>,
    description: Option<Vec<u8>>,
    kind: Option<Vec<u8>>,
}

impl Listing {
    /// Prints the listing of one module. A built-in one has a name instead of a file.
    ///
    /// As modinfo does it, a parameter without a colon is told on stderr, left out, and no error.
    pub(super) fn print(&self, session: &mut Session<'_>, origin: &Origin, fields: &[Field]) -> Result<(), Failure> {
        let field = self.field.as_deref();
        let file: &[u8] = match origin {
            Origin::File(path) => path,
            Origin::BuiltIn(name) => {
                match field {
                    None => self.item(session, &[b"name:           ", name])?,
                    Some("name") => self.item(session, &[name])?,
                    Some(_) => {}
                }
                b"(builtin)"
            }
        };
        match field {
            Some("filename") => return self.item(session, &[file]),
            Some(_) => {}
            None => self.item(session, &[b"filename:       ", file])?,
        }
        if matches!(origin, Origin::BuiltIn(_)) && fields.is_empty() {
            return Err(Error::new(ErrorKind::NotFound, "built into the kernel, which kept no modinfo of it").into());
        }
        if field == Some("parm") {
            return self.parameters(session, fields, b"");
        }
        for (key, value) in fields {
            match field {
                Some(field) if key == field.as_bytes() => self.item(session, &[value])?,
                Some(_) => {}
                None if key == b"parm" || key == b"parmtype" => {}
                None if self.nul => self.item(session, &[key, b"=", value])?,
                None => {
                    // Up to kmod 33 a key of more than fifteen bytes makes the field width negative, and printf takes its amount.
                    let width = match self.kmod {
                        Kmod::V34 | Kmod::Development => 15usize.saturating_sub(key.len()),
                        _ => 15usize.abs_diff(key.len()),
                    };
                    let padding = vec![b' '; width];
                    self.item(session, &[key, b":", &padding, value])?;
                }
            }
        }
        match field {
            None => self.parameters(session, fields, b"parm:           "),
            Some(_) => Ok(()),
        }
    }

    fn parameters(&self, session: &mut Session<'_>, fields: &[Field], label: &[u8]) -> Result<(), Failure> {
        for (key, value) in fields.iter().filter(|field| is_parameter(field) && split(&field.1).is_none()) {
            let [key, value] = [key, value].map(|text| escape::bytes_for_eyes(text));
            session.remark(format_args!("{key}={value} has no ':', and is left out"));
        }
        for Parameter { name, description, kind } in &parameters(fields) {
            match (description, kind) {
                (None, None) => {}
                // Alone, and among all others, modinfo prints a type without a description in two ways.
                (None, Some(kind)) if label.is_empty() => self.item(session, &[name, b": (", kind, b")"])?,
                (None, Some(kind)) => self.item(session, &[label, name, b":", kind])?,
                (Some(description), None) => self.item(session, &[label, name, b":", description])?,
                (Some(description), Some(kind)) => {
                    self.item(session, &[label, name, b":", description, b" (", kind, b")"])?
                }
            }
        }
        Ok(())
    }

    fn item(&self, session: &mut Session<'_>, parts: &[&[u8]]) -> Result<(), Failure> {
        let mut bytes = parts.concat();
        if session.escapes {
            bytes = escape::lines_for_eyes(&bytes).into_bytes();
        }
        bytes.push(if self.nul { 0 } else { b'\n' });
        session.out.write_all(&bytes)?;
        Ok(())
    }
}

/// Where a module comes from.
pub(super) enum Origin {
    /// A file, by its absolute path.
    File(Vec<u8>),
    /// The kernel itself: only its modinfo is kept (`modules.builtin.modinfo`).
    BuiltIn(Vec<u8>),
}

fn is_parameter((key, _): &Field) -> bool {
    key == b"parm" || key == b"parmtype"
}

fn parameters(fields: &[Field]) -> Vec<Parameter> {
    let mut parameters: Vec<Parameter> = Vec::new();
    let mut places: HashMap<&[u8], usize> = HashMap::new();
    for (key, value) in fields.iter().filter(|field| is_parameter(field)) {
        let Some((name, rest)) = split(value) else { continue };
        let place = *places.entry(name).or_insert_with(|| {
            parameters.push(Parameter { name: name.to_vec(), ..Parameter::default() });
            parameters.len() - 1
        });
        if let Some(parameter) = parameters.get_mut(place) {
            let side = if key == b"parm" { &mut parameter.description } else { &mut parameter.kind };
            *side = Some(rest.to_vec());
        }
    }
    parameters.reverse();
    parameters
}

/// A parameter's name, and what stands behind the colon.
fn split(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = value.iter().position(|b| *b == b':')?;
    Some((value.get(..colon)?, value.get(colon + 1..)?))
}
