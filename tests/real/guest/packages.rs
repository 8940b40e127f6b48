//! Kernels and modules out of the packages that `tests/real/fetch` keeps.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kmodlab::module::container::Container;
use sha2::{Digest, Sha256};

/// The kernels that are asked, by the names that `tests/real/fetch` gives them.
pub(crate) const KERNELS: [&str; 5] =
    ["amd64-5.10-cloud", "amd64-6.1-cloud", "amd64-6.1-rt", "amd64-6.12", "amd64-7.2"];

/// Modules that all five packages have. Such as import next to nothing; export; need others; take part in a symbol
/// namespace (xcbc); have parameters; do work in their init (raid6_pq, xor); print there (bonding, tun).
pub(crate) const MODULES: [&str; 24] = [
    "8021q",
    "bonding",
    "brd",
    "crc_itu_t",
    "cuse",
    "dummy",
    "ifb",
    "isofs",
    "llc",
    "loop",
    "lz4hc_compress",
    "macvlan",
    "md4",
    "nlmon",
    "nls_utf8",
    "null_blk",
    "raid6_pq",
    "softdog",
    "stp",
    "ts_kmp",
    "tun",
    "veth",
    "vfat",
    "xcbc",
];

/// The largest module of these is below.
const MODULE_LIMIT: u64 = 64 << 20;

/// One kernel: its image, and the modules of [`MODULES`], uncompressed, as files.
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) vmlinuz: PathBuf,
    /// In the order of [`MODULES`].
    pub(crate) modules: Vec<(&'static str, PathBuf)>,
    /// What `check` is told that the kernel is.
    pub(crate) kernel: OsString,
}

/// Takes a package apart, or finds it taken apart.
pub(crate) fn package(name: &'static str) -> Package {
    let real = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/real");
    let debs = real.join("deb").join(name);
    assert!(debs.join(".complete").exists(), "{name} is not there: run tests/real/fetch");
    let sums = std::fs::read(debs.join(".sha256")).unwrap();
    let mut digest = Sha256::new();
    digest.update(&sums);
    MODULES.iter().for_each(|module| digest.update(module));
    let folder = real.join("work").join(format!("{name}-{}", hex::encode(&digest.finalize()[..6])));
    if !folder.exists() {
        unpack(&debs, &folder);
    }
    let modules: Vec<_> = MODULES.iter().map(|module| (*module, folder.join(format!("{module}.ko")))).collect();
    let vmlinuz = folder.join("vmlinuz");
    for path in modules.iter().map(|(_, path)| path).chain([&vmlinuz]) {
        assert!(path.exists(), "{} is missing: {name} has no such file", path.display());
    }
    let kernel = kernel_of(&debs);
    Package { name, vmlinuz, modules, kernel }
}

/// How a kernel is named to `check`: by its package, or by the two that it is split into.
fn kernel_of(debs: &Path) -> OsString {
    let mut parts = packages_of_kernel(debs);
    parts.sort();
    parts.join("+".as_ref())
}

/// The packages of a kernel: all but its headers.
fn packages_of_kernel(debs: &Path) -> Vec<OsString> {
    let all = std::fs::read_dir(debs).unwrap().map(|entry| entry.unwrap().path());
    let wanted = all.filter(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.ends_with(".deb") && !name.starts_with("linux-headers")
    });
    wanted.map(PathBuf::into_os_string).collect()
}

fn unpack(debs: &Path, folder: &Path) {
    let parent = folder.parent().unwrap();
    std::fs::create_dir_all(parent).unwrap();
    let part = tempfile::tempdir_in(parent).unwrap();
    let raw = part.path().join("raw");
    std::fs::create_dir(&raw).unwrap();
    for deb in packages_of_kernel(debs) {
        untar(Path::new(&deb), &raw);
    }
    let mut found = Vec::new();
    crate::collect_all(&raw, &mut found);
    let done = part.path().join("done");
    std::fs::create_dir(&done).unwrap();
    for path in found {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("vmlinuz") {
            std::fs::rename(path, done.join("vmlinuz")).unwrap();
        } else {
            let stored = std::fs::read(path).unwrap();
            let image = Container::of(&stored).decompress(&stored, MODULE_LIMIT).unwrap();
            let stem = name.split(".ko").next().unwrap().replace('-', "_");
            std::fs::write(done.join(format!("{stem}.ko")), image).unwrap();
        }
    }
    // Another run may have been faster.
    if let Err(e) = std::fs::rename(&done, folder) {
        assert!(folder.exists(), "{}: {e}", folder.display());
    }
}

/// Takes the image and the modules out of a package, and nothing else.
fn untar(deb: &Path, folder: &Path) {
    let mut source = Command::new("dpkg-deb").arg("--fsys-tarfile").arg(deb).stdout(Stdio::piped()).spawn().unwrap();
    let mut tar = Command::new("tar");
    tar.arg("-x").arg("-C").arg(folder).args(["--wildcards", "*/vmlinuz*"]);
    // File names have - or _, as their makers liked.
    tar.args(MODULES.map(|module| format!("*/kernel/*/{}.ko*", module.replace('_', "[-_]"))));
    // What a package does not have is seen later: tar counts a pattern without a match as an error.
    tar.stdin(source.stdout.take().unwrap()).stderr(Stdio::null()).status().unwrap();
    assert!(source.wait().unwrap().success(), "{}", deb.display());
}
