//! With Debian's own headers and kernel, the commands of docs/right-way.md do what the page shows.
//!
//! The commands run in one shell, in their own mount namespace, in which /usr/src, /usr/lib/linux-kbuild-6.1 and /boot are
//! those of `tests/real/chroot bookworm` and of the fetched kernel: headers include files by absolute paths, and this machine's
//! own files stay unchanged. A `uname -r` that prints its release replaces a machine that runs that kernel; nothing else is
//! simulated. The fetched packages change over time, so the ABI number on the page is replaced by that of the fetched kernel.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::sessions::{fits, steps};
use crate::vm::{KMODLAB, alone, fetched};

const PAGE: &str = include_str!("../../../docs/right-way.md");

/// The ABI number on the page.
const ABI: &str = "6.1.0-56";

/// The text of the page's only block in this language.
fn block(language: &str) -> &'static str {
    let begin = format!("```{language}\n");
    let mut parts = PAGE.split(&begin);
    let text = parts.nth(1).unwrap_or_else(|| panic!("no {begin}"));
    assert!(parts.next().is_none(), "more than one {begin}");
    text.split("```").next().unwrap()
}

/// The release of the kernel that was fetched, without its flavour.
fn abi() -> String {
    let names = std::fs::read_to_string(fetched::folder("amd64-6.1").join(".complete")).unwrap();
    let package = names.lines().next().unwrap();
    package.strip_prefix("linux-image-").unwrap().strip_suffix("-amd64").unwrap().to_owned()
}

#[test]
#[ignore = "needs root, QEMU, fetched kernels and tests/real/chroot: tests/run runs it"]
fn the_right_way_runs_as_written() {
    let _alone = alone();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let real = here.join("target/real").canonicalize().expect("target/real: run tests/real/fetch");
    let abi = abi();
    let system = real.join("root/bookworm");
    for flavour in ["amd64", "cloud-amd64"] {
        let headers = system.join(format!("usr/src/linux-headers-{abi}-{flavour}"));
        assert!(headers.is_dir(), "{} is not there: run tests/real/chroot bookworm", headers.display());
    }
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("hello");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("hello.c"), block("c")).unwrap();
    std::fs::write(folder.join("Makefile"), block("make")).unwrap();
    std::os::unix::fs::symlink(here, home.path().join("kmodlab")).unwrap();

    let page = PAGE.replace(ABI, &abi);
    let steps = steps(&page, "console page");
    assert!(steps.len() > 15, "only {} commands", steps.len());
    let mut shell = format!(
        "exec 2>&1; set -e\n\
         mount --bind {system}/usr/src /usr/src\n\
         mount --bind {system}/usr/lib/linux-kbuild-6.1 /usr/lib/linux-kbuild-6.1\n\
         mount --bind {boot} /boot\n\
         uname() {{ if [ \"$*\" = -r ]; then echo {abi}-amd64; else command uname \"$@\"; fi; }}\n\
         set +e; printf '\\036'\n",
        system = system.display(),
        boot = real.join("amd64-6.1/boot").display(),
    );
    for step in &steps {
        shell.push_str(&format!("{}\nprintf '\\036'\n", step.command));
    }
    let programs = Path::new(KMODLAB).parent().unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "bash", "-c", &shell])
        .current_dir(&folder)
        .env("PATH", format!("{}:{}", programs.display(), std::env::var("PATH").unwrap()))
        .env("HOME", home.path())
        .env("KMODLAB_STATE_DIR", home.path().join("state"))
        .env("XDG_CACHE_HOME", fetched::cache())
        .env("NO_COLOR", "1")
        .env("LC_ALL", "C")
        .env_remove("MAKEFLAGS")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let mut parts = printed.split('\u{1e}');
    assert_eq!(parts.next(), Some(""), "mounting failed: {printed} {}", String::from_utf8_lossy(&output.stderr));
    let parts: Vec<&str> = parts.collect();
    let mut others = Vec::new();
    for (step, printed) in steps.iter().zip(&parts) {
        println!("$ {}\n{printed}", step.command);
        if !fits(&step.expected, printed) {
            others.push(format!("$ {}\n--- written\n{}--- printed\n{printed}", step.command, step.expected));
        }
    }
    assert!(others.is_empty(), "{}", others.join("\n"));
    assert_eq!(parts.len(), steps.len() + 1, "the shell ended early: {printed}");
}
