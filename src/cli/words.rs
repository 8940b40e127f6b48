//! The program's words for what the library returns as values.
//!
//! The library names neither options nor commands, and none of its texts is compared. This module is the one place that turns
//! its enums into messages, option names and hints.

use std::os::unix::ffi::OsStrExt;

use crate::change::GuardWords;
use crate::error::{Error, Remedy};
use crate::escape;
use crate::guard::{self, Guard, GuardAnswer, LiftedBy, Override, Reason, Ruling};

/// The next step that a remedy means in this program.
pub(super) fn remedy(remedy: &Remedy) -> String {
    let text = match remedy {
        Remedy::OtherStateFolder => "--state-dir names another one",
        Remedy::RemoveOrOtherStateFolder => "remove it, or name another folder with --state-dir",
        Remedy::OwnStateFolder => {
            "name a folder of your own with --state-dir (log, verify, vault and restore -o can read it: --foreign-state)"
        }
        Remedy::RaiseSizeLimit => "--max-size moves the limit",
        Remedy::RaiseWorkLimit => "--max-size 2G doubles the limit, 4G quadruples it",
        Remedy::ShowHistory => "kmodlab log shows what was done to which file",
        Remedy::FindBackup(digits) => {
            return format!(
                "look for objects/{digits}* in other state folders (--state-dir); or name its package: restore --from K"
            );
        }
        Remedy::MakeFolder(folder) => return format!("create it first: mkdir -p {}", escape::shell_word(folder)),
        Remedy::ShowJournalLine(line) => return format!("line {line} of the journal says when: kmodlab log"),
        Remedy::Recover => "kmodlab recover completes it or rolls it back",
        Remedy::FixThenRecover => "fix that, then run kmodlab recover",
        Remedy::DiscardChanges => {
            "restore --discard-changes puts the original back and keeps a backup of what is there now"
        }
        Remedy::Extract => "kmodlab restore -o OUT MODULE only reads the state folder",
        Remedy::Restore => "kmodlab restore puts its original back",
        Remedy::RestoreBlanked => "was it blanked before? kmodlab restore brings it back",
        Remedy::Forget => "install its package again; or, if no module is expected there again: kmodlab vault forget",
        Remedy::AllowRepacking => "without --in-place it is decompressed and compressed again",
        Remedy::AllowMovedSection => "nothing was changed; without --in-place the section moves to the end of the file",
        Remedy::AllowNewFile => "nothing was changed; without --in-place a new file replaces it",
        Remedy::ShowTrailingBytes => "kmodlab show says how to cut them off",
        Remedy::ShowKernel => "kmodlab kernel FILE shows the kernel in it",
        Remedy::ImportBackupsOnly => "--backups-only imports only the backups",
        Remedy::CompressBackups => "make room there; patch --vault-compress compresses backups",
        Remedy::ListBackups => "kmodlab vault --list has them",
        Remedy::RepairJournal => "kmodlab vault repair shows the damage and starts a new part of the journal",
        Remedy::InstallMissing => "kmodlab doctor says how to install it",
        Remedy::FindMissing => "kmodlab doctor looks for what is missing",
        Remedy::NameSourceKernel => "name a file, or the kernel to take it from: --built-for K",
        Remedy::SupplyAgent => "--agent FILE names a kmodlab built for the guest's architecture",
        Remedy::ListFromPipe => "--files-from - reads the list from a pipe or a FIFO",
        Remedy::ListModinfo => "--modinfo prints the fields that the kernel's build kept of it",
        Remedy::ReportTree => "kmodlab tree without --prove says what is missing",
    };
    text.to_owned()
}

/// What to do next after an error, where that is known.
pub(super) fn next_step(error: &Error) -> Option<String> {
    error.suggested().map(remedy).or_else(|| error.next_step().map(str::to_owned))
}

/// What happened and what to do next, without the file's name. Not escaped.
pub(super) fn error_without_path(error: &Error) -> String {
    match next_step(error) {
        Some(next) => format!("{}; {next}", error.what()),
        None => error.what().to_owned(),
    }
}

/// An error as one line: the file, what happened, what to do next. Free of control characters.
pub(super) fn error(error: &Error) -> String {
    let text = escape::for_eyes(&error_without_path(error));
    match error.path().map(|path| escape::bytes_for_eyes(path.as_os_str().as_bytes())) {
        Some(path) if path.is_empty() => format!("'': {text}"),
        Some(path) => format!("{path}: {text}"),
        None => text,
    }
}

/// The option or command that lifts a guard's refusal, where one does.
pub(super) fn override_of(guard: Guard) -> Option<&'static str> {
    match guard.lifted_by() {
        LiftedBy::LabMachine => Some("kmodlab enrol"),
        LiftedBy::Signature => Some("--signature strip"),
        LiftedBy::DropBtf => Some("--drop-btf"),
        LiftedBy::Named(Override::InstalledTree) => Some("--allow-installed"),
        LiftedBy::Named(Override::Ima) => Some("--accept-ima-break"),
        LiftedBy::Named(Override::AbiTokens) => Some("--allow-abi-mismatch"),
        LiftedBy::Named(Override::StructModule) => Some("--allow-layout-mismatch"),
        LiftedBy::Named(Override::Crc) => Some("--allow-crc-mismatch"),
        LiftedBy::Nothing => None,
    }
}

/// What to do next after a guard's refusal.
pub(super) fn after_refusal(guard: Guard) -> Option<String> {
    match guard.lifted_by() {
        LiftedBy::Nothing => None,
        LiftedBy::LabMachine => Some("only on a lab machine (kmodlab enrol); or patch a copy: -o OUT".to_owned()),
        LiftedBy::Signature => Some(SIGNATURE_OPTIONS.to_owned()),
        LiftedBy::DropBtf | LiftedBy::Named(_) => override_of(guard).map(|option| format!("{option} overrides it")),
    }
}

/// These words, for reports.
pub(super) const GUARDS: GuardWords = GuardWords { override_of, why, refusal };

const SIGNATURE_OPTIONS: &str =
    "--signature strip makes it an unsigned module, --signature keep one that a kernel with this key rejects";

/// The error of a guard's refusal.
pub(super) fn refusal(guard: Guard, reason: &Reason) -> Error {
    let error = guard::refusal(guard, reason);
    match after_refusal(guard) {
        Some(next) => error.hint(next),
        None => error,
    }
}

/// Why a guard passes or refuses, with the options that it refers to. Not escaped.
pub(super) fn why(answer: &GuardAnswer) -> String {
    match (&answer.reason, answer.ruling) {
        (reason @ Reason::Signed { .. }, Ruling::Refuse) => format!("{reason}; {SIGNATURE_OPTIONS}"),
        (Reason::NotConfirmed, _) => "type the module's name on a terminal, or give --confirm DIGEST".to_owned(),
        (reason, _) => reason.to_string(),
    }
}
