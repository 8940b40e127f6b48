//! Options that can differ between a build tree and a kernel with the same vermagic, and that change `struct module`,
//! structures that modules share with the kernel, or how code is called. Pure.
//!
//! For `struct module` the list is complete for the kernels that were read: every `#ifdef` in it, in the structures that it
//! contains, and in each `struct mod_arch_specific`, of 2.6.12, 2.6.32, 3.10, 4.9, 4.19, 5.10, 5.11, 5.18, 6.1, 6.12, 7.2
//! and 7.3 (include/linux/module.h, arch/*/include/asm/module.h; 3.10 and 4.19 in trees of Android, 4.9 in one of
//! NVIDIA, 5.10 and from 6.1 on in Debian's). Between two versions that were read, an option counts as present. For
//! everything else the list contains the options that are known to matter, and no difference proves nothing.
//!
//! Options that the vermagic shows are not in it: SMP, the preemption model, MODULE_UNLOAD, MODVERSIONS, RANDSTRUCT.

mod module_rows;
mod row;
mod structure_rows;

use serde::Serialize;

use crate::buildtree::reading::makefile::KernelNumbers;
use crate::kernel::Config;

pub use row::AbiEffectKind;

/// One thing that an option changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct AbiEffect {
    /// Its kind.
    pub kind: AbiEffectKind,
    /// The members, structures or calls.
    pub what: &'static str,
    /// The kernels that were read and have it: `5.10 to 7.2`.
    pub seen: &'static str,
    /// The source file of the fact.
    pub source: &'static str,
}

/// Would a kernel detect the difference?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Detection {
    /// Both have MODVERSIONS, and the option changes `struct module`: the CRC of `module_layout` (before 2.6.30
    /// `struct_module`) is computed from it, and every module contains that CRC. The module is refused.
    ModuleLayout,
    /// Both have MODVERSIONS: the CRC of each function is computed from all structures that its declaration refers to. A module
    /// that calls one is refused; a module that accesses the structure in another way is not.
    SymbolsThatReachIt,
    /// Nothing detects it: the module is loaded.
    Nothing,
}

/// An option that differs, and its effects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AbiDifference {
    /// The option, without `CONFIG_`.
    pub option: &'static str,
    /// Its value in the tree; `n` if it is not set.
    pub tree: String,
    /// Its value in the kernel.
    pub kernel: String,
    /// Its effects, the worst first; never empty.
    pub effects: Vec<AbiEffect>,
    /// Would a kernel detect the worst of them?
    pub caught: Detection,
}

impl AbiDifference {
    /// The worst kind of its effects.
    pub fn kind(&self) -> AbiEffectKind {
        self.effects.iter().map(|effect| effect.kind).min().unwrap_or(AbiEffectKind::SharedStructure)
    }
}

/// The differences between two configurations, the worst first. If the version is known, options without effect in it are left
/// out. Both configurations are complete: an option without an entry is not set. `m` and `y` are the same, because the
/// structures depend on either.
pub fn differing(tree: &Config, kernel: &Config, version: Option<KernelNumbers>) -> Vec<AbiDifference> {
    let versions = is_set(tree, "MODVERSIONS") && is_set(kernel, "MODVERSIONS");
    let mut found: Vec<AbiDifference> = Vec::new();
    for row in module_rows::ROWS.iter().chain(structure_rows::ROWS) {
        let holds = version.is_none_or(|version| row.from <= version && row.until.is_none_or(|until| version < until));
        let asked = row.only.is_none_or(|only| is_set(tree, only) && is_set(kernel, only));
        let differs = match row.by_value {
            true => tree.get(row.option) != kernel.get(row.option),
            false => is_set(tree, row.option) != is_set(kernel, row.option),
        };
        if !(holds && asked && differs) {
            continue;
        }
        let effect = AbiEffect { kind: row.kind, what: row.what, seen: row.seen, source: row.source };
        match found.iter_mut().find(|difference| difference.option == row.option) {
            Some(difference) => difference.effects.push(effect),
            None => {
                let value = |config: &Config| config.get(row.option).cloned().unwrap_or_else(|| "n".to_owned());
                let (tree, kernel) = (value(tree), value(kernel));
                found.push(AbiDifference {
                    option: row.option,
                    tree,
                    kernel,
                    effects: vec![effect],
                    caught: Detection::Nothing,
                });
            }
        }
    }
    for difference in &mut found {
        difference.effects.sort_by_key(|effect| effect.kind);
        difference.caught = match difference.kind() {
            AbiEffectKind::BeforeInit | AbiEffectKind::StructModule if versions => Detection::ModuleLayout,
            AbiEffectKind::SharedStructure if versions => Detection::SymbolsThatReachIt,
            _ => Detection::Nothing,
        };
    }
    found.sort_by_key(AbiDifference::kind);
    found
}

fn is_set(config: &Config, option: &str) -> bool {
    config.get(option).is_some_and(|value| value != "n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        let options = text.split_whitespace().filter_map(|word| word.split_once('='));
        options.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn names(found: &[AbiDifference]) -> Vec<&str> {
        found.iter().map(|difference| difference.option).collect()
    }

    #[test]
    fn equal_configurations_differ_in_nothing() {
        let one = config("LIVEPATCH=y NR_CPUS=8192 KUNIT=m");
        assert_eq!(differing(&one, &one, None), []);
        assert_eq!(differing(&Config::new(), &Config::new(), None), []);
    }

    #[test]
    fn the_worst_option_comes_first_and_each_only_once() {
        let found = differing(&config("NUMA=y KASAN=y MODULE_SIG=y LIVEPATCH=y"), &Config::new(), Some((6, 1, 0)));
        assert_eq!(names(&found), ["MODULE_SIG", "LIVEPATCH", "KASAN", "NUMA"]);
        let livepatch = &found[1];
        assert_eq!((livepatch.tree.as_str(), livepatch.kernel.as_str()), ("y", "n"));
        // It affects struct module and task_struct.
        let kinds: Vec<AbiEffectKind> = livepatch.effects.iter().map(|effect| effect.kind).collect();
        assert_eq!(kinds, [AbiEffectKind::StructModule, AbiEffectKind::SharedStructure]);
    }

    #[test]
    fn m_and_y_have_the_same_effect() {
        assert_eq!(differing(&config("KUNIT=m"), &config("KUNIT=y"), None), []);
        assert_eq!(names(&differing(&config("KUNIT=m"), &config("KUNIT=n"), None)), ["KUNIT"]);
    }

    #[test]
    fn the_values_of_sizes_are_compared() {
        let found = differing(&config("NR_CPUS=8192 HZ=250"), &config("NR_CPUS=512 HZ=250"), Some((6, 12, 0)));
        assert_eq!(names(&found), ["NR_CPUS"]);
        assert_eq!((found[0].tree.as_str(), found[0].kernel.as_str()), ("8192", "512"));
        assert_eq!(found[0].kind(), AbiEffectKind::SharedStructure);
        // Before 2.6.32 struct module had a reference count per processor.
        let unload = |cpus: &str| config(&format!("NR_CPUS={cpus} MODULE_UNLOAD=y"));
        assert_eq!(differing(&unload("8"), &unload("32"), Some((2, 6, 5)))[0].kind(), AbiEffectKind::StructModule);
    }

    #[test]
    fn options_without_effect_in_a_version_are_left_out() {
        let tree = config("STACKTRACE_BUILD_ID=y");
        assert_eq!(differing(&tree, &Config::new(), Some((5, 10, 0))), []);
        assert_eq!(names(&differing(&tree, &Config::new(), Some((6, 1, 0)))), ["STACKTRACE_BUILD_ID"]);
        assert_eq!(names(&differing(&tree, &Config::new(), None)), ["STACKTRACE_BUILD_ID"]);
        // 6.1 checks a type before each function, and no longer has cfi_check.
        let found = differing(&config("CFI_CLANG=y"), &Config::new(), Some((6, 1, 0)));
        assert_eq!(found[0].kind(), AbiEffectKind::Code);
        assert_eq!(
            differing(&config("CFI_CLANG=y"), &Config::new(), Some((5, 18, 0)))[0].kind(),
            AbiEffectKind::BeforeInit
        );
    }

    #[test]
    fn rows_of_an_architecture_apply_only_to_it() {
        let tracer =
            |arch: &str| differing(&config(&format!("FUNCTION_TRACER=y {arch}")), &config(arch), Some((6, 1, 0)));
        assert_eq!(tracer("S390=y")[0].kind(), AbiEffectKind::StructModule);
        assert_eq!(tracer("X86_64=y")[0].kind(), AbiEffectKind::Code);
    }

    #[test]
    fn symbol_versions_detect_structures_but_not_code() {
        let both =
            |options: &str| differing(&config(&format!("MODVERSIONS=y {options}")), &config("MODVERSIONS=y"), None);
        assert_eq!(both("LIVEPATCH=y")[0].caught, Detection::ModuleLayout);
        assert_eq!(both("DEBUG_RWSEMS=y")[0].caught, Detection::SymbolsThatReachIt);
        assert_eq!(both("KASAN_OUTLINE=y")[0].caught, Detection::Nothing);
        let one = differing(&config("MODVERSIONS=y LIVEPATCH=y"), &Config::new(), None);
        assert_eq!(one[0].caught, Detection::Nothing);
    }

    #[test]
    fn no_row_occurs_twice_and_none_is_in_the_vermagic() {
        let mut seen = std::collections::HashSet::new();
        for row in module_rows::ROWS.iter().chain(structure_rows::ROWS) {
            assert!(seen.insert((row.option, row.kind, row.from)), "{} twice", row.option);
            assert!(
                !["SMP", "PREEMPT", "PREEMPT_RT", "MODULE_UNLOAD", "MODVERSIONS", "RANDSTRUCT"].contains(&row.option)
            );
            assert!(row.until.is_none_or(|until| row.from < until), "{}", row.option);
        }
    }
}
