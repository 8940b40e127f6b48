//! The memory use for the worst files. The times are printed but not checked, since they depend on the machine.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::hostile::forge::{self, Bomb};
use crate::hostile::{KMODLAB, fixtures, name};

use crate::support::in_own_process;

/// The memory that any file may take, however small it is, in bytes: for the program itself, and for a decompressor. A program that is
/// not optimised is larger itself.
pub(crate) const FLOOR: u64 = if cfg!(debug_assertions) { 80 << 20 } else { 64 << 20 };

/// The resources that a run used.
pub(crate) struct Cost {
    pub(crate) status: ExitStatus,
    /// The peak memory in bytes.
    pub(crate) memory: u64,
    pub(crate) time: Duration,
    /// The processor time in user mode.
    pub(crate) cpu: Duration,
    /// The processor time in the kernel.
    pub(crate) system: Duration,
    pub(crate) err: String,
}

/// Runs the program to its end, and asks the kernel which resources it used.
pub(crate) fn cost<A: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = A>) -> Cost {
    let folder = tempfile::tempdir().unwrap();
    let err = folder.path().join("err");
    let mut command = Command::new(KMODLAB);
    command
        .args(arguments)
        .env("XDG_CACHE_HOME", crate::hostile::CACHE)
        .stdout(Stdio::null())
        .stderr(fs::File::create(&err).unwrap());
    let start = Instant::now();
    #[allow(clippy::zombie_processes, reason = "wait4 in the next line waits for it")]
    let child = command.spawn().unwrap();
    restrain(&child);
    let (status, usage) = wait4(child.id());
    let time = start.elapsed();
    // In KiB (getrusage(2)). The child starts as a copy of this process, so this process's own peak is in it.
    let memory = u64::try_from(usage.ru_maxrss).unwrap() << 10;
    let [cpu, system] = [usage.ru_utime, usage.ru_stime].map(|time| {
        Duration::from_secs(u64::try_from(time.tv_sec).unwrap())
            + Duration::from_micros(u64::try_from(time.tv_usec).unwrap())
    });
    Cost { status, memory, time, cpu, system, err: fs::read_to_string(err).unwrap() }
}

/// A file that breaks the promise should fail its test without harming the machine: 2 GiB of memory, and 30 seconds.
fn restrain(child: &Child) {
    for (resource, most) in [(Resource::As, 2 << 30), (Resource::Cpu, 30)] {
        // It fails if the child has already ended, which is fine.
        let _ = prlimit(Some(Pid::from_child(child)), resource, Rlimit { current: Some(most), maximum: Some(most) });
    }
}

/// wait4(2): waits for a child, and returns what it used.
fn wait4(child: u32) -> (ExitStatus, libc::rusage) {
    let child = libc::pid_t::try_from(child).unwrap();
    let mut status = 0;
    // SAFETY: all fields are numbers, and 0 is one.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to local variables of the types that the call writes.
    let waited = unsafe { libc::wait4(child, &raw mut status, 0, &raw mut usage) };
    assert_eq!(waited, child);
    (ExitStatus::from_raw(status), usage)
}

/// The peak memory of this process itself: a smaller value cannot be measured in a child.
pub(crate) fn own_peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

impl Cost {
    /// Checks that the program answered, and that its memory use was within the limit.
    pub(crate) fn is_bounded(&self, what: &str, size: u64) -> &Cost {
        let Cost { status, err, .. } = self;
        assert!(matches!(status.code(), Some(0..=2)), "{what}: {status}, {err}");
        self.takes_little_memory(what, size)
    }

    /// As [`Cost::is_bounded`], for any exit status.
    pub(crate) fn takes_little_memory(&self, what: &str, size: u64) -> &Cost {
        let Cost { status, memory, time, err, .. } = self;
        let at_most = if *memory <= own_peak() { "≤" } else { "" };
        println!("{what:<64} {size:>8} {at_most:>3}{:>4} MiB {:>5} ms  {status}", memory >> 20, time.as_millis());
        assert!(!err.contains("panicked at"), "{what}: {err}");
        let limit = (4 * size).max(FLOOR).max(own_peak());
        assert!(*memory <= limit, "{what} took {} MiB of memory", memory >> 20);
        self
    }
}

#[test]
fn a_hostile_fixture_takes_little_memory() {
    if !in_own_process!() {
        return;
    }
    for path in fixtures("hostile") {
        let size = fs::metadata(&path).unwrap().len();
        let cost = cost([Path::new("show"), &path]);
        assert_eq!(cost.is_bounded(name(&path), size).status.code(), Some(2));
    }
}

/// Makes a bomb of 10 GiB that starts with these bytes, and checks that it is refused for that reason without being
/// decompressed.
fn is_left_at_once(container: &str, make: Bomb, head: &[u8; 64], words: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.ko");
    make(&path, head);
    let cost = cost([Path::new("show"), &path]);
    cost.is_bounded(&format!("10 GiB of zeros as {container}: {words}"), 0);
    assert!(cost.err.contains(words), "{}", cost.err);
    assert_eq!((cost.status.code(), cost.err.lines().count()), (Some(2), 1));
}

#[test]
fn a_bomb_of_ten_gigabytes_is_refused_at_once() {
    if !in_own_process!() {
        return;
    }
    let bombs: [(&str, Bomb); 3] = [("zst", forge::zstd_bomb), ("xz", forge::xz_bomb), ("gz", forge::gzip_bomb)];
    for (container, make) in bombs {
        is_left_at_once(container, make, &forge::ends_soon(), "long after the end of its ELF image");
        is_left_at_once(container, make, &forge::has_no_class(), "unknown class");
        is_left_at_once(container, make, &forge::has_strange_headers(), "section headers of 65 bytes");
        is_left_at_once(container, make, &forge::ends_at_the_end(), "exceeds the limit");
        if container != "gz" {
            // gzip compresses at most 1032 to 1, so its bomb is a large file, which may become a large image.
            is_left_at_once(container, make, &forge::ends_below_the_limit(), "no module shrinks like that");
        }
    }
}

/// A file that is expensive to read, by name, and how many parts it has.
type Made = (&'static str, fn(usize) -> Vec<u8>, usize);

#[test]
fn a_module_made_to_cost_takes_little_memory() {
    if !in_own_process!() {
        return;
    }
    const MADE: [Made; 11] = [
        ("one name for all symbols", forge::one_name_for_all_symbols, 40_000),
        ("names within names", forge::names_within_names, 40_000),
        ("one name for all sections", forge::one_name_for_all_sections, 20_000),
        ("notes read again and again", forge::notes_read_again_and_again, 20_000),
        ("imports times versions", forge::imports_times_versions, 40_000),
        ("exports times sections", forge::exports_times_sections, 40_000),
        ("one namespace for all exports", forge::one_namespace_for_all_exports, 40_000),
        ("parameters", forge::parameters, 60_000),
        ("shortest strings", forge::shortest_strings, 500_000),
        ("a version magic of words", forge::vermagic_of_words, 500_000),
        ("the smallest symbols", forge::smallest_symbols, 40_000),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("costly.ko");
    for (what, make, count) in MADE {
        let bytes = make(count);
        fs::write(&path, &bytes).unwrap();
        for words in [
            ["show"].as_slice(),
            &["show", "--json"],
            &["show", "--modinfo"],
            &["check", "--kernel", "vermagic:6.1"],
            &["patch", "-n", "--vermagic", "6.1 "],
        ] {
            let cost = cost(words.iter().map(Path::new).chain([path.as_path(), "--state-dir".as_ref(), folder.path()]));
            cost.is_bounded(&format!("{what}: {}", words.join(" ")), bytes.len() as u64);
        }
    }
}

#[test]
fn modules_that_differ_everywhere_are_compared_in_little_memory() {
    if !in_own_process!() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let files = [1, 2].map(|byte| {
        let path = folder.path().join(format!("{byte}.ko"));
        fs::write(&path, forge::every_other_byte(byte)).unwrap();
        path
    });
    let size = files.iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    let cost = cost([Path::new("diff"), &files[0], &files[1]]);
    assert_eq!(cost.is_bounded("every other byte differs: diff", size).status.code(), Some(1));
}
