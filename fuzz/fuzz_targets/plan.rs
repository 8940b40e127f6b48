//! A fixture with arbitrary changes, and a request for it. If planning succeeds, the plan changes exactly what it states, and
//! can be undone, in memory and through the vault; if planning fails, the reason is a documented one.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;

use arbitrary::{Arbitrary, Unstructured};
use kmodlab::guard::machine::made_up;
use kmodlab::patch::{Mark, Modversions, NewVermagic, Plan, Request, Signature};
use kmodlab::{Applied, Confirmable, Overrides, Proposal, Restore, Vault};

use crate::promises::{is_documented, keeps_its_word};
use crate::scratch;

/// One fixture of each kind: classes, byte orders, symbol versions, trailers, texts, positions of the vermagic.
const FIXTURES: [&[u8]; 17] = [
    include_bytes!("../../fixtures/modules/hello-4.ko"),
    include_bytes!("../../fixtures/modules/hello-4-signed.ko"),
    include_bytes!("../../fixtures/modules/hello-4-x509.ko"),
    include_bytes!("../../fixtures/modules/poet_atkm.ko"),
    include_bytes!("../../fixtures/modules/extended.ko"),
    include_bytes!("../../fixtures/modules/both-versions.ko"),
    include_bytes!("../../fixtures/modules/exports.ko"),
    include_bytes!("../../fixtures/modules/btf.ko"),
    include_bytes!("../../fixtures/modules/mips-be.ko"),
    include_bytes!("../../fixtures/modules/mips64-le.ko"),
    include_bytes!("../../fixtures/modules/ppc-be.ko"),
    include_bytes!("../../fixtures/modules/s390x.ko"),
    include_bytes!("../../fixtures/modules/text.ko"),
    include_bytes!("../../fixtures/modules/padding.ko"),
    include_bytes!("../../fixtures/ambiguous/two-vermagic.ko"),
    include_bytes!("../../fixtures/ambiguous/blanked.ko"),
    include_bytes!("../../fixtures/ambiguous/empty-vermagic.ko"),
];

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    fixture: u8,
    changes: Vec<Change<'a>>,
    signature: u8,
    new_vermagic: Option<&'a [u8]>,
    versions: u8,
    mark: u8,
    drop_btf: bool,
    in_place: bool,
    /// Is the plan applied as well?
    writes: bool,
}

/// The change to the fixture before planning.
#[derive(Arbitrary, Debug)]
enum Change<'a> {
    Overwrite { at: u16, with: &'a [u8] },
    Insert { at: u16, what: &'a [u8] },
    Cut { to: u16 },
}

impl Input<'_> {
    fn file(&self) -> Vec<u8> {
        let mut file = FIXTURES[usize::from(self.fixture) % FIXTURES.len()].to_vec();
        for change in &self.changes {
            let place = |at: u16| usize::from(at).min(file.len());
            match *change {
                Change::Overwrite { at, with } => {
                    let end = file.len().min(place(at) + with.len());
                    file.splice(place(at)..end, with.iter().copied());
                }
                Change::Insert { at, what } => drop(file.splice(place(at)..place(at), what.iter().copied())),
                Change::Cut { to } => file.truncate(to.into()),
            }
        }
        file
    }

    fn new_vermagic(&self) -> NewVermagic {
        self.new_vermagic.map_or(NewVermagic::Blank, |string| NewVermagic::Rewrite(string.to_vec()))
    }

    fn modversions(&self) -> Modversions {
        let crcs = ["module_layout", "printk", "_printk"].map(|symbol| (symbol.to_owned(), 7));
        match self.versions % 3 {
            0 => Modversions::Keep,
            1 => Modversions::Blank,
            _ => Modversions::Rewrite(Arc::new(HashMap::from(crcs))),
        }
    }

    fn mark(&self) -> Mark {
        [Mark::WhenRepacked, Mark::Always, Mark::Never][usize::from(self.mark) % 3]
    }

    fn signature(&self) -> Signature {
        [Signature::Refuse, Signature::Strip, Signature::Keep][usize::from(self.signature) % 3]
    }
}

/// An input is the choices of [`Input`], as `arbitrary` reads them.
pub(crate) fn check(bytes: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(bytes)) else { return };
    let file = input.file();
    let request = Request {
        modversions: input.modversions(),
        mark: input.mark(),
        drop_btf: input.drop_btf,
        in_place: input.in_place,
        ..Request::new(input.new_vermagic(), input.signature())
    };
    match Plan::make(&file, &request) {
        Ok(plan) => {
            keeps_its_word(&plan, &request, &file);
            if input.writes {
                is_written_and_restored(&plan, &request, &file);
            }
        }
        Err(error) => is_documented(&error),
    }
}

/// The module has the planned bytes once the plan is applied, and its own once it is restored, by whatever way it is written.
fn is_written_and_restored(plan: &Plan, request: &Request, file: &[u8]) {
    let folder = scratch::empty();
    let path = folder.join("m.ko");
    fs::write(&path, file).expect("a file can be written");
    let contents = || fs::read(&path).expect("the module is there");

    let machine = made_up(folder.join("root"), "6.1", true);
    let proposal = Proposal::make(&path, None, request, None, &machine).expect("what can be planned can be proposed");
    assert_eq!(proposal.plan().bytes_after, plan.bytes_after);
    let Ok(reviewed) = proposal.review(Overrides::all()) else { return };
    let digest = reviewed.digest().to_string();
    let vault = Vault::at(folder.join("state"));
    scratch::state(vault.folder());
    let mut writer = vault.writer().expect("the state folder is sound");
    let applied = reviewed.confirm_digest(&digest).expect("this is its digest").apply(&mut writer);
    let is_written = matches!(applied.expect("a confirmed plan can be applied"), Applied::Written(_));
    assert_eq!(is_written, !plan.edits.is_empty());
    assert_eq!(contents(), plan.bytes_after);
    if is_written {
        let restore = Restore::plan(&vault, &path).and_then(Restore::without_discarding);
        restore.and_then(|restore| restore.apply(&mut writer)).expect("a patched module can be restored");
        assert_eq!(contents(), file);
        let journal = vault.journal().expect("the journal can be read");
        assert_eq!((journal.entries.len(), &journal.damage[..], journal.is_torn), (2, [].as_slice(), false));
    }
}
