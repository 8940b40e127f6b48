//! The case from the module programming guide: a tree with the release `2.6.5-1.358custom`, for a kernel with the release
//! `2.6.5-1.358`. The necessary change is shown, made, and undone; and obstacles are reported, with nothing written.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tree::stage::{Answer, CONFIG, GCC_3, GCC_12, Stage};

use crate::support::KMODLAB;

/// The guide's kernel.
const KERNEL: &str = "vermagic:2.6.5-1.358 686 REGPARM 4KSTACKS gcc-3.3";

/// A copy of the guide's tree, in `guide`.
fn guide() -> Stage {
    let stage = Stage::new(GCC_3);
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/trees/guide");
    copy(&from, &stage.path("guide"));
    stage
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => copy(&from, &to),
            kind if kind.is_symlink() => symlink(fs::read_link(&from).unwrap(), to).unwrap(),
            _ => fs::write(&to, fs::read(&from).unwrap()).unwrap(),
        }
    }
}

/// Makes a file old, as if it had been extracted from an archive.
fn age(path: &Path) {
    let times = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH + std::time::Duration::new(1_083_827_289, 5));
    fs::File::open(path).unwrap().set_times(times).unwrap();
}

fn looks(path: &Path) -> (Vec<u8>, u32, i64, i64) {
    let meta = fs::metadata(path).unwrap();
    (fs::read(path).unwrap(), meta.mode(), meta.mtime(), meta.mtime_nsec())
}

#[test]
fn from_the_wrong_release_to_the_right_one_and_back() {
    let stage = guide();
    let makefile = stage.path("guide/Makefile");
    fs::set_permissions(&makefile, fs::Permissions::from_mode(0o640)).unwrap();
    age(&makefile);
    let (old, tree) = (looks(&makefile), stage.contents("guide"));

    // The line is named, and the header that is generated from it.
    stage.tree("guide", KERNEL).assert_says(
        1,
        &[
            "current 2.6.5-1.358custom 686 REGPARM 4KSTACKS gcc-3.3\n",
            "include/linux/version.h:1 (UTS_RELEASE)\n",
            "  release        2.6.5-1.358custom  →  2.6.5-1.358\n",
            "fix     Makefile:4  EXTRAVERSION = -1.358custom  →  EXTRAVERSION = -1.358\n",
            "include/linux/version.h:1  is stale, regenerate it: 2.6.5-1.358custom  →  2.6.5-1.358\n",
            "then    the kernel's vermagic\n",
        ],
    );

    // Shown, and refused without confirmation: nothing is written, not even a state folder.
    let shown = stage.run(&["tree", "guide", "--for", KERNEL, "--fix", "-n"]);
    shown.assert_says(
        0,
        &["--- Makefile\n+++ Makefile\n", "\n SUBLEVEL = 5\n-EXTRAVERSION = -1.358custom\n+EXTRAVERSION = -1.358\n"],
    );
    for words in [&["--fix"][..], &["--fix", "--confirm", "yes"], &["--fix", "--confirm", &"0".repeat(64)]] {
        let refused = stage.run(&[&["tree", "guide", "--for", KERNEL], words].concat());
        assert_eq!((refused.status, refused.out.as_str()), (3, ""), "{}", refused.err);
        assert!(refused.err.contains("guide: refused by the guard confirmed: "), "{}", refused.err);
        assert_eq!(refused.err.lines().count(), 1, "{}", refused.err);
    }
    assert_eq!(stage.contents("guide"), tree);

    // One line of one file was changed; the file keeps its mode, but gets a new time, since make would ignore it otherwise.
    let done = stage.fix("guide", KERNEL);
    done.assert_says(0, &["changed  ", "guide/Makefile\n", "  undo    kmodlab restore ", "1 change left"]);
    let text = String::from_utf8(old.0.clone()).unwrap();
    let (bytes, mode, time, _) = looks(&makefile);
    assert_eq!(String::from_utf8(bytes).unwrap(), text.replace("-1.358custom", "-1.358"));
    assert_eq!(mode, old.1);
    assert!(time > old.2, "make would take it for old");

    // The stale header is reported.
    stage.tree("guide", KERNEL).assert_says(
        1,
        &[
            "current 2.6.5-1.358custom 686 REGPARM 4KSTACKS gcc-3.3\n",
            "rebuilt 2.6.5-1.358 686 REGPARM 4KSTACKS gcc-3.3\n",
            "fix     include/linux/version.h:1  is stale, regenerate it: 2.6.5-1.358custom  →  2.6.5-1.358\n",
        ],
    );
    // The header is not a file that --fix would write.
    let nothing = stage.run(&["tree", "guide", "--for", KERNEL, "--fix"]);
    nothing.assert_says(1, &["guide: no change is an edit of text"]);

    // Now make is run.
    let mut make = Command::new("make");
    stage.settle(make.args(["-s", "-C", "guide", "include/linux/version.h"]));
    assert!(make.status().unwrap().success());
    assert!(stage.read("guide/include/linux/version.h").starts_with("#define UTS_RELEASE \"2.6.5-1.358\"\n"));
    let matches = stage.tree("guide", KERNEL);
    matches.assert_says(0, &["a module built here has the kernel's vermagic"]);
    assert!(!matches.out.contains("\nfix "), "{}", matches.out);

    // The vault records the change, and restores the file as it was.
    let path = makefile.to_str().unwrap();
    stage.run(&["verify"]).assert_says(0, &[path, "patched", "backup whole"]);
    stage.run(&["log", path]).assert_says(0, &["patch ", "build tree changed to fit vermagic:2.6.5-1.358 686"]);
    stage.run(&["restore", path]).assert_says(0, &["restored  "]);
    assert_eq!(looks(&makefile), old);
    // The built files stay until the next make.
    let says = ["but the next make here would change it (rebuilt):", "fix     Makefile:4  EXTRAVERSION = -1.358custom"];
    stage.tree("guide", KERNEL).assert_says(0, &says);
}

#[test]
fn stale_files_are_reported_without_a_compiler() {
    let stage = guide();
    stage.put("cc", "#!/bin/sh\nexit 1\n");
    let answer = stage.tree("guide", KERNEL);
    answer.assert_says(
        1,
        &["Makefile:4  EXTRAVERSION", "version.h:1  is stale, regenerate it", "compiler  none installed  →  gcc-3.3"],
    );
    assert!(answer.out.contains("the compiler defines __GNUC__, and none could be run"), "{}", answer.out);
    stage.fix("guide", KERNEL).assert_says(0, &["changed  "]);
    stage.replace("guide/include/linux/version.h", "custom", "");
    let answer = stage.tree("guide", KERNEL);
    assert!(!answer.out.contains("stale"), "{}", answer.out);
}

#[test]
fn json_says_the_same() {
    let stage = guide();
    let answer = stage.run(&["tree", "guide", "--for", KERNEL, "--json"]);
    let document: serde_json::Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!((answer.status, &document["matches"]), (1, &false.into()));
    assert_eq!(document["after"]["value"].as_str().unwrap_or_default(), &KERNEL["vermagic:".len()..], "{document}");
    let place = &document["fixes"][0]["place"];
    assert_eq!((&place["file"], &place["line"]), (&"guide/Makefile".into(), &4.into()), "{document}");
    let digest = stage.digest("guide", KERNEL);
    let shown = stage.run(&["tree", "guide", "--for", KERNEL, "--fix", "-n", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!((&shown["done"], &shown["digest"]), (&false.into(), &digest.as_str().into()));
    let done = stage.run(&["tree", "guide", "--for", KERNEL, "--fix", "--confirm", &digest, "--json"]);
    let done: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!((&done["done"], &done["left"], done["files"].as_array().unwrap().len()), (&true.into(), &1.into(), 1));
    assert_eq!(done["files"][0]["after"], shown["files"][0]["after"]);
}

/// A digest belongs to exactly these bytes: a file that changed in between is reported, and not overwritten.
#[test]
fn a_file_that_changed_meanwhile_is_left_alone() {
    let stage = guide();
    let digest = stage.digest("guide", KERNEL);
    let makefile = stage.read("guide/Makefile");
    stage.put("guide/Makefile", format!("{makefile}# somebody else's line\n"));
    let before = stage.contents("guide");
    let refused = stage.run(&["tree", "guide", "--for", KERNEL, "--fix", "--confirm", &digest]);
    assert_eq!(refused.status, 3, "{}", refused.err);
    assert!(refused.err.contains("the digest is not the digest of this plan"), "{}", refused.err);
    assert_eq!(stage.contents("guide"), before);
}

#[test]
fn a_file_that_can_t_be_written_as_it_is_is_refused() {
    for (why, status) in [("two names", 3), ("a link", 3), ("a folder that is another's", 3)] {
        let stage = guide();
        let makefile = stage.path("guide/Makefile");
        match why {
            "two names" => fs::hard_link(&makefile, stage.path("other")).unwrap(),
            "a link" => {
                fs::rename(&makefile, stage.path("elsewhere")).unwrap();
                symlink("../elsewhere", &makefile).unwrap();
            }
            _ => fs::set_permissions(stage.path("guide"), fs::Permissions::from_mode(0o555)).unwrap(),
        }
        let words = ["tree", "guide", "--for", KERNEL, "--fix", "-n"];
        let shown = match why {
            "a folder that is another's" => Answer::of(&mut as_nobody(&stage, &words)),
            _ => stage.run(&words),
        };
        assert_eq!(shown.status, status, "{why}: {}{}", shown.out, shown.err);
        fs::set_permissions(stage.path("guide"), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!((shown.out.as_str(), shown.err.lines().count()), ("", 1), "{why}: {}", shown.err);
        assert!(stage.read("guide/Makefile").contains("-1.358custom"), "{why}");
    }
}

/// Root may write anywhere, so the test has to run as another user.
fn as_nobody(stage: &Stage, words: &[&str]) -> Command {
    let program = stage.path("kmodlab");
    fs::copy(KMODLAB, &program).unwrap();
    let mut command = match rustix::process::geteuid().is_root() {
        true => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
            command
        }
        false => Command::new(&program),
    };
    stage.settle(command.args(words));
    command
}

/// A kernel that is known by one of its modules, with the version magic `6.1.0-9-k SMP preempt mod_unload `, and its
/// configuration.
fn kernel(stage: &Stage, config: &str, bytes: &[u8]) -> String {
    let hello = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/modules/hello-4.ko");
    let vermagic = "6.1.0-9-k SMP preempt mod_unload ";
    let mut words = vec!["patch", hello.to_str().unwrap(), "--vermagic", vermagic, "-o", "hello.ko"];
    words.extend(["--allow-abi-mismatch", "-n"]);
    let plan = stage.run(&words);
    let digest = plan.out.lines().find_map(|line| line.trim_start().strip_prefix("digest")).unwrap().trim().to_owned();
    words.pop();
    words.extend(["--confirm", &digest]);
    assert_eq!(stage.run(&words).status, 0);
    stage.put(config, bytes);
    format!("{config}+hello.ko")
}

/// The kernel's configuration, named by an absolute and by a relative path.
#[test]
fn a_configuration_is_copied_and_comes_back() {
    let theirs = CONFIG
        .replace("LOCALVERSION=\"\"", "LOCALVERSION=\"-k\"")
        .replace("# CONFIG_PREEMPT is not set", "CONFIG_PREEMPT=y\nCONFIG_PREEMPT_BUILD=y");
    let stage = Stage::new(GCC_12);
    stage.built("linux", "6.1.0-9");
    for is_absolute in [true, false] {
        let kernel = kernel(&stage, "boot/config-6.1.0-9-k", theirs.as_bytes());
        let kernel = if is_absolute { format!("{}/{kernel}", stage.path("").display()) } else { kernel };
        let kernel = kernel.replace("+hello.ko", &format!("+{}", stage.path("hello.ko").display()));
        let old = looks(&stage.path("linux/.config"));
        let answer = stage.tree("linux", &kernel);
        answer.assert_says(
            1,
            &[
                "fix     .config  replace it with the kernel's configuration: ",
                "boot/config-6.1.0-9-k\n",
                "type    cp ",
            ],
        );
        stage.fix("linux", &kernel).assert_says(0, &["changed  ", "linux/.config\n"]);
        assert_eq!(stage.read("linux/.config"), theirs);
        let answer = stage.tree("linux", &kernel);
        answer.assert_says(1, &["rebuilt 6.1.0-9-k SMP preempt mod_unload", "then    the kernel's vermagic"]);
        assert!(!answer.out.contains("replace it with the kernel's configuration"), "{}", answer.out);
        let path = stage.path("linux/.config");
        stage.run(&["restore", path.to_str().unwrap()]).assert_says(0, &["restored"]);
        assert_eq!(looks(&path), old);
        fs::remove_file(stage.path("hello.ko")).unwrap();
    }
}

/// A file that is not a configuration never replaces one.
#[test]
fn a_file_that_is_no_configuration_is_not_copied() {
    let stage = Stage::new(GCC_12);
    stage.built("linux", "6.1.0-9");
    let before = stage.contents("linux");
    let kernel = kernel(&stage, "boot/config-6.1.0-9-k", b"a shopping list\n");
    stage.tree("linux", &kernel).assert_refused("config-6.1.0-9-k");
    assert_eq!(stage.contents("linux"), before);
}

/// Several files at once: each is backed up, and each is restored.
#[test]
fn localversion_files_are_emptied_with_other_changes() {
    let stage = Stage::new(GCC_12);
    stage.built("linux", "6.1.0-9-mine-10");
    stage.put("linux/localversion", "-mine\n");
    stage.put("linux/localversion.10", "-10\n");
    let before = stage.contents("linux");
    let kernel = "vermagic:6.1.0-10 SMP mod_unload ";
    stage.tree("linux", kernel).assert_says(
        1,
        &[
            "localversion  empty this file (it contains -mine)\n",
            "localversion.10  empty this file (it contains -10)\n",
            "Makefile:4  EXTRAVERSION = -9  →  EXTRAVERSION = -10\n",
            "utsrelease.h:1  is stale, regenerate it: 6.1.0-9-mine-10  →  6.1.0-10\n",
        ],
    );
    let done = stage.fix("linux", kernel);
    assert_eq!((done.status, done.out.matches("changed  ").count()), (0, 3), "{}{}", done.out, done.err);
    assert_eq!((stage.read("linux/localversion"), stage.read("linux/localversion.10")), Default::default());
    stage.tree("linux", kernel).assert_says(1, &["rebuilt 6.1.0-10 SMP mod_unload"]);
    let changed: Vec<PathBuf> =
        ["Makefile", "localversion", "localversion.10"].map(|name| stage.path("linux").join(name)).into();
    for path in &changed {
        stage.run(&["restore", path.to_str().unwrap()]).assert_says(0, &["restored"]);
    }
    let after = stage.contents("linux");
    for path in &changed {
        assert_eq!(after[path], before[path]);
    }
}

/// A simulated machine on which a package owns the tree (chroot(8)).
#[test]
#[ignore = "needs root: tests/run runs it"]
fn a_packages_tree_is_refused() {
    let machine = guide();
    let program = KMODLAB;
    let libraries = Command::new("ldd").arg(program).output().unwrap();
    let libraries = String::from_utf8(libraries.stdout).unwrap();
    for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
        machine.put(library.trim_start_matches('/'), fs::read(library).unwrap());
        fs::set_permissions(machine.path(&library[1..]), fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::copy(program, machine.path("kmodlab")).unwrap();
    let fix = |words: &[&str]| {
        let mut command = Command::new("chroot");
        command.arg(machine.path("")).arg("/kmodlab").args(["tree", "/guide", "--for", KERNEL, "--fix"]).args(words);
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
        Answer::of(command.env_clear().env("PATH", path))
    };
    assert_eq!(fix(&["-n"]).status, 0, "{}", fix(&["-n"]).err);
    let before = machine.contents("guide");
    // The package owns the file itself; or, for a file that is not its own, the Makefile that it brought with the folder.
    for owned in ["/guide/Makefile\n", "/guide\n/guide/Makefile\n"] {
        machine.put("var/lib/dpkg/info/linux-source-2.6.5.list", owned);
        for words in [&["-n"][..], &[], &["--confirm", "0"]] {
            let refused = fix(words);
            assert_eq!((refused.status, refused.out.as_str()), (3, ""), "{}", refused.err);
            let says =
                "/guide/Makefile: refused by the guard installed-tree: dpkg package linux-source-2.6.5 owns it; copy";
            assert!(refused.err.contains(says), "{}", refused.err);
        }
    }
    assert_eq!(machine.contents("guide"), before);
}
