//! Lists of trusted keys: `allowed_signers` (ssh-keygen(1), ALLOWED SIGNERS), and public keys, one per line. Pure.

use jiff::Zoned;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::wildcard::{self, Bracket};

/// A trusted key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TrustedKey {
    /// The principals, or the comment of a public key.
    pub(super) name: String,
    /// The key in text: its kind and base64.
    pub(super) key: String,
    /// The options, each with its value.
    options: Vec<(String, Option<String>)>,
}

/// Reads a list. Lines without a key are ignored.
pub(super) fn parse(list: &str) -> Vec<TrustedKey> {
    list.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<TrustedKey> {
    let fields = fields(line);
    if fields.first().is_none_or(|first| first.starts_with('#')) {
        return None;
    }
    let at = fields.iter().position(|field| is_kind(field))?;
    let (before, key) = fields.split_at(at);
    let (kind, base64) = (key.first()?, key.get(1)?);
    let comment = || key.get(2..).unwrap_or_default().join(" ");
    let name = before.first().map_or_else(comment, |principals| principals.replace('"', ""));
    let options = before.get(1..).unwrap_or_default().iter().flat_map(|field| split(field, ',')).map(|option| {
        match option.split_once('=') {
            Some((name, value)) => (name.to_ascii_lowercase(), Some(value.trim_matches('"').to_owned())),
            None => (option.to_ascii_lowercase(), None),
        }
    });
    Some(TrustedKey { name, key: format!("{kind} {base64}"), options: options.collect() })
}

/// Whether this is the name of a kind of key.
fn is_kind(field: &str) -> bool {
    ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"].iter().any(|start| field.starts_with(start))
        && !field.contains(['@', ','])
        || ["sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"].contains(&field)
}

/// The fields of a line; a quoted text is one field or a part of one.
fn fields(line: &str) -> Vec<String> {
    split(line, ' ').into_iter().flat_map(|field| split(&field, '\t')).filter(|field| !field.is_empty()).collect()
}

/// Splits a text outside of quotes.
fn split(text: &str, by: char) -> Vec<String> {
    let (mut parts, mut is_quoted) = (vec![String::new()], false);
    for letter in text.chars() {
        is_quoted ^= letter == '"';
        match parts.last_mut() {
            Some(last) if letter != by || is_quoted => last.push(letter),
            _ => parts.push(String::new()),
        }
    }
    parts
}

impl TrustedKey {
    /// Why it is not trusted for this purpose at this time.
    pub(super) fn objection(&self, namespace: &str, now: &Zoned) -> Option<String> {
        self.options.iter().find_map(|(name, value)| {
            let value = value.as_deref().unwrap_or_default();
            match name.as_str() {
                "namespaces" => (!value.split(',').any(|pattern| matches(pattern, namespace)))
                    .then(|| format!("it is only for {value:?}")),
                "valid-after" => match time(value) {
                    Some(from) if now >= from => None,
                    _ => Some(format!("it is valid after {value}")),
                },
                "valid-before" => match time(value) {
                    Some(until) if now < until => None,
                    _ => Some(format!("it is valid before {value}")),
                },
                "cert-authority" => Some("it signs certificates".to_owned()),
                other => Some(format!("it has the unknown option {other:?}")),
            }
        })
    }
}

/// Whether a pattern with `*` and `?` matches (ssh_config(5), PATTERNS). A negated one matches nothing.
fn matches(pattern: &str, text: &str) -> bool {
    wildcard::matches(pattern.as_bytes(), text.as_bytes(), Bracket::Literal)
}

/// A time: `YYYYMMDD`, `YYYYMMDDHHMM` or `YYYYMMDDHHMMSS`, in local time, or in UTC with a `Z`.
fn time(text: &str) -> Option<Zoned> {
    let (digits, zone) = match text.strip_suffix('Z') {
        Some(digits) => (digits, TimeZone::UTC),
        None => (text, TimeZone::system()),
    };
    let form = match digits.len() {
        8 => "%Y%m%d%H%M%S",
        12 | 14 => "%Y%m%d%H%M%S",
        _ => return None,
    };
    let padded = format!("{digits:0<14}");
    DateTime::strptime(form, padded).ok()?.to_zoned(zone).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE";

    fn objection(options: &str) -> Option<String> {
        let now = "2026-06-01T12:00:00[UTC]".parse().unwrap();
        parse(&format!("a@b {options} {KEY}")).remove(0).objection("kmodlab-vault", &now)
    }

    #[test]
    fn both_forms_of_lines_are_read() {
        let list = format!(
            "# a comment\n\n{KEY} me@here, at work\nme@here,you@* {KEY}\n\"a b\" namespaces=\"x,y z\",valid-before=\"20260101\" {KEY} c\nnothing\n"
        );
        let read = parse(&list);
        assert_eq!(
            read.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(),
            ["me@here, at work", "me@here,you@*", "a b"]
        );
        assert!(read.iter().all(|key| key.key == KEY));
        let options = [("namespaces", "x,y z"), ("valid-before", "20260101")];
        assert_eq!(read[2].options, options.map(|(name, value)| (name.to_owned(), Some(value.to_owned()))));
    }

    #[test]
    fn a_key_is_trusted_for_its_namespaces_and_times() {
        for fit in [
            "",
            "namespaces=\"git,kmodlab-*\"",
            "namespaces=\"*\"",
            "valid-after=\"20260601Z\"",
            "valid-before=20270101",
        ] {
            assert_eq!(objection(fit), None, "{fit}");
        }
        for unfit in [
            "namespaces=\"git\"",
            "namespaces=\"kmodlab\"",
            "namespaces=\"\"",
            "valid-after=\"202606011201Z\"",
            "valid-before=\"20260601120000Z\"",
            "valid-before=soon",
            "cert-authority",
            "no-such-option",
        ] {
            assert!(objection(unfit).is_some(), "{unfit}");
        }
    }
}
