//! File systems: can they be mounted, and does a file keep its contents?

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;
use std::path::Path;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::lab::agent::probe::notes::{ProbeNotes, SCRATCH, errno, outcome, words};
use crate::lab::fat;

/// The names in /proc/filesystems.
pub(super) fn known() -> BTreeSet<String> {
    let text = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    text.lines().filter_map(|line| line.split_whitespace().last()).map(str::to_owned).collect()
}

fn needs_a_device(name: &str) -> bool {
    let text = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    text.lines().any(|line| line.trim() == name && !line.starts_with("nodev"))
}

/// Mounts the file system, and writes and reads a file on it.
pub(super) fn use_one(name: &str, seen: &mut ProbeNotes) {
    let place = format!("{SCRATCH}/on-{name}");
    let _ = fs::create_dir_all(&place);
    let source = match needs_a_device(name) {
        true => match disk() {
            Some(disk) => disk,
            None => {
                seen.note(format!("{name} is mounted"), "not tried: no disk to put it on");
                return;
            }
        },
        false => name.to_owned(),
    };
    let data = options(name);
    let mounted = mount(source.as_str(), place.as_str(), name, MountFlags::empty(), data.as_deref());
    seen.note(format!("{name} is mounted"), mounted.map_or_else(|e| errno(e.raw_os_error()), |()| "ok".to_owned()));
    if mounted.is_err() {
        return;
    }
    let file = Path::new(&place).join("kmodlab.txt");
    seen.note(format!("a file on {name} is written"), outcome(fs::write(&file, b"hello\n")));
    let read = match fs::read(&file) {
        Ok(bytes) if bytes == b"hello\n" => "what was written".to_owned(),
        Ok(_) => "something else".to_owned(),
        Err(e) => words(&e),
    };
    seen.note(format!("a file on {name} gives back"), read);
    let gone = unmount(place.as_str(), UnmountFlags::empty());
    seen.note(format!("{name} is unmounted"), gone.map_or_else(|e| errno(e.raw_os_error()), |()| "ok".to_owned()));
}

/// The mount options; overlay needs folders.
fn options(name: &str) -> Option<CString> {
    if name != "overlay" {
        return None;
    }
    for folder in ["lower", "upper", "work"] {
        let _ = fs::create_dir_all(format!("{SCRATCH}/{folder}"));
    }
    CString::new(format!("lowerdir={SCRATCH}/lower,upperdir={SCRATCH}/upper,workdir={SCRATCH}/work")).ok()
}

/// A disk with an empty FAT file system, if there is one: that of `brd`, if that module was loaded.
fn disk() -> Option<String> {
    let path = "/dev/ram0";
    fs::metadata(path).ok()?;
    fs::write(path, fat::empty()).ok()?;
    Some(path.to_owned())
}
