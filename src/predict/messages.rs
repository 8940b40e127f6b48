//! All lines that the loader's rules can print: the lists of the steps' files, joined.

use crate::predict::availability::Availability;
use crate::predict::message::{Effect, Message};
use crate::predict::rules::Rule;
use crate::predict::verdict::LoaderStep;
use crate::predict::{
    arch, btf, container, exports, memory, names, relocations, sections, signature, symbol_versions, symbols, taints,
    validity, vermagic,
};
use crate::{btf as types, module};

/// A line that a rule can print, and the architectures that print it; empty if all do.
pub struct RuleMessage {
    /// The line.
    pub message: Message,
    /// The directory in the kernel's source: `arm64`; empty for lines of the common loader.
    pub architecture: &'static str,
}

/// Every line that a rule can print.
pub fn all() -> Vec<RuleMessage> {
    let of_steps = [
        container::MESSAGES,
        signature::MESSAGES,
        validity::MESSAGES,
        names::MESSAGES,
        symbol_versions::MESSAGES,
        vermagic::MESSAGES,
        sections::MESSAGES,
        memory::MESSAGES,
        taints::MESSAGES,
        exports::MESSAGES,
        symbols::MESSAGES,
        relocations::MESSAGES,
        btf::MESSAGES,
    ];
    let common = of_steps.into_iter().flatten().copied().chain(of_types()).chain(of_signatures());
    let common = common.map(|message| RuleMessage { message, architecture: "" });
    let of_machines = arch::MESSAGES.iter().flat_map(|(architecture, messages)| {
        messages.iter().map(|message| RuleMessage { message: *message, architecture })
    });
    common.chain(of_machines).collect()
}

/// The lines about types, whose texts are in [`crate::btf::log`].
fn of_types() -> impl Iterator<Item = Message> {
    types::log::TEXTS.iter().map(|text| Message {
        text,
        step: Some(LoaderStep::Btf),
        effect: Effect::Precedes,
        kernels: Availability::Rule(Rule::BtfChecked),
        meaning: "its BTF does not fit the kernel's: the two were not built together",
    })
}

/// The lines of the kernel's parser of signatures, whose texts are in [`crate::module::verification`].
fn of_signatures() -> impl Iterator<Item = Message> {
    module::verification::TEXTS.iter().map(|text| Message {
        text,
        step: Some(LoaderStep::Signature),
        effect: Effect::Precedes,
        kernels: Availability::Rule(Rule::Signatures),
        meaning: "the kernel does not know or does not accept a part of the module's signature",
    })
}
