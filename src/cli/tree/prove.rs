//! `tree --prove`: a module really built by the tree, beside what was predicted, before the kernel that it is for.

use std::ffi::{OsStr, OsString};

use clap::Parser;
use serde::Serialize;

use crate::buildtree::evaluating::test_build;
use crate::cli::output::{self, Failure, Paint, Session, Text, waiting};
use crate::cli::tree::{Args, Study};
use crate::cli::{Cli, Status};
use crate::error::{Error, ErrorKind};
use crate::escape::for_eyes;
use crate::module::{self, Module};
use crate::predict::{self, Candidate, Decision, Force, LoadOptions};

/// A module that was built, and what came of it.
#[derive(Serialize)]
pub(super) struct Proof {
    /// Its version magic.
    vermagic: Text,
    /// Is it as predicted?
    as_predicted: bool,
    /// What the kernel will answer.
    verdict: Decision,
    /// The taints that it will leave.
    taint: Option<String>,
    /// What the loader would print.
    dmesg: Vec<String>,
    /// The same, for eyes.
    #[serde(skip)]
    shown: String,
    /// It lives as long as this.
    #[serde(skip)]
    folder: tempfile::TempDir,
}

impl Proof {
    /// Is all as it should be?
    pub(super) fn is_good(&self) -> bool {
        self.as_predicted && self.verdict != Decision::Refused
    }
}

/// Builds it.
pub(super) fn run(study: &Study, args: &Args, session: &mut Session<'_>) -> Result<Proof, Failure> {
    let folder = tempfile::Builder::new().prefix("kmodlab-proof-").tempdir();
    let folder = folder.map_err(|e| Error::io("making a temporary folder", e))?;
    let what = format!("building a module by {}", output::path(&args.tree));
    let path = waiting(&what, || test_build::build(&study.tree, folder.path()))?;
    let load = LoadOptions { force: Force::None, alone: false, ..LoadOptions::default() };
    let (vermagic, verdict) = module::with_bytes(&path, session.max_size, |bytes| {
        let module = Module::read(bytes).map_err(|e| e.on(&path))?;
        let vermagic = module.modinfo.first("vermagic").unwrap_or_default().to_vec();
        Ok::<_, Error>((
            vermagic,
            predict::predict(&Candidate { bytes, module: Some(&module), packing: None }, &study.kernel, &load),
        ))
    })??;
    let predicted = study.predictions.current.vermagic.as_ref();
    Ok(Proof {
        as_predicted: predicted.is_some_and(|predicted| predicted.as_bytes() == vermagic),
        vermagic: Text::of(&vermagic),
        shown: output::vermagic(&vermagic),
        verdict: verdict.answer,
        taint: verdict.taint,
        dmesg: verdict.dmesg,
        folder,
    })
}

pub(super) fn print(proof: &Proof, session: &mut Session<'_>) -> Result<(), Failure> {
    let label = session.paint(Paint::Strong, format_args!("{:<8}", "proof"));
    let as_predicted = match proof.as_predicted {
        true => session.paint(Paint::Good, "as predicted"),
        false => session.paint(Paint::Bad, "other than predicted"),
    };
    writeln!(session.out, "{label}{}: a module built here, {as_predicted}", proof.shown)?;
    let verdict = match proof.verdict {
        Decision::Refused => session.paint(Paint::Bad, "the kernel will refuse it"),
        Decision::Unknown => session.paint(Paint::Odd, "what the kernel will answer is not known"),
        Decision::Accepted => session.paint(Paint::Good, "the kernel will accept it"),
    };
    let taint = proof.taint.as_ref().filter(|taint| !taint.is_empty());
    let taint = taint.map(|taint| format!(", tainted {taint}")).unwrap_or_default();
    writeln!(session.out, "        {verdict}{taint}")?;
    for line in &proof.dmesg {
        writeln!(session.out, "        {}", for_eyes(line))?;
    }
    Ok(())
}

/// Loads it in a virtual machine, as `kmodlab try` does.
pub(super) fn try_it(proof: &Proof, kernel: &OsStr, json: bool, session: &mut Session<'_>) -> Result<Status, Failure> {
    let module = proof.folder.path().join(format!("{}.ko", test_build::MODULE));
    let mut words: Vec<OsString> = ["kmodlab", "try"].map(OsString::from).to_vec();
    words.extend([module.into_os_string(), "--kernel".into(), kernel.to_owned(), "--ways".into(), "original".into()]);
    if json {
        words.push("--json".into());
    }
    let parsed =
        Cli::try_parse_from(words).map_err(|e| Error::new(ErrorKind::Usage, format!("try can't be called so: {e}")))?;
    if !json {
        writeln!(session.out)?;
    }
    crate::cli::run(parsed.command, session)
}
