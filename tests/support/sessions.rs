//! Sessions in documents: the commands of a block, and the output that is shown below each.

/// A command, and the output that is shown below it.
pub(crate) struct Step {
    pub(crate) command: String,
    pub(crate) expected: String,
}

/// The commands of all blocks with a mark ("console"), each with the output that is shown below it.
pub(crate) fn steps(document: &str, mark: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for block in document.split(&format!("```{mark}\n")).skip(1) {
        for line in block.split("```").next().unwrap().lines() {
            match line.strip_prefix("$ ") {
                Some(command) => steps.push(Step { command: command.to_owned(), expected: String::new() }),
                None => {
                    let step = steps.last_mut().expect("a block begins with a command");
                    step.expected.push_str(line);
                    step.expected.push('\n');
                }
            }
        }
    }
    steps
}

/// Does `printed` match `expected`, where `[…]` stands for any text in a line, or on a line of its own for any lines?
pub(crate) fn fits(expected: &str, printed: &str) -> bool {
    let (pattern, text): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), printed.lines().collect());
    lines_fit(&pattern, &text)
}

fn lines_fit(pattern: &[&str], text: &[&str]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ["[…]", rest @ ..] => (0..=text.len()).any(|skip| lines_fit(rest, &text[skip..])),
        [line, rest @ ..] => !text.is_empty() && line_fits(line, text[0]) && lines_fit(rest, &text[1..]),
    }
}

fn line_fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once("[…]") {
        None => pattern == text,
        Some((head, tail)) => match text.strip_prefix(head) {
            None => false,
            Some(rest) => {
                rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| line_fits(tail, &rest[at..]))
            }
        },
    }
}
