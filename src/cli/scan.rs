//! `scan`: what very many modules are, by a glance at each: trees, folders, packages, files.

mod record;
mod table;
mod tally;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::cli::Status;
use crate::cli::modules::Modules;
use crate::cli::output::{Counter, Failure, Session};
use crate::digest::sha256;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{self, package};
use crate::module::elf::{self, Class, Endian};
use crate::module::glance::{Glance, Looker};
use crate::module::versions::Kind;
use crate::module::{file, is_module_name};
use crate::parallel::in_order;
use crate::vault::history::History;
use crate::vault::index::Index;
use crate::vault::state::{State, state_of};
use crate::vault::target;
use crate::walk::{OpenDirectory, Walk, WalkedDirectory, WalkedFile};
use record::Place;
use tally::{KEPT, Odd, Recorded, Tally, Traits};

#[derive(clap::Args)]
#[command(mut_group("Modules", |group| group.required(true)))]
#[command(mut_arg("modules", |modules| modules.value_name("PATH").help(
    "Module trees or other folders, which are gone through without following links, 64 folders deep; packages (.deb, or A+B); module files"
)))]
pub(super) struct Args {
    #[command(flatten)]
    modules: Modules,
    /// One JSON object a module, in a line each
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// A line a module, as comma-separated values, below a line with the columns' names
    #[arg(long)]
    csv: bool,
}

/// How many files are fetched at a time, where each takes microseconds, and where they are compressed: the last ones are to
/// keep all cores at work.
const BATCH: usize = 32;
const COMPRESSED_BATCH: usize = 4;

/// How many folders are kept open by all threads together. A process may have 1024 files open as a rule.
const MOST_OPEN: usize = 256;

/// How many modules of a package wait to be glanced at.
const UNPACKED_AHEAD: usize = 4;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Table,
    Json,
    Csv,
}

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let form = match (args.json, args.csv) {
        (true, _) => Form::Json,
        (_, true) => Form::Csv,
        _ => Form::Table,
    };
    // Who has no home folder and names no other has no journal.
    // The journal only adds to what a scan shows, so a scan reports an untrusted journal and continues without it.
    let vault = match session.vault() {
        Err(e) if e.kind() == ErrorKind::Untrusted => {
            session.complain(&e);
            session.remark("going on without the journal: no module is shown as known to it");
            None
        }
        vault => vault.ok(),
    };
    let index = vault.map(|vault| vault.index()).transpose()?;
    let known = Known(index.filter(|index| !index.is_empty()));
    let max_size = session.max_size;
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let mut source = Source {
        named: Box::new(args.modules.named()?),
        inside: Inside::Nothing,
        folders: (MOST_OPEN / threads).max(1),
        max_size,
    };
    if form == Form::Csv {
        writeln!(session.out, "{}", record::CSV_HEADER)?;
    }
    let counter = Counter::new("module", form == Form::Table || !session.escapes);
    let counter = std::cell::RefCell::new(counter);
    let done = std::cell::Cell::new(0);
    let mut tally = Tally::default();
    let mut failed = 0;
    // The only module, if it is one and can't be read: then its error is all there is to say.
    let mut alone = None;
    in_order(
        threads,
        || source.batch(),
        Worker::new,
        |worker, batch: Vec<Item>| worker.work(batch, form, &known, max_size),
        |outcome: Outcome| {
            if !outcome.complaints.is_empty() || !outcome.lines.is_empty() {
                counter.borrow_mut().clear();
            }
            session.out.write_all(&outcome.lines)?;
            for error in &outcome.complaints {
                session.complain(error);
            }
            done.set(done.get() + outcome.done);
            failed += outcome.failed;
            for Counted { tree, looked, count, first } in outcome.counted {
                tally.add(&tree, &looked, count, first.iter().map(|path| below(&tree, path)));
                let path = first.into_iter().next();
                alone = looked.err().filter(|_| done.get() == 1).zip(path);
            }
            counter.borrow_mut().at(done.get());
            Ok::<(), Failure>(())
        },
        || counter.borrow_mut().at(done.get()),
    )?;
    counter.borrow_mut().clear();
    let done = done.get();
    match alone.filter(|_| done == 1) {
        Some((error, path)) => session.complain(&error.on(path)),
        None if form == Form::Table => table::print(&tally, session)?,
        None => {}
    }
    Ok(match (failed, done) {
        (0, _) => Status::Done,
        (_, 1) => Status::Failed,
        _ => Status::Partial,
    })
}

/// What the journal knows as patched, where there is one.
struct Known(Option<Index>);

impl Known {
    /// What a file is by the journal. It is hashed if it is in a patched file's place, or as large as something that came
    /// out of a patch; the others are not, for that would be to read them whole.
    fn file(&self, name: &OsStr, path: impl Fn() -> PathBuf, size: u64) -> Result<Option<Recorded>> {
        let Some(index) = &self.0 else { return Ok(None) };
        let sha = || file::read(&path()).map(|contents| sha256(contents.bytes()));
        match patched_place(index, name, &path)? {
            Some(real) => {
                let sha = sha()?;
                let entries = index.about(&real, &[sha])?;
                Ok(Some(match state_of(&History::of(&entries), &real, Some(sha)).0 {
                    State::Patched => Recorded::Patched,
                    State::Original => Recorded::Original,
                    State::Changed | State::Missing | State::Unknown => Recorded::Changed,
                }))
            }
            None if index.sizes().contains(&size) => Ok(index.knows_content(sha()?)?.then_some(Recorded::Patched)),
            None => Ok(None),
        }
    }

    /// The same of bytes that are in no file of their own.
    fn bytes(&self, bytes: &[u8]) -> Result<Option<Recorded>> {
        let Some(index) = self.0.as_ref().filter(|index| index.sizes().contains(&(bytes.len() as u64))) else {
            return Ok(None);
        };
        Ok(index.knows_content(sha256(bytes))?.then_some(Recorded::Patched))
    }
}

/// The real path, if the journal has it as that of a file that is patched now.
fn patched_place(index: &Index, name: &OsStr, path: impl Fn() -> PathBuf) -> Result<Option<PathBuf>> {
    if !index.has_name(name) {
        return Ok(None);
    }
    let Ok(real) = target::real_path(&path()) else { return Ok(None) };
    Ok(index.is_patched(&real)?.then_some(real))
}

/// What is glanced at, or was found in its stead.
enum Item {
    /// A file that was named.
    Named(PathBuf),
    /// A file in a folder that was named.
    Found(WalkedFile),
    /// A module in a package.
    Packed { package: Arc<Path>, path: PathBuf, bytes: Vec<u8> },
    /// What can't be gone into.
    Failed(Error),
}

impl Item {
    /// The package that it is in, if it is in one, and its path.
    fn place(&self) -> (Option<&Path>, Cow<'_, Path>) {
        match self {
            Item::Named(path) => (None, Cow::Borrowed(path)),
            Item::Found(found) => (None, Cow::Owned(found.path())),
            Item::Packed { package, path, .. } => (Some(package), Cow::Borrowed(path)),
            Item::Failed(_) => (None, Cow::Borrowed(Path::new(""))),
        }
    }
}

/// Where items come from: all that is named, one after the other.
struct Source {
    named: Box<dyn Iterator<Item = Result<PathBuf>> + Send>,
    inside: Inside,
    /// How many folders the files of a batch may be in: they stay open as long.
    folders: usize,
    max_size: u64,
}

/// What is being gone through.
enum Inside {
    Nothing,
    Folder(Walk),
    Package(Arc<Path>, Receiver<Result<(String, Vec<u8>)>>),
    /// Several packages in one name.
    Several(VecDeque<PathBuf>),
}

impl Source {
    /// Some items. Those of a package come alone, since they hold memory.
    fn batch(&mut self) -> Option<Vec<Item>> {
        let (mut batch, mut room) = (Vec::with_capacity(BATCH), BATCH);
        let (mut last, mut folders) = (None, 0);
        while room > 0 && folders < self.folders {
            let Some(item) = self.next() else { break };
            let folder = match &item {
                Item::Found(found) => Some(Arc::as_ptr(found.directory())),
                _ => None,
            };
            folders += usize::from(folder != last);
            last = folder;
            let of_name = |name: &OsStr| if name.as_bytes().ends_with(b".ko") { 1 } else { BATCH / COMPRESSED_BATCH };
            room = room.saturating_sub(match &item {
                Item::Found(found) => of_name(found.name()),
                Item::Named(path) => of_name(path.as_os_str()),
                Item::Failed(_) => BATCH / COMPRESSED_BATCH,
                Item::Packed { .. } => BATCH,
            });
            batch.push(item);
        }
        (!batch.is_empty()).then_some(batch)
    }

    fn next(&mut self) -> Option<Item> {
        loop {
            match &mut self.inside {
                Inside::Nothing => match self.named.next()? {
                    Ok(path) => {
                        if let Some(item) = self.enter(path) {
                            return Some(item);
                        }
                    }
                    Err(error) => return Some(Item::Failed(error)),
                },
                Inside::Folder(files) => match files.next_file() {
                    Some(Ok(found)) => return Some(Item::Found(found)),
                    Some(Err(error)) => return Some(Item::Failed(error)),
                    None => self.inside = Inside::Nothing,
                },
                Inside::Package(package, modules) => match modules.recv() {
                    Ok(Ok((path, bytes))) => {
                        return Some(Item::Packed { package: package.clone(), path: path.into(), bytes });
                    }
                    Ok(Err(error)) => return Some(Item::Failed(error)),
                    Err(_) => self.inside = Inside::Nothing,
                },
                Inside::Several(parts) => {
                    let mut rest = std::mem::take(parts);
                    self.inside = Inside::Nothing;
                    if let Some(first) = rest.pop_front() {
                        // What follows is named next.
                        let named = std::mem::replace(&mut self.named, Box::new(std::iter::empty()));
                        self.named = Box::new(rest.into_iter().map(Ok).chain(named));
                        if let Some(item) = self.enter(first) {
                            return Some(item);
                        }
                    }
                }
            }
        }
    }

    /// Begins with what is named; a file is an item at once.
    fn enter(&mut self, path: PathBuf) -> Option<Item> {
        if path.is_dir() {
            self.inside = Inside::Folder(Walk::modules(path));
            return None;
        }
        if is_module_name(&path) {
            return Some(Item::Named(path));
        }
        if package::is_package(&path) {
            let package: Arc<Path> = path.into();
            self.inside = Inside::Package(package.clone(), unpack(package, self.max_size));
            return None;
        }
        let parts = kernel::paths(path.as_os_str());
        if parts.len() > 1 {
            self.inside = Inside::Several(parts.into());
            return None;
        }
        Some(Item::Named(path))
    }
}

/// Goes through a package on a thread of its own; it ends when nobody takes what comes.
fn unpack(package: Arc<Path>, max_size: u64) -> Receiver<Result<(String, Vec<u8>)>> {
    let (sender, receiver) = sync_channel(UNPACKED_AHEAD);
    std::thread::spawn(move || {
        let nobody = || Error::new(ErrorKind::Io, "nobody takes what is unpacked");
        let each = |path, bytes| sender.send(Ok((path, bytes))).map_err(|_| nobody());
        if let Err(error) = package::each_module(&package, max_size, each) {
            // If nobody is there, nobody is told.
            let _ = sender.send(Err(error));
        }
    });
    receiver
}

/// What came of a batch.
#[derive(Default)]
struct Outcome {
    /// What is printed: JSON or CSV.
    lines: Vec<u8>,
    /// What is said at once: what was named and is not there, or can't be gone into.
    complaints: Vec<Error>,
    /// What is counted, for the table.
    counted: Vec<Counted>,
    done: usize,
    failed: usize,
}

/// Modules in a row that are counted alike, as most are.
struct Counted {
    tree: Option<Arc<Path>>,
    looked: Result<Traits>,
    count: usize,
    /// The first ones.
    first: Vec<PathBuf>,
}

impl Counted {
    fn is_alike(&self, tree: &Option<Arc<Path>>, looked: &Result<Traits>) -> bool {
        let is_same = match (&self.tree, tree) {
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
            (ours, theirs) => ours.is_none() && theirs.is_none(),
        };
        is_same && matches!((&self.looked, looked), (Ok(ours), Ok(theirs)) if ours.is_alike(theirs))
    }
}

/// What a thread keeps from one module to the next: memory, and texts that most modules share.
#[derive(Default)]
struct Worker {
    looker: Looker,
    here: Here,
    vermagic: Shared,
    signer: Shared,
    machine: Option<Machine>,
    trees: Trees,
}

/// A text that is mostly the same as the last time.
#[derive(Default)]
struct Shared(Option<Arc<[u8]>>);

impl Shared {
    fn of(&mut self, text: &[u8]) -> Arc<[u8]> {
        match &self.0 {
            Some(known) if **known == *text => known.clone(),
            _ => self.0.insert(Arc::from(text)).clone(),
        }
    }
}

/// The last folder that a module was looked for in, if it could be opened.
#[derive(Default)]
struct Here(Option<(Arc<WalkedDirectory>, Option<OpenDirectory>)>);

impl Here {
    /// Goes to the folder that a module is in.
    fn at(&mut self, found: &mut WalkedFile) -> Option<&OpenDirectory> {
        let open = found.take_open();
        let is_here = matches!(&self.0, Some((folder, _)) if Arc::ptr_eq(folder, found.directory()));
        if open.is_some() || !is_here {
            let folder = found.directory().clone();
            let open = open.or_else(|| folder.open());
            self.0 = Some((folder, open));
        }
        self.0.as_ref().and_then(|(_, open)| open.as_ref())
    }
}

impl Worker {
    /// One for this thread, which from here on has a table of descriptors of its own: the kernel guards a table that is
    /// shared, which takes a tenth of the time. Where it may not have one, as in some containers, it is slower.
    fn new() -> Worker {
        // SAFETY: a descriptor that is opened from here on, on any of the threads, is used and closed on the same one. What
        // is taken from the source stays on the thread that took it (an `Open` is not `Send`); the source goes from thread
        // to thread, but what it keeps open was opened before there were threads (a list of files), or is nothing (`Walk`,
        // between two calls), or is another thread's whole life long (`unpack`); outcomes hold no files; and the journal's
        // index was opened before, and stays open until the threads are gone.
        let _ = unsafe { unshare_unsafe(UnshareFlags::FILES) };
        Worker::default()
    }

    fn work(&mut self, batch: Vec<Item>, form: Form, known: &Known, max_size: u64) -> Outcome {
        let mut outcome = Outcome::default();
        for mut item in batch {
            outcome.done += 1;
            let looked = match &mut item {
                Item::Named(path) => {
                    let name = path.file_name().unwrap_or_default();
                    let looked = self.looker.file(path, max_size);
                    looked.and_then(|glance| Ok((known.file(name, || path.clone(), glance.stored_size)?, glance)))
                }
                Item::Found(found) => {
                    let here = self.here.at(found);
                    let (name, path) = (found.name(), || found.path());
                    let looked = match here {
                        Some(open) => self.looker.file_in(open.descriptor(), name, path, max_size),
                        None => self.looker.file(&path(), max_size),
                    };
                    looked.and_then(|glance| Ok((known.file(name, path, glance.stored_size)?, glance)))
                }
                Item::Packed { bytes, .. } => {
                    let looked = self.looker.bytes(bytes, max_size);
                    looked.and_then(|glance| Ok((known.bytes(bytes)?, glance)))
                }
                Item::Failed(_) => {
                    outcome.failed += 1;
                    if let Item::Failed(error) = item {
                        outcome.complaints.push(error);
                    }
                    continue;
                }
            };
            outcome.failed += usize::from(looked.is_err());
            if form != Form::Table {
                let shown = looked.as_ref().map(|(recorded, glance)| (glance, *recorded));
                let (package, path) = item.place();
                let place = Place { package, path: &path };
                // Into memory it can't fail.
                let _ = match form {
                    Form::Json => record::json(place, shown, &mut outcome.lines),
                    _ => record::csv(place, shown, &mut outcome.lines),
                };
            }
            let looked = match looked {
                Err(error) if matches!(item, Item::Named(_)) => {
                    outcome.complaints.push(error);
                    continue;
                }
                _ if form != Form::Table => continue,
                Ok((recorded, glance)) => {
                    let machine = words(&mut self.machine, &glance);
                    Ok(traits(&glance, recorded, machine, &mut self.vermagic, &mut self.signer))
                }
                Err(error) => Err(error),
            };
            let tree = self.trees.of(&item);
            match outcome.counted.last_mut() {
                Some(last) if last.is_alike(&tree, &looked) => {
                    last.count += 1;
                    if last.first.len() < KEPT {
                        last.first.push(item.place().1.into_owned());
                    }
                }
                _ => {
                    let first = vec![item.place().1.into_owned()];
                    outcome.counted.push(Counted { tree, looked, count: 1, first });
                }
            }
        }
        outcome
    }
}

/// Class, byte order and machine, and what they are called.
struct Machine {
    key: (Class, Endian, u16),
    words: Arc<[u8]>,
}

/// A machine's words, which are mostly those of the last time.
fn words(last: &mut Option<Machine>, glance: &Glance<'_>) -> Arc<[u8]> {
    let key = (glance.class, glance.endian, glance.machine);
    match last {
        Some(known) if known.key == key => known.words.clone(),
        _ => {
            let machine = elf::machine_name(glance.machine);
            let words = format!("{} {} {machine}", glance.class.name(), glance.endian.name());
            last.insert(Machine { key, words: Arc::from(words.as_bytes()) }).words.clone()
        }
    }
}

fn traits(
    glance: &Glance<'_>,
    recorded: Option<Recorded>,
    machine: Arc<[u8]>,
    vermagic: &mut Shared,
    signer: &mut Shared,
) -> Traits {
    let has_basic = matches!(glance.versions, Kind::Basic | Kind::Both);
    let odd = [
        (glance.vermagics > 1, Odd::Several),
        (!glance.visible, Odd::Hidden),
        (has_basic && !glance.versions_visible, Odd::VersionsHidden),
        (glance.unclaimed > 0, Odd::Unclaimed),
    ];
    Traits {
        vermagic: glance.vermagic.map(|text| vermagic.of(text)),
        signer: glance.is_signed.then(|| signer.of(glance.signer.unwrap_or_default())),
        machine,
        has_mark: glance.mark.is_some(),
        recorded,
        odd: odd.into_iter().filter(|(is_there, _)| *is_there).map(|(_, odd)| odd).collect(),
    }
}

/// The trees that modules are counted in, as far as they serve again.
#[derive(Default)]
struct Trees {
    /// The last folder that modules were in, and the tree of all of them.
    folder: Option<(Arc<WalkedDirectory>, Option<Arc<Path>>)>,
    /// The last module tree.
    last: Option<Arc<Path>>,
}

impl Trees {
    /// The tree that a module is counted in: the module tree that its path names, the package or the folder that was named,
    /// or none.
    fn of(&mut self, item: &Item) -> Option<Arc<Path>> {
        match item {
            Item::Packed { package, .. } => Some(package.clone()),
            Item::Named(path) => self.module_tree(path),
            Item::Found(found) => match &self.folder {
                Some((folder, tree)) if Arc::ptr_eq(folder, found.directory()) => tree.clone(),
                _ => {
                    let tree = self.module_tree(&found.path()).or_else(|| Some(found.directory().top().clone()));
                    self.folder = Some((found.directory().clone(), tree.clone()));
                    tree
                }
            },
            Item::Failed(_) => None,
        }
    }

    fn module_tree(&mut self, path: &Path) -> Option<Arc<Path>> {
        let path = path.as_os_str().as_bytes();
        let tree = tally::module_tree(path).and_then(|len| path.get(..len))?;
        match &self.last {
            Some(known) if known.as_os_str().as_bytes() == tree => Some(known.clone()),
            _ => Some(self.last.insert(Arc::from(Path::new(OsStr::from_bytes(tree)))).clone()),
        }
    }
}

/// A path in its tree, for eyes.
fn below(tree: &Option<Arc<Path>>, path: &Path) -> String {
    let below = tree.as_deref().and_then(|tree| path.strip_prefix(tree).ok());
    crate::cli::output::path(below.unwrap_or(path))
}
