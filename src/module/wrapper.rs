//! Files that are no module, but that modules and kernels come in: each by its first bytes, with the command that unpacks it.
//!
//! The commands are those of the man pages rpm2cpio(8), apk-extract(8), dpkg-deb(1), tar(1), dumpimage(1), objcopy(1),
//! unzip(1), unsquashfs(1), cpio(1), xz(1), bzip2(1), lz4(1), lzop(1), lzip(1) and gzip(1), and of the script unpack_bootimg (Android, system/tools/mkbootimg).

use crate::error::{Error, ErrorKind, Remedy};

/// What a file is by its first bytes, where it is something that holds modules or kernels.
pub(crate) fn of(bytes: &[u8]) -> Option<Error> {
    let has = |at: usize, magic: &[u8]| bytes.get(at..).is_some_and(|rest| rest.starts_with(magic));
    Some(match bytes {
        [0xed, 0xab, 0xee, 0xdb, ..] => unread("an RPM package", "rpm2cpio FILE | cpio -id"),
        [b'A', b'D', b'B', b'.' | b'd' | b'c', ..] => {
            unread("an apk package of format 3", "apk extract --allow-untrusted FILE")
        }
        _ if has(0, b"PK\x03\x04") => unread("a zip archive", "unzip FILE"),
        _ if has(0, b"hsqs") => unread("a squashfs image", "unsquashfs FILE"),
        _ if has(0, b"070701") || has(0, b"070702") => unread("a cpio archive", "cpio -id < FILE"),
        _ if has(0, b"VNDRBOOT") => {
            unread("a vendor boot image of Android", "unpack_bootimg --boot_img FILE --out FOLDER")
        }
        _ if has(0, b"!<arch>\ndebian-binary") => package("a Debian package", "dpkg-deb -x FILE FOLDER"),
        _ if has(0, b"!<arch>\n") => package("an ar archive", "ar x FILE"),
        _ if has(257, b"ustar") => tar(bytes),
        _ if has(0, b"ANDROID!") => image("a boot image of Android"),
        _ if has(0, &0xd00d_feed_u32.to_be_bytes()) => image("a device tree or FIT image"),
        _ if has(0, &0x2705_1956_u32.to_be_bytes()) => image("a U-Boot image"),
        _ if has(0x202, b"HdrS") || has(0x38, b"ARM\x64") || has(0x38, b"RSC\x05") => image("a kernel image"),
        [b'M', b'Z', ..] if has(4, b"zimg") => image("a kernel image"),
        [b'M', b'Z', ..] => {
            let hint = "a kernel in it is its section .linux (objcopy -O binary --only-section=.linux FILE kernel)";
            Error::new(ErrorKind::Wrapped, "an EFI program, not a module").hint(hint)
        }
        _ => return compressed(bytes),
    })
}

/// What is compressed by a format that no module comes in, with the command that unpacks it. A file's name may say another.
fn compressed(bytes: &[u8]) -> Option<Error> {
    let (what, command) = match bytes {
        // Properties up to 224, a dictionary of 2^n or 2^n + 2^(n-1) bytes, and a size that is unknown or below 256 GiB (xz's
        // src/liblzma/common/alone_decoder.c, 5.4). The first byte of the data that follows is 0.
        [0x5d, d0, d1, d2, d3, size @ .., _] if is_lzma(u32::from_le_bytes([*d0, *d1, *d2, *d3]), size) => {
            ("lzma data (not xz)", "xz --format=lzma -dc")
        }
        [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', b'&', b'S', b'Y', ..] => ("bzip2 data", "bzip2 -dc"),
        [0x04, 0x22, 0x4d, 0x18, ..] | [0x02, 0x21, 0x4c, 0x18, ..] => ("lz4 data", "lz4 -dc"),
        [0x89, b'L', b'Z', b'O', 0, 0x0d, 0x0a, 0x1a, 0x0a, ..] => ("lzop data", "lzop -dc"),
        [b'L', b'Z', b'I', b'P', 1, ..] => ("lzip data", "lzip -dc"),
        [0x1f, 0x9d, ..] => ("data of compress(1)", "gzip -dc"),
        _ => return None,
    };
    let hint = format!("unpack it ({command} FILE > MODULE.ko)");
    Some(
        Error::new(ErrorKind::Wrapped, format!("{what}, which neither kmod nor a kernel unpacks as a module"))
            .hint(hint),
    )
}

/// Are these a dictionary's size and what follows it in the header of an .lzma file?
fn is_lzma(dictionary: u32, rest: &[u8]) -> bool {
    let Some((size, data)) = rest.split_first_chunk() else { return false };
    let size = u64::from_le_bytes(*size);
    let top = dictionary.checked_ilog2().map_or(0, |bits| 1 << bits);
    (dictionary == u32::MAX || (top != 0 && (dictionary == top || dictionary == top + top / 2)))
        && (size == u64::MAX || size < 1 << 38)
        && data.first() == Some(&0)
}

/// What is not read anywhere.
fn unread(what: &str, command: &str) -> Error {
    let hint = format!("unpack it ({command}) and name what is in it");
    Error::new(ErrorKind::Wrapped, format!("{what}, which is not read here")).hint(hint)
}

/// A package, where one module is asked for.
fn package(what: &str, command: &str) -> Error {
    let hint = format!("unpack it ({command}) and name a module in it");
    Error::new(ErrorKind::Wrapped, format!("{what}, not a module")).hint(hint)
}

/// An image of a kernel, where a module is asked for.
fn image(what: &str) -> Error {
    Error::new(ErrorKind::Wrapped, format!("{what}, not a module")).remedy(Remedy::ShowKernel)
}

/// A tar archive, recognised by its first member.
fn tar(bytes: &[u8]) -> Error {
    let name = bytes.get(..100).and_then(|name| name.split(|byte| *byte == 0).next()).unwrap_or_default();
    match name.strip_prefix(b"./").unwrap_or(name) {
        b"debian-binary" => package("an opkg package", "tar -xzOf FILE ./data.tar.gz | tar -xz"),
        b".PKGINFO" | b".BUILDINFO" | b".MTREE" => package("a pacman package", "tar -xf FILE"),
        name if name.starts_with(b".SIGN.") => package("an apk package of format 2", "tar -xf FILE"),
        _ => package("a tar archive", "tar -xf FILE"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(bytes: &[u8]) -> Option<String> {
        of(bytes).map(|error| {
            assert_eq!(error.kind(), ErrorKind::Wrapped);
            error.to_string()
        })
    }

    #[test]
    fn each_kind_is_named_with_the_command_that_unpacks_it() {
        for (bytes, what, command) in [
            (b"\xed\xab\xee\xdb\x03\0".as_slice(), "an RPM package", "rpm2cpio FILE | cpio -id"),
            (b"ADBdk", "an apk package of format 3", "apk extract --allow-untrusted FILE"),
            (b"ADB.pckg", "an apk package of format 3", "apk extract --allow-untrusted FILE"),
            (b"PK\x03\x04\x14\0", "a zip archive", "unzip FILE"),
            (b"hsqs", "a squashfs image", "unsquashfs FILE"),
            (b"0707010000", "a cpio archive", "cpio -id < FILE"),
            (b"VNDRBOOT\x04\0\0\0", "a vendor boot image of Android", "unpack_bootimg --boot_img FILE --out FOLDER"),
        ] {
            let said = said(bytes).unwrap();
            assert!(said.starts_with(what) && said.contains(", which is not read here; "), "{said}");
            assert!(said.ends_with(&format!("unpack it ({command}) and name what is in it")), "{said}");
        }
    }

    #[test]
    fn packages_and_images_that_are_read_as_kernels_are_no_modules() {
        let tar = |name: &str| {
            let mut header = [0; 512];
            header[..name.len()].copy_from_slice(name.as_bytes());
            header[257..262].copy_from_slice(b"ustar");
            said(&header).unwrap()
        };
        let folder = "; unpack it (tar -xf FILE) and name a module in it";
        assert_eq!(tar(".BUILDINFO"), format!("a pacman package, not a module{folder}"));
        assert_eq!(tar(".SIGN.RSA.alpine"), format!("an apk package of format 2, not a module{folder}"));
        assert_eq!(tar("boot/"), format!("a tar archive, not a module{folder}"));
        assert!(tar("./debian-binary").contains("(tar -xzOf FILE ./data.tar.gz | tar -xz)"));
        assert!(said(b"!<arch>\ndebian-binary   ").unwrap().contains("(dpkg-deb -x FILE FOLDER)"));
        for image in [b"ANDROID!".as_slice(), b"\xd0\x0d\xfe\xed", b"\x27\x05\x19\x56", b"MZ\0\0zimg"] {
            let error = of(image).unwrap();
            assert!(error.to_string().ends_with(", not a module"));
            assert_eq!(error.suggested(), Some(&Remedy::ShowKernel));
        }
    }

    #[test]
    fn of_an_efi_program_the_section_with_a_kernel_is_named() {
        let said = said(b"MZ\x90\0\x03").unwrap();
        assert!(
            said.starts_with("an EFI program, not a module; a kernel in it is its section .linux (objcopy "),
            "{said}"
        );
    }

    #[test]
    fn data_of_a_compressor_that_modules_do_not_come_in_is_named_whatever_the_file_is_called() {
        let lzma = |dictionary: u32, size: u64| {
            let mut bytes = vec![0x5d];
            bytes.extend(dictionary.to_le_bytes());
            bytes.extend(size.to_le_bytes());
            bytes.extend([0, 0x3f, 0x91]);
            bytes
        };
        let options = liblzma::stream::LzmaOptions::new_preset(6).unwrap();
        let stream = liblzma::stream::Stream::new_lzma_encoder(&options).unwrap();
        let mut real = Vec::new();
        std::io::Read::read_to_end(&mut liblzma::bufread::XzEncoder::new_stream(&b"a module"[..], stream), &mut real)
            .unwrap();
        for (bytes, what, command) in [
            (real, "lzma data (not xz)", "xz --format=lzma -dc"),
            (lzma(8 << 20, u64::MAX), "lzma data (not xz)", "xz --format=lzma -dc"),
            (lzma(3 << 19, 70_000), "lzma data (not xz)", "xz --format=lzma -dc"),
            (b"BZh91AY&SY\x12".to_vec(), "bzip2 data", "bzip2 -dc"),
            (b"\x04\x22\x4d\x18\x64".to_vec(), "lz4 data", "lz4 -dc"),
            (b"\x02\x21\x4c\x18\x64".to_vec(), "lz4 data", "lz4 -dc"),
            (b"\x89LZO\0\r\n\x1a\n\x10".to_vec(), "lzop data", "lzop -dc"),
            (b"LZIP\x01\x0c".to_vec(), "lzip data", "lzip -dc"),
            (b"\x1f\x9d\x90".to_vec(), "data of compress(1)", "gzip -dc"),
        ] {
            let expected = format!(
                "{what}, which neither kmod nor a kernel unpacks as a module; unpack it ({command} FILE > MODULE.ko)"
            );
            assert_eq!(said(&bytes).unwrap(), expected);
        }
        for bytes in [lzma(8 << 20, 1 << 40), lzma(12345, 70_000), lzma(0, 7), b"]\0\0\x80\0".to_vec(), vec![0x5d; 30]]
        {
            assert!(of(&bytes).is_none(), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_none_of_these_is_not_named() {
        for bytes in [b"".as_slice(), b"M", b"<html>", b"PK", b"070700", b"#!/bin/sh\n", b"\x7fELF\x02\x01\x01"] {
            assert!(of(bytes).is_none());
        }
    }
}
