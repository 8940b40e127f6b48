//! What programs print that load modules: kmod, module-init-tools, busybox, toybox, Android's init, OpenWrt's kmodloader,
//! systemd, depmod, dkms.
//!
//! kmod 0 to 34 (tools/, libkmod/), module-init-tools 3.16 (insmod.c, modprobe.c), busybox 1.37 (modutils/), toybox
//! (toys/other/), Android's system/core (init/, libmodprobe/), OpenWrt's ubox (kmodloader.c), systemd (src/modules-load, src/shared/module-util.c),
//! dkms 2.2 to 3.

/// What a line of a program says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// The system call failed, with the error in the place `error`.
    Failed,
    /// There is no such module.
    NotFound,
    /// There is no index of modules for the kernel.
    NoIndex,
    /// The module is in use, or cannot be removed.
    NotRemoved,
    /// The module is built into the kernel, or loaded.
    Present,
    /// The module was not built.
    NotBuilt,
    /// Something else, which the meaning says.
    Remark,
}

/// A line of a program. Its places are `module` (a name), `file` (a path of the module), `error` and `release`.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProgramLine {
    pub(super) program: &'static str,
    pub(super) text: &'static str,
    pub(super) report: Report,
    pub(super) meaning: &'static str,
}

const fn line(program: &'static str, report: Report, text: &'static str, meaning: &'static str) -> ProgramLine {
    ProgramLine { program, text, report, meaning }
}

const fn failed(program: &'static str, text: &'static str) -> ProgramLine {
    line(program, Report::Failed, text, "")
}

const NO_SUCH: &str = "no module {module} is in the folder of the kernel, or in its index (depmod -a)";
const NO_INDEX: &str = "there is no index of modules for the kernel {release}: its modules are not installed, or another kernel runs than is installed";
const IN_USE: &str = "the module is in use";

/// These lines.
#[rustfmt::skip]
pub(super) const LINES: &[ProgramLine] = &[
    // kmod
    failed("insmod (kmod)", "insmod: ERROR: could not insert module {file:*}: {error:*}"),
    failed("insmod (kmod)", "insmod: ERROR: could not load module {file:*}: {error:*}"),
    failed("insmod (kmod)", "Error: could not insert module {file:*}: {error:*}"),
    failed("insmod (kmod)", "ERROR: could not insert module {file:*}: {error:*}"),
    failed("modprobe (kmod)", "modprobe: ERROR: could not insert '{module}': {error:*}"),
    failed("modprobe (kmod)", "ERROR: could not insert '{module}': {error:*}"),
    failed("modprobe (kmod)", "modprobe: ERROR: {source:*} kmod_module_insert_module: could not insert '{module}': {error:*}"),
    failed("modprobe (kmod)", "libkmod: ERROR {source:*}: could not insert '{module}': {error:*}"),
    line("modprobe (kmod)", Report::NotFound, "modprobe: FATAL: Module {module} not found in directory /lib/modules/{release}", NO_SUCH),
    line("modprobe (kmod)", Report::NotFound, "modprobe: FATAL: Module {module} not found in directory {folder:*}/lib/modules/{release}", NO_SUCH),
    line("modprobe (kmod)", Report::NotFound, "modprobe: FATAL: Module {module} not found.", NO_SUCH),
    line("modprobe (kmod)", Report::NotFound, "modprobe: ERROR: could not find module by name='{module}'", NO_SUCH),
    line("modprobe (kmod)", Report::NotFound, "modprobe: ERROR: {source:*} kmod_module_insert_module() could not find module by name='{module}'", NO_SUCH),
    line("modprobe (kmod)", Report::NotFound, "libkmod: ERROR {source:*} kmod_module_insert_module: could not find module by name='{module}'", NO_SUCH),
    line("modinfo (kmod)", Report::NotFound, "modinfo: ERROR: Module {module} not found.", NO_SUCH),
    line("modinfo (kmod)", Report::NotFound, "modinfo: ERROR: Module alias {module} not found.", NO_SUCH),
    line("modprobe (kmod)", Report::NoIndex, "modprobe: ERROR: {source:*} kmod_search_moddep() could not open moddep file '/lib/modules/{release}/modules.dep.bin'", NO_INDEX),
    line("modprobe (kmod)", Report::NoIndex, "libkmod: ERROR {source:*} kmod_search_moddep: could not open moddep file '/lib/modules/{release}/modules.dep.bin'", NO_INDEX),
    line("modprobe (kmod)", Report::NoIndex, "modprobe: WARNING: {source:*} kmod_lookup_alias_from_builtin_file: could not open builtin file '/lib/modules/{release}/modules.builtin.bin'", NO_INDEX),
    line("modprobe (kmod)", Report::NoIndex, "libkmod: kmod_lookup_alias_from_builtin_file: could not open builtin file '/lib/modules/{release}/modules.builtin.bin'", NO_INDEX),
    line("modprobe (kmod)", Report::NoIndex, "modprobe: FATAL: Could not load /lib/modules/{release}/modules.dep: {error:*}", NO_INDEX),
    line("modprobe (kmod)", Report::Remark, "modprobe: ERROR: Error running install command for {module}", "an install command of modprobe.d failed in place of {module}"),
    line("modprobe (kmod)", Report::Remark, "modprobe: ERROR: Error running install command '{command:*}' for module {module}: retcode {status:d}", "the install command of modprobe.d that replaces {module} failed: {command}"),
    line("modprobe (kmod)", Report::Remark, "modprobe: ERROR: {source:*} command_do() Error running install command for {module}", "an install command of modprobe.d failed in place of {module}"),
    line("modprobe (kmod)", Report::Present, "modprobe: ERROR: Module {module} is builtin.", "it is built into the kernel"),
    line("modprobe (kmod)", Report::Present, "modprobe: FATAL: Module {module} is builtin.", "it is built into the kernel"),
    line("modprobe (kmod)", Report::NotRemoved, "modprobe: FATAL: Module {module} is in use.", IN_USE),
    line("rmmod (kmod)", Report::NotRemoved, "rmmod: ERROR: Module {module} is in use", IN_USE),
    line("rmmod (kmod)", Report::NotRemoved, "rmmod: ERROR: Module {module} is in use by: {users:*}", "these modules use it: {users}"),
    line("rmmod (kmod)", Report::NotRemoved, "rmmod: ERROR: Module {module} is not currently loaded", "no module of this name is loaded"),
    line("rmmod (kmod)", Report::NotRemoved, "rmmod: ERROR: Module {module} is builtin.", "it is built into the kernel, and stays there"),
    line("rmmod (kmod)", Report::NotRemoved, "rmmod: ERROR: could not remove module {module}: {error:*}", "the kernel does not remove it"),
    line("rmmod (kmod)", Report::NotRemoved, "rmmod: ERROR: {source:*} could not remove '{module}': {error:*}", "the kernel does not remove it"),
    line("rmmod (kmod)", Report::NotRemoved, "rmmod: ERROR: could not remove '{module}': {error:*}", "the kernel does not remove it"),
    line("depmod (kmod)", Report::Remark, "depmod: WARNING: {file:*} needs unknown symbol {symbol}", "neither the kernel's System.map nor a module exports {symbol}: loading it will fail"),
    line("depmod (kmod)", Report::Remark, "depmod: WARNING: {file:*} disagrees about version of symbol {symbol}", "its CRC of {symbol} is not that of the kernel's build: loading it will fail"),
    line("depmod (kmod)", Report::Remark, "WARNING: {file:*} needs unknown symbol {symbol}", "neither the kernel's System.map nor a module exports {symbol}: loading it will fail"),
    line("depmod (kmod)", Report::NoIndex, "depmod: ERROR: could not open directory /lib/modules/{release}: {error:*}", NO_INDEX),
    line("depmod (kmod)", Report::Remark, "depmod: FATAL: could not search modules: {error:*}", "depmod found no modules"),
    line("depmod (kmod)", Report::Remark, "depmod: ERROR: Found {count:d} modules in dependency cycles!", "modules need each other in a circle"),
    // module-init-tools
    failed("insmod (module-init-tools)", "insmod: error inserting '{file:*}': -1 {error:*}"),
    failed("insmod (module-init-tools)", "insmod: error inserting '{file:*}': {code:d} {error:*}"),
    failed("modprobe (module-init-tools)", "FATAL: Error inserting {module} ({file:*}): {error:*}"),
    failed("modprobe (module-init-tools)", "WARNING: Error inserting {module} ({file:*}): {error:*}"),
    failed("modprobe (module-init-tools)", "modprobe: FATAL: Error inserting {module} ({file:*}): {error:*}"),
    line("modprobe (module-init-tools)", Report::NotFound, "FATAL: Module {module} not found.", NO_SUCH),
    line("modprobe (module-init-tools)", Report::NoIndex, "FATAL: Could not load /lib/modules/{release}/modules.dep: {error:*}", NO_INDEX),
    line("modprobe (module-init-tools)", Report::NoIndex, "WARNING: Couldn't open directory /lib/modules/{release}: {error:*}", NO_INDEX),
    line("rmmod (module-init-tools)", Report::NotRemoved, "ERROR: Module {module} is in use by {users:*}", "these modules use it: {users}"),
    line("rmmod (module-init-tools)", Report::NotRemoved, "ERROR: Module {module} does not exist in /proc/modules", "no module of this name is loaded"),
    line("rmmod (module-init-tools)", Report::NotRemoved, "ERROR: Removing '{module}': {error:*}", "the kernel does not remove it"),
    // busybox
    failed("insmod (busybox)", "insmod: can't insert '{file:*}': {error:*}"),
    failed("insmod (busybox)", "insmod: cannot insert '{file:*}': {error:*}"),
    failed("insmod (busybox)", "insmod: cannot insert `{file:*}': {error:*}"),
    failed("modprobe (busybox)", "modprobe: can't load module {module} ({file:*}): {error:*}"),
    failed("modprobe (busybox)", "modprobe: failed to load module {module} ({file:*}): {error:*}"),
    line("modprobe (busybox)", Report::NotFound, "modprobe: module {module} not found in modules.dep", NO_SUCH),
    line("modprobe (busybox)", Report::NotFound, "modprobe: module '{module}' not found", NO_SUCH),
    line("modprobe (busybox)", Report::NoIndex, "modprobe: can't change directory to '/lib/modules/{release}': {error:*}", NO_INDEX),
    line("modprobe (busybox)", Report::NoIndex, "modprobe: can't change directory to '{release}': {error:*}", NO_INDEX),
    line("modprobe (busybox)", Report::NoIndex, "depmod: can't change directory to 'lib/modules/{release}': {error:*}", NO_INDEX),
    line("rmmod (busybox)", Report::NotRemoved, "rmmod: can't unload module '{module}': {error:*}", "the kernel does not remove it"),
    // toybox, Android
    failed("insmod (toybox)", "insmod: failed to load {file:*}: {error:*}"),
    failed("insmod (Android's toolbox)", "insmod: init_module '{file:*}' failed ({error:*})"),
    failed("modprobe (toybox)", "modprobe: Failed to insert '{file:*}': {error:*}"),
    failed("Android's libmodprobe", "Failed to insmod '{file:*}' with args '{arguments:*}': {error:*}"),
    failed("Android's libmodprobe", "Failed to insmod '{file:*}': {error:*}"),
    failed("Android's init", "{command:*} failed: finit_module for \"{file:*}\" failed: {error:*}"),
    failed("Android's init", "finit_module for \"{file:*}\" failed: {error:*}"),
    line("Android's libmodprobe", Report::NotFound, "LoadWithAliases was unable to load {module}, tried: {names:*}", NO_SUCH),
    line("Android's libmodprobe", Report::Remark, "LoadWithAliases was unable to load {module}", "no module of this name or alias could be loaded; the lines before say why"),
    line("Android's init", Report::Remark, "Failed to load kernel modules", "a module that the boot needs could not be loaded; the lines before say which"),
    line("Android's init", Report::Remark, "Failed to load kernel module {module}", "a module that the boot needs could not be loaded"),
    // OpenWrt
    line("kmodloader (OpenWrt)", Report::Failed, "failed to insert {file:*}", "the kernel refused it; its log has the reason"),
    line("kmodloader (OpenWrt)", Report::NotFound, "failed to find a module named {module}", NO_SUCH),
    line("kmodloader (OpenWrt)", Report::Present, "module is already loaded - {module}", "a module of this name is loaded"),
    line("kmodloader (OpenWrt)", Report::Remark, "{count:d} module could not be probed", "the next lines name the module; the kernel's log has the reason"),
    line("kmodloader (OpenWrt)", Report::Remark, "{count:d} modules could not be probed", "the next lines name the modules; the kernel's log has the reasons"),
    line("kmodloader (OpenWrt)", Report::Remark, "failed to read full module {file:*}", "the file is larger than kmodloader reads, or damaged"),
    // systemd
    failed("systemd-modules-load", "Failed to insert module '{module}': {error:*}"),
    failed("systemd-modules-load", "Failed to insert '{module}': {error:*}"),
    failed("systemd-modules-load", "Failed to load module '{module}': {error:*}"),
    line("systemd-modules-load", Report::NotFound, "Failed to find module '{module}'", NO_SUCH),
    line("systemd-modules-load", Report::NotFound, "Failed to lookup module alias '{module}': {error:*}", NO_SUCH),
    line("systemd-modules-load", Report::NotFound, "Failed to look up module alias '{module}': {error:*}", NO_SUCH),
    line("systemd-modules-load", Report::Remark, "Module '{module}' is deny-listed", "modprobe.d says not to load it"),
    line("systemd-modules-load", Report::Remark, "Module '{module}' is blacklisted", "modprobe.d says not to load it"),
    line("systemd-modules-load", Report::Present, "Module '{module}' is built in", "it is built into the kernel"),
    // dkms
    line("dkms", Report::NotBuilt, "Error! Bad return status for module build on kernel: {release} ({machine})", "the module's source does not compile for {release}; make.log has the compiler's message"),
    line("dkms", Report::NotBuilt, "Error! Your kernel headers for kernel {release} cannot be found.", "the headers of {release} are not installed"),
    line("dkms", Report::NotBuilt, "Error! Your kernel headers for kernel {release} cannot be found at /lib/modules/{release2}/build or /lib/modules/{release3}/source.", "the headers of {release} are not installed"),
    line("dkms", Report::NotBuilt, "Error! Your kernel headers for kernel {release} cannot be found at /usr/lib/modules/{release2}/build or /usr/lib/modules/{release3}/source.", "the headers of {release} are not installed"),
    line("dkms", Report::NotBuilt, "Error! echo Your kernel headers for kernel {release} cannot be found.", "the headers of {release} are not installed"),
    line("dkms", Report::NotBuilt, "Module build for kernel {release} was skipped since the", "the headers of {release} are not installed"),
    line("dkms", Report::NotBuilt, "Module build for kernel {release} was skipped since the kernel headers for this kernel do not seem to be installed.", "the headers of {release} are not installed"),
    line("dkms", Report::NotBuilt, "Module build for kernel {release} was skipped since the kernel headers for this kernel does not seem to be installed.", "the headers of {release} are not installed"),
    line("dkms", Report::NotBuilt, "Error! The {file:*}/dkms.conf for module {module} includes a BUILD_EXCLUSIVE directive which does not match this kernel/arch/config.", "the module's dkms.conf excludes this kernel"),
    line("dkms", Report::NotBuilt, "Error! The {file:*}/dkms.conf for module {module} includes a BUILD_EXCLUSIVE directive which", "the module's dkms.conf excludes this kernel"),
    line("dkms", Report::NotBuilt, "Error! Could not find module source directory.", "dkms has no source of this version in /usr/src"),
    line("dkms", Report::Remark, "Error! DKMS tree already contains: {module}", "dkms knows this module and version already"),
    line("dkms", Report::Remark, "Diff between built and installed module!", "the installed file is not the one that dkms built: somebody copied another over it"),
    line("dkms", Report::Remark, "Error! Module version {version:*} for {module}", "the installed module is not older than that of dkms, so dkms does not replace it"),
];
