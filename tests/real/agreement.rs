//! Promise: what `check --alone` predicts is what a real kernel answers.
//!
//! Five kernels are booted, and each is given the modules of all five, with each of finit_module's flags. A cell agrees
//! if the verdict, the errno and the loader's first log line do.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::comparison::Matrix;
use crate::guest::packages::{KERNELS, Package, package};
use crate::guest::{Answer, Cell, Waiting};
use crate::{KMODLAB, alone, run};

/// finit_module's flags and what `check --force` calls them (include/uapi/linux/module.h: 1 is
/// MODULE_INIT_IGNORE_MODVERSIONS, 2 MODULE_INIT_IGNORE_VERMAGIC).
pub(crate) const FORCES: [&str; 4] = ["none", "modversions", "vermagic", "both"];

/// A file that a kernel is asked about.
pub(crate) struct Subject {
    /// The row of the matrix it belongs to: whose module it is.
    pub(crate) origin: String,
    pub(crate) module: String,
    /// On this machine.
    pub(crate) path: PathBuf,
    pub(crate) flags: Vec<u8>,
}

/// A real kernel's answer, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) kernel: String,
    pub(crate) origin: String,
    pub(crate) module: String,
    pub(crate) flags: u8,
    #[serde(flatten)]
    pub(crate) answer: Answer,
}

#[test]
#[ignore = "needs QEMU and fetched kernels: tests/run runs it"]
fn real_kernels_answer_to_real_modules_as_predicted() {
    let _alone = alone();
    let packages: Vec<Package> = KERNELS.into_iter().map(package).collect();
    let mut matrix = Matrix::default();
    for kernel in packages.iter().filter(|kernel| is_chosen(kernel)) {
        hold_against(&mut matrix, kernel, &modules_of(&packages), kernel.name);
    }
    matrix.judge("real modules");
}

/// Asks the kernel about all, or takes what it answered last time if KMODLAB_KEPT is set, and compares with what
/// `check` predicts.
pub(crate) fn hold_against(matrix: &mut Matrix, kernel: &Package, subjects: &[Subject], name: &str) {
    let asked = match std::env::var_os("KMODLAB_KEPT") {
        Some(_) => kept(name),
        None => ask(kernel, subjects),
    };
    keep(name, &asked);
    let predictions = FORCES.map(|force| predict(kernel, subjects, force));
    let subject = |asked: &Asked| {
        subjects.iter().find(|subject| subject.origin == asked.origin && subject.module == asked.module)
    };
    for asked in &asked {
        let path = &subject(asked).unwrap_or_else(|| panic!("{name}: {} was not asked about", asked.module)).path;
        matrix.add(asked, &predictions[usize::from(asked.flags)][path]);
    }
}

/// What `check` says, by file.
fn predict(kernel: &Package, subjects: &[Subject], force: &str) -> HashMap<PathBuf, Value> {
    let mut arguments: Vec<OsString> =
        ["check", "--alone", "--json", "--force", force, "--kernel"].map(Into::into).into();
    arguments.push(kernel.kernel.clone());
    arguments.extend(subjects.iter().map(|subject| subject.path.clone().into()));
    let output = run(KMODLAB, arguments);
    let text = String::from_utf8_lossy(&output.stdout);
    let values = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let found: HashMap<PathBuf, Value> =
        values.map(|value| (PathBuf::from(value["module"].as_str().unwrap()), value)).collect();
    for subject in subjects {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(found.contains_key(&subject.path), "check says nothing of {}:\n{said}", subject.path.display());
    }
    found
}

/// All kernels are, or those that KMODLAB_KERNELS names.
pub(crate) fn is_chosen(kernel: &Package) -> bool {
    std::env::var("KMODLAB_KERNELS").map_or(true, |names| names.split(',').any(|name| name == kernel.name))
}

/// The modules of all kernels, each with all flags.
fn modules_of(packages: &[Package]) -> Vec<Subject> {
    let all =
        packages.iter().flat_map(|origin| origin.modules.iter().map(move |(module, path)| (origin, module, path)));
    all.map(|(origin, module, path)| Subject {
        origin: origin.name.to_owned(),
        module: (*module).to_owned(),
        path: path.clone(),
        flags: vec![0, 1, 2, 3],
    })
    .collect()
}

/// Boots the kernel and asks it about all.
pub(crate) fn ask(kernel: &Package, subjects: &[Subject]) -> Vec<Asked> {
    let begun = std::time::Instant::now();
    let name = |subject: usize| format!("m/{subject}.ko");
    let files: Vec<_> = subjects.iter().enumerate().map(|(i, s)| (name(i), std::fs::read(&s.path).unwrap())).collect();
    let waiting = Waiting::boot(&kernel.vmlinuz, &files);
    println!("{}: {} is booted, {:?}", kernel.name, waiting.release, begun.elapsed());
    let wanted: Vec<(usize, u8)> =
        subjects.iter().enumerate().flat_map(|(i, s)| s.flags.iter().map(move |flags| (i, *flags))).collect();
    let cells: Vec<Cell> = wanted
        .iter()
        .enumerate()
        .map(|(id, (subject, flags))| Cell { id: id.to_string(), flags: *flags, file: name(*subject) })
        .collect();
    let answers = waiting.ask(&cells, |_, _| {});
    println!("{}: {} cells, {:?}", kernel.name, cells.len(), begun.elapsed());
    let asked = wanted.iter().zip(answers).map(|((subject, flags), answer)| Asked {
        kernel: kernel.name.to_owned(),
        origin: subjects[*subject].origin.clone(),
        module: subjects[*subject].module.clone(),
        flags: *flags,
        answer,
    });
    asked.collect()
}

fn answers_folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/real/answers");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Keeps the raw answers, for who wants to look.
fn keep(name: &str, asked: &[Asked]) {
    let lines: Vec<String> = asked.iter().map(|asked| serde_json::to_string(asked).unwrap()).collect();
    std::fs::write(answers_folder().join(format!("{name}.jsonl")), lines.join("\n") + "\n").unwrap();
}

fn kept(name: &str) -> Vec<Asked> {
    println!("{name}: NOT booted, KMODLAB_KEPT is set: what it answered last time");
    let text = std::fs::read_to_string(answers_folder().join(format!("{name}.jsonl"))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
