//! Taints in words: what a kernel remembers of what was done to it (Documentation/admin-guide/tainted-kernels.rst, 6.17).

/// The taints by bit: the letter, and what it means.
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

/// A taint that is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taint {
    /// Its letter; `None` for a bit that nobody gave a meaning to.
    pub(super) letter: Option<char>,
    /// Its bit.
    pub(super) bit: u32,
    /// What it means.
    pub(super) meaning: &'static str,
    /// Was it set only after the first look?
    pub(super) is_new: bool,
}

/// The taints of a last look, lowest bit first; those that an earlier look had are not new.
pub(super) fn taints(before: u64, after: u64) -> Vec<Taint> {
    let set = (0..u64::BITS).filter(|bit| after >> bit & 1 == 1);
    let taint = |bit: u32| {
        let known = TAINTS.get(bit as usize);
        let meaning = known.map_or("a bit without a known meaning", |(_, meaning)| meaning);
        Taint { letter: known.map(|(letter, _)| *letter), bit, meaning, is_new: before >> bit & 1 == 0 }
    };
    set.map(taint).collect()
}

/// The letters of the new ones, as a prediction has them; a bit without one as its number.
pub(super) fn new_letters(before: u64, after: u64) -> String {
    let new = taints(before, after).into_iter().filter(|taint| taint.is_new);
    new.map(|taint| taint.letter.map_or_else(|| format!("[{}]", taint.bit), String::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_read_as_the_kernel_numbers_them() {
        let seen = taints(1 << 12, 1 << 1 | 1 << 12 | 1 << 13 | 1 << 63);
        let short: Vec<_> = seen.iter().map(|taint| (taint.letter, taint.is_new)).collect();
        assert_eq!(short, [(Some('F'), true), (Some('O'), false), (Some('E'), true), (None, true)]);
        assert_eq!(new_letters(1 << 12, 1 << 1 | 1 << 12 | 1 << 13 | 1 << 63), "FE[63]");
        assert_eq!(taints(0, 1 << 19).first().map(|taint| taint.letter), Some(Some('J')));
    }
}
