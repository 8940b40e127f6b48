//! The signature at the end of a signed image, which the kernel does not read.

/// An EFI image without its appended signature: the certificates in the signature are for the firmware, and the kernel does
/// not trust them for modules. The position of the signature is the fifth entry of the data directory
/// (`struct pe_hdr`, `struct data_dirent`, include/linux/pe.h, 6.12).
pub(super) fn without_signature(bytes: &[u8]) -> &[u8] {
    signature_at(bytes).and_then(|at| bytes.get(..at)).unwrap_or(bytes)
}

fn signature_at(bytes: &[u8]) -> Option<usize> {
    let number = |at: usize| {
        let field = bytes.get(at..at.checked_add(4)?)?;
        usize::try_from(u32::from_le_bytes(field.try_into().ok()?)).ok()
    };
    let header = number(0x3c).filter(|_| bytes.starts_with(b"MZ"))?;
    let optional = header.checked_add(24)?;
    let kind = bytes.get(header..)?.strip_prefix(b"PE\0\0").and(bytes.get(optional..optional.checked_add(2)?))?;
    let directory = match kind {
        [0x0b, 1] => optional.checked_add(96)?,
        [0x0b, 2] => optional.checked_add(112)?,
        _ => return None,
    };
    let entry = directory.checked_add(4 * 8)?;
    number(entry).filter(|at| *at > entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_of_the_firmware_s_is_left_out() {
        let mut image = vec![0; 0x40];
        image[..2].copy_from_slice(b"MZ");
        image[0x3c] = 0x40;
        image.extend(b"PE\0\0");
        image.extend([0; 20]);
        image.extend([0x0b, 2]);
        image.resize(0x40 + 24 + 112 + 32, 0);
        let end = u32::try_from(image.len() + 16).unwrap();
        image.extend(end.to_le_bytes());
        image.extend([0; 12]);
        image.extend(b"signature");
        assert_eq!(without_signature(&image).len(), usize::try_from(end).unwrap());
        for cut in 0..image.len() {
            let _ = without_signature(&image[..cut]);
        }
        assert_eq!(without_signature(b"\x7fELF"), b"\x7fELF");
    }
}
