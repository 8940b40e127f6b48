//! The arguments of `tree`.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::cli::run::MessageArg;

#[derive(clap::Args)]
#[command(mut_arg("message", |message| message.requires("fix").help("With --fix: record this text in the journal: why it is done, for whom")))]
pub(crate) struct Args {
    /// A kernel's source, headers or build tree; the build link of a module tree leads to one
    #[arg(value_name = "DIR")]
    pub(super) tree: PathBuf,
    /// The kernel that the modules must match: running, vermagic:STRING, an image (vmlinuz), a folder
    /// (/lib/modules/RELEASE), a package (.deb and others, or A+B), or a module of that kernel [default: running]
    #[arg(long = "for", value_name = "K")]
    pub(super) kernel: Option<OsString>,
    /// A module that was built here: print its imports that the kernel does not export
    #[arg(long, value_name = "MODULE")]
    pub(super) module: Option<PathBuf>,
    /// Make the changes that are edits of text files, after a confirmation and with backups; restore undoes them
    #[arg(long)]
    pub(super) fix: bool,
    /// With --fix: print the edits and their digest; write nothing
    #[arg(short = 'n', long, requires = "fix")]
    pub(super) dry_run: bool,
    /// With --fix: make exactly the edits with this digest, which -n printed
    #[arg(long, value_name = "DIGEST", requires = "fix")]
    pub(super) confirm: Option<String>,
    #[command(flatten)]
    pub(super) message: MessageArg,
    /// Build a small module with this tree in a temporary folder, which runs its makefiles, and compare
    #[arg(long, conflicts_with = "fix")]
    pub(super) prove: bool,
    /// With --prove: also load the module in a throwaway virtual machine
    #[arg(long, requires = "prove")]
    pub(super) vm: bool,
    /// One JSON document
    #[arg(long)]
    pub(super) json: bool,
}
