//! Made-up records: nobody ran these.

use kmodlab::lab::record::{
    Agreement, Cell, Change, Crash, CrashKind, End, GuardSaid, Init, KernelSeen, Line, ModuleSeen, Observed, Outcome,
    Phase, Prediction, Role, SCHEMA_VERSION, Seen, Spot, State, Unload, Way,
};
use kmodlab::predict::{Decision, Finding, LoaderStep, StepResult as StepEnd};
use sha2::{Digest, Sha256};

const HOME: &str = "6.1.0-56-cloud-amd64";
const ABROAD: &str = "6.1.0-47-cloud-amd64";

/// Records as a file has them.
pub(crate) fn lines(cells: &[Cell]) -> String {
    cells.iter().map(|cell| format!("{}\n", serde_json::to_string(cell).unwrap())).collect()
}

fn vermagic(release: &str) -> String {
    format!("{release} SMP preempt mod_unload modversions ")
}

/// A cell of a module that was loaded, and with which all is well.
fn cell(module: &str, origin: &str, kernel: &str, way: Way) -> Cell {
    let hash = |text: &str| hex::encode(Sha256::digest(text));
    let mut cell = Cell {
        schema_version: SCHEMA_VERSION,
        id: hash(&format!("{module} {origin} {kernel} {}", way.name())),
        role: if origin == kernel { Role::Control } else { Role::Asked },
        module: ModuleSeen {
            name: module.to_owned(),
            path: format!("lib/modules/{origin}/kernel/drivers/net/{module}.ko"),
            origin: Some(origin.to_owned()),
            sha256: hash(&format!("{module} {origin}")),
            vermagic: Some(vermagic(origin)),
        },
        kernel: KernelSeen { name: kernel.to_owned(), release: kernel.to_owned(), vermagic: vermagic(kernel) },
        way,
        conditions: Vec::new(),
        prediction: Prediction {
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
            state: Some(State { initstate: "live".to_owned(), taint: String::new() }),
            unload: Some(Unload { forced: false, errno: Some(0), gone: true }),
            ..Observed::default()
        },
        outcome: Outcome::NoDifference,
        agreement: Agreement::Agree,
        disagreement: String::new(),
        seconds: 0.62,
    };
    for step in [LoaderStep::Permission, LoaderStep::Signature, LoaderStep::Elf] {
        cell.prediction.findings.push(finding(step, StepEnd::Pass, "nothing speaks against it"));
    }
    if way.flags() != 0 {
        let said = format!("{module}: bad vermagic: kernel tainted.");
        cell.prediction.taint = Some("F".to_owned());
        cell.prediction.dmesg = vec![said.clone()];
        cell.observed.log.push(line(Phase::Load, &said));
        cell.observed.taint_after = 1 << 1;
        cell.observed.state = Some(State { initstate: "live".to_owned(), taint: "F".to_owned() });
    }
    cell
}

/// What a module needs of others.
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

fn line(phase: Phase, text: &str) -> Line {
    Line { phase, text: text.to_owned() }
}

fn finding(step: LoaderStep, result: StepEnd, note: &str) -> Finding {
    Finding { step, result, module: None, kernel: None, source: None, note: note.to_owned() }
}

fn seen(cell: &mut Cell, what: &str, how: &str) {
    cell.observed.witness.push(Seen { what: what.to_owned(), how: how.to_owned() });
}

/// What the witness sees of a network module that works.
fn works(cell: &mut Cell) {
    let name = format!("{}0", cell.module.name);
    seen(cell, &format!("{name} exists"), "yes");
    seen(cell, &format!("{name} sends"), "3 packets");
    seen(cell, &format!("{name} can be deleted"), "yes");
}

fn refused(cell: &mut Cell) {
    let said = format!("{}: disagrees about version of symbol module_layout", cell.module.name);
    cell.prediction.verdict = Decision::Refused;
    cell.prediction.errno = Some(8);
    cell.prediction.stage = Some("module-layout".to_owned());
    cell.prediction.dmesg = vec![said.clone()];
    let mut reason =
        finding(LoaderStep::ModuleLayout, StepEnd::Fail, "module_layout: module 0x1a2b3c4d, kernel 0x9f949ae7");
    reason.source = Some(format!("boot/vmlinuz-{}", cell.kernel.release));
    cell.prediction.findings.push(reason);
    cell.prediction.dangers = vec!["3 of 41 symbol CRCs differ: module_layout, netif_rx, free_netdev".to_owned()];
    cell.observed = Observed {
        end: End::Done,
        errno: Some(8),
        log: vec![line(Phase::Boot, "Run /init as init process"), line(Phase::Load, &said)],
        ..Observed::default()
    };
    cell.outcome = Outcome::Refused;
}

fn crashed(cell: &mut Cell) {
    let said = "BUG: unable to handle page fault for address: ffffffffc0a81f3e";
    let init = format!("{}_init+0x2d/0x1000 [{}]", cell.module.name, cell.module.name);
    let trace = ["register_netdevice+0x38/0x5c0", &init, "do_one_initcall+0x59/0x220", "do_init_module+0x4a/0x1f0"];
    let trace: Vec<String> = trace.map(str::to_owned).to_vec();
    let observed = &mut cell.observed;
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
    cell.outcome = Outcome::Crash;
}

fn patched(cell: &mut Cell) {
    let (old, new) = (vermagic(&cell.module.origin.clone().unwrap_or_default()), vermagic(&cell.kernel.release));
    let guard = |guard: &str, say: &str, why: &str| GuardSaid {
        guard: guard.to_owned(),
        say: say.to_owned(),
        why: why.to_owned(),
    };
    cell.change = Some(Change {
        edits: vec![Spot {
            offset: 0x158,
            old_len: old.len() as u64,
            new_len: new.len() as u64,
            old: old.into_bytes(),
            new: new.into_bytes(),
        }],
        sha256: hex::encode(Sha256::digest(&cell.id)),
        guards: vec![
            guard("file-kind", "pass", "a regular file with one name"),
            guard("live-tree", "pass", "not in the running kernel's module tree"),
            guard("struct-module", "refuse", "the kernel looks for init at 0x130, the module has it at 0x138"),
        ],
        impossible: None,
    });
}

/// What an outcome leaves.
fn gets(cell: &mut Cell, outcome: Outcome) {
    let module = cell.module.name.clone();
    let observed = &mut cell.observed;
    match outcome {
        Outcome::Refused => return refused(cell),
        Outcome::Crash => return crashed(cell),
        Outcome::EngineError | Outcome::NoBoot | Outcome::NotRun => {
            *observed = Observed::default();
            match outcome {
                Outcome::EngineError => observed.end = End::Engine("qemu: could not map guest memory".to_owned()),
                Outcome::NoBoot => observed.end = End::NoBoot("no first line within 60 s".to_owned()),
                _ => {}
            }
            cell.agreement = Agreement::Unknown;
            cell.disagreement = "there is no answer to compare with".to_owned();
        }
        Outcome::InitNeverRan => {
            observed.init = Init::NeverRan;
            seen(cell, &format!("{module}0 exists"), "no");
        }
        Outcome::Hang => {
            observed.end = End::Silent(Phase::Exercise);
            observed.log.push(line(Phase::Exercise, &format!("{module}0: link becomes ready")));
            observed.unload = None;
            observed.console = "[   12.001] watchdog: BUG: soft lockup - CPU#0 stuck for 2".to_owned();
            observed.is_cut = true;
        }
        Outcome::InitFailed => {
            observed.init = Init::Returned(-19);
            observed.errno = Some(19);
            observed.state = None;
            observed.unload = None;
        }
        Outcome::Misbehaves => {
            seen(cell, &format!("{module}0 exists"), "yes");
            seen(cell, &format!("{module}0 sends"), "0 packets");
            seen(cell, &format!("{module}0 can be deleted"), "no: EOPNOTSUPP (95)");
        }
        Outcome::Warned => {
            let said = "WARNING: CPU: 0 PID: 1 at net/core/dev.c:10876 unregister_netdevice_many+0x6b2/0x760";
            observed.log.push(line(Phase::Unload, said));
            observed.warnings.push(said.to_owned());
            observed.taint_after |= 1 << 9;
        }
        Outcome::NoDifference => works(cell),
        Outcome::RecordBroken => {
            observed.end = End::Broken("the phase load ended twice".to_owned());
            cell.agreement = Agreement::Unknown;
            cell.disagreement = "the record contradicts itself".to_owned();
        }
    }
    cell.outcome = outcome;
}

fn told(module: &str, origin: &str, kernel: &str, way: Way, outcome: Outcome) -> Cell {
    let mut cell = cell(module, origin, kernel, way);
    gets(&mut cell, outcome);
    if way == Way::Patched {
        patched(&mut cell);
    }
    cell
}

/// A few cells, each another story.
pub(crate) fn story() -> Vec<Cell> {
    let mut wrong = told("tun", ABROAD, HOME, Way::Original, Outcome::Refused);
    wrong.prediction.verdict = Decision::Accepted;
    wrong.prediction.errno = None;
    wrong.prediction.dmesg.clear();
    wrong.agreement = Agreement::Disagree;
    wrong.disagreement = "predicted to be taken, and was refused with ENOEXEC (8)".to_owned();
    let mut lacking = told("vxlan", ABROAD, HOME, Way::Forced, Outcome::Refused);
    lacking.observed.missing = vec![("udp_tunnel".to_owned(), 8)];
    lacking.agreement = Agreement::Unknown;
    lacking.disagreement = "what it needs could not be loaded before it".to_owned();
    vec![
        told("dummy", HOME, HOME, Way::Original, Outcome::NoDifference),
        told("dummy", HOME, HOME, Way::Forced, Outcome::NoDifference),
        told("dummy", ABROAD, HOME, Way::Forced, Outcome::Misbehaves),
        told("nlmon", ABROAD, HOME, Way::Original, Outcome::Refused),
        told("veth", ABROAD, HOME, Way::Forced, Outcome::Crash),
        told("ifb", ABROAD, HOME, Way::Patched, Outcome::InitNeverRan),
        wrong,
        told("macvlan", ABROAD, HOME, Way::ForcedModversions, Outcome::RecordBroken),
        told("bonding", ABROAD, HOME, Way::Forced, Outcome::Hang),
        told("geneve", ABROAD, HOME, Way::ForcedVermagic, Outcome::Warned),
        lacking,
    ]
}

/// What those write who want a page, a terminal or a reader to do their will.
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

/// Cells with such text in all places.
pub(crate) fn hostile() -> Vec<Cell> {
    let cell = |(number, text): (usize, &&str)| {
        let text = (*text).to_owned();
        let mut cell = told("dummy", ABROAD, HOME, Way::Patched, Outcome::Crash);
        cell.id = format!("{text}{number}");
        cell.module.name.clone_from(&text);
        cell.module.path.clone_from(&text);
        cell.module.sha256.clone_from(&text);
        cell.module.origin = Some(text.clone());
        cell.module.vermagic = Some(text.clone());
        cell.kernel = KernelSeen { name: text.clone(), release: text.clone(), vermagic: text.clone() };
        cell.prediction.dmesg = vec![text.clone(), text.clone()];
        cell.prediction.taint = Some(text.clone());
        cell.prediction.stage = Some(text.clone());
        cell.prediction.dangers = vec![text.clone()];
        cell.prediction.findings = vec![finding(LoaderStep::Elf, StepEnd::Fail, &text)];
        cell.agreement = Agreement::Disagree;
        cell.disagreement.clone_from(&text);
        cell.observed.log.push(line(Phase::Load, &text));
        cell.prediction.needs = vec![text.clone()];
        cell.observed.missing = vec![(text.clone(), i32::MIN)];
        cell.observed.warnings = vec![text.clone()];
        cell.observed.console = format!("{text}\n{text}");
        cell.observed.end = End::Broken(text.clone());
        cell.observed.state = Some(State { initstate: text.clone(), taint: text.clone() });
        cell.observed.taint_after = u64::MAX;
        seen(&mut cell, &text, &text);
        if let Some(change) = &mut cell.change {
            change.guards.push(GuardSaid { guard: text.clone(), say: text.clone(), why: text.clone() });
            change.impossible = Some(text.clone());
            change.sha256.clone_from(&text);
        }
        if let Some(crash) = &mut cell.observed.crash {
            crash.line.clone_from(&text);
            crash.place = Some(text.clone());
            crash.trace = vec![text.clone()];
        }
        cell
    };
    HOSTILE.iter().enumerate().map(cell).collect()
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

/// So many cells: modules of five kernels on the four others, in all ways, with all outcomes among them.
pub(crate) fn many(count: usize) -> Vec<Cell> {
    let mut cells = Vec::with_capacity(count);
    let mut dice = Sha256::digest("dice").to_vec();
    for number in 0.. {
        for origin in RELEASES {
            for kernel in RELEASES.into_iter().filter(|kernel| *kernel != origin) {
                for way in Way::ALL {
                    if cells.len() == count {
                        return cells;
                    }
                    dice = Sha256::digest(&dice).to_vec();
                    let name = match number / MODULES.len() {
                        0 => MODULES[number].to_owned(),
                        round => format!("{}_{round}", MODULES[number % MODULES.len()]),
                    };
                    let mut cell = told(&name, origin, kernel, way, thrown(way, dice[0]));
                    if dice[1] < 4 && cell.agreement == Agreement::Agree {
                        cell.agreement = Agreement::Disagree;
                        cell.disagreement = "predicted to be taken without a line, and the loader said one".to_owned();
                    }
                    cells.push(cell);
                }
            }
        }
    }
    cells
}

/// The same, with as much of log and console as real kernels write.
pub(crate) fn talkative(count: usize) -> Vec<Cell> {
    let mut cells = many(count);
    for cell in &mut cells {
        let boot =
            (0..300).map(|n| line(Phase::Boot, &format!("pci 0000:00:{n:02x}.0: [8086:29c0] type 00 class 0x060000")));
        cell.observed.log.splice(0..0, boot);
        if cell.outcome == Outcome::Crash {
            let register =
                |n: u32| format!("R{n:02}: ffffffffc0a81f3e R{n:02}: 0000000000000000 R{n:02}: ffff88800323f0c8");
            cell.observed.log.extend((0..80).map(|n| line(Phase::Load, &register(n))));
            cell.observed.console = (0..300).map(|n| format!("[    2.417153] {}\r\n", register(n))).collect();
        }
        for step in [
            LoaderStep::Blacklist,
            LoaderStep::ModuleLayout,
            LoaderStep::Vermagic,
            LoaderStep::Livepatch,
            LoaderStep::Sections,
            LoaderStep::Symbols,
        ] {
            cell.prediction.findings.push(finding(step, StepEnd::Pass, "nothing speaks against it"));
        }
    }
    cells
}

/// A likely outcome for a way; now and then any.
fn thrown(way: Way, die: u8) -> Outcome {
    let any = Outcome::ALL[usize::from(die) % Outcome::ALL.len()];
    match (way, die) {
        (_, 0..24) => any,
        (Way::Original | Way::ForcedVermagic, _) => Outcome::Refused,
        (Way::ForcedModversions | Way::Forced, 24..70) => Outcome::Crash,
        (Way::ForcedModversions | Way::Forced, 70..110) => Outcome::Misbehaves,
        (Way::ForcedModversions | Way::Forced, 110..130) => Outcome::Warned,
        (Way::ForcedModversions | Way::Forced, _) => Outcome::NoDifference,
        (Way::Patched, 24..120) => Outcome::InitNeverRan,
        (Way::Patched, _) => Outcome::Refused,
    }
}
