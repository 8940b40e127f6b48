//! The arguments that select modules.

use std::path::{Path, PathBuf};

use crate::cli::output;
use crate::error::Result;
use crate::selection::FileSelection;

// The modules that a command is about. Commands decide what none means. (No doc comment: clap would take it for the
// command's description.)
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Modules {
    /// Modules: files, or folders, which are searched without following links, 64 folders deep
    #[arg(value_name = "MODULE")]
    modules: Vec<PathBuf>,
    /// More of them, one per line, or each terminated by a NUL; '-' is stdin
    #[arg(long, value_name = "FILE")]
    files_from: Option<PathBuf>,
}

impl Modules {
    /// The selection that the arguments describe.
    pub(super) fn selection(&self) -> FileSelection {
        FileSelection { modules: self.modules.clone(), list: self.files_from.clone() }
    }

    /// Do the arguments name no module and no list?
    pub(super) fn is_empty(&self) -> bool {
        self.modules.is_empty() && self.files_from.is_none()
    }

    /// [`FileSelection::is_single`]
    pub(super) fn is_single(&self) -> bool {
        self.modules.len() == 1 && self.files_from.is_none()
    }

    /// The first path that is named.
    pub(super) fn first(&self) -> Option<&Path> {
        self.modules.first().map(PathBuf::as_path)
    }

    /// The only file that is named; `None` for several, for a directory, and with a list.
    pub(super) fn one(&self) -> Option<&Path> {
        self.modules.first().map(PathBuf::as_path).filter(|module| self.is_single() && !module.is_dir())
    }

    /// The words of the command line that select the same modules, quoted for a shell.
    pub(super) fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = self.modules.iter().map(|module| output::shell_word(module)).collect();
        words.extend(self.files_from.iter().map(|list| format!("--files-from {}", output::shell_word(list))));
        words
    }

    /// [`FileSelection::named`]
    pub(super) fn named(&self) -> Result<impl Iterator<Item = Result<PathBuf>> + Send + use<>> {
        self.selection().named()
    }

    /// [`FileSelection::files`]
    pub(super) fn files(&self) -> Result<impl Iterator<Item = Result<PathBuf>> + Send + use<>> {
        self.selection().files()
    }

    /// [`FileSelection::real_files`]
    pub(super) fn real_files(&self) -> Result<impl Iterator<Item = Result<PathBuf>> + Send + use<>> {
        self.selection().real_files()
    }

    /// [`FileSelection::count`]
    pub(super) fn count(&self) -> Option<usize> {
        output::waiting("counting", || self.selection().count())
    }
}
