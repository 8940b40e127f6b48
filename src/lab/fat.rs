//! A small empty FAT12 file system, for the probe of vfat and msdos (Microsoft's "FAT: General Overview of On-Disk
//! Format"; the kernel's reader is fs/fat/inode.c).

/// The size in sectors of 512 bytes: that of a floppy disk.
const SECTORS: u16 = 2880;
/// The sectors per file allocation table.
const TABLE: u16 = 9;

/// The file system up to the end of its root directory. The rest of the disk is free space with arbitrary contents.
pub(crate) fn empty() -> Vec<u8> {
    let mut boot = [0_u8; 512];
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(place) = boot.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    put(0, &[0xeb, 0x3c, 0x90]);
    put(3, b"kmodlab ");
    put(11, &512_u16.to_le_bytes());
    put(13, &[1]); // sectors of a cluster
    put(14, &1_u16.to_le_bytes()); // sectors before the tables
    put(16, &[2]); // tables
    put(17, &224_u16.to_le_bytes()); // entries of the root folder
    put(19, &SECTORS.to_le_bytes());
    put(21, &[0xf0]); // kind of medium
    put(22, &TABLE.to_le_bytes());
    put(38, &[0x29]); // what follows is there: serial number, label, kind
    put(43, b"KMODLAB    FAT12   ");
    put(510, &[0x55, 0xaa]);
    let mut image = boot.to_vec();
    for _ in 0..2 {
        let start = image.len();
        // The first two entries hold the media type and an end mark.
        image.extend_from_slice(&[0xf0, 0xff, 0xff]);
        image.resize(start + usize::from(TABLE) * 512, 0);
    }
    image.resize(image.len() + 224 * 32, 0);
    image
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_parts_are_where_the_boot_sector_puts_them() {
        let image = super::empty();
        assert_eq!(image.len(), 512 * (1 + 2 * 9 + 14));
        assert_eq!(image[512..515], image[512 * 10..512 * 10 + 3]);
    }
}
