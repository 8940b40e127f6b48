//! The arguments of `patch`.

use std::path::PathBuf;

use crate::cli::confirmation::ChangeArgs;
use crate::cli::modules::Modules;
use crate::cli::patch::request::{OverrideArgs, RequestArgs};

#[derive(clap::Args)]
#[command(mut_arg("dry_run", |option| option.help("Print the plan, the guards and the digest; write nothing")))]
#[command(mut_group("Modules", |group| group.required(true)))]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    pub(super) modules: Modules,
    #[command(flatten)]
    pub(super) wanted: RequestArgs,
    /// Write a new file, which must not exist, and do not change the module
    #[arg(short, long, value_name = "OUT")]
    pub(super) output: Option<PathBuf>,
    #[command(flatten)]
    pub(super) change: ChangeArgs,
    /// With -n and several modules: also list the modules that each guard refuses
    #[arg(long, requires = "dry_run", conflicts_with = "json")]
    pub(super) list: bool,
    /// Compress the backups (zstd)
    #[arg(long)]
    pub(super) vault_compress: bool,
    #[command(flatten)]
    pub(super) overrides: OverrideArgs,
}
