//! The minimum that a scan of compressed modules needs: reads each file in a folder and decompresses it, with the
//! libraries that kmodlab uses, on all cores. The output is discarded.
//!
//!     cargo run --release --example decompress -- FOLDER

#![allow(clippy::print_stdout, reason = "it is a program of its own")]

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use anyhow::Context;

fn main() -> anyhow::Result<()> {
    let folder = std::env::args_os().nth(1).context("usage: decompress FOLDER")?;
    let files: Vec<PathBuf> = walkdir::WalkDir::new(folder)
        .sort_by_file_name()
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file() && entry.file_name().to_string_lossy().contains(".ko"))
        .map(walkdir::DirEntry::into_path)
        .collect();
    let (next, bytes) = (AtomicUsize::new(0), AtomicU64::new(0));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        let work = || -> anyhow::Result<()> {
            let (mut stored, mut chunk) = (Vec::new(), vec![0; 1 << 16]);
            while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                let size = decompress(path, &mut stored, &mut chunk);
                bytes.fetch_add(size.with_context(|| path.display().to_string())?, Ordering::Relaxed);
            }
            Ok(())
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a thread died"))?)
    })?;
    println!("{} files, {} bytes decompressed", files.len(), bytes.into_inner());
    Ok(())
}

fn decompress(path: &Path, stored: &mut Vec<u8>, chunk: &mut [u8]) -> anyhow::Result<u64> {
    stored.clear();
    std::fs::File::open(path)?.read_to_end(stored)?;
    let stored = stored.as_slice();
    let mut decoder: Box<dyn Read + '_> = match stored {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::GzDecoder::new(stored)),
        [0xfd, b'7', ..] => Box::new(liblzma::bufread::XzDecoder::new(stored)),
        [0x28, 0xb5, ..] => Box::new(zstd::stream::read::Decoder::with_buffer(stored)?),
        _ => Box::new(stored),
    };
    let mut size = 0;
    loop {
        match decoder.read(chunk)? {
            0 => return Ok(size),
            read => size += read as u64,
        }
    }
}
