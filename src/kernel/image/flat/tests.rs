//! Tables of exports in flat images: each form, each thing that keeps a table from being whole, and hostile images.

use std::path::PathBuf;

use super::*;
use crate::budget::WorkBudget;
use crate::kernel::image::{container, facts};

/// The kernel in a fixture, unpacked, with its machine.
fn opened(name: &str) -> (Vec<u8>, Option<Machine>) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/kernels").join(name);
    let bytes = std::fs::read(file).unwrap();
    let opened = container::open(&bytes, &WorkBudget::new(1 << 20)).unwrap();
    (opened.bytes.to_vec(), opened.machine)
}

/// Name, licence and namespace of some exports of every image.
const KNOWN: [(&str, bool, &str); 6] = [
    ("_printk", false, ""),
    ("printk", false, ""),
    ("kmodlab_asm", false, ""),
    ("dma_buf_get", true, "DMA_BUF"),
    ("kmodlab_get", true, "KMODLAB"),
    ("kmodlab_symbol_39", true, ""),
];

const IMAGES: [(&str, bool); 4] =
    [("Image-arm64-6.1", true), ("Image-riscv64-7.2", false), ("zImage-arm-6.12", true), ("bzImage-s390x-7.3", true)];

/// Changes one byte of the image at an offset from the text, and reads the exports.
fn with(bytes: &[u8], text: &[u8], offset: isize, byte: u8) -> Option<Exports> {
    let at = memchr::memmem::find(bytes, text).unwrap().checked_add_signed(offset).unwrap();
    let mut changed = bytes.to_vec();
    assert_ne!(changed[at], byte);
    changed[at] = byte;
    exports(&changed, None)
}

#[test]
fn each_form_gives_all_exports_with_and_without_a_machine() {
    for (name, has_crcs) in IMAGES {
        let (bytes, machine) = opened(name);
        let found = exports(&bytes, machine).unwrap_or_else(|| panic!("{name}: no exports"));
        assert_eq!(exports(&bytes, None).as_ref(), Some(&found), "{name}");
        assert!(found.complete);
        assert_eq!(found.symbols.len(), 46, "{name}");
        for (symbol, gpl_only, namespace) in KNOWN {
            let export = &found.symbols[symbol];
            assert_eq!(
                (export.gpl_only, export.namespace.as_deref()),
                (Some(gpl_only), Some(namespace)),
                "{name} {symbol}"
            );
            assert_eq!(export.crc.is_some(), has_crcs, "{name} {symbol}");
        }
    }
    let (arm64, arm) = (opened("Image-arm64-6.1").0, opened("zImage-arm-6.12").0);
    assert_eq!(exports(&arm64, None), exports(&arm, None), "distances and pointers say the same, CRCs among it");
}

/// Up to 5.3 (include/linux/export.h).
#[test]
fn entries_without_namespaces_give_all_exports_too() {
    for (name, has_crcs) in [("Image-arm64-5.0", true), ("uImage-mips64-4.4", true), ("zImage-arm-4.14", false)] {
        let (bytes, _) = opened(name);
        let found = exports(&bytes, None).unwrap_or_else(|| panic!("{name}: no exports"));
        assert_eq!(found.symbols.len(), 46, "{name}");
        for (symbol, gpl_only, _) in KNOWN {
            let export = &found.symbols[symbol];
            assert_eq!((export.gpl_only, export.namespace.as_deref()), (Some(gpl_only), Some("")), "{name} {symbol}");
        }
        let with_namespaces = exports(&opened("Image-arm64-6.1").0, None).unwrap();
        for (symbol, export) in &found.symbols {
            assert_eq!(export.crc, with_namespaces.symbols[symbol].crc.filter(|_| has_crcs), "{name} {symbol}");
        }
    }
}

/// Pointers before the first entry, which look like entries, stand in the images as they are; here the table is cut short.
#[test]
fn a_table_of_pairs_that_is_not_whole_gives_no_exports() {
    let (bytes, _) = opened("zImage-arm-4.14");
    for entry in [0, 20, 45] {
        let mut shorter = bytes.clone();
        shorter[0x1000 + entry * 8..][..8].fill(0);
        assert_eq!(exports(&shorter, None), None, "without entry {entry}");
    }
    for (name, offset, byte) in [("kmodlab_symbol_00\0", 3, b' '), ("kmodlab_symbol_00\0", 0, b'z')] {
        assert_eq!(with(&bytes, name.as_bytes(), offset, byte), None, "{name} with {byte:?} at {offset}");
    }
    assert_eq!(exports(&[bytes.as_slice(), &bytes].concat(), None), None, "two tables");
}

#[test]
fn the_source_names_the_table() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/kernels/Image-arm64-6.1");
    let facts = facts(&"Image".into(), &std::fs::read(file).unwrap(), &WorkBudget::new(1 << 20)).unwrap();
    assert_eq!(facts.exports.unwrap().source.to_string(), "Image (its __ksymtab)");
}

#[test]
fn a_table_that_is_not_whole_gives_no_exports() {
    let (bytes, _) = opened("Image-arm64-6.1");
    let first = b"kmodlab_symbol_00\0";
    assert_eq!(with(&bytes, first, 3, b' '), None, "a name that is none");
    assert_eq!(with(&bytes, first, 0, b'z'), None, "names do not ascend");
    let (bytes, _) = opened("zImage-arm-6.12");
    // Without its first entry, the table leaves a string without a user.
    let table = 0x1000;
    let mut shorter = bytes.clone();
    shorter[table..table + 12].fill(0);
    assert_eq!(exports(&shorter, None), None);
    // Without its last entry, strings do not begin where they must.
    let behind = table + 46 * 12;
    let mut shorter = bytes;
    shorter[behind - 12..behind].fill(0);
    assert_eq!(exports(&shorter, None), None);
    let (bytes, _) = opened("Image-riscv64-7.2");
    let flags = 0x1000 + 46 * 24;
    let mut other = bytes;
    other[flags + 3] |= 0x80;
    assert_eq!(exports(&other, None), None, "a flag that no kernel sets");
}

#[test]
fn two_tables_in_one_image_give_no_exports() {
    let (bytes, _) = opened("Image-arm64-6.1");
    assert_eq!(exports(&[bytes.as_slice(), &bytes].concat(), None), None);
}

#[test]
fn a_cut_image_is_no_danger() {
    let pairs = [("Image-arm64-5.0", true), ("uImage-mips64-4.4", true), ("zImage-arm-4.14", false)];
    for (name, _) in IMAGES.into_iter().chain(pairs) {
        let (bytes, machine) = opened(name);
        for cut in (0..bytes.len()).step_by(7) {
            let found = exports(&bytes[..cut], machine);
            assert!(found.is_none_or(|found| found.symbols.len() == 46), "{name} cut at {cut}");
        }
    }
}

#[test]
fn an_image_of_nothing_but_candidates_costs_no_more_than_its_size() {
    // Pointers that look like names and namespaces all along, and words that are equal throughout.
    let mut tables = Vec::new();
    for number in 0..400_000_u32 {
        tables.extend([0_u32, 0x8010_0000 + (number % 1000) * 8, 0x8010_0004].map(u32::to_le_bytes).concat());
        if number % 40 == 0 {
            tables.extend([0xff; 12]);
        }
    }
    let mut image = vec![0x41; 1 << 20];
    image.extend(&tables);
    image.extend(vec![0x7f; 1 << 20]);
    let start = std::time::Instant::now();
    assert_eq!(exports(&image, None), None);
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}
