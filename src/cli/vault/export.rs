//! `vault export`: backups and journal in one file.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::cli::output::{Failure, Paint, Progress, Session, count, grouped, path};
use crate::cli::session::ForeignArg;
use crate::cli::status::Status;
use crate::error::{Error, ErrorKind, Result};
use crate::vault::export::ExportReport;
use crate::vault::signature::{ExportKey, signature_path};
use crate::vault::{Vault, disk};

#[derive(clap::Args)]
pub(super) struct Args {
    /// The file to create, - for stdout; a file that exists is never overwritten
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Compress it, for tar --zstd
    #[arg(long)]
    zstd: bool,
    /// Sign it with this SSH key (Ed25519, not encrypted): FILE.sig, which ssh-keygen -Y verify -n kmodlab-vault accepts too
    #[arg(long, value_name = "KEY")]
    sign: Option<PathBuf>,
    #[command(flatten)]
    pub(super) foreign: ForeignArg,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(vault: &Vault, args: &Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let progress = Progress::of("backup", || Some(vault.objects().all().map_or(0, |all| all.len())));
    let max_size = session.max_size;
    let write = |out: &mut dyn Write| vault.export(out, args.zstd, max_size, || progress.step());
    let is_stdout = args.file == Path::new("-");
    // A key that is refused makes no file.
    let key = args.sign.as_deref().map(ExportKey::read).transpose()?;
    if key.is_some() && is_stdout {
        return Err(Error::new(ErrorKind::Usage, "--sign needs a file: the signature is next to it").into());
    }
    if key.is_some() {
        disk::must_be_free(&signature_path(&args.file))?;
    }
    let report = if is_stdout {
        if session.escapes {
            let what = "an export is binary, and stdout is a terminal";
            return Err(Error::new(ErrorKind::Usage, what)
                .hint("name a file, or send it on: kmodlab vault export - | …")
                .into());
        }
        write(&mut session.out).map_err(|e| match e.is_errno(rustix::io::Errno::PIPE) {
            true => Failure::Output(io::ErrorKind::BrokenPipe.into()),
            false => Failure::Error(e),
        })?
    } else {
        disk::create_file(&args.file, write)?
    };
    drop(progress);
    let signature = key.map(|key| key.sign(&args.file)).transpose()?;
    for left_out in &report.left_out {
        session.remark(format_args!("{}: left out: {}", left_out.backup, left_out.why));
    }
    if let Some(line) = report.broken_line {
        session.remark(format_args!("the journal is exported as it is: line {line} breaks its hash chain"));
    }
    if report.interrupted > 0 {
        let operations = count(report.interrupted, "interrupted operation");
        session.remark(format_args!("{operations} not exported; kmodlab recover settles them"));
    }
    let mut text = text(&report, if is_stdout { "stdout".to_owned() } else { path(&args.file) }, session);
    if let Some(signature) = &signature {
        text.push_str(&format!("  signed   {}\n", path(signature)));
    }
    match (args.json, is_stdout) {
        (true, false) => session.json(&report)?,
        (true, true) => crate::cli::output::write_json(&report, &mut session.err)?,
        (false, false) => session.out.write_all(text.as_bytes())?,
        (false, true) => session.err.write_all(text.as_bytes())?,
    }
    let is_whole = report.left_out.is_empty() && report.broken_line.is_none();
    Ok(if is_whole { Status::Done } else { Status::Negative })
}

fn text(report: &ExportReport, name: String, session: &Session<'_>) -> String {
    let head = report.head.map(|head| format!(", last hash {head}")).unwrap_or_default();
    format!(
        "{}  {name}\n  backups  {}, {} bytes\n  journal  {}{head}\n  sha256   {}\n",
        session.paint(Paint::Good, "exported"),
        report.backups,
        grouped(report.bytes),
        count(usize::try_from(report.lines).unwrap_or(usize::MAX), "line"),
        report.sha256,
    )
}
