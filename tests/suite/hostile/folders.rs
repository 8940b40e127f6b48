//! Promise: a file in a folder is opened like a file that is named: only a regular one, without waiting, and up to a limit.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::hostile::bounds::cost;
use crate::hostile::fixture;

use crate::support::in_own_process;

/// A root folder with one module, whose tree and `/boot` are the places for files that are not what they should be.
struct Root(tempfile::TempDir);

impl Root {
    fn new() -> Root {
        let root = Root(tempfile::tempdir().unwrap());
        fs::create_dir_all(root.path("lib/modules/6.1/kernel")).unwrap();
        fs::create_dir(root.path("boot")).unwrap();
        fs::copy(fixture("modules/hello-4.ko"), root.path("lib/modules/6.1/kernel/hello-4.ko")).unwrap();
        root
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    /// A file that is a hole of 3 GiB.
    fn hole(&self, below: &str) {
        File::create(self.path(below)).unwrap().set_len(3 << 30).unwrap();
    }

    fn fifo(&self, below: &str) {
        mknodat(CWD, self.path(below), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    }

    /// Asks for the kernel in it. The answer comes, whichever it is, with the memory for files of `size` bytes, and its status is
    /// returned.
    fn ask(&self, what: &str, size: usize) -> Option<i32> {
        let cost = cost([Path::new("kernel"), self.0.path()]);
        cost.is_bounded(what, size as u64);
        assert!(cost.err.lines().count() <= 1, "{what}: {}", cost.err);
        cost.status.code()
    }
}

#[test]
fn a_hole_of_gigabytes_is_not_read() {
    if !in_own_process!() {
        return;
    }
    for place in ["boot/vmlinuz-6.1", "boot/config-6.1", "boot/System.map-6.1", "lib/modules/6.1/Module.symvers"] {
        let root = Root::new();
        root.hole(place);
        assert_eq!(root.ask(&format!("{place} with a hole"), 0), Some(2));
    }
    // Lists of modules only add to what the modules themselves say.
    for place in ["modules.dep", "modules.order", "modules.builtin", "modules.builtin.modinfo"] {
        let root = Root::new();
        root.hole(&format!("lib/modules/6.1/{place}"));
        assert_eq!(root.ask(&format!("{place} with a hole"), 0), Some(0));
    }
}

#[test]
fn what_is_no_regular_file_is_passed_over() {
    if !in_own_process!() {
        return;
    }
    let places =
        ["boot/vmlinuz-6.1", "boot/config-6.1", "lib/modules/6.1/Module.symvers", "lib/modules/6.1/modules.dep"];
    for place in places {
        let root = Root::new();
        root.fifo(place);
        assert_eq!(root.ask(&format!("{place} as a FIFO"), 0), Some(0));
        // A name is looked up in the same tree.
        let found = cost(["show", "-F", "name", "-k", "6.1", "-b", root.0.path().to_str().unwrap(), "hello_4"]);
        found.is_bounded(&format!("a module next to {place} as a FIFO"), 0);
    }
    let root = Root::new();
    std::os::unix::fs::symlink("/dev/zero", root.path("boot/config-6.1")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", root.path("lib/modules/6.1/modules.dep")).unwrap();
    assert_eq!(root.ask("devices", 0), Some(0));
}

#[test]
fn a_list_of_one_long_line_and_a_configuration_of_many_options_take_little_memory() {
    if !in_own_process!() {
        return;
    }
    const LONG: usize = 200 << 20;
    let root = Root::new();
    fs::write(root.path("lib/modules/6.1/modules.dep"), vec![b'a'; LONG]).unwrap();
    assert_eq!(root.ask("modules.dep of one line", LONG), Some(0));
    let root = Root::new();
    let options: String = (0..1_000_000).map(|number| format!("CONFIG_{number:x}=\n")).collect();
    fs::write(root.path("boot/config-6.1"), &options).unwrap();
    root.ask("a configuration of a million options", options.len());
}
