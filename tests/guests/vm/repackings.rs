//! The kinds of repacking, and the expected result of each, made with the plans that `kmodlab patch` carries out.

use std::collections::HashMap;
use std::sync::Arc;

use kmodlab::kernel::Kernel;
use kmodlab::module::Module;
use kmodlab::module::container::Container;
use kmodlab::patch::sign::{Digest, Signer};
use kmodlab::patch::{MARK, Mark, Modversions, NewVermagic, Plan, Request, Signature};
use kmodlab::vermagic::TokenKind;

/// A repacked module.
#[derive(Clone)]
pub(crate) struct Repacked {
    /// How it was made, for the counts.
    pub(crate) what: &'static str,
    pub(crate) name: String,
    /// The file.
    pub(crate) file: Vec<u8>,
    /// The contents of the file, decompressed: what the loader sees.
    pub(crate) inside: Vec<u8>,
    /// Whether `.modinfo` was moved.
    pub(crate) grew: bool,
    /// The required result, whatever is predicted.
    pub(crate) expected: Expected,
}

/// A required result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// The module is accepted, and nothing shows that it was changed after its build.
    Clean,
    /// The module is accepted as forced: taint F.
    Forced,
    /// The module is refused with this errno; the loader's first line contains these words, or there is no line.
    Refused(i32, Option<&'static str>),
}

const ENOEXEC: i32 = 8;

/// The suffix of a longer release.
const LONGER: &[u8] = b"-and-a-tail-that-no-entry-has-room-for-in-place";

/// The kinds of repacking, used in turn.
const REPACKINGS: [Repacking; 9] = [
    Repacking::Marked,
    Repacking::LongerRelease,
    Repacking::Packed(Container::Xz),
    Repacking::CrcsPutRight,
    Repacking::WithoutBtf,
    Repacking::Packed(Container::Gzip),
    Repacking::AllAtOnce,
    Repacking::Packed(Container::Zstd),
    Repacking::VersionsHidden,
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Repacking {
    Marked,
    LongerRelease,
    Packed(Container),
    /// Its CRCs are replaced by those of another kernel, and then by the kernel's own again.
    CrcsPutRight,
    VersionsHidden,
    WithoutBtf,
    /// Marked, longer, without BTF, compressed with xz.
    AllAtOnce,
}

impl Repacking {
    fn name(self) -> &'static str {
        match self {
            Repacking::Marked => "marked",
            Repacking::LongerRelease => "longer vermagic",
            Repacking::Packed(Container::Xz) => "compressed again with xz",
            Repacking::Packed(Container::Gzip) => "compressed again with gzip",
            Repacking::Packed(_) => "compressed again with zstd",
            Repacking::CrcsPutRight => "CRCs rewritten",
            Repacking::VersionsHidden => "symbol versions hidden",
            Repacking::WithoutBtf => "BTF dropped",
            Repacking::AllAtOnce => "longer, without BTF, in xz",
        }
    }
}

/// Repacks a module of a kernel with the repacking of this number, and signs it. `forces` says whether the kernel is built with
/// CONFIG_MODULE_FORCE_LOAD.
pub(crate) fn repacked(
    number: usize,
    name: &str,
    module: &[u8],
    kernel: &Kernel,
    forces: bool,
    signer: &Signer,
) -> Repacked {
    let repacking = REPACKINGS[number % REPACKINGS.len()];
    let digest = [Digest::Sha256, Digest::Sha384, Digest::Sha512][number % 3];
    // Without symbol versions the release is compared, and nothing else about symbol versions can be wrong.
    let has_versions = kernel.vermagic.as_ref().unwrap().value.has(TokenKind::Modversions);
    let plain = Request {
        signer: Some(Arc::new(signer.clone().with_digest(digest))),
        mark: Mark::Always,
        ..Request::new(NewVermagic::Keep, Signature::Renew)
    };
    let longer = Request { new_vermagic: NewVermagic::Rewrite(longer(module)), ..plain.clone() };
    let (file, request) = match repacking {
        Repacking::Marked => (module.to_vec(), plain),
        Repacking::LongerRelease => (module.to_vec(), longer),
        Repacking::Packed(container) => (container.compress(module).unwrap(), plain),
        Repacking::CrcsPutRight => (with_other_crcs(module), Request { modversions: crcs_of(kernel), ..plain }),
        Repacking::VersionsHidden => (module.to_vec(), Request { modversions: Modversions::Blank, ..plain }),
        Repacking::WithoutBtf => (module.to_vec(), Request { drop_btf: true, ..plain }),
        Repacking::AllAtOnce => (Container::Xz.compress(module).unwrap(), Request { drop_btf: true, ..longer }),
    };
    let plan = Plan::make(&file, &request).unwrap();
    let inside = plan.inside_after().to_vec();
    let after = Module::read(&inside).unwrap();
    assert!(after.modinfo.first(MARK).is_some(), "{name} is not marked");
    assert_eq!(after.trailer.as_ref().unwrap().hash, digest.name());
    assert!(!request.drop_btf || after.btf.is_none());
    let expected = match repacking {
        Repacking::LongerRelease | Repacking::AllAtOnce if !has_versions => {
            Expected::Refused(ENOEXEC, Some("version magic '"))
        }
        // A module without any symbol versions is treated as if forced, where that is possible (`try_to_force_load`).
        Repacking::VersionsHidden if has_versions && forces => Expected::Forced,
        Repacking::VersionsHidden if has_versions => Expected::Refused(ENOEXEC, None),
        _ => Expected::Clean,
    };
    Repacked {
        what: repacking.name(),
        name: name.to_owned(),
        file: plan.bytes_after,
        inside,
        grew: plan.grows,
        expected,
    }
}

/// The version magic of a module, with a longer release.
fn longer(module: &[u8]) -> Vec<u8> {
    let vermagic = Module::read(module).unwrap().vermagic().unwrap().as_bytes().to_vec();
    let end = vermagic.iter().position(|byte| *byte == b' ').unwrap();
    [&vermagic[..end], LONGER, &vermagic[end..]].concat()
}

/// The module, with a CRC for each symbol that no kernel has.
fn with_other_crcs(module: &[u8]) -> Vec<u8> {
    let read = Module::read(module).unwrap();
    let symbols = read.versions.by_symbol();
    let other: HashMap<String, u32> =
        symbols.into_iter().map(|(name, crc)| (String::from_utf8(name.to_vec()).unwrap(), !(crc as u32))).collect();
    if other.is_empty() {
        return module.to_vec();
    }
    let request = Request {
        modversions: Modversions::Rewrite(Arc::new(other)),
        mark: Mark::Never,
        ..Request::new(NewVermagic::Keep, Signature::Strip)
    };
    let plan = Plan::make(module, &request).unwrap();
    assert!(plan.versioned.as_ref().is_some_and(|versioned| versioned.rewritten > 0));
    plan.bytes_after
}

fn crcs_of(kernel: &Kernel) -> Modversions {
    Modversions::Rewrite(Arc::new(kernel.facts.crcs()))
}
