//! Facts of big sources, kept in a folder between runs, so that a second question about the same kernel is immediate.
//!
//! They are kept by content: the SHA-256 of a file's bytes, for a module tree that of all paths, sizes and times in it. The limit
//! for what is unpacked is part of the key, so that the answer does not depend on who asked before.
//! What is kept is never trusted: another form, another program, a wrong checksum, and it is made anew. A folder that can't be
//! written, or that another user could have written, keeps nothing, and that is no error ([`folder`]).
//!
//! One kernel is one file, and beside it one with its BTF, which is larger than all the rest. The image and modules that
//! were taken out of a package ([`crate::kernel::files`]) are one more.

pub(super) mod folder;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::digest::{Sha256, Sha256Hasher, sha256};
use crate::error::Result;
use crate::kernel::cache::folder::{CacheFolder, is_new, is_number};
use crate::kernel::files::Found;
use crate::kernel::{Fact, Facts, Lookup, Origin, image};
use crate::module;

/// What a kept file begins with. The number is the form's: it goes up with each change of [`Facts`] or of the meaning of
/// a fact.
const MAGIC: &[u8] = b"kmodlab facts 12\n";

/// What a kept file with a package's own files begins with.
const FILES_MAGIC: &[u8] = b"kmodlab files 2\n";

/// The most bytes of a package's files that are kept together, with what was wanted of it earlier.
const MOST_FILES: u64 = 64 << 20;

/// The most kernels that are kept.
const MOST_KERNELS: usize = 64;

/// The most bytes that are kept.
const MOST_BYTES: u64 = 1 << 30;

/// What the names of kept files begin with; the size limit, a number, and a SHA-256 follow, and `.btf` where that is apart.
const KINDS: [&str; 4] = ["image", "package", "tree", "files"];

/// What the name of a file with a kernel's BTF ends with.
const BTF: &str = ".btf";

/// How old a file that is still being written is, in seconds, when its writer was killed.
const ABANDONED: u64 = 3600;

/// The facts of an image file.
///
/// # Errors
///
/// Those of [`module::file::read`] and [`image::facts`].
pub(super) fn image(source: &Origin, file: &Path, lookup: &Lookup) -> Result<Facts> {
    image_bytes(source, module::file::read(file)?.bytes(), lookup)
}

/// The facts of an image file whose bytes these are.
///
/// # Errors
///
/// Those of [`image::facts`].
pub(super) fn image_bytes(source: &Origin, bytes: &[u8], lookup: &Lookup) -> Result<Facts> {
    let kind = format!("image-{}-{}", lookup.max_size, bytes.len());
    kept(lookup, &kind, || sha256(bytes).to_string(), source, |name| image::facts(name, bytes, lookup.max_size))
}

/// The facts of a package whose bytes these are; `read` makes them anew, and gets its name.
///
/// # Errors
///
/// Those of `read`.
pub(super) fn package(
    name: &Origin,
    bytes: &[u8],
    lookup: &Lookup,
    read: impl FnOnce(&Origin) -> Result<Facts> + Send,
) -> Result<Facts> {
    let kind = format!("package-{}-{}", lookup.max_size, bytes.len());
    kept(lookup, &kind, || sha256(bytes).to_string(), name, read)
}

/// The facts of a module tree with these files; `read` makes them anew, and gets its name.
pub(super) fn tree(
    folder: &Path,
    files: &[PathBuf],
    lookup: &Lookup,
    read: impl FnOnce(&Origin) -> Facts + Send,
) -> Facts {
    let hash = || {
        let mut hash = Sha256Hasher::new();
        for file in files {
            // Of a file that is gone by now nothing will be read either.
            let Ok(meta) = folder.join(file).symlink_metadata() else { continue };
            hash.update(file.as_os_str().as_encoded_bytes());
            for number in [meta.size(), meta.ino(), meta.dev()] {
                hash.update(number.to_le_bytes());
            }
            for number in [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()] {
                hash.update(number.to_le_bytes());
            }
        }
        hash.finish().to_string()
    };
    let kind = format!("tree-{}-{}", lookup.max_size, files.len());
    let name = Origin::File(folder.to_owned());
    kept(lookup, &kind, hash, &name, |name| Ok(read(name))).unwrap_or_default()
}

/// The image and the wanted modules of a package whose bytes these are; `read` takes them out of it, which is a second's
/// work or three. They are kept as they are stored, together with what was wanted of the package earlier.
///
/// # Errors
///
/// Those of `read`.
pub(super) fn files(
    bytes: &[u8],
    wanted: &BTreeSet<String>,
    lookup: &Lookup,
    read: impl FnOnce(&BTreeSet<String>) -> Result<Found>,
) -> Result<Found> {
    let Some(path) = &lookup.cache else { return read(wanted) };
    let folder = CacheFolder::open(path);
    let key = format!("files-{}-{}-{}", lookup.max_size, bytes.len(), sha256(bytes));
    let found = match folder.as_ref().and_then(|folder| load_value::<Found>(folder, FILES_MAGIC, &key)) {
        Some(kept) if kept.wanted().is_superset(wanted) => return Ok(kept),
        Some(kept) if kept.size() < MOST_FILES => read(&kept.wanted().union(wanted).cloned().collect())?,
        _ => read(wanted)?,
    };
    // Nothing depends on it.
    if let Some(folder) = folder.or_else(|| CacheFolder::make(path)) {
        let _ = store_value(&folder, FILES_MAGIC, key, &found);
        drop_oldest(&folder);
    }
    Ok(found)
}

/// What is kept of a source of this kind with this hash, or else made now, and kept. Where nothing of the kind is kept,
/// which its size tells, it is read while it is hashed.
fn kept(
    lookup: &Lookup,
    kind: &str,
    hash: impl FnOnce() -> String + Send,
    name: &Origin,
    read: impl FnOnce(&Origin) -> Result<Facts> + Send,
) -> Result<Facts> {
    let Some(path) = &lookup.cache else { return read(name) };
    let folder = CacheFolder::open(path);
    let (key, mut facts) = match folder.as_ref().filter(|folder| has_kind(folder, kind)) {
        Some(folder) => {
            let key = format!("{kind}-{}", hash());
            match load(folder, &key) {
                Some(facts) => (None, facts),
                None => (Some(key), read(&Origin::Cached)?),
            }
        }
        None => {
            let (hash, facts) = rayon::join(hash, || read(&Origin::Cached));
            (Some(format!("{kind}-{hash}")), facts?)
        }
    };
    if let Some(key) = key
        && let Some(folder) = folder.or_else(|| CacheFolder::make(path))
    {
        // Nothing depends on it.
        let _ = store(&folder, &key, &facts);
    }
    facts.replace_origin(&Origin::Cached, name);
    Ok(facts)
}

/// Is anything of this kind kept?
fn has_kind(folder: &CacheFolder, kind: &str) -> bool {
    let is_of_kind = |name: &String| name.strip_prefix(kind).is_some_and(|rest| rest.starts_with('-'));
    folder.names().iter().any(is_of_kind)
}

/// A file's content behind magic and checksum.
#[derive(Serialize, Deserialize)]
struct Kept<T> {
    key: String,
    program: Program,
    value: T,
}

/// Facts without their BTF: where that was read, and the SHA-256 of its file.
type WithoutBtf = (Option<(Origin, [u8; 32])>, Facts);

/// Which program made it. A version's number is the same for every build of a developer's.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct Program {
    version: String,
    size: u64,
    modified: Option<SystemTime>,
}

impl Program {
    fn this() -> Program {
        let meta = std::env::current_exe().and_then(fs::metadata).ok();
        Program {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            size: meta.as_ref().map_or(0, fs::Metadata::len),
            modified: meta.and_then(|meta| meta.modified().ok()),
        }
    }
}

/// The facts that are kept, if they are whole and this program's own.
fn load(folder: &CacheFolder, key: &str) -> Option<Facts> {
    let (btf, mut facts) = load_value::<WithoutBtf>(folder, MAGIC, key)?;
    if let Some((source, checksum)) = btf {
        let btf = folder.read(&btf_file(key))?;
        if *sha256(&btf).as_bytes() != checksum {
            return None;
        }
        facts.btf = Some(Fact { value: Arc::from(btf), source });
    }
    Some(facts)
}

/// What is kept, if it is whole and this program's own. To be asked for makes it young again.
fn load_value<T: DeserializeOwned>(folder: &CacheFolder, magic: &[u8], key: &str) -> Option<T> {
    let bytes = folder.read(key)?;
    let (checksum, payload) = bytes.strip_prefix(magic)?.split_first_chunk::<32>()?;
    if sha256(payload).as_bytes() != checksum {
        return None;
    }
    let kept: Kept<T> = postcard::from_bytes(payload).ok()?;
    if kept.key != key || kept.program != Program::this() {
        return None;
    }
    folder.touch(key);
    Some(kept.value)
}

fn btf_file(key: &str) -> String {
    format!("{key}{BTF}")
}

/// Keeps facts; `None` if that can't be done.
fn store(folder: &CacheFolder, key: &str, facts: &Facts) -> Option<()> {
    let mut facts = facts.clone();
    let btf: Option<(Origin, [u8; 32])> = match facts.btf.take() {
        None => None,
        Some(Fact { value, source }) => {
            folder.write(&btf_file(key), &[&value])?;
            Some((source, *sha256(&value).as_bytes()))
        }
    };
    store_value(folder, MAGIC, key.to_owned(), (btf, facts))?;
    drop_oldest(folder);
    Some(())
}

/// Keeps a value; `None` if that can't be done.
fn store_value<T: Serialize>(folder: &CacheFolder, magic: &[u8], key: String, value: T) -> Option<()> {
    let name = key.clone();
    let payload = postcard::to_stdvec(&Kept { key, program: Program::this(), value }).ok()?;
    folder.write(&name, &[magic, sha256(&payload).as_bytes(), &payload])
}

/// Is this the name of a kept file, as this program makes them?
fn is_key(name: &str) -> bool {
    let mut parts = name.split('-');
    let is_kind = parts.next().is_some_and(|kind| KINDS.contains(&kind));
    let has_numbers = [parts.next(), parts.next()].iter().all(|part| part.is_some_and(is_number));
    let has_hash = parts.next().is_some_and(|hash| hash.parse::<Sha256>().is_ok());
    is_kind && has_numbers && has_hash && parts.next().is_none()
}

/// Drops what was not asked for for the longest time, until the rest is within bounds. It touches no file whose name this
/// program would not give.
fn drop_oldest(folder: &CacheFolder) {
    let mut files: Vec<(SystemTime, u64, String)> = Vec::new();
    let entries = folder.entries();
    let btf_size = |name: &str| {
        let btf = btf_file(name);
        entries.iter().find(|entry| entry.name == btf).map_or(0, |entry| entry.size)
    };
    for entry in &entries {
        if is_new(&entry.name) {
            // What a run left that was killed; one that is writing now is younger.
            if entry.modified.elapsed().is_ok_and(|age| age.as_secs() > ABANDONED) {
                folder.remove(&entry.name);
            }
        } else if is_key(&entry.name) {
            files.push((entry.modified, entry.size + btf_size(&entry.name), entry.name.clone()));
        }
    }
    files.sort();
    let mut bytes: u64 = files.iter().map(|(_, size, _)| *size).sum();
    let mut count = files.len();
    for (_, size, name) in files {
        if count <= MOST_KERNELS && bytes <= MOST_BYTES {
            break;
        }
        folder.remove(&name);
        folder.remove(&btf_file(&name));
        count -= 1;
        bytes = bytes.saturating_sub(size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(name: &Origin) -> Facts {
        let source = Origin::Packaged { path: "boot/vmlinuz".to_owned(), package: Box::new(name.clone()) };
        let fact = |value: &str| Fact { value: value.to_owned(), source };
        let btf = Fact { value: Arc::from(b"BTF".as_slice()), source: name.clone() };
        Facts { release: Some(fact("6.1")), btf: Some(btf), ..Facts::default() }
    }

    /// Asks twice for the facts of the same bytes, and tells how often they were made.
    fn ask(folder: &Path, name: &str) -> (String, usize) {
        let lookup = Lookup { max_size: 1 << 20, cache: Some(folder.to_owned()) };
        let mut made = 0;
        let read = |name: &Origin| {
            made += 1;
            Ok(facts(name))
        };
        let facts = package(&Origin::from(name), b"bytes", &lookup, read).unwrap();
        assert_eq!(&*facts.btf.unwrap().value, b"BTF");
        (facts.release.unwrap().source.to_string(), made)
    }

    #[test]
    fn the_second_time_they_are_there_under_the_new_name() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("new");
        assert_eq!(ask(&folder, "a.deb"), ("boot/vmlinuz in a.deb".to_owned(), 1));
        assert_eq!(ask(&folder, "b.deb"), ("boot/vmlinuz in b.deb".to_owned(), 0));
        assert_eq!(folder.metadata().unwrap().mode() & 0o777, 0o700);
        for entry in fs::read_dir(&folder).unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn any_damaged_byte_and_they_are_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("new");
        ask(&folder, "a");
        let files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 2);
        for file in files {
            let good = fs::read(&file).unwrap();
            for at in 0..good.len() {
                let mut bad = good.clone();
                bad[at] ^= 1;
                fs::write(&file, bad).unwrap();
                assert_eq!(ask(&folder, "a").1, 1, "byte {at} of {}", file.display());
            }
            fs::write(&file, &good[..good.len() / 2]).unwrap();
            assert_eq!(ask(&folder, "a").1, 1);
            assert_eq!(ask(&folder, "a").1, 0);
        }
    }

    #[test]
    fn what_others_may_write_is_not_believed() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        ask(folder.path(), "a");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(ask(folder.path(), "a").1, 1);
    }

    #[test]
    fn a_folder_that_cant_be_made_keeps_nothing() {
        assert_eq!(ask(Path::new("/dev/null/cache"), "a").1, 1);
        assert_eq!(ask(Path::new("/dev/null/cache"), "a").1, 1);
    }

    /// A name as this program makes them.
    fn key(kind: &str, number: usize) -> String {
        format!("{kind}-1024-7-{number:064x}")
    }

    fn put(folder: &Path, name: &str, age: u64) {
        fs::write(folder.join(name), "").unwrap();
        let time = SystemTime::now() - std::time::Duration::from_secs(age);
        fs::File::open(folder.join(name)).unwrap().set_modified(time).unwrap();
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_oldest_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..MOST_KERNELS + 6 {
            put(folder.path(), &key("tree", number), 1000 - number as u64);
            put(folder.path(), &btf_file(&key("tree", number)), 0);
        }
        drop_oldest(&CacheFolder::open(folder.path()).unwrap());
        let left: Vec<String> =
            (6..MOST_KERNELS + 6).flat_map(|number| [key("tree", number), btf_file(&key("tree", number))]).collect();
        assert_eq!(names(folder.path()), left);
    }

    #[test]
    fn what_this_program_would_not_name_so_stays() {
        let folder = tempfile::tempdir().unwrap();
        let hash = format!("{:064x}", 7);
        let foreign = [
            "image-of-my-cat.png".to_owned(),
            "tree-001".to_owned(),
            "package-1-2".to_owned(),
            "files-1-2-3".to_owned(),
            ".new-year".to_owned(),
            ".new-1-".to_owned(),
            format!("image-1-x-{hash}"),
            format!("image-1-2-{hash}-old"),
            format!("image-1-2-{}", hash.to_uppercase().replace('7', "A")),
            format!("photo-1-2-{hash}"),
        ];
        for name in &foreign {
            put(folder.path(), name, 100_000);
        }
        put(folder.path(), ".new-17-0", 100_000);
        put(folder.path(), ".new-18-0", 10);
        for number in 0..MOST_KERNELS + 1 {
            put(folder.path(), &key("image", number), 1000 - number as u64);
        }
        drop_oldest(&CacheFolder::open(folder.path()).unwrap());
        let left = names(folder.path());
        assert!(foreign.iter().all(|name| left.contains(name)), "{left:?}");
        assert!(left.contains(&".new-18-0".to_owned()) && !left.contains(&".new-17-0".to_owned()));
        assert_eq!(left.len(), foreign.len() + 1 + MOST_KERNELS);
    }

    /// The cache folder may be another user's: by `sudo -E`, say.
    #[test]
    fn in_a_folder_that_others_could_have_written_nothing_is_written_or_removed() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let outer = tempfile::tempdir().unwrap();
        let (real, link, open) = (outer.path().join("real"), outer.path().join("link"), outer.path().join("open"));
        for folder in [&real, &open] {
            fs::create_dir(folder).unwrap();
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
            for number in 0..MOST_KERNELS + 6 {
                put(folder, &key("tree", number), 100_000);
            }
            put(folder, ".new-17-0", 100_000);
        }
        symlink("real", &link).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o770)).unwrap();
        let before = (names(&real), names(&open));
        for folder in [link.clone(), link.join("."), open.clone()] {
            assert_eq!((ask(&folder, "a").1, ask(&folder, "a").1), (1, 1), "{}", folder.display());
            assert_eq!((names(&real), names(&open)), before, "{}", folder.display());
        }
        // The same folder by its own name is this user's.
        ask(&real, "a");
        assert_eq!(names(&real).len(), MOST_KERNELS + 1);
    }
}
