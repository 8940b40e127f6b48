//! U-Boot's legacy image, `uImage`: a big-endian header of 64 bytes, followed by the contents (`image_header_t`,
//! include/image.h of U-Boot, 2025.01).

use crate::error::{Error, ErrorKind, Result};
use crate::kernel::architecture::Architecture;
use crate::kernel::image::unpack::KernelCompression;
use crate::module::elf::Endian;

/// The magic at the start (`IH_MAGIC`).
pub(super) const MAGIC: [u8; 4] = 0x2705_1956_u32.to_be_bytes();

/// The length of the header in bytes.
const HEADER: usize = 64;

// Types (`IH_TYPE_…`). Vendors' kernels are also standalone programs.
const STANDALONE: u8 = 1;
const KERNEL: u8 = 2;
const MULTI: u8 = 4;
const KERNEL_NOLOAD: u8 = 14;

/// `IH_COMP_LZMA`. The other compression formats have magic numbers.
const LZMA: u8 = 3;

/// The kernel in an image of U-Boot, as it is stored there.
pub(super) struct UbootKernel<'b> {
    /// Its bytes.
    pub(super) bytes: &'b [u8],
    /// Their compression format, if only the header has it.
    pub(super) packing: Option<KernelCompression>,
    /// The architecture in the header.
    pub(super) architecture: Option<Architecture>,
}

/// Reads the header, and finds the kernel.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] for an image that is not a kernel's, [`ErrorKind::Truncated`] if it ends too early.
pub(super) fn read(file: &[u8]) -> Result<UbootKernel<'_>> {
    let cut = || Error::new(ErrorKind::Truncated, "the U-Boot image is cut short");
    let (header, rest) = file.split_at_checked(HEADER).ok_or_else(cut)?;
    let byte = |at: usize| header.get(at).copied().unwrap_or_default();
    let size = number(header, 12).ok_or_else(cut)?;
    let data = rest.get(..size).ok_or_else(|| {
        let what = format!("its U-Boot header has {size} bytes, but {} follow", rest.len());
        Error::new(ErrorKind::Truncated, what).hint("is it cut short?")
    })?;
    let bytes = match byte(30) {
        STANDALONE | KERNEL | KERNEL_NOLOAD => data,
        MULTI => first(data).ok_or_else(cut)?,
        other => {
            let kind = match other {
                3 => "a ramdisk",
                6 => "a script",
                7 => "a file system",
                8 => "a device tree",
                _ => "no kernel",
            };
            let what = format!("a U-Boot image of type {other}: it contains {kind}");
            return Err(Error::new(ErrorKind::NotFound, what));
        }
    };
    let packing = (byte(31) == LZMA && KernelCompression::of(bytes).is_none()).then_some(KernelCompression::Lzma);
    let architecture = Architecture::of_uboot(|number, _| number == byte(29));
    Ok(UbootKernel { bytes, packing, architecture })
}

/// The first of several files: their sizes come first, the last of them 0.
fn first(data: &[u8]) -> Option<&[u8]> {
    let sizes = data.chunks_exact(4).position(|size| size == [0; 4])?;
    let start = (sizes + 1) * 4;
    data.get(start..start.checked_add(number(data, 0)?)?)
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let field = bytes.get(at..at.checked_add(4)?)?;
    usize::try_from(Endian::Big.number(field)).ok()
}
