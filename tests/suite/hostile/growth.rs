//! Promise: the work for a file grows with its size, not with the product of the numbers of its parts; and what is printed about
//! many equal parts is a few lines and their number.
//!
//! Work is measured in processor time at three sizes of the same input. Only the exponent of the growth is checked: it does not
//! depend on the machine, nor on what else runs there.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::hostile::bounds::cost;
use crate::hostile::{forge, kinds, kmodlab};

use crate::support::{in_own_process, is_in_own_process};

const KERNEL: &str = "vermagic:6.1 SMP mod_unload ";

/// The exponent of a quadratic algorithm is 2; linear ones stay close to 1, and below it while starting the program costs more.
const HIGHEST_EXPONENT: f64 = 1.2;

/// The sizes of an input, as multiples of the smallest.
const SIZES: [usize; 3] = [1, 4, 16];

/// Measurements that other programs disturb are repeated.
const TRIES: usize = 4;

/// An input: its name, the number of parts of the smallest, what makes it with a number of parts, and the command that reads it
/// (`IN` is the input).
type Grown = (&'static str, usize, fn(&Path, usize), &'static [&'static str]);

macro_rules! file {
    ($make:path) => {
        |to, count| fs::write(to, $make(count)).unwrap()
    };
}

const CHECK: &[&str] = &["check", "--json", "--kernel", KERNEL, "IN"];
const SHOW: &[&str] = &["show", "--json", "IN"];
const PATCH: &[&str] = &["patch", "-n", "--vermagic", "6.1 ", "IN"];
const EXPLAIN: &[&str] = &["explain", "IN"];
const ASK: &[&str] = &["kernel", "--json", "IN"];

const GROWN: &[Grown] = &[
    ("section names within names", 4_000, file!(forge::vmlinux_of_names_within_names), ASK),
    ("parameters times sections", 4_000, file!(forge::vmlinux_of_parameters_times_sections), ASK),
    ("exports of one long name", 40_000, file!(forge::vmlinux_of_one_long_name), ASK),
    ("equal type names in .BTF.base", 20_000, kinds::equal_types, &["check", "IN/m.ko", "--kernel", "IN/vmlinux"]),
    ("options of a configuration", 30_000, file!(kinds::options), ASK),
    ("lines of Module.symvers", 20_000, file!(kinds::symvers), ASK),
    ("paths and links in a package", 400, file!(kinds::package_of_paths), ASK),
    ("kernels in a package", 130, file!(kinds::package_of_kernels), ASK),
    ("relocations times sections", 4_000, file!(forge::relocations_times_sections), CHECK),
    ("relocations outside a section", 20_000, file!(forge::relocations_outside_text), CHECK),
    ("relocations outside a section with a long name", 4_000, file!(forge::relocations_outside_a_long_name), CHECK),
    ("common symbols", 20_000, file!(forge::common_symbols), CHECK),
    ("one name for all symbols", 10_000, file!(forge::one_name_for_all_symbols), CHECK),
    ("names within names", 10_000, file!(forge::names_within_names), CHECK),
    ("one name for all sections", 1_500, file!(forge::one_name_for_all_sections), CHECK),
    ("notes read again and again", 1_500, file!(forge::notes_read_again_and_again), CHECK),
    ("imports times versions", 10_000, file!(forge::imports_times_versions), CHECK),
    ("exports times sections", 4_000, file!(forge::exports_times_sections), CHECK),
    ("one namespace for all exports", 5_000, file!(forge::one_namespace_for_all_exports), SHOW),
    ("parameters", 2_500, file!(forge::parameters), SHOW),
    ("shortest strings", 2_500, file!(forge::shortest_strings), SHOW),
    ("a version magic of words", 50_000, file!(forge::vermagic_of_words), PATCH),
    ("the smallest symbols", 20_000, file!(forge::smallest_symbols), SHOW),
    ("patterns in modules.alias", 50_000, kinds::pattern_aliases, &["show", "-k", "6.1", "-b", "IN", "an_alias"]),
    ("an alias of many modules", 40_000, kinds::one_alias, &["show", "-k", "6.1", "-b", "IN", "an_alias"]),
    ("an alias of built-in modules", 80_000, kinds::built_in_aliases, &["show", "-k", "6.1", "-b", "IN", "an_alias"]),
    ("modules of a log", 40_000, file!(kinds::log_of_modules), EXPLAIN),
    ("symbols of a log", 40_000, file!(kinds::log_of_symbols), EXPLAIN),
    ("lines without a name", 40_000, file!(kinds::log_without_names), EXPLAIN),
    ("failed calls of a log", 8_000, file!(kinds::log_of_failed_calls), EXPLAIN),
    ("unknown lines of a log", 80_000, file!(kinds::log_of_unknown_lines), EXPLAIN),
    ("oopses of a log", 10_000, file!(kinds::log_of_oopses), EXPLAIN),
    ("warnings of a log", 20_000, file!(kinds::log_of_warnings), EXPLAIN),
    ("lines of modinfo", 40_000, file!(kinds::modinfo_of_aliases), EXPLAIN),
    ("kernels of a log", 20_000, file!(kinds::log_of_kernels), EXPLAIN),
    ("long lines of a log", 200, file!(kinds::log_of_long_lines), EXPLAIN),
    ("prefixes of a log", 400, file!(kinds::log_of_prefixes), EXPLAIN),
    ("lines that nearly are known", 400, file!(kinds::nearly_known_lines), EXPLAIN),
    ("modules of a tree", 200, kinds::many_modules, &["check", HELLO, "--kernel", "IN"]),
    ("modules of a tree, compared", 200, kinds::many_modules, &["verify", "--against", "IN", "IN"]),
];

const HELLO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/modules/hello-4.ko");

/// The exponent of the power law that fits best: the slope of the logarithms (least squares).
fn exponent(points: [(f64, f64); 3]) -> f64 {
    let logarithms = points.map(|(x, y)| (x.ln(), y.ln()));
    let mean = |of: fn(&(f64, f64)) -> f64| logarithms.iter().map(of).sum::<f64>() / 3.0;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let [above, below] = [|(a, b): (f64, f64)| a * b, |(a, _): (f64, f64)| a * a]
        .map(|product| logarithms.iter().map(|point| product((point.0 - x, point.1 - y))).sum::<f64>());
    above / below
}

#[test]
fn the_exponent_of_a_power_law_is_found() {
    let points = |power: f64| [1.0_f64, 4.0, 16.0].map(|x| (x, 0.3 * x.powf(power)));
    assert!([0.5, 1.0, 2.0].iter().all(|power| (exponent(points(*power)) - power).abs() < 1e-9));
}

#[test]
fn work_grows_with_the_size_of_an_input() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("grown");
    let path = |number: usize, size: usize| folder.join(format!("{number}-{size}"));
    if !is_in_own_process() {
        // Made here, so that the process that measures takes little memory itself.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        for (number, (_, count, make, _)) in GROWN.iter().enumerate() {
            SIZES.iter().for_each(|size| make(&path(number, *size), kinds::scaled(*count) * size));
        }
    }
    if !in_own_process!() {
        return fs::remove_dir_all(&folder).unwrap();
    }
    println!(
        "{:<48} {:>8} {:>8} {:>8} s of CPU  exponent",
        "of so many parts, 4 and 16 times as many:", "1", "4", "16"
    );
    let mut failed = Vec::new();
    for (number, (what, count, _, words)) in GROWN.iter().enumerate() {
        let measure = |size: usize| {
            let input = path(number, size);
            let words = words.iter().map(|word| match word.strip_prefix("IN") {
                Some("") => input.clone(),
                Some(below) => input.join(below.trim_start_matches('/')),
                None => Path::new(word).to_owned(),
            });
            let state = ["--state-dir".into(), folder.join("state")];
            let cost = cost(words.chain(state));
            cost.is_bounded(what, kinds::size(&input));
            (cost.status.code(), (cost.cpu + cost.system).as_secs_f64())
        };
        let mut least = f64::MAX;
        for _ in 0..TRIES {
            let measured = SIZES.map(measure);
            // An input that is refused at once for its size shows nothing about the work for it.
            assert!(measured.iter().all(|(status, _)| *status == measured[0].0), "{what}: {measured:?}");
            let seconds = measured.map(|(_, seconds)| seconds);
            let exponent = exponent([0, 1, 2].map(|at| (SIZES[at] as f64, seconds[at])));
            let [one, four, sixteen] = seconds;
            println!("{what:<48} {one:>8.3} {four:>8.3} {sixteen:>8.3} {exponent:>9.2}  {count}");
            least = least.min(exponent);
            if least <= HIGHEST_EXPONENT {
                break;
            }
        }
        if least > HIGHEST_EXPONENT {
            failed.push(format!("{what}: {least:.2}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
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
