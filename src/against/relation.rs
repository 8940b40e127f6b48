//! How a module's file relates to the file that the distribution built. Pure.

use serde::Serialize;

use crate::budget::WorkBudget;
use crate::comparison::parts::{PartsComparison, SectionDifference, compare_parts};
use crate::comparison::{ComparedAspect, MeaningfulDifference};
use crate::error::{ErrorKind, Result};
use crate::escape::bytes_for_eyes;
use crate::module::container::Container;
use crate::module::elf::{Elf, machine_name};
use crate::module::modinfo::Modinfo;
use crate::text;

/// How a file relates to the original, from equal to unrelated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RelationToOriginal {
    /// It has the same bytes.
    Original,
    /// The module has the same bytes; the file is compressed differently.
    Recompressed,
    /// Only parts differ that a patch changes: entries of `.modinfo`, symbol versions, the name of `.BTF`, the trailer.
    Patched,
    /// It is the same build, but other bytes differ.
    CodeChanged,
    /// It is another build: the build-id differs, or the checksum of the sources where there is no build-id.
    Rebuilt,
    /// It is not a module any more.
    Damaged,
    /// It does not exist.
    Missing,
    /// The kernel has no such module.
    Extra,
}

impl RelationToOriginal {
    /// All of them, in the order of reports.
    pub const ALL: [RelationToOriginal; 8] = [
        RelationToOriginal::Original,
        RelationToOriginal::Recompressed,
        RelationToOriginal::Patched,
        RelationToOriginal::CodeChanged,
        RelationToOriginal::Rebuilt,
        RelationToOriginal::Damaged,
        RelationToOriginal::Missing,
        RelationToOriginal::Extra,
    ];

    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            RelationToOriginal::Original => "original",
            RelationToOriginal::Recompressed => "recompressed",
            RelationToOriginal::Patched => "patched",
            RelationToOriginal::CodeChanged => "code changed",
            RelationToOriginal::Rebuilt => "rebuilt",
            RelationToOriginal::Damaged => "damaged",
            RelationToOriginal::Missing => "missing",
            RelationToOriginal::Extra => "extra",
        }
    }

    /// Is it the same module, so that the original can replace it and nothing but a patch is lost?
    pub fn is_same_module(self) -> bool {
        matches!(self, RelationToOriginal::Original | RelationToOriginal::Recompressed | RelationToOriginal::Patched)
    }
}

/// A file compared with its original.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginalComparison {
    /// The result.
    pub relation: RelationToOriginal,
    /// How the original and the file are compressed, if they differ.
    pub containers: Option<[Container; 2]>,
    /// Differences with a known meaning; the original's values first.
    pub differences: Vec<MeaningfulDifference>,
    /// The sections that a patch does not explain.
    pub sections: Vec<SectionDifference>,
    /// How many sections these are; only the first ones are listed.
    pub differing_sections: usize,
    /// Why the file is not a module any more.
    pub reason: Option<String>,
}

impl OriginalComparison {
    /// The result where there is only one of the two.
    pub(crate) fn without_original(relation: RelationToOriginal) -> OriginalComparison {
        OriginalComparison::of(relation)
    }

    fn of(relation: RelationToOriginal) -> OriginalComparison {
        OriginalComparison {
            relation,
            containers: None,
            differences: Vec::new(),
            sections: Vec::new(),
            differing_sections: 0,
            reason: None,
        }
    }
}

/// Compares a file with an original, both as they are stored, compressed or not, within a budget.
///
/// # Errors
///
/// Those of [`Container::decompress`] and [`Elf::read`] for the original; [`ErrorKind::TooMuchWork`] for either. A file that is no
/// module is a result.
pub fn compare_stored(original: &[u8], found: &[u8], budget: &WorkBudget) -> Result<OriginalComparison> {
    if original == found {
        return Ok(OriginalComparison::of(RelationToOriginal::Original));
    }
    let containers = [Container::of(original), Container::of(found)];
    let (mut room, mut found_room) = (Vec::new(), Vec::new());
    let original = inside(original, &mut room, budget)?;
    let damaged = |reason: String| OriginalComparison {
        reason: Some(reason),
        ..OriginalComparison::of(RelationToOriginal::Damaged)
    };
    let found = match inside(found, &mut found_room, budget) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::TooMuchWork => return Err(error),
        Err(error) => return Ok(damaged(error.what().to_owned())),
    };
    let [before, after] = containers;
    let containers = (before != after).then_some(containers);
    if original == found {
        return Ok(OriginalComparison { containers, ..OriginalComparison::of(RelationToOriginal::Recompressed) });
    }
    let ours = Identity::read(original)?;
    let theirs = match Identity::read(found) {
        Ok(theirs) => theirs,
        Err(error) => return Ok(OriginalComparison { containers, ..damaged(error.what().to_owned()) }),
    };
    let differences = ours.differences(&theirs);
    if !differences.is_empty() {
        let rebuilt = OriginalComparison::of(RelationToOriginal::Rebuilt);
        return Ok(OriginalComparison { containers, differences, ..rebuilt });
    }
    let PartsComparison { patched, sections, differing_sections } = compare_parts(original, found)?;
    let relation = match sections.is_empty() {
        true => RelationToOriginal::Patched,
        false => RelationToOriginal::CodeChanged,
    };
    Ok(OriginalComparison { relation, containers, differences: patched, sections, differing_sections, reason: None })
}

/// The uncompressed bytes of a stored file.
fn inside<'b>(stored: &'b [u8], room: &'b mut Vec<u8>, budget: &WorkBudget) -> Result<&'b [u8]> {
    match Container::of(stored) {
        Container::None => Ok(stored),
        container => {
            *room = container.decompress_within(stored, budget)?;
            Ok(room)
        }
    }
}

/// What tells one build of a module from another.
struct Identity {
    class: String,
    build_id: Option<Vec<u8>>,
    srcversion: Option<Vec<u8>>,
    vermagic: Option<Vec<u8>>,
}

impl Identity {
    fn read(image: &[u8]) -> Result<Identity> {
        let elf = Elf::read(image)?;
        // A module whose modinfo is damaged is compared part by part.
        let modinfo = Modinfo::read(&elf, image).ok();
        let first = |key: &str| modinfo.as_ref().and_then(|modinfo| modinfo.first(key).map(<[u8]>::to_vec));
        Ok(Identity {
            class: format!("{} {} {}", elf.class.name(), elf.endian.name(), machine_name(elf.machine)),
            srcversion: first("srcversion"),
            vermagic: first("vermagic"),
            build_id: elf.build_id,
        })
    }

    /// The differences that show another build; none for the same build.
    fn differences(&self, found: &Identity) -> Vec<MeaningfulDifference> {
        let mut differences = Vec::new();
        let mut differ = |aspect, a: Option<String>, b: Option<String>| {
            let or_none = |value: Option<String>| vec![value.unwrap_or_else(|| "none".to_owned())];
            differences.push(MeaningfulDifference { aspect, a: or_none(a), b: or_none(b), notes: Vec::new() });
        };
        let is_same = match (&self.build_id, &found.build_id) {
            (Some(ours), Some(theirs)) => ours == theirs,
            // Without a build-id, the checksum of the sources tells builds apart, if both have one.
            _ => self.srcversion.as_ref().zip(found.srcversion.as_ref()).is_none_or(|(ours, theirs)| ours == theirs),
        };
        if self.class != found.class {
            differ(ComparedAspect::Class, Some(self.class.clone()), Some(found.class.clone()));
        }
        if !is_same {
            if self.build_id != found.build_id {
                let hex = |id: &Option<Vec<u8>>| id.as_ref().map(hex::encode);
                differ(ComparedAspect::BuildId, hex(&self.build_id), hex(&found.build_id));
            }
            if self.srcversion != found.srcversion {
                let text = |text: &Option<Vec<u8>>| text.as_deref().map(bytes_for_eyes);
                differ(ComparedAspect::SrcVersion, text(&self.srcversion), text(&found.srcversion));
            }
        }
        if !differences.is_empty() && self.vermagic != found.vermagic {
            let shown =
                |magic: &Option<Vec<u8>>| vec![magic.as_deref().map_or_else(|| "none".to_owned(), text::vermagic)];
            let (a, b) = (shown(&self.vermagic), shown(&found.vermagic));
            differences.push(MeaningfulDifference { aspect: ComparedAspect::Vermagic, a, b, notes: Vec::new() });
        }
        differences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &[u8] = include_bytes!("../../fixtures/modules/hello-4.ko");
    const SIGNED: &[u8] = include_bytes!("../../fixtures/modules/hello-4-signed.ko");
    const OTHER: &[u8] = include_bytes!("../../fixtures/modules/exports.ko");
    const MIPS: &[u8] = include_bytes!("../../fixtures/modules/mips-be.ko");
    const MAX: u64 = 1 << 20;

    fn compare(original: &[u8], found: &[u8]) -> OriginalComparison {
        compare_stored(original, found, &WorkBudget::new(MAX)).unwrap()
    }

    fn relation(original: &[u8], found: &[u8]) -> RelationToOriginal {
        compare(original, found).relation
    }

    fn aspects(comparison: &OriginalComparison) -> Vec<ComparedAspect> {
        comparison.differences.iter().map(|difference| difference.aspect).collect()
    }

    fn with(bytes: &[u8], text: &[u8], more: usize) -> Vec<u8> {
        let mut changed = bytes.to_vec();
        changed[memchr::memmem::find(bytes, text).unwrap() + text.len() + more] ^= 1;
        changed
    }

    #[test]
    fn an_equal_file_is_the_original_however_it_is_stored() {
        let xz = Container::Xz.compress(HELLO).unwrap();
        assert_eq!(relation(HELLO, HELLO), RelationToOriginal::Original);
        assert_eq!(relation(&xz, &xz), RelationToOriginal::Original);
    }

    #[test]
    fn another_compression_of_the_same_bytes_is_named() {
        let xz = Container::Xz.compress(HELLO).unwrap();
        let other = compare(&xz, HELLO);
        assert_eq!(other.relation, RelationToOriginal::Recompressed);
        assert_eq!(other.containers, Some([Container::Xz, Container::None]));
        // gzip with a name in its header: the same container, other bytes.
        let mut named = Container::Gzip.compress(HELLO).unwrap();
        named[9] ^= 1;
        let same = compare(&Container::Gzip.compress(HELLO).unwrap(), &named);
        assert_eq!((same.relation, same.containers), (RelationToOriginal::Recompressed, None));
    }

    #[test]
    fn a_patch_is_explained_also_inside_another_compression() {
        let zstd = Container::Zstd.compress(&with(HELLO, b"vermagic=", 0)).unwrap();
        let patched = compare(HELLO, &zstd);
        assert_eq!(patched.relation, RelationToOriginal::Patched);
        assert_eq!(patched.containers, Some([Container::None, Container::Zstd]));
        assert_eq!(aspects(&patched), [ComparedAspect::Vermagic]);
        assert_eq!(aspects(&compare(SIGNED, HELLO)), [ComparedAspect::Signature]);
    }

    #[test]
    fn a_patch_next_to_changed_code_is_changed_code() {
        let elf = Elf::read(HELLO).unwrap();
        let mut found = with(HELLO, b"vermagic=", 0);
        found[elf.section(".init.text").unwrap().unwrap().range.start] ^= 0xff;
        let changed = compare(HELLO, &found);
        assert_eq!((changed.relation, changed.differing_sections), (RelationToOriginal::CodeChanged, 1));
        assert_eq!(aspects(&changed), [ComparedAspect::Vermagic]);
        assert!(!changed.relation.is_same_module());
    }

    #[test]
    fn another_build_id_or_machine_is_another_build() {
        let id = Elf::read(HELLO).unwrap().build_id.expect("the fixture has a build-id");
        let mut found = HELLO.to_vec();
        found[memchr::memmem::find(HELLO, &id).unwrap()] ^= 1;
        let rebuilt = compare(HELLO, &found);
        assert_eq!((rebuilt.relation, aspects(&rebuilt)), (RelationToOriginal::Rebuilt, vec![ComparedAspect::BuildId]));
        assert_eq!(relation(HELLO, MIPS), RelationToOriginal::Rebuilt);
        assert!(!relation(HELLO, OTHER).is_same_module());
    }

    #[test]
    fn what_is_no_module_any_more_has_a_reason() {
        let cut_xz = Container::Xz.compress(HELLO).unwrap();
        for found in [&b"<html>"[..], b"", &HELLO[..HELLO.len() / 2], &cut_xz[..cut_xz.len() / 2]] {
            let damaged = compare(HELLO, found);
            assert_eq!(damaged.relation, RelationToOriginal::Damaged);
            assert!(damaged.reason.is_some_and(|reason| !reason.is_empty()));
        }
    }

    #[test]
    fn an_original_that_is_no_module_is_an_error() {
        assert_eq!(compare_stored(b"text", HELLO, &WorkBudget::new(MAX)).unwrap_err().kind(), ErrorKind::NotAModule);
    }
}
