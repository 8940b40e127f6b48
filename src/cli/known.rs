//! What commands report about a selection by the journal.

use crate::cli::output::{self, Failure, Session, count};
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::selection::{JournalSelector, RecordedSelection};
use crate::vault::damage::JournalDamage;
use crate::vault::index::JournalIndex;
use crate::vault::inventory::JournalDoubt;
use crate::vault::segment::DamagedIntent;
use crate::vault::{Intent, Vault, places};

/// Prints how many modules of each searched directory the journal does not know.
pub(super) fn print_unknown(selection: &RecordedSelection, session: &mut Session<'_>) -> Result<(), Failure> {
    for directory in selection.directories().iter().filter(|directory| directory.unknown > 0) {
        let (path, unknown) = (output::path(&directory.path), count(directory.unknown, "module"));
        match directory.selected {
            0 => writeln!(session.out, "{path}: the journal knows none of its {unknown}")?,
            _ => writeln!(session.out, "{path}: the journal does not know {unknown} more in it")?,
        }
    }
    Ok(())
}

/// Which state folder has no journal, whether it exists, and where else one is.
pub(super) fn empty_text(vault: &Vault) -> String {
    let folder = output::path(vault.folder());
    let what = match vault.is_there() {
        true => format!("the journal of the state folder {folder} has no line"),
        false => format!("the state folder {folder} does not exist"),
    };
    let others: Vec<String> = places::others(vault.folder()).iter().map(|place| output::shell_word(place)).collect();
    match others.is_empty() {
        true => what,
        false => format!("{what}; another is there: --state-dir {}", others.join(", or ")),
    }
}

/// Says that on stderr.
pub(super) fn explain_empty(vault: &Vault, session: &mut Session<'_>) {
    session.remark(empty_text(vault));
}

/// That text, if the vault has neither a line, nor an announced write, nor a backup.
pub(super) fn nowhere(vault: &Vault, index: &JournalIndex, pending: &[Intent]) -> Result<Option<String>> {
    let is_empty = index.is_empty() && pending.is_empty() && vault.objects().all()?.is_empty();
    Ok(is_empty.then(|| empty_text(vault)))
}

/// The error of a module that the journal does not know, with that text.
pub(super) fn or_nowhere(error: Error, nowhere: Option<&str>) -> Error {
    let Some(nowhere) = nowhere.filter(|_| error.kind() == ErrorKind::NotFound) else { return error };
    let said = match error.suggested() {
        None | Some(Remedy::ShowHistory) => Error::new(error.kind(), error.what()).hint(nowhere),
        Some(next) => Error::new(error.kind(), format!("{}; {nowhere}", error.what())).remedy(next.clone()),
    };
    match error.path() {
        Some(path) => said.on(path),
        None => said,
    }
}

/// The modules with a mark in the module trees of this machine: what a selection of all is, if the journal has none.
pub(super) fn marked(selector: &JournalSelector<'_>, session: &Session<'_>) -> Result<RecordedSelection> {
    let folders = session.machine(selector.vault).module_folders(session.root.as_ref());
    output::waiting("searching the module trees for marks", || selector.marked(&folders))
}

/// What was searched, and what was not, where neither journal nor marks name a module.
pub(super) fn print_searched(what: &str, session: &mut Session<'_>) -> Result<(), Failure> {
    writeln!(session.out, "{what}, and no module in the module trees of this machine has a mark")?;
    writeln!(session.out, "other folders were not searched for marks: kmodlab scan DIR")?;
    Ok(())
}

/// How much damage is printed.
const PRINTED: usize = 10;

/// Reports damage to the journal on stderr. Is there any?
pub(super) fn warn_of_damage(damage: &[JournalDamage], session: &mut Session<'_>) -> bool {
    for damage in damage.iter().take(PRINTED) {
        session.remark(format_args!("the journal is damaged: {}", damage_text(damage)));
    }
    if let more @ 1.. = damage.len().saturating_sub(PRINTED) {
        session.remark(format_args!("the journal is damaged in {more} more places"));
    }
    if !damage.is_empty() {
        session.remark("going on with the lines that are left; kmodlab vault repair starts a new part of the journal");
    }
    !damage.is_empty()
}

/// Damage to the journal, and whether something was lost.
pub(super) fn damage_text(damage: &JournalDamage) -> String {
    let kept = match (damage.is_lossless, damage.kind) {
        (false, _) => "",
        (true, kind) if kind.takes_lines() => "; the journal's copy has it",
        (true, _) => "; nothing is lost",
    };
    format!("{damage}{kept}")
}

/// Reports on stderr announced writes that can't be read. Are there any?
pub(super) fn warn_of_intents(damaged: &[DamagedIntent], session: &mut Session<'_>) -> bool {
    for intent in damaged {
        let (path, what) = (output::path(&intent.path), crate::escape::for_eyes(&intent.what));
        session.remark(format_args!("{path}: {what}, and nothing was done about it; inspect it, then move it away"));
    }
    !damaged.is_empty()
}

/// Warns on stderr if the journal may not name every backup: a lost line would name the file of an original. While an interrupted
/// operation waits, its intent names it.
pub(super) fn warn_of_doubt(vault: &Vault, is_empty: bool, is_torn: bool, session: &mut Session<'_>) -> Result<()> {
    let Some(doubt) = JournalDoubt::of(is_empty, is_torn) else { return Ok(()) };
    let kept = vault.objects().all()?.len();
    if kept == 0 {
        if is_empty {
            explain_empty(vault, session);
        }
        return Ok(());
    }
    let what = match doubt {
        JournalDoubt::NoLine => "the journal is empty",
        JournalDoubt::Torn => "the last line of the journal is incomplete and is ignored",
    };
    let folder = output::path(vault.objects().folder());
    let kept = match kept {
        1 => "1 backup, perhaps the only original, stays".to_owned(),
        several => format!("{several} backups, perhaps the only originals, stay"),
    };
    session.remark(format_args!("{what}, but {kept} in {folder}, named by SHA-256"));
    Ok(())
}
