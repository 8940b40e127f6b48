//! Lines about keys, certificates, Secure Boot and measured files that no rule of [`crate::predict`] prints.
//!
//! Read in certs/system_keyring.c, certs/blacklist.c, kernel/module_signing.c (3.10 to 4.20), crypto/asymmetric_keys/,
//! security/integrity/ and security/loadpin/ (4.9 to 7.2); those of distributions in Ubuntu's and Fedora's kernels.

use crate::predict::LoaderStep;
use crate::predict::availability::Availability;
use crate::predict::errno::{EKEYREJECTED, ENOKEY, EPERM};
use crate::predict::message::{Effect, Message};

const fn line(text: &'static str, effect: Effect, meaning: &'static str) -> Message {
    Message::new(text, effect, Availability::Always, meaning).at(LoaderStep::Signature)
}

const fn key(text: &'static str, meaning: &'static str) -> Message {
    line(text, Effect::Warns, meaning)
}

/// These lines.
#[rustfmt::skip]
pub(super) const MESSAGES: &[Message] = &[
    // The modules' signatures.
    Message::new("Request for unknown module key '{key:*}' err {error:d}", Effect::Refuses(ENOKEY), Availability::Not(&Availability::Version((4, 20))), "the module is signed by the key '{key}', which the kernel does not have").at(LoaderStep::Signature),
    line("PKCS#7 signature not signed with a trusted key", Effect::Refuses(EKEYREJECTED), "the module is signed by a key that the kernel does not trust"),
    line("PKCS#7 key not found", Effect::Refuses(EKEYREJECTED), "the module is signed by a key that the kernel does not have"),
    line("{module}: Loading of unsigned module is rejected", Effect::Refuses(EKEYREJECTED), "the module is not signed, and the kernel requires a valid signature"),
    line("{module}: Loading of module with unavailable key is rejected", Effect::Refuses(EKEYREJECTED), "the module is signed by a key that the kernel does not trust, and the kernel requires a valid signature"),
    line("{module}: Loading of module with unsupported crypto is rejected", Effect::Refuses(EKEYREJECTED), "the module is signed in a way that the kernel does not know, and the kernel requires a valid signature"),
    Message::new("{module}: module verification failed: signature and/or  required key missing - tainting kernel", Effect::Taints('E'), Availability::Always, "the module is unsigned, or signed by a key that the kernel does not know; this kernel loads it all the same"),
    Message::new("{module}: module verification failed: signature and/or required key missing", Effect::Taints('E'), Availability::Always, "the module is unsigned, or signed by a key that the kernel does not know; this kernel loads it all the same"),
    line("{module}: module has bad taint, not creating trace events", Effect::Warns, "the module is forced, or signed by no key that the kernel knows, so it gets no trace events"),
    line("Module signature verification failed", Effect::Refuses(EKEYREJECTED), "the signature does not fit the file: the module was changed after it was signed"),
    // The keys of the kernel.
    key("Loading compiled-in X.509 certificates", "the kernel loads the keys that are built into it"),
    key("Loading compiled-in module X.509 certificates", "the kernel loads the keys that are built into it"),
    key("Loaded X.509 cert '{certificate:*}'", "the kernel has this certificate; it trusts modules that are signed by it if it is in the list of built-in or enrolled keys"),
    key("MODSIGN: Loaded cert '{certificate:*}'", "the kernel trusts modules that are signed by this certificate"),
    key("Problem loading in-kernel X.509 certificate ({error:d})", "a certificate that is built into the kernel cannot be read"),
    key("integrity: Loading X.509 certificate: {source:*}", "the kernel reads a certificate of the firmware or of the machine's owner"),
    key("integrity: Loaded X.509 cert '{certificate:*}'", "the kernel has this certificate of the firmware or of the machine's owner; modules need it in the .machine or .platform list"),
    key("integrity: Problem loading X.509 certificate {error:d}", "a certificate of the firmware or of the machine's owner cannot be used (-65: an algorithm that the kernel lacks)"),
    key("integrity: Revoking X.509 certificate: {source:*}", "a certificate is on the firmware's list of revoked ones"),
    key("Couldn't get UEFI {list} list", "the firmware has no such list of keys, or the machine was not booted by UEFI"),
    key("MODSIGN: Couldn't get UEFI {list} list", "the firmware has no such list of keys, or the machine was not booted by UEFI"),
    key("Couldn't get size: {status:*}", "the firmware has no such list of keys (0x800000000000000e: not found)"),
    key("MODSIGN: Couldn't get size: {status:*}", "the firmware has no such list of keys (0x800000000000000e: not found)"),
    key("blacklist: Loading compiled-in revocation X.509 certificates", "the kernel loads the certificates that it must not trust"),
    key("blacklist: Problem blacklisting hash ({error:d})", "the kernel cannot add a file to the list of those that it must not load"),
    key("secureboot: Secure boot enabled", "Secure Boot is on; many distributions' kernels then require signed modules"),
    key("secureboot: Secure boot disabled", "Secure Boot is off"),
    key("Secure boot enabled", "Secure Boot is on; many distributions' kernels then require signed modules"),
    key("UEFI Secure Boot is enabled.", "Secure Boot is on; many distributions' kernels then require signed modules"),
    // Other guards of files.
    line("LoadPin: kernel-module denied obj=\"{file:*}\" {rest:*}", Effect::Refuses(EPERM), "LoadPin loads modules only from the first file system from which one was loaded; {file} is on another"),
    line("LoadPin: kernel-module old-api-denied obj={rest:*}", Effect::Refuses(EPERM), "LoadPin loads modules only from files (finit_module), and a program passed bytes (init_module)"),
    line("LoadPin: kernel-module pinning-excluded obj=\"{file:*}\" {rest:*}", Effect::Warns, "LoadPin does not check this file"),
    line("{audit:*}avc:  denied  {permission:*} module_load {end:*} for  pid={pid:d} comm=\"{program:*}\" {rest:*}", Effect::Refuses(13), "SELinux does not allow {program} to load this file as a module"),
    line("{audit:*}avc: denied {permission:*} module_load {end:*} for comm=\"{program:*}\" {rest:*}", Effect::Refuses(13), "SELinux does not allow {program} to load this file as a module"),
    line("{audit:*}avc:  denied  {permission:*} integrity {end:*} for  pid={pid:d} comm=\"{program:*}\" lockdown_reason=\"unsigned module loading\" {rest:*}", Effect::Refuses(13), "SELinux's lockdown class does not allow {program} to load an unsigned module"),
    line("{audit:*}op=appraise_data cause={cause:*} comm=\"{program:*}\" name=\"{file:*}.ko{rest:*}", Effect::Refuses(13), "IMA does not accept the file {file}: {cause}"),
];
