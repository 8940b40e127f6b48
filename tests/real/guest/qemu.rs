//! One QEMU: started, spoken to, ended.
//!
//! The first serial port is the console; QEMU writes it to its stderr, which is drained always: a guest whose console
//! nobody reads stops in the middle of its oops. The second port is the result port, on QEMU's stdin and stdout. QMP is
//! a Unix socket.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How much of the end of the console is kept.
const CONSOLE_KEPT: usize = 64 << 10;

/// The longest line that a guest may send; a longer one is cut, and is then no JSON.
const LINE_LIMIT: u64 = 4 << 20;

/// Lines that wait for us. A guest that sends more waits.
const LINES_WAITING: usize = 16;

/// How long QEMU itself may take to answer.
const QMP_LIMIT: Duration = Duration::from_secs(30);

/// What a machine is made of. A clone has the same, or its state does not fit.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub(super) vmlinuz: PathBuf,
    pub(super) initramfs: PathBuf,
    /// The file that is the guest's memory.
    pub(super) memory: PathBuf,
    pub(super) folder: PathBuf,
}

/// How the memory file is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    /// What the guest writes goes to the file.
    Shared,
    /// The guest has the file's content and its own copy of what it writes; it waits for its state.
    Copied,
}

const MEMORY_SIZE: &str = "512M";

const COMMAND_LINE: &str = "console=ttyS0 panic=-1 softlockup_panic=1 ignore_loglevel";

pub(super) struct Machine {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    console: Arc<Mutex<VecDeque<u8>>>,
    qmp: BufReader<UnixStream>,
}

impl Machine {
    /// Starts it. `name` is for its QMP socket, and must not be in use.
    pub(super) fn start(parts: &Parts, memory: Memory, name: &str) -> Machine {
        let socket = parts.folder.join(name);
        let share = if memory == Memory::Shared { "on" } else { "off" };
        // setpriv: QEMU ends with the thread that started it, whatever ends that.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "qemu-system-x86_64"]);
        command.args(["-nodefaults", "-nic", "none", "-display", "none", "-no-reboot", "-sandbox", "on"]);
        command.args(["-accel", "tcg", "-M", "q35,memory-backend=m", "-m", MEMORY_SIZE, "-smp", "1", "-object"]);
        let memory_file = parts.memory.display();
        command.arg(format!("memory-backend-file,id=m,size={MEMORY_SIZE},mem-path={memory_file},share={share}"));
        command.args(["-chardev", "file,id=console,path=/dev/stderr", "-serial", "chardev:console"]);
        command.args(["-chardev", "stdio,id=result,signal=off", "-serial", "chardev:result"]);
        command.arg("-qmp").arg(format!("unix:{},server=on,wait=off", socket.display()));
        command.arg("-kernel").arg(&parts.vmlinuz).arg("-initrd").arg(&parts.initramfs);
        command.args(["-append", COMMAND_LINE]);
        if memory == Memory::Copied {
            command.args(["-incoming", "defer"]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("setpriv and QEMU: tests/run installs what the tests need");
        let input = child.stdin.take().expect("a pipe was asked for");
        let output = child.stdout.take().expect("a pipe was asked for");
        let errors = child.stderr.take().expect("a pipe was asked for");
        let console = Arc::new(Mutex::new(VecDeque::new()));
        std::thread::spawn({
            let console = Arc::clone(&console);
            move || drain(errors, &console)
        });
        let (sender, lines) = sync_channel(LINES_WAITING);
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            loop {
                let mut line = Vec::new();
                match output.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut line) {
                    Ok(read) if read > 0 => {}
                    _ => return,
                }
                if sender.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                    return;
                }
            }
        });
        let qmp = match connect(&socket, &mut child) {
            Ok(qmp) => qmp,
            Err(why) => {
                let _ = child.kill();
                let _ = child.wait();
                panic!("QEMU did not start: {why}\n{}", tail(&console));
            }
        };
        let mut machine = Machine { child, input, lines, console, qmp };
        machine.greet();
        machine
    }

    fn greet(&mut self) {
        let mut greeting = String::new();
        self.qmp.read_line(&mut greeting).expect("QEMU's greeting");
        self.qmp("qmp_capabilities", json!({}));
    }

    /// Asks QEMU itself.
    pub(super) fn qmp(&mut self, command: &str, arguments: Value) -> Value {
        self.try_qmp(command, arguments).unwrap_or_else(|why| panic!("QMP {command}: {why}\n{}", self.console()))
    }

    fn try_qmp(&mut self, command: &str, arguments: Value) -> Result<Value, String> {
        let mut request = json!({"execute": command, "arguments": arguments}).to_string();
        request.push('\n');
        self.qmp.get_mut().write_all(request.as_bytes()).map_err(|e| e.to_string())?;
        loop {
            let mut line = String::new();
            if self.qmp.read_line(&mut line).map_err(|e| e.to_string())? == 0 {
                return Err("QEMU is gone".to_owned());
            }
            let mut answer: Value = serde_json::from_str(&line).map_err(|e| e.to_string())?;
            if let Some(error) = answer.get("error") {
                return Err(error.to_string());
            }
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
        }
    }

    /// Waits for the migration, out or in, to end.
    pub(super) fn wait_for_migration(&mut self) {
        let limit = Instant::now() + QMP_LIMIT;
        loop {
            let state = self.qmp("query-migrate", json!({}));
            match state.get("status").and_then(Value::as_str) {
                Some("completed") => return,
                Some("failed") => panic!("migration failed: {state}\n{}", self.console()),
                _ => {}
            }
            assert!(Instant::now() < limit, "migration takes too long: {state}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Sends a line to the guest's result port.
    pub(super) fn send(&mut self, line: &str) -> bool {
        writeln!(self.input, "{line}").and_then(|()| self.input.flush()).is_ok()
    }

    /// The next line from the guest's result port; an error if the time is over, or the machine ended.
    pub(super) fn receive(&mut self, limit: Duration) -> Result<String, &'static str> {
        self.lines.recv_timeout(limit).map_err(|e| match e {
            RecvTimeoutError::Timeout => "no answer in time",
            RecvTimeoutError::Disconnected => "the machine ended",
        })
    }

    /// The end of the console.
    pub(super) fn console(&mut self) -> String {
        tail(&self.console)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connect(socket: &Path, child: &mut Child) -> Result<BufReader<UnixStream>, String> {
    let limit = Instant::now() + QMP_LIMIT;
    loop {
        if let Ok(stream) = UnixStream::connect(socket) {
            let _ = std::fs::remove_file(socket);
            stream.set_read_timeout(Some(QMP_LIMIT)).map_err(|e| e.to_string())?;
            return Ok(BufReader::new(stream));
        }
        if let Ok(Some(status)) = child.try_wait() {
            std::thread::sleep(Duration::from_millis(100));
            return Err(status.to_string());
        }
        if Instant::now() > limit {
            return Err("no QMP socket".to_owned());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn drain(mut from: impl Read, kept: &Mutex<VecDeque<u8>>) {
    let mut bytes = [0; 4096];
    while let Ok(read) = from.read(&mut bytes) {
        if read == 0 {
            return;
        }
        let mut kept = kept.lock().expect("no thread panics with this lock");
        kept.extend(&bytes[..read]);
        let surplus = kept.len().saturating_sub(CONSOLE_KEPT);
        kept.drain(..surplus);
    }
}

fn tail(console: &Mutex<VecDeque<u8>>) -> String {
    let bytes: Vec<u8> = console.lock().expect("no thread panics with this lock").iter().copied().collect();
    String::from_utf8_lossy(&bytes).replace('\r', "")
}
