//! What a package holds of a kernel, read in one go and without a byte on disk.
//!
//! | package | is |
//! |---|---|
//! | Debian's `.deb` | an ar archive with `debian-binary`, `control.tar.*` and `data.tar.*` (deb(5)) |
//! | pacman's `.pkg.tar.*`, and `make tar-pkg` | a tar archive, packed |
//! | Alpine's `.apk` (format 2) | tar archives, each packed with gzip, one after the other |
//! | OpenWrt's `.ipk` | a tar archive with `debian-binary`, `control.tar.gz` and `data.tar.gz`, packed with gzip |
//!
//! Of the files only those are kept that the room `bundle` knows by their places. Unpacking is the long part, and
//! one thread's work; what comes out goes to other threads meanwhile.
//!
//! A package comes from anywhere: a member whose path leads out of the folder that it would be unpacked to, or through a
//! link, is an error, although nothing is unpacked here. Whoever makes such a package wants to do harm.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Condvar, Mutex};

use liblzma::stream::{CONCATENATED, Stream};

use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::kernel::bundle::{self, Bundle, Group, Place, Role};
use crate::kernel::files::Found;
use crate::kernel::tree::Gathered;
use crate::kernel::{Architecture, Fact, Facts, Lookup, Origin, cache};
use crate::module;

/// An ar archive begins so (ar(5)).
const AR_MAGIC: &[u8] = b"!<arch>\n";

/// The most that a byte of a package may become, on the whole. Real ones grow six- to thirtyfold.
const RATIO: u64 = 64;

/// What a package may have in any case when it is unpacked, in bytes.
const ALWAYS_PLAUSIBLE: u64 = 32 << 20;

/// The most members: a package of headers has 20,000.
const MOST_MEMBERS: usize = 1 << 18;

/// The longest path, in bytes (PATH_MAX, include/uapi/linux/limits.h).
const LONGEST_PATH: u64 = 4096;

/// How many bytes of a file tell whether it is a package: a block of bzip2 has 900 kB at most.
const START: u64 = 1 << 20;

/// How many members of an archive are looked at for those that describe the package, and how large these may be.
const DESCRIBED_WITHIN: usize = 8;
const LARGEST_DESCRIPTION: u64 = 1 << 16;

/// How many bytes wait for the threads that read them, at most; one member may be larger.
const WAITING: u64 = 32 << 20;

/// What the xz decoder may take: dpkg's largest dictionary has 64 MiB (`xz -9`).
const XZ_MEMORY: u64 = 128 << 20;

/// Do these bytes begin as a package does?
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    bytes.starts_with(AR_MAGIC) || is_tar(bytes)
}

/// Do these bytes begin as a tar archive does, packed or not? Its magic is at 257 (tar(5)).
fn is_tar(bytes: &[u8]) -> bool {
    let mut start = Vec::new();
    let unpacked = unpacker(Cow::Borrowed(bytes)).map(|reader| reader.take(512).read_to_end(&mut start));
    unpacked.is_ok() && start.get(257..262) == Some(b"ustar")
}

/// The facts in a package whose whole bytes these are.
///
/// # Errors
///
/// [`ErrorKind::Malformed`] if it is no package, damaged, or has an evil path, [`ErrorKind::Truncated`] if it is cut,
/// [`ErrorKind::TooLarge`] beyond the limit for a member, those of [`Bundle::facts`].
pub(super) fn facts(path: &Path, bytes: &[u8], lookup: &Lookup) -> Result<Facts> {
    let read = |name: &Origin| read(name, bytes, lookup.max_size);
    cache::package(&Origin::File(path.to_owned()), bytes, lookup, read).map_err(|e| e.on(path))
}

/// Adds the files in a package whose whole bytes these are, as far as they are wanted. The whole package is gone through:
/// what is evil in it or damaged may come last.
///
/// # Errors
///
/// Those of [`facts`], but for those of [`Bundle::facts`].
pub(super) fn files(bytes: &[u8], found: &mut Found, max_size: u64) -> Result<()> {
    let archive = Archive::open(bytes)?;
    // Both closures of the walk change it, and never at the same time.
    let found = RefCell::new(found);
    let is_wanted = |place: &Place<'_>| found.borrow_mut().wants(place);
    archive.walk(max_size, is_wanted, |Member { role, group, path, bytes, .. }| {
        found.borrow_mut().add(role, &group, &path, bytes);
        Ok(())
    })
}

/// Is this file a package, by how it begins?
pub fn is_package(path: &Path) -> bool {
    let mut start = Vec::new();
    let is_file = path.metadata().is_ok_and(|meta| meta.is_file());
    is_file && File::open(path).is_ok_and(|file| file.take(START).read_to_end(&mut start).is_ok()) && looks_like(&start)
}

/// Goes through a package and hands on each module in it, in the package's order: its path there, and the bytes of its file.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] for a package without any module; those of reading a package (it is none, or is damaged or cut,
/// has an evil path, or a member beyond `max_size`); the first error of `each`, and then nothing follows.
pub fn each_module(path: &Path, max_size: u64, mut each: impl FnMut(String, Vec<u8>) -> Result<()>) -> Result<()> {
    let contents = module::file::read(path)?;
    let mut is_any = false;
    let mut go = || {
        let is_module = |place: &Place<'_>| place.role == Role::Module;
        Archive::open(contents.bytes())?.walk(max_size, is_module, |member| {
            is_any = true;
            each(member.path, member.bytes)
        })
    };
    go().map_err(|e| e.on(path))?;
    match is_any {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::NotFound, "no module in this package").on(path)),
    }
}

/// The tar archive with the files of a package.
struct Archive<'p> {
    tar: tar::Archive<Box<dyn Read + 'p>>,
    /// How many bytes it may have.
    budget: u64,
}

impl<'p> Archive<'p> {
    fn open(bytes: &'p [u8]) -> Result<Archive<'p>> {
        let budget = (bytes.len() as u64).saturating_mul(RATIO).max(ALWAYS_PLAUSIBLE);
        if bytes.starts_with(AR_MAGIC) {
            return Archive::of(Cow::Borrowed(ar_member(bytes, "data.tar")?), budget);
        }
        match opkg_data(bytes, budget)? {
            Some(data) => Archive::of(Cow::Owned(data), budget),
            None => {
                // What signs and describes an Alpine package is an archive of its own, and may end as one does.
                let mut archive = Archive::of(Cow::Borrowed(bytes), budget)?;
                archive.tar.set_ignore_zeros(true);
                Ok(archive)
            }
        }
    }

    fn of(packed: Cow<'p, [u8]>, budget: u64) -> Result<Archive<'p>> {
        let bounded: Box<dyn Read + 'p> = Box::new(Bounded { inner: unpacker(packed)?, left: budget });
        Ok(Archive { tar: tar::Archive::new(bounded), budget })
    }
}

/// `data.tar.*` in a package of opkg; `None` for any other archive. All of it is gone through, so that a cut one is noticed.
fn opkg_data(bytes: &[u8], budget: u64) -> Result<Option<Vec<u8>>> {
    let mut archive = Archive::of(Cow::Borrowed(bytes), budget)?;
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
            // It is within a stream that is bounded.
            entry.read_to_end(&mut data).map_err(damaged)?;
            if data.len() as u64 != size {
                return Err(Error::new(ErrorKind::Truncated, "the package is cut short"));
            }
            found = Some(data);
        }
    }
    match found {
        Some(data) => Ok(Some(data)),
        None => Err(malformed("an opkg package without data.tar")),
    }
}

/// The architecture that a package names: `Architecture:` in Debian's control file (deb-control(5)), `arch =` in the
/// `.PKGINFO` of pacman and of Alpine. `None` where it names none that is known.
fn architecture(name: &Origin, bytes: &[u8]) -> Option<Fact<Architecture>> {
    let (packed, file, key) = match bytes.starts_with(AR_MAGIC) {
        true => (ar_member(bytes, "control.tar").ok()?, "control", "Architecture:"),
        false => (bytes, ".PKGINFO", "arch ="),
    };
    let budget = (bytes.len() as u64).saturating_mul(RATIO).max(ALWAYS_PLAUSIBLE);
    let mut archive = Archive::of(Cow::Borrowed(packed), budget).ok()?;
    archive.tar.set_ignore_zeros(true);
    for entry in archive.tar.entries().ok()?.take(DESCRIBED_WITHIN) {
        let mut entry = entry.ok()?;
        let path = entry.path_bytes().into_owned();
        if path.strip_prefix(b"./").unwrap_or(&path) != file.as_bytes() {
            continue;
        }
        let mut text = String::new();
        entry.by_ref().take(LARGEST_DESCRIPTION).read_to_string(&mut text).ok()?;
        let word = text.lines().find_map(|line| line.strip_prefix(key))?.trim();
        let source = Origin::PackageArchitecture { name: word.to_owned(), package: Box::new(name.clone()) };
        return Some(Fact { value: Architecture::of_package(word)?, source });
    }
    None
}

fn read(name: &Origin, bytes: &[u8], max_size: u64) -> Result<Facts> {
    let archive = Archive::open(bytes)?;
    let waiting = Waiting::default();
    let (sender, receiver) = sync_channel(1 << 10);
    let receiver = Mutex::new(receiver);
    let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(1, 8);
    let (walked, bundles) = std::thread::scope(|scope| {
        let work = || work(name, &receiver, &waiting, max_size);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let walked = archive.walk(
            max_size,
            |_| true,
            |member| {
                waiting.wait_for(member.bytes.len() as u64);
                // It fails only if all workers are gone, and then there is nobody to tell.
                let _ = sender.send(member);
                Ok(())
            },
        );
        drop(sender);
        let bundles: Vec<_> = workers.into_iter().filter_map(|worker| worker.join().ok()).collect();
        (walked, bundles)
    });
    walked?;
    let mut all = Bundle::new(max_size);
    for bundle in bundles {
        all.join(bundle?);
    }
    let mut facts = all.facts()?;
    facts.architecture = match (facts.architecture.take(), architecture(name, bytes)) {
        (Some(known), Some(told)) => known
            .value
            .and(told.value)
            .map_or(Some(known.clone()), |both| Some(Fact { value: both, source: known.source.and(told.source) })),
        (known, told) => known.or(told),
    };
    Ok(facts)
}

/// Reads what comes, until no more comes.
fn work(name: &Origin, receiver: &Mutex<Receiver<Member>>, waiting: &Waiting, max_size: u64) -> Result<Bundle> {
    let mut bundle = Bundle::new(max_size);
    let mut modules: Vec<(Group, Gathered)> = Vec::new();
    let mut failed = None;
    loop {
        let next = receiver.lock().unwrap_or_else(|e| e.into_inner()).recv();
        let Ok(Member { role, group, path, below, bytes }) = next else { break };
        let size = bytes.len() as u64;
        if role == Role::Module {
            let gathered = match modules.iter_mut().find(|(known, _)| *known == group) {
                Some((_, gathered)) => gathered,
                None => {
                    modules.push((group, Gathered::default()));
                    let Some((_, gathered)) = modules.last_mut() else { break };
                    gathered
                }
            };
            gathered.add(Path::new(&below), &bytes, max_size);
        } else if let Err(error) =
            bundle.add(role, group, &Origin::Packaged { path: path.clone(), package: Box::new(name.clone()) }, bytes)
        {
            failed.get_or_insert(error.reworded(|what| format!("{path}: {what}")));
        }
        waiting.done(size);
    }
    for (group, gathered) in modules {
        bundle.add_modules(group, name.clone(), gathered);
    }
    failed.map_or(Ok(bundle), Err)
}

/// A file of the package that is worth reading.
struct Member {
    role: Role,
    group: Group,
    /// Its path in the package, and in what it belongs to.
    path: String,
    below: String,
    bytes: Vec<u8>,
}

/// How many bytes wait to be read.
#[derive(Default)]
struct Waiting {
    bytes: Mutex<u64>,
    less: Condvar,
}

impl Waiting {
    /// Waits until there is room for so many bytes more.
    fn wait_for(&self, more: u64) {
        let mut bytes = self.bytes.lock().unwrap_or_else(|e| e.into_inner());
        while *bytes > 0 && bytes.saturating_add(more) > WAITING {
            bytes = self.less.wait(bytes).unwrap_or_else(|e| e.into_inner());
        }
        *bytes = bytes.saturating_add(more);
    }

    fn done(&self, size: u64) {
        let mut bytes = self.bytes.lock().unwrap_or_else(|e| e.into_inner());
        *bytes = bytes.saturating_sub(size);
        self.less.notify_all();
    }
}

fn malformed(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Malformed, what)
}

/// The member of the archive whose name begins so, `data.tar` or `control.tar`: headers of 60 bytes, each with name and size in text (ar(5)). Debian's have
/// neither long names nor an index, so that this is all of the format that is needed.
fn ar_member<'b>(bytes: &'b [u8], wanted: &str) -> Result<&'b [u8]> {
    let cut = || Error::new(ErrorKind::Truncated, "the package is cut short");
    let mut rest = bytes.get(AR_MAGIC.len()..).unwrap_or_default();
    let mut is_debian = false;
    while !rest.is_empty() {
        let (header, behind) = rest.split_at_checked(60).ok_or_else(cut)?;
        let field = |at: usize, size: usize| {
            header.get(at..at + size).and_then(|field| std::str::from_utf8(field).ok()).map(str::trim_end)
        };
        let (name, size) = (field(0, 16), field(48, 10));
        let size = size.and_then(|size| size.parse::<usize>().ok());
        let (Some(name), Some(size), Some(b"`\n")) = (name, size, header.get(58..)) else {
            return Err(malformed("the package's ar header is damaged"));
        };
        let content = behind.get(..size).ok_or_else(cut)?;
        let name = name.trim_end_matches('/');
        is_debian |= name == "debian-binary";
        if name.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')) {
            return Ok(content);
        }
        // Members begin at even places.
        rest = behind.get(size + size % 2..).unwrap_or_default();
    }
    Err(match is_debian {
        true => malformed(format!("a Debian package without {wanted}")),
        false => malformed("an ar archive, but no Debian package"),
    })
}

/// The tar stream, told by content: plain, gzip, bzip2, xz or zstd, which are those of dpkg (deb(5)) and of pacman.
fn unpacker(data: Cow<'_, [u8]>) -> Result<Box<dyn Read + '_>> {
    let broken = |e| Error::io("unpacking the package", e);
    let start = data.get(..6).unwrap_or_default().to_vec();
    let is_plain = data.get(257..262) == Some(b"ustar");
    let data = Cursor::new(data);
    Ok(match start[..] {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(data)),
        [b'B', b'Z', b'h', ..] => Box::new(bzip2::bufread::MultiBzDecoder::new(data)),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED).map_err(|e| broken(e.into()))?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(data, stream))
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::stream::read::Decoder::with_buffer(data).map_err(broken)?),
        _ if is_plain => Box::new(data),
        _ => return Err(malformed("the package's data is packed in no way known here")),
    })
}

/// A stream that may not be endless.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(read)
    }
}

impl Archive<'_> {
    /// Goes through the members, checks the paths of all, and hands on those that are worth reading and wanted.
    fn walk(
        mut self,
        max_size: u64,
        is_wanted: impl Fn(&Place<'_>) -> bool,
        mut each: impl FnMut(Member) -> Result<()>,
    ) -> Result<()> {
        let mut links: HashSet<String> = HashSet::new();
        let mut long_name: Option<Vec<u8>> = None;
        // Raw, so that long names are read here, to a limit.
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
            let path = safe(&raw, &links)?;
            if kind.is_symlink() || kind.is_hard_link() {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                // A hard link's target is a path in the package.
                if kind.is_hard_link() {
                    safe(&target, &links)?;
                }
                links.insert(path);
                continue;
            }
            let Some(place) = bundle::place(&path).filter(|place| kind.is_file() && is_wanted(place)) else { continue };
            let (role, group, below) = (place.role, place.group, place.below.to_owned());
            let size = entry.header().entry_size().map_err(damaged)?;
            if size > max_size {
                let what = format!("{path} has {size} bytes, which exceeds the limit of {max_size}");
                return Err(Error::new(ErrorKind::TooLarge, what).remedy(Remedy::RaiseSizeLimit));
            }
            if size > self.budget {
                return Err(damaged(io::ErrorKind::FileTooLarge.into()));
            }
            let mut bytes = Vec::new();
            let too_large = |_| Error::new(ErrorKind::TooLarge, format!("{path} is larger than the memory left"));
            bytes.try_reserve_exact(usize::try_from(size).unwrap_or(usize::MAX)).map_err(too_large)?;
            entry.read_to_end(&mut bytes).map_err(damaged)?;
            if bytes.len() as u64 != size {
                return Err(Error::new(ErrorKind::Truncated, format!("the package ends within {path}")));
            }
            each(Member { role, group, path, below, bytes })?;
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

/// The path of a member, as `/` parts it, without `./` before it.
fn safe(raw: &[u8], links: &HashSet<String>) -> Result<String> {
    let text = String::from_utf8_lossy(raw);
    let evil = |how: &str| Err(malformed(format!("an evil path in the package, {how}: {text}")));
    if raw.len() as u64 > LONGEST_PATH {
        return Err(malformed("a path in the package is longer than any can be"));
    }
    let mut bare = text.as_ref();
    while let Some(rest) = bare.strip_prefix("./") {
        bare = rest;
    }
    if bare.starts_with('/') {
        return evil("it is absolute");
    }
    let parts: Vec<&str> = bare.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return evil("it leads out of the folder");
    }
    let mut above = String::new();
    for part in parts.iter().take(parts.len().saturating_sub(1)) {
        above.push_str(part);
        if links.contains(&above) {
            return evil("it leads through a link");
        }
        above.push('/');
    }
    Ok(parts.join("/"))
}

fn damaged(error: io::Error) -> Error {
    // The tar crate wraps errors of the stream below it and keeps their kind.
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Error::new(ErrorKind::Truncated, "the package is cut short"),
        io::ErrorKind::FileTooLarge => malformed(format!(
            "unpacked, it is more than {RATIO} times as large: no package of a kernel shrinks like that"
        )),
        _ => malformed("the package is damaged or cut short"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn safe_after(path: &str, links: &[&str]) -> Result<String> {
        safe(path.as_bytes(), &links.iter().map(|link| (*link).to_owned()).collect())
    }

    #[test]
    fn a_path_is_taken_without_what_means_nothing() {
        assert_eq!(safe_after("./boot//vmlinuz-6.1", &[]).unwrap(), "boot/vmlinuz-6.1");
        assert_eq!(safe_after("././lib/./modules/", &["lib/modules"]).unwrap(), "lib/modules");
    }

    #[test]
    fn a_path_that_leaves_the_folder_is_named() {
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
    fn an_extended_header_tells_a_long_path() {
        assert_eq!(pax_path(b"30 mtime=1.5\n18 path=boot/vmlinuz\n").as_deref(), Some(b"boot/vmlinuz".as_slice()));
        assert_eq!(pax_path(b"13 mtime=1.5\n"), None);
    }

    #[test]
    fn an_archive_that_is_no_package_says_so() {
        let data = |bytes: &[u8]| ar_member(bytes, "data.tar").unwrap_err().what().to_owned();
        assert_eq!(data(b"!<arch>\n"), "an ar archive, but no Debian package");
        assert_eq!(data(b"!<arch>\nx"), "the package is cut short");
        assert_eq!(data(format!("!<arch>\n{:60}", "x").as_bytes()), "the package's ar header is damaged");
    }
}
