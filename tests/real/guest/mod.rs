//! Real kernels answer: a guest is booted once a kernel, and each module that may leave a mark is loaded in a
//! copy-on-write clone of the waiting guest, so that no taint, no module and no damage passes from one cell to the next.
//!
//! `init.c` is what runs in the guest. `qemu` is the machine, `cpio` its initramfs, `packages` where kernels come from.

mod cpio;
pub(crate) mod packages;
mod qemu;

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::json;

use qemu::{Machine, Memory, Parts};

/// How long a kernel may take to boot on a busy machine without hardware acceleration.
const BOOT_LIMIT: Duration = Duration::from_secs(120);

/// How long a cell may take. The witness gives a module 10 s.
const CELL_LIMIT: Duration = Duration::from_secs(40);

/// One question: this file, with these flags of finit_module.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) id: String,
    pub(crate) flags: u8,
    /// The file's name in the initramfs.
    pub(crate) file: String,
}

/// What the kernel answered; `init.c` says what the fields mean.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Answer {
    pub(crate) id: String,
    pub(crate) errno: i32,
    pub(crate) accepted: bool,
    pub(crate) log: Vec<String>,
    pub(crate) taint_before: u64,
    pub(crate) taint_after: u64,
    pub(crate) signal: i32,
    pub(crate) timeout: bool,
    /// Why there is no answer, if there is none, and the end of the console.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) died: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) console: Option<String>,
}

impl Answer {
    /// Whether the guest is as it was before.
    fn left_no_mark(&self) -> bool {
        self.died.is_none()
            && self.taint_after == 0
            && !self.accepted
            && self.errno > 0
            && self.signal == 0
            && !self.timeout
    }
}

/// A booted guest that waits, to be cloned.
pub(crate) struct Waiting {
    parts: Parts,
    state: Vec<u8>,
    /// What the kernel calls itself.
    pub(crate) release: String,
    clones: AtomicUsize,
    _folder: tempfile::TempDir,
}

impl Waiting {
    /// Boots a kernel with these files, by their names, in the initramfs.
    pub(crate) fn boot(vmlinuz: &Path, files: &[(String, Vec<u8>)]) -> Waiting {
        let folder = tempfile::Builder::new().prefix("kmodlab-guest-").tempdir().unwrap();
        let init = witness(folder.path());
        let all = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
        let initramfs = cpio::archive(std::iter::once(("init", init.as_slice())).chain(all));
        let parts = Parts {
            vmlinuz: vmlinuz.to_owned(),
            initramfs: folder.path().join("initramfs"),
            memory: folder.path().join("memory"),
            folder: folder.path().to_owned(),
        };
        std::fs::write(&parts.initramfs, initramfs).unwrap();
        let mut machine = Machine::start(&parts, Memory::Shared, "boot");
        let ready = machine.receive(BOOT_LIMIT);
        let ready = ready.unwrap_or_else(|why| panic!("{}: {why}\n{}", vmlinuz.display(), machine.console()));
        let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
        let release = ready["ready"].as_str().expect("the witness says which kernel is ready").to_owned();
        let state = save(&mut machine, folder.path());
        Waiting { parts, state, release, clones: AtomicUsize::new(0), _folder: folder }
    }

    fn another(&self) -> Machine {
        let number = self.clones.fetch_add(1, Ordering::Relaxed);
        let mut machine = Machine::start(&self.parts, Memory::Copied, &format!("clone-{number}"));
        ignore_shared(&mut machine);
        let socket = self.parts.folder.join(format!("state-{number}"));
        machine.qmp("migrate-incoming", json!({"uri": format!("unix:{}", socket.display())}));
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(&self.state).unwrap();
        drop(stream);
        machine.wait_for_migration();
        let _ = std::fs::remove_file(&socket);
        machine.qmp("cont", json!({}));
        machine
    }

    /// Asks all, in guests side by side. The answers are in the cells' order.
    pub(crate) fn ask(&self, cells: &[Cell], mut tell: impl FnMut(usize, &Answer) + Send) -> Vec<Answer> {
        let next = AtomicUsize::new(0);
        let answers: Mutex<Vec<Option<Answer>>> = Mutex::new(vec![None; cells.len()]);
        let tell = Mutex::new(&mut tell);
        let workers = std::thread::available_parallelism().map_or(2, usize::from).min(cells.len());
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    let mut guest = None;
                    while let Some((index, cell)) = {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        cells.get(index).map(|cell| (index, cell))
                    } {
                        let mut machine = guest.take().unwrap_or_else(|| self.another());
                        let answer = ask(&mut machine, cell);
                        if answer.left_no_mark() {
                            guest = Some(machine);
                        }
                        tell.lock().unwrap()(index, &answer);
                        answers.lock().unwrap()[index] = Some(answer);
                    }
                });
            }
        });
        answers.into_inner().unwrap().into_iter().map(|answer| answer.expect("each cell was asked")).collect()
    }
}

fn ask(machine: &mut Machine, cell: &Cell) -> Answer {
    let limit = Instant::now() + CELL_LIMIT;
    let said = match machine.send(&format!("{} {} /{}", cell.id, cell.flags, cell.file)) {
        true => machine.receive(limit.saturating_duration_since(Instant::now())),
        false => Err("the machine ended"),
    };
    let why = match said.map(|line| (serde_json::from_str::<Answer>(&line), line)) {
        Ok((Ok(answer), _)) if answer.id == cell.id => return answer,
        Ok((_, line)) => format!("no answer to this cell: {line:?}"),
        Err(why) => why.to_owned(),
    };
    // The console's last words may still be on their way.
    std::thread::sleep(Duration::from_millis(100));
    Answer { id: cell.id.clone(), errno: -1, died: Some(why), console: Some(machine.console()), ..Answer::default() }
}

/// The state of a waiting guest, without its memory, which is in the file.
fn save(machine: &mut Machine, folder: &Path) -> Vec<u8> {
    machine.qmp("stop", json!({}));
    ignore_shared(machine);
    let socket = folder.join("state");
    let listener = UnixListener::bind(&socket).unwrap();
    let reader = std::thread::spawn(move || {
        let mut state = Vec::new();
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(BOOT_LIMIT)).unwrap();
        stream.read_to_end(&mut state).unwrap();
        state
    });
    machine.qmp("migrate", json!({"uri": format!("unix:{}", socket.display())}));
    machine.wait_for_migration();
    reader.join().unwrap()
}

/// The memory is in a file that both share: it is not part of the state.
fn ignore_shared(machine: &mut Machine) {
    let capability = json!({"capabilities": [{"capability": "x-ignore-shared", "state": true}]});
    machine.qmp("migrate-set-capabilities", capability);
}

/// Compiles the witness.
fn witness(folder: &Path) -> Vec<u8> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/guest/init.c");
    let program = folder.join("init");
    let output =
        Command::new("gcc").args(["-static", "-O2", "-Wall", "-Werror", "-o"]).arg(&program).arg(source).output();
    let output = output.expect("gcc: tests/run installs what the tests need");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(program).unwrap()
}
