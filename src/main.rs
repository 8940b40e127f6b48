//! The program: starts the commands, turns their result into an exit status. Under two other names it is what the lab
//! needs: the first process of a guest, and what starts QEMU.

use std::io::Write;
use std::process::ExitCode;

use kmodlab::lab::{agent, launcher};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().peekable();
    match arguments.peek() {
        Some(name) if agent::is_agent(name) => agent::run(),
        Some(name) if launcher::is_launcher(name) => {
            let error = launcher::launch(arguments.skip(1));
            let _ = writeln!(std::io::stderr(), "kmodlab: {error}");
            ExitCode::from(2)
        }
        _ => ExitCode::from(kmodlab::cli::main(arguments).code()),
    }
}
