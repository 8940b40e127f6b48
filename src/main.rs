//! The program: starts the commands, turns their result into an exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(kmodlab::cli::main(std::env::args_os()).code())
}
