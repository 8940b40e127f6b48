//! Each hostile fixture is refused by each command, in one line, for the reason that its name gives.

use std::path::Path;

use kmodlab::error::ErrorKind::{self, Ambiguous, DoesNotFit, Malformed, NotAModule, NotFound, Truncated};
use kmodlab::module;
use kmodlab::module::container::DEFAULT_MAX_SIZE;
use kmodlab::patch::{NewVermagic, Plan, Request, Signature};

use crate::hostile::{VERMAGIC, fixture, fixtures, kmodlab, name};
use crate::scan::summaries::NOT_LOOKED_AT;

/// A fixture, the kind of its error, and words of the message that appear in no other message.
const REFUSED: &[(&str, ErrorKind, &str)] = &[
    // Files that are not modules, whatever their names say
    ("empty.ko", NotAModule, "an empty file"),
    ("html-page.ko", NotAModule, "not an ELF file"),
    ("text-file.ko", NotAModule, "not an ELF file"),
    ("elf-magic-only.ko", Truncated, "the ELF header is cut short"),
    ("header-cut.ko", Truncated, "the ELF header is cut short"),
    ("class-wrong.ko", Malformed, "unknown class, byte order or version"),
    ("endian-wrong.ko", Malformed, "unknown class, byte order or version"),
    ("version-wrong.ko", Malformed, "unknown class, byte order or version"),
    ("not-relocatable.ko", NotAModule, "a program or shared library"),
    ("shared-object.ko", NotAModule, "a program or shared library"),
    // The file header
    ("shentsize.ko", Malformed, "section headers of 32 bytes, where 64"),
    ("shnum-zero.ko", NotAModule, "an ELF file without sections"),
    ("shnum-huge.ko", Truncated, "ends before its section headers"),
    ("shnum-xindex.ko", Malformed, "extended e_shnum"),
    ("shstrndx.ko", Malformed, "e_shstrndx"),
    ("shoff-past-end.ko", Truncated, "ends before its section headers"),
    ("shoff-overflow.ko", Truncated, "ends before its section headers"),
    // The section headers
    ("section-past-end.ko", Truncated, "section .text ends at byte 1048676, the file at 2936"),
    ("section-overflow.ko", Malformed, "section .text: its offset and size overflow"),
    ("section-name.ko", Malformed, "section 10 has no valid name"),
    ("overlapping-sections.ko", Malformed, "section .modinfo and section __versions overlap"),
    ("overlapping-header.ko", Malformed, "section .text and an ELF header overlap at byte 0"),
    // The strings
    ("nobits-modinfo.ko", Malformed, "section .modinfo has no bytes in the file"),
    ("compressed-modinfo.ko", Malformed, "section .modinfo is compressed"),
    ("empty-modinfo.ko", Malformed, "section .modinfo is empty"),
    ("no-modinfo.ko", NotAModule, "no section .modinfo"),
    ("two-modinfo.ko", Malformed, "two sections are named .modinfo"),
    ("unterminated-modinfo.ko", Malformed, "section .modinfo does not end with a NUL"),
    // The symbol versions
    ("versions-size.ko", Malformed, "__versions has 184 bytes, no multiple of 64"),
    ("versions-unterminated.ko", Malformed, "a symbol's name in __versions has no end"),
    ("extended-out-of-step.ko", Malformed, "4 CRCs, but 3 names"),
    ("extended-crcs-only.ko", Malformed, "one section is missing"),
    ("extended-names-unterminated.ko", Malformed, "the last name has no end"),
    // The rest of the image
    ("this-module-empty.ko", Malformed, ".gnu.linkonce.this_module has no bytes"),
    ("this-module-nobits.ko", Malformed, ".gnu.linkonce.this_module has no bytes"),
    ("two-this-module.ko", Malformed, "two sections are named .gnu.linkonce.this_module"),
    ("symtab-link.ko", Malformed, "reading the symbol table"),
    ("symtab-size.ko", Malformed, "reading the symbol table"),
    ("symbol-name.ko", Malformed, "symbol 2 has no valid name"),
    ("reloc-symbol.ko", Malformed, "names symbol 9999, which is not there"),
    ("reloc-size.ko", Malformed, "reading relocations"),
    ("note-lies.ko", Malformed, "reading a note"),
    // The trailer
    ("trailer-length-lies.ko", Truncated, "length is 1048576 bytes, but only 3353"),
    ("trailer-length-zero.ko", Malformed, "the signature's length is 0"),
    ("trailer-fields.ko", Malformed, "the signature's kind (id_type) is 9"),
    ("trailer-not-der.ko", Malformed, "no PKCS#7 message"),
    ("trailer-only.ko", NotAModule, "not an ELF file"),
    ("trailer-cut.ko", Truncated, "100 bytes after the ELF image"),
    ("trailer-hole.ko", Malformed, "no PKCS#7 message"),
    // The container
    ("gzip-cut.ko.gz", Truncated, "the gzip stream is cut short"),
    ("xz-cut.ko.xz", Truncated, "the xz stream is cut short"),
    ("zstd-cut.ko.zst", Truncated, "the zstd stream is cut short"),
    ("gzip-of-text.ko.gz", NotAModule, "decompressed (gzip), it is not an ELF file"),
    ("xz-of-nothing.ko.xz", NotAModule, "nothing inside (xz)"),
    ("nested.ko.gz", NotAModule, "compressed twice"),
    ("bomb.ko.gz", Malformed, "goes on long after the end of its ELF image"),
    ("bomb.ko.xz", Malformed, "goes on long after the end of its ELF image"),
    ("bomb.ko.zst", Malformed, "goes on long after the end of its ELF image"),
];

#[test]
fn each_hostile_fixture_is_refused_for_its_own_reason() {
    let mut listed: Vec<&str> = REFUSED.iter().map(|(file, ..)| *file).collect();
    listed.sort_unstable();
    assert_eq!(fixtures("hostile").iter().map(|path| name(path)).collect::<Vec<_>>(), listed);

    for &(file, kind, words) in REFUSED {
        let path = fixture("hostile").join(file);
        let error = module::open(&path, DEFAULT_MAX_SIZE).unwrap_err();
        assert_eq!((error.kind(), error.path()), (kind, Some(path.as_path())), "{error}");
        assert!(error.what().contains(words), "{file}: {:?} is not {words:?}", error.what());
    }
}

#[test]
fn each_command_refuses_each_hostile_fixture_in_one_line() {
    let state = tempfile::tempdir().unwrap();
    let state = ["--state-dir".as_ref(), state.path()];
    let good = fixture("modules/hello-4.ko");
    let mut commands = 0;
    for hostile in fixtures("hostile") {
        let said_in = |words: &[&str]| {
            // `H` is replaced by the hostile file, `G` by a good one.
            let place = |word: &&str| match *word {
                "H" => hostile.clone(),
                "G" => good.clone(),
                word => word.into(),
            };
            let words: Vec<_> = words.iter().map(place).chain(state.map(Path::to_owned)).collect();
            kmodlab(words)
        };
        // modinfo's listings are made of the headers and the modinfo only, as modinfo makes them.
        for words in [["show", "--modinfo", "H"].as_slice(), &["show", "-F", "vermagic", "H"]] {
            let said = said_in(words);
            match NOT_LOOKED_AT.contains(&name(&hostile)) {
                true => assert!(
                    said.status == Some(0) && said.out.contains(" SMP preempt mod_unload modversions "),
                    "{}",
                    said.command
                ),
                false => assert!(said.is_one_line_and_exit_2().err.contains(name(&hostile)), "{}", said.command),
            }
            commands += 1;
        }
        for words in [
            ["show", "H"].as_slice(),
            &["show", "--json", "H"],
            &["show", "--versions", "H"],
            &["check", "G", "--kernel", "H"],
            &["diff", "H", "G"],
            &["diff", "G", "H"],
            &["patch", "H", "--vermagic", VERMAGIC, "-n"],
            &["patch", "H", "--vermagic", VERMAGIC, "-n", "--json"],
            &["patch", "H", "--mode", "blank", "-n"],
            &["patch", "G", "--to", "H", "-n"],
        ] {
            let said = said_in(words);
            assert!(said.is_one_line_and_exit_2().err.contains(name(&hostile)), "{} said {}", said.command, said.err);
            commands += 1;
        }
        // Files that are not modules get the kernel's answer; inconsistent files get it from a kernel that is known.
        let asked = ["check", "H", "--kernel", "vermagic:6.1.0"];
        match NO_MODULES.contains(&name(&hostile)) {
            true => {
                let (said, json) = (said_in(&asked), said_in(&[&asked[..], &["--json"]].concat()));
                assert_eq!((said.status, said.err.as_str()), (Some(1), ""), "{}", said.command);
                assert!(said.obeys_nobody().out.starts_with("refused  "), "{}", said.out);
                assert!(json.out.contains(r#""verdict":"refused""#) && json.status == Some(1), "{}", json.out);
            }
            false => assert!(said_in(&asked).is_one_line_and_exit_2().err.contains(name(&hostile))),
        }
        commands += 1;
    }
    println!("{commands} commands: one line and exit 2, or a refusal by the kernel");
}

/// Files that every kernel refuses because of their header.
const NO_MODULES: [&str; 11] = [
    "elf-magic-only.ko",
    "empty.ko",
    "gzip-of-text.ko.gz",
    "header-cut.ko",
    "html-page.ko",
    "nested.ko.gz",
    "not-relocatable.ko",
    "shared-object.ko",
    "text-file.ko",
    "trailer-only.ko",
    "xz-of-nothing.ko.xz",
];

#[test]
fn one_hostile_file_among_good_ones_stops_none_of_them() {
    let good = fixture("modules/hello-4.ko");
    for hostile in fixtures("hostile") {
        let said = kmodlab(["show".as_ref(), "--versions".as_ref(), good.as_path(), &hostile, &good]);
        let versions = "0x92997ed8\t_printk\n0x5c28e3b1\tparam_ops_charp\n0x1a2b3c4d\tmodule_layout\n";
        assert_eq!((said.status, said.out), (Some(1), versions.repeat(2)), "{}", said.command);
        assert_eq!(said.err.lines().count(), 1, "{}", said.err);
        if !NOT_LOOKED_AT.contains(&name(&hostile)) {
            let said = kmodlab(["show".as_ref(), "-F".as_ref(), "name".as_ref(), good.as_path(), &hostile, &good]);
            assert_eq!((said.status, said.out.as_str()), (Some(1), "hello_4\nhello_4\n"), "{}", said.command);
            assert_eq!(said.err.lines().count(), 1, "{}", said.err);
        }
    }
}

/// An ambiguous fixture, the reason why it is not patched, and words of the message.
const AMBIGUOUS: &[(&str, ErrorKind, &str)] = &[
    ("blanked.ko", NotFound, "no vermagic entry"),
    ("control-vermagic.ko", Malformed, "holds the control character 0x1b"),
    ("empty-vermagic.ko", DoesNotFit, "space for 0"),
    ("no-vermagic.ko", NotFound, "no vermagic entry"),
    ("two-vermagic.ko", Ambiguous, "two vermagic entries"),
];

#[test]
fn an_ambiguous_fixture_is_shown_but_not_patched() {
    assert_eq!(
        fixtures("ambiguous").iter().map(|path| name(path)).collect::<Vec<_>>(),
        AMBIGUOUS.iter().map(|(file, ..)| *file).collect::<Vec<_>>()
    );
    let state = tempfile::tempdir().unwrap();
    for &(file, kind, words) in AMBIGUOUS {
        let path = fixture("ambiguous").join(file);
        for form in ["--color=never", "--json"] {
            let said = kmodlab(["show".as_ref(), form.as_ref(), path.as_path()]);
            assert_eq!((said.status, said.err.as_str()), (Some(0), ""), "{}", said.command);
            assert!(said.obeys_nobody().out.contains("hello_4"));
        }

        // An empty string cannot grow in place; at the end of the file it can.
        let request =
            Request { in_place: true, ..Request::new(NewVermagic::Rewrite(VERMAGIC.into()), Signature::Refuse) };
        let error = Plan::make(&std::fs::read(&path).unwrap(), &request).unwrap_err();
        assert_eq!(error.kind(), kind, "{file}: {error}");
        let patch = ["patch", "-n", "--in-place", "--vermagic", VERMAGIC, "--state-dir"].map(Path::new);
        let said = kmodlab(patch.into_iter().chain([state.path(), &path]));
        assert!(said.is_one_line_and_exit_2().err.contains(words), "{file}: {}", said.err);
    }
}
