//! What real kernels answer to the load flags that `check` has no option for: compressed files, and flags that no
//! kernel knows (include/uapi/linux/module.h; `finit_module` and `module_decompress`, kernel/module).

use crate::guest::packages::{KERNELS, package};
use crate::guest::{Cell, Waiting};
use crate::{alone, run};

/// MODULE_INIT_COMPRESSED_FILE.
const COMPRESSED: u8 = 4;
/// The first flag that no kernel of these knows.
const UNKNOWN: u8 = 8;

const EINVAL: i32 = 22;
const ENOEXEC: i32 = 8;
const EOPNOTSUPP: i32 = 95;

/// A question: file and flags; and the answer: errno (0 where it is accepted) and the first line.
type Row = (&'static str, u8, i32, Option<&'static str>);

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
#[ignore = "needs QEMU and fetched kernels: tests/run runs it"]
fn compressed_files_and_unknown_flags() {
    let _alone = alone();
    for name in KERNELS {
        let kernel = package(name);
        let (_, module) = kernel.modules.iter().find(|(module, _)| *module == "dummy").unwrap();
        // The one form of xz that kernels read: CRC32 and a small dictionary (Documentation/staging/xz.rst).
        let packed = run("xz", ["--check=crc32", "--lzma2=dict=1MiB", "--stdout", module.to_str().unwrap()]);
        assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
        let files = [("plain.ko".to_owned(), std::fs::read(module).unwrap()), ("packed.ko".to_owned(), packed.stdout)];
        let rows = match name {
            "amd64-5.10-cloud" => BEFORE_5_17,
            "amd64-6.1-cloud" | "amd64-6.1-rt" => WITHOUT_DECOMPRESSION,
            "amd64-6.12" | "amd64-7.2" => WITH_DECOMPRESSION,
            _ => panic!("what does {name} answer?"),
        };
        let waiting = Waiting::boot(&kernel.vmlinuz, &files);
        let cells: Vec<Cell> = rows
            .iter()
            .enumerate()
            .map(|(id, (file, flags, ..))| Cell { id: id.to_string(), flags: *flags, file: (*file).to_owned() })
            .collect();
        for ((file, flags, errno, line), answer) in rows.iter().zip(waiting.ask(&cells, |_, _| {})) {
            // Clocks of a young guest talk, too.
            let first = answer.log.iter().find(|line| !line.contains("TSC") && !line.contains("clocksource"));
            assert_eq!(answer.died, None, "{name}: {file}, flags {flags}");
            assert_eq!(answer.accepted, *errno == 0, "{name}: {file}, flags {flags}: {answer:?}");
            assert_eq!(answer.errno, *errno, "{name}: {file}, flags {flags}: {answer:?}");
            assert_eq!(first.map(String::as_str), *line, "{name}: {file}, flags {flags}: {answer:?}");
        }
        println!("{name}: {} questions of compressed files and unknown flags, answered as written", rows.len());
    }
}
