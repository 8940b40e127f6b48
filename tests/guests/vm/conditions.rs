//! The prediction knows the command line of a guest's kernel, and the trial records it.

use kmodlab::lab::record::{Agreement, Trial, TrialCondition, TrialOutcome, TrialRole};

use crate::vm::kernels::deb;
use crate::vm::{alone, fetched};

/// The kernel's own module, forced, with additional words on the kernel's command line.
fn forced_under(words: &str) -> Vec<Trial> {
    let kernel = deb("amd64-6.1-cloud");
    let mut command = fetched::kmodlab();
    command.args(["try", "dummy", "--json", "--accel", "tcg", "--load-modes", "forced", "--append", words]);
    let output = command.arg("--built-for").arg(&kernel).arg("--kernel").arg(&kernel).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
#[ignore = "needs QEMU and a fetched kernel: tests/run runs it"]
fn a_kernel_that_insists_on_signatures_refuses_what_is_forced() {
    let _alone = alone();
    for (words, errno) in [("module.sig_enforce=1", 129), ("lockdown=integrity", 1)] {
        let trials = forced_under(words);
        for trial in &trials {
            assert_eq!(trial.agreement, Agreement::Agree, "{words}: {trial:#?}");
            assert_eq!(trial.conditions, [TrialCondition::KernelArguments(words.to_owned())]);
        }
        // With a force flag the kernel does not look for a signature, so the module counts as unsigned.
        let asked = trials.iter().find(|trial| trial.role == TrialRole::Asked).unwrap();
        assert_eq!((asked.outcome, asked.observed.errno), (TrialOutcome::Refused, Some(errno)), "{words}");
    }
}
