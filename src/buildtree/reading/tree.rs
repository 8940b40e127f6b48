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

/// Everything that is read of a tree, by [`BuildTree::read`].
#[derive(Clone, Debug, Serialize)]
pub struct BuildTree {
    /// Which folder holds what, and what kind of tree it is.
    pub layout: TreeLayout,
    /// `VERSION` to `EXTRAVERSION` of the source's Makefile.
    pub version: MakefileVersion,
    /// `.config` of the object folder; `None` if the tree is not configured, or a package leaves it out.
    pub config: Option<Options>,
    /// The generated configuration: `include/config/auto.conf`, or the header of an older tree.
    pub auto: Option<Options>,
    /// The options in which the two differ: then the next `make` regenerates the second.
    pub stale_options: Vec<StaleOption>,
    /// How this age gathers `localversion*` files.
    pub gathering: Gathering,
    /// `localversion*` files, in the order in which they are appended.
    pub localversions: Vec<LocalVersion>,
    /// The text that the tree's own `scripts/setlocalversion` would append.
    pub scm: ScmSuffix,
    /// The files that the last build left.
    pub generated: GeneratedFiles,
    /// The compiler that the configuration records, and the one that would be used.
    pub compilers: Compilers,
    /// What is odd about it, one line each; escape them before showing them.
    pub notes: Vec<String>,
    /// The variables that make would get.
    #[serde(skip)]
    pub call: MakeArguments,
}

/// The variables that make would get from the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MakeArguments {
    /// `LOCALVERSION`; the empty string is different from `None`.
    pub localversion: Option<String>,
    /// `ARCH`.
    pub arch: Option<String>,
    /// `CC`.
    pub cc: Option<String>,
    /// `CROSS_COMPILE`.
    pub cross_compile: Option<String>,
}

impl MakeArguments {
    /// The variables of this program's environment.
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
    /// The options of the next build: `.config`, or without it the generated configuration.
    pub fn options(&self) -> Option<&Options> {
        self.config.as_ref().or(self.auto.as_ref())
    }

    /// The line of an option; the file where it belongs if it has no entry.
    pub fn place_of(&self, option: &str) -> FileLine {
        let missing = || FileLine::whole(self.layout.object.join(".config"));
        self.options().map_or_else(missing, |options| options.place(option))
    }

    /// What is odd about the parts taken together.
    fn note_parts(&mut self) {
        if let Some(line) = self.version.windows_lines.first() {
            let place = FileLine::new(&self.version.version.place.file, *line);
            self.notes.push(carriage_returns(&place));
        }
    }

    /// Reads a tree. Nothing is written; git and the compiler are run.
    ///
    /// # Errors
    ///
    /// Those of [`TreeLayout::read`] and [`MakefileVersion::parse`], and [`crate::error::ErrorKind::Io`] for a file of the tree that
    /// cannot be read: without it the answer could be wrong.
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
        // The next make generates the configuration from `.config`, if there is one.
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
                "{at} is for {own}, {built_at} for {built}: a configuration of another architecture was copied here"
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

/// The generated configuration, its newest form first, and whether it is a header.
const AUTO: [(&str, bool); 4] = [
    ("include/config/auto.conf", false),
    ("include/generated/autoconf.h", true),
    ("include/linux/autoconf.h", true),
    ("include/linux/config.h", true),
];

/// The options of the first existing file that contains any.
///
/// # Errors
///
/// [`crate::error::ErrorKind::Io`] if one cannot be read.
fn options_in(object: &Path, files: &[(&str, bool)], notes: &mut Vec<String>) -> Result<Option<Options>> {
    for (below, is_header) in files {
        let file: PathBuf = object.join(below);
        let Some(text) = read_text(&file)? else { continue };
        let options = if *is_header { Options::parse_header(&text, &file) } else { Options::parse(&text, &file) };
        if !options.settings.is_empty() {
            if let Some(line) = text.split('\n').position(|line| line.ends_with('\r')) {
                notes.push(carriage_returns(&FileLine::new(&file, line + 1)));
            }
            return Ok(Some(options));
        }
    }
    Ok(None)
}

/// For make and the compiler a carriage return is part of the last word.
fn carriage_returns(place: &FileLine) -> String {
    format!("{place} ends with a carriage return: remove the carriage returns from the file")
}
