//! The arguments that select modules.

use std::path::PathBuf;

use crate::cli::output::{self, Session};
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
        FileSelection { modules: self.modules.clone(), list: self.files_from.clone(), ..FileSelection::default() }
    }

    /// The selection that the arguments describe, of the files of this session's system.
    pub(super) fn selection_in(&self, session: &Session<'_>) -> FileSelection {
        FileSelection { root: session.root.clone(), ..self.selection() }
    }

    /// The words of the command line that select the same modules, quoted for a shell.
    pub(super) fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = self.modules.iter().map(|module| output::shell_word(module)).collect();
        words.extend(self.files_from.iter().map(|list| format!("--files-from {}", output::shell_word(list))));
        words
    }
}
