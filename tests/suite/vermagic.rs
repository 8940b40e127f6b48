//! The grammar of version magic, tested with generated strings.

use kmodlab::vermagic::{TokenKind, Vermagic, compare_whole, equal_after_release};
use proptest::prelude::*;

/// A string as a kernel's build makes it, with the kinds of its tokens.
fn grammar() -> impl Strategy<Value = (String, Vec<TokenKind>)> {
    use TokenKind::{Arch, Compiler, ModUnload, Modversions, Preempt, PreemptRt, Randstruct, Smp, Unknown};
    let option = |text: &'static str, kind| prop_oneof![Just(("", vec![])), Just((text, vec![kind]))];
    let preemption =
        prop_oneof![Just(("", vec![])), Just(("preempt ", vec![Preempt])), Just(("preempt_rt ", vec![PreemptRt]))];
    let architecture = prop_oneof![
        Just(("", vec![])),
        Just(("686 ", vec![Arch])),
        Just(("VIAC3-2 REGPARM 4KSTACKS ", vec![Arch, Arch, Arch])),
        Just(("ARMv7 thumb2 p2v8 ", vec![Arch, Arch, Arch])),
        Just(("aarch64", vec![Arch])),
        Just(("riscv", vec![Arch])),
        Just(("MIPS64_R2 64BIT ", vec![Arch, Arch])),
        Just(("LOONGARCH 64BIT ", vec![Arch, Arch])),
        Just(("mprofile-kernel relocatable ", vec![Arch, Arch])),
        Just(("SH4LE ", vec![Arch])),
        Just(("xtensa-fsf ", vec![Arch])),
        Just(("ARC700", vec![Arch])),
        Just(("ia64gcc-4.1", vec![Arch, Compiler])),
    ];
    let end = prop_oneof![
        Just(("", vec![])),
        Just(("RANDSTRUCT_PLUGIN_0a1b2c", vec![Randstruct])),
        Just(("RANDSTRUCT_ff00", vec![Randstruct])),
    ];
    let parts = (
        option("SMP ", Smp),
        preemption,
        option("mod_unload ", ModUnload),
        option("modversions ", Modversions),
        option("TIVO ", Unknown),
        architecture,
        end,
    );
    ("[2-7]\\.[0-9]{1,2}(\\.[0-9]{1,3})?[-+.a-zA-Z0-9_~]{0,20}", parts).prop_map(|(release, parts)| {
        let (smp, preemption, unload, versions, vendor, architecture, end) = parts;
        let (mut text, mut kinds) = (format!("{release} "), vec![TokenKind::Release]);
        for (word, kind) in [smp, preemption, unload, versions, vendor, architecture, end] {
            text.push_str(word);
            kinds.extend(kind);
        }
        (text, kinds)
    })
}

/// Arbitrary bytes, most of which are close to the grammar.
fn anything() -> impl Strategy<Value = Vec<u8>> {
    const WORDS: [&[u8]; 14] = [
        b" ",
        b" ",
        b"SMP",
        b"preempt",
        b"686",
        b"ia64",
        b"gcc-3.3",
        b"RANDSTRUCT_0",
        b"6.1",
        b"\xff",
        b"\xfe",
        b"\0",
        b"\n",
        b"x",
    ];
    let word = prop::sample::select(&WORDS[..]);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..80),
        prop::collection::vec(word, 0..10).prop_map(|words| words.concat()),
        grammar().prop_map(|(text, _)| text.into_bytes()),
    ]
}

/// `same_magic()` for a module with symbol versions, as it would be written from its description.
fn same_magic(a: &[u8], b: &[u8]) -> bool {
    let c_string = |bytes: &[u8]| bytes.iter().copied().take_while(|&byte| byte != 0).collect::<Vec<u8>>();
    let rest = |bytes: &[u8]| c_string(bytes).into_iter().skip_while(|&byte| byte != b' ').collect::<Vec<u8>>();
    rest(a) == rest(b)
}

proptest! {
    #[test]
    fn tokens_and_the_spaces_between_them_are_the_string(raw in anything()) {
        let parsed = Vermagic::parse(&raw);
        prop_assert_eq!(parsed.as_bytes(), &raw[..]);
        let mut rebuilt = Vec::new();
        for token in parsed.tokens() {
            prop_assert!(token.range.start >= rebuilt.len() && !token.range.is_empty());
            rebuilt.resize(token.range.start, b' ');
            rebuilt.extend_from_slice(&raw[token.range.clone()]);
            prop_assert_eq!(&*String::from_utf8_lossy(&raw[token.range.clone()]), &*token.text);
        }
        rebuilt.resize(raw.len(), b' ');
        prop_assert_eq!(rebuilt, raw);
        prop_assert!(!parsed.to_string().contains(char::is_control));
        let _ = (parsed.problems(), parsed.architectures(), parsed.release_parts());
    }

    #[test]
    fn a_release_is_its_two_parts(raw in anything()) {
        let parsed = Vermagic::parse(&raw);
        if let (Some(token), Some(parts)) = (parsed.release(), parsed.release_parts()) {
            prop_assert_eq!(&token.text, &(parts.base + &parts.rest));
        }
    }

    #[test]
    fn what_a_kernels_build_makes_is_understood((text, kinds) in grammar()) {
        let parsed = Vermagic::parse(text.as_bytes());
        let found: Vec<_> = parsed.tokens().iter().map(|token| token.kind).collect();
        prop_assert_eq!(found, kinds);
        prop_assert!(!parsed.problems().iter().any(|problem| problem.is_error()));
        if !parsed.has(TokenKind::Unknown) {
            prop_assert!(!parsed.architectures().is_empty());
        }
    }

    #[test]
    fn no_difference_means_equal_and_the_other_way_round(a in anything(), b in anything()) {
        let (left, right) = (Vermagic::parse(&a), Vermagic::parse(&b));
        prop_assert!(compare_whole(&left, &left).is_equal());
        prop_assert_eq!(compare_whole(&left, &right).is_equal(), a == b);
        prop_assert_eq!(compare_whole(&left, &right).differences().len(), compare_whole(&right, &left).differences().len());
    }

    #[test]
    fn one_changed_byte_is_a_difference(a in anything(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut b = a.clone();
        if let Some(old) = (!a.is_empty()).then(|| &mut b[at.index(a.len())]) {
            *old = byte;
        }
        prop_assert_eq!(compare_whole(&Vermagic::parse(&a), &Vermagic::parse(&b)).is_equal(), a == b);
    }

    #[test]
    fn skipping_the_release_is_what_the_kernel_does(a in anything(), b in anything()) {
        prop_assert_eq!(equal_after_release(&a, &b), same_magic(&a, &b));
        let comparison = compare_whole(&Vermagic::parse(&a), &Vermagic::parse(&b));
        prop_assert_eq!(comparison.equal_but_release(), same_magic(&a, &b));
    }
}
