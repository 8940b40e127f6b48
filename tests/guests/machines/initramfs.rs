//! An initramfs: the "newc" form of cpio (Documentation/driver-api/early-userspace/buffer-format.rst).

/// Makes an archive of files, each given by its name without a leading slash, with a console and the folder `m`.
pub(crate) fn archive(files: &[(String, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    let mut inode = 0;
    let mut entry = |name: &str, mode: u32, device: (u32, u32), bytes: &[u8]| {
        inode += 1;
        let (size, name_size) = (bytes.len() as u32, name.len() as u32 + 1);
        archive.extend_from_slice(b"070701");
        for field in [inode, mode, 0, 0, 1, 0, size, 0, 0, device.0, device.1, name_size, 0] {
            archive.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        for part in [[name.as_bytes(), b"\0"].concat().as_slice(), bytes] {
            archive.extend_from_slice(part);
            archive.resize(archive.len().next_multiple_of(4), 0);
        }
    };
    entry("dev", 0o040_755, (0, 0), &[]);
    entry("dev/console", 0o020_600, (5, 1), &[]);
    entry("m", 0o040_755, (0, 0), &[]);
    for (name, bytes) in files {
        entry(name, 0o100_755, (0, 0), bytes);
    }
    entry("TRAILER!!!", 0, (0, 0), &[]);
    archive
}
