//! The modules of a kernel as a stream: they are read and unpacked on a thread of its own.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use crate::budget::WorkBudget;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::files::{StoredBytes, StoredModule, each_module};
use crate::kernel::{KernelName, Lookup};
use crate::module::container::Container;
use crate::module::{self, Module};

/// How many unpacked modules wait to be compared.
const AHEAD: usize = 4;

/// The modules of a kernel.
pub(crate) enum Originals {
    /// They are read on a thread of its own.
    Streamed(OriginalStream),
    /// They are read on the thread that compares them: enough for a single file.
    Inline(KernelName, Lookup),
}

/// The modules of a kernel, in the order of their source.
pub(crate) struct OriginalStream {
    receiver: Receiver<Result<StoredModule>>,
    /// A module that was taken to look at it.
    first: Option<StoredModule>,
}

/// The error of a kernel without modules.
pub(super) fn no_modules(kernel: &KernelName) -> Error {
    let hint = "name the kernel's package, its module tree, or a copy of the module";
    Error::new(ErrorKind::NotFound, "no module in it to compare with").hint(hint).on(kernel.to_string())
}

impl OriginalStream {
    /// Begins to read.
    ///
    /// # Errors
    ///
    /// Those of [`each_module`] up to the first module; [`ErrorKind::NotFound`] if there is none.
    pub(crate) fn open(kernel: &KernelName, lookup: &Lookup, budget: &Arc<WorkBudget>) -> Result<OriginalStream> {
        let (sender, receiver) = sync_channel(AHEAD);
        let (name, lookup, budget) = (kernel.clone(), lookup.clone(), budget.clone());
        // The thread ends when the receiver is dropped.
        std::thread::spawn(move || {
            let dropped = || Error::new(ErrorKind::Io, "the receiver of a kernel's modules was dropped");
            let each = |module| sender.send(Ok(module)).map_err(|_| dropped());
            if let Err(error) = each_module(&name, &lookup, &budget, each) {
                let _ = sender.send(Err(error));
            }
        });
        let first = receiver.recv().map_err(|_| no_modules(kernel))??;
        Ok(OriginalStream { receiver, first: Some(first) })
    }

    /// The release of the kernel: by the place of its modules, or by the version magic of the first one.
    pub(super) fn release(&self, budget: &WorkBudget) -> Option<String> {
        let first = self.first.as_ref()?;
        if let Some(release) = &first.release {
            return Some(release.clone());
        }
        let module = match &first.bytes {
            StoredBytes::InFile(path) => module::open_unhashed(path, budget.max_size()).ok()?,
            StoredBytes::InMemory(bytes) => match Container::of(bytes) {
                Container::None => Module::read(bytes).ok()?,
                container => Module::read(&container.decompress_within(bytes, budget).ok()?).ok()?,
            },
        };
        Some(module.vermagic()?.release()?.text.clone())
    }
}

impl Iterator for OriginalStream {
    type Item = Result<StoredModule>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.first.take() {
            Some(first) => Some(Ok(first)),
            None => self.receiver.recv().ok(),
        }
    }
}
