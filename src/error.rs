//! Errors: what happened, to which file, and what to do next.
//!
//! Every layer returns [`Error`]. A program matches [`Error::kind`]; a person reads the one line that [`std::fmt::Display`]
//! gives, which has no control characters, whatever the file's name is.

use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::escape;

/// The kind of an [`Error`]: the part that a program can match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The call is invalid: an argument is wrong.
    Usage,
    /// No such file, module name, field, backup or journal entry.
    NotFound,
    /// The operation needs the kernel's version magic, which is not known.
    NoVermagic,
    /// The operating system refused or failed; the source error says how.
    Io,
    /// The bytes are no kernel module: not ELF, not relocatable, no `.modinfo`.
    NotAModule,
    /// The file is a package, an archive or an image, which the message names, and the module is inside it. The hint has the
    /// command that unpacks it.
    Wrapped,
    /// The bytes have the form of a module, but contradict themselves.
    Malformed,
    /// The file ends before the end of a structure that it announces.
    Truncated,
    /// Decompressed, the module would be larger than the limit.
    TooLarge,
    /// Decompressing the input takes more work than its size justifies: it has too many streams, or streams in streams.
    TooMuchWork,
    /// The file allows two answers (two `vermagic=` entries).
    Ambiguous,
    /// The module does not allow the request: it has no entry to patch, or no space for the new string.
    DoesNotFit,
    /// The request is valid but not implemented (a compressed module in place, for example).
    Unsupported,
    /// The file changed during the operation.
    Changed,
    /// Another run holds the lock.
    Busy,
    /// A guard refused.
    Guard,
    /// The plan was not confirmed.
    NotConfirmed,
    /// Somebody else changed the file since it was recorded: nothing was written.
    Conflict,
    /// A write failed and could not be rolled back: recovery is needed.
    NeedsRecovery,
    /// The throwaway virtual machine could not be run.
    Lab,
    /// A backup, the journal or a file of trials is damaged.
    Damaged,
    /// Another user could have written this part of the state folder, so it is not trusted.
    Untrusted,
}

/// The next step after an error, where it takes a command or an option of whichever program shows the error.
///
/// The library names no command and no option, so a remedy has no text here. The program's own texts are in `cli/words.rs`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remedy {
    /// Choose another state folder.
    OtherStateFolder,
    /// Remove this part of the state folder, or choose another state folder.
    RemoveOrOtherStateFolder,
    /// Choose a state folder that belongs to this user.
    OwnStateFolder,
    /// Raise the limit on the size of decompressed data ([`crate::patch::Request::max_size`]).
    RaiseSizeLimit,
    /// Raise the same limit above its default, which raises the limit on all work in proportion.
    RaiseWorkLimit,
    /// Look the path up in the history of changes.
    ShowHistory,
    /// This line of the journal says when it happened.
    ShowJournalLine(u64),
    /// Recover: the interrupted operation is completed or rolled back.
    Recover,
    /// Remove the cause first, then recover.
    FixThenRecover,
    /// Restore, discarding what somebody else wrote; a backup of that is kept.
    DiscardChanges,
    /// Restore the original.
    Restore,
    /// The entry may have been blanked by an earlier patch, which a restore takes back.
    RestoreBlanked,
    /// Forget the path, if no file is expected there again.
    Forget,
    /// Look elsewhere for a backup whose SHA-256 begins with these digits.
    FindBackup(String),
    /// Extract the original into another file, which needs no write into the state folder.
    Extract,
    /// Create this folder.
    MakeFolder(PathBuf),
    /// Let the compressed module be packed again.
    AllowRepacking,
    /// Let the section move to the end of the file; nothing was changed.
    AllowMovedSection,
    /// Let a whole new file replace this one; nothing was changed.
    AllowNewFile,
    /// Show the module: it says how to cut the trailing bytes off.
    ShowTrailingBytes,
    /// Show the kernel inside this file.
    ShowKernel,
    /// Make room, or let backups be compressed.
    CompressBackups,
    /// List the backups.
    ListBackups,
    /// Import only the backups.
    ImportBackupsOnly,
    /// Close the damaged part of the journal, and begin the next one.
    RepairJournal,
    /// Ask what is missing on this machine, and how to install it.
    InstallMissing,
    /// Ask what is missing on this machine.
    FindMissing,
    /// Name a file, or also the kernel from which the module is to be taken.
    NameSourceKernel,
    /// Supply a build of this program for the guest's architecture.
    SupplyAgent,
    /// Run the report on the build tree without building: it lists what is missing.
    ReportTree,
    /// Read the list of paths from a pipe or a FIFO as standard input.
    ListFromPipe,
    /// List the module's fields as modinfo does: the kernel's build kept the fields of built-in modules.
    ListModinfo,
}

/// What happened, to which file, and what to do next.
///
/// ```
/// use kmodlab::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::NotAModule, "not an ELF file").on("notes.ko").hint("is it an HTML page?");
/// assert_eq!(error.to_string(), "notes.ko: not an ELF file; is it an HTML page?");
/// ```
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    what: String,
    path: Option<PathBuf>,
    next: Option<NextStep>,
    source: Option<io::Error>,
}

/// What to do next.
#[derive(Clone, Debug)]
enum NextStep {
    Text(String),
    Remedy(Remedy),
}

/// A [`std::result::Result`] whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of a kind. `what` is the text of what happened, without the file's name.
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Error { kind, what: what.into(), path: None, next: None, source: None }
    }

    /// An error of the operating system during an operation, as in "opening" or "writing the journal".
    pub fn io(doing: &str, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        let kind = match source.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Io,
        };
        Error { kind, what: format!("{doing}: {}", plain(&source)), path: None, next: None, source: Some(source) }
    }

    /// The same error, with the file that it is about. A file that is set already stays: the innermost caller knows best.
    #[must_use]
    pub fn on(mut self, path: impl AsRef<Path>) -> Self {
        self.path.get_or_insert_with(|| path.as_ref().to_owned());
        self
    }

    /// The same error, with what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.next.get_or_insert_with(|| NextStep::Text(hint.into()));
        self
    }

    /// The same error, with a next step that takes an option or a command of the program that shows it. A next step that
    /// is there already stays.
    #[must_use]
    pub fn remedy(mut self, remedy: Remedy) -> Self {
        self.next.get_or_insert(NextStep::Remedy(remedy));
        self
    }

    /// The same error with another text of what happened; kind, file, next step and source stay.
    #[must_use]
    pub fn reworded(self, what: impl FnOnce(&str) -> String) -> Self {
        Error { what: what(&self.what), ..self }
    }

    /// A copy of the error, for a second recipient.
    #[must_use]
    pub fn again(&self) -> Error {
        Error {
            kind: self.kind,
            what: self.what.clone(),
            path: self.path.clone(),
            next: self.next.clone(),
            source: self.source.as_ref().map(|e| match e.raw_os_error() {
                Some(number) => io::Error::from_raw_os_error(number),
                None => io::Error::new(e.kind(), e.to_string()),
            }),
        }
    }

    /// The kind, which a program can match.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What happened, without the file's name and without what to do next.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The file that it happened to, where there is one.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// What to do next, where that is a text without commands and options of a program.
    pub fn next_step(&self) -> Option<&str> {
        match &self.next {
            Some(NextStep::Text(text)) => Some(text),
            Some(NextStep::Remedy(_)) | None => None,
        }
    }

    /// What to do next, where that takes a command or an option of the program that shows the error.
    pub fn suggested(&self) -> Option<&Remedy> {
        match &self.next {
            Some(NextStep::Remedy(remedy)) => Some(remedy),
            Some(NextStep::Text(_)) | None => None,
        }
    }

    /// Is this the operating system's answer `errno`?
    pub fn is_errno(&self, errno: rustix::io::Errno) -> bool {
        self.source.as_ref().and_then(io::Error::raw_os_error) == Some(errno.raw_os_error())
    }
}

/// The operating system's text, without the " (os error 2)" that Rust appends.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(at) => text.get(..at).unwrap_or(&text).to_owned(),
        None => text,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = String::new();
        if let Some(path) = &self.path {
            let text = escape::bytes_for_eyes(path.as_os_str().as_bytes());
            line.push_str(if text.is_empty() { "''" } else { &text });
            line.push_str(": ");
        }
        line.push_str(&escape::for_eyes(&self.what));
        if let Some(hint) = self.next_step() {
            line.push_str("; ");
            line.push_str(&escape::for_eyes(hint));
        }
        f.write_str(&line)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|e| e as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_with_an_escape_sequence_stays_one_harmless_line() {
        let error = Error::new(ErrorKind::NotAModule, "not an ELF file").on("a\x1b[2J\nb.ko");
        assert_eq!(error.to_string(), "a\\x1b[2J\\nb.ko: not an ELF file");
        let error = Error::new(ErrorKind::NotAModule, "not an ELF file").on(std::ffi::OsStr::from_bytes(b"\xff.ko"));
        assert_eq!(error.to_string(), "\\xff.ko: not an ELF file");
    }

    #[test]
    fn the_systems_words_come_without_rusts_number() {
        let error = Error::io("opening", io::Error::from_raw_os_error(13)).on("x.ko");
        assert_eq!(error.to_string(), "x.ko: opening: Permission denied");
        assert!(error.is_errno(rustix::io::Errno::ACCESS));
    }

    #[test]
    fn the_innermost_file_and_hint_win() {
        let error = Error::new(ErrorKind::Io, "w").on("inner").on("outer").hint("first").hint("second");
        assert_eq!(error.to_string(), "inner: w; first");
        let error = Error::new(ErrorKind::Io, "w").remedy(Remedy::Recover).hint("second");
        assert_eq!((error.to_string(), error.suggested()), ("w".to_owned(), Some(&Remedy::Recover)));
    }
}
