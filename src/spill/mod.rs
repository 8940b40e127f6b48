//! Collections for more items than memory should hold. They stay in memory while they are small and spill into files without a
//! name, so that a batch of very many modules takes no more memory than a batch of some hundred.
//!
//! - [`Spool`]: items in the order in which they were added
//! - [`Sorter`]: items in ascending order, by an external merge sort
//! - [`multimap`]: numbers by key
//! - [`table`]: records of one size by number

pub(crate) mod multimap;
mod sorter;
mod spool;
pub(crate) mod table;

pub(crate) use sorter::Sorter;
pub(crate) use spool::{Spool, SpooledPath, path_bytes};
