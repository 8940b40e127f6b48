//! The work that one question may cost: every byte that a decompressor reads or writes is counted, in failed attempts too.
//!
//! A small file may hold many streams, streams in streams, and streams that expand a thousandfold and then turn out to be
//! damaged. Limits per stream do not bound their sum. So each question (one kernel, one module, one package that is scanned) has
//! one [`WorkBudget`], which is passed down to every decompressor:
//!
//! ```text
//! allowed = max(minimum, 64 × bytes of the files that are read) × max(1, max_size / 1 GiB)
//! minimum = 40 MiB; of a module in a file of its own, 256 × its bytes, and from 2 to 40 MiB
//! spent   = Σ over all attempts, successful or not: 64 KiB + bytes read + bytes written
//!         + Σ over all files in packages that are read: 16 KiB; over all images: 64 KiB
//! ```
//!
//! A decompressor's memory is bounded by the same: of its window or dictionary it touches no more than it has written.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::{Error, ErrorKind, Remedy, Result};

/// The default limit for the decompressed size of a file, in bytes: 1 GiB.
pub const DEFAULT_MAX_SIZE: u64 = 1 << 30;

/// The work that any question may cost, however small its files are, in bytes.
const MINIMUM: u64 = 40 << 20;

/// The same for a module in a file of its own, in bytes: a folder may have very many, and each has its own budget.
const MODULE_MINIMUM: u64 = 2 << 20;

/// The work that each byte of a small module allows, in bytes. Modules shrink to a tenth at best.
const MODULE_FACTOR: u64 = 256;

/// The work that each byte of a file allows, in bytes. A package of headers becomes thirty times as large; a package of a kernel
/// whose modules are compressed too costs about ten times its size.
const FACTOR: u64 = 64;

/// What the start of a decompressor costs, in bytes: its tables are allocated and cleared.
const ATTEMPT: u64 = 64 << 10;

/// What a file in a package costs that has facts, in bytes, however small it is: its facts are kept.
const FILE: u64 = 16 << 10;

/// What a part of a path in a package costs, in bytes: it is compared with the links. A path of 4 KiB has 2,000 parts at most, and xz
/// leaves a few bytes of it.
const PATH_PART: u64 = 16;

/// What an image costs, in bytes, however small it is: it is searched for many texts.
const IMAGE: u64 = 64 << 10;

/// How many compressed bytes a decompressor gets at a time, so that the budget is checked between them.
const STEP: usize = 64 << 10;

/// The work that one question may still cost. It is shared by threads.
#[derive(Debug)]
pub struct WorkBudget {
    max_size: u64,
    /// The work that is allowed without any file.
    minimum: u64,
    /// The bytes of the files that are read.
    input: AtomicU64,
    spent: AtomicU64,
    is_exhausted: AtomicBool,
}

impl WorkBudget {
    /// The budget of a question before any file is read. A single file may decompress to at most `max_size` bytes, and a
    /// `max_size` above [`DEFAULT_MAX_SIZE`] raises the budget in proportion.
    pub fn new(max_size: u64) -> WorkBudget {
        WorkBudget {
            max_size,
            minimum: MINIMUM,
            input: AtomicU64::new(0),
            spent: AtomicU64::new(0),
            is_exhausted: AtomicBool::new(false),
        }
    }

    /// The budget of a question about one file with so many bytes.
    pub fn of_file(size: usize, max_size: u64) -> WorkBudget {
        let budget = WorkBudget::new(max_size);
        budget.admit(size);
        budget
    }

    /// The budget of a question about one module with so many bytes.
    pub fn of_module(size: usize, max_size: u64) -> WorkBudget {
        let minimum = (size as u64).saturating_mul(MODULE_FACTOR).clamp(MODULE_MINIMUM, MINIMUM);
        WorkBudget { minimum, ..WorkBudget::of_file(size, max_size) }
    }

    /// Adds a file that the question is about. What was decompressed from another file does not count.
    pub fn admit(&self, size: usize) {
        self.input.fetch_add(size as u64, Ordering::Relaxed);
    }

    /// The greatest size of a single decompressed file, in bytes.
    pub fn max_size(&self) -> u64 {
        self.max_size
    }

    /// How much work the question may cost, in bytes.
    pub fn allowed(&self) -> u64 {
        let work = self.input.load(Ordering::Relaxed).saturating_mul(FACTOR).max(self.minimum);
        let scaled = u128::from(work) * u128::from(self.max_size.max(DEFAULT_MAX_SIZE)) / u128::from(DEFAULT_MAX_SIZE);
        u64::try_from(scaled).unwrap_or(u64::MAX)
    }

    /// How much work was done, in bytes.
    pub fn spent(&self) -> u64 {
        self.spent.load(Ordering::Relaxed)
    }

    /// Counts work that was done, or that is about to be done.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooMuchWork`] if it exceeds the budget; then nothing more may be decompressed for this question.
    pub fn spend(&self, bytes: u64) -> Result<()> {
        // It never wraps: work is refused long before.
        if self.spent.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > self.allowed() {
            self.is_exhausted.store(true, Ordering::Relaxed);
        }
        self.check()
    }

    /// Counts a file in a package that is about to be read.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooMuchWork`].
    pub(crate) fn spend_file(&self) -> Result<()> {
        self.spend(FILE)
    }

    /// Counts a path in a package, of this many parts.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooMuchWork`].
    pub(crate) fn spend_path(&self, parts: usize) -> Result<()> {
        self.spend((parts as u64).saturating_mul(PATH_PART))
    }

    /// Counts an image that is about to be read.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooMuchWork`].
    pub(crate) fn spend_image(&self) -> Result<()> {
        self.spend(IMAGE)
    }

    /// Is the budget not exhausted? A reader that skips damaged files asks at its end.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooMuchWork`].
    pub fn check(&self) -> Result<()> {
        if !self.is_exhausted.load(Ordering::Relaxed) {
            return Ok(());
        }
        let what = format!(
            "decompressing takes more than {} bytes of work, the limit for {} bytes of input",
            self.allowed(),
            self.input.load(Ordering::Relaxed)
        );
        Err(Error::new(ErrorKind::TooMuchWork, what).remedy(Remedy::RaiseWorkLimit))
    }

    /// The bytes of a stream, for a decompressor that starts now. Whatever it reads is counted, and `rest` has what is left.
    pub(crate) fn attempt<'a, 's>(&'a self, rest: &'a Cell<&'s [u8]>) -> StreamAttempt<'a, 's> {
        // A budget that this exhausts fails the first read.
        let _ = self.spend(ATTEMPT);
        StreamAttempt { rest, budget: self, may_have_holes: true }
    }

    /// Counts whatever a decompressor writes.
    pub(crate) fn meter<R>(&self, decompressor: R) -> MeteredOutput<'_, R> {
        MeteredOutput { decompressor, budget: self }
    }
}

fn exhausted() -> io::Error {
    io::ErrorKind::QuotaExceeded.into()
}

/// The compressed bytes of one attempt.
pub(crate) struct StreamAttempt<'a, 's> {
    rest: &'a Cell<&'s [u8]>,
    budget: &'a WorkBudget,
    may_have_holes: bool,
}

impl StreamAttempt<'_, '_> {
    /// The same for a format in which no compressor writes 64 KiB of zeros: they are a hole in a sparse file, which has as many
    /// compressed bytes as somebody likes and takes no space on a disk. (In gzip a program may store bytes as they are.)
    pub(crate) fn without_holes(self) -> Self {
        StreamAttempt { may_have_holes: false, ..self }
    }
}

impl BufRead for StreamAttempt<'_, '_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.budget.check().map_err(|_| exhausted())?;
        let rest = self.rest.get();
        let Some(step) = rest.get(..STEP) else { return Ok(rest) };
        match self.may_have_holes || step.iter().any(|byte| *byte != 0) {
            true => Ok(step),
            false => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn consume(&mut self, read: usize) {
        self.rest.set(self.rest.get().get(read..).unwrap_or_default());
        // The next read fails.
        let _ = self.budget.spend(read as u64);
    }
}

impl Read for StreamAttempt<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

/// A decompressor whose output is counted.
pub(crate) struct MeteredOutput<'b, R> {
    decompressor: R,
    budget: &'b WorkBudget,
}

impl<R: Read> Read for MeteredOutput<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let step = buffer.len().min(STEP);
        let written = self.decompressor.read(buffer.get_mut(..step).unwrap_or_default())?;
        self.budget.spend(written as u64).map_err(|_| exhausted())?;
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_budget_grows_with_the_input_and_with_the_size_limit() {
        let allowed = |size: usize, max_size: u64| WorkBudget::of_file(size, max_size).allowed();
        assert_eq!(
            [0, 1, 700_000, 1 << 20, 40 << 20].map(|size| allowed(size, DEFAULT_MAX_SIZE) / MIB),
            [40, 40, 42, 64, 2560]
        );
        assert_eq!([1 << 10, 1 << 30, 2 << 30, 4 << 30].map(|max| allowed(1 << 20, max) / MIB), [64, 64, 128, 256]);
        assert_eq!(allowed(usize::MAX, u64::MAX), u64::MAX);
        let of_module = |size: usize| WorkBudget::of_module(size, DEFAULT_MAX_SIZE).allowed() / MIB;
        assert_eq!([0, 1 << 10, 32 << 10, 160 << 10, 1 << 20].map(of_module), [2, 2, 8, 40, 64]);
    }

    #[test]
    fn files_of_one_question_have_one_budget() {
        let budget = WorkBudget::new(DEFAULT_MAX_SIZE);
        for _ in 0..1000 {
            budget.admit(1000);
        }
        assert_eq!(budget.allowed(), 64_000_000);
        budget.spend(64_000_000).unwrap();
        let error = budget.spend(1).unwrap_err();
        assert_eq!((error.kind(), error.suggested()), (ErrorKind::TooMuchWork, Some(&Remedy::RaiseWorkLimit)));
        assert_eq!(
            error.what(),
            "decompressing takes more than 64000000 bytes of work, the limit for 1000000 bytes of input"
        );
        // Whoever asks later gets the same answer, whatever became of the first.
        assert_eq!(budget.check().unwrap_err().kind(), ErrorKind::TooMuchWork);
    }

    #[test]
    fn failed_attempts_count() {
        let budget = WorkBudget::new(DEFAULT_MAX_SIZE);
        let mut packed = Vec::new();
        let mut encoder = flate2::write::GzEncoder::new(&mut packed, flate2::Compression::best());
        std::io::Write::write_all(&mut encoder, &vec![0; 4 << 20]).unwrap();
        encoder.finish().unwrap();
        // A wrong checksum shows after the last byte.
        let at = packed.len() - 6;
        packed[at] ^= 1;
        let before = budget.spent();
        let rest = Cell::new(packed.as_slice());
        let mut out = Vec::new();
        let decoder = flate2::bufread::GzDecoder::new(budget.attempt(&rest));
        budget.meter(decoder).read_to_end(&mut out).unwrap_err();
        assert_eq!(budget.spent() - before, ATTEMPT + packed.len() as u64 + (4 << 20));
    }

    #[test]
    fn a_hole_in_a_stream_ends_it() {
        let budget = WorkBudget::new(DEFAULT_MAX_SIZE);
        let sparse = [vec![1; 3 * STEP], vec![0; 2 * STEP]].concat();
        for (most, is_whole) in [(2 * STEP, false), (STEP - 1, true)] {
            let rest = Cell::new(&sparse[..3 * STEP + most]);
            let read = std::io::copy(&mut budget.attempt(&rest).without_holes(), &mut std::io::sink());
            assert_eq!(read.is_ok(), is_whole, "{read:?}");
        }
        let rest = Cell::new(sparse.as_slice());
        assert_eq!(std::io::copy(&mut budget.attempt(&rest), &mut std::io::sink()).unwrap(), sparse.len() as u64);
    }

    #[test]
    fn an_exhausted_budget_ends_each_stream_at_its_next_step() {
        let budget = WorkBudget::new(DEFAULT_MAX_SIZE);
        let zeros = vec![0; 64 << 20];
        let rest = Cell::new(zeros.as_slice());
        let mut plain = budget.attempt(&rest);
        let read = std::io::copy(&mut plain, &mut std::io::sink());
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
        assert!(budget.spent() <= budget.allowed() + STEP as u64, "{budget:?}");
        let (start, rest) = (rest.get().len(), Cell::new(zeros.as_slice()));
        assert!(budget.attempt(&rest).read(&mut [0; 8]).is_err());
        assert_eq!((rest.get().len(), start < zeros.len()), (zeros.len(), true));
    }
}
