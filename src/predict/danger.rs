//! The reasons why a module is unsafe on a kernel, even if the loader accepts it: evidence, worst first.

use serde::Serialize;

use crate::escape::bytes_for_eyes;
use crate::kernel::{Kernel, Machine, OwnImports, realtime};
use crate::module::Module;
use crate::module::summary::MARK;
use crate::vermagic::compare;

/// Evidence that a module was built for something other than this kernel.
#[cfg_attr(not(feature = "internals"), non_exhaustive)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Danger {
    /// `struct module` itself differs: the module is certainly unsafe.
    #[serde(rename = "fingerprint")]
    ModuleLayout {
        /// The difference, in words.
        note: String,
    },
    /// A token that changes the layout of data differs.
    Token {
        /// The difference, in words.
        note: String,
    },
    /// Only one of the two is built with CONFIG_PREEMPT_RT, and the version magic does not show it: locks differ.
    Realtime {
        /// The difference, and how each side is known, in words.
        note: String,
    },
    /// The module was patched: its version magic or its CRCs are not those of its build, and prove nothing.
    Patched {
        /// How that is known, in words.
        note: String,
    },
    /// CRCs of imported symbols differ, so the types that they cover differ.
    Crcs {
        /// The number of differing CRCs.
        differing: usize,
        /// The number of CRCs that could be compared.
        compared: usize,
        /// Their names; `module_layout` first, then the symbols that most types depend on.
        symbols: Vec<String>,
    },
}

impl Danger {
    /// The danger of a patched module; `how` says how the patch is known.
    pub fn patched(how: &str) -> Danger {
        let note = format!(
            "patched: its version magic or CRCs are not those that it was compiled with, and their agreement proves \
             nothing ({how})"
        );
        Danger::Patched { note }
    }

    /// Is it evidence that the module was built for another kernel, in addition to its version magic?
    pub fn is_foreign(&self) -> bool {
        !matches!(self, Danger::Token { .. } | Danger::Patched { .. })
    }

    /// Describes it in one sentence.
    pub fn sentence(&self) -> String {
        match self {
            Danger::ModuleLayout { note }
            | Danger::Token { note }
            | Danger::Realtime { note }
            | Danger::Patched { note } => note.clone(),
            Danger::Crcs { differing, compared, symbols } => {
                let mut names = symbols.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
                if let Some(more) = symbols.len().checked_sub(5).filter(|more| *more > 0) {
                    names.push_str(&format!(" and {more} more"));
                }
                format!("{differing} of {compared} symbol CRCs differ: {names}")
            }
        }
    }
}

/// All evidence from the facts, without the facts that come from the module itself.
pub(super) fn of(module: &Module, kernel: &Kernel, own: Option<&OwnImports>) -> Vec<Danger> {
    let mut dangers = differences(module, kernel, own);
    if let Some(mark) = module.modinfo.first(MARK) {
        let mark = bytes_for_eyes(mark);
        dangers.push(Danger::patched(&format!("its modinfo says {MARK}={mark}")));
    }
    dangers
}

/// The differences between the module and the kernel.
fn differences(module: &Module, kernel: &Kernel, own: Option<&OwnImports>) -> Vec<Danger> {
    // A module for another machine has nothing that could be compared.
    if kernel.facts.other_machine(Machine::of(module)).is_some() {
        return Vec::new();
    }
    let mut dangers: Vec<Danger> = fingerprint(module, kernel).into_iter().collect();
    if let (Some(ours), Some(theirs)) = (module.vermagic(), &kernel.vermagic) {
        let comparison = compare(&ours, &theirs.value);
        dangers.extend(comparison.abi_differences().map(|difference| Danger::Token { note: difference.to_string() }));
    }
    dangers.extend(realtime::difference(module, kernel).map(|note| Danger::Realtime { note }));
    dangers.extend(crcs_but_own(module, kernel, own));
    dangers
}

/// Where the layout of `struct module` differs.
pub fn fingerprint(module: &Module, kernel: &Kernel) -> Option<Danger> {
    let ours = module.this_module.as_ref()?.fingerprint;
    let theirs = kernel.facts.fingerprint.as_ref()?.value;
    let mut parts = Vec::new();
    if ours.size != theirs.size {
        parts.push(format!("0x{:x} bytes here, 0x{:x} in the kernel", ours.size, theirs.size));
    }
    for (what, ours, theirs) in [("init", ours.init, theirs.init), ("exit", ours.exit, theirs.exit)] {
        if let (Some(ours), Some(theirs)) = (ours, theirs)
            && ours != theirs
        {
            parts.push(format!("{what} at 0x{ours:x} here, at 0x{theirs:x} in the kernel"));
        }
    }
    (!parts.is_empty()).then(|| Danger::ModuleLayout { note: format!("struct module differs: {}", parts.join("; ")) })
}

/// The CRCs that differ.
pub fn crcs(module: &Module, kernel: &Kernel) -> Option<Danger> {
    let own = kernel.facts.imports.as_ref().and_then(|imports| imports.value.own(module));
    crcs_but_own(module, kernel, own.as_ref())
}

fn crcs_but_own(module: &Module, kernel: &Kernel, own: Option<&OwnImports>) -> Option<Danger> {
    let (mut compared, mut symbols) = (0, Vec::new());
    let versions = module.versions.by_symbol();
    for (symbol, ours) in &versions {
        let symbol = String::from_utf8_lossy(symbol);
        let Some(theirs) = kernel.facts.crc(&symbol, own) else { continue };
        compared += 1;
        if *ours != u64::from(theirs) {
            symbols.push(symbol.into_owned());
        }
    }
    symbols.sort_by_key(|symbol| (symbol != "module_layout", symbol.clone()));
    (!symbols.is_empty()).then_some(Danger::Crcs { differing: symbols.len(), compared, symbols })
}
