//! The kernel's console is read correctly: `NAME.log` is the output of a guest's serial port, `NAME.txt` the result of reading
//! it.
//!
//! The logs were made for this project, in the formats that kernels print. After an intended change, `SNAPSHOTS=overwrite cargo
//! test --test suite lab::` records the answers again: read the difference.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use kmodlab::lab::console::{self, ConsoleReading, LONGEST_LINE, MOST_CALLS, MOST_WARNINGS};
use kmodlab::lab::record::CrashKind;
use proptest::prelude::*;

fn logs() -> Vec<PathBuf> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/lab/console");
    let files = fs::read_dir(home).unwrap().map(|entry| entry.unwrap().path());
    let mut logs: Vec<PathBuf> = files.filter(|file| file.extension().is_some_and(|e| e == "log")).collect();
    logs.sort();
    logs
}

fn text(log: &Path) -> String {
    String::from_utf8_lossy(&fs::read(log).unwrap()).into_owned()
}

/// A readable form of the result.
fn shown(reading: &ConsoleReading) -> String {
    let mut out = String::new();
    match &reading.crash {
        None => out.push_str("no crash\n"),
        Some(crash) => {
            writeln!(out, "{} in phase {}", crash.kind.name(), crash.phase.name()).unwrap();
            writeln!(out, "  {}", kmodlab::escape::for_eyes(&crash.line)).unwrap();
            writeln!(out, "  at {}", crash.place.as_deref().unwrap_or("an unknown place")).unwrap();
            for function in &crash.trace {
                writeln!(out, "    {function}").unwrap();
            }
        }
    }
    for warning in &reading.warnings {
        writeln!(out, "warning: {warning}").unwrap();
    }
    out.push_str(if reading.is_cut { "cut\n" } else { "whole\n" });
    out
}

#[test]
fn each_log_is_read_right() {
    let logs = logs();
    assert!(logs.len() > 30, "only {} logs found", logs.len());
    let answers = snapbox::Assert::new().action_env("SNAPSHOTS");
    for log in logs {
        let expected = snapbox::Data::read_from(&log.with_extension("txt"), Some(snapbox::data::DataFormat::Text));
        answers.eq(shown(&console::read(&text(&log))), expected);
    }
}

/// A promise must be tested for all kinds, not for some only.
#[test]
fn there_is_a_log_of_each_kind() {
    let kinds: BTreeSet<CrashKind> =
        logs().iter().filter_map(|log| Some(console::read(&text(log)).crash?.kind)).collect();
    let all = [
        CrashKind::HungTask,
        CrashKind::RcuStall,
        CrashKind::SoftLockup,
        CrashKind::HardLockup,
        CrashKind::Bug,
        CrashKind::Oops,
        CrashKind::Panic,
    ];
    assert_eq!(kinds, BTreeSet::from(all));
}

#[test]
fn a_log_cut_anywhere_looks_no_worse_than_the_whole() {
    for log in logs() {
        let whole = text(&log);
        let worst = console::read(&whole).crash.map(|crash| crash.kind);
        for at in (0..whole.len()).filter(|at| whole.is_char_boundary(*at)) {
            let reading = console::read(&whole[..at]);
            let kind = reading.crash.map(|crash| crash.kind);
            assert!(kind <= worst, "{} cut at byte {at} is {kind:?}", log.display());
            let ends_a_line = at == 0 || whole.as_bytes()[at - 1] == b'\n';
            assert!(reading.is_cut || ends_a_line, "{} cut at byte {at} looks whole", log.display());
        }
    }
}

fn check_bounds(reading: &ConsoleReading) {
    let ConsoleReading { crash, warnings, is_cut: _ } = reading;
    assert!(warnings.len() <= MOST_WARNINGS);
    assert!(warnings.iter().all(|line| line.len() <= LONGEST_LINE));
    let Some(crash) = crash else { return };
    assert!(crash.trace.len() <= MOST_CALLS);
    let texts = crash.trace.iter().chain([&crash.line]).chain(&crash.place);
    assert!(texts.into_iter().all(|text| text.len() <= LONGEST_LINE));
}

/// Pieces of reports, so that random input reaches the interesting cases.
fn piece() -> impl Strategy<Value = String> {
    let lines: Vec<String> =
        logs().iter().flat_map(|log| text(log).lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    prop_oneof![
        8 => proptest::sample::select(lines.clone()),
        2 => (proptest::sample::select(lines), any::<proptest::sample::Index>()).prop_map(|(line, at)| {
            let at = at.index(line.len() + 1);
            let at = (0..=at).rev().find(|at| line.is_char_boundary(*at)).unwrap();
            line[..at].to_owned()
        }),
        1 => any::<String>(),
        1 => Just("\n".to_owned()),
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        check_bounds(&console::read(&String::from_utf8_lossy(&bytes)));
    }

    #[test]
    fn any_mixture_is_read_and_its_beginning_is_no_worse(
        pieces in proptest::collection::vec((piece(), any::<bool>()), 0..60),
        cut in any::<proptest::sample::Index>(),
    ) {
        let whole: String = pieces.iter().flat_map(|(piece, ends)| [piece.as_str(), if *ends { "\r\n" } else { "\n" }]).collect();
        let reading = console::read(&whole);
        check_bounds(&reading);
        let at = cut.index(whole.len() + 1);
        let at = (0..=at).rev().find(|at| whole.is_char_boundary(*at)).unwrap();
        let part = console::read(&whole[..at]);
        prop_assert!(part.crash.map(|crash| crash.kind) <= reading.crash.map(|crash| crash.kind));
    }
}

/// A flood of output hides nothing, and little of it is kept.
#[test]
fn three_megabytes_of_flood_are_read() {
    let mut flood = String::new();
    for number in 0.. {
        writeln!(flood, "[   {number:9}.000000] WARNING: CPU: 0 PID: {number} at drivers/hello.c:1 hello+0x1/0x2\r")
            .unwrap();
        writeln!(flood, "[   {number:9}.000001] hello: once more\r").unwrap();
        if flood.len() > 3 << 20 {
            break;
        }
    }
    flood.push_str("[999999.000000] kernel BUG at mm/slub.c:306!\r\n");
    flood.push_str(&"x".repeat(3 << 20));
    let reading = console::read(&flood);
    check_bounds(&reading);
    assert_eq!(reading.warnings.len(), MOST_WARNINGS);
    assert_eq!(reading.crash.unwrap().kind, CrashKind::Bug);
    assert!(reading.is_cut);
}
