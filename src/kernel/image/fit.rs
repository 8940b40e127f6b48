//! U-Boot's newer image, FIT (`.itb`): a flattened device tree that has the images as nodes (the Flat Image Tree
//! specification; chapter 5 of the Devicetree Specification, 0.4, for the format).
//!
//! ```text
//! /images/NAME           type = "kernel", arch, compression, and data, or where the data is after the tree
//! /configurations        default = "CONFIGURATION"
//! /configurations/NAME   kernel = "NAME"
//! ```
//!
//! It is read once from start to end; the names of properties are compared in place.

use crate::error::{Error, ErrorKind, Result};
use crate::kernel::architecture::Architecture;
use crate::kernel::image::uimage::UbootKernel;
use crate::kernel::image::unpack::KernelCompression;
use crate::module::elf::Endian;

/// The magic of a flattened device tree.
pub(super) const MAGIC: [u8; 4] = 0xd00d_feed_u32.to_be_bytes();

/// The most images and configurations: a firmware for a family of boards has some dozens.
const MOST: usize = 1 << 12;

/// The greatest depth of nested nodes.
const DEPTH: usize = 64;

// The tokens of the structure block.
const BEGIN_NODE: u64 = 1;
const END_NODE: u64 = 2;
const PROPERTY: u64 = 3;
const NOP: u64 = 4;
const END: u64 = 9;

/// A node below `/images`.
#[derive(Default)]
struct FitNode<'b> {
    name: &'b [u8],
    kind: &'b [u8],
    architecture: &'b [u8],
    compression: &'b [u8],
    data: Option<&'b [u8]>,
    /// The offset of the data from the start of the file, or from the end of the tree.
    position: Option<u64>,
    offset: Option<u64>,
    size: Option<u64>,
}

/// A node below `/configurations`.
#[derive(Default)]
struct FitConfiguration<'b> {
    name: &'b [u8],
    kernel: &'b [u8],
}

/// The parts of a FIT image that are needed here.
#[derive(Default)]
struct FitImage<'b> {
    /// The size of the tree in bytes; data that is not in it follows.
    size: u64,
    images: Vec<FitNode<'b>>,
    configurations: Vec<FitConfiguration<'b>>,
    default: &'b [u8],
}

/// Finds the kernel that U-Boot boots: that of the default configuration, or the only one.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] for a device tree without a kernel, [`ErrorKind::Ambiguous`] if nothing decides between several,
/// [`ErrorKind::Truncated`] or [`ErrorKind::Malformed`] if it is cut short or contradicts itself.
pub(super) fn read(file: &[u8]) -> Result<UbootKernel<'_>> {
    let tree = FitImage::read(file)?;
    let image = tree.kernel()?;
    let bytes = match image.data {
        Some(data) => data,
        None => {
            let external = || {
                let start = image.position.or_else(|| tree.size.next_multiple_of(4).checked_add(image.offset?))?;
                let end = start.checked_add(image.size?)?;
                file.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
            };
            external().ok_or_else(|| {
                Error::new(ErrorKind::Truncated, "the kernel in the FIT image is beyond the end: is it cut short?")
            })?
        }
    };
    let packing =
        (image.compression == b"lzma" && KernelCompression::of(bytes).is_none()).then_some(KernelCompression::Lzma);
    let architecture = Architecture::of_uboot(|_, name| name.as_bytes() == image.architecture);
    Ok(UbootKernel { bytes, packing, architecture })
}

impl<'b> FitImage<'b> {
    fn kernel(&self) -> Result<&FitNode<'b>> {
        let configured = self.configurations.iter().find(|configuration| configuration.name == self.default);
        if let Some(configuration) = configured
            && let Some(image) = self.images.iter().find(|image| image.name == configuration.kernel)
        {
            return Ok(image);
        }
        let is_kernel = |image: &&FitNode<'_>| matches!(image.kind, b"kernel" | b"kernel_noload");
        let mut kernels = self.images.iter().filter(is_kernel);
        match (kernels.next(), kernels.count()) {
            (Some(kernel), 0) => Ok(kernel),
            (Some(_), others) => {
                let what = format!("{} kernels in the FIT image, and no default configuration", others + 1);
                let hint = "dumpimage -l FILE lists them; dumpimage -T flat_dt -p NUMBER -o kernel FILE extracts one";
                Err(Error::new(ErrorKind::Ambiguous, what).hint(hint))
            }
            (None, _) if self.images.is_empty() => {
                Err(Error::new(ErrorKind::NotFound, "a device tree, not a FIT image: it has no kernel"))
            }
            (None, _) => Err(Error::new(ErrorKind::NotFound, "a FIT image without a kernel")),
        }
    }

    fn read(file: &'b [u8]) -> Result<FitImage<'b>> {
        let cut = || Error::new(ErrorKind::Truncated, "the FIT image is cut short");
        let damaged = || Error::new(ErrorKind::Malformed, "the device tree of the FIT image is damaged");
        let header = |at: usize| file.get(at..at + 4).map(|field| Endian::Big.number(field)).ok_or_else(cut);
        let size = header(4)?;
        let whole = usize::try_from(size).ok().and_then(|size| file.get(..size)).ok_or_else(cut)?;
        let block = |at: u64| usize::try_from(at).ok().and_then(|at| whole.get(at..)).ok_or_else(damaged);
        let (mut rest, strings) = (block(header(8)?)?, block(header(12)?)?);
        let mut tree = FitImage { size, ..FitImage::default() };
        // The current node: its depth, and the name of the node below the root that it is in.
        let (mut depth, mut first) = (0, b"".as_slice());
        loop {
            match word(&mut rest).ok_or_else(damaged)? {
                BEGIN_NODE => {
                    let name = until_nul(rest).ok_or_else(damaged)?;
                    rest = rest.get((name.len() + 1).next_multiple_of(4)..).ok_or_else(damaged)?;
                    depth += 1;
                    match (depth, first) {
                        (2, _) => first = name,
                        (3, b"images") => tree.images.push(FitNode { name, ..FitNode::default() }),
                        (3, b"configurations") => {
                            tree.configurations.push(FitConfiguration { name, ..FitConfiguration::default() });
                        }
                        _ => {}
                    }
                    if depth > DEPTH || tree.images.len().max(tree.configurations.len()) > MOST {
                        return Err(damaged());
                    }
                }
                END_NODE if depth > 0 => depth -= 1,
                PROPERTY => {
                    let length = word(&mut rest).and_then(|length| usize::try_from(length).ok());
                    let name = word(&mut rest).and_then(|at| strings.get(usize::try_from(at).ok()?..));
                    let (Some(length), Some(name)) = (length, name) else { return Err(damaged()) };
                    let value = rest.get(..length).ok_or_else(damaged)?;
                    rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
                    tree.property(depth, first, name, value);
                }
                NOP => {}
                END => return Ok(tree),
                _ => return Err(damaged()),
            }
        }
    }

    /// Stores a property of the current node.
    fn property(&mut self, depth: usize, first: &[u8], name: &[u8], value: &'b [u8]) {
        let is = |known: &str| name.strip_prefix(known.as_bytes()).is_some_and(|rest| rest.first() == Some(&0));
        // The first of a list of strings.
        let text = until_nul(value).unwrap_or(value);
        let number = || (value.len() == 4).then(|| Endian::Big.number(value));
        match (depth, first) {
            (2, b"configurations") if is("default") => self.default = text,
            (3, b"configurations") if is("kernel") => {
                if let Some(configuration) = self.configurations.last_mut() {
                    configuration.kernel = text;
                }
            }
            (3, b"images") => {
                let Some(image) = self.images.last_mut() else { return };
                match () {
                    () if is("type") => image.kind = text,
                    () if is("arch") => image.architecture = text,
                    () if is("compression") => image.compression = text,
                    () if is("data") => image.data = Some(value),
                    () if is("data-position") => image.position = number(),
                    () if is("data-offset") => image.offset = number(),
                    () if is("data-size") => image.size = number(),
                    () => {}
                }
            }
            _ => {}
        }
    }
}

/// The next word of the structure block.
fn word(rest: &mut &[u8]) -> Option<u64> {
    let (word, behind) = rest.split_first_chunk::<4>()?;
    *rest = behind;
    Some(u64::from(u32::from_be_bytes(*word)))
}

fn until_nul(bytes: &[u8]) -> Option<&[u8]> {
    memchr::memchr(0, bytes).and_then(|end| bytes.get(..end))
}
