//! A guided tour: it says what comes, runs the real command as a person would type it, and shows what that prints.

use std::ffi::OsString;
use std::path::Path;

use clap::Parser;

use crate::cli::output::{Failure, Paint, Session, shell_word};
use crate::cli::{Cli, Status};
use crate::error::{Error, ErrorKind};

/// A tour in a folder of its own.
pub(super) struct Tour<'t, 's> {
    session: &'t mut Session<'s>,
    folder: &'t Path,
    stops: usize,
}

impl<'t, 's> Tour<'t, 's> {
    pub(super) fn new(session: &'t mut Session<'s>, folder: &'t Path) -> Self {
        Tour { session, folder, stops: 0 }
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

    /// The next stop: what comes. The text is the tour's own, or escaped.
    pub(super) fn says(&mut self, text: &str) -> Result<(), Failure> {
        self.stops += 1;
        let number = self.session.paint(Paint::Strong, format_args!("{}.", self.stops));
        let gap = if self.stops == 1 { "" } else { "\n" };
        writeln!(self.session.out, "{gap}{number} {text}\n")?;
        Ok(())
    }

    /// What came of it. The text is the tour's own, or escaped.
    pub(super) fn concludes(&mut self, text: &str) -> Result<(), Failure> {
        let text = self.session.paint(Paint::Strong, text);
        writeln!(self.session.out, "\n{text}")?;
        Ok(())
    }

    /// Runs a command, and looks that it ends as it should.
    pub(super) fn runs(&mut self, words: &[&str], expected: Status) -> Result<(), Failure> {
        let status = self.run(words)?;
        if status != expected {
            let typed: Vec<&str> = words.to_vec();
            let what = format!(
                "the demo's \"kmodlab {}\" ended with {}, not {}",
                typed.join(" "),
                status.code(),
                expected.code()
            );
            return Err(Error::new(ErrorKind::Damaged, what)
                .hint("this is a fault of kmodlab: please report it")
                .into());
        }
        Ok(())
    }

    /// Shows a command as a person would type it in the folder, runs it, and shows what it prints as if the folder were
    /// the working folder.
    pub(super) fn run(&mut self, words: &[&str]) -> Result<Status, Failure> {
        let typed: Vec<String> = words.iter().map(|word| shell_word(Path::new(word))).collect();
        let line = self.session.paint(Paint::Strong, format_args!("$ kmodlab {}", typed.join(" ")));
        writeln!(self.session.out, "{line}")?;
        // What follows may take a while.
        self.session.out.flush()?;
        let Called { result, printed, remarks } = self.call(words)?;
        let folder = format!("{}/", self.folder.display());
        let placed = |text: &str| text.replace(&folder, "").replace("--state-dir state ", "");
        self.session.out.write_all(placed(&printed).as_bytes())?;
        if !remarks.is_empty() {
            self.session.out.flush()?;
            let _ = self.session.err.write_all(placed(&remarks).as_bytes());
        }
        result
    }

    /// The plan that `patch -n` prints, read as a script would read it.
    pub(super) fn plan(&mut self, module: &str, vermagic: &str, more: &[&str]) -> Result<serde_json::Value, Failure> {
        let words: Vec<&str> =
            ["patch", module, "--vermagic", vermagic, "-n", "--json"].into_iter().chain(more.iter().copied()).collect();
        let called = self.call(&words)?;
        called.result?;
        Ok(serde_json::from_str(&called.printed).unwrap_or_default())
    }

    /// Runs a command.
    fn call(&mut self, words: &[&str]) -> Result<Called, Failure> {
        let cli =
            Cli::try_parse_from(self.arguments(words)).map_err(|e| Error::new(ErrorKind::Usage, e.to_string()))?;
        let (mut printed, mut remarks) = (Vec::new(), Vec::new());
        let mut inner = Session {
            out: &mut printed,
            err: &mut remarks,
            color: self.session.color,
            escapes: self.session.escapes,
            may_ask: false,
            state_dir: Some(self.folder.join("state")),
            max_size: self.session.max_size,
        };
        let result = crate::cli::run(cli.command, &mut inner);
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Called { result, printed: text(printed), remarks: text(remarks) })
    }

    /// The words with the folder before the names of what is in it: the tour never changes the working folder.
    fn arguments(&self, words: &[&str]) -> Vec<OsString> {
        let mut before = "";
        let placed = words.iter().map(|word| {
            let is_kernel = ["--kernel", "--built-for"].contains(&before);
            let is_ours = !is_kernel && (word.ends_with(".ko") || *word == RECORDS);
            before = word;
            if is_ours { self.folder.join(word).into_os_string() } else { OsString::from(word) }
        });
        std::iter::once(OsString::from("kmodlab")).chain(placed).collect()
    }
}

/// What came of a command.
struct Called {
    result: Result<Status, Failure>,
    /// What went to stdout.
    printed: String,
    /// What went to stderr.
    remarks: String,
}

/// The folder in the tour's folder for what the lab records.
pub(super) const RECORDS: &str = "lab";

/// The digest of a plan.
pub(super) fn digest(plan: &serde_json::Value) -> Result<String, Error> {
    let digest = plan.get("digest").and_then(|digest| digest.as_str()).map(str::to_owned);
    digest.ok_or_else(|| Error::new(ErrorKind::Damaged, "the demo's plan has no digest"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_tours_own_files_are_looked_for_in_its_folder_and_kernels_are_not() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut session = Session::unattended(&mut out, &mut err);
        let tour = Tour::new(&mut session, Path::new("/t"));
        let words = tour.arguments(&["try", "dummy.ko", "--kernel", "tree.ko", "--built-for", "lab", "--out", "lab"]);
        let expected =
            ["kmodlab", "try", "/t/dummy.ko", "--kernel", "tree.ko", "--built-for", "lab", "--out", "/t/lab"];
        assert_eq!(words, expected);
    }
}
