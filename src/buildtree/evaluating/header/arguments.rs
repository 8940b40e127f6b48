//! What a kernel's Makefiles pass to the compiler, as far as it affects the vermagic: the folders of headers, and macros that
//! no header defines.

use crate::buildtree::preprocessor::{Condition, HeaderSource, IncludeFolder, Location, Need};
use crate::error::Result;
use crate::kernel::Config;

/// A macro of the compiler's command line (`-D`) that an option selects.
#[derive(Debug)]
pub(super) struct CompilerArgument {
    pub(super) name: &'static str,
    pub(super) value: String,
    /// The line of the Makefile.
    pub(super) place: Location,
    /// The option, with `CONFIG_`.
    pub(super) option: String,
    /// Does the configuration select it?
    pub(super) is_given: bool,
}

impl CompilerArgument {
    pub(super) fn condition(&self) -> Condition {
        Condition {
            place: self.place.clone(),
            text: format!("$({}) -D{}={}", self.option, self.name, self.value),
            holds: true,
            names: vec![self.option.clone()],
            needs: Some(vec![Need { name: self.option.clone(), set: true }]),
        }
    }
}

/// All macros that affect the vermagic, including those that are not selected.
pub(super) fn arguments(
    headers: &impl HeaderSource,
    architecture: &str,
    config: &Config,
) -> Result<Vec<CompilerArgument>> {
    let mut found = Vec::new();
    for switch in SWITCHES {
        let is_here = headers.read(switch.makefile)?;
        let place = match &is_here {
            Some(header) => Location { file: header.file.clone(), line: line_with(&header.bytes, switch.name) },
            None => Location { file: switch.makefile.into(), line: 0 },
        };
        found.push(CompilerArgument {
            name: switch.name,
            value: "1".to_owned(),
            place,
            option: format!("CONFIG_{}", switch.option),
            is_given: is_set(config, switch.option),
        });
    }
    if ["arm", "arm26"].contains(&architecture) {
        found.extend(arm_versions(headers, architecture, config)?);
    }
    Ok(found)
}

struct CompilerSwitch {
    name: &'static str,
    option: &'static str,
    makefile: &'static str,
}

const SWITCHES: &[CompilerSwitch] = &[
    // 4.13 to 5.18
    CompilerSwitch {
        name: "RANDSTRUCT_PLUGIN",
        option: "GCC_PLUGIN_RANDSTRUCT",
        makefile: "scripts/Makefile.gcc-plugins",
    },
    // 5.19 and later, by gcc's plugin or by clang itself
    CompilerSwitch { name: "RANDSTRUCT", option: "RANDSTRUCT", makefile: "scripts/Makefile.randstruct" },
    // 4.6 to 5.7: the option exists if the compiler passed the test for it
    CompilerSwitch { name: "CC_USING_MPROFILE_KERNEL", option: "MPROFILE_KERNEL", makefile: "arch/powerpc/Makefile" },
];

fn line_with(text: &[u8], word: &str) -> usize {
    let word = format!("-D{word}");
    let has_it = |line: &str| line.split_whitespace().any(|part| part == word);
    String::from_utf8_lossy(text).lines().position(has_it).map_or(0, |at| at + 1)
}

fn is_set(config: &Config, option: &str) -> bool {
    config.get(option).is_some_and(|value| value == "y" || value == "m")
}

const ARM_VERSION: &str = "__LINUX_ARM_ARCH__";

/// `arch-$(CONFIG_CPU_32v7) =-D__LINUX_ARM_ARCH__=7 …` (before 5.17; `cpp-$(…)` since), from the architecture's own
/// Makefile. The last line whose option is set decides, as it does for make.
fn arm_versions(headers: &impl HeaderSource, architecture: &str, config: &Config) -> Result<Vec<CompilerArgument>> {
    let makefile = format!("arch/{}/Makefile", architecture);
    let mut found: Vec<CompilerArgument> = match headers.read(&makefile)? {
        Some(header) => {
            let text = String::from_utf8_lossy(&header.bytes).into_owned();
            let counting = lines_that_count(&text, config);
            let versions = counting.filter_map(|(number, line)| {
                let (option, value) = arm_version(line)?;
                Some(version(&option, &value, Location { file: header.file.clone(), line: number }))
            });
            versions.collect()
        }
        None => Vec::new(),
    };
    if found.is_empty() {
        let place = Location { file: makefile.into(), line: 0 };
        let counts = |option: &str| option != "CONFIG_CPU_32v6K" || is_set(config, "CPU_32v6");
        let versions = ARM_VERSIONS.iter().filter(|(option, _)| counts(option));
        found = versions.map(|(option, value)| version(option, value, place.clone())).collect();
    }
    let given = found.iter().rposition(|argument| {
        let option = argument.option.trim_start_matches("CONFIG_");
        is_set(config, option)
    });
    if let Some(argument) = given.and_then(|at| found.get_mut(at)) {
        argument.is_given = true;
    }
    Ok(found)
}

fn version(option: &str, value: &str, place: Location) -> CompilerArgument {
    CompilerArgument { name: ARM_VERSION, value: value.to_owned(), place, option: option.to_owned(), is_given: false }
}

/// A Makefile's lines with their numbers, without those after an `ifeq ($(CONFIG_…),y)` whose option is not set: the ARMv6K
/// line counts only for ARMv6, because ARMv7 sets its option too. Other conditions are assumed to hold.
fn lines_that_count<'a>(text: &'a str, config: &'a Config) -> impl Iterator<Item = (usize, &'a str)> {
    let mut open: Vec<bool> = Vec::new();
    text.lines().enumerate().filter_map(move |(number, line)| {
        let word = line.trim();
        if let Some(asked) = word.strip_prefix("ifeq ($(CONFIG_").and_then(|rest| rest.strip_suffix("),y)")) {
            open.push(is_set(config, asked));
        } else if let Some(asked) = word.strip_prefix("ifdef CONFIG_") {
            open.push(is_set(config, asked.trim()));
        } else if word.starts_with("if") {
            open.push(true);
        } else if word == "else" {
            // Of other conditions both branches are read.
            if let Some(last) = open.last_mut() {
                *last = true;
            }
        } else if word == "endif" {
            open.pop();
        }
        open.iter().all(|&counts| counts).then_some((number + 1, line))
    })
}

fn arm_version(line: &str) -> Option<(String, String)> {
    let line = line.split('#').next()?;
    let (left, right) = line.split_once('=')?;
    let option = left.split_once("$(")?.1.split_once(')')?.0.trim();
    let value = right.split_once("-D__LINUX_ARM_ARCH__=")?.1;
    let value: String = value.chars().take_while(char::is_ascii_digit).collect();
    (option.starts_with("CONFIG_") && !value.is_empty()).then(|| (option.to_owned(), value))
}

/// The lines of `arch/arm/Makefile` in 5.10, for headers without it.
const ARM_VERSIONS: [(&str, &str); 8] = [
    ("CONFIG_CPU_32v7M", "7"),
    ("CONFIG_CPU_32v7", "7"),
    ("CONFIG_CPU_32v6", "6"),
    ("CONFIG_CPU_32v6K", "6"),
    ("CONFIG_CPU_32v5", "5"),
    ("CONFIG_CPU_32v4T", "4"),
    ("CONFIG_CPU_32v4", "4"),
    ("CONFIG_CPU_32v3", "3"),
];

/// The folders of headers, from `LINUXINCLUDE` of the top Makefile in every age, and from the architecture's own.
pub(super) fn folders(architecture: &str, config: &Config) -> Vec<IncludeFolder> {
    let mut folders = Vec::new();
    let mut add = |prefix: &str, path: String| folders.push(IncludeFolder { prefix: prefix.to_owned(), path });
    let names = names(architecture, config);
    for name in &names {
        // Since 2.6.28; the generated folder since 3.2.
        add("", format!("arch/{name}/include/"));
        add("", format!("arch/{name}/include/generated/"));
    }
    if names.contains(&"um") {
        // Since 2.6.28; the architecture below it has the other headers.
        add("", "arch/um/include/shared/".to_owned());
        let below = config.get("SUBARCH").map_or("x86", String::as_str);
        for path in [format!("arch/{below}/um/"), format!("arch/{below}/include/")] {
            add("", path);
        }
    }
    if let Some(variant) = xtensa_variant(architecture, config) {
        // Since 2.6.28; before, include/asm-xtensa/variant was a link to such a folder, or had that name.
        add("", format!("arch/xtensa/variants/{variant}/include/"));
        add("variant/", format!("include/asm-xtensa/variant-{variant}/"));
        add("asm/variant/", format!("include/asm-xtensa/variant-{variant}/"));
    }
    // O= builds before 2.6.33 had the link include2/asm.
    for path in ["include/", "include2/"] {
        add("", path.to_owned());
    }
    for name in &names {
        // Since 3.7.
        add("", format!("arch/{name}/include/uapi/"));
        add("", format!("arch/{name}/include/generated/uapi/"));
    }
    for path in ["include/uapi/", "include/generated/uapi/"] {
        add("", path.to_owned());
    }
    for name in &names {
        // Before 2.6.28 (arm 2.6.27, xtensa 2.6.29 …): include/asm is a link to such a folder, which `make` creates.
        add("asm/", format!("include/asm-{name}/"));
    }
    if names.contains(&"i386") {
        // mach_module.h and similar headers of i386 before 2.6.29.
        add("", "include/asm-i386/mach-default/".to_owned());
    }
    // Since 3.2 `generic-y` in the architecture's Kbuild generates a header that includes this one; it may not exist yet.
    add("asm/", "include/asm-generic/".to_owned());
    folders
}

/// The names that an architecture's folder has had, beginning with the given one.
fn names<'a>(architecture: &'a str, config: &Config) -> Vec<&'a str> {
    let also: &[&str] = match architecture {
        "x86" if is_set(config, "X86_64") || is_set(config, "64BIT") => &["x86_64"],
        "x86" => &["i386"],
        // One folder since 2.6.24.
        "i386" | "x86_64" => &["x86"],
        // One folder since 2.6.27 and 2.6.16.
        "ppc" | "ppc64" => &["powerpc"],
        "powerpc" if is_set(config, "PPC64") => &["ppc64"],
        "powerpc" => &["ppc"],
        "sparc64" => &["sparc"],
        "sh64" => &["sh"],
        _ => &[],
    };
    std::iter::once(architecture).chain(also.iter().copied()).collect()
}

/// `VARIANT` of `arch/xtensa/Makefile`: each has an option of its own, since 3.19 it is CONFIG_XTENSA_VARIANT_NAME.
fn xtensa_variant(architecture: &str, config: &Config) -> Option<String> {
    if architecture != "xtensa" {
        return None;
    }
    let named = |option: &str| config.get(option).filter(|name| !name.is_empty()).cloned();
    let by_option = || {
        const PREFIX: &str = "XTENSA_VARIANT_";
        let set = config.iter().filter(|(name, value)| name.starts_with(PREFIX) && *value == "y");
        let names = set.map(|(name, _)| name.trim_start_matches(PREFIX).to_ascii_lowercase());
        names.into_iter().find(|name| !matches!(name.as_str(), "have_perf_events" | "mmu" | "custom"))
    };
    let name = named("XTENSA_VARIANT_NAME").or_else(|| named("XTENSA_VARIANT_CUSTOM_NAME")).or_else(by_option)?;
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-').then_some(name)
}
