//! The kernels that have a behaviour or print a line: by version, option, message, or a rule of the table.

use std::fmt;

use crate::predict::rules::{Rule, RuleSpan, Rules};

/// The kernels that have a behaviour.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Availability {
    /// All kernels that were read.
    Always,
    /// Not the first version, but certainly the second; no source between them was read.
    Between((u32, u32), (u32, u32)),
    /// Kernels of this version and later.
    Version((u32, u32)),
    /// Kernels with a rule of the table.
    Rule(Rule),
    /// Kernels with an option.
    Option(&'static str),
    /// Kernels with an option, which also have a message in their image that others lack.
    OptionOrMessage(&'static str, &'static str),
    /// Kernels whose image contains this text; where the image is not known, the other condition decides.
    Image(&'static str, &'static Availability),
    /// Kernels for which all of these hold.
    All(&'static [Availability]),
    /// Kernels for which this does not hold.
    Not(&'static Availability),
}

impl Availability {
    /// Does this kernel have the behaviour?
    pub(crate) fn holds(self, rules: &Rules<'_>) -> Option<bool> {
        match self {
            Availability::Always => Some(true),
            Availability::Version((major, minor)) => rules.since(major, minor),
            Availability::Between(without, with) => match rules.major_minor()? {
                ours if ours >= with => Some(true),
                ours if ours <= without => Some(false),
                _ => None,
            },
            Availability::Rule(rule) => rules.has(rule),
            Availability::Option(option) => rules.option(option),
            Availability::OptionOrMessage(option, message) => rules.option(option).or_else(|| rules.prints(message)),
            Availability::Image(text, otherwise) => rules.prints(text).or_else(|| otherwise.holds(rules)),
            Availability::All(all) => {
                let mut holds = all.iter().map(|one| one.holds(rules));
                match holds.clone().any(|one| one == Some(false)) {
                    true => Some(false),
                    false => holds.all(|one| one == Some(true)).then_some(true),
                }
            }
            Availability::Not(other) => other.holds(rules).map(|holds| !holds),
        }
    }

    /// The option that would decide it, if the option is the unknown fact.
    pub(crate) fn open_option(self, rules: &Rules<'_>) -> Option<&'static str> {
        match self {
            Availability::Option(option) | Availability::OptionOrMessage(option, _) => Some(option),
            Availability::Image(_, otherwise) => otherwise.open_option(rules),
            Availability::All(all) => all.iter().find(|one| one.holds(rules).is_none())?.open_option(rules),
            Availability::Not(other) => other.open_option(rules),
            Availability::Always | Availability::Between(..) | Availability::Version(_) | Availability::Rule(_) => None,
        }
    }
}

/// The versions in words: "6.4 and later"; nothing if the version does not matter.
impl fmt::Display for Availability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut conditions = Vec::new();
        collect(*self, false, &mut conditions);
        f.write_str(&conditions.join("; "))
    }
}

/// Appends the conditions of an availability, or of its opposite, in words.
fn collect(availability: Availability, is_not: bool, into: &mut Vec<String>) {
    let from = |(major, minor): (u32, u32)| match is_not {
        true => format!("before {major}.{minor}"),
        false => format!("{major}.{minor} and later"),
    };
    let option = |option: &str| format!("{} CONFIG_{option}", if is_not { "without" } else { "with" });
    match availability {
        Availability::Always => {}
        Availability::Version(version) => into.push(from(version)),
        Availability::Between((major, minor), with) => match is_not {
            true => into.push(format!("up to {major}.{minor}, perhaps up to {}.{}", with.0, with.1)),
            false => into.push(format!("{}, perhaps after {major}.{minor}", from(with))),
        },
        Availability::Rule(rule) => into.extend(RuleSpan::of(rule).words(is_not)),
        Availability::Option(name) | Availability::OptionOrMessage(name, _) => into.push(option(name)),
        Availability::Image(_, otherwise) => collect(*otherwise, is_not, into),
        Availability::All(all) => all.iter().for_each(|one| collect(*one, is_not, into)),
        Availability::Not(other) => collect(*other, !is_not, into),
    }
}
