//! A kernel's taints: their bits, letters and meanings (kernel/panic.c).

/// The taints in the order of their bits: the letter and the meaning (kernel/panic.c and
/// Documentation/admin-guide/tainted-kernels.rst, 6.17).
const TAINTS: [(char, &str); 20] = [
    ('P', "a proprietary module was loaded"),
    ('F', "a module was loaded by force"),
    ('S', "the kernel runs on hardware that it is not made for"),
    ('R', "a module was unloaded by force"),
    ('M', "a processor reported a hardware error (machine check)"),
    ('B', "a page of memory was found in a bad state"),
    ('U', "a program asked for this mark"),
    ('D', "the kernel died before: there was an oops or a BUG"),
    ('A', "somebody replaced a table of the firmware (ACPI)"),
    ('W', "the kernel warned about itself"),
    ('C', "a driver from staging was loaded"),
    ('I', "the kernel works around a serious bug in the firmware"),
    ('O', "a module from outside of the kernel's tree was loaded"),
    ('E', "an unsigned module was loaded, where signatures are expected"),
    ('L', "a processor was stuck in the kernel (soft lockup)"),
    ('K', "the kernel was patched while it ran (livepatch)"),
    ('X', "a mark with a meaning of the distribution's own"),
    ('T', "the kernel's structures were shuffled when it was built (randstruct)"),
    ('N', "a test ran in the kernel"),
    ('J', "a program changed a device's firmware by a debugging call (fwctl)"),
];

/// The numbers of the bits that are set in a kernel's taint (/proc/sys/kernel/tainted), lowest first, each with its letter and
/// meaning; `None` for a bit without a known meaning.
pub fn taints(taint: u64) -> impl Iterator<Item = (u32, Option<(char, &'static str)>)> {
    let set = (0..u64::BITS).filter(move |bit| taint >> bit & 1 == 1);
    set.map(|bit| (bit, TAINTS.get(bit as usize).copied()))
}

/// The letters of a kernel's taint, in the order of their bits; a bit without a letter is shown by its number: `PF[63]`.
pub fn taint_letters(taint: u64) -> String {
    taints(taint)
        .map(|(bit, known)| known.map_or_else(|| format!("[{bit}]"), |(letter, _)| letter.to_string()))
        .collect()
}

/// The bits of some letters; a letter that belongs to no taint is ignored.
pub fn taint_bits(letters: &str) -> u64 {
    let of = |wanted| TAINTS.iter().position(|(letter, _)| *letter == wanted);
    letters.chars().filter_map(of).fold(0, |bits, bit| bits | 1 << bit)
}

/// A set of taints, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taints(u64);

impl Taints {
    /// Sets a taint by its letter. Returns whether it was clear before.
    pub(super) fn set(&mut self, letter: char) -> bool {
        let bits = taint_bits(letter.encode_utf8(&mut [0; 4]));
        let is_new = self.0 & bits != bits;
        self.0 |= bits;
        is_new
    }

    /// The letters, in the order of their bits.
    pub(super) fn letters(self) -> String {
        taint_letters(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_read_as_the_kernel_numbers_them() {
        let taint = 1 << 1 | 1 << 12 | 1 << 13 | 1 << 19 | 1 << 63;
        assert_eq!(taint_letters(taint), "FOEJ[63]");
        assert_eq!(taint_bits("FOEJ"), taint & !(1 << 63));
        assert_eq!(taint_bits("fz "), 0);
    }

    #[test]
    fn a_taint_is_new_once() {
        let mut taints = Taints::default();
        assert_eq!([taints.set('E'), taints.set('F'), taints.set('E')], [true, true, false]);
        assert_eq!(taints.letters(), "FE");
    }
}
