//! The typed confirmation, on a real pseudo-terminal (pty(7)): the module's name is typed, or another name, or nothing.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::guards::fixture;

use crate::support::KMODLAB;

/// The time limit for an answer; after it the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Both ends of a new pseudo-terminal: ours, and the program's.
fn open_terminal() -> (File, File) {
    let (mut ours, mut theirs) = (0, 0);
    let (name, settings, size) = (std::ptr::null_mut(), std::ptr::null(), std::ptr::null());
    // SAFETY: openpty(3) writes two descriptors through the two pointers; the other arguments may be null.
    let answer = unsafe { libc::openpty(&mut ours, &mut theirs, name, settings, size) };
    assert_eq!(answer, 0, "no pseudo-terminal can be had: {}", std::io::Error::last_os_error());
    // SAFETY: openpty succeeded, so this descriptor is open and not owned yet.
    let ours = unsafe { OwnedFd::from_raw_fd(ours) };
    // SAFETY: the same.
    let theirs = unsafe { OwnedFd::from_raw_fd(theirs) };
    for end in [&ours, &theirs] {
        // If the program had our end too, it would never notice that we closed it.
        rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC).unwrap();
    }
    (ours.into(), theirs.into())
}

/// The program, running on a pseudo-terminal.
struct Session {
    /// The user's end of the terminal: keyboard and screen. Reading it does not block.
    person: File,
    seen: String,
    child: Child,
    /// The program's end, kept open so that the terminal's settings can be read after the program has ended.
    terminal: File,
    settings_before: String,
}

impl Session {
    fn start(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Session {
        let (person, terminal) = open_terminal();
        rustix::fs::fcntl_setfl(&person, rustix::fs::OFlags::NONBLOCK).unwrap();
        let settings_before = settings(&terminal);
        let mut command = Command::new(KMODLAB);
        command.args(arguments).current_dir(folder).env("KMODLAB_STATE_DIR", "state").env("TERM", "xterm");
        command.env("XDG_CACHE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"));
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            command.env_remove(name);
        }
        command.envs(environment.iter().copied());
        let end = || terminal.try_clone().unwrap();
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        Session { person, seen: String::new(), child, terminal, settings_before }
    }

    /// Reads the output that was added to the screen since the last call.
    fn look(&mut self) {
        let mut chunk = [0; 4096];
        while let Ok(n @ 1..) = self.person.read(&mut chunk) {
            self.seen.push_str(&String::from_utf8_lossy(&chunk[..n]));
        }
    }

    /// Reads the screen repeatedly until a condition is met.
    fn wait<T>(&mut self, mut until: impl FnMut(&mut Session) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            self.look();
            if let Some(found) = until(self) {
                return found;
            }
            if start.elapsed() > PATIENCE {
                self.child.kill().unwrap();
                panic!("waited in vain; the screen shows: {}", self.seen);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn wait_for(&mut self, text: &str) {
        self.wait(|session| session.seen.contains(text).then_some(()));
    }

    /// Presses keys once the program reads them one by one: until then the terminal itself would act upon Ctrl-C.
    fn types(&mut self, keys: &str) {
        self.wait(|session| (settings(&session.terminal) != session.settings_before).then_some(()));
        self.person.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for the program to end: returns the exit status (as a shell reports it), and the whole output on the screen.
    fn end(mut self) -> (i32, String) {
        use std::os::unix::process::ExitStatusExt;
        let status = self.wait(|session| session.child.try_wait().unwrap());
        self.look();
        assert_eq!(settings(&self.terminal), self.settings_before, "the terminal's settings are left changed");
        let (hidden, shown) = (self.seen.rfind("\x1b[?25l"), self.seen.rfind("\x1b[?25h"));
        assert!(hidden <= shown, "the cursor is left hidden: {:?}", self.seen);
        (status.code().unwrap_or_else(|| 128 + status.signal().unwrap()), self.seen)
    }
}

/// The settings of a terminal (termios(3)), for comparison.
fn settings(terminal: &File) -> String {
    use std::os::fd::AsRawFd;
    // SAFETY: all zeros is a value of this plain structure.
    let mut termios: libc::termios = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open, and tcgetattr(3) fills the structure.
    let answer = unsafe { libc::tcgetattr(terminal.as_raw_fd(), &mut termios) };
    assert_eq!(answer, 0, "no terminal: {}", std::io::Error::last_os_error());
    format!("{:x} {:x} {:x} {:x}", termios.c_iflag, termios.c_oflag, termios.c_cflag, termios.c_lflag)
}

/// A folder with a module whose name can be spelled with `-` or `_`.
struct Scene {
    folder: TempDir,
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene { folder: tempfile::tempdir().unwrap() };
        fs::copy(fixture("hello-4.ko"), scene.module()).unwrap();
        scene
    }

    fn module(&self) -> PathBuf {
        self.folder.path().join("hello-4.ko")
    }

    fn is_untouched(&self) -> bool {
        fs::read(self.module()).unwrap() == fs::read(fixture("hello-4.ko")).unwrap()
            && !self.folder.path().join("state/journal.jsonl").exists()
    }

    /// Starts a patch and waits for the question.
    fn patch(&self) -> Session {
        let mut session = Session::start(self.folder.path(), &["patch", "hello-4.ko", "--mode", "blank"], &[]);
        session.wait_for("Type hello_4 to patch it");
        session
    }
}

#[test]
fn the_plan_is_shown_and_the_modules_name_patches_it() {
    let scene = Scene::new();
    let mut session = scene.patch();
    for part in ["plan for", "becomes     nothing", "confirmed", "digest"] {
        assert!(session.seen.contains(part), "{part} is missing: {}", session.seen);
    }
    session.types("hello_4\r");
    let (status, screen) = session.end();
    assert_eq!(status, 0, "{screen}");
    assert!(screen.contains("undo    kmodlab restore"), "{screen}");
    assert!(!scene.is_untouched());
}

#[test]
fn a_dash_is_as_good_as_an_underscore_and_spaces_around_do_no_harm() {
    for typed in ["hello-4\r", "  hello_4 \r"] {
        let scene = Scene::new();
        let mut session = scene.patch();
        session.types(typed);
        assert_eq!(session.end().0, 0, "{typed:?}");
        assert!(!scene.is_untouched());
    }
}

#[test]
fn any_other_word_leaves_the_module_alone() {
    for typed in ["\r", "y\r", "yes\r", "hello_4.ko\r", "Hello_4\r", "hello_44\r", "hello 4\r"] {
        let scene = Scene::new();
        let mut session = scene.patch();
        session.types(typed);
        let (status, screen) = session.end();
        assert_eq!(status, 3, "{typed:?}: {screen}");
        assert!(screen.contains("refused by the guard confirmed"), "{typed:?}: {screen}");
        assert!(scene.is_untouched(), "{typed:?}");
    }
}

#[test]
fn leaving_the_question_leaves_the_module_alone() {
    for (name, keys) in [("^C", "\x03"), ("^C after the name", "hello_4\x03")] {
        let scene = Scene::new();
        let mut session = scene.patch();
        session.types(keys);
        let (status, screen) = session.end();
        assert!([3, 130].contains(&status), "{name}: {status}, {screen}");
        assert!(scene.is_untouched(), "{name}");
    }
}

#[test]
fn the_end_of_input_is_no_answer() {
    let scene = Scene::new();
    let mut session = scene.patch();
    session.types("\x04\r");
    let (status, screen) = session.end();
    assert_eq!(status, 3, "{screen}");
    assert!(scene.is_untouched());
}

#[test]
fn ctrl_d_cancels_the_question() {
    let scene = Scene::new();
    let mut session = scene.patch();
    session.types("\x04");
    let (status, screen) = session.end();
    assert_eq!(status, 3, "{screen}");
    assert!(screen.contains("confirmation cancelled; nothing was changed"), "{screen}");
    assert!(scene.is_untouched());
}

#[test]
fn a_terminal_that_goes_away_leaves_the_module_alone() {
    let scene = Scene::new();
    let mut session = scene.patch();
    session.types("hello_");
    let Session { mut child, person, terminal, .. } = session;
    drop((person, terminal));
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("it waits for a terminal that is gone");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(scene.is_untouched());
}

#[test]
fn a_digest_asks_no_question() {
    let scene = Scene::new();
    let arguments = ["patch", "hello-4.ko", "--mode", "blank", "--confirm", "0000"];
    let (status, screen) = Session::start(scene.folder.path(), &arguments, &[]).end();
    assert_eq!(status, 3, "{screen}");
    assert!(!screen.contains("Type "), "{screen}");
    assert!(scene.is_untouched());
}

/// A guard refuses before the question is asked.
#[test]
fn a_guard_that_refuses_asks_no_question() {
    let scene = Scene::new();
    fs::hard_link(scene.module(), scene.folder.path().join("second-name.ko")).unwrap();
    let (status, screen) = Session::start(scene.folder.path(), &["patch", "hello-4.ko", "--mode", "blank"], &[]).end();
    assert_eq!(status, 3, "{screen}");
    assert!(screen.contains("refused by the guard file-kind") && !screen.contains("Type "), "{screen}");
    assert!(scene.is_untouched());
}

#[test]
fn foreign_changes_are_discarded_only_after_the_name() {
    let scene = Scene::new();
    let mut session = scene.patch();
    session.types("hello_4\r");
    assert_eq!(session.end().0, 0);
    let theirs = [&fs::read(scene.module()).unwrap()[..], b"a note of mine"].concat();
    fs::write(scene.module(), &theirs).unwrap();
    for (typed, status) in [("no\r", 3), ("hello_4\r", 0)] {
        assert_eq!(fs::read(scene.module()).unwrap(), theirs);
        let arguments = ["restore", "--discard-changes", "hello-4.ko"];
        let mut session = Session::start(scene.folder.path(), &arguments, &[]);
        session.wait_for("Type hello_4 to discard these changes");
        session.types(typed);
        let (ended, screen) = session.end();
        assert_eq!(ended, status, "{screen}");
    }
    assert_eq!(fs::read(scene.module()).unwrap(), fs::read(fixture("hello-4.ko")).unwrap());
}

// ---- Output to a terminal -----------------------------------------------------------------------------------------

/// Is every escape sequence on the screen one of our own colours, and every other control character a line end?
fn assert_only_own_colours(screen: &str) {
    let colours = ["\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m"];
    let rest = colours.iter().fold(screen.to_owned(), |text, colour| text.replace(colour, ""));
    let bad = rest.chars().find(|c| (c.is_control() && !['\n', '\r', '\t'].contains(c)) || *c == '\u{202e}');
    assert_eq!(bad, None, "{screen:?}");
}

#[test]
fn no_escape_sequence_of_a_module_reaches_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(fixture("text.ko"), folder.path().join("text.ko")).unwrap();
    for arguments in [
        &["show", "text.ko"][..],
        &["show", "--modinfo", "text.ko"],
        &["show", "-F", "author", "text.ko"],
        &["show", "-0", "text.ko"],
        &["show", "--json", "text.ko"],
        &["show", "-a", "text.ko"],
        &["diff", "text.ko", "text.ko"],
        &["check", "text.ko", "--kernel", "vermagic:6.1.0 "],
    ] {
        let (_, screen) = Session::start(folder.path(), arguments, &[]).end();
        let screen = screen.replace('\0', "\n");
        assert_only_own_colours(&screen);
        assert!(!screen.contains("\x1b[31mred"), "{arguments:?}: {screen:?}");
    }
    let (_, screen) = Session::start(folder.path(), &["show", "-F", "author", "text.ko"], &[]).end();
    assert!(screen.contains("\\x1b]0;the title is mine\\x07\\x1b[31mred\\x1b[0m"), "{screen:?}");
}

#[test]
fn colours_are_printed_only_on_terminals_that_want_them() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(fixture("hello-4.ko"), folder.path().join("hello-4.ko")).unwrap();
    let has_colours = |arguments: &[&str], environment: &[(&str, &str)]| {
        let arguments = [&["show", "hello-4.ko"], arguments].concat();
        Session::start(folder.path(), &arguments, environment).end().1.contains('\x1b')
    };
    assert!(has_colours(&[], &[]));
    assert!(has_colours(&["--color=always"], &[("NO_COLOR", "1")]));
    assert!(!has_colours(&["--color=never"], &[]));
    assert!(!has_colours(&[], &[("NO_COLOR", "1")]));
    assert!(!has_colours(&[], &[("CLICOLOR", "0")]));
    assert!(!has_colours(&[], &[("TERM", "dumb")]));
}
