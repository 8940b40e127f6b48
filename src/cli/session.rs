//! The vault, the cache and the machine of a session.

use std::path::PathBuf;

use crate::cli::output::{Session, shell_word};
use crate::cli::run;
use crate::error::{Error, ErrorKind};
use crate::guard::machine::Machine;
use crate::kernel::Lookup;
use crate::vault::Vault;

impl Session<'_> {
    /// The vault, in the folder that was given or in the default one. A vault to which another user could have written is an
    /// error.
    pub(super) fn vault(&self) -> Result<Vault, Error> {
        let vault = self.vault_unchecked()?;
        vault.must_be_trusted()?;
        Ok(vault)
    }

    /// The vault, without this check.
    pub(super) fn vault_unchecked(&self) -> Result<Vault, Error> {
        Ok(Vault::at(self.state_folder()?).recording(run::record(&self.arguments)))
    }

    fn state_folder(&self) -> Result<PathBuf, Error> {
        if let Some(folder) = &self.state_dir {
            return Ok(std::path::absolute(folder).unwrap_or_else(|_| folder.clone()));
        }
        if rustix::process::geteuid().is_root() {
            return Ok("/var/lib/kmodlab".into());
        }
        let folder_in = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = folder_in("XDG_STATE_HOME").or_else(|| folder_in("HOME").map(|home| home.join(".local/state")));
        let missing =
            || Error::new(ErrorKind::Usage, "no home folder to keep backups in").hint("name a folder: --state-dir");
        Ok(home.ok_or_else(missing)?.join("kmodlab"))
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

    /// This machine, as the guards see it.
    pub(super) fn machine(&self, vault: &Vault) -> Machine {
        Machine::here(Some(vault))
    }
}
