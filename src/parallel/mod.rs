//! Work on many items on all cores: on a list ([`map`], [`map_files`]), or on a stream whose items do not fit into memory
//! ([`in_order`]).

mod batch;
mod ordered;

pub(crate) use batch::{both, fold, map, map_files, threads};
pub(crate) use ordered::each_in_order;
pub use ordered::in_order;
