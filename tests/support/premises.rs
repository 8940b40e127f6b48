//! The facts of the two kernels that the outcome of an experiment follows from. If a newer kernel no longer has a fact that an
//! experiment needs, the experiment does not claim its outcome, and prints this.

use kmodlab::btf::Btf;
use kmodlab::kernel::Kernel;
use kmodlab::vermagic::TokenKind;

use super::facts::Facts;

/// The kernel that a module was built for, and the one that it is loaded into.
pub(crate) struct Pair {
    names: [String; 2],
    built_for: Facts,
    pub(crate) kernel: Facts,
}

/// The offsets of a member in the module's kernel and in the other kernel, in bytes; `None` if there is no such member.
pub(crate) type Places = [Option<u64>; 2];

impl Pair {
    pub(crate) fn of(built_for: &str, kernel: &str) -> Pair {
        let names = [built_for, kernel].map(str::to_owned);
        let [built_for, kernel] = [built_for, kernel].map(Facts::of);
        Pair { names, built_for, kernel }
    }

    /// The kernel refuses the module because of the CRC that represents the layout of all modules.
    pub(crate) fn is_another_abi(&self) -> bool {
        self.premise("the CRCs of module_layout differ", self.crcs_differ("module_layout"))
    }

    /// dummy writes a pointer into `lstats` of `struct net_device`, at its offset in the module's kernel. There the other
    /// kernel has the bus of its `struct device`, and `device_add` follows it.
    pub(crate) fn bus_is_overwritten(&self) -> bool {
        let [written, _] = self.places("net_device", "lstats");
        let [[_, dev], [_, bus]] = [("net_device", "dev"), ("device", "bus")].map(|(of, name)| self.places(of, name));
        let is_hit = written.is_some() && written == dev.zip(bus).map(|(dev, bus)| dev + bus);
        self.premise("the module's lstats is where the kernel has dev.bus", is_hit)
    }

    /// dummy counts the packets that it sends in `lstats`, and is deleted through `rtnl_link_ops`. If these moved as they did
    /// between 6.1.0-47 and 6.1.0-57, the kernel finds nothing in them. With other distances the damage may be of another kind.
    pub(crate) fn damage_is_silent(&self) -> bool {
        let moved = ["lstats", "dev", "rtnl_link_ops"].map(|name| {
            let [ours, theirs] = self.places("net_device", name);
            theirs?.checked_sub(ours?)
        });
        let is_so = moved == [Some(8), Some(8), Some(16)];
        self.premise("lstats and dev of net_device moved by 8 bytes, rtnl_link_ops by 16", is_so)
    }

    /// The kernel reads the init pointer where the module has `extable`, which only the loader fills: a module file has zeros
    /// there. Also, the version magic can be patched in place.
    pub(crate) fn init_is_elsewhere(&self) -> bool {
        let [[extable, _], [_, init]] = ["extable", "init"].map(|name| self.places("module", name));
        let [ours, theirs] = self.kernels().map(|kernel| kernel.vermagic.as_ref().unwrap().value.as_bytes().len());
        let has_room = ours >= theirs;
        self.premise("the module's extable is where the kernel has init", extable.is_some() && extable == init)
            && self.premise("the module's version magic has room for the kernel's", has_room)
    }

    /// Forcing is possible, and the kernel does not check types, or tolerates those of another kernel.
    pub(crate) fn can_be_forced(&self) -> bool {
        let tolerates =
            !self.kernel.is_set("DEBUG_INFO_BTF_MODULES") || self.kernel.is_set("MODULE_ALLOW_BTF_MISMATCH");
        self.premise("the kernel can be forced", self.kernel.is_set("MODULE_FORCE_LOAD"))
            && self.premise("the kernel takes types that do not fit", tolerates)
    }

    /// `struct module` differs.
    pub(crate) fn is_another_struct_module(&self) -> bool {
        let differ =
            ["init", "exit"].map(|member| self.places("module", member)).iter().any(|[ours, theirs]| ours != theirs);
        self.premise("init or exit of struct module is elsewhere", differ)
    }

    /// The kernel refuses types that do not fit, and their numbers and names differ from those in the module's kernel.
    pub(crate) fn types_are_refused(&self) -> bool {
        let is_checked =
            self.kernel.is_set("DEBUG_INFO_BTF_MODULES") && !self.kernel.is_set("MODULE_ALLOW_BTF_MISMATCH");
        self.premise("the kernel refuses types that do not fit", is_checked) && self.types_are_others()
    }

    pub(crate) fn types_are_others(&self) -> bool {
        self.premise("the kernels' types and strings end elsewhere", types_end_elsewhere(self.kernels()))
    }

    /// The kernel compares the whole version magic, since it has no symbol versions.
    pub(crate) fn vermagic_decides(&self) -> bool {
        let [ours, theirs] = self.kernels().map(|kernel| &kernel.vermagic.as_ref().unwrap().value);
        self.premise(
            "the kernel compares all of the version magic",
            !theirs.has(TokenKind::Modversions) && ours != theirs,
        )
    }

    /// Returns whether a premise holds, and prints it.
    pub(crate) fn premise(&self, what: &str, holds: bool) -> bool {
        let [built_for, kernel] = &self.names;
        let so = if holds { "" } else { "NOT SO, the outcome is not claimed: " };
        println!("modules of {built_for} on {kernel}: {so}{what}");
        holds
    }

    /// Do both kernels have this symbol with a CRC, and do the CRCs differ?
    fn crcs_differ(&self, symbol: &str) -> bool {
        let [ours, theirs] = self.kernels().map(|kernel| kernel.facts.crc(symbol, None));
        ours.is_some() && theirs.is_some() && ours != theirs
    }

    /// The offsets of a member of a structure, from the BTF of both kernels.
    pub(crate) fn places(&self, structure: &str, member: &str) -> Places {
        self.kernels().map(|kernel| place(kernel, structure, member))
    }

    fn kernels(&self) -> [&Kernel; 2] {
        [&self.built_for.kernel, &self.kernel.kernel]
    }
}

fn place(kernel: &Kernel, structure: &str, member: &str) -> Option<u64> {
    let types = Btf::parse(&kernel.facts.btf.as_ref()?.value).unwrap();
    let (_, members) = types.struct_members(structure)?;
    members.iter().find(|found| found.name == member).map(|found| found.offset)
}

/// A module's own types are numbered from the end of its kernel's types, and so are its strings. In a kernel with other numbers
/// of types and strings they mean something else.
pub(crate) fn types_end_elsewhere(kernels: [&Kernel; 2]) -> bool {
    let [ours, theirs] = kernels.map(|kernel| {
        // `type_len` and `str_len` of `struct btf_header` (include/uapi/linux/btf.h).
        let header = &kernel.facts.btf.as_ref().unwrap().value[..24];
        [12, 20].map(|at| u32::from_ne_bytes(header[at..at + 4].try_into().unwrap()))
    });
    ours[0] != theirs[0] && ours[1] != theirs[1]
}
