//! Promise: a clone whose kernel refused a module takes the next one only if nothing is left of the first, and what follows a module
//! that ran is what a clone of its own shows.

use kmodlab::lab::guest::{Guest, GuestContents};
use kmodlab::lab::record::Observed;
use kmodlab::lab::wire::TrialOrder;

use crate::support::alone;
use crate::vm::kernels::{X86_64, files_of};
use crate::vm::settings;

const KERNEL: &str = "amd64-6.1-cloud";
const ENOEXEC: i32 = 8;

/// A module whose symbol versions are those of no kernel.
const FOREIGN: &[u8] = include_bytes!("../../../fixtures/modules/hello-4-rt.ko");

fn order(trial: u32, name: &str) -> TrialOrder {
    TrialOrder { trial, name: name.to_owned(), file: format!("m/{name}.ko"), ..TrialOrder::default() }
}

/// The errno, whether it was accepted, the taint before it and after it, and the loader's lines.
fn answer(seen: &Observed) -> (Option<i32>, bool, u64, u64, Vec<&str>) {
    let lines = kmodlab::lab::agreement::loader_lines(seen);
    (seen.errno, seen.accepted, seen.taint_before, seen.taint_after, lines)
}

#[test]
#[ignore = "needs QEMU and fetched kernels: tests/run runs it"]
fn a_clone_takes_another_module_only_after_a_refusal_that_left_nothing() {
    let _alone = alone();
    let kernel = files_of(KERNEL, &["dummy"]);
    let (own, (_, image)) = (&kernel.modules["dummy"].bytes, kernel.image.unwrap());
    let files: [(String, &[u8]); 2] = [("m/dummy.ko".to_owned(), own), ("m/hello_4.ko".to_owned(), FOREIGN)];
    let guest = Guest::boot(&GuestContents { machine: X86_64, image: &image, files: &files }, &settings()).unwrap();
    let is_refused = |seen: &Observed| seen.errno == Some(ENOEXEC);

    let alone = guest.run(&order(1, "hello_4"));
    assert!(is_refused(&alone) && !alone.accepted && alone.taint_after == 0, "{alone:#?}");
    for trial in 2..=6 {
        let seen = guest.run_refusal(&order(trial, "hello_4"), is_refused);
        assert_eq!(answer(&seen), answer(&alone), "trial {trial}");
    }
    assert_eq!(guest.clones(), 2, "five refusals in one clone");

    // This one is not refused, so what the used clone shows does not count, and nothing runs after it there.
    let own = guest.run(&order(7, "dummy"));
    assert!(own.accepted && own.errno == Some(0), "{own:#?}");
    let unexpected = guest.run_refusal(&order(8, "dummy"), |_| true);
    assert_eq!((answer(&unexpected), unexpected.init), (answer(&own), own.init));
    assert_eq!(guest.clones(), 4);
    let after = guest.run_refusal(&order(9, "hello_4"), is_refused);
    assert_eq!((answer(&after), guest.clones()), (answer(&alone), 5));

    // A refusal that leaves a taint: forced, the module passes its symbol versions and is refused later, or runs.
    let forced = TrialOrder { flags: 3, ..order(10, "hello_4") };
    let (first, second) = (guest.run_refusal(&forced, |_| true), guest.run(&forced));
    assert_ne!(second.taint_after, 0, "{second:#?}");
    assert_eq!(answer(&first), answer(&second));
    let after = guest.run_refusal(&order(11, "hello_4"), is_refused);
    assert_eq!((answer(&after), guest.clones()), (answer(&alone), 8), "the tainted clones take nothing more");
}
