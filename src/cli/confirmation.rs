//! Confirmation: a person types the module's name, or names the digest of exactly the plan that was shown.

use dialoguer::Input;
use dialoguer::console::Term;

use crate::cli::output::Session;
use crate::digest::Sha256;
use crate::error::{Error, ErrorKind, Result};

/// What is to be confirmed.
pub(super) struct Question<'q> {
    /// What happens after it, as in "Type dummy to patch it".
    pub(super) to: &'q str,
    /// The word to be typed.
    pub(super) word: &'q str,
    /// The digest that stands for it where nobody can be asked.
    pub(super) digest: Sha256,
    /// How to see what is to be confirmed, for the hint.
    pub(super) see: &'q str,
}

/// Asks, or compares the digest.
///
/// # Errors
///
/// [`ErrorKind::NotConfirmed`], whatever else was typed or given, and if there is nobody to ask.
pub(super) fn confirm(question: &Question<'_>, given: Option<&str>, session: &mut Session<'_>) -> Result<()> {
    let not = |what: &str, hint: String| {
        Err(Error::new(ErrorKind::NotConfirmed, format!("refused by the guard confirmed: {what}")).hint(hint))
    };
    if let Some(given) = given {
        if given.to_ascii_lowercase().parse() == Ok(question.digest) {
            return Ok(());
        }
        return not(
            "this digest is not of this plan",
            format!("{} prints the plan and its digest; nothing was changed", question.see),
        );
    }
    if !session.may_ask {
        let hint =
            format!("{} prints the plan and its digest, then --confirm DIGEST applies exactly that", question.see);
        return not("nobody here to type the name", hint);
    }
    let _ = session.out.flush();
    let terminal = Term::stderr();
    let prompt = format!("Type {} to {}", crate::escape::for_eyes(question.word), question.to);
    let typed = Input::<String>::new().with_prompt(prompt).allow_empty(true).interact_text_on(&terminal);
    // An interrupted prompt may leave the cursor hidden.
    let _ = terminal.show_cursor();
    match typed {
        Ok(typed) if same_name(typed.trim(), question.word) => Ok(()),
        Ok(_) => not("another word was typed", "nothing was changed".to_owned()),
        Err(_) => not("the question was left", "nothing was changed".to_owned()),
    }
}

/// Module names are equal whether written with `-` or `_`, as for kmod.
fn same_name(typed: &str, word: &str) -> bool {
    typed.replace('-', "_") == word.replace('-', "_")
}
