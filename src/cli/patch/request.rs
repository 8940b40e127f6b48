//! The request for a patch, from the command line.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;

use crate::cli::output::{self, Session};
use crate::error::{Error, ErrorKind, Result};
use crate::guard::{Override, Overrides};
use crate::kernel::{self, Kernel};
use crate::module::file;
use crate::patch::sign::{Digest, Signer};
use crate::patch::{Mark, Modversions, NewVermagic, Request, Signature};

// The request. (No doc comment, as below.)
#[derive(clap::Args)]
pub(super) struct RequestArgs {
    /// The kernel that the module is to fit: running, vermagic:STRING, an image (vmlinuz), a folder, a package (.deb, or A+B),
    /// or a module of that kernel
    #[arg(long, value_name = "K", conflicts_with = "vermagic")]
    to: Option<OsString>,
    /// The new version magic
    #[arg(long, value_name = "STRING")]
    vermagic: Option<OsString>,
    /// rewrite writes another string (no force needed, no taint F); blank writes NULs, as --force-vermagic does
    #[arg(long, value_enum, default_value = "rewrite")]
    mode: ModeArg,
    /// What becomes of the symbol versions: rewrite writes the CRCs of --to, blank hides them from the kernel, as
    /// --force-modversion does
    #[arg(long, value_enum, default_value = "keep")]
    modversions: ModversionsArg,
    /// What becomes of a signature, which a patch invalidates
    #[arg(long, value_enum, default_value = "refuse")]
    signature: SignatureArg,
    /// Sign the module with this RSA key (PEM), for a lab whose kernel trusts its certificate
    #[arg(long, value_name = "KEY", requires = "sign_cert", conflicts_with = "signature")]
    sign_key: Option<PathBuf>,
    /// The certificate (PEM or DER) of --sign-key
    #[arg(long, value_name = "CERT", requires = "sign_key")]
    sign_cert: Option<PathBuf>,
    /// The hash that is signed
    #[arg(long, value_enum, value_name = "HASH", default_value = "sha256", requires = "sign_key")]
    sign_hash: HashArg,
    /// Hide the module's type information (.BTF) from the kernel, which rejects type information of another kernel
    #[arg(long)]
    drop_btf: bool,
    /// Add an entry kmodlab_patched=HASH to its modinfo, also in place [default: only if a new file replaces it]
    #[arg(long, conflicts_with = "no_mark")]
    mark: bool,
    /// Add no such entry
    #[arg(long)]
    no_mark: bool,
    /// Refuse changes that can't be written over the old bytes: a longer string, a compressed module, a signature that is added
    /// or removed
    #[arg(long)]
    in_place: bool,
}

// The overrides, one per guard. (No doc comment: clap would use it as the command's description.)
#[derive(clap::Args)]
pub(super) struct OverrideArgs {
    /// Override the guard installed-tree
    #[arg(long)]
    allow_installed: bool,
    /// Override the guard ima
    #[arg(long)]
    accept_ima_break: bool,
    /// Override the guard abi-tokens
    #[arg(long)]
    allow_abi_mismatch: bool,
    /// Override the guard struct-module
    #[arg(long)]
    allow_layout_mismatch: bool,
    /// Override the guard crc
    #[arg(long)]
    allow_crc_mismatch: bool,
}

impl OverrideArgs {
    pub(super) fn overrides(&self) -> Overrides {
        let given = [
            (self.allow_installed, Override::InstalledTree),
            (self.accept_ima_break, Override::Ima),
            (self.allow_abi_mismatch, Override::AbiTokens),
            (self.allow_layout_mismatch, Override::StructModule),
            (self.allow_crc_mismatch, Override::Crc),
        ];
        given.into_iter().filter(|(is_given, _)| *is_given).map(|(_, guard)| guard).collect()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ModeArg {
    Rewrite,
    Blank,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ModversionsArg {
    Keep,
    Rewrite,
    Blank,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum HashArg {
    Sha256,
    Sha384,
    Sha512,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SignatureArg {
    /// Do not patch a signed module
    Refuse,
    /// Remove the signature: kernels treat the module as unsigned
    Strip,
    /// Keep it: a kernel that knows the key rejects the module
    Keep,
}

impl RequestArgs {
    /// The request, and the kernel that the module is to fit, where one is named.
    pub(super) fn request(&self, session: &Session<'_>) -> Result<(Request, Option<Kernel>)> {
        let new_vermagic = self.new_vermagic()?;
        let signer = self.signer()?;
        let kernel = match &self.to {
            None => None,
            Some(name) => Some(output::waiting("reading the kernel", || kernel::named(name, &session.lookup()))?),
        };
        if let Some(kernel) = &kernel
            && kernel.without_modules().is_some()
        {
            kernel.known_vermagic()?;
        }
        let new_vermagic = match (new_vermagic, &kernel) {
            (None, Some(kernel)) => NewVermagic::Rewrite(kernel.known_vermagic()?.value.as_bytes().to_vec()),
            (None, None) => NewVermagic::Keep,
            (Some(new_vermagic), _) => new_vermagic,
        };
        let request = Request {
            modversions: self.modversions(kernel.as_ref())?,
            signer: signer.map(Arc::new),
            drop_btf: self.drop_btf,
            mark: match (self.mark, self.no_mark) {
                (true, _) => Mark::Always,
                (_, true) => Mark::Never,
                _ => Mark::WhenRepacked,
            },
            in_place: self.in_place,
            max_size: session.max_size,
            ..Request::new(new_vermagic, self.signature())
        };
        Ok((request, kernel))
    }

    /// The requested version magic; `None` if `--to` decides.
    fn new_vermagic(&self) -> Result<Option<NewVermagic>> {
        let usage = |what: &str| Err(Error::new(ErrorKind::Usage, what));
        let is_anything_else = self.modversions != ModversionsArg::Keep
            || self.sign_key.is_some()
            || self.drop_btf
            || self.mark
            || self.signature == SignatureArg::Strip;
        match (self.mode, &self.to, &self.vermagic) {
            (ModeArg::Blank, _, Some(_)) => usage("--mode blank takes no version magic; leave out --vermagic"),
            (ModeArg::Blank, _, None) => Ok(Some(NewVermagic::Blank)),
            (ModeArg::Rewrite, _, Some(string)) => Ok(Some(NewVermagic::Rewrite(string.as_bytes().to_vec()))),
            (ModeArg::Rewrite, Some(_), None) => Ok(None),
            (ModeArg::Rewrite, None, None) if is_anything_else => Ok(Some(NewVermagic::Keep)),
            (ModeArg::Rewrite, None, None) => {
                usage("no version magic given; use --vermagic STRING, --to KERNEL or --mode blank")
            }
        }
    }

    fn modversions(&self, kernel: Option<&Kernel>) -> Result<Modversions> {
        match (self.modversions, kernel) {
            (ModversionsArg::Keep, _) => Ok(Modversions::Keep),
            (ModversionsArg::Blank, _) => Ok(Modversions::Blank),
            (ModversionsArg::Rewrite, None) => {
                Err(Error::new(ErrorKind::Usage, "--modversions rewrite needs the CRCs of a kernel; name it with --to"))
            }
            (ModversionsArg::Rewrite, Some(kernel)) => Modversions::of_kernel(kernel),
        }
    }

    fn signature(&self) -> Signature {
        match self.signature {
            _ if self.sign_key.is_some() => Signature::Renew,
            SignatureArg::Refuse => Signature::Refuse,
            SignatureArg::Strip => Signature::Strip,
            SignatureArg::Keep => Signature::Keep,
        }
    }

    fn signer(&self) -> Result<Option<Signer>> {
        let (Some(key), Some(certificate)) = (&self.sign_key, &self.sign_cert) else { return Ok(None) };
        let signer = Signer::from_pem(file::read(key)?.bytes(), file::read(certificate)?.bytes())?;
        Ok(Some(signer.with_digest(match self.sign_hash {
            HashArg::Sha256 => Digest::Sha256,
            HashArg::Sha384 => Digest::Sha384,
            HashArg::Sha512 => Digest::Sha512,
        })))
    }
}
