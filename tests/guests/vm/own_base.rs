//! Promise: for a module with its own base for its BTF, as in modules built outside a kernel's tree, `check` predicts the
//! answer of a real kernel. (None of Debian's kernels without support for such bases refuses BTF.)
//!
//! The modules are a kernel's own `dummy` without its trailer, with types and a base that are made here, so that there are
//! cases that pahole may never produce.

use std::collections::HashMap;
use std::path::Path;

use kmodlab::lab::experiment;
use kmodlab::lab::record::{Agreement, LoadMode, TrialRole};
use kmodlab::lab::spec::TrialSpec;
use kmodlab::lab::subject::TrialSubject;
use kmodlab::lab::target::TargetKernel;

use crate::support::facts::Facts;
use crate::support::fetched::LOOKUP;
use crate::vm::breakage::{Elf, TRAILER};
use crate::vm::kernels::deb;
use crate::vm::{alone, load_only};

const KERNELS: [&str; 2] = ["amd64-6.12", "amd64-7.2"];

const EINVAL: i32 = 22;
const ENOENT: i32 = 2;

/// Kinds (include/uapi/linux/btf.h), in their bits of `struct btf_type`.
const INT: u32 = 1 << 24;
const POINTER: u32 = 2 << 24;
const STRUCT: u32 = 4 << 24;
const FORWARD: u32 = 7 << 24;

/// BTF under construction; its strings continue at an offset.
struct Types {
    types: Vec<u8>,
    strings: Vec<u8>,
    first_string: usize,
}

impl Types {
    /// A type, followed by numbers.
    fn add(&mut self, name: &str, info: u32, size_or_type: u32, more: &[u32]) {
        let name = self.string(name);
        for number in [name, info, size_or_type].iter().chain(more) {
            self.types.extend(number.to_le_bytes());
        }
    }

    fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let at = self.first_string + self.strings.len();
        self.strings.extend([text.as_bytes(), b"\0"].concat());
        u32::try_from(at).unwrap()
    }

    fn bytes(&self) -> Vec<u8> {
        let [types, strings] = [&self.types, &self.strings].map(|part| u32::try_from(part.len()).unwrap());
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        [24, 0, types, types, strings].iter().for_each(|number| bytes.extend(number.to_le_bytes()));
        [bytes, self.types.clone(), self.strings.clone()].concat()
    }
}

/// A base and a module's types on it. The module has a pointer to type 2 of the base, and a structure that contains type 3 if
/// `is_around`; then more pointers than the base has types, unless it `is_small`: kernels before 6.15 may look into no
/// structure of a smaller module.
struct Case {
    base: Types,
    is_around: bool,
    is_small: bool,
    /// A string of the base that the module uses as the name of its structure.
    borrowed: Option<u32>,
}

/// The base: 1 `unsigned int`, 2 `struct module`, 3 `struct list_head`, as in a 64-bit kernel except for the sizes.
fn base(number: u32, module: (&str, u32), list_head: u32) -> Case {
    let mut base = Types { types: vec![], strings: vec![0], first_string: 0 };
    base.add("unsigned int", INT, number, &[8 * number]);
    base.add(module.0, STRUCT, module.1, &[]);
    base.add("list_head", STRUCT, list_head, &[]);
    Case { base, is_around: true, is_small: false, borrowed: None }
}

fn usual() -> Case {
    base(4, ("module", 1), 16)
}

impl Case {
    fn module(&self) -> Vec<u8> {
        let mut module = Types { types: vec![], strings: vec![], first_string: self.base.strings.len() };
        module.add("", POINTER, 2, &[]);
        if self.is_around {
            let member = self.borrowed.unwrap_or_else(|| module.string("a_member"));
            module.add("a_structure", STRUCT | 1, 64, &[member, 3, 0]);
        }
        for _ in 0..if self.is_small { 0 } else { 16 } {
            module.add("", POINTER, 1, &[]);
        }
        module.bytes()
    }
}

/// The cases, each with the kernel's answer: 0 if the kernel accepts it.
fn cases() -> Vec<(&'static str, Case, i32)> {
    let mut cases = vec![
        ("as pahole has it", usual(), 0),
        ("a structure that the kernel has not", base(4, ("modula", 1), 16), EINVAL),
        ("a structure within, of another size", base(4, ("module", 1), 24), EINVAL),
        ("a number of another size", base(8, ("module", 1), 16), EINVAL),
        ("a structure of another size, pointed to", Case { is_around: false, ..base(4, ("module", 1), 24) }, 0),
        ("a structure within a small module", Case { is_small: true, ..base(4, ("module", 1), 24) }, EINVAL),
    ];
    let mut add = |name, answer, change: &dyn Fn(&mut Case)| {
        let mut case = usual();
        change(&mut case);
        cases.push((name, case, answer));
    };
    add("a pointer", EINVAL, &|case| case.base.add("", POINTER, 1, &[]));
    add("a declaration", 0, &|case| case.base.add("list_head", FORWARD, 0, &[]));
    add("a declaration as a union", 0, &|case| case.base.add("list_head", FORWARD | 1 << 31, 0, &[]));
    add("a declaration of one with bit fields", EINVAL, &|case| case.base.add("task_struct", FORWARD, 0, &[]));
    add("a structure found by a number", 0, &|case| case.base.add("int", STRUCT, 4, &[]));
    add("without a NUL at the strings' start", EINVAL, &|case| case.base.strings[0] = b'x');
    add("a name that is no type's", ENOENT, &|case| case.borrowed = Some(case.base.string("borrowed")));
    add("a name that is a type's", 0, &|case| case.borrowed = Some(1 + u32::try_from("unsigned int\0".len()).unwrap()));
    cases
}

#[test]
#[ignore = "needs QEMU and fetched kernels: tests/run runs it"]
fn a_module_s_own_btf_base_is_followed_as_predicted() {
    let _alone = alone();
    let conditions = load_only();
    let cases = cases();
    for kernel in KERNELS {
        let begun = std::time::Instant::now();
        let facts = Facts::of(kernel);
        // Kernels since 6.12 look up the types of a base in the kernel's types.
        assert!(facts.can_say("is not mapped to base BTF id"), "{kernel} knows no bases");
        // Such a kernel reports BTF that does not fit, and accepts the module.
        let is_tolerant = facts.is_set("MODULE_ALLOW_BTF_MISMATCH");
        let target =
            TargetKernel::open(&deb(kernel), &["dummy".to_owned()].into(), &conditions.settings, &LOOKUP).unwrap();
        let mut good = Elf { bytes: target.files.modules["dummy"].bytes.clone() };
        let trailer = good.signature().expect("Debian's modules are signed") + TRAILER;
        good.bytes.truncate(good.bytes.len() - trailer);
        let subjects: Vec<TrialSubject> = cases
            .iter()
            .map(|(name, case, _)| {
                let mut elf = good.clone();
                let types = elf.section(".BTF").expect("Debian's modules have BTF");
                elf.rewrite(types, &case.module()).unwrap();
                elf.add_section(".BTF.base", &case.base.bytes()).unwrap();
                TrialSubject::new(elf.bytes, &Path::new(name).join("dummy.ko"), None)
            })
            .collect();
        let question = |subject| TrialSpec { role: TrialRole::Asked, subject, load_mode: LoadMode::Original };
        let questions: Vec<TrialSpec<'_>> = subjects.iter().map(question).collect();
        let trials = experiment::run(&target, &questions, &conditions, &HashMap::new(), &|_| {});
        assert_eq!(trials.len(), cases.len());
        let mut taken = 0;
        for (trial, (name, _, answer)) in trials.iter().zip(&cases) {
            assert_eq!(trial.agreement, Agreement::Agree, "{kernel}: {name}: {trial:#?}");
            taken += usize::from(trial.observed.accepted);
            let observed = (trial.observed.accepted, trial.observed.errno);
            match is_tolerant {
                true => {
                    let is_told = trial.observed.log.iter().any(|line| line.text.contains("BTF mismatch detected"));
                    assert_eq!((observed, is_told), ((true, Some(0)), *answer != 0), "{kernel}: {name}");
                }
                false => assert_eq!(observed, (*answer == 0, Some(*answer)), "{kernel}: {name}"),
            }
        }
        let count = trials.len();
        println!(
            "{kernel}: {count} bases, {taken} taken, all as predicted; takes what does not fit: {is_tolerant}; {:?}",
            begun.elapsed()
        );
    }
}
