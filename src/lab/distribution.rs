//! The distribution's packages with the programs that the lab needs, and the command that installs them. Pure.
//!
//! A distribution names itself and its relatives in `/etc/os-release` (os-release(5)).

/// A program from a package of the distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QemuProgram {
    /// QEMU for guests of one machine type, by the name of its program: `qemu-system-x86_64`.
    Qemu(&'static str),
    /// modinfo and related programs, from the kmod project.
    Kmod,
}

/// The known families of distributions: their identifiers, command, and packages.
const FAMILIES: [DistributionFamily; 5] = [
    DistributionFamily {
        ids: &["debian", "ubuntu"],
        command: "apt-get install",
        x86: "qemu-system-x86",
        i386: "qemu-system-x86",
        arm64: "qemu-system-arm",
    },
    DistributionFamily {
        ids: &["fedora", "rhel", "centos"],
        command: "dnf install",
        x86: "qemu-system-x86",
        i386: "qemu-system-x86",
        arm64: "qemu-system-aarch64",
    },
    DistributionFamily {
        ids: &["arch", "archlinux"],
        command: "pacman -S",
        x86: "qemu-system-x86",
        i386: "qemu-system-x86",
        arm64: "qemu-system-aarch64",
    },
    DistributionFamily {
        ids: &["suse", "opensuse", "sles"],
        command: "zypper install",
        x86: "qemu-x86",
        i386: "qemu-x86",
        arm64: "qemu-arm",
    },
    DistributionFamily {
        ids: &["alpine"],
        command: "apk add",
        x86: "qemu-system-x86_64",
        i386: "qemu-system-i386",
        arm64: "qemu-system-aarch64",
    },
];

struct DistributionFamily {
    ids: &'static [&'static str],
    command: &'static str,
    x86: &'static str,
    i386: &'static str,
    arm64: &'static str,
}

impl DistributionFamily {
    fn package(&self, program: QemuProgram) -> Option<&'static str> {
        match program {
            QemuProgram::Kmod => Some("kmod"),
            QemuProgram::Qemu("qemu-system-x86_64") => Some(self.x86),
            QemuProgram::Qemu("qemu-system-i386") => Some(self.i386),
            QemuProgram::Qemu("qemu-system-aarch64") => Some(self.arm64),
            QemuProgram::Qemu(_) => None,
        }
    }
}

/// The command that installs these programs on the distribution with this `/etc/os-release`. `None` if no program is
/// missing, or for an unknown distribution. The command needs root.
pub fn install(os_release: &str, missing: &[QemuProgram]) -> Option<String> {
    let family = family(os_release)?;
    let mut packages: Vec<&str> = Vec::new();
    for package in missing.iter().filter_map(|program| family.package(*program)) {
        if !packages.contains(&package) {
            packages.push(package);
        }
    }
    (!packages.is_empty()).then(|| format!("{} {}", family.command, packages.join(" ")))
}

/// `ID` first, then `ID_LIKE` from the closest to the most distant relative, as ordered in os-release(5).
fn family(os_release: &str) -> Option<&'static DistributionFamily> {
    let value = |key: &str| {
        let lines = os_release.lines().filter_map(|line| line.trim().split_once('='));
        let text = lines.filter(|(name, _)| *name == key).map(|(_, value)| value).next_back();
        text.unwrap_or_default().trim_matches(['"', '\''])
    };
    let names = std::iter::once(value("ID")).chain(value("ID_LIKE").split_whitespace());
    let known = |name: &str| {
        // openSUSE has an identifier per edition: opensuse-leap, opensuse-tumbleweed.
        let stem = name.split('-').next().unwrap_or(name);
        FAMILIES.iter().find(|family| family.ids.contains(&name) || family.ids.contains(&stem))
    };
    names.filter(|name| !name.is_empty()).find_map(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QEMU: QemuProgram = QemuProgram::Qemu("qemu-system-x86_64");

    #[test]
    fn one_command_installs_all() {
        for (os_release, expected) in [
            ("ID=debian\n", "apt-get install qemu-system-x86 kmod"),
            ("NAME=\"Linux Mint\"\nID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", "apt-get install qemu-system-x86 kmod"),
            ("ID=fedora\n", "dnf install qemu-system-x86 kmod"),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", "dnf install qemu-system-x86 kmod"),
            ("ID=arch\n", "pacman -S qemu-system-x86 kmod"),
            ("ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n", "zypper install qemu-x86 kmod"),
            ("ID=alpine\n", "apk add qemu-system-x86_64 kmod"),
        ] {
            assert_eq!(install(os_release, &[QEMU, QemuProgram::Kmod]).as_deref(), Some(expected), "{os_release}");
        }
    }

    #[test]
    fn a_package_is_named_once() {
        let both = [QEMU, QemuProgram::Qemu("qemu-system-i386")];
        assert_eq!(install("ID=debian\n", &both).as_deref(), Some("apt-get install qemu-system-x86"));
        assert_eq!(install("ID=alpine\n", &both).as_deref(), Some("apk add qemu-system-x86_64 qemu-system-i386"));
    }

    #[test]
    fn unknown_distributions_and_complete_machines_get_no_command() {
        for os_release in ["", "ID=plan9\n", "ID=\n", "ID\n=\n", "VERSION_ID=debian\n"] {
            assert_eq!(install(os_release, &[QEMU]), None);
        }
        assert_eq!(install("ID=debian\n", &[]), None);
    }
}
