//! Whose kernel it is, by its release, and which package has the headers that it was built with. Pure.
//!
//! Each distribution numbers its kernels in a way of its own, and from that way alone it is told here. Where two
//! number alike there is no certain answer, and so no command. A plain `5.15.134` is anybody's; where the kernel's
//! banner is known (`Linux version … (USER@HOST) …`), who built it decides.

use serde::Serialize;

use crate::vermagic::Release;

/// Whose kernel it is, and what to install.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Distribution {
    /// Its name, for people; two names with "or" between them where it is not certain.
    pub name: &'static str,
    /// The packages that have the headers, or the alternatives where it is not certain; none where there is no package.
    pub headers: Vec<String>,
    /// The command that installs them, as root; `None` where no single command is right.
    pub install: Option<String>,
    /// What else to know, or what to do where there is no package.
    pub note: Option<String>,
    /// Where the naming comes from.
    pub source: &'static str,
    /// Is it told for certain?
    pub certain: bool,
}

/// What to say of a kernel that [`of`] does not know: a vendor's, or somebody's own.
pub const NO_DISTRIBUTION: &str = "no distribution names its kernels so: ask whoever built it for the kernel \
    sources, which the GPL obliges them to give, with its .config and Module.symvers";

/// The distribution that a kernel of this release is of; its banner (the line of `/proc/version`) tells where the
/// release does not. `None` if nobody known numbers so. What has other characters than releases have is nobody's: the
/// answer holds commands.
pub fn of(release: &str, banner: Option<&str>) -> Option<Distribution> {
    if !release.starts_with(|c: char| c.is_ascii_digit()) || !Release::is_plain(release) {
        return None;
    }
    let builder = builder(banner);
    let split = Release::of(release);
    let mut numbers = split.base.split('.').map(|number| number.parse().unwrap_or(0));
    let version = (numbers.next()?, numbers.next()?, numbers.next().unwrap_or(0));
    let named = Named { whole: release, base: &split.base, rest: &split.rest, version, builder };
    RULES.iter().find_map(|rule| rule(&named))
}

/// A release in its parts.
struct Named<'a> {
    whole: &'a str,
    /// `6.1.0`.
    base: &'a str,
    /// `-48-amd64`.
    rest: &'a str,
    version: (u32, u32, u32),
    /// `debian-kernel@lists.debian.org`, or nothing.
    builder: &'a str,
}

/// In the order in which they are asked: who is told by more comes before who is told by less.
const RULES: [fn(&Named) -> Option<Distribution>; 28] = [
    nixos,
    wsl,
    android,
    proxmox,
    raspberry,
    kali,
    rebuilders,
    manjaro,
    armbian,
    tegra,
    fedora_core,
    enterprise,
    amazon,
    azure_linux,
    photon,
    red_hat,
    cachyos,
    steam,
    arch,
    arch_lts_or_alpine,
    alpine,
    gentoo,
    void,
    flatcar,
    debian,
    ubuntu,
    suse,
    openwrt,
];

/// `USER@HOST` of a banner: `Linux version RELEASE (USER@HOST) (…) …` (`linux_banner`, init/version.c, 2.6.0 to 7.2).
fn builder(banner: Option<&str>) -> &str {
    let parenthesis = banner.and_then(|banner| banner.split_once('(')).and_then(|(_, rest)| rest.split_once(')'));
    parenthesis.map(|(inside, _)| inside).filter(|inside| inside.contains('@')).unwrap_or_default()
}

impl Distribution {
    /// One that is certain, with one command before its packages.
    fn certain(name: &'static str, headers: Vec<String>, command: &str, source: &'static str) -> Self {
        let install = (!headers.is_empty() && !command.is_empty()).then(|| format!("{command} {}", headers.join(" ")));
        Distribution { name, headers, install, note: None, source, certain: true }
    }

    /// One that has no package to install, but something to say.
    fn sources(name: &'static str, note: String, source: &'static str) -> Self {
        Distribution { name, headers: Vec::new(), install: None, note: Some(note), source, certain: true }
    }

    fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }
}

const APT: &str = "apt-get install";

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Numbers with dots between them, or one.
fn is_numbers(text: &str) -> bool {
    text.split('.').all(is_number)
}

/// WSL 2: `5.15.153.1-microsoft-standard-WSL2`. arch/x86/configs/config-wsl and README of microsoft/WSL2-Linux-Kernel:
/// the tag of a release is `linux-msft-wsl-5.15.153.1`.
fn wsl(named: &Named) -> Option<Distribution> {
    let (number, suffix) = named.whole.split_once("-microsoft-standard")?;
    if !(suffix.is_empty() || suffix.starts_with("-WSL2") || suffix == "+") {
        return None;
    }
    let note = format!(
        "there is no package: build the sources, microsoft/WSL2-Linux-Kernel at the tag linux-msft-wsl-{number}, with \
         their Microsoft/config-wsl"
    );
    Some(Distribution::sources("WSL 2", note, "microsoft/WSL2-Linux-Kernel, README and tags"))
}

/// Android: `5.10.149-android13-4-00003-g05231a35ff43-ab9850636`. Documentation of the generic kernel image, "GKI
/// versioning": `w.x.y-zzz-k-something`, where zzz is the Android release and k the generation of the module interface.
fn android(named: &Named) -> Option<Distribution> {
    let words: Vec<&str> = named.rest.strip_prefix('-')?.split('-').collect();
    let [release, generation, ..] = words.as_slice() else { return None };
    if !release.strip_prefix("android").is_some_and(is_number) || !is_number(generation) {
        return None;
    }
    let build = words.iter().find_map(|word| word.strip_prefix("ab").filter(|build| is_number(build)));
    let (major, minor, _) = named.version;
    let built = build.map(|build| format!(", build {build}")).unwrap_or_default();
    let note = format!(
        "there is no package: build with the common kernel's own tools, branch {release}-{major}.{minor}{built}; any \
         kernel of generation {generation} of that branch has the same interface for modules"
    );
    Some(Distribution::sources("Android", note, "Android, generic kernel image, versioning"))
}

/// Proxmox VE: `6.5.11-7-pve`. Its packages were pve-headers-… up to 6.2, and are proxmox-headers-… since 6.5
/// (debian/control of proxmox-kernel, then pve-kernel).
fn proxmox(named: &Named) -> Option<Distribution> {
    named.rest.strip_suffix("-pve")?.strip_prefix('-').filter(|number| is_number(number))?;
    let stem = if named.version >= (6, 5, 0) { "proxmox-headers" } else { "pve-headers" };
    Some(Distribution::certain(
        "Proxmox VE",
        vec![format!("{stem}-{}", named.whole)],
        APT,
        "proxmox-kernel, debian/control",
    ))
}

/// Raspberry Pi OS. Since bookworm its kernels are packaged as Debian's are: `6.6.31+rpt-rpi-v8`, and for a while
/// `6.1.0-rpi7-rpi-v8`. Before, `5.10.17-v7+`, one package had the headers of all boards, of its newest version alone.
fn raspberry(named: &Named) -> Option<Distribution> {
    const SOURCE: &str = "Raspberry Pi OS, packages linux and raspberrypi-firmware";
    const BOARDS: [&str; 5] = ["v6", "v7", "v7l", "v8", "2712"];
    let packaged = named.rest.split_once("-rpi-").is_some_and(|(before, board)| {
        let before_fits = before == "+rpt" || before.strip_prefix("-rpi").is_some_and(is_number);
        before_fits && BOARDS.iter().any(|known| board == *known || board.strip_suffix("-rt") == Some(known))
    });
    if packaged {
        let headers = vec![format!("linux-headers-{}", named.whole)];
        return Some(Distribution::certain("Raspberry Pi OS", headers, APT, SOURCE));
    }
    let board = named.rest.strip_prefix('-')?.strip_suffix('+')?;
    if !["v7", "v7l", "v8", "v8-16k"].contains(&board) {
        return None;
    }
    let note = "the package has the headers of its newest kernel alone; a kernel of rpi-update has none";
    let headers = vec!["raspberrypi-kernel-headers".to_owned()];
    Some(Distribution::certain("Raspberry Pi OS", headers, APT, SOURCE).note(note))
}

/// Kali: `5.10.0-kali9-amd64`; Parrot: `6.5.0-13parrot1-amd64`. Both package as Debian does.
fn kali(named: &Named) -> Option<Distribution> {
    let words: Vec<&str> = named.rest.strip_prefix('-')?.split('-').collect();
    let [abi, _, ..] = words.as_slice() else { return None };
    let name = if abi.strip_prefix("kali").is_some_and(is_number) {
        "Kali Linux"
    } else if abi.split_once("parrot").is_some_and(|(a, b)| is_number(a) && is_number(b)) {
        "Parrot OS"
    } else {
        return None;
    };
    let headers = vec![format!("linux-headers-{}", named.whole)];
    Some(Distribution::certain(name, headers, APT, "its source package linux, made of Debian's"))
}

/// Kernels that others build for Debian and Ubuntu: `6.9.1-1-liquorix-amd64`, `6.9.1-x64v3-xanmod1`.
fn rebuilders(named: &Named) -> Option<Distribution> {
    let name = if named.rest.ends_with("-liquorix-amd64") {
        "Liquorix"
    } else if named.rest.rsplit_once("-xanmod").is_some_and(|(_, number)| is_number(number)) {
        "XanMod"
    } else {
        return None;
    };
    let headers = vec![format!("linux-headers-{}", named.whole)];
    Some(Distribution::certain(name, headers, APT, "its packages for Debian"))
}

/// Manjaro: `6.6.65-1-MANJARO`. Its packages are one a series: linux66-headers.
fn manjaro(named: &Named) -> Option<Distribution> {
    named.rest.strip_prefix('-')?.strip_suffix("-MANJARO").filter(|number| is_number(number))?;
    let (major, minor, _) = named.version;
    let headers = vec![format!("linux{major}{minor}-headers")];
    Some(Distribution::certain("Manjaro", headers, "pacman -S", "Manjaro, packages/core, linuxNN").note(ONLY_NEWEST))
}

/// What holds of distributions that keep one version of a package.
const ONLY_NEWEST: &str = "the package is of the newest kernel: where this one is older, take it from the \
    distribution's archive, or update the kernel and boot it";

/// Armbian: `6.6.31-current-rockchip64`. The headers are one package a branch and family.
fn armbian(named: &Named) -> Option<Distribution> {
    let branch = named.rest.strip_prefix('-')?;
    let (kind, family) = branch.split_once('-')?;
    // Its families are words (rockchip64, sunxi); others end their releases with vendor-7 and the like.
    let is_family = family.starts_with(|c: char| c.is_ascii_alphabetic());
    if !["legacy", "current", "edge", "vendor"].contains(&kind) || !is_family {
        return None;
    }
    let headers = vec![format!("linux-headers-{branch}")];
    Some(Distribution::certain("Armbian", headers, APT, "armbian/build, lib/functions/compilation").note(ONLY_NEWEST))
}

/// NVIDIA Jetson: `5.10.120-tegra`.
fn tegra(named: &Named) -> Option<Distribution> {
    let headers = vec!["nvidia-l4t-kernel-headers".to_owned()];
    (named.rest == "-tegra")
        .then(|| Distribution::certain("NVIDIA Jetson Linux", headers, APT, "Jetson Linux, its apt packages"))
}

/// Fedora Core 2 to 6. Of 2 and 3 the releases do not name it: `2.6.5-1.358` (2), `2.6.9-1.667` (3); updates and later
/// do: `2.6.10-1.771_FC2`, `2.6.11-1.1369_FC4smp`, `2.6.18-1.2798.fc6`. The kernel packages of 2 and 3 have a tree for
/// building modules in `/lib/modules/RELEASE/build`; since 4 it is in kernel-devel. 2 had a package of the sources,
/// kernel-sourcecode.
fn fedora_core(named: &Named) -> Option<Distribution> {
    const SOURCE: &str = "Fedora Core, release notes and kernel-2.6.spec";
    let release = named.rest.strip_prefix("-1.")?;
    let flavours = ["smp", "bigmem", "hugemem", "PAE", "xen", "xen0", "xenU", "kdump"];
    let (release, flavour) = flavours
        .iter()
        .find_map(|flavour| Some((release.strip_suffix(flavour)?.trim_end_matches('.'), *flavour)))
        .unwrap_or((release, ""));
    let (numbers, edition) = match release.split_once("_FC").or_else(|| release.split_once(".fc")) {
        Some((numbers, edition)) => (numbers, edition.parse::<u32>().ok()?),
        None if is_numbers(release) => match named.version {
            (2, 6, 5..=8) => (release, 2),
            (2, 6, 9) => (release, 3),
            _ => return None,
        },
        None => return None,
    };
    if named.version.0 != 2 || !is_numbers(numbers) || !(2..=6).contains(&edition) {
        return None;
    }
    let stock = named.whole.strip_suffix(flavour).unwrap_or(named.whole).trim_end_matches('.');
    let kernel = if flavour.is_empty() { "kernel".to_owned() } else { format!("kernel-{flavour}") };
    let old = "an archive of old releases has it; rpm -ivh installs it";
    Some(match edition {
        2 => Distribution::certain("Fedora Core 2", vec![format!("kernel-sourcecode-{stock}")], "", SOURCE).note(
            format!(
                "the package of the kernel itself, {kernel}-{stock}, has a tree to build modules in at \
             /lib/modules/{}/build; {old}",
                named.whole
            ),
        ),
        3 => Distribution::certain("Fedora Core 3", vec![format!("{kernel}-{stock}")], "", SOURCE).note(format!(
            "the package of the kernel itself has a tree to build modules in at /lib/modules/{}/build; {old}",
            named.whole
        )),
        _ => {
            let name = ["Fedora Core 4", "Fedora Core 5", "Fedora Core 6"].get(edition as usize - 4).copied()?;
            Distribution::certain(name, vec![format!("{kernel}-devel-{stock}")], "", SOURCE).note(old)
        }
    })
}

/// Red Hat Enterprise Linux 4 and 5: `2.6.9-89.ELsmp`, `2.6.18-398.el5PAE`.
fn enterprise(named: &Named) -> Option<Distribution> {
    let (before, flavour) = match named.rest.split_once(".EL") {
        Some(parts) => parts,
        None => named.rest.split_once(".el5")?,
    };
    if !before.strip_prefix('-').is_some_and(is_numbers)
        || !["", "smp", "hugemem", "largesmp", "xenU", "PAE", "xen", "debug"].contains(&flavour)
        || named.version.0 != 2
    {
        return None;
    }
    let stock = named.whole.strip_suffix(flavour).unwrap_or(named.whole);
    let stem = if flavour.is_empty() { "kernel-devel".to_owned() } else { format!("kernel-{flavour}-devel") };
    let headers = vec![format!("{stem}-{stock}")];
    Some(Distribution::certain("Red Hat Enterprise Linux or made of it", headers, "yum install", RED_HAT))
}

const RED_HAT: &str = "Fedora and Red Hat, kernel.spec (Provides: kernel-devel-uname-r)";

/// Amazon Linux: `6.1.79-99.164.amzn2023.x86_64`, `4.14.336-257.562.amzn2.x86_64`. On 2023 the kernels after 6.1 have
/// their series in the package's name.
fn amazon(named: &Named) -> Option<Distribution> {
    let (_, edition) = named.rest.split_once(".amzn")?;
    let (edition, _) = edition.split_once('.')?;
    let (name, command) = match edition {
        "1" => ("Amazon Linux", "yum install"),
        "2" => ("Amazon Linux 2", "yum install"),
        "2023" => ("Amazon Linux 2023", "dnf install"),
        _ => return None,
    };
    let (major, minor, _) = named.version;
    let series = if edition == "2023" && (major, minor) > (6, 1) { format!("{major}.{minor}") } else { String::new() };
    let headers = vec![format!("kernel{series}-devel-{}", named.whole)];
    Some(Distribution::certain(name, headers, command, "Amazon Linux, user guides, kernel packages"))
}

/// Azure Linux, once CBL-Mariner: `5.15.153.1-2.cm2`, `6.6.29.1-4.azl3`.
fn azure_linux(named: &Named) -> Option<Distribution> {
    let is_its = |mark: &str| named.rest.rsplit_once(mark).is_some_and(|(_, edition)| is_number(edition));
    (is_its(".cm") || is_its(".azl")).then(|| {
        let headers = vec![format!("kernel-devel-{}", named.whole)];
        Distribution::certain("Azure Linux", headers, "tdnf install", "microsoft/azurelinux, SPECS/kernel")
    })
}

/// Photon OS: `6.1.79-1.ph5`, and with a flavour `6.1.79-1.ph5-esx`.
fn photon(named: &Named) -> Option<Distribution> {
    let (number, edition) = named.rest.strip_prefix('-')?.split_once(".ph")?;
    let (edition, flavour) = edition.split_once('-').unwrap_or((edition, ""));
    if !is_numbers(number) || !is_number(edition) || !["", "esx", "rt", "aws", "secure"].contains(&flavour) {
        return None;
    }
    let stem = if flavour.is_empty() { "linux".to_owned() } else { format!("linux-{flavour}") };
    let headers = vec![format!("{stem}-devel-{}-{number}.ph{edition}", named.base)];
    Some(Distribution::certain("Photon OS", headers, "tdnf install", "vmware/photon, SPECS/linux"))
}

/// Fedora, Red Hat, and who builds as they do: `6.8.5-301.fc40.x86_64`, `5.14.0-427.el9.x86_64+rt`,
/// `5.15.0-200.131.27.el8uek.x86_64`. The variant stands behind the architecture, after `+`, or after a dot up to
/// Fedora 13 and RHEL 7 (kernel.spec, KVERREL).
fn red_hat(named: &Named) -> Option<Distribution> {
    const MACHINES: [&str; 12] = [
        "x86_64",
        "aarch64",
        "ppc64le",
        "ppc64",
        "s390x",
        "i686",
        "i586",
        "armv7hl",
        "armv5tel",
        "ppc",
        "riscv64",
        "loongarch64",
    ];
    let (machine, start) = MACHINES.iter().find_map(|machine| {
        let start = named.whole.rfind(&format!(".{machine}"))?;
        Some((*machine, start))
    })?;
    let before = named.whole.get(..start)?;
    let variant = named.whole.get(start + 1 + machine.len()..)?;
    let variant = match variant.strip_prefix(['+', '.']) {
        Some(variant) if !variant.is_empty() => variant,
        None if variant.is_empty() => "",
        _ => return None,
    };
    // What stands before the architecture: `301.fc40`, `513.5.1.el8_9`, `427.el9.elrepo`.
    let tail = before.rsplit_once('-')?.1;
    // The number behind a mark: 40 of `.fc40`.
    let number = |mark: &str| {
        tail.match_indices(mark).find_map(|(at, _)| {
            let rest = tail.get(at + mark.len()..)?;
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            rest.get(..end)?.parse::<u32>().ok()
        })
    };
    let has = |mark: &str| number(mark).is_some();
    let stock = format!("{before}.{machine}");
    let dnf = |name, stem: &str, command| {
        let middle = if variant.is_empty() { String::new() } else { format!("-{variant}") };
        Some(Distribution::certain(name, vec![format!("{stem}{middle}-devel-{stock}")], command, RED_HAT))
    };
    if has(".el") && tail.ends_with(".elrepo") {
        let headers = vec![format!("kernel-ml-devel-{stock}"), format!("kernel-lt-devel-{stock}")];
        return Some(Distribution {
            name: "ELRepo",
            headers,
            install: None,
            note: Some(
                "the release does not tell kernel-ml from kernel-lt: take the one that the kernel is of".to_owned(),
            ),
            source: "ELRepo, kernel-ml and kernel-lt",
            certain: false,
        });
    }
    let is_uek = has(".el") && tail.ends_with("uek");
    if is_uek {
        return dnf("Oracle Linux, Unbreakable Enterprise Kernel", "kernel-uek", "dnf install");
    }
    // A real-time kernel that was built by itself, up to RHEL 8: `4.18.0-553.rt7.342.el8_10.x86_64`.
    let stem = if has(".rt") { "kernel-rt" } else { "kernel" };
    match () {
        () if has(".fc") => dnf("Fedora", stem, "dnf install"),
        () if number(".el").is_some_and(|edition| edition < 8) => {
            dnf("Red Hat Enterprise Linux or made of it", stem, "yum install")
        }
        () if has(".el") => dnf("Red Hat Enterprise Linux or made of it", stem, "dnf install"),
        () if has(".oe") => dnf("openEuler", stem, "dnf install"),
        () if has(".an") => dnf("Anolis OS", stem, "dnf install"),
        () if has(".al") => dnf("Alibaba Cloud Linux", stem, "dnf install"),
        () => None,
    }
}

/// CachyOS: `6.9.1-2-cachyos`, `6.9.1-2-cachyos-bore`.
fn cachyos(named: &Named) -> Option<Distribution> {
    let (number, flavour) = named.rest.strip_prefix('-')?.split_once('-')?;
    if !is_number(number) || !(flavour == "cachyos" || flavour.starts_with("cachyos-")) {
        return None;
    }
    let headers = vec![format!("linux-{flavour}-headers")];
    Some(Distribution::certain("CachyOS", headers, "pacman -S", "CachyOS/linux-cachyos, PKGBUILD").note(ONLY_NEWEST))
}

/// SteamOS: `6.1.52-valve16-1-neptune-61`.
fn steam(named: &Named) -> Option<Distribution> {
    let (valve, series) = named.rest.strip_prefix("-valve")?.split_once("-neptune")?;
    if !valve.split('-').all(is_number) {
        return None;
    }
    let headers = vec![format!("linux-neptune{series}-headers")];
    Some(Distribution::certain("SteamOS", headers, "pacman -S", "SteamOS, linux-neptune").note(ONLY_NEWEST))
}

/// Arch Linux: `6.9.1-arch1-1`, `6.9.1-zen1-1-zen`, `6.8.10-hardened1-1-hardened`, `6.9.0.5.realtime1-1-rt`; of old
/// `4.13.12-1-ARCH`, and on ARM `6.2.10-1-aarch64-ARCH` (the package's `localversion` files, PKGBUILD).
fn arch(named: &Named) -> Option<Distribution> {
    let words: Vec<&str> = named.rest.trim_start_matches(['-', '.']).split('-').collect();
    let numbered = |word: &str, stem: &str| word.strip_prefix(stem).is_some_and(is_number);
    let (name, package) = match words.as_slice() {
        [a, n] if numbered(a, "arch") && is_numbers(n) => ("Arch Linux", "linux".to_owned()),
        [a, n, "zen"] if numbered(a, "zen") && is_numbers(n) => ("Arch Linux", "linux-zen".to_owned()),
        [a, n, "hardened"] if numbered(a, "hardened") && is_numbers(n) => ("Arch Linux", "linux-hardened".to_owned()),
        [a, n, "rt"] if a.contains("realtime") && is_numbers(n) => ("Arch Linux", "linux-rt".to_owned()),
        [n, "ARCH"] if is_numbers(n) => ("Arch Linux", "linux".to_owned()),
        [n, board, "ARCH"] if is_numbers(n) => ("Arch Linux ARM", format!("linux-{board}")),
        _ => return None,
    };
    let headers = vec![format!("{package}-headers")];
    Some(Distribution::certain(name, headers, "pacman -S", ARCH).note(ONLY_NEWEST))
}

const ARCH: &str = "Arch Linux, PKGBUILD of linux";
const ALPINE: &str = "Alpine Linux, aports/main/linux-lts/APKBUILD";

/// `6.6.31-1-lts` is Arch Linux's or Alpine's: both put the number of the packaging there. Arch begins at 1, Alpine at
/// 0.
fn arch_lts_or_alpine(named: &Named) -> Option<Distribution> {
    let number = named.rest.strip_prefix('-')?.strip_suffix("-lts").filter(|number| is_number(number))?;
    let (arch, alpine) = (
        Distribution::certain("Arch Linux", vec!["linux-lts-headers".to_owned()], "pacman -S", ARCH).note(ONLY_NEWEST),
        Distribution::certain("Alpine Linux", vec!["linux-lts-dev".to_owned()], "apk add", ALPINE).note(ONLY_NEWEST),
    );
    Some(match named.builder {
        builder if number == "0" || builder.starts_with("buildozer@") => alpine,
        builder if builder.ends_with("@archlinux") => arch,
        _ => Distribution {
            name: "Arch Linux or Alpine Linux",
            headers: vec!["linux-lts-headers".to_owned(), "linux-lts-dev".to_owned()],
            install: None,
            note: Some("Arch Linux: pacman -S linux-lts-headers; Alpine Linux: apk add linux-lts-dev".to_owned()),
            source: "both number their kernels so",
            certain: false,
        },
    })
}

/// Alpine: `6.6.31-0-virt`, `6.6.31-0-rpi`, `6.12.8-0-stable`, `5.19.5-0-edge` (APKBUILD: `$pkgver-$pkgrel-$flavor`).
fn alpine(named: &Named) -> Option<Distribution> {
    let (number, flavour) = named.rest.strip_prefix('-')?.split_once('-')?;
    let flavours =
        ["virt", "rpi", "rpi2", "rpi4", "stable", "edge", "edge4virt", "vanilla", "grsec", "virtgrsec", "asahi"];
    if !is_number(number) || !flavours.contains(&flavour) {
        return None;
    }
    let headers = vec![format!("linux-{flavour}-dev")];
    Some(Distribution::certain("Alpine Linux", headers, "apk add", ALPINE).note(ONLY_NEWEST))
}

/// Gentoo: `6.6.52-gentoo`, `6.6.52-gentoo-r1`, with what genkernel adds behind it; `6.6.52-gentoo-dist` is the kernel
/// that the distribution itself configures (kernel-2.eclass, kernel-build.eclass).
fn gentoo(named: &Named) -> Option<Distribution> {
    let words: Vec<&str> = named.rest.strip_prefix("-gentoo")?.split('-').skip(1).collect();
    let revision = words.iter().find(|word| word.strip_prefix('r').is_some_and(is_number));
    let version = revision.map_or(named.base.to_owned(), |revision| format!("{}-{revision}", named.base));
    let is_dist = words.contains(&"dist");
    let package = if is_dist { "gentoo-kernel" } else { "gentoo-sources" };
    let note = if is_dist {
        "gentoo-kernel-bin has the same; both leave the tree of the kernel in /usr/src"
    } else {
        "the configuration is one's own: that of the kernel is in /proc/config.gz or in /boot"
    };
    let headers = vec![format!("sys-kernel/{package}-{version}")];
    let mut distribution = Distribution::certain("Gentoo", headers, "", "Gentoo, kernel-2.eclass").note(note);
    distribution.install = Some(format!("emerge =sys-kernel/{package}-{version}"));
    Some(distribution)
}

/// Void: `6.6.52_1`; its packages are one a series.
fn void(named: &Named) -> Option<Distribution> {
    named.rest.strip_prefix('_').filter(|number| is_number(number))?;
    let (major, minor, _) = named.version;
    let headers = vec![format!("linux{major}.{minor}-headers")];
    Some(
        Distribution::certain("Void Linux", headers, "xbps-install -S", "void-packages, srcpkgs/linuxN.N")
            .note(ONLY_NEWEST),
    )
}

/// Flatcar: `6.6.32-flatcar`; CoreOS before it. Modules are built in the developer container of the same release.
fn flatcar(named: &Named) -> Option<Distribution> {
    let name = match named.rest {
        "-flatcar" | "-flatcar-r1" => "Flatcar Container Linux",
        "-coreos" | "-coreos-r1" => "CoreOS Container Linux",
        _ => return None,
    };
    let note = "there is no package: the developer container of the same release has the sources".to_owned();
    Some(Distribution::sources(name, note, "Flatcar, building custom kernel modules"))
}

/// The flavours of Debian's kernels, of all releases (debian/config/*/defines of the source package linux).
const DEBIAN: [&str; 50] = [
    "amd64",
    "arm64",
    "arm64-16k",
    "armmp",
    "armmp-lpae",
    "686",
    "686-pae",
    "686-bigmem",
    "486",
    "586",
    "386",
    "k7",
    "amd64-k8",
    "k8",
    "k8-smp",
    "riscv64",
    "s390x",
    "s390",
    "powerpc64le",
    "powerpc64le-64k",
    "powerpc64",
    "powerpc64-64k",
    "powerpc",
    "powerpc-smp",
    "mips64r2el",
    "4kc-malta",
    "5kc-malta",
    "octeon",
    "loongson-3",
    "loong64",
    "marvell",
    "kirkwood",
    "orion5x",
    "ixp4xx",
    "iop32x",
    "versatile",
    "mx5",
    "omap",
    "rpi",
    "vexpress",
    "sparc64",
    "sparc64-smp",
    "alpha-generic",
    "alpha-smp",
    "parisc",
    "parisc64",
    "itanium",
    "mckinley",
    "sh7785lcr",
    "m68k",
];

/// Debian: `6.1.0-48-amd64`, `6.1.0-0.deb11.52-amd64`, `5.10.0-0.bpo.9-amd64`, `6.12.48+deb13-cloud-amd64`,
/// `7.3-amd64`, `6.10.4-amd64`. Seen in the archive's indexes from bullseye (5.10) to experimental (7.3); the older
/// ones as in debian/bin/gencontrol.py. Kali and others that are made of it have releases of the last form too, and the
/// same package names.
fn debian(named: &Named) -> Option<Distribution> {
    let (abi, flavour) = named.rest.split_once('-').map(|(plus, rest)| {
        // `+deb13-amd64`, or `-48-amd64` and `-amd64`, whose first dash is at the start.
        if plus.is_empty() {
            match rest.split_once('-') {
                Some((abi, flavour)) if abi.starts_with(|c: char| c.is_ascii_digit()) && !DEBIAN.contains(&rest) => {
                    (abi, flavour)
                }
                _ => ("", rest),
            }
        } else {
            (plus, rest)
        }
    })?;
    let is_backport = |abi: &str| {
        let mut parts = abi.split('.');
        let backported = parts.next().is_some_and(is_number)
            && parts.next().is_some_and(|part| part == "bpo" || part.strip_prefix("deb").is_some_and(is_number));
        backported && parts.all(is_number)
    };
    let abi_fits = match abi.strip_prefix('+') {
        Some(suffix) => suffix == "bpo" || suffix.strip_prefix("deb").is_some_and(is_numbers),
        None => abi.is_empty() || is_number(abi) || is_backport(abi),
    };
    let prefixes = ["", "cloud-", "rt-", "xen-", "vserver-", "openvz-"];
    let known = prefixes.iter().any(|prefix| flavour.strip_prefix(prefix).is_some_and(|bare| DEBIAN.contains(&bare)));
    (abi_fits && known).then(|| {
        let headers = vec![format!("linux-headers-{}", named.whole)];
        let name = if abi.is_empty() { "Debian or made of it" } else { "Debian" };
        Distribution::certain(name, headers, APT, "Debian, package indexes of the archive; source package linux")
    })
}

/// The flavours of Ubuntu's kernels (debian.*/control.d of its source packages linux and linux-*).
const UBUNTU: [&str; 32] = [
    "generic",
    "generic-64k",
    "generic-pae",
    "generic-lpae",
    "lowlatency",
    "lowlatency-64k",
    "lowlatency-pae",
    "server",
    "virtual",
    "aws",
    "aws-64k",
    "aws-fips",
    "azure",
    "azure-fde",
    "azure-fips",
    "gcp",
    "gcp-64k",
    "gke",
    "gkeop",
    "ibm",
    "intel",
    "intel-iotg",
    "kvm",
    "nvidia",
    "nvidia-64k",
    "oem",
    "oracle",
    "oracle-64k",
    "raspi",
    "realtime",
    "fips",
    "xilinx-zynqmp",
];

/// Ubuntu, and those made of it: `5.15.0-91-generic`. HWE kernels are named no other way. A number of six digits is a
/// mainline build, and one of more is System76's; neither is in Ubuntu's archive.
fn ubuntu(named: &Named) -> Option<Distribution> {
    let (abi, flavour) = named.rest.strip_prefix('-')?.split_once('-')?;
    let digits = abi.len() - abi.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if digits == 0 || !UBUNTU.contains(&flavour) {
        return None;
    }
    let headers = vec![format!("linux-headers-{}", named.whole)];
    let source = "Ubuntu, source packages linux and linux-*";
    Some(match digits {
        1..=4 if digits == abi.len() => Distribution::certain("Ubuntu or made of it", headers, APT, source),
        6 if digits == abi.len() => Distribution::certain("a mainline build for Ubuntu", headers, "", source)
            .note("it is not in Ubuntu's archive: where the kernel came from, its headers are beside it (dpkg -i)"),
        7.. if abi.len() > digits => Distribution::certain("Pop!_OS", headers, APT, source),
        _ => return None,
    })
}

/// openSUSE and SUSE Linux Enterprise: `6.4.0-150600.23-default`, `6.9.1-1-default`, `5.3.18-lp152.63-default`. A
/// package's release has one number more (that of the rebuild), and each provides its name without it
/// (rpm/kernel-binary.spec.in).
fn suse(named: &Named) -> Option<Distribution> {
    let (number, flavour) = named.rest.strip_prefix('-')?.split_once('-')?;
    let flavours = [
        "default", "preempt", "azure", "pae", "desktop", "kvmsmall", "vanilla", "64kb", "lpae", "longterm", "trace",
        "ec2",
    ];
    if !is_numbers(number.strip_prefix("lp").unwrap_or(number)) || !flavours.contains(&flavour) {
        return None;
    }
    let headers = vec![format!("kernel-{flavour}-devel={}-{number}", named.base)];
    Some(Distribution::certain(
        "openSUSE or SUSE Linux Enterprise",
        headers,
        "zypper install",
        "SUSE, kernel-source, rpm/kernel-binary.spec.in",
    ))
}

/// NixOS, whatever the release: its kernels are anybody's by their names (`6.6.52`, `6.15.7-xanmod1`), and built by
/// `nixbld@localhost`.
fn nixos(named: &Named) -> Option<Distribution> {
    let note = "the tree is the output dev of the kernel's own package (config.boot.kernelPackages.kernel.dev), below \
                lib/modules/RELEASE/build";
    let source = "nixpkgs, pkgs/os-specific/linux/kernel";
    (named.builder == "nixbld@localhost").then(|| Distribution::sources("NixOS", note.to_owned(), source))
}

/// OpenWrt: its releases are plain, and its kernels built by `builder@buildhost` (include/kernel-defaults.mk).
fn openwrt(named: &Named) -> Option<Distribution> {
    let note = "there is no package: the SDK of the same OpenWrt release and target has the tree. Its packages depend \
                on kernel (= VERSION-RELEASE-HASH), and the hash is of the configuration (.vermagic): it has to be \
                the same";
    let is_its = named.rest.is_empty() && named.builder == "builder@buildhost";
    is_its.then(|| Distribution::sources("OpenWrt", note.to_owned(), "OpenWrt, include/kernel-defaults.mk"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_distribution_is_told_by_how_it_numbers() {
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
            let found = of(release, None).unwrap_or_else(|| panic!("{release}: nobody's"));
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
    fn what_two_number_alike_has_no_command_until_the_banner_tells() {
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
    fn a_plain_release_is_anybodys() {
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
    fn sources_are_named_where_there_is_no_package() {
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
    fn vendors_and_strangers_are_nobodys() {
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

    proptest::proptest! {
        #[test]
        fn no_command_holds_what_a_shell_obeys(
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
