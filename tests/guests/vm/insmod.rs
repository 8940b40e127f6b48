//! A guest that loads many module files one after the other, with the kernel's own system call or with the insmod of a given
//! kmod, and their results. One boot is enough for thousands of files: the effects of a module are read from its own folder in
//! /sys/module, and it is unloaded again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kmodlab::lab::initramfs::InitramfsBase;
use kmodlab::predict::{Decision, Userspace, Verdict};

use crate::bystanders::is_of_bystanders;
use crate::vm::compiled;

/// The way to load a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// finit_module(2) with these flags.
    Flags(u32),
    /// The insmod of kmod 30, Debian 12's.
    Kmod30,
    /// The insmod of kmod 34, Debian 13's.
    Kmod34,
    /// The same, with the option that forces the module in.
    ForcedKmod30,
    /// The same, with the option that forces the module in.
    ForcedKmod34,
}

/// A file to be loaded.
pub(crate) struct Trial {
    /// The module's name.
    pub(crate) module: String,
    /// The suffix of the file name, by which kmod recognises a module: `.ko.xz`.
    pub(crate) ending: &'static str,
    /// The file.
    pub(crate) bytes: Vec<u8>,
    pub(crate) by: By,
}

/// The result of loading a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProbeResult {
    /// The errno of finit_module(2), or the exit status of insmod; 0 for success.
    pub(crate) error: i32,
    /// The messages of insmod.
    pub(crate) says: Vec<String>,
    /// The kernel's log.
    pub(crate) log: Vec<String>,
    /// The taints of the module; `None` if it is not loaded.
    pub(crate) taint: Option<String>,
}

/// The time limit for a trial in a guest, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(2);
/// The time limit for booting.
const BOOT: Duration = Duration::from_secs(300);

/// Boots a kernel's image and runs all trials in order.
pub(crate) fn load(image: &[u8], trials: &[&Trial]) -> Vec<ProbeResult> {
    let folder = tempfile::tempdir().unwrap();
    let program = compiled("tests/guests/vm/insmod.c", folder.path());
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for (system, name) in [("bookworm", "kmod30"), ("trixie", "kmod34")] {
        files.extend(kmod(system).into_iter().map(|(file, bytes)| (format!("{name}/{file}"), bytes)));
    }
    let mut lines = String::new();
    for (number, trial) in trials.iter().enumerate() {
        // Equal files are stored once. kmod derives the module's name from the file name, so the file name must match.
        let same = trials.iter().position(|other| other.ending == trial.ending && other.bytes == trial.bytes);
        let file = format!("m/{}/{}{}", same.unwrap(), trial.module, trial.ending);
        let (flags, words) = match trial.by {
            By::Flags(flags) => (flags.to_string(), String::new()),
            By::Kmod30 => ("-".to_owned(), insmod("kmod30", "", &file)),
            By::Kmod34 => ("-".to_owned(), insmod("kmod34", "", &file)),
            By::ForcedKmod30 => ("-".to_owned(), insmod("kmod30", "-f", &file)),
            By::ForcedKmod34 => ("-".to_owned(), insmod("kmod34", "-f", &file)),
        };
        lines.push_str(&format!("{number} {flags} /{file} {} {words}\n", trial.module));
        files.entry(file).or_insert_with(|| trial.bytes.clone());
    }
    files.insert("trials".to_owned(), lines.into_bytes());
    let base = InitramfsBase::new(&program).unwrap();
    let archive = base.archive(files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()))).unwrap();
    let patience = BOOT + PATIENCE * trials.len() as u32;
    read(&run(folder.path(), image, &archive, patience), trials.len())
}

fn insmod(kmod: &str, force: &str, file: &str) -> String {
    format!("/{kmod}/ld.so --library-path /{kmod} --argv0 insmod /{kmod}/kmod {force} /{file}")
}

/// The kmod of a system that `tests/real/chroot` made, its libraries and its dynamic linker. Some of the libraries are only
/// opened when needed.
fn kmod(system: &str) -> BTreeMap<String, Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/real/root").join(system);
    assert!(root.join(".complete").exists(), "{system} is not there: run tests/real/chroot {system}");
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    let mut found = BTreeMap::new();
    let mut add = |name: &str, path: PathBuf| {
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        found.insert(name.to_owned(), bytes);
    };
    add("kmod", root.join("usr/bin/kmod"));
    add("ld.so", root.join("usr/lib64/ld-linux-x86-64.so.2"));
    for name in ["libc.so.6", "libcrypto.so.3", "liblzma.so.5", "libzstd.so.1", "libz.so.1"] {
        // Debian 12's kmod is built without zlib.
        if name != "libz.so.1" || libraries.join(name).exists() {
            add(name, libraries.join(name));
        }
    }
    found
}

/// Does the result agree with the prediction? Lines that are printed once per boot and that are in `said` are not expected
/// again.
pub(crate) fn compare(verdict: &Verdict, seen: &ProbeResult, said: &[&str]) -> Result<(), String> {
    let once = |line: &str| {
        let what = ["module verification failed: ", ": kernel tainted.", "module license '"];
        what.iter().any(|what| line.contains(what) && said.iter().any(|said| said.contains(what)))
    };
    let due: Vec<&str> = verdict.dmesg.iter().map(String::as_str).filter(|line| !once(line)).collect();
    let is_other = |line: &&&str| **line != "Disabling lock debugging due to kernel taint" && !is_of_bystanders(line);
    let lines: Vec<&str> = seen.log.iter().map(String::as_str).collect();
    let lines: Vec<&str> = lines.iter().filter(is_other).copied().collect();
    let wanted = verdict.errno.unwrap_or(0);
    match verdict.answer {
        Decision::Accepted if seen.error != 0 => return Err("accepted was predicted".to_owned()),
        Decision::Refused if seen.error == 0 => return Err(format!("errno {wanted} was predicted")),
        _ => {}
    }
    if let Some(words) = seen.says.last() {
        let due = Userspace::of(verdict.errno).kmod.unwrap_or("?");
        if !words.ends_with(&format!(": {due}")) {
            return Err(format!("errno {wanted} was predicted: {due:?}"));
        }
    } else if seen.error != wanted {
        return Err(format!("errno {wanted} was predicted"));
    }
    if lines != due {
        return Err(format!("predicted {due:?}"));
    }
    let taint = verdict.taint.as_deref().unwrap_or("?");
    match &seen.taint {
        Some(own) if sorted(own) != sorted(taint) => Err(format!("taint {taint:?} was predicted")),
        _ => Ok(()),
    }
}

/// The taints of a module are listed in a different order than the kernel's (`module_flags_taint`, kernel/module/main.c).
fn sorted(letters: &str) -> Vec<char> {
    let mut letters: Vec<char> = letters.chars().collect();
    letters.sort_unstable();
    letters
}

/// A guest that is ended with its test.
struct Guest(Child);

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the guest up to its last message; returns its output.
fn run(folder: &Path, image: &[u8], archive: &[u8], patience: Duration) -> String {
    let [kernel, initramfs, console, port] = ["image", "initramfs", "console", "port"].map(|name| folder.join(name));
    std::fs::write(&kernel, image).unwrap();
    std::fs::write(&initramfs, archive).unwrap();
    let memory = 512 + 2 * archive.len().div_ceil(1 << 20);
    let mut command = Command::new("qemu-system-x86_64");
    command.args(["-accel", "tcg", "-cpu", "max", "-nodefaults", "-no-reboot", "-display", "none", "-smp", "1"]);
    command.args(["-m", &memory.to_string(), "-kernel"]).arg(&kernel).arg("-initrd").arg(&initramfs);
    command.args(["-append", "console=ttyS0 panic=-1 rdinit=/kmodlab-agent printk.devkmsg=on log_buf_len=4M"]);
    for file in [&console, &port] {
        command.arg("-serial").arg(format!("file:{}", file.display()));
    }
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    let mut guest = Guest(child.expect("qemu-system-x86_64: tests/run installs what the tests need"));
    let begun = Instant::now();
    loop {
        let text =
            std::fs::read(&port).map(|bytes| String::from_utf8_lossy(&bytes).replace('\r', "")).unwrap_or_default();
        if text.ends_with("over\n") {
            return text;
        }
        let ended = guest.0.try_wait().unwrap().is_some();
        if ended || begun.elapsed() > patience {
            let said = std::fs::read(&console).unwrap_or_default();
            let said = String::from_utf8_lossy(&said[said.len().saturating_sub(4000)..]).into_owned();
            panic!(
                "the guest {} after {:?}\n{}\n{said}",
                if ended { "ended" } else { "hangs" },
                begun.elapsed(),
                text.lines().last().unwrap_or_default()
            );
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn read(text: &str, count: usize) -> Vec<ProbeResult> {
    let (mut all, mut seen) = (Vec::new(), ProbeResult::default());
    for line in text.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "trial" => assert_eq!(rest, all.len().to_string()),
            "log" => seen.log.push(rest.to_owned()),
            "says" => seen.says.push(rest.to_owned()),
            "ends" => {
                let (error, taint) = rest.split_once(' ').unwrap();
                seen.error = error.parse().unwrap();
                seen.taint = (taint != ".").then(|| taint.replace('-', ""));
                all.push(std::mem::take(&mut seen));
            }
            "over" => {}
            _ => panic!("{line:?}"),
        }
    }
    assert_eq!(all.len(), count);
    all
}
