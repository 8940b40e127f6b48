//! The commands that make a tree ready for building modules and build one, in order, as kernels of its age want them.
//! Pure.
//!
//! What each age has, by its own documents and Makefile:
//!
//! | kernel | what changed | source |
//! |---|---|---|
//! | 2.4 | modules are built in another way altogether: nothing here | |
//! | 2.6.0 | external modules by `SUBDIRS=`; a tree is ready after a whole `make` | Documentation/modules.txt |
//! | 2.6.6 | `modules_prepare`, and symbol versions come from `Module.symvers`, no longer from `vmlinux` | "kbuild: Improved external module support", 20 April 2004 |
//! | 2.6.7 | external modules by `M=` (surely in 2.6.9; `SUBDIRS=` went on until 5.2) | Documentation/kbuild/modules.txt |
//! | 3.7 | `olddefconfig`, which asks nothing; before it `oldconfig` asks for each option that is new | scripts/kconfig/Makefile |
//! | 5.10 | without `Module.symvers` each symbol is an error and no warning, unless `KBUILD_MODPOST_WARN=1` (so in 5.10, 6.12 and 7.2; 6.1 only warns); older ones have the variable too | scripts/Makefile.modpost |
//!
//! In all of them `modules_prepare` makes no `Module.symvers`: where a kernel has symbol versions, a tree needs a whole
//! build or that kernel's own file (Documentation/kbuild/modules.txt of 2.6.9, modules.rst of 5.x).

use serde::Serialize;

use crate::buildtree::reading::makefile::KernelNumbers;

/// A tree, and what it lacks. Paths are absolute, for make changes its folder, and words for a shell already: quoted
/// where they must be.
#[derive(Clone, Copy, Debug, Default)]
pub struct BuildNeeds<'a> {
    /// The version that the tree's Makefile has.
    pub version: KernelNumbers,
    /// The folder of the source, or of the headers.
    pub folder: &'a str,
    /// The folder of the build, where it is another (`O=`).
    pub output: Option<&'a str>,
    /// The kernel's name for the architecture (`arm64`), where it is not this machine's.
    pub arch: Option<&'a str>,
    /// What stands before the names of the compiler and its like: `aarch64-linux-gnu-`.
    pub cross: Option<&'a str>,
    /// The compiler, where it is not to be make's own choice.
    pub cc: Option<&'a str>,
    /// Is `LOCALVERSION` to be set, and empty, so that nothing is added to the release for version control?
    pub without_localversion: bool,
    /// Is there no configuration at all?
    pub is_unconfigured: bool,
    /// The configuration to copy into the tree before anything else.
    pub config: Option<&'a str>,
    /// What sets single options, before the configuration is made whole: a run of the tree's own `scripts/config`.
    pub options: Option<&'a str>,
    /// The kernel's `Module.symvers`, to copy into the tree.
    pub symvers: Option<&'a str>,
    /// Is the configuration newer than what is made of it, or are generated files missing or stale?
    pub is_stale: bool,
    /// Are the programs of the build missing (`scripts/mod/modpost`)?
    pub is_unbuilt: bool,
    /// Has the tree no `Module.symvers`?
    pub has_no_symvers: bool,
    /// Has the kernel symbol versions (MODVERSIONS)?
    pub has_versions: bool,
    /// Is it of a package of headers? Nothing is made in it then: where something is missing, the package is to be
    /// installed anew.
    pub is_package: bool,
    /// The folder of the module that is to be built: `"$PWD"`.
    pub module: &'a str,
}

/// A command to paste, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BuildCommand {
    /// The line.
    pub line: String,
    /// What it does, in one sentence without its end.
    pub why: &'static str,
}

/// The commands, in order; the last one builds the module. None for kernels before 2.6, and none for a package of
/// headers that lacks something: what is made there by hand is not what its kernel was built with.
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
        // It is of all ages (2.6.0 to 7.2).
        let why =
            "a configuration to begin with; the kernel's own (/boot/config-RELEASE), copied to .config, is better";
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
            push(options.to_owned(), "the options that make the kernel's tokens");
        }
        match version {
            version if version < (3, 7, 0) => {
                let why = "makes the configuration whole; answer what is new by Enter";
                push(needs.make("oldconfig"), why);
            }
            _ => push(needs.make("olddefconfig"), "makes the configuration whole; what is new gets its default"),
        }
    }
    if lacks_symvers && has_versions {
        let why = if version < (2, 6, 6) {
            "builds the kernel and its modules: symbol versions are taken from vmlinux"
        } else {
            "builds the kernel and its modules, which alone makes Module.symvers: without it no symbol has its version"
        };
        push(needs.make("vmlinux modules"), why);
    } else if needs.config.is_some() || is_stale || is_unbuilt {
        match version {
            version if version < (2, 6, 6) => {
                push(
                    needs.make("vmlinux modules"),
                    "makes the generated files and the programs of the build, with all else",
                );
            }
            _ => push(needs.make("modules_prepare"), "makes the generated files and the programs of the build"),
        }
    }
    if let Some(symvers) = needs.symvers {
        push(format!("cp {symvers} {build}/Module.symvers"), "the kernel's own exports with their versions");
    }
    let module = if version < (2, 6, 7) { "SUBDIRS" } else { "M" };
    let warn = if lacks_symvers && !has_versions && version >= (5, 0, 0) { "KBUILD_MODPOST_WARN=1 " } else { "" };
    let why = if warn.is_empty() {
        // make goes by times: a module that another tree built is newer than its source, and stays (seen with 6.1).
        "builds the module; if another tree built it before, make it clean first: the same with clean for modules"
    } else {
        "builds the module; missing symbols are only warned of: the tree has no Module.symvers"
    };
    push(needs.make(&format!("{warn}{module}={} modules", needs.module)), why);
    commands
}

impl BuildNeeds<'_> {
    /// One run of make in this tree.
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
    fn a_tree_that_lacks_nothing_builds_at_once() {
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
        // Without the programs of the build nothing is asked about the configuration.
        assert_eq!(lines(&BuildNeeds { is_unbuilt: true, ..SOURCE }).len(), 2);
    }

    #[test]
    fn single_options_are_set_before_the_configuration_is_made_whole() {
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
    fn a_packed_configuration_is_unpacked() {
        for (config, line) in [
            ("/proc/config.gz", "gzip -dc /proc/config.gz > /usr/src/linux/.config"),
            ("'/a b/config.gz'", "gzip -dc '/a b/config.gz' > /usr/src/linux/.config"),
            ("/boot/config-gz", "cp /boot/config-gz /usr/src/linux/.config"),
        ] {
            assert_eq!(lines(&BuildNeeds { config: Some(config), ..SOURCE })[0], line);
        }
    }

    #[test]
    fn symbol_versions_need_a_whole_build_or_the_kernels_own_file() {
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
    fn without_versions_missing_exports_are_only_warned_of() {
        let none = BuildNeeds { version: (7, 2, 13), has_no_symvers: true, has_versions: false, ..SOURCE };
        assert_eq!(lines(&none), ["make -C /usr/src/linux KBUILD_MODPOST_WARN=1 M=\"$PWD\" modules"]);
        assert_eq!(lines(&BuildNeeds { version: (2, 6, 32), ..none }), ["make -C /usr/src/linux M=\"$PWD\" modules"]);
    }

    #[test]
    fn the_guides_kernel_is_built_whole() {
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
    fn a_build_elsewhere_and_for_another_machine_is_said_in_each_run() {
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
    fn nothing_is_made_in_a_package_or_before_2_6() {
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
