//! Where in an image file the kernel itself is: what boot loaders and the kernel's own first code need to know, read
//! for what is packed inside.
//!
//! | file | told by | inside |
//! |---|---|---|
//! | `vmlinux` | ELF | itself |
//! | mips, loongarch `vmlinuz` | ELF without a version line or BTF (arch/mips/boot/compressed, 6.1) | packed; searched for |
//! | x86 `bzImage` | `HdrS` at 0x202 | packed, where the setup header says (protocol 2.08 on, Documentation/arch/x86/boot.rst) |
//! | EFI zboot (arm64, riscv, loongarch) | `MZ`, `zimg` at 4 | packed, where its header says (drivers/firmware/efi/libstub/zboot-header.S, 6.1 on) |
//! | arm64, riscv `Image` | `ARM\x64`, `RSC\x05` at 0x38 | itself, flat |
//! | arm `zImage` | 0x016f2818 at 0x24 | packed; searched for |
//! | s390x `bzImage` | `S390EP` at 0x10008 | packed; searched for |
//! | U-Boot `uImage` | 0x27051956 at 0 | one of the others, 64 bytes on (`uimage`) |
//! | U-Boot FIT | 0xd00dfeed at 0 | one of the others, in a device tree (`fit`) |
//! | UKI | `MZ`, and a section `.linux` | one of the others (`uki`) |
//! | Android `boot.img` | `ANDROID!` at 0 | one of the others, one page on (system/tools/mkbootimg, versions 0 to 4) |
//! | none of these | a version line that ends as a string does | itself, flat |
//! | `Image.gz` and so on | the container's magic at 0 | one of the others |

use std::borrow::Cow;

use crate::error::{Error, ErrorKind, Result};
use crate::kernel::architecture::{Architecture, Machine};
use crate::kernel::image::room::Room;
use crate::kernel::image::uimage::Stored;
use crate::kernel::image::unpack::Packing;
use crate::kernel::image::vmlinux::Vmlinux;
use crate::kernel::image::{fit, strings, uimage, uki};
use crate::module::elf::{Class, Endian};

/// A kernel's own bytes: an ELF file, or flat.
pub(super) struct Opened<'b> {
    /// The bytes, as memory will have them if they are flat.
    pub(super) bytes: Room<'b>,
    /// The machine that the container is for, where that tells it.
    pub(super) machine: Option<Machine>,
    /// What a boot loader's header says of the architecture, where there is one.
    pub(super) architecture: Option<Architecture>,
}

/// How deep images lie in one another: a `uImage` with a `zImage`, a packed one with zboot inside.
const DEPTH: usize = 4;

/// How many places that begin as something packed does are tried, where no header tells the place.
const MOST_CANDIDATES: usize = 256;

/// What a packed file without a header may have unpacked to be looked through for a version line, in bytes.
const LARGEST_FLAT: u64 = 256 << 20;

/// Finds the kernel in an image file, and unpacks it to at most `max` bytes.
///
/// # Errors
///
/// Those of [`crate::kernel::image::facts`].
pub(super) fn open(file: &[u8], max: u64) -> Result<Opened<'_>> {
    let (mut machine, mut architecture) = (None, None);
    let mut bytes = Room::Plain(Cow::Borrowed(file));
    for _ in 0..DEPTH {
        let kind = Kind::of(&bytes);
        machine = kind.machine(&bytes).or(machine);
        let mut stored = |stored: Stored<'_>| {
            architecture = architecture.or(stored.architecture);
            match stored.packing {
                Some(packing) => packing.unpack(stored.bytes, max, None),
                None => Ok(Room::from(stored.bytes.to_vec())),
            }
        };
        let inside = match kind {
            Kind::Elf if !unpacks_itself(&bytes) => None,
            Kind::Elf => packed_kernel(&bytes, max)?,
            Kind::Arm64 | Kind::Riscv | Kind::LoongArch => None,
            Kind::UImage => Some(uimage::read(&bytes).and_then(&mut stored)?),
            Kind::Fit => Some(fit::read(&bytes).and_then(&mut stored)?),
            Kind::Uki => Some(linux_of(&bytes)?),
            Kind::Packed(packing) => Some(packing.unpack(&bytes, max, None)?),
            Kind::X86 => match x86_payload(&bytes)? {
                Some((packing, payload)) => Some(unpack_with_size(packing, payload, max)?),
                None => search(&bytes, max)?,
            },
            Kind::Zboot => Some(zboot(&bytes, max)?),
            Kind::Android => Some(android(&bytes)?),
            Kind::Arm | Kind::S390 | Kind::Unknown => search(&bytes, max)?,
        };
        match inside {
            Some(inside) => bytes = inside,
            None => return Ok(Opened { bytes, machine, architecture }),
        }
    }
    Err(Error::new(ErrorKind::Malformed, format!("images within images, more than {DEPTH} deep")))
}

/// See [`crate::kernel::image::looks_like_image`].
pub(super) fn looks_like_image(bytes: &[u8]) -> bool {
    match Kind::of(bytes) {
        Kind::Elf => is_executable(bytes),
        Kind::Packed(packing) => {
            let start = packing.peek(bytes);
            match Kind::of(&start) {
                Kind::Elf => is_executable(&start),
                // A flat kernel without a header, and no text.
                Kind::Unknown if start.contains(&0) => {
                    let whole = packing.unpack(bytes, LARGEST_FLAT, None);
                    whole.is_ok_and(|whole| strings::banner(&whole).is_some())
                }
                Kind::Unknown | Kind::Packed(_) => false,
                _ => true,
            }
        }
        Kind::Unknown => strings::banner(bytes).is_some(),
        _ => true,
    }
}

/// Is this ELF header an executable's? A module is relocatable.
fn is_executable(elf: &[u8]) -> bool {
    // e_type: ET_EXEC or ET_DYN, in the byte order that e_ident tells.
    match elf.get(5) {
        Some(2) => matches!(elf.get(16..18), Some([0, 2 | 3])),
        _ => matches!(elf.get(16..18), Some([2 | 3, 0])),
    }
}

/// The kinds of the table above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
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
    Packed(Packing),
    Unknown,
}

impl Kind {
    fn of(bytes: &[u8]) -> Kind {
        let has = |at: usize, magic: &[u8]| bytes.get(at..).is_some_and(|rest| rest.starts_with(magic));
        // What no other file has at its start comes first; a boot sector could begin with anything.
        match bytes {
            [0x7f, b'E', b'L', b'F', ..] => Kind::Elf,
            _ if has(0x202, b"HdrS") => Kind::X86,
            [b'M', b'Z', ..] if has(4, b"zimg") => Kind::Zboot,
            _ if has(0x38, b"ARM\x64") => Kind::Arm64,
            _ if has(0x38, b"RSC\x05") => Kind::Riscv,
            [b'M', b'Z', ..] if has(0x38, &0x8182_23cd_u32.to_le_bytes()) => Kind::LoongArch,
            _ if has(0x24, &0x016f_2818_u32.to_le_bytes()) => Kind::Arm,
            _ if has(0x10008, b"S390EP") => Kind::S390,
            _ if has(0, b"ANDROID!") => Kind::Android,
            _ if has(0, &uimage::MAGIC) => Kind::UImage,
            _ if has(0, &fit::MAGIC) => Kind::Fit,
            [b'M', b'Z', ..] if uki::linux(bytes).is_some() => Kind::Uki,
            _ => Packing::of(bytes).map_or(Kind::Unknown, Kind::Packed),
        }
    }

    /// The machine, where the kind is one architecture's and what is inside does not tell it.
    fn machine(self, bytes: &[u8]) -> Option<Machine> {
        let byte = |at: usize| bytes.get(at).copied().unwrap_or_default();
        let (class, endian, number) = match self {
            // Bit 0 of the flags: Documentation/arch/arm64/booting.rst.
            Kind::Arm64 if byte(24) & 1 != 0 => (Class::Elf64, Endian::Big, EM_AARCH64),
            Kind::Arm64 => (Class::Elf64, Endian::Little, EM_AARCH64),
            // The load offset is 4 MiB for 32 bit, 2 MiB for 64: Documentation/arch/riscv/boot-image-header.rst.
            Kind::Riscv if byte(10) == 0x40 => (Class::Elf32, Endian::Little, EM_RISCV),
            Kind::Riscv => (Class::Elf64, Endian::Little, EM_RISCV),
            Kind::LoongArch => (Class::Elf64, Endian::Little, EM_LOONGARCH),
            Kind::Arm => (Class::Elf32, Endian::Little, EM_ARM),
            Kind::S390 => (Class::Elf64, Endian::Big, EM_S390),
            Kind::Elf => return elf_machine(bytes),
            _ => return None,
        };
        Some(Machine { class, endian, number })
    }
}

/// The machine that an ELF header names.
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

/// The payload of a bzImage, as its setup header tells it; `None` before boot protocol 2.08 (2.6.26).
fn x86_payload(bytes: &[u8]) -> Result<Option<(Packing, &[u8])>> {
    let cut = || Error::new(ErrorKind::Truncated, "the x86 setup header is cut short");
    let field = |at: usize, size: usize| little(bytes, at, size).ok_or_else(cut);
    if field(0x206, 2)? < 0x208 {
        return Ok(None);
    }
    // 0 stands for 4 (Documentation/arch/x86/boot.rst).
    let sectors = match field(0x1f1, 1)? {
        0 => 4,
        sectors => sectors,
    };
    let (offset, length) = (field(0x248, 4)?, field(0x24c, 4)?);
    let start = (sectors + 1) * 512 + offset;
    let payload = range(bytes, start, length).ok_or_else(|| {
        let what = format!("its setup header says {length} packed bytes at {start}, but the file has {}", bytes.len());
        Error::new(ErrorKind::Truncated, what).hint("is it cut short?")
    })?;
    match Packing::of(payload) {
        Some(packing) => Ok(Some((packing, payload))),
        None => Err(Error::new(ErrorKind::Malformed, "what its setup header points to is packed in no way known here")),
    }
}

/// Unpacks what the kernel's build has packed, with the size of what is inside in the last four bytes
/// (`size_append`, scripts/Makefile.lib; gzip has it there by itself).
fn unpack_with_size(packing: Packing, payload: &[u8], max: u64) -> Result<Room<'static>> {
    let Some((packed, size)) = payload.split_last_chunk::<4>() else {
        return Err(Error::new(ErrorKind::Truncated, "nothing is packed in it"));
    };
    let packed = if packing == Packing::Gzip { payload } else { packed };
    packing.unpack(packed, max, Some(u64::from(u32::from_le_bytes(*size))))
}

fn zboot(bytes: &[u8], max: u64) -> Result<Room<'static>> {
    let cut =
        || Error::new(ErrorKind::Truncated, "what its zboot header announces lies beyond the end: is it cut short?");
    let (start, length) = (little(bytes, 8, 4).ok_or_else(cut)?, little(bytes, 12, 4).ok_or_else(cut)?);
    let payload = range(bytes, start, length).ok_or_else(cut)?;
    let packing = Packing::of(payload);
    let unknown = || Error::new(ErrorKind::Malformed, "what its zboot header points to is packed in no way known here");
    packing.ok_or_else(unknown)?.unpack(payload, max, None)
}

/// The kernel in an Android boot image: its size is at 8; it lies behind the header, which fills a page. The page's size is
/// at 36 in versions 0 to 2, and 4096 in versions 3 and 4 (bootimg.h of mkbootimg).
fn android(bytes: &[u8]) -> Result<Room<'static>> {
    let cut = || {
        Error::new(ErrorKind::Truncated, "the kernel in the Android boot image lies beyond the end: is it cut short?")
    };
    let size = little(bytes, 8, 4).ok_or_else(cut)?;
    let page = match little(bytes, 40, 4).ok_or_else(cut)? {
        3 | 4 => 4096,
        _ => little(bytes, 36, 4).ok_or_else(cut)?,
    };
    if size == 0 {
        return Err(Error::new(ErrorKind::NotFound, "an Android boot image without a kernel"));
    }
    range(bytes, page, size).map(|kernel| Room::from(kernel.to_vec())).ok_or_else(cut)
}

fn linux_of(bytes: &[u8]) -> Result<Room<'static>> {
    let linux = uki::linux(bytes).flatten().filter(|linux| !linux.is_empty());
    linux.map(|linux| Room::from(linux.to_vec())).ok_or_else(|| {
        let what = "the section .linux of the EFI program lies beyond the end, or is empty: is the file cut short?";
        Error::new(ErrorKind::Truncated, what)
    })
}

fn range(bytes: &[u8], start: u64, length: u64) -> Option<&[u8]> {
    let end = start.checked_add(length)?;
    bytes.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
}

/// Looks for the kernel where no header tells its place: what is packed, else `None` if it is there as it is.
///
/// In this order, since a version line may also stand within what lz4 or lzo has packed, whole or in part.
fn search(bytes: &[u8], max: u64) -> Result<Option<Room<'static>>> {
    if let Some(inside) = packed_kernel(bytes, max)? {
        return Ok(Some(inside));
    }
    if strings::banner(bytes).is_some() {
        return Ok(None);
    }
    let what = "no kernel image: neither a version line of Linux nor anything packed that has one";
    let hint = "a kernel's file is called vmlinuz, vmlinux, bzImage, zImage or Image";
    Err(Error::new(ErrorKind::NotFound, what).hint(hint))
}

/// Does this ELF file only unpack a kernel? It then has neither sections of one nor, unpacked, a version line.
fn unpacks_itself(bytes: &[u8]) -> bool {
    let is_kernel = Vmlinux::read(bytes).is_ok_and(|vmlinux| {
        [".BTF", "__ksymtab", "__ksymtab_strings", "__param", ".rodata"]
            .iter()
            .any(|name| vmlinux.section(name).is_some())
    });
    is_executable(bytes) && !is_kernel
}

/// The first packed stream in these bytes that has a kernel inside, unpacked.
fn packed_kernel(bytes: &[u8], max: u64) -> Result<Option<Room<'static>>> {
    let mut left = max;
    for at in Packing::places(bytes).take(MOST_CANDIDATES) {
        let Some(packed) = bytes.get(at..) else { break };
        let Some(packing) = Packing::of(packed) else { continue };
        match packing.unpack(packed, left, None) {
            Ok(inside) if is_kernel(&inside) => return Ok(Some(inside)),
            Ok(inside) => left = left.saturating_sub(inside.len() as u64),
            Err(error) if error.kind() == ErrorKind::TooLarge => return Err(error),
            Err(_) => {}
        }
    }
    Ok(None)
}

/// A kernel, or an image with one inside.
fn is_kernel(bytes: &[u8]) -> bool {
    let is_image = match Kind::of(bytes) {
        Kind::Elf => is_executable(bytes),
        Kind::Unknown | Kind::Packed(_) => false,
        _ => true,
    };
    is_image || strings::banner(bytes).is_some()
}
