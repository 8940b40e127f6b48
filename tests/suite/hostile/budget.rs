//! Promise: the work for a question is bounded by one budget, whatever the streams in its files turn out to be.
//!
//! Work is counted in bytes that decompressors read and write; times are not checked.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use kmodlab::budget::WorkBudget;
use kmodlab::error::ErrorKind;
use kmodlab::kernel::{self, Lookup};

use crate::hostile::bounds::cost;
use crate::hostile::{fixture, forge, kinds, kmodlab};

use crate::support::in_own_process;

const MIB: usize = 1 << 20;

/// The most that is done after the budget is exhausted, in bytes: each of up to eight threads finishes one step of reading and
/// one of writing, or one block of lz4.
const OVERSHOOT: u64 = 8 * (8 << 20);

/// Reads the kernel in a file of these bytes, and returns the kind of the error and the work.
fn ask(bytes: &[u8], name: &str) -> (Option<ErrorKind>, WorkBudget) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    let (answer, budget) = kernel::named_at_cost(path.as_os_str(), &Lookup::default());
    (answer.err().map(|error| error.kind()), budget)
}

/// Checks that the work is within the budget, and prints both.
fn is_bounded(what: &str, size: usize, budget: &WorkBudget) {
    let [spent, allowed] = [budget.spent(), budget.allowed()].map(|bytes| bytes >> 20);
    println!("{what:<48} {size:>9} bytes: {spent:>5} of {allowed:>5} MiB of work");
    assert_eq!(budget.allowed(), (64 * size as u64).max(40 << 20), "{what}");
    assert!(budget.spent() <= budget.allowed() + OVERSHOOT, "{what}");
}

/// 20 MiB of zeros, compressed, with a wrong checksum or without an end: what is read of it was read in vain.
pub(crate) fn in_vain(container: &str) -> Vec<u8> {
    const SIZE: usize = 20 * MIB;
    match container {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(&vec![0; SIZE]).unwrap();
            let mut stream = encoder.finish().unwrap();
            let at = stream.len() - 8;
            stream[at] ^= 1;
            stream
        }
        "bzip2" => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
            encoder.write_all(&vec![0; SIZE]).unwrap();
            let mut stream = encoder.finish().unwrap();
            let at = stream.len() - 4;
            stream[at] ^= 0x55;
            stream
        }
        "xz" => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
            encoder.write_all(&vec![0; SIZE]).unwrap();
            let stream = encoder.finish().unwrap();
            // Without the last bytes of its block.
            [&stream[..stream.len() - 64], &[0xff; 64]].concat()
        }
        "zstd" => {
            let mut stream = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0x38];
            (0..SIZE / (128 << 10)).for_each(|_| stream.extend([2, 0, 16, 0]));
            stream
        }
        other => panic!("{other}"),
    }
}

/// An image of x86 before boot protocol 2.08, in which the compressed kernel is searched for.
pub(crate) fn image_of(streams: &[u8]) -> Vec<u8> {
    let mut image = forge::bz_image(streams);
    image[0x206] = 7;
    image
}

/// A package of `make tar-pkg`, compressed with xz.
pub(crate) fn package_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 9);
    xz.write_all(&tar_of(members)).unwrap();
    xz.finish().unwrap()
}

fn tar_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, bytes) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

const CONTAINERS: [&str; 4] = ["gzip", "bzip2", "xz", "zstd"];

#[test]
fn all_streams_in_an_image_share_one_budget_also_those_that_fail() {
    for container in CONTAINERS {
        for count in [1, 4, 40, 200] {
            let image = image_of(&in_vain(container).repeat(count));
            let (kind, budget) = ask(&image, "vmlinuz");
            is_bounded(&format!("{count} streams of {container}"), image.len(), &budget);
            let is_too_much = 20 * count as u64 > budget.allowed() >> 20;
            assert_eq!(kind, Some(if is_too_much { ErrorKind::TooMuchWork } else { ErrorKind::NotFound }), "{count}");
        }
    }
}

#[test]
fn a_stream_that_shares_its_end_with_others_is_counted_each_time() {
    let image = image_of(&forge::gzip_headers(200));
    let (kind, budget) = ask(&image, "vmlinuz");
    is_bounded("200 gzip headers with the same data", image.len(), &budget);
    assert_eq!(kind, Some(ErrorKind::TooMuchWork));
}

#[test]
fn all_members_of_a_package_share_one_budget_at_all_levels() {
    let image = image_of(&in_vain("bzip2").repeat(100));
    for count in [1, 10, 100] {
        let names: Vec<String> = (0..count).map(|n| format!("boot/vmlinuz-6.1.0-{n}-kmodlab")).collect();
        let members: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), image.as_slice())).collect();
        let package = package_of(&members);
        let (kind, budget) = ask(&package, "linux.tar.xz");
        is_bounded(&format!("a package of {count} images"), package.len(), &budget);
        assert_eq!(kind, Some(ErrorKind::TooMuchWork));
    }
    // In an opkg package the files are in an archive in the archive.
    let data = package_of(&[("boot/vmlinuz-6.1.0-1-kmodlab", &image)]);
    let package = package_of(&[("./debian-binary", b"2.0\n"), ("./data.tar.gz", &data)]);
    let (kind, budget) = ask(&package, "kmod.ipk");
    is_bounded("an opkg package of an image", package.len(), &budget);
    assert_eq!(kind, Some(ErrorKind::TooMuchWork));
    // Module.symvers that are too large are left out, but what they cost counts.
    let mut symvers = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    symvers.write_all(&vec![b'\n'; 40 * MIB]).unwrap();
    let symvers = symvers.finish().unwrap();
    let names: Vec<String> = (0..20).map(|n| format!("boot/symvers-6.1.0-{n}-kmodlab.gz")).collect();
    let members: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), symvers.as_slice())).collect();
    let package = package_of(&members);
    let (kind, budget) = ask(&package, "linux.tar.xz");
    is_bounded("a package of texts", package.len(), &budget);
    assert_eq!(kind, Some(ErrorKind::TooMuchWork));
}

#[test]
fn all_files_of_a_folder_share_one_budget() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("boot")).unwrap();
    let image = image_of(&in_vain("bzip2"));
    for number in 0..100 {
        fs::write(folder.path().join(format!("boot/vmlinuz-6.1.0-{number}-kmodlab")), &image).unwrap();
    }
    let (answer, budget) = kernel::named_at_cost(folder.path().as_os_str(), &Lookup::default());
    println!("{:?}", answer.map(|_| ()).unwrap_err().to_string());
    assert!(budget.spent() <= budget.allowed() + OVERSHOOT && budget.allowed() == 40 << 20, "{budget:?}");
}

#[test]
fn an_image_that_takes_too_much_work_is_refused_in_one_line_that_names_the_option() {
    let kernel = fs::read(fixture("kernels/Image-arm64.gz")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vmlinuz");
    let image = image_of(&[in_vain("bzip2").repeat(3), kernel].concat());
    fs::write(&path, &image).unwrap();
    let refused = kmodlab(["kernel".as_ref(), path.as_path()]);
    let err = refused.is_one_line_and_exit_2().err.clone();
    let limit = "decompressing takes more than 41943040 bytes of work, the limit for";
    assert!(err.contains(limit) && err.contains("vmlinuz") && err.contains("--max-size 2G doubles"), "{err}");
    let read = kmodlab(["kernel".as_ref(), path.as_path(), "--max-size".as_ref(), "2G".as_ref()]);
    assert!(read.out.contains("6.1.0-1-kmodlab"), "{}", read.err);
}

/// Bytes of a file and their offset.
type Part<'p> = (usize, &'p [u8]);

/// A sparse file: these parts, and a hole up to this size.
fn sparse(folder: &Path, name: &str, size: usize, parts: &[Part<'_>]) -> PathBuf {
    let path = folder.join(name);
    let file = File::create(&path).unwrap();
    file.set_len(size as u64).unwrap();
    parts.iter().for_each(|(at, bytes)| file.write_all_at(bytes, *at as u64).unwrap());
    path
}

#[test]
fn a_sparse_image_takes_little_memory() {
    if !in_own_process!() {
        return;
    }
    const SIZE: usize = 40 * MIB;
    let folder = tempfile::tempdir().unwrap();
    // The header of an image whose payload is the whole file, and that announces 1000 MiB.
    let mut header = forge::bz_image(b"");
    header[0x24c..0x250].copy_from_slice(&((SIZE - 1024) as u32).to_le_bytes());
    let mut searched = header.clone();
    searched[0x206] = 7;
    let announced = ((1000 * MIB) as u32).to_le_bytes();
    let lzma = [b"\x5d\0\0\0\x04".as_slice(), &[0xff; 8]].concat();
    let zstd = [0x28, 0xb5, 0x2f, 0xfd, 0, 0x38];
    let repeated: Vec<u8> = (0..8000).flat_map(|_| [2, 0, 16, 0]).chain([1, 0, 0]).collect();
    let cases: [(&str, &[Part<'_>]); 5] = [
        ("lzma, announced", &[(0, &header), (1024, &lzma), (SIZE - 4, &announced)]),
        ("lzma, searched for", &[(0, &searched), (1024, &lzma)]),
        ("zstd, announced", &[(0, &header), (1024, &zstd), (1030, &repeated), (SIZE - 4, &announced)]),
        // Zeros are empty blocks.
        ("zstd, late", &[(0, &header), (1024, &zstd), (1030 + 36 * MIB, &repeated), (SIZE - 4, &announced)]),
        ("lzma, nothing before it", &[(0, &lzma)]),
    ];
    for (what, parts) in cases {
        let path = sparse(folder.path(), "vmlinuz", SIZE, parts);
        let cost = cost([Path::new("kernel"), &path]);
        cost.is_bounded(&format!("a sparse image: {what}"), SIZE as u64);
        assert_eq!((cost.status.code(), cost.err.lines().count()), (Some(2), 1), "{what}: {}", cost.err);
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn all_modules_of_a_package_that_is_scanned_share_one_budget() {
    if !in_own_process!() {
        return;
    }
    // Section headers at the end of 40 MiB, which are reached in vain: the stream is cut short.
    let mut head = forge::ends_at_the_end();
    head[40..48].copy_from_slice(&(40 * MIB as u64).to_le_bytes());
    let mut module = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0x38, 0, 2, 0];
    module.extend(head);
    (0..240).for_each(|_| module.extend([2, 0, 16, 0]));
    let names: Vec<String> = (0..500).map(|n| format!("lib/modules/6.1/kernel/m{n}.ko.zst")).collect();
    let members: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), module.as_slice())).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("linux.tar.xz");
    fs::write(&path, package_of(&members)).unwrap();
    let cost = cost([Path::new("scan"), &path]);
    cost.takes_little_memory("500 modules in a package", fs::metadata(&path).unwrap().len());
    // What was read before is reported, so it is a partial success.
    assert_eq!(cost.status.code(), Some(4));
    assert!(cost.err.contains("bytes of work"), "{}", cost.err);
    assert!(cost.err.lines().count() < 50, "{}", cost.err);
}

#[test]
fn all_files_of_a_comparison_share_one_budget() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    kinds::modules_in_a_root(&at("root"), kinds::MEMBERS);
    fs::write(at("linux.tar.xz"), kinds::modules_in_a_package()).unwrap();
    fs::create_dir(at("copies")).unwrap();
    for number in 0..kinds::MEMBERS {
        fs::copy(fixture("modules/hello-4.ko"), at("copies").join(format!("m{number}.ko"))).unwrap();
    }
    for (from, files) in [("root", "copies"), ("linux.tar.xz", "copies"), ("copies", "root")] {
        for command in [["verify", "--against"].as_slice(), &["restore", "-n", "--from"]] {
            let words =
                command.iter().map(PathBuf::from).chain([at(from), at(files), "--state-dir".into(), at("state")]);
            let said = kmodlab(words);
            let err = &said.is_one_line_and_exit_2().err;
            assert!(err.contains("bytes of work") && err.contains(from), "{err}");
        }
    }
    // A single file is compared on the thread that reads the originals.
    let words = ["restore".into(), "-n".into(), "--from".into(), at("linux.tar.xz"), at("copies/m0.ko")];
    let said = kmodlab(words.into_iter().chain(["--state-dir".into(), at("state")]));
    assert!(said.err.contains("the zstd stream is cut short"), "{}", said.err);
}

#[test]
fn a_small_module_has_a_small_budget() {
    // 32 MiB of zeros, of which no more than 2 MiB are read.
    let folder = tempfile::tempdir().unwrap();
    kinds::modules_in_a_root(folder.path(), 1);
    let path = folder.path().join("lib/modules/6.1/kernel/m0.ko.zst");
    let shown = kmodlab([Path::new("show"), &path]);
    let err = &shown.is_one_line_and_exit_2().err;
    assert!(err.contains("more than 2097152 bytes of work"), "{err}");
    let shown = kmodlab(["show".as_ref(), path.as_path(), "--max-size".as_ref(), "20G".as_ref()]);
    assert!(shown.err.contains("the zstd stream is cut short"), "{}", shown.err);
}
