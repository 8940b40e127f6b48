//! Properties of any bytes, any request and any text.

use std::collections::HashMap;
use std::fs;
use std::sync::{Arc, LazyLock};

use kmodlab::escape::{bytes_for_eyes, for_eyes, lines_for_eyes};
use kmodlab::module::Module;
use kmodlab::module::container::Container;
use kmodlab::patch::{Mark, Modversions, NewVermagic, Plan, Request, Signature};
use kmodlab::vermagic::{Vermagic, compare};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{self, Index};

use crate::hostile::promises::{agrees_with_its_bytes, is_documented, keeps_its_word};
use crate::hostile::{fixtures, is_obeyed};

/// The uncompressed modules of `fixtures/`, well-formed and ambiguous.
static MODULES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let files = ["modules", "ambiguous"].into_iter().flat_map(fixtures).map(|path| fs::read(path).unwrap());
    files.filter(|bytes| Container::of(bytes) == Container::None).collect()
});

/// A module with a few bytes changed, at most `changes`.
fn mutant(changes: usize) -> impl Strategy<Value = Vec<u8>> {
    (any::<Index>(), vec((any::<Index>(), any::<u8>()), 0..=changes)).prop_map(|(module, changes)| {
        let mut bytes = module.get(&MODULES).clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

/// A new version magic that a user may request: strings of kernels, then any bytes, and no string at all.
fn new_vermagic() -> impl Strategy<Value = NewVermagic> {
    let kernel = "[2-7]\\.[0-9]{1,2}(\\.[0-9]{1,3})?(-[a-z0-9]{1,8})?( SMP)?( preempt)? (mod_unload )?(modversions )?";
    prop_oneof![
        4 => kernel.prop_map(|string| NewVermagic::Rewrite(string.into_bytes())),
        1 => vec(any::<u8>(), 0..80).prop_map(NewVermagic::Rewrite),
        1 => "[2-7]\\.[0-9]{1,2} [a-z ]{80,200}".prop_map(|string| NewVermagic::Rewrite(string.into_bytes())),
        1 => Just(NewVermagic::Blank),
        1 => Just(NewVermagic::Keep),
    ]
}

/// CRCs that another kernel could have.
static MODVERSIONS: LazyLock<Modversions> = LazyLock::new(|| {
    let crcs = ["module_layout", "printk", "_printk", "alone"].map(|symbol| (symbol.to_owned(), 0x1234_5678));
    Modversions::Rewrite(Arc::new(HashMap::from(crcs)))
});

/// Any combination of requests.
fn request() -> impl Strategy<Value = Request> {
    let modversions = [Modversions::Keep, Modversions::Blank, MODVERSIONS.clone()];
    let signature = sample::select(vec![Signature::Refuse, Signature::Strip, Signature::Keep]);
    let mark = sample::select(vec![Mark::WhenRepacked, Mark::Always, Mark::Never]);
    (new_vermagic(), signature, mark, 0..modversions.len(), any::<bool>(), any::<bool>()).prop_map(
        move |(new_vermagic, signature, mark, versions, drop_btf, in_place)| Request {
            modversions: modversions[versions].clone(),
            mark,
            drop_btf,
            in_place,
            ..Request::new(new_vermagic, signature)
        },
    )
}

/// Text as an attacker writes it: any characters, many of which a terminal interprets, then bytes that are not UTF-8.
fn hostile_text() -> impl Strategy<Value = Vec<u8>> {
    let obeyed = sample::select(vec!['\u{1b}', '\u{9b}', '\u{7f}', '\r', '\n', '\t', '\0', '\u{85}', '\u{202e}']);
    let text = vec(prop_oneof![any::<char>(), obeyed], 0..40).prop_map(|text| text.into_iter().collect::<String>());
    (text, vec(any::<u8>(), 0..40), any::<bool>()).prop_map(|(text, bytes, text_first)| {
        let parts = if text_first { [text.as_bytes(), &bytes] } else { [&bytes, text.as_bytes()] };
        parts.concat()
    })
}

proptest! {
    #[test]
    fn any_bytes_are_a_module_or_an_error(bytes in vec(any::<u8>(), 0..4096)) {
        prop_assert!(Module::read(&bytes).is_err());
    }

    #[test]
    fn any_stream_is_a_module_or_an_error(bytes in vec(any::<u8>(), 0..1024)) {
        for magic in [b"\x1f\x8b\x08\0".as_slice(), b"\xfd7zXZ\0\0\x01", b"\x28\xb5\x2f\xfd"] {
            let stream = [magic, &bytes].concat();
            prop_assert!(Container::of(&stream).decompress(&stream, 1 << 16).is_err());
        }
    }

    #[test]
    fn what_is_read_is_what_is_there(bytes in mutant(16)) {
        match Module::read(&bytes) {
            Ok(module) => agrees_with_its_bytes(&module, &bytes),
            Err(error) => is_documented(&error),
        }
    }

    #[test]
    fn a_plan_changes_what_it_announces(bytes in mutant(2), request in request()) {
        match Plan::make(&bytes, &request) {
            Ok(plan) => keeps_its_word(&plan, &request, &bytes),
            Err(error) => is_documented(&error),
        }
    }

    #[test]
    fn strings_are_equal_if_and_only_if_nothing_differs(a in hostile_text(), b in hostile_text()) {
        let [one, other] = [&a, &b].map(|raw| Vermagic::parse(raw));
        prop_assert_eq!(compare(&one, &other).is_equal(), a == b);
        prop_assert!(compare(&one, &one).is_equal());
        prop_assert!(!one.to_string().contains(is_obeyed));
        for difference in compare(&one, &other).differences() {
            prop_assert!(!for_eyes(&difference.to_string()).contains(is_obeyed));
        }
    }

    #[test]
    fn a_terminal_obeys_nothing_that_is_escaped(bytes in hostile_text()) {
        let text = String::from_utf8_lossy(&bytes);
        prop_assert!(!for_eyes(&text).contains(is_obeyed));
        prop_assert!(!bytes_for_eyes(&bytes).contains(is_obeyed));
        prop_assert!(!lines_for_eyes(&bytes).contains(|c| is_obeyed(c) && c != '\n' && c != '\t'));
    }

    #[test]
    fn plain_text_is_left_as_it_is(text in "[ -~äöüßéèñçøåшжя中文字]{0,40}") {
        prop_assert_eq!(for_eyes(&text), text.as_str());
        prop_assert_eq!(bytes_for_eyes(text.as_bytes()), text.as_str());
        prop_assert_eq!(lines_for_eyes(text.as_bytes()), text);
    }
}

#[test]
fn most_requests_for_a_fixture_can_be_planned() {
    // Checks the properties above: they would also hold if no plan were ever made.
    let keep = || Request::new(NewVermagic::Rewrite(b"6.1 SMP ".to_vec()), Signature::Keep);
    let longer = || Request::new(NewVermagic::Rewrite([b'x'; 200].to_vec()), Signature::Strip);
    let rewritten = MODVERSIONS.clone();
    let requests = [
        keep(),
        longer(),
        Request { modversions: rewritten, ..keep() },
        Request { modversions: Modversions::Blank, ..keep() },
    ];
    for request in requests {
        let planned = |bytes: &&Vec<u8>| Plan::make(bytes, &request).is_ok();
        let (all, planned) = (MODULES.len(), MODULES.iter().filter(planned).count());
        assert!(planned * 4 > all * 3, "{planned} of {all} {request:?}");
    }
}
