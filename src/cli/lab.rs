//! What `try`, `matrix` and `report` share: the options of the lab, where modules come from, and the cells of earlier runs.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::cli::output::{self, Session};
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{Lookup, files};
use crate::lab::acceleration::Acceleration;
use crate::lab::experiment::{Conditions, Depth};
use crate::lab::guest::{Isolation, Limits, Settings};
use crate::lab::record::Way;
use crate::lab::specimen::Specimen;
use crate::lab::store::{self, Stored};
use crate::lab::wire::Force;
use crate::module::{is_module_name, name_of_file};

#[derive(clap::Args, Default)]
#[command(next_help_heading = "Options of the lab")]
pub(super) struct LabArgs {
    /// The ways to load a module [default: all]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "WAY")]
    ways: Vec<WayArg>,
    /// How many guests run side by side [default: as many as there are processors]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// A program of your own that looks at the loaded module in the guest: each line that it prints, WHAT: HOW, is held
    /// beside what it prints for the kernel's own module
    /// (it has ten seconds, and finds its interpreter and libraries, its arguments, and the module's name as MODULE)
    #[arg(long, value_name = "CMD", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    witness: Option<String>,
    /// Unload with force, as rmmod -f does
    #[arg(long)]
    rmmod_force: bool,
    /// Load the module, and neither use nor unload it
    #[arg(long, conflicts_with_all = ["witness", "rmmod_force"])]
    load_only: bool,
    /// A bare insmod: what the module needs is not loaded before it
    #[arg(long)]
    alone: bool,
    /// Boot the kernel anew for each cell, instead of cloning a guest that waits
    #[arg(long)]
    boot_each: bool,
    /// Run guests on the processor (kvm) or translated (tcg) [default: kvm where a guest comes up on it]
    #[arg(long, value_enum, value_name = "HOW")]
    accel: Option<AccelArg>,
    /// A kmodlab built for the guest's architecture, where that is another
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// More words for the kernel's command line, such as module.sig_enforce=1 or slub_debug=FZPU
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
enum WayArg {
    Original,
    ForcedVermagic,
    ForcedModversions,
    Forced,
    Patched,
}

impl LabArgs {
    /// The ways that are wished for, in the order of tables.
    pub(super) fn ways(&self) -> Vec<Way> {
        let wished = self.ways.iter().map(|way| match way {
            WayArg::Original => Way::Original,
            WayArg::ForcedVermagic => Way::ForcedVermagic,
            WayArg::ForcedModversions => Way::ForcedModversions,
            WayArg::Forced => Way::Forced,
            WayArg::Patched => Way::Patched,
        });
        let wished: BTreeSet<Way> = wished.collect();
        if wished.is_empty() { Way::ALL.to_vec() } else { wished.into_iter().collect() }
    }

    /// What is the same for all cells.
    pub(super) fn conditions(&self, lookup: &Lookup) -> Result<Conditions> {
        let kmodlab = std::env::current_exe().map_err(|e| Error::io("finding this program's own file", e))?;
        let witness: Vec<String> =
            self.witness.iter().flat_map(|command| command.split_whitespace()).map(str::to_owned).collect();
        let witness = absolute(witness)?;
        Ok(Conditions {
            settings: Settings {
                kmodlab,
                agent: self.agent.clone(),
                cache: lookup.cache.clone(),
                limits: Limits::default(),
                acceleration: self.accel.map(|accel| match accel {
                    AccelArg::Kvm => Acceleration::Kvm,
                    AccelArg::Tcg => Acceleration::Tcg,
                }),
                isolation: if self.boot_each { Isolation::Boot } else { Isolation::Clone },
                command_line: self.append.clone(),
                witness,
            },
            depth: match (self.load_only, self.rmmod_force) {
                (true, _) => Depth::Load,
                (false, true) => Depth::Use(Force::Yes),
                (false, false) => Depth::Use(Force::No),
            },
            alone: self.alone,
            jobs: self.jobs.map_or_else(|| std::thread::available_parallelism().map_or(2, usize::from), usize::from),
        })
    }
}

/// The most bytes of words for the command line: x86 takes 2047 in all (COMMAND_LINE_SIZE, arch/x86/include/asm/setup.h).
const MOST_WORDS: usize = 1024;

fn command_line(text: &str) -> Result<String, &'static str> {
    match text {
        _ if text.len() > MOST_WORDS => Err("more than 1024 bytes, and kernels take few more"),
        _ if text.chars().any(char::is_control) => Err("a control character has no place on a command line"),
        _ if text.matches('"').count() % 2 == 1 => Err("a quotation mark without its partner"),
        _ => Ok(text.to_owned()),
    }
}

/// The witness by its whole path, as it is found in the guest, too.
fn absolute(mut witness: Vec<String>) -> Result<Vec<String>> {
    if let Some(program) = witness.first_mut() {
        let path = Path::new(program).canonicalize().map_err(|e| Error::io("finding the witness", e).on(&*program))?;
        *program = path
            .to_str()
            .map(str::to_owned)
            .ok_or_else(|| Error::new(ErrorKind::Usage, "the witness's path must be UTF-8 text").on(&path))?;
    }
    Ok(witness)
}

/// The modules that are meant: files, files in folders, or names, which are taken out of the kernels that they were built
/// for.
pub(super) fn specimens(names: &[OsString], built_for: &[OsString], lookup: &Lookup) -> Result<Vec<Specimen>> {
    let mut found = Vec::new();
    let mut wanted = BTreeSet::new();
    for name in names {
        let path = Path::new(name);
        if path.is_dir() {
            let mut files: Vec<PathBuf> = walkdir::WalkDir::new(path)
                .sort_by_file_name()
                .into_iter()
                .flatten()
                .map(walkdir::DirEntry::into_path)
                .filter(|path| path.is_file() && is_module_name(path))
                .collect();
            files.sort();
            if files.is_empty() {
                return Err(Error::new(ErrorKind::NotFound, "no module in this folder").on(path));
            }
            for file in files {
                found.push(Specimen::open(&file, lookup.max_size)?);
            }
        } else if path.exists() || path.components().count() > 1 {
            found.push(Specimen::open(path, lookup.max_size)?);
        } else {
            wanted.insert(name_of_file(path));
        }
    }
    if let (Some(name), true) = (wanted.first(), built_for.is_empty()) {
        let hint = "name a file, or the kernel to take it from: --built-for K";
        return Err(Error::new(ErrorKind::NotFound, format!("no such module file: {name}")).hint(hint));
    }
    if wanted.is_empty() {
        return Ok(found);
    }
    for kernel in built_for {
        let mut files = files::of(kernel, &wanted, lookup)?;
        for name in &wanted {
            let file = files.modules.remove(name).ok_or_else(|| {
                Error::new(ErrorKind::NotFound, format!("no module {name} there")).on(Path::new(kernel))
            })?;
            let mut specimen = Specimen::new(file.bytes, Path::new(&file.path), None);
            let release = specimen.seen.vermagic.as_deref().and_then(|text| text.split(' ').next());
            specimen.seen.origin = release.map(str::to_owned).or_else(|| Some(kernel.to_string_lossy().into_owned()));
            found.push(specimen);
        }
    }
    Ok(found)
}

/// Reads a file of cells. A cut last line is told and left out.
pub(super) fn stored(path: &Path, session: &mut Session<'_>) -> Result<Stored> {
    let stored = store::read(path)?;
    if stored.is_cut {
        let path = output::path(path);
        session.remark(format_args!("{path}: the last line is cut short, by an interrupted run; it is left out"));
    }
    Ok(stored)
}
