//! `try`: a module in a throwaway virtual machine, as it is, forced and patched, beside the kernel's own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::cli::Status;
use crate::cli::lab::{LabArgs, specimens, stored};
use crate::cli::output::{self, Failure, Paint, Session, waiting};
use crate::error::{Error, ErrorKind};
use crate::escape::for_eyes;
use crate::kernel;
use crate::lab::experiment::{self, Question, Target, control_of};
use crate::lab::outcome::{self, decisive_line};
use crate::lab::record::{Agreement, Cell, Outcome, Role, Way};
use crate::lab::specimen::Specimen;
use crate::lab::store::{self, Writer};
use crate::predict::{self, Decision, errno_name, taint_letters};

#[derive(clap::Args)]
pub(super) struct Args {
    /// A module file, or the name of a module of the kernel that --built-for names
    #[arg(value_name = "MODULE")]
    module: OsString,
    /// The kernel that it is tried on: an image (vmlinuz) with its folder of modules, or a package; it is booted
    #[arg(long, value_name = "K")]
    kernel: OsString,
    /// The kernel that the module was built for: where MODULE is only a name, the module is taken from there
    #[arg(long, value_name = "K")]
    built_for: Option<OsString>,
    /// Add the cells to cells.jsonl in this folder, for kmodlab report
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// One JSON object a cell, in a line each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    lab: LabArgs,
}

/// How many functions of a call trace are shown.
const TRACE_SHOWN: usize = 6;

/// How many differences to the control are shown.
const DIFFERENCES_SHOWN: usize = 6;

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let lookup = session.lookup();
    let conditions = args.lab.conditions(&lookup)?;
    let built_for: Vec<OsString> = args.built_for.iter().cloned().collect();
    let found = waiting("reading the module", || specimens(std::slice::from_ref(&args.module), &built_for, &lookup))?;
    let [specimen] = found.as_slice() else {
        return Err(Error::new(ErrorKind::Usage, "try takes one module").hint("kmodlab matrix takes many").into());
    };
    if let Some(origin) = args.built_for.as_ref() {
        fits(specimen, origin, session)?;
    }
    let target = waiting("reading the kernel and its modules", || {
        Target::open(&args.kernel, &BTreeSet::from([specimen.seen.name.clone()]), &conditions.settings, &lookup)
    })?;
    let own = target.own(&specimen.seen.name);
    let controls = own
        .iter()
        .flat_map(|own| [Way::Original, Way::Forced].map(|way| Question { role: Role::Control, specimen: own, way }));
    let asked = args.lab.ways().into_iter().map(|way| Question { role: Role::Asked, specimen, way });
    let questions: Vec<Question<'_>> = controls.chain(asked).collect();
    let mut writer = args.out.as_ref().map(|folder| writer(folder, session)).transpose()?;
    if !args.json {
        heading(specimen, &target, own.is_some(), session)?;
    }
    // Told in the order of the questions, as soon as all before are done.
    let order: Vec<(Role, Way)> = questions.iter().map(|question| (question.role, question.way)).collect();
    let done: Mutex<BTreeMap<usize, Cell>> = Mutex::new(BTreeMap::new());
    let place = |cell: &Cell| order.iter().position(|at| *at == (cell.role, cell.way)).unwrap_or_default();
    let cells = std::thread::scope(|scope| {
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let work = scope.spawn({
            let (done, target, questions, conditions) = (&done, &target, &questions, &conditions);
            move || {
                // The sender is dropped with the last cell, and that ends the loop below.
                let sender = Mutex::new(sender);
                experiment::run(target, questions, conditions, &HashMap::new(), &|cell| {
                    done.lock().unwrap_or_else(|e| e.into_inner()).insert(place(cell), cell.clone());
                    let _ = sender.lock().unwrap_or_else(|e| e.into_inner()).send(());
                })
            }
        });
        let mut told: Vec<Cell> = Vec::new();
        loop {
            let next = done.lock().unwrap_or_else(|e| e.into_inner()).remove(&told.len());
            if let Some(cell) = next {
                if let Some(writer) = &mut writer {
                    writer.add(&cell)?;
                }
                if args.json {
                    session.json(&cell)?;
                } else {
                    print(&cell, &told, session)?;
                }
                session.out.flush()?;
                told.push(cell);
            } else if waiting("trying it in a virtual machine", || receiver.recv()).is_err()
                && !done.lock().unwrap_or_else(|e| e.into_inner()).contains_key(&told.len())
            {
                break;
            }
        }
        drop(work.join());
        Ok::<_, Failure>(told)
    })?;
    if !args.json {
        conclude(&cells, session)?;
    }
    if let Some(folder) = &args.out {
        session.remark(format_args!("the cells are in {}; kmodlab report makes a page of them", output::path(folder)));
    }
    Ok(status(&cells))
}

/// The exit status: a wrong prediction is a negative verdict, and a lab that could not be run is an error.
pub(super) fn status(cells: &[Cell]) -> Status {
    let is = |outcomes: &[Outcome]| cells.iter().any(|cell| outcomes.contains(&cell.outcome));
    if is(&[Outcome::EngineError, Outcome::NoBoot]) {
        Status::Failed
    } else if cells.iter().any(|cell| cell.agreement == Agreement::Disagree) {
        Status::Negative
    } else if cells.iter().all(|cell| cell.outcome == Outcome::NotRun || cell.role == Role::Control) {
        // Nothing of what was asked about was tried.
        Status::Failed
    } else {
        Status::Done
    }
}

/// Opens the file of cells in a folder; what is there stays.
fn writer(folder: &Path, session: &mut Session<'_>) -> Result<Writer, Error> {
    let path = folder.join(store::FILE);
    let is_cut = path.exists() && stored(&path, session)?.is_cut;
    Writer::open(&path, is_cut)
}

/// Is the module one of the kernel that it is said to be built for?
fn fits(specimen: &Specimen, origin: &OsString, session: &mut Session<'_>) -> Result<(), Failure> {
    let lookup = session.lookup();
    let kernel = waiting("reading the kernel that it was built for", || kernel::named(origin, &lookup))?;
    let ours = specimen.seen.vermagic.as_deref().unwrap_or_default();
    if kernel.vermagic.as_ref().is_some_and(|theirs| theirs.value.as_bytes() != ours.as_bytes()) {
        session.remark(format_args!(
            "{} was not built for {}: its version magic is {}",
            for_eyes(&specimen.seen.path),
            for_eyes(&kernel.name),
            for_eyes(ours)
        ));
    }
    Ok(())
}

fn heading(specimen: &Specimen, target: &Target, has_own: bool, session: &mut Session<'_>) -> Result<(), Failure> {
    let name = session.paint(Paint::Strong, for_eyes(&specimen.seen.name));
    writeln!(session.out, "{name}  {}", for_eyes(&specimen.seen.path))?;
    let vermagic = specimen.seen.vermagic.as_deref().unwrap_or("no version magic");
    writeln!(session.out, "  built for  {}", output::vermagic(vermagic.as_bytes()))?;
    writeln!(session.out, "  tried on   {}", output::vermagic_of(&target.kernel))?;
    if !has_own {
        let name = for_eyes(&specimen.seen.name);
        writeln!(session.out, "  control    none: this kernel has no module {name} of its own to compare with")?;
    }
    let heads = session.paint(Paint::Faint, format_args!("  {:<20} {:<36} {}", "way", "predicted", "happened"));
    writeln!(session.out, "\n{heads}")?;
    Ok(())
}

/// One row, and under it what decided it.
fn print(cell: &Cell, before: &[Cell], session: &mut Session<'_>) -> Result<(), Failure> {
    let way = match cell.role {
        Role::Control if cell.way == Way::Original => "the kernel's own".to_owned(),
        Role::Control => "its own, forced".to_owned(),
        Role::Asked => cell.way.name().to_owned(),
    };
    let paint = match cell.outcome {
        Outcome::NoDifference => Paint::Good,
        Outcome::Refused | Outcome::NotRun | Outcome::InitFailed | Outcome::Warned => Paint::Odd,
        _ => Paint::Bad,
    };
    let happened = session.paint(paint, for_eyes(&outcome::words(cell)));
    let mark = match cell.agreement {
        Agreement::Disagree => format!("  {}", session.paint(Paint::Bad, "not as predicted")),
        Agreement::Agree | Agreement::Unknown => String::new(),
    };
    writeln!(session.out, "  {way:<20} {:<36} {happened}{mark}", predicted(cell))?;
    let mut detail = |text: &str| writeln!(session.out, "  {:<20} {}", "", for_eyes(text));
    if let Some(line) = decisive_line(cell) {
        detail(line)?;
    }
    if let Some(crash) = &cell.observed.crash {
        if cell.outcome == Outcome::InitNeverRan {
            detail(&crash.line)?;
        }
        for place in crash.place.iter().chain(&crash.trace).take(TRACE_SHOWN) {
            detail(&format!("    {place}"))?;
        }
    }
    if let Some(why) = cell.change.as_ref().and_then(|change| change.impossible.as_ref()) {
        detail(why)?;
    }
    if cell.outcome == Outcome::Misbehaves
        && let Some(control) = control_of(before, &cell.module.name, cell.way)
    {
        let differences = outcome::differences(&cell.observed, &control.observed);
        for difference in differences.iter().take(DIFFERENCES_SHOWN) {
            detail(difference)?;
        }
    }
    let taint = taint_letters(cell.observed.taint_after & !cell.observed.taint_before);
    if !taint.is_empty() {
        detail(&format!("taint {taint}"))?;
    }
    if cell.agreement == Agreement::Disagree {
        detail(&cell.disagreement)?;
    }
    Ok(())
}

/// What was predicted, in a few words.
pub(super) fn predicted(cell: &Cell) -> String {
    let prediction = &cell.prediction;
    match prediction.verdict {
        Decision::Refused => {
            let stage = prediction.stage.as_deref().unwrap_or("a step");
            match prediction.errno.map(errno_name) {
                Some(errno) if prediction.undecided.is_empty() => format!("refused: {errno} at {stage}"),
                _ => format!("refused at {stage}, or before: {}", prediction.undecided.join(", ")),
            }
        }
        Decision::Accepted => match prediction.taint.as_deref().filter(|taint| !taint.is_empty()) {
            Some(taint) => format!("accepted, taint {taint}"),
            None => "accepted".to_owned(),
        },
        Decision::Unknown => {
            let open = |finding: &&predict::Finding| finding.result == predict::StepResult::Unknown;
            let step = prediction.findings.iter().find(open).map_or("", |finding| finding.step.name());
            format!("unknown: {step}")
        }
    }
}

/// The verdict in words: what each outcome that came up means, the worst first, and whether it was as predicted.
fn conclude(cells: &[Cell], session: &mut Session<'_>) -> Result<(), Failure> {
    writeln!(session.out)?;
    let asked: Vec<&Cell> = cells.iter().filter(|cell| cell.role == Role::Asked).collect();
    let outcomes: BTreeSet<Outcome> = asked.iter().map(|cell| cell.outcome).collect();
    for outcome in Outcome::ALL.into_iter().filter(|outcome| outcomes.contains(outcome)) {
        let ways: Vec<&str> = asked.iter().filter(|cell| cell.outcome == outcome).map(|cell| cell.way.name()).collect();
        let name = session.paint(Paint::Strong, outcome.name());
        writeln!(session.out, "  {name} ({}): {}", ways.join(", "), outcome.sentence())?;
    }
    let original = asked.iter().max_by_key(|cell| cell.prediction.dangers.len());
    for danger in original.map(|cell| cell.prediction.dangers.as_slice()).unwrap_or_default() {
        let what = session.paint(Paint::Bad, "known to be unsafe");
        writeln!(session.out, "  {what}: {}", for_eyes(danger))?;
    }
    let count = |agreement| cells.iter().filter(|cell| cell.agreement == agreement).count();
    let (agree, unknown, disagree) = (count(Agreement::Agree), count(Agreement::Unknown), count(Agreement::Disagree));
    writeln!(
        session.out,
        "  {agree} of {} cells as predicted, {unknown} can't be compared, {disagree} not as predicted",
        cells.len()
    )?;
    Ok(())
}
