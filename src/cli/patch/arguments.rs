//! The arguments of `patch`.

use std::path::PathBuf;

use crate::cli::modules::Modules;
use crate::cli::patch::request::{OverrideArgs, RequestArgs};
use crate::cli::run::MessageArg;

#[derive(clap::Args)]
#[command(mut_group("Modules", |group| group.required(true)))]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    pub(super) modules: Modules,
    #[command(flatten)]
    pub(super) wanted: RequestArgs,
    /// Write a new file, which must not exist, and do not change the module
    #[arg(short, long, value_name = "OUT")]
    pub(super) output: Option<PathBuf>,
    /// Print the plan, the guards and the digest; write nothing
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,
    /// With -n and several modules: also list the modules that each guard refuses
    #[arg(long, requires = "dry_run", conflicts_with = "json")]
    pub(super) list: bool,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Apply exactly the plan of this digest, which -n printed
    #[arg(long, value_name = "DIGEST")]
    pub(super) confirm: Option<String>,
    /// Compress the backups (zstd)
    #[arg(long)]
    pub(super) vault_compress: bool,
    #[command(flatten)]
    pub(super) message: MessageArg,
    #[command(flatten)]
    pub(super) overrides: OverrideArgs,
}
