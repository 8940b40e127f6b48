//! Promise: `check` predicts the answers of kernels of eight architectures, module by module and flag by flag.
//!
//! Each kernel is booted in QEMU with our own first process (`init.c`), which loads modules and reports the results. A plain
//! run tries a sample on the first kernel of each architecture; `tests/guests/machines/all` tries everything on all kernels.
//! Trials that did not come out as predicted are listed in `target/machines/ARCHITECTURE.txt`.

mod agreement;
mod answers;
mod architectures;
mod elf;
mod guest;
mod initramfs;
mod predictions;
mod report;
mod table;
mod trials;
mod ways;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use kmodlab::kernel::files::KernelFiles;

use architectures::{ARCHITECTURES, Architecture, Machine};
use guest::Guests;
use table::{Came, Tally};
use trials::Origin;

use crate::support::fetched;

/// The compiler options common to all targets: a program without a C library.
const FLAGS: [&str; 10] = [
    "-O2",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-ffreestanding",
    "-fno-builtin",
    "-fno-stack-protector",
    "-fno-pic",
    "-fno-asynchronous-unwind-tables",
    "-c",
];

#[test]
#[ignore = "needs QEMU, clang and fetched kernels: tests/run runs it"]
fn amd64() {
    answers_as_predicted("amd64");
}

#[test]
#[ignore = "needs QEMU, clang and fetched kernels: tests/run runs it"]
fn arm64() {
    answers_as_predicted("arm64");
}

#[test]
#[ignore = "needs QEMU, clang and fetched kernels: tests/run runs it"]
fn armhf() {
    answers_as_predicted("armhf");
}

#[test]
#[ignore = "needs QEMU, clang and fetched kernels: tests/run runs it"]
fn i386() {
    answers_as_predicted("i386");
}

#[test]
#[ignore = "needs QEMU, clang and fetched kernels: tests/run runs it"]
fn mips() {
    answers_as_predicted("mips");
}

#[test]
#[ignore = "needs QEMU, clang and fetched kernels: tests/run runs it"]
fn ppc64el() {
    answers_as_predicted("ppc64el");
}

#[test]
#[ignore = "needs QEMU, clang and fetched kernels: tests/run runs it"]
fn riscv64() {
    answers_as_predicted("riscv64");
}

#[test]
#[ignore = "needs QEMU, clang and fetched kernels: tests/run runs it"]
fn s390x() {
    answers_as_predicted("s390x");
}

/// Runs the trials of an architecture. All trials must agree with the predictions except for those that are unknown: less than
/// 3 % of the trials of a kernel's own modules, and less than 6 % of all.
fn answers_as_predicted(name: &str) {
    let is_sample = match std::env::var("KMODLAB_MACHINES").as_deref() {
        Ok("all") => false,
        Ok(other) => panic!("KMODLAB_MACHINES={other:?}: all, or nothing"),
        Err(_) => true,
    };
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/machines");
    std::fs::create_dir_all(&top).unwrap();
    let architecture = ARCHITECTURES.iter().find(|one| one.name == name).unwrap();
    let kernels = if is_sample { &architecture.kernels[..1] } else { architecture.kernels };
    let mut tally = Tally::default();
    for kernel in kernels {
        tally.join(ask(architecture, kernel, is_sample, &top));
    }
    let details = top.join(format!("{name}.txt"));
    tally.write(&details);
    println!("{}", tally.row(name));
    let (all, own) = (tally.counts(None), tally.counts(Some(Origin::Own)));
    // The whole list, since a log is often all that is left of a run.
    let shown = format!("see {}:\n{}", details.display(), std::fs::read_to_string(&details).unwrap());
    assert_eq!(all.disagree, 0, "{name}: kernels answer otherwise; {shown}");
    assert!(
        own.unknown * 100 < own.all() * 3,
        "{name}: {} of {} own modules are unknown; {shown}",
        own.unknown,
        own.all()
    );
    assert!(all.unknown * 100 < all.all() * 6, "{name}: {} of {} trials are unknown; {shown}", all.unknown, all.all());
}

/// Runs the trials on a kernel, and compares its answers with the predictions.
fn ask(architecture: &Architecture, kernel: &str, is_sample: bool, top: &Path) -> Tally {
    let begun = Instant::now();
    let (folder, cache) = (top.join(kernel), top.join("cache"));
    std::fs::create_dir_all(&folder).unwrap();
    let files = trials::files_of(kernel, &cache);
    let others = architecture.kernels.iter().filter(|other| !is_sample && **other != kernel);
    let others: Vec<(&str, KernelFiles)> = others.map(|other| (*other, trials::files_of(other, &cache))).collect();
    let subjects = trials::subjects(kernel, &files, &others);
    let trials = trials::in_order(&subjects, is_sample);
    let machine = architecture.machine(kernel);
    let (_, image) = files.image.expect("a kernel's package has an image");
    let init = first_process(machine, &folder);
    let outcomes = Guests { machine, image, subjects: &subjects, trials: &trials, init, folder: folder.clone() }.run();
    let answered = begun.elapsed();
    let predictions = predictions::all(&fetched::named(kernel), &subjects, &trials, &folder.join("modules"), &cache);
    let mut tally = Tally::default();
    for (number, trial) in trials.iter().enumerate() {
        let (subject, prediction) =
            (&subjects[trial.subject], predictions[trial.flags as usize][trial.subject].as_ref());
        let Some(seen) = outcomes.seen.get(&number) else { panic!("{kernel}: trial {number} was never run") };
        let (agreement, why) = agreement::compare(seen, prediction);
        tally.add(&Came { kernel, subject, flags: trial.flags, prediction, seen }, agreement, &why);
    }
    let (boots, kept, repeated, count) = (outcomes.boots, outcomes.kept, outcomes.repeated, trials.len());
    let together = begun.elapsed();
    println!(
        "{kernel}: {count} trials, {kept} asked earlier, {repeated} repeated, {boots} boots, {answered:.1?}, with predictions {together:.1?}"
    );
    tally
}

/// Builds the first process of a machine's guests.
fn first_process(machine: &Machine, folder: &Path) -> Vec<u8> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests/machines/init.c");
    let (object, program) = (folder.join("init.o"), folder.join("init"));
    run(Command::new("clang-14").args(FLAGS).args(machine.target).arg(source).arg("-o").arg(&object));
    run(Command::new(machine.linker).args(["-static", "-e", "_start", "-o"]).arg(&program).arg(&object));
    std::fs::read(program).unwrap()
}

fn run(command: &mut Command) {
    let output =
        command.output().unwrap_or_else(|e| panic!("{command:?}: {e}: tests/run installs what the tests need"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
