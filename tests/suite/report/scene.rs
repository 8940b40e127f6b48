//! Invented records: none of these trials was run.

use kmodlab::lab::record::{
    Agreement, Crash, CrashKind, End, GuardReport, Init, LoadMode, LogLine, ModuleState, Observed, Phase, ProbeResult,
    RecordedEdit, RecordedPatch, SCHEMA_VERSION, Trial, TrialKernel, TrialModule, TrialOutcome, TrialPrediction,
    TrialRole, UnloadReport,
};
use kmodlab::predict::{Decision, Finding, LoaderStep, StepResult};
use sha2::{Digest, Sha256};

const HOME: &str = "6.1.0-56-cloud-amd64";
const ABROAD: &str = "6.1.0-47-cloud-amd64";

/// Records in the format of the file.
pub(crate) fn lines(trials: &[Trial]) -> String {
    trials.iter().map(|trial| format!("{}\n", serde_json::to_string(trial).unwrap())).collect()
}

fn vermagic(release: &str) -> String {
    format!("{release} SMP preempt mod_unload modversions ")
}

/// A trial in which the module was loaded and works.
fn trial(module: &str, origin: &str, kernel: &str, load_mode: LoadMode) -> Trial {
    let hash = |text: &str| hex::encode(Sha256::digest(text));
    let mut trial = Trial {
        schema_version: SCHEMA_VERSION,
        id: hash(&format!("{module} {origin} {kernel} {}", load_mode.name())),
        role: if origin == kernel { TrialRole::Control } else { TrialRole::Asked },
        module: TrialModule {
            name: module.to_owned(),
            path: format!("lib/modules/{origin}/kernel/drivers/net/{module}.ko"),
            origin: Some(origin.to_owned()),
            sha256: hash(&format!("{module} {origin}")),
            vermagic: Some(vermagic(origin)),
        },
        kernel: TrialKernel { name: kernel.to_owned(), release: kernel.to_owned(), vermagic: vermagic(kernel) },
        load_mode,
        conditions: Vec::new(),
        prediction: TrialPrediction {
            verdict: Decision::Accepted,
            errno: None,
            errnos: Vec::new(),
            undecided: Vec::new(),
            dmesg: Vec::new(),
            taint: Some(String::new()),
            stage: None,
            findings: Vec::new(),
            needs: needs(module),
            dangers: Vec::new(),
        },
        change: None,
        observed: Observed {
            end: End::Done,
            errno: Some(0),
            accepted: true,
            init: Init::Returned(0),
            log: vec![line(Phase::Boot, "Run /init as init process")],
            state: Some(ModuleState { initstate: "live".to_owned(), taint: String::new() }),
            unload: Some(UnloadReport { forced: false, errno: Some(0), gone: true }),
            ..Observed::default()
        },
        outcome: TrialOutcome::NoDifference,
        agreement: Agreement::Agree,
        disagreement: String::new(),
        seconds: 0.62,
    };
    for step in [LoaderStep::Permission, LoaderStep::Signature, LoaderStep::Elf] {
        trial.prediction.findings.push(finding(step, StepResult::Pass, "no objection"));
    }
    if load_mode.flags() != 0 {
        let said = format!("{module}: bad vermagic: kernel tainted.");
        trial.prediction.taint = Some("F".to_owned());
        trial.prediction.dmesg = vec![said.clone()];
        trial.observed.log.push(line(Phase::Load, &said));
        trial.observed.taint_after = 1 << 1;
        trial.observed.state = Some(ModuleState { initstate: "live".to_owned(), taint: "F".to_owned() });
    }
    trial
}

/// The modules that a module needs.
fn needs(module: &str) -> Vec<String> {
    let names: &[&str] = match module {
        "geneve" | "vxlan" => &["ip6_udp_tunnel", "udp_tunnel"],
        "wireguard" => &["ip6_udp_tunnel", "udp_tunnel", "libchacha20poly1305"],
        "bonding" => &["tls"],
        "bridge" => &["llc", "stp"],
        "ip_gre" => &["gre", "ip_tunnel"],
        _ => &[],
    };
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn line(phase: Phase, text: &str) -> LogLine {
    LogLine { phase, text: text.to_owned() }
}

fn finding(step: LoaderStep, result: StepResult, note: &str) -> Finding {
    Finding { step, result, module: None, kernel: None, source: None, note: note.to_owned(), more: 0 }
}

fn seen(trial: &mut Trial, what: &str, how: &str) {
    trial.observed.probe.push(ProbeResult { what: what.to_owned(), how: how.to_owned() });
}

/// The observations of the probe for a working network module.
fn works(trial: &mut Trial) {
    let name = format!("{}0", trial.module.name);
    seen(trial, &format!("{name} exists"), "yes");
    seen(trial, &format!("{name} sends"), "3 packets");
    seen(trial, &format!("{name} can be deleted"), "yes");
}

fn refused(trial: &mut Trial) {
    let said = format!("{}: disagrees about version of symbol module_layout", trial.module.name);
    trial.prediction.verdict = Decision::Refused;
    trial.prediction.errno = Some(8);
    trial.prediction.stage = Some("module-layout".to_owned());
    trial.prediction.dmesg = vec![said.clone()];
    let mut reason =
        finding(LoaderStep::ModuleLayout, StepResult::Fail, "module_layout: module 0x1a2b3c4d, kernel 0x9f949ae7");
    reason.source = Some(format!("boot/vmlinuz-{}", trial.kernel.release));
    trial.prediction.findings.push(reason);
    trial.prediction.dangers = vec!["3 of 41 symbol CRCs differ: module_layout, netif_rx, free_netdev".to_owned()];
    trial.observed = Observed {
        end: End::Done,
        errno: Some(8),
        log: vec![line(Phase::Boot, "Run /init as init process"), line(Phase::Load, &said)],
        ..Observed::default()
    };
    trial.outcome = TrialOutcome::Refused;
}

fn crashed(trial: &mut Trial) {
    let said = "BUG: unable to handle page fault for address: ffffffffc0a81f3e";
    let init = format!("{}_init+0x2d/0x1000 [{}]", trial.module.name, trial.module.name);
    let trace = ["register_netdevice+0x38/0x5c0", &init, "do_one_initcall+0x59/0x220", "do_init_module+0x4a/0x1f0"];
    let trace: Vec<String> = trace.map(str::to_owned).to_vec();
    let observed = &mut trial.observed;
    observed.log.push(line(Phase::Load, said));
    observed.log.push(line(Phase::Load, "#PF: supervisor read access in kernel mode"));
    observed.log.push(line(Phase::Load, "Oops: 0000 [#1] PREEMPT SMP PTI"));
    observed.log.extend(trace.iter().map(|at| line(Phase::Load, &format!(" {at}"))));
    observed.end = End::Ended(Phase::Load);
    observed.errno = None;
    observed.init = Init::Began;
    observed.state = None;
    observed.unload = None;
    observed.taint_after |= 1 << 7;
    observed.console = observed.log.iter().map(|line| format!("[    2.417] {}\r\n", line.text)).collect();
    observed.crash = Some(Crash {
        kind: CrashKind::Oops,
        line: said.to_owned(),
        phase: Phase::Load,
        place: trace.first().cloned(),
        trace,
    });
    trial.outcome = TrialOutcome::Crash;
}

fn patched(trial: &mut Trial) {
    let (old, new) = (vermagic(&trial.module.origin.clone().unwrap_or_default()), vermagic(&trial.kernel.release));
    let guard = |guard: &str, result: &str, why: &str| GuardReport {
        guard: guard.to_owned(),
        result: result.to_owned(),
        why: why.to_owned(),
    };
    trial.change = Some(RecordedPatch {
        edits: vec![RecordedEdit {
            offset: 0x158,
            old_len: old.len() as u64,
            new_len: new.len() as u64,
            old: old.into_bytes(),
            new: new.into_bytes(),
        }],
        sha256: hex::encode(Sha256::digest(&trial.id)),
        guards: vec![
            guard("file-kind", "pass", "a regular file with one name"),
            guard("live-tree", "pass", "not in the running kernel's module tree"),
            guard("struct-module", "refuse", "the kernel looks for init at 0x130, the module has it at 0x138"),
        ],
        impossible: None,
    });
}

/// Adds the observations of an outcome.
fn gets(trial: &mut Trial, outcome: TrialOutcome) {
    let module = trial.module.name.clone();
    let observed = &mut trial.observed;
    match outcome {
        TrialOutcome::Refused => return refused(trial),
        TrialOutcome::Crash => return crashed(trial),
        TrialOutcome::QemuError | TrialOutcome::NoBoot | TrialOutcome::NotRun => {
            *observed = Observed::default();
            match outcome {
                TrialOutcome::QemuError => observed.end = End::Qemu("qemu: could not map guest memory".to_owned()),
                TrialOutcome::NoBoot => observed.end = End::NoBoot("no first line within 60 s".to_owned()),
                _ => {}
            }
            trial.agreement = Agreement::Unknown;
            trial.disagreement = "there is no answer to compare with".to_owned();
        }
        TrialOutcome::InitNeverRan => {
            observed.init = Init::NeverRan;
            seen(trial, &format!("{module}0 exists"), "no");
        }
        TrialOutcome::Hang => {
            observed.end = End::Silent(Phase::Exercise);
            observed.log.push(line(Phase::Exercise, &format!("{module}0: link becomes ready")));
            observed.unload = None;
            observed.console = "[   12.001] watchdog: BUG: soft lockup - CPU#0 stuck for 2".to_owned();
            observed.is_cut = true;
        }
        TrialOutcome::InitFailed => {
            observed.init = Init::Returned(-19);
            observed.errno = Some(19);
            observed.state = None;
            observed.unload = None;
        }
        TrialOutcome::Misbehaves => {
            seen(trial, &format!("{module}0 exists"), "yes");
            seen(trial, &format!("{module}0 sends"), "0 packets");
            seen(trial, &format!("{module}0 can be deleted"), "no: EOPNOTSUPP (95)");
        }
        TrialOutcome::Warned => {
            let said = "WARNING: CPU: 0 PID: 1 at net/core/dev.c:10876 unregister_netdevice_many+0x6b2/0x760";
            observed.log.push(line(Phase::Unload, said));
            observed.warnings.push(said.to_owned());
            observed.taint_after |= 1 << 9;
        }
        TrialOutcome::NoDifference => works(trial),
        TrialOutcome::RecordBroken => {
            observed.end = End::Broken("the phase load ended twice".to_owned());
            trial.agreement = Agreement::Unknown;
            trial.disagreement = "the record contradicts itself".to_owned();
        }
    }
    trial.outcome = outcome;
}

fn example(module: &str, origin: &str, kernel: &str, load_mode: LoadMode, outcome: TrialOutcome) -> Trial {
    let mut trial = trial(module, origin, kernel, load_mode);
    gets(&mut trial, outcome);
    if load_mode == LoadMode::Patched {
        patched(&mut trial);
    }
    trial
}

/// A few trials with different outcomes.
pub(crate) fn story() -> Vec<Trial> {
    let mut wrong = example("tun", ABROAD, HOME, LoadMode::Original, TrialOutcome::Refused);
    wrong.prediction.verdict = Decision::Accepted;
    wrong.prediction.errno = None;
    wrong.prediction.dmesg.clear();
    wrong.agreement = Agreement::Disagree;
    wrong.disagreement = "predicted: accepted; happened: refused with ENOEXEC (8)".to_owned();
    let mut lacking = example("vxlan", ABROAD, HOME, LoadMode::Forced, TrialOutcome::Refused);
    lacking.observed.missing = vec![("udp_tunnel".to_owned(), 8)];
    lacking.agreement = Agreement::Unknown;
    lacking.disagreement = "a module that it needs could not be loaded".to_owned();
    vec![
        example("dummy", HOME, HOME, LoadMode::Original, TrialOutcome::NoDifference),
        example("dummy", HOME, HOME, LoadMode::Forced, TrialOutcome::NoDifference),
        example("dummy", ABROAD, HOME, LoadMode::Forced, TrialOutcome::Misbehaves),
        example("nlmon", ABROAD, HOME, LoadMode::Original, TrialOutcome::Refused),
        example("veth", ABROAD, HOME, LoadMode::Forced, TrialOutcome::Crash),
        example("ifb", ABROAD, HOME, LoadMode::Patched, TrialOutcome::InitNeverRan),
        wrong,
        example("macvlan", ABROAD, HOME, LoadMode::ForcedModversions, TrialOutcome::RecordBroken),
        example("bonding", ABROAD, HOME, LoadMode::Forced, TrialOutcome::Hang),
        example("geneve", ABROAD, HOME, LoadMode::ForcedVermagic, TrialOutcome::Warned),
        lacking,
    ]
}

/// Texts that try to control a page, a terminal or a reader.
pub(crate) const HOSTILE: [&str; 10] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=owned=1>",
    "</style><script>owned=1</script>",
    "javascript:owned=1//",
    "\u{1b}[31mred\u{1b}]0;owned\u{7}",
    "gnp.\u{202e}ok.evil",
    "a\0b\u{200b}c",
    "]]>&lt;&#0;<!--",
    "",
    "' onmouseover='owned=1\r\nX: y\u{ffff}\u{9b}31m",
];

/// Trials with such texts in all places.
pub(crate) fn hostile() -> Vec<Trial> {
    let trial = |(number, text): (usize, &&str)| {
        let text = (*text).to_owned();
        let mut trial = example("dummy", ABROAD, HOME, LoadMode::Patched, TrialOutcome::Crash);
        trial.id = format!("{text}{number}");
        trial.module.name.clone_from(&text);
        trial.module.path.clone_from(&text);
        trial.module.sha256.clone_from(&text);
        trial.module.origin = Some(text.clone());
        trial.module.vermagic = Some(text.clone());
        trial.kernel = TrialKernel { name: text.clone(), release: text.clone(), vermagic: text.clone() };
        trial.prediction.dmesg = vec![text.clone(), text.clone()];
        trial.prediction.taint = Some(text.clone());
        trial.prediction.stage = Some(text.clone());
        trial.prediction.dangers = vec![text.clone()];
        trial.prediction.findings = vec![finding(LoaderStep::Elf, StepResult::Fail, &text)];
        trial.agreement = Agreement::Disagree;
        trial.disagreement.clone_from(&text);
        trial.observed.log.push(line(Phase::Load, &text));
        trial.prediction.needs = vec![text.clone()];
        trial.observed.missing = vec![(text.clone(), i32::MIN)];
        trial.observed.warnings = vec![text.clone()];
        trial.observed.console = format!("{text}\n{text}");
        trial.observed.end = End::Broken(text.clone());
        trial.observed.state = Some(ModuleState { initstate: text.clone(), taint: text.clone() });
        trial.observed.taint_after = u64::MAX;
        seen(&mut trial, &text, &text);
        if let Some(change) = &mut trial.change {
            change.guards.push(GuardReport { guard: text.clone(), result: text.clone(), why: text.clone() });
            change.impossible = Some(text.clone());
            change.sha256.clone_from(&text);
        }
        if let Some(crash) = &mut trial.observed.crash {
            crash.line.clone_from(&text);
            crash.place = Some(text.clone());
            crash.trace = vec![text.clone()];
        }
        trial
    };
    HOSTILE.iter().enumerate().map(trial).collect()
}

const RELEASES: [&str; 5] = [
    "5.10.0-36-cloud-amd64",
    "6.1.0-47-cloud-amd64",
    "6.1.0-47-rt-amd64",
    "6.12.118-cloud-amd64",
    "7.2.13-cloud-amd64",
];

const MODULES: [&str; 24] = [
    "8021q",
    "act_police",
    "bonding",
    "bridge",
    "btrfs",
    "dm_crypt",
    "dummy",
    "ext4",
    "fuse",
    "geneve",
    "ifb",
    "ip_gre",
    "ipvlan",
    "loop",
    "macvlan",
    "nlmon",
    "overlay",
    "raid1",
    "sch_netem",
    "tun",
    "veth",
    "vxlan",
    "wireguard",
    "zram",
];

/// This many trials: modules of five kernels on the four others, in all load modes, with all outcomes among them.
pub(crate) fn many(count: usize) -> Vec<Trial> {
    let mut trials = Vec::with_capacity(count);
    let mut dice = Sha256::digest("dice").to_vec();
    for number in 0.. {
        for origin in RELEASES {
            for kernel in RELEASES.into_iter().filter(|kernel| *kernel != origin) {
                for load_mode in LoadMode::ALL {
                    if trials.len() == count {
                        return trials;
                    }
                    dice = Sha256::digest(&dice).to_vec();
                    let name = match number / MODULES.len() {
                        0 => MODULES[number].to_owned(),
                        round => format!("{}_{round}", MODULES[number % MODULES.len()]),
                    };
                    let mut trial = example(&name, origin, kernel, load_mode, thrown(load_mode, dice[0]));
                    if dice[1] < 4 && trial.agreement == Agreement::Agree {
                        trial.agreement = Agreement::Disagree;
                        trial.disagreement = "predicted to be taken without a line, and the loader said one".to_owned();
                    }
                    trials.push(trial);
                }
            }
        }
    }
    trials
}

/// The same, with logs and consoles as long as those of real kernels.
pub(crate) fn talkative(count: usize) -> Vec<Trial> {
    let mut trials = many(count);
    for trial in &mut trials {
        let boot =
            (0..300).map(|n| line(Phase::Boot, &format!("pci 0000:00:{n:02x}.0: [8086:29c0] type 00 class 0x060000")));
        trial.observed.log.splice(0..0, boot);
        if trial.outcome == TrialOutcome::Crash {
            let register =
                |n: u32| format!("R{n:02}: ffffffffc0a81f3e R{n:02}: 0000000000000000 R{n:02}: ffff88800323f0c8");
            trial.observed.log.extend((0..80).map(|n| line(Phase::Load, &register(n))));
            trial.observed.console = (0..300).map(|n| format!("[    2.417153] {}\r\n", register(n))).collect();
        }
        for step in [
            LoaderStep::Blacklist,
            LoaderStep::ModuleLayout,
            LoaderStep::Vermagic,
            LoaderStep::Livepatch,
            LoaderStep::Sections,
            LoaderStep::Symbols,
        ] {
            trial.prediction.findings.push(finding(step, StepResult::Pass, "no objection"));
        }
    }
    trials
}

/// A likely outcome for a load mode; occasionally any outcome.
fn thrown(load_mode: LoadMode, die: u8) -> TrialOutcome {
    let any = TrialOutcome::ALL[usize::from(die) % TrialOutcome::ALL.len()];
    match (load_mode, die) {
        (_, 0..24) => any,
        (LoadMode::Original | LoadMode::ForcedVermagic, _) => TrialOutcome::Refused,
        (LoadMode::ForcedModversions | LoadMode::Forced, 24..70) => TrialOutcome::Crash,
        (LoadMode::ForcedModversions | LoadMode::Forced, 70..110) => TrialOutcome::Misbehaves,
        (LoadMode::ForcedModversions | LoadMode::Forced, 110..130) => TrialOutcome::Warned,
        (LoadMode::ForcedModversions | LoadMode::Forced, _) => TrialOutcome::NoDifference,
        (LoadMode::Patched, 24..120) => TrialOutcome::InitNeverRan,
        (LoadMode::Patched, _) => TrialOutcome::Refused,
    }
}
