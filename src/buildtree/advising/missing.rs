//! What a tree lacks for a build that matches a kernel, and the commands that provide it.

use std::path::Path;

use crate::buildtree::advising::architecture;
use crate::buildtree::advising::commands::{self, BuildCommand, BuildNeeds};
use crate::buildtree::advising::fix::{FixPlan, TreeChange};
use crate::buildtree::reading::layout::TreeKind;
use crate::buildtree::reading::tree::BuildTree;
use crate::escape::shell_word;
use crate::kernel::Kernel;
use crate::vermagic::{Release, TokenKind};

/// What to type, in order, on a machine (`uname -m`); nothing if no change of this tree makes it match.
pub fn commands(tree: &BuildTree, plan: &FixPlan, kernel: &Kernel, machine: &str) -> Vec<BuildCommand> {
    if plan.impossible.is_some() {
        return Vec::new();
    }
    let changes = || plan.fixes.iter().map(|fix| &fix.change);
    let config = changes().find_map(|change| match change {
        TreeChange::Config { from, .. } if Path::new(from).is_file() => Some(shell_word(Path::new(from))),
        _ => None,
    });
    let makes_stale = |change: &TreeChange| {
        !matches!(
            change,
            TreeChange::VersionControl { .. }
                | TreeChange::Compiler { .. }
                | TreeChange::Seed { .. }
                | TreeChange::Symvers { .. }
        )
    };
    let is_package = tree.layout.kind == TreeKind::Headers;
    let (source, object) = (absolute(&tree.layout.source.value), absolute(&tree.layout.object));
    // In a package of two parts, the one that was named refers to the other.
    let (folder, output) = match tree.layout.is_split() && !is_package {
        true => (&source, Some(object.as_str())),
        false => (&object, None),
    };
    let arch = match (&tree.call.arch, &tree.layout.srcarch) {
        _ if is_package => None,
        (Some(arch), _) => Some(arch.clone()),
        (None, Some(own)) => architecture::to_give(&own.value, tree.options(), machine),
        (None, None) => None,
    };
    let (options, symvers) = (set_options(tree, plan), symvers(kernel));
    commands::commands(&BuildNeeds {
        version: tree.version.numbers(),
        folder,
        output,
        arch: arch.as_deref().filter(|arch| is_plain(arch)),
        cross: tree.call.cross_compile.as_deref().filter(|cross| is_plain(cross)),
        cc: tree.call.cc.as_deref().filter(|cc| is_plain(cc)),
        without_localversion: changes().any(|change| matches!(change, TreeChange::VersionControl { .. })),
        is_unconfigured: tree.options().is_none(),
        config: config.as_deref(),
        options: options.as_deref(),
        symvers: symvers.as_deref().filter(|_| changes().any(|change| matches!(change, TreeChange::Symvers { .. }))),
        is_stale: !is_package && (!tree.stale_options.is_empty() || changes().any(makes_stale)),
        is_unbuilt: tree.generated.missing().any(|part| part.path.ends_with("modpost")),
        has_no_symvers: !tree.layout.object.join("Module.symvers").exists(),
        has_versions: kernel.vermagic.as_ref().is_some_and(|vermagic| vermagic.value.has(TokenKind::Modversions)),
        is_package,
        module: "\"$PWD\"",
    })
}

/// A folder as an absolute path, quoted for a shell.
fn absolute(folder: &Path) -> String {
    shell_word(&std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()))
}

/// The call of the tree's own script that sets the options of the fixes (scripts/config, since 2.6.30).
fn set_options(tree: &BuildTree, plan: &FixPlan) -> Option<String> {
    let script = tree.layout.source.value.join("scripts/config");
    if !script.is_file() {
        return None;
    }
    let words = plan.fixes.iter().filter_map(|fix| match &fix.change {
        TreeChange::Option { option, after, .. } => {
            let name = option.strip_prefix("CONFIG_").unwrap_or(option);
            Some(format!("{} {name}", if after == "y" { "-e" } else { "-d" }))
        }
        // This has no effect if LOCALVERSION_AUTO is already disabled.
        TreeChange::VersionControl { .. } => Some("-d LOCALVERSION_AUTO".to_owned()),
        _ => None,
    });
    let words: Vec<String> = words.collect();
    let file = absolute(&tree.layout.object.join(".config"));
    (!words.is_empty()).then(|| format!("{} --file {file} {}", absolute(&script), words.join(" ")))
}

/// The kernel's own `Module.symvers`, if its headers are installed here.
fn symvers(kernel: &Kernel) -> Option<String> {
    let vermagic = &kernel.vermagic.as_ref()?.value;
    let release = vermagic.release().map(|token| token.text.as_str()).filter(|text| Release::is_plain(text))?;
    let files = [
        format!("/lib/modules/{release}/build/Module.symvers"),
        format!("/usr/src/linux-headers-{release}/Module.symvers"),
        format!("/usr/src/kernels/{release}/Module.symvers"),
    ];
    files.iter().map(Path::new).find(|file| file.is_file()).map(shell_word)
}

/// Can the word be part of a command without quotes?
fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte))
}
