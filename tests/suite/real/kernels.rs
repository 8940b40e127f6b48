//! The facts of real kernels: an image, a folder or packages show the facts that the kernel's own modules were built with.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kmodlab::kernel::{self, Kernel, Lookup};
use kmodlab::module::{self, container::DEFAULT_MAX_SIZE};

use crate::real::{KMODLAB, alone, collect, fetched, on_all_cores};

/// A kernel: the folder of its packages, the packages that it is read from (words in the file names, joined with +; none for
/// the unpacked folder), and whether its image has readable tables of exports.
const KERNELS: [(&str, &[&str], bool); 8] = [
    ("amd64-5.10-cloud", &["linux-image"], true),
    ("amd64-6.1-cloud", &["linux-image"], true),
    ("amd64-6.1", &[], true),
    ("amd64-6.12", &["linux-image"], true),
    ("amd64-7.2", &["linux-binary", "linux-modules"], true),
    ("i386-5.10", &["linux-image"], true),
    ("arm64-6.12", &["linux-image"], true),
    ("s390x-6.12", &["linux-image"], true),
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

/// The values in which all modules agree: version magic, and CRCs of imports.
type Says = (Vec<u8>, Vec<(String, u64)>);

fn says(path: &Path) -> Says {
    let module = module::open_unhashed(path, DEFAULT_MAX_SIZE).unwrap();
    let vermagic = module.vermagic().unwrap().as_bytes().to_vec();
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    (vermagic, module.versions.by_symbol().into_iter().map(|(name, crc)| (text(name), crc)).collect())
}

fn is_vermagic_of_all(kernel: &Kernel, says: &[Says]) {
    for (vermagic, _) in says {
        assert_eq!(kernel.vermagic.as_ref().unwrap().value.as_bytes(), vermagic, "{}", kernel.name);
    }
}

#[test]
#[ignore = "needs the packages of tests/real/fetch"]
fn a_kernels_version_magic_and_crcs_are_those_of_its_own_modules() {
    let _alone = alone();
    let mut missing = Vec::new();
    for (folder, words, has_tables) in KERNELS {
        if let Err(why) = fetched::folder_in(&fetched::top(), folder) {
            missing.push(why);
            continue;
        }
        let name = kernel_name(folder, words);
        let place = tempfile::tempdir().unwrap();
        let says = on_all_cores(&unpacked(folder, words, place.path()), |path| says(path));
        let kernel = kernel::named(name.as_ref(), &Lookup { max_size: DEFAULT_MAX_SIZE, cache: None }).unwrap();
        is_vermagic_of_all(&kernel, &says);
        assert_eq!(kernel.facts.tree.as_ref().unwrap().value.modules.len(), says.len(), "{folder}");

        // Facts read from the modules themselves would be equal whatever the image contains.
        assert!(
            kernel.vermagic.as_ref().unwrap().source.to_string().contains("vmlinuz"),
            "{folder}: {}",
            kernel.vermagic.as_ref().unwrap().source
        );
        let exports = &kernel.facts.exports;
        let is_from_image = exports.as_ref().is_some_and(|exports| !exports.source.to_string().contains(" import"));
        assert_eq!(is_from_image, has_tables, "{folder}: exports from {:?}", exports.as_ref().map(|e| &e.source));
        let mut own: HashMap<&str, Option<u32>> = HashMap::new();
        let tree = &kernel.facts.tree.as_ref().unwrap().value;
        for (name, export) in tree.modules.iter().flat_map(|module| &module.exports) {
            own.insert(name, export.crc);
        }
        let (mut equal, mut of_image, mut other) = (0, 0, Vec::new());
        for (name, crc) in says.iter().flat_map(|(_, crcs)| crcs) {
            let image = exports.as_ref().and_then(|exports| exports.value.symbols.get(name));
            let known = image.and_then(|export| export.crc).or_else(|| own.get(name.as_str()).copied().flatten());
            of_image += usize::from(image.is_some());
            match known.map(u64::from) == Some(*crc) {
                true => equal += 1,
                false => other.push(name),
            }
        }
        println!(
            "{folder}: {} modules with {:?}, as the image; {equal} of {} CRCs equal, {of_image} of them {}",
            says.len(),
            kernel.vermagic.as_ref().unwrap().value.to_string(),
            equal + other.len(),
            if has_tables { "in the image's tables" } else { "joined from the modules: the image has no tables" },
        );
        assert!(other.is_empty(), "{folder}: {:?}", &other[..other.len().min(10)]);
        assert_eq!(exports.as_ref().is_some_and(|exports| exports.value.complete), has_tables, "{folder}");
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
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
    for (folder, words, _) in KERNELS.iter().take(5) {
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
    assert!(kept >= 5, "{kept} files in the cache");
}
