//! Asks a person to confirm a change: the name is typed on a terminal, or the digest was given as an option.

use std::io::{self, BufRead};

use crate::change::{Confirmable, Confirmation, Confirmed, Unconfirmed};
use crate::cli::output::Session;
use crate::error::{Error, Result};

/// Confirms a reviewed change: by the digest that was given, else by a name that a person types. `to` is the effect, as in
/// "Type dummy to patch it"; `see` is the command or option that shows the change, for the hint.
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
    let answer = ask(&change.name_to_type(), to, given, session).map_err(|why| error(why, see))?;
    change.confirm(&answer).map_err(|why| error(why, see))
}

fn ask(
    name: &str,
    to: &str,
    given: Option<&str>,
    session: &mut Session<'_>,
) -> std::result::Result<Confirmation, Unconfirmed> {
    if let Some(given) = given {
        return Ok(Confirmation::Digest(given.to_owned()));
    }
    if !session.may_ask {
        return Err(Unconfirmed::NobodyToAsk);
    }
    let _ = session.out.flush();
    let _ = write!(session.err, "Type {} to {}: ", crate::escape::for_eyes(name), to);
    // The terminal edits the line (termios(3), canonical mode): Ctrl-C interrupts the program, and Ctrl-D ends the input.
    let mut line = Vec::new();
    let read = io::stdin().lock().read_until(b'\n', &mut line);
    if read.is_err() || !line.ends_with(b"\n") {
        let _ = writeln!(session.err);
        return Err(Unconfirmed::Cancelled);
    }
    Ok(Confirmation::Name(String::from_utf8_lossy(&line).into_owned()))
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
