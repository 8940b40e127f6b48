//! A scanned module as a line of comma-separated values (RFC 4180).

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::Error;
use crate::escape::bytes_for_eyes;
use crate::module::elf::{self, Endian};
use crate::module::versions::VersionsFormat;
use crate::scan::journal::JournalState;
use crate::scan::record::{InspectedModule, ScannedModule};

/// The names of the columns, in one line.
pub const CSV_HEADER: &str = "path,package,name,container,stored_size,size,class,endian,machine,vermagic,vermagics,\
visible,symbol_versions,symbol_versions_visible,btf,signed,signer,mark,journal,unclaimed,error";

/// The text of a field. Control characters are escaped as on a terminal, so a record is always one line; the backslash is
/// escaped too, so that a program can distinguish an escaped byte from a name that looks like one.
fn escaped(text: &[u8]) -> String {
    bytes_for_eyes(&text.split(|byte| *byte == b'\\').collect::<Vec<_>>().join(br"\\".as_slice()))
}

/// Appends the line of a module. `words` puts an error into words, without the path.
///
/// # Errors
///
/// Those of `out`.
pub fn write_csv(module: &ScannedModule<'_>, words: impl Fn(&Error) -> String, out: &mut impl Write) -> io::Result<()> {
    let text = |bytes: Option<&[u8]>| bytes.map(escaped).unwrap_or_default();
    let path = |path: &Path| escaped(path.as_os_str().as_bytes());
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let mut fields = vec![path(module.path), module.package.map(path).unwrap_or_default()];
    match module.inspected {
        Ok(InspectedModule { summary, journal }) => fields.extend([
            escaped(module.name().as_bytes()),
            summary.container.name().to_owned(),
            summary.stored_size.to_string(),
            summary.size.to_string(),
            summary.class.name().to_owned(),
            endian(summary.endian).to_owned(),
            elf::machine_name(summary.machine),
            text(summary.vermagic),
            summary.vermagics.to_string(),
            yes(summary.visible),
            kind(summary.versions).to_owned(),
            yes(summary.versions_visible),
            summary.btf.map(|size| size.to_string()).unwrap_or_default(),
            yes(summary.is_signed),
            text(summary.signer),
            text(summary.mark),
            journal.map(JournalState::name).unwrap_or_default().to_owned(),
            summary.unclaimed.to_string(),
            String::new(),
        ]),
        Err(error) => {
            fields.resize(CSV_HEADER.split(',').count() - 1, String::new());
            fields.push(escaped(words(error).as_bytes()));
        }
    }
    let fields: Vec<String> = fields.into_iter().map(quoted).collect();
    writeln!(out, "{}", fields.join(","))
}

fn kind(kind: VersionsFormat) -> &'static str {
    match kind {
        VersionsFormat::None => "none",
        VersionsFormat::Basic => "basic",
        VersionsFormat::Extended => "extended",
        VersionsFormat::Both => "both",
    }
}

/// The word that JSON uses.
fn endian(endian: Endian) -> &'static str {
    match endian {
        Endian::Little => "little",
        Endian::Big => "big",
    }
}

/// A field as RFC 4180 defines it. A field that a spreadsheet would take for a formula gets a leading apostrophe, which marks
/// text in all of them.
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
    fn a_field_is_quoted_where_necessary_and_never_a_formula() {
        assert_eq!(quoted("a b".into()), "a b");
        assert_eq!(quoted("a,\"b\"".into()), "\"a,\"\"b\"\"\"");
        assert_eq!(quoted("6.1 SMP ".into()), "\"6.1 SMP \"");
        assert_eq!(quoted("=1+1".into()), "'=1+1");
    }

    #[test]
    fn an_escaped_byte_differs_from_a_name_that_looks_like_one() {
        assert_eq!(escaped(b"a\xff"), r"a\xff");
        assert_eq!(escaped(br"a\xff"), r"a\\xff");
        assert_eq!(escaped(br"\"), r"\\");
    }

    #[test]
    fn an_unreadable_module_is_one_line_with_all_columns() {
        let error = Error::new(ErrorKind::Malformed, "two\nlines; a, b");
        let module = ScannedModule { package: None, path: Path::new("x\x1b.ko"), inspected: Err(&error) };
        let mut out = Vec::new();
        write_csv(&module, |error| error.what().to_owned(), &mut out).unwrap();
        let line = String::from_utf8(out).unwrap();
        assert_eq!(line, format!("x\\x1b.ko{}\"two\\nlines; a, b\"\n", ",".repeat(20)));
        assert_eq!(CSV_HEADER.matches(',').count(), 20);
    }
}
