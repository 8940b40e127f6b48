//! `check`: prints what kernels answer to modules.

use std::ffi::OsString;
use std::path::Path;

use clap::ValueEnum;

use crate::check::{self, CheckReport, CheckRequest, CheckTally, MatchingTree, ModuleCheck, PatchAdvice};
use crate::cli::modules::Modules;
use crate::cli::output::{self, Failure, Paint, Session};
use crate::cli::status::Status;
use crate::cli::words;
use crate::escape::for_eyes;
use crate::kernel::{Kernel, KernelName};
use crate::predict::danger::Danger;
use crate::predict::{
    self, Decision, Finding, Force, LoadOptions, Loader, PatchPrediction, StepResult, Userspace, Verdict,
};

#[derive(clap::Args)]
#[command(mut_group("Modules", |group| group.required(true)))]
pub(super) struct Args {
    #[command(flatten)]
    modules: Modules,
    /// The kernel: running, vermagic:STRING, an image (vmlinuz), a folder (/lib/modules/RELEASE), a package (.deb
    /// and others, or A+B), or a module of that kernel; a pasted line (version magic 'A' should be 'B', uname -a,
    /// /proc/version) or a log (dmesg:FILE); several may be named
    #[arg(long = "kernel", required = true, value_name = "K")]
    kernels: Vec<OsString>,
    /// The checks that the kernel is asked to skip, as by modprobe --force-vermagic, --force-modversion, --force
    #[arg(long, value_enum, value_name = "WHAT", default_value = "none", hide_default_value = true)]
    force: ForceArg,
    /// A bare insmod: the modules that it depends on are not loaded first
    #[arg(long)]
    alone: bool,
    /// The loader of compressed files: kmod up to 30 decompresses them, later versions let the kernel do it if it can
    #[arg(long, value_enum, value_name = "WHO", default_value = "any", hide_default_value = true)]
    loader: LoaderArg,
    /// One JSON object per line, module and kernel
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

/// How many lines of the log are printed; JSON has all.
const LINES: usize = 6;

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let lookup = session.lookup();
    let names: Vec<KernelName> = args.kernels.iter().map(|name| KernelName::from(name.as_os_str())).collect();
    let what = format!("reading {}", output::count(names.len(), "kernel"));
    let kernels = output::waiting(&what, || check::read_kernels(&names, &lookup))?;
    let load = args.load();
    // Checks do not depend on a journal that cannot be read; the commands that need it report the error.
    let journal = session.vault().and_then(|vault| vault.index()).ok().filter(|index| !index.is_empty());
    let request = CheckRequest { kernels: &kernels, load, max_size: lookup.max_size, journal: journal.as_ref() };
    let mut files = args.modules.selection().files()?;
    let (mut tally, mut is_first) = (CheckTally::default(), true);
    loop {
        let what = format!("checking modules, {} done", tally.done);
        let checks = output::waiting(&what, || request.check_batch(&mut files));
        if checks.is_empty() {
            break;
        }
        for check in checks {
            tally.add(&check);
            let check = match check {
                Ok(check) => check,
                Err(error) => {
                    session.complain(&error);
                    continue;
                }
            };
            for (kernel, verdict) in kernels.iter().zip(&check.verdicts) {
                if args.json {
                    session.json(&CheckReport::of(&check, kernel, verdict, load.force, tree_command))?;
                } else {
                    if !is_first {
                        writeln!(session.out)?;
                    }
                    print(&check, kernel, &load, verdict, session)?;
                }
                is_first = false;
            }
        }
    }
    Ok(match tally {
        CheckTally { failed: 0, refused: 0, .. } => Status::Done,
        CheckTally { failed: 0, .. } => Status::Negative,
        CheckTally { done: 1, .. } => Status::Failed,
        _ => Status::Partial,
    })
}

fn print(
    check: &ModuleCheck,
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
    let name = session.paint(Paint::Strong, for_eyes(&check.name));
    writeln!(session.out, "{answer}  {name}  {}{forced}", output::path(&check.path))?;
    let mut row = |what: &str, text: &str| writeln!(session.out, "  {what:<17} {text}");
    let is_certain = verdict.answer != Decision::Unknown && verdict.undecided.is_empty();
    let logs = if is_certain && !verdict.is_dmesg_open { "the kernel logs" } else { "it may log" };
    for line in verdict.dmesg.iter().take(LINES) {
        row(logs, &for_eyes(line))?;
    }
    if verdict.answer == Decision::Refused && verdict.dmesg.is_empty() && is_certain && !verdict.is_dmesg_open {
        row("the kernel logs", "nothing that is known of its version")?;
    }
    if let Some(more) = (verdict.dmesg.len() + verdict.dmesg_more).checked_sub(LINES).filter(|more| *more > 0) {
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
    if let Some(broken) = &check.broken {
        row("the file", &for_eyes(&words::error_without_path(broken)))?;
    }
    if let Some(text) = &check.after_signature {
        row("the file", &for_eyes(text))?;
    }
    for finding in &verdict.findings {
        print_finding(finding, session)?;
    }
    let comparison = check.comparison(kernel);
    for difference in comparison.iter().flat_map(|comparison| comparison.differences()) {
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
    if let Some(both) = check::with_configuration(kernel, verdict) {
        let both = output::shell_word(Path::new(&both.to_string()));
        writeln!(session.out, "  {:<17} the configuration is next to the image: --kernel {both}", "more facts")?;
    }
    print_patch(check, kernel, verdict, session)
}

fn print_finding(finding: &Finding, session: &mut Session<'_>) -> Result<(), Failure> {
    let result = match finding.result {
        StepResult::Pass => session.paint(Paint::Good, "pass   "),
        StepResult::Fail => session.paint(Paint::Bad, "fail   "),
        StepResult::Skip => session.paint(Paint::Odd, "skip   "),
        StepResult::Unknown => session.paint(Paint::Odd, "unknown"),
    };
    writeln!(session.out, "  {:<17} {result}  {}", finding.step.name(), for_eyes(&finding.sentence()))?;
    Ok(())
}

/// Whether a patch helps, and what to do instead.
fn print_patch(
    check: &ModuleCheck,
    kernel: &Kernel,
    verdict: &Verdict,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let is_patched = verdict.dangers.iter().any(|danger| matches!(danger, Danger::Patched { .. }));
    let mut say = |what: &str, text: &str| writeln!(session.out, "  {what:<17} {}", for_eyes(text));
    match check.patch_advice(verdict) {
        PatchAdvice::FileChanged => {
            say("a patch", "of the version magic does not help: what was changed in the file stays changed")?;
            let text = "the file was damaged or changed after it was signed: get the original again";
            return say("the right way", text).map_err(Failure::from);
        }
        PatchAdvice::Pointless => say("a patch", "pointless: this kernel does not look at what differs")?,
        PatchAdvice::NoHelp => say("a patch", "of the version magic does not help")?,
        PatchAdvice::BrokenFile => say("a patch", "can't be made of a file that contradicts itself")?,
        PatchAdvice::NoEntry => say("a patch", "can't help: there is no vermagic entry to change")?,
        PatchAdvice::NotNeeded { .. } if is_patched => {
            say("a patch", "was made already; kmodlab verify looks for the original")?
        }
        PatchAdvice::NotNeeded { certain: false } => say("a patch", "no need that is known")?,
        PatchAdvice::NotNeeded { certain: true } => say("a patch", "no need")?,
        PatchAdvice::Insufficient(rewrite) => {
            say("a patch", &format!("of the version magic is not enough: {}{}", stage(rewrite), rewrite.note))?;
        }
        PatchAdvice::Helps { rewrite, blank } => {
            say("a patch", &format!("--mode rewrite: {}", rewrite.note))?;
            let blank = match blank.verdict {
                Decision::Refused => format!("--mode blank: refused at {}{}", stage(blank), blank.note),
                _ => format!("--mode blank: {}", blank.note),
            };
            say("", &blank)?;
        }
    }
    if let Some(tree) = check::matching_tree(kernel, verdict) {
        say("the right way", "build it in the tree that this kernel was built in; then nothing is forced")?;
        say("", &tree_command(&tree))?;
    }
    Ok(())
}

/// The command that shows what to change in a build tree so that its modules fit the kernel.
fn tree_command(matching: &MatchingTree<'_>) -> String {
    let tree = matching.tree.as_deref().unwrap_or(Path::new("TREE"));
    let (tree, name) = (output::shell_word(tree), output::shell_word(Path::new(&matching.kernel.to_string())));
    format!("kmodlab tree {tree} --for {name}")
}

fn stage(patched: &PatchPrediction) -> String {
    patched.stage.map(|stage| format!("{}: ", stage.name())).unwrap_or_default()
}
