//! Probes: what a module provides is used as a user would use it, a user's own probe program is run, and unloading can be
//! forced.

use std::path::Path;

use kmodlab::lab::record::{Phase, Trial, TrialOutcome, TrialRole};
use kmodlab::predict::taint_letters;

use crate::support::facts::Facts;
use crate::vm::kernels::deb;
use crate::vm::{alone, fetched};

/// A kernel's own module on that kernel, unchanged, compared with its control.
fn own(module: &str, kernel: &str, more: &[&str]) -> Trial {
    let mut command = fetched::kmodlab();
    command.args(["try", module, "--json", "--accel", "tcg", "--load-modes", "original"]).args(more);
    let output = command.arg("--built-for").arg(deb(kernel)).arg("--kernel").arg(deb(kernel)).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{module}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let trials = text.lines().map(|line| serde_json::from_str::<Trial>(line).unwrap());
    let asked: Vec<Trial> = trials.filter(|trial| trial.role == TrialRole::Asked).collect();
    let [trial] = &asked[..] else { panic!("{module}: {} trials", asked.len()) };
    assert_eq!(trial.outcome, TrialOutcome::NoDifference, "{trial:#?}");
    trial.clone()
}

fn saw(trial: &Trial, what: &str, how: &str) {
    let seen = trial.observed.probe.iter().find(|seen| seen.what == what);
    assert_eq!(seen.map(|seen| seen.how.as_str()), Some(how), "{what}: {:#?}", trial.observed.probe);
}

/// The expected results of each module's probe, on any kernel that has it as a module.
const SAYS: [(&str, &[(&str, &str)]); 6] = [
    ("dummy", &[("dummy0 comes up", "ok"), ("dummy0 counts as sent", "3 packets"), ("dummy0 is still there", "no")]),
    ("brd", &[("ram0 is written", "ok"), ("ram0 gives back", "what was written")]),
    (
        "vfat",
        &[("vfat is mounted", "ok"), ("a file on vfat gives back", "what was written"), ("vfat is unmounted", "ok")],
    ),
    ("overlay", &[("a file on overlay gives back", "what was written")]),
    ("tun", &[("new character devices", "/dev/net/tun"), ("/dev/net/tun is opened", "ok")]),
    ("veth", &[("a link of type veth is made", "ok")]),
];

#[test]
#[ignore = "needs QEMU and a fetched kernel: tests/run runs it"]
fn each_kind_of_module_is_used_as_its_users_would() {
    let _alone = alone();
    let kernel = "amd64-6.1-cloud";
    let facts = Facts::of(kernel);
    let (there, missing): (Vec<_>, Vec<_>) = SAYS.into_iter().partition(|(module, _)| facts.has_module(module));
    assert!(!there.is_empty(), "{kernel} has none of these modules");
    for (module, says) in &there {
        let trial = own(module, kernel, &[]);
        says.iter().for_each(|(what, how)| saw(&trial, what, how));
    }
    println!("{kernel}: {} modules used as their users would; not a module there: {missing:?}", there.len());
    // A plain module: only its parameters can be observed.
    let plain = own("crc_itu_t", kernel, &[]);
    assert!(plain.observed.probe.is_empty(), "{:#?}", plain.observed.probe);
    assert_eq!(plain.observed.unload.map(|unload| (unload.errno, unload.gone)), Some((Some(0), true)));
}

#[test]
#[ignore = "needs QEMU and a fetched kernel: tests/run runs it"]
fn a_users_own_probe_is_recorded() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("probe");
    let text = "#!/bin/sh\nread state < /sys/module/$MODULE/initstate\necho \"$MODULE is: $state\"\necho \"argument: $1\"\nexit 3\n";
    std::fs::write(&script, text).unwrap();
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&script, permissions).unwrap();
    let command = format!("{} something", Path::new(&script).display());
    let trial = own("crc_itu_t", "amd64-6.1-cloud", &["--probe", &command]);
    saw(&trial, "crc_itu_t is", "live");
    saw(&trial, "argument", "something");
    saw(&trial, "the probe ends with", "exit status: 3");
}

/// Does an oops report that a module was removed by force? (`print_tainted`, kernel/panic.c: `Tainted: GF R         E
/// 6.1.0`)
fn says_taint_r(console: &str) -> bool {
    let mut taints = console.lines().filter_map(|line| Some(line.split_once("Tainted: ")?.1));
    taints.any(|taints| taints.chars().take_while(|c| !c.is_ascii_digit()).any(|letter| letter == 'R'))
}

#[test]
#[ignore = "needs QEMU and a fetched kernel: tests/run runs it"]
fn forced_unloading_removes_what_is_in_use_and_taints_r() {
    let _alone = alone();
    // The probe opened the watchdog, which then keeps the module in use.
    let plain = own("softdog", "amd64-6.1-cloud", &[]);
    let unload = plain.observed.unload.unwrap();
    assert_eq!((unload.forced, unload.errno, unload.gone), (false, Some(11), false));
    // Without CONFIG_MODULE_FORCE_UNLOAD the flag has no effect (`try_force_unload`).
    let is_possible = Facts::of("amd64-6.1-cloud").is_set("MODULE_FORCE_UNLOAD");
    let mut command = fetched::kmodlab();
    command.args(["try", "softdog", "--json", "--accel", "tcg", "--load-modes", "original", "--rmmod-force"]);
    let kernel = deb("amd64-6.1-cloud");
    let output = command.arg("--built-for").arg(&kernel).arg("--kernel").arg(&kernel).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for line in text.lines() {
        let trial: Trial = serde_json::from_str(line).unwrap();
        let seen = &trial.observed;
        // The watchdog's timer still runs when its module is gone: the guest may crash before it answers.
        let died = seen.crash.as_ref().is_some_and(|crash| crash.phase == Phase::Unload);
        let expected = if is_possible { (true, Some(0), true) } else { (true, Some(11), false) };
        let shown = seen.unload.map(|unload| (unload.forced, unload.errno, unload.gone));
        assert!(shown == Some(expected) || shown.is_none() && is_possible && died, "{trial:#?}");
        let is_tainted = taint_letters(seen.taint_after).contains('R') || died && says_taint_r(&seen.console);
        assert_eq!(is_tainted, is_possible, "{trial:#?}");
    }
    assert_eq!(text.lines().count(), 3);
}
