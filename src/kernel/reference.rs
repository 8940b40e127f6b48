//! A kernel known by one of its modules.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::kernel::imports::{Imports, Statement};
use crate::kernel::{Fact, Facts, Machine, Origin};
use crate::module;

/// What a module tells of the kernel that it was built for.
pub(super) fn facts(path: &Path, max_size: u64) -> Result<Facts> {
    let module = module::open_unhashed(path, max_size).map_err(|e| match e.kind() {
        ErrorKind::NotFound => {
            e.hint("a kernel is: running, vermagic:STRING, an image, a folder, a package, or a module of that kernel")
        }
        _ => e,
    })?;
    let missing = || Error::new(ErrorKind::NotFound, "this module has no version magic").on(path);
    let source = Origin::ReferenceModule(path.to_owned());
    let vermagic = Fact { value: module.vermagic().ok_or_else(missing)?, source: source.clone() };
    let imports = Imports::of([Statement::of(&module)], [], []);
    Ok(Facts {
        release: vermagic.value.release().map(|token| Fact { value: token.text.clone(), source: source.clone() }),
        vermagic: Some(vermagic),
        machine: Some(Fact { value: Machine::of(&module), source: source.clone() }),
        fingerprint: module.this_module.as_ref().map(|m| Fact { value: m.fingerprint, source: source.clone() }),
        imports: (!imports.is_empty()).then_some(Fact { value: imports, source: source.imports() }),
        ..Facts::default()
    })
}
