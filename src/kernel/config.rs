//! A kernel's configuration: `.config`, `/boot/config-RELEASE`, `/proc/config.gz` unpacked.

use crate::kernel::Config;

/// The options that are set, without `CONFIG_`, and without the quotation marks of strings.
pub(super) fn parse(text: &str) -> Config {
    let set = text.lines().filter_map(|line| line.strip_prefix("CONFIG_")?.split_once('='));
    set.map(|(name, value)| {
        let bare = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        (name.to_owned(), bare.unwrap_or(value).to_owned())
    })
    .collect()
}
