//! A tree as one value: everything that is read of it.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::buildtree::file_line::FileLine;
use crate::buildtree::reading::compiler::Compilers;
use crate::buildtree::reading::files::read_text;
use crate::buildtree::reading::generated::GeneratedFiles;
use crate::buildtree::reading::layout::TreeLayout;
use crate::buildtree::reading::localversion::{Gathering, LocalVersion};
use crate::buildtree::reading::makefile::MakefileVersion;
use crate::buildtree::reading::options::{Options, StaleOption};
use crate::buildtree::reading::scm::{ScmInputs, ScmSuffix};
use crate::error::Result;

/// What a tree says of itself. Made by [`BuildTree::read`].
#[derive(Clone, Debug, Serialize)]
pub struct BuildTree {
    /// Which folder holds what, and what kind of tree it is.
    pub layout: TreeLayout,
    /// `VERSION` to `EXTRAVERSION` of the source's Makefile.
    pub version: MakefileVersion,
    /// `.config` of the object folder; `None` where the tree is not configured, or a package leaves it out.
    pub config: Option<Options>,
    /// What the build reads: `include/config/auto.conf`, or the header of an older tree.
    pub auto: Option<Options>,
    /// In which options the two above differ: then the next `make` makes the second anew.
    pub stale_options: Vec<StaleOption>,
    /// How this age gathers `localversion*` files.
    pub gathering: Gathering,
    /// `localversion*` files, in the order in which they are appended.
    pub localversions: Vec<LocalVersion>,
    /// What the tree's own `scripts/setlocalversion` would append.
    pub scm: ScmSuffix,
    /// What the last build left: release files, and what modules are built with.
    pub generated: GeneratedFiles,
    /// The compiler that the configuration records, beside the one that would be used.
    pub compilers: Compilers,
    /// What is odd about it, one line each; escape them before showing them.
    pub notes: Vec<String>,
    /// What would be given to make.
    #[serde(skip)]
    pub call: MakeArguments,
}

/// What would be given to make beside the tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MakeArguments {
    /// `LOCALVERSION`; set to nothing is another thing than not set.
    pub localversion: Option<String>,
    /// `ARCH`.
    pub arch: Option<String>,
    /// `CC`.
    pub cc: Option<String>,
    /// `CROSS_COMPILE`.
    pub cross_compile: Option<String>,
}

impl MakeArguments {
    /// What this program's environment has of it.
    pub fn from_environment() -> Self {
        let variable = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        MakeArguments {
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
    pub fn place_of(&self, option: &str) -> FileLine {
        let missing = || FileLine::whole(self.layout.object.join(".config"));
        self.options().map_or_else(missing, |options| options.place(option))
    }

    /// What is odd about the parts taken together.
    fn note_parts(&mut self) {
        if let Some(line) = self.version.windows_lines.first() {
            let place = FileLine::new(&self.version.version.place.file, *line);
            self.notes.push(windows_ends(&place));
        }
    }

    /// Reads a tree. Nothing is written; git and the compiler are asked.
    ///
    /// # Errors
    ///
    /// Those of [`TreeLayout::read`] and [`MakefileVersion::parse`], and [`crate::error::ErrorKind::Io`] for a file of the tree that
    /// is there and can't be read: without it the answer could be wrong.
    pub fn read(dir: &Path, call: &MakeArguments) -> Result<Self> {
        let layout = TreeLayout::read(dir, call.arch.as_deref())?;
        let top = layout.source.value.join("Makefile");
        let makefile = read_text(&top)?.unwrap_or_default();
        let version = MakefileVersion::parse(&makefile, &top)?;
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
        let scm = ScmSuffix::read(&ScmInputs {
            object: &layout.object,
            source: &layout.source.value,
            makefile: &makefile,
            kernelversion: &version.kernelversion(),
            file_localversion: &localversions.iter().map(|file| file.text.as_str()).collect::<String>(),
            auto: is_auto,
            localversion_set: call.localversion.is_some(),
        })?;
        let generated = GeneratedFiles::read(&layout, version.numbers(), auto.as_ref().or(config.as_ref()))?;
        let compilers = Compilers::read(&layout, next, call.cc.as_deref(), call.cross_compile.as_deref())?;
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
            compilers,
            notes,
            call: call.clone(),
        };
        tree.note_parts();
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
                notes.push(windows_ends(&FileLine::new(&file, line + 1)));
            }
            return Ok(Some(options));
        }
    }
    Ok(None)
}

/// Make and the compiler take a carriage return for a part of the last word.
fn windows_ends(place: &FileLine) -> String {
    format!("{place} ends as on Windows: take the carriage returns out of the file")
}
