//! Changes that do not fit in place: `.modinfo` moves to the end of the image, its section header points there, and no other
//! byte moves. Pure.
//!
//! ```text
//! before   ELF header │ sections … .modinfo … │ section headers │ trailer
//! after    ELF header │ sections … (old one) … │ section headers │ .modinfo │ trailer
//!                                                └ sh_offset and sh_size of one header
//! ```
//!
//! The loader uses only the section headers, and copies the sections that they name (`move_module`, kernel/module/main.c, 6.x),
//! wherever in the file a section is. Tools that rewrite the whole file (objcopy, the builders of ELF crates) renumber symbols
//! and drop the trailer, which is not needed here.

use crate::edit::Edit;
use crate::error::{Error, ErrorKind, Result};
use crate::module::elf::{Elf, Section};

/// A section that moves to the end of the image.
pub(super) struct Growth {
    /// The edit of its header.
    pub(super) header: Edit,
    /// The bytes appended to the image: NULs up to the section's alignment, and the section.
    pub(super) appended: Vec<u8>,
}

/// Appends `contents` to `image` (the file without its trailer) and points the section's header at it.
///
/// # Errors
///
/// [`ErrorKind::DoesNotFit`] if the file would be longer than its ELF class can express.
pub(super) fn grow(image: &[u8], elf: &Elf<'_>, section: &Section<'_>, contents: &[u8]) -> Result<Growth> {
    let too_long = || {
        let what = format!("section {} can't grow", crate::escape::bytes_for_eyes(section.name));
        Error::new(
            ErrorKind::DoesNotFit,
            format!("{what}: the file would be longer than {} can express", elf.class.name()),
        )
    };
    let place = match section.align {
        0 | 1 => image.len() as u64,
        align => (image.len() as u64).checked_next_multiple_of(align).ok_or_else(too_long)?,
    };
    let padding = usize::try_from(place - image.len() as u64).ok().filter(|padding| *padding <= MOST_PADDING);
    let mut appended = vec![0; padding.ok_or_else(too_long)?];
    appended.extend_from_slice(contents);

    let word = elf.class.word();
    let at = section.header + elf.class.place_field();
    let old = image.get(at..at + 2 * word).ok_or_else(too_long)?.to_vec();
    let mut new = old.clone();
    let (offset, size) = new.split_at_mut(word);
    elf.endian.write(place, offset).ok_or_else(too_long)?;
    elf.endian.write(contents.len() as u64, size).ok_or_else(too_long)?;
    Ok(Growth { header: Edit { offset: at as u64, old, new }, appended })
}

/// The maximum number of NULs before the section, for its alignment. No `.modinfo` needs more.
const MOST_PADDING: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit;
    use crate::module::Module;

    const MODULES: [&[u8]; 3] = [
        include_bytes!("../../fixtures/modules/hello-4.ko"),
        include_bytes!("../../fixtures/modules/s390x.ko"),
        include_bytes!("../../fixtures/modules/armv7.ko"),
    ];

    #[test]
    fn the_section_moves_to_the_end_and_nothing_else_differs() {
        for image in MODULES {
            let elf = Elf::read(image).unwrap();
            let section = elf.section(".modinfo").unwrap().unwrap();
            let contents = b"license=GPL\0vermagic=a longer one than before\0";
            let growth = grow(image, &elf, section, contents).unwrap();
            let end = Edit { offset: image.len() as u64, old: vec![], new: growth.appended };
            let after = edit::apply(image, &[growth.header, end]).unwrap();
            let module = Module::read(&after).unwrap();
            assert_eq!(module.vermagic().unwrap().as_bytes(), b"a longer one than before");
            let differing: Vec<usize> = (0..image.len()).filter(|at| image[*at] != after[*at]).collect();
            let header = section.header + elf.class.place_field();
            assert!(differing.iter().all(|at| (header..header + 2 * elf.class.word()).contains(at)));
            assert_eq!((module.imports, module.unclaimed), (Module::read(image).unwrap().imports, 0));
        }
    }

    #[test]
    fn the_section_begins_at_its_alignment() {
        let image = MODULES[0];
        let elf = Elf::read(image).unwrap();
        let section = elf.section(".modinfo").unwrap().unwrap().clone();
        for align in [0, 1, 8, 64, 4096] {
            let growth = grow(image, &elf, &Section { align, ..section.clone() }, b"x=1\0").unwrap();
            let place = image.len() + growth.appended.len() - 4;
            assert!(place.is_multiple_of(align.max(1) as usize) && growth.appended.len() < 4 + align.max(1) as usize);
        }
        let endless = Section { align: 1 << 40, ..section };
        assert_eq!(grow(image, &elf, &endless, b"x=1\0").err().unwrap().kind(), ErrorKind::DoesNotFit);
    }
}
