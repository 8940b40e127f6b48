// A patch was interrupted. A writer exists only after that was recovered, so the next patch is based on a whole file.

use std::fs;
use std::path::Path;

use kmodlab::{Confirmable, Machine, NewVermagic, Overrides, Proposal, Request, Signature, Vault};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, module, state] = arguments.as_slice() else { panic!("interrupted MODULE STATE") };
    let (module, vault) = (Path::new(module), Vault::at(state));
    let mut writer = vault.writer().unwrap();
    assert_eq!(writer.recovered().len(), 1);
    assert!(writer.recovered().iter().all(|recovered| recovered.is_settled()));

    let machine = Machine::here(Some(&vault));
    let request = Request::new(NewVermagic::Blank, Signature::Refuse);
    let proposal = Proposal::make(module, None, &request, None, &machine).unwrap();
    let before = fs::read(module).unwrap();
    let reviewed = proposal.review(Overrides::none()).unwrap();
    let digest = reviewed.digest().to_string();
    reviewed.confirm_digest(&digest).unwrap().apply(&mut writer).unwrap();
    assert_ne!(fs::read(module).unwrap(), before);
    drop(writer);
    assert!(vault.writer().unwrap().recovered().is_empty());
}
