//! The appended signature: `module_sig_check` and `mod_verify_sig` (kernel/module/signing.c; before 5.18
//! kernel/module.c and kernel/module_signing.c), `mod_check_sig` (kernel/module_signature.c).

use crate::module::Module;
use crate::module::verification::{self, Abilities, Verification, VerifiedSignature};
use crate::predict::attempt::Attempt;
use crate::predict::availability::Availability;
use crate::predict::errno;
use crate::predict::message::{Effect, messages};
use crate::predict::options::Force;
use crate::predict::record::AttemptRecord;
use crate::predict::rules::Rule;
use crate::predict::verdict::LoaderStep;
use crate::predict::verdict::PatchMode;
use crate::template::{Line, Template};

/// The end of a signed file.
const MARKER: &[u8] = b"~Module signature appended~\n";

/// Modules that provide SHA-384 and SHA-512: crypto/sha512_generic.c, crypto/sha512.c from 6.16 on.
const SHA512_MODULES: [&str; 2] = ["sha512_generic", "sha512"];

const KEY_UNKNOWN: &str = "does the kernel know the key? (the certificates in its image)";

const NOT_COMPUTED: &str = "is the signature valid? (this build of kmodlab lacks the feature `sign`)";

/// Size of `struct module_signature`, in bytes.
const INFO: usize = 12;

/// The file that the later steps of the loader see.
pub(super) struct SignedPart<'f> {
    /// The file up to the end that the loader assumes.
    pub(super) file: &'f [u8],
    /// The file has no signature that the kernel could verify.
    pub(super) is_unsigned: bool,
}

/// Why a module is treated as unsigned, where that is tolerated.
#[derive(Clone, Copy)]
enum Absent {
    NoSignature,
    UnknownCrypto,
    UnknownKey,
    UnknownKeyOrCrypto,
    /// The trailer has this `id_type`.
    OtherKind(u8),
}

/// The result of the check of the trailer.
enum TrailerCheck {
    Good { signed: usize },
    Absent { why: Absent, end: usize },
    Fatal { errno: i32, note: &'static str, lines: Vec<Line> },
    Unknown { end: usize, note: &'static str },
}

/// The open question about a forced module with a signature.
const FORCED: &str =
    "does a forced module count as unsigned? (it does from 4.8 on, and in stable kernels from August 2016 on)";

/// Checks the signature. `name` is the module's name, if the loader already knows it at this step.
pub(super) fn check<'a>(
    attempt: &Attempt<'a>,
    name: Option<&str>,
    record: &mut AttemptRecord,
) -> Result<SignedPart<'a>, (LoaderStep, i32)> {
    let file = attempt.subject.bytes;
    let whole = SignedPart { file, is_unsigned: true };
    match attempt.rules.has(Rule::Signatures) {
        Some(true) => {}
        Some(false) => return Ok(SignedPart { is_unsigned: false, ..whole }),
        None => {
            let note = match file.ends_with(MARKER) {
                true => {
                    "does the kernel know the key, and does it require valid signatures? (its image and configuration)"
                }
                false => {
                    "not signed; does the kernel require a signature? (CONFIG_MODULE_SIG_FORCE in its configuration)"
                }
            };
            undecided(attempt, record, note);
            return Ok(SignedPart { is_unsigned: false, ..whole });
        }
    }
    let forced = attempt.load.force != Force::None;
    let (looked, why) = match (file.strip_suffix(MARKER), attempt.change) {
        // A patch strips the trailer.
        (Some(rest), Some(PatchMode::Rewrite | PatchMode::Blank)) => {
            let end = signed_length(rest).unwrap_or(rest.len());
            (TrailerCheck::Absent { why: Absent::NoSignature, end }, "unsigned, once its trailer is stripped")
        }
        (Some(rest), None) => match if forced { attempt.rules.has(Rule::ForcedIsUnsigned) } else { Some(false) } {
            Some(true) => (
                TrailerCheck::Absent { why: Absent::NoSignature, end: file.len() },
                "a forced module counts as unsigned",
            ),
            Some(false) => (check_trailer(attempt, rest, name, record), "signed"),
            None => (TrailerCheck::Unknown { end: signed_length(rest).unwrap_or(rest.len()), note: FORCED }, ""),
        },
        (None, _) => (TrailerCheck::Absent { why: Absent::NoSignature, end: file.len() }, "not signed"),
    };
    let looked = match looked {
        TrailerCheck::Absent { why, end } => untolerated(attempt, why, end),
        other => other,
    };
    let (why_absent, end) = match looked {
        TrailerCheck::Good { signed } => {
            let source = attempt.kernel.facts.keys.as_ref().map(|keys| &keys.source);
            record.pass(LoaderStep::Signature, "signed by a key that the kernel knows, and the digest matches", source);
            return Ok(SignedPart { file: file.get(..signed).unwrap_or(file), is_unsigned: false });
        }
        TrailerCheck::Fatal { errno, note, lines } => {
            lines.into_iter().for_each(|line| record.say(line));
            record.fail(LoaderStep::Signature, errno, note, None)?;
            return Ok(whole);
        }
        TrailerCheck::Unknown { end, note } => {
            undecided(attempt, record, note);
            return Ok(SignedPart { file: file.get(..end).unwrap_or(file), is_unsigned: false });
        }
        TrailerCheck::Absent { why, end } => (why, end),
    };
    enforced(attempt, (why_absent, why), record)?;
    Ok(SignedPart { file: file.get(..end).unwrap_or(file), is_unsigned: true })
}

/// Up to 5.3 a kernel that does not require signatures tolerates only ENOKEY: it refuses a module whose signature is of an
/// unknown kind or uses an unknown digest (ENOPKG; `module_sig_check`, kernel/module.c of 3.10, 4.14 and 5.3).
fn untolerated(attempt: &Attempt<'_>, why: Absent, end: usize) -> TrailerCheck {
    let is_crypto = matches!(why, Absent::UnknownCrypto | Absent::OtherKind(_));
    match (why, attempt.rules.has(Rule::SignatureReasons)) {
        (Absent::NoSignature | Absent::UnknownKey, _) | (_, Some(true)) => TrailerCheck::Absent { why, end },
        (_, Some(false)) if is_crypto => TrailerCheck::Fatal {
            errno: errno::ENOPKG,
            note: "signed in a way that the kernel does not know, which kernels before 5.4 refuse",
            lines: Vec::new(),
        },
        _ => TrailerCheck::Unknown {
            end,
            note: "signed in a way that the kernel may not know; does it refuse such modules? (kernels before 5.4 \
            do, if \
                   nobody has put the later check in: its image)",
        },
    }
}

/// How an enforcing kernel treats a module that is considered unsigned.
fn enforced(
    attempt: &Attempt<'_>,
    (absent, why): (Absent, &'static str),
    record: &mut AttemptRecord,
) -> Result<(), (LoaderStep, i32)> {
    let policy = attempt.kernel.facts.policy.as_ref();
    let set = policy.and_then(|policy| policy.value.sig_enforce).or_else(|| attempt.rules.has(Rule::SignaturesForced));
    let source = policy.map(|policy| &policy.source);
    let rejected = match absent {
        Absent::NoSignature => UNSIGNED_REJECTED.line([]),
        Absent::UnknownCrypto | Absent::OtherKind(_) => CRYPTO_REJECTED.line([]),
        Absent::UnknownKey | Absent::UnknownKeyOrCrypto => KEY_REJECTED.line([]),
    };
    let why = match absent {
        Absent::NoSignature => why.to_owned(),
        Absent::UnknownCrypto => "signed in a way that the kernel does not know".to_owned(),
        Absent::OtherKind(kind) => {
            format!("its signature has id_type {kind} ({}); kernels since 4.3 take 2 (PKCS#7)", kind_name(kind))
        }
        Absent::UnknownKeyOrCrypto => {
            "signed by a key that is not in the kernel's image, over a weak digest".to_owned()
        }
        Absent::UnknownKey => {
            "signed by a key that is not in the kernel's image (one of the firmware or the machine's \
                               owner would count)"
                .to_owned()
        }
    };
    match set {
        Some(true) if matches!(absent, Absent::UnknownKeyOrCrypto) => {
            let note = "does the kernel have the digest? it requires a valid signature, and one of its log lines \
            depends on the answer";
            undecided(attempt, record, note);
            return Ok(());
        }
        Some(true) if attempt.rules.surely(Rule::SignatureReasons) => {
            record.say(rejected);
            record.fail(
                LoaderStep::Signature,
                errno::EKEYREJECTED,
                format!("{why}, and this kernel requires valid signatures"),
                source,
            )?;
        }
        Some(true) => {
            if attempt.rules.has(Rule::SignatureReasons).is_none() {
                record.unknown(LoaderStep::Signature, "which line does it print, if any? (the kernel's image)");
                record.otherwise.push(errno::EKEYREJECTED);
            }
            record.fail(
                LoaderStep::Signature,
                errno::ENOKEY,
                format!("{why}, and this kernel requires valid signatures"),
                source,
            )?;
        }
        Some(false) => {}
        None => {
            let note = format!(
                "{why}; does the kernel require valid signatures? (CONFIG_MODULE_SIG_FORCE in its configuration)"
            );
            undecided(attempt, record, note);
            return Ok(());
        }
    }
    if policy.and_then(|policy| policy.value.locked_down) == Some(true) && attempt.rules.since(5, 4) != Some(false) {
        record.say(LOCKDOWN.line([&"insmod"]));
        record.fail(LoaderStep::Signature, errno::EPERM, format!("{why}, and this kernel is locked down"), source)?;
    }
    let note = match absent {
        Absent::NoSignature => format!("{why}: taint E, where neither module.sig_enforce nor lockdown is on"),
        _ => format!("{why}: as if unsigned, taint E"),
    };
    record.pass(LoaderStep::Signature, note, source);
    Ok(())
}

/// Records that the result of the step is not known: `note` names the fact that would decide it. Also records the errnos that
/// the system call may return. Up to 5.3 only ENOKEY is tolerated; later, ENODATA, ENOPKG and ENOKEY all become EKEYREJECTED
/// unless they are tolerated (`module_sig_check`). A kernel in lockdown returns EPERM (5.4; earlier in distributions' kernels).
fn undecided(attempt: &Attempt<'_>, record: &mut AttemptRecord, note: impl Into<String>) {
    record.unknown(LoaderStep::Signature, note);
    let rules = attempt.rules;
    let is_forced = attempt.load.force != Force::None;
    let rest = attempt.subject.bytes.strip_suffix(MARKER).filter(|_| attempt.change.is_none() && !is_forced);
    let (has_reasons, mut errnos) = (rules.has(Rule::SignatureReasons), Vec::new());
    if rest.is_some() || has_reasons != Some(false) {
        errnos.push(errno::EKEYREJECTED);
    }
    if has_reasons != Some(true) {
        errnos.push(errno::ENOKEY);
    }
    let is_locked_down = attempt.kernel.facts.policy.as_ref().and_then(|policy| policy.value.locked_down);
    if is_locked_down != Some(false) && rules.since(4, 0) != Some(false) {
        errnos.push(errno::EPERM);
    }
    if let Some(rest) = rest {
        let of_message = of_message(attempt, rest);
        // Before 4.3 the message had another format.
        let is_old = rules.since(4, 3) != Some(true);
        if of_message == Some(Verification::Unsupported) && has_reasons != Some(true) || is_old {
            errnos.push(errno::ENOPKG);
        }
        match of_message {
            Some(Verification::Broken { errno }) => errnos.push(errno),
            None => errnos.push(errno::EBADMSG),
            Some(_) if is_old => errnos.push(errno::EBADMSG),
            Some(_) => {}
        }
    }
    record.signature_errnos = Some(errnos);
}

/// The result of a kernel that knows no key; `None` for a trailer that it cannot parse.
fn of_message(attempt: &Attempt<'_>, rest: &[u8]) -> Option<Verification> {
    let (before, info) = rest.split_last_chunk::<INFO>()?;
    let signed = signed_length(rest).filter(|signed| *signed > 0)?;
    match info {
        [0, 0, 2, 0, 0, 0, 0, 0, ..] => {}
        [_, _, 2, ..] => return None,
        _ => return Some(Verification::Unsupported),
    }
    let (covered, blob) = (before.get(..signed)?, before.get(signed..)?);
    let version = attempt.rules.major_minor();
    let abilities = |sha512| Abilities { version, sha512: Some(sha512), waives_attributes: None };
    let [with_it, without] =
        [true, false].map(|sha512| verification::verify(covered, blob, &[], abilities(sha512)).answer);
    Some(if with_it == Verification::UnknownKey { without } else { with_it })
}

/// The meaning of `id_type` (`enum pkey_id_type`, include/linux/module_signature.h, 6.12).
fn kind_name(kind: u8) -> &'static str {
    match kind {
        0 => "OpenPGP",
        1 => "X.509",
        2 => "PKCS#7",
        _ => "unknown",
    }
}

/// The length of the signed part, from the bytes before the marker.
fn signed_length(rest: &[u8]) -> Option<usize> {
    let (_, info) = rest.split_last_chunk::<INFO>()?;
    let [.., a, b, c, d] = *info;
    rest.len().checked_sub(INFO)?.checked_sub(u32::from_be_bytes([a, b, c, d]) as usize)
}

/// `mod_verify_sig`; `rest` is the file without the marker.
fn check_trailer(attempt: &Attempt<'_>, rest: &[u8], name: Option<&str>, record: &mut AttemptRecord) -> TrailerCheck {
    let Some((before, info)) = rest.split_last_chunk::<INFO>() else {
        return TrailerCheck::Fatal { errno: errno::EBADMSG, note: "the trailer is cut short", lines: Vec::new() };
    };
    let Some(signed) = signed_length(rest).filter(|signed| *signed > 0) else {
        let note = "the trailer says that the signature is longer than the file";
        return TrailerCheck::Fatal { errno: errno::EBADMSG, note, lines: Vec::new() };
    };
    // Each kernel supports one kind of signature; for 3.7 to 4.2, the source of 3.10 was read.
    let kind = info.get(2).copied().unwrap_or_default();
    match attempt.rules.since(4, 3) {
        Some(false) => return check_x509_trailer(info, signed),
        None if kind != 2 => return TrailerCheck::Unknown { end: signed, note: KEY_UNKNOWN },
        _ => {}
    }
    let mut say = |bare: Template<0>, named: Template<1>| match name_in_line(attempt, name) {
        Some(Some(name)) => record.say(named.line([&name])),
        Some(None) => record.say(bare.line([])),
        None => record.unknown(LoaderStep::Signature, "which line does it print? (the kernel's image)"),
    };
    if kind != 2 {
        // The word "Module" was removed together with the name before it.
        let is_late = attempt.rules.has(Rule::SignatureLate) != Some(false) || attempt.rules.since(5, 4) == Some(false);
        say(OTHER_KIND_BARE, if is_late { OTHER_KIND_NAMED } else { OTHER_KIND });
        return TrailerCheck::Absent { why: Absent::OtherKind(kind), end: rest.len() };
    }
    if [0, 1, 3, 4, 5, 6, 7].iter().any(|at| info.get(*at) != Some(&0)) {
        say(NONZERO_BARE, NONZERO);
        return TrailerCheck::Fatal {
            errno: errno::EBADMSG,
            note: "the trailer has fields that must be 0",
            lines: Vec::new(),
        };
    }
    let end = signed;
    let (Some(keys), Some(covered), Some(blob)) =
        (&attempt.kernel.facts.keys, before.get(..signed), before.get(signed..))
    else {
        return TrailerCheck::Unknown { end, note: KEY_UNKNOWN };
    };
    let verified =
        match verified(attempt, &|abilities| verification::verify(covered, blob, &keys.value, abilities), record) {
            Ok(verified) => verified,
            Err(note) => return TrailerCheck::Unknown { end, note },
        };
    let VerifiedSignature { answer, log } = verified;
    // Debian's kernels look up the key twice, the second time among the keys of the firmware, and parse the message again.
    let is_twice = answer == Verification::UnknownKey && attempt.rules.is_debian();
    for _ in 0..if is_twice { 2 } else { 1 } {
        log.iter().for_each(|line| record.say(line.clone()));
    }
    match answer {
        Verification::Good => TrailerCheck::Good { signed },
        Verification::UnknownKey => TrailerCheck::Absent { why: Absent::UnknownKey, end },
        Verification::Unsupported => TrailerCheck::Absent { why: Absent::UnknownCrypto, end },
        Verification::UnknownKeyOrUnsupported => TrailerCheck::Absent { why: Absent::UnknownKeyOrCrypto, end },
        Verification::Mismatch { errno } => {
            record.is_changed = true;
            TrailerCheck::Fatal {
                errno,
                note: "signed by a key that the kernel knows, but changed since",
                lines: Vec::new(),
            }
        }
        Verification::Broken { errno } => TrailerCheck::Fatal {
            errno,
            note: "the signature is not a message that the kernel accepts",
            lines: Vec::new(),
        },
        Verification::Undecided => TrailerCheck::Unknown { end, note: KEY_UNKNOWN },
        Verification::NotComputed => TrailerCheck::Unknown { end, note: NOT_COMPUTED },
    }
}

/// The name with which a line about the trailer begins (`mod_check_sig`): none up to 5.3; the module's name from 5.4 on;
/// "module" in kernels that check the signature before anything else (5.11, late 5.10). `None` if that is not known.
fn name_in_line<'n>(attempt: &Attempt<'_>, name: Option<&'n str>) -> Option<Option<&'n str>> {
    match (attempt.rules.since(5, 4)?, attempt.rules.has(Rule::SignatureLate)?) {
        (false, _) => Some(None),
        (true, true) => name.map(Some),
        (true, false) => Some(Some("module")),
    }
}

/// A trailer in the format of kernels before 4.3 (`mod_verify_sig`, kernel/module_signing.c, 3.10): the names of the signer and
/// of the key precede the signature, and their lengths are in the trailer. Such signatures are not verified here.
fn check_x509_trailer(info: &[u8; INFO], signed: usize) -> TrailerCheck {
    let [algorithm, _, kind, signer, key, ..] = *info;
    let Some(end) = signed.checked_sub(usize::from(signer) + usize::from(key)).filter(|end| *end > 0) else {
        let note = "the trailer says that the names in it are longer than the file";
        return TrailerCheck::Fatal { errno: errno::EBADMSG, note, lines: Vec::new() };
    };
    // PKEY_ALGO_RSA and PKEY_ID_X509; the kernel prints no line about other values.
    match (algorithm, kind) {
        (1, 1) => TrailerCheck::Unknown {
            end,
            note: "does the kernel know the key? (a signature as kernels before 4.3 have it, which is not verified \
            here)",
        },
        _ => TrailerCheck::Absent { why: Absent::OtherKind(kind), end },
    }
}

/// The result of the kernel's verification, or a note that names the fact that would decide it. If SHA-512 is not built in, the
/// kernel requests it through modprobe (crypto_alloc_shash, crypto/api.c); if a separate module provides it, that module is
/// also needed.
fn verified(
    attempt: &Attempt<'_>,
    verify: &dyn Fn(Abilities) -> VerifiedSignature,
    record: &mut AttemptRecord,
) -> Result<VerifiedSignature, &'static str> {
    let own = Abilities {
        version: attempt.rules.major_minor(),
        sha512: attempt.rules.has(Rule::Sha512),
        waives_attributes: attempt.rules.has(Rule::AttributesWaived),
    };
    let (with_it, without) =
        (verify(Abilities { sha512: Some(true), ..own }), verify(Abilities { sha512: Some(false), ..own }));
    if own.sha512 == Some(true) || with_it == without {
        return Ok(with_it);
    }
    // If signatures are not required, it makes no difference whether the digest or the key is missing.
    let is_either = (with_it.answer, without.answer) == (Verification::UnknownKey, Verification::Unsupported);
    let either = |note| match is_either && with_it.log.is_empty() {
        true => Ok(VerifiedSignature { answer: Verification::UnknownKeyOrUnsupported, ..without.clone() }),
        false => Err(note),
    };
    let Some(tree) = attempt.kernel.facts.tree.as_ref().filter(|_| own.sha512 == Some(false)) else {
        return either("has the kernel SHA-512? (CONFIG_CRYPTO_SHA512 in its configuration, and its modules)");
    };
    match tree.value.modules.iter().find(|module| SHA512_MODULES.contains(&module.name.as_str())) {
        None => Ok(without),
        // The module cannot provide the digest for its own signature.
        Some(module) if attempt.subject.module.and_then(Module::name).as_ref() == Some(&module.name) => Ok(without),
        Some(_) if attempt.load.alone => either("does the kernel's modprobe find the module that has SHA-512?"),
        Some(module) => {
            record.needs.push(module.name.clone());
            Ok(with_it)
        }
    }
}

messages! {
    Some(LoaderStep::Signature);
    UNSIGNED_REJECTED[0] Effect::Refuses(errno::EKEYREJECTED), Availability::Rule(Rule::SignatureReasons),
        "Loading of unsigned module is rejected",
        "the module is not signed, and the kernel requires a valid signature";
    CRYPTO_REJECTED[0] Effect::Refuses(errno::EKEYREJECTED), Availability::Rule(Rule::SignatureReasons),
        "Loading of module with unsupported crypto is rejected",
        "the module is signed in a way that the kernel does not know, and the kernel requires a valid signature";
    KEY_REJECTED[0] Effect::Refuses(errno::EKEYREJECTED), Availability::Rule(Rule::SignatureReasons),
        "Loading of module with unavailable key is rejected",
        "the module is signed by a key that the kernel does not trust, and the kernel requires a valid signature";
    LOCKDOWN[1] Effect::Refuses(errno::EPERM), Availability::Version((5, 4)),
        "Lockdown: {program}: unsigned module loading is restricted; see man kernel_lockdown.7",
        "the kernel is locked down (Secure Boot), so it loads only modules that are signed by a key that it trusts";
    OTHER_KIND_BARE[0] Effect::Precedes, Availability::Not(&Availability::Version((5, 4))),
        "Module is not signed with expected PKCS#7 message",
        "its signature is of another kind than PKCS#7: it was signed for a kernel before 4.3";
    OTHER_KIND_NAMED[1] Effect::Precedes, Availability::Version((5, 4)),
        "{module}: Module is not signed with expected PKCS#7 message",
        "its signature is of another kind than PKCS#7: it was signed for a kernel before 4.3";
    OTHER_KIND[1] Effect::Precedes, Availability::Not(&Availability::Rule(Rule::SignatureLate)),
        "{module}: not signed with expected PKCS#7 message",
        "its signature is of another kind than PKCS#7: it was signed for a kernel before 4.3";
    NONZERO_BARE[0] Effect::Refuses(errno::EBADMSG), Availability::Not(&Availability::Version((5, 4))),
        "PKCS#7 signature info has unexpected non-zero params",
        "the end of the file has fields that must be 0: the signature is damaged";
    NONZERO[1] Effect::Refuses(errno::EBADMSG), Availability::Version((5, 4)),
        "{module}: PKCS#7 signature info has unexpected non-zero params",
        "the end of the file has fields that must be 0: the signature is damaged";
}
