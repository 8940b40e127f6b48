//! Questions to one kernel: each is predicted, tried in a guest of its own, and recorded; controls first.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::digest::sha256;
use crate::error::{Error, ErrorKind, Result};
use crate::guard::machine::Machine;
use crate::guard::{self, Guard, Overrides};
use crate::kernel::files::{self, Files};
use crate::kernel::{Fact, Kernel, Lookup, Policy};
use crate::lab::agreement;
use crate::lab::guest::{self, BootFailure, Guest, GuestContents, GuestSettings, Isolation};
use crate::lab::outcome;
use crate::lab::record::*;
use crate::lab::subject::TrialSubject;
use crate::lab::wire::{TrialOrder, UnloadMode};
use crate::module::Module;
use crate::patch::{Mark, Plan, Request, Signature, Wish};
use crate::predict::{self, Candidate, LoadOptions, LoaderStep};

/// The form of a trial's identifier. It is part of the identifier, and the one in files of schema 1 as well.
const IDENTITY_FORM: &str = "1";

/// How many bytes of an edit are recorded, at most.
const EDIT_KEPT: usize = 256;

/// What a file system may need to be used, as far as the kernel has it as modules: a disk, and the character sets that
/// FAT asks for in Debian's configuration.
const FOR_FILESYSTEMS: [&str; 3] = ["brd", "nls_cp437", "nls_ascii"];

/// A question.
#[derive(Clone, Copy, Debug)]
pub struct TrialSpec<'q> {
    /// Is it what was asked about, or a control?
    pub role: TrialRole,
    /// The module.
    pub subject: &'q TrialSubject,
    /// How it is loaded.
    pub load_mode: LoadMode,
}

/// How far a module is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// It is loaded, and that is all.
    Load,
    /// It is loaded, used, and unloaded.
    Use(UnloadMode),
}

/// What is the same for all questions.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// How guests are run.
    pub settings: GuestSettings,
    /// How far modules are tried.
    pub depth: Depth,
    /// Is the module loaded without what it needs, as by a bare insmod?
    pub alone: bool,
    /// How many guests run at the same time.
    pub jobs: usize,
}

impl Conditions {
    /// The conditions that differ from the defaults.
    fn recorded(&self) -> Vec<TrialCondition> {
        let GuestSettings { command_line, probe, isolation, .. } = &self.settings;
        let when = |is_so: bool, condition: TrialCondition| is_so.then_some(condition);
        [
            when(!command_line.is_empty(), TrialCondition::KernelArguments(command_line.clone())),
            when(!probe.is_empty(), TrialCondition::Probe(probe.join(" "))),
            when(self.depth == Depth::Load, TrialCondition::LoadOnly),
            when(self.depth == Depth::Use(UnloadMode::Forced), TrialCondition::ForcedUnload),
            when(self.alone, TrialCondition::NoDependencies),
            when(*isolation == Isolation::Boot, TrialCondition::OwnBoot),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// A kernel to be asked, with its image and its own modules.
#[derive(Debug)]
pub struct TargetKernel {
    /// Its facts.
    pub kernel: Kernel,
    /// Its files.
    pub files: Files,
}

impl TargetKernel {
    /// Takes its image, and the modules of these names with all that they need, out of where the kernel is, which is
    /// named as in [`crate::kernel::named`].
    ///
    /// # Errors
    ///
    /// Those of [`crate::kernel::named`], [`guest::ready`] and [`files::of`]; [`ErrorKind::NotFound`] if there is no image
    /// to boot.
    pub fn open(
        name: &OsStr,
        modules: &BTreeSet<String>,
        settings: &GuestSettings,
        lookup: &Lookup,
    ) -> Result<TargetKernel> {
        let no_image = || {
            let hint = "name a package, or the folder that has boot/vmlinuz-RELEASE beside lib/modules/RELEASE";
            Error::new(ErrorKind::NotFound, "there is no image to boot there").hint(hint).on(Path::new(name))
        };
        let mut kernel = crate::kernel::named(name, lookup)?;
        // The guest's kernel is booted anew: what the running one has loaded, or was told, does not hold there.
        kernel.facts.policy = Some(policy(&settings.command_line));
        // The line of its version is in every image, and nowhere else.
        let (Some(_), Some(machine)) = (&kernel.facts.banner, &kernel.facts.machine) else { return Err(no_image()) };
        let machine = machine.value.number;
        guest::ready(machine, settings)?;
        let names: Vec<String> = modules.iter().cloned().chain(FOR_FILESYSTEMS.map(str::to_owned)).collect();
        let wanted = files::with_dependencies(&kernel, &names).into_iter().collect();
        let files = files::of(name, &wanted, lookup)?;
        if files.image.is_none() {
            return Err(no_image());
        }
        Ok(TargetKernel { kernel, files })
    }

    /// The kernel's own module of a name.
    pub fn own(&self, name: &str) -> Option<TrialSubject> {
        let file = self.files.modules.get(name)?;
        Some(TrialSubject::new(file.bytes.clone(), Path::new(&file.path), Some(self.kernel.name.clone())))
    }
}

/// What a kernel is told by its command line (Documentation/admin-guide/kernel-parameters.txt). Of several words the last
/// one counts.
fn policy(command_line: &str) -> Fact<Policy> {
    let last = |name: &str| {
        let words = command_line.split_ascii_whitespace().rev();
        words.filter_map(|word| word.strip_prefix(name)).find(|rest| rest.is_empty() || rest.starts_with('='))
    };
    let is_on = |rest: &str| matches!(rest.trim_start_matches('='), "" | "1" | "y" | "Y" | "on");
    let names = last("module_blacklist").unwrap_or_default().trim_start_matches('=').split(',');
    let value = Policy {
        sig_enforce: last("module.sig_enforce").map(is_on).filter(|is_on| *is_on),
        locked_down: last("lockdown").map(|rest| matches!(rest, "=integrity" | "=confidentiality")),
        modules_disabled: last("nomodule").map(|_| true),
        blacklist: names.filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        loaded: Vec::new(),
    };
    Fact { value, source: "the guest's command line".into() }
}

/// A question with what is known before it is tried.
struct PreparedTrial<'q> {
    question: TrialSpec<'q>,
    id: String,
    prediction: TrialPrediction,
    change: Option<RecordedPatch>,
    /// What is loaded; nothing if there is nothing to load.
    bytes: Option<Vec<u8>>,
    /// The names of the kernel's own modules that are loaded before it.
    before: Vec<String>,
    /// The conditions that differ from the defaults.
    conditions: Vec<TrialCondition>,
}

/// Asks all, and gives the trials in the order of the questions. `known` are trials that were done before, by their ids: they
/// are not tried again, only judged. `each` is told of each trial when it is done, in any order, controls first.
pub fn run(
    target: &TargetKernel,
    questions: &[TrialSpec<'_>],
    conditions: &Conditions,
    known: &HashMap<String, Trial>,
    each: &(dyn Fn(&Trial) + Sync),
) -> Vec<Trial> {
    let image = target.files.image.as_ref().map(|(_, bytes)| bytes.as_slice()).unwrap_or_default();
    let image_sha256 = sha256(image).to_string();
    let prepared: Vec<PreparedTrial<'_>> =
        questions.iter().map(|question| prepare(question, target, conditions, &image_sha256)).collect();
    let is_open = |prepared: &&PreparedTrial<'_>| !known.contains_key(&prepared.id) && prepared.bytes.is_some();
    let mut places: HashMap<&[u8], String> = HashMap::new();
    let mut files: Vec<(String, &[u8])> = Vec::new();
    let mut own: BTreeSet<&str> = BTreeSet::new();
    for prepared in prepared.iter().filter(is_open) {
        let Some(bytes) = &prepared.bytes else { continue };
        places.entry(bytes).or_insert_with(|| {
            let name = format!("m/{}.ko", files.len());
            files.push((name.clone(), bytes));
            name
        });
        own.extend(prepared.before.iter().map(String::as_str));
    }
    for name in own {
        if let Some(file) = target.files.modules.get(name) {
            files.push((of_kernel(name), &file.bytes));
        }
    }
    let guest = (!files.is_empty()).then(|| {
        let machine = target.kernel.facts.machine.as_ref().map_or(0, |machine| machine.value.number);
        Guest::boot(&GuestContents { machine, image, files: &files }, &conditions.settings)
    });
    let tried = |prepared: &PreparedTrial<'_>, number: usize| {
        let Some(bytes) = &prepared.bytes else { return Observed::default() };
        match &guest {
            Some(Ok(guest)) => {
                let file = places.get(bytes.as_slice()).cloned().unwrap_or_default();
                guest.run(&order(prepared, number, file, conditions))
            }
            Some(Err(BootFailure::Qemu(error))) => {
                Observed { end: End::Qemu(error.to_string()), ..Observed::default() }
            }
            Some(Err(BootFailure::NoBoot(why, console))) => {
                Observed { end: End::NoBoot(why.clone()), console: console.clone(), ..Observed::default() }
            }
            None => Observed::default(),
        }
    };
    let release = guest.as_ref().and_then(|guest| guest.as_ref().ok()).map(|guest| guest.release.clone());
    let facts = &target.kernel.facts;
    let release = release.or_else(|| facts.release.as_ref().map(|release| release.value.clone()));
    let kernel = TrialKernel {
        name: target.kernel.name.clone(),
        release: release.unwrap_or_default(),
        vermagic: vermagic(&target.kernel),
    };
    let trials: Mutex<BTreeMap<usize, Trial>> = Mutex::new(BTreeMap::new());
    for role in [TrialRole::Control, TrialRole::Asked] {
        let wanted: Vec<(usize, &PreparedTrial<'_>)> =
            prepared.iter().enumerate().filter(|(_, prepared)| prepared.question.role == role).collect();
        let controls: Vec<Trial> = lock(&trials).values().cloned().collect();
        side_by_side(conditions.jobs, &wanted, |(number, prepared)| {
            let trial = match known.get(&prepared.id) {
                // What was seen stays; what it is called, and whether it was foretold, may be known better by now.
                Some(trial) => record(prepared, &trial.kernel, trial.observed.clone(), trial.seconds, &controls),
                None => {
                    let begun = Instant::now();
                    let observed = tried(prepared, *number);
                    record(prepared, &kernel, observed, begun.elapsed().as_secs_f64(), &controls)
                }
            };
            each(&trial);
            lock(&trials).insert(*number, trial);
        });
    }
    trials.into_inner().unwrap_or_else(|e| e.into_inner()).into_values().collect()
}

/// Does it to all, so many at the same time.
fn side_by_side<T: Sync>(jobs: usize, all: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, all.len().max(1)) {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(one);
                }
            });
        }
    });
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

/// The file of one of the kernel's own modules in the guest.
fn of_kernel(name: &str) -> String {
    format!("k/{name}.ko")
}

fn order(prepared: &PreparedTrial<'_>, number: usize, file: String, conditions: &Conditions) -> TrialOrder {
    let subject = prepared.question.subject;
    let exercise = subject.exercise(&conditions.settings.probe);
    TrialOrder {
        trial: number as u32,
        name: subject.seen.name.clone(),
        file,
        flags: prepared.question.load_mode.flags(),
        params: String::new(),
        before: prepared.before.iter().map(|name| of_kernel(name)).collect(),
        exercise: (conditions.depth != Depth::Load).then_some(exercise),
        unload: match conditions.depth {
            Depth::Load => None,
            Depth::Use(force) => Some(force),
        },
    }
}

fn prepare<'q>(
    question: &TrialSpec<'q>,
    target: &TargetKernel,
    conditions: &Conditions,
    image: &str,
) -> PreparedTrial<'q> {
    let subject = question.subject;
    let load = LoadOptions { force: question.load_mode.force(), alone: conditions.alone, ..LoadOptions::default() };
    let verdict = |bytes: &[u8], module: Option<&Module>| {
        predict::predict(&Candidate { bytes, module, packing: None }, &target.kernel, &load)
    };
    let (bytes, verdict, change) = match question.load_mode {
        LoadMode::Patched => match patched(subject, &target.kernel, &load) {
            Ok(plan) => {
                let verdict = verdict(&plan.bytes_after, Module::read(&plan.bytes_after).ok().as_ref());
                let change = change(&plan, subject, &target.kernel);
                (Some(plan.bytes_after), verdict, Some(change))
            }
            Err(error) => {
                let impossible = Some(error.to_string());
                let change = RecordedPatch { edits: Vec::new(), sha256: String::new(), guards: Vec::new(), impossible };
                (None, verdict(&subject.bytes, subject.module.as_ref()), Some(change))
            }
        },
        _ => (Some(subject.bytes.clone()), verdict(&subject.bytes, subject.module.as_ref()), None),
    };
    let mut before = if conditions.alone { Vec::new() } else { verdict.needs.clone() };
    if !subject.exercise(&[]).filesystems.is_empty() && conditions.depth != Depth::Load {
        let missing = FOR_FILESYSTEMS.into_iter().filter(|name| *name != subject.seen.name);
        before.extend(missing.map(str::to_owned).filter(|name| !verdict.needs.contains(name)));
    }
    before.retain(|name| target.files.modules.contains_key(name));
    // These texts are part of identifiers in files of trials: another word would run a known trial again.
    let role = match question.role {
        TrialRole::Control => "Control",
        TrialRole::Asked => "Asked",
    };
    let depth = match conditions.depth {
        Depth::Load => "Load",
        Depth::Use(UnloadMode::Plain) => "Use(No)",
        Depth::Use(UnloadMode::Forced) => "Use(Yes)",
    };
    let alone = if conditions.alone { "true" } else { "false" };
    let what = [
        "kmodlab cell",
        env!("CARGO_PKG_VERSION"),
        IDENTITY_FORM,
        &subject.seen.sha256,
        &subject.seen.path,
        &sha256(bytes.as_deref().unwrap_or_default()).to_string(),
        image,
        &vermagic(&target.kernel),
        question.load_mode.name(),
        &[role, depth, alone].join(" "),
        &before.join(" "),
        &conditions.settings.probe.join("\0"),
        &conditions.settings.command_line,
    ];
    let mut id = sha256(what.join("\n").as_bytes()).to_string();
    id.truncate(24);
    PreparedTrial {
        question: *question,
        id,
        prediction: TrialPrediction::of(&verdict),
        change,
        bytes,
        before,
        conditions: conditions.recorded(),
    }
}

/// A kernel's version magic for the record; empty where it is not known.
fn vermagic(kernel: &Kernel) -> String {
    let bytes = kernel.vermagic.as_ref().map(|vermagic| vermagic.value.as_bytes());
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

/// The patch that fits the module to the kernel: its version magic, without the signature that would no longer fit, and
/// without BTF where the kernel would refuse that. No mark: nothing but what decides is to differ.
fn patched(subject: &TrialSubject, kernel: &Kernel, load: &LoadOptions) -> Result<Plan> {
    let wish = Wish::Rewrite(kernel.known_vermagic()?.value.as_bytes().to_vec());
    let request = Request { mark: Mark::Never, ..Request::new(wish, Signature::Strip) };
    let plan = Plan::make(&subject.bytes, &request)?;
    let module = Module::read(&plan.bytes_after)?;
    let after = Candidate { bytes: &plan.bytes_after, module: Some(&module), packing: None };
    if predict::predict(&after, kernel, load).stage == Some(LoaderStep::Btf) {
        return Plan::make(&subject.bytes, &Request { drop_btf: true, ..request });
    }
    Ok(plan)
}

/// What the plan changes, and what the guards that look at module and kernel say to it. The others look at files of this
/// machine, and none of them is written.
fn change(plan: &Plan, subject: &TrialSubject, kernel: &Kernel) -> RecordedPatch {
    let kept = |bytes: &[u8]| bytes.get(..EDIT_KEPT).unwrap_or(bytes).to_vec();
    let edits = plan.edits.iter().map(|edit| RecordedEdit {
        offset: edit.offset,
        old: kept(&edit.old),
        new: kept(&edit.new),
        old_len: edit.old.len() as u64,
        new_len: edit.new.len() as u64,
    });
    let all =
        Overrides { installed: true, ima_break: true, abi_mismatch: true, layout_mismatch: true, crc_mismatch: true };
    let guards = subject.module.as_ref().and_then(|module| {
        let guarded = guard::Subject {
            path: Path::new(&subject.seen.path),
            is_new: true,
            module,
            name: &subject.seen.name,
            plan,
            kernel: Some(kernel),
            is_confirmed: true,
        };
        guard::ask(&guarded, &Machine::here(false), all).ok()
    });
    let of_module = [Guard::Signed, Guard::AbiTokens, Guard::StructModule, Guard::Crc];
    let guards = guards.unwrap_or_default().into_iter().filter(|answer| of_module.contains(&answer.guard));
    let guards = guards.map(|answer| GuardReport {
        guard: answer.guard.name().to_owned(),
        result: answer.say.name().to_owned(),
        why: answer.why,
    });
    RecordedPatch { edits: edits.collect(), sha256: plan.after.to_string(), guards: guards.collect(), impossible: None }
}

/// Judges what happened.
fn record(
    prepared: &PreparedTrial<'_>,
    kernel: &TrialKernel,
    observed: Observed,
    seconds: f64,
    controls: &[Trial],
) -> Trial {
    let TrialSpec { role, subject, load_mode } = prepared.question;
    let control = control_of(controls, &subject.seen.name, load_mode).filter(|_| role == TrialRole::Asked);
    let outcome = outcome::decide(&observed, &prepared.prediction, control, subject.has_init());
    let (agreement, disagreement) = agreement::compare(&observed, &prepared.prediction);
    Trial {
        schema_version: SCHEMA_VERSION,
        id: prepared.id.clone(),
        role,
        module: subject.seen.clone(),
        kernel: kernel.clone(),
        load_mode,
        conditions: prepared.conditions.clone(),
        prediction: prepared.prediction.clone(),
        change: prepared.change.clone(),
        observed,
        outcome,
        agreement,
        disagreement,
        seconds,
    }
}

/// The control to a trial: the kernel's own module of the same name, forced where the trial is.
pub fn control_of<'c>(controls: &'c [Trial], name: &str, load_mode: LoadMode) -> Option<&'c Trial> {
    let load_mode = match load_mode {
        LoadMode::Original | LoadMode::Patched => LoadMode::Original,
        _ => LoadMode::Forced,
    };
    controls
        .iter()
        .find(|trial| trial.role == TrialRole::Control && trial.module.name == name && trial.load_mode == load_mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_command_line_says_of_modules_is_known() {
        let told = |line: &str| policy(line).value;
        assert_eq!(told("quiet"), Policy::default());
        assert_eq!(told("module.sig_enforce=1").sig_enforce, Some(true));
        assert_eq!(told("module.sig_enforce").sig_enforce, Some(true));
        // It can't be taken back, and what the configuration says stays.
        assert_eq!(told("module.sig_enforce=0").sig_enforce, None);
        assert_eq!(told("lockdown=integrity quiet").locked_down, Some(true));
        assert_eq!(told("module_blacklist=a module_blacklist=b,c").blacklist, ["b", "c"]);
        assert_eq!(told("nomodules lockdownx=integrity"), Policy::default());
    }
}
