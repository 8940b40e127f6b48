//! A disk that guarantees only what was flushed.
//!
//! Each change waits in a log until an fsync of its file or folder makes it durable. When the power is cut, each pending change
//! may or may not have reached the disk, in any order, and a write may have reached it in part. A name belongs to its folder:
//! flushing a file does not make its name durable.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::tape::{Act, Attribute, Step};
use crate::workshop::{Looks, Tree};

/// A file or folder, whatever its name.
type Inode = usize;
const HOME: Inode = 0;

/// The modification time of a file whose time was not set.
const LATER: (i64, i64) = (2_000_000_000, 0);

const GARBAGE: u8 = 0xa5;

/// Above this number of possible losses, some are chosen at random.
const ALL_UP_TO: usize = 1 << 8;
const PICKED: usize = 64;

/// A change, and the inode whose fsync makes it durable.
#[derive(Clone)]
struct Change {
    of: Inode,
    what: What,
    lasts: bool,
    /// An fsync failed on it: no later one makes it durable (the kernel marks pages that it could not write as clean).
    is_given_up: bool,
}

#[derive(Clone)]
enum What {
    Name { name: OsString, inode: Option<Inode> },
    Rename { from: OsString, to: OsString, inode: Inode },
    Bytes { at: usize, bytes: Vec<u8> },
    Cut { len: usize },
    Attribute(Attribute),
}

/// The fate of a pending change when the power is cut.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    Lost,
    /// For a write: only its first half reached the disk.
    Front,
    /// For a write: only its second half reached the disk, preceded by garbage where the file has grown.
    Back,
    /// For a write: the file has its new length, but the new part is zeros.
    Hole,
}

impl What {
    fn fates(&self) -> &'static [Fate] {
        match self {
            What::Bytes { .. } => &[Fate::Kept, Fate::Lost, Fate::Front, Fate::Back, Fate::Hole],
            _ => &[Fate::Kept, Fate::Lost],
        }
    }
}

/// The simulated disk.
#[derive(Clone)]
pub(super) struct Disk {
    home: PathBuf,
    log: Vec<Change>,
    /// Which inodes are folders.
    is_folder: Vec<bool>,
    /// The names as the running program sees them.
    names: HashMap<PathBuf, Inode>,
    /// The program's open descriptors.
    open: HashMap<i32, Inode>,
}

impl Disk {
    /// A disk on which this tree is durable.
    pub(super) fn of(tree: &Tree, home: &Path) -> Disk {
        let names = HashMap::from([(home.to_owned(), HOME)]);
        let mut disk =
            Disk { home: home.to_owned(), log: Vec::new(), is_folder: vec![true], names, open: HashMap::new() };
        for (path, looks) in &tree.0 {
            let inode = disk.make(&home.join(path), looks.is_none());
            let Some(looks) = looks else { continue };
            disk.change(inode, What::Bytes { at: 0, bytes: looks.bytes.clone() });
            let owner = Attribute::Owner(looks.owner.0, looks.owner.1);
            let modified = Attribute::Modified(looks.modified.0, looks.modified.1);
            let label = looks.label.clone().map(Attribute::Label);
            for attribute in [Attribute::Mode(looks.mode), owner, modified].into_iter().chain(label) {
                disk.change(inode, What::Attribute(attribute));
            }
        }
        disk.log.iter_mut().for_each(|change| change.lasts = true);
        disk
    }

    /// Applies a call of the program.
    pub(super) fn take(&mut self, step: &Step) {
        let path = &step.path;
        match &step.act {
            Act::Open { fd, creates } => {
                let inode = match (self.names.get(path), creates) {
                    (Some(inode), _) => *inode,
                    (None, Some(mode)) => {
                        let inode = self.make(path, false);
                        self.change(inode, What::Attribute(Attribute::Mode(*mode)));
                        inode
                    }
                    (None, None) => panic!("{} is not there", path.display()),
                };
                self.open.insert(*fd, inode);
            }
            Act::MakeFolder => {
                self.make(path, true);
            }
            Act::Write { fd, at, bytes } => {
                self.change(self.open[fd], What::Bytes { at: *at, bytes: bytes.clone() });
            }
            Act::Cut { fd, len } => self.change(self.open[fd], What::Cut { len: *len }),
            Act::Set { fd, attribute } => self.change(self.open[fd], What::Attribute(attribute.clone())),
            Act::RenameTo(to) => {
                assert_eq!(path.parent(), to.parent());
                let inode = self.names.remove(path).unwrap();
                self.names.insert(to.clone(), inode);
                let (folder, to) = self.place(to);
                let from = path.file_name().unwrap().to_owned();
                self.change(folder, What::Rename { from, to, inode });
            }
            Act::LinkTo(to) => {
                let inode = self.names[path];
                self.names.insert(to.clone(), inode);
                let (folder, name) = self.place(to);
                self.change(folder, What::Name { name, inode: Some(inode) });
            }
            Act::Remove => {
                self.names.remove(path).unwrap();
                let (folder, name) = self.place(path);
                self.change(folder, What::Name { name, inode: None });
            }
            Act::Sync { fd } => {
                for change in self.waiting_for(*fd).filter(|change| !change.is_given_up) {
                    change.lasts = true;
                }
            }
            Act::SyncAll => {
                for change in self.waiting_on_system(path).filter(|change| !change.is_given_up) {
                    change.lasts = true;
                }
            }
            Act::FailedSyncAll => self.waiting_on_system(path).for_each(|change| change.is_given_up = true),
            Act::FailedSync { fd } => self.waiting_for(*fd).for_each(|change| change.is_given_up = true),
        }
    }

    /// The changes that an fsync of this descriptor makes durable.
    fn waiting_for(&mut self, fd: i32) -> impl Iterator<Item = &mut Change> {
        let of = self.open[&fd];
        self.log.iter_mut().filter(move |change| change.of == of && !change.lasts)
    }

    /// The changes that a flush of the whole file system of this path makes durable. There are two file systems: the vault's
    /// and the other.
    fn waiting_on_system(&mut self, path: &Path) -> impl Iterator<Item = &mut Change> {
        let is_vaults = |path: &Path| path.strip_prefix(&self.home).is_ok_and(|below| below.starts_with("state"));
        let this = is_vaults(path);
        let inodes: HashSet<Inode> =
            self.names.iter().filter(|(path, _)| is_vaults(path) == this).map(|(_, inode)| *inode).collect();
        self.log.iter_mut().filter(move |change| inodes.contains(&change.of) && !change.lasts)
    }

    fn make(&mut self, path: &Path, is_folder: bool) -> Inode {
        let inode = self.is_folder.len();
        self.is_folder.push(is_folder);
        self.names.insert(path.to_owned(), inode);
        let (folder, name) = self.place(path);
        self.change(folder, What::Name { name, inode: Some(inode) });
        inode
    }

    fn place(&self, path: &Path) -> (Inode, OsString) {
        (self.names[path.parent().unwrap()], path.file_name().unwrap().to_owned())
    }

    fn change(&mut self, of: Inode, what: What) {
        self.log.push(Change { of, what, lasts: false, is_given_up: false });
    }

    /// The tree as the running program sees it.
    pub(super) fn now(&self) -> Tree {
        self.with(&vec![Fate::Kept; self.log.len()])
    }

    /// The possible trees after a power cut: all possible losses, or some of them if there are too many.
    pub(super) fn after_power_cut(&self, dice: &mut Dice) -> Vec<Tree> {
        let waiting: Vec<usize> = (0..self.log.len()).filter(|at| !self.log[*at].lasts).collect();
        let kept = vec![Fate::Kept; self.log.len()];
        let ways = waiting.iter().try_fold(1usize, |ways, at| {
            ways.checked_mul(self.log[*at].what.fates().len()).filter(|ways| *ways <= ALL_UP_TO)
        });
        if let Some(ways) = ways {
            let nth = |mut n: usize| {
                let mut fates = kept.clone();
                for &at in &waiting {
                    let choice = self.log[at].what.fates();
                    fates[at] = choice[n % choice.len()];
                    n /= choice.len();
                }
                self.with(&fates)
            };
            return (0..ways).map(nth).collect();
        }
        // All lost; each one lost; each one kept; then random choices.
        let mut lost = kept.clone();
        waiting.iter().for_each(|at| lost[*at] = Fate::Lost);
        let mut all = vec![lost.clone()];
        for &at in &waiting {
            for fate in self.log[at].what.fates() {
                for start in [&kept, &lost] {
                    let mut fates = start.clone();
                    fates[at] = *fate;
                    all.push(fates);
                }
            }
        }
        for _ in 0..PICKED {
            let mut fates = kept.clone();
            for &at in &waiting {
                let choice = self.log[at].what.fates();
                fates[at] = choice[dice.below(choice.len())];
            }
            all.push(fates);
        }
        all.iter().map(|fates| self.with(fates)).collect()
    }

    /// The tree if these are the fates of the changes.
    fn with(&self, fates: &[Fate]) -> Tree {
        let new = Looks {
            bytes: Vec::new(),
            mode: 0o600,
            owner: (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
            modified: LATER,
            label: None,
        };
        let mut files = vec![new; self.is_folder.len()];
        let mut names: BTreeMap<(Inode, OsString), Inode> = BTreeMap::new();
        for (change, fate) in self.log.iter().zip(fates).filter(|(_, fate)| **fate != Fate::Lost) {
            match &change.what {
                What::Name { name, inode: Some(inode) } => {
                    names.insert((change.of, name.clone()), *inode);
                }
                What::Name { name, inode: None } => {
                    names.remove(&(change.of, name.clone()));
                }
                What::Rename { from, to, inode } => {
                    names.remove(&(change.of, from.clone()));
                    names.insert((change.of, to.clone()), *inode);
                }
                What::Bytes { at, bytes } => write(&mut files[change.of], *at, bytes, *fate),
                What::Cut { len } => files[change.of].bytes.resize(*len, 0),
                What::Attribute(attribute) => set(&mut files[change.of], attribute),
            }
        }
        let mut tree = Tree::default();
        self.walk(HOME, Path::new(""), &names, &files, &mut tree);
        tree
    }

    fn walk(
        &self,
        folder: Inode,
        below: &Path,
        names: &BTreeMap<(Inode, OsString), Inode>,
        files: &[Looks],
        tree: &mut Tree,
    ) {
        for ((_, name), inode) in names.range((folder, OsString::new())..(folder + 1, OsString::new())) {
            let path = below.join(name);
            if self.is_folder[*inode] {
                tree.0.insert(path.clone(), None);
                self.walk(*inode, &path, names, files, tree);
            } else {
                tree.0.insert(path, Some(files[*inode].clone()));
            }
        }
    }
}

/// Applies the part of a write that reached the disk, and the resulting file length.
fn write(file: &mut Looks, at: usize, bytes: &[u8], fate: Fate) {
    let half = bytes.len() / 2;
    let (from, there) = match fate {
        Fate::Front => (at, &bytes[..half]),
        Fate::Back => (at + half, &bytes[half..]),
        Fate::Hole => (at + bytes.len(), &[][..]),
        Fate::Kept | Fate::Lost => (at, bytes),
    };
    let end = from + there.len();
    if file.bytes.len() < end {
        // The contents between the old end and the write are arbitrary.
        file.bytes.resize(end, if fate == Fate::Back { GARBAGE } else { 0 });
    }
    file.bytes[from..end].copy_from_slice(there);
    file.modified = LATER;
}

fn set(file: &mut Looks, attribute: &Attribute) {
    match attribute {
        Attribute::Mode(mode) => file.mode = *mode,
        Attribute::Owner(user, group) => file.owner = (*user, *group),
        Attribute::Modified(seconds, nanoseconds) => file.modified = (*seconds, *nanoseconds),
        Attribute::Label(value) => file.label = Some(value.clone()),
    }
}

/// A deterministic random number generator (xorshift).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new() -> Dice {
        Dice(0x6b6d_6f64_6c61_6221)
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}
