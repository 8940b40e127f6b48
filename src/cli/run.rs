//! The person's message that the journal records.

use crate::cli::output::Session;
use crate::error::Error;
use crate::vault::Vault;

/// The maximum length of a message in bytes: each line of a batch has it.
const LONGEST_MESSAGE: usize = 1000;

// (No doc comment: clap would take it for the command's description.)
#[derive(clap::Args)]
pub(super) struct MessageArg {
    /// Record this text in the journal: why it is done, for whom
    #[arg(short, long, value_name = "TEXT", value_parser = message)]
    message: Option<String>,
}

fn message(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("an empty message".to_owned()),
        text if text.len() > LONGEST_MESSAGE => Err(format!("longer than {LONGEST_MESSAGE} bytes")),
        text => Ok(text.to_owned()),
    }
}

impl Session<'_> {
    /// The vault, for a command whose lines in the journal have this message.
    pub(super) fn vault_with(&self, message: &MessageArg) -> Result<Vault, Error> {
        Ok(self.vault()?.with_message(message.message.as_deref()))
    }
}
