//! One module in each form that a compressed file can have: streams, frames, members, checks, filters, dictionaries, trailing
//! data, contents. Each can be recognised from the file, and none is damaged in a way that would make a kernel fail for another
//! reason.

use std::io::{Read, Write};

use flate2::{Compression, GzBuilder};
use liblzma::stream::{Action, Check, Filters, LzmaOptions, Stream};

/// A file, with the suffix of its name.
pub(crate) struct Packed {
    pub(crate) what: String,
    pub(crate) ending: &'static str,
    pub(crate) bytes: Vec<u8>,
}

/// A setter of one filter.
type Filter = fn(&mut Filters) -> &mut Filters;

const FILTERS: [(&str, Filter); 9] = [
    ("x86", Filters::x86),
    ("arm", Filters::arm),
    ("armthumb", Filters::arm_thumb),
    ("arm64", Filters::arm64),
    ("powerpc", Filters::powerpc),
    ("sparc", Filters::sparc),
    ("ia64", Filters::ia64),
    ("riscv", Filters::riscv),
    ("delta", |filters| filters.delta_properties(&[0]).unwrap()),
];

fn xz_with(bytes: &[u8], check: Check, dictionary: u32, filter: Option<Filter>, blocks: usize) -> Vec<u8> {
    let mut options = LzmaOptions::new_preset(1).unwrap();
    options.dict_size(dictionary);
    let mut filters = Filters::new();
    if let Some(filter) = filter {
        filter(&mut filters);
    }
    filters.lzma2(&options);
    let mut stream = Stream::new_stream_encoder(&filters, check).unwrap();
    let mut packed = Vec::with_capacity(bytes.len() + 4096);
    let size = bytes.len().div_ceil(blocks).max(1);
    for block in bytes.chunks(size) {
        let begun = stream.total_in();
        loop {
            let done = (stream.total_in() - begun) as usize;
            packed.reserve(4096);
            let action = if blocks > 1 { Action::FullFlush } else { Action::Run };
            let status = stream.process_vec(&block[done..], &mut packed, action).unwrap();
            let is_done = (stream.total_in() - begun) as usize == block.len();
            if is_done && (blocks == 1 || matches!(status, liblzma::stream::Status::StreamEnd)) {
                break;
            }
        }
    }
    while !matches!(stream.process_vec(&[], &mut packed, Action::Finish).unwrap(), liblzma::stream::Status::StreamEnd) {
        packed.reserve(4096);
    }
    packed
}

/// Compresses as kernels require.
pub(crate) fn xz(bytes: &[u8]) -> Vec<u8> {
    xz_with(bytes, Check::Crc32, 1 << 20, None, 1)
}

/// Compresses like `xz` without options.
pub(crate) fn xz_crc64(bytes: &[u8]) -> Vec<u8> {
    xz_with(bytes, Check::Crc64, 8 << 20, None, 1)
}

fn zstd_with(bytes: &[u8], sized: bool, window: Option<u32>) -> Vec<u8> {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    if let Some(window) = window {
        encoder.window_log(window).unwrap();
    }
    if sized {
        encoder.set_pledged_src_size(Some(bytes.len() as u64)).unwrap();
    }
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Compresses like `zstd` with a file as its input.
pub(crate) fn zstd_file(bytes: &[u8]) -> Vec<u8> {
    zstd_with(bytes, true, None)
}

fn gzip(bytes: &[u8], name: Option<&str>) -> Vec<u8> {
    let mut builder = GzBuilder::new();
    if let Some(name) = name {
        builder = builder.filename(name);
    }
    let mut packed = Vec::new();
    builder.read(bytes, Compression::new(6)).read_to_end(&mut packed).unwrap();
    packed
}

/// All forms of a signed module's bytes.
pub(crate) fn all(bytes: &[u8]) -> Vec<Packed> {
    let mut all = Vec::new();
    let mut add = |what: &str, ending: &'static str, bytes: Vec<u8>| {
        all.push(Packed { what: what.to_owned(), ending, bytes });
    };
    let (half, rest) = bytes.split_at(bytes.len() / 2);
    add("plain", ".ko", bytes.to_vec());

    for (what, check) in
        [("no check", Check::None), ("CRC32", Check::Crc32), ("CRC64", Check::Crc64), ("SHA-256", Check::Sha256)]
    {
        add(&format!("xz, {what}"), ".ko.xz", xz_with(bytes, check, 1 << 20, None, 1));
    }
    for dictionary in [1 << 16, 8 << 20, 64 << 20] {
        let packed = xz_with(bytes, Check::Crc32, dictionary, None, 1);
        add(&format!("xz, dictionary of {} KiB", dictionary >> 10), ".ko.xz", packed);
    }
    for (name, filter) in FILTERS {
        let packed = xz_with(bytes, Check::Crc32, 1 << 20, Some(filter), 1);
        add(&format!("xz, filter {name}"), ".ko.xz", packed);
    }
    add("xz, CRC64, filter x86", ".ko.xz", xz_with(bytes, Check::Crc64, 1 << 20, Some(Filters::x86), 1));
    add("xz, three blocks", ".ko.xz", xz_with(bytes, Check::Crc32, 1 << 20, None, 3));
    add("xz, three blocks, CRC64", ".ko.xz", xz_with(bytes, Check::Crc64, 1 << 20, None, 3));
    let good = xz(bytes);
    add("xz, two streams", ".ko.xz", [xz(half), xz(rest)].concat());
    add("xz, two streams, padding between", ".ko.xz", [xz(half), vec![0; 8], xz(rest)].concat());
    add("xz, two streams, the second empty", ".ko.xz", [good.clone(), xz(b"")].concat());
    add("xz, two streams, the second CRC64", ".ko.xz", [good.clone(), xz_crc64(b"")].concat());
    add("xz, two streams, the first empty", ".ko.xz", [xz(b""), good.clone()].concat());
    add("xz, the module twice", ".ko.xz", [good.clone(), good.clone()].concat());
    add("xz, padding", ".ko.xz", [good.clone(), vec![0; 512]].concat());
    add("xz, padding of an odd length", ".ko.xz", [good.clone(), vec![0; 6]].concat());
    add("xz, followed by other bytes", ".ko.xz", [good.as_slice(), b"something else"].concat());
    add("xz, followed by a signature", ".ko.xz", [good.as_slice(), &bytes[bytes.len() - 600..]].concat());
    add("xz, nothing inside", ".ko.xz", xz(b""));
    add("xz, cut short", ".ko.xz", good[..good.len() / 2].to_vec());

    let good = zstd_file(bytes);
    add("zstd", ".ko.zst", good.clone());
    add("zstd, without content size", ".ko.zst", zstd_with(bytes, false, None));
    add("zstd, window of 8 MiB", ".ko.zst", zstd_with(bytes, false, Some(23)));
    add("zstd, two frames", ".ko.zst", [zstd_file(half), zstd_file(rest)].concat());
    add("zstd, two frames, the second empty", ".ko.zst", [good.clone(), zstd_file(b"")].concat());
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"skip"].concat();
    add("zstd, followed by a skippable frame", ".ko.zst", [good.clone(), skippable].concat());
    add("zstd, padding", ".ko.zst", [good.clone(), vec![0; 16]].concat());
    add("zstd, followed by other bytes", ".ko.zst", [good.as_slice(), b"something else"].concat());
    add("zstd, nothing inside", ".ko.zst", zstd_file(b""));
    add("zstd, cut short", ".ko.zst", good[..good.len() / 2].to_vec());

    let good = gzip(bytes, None);
    add("gzip", ".ko.gz", good.clone());
    add("gzip, with a name", ".ko.gz", gzip(bytes, Some("module.ko")));
    add("gzip, two members", ".ko.gz", [gzip(half, None), gzip(rest, None)].concat());
    add("gzip, padding", ".ko.gz", [good.clone(), vec![0; 16]].concat());

    // Different contents.
    let image = &bytes[..kmodlab::module::Module::read(bytes).unwrap().image_len()];
    let trailer = &bytes[image.len()..];
    for (what, inside) in [
        ("unsigned", image.to_vec()),
        ("zeros after the image", [image, &[0; 64]].concat()),
        ("other bytes after the image", [image, b"something else"].concat()),
        ("zeros after the signature", [bytes, &[0; 64]].concat()),
        ("zeros between image and signature", [image, &[0; 64], trailer].concat()),
    ] {
        add(&format!("plain, {what}"), ".ko", inside.clone());
        add(&format!("xz, {what}"), ".ko.xz", xz(&inside));
        add(&format!("xz CRC64, {what}"), ".ko.xz", xz_crc64(&inside));
        add(&format!("zstd, {what}"), ".ko.zst", zstd_file(&inside));
    }
    all
}
