//! The commands that prepare a tree for building modules and build one, in order, for the age of the tree. Pure.
//!
//! What each age has, from its own documents and Makefile:
//!
//! | kernel | what changed | source |
//! |---|---|---|
//! | 2.4 | modules are built differently: no commands | |
//! | 2.6.0 | external modules with `SUBDIRS=`; a tree is ready after a complete `make` | Documentation/modules.txt |
//! | 2.6.6 | `modules_prepare`; symbol versions come from `Module.symvers`, no longer from `vmlinux` | "kbuild: Improved external module support", 20 April 2004 |
//! | 2.6.7 | external modules with `M=` (verified in 2.6.9; `SUBDIRS=` worked until 5.2) | Documentation/kbuild/modules.txt |
//! | 3.7 | `olddefconfig`, which asks nothing; before, `oldconfig` asks about each new option | scripts/kconfig/Makefile |
//! | 5.10 | without `Module.symvers` each symbol is an error instead of a warning, unless `KBUILD_MODPOST_WARN=1` (true in 5.10, 6.12 and 7.2; 6.1 only warns); older ones have the variable too | scripts/Makefile.modpost |
//!
//! In all of them `modules_prepare` creates no `Module.symvers`: if a kernel has symbol versions, a tree needs a complete
//! build or that kernel's own file (Documentation/kbuild/modules.txt of 2.6.9, modules.rst of 5.x).

use serde::Serialize;

use crate::buildtree::reading::makefile::KernelNumbers;

/// A tree, and what it lacks for a build. Paths are absolute, because make changes its folder, and quoted for a shell.
#[derive(Clone, Copy, Debug, Default)]
pub struct BuildNeeds<'a> {
    /// The version in the tree's Makefile.
    pub version: KernelNumbers,
    /// The folder of the source, or of the headers.
    pub folder: &'a str,
    /// The folder of the build, if it is another one (`O=`).
    pub output: Option<&'a str>,
    /// The kernel's name for the architecture (`arm64`), if it is not this machine's.
    pub arch: Option<&'a str>,
    /// The prefix of the compiler's and binutils' names: `aarch64-linux-gnu-`.
    pub cross: Option<&'a str>,
    /// The compiler, if it is not make's own choice.
    pub cc: Option<&'a str>,
    /// Must `LOCALVERSION` be set to the empty string, so that nothing is appended to the release for version control?
    pub without_localversion: bool,
    /// Is there no configuration?
    pub is_unconfigured: bool,
    /// The configuration to copy into the tree first.
    pub config: Option<&'a str>,
    /// A call of the tree's own `scripts/config` that sets single options, before the configuration is completed.
    pub options: Option<&'a str>,
    /// The kernel's `Module.symvers`, to copy into the tree.
    pub symvers: Option<&'a str>,
    /// Is the configuration newer than the files generated from it, or are these missing or stale?
    pub is_stale: bool,
    /// Are the programs of the build missing (`scripts/mod/modpost`)?
    pub is_unbuilt: bool,
    /// Has the tree no `Module.symvers`?
    pub has_no_symvers: bool,
    /// Has the kernel symbol versions (MODVERSIONS)?
    pub has_versions: bool,
    /// Is it a headers package? Then nothing is built in it: if something is missing, the package must be reinstalled.
    pub is_package: bool,
    /// The folder of the module to build: `"$PWD"`.
    pub module: &'a str,
}

/// A command to paste, and its purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BuildCommand {
    /// The line.
    pub line: String,
    /// What it does, as a sentence without a full stop.
    pub why: &'static str,
}

/// The commands, in order; the last one builds the module. None for kernels before 2.6, and none for a headers package that
/// lacks something: files that are built there by hand are not those of its kernel.
pub fn commands(needs: &BuildNeeds) -> Vec<BuildCommand> {
    let BuildNeeds { version, is_stale, is_unbuilt, has_no_symvers, has_versions, is_package, .. } = *needs;
    let lacks_symvers = has_no_symvers && needs.symvers.is_none();
    let is_copied_to = needs.config.is_some() || needs.symvers.is_some();
    let lacks_something = is_stale || is_unbuilt || is_copied_to || (lacks_symvers && has_versions);
    if version < (2, 6, 0) || (is_package && lacks_something) {
        return Vec::new();
    }
    let mut commands = Vec::new();
    let mut push = |line: String, why| commands.push(BuildCommand { line, why });
    let build = needs.output.unwrap_or(needs.folder);
    if needs.is_unconfigured && needs.config.is_none() && !is_package {
        // All ages have it (2.6.0 to 7.2).
        let why =
            "a configuration to start from; the kernel's own (/boot/config-RELEASE), copied to .config, is better";
        push(needs.make("defconfig"), why);
    }
    if let Some(config) = needs.config {
        let line = match config.trim_end_matches('\'').ends_with(".gz") {
            true => format!("gzip -dc {config} > {build}/.config"),
            false => format!("cp {config} {build}/.config"),
        };
        push(line, "the kernel's own configuration");
    }
    if needs.config.is_some() || is_stale {
        if let Some(options) = needs.options {
            push(options.to_owned(), "the options that give the kernel's tokens");
        }
        match version {
            version if version < (3, 7, 0) => {
                let why = "completes the configuration; press Enter for each new option";
                push(needs.make("oldconfig"), why);
            }
            _ => push(needs.make("olddefconfig"), "completes the configuration; new options get their defaults"),
        }
    }
    if lacks_symvers && has_versions {
        let why = if version < (2, 6, 6) {
            "builds the kernel and its modules: symbol versions are read from vmlinux"
        } else {
            "builds the kernel and its modules; only that creates Module.symvers, without which no symbol has a version"
        };
        push(needs.make("vmlinux modules"), why);
    } else if needs.config.is_some() || is_stale || is_unbuilt {
        match version {
            version if version < (2, 6, 6) => {
                push(
                    needs.make("vmlinux modules"),
                    "generates the files and programs of the build, and everything else",
                );
            }
            _ => push(needs.make("modules_prepare"), "generates the files and programs of the build"),
        }
    }
    if let Some(symvers) = needs.symvers {
        push(format!("cp {symvers} {build}/Module.symvers"), "the kernel's own exports with their versions");
    }
    let module = if version < (2, 6, 7) { "SUBDIRS" } else { "M" };
    let warn = if lacks_symvers && !has_versions && version >= (5, 0, 0) { "KBUILD_MODPOST_WARN=1 " } else { "" };
    let why = if warn.is_empty() {
        // make compares times: a module that another tree built is newer than its source, and is not rebuilt (observed with 6.1).
        "builds the module; if another tree built it before, run the same with clean instead of modules first"
    } else {
        "builds the module; missing symbols give only warnings, because the tree has no Module.symvers"
    };
    push(needs.make(&format!("{warn}{module}={} modules", needs.module)), why);
    commands
}

impl BuildNeeds<'_> {
    /// One call of make in this tree.
    pub fn make(&self, targets: &str) -> String {
        let variable = |name, value: Option<&str>| value.map(|value| format!("{name}={value} ")).unwrap_or_default();
        format!(
            "make -C {} {}{}{}{}{}{targets}",
            self.folder,
            variable("O", self.output),
            variable("ARCH", self.arch),
            variable("CROSS_COMPILE", self.cross),
            variable("CC", self.cc),
            if self.without_localversion { "LOCALVERSION= " } else { "" },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: BuildNeeds = BuildNeeds {
        version: (6, 1, 192),
        folder: "/usr/src/linux",
        output: None,
        arch: None,
        cross: None,
        cc: None,
        without_localversion: false,
        is_unconfigured: false,
        config: None,
        options: None,
        symvers: None,
        is_stale: false,
        is_unbuilt: false,
        has_no_symvers: false,
        has_versions: true,
        is_package: false,
        module: "\"$PWD\"",
    };

    fn lines(needs: &BuildNeeds) -> Vec<String> {
        commands(needs).into_iter().map(|command| command.line).collect()
    }

    #[test]
    fn a_complete_tree_needs_one_command() {
        assert_eq!(lines(&SOURCE), ["make -C /usr/src/linux M=\"$PWD\" modules"]);
        let package = BuildNeeds { is_package: true, ..SOURCE };
        assert_eq!(lines(&package), lines(&SOURCE));
    }

    #[test]
    fn a_stale_tree_is_configured_and_prepared() {
        let stale = BuildNeeds { is_stale: true, ..SOURCE };
        assert_eq!(
            lines(&stale),
            [
                "make -C /usr/src/linux olddefconfig",
                "make -C /usr/src/linux modules_prepare",
                "make -C /usr/src/linux M=\"$PWD\" modules",
            ]
        );
        assert_eq!(lines(&BuildNeeds { version: (3, 6, 11), ..stale })[0], "make -C /usr/src/linux oldconfig");
        assert_eq!(lines(&BuildNeeds { version: (3, 7, 0), ..stale })[0], "make -C /usr/src/linux olddefconfig");
        // Missing programs of the build do not affect the configuration.
        assert_eq!(lines(&BuildNeeds { is_unbuilt: true, ..SOURCE }).len(), 2);
    }

    #[test]
    fn single_options_are_set_before_the_configuration_is_completed() {
        let options =
            BuildNeeds { options: Some("scripts/config -e SMP"), is_stale: true, cc: Some("gcc-12"), ..SOURCE };
        let typed = lines(&BuildNeeds { without_localversion: true, ..options });
        assert_eq!(
            typed[..2],
            ["scripts/config -e SMP", "make -C /usr/src/linux CC=gcc-12 LOCALVERSION= olddefconfig"]
        );
        let none = lines(&BuildNeeds { is_unconfigured: true, is_stale: true, ..SOURCE });
        assert_eq!(none[..2], ["make -C /usr/src/linux defconfig", "make -C /usr/src/linux olddefconfig"]);
    }

    #[test]
    fn a_compressed_configuration_is_decompressed() {
        for (config, line) in [
            ("/proc/config.gz", "gzip -dc /proc/config.gz > /usr/src/linux/.config"),
            ("'/a b/config.gz'", "gzip -dc '/a b/config.gz' > /usr/src/linux/.config"),
            ("/boot/config-gz", "cp /boot/config-gz /usr/src/linux/.config"),
        ] {
            assert_eq!(lines(&BuildNeeds { config: Some(config), ..SOURCE })[0], line);
        }
    }

    #[test]
    fn symbol_versions_need_a_complete_build_or_the_kernels_own_file() {
        let bare = BuildNeeds {
            config: Some("/boot/config-6.1.0-56-amd64"),
            has_no_symvers: true,
            is_unbuilt: true,
            ..SOURCE
        };
        assert_eq!(
            lines(&bare),
            [
                "cp /boot/config-6.1.0-56-amd64 /usr/src/linux/.config",
                "make -C /usr/src/linux olddefconfig",
                "make -C /usr/src/linux vmlinux modules",
                "make -C /usr/src/linux M=\"$PWD\" modules",
            ]
        );
        let taken = BuildNeeds { symvers: Some("/usr/src/linux-headers-6.1.0-56-amd64/Module.symvers"), ..bare };
        assert_eq!(
            lines(&taken)[2..4],
            [
                "make -C /usr/src/linux modules_prepare",
                "cp /usr/src/linux-headers-6.1.0-56-amd64/Module.symvers /usr/src/linux/Module.symvers",
            ]
        );
    }

    #[test]
    fn without_versions_missing_exports_give_only_warnings() {
        let none = BuildNeeds { version: (7, 2, 13), has_no_symvers: true, has_versions: false, ..SOURCE };
        assert_eq!(lines(&none), ["make -C /usr/src/linux KBUILD_MODPOST_WARN=1 M=\"$PWD\" modules"]);
        assert_eq!(lines(&BuildNeeds { version: (2, 6, 32), ..none }), ["make -C /usr/src/linux M=\"$PWD\" modules"]);
    }

    #[test]
    fn the_guides_kernel_needs_a_complete_build() {
        let guide = BuildNeeds { version: (2, 6, 5), is_stale: true, has_versions: false, ..SOURCE };
        assert_eq!(
            lines(&guide),
            [
                "make -C /usr/src/linux oldconfig",
                "make -C /usr/src/linux vmlinux modules",
                "make -C /usr/src/linux SUBDIRS=\"$PWD\" modules",
            ]
        );
        assert_eq!(lines(&BuildNeeds { version: (2, 6, 9), ..guide })[1], "make -C /usr/src/linux modules_prepare");
    }

    #[test]
    fn each_command_names_the_output_folder_and_the_architecture() {
        let elsewhere = BuildNeeds {
            output: Some("'/tmp/a b'"),
            arch: Some("arm64"),
            cross: Some("aarch64-linux-gnu-"),
            config: Some("config"),
            symvers: Some("Module.symvers"),
            ..SOURCE
        };
        assert_eq!(
            lines(&elsewhere),
            [
                "cp config '/tmp/a b'/.config",
                "make -C /usr/src/linux O='/tmp/a b' ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- olddefconfig",
                "make -C /usr/src/linux O='/tmp/a b' ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- modules_prepare",
                "cp Module.symvers '/tmp/a b'/Module.symvers",
                "make -C /usr/src/linux O='/tmp/a b' ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- M=\"$PWD\" modules",
            ]
        );
    }

    #[test]
    fn nothing_is_built_in_a_package_or_before_2_6() {
        for needs in [
            BuildNeeds { is_package: true, is_stale: true, ..SOURCE },
            BuildNeeds { is_package: true, is_unbuilt: true, ..SOURCE },
            BuildNeeds { is_package: true, has_no_symvers: true, ..SOURCE },
            BuildNeeds { is_package: true, config: Some("config"), ..SOURCE },
            BuildNeeds { is_package: true, symvers: Some("Module.symvers"), has_no_symvers: true, ..SOURCE },
            BuildNeeds { version: (2, 4, 37), is_stale: true, ..SOURCE },
        ] {
            assert_eq!(commands(&needs), []);
        }
    }
}
