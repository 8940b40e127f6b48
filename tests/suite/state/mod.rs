//! Promise: nobody but the effective user can make this program write, remove or change anything by what lies in the state
//! folder.
//!
//! - `ownership`: each file and folder of the state, as another user could have left it, for each command
//! - `forged`: intents and journal lines that name what this program never would
//! - `foreign`: files that the program did not create
//! - `spans`: recovery writes old bytes over nothing but old and new ones
//!
//! ```text
//! cargo test --test suite state:: -- --nocapture                   prints what was counted
//! cargo test --test suite state:: -- --include-ignored             with those that need root (tests/run)
//! ```

mod foreign;
mod forged;
mod ownership;
mod scene;
mod spans;
