//! A command in a workshop, which can be run repeatedly from the same state, and whose calls can be replayed to a simulated disk.

use std::ffi::{OsStr, OsString};
use std::ops::Deref;
use std::path::Path;

use crate::strace::{self, Call};
use crate::workshop::{Tree, Workshop};

/// A command, and the state in which it starts.
pub(crate) struct Setup {
    /// The name of the command, for the counts.
    pub(crate) name: &'static str,
    pub(crate) shop: Workshop,
    /// The command line.
    pub(crate) line: Vec<OsString>,
    /// All files at the start of the command.
    pub(crate) start: Tree,
}

impl Setup {
    /// The command with these arguments, in the state that is there now.
    pub(crate) fn new<S: AsRef<OsStr>>(name: &'static str, shop: Workshop, arguments: &[S]) -> Setup {
        let (line, start) = (shop.line(arguments), Tree::of(&shop.home));
        Setup { name, shop, line, start }
    }

    /// Resets all files to the start of the command.
    pub(crate) fn reset(&self) {
        self.start.put(&self.shop.home);
    }

    /// Are all files as they were at the start of the command?
    pub(crate) fn is_untouched(&self) -> bool {
        Tree::of(&self.shop.home) == self.start
    }

    /// The system calls of the command, in order.
    pub(crate) fn calls(&self) -> Vec<Call> {
        let calls = strace::all_calls(&self.line, &|| self.reset());
        self.reset();
        calls
    }

    /// Kills the command just before it makes this call, one of its calls.
    pub(crate) fn kill(&self, call: &Call, calls: &[Call]) {
        strace::kill(call, calls, &self.line, &|| self.reset());
    }

    /// The first call of this name that concerns this file.
    pub(crate) fn first(&self, name: &str, file: &Path) -> Call {
        let file = file.to_str().unwrap();
        let call = self.calls().into_iter().find(|call| call.name == name && call.text.contains(file));
        call.unwrap_or_else(|| panic!("{}: no {name} of {file}", self.name))
    }
}

/// A command whose calls can be replayed to a simulated disk.
pub(crate) trait Played: Deref<Target = Setup> {
    /// Writes a state to real files, recovers, and returns what is lost, if anything is.
    fn judge(&self, state: &Tree) -> Result<(), String>;
    /// Writes a state after the command's last call to real files, and returns what is lost of what the command said was done.
    fn judge_end(&self, _state: &Tree) -> Result<(), String> {
        Ok(())
    }
}

/// Lets a scene be used as its command.
macro_rules! is_a_setup {
    ($scene:ty) => {
        impl std::ops::Deref for $scene {
            type Target = $crate::played::Setup;

            fn deref(&self) -> &$crate::played::Setup {
                &self.setup
            }
        }
    };
}

pub(crate) use is_a_setup;
