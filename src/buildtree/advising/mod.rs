//! What to change in a tree so that its modules match a kernel, and what to type.
//!
//! - [`fix`]: a change and its reason; [`fixes`]: which ones, each tried on a draft of the tree; [`edits`]: those that edit
//!   text files
//! - [`abi_options`]: options that change the binary interface without changing the vermagic
//! - [`distribution`]: the distribution that built a kernel, and the package with its headers
//! - [`missing`]: what the tree lacks for a build; [`commands`]: the commands that provide it

pub mod abi_options;
pub(super) mod architecture;
pub mod commands;
pub mod distribution;
pub mod edits;
pub mod fix;
pub mod fixes;
pub mod missing;
