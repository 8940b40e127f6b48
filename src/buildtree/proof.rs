//! A module that was really built with a tree, and the verdict of the kernel that it is for.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use crate::buildtree::evaluating::prediction::VermagicPrediction;
use crate::buildtree::evaluating::test_build;
use crate::buildtree::reading::tree::BuildTree;
use crate::error::{Error, Result};
use crate::kernel::Kernel;
use crate::module::{self, Module};
use crate::predict::{self, Candidate, Decision, Force, LoadOptions};
use crate::text::JsonText;

/// A module that was built with a tree, and what the kernel will do with it.
#[derive(Clone, Debug, Serialize)]
pub struct Proof {
    /// Its vermagic.
    #[serde(serialize_with = "bytes_as_text")]
    pub vermagic: Vec<u8>,
    /// Is that the predicted one?
    pub as_predicted: bool,
    /// Will the kernel accept it?
    pub verdict: Decision,
    /// The taints that it will set.
    pub taint: Option<String>,
    /// What the loader will print.
    pub dmesg: Vec<String>,
    /// The module's file.
    #[serde(skip)]
    pub module: PathBuf,
}

fn bytes_as_text<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    JsonText::of(bytes).serialize(serializer)
}

impl Proof {
    /// Builds a small module in `folder` with the tree, which runs the tree's makefiles, and compares it with the
    /// prediction `current`.
    ///
    /// # Errors
    ///
    /// Those of [`test_build::build`] and of reading the module.
    pub fn build(
        tree: &BuildTree,
        current: &VermagicPrediction,
        kernel: &Kernel,
        folder: &Path,
        max_size: u64,
    ) -> Result<Proof> {
        let path = test_build::build(tree, folder)?;
        let load = LoadOptions { force: Force::None, alone: false, ..LoadOptions::default() };
        let (vermagic, verdict) = module::with_bytes(&path, max_size, |bytes| {
            let module = Module::read(bytes).map_err(|e| e.on(&path))?;
            let vermagic = module.modinfo.first("vermagic").unwrap_or_default().to_vec();
            let candidate = Candidate { bytes, module: Some(&module), packing: None };
            Ok::<_, Error>((vermagic, predict::predict(&candidate, kernel, &load)))
        })??;
        Ok(Proof {
            as_predicted: current.vermagic.as_ref().is_some_and(|predicted| predicted.as_bytes() == vermagic),
            vermagic,
            verdict: verdict.answer,
            taint: verdict.taint,
            dmesg: verdict.dmesg,
            module: path,
        })
    }

    /// Is the vermagic as predicted, and will the kernel not refuse the module?
    pub fn is_good(&self) -> bool {
        self.as_predicted && self.verdict != Decision::Refused
    }
}
