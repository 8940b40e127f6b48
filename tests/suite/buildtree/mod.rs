//! The build tree shows which release its modules have now, and which one the next build would give them, as determined by the
//! tree's own scripts of each age. The repositories are created here with fixed times, so that their commits are always the
//! same.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use kmodlab::buildtree::evaluating::draft::Draft;
use kmodlab::buildtree::evaluating::release::{ReleasePieceKind, Releases};
use kmodlab::buildtree::{BuildTree, MakeArguments};

/// How each version of the script queries git. Each contains only these lines, in our own wording.
const NAME_REV: &str = "#!/bin/sh\ngit name-rev --tags HEAD | grep 'undefined'\nprintf '%s%s' -g `echo \"$head\" | cut -c1-8`\n\
                        git diff-files && word=-git_dirty\n";
const EXACT: &str = "#!/bin/sh\ngit rev-parse --verify --short HEAD\ngit describe --exact-match\n\
                     echo \"$atag\" | awk -F- '{printf(\"-%05d-%s\", $(NF-1),$(NF))}'\nprintf '%s%s' -g $head\n\
                     git update-index --refresh\ngit diff-index HEAD | grep -v \"^scripts/package\"\nprintf '%s' -dirty\n";
const WHOLE: &str = "#!/bin/sh\ncollect_files() { :; }\ncat .scmversion\ntest -z \"$(git rev-parse --show-cdup)\"\n\
                     git describe --exact-match\necho \"+\"\necho \"$atag\" | awk -F- '{printf(\"-%05d\", $(NF-1))}'\n\
                     printf '%s%s' -g \"$(echo $head | cut -c1-12)\"\ngit status -uno || git diff-index HEAD\n\
                     printf '%s' -dirty\nres=\"$res$(scm_version)\"\nscm=$(scm_version --short)\nres=\"$res${scm:++}\"\n";
const VERSIONED: &str = "#!/bin/sh\ncollect_files() { :; }\ntest -n \"$(git rev-parse --show-cdup)\"\ntry_tag \"$tag\"\n\
                         echo \"+\"\nprintf \"%s%05d\" \"-\" \"${count}\"\nprintf '%s%.12s' -g \"$head\"\n\
                         git status -uno || git diff-index HEAD\nprintf '%s' -dirty\nscm_version=\"$(scm_version)\"\n\
                         scm_version=\"$(scm_version --short)\"\necho \"${KERNELVERSION}${file_localversion}\
                         ${config_localversion}${LOCALVERSION}${scm_version}\"\n";

const BY_SCRIPT: &str = "filechk_kernel.release = $(srctree)/scripts/setlocalversion $(srctree)\n";
const BY_MAKEFILE: &str = "pattern = \".*/localversion[^~]*\"\nstring = $(shell find -regex $(pattern))\n\
                           _localver-auto = $(shell $(srctree)/scripts/setlocalversion $(srctree))\n";

struct Tree {
    /// Removed when this is dropped.
    _root: tempfile::TempDir,
    path: PathBuf,
}

impl Tree {
    fn new(makefile: &str, script: &str, options: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let tree = Tree { path: root.path().join("linux"), _root: root };
        tree.put("Makefile", &format!("VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 0\nEXTRAVERSION =\n{makefile}"));
        for (below, text) in [
            ("scripts/setlocalversion", script),
            ("scripts/package/mkspec", "1\n"),
            ("init/main.c", "1\n"),
            ("include/linux/module.h", ""),
            (".gitignore", "/.config\n/localversion*\n/include/generated/\n/.scmversion\n"),
            (".config", &format!("CONFIG_X86=y\nCONFIG_LOCALVERSION=\"-c\"\n{options}")),
        ] {
            tree.put(below, text);
        }
        tree
    }

    fn put(&self, below: &str, text: &str) {
        let path = self.path.join(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn git(&self, arguments: &[&str]) {
        let mut command = Command::new("git");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
            command.env_remove(name);
        }
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "A").env(format!("GIT_{who}_EMAIL"), "a@example.org");
            command.env(format!("GIT_{who}_DATE"), "2005-04-16T15:20:36Z");
        }
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        let output =
            command.arg("-C").arg(&self.path).args(arguments).output().expect("git is needed: apt install git");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A repository with one commit of README, which is the same whatever the script is.
    fn commit_first(self) -> Self {
        self.git(&["init", "-q"]);
        self.put("README", "Linux\n");
        self.git(&["add", "README"]);
        self.git(&["commit", "-qm", "first"]);
        self
    }

    fn commit(&self, text: &str) {
        self.put("README", text);
        self.git(&["commit", "-qam", text]);
    }

    fn read(&self, localversion: Option<&str>) -> BuildTree {
        let call = MakeArguments { localversion: localversion.map(str::to_owned), ..MakeArguments::default() };
        BuildTree::read(&self.path, &call).unwrap_or_else(|e| panic!("{e}"))
    }

    fn releases(&self, localversion: Option<&str>) -> Releases {
        Draft::of(&self.read(localversion)).releases()
    }

    fn rebuilt(&self, localversion: Option<&str>) -> String {
        let release = self.releases(localversion);
        release.rebuilt.unwrap_or_else(|| panic!("{:?}", release.unknown))
    }
}

const AUTO: &str = "CONFIG_LOCALVERSION_AUTO=y\n";

#[test]
#[ignore = "needs git"]
fn each_age_of_the_script() {
    // The suffixes: untagged; on the tag v6.1; two commits later; with changes; with staged changes.
    let ages = [
        (NAME_REV, BY_MAKEFILE, ["-c-gFIRST8", "-c", "-c-gLATER8", "-c-gLATER8-git_dirty", "-c-gLATER8"]),
        (
            EXACT,
            BY_MAKEFILE,
            ["-c-gFIRST7", "-c", "-c-00002-gLATER7", "-c-00002-gLATER7-dirty", "-c-00002-gLATER7-dirty"],
        ),
        (
            WHOLE,
            BY_SCRIPT,
            ["-c-gFIRST12", "-c", "-c-00002-gLATER12", "-c-00002-gLATER12-dirty", "-c-00002-gLATER12-dirty"],
        ),
        (
            VERSIONED,
            BY_SCRIPT,
            ["-c-gFIRST12", "-c", "-c-00002-gLATER12", "-c-00002-gLATER12-dirty", "-c-00002-gLATER12-dirty"],
        ),
    ];
    let expected = |form: &str| {
        let mut text = form.to_owned();
        for (word, hash) in [("FIRST", FIRST), ("LATER", LATER)] {
            for digits in [12, 8, 7] {
                text = text.replace(&format!("{word}{digits}"), &hash[..digits]);
            }
        }
        format!("6.1.0{text}")
    };
    for (script, makefile, forms) in ages {
        let tree = Tree::new(makefile, script, AUTO).commit_first();
        let mut found = vec![tree.rebuilt(None)];
        tree.git(&["tag", "-am", "6.1", "v6.1"]);
        found.push(tree.rebuilt(None));
        tree.commit("second\n");
        tree.commit("third\n");
        found.push(tree.rebuilt(None));
        tree.put("README", "changed\n");
        found.push(tree.rebuilt(None));
        tree.git(&["add", "README"]);
        found.push(tree.rebuilt(None));
        assert_eq!(found, forms.map(expected), "{script}");
    }
}

/// The commits that `each_age_of_the_script` makes.
const FIRST: &str = "323a51e4be92";
const LATER: &str = "c830a2a2aa82";

#[test]
#[ignore = "needs git"]
fn a_plus_without_localversion_auto_unless_localversion_is_set() {
    for (script, dirty_tag) in [(WHOLE, "6.1.0-c+"), (VERSIONED, "6.1.0-c-dirty")] {
        let tree = Tree::new(BY_SCRIPT, script, "").commit_first();
        assert_eq!(tree.rebuilt(None), "6.1.0-c+");
        assert_eq!(tree.rebuilt(Some("")), "6.1.0-c");
        assert_eq!(tree.rebuilt(Some("-mine")), "6.1.0-c-mine");
        let piece = tree.releases(None).pieces.pop().unwrap();
        assert_eq!(
            (piece.text.as_str(), piece.from, piece.place.file),
            ("+", ReleasePieceKind::Scm, tree.path.join(".git"))
        );
        tree.git(&["tag", "-am", "6.1", "v6.1"]);
        assert_eq!(tree.rebuilt(None), "6.1.0-c");
        tree.put("README", "changed\n");
        assert_eq!(tree.rebuilt(None), dirty_tag);
    }
    // Before 2.6.35 there is no plus sign.
    assert_eq!(Tree::new(BY_MAKEFILE, EXACT, "").commit_first().rebuilt(None), "6.1.0-c");
}

#[test]
#[ignore = "needs git"]
fn tags_of_localversion_files_count_since_6_3() {
    let tree = Tree::new(BY_SCRIPT, VERSIONED, AUTO).commit_first();
    tree.put("localversion-next", "-next-20250101\n");
    tree.git(&["tag", "-am", "next", "next-20250101"]);
    assert_eq!(tree.rebuilt(None), "6.1.0-next-20250101-c");
    // A tag without a message does not count.
    let tree = Tree::new(BY_SCRIPT, VERSIONED, "").commit_first();
    tree.git(&["tag", "v6.1"]);
    assert_eq!(tree.rebuilt(None), "6.1.0-c+");
}

#[test]
#[ignore = "needs git"]
fn changes_below_scripts_package_did_not_count_once() {
    for (script, makefile, ending) in [(EXACT, BY_MAKEFILE, ""), (WHOLE, BY_SCRIPT, "-dirty")] {
        let tree = Tree::new(makefile, script, AUTO).commit_first();
        tree.git(&["add", "scripts/package"]);
        tree.git(&["commit", "-qm", "package"]);
        tree.git(&["tag", "-am", "6.1", "v6.1"]);
        tree.put("scripts/package/mkspec", "2\n");
        assert_eq!(tree.rebuilt(None), format!("6.1.0-c{ending}"));
    }
}

#[test]
#[ignore = "needs git"]
fn only_a_repository_of_its_own_counts() {
    let tree = Tree::new(BY_SCRIPT, WHOLE, AUTO).commit_first();
    let inner = tree.path.join("vendor");
    fs::create_dir(&inner).unwrap();
    for below in ["Makefile", "scripts", "init", "include", ".config"] {
        let moved = fs::rename(tree.path.join(below), inner.join(below));
        moved.unwrap();
    }
    let read = BuildTree::read(&inner, &MakeArguments::default()).unwrap();
    assert_eq!(Draft::of(&read).releases().rebuilt.as_deref(), Some("6.1.0-c"));
    assert_eq!(read.scm.why, "the source is not a repository");
    // Up to 2.6.35 any repository counted.
    fs::write(inner.join("Makefile"), format!("VERSION = 2\nPATCHLEVEL = 6\nSUBLEVEL = 31\n{BY_MAKEFILE}")).unwrap();
    fs::write(inner.join("scripts/setlocalversion"), EXACT).unwrap();
    let rebuilt = Draft::of(&BuildTree::read(&inner, &MakeArguments::default()).unwrap()).releases().rebuilt.unwrap();
    assert_eq!(rebuilt, format!("2.6.31-c-g{}", &FIRST[..7]));
}

#[test]
#[ignore = "needs git"]
fn reading_runs_nothing_of_the_repository_and_writes_nothing() {
    let tree = Tree::new(BY_SCRIPT, VERSIONED, AUTO).commit_first();
    let ran = tree.path.join("ran");
    let evil = tree.path.join("evil");
    fs::write(&evil, format!("#!/bin/sh\ntouch {}\n", ran.display())).unwrap();
    fs::set_permissions(&evil, fs::Permissions::from_mode(0o755)).unwrap();
    tree.git(&["config", "core.fsmonitor", evil.to_str().unwrap()]);
    tree.git(&["config", "core.hooksPath", tree.path.to_str().unwrap()]);
    // A file with a new time stamp makes git update its index.
    fs::File::open(tree.path.join("README")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    fs::write(tree.path.join("scripts/setlocalversion"), format!("{VERSIONED}touch {}\n", ran.display())).unwrap();
    let index = tree.path.join(".git/index");
    let before = (fs::read(&index).unwrap(), fs::metadata(&index).unwrap().modified().unwrap(), names(&tree.path));
    assert_eq!(tree.rebuilt(None), format!("6.1.0-c-g{}", &FIRST[..12]));
    assert_eq!(
        before,
        (fs::read(&index).unwrap(), fs::metadata(&index).unwrap().modified().unwrap(), names(&tree.path))
    );
    assert!(!ran.exists());
}

#[test]
#[ignore = "needs git"]
fn a_filter_that_the_repository_names_is_not_run() {
    let tree = Tree::new(BY_SCRIPT, VERSIONED, AUTO).commit_first();
    let ran = tree.path.join("ran");
    tree.put(".gitattributes", "README filter=x\n");
    tree.git(&["config", "filter.x.clean", &format!("touch {}; cat", ran.display())]);
    fs::File::open(tree.path.join("README")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    let scm = tree.read(None).scm;
    assert_eq!(scm.suffix, None);
    assert!(scm.why.ends_with("a program that the repository names (filter.x.clean)"), "{}", scm.why);
    assert!(!ran.exists());
    // Would git have run the program? Otherwise this test shows nothing.
    tree.git(&["status", "-uno"]);
    assert!(ran.exists());
}

/// Every path below a folder.
fn names(folder: &Path) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter();
    entries.map(|entry| entry.unwrap().into_path()).collect()
}

#[test]
fn the_guides_tree_has_another_release_than_its_next_build() {
    let root = tempfile::tempdir().unwrap();
    let tree = Tree { path: root.path().to_owned(), _root: root };
    tree.put("Makefile", "VERSION = 2\nPATCHLEVEL = 6\nSUBLEVEL = 5\nEXTRAVERSION = -1.358\nNAME=Zonked Quokka\n");
    tree.put("init/main.c", "");
    tree.put("include/linux/vermagic.h", "#include <linux/version.h>\n");
    tree.put(
        "include/linux/version.h",
        "#define UTS_RELEASE \"2.6.5-1.358custom\"\n#define LINUX_VERSION_CODE 132613\n",
    );
    tree.put(".config", "CONFIG_X86=y\nCONFIG_MODULES=y\nCONFIG_M686=y\n");
    let release = tree.releases(None);
    let current = release.current.as_ref().unwrap();
    assert_eq!((current.text.as_str(), current.place.line), ("2.6.5-1.358custom", 1));
    assert_eq!(current.place.file, tree.path.join("include/linux/version.h"));
    assert_eq!(release.rebuilt.as_deref(), Some("2.6.5-1.358"));
}

#[test]
fn without_a_script_the_suffix_is_unknown_and_not_guessed() {
    let tree = Tree::new(BY_SCRIPT, WHOLE, AUTO);
    assert_eq!(tree.rebuilt(None), "6.1.0-c");
    tree.put(".scmversion", "-given\n");
    assert_eq!(tree.rebuilt(None), "6.1.0-c-given");
    fs::remove_file(tree.path.join("scripts/setlocalversion")).unwrap();
    let release = tree.releases(None);
    assert_eq!(release.rebuilt, None);
    assert!(release.unknown.unwrap().ends_with("the script does not exist"));
    tree.put("scripts/setlocalversion", "#!/bin/sh\ngit describe --exact-match\nres=\"$res-android12-9\"\n");
    let scm = tree.read(None).scm;
    assert_eq!((scm.suffix, scm.place.line), (None, 3));
}
