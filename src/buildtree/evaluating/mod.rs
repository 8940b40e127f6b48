//! The vermagic of the modules that a tree builds: current, and after the next build.
//!
//! - [`release`]: the two releases, and the parts of the second; pure
//! - [`header`]: the vermagic that the tree's headers define; `arguments`: what the makefiles pass to the compiler; pure
//! - [`prediction`]: a vermagic, each token with the lines that it comes from
//! - [`draft`]: a tree with changes applied to a copy of its values, and the prediction for it
//! - [`current`]: the two predictions for the tree as it is
//! - [`test_build`]: builds a module with the tree, to check the prediction

pub mod current;
pub mod draft;
pub mod header;
pub mod prediction;
pub mod release;
pub mod test_build;
