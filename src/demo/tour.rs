//! A guided tour: it announces each step, runs the program as a person would type it, and shows its output.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anstyle::Style;

use crate::change::Proposal;
use crate::error::{Error, ErrorKind};
use crate::escape::shell_word;
use crate::guard::machine::Machine;
use crate::guard::{Guard, Overrides, Ruling};
use crate::patch::{NewVermagic, Request, Signature};
use crate::progress::waiting;
use crate::vault::{Vault, target};

/// The exit statuses of commands that a tour expects: done, and a negative verdict.
pub(super) const DONE: i32 = 0;
pub(super) const NEGATIVE: i32 = 1;

/// Why a tour ended early.
#[derive(Debug)]
pub(crate) enum TourFailure {
    /// A command ended in another way than the tour expects, or a file cannot be written.
    Error(Error),
    /// The output cannot be written.
    Output(io::Error),
}

impl From<Error> for TourFailure {
    fn from(error: Error) -> Self {
        TourFailure::Error(error)
    }
}

impl From<io::Error> for TourFailure {
    fn from(error: io::Error) -> Self {
        TourFailure::Output(error)
    }
}

/// Where a tour prints, and the settings of the commands that it runs.
pub(crate) struct TourOutput<'t> {
    /// What it announces, and the output of its commands.
    pub(crate) out: &'t mut dyn Write,
    /// Their errors.
    pub(crate) err: &'t mut dyn Write,
    /// Print in colour?
    pub(crate) color: bool,
    /// The greatest size of a decompressed file, in bytes.
    pub(crate) max_size: u64,
}

/// A tour in a folder of its own.
pub(super) struct Tour<'t, 'f> {
    output: TourOutput<'t>,
    folder: &'f Path,
    steps: usize,
}

impl<'t, 'f> Tour<'t, 'f> {
    pub(super) fn new(output: TourOutput<'t>, folder: &'f Path) -> Self {
        Tour { output, folder, steps: 0 }
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder
    }

    fn strong(&self, text: impl Display) -> String {
        match self.output.color {
            true => format!("{0}{text}{0:#}", Style::new().bold()),
            false => text.to_string(),
        }
    }

    pub(super) fn keep(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.folder.join(name);
        std::fs::write(&path, bytes).map_err(|e| Error::io("writing", e).on(path))
    }

    pub(super) fn keep_copy(&self, name: &str, copy: &str) -> Result<(), Error> {
        let path = self.folder.join(copy);
        std::fs::copy(self.folder.join(name), &path).map(drop).map_err(|e| Error::io("copying", e).on(path))
    }

    /// Announces the next step. The text is the tour's own, or escaped.
    pub(super) fn says(&mut self, text: &str) -> Result<(), TourFailure> {
        self.steps += 1;
        let number = self.strong(format_args!("{}.", self.steps));
        let gap = if self.steps == 1 { "" } else { "\n" };
        writeln!(self.output.out, "{gap}{number} {text}\n")?;
        Ok(())
    }

    /// Prints the conclusion of a step. The text is the tour's own, or escaped.
    pub(super) fn concludes(&mut self, text: &str) -> Result<(), TourFailure> {
        let text = self.strong(text);
        writeln!(self.output.out, "\n{text}")?;
        Ok(())
    }

    /// Runs a command that must end with this status.
    pub(super) fn runs(&mut self, words: &[&str], expected: i32) -> Result<(), TourFailure> {
        let status = self.run(words)?;
        if status != expected {
            let typed = words.join(" ");
            let what = format!("the demo's \"kmodlab {typed}\" ended with {status}, not {expected}");
            let hint = "this is a fault of kmodlab: please report it";
            return Err(Error::new(ErrorKind::Damaged, what).hint(hint).into());
        }
        Ok(())
    }

    /// Shows a command as a person would type it in the tour's folder, runs it, and shows its output as if that folder were the
    /// working folder.
    pub(super) fn run(&mut self, words: &[&str]) -> Result<i32, TourFailure> {
        let typed: Vec<String> = words.iter().map(|word| shell_word(Path::new(word))).collect();
        let line = self.strong(format_args!("$ kmodlab {}", typed.join(" ")));
        writeln!(self.output.out, "{line}")?;
        // The command may take a while.
        self.output.out.flush()?;
        let Output { status, stdout, stderr } = waiting("running it", || self.command(words).output())
            .map_err(|e| Error::io("running this program again", e))?;
        let folder = format!("{}/", self.folder.display());
        let relative =
            |text: &[u8]| String::from_utf8_lossy(text).replace(&folder, "").replace("--state-dir state ", "");
        self.output.out.write_all(relative(&stdout).as_bytes())?;
        if !stderr.is_empty() {
            self.output.out.flush()?;
            let _ = self.output.err.write_all(relative(&stderr).as_bytes());
        }
        Ok(status.code().unwrap_or(-1))
    }

    /// The digest of the plan that `kmodlab patch` makes for a module in the folder, and whether the guard abi-tokens refuses it.
    pub(super) fn plan(&self, module: &str, vermagic: &str, signature: Signature) -> Result<(String, bool), Error> {
        let new_vermagic = NewVermagic::Rewrite(vermagic.as_bytes().to_vec());
        let request = Request { max_size: self.output.max_size, ..Request::new(new_vermagic, signature) };
        let machine = Machine::here(Some(&Vault::at(self.folder.join("state"))));
        let path = target::real_path(&self.folder.join(module))?;
        let proposal = Proposal::make(&path, None, &request, None, &machine)?;
        let digest = proposal.digest().to_string();
        let reviewed = proposal.review(Overrides::default());
        let review = reviewed.as_ref().map_or_else(|refused| refused.review(), |reviewed| reviewed.review());
        let is_refused = |guard| review.answers().iter().any(|a| a.guard == guard && a.ruling == Ruling::Refuse);
        Ok((digest, is_refused(Guard::AbiTokens)))
    }

    /// This program with the words of a command, and with the tour's settings.
    fn command(&self, words: &[&str]) -> Command {
        // As the lab does: this file stays the same program, even if an update replaces it.
        let mut command = Command::new("/proc/self/exe");
        command.arg0("kmodlab").stdin(Stdio::null()).args(self.arguments(words));
        command.arg("--color").arg(if self.output.color { "always" } else { "never" });
        command.arg("--state-dir").arg(self.folder.join("state"));
        command.arg("--max-size").arg(self.output.max_size.to_string());
        command
    }

    /// The words, with the folder prefixed to the names of its files: the tour does not change the working folder.
    fn arguments(&self, words: &[&str]) -> Vec<OsString> {
        let mut before = "";
        let with_folder = words.iter().map(|word| {
            let is_kernel = ["--kernel", "--built-for"].contains(&before);
            let is_ours = !is_kernel && (word.ends_with(".ko") || *word == RECORDS);
            before = word;
            if is_ours { self.folder.join(word).into_os_string() } else { OsString::from(word) }
        });
        with_folder.collect()
    }
}

/// The folder in the tour's folder for what the lab records.
pub(super) const RECORDS: &str = "lab";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tours_own_files_are_in_its_folder_and_kernels_are_not() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let output = TourOutput { out: &mut out, err: &mut err, color: false, max_size: 1 << 20 };
        let tour = Tour::new(output, Path::new("/t"));
        let words = tour.arguments(&["try", "dummy.ko", "--kernel", "tree.ko", "--built-for", "lab", "--out", "lab"]);
        let expected = ["try", "/t/dummy.ko", "--kernel", "tree.ko", "--built-for", "lab", "--out", "/t/lab"];
        assert_eq!(words, expected);
    }
}
