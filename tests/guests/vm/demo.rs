//! The tour continues in a virtual machine, and reports for each kernel exactly what happened on it.

use std::ffi::OsString;

use crate::support::premises::Pair;
use crate::vm::kernels::deb;
use crate::vm::{alone, fetched};

/// The numbered steps and conclusions of the second half of the tour.
fn toured(kernel: &str, built_for: &[&str]) -> Vec<String> {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = fetched::kmodlab();
    command.args(["demo", "--vm"]).arg(deb(kernel));
    if !built_for.is_empty() {
        command.arg("--built-for").args(built_for.iter().map(|name| deb(name)).collect::<Vec<OsString>>());
    }
    let output = command.env("TMPDIR", temporary.path()).env("NO_COLOR", "1").output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(!printed.contains(&temporary.path().display().to_string()), "{printed}");
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "the tour left something");
    let second = &printed[printed.find("\n9. ").expect("a ninth stop")..];
    second.lines().filter(|line| line.starts_with("So: ")).map(str::to_owned).collect()
}

#[test]
#[ignore = "needs QEMU and fetched kernels: tests/run runs it"]
fn the_tour_shows_refusal_crash_damage_and_success() {
    let _alone = alone();
    let others = ["amd64-6.1-rt", "amd64-6.1-cloud-old"];
    let [rt, old] = others.map(|name| Pair::of(name, "amd64-6.1-cloud"));
    let mut expected = [
        "So: unchanged, loaded, and it works.",
        "So: unchanged, refused; forced, dead.",
        "So: unchanged, refused; forced, loaded and silently broken.",
        "So: unchanged, refused.",
        "So: unchanged, loaded, and it works.",
    ];
    let said = toured("amd64-6.1-cloud", &others);
    assert_eq!(said.len(), expected.len(), "{said:?}");
    // The outcome for a forced module follows from the layouts of the two kernels.
    for (at, is_as_expected) in [(1, rt.bus_is_overwritten()), (2, old.is_another_abi() && old.damage_is_silent())] {
        if !is_as_expected {
            assert!(said[at].starts_with("So: unchanged, "), "{said:?}");
            expected[at] = &said[at];
        }
    }
    assert_eq!(said, expected);
}

#[test]
#[ignore = "needs QEMU and a fetched kernel: tests/run runs it"]
fn without_another_kernel_the_tour_claims_nothing_of_one() {
    let _alone = alone();
    let said = toured("amd64-7.2-cloud", &[]);
    let expected =
        ["So: unchanged, loaded, and it works.", "So: unchanged, refused.", "So: unchanged, loaded, and it works."];
    assert_eq!(said, expected);
}
