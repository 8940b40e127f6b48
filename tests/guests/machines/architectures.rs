//! The architectures: their kernels, the QEMU machine for each, and how the first process of a guest is built.

/// An architecture.
pub(crate) struct Architecture {
    /// Debian's name.
    pub(crate) name: &'static str,
    /// Kernels by the names that `tests/real/fetch` gives them. The first is used for the sample.
    pub(crate) kernels: &'static [&'static str],
    pub(crate) machines: &'static [Machine],
}

/// A QEMU machine, for kernels whose names begin with this text.
pub(crate) struct Machine {
    pub(crate) kernels: &'static str,
    /// The QEMU program and its arguments. `console` and `result` are character devices.
    pub(crate) qemu: &'static str,
    /// The kernel's command line. The name of the console depends on the kernel.
    pub(crate) command_line: &'static str,
    /// Where the guest finds the result port.
    pub(crate) port: &'static str,
    /// The compiler's options, in addition to the common ones.
    pub(crate) target: &'static [&'static str],
    /// The linker.
    pub(crate) linker: &'static str,
}

/// LLVM's linker, for all architectures except s390x, which it does not support in Debian 12.
const LLD: &str = "ld.lld-14";

pub(crate) const ARCHITECTURES: &[Architecture] = &[
    Architecture {
        name: "amd64",
        kernels: &["amd64-6.12", "amd64-6.1-cloud", "amd64-7.2", "amd64-5.10-cloud", "amd64-6.1-rt"],
        machines: &[Machine {
            kernels: "amd64-",
            qemu: "qemu-system-x86_64 -M pc -cpu max -m 768 -serial chardev:console -serial chardev:result",
            // On a busy host the kernel may take the timer for broken.
            command_line: "console=ttyS0 no_timer_check",
            port: "/dev/ttyS1",
            target: &["--target=x86_64-linux-gnu"],
            linker: LLD,
        }],
    },
    Architecture {
        name: "arm64",
        kernels: &["arm64-6.12", "arm64-6.1-cloud", "arm64-7.2-cloud", "arm64-6.12-cloud", "arm64-6.12-rt"],
        machines: &[Machine {
            kernels: "arm64-",
            // The model `max` takes twice as long.
            qemu: "qemu-system-aarch64 -M virt -cpu cortex-a57 -m 768 -serial chardev:console -device pci-serial,chardev=result",
            command_line: "console=ttyAMA0",
            port: "/dev/ttyS0",
            target: &["--target=aarch64-linux-gnu"],
            linker: LLD,
        }],
    },
    Architecture {
        name: "armhf",
        kernels: &["armhf-6.12", "armhf-6.1", "armhf-7.2"],
        machines: &[Machine {
            kernels: "armhf-",
            qemu: "qemu-system-arm -M virt,highmem=off -cpu cortex-a15 -m 768 -serial chardev:console -device pci-serial,chardev=result",
            command_line: "console=ttyAMA0",
            port: "/dev/ttyS0",
            target: &["--target=arm-linux-gnueabihf", "-marm", "-march=armv7-a"],
            linker: LLD,
        }],
    },
    Architecture {
        name: "i386",
        kernels: &["i386-5.10", "i386-6.1"],
        machines: &[Machine {
            kernels: "i386-",
            qemu: "qemu-system-i386 -M pc -cpu max -m 768 -serial chardev:console -serial chardev:result",
            command_line: "console=ttyS0 no_timer_check",
            port: "/dev/ttyS1",
            target: &["--target=i686-linux-gnu"],
            linker: LLD,
        }],
    },
    Architecture {
        name: "mips",
        kernels: &["mipsel-6.1", "mips64el-6.1"],
        machines: &[
            Machine {
                kernels: "mipsel-",
                qemu: "qemu-system-mipsel -M malta -cpu 24Kf -m 512 -serial chardev:console -serial chardev:result",
                command_line: "console=ttyS0",
                port: "/dev/ttyS1",
                target: &["--target=mipsel-linux-gnu", "-mno-abicalls", "-G0", "-march=mips32r2"],
                linker: LLD,
            },
            Machine {
                kernels: "mips64el-",
                qemu: "qemu-system-mips64el -M malta -cpu MIPS64R2-generic -m 512 -serial chardev:console -serial chardev:result",
                command_line: "console=ttyS0",
                port: "/dev/ttyS1",
                target: &["--target=mips64el-linux-gnuabi64", "-mno-abicalls", "-G0", "-march=mips64r2"],
                linker: LLD,
            },
        ],
    },
    Architecture {
        name: "ppc64el",
        kernels: &["ppc64el-6.12", "ppc64el-6.1", "ppc64el-7.2"],
        machines: &[Machine {
            kernels: "ppc64el-",
            // x-vof skips the firmware, which takes a minute.
            qemu: "qemu-system-ppc64 -M pseries,x-vof=on,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off \
                   -cpu POWER9 -m 1024 -device spapr-vty,chardev=console,reg=0x30000000 \
                   -device spapr-vty,chardev=result,reg=0x30001000",
            command_line: "console=hvc0",
            port: "/dev/hvc1",
            target: &["--target=powerpc64le-linux-gnu"],
            linker: LLD,
        }],
    },
    Architecture {
        name: "riscv64",
        kernels: &["riscv64-6.12", "riscv64-7.2"],
        machines: &[Machine {
            kernels: "riscv64-",
            qemu: "qemu-system-riscv64 -M virt -m 768 -serial chardev:console -device pci-serial,chardev=result",
            command_line: "console=ttyS0",
            port: "/dev/ttyS1",
            target: &["--target=riscv64-linux-gnu", "-march=rv64gc", "-mabi=lp64d", "-mno-relax"],
            linker: LLD,
        }],
    },
    Architecture {
        name: "s390x",
        kernels: &["s390x-6.12", "s390x-6.1", "s390x-7.2"],
        machines: &[Machine {
            kernels: "s390x-",
            // Not virtio: its console driver is a module in 6.1.
            qemu: "qemu-system-s390x -M s390-ccw-virtio -cpu max -m 768 -device sclplmconsole,chardev=console \
                   -device sclpconsole,chardev=result",
            command_line: "console=ttyS0",
            port: "/dev/ttysclp0",
            target: &["--target=s390x-linux-gnu"],
            linker: "s390x-linux-gnu-ld",
        }],
    },
];

impl Architecture {
    /// The machine of a kernel.
    pub(crate) fn machine(&self, kernel: &str) -> &'static Machine {
        self.machines.iter().find(|machine| kernel.starts_with(machine.kernels)).unwrap()
    }
}
