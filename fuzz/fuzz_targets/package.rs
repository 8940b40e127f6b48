//! Arbitrary bytes as a package, with the checksums of its tar headers corrected, so that other changes reach the reader. The
//! answer is the same facts each time, or an error; and no file is named outside of the folder that it would be unpacked to.

use kmodlab::budget::WorkBudget;
use kmodlab::kernel::package;

use crate::image::{all_of, ask};
use crate::memory_file;
use crate::message::is_one_line;

/// The largest member, in bytes.
const MAX_SIZE: u64 = 16 << 20;

pub(crate) fn check(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    correct_checksums(&mut bytes);
    let path = memory_file::of(&bytes);
    let modules = || {
        let mut modules: Vec<(String, Vec<u8>)> = Vec::new();
        let walked = package::each_module(&path, &WorkBudget::new(MAX_SIZE), |path, bytes| {
            stays_inside(&path);
            assert!(bytes.len() as u64 <= MAX_SIZE);
            modules.push((path, bytes));
            Ok(())
        });
        walked.inspect_err(is_one_line).is_ok().then_some(modules)
    };
    assert_eq!(modules(), modules());
    assert_eq!(ask(&path).as_ref().map(all_of), ask(&path).as_ref().map(all_of));
}

fn stays_inside(path: &str) {
    let mut parts = path.split('/');
    assert!(parts.all(|part| !matches!(part, "" | "." | "..")), "{path}");
}

/// Each header has the magic `ustar` at 257 and at 148, in octal digits, the sum of its bytes with spaces there (tar(5)).
fn correct_checksums(bytes: &mut [u8]) {
    let places: Vec<usize> = memchr::memmem::find_iter(bytes, b"ustar").filter_map(|at| at.checked_sub(257)).collect();
    for at in places {
        let Some(header) = bytes.get_mut(at..at + 512) else { continue };
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    }
}
