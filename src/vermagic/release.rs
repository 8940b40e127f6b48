//! The release token: what the Makefile numbers, what stands behind the numbers, and where each comes from.

use serde::Serialize;

/// A release in two parts, by where each comes from in a kernel's build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Release {
    /// `2.6.5`: the two or three numbers at the start. Empty if the release does not start with numbers.
    pub base: String,
    /// `-1.358custom`: all that follows, unescaped.
    pub rest: String,
}

impl Release {
    /// Splits a release, such as `2.6.5-1.358custom`. The fourth number of `2.6.32.5` belongs to the rest.
    pub fn of(release: &str) -> Self {
        let mut end = 0;
        for (number, part) in release.split('.').take(3).enumerate() {
            let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            if digits == 0 {
                break;
            }
            // The dot before a second and a third number belongs to the base too; a lone number is no version.
            end += digits + usize::from(number > 0);
            if digits < part.len() {
                break;
            }
        }
        let end = if release.get(..end).is_some_and(|base| base.contains('.')) { end } else { 0 };
        let (base, rest) = release.split_at_checked(end).unwrap_or(("", release));
        Release { base: base.to_owned(), rest: rest.to_owned() }
    }

    /// Has it no other characters than releases have? What has others must not come to stand in a makefile or a command: make
    /// and the shell obey some of them.
    pub fn is_plain(release: &str) -> bool {
        release.chars().all(|c| c.is_ascii_alphanumeric() || "._+~-".contains(c))
    }

    /// Where [`Release::base`] comes from.
    pub fn base_origin(&self) -> &'static str {
        "VERSION, PATCHLEVEL and SUBLEVEL in the top Makefile"
    }

    /// Where [`Release::rest`] comes from. The string does not tell which of several sources gave which part.
    pub fn rest_origin(&self) -> &'static str {
        if self.extraversion_alone() {
            "EXTRAVERSION in the top Makefile"
        } else {
            "EXTRAVERSION in the top Makefile, localversion* files, CONFIG_LOCALVERSION, LOCALVERSION= given to make, \
             or the version control suffix of CONFIG_LOCALVERSION_AUTO"
        }
    }

    /// Can the rest come from EXTRAVERSION alone? So it was before 2.6.9, the first kernel whose Makefile appends
    /// `localversion*` files and CONFIG_LOCALVERSION.
    pub fn extraversion_alone(&self) -> bool {
        let mut numbers = self.base.split('.').map(|number| number.parse::<u32>().unwrap_or(u32::MAX));
        let version = [(); 3].map(|()| numbers.next().unwrap_or(0));
        !self.base.is_empty() && version < [2, 6, 9]
    }
}
