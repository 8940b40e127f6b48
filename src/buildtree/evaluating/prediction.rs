//! A vermagic, each token with the lines that it comes from.

use std::path::Path;

use serde::{Serialize, Serializer};

use crate::buildtree::evaluating::header::{self, AlternativePiece, HeaderInputs, HeaderVermagic, VermagicPiece};
use crate::buildtree::file_line::FileLine;
use crate::buildtree::preprocessor::{HeaderFile, HeaderSource, Spelled};
use crate::buildtree::reading::files::read_text;
use crate::buildtree::reading::layout::TreeLayout;
use crate::buildtree::reading::options::Options;
use crate::buildtree::reading::tree::BuildTree;
use crate::error::Result;
use crate::kernel::Config;
use crate::text::JsonText;
use crate::vermagic::{TokenKind, Vermagic};

/// A vermagic, and the lines that it comes from.
#[derive(Clone, Debug, Default, Serialize)]
pub struct VermagicPrediction {
    /// The vermagic; `None` if a part of it is not known.
    #[serde(serialize_with = "vermagic_or_null")]
    pub vermagic: Option<Vermagic>,
    /// Its tokens in order, as far as they are known.
    pub tokens: Vec<TracedToken>,
    /// Why it is not known, one line each.
    pub unknown: Vec<String>,
    /// Its parts under other conditions.
    #[serde(skip)]
    pub others: Vec<AlternativePiece>,
}

/// A vermagic in a document; null if it is not known.
pub(crate) fn vermagic_or_null<S: Serializer>(
    vermagic: &Option<Vermagic>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    vermagic.as_ref().map(|vermagic| JsonText::of(vermagic.as_bytes())).serialize(serializer)
}

/// A token, and the lines that it comes from.
#[derive(Clone, Debug, Serialize)]
pub struct TracedToken {
    /// Its kind.
    pub kind: TokenKind,
    /// Its text. Escape it before showing it.
    pub text: String,
    /// The lines, in order.
    pub sources: Vec<TokenSource>,
}

/// A line that a token, or a part of one, comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenSource {
    /// The line.
    pub place: FileLine,
    /// The part of the token that comes from it.
    pub text: String,
    /// What the line is, or which option selects it: `EXTRAVERSION`, `CONFIG_SMP`.
    pub what: Option<String>,
    /// The line of that option.
    pub decided: Option<FileLine>,
}

/// What a prediction starts from.
pub(super) struct PredictionInputs<'i> {
    /// The configuration.
    pub(super) config: &'i Config,
    /// The file that names the lines of its options.
    pub(super) file: &'i Options,
    /// The release, and the lines that it comes from.
    pub(super) release: &'i str,
    pub(super) sources: Vec<TokenSource>,
    /// The first two numbers of the compiler's version.
    pub(super) compiler: Option<(u32, u32)>,
}

impl VermagicPrediction {
    pub(super) fn unknown(why: String) -> VermagicPrediction {
        VermagicPrediction { unknown: vec![why], ..VermagicPrediction::default() }
    }

    /// The prediction for a tree with these inputs.
    ///
    /// # Errors
    ///
    /// Those of [`header::vermagic`].
    pub(super) fn of(tree: &BuildTree, inputs: PredictionInputs<'_>) -> Result<VermagicPrediction> {
        let Some(architecture) = &tree.layout.srcarch else {
            return Ok(VermagicPrediction::unknown("the architecture is not known; set ARCH".to_owned()));
        };
        let place =
            inputs.sources.first().map_or_else(|| FileLine::whole(&tree.layout.object), |source| source.place.clone());
        let given = HeaderInputs {
            config: inputs.config,
            architecture: &architecture.value,
            release: Some((inputs.release, place)),
            compiler: inputs.compiler,
        };
        let carried =
            header::vermagic(&TreeHeaders { layout: &tree.layout }, &given).map_err(|e| e.on(&tree.layout.object))?;
        Ok(VermagicPrediction::traced(carried, inputs.file, &inputs.sources))
    }

    fn traced(carried: HeaderVermagic, file: &Options, release: &[TokenSource]) -> VermagicPrediction {
        let known = Vermagic::parse(&carried.known());
        let traced = |token: &crate::vermagic::Token| TracedToken {
            kind: token.kind,
            text: token.text.clone(),
            sources: match token.kind {
                TokenKind::Release if !release.is_empty() => release.to_vec(),
                TokenKind::Compiler => carried
                    .pieces_of(&token.range)
                    .first()
                    .map(|piece| TokenSource {
                        text: token.text.clone(),
                        what: Some("the compiler's version".to_owned()),
                        ..source(piece, file)
                    })
                    .into_iter()
                    .collect(),
                _ => carried.pieces_of(&token.range).into_iter().map(|piece| source(piece, file)).collect(),
            },
        };
        let unknown = carried.unknown().into_iter().map(|one| match one.name.as_str() {
            "__GNUC__" | "__GNUC_MINOR__" => {
                format!("{}: the compiler defines {}, and none could be run", one.place, one.name)
            }
            name => format!("{}: nothing defines {name}", one.place),
        });
        VermagicPrediction {
            vermagic: carried.vermagic(),
            // A compiler's token without its version contains no information.
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

fn source(piece: &VermagicPiece, file: &Options) -> TokenSource {
    let text = match &piece.said {
        Spelled::Text(text) => String::from_utf8_lossy(text).trim_end().to_owned(),
        Spelled::Token(name) => name.clone(),
    };
    let option = piece.conditions.iter().rev().flat_map(|condition| &condition.names).find_map(|name| {
        let option = name.strip_prefix("CONFIG_")?;
        Some((name.clone(), file.settings.get(option).map(|_| file.place(option))))
    });
    let (what, decided) = option.map_or((None, None), |(name, place)| (Some(name), place));
    TokenSource { place: piece.place.clone(), text, what, decided }
}

/// A tree's headers: those of the object folder first, then those of the source.
struct TreeHeaders<'l> {
    layout: &'l TreeLayout,
}

impl HeaderSource for TreeHeaders<'_> {
    fn read(&self, path: &str) -> Result<Option<HeaderFile>> {
        let folders: [&Path; 2] = [&self.layout.object, &self.layout.source.value];
        for folder in folders.iter().take(if self.layout.is_split() { 2 } else { 1 }) {
            let file = folder.join(path);
            if let Some(text) = read_text(&file)? {
                return Ok(Some(HeaderFile { file, bytes: text.into_bytes() }));
            }
        }
        Ok(None)
    }
}
