//! A waiting guest and its clones: one boot per kernel, and a disposable copy per trial.
//!
//! The memory of the waiting guest is a file. A clone maps it copy-on-write and receives the rest of the state, a few
//! hundred kilobytes. So a clone costs a fraction of a boot, and neither taint nor modules nor damage pass from one
//! trial to the next.
//!
//! Nothing of a refused module runs, so a clone whose kernel refused a module as expected, and is in the state of its
//! boot, takes the next module that is expected to be refused. Only an answer that is the expected one counts there;
//! every other trial, and every other answer, gets a clone of its own.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::lab::acceleration::{self, Acceleration, FIRST_BYTE};
use crate::lab::console;
use crate::lab::initramfs::InitramfsBase;
use crate::lab::machine_type::MachineType;
use crate::lab::qemu::{GuestMemory, Qemu, QemuSetup, ReceiveError};
use crate::lab::record::{End, Init, LogLine, Observed, Phase, UnloadReport};
use crate::lab::temporary_folder::TemporaryFolder;
use crate::lab::wire::{self, AGENT, AgentMessage, PHASE_MARK, TrialOrder, UnloadMode};

/// Time limits of guests. On a busy machine without hardware acceleration everything takes long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestLimits {
    /// From the start of the boot until the agent answers.
    pub boot: Duration,
    /// Without any message from the agent. The guest's own watchdog allows a processor that does not leave the kernel
    /// half of that.
    pub heartbeat: Duration,
    /// For a whole trial: the limits of its phases, and a reserve for a busy machine.
    pub trial: Duration,
}

impl Default for GuestLimits {
    fn default() -> GuestLimits {
        let of = Duration::from_secs;
        GuestLimits { boot: of(120), heartbeat: of(25), trial: of(90) }
    }
}

/// The most bytes of messages per trial. A trial with 400 log lines in each phase needs a tenth of that.
const MOST_BYTES: usize = 4 << 20;

/// The most bytes of console output that are kept in a record: an oops with its trace needs about five thousand.
const CONSOLE_KEPT: usize = 16 << 10;

/// How long a guest settles before it is cloned: kernels calibrate their clocks for another second after the first
/// process has started, and each clone would do that again.
const SETTLING: Duration = Duration::from_millis(1200);

/// How long to wait for more console output after the guest's last message.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// The most modules that one clone refuses.
const MOST_REFUSALS: u64 = 100;

/// The guest's memory in addition to its initramfs, in MiB.
const MEMORY: u64 = 256;

/// How guests of trials are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// As clones of a waiting guest.
    #[default]
    Clone,
    /// Booted for each trial.
    Boot,
}

/// How guests are run.
#[derive(Clone, Debug)]
pub struct GuestSettings {
    /// The path of this program, which starts QEMU and is the agent.
    pub kmodlab: PathBuf,
    /// Another build of this program, for guests of another architecture.
    pub agent: Option<PathBuf>,
    /// The cache folder, which remembers whether hardware acceleration works.
    pub cache: Option<PathBuf>,
    /// Time limits.
    pub limits: GuestLimits,
    /// Hardware acceleration or translation, if the user has chosen.
    pub acceleration: Option<Acceleration>,
    /// How guests of trials are made.
    pub isolation: Isolation,
    /// Additional kernel arguments.
    pub command_line: String,
    /// The user's own probe: a program and its arguments.
    pub probe: Vec<String>,
}

/// The contents of a guest: a kernel image, and files.
pub struct GuestContents<'c> {
    /// The kernel's ELF machine.
    pub machine: u16,
    /// The image, as QEMU boots it.
    pub image: &'c [u8],
    /// Files by name, without a leading slash.
    pub files: &'c [(String, &'c [u8])],
}

/// A booted guest that waits for orders.
pub struct Guest {
    parts: QemuSetup,
    /// The state that a clone receives; `None` if each trial is booted.
    state: Option<Vec<u8>>,
    /// The kernel's release (`uname -r`).
    pub release: String,
    started: AtomicUsize,
    limits: GuestLimits,
    /// Clones that have refused modules, by the thread that started them: QEMU ends with it.
    used: Mutex<HashMap<ThreadId, WaitingGuest>>,
    /// Keeps the folder as long as there may be clones.
    _folder: TemporaryFolder,
}

/// Why a guest did not boot.
#[derive(Debug)]
pub enum BootFailure {
    /// QEMU did not start, or failed.
    Qemu(Error),
    /// The kernel did not boot up to the agent: the reason, and the end of the console output.
    NoBoot(String, String),
}

impl BootFailure {
    /// The record of a trial that was not run because of it.
    fn observed(self) -> Observed {
        match self {
            BootFailure::Qemu(error) => Observed { end: End::Qemu(error.to_string()), ..Observed::default() },
            BootFailure::NoBoot(why, console) => Observed { end: End::NoBoot(why), console, ..Observed::default() },
        }
    }
}

impl From<Error> for BootFailure {
    fn from(error: Error) -> BootFailure {
        BootFailure::Qemu(error)
    }
}

/// Finds QEMU's program on PATH.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] if it is not there.
pub fn find_qemu(machine_type: &MachineType) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(machine_type.qemu)).find(|file| file.is_file());
    found.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("{} is not on PATH", machine_type.qemu)).remedy(Remedy::InstallMissing)
    })
}

/// What guests need from this machine.
#[derive(Debug)]
pub struct GuestRequirements {
    machine_type: &'static MachineType,
    qemu: PathBuf,
    base: InitramfsBase,
}

/// Checks the prerequisites of guests of an ELF machine: QEMU, and a program that can be their agent.
///
/// # Errors
///
/// [`ErrorKind::Unsupported`] for a machine without guests, or whose guests cannot run this program;
/// [`ErrorKind::NotFound`] without QEMU; those of [`InitramfsBase::new`].
pub fn ready(machine: u16, settings: &GuestSettings) -> Result<GuestRequirements> {
    let machine_type = MachineType::of(machine)?;
    let qemu = find_qemu(machine_type)?;
    let temporary = std::env::temp_dir();
    if !temporary.is_dir() {
        let what = "no folder for temporary files";
        return Err(Error::new(ErrorKind::NotFound, what).hint("set TMPDIR to an existing folder").on(temporary));
    }
    let mut base = InitramfsBase::new(settings.agent.as_deref().unwrap_or(&settings.kmodlab))?;
    if base.machine != machine_type.machine {
        let what = format!("the kernel needs {}, and this program cannot run there", machine_type.qemu);
        return Err(Error::new(ErrorKind::Unsupported, what).remedy(Remedy::SupplyAgent));
    }
    if let Some(program) = settings.probe.first() {
        base.add_program(Path::new(program))?;
    }
    Ok(GuestRequirements { machine_type, qemu, base })
}

impl Guest {
    /// Boots a kernel up to the agent.
    ///
    /// # Errors
    ///
    /// [`BootFailure`].
    pub fn boot(contents: &GuestContents<'_>, settings: &GuestSettings) -> Result<Guest, BootFailure> {
        let GuestRequirements { machine_type, qemu, base } = ready(contents.machine, settings)?;
        let folder = TemporaryFolder::new()?;
        let archive = base.archive(contents.files.iter().map(|(name, bytes)| (name.as_str(), *bytes)))?;
        // The kernel keeps the archive and the files unpacked from it at the same time.
        let memory = MEMORY + 2 * (archive.len() as u64).div_ceil(1 << 20);
        let (image, initramfs) = (folder.path().join("image"), folder.path().join("initramfs"));
        for (path, bytes) in [(&image, contents.image), (&initramfs, &archive)] {
            std::fs::write(path, bytes).map_err(|e| Error::io("writing", e).on(path))?;
        }
        let parts = QemuSetup {
            kmodlab: settings.kmodlab.clone(),
            qemu,
            machine_type,
            acceleration: Acceleration::Tcg,
            image,
            initramfs,
            command_line: format!(
                // On a busy machine a guest runs in slices. An x86 kernel that counts timer interrupts, to check that
                // they arrive, would count none and panic (`timer_irq_works`, arch/x86/kernel/apic/io_apic.c).
                "{} console={} panic=-1 softlockup_panic=1 no_timer_check ignore_loglevel ipv6.disable=1 rdinit=/{AGENT}",
                settings.command_line, machine_type.console
            ),
            memory: memory.next_multiple_of(16),
            folder: folder.path().to_owned(),
        };
        let (parts, mut up) = accelerated(parts, settings)?;
        let state = match settings.isolation {
            Isolation::Clone => {
                std::thread::sleep(SETTLING);
                Some(up.qemu.save()?)
            }
            Isolation::Boot => None,
        };
        let release = up.release;
        let (started, used) = (AtomicUsize::new(0), Mutex::default());
        Ok(Guest { parts, state, release, started, limits: settings.limits, used, _folder: folder })
    }

    /// Runs one trial in a guest of its own. QEMU ends with the calling thread.
    pub fn run(&self, order: &TrialOrder) -> Observed {
        self.fresh().map_or_else(BootFailure::observed, |fresh| self.ask(fresh, order).0)
    }

    /// As [`run`](Guest::run), for a module that is expected to be refused: in a clone whose kernel refused modules before
    /// and is in the state of its boot, if the calling thread has one. What is observed there counts only if it is what was
    /// expected; otherwise the trial is run again, in a guest of its own.
    pub fn run_refusal(&self, order: &TrialOrder, is_expected: impl Fn(&Observed) -> bool) -> Observed {
        if self.state.is_none() {
            return self.run(order);
        }
        let counts = |observed: &Observed| is_clean_refusal(observed) && is_expected(observed);
        let keep = |waiting: WaitingGuest| {
            if waiting.trials < MOST_REFUSALS {
                self.lock_used().insert(std::thread::current().id(), waiting);
            }
        };
        let used = self.lock_used().remove(&std::thread::current().id());
        if let Some((observed, Some(waiting))) = used.map(|used| self.ask(used, order))
            && counts(&observed)
        {
            keep(waiting);
            return observed;
        }
        let (observed, waiting) = match self.fresh() {
            Ok(fresh) => self.ask(fresh, order),
            Err(failure) => return failure.observed(),
        };
        waiting.filter(|_| counts(&observed)).into_iter().for_each(keep);
        observed
    }

    /// The number of clones so far, or of boots for trials.
    pub fn clones(&self) -> usize {
        self.started.load(Ordering::Relaxed)
    }

    fn lock_used(&self) -> MutexGuard<'_, HashMap<ThreadId, WaitingGuest>> {
        self.used.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Runs a trial in this guest; returns the guest too if its kernel is in the state of its boot.
    fn ask(&self, waiting: WaitingGuest, order: &TrialOrder) -> (Observed, Option<WaitingGuest>) {
        let WaitingGuest { mut qemu, own_folder, trials, messages } = waiting;
        let mut listener = GuestListener::new(order.trial, messages);
        let end = listener.all(&mut qemu, order, trials, &self.limits);
        let GuestListener { mut observed, is_as_booted, next: messages, .. } = listener;
        if end != End::Done {
            std::thread::sleep(LAST_WORDS);
        }
        observed.end = end;
        let console = qemu.console();
        let waiting = is_as_booted.then_some(WaitingGuest { qemu, own_folder, trials: trials + 1, messages });
        judge_console(&mut observed, &console);
        (observed, waiting)
    }

    /// A guest that waits for its order.
    fn fresh(&self) -> Result<WaitingGuest, BootFailure> {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        match &self.state {
            Some(state) => {
                let mut qemu = Qemu::start(&self.parts, GuestMemory::Copied, &format!("trial-{number}"))?;
                qemu.restore(state)?;
                Ok(WaitingGuest::new(qemu, None))
            }
            None => {
                // Concurrent guests need separate memory files.
                let folder = tempfile::tempdir_in(&self.parts.folder).map_err(|e| Error::io("making a folder", e))?;
                let parts = QemuSetup { folder: folder.path().to_owned(), ..self.parts.clone() };
                let up = up(&parts, &format!("trial-{number}"), self.limits.boot, None)?;
                Ok(WaitingGuest::new(up.qemu, Some(folder)))
            }
        }
    }
}

/// A guest that waits for its order.
struct WaitingGuest {
    qemu: Qemu,
    /// The folder of its memory, if that is not shared. It is removed after the trial.
    own_folder: Option<tempfile::TempDir>,
    /// The number of trials that it has run, which is the number of the next order.
    trials: u64,
    /// The number of the agent's next message.
    messages: u64,
}

impl WaitingGuest {
    fn new(qemu: Qemu, own_folder: Option<tempfile::TempDir>) -> WaitingGuest {
        // Message 0 was the agent's first one, that it is ready.
        WaitingGuest { qemu, own_folder, trials: 0, messages: 1 }
    }
}

/// Boots with hardware acceleration if that works, otherwise without.
fn accelerated(parts: QemuSetup, settings: &GuestSettings) -> Result<(QemuSetup, BootedGuest), BootFailure> {
    let memory = acceleration::AccelerationCache::here(settings.cache.clone());
    let decided = settings.acceleration.or_else(|| memory.recall()).filter(|_| parts.machine_type.is_native());
    let with = |acceleration| QemuSetup { acceleration, ..parts.clone() };
    let is_tried = decided.is_none() && parts.machine_type.is_native() && acceleration::kvm_opens();
    if is_tried {
        let parts = with(Acceleration::Kvm);
        if let Ok(up) = up(&parts, "boot-kvm", settings.limits.boot / 4, Some(FIRST_BYTE)) {
            memory.remember(Acceleration::Kvm);
            return Ok((parts, up));
        }
    }
    let parts = with(decided.unwrap_or(Acceleration::Tcg));
    let up = up(&parts, "boot", settings.limits.boot, None)?;
    if is_tried {
        memory.remember(Acceleration::Tcg);
    }
    Ok((parts, up))
}

/// A guest whose agent has answered.
struct BootedGuest {
    qemu: Qemu,
    release: String,
}

/// Starts a guest and waits for its agent. With `first_byte`, the first byte on the console must arrive within that
/// time.
fn up(
    parts: &QemuSetup,
    name: &str,
    limit: Duration,
    first_byte: Option<Duration>,
) -> Result<BootedGuest, BootFailure> {
    let begun = Instant::now();
    let mut qemu = Qemu::start(parts, GuestMemory::Shared, name)?;
    let no_boot = |why: &str, qemu: &Qemu| {
        std::thread::sleep(LAST_WORDS);
        BootFailure::NoBoot(why.to_owned(), tail(&qemu.console()))
    };
    if let Some(first_byte) = first_byte {
        while qemu.console_len() == 0 {
            if begun.elapsed() > first_byte {
                return Err(no_boot("no output on the console", &qemu));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    let line = qemu.receive(limit).map_err(|silence| match silence {
        ReceiveError::Timeout => no_boot("the agent did not answer in time", &qemu),
        ReceiveError::Ended => no_boot("the guest ended before the agent answered", &qemu),
    })?;
    match wire::decode(0, &line) {
        Ok(AgentMessage::Ready { release, .. }) => Ok(BootedGuest { qemu, release }),
        Ok(_) => Err(no_boot("the agent's first message was not that it is ready", &qemu)),
        Err(why) => Err(no_boot(&why, &qemu)),
    }
}

/// Did the kernel refuse the module, and was that all that happened?
fn is_clean_refusal(observed: &Observed) -> bool {
    observed.end == End::Done
        && !observed.accepted
        && observed.errno.is_some_and(|errno| errno != 0)
        && observed.taint_after == observed.taint_before
        && observed.missing.is_empty()
        && observed.state.is_none()
        && observed.crash.is_none()
        && observed.warnings.is_empty()
}

/// Collects the messages of one trial.
struct GuestListener {
    observed: Observed,
    phase: Phase,
    trial: u32,
    bytes: usize,
    /// The number of the agent's next message.
    next: u64,
    /// Does the agent say that the kernel is in the state of its boot?
    is_as_booted: bool,
}

impl GuestListener {
    fn new(trial: u32, next: u64) -> GuestListener {
        let (observed, phase) = (Observed::default(), Phase::Boot);
        GuestListener { observed, phase, trial, bytes: 0, next, is_as_booted: false }
    }

    /// Sends the order, which has this number, and receives all messages until the end.
    fn all(&mut self, qemu: &mut Qemu, order: &TrialOrder, number: u64, limits: &GuestLimits) -> End {
        let line = match wire::encode(number, order) {
            Ok(line) => line,
            Err(e) => return End::Qemu(e.to_string()),
        };
        if !qemu.send(&line) {
            return End::Ended(Phase::Boot);
        }
        let limit = Instant::now() + limits.trial;
        loop {
            let left = limit.saturating_duration_since(Instant::now());
            let line = match qemu.receive(limits.heartbeat.min(left)) {
                Ok(line) => line,
                Err(ReceiveError::Ended) => return End::Ended(self.phase),
                Err(ReceiveError::Timeout) => return End::Silent(self.phase),
            };
            self.bytes += line.len();
            if self.bytes > MOST_BYTES {
                return End::Broken(format!("more than {MOST_BYTES} bytes of messages"));
            }
            let heard = wire::decode(self.next, &line).and_then(|said| self.hear(said, order));
            self.next += 1;
            match heard {
                Ok(None) => {}
                Ok(Some(end)) => return end,
                Err(why) => return End::Broken(why),
            }
        }
    }

    /// Handles one message; returns how the trial ended, if it did.
    fn hear(&mut self, said: AgentMessage, order: &TrialOrder) -> Result<Option<End>, String> {
        let seen = &mut self.observed;
        let out_of_place = |what: &str, phase: Phase| Err(format!("{what} in the phase {}", phase.name()));
        match said {
            AgentMessage::Beat => {}
            AgentMessage::Begin { trial } if trial == self.trial => {}
            AgentMessage::Begin { trial } => {
                return Err(format!("a message about trial {trial}, which was not ordered"));
            }
            AgentMessage::Phase { phase } if phase > self.phase => self.phase = phase,
            AgentMessage::Phase { phase } => return out_of_place(phase.name(), self.phase),
            AgentMessage::Log { phase, lines } => {
                seen.log.extend(lines.into_iter().map(|text| LogLine { phase, text }))
            }
            AgentMessage::Prepared { taint, failed } if self.phase == Phase::Prepare => {
                (seen.taint_before, seen.taint_after) = (taint, taint);
                seen.missing = failed.into_iter().map(|(file, errno)| (of_file(&file), errno)).collect();
            }
            AgentMessage::Loaded { errno, accepted, init, state } if self.phase == Phase::Load => {
                (seen.errno, seen.accepted, seen.init, seen.state) = (errno, accepted, init, state);
            }
            AgentMessage::Exercised { probe } if self.phase == Phase::Exercise => {
                if let Some(failed) = probe.iter().find(|seen| seen.what == wire::PROBE_FAILED) {
                    return Err(format!("{}: {}", failed.what, failed.how));
                }
                seen.probe = probe;
            }
            AgentMessage::Unloaded { errno, gone } if self.phase == Phase::Unload => {
                seen.unload = Some(UnloadReport { forced: order.unload == Some(UnloadMode::Forced), errno, gone });
            }
            AgentMessage::Stuck { phase } if phase == self.phase => {
                // The phase exceeded its time limit, whatever else the agent reports.
                return Ok(Some(End::Stuck(phase)));
            }
            AgentMessage::Done { taint, is_as_booted } if self.phase >= Phase::Load => {
                (seen.taint_after, self.is_as_booted) = (taint, is_as_booted);
                return Ok(Some(End::Done));
            }
            AgentMessage::Done { .. } => return Ok(Some(End::Ended(self.phase))),
            AgentMessage::Ready { .. } => return out_of_place("a second boot", self.phase),
            AgentMessage::Prepared { .. } => return out_of_place("the result of preparing", self.phase),
            AgentMessage::Loaded { .. } => return out_of_place("the result of loading", self.phase),
            AgentMessage::Exercised { .. } => return out_of_place("the result of the probe", self.phase),
            AgentMessage::Unloaded { .. } => return out_of_place("the result of unloading", self.phase),
            AgentMessage::Stuck { .. } => return out_of_place("the report that another phase is stuck", self.phase),
        }
        Ok(None)
    }
}

/// The module name of a file in the guest.
fn of_file(file: &str) -> String {
    file.rsplit('/').next().unwrap_or(file).trim_end_matches(".ko").to_owned()
}

/// Reads the kernel's messages for warnings and crashes. The agent's log lines are complete if the agent survived;
/// otherwise only the console has the rest.
fn judge_console(observed: &mut Observed, console: &str) {
    let told = as_console(&observed.log);
    let (from_log, from_console) = (console::read(&told), console::read(console));
    observed.warnings = match from_log.warnings.is_empty() {
        true => from_console.warnings,
        false => from_log.warnings,
    };
    observed.crash = from_log.crash.or(from_console.crash);
    observed.is_cut = observed.end != End::Done && from_console.is_cut;
    if observed.crash.is_some() || observed.end != End::Done {
        observed.console = tail(console);
    }
    // If no agent survived to read the trace events, the call trace shows a crash in the module's init function.
    let in_init = |crash: &crate::lab::record::Crash| crash.trace.iter().any(|line| line.contains("do_one_initcall"));
    if observed.init == Init::NotReached && observed.crash.as_ref().is_some_and(in_init) {
        (observed.accepted, observed.init) = (true, Init::Began);
    }
}

/// The log in the form of console output, with the markers of the phases.
fn as_console(log: &[LogLine]) -> String {
    let mut text = String::new();
    let mut phase = None;
    for line in log {
        if phase != Some(line.phase) {
            phase = Some(line.phase);
            text.push_str(&format!("{PHASE_MARK}{}\n", line.phase.name()));
        }
        text.push_str(&line.text);
        text.push('\n');
    }
    text
}

/// The end of console output, from the beginning of a line.
fn tail(console: &str) -> String {
    let start = console.len().saturating_sub(CONSOLE_KEPT);
    let start = (start..console.len()).find(|at| console.is_char_boundary(*at)).unwrap_or(0);
    let tail = console.get(start..).unwrap_or_default();
    match tail.split_once('\n').filter(|_| start > 0) {
        Some((_, whole)) => whole.to_owned(),
        None => tail.to_owned(),
    }
}
