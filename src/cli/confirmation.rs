//! Asks a person to confirm a change: the name is typed on a terminal, or the digest was given as an option.

use dialoguer::Input;
use dialoguer::console::{Key, Term};
use serde::Serialize;

use crate::change::{Confirmable, Confirmation, Confirmed, Unconfirmed};
use crate::cli::output::{Failure, Session};
use crate::cli::run::MessageArg;
use crate::error::Error;

// The options of a command that changes something after a confirmation. (No doc comment: clap would take it for the command's
// description.)
#[derive(clap::Args)]
pub(super) struct ChangeArgs {
    /// Print what would be done, and the digest; change nothing
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,
    /// Do exactly what has this digest, which -n printed
    #[arg(long, value_name = "DIGEST")]
    pub(super) confirm: Option<String>,
    #[command(flatten)]
    pub(super) message: MessageArg,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl ChangeArgs {
    /// Shows what would be done, if that is all that is wanted, or before a person is asked.
    pub(super) fn show(
        &self,
        report: &impl Serialize,
        session: &mut Session<'_>,
        print: impl FnOnce(&mut Session<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match (self.dry_run, self.json) {
            (true, true) => session.json(report),
            (true, false) => print(session),
            (false, _) if session.may_ask && self.confirm.is_none() => print(session),
            (false, _) => Ok(()),
        }
    }

    /// Asks as [`confirmed`] does.
    pub(super) fn confirmed<C: Confirmable>(
        &self,
        change: C,
        to: &str,
        see: &str,
        session: &mut Session<'_>,
    ) -> Result<Confirmed<C>, Error> {
        confirmed(change, to, see, self.confirm.as_deref(), session)
    }
}

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
) -> Result<Confirmed<C>, Error> {
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
    let terminal = Term::stderr();
    let prompt = format!("Type {} to {}", crate::escape::for_eyes(name), to);
    let typed = type_at(&prompt, &terminal);
    // An interrupted prompt may leave the cursor hidden.
    let _ = terminal.show_cursor();
    typed.map(Confirmation::Name).map_err(|_| Unconfirmed::Cancelled)
}

/// What a person types at a prompt. Ctrl-D instead of an answer cancels it: dialoguer ignores that key, so the first key is read here.
fn type_at(prompt: &str, terminal: &Term) -> dialoguer::Result<String> {
    const CTRL_D: char = '\u{4}';
    terminal.write_str(&format!("{prompt}: "))?;
    let first = loop {
        match terminal.read_key()? {
            Key::Char(CTRL_D) => {
                terminal.write_line("")?;
                return Err(std::io::Error::from(std::io::ErrorKind::Interrupted).into());
            }
            Key::Char(key) if !key.is_control() => break key,
            Key::Enter => {
                terminal.write_line("")?;
                return Ok(String::new());
            }
            _ => {}
        }
    };
    terminal.clear_line()?;
    Input::new().with_prompt(prompt).allow_empty(true).with_initial_text(first).interact_text_on(terminal)
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
