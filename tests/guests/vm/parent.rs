//! QEMU ends together with kmodlab, however kmodlab was ended.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::vm::kernels::deb;
use crate::vm::{KMODLAB, alone, fetched};

/// The PIDs of the QEMU processes that a process started.
fn machines_of(parent: u32) -> Vec<u32> {
    let numbers = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    let is_machine = |number: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        // NUMBER (NAME) STATE PARENT …
        let (name, rest) = stat.rsplit_once(") ").unwrap_or_default();
        name.contains("(qemu-system") && rest.split(' ').nth(1) == Some(parent.to_string().as_str())
    };
    numbers.filter(is_machine).collect()
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let limit = Instant::now() + Duration::from_secs(600);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < limit, "{what} did not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Starts a run that takes a while.
fn running() -> Child {
    let kernel = deb("amd64-6.1-cloud");
    let mut command = fetched::kmodlab();
    command.args(["matrix", "--modules", "dummy,brd,loop,tun,veth,ifb,bonding", "--out"]);
    command.arg(tempfile::tempdir().unwrap().path());
    command.arg("--built-for").arg(&kernel).arg("--kernels").arg(&kernel);
    command.args(["--accel", "tcg"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
#[ignore = "needs QEMU and a fetched kernel: tests/run runs it"]
fn killing_kmodlab_leaves_no_machine() {
    let _alone = alone();
    // Once while the kernel boots, once while clones of it run.
    for wanted in [1, 2] {
        let mut kmodlab = running();
        let machines = wait_for("QEMU", || Some(machines_of(kmodlab.id())).filter(|found| found.len() >= wanted));
        kmodlab.kill().unwrap();
        kmodlab.wait().unwrap();
        wait_for("the end of QEMU", || {
            machines.iter().all(|number| !Path::new(&format!("/proc/{number}/exe")).exists()).then_some(())
        });
        println!("{} machines, all gone", machines.len());
    }
}

#[test]
#[ignore = "needs QEMU, root and a fetched kernel: tests/run runs it"]
fn the_lab_needs_neither_root_nor_a_network_and_leaves_nothing() {
    let _alone = alone();
    let place = tempfile::tempdir().unwrap();
    let temporary = place.path().join("temporary");
    std::fs::create_dir(&temporary).unwrap();
    let mode = |mode| <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(mode);
    std::fs::set_permissions(place.path(), mode(0o755)).unwrap();
    std::fs::set_permissions(&temporary, mode(0o1777)).unwrap();
    let (program, kernel) = (place.path().join("kmodlab"), place.path().join("linux-image.deb"));
    std::fs::copy(KMODLAB, &program).unwrap();
    std::fs::copy(deb("amd64-6.1-cloud"), &kernel).unwrap();
    // As an unprivileged user, in an empty network namespace.
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "unshare", "--user", "--net"]);
    command
        .arg(&program)
        .args(["try", "dummy", "--load-modes", "forced", "--accel", "tcg", "--built-for"])
        .arg(&kernel);
    command.arg("--kernel").arg(&kernel).env("TMPDIR", &temporary).env_remove("HOME").env_remove("XDG_CACHE_HOME");
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    assert!(out.contains("3 of 3 trials as predicted"), "{out}");
    let left: Vec<_> = std::fs::read_dir(&temporary).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
}
