//! The facts and files of large sources, read from the cache if they are there ([`crate::kernel::cache`]), so that a second
//! question about the same kernel is answered at once.
//!
//! The key of a file is the SHA-256 of its bytes, that of a module tree the SHA-256 of all paths, sizes and times in it. The
//! limit for decompression is part of the key, so that an answer does not depend on earlier questions. The BTF of a kernel,
//! which is larger than all its other facts, is a file of its own.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::digest::{Sha256, Sha256Hasher, sha256};
use crate::error::Result;
use crate::kernel::cache::Cache;
use crate::kernel::collect::FileSink;
use crate::kernel::facts::{Fact, Facts};
use crate::kernel::image;
use crate::kernel::lookup::KernelQuestion;
use crate::kernel::origin::Origin;
use crate::module;
use crate::parallel;

/// The format of cached facts. The number rises with each change of [`Facts`] or of the meaning of a fact.
const FACTS: &[u8] = b"kmodlab facts 12\n";

/// The format of the cached files of a package.
const FILES: &[u8] = b"kmodlab files 2\n";

/// The most bytes of a package's files that are cached together with files that were wanted earlier.
const MOST_FILES: u64 = 64 << 20;

/// The facts of an image file, which the question is then about too.
///
/// # Errors
///
/// Those of [`module::file::read_up_to`] and [`image::facts`].
pub(super) fn image(source: &Origin, file: &Path, question: &KernelQuestion<'_>) -> Result<Facts> {
    let contents = module::file::read_up_to(file, question.max_size())?;
    question.budget.admit(contents.bytes().len());
    image_bytes(source, contents.bytes(), question)
}

/// The facts of an image file with these bytes.
///
/// # Errors
///
/// Those of [`image::facts`].
pub(super) fn image_bytes(source: &Origin, bytes: &[u8], question: &KernelQuestion<'_>) -> Result<Facts> {
    let kind = format!("image-{}-{}", question.max_size(), bytes.len());
    facts(question, &kind, || sha256(bytes).to_string(), source, |name| image::facts(name, bytes, question.budget))
}

/// The facts of a package with these bytes. `read` reads them; it is passed the package's origin.
///
/// # Errors
///
/// Those of `read`.
pub(super) fn package(
    source: &Origin,
    bytes: &[u8],
    question: &KernelQuestion<'_>,
    read: impl FnOnce(&Origin) -> Result<Facts> + Send,
) -> Result<Facts> {
    let kind = format!("package-{}-{}", question.max_size(), bytes.len());
    facts(question, &kind, || sha256(bytes).to_string(), source, read)
}

/// The facts of a module tree with these files. `read` reads them; it is passed the tree's origin.
pub(super) fn tree(
    folder: &Path,
    files: &[PathBuf],
    question: &KernelQuestion<'_>,
    read: impl FnOnce(&Origin) -> Facts + Send,
) -> Facts {
    let hash = || {
        let mut hash = Sha256Hasher::new();
        for file in files {
            // A file that is gone by now will not be read either.
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
    let kind = format!("tree-{}-{}", question.max_size(), files.len());
    let source = Origin::File(folder.to_owned());
    facts(question, &kind, hash, &source, |name| {
        let facts = read(name);
        // A tree of which not everything was read is not cached. The end of the question reports why.
        question.budget.check().map(|()| facts)
    })
    .unwrap_or_default()
}

/// The image and the wanted modules of a package with these bytes. `read` extracts them, which takes one to three seconds.
/// They are cached as they are stored, together with the files that were wanted of the package earlier.
///
/// # Errors
///
/// Those of `read`.
pub(super) fn files(
    bytes: &[u8],
    wanted: &BTreeSet<String>,
    question: &KernelQuestion<'_>,
    read: impl FnOnce(&BTreeSet<String>) -> Result<FileSink>,
) -> Result<FileSink> {
    let Some(path) = question.cache() else { return read(wanted) };
    let cache = Cache::open(path);
    let key = format!("files-{}-{}-{}", question.max_size(), bytes.len(), sha256(bytes));
    let files = match cache.load::<FileSink>(FILES, &key) {
        Some(cached) if cached.wanted().is_superset(wanted) => return Ok(cached),
        Some(cached) if cached.size() < MOST_FILES => read(&cached.wanted().union(wanted).cloned().collect())?,
        _ => read(wanted)?,
    };
    cache.store(FILES, &key, &files, None);
    Ok(files)
}

/// Facts without their BTF, whose origin and SHA-256 are apart.
type FactsAndBtf = (Option<(Origin, Sha256)>, Facts);

/// The cached facts of a source of this kind with this hash; else they are read and cached. If nothing of the kind is
/// cached, the source is read while it is hashed.
fn facts(
    question: &KernelQuestion<'_>,
    kind: &str,
    hash: impl FnOnce() -> String + Send,
    source: &Origin,
    read: impl FnOnce(&Origin) -> Result<Facts> + Send,
) -> Result<Facts> {
    let Some(path) = question.cache() else { return read(source) };
    let cache = Cache::open(path);
    let (key, cached, read) = match cache.has_kind(kind) {
        true => {
            let key = format!("{kind}-{}", hash());
            let cached = load(&cache, &key);
            let read = if cached.is_none() { Some(read(&Origin::Cached)?) } else { None };
            (key, cached, read)
        }
        false => {
            let (hash, facts) = parallel::both(hash, || read(&Origin::Cached));
            (format!("{kind}-{hash}"), None, Some(facts?))
        }
    };
    let mut facts = match (cached, read) {
        (Some(cached), _) => cached,
        (None, read) => {
            let facts = read.unwrap_or_default();
            store(cache, &key, &facts);
            facts
        }
    };
    facts.replace_origin(&Origin::Cached, source);
    Ok(facts)
}

fn load(cache: &Cache<'_>, key: &str) -> Option<Facts> {
    let (btf, mut facts) = cache.load::<FactsAndBtf>(FACTS, key)?;
    if let Some((source, checksum)) = btf {
        let btf = cache.load_attachment(key, &checksum)?;
        facts.btf = Some(Fact { value: Arc::from(btf), source });
    }
    Some(facts)
}

fn store(cache: Cache<'_>, key: &str, facts: &Facts) {
    let mut facts = facts.clone();
    let btf = facts.btf.take();
    let reference = btf.as_ref().map(|btf| (btf.source.clone(), sha256(&btf.value)));
    let value: FactsAndBtf = (reference, facts);
    cache.store(FACTS, key, value, btf.as_ref().map(|btf| &*btf.value));
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::budget::WorkBudget;
    use crate::kernel::lookup::Lookup;

    fn read(name: &Origin) -> Facts {
        let source = Origin::Packaged { path: "boot/vmlinuz".to_owned(), package: Box::new(name.clone()) };
        let btf = Fact { value: Arc::from(b"BTF".as_slice()), source: name.clone() };
        Facts { release: Some(Fact { value: "6.1".to_owned(), source }), btf: Some(btf), ..Facts::default() }
    }

    /// Asks for the facts of the same bytes; the answer is the source of the release, and how often the facts were read.
    fn ask(folder: &Path, name: &str) -> (String, usize) {
        let lookup = Lookup { max_size: 1 << 20, cache: Some(folder.to_owned()) };
        let budget = WorkBudget::new(lookup.max_size);
        let question = KernelQuestion::new(&lookup, &budget);
        let mut count = 0;
        let read = |name: &Origin| {
            count += 1;
            Ok(read(name))
        };
        let facts = package(&Origin::from(name), b"bytes", &question, read).unwrap();
        assert_eq!(&*facts.btf.unwrap().value, b"BTF");
        (facts.release.unwrap().source.to_string(), count)
    }

    #[test]
    fn the_second_time_they_are_cached_and_have_the_new_name() {
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
    fn with_any_damaged_byte_they_are_read_again() {
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
    fn a_folder_that_others_may_write_is_not_trusted() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        ask(folder.path(), "a");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!((ask(folder.path(), "a").1, ask(folder.path(), "a").1), (1, 1));
    }

    #[test]
    fn a_folder_that_cannot_be_made_caches_nothing() {
        assert_eq!(ask(Path::new("/dev/null/cache"), "a").1, 1);
        assert_eq!(ask(Path::new("/dev/null/cache"), "a").1, 1);
    }
}
