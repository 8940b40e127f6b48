// E0277
// A caller can't declare a type of its own confirmable.

use kmodlab::{Confirmable, Sha256};

pub struct Mine;

impl Confirmable for Mine {
    fn name_to_type(&self) -> String {
        String::new()
    }

    fn digest(&self) -> Sha256 {
        Sha256::from_bytes([0; 32])
    }
}

fn main() {}
