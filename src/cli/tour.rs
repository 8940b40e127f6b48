//! A guided tour: it announces each step, runs the program as a person would type it, and shows its output.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::change::Proposal;
use crate::cli::output::{Failure, Paint, Session, shell_word, waiting};
use crate::cli::status::Status;
use crate::error::{Error, ErrorKind};
use crate::guard::machine::Machine;
use crate::guard::{Guard, Overrides, Ruling};
use crate::patch::{NewVermagic, Request, Signature};
use crate::vault::{Vault, target};

/// A tour in a folder of its own.
pub(super) struct Tour<'t, 's> {
    session: &'t mut Session<'s>,
    folder: &'t Path,
    steps: usize,
}

impl<'t, 's> Tour<'t, 's> {
    pub(super) fn new(session: &'t mut Session<'s>, folder: &'t Path) -> Self {
        Tour { session, folder, steps: 0 }
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder
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
    pub(super) fn says(&mut self, text: &str) -> Result<(), Failure> {
        self.steps += 1;
        let number = self.session.paint(Paint::Strong, format_args!("{}.", self.steps));
        let gap = if self.steps == 1 { "" } else { "\n" };
        writeln!(self.session.out, "{gap}{number} {text}\n")?;
        Ok(())
    }

    /// Prints the conclusion of a step. The text is the tour's own, or escaped.
    pub(super) fn concludes(&mut self, text: &str) -> Result<(), Failure> {
        let text = self.session.paint(Paint::Strong, text);
        writeln!(self.session.out, "\n{text}")?;
        Ok(())
    }

    /// Runs a command that must end with this status.
    pub(super) fn runs(&mut self, words: &[&str], expected: Status) -> Result<(), Failure> {
        let status = self.run(words)?;
        if status != expected {
            let (typed, code, expected) = (words.join(" "), status.code(), expected.code());
            let what = format!("the demo's \"kmodlab {typed}\" ended with {code}, not {expected}");
            let hint = "this is a fault of kmodlab: please report it";
            return Err(Error::new(ErrorKind::Damaged, what).hint(hint).into());
        }
        Ok(())
    }

    /// Shows a command as a person would type it in the tour's folder, runs it, and shows its output as if that folder were the
    /// working folder.
    pub(super) fn run(&mut self, words: &[&str]) -> Result<Status, Failure> {
        let typed: Vec<String> = words.iter().map(|word| shell_word(Path::new(word))).collect();
        let line = self.session.paint(Paint::Strong, format_args!("$ kmodlab {}", typed.join(" ")));
        writeln!(self.session.out, "{line}")?;
        // The command may take a while.
        self.session.out.flush()?;
        let Output { status, stdout, stderr } = waiting("running it", || self.command(words).output())
            .map_err(|e| Error::io("running this program again", e))?;
        let folder = format!("{}/", self.folder.display());
        let relative =
            |text: &[u8]| String::from_utf8_lossy(text).replace(&folder, "").replace("--state-dir state ", "");
        self.session.out.write_all(relative(&stdout).as_bytes())?;
        if !stderr.is_empty() {
            self.session.out.flush()?;
            let _ = self.session.err.write_all(relative(&stderr).as_bytes());
        }
        Ok(Status::from_code(status.code().unwrap_or(-1)))
    }

    /// The digest of the plan that `kmodlab patch` makes for a module in the folder, and whether the guard abi-tokens refuses it.
    pub(super) fn plan(&self, module: &str, vermagic: &str, signature: Signature) -> Result<(String, bool), Error> {
        let new_vermagic = NewVermagic::Rewrite(vermagic.as_bytes().to_vec());
        let request = Request { max_size: self.session.max_size, ..Request::new(new_vermagic, signature) };
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
        command.arg("--color").arg(if self.session.color { "always" } else { "never" });
        command.arg("--state-dir").arg(self.folder.join("state"));
        command.arg("--max-size").arg(self.session.max_size.to_string());
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
        let mut session = Session::unattended(&mut out, &mut err);
        let tour = Tour::new(&mut session, Path::new("/t"));
        let words = tour.arguments(&["try", "dummy.ko", "--kernel", "tree.ko", "--built-for", "lab", "--out", "lab"]);
        let expected = ["try", "/t/dummy.ko", "--kernel", "tree.ko", "--built-for", "lab", "--out", "/t/lab"];
        assert_eq!(words, expected);
    }
}
