//! The expressions of `#if` (C11 6.10.1): integers of 64 bits, with C's operators.

use super::limits::MOST_NESTED;
use super::token::{PreprocessorToken, TokenClass};

/// Is the expression true? Its macros are already expanded; `is_defined` evaluates `defined`.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn evaluate(tokens: &[PreprocessorToken], is_defined: &dyn Fn(&[u8]) -> bool) -> Result<bool, &'static str> {
    let mut parser = ExpressionParser { tokens, at: 0, is_defined, depth: 0 };
    let value = parser.ternary(true)?;
    match parser.peek() {
        None => Ok(value.bits != 0),
        Some(_) => Err("it has text after its end"),
    }
}

#[derive(Clone, Copy)]
struct ExpressionValue {
    bits: u64,
    unsigned: bool,
}

impl ExpressionValue {
    fn truth(is: bool) -> Self {
        ExpressionValue { bits: u64::from(is), unsigned: false }
    }

    fn signed(self) -> i64 {
        self.bits.cast_signed()
    }
}

struct ExpressionParser<'a> {
    tokens: &'a [PreprocessorToken],
    at: usize,
    is_defined: &'a dyn Fn(&[u8]) -> bool,
    depth: usize,
}

/// Binary operators, those with the lowest precedence first.
const LEVELS: [&[&[u8]]; 10] = [
    &[b"||"],
    &[b"&&"],
    &[b"|"],
    &[b"^"],
    &[b"&"],
    &[b"==", b"!="],
    &[b"<", b">", b"<=", b">="],
    &[b"<<", b">>"],
    &[b"+", b"-"],
    &[b"*", b"/", b"%"],
];

impl<'a> ExpressionParser<'a> {
    fn peek(&self) -> Option<&'a PreprocessorToken> {
        self.tokens.get(self.at)
    }

    fn take_sign(&mut self, sign: &[u8]) -> bool {
        let is_it = self.peek().is_some_and(|token| token.is(sign));
        self.at += usize::from(is_it);
        is_it
    }

    fn deeper(&mut self) -> Result<(), &'static str> {
        self.depth += 1;
        if self.depth > MOST_NESTED { Err("it is nested too deeply") } else { Ok(()) }
    }

    /// `a ? b : c`. An operand that is not live is parsed, but not computed: a division by zero in it is not an error.
    fn ternary(&mut self, live: bool) -> Result<ExpressionValue, &'static str> {
        self.deeper()?;
        let condition = self.binary(0, live)?;
        let value = if self.take_sign(b"?") {
            let is = condition.bits != 0;
            let yes = self.ternary(live && is)?;
            if !self.take_sign(b":") {
                return Err("a '?' has no ':'");
            }
            let no = self.ternary(live && !is)?;
            let chosen = if is { yes } else { no };
            ExpressionValue { bits: chosen.bits, unsigned: yes.unsigned || no.unsigned }
        } else {
            condition
        };
        self.depth -= 1;
        Ok(value)
    }

    fn binary(&mut self, level: usize, live: bool) -> Result<ExpressionValue, &'static str> {
        let Some(&signs) = LEVELS.get(level) else { return self.unary(live) };
        let mut left = self.binary(level + 1, live)?;
        while let Some(sign) = self.peek().filter(|token| signs.iter().any(|sign| token.is(sign))) {
            self.at += 1;
            let sign: &[u8] = &sign.text;
            let decided = match sign {
                b"||" => left.bits != 0,
                b"&&" => left.bits == 0,
                _ => false,
            };
            let right = self.binary(level + 1, live && !decided)?;
            left = compute(left, sign, right, live && !decided)?;
        }
        Ok(left)
    }

    fn unary(&mut self, live: bool) -> Result<ExpressionValue, &'static str> {
        let Some(token) = self.peek() else { return Err("it ends too early") };
        self.at += 1;
        match token.kind {
            TokenClass::Number => number(&token.text),
            TokenClass::Character => character(&token.text),
            TokenClass::Name if *token.text == *b"defined" => self.defined(),
            // All other names are 0. What looks like a call of one is an error in gcc too.
            TokenClass::Name if self.peek().is_some_and(|next| next.is(b"(")) => {
                Err("it calls a name that is not a macro")
            }
            TokenClass::Name => Ok(ExpressionValue { bits: 0, unsigned: false }),
            TokenClass::Sign => {
                self.deeper()?;
                let value = match &*token.text {
                    b"(" => {
                        let value = self.ternary(live)?;
                        if !self.take_sign(b")") {
                            return Err("a bracket is not closed");
                        }
                        value
                    }
                    b"!" => ExpressionValue::truth(self.unary(live)?.bits == 0),
                    b"~" => {
                        let value = self.unary(live)?;
                        ExpressionValue { bits: !value.bits, ..value }
                    }
                    b"-" => {
                        let value = self.unary(live)?;
                        ExpressionValue { bits: value.bits.wrapping_neg(), ..value }
                    }
                    b"+" => self.unary(live)?,
                    _ => return Err("an operator has no operand"),
                };
                self.depth -= 1;
                Ok(value)
            }
            TokenClass::Text | TokenClass::Nothing => Err("it contains a string"),
        }
    }

    fn defined(&mut self) -> Result<ExpressionValue, &'static str> {
        let opens = self.take_sign(b"(");
        let Some(name) = self.peek().filter(|token| token.kind == TokenClass::Name) else {
            return Err("'defined' has no name");
        };
        self.at += 1;
        if opens && !self.take_sign(b")") {
            return Err("a bracket is not closed");
        }
        Ok(ExpressionValue::truth((self.is_defined)(&name.text)))
    }
}

fn compute(
    left: ExpressionValue,
    sign: &[u8],
    right: ExpressionValue,
    live: bool,
) -> Result<ExpressionValue, &'static str> {
    let unsigned = left.unsigned || right.unsigned;
    let (a, b) = (left.bits, right.bits);
    let is_less = if unsigned { a < b } else { left.signed() < right.signed() };
    let number = |bits: u64| Ok(ExpressionValue { bits, unsigned });
    let truth = |is: bool| Ok(ExpressionValue::truth(is));
    match sign {
        b"||" => truth(a != 0 || b != 0),
        b"&&" => truth(a != 0 && b != 0),
        b"|" => number(a | b),
        b"^" => number(a ^ b),
        b"&" => number(a & b),
        b"==" => truth(a == b),
        b"!=" => truth(a != b),
        b"<" => truth(is_less),
        b">=" => truth(!is_less),
        b">" => truth(!is_less && a != b),
        b"<=" => truth(is_less || a == b),
        b"<<" => {
            Ok(ExpressionValue { bits: u32::try_from(b).ok().and_then(|by| a.checked_shl(by)).unwrap_or(0), ..left })
        }
        b">>" => {
            let by = u32::try_from(b).unwrap_or(u32::MAX);
            let bits = match left.unsigned {
                true => a.checked_shr(by).unwrap_or(0),
                false => (left.signed() >> by.min(63)).cast_unsigned(),
            };
            Ok(ExpressionValue { bits, ..left })
        }
        b"+" => number(a.wrapping_add(b)),
        b"-" => number(a.wrapping_sub(b)),
        b"*" => number(a.wrapping_mul(b)),
        _ if b == 0 && live => Err("it divides by zero"),
        _ if b == 0 => number(0),
        b"/" if unsigned => number(a / b),
        b"/" => number(left.signed().wrapping_div(right.signed()).cast_unsigned()),
        _ if unsigned => number(a % b),
        _ => number(left.signed().wrapping_rem(right.signed()).cast_unsigned()),
    }
}

/// An integer: decimal, `0x`, `0b` (gcc's), octal; with a suffix of `u` and `l`.
fn number(text: &[u8]) -> Result<ExpressionValue, &'static str> {
    let text = String::from_utf8_lossy(text).to_ascii_lowercase();
    let digits = text.trim_end_matches(['u', 'l']);
    let suffix = text.get(digits.len()..).unwrap_or_default();
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x', ..] => (16, digits.get(2..).unwrap_or_default()),
        [b'0', b'b', ..] => (2, digits.get(2..).unwrap_or_default()),
        [b'0', ..] => (8, digits),
        _ => (10, digits),
    };
    let bits = u64::from_str_radix(digits, radix).map_err(|_| "a number in it cannot be read")?;
    Ok(ExpressionValue { bits, unsigned: suffix.contains('u') || (bits > i64::MAX as u64) })
}

/// A character constant of one character.
fn character(text: &[u8]) -> Result<ExpressionValue, &'static str> {
    let from = text.iter().position(|&byte| byte == b'\'').map_or(0, |at| at + 1);
    let inner = text.get(from..text.len().saturating_sub(1)).unwrap_or_default();
    match super::literal::unescaped(inner).as_deref() {
        Some([byte]) => Ok(ExpressionValue { bits: u64::from(*byte), unsigned: false }),
        _ => Err("a character in it cannot be read"),
    }
}
