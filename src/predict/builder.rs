//! The builder of a kernel, as far as the loader depends on it: Debian's kernels have a patch that upstream lacks.
//!
//! A version line names the builder before the compiler, and ends with the package's version (`linux_banner`, init/version.c,
//! 2.6.0 to 7.2): `Linux version RELEASE (BUILDER) (COMPILER) #NUMBER SMP Debian VERSION (DATE)`. The compiler is no evidence:
//! every build on Debian uses Debian's compiler.

use crate::kernel::Kernel;

/// The builder of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KernelBuilder {
    /// Debian: the kernel refuses a module with a missing CRC (5.10 to 7.2, seen in each).
    Debian,
    /// A builder that does not start from Debian's source: treated as upstream.
    Upstream,
    /// The facts do not show it, or it is a distribution that starts from Debian's source package (Kali, Raspberry Pi OS,
    /// UOS), which may or may not have kept Debian's patches.
    Unknown,
}

/// The address that Debian's source package sets as the builder (debian/rules.real).
const DEBIAN: &str = "(debian-kernel@lists.debian.org)";

/// Parts of the releases of builders that do not start from Debian's source: Proxmox (Ubuntu's source), Fedora, and Red Hat and
/// its rebuilds.
const OTHERS: [&str; 3] = ["-pve", ".fc", ".el"];

/// The text that Debian puts before its version number. Without a number it may be any builder's: Fedora uses `+debug`.
const OF_DEBIAN: &str = "+deb";

impl KernelBuilder {
    /// Determines the builder of a kernel from its version line, or else from its release.
    pub(super) fn of(kernel: &Kernel) -> KernelBuilder {
        match &kernel.facts.banner {
            Some(banner) => KernelBuilder::of_banner(&banner.value),
            None => KernelBuilder::of_release(kernel.release().unwrap_or_default()),
        }
    }

    fn of_banner(banner: &str) -> KernelBuilder {
        // No known line has a `#` in the compiler's part; in any case, the last `#` is used.
        let (front, package) = banner.trim_end().rsplit_once(" #").unwrap_or((banner, ""));
        let is_by_debian = front.contains(DEBIAN);
        let says_debian = package.split(' ').any(|word| word == "Debian");
        match (is_by_debian, says_debian) {
            (true, true) => KernelBuilder::Debian,
            (false, false) if !is_of_debians_packaging(package) => KernelBuilder::Upstream,
            _ => KernelBuilder::Unknown,
        }
    }

    /// Debian has put `+deb13` and so on into its releases since 13 (trixie); an earlier release such as `6.1.0-47-amd64` may
    /// be any builder's.
    fn of_release(release: &str) -> KernelBuilder {
        if OTHERS.iter().any(|other| release.contains(other)) {
            return KernelBuilder::Upstream;
        }
        let (_, number) = release.split_once(OF_DEBIAN).unwrap_or_default();
        match number.starts_with(|c: char| c.is_ascii_digit()) {
            true => KernelBuilder::Debian,
            false => KernelBuilder::Unknown,
        }
    }
}

/// Does the package's part end as Debian's source package writes it (debian/rules.real): `NAME VERSION (2024-06-01)`? The name
/// is that of the distribution that rebuilt the package. Proxmox adds a time, and uses its own packaging.
fn is_of_debians_packaging(package: &str) -> bool {
    let Some((_, date)) = package.rsplit_once(" (") else { return false };
    let Some(date) = date.strip_suffix(')') else { return false };
    let parts: Vec<&str> = date.split('-').collect();
    let is_number = |part: &&str, length| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
    matches!(parts.as_slice(), [year, month, day] if is_number(year, 4) && is_number(month, 2) && is_number(day, 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_kernels_that_debian_built_count_as_debians() {
        for banner in [
            "Linux version 6.1.0-42-amd64 (debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0, GNU ld \
             (GNU Binutils for Debian) 2.40) #1 SMP PREEMPT_DYNAMIC Debian 6.1.159-1 (2025-12-30)",
            "Linux version 4.9.0-12-amd64 (debian-kernel@lists.debian.org) (gcc version 6.3.0 20170516 (Debian \
             6.3.0-18+deb9u1) ) #1 SMP Debian 4.9.210-1 (2020-01-20)\n",
        ] {
            assert_eq!(KernelBuilder::of_banner(banner), KernelBuilder::Debian, "{banner}");
        }
    }

    #[test]
    fn debians_compiler_does_not_make_a_kernel_debians() {
        for banner in [
            // Proxmox of 2024 and of 2021; a self-built kernel; Ubuntu; Fedora.
            "Linux version 6.8.12-4-pve (build@proxmox) (gcc (Debian 12.2.0-14) 12.2.0, GNU ld (GNU Binutils for Debian) \
             2.40) #1 SMP PREEMPT_DYNAMIC PMX 6.8.12-4 (2024-11-06T15:04Z)",
            "Linux version 5.11.22-1-pve (build@proxmox) (gcc (Debian 8.3.0-6) 8.3.0, GNU ld (GNU Binutils for Debian) \
             2.31.1) #1 SMP PVE 5.11.22-1 (Fri, 02 Jul 2021 16:22:45 +0200)",
            "Linux version 6.6.1 (me@home) (gcc (Debian 12.2.0-14) 12.2.0, GNU ld (GNU Binutils for Debian) 2.40) #3 SMP \
             PREEMPT_DYNAMIC Sat Nov 11 10:00:00 CET 2023",
            "Linux version 6.8.0-52-generic (buildd@lcy02-amd64-046) (x86_64-linux-gnu-gcc-13 (Ubuntu \
             13.3.0-6ubuntu2~24.04) 13.3.0, GNU ld (GNU Binutils for Ubuntu) 2.42) #53-Ubuntu SMP PREEMPT_DYNAMIC Sat Jan \
             11 00:06:25 UTC 2025",
            "Linux version 6.1.21-v8+ (dom@buildbot) (aarch64-linux-gnu-gcc-8 (Ubuntu/Linaro 8.4.0-3ubuntu1) 8.4.0, GNU ld \
             (GNU Binutils for Ubuntu) 2.34) #1642 SMP PREEMPT Mon Apr  3 17:24:16 BST 2023",
            "Linux version 6.1 (builder@example.org) #1 SMP",
        ] {
            assert_eq!(KernelBuilder::of_banner(banner), KernelBuilder::Upstream, "{banner}");
        }
    }

    #[test]
    fn a_kernel_from_debians_source_may_have_debians_patches() {
        for banner in [
            "Linux version 6.12.75+rpt-rpi-2712 (serge@raspberrypi.com) (aarch64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0, \
             GNU ld (GNU Binutils for Debian) 2.44) #1 SMP PREEMPT Debian 1:6.12.75-1+rpt1 (2026-03-11)",
            "Linux version 6.6.51+rpt-rpi-v7 (serge@raspberrypi.com) (gcc-12 (Raspbian 12.2.0-14+rpi1) 12.2.0, GNU ld (GNU \
             Binutils for Raspbian) 2.40) #1 SMP Raspbian 1:6.6.51-1+rpt3 (2024-10-08)",
            "Linux version 6.18.12+kali-amd64 (devel@kali.org) (x86_64-linux-gnu-gcc-15 (Debian 15.2.0-13) 15.2.0, GNU ld \
             (GNU Binutils for Debian) 2.46) #1 SMP PREEMPT_DYNAMIC Kali 6.18.12-1kali1 (2026-02-25)",
            "Linux version 4.19.0-6-amd64 (debian-kernel@lists.debian.org) (gcc version 8.3.0 (Debian 8.3.0-6)) #1 SMP Uos \
             4.19.67-11eagle (2020-03-21)",
        ] {
            assert_eq!(KernelBuilder::of_banner(banner), KernelBuilder::Unknown, "{banner}");
        }
    }

    #[test]
    fn without_a_version_line_a_release_shows_little() {
        assert_eq!(KernelBuilder::of_release("6.12.117+deb13-cloud-arm64"), KernelBuilder::Debian);
        assert_eq!(KernelBuilder::of_release("5.11.22-1-pve"), KernelBuilder::Upstream);
        assert_eq!(KernelBuilder::of_release("2.6.32-279.el6.x86_64"), KernelBuilder::Upstream);
        assert_eq!(KernelBuilder::of_release("6.1.0-47-amd64"), KernelBuilder::Unknown);
    }

    #[test]
    fn a_debug_kernel_is_not_debians() {
        assert_eq!(KernelBuilder::of_release("6.14.5-300.fc42.x86_64+debug"), KernelBuilder::Upstream);
        assert_eq!(KernelBuilder::of_release("5.14.0-503.el9.x86_64+debug"), KernelBuilder::Upstream);
        assert_eq!(KernelBuilder::of_release("6.6.30+debug"), KernelBuilder::Unknown);
        assert_eq!(KernelBuilder::of_release("6.6.30+deb"), KernelBuilder::Unknown);
    }
}
