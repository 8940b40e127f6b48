//! The probe: checks from outside what a module does. It uses everything that is new since the module was loaded, as a
//! user would, and notes the results as text, for comparison with those of the kernel's own module.

mod command;
mod devices;
mod disks;
mod filesystems;
mod links;
mod notes;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::lab::record::ProbeResult;
use crate::lab::wire::Exercise;
use notes::{MOST, ProbeNotes, names, read_little};

pub(super) use notes::SCRATCH;

/// The state of the system before the module is loaded.
#[derive(Debug, Default)]
pub(crate) struct SystemSnapshot {
    links: BTreeSet<String>,
    disks: BTreeSet<String>,
    filesystems: BTreeSet<String>,
    devices: BTreeSet<PathBuf>,
    proc: BTreeSet<String>,
}

impl SystemSnapshot {
    pub(crate) fn look() -> SystemSnapshot {
        SystemSnapshot {
            links: links::names(),
            disks: names("/sys/block"),
            filesystems: filesystems::known(),
            devices: devices::nodes(),
            proc: names("/proc").into_iter().filter(|name| !is_process(name)).collect(),
        }
    }
}

/// Uses what the module provides.
pub(crate) fn look(module: &str, exercise: &Exercise, before: &SystemSnapshot) -> Vec<ProbeResult> {
    let now = SystemSnapshot::look();
    let mut seen = ProbeNotes::default();
    let links: Vec<&String> = now.links.difference(&before.links).collect();
    seen.list("network devices", &links);
    links::use_all(&links, &exercise.links, &mut seen);
    let disks: Vec<&String> = now.disks.difference(&before.disks).collect();
    seen.list("block devices", &disks);
    disks.iter().take(MOST).for_each(|disk| disks::use_one(disk, &mut seen));
    let filesystems: Vec<&String> = now.filesystems.difference(&before.filesystems).collect();
    seen.list("file systems", &filesystems);
    filesystems.iter().take(MOST).for_each(|name| filesystems::use_one(name, &mut seen));
    for name in exercise.filesystems.iter().filter(|name| !filesystems.contains(name)).take(MOST) {
        seen.note(name, "is not a file system of this kernel");
    }
    let is_disk = |path: &&PathBuf| path.file_name().is_some_and(|name| now.disks.contains(&*name.to_string_lossy()));
    let devices: Vec<&PathBuf> = now.devices.difference(&before.devices).filter(|path| !is_disk(path)).collect();
    let shown: Vec<String> = devices.iter().map(|path| path.display().to_string()).collect();
    seen.list("character devices", &shown);
    devices.iter().take(MOST).for_each(|path| devices::use_one(path, &mut seen));
    let proc: Vec<&String> = now.proc.difference(&before.proc).collect();
    seen.list("entries in /proc", &proc);
    proc.iter()
        .take(MOST)
        .for_each(|name| seen.note(format!("/proc/{name}"), read_little(Path::new("/proc").join(name).as_path())));
    parameters(module, &mut seen);
    if let Some((program, arguments)) = exercise.command.split_first() {
        command::run(program, arguments, module, &mut seen);
    }
    seen.0
}

/// The values of the module's parameters, as far as they are readable.
fn parameters(module: &str, seen: &mut ProbeNotes) {
    let folder = format!("/sys/module/{module}/parameters");
    for name in names(&folder).into_iter().take(4 * MOST) {
        let value = read_little(&Path::new(&folder).join(&name));
        seen.note(format!("parameter {name}"), value);
    }
}

/// Processes have numbers as folder names.
fn is_process(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_digit())
}
