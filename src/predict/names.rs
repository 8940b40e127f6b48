//! Does the kernel load modules at all, and one of this name: modules_disabled, the blacklist, names in use.

use crate::predict::attempt::Attempt;
use crate::predict::availability::Availability;
use crate::predict::errno;
use crate::predict::load_info::LoadInfo;
use crate::predict::message::{Effect, messages};
use crate::predict::record::{AttemptRecord, Flow};
use crate::predict::verdict::LoaderStep;

/// `may_init_module`: refuses modules on a system on which module loading is disabled.
pub(super) fn permission(attempt: &Attempt<'_>, record: &mut AttemptRecord) -> Flow {
    if let Some(source) = attempt.kernel.without_modules() {
        // Without CONFIG_MODULES, init_module and finit_module are sys_ni_syscall (kernel/sys_ni.c).
        let note = "modules are disabled (CONFIG_MODULES is not set): the kernel has no system call that loads them";
        return record.fail(LoaderStep::Permission, errno::ENOSYS, note, Some(source));
    }
    let Some(policy) = &attempt.kernel.facts.policy else { return Ok(()) };
    match policy.value.modules_disabled {
        Some(true) => {
            let note = "kernel.modules_disabled is set: no module can be loaded before the next boot";
            record.fail(LoaderStep::Permission, errno::EPERM, note, Some(&policy.source))
        }
        _ => Ok(()),
    }
}

/// `blacklisted`: `module_blacklist=` on the kernel's command line.
pub(super) fn blacklist(attempt: &Attempt<'_>, loaded: &LoadInfo<'_>, record: &mut AttemptRecord) -> Flow {
    let Some(policy) = &attempt.kernel.facts.policy else { return Ok(()) };
    if !policy.value.blacklist.contains(&loaded.name) {
        return Ok(());
    }
    if attempt.rules.since(5, 11) == Some(true) {
        record.say(BLACKLISTED.line([&loaded.name]));
    }
    let note = "its name is in module_blacklist= on the kernel's command line";
    record.fail(LoaderStep::Blacklist, errno::EPERM, note, Some(&policy.source))
}

/// Is a module of this name already loaded?
pub(super) fn taken(attempt: &Attempt<'_>, loaded: &LoadInfo<'_>, record: &mut AttemptRecord) -> Flow {
    let Some(policy) = &attempt.kernel.facts.policy else { return Ok(()) };
    let is_built_in = attempt.kernel.facts.tree.iter().any(|tree| tree.value.has_built_in(&loaded.own_name));
    if !policy.value.loaded.contains(&loaded.own_name) || is_built_in {
        return Ok(());
    }
    record.fail(LoaderStep::Name, errno::EEXIST, "a module of this name is loaded", Some(&policy.source))
}

/// `mod_sysfs_init` (kernel/module/sysfs.c, 6.1): built-in code with parameters or a version already has the directory in
/// /sys/module that this module would get.
pub(super) fn in_sysfs(attempt: &Attempt<'_>, loaded: &LoadInfo<'_>, record: &mut AttemptRecord) -> Flow {
    let facts = &attempt.kernel.facts;
    if loaded.own_name.is_empty() && loaded.has_structure() {
        // kobject_add_internal (lib/kobject.c, 5.10 to 7.2) prints a warning, which sets taint W, and creates no directory
        // without a name.
        return record.fail(
            LoaderStep::Name,
            errno::EINVAL,
            "struct module has no name, and its folder in sysfs needs one",
            None,
        );
    }
    // The directory has the name from the build, with `_`; a module with `-` in its name gets another directory. Lists of files
    // contain the files' names.
    let same = |name: &str| name == loaded.own_name;
    let in_tree = facts.tree.as_ref().filter(|tree| {
        tree.value.built_in.iter().any(|built_in| built_in.in_sysfs && same(&built_in.name.replace('-', "_")))
    });
    let in_image = facts.folders.as_ref().filter(|folders| folders.value.iter().any(|name| same(name)));
    let source = in_tree.map(|tree| &tree.source).or(in_image.map(|folders| &folders.source));
    let Some(source) = source else {
        // A module of the kernel's own tree is not built in, and an entry of the list of built-in modules without parameters
        // has no directory. Built-in code that is not a module and has parameters, such as `block`, is in no list; an image
        // without sections contains its name among many other words. Without an image and a tree, too little is known about the
        // kernel for this to matter; a running kernel shows all of /sys/module.
        let is_open = facts.folders.is_none() && facts.policy.is_none();
        let is_word = facts.prefixes.as_ref().map(|words| words.value.iter().any(|word| same(word)));
        let is_foreign = facts.tree.as_ref().is_some_and(|tree| {
            let is_listed = tree.value.has_module(&loaded.own_name) || tree.value.has_built_in(&loaded.own_name);
            tree.value.has_files() && !is_listed && is_word.unwrap_or(!tree.value.knows_built_in())
        });
        if is_open && is_foreign {
            let note = "is something of this name built into the kernel? (its modules.builtin, or its image)";
            record.unknown(LoaderStep::Name, note);
        }
        return Ok(());
    };
    record.say(ALREADY_LOADED.line([&loaded.own_name]));
    let note = "something of this name is built into the kernel, and has a folder in /sys/module";
    record.fail(LoaderStep::Name, errno::EINVAL, note, Some(source))
}

messages! {
    Some(LoaderStep::Name);
    BLACKLISTED[1] => Blacklist Effect::Refuses(errno::EPERM), Availability::Version((5, 11)),
        "Module {module} is blacklisted",
        "its name is in module_blacklist= on the kernel's command line";
    ALREADY_LOADED[1] Effect::Refuses(errno::EINVAL), Availability::Always,
        "{module}: module is already loaded",
        "something of this name is built into the kernel, or loaded, and has a folder in /sys/module";
}
