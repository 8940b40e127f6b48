//! The version magic that a tree's modules carry now, and the one that they would carry after a build made it anew; and the
//! same of a tree as it would be with some things mended.

use std::path::Path;

use serde::Serialize;

use crate::buildtree::BuildTree;
use crate::buildtree::header::{self, Carried, Given, Other, Piece};
use crate::buildtree::layout::{Layout, TreeKind};
use crate::buildtree::localversion::LocalVersion;
use crate::buildtree::makefile::Version;
use crate::buildtree::options::Options;
use crate::buildtree::place::Place;
use crate::buildtree::preprocessor::{Header, Headers};
use crate::buildtree::release::{Ingredients, PieceFrom, Releases};
use crate::buildtree::scm::Scm;
use crate::buildtree::text::read_text;
use crate::error::Result;
use crate::kernel::Config;
use crate::vermagic::{TokenKind, Vermagic};

/// The two version magic strings of a tree.
#[derive(Clone, Debug)]
pub struct Outlooks {
    /// Of a module that is built now, with the generated files as they are.
    pub now: Outlook,
    /// Of one that is built after a build made the generated files anew.
    pub anew: Outlook,
}

/// A version magic with where it comes from.
#[derive(Clone, Debug, Default)]
pub struct Outlook {
    /// The string; `None` where a part of it can't be told.
    pub vermagic: Option<Vermagic>,
    /// Its tokens in their order, as far as they are known.
    pub tokens: Vec<Traced>,
    /// Why it can't be told, one line each.
    pub unknown: Vec<String>,
    /// What its parts would be under other conditions.
    pub others: Vec<Other>,
}

/// A token, and where it comes from.
#[derive(Clone, Debug, Serialize)]
pub struct Traced {
    /// What it says.
    pub kind: TokenKind,
    /// Its text. Escape it before showing it.
    pub text: String,
    /// The lines that give it, in their order.
    pub sources: Vec<Source>,
}

/// A line that gives a token, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Source {
    /// Where it stands.
    pub place: Place,
    /// What of the token it gives.
    pub text: String,
    /// What it is, or what puts it there: `EXTRAVERSION`, `CONFIG_SMP`.
    pub what: Option<String>,
    /// The line of the option that puts it there.
    pub decided: Option<Place>,
}

impl BuildTree {
    /// The version magic strings of the tree as it is.
    ///
    /// # Errors
    ///
    /// Those of [`header::vermagic`].
    pub fn outlooks(&self) -> Result<Outlooks> {
        let built = self.auto.as_ref().or(self.config.as_ref());
        let now = match (&self.release.now, built) {
            (Some(release), Some(options)) => {
                let source = Source {
                    place: release.place.clone(),
                    text: release.text.clone(),
                    what: Some("UTS_RELEASE".to_owned()),
                    decided: None,
                };
                self.outlook(
                    &config_of(options),
                    options,
                    Some((&release.text, vec![source])),
                    self.compiler_numbers(),
                )?
            }
            (None, _) => {
                let header = self.layout.object.join(self.generated.header_path);
                Outlook::unknown(format!("{} is not there: nothing was built here yet", Place::whole(header)))
            }
            (_, None) => Outlook::unknown("the tree is not configured".to_owned()),
        };
        let anew = match self.layout.kind {
            TreeKind::Headers => now.clone(),
            _ => Draft::of(self).outlook()?,
        };
        Ok(Outlooks { now, anew })
    }

    /// The first two numbers of the compiler that would be used; else of the one that is recorded.
    fn compiler_numbers(&self) -> Option<(u32, u32)> {
        let compiler = self.compilers.here.as_ref().or(self.compilers.recorded.as_ref());
        compiler.and_then(|compiler| numbers(&compiler.version))
    }

    /// The version magic with a release, where it is known, and a configuration, whose options stand in a file.
    fn outlook(
        &self,
        config: &Config,
        file: &Options,
        release: Option<(&str, Vec<Source>)>,
        compiler: Option<(u32, u32)>,
    ) -> Result<Outlook> {
        let Some(architecture) = &self.layout.srcarch else {
            return Ok(Outlook::unknown("nothing here tells the architecture; set ARCH".to_owned()));
        };
        let given = Given {
            config,
            architecture: &architecture.value,
            release: release.as_ref().map(|(text, sources)| {
                (*text, sources.first().map_or_else(|| Place::whole(&self.layout.object), |s| s.place.clone()))
            }),
            compiler,
        };
        let carried = header::vermagic(&TreeHeaders { layout: &self.layout }, &given)?;
        let sources = release.map(|(_, sources)| sources).unwrap_or_default();
        Ok(Outlook::of(carried, file, &sources))
    }
}

impl Outlook {
    fn unknown(why: String) -> Outlook {
        Outlook { unknown: vec![why], ..Outlook::default() }
    }

    fn of(carried: Carried, file: &Options, release: &[Source]) -> Outlook {
        let known = Vermagic::parse(&carried.known());
        let traced = |token: &crate::vermagic::Token| Traced {
            kind: token.kind,
            text: token.text.clone(),
            sources: match token.kind {
                TokenKind::Release if !release.is_empty() => release.to_vec(),
                TokenKind::Compiler => carried
                    .behind(&token.range)
                    .first()
                    .map(|piece| Source {
                        text: token.text.clone(),
                        what: Some("the compiler's own numbers".to_owned()),
                        ..source(piece, file)
                    })
                    .into_iter()
                    .collect(),
                _ => carried.behind(&token.range).into_iter().map(|piece| source(piece, file)).collect(),
            },
        };
        let unknown = carried.unknown().into_iter().map(|one| match one.name.as_str() {
            "__GNUC__" | "__GNUC_MINOR__" => {
                format!("{}: {} is the compiler's own, and none could be asked", one.place, one.name)
            }
            name => format!("{}: nothing defines {name}", one.place),
        });
        Outlook {
            vermagic: carried.vermagic(),
            // Without its numbers a compiler's token says nothing.
            tokens: known
                .tokens()
                .iter()
                .filter(|token| token.kind != TokenKind::Compiler || token.text.contains(|c: char| c.is_ascii_digit()))
                .map(traced)
                .collect(),
            unknown: unknown.collect(),
            others: carried.others,
        }
    }
}

fn source(piece: &Piece, file: &Options) -> Source {
    let text = match &piece.said {
        crate::buildtree::preprocessor::Spelled::Text(text) => String::from_utf8_lossy(text).trim_end().to_owned(),
        crate::buildtree::preprocessor::Spelled::Token(name) => name.clone(),
    };
    let option = piece.conditions.iter().rev().flat_map(|condition| &condition.names).find_map(|name| {
        let option = name.strip_prefix("CONFIG_")?;
        Some((name.clone(), file.settings.get(option).map(|_| file.place(option))))
    });
    let (what, decided) = option.map_or((None, None), |(name, place)| (Some(name), place));
    Source { place: piece.place.clone(), text, what, decided }
}

/// The options that are set, as a kernel's facts have them.
pub fn config_of(options: &Options) -> Config {
    let set = options.settings.iter().filter_map(|(name, setting)| Some((name.clone(), setting.value.clone()?)));
    set.collect()
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
pub(super) const PREEMPT_BUILD: &str = "PREEMPT_BUILD";

/// The first two numbers of a compiler's version.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next().flatten().unwrap_or(0)))
}

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
            compiler: tree.compiler_numbers(),
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
    /// Those of [`header::vermagic`].
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
        self.tree.outlook(config, file, Some((release, sources.collect())), self.compiler)
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

/// A tree's headers: those of the object folder before those of the source.
struct TreeHeaders<'l> {
    layout: &'l Layout,
}

impl Headers for TreeHeaders<'_> {
    fn read(&self, path: &str) -> Result<Option<Header>> {
        let folders: [&Path; 2] = [&self.layout.object, &self.layout.source.value];
        for folder in folders.iter().take(if self.layout.is_split() { 2 } else { 1 }) {
            let file = folder.join(path);
            if let Some(text) = read_text(&file)? {
                return Ok(Some(Header { file, bytes: text.into_bytes() }));
            }
        }
        Ok(None)
    }
}
