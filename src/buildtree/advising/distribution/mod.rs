//! The distribution that built a kernel, by its release, and the package with the headers that it was built with. Pure.
//!
//! Each distribution has its own form of releases ([`table`]), and the form identifies it. Where two have the same form there
//! is no certain answer, and so no command. A plain `5.15.134` can be anybody's; if the kernel's banner is known (`Linux
//! version ... (USER@HOST) ...`), its builder decides.

mod pattern;
mod table;

use serde::Serialize;

use crate::vermagic::Release;
use pattern::{captures, filled};
use table::{Builder, DistributionRow, ROWS, words};

/// The distribution that built a kernel, and what to install.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Distribution {
    /// Its name, for people; two names with "or" between them where it is not certain.
    pub name: &'static str,
    /// The packages with the headers, or the alternatives where it is not certain; none if there is no package.
    pub headers: Vec<String>,
    /// The command that installs them, as root; `None` where no single command is right.
    pub install: Option<String>,
    /// What else to know, or what to do if there is no package.
    pub note: Option<String>,
    /// Where the naming comes from.
    pub source: &'static str,
    /// Does the release identify the distribution and the package?
    pub certain: bool,
}

/// What to do about a kernel that [`of`] does not know: a vendor's, or somebody's own.
pub const NO_DISTRIBUTION: &str = "no distribution names its kernels like this: ask the kernel's builder for its source, \
                                   which the GPL entitles you to, with .config and Module.symvers";

/// No kernel's release is longer (`__NEW_UTS_LEN`, include/uapi/linux/utsname.h).
const LONGEST_RELEASE: usize = 64;

/// The distribution that built the kernel of this release; its banner (the line of `/proc/version`) decides where the release
/// does not. `None` if no known distribution has such releases. The answer contains commands, so a release with other
/// characters than releases have belongs to none.
pub fn of(release: &str, banner: Option<&str>) -> Option<Distribution> {
    let is_release = release.starts_with(|c: char| c.is_ascii_digit()) && release.len() <= LONGEST_RELEASE;
    if !is_release || !Release::is_plain(release) {
        return None;
    }
    let builder = builder(banner);
    let base = Release::of(release).base;
    let mut numbers = base.split('.').map(|number| number.parse().unwrap_or(0));
    let version = (numbers.next()?, numbers.next()?, numbers.next().unwrap_or(0));
    ROWS.iter().find_map(|row| {
        let is_of_age = row.from.is_none_or(|from| from <= version) && row.until.is_none_or(|until| version < until);
        if !is_of_age || !row.builder.is(builder) {
            return None;
        }
        let found = row.forms.iter().find_map(|form| captures(form, release, &base, words))?;
        let value = |name: &str| match name {
            "release" => Some(release.to_owned()),
            "base" => Some(base.clone()),
            "major" => Some(version.0.to_string()),
            "minor" => Some(version.1.to_string()),
            name => found.iter().find(|(known, _)| known == name).map(|(_, text)| text.clone()),
        };
        Some(row.filled(&value))
    })
}

impl Builder {
    fn is(&self, builder: &str) -> bool {
        match self {
            Builder::Any => true,
            Builder::Is(name) => builder == *name,
            Builder::StartsWith(start) => builder.starts_with(start),
            Builder::EndsWith(end) => builder.ends_with(end),
        }
    }
}

impl DistributionRow {
    fn filled(&self, value: &dyn Fn(&str) -> Option<String>) -> Distribution {
        let headers: Vec<String> = self.headers.iter().map(|package| filled(package, value)).collect();
        let install = self.install.replace("{headers}", &headers.join(" "));
        Distribution {
            name: self.name,
            install: (!install.is_empty()).then_some(install),
            headers,
            note: (!self.note.is_empty()).then(|| filled(self.note, value)),
            source: self.source,
            certain: self.certain,
        }
    }
}

/// `USER@HOST` of a banner: `Linux version RELEASE (USER@HOST) (...) ...` (`linux_banner`, init/version.c, 2.6.0 to 7.2).
fn builder(banner: Option<&str>) -> &str {
    let parenthesis = banner.and_then(|banner| banner.split_once('(')).and_then(|(_, rest)| rest.split_once(')'));
    parenthesis.map(|(inside, _)| inside).filter(|inside| inside.contains('@')).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_a_release_identifies_the_distribution() {
        for (release, name, install) in [
            ("6.1.0-48-amd64", "Debian", "apt-get install linux-headers-6.1.0-48-amd64"),
            ("6.1.0-56-cloud-amd64", "Debian", "apt-get install linux-headers-6.1.0-56-cloud-amd64"),
            ("6.1.0-56-rt-amd64", "Debian", "apt-get install linux-headers-6.1.0-56-rt-amd64"),
            ("5.10.0-46-686-pae", "Debian", "apt-get install linux-headers-5.10.0-46-686-pae"),
            ("5.10.0-46-rt-686-pae", "Debian", "apt-get install linux-headers-5.10.0-46-rt-686-pae"),
            ("6.1.0-0.deb11.52-amd64", "Debian", "apt-get install linux-headers-6.1.0-0.deb11.52-amd64"),
            ("5.10.0-0.bpo.9-amd64", "Debian", "apt-get install linux-headers-5.10.0-0.bpo.9-amd64"),
            ("6.12.48+deb13-amd64", "Debian", "apt-get install linux-headers-6.12.48+deb13-amd64"),
            ("6.12.115+deb13.1-cloud-amd64", "Debian", "apt-get install linux-headers-6.12.115+deb13.1-cloud-amd64"),
            ("6.9.7+bpo-arm64", "Debian", "apt-get install linux-headers-6.9.7+bpo-arm64"),
            ("6.12.48+deb13-arm64-16k", "Debian", "apt-get install linux-headers-6.12.48+deb13-arm64-16k"),
            ("5.10.0-46-armmp-lpae", "Debian", "apt-get install linux-headers-5.10.0-46-armmp-lpae"),
            ("5.10.0-46-4kc-malta", "Debian", "apt-get install linux-headers-5.10.0-46-4kc-malta"),
            ("2.6.32-5-xen-amd64", "Debian", "apt-get install linux-headers-2.6.32-5-xen-amd64"),
            ("2.6.26-2-686", "Debian", "apt-get install linux-headers-2.6.26-2-686"),
            ("6.10.4-amd64", "Debian or made of it", "apt-get install linux-headers-6.10.4-amd64"),
            ("7.3-amd64", "Debian or made of it", "apt-get install linux-headers-7.3-amd64"),
            ("7.3-cloud-amd64", "Debian or made of it", "apt-get install linux-headers-7.3-cloud-amd64"),
            ("5.10.0-kali9-amd64", "Kali Linux", "apt-get install linux-headers-5.10.0-kali9-amd64"),
            ("6.5.0-13parrot1-amd64", "Parrot OS", "apt-get install linux-headers-6.5.0-13parrot1-amd64"),
            ("6.9.1-1-liquorix-amd64", "Liquorix", "apt-get install linux-headers-6.9.1-1-liquorix-amd64"),
            ("6.9.1-x64v3-xanmod1", "XanMod", "apt-get install linux-headers-6.9.1-x64v3-xanmod1"),
            ("5.15.0-91-generic", "Ubuntu or made of it", "apt-get install linux-headers-5.15.0-91-generic"),
            ("6.5.0-21-lowlatency", "Ubuntu or made of it", "apt-get install linux-headers-6.5.0-21-lowlatency"),
            ("6.8.0-1008-aws", "Ubuntu or made of it", "apt-get install linux-headers-6.8.0-1008-aws"),
            ("5.15.0-1053-azure", "Ubuntu or made of it", "apt-get install linux-headers-5.15.0-1053-azure"),
            ("2.6.32-21-generic-pae", "Ubuntu or made of it", "apt-get install linux-headers-2.6.32-21-generic-pae"),
            (
                "6.8.0-76060800daily20240311-generic",
                "Pop!_OS",
                "apt-get install linux-headers-6.8.0-76060800daily20240311-generic",
            ),
            ("6.5.11-7-pve", "Proxmox VE", "apt-get install proxmox-headers-6.5.11-7-pve"),
            ("5.15.126-1-pve", "Proxmox VE", "apt-get install pve-headers-5.15.126-1-pve"),
            ("6.6.31+rpt-rpi-v8", "Raspberry Pi OS", "apt-get install linux-headers-6.6.31+rpt-rpi-v8"),
            ("6.12.25+rpt-rpi-2712", "Raspberry Pi OS", "apt-get install linux-headers-6.12.25+rpt-rpi-2712"),
            ("6.1.0-rpi7-rpi-v8", "Raspberry Pi OS", "apt-get install linux-headers-6.1.0-rpi7-rpi-v8"),
            ("5.10.17-v7+", "Raspberry Pi OS", "apt-get install raspberrypi-kernel-headers"),
            ("5.10.120-tegra", "NVIDIA Jetson Linux", "apt-get install nvidia-l4t-kernel-headers"),
            ("6.6.31-current-rockchip64", "Armbian", "apt-get install linux-headers-current-rockchip64"),
            ("6.8.5-301.fc40.x86_64", "Fedora", "dnf install kernel-devel-6.8.5-301.fc40.x86_64"),
            ("6.8.5-301.fc40.x86_64+debug", "Fedora", "dnf install kernel-debug-devel-6.8.5-301.fc40.x86_64"),
            ("6.11.8-300.fc41.aarch64+16k", "Fedora", "dnf install kernel-16k-devel-6.11.8-300.fc41.aarch64"),
            ("2.6.31.5-127.fc12.i686.PAE", "Fedora", "dnf install kernel-PAE-devel-2.6.31.5-127.fc12.i686"),
            ("5.14.0-427.13.1.el9_4.x86_64", EL, "dnf install kernel-devel-5.14.0-427.13.1.el9_4.x86_64"),
            ("5.14.0-427.13.1.el9_4.x86_64+rt", EL, "dnf install kernel-rt-devel-5.14.0-427.13.1.el9_4.x86_64"),
            ("4.18.0-553.rt7.342.el8_10.x86_64", EL, "dnf install kernel-rt-devel-4.18.0-553.rt7.342.el8_10.x86_64"),
            ("3.10.0-1160.el7.x86_64.debug", EL, "yum install kernel-debug-devel-3.10.0-1160.el7.x86_64"),
            ("2.6.18-398.el5PAE", EL, "yum install kernel-PAE-devel-2.6.18-398.el5"),
            ("2.6.9-89.ELsmp", EL, "yum install kernel-smp-devel-2.6.9-89.EL"),
            ("5.15.0-200.131.27.el8uek.x86_64", UEK, "dnf install kernel-uek-devel-5.15.0-200.131.27.el8uek.x86_64"),
            (
                "6.1.79-99.164.amzn2023.x86_64",
                "Amazon Linux 2023",
                "dnf install kernel-devel-6.1.79-99.164.amzn2023.x86_64",
            ),
            (
                "6.12.20-23.97.amzn2023.aarch64",
                "Amazon Linux 2023",
                "dnf install kernel6.12-devel-6.12.20-23.97.amzn2023.aarch64",
            ),
            (
                "4.14.336-257.562.amzn2.x86_64",
                "Amazon Linux 2",
                "yum install kernel-devel-4.14.336-257.562.amzn2.x86_64",
            ),
            ("6.6.29.1-4.azl3", "Azure Linux", "tdnf install kernel-devel-6.6.29.1-4.azl3"),
            ("6.1.79-1.ph5-esx", "Photon OS", "tdnf install linux-esx-devel-6.1.79-1.ph5"),
            (
                "5.10.0-136.12.0.86.oe2203sp1.x86_64",
                "openEuler",
                "dnf install kernel-devel-5.10.0-136.12.0.86.oe2203sp1.x86_64",
            ),
            ("6.9.1-arch1-1", "Arch Linux", "pacman -S linux-headers"),
            ("6.9.1-zen1-1-zen", "Arch Linux", "pacman -S linux-zen-headers"),
            ("6.8.10-hardened1-1-hardened", "Arch Linux", "pacman -S linux-hardened-headers"),
            ("6.9.0.5.realtime1-1-rt", "Arch Linux", "pacman -S linux-rt-headers"),
            ("4.13.12-1-ARCH", "Arch Linux", "pacman -S linux-headers"),
            ("6.2.10-1-aarch64-ARCH", "Arch Linux ARM", "pacman -S linux-aarch64-headers"),
            ("6.6.65-1-MANJARO", "Manjaro", "pacman -S linux66-headers"),
            ("6.9.1-2-cachyos", "CachyOS", "pacman -S linux-cachyos-headers"),
            ("6.1.52-valve16-1-neptune-61", "SteamOS", "pacman -S linux-neptune-61-headers"),
            ("6.6.31-0-lts", "Alpine Linux", "apk add linux-lts-dev"),
            ("6.6.31-1-virt", "Alpine Linux", "apk add linux-virt-dev"),
            ("6.4.0-150600.23-default", SUSE, "zypper install kernel-default-devel=6.4.0-150600.23"),
            ("6.4.0-150600.8.5-azure", SUSE, "zypper install kernel-azure-devel=6.4.0-150600.8.5"),
            ("5.3.18-lp152.63-default", SUSE, "zypper install kernel-default-devel=5.3.18-lp152.63"),
            ("6.9.1-1-default", SUSE, "zypper install kernel-default-devel=6.9.1-1"),
            ("6.6.52-gentoo-r1-x86_64", "Gentoo", "emerge =sys-kernel/gentoo-sources-6.6.52-r1"),
            ("6.6.52-gentoo-dist", "Gentoo", "emerge =sys-kernel/gentoo-kernel-6.6.52"),
            ("6.6.52_1", "Void Linux", "xbps-install -S linux6.6-headers"),
        ] {
            let found = of(release, None).unwrap_or_else(|| panic!("{release}: no distribution"));
            assert_eq!((found.name, found.install.as_deref()), (name, Some(install)), "{release}");
            assert!(found.certain && !found.headers.is_empty(), "{release}");
        }
    }

    const EL: &str = "Red Hat Enterprise Linux or made of it";
    const UEK: &str = "Oracle Linux, Unbreakable Enterprise Kernel";
    const SUSE: &str = "openSUSE or SUSE Linux Enterprise";

    #[test]
    fn the_guides_kernel_is_fedora_core_2s() {
        let found = of("2.6.5-1.358", None).unwrap();
        assert_eq!(
            (found.name, found.headers.as_slice()),
            ("Fedora Core 2", ["kernel-sourcecode-2.6.5-1.358".to_owned()].as_slice())
        );
        assert!(found.note.unwrap().contains("/lib/modules/2.6.5-1.358/build"));
        let smp = of("2.6.5-1.358smp", None).unwrap();
        assert_eq!(smp.headers, ["kernel-sourcecode-2.6.5-1.358"]);
        assert!(smp.note.unwrap().contains("kernel-smp-2.6.5-1.358,"));
        assert_eq!(of("2.6.9-1.667", None).unwrap().headers, ["kernel-2.6.9-1.667"]);
        assert_eq!(of("2.6.10-1.771_FC2", None).unwrap().name, "Fedora Core 2");
        assert_eq!(of("2.6.11-1.1369_FC4smp", None).unwrap().headers, ["kernel-smp-devel-2.6.11-1.1369_FC4"]);
        assert_eq!(of("2.6.18-1.2798.fc6", None).unwrap().headers, ["kernel-devel-2.6.18-1.2798.fc6"]);
        assert_eq!(of("2.6.5-1.358custom", None), None);
    }

    #[test]
    fn an_ambiguous_release_has_no_command_until_the_banner_decides() {
        let found = of("6.6.31-1-lts", None).unwrap();
        assert_eq!((found.certain, found.install), (false, None));
        assert_eq!(found.headers, ["linux-lts-headers", "linux-lts-dev"]);
        let arch = "Linux version 6.6.31-1-lts (linux-lts@archlinux) (gcc (GCC) 14.1.1 20240507) #1 SMP";
        assert_eq!(of("6.6.31-1-lts", Some(arch)).unwrap().name, "Arch Linux");
        let alpine =
            "Linux version 6.6.31-1-lts (buildozer@build-3-20-x86_64) (gcc (Alpine 13.2.1) 13.2.1) #2-Alpine SMP";
        assert_eq!(of("6.6.31-1-lts", Some(alpine)).unwrap().name, "Alpine Linux");
        assert!(!of("6.8.5-1.el9.elrepo.x86_64", None).unwrap().certain);
    }

    #[test]
    fn a_plain_release_identifies_nobody() {
        assert_eq!(of("5.15.134", None), None);
        assert_eq!(of("5.15.134", Some("Linux version 5.15.134 (me@home) (gcc) #1")), None);
        let openwrt =
            "Linux version 5.15.134 (builder@buildhost) (mips-openwrt-linux-musl-gcc (OpenWrt GCC 12.3.0)) #0";
        assert_eq!(of("5.15.134", Some(openwrt)).unwrap().name, "OpenWrt");
        for release in ["6.6.52", "6.15.7-xanmod1"] {
            let nixos = format!("Linux version {release} (nixbld@localhost) (gcc (GCC) 12.2.0, GNU ld) #1-NixOS SMP");
            assert_eq!(of(release, Some(&nixos)).unwrap().name, "NixOS");
        }
    }

    #[test]
    fn the_source_is_named_if_there_is_no_package() {
        for (release, part) in [
            ("5.15.153.1-microsoft-standard-WSL2", "linux-msft-wsl-5.15.153.1"),
            ("5.10.149-android13-4-00003-g05231a35ff43-ab9850636", "android13-5.10, build 9850636"),
            ("6.5.0-060500-generic", "not in Ubuntu's archive"),
            ("6.6.32-flatcar", "developer container"),
        ] {
            let found = of(release, None).unwrap();
            assert!(
                found.install.is_none() && found.note.as_ref().is_some_and(|note| note.contains(part)),
                "{release}: {found:?}"
            );
        }
    }

    #[test]
    fn unknown_releases_have_no_distribution() {
        for release in [
            "",
            "6",
            "4.4.302+",
            "5.10.17+",
            "3.10.108",
            "5.15.32-yocto-standard",
            "6.1.0",
            "6.1.0-",
            "6.1.0-custom",
            "2.6.5-1.358custom",
            "6.1.0-48-amd64 ",
            "6.1.0-1;reboot-amd64",
            "$(reboot)-amd64",
            "6.1.0-48-amd64\n",
            "6.1.0-x-amd64",
            "6.1.0-48-amd64-mine",
            "é-amd64",
            "4.14.0-xilinx",
            "6.9.1-arch1",
            "5.4.0-lts",
            ".1-generic",
            "6.1.0-1.fc.x86_64",
            "6.1.0-v7+x",
        ] {
            assert_eq!(of(release, None), None, "{release}");
        }
    }

    /// A vermagic can come from anybody, so matching must not take long for any release.
    #[test]
    fn no_release_takes_long() {
        let start = std::time::Instant::now();
        for part in ["-1.rt1.el1", "-gentoo-r1-", ".rt1.rt1", "1.1.1.1.", "-realtime", "-android1-1-ab"] {
            let mut release = "6.1.0".to_owned();
            while release.len() + part.len() < LONGEST_RELEASE {
                release.push_str(part);
            }
            of(&release, None);
        }
        assert!(start.elapsed() < std::time::Duration::from_secs(20), "{:?}", start.elapsed());
    }

    proptest::proptest! {
        #[test]
        fn no_command_contains_shell_metacharacters(
            middle in ".{0,24}",
            end in proptest::sample::select(vec!["-amd64", "-generic", ".fc40.x86_64", "-pve", "-1-default"]),
        ) {
            let release = format!("6.1.0{middle}{end}");
            if let Some(install) = of(&release, None).and_then(|found| found.install) {
                proptest::prop_assert!(install.chars().all(|c| c.is_ascii_alphanumeric() || " ._+~-=/".contains(c)), "{}", install);
            }
        }
    }
}
