//! The program: starts the commands, turns their result into an exit status. Under two other names it is what the lab
//! needs: the first process of a guest, and what starts QEMU.

use std::io::Write;
use std::process::ExitCode;

use kmodlab::lab::{agent, launcher};

fn main() -> ExitCode {
    give_back_large_memory();
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

/// Lets each large allocation be the kernel's own business, from which it is given back at once. The GNU C library would learn
/// from the first large module that such memory is wanted again, and then keep the largest of each thread for good. What is
/// smaller, as nearly all modules are, it may keep, up to some such: to fetch it anew for each takes a tenth of the time.
fn give_back_large_memory() {
    #[cfg(target_env = "gnu")]
    for (parameter, bytes) in [(libc::M_MMAP_THRESHOLD, 1 << 20), (libc::M_TRIM_THRESHOLD, 1 << 20)] {
        // SAFETY: mallopt(3) takes any two numbers; nothing else runs yet whose allocations it could meet.
        let _ = unsafe { libc::mallopt(parameter, bytes) };
    }
}
