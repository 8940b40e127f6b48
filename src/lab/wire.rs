//! The messages between the lab and the agent, over the second serial port: JSON Lines, each with a sequence number
//! and a checksum.
//!
//! The checksum detects mixed or truncated lines. It does not authenticate the sender: a module in the guest's kernel
//! can write any message, so messages are untrusted.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::lab::record::{Init, ModuleState, Phase, ProbeResult};

/// The name under which this program is the first process of a guest.
pub const AGENT: &str = "kmodlab-agent";

/// The most bytes of a line. A log line has at most about a thousand, and few are sent together.
pub const LONGEST_LINE: u64 = 64 << 10;

/// The beginning of the line with which the agent marks a phase in the kernel's log, before [`Phase::name`].
pub const PHASE_MARK: &str = "kmodlab: phase ";

/// The result if the user's probe could not be started: nothing was checked.
pub const PROBE_FAILED: &str = "the probe cannot be started";

/// An order to the agent: one trial.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrialOrder {
    /// The trial's number, which the agent's messages repeat.
    pub trial: u32,
    /// The module's name.
    pub name: String,
    /// Its path in the initramfs.
    pub file: String,
    /// The flags of finit_module(2).
    #[serde(skip_serializing_if = "is_zero")]
    pub flags: u32,
    /// The module parameters, as insmod takes them.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub params: String,
    /// The paths of modules to be loaded first, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<String>,
    /// How the loaded module is used; `None` if it is only loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exercise: Option<Exercise>,
    /// How it is unloaded; `None` if it stays loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unload: Option<UnloadMode>,
}

/// Defaults are not sent: each byte costs a clone time.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What the probe needs to know about the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Exercise {
    /// The link types that the module provides (its aliases `rtnl-link-KIND`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    /// The file systems that it provides (its aliases `fs-NAME`).
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

/// A message of the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "kebab-case")]
pub enum AgentMessage {
    /// It waits for an order.
    Ready {
        /// `uname -r`.
        release: String,
        /// Does the kernel have the trace events about the loader and init functions?
        traces: bool,
    },
    /// It has received the order.
    Begin {
        /// The trial's number.
        trial: u32,
    },
    /// A phase begins.
    Phase {
        /// The phase.
        phase: Phase,
    },
    /// A heartbeat: once per second during a phase.
    Beat,
    /// The needed modules were loaded, as far as possible.
    Prepared {
        /// The kernel's taint.
        taint: u64,
        /// The files that could not be loaded, with the errno of each.
        failed: Vec<(String, i32)>,
    },
    /// finit_module returned, or its thread is gone.
    Loaded {
        /// Its errno, 0 for success; `None` if it did not return.
        errno: Option<i32>,
        /// Was the trace event `module:module_load` seen?
        accepted: bool,
        /// The fate of the init function.
        init: Init,
        /// /sys/module/NAME.
        state: Option<ModuleState>,
    },
    /// The probe is finished.
    Exercised {
        /// Its results.
        probe: Vec<ProbeResult>,
    },
    /// delete_module returned, or its thread is gone.
    Unloaded {
        /// Its errno, 0 for success; `None` if it did not return.
        errno: Option<i32>,
        /// Has /sys/module/NAME disappeared?
        gone: bool,
    },
    /// Lines of the kernel's log.
    Log {
        /// The phase in which they were logged.
        phase: Phase,
        /// The lines.
        lines: Vec<String>,
    },
    /// The phase's thread does not return; the rest of the trial is skipped.
    Stuck {
        /// The phase.
        phase: Phase,
    },
    /// The trial is over.
    Done {
        /// The kernel's taint.
        taint: u64,
        /// Are taint and modules, with their reference counts, those of the end of the boot?
        #[serde(default)]
        is_as_booted: bool,
    },
}

/// A line.
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

/// Encodes a message as a line, with its newline.
pub fn encode(seq: u64, message: &impl Serialize) -> serde_json::Result<String> {
    let body = serde_json::value::to_raw_value(message)?;
    let crc = checksum(body.get().as_bytes());
    let mut line = serde_json::to_string(&Envelope { seq, crc, body: &body })?;
    line.push('\n');
    Ok(line)
}

/// Decodes a line, which must have this sequence number.
///
/// # Errors
///
/// A description of the mistake.
pub fn decode<T: DeserializeOwned>(seq: u64, line: &str) -> Result<T, String> {
    let envelope: Envelope<'_> = serde_json::from_str(line).map_err(|_| "a line that is not a message".to_owned())?;
    if envelope.seq != seq {
        return Err(format!("message {} instead of {seq}", envelope.seq));
    }
    if checksum(envelope.body.get().as_bytes()) != envelope.crc {
        return Err(format!("message {seq} does not match its checksum"));
    }
    serde_json::from_str(envelope.body.get()).map_err(|_| format!("message {seq} is of an unknown kind"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_reverses_encoding() {
        let said = AgentMessage::Log { phase: Phase::Load, lines: vec!["dummy: \u{7f}\"loading\"".to_owned()] };
        let line = encode(7, &said).unwrap();
        assert_eq!(line.matches('\n').count(), 1);
        assert_eq!(decode(7, &line), Ok(said));
    }

    #[test]
    fn each_mistake_in_a_line_is_reported() {
        let line = encode(7, &AgentMessage::Beat).unwrap();
        assert_eq!(decode::<AgentMessage>(8, &line), Err("message 7 instead of 8".to_owned()));
        assert_eq!(decode::<AgentMessage>(7, "hello"), Err("a line that is not a message".to_owned()));
        let forged = line.replace("beat", "bead");
        assert_eq!(decode::<AgentMessage>(7, &forged), Err("message 7 does not match its checksum".to_owned()));
        let other = encode(7, &"beat").unwrap();
        assert_eq!(decode::<AgentMessage>(7, &other), Err("message 7 is of an unknown kind".to_owned()));
    }
}
