//! The images of `fixtures/kernels/`, each with what it must tell.

use std::path::PathBuf;

use super::*;
use crate::kernel::tree::Export;
use crate::module::elf::{Class, Endian};

const MAX: u64 = 64 << 20;

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/kernels").join(name)).unwrap()
}

fn facts(source: &str, bytes: &[u8], max_size: u64) -> Result<Facts> {
    super::facts(&source.into(), bytes, &WorkBudget::of_file(bytes.len(), max_size))
}

fn looks_like_image(bytes: &[u8]) -> bool {
    super::looks_like_image(bytes, &WorkBudget::of_file(bytes.len(), MAX))
}

fn facts_of(name: &str) -> Facts {
    facts(name, &bytes(name), MAX).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn export(facts: &Facts, name: &str) -> Export {
    facts.exports.as_ref().unwrap().value.symbols.get(name).unwrap().clone()
}

#[test]
fn a_vmlinux_tells_its_version_machine_configuration_and_messages() {
    let facts = facts_of("vmlinux-amd64");
    assert_eq!(facts.release.unwrap().value, "6.1.0-1-kmodlab");
    let banner = "Linux version 6.1.0-1-kmodlab (us@kmodlab) (gcc 12.2.0) #1 SMP PREEMPT_DYNAMIC 2026-01-01";
    assert_eq!(facts.banner.unwrap().value, banner, "not the one without a build number");
    let vermagic = facts.vermagic.unwrap();
    assert_eq!(vermagic.value.as_bytes(), b"6.1.0-1-kmodlab SMP preempt mod_unload modversions ");
    assert_eq!(vermagic.source.to_string(), "vmlinux-amd64");
    assert_eq!(facts.machine.unwrap().value, Machine { class: Class::Elf64, endian: Endian::Little, number: 62 });
    let config = facts.config.unwrap().value;
    assert_eq!(config.get("LOCALVERSION").map(String::as_str), Some("-kmodlab"));
    assert_eq!(config.get("MODULE_SIG_FORCE"), None);
    let messages: Vec<_> = facts.messages.unwrap().value.into_iter().collect();
    assert_eq!(messages, ["%s: %s: kernel tainted.", "disagrees about version of symbol"]);
}

#[test]
fn each_layout_of_the_tables_gives_the_same_exports() {
    let relative = facts_of("vmlinux-amd64");
    assert!(relative.exports.as_ref().unwrap().value.complete);
    assert_eq!(relative.exports.as_ref().unwrap().value.symbols.len(), 6);
    assert_eq!(relative.exports.as_ref().unwrap().source.to_string(), "vmlinux-amd64 (its __ksymtab)");
    let dma_buf_get = export(&relative, "dma_buf_get");
    assert_eq!((dma_buf_get.gpl_only, dma_buf_get.namespace.as_deref()), (Some(true), Some("DMA_BUF")));
    assert_eq!(export(&relative, "kmodlab_asm").namespace.as_deref(), Some(""), "a namespace that is not even empty");
    for name in ["vmlinux-i386-4.4", "vmlinux-ppc64-4.4", "vmlinux-s390x-5.10", "vmlinux-amd64-7.2"] {
        let facts = facts_of(name);
        for (symbol, known) in &relative.exports.as_ref().unwrap().value.symbols {
            let other = export(&facts, symbol);
            assert_eq!(other.gpl_only, known.gpl_only, "{name}: {symbol}");
            let without = if name.contains("4.4") { Some("") } else { known.namespace.as_deref() };
            assert_eq!(other.namespace.as_deref(), without, "{name}: {symbol}");
            let crc = if name == "vmlinux-amd64-7.2" { None } else { known.crc };
            assert_eq!(other.crc, crc, "{name}: {symbol}");
        }
    }
}

#[test]
fn a_table_that_can_not_be_read_whole_gives_no_exports_at_all() {
    let whole = bytes("vmlinux-amd64");
    let Ok(vmlinux) = Vmlinux::read(&whole) else { panic!("it is one") };
    let table = vmlinux.section("__ksymtab_gpl").unwrap().bytes;
    let at = table.as_ptr() as usize - whole.as_ptr() as usize;
    let mut lying = whole.clone();
    // The name of the first entry of the second table now lies far away.
    lying.splice(at + 4..at + 8, [0, 0, 0, 0x40]);
    let facts = facts("lying", &lying, MAX).unwrap();
    assert_eq!(facts.exports, None);
    assert!(facts.vermagic.is_some());
}

#[test]
fn however_it_is_packed_the_facts_are_the_same() {
    let plain = serde_json::to_value(facts("image", &bytes("vmlinux-amd64"), MAX).unwrap()).unwrap();
    for name in ["gzip", "bzip2", "lzma", "xz", "lzo", "lz4", "zstd", "2.07"] {
        let packed = facts("image", &bytes(&format!("bzImage-{name}")), MAX);
        let packed = packed.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(serde_json::to_value(packed).unwrap(), plain, "{name}");
    }
}

#[test]
fn an_image_without_sections_tells_its_machine_by_its_header() {
    let arm64 = Machine { class: Class::Elf64, endian: Endian::Little, number: 183 };
    let arm = Machine { class: Class::Elf32, endian: Endian::Little, number: 40 };
    let s390 = Machine { class: Class::Elf64, endian: Endian::Big, number: 22 };
    for (name, machine) in [
        ("Image-arm64", arm64),
        ("Image-arm64.gz", arm64),
        ("zboot-arm64", arm64),
        ("zImage-arm", arm),
        ("uImage-arm", arm),
        ("bzImage-s390x", s390),
        ("fit-arm64.itb", arm64),
    ] {
        let facts = facts_of(name);
        assert_eq!(facts.machine.unwrap().value, machine, "{name}");
        assert_eq!(facts.release.unwrap().value, "6.1.0-1-kmodlab", "{name}");
        assert_eq!(facts.exports, None);
    }
}

#[test]
fn an_elf_file_that_unpacks_a_kernel_tells_the_kernels_facts_and_its_own_machine() {
    let facts = facts_of("vmlinuz-mips-5.10");
    let mips = Machine { class: Class::Elf32, endian: Endian::Big, number: 8 };
    assert_eq!((facts.release.unwrap().value.as_str(), facts.machine.unwrap().value), ("5.10.1-kmodlab", mips));
    assert_eq!(facts.exports.unwrap().value.symbols.len(), 46);
}

#[test]
fn a_boot_image_of_android_tells_the_facts_of_its_kernel() {
    let put = |image: &mut [u8], at: usize, number: u32| image[at..at + 4].copy_from_slice(&number.to_le_bytes());
    for (version, page) in [(0, 2048), (2, 4096), (3, 4096), (4, 4096)] {
        for kernel in [bytes("Image-arm64-6.1"), [bytes("Image-arm64.gz"), b"\xd0\x0d\xfe\xed".to_vec()].concat()] {
            let mut image = vec![0; page];
            image[..8].copy_from_slice(b"ANDROID!");
            put(&mut image, 8, u32::try_from(kernel.len()).unwrap());
            if version < 3 {
                put(&mut image, 36, u32::try_from(page).unwrap());
            }
            put(&mut image, 40, version);
            image.extend(&kernel);
            image.extend([b'R'; 5000]);
            assert!(looks_like_image(&image));
            assert_eq!(facts("boot.img", &image, MAX).unwrap().release.unwrap().value, "6.1.0-1-kmodlab");
            let error = facts("boot.img", &image[..page + 100], MAX).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Truncated, "version {version}: {error}");
        }
    }
}

/// A `uImage`: its type, U-Boot's number of the architecture, how it is packed, and what is in it.
fn uimage(kind: u8, architecture: u8, packing: u8, inside: &[u8]) -> Vec<u8> {
    let mut image = vec![0; 64];
    image[..4].copy_from_slice(&0x2705_1956_u32.to_be_bytes());
    image[12..16].copy_from_slice(&u32::try_from(inside.len()).unwrap().to_be_bytes());
    image[28..32].copy_from_slice(&[5, architecture, kind, packing]);
    [image.as_slice(), inside].concat()
}

#[test]
fn a_uimage_that_openwrt_packs_with_lzma_is_read_and_its_header_tells_the_architecture() {
    let whole = bytes("uImage-mips-lzma");
    assert_eq!(whole[64], 0x6d, "lc=1, lp=2, pb=2");
    for image in [whole.clone(), uimage(2, 5, 3, &whole[64..]), uimage(14, 5, 0, &whole), uimage(1, 5, 0, &whole[64..])]
    {
        let facts = facts("uImage", &image, MAX).unwrap();
        assert_eq!(facts.release.unwrap().value, "6.1.0-1-kmodlab");
        assert_eq!(facts.machine, None);
        let known = facts.architecture.unwrap();
        assert_eq!(
            (known.value.to_string().as_str(), known.source.to_string().as_str()),
            ("mips", "uImage (its boot loader's header)")
        );
    }
    // The stream alone, as the loader of some devices has it.
    assert!(looks_like_image(&whole[64..]));
    let facts = facts("kernel.bin", &whole[64..], MAX).unwrap();
    assert_eq!((facts.release.unwrap().value.as_str(), facts.architecture), ("6.1.0-1-kmodlab", None));
}

#[test]
fn of_several_files_in_a_uimage_the_first_is_the_kernel() {
    let kernel = bytes("Image-arm64.gz");
    let sizes: Vec<u8> =
        [u32::try_from(kernel.len()).unwrap(), 5000, 0].iter().flat_map(|size| size.to_be_bytes()).collect();
    let image = uimage(4, 22, 0, &[sizes.as_slice(), &kernel, &[b'R'; 5000]].concat());
    assert_eq!(facts("multi", &image, MAX).unwrap().release.unwrap().value, "6.1.0-1-kmodlab");
    for sizes in [&sizes[..8], &[0xff; 16], &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]] {
        assert_eq!(facts("multi", &uimage(4, 22, 0, sizes), MAX).unwrap_err().kind(), ErrorKind::Truncated);
    }
}

#[test]
fn a_uimage_of_another_type_or_cut_is_refused_in_words() {
    let say = |image: &[u8]| facts("uImage", image, MAX).unwrap_err();
    assert_eq!(say(&uimage(3, 5, 0, b"ramdisk")).what(), "a U-Boot image of type 3: it contains a ramdisk");
    assert_eq!(say(&uimage(8, 5, 0, b"dtb")).kind(), ErrorKind::NotFound);
    let mut lying = uimage(2, 5, 0, b"kernel");
    lying[12..16].copy_from_slice(&[0xff; 4]);
    assert_eq!(say(&lying).what(), "its U-Boot header has 4294967295 bytes, but 6 follow");
    assert_eq!(say(&bytes("uImage-mips-lzma")[..63]).kind(), ErrorKind::Truncated);
}

#[test]
fn of_a_fit_image_the_kernel_of_the_default_configuration_counts() {
    let facts = facts_of("fit-mips-lzma.itb");
    assert_eq!(facts.release.unwrap().value, "6.1.0-1-kmodlab");
    assert_eq!(facts.architecture.unwrap().value.to_string(), "mips");
    assert_eq!((facts.machine, facts.exports), (None, None));
}

#[test]
fn a_fit_image_that_does_not_say_which_kernel_or_has_none_is_refused_in_words() {
    let put = |from: &[u8], to: &[u8]| {
        let mut image = bytes("fit-mips-lzma.itb");
        while let Some(at) = memchr::memmem::find(&image, from) {
            image[at..at + to.len()].copy_from_slice(to);
        }
        facts("fit", &image, MAX).unwrap_err()
    };
    let error = put(b"default\0", b"defxult\0");
    assert_eq!(error.kind(), ErrorKind::Ambiguous);
    assert_eq!(error.what(), "2 kernels in the FIT image, and no default configuration");
    assert!(error.next_step().unwrap().starts_with("dumpimage -l FILE lists them"));
    assert_eq!(put(b"images\0", b"imagxs\0").what(), "a device tree, not a FIT image: it has no kernel");
    let error = put(b"data-offset\0", b"data-offsxt\0");
    assert_eq!(error.what(), "the kernel in the FIT image is beyond the end: is it cut short?");
}

#[test]
fn each_number_of_a_fit_image_may_lie() {
    let whole = bytes("fit-mips-lzma.itb");
    let mut refused = 0;
    for at in (0..whole.len() - 4).step_by(4) {
        for number in [0_u32, 1, 2, 3, 9, 0x7fff_ffff, 0xffff_fffc, 0xffff_ffff] {
            let mut lying = whole.clone();
            lying[at..at + 4].copy_from_slice(&number.to_be_bytes());
            refused += usize::from(facts("fit", &lying, MAX).is_err());
        }
    }
    assert!(refused > 500, "{refused}");
}

#[test]
fn lz4_as_u_boot_wants_it_is_read_whatever_follows() {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    std::io::Write::write_all(&mut encoder, &bytes("Image-arm64")).unwrap();
    let packed = encoder.finish().unwrap();
    for after in [b"".as_slice(), b"\xd0\x0d\xfe\xed and a device tree"] {
        let image = uimage(2, 22, 5, &[packed.as_slice(), after].concat());
        assert_eq!(facts("uImage", &image, MAX).unwrap().release.unwrap().value, "6.1.0-1-kmodlab");
    }
    let error = facts("uImage", &uimage(2, 22, 5, &packed[..packed.len() / 2]), MAX).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Truncated | ErrorKind::Malformed), "{error}");
}

#[test]
fn a_uki_tells_the_facts_of_the_kernel_in_its_section() {
    let whole = bytes("uki-amd64.efi");
    let facts_of_uki = serde_json::to_value(facts("image", &whole, MAX).unwrap()).unwrap();
    assert_eq!(facts_of_uki, serde_json::to_value(facts("image", &bytes("bzImage-xz"), MAX).unwrap()).unwrap());
    // Its size and its place lie.
    let at = memchr::memmem::find(&whole, b".linux\0").unwrap();
    for field in [at + 8, at + 16, at + 20] {
        let mut lying = whole.clone();
        lying[field..field + 4].copy_from_slice(&[0xff; 4]);
        let read = facts("uki", &lying, MAX).map(|facts| facts.release.unwrap().value);
        assert!(read.as_ref().is_err_and(|error| error.kind() == ErrorKind::Truncated) || read.is_ok(), "{read:?}");
    }
    let mut without = whole.clone();
    without[at + 1] = b'L';
    assert!(!looks_like_image(&without), "an EFI program");
}

#[test]
fn a_flat_kernel_without_a_header_is_known_by_its_version_line() {
    let file = bytes("vmlinuz-mips-5.10");
    let Ok(container::Opened { bytes, .. }) = container::open(&file, &WorkBudget::new(MAX)) else {
        panic!("it is one")
    };
    assert!(looks_like_image(&bytes));
    let facts = facts("vmlinux.bin", &bytes, MAX).unwrap();
    assert_eq!((facts.release.unwrap().value.as_str(), facts.machine), ("5.10.1-kmodlab", None));
    assert_eq!(facts.exports.unwrap().value.symbols.len(), 46, "each form is tried");
    assert!(!looks_like_image(b"[    0.000000] Linux version 6.1.0 (us@kmodlab) #1 SMP\n"), "a log is none");
}

#[test]
fn an_image_is_distinguished_from_a_module() {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let is_image = |path: PathBuf| looks_like_image(&std::fs::read(path).unwrap());
    let all = |folder: &str| std::fs::read_dir(fixtures.join(folder)).unwrap().map(|entry| entry.unwrap().path());
    assert!(all("kernels").all(is_image));
    assert!(!all("modules").any(is_image));
}

#[test]
fn what_is_inside_has_a_limit() {
    let error = facts("image", &bytes("bzImage-zstd"), 1000).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    let error = facts("image", &bytes("Image-arm64.gz"), 100).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
}
