//! Arbitrary bytes as the image of a kernel. The answer is facts that are in the image, the same ones each time, or an error; and
//! the work is within the budget.

use std::path::Path;

use kmodlab::kernel::report::KernelReport;
use kmodlab::kernel::{self, Kernel, Lookup, image, package};
use serde_json::Value;

use crate::memory_file;
use crate::message::is_one_line;

/// The largest decompressed kernel, in bytes: far more than any seed has.
const MAX_SIZE: u64 = 16 << 20;

/// The most work after the budget is exhausted, in bytes: each thread finishes a step of reading and one of writing, or a block of
/// lz4.
const OVERSHOOT: u64 = 8 * (8 << 20);

pub(crate) fn check(bytes: &[u8]) {
    let path = memory_file::of(bytes);
    let facts = ask(&path);
    assert_eq!(facts.as_ref().map(all_of), ask(&path).as_ref().map(all_of));
    let Some(kernel) = facts.filter(|_| !package::is_package(&path)) else { return };
    let Ok(unpacked) = image::unpacked(bytes, MAX_SIZE) else { return };
    if let Some(banner) = &kernel.facts.banner {
        has(&unpacked, banner.value.as_bytes());
        let release = kernel.facts.release.as_ref().expect("a version line has a release");
        assert!(banner.value.contains(&release.value));
    }
    // A version magic that is derived from the configuration is not in the image.
    if let (Some(vermagic), Some(banner)) = (&kernel.vermagic, &kernel.facts.banner)
        && vermagic.source == banner.source
    {
        has(&unpacked, vermagic.value.as_bytes());
    }
}

fn has(unpacked: &[u8], text: &[u8]) {
    assert!(memchr::memmem::find(unpacked, text).is_some(), "{} is not in the image", text.escape_ascii());
}

/// The kernel in a file, within the budget.
pub(crate) fn ask(path: &Path) -> Option<Kernel> {
    let (answer, budget) = kernel::named_at_cost(path.as_os_str(), &Lookup { max_size: MAX_SIZE, cache: None });
    assert!(budget.spent() <= budget.allowed() + OVERSHOOT, "{budget:?}");
    answer.inspect_err(is_one_line).ok()
}

/// Everything that is known of a kernel, in one order.
pub(crate) fn all_of(kernel: &Kernel) -> [Value; 2] {
    [serde_json::to_value(KernelReport::of(kernel)), serde_json::to_value(&kernel.facts)]
        .map(|json| json.expect("facts can be serialised"))
}
