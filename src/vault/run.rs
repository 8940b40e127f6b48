//! What the journal records about this run: the user, the machine, and the command line.

use std::ffi::{OsStr, OsString};

use crate::digest::Sha256;
use crate::text;
use crate::vault::record::{RunRecord, SudoCaller};
use crate::vault::users;

impl RunRecord {
    /// This process, with the arguments of its program, on the machine with this (hashed) id.
    pub(crate) fn of_process(arguments: &[OsString], machine: Option<Sha256>) -> RunRecord {
        let uid = rustix::process::getuid().as_raw();
        let variable = |name: &str| std::env::var(name).ok();
        let sudo = variable("SUDO_UID").and_then(|uid| uid.parse().ok());
        let login = users::read_start("/proc/self/loginuid").and_then(|text| text.trim().parse().ok());
        let mut run = RunRecord {
            uid,
            user: users::name_of(uid),
            login_uid: login.filter(|uid| *uid != u32::MAX),
            sudo: sudo.map(|uid| SudoCaller { uid, user: variable("SUDO_USER").map(|name| text::cut(&name)) }),
            host: Some(text::cut(&rustix::system::uname().nodename().to_string_lossy())),
            machine,
            ..RunRecord::default()
        };
        run.set_command(arguments.iter().map(OsString::as_os_str as fn(&OsString) -> &OsStr));
        run
    }
}
