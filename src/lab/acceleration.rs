//! Does the processor's own virtualisation work, or is the guest translated?
//!
//! `/dev/kvm` can lie: it opens, and then the guest hangs, or QEMU gives up. So it is believed only after a guest came
//! up on it: no byte on the serial port within five seconds, and the guest is started anew with TCG, QEMU's translator.
//! What was found is remembered for this machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::kernel::CacheFolder;

/// How QEMU runs a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Acceleration {
    /// On the processor, by the kernel's virtual machine.
    Kvm,
    /// By translation: slower, and always there.
    Tcg,
}

impl Acceleration {
    /// Its name for QEMU's `-accel`.
    pub fn name(self) -> &'static str {
        match self {
            Acceleration::Kvm => "kvm",
            Acceleration::Tcg => "tcg",
        }
    }
}

/// How long a guest on KVM may take to its first byte on the console.
pub const FIRST_BYTE: Duration = Duration::from_secs(5);

/// The file in the cache folder in which it is remembered.
const FILE: &str = "acceleration";

/// What is remembered, and of which machine.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CachedAcceleration {
    machine: String,
    acceleration: Acceleration,
}

/// What is known of this machine, in the cache folder.
#[derive(Clone, Debug)]
pub struct AccelerationCache {
    folder: Option<PathBuf>,
    machine: String,
}

impl AccelerationCache {
    /// This machine's, in this folder; without a folder nothing is remembered.
    pub fn here(folder: Option<PathBuf>) -> AccelerationCache {
        // Another kernel or processor may do better.
        let system = rustix::system::uname();
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpu.lines().find(|line| line.starts_with("model name")).unwrap_or_default();
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        AccelerationCache { folder, machine: format!("{} {} {cpu}", text(system.release()), text(system.version())) }
    }

    /// What was found before.
    pub fn recall(&self) -> Option<Acceleration> {
        let text = CacheFolder::open(self.folder.as_ref()?)?.read(FILE)?;
        let remembered: CachedAcceleration = serde_json::from_slice(&text).ok()?;
        (remembered.machine == self.machine).then_some(remembered.acceleration)
    }

    /// Remembers it. That it can't be remembered costs time, and is no error.
    pub fn remember(&self, acceleration: Acceleration) {
        let Some(folder) = &self.folder else { return };
        let remembered = CachedAcceleration { machine: self.machine.clone(), acceleration };
        if let Ok(text) = serde_json::to_vec(&remembered) {
            let _ = CacheFolder::make(folder).and_then(|folder| folder.write(FILE, &[&text]));
        }
    }
}

/// Can /dev/kvm be opened? That it works is another matter.
pub fn kvm_opens() -> bool {
    std::fs::File::options().read(true).write(true).open(Path::new("/dev/kvm")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_remembered_for_this_machine_alone() {
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
