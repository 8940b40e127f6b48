//! Helpers for several test programs: the program under test, fetched kernels and their facts, the sessions in documents, and a
//! separate process per test.

#![allow(dead_code, reason = "each test program uses a part of it")]

pub(crate) mod facts;
pub(crate) mod fetched;
pub(crate) mod premises;
pub(crate) mod sessions;

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The program under test.
pub(crate) const KMODLAB: &str = env!("CARGO_BIN_EXE_kmodlab");

/// The name of the test that runs in this process only.
const OWN_PROCESS: &str = "KMODLAB_TEST_IN_OWN_PROCESS";

/// Held by tests that use all cores, so that only one of them runs at a time.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the calling test in a separate process: `if !in_own_process!() { return; }`.
///
/// The other tests of the program are threads of the same process. A test that changes a property of the process (its umask)
/// must not disturb them, and a test that measures the process (its peak memory) must not measure them.
macro_rules! in_own_process {
    () => {
        $crate::support::runs_in_own_process(std::any::type_name_of_val(&|| {}))
    };
}
pub(crate) use in_own_process;

/// Is this a process that was started for one test?
pub(crate) fn is_in_own_process() -> bool {
    std::env::var_os(OWN_PROCESS).is_some()
}

/// Returns true in the process that was started for a test. In any other process, starts that process, waits for it, fails
/// if the test fails there, and returns false. `closure` is the type name of a closure in the test's function.
pub(crate) fn runs_in_own_process(closure: &str) -> bool {
    let (_, test) = closure.trim_end_matches("::{{closure}}").split_once("::").unwrap();
    if std::env::var_os(OWN_PROCESS).is_some_and(|name| name == test) {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--include-ignored", "--nocapture"]).env(OWN_PROCESS, test);
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let passed = output.status.success() && out.contains("test result: ok. 1 passed");
    assert!(passed, "{test}, in a process of its own: {}\n{out}{err}", output.status);
    print!("{out}");
    false
}
