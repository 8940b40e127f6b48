//! Opening a file or folder by its real path, so that nobody can lead the call elsewhere by a link.

use std::fs::File;
use std::path::{Component, Path};
use std::time::Duration;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Opens a real path without following a symbolic or magic link in any component, by openat2(2) (5.6 on), or component
/// by component where that is missing or filtered.
///
/// Somebody who reads the file under a lease (as this program's own readers do) is given two seconds to finish.
pub(crate) fn open_beneath(path: &Path, access: OFlags) -> Result<File, Errno> {
    const PAUSE: Duration = Duration::from_millis(20);
    let mut patience = 100;
    loop {
        match try_open(path, access) {
            Err(Errno::AGAIN) if patience > 0 => patience -= 1,
            answer => return answer,
        }
        std::thread::sleep(PAUSE);
    }
}

fn try_open(path: &Path, access: OFlags) -> Result<File, Errno> {
    // NONBLOCK, so that a FIFO that took the file's place is an error, not a trap.
    let flags = access | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let no_links = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(rustix::fs::CWD, path, flags, Mode::empty(), no_links) {
        // A sandbox without openat2 answers one of these; so may the file itself, and then the second try says so too.
        Err(Errno::NOSYS | Errno::PERM) => by_component(path, flags),
        answer => answer.map(File::from),
    }
}

fn by_component(path: &Path, flags: OFlags) -> Result<File, Errno> {
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut folder = rustix::fs::open("/", step, Mode::empty())?;
    let names: Vec<_> =
        path.components().filter_map(|c| if let Component::Normal(name) = c { Some(name) } else { None }).collect();
    let Some((last, folders)) = names.split_last() else {
        // The root, which is a folder.
        return rustix::fs::open("/", flags, Mode::empty()).map(File::from);
    };
    for name in folders {
        folder = rustix::fs::openat(&folder, *name, step, Mode::empty())?;
    }
    rustix::fs::openat(&folder, *last, flags, Mode::empty()).map(File::from)
}
