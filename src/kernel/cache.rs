//! Facts of big sources, kept in a folder between runs, so that a second question about the same kernel is immediate.
//!
//! They are kept by content: the SHA-256 of a file's bytes, for a module tree that of all paths, sizes and times in it. The limit
//! for what is unpacked is part of the key, so that the answer does not depend on who asked before.
//! What is kept is never trusted: another form, another program, a wrong checksum, a folder that others may write to,
//! and it is made anew. A folder that can't be written keeps nothing, and that is no error.
//!
//! One kernel is one file, and beside it one with its BTF, which is larger than all the rest. The image and modules that
//! were taken out of a package ([`crate::kernel::files`]) are one more.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::kernel::files::Found;
use crate::kernel::{Fact, Facts, Lookup, image};
use crate::module::{self, sha256};

/// What a kept file begins with. The number is the form's: it goes up with each change of [`Facts`] or of the meaning of
/// a fact.
const MAGIC: &[u8] = b"kmodlab facts 10\n";

/// What a kept file with a package's own files begins with.
const FILES_MAGIC: &[u8] = b"kmodlab files 2\n";

/// The most bytes of a package's files that are kept together, with what was wanted of it earlier.
const MOST_FILES: u64 = 64 << 20;

/// The most kernels that are kept.
const MOST_KERNELS: usize = 64;

/// The most bytes that are kept.
const MOST_BYTES: u64 = 1 << 30;

/// Stands in kept sources for what the kernel was called: the same bytes may have another name the next time.
const NAME: &str = "\0";

/// The facts of an image file.
///
/// # Errors
///
/// Those of [`module::file::read`] and [`image::facts`].
pub(super) fn image(source: &str, file: &Path, lookup: &Lookup) -> Result<Facts> {
    image_bytes(source, module::file::read(file)?.bytes(), lookup)
}

/// The facts of an image file whose bytes these are.
///
/// # Errors
///
/// Those of [`image::facts`].
pub(super) fn image_bytes(source: &str, bytes: &[u8], lookup: &Lookup) -> Result<Facts> {
    let kind = format!("image-{}-{}", lookup.max_size, bytes.len());
    kept(lookup, &kind, || sha256(bytes), source, |name| image::facts(name, bytes, lookup.max_size))
}

/// The facts of a package whose bytes these are; `read` makes them anew, and gets its name.
///
/// # Errors
///
/// Those of `read`.
pub(super) fn package(
    name: &str,
    bytes: &[u8],
    lookup: &Lookup,
    read: impl FnOnce(&str) -> Result<Facts> + Send,
) -> Result<Facts> {
    let kind = format!("package-{}-{}", lookup.max_size, bytes.len());
    kept(lookup, &kind, || sha256(bytes), name, read)
}

/// The facts of a module tree with these files; `read` makes them anew, and gets its name.
pub(super) fn tree(
    folder: &Path,
    files: &[PathBuf],
    lookup: &Lookup,
    read: impl FnOnce(&str) -> Facts + Send,
) -> Facts {
    let hash = || {
        let mut hash = Sha256::new();
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
        hex::encode(hash.finalize())
    };
    let kind = format!("tree-{}-{}", lookup.max_size, files.len());
    let name = folder.display().to_string();
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
    let Some(folder) = &lookup.cache else { return read(wanted) };
    let key = format!("files-{}-{}-{}", lookup.max_size, bytes.len(), sha256(bytes));
    let found = match load_value::<Found>(folder, FILES_MAGIC, &key) {
        Some(kept) if kept.wanted().is_superset(wanted) => return Ok(kept),
        Some(kept) if kept.size() < MOST_FILES => read(&kept.wanted().union(wanted).cloned().collect())?,
        _ => read(wanted)?,
    };
    // Nothing depends on it.
    let _ = make_folder(folder).and_then(|()| store_value(folder, FILES_MAGIC, key, &found));
    drop_oldest(folder);
    Ok(found)
}

/// What is kept of a source of this kind with this hash, or else made now, and kept. Where nothing of the kind is kept,
/// which its size tells, it is read while it is hashed.
fn kept(
    lookup: &Lookup,
    kind: &str,
    hash: impl FnOnce() -> String + Send,
    name: &str,
    read: impl FnOnce(&str) -> Result<Facts> + Send,
) -> Result<Facts> {
    let Some(folder) = &lookup.cache else { return read(name) };
    let (key, mut facts) = match has_kind(folder, kind) {
        true => {
            let key = format!("{kind}-{}", hash());
            match load(folder, &key) {
                Some(facts) => (None, facts),
                None => (Some(key), read(NAME)?),
            }
        }
        false => {
            let (hash, facts) = rayon::join(hash, || read(NAME));
            (Some(format!("{kind}-{hash}")), facts?)
        }
    };
    if let Some(key) = key {
        // Nothing depends on it.
        let _ = store(folder, &key, &facts);
    }
    facts.rename_sources(NAME, name);
    Ok(facts)
}

/// Is anything of this kind kept?
fn has_kind(folder: &Path, kind: &str) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_of_kind = |name: &std::ffi::OsStr| {
        name.to_str().and_then(|name| name.strip_prefix(kind)).is_some_and(|rest| rest.starts_with('-'))
    };
    entries.into_iter().any(|entry| is_of_kind(&entry.file_name()))
}

/// A file's content behind magic and checksum.
#[derive(Serialize, Deserialize)]
struct Kept<T> {
    key: String,
    program: Program,
    value: T,
}

/// Facts without their BTF: where that was read, and the SHA-256 of its file.
type WithoutBtf = (Option<(String, [u8; 32])>, Facts);

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
fn load(folder: &Path, key: &str) -> Option<Facts> {
    let (btf, mut facts) = load_value::<WithoutBtf>(folder, MAGIC, key)?;
    if let Some((source, checksum)) = btf {
        let btf = fs::read(btf_file(folder, key)).ok()?;
        if Sha256::digest(&btf).as_slice() != checksum {
            return None;
        }
        facts.btf = Some(Fact { value: Arc::from(btf), source });
    }
    Some(facts)
}

/// What is kept, if it is whole and this program's own. To be asked for makes it young again.
fn load_value<T: DeserializeOwned>(folder: &Path, magic: &[u8], key: &str) -> Option<T> {
    let meta = folder.metadata().ok()?;
    // Others could put there what they like.
    if meta.uid() != rustix::process::geteuid().as_raw() || meta.mode() & 0o022 != 0 {
        return None;
    }
    let path = folder.join(key);
    let bytes = fs::read(&path).ok()?;
    let (checksum, payload) = bytes.strip_prefix(magic)?.split_first_chunk::<32>()?;
    if Sha256::digest(payload).as_slice() != checksum {
        return None;
    }
    let kept: Kept<T> = postcard::from_bytes(payload).ok()?;
    if kept.key != key || kept.program != Program::this() {
        return None;
    }
    let _ = fs::File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
    Some(kept.value)
}

fn btf_file(folder: &Path, key: &str) -> PathBuf {
    folder.join(format!("{key}.btf"))
}

/// Keeps facts; `None` if that can't be done.
fn store(folder: &Path, key: &str, facts: &Facts) -> Option<()> {
    make_folder(folder)?;
    let mut facts = facts.clone();
    let btf: Option<(String, [u8; 32])> = match facts.btf.take() {
        None => None,
        Some(Fact { value, source }) => {
            write(folder, &btf_file(folder, key), &[&value])?;
            Some((source, Sha256::digest(&value).into()))
        }
    };
    store_value(folder, MAGIC, key.to_owned(), (btf, facts))?;
    drop_oldest(folder);
    Some(())
}

fn make_folder(folder: &Path) -> Option<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).ok()
}

/// Keeps a value; `None` if that can't be done.
fn store_value<T: Serialize>(folder: &Path, magic: &[u8], key: String, value: T) -> Option<()> {
    let path = folder.join(&key);
    let payload = postcard::to_stdvec(&Kept { key, program: Program::this(), value }).ok()?;
    write(folder, &path, &[magic, &Sha256::digest(&payload), &payload])
}

/// All or nothing, and for its owner's eyes alone, as the tempfile crate makes files.
fn write(folder: &Path, path: &Path, parts: &[&[u8]]) -> Option<()> {
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder).ok()?;
    parts.iter().try_for_each(|part| file.write_all(part)).ok()?;
    file.persist(path).ok()?;
    Some(())
}

/// Drops what was not asked for for the longest time, until the rest is within bounds.
fn drop_oldest(folder: &Path) {
    let mut files: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (name, Ok(meta)) = (entry.file_name().to_string_lossy().into_owned(), entry.metadata()) else { continue };
        let modified = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        if name.starts_with(".new-") {
            // What a run left that was killed; one that is writing now is younger.
            if modified.elapsed().is_ok_and(|age| age.as_secs() > 3600) {
                let _ = fs::remove_file(entry.path());
            }
        } else if ["image-", "package-", "tree-", "files-"].iter().any(|kind| name.starts_with(kind))
            && !name.ends_with(".btf")
        {
            let btf = btf_file(folder, &name).metadata().map_or(0, |meta| meta.len());
            files.push((modified, meta.len() + btf, entry.path()));
        }
    }
    files.sort();
    let mut bytes: u64 = files.iter().map(|(_, size, _)| *size).sum();
    let mut count = files.len();
    for (_, size, path) in files {
        if count <= MOST_KERNELS && bytes <= MOST_BYTES {
            break;
        }
        let _ = fs::remove_file(&path);
        if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
            let _ = fs::remove_file(btf_file(folder, name));
        }
        count -= 1;
        bytes = bytes.saturating_sub(size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(name: &str) -> Facts {
        let fact = |value: &str| Fact { value: value.to_owned(), source: format!("boot/vmlinuz in {name}") };
        let btf = Fact { value: Arc::from(b"BTF".as_slice()), source: name.to_owned() };
        Facts { release: Some(fact("6.1")), btf: Some(btf), ..Facts::default() }
    }

    /// Asks twice for the facts of the same bytes, and tells how often they were made.
    fn ask(folder: &Path, name: &str) -> (String, usize) {
        let lookup = Lookup { max_size: 1 << 20, cache: Some(folder.to_owned()) };
        let mut made = 0;
        let read = |name: &str| {
            made += 1;
            Ok(facts(name))
        };
        let facts = package(name, b"bytes", &lookup, read).unwrap();
        assert_eq!(&*facts.btf.unwrap().value, b"BTF");
        (facts.release.unwrap().source, made)
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

    #[test]
    fn the_oldest_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..MOST_KERNELS + 6 {
            let path = folder.path().join(format!("tree-{number:03}"));
            fs::write(&path, "").unwrap();
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(number as u64);
            fs::File::open(&path).unwrap().set_modified(time).unwrap();
        }
        drop_oldest(folder.path());
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!((left.len(), left[0].to_str()), (MOST_KERNELS, Some("tree-006")));
    }
}
