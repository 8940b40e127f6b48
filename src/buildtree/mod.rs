//! A kernel source, headers or build tree: which version magic its modules carry, and where each part of it stands.
//!
//! - [`layout`]: which folder holds what, and what kind of tree it is
//! - [`makefile`], [`options`], [`localversion`], [`scm`]: what a release is made of
//! - [`generated`]: what the last build left of it, and of what modules need
//! - [`release`]: the release that modules carry now, and the one that a build would make anew
//! - [`preprocessor`], [`header`]: the version magic by the tree's own headers
//! - [`outlook`]: the version magic now, and the one after a build made it anew
//! - [`mend`]: what to change, against a kernel
//! - [`prove`]: a module really built there
//! - [`compiler`]: the one that is recorded, beside the one that is here
//! - [`place`]: a line of a file
//! - [`beyond`]: options that change structures or calls while the version magic stays equal
//! - [`distribution`]: whose kernel a release names, and which package has its headers
//! - [`commands`]: what to type, in order; [`lacking`]: what a tree lacks, as that is asked for
//! - `architecture`: how it is told, and what make must be told of it; `text`: reading to a bound

mod architecture;
pub mod beyond;
pub mod commands;
pub mod compiler;
pub mod distribution;
pub mod generated;
pub mod header;
pub mod lacking;
pub mod layout;
pub mod localversion;
pub mod makefile;
pub mod mend;
pub mod options;
pub mod outlook;
pub mod place;
pub mod preprocessor;
mod program;
pub mod prove;
pub mod release;
pub mod scm;
mod structures;
mod text;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use generated::{Generated, ReleaseFile};
use layout::Layout;
use localversion::{Gathering, LocalVersion};
use makefile::Version;
use options::{Options, Stale};
use outlook::Draft;
use place::Place;
use release::{PieceFrom, Releases};
use text::read_text;

/// What a tree says of itself. Made by [`BuildTree::read`].
#[derive(Clone, Debug, Serialize)]
pub struct BuildTree {
    /// Which folder holds what, and what kind of tree it is.
    pub layout: Layout,
    /// `VERSION` to `EXTRAVERSION` of the source's Makefile.
    pub version: Version,
    /// `.config` of the object folder; `None` where the tree is not configured, or a package leaves it out.
    pub config: Option<Options>,
    /// What the build reads: `include/config/auto.conf`, or the header of an older tree.
    pub auto: Option<Options>,
    /// In which options the two above differ: then the next `make` makes the second anew.
    pub stale_options: Vec<Stale>,
    /// How this age gathers `localversion*` files.
    pub gathering: Gathering,
    /// `localversion*` files, in the order in which they are appended.
    pub localversions: Vec<LocalVersion>,
    /// What the tree's own `scripts/setlocalversion` would append.
    pub scm: scm::Scm,
    /// What the last build left: release files, and what modules are built with.
    pub generated: Generated,
    /// The release that modules carry now, and the one that a build would make anew.
    pub release: Releases,
    /// The compiler that the configuration records, beside the one that would be used.
    pub compilers: compiler::Compilers,
    /// What is odd about it, one line each; escape them before showing them.
    pub notes: Vec<String>,
    /// What would be given to make.
    #[serde(skip)]
    pub call: Call,
}

/// What would be given to make beside the tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// `LOCALVERSION`; set to nothing is another thing than not set.
    pub localversion: Option<String>,
    /// `ARCH`.
    pub arch: Option<String>,
    /// `CC`.
    pub cc: Option<String>,
    /// `CROSS_COMPILE`.
    pub cross_compile: Option<String>,
}

impl Call {
    /// What this program's environment has of it.
    pub fn from_environment() -> Self {
        let variable = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        Call {
            localversion: variable("LOCALVERSION"),
            arch: variable("ARCH"),
            cc: variable("CC"),
            cross_compile: variable("CROSS_COMPILE"),
        }
    }
}

impl BuildTree {
    /// The options by which the next build goes: `.config`, and where it is not there, what the last build read.
    pub fn options(&self) -> Option<&Options> {
        self.config.as_ref().or(self.auto.as_ref())
    }

    /// Where an option stands, or belongs.
    pub fn place_of(&self, option: &str) -> Place {
        let missing = || Place::whole(self.layout.object.join(".config"));
        self.options().map_or_else(missing, |options| options.place(option))
    }

    /// Reads a tree. Nothing is written; git and the compiler are asked.
    ///
    /// # Errors
    ///
    /// Those of [`Layout::read`] and [`Version::parse`], and [`crate::error::ErrorKind::Io`] for a file of the tree that
    /// is there and can't be read: without it the answer could be wrong.
    pub fn read(dir: &Path, call: &Call) -> Result<Self> {
        let layout = Layout::read(dir, call.arch.as_deref())?;
        let top = layout.source.value.join("Makefile");
        let makefile = read_text(&top)?.unwrap_or_default();
        let version = Version::parse(&makefile, &top)?;
        let mut notes = layout.notes.clone();
        let config = options_in(&layout.object, &[(".config", false)], &mut notes)?;
        let auto = options_in(&layout.object, &AUTO, &mut notes)?;
        let stale_options = match (&config, &auto) {
            (Some(config), Some(auto)) => config.stale(auto),
            _ => Vec::new(),
        };
        // The next make makes what the build reads out of `.config`, where that is there.
        let next = config.as_ref().or(auto.as_ref());
        let is_auto = next.is_some_and(|options| options.is_yes("LOCALVERSION_AUTO"));
        let gathering = Gathering::of(&makefile);
        let localversions = gathering.read(&layout.object, &layout.source.value)?;
        let scm = scm::Scm::read(&scm::Question {
            object: &layout.object,
            source: &layout.source.value,
            makefile: &makefile,
            kernelversion: &version.kernelversion(),
            file_localversion: &localversions.iter().map(|file| file.text.as_str()).collect::<String>(),
            auto: is_auto,
            localversion_set: call.localversion.is_some(),
        })?;
        let generated = Generated::read(&layout, version.numbers(), auto.as_ref().or(config.as_ref()))?;
        let compilers = compiler::Compilers::read(&layout, next, call.cc.as_deref(), call.cross_compile.as_deref())?;
        let architecture = |options: &Option<Options>| layout.architecture_of(options.as_ref()?);
        if let (Some((own, at)), Some((built, built_at))) = (architecture(&config), architecture(&auto))
            && own != built
        {
            notes.push(format!(
                "{at} is of {own}, {built_at} of {built}: a configuration of another architecture was copied here"
            ));
        }
        let mut tree = BuildTree {
            layout,
            version,
            config,
            auto,
            stale_options,
            gathering,
            localversions,
            scm,
            generated,
            release: Releases::default(),
            compilers,
            notes,
            call: call.clone(),
        };
        tree.release = Draft::of(&tree).releases();
        must_be_short(&tree.release)?;
        note(&mut tree.notes, &tree.version, &tree.generated, &tree.release);
        Ok(tree)
    }
}

/// What the build reads of the options, the newest form first, and whether it is a header.
const AUTO: [(&str, bool); 4] = [
    ("include/config/auto.conf", false),
    ("include/generated/autoconf.h", true),
    ("include/linux/autoconf.h", true),
    ("include/linux/config.h", true),
];

/// The options of the first file that is there and has any.
///
/// # Errors
///
/// [`crate::error::ErrorKind::Io`] if one is there and can't be read.
fn options_in(object: &Path, files: &[(&str, bool)], notes: &mut Vec<String>) -> Result<Option<Options>> {
    for (below, is_header) in files {
        let file: PathBuf = object.join(below);
        let Some(text) = read_text(&file)? else { continue };
        let options = if *is_header { Options::parse_header(&text, &file) } else { Options::parse(&text, &file) };
        if !options.settings.is_empty() {
            if let Some(line) = text.split('\n').position(|line| line.ends_with('\r')) {
                notes.push(windows_ends(&Place::new(&file, line + 1)));
            }
            return Ok(Some(options));
        }
    }
    Ok(None)
}

/// Longer than anything that is meant to be part of a release, in bytes: the top Makefile takes none of more than 64.
const LONGEST_PIECE: usize = 4096;

/// # Errors
///
/// [`ErrorKind::TooLarge`] for a piece that nobody means: it would be all that the answer is of.
fn must_be_short(release: &Releases) -> Result<()> {
    let mut pieces = release.pieces.iter().chain(&release.now);
    let Some(piece) = pieces.find(|piece| piece.text.len() > LONGEST_PIECE) else { return Ok(()) };
    let (line, size) = (piece.place.line, piece.text.len());
    let what = format!("line {line}: {size} bytes of a release, which has {} characters at most", Releases::LONGEST);
    Err(Error::new(ErrorKind::TooLarge, what).hint("shorten it").on(&piece.place.file))
}

/// Make and the compiler take a carriage return for a part of the last word.
fn windows_ends(place: &Place) -> String {
    format!("{place} ends as on Windows: take the carriage returns out of the file")
}

/// What is odd about the parts taken together.
fn note(notes: &mut Vec<String>, version: &Version, generated: &Generated, release: &Releases) {
    if let Some(line) = version.windows_lines.first() {
        let place = Place::new(&version.version.place.file, *line);
        notes.push(windows_ends(&place));
    }
    let headers = || generated.releases.iter().filter(|file| file.is_header);
    if let Some(header) = &generated.header {
        for other in headers().filter(|other| other.place.file == header.place.file && other.release != header.release)
        {
            notes.push(format!("{}: a second UTS_RELEASE, {}; the preprocessor decides", other.place, other.release));
        }
        // A package that forces a release upon each build has that in the header alone.
        let is_forced =
            release.pieces.iter().any(|piece| piece.from == PieceFrom::Forced && piece.text == header.release);
        let differ = |file: &&ReleaseFile| !file.is_header && file.release != header.release && !is_forced;
        for file in generated.releases.iter().filter(differ) {
            notes.push(format!(
                "{} says {}, {} says {}: the build was interrupted, or a file was changed by hand",
                file.place, file.release, header.place, header.release
            ));
        }
    }
    if let Some(anew) = release.anew.as_ref().filter(|anew| anew.len() > Releases::LONGEST) {
        notes.push(format!("the release {anew} has {} characters: make takes {}", anew.len(), Releases::LONGEST));
    }
}
