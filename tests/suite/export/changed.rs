//! An export with any byte changed is refused, and nothing is written.

use std::fs;
use std::path::Path;

use super::machine::{Machine, write};
use kmodlab::error::ErrorKind;

const LIMIT: u64 = 1 << 20;

/// Whether an import into an empty vault refuses this file.
fn refuses(machine: &Machine, file: &Path, bytes: &[u8]) -> bool {
    fs::write(file, bytes).unwrap();
    match machine.vault().plan_import(file, LIMIT, || {}) {
        Ok(_) => false,
        Err(e) => {
            assert!(matches!(e.kind(), ErrorKind::Damaged | ErrorKind::TooLarge), "{e}");
            true
        }
    }
}

#[test]
fn an_export_with_any_byte_changed_is_refused() {
    for options in [&[][..], &["--zstd"]] {
        let (here, there) = (Machine::with(&["poet_atkm.ko"]), Machine::new());
        let whole = fs::read(here.export("export", options)).unwrap();
        let file = there.path("changed");
        assert!(!refuses(&there, &file, &whole));
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1 << (at % 8);
            assert!(refuses(&there, &file, &changed), "byte {at} of {}", whole.len());
        }
        println!("{} bytes {options:?}: each one changed, all refused", whole.len());
        for len in (0..whole.len()).step_by(7) {
            assert!(refuses(&there, &file, &whole[..len]), "cut to {len} bytes");
        }
        for more in [&b"x"[..], &[0; 512], &[0; 10240]] {
            assert!(refuses(&there, &file, &[&whole, more].concat()), "{} bytes more", more.len());
        }
        assert!(refuses(&there, &file, &[&whole[..], &whole].concat()), "twice");
        assert!(!there.state().exists());
    }
}

#[test]
fn the_program_says_so_in_one_line() {
    let (here, there) = (Machine::with(&["poet_atkm.ko"]), Machine::new());
    let whole = fs::read(here.export("export", &[])).unwrap();
    let before = there.snapshot();
    for at in [0, 600, whole.len() - 1500, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        let file = here.path("changed");
        write(&file, &changed);
        for options in [&["-n"][..], &["--confirm", &"0".repeat(64)], &["--backups-only", "-n"]] {
            let refused = there.run(["vault", "import", file.to_str().unwrap()].iter().chain(options)).with(2);
            assert_eq!((refused.err.lines().count(), refused.out.len()), (1, 0), "{refused:?}");
            assert!(refused.err.contains("changed: ") && refused.err.contains("copy it again"), "{refused:?}");
        }
        assert_eq!(there.snapshot(), before);
    }
}
