//! The types in a section `.BTF`, read in place.

use crate::error::{Error, ErrorKind, Result};

/// Byte order of the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BtfByteOrder {
    Little,
    Big,
}

impl BtfByteOrder {
    /// The byte order that the magic number, 0xeb9f, shows.
    pub(super) fn of(bytes: &[u8]) -> Option<BtfByteOrder> {
        match bytes {
            [0x9f, 0xeb, ..] => Some(BtfByteOrder::Little),
            [0xeb, 0x9f, ..] => Some(BtfByteOrder::Big),
            _ => None,
        }
    }

    /// The 32-bit number at a byte offset.
    pub(super) fn number(self, bytes: &[u8], at: usize) -> Option<u32> {
        let field = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            BtfByteOrder::Little => u32::from_le_bytes(field),
            BtfByteOrder::Big => u32::from_be_bytes(field),
        })
    }
}

/// The kind of a type: `BTF_KIND_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum BtfKind {
    Int = 1,
    Pointer,
    Array,
    Struct,
    Union,
    Enum,
    Forward,
    Typedef,
    Volatile,
    Const,
    Restrict,
    Function,
    Prototype,
    Variable,
    Section,
    Float,
    DeclarationTag,
    TypeTag,
    Enum64,
}

impl BtfKind {
    pub(super) fn of(number: u32) -> Option<BtfKind> {
        use BtfKind::*;
        const ALL: [BtfKind; 19] = [
            Int,
            Pointer,
            Array,
            Struct,
            Union,
            Enum,
            Forward,
            Typedef,
            Volatile,
            Const,
            Restrict,
            Function,
            Prototype,
            Variable,
            Section,
            Float,
            DeclarationTag,
            TypeTag,
            Enum64,
        ];
        ALL.get(usize::try_from(number).ok()?.checked_sub(1)?).copied()
    }

    /// The number of bytes that follow a type with this many parts.
    pub(super) fn extra(self, parts: usize) -> usize {
        match self {
            BtfKind::Int | BtfKind::Variable | BtfKind::DeclarationTag => 4,
            BtfKind::Array => 12,
            BtfKind::Struct | BtfKind::Union | BtfKind::Section | BtfKind::Enum64 => 12 * parts,
            BtfKind::Enum | BtfKind::Prototype => 8 * parts,
            _ => 0,
        }
    }

    /// Is it another type of the same size with a qualifier or a name added?
    pub(super) fn is_modifier(self) -> bool {
        matches!(self, BtfKind::Typedef | BtfKind::Volatile | BtfKind::Const | BtfKind::Restrict | BtfKind::TypeTag)
    }
}

/// The longest string that is read, in bytes. Names have at most 512 bytes (`KSYM_NAME_LEN`, include/linux/kallsyms.h).
pub(super) const LONGEST: usize = 4096;

/// The size of `struct btf_type`, in bytes.
pub(super) const TYPE: usize = 12;

/// A type, read in place: `struct btf_type` and the data that follows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct BtfType<'a> {
    pub(super) order: BtfByteOrder,
    pub(super) name: u32,
    pub(super) info: u32,
    pub(super) kind: BtfKind,
    /// Its size in bytes, or the type that it refers to.
    pub(super) size_or_type: u32,
    pub(super) extra: &'a [u8],
}

impl<'a> BtfType<'a> {
    /// The type at the start of these bytes. `None` if its kind is unknown or the bytes end too early.
    pub(super) fn read(order: BtfByteOrder, bytes: &'a [u8]) -> Option<BtfType<'a>> {
        let field = |index: usize| order.number(bytes, 4 * index);
        let (name, info, size_or_type) = (field(0)?, field(1)?, field(2)?);
        let kind = BtfKind::of(info >> 24 & 0x7f)?;
        let length = kind.extra(parts_of(info));
        let extra = bytes.get(TYPE..TYPE.checked_add(length)?)?;
        Some(BtfType { order, name, info, kind, size_or_type, extra })
    }

    /// `kind_flag`.
    pub(super) fn flag(&self) -> bool {
        self.info >> 31 == 1
    }

    /// The 32-bit number with this index after `struct btf_type`.
    pub(super) fn extra_number(&self, index: usize) -> Option<u32> {
        self.order.number(self.extra, index.checked_mul(4)?)
    }

    /// The data after `struct btf_type`, in groups of `N` numbers.
    pub(super) fn groups<const N: usize>(&self) -> impl Iterator<Item = [u32; N]> {
        let order = self.order;
        self.extra.chunks_exact(4 * N).map(move |chunk| {
            let mut numbers = [0; N];
            for (at, number) in numbers.iter_mut().enumerate() {
                *number = order.number(chunk, 4 * at).unwrap_or(0);
            }
            numbers
        })
    }

    pub(super) fn length(&self) -> usize {
        TYPE.saturating_add(self.extra.len())
    }
}

/// `vlen`.
pub(super) fn parts_of(info: u32) -> usize {
    usize::try_from(info & 0x00ff_ffff).unwrap_or(0)
}

/// The types of a kernel, or those of a module on top of its kernel's types.
#[derive(Clone, Debug)]
pub struct Btf<'a> {
    pub(super) order: BtfByteOrder,
    pub(super) base: Option<&'a Btf<'a>>,
    pub(super) types: &'a [u8],
    pub(super) strings: &'a [u8],
    /// The byte offset of each type in `types`.
    pub(super) offsets: Vec<u32>,
}

impl<'a> Btf<'a> {
    /// Parses a kernel's BTF: the bytes of its section `.BTF`, or of /sys/kernel/btf/vmlinux.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Truncated`] if the bytes are shorter than the header says; [`ErrorKind::Malformed`] if they are not BTF, or
    /// contain a type of an unknown kind.
    pub fn parse(bytes: &'a [u8]) -> Result<Btf<'a>> {
        Btf::read(bytes, None)
    }

    /// Parses a module's BTF, on top of the BTF of its kernel.
    ///
    /// # Errors
    ///
    /// The same as those of [`Btf::parse`].
    pub fn parse_split(bytes: &'a [u8], base: &'a Btf<'a>) -> Result<Btf<'a>> {
        Btf::read(bytes, Some(base))
    }

    pub(super) fn read(bytes: &'a [u8], base: Option<&'a Btf<'a>>) -> Result<Btf<'a>> {
        let malformed = |what: String| Error::new(ErrorKind::Malformed, what);
        let order =
            BtfByteOrder::of(bytes).ok_or_else(|| malformed("not BTF: it does not start with its magic".into()))?;
        let cut = || Error::new(ErrorKind::Truncated, "the BTF ends before what its header says");
        let field = |index: usize| order.number(bytes, 4 * index).and_then(|n| usize::try_from(n).ok()).ok_or_else(cut);
        if bytes.get(2) != Some(&1) {
            return Err(malformed("BTF of a version other than 1".into()));
        }
        let data = bytes.get(field(1)?..).ok_or_else(cut)?;
        let section = |offset: usize, length: usize| {
            data.get(offset..offset.checked_add(length)?).filter(|section| u32::try_from(section.len()).is_ok())
        };
        let types = section(field(2)?, field(3)?).ok_or_else(cut)?;
        let strings = section(field(4)?, field(5)?).ok_or_else(cut)?;

        let mut offsets = Vec::new();
        let mut at = 0;
        while let Some(rest) = types.get(at..).filter(|rest| !rest.is_empty()) {
            let Some(next) = BtfType::read(order, rest) else {
                return Err(malformed(format!("BTF type {} is cut short or of an unknown kind", offsets.len() + 1)));
            };
            offsets.push(u32::try_from(at).unwrap_or(u32::MAX));
            at = at.saturating_add(next.length());
        }
        Ok(Btf { order, base, types, strings, offsets })
    }

    /// The number of types, including those of the base and `void`, which is number 0.
    pub(super) fn count(&self) -> usize {
        self.first().saturating_add(self.offsets.len())
    }

    /// The number of the first type after those of the base.
    pub(super) fn first(&self) -> usize {
        self.base.map_or(1, Btf::count)
    }

    /// The offset at which its own strings start, after those of the base.
    pub(super) fn first_string(&self) -> usize {
        self.base.map_or(0, |base| base.first_string().saturating_add(base.strings.len()))
    }

    /// The type with a number; `None` for `void` and for a type that does not exist.
    pub(super) fn get(&self, number: u32) -> Option<BtfType<'a>> {
        let number = usize::try_from(number).ok()?;
        match number.checked_sub(self.first()) {
            Some(own) => {
                let at = usize::try_from(*self.offsets.get(own)?).ok()?;
                BtfType::read(self.order, self.types.get(at..)?)
            }
            None => self.base.and_then(|base| base.get(u32::try_from(number).ok()?)),
        }
    }

    /// All types except for those of the base, in order.
    pub(super) fn own(&self) -> impl Iterator<Item = BtfType<'a>> {
        self.offsets.iter().filter_map(|at| BtfType::read(self.order, self.types.get(usize::try_from(*at).ok()?..)?))
    }

    /// The string at an offset, without its NUL; `None` if there is none or it exceeds [`LONGEST`].
    pub(super) fn string(&self, offset: u32) -> Option<&'a [u8]> {
        let offset = usize::try_from(offset).ok()?;
        match offset.checked_sub(self.first_string()) {
            Some(own) => {
                let rest = self.strings.get(own..).filter(|rest| !rest.is_empty())?;
                let near = rest.get(..LONGEST).unwrap_or(rest);
                near.get(..memchr::memchr(0, near)?)
            }
            None => self.base.and_then(|base| base.string(u32::try_from(offset).ok()?)),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A builder for BTF.
    #[derive(Clone)]
    pub(crate) struct Maker {
        pub(crate) big: bool,
        pub(crate) types: Vec<u8>,
        pub(crate) strings: Vec<u8>,
        pub(crate) first_string: u32,
    }

    impl Maker {
        pub(crate) fn new(big: bool) -> Maker {
            Maker { big, types: vec![], strings: vec![0], first_string: 0 }
        }

        /// A builder whose types continue those of another.
        pub(crate) fn on(base: &Maker) -> Maker {
            Maker {
                big: base.big,
                types: vec![],
                strings: vec![],
                first_string: u32::try_from(base.strings.len()).unwrap(),
            }
        }

        pub(crate) fn string(&mut self, text: &str) -> u32 {
            if text.is_empty() {
                return 0;
            }
            let at = self.first_string + u32::try_from(self.strings.len()).unwrap();
            self.strings.extend(text.as_bytes());
            self.strings.push(0);
            at
        }

        pub(crate) fn number(&self, number: u32) -> [u8; 4] {
            if self.big { number.to_be_bytes() } else { number.to_le_bytes() }
        }

        pub(crate) fn add(&mut self, name: &str, info: u32, size_or_type: u32, extra: &[u32]) {
            let name = self.string(name);
            for number in [name, info, size_or_type].iter().chain(extra) {
                self.types.extend(self.number(*number));
            }
        }

        pub(crate) fn finish(&self) -> Vec<u8> {
            let mut out = if self.big { vec![0xeb, 0x9f, 1, 0] } else { vec![0x9f, 0xeb, 1, 0] };
            let (types, strings) = (u32::try_from(self.types.len()), u32::try_from(self.strings.len()));
            for number in [24, 0, types.unwrap(), types.unwrap(), strings.unwrap()] {
                out.extend(self.number(number));
            }
            out.extend(&self.types);
            out.extend(&self.strings);
            out
        }
    }

    pub(crate) const fn info(kind: u32, parts: u32) -> u32 {
        kind << 24 | parts
    }

    /// The BTF of a small kernel: 1 `unsigned long` (8), 2 a pointer to void, 3 `char`, 4 char[56], 5 `struct module { state;
    /// union { a; b }; name[56]; bits }` with 6 as the union and 7 as an `atomic` typedef of 1, 8 volatile of 7.
    pub(crate) fn kernel(big: bool) -> Maker {
        let mut maker = Maker::new(big);
        maker.add("long unsigned int", info(1, 0), 8, &[64]);
        maker.add("", info(2, 0), 0, &[]);
        maker.add("char", info(1, 0), 1, &[1 << 24 | 8]);
        maker.add("", info(3, 0), 0, &[3, 1, 56]);
        let [state, init, bits, name] = ["state", "init", "bits", "name"].map(|name| maker.string(name));
        let flagged = 1 << 31;
        let parts = [state, 8, 0, 0, 6, 64, name, 4, 128, init, 2, 576, bits, 1, 3 << 24 | 640];
        maker.add("module", info(4, 5) | flagged, 88, &parts);
        let [a, b] = ["a", "b"].map(|name| maker.string(name));
        maker.add("", info(5, 2), 8, &[a, 2, 0, b, 3, 0]);
        maker.add("atomic", info(8, 0), 1, &[]);
        maker.add("", info(9, 0), 7, &[]);
        maker
    }

    #[test]
    fn both_byte_orders_say_the_same() {
        for big in [false, true] {
            let bytes = kernel(big).finish();
            let btf = Btf::parse(&bytes).unwrap();
            assert_eq!((btf.count(), btf.own().count()), (9, 8));
            assert_eq!(btf.get(5).and_then(|t| btf.string(t.name)), Some(&b"module"[..]));
            assert!(btf.get(0).is_none() && btf.get(9).is_none());
        }
    }

    #[test]
    fn the_types_and_strings_of_a_module_continue_those_of_its_kernel() {
        let kernel = kernel(false);
        let mut module = Maker::on(&kernel);
        module.add("mine", info(8, 0), 5, &[]);
        let (base, split) = (kernel.finish(), module.finish());
        let base = Btf::parse(&base).unwrap();
        let btf = Btf::parse_split(&split, &base).unwrap();
        let mine = btf.get(9).unwrap();
        assert_eq!((btf.string(mine.name), mine.size_or_type), (Some(&b"mine"[..]), 5));
        assert_eq!(btf.get(7).and_then(|t| btf.string(t.name)), Some(&b"atomic"[..]));
    }

    #[test]
    fn strings_without_end_are_none() {
        let mut maker = kernel(false);
        let endless = maker.first_string + u32::try_from(maker.strings.len()).unwrap();
        maker.strings.extend([b'x'; LONGEST + 1]);
        let bytes = maker.finish();
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!((btf.string(endless), btf.string(endless + 1)), (None, None));
        assert_eq!(btf.string(1), Some(&b"long unsigned int"[..]));
    }
}
