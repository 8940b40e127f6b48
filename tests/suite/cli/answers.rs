//! Properties of the answers of all commands that a session cannot show: file names that are difficult in a shell.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::cli::{environment, kmodlab};

/// Escape sequences, a line feed, a mark that changes the text direction, and a byte that is not UTF-8.
const NAMES: [&[u8]; 4] = [
    b"\x1b]0;owned\x07\x1b[2J\x1b[31m.ko",
    b"two\nlines\r.ko",
    "looks\u{202e}ok.\u{200b}ko".as_bytes(),
    b"not-utf-8-\xff\xfe.ko",
];

/// Runs the program in a folder, without a terminal, as the sessions do.
pub(crate) fn run<S: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = S>) -> Output {
    let mut command = Command::new(kmodlab());
    command.args(arguments).current_dir(folder).envs(environment()).stdin(std::process::Stdio::null());
    command.output().unwrap()
}

/// Both streams, with the exit status before them.
pub(crate) fn story(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("not UTF-8");
    format!("exit {}\n{}{}", output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// Does the text contain nothing that a terminal interprets, except line feeds?
fn assert_harmless(text: &str, of: &str) {
    let bad = text.chars().find(|c| (c.is_control() && *c != '\n') || ('\u{200b}'..='\u{202e}').contains(c));
    assert_eq!(bad, None, "{of}: {text:?}");
}

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// The arguments of a call; `MODULE` is replaced by the file's name.
fn words<'w>(call: &'w str, name: &'w OsStr) -> impl Iterator<Item = &'w OsStr> {
    call.split(' ').map(move |word| if word == "MODULE" { name } else { OsStr::new(word) })
}

#[test]
fn a_terminal_obeys_no_file_name() {
    for name in NAMES.map(OsStr::from_bytes) {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(fixture("modules/poet_atkm.ko"), folder.path().join(name)).unwrap();
        let plan = run(folder.path(), words("patch --mode blank -n -- MODULE", name));
        let plan = story(&plan);
        let digest = plan.lines().find_map(|line| line.trim_start().strip_prefix("digest")).unwrap().trim();
        let confirmed = format!("patch --mode blank --confirm {digest} -- MODULE");
        for (call, status) in [
            ("show -- MODULE", 0),
            ("show --json -- MODULE", 0),
            ("check --kernel MODULE -- MODULE", 0),
            ("patch --mode blank -- MODULE", 3),
            ("patch --mode blank -n -- MODULE", 0),
            (&confirmed, 0),
            ("patch --mode blank -- MODULE", 2),
            ("verify", 0),
            ("verify --json -- MODULE", 0),
            ("diff -- MODULE MODULE", 0),
            ("log", 0),
            ("log --json", 0),
            ("restore -n -- MODULE", 0),
            ("restore -- MODULE", 0),
            ("restore -- MODULE", 0),
            ("restore --all", 0),
            ("show -- MODULE/none", 2),
            ("patch --mode blank -- MODULE/none", 2),
        ] {
            let output = run(folder.path(), words(call, name));
            let story = story(&output);
            assert_harmless(&story, call);
            assert_eq!(output.status.code(), Some(status), "{call}: {story}");
        }
    }
}

/// A path that is not UTF-8 is printed completely: for programs in hexadecimal, for people with its bytes escaped.
#[test]
fn a_name_that_is_not_utf_8_is_printed_completely() {
    let name = OsStr::from_bytes(NAMES[3]);
    let folder = tempfile::tempdir().unwrap();
    fs::copy(fixture("modules/poet_atkm.ko"), folder.path().join(name)).unwrap();
    let story_of = |call: &str| story(&run(folder.path(), words(call, name)));
    let plan = story_of("patch --mode blank -n --json -- MODULE");
    let digest = plan.split("\"digest\":\"").nth(1).unwrap().split('"').next().unwrap();
    let applied = story_of(&format!("patch --mode blank --json --confirm {digest} -- MODULE"));
    let hex = NAMES[3].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut answers = vec![("patch -n", plan), ("patch", applied)];
    for call in [
        "show --json -- MODULE",
        "verify --json -- MODULE",
        "scan --json -- MODULE",
        "check --kernel vermagic:6.1.0 --json -- MODULE",
        "vault --json",
        "vault verify --json",
    ] {
        answers.push((call, story_of(call)));
    }
    for (call, answer) in answers {
        assert!(answer.contains("_hex\":") && answer.contains(&format!("{hex}\"")), "{call}: {answer}");
    }
    fs::remove_file(folder.path().join(name)).unwrap();
    let errors = [story_of("show -- MODULE"), story_of("scan -- MODULE")].concat();
    assert_eq!(errors.matches(r"kmodlab: not-utf-8-\xff\xfe.ko: ").count(), 2, "{errors}");
}

#[test]
fn a_terminal_obeys_no_text_of_a_module() {
    let text = fixture("modules/text.ko");
    let control = fixture("ambiguous/control-vermagic.ko");
    let folder = tempfile::tempdir().unwrap();
    for module in [&text, &control] {
        for call in [
            "show MODULE",
            "show --json MODULE",
            "check --kernel vermagic:6.1.0 MODULE",
            "check --kernel vermagic:6.1.0 --json MODULE",
            "patch --mode blank -n MODULE",
        ] {
            let output = run(folder.path(), words(call, module.as_os_str()));
            assert_harmless(&story(&output), call);
        }
    }
    let both = [OsStr::new("diff"), text.as_os_str(), control.as_os_str()];
    assert_harmless(&story(&run(folder.path(), both)), "diff");
}

#[test]
fn every_misuse_is_reported_in_one_line_on_stderr() {
    let folder = tempfile::tempdir().unwrap();
    let module = fixture("modules/poet_atkm.ko");
    for (call, status) in [
        ("show", 2),
        ("show missing.ko", 2),
        ("diff MODULE", 2),
        ("diff MODULE missing.ko", 2),
        ("check MODULE", 2),
        ("check MODULE --kernel missing", 2),
        ("patch", 2),
        ("patch MODULE", 2),
        ("patch missing.ko --mode blank", 2),
        ("patch MODULE --mode blank --confirm no", 3),
        ("restore", 2),
        ("restore MODULE", 2),
        ("verify MODULE", 2),
        ("log MODULE", 2),
        ("recover MODULE", 2),
        ("enrol MODULE", 2),
        ("demo MODULE", 2),
        ("MODULE", 2),
    ] {
        let output = run(folder.path(), words(call, module.as_os_str()));
        let story = story(&output);
        assert_eq!(output.status.code(), Some(status), "{call}: {story}");
        assert!(output.stdout.is_empty(), "{call}: {story}");
        assert_eq!(output.stderr.iter().filter(|byte| **byte == b'\n').count(), 1, "{call}: {story}");
        assert!(output.stderr.starts_with(b"kmodlab: "), "{call}: {story}");
    }
}
