//! Reading real kernels: from a folder or packages, as any user, and from the cache. Whether the facts are right is tested in
//! [`exports`](super::exports).

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kmodlab::kernel::{self, Kernel, Lookup};
use kmodlab::module::container::DEFAULT_MAX_SIZE;

use crate::real::{KMODLAB, alone, collect, fetched};

/// A kernel: the folder of its packages, and the packages that it is read from (words in the file names, joined with +; none for
/// the unpacked folder).
const KERNELS: [(&str, &[&str]); 3] = [
    ("amd64-5.10-cloud", &["linux-image"]),
    ("amd64-6.1", &[]),
    ("amd64-7.2-cloud", &["linux-binary", "linux-modules"]),
];

/// The name of the kernel for the program.
pub(crate) fn kernel_name(folder: &str, words: &[&str]) -> String {
    let files = fetched::packages(folder);
    if words.is_empty() {
        return fetched::top().join(folder).display().to_string();
    }
    let file = |word: &&str| {
        let starts = |path: &&PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(*word);
        let found = files.iter().find(starts).unwrap_or_else(|| panic!("{folder} has no {word}"));
        found.display().to_string()
    };
    words.iter().map(file).collect::<Vec<_>>().join("+")
}

/// The modules of the kernel, unpacked by dpkg, independently of this project's code.
pub(crate) fn unpacked(folder: &str, words: &[&str], place: &Path) -> Vec<PathBuf> {
    let mut modules = Vec::new();
    if words.is_empty() {
        collect(&fetched::top().join(folder), &mut modules);
    }
    for deb in fetched::packages(folder).into_iter().filter(|_| !words.is_empty()) {
        assert!(Command::new("dpkg").arg("-x").arg(&deb).arg(place).status().unwrap().success(), "{}", deb.display());
    }
    collect(place, &mut modules);
    assert!(modules.len() > 500, "{folder} has only {} modules", modules.len());
    modules
}

#[test]
#[ignore = "needs the packages of tests/real/fetch"]
fn an_unpacked_kernel_is_the_kernel_in_its_package() {
    let _alone = alone();
    let [folder, packed] = [&[][..], &["linux-image"]].map(|words| {
        let name = kernel_name("amd64-6.1", words);
        kernel::named(name.as_ref(), &Lookup { max_size: DEFAULT_MAX_SIZE, cache: None }).unwrap()
    });
    let value = |kernel: &Kernel| kernel.vermagic.as_ref().unwrap().value.as_bytes().to_vec();
    assert_eq!(value(&folder), value(&packed));
    for (what, is_equal) in [
        ("exports", folder.facts.exports.unwrap().value.symbols == packed.facts.exports.unwrap().value.symbols),
        ("tree", folder.facts.tree.unwrap().value.modules.len() == packed.facts.tree.unwrap().value.modules.len()),
        ("fingerprint", folder.facts.fingerprint.unwrap().value == packed.facts.fingerprint.unwrap().value),
    ] {
        assert!(is_equal, "{what}");
    }
}

/// Runs `kernel K --json` as an unprivileged user without a network, with a cache folder that can't be created.
fn as_nobody(name: &str) -> Output {
    let copy = tempfile::tempdir().unwrap();
    let program = copy.path().join("kmodlab");
    std::fs::copy(KMODLAB, &program).unwrap();
    let open = |path: &Path| {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    };
    open(copy.path());
    open(&program);
    let mut command = Command::new("unshare");
    command.args(["-n", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.arg(program).args(["kernel", "--json", name]).env("XDG_CACHE_HOME", "/dev/null/x");
    command.output().unwrap()
}

#[test]
#[ignore = "needs the packages of tests/real/fetch, and root to become nobody"]
fn reading_a_kernel_needs_neither_root_nor_a_network() {
    let _alone = alone();
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let deb = kernel_name("amd64-6.1-cloud", &["linux-image"]);
    let copy = place.path().join("linux-image.deb");
    std::fs::copy(deb, &copy).unwrap();
    let output = as_nobody(&copy.display().to_string());
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{err}");
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(json["vermagic"]["value"].as_str().unwrap().contains("cloud-amd64 SMP"), "{out}");
    assert!(json["exports"]["value"]["symbols"].as_u64().unwrap() > 5000);
}

#[test]
#[ignore = "needs the packages of tests/real/fetch"]
fn the_second_time_the_same_facts_come_from_the_cache() {
    let _alone = alone();
    let cache = tempfile::tempdir().unwrap();
    for (folder, words) in KERNELS {
        let name = kernel_name(folder, words);
        let ask = || {
            let start = std::time::Instant::now();
            let mut command = Command::new(KMODLAB);
            let output =
                command.args(["kernel", "--json", &name]).env("XDG_CACHE_HOME", cache.path()).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            (output.stdout, start.elapsed())
        };
        let (first, slow) = ask();
        let (second, fast) = ask();
        println!("{folder}: {} ms, then {} ms", slow.as_millis(), fast.as_millis());
        assert_eq!(String::from_utf8_lossy(&first), String::from_utf8_lossy(&second));
    }
    let kept = std::fs::read_dir(cache.path().join("kmodlab")).unwrap().count();
    assert!(kept >= KERNELS.len(), "{kept} files in the cache");
}
