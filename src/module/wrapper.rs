//! Files that are no module, but that modules and kernels come in: each by its first bytes, with the command that unpacks it.
//!
//! The commands are those of the man pages rpm2cpio(8), apk-extract(8), dpkg-deb(1), tar(1), dumpimage(1), objcopy(1),
//! unzip(1), unsquashfs(1) and cpio(1), and of the script unpack_bootimg (Android, system/tools/mkbootimg).

use crate::error::{Error, ErrorKind};

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
        _ => return None,
    })
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
    Error::new(ErrorKind::Wrapped, format!("{what}, not a module")).hint("kmodlab kernel FILE shows the kernel in it")
}

/// A tar archive, told by its first member.
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
            assert!(said(image).unwrap().ends_with(", not a module; kmodlab kernel FILE shows the kernel in it"));
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
    fn what_is_none_of_these_is_not_named() {
        for bytes in [b"".as_slice(), b"M", b"<html>", b"PK", b"070700", b"#!/bin/sh\n", b"\x7fELF\x02\x01\x01"] {
            assert!(of(bytes).is_none());
        }
    }
}
