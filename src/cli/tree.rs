//! `tree`: which version magic the modules of a build tree carry, and what to change so that it is a kernel's.

mod fix;
mod prove;
mod shown;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::buildtree::advising::abi_options::{self, AbiDifference};
use crate::buildtree::advising::commands::BuildCommand;
use crate::buildtree::advising::distribution::{self, Distribution};
use crate::buildtree::advising::fix::{Fix, FixPlan, TreeChange};
use crate::buildtree::advising::fixes;
use crate::buildtree::advising::missing;
use crate::buildtree::evaluating::current::VermagicPredictions;
use crate::buildtree::reading::options::config_of;
use crate::buildtree::{BuildTree, MakeArguments};
use crate::cli::Status;
use crate::cli::output::{self, Failure, Session, waiting};
use crate::error::Result;
use crate::kernel::{self, Fact, Kernel};
use crate::module::{self, Module};
use crate::vermagic::Vermagic;

#[derive(clap::Args)]
pub(super) struct Args {
    /// A kernel's source, headers or build tree; the build link of a module tree leads to one
    #[arg(value_name = "DIR")]
    tree: PathBuf,
    /// The kernel that modules are to fit: running, vermagic:STRING, an image (vmlinuz), a folder (/lib/modules/RELEASE),
    /// a package (.deb and others, or A+B), or a module of that kernel [default: running]
    #[arg(long = "for", value_name = "K")]
    kernel: Option<OsString>,
    /// A module that was built here: which of its imports the kernel does not export
    #[arg(long, value_name = "MODULE")]
    module: Option<PathBuf>,
    /// Make the changes that are mere text, after a confirmation, with backups; restore undoes them
    #[arg(long)]
    fix: bool,
    /// With --fix: print the changes and their digest; write nothing
    #[arg(short = 'n', long, requires = "fix")]
    dry_run: bool,
    /// With --fix: make exactly the changes of this digest, which -n printed
    #[arg(long, value_name = "DIGEST", requires = "fix")]
    confirm: Option<String>,
    /// Build a small module in a temporary folder by this tree, which runs its makefiles, and compare
    #[arg(long, conflicts_with = "fix")]
    prove: bool,
    /// With --prove: load it in a throwaway virtual machine too
    #[arg(long, requires = "prove")]
    vm: bool,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// What both were called on the command line.
struct Named<'n> {
    tree: &'n Path,
    kernel: &'n OsStr,
}

/// A tree beside a kernel.
struct Study {
    tree: BuildTree,
    predictions: VermagicPredictions,
    kernel: Kernel,
    /// The kernel's version magic.
    wanted: Fact<Vermagic>,
    plan: FixPlan,
    /// Options that differ and change structures or calls.
    beyond: Vec<AbiDifference>,
    /// Whose kernel it is, and which package has its headers.
    distribution: Option<Distribution>,
    /// What to type, in order.
    commands: Vec<BuildCommand>,
    /// Imports of the module that was named which the kernel does not export; `None` where that is not known.
    not_exported: Option<Vec<String>>,
    /// Was a module named?
    has_module: bool,
}

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let lookup = session.lookup();
    let named_kernel = args.kernel.clone().unwrap_or_else(|| "running".into());
    let name = named_kernel.to_string_lossy().into_owned();
    let tree = waiting("reading the tree", || BuildTree::read(&args.tree, &MakeArguments::from_environment()))?;
    let predictions = VermagicPredictions::of(&tree)?;
    let kernel = match waiting(&format!("reading {name}"), || kernel::named(&named_kernel, &lookup)) {
        Ok(kernel) => kernel,
        // Nobody named it: what the tree itself says is told all the same.
        Err(error) if args.kernel.is_none() && !(args.json || args.fix || args.prove) => {
            shown::print_alone(&args.tree, &tree, &predictions, session)?;
            return Err(error.hint("name the kernel that modules are to fit: --for K").into());
        }
        Err(error) => return Err(error.into()),
    };
    let module = args.module.as_deref().map(|path| module::open(path, lookup.max_size)).transpose()?;
    let named = Named { tree: &args.tree, kernel: &named_kernel };
    let study = Study::of(tree, predictions, kernel, &named, module.as_ref().map(|(_, module)| module))?;
    if args.fix {
        return fix::run(&study, &args, session);
    }
    let proof = match args.prove {
        true => Some(prove::run(&study, &args, session)?),
        false => None,
    };
    match args.json {
        true => session.json(&shown::Document::of(&args.tree, &study, proof.as_ref()))?,
        false => {
            shown::print(&args.tree, &study, session)?;
            if let Some(proof) = &proof {
                prove::print(proof, session)?;
            }
        }
    }
    let is_good = study.plan.matches && proof.as_ref().is_none_or(|proof| proof.is_good());
    let status = if is_good { Status::Done } else { Status::Negative };
    match (args.vm, &proof) {
        (true, Some(proof)) => {
            let tried = prove::try_it(proof, &named_kernel, args.json, session)?;
            Ok(if tried == Status::Done { status } else { tried })
        }
        _ => Ok(status),
    }
}

impl Study {
    fn of(
        tree: BuildTree,
        predictions: VermagicPredictions,
        kernel: Kernel,
        named: &Named<'_>,
        module: Option<&Module>,
    ) -> Result<Study> {
        let wanted = kernel.known_vermagic()?.clone();
        let plan = fixes::fix_plan(&tree, &predictions, &kernel)?;
        let options = tree.auto.as_ref().or(tree.config.as_ref()).map(config_of);
        let beyond = match (&options, &kernel.facts.config) {
            (Some(own), Some(theirs)) => abi_options::differing(own, &theirs.value, Some(tree.version.numbers())),
            _ => Vec::new(),
        };
        let release = wanted.value.release().map(|token| token.text.clone()).unwrap_or_default();
        let banner = kernel.facts.banner.as_ref().map(|banner| banner.value.as_str());
        let distribution = distribution::of(&release, banner);
        let commands = commands_for(&tree, &plan, &kernel, named);
        let has_module = module.is_some();
        let not_exported = module.and_then(|module| not_exported(module, &kernel));
        Ok(Study { tree, predictions, kernel, wanted, plan, beyond, distribution, commands, not_exported, has_module })
    }
}

/// What to type, in order: our own command first, where it has something to do.
fn commands_for(tree: &BuildTree, plan: &FixPlan, kernel: &Kernel, named: &Named<'_>) -> Vec<BuildCommand> {
    let machine = rustix::system::uname().machine().to_string_lossy().into_owned();
    let mut commands = missing::commands(tree, plan, kernel, &machine);
    let is_text = |mend: &Fix| matches!(mend.change, TreeChange::Line { .. } | TreeChange::Empty { .. });
    if plan.never.is_none() && plan.fixes.iter().any(is_text) {
        let tree = std::path::absolute(named.tree).unwrap_or_else(|_| named.tree.to_owned());
        let (tree, kernel) = (output::shell_word(&tree), output::shell_word(Path::new(named.kernel)));
        let line = format!("kmodlab tree {tree} --for {kernel} --fix");
        commands
            .insert(0, BuildCommand { line, why: "makes the changes that are mere text; kmodlab restore undoes them" });
    }
    commands
}

/// The imports of a module that nothing in the kernel exports, where all that it exports is known.
fn not_exported(module: &Module, kernel: &Kernel) -> Option<Vec<String>> {
    let exports = kernel.facts.exports.as_ref().filter(|exports| exports.value.complete)?;
    let tree = kernel.facts.tree.as_ref();
    let is_there = |name: &str| {
        exports.value.symbols.contains_key(name) || tree.is_some_and(|tree| tree.value.exporter(name).is_some())
    };
    let names =
        module.imports.iter().filter(|import| !import.is_weak).map(|import| String::from_utf8_lossy(&import.name));
    Some(names.filter(|name| !is_there(name)).map(|name| name.into_owned()).collect())
}
