//! A guest that hangs, floods its output or lies ends its trial within the limits, with the right outcome, and uses no more
//! memory than is allowed.

use std::time::{Duration, Instant};

use kmodlab::lab::guest::{Guest, GuestContents, GuestLimits, GuestSettings};
use kmodlab::lab::outcome::decide;
use kmodlab::lab::record::{End, Observed, Phase, TrialOutcome, TrialPrediction};
use kmodlab::lab::wire::TrialOrder;
use kmodlab::predict::Decision;

use crate::support::{alone, in_own_process};
use crate::vm::kernels::{X86_64, files_of};
use crate::vm::{compiled, settings};

/// For guests that only a limit ends: short, so that the test is short.
const SHORT: GuestLimits = limits(4, 8);

/// For guests that are ended because of their output, however slow a busy machine makes it. The limits are not reached.
const LONG: GuestLimits = limits(150, 300);

const fn limits(heartbeat: u64, trial: u64) -> GuestLimits {
    let of = Duration::from_secs;
    GuestLimits { boot: of(300), heartbeat: of(heartbeat), trial: of(trial) }
}

/// The time that may be added to a limit on a machine where eight other processes compete for the processor: for starting a
/// guest, reading its last output, and ending it.
const SLACK: Duration = Duration::from_secs(90);

/// A guest whose first process is `liar.c`.
fn liar(limits: GuestLimits) -> Guest {
    let folder = tempfile::tempdir().unwrap();
    let agent = compiled("tests/guests/vm/liar.c", folder.path());
    let settings = GuestSettings { agent: Some(agent), limits, ..settings() };
    let (_, image) = files_of("amd64-6.1-cloud", &[]).image.unwrap();
    Guest::boot(&GuestContents { machine: X86_64, image: &image, files: &[] }, &settings).unwrap()
}

fn asked(guest: &Guest, name: &str, limits: GuestLimits) -> Observed {
    let begun = Instant::now();
    let order = TrialOrder { trial: 1, name: name.to_owned(), file: "m/0.ko".to_owned(), ..TrialOrder::default() };
    let observed = guest.run(&order);
    assert!(begun.elapsed() < limits.trial + SLACK, "{name}: {:?}", begun.elapsed());
    println!("{name}: {:?} after {:?}", observed.end, begun.elapsed());
    observed
}

fn outcome(observed: &Observed) -> TrialOutcome {
    let prediction = TrialPrediction {
        verdict: Decision::Accepted,
        errno: None,
        errnos: Vec::new(),
        undecided: Vec::new(),
        dmesg: Vec::new(),
        taint: None,
        stage: None,
        findings: Vec::new(),
        needs: Vec::new(),
        dangers: Vec::new(),
    };
    decide(observed, &prediction, None, true)
}

/// The memory of this process that is in use, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
#[ignore = "needs QEMU and a fetched kernel: tests/run runs it"]
fn a_guest_that_lies_or_hangs_is_recognised_and_bounded() {
    let _alone = alone();
    // The test measures the memory of its own process.
    if !in_own_process!() {
        return;
    }
    let guest = liar(LONG);
    let before = resident();
    for (name, why) in [
        ("wrong-number", "message 7 instead of 1"),
        ("wrong-checksum", "message 1 does not match its checksum"),
        ("another-trial", "a message about trial 2, which was not ordered"),
        ("no-json", "a line that is not a message"),
        ("loaded-before-it-began", "the result of loading in the phase boot"),
        ("unknown-record", "message 1 is of an unknown kind"),
        ("never-ends-a-line", "a line that is not a message"),
        ("never-stops-talking", "more than 4194304 bytes of messages"),
    ] {
        let observed = asked(&guest, name, LONG);
        assert_eq!(observed.end, End::Broken(why.to_owned()), "{name}");
        assert_eq!(outcome(&observed), TrialOutcome::RecordBroken, "{name}");
    }
    // PID 1 must not exit: the kernel panics then, and the guest is gone.
    let observed = asked(&guest, "ends", LONG);
    assert_eq!(observed.end, End::Ended(Phase::Boot));
    assert_eq!(outcome(&observed), TrialOutcome::Crash);
    let guest = liar(SHORT);
    for name in ["says-nothing", "floods-the-console", "beats-for-ever"] {
        let observed = asked(&guest, name, SHORT);
        assert_eq!(observed.end, End::Silent(Phase::Boot), "{name}");
        assert_eq!(outcome(&observed), TrialOutcome::Hang, "{name}");
        assert!(observed.console.len() <= 16 << 10, "{name}");
    }
    let more = resident().saturating_sub(before);
    println!("memory taken by all of it: {more} KiB");
    assert!(more < 64 << 10, "{more} KiB more than before");
}
