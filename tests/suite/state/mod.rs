//! Promise: only the effective user can make this program write, remove or change anything through the contents of the state
//! folder.
//!
//! - `damage`: each byte and line of the journal, and each file, damaged; what is intact is restored
//! - `ownership`: each file and folder of the state as another user could have left it, or in another wrong form, with each command
//! - `forged`: intents and journal lines with names that this program never writes
//! - `foreign`: files that the program did not create
//! - `others`: another user's state is read with an explicit option, and never written
//! - `unwritable`: a journal to which nothing can be appended
//! - `spans`: recovery writes old bytes only over old and new bytes
//!
//! ```text
//! cargo test --test suite state:: -- --nocapture                   prints what was counted
//! cargo test --test suite state:: -- --include-ignored             with those that need root (tests/run)
//! ```

mod damage;
mod foreign;
mod forged;
mod others;
mod ownership;
mod scene;
mod spans;
mod unwritable;
