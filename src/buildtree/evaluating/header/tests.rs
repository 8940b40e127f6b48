//! Trees of each age, with small headers of our own instead of the kernel's.

use std::collections::BTreeMap;

use super::*;
use crate::buildtree::preprocessor::HeaderFile;
use crate::vermagic::TokenKind;

struct HeaderTree(BTreeMap<String, String>);

impl HeaderSource for HeaderTree {
    fn read(&self, path: &str) -> Result<Option<HeaderFile>> {
        Ok(self.0.get(path).map(|text| HeaderFile { file: path.into(), bytes: text.clone().into_bytes() }))
    }
}

fn tree(files: &[(&str, &str)]) -> HeaderTree {
    HeaderTree(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
}

/// `CONFIG_X=y` for each, or `X=value`.
fn config(options: &[&str]) -> Config {
    let option = |option: &&str| {
        let (name, value) = option.split_once('=').unwrap_or((option, "y"));
        (name.to_owned(), value.to_owned())
    };
    options.iter().map(option).collect()
}

fn evaluated(tree: &HeaderTree, architecture: &str, options: &[&str]) -> HeaderVermagic {
    let config = config(options);
    vermagic(tree, &HeaderInputs { config: &config, architecture, release: None, compiler: Some((3, 3)) }).unwrap()
}

fn string(carried: &HeaderVermagic) -> String {
    assert_eq!(carried.unknown(), []);
    String::from_utf8(carried.known()).unwrap()
}

/// The file and line of a token's first piece, and what it needs.
fn origin_of(carried: &HeaderVermagic, kind: TokenKind) -> (String, usize, Vec<(String, bool)>) {
    let vermagic = carried.vermagic().unwrap();
    let token = vermagic.tokens().iter().find(|token| token.kind == kind).unwrap();
    let piece = carried.pieces_of(&token.range)[0];
    (piece.place.file.display().to_string(), piece.place.line, needs(&piece.conditions))
}

fn needs(conditions: &[Condition]) -> Vec<(String, bool)> {
    let needs = conditions.iter().flat_map(|condition| condition.needs.clone().unwrap());
    needs.map(|need| (need.name, need.set)).collect()
}

fn set(name: &str) -> (String, bool) {
    (name.to_owned(), true)
}

/// `include/linux/vermagic.h` from 5.8 on, as far as it matters.
const NEW: &str = "#ifndef INCLUDE_VERMAGIC
#error \"not for you\"
#endif
#include <generated/utsrelease.h>
#include <asm/vermagic.h>
#ifdef CONFIG_SMP
#define SMP \"SMP \"
#else
#define SMP \"\"
#endif
#ifdef CONFIG_PREEMPT_BUILD
#define PREEMPT \"preempt \"
#elif defined(CONFIG_PREEMPT_RT)
#define PREEMPT \"preempt_rt \"
#else
#define PREEMPT \"\"
#endif
#ifdef RANDSTRUCT
#include <generated/randstruct_hash.h>
#define SHUFFLED \"RANDSTRUCT_\" RANDSTRUCT_HASHED_SEED
#else
#define SHUFFLED
#endif
#define VERMAGIC_STRING UTS_RELEASE \" \" SMP PREEMPT MODULE_ARCH_VERMAGIC SHUFFLED
";

const RELEASE: (&str, &str) = ("include/generated/utsrelease.h", "#define UTS_RELEASE \"6.1.0\"\n");
const STRINGIFY: (&str, &str) =
    ("include/linux/stringify.h", "#define __stringify_1(x...) #x\n#define __stringify(x...) __stringify_1(x)\n");

/// A tree of 5.8 or later with an architecture's header.
fn new(path: &str, header: &str) -> HeaderTree {
    tree(&[("include/linux/vermagic.h", NEW), RELEASE, STRINGIFY, (path, header)])
}

/// `include/linux/vermagic.h` of 2.6.0, as far as it matters.
const OLDEST: &str = "#include <linux/version.h>
#include <linux/module.h>
#ifdef CONFIG_SMP
#define SMP \"SMP \"
#else
#define SMP \"\"
#endif
#ifndef MODULE_ARCH_VERMAGIC
#define MODULE_ARCH_VERMAGIC \"\"
#endif
#define VERMAGIC_STRING \\
\tUTS_RELEASE \" \" \\
\tSMP MODULE_ARCH_VERMAGIC \\
\t\"gcc-\" __stringify(__GNUC__) \".\" __stringify(__GNUC_MINOR__)
";

fn oldest(path: &str, header: &str) -> HeaderTree {
    tree(&[
        ("include/linux/vermagic.h", OLDEST),
        ("include/linux/version.h", "#define UTS_RELEASE \"2.6.5-1.358custom\"\n"),
        (
            "include/linux/module.h",
            "#include <linux/stringify.h>\n#include <asm/processor.h>\n#include <asm/module.h>\n",
        ),
        STRINGIFY,
        (path, header),
    ])
}

const I386: &str = "#ifdef CONFIG_M586
#define FAMILY \"586 \"
#elif defined CONFIG_M686
#define FAMILY \"686 \"
#else
#error unknown processor family
#endif
#ifdef CONFIG_REGPARM
#define REGPARM \"REGPARM \"
#else
#define REGPARM \"\"
#endif
#ifdef CONFIG_4KSTACKS
#define STACKS \"4KSTACKS \"
#else
#define STACKS \"\"
#endif
#define MODULE_ARCH_VERMAGIC FAMILY REGPARM STACKS
";

#[test]
fn the_module_guides_tree_of_2_6_5() {
    // The link include/asm does not exist yet: the header is found where `make` would link to.
    let tree = oldest("include/asm-i386/module.h", I386);
    let carried = evaluated(&tree, "i386", &["M686", "REGPARM", "4KSTACKS"]);
    assert_eq!(string(&carried), "2.6.5-1.358custom 686 REGPARM 4KSTACKS gcc-3.3");
    assert_eq!(origin_of(&carried, TokenKind::Release), ("include/linux/version.h".to_owned(), 1, vec![]));
    let family =
        ("include/asm-i386/module.h".to_owned(), 4, vec![("CONFIG_M586".to_owned(), false), set("CONFIG_M686")]);
    assert_eq!(origin_of(&carried, TokenKind::Arch), family);

    // Its parts under other conditions: SMP is absent, and this is the line that would add it.
    let smp = carried.others.iter().find(|other| other.text == b"SMP ").unwrap();
    assert_eq!((smp.place.line, needs(&smp.conditions)), (4, vec![set("CONFIG_SMP")]));
    assert_eq!(smp.now.as_deref(), Some(&b""[..]));
    let other = carried.others.iter().find(|other| other.text == b"586 ").unwrap();
    assert_eq!((other.place.line, needs(&other.conditions)), (2, vec![set("CONFIG_M586")]));
    assert_eq!(other.now.as_deref(), Some(&b"686 "[..]));
}

#[test]
fn a_given_release_takes_precedence_over_a_stale_header() {
    let tree = oldest("include/asm/module.h", I386);
    let config = config(&["M586"]);
    let release = Some(("2.6.5-1.358", FileLine { file: "Makefile".into(), line: 4 }));
    let given = HeaderInputs { config: &config, architecture: "i386", release, compiler: Some((3, 3)) };
    let carried = vermagic(&tree, &given).unwrap();
    assert_eq!(string(&carried), "2.6.5-1.358 586 gcc-3.3");
    assert_eq!(origin_of(&carried, TokenKind::Release), ("Makefile".to_owned(), 4, vec![]));
}

#[test]
fn undefined_names_and_the_headers_error_are_reported() {
    let tree = oldest("include/asm-i386/module.h", I386);
    let config = config(&[]);
    let given = HeaderInputs { config: &config, architecture: "i386", release: None, compiler: None };
    let carried = vermagic(&tree, &given).unwrap();
    assert_eq!(carried.vermagic(), None);
    let unknown = carried.unknown();
    assert_eq!((unknown[0].name.as_str(), unknown[0].place.line), ("FAMILY", 18));
    let names: Vec<&str> = unknown.iter().map(|unknown| unknown.name.as_str()).collect();
    assert_eq!(names, ["FAMILY", "__GNUC__", "__GNUC_MINOR__"]);
    let is_error = |note: &&Diagnostic| note.kind == DiagnosticKind::Error;
    assert_eq!(carried.notes.iter().find(is_error).unwrap().text, "unknown processor family");
    assert!(carried.others.iter().any(|other| other.text == b"686 " && other.now.is_none()));
}

#[test]
fn x86_64_uses_the_generic_header_before_kbuild_generates_its_own() {
    let tree = new("include/asm-generic/vermagic.h", "#define MODULE_ARCH_VERMAGIC \"\"\n");
    let carried = evaluated(&tree, "x86", &["SMP", "PREEMPT_RT", "X86_64"]);
    assert_eq!(string(&carried), "6.1.0 SMP preempt_rt ");
    let preempt = ("include/linux/vermagic.h".to_owned(), 14);
    let (file, line, needs) = origin_of(&carried, TokenKind::PreemptRt);
    assert_eq!((file, line), preempt);
    assert_eq!(needs, [("CONFIG_PREEMPT_BUILD".to_owned(), false), set("CONFIG_PREEMPT_RT")]);
    assert_eq!(carried.notes, []);
}

#[test]
fn each_architectures_words() {
    let word = |name: &str, option: &str, text: &str| {
        format!("#ifdef CONFIG_{option}\n#define {name} \"{text} \"\n#else\n#define {name} \"\"\n#endif\n")
    };
    let powerpc = word("F", "MPROFILE_KERNEL", "mprofile-kernel")
        + &word("R", "RELOCATABLE", "relocatable")
        + "#define MODULE_ARCH_VERMAGIC F R\n";
    let mips =
        word("F", "CPU_MIPS32_R2", "MIPS32_R2") + &word("B", "32BIT", "32BIT") + "#define MODULE_ARCH_VERMAGIC F B\n";
    let sh = "#ifdef CONFIG_CPU_LITTLE_ENDIAN\n# ifdef CONFIG_CPU_SH4\n#  define F \"SH4LE \"\n# endif\n#endif\n\
              #define MODULE_ARCH_VERMAGIC F\n";
    let plain = |text: &str| format!("#define MODULE_ARCH_VERMAGIC \"{text}\"\n");
    let ia64 = "#include <linux/stringify.h>\n#define MODULE_ARCH_VERMAGIC \"ia64\" \\\n\t\"gcc-\" __stringify(__GNUC__) \".\" \
                __stringify(__GNUC_MINOR__)\n";
    let cases: [(&str, String, &[&str], &str); 8] = [
        ("arm64", plain("aarch64"), &["SMP"], "6.1.0 SMP aarch64"),
        ("riscv", plain("riscv"), &[], "6.1.0 riscv"),
        ("arc", plain("ARC700"), &["PREEMPT_BUILD"], "6.1.0 preempt ARC700"),
        ("powerpc", powerpc, &["RELOCATABLE", "MPROFILE_KERNEL"], "6.1.0 mprofile-kernel relocatable "),
        ("mips", mips, &["SMP", "CPU_MIPS32_R2", "32BIT"], "6.1.0 SMP MIPS32_R2 32BIT "),
        ("sh", sh.to_owned(), &["CPU_LITTLE_ENDIAN", "CPU_SH4"], "6.1.0 SH4LE "),
        ("ia64", ia64.to_owned(), &[], "6.1.0 ia64gcc-3.3"),
        ("loongarch", plain("LOONGARCH 64BIT "), &["64BIT"], "6.1.0 LOONGARCH 64BIT "),
    ];
    for (architecture, header, options, expected) in cases {
        let tree = new(&format!("arch/{architecture}/include/asm/vermagic.h"), &header);
        assert_eq!(string(&evaluated(&tree, architecture, options)), expected, "{architecture}");
    }
}

const ARM: &str =
    "#include <linux/stringify.h>\n#define MODULE_ARCH_VERMAGIC \"ARMv\" __stringify(__LINUX_ARM_ARCH__) \" \"\n";

#[test]
fn arms_version_comes_from_its_makefile() {
    let makefile = "arch-$(CONFIG_CPU_32v7)\t:=-D__LINUX_ARM_ARCH__=7 -march=armv7-a\n\
                    arch-$(CONFIG_CPU_32v6)\t:=-D__LINUX_ARM_ARCH__=6 -march=armv6\n\
                    ifeq ($(CONFIG_CPU_32v6),y)\n\
                    arch-$(CONFIG_CPU_32v6K)\t:=-D__LINUX_ARM_ARCH__=6 -march=armv6k\n\
                    endif\n\
                    arch-$(CONFIG_CPU_32v5)\t:=-D__LINUX_ARM_ARCH__=5\n";
    let mut tree = new("arch/arm/include/asm/vermagic.h", ARM);
    tree.0.insert("arch/arm/Makefile".to_owned(), makefile.to_owned());
    // ARMv7 sets the option of ARMv6K as well.
    let carried = evaluated(&tree, "arm", &["CPU_32v7", "CPU_32v6K"]);
    assert_eq!(string(&carried), "6.1.0 ARMv7 ");
    let version = carried.pieces.iter().find(|piece| piece.said == Spelled::Text(b"7".to_vec())).unwrap();
    assert_eq!(version.place, FileLine { file: "arch/arm/Makefile".into(), line: 1 });
    assert_eq!(needs(&version.conditions), [set("CONFIG_CPU_32v7")]);
    let other = carried.others.iter().find(|other| other.text == b"5").unwrap();
    assert_eq!((other.place.line, needs(&other.conditions)), (6, vec![set("CONFIG_CPU_32v5")]));

    // The last line decides, as for make: a kernel for several processors is built for the oldest.
    assert_eq!(string(&evaluated(&tree, "arm", &["CPU_32v7", "CPU_32v6", "CPU_32v6K"])), "6.1.0 ARMv6 ");
    tree.0.remove("arch/arm/Makefile");
    assert_eq!(string(&evaluated(&tree, "arm", &["CPU_32v7", "CPU_32v6K"])), "6.1.0 ARMv7 ");
}

#[test]
fn xtensas_core_is_in_its_variants_header() {
    let header = "#include <linux/stringify.h>\n#include <variant/core.h>\n\
                  #define MODULE_ARCH_VERMAGIC \"xtensa-\" __stringify(XCHAL_CORE_ID) \" \"\n";
    let core = "#define XCHAL_CORE_ID \"fsf\" /* its name */\n";
    let mut tree = new("arch/xtensa/include/asm/vermagic.h", header);
    tree.0.insert("arch/xtensa/variants/fsf/include/variant/core.h".to_owned(), core.to_owned());
    // The quotation marks are in the string, because `#` is applied to a string literal.
    assert_eq!(string(&evaluated(&tree, "xtensa", &["XTENSA_VARIANT_NAME=fsf"])), "6.1.0 xtensa-\"fsf\" ");
    assert_eq!(string(&evaluated(&tree, "xtensa", &["XTENSA_VARIANT_FSF"])), "6.1.0 xtensa-\"fsf\" ");

    // Before 5.8 an unrelated header includes it, so all headers are read.
    let header = "#define MODULE_ARCH_VERMAGIC \"xtensa-\" __stringify(XCHAL_CORE_ID) \" \"\n";
    let mut tree = oldest("include/asm-xtensa/module.h", header);
    tree.0.insert("include/asm-xtensa/processor.h".to_owned(), "#include <asm/variant/core.h>\n".to_owned());
    tree.0.insert("include/asm-xtensa/variant-fsf/core.h".to_owned(), core.to_owned());
    let carried = evaluated(&tree, "xtensa", &["XTENSA_VARIANT_FSF"]);
    assert_eq!(string(&carried), "2.6.5-1.358custom xtensa-\"fsf\" gcc-3.3");
}

#[test]
fn hexagons_vermagic_contains_an_undefined_name() {
    let header = "#include <linux/stringify.h>\n#define MODULE_ARCH_VERMAGIC __stringify(PROCESSOR_MODEL_NAME) \" \"\n";
    let tree = new("arch/hexagon/include/asm/vermagic.h", header);
    assert_eq!(string(&evaluated(&tree, "hexagon", &[])), "6.1.0 PROCESSOR_MODEL_NAME ");
}

#[test]
fn the_seed_of_shuffled_structures_comes_from_a_header_that_is_generated_late() {
    let mut tree = new("arch/arm64/include/asm/vermagic.h", "#define MODULE_ARCH_VERMAGIC \"aarch64\"\n");
    let carried = evaluated(&tree, "arm64", &["RANDSTRUCT"]);
    assert_eq!(carried.known(), b"6.1.0 aarch64RANDSTRUCT_");
    assert_eq!(carried.unknown()[0].name, "RANDSTRUCT_HASHED_SEED");

    tree.0.insert(
        "include/generated/randstruct_hash.h".to_owned(),
        "#define RANDSTRUCT_HASHED_SEED \"a1b2\"\n".to_owned(),
    );
    let carried = evaluated(&tree, "arm64", &["RANDSTRUCT"]);
    assert_eq!(string(&carried), "6.1.0 aarch64RANDSTRUCT_a1b2");
    let (_, line, needs) = origin_of(&carried, TokenKind::Randstruct);
    assert_eq!((line, needs), (20, vec![set("CONFIG_RANDSTRUCT")]));
    assert_eq!(string(&evaluated(&tree, "arm64", &[])), "6.1.0 aarch64");
}

#[test]
fn a_vendors_words_and_release_are_kept() {
    let header = NEW.replace("UTS_RELEASE \" \" SMP", "ABI \" TIVO \" SMP") + "#define ABI \"3.14\"\n";
    let tree = tree(&[
        ("include/linux/vermagic.h", &header),
        ("arch/mips/include/asm/vermagic.h", "#define MODULE_ARCH_VERMAGIC \"\"\n"),
    ]);
    assert_eq!(string(&evaluated(&tree, "mips", &["SMP"])), "3.14 TIVO SMP ");
}

#[test]
fn a_folder_of_another_project_is_refused() {
    let given = HeaderInputs { config: &Config::new(), architecture: "x86", release: None, compiler: None };
    let error = vermagic(&tree(&[]), &given).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(
        error.to_string(),
        "include/linux/vermagic.h: no such file, so the vermagic of modules is not known; \
         name the top folder of a kernel's source, headers or build tree"
    );
    let error = vermagic(&tree(&[("include/linux/vermagic.h", "")]), &given).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn headers_that_never_end_are_an_error() {
    let tree = new("arch/x86/include/asm/vermagic.h", "#include \"vermagic.h\"\n");
    let given = HeaderInputs { config: &Config::new(), architecture: "x86", release: None, compiler: None };
    assert_eq!(vermagic(&tree, &given).unwrap_err().kind(), ErrorKind::TooLarge);
}
