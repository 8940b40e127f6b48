//! What is reported about a tree: the vermagic of its modules, and, with a kernel, what to change and what to type.
//!
//! [`TreeSummary`] needs the tree only. [`TreeReport`] compares it with a kernel. Both are serialised as they are.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use crate::buildtree::advising::abi_options::{self, AbiDifference};
use crate::buildtree::advising::commands::BuildCommand;
use crate::buildtree::advising::distribution::{self, Distribution};
use crate::buildtree::advising::fix::{Fix, Impossible};
use crate::buildtree::advising::{fixes, missing};
use crate::buildtree::evaluating::current::VermagicPredictions;
use crate::buildtree::evaluating::prediction::{TracedToken, VermagicPrediction, vermagic_or_null};
use crate::buildtree::proof::Proof;
use crate::buildtree::reading::compiler::Compilers;
use crate::buildtree::reading::generated::GeneratedPart;
use crate::buildtree::reading::layout::TreeLayout;
use crate::buildtree::reading::options::{StaleOption, config_of};
use crate::buildtree::reading::tree::BuildTree;
use crate::error::Result;
use crate::kernel::Kernel;
use crate::kernel::Origin;
use crate::module::Module;
use crate::text::{self, JsonText};
use crate::vermagic::{Comparison, Vermagic};

/// A tree, and the vermagic of the modules that it builds.
#[derive(Clone, Debug, Serialize)]
pub struct TreeSummary {
    /// The folder, as it was named.
    #[serde(serialize_with = "path_text")]
    pub tree: PathBuf,
    /// Its bytes in hexadecimal, if they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tree_hex: Option<String>,
    /// Which folder holds what, and what kind of tree it is.
    pub layout: TreeLayout,
    /// `KERNELVERSION` of its Makefile.
    pub version: String,
    /// The vermagic of a module that is built now.
    pub current: VermagicPrediction,
    /// The vermagic of a module that is built after the next build has regenerated the tree's files.
    pub rebuilt: VermagicPrediction,
}

/// A tree compared with a kernel.
#[derive(Debug, Serialize)]
pub struct TreeReport {
    /// Raised when a field changes its name or meaning.
    pub schema_version: u32,
    /// The tree itself.
    #[serde(flatten)]
    pub summary: TreeSummary,
    /// The kernel.
    pub kernel: KernelSummary,
    /// Does a module that is built now have the kernel's vermagic?
    pub matches: bool,
    /// How the rebuilt vermagic differs from the kernel's; `None` if the first is not known.
    pub differences: Option<Comparison>,
    /// What to change, in order.
    pub fixes: Vec<Fix>,
    /// The vermagic after all fixes; `None` if it is not known.
    #[serde(serialize_with = "vermagic_or_null")]
    pub after: Option<Vermagic>,
    /// Why this tree can never match, if so.
    pub impossible: Option<Impossible>,
    /// The distribution that built the kernel, and the package with its headers.
    pub distribution: Option<Distribution>,
    /// Options that differ and change the binary interface, but not the vermagic.
    pub abi_options: Vec<AbiDifference>,
    /// Options in which `.config` and the files generated from it differ.
    pub stale_options: Vec<StaleOption>,
    /// Files that modules need and that are missing.
    pub missing: Vec<GeneratedPart>,
    /// The recorded compiler and the installed one.
    pub compilers: Compilers,
    /// The imports of the named module that the kernel does not export.
    #[serde(rename = "not_exported")]
    pub imports: ImportCheck,
    /// The commands to type, in order.
    pub commands: Vec<BuildCommand>,
    /// What is odd about the tree, one line each; escape them before showing them.
    pub notes: Vec<String>,
    /// The module that was built with the tree, if one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// The kernel that a tree is compared with.
#[derive(Clone, Debug, Serialize)]
pub struct KernelSummary {
    /// Its name, as it was given.
    pub name: String,
    /// Its vermagic.
    #[serde(serialize_with = "vermagic_text")]
    pub vermagic: Vermagic,
    /// Where the vermagic was read.
    pub source: Origin,
    /// Where its configuration was read, if it is known.
    pub config: Option<Origin>,
    /// What is odd about it, one line each; escape them before showing them.
    #[serde(skip)]
    pub notes: Vec<String>,
}

/// Which imports of a module the kernel does not export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportCheck {
    /// No module was named.
    NotAsked,
    /// The kernel's exports are not all known.
    Unknown,
    /// These; none if all are exported.
    NotExported(Vec<String>),
}

impl Serialize for ImportCheck {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            ImportCheck::NotAsked | ImportCheck::Unknown => serializer.serialize_none(),
            ImportCheck::NotExported(names) => names.serialize(serializer),
        }
    }
}

fn path_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text::path_text(path))
}

fn vermagic_text<S: Serializer>(vermagic: &Vermagic, serializer: S) -> Result<S::Ok, S::Error> {
    JsonText::of(vermagic.as_bytes()).serialize(serializer)
}

impl TreeSummary {
    /// What the rebuilt prediction says that the current one does not; `None` if nothing.
    pub fn news_of_rebuilt(&self) -> Option<VermagicPrediction> {
        let (current, rebuilt) = (&self.current, &self.rebuilt);
        if rebuilt.vermagic == current.vermagic && current.vermagic.is_some() {
            return None;
        }
        let is_new =
            |token: &&TracedToken| !current.tokens.iter().any(|old| (old.kind, &old.text) == (token.kind, &token.text));
        let tokens: Vec<TracedToken> = rebuilt.tokens.iter().filter(is_new).cloned().collect();
        let unknown: Vec<String> =
            rebuilt.unknown.iter().filter(|why| !current.unknown.contains(why)).cloned().collect();
        let is_any = rebuilt.vermagic.is_some() || !unknown.is_empty() || !tokens.is_empty();
        is_any.then(|| VermagicPrediction { vermagic: rebuilt.vermagic.clone(), unknown, tokens, ..Default::default() })
    }

    /// The summary of a tree that was named `path`.
    pub fn of(path: &Path, tree: &BuildTree, predictions: &VermagicPredictions) -> TreeSummary {
        TreeSummary {
            tree: path.to_owned(),
            tree_hex: text::path_hex(path),
            layout: tree.layout.clone(),
            version: tree.version.kernelversion(),
            current: predictions.current.clone(),
            rebuilt: predictions.rebuilt.clone(),
        }
    }
}

impl TreeReport {
    /// Compares a tree, named `path`, with a kernel. `module` is a module that was built with the tree; `machine` is the
    /// machine on which the commands would be typed, as `uname -m` prints it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoVermagic`](crate::error::ErrorKind::NoVermagic) if the kernel's vermagic is not known; those of
    /// [`fixes::fix_plan`].
    pub fn of(
        path: &Path,
        tree: &BuildTree,
        predictions: &VermagicPredictions,
        kernel: &Kernel,
        module: Option<&Module>,
        machine: &str,
    ) -> Result<TreeReport> {
        let wanted = kernel.known_vermagic()?;
        let plan = fixes::fix_plan(tree, predictions, kernel)?;
        let options = tree.auto.as_ref().or(tree.config.as_ref()).map(config_of);
        let abi_options = match (&options, &kernel.facts.config) {
            (Some(own), Some(theirs)) => abi_options::differing(own, &theirs.value, Some(tree.version.numbers())),
            _ => Vec::new(),
        };
        let release = wanted.value.release().map(|token| token.text.clone()).unwrap_or_default();
        let banner = kernel.facts.banner.as_ref().map(|banner| banner.value.as_str());
        Ok(TreeReport {
            schema_version: 2,
            summary: TreeSummary::of(path, tree, predictions),
            kernel: KernelSummary {
                name: kernel.name.to_string(),
                vermagic: wanted.value.clone(),
                source: wanted.source.clone(),
                config: kernel.facts.config.as_ref().map(|config| config.source.clone()),
                notes: kernel.facts.notes.iter().map(ToString::to_string).collect(),
            },
            distribution: distribution::of(&release, banner),
            abi_options,
            stale_options: tree.stale_options.clone(),
            missing: tree.generated.missing().cloned().collect(),
            compilers: tree.compilers.clone(),
            imports: module.map_or(ImportCheck::NotAsked, |module| ImportCheck::of(module, kernel)),
            commands: missing::commands(tree, &plan, kernel, machine),
            notes: tree.notes.iter().chain(&predictions.notes).cloned().collect(),
            matches: plan.matches,
            differences: plan.differences,
            fixes: plan.fixes,
            after: plan.after,
            impossible: plan.impossible,
            proof: None,
        })
    }

    /// Do the rebuilt vermagic and the kernel's differ only in their spaces?
    pub fn differs_in_spaces(&self) -> bool {
        let words = |vermagic: &[u8]| -> Vec<Vec<u8>> {
            vermagic.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).map(<[u8]>::to_vec).collect()
        };
        let wanted = self.kernel.vermagic.as_bytes();
        let rebuilt = self.summary.rebuilt.vermagic.as_ref().map(Vermagic::as_bytes);
        rebuilt.is_some_and(|own| own != wanted && words(own) == words(wanted))
    }
}

impl ImportCheck {
    /// The imports of a module that nothing in the kernel exports.
    fn of(module: &Module, kernel: &Kernel) -> ImportCheck {
        let Some(exports) = kernel.facts.exports.as_ref().filter(|exports| exports.value.complete) else {
            return ImportCheck::Unknown;
        };
        let tree = kernel.facts.tree.as_ref();
        let is_there = |name: &str| {
            exports.value.symbols.contains_key(name) || tree.is_some_and(|tree| tree.value.exporter(name).is_some())
        };
        let names =
            module.imports.iter().filter(|import| !import.is_weak).map(|import| String::from_utf8_lossy(&import.name));
        ImportCheck::NotExported(names.filter(|name| !is_there(name)).map(|name| name.into_owned()).collect())
    }
}
