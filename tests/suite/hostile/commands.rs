//! Promise: each command ends soon and takes little memory, whatever it is given to read.
//!
//! Each kind of input in [`kinds`] goes to each command that reads such an input. `kmodlab --help` lists the commands: a
//! command that is not in [`COMMANDS`] fails the test.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::hostile::bounds::{FLOOR, cost, own_peak};
use crate::hostile::kinds::{self, KINDS, Kind, Role};
use crate::hostile::{fixture, kmodlab};

use crate::support::{in_own_process, is_in_own_process};

/// The most processor time of a run, in user mode and in the kernel. A program that is not optimised takes up to twenty times as
/// long; its inputs have an eighth of the parts ([`kinds::scaled`]).
const MOST_TIME: Duration = Duration::from_secs(if cfg!(debug_assertions) { 20 } else { 1 });

/// A measurement that other programs disturb is repeated.
const TRIES: usize = 3;

const VERMAGIC: &str = "vermagic:6.1 SMP mod_unload ";

/// How a command reads inputs: its arguments for an input of a role, each alternative as one line of words. `IN` is the
/// input, `FIRST` a module in an input that is a root folder, `HELLO` a sound module, `COPIES` a folder with sound modules of
/// the names that hostile modules have, `BUILD` a sound build tree, `NEW` a folder that does not exist.
type Lines = fn(Role) -> &'static [&'static str];

/// What a command reads of what strangers may have made.
enum Reads {
    /// Inputs of these roles.
    Inputs(Lines),
    /// Nothing, and why.
    Nothing(&'static str),
}

use Reads::{Inputs, Nothing};

const COMMANDS: [(&str, Reads); 19] = [
    (
        "show",
        Inputs(|role| match role {
            Role::Module => &["IN", "--json IN", "--modinfo IN", "--versions IN"],
            Role::Root => &["IN/lib", "-k 6.1 -b IN hello_4", "-k 6.1 -b IN an_alias"],
            Role::List => &["--files-from IN"],
            _ => &[],
        }),
    ),
    (
        "diff",
        Inputs(|role| match role {
            Role::Module => &["IN HELLO", "HELLO IN", "--json IN HELLO"],
            _ => &[],
        }),
    ),
    (
        "check",
        Inputs(|role| match role {
            Role::Module => &["IN --kernel VERMAGIC", "--json IN --kernel VERMAGIC", "HELLO --kernel IN"],
            Role::ModuleAndKernel => &["IN/m.ko --kernel IN/vmlinux"],
            Role::Kernel | Role::Build => &["HELLO --kernel IN"],
            Role::Root => &["HELLO --kernel IN", "IN/lib --kernel VERMAGIC"],
            Role::List => &["--files-from IN --kernel VERMAGIC"],
            _ => &[],
        }),
    ),
    (
        "explain",
        Inputs(|role| match role {
            Role::Module => &["IN", "--module IN --kernel VERMAGIC EINVAL"],
            Role::Kernel => &["IN", "--module HELLO --kernel IN EINVAL"],
            Role::List | Role::File | Role::Log => &["IN", "--json IN"],
            _ => &[],
        }),
    ),
    (
        "kernel",
        Inputs(|role| match role {
            Role::Module | Role::Build | Role::Root => &["IN"],
            Role::Kernel => &["IN", "--symbols IN"],
            _ => &[],
        }),
    ),
    (
        "tree",
        Inputs(|role| match role {
            Role::Module => &["BUILD --for IN", "BUILD --module IN --for VERMAGIC"],
            Role::Kernel | Role::Root => &["BUILD --for IN"],
            Role::Build => &["IN", "IN --for VERMAGIC", "IN --json"],
            _ => &[],
        }),
    ),
    (
        "scan",
        Inputs(|role| match role {
            Role::Module | Role::Kernel => &["IN", "--json IN"],
            Role::Root => &["IN", "--json IN"],
            Role::List => &["--files-from IN"],
            _ => &[],
        }),
    ),
    (
        "patch",
        Inputs(|role| match role {
            Role::Module => &["-n --vermagic 6.1 IN", "-n --to IN HELLO"],
            Role::Kernel => &["-n --to IN HELLO"],
            Role::Root => &["-n --vermagic 6.1 IN/lib", "-n --to IN HELLO"],
            Role::List => &["-n --vermagic 6.1 --files-from IN"],
            _ => &[],
        }),
    ),
    (
        "restore",
        Inputs(|role| match role {
            Role::Module => &["-n IN", "-n --from IN HELLO", "-n --from HELLO IN"],
            Role::Kernel => &["-n --from IN COPIES"],
            Role::Root => &["-n IN/lib", "-n --from IN COPIES", "-n --from COPIES IN/lib"],
            Role::List => &["-n --files-from IN"],
            _ => &[],
        }),
    ),
    (
        "verify",
        Inputs(|role| match role {
            Role::Module => &["IN", "--against IN HELLO", "--against HELLO IN"],
            Role::Kernel => &["--against IN COPIES"],
            Role::Root => &["IN/lib", "--against IN COPIES", "--against COPIES IN/lib"],
            Role::List => &["--files-from IN"],
            _ => &[],
        }),
    ),
    (
        "log",
        Inputs(|role| match role {
            Role::Module => &["IN"],
            Role::Root => &["IN/lib"],
            _ => &[],
        }),
    ),
    ("recover", Nothing("it reads the state folder, which is the user's own: tests/suite/state has damaged ones")),
    (
        "vault",
        Inputs(|role| match role {
            Role::File => &["import -n IN"],
            Role::Module => &["forget -n IN"],
            _ => &[],
        }),
    ),
    (
        "report",
        Inputs(|role| match role {
            Role::File => &["--html - IN", "--json - IN"],
            _ => &[],
        }),
    ),
    ("enrol", Nothing("it reads no file that is named")),
    (
        "try",
        // A version magic can't be booted, and neither can these kernels: no virtual machine starts.
        Inputs(|role| match role {
            Role::Module => &["IN --kernel VERMAGIC"],
            _ => &[],
        }),
    ),
    (
        "matrix",
        Inputs(|role| match role {
            Role::Module => &["--modules IN --kernels VERMAGIC --out NEW"],
            _ => &[],
        }),
    ),
    ("doctor", Nothing("it reads no file that is named")),
    ("demo", Nothing("its modules are built in")),
];

/// Sound files of our own.
struct Own {
    folder: PathBuf,
    copies: PathBuf,
}

impl Own {
    fn new(folder: &Path) -> Own {
        let copies = folder.join("copies");
        fs::create_dir(&copies).unwrap();
        let names = (0..kinds::MEMBERS).map(|number| format!("m{number}.ko"));
        for name in names.chain(["hello-4.ko".to_owned()]) {
            fs::copy(fixture("modules/hello-4.ko"), copies.join(name)).unwrap();
        }
        Own { folder: folder.to_owned(), copies }
    }

    fn words(&self, command: &str, line: &str, input: &Path) -> Vec<OsString> {
        let word = |word: &str| match word {
            "IN" => input.into(),
            _ if word.starts_with("IN/") => input.join(&word[3..]).into(),
            "HELLO" => self.copies.join("hello-4.ko").into(),
            "COPIES" => self.copies.clone().into(),
            "BUILD" => fixture("trees/guide").into(),
            "NEW" => self.folder.join("new").into(),
            "VERMAGIC" => VERMAGIC.into(),
            word => OsString::from(word),
        };
        let own = ["--state-dir".into(), self.folder.join("state").into()];
        std::iter::once(command.into()).chain(line.split(' ').map(word)).chain(own).collect()
    }
}

/// The commands that the program itself lists.
fn listed() -> BTreeSet<String> {
    let help = kmodlab(["--help"]).out;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // A description that continues is indented further.
    let names = commands.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn each_command_ends_soon_and_takes_little_memory_with_each_kind_of_input() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kinds");
    if !is_in_own_process() {
        assert_eq!(listed(), COMMANDS.iter().map(|(name, _)| (*name).to_owned()).collect(), "add it to COMMANDS");
        // Made here, so that the process that measures takes little memory itself.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        KINDS.iter().for_each(|kind| drop(kind.make_in(&folder)));
    }
    if !in_own_process!() {
        return fs::remove_dir_all(folder).unwrap();
    }
    let own = tempfile::tempdir().unwrap();
    let own = Own::new(own.path());
    let only = std::env::var("KMODLAB_KIND").ok();
    let mut table: BTreeMap<&str, Row> = BTreeMap::new();
    let mut failed = Vec::new();
    for kind in KINDS.iter().filter(|kind| only.as_ref().is_none_or(|only| kind.what.contains(only))) {
        let input = folder.join(kind.path());
        let mut ran = 0;
        for (command, reads) in COMMANDS {
            let Inputs(lines) = reads else { continue };
            for line in kind.roles.iter().flat_map(|role| lines(*role)) {
                ran += 1;
                let row = table.entry(command).or_default();
                failed.extend(row.run(kind, &own.words(command, line, &input), &input));
            }
        }
        assert!(ran > 0, "{}: no command reads it", kind.what);
    }
    println!("{:<9} {:>5} {:>9} {:>9} {:>9}  most time; most memory", "command", "runs", "CPU s", "most s", "most MiB");
    for (command, row) in &table {
        let Row { runs, cpu, longest, largest } = row;
        let [all, longest_time] = [*cpu, longest.0].map(|time| time.as_secs_f64());
        println!(
            "{command:<9} {runs:>5} {all:>9.2} {longest_time:>9.3} {:>9}  {}; {}",
            largest.0 >> 20,
            longest.1,
            largest.1
        );
    }
    for (command, reads) in COMMANDS {
        match reads {
            Inputs(_) => assert!(only.is_some() || table.contains_key(command), "{command} was given nothing"),
            Nothing(why) => println!("{command:<9} {why}"),
        }
    }
    println!("in all {:.1} s of CPU", table.values().map(|row| row.cpu.as_secs_f64()).sum::<f64>());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// What the runs of one command took.
#[derive(Default)]
struct Row {
    runs: usize,
    cpu: Duration,
    longest: (Duration, String),
    largest: (u64, String),
}

impl Row {
    /// Runs a command; returns what is wrong.
    fn run(&mut self, kind: &Kind, words: &[OsString], input: &Path) -> Option<String> {
        let limit = (4 * kinds::size(input)).max(FLOOR).max(own_peak());
        let mut problem = None;
        for _ in 0..TRIES {
            let cost = cost(words);
            let cpu = cost.cpu + cost.system;
            self.runs += 1;
            self.cpu += cpu;
            let what = || format!("{} ({})", kind.what, words.join(" ".as_ref()).to_string_lossy());
            let short = format!("{} {:.60}", kind.what, words[1].to_string_lossy());
            if cpu > self.longest.0 {
                self.longest = (cpu, short.clone());
            }
            if cost.memory > self.largest.0 {
                self.largest = (cost.memory, short);
            }
            let is_an_end = matches!(cost.status.code(), Some(0..=5)) && !cost.err.contains("panicked at");
            let is_bounded = cpu <= MOST_TIME && cost.memory <= limit;
            if is_an_end && is_bounded {
                return None;
            }
            let memory = cost.memory >> 20;
            problem = Some(format!("{}: {cpu:.3?}, {memory} MiB, {}, {:.300}", what(), cost.status, cost.err));
        }
        problem
    }
}
