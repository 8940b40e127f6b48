// E0624
// The lock cannot be taken without recovery.

use kmodlab::Vault;

pub fn lock(vault: &Vault) {
    let _ = vault.lock();
}

fn main() {}
