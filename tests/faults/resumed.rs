//! Commands that the same command completes, whatever stopped it: killed at each system call, with each call failing.

use std::ffi::OsString;
use std::fmt;

use crate::played::Played;
use crate::scene::Doing;
use crate::strace::{self, Call};
use crate::workshop::run;

/// A command that the same command completes. `Display` prints the counts.
pub(crate) trait Resumed: Played + fmt::Display {
    /// The command line of the same command, with the digest that confirms it now; `None` if nothing is left to do.
    fn again(&self) -> Option<Vec<OsString>>;
    /// After a fault: counts how far the command got. Returns false if these files were seen before, which need no second proof.
    fn is_news(&self) -> bool;
    /// After a recovery: checks that nothing was lost.
    fn must_be_recovered(&self);
    /// Checks that the command did everything, and that nothing is left to do.
    fn must_be_complete(&self);
    /// After the command was completed: checks that everything works.
    fn must_work(&self);

    /// After a fault: recovers, runs the same command again, and checks that everything is there and works.
    fn aftermath(&self) {
        if !self.is_news() {
            return;
        }
        let recovered = run(&self.shop.line(&["recover"]));
        assert_eq!(recovered.code, Some(0), "{recovered:?}");
        assert_eq!(self.shop.leftover(), None);
        self.must_be_recovered();
        if let Some(line) = self.again() {
            run(&line).with(0);
        }
        self.must_be_complete();
        self.must_work();
    }
}

/// Which calls get a fault, unless all do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// All of them.
    All,
    /// Those that concern the files of the workshop: another scene makes the same other calls.
    Files,
    /// Those of them from the first one that changes something: another scene reads in the same way.
    Changes,
}

/// The calls that change names or contents.
const CHANGING: [&str; 4] = ["linkat", "renameat", "renameat2", "pwrite64"];

impl Of {
    /// Which of the calls get a fault.
    fn worth(self, calls: &[Call], home: &str) -> Vec<usize> {
        let mut worth = strace::worth_a_fault(calls);
        let is_all = self == Of::All || crate::crowd::is_all();
        worth.retain(|at| is_all || calls[*at].text.contains(home));
        if self == Of::Changes && !is_all {
            let is_change = |at: &usize| CHANGING.contains(&calls[*at].name.as_str());
            worth.drain(..worth.iter().position(is_change).unwrap());
        }
        worth
    }
}

/// Kills the command at each system call.
pub(crate) fn killed_at_each_call(scene: &impl Resumed, of: Of) {
    let calls = scene.calls();
    let worth = of.worth(&calls, scene.shop.home());
    for call in worth.iter().map(|at| &calls[*at]) {
        let _doing = Doing(format!("{} was killed at {call}", scene.name));
        scene.kill(call, &calls);
        scene.aftermath();
    }
    println!("{}: {} calls, SIGKILL at each: {scene}", scene.name, worth.len());
}

/// Makes each call fail with each error, once and from then on.
pub(crate) fn failing_at_each_call(scene: &impl Resumed, of: Of) {
    let calls = scene.calls();
    let worth = of.worth(&calls, scene.shop.home());
    for (at, call) in worth.iter().map(|at| &calls[*at]).enumerate() {
        let errors = ["EIO", "ENOSPC", "EROFS", "EMFILE"];
        for (nth, error) in errors.into_iter().enumerate() {
            if !crate::crowd::is_all() && (at + nth) % 2 == 1 {
                continue;
            }
            for on in ["", "+"] {
                scene.reset();
                let _doing = Doing(format!("{}: {error}{on} at {call}", scene.name));
                let injection = format!("{}:error={error}:when={}{on}", call.name, call.nth);
                let ran = strace::fail(&[injection], &scene.line);
                match ran.code {
                    Some(0) => scene.must_be_complete(),
                    Some(2..=5) => {
                        assert!(ran.err.lines().all(|line| line.starts_with("kmodlab: ")), "{ran:?}");
                    }
                    _ => assert!(ran.err.contains("unexpected error during closedir"), "{ran:?}"),
                }
                scene.aftermath();
            }
        }
    }
    println!("{}: {} calls, failing once and from then on: {scene}", scene.name, worth.len());
}
