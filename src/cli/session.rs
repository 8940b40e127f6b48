//! The vault, the cache and the machine of a session.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::cli::output::{Session, shell_word};
use crate::error::{Error, ErrorKind, Remedy};
use crate::guard::enrol;
use crate::guard::machine::Machine;
use crate::kernel::{KernelName, Lookup};
use crate::vault::record::RunRecord;
use crate::vault::{Vault, places};

// (No doc comment: clap would take it for the command's description.)
#[derive(clap::Args)]
pub(super) struct ForeignArg {
    /// Read the state folder even if another user owns it or can write it; nothing is written into it
    #[arg(long)]
    foreign_state: bool,
}

impl ForeignArg {
    /// Was it given?
    pub(super) fn is_given(&self) -> bool {
        self.foreign_state
    }
}

impl Session<'_> {
    /// The vault, in the folder that was given or in the default one. A vault to which another user could have written is an
    /// error.
    pub(super) fn vault(&self) -> Result<Vault, Error> {
        let vault = self.vault_unchecked()?;
        match vault.must_be_trusted() {
            Err(error) if error.suggested() == Some(&Remedy::OwnStateFolder) => Err(self.with_others(&vault, error)),
            Err(error) => Err(error),
            Ok(()) => Ok(vault),
        }
    }

    /// The vault, which another user may own or write if `foreign` is on. Then it is only read.
    pub(super) fn vault_to_read(&self, foreign: &ForeignArg) -> Result<Vault, Error> {
        if !foreign.is_given() {
            return self.vault();
        }
        let vault = Vault::foreign(self.state_folder()?).of_system(self.root.clone());
        vault.must_be_trusted()?;
        Ok(vault)
    }

    /// The error of another user's state folder, with the places at which a state folder of this user may be.
    fn with_others(&self, vault: &Vault, error: Error) -> Error {
        let others: Vec<String> = places::others(vault.folder()).iter().map(|place| shell_word(place)).collect();
        let Some(path) = error.path().filter(|_| !others.is_empty()) else { return error };
        let hint = format!("name a folder of your own: --state-dir {}", others.join(", or "));
        Error::new(error.kind(), error.what()).on(path).hint(hint)
    }

    /// The vault, without this check.
    pub(super) fn vault_unchecked(&self) -> Result<Vault, Error> {
        Ok(Vault::at(self.state_folder()?)
            .of_system(self.root.clone())
            .recording(RunRecord::of_process(&self.arguments, enrol::machine(Path::new("/")).ok())))
    }

    fn state_folder(&self) -> Result<PathBuf, Error> {
        if let Some(folder) = &self.state_dir {
            return Ok(std::path::absolute(folder).unwrap_or_else(|_| folder.clone()));
        }
        if let Some(root) = &self.root {
            return Ok(root.named(places::ROOTS_FOLDER.as_ref()));
        }
        let missing =
            || Error::new(ErrorKind::Usage, "no home folder to keep backups in").hint("name a folder: --state-dir");
        places::default_folder().ok_or_else(missing)
    }

    /// The option that leads to the same journal, with a trailing space, if a state folder was given on the command line.
    pub(super) fn state_option(&self) -> String {
        match &self.state_dir {
            Some(folder) if std::env::var_os("KMODLAB_STATE_DIR").is_none() => {
                format!("--state-dir {} ", shell_word(folder))
            }
            _ => String::new(),
        }
    }

    /// How kernels are read: facts are cached in the cache folder of the XDG base directories.
    pub(super) fn lookup(&self) -> Lookup {
        let folder_in = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let cache = folder_in("XDG_CACHE_HOME").or_else(|| folder_in("HOME").map(|home| home.join(".cache")));
        Lookup { max_size: self.max_size, cache: cache.map(|folder| folder.join("kmodlab")) }
    }

    /// Where a file that a person names is: below the root folder of another system, if one was given.
    pub(super) fn place(&self, path: &Path) -> PathBuf {
        self.root.as_ref().map_or_else(|| path.to_owned(), |root| root.named(path))
    }

    /// The kernel of this name, which may be one of the system whose root folder was given.
    pub(super) fn kernel_name(&self, name: &OsStr) -> KernelName {
        self.root.as_ref().map_or_else(|| KernelName::from(name), |root| root.kernel_name(name))
    }

    /// This machine, as the guards see it.
    pub(super) fn machine(&self, vault: &Vault) -> Machine {
        Machine::here(Some(vault))
    }
}
