//! The verdict for a module file: reads the file, and asks [`predict`].

use std::path::Path;

use crate::error::Result;
use crate::kernel::Kernel;
use crate::module::container::DEFAULT_MAX_SIZE;
use crate::module::{Module, with_packed};
use crate::predict::{Candidate, LoadOptions, Verdict, is_of_no_module, predict};

/// Predicts a kernel's answer to a module file, compressed or not.
///
/// A file that is not a module at all is refused by every kernel. A file that contradicts itself is judged if the kernel's
/// machine is known; otherwise it is an error, because only the facts of a kernel show what that kernel makes of it.
///
/// ```
/// use kmodlab::{Decision, Kernel, LoadOptions, LoaderStep, Lookup, predict_file};
///
/// let kernel = Kernel::read(&"fixtures/modules/hello-4-rt.ko".into(), &Lookup::default())?;
/// let verdict = predict_file("fixtures/modules/poet_atkm.ko".as_ref(), &kernel, &LoadOptions::default())?;
/// assert_eq!((verdict.answer, verdict.stage), (Decision::Refused, Some(LoaderStep::Elf)));
/// # Ok::<(), kmodlab::Error>(())
/// ```
///
/// # Errors
///
/// [`NotFound`](crate::ErrorKind::NotFound) and [`Io`](crate::ErrorKind::Io) if the file cannot be read;
/// [`TooLarge`](crate::ErrorKind::TooLarge) if it decompresses to more than 1 GiB; the errors of [`Module::read`].
pub fn predict_file(path: &Path, kernel: &Kernel, load: &LoadOptions) -> Result<Verdict> {
    with_packed(path, DEFAULT_MAX_SIZE, |bytes, packing| {
        let module = match Module::read(bytes) {
            Ok(module) => Some(module),
            Err(_) if is_of_no_module(bytes) || kernel.facts.machine.is_some() => None,
            Err(error) => return Err(error.on(path)),
        };
        Ok(predict(&Candidate { bytes, module: module.as_ref(), packing }, kernel, load))
    })?
}
