//! A patch: a change of the module file itself. Pure: bytes and a request in, a plan out.

pub mod plan;
mod repack;
pub mod request;
pub mod sign;
mod strings;
mod versions;

pub use plan::Plan;
pub(crate) use plan::PlanDraft;
pub use request::{Mark, Mode, NewVermagic, Request, Signature};
pub use strings::MARK;
pub use versions::{Modversions, Versioned};
