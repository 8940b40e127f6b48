//! The changes that a run made to the disk, call by call, read from the output of strace.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::strace::traced;

/// The calls that a tape records.
const KNOWN: &str = "open,openat,openat2,mkdir,mkdirat,pwrite64,ftruncate,fsync,fdatasync,syncfs,rename,renameat,renameat2,unlink,\
                     unlinkat,rmdir,utimensat,fchmod,fchown,fsetxattr,fcntl,linkat";

/// Calls that also change a disk but that no tape supports: add them to the model before the program uses them.
const UNKNOWN: &str = "creat,write,writev,pwritev,pwritev2,truncate,fallocate,copy_file_range,sendfile,splice,\
                       link,symlink,symlinkat,mknod,mknodat,chmod,fchmodat,chown,lchown,fchownat,setxattr,\
                       lsetxattr,fremovexattr,removexattr,lremovexattr,sync,sync_file_range,msync,ioctl";

/// One call that changes the disk or makes a change durable.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// The path; for a descriptor, the path that it was opened with.
    pub(super) path: PathBuf,
    pub(super) act: Act,
}

/// The operation. Descriptors are those of the process.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Open {
        fd: i32,
        creates: Option<u32>,
    },
    MakeFolder,
    Write {
        fd: i32,
        at: usize,
        bytes: Vec<u8>,
    },
    Cut {
        fd: i32,
        len: usize,
    },
    RenameTo(PathBuf),
    LinkTo(PathBuf),
    Remove,
    Set {
        fd: i32,
        attribute: Attribute,
    },
    Sync {
        fd: i32,
    },
    /// The whole file system on which the path is.
    SyncAll,
    FailedSyncAll,
    FailedSync {
        fd: i32,
    },
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Act::Open { creates: None, .. } => "opening",
            Act::Open { .. } | Act::MakeFolder => "making",
            Act::Write { .. } => "writing",
            Act::Cut { .. } => "cutting",
            Act::RenameTo(_) => "renaming",
            Act::LinkTo(_) => "linking",
            Act::Remove => "removing",
            Act::Set { .. } => "giving its looks to",
            Act::Sync { .. } | Act::SyncAll => "flushing",
            Act::FailedSync { .. } | Act::FailedSyncAll => "failing to flush",
        })
    }
}

/// The metadata of a file.
#[derive(Clone, Debug)]
pub(super) enum Attribute {
    Mode(u32),
    Owner(u32, u32),
    Modified(i64, i64),
    Label(Vec<u8>),
}

/// Runs a command line and records its changes below `home`. The calls that `failing` names fail.
pub(super) fn record(line: &[OsString], home: &Path, failing: Option<&str>) -> Vec<Step> {
    let trace = format!("trace={KNOWN},{UNKNOWN}");
    let injection = failing.map(|failing| format!("inject={failing}"));
    let mut options = vec!["-xx", "-s", "1000000", "-e", &trace];
    options.extend(injection.iter().flat_map(|injection| ["-e", injection]));
    let mut reader = Reader { home, open: HashMap::new() };
    traced(&options, line).lines().filter_map(|line| reader.step(Line::parse(line)?)).collect()
}

/// One line of strace: a call, its arguments and its return value.
#[derive(Debug)]
struct Line<'t> {
    name: &'t str,
    arguments: Vec<&'t str>,
    returned: i64,
}

impl<'t> Line<'t> {
    fn parse(line: &'t str) -> Option<Line<'t>> {
        let (name, rest) = line.split_once('(')?;
        let (arguments, returned) = rest.rsplit_once(") ")?;
        let returned = returned.trim_start().strip_prefix("= ")?.split(' ').next()?.parse().ok()?;
        Some(Line { name, arguments: split(arguments), returned })
    }

    fn number(&self, at: usize) -> i64 {
        self.arguments[at].parse().unwrap_or_else(|_| panic!("no number: {self:?}"))
    }

    fn octal(&self, at: usize) -> u32 {
        u32::from_str_radix(self.arguments[at], 8).unwrap()
    }

    /// A string, which strace writes as "\x2f\x74…".
    fn bytes(&self, at: usize) -> Vec<u8> {
        hex::decode(self.arguments[at].trim_matches('"').replace("\\x", "")).unwrap()
    }
}

/// Commas separate arguments, except for commas within brackets.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

struct Reader<'h> {
    home: &'h Path,
    /// The paths that the open descriptors were opened with; none for a file without a name outside of home, which is gone when the program
    /// ends.
    open: HashMap<i32, Option<PathBuf>>,
}

impl Reader<'_> {
    /// The change of a call below home; `None` if there is none.
    fn step(&mut self, line: Line<'_>) -> Option<Step> {
        let is_fsync = matches!(line.name, "fsync" | "fdatasync" | "syncfs");
        if line.returned < 0 && !is_fsync {
            return None;
        }
        let (path, act) = match line.name {
            "open" => self.opened(&line, None, 0)?,
            "openat" | "openat2" => self.opened(&line, Some(0), 1)?,
            "mkdir" => (self.path(&line, None, 0), Act::MakeFolder),
            "mkdirat" => (self.path(&line, Some(0), 1), Act::MakeFolder),
            "rename" => (self.path(&line, None, 0), Act::RenameTo(self.path(&line, None, 1))),
            "renameat" | "renameat2" => (self.path(&line, Some(0), 1), Act::RenameTo(self.path(&line, Some(2), 3))),
            "linkat" => (self.path(&line, Some(0), 1), Act::LinkTo(self.path(&line, Some(2), 3))),
            "unlink" | "rmdir" => (self.path(&line, None, 0), Act::Remove),
            "unlinkat" => (self.path(&line, Some(0), 1), Act::Remove),
            "fcntl" => {
                if line.arguments[1].starts_with("F_DUPFD")
                    && let Some(path) = self.open.get(&(line.number(0) as i32)).cloned()
                {
                    self.open.insert(line.returned as i32, path);
                }
                return None;
            }
            "write" if line.number(0) <= 2 => return None,
            _ => {
                let fd = line.number(0) as i32;
                let path = self.open.get(&fd).unwrap_or_else(|| panic!("of what? {line:?}"));
                (path.clone()?, by_descriptor(&line, fd))
            }
        };
        let is_harmless = matches!(act, Act::Open { creates: None, .. } | Act::Sync { .. } | Act::SyncAll);
        let is_ours = path.starts_with(self.home);
        assert!(is_ours || is_harmless, "it changes what is none of its business: {line:?}");
        is_ours.then_some(Step { path, act })
    }

    /// What was opened; `None` for a file without a name outside of home.
    fn opened(&mut self, line: &Line<'_>, folder: Option<usize>, name: usize) -> Option<(PathBuf, Act)> {
        let fd = line.returned as i32;
        let path = self.path(line, folder, name);
        let flags = line.arguments[name + 1];
        let has_name = !flags.contains("O_TMPFILE");
        assert!(has_name || !path.starts_with(self.home), "the model knows no {line:?}");
        self.open.insert(fd, has_name.then(|| path.clone()));
        assert!(!flags.contains("O_TRUNC"), "the model knows no {line:?}");
        has_name.then(|| (path, Act::Open { fd, creates: flags.contains("O_CREAT").then(|| line.octal(name + 2)) }))
    }

    /// The path given by two arguments: a folder's descriptor and a name.
    fn path(&self, line: &Line<'_>, folder: Option<usize>, name: usize) -> PathBuf {
        let path = PathBuf::from(OsString::from_vec(line.bytes(name)));
        match folder.map(|at| line.arguments[at]) {
            Some("AT_FDCWD") | None => path,
            Some(fd) => self.open[&fd.parse().unwrap()].as_ref().unwrap().join(path),
        }
    }
}

fn by_descriptor(line: &Line<'_>, fd: i32) -> Act {
    let number = |at| line.number(at);
    match line.name {
        "pwrite64" => {
            let mut bytes = line.bytes(1);
            bytes.truncate(line.returned as usize);
            Act::Write { fd, at: number(3) as usize, bytes }
        }
        "ftruncate" => Act::Cut { fd, len: number(1) as usize },
        "fsync" | "fdatasync" if line.returned < 0 => Act::FailedSync { fd },
        "fsync" | "fdatasync" => Act::Sync { fd },
        "syncfs" if line.returned < 0 => Act::FailedSyncAll,
        "syncfs" => Act::SyncAll,
        "fchmod" => Act::Set { fd, attribute: Attribute::Mode(line.octal(1)) },
        "fchown" => Act::Set { fd, attribute: Attribute::Owner(number(1) as u32, number(2) as u32) },
        "fsetxattr" => Act::Set { fd, attribute: Attribute::Label(line.bytes(2)) },
        "utimensat" => {
            let modified = line.arguments[2].rsplit_once("{tv_sec=").unwrap().1;
            let (seconds, rest) = modified.split_once(", tv_nsec=").unwrap();
            let nanoseconds = rest.split('}').next().unwrap();
            let attribute = Attribute::Modified(seconds.parse().unwrap(), nanoseconds.parse().unwrap());
            Act::Set { fd, attribute }
        }
        _ => panic!("the model knows no {line:?}"),
    }
}
