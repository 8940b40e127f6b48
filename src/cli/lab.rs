//! The options that `try` and `matrix` share, the recorded trials that commands read, and the exit status of a run of
//! trials.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::cli::output::{self, Session};
use crate::cli::status::Status;
use crate::error::{Error, Result};
use crate::kernel::Lookup;
use crate::lab::acceleration::Acceleration;
use crate::lab::conditions::{self, Conditions, Depth};
use crate::lab::guest::{GuestLimits, GuestSettings, Isolation};
use crate::lab::record::{LoadMode, Trial};
use crate::lab::store;
use crate::lab::tally::Conclusion;
use crate::lab::wire::UnloadMode;

#[derive(clap::Args, Default)]
#[command(next_help_heading = "Options of the lab")]
pub(super) struct LabArgs {
    /// How to load each module [default: all modes]
    #[arg(long, alias = "ways", value_enum, value_delimiter = ',', value_name = "MODE")]
    load_modes: Vec<LoadModeArg>,
    /// How many guests run at the same time [default: the number of processors]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// A program of your own that checks the loaded module in the guest. Each line of its output, WHAT: HOW, is
    /// compared with the output for the kernel's own module
    /// (time limit: ten seconds; its interpreter, its libraries and its arguments are available, and the module's name
    /// is in MODULE)
    #[arg(long, alias = "witness", value_name = "CMD", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    probe: Option<String>,
    /// Unload with force, as rmmod -f does
    #[arg(long)]
    rmmod_force: bool,
    /// Load the module, and neither use nor unload it
    #[arg(long, conflicts_with_all = ["probe", "rmmod_force"])]
    load_only: bool,
    /// Do not load the modules that the module needs, like a bare insmod
    #[arg(long)]
    alone: bool,
    /// Boot the kernel for each trial, instead of cloning a waiting guest
    #[arg(long)]
    boot_each: bool,
    /// Run guests on the processor (kvm) or translated (tcg) [default: kvm if a guest boots on it]
    #[arg(long, value_enum, value_name = "HOW")]
    accel: Option<AccelArg>,
    /// A kmodlab built for the guest's architecture, if that is another one
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// Additional kernel arguments, such as module.sig_enforce=1 or slub_debug=FZPU
    #[arg(long, value_name = "WORDS", default_value = "", hide_default_value = true)]
    #[arg(value_parser = command_line)]
    append: String,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AccelArg {
    Kvm,
    Tcg,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LoadModeArg {
    Original,
    ForcedVermagic,
    ForcedModversions,
    Forced,
    Patched,
}

impl LabArgs {
    /// The defaults, with the load mode `original` only.
    pub(super) fn original() -> LabArgs {
        LabArgs { load_modes: vec![LoadModeArg::Original], ..LabArgs::default() }
    }

    /// The requested load modes, in the order of tables.
    pub(super) fn load_modes(&self) -> Vec<LoadMode> {
        let requested = self.load_modes.iter().map(|load_mode| match load_mode {
            LoadModeArg::Original => LoadMode::Original,
            LoadModeArg::ForcedVermagic => LoadMode::ForcedVermagic,
            LoadModeArg::ForcedModversions => LoadMode::ForcedModversions,
            LoadModeArg::Forced => LoadMode::Forced,
            LoadModeArg::Patched => LoadMode::Patched,
        });
        let requested: BTreeSet<LoadMode> = requested.collect();
        if requested.is_empty() { LoadMode::ALL.to_vec() } else { requested.into_iter().collect() }
    }

    /// The conditions of all trials.
    pub(super) fn conditions(&self, lookup: &Lookup) -> Result<Conditions> {
        let kmodlab = std::env::current_exe().map_err(|e| Error::io("finding this program's own file", e))?;
        let probe = self.probe.as_deref().map(conditions::probe).transpose()?.unwrap_or_default();
        Ok(Conditions {
            settings: GuestSettings {
                kmodlab,
                agent: self.agent.clone(),
                cache: lookup.cache.clone(),
                limits: GuestLimits::default(),
                acceleration: self.accel.map(|accel| match accel {
                    AccelArg::Kvm => Acceleration::Kvm,
                    AccelArg::Tcg => Acceleration::Tcg,
                }),
                isolation: if self.boot_each { Isolation::Boot } else { Isolation::Clone },
                command_line: self.append.clone(),
                probe,
            },
            depth: match (self.load_only, self.rmmod_force) {
                (true, _) => Depth::Load,
                (false, true) => Depth::Use(UnloadMode::Forced),
                (false, false) => Depth::Use(UnloadMode::Plain),
            },
            alone: self.alone,
            jobs: self.jobs.map_or_else(|| std::thread::available_parallelism().map_or(2, usize::from), usize::from),
        })
    }
}

/// The most bytes of additional kernel arguments: x86 has a limit of 2047 in all (COMMAND_LINE_SIZE,
/// arch/x86/include/asm/setup.h).
const MOST_WORDS: usize = 1024;

fn command_line(text: &str) -> Result<String, &'static str> {
    match text {
        _ if text.len() > MOST_WORDS => Err("more than 1024 bytes, which is near the limit of kernels"),
        _ if text.chars().any(char::is_control) => Err("control characters are not allowed"),
        _ if text.matches('"').count() % 2 == 1 => Err("unbalanced quotation mark"),
        _ => Ok(text.to_owned()),
    }
}

/// Reads the trials of a file, or of the files in a folder. A last line that is cut short is reported and left out.
pub(super) fn stored(path: &Path, session: &mut Session<'_>) -> Result<Vec<Trial>> {
    let mut all = Vec::new();
    for file in store::files_of(path) {
        let stored = store::read_file(&file)?;
        if stored.is_cut {
            let path = output::path(&file);
            session.remark(format_args!("{path}: the last line is cut short by an interrupted run; it is left out"));
        }
        all.extend(stored.trials);
    }
    Ok(all)
}

/// The exit status of a run of trials: a wrong prediction is a negative verdict, and a lab that could not run is an error.
pub(super) fn status(trials: &[Trial]) -> Status {
    match Conclusion::of(trials) {
        Conclusion::LabFailed | Conclusion::NothingTried => Status::Failed,
        Conclusion::NotAsPredicted => Status::Negative,
        Conclusion::AsPredicted => Status::Done,
    }
}
