//! Work on many items on all cores.

mod ordered;

pub use ordered::in_order;
