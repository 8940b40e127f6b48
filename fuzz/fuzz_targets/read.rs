//! Arbitrary bytes as a module file: decompressed, read, judged and shown. The answer is facts or an error, never a panic, and
//! the facts agree with the bytes and with each other.

use kmodlab::escape;
use kmodlab::kernel::{Fact, Facts, Kernel, Machine};
use kmodlab::module::Module;
use kmodlab::module::container::Container;
use kmodlab::predict::{self, Candidate, Force, LoadOptions};
use kmodlab::vermagic::{Vermagic, compare, compare_whole};

use crate::{memory_file, promises};

/// Far more than the largest seed, and small enough for thousands of bombs per second.
const MAX_SIZE: u64 = 1 << 20;

pub(crate) fn check(bytes: &[u8]) {
    let Ok(image) = Container::of(bytes).decompress(bytes, MAX_SIZE) else { return };
    assert!(Container::of(bytes) == Container::None || image.len() as u64 <= MAX_SIZE);
    if let Ok(module) = Module::read(&image) {
        promises::agrees_with_its_bytes(&module, &image);
        is_judged(&module, &image);
        is_shown(bytes);
    }
}

/// Every module gets a verdict, and two strings are equal if and only if no difference is reported.
fn is_judged(module: &Module, bytes: &[u8]) {
    let kernel = Vermagic::parse(b"6.1.0-47-amd64 SMP preempt mod_unload modversions ");
    let ours = module.vermagic().unwrap_or_else(|| Vermagic::parse(b""));
    for (a, b) in [(&ours, &kernel), (&kernel, &ours), (&ours, &ours)] {
        assert_eq!(compare_whole(a, b).is_equal(), a.as_bytes() == b.as_bytes());
        assert!(b.is_bare_release() || compare(a, b) == compare_whole(a, b));
    }
    let kernel = Kernel {
        name: "fuzz".into(),
        vermagic: Some(Fact { value: kernel, source: "the fuzz target".into() }),
        facts: Facts {
            machine: Some(Fact { value: Machine::of(module), source: Default::default() }),
            ..Facts::default()
        },
    };
    for force in [Force::None, Force::Both] {
        let subject = Candidate { bytes, module: Some(module), packing: None };
        for line in
            predict::predict(&subject, &kernel, &LoadOptions { force, alone: true, ..LoadOptions::default() }).dmesg
        {
            assert!(!escape::for_eyes(&line).contains(char::is_control));
        }
    }
}

/// `show` succeeds in each of its output formats, one per input. Run with `-close_fd_mask=1` to hide its output.
fn is_shown(stored: &[u8]) {
    const FORMS: [&str; 3] = ["--color=always", "--json", "--versions"];
    let path = memory_file::of(stored).into_os_string();
    let form = FORMS[stored.len() % FORMS.len()];
    let status = kmodlab::cli::exit_status(["kmodlab".into(), "show".into(), form.into(), path]);
    assert!(status == 0 || form == "--versions");
}
