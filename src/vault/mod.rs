//! The vault: the folder of backups and the journal, the write protocol, recovery and restore.
//!
//! ```text
//! STATE/
//!   lock            flock(2) is taken on it by whoever writes
//!   journal.jsonl   one line an operation, hash-chained
//!   objects/        backups, each under its SHA-256; compressed ones end with .zst
//!   intents/        what is being written right now, a file a group; empty when nobody writes
//!   lab-machine.json   there only on an enrolled lab machine
//! ```
//!
//! All of it can be read with `cat` and given back with `cp` when this program is not at hand.

mod append;
mod beneath;
mod disk;
pub mod forget;
pub mod group;
pub mod history;
pub mod index;
mod intent;
pub mod inventory;
pub mod journal;
mod layout;
pub mod metadata;
pub mod objects;
pub mod obstacle;
mod reader;
pub mod record;
pub mod recovered;
mod recovery;
pub mod reports;
pub mod restore;
mod segment;
mod staging;
pub mod standing;
pub mod target;
mod write;
mod writer;

pub use intent::Intent;
pub use reader::Vault;
pub use writer::Writer;
