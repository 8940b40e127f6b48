//! Runs other programs with a time limit: git, make and compilers. A program that a tree names is only run by its bare name.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The output of a program.
pub(crate) struct ProgramOutput {
    /// Was its exit status 0?
    pub(crate) ok: bool,
    /// Its standard output, without white space at the end.
    pub(crate) stdout: String,
    /// Its standard error, likewise.
    pub(crate) stderr: String,
}

/// Why there is no output.
#[derive(Debug)]
pub(crate) enum ProgramFailure {
    /// The program is not installed.
    Missing,
    /// It exceeded the time limit, or could not be run; in words.
    Failed(String),
}

/// How much of a program's output is kept, in bytes.
const MOST: u64 = 1 << 20;

/// Runs a program until it ends, or its time is over.
pub(crate) fn ask(command: &mut Command, limit: Duration) -> Result<ProgramOutput, ProgramFailure> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => ProgramFailure::Missing,
        _ => ProgramFailure::Failed(e.to_string()),
    })?;
    let (out, err) = (drain(child.stdout.take()), drain(child.stderr.take()));
    let end = Instant::now() + limit;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(5)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(ProgramFailure::Failed(format!("it took more than {} seconds", limit.as_secs())));
            }
            Err(e) => return Err(ProgramFailure::Failed(e.to_string())),
        }
    };
    let text = |thread: std::thread::JoinHandle<Vec<u8>>| {
        String::from_utf8_lossy(&thread.join().unwrap_or_default()).trim_end().to_owned()
    };
    Ok(ProgramOutput { ok: status.success(), stdout: text(out), stderr: text(err) })
}

/// Reads all output, so that the program never blocks; only the beginning is kept.
fn drain(from: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        if let Some(mut from) = from {
            let _ = from.by_ref().take(MOST).read_to_end(&mut kept);
            let _ = std::io::copy(&mut from, &mut std::io::sink());
        }
        kept
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_hangs_is_killed() {
        let start = Instant::now();
        let silent = ask(Command::new("sleep").arg("30"), Duration::from_millis(50));
        assert!(matches!(silent, Err(ProgramFailure::Failed(_))) && start.elapsed() < Duration::from_secs(5));
        assert!(matches!(
            ask(&mut Command::new("kmodlab-no-such"), Duration::from_secs(1)),
            Err(ProgramFailure::Missing)
        ));
    }

    #[test]
    fn the_output_is_kept() {
        let answer =
            ask(Command::new("sh").args(["-c", "echo a; echo b >&2; exit 3"]), Duration::from_secs(10)).unwrap();
        assert_eq!((answer.ok, answer.stdout.as_str(), answer.stderr.as_str()), (false, "a", "b"));
    }
}
