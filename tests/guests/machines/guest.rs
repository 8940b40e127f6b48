//! Guests: a kernel with our first process and its trials, booted as often as needed to run each trial.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::machines::answers::Answers;
use crate::machines::architectures::Machine;
use crate::machines::initramfs;
use crate::machines::report::{Report, Seen, checked};
use crate::machines::trials::{Subject, Trial};

/// How much processor time QEMU may use while a guest prints nothing, and how long a guest may print nothing while QEMU uses
/// none. The first limit does not depend on how busy this machine is.
const BUSY: Duration = Duration::from_secs(90);
const IDLE: Duration = Duration::from_secs(600);

/// The largest number of boots per kernel.
const MOST_BOOTS: usize = 120;

/// The largest number of consecutive boots without a result.
const MOST_IDLE: usize = 3;

/// The number of console lines that are kept when a guest ended.
const CONSOLE: usize = 30;

/// Parts of the lines that are printed once per boot (`pr_warn_once`, `pr_notice_once` in kernel/module/ of 6.12).
pub(crate) const ONCE: [&str; 3] =
    ["no symbol version for ", "Kernel module BTF mismatch detected", "tainting kernel with TAINT_LIVEPATCH"];

/// A kernel that is ready to be booted.
pub(crate) struct Guests<'a> {
    pub(crate) machine: &'a Machine,
    pub(crate) image: Vec<u8>,
    pub(crate) subjects: &'a [Subject],
    pub(crate) trials: &'a [Trial],
    pub(crate) init: Vec<u8>,
    pub(crate) folder: PathBuf,
}

/// The observations by trial number, how many of them are from an earlier run, the number of boots, and how many trials were
/// repeated because the guest died before the kernel answered.
#[derive(Default)]
pub(crate) struct Outcomes {
    pub(crate) seen: BTreeMap<usize, Seen>,
    pub(crate) kept: usize,
    pub(crate) boots: usize,
    pub(crate) repeated: usize,
}

impl Guests<'_> {
    /// Runs each trial.
    pub(crate) fn run(&self) -> Outcomes {
        std::fs::create_dir_all(&self.folder).unwrap();
        let image = self.folder.join("kernel");
        std::fs::write(&image, &self.image).unwrap();
        let modules: Vec<(String, &[u8])> = self
            .subjects
            .iter()
            .enumerate()
            .map(|(at, subject)| (format!("m/{at}"), subject.bytes.as_slice()))
            .collect();
        let modules = initramfs::archive(&modules);
        let answers = Answers::open(self);
        let mut outcomes = Outcomes { seen: answers.kept(), ..Outcomes::default() };
        outcomes.kept = outcomes.seen.len();
        let mut waiting: Vec<usize> = (0..self.trials.len()).collect();
        waiting.retain(|number| !outcomes.seen.contains_key(number));
        let (mut idle, mut repeated) = (0, BTreeSet::new());
        while !waiting.is_empty() && outcomes.boots < MOST_BOOTS {
            outcomes.boots += 1;
            let mut seen = BTreeMap::new();
            self.boot(&image, &modules, &waiting, &mut seen);
            idle = if seen.is_empty() { idle + 1 } else { 0 };
            assert!(idle < MOST_IDLE, "{idle} boots without a trial; see {}", self.folder.join("console").display());
            // Only a guest that dies each time was ended by its module: an emulated kernel also panics by itself (s390x, in two of
            // three runs on a busy host: a jump to address 0 while a sound module was loaded).
            let once: Vec<usize> =
                seen.iter().filter(|(_, seen)| seen.has_no_answer()).map(|(number, _)| *number).collect();
            for number in once {
                if repeated.insert(number) {
                    seen.remove(&number);
                }
            }
            answers.keep(&seen);
            waiting.retain(|number| !seen.contains_key(number));
            outcomes.seen.extend(seen);
        }
        outcomes.repeated = repeated.len();
        outcomes
    }

    fn boot(&self, image: &Path, modules: &[u8], waiting: &[usize], seen: &mut BTreeMap<usize, Seen>) {
        let mut list = format!("{}\n", self.machine.port);
        for number in waiting {
            let Trial { subject, flags } = self.trials[*number];
            let Subject { exports, name, .. } = &self.subjects[subject];
            list += &format!("{number} {subject} {flags} {} {name}\n", u8::from(*exports));
        }
        // The kernel unpacks one archive after the other.
        let rest =
            initramfs::archive(&[("init".to_owned(), self.init.as_slice()), ("list".to_owned(), list.as_bytes())]);
        let initramfs = self.folder.join("initramfs");
        std::fs::write(&initramfs, [modules, &rest].concat()).unwrap();
        let console = self.folder.join("console");
        let mut words = self.machine.qemu.split_whitespace();
        let mut command = Command::new(words.next().unwrap());
        command.args(words).args(["-display", "none", "-nodefaults", "-no-reboot", "-monitor", "none"]);
        command.arg("-chardev").arg(format!("file,id=console,path={}", console.display()));
        command.args(["-chardev", "stdio,id=result,signal=off", "-kernel"]).arg(image).arg("-initrd").arg(&initramfs);
        command.arg("-append").arg(format!("{} panic=-1 loglevel=5", self.machine.command_line));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let qemu = Qemu(command.spawn().expect("QEMU: tests/run installs what the tests need"));
        self.listen(qemu, &console, seen);
    }

    /// Reads the guest's reports until it ends.
    fn listen(&self, mut qemu: Qemu, console: &Path, all: &mut BTreeMap<usize, Seen>) {
        let (sender, lines) = mpsc::channel();
        let output = BufReader::new(qemu.0.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.split(b'\n') {
                let Ok(line) = line else { return };
                if sender.send(String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned()).is_err() {
                    return;
                }
            }
        });
        let mut current: Option<Report> = None;
        let mut earlier: Vec<String> = Vec::new();
        let (mut heard, mut used) = (Instant::now(), qemu.processor_time());
        loop {
            let line = match lines.recv_timeout(Duration::from_secs(1)) {
                Ok(line) => line,
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    if qemu.processor_time() - used > BUSY || heard.elapsed() > IDLE {
                        break;
                    }
                    continue;
                }
            };
            (heard, used) = (Instant::now(), qemu.processor_time());
            let Some(text) = checked(&line) else { continue };
            let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
            match (word, &mut current) {
                ("s", _) => current = Some(Report::begin(rest.parse().unwrap(), &earlier)),
                ("x", _) => panic!("{}: {rest}", self.folder.display()),
                ("e", _) => {
                    let Some(mut report) = current.take() else { continue };
                    let is_complete = report.end(rest);
                    let is_once = |line: &&String| ONCE.iter().any(|once| line.contains(once));
                    earlier.extend(report.seen.log.iter().filter(is_once).cloned());
                    // A port may lose lines; then the trial is run again, in another boot.
                    if is_complete {
                        all.insert(report.number, report.seen);
                    }
                }
                ("b" | "k" | "z", _) => {}
                (_, Some(report)) => report.add(word, rest),
                (_, None) => {}
            }
        }
        drop(qemu);
        if let Some(Report { number, mut seen, .. }) = current {
            let text = String::from_utf8_lossy(&std::fs::read(console).unwrap_or_default()).into_owned();
            let last: Vec<String> = text.lines().rev().take(CONSOLE).map(str::to_owned).collect();
            seen.log.extend(last.into_iter().rev());
            all.insert(number, seen);
        }
    }
}

/// A QEMU process, which is ended when this is dropped.
struct Qemu(Child);

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Qemu {
    /// The processor time that it has used so far (proc(5): fields 14 and 15 of `stat`, in hundredths of a second).
    fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap_or_default();
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 10)
    }
}
