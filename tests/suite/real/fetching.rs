//! Promise: if a suite is missing, half synchronised, slow or empty, only the kernels that no other suite has are missing.
//! `tests/real/fetch` fetches all other kernels, and names each missing one with the reason: in its last lines, and where tests
//! read it.
//!
//! apt-get and apt-cache are scripts here, so that nothing depends on a network.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::fetched;

/// One row per kind of suite. The names of the suites determine how the scripts below behave.
const CATALOGUE: &str = "\
first     steady      -  amd64  no  newest  ^linux-image-1-
gone      missing     -  amd64  no  newest  ^linux-image-1-
back      missing     -  amd64  no  newest  ^linux-image-1-
back      steady      -  amd64  no  newest  ^linux-image-1-
half      half        -  amd64  no  newest  ^linux-image-1-
none-left dropped     -  amd64  no  newest  ^linux-image-1-
slow      slow        -  amd64  no  newest  ^linux-image-1-
trickle   trickling   -  amd64  no  newest  ^linux-image-1-
empty     empty       -  amd64  no  newest  ^linux-image-1-
lonely    alone       -  amd64  no  oldest  ^linux-image-1-
flaky     flaky       -  amd64  no  oldest  ^linux-image-1-  headers
last      steady      -  amd64  no  newest  ^linux-image-1-
";

/// Behaves like apt-get, as far as `fetch` uses it. The suite is part of the path of the list of sources.
const APT_GET: &str = r#"#!/bin/bash
suite=$(sed -E 's|.*/\.apt/([a-z]+)-amd64/sources.list .*|\1|' <<<"$*")
case " $* " in
  *" indextargets "*) echo "http://archive.invalid/debian/ bookworm" ;;
  *" update "*)
    case $suite in
      missing) echo "E: The repository 'http://archive.invalid/debian missing Release' does not have a Release file." >&2; exit 100 ;;
      slow) exec sleep 60 ;;
      flaky)
        echo >>flaky-updates
        [ "$(wc -l <flaky-updates)" -ge 3 ] || { echo "E: Connection reset by peer" >&2; exit 100; } ;;
    esac ;;
  *" download "*)
    [ "$suite" != trickling ] || exec sleep 60
    for package in "${@:$#}"; do
      case $suite-$package in
        half-*-10-* | dropped-*) echo "E: Failed to fetch http://archive.invalid/$package.deb  404  Not Found" >&2; exit 100 ;;
      esac
      echo "$package" >"${package}_1_amd64.deb"
    done ;;
esac
"#;

const APT_CACHE: &str = r#"#!/bin/bash
suite=$(sed -E 's|.*/\.apt/([a-z]+)-amd64/sources.list .*|\1|' <<<"$*")
case $suite in
  missing | slow | empty) ;;
  alone) echo "linux-image-1-9-amd64 - Linux" ;;
  *) printf '%s - Linux\n' linux-image-1-8-amd64 linux-image-1-10-amd64 linux-image-1-9-amd64 ;;
esac
"#;

fn script(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_suite_that_fails_costs_only_its_own_kernels() {
    let checkout = tempfile::tempdir().unwrap();
    let at = |path: &str| checkout.path().join(path);
    for folder in ["tests/real", "bin"] {
        std::fs::create_dir_all(at(folder)).unwrap();
    }
    for file in ["tests/real/fetch", "tests/real/archive.sh"] {
        std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(file), at(file)).unwrap();
    }
    script(&at("bin"), "apt-get", APT_GET);
    script(&at("bin"), "apt-cache", APT_CACHE);
    std::fs::write(at("catalogue"), CATALOGUE).unwrap();

    let fetch = |names: &[&str]| {
        let begun = Instant::now();
        let output = Command::new(at("tests/real/fetch"))
            .args(names)
            .env("PATH", format!("{}:{}", at("bin").display(), std::env::var("PATH").unwrap()))
            .env("KMODLAB_CATALOGUE", at("catalogue"))
            .env("KMODLAB_FETCH_SECONDS", "3")
            .env("KMODLAB_FETCH_PAUSE", "0")
            .output()
            .unwrap();
        let took = begun.elapsed();
        (output.status.code(), String::from_utf8(output.stderr).unwrap(), took)
    };
    let (status, said, took) = fetch(&[]);

    let fetched: Vec<String> = ["first", "back", "half", "flaky", "last"]
        .map(|name| std::fs::read_to_string(at("target/real/deb").join(name).join(".complete")).unwrap_or_default())
        .into();
    let [newest, older] = ["linux-image-1-10-amd64\n", "linux-image-1-9-amd64\n"];
    let oldest = "linux-image-1-8-amd64\nlinux-headers-1-8-amd64\n";
    assert_eq!(fetched, [newest, newest, older, oldest, newest], "{said}");

    let reasons = [
        ("gone", "the package lists of missing could not be fetched: E: The repository"),
        ("none-left", "404  Not Found"),
        ("slow", "the package lists of slow could not be fetched: too slow"),
        ("trickle", "of trickling could not be fetched: too slow"),
        ("empty", "no package of empty matches ^linux-image-1-"),
        ("lonely", "alone has only one package that matches"),
    ];
    let summary = said.split("6 of 11 kernels could not be fetched:").nth(1).unwrap_or_else(|| panic!("{said}"));
    assert_eq!(status, Some(1), "{said}");
    assert_eq!(summary.trim().lines().count(), reasons.len(), "{summary}");
    for (name, reason) in reasons {
        let line = summary.lines().find(|line| line.trim_start().starts_with(&format!("{name}: ")));
        assert!(line.is_some_and(|line| line.contains(reason)), "{name}: {reason}: {summary}");
        // The message of a test that needs this kernel.
        let why = fetched::folder_in(&at("target/real"), name).unwrap_err();
        assert!(why.starts_with(&format!("{name} is not there")) && why.contains(reason), "{why}");
    }
    assert!(said.contains("back: took linux-image-1-10-amd64 of steady instead"), "{said}");
    // Three updates of one second each and two downloads of three seconds were aborted.
    assert!(took < Duration::from_secs(90), "{took:?}");

    // Once the archive has the kernel, it is fetched, and the note is removed.
    std::fs::write(at("catalogue"), CATALOGUE.replace("gone      missing", "gone      steady ")).unwrap();
    let (status, said, _) = fetch(&["gone"]);
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(fetched::folder_in(&at("target/real"), "gone"), Ok(at("target/real/deb/gone")));
}
