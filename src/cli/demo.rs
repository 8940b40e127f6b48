//! `demo`: the whole story on built-in modules, in a temporary folder; a guided tour that runs the real commands.

use std::ffi::OsString;
use std::path::Path;

use clap::Parser;

use crate::cli::output::{Failure, Paint, Session};
use crate::cli::{Cli, Status};
use crate::error::{Error, ErrorKind};

/// The seed story's module, and one of today, both of this project's own making.
const POET: &[u8] = include_bytes!("../../fixtures/modules/poet_atkm.ko");
const HELLO: &[u8] = include_bytes!("../../fixtures/modules/hello-4.ko");

/// The version magic that the seed story's kernel wants.
const WANTED: &str = "2.6.5-1.358 686 REGPARM 4KSTACKS gcc-3.3";

#[derive(clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let folder = tempfile::Builder::new().prefix("kmodlab-demo-").tempdir();
    let folder = folder.map_err(|e| Error::io("making a temporary folder", e))?;
    let mut tour = Tour { session, folder: folder.path(), stops: 0 };
    tour.keep("poet_atkm.ko", POET)?;
    tour.keep("hello-4.ko", HELLO)?;

    tour.says("A module carries the version magic of the kernel that it was built for.")?;
    tour.runs(&["show", "-F", "vermagic", "poet_atkm.ko"], Status::Done)?;
    tour.says("There is more in it. Here is one of today:")?;
    tour.runs(&["show", "hello-4.ko"], Status::Done)?;

    tour.says("A kernel with another version magic refuses it. Here is what it would say, and which token differs:")?;
    let kernel = format!("vermagic:{WANTED}");
    tour.runs(&["check", "poet_atkm.ko", "--kernel", &kernel], Status::Negative)?;

    tour.says("A patch is planned before it is made. Every byte, every guard, and a digest of exactly this plan:")?;
    tour.keep_copy("poet_atkm.ko", "as-it-was.ko")?;
    tour.runs(&["patch", "poet_atkm.ko", "--vermagic", WANTED, "-n"], Status::Done)?;
    tour.says("Nothing is written without a confirmation: the name, typed; or, as here, the digest of the plan:")?;
    let digest = tour.digest("poet_atkm.ko")?;
    tour.runs(&["patch", "poet_atkm.ko", "--vermagic", WANTED, "--confirm", &digest], Status::Done)?;

    tour.says("What it is now, and what changed. Only the bytes of the plan:")?;
    tour.runs(&["verify", "poet_atkm.ko"], Status::Done)?;
    tour.runs(&["diff", "as-it-was.ko", "poet_atkm.ko"], Status::Negative)?;

    tour.says("And back. Every byte, mode, owner, attribute and time:")?;
    tour.runs(&["restore", "poet_atkm.ko"], Status::Done)?;
    tour.runs(&["verify", "poet_atkm.ko"], Status::Done)?;
    tour.runs(&["diff", "as-it-was.ko", "poet_atkm.ko"], Status::Done)?;
    tour.says("The journal remembers all of it:")?;
    tour.runs(&["log"], Status::Done)?;
    tour.says("Nothing was loaded, and the temporary folder is gone. Why forcing a module is unsafe: see SAFETY.md.")?;
    Ok(Status::Done)
}

struct Tour<'t, 's> {
    session: &'t mut Session<'s>,
    folder: &'t Path,
    stops: usize,
}

impl Tour<'_, '_> {
    fn keep(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.folder.join(name);
        std::fs::write(&path, bytes).map_err(|e| Error::io("writing", e).on(path))
    }

    fn keep_copy(&self, name: &str, copy: &str) -> Result<(), Error> {
        let path = self.folder.join(copy);
        std::fs::copy(self.folder.join(name), &path).map(drop).map_err(|e| Error::io("copying", e).on(path))
    }

    fn says(&mut self, text: &str) -> Result<(), Failure> {
        self.stops += 1;
        let number = self.session.paint(Paint::Strong, format_args!("{}.", self.stops));
        let gap = if self.stops == 1 { "" } else { "\n" };
        writeln!(self.session.out, "{gap}{number} {text}\n")?;
        Ok(())
    }

    /// Runs a command as a person would type it in the folder, and looks that it ends as it should.
    fn runs(&mut self, words: &[&str], expected: Status) -> Result<(), Failure> {
        let typed: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        let line = self.session.paint(Paint::Strong, format_args!("$ kmodlab {}", typed.join(" ")));
        writeln!(self.session.out, "{line}")?;
        let status = self.run(words)?;
        if status != expected {
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

    /// Runs a command and shows what it prints as if the folder were the working folder.
    fn run(&mut self, words: &[&str]) -> Result<Status, Failure> {
        let (status, printed) = self.capture(words)?;
        let folder = format!("{}/", self.folder.display());
        let printed = printed.replace(&folder, "").replace("--state-dir state ", "");
        self.session.out.write_all(printed.as_bytes())?;
        Ok(status)
    }

    fn capture(&mut self, words: &[&str]) -> Result<(Status, String), Failure> {
        let cli =
            Cli::try_parse_from(self.arguments(words)).map_err(|e| Error::new(ErrorKind::Usage, e.to_string()))?;
        let mut printed = Vec::new();
        let mut inner = Session {
            out: &mut printed,
            err: &mut *self.session.err,
            color: self.session.color,
            escapes: self.session.escapes,
            may_ask: false,
            state_dir: Some(self.folder.join("state")),
            max_size: self.session.max_size,
        };
        let status = crate::cli::run(cli.command, &mut inner)?;
        Ok((status, String::from_utf8_lossy(&printed).into_owned()))
    }

    /// The words with the folder before each file's name: the demo never changes the working folder.
    fn arguments(&self, words: &[&str]) -> Vec<OsString> {
        let placed = words.iter().map(|word| match word.ends_with(".ko") {
            true => self.folder.join(word).into_os_string(),
            false => OsString::from(word),
        });
        std::iter::once(OsString::from("kmodlab")).chain(placed).collect()
    }

    /// The digest that -n prints, read as a script would read it.
    fn digest(&mut self, module: &str) -> Result<String, Failure> {
        let (_, json) = self.capture(&["patch", module, "--vermagic", WANTED, "-n", "--json"])?;
        let plan: serde_json::Value = serde_json::from_str(&json).unwrap_or_default();
        let digest = plan.get("digest").and_then(|d| d.as_str()).map(str::to_owned);
        digest.ok_or_else(|| Error::new(ErrorKind::Damaged, "the demo's plan has no digest").into())
    }
}

/// A word as a shell wants it.
fn quoted(word: &str) -> String {
    if word.contains(' ') { format!("'{word}'") } else { word.to_owned() }
}
