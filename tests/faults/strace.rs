//! strace: lists the system calls of a command, and lets one of them kill it or fail.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::process::Command;

use crate::workshop::{Ran, run};

/// Folders with many files that are all read in the same way: a package manager's lists and the modules in sysfs are only read,
/// and some machines have thousands of them. Only the first few files of each kind get faults.
const ALIKE: [&str; 3] = ["/var/lib/dpkg/info/", "/var/lib/pacman/local/", "/sys/module/"];
const FEW: usize = 3;

/// Calls whose quoted text is data and not a name.
const WITH_CONTENT: [&str; 5] = ["getrandom", "read", "write", "pread64", "pwrite64"];

/// One system call of a command: the `nth` of its name, counted from 1.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) nth: usize,
    /// The line of strace, with the paths of descriptors.
    pub(crate) text: String,
}

impl Call {
    /// The subject of the call: the files of its descriptors, and the names in its arguments. Process IDs and times, which
    /// differ between runs, are left out.
    fn about(&self) -> (Vec<String>, Vec<String>) {
        let (arguments, _) = self.text.rsplit_once(") = ").unwrap_or((&self.text, ""));
        let plain = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect();
        let brackets = arguments.split('<').skip(1).filter_map(|text| text.split('>').next());
        let files = brackets.filter(|text| text.starts_with('/')).map(plain).collect();
        let names = arguments.split('"').skip(1).step_by(2).map(plain);
        (files, if WITH_CONTENT.contains(&self.name.as_str()) { Vec::new() } else { names.collect() })
    }

    /// Is `killed`, a call of another run that was killed there, the same call? strace does not print the result of a killed
    /// call.
    fn is_same(&self, killed: &Call) -> bool {
        let ((files, names), (theirs, known)) = (self.about(), killed.about());
        self.name == killed.name && files == theirs && names.starts_with(&known)
    }

    /// The same call among those of another run.
    fn among<'c>(&self, before: &[Call], now: &'c [Call]) -> Option<&'c Call> {
        let alike = |call: &&Call| call.name == self.name && call.about() == self.about();
        let at = before.iter().filter(alike).position(|call| call.nth == self.nth)?;
        now.iter().filter(alike).nth(at)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, {}", self.name, self.nth, self.text)
    }
}

/// The system calls that one run makes in its first thread, in order.
fn calls_of_a_run(line: &[OsString]) -> Vec<Call> {
    calls_in(&traced(&["-y"], line))
}

/// All system calls of a command line, in order. The command is one process with one thread.
///
/// Other processes affect the calls of a run. It reads all lists of installed packages, and a package manager adds some. It
/// also maps the module under a lease, which the kernel refuses while a process has the module open for writing. If this thread
/// is writing the module while another thread starts a process, that process has the module open until it executes its own
/// program; on a busy machine this takes long. Then the module is read instead: one `statx` and two `read` more, two `mmap` and
/// `munmap` less. A fault would wait for a call that no later run makes. So the command is run until two consecutive runs make
/// the same calls. `reset` restores its files before each run.
pub(crate) fn all_calls(line: &[OsString], reset: &dyn Fn()) -> Vec<Call> {
    let list = || {
        reset();
        calls_of_a_run(line)
    };
    let mut calls = list();
    for _ in 0..TRIES {
        let again = list();
        let thread = again.iter().find(|call| call.name.starts_with("clone"));
        assert!(thread.is_none(), "another thread's calls come in any order: {thread:?}");
        if counts(&calls) == counts(&again) {
            return again;
        }
        calls = again;
    }
    panic!("{line:?} makes other calls in each of {TRIES} runs");
}

/// The system calls in strace's output.
fn calls_in(text: &str) -> Vec<Call> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    // With -f, each line begins with the process ID.
    let lines = text.lines().map(|line| line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' '));
    let calls = lines.filter_map(|line| line.split_once('(').map(|(name, _)| (name, line)));
    calls
        // The first call is made by strace itself.
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

/// How often calls are listed and a call is searched for, until no other process disturbs a run.
const TRIES: usize = 10;

/// Kills a command just before it makes this call, one of the listed calls. `reset` restores its files.
///
/// strace identifies a call by its number among the calls of its name. What the program reads on this machine (package
/// managers' lists, loaded modules) can have changed since the list was made, and then the number belongs to another call or to
/// none. So the call at which the run was killed is checked; if it is a different one, the calls are listed again.
pub(crate) fn kill(call: &Call, calls: &[Call], line: &[OsString], reset: &dyn Fn()) {
    let (mut wanted, mut why) = (call.clone(), Vec::new());
    for _ in 0..TRIES {
        reset();
        match killed_at(&wanted, line) {
            Ok(()) => return,
            Err(instead) => why.push(instead),
        }
        let now = all_calls(line, reset);
        why.push(differences(calls, &now));
        if let Some(same) = call.among(calls, &now) {
            wanted = same.clone();
        }
    }
    panic!("it was to be killed at {call}, {TRIES} times: {why:#?}");
}

/// Kills a command with several threads at a call of this name: strace counts the calls of each thread separately, so the first
/// thread that reaches the number determines the call. Returns false if no thread reached it and the command ended by itself.
pub(crate) fn kill_a_thread(call: &Call, line: &[OsString]) -> bool {
    let Call { name, nth, .. } = call;
    let injection = format!("inject={name}:signal=KILL:when={nth}");
    let options = ["-f", "-e", &format!("trace={name}"), "-e", &injection];
    run(&strace("/dev/null".into(), &options, line)).code.is_none()
}

/// Kills a command at this call; returns what happened instead if it was not killed there.
fn killed_at(call: &Call, line: &[OsString]) -> Result<(), String> {
    let Call { name, nth, .. } = call;
    let injection = format!("inject={name}:signal=KILL:when={nth}");
    let file = tempfile::NamedTempFile::new().unwrap();
    let options = ["-f", "-y", "-e", &format!("trace={name}"), "-e", &injection];
    let ran = run(&strace(file.path().into(), &options, line));
    let made = calls_in(&std::fs::read_to_string(file.path()).unwrap());
    match made.last() {
        Some(last) if ran.code.is_none() && last.nth == *nth && call.is_same(last) => Ok(()),
        last => Err(format!("{ran:?}; its last call was {last:?}, the {nth}th was to be {call}")),
    }
}

/// The name of a call, with its files and texts.
type About = (String, (Vec<String>, Vec<String>));

/// The number of calls by name, files and texts.
fn counts(calls: &[Call]) -> BTreeMap<About, usize> {
    let mut counts = BTreeMap::new();
    calls.iter().for_each(|call| *counts.entry((call.name.clone(), call.about())).or_default() += 1_usize);
    counts
}

/// The calls whose number differs between two runs.
fn differences(before: &[Call], now: &[Call]) -> String {
    let (before, now) = (counts(before), counts(now));
    let keys: std::collections::BTreeSet<_> = before.keys().chain(now.keys()).collect();
    let of = |counts: &BTreeMap<_, usize>, key| counts.get(key).copied().unwrap_or_default();
    let differing = keys.into_iter().filter(|key| of(&before, key) != of(&now, key));
    let shown: Vec<String> = differing
        .take(20)
        .map(|key| format!("{} {:?}: {} then, {} now", key.0, key.1, of(&before, key), of(&now, key)))
        .collect();
    if shown.is_empty() { "the same calls are listed again".to_owned() } else { shown.join("; ") }
}

/// Runs a command with calls that fail ("fsync:error=EIO:when=2").
pub(crate) fn fail(injections: &[String], line: &[OsString]) -> Ran {
    let names: Vec<&str> = injections.iter().filter_map(|injection| injection.split(':').next()).collect();
    let trace = format!("trace={}", names.join(","));
    let injections: Vec<String> = injections.iter().map(|injection| format!("inject={injection}")).collect();
    // With a filter in the kernel, other calls are not slowed down. (The filter cannot be used to inject signals.)
    let mut options = vec!["-f", "--seccomp-bpf", "-e", &trace];
    options.extend(injections.iter().flat_map(|injection| ["-e", injection]));
    run(&strace("/dev/null".into(), &options, line))
}

/// The output of strace for a command line.
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
