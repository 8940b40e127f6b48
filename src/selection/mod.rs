//! Which module files a request is about.

mod files;
mod recorded;

pub use files::FileSelection;
pub use recorded::{JournalSelector, RecordedSelection, SearchedDirectory, SelectedModule};
