//! Reasons: why a guard passes or refuses, as values. Their text names no option: `cli/words.rs` adds those.

use std::fmt;
use std::path::PathBuf;

use crate::escape::bytes_for_eyes;
use crate::patch::Signature;
use crate::predict::danger::Danger;
use crate::vault::obstacle::Obstacle;

/// Why a guard passes or refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// file-kind: a new file is written, and the module is not changed.
    NewFile,
    /// file-kind: a regular file with one name.
    RegularFile,
    /// file-kind: the file can't be written, or could not be restored.
    Obstacles(Vec<Obstacle>),
    /// live-tree: the file is not in the running kernel's module tree.
    OutsideLiveTree,
    /// live-tree: the file is in the module tree of the running kernel, which has this release.
    InLiveTree(String),
    /// loaded: no module of this name or build is loaded.
    NotLoaded,
    /// loaded: this build is loaded now, under this name.
    SameBuildLoaded(String),
    /// loaded: a module of this name is loaded now.
    SameNameLoaded(String),
    /// installed-tree: the file is in no installed kernel's tree, and owned by no package.
    NotInstalled,
    /// installed-tree: the file is below this folder, where the system keeps its kernels' modules.
    InInstalledTree(PathBuf),
    /// installed-tree: a package owns the file.
    OwnedBy(String),
    /// signed: the module has no signature.
    NotSigned,
    /// signed: the module has a signature, which a patch invalidates.
    Signed {
        /// The signer's name; `None` where the signature has none.
        signer: Option<Vec<u8>>,
        /// What becomes of the signature.
        signature: Signature,
    },
    /// ima: the file has these extended attributes, which depend on its contents.
    ImaAttributes(Vec<&'static str>),
    /// ima: an IMA policy of this machine appraises modules.
    ImaPolicy,
    /// ima: the file has no IMA attribute.
    NoIma {
        /// Could the machine's IMA policy be read?
        is_policy_known: bool,
    },
    /// abi-tokens: the plan writes no version magic.
    NoNewVermagic,
    /// abi-tokens: both version magics have the same tokens.
    SameAbi,
    /// abi-tokens: these parts of the version magic, or of the kernel's configuration, differ.
    OtherAbi(Vec<String>),
    /// struct-module, crc: no kernel was named.
    NoKernel,
    /// struct-module: the layout of the kernel's `struct module` is not known.
    LayoutUnknown,
    /// struct-module: size and pointers of `struct module` are the kernel's.
    SameLayout,
    /// struct-module: `struct module` differs.
    OtherLayout(Danger),
    /// crc: the plan hides the symbol versions.
    VersionsHidden,
    /// crc: CRCs differ, and the plan writes the kernel's over them.
    CrcsOverwritten(Danger),
    /// crc: CRCs differ.
    OtherCrcs(Danger),
    /// crc: no CRC is known to differ.
    NoCrcDiffers,
    /// btf: the module has no type information.
    NoBtf,
    /// btf: the type information stays.
    BtfKept,
    /// btf: the plan hides the type information.
    BtfHidden,
    /// confirmed: exactly this plan is confirmed.
    Confirmed,
    /// confirmed: nobody has confirmed it yet.
    NotConfirmed,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::NewFile => "a new file; the module is not changed",
            Reason::RegularFile => "a regular file with one name",
            Reason::Obstacles(obstacles) => {
                let texts: Vec<String> = obstacles.iter().map(ToString::to_string).collect();
                return f.write_str(&texts.join("; "));
            }
            Reason::OutsideLiveTree => "not in the running kernel's module tree",
            Reason::InLiveTree(release) => {
                return write!(f, "it is in the module tree of the running kernel {release}");
            }
            Reason::NotLoaded => "not loaded now",
            Reason::SameBuildLoaded(name) => return write!(f, "this build is loaded now, as {name}"),
            Reason::SameNameLoaded(name) => return write!(f, "a module named {name} is loaded now"),
            Reason::NotInstalled => "in no installed kernel's tree, and owned by no package",
            Reason::InInstalledTree(tree) => {
                return write!(f, "it is in {}, where this system keeps its kernels' modules", tree.display());
            }
            Reason::OwnedBy(owner) => return write!(f, "it belongs to the {owner}"),
            Reason::NotSigned => "not signed",
            Reason::Signed { signer, signature } => return signed(signer.as_deref(), *signature, f),
            Reason::ImaAttributes(names) => {
                return write!(f, "the file has {}, which the changed bytes will not match", names.join(" and "));
            }
            Reason::ImaPolicy => "an IMA policy of this machine appraises modules",
            Reason::NoIma { is_policy_known: true } => "no IMA attribute, and no policy appraises modules",
            Reason::NoIma { is_policy_known: false } => "no IMA attribute; the IMA policy can't be read",
            Reason::NoNewVermagic => "no new version magic to compare",
            Reason::SameAbi => "SMP, preemption, architecture and randstruct stay the same",
            Reason::OtherAbi(differences) => {
                return write!(f, "the new version magic claims another ABI: {}", differences.join(", "));
            }
            Reason::NoKernel => "no kernel named to compare with",
            Reason::LayoutUnknown => "the kernel's struct module is not known",
            Reason::SameLayout => "size and pointers match the kernel's, which proves nothing about the other members",
            Reason::VersionsHidden => "the plan hides its symbol versions, so the kernel can't compare them",
            Reason::OtherLayout(danger) | Reason::OtherCrcs(danger) => return f.write_str(&danger.sentence()),
            Reason::CrcsOverwritten(danger) => {
                let what = danger.sentence();
                return write!(
                    f,
                    "{what}; the plan overwrites them with the kernel's, which then detects no difference"
                );
            }
            Reason::NoCrcDiffers => "no symbol CRC is known to differ",
            Reason::NoBtf => "no type information",
            Reason::BtfKept => "type information stays, and kernels from 5.11 on check it",
            Reason::BtfHidden => "the plan hides its type information, so the kernel can't detect that it does not fit",
            Reason::Confirmed => "exactly this plan was confirmed",
            Reason::NotConfirmed => "not confirmed yet",
        })
    }
}

fn signed(signer: Option<&[u8]>, signature: Signature, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let signer = signer.map_or_else(|| "an unnamed signer".to_owned(), bytes_for_eyes);
    let then = match signature {
        Signature::Refuse => "a patch invalidates the signature",
        Signature::Strip => "the plan removes the signature, and kernels treat the module as unsigned (taint E)",
        Signature::Keep => {
            "the plan keeps the signature: a kernel that knows this key rejects the module with EKEYREJECTED, any other \
             treats it as unsigned"
        }
        Signature::Renew => "the plan replaces the signature, and a kernel trusts the new one only if it has that key",
    };
    write!(f, "signed by {signer}; {then}")
}
