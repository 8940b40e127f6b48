//! Malicious packages: each is refused in one line, by each command that takes a kernel.

use std::fs;
use std::path::Path;

use kmodlab::kernel::{self, Lookup};

use crate::hostile::bounds::cost;
use crate::hostile::{fixture, kmodlab};

use crate::support::in_own_process;

const LOOKUP: Lookup = Lookup { max_size: 64 << 20, cache: None };

/// A package, and words of the message that appear in no other message.
const REFUSED: [(&str, &str); 15] = [
    ("dotdot.deb", "an unsafe path in the package, it leads out of the folder: ../../etc/cron.d/x"),
    ("absolute.deb", "an unsafe path in the package, it is absolute: /etc/cron.d/x"),
    ("through-link.deb", "an unsafe path in the package, it leads through a link: ./lib/modules/6.1/a.ko"),
    ("cut.deb", "the package is cut short"),
    ("lies.deb", "more than 64 times as large"),
    ("bomb.deb", "more than 64 times as large"),
    ("two-kernels.deb", "2 kernels in it: 6.1.0-1-kmodlab, 6.1.0-2-kmodlab"),
    ("nothing.deb", "no kernel in it"),
    ("no-data.deb", "a Debian package without data.tar"),
    ("dotdot.tar.gz", "an unsafe path in the package, it leads out of the folder: ../../etc/cron.d/x"),
    ("bomb.tar.zst", "more than 64 times as large"),
    ("bomb.ipk", "more than 64 times as large"),
    ("nothing.tar.gz", "no kernel in it"),
    (
        "kernel-core.rpm",
        "an RPM package, which is not read here; unpack it (rpm2cpio FILE | cpio -id) and name what is in it",
    ),
    (
        "linux-lts-6.1.0-r1.apk",
        "an apk package of format 3, which is not read here; unpack it (apk extract --allow-untrusted FILE)",
    ),
];

/// One valid package of each kind. The last one is not compressed, so all of its contents count.
const SOUND: [&str; 7] = [
    "linux-image-6.1.0-1-kmodlab_6.1.0+1-1_amd64.deb",
    "image+zst.deb",
    "linux-6.1.0-1-x86_64.pkg.tar.zst",
    "linux-lts-6.1.0-r0.apk",
    "kmod-hello_6.6.73-r1_mips_24kc.ipk",
    "linux-6.1.0-1-kmodlab-x86.tar.gz",
    "plain.deb",
];

#[test]
fn each_command_refuses_each_evil_package_in_one_line() {
    let module = fixture("modules/hello-4.ko");
    for (name, words) in REFUSED {
        let package = fixture("packages").join(name);
        for said in [
            kmodlab(["kernel".as_ref(), package.as_path()]),
            kmodlab(["kernel".as_ref(), "--json".as_ref(), package.as_path()]),
            kmodlab(["check".as_ref(), module.as_path(), "--kernel".as_ref(), &package]),
        ] {
            let err = &said.is_one_line_and_exit_2().err;
            assert!(err.contains(words) && err.contains(name), "{name}: {err}");
        }
    }
}

#[test]
fn an_evil_package_takes_little_memory() {
    if !in_own_process!() {
        return;
    }
    for (name, _) in REFUSED {
        let package = fixture("packages").join(name);
        cost([Path::new("kernel"), &package]).is_bounded(name, fs::metadata(&package).unwrap().len());
    }
}

#[test]
fn a_package_cut_at_any_byte_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.deb");
    let mut refused = 0;
    for name in SOUND {
        let bytes = fs::read(fixture("packages").join(name)).unwrap();
        let step = if name == "plain.deb" { 97 } else { 1 };
        for length in (1..bytes.len()).step_by(step) {
            fs::write(&cut, &bytes[..length]).unwrap();
            assert!(kernel::named(cut.as_os_str(), &LOOKUP).is_err(), "{name} cut at {length} was read");
            refused += 1;
        }
    }
    println!("{refused} cut packages refused");
    assert!(refused > 3000);
}

#[test]
fn a_package_with_any_byte_changed_gives_facts_or_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.deb");
    let (mut errors, mut facts) = (0, 0);
    for name in SOUND {
        let bytes = fs::read(fixture("packages").join(name)).unwrap();
        let step = if name == "plain.deb" { 31 } else { 1 };
        for at in (0..bytes.len()).step_by(step) {
            let mut changed = bytes.clone();
            changed[at] ^= 0xff;
            fs::write(&path, &changed).unwrap();
            match kernel::named(path.as_os_str(), &LOOKUP) {
                Ok(_) => facts += 1,
                Err(error) => {
                    assert!(!error.to_string().contains('\n'));
                    errors += 1;
                }
            }
        }
    }
    println!("{errors} changed packages refused, {facts} read");
    assert!(errors > 1000 && facts > 0);
}
