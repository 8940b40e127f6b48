//! Text files with one kind of fact, compressed or not: Module.symvers, System.map, a configuration.

use std::path::{Path, PathBuf};

use crate::budget::WorkBudget;
use crate::error::{ErrorKind, Result};
use crate::kernel::facts::Facts;
use crate::kernel::lookup::KernelQuestion;
use crate::kernel::merge::FactSink;
use crate::kernel::origin::Origin;
use crate::kernel::source::KernelSource;
use crate::kernel::{config, packed, symvers, system_map};

/// A text file with one kind of fact.
pub(in crate::kernel) struct TextFile {
    path: PathBuf,
    text: String,
    parse: fn(&str, &Origin) -> Facts,
}

impl TextFile {
    /// Recognises the contents of a file; `None` if they are no text of a known kind.
    ///
    /// # Errors
    ///
    /// Those of [`packed::unpack`], except for a compressed ELF file, which is no text.
    pub(in crate::kernel) fn open(path: &Path, bytes: &[u8], budget: &WorkBudget) -> Result<Option<TextFile>> {
        if bytes.starts_with(b"\x7fELF") {
            return Ok(None);
        }
        let bytes = match packed::unpack(bytes, budget) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.on(path)),
        };
        let Ok(text) = String::from_utf8(bytes.into_owned()) else { return Ok(None) };
        let parse = match text.as_str() {
            start if symvers::looks_like(start) => symvers::facts,
            start if system_map::looks_like(start) => system_map::facts,
            start if config::looks_like(start) => config::facts,
            _ => return Ok(None),
        };
        Ok(Some(TextFile { path: path.to_owned(), text, parse }))
    }
}

impl KernelSource for TextFile {
    fn add_facts(&self, facts: &mut FactSink, _: &KernelQuestion<'_>) -> Result<()> {
        let origin = Origin::File(self.path.clone());
        facts.add(&origin, (self.parse)(&self.text, &origin))
    }
}
