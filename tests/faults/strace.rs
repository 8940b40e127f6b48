//! strace: lists the system calls of a command, and lets one of them kill it or fail.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::process::Command;

use crate::workshop::{Ran, run};

/// What stands for many alike: a package manager's lists and sysfs's modules are only read, one like the other, and
/// some machines have thousands. The first few of each kind get their faults, all others none.
const ALIKE: [&str; 3] = ["/var/lib/dpkg/info/", "/var/lib/pacman/local/", "/sys/module/"];
const FEW: usize = 3;

/// One system call of a command: the `nth` of its name, counted from 1.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) nth: usize,
    /// strace's line, with the paths of descriptors.
    pub(crate) text: String,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, {}", self.name, self.nth, self.text)
    }
}

/// All system calls of a command line, in their order. It is one process with one thread.
pub(crate) fn all_calls(line: &[OsString]) -> Vec<Call> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let text = traced(&["-y"], line);
    let calls = text.lines().filter_map(|line| line.split_once('(').map(|(name, _)| (name, line)));
    calls
        // The first call is strace's own.
        .filter(|(name, _)| *name != "execve" && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
        .map(|(name, text)| {
            let nth = counts.entry(name.to_owned()).or_default();
            *nth += 1;
            Call { name: name.to_owned(), nth: *nth, text: text.to_owned() }
        })
        .collect()
}

/// Which of the calls are worth a fault.
pub(crate) fn worth_a_fault(calls: &[Call]) -> Vec<usize> {
    let mut alike: BTreeMap<(&str, usize), usize> = BTreeMap::new();
    let mut worth = Vec::new();
    for (at, call) in calls.iter().enumerate() {
        let Some(kind) = ALIKE.iter().position(|folder| call.text.contains(folder)) else {
            worth.push(at);
            continue;
        };
        let seen = alike.entry((&call.name, kind)).or_default();
        *seen += 1;
        if *seen <= FEW {
            worth.push(at);
        }
    }
    worth
}

/// Kills a command as it is about to make this call.
pub(crate) fn kill(call: &Call, line: &[OsString]) {
    let Call { name, nth, .. } = call;
    let injection = format!("inject={name}:signal=KILL:when={nth}");
    let ran = run(&strace("/dev/null".into(), &["-f", "-e", &format!("trace={name}"), "-e", &injection], line));
    assert_eq!(ran.code, None, "it was to be killed at {call}: {ran:?}");
}

/// Runs a command with calls that fail ("fsync:error=EIO:when=2").
pub(crate) fn fail(injections: &[String], line: &[OsString]) -> Ran {
    let names: Vec<&str> = injections.iter().filter_map(|injection| injection.split(':').next()).collect();
    let trace = format!("trace={}", names.join(","));
    let injections: Vec<String> = injections.iter().map(|injection| format!("inject={injection}")).collect();
    // With a filter in the kernel, the calls that are not asked for cost nothing. (It injects no signals.)
    let mut options = vec!["-f", "--seccomp-bpf", "-e", &trace];
    options.extend(injections.iter().flat_map(|injection| ["-e", injection]));
    run(&strace("/dev/null".into(), &options, line))
}

/// strace's own output of a command line.
pub(crate) fn traced(options: &[&str], line: &[OsString]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    run(&strace(file.path().into(), options, line));
    std::fs::read_to_string(file.path()).unwrap()
}

fn strace(output: OsString, options: &[&str], line: &[OsString]) -> Vec<OsString> {
    must_be_there();
    let mut all: Vec<OsString> = ["strace", "-qq", "-o"].map(OsString::from).to_vec();
    all.push(output);
    all.extend(options.iter().map(OsString::from));
    all.extend_from_slice(line);
    all
}

fn must_be_there() {
    let answer = Command::new("strace").arg("--version").output();
    assert!(answer.is_ok_and(|ran| ran.status.success()), "this test needs strace: install the package strace");
}
