// A module that changes between confirmation and write is not written, and another writer's changes are not discarded either.

use std::fs;
use std::path::Path;

use kmodlab::{Confirmable, ErrorKind, Machine, NewVermagic, Overrides, Proposal, Request, Restore, Signature, Vault};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, module, state] = arguments.as_slice() else { panic!("changed MODULE STATE") };
    let (module, vault) = (Path::new(module), Vault::at(state));
    let original = fs::read(module).unwrap();
    let machine = Machine::here(Some(&vault));
    let request = Request::new(NewVermagic::Blank, Signature::Refuse);
    let confirm = || {
        let proposal = Proposal::make(module, None, &request, None, &machine).unwrap();
        let reviewed = proposal.review(Overrides::none()).unwrap();
        let name = reviewed.name_to_type();
        reviewed.confirm_name(&name).unwrap()
    };

    let confirmed = confirm();
    let at = original.windows(12).position(|bytes| bytes == b"description=").unwrap() + 12;
    let mut changed = original.clone();
    changed[at] ^= 1;
    fs::write(module, &changed).unwrap();
    let error = confirmed.apply(&mut vault.writer().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changed);
    assert_eq!(fs::read(module).unwrap(), changed);

    // Patched, then changed by another writer: an unconfirmed restore is a conflict.
    confirm().apply(&mut vault.writer().unwrap()).unwrap();
    fs::write(module, &original).unwrap();
    let restore = Restore::plan(&vault, module).unwrap();
    assert!(restore.discards_changes());
    assert_eq!(restore.without_discarding().unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(fs::read(module).unwrap(), original);
}
