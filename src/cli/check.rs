//! `check`: what a kernel will answer to a module.

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use rayon::prelude::*;
use serde::Serialize;

use crate::cli::modules::Modules;
use crate::cli::output::{self, Failure, Paint, Session};
use crate::cli::status::Status;
use crate::cli::words;
use crate::digest::sha256;
use crate::error::{Error, Result};
use crate::escape::for_eyes;
use crate::kernel::{self, Kernel, KernelName};
use crate::module::container::Container;
use crate::module::{self, Module, file, name_of_file};
use crate::predict::danger::Danger;
use crate::predict::{
    self, Candidate, Decision, Finding, Force, LoadOptions, Loader, LoaderStep, PatchHelps, PatchPrediction,
    StepResult, Userspace, Verdict,
};
use crate::vault::index::Index;
use crate::vault::target;
use crate::vermagic::{Vermagic, compare};

#[derive(clap::Args)]
#[command(mut_group("Modules", |group| group.required(true)))]
pub(super) struct Args {
    #[command(flatten)]
    modules: Modules,
    /// The kernel: running, vermagic:STRING, an image (vmlinuz), a folder (/lib/modules/RELEASE), a package (.deb
    /// and others, or A+B), or a module of that kernel; several may be named
    #[arg(long = "kernel", required = true, value_name = "K")]
    kernels: Vec<OsString>,
    /// What the kernel is told to ignore, as by modprobe --force-vermagic, --force-modversion, --force
    #[arg(long, value_enum, value_name = "WHAT", default_value = "none", hide_default_value = true)]
    force: ForceArg,
    /// A bare insmod: the modules that it needs are not loaded before it
    #[arg(long)]
    alone: bool,
    /// Who loads compressed files: kmod up to 30 unpacks them, later ones leave it to the kernel where it can
    #[arg(long, value_enum, value_name = "WHO", default_value = "any", hide_default_value = true)]
    loader: LoaderArg,
    /// One JSON object a cell, in a line each
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ForceArg {
    None,
    Vermagic,
    Modversions,
    Both,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LoaderArg {
    Any,
    Kmod30,
    Kmod31,
    Kmod34,
    Kernel,
}

impl Args {
    fn load(&self) -> LoadOptions {
        let force = match self.force {
            ForceArg::None => Force::None,
            ForceArg::Vermagic => Force::Vermagic,
            ForceArg::Modversions => Force::Modversions,
            ForceArg::Both => Force::Both,
        };
        let loader = match self.loader {
            LoaderArg::Any => Loader::Any,
            LoaderArg::Kmod30 => Loader::Kmod30,
            LoaderArg::Kmod31 => Loader::Kmod31,
            LoaderArg::Kmod34 => Loader::Kmod34,
            LoaderArg::Kernel => Loader::Kernel,
        };
        LoadOptions { force, alone: self.alone, loader, is_patched: false }
    }
}

/// How many modules are judged before their cells are printed: enough to keep all cores at work.
const BATCH: usize = 64;

/// How many lines of the log are shown to people; JSON has all.
const LINES: usize = 6;

/// A module against all kernels.
struct Judged {
    name: String,
    vermagic: Option<Vermagic>,
    /// What a strict reader says against the file, where it does.
    broken: Option<Error>,
    /// What hides its signature, in words.
    after_signature: Option<String>,
    verdicts: Vec<Verdict>,
}

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let lookup = session.lookup();
    // Of several errors it is always the first one that is told.
    let what = format!("reading {}", output::count(args.kernels.len(), "kernel"));
    let kernels: Vec<Result<Kernel>> =
        output::waiting(&what, || args.kernels.par_iter().map(|name| kernel::named(name, &lookup)).collect());
    let kernels = kernels.into_iter().collect::<Result<Vec<_>>>()?;
    let load = args.load();
    let (mut done, mut failed, mut refused, mut is_first) = (0, 0, 0, true);
    // A journal that can't be read says nothing; the commands that need it say why.
    let journal = session.vault().and_then(|vault| vault.index()).ok().filter(|index| !index.is_empty());
    let mut files = args.modules.files()?;
    loop {
        let what = format!("judging modules, {done} done");
        let judged: Vec<Result<(PathBuf, Judged)>> = output::waiting(&what, || {
            let batch: Vec<Result<PathBuf>> = files.by_ref().take(BATCH).collect();
            let judge = |path: PathBuf| {
                let is_patched = journal.as_ref().is_some_and(|journal| is_patched(&path, journal));
                let load = LoadOptions { is_patched, ..load };
                let mut judged = judge(&path, &kernels, &load, lookup.max_size)?;
                if is_patched {
                    judged.verdicts.iter_mut().for_each(add_patched);
                }
                Ok((path, judged))
            };
            batch.into_par_iter().map(|path| path.and_then(judge)).collect()
        });
        if judged.is_empty() {
            break;
        }
        done += judged.len();
        for judged in judged {
            let (path, judged) = match judged {
                Ok(judged) => judged,
                Err(error) => {
                    session.complain(&error);
                    failed += 1;
                    continue;
                }
            };
            for (kernel, verdict) in kernels.iter().zip(&judged.verdicts) {
                refused += usize::from(verdict.answer == Decision::Refused);
                if args.json {
                    session.json(&Cell::of(&path, kernel, &load, &judged, verdict))?;
                } else {
                    if !is_first {
                        writeln!(session.out)?;
                    }
                    print(&path, &judged, kernel, &load, verdict, session)?;
                }
                is_first = false;
            }
        }
    }
    Ok(match (failed, refused) {
        (0, 0) => Status::Done,
        (0, _) => Status::Negative,
        (_, _) if done == 1 => Status::Failed,
        _ => Status::Partial,
    })
}

/// Did the file come out of a patch, by the journal: at this path, or a copy of one?
fn is_patched(path: &Path, journal: &Index) -> bool {
    let at_its_place = || journal.is_patched(&target::real_path(path).ok()?).ok();
    let is_copy = || {
        let size = path.metadata().ok()?.len();
        let contents = journal.sizes().contains(&size).then(|| file::read(path).ok()).flatten()?;
        journal.knows_content(sha256(contents.bytes())).ok()
    };
    at_its_place().unwrap_or(false) || is_copy().unwrap_or(false)
}

/// Adds the warning to a verdict that has none from the module's own mark.
fn add_patched(verdict: &mut Verdict) {
    if !verdict.dangers.iter().any(|danger| matches!(danger, Danger::Patched { .. })) {
        verdict.dangers.push(Danger::patched("the journal has the patch"));
    }
}

/// Judges one module file. What is no module at all is refused by every kernel. A file that contradicts itself is judged
/// where the facts say what a kernel makes of it; else it is an error, as everywhere.
fn judge(path: &Path, kernels: &[Kernel], load: &LoadOptions, max_size: u64) -> Result<Judged> {
    module::with_packed(path, max_size, |bytes, packing| {
        let read = Module::read(bytes);
        let is_judged = predict::is_of_no_module(bytes) || kernels.iter().all(|kernel| kernel.facts.machine.is_some());
        let (module, broken) = match read {
            Ok(module) => (Some(module), None),
            Err(error) if is_judged => (None, Some(error)),
            Err(error) => return Err(error.on(path)),
        };
        let subject = Candidate { bytes, module: module.as_ref(), packing };
        let verdicts = kernels.iter().map(|kernel| predict::predict(&subject, kernel, load)).collect();
        let name = module.as_ref().map_or_else(|| name_of_file(path), |module| module.name_or_stem(path));
        let container = packing.map_or(Container::None, |packing| packing.container);
        let after_signature = module.as_ref().and_then(|module| module.after_signature(container, path));
        let vermagic = module.as_ref().and_then(Module::vermagic);
        Ok(Judged { name, vermagic, broken, after_signature, verdicts })
    })?
}

fn print(
    path: &Path,
    judged: &Judged,
    kernel: &Kernel,
    load: &LoadOptions,
    verdict: &Verdict,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let answer = match verdict.answer {
        Decision::Refused => session.paint(Paint::Bad, "refused"),
        Decision::Accepted => session.paint(Paint::Good, "accepted"),
        Decision::Unknown => session.paint(Paint::Odd, "not refused by what is known"),
    };
    let forced = match load.force {
        Force::None => String::new(),
        force => format!("  forced ({})", force.name()),
    };
    let name = session.paint(Paint::Strong, for_eyes(&judged.name));
    writeln!(session.out, "{answer}  {name}  {}{forced}", output::path(path))?;
    let mut row = |what: &str, text: &str| writeln!(session.out, "  {what:<17} {text}");
    let is_certain = verdict.answer != Decision::Unknown && verdict.undecided.is_empty();
    let logs = if is_certain && !verdict.is_dmesg_open { "the kernel logs" } else { "it may log" };
    for line in verdict.dmesg.iter().take(LINES) {
        row(logs, &for_eyes(line))?;
    }
    if verdict.answer == Decision::Refused && verdict.dmesg.is_empty() && is_certain && !verdict.is_dmesg_open {
        row("the kernel logs", "nothing, as far as is known of its version")?;
    }
    if let Some(more) = verdict.dmesg.len().checked_sub(LINES).filter(|more| *more > 0) {
        row("", &format!("… and {} more", output::count(more, "line")))?;
    }
    if let Some(errno) = verdict.errno_words() {
        let words = Userspace::of(verdict.generic_errno).kmod.unwrap_or("an error");
        row("it returns", &format!("{errno}: insmod says \"{words}\""))?;
    }
    if verdict.errno.is_none() && !verdict.errnos.is_empty() {
        let errnos = verdict.errnos.iter().map(|errno| predict::errno_words(*errno)).collect::<Vec<_>>();
        row("it returns", &errnos.join(" or "))?;
    }
    if let (Some(stage), [_, ..]) = (verdict.stage, verdict.undecided.as_slice()) {
        // Of the step that refuses, only its line is not decided.
        let before = verdict.undecided.iter().filter(|step| **step != stage);
        let steps = before.map(|step| step.name()).collect::<Vec<_>>().join(", ");
        if !steps.is_empty() {
            row("not decided", &format!("{steps}; if that passes, {} refuses it", stage.name()))?;
        }
    }
    if let Some(letters) = verdict.taint.as_deref().filter(|letters| !letters.is_empty()) {
        row("taints", letters)?;
    }
    if !verdict.needs.is_empty() {
        row("needs", &for_eyes(&verdict.needs.join(" ")))?;
    }
    let source = kernel.vermagic.iter().map(|vermagic| format!(" (from {})", for_eyes(&vermagic.source.to_string())));
    row("kernel", &format!("{}{}", output::vermagic_of(kernel), source.collect::<String>()))?;
    if let Some(broken) = &judged.broken {
        row("the file", &for_eyes(&words::error_without_path(broken)))?;
    }
    if let Some(text) = &judged.after_signature {
        row("the file", &for_eyes(text))?;
    }
    for finding in &verdict.findings {
        print_finding(finding, session)?;
    }
    let both = judged.vermagic.as_ref().zip(kernel.vermagic.as_ref());
    let differences = both.map(|(ours, theirs)| compare(ours, &theirs.value));
    for difference in differences.iter().flat_map(|comparison| comparison.differences()) {
        writeln!(session.out, "  differs           {}", for_eyes(&difference.to_string()))?;
    }
    let layout = |danger: &&Danger| !matches!(danger, Danger::Token { .. });
    for danger in verdict.dangers.iter().filter(layout) {
        let what = match danger {
            Danger::Patched { .. } => session.paint(Paint::Odd, "mind  "),
            _ => session.paint(Paint::Bad, "unsafe"),
        };
        writeln!(session.out, "  {what}            {}", for_eyes(&danger.sentence()))?;
    }
    let is_unsafe = |danger: &Danger| !matches!(danger, Danger::Patched { .. });
    if verdict.answer == Decision::Accepted && verdict.dangers.iter().any(is_unsafe) {
        let text = "the loader takes it; what it does then, nobody checks: it may crash, or be silently wrong";
        writeln!(session.out, "                    {text}")?;
    }
    if let Some(both) = configuration_beside(kernel, verdict) {
        writeln!(session.out, "  {:<17} the configuration is next to the image: --kernel {both}", "more facts")?;
    }
    print_patch(judged, kernel, verdict, session)
}

/// The image and its configuration as `--kernel` takes both, where an image was named alone, something is not decided, and
/// the configuration of its release is next to it.
fn configuration_beside(kernel: &Kernel, verdict: &Verdict) -> Option<String> {
    let is_anything_open = verdict.findings.iter().any(|finding| finding.result == StepResult::Unknown);
    if kernel.facts.config.is_some() || !is_anything_open {
        return None;
    }
    let release = kernel.facts.release.as_ref().map(|release| release.value.as_str())?;
    let name = kernel.name.to_string();
    let image = Path::new(&name);
    let config = image.with_file_name(format!("config-{}", release.replace('/', "_")));
    let both = format!("{}+{}", name, config.to_str()?);
    (image.is_file() && config.is_file()).then(|| output::shell_word(Path::new(&both)))
}

fn print_finding(finding: &Finding, session: &mut Session<'_>) -> Result<(), Failure> {
    let result = match finding.result {
        StepResult::Pass => session.paint(Paint::Good, "pass   "),
        StepResult::Fail => session.paint(Paint::Bad, "fail   "),
        StepResult::Skip => session.paint(Paint::Odd, "skip   "),
        StepResult::Unknown => session.paint(Paint::Odd, "unknown"),
    };
    writeln!(session.out, "  {:<17} {result}  {}", finding.step.name(), for_eyes(&finding.note))?;
    Ok(())
}

/// Would a patch help, in each of its ways, and what is the right way?
fn print_patch(judged: &Judged, kernel: &Kernel, verdict: &Verdict, session: &mut Session<'_>) -> Result<(), Failure> {
    let [rewrite, blank] = &verdict.patched;
    let mut say = |what: &str, text: &str| writeln!(session.out, "  {what:<17} {}", for_eyes(text));
    if verdict.is_changed {
        say("a patch", "of the version magic does not help: what was changed in the file stays changed")?;
        return say("the right way", "the file was damaged or changed after it was signed: get the original again")
            .map_err(Failure::from);
    }
    match (rewrite.helps, verdict.answer) {
        (PatchHelps::Pointless, _) => {
            say("a patch", "pointless: this kernel does not look at what differs")?;
        }
        (PatchHelps::No, Decision::Refused) => say("a patch", "of the version magic does not help")?,
        (_, Decision::Unknown | Decision::Accepted) if judged.broken.is_some() => {
            say("a patch", "can't be made of a file that contradicts itself")?;
        }
        (PatchHelps::No, _) if judged.vermagic.is_none() => {
            say("a patch", "can't help: there is no vermagic entry to change")?;
        }
        (PatchHelps::No, Decision::Unknown) => say("a patch", "no need, as far as is known")?,
        (PatchHelps::No, _) => say("a patch", "no need")?,
        (PatchHelps::Insufficient, _) => {
            say("a patch", &format!("of the version magic is not enough: {}{}", stage(rewrite), rewrite.note))?
        }
        (PatchHelps::Yes, _) => {
            say("a patch", &format!("--mode rewrite: {}", rewrite.note))?;
            let blank = match blank.verdict {
                Decision::Refused => format!("--mode blank: refused at {}{}", stage(blank), blank.note),
                _ => format!("--mode blank: {}", blank.note),
            };
            say("", &blank)?;
        }
    }
    if let Some(command) = right_way(kernel, verdict) {
        say("the right way", "build it in the tree that this kernel was built in; then nothing is forced")?;
        say("", &command)?;
    }
    Ok(())
}

/// The command that says what to change in a build tree, so that its modules fit the kernel, where they were built for
/// another. Of the running kernel the tree has a place of its own (`make modules_install` makes the link).
fn right_way(kernel: &Kernel, verdict: &Verdict) -> Option<String> {
    // Without its version magic there is nothing that a tree could be made to match.
    kernel.vermagic.as_ref()?;
    let is_foreign = verdict.dangers.iter().any(Danger::is_foreign);
    if !is_foreign && verdict.stage != Some(LoaderStep::Vermagic) {
        return None;
    }
    let running = (kernel.name == KernelName::Running).then(|| kernel.release()).flatten();
    let tree = running.map_or_else(|| "TREE".to_owned(), |release| format!("/lib/modules/{release}/build"));
    let (tree, name) = (output::shell_word(Path::new(&tree)), output::shell_word(Path::new(&kernel.name.to_string())));
    Some(format!("kmodlab tree {tree} --for {name}"))
}

fn stage(patched: &PatchPrediction) -> String {
    patched.stage.map(|stage| format!("{}: ", stage.name())).unwrap_or_default()
}

/// One cell as JSON.
#[derive(Serialize)]
struct Cell<'c> {
    schema_version: u32,
    module: String,
    /// The path's bytes in hexadecimal, where they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    kernel: &'c KernelName,
    force: Force,
    verdict: Decision,
    errno: Option<i32>,
    errno_name: Option<Cow<'static, str>>,
    /// All that the call may return, where it is not one errno for certain, and the steps before the refusal that are not
    /// decided.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errnos: Vec<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    undecided: Vec<&'static str>,
    dmesg: &'c [String],
    /// Further lines are possible.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dmesg_open: bool,
    taint: Option<&'c str>,
    stage: Option<&'static str>,
    findings: &'c [Finding],
    needs: &'c [String],
    dangers: &'c [Danger],
    patch_helps: PatchHelps,
    /// The command that says how a build tree is made to match; none where the version magic is not what stands against it.
    right_way: Option<String>,
    patched: &'c [PatchPrediction],
    userspace: Userspace,
    /// What is wrong with the file itself, where something is.
    #[serde(skip_serializing_if = "Option::is_none")]
    broken: Option<&'c str>,
}

impl<'c> Cell<'c> {
    fn of(path: &Path, kernel: &'c Kernel, load: &LoadOptions, judged: &'c Judged, verdict: &'c Verdict) -> Cell<'c> {
        Cell {
            schema_version: 1,
            module: output::path_text(path).into_owned(),
            path_hex: output::path_hex(path),
            kernel: &kernel.name,
            force: load.force,
            verdict: verdict.answer,
            errno: verdict.errno,
            errno_name: verdict.generic_errno.map(predict::errno_name),
            errnos: if verdict.undecided.is_empty() && verdict.errnos.len() == 1 {
                Vec::new()
            } else {
                verdict.errnos.clone()
            },
            undecided: verdict.undecided.iter().map(|step| step.name()).collect(),
            dmesg: &verdict.dmesg,
            dmesg_open: verdict.is_dmesg_open,
            taint: verdict.taint.as_deref(),
            stage: verdict.stage.map(LoaderStep::name),
            findings: &verdict.findings,
            needs: &verdict.needs,
            dangers: &verdict.dangers,
            patch_helps: verdict.patch_helps(),
            right_way: right_way(kernel, verdict),
            patched: &verdict.patched,
            userspace: Userspace::of(verdict.generic_errno),
            broken: judged.broken.as_ref().map(Error::what),
        }
    }
}
