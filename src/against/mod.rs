//! Modules compared with a kernel's own: which are as the distribution built them, and how the others differ.
//!
//! `relation` compares two files and needs no other input; `originals` streams the modules of a kernel; `pairing` finds the
//! files that belong to each of them, on all cores and with bounded memory; `report` is the result for a selection of files,
//! and `words` says it.

mod originals;
mod pairing;
mod relation;
mod report;
mod words;

pub(crate) use originals::{OriginalStream, Originals};
pub(crate) use pairing::{Pair, PairInMemory, PairedFiles, each_pair};
pub use relation::{OriginalComparison, RelationToOriginal, compare_stored};
pub use report::{AgainstReport, AgainstRequest, ComparedModule, compare_with};
