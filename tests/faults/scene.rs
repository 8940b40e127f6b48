//! A scene: a command in a workshop, which can be run repeatedly from the same state, and its possible results.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use kmodlab::digest::Sha256;
use kmodlab::vault::Vault;
use kmodlab::vault::history::History;

use crate::played::{Setup, is_a_setup};
use crate::strace::Call;
use crate::workshop::{Looks, Tree, Workshop, whole};

/// A command, the state in which it starts, and the two allowed states of its file; no mixture of them may be left.
pub(crate) struct Scene {
    pub(crate) setup: Setup,
    /// The file that the command creates or changes.
    pub(crate) file: PathBuf,
    /// SHA-256 of the file before; `None` if it does not exist.
    pub(crate) before: Option<Sha256>,
    /// SHA-256 of the file after.
    pub(crate) after: Option<Sha256>,
    /// Whether another writer changed the file, so that only a restore that discards this change is possible.
    pub(crate) is_conflict: bool,
    /// Whether the original comes from a copy outside the vault, so that the vault has no backup of it.
    pub(crate) is_from_copy: bool,
    /// The results already proven for the files that a fault left: equal files need no second proof.
    seen: RefCell<HashMap<Tree, Side>>,
}

/// On which side of a change a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Before,
    After,
}

is_a_setup!(Scene);

impl Scene {
    /// A patch in place, without a state folder at the start.
    pub(crate) fn patch() -> Scene {
        let shop = Workshop::of("hello-4.ko");
        let arguments = shop.patch(&[]);
        Scene::new("patch", shop, &arguments)
    }

    /// The restore of it.
    pub(crate) fn restore() -> Scene {
        let shop = Workshop::of("hello-4.ko");
        shop.run(&shop.patch(&[])).with(0);
        let arguments = shop.restore();
        Scene::new("restore", shop, &arguments)
    }

    /// The restore of a patched module that was deleted.
    pub(crate) fn recreate() -> Scene {
        let shop = Workshop::of("hello-4.ko");
        shop.run(&shop.patch(&[])).with(0);
        Scene::deleted("restore of a deleted module", shop)
    }

    /// The same, with the backup compressed.
    pub(crate) fn recreate_from_compressed() -> Scene {
        let shop = Workshop::of("hello-4.ko");
        shop.run(&shop.patch(&["--vault-compress"])).with(0);
        Scene::deleted("restore of a deleted module from a compressed backup", shop)
    }

    fn deleted(name: &'static str, shop: Workshop) -> Scene {
        fs::remove_file(&shop.module).unwrap();
        let arguments = shop.restore();
        Scene::new(name, shop, &arguments)
    }

    /// A patch that removes a signature: a whole new file replaces the module.
    pub(crate) fn strip() -> Scene {
        let shop = Workshop::of("hello-4-signed.ko");
        let arguments = shop.patch(&["--signature", "strip"]);
        Scene::new("patch --signature strip", shop, &arguments)
    }

    /// The restore of it.
    pub(crate) fn restore_stripped() -> Scene {
        let shop = Workshop::of("hello-4-signed.ko");
        shop.run(&shop.patch(&["--signature", "strip"])).with(0);
        let arguments = shop.restore();
        Scene::new("restore of a stripped one", shop, &arguments)
    }

    /// A patch that moves `.modinfo`, because the mark does not fit: this also writes a whole new file.
    pub(crate) fn grow() -> Scene {
        let shop = Workshop::of("hello-4.ko");
        let arguments = shop.patch(&["--mark"]);
        Scene::new("patch that grows", shop, &arguments)
    }

    /// A patch of a compressed module, which is compressed again.
    pub(crate) fn pack() -> Scene {
        let shop = Workshop::of("hello-4.ko.xz");
        let arguments = shop.patch(&[]);
        Scene::new("patch that compresses again", shop, &arguments)
    }

    /// The restore of it.
    pub(crate) fn restore_packed() -> Scene {
        let shop = Workshop::of("hello-4.ko.xz");
        shop.run(&shop.patch(&[])).with(0);
        let arguments = shop.restore();
        Scene::new("restore of a module that was compressed again", shop, &arguments)
    }

    /// A patch into a new file.
    pub(crate) fn create() -> Scene {
        let shop = Workshop::of("hello-4.ko");
        let out = shop.home.join("new.ko");
        let arguments = shop.patch(&["-o", out.to_str().unwrap()]);
        Scene::between("patch -o", shop, &arguments, out)
    }

    /// A recovery after this scene's command was killed just before it made this call; `then` changes the files that it left.
    pub(crate) fn recovery(self, name: &'static str, call: &Call, then: impl FnOnce(&Workshop)) -> Scene {
        self.kill(call, &self.calls());
        then(&self.shop);
        Scene { setup: Setup::new(name, self.setup.shop, &["recover"]), ..self }
    }

    /// The restore of a patched module that another writer changed afterwards.
    pub(crate) fn discard() -> Scene {
        let shop = Workshop::of("hello-4.ko");
        shop.run(&shop.patch(&[])).with(0);
        Scene::discarding("restore --discard-changes", shop)
    }

    /// The same after a patch that was killed before it was completed.
    pub(crate) fn discard_interrupted() -> Scene {
        let patch = Scene::patch();
        patch.kill(&patch.first("pwrite64", &patch.shop.module), &patch.calls());
        Scene::discarding("restore --discard-changes of an interrupted patch", patch.setup.shop)
    }

    fn discarding(name: &'static str, shop: Workshop) -> Scene {
        let mut bytes = shop.now().bytes;
        bytes[0x40] ^= 0xff;
        fs::write(&shop.module, bytes).unwrap();
        let arguments = shop.discard();
        Scene { is_conflict: true, ..Scene::new(name, shop, &arguments) }
    }

    /// The restore of a module that another tool patched, from a copy: without a state folder at the start, in place.
    pub(crate) fn restore_from() -> Scene {
        Scene::from_copy("restore --from", "hello-4.ko", |bytes| {
            let at = bytes.windows(9).position(|text| text == b"vermagic=").unwrap() + 9;
            bytes[at] ^= 1;
        })
    }

    /// The same of a module whose signature another tool cut off: a whole new file replaces it.
    pub(crate) fn restore_from_by_a_new_file() -> Scene {
        let unsigned = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/modules/hello-4.ko")).unwrap();
        Scene::from_copy("restore --from by a new file", "hello-4-signed.ko", |bytes| *bytes = unsigned)
    }

    fn from_copy(name: &'static str, fixture: &str, patch: impl FnOnce(&mut Vec<u8>)) -> Scene {
        let shop = Workshop::of(fixture);
        fs::create_dir(shop.copy().parent().unwrap()).unwrap();
        shop.original.put(&shop.copy());
        let mut bytes = shop.original.bytes.clone();
        patch(&mut bytes);
        shop.write(&bytes);
        let arguments = shop.restore_from();
        Scene { is_from_copy: true, ..Scene::new(name, shop, &arguments) }
    }

    fn new(name: &'static str, shop: Workshop, arguments: &[String]) -> Scene {
        let file = shop.module.clone();
        Scene::between(name, shop, arguments, file)
    }

    fn between(name: &'static str, shop: Workshop, arguments: &[String], file: PathBuf) -> Scene {
        let setup = Setup::new(name, shop, arguments);
        let sha = || Looks::of(&file).map(|looks| looks.sha());
        let before = sha();
        setup.shop.run(arguments).with(0);
        let after = sha();
        assert_ne!(before, after);
        setup.reset();
        let (is_conflict, is_from_copy) = (false, false);
        Scene { setup, file, before, after, is_conflict, is_from_copy, seen: RefCell::default() }
    }

    /// On which side of the change is the file?
    pub(crate) fn side(&self) -> Option<Side> {
        let sha = Looks::of(&self.file).map(|looks| looks.sha());
        match sha {
            sha if sha == self.before => Some(Side::Before),
            sha if sha == self.after => Some(Side::After),
            _ => None,
        }
    }

    /// The command reported success: check this for every file.
    pub(crate) fn must_be_done(&self) {
        let shop = &self.shop;
        assert_eq!(self.side(), Some(Side::After), "it said that it was done");
        assert_eq!(shop.leftover(), None);
        self.must_have_original();
        if self.is_from_copy {
            assert!(shop.has_backup(self.before.unwrap()), "what was overwritten is lost");
        }
        let entries = whole(Vault::at(&shop.state).journal().unwrap()).unwrap();
        let trail = History::of(&entries).at(&self.file).and_then(|trail| trail.expected());
        assert_eq!(trail, self.after, "the journal says otherwise");
        if self.after == Some(shop.original.sha()) {
            assert!(shop.now() == shop.original, "the module's bytes came back, but not its looks");
        }
    }

    /// The original is in the vault, or in the copy that it comes from.
    fn must_have_original(&self) {
        let shop = &self.shop;
        let is_kept = match self.is_from_copy {
            true => Looks::of(&shop.copy()).is_some_and(|looks| looks.bytes == shop.original.bytes),
            false => shop.has_backup(shop.original.sha()),
        };
        assert!(is_kept, "the original is lost");
    }

    /// After a fault: recovers, and checks that nothing was lost and that everything works again.
    pub(crate) fn aftermath(&self) -> Side {
        let left = Tree::of(&self.shop.home).without_times_below(Path::new("state"));
        if let Some(side) = self.seen.borrow().get(&left) {
            return *side;
        }
        let side = self.recover_and_prove();
        self.seen.borrow_mut().insert(left, side);
        side
    }

    fn recover_and_prove(&self) -> Side {
        let shop = &self.shop;
        let recovered = shop.run(&["recover"]);
        let side = self.side().expect("neither as before nor as after");
        if self.is_conflict && side == Side::Before {
            assert!(matches!(recovered.code, Some(0 | 5)), "{recovered:?}");
            assert!(shop.has_backup(shop.original.sha()), "the original is lost");
            shop.run(&shop.discard()).with(0);
            assert!(shop.has_backup(self.before.unwrap()), "what was discarded is lost");
        } else {
            recovered.with(0);
        }
        assert_eq!(shop.leftover(), None);
        let is_gone = !shop.module.exists();
        assert!(!is_gone || self.is_deleted(), "the module is gone");
        // A missing module is reported.
        shop.run(&["verify"]).with(i32::from(is_gone));
        for line in shop.run(&["log", "--json"]).with(0).out.lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
        if is_gone || shop.now().bytes != shop.original.bytes {
            self.must_have_original();
            let arguments = if self.is_from_copy { shop.restore_from() } else { shop.restore() };
            shop.run(&arguments).with(0);
        } else if self.is_from_copy {
            assert!(shop.has_backup(self.before.unwrap()), "what was overwritten is lost");
        }
        assert!(shop.now() == shop.original, "the module's bytes came back, but not its looks");
        self.must_work_again();
        side
    }

    /// Did somebody delete the module before the command?
    pub(crate) fn is_deleted(&self) -> bool {
        self.before.is_none() && self.file == self.shop.module
    }

    /// Applies another patch, and restores it.
    fn must_work_again(&self) {
        let shop = &self.shop;
        shop.run(&shop.patch(&["--signature", "strip"])).with(0);
        shop.run(&shop.restore()).with(0);
        assert!(shop.now() == shop.original);
        assert_eq!(shop.leftover(), None);
    }
}

/// How often each side was the result.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) before: usize,
    pub(crate) after: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { before, after } = self;
        write!(f, "{} runs, {before} before, {after} after, 0 between", before + after)
    }
}

impl Tally {
    pub(crate) fn count(&mut self, side: Side) {
        match side {
            Side::Before => self.before += 1,
            Side::After => self.after += 1,
        }
    }
}

/// The current step: printed if a panic occurs meanwhile.
pub(crate) struct Doing(pub(crate) String);

impl Drop for Doing {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("... while {}", self.0);
        }
    }
}
