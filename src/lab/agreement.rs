//! Compares what happened with the prediction. Pure.
//!
//! A trial agrees if verdict, errno and the loader's first log line are as predicted. If a step before the refusal is
//! undecided, errno and lines are not predicted, so they neither agree nor disagree. The form of a line shows whether
//! the loader logged it.

use crate::lab::record::{Agreement, End, Observed, Phase, TrialPrediction};
use crate::predict::{Decision, errno_words};

/// Compares; returns the reason, too, if the trial disagrees or cannot be compared.
pub fn compare(seen: &Observed, prediction: &TrialPrediction) -> (Agreement, String) {
    let no_answer = |why: &str| (Agreement::Unknown, why.to_owned());
    match &seen.end {
        End::NotRun => return no_answer("the trial was not run"),
        End::Qemu(why) | End::NoBoot(why) | End::Broken(why) => return no_answer(why),
        _ => {}
    }
    if !seen.missing.is_empty() {
        return no_answer("a module that it needs could not be loaded");
    }
    if !seen.accepted && seen.errno.is_none_or(|errno| errno == 0) {
        // A kernel that crashes while it reads the file gives no answer, so no answer may be predicted.
        return match prediction.verdict {
            Decision::Unknown => no_answer("the kernel crashed on the file before it answered"),
            _ => (Agreement::Disagree, "the kernel crashed on the file before it answered".to_owned()),
        };
    }
    let disagree = |why: String| (Agreement::Disagree, why);
    match prediction.verdict {
        Decision::Unknown => return no_answer("no prediction, because a fact is missing"),
        Decision::Accepted if !seen.accepted => {
            return disagree(format!("predicted: accepted; happened: refused with {}", name(seen.errno)));
        }
        Decision::Refused if seen.accepted => return disagree("predicted: refused; happened: accepted".to_owned()),
        Decision::Refused if !prediction.undecided.is_empty() => {
            // Whichever step refuses returns one of these numbers; the lines depend on the step.
            return match seen.errno.filter(|errno| prediction.errnos.contains(errno)) {
                Some(_) => {
                    let steps = prediction.undecided.join(", ");
                    no_answer(&format!("errno and log lines depend on undecided steps ({steps})"))
                }
                None => {
                    let all =
                        prediction.errnos.iter().map(|errno| errno_words(*errno)).collect::<Vec<_>>().join(" or ");
                    disagree(format!("predicted: {all}; happened: {}", name(seen.errno)))
                }
            };
        }
        Decision::Refused if prediction.errno != seen.errno => {
            return disagree(format!("predicted: {}; happened: {}", name(prediction.errno), name(seen.errno)));
        }
        _ => {}
    }
    let theirs = loader_lines(seen);
    let same = match (theirs.first(), prediction.dmesg.first()) {
        (Some(theirs), Some(ours)) => is_same_line(theirs, ours),
        (None, None) => true,
        _ => false,
    };
    if same {
        return (Agreement::Agree, String::new());
    }
    let quoted = |line: Option<&str>| line.map_or("no line".to_owned(), |line| format!("\"{line}\""));
    let ours = quoted(prediction.dmesg.first().map(String::as_str));
    disagree(format!("predicted first line: {ours}; happened: {}", quoted(theirs.first().copied())))
}

/// Is a refusal predicted, with its errno and all of its log lines, and without a taint?
pub fn is_plain_refusal(prediction: &TrialPrediction) -> bool {
    prediction.verdict == Decision::Refused
        && prediction.errno.is_some()
        && prediction.undecided.is_empty()
        && prediction.taint.as_deref().unwrap_or_default().is_empty()
}

/// Does a trial agree, and did the loader log nothing but the predicted lines?
pub fn is_as_predicted(seen: &Observed, prediction: &TrialPrediction) -> bool {
    let (theirs, ours) = (loader_lines(seen), &prediction.dmesg);
    compare(seen, prediction).0 == Agreement::Agree
        && theirs.len() == ours.len()
        && theirs.iter().zip(ours).all(|(theirs, ours)| is_same_line(theirs, ours))
}

fn name(errno: Option<i32>) -> String {
    errno.map_or("no errno".to_owned(), errno_words)
}

/// Is the kernel's line (`theirs`) the predicted one (`ours`)? A relocation's line continues with an address, which is
/// unpredictable; the prediction ends before it.
pub fn is_same_line(theirs: &str, ours: &str) -> bool {
    let is_open = ours.contains("relocation target, existing value is nonzero for ");
    let ends_open = [" ", "(", "0x"].iter().any(|end| ours.ends_with(end));
    // The process that loads the module is not called insmod in the guest.
    let locked = |line: &str| {
        line.strip_prefix("Lockdown: ").and_then(|rest| rest.split_once(": ")).map(|(_, what)| what.to_owned())
    };
    // The number indexes a list of the kernel's; only some versions number it.
    let is_numbered = ours.starts_with("Unsupported ") && ours.ends_with(" algo");
    theirs == ours
        || is_numbered && theirs.strip_prefix(ours).is_some_and(|rest| rest.starts_with(": "))
        || locked(theirs).is_some() && locked(theirs) == locked(ours)
        || is_open && theirs.strip_prefix(ours).is_some_and(|rest| rest.starts_with(','))
        || ends_open && theirs.len() > ours.len() && theirs.starts_with(ours)
}

/// The lines that the loader itself logged during the load phase, without those of the module's own code and of
/// others.
pub fn loader_lines(seen: &Observed) -> Vec<&str> {
    let load = seen.log.iter().filter(|line| line.phase == Phase::Load);
    load.map(|line| line.text.as_str()).filter(|line| is_loader_line(line)).collect()
}

/// The loader's messages (kernel/module/*.c of 6.1, 6.12 and 7.2, kernel/module.c of 5.10), recognised by their
/// constant parts, and those of the code that it calls: relocations (arch/x86/kernel/module.c) and BTF
/// (kernel/bpf/btf.c). "Disabling lock debugging due to kernel taint" is from kernel/panic.c, and follows any taint.
pub fn is_loader_line(line: &str) -> bool {
    const BEGINNINGS: &[&str] = &[
        "Kernel module BTF mismatch detected",
        "Spectre V2 : System may be vulnerable",
        "Invalid ELF",
        "Invalid architecture in ELF",
        "Invalid module architecture in ELF",
        "ELF Spec violation",
        "empty section name table",
        "empty symbol string table",
        "symbol string table ",
        "symbol name out of bounds",
        "module: ",
        "module_32: ",
        "module_64: ",
        "Modules: ",
        "[module ",
        "module ",
        "Module has invalid ELF structures",
        "Module len ",
        "Module hash ",
        "Only one .modinfo",
        "extended version crc+name",
        "more extended version crcs",
        "Loading of ",
        "Lockdown: ",
        "x86/modules: ",
        "BPF:",
        "BPF: ",
        "distilled base BTF type '",
        "type [",
        "failed to validate module [",
        "overflow in relocation",
        "PKCS#7",
        "PKCS7: ",
        "Unsupported digest algo: ",
        "Unsupported pkey algo: ",
        "decompression failed with status ",
        "not a gzip compressed module",
        "not a zstd compressed module",
        "not an xz compressed module",
        "PKEY: ",
    ];
    // After "NAME: ".
    const AFTER_NAME: [&str; 53] = [
        "x86/modules: ",
        "PKCS#7 signature info has ",
        "not signed with expected PKCS#7 message",
        "per-cpu alignment ",
        "Could not allocate ",
        "disagrees about version of symbol ",
        "no symbol version for ",
        "no extended symbol version for ",
        "no versions for exported symbols",
        "no flags for exported symbols",
        "module uses symbol (",
        "module uses symbol ",
        "module using GPL-only symbols",
        "module uses symbols ",
        "module tries to import ",
        "module does not import ",
        "gave up waiting for init of module ",
        "exports duplicate symbol ",
        "please compile with -fno-common",
        "Unknown symbol ",
        "Symbol ",
        "module license ",
        "module is from the staging directory",
        "module is marked as livepatch module",
        "loading module not compiled with retpoline compiler",
        "loading out-of-tree module taints kernel",
        "loading test module taints kernel",
        "tainting kernel with TAINT_LIVEPATCH",
        "module verification failed",
        "module has no symbols (stripped?)",
        "No module found in object",
        "version magic '",
        "has both .ctors and .init_array",
        "Ignoring obsolete parameters",
        "ignoring obsolete section",
        "unknown parameter '",
        "module is already loaded",
        "module sysfs not initialized",
        "Unknown rela relocation: ",
        "module license taints kernel",
        "parameters '",
        "Unknown relocation",
        "unknown relocation: ",
        "unexpected ",
        "Unsupport relocation type ",
        "target ",
        "Dynamic linking not supported in kernel modules",
        "Thread local storage not supported in kernel modules",
        "The unexpected relocation type ",
        "Can not find HI20 relocation information",
        "can not generate the GOT entry for symbol",
        "module PLT section(s) missing",
        "module GOT",
    ];
    if BEGINNINGS.iter().any(|beginning| line.starts_with(beginning)) {
        return true;
    }
    let after = line.split_once(": ").map_or("", |(_, after)| after);
    AFTER_NAME.iter().any(|text| after.starts_with(text))
        || after.ends_with(": kernel tainted.")
        || after.starts_with("section ")
            && (after.contains("has invalid WRITE|EXEC flags") || after.contains(" reloc "))
        || after.starts_with("value ") && after.contains(" out of range for ")
        || line.contains("kernel is not compiled with retpoline")
        || line.contains("relocation target, existing value is nonzero")
        || line.contains("is blacklisted")
        || line.contains("Unknown rela relocation: ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::record::{LogLine, example};

    #[test]
    fn the_loaders_lines_are_recognised() {
        for line in [
            "dummy: module_layout: kernel tainted.",
            "dummy: disagrees about version of symbol module_layout",
            "vfat: Unknown symbol fat_dir_empty (err -2)",
            "x86/modules: Skipping invalid relocation target, existing value is nonzero for type 1, loc 00000000, val ff",
            "dummy: section .text (index 4) has invalid WRITE|EXEC flags",
        ] {
            assert!(is_loader_line(line), "{line}");
        }
        for line in [
            "Disabling lock debugging due to kernel taint",
            "tun: Universal TUN/TAP device driver, 1.6",
            "brd: module loaded",
            "tsc: Refined TSC clocksource calibration: 2599.999 MHz",
            "raid6: using algorithm sse2x4 gen() 976 MB/s",
        ] {
            assert!(!is_loader_line(line), "{line}");
        }
    }

    fn refused(errno: i32, line: &str) -> Observed {
        let log = vec![LogLine { phase: Phase::Load, text: line.to_owned() }];
        Observed { end: End::Done, errno: Some(errno), log, ..Observed::default() }
    }

    #[test]
    fn verdict_errno_and_first_line_must_be_as_predicted() {
        let line = "x: disagrees about version of symbol module_layout";
        let prediction = TrialPrediction {
            verdict: Decision::Refused,
            errno: Some(8),
            dmesg: vec![line.to_owned()],
            ..example::trial("1").prediction
        };
        let compared = |seen: Observed| compare(&seen, &prediction);
        assert_eq!(compared(refused(8, line)), (Agreement::Agree, String::new()));
        let (agreement, why) = compared(refused(22, line));
        assert_eq!((agreement, why.as_str()), (Agreement::Disagree, "predicted: ENOEXEC (8); happened: EINVAL (22)"));
        assert_eq!(compared(refused(8, "x: no symbol version for y")).0, Agreement::Disagree);
        let open = TrialPrediction {
            errno: None,
            errnos: vec![2, 22],
            undecided: vec!["symbols".to_owned()],
            ..prediction.clone()
        };
        assert!(is_plain_refusal(&prediction) && !is_plain_refusal(&open));
        let (agreement, why) = compare(&refused(2, line), &open);
        assert_eq!((agreement, why.contains("undecided steps (symbols)")), (Agreement::Unknown, true), "{why}");
        let (agreement, why) = compare(&refused(8, line), &open);
        let expected = "predicted: ENOENT (2) or EINVAL (22); happened: ENOEXEC (8)";
        assert_eq!((agreement, why.as_str()), (Agreement::Disagree, expected));
        let accepted = Observed { accepted: true, errno: Some(0), ..refused(0, line) };
        assert_eq!(compared(accepted).0, Agreement::Disagree);
        assert_eq!(compared(Observed { errno: None, ..refused(8, line) }).0, Agreement::Disagree);
        assert_eq!(
            compared(Observed { end: End::Broken("lies".to_owned()), ..refused(8, line) }).0,
            Agreement::Unknown
        );
    }
    #[test]
    fn a_line_more_or_less_is_not_as_predicted() {
        let lines = ["x: module_layout: kernel tainted.", "x: version magic 'a' should be 'b'"];
        let prediction = TrialPrediction {
            verdict: Decision::Refused,
            errno: Some(8),
            dmesg: lines.map(str::to_owned).into(),
            ..example::trial("1").prediction
        };
        let seen = |texts: &[&str]| {
            let log = texts.iter().map(|text| LogLine { phase: Phase::Load, text: (*text).to_owned() }).collect();
            Observed { log, ..refused(8, "") }
        };
        assert!(is_as_predicted(&seen(&lines), &prediction));
        assert!(is_as_predicted(&seen(&[lines[0], "clocksource: a line of others", lines[1]]), &prediction));
        assert!(!is_as_predicted(&seen(&lines[..1]), &prediction));
        assert!(!is_as_predicted(&seen(&[lines[0], lines[1], "x: Unknown symbol y (err -2)"]), &prediction));
        assert!(!is_as_predicted(&Observed { errno: Some(22), ..seen(&lines) }, &prediction));
    }
}
