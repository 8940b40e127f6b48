//! A guest that waits, and its clones: one boot a kernel, and for each trial a copy that is thrown away.
//!
//! The waiting guest's memory is a file. A clone maps it copy-on-write and is given the rest of the state, some hundred
//! kilobytes; so it costs a fraction of a boot, and no taint, no module and no damage passes from one trial to the next.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
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

/// How long guests may take. Without hardware acceleration on a busy machine all takes long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestLimits {
    /// A kernel's boot, up to the agent.
    pub boot: Duration,
    /// No sign of life. The guest's own watchdog gives a processor that does not come back from the kernel half of that.
    pub heartbeat: Duration,
    /// A trial: the limits of its phases, and something for a busy machine.
    pub trial: Duration,
}

impl Default for GuestLimits {
    fn default() -> GuestLimits {
        let of = Duration::from_secs;
        GuestLimits { boot: of(120), heartbeat: of(25), trial: of(90) }
    }
}

/// The most bytes of records of one trial. One with 400 lines in each phase has a tenth of that.
const MOST_BYTES: usize = 4 << 20;

/// How much of the console is kept in a record, in bytes: an oops with its trace has about five thousand.
const CONSOLE_KEPT: usize = 16 << 10;

/// How long a guest settles before it is cloned: kernels go on calibrating their clocks for a second after the first
/// process began, and each clone would do that again.
const SETTLING: Duration = Duration::from_millis(1200);

/// How long a console may still talk when the guest said its last.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// What a guest has beside its initramfs, in MiB.
const MEMORY: u64 = 256;

/// Where a trial comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// A copy of a guest that waits.
    #[default]
    Clone,
    /// A guest of its own, booted for it.
    Boot,
}

/// How guests are run.
#[derive(Clone, Debug)]
pub struct GuestSettings {
    /// The file of this program, which starts QEMU and is the agent.
    pub kmodlab: PathBuf,
    /// Another build of it, for guests of another architecture.
    pub agent: Option<PathBuf>,
    /// The folder where it is remembered whether hardware acceleration works.
    pub cache: Option<PathBuf>,
    /// How long guests may take.
    pub limits: GuestLimits,
    /// Hardware acceleration or none, where a person decided it.
    pub acceleration: Option<Acceleration>,
    /// Where trials come from.
    pub isolation: Isolation,
    /// More words for the kernel's command line.
    pub command_line: String,
    /// The user's own probe: a program with its arguments.
    pub probe: Vec<String>,
}

/// What a guest is made of: a kernel's image, and the files that it finds, by their names.
pub struct GuestContents<'c> {
    /// The ELF machine of the kernel.
    pub machine: u16,
    /// The image, as QEMU boots it.
    pub image: &'c [u8],
    /// Files, by their names without a leading slash.
    pub files: &'c [(String, &'c [u8])],
}

/// A booted guest that waits.
pub struct Guest {
    parts: QemuSetup,
    /// What a clone is given; `None` if each trial is booted.
    state: Option<Vec<u8>>,
    /// What the kernel calls itself (`uname -r`).
    pub release: String,
    started: AtomicUsize,
    limits: GuestLimits,
    /// Holds the folder as long as there may be clones.
    _folder: TemporaryFolder,
}

/// Why there is no guest.
#[derive(Debug)]
pub enum BootFailure {
    /// QEMU did not start, or broke.
    Qemu(Error),
    /// The kernel did not come up to the agent: why, and the end of what the console showed.
    NoBoot(String, String),
}

impl From<Error> for BootFailure {
    fn from(error: Error) -> BootFailure {
        BootFailure::Qemu(error)
    }
}

/// QEMU's program on PATH.
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

/// What a guest needs of this machine.
#[derive(Debug)]
pub struct GuestRequirements {
    machine_type: &'static MachineType,
    qemu: PathBuf,
    base: InitramfsBase,
}

/// Is all there that guests of an ELF machine need: QEMU, and a program that can be their agent?
///
/// # Errors
///
/// [`ErrorKind::Unsupported`] for a machine that has no guests here, or whose guests this program can't run in;
/// [`ErrorKind::NotFound`] without QEMU; those of [`InitramfsBase::new`].
pub fn ready(machine: u16, settings: &GuestSettings) -> Result<GuestRequirements> {
    let machine_type = MachineType::of(machine)?;
    let qemu = find_qemu(machine_type)?;
    let temporary = std::env::temp_dir();
    if !temporary.is_dir() {
        let what = "no folder for temporary files";
        return Err(Error::new(ErrorKind::NotFound, what).hint("TMPDIR names one").on(temporary));
    }
    let mut base = InitramfsBase::new(settings.agent.as_deref().unwrap_or(&settings.kmodlab))?;
    if base.machine != machine_type.machine {
        let what = format!("the kernel wants {}, and this program can't run there", machine_type.qemu);
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
        // The kernel holds the archive and what it unpacked from it at the same time.
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
                // A busy machine runs a guest in slices. An x86 kernel that counts timer interrupts meanwhile, to see whether they
                // come at all, would count none and panic (`timer_irq_works`, arch/x86/kernel/apic/io_apic.c).
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
        Ok(Guest { parts, state, release, started: AtomicUsize::new(0), limits: settings.limits, _folder: folder })
    }

    /// Runs one trial in a guest of its own. It is the calling thread's: QEMU ends with it.
    pub fn run(&self, order: &TrialOrder) -> Observed {
        let mut observed = Observed::default();
        let WaitingGuest { mut qemu, own_folder } = match self.fresh() {
            Ok(fresh) => fresh,
            Err(BootFailure::Qemu(error)) => {
                observed.end = End::Qemu(error.to_string());
                return observed;
            }
            Err(BootFailure::NoBoot(why, console)) => {
                observed.end = End::NoBoot(why);
                observed.console = console;
                return observed;
            }
        };
        let mut hearing = GuestListener { observed, phase: Phase::Boot, trial: order.trial, bytes: 0 };
        let end = hearing.all(&mut qemu, order, &self.limits);
        let mut observed = hearing.observed;
        if end != End::Done {
            std::thread::sleep(LAST_WORDS);
        }
        observed.end = end;
        let console = qemu.console();
        drop(qemu);
        drop(own_folder);
        judge_console(&mut observed, &console);
        observed
    }

    /// A guest that waits for its order.
    fn fresh(&self) -> Result<WaitingGuest, BootFailure> {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        match &self.state {
            Some(state) => {
                let mut qemu = Qemu::start(&self.parts, GuestMemory::Copied, &format!("trial-{number}"))?;
                qemu.restore(state)?;
                Ok(WaitingGuest { qemu, own_folder: None })
            }
            None => {
                // Trials side by side need memory files of their own.
                let folder = tempfile::tempdir_in(&self.parts.folder).map_err(|e| Error::io("making a folder", e))?;
                let parts = QemuSetup { folder: folder.path().to_owned(), ..self.parts.clone() };
                let up = up(&parts, &format!("trial-{number}"), self.limits.boot, None)?;
                Ok(WaitingGuest { qemu: up.qemu, own_folder: Some(folder) })
            }
        }
    }
}

/// A guest that waits for its order.
struct WaitingGuest {
    qemu: Qemu,
    /// Its memory's folder, if that is not shared; it goes with the trial.
    own_folder: Option<tempfile::TempDir>,
}

/// Boots with hardware acceleration if that works, else without.
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

/// A guest that came up.
struct BootedGuest {
    qemu: Qemu,
    release: String,
}

/// Starts a guest and waits for its agent; with `first_byte`, no longer than that for the first word on the console.
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
                return Err(no_boot("not a byte on the console", &qemu));
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
        Ok(_) => Err(no_boot("the agent did not say that it is ready", &qemu)),
        Err(why) => Err(no_boot(&why, &qemu)),
    }
}

/// What is heard of one trial.
struct GuestListener {
    observed: Observed,
    phase: Phase,
    trial: u32,
    bytes: usize,
}

impl GuestListener {
    /// Gives the order, and hears all until the end.
    fn all(&mut self, qemu: &mut Qemu, order: &TrialOrder, limits: &GuestLimits) -> End {
        let line = match wire::encode(0, order) {
            Ok(line) => line,
            Err(e) => return End::Qemu(e.to_string()),
        };
        if !qemu.send(&line) {
            return End::Ended(Phase::Boot);
        }
        let limit = Instant::now() + limits.trial;
        // The agent said that it is ready in record 0.
        for seq in 1.. {
            let left = limit.saturating_duration_since(Instant::now());
            let line = match qemu.receive(limits.heartbeat.min(left)) {
                Ok(line) => line,
                Err(ReceiveError::Ended) => return End::Ended(self.phase),
                Err(ReceiveError::Timeout) => return End::Silent(self.phase),
            };
            self.bytes += line.len();
            if self.bytes > MOST_BYTES {
                return End::Broken(format!("more than {MOST_BYTES} bytes of records"));
            }
            let heard = wire::decode(seq, &line).and_then(|said| self.hear(said, order));
            match heard {
                Ok(None) => {}
                Ok(Some(end)) => return end,
                Err(why) => return End::Broken(why),
            }
        }
        End::Done
    }

    /// Takes one record; gives the end of the trial, if it is one.
    fn hear(&mut self, said: AgentMessage, order: &TrialOrder) -> Result<Option<End>, String> {
        let seen = &mut self.observed;
        let out_of_place = |what: &str, phase: Phase| Err(format!("{what} in the phase {}", phase.name()));
        match said {
            AgentMessage::Beat => {}
            AgentMessage::Begin { trial } if trial == self.trial => {}
            AgentMessage::Begin { trial } => return Err(format!("a record of trial {trial}, which was not asked for")),
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
                // What follows is only the end; but the phase is over its time, whatever that says.
                return Ok(Some(End::Stuck(phase)));
            }
            AgentMessage::Done { taint } if self.phase >= Phase::Load => {
                seen.taint_after = taint;
                return Ok(Some(End::Done));
            }
            AgentMessage::Done { .. } => return Ok(Some(End::Ended(self.phase))),
            AgentMessage::Ready { .. } => return out_of_place("a second boot", self.phase),
            AgentMessage::Prepared { .. } => return out_of_place("what was prepared", self.phase),
            AgentMessage::Loaded { .. } => return out_of_place("what was loaded", self.phase),
            AgentMessage::Exercised { .. } => return out_of_place("what a probe saw", self.phase),
            AgentMessage::Unloaded { .. } => return out_of_place("what was unloaded", self.phase),
            AgentMessage::Stuck { .. } => return out_of_place("another phase that is stuck", self.phase),
        }
        Ok(None)
    }
}

/// The module of a file in the guest.
fn of_file(file: &str) -> String {
    file.rsplit('/').next().unwrap_or(file).trim_end_matches(".ko").to_owned()
}

/// What the kernel said about itself. The agent's lines are complete if it lived to tell them, and the console is all
/// there is if it did not.
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
    // A crash in a module's init shows in its call trace, if nobody lived to read the trace events.
    let in_init = |crash: &crate::lab::record::Crash| crash.trace.iter().any(|line| line.contains("do_one_initcall"));
    if observed.init == Init::NotReached && observed.crash.as_ref().is_some_and(in_init) {
        (observed.accepted, observed.init) = (true, Init::Began);
    }
}

/// The log as a console would have shown it, with marks of the phases.
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

/// The end of a console, from the beginning of a line.
fn tail(console: &str) -> String {
    let start = console.len().saturating_sub(CONSOLE_KEPT);
    let start = (start..console.len()).find(|at| console.is_char_boundary(*at)).unwrap_or(0);
    let tail = console.get(start..).unwrap_or_default();
    match tail.split_once('\n').filter(|_| start > 0) {
        Some((_, whole)) => whole.to_owned(),
        None => tail.to_owned(),
    }
}
