//! Trees with a fault. Each gets the right advice, or one clear line and exit status 2, in time, without a panic, and without a
//! byte that a terminal would interpret; and nothing is changed in the tree or anywhere else.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::process::Command;

use crate::tree::stage::{Answer, CONFIG, GCC_12, Stage};

use crate::support::KMODLAB;

/// A kernel that matches a built tree of the stage.
const KERNEL: &str = "vermagic:6.1.0-9 SMP mod_unload ";

/// A built tree in `linux`, with a fault.
fn wrong(make: impl FnOnce(&Stage)) -> Stage {
    let stage = Stage::new(GCC_12);
    stage.built("linux", "6.1.0-9");
    stage.tree("linux", KERNEL).assert_says(0, &["has the kernel's vermagic"]);
    make(&stage);
    stage
}

/// The answer for a tree; checks that nothing was changed.
#[track_caller]
fn answer(stage: &Stage, tree: &str, kernel: &str) -> Answer {
    let before = stage.contents("");
    let answer = stage.tree(tree, kernel);
    for words in [&["--json"][..], &["--fix", "-n"], &["--fix"]] {
        let other = stage.run(&[&["tree", tree, "--for", kernel], words].concat());
        match answer.status {
            2 => assert_eq!((other.status, other.err.as_str()), (2, answer.err.as_str()), "{words:?}"),
            _ => assert!([0, 1, 3].contains(&other.status), "{words:?}: {} {}", other.status, other.err),
        }
    }
    assert!(stage.contents("") == before, "something was written");
    answer
}

// ---- Trees that are read, and the answers for them -----------------------------------------------------------------

#[test]
fn stale_headers() {
    let stage = wrong(|stage| stage.put("linux/include/generated/utsrelease.h", "#define UTS_RELEASE \"6.1.0-8\"\n"));
    let answer = answer(&stage, "linux", KERNEL);
    answer.assert_says(
        1,
        &["include/generated/utsrelease.h:1  is stale, regenerate it: 6.1.0-8  →  6.1.0-9", "type    make"],
    );
    answer.assert_says(1, &["kernel.release:1 has 6.1.0-9, ", "a build was interrupted, or a file was edited by hand"]);
}

#[test]
fn a_configuration_newer_than_what_the_build_made_of_it() {
    let stage = wrong(|stage| stage.replace("linux/.config", "CONFIG_SMP=y", "# CONFIG_SMP is not set"));
    answer(&stage, "linux", KERNEL)
        .assert_says(0, &["but the next make here would change it", "CONFIG_SMP  n  →  y", "stale   CONFIG_SMP: "]);
}

#[test]
fn a_configuration_of_another_architecture() {
    let stage = wrong(|stage| {
        let arm = CONFIG
            .replace("Linux/x86 6.1.0-9", "Linux/arm64 5.10.0")
            .replace("CONFIG_X86=y\nCONFIG_X86_64=y", "CONFIG_ARM64=y\nCONFIG_64BIT=y");
        stage.put("linux/.config", arm);
    });
    answer(&stage, "linux", KERNEL).assert_says(
        1,
        &[
            "  architecture   aarch64  →  none\n",
            "fix     this tree can't match: it is configured for arm64, and the kernel's vermagic is of another",
            "linux/.config:5 is for arm64, linux/include/config/auto.conf:5 for x86: a configuration of another architecture",
            "stale   CONFIG_64BIT: ",
        ],
    );
}

#[test]
fn a_configuration_with_the_ends_of_windows() {
    let stage = wrong(|stage| {
        for file in [".config", "include/config/auto.conf"] {
            stage.put(&format!("linux/{file}"), CONFIG.replace('\n', "\r\n"));
        }
    });
    let answer = answer(&stage, "linux", KERNEL);
    assert!(answer.out.contains("ends with a carriage return"), "{}", answer.out);
}

#[test]
fn a_makefile_with_the_ends_of_windows() {
    let stage = wrong(|stage| {
        let makefile = stage.read("linux/Makefile");
        stage.put("linux/Makefile", makefile.replace('\n', "\r\n"));
    });
    let answer = answer(&stage, "linux", KERNEL);
    assert!(
        answer.out.contains("linux/Makefile:1 ends with a carriage return: remove the carriage returns"),
        "{}",
        answer.out
    );
}

#[test]
fn half_built() {
    let stage = wrong(|stage| {
        fs::remove_file(stage.path("linux/include/generated/utsrelease.h")).unwrap();
        fs::remove_file(stage.path("linux/scripts/mod/modpost")).unwrap();
    });
    answer(&stage, "linux", KERNEL).assert_says(
        1,
        &[
            "no module can be built here yet",
            "include/generated/utsrelease.h  is missing, generate it: 6.1.0-9",
            "missing ",
            "scripts/mod/modpost",
            "modules_prepare",
        ],
    );
}

#[test]
fn not_configured() {
    let stage = Stage::new(GCC_12);
    stage.source("linux");
    answer(&stage, "linux", KERNEL).assert_says(
        1,
        &["a source tree of 6.1.0-9, not configured", "no module can be built here yet", " defconfig\n"],
    );
}

#[test]
fn an_output_folder_whose_source_is_gone() {
    let stage = wrong(|stage| {
        stage.outcome("out", "6.1.0-9");
        stage.put("out/Makefile", format!("include {}/Makefile\n", stage.path("linux").display()));
    });
    answer(&stage, "out", KERNEL).assert_says(0, &["a build folder (O=)"]);
    fs::rename(stage.path("linux"), stage.path("moved")).unwrap();
    answer(&stage, "out", KERNEL).assert_refused("out/Makefile: line 1: it refers to ");
    // The link `source` does not help then.
    symlink(stage.path("linux"), stage.path("out/source")).unwrap();
    fs::remove_file(stage.path("out/Makefile")).unwrap();
    answer(&stage, "out", KERNEL).assert_refused("out: its Makefile is missing (it contains .config, ");
}

#[test]
fn a_dirty_repository() {
    let stage = wrong(|stage| {
        for file in [".config", "include/config/auto.conf"] {
            stage.replace(
                &format!("linux/{file}"),
                "# CONFIG_LOCALVERSION_AUTO is not set",
                "CONFIG_LOCALVERSION_AUTO=y",
            );
        }
        stage.put(
            "linux/.gitignore",
            ".config\n/include/generated/\n/include/config/\n/Module.symvers\n/scripts/mod/\n",
        );
        for words in [&["init", "-q"][..], &["add", "."], &["commit", "-qm", "all"]] {
            let mut git = Command::new("git");
            stage.settle(git.args(["-c", "user.name=x", "-c", "user.email=x@y"]).args(words));
            assert!(git.current_dir(stage.path("linux")).status().unwrap().success());
        }
        stage.put("linux/init/main.c", "/* changed */\n");
    });
    let answer = answer(&stage, "linux", KERNEL);
    answer.assert_says(0, &["rebuilt 6.1.0-9-g", "-dirty", "it appends -g", "LOCALVERSION="]);
}

#[test]
fn a_release_longer_than_make_takes() {
    let long = "x".repeat(70);
    let stage = wrong(|stage| stage.put("linux/localversion", format!("-{long}\n")));
    answer(&stage, "linux", KERNEL).assert_says(0, &[&format!("(it contains -{long})"), "make accepts at most 64"]);
    // Text that is not part of a release is not printed.
    stage.put("linux/localversion", "y".repeat(3 << 20));
    answer(&stage, "linux", KERNEL)
        .assert_refused("linux/localversion: 3145728 bytes long, but a release has at most 64");
    for (below, old) in [
        ("Makefile", "EXTRAVERSION = -9"),
        (".config", "CONFIG_LOCALVERSION=\""),
        ("include/generated/utsrelease.h", "#define UTS_RELEASE \"6"),
    ] {
        let below = format!("linux/{below}");
        let stage = wrong(|stage| stage.replace(&below, old, &format!("{old}{}", "z".repeat(3 << 20))));
        answer(&stage, "linux", KERNEL).assert_refused(" bytes, but a release has at most 64 characters; shorten it");
    }
}

#[test]
fn a_kernel_of_another_version() {
    let stage = wrong(|_| ());
    for (kernel, says) in [
        ("vermagic:5.10.0-30-amd64 SMP mod_unload modversions ", "linux-headers-5.10.0-30-amd64 (Debian"),
        ("vermagic:6.12.63-1.fc41.x86_64 SMP preempt mod_unload ", "6.1.0"),
        ("vermagic:not-a-release at all", "no source gives a release like not-a-release\n"),
    ] {
        let answer = answer(&stage, "linux", kernel);
        answer.assert_says(1, &["fix     this tree can't match: ", says]);
        assert!(!answer.out.contains("\ntype "), "{}", answer.out);
    }
}

#[test]
fn a_tree_of_2_4() {
    let stage = Stage::new(GCC_12);
    stage.put("linux/Makefile", "VERSION = 2\nPATCHLEVEL = 4\nSUBLEVEL = 37\nEXTRAVERSION = .11\n");
    stage.put("linux/include/linux/module.h", "");
    stage.put("linux/init/main.c", "");
    stage.put("linux/arch/i386/Makefile", "");
    stage.put("linux/.config", "CONFIG_X86=y\n");
    stage.put("linux/include/linux/version.h", "#define UTS_RELEASE \"2.4.37.11\"\n");
    for kernel in ["vermagic:2.4.37.11", KERNEL] {
        answer(&stage, "linux", kernel).assert_refused("2.4");
    }
}

#[test]
fn names_and_texts_that_a_terminal_would_obey() {
    let name = OsStr::from_bytes(b"li\x1b[31mnux\n\xff\xfe");
    let stage = wrong(|stage| {
        stage.put("linux/localversion\u{1b}]0;x\u{7}", "-\u{1b}[2Jmine\n");
        stage.replace("linux/.config", "CONFIG_LOCALVERSION=\"\"", "CONFIG_LOCALVERSION=\"\u{1b}[31m\"");
        fs::rename(stage.path("linux"), stage.path("").join(name)).unwrap();
    });
    let mut command = stage.command(&["tree", "--for", KERNEL]);
    let answer = Answer::of(command.arg("--").arg(name));
    answer.assert_says(0, &["\\x1b[31m", "\\xff"]);
    let mut command = stage.command(&["tree", "--for", KERNEL, "--json"]);
    let answer = Answer::of(command.arg("--").arg(name));
    let document: serde_json::Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!(document["tree_hex"], "6c691b5b33316d6e75780afffe");
    let mut command = stage.command(&["tree", "--for", KERNEL, "--fix", "-n"]);
    let answer = Answer::of(command.arg("--").arg(name));
    assert!(answer.out.contains("digest  "), "{}{}", answer.out, answer.err);
}

#[test]
fn links_that_loop() {
    let stage = wrong(|stage| {
        symlink("scripts2", stage.path("linux/scripts3")).unwrap();
        symlink("scripts3", stage.path("linux/scripts2")).unwrap();
    });
    answer(&stage, "linux", KERNEL).assert_says(0, &["has the kernel's vermagic"]);
    // The preprocessor could not avoid this link either.
    symlink("asm", stage.path("linux/include/asm")).unwrap();
    answer(&stage, "linux", KERNEL).assert_refused("include/asm/module.h: opening: Too many levels of symbolic links");
}

// ---- Trees that are refused ----------------------------------------------------------------------------------------

#[test]
fn no_tree_at_all() {
    let stage = Stage::new(GCC_12);
    fs::create_dir(stage.path("empty")).unwrap();
    stage.put("file", "VERSION = 6\n");
    stage.put("project/Makefile", "all:\n\tcc x.c\n");
    stage.put("project/x.c", "");
    stage.put("lone/Makefile", "VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 0\nEXTRAVERSION =\n");
    symlink("loop2", stage.path("loop")).unwrap();
    symlink("loop", stage.path("loop2")).unwrap();
    symlink("nowhere", stage.path("dead")).unwrap();
    for (tree, says) in [
        ("nothing", "nothing: opening the tree: No such file or directory"),
        ("", "a value is required for '<DIR>'"),
        ("empty", "empty: not a kernel's tree: it has no Makefile"),
        ("file", "file: not a folder"),
        ("project", "project/Makefile: not a kernel's top Makefile"),
        ("lone", "lone: not a kernel's tree: a Makefile with a version"),
        ("loop", "loop: opening the tree: Too many levels of symbolic links"),
        ("dead", "dead: opening the tree: No such file or directory"),
        ("/dev/null", "/dev/null: not a folder"),
        ("/proc/self", "/proc/self: not a kernel's tree: it has no Makefile"),
    ] {
        answer(&stage, tree, KERNEL).assert_refused(says);
    }
}

#[test]
fn a_build_link_that_leads_to_itself() {
    let stage = wrong(|stage| {
        stage.put("modules/6.1.0-9/modules.dep", "");
        symlink("build", stage.path("modules/6.1.0-9/build")).unwrap();
        stage.put("modules/6.1.0-8/modules.dep", "");
        symlink(".", stage.path("modules/6.1.0-8/build")).unwrap();
        stage.put("modules/6.1.0-7/modules.dep", "");
        symlink("/nowhere/linux", stage.path("modules/6.1.0-7/build")).unwrap();
    });
    answer(&stage, "modules/6.1.0-9", KERNEL)
        .assert_refused("build: opening the module tree's link build: Too many levels");
    answer(&stage, "modules/6.1.0-8", KERNEL).assert_refused("not a kernel's tree: it has no Makefile");
    answer(&stage, "modules/6.1.0-7", KERNEL).assert_refused("it would be at /nowhere/linux");
}

#[test]
fn no_makefile() {
    let stage = wrong(|stage| fs::remove_file(stage.path("linux/Makefile")).unwrap());
    answer(&stage, "linux", KERNEL)
        .assert_refused("linux: its Makefile is missing (it contains .config, include/config");
}

#[test]
fn something_else_named_makefile() {
    for (what, says) in [
        ("a link to itself", "Makefile: opening: Too many levels of symbolic links"),
        ("a pipe", "Makefile: not a regular file"),
        ("a device", "Makefile: not a regular file"),
        ("a socket", "Makefile: not a regular file"),
        ("a folder", "Makefile: not a regular file"),
        ("a large hole", "Makefile: it exceeds the limit of "),
        ("nothing in it", "Makefile: not a kernel's top Makefile"),
        ("zeros", "Makefile: not a kernel's top Makefile"),
        ("itself included", "Makefile: "),
        ("no numbers", "Makefile: "),
    ] {
        let stage = wrong(|stage| fs::remove_file(stage.path("linux/Makefile")).unwrap());
        let makefile = stage.path("linux/Makefile");
        let mut listener = None;
        match what {
            "a link to itself" => symlink("Makefile", &makefile).unwrap(),
            "a pipe" => assert!(Command::new("mkfifo").arg(&makefile).status().unwrap().success()),
            "a device" => symlink("/dev/zero", &makefile).unwrap(),
            "a socket" => listener = Some(UnixListener::bind(&makefile).unwrap()),
            "a folder" => fs::create_dir(&makefile).unwrap(),
            "a large hole" => fs::File::create(&makefile).unwrap().set_len(1 << 30).unwrap(),
            "nothing in it" => stage.put("linux/Makefile", ""),
            "zeros" => stage.put("linux/Makefile", [0; 4096]),
            "itself included" => stage.put("linux/Makefile", "include ./Makefile\n"),
            _ => stage.put("linux/Makefile", "VERSION = six\nPATCHLEVEL = $(x)\nSUBLEVEL = 99999999999999999999\n"),
        }
        answer(&stage, "linux", KERNEL).assert_refused(says);
        drop(listener);
    }
}

/// Anything that is not a regular file is not waited for, and not read without end.
#[test]
fn pipes_devices_and_holes_in_place_of_other_files() {
    let files = [
        ".config",
        "include/config/auto.conf",
        "include/generated/utsrelease.h",
        "include/linux/vermagic.h",
        "localversion",
    ];
    for below in files {
        for what in ["a pipe", "a device", "a large hole"] {
            let stage = wrong(|stage| drop(fs::remove_file(stage.path("linux").join(below))));
            let path = stage.path("linux").join(below);
            match what {
                "a pipe" => assert!(Command::new("mkfifo").arg(&path).status().unwrap().success()),
                "a device" => symlink("/dev/zero", &path).unwrap(),
                _ => fs::File::create(&path).unwrap().set_len(1 << 30).unwrap(),
            }
            answer(&stage, "linux", KERNEL).assert_refused(&format!("linux/{below}: "));
        }
    }
}

#[test]
fn headers_that_include_themselves_or_grow_without_end() {
    let mut bomb = String::from("#define VERMAGIC_STRING A40\n#define A0 \"x\" \"x\"\n");
    for at in 1..=40 {
        bomb.push_str(&format!("#define A{at} A{0} A{0}\n", at - 1));
    }
    for (what, text) in [
        ("itself", "#include <linux/vermagic.h>\n#define VERMAGIC_STRING UTS_RELEASE\n".to_owned()),
        ("twice itself", "#include <linux/vermagic.h>\n#include <linux/vermagic.h>\n".to_owned()),
        ("a bomb", bomb),
        ("a macro of itself", "#define VERMAGIC_STRING VERMAGIC_STRING \" x\"\n".to_owned()),
        ("no end", "#if 1\n".to_owned()),
        ("nothing", String::new()),
        ("deep brackets", format!("#if {}1\n#endif\n", "(".repeat(1 << 20))),
        ("many lines", "#define X \\\n".repeat(1 << 18)),
    ] {
        let stage = wrong(|stage| stage.put("linux/include/linux/vermagic.h", &text));
        let answer = answer(&stage, "linux", KERNEL);
        assert!([1, 2].contains(&answer.status), "{what}: {}", answer.status);
        assert!(answer.err.lines().count() <= 1, "{what}: {}", answer.err);
        if answer.status == 2 {
            assert!(answer.err.contains("linux"), "{what}: {}", answer.err);
        }
    }
}

/// Root may read anything, so the test has to run as another user.
#[test]
fn files_that_can_t_be_read() {
    for below in [
        "",
        "Makefile",
        ".config",
        "include/config/auto.conf",
        "include/generated/utsrelease.h",
        "include/linux/vermagic.h",
    ] {
        let stage = wrong(|stage| {
            let path = stage.path("linux").join(below);
            fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
        });
        let program = stage.path("kmodlab");
        fs::copy(KMODLAB, &program).unwrap();
        let mut command = Command::new(&program);
        if rustix::process::geteuid().is_root() {
            command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
        }
        stage.settle(command.args(["tree", "linux", "--for", KERNEL]));
        let refused = Answer::of(&mut command);
        let path = stage.path("linux").join(below);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        refused.assert_refused("Permission denied");
        assert!(refused.err.contains(&format!("linux/{below}").trim_end_matches('/').to_owned()), "{}", refused.err);
    }
}

#[test]
fn a_space_that_was_lost_in_copying() {
    let stage = wrong(|_| {});
    let lost = KERNEL.strip_suffix(' ').expect("a kernel's string ends in a space");
    answer(&stage, "linux", lost).assert_says(1, &["fix     the strings differ only in their spaces"]);
}

#[test]
fn a_release_that_make_and_a_shell_would_obey() {
    let stage = wrong(|_| {});
    for release in ["6.1.0-`id`", "6.1.0-$(id)", "6.1.0-a#b"] {
        let kernel = format!("vermagic:{release} SMP mod_unload ");
        answer(&stage, "linux", &kernel)
            .assert_says(1, &["fix     this tree can't match: no build gives a release like "]);
    }
}
