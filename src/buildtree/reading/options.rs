//! A tree's options, each with its line: `.config`, `include/config/auto.conf`, and the headers of older trees. Pure.
//!
//! The headers (`include/linux/autoconf.h`, since 2.6.33 `include/generated/autoconf.h`) have `#define CONFIG_X 1` for
//! `y`, `#define CONFIG_X_MODULE 1` for `m`, and `#undef CONFIG_X` for options that are not set (up to 2.6.3x).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::buildtree::file_line::FileLine;
use crate::kernel::Config;

/// The most entries that are read: kernels have up to 20,000 options, and memory for each.
const MOST: usize = 1 << 16;

/// The options of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Options {
    /// The file.
    #[serde(serialize_with = "crate::buildtree::file_line::lossy")]
    pub file: PathBuf,
    /// Each option with an entry in it, without `CONFIG_`.
    pub settings: BTreeMap<String, Setting>,
    /// Is it a header, in which `y` and the number 1 look the same?
    pub is_header: bool,
}

/// The entry of one option.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// `y`, `m`, a number, a string without its quotation marks; `None` is "not set".
    pub value: Option<String>,
    /// Its line.
    pub line: usize,
}

/// An option in which `.config` and the configuration generated from it differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StaleOption {
    /// Its name, without `CONFIG_`.
    pub name: String,
    /// The value in `.config`, and its line; `None` if there is no entry.
    pub config: Option<(Option<String>, FileLine)>,
    /// The same of the generated configuration.
    pub auto: Option<(Option<String>, FileLine)>,
}

impl Options {
    /// The options of a `.config` or `auto.conf`. The last entry counts, as for make and kconfig.
    pub fn parse(text: &str, file: &Path) -> Self {
        let settings = lines(text).filter_map(|(line, text)| {
            let (name, value) = match text.strip_prefix("# CONFIG_") {
                Some(comment) => (comment.strip_suffix(" is not set")?, None),
                None => text.strip_prefix("CONFIG_")?.split_once('=').map(|(name, value)| (name, set(value)))?,
            };
            is_option_name(name).then(|| (name.to_owned(), Setting { value, line }))
        });
        Options { file: file.to_owned(), settings: settings.take(MOST).collect(), is_header: false }
    }

    /// The options of an `autoconf.h`.
    pub fn parse_header(text: &str, file: &Path) -> Self {
        let mut settings = BTreeMap::new();
        for (line, text) in lines(text) {
            let mut words = text.splitn(3, [' ', '\t']);
            let (what, name) = (words.next(), words.next().and_then(|name| name.strip_prefix("CONFIG_")));
            let Some(name) = name.filter(|name| is_option_name(name) && settings.len() < MOST) else { continue };
            let value = match (what, words.next().unwrap_or_default().trim()) {
                (Some("#undef"), _) => None,
                (Some("#define"), "1") => Some("y".to_owned()),
                (Some("#define"), value) => set(value),
                _ => continue,
            };
            match name.strip_suffix("_MODULE").filter(|_| value.as_deref() == Some("y")) {
                Some(module) => {
                    settings.insert(module.to_owned(), Setting { value: Some("m".to_owned()), line });
                }
                // `#undef CONFIG_X` comes before `#define CONFIG_X_MODULE`, never after it.
                None => {
                    settings.insert(name.to_owned(), Setting { value, line });
                }
            }
        }
        Options { file: file.to_owned(), settings, is_header: true }
    }

    /// An option's value; `None` if it is not set or has no entry.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.settings.get(name)?.value.as_deref()
    }

    /// Is an option `y`?
    pub fn is_yes(&self, name: &str) -> bool {
        self.get(name) == Some("y")
    }

    /// The line of an option; the file as a whole if there is no entry.
    pub fn place(&self, name: &str) -> FileLine {
        FileLine::new(&self.file, self.settings.get(name).map_or(0, |setting| setting.line))
    }

    /// The options in which `.config` (`self`) and the generated configuration differ, in the order of their names. "Not set"
    /// and no entry are the same, because `auto.conf` leaves out options that are not set. So is an empty string, because old
    /// trees left it out.
    pub fn stale(&self, auto: &Options) -> Vec<StaleOption> {
        let names: BTreeSet<&String> = self.settings.keys().chain(auto.settings.keys()).collect();
        let said = |options: &Options, name: &String| {
            let setting = options.settings.get(name)?;
            Some((setting.value.clone(), FileLine::new(&options.file, setting.line)))
        };
        // A header writes 1 for `y` and for the number 1.
        let one = |value: &str| if auto.is_header && value == "1" { "y".to_owned() } else { value.to_owned() };
        let value = |options: &Options, name: &String| {
            options.get(name).filter(|value| !value.is_empty()).map(&one).filter(|value| value != "n")
        };
        let differ = |name: &&String| value(self, name) != value(auto, name);
        names
            .into_iter()
            .filter(differ)
            .map(|name| StaleOption { name: name.clone(), config: said(self, name), auto: said(auto, name) })
            .collect()
    }
}

/// The options that are set, in the form of a kernel's facts.
pub fn config_of(options: &Options) -> Config {
    let set = options.settings.iter().filter_map(|(name, setting)| Some((name.clone(), setting.value.clone()?)));
    set.collect()
}

/// The lines, each with its number from 1, without white space at their ends.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split('\n').enumerate().map(|(at, line)| (at + 1, line.trim_end()))
}

/// Is it the name of an option, without `CONFIG_`?
pub(in crate::buildtree) fn is_option_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A value: a string without its quotation marks (`auto.conf` has none since 5.17) and with `\"` and `\\` unescaped.
fn set(value: &str) -> Option<String> {
    let Some(quoted) = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) else {
        return Some(value.to_owned()).filter(|value| value != "n");
    };
    let mut plain = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        plain.push(if c == '\\' { chars.next().unwrap_or('\\') } else { c });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Options {
        Options::parse(text, Path::new(".config"))
    }

    #[test]
    fn each_option_has_its_line() {
        let options = config(
            "#\n# Linux/x86 6.1.0 Kernel Configuration\n#\nCONFIG_SMP=y\nCONFIG_EXT4_FS=m\n# CONFIG_PREEMPT is not set\n\
             CONFIG_LOCALVERSION=\"-a \\\"b\\\"\"\nCONFIG_NR_CPUS=1\nCONFIG_X=y\nCONFIG_X=n\r\n",
        );
        assert!(options.is_yes("SMP") && options.get("EXT4_FS") == Some("m"));
        assert_eq!((options.get("PREEMPT"), options.place("PREEMPT").to_string()), (None, ".config:6".to_owned()));
        assert_eq!(options.get("LOCALVERSION"), Some("-a \"b\""));
        assert_eq!((options.get("NR_CPUS"), options.get("X")), (Some("1"), None));
        assert_eq!(options.place("MISSING").to_string(), ".config");
    }

    #[test]
    fn an_old_header_has_the_same_options() {
        let text = "/*\n * Automatically generated C config: don't edit\n */\n#define AUTOCONF_INCLUDED\n\
                    #define CONFIG_SMP 1\n#undef CONFIG_PREEMPT\n#undef CONFIG_EXT3_FS\n#define CONFIG_EXT3_FS_MODULE 1\n\
                    #define CONFIG_LOCALVERSION \"-x\"\n#define CONFIG_NR_CPUS 1\n#define CONFIG_HZ 250\n";
        let header = Options::parse_header(text, Path::new("include/linux/autoconf.h"));
        assert_eq!((header.get("SMP"), header.get("PREEMPT"), header.get("EXT3_FS")), (Some("y"), None, Some("m")));
        assert_eq!(header.place("LOCALVERSION").line, 9);
        let same = config(
            "CONFIG_SMP=y\nCONFIG_EXT3_FS=m\nCONFIG_LOCALVERSION=\"-x\"\nCONFIG_NR_CPUS=1\nCONFIG_HZ=250\nCONFIG_E=\"\"\n",
        );
        assert_eq!(same.stale(&header), []);
    }

    #[test]
    fn an_option_that_was_changed_later_is_stale() {
        let auto = Options::parse("CONFIG_SMP=y\nCONFIG_LOCALVERSION=-old\n", Path::new("auto.conf"));
        let stale = config("# CONFIG_SMP is not set\nCONFIG_LOCALVERSION=\"-new\"\n").stale(&auto);
        let names: Vec<&str> = stale.iter().map(|stale| stale.name.as_str()).collect();
        assert_eq!(names, ["LOCALVERSION", "SMP"]);
        assert_eq!(stale[0].config, Some((Some("-new".to_owned()), FileLine::new(".config", 2))));
        assert_eq!(stale[1].auto, Some((Some("y".to_owned()), FileLine::new("auto.conf", 1))));
    }
}
