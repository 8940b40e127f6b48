//! Images of kernels that are truncated, changed or inconsistent, or that are decompression bombs.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use kmodlab::error::Error;
use kmodlab::kernel::{self, Fact, Kernel, Lookup};
use kmodlab::vermagic::Vermagic;

use crate::hostile::bounds::cost;
use crate::hostile::{fixture, fixtures, forge, name};

use crate::support::in_own_process;

/// More than the decompressed size of any fixture, and less than that of a bomb.
const LOOKUP: Lookup = Lookup { max_size: 64 << 20, cache: None };

/// Far more than any of these may take, even on a busy machine.
const LONG: Duration = Duration::from_secs(10);

/// Reads the kernel in a file, and checks that the answer comes soon.
fn ask(path: &Path) -> Result<Kernel, Error> {
    let start = Instant::now();
    let answer = kernel::named(path.as_os_str(), &LOOKUP);
    assert!(start.elapsed() < LONG, "{} took {:?}", path.display(), start.elapsed());
    answer
}

/// The images, except for that of s390x, which starts with 64 KiB of zeros: the others cover its contents.
fn images() -> Vec<(String, Vec<u8>)> {
    let paths = fixtures("kernels").into_iter().filter(|path| !name(path).starts_with("bzImage-s390x"));
    paths.map(|path| (name(&path).to_owned(), fs::read(&path).unwrap())).collect()
}

/// How many bytes the fixture has after the part that an image needs: data after a payload is not read, such as the size of the
/// compressed data, and the section headers of a program that unpacks a kernel.
fn spare(name: &str) -> usize {
    match name {
        _ if name.starts_with("vmlinuz") => 208,
        _ if name.starts_with("bzImage") || name.starts_with("zboot") => 32,
        // A section is padded to 512 bytes.
        _ if name.starts_with("uki") => 511,
        _ => 0,
    }
}

#[test]
fn an_image_cut_at_any_byte_is_refused_or_yields_correct_facts() {
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("vmlinuz");
    let (mut refused, mut read, mut flat) = (0, 0, 0);
    for (name, bytes) in images() {
        fs::write(&cut, &bytes).unwrap();
        let file = File::options().write(true).open(&cut).unwrap();
        let whole = ask(&cut).unwrap().facts.exports.map_or(0, |exports| exports.value.symbols.len());
        for length in (1..bytes.len()).rev() {
            file.set_len(length as u64).unwrap();
            match ask(&cut) {
                Err(error) => {
                    assert!(!error.to_string().contains('\n'));
                    refused += 1;
                }
                // A flat image that is cut after its last text is still complete.
                Ok(kernel) => {
                    let is_flat = name.contains("Image-arm") || name.contains("Image-riscv") || name.contains("zboot");
                    let ended = length >= bytes.len() - spare(&name) || name == "bzImage-2.07";
                    assert!(is_flat || ended, "{name} cut at {length} was read");
                    // A flat image that is cut between its version line and its version magic has lost the string, and no other
                    // string is used instead.
                    let is_its_own = |known: &Fact<Vermagic>| {
                        known.value.to_string().contains("kmodlab SMP preempt mod_unload modversions")
                    };
                    assert!(kernel.vermagic.as_ref().map_or(is_flat, is_its_own), "{name} cut at {length}");
                    // A truncated table of exports counts as none.
                    let exports = kernel.facts.exports.map_or(0, |exports| exports.value.symbols.len());
                    assert!(exports == 0 || exports == whole, "{name} cut at {length}: {exports} exports");
                    *(if is_flat { &mut flat } else { &mut read }) += 1;
                }
            }
        }
    }
    println!("{refused} cut images refused, {read} read, and {flat} flat ones");
    assert!(refused > 20_000 && read < 2000);
}

#[test]
fn an_image_with_any_byte_changed_gives_facts_or_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vmlinuz");
    let (mut errors, mut facts) = (0, 0);
    for (name, bytes) in images() {
        fs::write(&path, &bytes).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        let most = ask(&path).unwrap().facts.exports.map_or(0, |exports| exports.value.symbols.len());
        for (at, byte) in bytes.iter().enumerate() {
            for flip in [0x01, 0x80, 0xff, 0] {
                // The last iteration restores the original byte.
                file.write_all_at(&[byte ^ flip], at as u64).unwrap();
                match ask(&path) {
                    Ok(kernel) => {
                        let exports = kernel.facts.exports.map_or(0, |exports| exports.value.symbols.len());
                        assert!(exports <= most, "{name}, {at}: {exports} exports");
                        facts += 1;
                    }
                    Err(_) => errors += 1,
                }
            }
        }
    }
    println!("{errors} changed images refused, {facts} read");
    assert!(errors > 10_000 && facts > 1000);
}

/// The offsets of the section headers of a little-endian ELF64 file, with their numbers.
fn section_headers(elf: &[u8]) -> Vec<usize> {
    let table = u64::from_le_bytes(elf[40..48].try_into().unwrap()) as usize;
    let count = u16::from_le_bytes(elf[60..62].try_into().unwrap());
    (1..usize::from(count)).map(|index| table + 64 * index).collect()
}

#[test]
fn section_headers_that_lie_about_their_place_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vmlinux");
    let vmlinux = fs::read(fixture("kernels/vmlinux-amd64")).unwrap();
    let mut lies = 0;
    for header in section_headers(&vmlinux) {
        // sh_offset and sh_size, then both.
        for fields in [[24].as_slice(), &[32], &[24, 32]] {
            for value in [u64::MAX, u64::MAX - 63, 1 << 63, 1 << 32, vmlinux.len() as u64 + 1] {
                let mut lying = vmlinux.clone();
                for field in fields {
                    lying[header + field..header + field + 8].copy_from_slice(&value.to_le_bytes());
                }
                fs::write(&path, &lying).unwrap();
                let error = ask(&path).unwrap_err().to_string();
                assert!(error.contains("is it cut short?") || error.contains("section"), "{error}");
                lies += 1;
            }
        }
    }
    println!("{lies} lies refused");
}

#[test]
fn a_table_of_many_exports_with_one_long_name_takes_no_more_than_its_share() {
    if !in_own_process!() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vmlinux");
    fs::write(&path, forge::vmlinux_of_one_long_name(100_000)).unwrap();
    let kernel = ask(&path).unwrap();
    assert_eq!(kernel.facts.exports, None, "their names would have more bytes than the file");
    let module = fixture("modules/hello-4.ko");
    let size = fs::metadata(&path).unwrap().len();
    cost([Path::new("check"), &module, "--kernel".as_ref(), &path]).is_bounded("one long name", size);
}

/// Checks the answer of `check` about a bzImage with this payload.
fn check_bz_image(what: &str, payload: &[u8], words: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vmlinuz");
    let image = forge::bz_image(payload);
    fs::write(&path, &image).unwrap();
    let cost = cost([Path::new("check"), &fixture("modules/hello-4.ko"), "--kernel".as_ref(), &path]);
    cost.is_bounded(what, image.len() as u64);
    assert!(cost.err.contains(words), "{what}: {}", cost.err);
    assert_eq!((cost.status.code(), cost.err.lines().count()), (Some(2), 1), "{what}: {}", cost.err);
    assert!(cost.time < LONG);
}

#[test]
fn a_bomb_is_refused_at_once_whatever_size_it_announces() {
    if !in_own_process!() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb");
    let bombs: [(&str, forge::Bomb); 3] = [("zst", forge::zstd_bomb), ("xz", forge::xz_bomb), ("gz", forge::gzip_bomb)];
    for (container, make) in bombs {
        make(&path, &[0; 64]);
        let bomb = fs::read(&path).unwrap();
        for (size, words) in [(u32::MAX, "exceeds the limit"), (900 << 20, ""), (16 << 20, "")] {
            let payload = [bomb.as_slice(), &u32::to_le_bytes(size)].concat();
            check_bz_image(&format!("10 GiB of zeros as {container}, announced as {size}"), &payload, words);
        }
    }
    let block =
        [0x1f, 0, 1, 0].into_iter().chain(vec![0xff; 32 << 10]).chain([0, 0x50, 0, 0, 0, 0, 0]).collect::<Vec<u8>>();
    let blocks: Vec<u8> =
        (0..512).flat_map(|_| [&(block.len() as u32).to_le_bytes(), block.as_slice()].concat()).collect();
    for size in [u32::MAX, 900 << 20, 16 << 20] {
        let payload = [&0x184c_2102_u32.to_le_bytes(), blocks.as_slice(), &size.to_le_bytes()].concat();
        check_bz_image(&format!("4 GiB of zeros as lz4, announced as {size}"), &payload, "");
    }
    let many = [[0x02, 0x21, 0x4c, 0x18].as_slice(), &vec![0; 1 << 20]].concat();
    check_bz_image("lz4 blocks of nothing", &many, "");
    let dictionary = [b"\x5d\0\0\xff\xff".as_slice(), &[0xff; 8], &[0; 64]].concat();
    check_bz_image("an lzma dictionary of 4 GiB", &dictionary, "lzma stream");
}
