//! A compressed file: the versions of kmod pass it on in different ways, and the kernel's decompressor accepts less than
//! kmod's.

use kmodlab::kernel::Kernel;
use kmodlab::module::Module;
use kmodlab::module::container::Container;
use kmodlab::predict::errno::{EINVAL, EKEYREJECTED, ENOEXEC, EOPNOTSUPP};
use kmodlab::predict::{Candidate, Decision, Force, LoadOptions, Loader, LoaderStep, StepResult, Verdict, predict};
use liblzma::stream::{Check, Filters, LzmaOptions, Stream};

use crate::predict::kernels::{debian, with_option};
use crate::predict::{assert_accepted, assert_refused, assert_unknown, fixture};

const LINES: [&str; 2] = [
    "hello_4: loading out-of-tree module taints kernel.",
    "hello_4: module verification failed: signature and/or required key missing - tainting kernel",
];

/// A kernel that decompresses xz.
fn unpacking() -> Kernel {
    with_option(with_option(debian("6.1.0"), "MODULE_DECOMPRESS", true), "MODULE_COMPRESS_XZ", true)
}

fn judged(file: &[u8], kernel: &Kernel, loader: Loader, force: Force) -> Verdict {
    let (container, mut bytes) = (Container::of(file), Vec::new());
    let packing = container.unpack(&mut bytes, file, 1 << 30).unwrap();
    let module = Module::read(&bytes).ok();
    let subject = Candidate { bytes: &bytes, module: module.as_ref(), packing: Some(&packing) };
    predict(&subject, kernel, &LoadOptions { force, alone: true, loader, ..LoadOptions::default() })
}

fn xz(bytes: &[u8], check: Check) -> Vec<u8> {
    let mut filters = Filters::new();
    filters.lzma2(&LzmaOptions::new_preset(1).unwrap());
    let mut stream = Stream::new_stream_encoder(&filters, check).unwrap();
    let mut packed = Vec::with_capacity(bytes.len() + 1024);
    stream.process_vec(bytes, &mut packed, liblzma::stream::Action::Finish).unwrap();
    packed
}

fn hello() -> Vec<u8> {
    fixture("modules/hello-4.ko")
}

/// The only finding about the compression: its result and its text.
fn finding(verdict: &Verdict) -> (StepResult, &str) {
    let mut found = verdict.findings.iter().filter(|finding| finding.step == LoaderStep::Container);
    let one = found.next().unwrap();
    assert!(found.next().is_none());
    (one.result, one.note.as_str())
}

#[test]
fn what_every_loader_takes_is_accepted() {
    let file = Container::Xz.compress(&hello()).unwrap();
    let verdict = judged(&file, &unpacking(), Loader::Any, Force::None);
    assert_accepted(&verdict, "OE", &LINES);
    let words = "compressed (xz); kmod up to 30 unpacks it; kmod from 31 on lets the kernel unpack it";
    assert_eq!(finding(&verdict), (StepResult::Pass, words));
}

#[test]
fn a_check_that_the_kernel_does_not_know_depends_on_the_loader() {
    for (check, name) in [(Check::Crc64, "CRC64"), (Check::Sha256, "SHA-256")] {
        let file = xz(&hello(), check);
        let with = |loader| judged(&file, &unpacking(), loader, Force::None);
        assert_accepted(&with(Loader::Kmod30), "OE", &LINES);
        for loader in [Loader::Kmod31, Loader::Kmod34, Loader::Kernel] {
            let verdict = with(loader);
            assert_refused(&verdict, LoaderStep::Container, EINVAL, &["decompression failed with status 6"]);
            let (result, words) = finding(&verdict);
            assert_eq!(result, StepResult::Fail);
            assert!(words.contains(name) && words.contains("xz --check=crc32 --lzma2=dict=1MiB"), "{words}");
        }
        let any = with(Loader::Any);
        assert_unknown(
            &any,
            &["kmod up to 30 unpacks it, accepted", "decompression failed with status 6", "kmod --version"],
        );
        assert!(any.dmesg.is_empty());
    }
}

#[test]
fn a_kernel_that_does_not_unpack_leaves_it_to_every_kmod() {
    let file = xz(&hello(), Check::Crc64);
    let kernel = with_option(debian("6.1.0"), "MODULE_DECOMPRESS", false);
    assert_accepted(&judged(&file, &kernel, Loader::Any, Force::None), "OE", &LINES);
    assert_refused(&judged(&file, &kernel, Loader::Kernel, Force::None), LoaderStep::Container, EOPNOTSUPP, &[]);
    let old = with_option(debian("5.10.0"), "MODULE_DECOMPRESS", false);
    assert_refused(&judged(&file, &old, Loader::Kernel, Force::None), LoaderStep::Container, EINVAL, &[]);
}

#[test]
fn the_kernel_reads_only_the_first_stream() {
    let hello = hello();
    let (half, rest) = hello.split_at(hello.len() / 2);
    let two = [xz(half, Check::Crc32), xz(rest, Check::Crc32)].concat();
    assert_accepted(&judged(&two, &unpacking(), Loader::Kmod30, Force::None), "OE", &LINES);
    let lines = ["Invalid ELF section header overflow"];
    assert_refused(&judged(&two, &unpacking(), Loader::Kmod31, Force::None), LoaderStep::Elf, ENOEXEC, &lines);
    let followed = [xz(&hello, Check::Crc32), b"something else".to_vec()].concat();
    assert_accepted(&judged(&followed, &unpacking(), Loader::Kmod31, Force::None), "OE", &LINES);
    assert_refused(&judged(&followed, &unpacking(), Loader::Kmod30, Force::None), LoaderStep::Container, EINVAL, &[]);
}

#[test]
fn kmod_34_wants_one_zstd_frame_that_says_its_size() {
    let hello = hello();
    let (half, rest) = hello.split_at(hello.len() / 2);
    let whole = Container::Zstd.compress(&hello).unwrap();
    let two = [half, rest].map(|part| Container::Zstd.compress(part).unwrap()).concat();
    let mut piped = zstd::bulk::Compressor::new(3).unwrap();
    piped.include_contentsize(false).unwrap();
    let piped = piped.compress(&hello).unwrap();
    assert_accepted(&judged(&whole, &unpacking(), Loader::Any, Force::None), "OE", &LINES);
    for file in [two, piped] {
        assert_accepted(&judged(&file, &unpacking(), Loader::Kmod31, Force::None), "OE", &LINES);
        assert_refused(&judged(&file, &unpacking(), Loader::Kmod34, Force::None), LoaderStep::Container, EINVAL, &[]);
        assert_eq!(judged(&file, &unpacking(), Loader::Any, Force::None).answer, Decision::Unknown);
    }
    let line = "not an xz compressed module";
    assert_refused(&judged(&whole, &unpacking(), Loader::Kernel, Force::None), LoaderStep::Container, EINVAL, &[line]);
}

#[test]
fn what_no_loader_takes_is_refused_though_each_has_its_own_reason() {
    let mut other = hello();
    let at = memchr::memmem::find(&other, b" SMP ").unwrap();
    other[at + 1] = b'X';
    let (half, rest) = other.split_at(other.len() / 2);
    let two = |packed: fn(&[u8]) -> Vec<u8>| [packed(half), packed(rest)].concat();
    let zstd = judged(&two(|part| Container::Zstd.compress(part).unwrap()), &unpacking(), Loader::Any, Force::None);
    assert_eq!((zstd.answer, zstd.errno, zstd.dmesg.len()), (Decision::Refused, None, 0), "{zstd:#?}");
    assert_eq!(zstd.errnos, [EINVAL, ENOEXEC]);
    let (result, words) = finding(&zstd);
    assert_eq!(result, StepResult::Fail);
    assert!(words.contains("kmod up to 33 unpacks it, ENOEXEC; kmod from 34 on does not take it"), "{words}");
    // One refuses because of the version magic, the other because of half an ELF file: the errno is the same.
    let xz = judged(&two(|part| xz(part, Check::Crc32)), &unpacking(), Loader::Any, Force::None);
    assert_eq!((xz.answer, xz.errno, xz.dmesg.len()), (Decision::Refused, Some(ENOEXEC), 0), "{xz:#?}");
}

#[test]
fn forced_by_kmod_30_a_signed_module_is_one_that_was_changed() {
    let mut kernel = with_option(unpacking(), "MODULE_FORCE_LOAD", true);
    kernel.facts.keys = Some(crate::predict::signed::known());
    let file = Container::Xz.compress(&fixture("modules/hello-4-signed.ko")).unwrap();
    let with = |loader| judged(&file, &kernel, loader, Force::Both);
    assert_refused(&with(Loader::Kmod30), LoaderStep::Signature, EKEYREJECTED, &[]);
    let forced = with(Loader::Kmod31);
    assert_eq!((forced.answer, forced.taint.as_deref()), (Decision::Accepted, Some("FOE")));
    assert_unknown(&with(Loader::Any), &["edits the image, but leaves the trailer on, EKEYREJECTED"]);
}

#[test]
fn gzip_depends_on_how_kmod_was_built() {
    let file = Container::Gzip.compress(&hello()).unwrap();
    assert_unknown(
        &judged(&file, &unpacking(), Loader::Any, Force::None),
        &["every kmod may take it: is it built with zlib?"],
    );
}

#[test]
fn what_any_decoder_reads_is_decided_without_knowing_whether_the_kernel_has_one() {
    let mut kernel = debian("6.1.0");
    let config = kernel.facts.config.take();
    let plain = Container::Xz.compress(&hello()).unwrap();
    let (result, words) = {
        let verdict = judged(&plain, &kernel, Loader::Any, Force::None);
        let (result, words) = finding(&verdict);
        (result, words.to_owned())
    };
    assert_eq!(result, StepResult::Pass, "{words}");
    let crc64 = judged(&xz(&hello(), Check::Crc64), &kernel, Loader::Any, Force::None);
    assert_unknown(&crc64, &["does the kernel unpack modules itself?"]);
    assert!(config.is_some());
}
