//! Promise: a statement about a kernel is as certain as its evidence. Imports of modules prove little, a module proves nothing
//! about its own kernel, the majority of a tree counts, and of two files of one module the one that depmod prefers counts.
//!
//! Each test makes its own tree from modules of the project's generator.

mod imports;
mod itself;
mod order;
mod stripped;
mod symvers;
mod vermagic;

use std::path::{Path, PathBuf};

use kmodlab::kernel::{self, Kernel, Lookup};
use kmodlab::module::Module;
use kmodlab::module::container::DEFAULT_MAX_SIZE;
use kmodlab::predict::{Candidate, Finding, LoadOptions, LoaderStep, StepResult, Verdict, predict};

use crate::make::trees::TreeModule;

const VERMAGIC: &str = "6.1.99-demo SMP preempt mod_unload modversions ";

/// A module of the kernel's own build.
fn own(name: &'static str, imports: &[(&'static str, u32)]) -> TreeModule {
    let mut module = added(name, imports);
    module.entries.push("intree=Y");
    module
}

/// A module that was built elsewhere.
fn added(name: &'static str, imports: &[(&'static str, u32)]) -> TreeModule {
    let entries = vec!["depends="];
    TreeModule { name, vermagic: VERMAGIC, entries, imports: imports.to_vec(), ..TreeModule::default() }
}

/// The same module with other dependencies.
fn depending(mut module: TreeModule, depends: &'static str) -> TreeModule {
    module.entries[0] = depends;
    module
}

/// The same module with exports.
fn exporting(mut module: TreeModule, exports: &[(&'static str, u32)]) -> TreeModule {
    module.exports = exports.to_vec();
    module
}

/// A folder with a module tree, `lib/modules/6.1.99-demo`, of these files.
struct Tree(tempfile::TempDir);

impl Tree {
    fn of(files: &[(&str, &TreeModule)]) -> Tree {
        let tree = Tree(tempfile::tempdir().unwrap());
        files.iter().for_each(|(path, module)| tree.put(path, &module.bytes().unwrap()));
        tree
    }

    fn put(&self, path: &str, bytes: &[u8]) {
        let path = self.folder().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("lib/modules/6.1.99-demo")
    }

    fn kernel(&self) -> Kernel {
        named(&self.folder())
    }

    /// The kernel's verdict for a module outside the tree.
    fn ask(&self, module: &TreeModule) -> Verdict {
        ask(module, &self.kernel())
    }
}

fn named(path: &Path) -> Kernel {
    kernel::named(path.as_os_str(), &Lookup { max_size: DEFAULT_MAX_SIZE, cache: None }).unwrap()
}

fn ask(module: &TreeModule, kernel: &Kernel) -> Verdict {
    let bytes = module.bytes().unwrap();
    let module = Module::read(&bytes).unwrap();
    predict(&Candidate { bytes: &bytes, module: Some(&module), packing: None }, kernel, &LoadOptions::default())
}

/// The result of a step: its last finding.
fn outcome(verdict: &Verdict, step: LoaderStep) -> Option<StepResult> {
    verdict.findings.iter().rev().find(|finding| finding.step == step).map(|finding| finding.result)
}

/// The notes of a step.
fn notes(verdict: &Verdict, step: LoaderStep) -> String {
    let of_step = |finding: &&Finding| finding.step == step;
    verdict.findings.iter().filter(of_step).map(|finding| finding.note.as_str()).collect::<Vec<_>>().join("; ")
}
