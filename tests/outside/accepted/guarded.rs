// A guard refuses, and nothing is written. With the override, a person's confirmation, and a writer, the module is patched;
// then the original is restored.

use std::fs;
use std::path::Path;

use kmodlab::{
    Applied, Confirmable, ErrorKind, Guard, Machine, Modversions, NewVermagic, Override, Overrides, Proposal, Request,
    Restore, Signature, Unconfirmed, Vault,
};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, module, state] = arguments.as_slice() else { panic!("guarded MODULE STATE") };
    let (module, vault) = (Path::new(module), Vault::at(state));
    let original = fs::read(module).unwrap();
    let machine = Machine::here(Some(&vault));
    let mut request = Request::new(NewVermagic::Keep, Signature::Refuse);
    request.modversions = Modversions::Blank;
    let propose = || Proposal::make(module, None, &request, None, &machine).unwrap();

    // The guard crc refuses to hide symbol versions from the kernel. A refused proposal has no method that writes.
    let refused = propose().review(Overrides::none()).unwrap_err();
    assert_eq!(refused.guard(), Guard::Crc);
    assert_eq!(kmodlab::Error::from(&*refused).kind(), ErrorKind::Guard);
    assert_eq!(fs::read(module).unwrap(), original);
    assert!(!Path::new(state).exists());

    // With the override it may be confirmed, but not by another name or digest.
    let review = || propose().review(Overrides::none().with(Override::Crc)).unwrap();
    assert_eq!(review().confirm_name("another").unwrap_err(), Unconfirmed::OtherName);
    assert_eq!(review().confirm_digest(&"0".repeat(64)).unwrap_err(), Unconfirmed::OtherDigest);
    assert_eq!(fs::read(module).unwrap(), original);

    let reviewed = review();
    let digest = reviewed.digest().to_string();
    let confirmed = reviewed.confirm_digest(&digest).unwrap();
    let applied = confirmed.apply(&mut vault.writer().unwrap()).unwrap();
    assert!(matches!(applied, Applied::Written(_)));
    assert_ne!(fs::read(module).unwrap(), original);

    let restore = Restore::plan(&vault, module).unwrap();
    restore.without_discarding().unwrap().apply(&mut vault.writer().unwrap()).unwrap();
    assert_eq!(fs::read(module).unwrap(), original);
}
