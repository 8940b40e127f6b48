//! The program: one file per command, with its arguments and its output.
//!
//! A command turns its arguments into a request to the library and prints the report. Data goes to stdout, everything else to
//! stderr. A command gets its streams and settings as a [`Session`] and returns a [`Status`].

mod against;
mod check;
mod confirmation;
mod demo;
mod diff;
mod doctor;
mod enrol;
mod explain;
mod kernel;
mod known;
mod lab;
mod log;
mod matrix;
mod modules;
mod output;
mod patch;
mod recover;
mod report;
mod restore;
mod run;
mod scan;
mod session;
mod show;
mod status;
mod tree;
mod r#try;
mod vault;
mod verify;
mod words;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

use crate::error::{Error, ErrorKind};
use crate::lab::{agent, launcher};
use crate::module::container::DEFAULT_MAX_SIZE;
use crate::vault::system_root::SystemRoot;
use output::{Failure, Session};
use status::Status;

/// Inspect Linux kernel modules, predict whether a kernel accepts them, rewrite their version magic for lab use, and restore
/// them exactly.
#[derive(Parser)]
#[command(name = "kmodlab", version, max_term_width = 100, arg_required_else_help = true)]
#[command(
    after_help = "Exit status: 0 yes or done, 1 a negative verdict, 2 usage or error, 3 refused by a guard or not \
                        confirmed, 4 some of a batch failed, 5 somebody else changed the file (nothing was written).\n\
                        Forcing a module is unsafe: SAFETY.md says why."
)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Options of all commands")]
struct Common {
    /// Colours
    #[arg(long, global = true, value_enum, default_value = "auto", value_name = "WHEN")]
    color: When,
    /// The folder for backups and the journal [default: $XDG_STATE_HOME/kmodlab; for root /var/lib/kmodlab]
    #[arg(long, global = true, env = "KMODLAB_STATE_DIR", value_name = "DIR", hide_env_values = true)]
    state_dir: Option<PathBuf>,
    /// The root folder of another system, such as a mounted disk: modules, the journal's paths and the state folder are those below
    /// it, and no link leads out of it (restore, verify, log, recover, vault, report --journal; not patch)
    #[arg(long = "root", global = true, value_name = "DIR")]
    system_root: Option<PathBuf>,
    /// The greatest size of a decompressed file, in bytes; above 1 GiB it also raises the limit on all decompression [default: 1 GiB]
    #[arg(long, global = true, default_value_t = DEFAULT_MAX_SIZE, hide_default_value = true, value_name = "BYTES")]
    #[arg(value_parser = bytes)]
    max_size: u64,
}

fn bytes(text: &str) -> Result<u64, &'static str> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let factor = match text.get(digits.len()..).unwrap_or_default().to_ascii_lowercase().as_str() {
        "" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        _ => return Err("not a number of bytes (512M, 1GiB)"),
    };
    digits.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)).ok_or("not a number of bytes (512M, 1GiB)")
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum When {
    Auto,
    Always,
    Never,
}

#[derive(Subcommand)]
#[command(defer = true)]
enum Command {
    /// Show the contents of modules: what modinfo lists, and more
    Show(show::Args),
    /// Compare two modules, by meaning first, then by bytes
    Diff(diff::Args),
    /// Predict whether a kernel accepts a module
    Check(check::Args),
    /// Explain what logs and programs say about a module that does not load
    Explain(explain::Args),
    /// Show the known facts of a kernel, each with its source
    Kernel(kernel::Args),
    /// Show the vermagic a build tree produces, and how to match a kernel's
    Tree(tree::Args),
    /// Summarise very many modules: module trees, folders, packages
    Scan(scan::Args),
    /// Rewrite a module's version magic in place, after a typed confirmation, with a backup
    Patch(patch::Args),
    /// Restore the original bytes, mode, owner, attributes and times of modules
    Restore(restore::Args),
    /// Compare modules with the journal, or with a kernel's own: original, patched, or changed by another program
    Verify(verify::Args),
    /// List what was done to which module, and when
    Log(log::Args),
    /// Complete or roll back an interrupted run
    Recover(recover::Args),
    /// List the backups and what needs them; verify, export, import or drop them
    Vault(vault::Args),
    /// Show recorded trials as an HTML page, as JSON, or as JUnit XML
    Report(report::Args),
    /// Declare this machine a lab machine, where modules in use may be patched
    Enrol(enrol::Args),
    /// Try a module in a temporary virtual machine: unchanged, forced and patched
    Try(r#try::Args),
    /// Try many modules on many kernels, in several load modes
    Matrix(matrix::Args),
    /// Show what this machine can do, and the command that installs what is missing
    Doctor(doctor::Args),
    /// Demonstrate everything on built-in modules in a temporary folder, without root or network; with --vm on a running kernel
    Demo(demo::Args),
}

/// The whole program: a command; or, under the names by which the lab starts it, the first process of a guest, or the
/// process that becomes QEMU.
pub fn program() -> ExitCode {
    let mut arguments = std::env::args_os().peekable();
    match arguments.peek() {
        Some(name) if agent::is_agent(name) => agent::run(),
        Some(name) if launcher::is_launcher(name) => {
            let error = launcher::launch(arguments.skip(1));
            let _ = writeln!(io::stderr(), "kmodlab: {error}");
            ExitCode::from(Status::Failed.code())
        }
        _ => ExitCode::from(main(arguments).code()),
    }
}

/// Runs a command in the process of a fuzz target, and returns its exit status.
#[cfg(feature = "internals")]
pub fn exit_status(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    main(arguments).code()
}

/// Runs a command with this process's environment and streams.
fn main(arguments: impl IntoIterator<Item = OsString>) -> Status {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let stdout = io::stdout();
    let is_terminal = stdout.is_terminal();
    let mut out = io::BufWriter::new(stdout.lock());
    let mut err = io::stderr();
    let mut session = Session {
        out: &mut out,
        err: &mut err,
        color: wants_color(cli.common.color, is_terminal),
        escapes: is_terminal,
        may_ask: io::stdin().is_terminal() && io::stderr().is_terminal(),
        state_dir: cli.common.state_dir.clone(),
        root: None,
        arguments,
        max_size: cli.common.max_size,
    };
    let result = root(&cli).and_then(|root| {
        session.root = root;
        run(cli.command, &mut session)
    });
    let flushed = session.out.flush();
    let status = match result {
        // The command has finished: it has written its files.
        Ok(status) => flushed.map_or_else(|e| end_of_output(&e, status, "everything else is done"), |()| status),
        Err(Failure::Error(error)) => {
            // Earlier output is flushed first, so that the two streams are in order.
            session.complain(&error);
            Status::of(&error)
        }
        Err(Failure::Output(error)) => end_of_output(&error, Status::Done, ""),
    };
    drop(out);
    status
}

/// The root folder of another system, for the commands that can look at one.
fn root(cli: &Cli) -> Result<Option<SystemRoot>, Failure> {
    let Some(root) = &cli.common.system_root else { return Ok(None) };
    let is_able = match &cli.command {
        Command::Restore(_) | Command::Verify(_) | Command::Log(_) | Command::Recover(_) | Command::Vault(_) => true,
        Command::Report(args) => args.journal.is_some(),
        _ => false,
    };
    if !is_able {
        let what = "this command only looks at this system, not at one below --root";
        let error = Error::new(ErrorKind::Usage, what);
        return Err(error.hint("restore, verify, log, recover, vault and report --journal take --root").into());
    }
    Ok(Some(SystemRoot::open(root)?))
}

/// Handles an error of stdout: a pipe that the reader closed is not reported, a full disk is.
fn end_of_output(error: &io::Error, status: Status, rest: &str) -> Status {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return status;
    }
    let own = error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
    let error = Error::io("writing the output", own);
    let error = if rest.is_empty() { error } else { error.hint(rest) };
    let _ = writeln!(io::stderr(), "kmodlab: {}", words::error(&error));
    Status::Failed
}

fn run(command: Command, session: &mut Session<'_>) -> Result<Status, Failure> {
    match command {
        Command::Show(args) => show::run(args, session),
        Command::Diff(args) => diff::run(args, session),
        Command::Check(args) => check::run(args, session),
        Command::Explain(args) => explain::run(args, session),
        Command::Kernel(args) => kernel::run(args, session),
        Command::Tree(args) => tree::run(args, session),
        Command::Scan(args) => scan::run(args, session),
        Command::Patch(args) => patch::run(args, session),
        Command::Restore(args) => restore::run(args, session),
        Command::Verify(args) => verify::run(args, session),
        Command::Log(args) => log::run(args, session),
        Command::Recover(args) => recover::run(args, session),
        Command::Vault(args) => vault::run(args, session),
        Command::Report(args) => report::run(args, session),
        Command::Enrol(args) => enrol::run(args, session),
        Command::Try(args) => r#try::run(args, session),
        Command::Matrix(args) => matrix::run(args, session),
        Command::Doctor(args) => doctor::run(args, session),
        Command::Demo(args) => demo::run(args, session),
    }
}

/// A usage error in one line; help and version as clap prints them.
fn usage(error: &clap::Error) -> Status {
    use clap::error::ErrorKind::{DisplayHelpOnMissingArgumentOrSubcommand, MissingSubcommand};
    match error.kind() {
        _ if !error.use_stderr() => {
            let _ = error.print();
            return Status::Done;
        }
        DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            return Status::Failed;
        }
        // The state folder in the environment counts as an argument, so clap returns this error instead of the one above.
        MissingSubcommand => {
            let _ = write!(io::stderr(), "{}", Cli::command().render_help());
            return Status::Failed;
        }
        _ => {}
    }
    let text = error.render().to_string();
    let text = text.trim_start_matches("error: ");
    let end = ["\n\nUsage:", "\n\nFor more information"].iter().filter_map(|mark| text.find(mark)).min();
    // Of clap's tips only those with a similar word are kept.
    let parts = text.get(..end.unwrap_or(text.len())).unwrap_or(text).split("\n\n");
    let parts = parts.map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
    let parts = parts.filter(|part| !part.starts_with("tip: to pass"));
    let line = parts.map(|part| part.trim_start_matches("tip: ").to_owned()).collect::<Vec<_>>().join("; ");
    let _ = writeln!(io::stderr(), "kmodlab: {}; see kmodlab --help", crate::escape::for_eyes(&line));
    Status::Failed
}

/// `--color`, then NO_COLOR (no-color.org), CLICOLOR_FORCE and CLICOLOR (bixense.com/clicolors), then the terminal.
fn wants_color(when: When, is_terminal: bool) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is = |name: &str, wanted: &str| std::env::var_os(name).is_some_and(|value| value == wanted);
    match when {
        When::Always => true,
        When::Never => false,
        When::Auto if set("NO_COLOR") => false,
        When::Auto if set("CLICOLOR_FORCE") && !is("CLICOLOR_FORCE", "0") => true,
        When::Auto => is_terminal && !is("CLICOLOR", "0") && !is("TERM", "dumb"),
    }
}
