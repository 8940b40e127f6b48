//! SHA-256 digests: the type, and how to compute one of bytes, of a stream, or of two versions of a file.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::Digest;

/// A SHA-256 digest.
///
/// It is printed and parsed as 64 lower-case hexadecimal digits, as `sha256sum` prints it. Serde writes the same text where a
/// format is for people (JSON), and 32 bytes where it is not.
///
/// ```
/// use kmodlab::Sha256;
///
/// let digest: Sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".parse()?;
/// assert_eq!(digest.as_bytes()[..2], [0xe3, 0xb0]);
/// assert_eq!(digest.to_string().parse(), Ok(digest));
/// assert!("E3B0".parse::<Sha256>().is_err());
/// # Ok::<(), kmodlab::ParseSha256Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256([u8; 32]);

/// The error for text that is not a SHA-256: other than 64 digits, or a digit that is not `0` to `9` or `a` to `f`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseSha256Error;

impl Sha256 {
    /// The digest with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Sha256 {
        Sha256(bytes)
    }

    /// Its bytes, the first two digits' byte first.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 64];
        hex::encode_to_slice(self.0, &mut digits).map_err(|_| fmt::Error)?;
        f.pad(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256 {
    type Err = ParseSha256Error;

    fn from_str(text: &str) -> Result<Sha256, ParseSha256Error> {
        let is_lower_case = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let mut bytes = [0; 32];
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) if is_lower_case => Ok(Sha256(bytes)),
            _ => Err(ParseSha256Error),
        }
    }
}

impl fmt::Display for ParseSha256Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a SHA-256: 64 lower-case hexadecimal digits")
    }
}

impl std::error::Error for ParseSha256Error {}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serializer.is_human_readable() {
            true => serializer.collect_str(self),
            false => self.0.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Sha256, D::Error> {
        struct Text;

        impl de::Visitor<'_> for Text {
            type Value = Sha256;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a SHA-256 as 64 lower-case hexadecimal digits")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Sha256, E> {
                text.parse().map_err(E::custom)
            }
        }

        match deserializer.is_human_readable() {
            true => deserializer.deserialize_str(Text),
            false => <[u8; 32]>::deserialize(deserializer).map(Sha256),
        }
    }
}

/// Computes the SHA-256 of bytes that arrive in pieces.
#[derive(Clone, Debug, Default)]
pub struct Sha256Hasher(sha2::Sha256);

impl Sha256Hasher {
    /// A hasher that has read nothing yet.
    pub fn new() -> Sha256Hasher {
        Sha256Hasher::default()
    }

    /// Adds the next piece.
    pub fn update(&mut self, piece: impl AsRef<[u8]>) {
        self.0.update(piece);
    }

    /// The digest of all pieces.
    pub fn finish(self) -> Sha256 {
        Sha256(self.0.finalize().into())
    }
}

/// The SHA-256 of bytes.
pub fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256(sha2::Sha256::digest(bytes).into())
}

/// The SHA-256 of two versions of a file that are equal up to byte `common`: the common start is hashed once.
pub fn sha256_of_both(before: &[u8], after: &[u8], common: usize) -> (Sha256, Sha256) {
    let common = common.min(before.len()).min(after.len());
    let (shared, rest) = before.split_at(common);
    let mut of_before = Sha256Hasher::new();
    of_before.update(shared);
    let mut of_after = of_before.clone();
    of_before.update(rest);
    of_after.update(after.get(common..).unwrap_or_default());
    (of_before.finish(), of_after.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn two_versions_have_the_digests_that_each_has_when_hashed_separately() {
        let (before, after) = ([1_u8; 1000], [[1_u8; 500], [2; 500]].concat());
        for common in [0, 1, 63, 64, 65, 499, 500] {
            assert_eq!(sha256_of_both(&before, &after, common), (sha256(&before), sha256(&after)));
        }
        assert_eq!(sha256_of_both(b"a", b"", 7), (sha256(b"a"), sha256(b"")));
    }

    #[test]
    fn only_64_lower_case_digits_are_a_digest() {
        assert_eq!(OF_NOTHING.parse(), Ok(sha256(b"")));
        let (upper, long) = (OF_NOTHING.to_uppercase(), format!("{OF_NOTHING}00"));
        for text in ["", &OF_NOTHING[1..], &OF_NOTHING[2..], &upper, &long, &OF_NOTHING.replace('e', "g")] {
            assert_eq!(text.parse::<Sha256>(), Err(ParseSha256Error), "{text}");
        }
    }

    #[test]
    fn json_has_the_digits_and_a_binary_format_the_bytes() {
        let digest = sha256(b"");
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(json, format!("\"{OF_NOTHING}\""));
        assert_eq!(serde_json::from_str::<Sha256>(&json).unwrap(), digest);
        assert!(serde_json::from_str::<Sha256>(&json.to_uppercase()).is_err());
        let bytes = postcard::to_stdvec(&digest).unwrap();
        assert_eq!(bytes, digest.as_bytes());
        assert_eq!(postcard::from_bytes::<Sha256>(&bytes).unwrap(), digest);
    }
}
