//! A line of the kernel's log about a module: its text, the step that prints it, the kernels that print it, and what it means.

use crate::predict::availability::Availability;
use crate::predict::verdict::LoaderStep;

/// What a line says about the attempt at loading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The kernel refuses the module with this errno (numbers of asm-generic).
    Refuses(i32),
    /// The next lines or the errno tell whether the module was refused.
    Precedes,
    /// The kernel goes on, and sets this taint.
    Taints(char),
    /// The kernel goes on.
    Warns,
}

/// A line that a kernel can print.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    /// The text, with its places ([`crate::template`]).
    pub text: &'static str,
    /// The loader's step that prints it; `None` if it belongs to no step.
    pub step: Option<LoaderStep>,
    /// What it says about the attempt.
    pub effect: Effect,
    /// The kernels that print it.
    pub(crate) kernels: Availability,
    /// What it means, as a sentence with the places of the text.
    pub meaning: &'static str,
}

impl Message {
    /// A line that no rule prints, and that belongs to no step.
    pub(crate) const fn new(
        text: &'static str,
        effect: Effect,
        kernels: Availability,
        meaning: &'static str,
    ) -> Message {
        Message { text, step: None, effect, kernels, meaning }
    }

    /// The same line, of a step.
    pub(crate) const fn at(self, step: LoaderStep) -> Message {
        Message { step: Some(step), ..self }
    }

    /// The versions that print exactly this, in words; empty if the version does not matter.
    pub fn versions(&self) -> String {
        self.kernels.to_string()
    }
}

/// Declares the messages of one file: a template for each, by which the line is written, and the list `MESSAGES`, by which lines
/// are recognised. A message may have another step than the file's: `NAME[1] => Step …`.
macro_rules! messages {
    (@step $step:expr) => { $step };
    (@step $step:expr, $own:ident) => { Some(crate::predict::verdict::LoaderStep::$own) };
    (
        $step:expr;
        $(
            $(#[$attribute:meta])*
            $name:ident[$places:literal] $(=> $own:ident)? $effect:expr, $kernels:expr, $text:literal, $meaning:literal;
        )*
    ) => {
        $(
            $(#[$attribute])*
            pub(super) const $name: crate::template::Template<$places> = crate::template::Template::new($text);
        )*
        /// All messages that are declared here.
        pub(crate) const MESSAGES: &[crate::predict::message::Message] = &[
            $(crate::predict::message::Message {
                text: $name.text(),
                step: crate::predict::message::messages!(@step $step $(, $own)?),
                effect: $effect,
                kernels: $kernels,
                meaning: $meaning,
            },)*
        ];
    };
}

pub(crate) use messages;
