//! Plan, review, confirm, apply, restore: the only way to write a file with this library.
//!
//! ```sh
//! cargo run --example patch
//! ```
//!
//! It works on a copy of a fixture in a temporary folder, with a state folder of its own.

#![allow(clippy::print_stdout, reason = "an example prints what it does")]

use kmodlab::{
    Applied, Confirmable, Error, ErrorKind, Machine, NewVermagic, Overrides, Proposal, Request, Restore, Result,
    Signature, Vault,
};

fn main() -> Result<()> {
    let folder = tempfile::tempdir().map_err(|e| Error::io("making a temporary folder", e))?;
    let module = folder.path().join("hello-4.ko");
    std::fs::copy("fixtures/modules/hello-4.ko", &module).map_err(|e| Error::io("copying", e).on(&module))?;
    let module = module.canonicalize().map_err(|e| Error::io("resolving", e).on(&module))?;
    let vault = Vault::at(folder.path().join("state"));
    let machine = Machine::here(Some(&vault));

    // The request. Nothing is read or written yet.
    let new_vermagic = NewVermagic::Rewrite(b"6.1.0-99-amd64 SMP preempt mod_unload modversions ".to_vec());
    let request = Request::new(new_vermagic, Signature::Refuse);

    // The plan: exact edits and their digest. Nothing is written.
    let proposal = Proposal::make(&module, None, &request, None, &machine)?;
    println!(
        "plan {} changes {} bytes",
        proposal.digest(),
        proposal.plan().edits.iter().map(|e| e.new.len()).sum::<usize>()
    );

    // The guards. A refused proposal cannot be confirmed.
    let reviewed = proposal.review(Overrides::none()).map_err(|refused| Error::from(&*refused))?;
    for answer in reviewed.review().answers() {
        println!("  {:<14} {:?}: {}", answer.guard.name(), answer.ruling, answer.reason);
    }

    // A person confirms the plan: here with the module's name, which a program would read from a terminal.
    let confirmed = reviewed.confirm_name("hello_4").map_err(Error::from)?;

    // A writer exists only while it holds the lock on the state folder, and after interrupted operations were recovered.
    let mut writer = vault.writer()?;
    match confirmed.apply(&mut writer)? {
        Applied::Written(entry) => println!("patched: journal line {}", entry.seq()),
        Applied::Unchanged => println!("already as requested"),
    }

    // A restore needs no guard, and does not discard another writer's changes.
    let restored = Restore::plan(&vault, &module)?.without_discarding()?.apply(&mut writer)?;
    println!("restored: journal line {}", restored.entry.map_or(0, |entry| entry.seq()));
    let original = std::fs::read("fixtures/modules/hello-4.ko").map_err(|e| Error::io("reading", e))?;
    match std::fs::read(&module).map_err(|e| Error::io("reading", e).on(&module))? == original {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::Conflict, "the restored file differs").on(&module)),
    }
}
