//! A unified kernel image (UKI): an EFI program with the kernel in the section `.linux` (the UAPI group's
//! specification; `ukify` and `systemd-stub`).

use object::pe::{ImageNtHeaders32, ImageNtHeaders64};
use object::read::pe::{ImageNtHeaders, PeFile, optional_header_magic};
use object::{Object, ObjectSection};

/// The name of the section.
const LINUX: &[u8] = b".linux";

/// The bytes of the section `.linux`: `None` if the file is not an EFI program with such a section, `Some(None)` if the
/// section's bytes are missing. Of several (profiles), the first is the base image's.
pub(super) fn linux(file: &[u8]) -> Option<Option<&[u8]>> {
    fn of<Pe: ImageNtHeaders>(file: &[u8]) -> Option<Option<&[u8]>> {
        let program = PeFile::<Pe>::parse(file).ok()?;
        let section = program.section_by_name_bytes(LINUX)?;
        Some(section.data().ok())
    }
    match file.starts_with(b"MZ").then(|| optional_header_magic(file))?.ok()? {
        object::pe::IMAGE_NT_OPTIONAL_HDR32_MAGIC => of::<ImageNtHeaders32>(file),
        object::pe::IMAGE_NT_OPTIONAL_HDR64_MAGIC => of::<ImageNtHeaders64>(file),
        _ => None,
    }
}
