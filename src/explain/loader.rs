//! Lines of the module loader that no rule of [`crate::predict`] prints: parameters, waiting, memory, decompression, types,
//! older versions, vendors' kernels.
//!
//! Read in kernel/module/main.c, decompress.c and kernel/params.c (6.x), kernel/module.c (2.6.9 to 5.17), kernel/bpf/btf.c,
//! kernel/kmod.c; those of vendors in Android's kernel/module/main.c (android14-6.1) and in the kernels of RHEL 6 to 8.

use crate::predict::LoaderStep;
use crate::predict::availability::Availability;
use crate::predict::errno::{EACCES, EEXIST, EINVAL, ENOENT, ENOEXEC, ENOMEM, EPERM};
use crate::predict::message::{Effect, Message};

const ALWAYS: Availability = Availability::Always;
const DECOMPRESSES: Availability = Availability::Version((5, 17));
const TYPES: Availability = Availability::Version((5, 11));

const fn line(text: &'static str, effect: Effect, kernels: Availability, meaning: &'static str) -> Message {
    Message::new(text, effect, kernels, meaning)
}

/// These lines.
#[rustfmt::skip]
pub(super) const MESSAGES: &[Message] = &[
    // permission
    line("Kernel is locked down from {reason:*}; see man kernel_lockdown.7", Effect::Warns, Availability::Version((5, 4)), "the kernel is locked down ({reason}): it loads only modules that are signed by a key that it trusts").at(LoaderStep::Signature),
    line("Lockdown: {program}: Loading of unsigned module is restricted; see man kernel_lockdown.7", Effect::Refuses(EPERM), ALWAYS, "the kernel is locked down (Secure Boot), so it loads only modules that are signed by a key that it trusts").at(LoaderStep::Signature),
    line("Lockdown: Loading of unsigned modules is restricted; see man kernel_lockdown.7", Effect::Refuses(EPERM), ALWAYS, "the kernel is locked down (Secure Boot), so it loads only modules that are signed by a key that it trusts").at(LoaderStep::Signature),
    // container
    line("failed to initialize decompressor: {status:d}", Effect::Refuses(EINVAL), DECOMPRESSES, "the kernel cannot unpack the compressed file").at(LoaderStep::Container),
    line("ZSTD-compressed data has an incomplete frame header", Effect::Refuses(EINVAL), DECOMPRESSES, "the compressed file is cut short").at(LoaderStep::Container),
    line("ZSTD-compressed data has too large a window size", Effect::Refuses(EINVAL), DECOMPRESSES, "the file was compressed with a larger window (zstd --long) than the kernel unpacks").at(LoaderStep::Container),
    line("ZSTD-decompression failed with status {status:d}", Effect::Refuses(EINVAL), DECOMPRESSES, "the kernel cannot unpack the file: it is damaged, or compressed in a way that the kernel does not know").at(LoaderStep::Container),
    line("Can't initialize ZSTD stream", Effect::Refuses(ENOMEM), DECOMPRESSES, "the kernel has no memory to unpack the file").at(LoaderStep::Container),
    // version magic of older kernels
    line("{module}: no version magic, tainting kernel.", Effect::Taints('F'), ALWAYS, "the module has no version magic; kernels up to 2.6.24 load it all the same").at(LoaderStep::Vermagic),
    line("{module}: no version for \"{symbol:*}\" found: kernel tainted.", Effect::Taints('F'), ALWAYS, "the module has no CRC of {symbol} and no kernel before 2.6.30 asked for one: it was loaded by force").at(LoaderStep::Vermagic),
    // symbols
    line("{module}: gave up waiting for init of module {owner}.", Effect::Precedes, ALWAYS, "it needs a symbol of {owner}, whose init function had not ended after 30 seconds").at(LoaderStep::Symbols),
    line("{module}: exports protected symbol {symbol}", Effect::Refuses(EACCES), Availability::Option("MODULE_SIG_PROTECT"), "it exports {symbol}, which only a module that Google signed may export (CONFIG_MODULE_SIG_PROTECT of Android's kernels)").at(LoaderStep::Exports),
    line("{module}: Protected symbol: {symbol} (err {error:d})", Effect::Refuses(EACCES), Availability::Option("MODULE_SIG_PROTECT"), "it uses {symbol}, which this Android kernel gives only to modules that Google signed (CONFIG_MODULE_SIG_PROTECT)").at(LoaderStep::Symbols),
    line("failing symbol_get of non-GPLONLY symbol {symbol}.", Effect::Warns, Availability::Version((6, 6)), "a module asks for {symbol} by symbol_get, which works only for GPL-only symbols"),
    line("Symbol {symbol} is being used by a non-GPL module, which will not be allowed in the future", Effect::Warns, ALWAYS, "a proprietary module uses {symbol}, which will become GPL-only"),
    line("Symbol {symbol} is marked as UNUSED, however this module is using it.", Effect::Warns, ALWAYS, "a module uses {symbol}, which was to be removed"),
    // parameters
    line("{module}: unknown parameter '{parameter:*}' ignored", Effect::Warns, Availability::Version((3, 11)), "the module has no parameter {parameter}; kernels since 3.11 ignore it"),
    line("{module}: Unknown parameter `{parameter:*}'", Effect::Refuses(ENOENT), ALWAYS, "the module has no parameter {parameter}"),
    line("{module}: Unknown parameter '{parameter:*}'", Effect::Refuses(ENOENT), ALWAYS, "the module has no parameter {parameter}"),
    line("{module}: `{value:*}' invalid for parameter `{parameter:*}'", Effect::Refuses(EINVAL), ALWAYS, "the value {value} of the parameter {parameter} is not valid"),
    line("{module}: `{value:*}' too large for parameter `{parameter:*}'", Effect::Refuses(EINVAL), ALWAYS, "the value {value} of the parameter {parameter} is too large"),
    line("Setting dangerous option {parameter} - tainting kernel", Effect::Taints('U'), Availability::Version((3, 17)), "somebody set the module's parameter {parameter}, which the driver marks as unsafe"),
    line("{module}: Setting dangerous option {parameter} - tainting kernel", Effect::Taints('U'), Availability::Version((3, 17)), "somebody set the module's parameter {parameter}, which the driver marks as unsafe"),
    // init
    line("do_init_module: '{module}'->init suspiciously returned {result:d}, it should follow 0/-E convention", Effect::Warns, ALWAYS, "the loader accepted the module; its init function returned {result}, where 0 or a negative errno is right"),
    line("{function}: '{module}'->init suspiciously returned {result:d}, it should follow 0/-E convention", Effect::Warns, ALWAYS, "the loader accepted the module; its init function returned {result}, where 0 or a negative errno is right"),
    line("sysfs: cannot create duplicate filename '/module/{module}'", Effect::Refuses(EEXIST), ALWAYS, "something of this name is loaded, or built into the kernel, and has this folder in sysfs").at(LoaderStep::Name),
    line("request_module: runaway loop modprobe {alias}", Effect::Warns, ALWAYS, "modprobe itself needs {alias}, so the kernel stopped calling it: often a 32-bit modprobe on a kernel that cannot run it"),
    line("request_module: modprobe {alias} cannot be processed, kmod busy with {threads:d} threads for more than {seconds:d} seconds now", Effect::Warns, Availability::Version((4, 13)), "too many modules are requested at the same time"),
    // retpolines, in the kernels of RHEL and in mainline 4.15
    line("WARNING: module '{module}' built without retpoline-enabled compiler, may affect Spectre v2 mitigation", Effect::Warns, ALWAYS, "the module was compiled without retpolines; the kernel goes on"),
    line("Disabling lock debugging due to kernel taint", Effect::Warns, ALWAYS, "follows the first taint; the lines before name its cause"),
    line("Warning: {module}: this module has not been tested or certified{rest:*}", Effect::Warns, ALWAYS, "a distribution's remark about a module that it does not support"),
    line("Warning: Unmaintained driver is detected: {module}", Effect::Warns, ALWAYS, "Red Hat's remark about a driver that nobody maintains; the kernel goes on"),
    line("{module}: externally supported module, setting X kernel taint flag.", Effect::Taints('X'), ALWAYS, "SUSE's mark for a module that another vendor supports"),
    line("{module}: module not supported by Novell, setting U taint flag.", Effect::Taints('U'), ALWAYS, "SUSE's mark for a module that nobody supports"),
    line("{module}: module is not supported by SUSE", Effect::Refuses(ENOEXEC), ALWAYS, "SUSE's kernel refuses modules that it does not support (allow_unsupported_modules in modprobe.d)"),
    line("Module {module} unsupported: tainting kernel", Effect::Warns, ALWAYS, "a distribution's mark for a module that nobody supports"),
    line("Kernel Taint Module!!", Effect::Warns, ALWAYS, "a vendor's (MediaTek's) remark that a module from outside is being loaded"),
    // memory
    line("percpu: allocation failed, size={size:d} align={align:d} atomic={atomic:d}, alloc from reserved chunk failed", Effect::Precedes, ALWAYS, "the reserve for per-CPU data of modules is full").at(LoaderStep::Memory),
    line("PERCPU: allocation failed, size={size:d} align={align:d}, alloc from reserved chunk failed", Effect::Precedes, ALWAYS, "the reserve for per-CPU data of modules is full").at(LoaderStep::Memory),
    line("vmap allocation for size {size:d} failed: use vmalloc=<size> to increase size{rest:*}", Effect::Precedes, ALWAYS, "the address space for modules and other mapped memory is full").at(LoaderStep::Memory),
    line("Failed to allocate memory for allocation tags in the module {module}. Memory allocation profiling is disabled!", Effect::Precedes, Availability::Version((6, 10)), "there is no memory for the counters of allocation profiling").at(LoaderStep::Memory),
    // types
    line("BPF:{text:*}", Effect::Precedes, TYPES, "its BTF does not fit the kernel's: the two were not built together").at(LoaderStep::Btf),
    line("failed to create module [{module}] BTF sysfs: {error:d}", Effect::Warns, TYPES, "the module's types have no file in /sys/kernel/btf").at(LoaderStep::Btf),
    line("failed to register module [{module}] BTF: {error:d}", Effect::Warns, TYPES, "the module's types are not usable by BPF programs").at(LoaderStep::Btf),
    line("{module}: missing module BTF, cannot register kfuncs", Effect::Warns, Availability::Version((5, 18)), "the module has no types that the kernel can use, so BPF programs cannot call its functions").at(LoaderStep::Btf),
    line("missing module BTF, cannot register kfuncs", Effect::Warns, Availability::Version((5, 18)), "a module has no types that the kernel can use, so BPF programs cannot call its functions").at(LoaderStep::Btf),
    line("missing module BTF, cannot register dtors", Effect::Warns, Availability::Version((5, 18)), "a module has no types that the kernel can use, so BPF programs cannot call its functions").at(LoaderStep::Btf),
    line("missing vmlinux BTF, cannot register kfuncs", Effect::Warns, Availability::Version((5, 18)), "the kernel has no types of its own (CONFIG_DEBUG_INFO_BTF)").at(LoaderStep::Btf),
    line("in-kernel BTF is malformed", Effect::Warns, Availability::Version((5, 0)), "the kernel's own types are damaged: its build tools (pahole) do not fit its version").at(LoaderStep::Btf),
];
