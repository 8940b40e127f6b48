//! The two predictions for a tree as it is, and what is odd about its release.

use crate::buildtree::evaluating::draft::Draft;
use crate::buildtree::evaluating::prediction::{PredictionInputs, TokenSource, VermagicPrediction};
use crate::buildtree::evaluating::release::{ReleasePieceKind, Releases};
use crate::buildtree::file_line::FileLine;
use crate::buildtree::reading::generated::{GeneratedFiles, ReleaseFile};
use crate::buildtree::reading::layout::TreeKind;
use crate::buildtree::reading::options::config_of;
use crate::buildtree::reading::tree::BuildTree;
use crate::error::{Error, ErrorKind, Result};

/// The vermagic of the modules that a tree builds: two predictions.
#[derive(Clone, Debug)]
pub struct VermagicPredictions {
    /// The releases that the predictions start from.
    pub releases: Releases,
    /// Of a module that is built now, with the generated files as they are.
    pub current: VermagicPrediction,
    /// Of a module that is built after the next build has regenerated these files.
    pub rebuilt: VermagicPrediction,
    /// What is odd about the release, one line each; escape them before showing them.
    pub notes: Vec<String>,
}

impl VermagicPredictions {
    /// The predictions for a tree as it is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`] if a part of the release is far longer than any release; those of
    /// [`header::vermagic`](crate::buildtree::evaluating::header::vermagic).
    pub fn of(tree: &BuildTree) -> Result<VermagicPredictions> {
        let draft = Draft::of(tree);
        let releases = draft.releases();
        must_be_short(&releases)?;
        let current = current(tree, &releases)?;
        let rebuilt = match tree.layout.kind {
            TreeKind::Headers => current.clone(),
            _ => draft.prediction()?,
        };
        let notes = notes(&tree.generated, &releases);
        Ok(VermagicPredictions { releases, current, rebuilt, notes })
    }
}

fn current(tree: &BuildTree, releases: &Releases) -> Result<VermagicPrediction> {
    let built = tree.auto.as_ref().or(tree.config.as_ref());
    match (&releases.current, built) {
        (Some(release), Some(options)) => {
            let source = TokenSource {
                place: release.place.clone(),
                text: release.text.clone(),
                what: Some("UTS_RELEASE".to_owned()),
                decided: None,
            };
            let inputs = PredictionInputs {
                config: &config_of(options),
                file: options,
                release: &release.text,
                sources: vec![source],
                compiler: tree.compilers.numbers(),
            };
            VermagicPrediction::of(tree, inputs)
        }
        (None, _) => {
            let header = tree.layout.object.join(tree.generated.header_path);
            Ok(VermagicPrediction::unknown(format!(
                "{} does not exist: nothing was built here yet",
                FileLine::whole(header)
            )))
        }
        (_, None) => Ok(VermagicPrediction::unknown("the tree is not configured".to_owned())),
    }
}

/// Longer than anything that is meant to be part of a release, in bytes: the top Makefile accepts 64 for all of it.
const LONGEST_PIECE: usize = 4096;

/// # Errors
///
/// [`ErrorKind::TooLarge`] for a part that cannot be meant: the answer would consist of it.
fn must_be_short(release: &Releases) -> Result<()> {
    let mut pieces = release.pieces.iter().chain(&release.current);
    let Some(piece) = pieces.find(|piece| piece.text.len() > LONGEST_PIECE) else { return Ok(()) };
    let (line, size) = (piece.place.line, piece.text.len());
    let what = format!("line {line}: {size} bytes, but a release has at most {} characters", Releases::LONGEST);
    Err(Error::new(ErrorKind::TooLarge, what).hint("shorten it").on(&piece.place.file))
}

/// What is odd about the release and the files that hold it.
fn notes(generated: &GeneratedFiles, release: &Releases) -> Vec<String> {
    let mut notes = Vec::new();
    let headers = || generated.releases.iter().filter(|file| file.is_header);
    if let Some(header) = &generated.header {
        for other in headers().filter(|other| other.place.file == header.place.file && other.release != header.release)
        {
            notes.push(format!("{}: a second UTS_RELEASE, {}; the preprocessor decides", other.place, other.release));
        }
        // A package that forces a release onto each build has it only in the header.
        let is_forced =
            release.pieces.iter().any(|piece| piece.from == ReleasePieceKind::Forced && piece.text == header.release);
        let differ = |file: &&ReleaseFile| !file.is_header && file.release != header.release && !is_forced;
        for file in generated.releases.iter().filter(differ) {
            notes.push(format!(
                "{} has {}, {} has {}: a build was interrupted, or a file was edited by hand",
                file.place, file.release, header.place, header.release
            ));
        }
    }
    if let Some(rebuilt) = release.rebuilt.as_ref().filter(|rebuilt| rebuilt.len() > Releases::LONGEST) {
        notes.push(format!(
            "the release {rebuilt} has {} characters; make accepts at most {}",
            rebuilt.len(),
            Releases::LONGEST
        ));
    }
    notes
}
