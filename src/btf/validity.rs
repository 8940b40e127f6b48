//! How a kernel checks the BTF of a module that is being loaded.
//!
//! `btf_parse_module` (kernel/bpf/btf.c, read in 6.1, 6.12 and 7.2) checks the header, the strings, each type by itself
//! (`btf_check_all_metas`), and chains of modifiers; it does not follow other references. A module that was built for another
//! kernel is detected because its names are offsets into the strings of *that* kernel, and point into the middle of other
//! strings in this one.
//!
//! The result is [`Validity::Unsure`] where the sources differ and the kernel's version does not decide, and for versions
//! before 6.1, whose later fixes were not read.

use crate::btf::log::{Described, Rejection};
use crate::btf::types::{Btf, BtfByteOrder, BtfKind, BtfType, TYPE};

/// The result of a kernel's check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Validity {
    /// The kernel accepts the BTF.
    Valid,
    /// The kernel rejects the BTF.
    Invalid(Rejection),
    /// The facts do not decide; contains the reason in words.
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

/// The maximum length of a chain of modifiers.
const CHAIN: usize = 32;

/// The versions whose sources were read: 6.1 to 6.12 check some properties that 7.2 no longer checks.
const OLDER: [(u32, u32); 2] = [(6, 1), (6, 12)];
const NEWER: [(u32, u32); 2] = [(7, 2), (u32::MAX, 0)];

/// Checks the BTF of a module as a kernel with this BTF and this version (major, minor) does.
pub fn validate_module(module: &[u8], kernel: &[u8], version: Option<(u32, u32)>) -> Validity {
    let kernel = match Btf::parse(kernel) {
        Ok(kernel) => kernel,
        Err(e) => return Validity::Unsure(format!("the kernel's BTF can't be read: {e}")),
    };
    let mut check = Check::of(kernel.order, version);
    let found = check.types(module, Some(&kernel)).map(|_| ());
    check.answer(found)
}

pub(super) type CheckResult<T = ()> = Result<T, Rejection>;

/// The bytes of the types and of the strings.
type Sections<'a> = (&'a [u8], &'a [u8]);

fn invalid<T>(message: &str) -> CheckResult<T> {
    Err(Rejection::line(EINVAL, message))
}

/// The checks of one kernel, and the first open question that arose in them.
pub(super) struct Check {
    order: BtfByteOrder,
    version: Option<(u32, u32)>,
    unsure: Option<String>,
}

impl Check {
    /// The checks of a kernel with this byte order and this version (major, minor).
    pub(super) fn of(order: BtfByteOrder, version: Option<(u32, u32)>) -> Check {
        Check { order, version, unsure: None }
    }

    /// The overall result of the checks.
    pub(super) fn answer(self, found: CheckResult) -> Validity {
        match (found, self.unsure) {
            (Err(rejection), None) => Validity::Invalid(rejection),
            // An earlier open question leaves the errno undecided, unless it is the errno of nearly all rejections; it always
            // leaves the lines undecided.
            (Err(rejection), Some(_)) if rejection.errno == EINVAL => {
                Validity::Invalid(Rejection { lines: Vec::new(), ..rejection })
            }
            (Err(rejection), _) => Validity::Unsure(rejection.reason),
            (Ok(()), Some(what)) => Validity::Unsure(what),
            (Ok(()), None) => Validity::Valid,
        }
    }

    /// Is the version within a range of versions with the same behaviour? `from` and `to` are the first and the last version
    /// that were read with this behaviour.
    fn is_within(&self, [from, to]: [(u32, u32); 2]) -> bool {
        self.version.is_some_and(|version| version >= from && version <= to)
    }

    /// A property that only some kernels reject: those in the first range reject it, those in the second accept it.
    fn rejected_by(&mut self, by: [(u32, u32); 2], not_by: [(u32, u32); 2], rejection: Rejection) -> CheckResult {
        if self.is_within(by) {
            return Err(rejection);
        }
        if !self.is_within(not_by) {
            self.unsure.get_or_insert_with(|| format!("{}: that depends on the kernel's version", rejection.reason));
        }
        Ok(())
    }

    /// Checks types that continue those of a base, or that are the base of others (`btf_parse_base`). Returns them if no check
    /// fails.
    pub(super) fn types<'a>(&mut self, bytes: &'a [u8], base: Option<&'a Btf<'a>>) -> CheckResult<Btf<'a>> {
        if !self.is_within([(6, 1), (u32::MAX, 0)]) {
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
            let found = self.meta(number, rest, &names)?;
            offsets.push(u32::try_from(at).unwrap_or(u32::MAX));
            at = at.saturating_add(found);
        }
        let found = Btf { order, base, types, strings, offsets };
        self.chains(&found)?;
        Ok(found)
    }

    /// `btf_parse_hdr`, `btf_check_sec_info`, `btf_parse_str_sec`: returns the bytes of the types and of the strings.
    fn header<'a>(&mut self, bytes: &'a [u8], has_base: bool) -> CheckResult<Sections<'a>> {
        let order = self.order;
        let Some(length) = order.number(bytes, 4).and_then(|n| usize::try_from(n).ok()) else {
            return invalid("hdr_len not found");
        };
        let Some((header, data)) = bytes.split_at_checked(length) else { return invalid("btf_header not found") };
        // Fields that the header omits are 0.
        let field = |index: usize| order.number(header, 4 * index).unwrap_or(0);
        if length < 24 {
            self.unsure.get_or_insert_with(|| "its header is a short one".to_owned());
        }
        // From 7.2 on there are two more fields, for the layouts of kinds; earlier kernels accept only zeros there.
        let is_used = |from: usize| header.get(from..).is_some_and(|more| more.iter().any(|byte| *byte != 0));
        let has_layout = is_used(24);
        if is_used(32) || has_layout && self.is_within(OLDER) {
            return Err(Rejection::line(E2BIG, "Unsupported btf_header"));
        }
        if has_layout && !self.is_within(NEWER) {
            self.unsure.get_or_insert_with(|| "its header has a section for layouts".to_owned());
        }
        if BtfByteOrder::of(bytes) != Some(order) {
            return invalid("Invalid magic");
        }
        match header.get(2..4) {
            Some([1, 0]) => {}
            Some([1, _]) => return Err(Rejection::line(ENOTSUPP, "Unsupported flags")),
            _ => return Err(Rejection::line(ENOTSUPP, "Unsupported version")),
        }
        if !has_base && data.is_empty() {
            return invalid("No data");
        }
        let as_size = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
        let mut sections = vec![(field(2), field(3)), (field(4), field(5))];
        if has_layout && length >= 32 && field(7) > 0 {
            sections.push((field(6), field(7)));
        }
        sections.sort_unstable();
        let mut end = 0usize;
        for (offset, length) in sections {
            match as_size(offset) {
                offset if offset > data.len() => return invalid("Invalid section offset"),
                offset if offset > end => return invalid("Unsupported section found"),
                offset if offset < end => return invalid("Section overlap found"),
                _ if as_size(length) > data.len().saturating_sub(end) => {
                    return invalid("Total section length too long");
                }
                _ => end = end.saturating_add(as_size(length)),
            }
        }
        if end != data.len() {
            return invalid("Unsupported section found");
        }
        let section = |offset: u32, length: u32| {
            data.get(as_size(offset)..as_size(offset).saturating_add(as_size(length))).unwrap_or_default()
        };
        let (types, strings) = (section(field(2), field(3)), section(field(4), field(5)));
        if as_size(field(4)).saturating_add(strings.len()) != data.len() {
            let misplaced = Rejection::line(EINVAL, "String section is not at the end");
            if length < 32 {
                return Err(misplaced);
            }
            if !has_layout {
                self.rejected_by(OLDER, NEWER, misplaced)?;
            }
        }
        if has_base && strings.is_empty() {
            return Ok((types, strings));
        }
        let too_long = field(5).checked_sub(1).is_none_or(|last| last > MAX_NAME_OFFSET);
        if too_long || strings.last() != Some(&0) || !has_base && strings.first() != Some(&0) {
            return invalid("Invalid string section");
        }
        Ok((types, strings))
    }

    /// `btf_check_meta` for the type at the start of these bytes. Returns its length.
    fn meta(&mut self, number: usize, rest: &[u8], names: &Names<'_>) -> CheckResult<usize> {
        let order = self.order;
        let field = |index: usize| order.number(rest, 4 * index);
        let (Some(name), Some(info), Some(size)) = (field(0), field(1), field(2)) else {
            return invalid(&format!("[{number}] meta_left:{} meta_needed:{TYPE}", rest.len()));
        };
        if info & 0x60ff_0000 != 0 {
            let unknown_bits = Rejection::line(EINVAL, &format!("[{number}] Invalid btf_info:{info:x}"));
            self.rejected_by(OLDER, NEWER, unknown_bits)?;
        }
        let kind = info >> 24 & 0x7f;
        let Some(kind) = BtfKind::of(kind) else { return invalid(&format!("[{number}] Invalid kind:{kind}")) };
        if !names.has(name) {
            return invalid(&format!("[{number}] Invalid name_offset:{name}"));
        }
        let extra = kind.extra(usize::try_from(info & 0x00ff_ffff).unwrap_or(0));
        let length = TYPE.saturating_add(extra);
        let printed = |offset: u32| names.printed(offset);
        let Some(found) = rest.get(..length).and_then(|bytes| BtfType::read(order, bytes)) else {
            let found = BtfType { order, name, info, kind, size_or_type: size, extra: &[] };
            let message = format!("meta_left:{} meta_needed:{extra}", rest.len().saturating_sub(TYPE));
            let described = Described { number, found, name: &printed };
            return Err(Rejection::of_type(EINVAL, &described, false, &message));
        };
        self.one(&Described { number, found, name: &printed }, names)?;
        Ok(length)
    }

    /// `check_meta` of the type's kind. Conditions and messages are in the kernel's order.
    fn one(&mut self, described: &Described<'_>, names: &Names<'_>) -> CheckResult {
        let found = &described.found;
        let size = found.size_or_type;
        let parts = found.info & 0x00ff_ffff;
        let has_flag = found.flag();
        let is_named = found.name != 0;
        let has_identifier = is_named && names.is_identifier(found.name);
        let part = |index: usize| found.extra_number(index).unwrap_or(0);
        let rejection = |message: &str| Rejection::of_type(EINVAL, described, true, message);
        let need = |holds: bool, message: &str| if holds { Ok(()) } else { Err(rejection(message)) };
        let no_parts = || need(parts == 0, "vlen != 0");
        let no_flag = || need(!has_flag, "Invalid btf_info kind_flag");
        match found.kind {
            BtfKind::Int => {
                no_parts()?;
                no_flag()?;
                let data = part(0);
                if data & 0xf000_0000 != 0 {
                    let message = format!("Invalid int_data:{data:x}");
                    return Err(Rejection::of_type(EINVAL, described, false, &message));
                }
                let bits = (data & 255) + (data >> 16 & 255);
                need(bits <= 128, "nr_bits exceeds 128")?;
                need(bits.div_ceil(8) <= size, "nr_bits exceeds type_size")?;
                match data >> 24 & 15 {
                    0 | 1 | 2 | 4 => Ok(()),
                    _ => Err(Rejection::of_type(ENOTSUPP, described, true, "Unsupported encoding")),
                }
            }
            BtfKind::Pointer
            | BtfKind::Typedef
            | BtfKind::Volatile
            | BtfKind::Const
            | BtfKind::Restrict
            | BtfKind::TypeTag => {
                no_parts()?;
                if has_flag && found.kind == BtfKind::TypeTag {
                    self.rejected_by(OLDER, NEWER, rejection("Invalid btf_info kind_flag"))?;
                } else {
                    no_flag()?;
                }
                need(size <= MAX_TYPE, "Invalid type_id")?;
                let is_named_well = match found.kind {
                    BtfKind::Typedef => has_identifier,
                    BtfKind::TypeTag => !names.is_empty(found.name),
                    _ => !is_named,
                };
                need(is_named_well, "Invalid name")
            }
            BtfKind::Forward => {
                no_parts()?;
                need(size == 0, "type != 0")?;
                need(has_identifier, "Invalid name")
            }
            BtfKind::Array => {
                need(!is_named, "Invalid name")?;
                no_parts()?;
                no_flag()?;
                need(size == 0, "size != 0")?;
                need(!is_void(part(0)), "Invalid elem")?;
                need(!is_void(part(1)), "Invalid index")
            }
            BtfKind::Struct | BtfKind::Union => structure(described, names),
            BtfKind::Enum | BtfKind::Enum64 => {
                need(size <= 8 && size.is_power_of_two(), "Unexpected size")?;
                need(!is_named || has_identifier, "Invalid name")?;
                let width = if found.kind == BtfKind::Enum { 2 } else { 3 };
                for index in 0..usize::try_from(parts).unwrap_or(0) {
                    let name = part(index.saturating_mul(width));
                    if !names.has(name) {
                        return invalid(&format!("\tInvalid name_offset:{name}"));
                    }
                    need(name != 0 && names.is_identifier(name), "Invalid name")?;
                }
                Ok(())
            }
            BtfKind::Prototype => {
                need(!is_named, "Invalid name")?;
                no_flag()
            }
            BtfKind::Function => {
                need(has_identifier, "Invalid name")?;
                need(parts <= 2, "Invalid func linkage")?;
                no_flag()
            }
            BtfKind::Variable => {
                no_parts()?;
                no_flag()?;
                need(has_identifier, "Invalid name")?;
                need(!is_void(size), "Invalid type_id")?;
                need(part(0) <= 1, "Linkage not supported")
            }
            BtfKind::Section => self.section(described, names),
            BtfKind::Float => {
                no_parts()?;
                no_flag()?;
                need(matches!(size, 2 | 4 | 8 | 12 | 16), "Invalid type_size")
            }
            BtfKind::DeclarationTag => {
                need(!names.is_empty(found.name), "Invalid value")?;
                no_parts()?;
                if has_flag {
                    self.rejected_by(OLDER, NEWER, rejection("Invalid btf_info kind_flag"))?;
                }
                // As a signed number, it must not be below -1.
                need(part(0) <= 0x7fff_ffff || part(0) == u32::MAX, "Invalid component_idx")
            }
        }
    }

    /// `btf_datasec_check_meta`. Sums are 32 bits wide, as in the kernel.
    fn section(&mut self, described: &Described<'_>, names: &Names<'_>) -> CheckResult {
        let found = &described.found;
        let size = found.size_or_type;
        let rejection = |message: &str| Rejection::of_type(EINVAL, described, true, message);
        let need = |holds: bool, message: &str| if holds { Ok(()) } else { Err(rejection(message)) };
        need(size != 0, "size == 0")?;
        need(!found.flag(), "Invalid btf_info kind_flag")?;
        need(found.name != 0 && names.is_printable(found.name), "Invalid name")?;
        if !names.is_identifier(found.name) {
            self.rejected_by([(6, 1), (6, 1)], [(6, 12), (u32::MAX, 0)], rejection("Invalid name"))?;
        }
        let (mut end, mut sum) = (0u32, 0u64);
        for variable in found.groups::<3>() {
            let [kind, offset, length] = variable;
            let need = |holds: bool, message: &str| match holds {
                true => Ok(()),
                false => Err(Rejection::of_variable(EINVAL, described, variable, message)),
            };
            need(!is_void(kind), "Invalid type_id")?;
            need(offset >= end && offset < size, "Invalid offset")?;
            need(length != 0 && length <= size, "Invalid size")?;
            end = offset.wrapping_add(length);
            need(end <= size, "Invalid offset+size")?;
            sum = sum.saturating_add(length.into());
        }
        need(sum <= size.into(), "Invalid btf_info size")
    }

    /// `btf_check_type_tags`, called `btf_check_modifier_chain_length` since 7.x: each chain of modifiers must end in a type
    /// that exists. Before 7.x, tags must precede the other modifiers.
    fn chains(&mut self, module: &Btf<'_>) -> CheckResult {
        let start = u32::try_from(module.first()).unwrap_or(u32::MAX);
        let end = u32::try_from(module.count()).unwrap_or(u32::MAX);
        let mut good = start.saturating_sub(1);
        for number in start..end {
            let Some(first) = module.get(number).filter(|first| first.kind.is_modifier()) else { continue };
            let (mut at, mut found, mut left) = (number, first, CHAIN);
            let mut in_tags = first.kind == BtfKind::TypeTag;
            while found.kind.is_modifier() {
                let Some(less) = left.checked_sub(1) else {
                    return Err(Rejection::line(ELOOP, "Max chain length or cycle detected"));
                };
                left = less;
                if found.kind != BtfKind::TypeTag {
                    in_tags = false;
                } else if !in_tags {
                    let order = Rejection::line(EINVAL, "Type tags don't precede modifiers");
                    self.rejected_by(OLDER, NEWER, order)?;
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
                    None => {
                        let reason = format!("type {number} refers to type {at}, which does not exist");
                        return Err(Rejection::silent(EINVAL, reason));
                    }
                }
            }
            good = number;
        }
        Ok(())
    }
}

/// `!type || !BTF_TYPE_ID_VALID(type)`.
fn is_void(number: u32) -> bool {
    number == 0 || number > MAX_TYPE
}

/// `btf_struct_check_meta`.
fn structure(described: &Described<'_>, names: &Names<'_>) -> CheckResult {
    let found = &described.found;
    if found.name != 0 && !names.is_identifier(found.name) {
        return Err(Rejection::of_type(EINVAL, described, true, "Invalid name"));
    }
    let mut last = 0;
    for member in found.groups::<3>() {
        let [name, kind, place] = member;
        let need = |holds: bool, message: &str| match holds {
            true => Ok(()),
            false => Err(Rejection::of_member(EINVAL, described, member, message)),
        };
        if !names.has(name) {
            need(false, &format!("Invalid member name_offset:{name}"))?;
        }
        need(name == 0 || names.is_identifier(name), "Invalid name")?;
        need(!is_void(kind), "Invalid type_id")?;
        let bit = if found.flag() { place & 0x00ff_ffff } else { place };
        need(found.kind == BtfKind::Struct || bit == 0, "Invalid member bits_offset")?;
        need(last <= bit, "Invalid member bits_offset")?;
        need(bit.div_ceil(8) <= found.size_or_type, "Member bits_offset exceeds its struct size")?;
        last = bit;
    }
    Ok(())
}

/// The strings of the base, if there is one, and the strings that follow them.
struct Names<'a> {
    base: Option<&'a Btf<'a>>,
    strings: &'a [u8],
}

impl Names<'_> {
    /// The bytes from an offset to the end.
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

    /// `btf_name_offset_valid`. Offsets above the limit are not offsets of strings either.
    fn has(&self, offset: u32) -> bool {
        offset <= MAX_NAME_OFFSET && self.rest(offset).is_some()
    }

    /// The name at an offset; a name over the limit is cut off just after it.
    fn name(&self, offset: u32) -> &[u8] {
        let rest = self.rest(offset).unwrap_or_default();
        let rest = rest.get(..=NAME_LENGTH).unwrap_or(rest);
        rest.get(..memchr::memchr(0, rest).unwrap_or(rest.len())).unwrap_or_default()
    }

    /// The name as the kernel prints it (`__btf_name_by_offset`).
    fn printed(&self, offset: u32) -> String {
        match offset {
            0 => "(anon)".to_owned(),
            _ if self.rest(offset).is_none() => "(invalid-name-offset)".to_owned(),
            _ => String::from_utf8_lossy(self.name(offset)).into_owned(),
        }
    }

    fn is_empty(&self, offset: u32) -> bool {
        self.name(offset).is_empty()
    }

    /// `btf_name_valid_identifier`: a dot is allowed wherever a letter is.
    fn is_identifier(&self, offset: u32) -> bool {
        let name = self.name(offset);
        let letter = |byte: u8| byte.is_ascii_alphabetic() || is_high_letter(byte) || byte == b'_' || byte == b'.';
        name.len() <= NAME_LENGTH
            && name.first().is_some_and(|byte| letter(*byte))
            && name.iter().all(|byte| letter(*byte) || byte.is_ascii_digit())
    }

    /// `btf_name_valid_section`, since 6.12.
    fn is_printable(&self, offset: u32) -> bool {
        let name = self.name(offset);
        let printable = |byte: &u8| (0x20..0x7f).contains(byte) || *byte >= 0xa0;
        !name.is_empty() && name.len() <= NAME_LENGTH && name.iter().all(printable)
    }
}

/// The letters of Latin-1, which the kernel's `isalpha` also accepts (lib/ctype.c).
fn is_high_letter(byte: u8) -> bool {
    byte >= 0xc0 && byte != 0xd7 && byte != 0xf7
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::btf::types::tests::{Maker, info, kernel};

    const V6_12: Option<(u32, u32)> = Some((6, 12));
    const V7_2: Option<(u32, u32)> = Some((7, 2));

    /// A module for the small kernel: a structure, a function and its prototype, an enumeration, a section of variables.
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
            Validity::Invalid(Rejection { errno, reason, .. }) => (errno, reason),
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
        // The other kernel had more strings, so a name of the module lies past the end of all strings here.
        let mut other = kernel(false);
        other.string("a name that only the other kernel has");
        let mut stranger = Maker::on(&other);
        stranger.add("mine", info(4, 0), 8, &[]);
        let (errno, what) = refusal(&stranger, V6_12);
        assert_eq!((errno, what.as_str()), (EINVAL, "[9] Invalid name_offset:101"));
        // A name may also lie in the middle of a string: "long unsigned int", from its space on.
        let mut stranger = module();
        stranger.types[..4].copy_from_slice(&5u32.to_le_bytes());
        assert_eq!(refusal(&stranger, V6_12).1, "type 9 (STRUCT): Invalid name");
    }

    fn lines(module: &Maker) -> Vec<crate::template::Line> {
        match check(module, V6_12) {
            Validity::Invalid(rejection) => rejection.lines,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_kernel_prints_the_type_its_details_and_the_reason() {
        let mut structure = module();
        structure.types[..4].copy_from_slice(&5u32.to_le_bytes());
        let described =
            ["BPF: [9] STRUCT  unsigned int ", "BPF: size=8 vlen=1", "BPF:  ", "BPF: Invalid name", "BPF: "];
        assert_eq!(lines(&structure), described);

        let mut integer = module();
        integer.add("tiny", info(1, 0), 1, &[1 << 24 | 64]);
        let described = ["BPF: [16] INT tiny ", "BPF: size=1 bits_offset=0 nr_bits=64 encoding=SIGNED"];
        assert_eq!(lines(&integer)[..2], described);
        assert_eq!(lines(&integer)[3], "BPF: nr_bits exceeds type_size");

        let mut member = module();
        let name = member.string("part");
        member.add("beyond", info(4, 1), 4, &[name, 1, 64]);
        let reason = "BPF: Member bits_offset exceeds its struct size";
        assert_eq!(lines(&member), ["BPF: \tpart type_id=1 bits_offset=64", "BPF:  ", reason, "BPF: "]);

        let mut variable = module();
        variable.add(".data", info(15, 1), 8, &[13, 8, 8]);
        let reason = "BPF: Invalid offset";
        assert_eq!(lines(&variable), ["BPF: \t type_id=13 offset=8 size=8", "BPF:  ", reason, "BPF: "]);

        let mut prototype = module();
        let [a, b] = ["a", "b"].map(|name| prototype.string(name));
        prototype.add("named", info(13, 3), 1, &[a, 1, b, 3, 0, 0]);
        let described = ["return=1 args=(", "1 a", ", 3 b", ", vararg", ")", " ", "Invalid name", ""];
        assert_eq!(lines(&prototype)[1..], described.map(|line| format!("BPF: {line}")));

        let mut cut = module();
        cut.add("cut", info(4, 2), 8, &[0, 1, 0]);
        let reason = "BPF: meta_left:12 meta_needed:24";
        assert_eq!(lines(&cut), ["BPF: [16] STRUCT cut", "BPF:  ", reason, "BPF: "]);
    }

    #[test]
    fn some_reasons_are_one_line_without_a_type() {
        let mut far = module();
        far.types[..4].copy_from_slice(&0x7fff_ff00u32.to_le_bytes());
        assert_eq!(lines(&far), ["BPF: [9] Invalid name_offset:2147483392"]);
        let mut nowhere = module();
        nowhere.add("", info(10, 0), 1000, &[]);
        assert_eq!(lines(&nowhere), [] as [&str; 0]);
        let mut choice = module();
        choice.add("option", info(6, 1), 4, &[0x00ff_fff0, 0]);
        assert_eq!(lines(&choice), ["BPF: \tInvalid name_offset:16777200"]);
    }

    #[test]
    fn modifiers_must_end_in_a_type_that_is_there() {
        let mut far = module();
        far.add("", info(10, 0), 1000, &[]);
        assert_eq!(refusal(&far, V6_12), (EINVAL, "type 16 refers to type 1000, which does not exist".into()));
        let mut circle = module();
        circle.add("", info(10, 0), 16, &[]);
        assert_eq!(refusal(&circle, V7_2), (ELOOP, "Max chain length or cycle detected".into()));
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
        assert_eq!(refusal(&tag, V6_12).1, "type 16 (TYPE_TAG): Invalid btf_info kind_flag");
        assert_eq!(check(&tag, V7_2), Validity::Valid);
        assert!(matches!(check(&tag, Some((6, 18))), Validity::Unsure(_)));
        let mut order = module();
        order.add("", info(10, 0), 17, &[]);
        order.add("tag", info(18, 0), 1, &[]);
        assert_eq!(refusal(&order, V6_12).1, "Type tags don't precede modifiers");
        assert_eq!(check(&order, V7_2), Validity::Valid);
    }

    #[test]
    fn each_errno_is_the_kernel_s() {
        let kernel = kernel(false).finish();
        let of = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = module().finish();
            change(&mut bytes);
            match validate_module(&bytes, &kernel, V6_12) {
                Validity::Invalid(Rejection { errno, .. }) => errno,
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
                assert!(matches!(validate_module(&bytes[..at], &kernel, version), Validity::Invalid(_)), "{at}");
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
