//! The links in a package, so that a path through one is noticed.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};

/// The paths of links.
///
/// Of each path 64 bits are kept: a package may have 32 MiB of paths, of which xz leaves a few kilobytes. The hashes are keyed
/// (SipHash), so nobody can make two paths meet, and by chance 2^18 links meet one of 20,000 paths of eight parts in fewer than
/// one of 10^8 packages. Then the package would be refused.
#[derive(Default)]
pub(super) struct LinkPaths {
    keys: RandomState,
    hashes: HashSet<u64, BuildHasherDefault<HashedAlready>>,
}

impl LinkPaths {
    /// Adds the path of a link, by its parts.
    pub(super) fn insert<'p>(&mut self, parts: impl Iterator<Item = &'p str>) {
        self.hashes.extend(prefixes(&self.keys, parts).last());
    }

    /// Does a path lead through a link? Each part is hashed once, whatever the number of parts before it.
    pub(super) fn lead<'p>(&self, parts: impl Iterator<Item = &'p str>) -> bool {
        prefixes(&self.keys, parts).any(|prefix| self.hashes.contains(&prefix))
    }
}

/// The hasher of a set of hashes.
#[derive(Default)]
struct HashedAlready(u64);

impl Hasher for HashedAlready {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0 << 8 | u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The hashes of the first part, of the first two, and so on.
fn prefixes<'p>(keys: &RandomState, parts: impl Iterator<Item = &'p str>) -> impl Iterator<Item = u64> {
    let mut hasher = keys.build_hasher();
    parts.map(move |part| {
        hasher.write(part.as_bytes());
        hasher.write(b"/");
        hasher.finish()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_through_the_links_above_it() {
        let mut links = LinkPaths::default();
        links.insert("usr/lib".split('/'));
        let lead = |path: &str| links.lead(path.split('/'));
        assert!(lead("usr/lib") && lead("usr/lib/modules/6.1"));
        assert!(!lead("usr") && !lead("usr/lib64") && !lead("lib/usr") && !lead("usrl/ib"));
    }
}
