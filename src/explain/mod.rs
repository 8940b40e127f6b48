//! Explains what a person has of a module that does not load: lines of logs and programs, names of errors and kernels.
//!
//! It is [`crate::predict`] in reverse: each line that a rule can print is recognised by the template that writes it. Related
//! lines form one story. A line that is not known is reported as unknown. Pure, except for `input` and `running`.
//!
//! - `prefix`: what logs put before a line
//! - `known`: recognises a line; the lines are in `loader`, `relocation`, `signature`, `program` and `oops`, one subject each
//! - `error_name`, `kernel_name`: errors and kernels by their names
//! - `explanation`: takes the lines one by one
//! - `draft`, `joiner`: keep lines, and join related ones; `story`: what they mean together
//! - `input`: reads lines; `running`: those of the running kernel's log

mod draft;
mod error_name;
mod explanation;
mod input;
mod joiner;
mod kernel_name;
mod known;
mod loader;
mod oops;
mod prefix;
mod program;
mod relocation;
mod report;
mod running;
mod signature;
mod story;

pub use explanation::{Explanation, explain};
pub use input::{explain_arguments, explain_running};
pub use report::{ExactFact, ExplainReport, ExplainedLine, NextStep, Outcome, StatedFact, Story, UnknownLine};
