//! `explain`: what lines of logs and programs say about a module that does not load.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::check::{self, CheckRequest};
use crate::cli::output::{self, Failure, Paint, Session, count, shell_word};
use crate::cli::status::Status;
use crate::error::{Error, ErrorKind};
use crate::escape::for_eyes;
use crate::explain::{self, ExplainReport, NextStep, Outcome, Story};
use crate::predict::{LoadOptions, errno_words};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Lines, or files of lines; without any, and for '-', stdin: dmesg, journalctl, syslog or logcat, what insmod, modprobe, init or
    /// dkms print, an error's name or number, uname -a, /proc/version, modinfo, an oops
    #[arg(value_name = "LINE|FILE")]
    lines: Vec<OsString>,
    /// Read the log of the running kernel
    #[arg(long, conflicts_with = "lines")]
    running: bool,
    /// The module file that the lines are about: names the exact fact, with --kernel
    #[arg(long, value_name = "FILE", requires = "kernel")]
    module: Option<PathBuf>,
    /// The kernel that printed them, named as for check
    #[arg(long, value_name = "K", requires = "module")]
    kernel: Option<OsString>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let stdin = [OsString::from("-")];
    let mut report = match args.running {
        true => explain::explain_running()?,
        false => explain::explain_arguments(if args.lines.is_empty() { &stdin } else { &args.lines })?,
    };
    if let (Some(module), Some(kernel)) = (&args.module, &args.kernel) {
        compare(&mut report, module, kernel, session)?;
    }
    let subject = args.module.as_deref();
    for story in &mut report.stories {
        story.commands = story.next.iter().map(|next| command(next, story, subject)).collect();
    }
    match args.json {
        true => session.json(&report)?,
        false => print(&report, session)?,
    }
    Ok(if report.stories.is_empty() { Status::Negative } else { Status::Done })
}

/// Asks what the kernel answers to the module, and adds that to the stories about it.
fn compare(
    report: &mut ExplainReport,
    module: &Path,
    kernel: &OsString,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let lookup = session.lookup();
    let kernels =
        output::waiting("reading the kernel", || check::read_kernels(&[session.kernel_name(kernel)], &lookup))?;
    let load = LoadOptions { alone: true, ..LoadOptions::default() };
    let request = CheckRequest { kernels: &kernels, load, max_size: lookup.max_size, journal: None };
    let Some(check) = request.check_batch(&mut std::iter::once(Ok(module.to_owned()))).pop() else { return Ok(()) };
    let check = check?;
    let Some(verdict) = check.verdicts.first() else { return Ok(()) };
    if !report.compare(&check.name, verdict) {
        let what = format!("no line is about {}", check.name);
        return Err(Error::new(ErrorKind::NotFound, what).on(module).into());
    }
    Ok(())
}

fn print(report: &ExplainReport, session: &mut Session<'_>) -> Result<(), Failure> {
    for (at, story) in report.stories.iter().enumerate() {
        if at > 0 {
            writeln!(session.out)?;
        }
        print_story(story, session)?;
    }
    if report.stories_more > 0 {
        writeln!(session.out, "\n… and {} in further stories", count(report.stories_more, "more line"))?;
    }
    let unknown = report.unknown.len() + report.unknown_more;
    match (report.stories.is_empty(), unknown) {
        (_, 0) => {}
        (true, _) => writeln!(session.out, "not known: {}", count(unknown, "line"))?,
        (false, _) => writeln!(session.out, "\n{} not known, of {}", count(unknown, "line"), report.lines)?,
    }
    // Of few lines it is interesting which are not known.
    if report.lines <= FEW {
        for line in &report.unknown {
            writeln!(session.out, "  line {:<12} {}", line.number, for_eyes(&line.text))?;
        }
    }
    Ok(())
}

/// So many lines are few.
const FEW: usize = 20;

fn print_story(story: &Story, session: &mut Session<'_>) -> Result<(), Failure> {
    let outcome = match story.outcome {
        Outcome::Refused => session.paint(Paint::Bad, "refused"),
        Outcome::InitFailed => session.paint(Paint::Bad, "init failed"),
        Outcome::NotTried => session.paint(Paint::Bad, "not tried"),
        Outcome::NotRemoved => session.paint(Paint::Bad, "not removed"),
        Outcome::Crashed => session.paint(Paint::Bad, "crashed"),
        Outcome::Loaded => session.paint(Paint::Good, "not known to have failed"),
        Outcome::Described => session.paint(Paint::Odd, "described"),
    };
    let module = session.paint(Paint::Strong, for_eyes(story.module.as_deref().unwrap_or("a module")));
    let kernel = story.kernel.iter().map(|kernel| format!("  on {}", for_eyes(kernel)));
    writeln!(session.out, "{outcome}  {module}{}", kernel.collect::<String>())?;
    let mut row = |what: &str, text: &str| writeln!(session.out, "  {what:<17} {}", for_eyes(text));
    if let Some(step) = story.step {
        row("step", step.name())?;
    }
    row("reason", &story.reason)?;
    if let Some(errno) = story.errno {
        row("it returns", &errno_words(errno))?;
    }
    for fact in &story.facts {
        row(fact.about, &fact.value)?;
    }
    if !story.architectures.is_empty() {
        row("printed on", &story.architectures.join(", "))?;
    }
    if let Some(versions) = &story.printed_by {
        row("printed by", versions)?;
    }
    for line in story.lines.iter().take(FEW) {
        let times = if line.count > 1 { format!(" ({} times)", line.count) } else { String::new() };
        row(&format!("line {}", line.number), &format!("{}{times}", line.text))?;
        if line.meaning != story.reason {
            row("", &line.meaning)?;
        }
    }
    if let more @ 1.. = story.lines.len().saturating_sub(FEW) + story.lines_more {
        row("", &format!("… and {}", count(more, "more line")))?;
    }
    if let Some(exact) = &story.exact {
        row(
            "check",
            if exact.agrees {
                "predicts the same"
            } else {
                "predicts something else: are these this module and kernel?"
            },
        )?;
        exact.facts.iter().try_for_each(|fact| row("exactly", fact))?;
    }
    for (at, command) in story.commands.iter().enumerate() {
        row(if at == 0 { "next" } else { "" }, command)?;
    }
    Ok(())
}

/// The command for a next step.
fn command(next: &NextStep, story: &Story, subject: Option<&Path>) -> String {
    let word = |text: &str| shell_word(Path::new(text));
    let name = story.module.as_deref().map_or_else(|| "MODULE".to_owned(), word);
    let file = subject.map_or_else(|| name.clone(), shell_word);
    let release = |release: &Option<String>| release.as_deref().map_or_else(|| "$(uname -r)".to_owned(), word);
    match next {
        NextStep::BuildFor(vermagic) => format!("kmodlab tree TREE --for {}", word(vermagic)),
        NextStep::Check(Some(kernel)) if kernel.starts_with("vermagic:") => {
            format!("kmodlab check {file} --kernel {}", word(kernel))
        }
        NextStep::Check(Some(kernel)) => {
            format!("kmodlab check {file} --kernel {}", word(&format!("/lib/modules/{kernel}")))
        }
        NextStep::Check(None) => format!("kmodlab check {file} --kernel running"),
        NextStep::ReadLog => "dmesg | tail -50 | kmodlab explain".to_owned(),
        NextStep::Show => format!("kmodlab show {file}"),
        NextStep::ShowSignature => format!("kmodlab show {file}; mokutil --sb-state; mokutil --list-enrolled"),
        NextStep::Repack => "xz -dc FILE.ko.xz > FILE.ko; xz --check=crc32 --lzma2=dict=1MiB FILE.ko".to_owned(),
        NextStep::InstallHeaders(kernel) => format!("ls -d /lib/modules/{}/build", release(kernel)),
        NextStep::MakeIndex(kernel) => format!("ls /lib/modules; depmod -a {}", release(kernel)),
        NextStep::FindSymbol(symbol) => format!("grep -w {} /lib/modules/*/modules.symbols", word(symbol)),
        NextStep::Unload => format!("lsmod | grep -w {name}; rmmod {name}"),
        NextStep::Try => format!("kmodlab try {file} --kernel K"),
    }
}
