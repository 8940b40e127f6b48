//! The vault: the folder of backups and the journal, the write protocol, recovery and restore.
//!
//! ```text
//! STATE/
//!   lock            the writer holds its flock(2)
//!   journal.jsonl   one line per operation, hash-chained
//!   journal.copy.jsonl   its copy; journal.1.jsonl and so on: parts that a repair closed
//!   objects/        backups, each named by its SHA-256; compressed ones end with .zst
//!   intents/        announced writes, one file per batch; empty while nothing is written
//!   lab-machine.json   only on an enrolled lab machine
//! ```
//!
//! Without this program, `cat` reads all of it and `cp` restores a backup.
//!
//! The files of this layer, from the ground up: `record` and `metadata` (the schema of the journal; pure), `history` (what its lines mean;
//! pure), `disk` and `beneath` (durable writes, opening without links), `users` and `run`
//! (who does it), `places` (where state folders are), `system_root`
//! (the root folder of another system), `layout` (the parts of the state folder); the journal: `damage`,
//! `journal`, `append`, `survey`, `parts`; `intent` and `segment`, `objects` and `staging`, `mark` (what leads a module to its backup
//! without the journal), `target` and `obstacle` (the file to write), `write` (one file's part of the protocol), `reader` ([`Vault`]),
//! `log`, `index`, `standing`, `audit`, `inventory`, `reports`, `writer` ([`Writer`]), `group` (the write protocol), `restore`, `extract`,
//! `forget`, `repair`, `recovery`; `archive` (the file in which a vault moves to another machine), `export`, `import`, `signature`.

mod append;
mod archive;
pub(crate) mod audit;
mod beneath;
pub mod damage;
pub(crate) mod disk;
pub mod export;
pub(crate) mod extract;
pub mod forget;
pub mod group;
pub mod history;
pub mod import;
pub mod index;
mod intact;
mod intent;
pub mod inventory;
pub mod journal;
mod layout;
pub(crate) mod log;
pub mod mark;
pub mod metadata;
pub mod objects;
pub mod obstacle;
mod parts;
pub(crate) mod places;
mod reader;
pub mod record;
pub mod recovered;
mod recovery;
pub mod repair;
pub mod reports;
pub mod restore;
mod run;
pub mod segment;
pub mod signature;
mod staging;
pub mod standing;
mod survey;
pub(crate) mod system_root;
pub mod target;
mod users;
mod write;
mod writer;

pub use intent::Intent;
pub use reader::Vault;
pub use writer::Writer;
