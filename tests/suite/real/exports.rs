//! Promise: the exports read from an image are all that the kernel has, with the CRCs, licences and namespaces that its build
//! recorded. They are compared with `Module.symvers` of the headers package and with the imports of the kernel's own modules, each
//! of which is read once here, also for [`own`](super::own).
//!
//! Every kernel with packages in target/real/deb is compared; `tests/real/fetch --all` fetches eight architectures.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use kmodlab::budget::WorkBudget;
use kmodlab::kernel::package;
use kmodlab::kernel::{self, Export, Exports, Kernel, Lookup};
use kmodlab::module::Module;
use kmodlab::module::container::{Container, DEFAULT_MAX_SIZE};
use kmodlab::vermagic::Vermagic;

use crate::real::own::{Tally, assert_passing};
use crate::real::{alone, fetched, on_all_cores, run};

/// Kernels that must exist: those that `tests/real/fetch` fetches without `--all`.
const REQUIRED: [&str; 13] = [
    "amd64-5.10-cloud",
    "amd64-6.1",
    "amd64-6.1-cloud",
    "amd64-6.1-cloud-old",
    "amd64-6.1-rt",
    "amd64-6.12",
    "amd64-7.2",
    "amd64-7.2-cloud",
    "amd64-7.2-rt",
    "amd64-7.3-cloud",
    "arm64-6.12",
    "i386-5.10",
    "s390x-6.12",
];

/// The packages of a kernel.
struct Packages {
    name: String,
    files: Vec<PathBuf>,
}

impl Packages {
    /// The packages whose names begin with one of these words.
    fn of(&self, words: &[&str]) -> Vec<&Path> {
        let starts = |file: &&PathBuf| {
            let name = file.file_name().unwrap().to_string_lossy();
            words.iter().any(|word| name.starts_with(word))
        };
        self.files.iter().filter(starts).map(PathBuf::as_path).collect()
    }

    /// The bytes of the first file in each package that matches a pattern of tar, which then reads no further.
    fn member(&self, words: &[&str], pattern: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for package in self.of(words) {
            let line = r#"dpkg-deb --fsys-tarfile "$1" | tar -xO --occurrence=1 --wildcards "$2" 2>/dev/null"#;
            bytes.extend(
                run("sh", ["-c".as_ref(), line.as_ref(), "sh".as_ref(), package.as_os_str(), pattern.as_ref()]).stdout,
            );
        }
        bytes
    }

    /// The exports and the version magic of the image, without the modules in the same package.
    fn exports_of_image(&self) -> (Exports, Vermagic) {
        let words = ["linux-image", "linux-binary"];
        let mut image = self.member(&words, "./boot/vmlinu*");
        if image.is_empty() {
            image = self.member(&words, "./usr/lib/modules/*/vmlinu*");
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("vmlinuz");
        std::fs::write(&file, image).unwrap();
        let kernel = kernel::named(file.as_os_str(), &Lookup::default())
            .unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let exports = kernel.facts.exports.unwrap_or_else(|| panic!("{}: no exports in its image", self.name));
        assert!(exports.value.complete, "{}", self.name);
        (exports.value, kernel.vermagic.unwrap_or_else(|| panic!("{}: no version magic", self.name)).value)
    }

    /// `Module.symvers` of the headers package: the image's exports by name, and the names of the modules'.
    fn symvers(&self) -> (HashMap<String, Export>, BTreeSet<String>) {
        let text = String::from_utf8(self.member(&["linux-headers"], "*/Module.symvers")).unwrap();
        assert!(!text.is_empty(), "{} has no Module.symvers: run tests/real/fetch {}", self.name, self.name);
        let (mut image, mut modules) = (HashMap::new(), BTreeSet::new());
        for line in text.lines() {
            let [crc, name, owner, kind, namespace] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{}: {line}", self.name)
            };
            if owner != "vmlinux" {
                modules.insert(name.to_owned());
                continue;
            }
            // Without CONFIG_MODVERSIONS all CRCs are 0.
            let crc = u32::from_str_radix(crc.strip_prefix("0x").unwrap(), 16).unwrap();
            let export = Export {
                crc: Some(crc),
                gpl_only: Some(kind == "EXPORT_SYMBOL_GPL"),
                namespace: Some(namespace.to_owned()),
            };
            image.insert(name.to_owned(), export);
        }
        if image.values().all(|export| export.crc == Some(0)) {
            image.values_mut().for_each(|export| export.crc = None);
        }
        (image, modules)
    }

    /// The kernel as the program reads it: image and modules. It is read once for all tests.
    fn read(&self) -> Kernel {
        let files = self.of(&["linux-image", "linux-binary", "linux-modules"]);
        let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        kernel::named(names.join("+").as_ref(), &fetched::LOOKUP)
            .unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// Reads each module once: all have this version magic and agree in the CRC of each symbol. `each` gets the bytes of
    /// each, unpacked.
    fn imports(&self, vermagic: &Vermagic, mut each: impl FnMut(&[u8], &Module)) -> Imports {
        let mut imports = Imports::default();
        for package in self.of(&["linux-image", "linux-modules"]) {
            let each = |path: String, stored: Vec<u8>| {
                let bytes = Container::of(&stored).decompress(&stored, DEFAULT_MAX_SIZE)?;
                let module = Module::read(&bytes)?;
                assert_eq!(module.vermagic().as_ref(), Some(vermagic), "{}: {path}", self.name);
                for (name, crc) in module.versions.by_symbol() {
                    let name = String::from_utf8(name.to_vec()).unwrap();
                    let crc = u32::try_from(crc).unwrap();
                    assert_eq!(*imports.crcs.entry(name).or_insert(crc), crc, "{}: {path}", self.name);
                }
                imports.modules += 1;
                each(&bytes, &module);
                Ok(())
            };
            package::each_module(package, &WorkBudget::new(DEFAULT_MAX_SIZE), each).unwrap();
        }
        imports
    }
}

/// What the modules of a kernel say.
#[derive(Default)]
struct Imports {
    /// The number of modules.
    modules: usize,
    /// The CRC of each symbol that a module imports; empty if modules contain no CRCs.
    crcs: HashMap<String, u32>,
}

fn all() -> Vec<Packages> {
    let entries =
        std::fs::read_dir(fetched::top().join("deb")).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = entries.filter(|folder| folder.join(".complete").is_file()).collect();
    folders.sort();
    let packages = |folder: PathBuf| {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = files.filter(|file| file.extension().is_some_and(|end| end == "deb")).collect();
        // The image's package comes before that of the modules.
        files.sort();
        Packages { name, files }
    };
    folders.into_iter().map(packages).collect()
}

#[test]
#[ignore = "needs the packages that tests/real/fetch fetches"]
fn each_kernel_says_what_its_build_recorded_and_refuses_none_of_its_modules() {
    let _alone = alone();
    let kernels = all();
    REQUIRED.into_iter().for_each(|name| drop(fetched::folder(name)));
    let tallies = on_all_cores(&kernels, |packages| {
        let name = &packages.name;
        let (exports, vermagic) = packages.exports_of_image();
        let kernel = packages.read();
        let mut tally = Tally::default();
        let imports = packages.imports(&vermagic, |bytes, module| tally.look(&kernel, bytes, module));
        are_those_of_the_image(&kernel, &exports, &vermagic, imports.modules);
        are_recorded(name, &exports.symbols, &packages.symvers(), &imports.crcs);
        have_the_crcs_of_their_exporters(&kernel, &imports.crcs);
        tally.print(name);
        tally
    });
    assert_passing(&tallies);
}

/// What was read from the packages is what the image alone says, and nothing that was only derived from the modules.
fn are_those_of_the_image(kernel: &Kernel, exports: &Exports, vermagic: &Vermagic, modules: usize) {
    let name = &kernel.name;
    let read = kernel.vermagic.as_ref().unwrap();
    assert!(read.value == *vermagic && read.source.to_string().contains("vmlinu"), "{name}: {}", read.source);
    let read = kernel.facts.exports.as_ref().unwrap();
    assert!(read.value.complete && !read.source.to_string().contains(" import"), "{name}: {}", read.source);
    assert!(read.value.symbols == exports.symbols, "{name}");
    assert_eq!(kernel.facts.tree.as_ref().unwrap().value.modules.len(), modules, "{name}");
}

/// The image's exports are those that its build recorded, with the CRCs that its modules import.
fn are_recorded(
    name: &str,
    exports: &HashMap<String, Export>,
    (symvers, of_modules): &(HashMap<String, Export>, BTreeSet<String>),
    imports: &HashMap<String, u32>,
) {
    let same = symvers.iter().filter(|(symbol, export)| exports.get(*symbol) == Some(export)).count();
    // Modules of a kernel without symbol versions contain no CRC.
    assert!(imports.is_empty() || exports.values().any(|export| export.crc.is_some()), "{name}");
    let nobodys: Vec<_> =
        imports.keys().filter(|symbol| !exports.contains_key(*symbol) && !of_modules.contains(*symbol)).collect();
    let of_image: Vec<_> = imports.iter().filter_map(|(symbol, crc)| Some((exports.get(symbol)?.crc, crc))).collect();
    let equal = of_image.iter().filter(|(ours, crc)| *ours == Some(**crc)).count();
    println!(
        "{name:<20} {same} of {} exports as in Module.symvers, {} more; {equal} of {} CRCs as modules import them",
        symvers.len(),
        exports.keys().filter(|symbol| !symvers.contains_key(*symbol)).count(),
        of_image.len(),
    );
    let differing: Vec<_> = symvers.iter().filter(|(symbol, export)| exports.get(*symbol) != Some(export)).collect();
    assert!(differing.is_empty(), "{name}: {:?}", &differing[..differing.len().min(5)]);
    assert_eq!(exports.len(), symvers.len(), "{name}");
    assert_eq!(equal, of_image.len(), "{name}");
    assert_eq!(nobodys, [] as [&String; 0], "{name}");
}

/// What modules import from other modules has the CRCs with which those export it.
fn have_the_crcs_of_their_exporters(kernel: &Kernel, imports: &HashMap<String, u32>) {
    let image = &kernel.facts.exports.as_ref().unwrap().value.symbols;
    let tree = &kernel.facts.tree.as_ref().unwrap().value;
    let exported = tree.modules.iter().flat_map(|module| &module.exports);
    let exported: HashMap<&str, Option<u32>> = exported.map(|(name, export)| (name.as_ref(), export.crc)).collect();
    let of_modules = imports.iter().filter(|(symbol, _)| !image.contains_key(*symbol));
    let other: Vec<_> = of_modules.filter(|(name, crc)| exported.get(name.as_str()) != Some(&Some(**crc))).collect();
    assert!(other.is_empty(), "{}: {:?}", kernel.name, &other[..other.len().min(10)]);
}
