//! What lab and agent tell each other over the second serial port: JSON Lines, each with its number and a checksum.
//!
//! The checksum finds lines that got mixed up or cut. It is no proof of who wrote a line: a module that runs in the
//! guest's kernel can write whatever it likes, and must not be believed more than any stranger.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::lab::record::{Init, ModuleState, Phase, ProbeResult};

/// The name that this program is started by as the first process of a guest.
pub const AGENT: &str = "kmodlab-agent";

/// The longest line that is read, in bytes. A log line has about a thousand at most, and they are sent in small lots.
pub const LONGEST_LINE: u64 = 64 << 10;

/// The text of the line by which the agent marks a phase in the kernel's log.
pub const PHASE_MARK: &str = "kmodlab: phase ";

/// What is noted of a user's probe that could not be started: then nothing was looked at.
pub const PROBE_FAILED: &str = "the probe can't be started";

/// What the agent is to do: one trial.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrialOrder {
    /// The trial's number, which comes back in what is said of it.
    pub trial: u32,
    /// The module's name.
    pub name: String,
    /// Its file in the initramfs.
    pub file: String,
    /// The flags of finit_module(2).
    #[serde(skip_serializing_if = "is_zero")]
    pub flags: u32,
    /// The module parameters, as insmod takes them.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub params: String,
    /// Files of modules to be loaded before it, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<String>,
    /// What is done with it when it is loaded; `None` leaves it at loading.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exercise: Option<Exercise>,
    /// Is it to be unloaded, and with force?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unload: Option<UnloadMode>,
}

/// What is not said need not be read: each byte costs a clone its time.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What the probe needs to know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Exercise {
    /// The kinds of links that the module says it has (its aliases `rtnl-link-KIND`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    /// The file systems that it says it has (its aliases `fs-NAME`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filesystems: Vec<String>,
    /// The user's own probe: program and arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
}

/// How a module is unloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnloadMode {
    /// As by `rmmod`.
    Plain,
    /// As by `rmmod -f`: O_TRUNC, for kernels with CONFIG_MODULE_FORCE_UNLOAD (delete_module(2)).
    Forced,
}

/// What the agent says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "kebab-case")]
pub enum AgentMessage {
    /// It waits for an order.
    Ready {
        /// `uname -r`.
        release: String,
        /// Are there the trace events that tell what the loader and the module's init did?
        traces: bool,
    },
    /// It has the order of this trial.
    Begin {
        /// The trial's number.
        trial: u32,
    },
    /// A phase begins.
    Phase {
        /// Which.
        phase: Phase,
    },
    /// It is alive; once a second while a phase goes on.
    Beat,
    /// What the module needs is loaded, or not.
    Prepared {
        /// The kernel's taint.
        taint: u64,
        /// What could not be loaded, with its errno.
        failed: Vec<(String, i32)>,
    },
    /// finit_module came back, or its thread is gone.
    Loaded {
        /// Its errno, 0 for success; `None` if it never returned.
        errno: Option<i32>,
        /// The trace event `module:module_load` was seen.
        accepted: bool,
        /// What became of the init function.
        init: Init,
        /// /sys/module/NAME.
        state: Option<ModuleState>,
    },
    /// What the probe saw.
    Exercised {
        /// All of it.
        probe: Vec<ProbeResult>,
    },
    /// delete_module came back, or its thread is gone.
    Unloaded {
        /// Its errno, 0 for success; `None` if it never returned.
        errno: Option<i32>,
        /// Is /sys/module/NAME gone?
        gone: bool,
    },
    /// Lines of the kernel's log.
    Log {
        /// The phase in which they came.
        phase: Phase,
        /// The lines.
        lines: Vec<String>,
    },
    /// The phase's thread does not come back: the rest of the trial is left out.
    Stuck {
        /// Which phase.
        phase: Phase,
    },
    /// The trial is over.
    Done {
        /// The kernel's taint.
        taint: u64,
    },
}

/// One line.
#[derive(Serialize, Deserialize)]
struct Envelope<'l> {
    seq: u64,
    crc: u32,
    #[serde(borrow)]
    body: &'l RawValue,
}

/// CRC-32 as in IEEE 802.3, gzip and PNG.
fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// The line for a message, with its newline.
pub fn encode(seq: u64, message: &impl Serialize) -> serde_json::Result<String> {
    let body = serde_json::value::to_raw_value(message)?;
    let crc = checksum(body.get().as_bytes());
    let mut line = serde_json::to_string(&Envelope { seq, crc, body: &body })?;
    line.push('\n');
    Ok(line)
}

/// The message in a line, which must have this number.
///
/// # Errors
///
/// What is wrong with the line, in words.
pub fn decode<T: DeserializeOwned>(seq: u64, line: &str) -> Result<T, String> {
    let envelope: Envelope<'_> = serde_json::from_str(line).map_err(|_| "a line that is no record".to_owned())?;
    if envelope.seq != seq {
        return Err(format!("record {} where {seq} is due", envelope.seq));
    }
    if checksum(envelope.body.get().as_bytes()) != envelope.crc {
        return Err(format!("record {seq} does not fit its checksum"));
    }
    serde_json::from_str(envelope.body.get()).map_err(|_| format!("record {seq} is of no kind that is known"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_back_as_it_was() {
        let said = AgentMessage::Log { phase: Phase::Load, lines: vec!["dummy: \u{7f}\"loading\"".to_owned()] };
        let line = encode(7, &said).unwrap();
        assert_eq!(line.matches('\n').count(), 1);
        assert_eq!(decode(7, &line), Ok(said));
    }

    #[test]
    fn lies_are_named() {
        let line = encode(7, &AgentMessage::Beat).unwrap();
        assert_eq!(decode::<AgentMessage>(8, &line), Err("record 7 where 8 is due".to_owned()));
        assert_eq!(decode::<AgentMessage>(7, "hello"), Err("a line that is no record".to_owned()));
        let forged = line.replace("beat", "bead");
        assert_eq!(decode::<AgentMessage>(7, &forged), Err("record 7 does not fit its checksum".to_owned()));
        let other = encode(7, &"beat").unwrap();
        assert_eq!(decode::<AgentMessage>(7, &other), Err("record 7 is of no kind that is known".to_owned()));
    }
}
