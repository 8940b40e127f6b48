//! Promise: an export brings backups and journal to another machine, byte for byte, or is refused.
//!
//! - `moving`: a lost state comes back; journals are merged, or nothing is written
//! - `changed`: an export with any byte changed is refused
//! - `forged`: archives that this program never writes are refused, whatever is in them
//! - `parts`: a journal that was repaired moves with all of its parts
//! - `signed`: signatures of exports, by this program and by ssh-keygen
//! - `damage`: damaged backups and journals cost only themselves
//!
//! ```text
//! cargo test --test suite export:: -- --nocapture      prints what was counted
//! cargo test --test suite export:: -- --include-ignored  with those that need ssh-keygen (tests/run)
//! ```

mod changed;
mod damage;
mod forged;
mod machine;
mod moving;
mod parts;
mod signed;
