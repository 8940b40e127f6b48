//! The release token: the version numbers, the part after them, and the origin of each.

use serde::Serialize;

/// A release in two parts, by where each comes from in a kernel's build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Release {
    /// `2.6.5`: the two or three numbers at the start. Empty if the release does not start with numbers.
    pub base: String,
    /// `-1.358custom`: all that follows, unescaped.
    pub rest: String,
}

/// A part of a release that the kernel's build adds by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Suffix {
    /// As it is in the release.
    pub text: String,
    /// What it means.
    pub meaning: String,
}

/// An abbreviated commit.
fn is_hash(text: &str) -> bool {
    (7..=40).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The number of commits after a tag, with five digits or more (`%05d`).
fn is_count(text: &str) -> bool {
    text.len() >= 5 && text.bytes().all(|byte| byte.is_ascii_digit())
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

    /// Does it have only characters that releases have? Others must not get into a makefile or a command: make and
    /// the shell interpret some of them.
    pub fn is_plain(release: &str) -> bool {
        release.chars().all(|c| c.is_ascii_alphanumeric() || "._+~-".contains(c))
    }

    /// The first two numbers; `None` if the release does not start with numbers.
    pub fn version(&self) -> Option<(u32, u32)> {
        let mut numbers = self.base.split('.').map(|number| number.parse().ok());
        Some((numbers.next()??, numbers.next()??))
    }

    /// Where [`Release::base`] comes from.
    pub fn base_origin(&self) -> &'static str {
        "VERSION, PATCHLEVEL and SUBLEVEL in the top Makefile"
    }

    /// Where [`Release::rest`] comes from. The string does not show which source provided which part.
    pub fn rest_origin(&self) -> &'static str {
        if self.extraversion_alone() {
            "EXTRAVERSION in the top Makefile"
        } else {
            "EXTRAVERSION in the top Makefile, localversion* files, CONFIG_LOCALVERSION, LOCALVERSION= given to make, \
             or the version control suffix of CONFIG_LOCALVERSION_AUTO"
        }
    }

    /// The parts of [`Release::rest`] that scripts/setlocalversion adds, in order, each with its meaning: `+`, `-gHASH` with
    /// or without the number of commits before it, `-dirty` (2.6.14 to 7.2).
    pub fn suffixes(&self) -> Vec<Suffix> {
        let mut rest = self.rest.as_str();
        let mut found = Vec::new();
        if let Some(before) = rest.strip_suffix("-dirty") {
            let meaning = "uncommitted changes in the tree (scripts/setlocalversion)".to_owned();
            found.push(Suffix { text: "-dirty".to_owned(), meaning });
            rest = before;
        }
        if let Some((before, hash)) = rest.rsplit_once("-g").filter(|(_, hash)| is_hash(hash)) {
            let count = before.rsplit_once('-').filter(|(_, count)| is_count(count));
            let (text, meaning) = match count {
                Some((_, count)) => {
                    let after = count.trim_start_matches('0');
                    (format!("-{count}-g{hash}"), format!("built from commit {hash}, {after} commits after a tag"))
                }
                None => (format!("-g{hash}"), format!("built from commit {hash}")),
            };
            found.push(Suffix {
                text,
                meaning: format!("{meaning} (CONFIG_LOCALVERSION_AUTO, scripts/setlocalversion)"),
            });
        } else if rest.ends_with('+') {
            let meaning = "a git tree past the tag of its version, without CONFIG_LOCALVERSION_AUTO and without \
                           LOCALVERSION= given to make (scripts/setlocalversion)"
                .to_owned();
            found.push(Suffix { text: "+".to_owned(), meaning });
        }
        found.reverse();
        found
    }

    /// Does the rest come from EXTRAVERSION only? So it was before 2.6.9, the first kernel whose Makefile appends
    /// `localversion*` files and CONFIG_LOCALVERSION.
    pub fn extraversion_alone(&self) -> bool {
        let mut numbers = self.base.split('.').map(|number| number.parse::<u32>().unwrap_or(u32::MAX));
        let version = [(); 3].map(|()| numbers.next().unwrap_or(0));
        !self.base.is_empty() && version < [2, 6, 9]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suffixes(release: &str) -> Vec<(String, String)> {
        let of = |suffix: Suffix| (suffix.text, suffix.meaning.split(" (").next().unwrap_or_default().to_owned());
        Release::of(release).suffixes().into_iter().map(of).collect()
    }

    fn texts(release: &str) -> Vec<String> {
        suffixes(release).into_iter().map(|(text, _)| text).collect()
    }

    #[test]
    fn the_parts_that_setlocalversion_adds_are_recognised() {
        assert_eq!(texts("3.10.108+"), ["+"]);
        assert_eq!(texts("5.15.32-lts-next-gfa6c3168595c-dirty"), ["-gfa6c3168595c", "-dirty"]);
        assert_eq!(texts("6.7.0-rc3-00042-g1234567890ab"), ["-00042-g1234567890ab"]);
        assert_eq!(texts("4.3.3-303.fc23+"), ["+"]);
        assert_eq!(texts("6.8.0-dirty"), ["-dirty"]);
        let (_, meaning) = suffixes("6.7.0-rc3-00042-g1234567890ab").remove(0);
        assert_eq!(meaning, "built from commit 1234567890ab, 42 commits after a tag");
    }

    #[test]
    fn parts_that_others_add_are_not() {
        // A release of Debian's; Android's hash has its build number after it; a word that only looks like a hash.
        for release in
            ["6.12.118+deb13-arm64", "6.1.112-android14-11-g0123456789ab-ab11111111", "5.4.0-generic", "6.1.0-gold"]
        {
            assert_eq!(texts(release), [] as [String; 0], "{release}");
        }
    }
}
