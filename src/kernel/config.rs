//! A kernel's configuration: `.config`, `/boot/config-RELEASE`, `/proc/config.gz` decompressed. Pure.

use crate::kernel::facts::{Config, Fact, Facts};
use crate::kernel::origin::Origin;

/// The most options: kernels have up to 20,000. A text with more of them is no configuration, and would take some fifty times its
/// size in memory.
const MOST: usize = 1 << 16;

/// Does the text begin as one? Its first lines are comments, and then options follow.
pub(crate) fn looks_like(text: &str) -> bool {
    let is_option = |line: &str| line.starts_with("CONFIG_") || line.starts_with("# CONFIG_");
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).take(64).peekable();
    lines.peek().is_some_and(|line| line.starts_with('#') || is_option(line)) && lines.any(is_option)
}

/// The options, as a kernel's facts; no fact if there are none.
pub(super) fn facts(text: &str, source: &Origin) -> Facts {
    let value = parse(text);
    let config = (!value.is_empty()).then(|| Fact { value, source: source.clone() });
    Facts { config, ..Facts::default() }
}

/// The options that are set, without `CONFIG_`, and without the quotation marks of strings; none if there are more than any
/// kernel has.
pub(super) fn parse(text: &str) -> Config {
    let mut config = Config::default();
    for line in text.lines() {
        let Some((name, value)) = line.strip_prefix("CONFIG_").and_then(|line| line.split_once('=')) else { continue };
        let bare = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        config.insert(name.to_owned(), bare.unwrap_or(value).to_owned());
        if config.len() > MOST {
            return Config::default();
        }
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_options_that_are_set_are_read() {
        let text = "#\n# Automatically generated file; DO NOT EDIT.\n#\nCONFIG_MODULES=y\n# CONFIG_X is not set\nCONFIG_NAME=\"a b\"\n";
        assert!(looks_like(text));
        let config = parse(text);
        assert_eq!(config.get("MODULES").map(String::as_str), Some("y"));
        assert_eq!(config.get("NAME").map(String::as_str), Some("a b"));
        assert!(!config.contains_key("X"));
    }

    #[test]
    fn more_options_than_any_kernel_has_are_none() {
        let options = |count: usize| (0..count).map(|number| format!("CONFIG_X{number}=y\n")).collect::<String>();
        assert_eq!(parse(&options(MOST)).len(), MOST);
        assert_eq!(parse(&options(MOST + 1)).len(), 0);
        assert_eq!(parse(&options(100).repeat(1000)).len(), 100);
    }
}
