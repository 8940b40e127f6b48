//! `matrix`: many modules on many kernels in many ways; resumable.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::cli::Status;
use crate::cli::lab::{LabArgs, specimens, stored};
use crate::cli::output::{self, Failure, Paint, Progress, Session, count, waiting};
use crate::cli::r#try::{predicted, status};
use crate::error::Error;
use crate::escape::for_eyes;
use crate::lab::experiment::{self, Question, Target};
use crate::lab::outcome;
use crate::lab::record::{Agreement, Cell, Outcome, Role, Way};
use crate::lab::specimen::Specimen;
use crate::lab::store::{self, Writer};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Module files, folders of them, or names of modules of the kernels that --built-for names
    #[arg(long, required = true, num_args = 1.., value_delimiter = ',', value_name = "MODULE")]
    modules: Vec<OsString>,
    /// The kernels that they are tried on: images with their folders of modules, or packages
    #[arg(long, required = true, num_args = 1.., value_name = "K")]
    kernels: Vec<OsString>,
    /// The kernels that modules are taken from which are only named; each module of each
    #[arg(long, num_args = 1.., value_name = "K")]
    built_for: Vec<OsString>,
    /// The folder for cells.jsonl; a cell that is in it already is not run again
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Leave out the controls: the kernels' own modules, unforced and forced
    #[arg(long)]
    no_controls: bool,
    /// One JSON object a cell, in a line each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    lab: LabArgs,
}

/// How many cells that are not as predicted are shown.
const SHOWN: usize = 20;

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let lookup = session.lookup();
    let conditions = args.lab.conditions(&lookup)?;
    let ways = args.lab.ways();
    let modules = waiting("reading the modules", || specimens(&args.modules, &args.built_for, &lookup))?;
    let names: BTreeSet<String> = modules.iter().map(|specimen| specimen.seen.name.clone()).collect();
    let path = args.out.join(store::FILE);
    let stored = if path.exists() { stored(&path, session)? } else { store::Stored::default() };
    // Where the lab itself failed, another run may do better.
    let was_run = |cell: &Cell| !matches!(cell.outcome, Outcome::EngineError | Outcome::NoBoot);
    let known: HashMap<String, Cell> =
        stored.cells.into_iter().filter(was_run).map(|cell| (cell.id.clone(), cell)).collect();
    let mut writer: Option<Writer> = None;
    let controls = if args.no_controls { 0 } else { 2 * names.len() };
    let expected = args.kernels.len() * (modules.len() * ways.len() + controls);
    let progress = Progress::new("cell", expected);
    let reused = AtomicUsize::new(0);
    let mut all: Vec<Cell> = Vec::new();
    for name in &args.kernels {
        progress.doing(&name.to_string_lossy());
        let target = Target::open(name, &names, &conditions.settings, &lookup)?;
        let opened = match writer.take() {
            Some(writer) => writer,
            None => Writer::open(&path, stored.is_cut)?,
        };
        let file = Mutex::new((opened, None::<Error>));
        let own: Vec<Specimen> = match args.no_controls {
            true => Vec::new(),
            false => names.iter().filter_map(|name| target.own(name)).collect(),
        };
        let of_own = own.iter().flat_map(|own| {
            [Way::Original, Way::Forced].map(|way| Question { role: Role::Control, specimen: own, way })
        });
        let asked = modules
            .iter()
            .flat_map(|specimen| ways.iter().map(move |way| Question { role: Role::Asked, specimen, way: *way }));
        let questions: Vec<Question<'_>> = of_own.chain(asked).collect();
        let cells = experiment::run(&target, &questions, &conditions, &known, &|cell| {
            let before = known.get(&cell.id);
            reused.fetch_add(usize::from(before.is_some()), Ordering::Relaxed);
            if before != Some(cell) {
                let mut file = file.lock().unwrap_or_else(|e| e.into_inner());
                if let Err(error) = file.0.add(cell) {
                    file.1.get_or_insert(error);
                }
            }
            progress.step();
        });
        let (opened, error) = file.into_inner().unwrap_or_else(|e| e.into_inner());
        error.map_or(Ok(()), Err)?;
        writer = Some(opened);
        all.extend(cells);
    }
    drop(progress);
    if args.json {
        all.iter().try_for_each(|cell| session.json(cell))?;
    } else {
        print(&all, &ways, session)?;
    }
    let reused = reused.into_inner();
    if reused > 0 {
        session.remark(format_args!("{} were done before, and are taken from there", count(reused, "cell")));
    }
    session.remark(format_args!("the cells are in {}; kmodlab report makes a page of them", output::path(&args.out)));
    Ok(status(&all))
}

/// A row a kernel and way, with how many cells came to what; then what is not as predicted.
fn print(cells: &[Cell], ways: &[Way], session: &mut Session<'_>) -> Result<(), Failure> {
    let mut kernels: Vec<&str> = Vec::new();
    for cell in cells {
        if !kernels.contains(&cell.kernel.release.as_str()) {
            kernels.push(&cell.kernel.release);
        }
    }
    let heads = format!("{:<28} {:<18} {:>6} {:>8} {:>9}  outcomes", "kernel", "way", "agree", "unknown", "disagree");
    writeln!(session.out, "{}", session.paint(Paint::Faint, heads))?;
    let controls = [(Role::Control, Way::Original), (Role::Control, Way::Forced)];
    let rows: Vec<(Role, Way)> = controls.into_iter().chain(ways.iter().map(|way| (Role::Asked, *way))).collect();
    for kernel in kernels {
        for (role, way) in &rows {
            let is_in_row = |cell: &&Cell| cell.kernel.release == kernel && cell.role == *role && cell.way == *way;
            let row: Vec<&Cell> = cells.iter().filter(is_in_row).collect();
            if row.is_empty() {
                continue;
            }
            let of = |agreement| row.iter().filter(|cell| cell.agreement == agreement).count();
            let mut outcomes: BTreeMap<Outcome, usize> = BTreeMap::new();
            row.iter().for_each(|cell| *outcomes.entry(cell.outcome).or_default() += 1);
            let outcomes: Vec<String> =
                outcomes.iter().map(|(outcome, count)| format!("{count} {}", outcome.name())).collect();
            let way = match role {
                Role::Control => format!("own, {}", way.name()),
                Role::Asked => way.name().to_owned(),
            };
            let (agree, unknown, disagree) = (of(Agreement::Agree), of(Agreement::Unknown), of(Agreement::Disagree));
            let kernel = for_eyes(kernel);
            let outcomes = outcomes.join(", ");
            writeln!(session.out, "{kernel:<28} {way:<18} {agree:>6} {unknown:>8} {disagree:>9}  {outcomes}")?;
        }
    }
    let of = |agreement| cells.iter().filter(move |cell| cell.agreement == agreement);
    let (agree, unknown, disagree) =
        (of(Agreement::Agree).count(), of(Agreement::Unknown).count(), of(Agreement::Disagree).count());
    let total = count(cells.len(), "cell");
    writeln!(session.out, "{total}: {agree} as predicted, {unknown} can't be compared, {disagree} not as predicted")?;
    for cell in of(Agreement::Disagree).take(SHOWN) {
        let origin = cell.module.origin.as_deref().unwrap_or(&cell.module.path);
        let name = session.paint(Paint::Bad, for_eyes(&cell.module.name));
        let (origin, kernel, way) = (for_eyes(origin), for_eyes(&cell.kernel.release), cell.way.name());
        writeln!(session.out, "\n{name} of {origin} on {kernel}, {way}")?;
        writeln!(session.out, "  predicted  {}", predicted(cell))?;
        writeln!(session.out, "  happened   {}", for_eyes(&outcome::words(cell)))?;
        writeln!(session.out, "  but        {}", for_eyes(&cell.disagreement))?;
    }
    Ok(())
}
