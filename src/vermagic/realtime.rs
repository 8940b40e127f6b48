//! Does a version magic come from a build with CONFIG_PREEMPT_RT?
//!
//! Its token does not always show it: include/linux/vermagic.h asked for CONFIG_PREEMPT (5.16 on CONFIG_PREEMPT_BUILD) first
//! in 5.10, 6.1 and 6.12, so that a realtime kernel with both options says `preempt`; 7.2 asks for CONFIG_PREEMPT_RT first.

use crate::vermagic::{TokenKind, Vermagic};

impl Vermagic {
    /// Is this the version magic of a realtime build (CONFIG_PREEMPT_RT), and which part of it shows that? `None` where
    /// it does not show.
    pub fn realtime(&self) -> Option<(bool, &'static str)> {
        if self.has(TokenKind::PreemptRt) {
            return Some((true, "the token preempt_rt"));
        }
        let release = self.release_parts()?;
        let version = release.version();
        // A bare release says nothing about tokens.
        if self.tokens().len() > 1 && version >= Some((5, 4)) {
            match self.has(TokenKind::Preempt) {
                true if version >= Some((7, 2)) => return Some((false, "the token preempt")),
                false => return Some((false, "the absence of a preemption token")),
                true => {}
            }
        }
        is_realtime_suffix(&release.rest).then_some((true, "the release"))
    }
}

/// Does a release end as those of realtime kernels do: `-rt`, `-rt83`, with or without more text after it?
fn is_realtime_suffix(rest: &str) -> bool {
    rest.match_indices("-rt").any(|(at, found)| {
        let behind = rest.get(at + found.len()..).unwrap_or_default().trim_start_matches(|c: char| c.is_ascii_digit());
        behind.is_empty() || behind.starts_with(['-', '+', '.', '~', '_'])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<bool> {
        Vermagic::parse(text.as_bytes()).realtime().map(|(is_realtime, _)| is_realtime)
    }

    #[test]
    fn the_token_shows_it_where_it_is_written() {
        assert_eq!(of("6.1.0-57-rt-amd64 SMP preempt_rt mod_unload modversions "), Some(true));
        assert_eq!(of("6.1.0-57-amd64 SMP mod_unload modversions "), Some(false));
        assert_eq!(of("7.2.13+deb14-amd64 SMP preempt mod_unload "), Some(false));
    }

    #[test]
    fn up_to_7_1_preempt_may_be_a_realtime_build() {
        assert_eq!(of("6.12.118+deb13-arm64 SMP preempt mod_unload modversions aarch64"), None);
        assert_eq!(of("6.12.118+deb13-rt-arm64 SMP preempt mod_unload modversions aarch64"), Some(true));
        assert_eq!(of("4.19.0-27-rt-amd64 SMP preempt mod_unload modversions "), Some(true));
        assert_eq!(of("5.10.168-rt83 SMP preempt mod_unload "), Some(true));
        assert_eq!(of("4.19.0-27-amd64 SMP mod_unload modversions "), None);
    }

    #[test]
    fn a_bare_release_shows_no_more_than_its_suffix() {
        assert_eq!(of("6.1.0-57-amd64"), None);
        assert_eq!(of("6.1.0-rt5"), Some(true));
        assert_eq!(of("6.1.0-rtl8188 SMP preempt mod_unload "), None);
    }
}
