//! Work on many items on all cores: on a list ([`map`], [`map_files`]), or on a stream whose items do not fit into memory
//! ([`in_order`] with a state per thread; [`each_in_order`] for small items whose number is known).

mod batch;
mod ordered;

pub(crate) use batch::{both, fold, map, map_files, threads};
pub(crate) use ordered::each_in_order;
pub use ordered::in_order;
