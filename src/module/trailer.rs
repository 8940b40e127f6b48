//! The signature appended to a module: where the image ends, and what the signature says of itself. It is read here, not
//! verified: that takes the kernel's keys ([`verification`](crate::module::verification)).
//!
//! ```text
//! ELF image │ signer's name │ key id │ signature │ module_signature │ ~Module signature appended~␊
//!           └─ by length, in the formats before 4.3 ─┘   12 bytes           28 bytes
//!           └─ since 4.3: one PKCS#7 message ────────┘
//! ```
//!
//! Sources: `include/linux/module_signature.h` and `kernel/module_signature.c` (6.12) for the layout;
//! `scripts/sign-file.c` for who writes it; the enumerations of 3.7's `include/crypto/public_key.h` for the older
//! formats; modinfo(8) of kmod 30 for what is printed, measured over real and crafted modules.

use std::ops::Range;

use crate::error::{Error, ErrorKind, Result};
use crate::module::der::{CONTEXT_0_PRIMITIVE, Elements, INTEGER, OCTET_STRING, OID, SEQUENCE, magnitude, octets, oid};
use crate::module::pkcs7::{ContentInfo, NameAttribute, NameAttributes, SignerIdentifier, SignerInfo};

/// What a signed module ends in.
pub const MAGIC: &[u8] = b"~Module signature appended~\n";

/// The size of `struct module_signature`, in bytes.
const HEADER: usize = 12;

/// An appended signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// Where the trailer starts and the image ends, in bytes from the start of the file.
    pub start: usize,
    /// The length of the whole trailer in bytes, magic string included.
    pub len: usize,
    /// How the signature is wrapped.
    pub format: Format,
    /// The signer's name: for PKCS#7 the common name of the certificate's issuer, or if it has none the last part of
    /// the issuer's name. Raw bytes from the file; escape them before showing them.
    pub signer: Option<Vec<u8>>,
    /// By what the key is named.
    pub key_id_kind: KeyIdKind,
    /// The name of the key. A serial number without sign and leading zeros.
    pub key_id: Vec<u8>,
    /// The digest's name, as OpenSSL's and modinfo's `sha256`; a dotted object identifier where it has none here.
    pub hash: String,
    /// The signature itself.
    pub signature: Vec<u8>,
    /// Bytes between the end of the PKCS#7 message and `module_signature`. The kernel and modinfo ignore them.
    pub junk: usize,
    /// Does `module_signature` have a nonzero field that must be zero for a PKCS#7 message? Then a kernel that
    /// checks signatures refuses the module with EBADMSG (`mod_check_sig()`); modinfo accepts it.
    pub stray_fields: bool,
}

/// How a signature is wrapped: `id_type` of `struct module_signature`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// 0: the key id is an OpenPGP one; before 4.3.
    Pgp,
    /// 1: the key id is a certificate's subject key identifier; before 4.3.
    X509,
    /// 2: a PKCS#7 message that says all of it; since 4.3.
    Pkcs7,
}

impl Format {
    /// The name that modinfo prints as `sig_id`.
    pub fn name(self) -> &'static str {
        match self {
            Format::Pgp => "PGP",
            Format::X509 => "X509",
            Format::Pkcs7 => "PKCS#7",
        }
    }
}

/// By what a trailer names the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyIdKind {
    /// The certificate's issuer and serial number.
    SerialNumber,
    /// The subject key identifier of the certificate (`sign-file -k`).
    SubjectKeyIdentifier,
    /// The key id field of the formats before 4.3.
    Field,
}

/// Where the trailer lies in the uncompressed bytes of a module. None if they do not end in the magic string. What
/// the signature says is not looked at, so this works where [`find`] fails for that reason.
///
/// # Errors
///
/// [`ErrorKind::Truncated`] if the file is shorter than the trailer says; [`ErrorKind::Malformed`] if the signature
/// is empty or of an unknown kind.
pub fn locate(file: &[u8]) -> Result<Option<Range<usize>>> {
    Ok(TrailerFields::of(file)?.map(|parts| parts.start..file.len()))
}

/// The trailer at the end of the uncompressed bytes of a module. None if they do not end in the magic string.
///
/// # Errors
///
/// Those of [`locate`], and [`ErrorKind::Malformed`] if the signature is no PKCS#7 message with a signer.
pub fn find(file: &[u8]) -> Result<Option<Trailer>> {
    let Some(parts) = TrailerFields::of(file)? else { return Ok(None) };
    let len = file.len() - parts.start;
    let field = |bytes: &[u8]| bytes.to_vec();
    let trailer = match parts.format {
        Format::Pkcs7 => {
            let message = SignerFields::read(parts.signature).ok_or_else(no_message)?;
            Trailer {
                start: parts.start,
                len,
                format: parts.format,
                signer: message.issuer.map(field),
                key_id_kind: message.key_id_kind,
                key_id: message.key_id().ok_or_else(no_message)?,
                hash: message.hash(),
                signature: message.signature().ok_or_else(no_message)?,
                junk: message.junk,
                stray_fields: parts.stray_fields,
            }
        }
        Format::Pgp | Format::X509 => Trailer {
            start: parts.start,
            len,
            format: parts.format,
            signer: Some(parts.signer).filter(|name| !name.is_empty()).map(field),
            key_id_kind: KeyIdKind::Field,
            key_id: field(parts.key_id),
            hash: parts.hash.to_owned(),
            signature: field(parts.signature),
            junk: 0,
            stray_fields: false,
        },
    };
    Ok(Some(trailer))
}

/// The part of a trailer that a summary uses.
#[derive(Clone, Copy)]
pub(super) struct Glimpse<'a> {
    /// Where it begins.
    pub(super) start: usize,
    /// As [`Trailer::signer`].
    pub(super) signer: Option<&'a [u8]>,
}

/// Where a trailer begins, and the signer: as [`find`] returns them, without a copy.
///
/// # Errors
///
/// Those of [`find`].
pub(super) fn summarize(file: &[u8]) -> Result<Option<Glimpse<'_>>> {
    let Some(parts) = TrailerFields::of(file)? else { return Ok(None) };
    let signer = match parts.format {
        Format::Pkcs7 => {
            SignerFields::read(parts.signature).filter(SignerFields::is_whole).ok_or_else(no_message)?.issuer
        }
        Format::Pgp | Format::X509 => Some(parts.signer).filter(|name| !name.is_empty()),
    };
    Ok(Some(Glimpse { start: parts.start, signer }))
}

fn no_message() -> Error {
    malformed("the module's signature is no PKCS#7 message with a signer")
}

/// Can the bytes after an ELF image be a trailer whose end is missing? For a file that does not end in the magic
/// string: with the whole of it the kernel would have looked for a signature, so half of it is damage. A trailer of
/// before 4.3 starts with its signer's name, whatever that is, so that nothing but NULs is surely none: padding.
pub fn looks_cut(after_image: &[u8]) -> bool {
    after_image.iter().any(|byte| *byte != 0)
}

/// The end of a complete trailer after the ELF image (which ends at `image_end`) that other bytes follow; of the last one,
/// if there are several.
pub fn buried(file: &[u8], image_end: usize) -> Option<usize> {
    let behind = file.get(image_end..)?;
    memchr::memmem::rfind_iter(behind, MAGIC).find_map(|at| {
        let end = image_end + at + MAGIC.len();
        let range = locate(file.get(..end)?).ok()??;
        (end < file.len() && range.start >= image_end).then_some(end)
    })
}

impl Trailer {
    /// The entries that `modinfo` adds to its listing for this trailer, in its order.
    ///
    /// None at all where it has none either: for a key named by its subject key identifier, and, unless it takes the names of
    /// digests from OpenSSL (`any_digest`: kmod 32 and later), for a digest that is not in its own list.
    pub fn modinfo_entries(&self, any_digest: bool) -> Vec<(&'static str, Vec<u8>)> {
        let known_to_kmod = any_digest || HASHES_BY_NUMBER.contains(&self.hash.as_str());
        if self.key_id_kind == KeyIdKind::SubjectKeyIdentifier || !known_to_kmod {
            return Vec::new();
        }
        let hash = match self.hash.as_str() {
            "rmd160" if any_digest && self.format == Format::Pkcs7 => "ripemd160",
            hash => hash,
        };
        // modinfo prints a C string: a NUL ends it.
        let signer = self.signer.iter().flatten().copied().take_while(|&byte| byte != 0).collect();
        vec![
            ("sig_id", self.format.name().into()),
            ("signer", signer),
            ("sig_key", hex_lines(&self.key_id)),
            ("sig_hashalgo", hash.into()),
            ("signature", hex_lines(&self.signature)),
        ]
    }

    /// Is this the key of an entry that [`Trailer::modinfo_entries`] may add?
    pub(super) fn has_entry(key: &[u8]) -> bool {
        matches!(key, b"sig_id" | b"signer" | b"sig_key" | b"sig_hashalgo" | b"signature")
    }
}

/// Bytes as modinfo prints them: `A1:B2`, twenty on a line.
pub fn hex_lines(bytes: &[u8]) -> Vec<u8> {
    let digits = hex::encode_upper(bytes);
    let mut lines = Vec::with_capacity(digits.len() * 2);
    for (at, pair) in digits.as_bytes().chunks(2).enumerate() {
        match at {
            0 => {}
            at if at.is_multiple_of(20) => lines.extend_from_slice(b":\n\t\t"),
            _ => lines.push(b':'),
        }
        lines.extend_from_slice(pair);
    }
    lines
}

fn malformed(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Malformed, what)
}

// ---- struct module_signature ---------------------------------------------------------------------------------------

/// `hash` of `struct module_signature`: `enum pkey_hash_algo` of 3.7, and SM3, which kmod adds.
const HASHES_BY_NUMBER: [&str; 9] = ["md4", "md5", "sha1", "rmd160", "sha256", "sha384", "sha512", "sha224", "sm3"];

/// The fields of `struct module_signature`, and the parts before it.
struct TrailerFields<'a> {
    start: usize,
    format: Format,
    hash: &'static str,
    signer: &'a [u8],
    key_id: &'a [u8],
    signature: &'a [u8],
    stray_fields: bool,
}

impl<'a> TrailerFields<'a> {
    fn of(file: &'a [u8]) -> Result<Option<TrailerFields<'a>>> {
        let Some(rest) = file.strip_suffix(MAGIC) else { return Ok(None) };
        let truncated = |what: String| Error::new(ErrorKind::Truncated, what);
        let Some((rest, &header)) = rest.split_last_chunk::<HEADER>() else {
            return Err(truncated("the file holds a signature's magic string, but no signature before it".into()));
        };
        let [algorithm, hash, id_type, signer_len, key_id_len, .., l0, l1, l2, l3] = header;
        let format = match id_type {
            0 => Format::Pgp,
            1 => Format::X509,
            2 => Format::Pkcs7,
            _ => {
                return Err(malformed(format!(
                    "the signature's kind (id_type) is {id_type}, and only 0 to 2 are known"
                )));
            }
        };
        if algorithm > 1 {
            return Err(malformed(format!("the signature's algorithm is {algorithm}, and only 0 and 1 are known")));
        }
        let Some(&hash) = HASHES_BY_NUMBER.get(usize::from(hash)) else {
            return Err(malformed(format!("the signature's hash is {hash}, and only 0 to 8 are known")));
        };
        let sig_len = u32::from_be_bytes([l0, l1, l2, l3]);
        if sig_len == 0 {
            return Err(malformed("the signature's length is 0"));
        }

        // With a PKCS#7 message the other fields must be zero, and no kernel reads them.
        let stray_fields = format == Format::Pkcs7 && header.iter().take(8).ne(&[0, 0, 2, 0, 0, 0, 0, 0]);
        let (signer_len, key_id_len) = match format {
            Format::Pkcs7 => (0, 0),
            Format::Pgp | Format::X509 => (signer_len, key_id_len),
        };
        let cut = |rest: &'a [u8], len: usize| {
            let start = rest.len().checked_sub(len)?;
            rest.split_at_checked(start)
        };
        let lengths = || {
            let (rest, signature) = cut(rest, usize::try_from(sig_len).ok()?)?;
            let (rest, key_id) = cut(rest, key_id_len.into())?;
            let (rest, signer) = cut(rest, signer_len.into())?;
            Some((rest.len(), signer, key_id, signature))
        };
        let Some((start, signer, key_id, signature)) = lengths() else {
            let what = format!("the signature's length is {sig_len} bytes, but only {} bytes precede it", rest.len());
            return Err(truncated(what));
        };
        Ok(Some(TrailerFields { start, format, hash, signer, key_id, signature, stray_fields }))
    }
}

// ---- The PKCS#7 message ([`pkcs7`](crate::module::pkcs7)) -----------------------------------------------------------

/// signedData and commonName, each in DER, as which nearly all messages have them, and as BER may have them too.
const SIGNED_DATA: (&[u8], &str) = (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02], "1.2.840.113549.1.7.2");
const COMMON_NAME: (&[u8], &str) = (&[0x55, 0x04, 0x03], "2.5.4.3");

fn is_oid(found: &[u8], (der, numbers): (&[u8], &str)) -> bool {
    found == der || oid(found) == numbers
}

/// Digests by object identifier, with OpenSSL's names (`obj_mac.h`, 3.0).
const HASHES: [(&str, &str); 15] = [
    ("1.2.840.113549.2.4", "md4"),
    ("1.2.840.113549.2.5", "md5"),
    ("1.3.14.3.2.26", "sha1"),
    ("1.3.36.3.2.1", "rmd160"),
    ("2.16.840.1.101.3.4.2.4", "sha224"),
    ("2.16.840.1.101.3.4.2.1", "sha256"),
    ("2.16.840.1.101.3.4.2.2", "sha384"),
    ("2.16.840.1.101.3.4.2.3", "sha512"),
    ("2.16.840.1.101.3.4.2.5", "sha512-224"),
    ("2.16.840.1.101.3.4.2.6", "sha512-256"),
    ("2.16.840.1.101.3.4.2.7", "sha3-224"),
    ("2.16.840.1.101.3.4.2.8", "sha3-256"),
    ("2.16.840.1.101.3.4.2.9", "sha3-384"),
    ("2.16.840.1.101.3.4.2.10", "sha3-512"),
    ("1.2.156.10197.1.401", "sm3"),
];

/// What the first signer of a PKCS#7 message says.
struct SignerFields<'a> {
    issuer: Option<&'a [u8]>,
    key_id_kind: KeyIdKind,
    /// Tag and content, as those of the signature.
    key_id: (u8, Elements<'a>),
    /// The digest's object identifier.
    digest: &'a [u8],
    signature: (u8, Elements<'a>),
    junk: usize,
}

impl<'a> SignerFields<'a> {
    fn read(blob: &'a [u8]) -> Option<SignerFields<'a>> {
        let content = ContentInfo::read(Elements::new(blob)).filter(|content| is_oid(content.kind, SIGNED_DATA))?;
        let junk = content.junk;
        let mut data = content.signed_data()?;
        data.version()?;
        data.digest_algorithms()?;
        data.content()?;
        data.certificates();
        data.revocation_lists();
        let mut info = SignerInfo::next(&mut data.signers()?)?;
        info.version()?;
        let (key_id_kind, issuer, key_id) = match info.identifier()? {
            SignerIdentifier::IssuerAndSerial(mut signer) => {
                let issuer = issuer(signer.issuer()?.1)?;
                (KeyIdKind::SerialNumber, issuer, (INTEGER, signer.serial()?))
            }
            SignerIdentifier::SubjectKeyIdentifier(tag, id) => (KeyIdKind::SubjectKeyIdentifier, None, (tag, id)),
        };
        let digest = info.fields().expect(SEQUENCE)?.expect(OID)?.bytes;
        info.signed_attributes();
        info.fields().expect(SEQUENCE)?;
        Some(SignerFields { issuer, key_id_kind, key_id, digest, signature: info.signature()?, junk })
    }

    /// Can all of it be read? What lies in one piece can.
    fn is_whole(&self) -> bool {
        let is_one_piece = |(tag, content): (u8, Elements<'_>)| {
            matches!(tag, INTEGER | OCTET_STRING | CONTEXT_0_PRIMITIVE) && !content.is_empty()
        };
        (is_one_piece(self.key_id) || self.key_id().is_some())
            && (is_one_piece(self.signature) || self.signature().is_some())
    }

    fn key_id(&self) -> Option<Vec<u8>> {
        let (tag, content) = self.key_id;
        if tag == INTEGER { magnitude(content.bytes) } else { octets(tag, content) }
    }

    fn signature(&self) -> Option<Vec<u8>> {
        octets(self.signature.0, self.signature.1)
    }

    fn hash(&self) -> String {
        let hash = oid(self.digest);
        let name = HASHES.iter().find(|(number, _)| *number == hash).map(|&(_, name)| name.to_owned());
        name.unwrap_or(hash)
    }
}

/// The first common name in an issuer's name, or else the last part of the name, as modinfo chooses. The inner None:
/// the name is empty.
fn issuer(name: NameAttributes<'_>) -> Option<Option<&[u8]>> {
    let mut last = None;
    for attribute in name {
        let NameAttribute { kind, mut value } = attribute?;
        last = Some(value.next()?.1.bytes);
        if is_oid(kind, COMMON_NAME) {
            return Some(last);
        }
    }
    Some(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::der::{CONTEXT_0, OCTET_STRING_IN_PARTS, SET};

    /// An element in DER.
    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let length = u8::try_from(content.len()).ok().filter(|&length| length < 0x80);
        let mut out = vec![tag];
        match length {
            Some(length) => out.push(length),
            None => {
                out.push(0x82);
                out.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
            }
        }
        out.extend(content);
        out
    }

    /// The same element, constructed, in BER's indefinite form.
    fn ber(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        [&[tag, 0x80], parts.concat().as_slice(), &[0, 0]].concat()
    }

    const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
    type Make = fn(u8, &[&[u8]]) -> Vec<u8>;

    /// The name of an issuer: an organisation and a common name.
    fn lab() -> Vec<u8> {
        let part = |oid: &[u8], text: &[u8]| der(SET, &[&der(SEQUENCE, &[&der(OID, &[oid]), &der(0x0c, &[text])])]);
        der(SEQUENCE, &[&part(&[0x55, 4, 10], b"Org"), &part(&[0x55, 4, 3], b"Lab key")])
    }

    fn by_serial(serial: &[u8]) -> Vec<u8> {
        der(SEQUENCE, &[&lab(), &der(INTEGER, &[serial])])
    }

    fn message(make: Make, who: &[u8], signature: &[u8]) -> Vec<u8> {
        let one = der(INTEGER, &[&[1]]);
        let digest = der(SEQUENCE, &[&der(OID, &[SHA256])]);
        let info = make(SEQUENCE, &[&one, who, &digest, &der(SEQUENCE, &[]), signature]);
        let data = make(SEQUENCE, &[&one, &der(SET, &[&digest]), &der(SEQUENCE, &[]), &make(SET, &[&info])]);
        let signed = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
        make(SEQUENCE, &[&der(OID, &[&signed]), &make(CONTEXT_0, &[&data])])
    }

    fn signed(blob: &[u8], fields: [u8; 8]) -> Vec<u8> {
        let len = u32::try_from(blob.len()).unwrap().to_be_bytes();
        [b"\x7fELF image", blob, &fields, &len, MAGIC].concat()
    }

    const PKCS7: [u8; 8] = [0, 0, 2, 0, 0, 0, 0, 0];

    fn lines(trailer: &Trailer) -> String {
        let text = |value: &Vec<u8>| String::from_utf8_lossy(value).into_owned();
        trailer.modinfo_entries(false).iter().map(|(key, value)| format!("{key}: {}\n", text(value))).collect()
    }

    #[test]
    fn a_pkcs7_trailer_names_its_signer_as_modinfo_does() {
        let blob = message(der, &by_serial(&[0, 0x80, 0xaa]), &der(OCTET_STRING, &[&[0xab; 21]]));
        let file = signed(&blob, PKCS7);
        let trailer = find(&file).unwrap().unwrap();
        assert_eq!((trailer.start, trailer.start + trailer.len), (10, file.len()));
        assert_eq!(trailer.signer.as_deref(), Some(&b"Lab key"[..]));
        assert_eq!(
            lines(&trailer),
            "sig_id: PKCS#7\nsigner: Lab key\nsig_key: 80:AA\nsig_hashalgo: sha256\nsignature: \
             AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:\n\t\tAB\n"
        );
    }

    #[test]
    fn ber_says_the_same_as_der() {
        let who = by_serial(&[7]);
        let parts = ber(OCTET_STRING_IN_PARTS, &[&der(OCTET_STRING, &[b"sig"]), &der(OCTET_STRING, &[b"ned"])]);
        let plain = find(&signed(&message(der, &who, &der(OCTET_STRING, &[b"signed"])), PKCS7)).unwrap().unwrap();
        let other = find(&signed(&message(ber, &who, &parts), PKCS7)).unwrap().unwrap();
        assert_eq!(lines(&plain), lines(&other));
    }

    #[test]
    fn a_subject_key_identifier_is_read_though_modinfo_is_silent() {
        let blob = message(der, &der(CONTEXT_0_PRIMITIVE, &[&[1, 2, 3]]), &der(OCTET_STRING, &[b"s"]));
        let trailer = find(&signed(&blob, PKCS7)).unwrap().unwrap();
        assert_eq!(trailer.key_id_kind, KeyIdKind::SubjectKeyIdentifier);
        assert_eq!((trailer.key_id.as_slice(), &trailer.signer, lines(&trailer).as_str()), (&[1, 2, 3][..], &None, ""));
    }

    #[test]
    fn the_formats_before_4_3_have_fields() {
        let file = signed(b"S", [1, 4, 1, 0, 0, 0, 0, 0]);
        assert_eq!(
            lines(&find(&file).unwrap().unwrap()),
            "sig_id: X509\nsigner: \nsig_key: \nsig_hashalgo: sha256\n\
            signature: 53\n"
        );
        let mut file = b"\x7fELF image Red Hat\x01\x02SIG".to_vec();
        file.extend([1, 2, 0, 7, 2, 0, 0, 0, 0, 0, 0, 3]);
        file.extend(MAGIC);
        let trailer = find(&file).unwrap().unwrap();
        assert_eq!((trailer.start, trailer.format, trailer.hash.as_str()), (11, Format::Pgp, "sha1"));
        assert_eq!(
            (trailer.signer.unwrap(), trailer.key_id, trailer.signature),
            (b"Red Hat".to_vec(), vec![1, 2], b"SIG".to_vec())
        );
    }

    #[test]
    fn bytes_that_kernel_and_modinfo_ignore_are_reported() {
        let mut blob = message(der, &by_serial(&[7]), &der(OCTET_STRING, &[b"s"]));
        blob.extend(b"junk");
        let trailer = find(&signed(&blob, [0, 4, 2, 0, 0, 0, 0, 1])).unwrap().unwrap();
        assert_eq!((trailer.junk, trailer.stray_fields), (4, true));
    }

    #[test]
    fn a_broken_trailer_is_one_clear_sentence() {
        let say = |file: &[u8]| find(file).unwrap_err().to_string();
        assert_eq!(say(MAGIC), "the file holds a signature's magic string, but no signature before it");
        assert_eq!(say(&signed(b"", PKCS7)), "the signature's length is 0");
        assert_eq!(
            say(&signed(b"x", [0, 0, 3, 0, 0, 0, 0, 0])),
            "the signature's kind (id_type) is 3, and only 0 to 2 are known"
        );
        assert_eq!(
            say(&signed(b"x", [0, 9, 2, 0, 0, 0, 0, 0])),
            "the signature's hash is 9, and only 0 to 8 are known"
        );
        assert_eq!(say(&signed(b"x", PKCS7)), "the module's signature is no PKCS#7 message with a signer");
        let long = [b"image".as_slice(), &PKCS7, &[0x7f, 0, 0, 0], MAGIC].concat();
        assert_eq!(say(&long), "the signature's length is 2130706432 bytes, but only 5 bytes precede it");
        assert_eq!(locate(&signed(b"x", PKCS7)).unwrap(), Some(10..51), "where it lies is known all the same");
        assert_eq!(find(b"\x7fELF").unwrap(), None);
    }

    #[test]
    fn a_message_cut_or_changed_anywhere_never_panics() {
        let who = by_serial(&[7]);
        for blob in [message(der, &who, &der(OCTET_STRING, &[b"s"])), message(ber, &who, &der(OCTET_STRING, &[b"s"]))] {
            for at in 0..blob.len() {
                assert!(SignerFields::read(&blob[..at]).is_none());
                for byte in 0..=255 {
                    let mut hostile = blob.clone();
                    hostile[at] = byte;
                    let _ = SignerFields::read(&hostile);
                }
            }
        }
        let nested = [0x30, 0x80].repeat(100_000);
        assert!(SignerFields::read(&nested).is_none());
    }

    #[test]
    fn half_a_trailer_is_seen() {
        let file = signed(&message(der, &by_serial(&[7]), &der(OCTET_STRING, &[&[0; 256]])), PKCS7);
        for end in 11..file.len() {
            assert!(looks_cut(&file[10..end]), "cut at {end}");
        }
        assert!(looks_cut(b"Red Hat\x01~Module sig"));
        assert!(!looks_cut(b"") && !looks_cut(&[0; 16]));
    }
}
