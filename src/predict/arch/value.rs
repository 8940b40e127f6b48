//! Bounds for the values that relocations fill in. The addresses of a module and of the kernel's symbols are not known in
//! advance; but the greatest distance between them is known, and usually decides whether a value fits.
//!
//! S is the symbol's address, A the addend and P the place that is filled in, as in every psABI.

/// The address ranges of modules and the kernel, as signed numbers of the machine's word.
pub(crate) struct Addresses {
    /// The range of a module's addresses.
    pub(crate) modules: (i128, i128),
    /// The range of an exported symbol's addresses.
    pub(crate) kernel: (i128, i128),
    /// The greatest distance between a module and the symbols that it imports.
    pub(crate) reach: i128,
    /// The greatest distance between two sections of a module; with the addend, it extends as far as the architecture
    /// guarantees.
    pub(crate) apart: i128,
}

/// An interval of numbers, including its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interval {
    pub(crate) min: i128,
    pub(crate) max: i128,
}

impl Interval {
    pub(crate) fn exactly(value: i128) -> Interval {
        Interval { min: value, max: value }
    }

    pub(crate) fn within(distance: i128) -> Interval {
        Interval { min: -distance, max: distance }
    }

    /// Any number.
    pub(crate) const ANY: Interval = Interval { min: -(1 << 64), max: 1 << 64 };

    pub(crate) fn of((min, max): (i128, i128)) -> Interval {
        Interval { min, max }
    }

    fn plus(self, other: i128) -> Interval {
        Interval { min: self.min + other, max: self.max + other }
    }

    /// The same numbers as a signed word represents them; `None` if they are no longer contiguous.
    fn wrapped(self, bits: u32) -> Option<Interval> {
        let (modulus, half) = (1_i128 << bits, 1_i128 << (bits - 1));
        let turns = (self.min + half).div_euclid(modulus);
        ((self.max + half).div_euclid(modulus) == turns).then(|| self.plus(-turns * modulus))
    }
}

/// The values that fit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    min: i128,
    max: i128,
    /// Only multiples of this number fit.
    step: i128,
}

impl Range {
    /// Signed numbers with this many bits.
    pub(crate) const fn signed(bits: u32) -> Range {
        Range { min: -(1 << (bits - 1)), max: (1 << (bits - 1)) - 1, step: 1 }
    }

    /// Unsigned numbers with this many bits.
    pub(crate) const fn unsigned(bits: u32) -> Range {
        Range { min: 0, max: (1 << bits) - 1, step: 1 }
    }

    /// Numbers from `min` up to, but not including, `end`.
    pub(crate) const fn from(min: i128, end: i128) -> Range {
        Range { min, max: end - 1, step: 1 }
    }

    /// Restricts a range to multiples of `step`.
    pub(crate) const fn by(self, step: i128) -> Range {
        Range { step, ..self }
    }

    /// Numbers of any size.
    pub(crate) const fn any() -> Range {
        Range { min: i128::MIN, max: i128::MAX, step: 1 }
    }
}

/// The known bounds of one relocation's value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ValueBounds {
    /// S + A, before it is truncated to a word.
    pub(crate) sum: Interval,
    /// S + A − P.
    pub(crate) distance: Interval,
    /// The remainders of S + A and S + A − P modulo 16; `None` where the alignment does not determine them.
    pub(crate) low: Option<(i128, i128)>,
    /// The number of bits of the machine's word.
    pub(crate) bits: u32,
}

/// The location of a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SymbolLocation {
    /// Its address is a fixed number: absolute, or 0 for a weak symbol that is not exported.
    Number(i128),
    /// The kernel or another module exports it.
    Imported,
    /// It lies at this offset in the section that is filled in.
    Here(i128),
    /// It lies at an offset in another section, at most this far away.
    Near(i128, i128),
    /// It lies where the loader puts it: always in range.
    Promised,
    /// It may lie anywhere.
    Anywhere,
}

impl ValueBounds {
    /// The bounds of S + A and S + A − P for a place at an offset in its section.
    pub(crate) fn of(at: SymbolLocation, addend: i128, offset: i128, bits: u32, addresses: &Addresses) -> ValueBounds {
        let (modules, kernel) = (Interval::of(addresses.modules), Interval::of(addresses.kernel));
        let low = |symbol: i128| Some(((symbol + addend).rem_euclid(16), (symbol + addend - offset).rem_euclid(16)));
        let (symbol, distance, low) = match at {
            SymbolLocation::Number(number) => (
                Interval::exactly(number),
                Interval { min: number - modules.max, max: number - modules.min },
                low(number),
            ),
            SymbolLocation::Imported => (kernel, Interval::within(addresses.reach), low(0)),
            SymbolLocation::Here(value) => (modules, Interval::exactly(value - offset), low(value)),
            SymbolLocation::Near(value, apart) => (modules, Interval::within(apart), low(value)),
            SymbolLocation::Promised => (modules, Interval::within(0), None),
            SymbolLocation::Anywhere => (Interval::ANY, Interval::ANY, None),
        };
        ValueBounds { sum: symbol.plus(addend), distance: distance.plus(addend), low, bits }
    }

    /// S + A as the machine's word holds it, if it is a single number.
    pub(crate) fn exact(&self) -> Option<u64> {
        let mask = if self.bits == 32 { u64::from(u32::MAX) } else { u64::MAX };
        (self.sum.min == self.sum.max).then_some(self.sum.min as u64 & mask)
    }

    /// Is S + A in a range? `None` if that is not known.
    pub(crate) fn sum_fits(&self, range: Range) -> Option<bool> {
        fits(self.sum, range, self.bits, self.low.map(|(sum, _)| sum))
    }

    /// Is S + A − P in a range?
    pub(crate) fn distance_fits(&self, range: Range) -> Option<bool> {
        fits(self.distance, range, self.bits, self.low.map(|(_, distance)| distance))
    }

    /// Is Page(S + A) − Page(P) in a range?
    pub(crate) fn page_fits(&self, range: Range) -> Option<bool> {
        let Interval { min, max } = self.distance;
        fits(Interval { min: min - 0xfff, max: max + 0xfff }, range, self.bits, None)
    }
}

fn fits(span: Interval, range: Range, bits: u32, low: Option<i128>) -> Option<bool> {
    let inside = span.wrapped(bits).map(|span| {
        // Unsigned ranges interpret a word without a sign.
        let whole = 1_i128 << bits;
        let span = if range.min >= 0 && span.max < 0 { span.plus(whole) } else { span };
        match (span.min >= range.min && span.max <= range.max, span.max < range.min || span.min > range.max) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        }
    });
    let multiple = match (range.step, low) {
        (1, _) => Some(true),
        (step, Some(low)) => Some(low.rem_euclid(step) == 0),
        (_, None) => None,
    };
    match (inside.flatten(), multiple) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Addresses in the upper half of 64 bits, with modules and the kernel within 2 GiB.
    const UPPER: Addresses = Addresses {
        modules: (-(1 << 40), -(1 << 36)),
        kernel: (-(1 << 40), -(1 << 36)),
        reach: 1 << 31,
        apart: 1 << 20,
    };

    fn distance(at: SymbolLocation, addend: i128, range: Range) -> Option<bool> {
        ValueBounds::of(at, addend, 0x10, 64, &UPPER).distance_fits(range)
    }

    #[test]
    fn what_is_near_fits_and_what_is_far_does_not_and_the_border_is_not_known() {
        let range = Range::signed(33);
        assert_eq!(distance(SymbolLocation::Imported, 0, range), Some(true));
        assert_eq!(distance(SymbolLocation::Imported, 1 << 40, range), Some(false));
        assert_eq!(distance(SymbolLocation::Imported, 1 << 31, range), None);
    }

    #[test]
    fn a_weak_symbol_without_an_exporter_is_too_far_away() {
        assert_eq!(distance(SymbolLocation::Number(0), 0, Range::signed(33)), Some(false));
        let weak = ValueBounds::of(SymbolLocation::Number(0), 0, 0, 64, &UPPER);
        assert_eq!((weak.exact(), weak.sum_fits(Range::unsigned(32))), (Some(0), Some(true)));
    }

    #[test]
    fn in_the_same_section_the_distance_is_known_exactly() {
        assert_eq!(distance(SymbolLocation::Here(0x10 + 127), 0, Range::signed(8)), Some(true));
        assert_eq!(distance(SymbolLocation::Here(0x10 + 128), 0, Range::signed(8)), Some(false));
    }

    #[test]
    fn alignment_decides_whether_a_value_is_a_multiple() {
        assert_eq!(distance(SymbolLocation::Imported, 2, Range::signed(64).by(2)), Some(true));
        assert_eq!(distance(SymbolLocation::Imported, 1, Range::signed(64).by(2)), Some(false));
    }

    #[test]
    fn a_word_of_32_bits_wraps() {
        let low = Addresses { modules: (-0x4100_0000, -0x4000_0001), ..UPPER };
        let value = ValueBounds::of(SymbolLocation::Number(0), 0, 0, 32, &low);
        assert_eq!(value.distance_fits(Range::signed(31)), Some(false));
        assert_eq!(ValueBounds::of(SymbolLocation::Number(-1), 0, 0, 32, &low).exact(), Some(0xffff_ffff));
    }
}
