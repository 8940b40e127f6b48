//! Structures: their members, and how two structures differ.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::btf::types::{Btf, BtfKind, BtfType};

/// A member of a structure: its name, its offset in bytes from the structure's start, and its size in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StructMember {
    /// The member's name; members of anonymous structures have their own entries.
    pub name: String,
    /// Offset in bytes. For a bit field, the offset of the byte in which it starts.
    pub offset: u64,
    /// Size in bytes. For a bit field, the number of bytes that it touches.
    pub size: u64,
}

/// The maximum depth of type references and of nested anonymous structures; deeper nesting is malformed.
const DEPTH: usize = 32;

/// The maximum number of members of a structure: the largest structures of real kernels have several hundred.
const MOST: usize = 65_536;

impl Btf<'_> {
    /// The size of a structure in bytes, and its members, including those of anonymous structures and unions. `None` if there
    /// is no such structure, or if the types of its members cannot be resolved.
    pub fn struct_members(&self, name: &str) -> Option<(u64, Vec<StructMember>)> {
        let is_it =
            |found: &BtfType<'_>| found.kind == BtfKind::Struct && self.string(found.name) == Some(name.as_bytes());
        let structure = self.own().find(is_it).or_else(|| self.base.and_then(|base| base.own().find(is_it)))?;
        let mut members = Vec::new();
        let mut seen = 0;
        self.flatten(&structure, (0, DEPTH), self.pointer(), &mut seen, &mut members)?;
        Some((structure.size_or_type.into(), members))
    }

    /// The size of a pointer in bytes, taken from `unsigned long`, which has the same size as a pointer on every Linux
    /// architecture.
    fn pointer(&self) -> u64 {
        let named = |found: &BtfType<'_>| {
            found.kind == BtfKind::Int
                && matches!(self.string(found.name), Some(b"long unsigned int" | b"unsigned long" | b"long int"))
        };
        match self.base {
            Some(base) => base.pointer(),
            None => self.own().find(named).map_or(8, |long| long.size_or_type.into()),
        }
    }

    fn flatten(
        &self,
        of: &BtfType<'_>,
        (start, depth): (u64, usize),
        pointer: u64,
        seen: &mut usize,
        into: &mut Vec<StructMember>,
    ) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        for [name, kind, place] in of.groups::<3>() {
            *seen += 1;
            (*seen <= MOST).then_some(())?;
            // If the flag is set, the upper byte is the width of a bit field.
            let (bit, width) = if of.flag() { (place & 0x00ff_ffff, place >> 24) } else { (place, 0) };
            let bit = start.checked_add(bit.into())?;
            let name = self.string(name)?;
            if name.is_empty() {
                if let Some(inner) = self.plain(kind).filter(|t| matches!(t.kind, BtfKind::Struct | BtfKind::Union)) {
                    self.flatten(&inner, (bit, depth), pointer, seen, into)?;
                }
                continue;
            }
            let size = match u64::from(width) {
                0 => self.size(kind, pointer)?,
                width => (bit % 8 + width).div_ceil(8),
            };
            into.push(StructMember { name: String::from_utf8_lossy(name).into_owned(), offset: bit / 8, size });
        }
        Some(())
    }

    /// The type after all of its modifiers are skipped.
    fn plain(&self, number: u32) -> Option<BtfType<'_>> {
        let mut found = self.get(number)?;
        for _ in 0..DEPTH {
            if !found.kind.is_modifier() {
                return Some(found);
            }
            found = self.get(found.size_or_type)?;
        }
        None
    }

    /// The size of a type in bytes.
    fn size(&self, number: u32, pointer: u64) -> Option<u64> {
        let (mut number, mut times) = (number, 1u64);
        for _ in 0..DEPTH {
            let found = self.plain(number)?;
            match found.kind {
                BtfKind::Array => {
                    number = found.extra_number(0)?;
                    times = times.checked_mul(found.extra_number(2)?.into())?;
                }
                BtfKind::Pointer => return times.checked_mul(pointer),
                BtfKind::Int | BtfKind::Struct | BtfKind::Union | BtfKind::Enum | BtfKind::Enum64 | BtfKind::Float => {
                    return times.checked_mul(found.size_or_type.into());
                }
                _ => return None,
            }
        }
        None
    }
}

/// One difference between two structures of the same name: the position of a member before and after. A member that only one of
/// them has was removed or added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDifference {
    /// The member's name.
    pub name: String,
    /// Its position in the first structure.
    pub before: Option<StructMember>,
    /// Its position in the second structure.
    pub after: Option<StructMember>,
}

/// How a structure differs between two kernels: the members that moved, changed size, were removed or were added, in the order
/// of the first structure, then the added ones. Empty if the structures are equal; `None` if one of the kernels has no such
/// structure.
pub fn differences(a: &Btf<'_>, b: &Btf<'_>, name: &str) -> Option<Vec<MemberDifference>> {
    let ((_, before), (_, after)) = (a.struct_members(name)?, b.struct_members(name)?);
    Some(differences_of(&before, &after))
}

/// The same comparison, for members that are already read. Types that no compiler makes have several members of one name: the first of
/// them is compared with the first, and so on.
pub fn differences_of(before: &[StructMember], after: &[StructMember]) -> Vec<MemberDifference> {
    let [old, new] = [before, after].map(numbered);
    let [old_by_name, new_by_name]: [HashMap<_, _>; 2] = [&old, &new].map(|members| members.iter().copied().collect());
    let gone_or_moved = old.iter().filter_map(|(key, member)| {
        let after = new_by_name.get(key).copied().cloned();
        let is_same = after.as_ref() == Some(*member);
        (!is_same).then(|| MemberDifference { name: member.name.clone(), before: Some((*member).clone()), after })
    });
    let came = new.iter().filter(|(key, _)| !old_by_name.contains_key(key)).map(|(_, member)| MemberDifference {
        name: member.name.clone(),
        before: None,
        after: Some((*member).clone()),
    });
    gone_or_moved.chain(came).collect()
}

/// A member with its name, and how many members of that name precede it.
type NumberedMember<'m> = ((&'m str, usize), &'m StructMember);

fn numbered(members: &[StructMember]) -> Vec<NumberedMember<'_>> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let numbers = members.iter().map(|member| {
        let count = counts.entry(&member.name).or_default();
        *count += 1;
        ((member.name.as_str(), *count - 1), member)
    });
    numbers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::btf::types::tests::{info, kernel};

    #[test]
    fn members_of_anonymous_unions_have_their_own_entries() {
        for big in [false, true] {
            let bytes = kernel(big).finish();
            let (size, members) = Btf::parse(&bytes).unwrap().struct_members("module").unwrap();
            let shown: Vec<String> = members.iter().map(|m| format!("{} {} {}", m.name, m.offset, m.size)).collect();
            assert_eq!(
                (size, shown.join(", ").as_str()),
                (88, "state 0 8, a 8 8, b 8 1, name 16 56, init 72 8, bits 80 1")
            );
        }
    }

    #[test]
    fn moved_and_added_members_are_reported() {
        let a = kernel(false);
        let mut b = a.clone();
        let [old, new] = [576u32, 704].map(u32::to_le_bytes);
        let at = memchr::memmem::rfind(&b.types, &old).unwrap();
        b.types[at..at + 4].copy_from_slice(&new);
        let (a, b) = (a.finish(), b.finish());
        let (a, b) = (Btf::parse(&a).unwrap(), Btf::parse(&b).unwrap());
        let found = differences(&a, &b, "module").unwrap();
        let [init] = found.as_slice() else { panic!("{found:?}") };
        let offset = |member: &Option<StructMember>| member.as_ref().map(|member| member.offset);
        assert_eq!((init.name.as_str(), offset(&init.before), offset(&init.after)), ("init", Some(72), Some(88)));
        assert_eq!(differences(&a, &a, "module"), Some(vec![]));
        assert_eq!(differences(&a, &b, "nobody"), None);
        let member = |name: &str| StructMember { name: name.into(), offset: 0, size: 1 };
        let changes = differences_of(&[member("went")], &[member("came")]);
        assert!(changes[0].after.is_none() && changes[1].before.is_none());
    }

    #[test]
    fn members_of_one_name_are_compared_in_their_order() {
        let member = |offset: u64| StructMember { name: "twice".into(), offset, size: 1 };
        let (one, two, three) = ([member(0)], [member(0), member(8)], [member(0), member(8), member(8)]);
        for same in [&one[..], &two, &three] {
            assert_eq!(differences_of(same, same), []);
        }
        let offsets = |before: &[StructMember], after: &[StructMember]| {
            let offset = |member: Option<StructMember>| member.map(|member| member.offset);
            let found = differences_of(before, after).into_iter();
            found.map(|found| (offset(found.before), offset(found.after))).collect::<Vec<_>>()
        };
        assert_eq!(offsets(&one, &two), [(None, Some(8))]);
        assert_eq!(offsets(&three, &two), [(Some(8), None)]);
        assert_eq!(offsets(&two, &[member(4), member(8)]), [(Some(0), Some(4))]);
    }

    #[test]
    fn structures_that_hold_themselves_end() {
        let mut maker = kernel(false);
        // Type 9 is an anonymous structure that contains itself twice; type 10 contains type 9.
        maker.add("", info(4, 2), 8, &[0, 9, 0, 0, 9, 0]);
        maker.add("endless", info(4, 1), 8, &[0, 9, 0]);
        maker.add("circle", info(8, 0), 11, &[]);
        let member = maker.string("member");
        maker.add("round", info(4, 1), 8, &[member, 11, 0]);
        let bytes = maker.finish();
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!((btf.struct_members("endless"), btf.struct_members("round")), (None, None));
    }

    #[test]
    fn btf_cut_or_changed_anywhere_never_panics() {
        let bytes = kernel(false).finish();
        for at in 0..bytes.len() {
            assert!(Btf::parse(&bytes[..at]).is_err(), "cut at {at}");
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut hostile = bytes.clone();
                hostile[at] = byte;
                if let Ok(btf) = Btf::parse(&hostile) {
                    let _ = btf.struct_members("module");
                    let _ = differences(&btf, &btf, "module");
                }
            }
        }
    }
}
