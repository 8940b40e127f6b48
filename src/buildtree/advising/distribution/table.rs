//! The distributions, each with the form of its releases, and the packages with the headers: a table.
//!
//! The rows are tried in order; the first that fits counts. Rows whose form is more specific come first.
//!
//! A form describes a whole release ([`pattern`](super::pattern) has the syntax). `{base}` is its version (`6.1.0`), `{n}` a
//! number, `{ns}` numbers with dots between them, `{any}` any text, `{nodash}` any text without `-`, and a name in capitals
//! a list of words below. `[...]` is optional.

use crate::buildtree::reading::makefile::KernelNumbers;

/// A row of the table.
pub(super) struct DistributionRow {
    /// Its name, for people; two names with "or" between them where the release does not decide.
    pub(super) name: &'static str,
    /// The forms of its releases.
    pub(super) forms: &'static [&'static str],
    /// The first version with this form.
    pub(super) from: Option<KernelNumbers>,
    /// The first version without it.
    pub(super) until: Option<KernelNumbers>,
    /// Who built the kernel (`USER@HOST` of the banner).
    pub(super) builder: Builder,
    /// The packages with the headers.
    pub(super) headers: &'static [&'static str],
    /// The command that installs `{headers}`, as root; empty where no single command is right.
    pub(super) install: &'static str,
    /// What else to know; empty for nothing.
    pub(super) note: &'static str,
    /// Where the naming comes from.
    pub(super) source: &'static str,
    /// Does the form identify the distribution and the package?
    pub(super) certain: bool,
}

/// What a row requires of the kernel's builder.
pub(super) enum Builder {
    /// Nothing.
    Any,
    /// This builder.
    Is(&'static str),
    /// A builder that begins like this.
    StartsWith(&'static str),
    /// A builder that ends like this.
    EndsWith(&'static str),
}

const fn row(name: &'static str, forms: &'static [&'static str], source: &'static str) -> DistributionRow {
    DistributionRow {
        name,
        forms,
        from: None,
        until: None,
        builder: Builder::Any,
        headers: &[],
        install: "",
        note: "",
        source,
        certain: true,
    }
}

impl DistributionRow {
    const fn from(mut self, version: KernelNumbers) -> Self {
        self.from = Some(version);
        self
    }

    const fn until(mut self, version: KernelNumbers) -> Self {
        self.until = Some(version);
        self
    }

    const fn built_by(mut self, builder: Builder) -> Self {
        self.builder = builder;
        self
    }

    const fn headers(mut self, packages: &'static [&'static str], install: &'static str) -> Self {
        self.headers = packages;
        self.install = install;
        self
    }

    const fn note(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }

    const fn uncertain(mut self) -> Self {
        self.certain = false;
        self
    }
}

const APT: &str = "apt-get install {headers}";
const YUM: &str = "yum install {headers}";
const DNF: &str = "dnf install {headers}";
const TDNF: &str = "tdnf install {headers}";
const PACMAN: &str = "pacman -S {headers}";
const APK: &str = "apk add {headers}";

/// For distributions that keep one version of a package.
const ONLY_NEWEST: &str = "the package is for the newest kernel: if this one is older, take it from the distribution's \
                           archive, or update the kernel and boot it";
/// For Fedora Core.
const OLD_ARCHIVE: &str = "an archive of old releases has it; rpm -ivh installs it";

const RASPBERRY: &str = "Raspberry Pi OS, packages linux and raspberrypi-firmware";
const FEDORA_CORE: &str = "Fedora Core, release notes and kernel-2.6.spec";
const RED_HAT: &str = "Fedora and Red Hat, kernel.spec (Provides: kernel-devel-uname-r)";
const AMAZON: &str = "Amazon Linux, user guides, kernel packages";
const ARCH: &str = "Arch Linux, PKGBUILD of linux";
const ALPINE: &str = "Alpine Linux, aports/main/linux-lts/APKBUILD";
const DEBIAN: &str = "Debian, package indexes of the archive; source package linux";
const UBUNTU: &str = "Ubuntu, source packages linux and linux-*";

pub(super) const ROWS: &[DistributionRow] = &[
    // NixOS: its kernels have plain names (6.6.52, 6.15.7-xanmod1), and nixbld@localhost builds them.
    row("NixOS", &["{any}"], "nixpkgs, pkgs/os-specific/linux/kernel").built_by(Builder::Is("nixbld@localhost")).note(
        "the tree is the output dev of the kernel's own package (config.boot.kernelPackages.kernel.dev), below \
         lib/modules/RELEASE/build",
    ),
    // WSL 2: 5.15.153.1-microsoft-standard-WSL2. arch/x86/configs/config-wsl and README of microsoft/WSL2-Linux-Kernel: the
    // tag of a release is linux-msft-wsl-5.15.153.1.
    row(
        "WSL 2",
        &[
            "{number:any}-microsoft-standard",
            "{number:any}-microsoft-standard-WSL2{any}",
            "{number:any}-microsoft-standard+",
        ],
        "microsoft/WSL2-Linux-Kernel, README and tags",
    )
    .note(
        "there is no package: build the source, microsoft/WSL2-Linux-Kernel at the tag linux-msft-wsl-{number}, with its \
         Microsoft/config-wsl",
    ),
    // Android: 5.10.149-android13-4-00003-g05231a35ff43-ab9850636. Documentation of the generic kernel image, "GKI
    // versioning": w.x.y-zzz-k-something, where zzz is the Android release and k the generation of the module interface.
    row(
        "Android",
        &["{base}-{android:ANDROID}{number:n}-{generation:n}[-{any}]-ab{build:n}[-{any}]"],
        "Android, generic kernel image, versioning",
    )
    .note(
        "there is no package: build with the common kernel's own tools, branch \
         {android}{number}-{major}.{minor}, build {build}; any kernel of generation {generation} of that branch has the \
         same interface for modules",
    ),
    row(
        "Android",
        &["{base}-{android:ANDROID}{number:n}-{generation:n}[-{any}]"],
        "Android, generic kernel image, versioning",
    )
    .note(
        "there is no package: build with the common kernel's own tools, branch {android}{number}-{major}.{minor}; any \
         kernel of generation {generation} of that branch has the same interface for modules",
    ),
    // Proxmox VE: 6.5.11-7-pve. The packages were pve-headers-... up to 6.2, and are proxmox-headers-... since 6.5
    // (debian/control of proxmox-kernel, then pve-kernel).
    row("Proxmox VE", &["{base}-{n}-pve"], "proxmox-kernel, debian/control")
        .from((6, 5, 0))
        .headers(&["proxmox-headers-{release}"], APT),
    row("Proxmox VE", &["{base}-{n}-pve"], "proxmox-kernel, debian/control").headers(&["pve-headers-{release}"], APT),
    // Raspberry Pi OS. Since bookworm its kernels are packaged like Debian's: 6.6.31+rpt-rpi-v8, and for a while
    // 6.1.0-rpi7-rpi-v8. Before, 5.10.17-v7+, one package had the headers of all boards, only of its newest version.
    row(
        "Raspberry Pi OS",
        &["{base}+rpt-rpi-{RASPBERRY_BOARDS}[-rt]", "{base}-rpi{n}-rpi-{RASPBERRY_BOARDS}[-rt]"],
        RASPBERRY,
    )
    .headers(&["linux-headers-{release}"], APT),
    row("Raspberry Pi OS", &["{base}-{RASPBERRY_OLD_BOARDS}+"], RASPBERRY)
        .headers(&["raspberrypi-kernel-headers"], APT)
        .note("the package has only the headers of its newest kernel; a kernel of rpi-update has none"),
    // Kali: 5.10.0-kali9-amd64; Parrot: 6.5.0-13parrot1-amd64. Both package like Debian.
    row("Kali Linux", &["{base}-kali{n}-{any}"], "its source package linux, made of Debian's")
        .headers(&["linux-headers-{release}"], APT),
    row("Parrot OS", &["{base}-{n}parrot{n}-{any}"], "its source package linux, made of Debian's")
        .headers(&["linux-headers-{release}"], APT),
    // Kernels that others build for Debian and Ubuntu: 6.9.1-1-liquorix-amd64, 6.9.1-x64v3-xanmod1.
    row("Liquorix", &["{base}{any}-liquorix-amd64"], "its packages for Debian").headers(&["linux-headers-{release}"], APT),
    row("XanMod", &["{base}{any}-xanmod{n}"], "its packages for Debian").headers(&["linux-headers-{release}"], APT),
    // Manjaro: 6.6.65-1-MANJARO. There is one package per series: linux66-headers.
    row("Manjaro", &["{base}-{n}-MANJARO"], "Manjaro, packages/core, linuxNN")
        .headers(&["linux{major}{minor}-headers"], PACMAN)
        .note(ONLY_NEWEST),
    // Armbian: 6.6.31-current-rockchip64. There is one package per branch and family. The families are words (rockchip64,
    // sunxi); other distributions end their releases with vendor-7 and the like.
    row("Armbian", &["{base}-{branch:ARMBIAN_BRANCHES}-{family:word}"], "armbian/build, lib/functions/compilation")
        .headers(&["linux-headers-{branch}-{family}"], APT)
        .note(ONLY_NEWEST),
    // NVIDIA Jetson: 5.10.120-tegra.
    row("NVIDIA Jetson Linux", &["{base}-tegra"], "Jetson Linux, its apt packages")
        .headers(&["nvidia-l4t-kernel-headers"], APT),
    // Fedora Core 2 to 6. The releases of 2 and 3 do not name it: 2.6.5-1.358 (2), 2.6.9-1.667 (3); updates and later ones
    // do: 2.6.10-1.771_FC2, 2.6.11-1.1369_FC4smp, 2.6.18-1.2798.fc6. The kernel packages of 2 and 3 contain a tree for
    // building modules in /lib/modules/RELEASE/build; since 4 it is in kernel-devel. 2 had a package of the source,
    // kernel-sourcecode.
    row("Fedora Core 2", &["(stock:{base}-1.{ns})[[.]{flavour:FEDORA_CORE_FLAVOURS}]"], FEDORA_CORE)
        .from((2, 6, 5))
        .until((2, 6, 9))
        .headers(&["kernel-sourcecode-{stock}"], "")
        .note(FEDORA_CORE_2),
    row(
        "Fedora Core 2",
        &[
            "(stock:{base}-1.{ns}_FC2)[[.]{flavour:FEDORA_CORE_FLAVOURS}]",
            "(stock:{base}-1.{ns}.fc2)[[.]{flavour:FEDORA_CORE_FLAVOURS}]",
        ],
        FEDORA_CORE,
    )
    .until((3, 0, 0))
    .headers(&["kernel-sourcecode-{stock}"], "")
    .note(FEDORA_CORE_2),
    row("Fedora Core 3", &["(stock:{base}-1.{ns})[[.]{flavour:FEDORA_CORE_FLAVOURS}]"], FEDORA_CORE)
        .from((2, 6, 9))
        .until((2, 6, 10))
        .headers(&["kernel[-{flavour}]-{stock}"], "")
        .note(FEDORA_CORE_3),
    row(
        "Fedora Core 3",
        &[
            "(stock:{base}-1.{ns}_FC3)[[.]{flavour:FEDORA_CORE_FLAVOURS}]",
            "(stock:{base}-1.{ns}.fc3)[[.]{flavour:FEDORA_CORE_FLAVOURS}]",
        ],
        FEDORA_CORE,
    )
    .until((3, 0, 0))
    .headers(&["kernel[-{flavour}]-{stock}"], "")
    .note(FEDORA_CORE_3),
    row(
        "Fedora Core 4",
        &[
            "(stock:{base}-1.{ns}_FC4)[[.]{flavour:FEDORA_CORE_FLAVOURS}]",
            "(stock:{base}-1.{ns}.fc4)[[.]{flavour:FEDORA_CORE_FLAVOURS}]",
        ],
        FEDORA_CORE,
    )
    .until((3, 0, 0))
    .headers(&["kernel[-{flavour}]-devel-{stock}"], "")
    .note(OLD_ARCHIVE),
    row(
        "Fedora Core 5",
        &[
            "(stock:{base}-1.{ns}_FC5)[[.]{flavour:FEDORA_CORE_FLAVOURS}]",
            "(stock:{base}-1.{ns}.fc5)[[.]{flavour:FEDORA_CORE_FLAVOURS}]",
        ],
        FEDORA_CORE,
    )
    .until((3, 0, 0))
    .headers(&["kernel[-{flavour}]-devel-{stock}"], "")
    .note(OLD_ARCHIVE),
    row(
        "Fedora Core 6",
        &[
            "(stock:{base}-1.{ns}_FC6)[[.]{flavour:FEDORA_CORE_FLAVOURS}]",
            "(stock:{base}-1.{ns}.fc6)[[.]{flavour:FEDORA_CORE_FLAVOURS}]",
        ],
        FEDORA_CORE,
    )
    .until((3, 0, 0))
    .headers(&["kernel[-{flavour}]-devel-{stock}"], "")
    .note(OLD_ARCHIVE),
    // Red Hat Enterprise Linux 4 and 5: 2.6.9-89.ELsmp, 2.6.18-398.el5PAE.
    row(
        "Red Hat Enterprise Linux or made of it",
        &["(stock:{base}-{ns}.EL)[{flavour:ENTERPRISE_FLAVOURS}]", "(stock:{base}-{ns}.el5)[{flavour:ENTERPRISE_FLAVOURS}]"],
        RED_HAT,
    )
    .until((3, 0, 0))
    .headers(&["kernel[-{flavour}]-devel-{stock}"], YUM),
    // Amazon Linux: 6.1.79-99.164.amzn2023.x86_64, 4.14.336-257.562.amzn2.x86_64. On 2023 the packages of kernels after 6.1
    // have their series in the name.
    row("Amazon Linux 2023", &["{base}{any}.amzn2023.{any}"], AMAZON)
        .from((6, 2, 0))
        .headers(&["kernel{major}.{minor}-devel-{release}"], DNF),
    row("Amazon Linux 2023", &["{base}{any}.amzn2023.{any}"], AMAZON).headers(&["kernel-devel-{release}"], DNF),
    row("Amazon Linux 2", &["{base}{any}.amzn2.{any}"], AMAZON).headers(&["kernel-devel-{release}"], YUM),
    row("Amazon Linux", &["{base}{any}.amzn1.{any}"], AMAZON).headers(&["kernel-devel-{release}"], YUM),
    // Azure Linux, formerly CBL-Mariner: 5.15.153.1-2.cm2, 6.6.29.1-4.azl3.
    row("Azure Linux", &["{base}{any}.cm{n}", "{base}{any}.azl{n}"], "microsoft/azurelinux, SPECS/kernel")
        .headers(&["kernel-devel-{release}"], TDNF),
    // Photon OS: 6.1.79-1.ph5, and with a flavour 6.1.79-1.ph5-esx.
    row("Photon OS", &["{base}-{numbers:ns}.ph{edition:n}[-{flavour:PHOTON_FLAVOURS}]"], "vmware/photon, SPECS/linux")
        .headers(&["linux[-{flavour}]-devel-{base}-{numbers}.ph{edition}"], TDNF),
    // Fedora, Red Hat, and distributions that build like them: 6.8.5-301.fc40.x86_64, 5.14.0-427.el9.x86_64+rt,
    // 5.15.0-200.131.27.el8uek.x86_64. The variant follows the architecture, after "+", or after a dot up to Fedora 13 and
    // RHEL 7 (kernel.spec, KVERREL). Up to RHEL 8 a real-time kernel was built from a package of its own:
    // 4.18.0-553.rt7.342.el8_10.x86_64.
    row(
        "ELRepo",
        &["(stock:{base}{any}-{nodash}.el{n}{nodash}.elrepo.{MACHINES})[{VARIANT_MARKS}{some}]"],
        "ELRepo, kernel-ml and kernel-lt",
    )
    .headers(&["kernel-ml-devel-{stock}", "kernel-lt-devel-{stock}"], "")
    .note("the release does not distinguish kernel-ml from kernel-lt: choose the one that the kernel is from")
    .uncertain(),
    row(
        "Oracle Linux, Unbreakable Enterprise Kernel",
        &["(stock:{base}{any}-{nodash}.el{n}{nodash}uek.{MACHINES})[{VARIANT_MARKS}{variant:some}]"],
        RED_HAT,
    )
    .headers(&["kernel-uek[-{variant}]-devel-{stock}"], DNF),
    row(
        "Fedora",
        &[
            "(stock:{base}{any}-{nodash}.{kind:RT}{n}{nodash}.fc{n}{nodash}.{MACHINES})[{VARIANT_MARKS}{variant:some}]",
            "(stock:{base}{any}-{nodash}.fc{n}{nodash}.{MACHINES})[{VARIANT_MARKS}{variant:some}]",
        ],
        RED_HAT,
    )
    .headers(&["kernel[-{kind}][-{variant}]-devel-{stock}"], DNF),
    row(
        "Red Hat Enterprise Linux or made of it",
        &[
            "(stock:{base}{any}-{nodash}.{kind:RT}{n}{nodash}.el{ENTERPRISE_BEFORE_8}{nodash}.{MACHINES})[{VARIANT_MARKS}{variant:some}]",
            "(stock:{base}{any}-{nodash}.el{ENTERPRISE_BEFORE_8}{nodash}.{MACHINES})[{VARIANT_MARKS}{variant:some}]",
        ],
        RED_HAT,
    )
    .headers(&["kernel[-{kind}][-{variant}]-devel-{stock}"], YUM),
    row(
        "Red Hat Enterprise Linux or made of it",
        &[
            "(stock:{base}{any}-{nodash}.{kind:RT}{n}{nodash}.el{n}{nodash}.{MACHINES})[{VARIANT_MARKS}{variant:some}]",
            "(stock:{base}{any}-{nodash}.el{n}{nodash}.{MACHINES})[{VARIANT_MARKS}{variant:some}]",
        ],
        RED_HAT,
    )
    .headers(&["kernel[-{kind}][-{variant}]-devel-{stock}"], DNF),
    row(
        "openEuler",
        &[
            "(stock:{base}{any}-{nodash}.{kind:RT}{n}{nodash}.oe{n}{nodash}.{MACHINES})[{VARIANT_MARKS}{variant:some}]",
            "(stock:{base}{any}-{nodash}.oe{n}{nodash}.{MACHINES})[{VARIANT_MARKS}{variant:some}]",
        ],
        RED_HAT,
    )
    .headers(&["kernel[-{kind}][-{variant}]-devel-{stock}"], DNF),
    row(
        "Anolis OS",
        &[
            "(stock:{base}{any}-{nodash}.{kind:RT}{n}{nodash}.an{n}{nodash}.{MACHINES})[{VARIANT_MARKS}{variant:some}]",
            "(stock:{base}{any}-{nodash}.an{n}{nodash}.{MACHINES})[{VARIANT_MARKS}{variant:some}]",
        ],
        RED_HAT,
    )
    .headers(&["kernel[-{kind}][-{variant}]-devel-{stock}"], DNF),
    row(
        "Alibaba Cloud Linux",
        &[
            "(stock:{base}{any}-{nodash}.{kind:RT}{n}{nodash}.al{n}{nodash}.{MACHINES})[{VARIANT_MARKS}{variant:some}]",
            "(stock:{base}{any}-{nodash}.al{n}{nodash}.{MACHINES})[{VARIANT_MARKS}{variant:some}]",
        ],
        RED_HAT,
    )
    .headers(&["kernel[-{kind}][-{variant}]-devel-{stock}"], DNF),
    // CachyOS: 6.9.1-2-cachyos, 6.9.1-2-cachyos-bore.
    row("CachyOS", &["{base}-{n}-(flavour:cachyos[-{any}])"], "CachyOS/linux-cachyos, PKGBUILD")
        .headers(&["linux-{flavour}-headers"], PACMAN)
        .note(ONLY_NEWEST),
    // SteamOS: 6.1.52-valve16-1-neptune-61.
    row("SteamOS", &["{base}-valve{n}[-{n}][-{n}][-{n}]-neptune{series:any}"], "SteamOS, linux-neptune")
        .headers(&["linux-neptune{series}-headers"], PACMAN)
        .note(ONLY_NEWEST),
    // Arch Linux: 6.9.1-arch1-1, 6.9.1-zen1-1-zen, 6.8.10-hardened1-1-hardened, 6.9.0.5.realtime1-1-rt; formerly
    // 4.13.12-1-ARCH, and on ARM 6.2.10-1-aarch64-ARCH (the package's localversion files, PKGBUILD).
    row("Arch Linux", &["{base}{ARCH_MARKS}arch{n}-{ns}"], ARCH).headers(&["linux-headers"], PACMAN).note(ONLY_NEWEST),
    row("Arch Linux", &["{base}{ARCH_MARKS}zen{n}-{ns}-zen"], ARCH)
        .headers(&["linux-zen-headers"], PACMAN)
        .note(ONLY_NEWEST),
    row("Arch Linux", &["{base}{ARCH_MARKS}hardened{n}-{ns}-hardened"], ARCH)
        .headers(&["linux-hardened-headers"], PACMAN)
        .note(ONLY_NEWEST),
    row("Arch Linux", &["{base}{ARCH_MARKS}{nodash}realtime{nodash}-{ns}-rt"], ARCH)
        .headers(&["linux-rt-headers"], PACMAN)
        .note(ONLY_NEWEST),
    row("Arch Linux", &["{base}{ARCH_MARKS}{ns}-ARCH", "{base}.{n}-{ns}-ARCH"], ARCH).headers(&["linux-headers"], PACMAN).note(ONLY_NEWEST),
    row("Arch Linux ARM", &["{base}{ARCH_MARKS}{ns}-{board:nodash}-ARCH"], ARCH)
        .headers(&["linux-{board}-headers"], PACMAN)
        .note(ONLY_NEWEST),
    // 6.6.31-1-lts is a release of Arch Linux or of Alpine Linux: both append the number of the packaging. Arch begins at 1,
    // Alpine at 0.
    row("Alpine Linux", &["{base}-0-lts"], ALPINE).headers(&["linux-lts-dev"], APK).note(ONLY_NEWEST),
    row("Alpine Linux", &["{base}-{n}-lts"], ALPINE)
        .built_by(Builder::StartsWith("buildozer@"))
        .headers(&["linux-lts-dev"], APK)
        .note(ONLY_NEWEST),
    row("Arch Linux", &["{base}-{n}-lts"], ARCH)
        .built_by(Builder::EndsWith("@archlinux"))
        .headers(&["linux-lts-headers"], PACMAN)
        .note(ONLY_NEWEST),
    row("Arch Linux or Alpine Linux", &["{base}-{n}-lts"], "both number their kernels like this")
        .headers(&["linux-lts-headers", "linux-lts-dev"], "")
        .note("Arch Linux: pacman -S linux-lts-headers; Alpine Linux: apk add linux-lts-dev")
        .uncertain(),
    // Alpine: 6.6.31-0-virt, 6.6.31-0-rpi, 6.12.8-0-stable, 5.19.5-0-edge (APKBUILD: $pkgver-$pkgrel-$flavor).
    row("Alpine Linux", &["{base}-{n}-{flavour:ALPINE_FLAVOURS}"], ALPINE)
        .headers(&["linux-{flavour}-dev"], APK)
        .note(ONLY_NEWEST),
    // Gentoo: 6.6.52-gentoo, 6.6.52-gentoo-r1, with what genkernel appends; 6.6.52-gentoo-dist is the kernel that the
    // distribution itself configures (kernel-2.eclass, kernel-build.eclass).
    row(
        "Gentoo",
        &[
            "{base}-gentoo{nodash}[-{any}]-(revision:r{n})[-{any}]-dist[-{any}]",
            "{base}-gentoo{nodash}[-{any}]-dist[-{any}]-(revision:r{n})[-{any}]",
            "{base}-gentoo{nodash}[-{any}]-dist[-{any}]",
        ],
        "Gentoo, kernel-2.eclass",
    )
    .headers(&["sys-kernel/gentoo-kernel-{base}[-{revision}]"], "emerge ={headers}")
    .note("gentoo-kernel-bin has the same; both leave the kernel's tree in /usr/src"),
    row(
        "Gentoo",
        &["{base}-gentoo{nodash}[-{any}]-(revision:r{n})[-{any}]", "{base}-gentoo{nodash}[-{any}]"],
        "Gentoo, kernel-2.eclass",
    )
    .headers(&["sys-kernel/gentoo-sources-{base}[-{revision}]"], "emerge ={headers}")
    .note("the user configures the kernel: its configuration is in /proc/config.gz or in /boot"),
    // Void: 6.6.52_1; there is one package per series.
    row("Void Linux", &["{base}_{n}"], "void-packages, srcpkgs/linuxN.N")
        .headers(&["linux{major}.{minor}-headers"], "xbps-install -S {headers}")
        .note(ONLY_NEWEST),
    // Flatcar: 6.6.32-flatcar; CoreOS before it. Modules are built in the developer container of the same release.
    row("Flatcar Container Linux", &["{base}-flatcar[-r1]"], "Flatcar, building custom kernel modules").note(DEVELOPER),
    row("CoreOS Container Linux", &["{base}-coreos[-r1]"], "Flatcar, building custom kernel modules").note(DEVELOPER),
    // Debian: 6.1.0-48-amd64, 6.1.0-0.deb11.52-amd64, 5.10.0-0.bpo.9-amd64, 6.12.48+deb13-cloud-amd64, 7.3-amd64,
    // 6.10.4-amd64. From bullseye (5.10) to experimental (7.3) as in the archive's indexes; the older ones as in
    // debian/bin/gencontrol.py. Kali and other derivatives have releases of the last form too, and the same package names.
    row(
        "Debian",
        &[
            "{base}+bpo-[{DEBIAN_FEATURES}]{DEBIAN_FLAVOURS}",
            "{base}+deb{ns}-[{DEBIAN_FEATURES}]{DEBIAN_FLAVOURS}",
            "{base}-{n}-[{DEBIAN_FEATURES}]{DEBIAN_FLAVOURS}",
            "{base}-{n}.bpo[.{ns}]-[{DEBIAN_FEATURES}]{DEBIAN_FLAVOURS}",
            "{base}-{n}.deb{n}[.{ns}]-[{DEBIAN_FEATURES}]{DEBIAN_FLAVOURS}",
        ],
        DEBIAN,
    )
    .headers(&["linux-headers-{release}"], APT),
    row("Debian or made of it", &["{base}-[{DEBIAN_FEATURES}]{DEBIAN_FLAVOURS}"], DEBIAN)
        .headers(&["linux-headers-{release}"], APT),
    // Ubuntu, and derivatives: 5.15.0-91-generic. HWE kernels have the same form. A number of six digits is a mainline
    // build, and a longer one is System76's; neither is in Ubuntu's archive.
    row("Ubuntu or made of it", &["{base}-{n4}-{UBUNTU_FLAVOURS}"], UBUNTU).headers(&["linux-headers-{release}"], APT),
    row("a mainline build for Ubuntu", &["{base}-{n6}-{UBUNTU_FLAVOURS}"], UBUNTU)
        .headers(&["linux-headers-{release}"], "")
        .note("it is not in Ubuntu's archive: the headers are in the same place as the kernel package (dpkg -i)"),
    row("Pop!_OS", &["{base}-{n7}{nodash1}-{UBUNTU_FLAVOURS}"], UBUNTU).headers(&["linux-headers-{release}"], APT),
    // openSUSE and SUSE Linux Enterprise: 6.4.0-150600.23-default, 6.9.1-1-default, 5.3.18-lp152.63-default. A package's
    // release has one more number (of the rebuild), and each provides its name without it (rpm/kernel-binary.spec.in).
    row(
        "openSUSE or SUSE Linux Enterprise",
        &["{base}-(number:[lp]{ns})-{flavour:SUSE_FLAVOURS}"],
        "SUSE, kernel-source, rpm/kernel-binary.spec.in",
    )
    .headers(&["kernel-{flavour}-devel={base}-{number}"], "zypper install {headers}"),
    // OpenWrt: its releases are plain, and builder@buildhost builds its kernels (include/kernel-defaults.mk).
    row("OpenWrt", &["{base}"], "OpenWrt, include/kernel-defaults.mk").built_by(Builder::Is("builder@buildhost")).note(
        "there is no package: the SDK of the same OpenWrt release and target has the tree. Its packages depend on kernel \
         (= VERSION-RELEASE-HASH), and the hash is that of the configuration (.vermagic): it must be the same",
    ),
];

const FEDORA_CORE_2: &str = "the package of the kernel itself, kernel[-{flavour}]-{stock}, has a tree to build modules in at \
                             /lib/modules/{release}/build; an archive of old releases has it; rpm -ivh installs it";
const FEDORA_CORE_3: &str = "the package of the kernel itself has a tree to build modules in at \
                             /lib/modules/{release}/build; an archive of old releases has it; rpm -ivh installs it";
const DEVELOPER: &str = "there is no package: the developer container of the same release has the source";

/// The words of a list, by its name in a form.
pub(super) fn words(list: &str) -> &'static [&'static str] {
    LISTS.iter().find(|(name, _)| *name == list).map(|(_, words)| *words).unwrap_or_default()
}

const LISTS: &[(&str, &[&str])] = &[
    ("ALPINE_FLAVOURS", &ALPINE_FLAVOURS),
    ("ANDROID", &["android"]),
    ("ARCH_MARKS", &["-", "."]),
    ("ARMBIAN_BRANCHES", &["legacy", "current", "edge", "vendor"]),
    ("DEBIAN_FEATURES", &["cloud-", "rt-", "xen-", "vserver-", "openvz-"]),
    ("DEBIAN_FLAVOURS", &DEBIAN_FLAVOURS),
    ("ENTERPRISE_BEFORE_8", &["0", "1", "2", "3", "4", "5", "6", "7"]),
    ("ENTERPRISE_FLAVOURS", &["smp", "hugemem", "largesmp", "xenU", "PAE", "xen", "debug"]),
    ("FEDORA_CORE_FLAVOURS", &["smp", "bigmem", "hugemem", "PAE", "xen", "xen0", "xenU", "kdump"]),
    ("MACHINES", &MACHINES),
    ("PHOTON_FLAVOURS", &["esx", "rt", "aws", "secure"]),
    ("RASPBERRY_BOARDS", &["v6", "v7", "v7l", "v8", "2712"]),
    ("RASPBERRY_OLD_BOARDS", &["v7", "v7l", "v8", "v8-16k"]),
    ("RT", &["rt"]),
    ("SUSE_FLAVOURS", &SUSE_FLAVOURS),
    ("UBUNTU_FLAVOURS", &UBUNTU_FLAVOURS),
    ("VARIANT_MARKS", &["+", "."]),
];

#[rustfmt::skip]
const MACHINES: [&str; 12] = [
    "x86_64", "aarch64", "ppc64le", "ppc64", "s390x", "i686", "i586", "armv7hl", "armv5tel", "ppc", "riscv64", "loongarch64",
];

#[rustfmt::skip]
const ALPINE_FLAVOURS: [&str; 11] = [
    "virt", "rpi", "rpi2", "rpi4", "stable", "edge", "edge4virt", "vanilla", "grsec", "virtgrsec", "asahi",
];

#[rustfmt::skip]
const SUSE_FLAVOURS: [&str; 12] = [
    "default", "preempt", "azure", "pae", "desktop", "kvmsmall", "vanilla", "64kb", "lpae", "longterm", "trace", "ec2",
];

/// Of all releases (debian/config/*/defines of the source package linux).
#[rustfmt::skip]
const DEBIAN_FLAVOURS: [&str; 50] = [
    "amd64", "arm64", "arm64-16k", "armmp", "armmp-lpae", "686", "686-pae", "686-bigmem", "486", "586", "386", "k7",
    "amd64-k8", "k8", "k8-smp", "riscv64", "s390x", "s390", "powerpc64le", "powerpc64le-64k", "powerpc64",
    "powerpc64-64k", "powerpc", "powerpc-smp", "mips64r2el", "4kc-malta", "5kc-malta", "octeon", "loongson-3",
    "loong64", "marvell", "kirkwood", "orion5x", "ixp4xx", "iop32x", "versatile", "mx5", "omap", "rpi", "vexpress",
    "sparc64", "sparc64-smp", "alpha-generic", "alpha-smp", "parisc", "parisc64", "itanium", "mckinley", "sh7785lcr",
    "m68k",
];

/// debian.*/control.d of the source packages linux and linux-*.
#[rustfmt::skip]
const UBUNTU_FLAVOURS: [&str; 32] = [
    "generic", "generic-64k", "generic-pae", "generic-lpae", "lowlatency", "lowlatency-64k", "lowlatency-pae",
    "server", "virtual", "aws", "aws-64k", "aws-fips", "azure", "azure-fde", "azure-fips", "gcp", "gcp-64k", "gke",
    "gkeop", "ibm", "intel", "intel-iotg", "kvm", "nvidia", "nvidia-64k", "oem", "oracle", "oracle-64k", "raspi",
    "realtime", "fips", "xilinx-zynqmp",
];
