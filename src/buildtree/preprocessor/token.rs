//! A header's directives as tokens: comments are removed, spliced lines joined, and all other lines skipped.

use std::rc::Rc;

/// The class of a preprocessing token (C11 6.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenClass {
    /// A name, which can be a macro.
    Name,
    /// A preprocessing number.
    Number,
    /// A string literal, with its quotation marks and its prefix, if any.
    Text,
    /// A character constant.
    Character,
    /// An operator, a bracket, or any other character.
    Sign,
    /// A placemarker: an empty argument next to `##` (C11 6.10.3.3).
    Nothing,
}

/// The position of a token: the number of its file, and its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TokenPosition {
    pub(super) file: u32,
    pub(super) line: u32,
}

/// One token.
#[derive(Clone, Debug)]
pub(super) struct PreprocessorToken {
    pub(super) kind: TokenClass,
    pub(super) text: Rc<[u8]>,
    /// Is there a space before it?
    pub(super) spaced: bool,
    /// A macro's name within its own expansion: never expanded again (C11 6.10.3.4).
    pub(super) settled: bool,
    pub(super) spot: TokenPosition,
    /// The number of the branch that contains it.
    pub(super) branch: u32,
}

impl PreprocessorToken {
    pub(super) fn is(&self, sign: &[u8]) -> bool {
        self.kind == TokenClass::Sign && *self.text == *sign
    }

    pub(super) fn is_name(&self, name: &[u8]) -> bool {
        self.kind == TokenClass::Name && *self.text == *name
    }
}

/// A directive: the text between `#` and the end of its line, without comments.
#[derive(Debug)]
pub(super) struct Directive {
    text: Vec<u8>,
    /// Offsets in the text at which a new line of the file begins, with that line's number.
    lines: Vec<(usize, u32)>,
}

impl Directive {
    /// The line on which the directive begins.
    pub(super) fn line(&self) -> u32 {
        self.lines.first().map_or(0, |&(_, line)| line)
    }

    /// Its length in bytes.
    pub(super) fn length(&self) -> usize {
        self.text.len()
    }

    /// The directive's name (`define`), and the offset after it.
    pub(super) fn name(&self) -> (&[u8], usize) {
        let start = self.text.iter().position(|byte| !is_space(*byte)).unwrap_or(self.text.len());
        let rest = self.text.get(start..).unwrap_or_default();
        let length = rest.iter().position(|&byte| !is_name_byte(byte)).unwrap_or(rest.len());
        (rest.get(..length).unwrap_or_default(), start + length)
    }

    /// The text after an offset.
    pub(super) fn rest(&self, from: usize) -> &[u8] {
        self.text.get(from..).unwrap_or_default().trim_ascii()
    }

    /// The tokens after an offset.
    pub(super) fn tokens(&self, from: usize, file: u32, branch: u32) -> Vec<PreprocessorToken> {
        let spot = |at: usize| {
            let next = self.lines.partition_point(|&(offset, _)| offset <= at);
            let line = self.lines.get(next.saturating_sub(1)).map_or(0, |&(_, line)| line);
            TokenPosition { file, line }
        };
        let mut tokens = Vec::new();
        let mut at = from;
        while let Some(piece) = next(&self.text, at) {
            let text = self.text.get(piece.start..piece.end).unwrap_or_default().into();
            let spaced = piece.start > at;
            at = piece.end;
            tokens.push(PreprocessorToken {
                kind: piece.kind,
                text,
                spaced,
                settled: false,
                spot: spot(piece.start),
                branch,
            });
        }
        tokens
    }
}

/// The tokens of a text that is not in a file: of a given definition, of two tokens pasted together.
pub(super) fn tokens_of(text: &[u8], spot: TokenPosition, branch: u32) -> Vec<PreprocessorToken> {
    Directive { text: text.to_vec(), lines: vec![(0, spot.line)] }.tokens(0, spot.file, branch)
}

/// The directives of a file, in order.
pub(super) fn directives(bytes: &[u8]) -> Vec<Directive> {
    let mut found = Vec::new();
    let mut reader = SourceReader { bytes, at: 0, line: 1 };
    while reader.at < bytes.len() {
        if let Some(directive) = logical_line(&mut reader) {
            found.push(directive);
        }
    }
    found
}

/// Bytes without splices (C11 5.1.1.2, phase 2).
struct SourceReader<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u32,
}

impl SourceReader<'_> {
    /// Skips backslashes at ends of lines. As in gcc, spaces between the two are allowed, and `\r\n` is an end.
    fn splice(&mut self) {
        while self.bytes.get(self.at) == Some(&b'\\') {
            let rest = self.bytes.get(self.at + 1..).unwrap_or_default();
            let spaces = rest.iter().take_while(|&&byte| byte != b'\n' && is_space(byte)).count();
            if rest.get(spaces) != Some(&b'\n') {
                return;
            }
            self.at += spaces + 2;
            self.line += 1;
        }
    }

    fn peek(&mut self) -> Option<u8> {
        self.splice();
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        if byte == b'\n' {
            self.line += 1;
        }
        Some(byte)
    }
}

/// Reads one line; the directive, if it is one.
fn logical_line(reader: &mut SourceReader) -> Option<Directive> {
    let mut text: Vec<u8> = Vec::new();
    let mut lines: Vec<(usize, u32)> = Vec::new();
    let mut is_directive = None;
    while let Some(byte) = reader.peek() {
        let line = reader.line;
        reader.take();
        match byte {
            b'\n' => break,
            b'/' if reader.peek() == Some(b'*') => {
                reader.take();
                let mut before = 0;
                while let Some(byte) = reader.take() {
                    if before == b'*' && byte == b'/' {
                        break;
                    }
                    before = byte;
                }
                text.push(b' ');
            }
            b'/' if reader.peek() == Some(b'/') => {
                while reader.peek().is_some_and(|byte| byte != b'\n') {
                    reader.take();
                }
            }
            b'#' if is_directive.is_none() => {
                is_directive = Some(true);
                text.clear();
                lines.push((0, line));
            }
            _ => {
                if !is_space(byte) && is_directive.is_none() {
                    is_directive = Some(false);
                }
                let keep = is_directive == Some(true);
                let mut put = |byte: u8, line: u32| {
                    if keep {
                        if lines.last().is_some_and(|&(_, last)| last != line) {
                            lines.push((text.len(), line));
                        }
                        text.push(byte);
                    }
                };
                put(byte, line);
                if byte == b'"' || byte == b'\'' {
                    while let Some(inner) = reader.peek().filter(|&inner| inner != b'\n') {
                        let line = reader.line;
                        reader.take();
                        put(inner, line);
                        if inner == b'\\' {
                            if let Some(escaped) = reader.peek().filter(|&escaped| escaped != b'\n') {
                                let line = reader.line;
                                reader.take();
                                put(escaped, line);
                            }
                        } else if inner == byte {
                            break;
                        }
                    }
                }
            }
        }
    }
    (is_directive == Some(true)).then_some(Directive { text, lines })
}

struct Lexeme {
    kind: TokenClass,
    start: usize,
    end: usize,
}

/// The token at or after an offset.
fn next(text: &[u8], from: usize) -> Option<Lexeme> {
    let start = from + text.get(from..)?.iter().position(|&byte| !is_space(byte))?;
    let rest = text.get(start..)?;
    let first = *rest.first()?;
    let (kind, length) = match first {
        _ if is_name_byte(first) && !first.is_ascii_digit() => {
            let length = run(rest, is_name_byte);
            match (rest.get(..length), rest.get(length)) {
                (Some(b"L" | b"u" | b"U" | b"u8"), Some(&quote @ (b'"' | b'\''))) => {
                    let (kind, quoted) = quoted(rest.get(length..).unwrap_or_default(), quote);
                    (kind, length + quoted)
                }
                _ => (TokenClass::Name, length),
            }
        }
        b'"' | b'\'' => quoted(rest, first),
        b'0'..=b'9' => (TokenClass::Number, number(rest)),
        b'.' if rest.get(1).is_some_and(u8::is_ascii_digit) => (TokenClass::Number, number(rest)),
        _ => (TokenClass::Sign, SIGNS.iter().find(|sign| rest.starts_with(sign)).map_or(1, |sign| sign.len())),
    };
    Some(Lexeme { kind, start, end: start + length })
}

/// Punctuators of more than one character, the longest first (C11 6.4.6).
const SIGNS: [&[u8]; 23] = [
    b"<<=", b">>=", b"...", b"->", b"++", b"--", b"<<", b">>", b"<=", b">=", b"==", b"!=", b"&&", b"||", b"*=", b"/=",
    b"%=", b"+=", b"-=", b"&=", b"^=", b"|=", b"##",
];

fn run(bytes: &[u8], is_part: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|&byte| !is_part(byte)).unwrap_or(bytes.len())
}

/// A preprocessing number: `0x1fUL`, `1.5e-3`, `4K` (C11 6.4.8).
fn number(bytes: &[u8]) -> usize {
    let mut length = 1;
    while let Some(&byte) = bytes.get(length) {
        let before = bytes.get(length - 1).copied().unwrap_or_default();
        let is_part = is_name_byte(byte)
            || byte == b'.'
            || (matches!(byte, b'+' | b'-') && matches!(before, b'e' | b'E' | b'p' | b'P'));
        if !is_part {
            break;
        }
        length += 1;
    }
    length
}

/// A literal from its quotation mark on. Without an end it is not a literal, and the text after it cannot be split into tokens.
fn quoted(bytes: &[u8], quote: u8) -> (TokenClass, usize) {
    let mut at = 1;
    while let Some(&byte) = bytes.get(at) {
        at += if byte == b'\\' { 2 } else { 1 };
        if byte == quote {
            return (if quote == b'"' { TokenClass::Text } else { TokenClass::Character }, at);
        }
    }
    (TokenClass::Sign, bytes.len())
}

pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | 0x0b | 0x0c)
}

/// Is it part of a name? gcc also accepts `$` and bytes that are not ASCII.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words_of(text: &str) -> Vec<(String, Vec<String>)> {
        let directives = directives(text.as_bytes());
        let words = |tokens: Vec<PreprocessorToken>| {
            let word =
                |token: PreprocessorToken| format!("{}@{}", String::from_utf8_lossy(&token.text), token.spot.line);
            tokens.into_iter().map(word).collect()
        };
        directives
            .iter()
            .map(|directive| {
                let (name, after) = directive.name();
                (String::from_utf8_lossy(name).into_owned(), words(directive.tokens(after, 0, 0)))
            })
            .collect()
    }

    #[test]
    fn only_directives_are_kept_each_token_with_its_line() {
        let text =
            "struct s;\n# define A \\\n\t\"x \" \\\n  B /* and\n more */ C // end\nint don't = '#';\n  #undef A\n";
        assert_eq!(
            words_of(text),
            [
                ("define".to_owned(), ["A@2", "\"x \"@3", "B@4", "C@5"].map(str::to_owned).to_vec()),
                ("undef".to_owned(), vec!["A@7".to_owned()])
            ]
        );
    }

    #[test]
    fn directives_in_comments_and_strings_are_ignored() {
        assert_eq!(words_of("/*\n#define A\n*/\nchar *s = \"/*\";\n// x \\\n#define B\nint x; #define C\n"), []);
        assert_eq!(words_of("/* a */ #define D\n")[0].0, "define");
    }

    #[test]
    fn carriage_returns_are_part_of_the_line_end() {
        assert_eq!(
            words_of("#define A \\\r\n \"b\"\r\n#undef A\r\n")[0],
            ("define".to_owned(), vec!["A@1".to_owned(), "\"b\"@2".to_owned()])
        );
    }

    #[test]
    fn numbers_punctuators_and_literals_are_split() {
        let words = &words_of("#if 0x1fUL>=1e+3&&x->y##z...'\\''L\"a\\\"b\"+\"open\n")[0].1;
        let bare: Vec<&str> = words.iter().map(|word| word.split('@').next().unwrap()).collect();
        assert_eq!(
            bare,
            ["0x1fUL", ">=", "1e+3", "&&", "x", "->", "y", "##", "z", "...", "'\\''", "L\"a\\\"b\"", "+", "\"open"]
        );
    }
}
