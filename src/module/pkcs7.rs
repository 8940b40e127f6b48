//! PKCS#7 SignedData (RFC 2315; RFC 5652, section 5), in the form that module signatures use: one step per field, in the order
//! of the grammar.
//!
//! ```text
//! SEQUENCE { OID signedData, [0] { SEQUENCE {                         ContentInfo, SignedData
//!     INTEGER, SET, SEQUENCE, [0]?, [1]?,                             version, digests, content, certificates, CRLs
//!     SET { SEQUENCE {                                                SignerInfo
//!         INTEGER,                                                    version
//!         SEQUENCE { SEQUENCE issuer, INTEGER serial } or [0] bytes,  signer identifier
//!         SEQUENCE { OID, … }, [0]?, SEQUENCE, OCTET STRING, [1]?     digest, attributes, algorithm, signature, attributes
//! ```
//!
//! There are two callers. [`trailer`](crate::module::trailer) reads it as modinfo does through OpenSSL: it skips the fields
//! that it does not need. [`verification`](crate::module::verification) reads it as the kernel's parser does
//! (crypto/asymmetric_keys/pkcs7.asn1, 5.10 to 7.2), which also accepts a SEQUENCE for each SET and [2] and [3] for [0] and
//! [1]. The [`Elements`] that a caller passes in decide which of the two grammars applies.
//!
//! A strict DER crate cannot replace this reader: the kernel and OpenSSL both accept BER with indefinite lengths, serial
//! numbers of any length and certificates of any form, and a signature that a kernel accepts must not be reported as broken.

use crate::module::der::{
    CONTEXT_0, CONTEXT_0_PRIMITIVE, CONTEXT_1, CONTEXT_2, CONTEXT_3, Elements, INTEGER, OCTET_STRING,
    OCTET_STRING_IN_PARTS, OID, SEQUENCE, SET,
};

/// The outermost level: the type of the content, then the content.
pub(super) struct ContentInfo<'a> {
    /// The object identifier of the content's type.
    pub(super) kind: &'a [u8],
    /// The number of bytes after the message.
    pub(super) junk: usize,
    rest: Elements<'a>,
}

impl<'a> ContentInfo<'a> {
    /// Reads the content type.
    pub(super) fn read(mut blob: Elements<'a>) -> Option<ContentInfo<'a>> {
        let mut rest = blob.expect(SEQUENCE)?;
        let kind = rest.expect(OID)?.bytes;
        Some(ContentInfo { kind, junk: blob.bytes.len(), rest })
    }

    /// Is the content absent?
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Proceeds to the content.
    pub(super) fn signed_data(mut self) -> Option<SignedData<'a>> {
        let mut explicit = self.rest.expect(CONTEXT_0)?;
        let fields = explicit.expect(SEQUENCE)?;
        Some(SignedData { fields, outer: [explicit, self.rest] })
    }
}

/// The unread fields of SignedData.
pub(super) struct SignedData<'a> {
    fields: Elements<'a>,
    outer: [Elements<'a>; 2],
}

impl<'a> SignedData<'a> {
    /// The version, as the bytes of an INTEGER.
    pub(super) fn version(&mut self) -> Option<&'a [u8]> {
        Some(self.fields.expect(INTEGER)?.bytes)
    }

    /// The digest algorithms.
    pub(super) fn digest_algorithms(&mut self) -> Option<Elements<'a>> {
        set(&mut self.fields)
    }

    /// The signed content: its type, and the data if it is not detached.
    pub(super) fn content(&mut self) -> Option<Elements<'a>> {
        self.fields.expect(SEQUENCE)
    }

    /// The certificates, if there are any.
    pub(super) fn certificates(&mut self) -> Option<Elements<'a>> {
        either(&mut self.fields, CONTEXT_0, CONTEXT_2)
    }

    /// The certificate revocation lists, if there are any.
    pub(super) fn revocation_lists(&mut self) -> Option<Elements<'a>> {
        either(&mut self.fields, CONTEXT_1, CONTEXT_3)
    }

    /// The signers, each a [`SignerInfo`].
    pub(super) fn signers(&mut self) -> Option<Elements<'a>> {
        set(&mut self.fields)
    }

    /// Are there no further bytes after the fields that were read, on any level?
    pub(super) fn is_at_end(&self) -> bool {
        self.fields.is_empty() && self.outer.iter().all(Elements::is_empty)
    }
}

/// How a signer's key is identified.
pub(super) enum SignerIdentifier<'a> {
    /// By the certificate's issuer and serial number.
    IssuerAndSerial(IssuerAndSerial<'a>),
    /// By the subject key identifier: its tag and content.
    SubjectKeyIdentifier(u8, Elements<'a>),
}

/// The unread fields of an issuer and serial number.
pub(super) struct IssuerAndSerial<'a>(Elements<'a>);

impl<'a> IssuerAndSerial<'a> {
    /// The issuer's name: its bytes with tag and length, and its attributes.
    pub(super) fn issuer(&mut self) -> Option<(&'a [u8], NameAttributes<'a>)> {
        let before = self.0.bytes;
        let sets = self.0.expect(SEQUENCE)?;
        let whole = before.get(..before.len().checked_sub(self.0.bytes.len())?)?;
        Some((whole, NameAttributes { sets, set: None }))
    }

    /// The serial number: the content of an INTEGER.
    pub(super) fn serial(&mut self) -> Option<Elements<'a>> {
        self.0.expect(INTEGER)
    }

    /// Are there no further fields?
    pub(super) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }
}

/// The unread fields of a SignerInfo.
pub(super) struct SignerInfo<'a>(Elements<'a>);

impl<'a> SignerInfo<'a> {
    /// Reads the next signer of [`SignedData::signers`].
    pub(super) fn next(signers: &mut Elements<'a>) -> Option<SignerInfo<'a>> {
        signers.expect(SEQUENCE).map(SignerInfo)
    }

    /// The version, as the bytes of an INTEGER.
    pub(super) fn version(&mut self) -> Option<&'a [u8]> {
        Some(self.0.expect(INTEGER)?.bytes)
    }

    /// How the signer's key is identified.
    pub(super) fn identifier(&mut self) -> Option<SignerIdentifier<'a>> {
        let (tag, content) = self.0.next()?;
        match tag {
            SEQUENCE => Some(SignerIdentifier::IssuerAndSerial(IssuerAndSerial(content))),
            CONTEXT_0_PRIMITIVE => Some(SignerIdentifier::SubjectKeyIdentifier(tag, content)),
            CONTEXT_0 if !self.0.is_as_kernel() => Some(SignerIdentifier::SubjectKeyIdentifier(tag, content)),
            _ => None,
        }
    }

    /// The unread fields, from which the caller reads an algorithm.
    pub(super) fn fields(&mut self) -> &mut Elements<'a> {
        &mut self.0
    }

    /// The signed attributes: `None` if there are none, and `Some(None)` if they are malformed.
    pub(super) fn signed_attributes(&mut self) -> Option<Option<Elements<'a>>> {
        if let Some(attributes) = self.0.take(CONTEXT_0) {
            return Some(Some(attributes));
        }
        if !self.0.is_as_kernel() {
            return None;
        }
        let mut explicit = self.0.take(CONTEXT_2)?;
        Some(explicit.expect(SEQUENCE).filter(|_| explicit.is_empty()))
    }

    /// The signature: its tag and content. BER may split it into parts, which the kernel does not accept.
    pub(super) fn signature(&mut self) -> Option<(u8, Elements<'a>)> {
        let parts = if self.0.is_as_kernel() { OCTET_STRING } else { OCTET_STRING_IN_PARTS };
        self.0.next().filter(|(tag, _)| *tag == OCTET_STRING || *tag == parts)
    }

    /// The unsigned attributes, if there are any.
    pub(super) fn unsigned_attributes(&mut self) -> Option<Elements<'a>> {
        either(&mut self.0, CONTEXT_1, CONTEXT_3)
    }

    /// Are there no further fields?
    pub(super) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }
}

/// The attributes of a name, in order. `None` stands for a malformed attribute, and is always the last item.
pub(super) struct NameAttributes<'a> {
    sets: Elements<'a>,
    set: Option<Elements<'a>>,
}

/// An attribute of a name: the object identifier of its type, and its unread value.
pub(super) struct NameAttribute<'a> {
    /// The object identifier.
    pub(super) kind: &'a [u8],
    /// The value, and the fields that follow it.
    pub(super) value: Elements<'a>,
}

impl<'a> Iterator for NameAttributes<'a> {
    type Item = Option<NameAttribute<'a>>;

    fn next(&mut self) -> Option<Option<NameAttribute<'a>>> {
        loop {
            if let Some(set) = self.set.as_mut().filter(|set| !set.is_empty()) {
                return Some(set.expect(SEQUENCE).and_then(|mut value| {
                    let kind = value.expect(OID)?.bytes;
                    Some(NameAttribute { kind, value })
                }));
            }
            if self.sets.is_empty() {
                return None;
            }
            match self.sets.expect(SET) {
                Some(set) => self.set = Some(set),
                None => return Some(None),
            }
        }
    }
}

/// A SET, for which the kernel also accepts a SEQUENCE.
fn set<'a>(from: &mut Elements<'a>) -> Option<Elements<'a>> {
    match from.is_as_kernel() {
        true => from.take(SET).or_else(|| from.take(SEQUENCE)),
        false => from.expect(SET),
    }
}

/// An optional field that the kernel also accepts with another tag.
fn either<'a>(from: &mut Elements<'a>, tag: u8, of_kernel: u8) -> Option<Elements<'a>> {
    let field = from.take(tag);
    if field.is_some() || !from.is_as_kernel() {
        return field;
    }
    from.take(of_kernel)
}
