//! `check`: what a kernel will answer to a module.

use std::ffi::OsString;
use std::path::PathBuf;

use serde::Serialize;

use crate::cli::Status;
use crate::cli::output::{self, Failure, Paint, Session};
use crate::kernel::{self, Kernel};
use crate::module::{self, Module};
use crate::predict::{self, Answer, Finding, Outcome, PatchHelps, Verdict};
use crate::vermagic::compare;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Module files
    #[arg(required = true, value_name = "MODULE")]
    modules: Vec<PathBuf>,
    /// The kernel: running, vermagic:STRING, or a module of that kernel; several may be named
    #[arg(long = "kernel", required = true, value_name = "K")]
    kernels: Vec<OsString>,
    /// One JSON object a cell, in a line each
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let kernels =
        args.kernels.iter().map(|name| kernel::named(name, &session.lookup())).collect::<Result<Vec<_>, _>>()?;
    let (mut failed, mut refused, mut is_first) = (0, 0, true);
    for path in &args.modules {
        let module = match module::open_unhashed(path, session.max_size) {
            Ok(module) => module,
            Err(error) => {
                session.complain(&error);
                failed += 1;
                continue;
            }
        };
        let name = module.name_or_stem(path);
        for kernel in &kernels {
            let verdict = predict::predict(&module, &name, kernel);
            refused += usize::from(verdict.answer == Answer::Refused);
            if args.json {
                session.json(&Cell::of(path, kernel, &verdict))?;
            } else {
                if !is_first {
                    writeln!(session.out)?;
                }
                print(path, &module, &name, kernel, &verdict, session)?;
            }
            is_first = false;
        }
    }
    Ok(match (failed, refused) {
        (0, 0) => Status::Done,
        (0, _) => Status::Negative,
        (_, _) if args.modules.len() == 1 => Status::Failed,
        _ => Status::Partial,
    })
}

fn print(
    path: &std::path::Path,
    module: &Module,
    name: &str,
    kernel: &Kernel,
    verdict: &Verdict,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let shown = crate::escape::for_eyes;
    let answer = match verdict.answer {
        Answer::Refused => session.paint(Paint::Bad, "refused"),
        Answer::Accepted => session.paint(Paint::Good, "accepted"),
        Answer::Unknown => session.paint(Paint::Odd, "not refused by what is known"),
    };
    let name = session.paint(Paint::Strong, shown(name));
    writeln!(session.out, "{answer}  {name}  {}", output::path(path))?;
    for line in &verdict.dmesg {
        writeln!(session.out, "  the kernel logs   {}", shown(line))?;
    }
    if verdict.answer == Answer::Refused {
        writeln!(
            session.out,
            "  it returns        ENOEXEC ({}): insmod says \"Invalid module format\"",
            predict::ENOEXEC
        )?;
    }
    writeln!(
        session.out,
        "  kernel            {} (from {})",
        output::vermagic(kernel.vermagic.value.as_bytes()),
        shown(&kernel.vermagic.source)
    )?;
    for finding in &verdict.findings {
        print_finding(finding, session)?;
    }
    if let Some(ours) = module.vermagic() {
        for difference in compare(&ours, &kernel.vermagic.value).differences() {
            writeln!(session.out, "  differs           {}", shown(&difference.to_string()))?;
        }
    }
    let advice = match (verdict.patch_helps, verdict.answer) {
        (PatchHelps::Yes, _) => {
            "would take it past this check, and past no other; the right way is to build it in the tree that this kernel was built in"
        }
        (PatchHelps::Insufficient, _) => "of the version magic does not help: what is refused is something else",
        (PatchHelps::Pointless, _) => "pointless: this kernel does not look at what differs",
        (PatchHelps::No, _) if module.vermagic().is_none() => "can't help: there is no vermagic entry to change",
        (PatchHelps::No, _) => "no need",
    };
    writeln!(session.out, "  a patch           {advice}")?;
    Ok(())
}

fn print_finding(finding: &Finding, session: &mut Session<'_>) -> Result<(), Failure> {
    let result = match finding.result {
        Outcome::Pass => session.paint(Paint::Good, "pass   "),
        Outcome::Fail => session.paint(Paint::Bad, "fail   "),
        Outcome::Unknown => session.paint(Paint::Odd, "unknown"),
    };
    writeln!(session.out, "  {:<17} {result}  {}", finding.step.name(), crate::escape::for_eyes(&finding.note))?;
    Ok(())
}

/// One cell as JSON.
#[derive(Serialize)]
struct Cell<'c> {
    schema_version: u32,
    module: String,
    kernel: &'c str,
    force: &'static str,
    verdict: Answer,
    errno: Option<i32>,
    errno_name: Option<&'static str>,
    dmesg: &'c [String],
    taint: Option<&'static str>,
    stage: Option<&'static str>,
    findings: &'c [Finding],
    patch_helps: PatchHelps,
    userspace: Userspace,
}

/// What the programs that load modules say to the errno.
#[derive(Serialize)]
struct Userspace {
    kmod: Option<&'static str>,
    busybox: Option<&'static str>,
}

impl<'c> Cell<'c> {
    fn of(path: &std::path::Path, kernel: &'c Kernel, verdict: &'c Verdict) -> Cell<'c> {
        let refused = verdict.answer == Answer::Refused;
        Cell {
            schema_version: 1,
            module: path.to_string_lossy().into_owned(),
            kernel: &kernel.name,
            force: "none",
            verdict: verdict.answer,
            errno: verdict.errno,
            errno_name: refused.then_some("ENOEXEC"),
            dmesg: &verdict.dmesg,
            // Which taints an accepted module sets is not decided yet; a module refused here sets none.
            taint: refused.then_some(""),
            stage: verdict.stage.map(predict::Step::name),
            findings: &verdict.findings,
            patch_helps: verdict.patch_helps,
            userspace: Userspace {
                kmod: refused.then_some("Invalid module format"),
                busybox: refused.then_some("invalid module format"),
            },
        }
    }
}
