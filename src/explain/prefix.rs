//! What logs and people put before a line: time stamps, levels, hosts, programs, quotation marks.

/// The most bytes of a line that are read: a record of the kernel's log has 1024 (PRINTKRB_RECORD_MAX).
pub(super) const LONGEST: usize = 4096;

/// How often what may come before a line is looked for. A syslog's line about a record of the kernel's log needs four.
const MOST_ROUNDS: usize = 8;

/// A line without what a log or a person put before it.
pub(super) fn strip(line: &str) -> &str {
    let mut line = line.get(..line.floor_char_boundary(LONGEST)).unwrap_or(line);
    for _ in 0..MOST_ROUNDS {
        let before = line.len();
        line =
            line.trim_start_matches([' ', '\t', '>', '|', '`', '*', '#', '$', '•']).trim_end_matches(['\r', '\n', '`']);
        line = level(line).unwrap_or(line);
        line = bracketed(line).unwrap_or(line);
        line = dated(line).unwrap_or(line);
        line = named(line).unwrap_or(line);
        if line.len() == before {
            break;
        }
    }
    line
}

/// `<4>`, and `kern  :err   : ` (dmesg -x).
fn level(line: &str) -> Option<&str> {
    if let Some(rest) = line.strip_prefix('<') {
        let (digits, rest) = rest.split_once('>')?;
        return (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(rest);
    }
    let rest = line.strip_prefix("kern")?.trim_start().strip_prefix(':')?;
    let (level, rest) = rest.split_once(':')?;
    level.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b' ').then(|| rest.trim_start())
}

/// `[   12.345678] `, `[Tue Sep  5 10:53:29 2023] `, `[  T740] `, `[  +0,000007] `, `(0)[4410:insmod]`, `[9:  modprobe:  465] `:
/// a bracket whose contents begin with a space, a digit, a sign, or a day or month.
fn bracketed(line: &str) -> Option<&str> {
    if let Some(rest) = line.strip_prefix('(') {
        let (digits, rest) = rest.split_once(')')?;
        return (digits.bytes().all(|byte| byte.is_ascii_digit()) && rest.starts_with('[')).then_some(rest);
    }
    let (inside, rest) = line.strip_prefix('[')?.split_once(']')?;
    let inside = inside.trim();
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || b".,+-: ".contains(&byte));
    let is_caller = inside.strip_prefix(['T', 'C']).is_some_and(is_number);
    let is_date = inside.contains(':') && inside.bytes().any(|byte| byte.is_ascii_digit()) && inside.len() < 40;
    (inside == "..." || is_number(inside) || is_caller || is_date).then(|| rest.trim_start_matches(' '))
}

/// `Sep  5 10:53:29 `, `2023-09-05T10:53:29.123456+02:00 `, `Thu Dec 14 21:48:00 2023 kern.warn `, `01-01 10:12:48.522     1     1 I `,
/// `12.345678: `.
fn dated(line: &str) -> Option<&str> {
    let mut rest = line;
    let mut has_time = false;
    while let Some((word, after)) = rest.split_once(' ') {
        let has_digit = word.bytes().any(|byte| byte.is_ascii_digit());
        let is_time = (has_digit || has_time)
            && word.contains(':')
            && word.bytes().all(|byte| byte.is_ascii_digit() || b":.,TZ+-".contains(&byte));
        let is_day = word.len() == 3 && word.chars().next().is_some_and(char::is_alphabetic) && !has_time;
        let is_number = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        let is_priority = has_time && matches!(word, "V" | "D" | "I" | "W" | "E" | "F");
        if !(is_time || is_day || is_number || is_priority || word.is_empty()) {
            break;
        }
        has_time |= is_time;
        rest = after;
    }
    (has_time && rest.len() < line.len()).then_some(rest)
}

/// `kernel: `, `host kernel: `, `kern.warn kernel: `, `init: `, `systemd-modules-load[123]: `, `kmodloader: `.
fn named(line: &str) -> Option<&str> {
    let (before, rest) = line.split_once(": ")?;
    let last = before.rsplit(' ').next().unwrap_or(before);
    let name = last.split('[').next().unwrap_or(last);
    let is_log =
        matches!(name, "kernel" | "init" | "kmodloader" | "systemd-modules-load" | "systemd-udevd" | "ueventd");
    (is_log && before.split(' ').count() <= 3).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_logs_put_before_a_line_is_stripped() {
        let line = "foo: Unknown symbol bar (err -2)";
        for before in [
            "",
            "[   12.345678] ",
            "<4>[   12.345678] ",
            "[    3.488761][  T740] ",
            "[Tue Sep  5 10:53:29 2023] ",
            "[  +0,000007] ",
            "[...] ",
            "Sep  5 10:53:29 host kernel: ",
            "Sep 05 10:53:29 host kernel: [   12.345678] ",
            "2023-09-05T10:53:29.123456+02:00 host kernel: ",
            "Thu Dec 14 21:48:00 2023 kern.warn kernel: [    9.067789] ",
            "kern  :warn  : [   12.345678] ",
            "<4>[ 4283.531083] (0)[4410:insmod]",
            "12-01 10:12:48.522     0     0 W         : ",
            "> [ 1010.571466] ",
            "   ",
        ] {
            let stripped = strip(&format!("{before}{line}")).trim_start_matches(": ").to_owned();
            assert_eq!(stripped, line, "{before:?}");
        }
    }

    #[test]
    fn a_lines_own_beginning_stays() {
        for line in
            ["modprobe: ERROR: could not insert 'foo': Exec format error", "BPF: \t type_id=34", "[drm] Initialized"]
        {
            assert_eq!(strip(line), line);
        }
    }
}
