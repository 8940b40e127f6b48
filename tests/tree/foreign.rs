//! Headers packages of other architectures, unpacked and not built with (`tests/real/headers`): the version magic that
//! `tree` reads from each is that of the kernel of the same release.

use std::process::Command;

use super::{KMODLAB, fetched, json, top};

#[test]
#[ignore = "needs tests/real/headers: tests/run"]
fn a_headers_package_tells_the_version_magic_of_its_kernel() {
    let mut folders: Vec<_> = std::fs::read_dir(top().join("headers"))
        .expect("run tests/real/headers")
        .map(|entry| entry.unwrap().path())
        .filter(|folder| folder.join(".complete").exists())
        .collect();
    folders.sort();
    let mut equal = 0;
    for folder in &folders {
        let name = folder.file_name().unwrap().to_str().unwrap();
        let release = std::fs::read_to_string(folder.join(".complete")).unwrap();
        let headers = folder.join("usr/src").join(format!("linux-headers-{}", release.trim()));
        let output = Command::new(KMODLAB)
            .arg("tree")
            .arg(&headers)
            .args(["--json", "--for"])
            .arg(fetched::named(name))
            .output()
            .unwrap();
        let said = json(&output).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (now, kernel) = (&said["now"]["vermagic"]["value"], &said["kernel"]["vermagic"]["value"]);
        assert!(now.as_str().is_some_and(|text| text.starts_with(release.trim())), "{name}: {said}");
        assert_eq!((now, &said["matches"]), (kernel, &true.into()), "{name}: {said}");
        println!("{name}: {now}");
        equal += 1;
    }
    println!("{equal} of {} headers packages predict their kernel's version magic", folders.len());
    assert!(equal >= 2, "a sample has two: run tests/real/headers");
}
