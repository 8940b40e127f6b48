//! An initramfs archive: the "newc" format of cpio, as unpacked by the kernel (init/initramfs.c;
//! Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::BTreeSet;

use crate::error::{Error, ErrorKind, Result};

/// A character device.
const CHARACTER_DEVICE: u32 = 0o020_600;
/// A folder.
const FOLDER: u32 = 0o040_755;
/// A regular file, executable.
const FILE: u32 = 0o100_755;

/// Creates the archive. Names have no leading slash; parent folders are added. All files belong to root and are
/// executable.
///
/// # Errors
///
/// [`ErrorKind::TooLarge`] for a file of 4 GiB or more, the limit of the format.
pub(super) fn archive<'f>(files: impl IntoIterator<Item = (&'f str, &'f [u8])>) -> Result<Vec<u8>> {
    let mut archive = CpioArchive::default();
    // The first console of PID 1, before devtmpfs is mounted.
    archive.folders_of("dev/console")?;
    archive.entry("dev/console", CHARACTER_DEVICE, (5, 1), &[])?;
    for (name, bytes) in files {
        archive.folders_of(name)?;
        archive.entry(name, FILE, (0, 0), bytes)?;
    }
    archive.entry("TRAILER!!!", 0, (0, 0), &[])?;
    Ok(archive.bytes)
}

#[derive(Default)]
struct CpioArchive {
    bytes: Vec<u8>,
    folders: BTreeSet<String>,
    inode: u32,
}

impl CpioArchive {
    fn folders_of(&mut self, name: &str) -> Result<()> {
        for (at, _) in name.match_indices('/') {
            let folder = name.get(..at).unwrap_or_default();
            if self.folders.insert(folder.to_owned()) {
                self.entry(folder, FOLDER, (0, 0), &[])?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), bytes: &[u8]) -> Result<()> {
        let too_large = |_| Error::new(ErrorKind::TooLarge, format!("{name} is too large for an initramfs"));
        let size = u32::try_from(bytes.len()).map_err(too_large)?;
        let name_size = u32::try_from(name.len() + 1).map_err(too_large)?;
        self.inode += 1;
        // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
        let fields = [self.inode, mode, 0, 0, 1, 0, size, 0, 0, device.0, device.1, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(bytes);
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_precede_their_files_and_entries_are_aligned() {
        let bytes = archive([("m/a.ko", b"abc".as_slice()), ("m/b.ko", b"")]).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let at = |name: &str| text.find(name).unwrap();
        assert!(at("m\0") < at("m/a.ko\0") && at("m/a.ko\0") < at("m/b.ko\0") && at("m/b.ko\0") < at("TRAILER!!!"));
        assert_eq!(text.matches("m\0").count(), 1);
        assert_eq!(bytes.len() % 4, 0);
        let headers: Vec<_> = text.match_indices("070701").map(|(at, _)| at % 4).collect();
        assert_eq!(headers, [0; 6]);
    }
}
