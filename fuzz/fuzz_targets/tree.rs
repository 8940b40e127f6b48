//! Arbitrary files as a kernel's build tree. The report is the same each time, or an error; and after the changes that it proposes
//! the tree has the version magic that it announces.

use std::fs;
use std::path::{Component, Path, PathBuf};

use kmodlab::buildtree::advising::edits::TextEdits;
use kmodlab::buildtree::advising::fix::{Fix, SuffixRemoval, TreeChange};
use kmodlab::buildtree::evaluating::current::VermagicPredictions;
use kmodlab::buildtree::reading::options::{Options, config_of};
use kmodlab::buildtree::report::TreeReport;
use kmodlab::buildtree::{BuildTree, MakeArguments};
use kmodlab::error::Result;
use kmodlab::kernel::{Fact, Facts, Kernel, KernelName};
use kmodlab::vermagic::Vermagic;

use crate::message::is_one_line;
use crate::scratch;

/// The most files of an input.
const MOST_FILES: usize = 64;

/// The search path for programs. A tree can name the compiler, and no program must run here.
const NO_PROGRAMS: &str = "/nonexistent";

/// The version magic that modules of the tree must have, if the input has none.
const VERMAGIC: &[u8] = b"6.1.0-47-amd64 SMP preempt mod_unload modversions ";

/// An input: for each file a line `== PATH`, then its text. `== kernel` has the version magic of the kernel that the modules are
/// for, `== kernel.config` its configuration.
pub(crate) fn check(bytes: &[u8]) {
    assert!(
        std::env::var("PATH").is_ok_and(|path| path == NO_PROGRAMS),
        "run it with PATH={NO_PROGRAMS}: see fuzz/run"
    );
    let folder = scratch::empty();
    let (mut vermagic, mut config) = (VERMAGIC, None);
    for (path, text) in files(bytes).take(MOST_FILES) {
        match path {
            b"kernel" => vermagic = text.split(|byte| *byte == b'\n').next().unwrap_or_default(),
            b"kernel.config" => config = Some(text),
            path => put(&folder, path, text),
        }
    }
    let kernel = kernel(vermagic, config);
    let call = MakeArguments::default();
    let read = || Reading::of(&folder, &kernel, &call).inspect_err(is_one_line).ok();
    let Some(first) = read() else { return };
    assert_eq!(Some(&first.json), read().as_ref().map(|reading| &reading.json));

    let Some(call) = carried_out(&folder, &first.report.fixes, config) else { return };
    let Some(after) = &first.report.after else { return };
    let fixed = Reading::of(&folder, &kernel, &call).expect("fixes leave a tree");
    assert_eq!(fixed.report.summary.rebuilt.vermagic.as_ref(), Some(after), "{:?}", first.report.fixes);
}

/// Makes the changes that a person would make, and returns the variables for make; `None` if one of them needs more than text files.
fn carried_out(folder: &Path, fixes: &[Fix], config: Option<&[u8]>) -> Option<MakeArguments> {
    // The kernel's configuration, whose lines other changes edit.
    for fix in fixes {
        if let TreeChange::Config { to, .. } = &fix.change {
            fs::write(Some(to).filter(|to| to.starts_with(folder))?, config?).ok()?;
        }
    }
    let edits = TextEdits::of(fixes).inspect_err(is_one_line).ok()?;
    // A Makefile can lead to a source anywhere.
    if !edits.files.iter().all(|file| file.path.starts_with(folder)) {
        return None;
    }
    for file in &edits.files {
        assert_eq!(fs::read(&file.path).expect("it was read before"), file.before);
        fs::write(&file.path, &file.after).expect("it can be written");
    }
    let mut call = MakeArguments::default();
    for fix in fixes {
        match &fix.change {
            TreeChange::Config { .. } | TreeChange::Line { .. } | TreeChange::Empty { .. } => {}
            // The next build does that, and the prediction is for the time after it.
            TreeChange::Generate { .. } | TreeChange::Symvers { .. } => {}
            TreeChange::Option { option, after, .. } => set(folder, option, after)?,
            TreeChange::VersionControl { how: SuffixRemoval::EmptyLocalversion, .. } => {
                call.localversion = Some(String::new());
            }
            TreeChange::VersionControl { how: SuffixRemoval::DisableAuto, .. } => {
                set(folder, "CONFIG_LOCALVERSION_AUTO", "n")?;
                call.localversion = Some(String::new());
            }
            _ => return None,
        }
    }
    Some(call)
}

/// Sets an option in `.config`; `None` if there is no such file.
fn set(folder: &Path, option: &str, value: &str) -> Option<()> {
    let path = folder.join(".config");
    let mut text = fs::read(&path).ok()?;
    let line = match value {
        "n" => format!("\n# {option} is not set\n"),
        value => format!("\n{option}={value}\n"),
    };
    text.extend(line.into_bytes());
    fs::write(path, text).ok()
}

/// Everything that is said about a tree.
struct Reading {
    report: TreeReport,
    json: String,
}

impl Reading {
    fn of(folder: &Path, kernel: &Kernel, call: &MakeArguments) -> Result<Reading> {
        let tree = BuildTree::read(folder, call)?;
        let predictions = VermagicPredictions::of(&tree)?;
        let report = TreeReport::of(folder, &tree, &predictions, kernel, None, "x86_64")?;
        let json = serde_json::to_string(&report).expect("a report can be serialised");
        Ok(Reading { report, json })
    }
}

/// The files of an input.
fn files(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    const MARK: &[u8] = b"== ";
    let starts = memchr::memmem::find_iter(bytes, MARK).filter(|at| *at == 0 || bytes[at - 1] == b'\n');
    let starts: Vec<usize> = starts.collect();
    let ends: Vec<usize> = starts.iter().skip(1).copied().chain([bytes.len()]).collect();
    starts.into_iter().zip(ends).map(move |(start, end)| {
        let file = &bytes[start + MARK.len()..end];
        let line = memchr::memchr(b'\n', file).unwrap_or(file.len());
        (&file[..line], file.get(line + 1..).unwrap_or_default())
    })
}

/// Writes a file of the tree, if its path leads nowhere else.
fn put(folder: &Path, path: &[u8], text: &[u8]) {
    let Ok(path) = std::str::from_utf8(path) else { return };
    let path = PathBuf::from(path);
    if path.as_os_str().is_empty() || !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return;
    }
    let path = folder.join(path);
    // It may be in a folder that is a file, or have a name that no file can have.
    let _ = path.parent().map(fs::create_dir_all).transpose().and_then(|_| fs::write(path, text));
}

fn kernel(vermagic: &[u8], config: Option<&[u8]>) -> Kernel {
    let config = config.map(|text| Fact {
        value: config_of(&Options::parse(&String::from_utf8_lossy(text), "kernel.config".as_ref())),
        source: "kernel.config".into(),
    });
    Kernel {
        name: KernelName::from("fuzz"),
        vermagic: Some(Fact { value: Vermagic::parse(vermagic), source: "the fuzz target".into() }),
        facts: Facts { config, ..Facts::default() },
    }
}
