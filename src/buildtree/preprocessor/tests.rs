//! Examples of the preprocessor, each with its own headers.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::error::{Error, ErrorKind, Result};

/// A tree in memory.
struct MemoryTree(BTreeMap<String, Vec<u8>>);

impl HeaderSource for MemoryTree {
    fn read(&self, path: &str) -> Result<Option<HeaderFile>> {
        Ok(self.0.get(path).map(|bytes| HeaderFile { file: path.into(), bytes: bytes.clone() }))
    }
}

fn tree(files: &[(&str, &str)]) -> MemoryTree {
    MemoryTree(files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect())
}

fn include() -> Vec<IncludeFolder> {
    vec![IncludeFolder { prefix: String::new(), path: "include/".to_owned() }]
}

fn text_of(expansion: &Expansion) -> String {
    let word = |part: &ExpandedPart| match &part.text {
        Spelled::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Spelled::Token(token) => format!("<{token}>"),
    };
    expansion.parts.iter().map(word).collect()
}

/// The expansion of `IT` in a header.
fn becomes(header: &str) -> String {
    let tree = tree(&[("include/it.h", header)]);
    let folders = include();
    let mut source = Preprocessor::new(&tree, &folders, &|_, _| true, PreprocessorLimits::default());
    assert!(source.include("it.h").unwrap());
    text_of(&source.expand("IT").unwrap().expect("IT is defined"))
}

/// The error of a header that exceeds a limit.
fn gives_up(files: &[(&str, &str)], limits: PreprocessorLimits) -> Error {
    let tree = tree(files);
    let folders = include();
    let mut source = Preprocessor::new(&tree, &folders, &|_, _| true, limits);
    match source.include("it.h").and_then(|_| source.expand("IT")) {
        Err(error) => error,
        Ok(expansion) => panic!("it expanded to {expansion:?}"),
    }
}

#[test]
fn literals_of_several_macros_are_joined() {
    assert_eq!(becomes("#define A \"SMP \"\n#define B A \"x\"\n#define IT \\\n\t\"1.0 \" B\n"), "1.0 SMP x");
}

#[test]
fn an_undefined_name_remains() {
    assert_eq!(becomes("#define IT UTS_RELEASE \" \"\n"), "<UTS_RELEASE> ");
}

#[test]
fn stringify_uses_the_expansion_of_its_argument() {
    let stringify = "#define __stringify_1(x...) #x\n#define __stringify(x...) __stringify_1(x)\n";
    assert_eq!(becomes(&format!("{stringify}#define V 7\n#define IT \"ARMv\" __stringify(V) \" \"\n")), "ARMv7 ");
    assert_eq!(becomes(&format!("{stringify}#define V \"fsf\"\n#define IT __stringify(V)\n")), "\"fsf\"");
    assert_eq!(becomes(&format!("{stringify}#define IT __stringify(a,  b /**/ c)\n")), "a, b c");
}

#[test]
fn pasting_creates_names_and_empty_arguments_vanish() {
    assert_eq!(becomes("#define AB \"ab\"\n#define P(a, b) a ## b\n#define IT P(A, B) P(, AB) P(AB,)\n"), "ababab");
}

#[test]
fn gcc_removes_the_comma_without_arguments() {
    let format = "#define F(a, ...) G(a, ## __VA_ARGS__)\n#define G(...) H(__VA_ARGS__)\n#define H(...) #__VA_ARGS__\n";
    assert_eq!(becomes(&format!("{format}#define IT F(1) F(1, 2, 3)\n")), "11, 2, 3");
}

#[test]
fn a_macro_is_not_expanded_within_itself() {
    assert_eq!(becomes("#define A B \"a\"\n#define B A \"b\"\n#define IT A\n"), "<A>ba");
    assert_eq!(becomes("#define F(x) x F\n#define IT F(\"1\")(\"2\")\n"), "1<F><(>2<)>");
}

#[test]
fn is_enabled_works_as_in_kconfig_h() {
    // The macros of include/linux/kconfig.h, with the same trick and other names.
    let kconfig = "#define PLACE_1 0,\n#define SECOND(a, b, ...) b\n#define IS_SET(x) SET_(x)\n#define SET_(x) SET__(PLACE_##x)\n\
                   #define SET__(y) SECOND(y 1, 0)\n#define CONFIG_A 1\n";
    let it = "#if IS_SET(CONFIG_A) && !IS_SET(CONFIG_B)\n#define IT \"yes\"\n#else\n#define IT \"no\"\n#endif\n";
    assert_eq!(becomes(&format!("{kconfig}{it}")), "yes");
}

#[test]
fn conditions_are_evaluated_as_in_c() {
    let holds = |expression: &str| {
        let header = format!(
            "#define THREE 3\n#define HAS defined(THREE)\n#if {expression}\n#define IT \"1\"\n#else\n#define IT \"0\"\n#endif\n"
        );
        becomes(&header) == "1"
    };
    for expression in [
        "THREE > 2 && THREE < 4",
        "defined THREE && !defined(FOUR)",
        "HAS",
        "(1 ? 2 : 3) == 2",
        "0x10 == 020 && 0b10000 == 16UL",
        "-1 < 0",
        "-1 > 0U",
        "1 || 1 / 0",
        "~0 == -1",
        "'A' == 65",
        "7 / 2 * 2 + 7 % 2 == 7",
        "1 << 4 == 16 && -8 >> 1 == -4",
        "UNKNOWN == 0",
    ] {
        assert!(holds(expression), "{expression}");
    }
    for expression in ["0", "1 / 0", "THREE(", "", "1 +", "(1", "\"text\"", "call(1)", "1 2"] {
        assert!(!holds(expression), "{expression}");
    }
}

#[test]
fn errors_are_diagnostics_with_their_lines() {
    let tree = tree(&[(
        "include/it.h",
        "#define IT \"\"\n#include <gone.h>\n#error no family\n#if 1 / 0\n#endif\n#frob x\n#if 1\n",
    )]);
    let folders = include();
    let mut source = Preprocessor::new(&tree, &folders, &|_, _| true, PreprocessorLimits::default());
    source.include("it.h").unwrap();
    let notes: Vec<(DiagnosticKind, usize)> = source.notes().iter().map(|note| (note.kind, note.place.line)).collect();
    assert_eq!(
        notes,
        [
            (DiagnosticKind::MissingHeader, 2),
            (DiagnosticKind::Error, 3),
            (DiagnosticKind::BadExpression, 4),
            (DiagnosticKind::BadDirective, 6),
            (DiagnosticKind::BadDirective, 7),
        ]
    );
}

#[test]
fn headers_are_found_next_to_the_file_and_in_the_folders_in_order() {
    let files = [
        (
            "include/it.h",
            "#include \"near.h\"\n#include <asm/word.h>\n#define NAME <name.h>\n#include NAME\n#define IT A B C\n",
        ),
        ("include/near.h", "#pragma once\n#define A \"near \"\n#include \"../include/near.h\"\n"),
        ("include/asm-i386/word.h", "#define B \"i386 \"\n"),
        ("include/name.h", "#define C \"named\"\n"),
    ];
    let tree = tree(&files);
    let mut folders = include();
    folders.push(IncludeFolder { prefix: "asm/".to_owned(), path: "include/asm-i386/".to_owned() });
    let mut source = Preprocessor::new(&tree, &folders, &|_, _| true, PreprocessorLimits::default());
    assert!(source.include("it.h").unwrap());
    assert_eq!(text_of(&source.expand("IT").unwrap().unwrap()), "near i386 named");
    for no_name in ["../../etc/passwd", "/etc/passwd", "a\0b.h", &"x".repeat(256)] {
        assert!(!source.include(no_name).unwrap(), "{no_name}");
    }
}

#[test]
fn each_part_has_its_line_and_conditions() {
    let header = "#ifdef CONFIG_A\n# define W \"a \"\n#elif defined CONFIG_B && !defined(CONFIG_C)\n# define W \"b \"\n#else\n# define W \"\"\n#endif\n#define IT \\\n\tW\n";
    let tree = tree(&[("include/it.h", header)]);
    let folders = include();
    let mut source = Preprocessor::new(&tree, &folders, &|_, _| true, PreprocessorLimits::default());
    source.define("CONFIG_B", "1", &Location { file: ".config".into(), line: 3 });
    source.include("it.h").unwrap();
    let expansion = source.expand("IT").unwrap().unwrap();
    assert_eq!(expansion.reached, ["IT", "W"]);
    let [part] = expansion.parts.as_slice() else { panic!("one part") };
    assert_eq!(part.place, Location { file: "include/it.h".into(), line: 4 });
    let need = |name: &str, set: bool| Need { name: name.to_owned(), set };
    let needs = |conditions: &[Condition]| -> Vec<Need> {
        conditions.iter().flat_map(|condition| condition.needs.clone().expect("it comes down to that")).collect()
    };
    assert_eq!(needs(&part.conditions), [need("CONFIG_A", false), need("CONFIG_B", true), need("CONFIG_C", false)]);
    assert_eq!(part.conditions[1].text, "#elif defined CONFIG_B && !defined(CONFIG_C)");
    assert_eq!(part.conditions[1].place.line, 3);

    let alternatives = source.alternatives("W").unwrap();
    let lines: Vec<usize> = alternatives.iter().map(|alternative| alternative.place.line).collect();
    assert_eq!(lines, [2, 6]);
    assert_eq!(needs(&alternatives[0].conditions), [need("CONFIG_A", true)]);
    assert_eq!(alternatives[1].conditions[1].needs, None, "CONFIG_B off, or CONFIG_C on: either will do");
}

#[test]
fn a_pinned_name_keeps_its_value() {
    let tree = tree(&[("include/it.h", "#undef IT\n#define IT \"stale\"\n")]);
    let folders = include();
    let mut source = Preprocessor::new(&tree, &folders, &|_, _| true, PreprocessorLimits::default());
    source.pin("IT", "\"new\"", &Location { file: "Makefile".into(), line: 4 });
    source.include("it.h").unwrap();
    assert_eq!(text_of(&source.expand("IT").unwrap().unwrap()), "new");
}

#[test]
fn endless_headers_are_an_error() {
    let loops = gives_up(&[("include/it.h", "#include \"it.h\"\n")], PreprocessorLimits::default());
    assert_eq!(loops.kind(), ErrorKind::TooLarge);
    let doubles = gives_up(
        &[("include/it.h", "#include \"a.h\"\n#include \"a.h\"\n"), ("include/a.h", "#include \"it.h\"\n")],
        PreprocessorLimits::default(),
    );
    assert_eq!(doubles.kind(), ErrorKind::TooLarge);

    let mut bomb = "#define IT X30\n#define X0 \"ha\"\n".to_owned();
    for n in 1..=30 {
        bomb += &format!("#define X{n} X{0} X{0}\n", n - 1);
    }
    assert_eq!(gives_up(&[("include/it.h", &bomb)], PreprocessorLimits::default()).kind(), ErrorKind::TooLarge);

    let mut paste = "#define CAT(a) CAT_(a)\n#define CAT_(a) a##a\n#define IT ".to_owned();
    paste += &"CAT(".repeat(40);
    paste += "x";
    paste += &")".repeat(40);
    assert_eq!(
        gives_up(&[("include/it.h", &(paste + "\n"))], PreprocessorLimits::default()).kind(),
        ErrorKind::TooLarge
    );

    let mut nested = "#define F(x) x\n#define IT ".to_owned();
    nested += &"F(".repeat(5000);
    nested += &")".repeat(5000);
    assert_eq!(
        gives_up(&[("include/it.h", &(nested + "\n"))], PreprocessorLimits::default()).kind(),
        ErrorKind::TooLarge
    );

    let few = PreprocessorLimits { bytes: 10, ..PreprocessorLimits::default() };
    assert_eq!(gives_up(&[("include/it.h", "#define IT \"long\"\n")], few).kind(), ErrorKind::TooLarge);
}

#[test]
fn deep_nesting_is_not_an_expression() {
    for deep in ["(".repeat(100_000), "!".repeat(100_000), "1 ? ".repeat(100_000), "- ".repeat(100_000)] {
        assert_eq!(becomes(&format!("#define IT \"it\"\n#if {deep}\n#undef IT\n#endif\n")), "it");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Any bytes, and any sequence of tokens, terminate without a panic.
    #[test]
    fn any_input_terminates(words in prop::collection::vec(word(), 0..200), noise in prop::collection::vec(any::<u8>(), 0..50)) {
        let mut bytes = words.concat().into_bytes();
        bytes.extend(&noise);
        bytes.extend_from_slice(words.concat().as_bytes());
        let tree = MemoryTree(BTreeMap::from([("include/it.h".to_owned(), bytes)]));
        let folders = include();
        let limits = PreprocessorLimits { steps: 20_000, depth: 10, ..PreprocessorLimits::default() };
        let mut source = Preprocessor::new(&tree, &folders, &|_, _| true, limits);
        if source.include("it.h").is_ok() {
            let _ = source.expand("A");
            let _ = source.alternatives("A");
        }
    }
}

fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "#define ",
        "#undef ",
        "#if ",
        "#ifdef ",
        "#ifndef ",
        "#elif ",
        "#else\n",
        "#endif\n",
        "#include \"it.h\"\n",
        "#error ",
        "A",
        "A(x)",
        "A(",
        "B",
        "(x, y...)",
        "x",
        "y",
        "__VA_ARGS__",
        "...",
        "##",
        "#",
        " ",
        "\n",
        "\n",
        "\\\n",
        "\"",
        "\"text\"",
        "'",
        "'c'",
        "/*",
        "*/",
        "//",
        "(",
        ")",
        ",",
        "1",
        "0x",
        "08",
        "defined",
        "defined(A)",
        "&&",
        "||",
        "!",
        "-",
        "/",
        "%",
        "?",
        ":",
        "<<",
        "L\"w\"",
        "\\",
        "\r\n",
        "\t",
    ])
    .prop_map(str::to_owned)
}
