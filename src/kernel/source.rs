//! What a kernel can be read from: one type per kind of source, each in a file of its own.
//!
//! To add a kind: implement [`KernelSource`] in a new file here, and let `open` in `kernel/find.rs` recognise it.

pub(super) mod folder;
pub(super) mod image;
pub(super) mod package;
pub(super) mod reference;
pub(super) mod running;
pub(super) mod text;
pub(super) mod vermagic;

use crate::error::Result;
use crate::kernel::collect::FileSink;
use crate::kernel::lookup::KernelQuestion;
use crate::kernel::merge::FactSink;
use crate::kernel::stored::StoredModule;

/// Something that a kernel can be read from.
pub(super) trait KernelSource {
    /// Adds the facts of the kernel.
    ///
    /// # Errors
    ///
    /// Those of reading the source, and those of [`FactSink::add`].
    fn add_facts(&self, facts: &mut FactSink, question: &KernelQuestion<'_>) -> Result<()>;

    /// Adds the image and the wanted modules. A source without files adds none, but it must be readable as a kernel.
    ///
    /// # Errors
    ///
    /// Those of reading the source.
    fn add_files(&self, files: &mut FileSink, question: &KernelQuestion<'_>) -> Result<()> {
        let _ = files;
        self.add_facts(&mut FactSink::default(), question)
    }

    /// Passes each module to `each`. A source without modules passes none, but it must be readable as a kernel.
    ///
    /// # Errors
    ///
    /// Those of reading the source; the first error of `each`.
    fn each_module(
        &self,
        question: &KernelQuestion<'_>,
        each: &mut dyn FnMut(StoredModule) -> Result<()>,
    ) -> Result<()> {
        let _ = each;
        self.add_facts(&mut FactSink::default(), question)
    }
}
