//! What a kernel finds when it checks the BTF of a module that comes.
//!
//! `btf_parse_module` (kernel/bpf/btf.c, read in 6.1, 6.12 and 7.2) looks at the header, at the strings, at each type by
//! itself (`btf_check_all_metas`), and at chains of modifiers; it does not follow other references. A module that was
//! built for another kernel is found out because its names, which are offsets into the strings of *its* kernel, fall into
//! the middle of others in this one.
//!
//! Where the sources differ and the kernel's version does not decide, and for versions before 6.1, whose later fixes were
//! not read, the answer is [`Validity::Unsure`].

use crate::btf::{Btf, Kind, Order, TYPE, Type};

/// What a kernel finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Nothing: it takes the BTF.
    Valid,
    /// Something wrong.
    Invalid {
        /// What it returns, and prints in `failed to validate module [NAME] BTF: -ERRNO`.
        errno: i32,
        /// What is wrong, in words.
        what: String,
    },
    /// What decides it is not known here; the reason in words.
    Unsure(String),
}

const E2BIG: i32 = 7;
pub(super) const EINVAL: i32 = 22;
const ELOOP: i32 = 40;
const ENOTSUPP: i32 = 524;

/// `BTF_MAX_TYPE` and `BTF_MAX_NAME_OFFSET` (include/uapi/linux/btf.h).
const MAX_TYPE: u32 = 0x000f_ffff;
const MAX_NAME_OFFSET: u32 = 0x00ff_ffff;

/// `KSYM_NAME_LEN` since 6.1 (include/linux/kallsyms.h).
const NAME_LENGTH: usize = 512;

/// How many modifiers may follow each other.
const CHAIN: usize = 32;

/// Checks the BTF of a module as a kernel of this BTF and this version (major, minor) does.
pub fn validate_module(module: &[u8], kernel: &[u8], version: Option<(u32, u32)>) -> Validity {
    let kernel = match Btf::parse(kernel) {
        Ok(kernel) => kernel,
        Err(e) => return Validity::Unsure(format!("the kernel's BTF can't be read: {e}")),
    };
    let mut check = Check::of(kernel.order, version);
    let found = check.types(module, Some(&kernel)).map(|_| ());
    check.answer(found)
}

pub(super) type Found<T = ()> = Result<T, (i32, String)>;

/// Types and strings.
type Sections<'a> = (&'a [u8], &'a [u8]);

pub(super) fn wrong<T>(what: impl Into<String>) -> Found<T> {
    Err((EINVAL, what.into()))
}

/// The checks of one kernel, and the first doubt that came up in them.
pub(super) struct Check {
    order: Order,
    version: Option<(u32, u32)>,
    unsure: Option<String>,
}

impl Check {
    /// As a kernel of this byte order and this version (major, minor) does it.
    pub(super) fn of(order: Order, version: Option<(u32, u32)>) -> Check {
        Check { order, version, unsure: None }
    }

    /// What all that was found comes to.
    pub(super) fn answer(self, found: Found) -> Validity {
        match (found, self.unsure) {
            // Nothing but a definite finding counts, and of its errno there must be no doubt.
            (Err((errno, what)), unsure) if errno == EINVAL || unsure.is_none() => Validity::Invalid { errno, what },
            (Err((_, what)), _) => Validity::Unsure(what),
            (Ok(()), Some(what)) => Validity::Unsure(what),
            (Ok(()), None) => Validity::Valid,
        }
    }

    /// Is the version among those that behave as one source that was read? `from` and `to` are the first and the last
    /// that were read with this behaviour.
    fn is_within(&self, from: (u32, u32), to: (u32, u32)) -> bool {
        self.version.is_some_and(|version| version >= from && version <= to)
    }

    /// Something that only some kernels mind: those within the versions, surely not those within the others.
    fn minded(&mut self, by: [(u32, u32); 2], not_by: [(u32, u32); 2], what: &str) -> Found {
        let [from, to] = by;
        if self.is_within(from, to) {
            return wrong(what);
        }
        let [from, to] = not_by;
        if !self.is_within(from, to) {
            self.unsure.get_or_insert_with(|| format!("{what}: that depends on the kernel's version"));
        }
        Ok(())
    }

    /// Types that go on behind those of a base, or that are the base of others (`btf_parse_base`): read, if nothing is
    /// wrong with them.
    pub(super) fn types<'a>(&mut self, bytes: &'a [u8], base: Option<&'a Btf<'a>>) -> Found<Btf<'a>> {
        if !self.is_within((6, 1), (u32::MAX, 0)) {
            self.unsure = Some("what this version of the kernel checks in BTF is not known here".to_owned());
        }
        let (types, strings) = self.header(bytes, base.is_some())?;
        let order = self.order;
        let names = Names { base, strings };
        let first = base.map_or(1, Btf::count);
        let mut at = 0;
        let mut offsets = Vec::new();
        while let Some(rest) = types.get(at..).filter(|rest| !rest.is_empty()) {
            let number = first.saturating_add(offsets.len());
            let found = self.meta(rest, &names).map_err(|(errno, what)| (errno, format!("type {number}: {what}")))?;
            offsets.push(u32::try_from(at).unwrap_or(u32::MAX));
            at = at.saturating_add(found);
        }
        let found = Btf { order, base, types, strings, offsets };
        self.chains(&found)?;
        Ok(found)
    }

    /// `btf_parse_hdr`, `btf_check_sec_info`, `btf_parse_str_sec`: the types and the strings.
    fn header<'a>(&mut self, bytes: &'a [u8], has_base: bool) -> Found<Sections<'a>> {
        let order = self.order;
        let Some(length) = order.number(bytes, 4).and_then(|n| usize::try_from(n).ok()) else {
            return wrong("it is shorter than its header");
        };
        let Some((header, data)) = bytes.split_at_checked(length) else {
            return wrong("it is shorter than its header");
        };
        // What the header leaves out counts as 0.
        let field = |index: usize| order.number(header, 4 * index).unwrap_or(0);
        if length < 24 {
            self.unsure.get_or_insert_with(|| "its header is a short one".to_owned());
        }
        // From 7.2 on there are two more fields, for the layouts of kinds; kernels before take none but zeros.
        let has_layout = header.get(24..).is_some_and(|more| more.iter().any(|byte| *byte != 0));
        if header.get(32..).is_some_and(|more| more.iter().any(|byte| *byte != 0))
            || has_layout && self.is_within((6, 1), (6, 12))
        {
            return Err((E2BIG, "its header has fields that the kernel does not know".to_owned()));
        }
        if has_layout && !self.is_within((7, 2), (u32::MAX, 0)) {
            self.unsure.get_or_insert_with(|| "its header has a section for layouts".to_owned());
        }
        if Order::of(bytes) != Some(order) {
            return wrong("its magic is not that of the kernel's byte order");
        }
        match header.get(2..4) {
            Some([1, 0]) => {}
            Some([1, _]) => return Err((ENOTSUPP, "it has flags".to_owned())),
            _ => return Err((ENOTSUPP, "it is of another version than 1".to_owned())),
        }
        let as_size = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
        let mut sections = vec![(field(2), field(3)), (field(4), field(5))];
        if has_layout && length >= 32 && field(7) > 0 {
            sections.push((field(6), field(7)));
        }
        sections.sort_unstable();
        let mut end = 0usize;
        for (offset, length) in sections {
            if as_size(offset) != end {
                return wrong("its sections do not follow each other");
            }
            end = end.saturating_add(as_size(length));
        }
        if end != data.len() {
            return wrong("its sections are not all that there is behind its header");
        }
        let section = |offset: u32, length: u32| {
            data.get(as_size(offset)..as_size(offset).saturating_add(as_size(length))).unwrap_or_default()
        };
        let (types, strings) = (section(field(2), field(3)), section(field(4), field(5)));
        let at_end = as_size(field(4)).saturating_add(strings.len()) == data.len();
        if !at_end && length < 32 {
            return wrong("its strings are not at its end");
        }
        if !at_end && !has_layout {
            self.minded([(6, 1), (6, 12)], [(7, 2), (u32::MAX, 0)], "its strings are not at its end")?;
        }
        let too_long = field(5).checked_sub(1).is_some_and(|last| last > MAX_NAME_OFFSET);
        if too_long || strings.last().is_some_and(|last| *last != 0) {
            return wrong("its strings do not end in a NUL");
        }
        if !has_base && strings.first() != Some(&0) {
            return wrong("its strings do not start with a NUL");
        }
        Ok((types, strings))
    }

    /// `btf_check_meta` for the type at the start of these bytes: its length.
    fn meta(&mut self, rest: &[u8], names: &Names<'_>) -> Found<usize> {
        let order = self.order;
        let field = |index: usize| order.number(rest, 4 * index);
        let (Some(name), Some(info), Some(size)) = (field(0), field(1), field(2)) else {
            return wrong("it is cut short");
        };
        if info & 0x60ff_0000 != 0 {
            let what = "it has bits that older kernels do not know";
            self.minded([(6, 1), (6, 12)], [(7, 2), (u32::MAX, 0)], what)?;
        }
        let Some(kind) = Kind::of(info >> 24 & 0x7f) else { return wrong("its kind is unknown") };
        if !names.has(name) {
            return wrong("its name is at an offset that no string has");
        }
        let length = TYPE.saturating_add(kind.extra(usize::try_from(info & 0x00ff_ffff).unwrap_or(0)));
        let Some(found) = rest.get(..length).and_then(|bytes| Type::read(order, bytes)) else {
            return wrong("it is cut short");
        };
        self.one(&found, names, size)?;
        Ok(length)
    }

    /// `check_meta` of its kind.
    fn one(&mut self, found: &Type<'_>, names: &Names<'_>, size: u32) -> Found {
        let parts = found.info & 0x00ff_ffff;
        let named = found.name != 0;
        let is_named_well = named && names.is_identifier(found.name);
        let (is_plain, has_flag) = (parts == 0, found.flag());
        let part = |index: usize| found.extra_number(index).unwrap_or(0);
        let bad_type = |number: u32| number == 0 || number > MAX_TYPE;
        let need = |holds: bool, what: &str| if holds { Ok(()) } else { wrong(what) };
        match found.kind {
            Kind::Int => {
                need(is_plain && !has_flag, "an integer has parts")?;
                let data = part(0);
                let (encoding, offset, bits) = (data >> 24 & 15, data >> 16 & 255, data & 255);
                need(data & 0xf000_0000 == 0, "an integer of unknown bits")?;
                need(bits + offset <= 128 && (bits + offset).div_ceil(8) <= size, "an integer larger than its size")?;
                match encoding {
                    0 | 1 | 2 | 4 => Ok(()),
                    _ => Err((ENOTSUPP, "an integer of two encodings".to_owned())),
                }
            }
            Kind::Pointer | Kind::Typedef | Kind::Volatile | Kind::Const | Kind::Restrict | Kind::TypeTag => {
                need(is_plain, "a reference has parts")?;
                if has_flag && found.kind == Kind::TypeTag {
                    self.minded([(6, 1), (6, 12)], [(7, 2), (u32::MAX, 0)], "a tag has a flag")?;
                } else {
                    need(!has_flag, "a reference has a flag")?;
                }
                need(size <= MAX_TYPE, "a reference to a number that no type can have")?;
                match found.kind {
                    Kind::Typedef => need(is_named_well, "the name of a typedef is none"),
                    Kind::TypeTag => need(!names.is_empty(found.name), "a tag has no name"),
                    _ => need(!named, "a reference has a name"),
                }
            }
            Kind::Forward => {
                need(is_plain && size == 0, "a forward declaration has parts")?;
                need(is_named_well, "the name of a forward declaration is none")
            }
            Kind::Array => {
                need(!named && is_plain && !has_flag && size == 0, "an array has a name, parts, or a size")?;
                need(!bad_type(part(0)) && !bad_type(part(1)), "an array of void")
            }
            Kind::Struct | Kind::Union => {
                need(!named || is_named_well, "the name of a structure is none")?;
                let mut last = 0;
                for [name, kind, place] in found.groups::<3>() {
                    need(names.has(name), "a member's name is at an offset that no string has")?;
                    need(name == 0 || names.is_identifier(name), "the name of a member is none")?;
                    need(!bad_type(kind), "a member is void")?;
                    let bit = if has_flag { place & 0x00ff_ffff } else { place };
                    need(found.kind == Kind::Struct || bit == 0, "a union's member does not start at 0")?;
                    need(last <= bit, "a member lies before the one before it")?;
                    need(bit.div_ceil(8) <= size, "a member lies beyond its structure")?;
                    last = bit;
                }
                Ok(())
            }
            Kind::Enum | Kind::Enum64 => {
                need(size <= 8 && size.is_power_of_two(), "an enumeration of a size that no number has")?;
                need(!named || is_named_well, "the name of an enumeration is none")?;
                let width = if found.kind == Kind::Enum { 2 } else { 3 };
                for index in 0..usize::try_from(parts).unwrap_or(0) {
                    let name = part(index.saturating_mul(width));
                    need(names.has(name), "an enumerator's name is at an offset that no string has")?;
                    need(name != 0 && names.is_identifier(name), "the name of an enumerator is none")?;
                }
                Ok(())
            }
            Kind::Prototype => need(!named && !has_flag, "a prototype has a name or a flag"),
            Kind::Function => {
                need(is_named_well, "the name of a function is none")?;
                need(parts <= 2 && !has_flag, "a function's linkage is unknown")
            }
            Kind::Variable => {
                need(is_plain && !has_flag, "a variable has parts")?;
                need(is_named_well, "the name of a variable is none")?;
                need(!bad_type(size), "a variable is void")?;
                need(part(0) <= 1, "a variable's linkage is unknown")
            }
            Kind::Section => self.section(found, names, size),
            Kind::Float => {
                need(is_plain && !has_flag, "a floating point number has parts")?;
                need(matches!(size, 2 | 4 | 8 | 12 | 16), "a floating point number of an unknown size")
            }
            Kind::DeclarationTag => {
                need(!names.is_empty(found.name), "a tag has no name")?;
                need(is_plain, "a tag has parts")?;
                if has_flag {
                    self.minded([(6, 1), (6, 12)], [(7, 2), (u32::MAX, 0)], "a tag has a flag")?;
                }
                // As a signed number, not below -1.
                need(part(0) <= 0x7fff_ffff || part(0) == u32::MAX, "a tag's place is below -1")
            }
        }
    }

    fn section(&mut self, found: &Type<'_>, names: &Names<'_>, size: u32) -> Found {
        if size == 0 || found.flag() {
            return wrong("a section of variables has no size, or a flag");
        }
        if found.name == 0 || !names.is_printable(found.name) {
            return wrong("the name of a section is none");
        }
        if !names.is_identifier(found.name) {
            self.minded([(6, 1), (6, 1)], [(6, 12), (u32::MAX, 0)], "the name of a section is no identifier")?;
        }
        let mut end = 0u64;
        for [kind, offset, length] in found.groups::<3>() {
            if kind == 0 || kind > MAX_TYPE {
                return wrong("a section's variable is void");
            }
            if u64::from(offset) < end || offset >= size || length == 0 {
                return wrong("a section's variables overlap, or lie beyond it");
            }
            end = u64::from(offset).saturating_add(length.into());
            if end > u64::from(size) {
                return wrong("a section's variable lies beyond it");
            }
        }
        Ok(())
    }

    /// `btf_check_type_tags`, since 7.x `btf_check_modifier_chain_length`: chains of modifiers end, in a type that is
    /// there. Before 7.x, tags stand before the other modifiers.
    fn chains(&mut self, module: &Btf<'_>) -> Found {
        let start = u32::try_from(module.first()).unwrap_or(u32::MAX);
        let end = u32::try_from(module.count()).unwrap_or(u32::MAX);
        let mut good = start.saturating_sub(1);
        for number in start..end {
            let Some(first) = module.get(number).filter(|first| first.kind.is_modifier()) else { continue };
            let (mut at, mut found, mut left) = (number, first, CHAIN);
            let mut in_tags = first.kind == Kind::TypeTag;
            while found.kind.is_modifier() {
                let Some(less) = left.checked_sub(1) else {
                    return Err((ELOOP, format!("type {number}: its modifiers do not end")));
                };
                left = less;
                if found.kind != Kind::TypeTag {
                    in_tags = false;
                } else if !in_tags {
                    let what = "tags stand behind other modifiers";
                    self.minded([(6, 1), (6, 12)], [(7, 2), (u32::MAX, 0)], what)?;
                }
                if at <= good {
                    break;
                }
                at = found.size_or_type;
                if at == 0 {
                    break;
                }
                match module.get(at) {
                    Some(next) => found = next,
                    None => return wrong(format!("type {number} refers to type {at}, and there is none")),
                }
            }
            good = number;
        }
        Ok(())
    }
}

/// The strings of the base, if there is one, and those behind them.
struct Names<'a> {
    base: Option<&'a Btf<'a>>,
    strings: &'a [u8],
}

impl Names<'_> {
    /// The bytes from an offset on.
    fn rest(&self, offset: u32) -> Option<&[u8]> {
        let offset = usize::try_from(offset).ok()?;
        let rest = match self.base {
            Some(base) => match offset.checked_sub(base.strings.len()) {
                Some(own) => self.strings.get(own..),
                None => base.strings.get(offset..),
            },
            None => self.strings.get(offset..),
        };
        rest.filter(|rest| !rest.is_empty())
    }

    /// `btf_name_offset_valid`. Larger offsets than the limit are no strings' ones either.
    fn has(&self, offset: u32) -> bool {
        offset <= MAX_NAME_OFFSET && self.rest(offset).is_some()
    }

    /// The name at an offset, or as much of it as shows that it is too long.
    fn name(&self, offset: u32) -> &[u8] {
        let rest = self.rest(offset).unwrap_or_default();
        let rest = rest.get(..=NAME_LENGTH).unwrap_or(rest);
        rest.get(..memchr::memchr(0, rest).unwrap_or(rest.len())).unwrap_or_default()
    }

    fn is_empty(&self, offset: u32) -> bool {
        self.name(offset).is_empty()
    }

    /// `btf_name_valid_identifier`: a dot counts as a letter does.
    fn is_identifier(&self, offset: u32) -> bool {
        let name = self.name(offset);
        let letter = |byte: u8| byte.is_ascii_alphabetic() || is_high_letter(byte) || byte == b'_' || byte == b'.';
        name.len() <= NAME_LENGTH
            && name.first().is_some_and(|byte| letter(*byte))
            && name.iter().all(|byte| letter(*byte) || byte.is_ascii_digit())
    }

    /// `btf_name_valid_section` since 6.12.
    fn is_printable(&self, offset: u32) -> bool {
        let name = self.name(offset);
        let printable = |byte: &u8| (0x20..0x7f).contains(byte) || *byte >= 0xa0;
        !name.is_empty() && name.len() <= NAME_LENGTH && name.iter().all(printable)
    }
}

/// The letters of Latin 1, which the kernel's `isalpha` knows too (lib/ctype.c).
fn is_high_letter(byte: u8) -> bool {
    byte >= 0xc0 && byte != 0xd7 && byte != 0xf7
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::btf::tests::{Maker, info, kernel};

    const V6_12: Option<(u32, u32)> = Some((6, 12));
    const V7_2: Option<(u32, u32)> = Some((7, 2));

    /// A module of the small kernel: a structure, a function and its prototype, an enumeration, a section of variables.
    fn module() -> Maker {
        let mut maker = Maker::on(&kernel(false));
        let [of_state, one] = ["of_state", "ONE"].map(|name| maker.string(name));
        maker.add("mine", info(4, 1), 8, &[of_state, 8, 0]);
        maker.add("", info(13, 1), 1, &[of_state, 2]);
        maker.add("mine_init", info(12, 0), 10, &[]);
        maker.add("choice", info(6, 1), 4, &[one, 1]);
        maker.add("counter", info(14, 0), 1, &[0]);
        maker.add(".bss", info(15, 1), 8, &[13, 0, 8]);
        maker.add("", info(10, 0), 9, &[]);
        maker
    }

    fn check(module: &Maker, version: Option<(u32, u32)>) -> Validity {
        validate_module(&module.finish(), &kernel(false).finish(), version)
    }

    fn refusal(module: &Maker, version: Option<(u32, u32)>) -> (i32, String) {
        match check(module, version) {
            Validity::Invalid { errno, what } => (errno, what),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_module_of_this_kernel_passes() {
        assert_eq!(check(&module(), V6_12), Validity::Valid);
        assert_eq!(check(&module(), V7_2), Validity::Valid);
        assert!(matches!(check(&module(), Some((5, 15))), Validity::Unsure(_)), "5.15 was not read");
        assert!(matches!(check(&module(), None), Validity::Unsure(_)));
    }

    #[test]
    fn names_that_fall_into_others_give_a_stranger_away() {
        // The other kernel had more strings: what was a name there is beyond all strings here.
        let mut other = kernel(false);
        other.string("a name that only the other kernel has");
        let mut stranger = Maker::on(&other);
        stranger.add("mine", info(4, 0), 8, &[]);
        let (errno, what) = refusal(&stranger, V6_12);
        assert_eq!((errno, what.as_str()), (EINVAL, "type 9: its name is at an offset that no string has"));
        // Or in the middle of one: "long unsigned int" at its blank.
        let mut stranger = module();
        stranger.types[..4].copy_from_slice(&5u32.to_le_bytes());
        assert_eq!(refusal(&stranger, V6_12).1, "type 9: the name of a structure is none");
    }

    #[test]
    fn modifiers_must_end_in_a_type_that_is_there() {
        let mut far = module();
        far.add("", info(10, 0), 1000, &[]);
        assert_eq!(refusal(&far, V6_12), (EINVAL, "type 16 refers to type 1000, and there is none".into()));
        let mut circle = module();
        circle.add("", info(10, 0), 16, &[]);
        assert_eq!(refusal(&circle, V7_2), (ELOOP, "type 16: its modifiers do not end".into()));
    }

    #[test]
    fn references_that_the_kernel_does_not_follow_may_lead_nowhere() {
        let mut maker = module();
        maker.add("", info(2, 0), 1000, &[]);
        maker.add("to_nowhere", info(12, 0), 1000, &[]);
        assert_eq!(check(&maker, V6_12), Validity::Valid);
    }

    #[test]
    fn what_only_some_versions_mind_depends_on_the_version() {
        let mut tag = module();
        tag.add("tag", info(18, 0) | 1 << 31, 1, &[]);
        assert_eq!(refusal(&tag, V6_12).1, "type 16: a tag has a flag");
        assert_eq!(check(&tag, V7_2), Validity::Valid);
        assert!(matches!(check(&tag, Some((6, 18))), Validity::Unsure(_)));
        let mut order = module();
        order.add("", info(10, 0), 17, &[]);
        order.add("tag", info(18, 0), 1, &[]);
        assert_eq!(refusal(&order, V6_12).1, "tags stand behind other modifiers");
        assert_eq!(check(&order, V7_2), Validity::Valid);
    }

    #[test]
    fn each_errno_is_the_kernel_s() {
        let kernel = kernel(false).finish();
        let of = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = module().finish();
            change(&mut bytes);
            match validate_module(&bytes, &kernel, V6_12) {
                Validity::Invalid { errno, .. } => errno,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(of(&|bytes| bytes[0] = 0), EINVAL);
        assert_eq!(of(&|bytes| bytes[2] = 2), ENOTSUPP);
        assert_eq!(of(&|bytes| bytes[3] = 1), ENOTSUPP);
        assert_eq!(of(&|bytes| bytes.push(0)), EINVAL);
        assert_eq!(of(&|bytes| bytes.truncate(6)), EINVAL);
        assert_eq!(of(&|bytes| bytes[4] = 28), E2BIG, "the first four bytes of types as a header's field");
    }

    #[test]
    fn a_module_s_btf_cut_or_changed_anywhere_never_panics() {
        let (bytes, kernel) = (module().finish(), kernel(false).finish());
        for at in 0..bytes.len() {
            for version in [V6_12, V7_2] {
                assert!(matches!(validate_module(&bytes[..at], &kernel, version), Validity::Invalid { .. }), "{at}");
            }
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut hostile = bytes.clone();
                hostile[at] = byte;
                let _ = validate_module(&hostile, &kernel, V7_2);
            }
        }
        assert!(matches!(validate_module(&bytes, b"", V7_2), Validity::Unsure(_)));
    }
}
