//! The archives that packages are made of: ar (read by `object`) and tar (read by `tar`).
//!
//! Names and sizes come from a file that may be hostile: paths are checked, and the sizes of files, paths, and of the whole
//! are limited before anything is allocated.

use std::cell::Cell;
use std::io::{self, Read};

use object::read::archive::ArchiveFile;

use crate::budget::WorkBudget;
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::kernel::place::{self, BundlePath};
use crate::kernel::source::package::links::LinkPaths;
use crate::kernel::source::package::member::PackagedFile;
use crate::kernel::source::package::stream::{self, SizeLimited};

/// The most bytes that a byte of the package may become when it is decompressed, on average. Real packages grow six- to
/// thirtyfold.
const RATIO: u64 = 64;

/// The size in bytes up to which a package may be decompressed regardless of [`RATIO`].
const ALWAYS_PLAUSIBLE: u64 = 32 << 20;

/// The most members: a package of headers has 20,000.
const MOST_MEMBERS: usize = 1 << 18;

/// The longest path, in bytes (PATH_MAX, include/uapi/linux/limits.h).
const LONGEST_PATH: u64 = 4096;

/// Among how many members of an archive the description of the package is looked for, and its largest size in bytes.
const DESCRIBED_WITHIN: usize = 8;
const LARGEST_DESCRIPTION: u64 = 1 << 16;

/// Walks through the files of a package, checks all paths, and passes the wanted files to `each`.
///
/// # Errors
///
/// [`ErrorKind::Malformed`] if it is not a package, damaged, or has an unsafe path, [`ErrorKind::Truncated`] if it is cut
/// short, [`ErrorKind::TooLarge`] for a file beyond the size limit, [`ErrorKind::TooMuchWork`] beyond the budget; the first error
/// of `each`.
pub(super) fn walk(
    bytes: &[u8],
    budget: &WorkBudget,
    is_wanted: impl Fn(&BundlePath<'_>) -> bool,
    each: impl FnMut(PackagedFile) -> Result<()>,
) -> Result<()> {
    let plausible = plausible_size(bytes);
    let opened = |packed, is_joined, is_wanted, each| {
        let packed = Cell::new(packed);
        let mut archive = PackageArchive::open(&packed, plausible, budget)?;
        archive.tar.set_ignore_zeros(is_joined);
        archive.walk(is_wanted, each)
    };
    if stream::is_ar(bytes) {
        return opened(ar_member(bytes, "data.tar")?, false, is_wanted, each);
    }
    match opkg_data(bytes, plausible, budget)? {
        Some(data) => opened(&data, false, is_wanted, each),
        // The signature and the description of an Alpine package are archives of their own, with an end each.
        None => opened(bytes, true, is_wanted, each),
    }
}

/// The tar archive with the files of a package.
struct PackageArchive<'p> {
    tar: tar::Archive<Box<dyn Read + 'p>>,
    /// How many bytes it may have when it is decompressed.
    plausible: u64,
    budget: &'p WorkBudget,
}

/// How many bytes a package may have when it is decompressed.
fn plausible_size(bytes: &[u8]) -> u64 {
    (bytes.len() as u64).saturating_mul(RATIO).max(ALWAYS_PLAUSIBLE)
}

impl<'p> PackageArchive<'p> {
    fn open(packed: &'p Cell<&[u8]>, plausible: u64, budget: &'p WorkBudget) -> Result<PackageArchive<'p>> {
        let limited: Box<dyn Read + 'p> =
            Box::new(SizeLimited { inner: stream::open(packed, budget)?, left: plausible });
        Ok(PackageArchive { tar: tar::Archive::new(limited), plausible, budget })
    }
}

/// `data.tar.*` in a package of opkg; `None` for any other archive. All of it is read, so that a package that is cut short is noticed.
fn opkg_data(bytes: &[u8], plausible: u64, budget: &WorkBudget) -> Result<Option<Vec<u8>>> {
    let damaged = |error| damaged(error, budget);
    let packed = Cell::new(bytes);
    let mut archive = PackageArchive::open(&packed, plausible, budget)?;
    archive.tar.set_ignore_zeros(true);
    let mut found = None;
    for (number, entry) in archive.tar.entries().map_err(damaged)?.enumerate() {
        let mut entry = entry.map_err(damaged)?;
        let path = entry.path_bytes().into_owned();
        let name = path.strip_prefix(b"./").unwrap_or(&path);
        if number == 0 && name != b"debian-binary" {
            return Ok(None);
        }
        if name.starts_with(b"data.tar") {
            let size = entry.header().entry_size().map_err(damaged)?;
            let mut data = Vec::new();
            // The stream is limited.
            entry.read_to_end(&mut data).map_err(damaged)?;
            if data.len() as u64 != size {
                return Err(cut_short());
            }
            found = Some(data);
        }
    }
    match found {
        Some(data) => Ok(Some(data)),
        None => Err(malformed("an opkg package without data.tar")),
    }
}

/// The architecture that the description of a package names: `Architecture:` in Debian's control file (deb-control(5)),
/// `arch =` in the `.PKGINFO` of pacman and Alpine.
pub(super) fn architecture_name(bytes: &[u8], budget: &WorkBudget) -> Option<String> {
    let (packed, file, key) = match stream::is_ar(bytes) {
        true => (ar_member(bytes, "control.tar").ok()?, "control", "Architecture:"),
        false => (bytes, ".PKGINFO", "arch ="),
    };
    let packed = Cell::new(packed);
    let mut archive = PackageArchive::open(&packed, plausible_size(bytes), budget).ok()?;
    archive.tar.set_ignore_zeros(true);
    for entry in archive.tar.entries().ok()?.take(DESCRIBED_WITHIN) {
        let mut entry = entry.ok()?;
        let path = entry.path_bytes().into_owned();
        if path.strip_prefix(b"./").unwrap_or(&path) != file.as_bytes() {
            continue;
        }
        let mut text = String::new();
        entry.by_ref().take(LARGEST_DESCRIPTION).read_to_string(&mut text).ok()?;
        return Some(text.lines().find_map(|line| line.strip_prefix(key))?.trim().to_owned());
    }
    None
}

fn malformed(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Malformed, what)
}

fn cut_short() -> Error {
    Error::new(ErrorKind::Truncated, "the package is cut short")
}

/// The bytes of the first member of an ar archive whose name is this, or this and an ending: `data.tar.xz`.
fn ar_member<'b>(bytes: &'b [u8], wanted: &str) -> Result<&'b [u8]> {
    let no_header = |at: u64| match (bytes.len() as u64).saturating_sub(at) {
        // A header has 60 bytes (ar(5)).
        0..60 => cut_short(),
        _ => malformed("the package's ar header is damaged"),
    };
    let magic = stream::AR_MAGIC.len() as u64;
    let archive = ArchiveFile::parse(bytes).map_err(|_| no_header(magic))?;
    let mut is_debian = false;
    let mut at = magic;
    for member in archive.members() {
        let member = member.map_err(|_| no_header(at))?;
        let content = member.data(bytes).map_err(|_| cut_short())?;
        let (start, size) = member.file_range();
        // Members begin at even offsets.
        at = start.saturating_add(size).next_multiple_of(2);
        let name = member.name();
        is_debian |= name == b"debian-binary";
        if name.strip_prefix(wanted.as_bytes()).is_some_and(|rest| rest.is_empty() || rest.starts_with(b".")) {
            return Ok(content);
        }
    }
    Err(match is_debian {
        true => malformed(format!("a Debian package without {wanted}")),
        false => malformed("an ar archive, but not a Debian package"),
    })
}

impl PackageArchive<'_> {
    /// Walks through the members, checks all paths, and passes the wanted files to `each`.
    fn walk(
        mut self,
        is_wanted: impl Fn(&BundlePath<'_>) -> bool,
        mut each: impl FnMut(PackagedFile) -> Result<()>,
    ) -> Result<()> {
        let budget = self.budget;
        let damaged = |error| damaged(error, budget);
        let max_size = budget.max_size();
        let mut links = LinkPaths::default();
        let mut long_name: Option<Vec<u8>> = None;
        // Raw, so that long names are read here, up to a limit.
        let entries = self.tar.entries().map_err(damaged)?.raw(true);
        for (number, entry) in entries.enumerate() {
            let mut entry = entry.map_err(damaged)?;
            if number >= MOST_MEMBERS {
                return Err(malformed(format!("more than {MOST_MEMBERS} files in the package")));
            }
            let kind = entry.header().entry_type();
            if kind.is_gnu_longname() || kind.is_pax_local_extensions() {
                let mut text = Vec::new();
                entry.by_ref().take(2 * LONGEST_PATH).read_to_end(&mut text).map_err(damaged)?;
                let name = match kind.is_gnu_longname() {
                    true => text.split(|byte| *byte == 0).next().map(<[u8]>::to_vec),
                    false => pax_path(&text),
                };
                long_name = name.or(long_name);
                continue;
            }
            if kind.is_gnu_longlink() || kind.is_pax_global_extensions() {
                continue;
            }
            let raw = long_name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
            let path = safe(&raw, &links, budget)?;
            if kind.is_symlink() || kind.is_hard_link() {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                // A hard link's target is a path in the package.
                if kind.is_hard_link() {
                    safe(&target, &links, budget)?;
                }
                links.insert(path.split('/'));
                continue;
            }
            let Some(place) = place::classify(&path).filter(|place| kind.is_file() && is_wanted(place)) else {
                continue;
            };
            budget.spend_file()?;
            let (role, group, below) = (place.role, place.group, place.below.to_owned());
            let size = entry.header().entry_size().map_err(damaged)?;
            if size > max_size {
                let what = format!("{path} has {size} bytes, which exceeds the limit of {max_size}");
                return Err(Error::new(ErrorKind::TooLarge, what).remedy(Remedy::RaiseSizeLimit));
            }
            if size > self.plausible {
                return Err(damaged(io::ErrorKind::FileTooLarge.into()));
            }
            let mut bytes = Vec::new();
            let too_large = |_| Error::new(ErrorKind::TooLarge, format!("{path} is larger than the memory left"));
            bytes.try_reserve_exact(usize::try_from(size).unwrap_or(usize::MAX)).map_err(too_large)?;
            entry.read_to_end(&mut bytes).map_err(damaged)?;
            if bytes.len() as u64 != size {
                return Err(Error::new(ErrorKind::Truncated, format!("the package ends within {path}")));
            }
            let modified = entry.header().mtime().ok();
            each(PackagedFile { role, group, path, below, bytes, modified })?;
        }
        Ok(())
    }
}

/// The record `path` of an extended header (`LENGTH KEY=VALUE\n`, POSIX pax).
fn pax_path(records: &[u8]) -> Option<Vec<u8>> {
    let lines = records.split(|byte| *byte == b'\n');
    let mut paths = lines.filter_map(|line| line.get(memchr::memmem::find(line, b" path=")? + 6..));
    paths.next_back().map(<[u8]>::to_vec)
}

/// The path of a member, split at `/`, without `./` at its start.
fn safe(raw: &[u8], links: &LinkPaths, budget: &WorkBudget) -> Result<String> {
    let text = String::from_utf8_lossy(raw);
    let unsafe_path = |how: &str| Err(malformed(format!("an unsafe path in the package, {how}: {text}")));
    if raw.len() as u64 > LONGEST_PATH {
        return Err(malformed("a path in the package is longer than PATH_MAX"));
    }
    let mut bare = text.as_ref();
    while let Some(rest) = bare.strip_prefix("./") {
        bare = rest;
    }
    if bare.starts_with('/') {
        return unsafe_path("it is absolute");
    }
    let parts: Vec<&str> = bare.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    budget.spend_path(parts.len())?;
    if parts.contains(&"..") {
        return unsafe_path("it leads out of the folder");
    }
    if links.lead(parts.iter().take(parts.len().saturating_sub(1)).copied()) {
        return unsafe_path("it leads through a link");
    }
    Ok(parts.join("/"))
}

fn damaged(error: io::Error, budget: &WorkBudget) -> Error {
    // The tar crate wraps errors of the stream below it and keeps their kind.
    match error.kind() {
        _ if let Err(exhausted) = budget.check() => exhausted,
        io::ErrorKind::UnexpectedEof => cut_short(),
        io::ErrorKind::FileTooLarge => {
            malformed(format!("decompressed, it is more than {RATIO} times as large, which no package of a kernel is"))
        }
        _ => malformed("the package is damaged or cut short"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn safe_after(path: &str, links: &[&str]) -> Result<String> {
        let mut known = LinkPaths::default();
        links.iter().for_each(|link| known.insert(link.split('/')));
        safe(path.as_bytes(), &known, &WorkBudget::of_file(0, 1 << 30))
    }

    #[test]
    fn redundant_parts_of_a_path_are_dropped() {
        assert_eq!(safe_after("./boot//vmlinuz-6.1", &[]).unwrap(), "boot/vmlinuz-6.1");
        assert_eq!(safe_after("././lib/./modules/", &["lib/modules"]).unwrap(), "lib/modules");
    }

    #[test]
    fn an_unsafe_path_is_an_error_that_names_it() {
        for (path, links, words) in [
            ("../x", [].as_slice(), "leads out of the folder: ../x"),
            ("./a/../../x", &[], "leads out of the folder"),
            ("/etc/passwd", &[], "absolute: /etc/passwd"),
            (".//etc/passwd", &[], "absolute"),
            ("lib/x", &["lib"], "through a link: lib/x"),
            ("./usr/lib/x/y", &["usr/lib"], "through a link"),
        ] {
            let error = safe_after(path, links).unwrap_err();
            assert!(error.what().contains(words), "{error}");
        }
    }

    #[test]
    fn an_extended_header_has_a_long_path() {
        assert_eq!(pax_path(b"30 mtime=1.5\n18 path=boot/vmlinuz\n").as_deref(), Some(b"boot/vmlinuz".as_slice()));
        assert_eq!(pax_path(b"13 mtime=1.5\n"), None);
    }

    #[test]
    fn an_ar_archive_that_is_not_a_package_is_an_error() {
        let data = |bytes: &[u8]| ar_member(bytes, "data.tar").unwrap_err().what().to_owned();
        assert_eq!(data(b"!<arch>\n"), "an ar archive, but not a Debian package");
        assert_eq!(data(b"!<arch>\nx"), "the package is cut short");
        assert_eq!(data(format!("!<arch>\n{:60}", "x").as_bytes()), "the package's ar header is damaged");
    }
}
