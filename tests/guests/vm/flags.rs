//! The answers of real kernels to the load flags that `check` has no option for: compressed files, and flags that no kernel
//! knows (include/uapi/linux/module.h; `finit_module` and `module_decompress`, kernel/module).
//!
//! The expected answer follows from the kernel's version, its configuration and its messages.

use std::process::Command;

use kmodlab::lab::guest::{Guest, GuestContents};
use kmodlab::lab::record::{End, LogLine, Phase};
use kmodlab::lab::wire::TrialOrder;

use crate::bystanders::is_of_bystanders;
use crate::support::facts::Facts;
use crate::vm::kernels::{X86_64, chosen, files_of};
use crate::vm::{alone, settings};

/// MODULE_INIT_COMPRESSED_FILE, since 5.17.
const COMPRESSED: u32 = 4;
/// A flag that no kernel knows: flags are assigned from the lowest bit up, and 7.3 has three.
const UNKNOWN: u32 = 1 << 30;

const EINVAL: i32 = 22;
const ENOEXEC: i32 = 8;
const EOPNOTSUPP: i32 = 95;

/// A question: file and flags; and the answer: errno (0 if the file is accepted) and the first line.
type Row = (&'static str, u32, i32, Option<&'static str>);

/// The expected answers for a plain module, and for one that is compressed in the kernel's own format.
fn rows(facts: &Facts) -> [Row; 4] {
    let (plain, packed) = match facts.unpacks() {
        // The kernel does not know this flag either.
        _ if facts.version() < (5, 17) => ((EINVAL, None), (EINVAL, None)),
        None => ((EOPNOTSUPP, None), (EOPNOTSUPP, None)),
        Some("gzip") => ((EINVAL, Some("not a gzip compressed module")), (0, None)),
        Some("xz") => ((EINVAL, Some("not an xz compressed module")), (0, None)),
        Some(_) => ((EINVAL, Some("not a zstd compressed module")), (0, None)),
    };
    // For a file that is not ELF: one line for all faults, a specific line, or none (`elf_validity_check`).
    let no_elf = ["Module has invalid ELF structures", "Invalid ELF header magic: != \u{7f}ELF"]
        .into_iter()
        .find(|line| facts.can_say(line.split(": ").next().unwrap()));
    [
        ("plain.ko", UNKNOWN, EINVAL, None),
        ("plain.ko", COMPRESSED, plain.0, plain.1),
        ("packed.ko", COMPRESSED, packed.0, packed.1),
        ("packed.ko", 0, ENOEXEC, no_elf),
    ]
}

#[test]
#[ignore = "needs QEMU, gzip, xz, zstd and fetched kernels: tests/run runs it"]
fn compressed_files_and_unknown_flags() {
    let _alone = alone();
    for name in chosen() {
        let kernel = files_of(name, &["dummy"]);
        let (plain, (_, image)) = (&kernel.modules["dummy"].bytes, kernel.image.unwrap());
        let facts = Facts::of(name);
        let rows = rows(&facts);
        let packed = packed(plain, facts.unpacks().unwrap_or("xz"));
        let files: [(String, &[u8]); 2] = [("plain.ko".to_owned(), plain), ("packed.ko".to_owned(), &packed)];
        let guest = Guest::boot(&GuestContents { machine: X86_64, image: &image, files: &files }, &settings()).unwrap();
        for (trial, (file, flags, errno, line)) in (1..).zip(rows) {
            let order =
                TrialOrder { trial, name: "dummy".to_owned(), file: file.to_owned(), flags, ..TrialOrder::default() };
            let seen = guest.run(&order);
            // The clock code prints lines too, soon after the boot.
            let is_of_load = |line: &&LogLine| line.phase == Phase::Load && !is_of_bystanders(&line.text);
            let first = seen.log.iter().find(is_of_load).map(|line| line.text.as_str());
            let answer = (&seen.end, seen.errno, seen.accepted, first);
            assert_eq!(
                answer,
                (&End::Done, Some(errno), errno == 0, line),
                "{name}: {file}, flags {flags}:\n{}",
                seen.console
            );
        }
        println!(
            "{name}: {:?}, unpacks {:?}: {} questions of compressed files and unknown flags, answered as these say: {:?}",
            facts.version(),
            facts.unpacks(),
            rows.len(),
            rows.map(|(_, _, errno, _)| errno)
        );
    }
}

/// Compresses in a form that kernels read; for xz there is only one: CRC32 and a small dictionary
/// (Documentation/staging/xz.rst).
fn packed(module: &[u8], format: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("module.ko");
    std::fs::write(&file, module).unwrap();
    let options: &[&str] = if format == "xz" { &["--check=crc32", "--lzma2=dict=1MiB"] } else { &[] };
    let output = Command::new(format).args(options).arg("--stdout").arg(file).output();
    let output = output.unwrap_or_else(|error| panic!("{format}: {error}: tests/run installs what the tests need"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
