//! The facts of a kernel, each with the source that it was read from.
//!
//! A kernel has the same name everywhere ([`KernelName`]): `running`, `vermagic:STRING`, an image, a folder, a package, a
//! module of that kernel, which has the same version magic, or several of these with `+` between them. Each kind of source
//! is a file in `source/`. Their facts are merged one by one. A missing fact is missing; it is never guessed.
//!
//! From the ground up: names, origins and values (`name`, `origin`, `tree`, `imports`, `facts`), readers of single files
//! (`image`, `symvers`, `system_map`, `config`), joining facts (`merge`, `gather`, `bundle`), the cache, the sources, and
//! `find`, which opens the sources of a name.

mod architecture;
mod bundle;
#[cfg(feature = "cache")]
mod cache;
#[cfg(feature = "cache")]
mod cached;
#[cfg(not(feature = "cache"))]
#[path = "uncached.rs"]
mod cached;
mod collect;
pub(crate) mod config;
mod derived;
mod facts;
pub mod files;
mod find;
mod gather;
pub mod image;
mod imports;
pub mod installed;
mod lookup;
mod merge;
mod model;
pub mod module_index;
mod name;
mod note;
mod origin;
pub(crate) mod packed;
mod pasted;
mod place;
pub mod preference;
pub mod realtime;
pub mod report;
mod source;
mod stored;
mod symvers;
mod system_map;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]
mod tests;
mod tree;

pub use architecture::{Architecture, Machine};
#[cfg(feature = "cache")]
pub use cache::folder::CacheFolder;
pub use facts::{Certificate, Config, Fact, Facts, KnownSymbol, Policy, StructMember, SymbolOwner};
pub use find::named;
#[cfg(feature = "internals")]
pub use find::named_at_cost;
pub use imports::{ImportedSymbol, Imports, OwnImports};
pub use lookup::Lookup;
pub use model::{Kernel, NoVermagic};
pub use name::KernelName;
pub use note::Note;
pub use origin::Origin;
pub use tree::{BuiltIn, Export, Exports, ModuleTree, TreeModule};

/// Modules in packages.
pub mod package {
    pub use crate::kernel::source::package::{each_module, is_package};
}
