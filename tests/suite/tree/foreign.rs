//! Headers packages of other architectures, unpacked and not built with (`tests/real/headers`): the version magic that `tree`
//! reads from each is that of the kernel with the same release.
//!
//! A sample has one package per architecture. `KMODLAB_HEADERS=all` tests every flavour of arm64, armhf, riscv64, s390x and
//! ppc64el in trixie (6.12) and sid (7.2): first run `tests/real/fetch --all` and `tests/real/headers --all`.

use std::path::Path;
use std::process::Command;

use super::{fetched, json, top};

/// The kernels whose headers are tested, as `tests/real/headers` lists them.
fn names() -> Vec<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/headers");
    let mut command = Command::new(script);
    command.arg("--names");
    match std::env::var("KMODLAB_HEADERS").as_deref() {
        Ok("all") => drop(command.arg("--all")),
        Ok(other) => panic!("KMODLAB_HEADERS={other:?}: all, or nothing"),
        Err(_) => {}
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Compares one headers package with its kernel; returns the result of `tree`, or the reason why there is nothing to compare.
fn compared(name: &str) -> Result<String, String> {
    let folder = top().join("headers").join(name);
    let release = std::fs::read_to_string(folder.join(".complete")).map_err(|_| {
        let why = std::fs::read_to_string(folder.with_added_extension("missing"));
        let why = why.map_or(String::new(), |why| format!(" ({})", why.trim_end()));
        format!("{name}: no headers{why}: run tests/real/headers {name}")
    })?;
    let release = release.trim();
    fetched::folder_in(&fetched::top(), name)?;
    let headers = folder.join("usr/src").join(format!("linux-headers-{release}"));
    let mut command = fetched::kmodlab();
    command.arg("tree").arg(&headers).args(["--json", "--for"]).arg(fetched::named(name));
    let said = json(&command.output().unwrap()).map_err(|error| format!("{name}: {error}"))?;
    let (now, kernel) = (&said["current"]["vermagic"]["value"], &said["kernel"]["vermagic"]["value"]);
    let is_of_release = now.as_str().is_some_and(|text| text.starts_with(&format!("{release} ")));
    match is_of_release && now == kernel && said["matches"] == true {
        true => Ok(now.to_string()),
        false => Err(format!("{name}: tree says {now}, the kernel {kernel}, matches {}", said["matches"])),
    }
}

#[test]
#[ignore = "needs tests/real/headers: tests/run"]
fn a_headers_package_shows_the_vermagic_of_its_kernel() {
    let names = names();
    let mut wrong = Vec::new();
    for name in &names {
        match compared(name) {
            Ok(vermagic) => println!("{name}: {vermagic}"),
            Err(why) => wrong.push(why),
        }
    }
    println!("{} of {} headers packages predict their kernel's version magic", names.len() - wrong.len(), names.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
