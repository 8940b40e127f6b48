//! How a kernel checks a module that has its own BTF base, the section `.BTF.base`.
//!
//! A module that is built outside its kernel's tree copies into this section the few kernel types to which its own types refer,
//! so that its BTF stays usable when the kernel is rebuilt. The kernel (`btf_parse_module`, kernel/bpf/btf.c) checks the base,
//! then the module's types on top of it, both as [`validity`](super::validity) does; then it looks up each type of the base
//! among its own types by name (`btf_relocate`, tools/lib/bpf/btf_relocate.c). Both functions were read in 6.12.117 and 7.2.13,
//! where they behave the same. 6.11 has the first version, which was not read.
//!
//! Two peculiarities of the kernel are reproduced, because the result depends on them. A structure of the base matches any type
//! of its name, even an integer or a union. For a forward declaration, the kernel tests a structure's flag, which is about bit
//! fields, to determine whether it is a union. A third peculiarity was fixed in 6.15 and in stable kernels of 6.12 and 6.13:
//! only the first part of the module's types was searched for structures that embed a base structure, which makes its size
//! significant.

use std::collections::{HashMap, HashSet};

use crate::btf::log::{BASE_AMBIGUOUS, BASE_KIND, BASE_STRING, BASE_UNMAPPED, BASE_UNNAMED, Rejection};
use crate::btf::types::{Btf, BtfKind, BtfType};
use crate::btf::validity::{Check, CheckResult, EINVAL, Validity};

const ENOENT: i32 = 2;

/// The first version whose source was read; later versions are treated the same.
const READ_FROM: (u32, u32) = (6, 12);

/// The first version in which every kernel examines all structures of a module.
const ALL_LOOKED_INTO: (u32, u32) = (6, 15);

/// The most pairs of a kernel's and a base's type with the same name, per type. Kernels have few types of one name, and a base
/// has each name once.
const PAIRS: usize = 64;

/// Checks the BTF of a module with its own base as a kernel with this BTF and this version (major, minor) does, provided that
/// the kernel supports bases.
pub fn validate_with_base(module: &[u8], base: &[u8], kernel: &[u8], version: Option<(u32, u32)>) -> Validity {
    let kernel = match Btf::parse(kernel) {
        Ok(kernel) => kernel,
        Err(e) => return Validity::Unsure(format!("the kernel's BTF can't be read: {e}")),
    };
    let mut check = Check::of(kernel.order, version);
    let base = match check.types(base, None) {
        Ok(base) => base,
        Err(rejection) => return check.answer(Err(rejection.in_base())),
    };
    if base.offsets.is_empty() {
        return Validity::Unsure("its base has no types".to_owned());
    }
    let module = match check.types(module, Some(&base)) {
        Ok(module) => module,
        Err(found) => return check.answer(Err(found)),
    };
    if version.is_none_or(|version| version < READ_FROM) {
        return Validity::Unsure("how this version of the kernel follows a module's own base is not known here".into());
    }
    let relocation = BaseRelocation { module: &module, base: &base, kernel: &kernel };
    let all = relocation.run(module.count());
    // Before 6.15, the count of the module's own types was used as the end of its type numbers.
    if version < Some(ALL_LOOKED_INTO) && relocation.run(module.offsets.len()) != all {
        let what =
            "one of the module's structures embeds a structure of its base; the result depends on the kernel's version";
        return Validity::Unsure(what.to_owned());
    }
    match all {
        Ok(()) => check.answer(Ok(())),
        Err(Stop::Wrong(rejection)) => check.answer(Err(rejection)),
        Err(Stop::Unforeseeable(what)) => Validity::Unsure(what),
    }
}

/// Why a relocation stops early.
#[derive(PartialEq)]
enum Stop {
    /// The kernel rejects the BTF.
    Wrong(Rejection),
    /// The kernel follows a type number without checking that the type exists.
    Unforeseeable(String),
}

impl From<Rejection> for Stop {
    fn from(rejection: Rejection) -> Stop {
        Stop::Wrong(rejection)
    }
}

/// The match found for a type of the base.
#[derive(Clone, Copy, PartialEq)]
enum BaseTypeMatch {
    Nowhere,
    /// No match yet; a type of the module embeds it, so its size must be equal (`BTF_IS_EMBEDDED`).
    NowhereButEmbedded,
    /// The kernel's type with this number.
    At(u32),
}

struct BaseRelocation<'a> {
    module: &'a Btf<'a>,
    base: &'a Btf<'a>,
    kernel: &'a Btf<'a>,
}

/// Converts an index to a type number. All indexes come from 32-bit numbers.
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

impl BaseRelocation<'_> {
    /// `btf_relocate`, which examines the module's structures up to the type with this number.
    fn run(&self, up_to: usize) -> Result<(), Stop> {
        self.kinds()?;
        let mut places = vec![BaseTypeMatch::Nowhere; self.base.count()];
        self.embedded(&mut places, up_to)?;
        let names = self.find(&mut places)?;
        self.references()?;
        self.strings(&names)?;
        Ok(())
    }

    /// `btf_relocate_validate_distilled_base`: only types of six kinds are allowed, and all must have names.
    fn kinds(&self) -> CheckResult {
        use BtfKind::{Enum, Float, Forward, Int, Struct, Union};
        for (found, id) in self.base.own().zip(1u32..) {
            if !matches!(found.kind, Int | Float | Enum | Struct | Union | Forward) {
                let kind = found.kind as u32;
                let line = BASE_KIND.line([&id, &kind]);
                return Err(Rejection::warning(EINVAL, line));
            }
            if found.name == 0 {
                let kind = found.kind as u32;
                let line = BASE_UNNAMED.line([&id, &kind]);
                return Err(Rejection::warning(EINVAL, line));
            }
        }
        Ok(())
    }

    /// `btf_mark_embedded_composite_type_ids`: marks the types of the base that the module's types embed.
    fn embedded(&self, places: &mut [BaseTypeMatch], up_to: usize) -> Result<(), Stop> {
        // The chain in which each type was reached, by its number; chains may share their ends.
        let (mut reached, mut chain) = (vec![0u32; self.module.count()], 0u32);
        for id in self.base.count()..up_to {
            let id = number(id);
            let Some(found) = self.module.get(id).filter(|found| is_composite(found.kind)) else { continue };
            for [_, mut at, _] in found.groups::<3>() {
                chain = chain.saturating_add(1);
                while at != 0 {
                    if let Some(reached) = reached.get_mut(usize::try_from(at).unwrap_or(usize::MAX)) {
                        match std::mem::replace(reached, chain) {
                            0 => {}
                            this if this == chain => {
                                return Err(Stop::Unforeseeable(format!("a member of type {id} never ends")));
                            }
                            _ => break,
                        }
                    }
                    let Some(part) = self.module.get(at) else {
                        return Err(Stop::Unforeseeable(format!(
                            "a member of type {id} is of type {at}, which is none"
                        )));
                    };
                    if is_composite(part.kind)
                        && let Some(place) = places.get_mut(usize::try_from(at).unwrap_or(usize::MAX))
                    {
                        *place = BaseTypeMatch::NowhereButEmbedded;
                    }
                    at = match part.kind {
                        kind if kind.is_modifier() => part.size_or_type,
                        BtfKind::Array => part.extra_number(0).unwrap_or(0),
                        _ => 0,
                    };
                }
            }
        }
        Ok(())
    }

    /// `btf_relocate_map_distilled_base`: finds each type of the base among the kernel's types. Returns the names of the types
    /// that were found, as offsets into the base's strings.
    fn find(&self, places: &mut [BaseTypeMatch]) -> Result<HashSet<u32>, Stop> {
        let mut wanted: HashMap<&[u8], Vec<(u32, BtfType<'_>)>> = HashMap::new();
        for (found, id) in self.base.own().zip(1u32..) {
            // No type of the kernel has a name that exceeds the limit.
            if let Some(name) = self.base.string(found.name) {
                wanted.entry(name).or_default().push((id, found));
            }
        }
        let candidates: Vec<BaseCandidate<'_>> = self
            .kernel
            .own()
            .zip(1u32..)
            .filter_map(|(found, id)| {
                let can_be = is_composite(found.kind) || is_sized(found.kind) || found.kind == BtfKind::Forward;
                let name = self.kernel.string(found.name).filter(|name| can_be && !name.is_empty())?;
                Some(BaseCandidate { id, found, wanted: wanted.get(name)? })
            })
            .collect();
        // Structures of the same name are distinguished by their size.
        let mut counts: HashMap<u32, usize> = HashMap::new();
        for candidate in candidates.iter().filter(|candidate| is_composite(candidate.found.kind)) {
            *counts.entry(candidate.found.name).or_default() += 1;
        }

        let (mut names, mut pairs) = (HashSet::new(), 0usize);
        let most = PAIRS.saturating_mul(self.base.count().saturating_add(self.kernel.count()));
        for BaseCandidate { id, found, wanted } in &candidates {
            let is_ambiguous = is_composite(found.kind) && counts.get(&found.name).is_some_and(|count| *count > 1);
            let by_size = is_sized(found.kind) || is_ambiguous;
            pairs = pairs.saturating_add(wanted.len());
            if pairs > most {
                return Err(Stop::Unforeseeable("its base has too many types of the same name".to_owned()));
            }
            for (own, want) in *wanted {
                let Some(place) = places.get_mut(usize::try_from(*own).unwrap_or(usize::MAX)) else { continue };
                // The kernel compares only 31 bits here.
                if by_size && (want.size_or_type ^ found.size_or_type) & 0x7fff_ffff != 0 {
                    continue;
                }
                let is_embedded = *place == BaseTypeMatch::NowhereButEmbedded;
                if !fits(want, found, is_embedded) {
                    continue;
                }
                if let BaseTypeMatch::At(other) = *place {
                    let line = BASE_AMBIGUOUS.line([&self.name(want), own, &found.size_or_type, id, &other]);
                    return Err(Stop::Wrong(Rejection::warning(EINVAL, line)));
                }
                *place = BaseTypeMatch::At(*id);
                names.insert(want.name);
            }
        }
        for ((want, own), place) in self.base.own().zip(1u32..).zip(places.iter().skip(1)) {
            if !matches!(place, BaseTypeMatch::At(_)) {
                let (kind, name) = (called(&want), self.name(&want));
                let line = BASE_UNMAPPED.line([&name, &own]);
                let reason = format!("its base: the kernel has no {kind} as type {own} ({name})");
                return Err(Stop::Wrong(Rejection::warning(EINVAL, line).because(reason)));
            }
        }
        Ok(names)
    }

    /// `btf_relocate_rewrite_type_id` assumes that every type number to which a type of the module refers exists.
    fn references(&self) -> Result<(), Stop> {
        let count = number(self.module.count());
        for (found, id) in self.module.own().zip(number(self.base.count())..) {
            let own = match found.kind {
                BtfKind::Int
                | BtfKind::Float
                | BtfKind::Enum
                | BtfKind::Enum64
                | BtfKind::Struct
                | BtfKind::Union
                | BtfKind::Section => None,
                BtfKind::Array => found.extra_number(0).max(found.extra_number(1)),
                _ => Some(found.size_or_type),
            };
            let parts = match found.kind {
                BtfKind::Struct | BtfKind::Union => found.groups::<3>().map(|[_, part, _]| part).max(),
                BtfKind::Section => found.groups::<3>().map(|[part, ..]| part).max(),
                BtfKind::Prototype => found.groups::<2>().map(|[_, part]| part).max(),
                _ => None,
            };
            if let Some(beyond) = own.max(parts).filter(|reference| *reference >= count) {
                return Err(Stop::Unforeseeable(format!("type {id} refers to type {beyond}, and there is none")));
            }
        }
        Ok(())
    }

    /// `btf_relocate_rewrite_strs`: a name in the base's strings must be the name of a type that was found.
    fn strings(&self, names: &HashSet<u32>) -> CheckResult {
        let own_from = number(self.base.strings.len());
        let check = |id: u32, name: u32| match name == 0 || name >= own_from || names.contains(&name) {
            true => Ok(()),
            false => {
                let line = BASE_STRING.line([&"", &name]);
                let reason = format!("type {id}: a name of its base's strings is that of no type of the base");
                Err(Rejection::warning(ENOENT, line).because(reason))
            }
        };
        for (found, id) in self.module.own().zip(number(self.base.count())..) {
            check(id, found.name)?;
            match found.kind {
                BtfKind::Enum | BtfKind::Prototype => found.groups::<2>().try_for_each(|[name, _]| check(id, name))?,
                BtfKind::Struct | BtfKind::Union | BtfKind::Enum64 => {
                    found.groups::<3>().try_for_each(|[name, ..]| check(id, name))?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn name(&self, of: &BtfType<'_>) -> String {
        String::from_utf8_lossy(self.base.string(of.name).unwrap_or_default()).into_owned()
    }
}

/// A type of the kernel, and the types of the base with the same name.
struct BaseCandidate<'a> {
    id: u32,
    found: BtfType<'a>,
    wanted: &'a [(u32, BtfType<'a>)],
}

fn is_composite(kind: BtfKind) -> bool {
    matches!(kind, BtfKind::Struct | BtfKind::Union)
}

/// Must types of this kind always have the same size?
fn is_sized(kind: BtfKind) -> bool {
    matches!(kind, BtfKind::Int | BtfKind::Float | BtfKind::Enum | BtfKind::Enum64)
}

/// Does a type of the base match this type of the kernel, which has the same name?
fn fits(want: &BtfType<'_>, found: &BtfType<'_>, is_embedded: bool) -> bool {
    let encoding = |of: &BtfType<'_>| of.extra_number(0).map(|data| data >> 24 & 15);
    match want.kind {
        BtfKind::Forward => match found.kind {
            BtfKind::Forward => want.flag() == found.flag(),
            BtfKind::Struct => !found.flag(),
            BtfKind::Union => found.flag(),
            _ => false,
        },
        BtfKind::Int => found.kind == BtfKind::Int && encoding(want) == encoding(found),
        BtfKind::Float => found.kind == BtfKind::Float,
        // A base represents 64-bit enumerations as plain ones, too.
        BtfKind::Enum => matches!(found.kind, BtfKind::Enum | BtfKind::Enum64),
        BtfKind::Struct | BtfKind::Union => !is_embedded || want.size_or_type == found.size_or_type,
        _ => false,
    }
}

/// The description of a base type, with its size where the size may be significant.
fn called(found: &BtfType<'_>) -> String {
    let size = found.size_or_type;
    match found.kind {
        BtfKind::Forward => "structure or declaration of that name".to_owned(),
        BtfKind::Struct | BtfKind::Union => format!("structure of that name that will do (here {size} bytes)"),
        BtfKind::Enum => format!("enumeration of that name and of {size} bytes"),
        _ => format!("number of that name, sort, and of {size} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::btf::types::tests::{Maker, info, kernel};

    const V7_2: Option<(u32, u32)> = Some((7, 2));
    const EMPTY: &[u32] = &[];

    /// The types of a kernel and those of a base.
    struct Case {
        kernel: Maker,
        base: Maker,
    }

    impl Case {
        /// The small kernel, extended by an enumeration of eight bytes (9), a forward declaration (10) and `point` (11). The
        /// base has 1 `char`, 2 `module`, 3 `wide` and 4 `ahead`, in the form in which bases store them.
        fn new() -> Case {
            let mut kernel = kernel(false);
            let one = kernel.string("ONE");
            kernel.add("wide", info(19, 1), 8, &[one, 1, 0]);
            kernel.add("ahead", info(7, 0), 0, EMPTY);
            kernel.add("point", info(4, 0), 16, EMPTY);
            let mut base = Maker::new(false);
            base.add("char", info(1, 0), 1, &[1 << 24 | 8]);
            base.add("module", info(4, 0), 88, EMPTY);
            base.add("wide", info(6, 0), 8, EMPTY);
            base.add("ahead", info(7, 0), 0, EMPTY);
            Case { kernel, base }
        }

        /// The module: a pointer to `module`, and the types that `add` adds.
        fn module(&self, add: impl FnOnce(&mut Maker)) -> Maker {
            let mut module = Maker::on(&self.base);
            module.add("", info(2, 0), 2, EMPTY);
            add(&mut module);
            module
        }

        fn check(&self, module: &Maker) -> Validity {
            validate_with_base(&module.finish(), &self.base.finish(), &self.kernel.finish(), V7_2)
        }

        /// The errno and reason for a module that has only the pointer.
        fn refusal(&self) -> (i32, String) {
            self.refusal_of(&self.module(|_| {}))
        }

        fn refusal_of(&self, module: &Maker) -> (i32, String) {
            match self.check(module) {
                Validity::Invalid(Rejection { errno, reason, .. }) => (errno, reason),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Adds enough small types for kernels of any version to examine the structures before them.
    fn pad(maker: &mut Maker) {
        for _ in 0..16 {
            maker.add("", info(2, 0), 0, EMPTY);
        }
    }

    #[test]
    fn a_base_whose_types_the_kernel_has_is_taken() {
        let case = Case::new();
        assert_eq!(case.check(&case.module(|_| {})), Validity::Valid);
        for version in [None, Some((6, 11)), Some((5, 14))] {
            let found =
                validate_with_base(&case.module(|_| {}).finish(), &case.base.finish(), &case.kernel.finish(), version);
            assert!(matches!(found, Validity::Unsure(_)), "{version:?}: {found:?}");
        }
    }

    #[test]
    fn a_type_that_the_kernel_has_not_refuses() {
        for (kind, size, extra, said) in [
            (
                4,
                8,
                EMPTY,
                "its base: the kernel has no structure of that name that will do (here 8 bytes) as type 5 (gone)",
            ),
            (7, 0, EMPTY, "its base: the kernel has no structure or declaration of that name as type 5 (gone)"),
            (6, 4, EMPTY, "its base: the kernel has no enumeration of that name and of 4 bytes as type 5 (gone)"),
            (16, 4, EMPTY, "its base: the kernel has no number of that name, sort, and of 4 bytes as type 5 (gone)"),
        ] {
            let mut case = Case::new();
            case.base.add("gone", info(kind, 0), size, extra);
            assert_eq!(case.refusal(), (EINVAL, said.to_owned()));
        }
    }

    #[test]
    fn numbers_and_enumerations_must_have_the_size_and_the_sort() {
        for (name, kind, size, extra) in [
            ("long unsigned int", 1, 4, &[32u32][..]),
            // A signed integer.
            ("long unsigned int", 1, 8, &[1 << 24 | 64]),
            ("wide", 6, 4, EMPTY),
            // An enumeration is not an integer.
            ("char", 6, 1, EMPTY),
        ] {
            let mut case = Case::new();
            case.base.add(name, info(kind, 0), size, extra);
            let (errno, what) = case.refusal();
            assert!(errno == EINVAL && what.contains(&format!("type 5 ({name})")), "{what}");
        }
        // The number of bits that an integer uses is not compared.
        let mut case = Case::new();
        case.base.add("long unsigned int", info(1, 0), 8, &[63]);
        assert_eq!(case.check(&case.module(|_| {})), Validity::Valid);
    }

    #[test]
    fn the_size_of_a_structure_counts_only_where_it_lies_within_another() {
        let mut case = Case::new();
        case.base.add("point", info(4, 0), 24, EMPTY);
        let member = |kind: u32| {
            move |maker: &mut Maker| {
                // These are types 6 to 9 of the module.
                let name = maker.string("at");
                maker.add("", info(10, 0), 5, EMPTY);
                maker.add("", info(3, 0), 0, &[7, 1, 2]);
                maker.add("", info(2, 0), 5, EMPTY);
                maker.add("mine", info(4, 1), 48, &[name, kind, 0]);
                pad(maker);
            }
        };
        assert_eq!(case.check(&case.module(member(9))), Validity::Valid, "a pointer to it");
        for (kind, what) in [(5, "itself"), (7, "const"), (8, "an array")] {
            let found = case.refusal_of(&case.module(member(kind)));
            assert!(found.0 == EINVAL && found.1.contains("type 5 (point)"), "{what}: {found:?}");
        }
        // A kernel of 6.12 may not examine the structure, because that required more types.
        let on = |module: &Maker, version| {
            validate_with_base(&module.finish(), &case.base.finish(), &case.kernel.finish(), version)
        };
        assert!(matches!(on(&case.module(member(5)), Some((6, 12))), Validity::Invalid(_)));
        let small = case.module(|maker| {
            let name = maker.string("at");
            maker.add("mine", info(4, 1), 48, &[name, 5, 0]);
        });
        assert!(matches!(on(&small, Some((6, 12))), Validity::Unsure(_)));
        assert!(matches!(on(&small, V7_2), Validity::Invalid(_)));
    }

    #[test]
    fn of_two_structures_of_a_name_the_size_decides() {
        let mut case = Case::new();
        let name = case.kernel.string("twice");
        for size in [8u32, 16] {
            let bytes: Vec<u8> = [name, info(4, 0), size].into_iter().flat_map(u32::to_le_bytes).collect();
            case.kernel.types.extend(bytes);
        }
        case.base.add("twice", info(4, 0), 16, EMPTY);
        assert_eq!(case.check(&case.module(|_| {})), Validity::Valid);
        case.base.add("twice", info(4, 0), 24, EMPTY);
        assert!(case.refusal().1.contains("type 6 (twice)"));
        // If the sizes are equal too, the candidates cannot be distinguished.
        let mut case = Case::new();
        let name = case.kernel.string("twice");
        for _ in 0..2 {
            case.kernel.types.extend([name, info(4, 0), 8].into_iter().flat_map(u32::to_le_bytes));
        }
        case.base.add("twice", info(4, 0), 8, EMPTY);
        let said = "distilled base BTF type 'twice' [5], size 8 has multiple candidates of the same size (ids [13, 12]) in base BTF";
        assert_eq!(case.refusal(), (EINVAL, said.to_owned()));
    }

    #[test]
    fn a_structure_is_found_by_any_type_of_its_name_and_a_declaration_by_few() {
        let mut case = Case::new();
        case.base.add("point", info(5, 0), 16, EMPTY);
        case.base.add("char", info(4, 0), 1, EMPTY);
        case.base.add("point", info(7, 0), 0, EMPTY);
        assert_eq!(case.check(&case.module(|_| {})), Validity::Valid);
        // `module` has bit fields, so it does not match a declaration of a structure.
        case.base.add("module", info(7, 0), 0, EMPTY);
        assert!(case.refusal().1.contains("type 8 (module)"));
        // A declaration of a union, where the kernel declares a structure.
        let mut case = Case::new();
        case.base.add("ahead", info(7, 0) | 1 << 31, 0, EMPTY);
        assert!(case.refusal().1.contains("type 5 (ahead)"));
    }

    #[test]
    fn a_base_has_types_of_six_kinds_with_names() {
        let mut case = Case::new();
        case.base.add("", info(2, 0), 1, EMPTY);
        assert_eq!(case.refusal(), (EINVAL, "type [5] in distilled based BTF has unexpected kind [2]".to_owned()));
        let mut case = Case::new();
        case.base.add("", info(4, 0), 8, EMPTY);
        assert_eq!(
            case.refusal(),
            (EINVAL, "type [5], kind [4] is invalid for distilled base BTF; it is anonymous".to_owned())
        );
    }

    #[test]
    fn names_from_the_base_are_those_of_its_types() {
        let mut case = Case::new();
        let loose = case.base.string("loose");
        let char_at = 1u32;
        let with = |name: u32| {
            move |maker: &mut Maker| {
                maker.types.extend([name, info(4, 0), 8].into_iter().flat_map(u32::to_le_bytes));
            }
        };
        assert_eq!(case.check(&case.module(with(char_at))), Validity::Valid);
        let said = "type 6: a name of its base's strings is that of no type of the base";
        assert_eq!(case.refusal_of(&case.module(with(loose))), (ENOENT, said.to_owned()));
        let member = |maker: &mut Maker| maker.add("mine", info(4, 1), 8, &[loose, 1, 0]);
        assert_eq!(case.refusal_of(&case.module(member)), (ENOENT, said.to_owned()));
    }

    #[test]
    fn base_and_module_are_checked_before() {
        let case = Case::new();
        let (module, kernel) = (case.module(|_| {}).finish(), case.kernel.finish());
        let of = |base: &[u8]| validate_with_base(&module, base, &kernel, V7_2);
        assert!(matches!(of(b""), Validity::Invalid(Rejection { errno: EINVAL, .. })));
        let mut base = case.base.clone();
        base.strings[0] = b'x';
        let Validity::Invalid(Rejection { errno: EINVAL, reason: what, .. }) = of(&base.finish()) else { panic!() };
        assert_eq!(what, ".BTF.base: Invalid string section");
        let none = Maker::new(false);
        assert!(matches!(of(&none.finish()), Validity::Unsure(_)));
        let bad = case.module(|maker| maker.add("not a name", info(4, 0), 8, EMPTY));
        assert_eq!(case.refusal_of(&bad), (EINVAL, "type 6 (STRUCT): Invalid name".to_owned()));
    }

    #[test]
    fn chains_that_share_their_ends_are_followed_once() {
        // Followed for each member, they would be five thousand million steps.
        const LONG: u32 = 100_000;
        let mut case = Case::new();
        case.base.add("point", info(4, 0), 16, EMPTY);
        let mut module = case.module(|_| {});
        // Types 7 on: each is an array of the one before it, and the first one of the structure in the base.
        for number in 0..LONG {
            module.add("", info(3, 0), 0, &[if number == 0 { 5 } else { 6 + number }, 1, 2]);
        }
        let name = module.string("at");
        let members: Vec<u32> = (0..LONG).flat_map(|number| [name, 7 + number, 0]).collect();
        module.add("mine", info(4, LONG), u32::MAX, &members);
        pad(&mut module);
        assert_eq!(case.check(&module), Validity::Valid);
        // All of them embed it, so its size counts.
        let mut other = Case::new();
        other.base.add("point", info(4, 0), 24, EMPTY);
        assert!(other.refusal_of(&module).1.contains("type 5 (point)"));
    }

    #[test]
    fn very_many_types_of_one_name_are_not_compared_in_pairs() {
        let mut case = Case::new();
        // Integers of two encodings, so that none of the pairs matches.
        let (ours, theirs) = (case.base.string("same"), case.kernel.string("same"));
        let types = |name: u32, data: u32, count: usize| {
            let one: Vec<u8> = [name, info(1, 0), 4, data].into_iter().flat_map(u32::to_le_bytes).collect();
            one.repeat(count)
        };
        case.kernel.types.extend(types(theirs, 32, 200));
        case.base.types.extend(types(ours, 1 << 24 | 32, 200));
        let reason = "its base has too many types of the same name";
        assert_eq!(case.check(&case.module(|_| {})), Validity::Unsure(reason.to_owned()));
        // A few of them are compared.
        let mut case = Case::new();
        let (ours, theirs) = (case.base.string("same"), case.kernel.string("same"));
        case.kernel.types.extend(types(theirs, 32, 20));
        case.base.types.extend(types(ours, 1 << 24 | 32, 20));
        assert!(case.refusal().1.contains("type 5 (same)"));
    }

    #[test]
    fn references_that_lead_nowhere_can_do_anything() {
        let case = Case::new();
        for module in [
            case.module(|maker| maker.add("", info(2, 0), 1000, EMPTY)),
            case.module(|maker| {
                let name = maker.string("at");
                maker.add("mine", info(4, 1), 8, &[name, 1000, 0]);
                pad(maker);
            }),
            // A structure with an array that contains itself.
            case.module(|maker| {
                let name = maker.string("at");
                maker.add("mine", info(4, 1), 8, &[name, 7, 0]);
                maker.add("", info(3, 0), 0, &[7, 1, 2]);
                pad(maker);
            }),
        ] {
            assert!(matches!(case.check(&module), Validity::Unsure(_)));
        }
    }

    #[test]
    fn a_base_cut_or_changed_anywhere_never_panics() {
        let case = Case::new();
        let (module, base, kernel) = (case.module(pad).finish(), case.base.finish(), case.kernel.finish());
        for at in 0..base.len() {
            assert!(matches!(validate_with_base(&module, &base[..at], &kernel, V7_2), Validity::Invalid(_)), "{at}");
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut hostile = base.clone();
                hostile[at] = byte;
                let _ = validate_with_base(&module, &hostile, &kernel, V7_2);
            }
        }
    }
}
