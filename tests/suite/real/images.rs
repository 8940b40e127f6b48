//! Promise: the image of a real kernel shows its release, its version magic, its exports, and the messages of its loader.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kmodlab::kernel::{self, Kernel, Lookup};
use kmodlab::module::{self, container::DEFAULT_MAX_SIZE};

use crate::real::{alone, collect, fetched, run};
use crate::support::facts::Facts;
use crate::support::fetched::LOOKUP;

/// A package's files, in a folder.
pub(super) struct Package(PathBuf);

/// The folder into which `tests/real/fetch` unpacked a package, or else a folder below Cargo's folder for tests, where it is
/// kept.
pub(super) fn package(name: &str) -> Package {
    let archives = fetched::packages(name);
    if fetched::top().join(name).is_dir() {
        return Package(fetched::top().join(name));
    }
    // The name of the first package contains the version, so that an older one is not used by mistake.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(archives[0].file_stem().unwrap());
    if !folder.is_dir() {
        let part = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        for archive in archives {
            let unpack = run("dpkg", [Path::new("-x"), &archive, part.path()]);
            assert!(unpack.status.success(), "{unpack:?}");
        }
        std::fs::rename(part.keep(), &folder).unwrap();
    }
    Package(folder)
}

impl Package {
    /// The only image in it.
    pub(super) fn image(&self) -> PathBuf {
        let places =
            ["boot".to_owned()].into_iter().chain(self.releases().into_iter().map(|r| format!("usr/lib/modules/{r}")));
        let folders = places.map(|place| self.0.join(place)).filter(|folder| folder.is_dir());
        let files = folders.flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
        let mut images = files.filter(|file| file.file_name().unwrap().to_string_lossy().starts_with("vmlinuz"));
        let image = images.next().unwrap();
        assert_eq!(images.next(), None);
        image
    }

    fn releases(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.0.join("usr/lib/modules")) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    pub(super) fn modules(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        collect(&self.0, &mut found);
        found.sort();
        assert!(found.len() > 100, "{} has only {} modules", self.0.display(), found.len());
        found
    }

    /// What the image shows; it is read once for all tests.
    pub(super) fn kernel(&self) -> Kernel {
        kernel::named(self.image().as_os_str(), &LOOKUP).unwrap()
    }
}

/// Packages whose images have section headers.
const WITH_TABLES: [&str; 7] =
    ["i386-5.10", "amd64-5.10-cloud", "amd64-6.1", "amd64-6.1-cloud", "amd64-6.1-rt", "amd64-6.12", "amd64-7.2"];

/// A namespace and its only user are picked; everything else follows from the tables.
#[test]
#[ignore = "needs the packages that tests/real/fetch fetches"]
fn licences_and_namespaces_are_those_of_the_sources() {
    let _alone = alone();
    let known = |name: &str, symbol: &str| {
        let export = package(name).kernel().facts.exports.unwrap().value.symbols.remove(symbol).unwrap();
        (export.gpl_only.unwrap(), export.namespace.unwrap())
    };
    // kernel/dma/mapping.c, drivers/dma-buf/dma-buf.c, kernel/printk/printk.c, arch/x86/lib/memcpy_64.S
    assert_eq!(known("amd64-6.1", "dma_alloc_attrs"), (false, String::new()));
    assert_eq!(known("amd64-6.1", "dma_buf_get"), (true, "DMA_BUF".to_owned()));
    assert_eq!(known("amd64-7.2", "dma_buf_get"), (true, "DMA_BUF".to_owned()));
    assert_eq!(known("amd64-7.2", "_printk"), (false, String::new()));
    assert_eq!(known("amd64-6.1", "memcpy"), (false, String::new()));
}

/// arm64: flat and uncompressed. s390x: big-endian, compressed at an offset that no header contains.
#[test]
#[ignore = "needs the packages that tests/real/fetch fetches"]
fn an_image_without_sections_yields_its_messages() {
    let _alone = alone();
    for name in ["arm64-6.12", "s390x-6.12"] {
        let package = package(name);
        let kernel = package.kernel();
        let modules = package.modules();
        let module = module::open_unhashed(&modules[0], DEFAULT_MAX_SIZE).unwrap();
        assert_eq!(kernel.vermagic.map(|known| known.value), module.vermagic());
        assert_eq!(kernel.facts.machine.unwrap().value, kernel::Machine::of(&module));
        let btf = kernel.facts.btf.unwrap().value;
        assert!(btf.len() > 3 << 20, "{name}: {} bytes of BTF", btf.len());
        let layout = kernel.facts.layout.unwrap().value;
        assert!(layout.iter().any(|member| member.name == "init_layout" || member.name == "init"), "{name}");
        assert_eq!(kernel.facts.fingerprint.unwrap().value, module.this_module.unwrap().fingerprint, "{name}");
        assert!(kernel.facts.exports.unwrap().value.complete, "{name}");
    }
}

/// Each message with the kernels that can print it, as a table: the source of the corresponding part of ARCHITECTURE.md.
#[test]
#[ignore = "needs the packages that tests/real/fetch fetches"]
fn each_kernel_has_the_messages_of_its_version() {
    let _alone = alone();
    let mut table: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut builds = Vec::new();
    for name in WITH_TABLES.into_iter().chain(["arm64-6.12"]) {
        let build = Facts::of(name);
        for message in &build.kernel.facts.messages.as_ref().unwrap().value {
            table.entry(message.clone()).or_default().push(name);
        }
        builds.push((name, build));
    }
    for (message, kernels) in &table {
        println!("{message:<72} {}", kernels.join(" "));
    }
    for (message, is_expected) in TOLD_BY {
        for (name, build) in &builds {
            let has = table.get(message).is_some_and(|names| names.contains(name));
            if let Some(expected) = is_expected(build) {
                assert_eq!(has, expected, "{name}, {:?}: {message}", build.version());
            }
        }
    }
}

/// Does this kernel have the message? `None` if it depends on a stable release, which the two numbers do not show.
type IsExpected = fn(&Facts) -> Option<bool>;

const TOLD_BY: [(&str, IsExpected); 7] = [
    ("bad vermagic", |_| Some(true)),
    // 5.10 printed one line until a certain stable release; 5.12 to 5.15 were not read (kernel/module.c).
    ("Module has invalid ELF structures", |build| (build.version() >= (5, 16)).then_some(false)),
    ("no flags for exported symbols", |build| Some(build.version() >= (7, 1))),
    // Since 6.3, so that 6.1 tolerates a mismatch without a line (kernel/bpf/btf.c).
    ("Kernel module BTF mismatch detected", |build| {
        Some(build.version() >= (6, 3) && build.is_set("MODULE_ALLOW_BTF_MISMATCH"))
    }),
    // If the image has neither of the two, SHA-512 is a module (CONFIG_CRYPTO_SHA512=m). The library took over in 6.16.
    ("sha512-generic", |build| Some(build.version() < (6, 16) && build.is_set("CRYPTO_SHA512"))),
    ("sha512-lib", |build| Some(build.version() >= (6, 16) && build.is_set("CRYPTO_SHA512"))),
    // Worded differently since 6.5; i386 does not check (arch/x86/kernel/module.c).
    ("Skipping invalid relocation target", |build| {
        Some(build.is_of(object::elf::EM_X86_64.0) && build.version() < (6, 5))
    }),
];

/// How the kernel's build compresses (scripts/Makefile.lib, scripts/xz_wrap.sh), and whether it appends the size. It uses slower
/// levels; what a decoder notices of them is the size of dictionary and window, which is the same here.
const PACKERS: [(&str, &str, bool); 7] = [
    ("gzip", "gzip -n -9", false),
    ("bzip2", "bzip2 -9", true),
    ("lzma", "xz --format=lzma --lzma1=preset=0,dict=64MiB", true),
    ("xz", "xz --check=crc32 --x86 --lzma2=preset=0,dict=32MiB", true),
    ("lzo", "lzop -9", true),
    ("lz4", "lz4 -l -9 - -", true),
    ("zstd", "zstd -3 --zstd=wlog=27", true),
];

#[test]
#[ignore = "needs the packages that tests/real/fetch fetches, and each packer"]
fn an_image_yields_the_same_facts_however_it_is_compressed() {
    let _alone = alone();
    let image = package("i386-5.10").image();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let bytes = std::fs::read(&image).unwrap();
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let start = (usize::from(bytes[0x1f1]) + 1) * 512 + number(0x248);
    // Debian compresses this one with xz, followed by the size.
    std::fs::write(at("packed"), &bytes[start..start + number(0x24c) - 4]).unwrap();
    let shell = |line: &str| {
        let done = run("sh", ["-c", &format!("cd '{}' && {line}", folder.path().display())]);
        assert!(done.status.success(), "{line}: {done:?}");
    };
    shell("xz -dc <packed >vmlinux");
    let size = u32::try_from(std::fs::metadata(at("vmlinux")).unwrap().len()).unwrap();

    let facts = |path: &Path| {
        let mut kernel = kernel::named(path.as_os_str(), &Lookup::default()).unwrap();
        let exports = kernel.facts.exports.take().unwrap().value;
        (
            exports,
            kernel.vermagic.unwrap().value,
            kernel.facts.banner.unwrap().value,
            kernel.facts.messages.unwrap().value,
        )
    };
    let plain = facts(&at("vmlinux"));
    assert!(plain == facts(&image));
    for (name, command, appends) in PACKERS {
        shell(&format!("{command} <vmlinux >payload"));
        let mut payload = std::fs::read(at("payload")).unwrap();
        if appends {
            payload.extend(size.to_le_bytes());
        }
        let mut packed = bytes[..start].to_vec();
        packed[0x24c..0x250].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        packed.extend(&payload);
        std::fs::write(at("vmlinuz"), &packed).unwrap();
        assert!(facts(&at("vmlinuz")) == plain, "{name}");
        // The facts are also the same if the setup header has no offset, as before boot protocol 2.08.
        packed[0x206] = 7;
        std::fs::write(at("vmlinuz"), &packed).unwrap();
        assert!(facts(&at("vmlinuz")) == plain, "{name}, searched for");
        println!("{name}: {} bytes, the same facts, by the header and by search", payload.len());
    }
}
