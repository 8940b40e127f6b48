//! The program. Commands are in `src/cli`; here is only what concerns the process as a whole.

use std::process::ExitCode;

fn main() -> ExitCode {
    return_large_memory();
    kmodlab::program()
}

/// Returns each large allocation to the kernel as soon as it is freed. By default the GNU C library raises its threshold
/// after the first large module, and then every thread keeps as much as the largest module needed. Smaller blocks, which
/// nearly all modules need, stay allocated up to a limit: requesting them again for each module takes a tenth of the time.
fn return_large_memory() {
    #[cfg(target_env = "gnu")]
    for (parameter, bytes) in [(libc::M_MMAP_THRESHOLD, 1 << 20), (libc::M_TRIM_THRESHOLD, 1 << 20)] {
        // SAFETY: mallopt(3) takes any two numbers; no other thread runs yet that could allocate at the same time.
        let _ = unsafe { libc::mallopt(parameter, bytes) };
    }
}
