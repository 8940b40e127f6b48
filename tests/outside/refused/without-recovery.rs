// E0624
// The lock alone, without recovery, is out of reach.

use kmodlab::Vault;

pub fn lock(vault: &Vault) {
    let _ = vault.lock();
}

fn main() {}
