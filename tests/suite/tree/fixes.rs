//! The changes and commands that `tree` proposes make the tree match: they are carried out in a build folder of a real source,
//! and the tree is checked again.

use std::path::Path;
use std::process::Command;

use super::{KMODLAB, inside, json, top};

/// The kernel that the tree must match: of the same source, with other options and another release. Without symbol versions,
/// which would require building a whole kernel.
const WANTED: &str = "SMP preempt mod_unload ";

fn tree(folder: &Path, kernel: &str, more: &[&str], state: &Path) -> (Option<i32>, serde_json::Value) {
    let output = Command::new(KMODLAB)
        .arg("tree")
        .arg(folder)
        .args(["--for", kernel, "--json"])
        .args(more)
        .env("KMODLAB_STATE_DIR", state)
        .output()
        .unwrap();
    (output.status.code(), json(&output).unwrap_or_else(|error| panic!("{}: {error}", folder.display())))
}

#[test]
#[ignore = "needs tests/real/configurations, and root: tests/run"]
fn the_proposed_commands_make_the_tree_match() {
    let top = top();
    let source = top.join("configurations/source");
    assert!(source.join("Makefile").is_file(), "{} is not there: run tests/real/configurations", source.display());
    std::fs::create_dir_all(top.join("work")).unwrap();
    let folder = tempfile::Builder::new().prefix("fixes-").tempdir_in(top.join("work")).unwrap();
    let (object, state) = (folder.path().join("object"), folder.path().join("state"));
    std::fs::create_dir(&object).unwrap();
    // A small configuration with modules and a LOCALVERSION.
    run(&format!(
        "make -C {source} O={object} allnoconfig && \
         {source}/scripts/config --file {object}/.config -e MODULES -e 64BIT --set-str LOCALVERSION -mine && \
         make -C {source} O={object} olddefconfig modules_prepare",
        source = source.display(),
        object = object.display(),
    ));

    let (_, before) = tree(&object, "vermagic:x", &[], &state);
    let own = before["current"]["vermagic"]["value"].as_str().unwrap_or_else(|| panic!("{before}")).to_owned();
    let version = own.strip_suffix("-mine ").unwrap_or_else(|| panic!("{own:?}"));
    let kernel = format!("vermagic:{version}-theirs {WANTED}");

    let (status, report) = tree(&object, &kernel, &[], &state);
    assert_eq!(
        (status, &report["matches"], &report["impossible"]),
        (Some(1), &false.into(), &serde_json::Value::Null),
        "{report}"
    );
    assert_eq!(report["after"]["value"].as_str(), kernel.strip_prefix("vermagic:"), "{report}");

    let (status, fix) = tree(&object, &kernel, &["--fix", "-n"], &state);
    assert_eq!(status, Some(0), "{fix}");
    let (status, fixed) = tree(&object, &kernel, &["--fix", "--confirm", fix["digest"].as_str().unwrap()], &state);
    assert_eq!((status, &fixed["done"]), (Some(0), &true.into()), "{fixed}");

    let commands: Vec<&str> =
        report["commands"].as_array().unwrap().iter().map(|command| command["line"].as_str().unwrap()).collect();
    let (fix, typed) = commands.split_first().unwrap();
    let (module, typed) = typed.split_last().unwrap();
    assert!(fix.starts_with("kmodlab tree ") && fix.ends_with(" --fix"), "{commands:?}");
    assert!(module.contains("M=\"$PWD\""), "{commands:?}");
    assert!(typed.len() >= 3, "{commands:?}");
    run(&typed.join(" && "));

    let (status, after) = tree(&object, &kernel, &[], &state);
    println!("{own:?} became {:?} by {typed:?}", after["current"]["vermagic"]["value"]);
    assert_eq!((status, &after["matches"]), (Some(0), &true.into()), "{after}");
    assert_eq!(after["current"]["vermagic"], after["rebuilt"]["vermagic"], "{after}");
}

/// Runs commands where kernels are built. The compilers there have their versions in their names, as the package installs them.
fn run(commands: &str) {
    let named = "mkdir -p /tmp/names && ln -sf /usr/bin/gcc-12 /tmp/names/gcc && export PATH=/tmp/names:$PATH";
    let output = inside("source", &["sh", "-c", &format!("{named} && {commands}")]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{commands}\n{said}");
}
