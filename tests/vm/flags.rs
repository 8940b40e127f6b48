//! What real kernels answer to the load flags that `check` has no option for: compressed files, and flags that no
//! kernel knows (include/uapi/linux/module.h; `finit_module` and `module_decompress`, kernel/module).

use std::process::Command;

use kmodlab::lab::guest::{Contents, Guest};
use kmodlab::lab::record::{End, Line, Phase};
use kmodlab::lab::wire::Order;

use crate::kernels::{KERNELS, X86_64, files_of};
use crate::{alone, settings};

/// MODULE_INIT_COMPRESSED_FILE.
const COMPRESSED: u32 = 4;
/// The first flag that no kernel of these knows.
const UNKNOWN: u32 = 8;

const EINVAL: i32 = 22;
const ENOEXEC: i32 = 8;
const EOPNOTSUPP: i32 = 95;

/// A question: file and flags; and the answer: errno (0 where it is accepted) and the first line.
type Row = (&'static str, u32, i32, Option<&'static str>);

/// The flag is as unknown as any other.
const BEFORE_5_17: [Row; 4] = [
    ("plain.ko", UNKNOWN, EINVAL, None),
    ("plain.ko", COMPRESSED, EINVAL, None),
    ("packed.ko", COMPRESSED, EINVAL, None),
    ("packed.ko", 0, ENOEXEC, Some("Module has invalid ELF structures")),
];

/// The flag is known, but Debian's 6.1 is built without CONFIG_MODULE_DECOMPRESS.
const WITHOUT_DECOMPRESSION: [Row; 4] = [
    ("plain.ko", UNKNOWN, EINVAL, None),
    ("plain.ko", COMPRESSED, EOPNOTSUPP, None),
    ("packed.ko", COMPRESSED, EOPNOTSUPP, None),
    ("packed.ko", 0, ENOEXEC, Some("Invalid ELF header magic: != \u{7f}ELF")),
];

/// Debian's 6.12 and 7.2 decompress xz.
const WITH_DECOMPRESSION: [Row; 4] = [
    ("plain.ko", UNKNOWN, EINVAL, None),
    ("plain.ko", COMPRESSED, EINVAL, Some("not an xz compressed module")),
    ("packed.ko", COMPRESSED, 0, None),
    ("packed.ko", 0, ENOEXEC, Some("Invalid ELF header magic: != \u{7f}ELF")),
];

#[test]
#[ignore = "needs QEMU, xz and fetched kernels: tests/run runs it"]
fn compressed_files_and_unknown_flags() {
    let _alone = alone();
    for name in KERNELS {
        let kernel = files_of(name, &["dummy"]);
        let (plain, (_, image)) = (&kernel.modules["dummy"].bytes, kernel.image.unwrap());
        let packed = packed(plain);
        let rows = match name {
            "amd64-5.10-cloud" => BEFORE_5_17,
            "amd64-6.1-cloud" | "amd64-6.1-rt" => WITHOUT_DECOMPRESSION,
            "amd64-6.12" | "amd64-7.2" => WITH_DECOMPRESSION,
            _ => panic!("what does {name} answer?"),
        };
        let files: [(String, &[u8]); 2] = [("plain.ko".to_owned(), plain), ("packed.ko".to_owned(), &packed)];
        let guest = Guest::boot(&Contents { machine: X86_64, image: &image, files: &files }, &settings()).unwrap();
        for (cell, (file, flags, errno, line)) in (1..).zip(rows) {
            let order = Order { cell, name: "dummy".to_owned(), file: file.to_owned(), flags, ..Order::default() };
            let seen = guest.run(&order);
            // Clocks of a young guest talk, too.
            let is_of_load = |line: &&Line| line.phase == Phase::Load && !is_of_clocks(&line.text);
            let first = seen.log.iter().find(is_of_load).map(|line| line.text.as_str());
            let answer = (&seen.end, seen.errno, seen.accepted, first);
            assert_eq!(
                answer,
                (&End::Done, Some(errno), errno == 0, line),
                "{name}: {file}, flags {flags}:\n{}",
                seen.console
            );
        }
        println!("{name}: {} questions of compressed files and unknown flags, answered as written", rows.len());
    }
}

/// In the one form of xz that kernels read: CRC32 and a small dictionary (Documentation/staging/xz.rst).
fn packed(module: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("module.ko");
    std::fs::write(&file, module).unwrap();
    let output = Command::new("xz").args(["--check=crc32", "--lzma2=dict=1MiB", "--stdout"]).arg(file).output();
    let output = output.expect("xz: tests/run installs what the tests need");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn is_of_clocks(line: &str) -> bool {
    line.contains("TSC") || line.contains("clocksource")
}
