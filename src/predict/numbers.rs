//! The errno numbers of architectures that do not use asm-generic's (arch/*/include/uapi/asm/errno.h, 6.12): alpha, mips,
//! parisc and sparc. Up to ERANGE (34) all agree.

use crate::predict::errno::{EBADMSG, EKEYREJECTED, ENOKEY, ENOPKG, ENOSYS};

/// Converts an errno of asm-generic to the number that the loader uses on a machine.
pub(super) fn of(machine: u16, errno: i32) -> i32 {
    let [bad_message, no_package, no_key, key_rejected, no_data, not_supported, no_call] = match machine {
        // alpha
        0x9026 => [84, 92, 132, 135, 86, 45, 78],
        // mips
        8 | 10 => [77, 65, 161, 164, 61, 122, 89],
        // parisc
        15 => [67, 55, 184, 187, 51, 223, 251],
        // sparc
        2 | 18 | 43 => [76, 113, 128, 131, 111, 45, 90],
        _ => return errno,
    };
    match errno {
        EBADMSG => bad_message,
        ENOPKG => no_package,
        ENOKEY => no_key,
        EKEYREJECTED => key_rejected,
        ENODATA => no_data,
        EOPNOTSUPP => not_supported,
        ENOSYS => no_call,
        other => other,
    }
}

const ENODATA: i32 = 61;
const EOPNOTSUPP: i32 = 95;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mips_has_numbers_of_its_own() {
        assert_eq!([EBADMSG, EKEYREJECTED, ENOSYS, 8].map(|errno| of(8, errno)), [77, 164, 89, 8]);
        assert_eq!(of(183, EKEYREJECTED), EKEYREJECTED);
    }
}
