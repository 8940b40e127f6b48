//! The preprocessor, compared with gcc's on random headers.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use kmodlab::buildtree::preprocessor::{
    HeaderFile, HeaderSource, IncludeFolder, Preprocessor, PreprocessorLimits, Spelled,
};
use kmodlab::error::Result;

/// One header in memory.
struct One(String);

impl HeaderSource for One {
    fn read(&self, path: &str) -> Result<Option<HeaderFile>> {
        Ok((path == "it.h").then(|| HeaderFile { file: PathBuf::from(path), bytes: self.0.clone().into_bytes() }))
    }
}

/// Pseudo-random numbers, the same in each run (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }

    fn one_of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len() as u64) as usize]
    }
}

/// Macros that call each other, also in conditions, and a macro `IT` that uses them.
fn header(dice: &mut Dice) -> String {
    let mut text = String::new();
    let condition = |dice: &mut Dice| match dice.below(4) {
        0 => format!("#ifdef M{}\n", dice.below(8)),
        1 => format!("#ifndef M{}\n", dice.below(8)),
        2 => format!(
            "#if {} {} {}\n",
            dice.below(5),
            dice.one_of(&["<", "==", "-", "&", "||", "%", ">>"]),
            1 + dice.below(3)
        ),
        _ => format!("#if defined(M{}) {} !defined M{}\n", dice.below(8), dice.one_of(&["&&", "||"]), dice.below(8)),
    };
    for number in 0..8 {
        let asks = dice.below(3) == 0;
        if asks {
            text += &condition(dice);
        }
        // M0 to M3 are called with an argument, the others are not.
        let (parameters, own): (&str, &[&str]) = match number {
            0 => ("(x)", &["x", "#x", "x x", "x##x"]),
            1 => ("(x, y)", &["x", "y", "#y", "x##y", "x y"]),
            2 => ("(x...)", &["x", "#x", "a, ## x"]),
            3 => ("(x, ...)", &["x", "__VA_ARGS__", "#__VA_ARGS__", "a, ## __VA_ARGS__"]),
            _ => ("", &["a", "\"t \""]),
        };
        for turn in 0..=u64::from(asks && dice.below(2) == 0) {
            if turn == 1 {
                text += "#else\n";
            }
            text += &format!("#define M{number}{parameters}");
            for _ in 0..dice.below(5) {
                let word = if dice.below(2) == 0 { dice.one_of(own).to_owned() } else { call(dice, 1) };
                text += &format!("{}{word}", dice.one_of(&[" ", " ", "\t", " \\\n ", " /* c */ "]));
            }
            text += "\n";
        }
        if asks {
            text += "#endif\n";
        }
    }
    text += "#define IT";
    for _ in 0..4 {
        text += &format!(" {}", call(dice, 2));
    }
    text + "\n"
}

fn call(dice: &mut Dice, depth: u32) -> String {
    let argument = |dice: &mut Dice| match (depth, dice.below(3)) {
        (0, _) | (_, 0) => dice.one_of(&["a", "b", "7", "", "M5", "M0"]).to_owned(),
        (depth, _) => call(dice, depth - 1),
    };
    match dice.below(9) {
        0 => format!("M0({})", argument(dice)),
        1 => format!("M1({}, {})", argument(dice), argument(dice)),
        2 => format!("M2({}, {})", argument(dice), argument(dice)),
        3 => format!("M3({}, {})", argument(dice), argument(dice)),
        4 => format!("M{}", dice.below(8)),
        5 => "\"s\\\"\\\\ \"".to_owned(),
        6 => "(M6)".to_owned(),
        _ => format!("M{}", 4 + dice.below(4)),
    }
}

/// The tokens to which gcc expands `IT`; `None` if it reports an error.
fn gcc(header: &str) -> Option<Vec<String>> {
    let mut child = Command::new("gcc")
        .args(["-E", "-P", "-undef", "-nostdinc", "-w", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("gcc is installed");
    child.stdin.take().unwrap().write_all(format!("{header}@@@ IT\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    output.status.success().then(|| tokens(text.split_once("@@@").unwrap().1))
}

fn ours(header: &str) -> Vec<String> {
    let headers = One(header.to_owned());
    let folders = [IncludeFolder { prefix: String::new(), path: String::new() }];
    let mut source = Preprocessor::new(&headers, &folders, &|_, _| true, PreprocessorLimits::default());
    assert!(source.include("it.h").unwrap());
    let expansion = source.expand("IT").unwrap().unwrap();
    let word = |spelled: &Spelled| match spelled {
        Spelled::Token(token) => token.clone(),
        Spelled::Text(text) => {
            let text = String::from_utf8(text.clone()).unwrap();
            format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
        }
    };
    expansion.parts.iter().map(|part| word(&part.text)).collect()
}

/// Names and numbers, literals, and single signs.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if first == '"' {
            let mut escaped = false;
            let end = rest.char_indices().skip(1).find(|&(_, c)| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            end.expect("literals end").0 + 1
        } else {
            rest.find(|c: char| !c.is_alphanumeric() && c != '_')
                .filter(|&at| at > 0)
                .unwrap_or(if first.is_alphanumeric() || first == '_' { rest.len() } else { 1 })
        };
        tokens.push(rest[..length].to_owned());
        rest = rest[length..].trim_start();
    }
    tokens
}

#[test]
#[ignore = "needs gcc"]
fn random_headers_become_what_gcc_makes_of_them() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut compared = 0;
    for _ in 0..1000 {
        let header = header(&mut dice);
        if let Some(expected) = gcc(&header) {
            assert_eq!(ours(&header), expected, "\n{header}");
            compared += 1;
        }
    }
    println!("{compared} of 1000 headers compared; in the others gcc found an error");
    assert!(compared > 300, "only {compared} headers were such as gcc takes");
}
