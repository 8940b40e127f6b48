//! Hardware acceleration: does KVM work, or is the guest translated?
//!
//! `/dev/kvm` is no proof: it may open, and the guest still hangs, or QEMU fails. So KVM counts as working only after
//! a guest has booted on it. If a guest prints nothing on the serial port within five seconds, it is started again
//! with TCG, QEMU's translator. The result is remembered for this machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::kernel::CacheFolder;

/// How QEMU runs a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Acceleration {
    /// On the processor, with the Linux kernel's KVM.
    Kvm,
    /// Translated: slower, but always available.
    Tcg,
}

impl Acceleration {
    /// Its name in QEMU's `-accel` option.
    pub fn name(self) -> &'static str {
        match self {
            Acceleration::Kvm => "kvm",
            Acceleration::Tcg => "tcg",
        }
    }
}

/// The time limit for the first byte on the console of a guest on KVM.
pub const FIRST_BYTE: Duration = Duration::from_secs(5);

/// The name of the file in the cache folder.
const FILE: &str = "acceleration";

/// The cached result, and the machine that it is about.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CachedAcceleration {
    machine: String,
    acceleration: Acceleration,
}

/// The result for this machine, in the cache folder.
#[derive(Clone, Debug)]
pub struct AccelerationCache {
    folder: Option<PathBuf>,
    machine: String,
}

impl AccelerationCache {
    /// The cache for this machine in this folder. Without a folder nothing is remembered.
    pub fn here(folder: Option<PathBuf>) -> AccelerationCache {
        // With another kernel or processor the result may differ.
        let system = rustix::system::uname();
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpu.lines().find(|line| line.starts_with("model name")).unwrap_or_default();
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        AccelerationCache { folder, machine: format!("{} {} {cpu}", text(system.release()), text(system.version())) }
    }

    /// The result of an earlier run.
    pub fn recall(&self) -> Option<Acceleration> {
        let text = CacheFolder::open(self.folder.as_ref()?)?.read(FILE)?;
        let remembered: CachedAcceleration = serde_json::from_slice(&text).ok()?;
        (remembered.machine == self.machine).then_some(remembered.acceleration)
    }

    /// Remembers the result. A failure only costs time, so it is not an error.
    pub fn remember(&self, acceleration: Acceleration) {
        let Some(folder) = &self.folder else { return };
        let remembered = CachedAcceleration { machine: self.machine.clone(), acceleration };
        if let Ok(text) = serde_json::to_vec(&remembered) {
            let _ = CacheFolder::make(folder).and_then(|folder| folder.write(FILE, &[&text]));
        }
    }
}

/// Can /dev/kvm be opened? It may still not work.
pub fn kvm_opens() -> bool {
    std::fs::File::options().read(true).write(true).open(Path::new("/dev/kvm")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_is_remembered_for_this_machine_only() {
        let folder = tempfile::tempdir().unwrap();
        let memory = AccelerationCache::here(Some(folder.path().join("cache")));
        assert_eq!(memory.recall(), None);
        memory.remember(Acceleration::Tcg);
        assert_eq!(memory.recall(), Some(Acceleration::Tcg));
        let other = AccelerationCache { machine: "another".to_owned(), ..memory };
        assert_eq!(other.recall(), None);
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, elsewhere) = (folder.path().join("cache"), folder.path().join("elsewhere"));
        std::fs::create_dir(&elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &cache).unwrap();
        let memory = AccelerationCache::here(Some(cache));
        memory.remember(Acceleration::Tcg);
        assert_eq!(memory.recall(), None);
        assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0);
    }
}
