//! A tree with changes applied to a copy of the values that decide its vermagic, and the prediction for it.

use crate::buildtree::evaluating::prediction::{PredictionInputs, TokenSource, VermagicPrediction};
use crate::buildtree::evaluating::release::{ReleaseInputs, ReleasePieceKind, Releases};
use crate::buildtree::file_line::FileLine;
use crate::buildtree::reading::layout::TreeKind;
use crate::buildtree::reading::localversion::LocalVersion;
use crate::buildtree::reading::makefile::{KernelNumbers, MakefileVersion};
use crate::buildtree::reading::options::{Options, config_of};
use crate::buildtree::reading::scm::ScmSuffix;
use crate::buildtree::reading::tree::BuildTree;
use crate::error::Result;
use crate::kernel::Config;

/// A tree with fixes applied to a copy of the values that decide the release and the options.
#[derive(Clone, Debug)]
pub struct Draft<'t> {
    tree: &'t BuildTree,
    /// The Makefile's variables.
    pub version: MakefileVersion,
    /// The `localversion*` files.
    pub files: Vec<LocalVersion>,
    /// The options; `None` if the tree is not configured.
    pub config: Option<Config>,
    /// The suffix of version control.
    pub scm: ScmSuffix,
    /// `LOCALVERSION` of the environment.
    pub environment: Option<String>,
    /// The first two numbers of the compiler's version.
    pub compiler: Option<(u32, u32)>,
}

impl<'t> Draft<'t> {
    /// The tree as it is.
    pub fn of(tree: &'t BuildTree) -> Draft<'t> {
        let config = tree.options().map(config_of);
        let (version, files, scm) = (tree.version.clone(), tree.localversions.clone(), tree.scm.clone());
        Draft {
            tree,
            version,
            files,
            config,
            scm,
            environment: tree.call.localversion.clone(),
            compiler: tree.compilers.numbers(),
        }
    }

    /// The value of an option; empty if it is not set.
    pub fn option(&self, name: &str) -> &str {
        self.config.as_ref().and_then(|config| config.get(name)).map_or("", String::as_str)
    }

    /// The current release, and the release after the next build.
    pub fn releases(&self) -> Releases {
        let tree = self.tree;
        let place = tree.place_of("LOCALVERSION");
        let of = ReleaseInputs {
            version: &self.version,
            gathering: tree.gathering,
            files: &self.files,
            config: self.config.as_ref().map(|_| (self.option("LOCALVERSION").to_owned(), place)),
            auto: self.option("LOCALVERSION_AUTO") == "y",
            environment: self.environment.clone().map(|text| (text, FileLine::whole(&self.version.version.place.file))),
            scm: &self.scm,
            forced: tree.layout.forced_release.clone().map(|known| (known.value, known.place)),
            kept: (tree.layout.kind == TreeKind::Headers)
                .then_some("a headers package keeps the release that it was built with"),
        };
        let current = tree.generated.header.clone().map(|file| (file.release, file.place));
        Releases::assemble(&of, current)
    }

    /// The vermagic of modules of this draft.
    ///
    /// # Errors
    ///
    /// Those of [`header::vermagic`](crate::buildtree::evaluating::header::vermagic).
    pub fn prediction(&self) -> Result<VermagicPrediction> {
        let Some(config) = &self.config else {
            return Ok(VermagicPrediction::unknown("the tree is not configured".to_owned()));
        };
        let config = &settled(config, self.version.numbers());
        let releases = self.releases();
        let Some(release) = &releases.rebuilt else {
            return Ok(VermagicPrediction::unknown(releases.unknown.unwrap_or_default()));
        };
        let sources = releases.pieces.iter().map(|piece| TokenSource {
            place: piece.place.clone(),
            text: piece.text.clone(),
            what: what(piece.from).map(str::to_owned),
            decided: None,
        });
        let none =
            Options { file: self.tree.layout.object.join(".config"), settings: Default::default(), is_header: false };
        let file = self.tree.options().unwrap_or(&none);
        let inputs = PredictionInputs { config, file, release, sources: sources.collect(), compiler: self.compiler };
        VermagicPrediction::of(self.tree, inputs)
    }
}

/// The name of a piece of a release.
fn what(from: ReleasePieceKind) -> Option<&'static str> {
    Some(match from {
        ReleasePieceKind::Version => "VERSION",
        ReleasePieceKind::Patchlevel => "PATCHLEVEL",
        ReleasePieceKind::Sublevel => "SUBLEVEL",
        ReleasePieceKind::Extraversion => "EXTRAVERSION",
        ReleasePieceKind::LocalversionFile => return None,
        ReleasePieceKind::ConfigLocalversion => "CONFIG_LOCALVERSION",
        ReleasePieceKind::Environment => "LOCALVERSION of the environment",
        ReleasePieceKind::Scm => "scripts/setlocalversion",
        ReleasePieceKind::Generated => "UTS_RELEASE",
        ReleasePieceKind::Forced => "override KERNELRELEASE",
    })
}

/// A configuration as `make` completes it, as far as the vermagic depends on it: other options select PREEMPT_BUILD, which no
/// user sets (kernel/Kconfig.preempt, 5.16 to 7.2).
fn settled(config: &Config, version: KernelNumbers) -> Config {
    let mut config = config.clone();
    if version >= (5, 16, 0) {
        let selects = ["PREEMPT", "PREEMPT_DYNAMIC", "PREEMPT_LAZY"];
        let is_selected = selects.iter().any(|name| config.get(*name).is_some_and(|value| value == "y"));
        let is_chosen = ["PREEMPT_NONE", "PREEMPT_VOLUNTARY", "PREEMPT"].iter().any(|name| config.contains_key(*name));
        match is_selected {
            true => config.insert(PREEMPT_BUILD.to_owned(), "y".to_owned()),
            false if is_chosen => config.remove(PREEMPT_BUILD),
            false => None,
        };
    }
    config
}

/// The option that decides the token `preempt` since 5.16.
pub(crate) const PREEMPT_BUILD: &str = "PREEMPT_BUILD";
