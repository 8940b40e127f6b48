//! Lines that name a kernel or describe a module file: `uname -a`, `/proc/version`, modinfo.

/// What such a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NamedFact {
    /// A kernel's release.
    Release(String),
    /// A field of a module, as modinfo lists it.
    Modinfo { field: &'static str, value: String },
}

/// The fields of modinfo that say what a module is.
const FIELDS: [&str; 22] = [
    "filename",
    "vermagic",
    "name",
    "depends",
    "license",
    "srcversion",
    "intree",
    "retpoline",
    "signer",
    "sig_id",
    "sig_key",
    "sig_hashalgo",
    "signature",
    "description",
    "author",
    "version",
    "alias",
    "parm",
    "firmware",
    "softdep",
    "import_ns",
    "scmversion",
];

/// Reads a line. A field of modinfo counts only if `has_modinfo`: other listings have fields of the same names.
pub(super) fn read(line: &str, has_modinfo: bool) -> Option<NamedFact> {
    if let Some(release) = release(line) {
        return Some(NamedFact::Release(release.to_owned()));
    }
    let (field, value) = field(line)?;
    (has_modinfo || is_decisive(field, value)).then(|| NamedFact::Modinfo { field, value: value.to_owned() })
}

/// Does this line show that modinfo wrote it?
pub(super) fn is_modinfo(line: &str) -> bool {
    field(line).is_some_and(|(field, value)| is_decisive(field, value))
}

/// Would this line count if another one showed that modinfo wrote it?
pub(super) fn is_field(line: &str) -> bool {
    field(line).is_some()
}

fn is_decisive(field: &str, value: &str) -> bool {
    match field {
        "filename" => value.starts_with('/') && value.contains(".ko"),
        "vermagic" => is_release(value.split(' ').next().unwrap_or_default()),
        _ => false,
    }
}

/// `vermagic:       6.1.0 SMP `: the value begins after the spaces, and keeps those at its end.
fn field(line: &str) -> Option<(&'static str, &str)> {
    let (field, value) = line.split_once(':')?;
    let field = FIELDS.iter().find(|known| **known == field)?;
    Some((field, value.trim_start()))
}

/// The release in a line of `uname -a` or `/proc/version`, or a release alone as `uname -r` prints it.
fn release(line: &str) -> Option<&str> {
    let line = line.trim();
    let mut words = line.split_whitespace();
    match (words.next()?, words.next(), words.next()) {
        ("Linux", Some("version"), Some(release)) => is_release(release).then_some(release),
        // The host's name comes before the release, the number of the build after it.
        ("Linux", Some(_), Some(release)) => {
            let has_build = words.next().is_some_and(|word| word.starts_with('#'));
            (is_release(release) && has_build).then_some(release)
        }
        (release, None, None) => (is_release(release) && release.contains('-')).then_some(release),
        _ => None,
    }
}

/// A number from 2 to 9, a second number, perhaps a third, then anything without spaces.
fn is_release(text: &str) -> bool {
    let mut numbers = text.split('.');
    let starts_with_digit =
        |part: Option<&str>| part.is_some_and(|part| part.starts_with(|c: char| c.is_ascii_digit()));
    let is_major = matches!(numbers.next().map(str::as_bytes), Some([b'2'..=b'9']));
    is_major && starts_with_digit(numbers.next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_named_in_several_ways() {
        for (line, release) in [
            (
                "Linux bbbridge 6.1.21-v8+ #1642 SMP PREEMPT Mon Apr  3 17:24:16 BST 2023 aarch64 GNU/Linux",
                "6.1.21-v8+",
            ),
            (
                "Linux version 5.10.63-v7+ (dom@buildbot) (gcc 8.4.0) #1450 SMP Wed Sep 8 14:29:23 BST 2021",
                "5.10.63-v7+",
            ),
            ("Linux NAS 4.4.302+ #64570 SMP Tue Jun 13 21:39:55 CST 2023 x86_64 GNU/Linux synology", "4.4.302+"),
            ("6.1.0-13-amd64", "6.1.0-13-amd64"),
        ] {
            assert_eq!(read(line, false), Some(NamedFact::Release(release.to_owned())), "{line}");
        }
        for line in ["Linux is an operating system", "6.1.0", "Linux 6.1", "10.0.0.1-x", "Linux host up 5.1 days"] {
            assert_eq!(read(line, false), None, "{line}");
        }
    }

    #[test]
    fn modinfo_is_known_by_its_file_or_version_magic() {
        let line = "vermagic:       4.19.75-v7l+ SMP mod_unload modversions ";
        let value = "4.19.75-v7l+ SMP mod_unload modversions ".to_owned();
        assert_eq!(read(line, false), Some(NamedFact::Modinfo { field: "vermagic", value }));
        assert!(is_modinfo("filename:       /lib/modules/6.1.0/foo.ko.xz"));
        assert_eq!(read("name:           foo", false), None);
        assert!(read("name:           foo", true).is_some());
    }
}
