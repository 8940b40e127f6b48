//! Arbitrary types of a kernel, of a module and of the module's own base. The header of each is well formed or arbitrary.

use kmodlab::btf::Btf;
use kmodlab::btf::members::{differences, differences_of};
use kmodlab::btf::relocation::validate_with_base;
use kmodlab::btf::validity::{Validity, validate_module};
use kmodlab::escape::for_eyes;

use crate::message::is_one_line;

/// Versions between which kernels differ, and none.
const VERSIONS: [Option<(u32, u32)>; 8] =
    [None, Some((5, 10)), Some((6, 1)), Some((6, 9)), Some((6, 12)), Some((6, 15)), Some((7, 0)), Some((7, 2))];

/// How many names are looked up as those of structures.
const LOOKUPS: usize = 8;

/// The most members of a structure that are read.
const MOST_MEMBERS: usize = 1 << 16;

/// An input: a byte for the version; then for kernel, base and module a byte for the form of the header, two bytes each for the
/// lengths of types and strings, and these.
pub(crate) fn check(bytes: &[u8]) {
    let mut rest = bytes;
    let version = VERSIONS[number(&mut rest, 1) % VERSIONS.len()];
    let [kernel, base, module] = [(); 3].map(|()| Section::read(&mut rest));

    let validity = validate_module(&module.bytes, &kernel.bytes, version);
    is_sensible(&validity);
    assert_eq!(validate_module(&module.bytes, &kernel.bytes, version), validity);
    let with_base = validate_with_base(&module.bytes, &base.bytes, &kernel.bytes, version);
    is_sensible(&with_base);
    assert_eq!(validate_with_base(&module.bytes, &base.bytes, &kernel.bytes, version), with_base);

    match Btf::parse(&kernel.bytes) {
        Ok(types) => {
            kernel.names().for_each(|name| structure_is_like_itself(&types, &types, name));
            match Btf::parse_split(&module.bytes, &types) {
                Ok(split) => module.names().for_each(|name| structure_is_like_itself(&split, &types, name)),
                Err(error) => {
                    is_one_line(&error);
                    assert_ne!(validity, Validity::Valid, "a kernel accepts what this program can't read: {error}");
                }
            }
        }
        Err(error) => {
            is_one_line(&error);
            assert!(matches!((validity, with_base), (Validity::Unsure(_), Validity::Unsure(_))));
        }
    }
}

/// A section `.BTF`, or `.BTF.base`.
struct Section<'a> {
    bytes: Vec<u8>,
    strings: &'a [u8],
}

impl<'a> Section<'a> {
    fn read(rest: &mut &'a [u8]) -> Section<'a> {
        let form = number(rest, 1);
        let lengths = [(); 2].map(|()| number(rest, 2));
        let [types, strings] = lengths.map(|length| take(rest, length));
        if form & 2 != 0 {
            // The header is part of the types.
            return Section { bytes: [types, strings].concat(), strings };
        }
        let big = form & 1 != 0;
        let mut bytes = if big { vec![0xeb, 0x9f, 1, 0] } else { vec![0x9f, 0xeb, 1, 0] };
        for number in [24, 0, types.len(), types.len(), strings.len()] {
            let number = u32::try_from(number).expect("the input is small");
            bytes.extend(if big { number.to_be_bytes() } else { number.to_le_bytes() });
        }
        Section { bytes: [&bytes, types, strings].concat(), strings }
    }

    /// Its first names.
    fn names(&self) -> impl Iterator<Item = &'a str> {
        let texts = self.strings.split(|byte| *byte == 0);
        texts.filter_map(|text| std::str::from_utf8(text).ok()).filter(|text| !text.is_empty()).take(LOOKUPS)
    }
}

/// The next bytes, as many as there are.
fn take<'a>(rest: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at(length.min(rest.len()));
    *rest = left;
    taken
}

/// The next number of so many bytes; those that are missing are zero.
fn number(rest: &mut &[u8], length: usize) -> usize {
    take(rest, length).iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// A structure does not differ from itself, and the differences from another one name only members that one of them has.
fn structure_is_like_itself(types: &Btf<'_>, others: &Btf<'_>, name: &str) {
    let Some((_, members)) = types.struct_members(name) else { return };
    assert!(members.len() <= MOST_MEMBERS);
    assert_eq!(differences(types, types, name).as_deref(), Some([].as_slice()));
    let Some((_, before)) = others.struct_members(name) else { return };
    for difference in differences_of(&before, &members) {
        assert!(difference.before != difference.after);
        assert!(difference.before.is_none_or(|member| before.contains(&member)));
        assert!(difference.after.is_none_or(|member| members.contains(&member)));
    }
}

/// A rejection has an errno and a reason; a terminal shows its lines, whatever a name in them is.
fn is_sensible(validity: &Validity) {
    let Validity::Invalid(rejection) = validity else { return };
    assert!(rejection.errno > 0 && !rejection.reason.is_empty());
    assert!(rejection.lines.iter().all(|line| !for_eyes(&line.to_string()).contains(char::is_control)), "{rejection:?}");
}
