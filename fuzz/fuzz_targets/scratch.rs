//! A folder of this process for readers of folders. `fuzz/run` puts temporary folders into memory.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use tempfile::TempDir;

/// The real path of an empty folder that only this user may write. The next call empties it.
pub(crate) fn empty() -> PathBuf {
    static ALL: LazyLock<TempDir> = LazyLock::new(|| TempDir::new().expect("a temporary folder is to be had"));
    let folder = ALL.path().canonicalize().expect("the folder is there").join("scratch");
    let _ = fs::remove_dir_all(&folder);
    make(&folder);
    folder
}

/// Creates a folder that only this user may write.
pub(crate) fn make(folder: &Path) {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).expect("a folder can be created");
}

/// Creates an empty state folder, so that its creation is not flushed up to the root folder for each input.
pub(crate) fn state(folder: &Path) {
    for name in ["objects", "intents"] {
        make(&folder.join(name));
    }
    write(&folder.join("lock"), b"");
}

/// Writes a file as the program does: no other user may write it, whatever the umask.
pub(crate) fn write(path: &Path, bytes: &[u8]) {
    let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(bytes)).expect("a file can be written");
}
