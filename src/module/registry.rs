//! What the parser of signatures knows in each kernel: object identifiers by name, digests, algorithms of keys.
//!
//! Read in include/linux/oid_registry.h and crypto/asymmetric_keys/pkcs7_parser.c of 5.10, 6.1, 6.12 and 7.2. What two of
//! these have alike, the versions between have too; where they differ, what is between is not known.

/// The versions that were read, oldest first.
const READ: [(u32, u32); 4] = [(5, 10), (6, 1), (6, 12), (7, 2)];

/// What the algorithms of signatures of NIST's begin with.
const SIGNATURES: &str = "2.16.840.1.101.3.4.3.";

/// How many object identifiers the kernel names in each: `OID__NR`, the number that it prints for one without a name.
const NAMED: [u32; 4] = [78, 98, 103, 106];

/// Named in all four.
const ALWAYS: [&str; 72] = [
    "1.2.156.10197.1.301",
    "1.2.156.10197.1.401",
    "1.2.156.10197.1.501",
    "1.2.156.10197.1.504",
    "1.2.643.2.2.35.1",
    "1.2.643.2.2.35.2",
    "1.2.643.2.2.35.3",
    "1.2.643.7.1.1.1.1",
    "1.2.643.7.1.1.1.2",
    "1.2.643.7.1.1.2.2",
    "1.2.643.7.1.1.2.3",
    "1.2.643.7.1.1.3.2",
    "1.2.643.7.1.1.3.3",
    "1.2.643.7.1.2.1.1.1",
    "1.2.643.7.1.2.1.1.2",
    "1.2.643.7.1.2.1.1.3",
    "1.2.643.7.1.2.1.1.4",
    "1.2.643.7.1.2.1.2.1",
    "1.2.643.7.1.2.1.2.2",
    "1.2.643.7.1.2.1.2.3",
    "1.2.840.10030.4.3",
    "1.2.840.10040.4.1",
    "1.2.840.10045.2.1",
    "1.2.840.10045.4.1",
    "1.2.840.113549.1.1.1",
    "1.2.840.113549.1.1.5",
    "1.2.840.113549.1.1.11",
    "1.2.840.113549.1.1.12",
    "1.2.840.113549.1.1.13",
    "1.2.840.113549.1.1.14",
    "1.2.840.113549.1.7.1",
    "1.2.840.113549.1.7.2",
    "1.2.840.113549.1.9.1",
    "1.2.840.113549.1.9.3",
    "1.2.840.113549.1.9.4",
    "1.2.840.113549.1.9.5",
    "1.2.840.113549.1.9.15",
    "1.2.840.113549.1.9.16.2.11",
    "1.3.6.1.4.1.311.2.1.4",
    "1.3.6.1.4.1.311.2.1.11",
    "1.3.6.1.4.1.311.2.1.12",
    "1.3.6.1.4.1.311.2.1.15",
    "1.3.6.1.4.1.311.2.1.21",
    "1.3.6.1.4.1.311.16.4",
    "1.3.6.1.5.5.7.1.1",
    "1.3.14.3.2.26",
    "2.5.4.3",
    "2.5.4.4",
    "2.5.4.6",
    "2.5.4.7",
    "2.5.4.8",
    "2.5.4.10",
    "2.5.4.11",
    "2.5.4.12",
    "2.5.4.13",
    "2.5.4.41",
    "2.5.4.42",
    "2.5.4.43",
    "2.5.4.44",
    "2.5.29.14",
    "2.5.29.15",
    "2.5.29.17",
    "2.5.29.18",
    "2.5.29.19",
    "2.5.29.31",
    "2.5.29.32",
    "2.5.29.35",
    "2.5.29.37",
    "2.16.840.1.101.3.4.2.1",
    "2.16.840.1.101.3.4.2.2",
    "2.16.840.1.101.3.4.2.3",
    "2.16.840.1.101.3.4.2.4",
];

/// Named since 6.1.
const SINCE_6_1: [&str; 20] = [
    "1.2.752.43.14.2",
    "1.2.752.43.14.3",
    "1.2.840.10045.3.1.1",
    "1.2.840.10045.3.1.7",
    "1.2.840.10045.4.3.1",
    "1.2.840.10045.4.3.2",
    "1.2.840.10045.4.3.3",
    "1.2.840.10045.4.3.4",
    "1.2.840.48018.1.2.2",
    "1.2.840.113554.1.2.2",
    "1.2.840.113554.1.2.2.3",
    "1.3.5.1.5.2.7",
    "1.3.6.1.4.1.311.2.2.10",
    "1.3.6.1.5.2.5",
    "1.3.6.1.5.5.2",
    "1.3.6.1.5.5.14",
    "1.3.132.0.34",
    "2.23.133.10.1.3",
    "2.23.133.10.1.4",
    "2.23.133.10.1.5",
];

/// Named since 6.12.
const SINCE_6_12: [&str; 11] = [
    "1.3.6.1.4.1.311.2.2.30",
    "1.3.132.0.35",
    "2.16.840.1.101.3.4.2.8",
    "2.16.840.1.101.3.4.2.9",
    "2.16.840.1.101.3.4.2.10",
    "2.16.840.1.101.3.4.3.10",
    "2.16.840.1.101.3.4.3.11",
    "2.16.840.1.101.3.4.3.12",
    "2.16.840.1.101.3.4.3.14",
    "2.16.840.1.101.3.4.3.15",
    "2.16.840.1.101.3.4.3.16",
];

/// Named since 7.2.
const SINCE_7_2: [&str; 3] = ["2.16.840.1.101.3.4.3.17", "2.16.840.1.101.3.4.3.18", "2.16.840.1.101.3.4.3.19"];

/// Named up to 6.1.
const UNTIL_6_1: [&str; 6] = [
    "1.2.840.113549.1.1.2",
    "1.2.840.113549.1.1.3",
    "1.2.840.113549.1.1.4",
    "1.2.840.113549.2.2",
    "1.2.840.113549.2.4",
    "1.2.840.113549.2.5",
];

/// What a signature's digest or algorithm is to a kernel's parser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParserSupport {
    /// It goes on.
    Yes,
    /// It stops: ENOPKG.
    No,
    /// The nearest versions whose sources were read differ.
    Unclear,
}

/// A kernel, by its place among the versions that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Registry {
    version: (u32, u32),
    /// The columns between which it lies: two that are equal, or neighbours.
    below: usize,
    above: usize,
}

impl Registry {
    /// That of a version. An older or newer one than those that were read is taken for the nearest.
    pub(crate) fn of(version: (u32, u32)) -> Registry {
        let below = READ.iter().rposition(|read| *read <= version);
        let above = READ.iter().position(|read| *read >= version);
        let (below, above) = (below.unwrap_or(0), above.unwrap_or(READ.len() - 1));
        Registry { version, below: below.min(above), above: above.max(below) }
    }

    /// Is an object identifier named? `None` where that is not known.
    pub(crate) fn names(self, oid: &str) -> Option<bool> {
        let of = |list: &[&str], columns: [bool; 4]| list.contains(&oid).then_some(columns);
        let columns = of(&ALWAYS, [true; 4])
            .or_else(|| of(&SINCE_6_1, [false, true, true, true]))
            .or_else(|| of(&SINCE_6_12, [false, false, true, true]))
            .or_else(|| of(&SINCE_7_2, [false, false, false, true]))
            .or_else(|| of(&UNTIL_6_1, [true, true, false, false]))
            .unwrap_or_default();
        self.column(columns)
    }

    /// The number that is printed for an object identifier without a name; only for versions that were read.
    fn nameless(self) -> Option<u32> {
        let at = READ.iter().position(|read| *read == self.version)?;
        NAMED.get(at).copied()
    }

    /// The number that is printed for a name that the parser does not take; only where it was counted.
    pub(crate) fn number(self, oid: &str) -> Option<u32> {
        match self.names(oid)? {
            false => self.nameless(),
            // RSA with SHA-3 has names since 6.12, at the end of the list of then.
            true => {
                let at = ["14", "15", "16"].iter().position(|last| oid.strip_prefix(SIGNATURES) == Some(*last))?;
                (self.below >= 2).then_some(100 + at as u32)
            }
        }
    }

    fn column(self, columns: [bool; 4]) -> Option<bool> {
        let (below, above) = (columns.get(self.below)?, columns.get(self.above)?);
        (below == above).then_some(*below)
    }

    /// Does the parser take this digest (`pkcs7_sig_note_digest_algo`)?
    pub(crate) fn takes_digest(self, oid: &str) -> ParserSupport {
        let columns = match oid {
            "1.3.14.3.2.26"
            | "2.16.840.1.101.3.4.2.1"
            | "2.16.840.1.101.3.4.2.2"
            | "2.16.840.1.101.3.4.2.3"
            | "2.16.840.1.101.3.4.2.4" => [true; 4],
            // MD4 and MD5
            "1.2.840.113549.2.4" | "1.2.840.113549.2.5" => [true, true, false, false],
            // SM3 and Streebog
            "1.2.156.10197.1.401" | "1.2.643.7.1.1.2.2" | "1.2.643.7.1.1.2.3" => [false, true, true, true],
            // SHA-3
            "2.16.840.1.101.3.4.2.8" | "2.16.840.1.101.3.4.2.9" | "2.16.840.1.101.3.4.2.10" => {
                [false, false, true, true]
            }
            _ => [false; 4],
        };
        self.known(columns)
    }

    /// Does the parser take this algorithm of a key (`pkcs7_sig_note_pkey_algo`)?
    pub(crate) fn takes_algorithm(self, oid: &str) -> ParserSupport {
        let columns = match oid {
            "1.2.840.113549.1.1.1" => [true; 4],
            // ECDSA with SHA-1 and SHA-2, since 5.13
            "1.2.840.10045.4.1"
            | "1.2.840.10045.4.3.1"
            | "1.2.840.10045.4.3.2"
            | "1.2.840.10045.4.3.3"
            | "1.2.840.10045.4.3.4" => {
                return if self.version >= (5, 13) { ParserSupport::Yes } else { ParserSupport::No };
            }
            // ECDSA with SHA-3
            "2.16.840.1.101.3.4.3.10" | "2.16.840.1.101.3.4.3.11" | "2.16.840.1.101.3.4.3.12" => {
                [false, false, true, true]
            }
            // SM2, and the keys of GOST
            "1.2.156.10197.1.501" => [false, true, false, false],
            "1.2.643.7.1.1.1.1" | "1.2.643.7.1.1.1.2" => [false, true, true, true],
            // ML-DSA: "since 7.0" is what was measured
            "2.16.840.1.101.3.4.3.17" | "2.16.840.1.101.3.4.3.18" | "2.16.840.1.101.3.4.3.19" => {
                return if self.version >= (7, 0) {
                    ParserSupport::Yes
                } else {
                    self.known([false, false, false, true])
                };
            }
            _ => [false; 4],
        };
        self.known(columns)
    }

    fn known(self, columns: [bool; 4]) -> ParserSupport {
        match self.column(columns) {
            Some(true) => ParserSupport::Yes,
            Some(false) => ParserSupport::No,
            None => ParserSupport::Unclear,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MD5: &str = "1.2.840.113549.2.5";
    const ECDSA: &str = "1.2.840.10045.4.3.2";

    #[test]
    fn between_versions_that_differ_the_answer_is_unknown() {
        let of = |major, minor| Registry::of((major, minor));
        assert_eq!(
            [(5, 10), (6, 1), (6, 6), (6, 12), (7, 3)].map(|v| Registry::of(v).takes_digest(MD5)),
            [ParserSupport::Yes, ParserSupport::Yes, ParserSupport::Unclear, ParserSupport::No, ParserSupport::No]
        );
        assert_eq!(
            (of(6, 6).names(MD5), of(4, 4).names(MD5), of(7, 2).names("1.2.3")),
            (None, Some(true), Some(false))
        );
        assert_eq!(
            (of(5, 12).takes_algorithm(ECDSA), of(5, 13).takes_algorithm(ECDSA)),
            (ParserSupport::No, ParserSupport::Yes)
        );
    }

    #[test]
    fn the_number_of_nameless_ones_is_known_where_it_was_counted() {
        assert_eq!(
            [(5, 10), (6, 1), (6, 12), (7, 2), (6, 6)].map(|v| Registry::of(v).nameless()),
            [Some(78), Some(98), Some(103), Some(106), None]
        );
        let counts = [(5, 10), (6, 1), (6, 12), (7, 2)].map(|version| {
            let registry = Registry::of(version);
            let lists = [&ALWAYS[..], &SINCE_6_1, &SINCE_6_12, &SINCE_7_2, &UNTIL_6_1];
            lists.into_iter().flatten().filter(|oid| registry.names(oid) == Some(true)).count() as u32
        });
        assert_eq!(counts, NAMED);
    }
}
