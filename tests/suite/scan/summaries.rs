//! A summary agrees with the full reader: in the facts that it shows, and in the files that it refuses.

use std::path::Path;

use kmodlab::error::Error;
use kmodlab::module::container::DEFAULT_MAX_SIZE;
use kmodlab::module::summary::Summarizer;
use kmodlab::module::{self, Module};

use crate::scan::{fixtures, full_reader};

/// The result of the full reader for a file, limited to the facts in a summary, and the result of the summary reader.
fn both(path: &Path, looker: &mut Summarizer) -> (Result<String, Error>, Result<String, Error>) {
    let full = module::open(path, DEFAULT_MAX_SIZE).map(|(stored, module)| {
        let name = module.name();
        format!("{:?}", full_reader::summary(&stored, &module, name.as_deref()))
    });
    (full, looker.file(path, DEFAULT_MAX_SIZE).map(|summary| format!("{summary:?}")))
}

#[test]
fn a_summary_has_what_the_full_reader_shows() {
    let mut looker = Summarizer::default();
    for path in ["modules", "ambiguous"].into_iter().flat_map(fixtures) {
        let (full, summary) = both(&path, &mut looker);
        assert_eq!(summary.unwrap(), full.unwrap(), "{}", path.display());
    }
}

/// Fixtures that are wrong in parts of a file that neither a summary nor modinfo's listing reads: symbols, relocations, notes, entries
/// of symbol versions.
pub(crate) const NOT_LOOKED_AT: [&str; 6] = [
    "extended-names-unterminated.ko",
    "extended-out-of-step.ko",
    "note-lies.ko",
    "reloc-symbol.ko",
    "symbol-name.ko",
    "versions-unterminated.ko",
];

#[test]
fn a_summary_fails_with_the_error_of_the_full_reader() {
    let mut looker = Summarizer::default();
    let mut passed_over = Vec::new();
    for path in fixtures("hostile") {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match both(&path, &mut looker) {
            (Err(full), Err(summary)) => {
                assert_eq!((summary.kind(), summary.to_string()), (full.kind(), full.to_string()), "{name}");
            }
            (Ok(full), Ok(summary)) => assert_eq!(summary, full, "{name}"),
            (Err(_), Ok(_)) => passed_over.push(name),
            (Ok(_), Err(error)) => panic!("{name}: only the summary refuses it: {error}"),
        }
    }
    assert_eq!(passed_over, NOT_LOOKED_AT);
}

/// Each of these files, truncated at each byte near its ends and with each byte of its headers changed: whatever is wrong with
/// it, a summary shows what the full reader shows, or ignores faults in parts that it does not read, and never refuses a file
/// that the full reader accepts.
#[test]
fn a_summary_of_a_damaged_file_agrees_with_the_full_reader() {
    let mut looker = Summarizer::default();
    let (mut agree, mut passed_over) = (0, 0);
    for name in ["modules/hello-4-signed.ko", "modules/ppc-be.ko", "modules/extended.ko"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
        let whole = std::fs::read(path).unwrap();
        let cuts = (0..whole.len()).map(|len| whole[..len].to_vec());
        let changes = (0..whole.len()).flat_map(|at| [0xff_u8, 0x01].map(|mask| (at, mask)));
        let changed = changes.map(|(at, mask)| {
            let mut bytes = whole.clone();
            bytes[at] ^= mask;
            bytes
        });
        for bytes in cuts.chain(changed) {
            let full = Module::read(&bytes);
            match (full, looker.bytes(&bytes, DEFAULT_MAX_SIZE)) {
                (Err(full), Err(summary)) => assert_eq!(summary.to_string(), full.to_string()),
                (Ok(full), Ok(summary)) => {
                    assert_eq!(summary.vermagic, full.modinfo.first("vermagic"));
                    assert_eq!(summary.name.map(String::from_utf8_lossy).as_deref(), full.name().as_deref());
                    assert_eq!((summary.is_signed, summary.btf), (full.trailer.is_some(), full.btf));
                    assert_eq!((summary.versions, summary.visible), (full.versions.kind(), full.modinfo.visible));
                    assert_eq!(summary.unclaimed, full.unclaimed as u64);
                }
                (Err(_), Ok(_)) => {
                    passed_over += 1;
                    continue;
                }
                (Ok(_), Err(error)) => panic!("{name}: only the summary refuses it: {error}"),
            }
            agree += 1;
        }
    }
    println!("{agree} damaged files alike, {passed_over} passed over");
    assert!(agree > 10 * passed_over, "{agree} alike, {passed_over} passed over");
}
