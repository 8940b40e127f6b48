//! A tree with changes applied to a copy of the values that decide its vermagic, and the prediction for it.

use crate::buildtree::evaluating::prediction::{Inputs, Outlook, Source};
use crate::buildtree::evaluating::release::{Ingredients, PieceFrom, Releases};
use crate::buildtree::file_line::Place;
use crate::buildtree::reading::layout::TreeKind;
use crate::buildtree::reading::localversion::LocalVersion;
use crate::buildtree::reading::makefile::Version;
use crate::buildtree::reading::options::{Options, config_of};
use crate::buildtree::reading::scm::Scm;
use crate::buildtree::reading::tree::BuildTree;
use crate::error::Result;
use crate::kernel::Config;

/// A tree as it would be with some things mended: what decides the release and the options.
#[derive(Clone, Debug)]
pub struct Draft<'t> {
    tree: &'t BuildTree,
    /// The Makefile's variables.
    pub version: Version,
    /// The `localversion*` files.
    pub files: Vec<LocalVersion>,
    /// The options; `None` where the tree is not configured.
    pub config: Option<Config>,
    /// What version control appends.
    pub scm: Scm,
    /// `LOCALVERSION` of the environment.
    pub environment: Option<String>,
    /// The compiler's first two numbers, where modules carry them.
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

    /// An option as a string: empty where it is not set.
    pub fn option(&self, name: &str) -> &str {
        self.config.as_ref().and_then(|config| config.get(name)).map_or("", String::as_str)
    }

    /// The release that modules carry now, and the one that a build would make.
    pub fn releases(&self) -> Releases {
        let tree = self.tree;
        let place = tree.place_of("LOCALVERSION");
        let of = Ingredients {
            version: &self.version,
            gathering: tree.gathering,
            files: &self.files,
            config: self.config.as_ref().map(|_| (self.option("LOCALVERSION").to_owned(), place)),
            auto: self.option("LOCALVERSION_AUTO") == "y",
            environment: self.environment.clone().map(|text| (text, Place::whole(&self.version.version.place.file))),
            scm: &self.scm,
            forced: tree.layout.forced_release.clone().map(|known| (known.value, known.place)),
            kept: (tree.layout.kind == TreeKind::Headers)
                .then_some("a headers package keeps the release that it was made with"),
        };
        let now = tree.generated.header.clone().map(|file| (file.release, file.place));
        Releases::assemble(&of, now)
    }

    /// The version magic that modules would carry.
    ///
    /// # Errors
    ///
    /// Those of [`header::vermagic`](crate::buildtree::evaluating::header::vermagic).
    pub fn outlook(&self) -> Result<Outlook> {
        let Some(config) = &self.config else {
            return Ok(Outlook::unknown("the tree is not configured".to_owned()));
        };
        let config = &settled(config, self.version.numbers());
        let releases = self.releases();
        let Some(release) = &releases.anew else {
            return Ok(Outlook::unknown(releases.unknown.unwrap_or_default()));
        };
        let sources = releases.pieces.iter().map(|piece| Source {
            place: piece.place.clone(),
            text: piece.text.clone(),
            what: what(piece.from).map(str::to_owned),
            decided: None,
        });
        let none =
            Options { file: self.tree.layout.object.join(".config"), settings: Default::default(), is_header: false };
        let file = self.tree.options().unwrap_or(&none);
        let inputs = Inputs { config, file, release, sources: sources.collect(), compiler: self.compiler };
        Outlook::of(self.tree, inputs)
    }
}

/// What a piece of a release is called.
fn what(from: PieceFrom) -> Option<&'static str> {
    Some(match from {
        PieceFrom::Version => "VERSION",
        PieceFrom::Patchlevel => "PATCHLEVEL",
        PieceFrom::Sublevel => "SUBLEVEL",
        PieceFrom::Extraversion => "EXTRAVERSION",
        PieceFrom::LocalversionFile => return None,
        PieceFrom::ConfigLocalversion => "CONFIG_LOCALVERSION",
        PieceFrom::Environment => "LOCALVERSION of the environment",
        PieceFrom::Scm => "scripts/setlocalversion",
        PieceFrom::Generated => "UTS_RELEASE",
        PieceFrom::Forced => "override KERNELRELEASE",
    })
}

/// A configuration as `make` makes it whole, as far as the version magic hangs on it: PREEMPT_BUILD, which nobody sets, is
/// selected by what people set (kernel/Kconfig.preempt, 5.16 to 7.2).
fn settled(config: &Config, version: (u32, u32, u32)) -> Config {
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

/// The option on which `preempt` hangs since 5.16.
pub(in crate::buildtree) const PREEMPT_BUILD: &str = "PREEMPT_BUILD";
