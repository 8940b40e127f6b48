//! The file of a kernel image.

use std::path::PathBuf;

use crate::error::Result;
use crate::kernel::cached;
use crate::kernel::collect::FileSink;
use crate::kernel::lookup::KernelQuestion;
use crate::kernel::merge::FactSink;
use crate::kernel::origin::Origin;
use crate::kernel::place::{FileRole, KernelGroup};
use crate::kernel::source::KernelSource;
use crate::module::file::FileContents;

/// The file of a kernel image.
pub(in crate::kernel) struct ImageFile {
    pub(in crate::kernel) path: PathBuf,
    pub(in crate::kernel) contents: FileContents,
}

impl KernelSource for ImageFile {
    fn add_facts(&self, facts: &mut FactSink, question: &KernelQuestion<'_>) -> Result<()> {
        let origin = Origin::File(self.path.clone());
        let known = cached::image_bytes(&origin, self.contents.bytes(), question).map_err(|e| e.on(&self.path))?;
        facts.add(&origin, known)
    }

    fn add_files(&self, files: &mut FileSink, _: &KernelQuestion<'_>) -> Result<()> {
        let group = KernelGroup::Folder(String::new());
        files.add(FileRole::Image, &group, &self.path.display().to_string(), self.contents.bytes().to_vec());
        Ok(())
    }
}
