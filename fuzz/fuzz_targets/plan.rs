//! A fixture with arbitrary changes, and a request for it. If planning succeeds, the plan changes exactly what it states, and
//! can be undone; if planning fails, the reason is a documented one.

#![no_main]

#[path = "../../tests/suite/hostile/promises.rs"]
#[allow(dead_code, reason = "the target read uses the rest")]
mod promises;

use std::collections::HashMap;
use std::sync::Arc;

use arbitrary::Arbitrary;
use kmodlab::patch::{Mark, Modversions, NewVermagic, Plan, Request, Signature};
use libfuzzer_sys::fuzz_target;
use promises::{is_documented, keeps_its_word};

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

fuzz_target!(|input: Input| {
    let file = input.file();
    let request = Request {
        modversions: input.modversions(),
        mark: input.mark(),
        drop_btf: input.drop_btf,
        in_place: input.in_place,
        ..Request::new(input.new_vermagic(), input.signature())
    };
    match Plan::make(&file, &request) {
        Ok(plan) => keeps_its_word(&plan, &request, &file),
        Err(error) => is_documented(&error),
    }
});
