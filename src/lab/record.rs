//! The record of a trial: a module loaded on a kernel in one load mode, what was predicted, what happened.
//!
//! Each line of a file of trials (`trials.jsonl`) is one record. All text in it that comes from a guest is untrusted.

use serde::{Deserialize, Serialize};

use crate::predict::{Decision, Finding, Force, Verdict};

/// The version of the record's schema.
pub const SCHEMA_VERSION: u32 = 2;

/// The oldest schema version that is read. Version 1 has other names for some fields and values; aliases read them.
pub const OLDEST_SCHEMA_VERSION: u32 = 1;

/// A finished trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The identifier: a hash of the module's bytes, the kernel, the load mode and the conditions. The same trial has
    /// the same identifier in every run.
    pub id: String,
    /// A control, or a trial of a module in question?
    pub role: TrialRole,
    /// The module.
    pub module: TrialModule,
    /// The kernel.
    pub kernel: TrialKernel,
    /// How the module was loaded. Version 1 calls it `way`.
    #[serde(alias = "way")]
    pub load_mode: LoadMode,
    /// The conditions that differ from the defaults.
    #[serde(default)]
    pub conditions: Vec<TrialCondition>,
    /// What was predicted.
    pub prediction: TrialPrediction,
    /// What the patch changed in the file, for the load mode `patched`.
    pub change: Option<RecordedPatch>,
    /// What happened.
    pub observed: Observed,
    /// The outcome: what happened, in one term.
    pub outcome: TrialOutcome,
    /// Does it agree with the prediction?
    pub agreement: Agreement,
    /// Why it disagrees with the prediction, or cannot be compared; empty if it agrees.
    pub disagreement: String,
    /// The duration in the guest, in seconds.
    pub seconds: f64,
}

/// A condition of a trial that differs from the default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrialCondition {
    /// The kernel was booted with these additional arguments.
    KernelArguments(String),
    /// This command of the user's examined the loaded module.
    Probe(String),
    /// The module was loaded, but neither used nor unloaded.
    LoadOnly,
    /// The module was unloaded with force, as by `rmmod -f`.
    ForcedUnload,
    /// The modules that it needs were not loaded before it.
    NoDependencies,
    /// The kernel was booted for this trial, and the guest is not a clone.
    OwnBoot,
    /// As version 1 recorded it: an option and its value, as typed.
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

/// The purpose of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrialRole {
    /// The kernel's own module. Its trial separates the effects of forcing from those of the mismatch.
    Control,
    /// A module in question.
    Asked,
}

/// How a module is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoadMode {
    /// Unchanged.
    Original,
    /// With flag 2, as by `modprobe --force-vermagic`.
    ForcedVermagic,
    /// With flag 1, as by `modprobe --force-modversion`.
    ForcedModversions,
    /// With both flags, as by `modprobe --force`.
    Forced,
    /// With its vermagic rewritten to the kernel's, and without force.
    Patched,
}

impl LoadMode {
    /// All load modes, in the order of tables.
    pub const ALL: [LoadMode; 5] = [
        LoadMode::Original,
        LoadMode::ForcedVermagic,
        LoadMode::ForcedModversions,
        LoadMode::Forced,
        LoadMode::Patched,
    ];

    /// Its name in options and records.
    pub fn name(self) -> &'static str {
        match self {
            LoadMode::Original => "original",
            LoadMode::ForcedVermagic => "forced-vermagic",
            LoadMode::ForcedModversions => "forced-modversions",
            LoadMode::Forced => "forced",
            LoadMode::Patched => "patched",
        }
    }

    /// The checks that the kernel is asked to ignore.
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
    /// Its file, or its path in the package from which it was taken.
    pub path: String,
    /// The kernel from which it was taken, if one was named.
    pub origin: Option<String>,
    /// SHA-256 of the uncompressed bytes with the trailer, before any change.
    pub sha256: String,
    /// Its vermagic.
    pub vermagic: Option<String>,
}

/// The kernel of a trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialKernel {
    /// Its name, as it was given.
    pub name: String,
    /// The release that the booted kernel reports (`uname -r`); if it did not boot, the one in its facts.
    pub release: String,
    /// Its vermagic; empty if it is not known.
    pub vermagic: String,
}

/// The prediction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialPrediction {
    /// The answer.
    pub verdict: Decision,
    /// The return value of finit_module for a refusal, as a positive number; `None` if it depends on an undecided
    /// step.
    pub errno: Option<i32>,
    /// All possible return values, if a step is undecided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errnos: Vec<i32>,
    /// The names of the undecided steps before the step that refuses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undecided: Vec<String>,
    /// The loader's log lines, provided that the undecided steps pass.
    pub dmesg: Vec<String>,
    /// The taint letters.
    pub taint: Option<String>,
    /// The name of the last step that can refuse.
    pub stage: Option<String>,
    /// The findings, step by step.
    pub findings: Vec<Finding>,
    /// The modules that it needs, in the order in which they are loaded before it.
    pub needs: Vec<String>,
    /// Evidence that the module is unsafe, one sentence each.
    pub dangers: Vec<String>,
}

impl TrialPrediction {
    /// The recorded part of a verdict.
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

/// The changes that a patch makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedPatch {
    /// The edits, in order of their offsets.
    pub edits: Vec<RecordedEdit>,
    /// SHA-256 of the patched module.
    pub sha256: String,
    /// The answers of the guards, outside the lab.
    pub guards: Vec<GuardReport>,
    /// Why the patch is impossible; the trial is then not run.
    pub impossible: Option<String>,
}

/// Bytes before and after a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedEdit {
    /// The offset in the file, in bytes.
    pub offset: u64,
    /// The old bytes; of a long change the first ones.
    #[serde(with = "hex")]
    pub old: Vec<u8>,
    /// The new bytes; of a long change the first ones.
    #[serde(with = "hex")]
    pub new: Vec<u8>,
    /// The number of old bytes.
    pub old_len: u64,
    /// The number of new bytes.
    pub new_len: u64,
}

/// A guard's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardReport {
    /// The guard's name.
    pub guard: String,
    /// `pass`, `refuse` or `overridden`. Version 1 calls it `say`.
    #[serde(alias = "say")]
    pub result: String,
    /// The reason.
    pub why: String,
}

/// A phase of a trial in the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The kernel boots, until the agent waits for an order.
    Boot,
    /// The modules that are needed are loaded, and the probe takes stock of the kernel without the module.
    Prepare,
    /// finit_module(2).
    Load,
    /// The probe uses what the module provides.
    Exercise,
    /// delete_module(2).
    Unload,
}

impl Phase {
    /// All phases, in order.
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

/// What happened in a trial.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Observed {
    /// How the trial ended.
    pub end: End,
    /// The errno of finit_module, 0 for success; `None` if the call never returned.
    pub errno: Option<i32>,
    /// Did the loader accept the module (trace event `module:module_load`)?
    pub accepted: bool,
    /// The fate of its init function.
    pub init: Init,
    /// The kernel's log, from the first phase to the last.
    pub log: Vec<LogLine>,
    /// The needed modules that could not be loaded, with the errno of each.
    pub missing: Vec<(String, i32)>,
    /// The kernel's taint before the load, as the bits of /proc/sys/kernel/tainted.
    pub taint_before: u64,
    /// The kernel's taint at the end.
    pub taint_after: u64,
    /// /sys/module/NAME after the load.
    pub state: Option<ModuleState>,
    /// The probe's results with the module loaded; empty if it was not loaded.
    #[serde(alias = "witness")]
    pub probe: Vec<ProbeResult>,
    /// The result of unloading, if that was tried.
    pub unload: Option<UnloadReport>,
    /// The worst problem that the kernel reported.
    pub crash: Option<Crash>,
    /// The kernel's warnings (WARN and the like), the first line of each.
    pub warnings: Vec<String>,
    /// Does the console output end in the middle of a report?
    pub is_cut: bool,
    /// The end of the console output, kept for crashes, hangs and broken records.
    pub console: String,
}

/// How a trial ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", content = "why", rename_all = "kebab-case")]
pub enum End {
    /// The agent reported that the trial is over.
    Done,
    /// The trial was not run.
    #[default]
    NotRun,
    /// QEMU did not start, or failed.
    #[serde(alias = "engine")]
    Qemu(String),
    /// The kernel did not boot up to the agent.
    NoBoot(String),
    /// The phase exceeded its time limit while the guest kept running.
    Stuck(Phase),
    /// No heartbeat within the time limit: the guest hangs in this phase.
    Silent(Phase),
    /// The guest ended in this phase.
    Ended(Phase),
    /// The messages on the result port contradict the protocol.
    Broken(String),
}

/// The fate of a module's init function (trace events `initcall:initcall_start` and `initcall_finish`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "init", content = "returned", rename_all = "kebab-case")]
pub enum Init {
    /// The loader refused the module first.
    #[default]
    NotReached,
    /// The loader accepted the module but called no init function.
    NeverRan,
    /// It began and did not return.
    Began,
    /// It returned this.
    Returned(i32),
}

/// A line of the kernel's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// The phase in which it was logged.
    pub phase: Phase,
    /// The text without its timestamp.
    pub text: String,
}

/// The contents of /sys/module/NAME.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleState {
    /// live, coming or going (`initstate`).
    pub initstate: String,
    /// The module's own taint letters (`taint`).
    pub taint: String,
}

/// A result of the probe.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProbeResult {
    /// What was checked: "dummy0 sends".
    pub what: String,
    /// The result: "3 packets".
    pub how: String,
}

/// The result of unloading a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnloadReport {
    /// With O_TRUNC, as `rmmod -f` (delete_module(2); needs CONFIG_MODULE_FORCE_UNLOAD).
    pub forced: bool,
    /// The errno of delete_module, 0 for success; `None` if the call never returned.
    pub errno: Option<i32>,
    /// Has it disappeared from /sys/module?
    pub gone: bool,
}

/// A crash or hang that the kernel reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crash {
    /// Its kind.
    pub kind: CrashKind,
    /// The line that reports it.
    pub line: String,
    /// The phase in which it happened.
    pub phase: Phase,
    /// The function in which it happened, as the kernel prints it: `register_netdevice+0x38/0x5c0`.
    pub place: Option<String>,
    /// The call trace, innermost function first, without the entries that the kernel marks as unreliable (`? `).
    pub trace: Vec<String>,
}

/// The kinds of crashes and hangs, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CrashKind {
    /// A task is blocked for too long (khungtaskd).
    HungTask,
    /// An RCU grace period stalls.
    RcuStall,
    /// A processor does not leave the kernel (watchdog).
    SoftLockup,
    /// A processor does not even handle interrupts.
    HardLockup,
    /// `BUG()` in the kernel's own code: "kernel BUG at".
    Bug,
    /// A fault in the kernel: page fault, general protection fault, invalid opcode.
    Oops,
    /// The kernel panics.
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

/// The outcome of a trial, in the order of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrialOutcome {
    /// QEMU did not start, or failed.
    #[serde(alias = "engine-error")]
    QemuError,
    /// The kernel did not boot up to the agent.
    NoBoot,
    /// The loader accepted the module, but the kernel never called its init function.
    InitNeverRan,
    /// Panic, oops or BUG.
    Crash,
    /// The guest hangs.
    Hang,
    /// The loader refused the module.
    Refused,
    /// The module's own init function returned an error.
    InitFailed,
    /// The module is loaded, but does not do what the kernel's own module does.
    Misbehaves,
    /// The module is loaded, and the kernel warned or has an unexpected taint.
    Warned,
    /// No difference was found.
    NoDifference,
    /// The guest's messages contradict each other.
    RecordBroken,
    /// The trial was not run, because there is nothing to load.
    NotRun,
}

/// Does a trial agree with its prediction?
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Agreement {
    /// Verdict, errno and the loader's first log line are as predicted.
    Agree,
    /// There is no prediction, or no answer to compare with it.
    Unknown,
    /// At least one of them is not as predicted.
    Disagree,
}

/// A trial for unit tests.
#[cfg(test)]
pub(crate) mod example {
    use serde_json::json;

    use super::{SCHEMA_VERSION, Trial};

    /// A trial without any data except its identifier: module m on kernel k, forced, not run, no prediction.
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

    /// A record of version 1, with every name that version 2 changes.
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
