//! The kernels that are installed on a machine, at the places where distributions put them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// A kernel that is installed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InstalledKernel {
    /// Its release, from the names of its files.
    pub release: String,
    /// Its image.
    pub image: Option<PathBuf>,
    /// Can the image be read? On some distributions only root can read it.
    pub is_readable: bool,
    /// Its module tree.
    pub modules: Option<PathBuf>,
}

/// The kernels below a root folder, sorted by release: images `boot/vmlinuz-RELEASE`, and folders `lib/modules/RELEASE` or
/// `usr/lib/modules/RELEASE`, which may contain the image.
pub fn installed(root: &Path) -> Vec<InstalledKernel> {
    let mut kernels: BTreeMap<String, InstalledKernel> = BTreeMap::new();
    let mut at = |release: &str, fill: &dyn Fn(&mut InstalledKernel)| {
        let kernel = kernels.entry(release.to_owned()).or_default();
        kernel.release = release.to_owned();
        fill(kernel);
    };
    for path in entries(&root.join("boot")) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if let Some(release) = name.strip_prefix("vmlinuz-").filter(|_| path.is_file()) {
            at(release, &|kernel| kernel.image = Some(path.clone()));
        }
    }
    for home in ["lib/modules", "usr/lib/modules"] {
        for path in entries(&root.join(home)).into_iter().filter(|path| path.is_dir()) {
            let release = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            at(&release, &|kernel| {
                kernel.modules.get_or_insert_with(|| path.clone());
                let image = path.join("vmlinuz");
                if kernel.image.is_none() && image.is_file() {
                    kernel.image = Some(image);
                }
            });
        }
    }
    let mut kernels: Vec<InstalledKernel> = kernels.into_values().collect();
    for kernel in &mut kernels {
        kernel.is_readable = kernel.image.as_ref().is_some_and(|image| std::fs::File::open(image).is_ok());
    }
    kernels
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_and_modules_of_one_release_are_one_kernel() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for folder in ["boot", "lib/modules/6.1.0-47-amd64", "lib/modules/7.2.13-amd64", "usr/lib/modules/6.9-arch1"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        for file in ["boot/vmlinuz-6.1.0-47-amd64", "boot/vmlinuz-5.10.0-46-686", "usr/lib/modules/6.9-arch1/vmlinuz"] {
            std::fs::write(root.join(file), "").unwrap();
        }
        std::fs::write(root.join("boot/config-6.1.0-47-amd64"), "").unwrap();
        let kernels = installed(root);
        let seen: Vec<_> =
            kernels.iter().map(|k| (k.release.as_str(), k.image.is_some(), k.modules.is_some())).collect();
        assert_eq!(
            seen,
            [
                ("5.10.0-46-686", true, false),
                ("6.1.0-47-amd64", true, true),
                ("6.9-arch1", true, true),
                ("7.2.13-amd64", false, true),
            ]
        );
        assert!(kernels.iter().all(|kernel| kernel.is_readable == kernel.image.is_some()));
    }

    #[test]
    fn a_machine_without_kernels_has_none() {
        assert_eq!(installed(&tempfile::tempdir().unwrap().path().join("nowhere")), []);
    }
}
