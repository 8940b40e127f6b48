//! What the first process of a guest reports of a trial (`init.c`), line by line.

use serde::{Deserialize, Serialize};

/// The observations of a trial.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// The result of finit_module(2), 0 for success; `None` if the call never returned.
    pub(crate) errno: Option<i64>,
    /// The trace event module:module_load, which shows that the loader accepted the module: its name and taints.
    pub(crate) accepted: Option<String>,
    /// The module's taint in /sys/module.
    pub(crate) module_taint: Option<String>,
    /// The result of delete_module(2).
    pub(crate) unloaded: Option<i64>,
    /// The kernel's taint before and after.
    pub(crate) taint: Option<(u64, u64)>,
    /// The lines of the log; if the guest ended, the end of the console.
    pub(crate) log: Vec<String>,
    /// The status of the process; `None` if the guest ended first, -1 if the process never ended.
    pub(crate) status: Option<i64>,
    /// Lines of [`ONCE`](crate::machines::guest::ONCE) that were logged earlier since the boot.
    pub(crate) earlier: Vec<String>,
}

impl Seen {
    /// Did the guest end before the kernel accepted or refused the module?
    pub(crate) fn has_no_answer(&self) -> bool {
        self.accepted.is_none() && self.errno.is_none()
    }
}

/// The report of a trial, as far as it has come.
pub(crate) struct Report {
    pub(crate) number: usize,
    pub(crate) seen: Seen,
    /// How many lines have come.
    lines: usize,
    /// How many lines the process that loads the module has sent, if it came to its end.
    of_loader: Option<i64>,
}

impl Report {
    /// `earlier` has the lines of `ONCE` that were logged earlier since the boot.
    pub(crate) fn begin(number: usize, earlier: &[String]) -> Report {
        let seen = Seen { earlier: earlier.to_vec(), ..Seen::default() };
        Report { number, seen, lines: 1, of_loader: None }
    }

    /// Takes a line by its first word and the rest.
    pub(crate) fn add(&mut self, word: &str, rest: &str) {
        self.lines += 1;
        let seen = &mut self.seen;
        match word {
            "r" => seen.errno = Some(rest.parse().expect("the module is there")),
            "t" => seen.accepted = Some(rest.to_owned()),
            "a" => seen.module_taint = Some(rest.to_owned()),
            "u" => seen.unloaded = rest.parse().ok(),
            "c" => self.of_loader = rest.parse().ok(),
            // Those of our first process are not the kernel's.
            "l" if rest.starts_with("kmodlab: ") => {}
            "l" => seen.log.push(unescaped(rest)),
            "w" => seen.taint = rest.split_once(' ').map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap())),
            other => panic!("a report has no {other:?}"),
        }
    }

    /// Takes the last line of a report: the trial's number, how many lines the first process has sent, and the status of the process that
    /// loads the module. Have all lines come? Of a process that was killed nobody knows how many there were.
    pub(crate) fn end(&mut self, rest: &str) -> bool {
        let numbers: Vec<i64> = rest.split(' ').map(|number| number.parse().unwrap()).collect();
        let [number, of_first, status] = numbers[..] else { panic!("the end of a report is {rest:?}") };
        self.seen.status = Some(status);
        let (lines, is_killed) = (self.lines as i64, status != 0 && status != 256);
        number == self.number as i64
            && match self.of_loader {
                Some(of_loader) => lines == of_first + of_loader + 1,
                None => is_killed && lines >= of_first,
            }
    }
}

/// A line without its checksum, or `None` if the checksum is wrong.
pub(crate) fn checked(line: &str) -> Option<&str> {
    let (sum, text) = line.split_once(' ')?;
    let add = |sum: u32, byte: u8| (sum ^ u32::from(byte)).wrapping_mul(16_777_619);
    let right = text.bytes().fold(2_166_136_261, add);
    (u32::from_str_radix(sum, 16) == Ok(right)).then_some(text)
}

/// Decodes bytes that the log escapes as \xNN.
fn unescaped(text: &str) -> String {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend_from_slice(&part.as_bytes()[2..]);
            }
            None => bytes.extend_from_slice(&[b"\\x", part.as_bytes()].concat()),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module that was accepted, up to the line that ends the report.
    const LINES: [&str; 9] = [
        "r 0",
        "t dummy OE",
        "a OE",
        "u 0",
        "c 4",
        "l kmodlab: begin 7",
        "l dummy: a line",
        "l kmodlab: end 7",
        "w 0 12288",
    ];

    fn report(lines: &[&str]) -> Report {
        let mut report = Report::begin(7, &[]);
        for line in lines {
            let (word, rest) = line.split_once(' ').unwrap();
            report.add(word, rest);
        }
        report
    }

    #[test]
    fn a_report_that_came_completely_is_taken() {
        let mut all = report(&LINES);
        assert!(all.end("7 5 0"));
        assert_eq!((all.seen.errno, all.seen.status, all.seen.taint), (Some(0), Some(0), Some((0, 12288))));
        assert_eq!(all.seen.log, ["dummy: a line"]);
    }

    #[test]
    fn a_report_with_a_lost_line_is_not_taken() {
        for (lost, line) in LINES.iter().enumerate() {
            let rest: Vec<&str> =
                LINES.iter().enumerate().filter(|(at, _)| *at != lost).map(|(_, line)| *line).collect();
            assert!(!report(&rest).end("7 5 0"), "{line}");
        }
        // The end of one and the beginning of the next.
        assert!(!report(&LINES).end("8 5 0"));
    }

    #[test]
    fn a_report_of_a_process_that_was_killed_is_taken_if_the_lines_of_the_first_process_came() {
        assert!(report(&LINES[5..]).end("7 5 11"));
        assert!(!report(&LINES[6..]).end("7 5 11"));
    }
}
