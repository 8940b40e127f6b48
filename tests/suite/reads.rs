//! Promise: a question reads only what its answer needs. System calls and bytes are counted; times differ from machine to machine.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::support::KMODLAB;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/modules");

/// What a run wrote, and its system calls: the lines of strace, with the paths of descriptors.
struct Traced {
    out: String,
    err: String,
    calls: Vec<String>,
}

fn traced<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Traced {
    let trace = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-y", "-o"]).arg(trace.path()).arg(KMODLAB).args(arguments);
    let output = command.output().expect("this test needs strace: install the package strace");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert_eq!(output.status.code(), Some(0), "{command:?}: {err}");
    let calls = fs::read_to_string(trace.path()).unwrap();
    let calls = calls.lines().filter_map(|line| line.split_once(' ')).map(|(_, call)| call.trim().to_owned());
    Traced { out, err, calls: calls.collect() }
}

impl Traced {
    /// The calls with one of these names.
    fn of<'t>(&'t self, names: &'t [&str]) -> impl Iterator<Item = &'t String> {
        self.calls.iter().filter(|call| call.split_once('(').is_some_and(|(name, _)| names.contains(&name)))
    }

    /// The paths that were opened, each with its number of times.
    fn opened(&self) -> BTreeMap<String, usize> {
        let mut opened = BTreeMap::new();
        for call in self.of(&["open", "openat", "openat2"]) {
            // The descriptor, with its path, follows the last equals sign.
            if let Some((_, path)) = call.rsplit_once(" = ").and_then(|(_, descriptor)| descriptor.split_once('<')) {
                *opened.entry(path.trim_end_matches('>').to_owned()).or_default() += 1;
            }
        }
        opened
    }
}

/// The result of a call: how much was read.
fn result(call: &str) -> usize {
    call.rsplit_once(" = ").and_then(|(_, result)| result.parse().ok()).unwrap_or_else(|| panic!("{call}"))
}

/// A module of 64-bit and little-endian ELF, with so many bytes between its header and its sections.
fn with_gap(module: &[u8], gap: usize) -> Vec<u8> {
    let number = |bytes: &[u8]| usize::try_from(u64::from_le_bytes(bytes.try_into().unwrap())).unwrap();
    let (table, count) = (number(&module[40..48]), usize::from(module[60]));
    let mut with = [&module[..64], &vec![0; gap], &module[64..]].concat();
    let mut shift = |at: usize| {
        let offset = number(&with[at..at + 8]) + gap;
        with[at..at + 8].copy_from_slice(&(offset as u64).to_le_bytes());
    };
    shift(40);
    // The first header is that of no section; sh_offset is at byte 24 of each.
    (1..count).for_each(|section| shift(table + gap + 64 * section + 24));
    with
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn a_listing_of_modinfo_reads_the_headers_and_the_modinfo_of_a_large_module() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap().join("large.ko");
    let module = fs::read(format!("{FIXTURES}/hello-4-signed.ko")).unwrap();
    fs::write(&path, with_gap(&module, 4 << 20)).unwrap();
    let path = path.to_str().unwrap();
    for (listing, printed) in [
        (["-F", "vermagic"].as_slice(), "6.1.0-47-amd64 SMP preempt mod_unload modversions \n"),
        (&["-F", "signer"], "kmodlab fixture signing key\n"),
        (&["--modinfo"], "vermagic:       6.1.0-47-amd64"),
        (&["-p"], "whom:Whom to greet (charp)\n"),
        (&["-0"], "vermagic=6.1.0-47-amd64"),
    ] {
        let traced = traced([&["show"], listing, &[path]].concat());
        assert!(traced.out.contains(printed), "{listing:?}: {}", traced.out);
        assert_eq!(traced.opened()[path], 1, "{listing:?}");
        let of_module = |names| traced.of(names).filter(|call| call.contains(&format!("<{path}>"))).collect::<Vec<_>>();
        assert_eq!(of_module(&["mmap", "fcntl"]), [] as [&String; 0], "{listing:?}");
        let reads = of_module(&["read", "pread64", "readv", "preadv", "preadv2"]);
        let bytes: usize = reads.iter().map(|call| result(call)).sum();
        println!(
            "show {}: {} reads, {bytes} bytes of {}",
            listing.join(" "),
            reads.len(),
            fs::metadata(path).unwrap().len()
        );
        assert!(reads.len() <= 4 && bytes <= 16 << 10, "{listing:?}: {bytes} bytes: {reads:#?}");
    }
}

/// Nor are the announced writes of an interrupted run read, which may be very many.
#[test]
#[ignore = "needs strace: tests/run runs it"]
fn a_plan_for_one_module_reads_each_list_of_packages_once_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().canonicalize().unwrap();
    let (module, state) = (home.join("hello.ko"), home.join("state"));
    fs::copy(format!("{FIXTURES}/hello-4.ko"), &module).unwrap();
    let intent = state.join("intents/1-1.jsonl");
    fs::create_dir_all(intent.parent().unwrap()).unwrap();
    fs::write(&intent, "no intent\n").unwrap();
    for (path, mode) in [(&*state, 0o700), (intent.parent().unwrap(), 0o700), (&*intent, 0o600)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let words = ["patch", "-n", "--vermagic", "6.1.0-48-amd64 SMP preempt mod_unload modversions ", "--state-dir"];
    let traced = traced(words.map(Path::new).into_iter().chain([&*state, &*module]));
    assert!(traced.out.contains("\n  digest "), "{}", traced.out);
    assert!(traced.err.contains("an interrupted run left something"), "{}", traced.err);

    let opened = traced.opened();
    let is_package_list = |path: &str| path.starts_with("/var/lib/dpkg/info/");
    assert!(!opened.contains_key(intent.to_str().unwrap()), "{opened:?}");
    assert_eq!(opened[module.to_str().unwrap()], 1);
    for (path, times) in opened.iter().filter(|(path, _)| is_package_list(path)) {
        assert!(path.ends_with(".list") && *times == 1, "{path}: {times} times");
    }
    let lists = fs::read_dir("/var/lib/dpkg/info").into_iter().flatten().flatten();
    let lists = lists.filter(|entry| entry.path().extension() == Some("list".as_ref()));
    let sizes: Vec<u64> = lists.map(|list| list.metadata().unwrap().len()).collect();
    let calls = traced.calls.iter().filter(|call| call.contains("/var/lib/dpkg/info/")).count() as u64;
    println!("{} lists of packages, {} bytes, in {calls} calls", sizes.len(), sizes.iter().sum::<u64>());
    // To open, read, and close a list. A large one is read in parts.
    let enough = sizes.iter().map(|size| 3 + (size >> 15)).sum();
    assert!(calls <= enough, "{calls} calls, {enough} are enough");

    let writes = ["O_WRONLY", "O_RDWR", "O_CREAT"];
    assert!(!traced.of(&["openat"]).any(|call| writes.iter().any(|flag| call.contains(flag))));
    let changes = [
        "mkdir",
        "mkdirat",
        "rename",
        "renameat",
        "renameat2",
        "unlink",
        "unlinkat",
        "ftruncate",
        "fsync",
        "fdatasync",
    ];
    assert_eq!(traced.of(&changes).collect::<Vec<_>>(), [] as [&String; 0]);
    assert_eq!(traced.of(&["clone", "clone3", "vfork"]).collect::<Vec<_>>(), [] as [&String; 0]);
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn the_version_is_printed_without_a_look_at_the_machine() {
    let traced = traced(["--version"]);
    assert_eq!(traced.out, concat!("kmodlab ", env!("CARGO_PKG_VERSION"), "\n"));
    let is_of_start = |path: &str| path.contains(".so") || path.ends_with("/maps");
    let others: Vec<String> = traced.opened().into_keys().filter(|path| !is_of_start(path)).collect();
    assert_eq!(others, [] as [&str; 0]);
    assert_eq!(traced.of(&["clone", "clone3", "vfork"]).collect::<Vec<_>>(), [] as [&String; 0]);
}
