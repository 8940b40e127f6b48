//! Promise: a real kernel costs far less work than its budget allows, in whichever form it comes.

use std::path::{Path, PathBuf};

use kmodlab::kernel::{self, Lookup};

use crate::real::images::package;
use crate::support::fetched;

/// Kernels of several sizes and compression formats, also of modules in their packages.
const KERNELS: [&str; 8] = [
    "amd64-5.10-cloud",
    "amd64-6.1",
    "amd64-6.12",
    "amd64-7.2-cloud",
    "arm64-6.12",
    "armhf-6.12",
    "mipsel-6.1",
    "s390x-6.12",
];

/// How much of its budget the kernel at this path costs, in percent.
fn percent(path: &Path) -> u64 {
    let (answer, budget) = kernel::named_at_cost(path.as_os_str(), &Lookup::default());
    let percent = 100 * budget.spent() / budget.allowed();
    let name = path.file_name().unwrap().display();
    println!(
        "{name:<80} {:>5} MiB of work, {percent:>2} %  {}",
        budget.spent() >> 20,
        answer.map_or_else(|e| e.to_string(), |_| String::new())
    );
    percent
}

#[test]
#[ignore = "needs the packages that tests/real/fetch fetches"]
fn a_real_kernel_costs_less_than_half_of_its_budget() {
    for name in KERNELS {
        let archives = fetched::packages(name);
        let image: PathBuf = package(name).image();
        for path in archives.iter().chain([&image]) {
            assert!(percent(path) < 50, "{}", path.display());
        }
    }
}
