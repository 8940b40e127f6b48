//! Whether a module counts as proprietary: by its licence, or by its name.

/// Licences that count as compatible (include/linux/license.h, 6.12).
const COMPATIBLE: [&[u8]; 6] =
    [b"GPL", b"GPL v2", b"GPL and additional rights", b"Dual BSD/GPL", b"Dual MIT/GPL", b"Dual MPL/GPL"];

/// Modules that the loader treats as proprietary whatever their licence says (`module_license_offenders`,
/// kernel/module/main.c, 6.12; `check_module_license_and_versions` before). The name is that of `struct module`.
pub const OFFENDERS: [&str; 2] = ["driverloader", "lve"];

/// Does the kernel treat this licence as GPL-compatible (`license_is_gpl_compatible`)? A module without any counts as
/// if it said `unspecified`, which is none.
pub fn is_compatible(licence: Option<&[u8]>) -> bool {
    licence.is_some_and(|licence| COMPATIBLE.contains(&licence))
}
