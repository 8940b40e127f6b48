//! Other programs, asked with a time limit: git and compilers. Nothing that a tree names is run but by its bare name.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a program answered.
pub(crate) struct ProgramOutput {
    /// Did it end well?
    pub(crate) ok: bool,
    /// What it wrote, without white space at its end.
    pub(crate) stdout: String,
    /// What it complained about.
    pub(crate) stderr: String,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum ProgramFailure {
    /// There is no such program.
    Missing,
    /// It took longer than it may, or could not be run; in words.
    Failed(String),
}

/// The most that is kept of what a program writes.
const MOST: u64 = 1 << 20;

/// Runs a program to its end, or to the end of its time.
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

/// Reads all that a program writes, so that it never waits; the beginning is kept.
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
    fn what_stands_still_is_ended() {
        let start = Instant::now();
        let silent = ask(Command::new("sleep").arg("30"), Duration::from_millis(50));
        assert!(matches!(silent, Err(ProgramFailure::Failed(_))) && start.elapsed() < Duration::from_secs(5));
        assert!(matches!(
            ask(&mut Command::new("kmodlab-no-such"), Duration::from_secs(1)),
            Err(ProgramFailure::Missing)
        ));
    }

    #[test]
    fn what_it_says_is_kept() {
        let answer =
            ask(Command::new("sh").args(["-c", "echo a; echo b >&2; exit 3"]), Duration::from_secs(10)).unwrap();
        assert_eq!((answer.ok, answer.stdout.as_str(), answer.stderr.as_str()), (false, "a", "b"));
    }
}
