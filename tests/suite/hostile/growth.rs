//! Promise: the work for a file grows with its size, not with the product of the numbers of its parts; and what is printed about
//! many equal parts is a few lines and their number.
//!
//! Work is measured in processor time at three sizes of the same file. Only the ratio is checked: it does not depend on the
//! machine, nor on what else runs there.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::hostile::bounds::cost;
use crate::hostile::{forge, kmodlab};

use crate::support::in_own_process;

const KERNEL: &str = "vermagic:6.1 SMP mod_unload ";

/// The exponent of a quadratic algorithm is 2; linear ones stay close to 1, and below it while starting the program costs more.
const HIGHEST_EXPONENT: f64 = 1.5;

/// Measurements that other programs disturb are repeated.
const TRIES: usize = 3;

/// Checks how the work grows from a file of this count to one of four times that count.
fn is_nearly_linear(what: &str, count: usize, make: fn(usize) -> Vec<u8>, words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let files = [count, 2 * count, 4 * count].map(|count| {
        let path = folder.path().join(count.to_string());
        fs::write(&path, make(count)).unwrap();
        path
    });
    let size = |path: &Path| fs::metadata(path).unwrap().len();
    let measure = || {
        let seconds = files.each_ref().map(|path| {
            let cost = cost(words.iter().map(Path::new).chain([path.as_path()]));
            cost.is_bounded(what, size(path));
            cost.cpu.as_secs_f64().max(0.001)
        });
        let growth = size(&files[2]) as f64 / size(&files[0]) as f64;
        let exponent = (seconds[2] / seconds[0]).ln() / growth.ln();
        println!("{what}: {seconds:.3?} s for {count}, twice and four times as many: exponent {exponent:.2}");
        exponent
    };
    assert!((0..TRIES).any(|_| measure() <= HIGHEST_EXPONENT), "{what}");
}

#[test]
fn work_grows_with_the_size_of_a_kernel() {
    if !in_own_process!() {
        return;
    }
    is_nearly_linear("names within names", 15_000, forge::vmlinux_of_names_within_names, &["kernel"]);
    is_nearly_linear("parameters times sections", 4_000, forge::vmlinux_of_parameters_times_sections, &["kernel"]);
}

#[test]
fn work_grows_with_the_size_of_a_module() {
    if !in_own_process!() {
        return;
    }
    let words = ["check", "--json", "--kernel", KERNEL];
    is_nearly_linear("relocations times sections", 4_000, forge::relocations_times_sections, &words);
    is_nearly_linear("relocations times a name", 4_000, forge::relocations_outside_a_long_name, &words);
}

/// The findings about relocations outside their section.
fn outside(answer: &Value) -> Vec<&Value> {
    let findings = answer["findings"].as_array().unwrap().iter();
    findings.filter(|finding| finding["note"].as_str().unwrap().contains("is outside")).collect()
}

#[test]
fn findings_that_differ_only_in_a_place_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.ko");
    let check = |words: &[&str]| {
        let said = kmodlab(words.iter().map(Path::new).chain([path.as_path()]));
        assert_eq!(said.status, Some(0), "{}", said.err);
        said.obeys_nobody();
        said.out
    };
    let text = ["check", "--kernel", KERNEL];
    let json = ["check", "--json", "--kernel", KERNEL];
    // All of a few are listed.
    fs::write(&path, forge::relocations_outside(".text", 5)).unwrap();
    let answer: Value = serde_json::from_str(&check(&json)).unwrap();
    assert_eq!(outside(&answer).len(), 5);
    assert!(outside(&answer).iter().all(|finding| finding.get("more").is_none()));
    assert!(!check(&text).contains("more like this"));
    // Of many, the first ones and the number of the others.
    fs::write(&path, forge::relocations_outside(".text", 12_350)).unwrap();
    let answer: Value = serde_json::from_str(&check(&json)).unwrap();
    let found = outside(&answer);
    assert_eq!(found.len(), 5);
    assert!(found[0]["note"].as_str().unwrap().starts_with("a relocation at 0x3e8 is outside .text;"));
    assert_eq!(found[4]["more"], 12_345);
    let text = check(&text);
    assert_eq!(text.lines().filter(|line| line.contains("is outside .text")).count(), 5);
    assert_eq!(text.lines().filter(|line| line.ends_with("(and 12,345 more like this)")).count(), 1);
}

#[test]
fn a_long_name_is_not_repeated_for_each_of_its_relocations() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.ko");
    fs::write(&path, forge::relocations_outside_a_long_name(4_000)).unwrap();
    for words in [["check", "--kernel", KERNEL].as_slice(), &["check", "--json", "--kernel", KERNEL]] {
        let said = kmodlab(words.iter().map(Path::new).chain([path.as_path()]));
        println!("{} bytes for a module of {} bytes", said.out.len(), fs::metadata(&path).unwrap().len());
        assert!(said.out.len() < 32 << 10, "{words:?} printed {} bytes", said.out.len());
    }
}

#[test]
fn of_very_many_log_lines_the_first_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.ko");
    fs::write(&path, forge::common_symbols(12_345)).unwrap();
    let check = |words: &[&str]| kmodlab(words.iter().map(Path::new).chain([path.as_path()])).out;
    let answer: Value = serde_json::from_str(&check(&["check", "--json", "--kernel", KERNEL])).unwrap();
    let lines = answer["dmesg"].as_array().unwrap();
    let more = answer["dmesg_more"].as_u64().unwrap();
    assert_eq!((lines.len(), answer["dmesg_open"].as_bool()), (10_000, Some(true)));
    assert!(more >= 2_345, "{more}");
    let all = lines.len() as u64 + more;
    let text = check(&["check", "--kernel", KERNEL]);
    assert!(text.contains(&format!("… and {},{:03} lines more", (all - 6) / 1000, (all - 6) % 1000)), "{text}");
}
