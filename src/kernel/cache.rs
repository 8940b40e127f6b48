//! A folder with values that are expensive to compute, cached between runs.
//!
//! Each value is one file, named by the kind of its source, two numbers and a SHA-256 of the source's contents; large plain
//! bytes that belong to the value are a second file next to it. What is read back is never trusted: a value of another
//! format, of another build of the program, or with a wrong checksum is computed again. A folder that cannot be written, or
//! that another user could have written, caches nothing, and that is no error ([`folder`]).

pub(super) mod folder;

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::digest::{Sha256, sha256};
use crate::kernel::cache::folder::{CacheFolder, is_new, is_number};

/// The most values that are kept.
pub(super) const MOST_VALUES: usize = 64;

/// The most bytes that are kept.
const MOST_BYTES: u64 = 1 << 30;

/// The kinds of sources, with which the names of cached files begin.
const KINDS: [&str; 4] = ["image", "package", "tree", "files"];

/// The ending of the name of a file with a value's plain bytes.
const ATTACHMENT: &str = ".btf";

/// The age in seconds from which on a file that is still being written is left over from a process that was killed.
const ABANDONED: u64 = 3600;

/// A cache folder, which need not exist yet.
pub(super) struct Cache<'p> {
    path: &'p Path,
    folder: Option<CacheFolder>,
}

impl<'p> Cache<'p> {
    /// Opens the folder, if it exists and is safe to use.
    pub(super) fn open(path: &'p Path) -> Cache<'p> {
        Cache { path, folder: CacheFolder::open(path) }
    }

    /// Is any value cached whose key begins with this?
    pub(super) fn has_kind(&self, kind: &str) -> bool {
        let is_of_kind = |name: &String| name.strip_prefix(kind).is_some_and(|rest| rest.starts_with('-'));
        self.folder.as_ref().is_some_and(|folder| folder.names().iter().any(is_of_kind))
    }

    /// The value with this key, if it is intact and was stored by this program in this format. It counts as used now.
    pub(super) fn load<T: DeserializeOwned>(&self, format: &[u8], key: &str) -> Option<T> {
        let folder = self.folder.as_ref()?;
        let bytes = folder.read(key)?;
        let (checksum, payload) = bytes.strip_prefix(format)?.split_first_chunk::<32>()?;
        if sha256(payload).as_bytes() != checksum {
            return None;
        }
        let entry: CacheEntry<T> = postcard::from_bytes(payload).ok()?;
        if entry.key != key || entry.program != ProgramIdentity::this() {
            return None;
        }
        folder.touch(key);
        Some(entry.value)
    }

    /// The plain bytes that belong to a value, if they have this checksum.
    pub(super) fn load_attachment(&self, key: &str, checksum: &Sha256) -> Option<Vec<u8>> {
        let bytes = self.folder.as_ref()?.read(&attachment_name(key))?;
        (sha256(&bytes) == *checksum).then_some(bytes)
    }

    /// Stores a value and its plain bytes, and removes the least recently used values beyond the limits. It is no error if
    /// that fails.
    pub(super) fn store<T: Serialize>(self, format: &[u8], key: &str, value: T, attachment: Option<&[u8]>) {
        let Some(folder) = self.folder.or_else(|| CacheFolder::make(self.path)) else { return };
        let write = || {
            if let Some(bytes) = attachment {
                folder.write(&attachment_name(key), &[bytes])?;
            }
            let entry = CacheEntry { key: key.to_owned(), program: ProgramIdentity::this(), value };
            let payload = postcard::to_stdvec(&entry).ok()?;
            folder.write(key, &[format, sha256(&payload).as_bytes(), &payload])
        };
        if write().is_some() {
            remove_oldest(&folder);
        }
    }
}

/// The contents of a cached file after its format and checksum.
#[derive(Serialize, Deserialize)]
struct CacheEntry<T> {
    key: String,
    program: ProgramIdentity,
    value: T,
}

/// The program that stored a value. All builds of a developer have the same version number.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct ProgramIdentity {
    version: String,
    size: u64,
    modified: Option<SystemTime>,
}

impl ProgramIdentity {
    fn this() -> ProgramIdentity {
        let meta = std::env::current_exe().and_then(fs::metadata).ok();
        ProgramIdentity {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            size: meta.as_ref().map_or(0, fs::Metadata::len),
            modified: meta.and_then(|meta| meta.modified().ok()),
        }
    }
}

/// The name of the file with a value's plain bytes.
pub(super) fn attachment_name(key: &str) -> String {
    format!("{key}{ATTACHMENT}")
}

/// Is this the name of a cached file, as this program names them?
fn is_key(name: &str) -> bool {
    let mut parts = name.split('-');
    let is_kind = parts.next().is_some_and(|kind| KINDS.contains(&kind));
    let has_numbers = [parts.next(), parts.next()].iter().all(|part| part.is_some_and(is_number));
    let has_hash = parts.next().is_some_and(|hash| hash.parse::<Sha256>().is_ok());
    is_kind && has_numbers && has_hash && parts.next().is_none()
}

/// Removes the least recently used values until the limits are kept. A file that this program would not name so stays.
pub(super) fn remove_oldest(folder: &CacheFolder) {
    let mut files: Vec<(SystemTime, u64, String)> = Vec::new();
    let entries = folder.entries();
    let attachment_size = |name: &str| {
        let attachment = attachment_name(name);
        entries.iter().find(|entry| entry.name == attachment).map_or(0, |entry| entry.size)
    };
    for entry in &entries {
        if is_new(&entry.name) {
            // Left over from a process that was killed; the file of a process that is writing now is younger.
            if entry.modified.elapsed().is_ok_and(|age| age.as_secs() > ABANDONED) {
                folder.remove(&entry.name);
            }
        } else if is_key(&entry.name) {
            files.push((entry.modified, entry.size + attachment_size(&entry.name), entry.name.clone()));
        }
    }
    files.sort();
    let mut bytes: u64 = files.iter().map(|(_, size, _)| *size).sum();
    let mut count = files.len();
    for (_, size, name) in files {
        if count <= MOST_VALUES && bytes <= MOST_BYTES {
            break;
        }
        folder.remove(&name);
        folder.remove(&attachment_name(&name));
        count -= 1;
        bytes = bytes.saturating_sub(size);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

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
    fn the_oldest_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..MOST_VALUES + 6 {
            put(folder.path(), &key("tree", number), 1000 - number as u64);
            put(folder.path(), &attachment_name(&key("tree", number)), 0);
        }
        remove_oldest(&CacheFolder::open(folder.path()).unwrap());
        let left: Vec<String> = (6..MOST_VALUES + 6)
            .flat_map(|number| [key("tree", number), attachment_name(&key("tree", number))])
            .collect();
        assert_eq!(names(folder.path()), left);
    }

    #[test]
    fn files_that_this_program_would_not_name_so_stay() {
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
        for number in 0..MOST_VALUES + 1 {
            put(folder.path(), &key("image", number), 1000 - number as u64);
        }
        remove_oldest(&CacheFolder::open(folder.path()).unwrap());
        let left = names(folder.path());
        assert!(foreign.iter().all(|name| left.contains(name)), "{left:?}");
        assert!(left.contains(&".new-18-0".to_owned()) && !left.contains(&".new-17-0".to_owned()));
        assert_eq!(left.len(), foreign.len() + 1 + MOST_VALUES);
    }

    /// The cache folder may belong to another user, by `sudo -E` for example.
    #[test]
    fn in_a_folder_that_others_could_have_written_nothing_is_written_or_removed() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let outer = tempfile::tempdir().unwrap();
        let (real, link, open) = (outer.path().join("real"), outer.path().join("link"), outer.path().join("open"));
        for folder in [&real, &open] {
            fs::create_dir(folder).unwrap();
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
            for number in 0..MOST_VALUES + 6 {
                put(folder, &key("tree", number), 100_000);
            }
            put(folder, ".new-17-0", 100_000);
        }
        symlink("real", &link).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o770)).unwrap();
        let before = (names(&real), names(&open));
        let store = |folder: &Path| {
            Cache::open(folder).store(b"format\n", &key("image", 1), 7_u32, Some(b"bytes"));
            Cache::open(folder).load::<u32>(b"format\n", &key("image", 1))
        };
        for folder in [link.clone(), link.join("."), open.clone()] {
            assert_eq!((store(&folder), store(&folder)), (None, None), "{}", folder.display());
            assert_eq!((names(&real), names(&open)), before, "{}", folder.display());
        }
        // By its own name the same folder is this user's.
        assert_eq!(store(&real), Some(7));
        assert_eq!(names(&real).len(), MOST_VALUES + 1);
    }
}
