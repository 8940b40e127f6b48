//! The agent's end of the result port, the second serial port.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};

use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use serde::de::DeserializeOwned;

use crate::lab::machine_type::RESULT_PORTS;
use crate::lab::wire::{self, AgentMessage};

pub(super) struct ResultPort {
    input: BufReader<File>,
    output: File,
    said: u64,
    heard: u64,
}

impl ResultPort {
    /// Opens the first port with hardware. Device nodes of ports without hardware exist, too, but have no attributes.
    pub(super) fn open() -> Result<ResultPort, String> {
        let output = RESULT_PORTS.iter().find_map(|path| raw(path).ok());
        let output = output.ok_or("no result port: this kernel has no driver for it built in")?;
        let input = output.try_clone().map_err(|e| format!("the result port: {e}"))?;
        Ok(ResultPort { input: BufReader::new(input), output, said: 0, heard: 0 })
    }

    pub(super) fn say(&mut self, said: &AgentMessage) -> Result<(), String> {
        let line = wire::encode(self.said, said).map_err(|e| format!("a message: {e}"))?;
        self.said += 1;
        self.output.write_all(line.as_bytes()).map_err(|e| format!("the result port: {e}"))
    }

    pub(super) fn hear<T: DeserializeOwned>(&mut self) -> Result<T, String> {
        let mut line = String::new();
        self.input.read_line(&mut line).map_err(|e| format!("the result port: {e}"))?;
        let order = wire::decode(self.heard, &line);
        self.heard += 1;
        order
    }
}

fn raw(path: &str) -> std::io::Result<File> {
    let port = File::options().read(true).write(true).open(path)?;
    let mut settings = tcgetattr(&port)?;
    settings.make_raw();
    settings.set_speed(115_200)?;
    settings.control_modes |= rustix::termios::ControlModes::CLOCAL;
    tcsetattr(&port, OptionalActions::Now, &settings)?;
    Ok(port)
}
