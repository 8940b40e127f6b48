//! A vermagic, each token with the lines that it comes from.

use std::path::Path;

use serde::Serialize;

use crate::buildtree::evaluating::header::{self, Carried, Given, Other, Piece};
use crate::buildtree::file_line::Place;
use crate::buildtree::preprocessor::{Header, Headers, Spelled};
use crate::buildtree::reading::files::read_text;
use crate::buildtree::reading::layout::Layout;
use crate::buildtree::reading::options::Options;
use crate::buildtree::reading::tree::BuildTree;
use crate::error::Result;
use crate::kernel::Config;
use crate::vermagic::{TokenKind, Vermagic};

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

/// What a prediction starts from.
pub(super) struct Inputs<'i> {
    /// The configuration.
    pub(super) config: &'i Config,
    /// The file that names the lines of its options.
    pub(super) file: &'i Options,
    /// The release, and the lines that it comes from.
    pub(super) release: &'i str,
    pub(super) sources: Vec<Source>,
    /// The first two numbers of the compiler's version.
    pub(super) compiler: Option<(u32, u32)>,
}

impl Outlook {
    pub(super) fn unknown(why: String) -> Outlook {
        Outlook { unknown: vec![why], ..Outlook::default() }
    }

    /// The prediction for a tree with these inputs.
    ///
    /// # Errors
    ///
    /// Those of [`header::vermagic`].
    pub(super) fn of(tree: &BuildTree, inputs: Inputs<'_>) -> Result<Outlook> {
        let Some(architecture) = &tree.layout.srcarch else {
            return Ok(Outlook::unknown("nothing here tells the architecture; set ARCH".to_owned()));
        };
        let place =
            inputs.sources.first().map_or_else(|| Place::whole(&tree.layout.object), |source| source.place.clone());
        let given = Given {
            config: inputs.config,
            architecture: &architecture.value,
            release: Some((inputs.release, place)),
            compiler: inputs.compiler,
        };
        let carried =
            header::vermagic(&TreeHeaders { layout: &tree.layout }, &given).map_err(|e| e.on(&tree.layout.object))?;
        Ok(Outlook::traced(carried, inputs.file, &inputs.sources))
    }

    fn traced(carried: Carried, file: &Options, release: &[Source]) -> Outlook {
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
        Spelled::Text(text) => String::from_utf8_lossy(text).trim_end().to_owned(),
        Spelled::Token(name) => name.clone(),
    };
    let option = piece.conditions.iter().rev().flat_map(|condition| &condition.names).find_map(|name| {
        let option = name.strip_prefix("CONFIG_")?;
        Some((name.clone(), file.settings.get(option).map(|_| file.place(option))))
    });
    let (what, decided) = option.map_or((None, None), |(name, place)| (Some(name), place));
    Source { place: piece.place.clone(), text, what, decided }
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
