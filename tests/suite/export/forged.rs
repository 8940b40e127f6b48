//! Archives that this program never writes: refused without writing, following or decompressing anything beyond the limits.

use std::fs;
use std::os::unix::fs::symlink;

use kmodlab::digest::sha256;

use super::machine::{Machine, write};

/// A member of a forged archive. Its header has a right checksum.
struct Member {
    name: String,
    /// The type flag: `0` a file, `1` a hard link, `2` a symbolic link, `3` a device, `5` a folder, `6` a FIFO, `x` and `g` pax headers,
    /// `L` a long name.
    kind: u8,
    target: &'static str,
    /// The size in the header.
    size: String,
    contents: Vec<u8>,
}

fn member(name: &str, contents: &[u8]) -> Member {
    let size = format!("{:011o}", contents.len());
    Member { name: name.to_owned(), kind: b'0', target: "", size, contents: contents.to_owned() }
}

/// A backup with the right name.
fn backup(contents: &[u8]) -> Member {
    member(&format!("objects/{}", sha256(contents)), contents)
}

/// A manifest that describes these members, and has the right hash.
fn manifest(members: &[Member]) -> Member {
    manifest_with("", members)
}

/// A manifest that says this about the parts of the journal, describes these members, and has the right hash.
fn manifest_with(journal: &str, members: &[Member]) -> Member {
    let described = members.iter().map(|member| {
        let sha = sha256(&member.contents);
        format!(r#"{{"name":{:?},"size":{},"sha256":"{sha}"}}"#, member.name, member.contents.len())
    });
    let described = described.collect::<Vec<_>>().join(",");
    let start = format!(r#"{{"schema_version":1,"tool":"another","journal":[{journal}]"#);
    let text = format!(r#"{start},"members":[{described}],"left_out":[]"#);
    let text = format!("{text},\"hash\":\"{}\"}}\n", sha256(text.as_bytes()));
    member("manifest.json", text.as_bytes())
}

/// The bytes of an archive of these members.
fn archive(members: Vec<Member>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for Member { name, kind, target, size, contents } in members {
        let mut header = [0_u8; 512];
        let mode = if name.starts_with("objects/") { "0000400\0" } else { "0000600\0" };
        let fields: [(usize, &[u8]); 10] = [
            (0, name.as_bytes()),
            (100, mode.as_bytes()),
            (108, b"0000000\0"),
            (116, b"0000000\0"),
            (124, size.as_bytes()),
            (136, b"00000000000\0"),
            (148, b"        "),
            (156, &[kind]),
            (157, target.as_bytes()),
            (257, b"ustar\x0000"),
        ];
        for (at, field) in fields {
            header[at..at + field.len()].copy_from_slice(field);
        }
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:07o}\0").as_bytes());
        bytes.extend(header);
        bytes.extend(&contents);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.extend([0; 1024]);
    bytes
}

/// The archive of these members and their manifest.
fn described(members: Vec<Member>) -> Vec<u8> {
    let manifest = manifest(&members);
    archive(members.into_iter().chain([manifest]).collect())
}

#[track_caller]
fn refused(machine: &Machine, what: &str, bytes: &[u8]) {
    let file = machine.path("forged");
    write(&file, bytes);
    let before = machine.snapshot();
    for options in [&["-n"][..], &["--backups-only", "-n"], &["--confirm", &"0".repeat(64)]] {
        let answer = machine.run(["--max-size", "1M", "vault", "import", "forged"].iter().chain(options));
        assert_eq!((answer.status, answer.out.len(), answer.err.lines().count()), (2, 0, 1), "{what}: {answer:?}");
    }
    assert_eq!(machine.snapshot(), before, "{what}");
}

#[test]
fn the_forger_can_write_an_archive_that_is_accepted() {
    let machine = Machine::new();
    for bytes in [described(vec![backup(b"a module")]), described(vec![])] {
        let file = machine.path("forged");
        write(&file, &bytes);
        machine.run(&["vault", "import", "forged", "-n"]).with(0);
    }
}

#[test]
fn only_the_expected_members_are_accepted() {
    let machine = Machine::new();
    symlink("/", machine.path("root")).unwrap();
    let sha = sha256(b"x");
    let names = [
        "../escaped",
        "/tmp/escaped",
        "./journal.jsonl",
        "objects/../../escaped",
        "intents/1-1.json",
        "lock",
        "lab-machine.json",
        "journal.head",
        "objects",
        "objects/",
        "",
        "x",
        "journal.jsonl/",
        "root/tmp/escaped",
        "\u{1b}[2J",
    ];
    for name in names {
        refused(&machine, name, &described(vec![member(name, b"x")]));
    }
    for kind in *b"123456xgLKS\0" {
        for target in ["", "/etc/passwd", "../../escaped"] {
            let member = Member { kind, target, ..backup(b"x") };
            refused(&machine, &format!("kind {kind}"), &described(vec![member]));
        }
    }
    refused(
        &machine,
        "a link that looks like a file",
        &described(vec![Member { target: "/etc/passwd", ..backup(b"x") }]),
    );
    refused(&machine, "another name", &described(vec![member(&format!("objects/{sha}"), b"y")]));
    refused(&machine, "not compressed", &described(vec![member(&format!("objects/{sha}.zst"), b"x")]));
    refused(
        &machine,
        "upper case",
        &described(vec![member(&format!("objects/{}", sha.to_string().to_uppercase()), b"x")]),
    );
}

#[test]
fn the_order_and_the_manifest_are_binding() {
    let machine = Machine::new();
    let [one, two] = {
        let mut both = [b"one", b"two"];
        both.sort_by_key(|contents| sha256(*contents));
        both
    };
    let both = || vec![backup(one), backup(two)];
    let file = machine.path("forged");
    write(&file, &described(both()));
    machine.run(&["vault", "import", "forged", "-n"]).with(0);
    let swapped = || vec![backup(two), backup(one)];
    refused(&machine, "swapped", &described(swapped()));
    refused(&machine, "twice", &described(vec![backup(one), backup(one)]));
    refused(&machine, "the journal first", &described(vec![member("journal.jsonl", b""), backup(one)]));
    refused(&machine, "no manifest", &archive(both()));
    refused(&machine, "a manifest of one", &archive(both().into_iter().chain([manifest(&both()[..1])]).collect()));
    let early = archive([manifest(&both())].into_iter().chain(both()).collect());
    refused(&machine, "the manifest first", &early);
    let two_of_them = archive(vec![backup(one), manifest(&[backup(one)]), manifest(&[backup(one)])]);
    refused(&machine, "two manifests", &two_of_them);
    refused(&machine, "no member at all", &[0; 1024]);
    refused(&machine, "nothing", b"");
    refused(&machine, "text", b"This is a letter and no archive.");
}

#[test]
fn sizes_are_bounded_by_the_file_and_by_the_limit() {
    let machine = Machine::new();
    let with_size = |size: &str| Member { size: size.to_owned(), ..backup(b"x") };
    for size in ["77777777777", "00004000000", "0000000000z", "-0000000001", "           1", "1"] {
        refused(&machine, size, &archive(vec![with_size(size)]));
    }
    // GNU tar's form for large numbers: eight exbibytes.
    let mut bytes = archive(vec![backup(b"x")]);
    bytes[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    refused(&machine, "a large number", &bytes);
    refused(&machine, "larger than --max-size", &described(vec![backup(&vec![7; (1 << 20) + 1])]));
    // 64 MiB of zeros in some kilobytes, as a backup and as the archive itself.
    let zeros = vec![0; 64 << 20];
    let bomb = zstd::encode_all(&zeros[..], 1).unwrap();
    assert!(bomb.len() < 10_000);
    refused(&machine, "a bomb", &described(vec![member(&format!("objects/{}.zst", sha256(&zeros)), &bomb)]));
    refused(&machine, "an archive that is a bomb", &bomb);
    let journal = zstd::encode_all(&described(vec![member("journal.jsonl", &zeros)])[..], 1).unwrap();
    refused(&machine, "a journal that is a bomb, without the hash", &journal);
}

#[test]
fn a_compressed_archive_needs_its_hash() {
    let machine = Machine::new();
    let frame = zstd::encode_all(&described(vec![backup(b"a module")])[..], 3).unwrap();
    let seal = |frame: &[u8]| {
        let mut sealed = frame.to_vec();
        sealed.extend([0x50, 0x2a, 0x4d, 0x18, 32, 0, 0, 0]);
        sealed.extend(sha256(frame).as_bytes());
        sealed
    };
    write(&machine.path("forged"), &seal(&frame));
    machine.run(&["vault", "import", "forged", "-n"]).with(0);
    refused(&machine, "no hash", &frame);
    refused(&machine, "two frames", &seal(&[&frame[..], &frame].concat()));
    refused(&machine, "something between", &seal(&[&frame[..], b"x"].concat()));
    refused(&machine, "hashed twice", &seal(&seal(&frame)));
}

/// A part of which no line says that it is damaged. Its lines are not merged; the backups are not lost for that.
#[test]
fn of_a_journal_with_an_unknown_part_the_backups_are_imported() {
    let machine = Machine::new();
    let parts = vec![backup(b"a module"), member("journal.1.jsonl", b"damaged\n"), member("journal.jsonl", b"")];
    let file = machine.path("forged");
    write(&file, &described(parts));
    let answer = machine.run(&["vault", "import", "forged", "-n"]).with(2);
    assert!(answer.err.contains("line 1 breaks the hash chain") && answer.err.contains("--backups-only"), "{answer:?}");
    assert!(!machine.state().exists());
    assert!(machine.import(&file, &["--backups-only"]).with(0).text().contains("imported 0 lines and 1 backup"));
}

/// The first version of the program had no copies of parts in an export, and began the chain of each part again.
#[test]
fn an_older_export_of_a_repaired_journal_is_read() {
    let modules = ["poet_atkm.ko", "hello-4.ko.xz"];
    let (here, there) = (Machine::with(&modules), Machine::new());
    let mut part = fs::read(here.state().join("journal.jsonl")).unwrap();
    part[100] ^= 1;
    write(&here.state().join("journal.jsonl"), &part);
    let digest = here.run(&["vault", "repair", "-n"]).with(1).value("digest");
    here.run(&["vault", "repair", "--confirm", &digest]).with(0);
    let current = fs::read(here.state().join("journal.jsonl")).unwrap();
    let mut members: Vec<Member> = modules.iter().map(|name| backup(&fs::read(here.backup(name)).unwrap())).collect();
    members.sort_by(|one, other| one.name.cmp(&other.name));
    members.extend([member("journal.1.jsonl", &part), member("journal.jsonl", &current)]);
    let said = |part: &str| format!(r#"{{"name":"{part}","lines":0,"head":null,"broken":1}}"#);
    let manifest = manifest_with(&[said("journal.1.jsonl"), said("journal.jsonl")].join(","), &members);
    let file = there.path("older");
    write(&file, &archive(members.into_iter().chain([manifest]).collect()));
    there.import(&file, &[]).with(0);
    assert!(fs::read(there.state().join("journal.1.jsonl")).unwrap() == part);
    assert_eq!(there.journal()[..1], here.journal());
    there.run(&["log"]).with(0);
    assert!(there.run(&["vault", "verify"]).with(0).err.is_empty());
}

#[test]
fn only_a_regular_file_is_read() {
    let machine = Machine::new();
    let fifo = machine.path("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    fs::create_dir(machine.path("folder")).unwrap();
    for name in ["fifo", "folder", "/dev/null", "/dev/zero", "missing"] {
        machine.run(&["vault", "import", name, "-n"]).with(2);
    }
    assert!(!machine.state().exists());
}
