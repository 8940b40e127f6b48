//! The types of virtual machines, one per architecture that has guests.

use crate::error::{Error, ErrorKind, Result};
use crate::lab::initramfs::host_machine;

/// A type of virtual machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineType {
    /// The architecture's ELF machine (`e_machine`).
    pub machine: u16,
    /// The name of QEMU's program.
    pub qemu: &'static str,
    /// QEMU's `-M` option, without the memory backend.
    pub kind: &'static str,
    /// QEMU's `-cpu` option without hardware acceleration; `None` for QEMU's default.
    pub cpu: Option<&'static str>,
    /// The kernel's name for the first serial port, which is the console.
    pub console: &'static str,
    /// QEMU's options for the result port, the second serial port.
    pub result_port: &'static [&'static str],
}

/// The candidates for the result port in the guest, in this order: the second serial port of a PC, the first PCI
/// serial card of other machines.
pub const RESULT_PORTS: [&str; 2] = ["/dev/ttyS1", "/dev/ttyS0"];

/// All types. Those for x86 are tested with many kernels; the one for arm64 is untested.
pub const MACHINE_TYPES: [MachineType; 3] = [
    MachineType {
        machine: object::elf::EM_X86_64.0,
        qemu: "qemu-system-x86_64",
        kind: "q35",
        cpu: None,
        console: "ttyS0",
        result_port: &["-serial", "chardev:result"],
    },
    MachineType {
        machine: object::elf::EM_386.0,
        qemu: "qemu-system-i386",
        kind: "q35",
        cpu: None,
        console: "ttyS0",
        result_port: &["-serial", "chardev:result"],
    },
    MachineType {
        machine: object::elf::EM_AARCH64.0,
        qemu: "qemu-system-aarch64",
        kind: "virt",
        cpu: Some("max"),
        console: "ttyAMA0",
        result_port: &["-device", "pci-serial,chardev=result"],
    },
];

impl MachineType {
    /// The type for kernels of this ELF machine.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] if there is none.
    pub fn of(machine: u16) -> Result<&'static MachineType> {
        MACHINE_TYPES.iter().find(|machine_type| machine_type.machine == machine).ok_or_else(|| {
            let what = format!("no virtual machine for kernels of ELF machine {machine}");
            Error::new(ErrorKind::Unsupported, what).hint("there are virtual machines for x86-64, i386 and arm64")
        })
    }

    /// Can this machine's own processor run its guests?
    pub fn is_native(&self) -> bool {
        self.machine == host_machine()
    }
}
