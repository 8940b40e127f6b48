//! A module that was scanned, as a JSON object or a line of CSV.

use std::borrow::Cow;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::Serialize;

use crate::cli::output::{self, Text};
use crate::cli::scan::tally::Recorded;
use crate::cli::words;
use crate::error::Error;
use crate::escape::{self, bytes_for_eyes};
use crate::module::container::Container;
use crate::module::elf::{self, Class, Endian};
use crate::module::glance::Glance;
use crate::module::name_of_file;
use crate::module::versions::Kind;

/// Where a module is.
#[derive(Clone, Copy)]
pub(super) struct Place<'p> {
    /// The package that it is in.
    pub(super) package: Option<&'p Path>,
    /// Its path, in the package where it is in one.
    pub(super) path: &'p Path,
}

/// What is known of a module that was read.
#[derive(Serialize)]
struct Record<'r> {
    schema_version: u32,
    #[serde(flatten)]
    place: ShownPlace<'r>,
    name: Cow<'r, str>,
    container: Container,
    stored_size: u64,
    size: u64,
    class: Class,
    endian: Endian,
    machine: String,
    /// The first one, which the kernel takes.
    vermagic: Option<Text>,
    /// How many there are.
    vermagics: usize,
    visible: bool,
    symbol_versions: Kind,
    symbol_versions_visible: bool,
    btf: Option<u64>,
    signed: bool,
    signer: Option<Cow<'r, str>>,
    mark: Option<Cow<'r, str>>,
    /// What it is by the journal, as `verify` says it; none if the journal knows nothing of it.
    journal: Option<Recorded>,
    unclaimed: u64,
}

/// A module that can't be read.
#[derive(Serialize)]
struct Unreadable<'r> {
    schema_version: u32,
    #[serde(flatten)]
    place: ShownPlace<'r>,
    error: String,
}

#[derive(Serialize)]
struct ShownPlace<'r> {
    path: Cow<'r, str>,
    /// The path's bytes in hexadecimal, where they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    package: Option<Cow<'r, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    package_hex: Option<String>,
}

impl<'r> ShownPlace<'r> {
    fn of(place: Place<'r>) -> ShownPlace<'r> {
        ShownPlace {
            path: output::path_text(place.path),
            path_hex: output::path_hex(place.path),
            package: place.package.map(output::path_text),
            package_hex: place.package.and_then(output::path_hex),
        }
    }
}

fn name<'g>(place: Place<'_>, glance: &Glance<'g>) -> Cow<'g, str> {
    glance.name.map_or_else(|| Cow::Owned(name_of_file(place.path)), String::from_utf8_lossy)
}

/// What was found out, with what an error is told without the file's name and with what to do next.
pub(super) type Looked<'l, 'g> = Result<(&'l Glance<'g>, Option<Recorded>), &'l Error>;

fn told(error: &Error) -> String {
    words::error_without_path(error)
}

/// Adds the JSON object of a module, in one line.
pub(super) fn json(place: Place<'_>, looked: Looked<'_, '_>, out: &mut Vec<u8>) -> io::Result<()> {
    let shown = ShownPlace::of(place);
    let text = match looked {
        Ok((glance, journal)) => serde_json::to_string(&Record {
            schema_version: 1,
            place: shown,
            name: name(place, glance),
            container: glance.container,
            stored_size: glance.stored_size,
            size: glance.size,
            class: glance.class,
            endian: glance.endian,
            machine: elf::machine_name(glance.machine),
            vermagic: glance.vermagic.map(Text::of),
            vermagics: glance.vermagics,
            visible: glance.visible,
            symbol_versions: glance.versions,
            symbol_versions_visible: glance.versions_visible,
            btf: glance.btf,
            signed: glance.is_signed,
            signer: glance.signer.map(String::from_utf8_lossy),
            mark: glance.mark.map(String::from_utf8_lossy),
            journal,
            unclaimed: glance.unclaimed,
        }),
        Err(error) => serde_json::to_string(&Unreadable { schema_version: 1, place: shown, error: told(error) }),
    }?;
    writeln!(out, "{}", escape::json_for_eyes(&text))
}

/// The names of the columns, in one line.
pub(super) const CSV_HEADER: &str = "path,package,name,container,stored_size,size,class,endian,machine,vermagic,vermagics,\
visible,symbol_versions,symbol_versions_visible,btf,signed,signer,mark,journal,unclaimed,error";

/// A field's text. Control characters are escaped as everywhere for eyes, so a record is always one line; and so is the
/// backslash itself, so that a program can tell an escaped byte from a name that looks like one.
fn escaped(text: &[u8]) -> String {
    bytes_for_eyes(&text.split(|byte| *byte == b'\\').collect::<Vec<_>>().join(br"\\".as_slice()))
}

/// Adds the line of CSV of a module.
pub(super) fn csv(place: Place<'_>, looked: Looked<'_, '_>, out: &mut Vec<u8>) -> io::Result<()> {
    let text = |bytes: Option<&[u8]>| bytes.map(escaped).unwrap_or_default();
    let path = |path: &Path| escaped(path.as_os_str().as_bytes());
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let mut fields = vec![path(place.path), place.package.map(path).unwrap_or_default()];
    match looked {
        Ok((glance, journal)) => fields.extend([
            escaped(name(place, glance).as_bytes()),
            glance.container.name().to_owned(),
            glance.stored_size.to_string(),
            glance.size.to_string(),
            glance.class.name().to_owned(),
            endian(glance.endian).to_owned(),
            elf::machine_name(glance.machine),
            text(glance.vermagic),
            glance.vermagics.to_string(),
            yes(glance.visible),
            kind(glance.versions).to_owned(),
            yes(glance.versions_visible),
            glance.btf.map(|size| size.to_string()).unwrap_or_default(),
            yes(glance.is_signed),
            text(glance.signer),
            text(glance.mark),
            journal.map(|recorded| recorded.name().to_owned()).unwrap_or_default(),
            glance.unclaimed.to_string(),
            String::new(),
        ]),
        Err(error) => {
            fields.resize(CSV_HEADER.split(',').count() - 1, String::new());
            fields.push(escaped(told(error).as_bytes()));
        }
    }
    let fields: Vec<String> = fields.into_iter().map(quoted).collect();
    writeln!(out, "{}", fields.join(","))
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::None => "none",
        Kind::Basic => "basic",
        Kind::Extended => "extended",
        Kind::Both => "both",
    }
}

/// As JSON has it.
fn endian(endian: Endian) -> &'static str {
    match endian {
        Endian::Little => "little",
        Endian::Big => "big",
    }
}

/// A field as RFC 4180 wants it. One that a spreadsheet would take for a formula gets an apostrophe before it, by which all
/// of them know text.
fn quoted(field: String) -> String {
    let field = if field.starts_with(['=', '+', '-', '@']) { format!("'{field}") } else { field };
    match field.contains([',', '"', '\n', '\r']) || field.starts_with(' ') || field.ends_with(' ') {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_field_is_quoted_where_it_must_be_and_is_no_formula() {
        assert_eq!(quoted("a b".into()), "a b");
        assert_eq!(quoted("a,\"b\"".into()), "\"a,\"\"b\"\"\"");
        assert_eq!(quoted("6.1 SMP ".into()), "\"6.1 SMP \"");
        assert_eq!(quoted("=1+1".into()), "'=1+1");
    }

    #[test]
    fn an_escaped_byte_is_told_from_a_name_that_looks_like_one() {
        assert_eq!(escaped(b"a\xff"), r"a\xff");
        assert_eq!(escaped(br"a\xff"), r"a\\xff");
        assert_eq!(escaped(br"\"), r"\\");
    }

    #[test]
    fn what_cant_be_read_has_as_many_columns_and_is_one_line() {
        let error = Error::new(ErrorKind::Malformed, "two\nlines").hint("a, b");
        let place = Place { package: None, path: Path::new("x\x1b.ko") };
        let mut out = Vec::new();
        csv(place, Err(&error), &mut out).unwrap();
        let line = String::from_utf8(out).unwrap();
        assert_eq!(line, format!("x\\x1b.ko{}\"two\\nlines; a, b\"\n", ",".repeat(20)));
        assert_eq!(CSV_HEADER.matches(',').count(), 20);
    }
}
