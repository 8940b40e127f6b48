//! Macros and their expansion (C11 6.10.3), with gcc's `, ## __VA_ARGS__` and `args...`.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::limits::{MOST_NESTED, too_much};
use super::token::{PreprocessorToken, TokenClass, TokenPosition, tokens_of};
use crate::error::Result;

/// The name of a macro or a parameter.
pub(super) type MacroName = Rc<[u8]>;

/// The definition of a macro.
#[derive(Debug)]
pub(super) struct Macro {
    /// `None` for an object-like one.
    parameters: Option<Vec<MacroName>>,
    /// Does the last parameter take all further arguments?
    variadic: bool,
    body: Vec<BodyPart>,
    pub(super) spot: TokenPosition,
}

#[derive(Debug)]
enum BodyPart {
    Token(PreprocessorToken),
    /// A parameter, by its number; raw next to `##`, where its argument is not expanded.
    Argument {
        number: usize,
        raw: bool,
        spaced: bool,
    },
    /// `#parameter`
    Quoted {
        number: usize,
        token: PreprocessorToken,
    },
    /// `##`
    Paste,
}

impl Macro {
    /// The macro with these tokens after its name.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn of(spot: TokenPosition, tokens: Vec<PreprocessorToken>) -> Result<Macro, &'static str> {
        let is_function = tokens.first().is_some_and(|token| token.is(b"(") && !token.spaced);
        if !is_function {
            return Ok(Macro { parameters: None, variadic: false, body: body(tokens, None)?, spot });
        }
        let mut tokens = tokens.into_iter().skip(1);
        let mut parameters: Vec<MacroName> = Vec::new();
        let mut variadic = false;
        loop {
            match tokens.next() {
                Some(token) if token.is(b")") => break,
                Some(token) if token.is(b"...") && !variadic => {
                    variadic = true;
                    parameters.push((*b"__VA_ARGS__").into());
                }
                Some(token) if token.kind == TokenClass::Name && !variadic => {
                    parameters.push(token.text);
                    match tokens.next() {
                        Some(token) if token.is(b"...") => variadic = true,
                        Some(token) if token.is(b",") => {}
                        Some(token) if token.is(b")") => break,
                        _ => return Err("its parameters cannot be read"),
                    }
                }
                _ => return Err("its parameters cannot be read"),
            }
        }
        let body = body(tokens.collect(), Some(&parameters))?;
        Ok(Macro { parameters: Some(parameters), variadic, body, spot })
    }

    /// The tokens of an object-like macro, as written.
    pub(super) fn tokens(&self) -> Vec<PreprocessorToken> {
        let token = |part: &BodyPart| match part {
            BodyPart::Token(token) => Some(token.clone()),
            _ => None,
        };
        self.body.iter().filter_map(token).collect()
    }
}

fn body(tokens: Vec<PreprocessorToken>, parameters: Option<&[MacroName]>) -> Result<Vec<BodyPart>, &'static str> {
    let number_of = |token: &PreprocessorToken| {
        let is_it = |parameter: &MacroName| token.is_name(parameter);
        parameters.and_then(|parameters| parameters.iter().position(is_it))
    };
    let mut parts = Vec::with_capacity(tokens.len());
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        if token.is(b"##") {
            if parts.is_empty() || tokens.peek().is_none() {
                return Err("it begins or ends with '##'");
            }
            if let Some(BodyPart::Argument { raw, .. }) = parts.last_mut() {
                *raw = true;
            }
            parts.push(BodyPart::Paste);
        } else if token.is(b"#") && parameters.is_some() {
            let Some(number) = tokens.next().and_then(|token| number_of(&token)) else {
                return Err("'#' is not followed by a parameter");
            };
            parts.push(BodyPart::Quoted { number, token });
        } else if let Some(number) = number_of(&token) {
            let raw = matches!(parts.last(), Some(BodyPart::Paste));
            parts.push(BodyPart::Argument { number, raw, spaced: token.spaced });
        } else {
            parts.push(BodyPart::Token(token));
        }
    }
    Ok(parts)
}

/// All macros, and the remaining steps.
pub(super) struct Macros {
    pub(super) table: HashMap<MacroName, Rc<Macro>>,
    /// The macros that are being expanded.
    busy: HashSet<MacroName>,
    steps: u64,
    /// The macros that were expanded, in that order.
    pub(super) reached: Vec<MacroName>,
    /// Names that are not macros and that `#` turned into text.
    pub(super) quoted: Vec<PreprocessorToken>,
}

/// A sequence of tokens that is being read; that of a macro, if it has a name.
struct TokenRun {
    tokens: std::vec::IntoIter<PreprocessorToken>,
    of: Option<MacroName>,
}

impl Macros {
    pub(super) fn new(steps: u64) -> Self {
        Macros { table: HashMap::new(), busy: HashSet::new(), steps, reached: Vec::new(), quoted: Vec::new() }
    }

    /// Uses up steps; an error if none are left.
    pub(super) fn spend(&mut self, steps: usize) -> Result<()> {
        match self.steps.checked_sub(steps as u64) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => Err(too_much("they take more steps than a kernel's")),
        }
    }

    /// Expands tokens. In a condition the operand of `defined` is not expanded.
    pub(super) fn expand(
        &mut self,
        tokens: Vec<PreprocessorToken>,
        in_condition: bool,
    ) -> Result<Vec<PreprocessorToken>> {
        self.busy.clear();
        self.expand_within(tokens, in_condition, 0)
    }

    fn expand_within(
        &mut self,
        tokens: Vec<PreprocessorToken>,
        in_condition: bool,
        depth: usize,
    ) -> Result<Vec<PreprocessorToken>> {
        if depth > MOST_NESTED {
            return Err(too_much("their macros are nested too deeply"));
        }
        let mut out = Vec::new();
        let mut input = vec![TokenRun { tokens: tokens.into_iter(), of: None }];
        while let Some(mut token) = self.take(&mut input)? {
            if token.kind != TokenClass::Name || token.settled {
                out.push(token);
                continue;
            }
            if in_condition && token.is_name(b"defined") {
                out.push(token);
                self.keep_operand(&mut input, &mut out)?;
                continue;
            }
            let Some(definition) = self.table.get(&token.text).cloned() else {
                out.push(token);
                continue;
            };
            if self.busy.contains(&token.text) {
                token.settled = true;
                out.push(token);
                continue;
            }
            let arguments = match &definition.parameters {
                None => Vec::new(),
                Some(parameters) => {
                    if !self.opens(&mut input) {
                        out.push(token);
                        continue;
                    }
                    match self.arguments(&mut input, parameters.len(), definition.variadic)? {
                        Some(arguments) => arguments,
                        None => {
                            // A call with too few arguments, or without an end: gcc reports it, and keeps the name.
                            token.settled = true;
                            out.push(token);
                            continue;
                        }
                    }
                }
            };
            self.reached.push(token.text.clone());
            let replaced = self.replace(&definition, &token, arguments, in_condition, depth)?;
            self.busy.insert(token.text.clone());
            input.push(TokenRun { tokens: replaced.into_iter(), of: Some(token.text) });
        }
        Ok(out)
    }

    /// The next token; removes sequences that have ended.
    fn take(&mut self, input: &mut Vec<TokenRun>) -> Result<Option<PreprocessorToken>> {
        self.spend(1)?;
        while let Some(last) = input.last_mut() {
            if let Some(token) = last.tokens.next() {
                return Ok(Some(token));
            }
            self.leave(input);
        }
        Ok(None)
    }

    fn leave(&mut self, input: &mut Vec<TokenRun>) {
        if let Some(name) = input.pop().and_then(|stretch| stretch.of) {
            self.busy.remove(&name);
        }
    }

    /// Takes the next token if it is an opening bracket.
    fn opens(&mut self, input: &mut Vec<TokenRun>) -> bool {
        let next = input.iter().rev().find_map(|stretch| stretch.tokens.as_slice().first());
        if !next.is_some_and(|token| token.is(b"(")) {
            return false;
        }
        while input.last().is_some_and(|stretch| stretch.tokens.as_slice().is_empty()) {
            self.leave(input);
        }
        input.last_mut().is_some_and(|stretch| stretch.tokens.next().is_some())
    }

    /// Copies `X` or `(X)` after `defined` without expanding it.
    fn keep_operand(&mut self, input: &mut Vec<TokenRun>, out: &mut Vec<PreprocessorToken>) -> Result<()> {
        let Some(token) = self.take(input)? else { return Ok(()) };
        let opens = token.is(b"(");
        out.push(token);
        if opens {
            for _ in 0..2 {
                out.extend(self.take(input)?);
            }
        }
        Ok(())
    }

    /// The arguments up to the closing bracket; `None` if there are too few or too many, or no end. Those of `...` can be
    /// missing.
    fn arguments(
        &mut self,
        input: &mut Vec<TokenRun>,
        count: usize,
        variadic: bool,
    ) -> Result<Option<Vec<Vec<PreprocessorToken>>>> {
        let mut arguments: Vec<Vec<PreprocessorToken>> = Vec::new();
        let mut argument = Vec::new();
        let mut open = 0_usize;
        loop {
            let Some(token) = self.take(input)? else { return Ok(None) };
            let takes_all = variadic && arguments.len() + 1 >= count;
            if token.is(b")") && open == 0 {
                break;
            } else if token.is(b",") && open == 0 && !takes_all {
                arguments.push(std::mem::take(&mut argument));
                continue;
            } else if token.is(b"(") {
                open += 1;
            } else if token.is(b")") {
                open -= 1;
            }
            argument.push(token);
        }
        if count > 0 || !argument.is_empty() || !arguments.is_empty() {
            arguments.push(argument);
        }
        let is_whole = arguments.len() == count || (variadic && arguments.len() + 1 == count);
        Ok(is_whole.then_some(arguments))
    }

    /// A macro's body with its arguments.
    fn replace(
        &mut self,
        definition: &Macro,
        name: &PreprocessorToken,
        arguments: Vec<Vec<PreprocessorToken>>,
        in_condition: bool,
        depth: usize,
    ) -> Result<Vec<PreprocessorToken>> {
        let mut out: Vec<PreprocessorToken> = Vec::with_capacity(definition.body.len());
        let mut expanded: Vec<Option<Vec<PreprocessorToken>>> = vec![None; arguments.len()];
        let mut pasting = false;
        let all = definition.parameters.as_ref().filter(|_| definition.variadic).map(|names| names.len() - 1);
        for part in &definition.body {
            let pasted = std::mem::replace(&mut pasting, false);
            let tokens = match part {
                BodyPart::Paste => {
                    pasting = true;
                    continue;
                }
                BodyPart::Token(token) => vec![token.clone()],
                BodyPart::Quoted { number, token } => {
                    let argument = arguments.get(*number).map(Vec::as_slice).unwrap_or_default();
                    self.quoted.extend(argument.iter().filter(|token| token.kind == TokenClass::Name).cloned());
                    let quoted = quote(argument, token);
                    self.spend(quoted.text.len())?;
                    vec![quoted]
                }
                BodyPart::Argument { number, raw, spaced } => {
                    let argument = arguments.get(*number).map(Vec::as_slice).unwrap_or_default();
                    if pasted && all == Some(*number) && out.last().is_some_and(|token| token.is(b",")) {
                        // gcc removes the comma if the argument is missing, but not if it is empty (unless it is the only
                        // one), and pastes nothing if there is an argument.
                        if *number >= arguments.len() || (*number == 0 && argument.is_empty()) {
                            out.pop();
                        }
                        out.extend(argument.iter().cloned());
                        continue;
                    }
                    let mut tokens = match expanded.get_mut(*number) {
                        _ if *raw => argument.to_vec(),
                        Some(Some(tokens)) => tokens.clone(),
                        Some(slot) => {
                            let tokens = self.expand_within(argument.to_vec(), in_condition, depth + 1)?;
                            slot.insert(tokens).clone()
                        }
                        None => Vec::new(),
                    };
                    if let Some(first) = tokens.first_mut() {
                        first.spaced = *spaced;
                    } else {
                        tokens.push(placemarker(name));
                    }
                    tokens
                }
            };
            self.spend(tokens.len())?;
            let mut tokens = tokens.into_iter();
            if pasted && let (Some(left), Some(right)) = (out.pop(), tokens.next()) {
                self.spend(left.text.len() + right.text.len())?;
                paste(left, right, &mut out);
            }
            out.extend(tokens);
        }
        out.retain(|token| token.kind != TokenClass::Nothing);
        if let Some(first) = out.first_mut() {
            first.spaced = name.spaced;
        }
        Ok(out)
    }
}

fn placemarker(next_to: &PreprocessorToken) -> PreprocessorToken {
    PreprocessorToken { kind: TokenClass::Nothing, text: (*b"").into(), ..next_to.clone() }
}

/// Joins two tokens. If the result is not a token, they stay two, as in gcc (which reports it).
fn paste(left: PreprocessorToken, right: PreprocessorToken, out: &mut Vec<PreprocessorToken>) {
    if left.kind == TokenClass::Nothing {
        out.push(PreprocessorToken { spaced: left.spaced, ..right });
        return;
    }
    if right.kind == TokenClass::Nothing {
        out.push(left);
        return;
    }
    let text = [&*left.text, &*right.text].concat();
    let mut made = tokens_of(&text, left.spot, left.branch);
    match (made.pop(), made.is_empty()) {
        (Some(token), true) => out.push(PreprocessorToken { spaced: left.spaced, ..token }),
        _ => out.extend([left, right]),
    }
}

/// The text of an argument (C11 6.10.3.2): one space between tokens; literals keep their quotation marks and escapes. Its
/// position is that of the argument.
fn quote(argument: &[PreprocessorToken], sign: &PreprocessorToken) -> PreprocessorToken {
    let mut text = vec![b'"'];
    for (number, token) in argument.iter().enumerate() {
        if number > 0 && token.spaced {
            text.push(b' ');
        }
        let is_literal = matches!(token.kind, TokenClass::Text | TokenClass::Character);
        for &byte in &*token.text {
            if is_literal && matches!(byte, b'"' | b'\\') {
                text.push(b'\\');
            }
            text.push(byte);
        }
    }
    text.push(b'"');
    let from = argument.first().unwrap_or(sign);
    PreprocessorToken {
        kind: TokenClass::Text,
        text: text.into(),
        spaced: sign.spaced,
        settled: false,
        spot: from.spot,
        branch: from.branch,
    }
}
