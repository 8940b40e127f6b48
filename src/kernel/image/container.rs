//! Finds the kernel in an image file, by what boot loaders and the kernel's own first code read.
//!
//! | file | recognised by | contents |
//! |---|---|---|
//! | `vmlinux` | ELF | itself |
//! | mips, loongarch `vmlinuz` | ELF without a version line or BTF (arch/mips/boot/compressed, 6.1) | compressed; searched for |
//! | x86 `bzImage` | `HdrS` at 0x202 | compressed, at the offset in the setup header (protocol 2.08 on, Documentation/arch/x86/boot.rst) |
//! | EFI zboot (arm64, riscv, loongarch) | `MZ`, `zimg` at 4 | compressed, at the offset in its header (drivers/firmware/efi/libstub/zboot-header.S, 6.1 on) |
//! | arm64, riscv `Image` | `ARM\x64`, `RSC\x05` at 0x38 | itself, flat |
//! | arm `zImage` | 0x016f2818 at 0x24 | compressed; searched for |
//! | s390x `bzImage` | `S390EP` at 0x10008 | compressed; searched for |
//! | U-Boot `uImage` | 0x27051956 at 0 | one of the others, 64 bytes on (`uimage`) |
//! | U-Boot FIT | 0xd00dfeed at 0 | one of the others, in a device tree (`fit`) |
//! | UKI | `MZ`, and a section `.linux` | one of the others (`uki`) |
//! | Android `boot.img` | `ANDROID!` at 0 | one of the others, one page on (system/tools/mkbootimg, versions 0 to 4) |
//! | none of these | a version line that is a terminated string | itself, flat |
//! | `Image.gz` and so on | the container's magic at 0 | one of the others |

use std::borrow::Cow;

use crate::budget::WorkBudget;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::architecture::{Architecture, Machine};
use crate::kernel::image::bytes::ImageBytes;
use crate::kernel::image::uimage::UbootKernel;
use crate::kernel::image::unpack::KernelCompression;
use crate::kernel::image::vmlinux::Vmlinux;
use crate::kernel::image::{fit, strings, uimage, uki};
use crate::module::elf::{Class, Endian};

/// A kernel's own bytes: an ELF file, or a flat image.
pub(super) struct Opened<'b> {
    /// The bytes; of a flat image as they will be in memory.
    pub(super) bytes: ImageBytes<'b>,
    /// The machine that the container is for, if it has it.
    pub(super) machine: Option<Machine>,
    /// The architecture in a boot loader's header.
    pub(super) architecture: Option<Architecture>,
}

/// The greatest depth of nested images: a `uImage` with a `zImage`, a compressed image with zboot inside.
const DEPTH: usize = 4;

/// How many possible offsets of compressed streams are tried, if no header has the offset.
const MOST_CANDIDATES: usize = 256;

/// Finds the kernel in an image file, and decompresses it within the budget.
///
/// # Errors
///
/// Those of [`crate::kernel::image::facts`].
pub(super) fn open<'f>(file: &'f [u8], budget: &WorkBudget) -> Result<Opened<'f>> {
    let (mut machine, mut architecture) = (None, None);
    let mut bytes = ImageBytes::Plain(Cow::Borrowed(file));
    for _ in 0..DEPTH {
        let kind = ImageFormat::of(&bytes);
        machine = kind.machine(&bytes).or(machine);
        let mut stored = |stored: UbootKernel<'_>| {
            architecture = architecture.or(stored.architecture);
            match stored.packing {
                Some(packing) => packing.unpack(stored.bytes, budget, None),
                None => Ok(ImageBytes::from(stored.bytes.to_vec())),
            }
        };
        let inside = match kind {
            ImageFormat::Elf if !unpacks_itself(&bytes) => None,
            ImageFormat::Elf => packed_kernel(&bytes, budget)?,
            ImageFormat::Arm64 | ImageFormat::Riscv | ImageFormat::LoongArch => None,
            ImageFormat::UImage => Some(uimage::read(&bytes).and_then(&mut stored)?),
            ImageFormat::Fit => Some(fit::read(&bytes).and_then(&mut stored)?),
            ImageFormat::Uki => Some(linux_of(&bytes)?),
            ImageFormat::Packed(packing) => Some(packing.unpack(&bytes, budget, None)?),
            ImageFormat::X86 => match x86_payload(&bytes)? {
                Some((packing, payload)) => Some(unpack_with_size(packing, payload, budget)?),
                None => search(&bytes, budget)?,
            },
            ImageFormat::Zboot => Some(zboot(&bytes, budget)?),
            ImageFormat::Android => Some(android(&bytes)?),
            ImageFormat::Arm | ImageFormat::S390 | ImageFormat::Unknown => search(&bytes, budget)?,
        };
        match inside {
            Some(inside) => bytes = inside,
            None => return Ok(Opened { bytes, machine, architecture }),
        }
    }
    Err(Error::new(ErrorKind::Malformed, format!("images nested more than {DEPTH} deep")))
}

/// See [`crate::kernel::image::looks_like_image`].
pub(super) fn looks_like_image(bytes: &[u8], budget: &WorkBudget) -> bool {
    match ImageFormat::of(bytes) {
        ImageFormat::Elf => is_executable(bytes),
        ImageFormat::Packed(packing) => {
            let start = packing.peek(bytes, budget);
            match ImageFormat::of(&start) {
                ImageFormat::Elf => is_executable(&start),
                // A flat kernel without a header; a text has no NUL byte.
                ImageFormat::Unknown if start.contains(&0) => {
                    let whole = packing.unpack(bytes, budget, None);
                    whole.is_ok_and(|whole| strings::banner(&whole).is_some())
                }
                ImageFormat::Unknown | ImageFormat::Packed(_) => false,
                _ => true,
            }
        }
        ImageFormat::Unknown => strings::banner(bytes).is_some(),
        _ => true,
    }
}

/// Is this ELF header an executable's? A module is relocatable.
fn is_executable(elf: &[u8]) -> bool {
    // e_type: ET_EXEC or ET_DYN, in the byte order of e_ident.
    match elf.get(5) {
        Some(2) => matches!(elf.get(16..18), Some([0, 2 | 3])),
        _ => matches!(elf.get(16..18), Some([2 | 3, 0])),
    }
}

/// The kinds of the table above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ImageFormat {
    Elf,
    X86,
    Zboot,
    Arm64,
    Riscv,
    LoongArch,
    Arm,
    S390,
    UImage,
    Fit,
    Uki,
    Android,
    Packed(KernelCompression),
    Unknown,
}

impl ImageFormat {
    fn of(bytes: &[u8]) -> ImageFormat {
        let has = |at: usize, magic: &[u8]| bytes.get(at..).is_some_and(|rest| rest.starts_with(magic));
        // The most specific magic numbers come first; a boot sector could begin with anything.
        match bytes {
            [0x7f, b'E', b'L', b'F', ..] => ImageFormat::Elf,
            _ if has(0x202, b"HdrS") => ImageFormat::X86,
            [b'M', b'Z', ..] if has(4, b"zimg") => ImageFormat::Zboot,
            _ if has(0x38, b"ARM\x64") => ImageFormat::Arm64,
            _ if has(0x38, b"RSC\x05") => ImageFormat::Riscv,
            [b'M', b'Z', ..] if has(0x38, &0x8182_23cd_u32.to_le_bytes()) => ImageFormat::LoongArch,
            _ if has(0x24, &0x016f_2818_u32.to_le_bytes()) => ImageFormat::Arm,
            _ if has(0x10008, b"S390EP") => ImageFormat::S390,
            _ if has(0, b"ANDROID!") => ImageFormat::Android,
            _ if has(0, &uimage::MAGIC) => ImageFormat::UImage,
            _ if has(0, &fit::MAGIC) => ImageFormat::Fit,
            [b'M', b'Z', ..] if uki::linux(bytes).is_some() => ImageFormat::Uki,
            _ => KernelCompression::of(bytes).map_or(ImageFormat::Unknown, ImageFormat::Packed),
        }
    }

    /// The machine, if only one architecture has this kind and the contents do not have it.
    fn machine(self, bytes: &[u8]) -> Option<Machine> {
        let byte = |at: usize| bytes.get(at).copied().unwrap_or_default();
        let (class, endian, number) = match self {
            // Bit 0 of the flags: Documentation/arch/arm64/booting.rst.
            ImageFormat::Arm64 if byte(24) & 1 != 0 => (Class::Elf64, Endian::Big, EM_AARCH64),
            ImageFormat::Arm64 => (Class::Elf64, Endian::Little, EM_AARCH64),
            // The load offset is 4 MiB for 32 bit, 2 MiB for 64: Documentation/arch/riscv/boot-image-header.rst.
            ImageFormat::Riscv if byte(10) == 0x40 => (Class::Elf32, Endian::Little, EM_RISCV),
            ImageFormat::Riscv => (Class::Elf64, Endian::Little, EM_RISCV),
            ImageFormat::LoongArch => (Class::Elf64, Endian::Little, EM_LOONGARCH),
            ImageFormat::Arm => (Class::Elf32, Endian::Little, EM_ARM),
            ImageFormat::S390 => (Class::Elf64, Endian::Big, EM_S390),
            ImageFormat::Elf => return elf_machine(bytes),
            _ => return None,
        };
        Some(Machine { class, endian, number })
    }
}

/// The machine in an ELF header.
fn elf_machine(bytes: &[u8]) -> Option<Machine> {
    let class = match bytes.get(4)? {
        1 => Class::Elf32,
        2 => Class::Elf64,
        _ => return None,
    };
    let endian = match bytes.get(5)? {
        1 => Endian::Little,
        2 => Endian::Big,
        _ => return None,
    };
    Some(Machine { class, endian, number: endian.number(bytes.get(18..20)?) as u16 })
}

// e_machine, include/uapi/linux/elf-em.h.
const EM_S390: u16 = 22;
const EM_ARM: u16 = 40;
const EM_AARCH64: u16 = 183;
const EM_RISCV: u16 = 243;
const EM_LOONGARCH: u16 = 258;

fn little(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    bytes.get(at..at.checked_add(size)?).map(|field| Endian::Little.number(field))
}

/// The payload of a bzImage, by its setup header; `None` before boot protocol 2.08 (2.6.26).
fn x86_payload(bytes: &[u8]) -> Result<Option<(KernelCompression, &[u8])>> {
    let cut = || Error::new(ErrorKind::Truncated, "the x86 setup header is cut short");
    let field = |at: usize, size: usize| little(bytes, at, size).ok_or_else(cut);
    if field(0x206, 2)? < 0x208 {
        return Ok(None);
    }
    // 0 means 4 (Documentation/arch/x86/boot.rst).
    let sectors = match field(0x1f1, 1)? {
        0 => 4,
        sectors => sectors,
    };
    let (offset, length) = (field(0x248, 4)?, field(0x24c, 4)?);
    let start = (sectors + 1) * 512 + offset;
    let payload = range(bytes, start, length).ok_or_else(|| {
        let what =
            format!("its setup header has {length} compressed bytes at {start}, but the file has {}", bytes.len());
        Error::new(ErrorKind::Truncated, what).hint("is it cut short?")
    })?;
    match KernelCompression::of(payload) {
        Some(packing) => Ok(Some((packing, payload))),
        None => Err(Error::new(
            ErrorKind::Malformed,
            "the payload that its setup header points to has no known compression format",
        )),
    }
}

/// Decompresses a payload of the kernel's build, which has its decompressed size in the last four bytes (`size_append`,
/// scripts/Makefile.lib; in gzip it is part of the format).
fn unpack_with_size(packing: KernelCompression, payload: &[u8], budget: &WorkBudget) -> Result<ImageBytes<'static>> {
    let Some((packed, size)) = payload.split_last_chunk::<4>() else {
        return Err(Error::new(ErrorKind::Truncated, "its payload is empty"));
    };
    let packed = if packing == KernelCompression::Gzip { payload } else { packed };
    packing.unpack(packed, budget, Some(u64::from(u32::from_le_bytes(*size))))
}

fn zboot(bytes: &[u8], budget: &WorkBudget) -> Result<ImageBytes<'static>> {
    let cut =
        || Error::new(ErrorKind::Truncated, "the payload of its zboot header is beyond the end: is it cut short?");
    let (start, length) = (little(bytes, 8, 4).ok_or_else(cut)?, little(bytes, 12, 4).ok_or_else(cut)?);
    let payload = range(bytes, start, length).ok_or_else(cut)?;
    let packing = KernelCompression::of(payload);
    let unknown = || {
        Error::new(ErrorKind::Malformed, "the payload that its zboot header points to has no known compression format")
    };
    packing.ok_or_else(unknown)?.unpack(payload, budget, None)
}

/// The kernel in an Android boot image: its size is at 8, and it follows the header, which fills a page. The page size is at 36
/// in versions 0 to 2, and 4096 in versions 3 and 4 (bootimg.h of mkbootimg).
fn android(bytes: &[u8]) -> Result<ImageBytes<'static>> {
    let cut =
        || Error::new(ErrorKind::Truncated, "the kernel in the Android boot image is beyond the end: is it cut short?");
    let size = little(bytes, 8, 4).ok_or_else(cut)?;
    let page = match little(bytes, 40, 4).ok_or_else(cut)? {
        3 | 4 => 4096,
        _ => little(bytes, 36, 4).ok_or_else(cut)?,
    };
    if size == 0 {
        return Err(Error::new(ErrorKind::NotFound, "an Android boot image without a kernel"));
    }
    range(bytes, page, size).map(|kernel| ImageBytes::from(kernel.to_vec())).ok_or_else(cut)
}

fn linux_of(bytes: &[u8]) -> Result<ImageBytes<'static>> {
    let linux = uki::linux(bytes).flatten().filter(|linux| !linux.is_empty());
    linux.map(|linux| ImageBytes::from(linux.to_vec())).ok_or_else(|| {
        let what = "the section .linux of the EFI program is beyond the end or empty: is the file cut short?";
        Error::new(ErrorKind::Truncated, what)
    })
}

fn range(bytes: &[u8], start: u64, length: u64) -> Option<&[u8]> {
    let end = start.checked_add(length)?;
    bytes.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
}

/// Searches for a compressed kernel if no header has its offset; `None` if the kernel is not compressed.
///
/// Compressed streams are tried first, since lz4 and lzo may leave a version line readable, completely or in part.
fn search(bytes: &[u8], budget: &WorkBudget) -> Result<Option<ImageBytes<'static>>> {
    if let Some(inside) = packed_kernel(bytes, budget)? {
        return Ok(Some(inside));
    }
    if strings::banner(bytes).is_some() {
        return Ok(None);
    }
    let what = "not a kernel image: no version line of Linux, neither directly nor in a compressed stream";
    let hint = "a kernel's file is called vmlinuz, vmlinux, bzImage, zImage or Image";
    Err(Error::new(ErrorKind::NotFound, what).hint(hint))
}

/// Does this ELF file only decompress a kernel? Then it has neither the sections of a kernel nor a readable version line.
fn unpacks_itself(bytes: &[u8]) -> bool {
    let is_kernel = Vmlinux::read(bytes).is_ok_and(|vmlinux| {
        [".BTF", "__ksymtab", "__ksymtab_strings", "__param", ".rodata"]
            .iter()
            .any(|name| vmlinux.section(name).is_some())
    });
    is_executable(bytes) && !is_kernel
}

/// The first compressed stream in these bytes with a kernel, decompressed.
fn packed_kernel(bytes: &[u8], budget: &WorkBudget) -> Result<Option<ImageBytes<'static>>> {
    for at in KernelCompression::places(bytes).take(MOST_CANDIDATES) {
        let Some(packed) = bytes.get(at..) else { break };
        let Some(packing) = KernelCompression::of(packed) else { continue };
        match packing.unpack(packed, budget, None) {
            Ok(inside) if is_kernel(&inside) => return Ok(Some(inside)),
            Err(error) if matches!(error.kind(), ErrorKind::TooLarge | ErrorKind::TooMuchWork) => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(None)
}

/// Is it a kernel, or an image with a kernel?
fn is_kernel(bytes: &[u8]) -> bool {
    let is_image = match ImageFormat::of(bytes) {
        ImageFormat::Elf => is_executable(bytes),
        ImageFormat::Unknown | ImageFormat::Packed(_) => false,
        _ => true,
    };
    is_image || strings::banner(bytes).is_some()
}
