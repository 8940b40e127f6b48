//! What the journal records about a run: the user, the machine, the command line, and the person's message.

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;

use crate::cli::output::Session;
use crate::error::Error;
use crate::guard::enrol;
use crate::text;
use crate::vault::Vault;
use crate::vault::record::{RunRecord, SudoCaller};

/// The maximum length of a message in bytes: each line of a batch has it.
const LONGEST_MESSAGE: usize = 1000;

/// How much of a file about users is read, in bytes.
const MOST_READ: u64 = 4 << 20;

// (No doc comment: clap would take it for the command's description.)
#[derive(clap::Args)]
pub(super) struct MessageArg {
    /// Record this text in the journal: why it is done, for whom
    #[arg(short, long, value_name = "TEXT", value_parser = message)]
    message: Option<String>,
}

fn message(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("an empty message".to_owned()),
        text if text.len() > LONGEST_MESSAGE => Err(format!("longer than {LONGEST_MESSAGE} bytes")),
        text => Ok(text.to_owned()),
    }
}

impl Session<'_> {
    /// The vault, for a command whose lines in the journal have this message.
    pub(super) fn vault_with(&self, message: &MessageArg) -> Result<Vault, Error> {
        Ok(self.vault()?.with_message(message.message.as_deref()))
    }
}

/// This run, with the arguments of the program.
pub(super) fn record(arguments: &[OsString]) -> RunRecord {
    let uid = rustix::process::getuid().as_raw();
    let variable = |name: &str| std::env::var(name).ok();
    let sudo = variable("SUDO_UID").and_then(|uid| uid.parse().ok());
    let mut run = RunRecord {
        uid,
        user: user_name(uid),
        login_uid: read_start("/proc/self/loginuid")
            .and_then(|text| text.trim().parse().ok())
            .filter(|uid| *uid != u32::MAX),
        sudo: sudo.map(|uid| SudoCaller { uid, user: variable("SUDO_USER").map(|name| text::cut(&name)) }),
        host: Some(text::cut(&rustix::system::uname().nodename().to_string_lossy())),
        machine: enrol::machine(Path::new("/")).ok(),
        ..RunRecord::default()
    };
    run.set_command(arguments.iter().map(OsString::as_os_str));
    run
}

/// The name of a user in passwd(5). Users of other databases (nsswitch.conf(5)) have no name here.
fn user_name(uid: u32) -> Option<String> {
    let users = read_start("/etc/passwd")?;
    let is_it = |line: &&str| line.split(':').nth(2).and_then(|field| field.parse().ok()) == Some(uid);
    users.lines().find(is_it)?.split(':').next().map(text::cut)
}

fn read_start(path: &str) -> Option<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).and_then(|file| file.take(MOST_READ).read_to_end(&mut bytes)).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
