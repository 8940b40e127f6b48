//! Which module files a request is about.

mod files;

pub use files::FileSelection;
