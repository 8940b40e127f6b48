//! A module that is given instead of its kernel.

use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::kernel::architecture::Machine;
use crate::kernel::facts::{Fact, Facts};
use crate::kernel::imports::{Imports, ModuleImports};
use crate::kernel::lookup::KernelQuestion;
use crate::kernel::merge::FactSink;
use crate::kernel::origin::Origin;
use crate::kernel::source::KernelSource;
use crate::kernel::stored::{StoredBytes, StoredModule};
use crate::module;

/// A module that is given instead of its kernel; or a path that is nothing else, and then the errors say so.
pub(in crate::kernel) struct ReferenceModule(pub(in crate::kernel) PathBuf);

impl KernelSource for ReferenceModule {
    fn add_facts(&self, facts: &mut FactSink, question: &KernelQuestion<'_>) -> Result<()> {
        facts.add(&Origin::File(self.0.clone()), read(&self.0, question.max_size())?)
    }

    fn each_module(
        &self,
        question: &KernelQuestion<'_>,
        each: &mut dyn FnMut(StoredModule) -> Result<()>,
    ) -> Result<()> {
        let facts = read(&self.0, question.max_size())?;
        each(StoredModule {
            release: facts.release.map(|release| release.value),
            below: self.0.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            path: self.0.display().to_string(),
            package: None,
            bytes: StoredBytes::InFile(self.0.clone()),
            modified: None,
        })
    }
}

/// The facts that a module has about the kernel that it was built for.
fn read(path: &Path, max_size: u64) -> Result<Facts> {
    let module = module::open_unhashed(path, max_size).map_err(|e| match e.kind() {
        ErrorKind::NotFound => {
            e.hint("a kernel is: running, vermagic:STRING, an image, a folder, a package, or a module of that kernel")
        }
        _ => e,
    })?;
    let missing = || Error::new(ErrorKind::NotFound, "this module has no version magic").on(path);
    let source = Origin::ReferenceModule(path.to_owned());
    let vermagic = Fact { value: module.vermagic().ok_or_else(missing)?, source: source.clone() };
    let imports = Imports::of([ModuleImports::of(&module)], [], []);
    Ok(Facts {
        release: vermagic.value.release().map(|token| Fact { value: token.text.clone(), source: source.clone() }),
        vermagic: Some(vermagic),
        machine: Some(Fact { value: Machine::of(&module), source: source.clone() }),
        fingerprint: module.this_module.as_ref().map(|m| Fact { value: m.fingerprint, source: source.clone() }),
        imports: (!imports.is_empty()).then(|| Fact { value: imports, source: source.imports() }),
        ..Facts::default()
    })
}
