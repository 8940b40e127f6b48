//! Confirmation: a person names the change, or the digest of exactly this change.

use std::fmt;

use crate::digest::Sha256;
use crate::error::{Error, ErrorKind};

/// How a person confirmed a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// The name was typed: of the module, of the folder; for a batch, the number of modules.
    Name(String),
    /// The digest of the change was given.
    Digest(String),
}

/// A change that a person confirmed: the only thing that a [`crate::vault::Writer`] writes.
///
/// Nothing else creates one than a successful [`Confirmable::confirm`], and [`super::Restore::without_discarding`] where
/// nothing would be discarded. It has no public field, is neither `Clone` nor deserialisable, and `apply` consumes it.
#[derive(Debug)]
#[must_use = "a confirmed change is not applied yet"]
pub struct Confirmed<C>(C);

impl<C> Confirmed<C> {
    /// A change that needs no question, or whose answer was compared.
    pub(super) fn new(change: C) -> Confirmed<C> {
        Confirmed(change)
    }

    /// The change.
    pub(super) fn into_change(self) -> C {
        self.0
    }
}

pub(super) mod sealed {
    /// Only this layer decides which changes can be confirmed.
    #[allow(unnameable_types, reason = "other crates must not implement it")]
    pub trait Sealed {}
}

/// A reviewed change that a person may confirm.
pub trait Confirmable: Sized + sealed::Sealed {
    /// The name that a person types to confirm the change.
    fn name_to_type(&self) -> String;

    /// The digest that stands for exactly this change.
    fn digest(&self) -> Sha256;

    /// The change as a confirmed one, if the confirmation fits it.
    ///
    /// # Errors
    ///
    /// [`Unconfirmed`] if another name or another digest was given.
    fn confirm(self, confirmation: &Confirmation) -> Result<Confirmed<Self>, Unconfirmed> {
        match confirmation {
            Confirmation::Name(name) => self.confirm_name(name),
            Confirmation::Digest(digest) => self.confirm_digest(digest),
        }
    }

    /// The change as a confirmed one, if this is its name. `-` and `_` are equal, as in module names (modprobe(8)).
    ///
    /// # Errors
    ///
    /// [`Unconfirmed::OtherName`].
    fn confirm_name(self, typed: &str) -> Result<Confirmed<Self>, Unconfirmed> {
        match typed.trim().replace('-', "_") == self.name_to_type().replace('-', "_") {
            true => Ok(Confirmed(self)),
            false => Err(Unconfirmed::OtherName),
        }
    }

    /// The change as a confirmed one, if this is its digest.
    ///
    /// # Errors
    ///
    /// [`Unconfirmed::OtherDigest`].
    fn confirm_digest(self, digest: &str) -> Result<Confirmed<Self>, Unconfirmed> {
        match is_digest(digest, self.digest()) {
            true => Ok(Confirmed(self)),
            false => Err(Unconfirmed::OtherDigest),
        }
    }
}

/// Is this text the digest, in upper or lower case?
pub(super) fn is_digest(text: &str, digest: Sha256) -> bool {
    text.to_ascii_lowercase().parse() == Ok(digest)
}

/// Why a change is not confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unconfirmed {
    /// Another name was typed.
    OtherName,
    /// The digest is not the change's.
    OtherDigest,
    /// Nobody can be asked.
    NobodyToAsk,
    /// The person left the question.
    Cancelled,
}

impl fmt::Display for Unconfirmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unconfirmed::OtherName => "another name was typed",
            Unconfirmed::OtherDigest => "the digest is not the digest of this plan",
            Unconfirmed::NobodyToAsk => "no terminal to confirm on",
            Unconfirmed::Cancelled => "confirmation cancelled",
        })
    }
}

impl std::error::Error for Unconfirmed {}

impl From<Unconfirmed> for Error {
    fn from(why: Unconfirmed) -> Error {
        Error::new(ErrorKind::NotConfirmed, format!("refused by the guard confirmed: {why}"))
    }
}
