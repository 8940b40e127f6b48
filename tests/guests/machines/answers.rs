//! The answers of kernels, kept in `target/machines/KERNEL/answers.jsonl`: an answer does not depend on the prediction, so
//! after a change of the program only the predictions are made again. A trial is identified by the kernel's image, the first
//! process, the module's bytes and the flags; remove the file to ask again.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::machines::guest::Guests;
use crate::machines::report::Seen;

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct Answer {
    trial: String,
    seen: Seen,
}

/// The answers to these trials.
pub(crate) struct Answers {
    file: PathBuf,
    /// The key that identifies each trial.
    keys: Vec<String>,
}

impl Answers {
    pub(crate) fn open(guests: &Guests<'_>) -> Answers {
        let mut kernel = Sha256::new();
        kernel.update(&guests.image);
        kernel.update(&guests.init);
        let key = |subject: usize, flags: u32| {
            let mut key = kernel.clone();
            key.update(&guests.subjects[subject].bytes);
            key.update(flags.to_le_bytes());
            hex::encode(key.finalize())
        };
        let keys = guests.trials.iter().map(|trial| key(trial.subject, trial.flags)).collect();
        Answers { file: guests.folder.join("answers.jsonl"), keys }
    }

    /// The answers of an earlier run, by the numbers of the trials.
    pub(crate) fn kept(&self) -> BTreeMap<usize, Seen> {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        // An interrupted run may leave half a line.
        let answers = text.lines().filter_map(|line| serde_json::from_str::<Answer>(line).ok());
        let by_key: HashMap<String, Seen> = answers.map(|answer| (answer.trial, answer.seen)).collect();
        self.keys.iter().enumerate().filter_map(|(number, key)| Some((number, by_key.get(key)?.clone()))).collect()
    }

    /// Adds answers.
    pub(crate) fn keep(&self, seen: &BTreeMap<usize, Seen>) {
        let mut file = std::fs::File::options().create(true).append(true).open(&self.file).unwrap();
        for (number, seen) in seen {
            let answer = Answer { trial: self.keys[*number].clone(), seen: seen.clone() };
            writeln!(file, "{}", serde_json::to_string(&answer).unwrap()).unwrap();
        }
    }
}
