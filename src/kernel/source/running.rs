//! The running kernel: /proc and /sys, its module tree, and its image in /boot. Nothing here writes.
//!
//! An update that kept the release may have replaced the image since the boot: an image is used only if its version line is
//! that of the running kernel.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::kernel::collect::FileSink;
use crate::kernel::facts::{Fact, Facts, Policy};
use crate::kernel::lookup::KernelQuestion;
use crate::kernel::merge::{FactSink, merge};
use crate::kernel::origin::Origin;
use crate::kernel::place::{FileRole, KernelGroup};
use crate::kernel::source::{KernelSource, folder};
use crate::kernel::stored::StoredModule;
use crate::kernel::{cached, config, packed, symvers, system_map};
use crate::module;

/// The most bytes that are read of a file of /proc or /sys.
const MOST: u64 = 256 << 20;

/// The kernel that runs below a root folder.
pub(in crate::kernel) struct RunningSystem<'r> {
    root: &'r Path,
}

impl<'r> RunningSystem<'r> {
    /// The kernel of this machine with the root folder `/`; any other root folder is a test's.
    pub(in crate::kernel) fn new(root: &'r Path) -> RunningSystem<'r> {
        RunningSystem { root }
    }
}

impl KernelSource for RunningSystem<'_> {
    fn add_facts(&self, sink: &mut FactSink, question: &KernelQuestion<'_>) -> Result<()> {
        sink.add(&Origin::RunningSystem, facts(self.root, question)?)
    }

    fn add_files(&self, sink: &mut FileSink, question: &KernelQuestion<'_>) -> Result<()> {
        files(self.root, sink, question)
    }

    fn each_module(&self, _: &KernelQuestion<'_>, each: &mut dyn FnMut(StoredModule) -> Result<()>) -> Result<()> {
        let release = release(self.root);
        let group = KernelGroup::Release(release.clone());
        let mut trees = trees(self.root, &release).take(1);
        trees.try_for_each(|tree| folder::each_module_of_tree(&tree, &group, each))
    }
}

/// The facts of the running kernel that this user may read. `root` is `/`, or a test's folder.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] if no source has its version magic, [`ErrorKind::Malformed`] if the version magic found is another
/// kernel's.
pub(in crate::kernel) fn facts(root: &Path, question: &KernelQuestion<'_>) -> Result<Facts> {
    let release = release(root);
    let fact = |value: Option<String>, path: &str| value.map(|value| Fact { value, source: proc(path) });
    let own = Facts {
        release: fact(Some(release.clone()), "proc/sys/kernel/osrelease"),
        banner: fact(text(root, "proc/version"), "proc/version"),
        btf: bytes(root, "sys/kernel/btf/vmlinux")
            .map(|value| Fact { value: Arc::from(value), source: proc("sys/kernel/btf/vmlinux") }),
        policy: Some(Fact { value: policy(root), source: Origin::RunningSystem }),
        ..Facts::default()
    };
    let packed = bytes(root, "proc/config.gz");
    let unpacked = packed.and_then(|bytes| {
        question.budget.admit(bytes.len());
        Some(packed::unpack(&bytes, question.budget).ok()?.into_owned())
    });
    let own_config = unpacked.map(|text| config::facts(&String::from_utf8_lossy(&text), &proc("proc/config.gz")));
    let mut facts = merge(own, own_config.unwrap_or_default());
    for image in images(root, &release) {
        facts = with_image(facts, &image, question);
    }
    let mut is_of_image = facts.vermagic.is_some();
    for tree in trees(root, &release) {
        if facts.tree.is_none() {
            facts = with_image(facts, &tree.join("vmlinuz"), question);
            is_of_image |= facts.vermagic.is_some();
            facts = merge(facts, folder::tree(&tree, question));
        }
    }
    if !facts.exports.as_ref().is_some_and(|exports| exports.value.complete) {
        for path in ["proc/kallsyms".to_owned(), format!("boot/System.map-{release}")] {
            let map = text(root, &path).map(|text| system_map::facts(&text, &proc(&path)));
            facts = merge(facts, map.unwrap_or_default());
        }
        for file in folder::symvers(root, &release, trees(root, &release).take(1)) {
            // A file that is too large or gone by now is skipped.
            let Ok(bytes) = folder::read_text(&file, question) else { continue };
            facts = merge(facts, symvers::read(&bytes, &Origin::File(file), question.budget));
        }
    }
    let path = format!("boot/config-{release}");
    let config = text(root, &path).map(|text| config::facts(&text, &proc(&path)));
    facts = merge(facts, config.unwrap_or_default());

    let Some(vermagic) = &facts.vermagic else {
        let has_no_modules = facts.config.as_ref().is_some_and(|config| !config.value.contains_key("MODULES"));
        if facts.messages.is_some() || facts.stripped.is_some() || has_no_modules {
            return Ok(facts);
        }
        let what = format!("the running kernel ({release}) has no module or image here with its version magic");
        let hint = "name it by vermagic:STRING, or by a module of that kernel";
        return Err(Error::new(ErrorKind::NotFound, what).hint(hint).on("running"));
    };
    let says = vermagic.value.release().map(|token| token.text.clone()).unwrap_or_default();
    // The running image has its own string, which may be a constant; modules may be another kernel's.
    if says != release && !is_of_image {
        let what = format!("{} says {says}, but the running kernel is {release}", vermagic.source);
        return Err(Error::new(ErrorKind::Malformed, what).hint("name the kernel by vermagic:STRING").on("running"));
    }
    Ok(facts)
}

/// Adds the running kernel's image and its wanted modules.
///
/// # Errors
///
/// [`ErrorKind::Io`] for a file that exists and cannot be read.
pub(in crate::kernel) fn files(root: &Path, found: &mut FileSink, question: &KernelQuestion<'_>) -> Result<()> {
    let release = release(root);
    let banner = text(root, "proc/version");
    let group = KernelGroup::Release(release.clone());
    let trees: Vec<PathBuf> = trees(root, &release).collect();
    for image in images(root, &release).into_iter().chain(trees.iter().map(|tree| tree.join("vmlinuz"))) {
        let path = image.display().to_string();
        match cached::image(&Origin::File(image.clone()), &image, question) {
            Ok(theirs) if is_running(banner.as_deref(), &theirs) => {
                found.add(FileRole::Image, &group, &path, folder::read(&image, question)?);
            }
            // On some systems only root can read the image.
            Err(error) if error.is_errno(rustix::io::Errno::ACCESS) => return Err(error.on(image)),
            Ok(_) | Err(_) => {}
        }
    }
    trees.iter().take(1).try_for_each(|tree| folder::tree_modules(tree, &group, found, question))
}

/// The origin of a file of the running system.
fn proc(path: &str) -> Origin {
    Origin::File(Path::new("/").join(path))
}

/// The running kernel's release.
fn release(root: &Path) -> String {
    text(root, "proc/sys/kernel/osrelease").unwrap_or_else(|| {
        // Without /proc, uname(2) has the same.
        rustix::system::uname().release().to_string_lossy().into_owned()
    })
}

/// The possible paths of its image in `/boot`.
fn images(root: &Path, release: &str) -> [PathBuf; 2] {
    ["boot/vmlinuz-", "boot/vmlinux-"].map(|start| root.join(format!("{start}{release}")))
}

/// The folders with its modules; the first is used.
fn trees(root: &Path, release: &str) -> impl Iterator<Item = PathBuf> {
    let trees = ["lib/modules", "usr/lib/modules"].map(|modules| root.join(modules).join(release));
    trees.into_iter().filter(|tree| tree.is_dir())
}

/// Adds the facts of an image, if it exists, can be read, and is the running one.
fn with_image(facts: Facts, image: &Path, question: &KernelQuestion<'_>) -> Facts {
    match cached::image(&Origin::File(image.to_owned()), image, question) {
        Ok(theirs) if is_running(facts.banner.as_ref().map(|banner| banner.value.as_str()), &theirs) => {
            merge(facts, theirs)
        }
        _ => facts,
    }
}

/// Has the image the running kernel's version line? If one of both is not known, it is taken for the running one.
fn is_running(banner: Option<&str>, image: &Facts) -> bool {
    let theirs = image.banner.as_ref().map(|banner| banner.value.trim_end());
    banner.zip(theirs).is_none_or(|(ours, theirs)| ours.trim_end() == theirs)
}

/// The bytes of a file of /proc or /sys, which have no size in their metadata.
fn bytes(root: &Path, path: &str) -> Option<Vec<u8>> {
    module::file::read_small(&root.join(path), MOST).ok().filter(|bytes| !bytes.is_empty())
}

fn text(root: &Path, path: &str) -> Option<String> {
    bytes(root, path).map(|bytes| String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

fn policy(root: &Path) -> Policy {
    let text = |path: &str| text(root, path);
    let is_on = |text: String| matches!(text.as_str(), "Y" | "1");
    // The last one is used, as for every parameter (kernel/params.c).
    let blacklist = text("proc/cmdline").and_then(|line| {
        let mut words = line.split_ascii_whitespace().filter_map(|word| word.strip_prefix("module_blacklist="));
        words.next_back().map(|names| names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect())
    });
    let loaded = std::fs::read_dir(root.join("sys/module")).into_iter().flatten().flatten();
    let mut loaded: Vec<String> = loaded.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    loaded.sort();
    Policy {
        sig_enforce: text("sys/module/module/parameters/sig_enforce").map(is_on),
        // The current level is in brackets (security/lockdown/lockdown.c).
        locked_down: text("sys/kernel/security/lockdown").map(|levels| !levels.contains("[none]")),
        modules_disabled: text("proc/sys/kernel/modules_disabled").map(is_on),
        blacklist: blacklist.unwrap_or_default(),
        loaded,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::budget::WorkBudget;
    use crate::kernel::lookup::Lookup;

    const LOOKUP: Lookup = Lookup { max_size: 1 << 20, cache: None };

    fn facts(root: &Path) -> Result<Facts> {
        super::facts(root, &KernelQuestion::new(&LOOKUP, &WorkBudget::new(LOOKUP.max_size)))
    }

    /// A root folder of a machine that runs the kernel of a fixture.
    fn machine(release: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &[u8]| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("proc/sys/kernel/osrelease", format!("{release}\n").as_bytes());
        put("proc/version", format!("Linux version {release} (me)\n").as_bytes());
        put("proc/cmdline", b"quiet module_blacklist=a module_blacklist=floppy,pcspkr ro\n");
        put("sys/kernel/security/lockdown", b"none [integrity] confidentiality\n");
        put("sys/module/module/parameters/sig_enforce", b"N\n");
        put("sys/module/loop/refcnt", b"0\n");
        let module = include_bytes!("../../../fixtures/modules/hello-4.ko");
        put(&format!("lib/modules/{release}/kernel/hello-4.ko"), module);
        put(&format!("boot/config-{release}"), b"CONFIG_MODULES=y\n");
        root
    }

    #[test]
    fn facts_come_from_the_running_system_and_its_modules() {
        let root = machine("6.1.0-47-amd64");
        let facts = facts(root.path()).unwrap();
        assert_eq!(facts.vermagic.unwrap().value.as_bytes(), b"6.1.0-47-amd64 SMP preempt mod_unload modversions ");
        assert_eq!(facts.banner.unwrap().value, "Linux version 6.1.0-47-amd64 (me)");
        assert_eq!(facts.tree.unwrap().value.modules.len(), 1);
        assert_eq!(facts.config.unwrap().value["MODULES"], "y");
        let policy = facts.policy.unwrap().value;
        assert_eq!((policy.sig_enforce, policy.locked_down, policy.modules_disabled), (Some(false), Some(true), None));
        assert_eq!(policy.blacklist, ["floppy", "pcspkr"]);
        assert_eq!(policy.loaded, ["loop", "module"]);
    }

    #[test]
    fn compressed_exports_are_used_without_an_image() {
        let root = machine("6.1.0-47-amd64");
        let text = b"0x00000001\tkfree\tvmlinux\tEXPORT_SYMBOL\t\n";
        let packed = zstd::encode_all(text.as_slice(), 3).unwrap();
        fs::write(root.path().join("lib/modules/6.1.0-47-amd64/symvers.zst"), packed).unwrap();
        let exports = facts(root.path()).unwrap().exports.unwrap().value;
        assert!(exports.complete && exports.symbols["kfree"].crc == Some(1));
    }

    #[test]
    fn modules_of_another_kernel_are_an_error() {
        let root = machine("6.1.0-48-amd64");
        let error = facts(root.path()).unwrap_err();
        assert!(error.to_string().contains("says 6.1.0-47-amd64, but the running kernel is 6.1.0-48-amd64"), "{error}");
    }

    #[test]
    fn the_running_image_may_have_a_constant_version_magic() {
        let root = machine("6.1.0-1-kmodlab");
        let mut image = include_bytes!("../../../fixtures/kernels/vmlinux-amd64").to_vec();
        let at = memchr::memmem::find(&image, b"6.1.0-1-kmodlab SMP").unwrap();
        image[at..at + 15].copy_from_slice(b"vendor-constant");
        let banner = crate::kernel::image::facts(&Origin::default(), &image, &WorkBudget::new(1 << 20))
            .unwrap()
            .banner
            .unwrap()
            .value;
        fs::write(root.path().join("proc/version"), banner).unwrap();
        fs::write(root.path().join("boot/vmlinuz-6.1.0-1-kmodlab"), image).unwrap();
        let vermagic = facts(root.path()).unwrap().vermagic.unwrap().value;
        assert_eq!(vermagic.as_bytes(), b"vendor-constant SMP preempt mod_unload modversions ");
    }

    #[test]
    fn a_kernel_that_loads_no_modules_has_its_other_facts() {
        let root = machine("6.1.0-47-amd64");
        fs::remove_dir_all(root.path().join("lib")).unwrap();
        fs::write(root.path().join("boot/config-6.1.0-47-amd64"), "CONFIG_SMP=y\n").unwrap();
        let facts = facts(root.path()).unwrap();
        assert!(facts.vermagic.is_none() && facts.banner.is_some() && facts.policy.is_some());
    }

    #[test]
    fn an_image_that_was_replaced_since_the_boot_is_not_used() {
        let root = machine("6.1.0-47-amd64");
        let image = include_bytes!("../../../fixtures/kernels/vmlinux-amd64");
        fs::write(root.path().join("boot/vmlinuz-6.1.0-47-amd64"), image).unwrap();
        let facts = facts(root.path()).unwrap();
        assert!(!facts.exports.is_some_and(|exports| exports.value.complete));
    }

    #[test]
    fn its_files_are_its_modules_and_the_image_that_it_was_booted_from() {
        let root = machine("6.1.0-1-kmodlab");
        let files = || {
            let mut found = FileSink::new(&["hello_4".to_owned()].into());
            let budget = WorkBudget::new(LOOKUP.max_size);
            let question = KernelQuestion::new(&LOOKUP, &budget);
            files(root.path(), &mut found, &question).unwrap();
            found.files(question.budget).unwrap()
        };
        assert!(files().image.is_none() && files().modules.contains_key("hello_4"));
        let image = include_bytes!("../../../fixtures/kernels/vmlinux-amd64");
        fs::write(root.path().join("boot/vmlinuz-6.1.0-1-kmodlab"), image).unwrap();
        // An update has put another of the same release in its place.
        assert!(files().image.is_none());
        let banner = crate::kernel::image::facts(&Origin::default(), image, &WorkBudget::new(1 << 20))
            .unwrap()
            .banner
            .unwrap()
            .value;
        fs::write(root.path().join("proc/version"), banner).unwrap();
        assert_eq!(files().image.unwrap().1, image);
    }

    #[test]
    fn without_modules_and_image_there_is_no_version_magic() {
        let root = machine("6.1.0-47-amd64");
        fs::remove_dir_all(root.path().join("lib")).unwrap();
        assert_eq!(facts(root.path()).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
