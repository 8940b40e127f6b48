//! What one trial leaves: a module on a kernel in one way, what was predicted, what happened.
//!
//! These are the lines of `trials.jsonl`, which `try` and `matrix` write and `report` reads. Everything in them that
//! came out of a guest is a stranger's text.

use serde::{Deserialize, Serialize};

use crate::predict::{Decision, Finding, Force, Verdict};

/// The form of these records; another number is another form.
pub const SCHEMA_VERSION: u32 = 2;

/// The oldest form that is read. Form 1 has other names for some fields and values, which are read as aliases.
pub const OLDEST_SCHEMA_VERSION: u32 = 1;

/// A trial, done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The same for the same question: a hash of the module's bytes, the kernel, the way and what was asked for.
    pub id: String,
    /// Is it what was asked about, or a control beside it?
    pub role: TrialRole,
    /// The module.
    pub module: TrialModule,
    /// The kernel.
    pub kernel: TrialKernel,
    /// How it was loaded. Form 1 calls it `way`.
    #[serde(alias = "way")]
    pub load_mode: LoadMode,
    /// The conditions that differ from the defaults.
    #[serde(default)]
    pub conditions: Vec<TrialCondition>,
    /// What was predicted.
    pub prediction: TrialPrediction,
    /// What was changed of the file, for a patched one.
    pub change: Option<RecordedPatch>,
    /// What happened.
    pub observed: Observed,
    /// What that is called.
    pub outcome: TrialOutcome,
    /// Is it as predicted?
    pub agreement: Agreement,
    /// Why the prediction was wrong, or can't be compared; empty if it was right.
    pub disagreement: String,
    /// How long the guest took, in seconds.
    pub seconds: f64,
}

/// A condition of a trial that differs from the default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrialCondition {
    /// The kernel was booted with these additional arguments.
    KernelArguments(String),
    /// This command of the user's looked at the loaded module.
    Probe(String),
    /// The module was loaded, and neither used nor unloaded.
    LoadOnly,
    /// The module was unloaded with force, as by `rmmod -f`.
    ForcedUnload,
    /// The modules that it needs were not loaded before it.
    NoDependencies,
    /// The kernel was booted for this trial, and the guest is not a clone.
    OwnBoot,
    /// As form 1 recorded it: an option and its value, as they were typed.
    #[serde(untagged)]
    AsTyped(String),
}

impl std::fmt::Display for TrialCondition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TrialCondition::KernelArguments(arguments) => write!(f, "kernel arguments: {arguments}"),
            TrialCondition::Probe(command) => write!(f, "probe: {command}"),
            TrialCondition::LoadOnly => f.write_str("loaded only, neither used nor unloaded"),
            TrialCondition::ForcedUnload => f.write_str("unloaded with force"),
            TrialCondition::NoDependencies => f.write_str("the modules it needs were not loaded"),
            TrialCondition::OwnBoot => f.write_str("booted for this trial, not cloned"),
            TrialCondition::AsTyped(option) => f.write_str(option),
        }
    }
}

/// What a trial is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrialRole {
    /// The kernel's own module: it separates what forcing does from what the mismatch does.
    Control,
    /// What was asked about.
    Asked,
}

/// How a module is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoadMode {
    /// As it is.
    Original,
    /// With flag 2, as by `modprobe --force-vermagic`.
    ForcedVermagic,
    /// With flag 1, as by `modprobe --force-modversion`.
    ForcedModversions,
    /// With both, as by `modprobe --force`.
    Forced,
    /// With its version magic rewritten to the kernel's, and loaded without force.
    Patched,
}

impl LoadMode {
    /// All of them, in the order of tables.
    pub const ALL: [LoadMode; 5] = [
        LoadMode::Original,
        LoadMode::ForcedVermagic,
        LoadMode::ForcedModversions,
        LoadMode::Forced,
        LoadMode::Patched,
    ];

    /// Its name, on the command line and in records.
    pub fn name(self) -> &'static str {
        match self {
            LoadMode::Original => "original",
            LoadMode::ForcedVermagic => "forced-vermagic",
            LoadMode::ForcedModversions => "forced-modversions",
            LoadMode::Forced => "forced",
            LoadMode::Patched => "patched",
        }
    }

    /// What the kernel is told to ignore.
    pub fn force(self) -> Force {
        match self {
            LoadMode::Original | LoadMode::Patched => Force::None,
            LoadMode::ForcedVermagic => Force::Vermagic,
            LoadMode::ForcedModversions => Force::Modversions,
            LoadMode::Forced => Force::Both,
        }
    }

    /// The flags of finit_module(2) (include/uapi/linux/module.h).
    pub fn flags(self) -> u32 {
        match self.force() {
            Force::None => 0,
            Force::Modversions => 1,
            Force::Vermagic => 2,
            Force::Both => 3,
        }
    }
}

/// The module of a trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialModule {
    /// Its name.
    pub name: String,
    /// Its file, or its path in the package that it was taken from.
    pub path: String,
    /// The kernel that it was taken from, where it was named so; what that kernel is called.
    pub origin: Option<String>,
    /// SHA-256 of the uncompressed bytes with the trailer, before any change.
    pub sha256: String,
    /// Its version magic.
    pub vermagic: Option<String>,
}

/// The kernel of a trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialKernel {
    /// What it was called on the command line.
    pub name: String,
    /// What the booted kernel called itself (`uname -r`); from its facts if it never came up.
    pub release: String,
    /// Its version magic; empty where it is not known.
    pub vermagic: String,
}

/// What was predicted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialPrediction {
    /// The answer.
    pub verdict: Decision,
    /// What finit_module returns, as a positive number, for a refusal; `None` where that depends on a step that is not
    /// decided.
    pub errno: Option<i32>,
    /// All that it may return, where something is not decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errnos: Vec<i32>,
    /// The names of the steps before the refusing one that are not decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undecided: Vec<String>,
    /// The loader's lines, if the steps that are not decided pass.
    pub dmesg: Vec<String>,
    /// The taints, as letters.
    pub taint: Option<String>,
    /// The name of the step that refuses, at the latest.
    pub stage: Option<String>,
    /// The reasons.
    pub findings: Vec<Finding>,
    /// The modules that it needs, which are loaded before it, in this order.
    pub needs: Vec<String>,
    /// Evidence that it is unsafe, each in a sentence.
    pub dangers: Vec<String>,
}

impl TrialPrediction {
    /// What is recorded of a verdict.
    pub fn of(verdict: &Verdict) -> TrialPrediction {
        TrialPrediction {
            verdict: verdict.answer,
            errno: verdict.errno,
            errnos: if verdict.undecided.is_empty() { Vec::new() } else { verdict.errnos.clone() },
            undecided: verdict.undecided.iter().map(|step| step.name().to_owned()).collect(),
            dmesg: verdict.dmesg.clone(),
            taint: verdict.taint.clone(),
            stage: verdict.stage.map(|stage| stage.name().to_owned()),
            findings: verdict.findings.clone(),
            needs: verdict.needs.clone(),
            dangers: verdict.dangers.iter().map(|danger| danger.sentence()).collect(),
        }
    }
}

/// What a patch changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedPatch {
    /// The edits, by offset.
    pub edits: Vec<RecordedEdit>,
    /// SHA-256 after it.
    pub sha256: String,
    /// What the guards would have said to it outside the lab.
    pub guards: Vec<GuardReport>,
    /// Why there was nothing to try, where the patch can't be made; the trial is then not run.
    pub impossible: Option<String>,
}

/// Bytes before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedEdit {
    /// Where, in bytes from the start of the file.
    pub offset: u64,
    /// The old bytes; of many, the first ones.
    #[serde(with = "hex")]
    pub old: Vec<u8>,
    /// The new bytes; of many, the first ones.
    #[serde(with = "hex")]
    pub new: Vec<u8>,
    /// How many bytes the old ones were.
    pub old_len: u64,
    /// How many the new ones are.
    pub new_len: u64,
}

/// A guard's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardReport {
    /// Its name.
    pub guard: String,
    /// pass, refuse or overridden. Form 1 calls it `say`.
    #[serde(alias = "say")]
    pub result: String,
    /// Why, in words.
    pub why: String,
}

/// A phase of a trial, in the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Up to the waiting agent.
    Boot,
    /// What the module needs is loaded, and the probe looks at the kernel without it.
    Prepare,
    /// finit_module(2).
    Load,
    /// The probe uses what the module brought.
    Exercise,
    /// delete_module(2), and a last look.
    Unload,
}

impl Phase {
    /// All of them, in their order.
    pub const ALL: [Phase; 5] = [Phase::Boot, Phase::Prepare, Phase::Load, Phase::Exercise, Phase::Unload];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Boot => "boot",
            Phase::Prepare => "prepare",
            Phase::Load => "load",
            Phase::Exercise => "exercise",
            Phase::Unload => "unload",
        }
    }
}

/// What happened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Observed {
    /// How the trial ended.
    pub end: End,
    /// The errno of finit_module, 0 if it returned 0; `None` if it never returned.
    pub errno: Option<i32>,
    /// Did the loader take it (the trace event `module:module_load`)?
    pub accepted: bool,
    /// What became of its init function.
    pub init: Init,
    /// The kernel's log, from the first phase to the last.
    pub log: Vec<LogLine>,
    /// What the module needs and could not be loaded before it, with the errno.
    pub missing: Vec<(String, i32)>,
    /// The kernel's taint before, as the bits of /proc/sys/kernel/tainted.
    pub taint_before: u64,
    /// The same at the last look.
    pub taint_after: u64,
    /// /sys/module/NAME after it was loaded.
    pub state: Option<ModuleState>,
    /// What the probe saw with the module; empty where it was not loaded.
    #[serde(alias = "witness")]
    pub probe: Vec<ProbeResult>,
    /// What became of the unloading, where it was tried.
    pub unload: Option<UnloadReport>,
    /// The worst that the kernel said about itself.
    pub crash: Option<Crash>,
    /// Warnings of the kernel about itself (WARN and its like), each its first line.
    pub warnings: Vec<String>,
    /// Did the console end in the middle of a report?
    pub is_cut: bool,
    /// The end of the console, kept for crashes, hangs and broken records.
    pub console: String,
}

/// How a trial ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", content = "why", rename_all = "kebab-case")]
pub enum End {
    /// The agent said that it is done.
    Done,
    /// It was not run, for the reason given.
    #[default]
    NotRun,
    /// QEMU did not start, or broke.
    #[serde(alias = "engine")]
    Qemu(String),
    /// The guest never came up to the agent.
    NoBoot(String),
    /// This phase did not end within its time, while the guest went on.
    Stuck(Phase),
    /// No heartbeat within its time: the guest stands still, in this phase.
    Silent(Phase),
    /// The guest ended in this phase.
    Ended(Phase),
    /// What came over the result port is no record of this trial.
    Broken(String),
}

/// What became of a module's init function (the trace events `initcall:initcall_start` and `initcall_finish`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "init", content = "returned", rename_all = "kebab-case")]
pub enum Init {
    /// The loader refused before.
    #[default]
    NotReached,
    /// The loader took the module, and called nothing.
    NeverRan,
    /// It began and never returned.
    Began,
    /// It returned this.
    Returned(i32),
}

/// A line of the kernel's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it came.
    pub phase: Phase,
    /// Without timestamp.
    pub text: String,
}

/// What /sys/module/NAME says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleState {
    /// live, coming or going (`initstate`).
    pub initstate: String,
    /// The module's own taint letters.
    pub taint: String,
}

/// One thing that the probe saw: what, and how it was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProbeResult {
    /// What was looked at: "dummy0 sends".
    pub what: String,
    /// How it was: "3 packets".
    pub how: String,
}

/// What became of unloading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnloadReport {
    /// With O_TRUNC, as `rmmod -f` (delete_module(2); needs CONFIG_MODULE_FORCE_UNLOAD).
    pub forced: bool,
    /// delete_module's errno, 0 if it returned 0; `None` if it never returned.
    pub errno: Option<i32>,
    /// Is it gone from /sys/module?
    pub gone: bool,
}

/// The kernel in distress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crash {
    /// What kind.
    pub kind: CrashKind,
    /// The line that says so.
    pub line: String,
    /// In which phase.
    pub phase: Phase,
    /// The function that it happened in, as the kernel prints it: `register_netdevice+0x38/0x5c0`.
    pub place: Option<String>,
    /// The call trace, the innermost first, without lines that the kernel is not sure of (`? `).
    pub trace: Vec<String>,
}

/// The kinds of distress, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CrashKind {
    /// A task waits for something that does not come (khungtaskd).
    HungTask,
    /// RCU stalls.
    RcuStall,
    /// A processor does not come back from the kernel (watchdog).
    SoftLockup,
    /// A processor does not even take interrupts.
    HardLockup,
    /// `BUG()` in the kernel's own code: "kernel BUG at".
    Bug,
    /// A fault within the kernel: page fault, general protection, invalid opcode.
    Oops,
    /// The kernel gave up.
    Panic,
}

impl CrashKind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            CrashKind::HungTask => "hung task",
            CrashKind::RcuStall => "RCU stall",
            CrashKind::SoftLockup => "soft lockup",
            CrashKind::HardLockup => "hard lockup",
            CrashKind::Bug => "kernel BUG",
            CrashKind::Oops => "oops",
            CrashKind::Panic => "panic",
        }
    }
}

/// What the outcome of a trial is called, in the order of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrialOutcome {
    /// QEMU did not start, or broke.
    #[serde(alias = "engine-error")]
    QemuError,
    /// The kernel never came up to the agent.
    NoBoot,
    /// The loader took it, but the kernel never called its init function.
    InitNeverRan,
    /// Panic, oops or BUG.
    Crash,
    /// It stands still.
    Hang,
    /// The loader refused it.
    Refused,
    /// Its own init function returned an error.
    InitFailed,
    /// It is loaded, and does not do what the kernel's own module does.
    Misbehaves,
    /// It is loaded, and the kernel warned, or has a taint that nobody expected.
    Warned,
    /// No difference was seen.
    NoDifference,
    /// What the guest told can't be believed.
    RecordBroken,
    /// It was not run: there is nothing to load.
    NotRun,
}

/// Is it as predicted?
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Agreement {
    /// Verdict, errno and the loader's first line are.
    Agree,
    /// Nothing was predicted, or there is no answer.
    Unknown,
    /// It is not.
    Disagree,
}

/// A trial for unit tests.
#[cfg(test)]
pub(crate) mod example {
    use serde_json::json;

    use super::{SCHEMA_VERSION, Trial};

    /// A trial of which nothing is known but its id: the forced module m on the kernel k, not run, with no prediction.
    pub(crate) fn trial(id: &str) -> Trial {
        let value = json!({
            "schema_version": SCHEMA_VERSION, "id": id, "role": "asked", "load_mode": "forced", "seconds": 1.0,
            "module": {"name": "m", "path": "m.ko", "origin": null, "sha256": "", "vermagic": null},
            "kernel": {"name": "k", "release": "k", "vermagic": "k "},
            "prediction": {"verdict": "unknown", "errno": null, "dmesg": [], "taint": null, "stage": null,
                "findings": [], "needs": [], "dangers": []},
            "change": null, "observed": {}, "outcome": "not-run", "agreement": "unknown", "disagreement": "",
        });
        serde_json::from_value(value).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of form 1, with each name that form 2 calls otherwise.
    #[test]
    fn names_of_form_1_are_read() {
        let text = r#"{"schema_version": 1, "id": "1", "role": "asked", "way": "forced", "seconds": 1.0,
            "conditions": ["--append quiet", "--load-only"],
            "module": {"name": "m", "path": "m.ko", "origin": null, "sha256": "", "vermagic": null},
            "kernel": {"name": "k", "release": "k", "vermagic": "k "},
            "prediction": {"verdict": "unknown", "errno": null, "dmesg": [], "taint": null, "stage": null,
                "findings": [], "needs": [], "dangers": []},
            "change": {"edits": [], "sha256": "", "impossible": null,
                "guards": [{"guard": "crc", "say": "refuse", "why": "it differs"}]},
            "observed": {"end": {"end": "engine", "why": "no"}, "witness": [{"what": "m", "how": "ok"}]},
            "outcome": "engine-error", "agreement": "unknown", "disagreement": ""}"#;
        let trial: Trial = serde_json::from_str(text).unwrap();
        assert_eq!((trial.load_mode, trial.outcome), (LoadMode::Forced, TrialOutcome::QemuError));
        assert_eq!(trial.observed.end, End::Qemu("no".to_owned()));
        assert_eq!(trial.observed.probe.first().map(|result| result.how.as_str()), Some("ok"));
        assert_eq!(trial.change.unwrap().guards[0].result, "refuse");
        let typed = ["--append quiet", "--load-only"].map(|option| TrialCondition::AsTyped(option.to_owned()));
        assert_eq!(trial.conditions, typed);
    }

    #[test]
    fn conditions_are_written_as_they_are_read() {
        let conditions = [TrialCondition::KernelArguments("quiet".to_owned()), TrialCondition::LoadOnly];
        let text = serde_json::to_string(&conditions).unwrap();
        assert_eq!(text, r#"[{"kernel-arguments":"quiet"},"load-only"]"#);
        assert_eq!(serde_json::from_str::<[TrialCondition; 2]>(&text).unwrap(), conditions);
    }
}
