//! An initramfs: the "newc" form of cpio, as the kernel unpacks it (init/initramfs.c).

use std::collections::BTreeSet;

/// Makes the archive. Names have no leading slash; folders on the way are made. All is root's, files may be executed.
pub(crate) fn archive<'f>(files: impl IntoIterator<Item = (&'f str, &'f [u8])>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut folders = BTreeSet::new();
    let mut inode = 1;
    // PID 1's first console, before devtmpfs is mounted.
    folder(&mut out, "dev", &mut inode);
    folders.insert("dev".to_owned());
    entry(&mut out, "dev/console", 0o020_600, (5, 1), &[], &mut inode);
    for (name, bytes) in files {
        for (at, _) in name.match_indices('/') {
            if folders.insert(name[..at].to_owned()) {
                folder(&mut out, &name[..at], &mut inode);
            }
        }
        entry(&mut out, name, 0o100_755, (0, 0), bytes, &mut inode);
    }
    entry(&mut out, "TRAILER!!!", 0, (0, 0), &[], &mut inode);
    out
}

fn folder(out: &mut Vec<u8>, name: &str, inode: &mut u32) {
    entry(out, name, 0o040_755, (0, 0), &[], inode);
}

fn entry(out: &mut Vec<u8>, name: &str, mode: u32, device: (u32, u32), bytes: &[u8], inode: &mut u32) {
    let size = u32::try_from(bytes.len()).expect("a file of less than 4 GiB");
    let name_size = u32::try_from(name.len() + 1).expect("a short name");
    // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
    let fields = [*inode, mode, 0, 0, 1, 0, size, 0, 0, device.0, device.1, name_size, 0];
    *inode += 1;
    out.extend_from_slice(b"070701");
    for field in fields {
        out.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    pad(out);
    out.extend_from_slice(bytes);
    pad(out);
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}
