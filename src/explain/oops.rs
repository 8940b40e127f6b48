//! The lines of an oops, a BUG, a warning or a panic: what happened, where, in which module, on which kernel.
//!
//! Read in arch/*/mm/fault.c, arch/*/kernel/traps.c, kernel/panic.c, lib/dump_stack.c and kernel/module/main.c
//! (`print_modules`) of 2.6.32 to 7.2.

/// What a line of an oops says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OopsPart {
    /// What happened.
    Header,
    /// The kernel warned, and goes on.
    Warning,
    /// Where; the place `module` if it is in a module.
    Place,
    /// The program, the taint (`flags`) and the kernel's release.
    Machine,
    /// The loaded modules.
    Modules,
    /// The end.
    End,
}

/// A line of an oops.
#[derive(Clone, Copy, Debug)]
pub(super) struct OopsLine {
    pub(super) text: &'static str,
    pub(super) part: OopsPart,
    pub(super) meaning: &'static str,
}

const fn header(text: &'static str, meaning: &'static str) -> OopsLine {
    OopsLine { text, part: OopsPart::Header, meaning }
}

const fn place(text: &'static str) -> OopsLine {
    OopsLine { text, part: OopsPart::Place, meaning: "where it happened" }
}

const fn machine(text: &'static str) -> OopsLine {
    OopsLine { text, part: OopsPart::Machine, meaning: "the program, the taint and the kernel" }
}

const NULL: &str = "the kernel followed a pointer that is 0";
const ADDRESS: &str = "the kernel followed a pointer to memory that is not there";

/// These lines.
#[rustfmt::skip]
pub(super) const LINES: &[OopsLine] = &[
    header("BUG: unable to handle kernel NULL pointer dereference at {address:*}", NULL),
    header("BUG: unable to handle kernel paging request at {address:*}", ADDRESS),
    header("BUG: unable to handle page fault for address: {address:*}", ADDRESS),
    header("BUG: kernel NULL pointer dereference, address: {address:*}", NULL),
    header("BUG: Kernel NULL pointer dereference on {access:*} at {address:*}", NULL),
    header("BUG: Kernel NULL pointer dereference at {address:*}", NULL),
    header("BUG: Unable to handle kernel data access on {access:*} at {address:*}", ADDRESS),
    header("BUG: Unable to handle kernel data access at {address:*}", ADDRESS),
    header("BUG: Unable to handle kernel instruction fetch{rest:*}", ADDRESS),
    header("Unable to handle kernel NULL pointer dereference at virtual address {address:*}", NULL),
    header("Unable to handle kernel paging request at virtual address {address:*}", ADDRESS),
    header("Unable to handle kernel access to user memory outside uaccess routines at virtual address {address:*}", ADDRESS),
    header("Unable to handle kernel write to read-only memory at virtual address {address:*}", "the kernel wrote to memory that is read-only"),
    header("Unable to handle kernel execute from non-executable memory at virtual address {address:*}", "the kernel jumped to memory without code"),
    header("Unable to handle kernel paging request for data at address {address:*}", ADDRESS),
    header("Unable to handle kernel paging request for instruction fetch", ADDRESS),
    header("Unable to handle kernel pointer dereference in virtual kernel address space", ADDRESS),
    header("CPU {cpu:d} Unable to handle kernel paging request at virtual address {address:*}", ADDRESS),
    header("kernel tried to execute NX-protected page - exploit attempt? (uid: {user:d})", "the kernel jumped to memory without code"),
    header("kernel BUG at {file:*}!", "the kernel found itself in a state that must not be ({file})"),
    header("general protection fault: {code:*} [#{count:d}] {rest:*}", "the kernel used an address that cannot be one"),
    header("general protection fault, {rest:*}", "the kernel used an address that cannot be one"),
    header("invalid opcode: {code:*} [#{count:d}] {rest:*}", "the processor met an instruction that it does not have: often a BUG"),
    header("divide error: {code:*} [#{count:d}] {rest:*}", "the kernel divided by 0"),
    header("kernel stack overflow ({rest:*}", "the kernel's stack is full"),
    header("BUG: stack guard page was hit at {address:*}", "the kernel's stack is full"),
    header("Internal error: {what:*} [#{count:d}] {rest:*}", "the kernel died: {what}"),
    header("Internal error: {what:*} [#{count:d}]", "the kernel died: {what}"),
    header("Oops: {code:*} [#{count:d}] {rest:*}", "the kernel died in this process, and may go on"),
    header("Oops: {code:*} [#{count:d}]", "the kernel died in this process, and may go on"),
    header("Oops[#{count:d}]:{rest:*}", "the kernel died in this process, and may go on"),
    header("Oops [#{count:d}]{rest:*}", "the kernel died in this process, and may go on"),
    header("Oops: Kernel access of bad area, sig: {signal:d} [#{count:d}]", ADDRESS),
    header("Kernel panic - not syncing: {reason:*}", "the kernel stopped: {reason}"),
    header("BUG: soft lockup - CPU#{cpu:d} stuck for {seconds:*} [{program:*}]", "the processor was stuck in the kernel, in the program {program}"),
    header("watchdog: BUG: soft lockup - CPU#{cpu:d} stuck for {seconds:*} [{program:*}]", "the processor was stuck in the kernel, in the program {program}"),
    header("BUG: scheduling while atomic: {program:*}", "the kernel slept where it must not, in the program {program}"),
    OopsLine { text: "WARNING: CPU: {cpu:d} PID: {pid:d} at {place:*} [{module}]", part: OopsPart::Warning, meaning: "the kernel warned about {module} ({place}), and goes on" },
    OopsLine { text: "WARNING: CPU: {cpu:d} PID: {pid:d} at {place:*}", part: OopsPart::Warning, meaning: "the kernel warned at {place}, and goes on" },
    OopsLine { text: "WARNING: at {place:*} [{module}]()", part: OopsPart::Warning, meaning: "the kernel warned about {module} ({place}), and goes on" },
    place("RIP: {place:*}+0x{offset:*} [{module}]"),
    place("RIP: {place:*}+0x{offset:*}"),
    place("IP: {place:*}+0x{offset:*} [{module}]"),
    place("EIP: {place:*}+0x{offset:*} [{module}]"),
    place("EIP is at {place}+0x{offset:*} [{module}]"),
    place("EIP is at {place}+0x{offset:*}"),
    place("pc : {place}+0x{offset:*} [{module}]"),
    place("pc : {place}+0x{offset:*}"),
    place("PC is at {place}+0x{offset:*} [{module}]"),
    place("PC is at {place}+0x{offset:*}"),
    place("epc : {place}+0x{offset:*} [{module}]"),
    place("epc   : {address} {place}+0x{offset:*} [{module}]"),
    place("NIP [{address}] {place}+0x{offset:*} [{module}]"),
    place("Krnl PSW : {psw:*} ({place}+0x{offset:*} [{module}])"),
    machine("CPU: {cpu:d} PID: {pid:d} Comm: {program:*} Tainted: {flags:*} {release} #{build:*}"),
    machine("CPU: {cpu:d} PID: {pid:d} Comm: {program:*} Not tainted {release} #{build:*}"),
    machine("CPU: {cpu:d} UID: {user:d} PID: {pid:d} Comm: {program:*} Tainted: {flags:*} {release} #{build:*}"),
    machine("CPU: {cpu:d} UID: {user:d} PID: {pid:d} Comm: {program:*} Not tainted {release} #{build:*}"),
    machine("Pid: {pid:d}, comm: {program:*} Tainted: {flags:*} {release} #{build:*}"),
    machine("Pid: {pid:d}, comm: {program:*} Not tainted {release} #{build:*}"),
    machine("Pid: {pid:d}, comm: {program:*} Tainted: {flags:*} ({release} #{build:*})"),
    machine("Pid: {pid:d}, comm: {program:*} Not tainted ({release} #{build:*})"),
    machine("CPU: {cpu:d}    Tainted: {flags:*} ({release} #{build:*})"),
    machine("CPU: {cpu:d}    Not tainted  ({release} #{build:*})"),
    OopsLine { text: "Tainted: [{letter}]={words:*}", part: OopsPart::Machine, meaning: "the taint: [{letter}]={words}" },
    OopsLine { text: "Modules linked in: {modules:*}", part: OopsPart::Modules, meaning: "the modules that were loaded; (O) is from outside of the kernel's tree, (E) unsigned, (P) proprietary, (F) forced" },
    OopsLine { text: "Unloaded tainted modules: {modules:*}", part: OopsPart::Modules, meaning: "modules that set a taint and were removed" },
    OopsLine { text: "---[ end trace {trace:*} ]---", part: OopsPart::End, meaning: "the end of the report" },
];
