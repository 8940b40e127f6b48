//! A patch: a change of the module file itself. The plan is pure; applying it is the vault's protocol.

pub mod apply;
pub mod plan;
pub mod sign;

pub use plan::{Mode, Plan, Request, Signature, Wish};
