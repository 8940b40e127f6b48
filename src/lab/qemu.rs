//! A QEMU process: start, communication, end.
//!
//! The first serial port is the console. QEMU writes it to stderr, which is drained all the time: a guest whose
//! console nobody reads blocks in the middle of its oops. The second serial port is the result port, on QEMU's stdin
//! and stdout. QMP uses a Unix socket in the machine's folder. The guest has no network, no disk, no screen, and no
//! shared folder.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::lab::acceleration::Acceleration;
use crate::lab::launcher;
use crate::lab::machine_type::MachineType;
use crate::lab::wire::LONGEST_LINE;

/// The bytes of console output that are kept from its beginning, and as many from its end.
const CONSOLE_KEPT: usize = 256 << 10;

/// The number of received lines that are queued. A guest that sends more blocks.
const LINES_WAITING: usize = 64;

/// The time limit for QEMU's own answers.
const QMP_LIMIT: Duration = Duration::from_secs(30);

/// QEMU's address space in addition to the guest's memory, in bytes: code and libraries, translated code (TCG keeps up
/// to a gigabyte), stacks of threads.
const BESIDE_GUEST: u64 = 3 << 30;

/// The most bytes of a guest's state without its memory. It has a few hundred kilobytes.
const LARGEST_STATE: u64 = 64 << 20;

/// The configuration of a machine. A clone must have the same one, or the state does not fit.
#[derive(Clone, Debug)]
pub(crate) struct QemuSetup {
    /// The path of this program, which starts QEMU.
    pub(crate) kmodlab: PathBuf,
    /// The path of QEMU.
    pub(crate) qemu: PathBuf,
    pub(crate) machine_type: &'static MachineType,
    pub(crate) acceleration: Acceleration,
    pub(crate) image: PathBuf,
    pub(crate) initramfs: PathBuf,
    /// The kernel's command line.
    pub(crate) command_line: String,
    /// The guest's memory, in MiB.
    pub(crate) memory: u64,
    /// The folder of its memory and sockets.
    pub(crate) folder: PathBuf,
}

/// How the guest's memory is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GuestMemory {
    /// Shared: the guest writes to the file, from which clones start.
    Shared,
    /// Private: the guest reads the file and has its own copy of every page that it writes; it waits for its state.
    Copied,
}

/// A running QEMU process. Dropping the value ends it.
pub(crate) struct Qemu {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    console: Arc<Mutex<ConsoleBuffer>>,
    qmp: BufReader<UnixStream>,
    /// The machine's folder, as a descriptor, since paths of sockets in it may be too long.
    folder: File,
    name: String,
}

/// Why no line was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReceiveError {
    /// The time limit was exceeded.
    Timeout,
    /// The machine ended.
    Ended,
}

fn failed(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Lab, what)
}

impl Qemu {
    /// Starts QEMU. `name` is the name of its sockets, and must be unused in the folder.
    pub(crate) fn start(parts: &QemuSetup, memory: GuestMemory, name: &str) -> Result<Qemu> {
        let folder = File::open(&parts.folder).map_err(|e| Error::io("opening", e).on(&parts.folder))?;
        let mut command = launcher::command(&parts.kmodlab, &parts.qemu, BESIDE_GUEST + (parts.memory << 20));
        command.args(arguments(parts, memory, name));
        command.current_dir(&parts.folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| Error::io("starting", e).on(&parts.kmodlab))?;
        let (Some(input), Some(output), Some(errors)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(failed("QEMU has no pipes"));
        };
        let console = Arc::new(Mutex::new(ConsoleBuffer::default()));
        std::thread::spawn({
            let console = Arc::clone(&console);
            move || drain(errors, &console)
        });
        let (sender, lines) = sync_channel(LINES_WAITING);
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            loop {
                let mut line = Vec::new();
                match output.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
                    Ok(read) if read > 0 => {}
                    _ => return,
                }
                if sender.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                    return;
                }
            }
        });
        let qmp = match connect(&socket(&folder, name), &mut child) {
            Ok(qmp) => qmp,
            Err(why) => {
                let _ = child.kill();
                let _ = child.wait();
                // Its last messages may still be in the pipe.
                std::thread::sleep(Duration::from_millis(50));
                let said = lock(&console).text();
                let said = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or(&why).to_owned();
                return Err(failed(format!("QEMU did not start: {said}")).remedy(Remedy::FindMissing));
            }
        };
        let mut qemu = Qemu { child, input, lines, console, qmp, folder, name: name.to_owned() };
        let mut greeting = String::new();
        qemu.qmp.read_line(&mut greeting).map_err(|e| Error::io("waiting for QEMU's greeting", e))?;
        qemu.qmp("qmp_capabilities", json!({}))?;
        Ok(qemu)
    }

    /// Sends a command to QEMU itself (QEMU Machine Protocol).
    fn qmp(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let mut request = json!({"execute": command, "arguments": arguments}).to_string();
        request.push('\n');
        let io = |e| Error::io(&format!("asking QEMU for {command}"), e);
        self.qmp.get_mut().write_all(request.as_bytes()).map_err(io)?;
        loop {
            let mut line = String::new();
            if self.qmp.read_line(&mut line).map_err(io)? == 0 {
                return Err(failed(format!("QEMU ended when asked for {command}")));
            }
            let mut answer: Value =
                serde_json::from_str(&line).map_err(|e| failed(format!("QEMU's answer to {command}: {e}")))?;
            if let Some(error) = answer.get("error") {
                return Err(failed(format!("QEMU's answer to {command}: {error}")));
            }
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
        }
    }

    /// Stops the guest and returns its state without its memory, which is in the file.
    pub(crate) fn save(&mut self) -> Result<Vec<u8>> {
        self.qmp("stop", json!({}))?;
        self.ignore_shared()?;
        let name = format!("{}.state", self.name);
        let place = socket(&self.folder, &name);
        let listener = UnixListener::bind(&place).map_err(|e| Error::io("making a socket", e).on(&place))?;
        let reader = std::thread::spawn(move || {
            let (stream, _) = listener.accept()?;
            stream.set_read_timeout(Some(QMP_LIMIT))?;
            let mut state = Vec::new();
            stream.take(LARGEST_STATE).read_to_end(&mut state)?;
            Ok::<_, std::io::Error>(state)
        });
        self.qmp("migrate", json!({"uri": format!("unix:{name}")}))?;
        self.wait_for_migration()?;
        let state = reader.join().map_err(|_| failed("the guest's state was not read"))?;
        let _ = std::fs::remove_file(&place);
        state.map_err(|e| Error::io("reading the guest's state", e))
    }

    /// Gives a waiting clone its state, and starts it.
    pub(crate) fn restore(&mut self, state: &[u8]) -> Result<()> {
        self.ignore_shared()?;
        let name = format!("{}.state", self.name);
        let place = socket(&self.folder, &name);
        self.qmp("migrate-incoming", json!({"uri": format!("unix:{name}")}))?;
        let mut stream = UnixStream::connect(&place).map_err(|e| Error::io("giving a clone its state", e))?;
        stream.write_all(state).map_err(|e| Error::io("giving a clone its state", e))?;
        drop(stream);
        self.wait_for_migration()?;
        let _ = std::fs::remove_file(&place);
        self.qmp("cont", json!({}))?;
        Ok(())
    }

    /// The memory is in a shared file, so it is not part of the state.
    fn ignore_shared(&mut self) -> Result<()> {
        let capability = json!({"capabilities": [{"capability": "x-ignore-shared", "state": true}]});
        self.qmp("migrate-set-capabilities", capability).map(drop)
    }

    fn wait_for_migration(&mut self) -> Result<()> {
        let limit = Instant::now() + QMP_LIMIT;
        loop {
            let state = self.qmp("query-migrate", json!({}))?;
            match state.get("status").and_then(Value::as_str) {
                Some("completed") => return Ok(()),
                Some("failed") => return Err(failed(format!("QEMU could not clone the guest: {state}"))),
                _ if Instant::now() > limit => return Err(failed("QEMU takes too long to clone the guest")),
                _ => std::thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    /// Sends text to the guest's result port; false if the machine has ended.
    pub(crate) fn send(&mut self, text: &str) -> bool {
        self.input.write_all(text.as_bytes()).and_then(|()| self.input.flush()).is_ok()
    }

    /// The next line from the guest's result port.
    pub(crate) fn receive(&mut self, limit: Duration) -> Result<String, ReceiveError> {
        self.lines.recv_timeout(limit).map_err(|e| match e {
            RecvTimeoutError::Timeout => ReceiveError::Timeout,
            RecvTimeoutError::Disconnected => ReceiveError::Ended,
        })
    }

    /// The console output; of a long one its beginning and its end.
    pub(crate) fn console(&self) -> String {
        lock(&self.console).text()
    }

    /// The length of the console output in bytes.
    pub(crate) fn console_len(&self) -> usize {
        lock(&self.console).total
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(socket(&self.folder, &self.name));
    }
}

fn arguments(parts: &QemuSetup, memory: GuestMemory, name: &str) -> Vec<OsString> {
    let share = if memory == GuestMemory::Shared { "on" } else { "off" };
    let size = format!("{}M", parts.memory);
    let mut arguments: Vec<OsString> =
        ["-nodefaults", "-no-user-config", "-nic", "none", "-display", "none", "-no-reboot"].map(OsString::from).into();
    let mut add = |more: &[&str]| arguments.extend(more.iter().map(OsString::from));
    add(&["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]);
    add(&["-accel", parts.acceleration.name()]);
    if let Some(cpu) = parts.machine_type.cpu.or((parts.acceleration == Acceleration::Kvm).then_some("host")) {
        add(&["-cpu", cpu]);
    }
    add(&["-M", &format!("{},memory-backend=m", parts.machine_type.kind), "-m", &size, "-smp", "1"]);
    add(&["-object", &format!("memory-backend-file,id=m,size={size},mem-path=memory,share={share}")]);
    add(&["-chardev", "file,id=console,path=/dev/stderr", "-serial", "chardev:console"]);
    add(&["-chardev", "stdio,id=result,signal=off"]);
    add(parts.machine_type.result_port);
    add(&["-qmp", &format!("unix:{name},server=on,wait=off")]);
    add(&["-append", &parts.command_line]);
    if memory == GuestMemory::Copied {
        add(&["-incoming", "defer"]);
    }
    arguments.extend(["-kernel".into(), parts.image.clone().into(), "-initrd".into(), parts.initramfs.clone().into()]);
    arguments
}

/// The path of a socket in the folder. It is short, however long the folder's path is (unix(7) allows 107 bytes).
fn socket(folder: &File, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()))
}

fn connect(socket: &Path, child: &mut Child) -> Result<BufReader<UnixStream>, String> {
    let limit = Instant::now() + QMP_LIMIT;
    loop {
        if let Ok(stream) = UnixStream::connect(socket) {
            stream.set_read_timeout(Some(QMP_LIMIT)).map_err(|e| e.to_string())?;
            return Ok(BufReader::new(stream));
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(status.to_string());
        }
        if Instant::now() > limit {
            return Err("no QMP socket".to_owned());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The console output; of a long one its beginning and its end.
#[derive(Default)]
struct ConsoleBuffer {
    head: Vec<u8>,
    tail: std::collections::VecDeque<u8>,
    total: usize,
}

impl ConsoleBuffer {
    fn add(&mut self, bytes: &[u8]) {
        self.total = self.total.saturating_add(bytes.len());
        let (head, rest) = bytes.split_at(bytes.len().min(CONSOLE_KEPT - self.head.len()));
        self.head.extend_from_slice(head);
        self.tail.extend(rest);
        let surplus = self.tail.len().saturating_sub(CONSOLE_KEPT);
        self.tail.drain(..surplus);
    }

    fn text(&self) -> String {
        let left_out = self.total - self.head.len() - self.tail.len();
        let mut bytes = self.head.clone();
        if left_out > 0 {
            bytes.extend_from_slice(format!("\n[kmodlab: {left_out} bytes left out]\n").as_bytes());
        }
        bytes.extend(&self.tail);
        String::from_utf8_lossy(&bytes).replace('\r', "")
    }
}

fn lock(console: &Mutex<ConsoleBuffer>) -> MutexGuard<'_, ConsoleBuffer> {
    console.lock().unwrap_or_else(|e| e.into_inner())
}

fn drain(mut from: impl Read, console: &Mutex<ConsoleBuffer>) {
    let mut bytes = [0; 4096];
    while let Ok(read) = from.read(&mut bytes) {
        let Some(bytes) = bytes.get(..read).filter(|bytes| !bytes.is_empty()) else { return };
        lock(console).add(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginning_and_end_of_long_output_are_kept() {
        let mut console = ConsoleBuffer::default();
        console.add(b"first\r\n");
        for _ in 0..10_000 {
            console.add(&[b'x'; 1000]);
        }
        console.add(b"last");
        let text = console.text();
        assert!(text.starts_with("first\nx") && text.ends_with("xlast"));
        assert!(text.contains("bytes left out"));
        assert!(text.len() < 2 * CONSOLE_KEPT + 100, "{}", text.len());
    }
}
