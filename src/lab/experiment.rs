//! Trials on one kernel: each is predicted, run in its own guest, and recorded; controls first.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use crate::digest::sha256;
use crate::kernel::Kernel;
use crate::lab::agreement;
use crate::lab::conditions::{Conditions, Depth};
use crate::lab::guest::{BootFailure, Guest, GuestContents};
use crate::lab::outcome;
use crate::lab::patched;
use crate::lab::record::*;
use crate::lab::spec::{TrialSpec, control_of};
use crate::lab::target::{FOR_FILESYSTEMS, TargetKernel};
use crate::lab::wire::{TrialOrder, UnloadMode};
use crate::module::Module;
use crate::predict::{self, Candidate, LoadOptions};

/// The version of a trial's identifier. It is part of the identifier, and the same for records of schema version 1.
const IDENTITY_FORM: &str = "1";

/// A trial before it is run.
struct PreparedTrial<'q> {
    question: TrialSpec<'q>,
    id: String,
    prediction: TrialPrediction,
    change: Option<RecordedPatch>,
    /// The bytes to be loaded; `None` if there is nothing to load.
    bytes: Option<Vec<u8>>,
    /// The names of the kernel's own modules that are loaded first.
    before: Vec<String>,
    /// The conditions that differ from the defaults.
    conditions: Vec<TrialCondition>,
}

/// Runs all trials, and returns them in the order of `specs`. Trials in `known`, by identifier, are not run again,
/// only judged again. `each` is called with every finished trial, in any order, controls first.
pub fn run(
    target: &TargetKernel,
    specs: &[TrialSpec<'_>],
    conditions: &Conditions,
    known: &HashMap<String, Trial>,
    each: &(dyn Fn(&Trial) + Sync),
) -> Vec<Trial> {
    run_numbered(target, specs, conditions, known, &|_, trial| each(trial))
}

/// As [`run`]; `each` also gets the position in `specs`.
fn run_numbered(
    target: &TargetKernel,
    questions: &[TrialSpec<'_>],
    conditions: &Conditions,
    known: &HashMap<String, Trial>,
    each: &(dyn Fn(usize, &Trial) + Sync),
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
                let order = order(prepared, number, file, conditions);
                let prediction = &prepared.prediction;
                match order.before.is_empty() && agreement::is_plain_refusal(prediction) {
                    true => guest.run_refusal(&order, |observed| agreement::is_as_predicted(observed, prediction)),
                    false => guest.run(&order),
                }
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
        name: target.kernel.name.to_string(),
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
                // The observations stay; their outcome and agreement are judged by today's rules.
                Some(trial) => record(prepared, &trial.kernel, trial.observed.clone(), trial.seconds, &controls),
                None => {
                    let begun = Instant::now();
                    let observed = tried(prepared, *number);
                    record(prepared, &kernel, observed, begun.elapsed().as_secs_f64(), &controls)
                }
            };
            each(*number, &trial);
            lock(&trials).insert(*number, trial);
        });
    }
    trials.into_inner().unwrap_or_else(|e| e.into_inner()).into_values().collect()
}

/// As [`run`], but passes the trials to `consume` in the order of `specs`, each as soon as it and all before it are
/// finished. `consume` runs on the calling thread.
pub fn run_in_order<R>(
    target: &TargetKernel,
    specs: &[TrialSpec<'_>],
    conditions: &Conditions,
    consume: impl FnOnce(&mut dyn Iterator<Item = Trial>) -> R,
) -> R {
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel::<(usize, Trial)>();
        scope.spawn(move || {
            // The sender is dropped after the last trial, which ends the iterator below.
            let sender = Mutex::new(sender);
            run_numbered(target, specs, conditions, &HashMap::new(), &|number, trial| {
                let _ = lock(&sender).send((number, trial.clone()));
            });
        });
        let mut waiting: BTreeMap<usize, Trial> = BTreeMap::new();
        let mut next = 0;
        consume(&mut std::iter::from_fn(|| {
            while !waiting.contains_key(&next) {
                let Ok((number, trial)) = receiver.recv() else { break };
                waiting.insert(number, trial);
            }
            next += 1;
            waiting.remove(&(next - 1))
        }))
    })
}

/// Runs `work` on all items, with at most `jobs` threads.
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

/// The path of one of the kernel's own modules in the guest.
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
        LoadMode::Patched => match patched::plan(subject, &target.kernel, &load) {
            Ok(plan) => {
                let verdict = verdict(&plan.bytes_after, Module::read(&plan.bytes_after).ok().as_ref());
                let change = patched::recorded(&plan, subject, &target.kernel);
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
    // These words are part of the identifiers in existing files of trials: with other words, known trials would run
    // again.
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

/// A kernel's vermagic for the record; empty if it is not known.
fn vermagic(kernel: &Kernel) -> String {
    let bytes = kernel.vermagic.as_ref().map(|vermagic| vermagic.value.as_bytes());
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

/// Judges the observations.
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
