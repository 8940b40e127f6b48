//! Experiments with a deterministic outcome: each has the outcome that its name states, each time that it is run in newly booted
//! guests (once, or as often as `KMODLAB_EXPERIMENTS` says), and each time its controls, the kernel's own module unforced and
//! forced, are clean.
//!
//! The fetched kernels change over time. So each experiment first reads the facts that its outcome follows from in the two
//! kernels (`premises`): CRCs, the layout of structures, version magic. If a newer kernel no longer has them, the experiment
//! prints this, and checks only that the kernel answers as predicted.

use kmodlab::lab::record::{CrashKind, Init, LoadMode, Observed, Phase, Trial, TrialOutcome, TrialRole};

use crate::support::premises::Pair;
use crate::vm::kernels::deb;
use crate::vm::{alone, fetched};

/// The message of a kernel that unlinks an element that was never linked (lib/list_debug.c).
const CORRUPTION: &str = "list_del corruption";

/// Tries modules of one kernel on another; returns the asked trials, in the order of modules and load modes. The controls must
/// be clean, and all trials must be as predicted.
fn tried(modules: &[&str], built_for: &str, kernel: &str, load_modes: &[LoadMode]) -> Vec<Trial> {
    let folder = tempfile::tempdir().unwrap();
    let mut command = fetched::kmodlab();
    command.args(["matrix", "--json", "--accel", "tcg", "--modules", &modules.join(","), "--load-modes"]);
    command
        .arg(load_modes.iter().map(|load_mode| load_mode.name()).collect::<Vec<_>>().join(","))
        .arg("--out")
        .arg(folder.path());
    let output = command.arg("--built-for").arg(deb(built_for)).arg("--kernels").arg(deb(kernel)).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{modules:?} of {built_for} on {kernel}: {said}");
    let text = String::from_utf8(output.stdout).unwrap();
    let trials: Vec<Trial> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (controls, asked): (Vec<Trial>, Vec<Trial>) =
        trials.into_iter().partition(|trial| trial.role == TrialRole::Control);
    assert_eq!(controls.len(), 2 * modules.len());
    for control in &controls {
        assert_eq!(control.outcome, TrialOutcome::NoDifference, "{kernel}'s own: {control:#?}");
        assert!(control.observed.warnings.is_empty() && control.observed.crash.is_none(), "{control:#?}");
    }
    for pair in controls.chunks(2) {
        // Forcing changes only the taint.
        assert_eq!((pair[0].load_mode, pair[1].load_mode), (LoadMode::Original, LoadMode::Forced));
        assert_eq!(pair[0].observed.probe, pair[1].observed.probe);
        assert_eq!((pair[0].observed.taint_after, taints(&pair[1].observed)), (0, "FE".to_owned()));
    }
    let wanted =
        modules.iter().flat_map(|module| load_modes.iter().map(|load_mode| (*module, *load_mode))).collect::<Vec<_>>();
    assert_eq!(asked.iter().map(|trial| (trial.module.name.as_str(), trial.load_mode)).collect::<Vec<_>>(), wanted);
    asked
}

fn taints(seen: &Observed) -> String {
    kmodlab::predict::taint_letters(seen.taint_after & !seen.taint_before)
}

/// The lines of the log are the predicted ones, in order, and lines that follow any taint (kernel/panic.c).
fn assert_nothing_but_what_was_predicted(trial: &Trial) {
    let shown =
        lines(&trial.observed).into_iter().filter(|line| *line != "Disabling lock debugging due to kernel taint");
    assert_eq!(shown.collect::<Vec<_>>(), trial.prediction.dmesg, "{trial:#?}");
}

fn lines(seen: &Observed) -> Vec<&str> {
    seen.log.iter().map(|line| line.text.as_str()).collect()
}

fn probed<'s>(seen: &'s Observed, what: &str) -> Option<&'s str> {
    seen.probe.iter().find(|seen| seen.what == what).map(|seen| seen.how.as_str())
}

/// Runs an experiment as often as it was asked for.
fn each_time(name: &str, experiment: impl Fn()) {
    let _alone = alone();
    let times: usize = std::env::var("KMODLAB_EXPERIMENTS").map_or(1, |times| times.parse().unwrap());
    assert!(times > 0, "KMODLAB_EXPERIMENTS is 0");
    for time in 1..=times {
        let begun = std::time::Instant::now();
        experiment();
        println!("{name}: as named, {time} of {times}, {:?}", begun.elapsed());
    }
}

#[test]
#[ignore = "needs QEMU and fetched kernels: tests/run runs it"]
fn refused_a_module_of_another_abi() {
    let pair = Pair::of("amd64-6.1-cloud-old", "amd64-6.1-cloud");
    let is_another_abi = pair.is_another_abi();
    each_time("refused", || {
        let modules = ["brd", "dummy", "loop", "veth"];
        for trial in tried(&modules, "amd64-6.1-cloud-old", "amd64-6.1-cloud", &[LoadMode::Original]) {
            if is_another_abi {
                assert_eq!((trial.outcome, trial.observed.errno), (TrialOutcome::Refused, Some(8)));
                let line = format!("{}: disagrees about version of symbol module_layout", trial.module.name);
                assert_eq!(lines(&trial.observed), [line]);
            }
        }
    });
}

#[test]
#[ignore = "needs QEMU and fetched kernels: tests/run runs it"]
fn pointless_where_symbol_versions_decide() {
    let pair = Pair::of("amd64-6.1-cloud-old", "amd64-6.1-cloud");
    let is_another_abi = pair.is_another_abi();
    each_time("pointless", || {
        let load_modes = [LoadMode::ForcedVermagic, LoadMode::Patched];
        for trial in tried(&["dummy"], "amd64-6.1-cloud-old", "amd64-6.1-cloud", &load_modes) {
            if is_another_abi {
                assert_eq!((trial.outcome, trial.observed.errno), (TrialOutcome::Refused, Some(8)));
                assert_eq!(lines(&trial.observed), ["dummy: disagrees about version of symbol module_layout"]);
            }
        }
    });
}

#[test]
#[ignore = "needs QEMU and fetched kernels: tests/run runs it"]
fn oops_of_a_module_for_a_realtime_kernel() {
    let kernels =
        ["amd64-6.1-cloud", "amd64-6.1"].map(|kernel| (kernel, Pair::of("amd64-6.1-rt", kernel).bus_is_overwritten()));
    each_time("oops", || {
        for (kernel, is_hit) in kernels {
            let [trial] = &tried(&["dummy"], "amd64-6.1-rt", kernel, &[LoadMode::Forced])[..] else { panic!() };
            if !is_hit {
                continue;
            }
            let seen = &trial.observed;
            let crash = seen.crash.as_ref().unwrap_or_else(|| panic!("{kernel}: {trial:#?}"));
            assert_eq!((trial.outcome, crash.kind, crash.phase), (TrialOutcome::Crash, CrashKind::Oops, Phase::Load));
            assert!(crash.line.starts_with("BUG: unable to handle page fault"), "{}", crash.line);
            let at = |name: &str| crash.trace.iter().position(|line| line.starts_with(name));
            let (register, init) = (at("register_netdevice+"), at("dummy_init_module+"));
            assert!(register.is_some() && register < init, "{:?}", crash.trace);
            // insmod is dead, and the module stays in the state "loading".
            assert_eq!((seen.errno, seen.init), (None, Init::Began));
            assert_eq!(seen.state.as_ref().map(|state| state.initstate.as_str()), Some("coming"));
            assert_eq!(taints(seen), "FDE");
        }
    });
}

#[test]
#[ignore = "needs QEMU and fetched kernels: tests/run runs it"]
fn silent_damage_with_an_old_layout() {
    let pair = Pair::of("amd64-6.1-cloud-old", "amd64-6.1-cloud");
    let is_silent = pair.damage_is_silent();
    each_time("silent", || {
        let [trial] = &tried(&["dummy"], "amd64-6.1-cloud-old", "amd64-6.1-cloud", &[LoadMode::Forced])[..] else {
            panic!()
        };
        let seen = &trial.observed;
        if is_silent {
            assert_eq!((trial.outcome, seen.errno, seen.init), (TrialOutcome::Misbehaves, Some(0), Init::Returned(0)));
            assert_eq!(probed(seen, "new network devices"), Some("dummy0"));
            assert_eq!(probed(seen, "dummy0 is given 3 packets"), Some("ok"));
            assert_eq!(probed(seen, "dummy0 counts as sent"), Some("0 packets"));
            assert_eq!(probed(seen, "dummy0 is deleted"), Some("EOPNOTSUPP"));
            // The log has lines about the taint, and about types if the two kernels' types differ. No line is about the damage.
            assert!(seen.crash.is_none() && seen.warnings.is_empty());
            assert_nothing_but_what_was_predicted(trial);
            assert_eq!(taints(seen), "FE");
        }
    });
}

#[test]
#[ignore = "needs QEMU and fetched kernels: tests/run runs it"]
fn no_init_where_the_pointer_is_elsewhere() {
    let pair = Pair::of("amd64-7.2-rt", "amd64-7.2-cloud");
    let is_elsewhere = pair.init_is_elsewhere();
    let [ours, theirs] = pair.places("module", "exit");
    let is_called = pair.premise("exit is at the same place", ours == theirs);
    let is_checked = pair.premise("the kernel checks its lists", pair.kernel.can_say(CORRUPTION));
    each_time("no init", || {
        let [trial] = &tried(&["dummy"], "amd64-7.2-rt", "amd64-7.2-cloud", &[LoadMode::Patched])[..] else { panic!() };
        let seen = &trial.observed;
        if is_elsewhere {
            assert_eq!((trial.outcome, seen.errno, seen.init), (TrialOutcome::InitNeverRan, Some(0), Init::NeverRan));
            assert_eq!(seen.state.as_ref().map(|state| state.initstate.as_str()), Some("live"));
            assert_eq!(probed(seen, "new network devices"), None);
            // A patch leaves no taint F: nothing shows that the module was forced.
            assert!(!taints(seen).contains('F'), "{}", taints(seen));
            // The strings fit in place, and the BTF that would expose the module is hidden.
            let change = trial.change.as_ref().unwrap();
            assert_eq!((change.impossible.as_deref(), change.edits.len()), (None, 3), "{change:#?}");
        }
        if is_elsewhere && is_called && is_checked {
            assert!(lines(seen).iter().any(|line| line.starts_with(CORRUPTION)), "{:?}", lines(seen));
            // A warning, or the end of the task (`CHECK_DATA_CORRUPTION`, include/linux/bug.h).
            let crash = seen.crash.as_ref().map(|crash| (crash.kind, crash.phase));
            let expected = pair.kernel.is_set("BUG_ON_DATA_CORRUPTION").then_some((CrashKind::Bug, Phase::Unload));
            assert_eq!(crash, expected, "{trial:#?}");
            assert!(crash.is_some() || !seen.warnings.is_empty(), "{trial:#?}");
        }
    });
}

#[test]
#[ignore = "needs QEMU and fetched kernels: tests/run runs it"]
fn plain_refusal_by_version_magic() {
    let pair = Pair::of("amd64-7.3-cloud", "amd64-7.2-cloud");
    let is_compared = pair.vermagic_decides();
    each_time("plain", || {
        let [trial] = &tried(&["dummy"], "amd64-7.3-cloud", "amd64-7.2-cloud", &[LoadMode::Original])[..] else {
            panic!()
        };
        if is_compared {
            assert_eq!((trial.outcome, trial.observed.errno), (TrialOutcome::Refused, Some(8)));
            let (ours, theirs) = (trial.module.vermagic.as_ref().unwrap(), &trial.kernel.vermagic);
            assert_ne!(ours, theirs);
            assert_eq!(lines(&trial.observed), [format!("dummy: version magic '{ours}' should be '{theirs}'")]);
        }
    });
}
