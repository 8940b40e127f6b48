//! Lines of logs that are not about the loading of a module: none is explained.

use kmodlab::explain::explain;

/// Lines as kernels, drivers and programs print them, made here, with `{n}` for a number and `{d}` for a device.
const LINES: [&str; 72] = [
    "usb 1-{n}: new high-speed USB device number {n} using xhci_hcd",
    "usb 1-{n}: New USB device found, idVendor=0bda, idProduct=8{n}, bcdDevice= 2.00",
    "usb 1-{n}: Product: Storage {n}",
    "usb 1-{n}: USB disconnect, device number {n}",
    "{d}: renamed from eth{n}",
    "{d}: link becomes ready",
    "IPv6: ADDRCONF(NETDEV_CHANGE): {d}: link becomes ready",
    "r8169 0000:0{n}:00.0 {d}: Link is Up - 1Gbps/Full - flow control rx/tx",
    "ata{n}: SATA link up 6.0 Gbps (SStatus 133 SControl 300)",
    "ata{n}.00: configured for UDMA/133",
    "sd {n}:0:0:0: [sda] Attached SCSI disk",
    "sd {n}:0:0:0: [sda] Write Protect is off",
    "EXT4-fs (sda{n}): mounted filesystem with ordered data mode. Quota mode: none.",
    "EXT4-fs error (device sda{n}): ext4_lookup:1785: inode #{n}: comm find: deleted inode referenced: {n}",
    "XFS (dm-{n}): Mounting V5 Filesystem",
    "BTRFS info (device sda{n}): using crc32c (crc32c-intel) checksum algorithm",
    "systemd[1]: Starting Load Kernel Modules...",
    "systemd[1]: Started Session {n} of user admin.",
    "systemd[1]: systemd-modules-load.service: Main process exited, code=exited, status={n}/FAILURE",
    "systemd[1]: Failed to start Load Kernel Modules.",
    "systemd-journald[{n}]: Received SIGTERM from PID 1 (systemd).",
    "sshd[{n}]: Accepted publickey for admin from 192.0.2.{n} port {n} ssh2",
    "sshd[{n}]: pam_unix(sshd:session): session opened for user admin by (uid=0)",
    "CRON[{n}]: (root) CMD (command -v debian-sa1 > /dev/null && debian-sa1 {n} 1)",
    "dhclient[{n}]: DHCPACK of 192.0.2.{n} from 192.0.2.1",
    "NetworkManager[{n}]: <info>  [16{n}] device ({d}): state change: config -> ip-config",
    "audit: type=1400 audit(16{n}.564:{n}): apparmor=\"DENIED\" operation=\"open\" profile=\"app\" name=\"/etc/x{n}\"",
    "audit: type=1130 audit(16{n}.1:{n}): pid=1 uid=0 auid=4294967295 ses=4294967295 msg='unit=foo comm=\"systemd\"'",
    "[drm] Initialized amdgpu 3.{n}.0 for 0000:0{n}:00.0 on minor {n}",
    "amdgpu 0000:0{n}:00.0: amdgpu: SMU is initialized successfully!",
    "i915 0000:00:02.0: [drm] Finished loading DMC firmware i915/kbl_dmc_ver1_0{n}.bin (v1.{n})",
    "iwlwifi 0000:0{n}:00.0: loaded firmware version {n}.3e125b5d.0 cc-a0-{n}.ucode op_mode iwlmvm",
    "iwlwifi 0000:0{n}:00.0: Direct firmware load for iwl-debug-yoyo.bin failed with error -2",
    "bluetooth hci{n}: Direct firmware load for qca/rampatch_{n}.bin failed with error -2",
    "cfg80211: Loading compiled-in X.509 certificates for regulatory database",
    "platform regulatory.{n}: Direct firmware load for regulatory.db failed with error -2",
    "wlp{n}s0: authenticate with 00:00:5e:00:53:0{n}",
    "wlp{n}s0: associated",
    "Bluetooth: BNEP (Ethernet Emulation) ver 1.{n}",
    "ACPI: PCI Interrupt Link [LNK{n}] enabled at IRQ {n}",
    "ACPI Warning: SystemIO range 0x{n}-0x{n}F conflicts with OpRegion",
    "pci 0000:0{n}:00.0: BAR {n}: assigned [mem 0xf7{n}00000-0xf7{n}fffff]",
    "pcieport 0000:00:1c.{n}: AER: Corrected error received: 0000:0{n}:00.0",
    "mce: [Hardware Error]: Machine check events logged",
    "thermal thermal_zone{n}: failed to read out thermal zone (-61)",
    "random: crng init done",
    "clocksource: Switched to clocksource tsc",
    "hrtimer: interrupt took {n} ns",
    "perf: interrupt took too long ({n} > {n}), lowering kernel.perf_event_max_sample_rate to {n}",
    "TCP: request_sock_TCP: Possible SYN flooding on port {n}. Sending cookies.",
    "nf_conntrack: table full, dropping packet",
    "device {d} entered promiscuous mode",
    "docker0: port {n}(veth9e8132f) entered blocking state",
    "overlayfs: upper fs does not support tmpfile.",
    "Out of memory: Killed process {n} (chrome) total-vm:{n}kB, anon-rss:{n}kB",
    "oom_reaper: reaped process {n} (chrome), now anon-rss:0kB",
    "INFO: task kworker/{n}:1:{n} blocked for more than 120 seconds.",
    "process '/usr/bin/app{n}' started with executable stack",
    "traps: app[{n}] general protection ip:7f{n} sp:7ffc{n} error:0 in libc.so[7f{n}+{n}]",
    "app[{n}]: segfault at {n} ip 00007f{n} sp 00007ffc{n} error 4 in app[400000+{n}000]",
    "snd_hda_intel 0000:00:1f.{n}: enabling device (0000 -> 0002)",
    "input: Power Button as /devices/LNXSYSTM:00/LNXPWRBN:00/input/input{n}",
    "spi spi{n}.0: probe of spi{n}.0 failed with error -{n}",
    "i2c i2c-{n}: sendbytes: NAK bailout.",
    "mmc{n}: new high speed SDXC card at address {n}",
    "nvme nvme{n}: {n}/0/0 default/read/poll queues",
    "watchdog: watchdog{n}: watchdog did not stop!",
    "kauditd_printk_skb: {n} callbacks suppressed",
    "postfix/smtpd[{n}]: connect from unknown[192.0.2.{n}]",
    "nginx: 192.0.2.{n} - - \"GET /module/{n} HTTP/1.1\" 404 {n}",
    "app: error loading plugin module 'p{n}': file not found",
    "python[{n}]: ModuleNotFoundError: No module named 'yaml{n}'",
];

/// What logs put before a line.
const PREFIXES: [&str; 8] = [
    "",
    "[ 1{n}.571466] ",
    "<6>[ 1{n}.571466] ",
    "Dec  1 08:0{n}:12 host kernel: ",
    "Dec  1 08:0{n}:12 host kernel: [ 1{n}.2] ",
    "2026-12-01T08:00:1{n}+00:00 host ",
    "Tue Dec  1 08:00:1{n} 2026 kern.info kernel: [ 1{n}.0] ",
    "12-01 08:00:1{n}.123     0     0 I ",
];

#[test]
fn no_unrelated_line_is_explained() {
    let devices = ["enp3s0", "wlan0", "veth1a2b"];
    let mut lines = Vec::new();
    for (at, prefix) in PREFIXES.iter().enumerate() {
        for (number, line) in LINES.iter().enumerate() {
            let device = devices[(at + number) % devices.len()];
            let line = format!("{prefix}{line}").replace("{d}", device);
            lines.push(line.replace("{n}", &((at * 7 + number) % 10).to_string()));
        }
    }
    let explained: Vec<&String> = lines.iter().filter(|line| !explain([line.as_str()]).stories.is_empty()).collect();
    println!("{} of {} unrelated lines are explained", explained.len(), lines.len());
    assert!(explained.is_empty(), "{explained:#?}");
    assert!(lines.len() >= 500);
    // Together they are not explained either.
    assert!(explain(lines.iter().map(String::as_str)).stories.is_empty());
}
