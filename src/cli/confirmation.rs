//! Asks a person to confirm a change: the name is typed on a terminal, or the digest was given as an option.

use dialoguer::Input;
use dialoguer::console::Term;

use crate::change::{Confirmable, Confirmation, Confirmed, Unconfirmed};
use crate::cli::output::Session;
use crate::error::{Error, Result};

/// What is to be confirmed.
pub(super) struct Question<'q> {
    /// What happens then, as in "Type dummy to patch it".
    pub(super) to: &'q str,
    /// The name to be typed.
    pub(super) word: &'q str,
    /// The command or option that shows the change, for the hint.
    pub(super) see: &'q str,
}

/// Confirms a reviewed change: by the digest that was given, else by a name that a person types.
///
/// # Errors
///
/// [`crate::error::ErrorKind::NotConfirmed`] for another name or digest, and where nobody can be asked.
pub(super) fn confirmed<C: Confirmable>(
    change: C,
    to: &str,
    see: &str,
    given: Option<&str>,
    session: &mut Session<'_>,
) -> Result<Confirmed<C>> {
    let word = change.name_to_type();
    let question = Question { to, word: &word, see };
    let answer = ask(&question, given, session)?;
    change.confirm(&answer).map_err(|why| error(why, see))
}

fn ask(question: &Question<'_>, given: Option<&str>, session: &mut Session<'_>) -> Result<Confirmation> {
    if let Some(given) = given {
        return Ok(Confirmation::Digest(given.to_owned()));
    }
    if !session.may_ask {
        return Err(error(Unconfirmed::NobodyToAsk, question.see));
    }
    let _ = session.out.flush();
    let terminal = Term::stderr();
    let prompt = format!("Type {} to {}", crate::escape::for_eyes(question.word), question.to);
    let typed = Input::<String>::new().with_prompt(prompt).allow_empty(true).interact_text_on(&terminal);
    // An interrupted prompt may leave the cursor hidden.
    let _ = terminal.show_cursor();
    typed.map(Confirmation::Name).map_err(|_| error(Unconfirmed::Cancelled, question.see))
}

fn error(why: Unconfirmed, see: &str) -> Error {
    let hint = match why {
        Unconfirmed::OtherDigest => format!("{see} prints the plan and its digest; nothing was changed"),
        Unconfirmed::NobodyToAsk => {
            format!("{see} prints the plan and its digest, and --confirm DIGEST applies exactly that plan")
        }
        Unconfirmed::OtherName | Unconfirmed::Cancelled => "nothing was changed".to_owned(),
    };
    Error::from(why).hint(hint)
}
