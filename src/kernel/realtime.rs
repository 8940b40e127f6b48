//! Is a kernel, or the kernel that a module was built for, a realtime kernel (CONFIG_PREEMPT_RT)? Pure.
//!
//! A realtime kernel has other locks: `spinlock_t` is a sleeping lock of another size, and code that is inlined into modules
//! depends on it. The version magic does not always show it ([`Vermagic::realtime`](crate::vermagic::Vermagic::realtime)).

use crate::door::internal_fn;
use crate::kernel::facts::Fact;
use crate::kernel::model::Kernel;
use crate::kernel::origin::Origin;
use crate::module::Module;

/// Exported by realtime kernels only (kernel/locking/spinlock_rt.c and rtmutex_api.c, 6.1 to 7.2).
const REALTIME_ONLY: [&str; 9] = [
    "rt_spin_lock",
    "rt_spin_unlock",
    "rt_spin_trylock",
    "rt_read_lock",
    "rt_read_unlock",
    "rt_write_lock",
    "rt_write_unlock",
    "rt_mutex_base_init",
    "__rt_rwlock_init",
];

/// Exported by other kernels only (kernel/locking/spinlock.c, 5.15 to 7.2).
const OTHERS_ONLY: [&str; 10] = [
    "_raw_read_lock",
    "_raw_read_lock_bh",
    "_raw_read_lock_irq",
    "_raw_read_lock_irqsave",
    "_raw_read_unlock_irqrestore",
    "_raw_write_lock",
    "_raw_write_lock_bh",
    "_raw_write_lock_irq",
    "_raw_write_lock_irqsave",
    "_raw_write_unlock_irqrestore",
];

/// Which of the two a set of symbols shows, with the symbol; `None` if it shows neither.
fn by_symbols(has: impl Fn(&str) -> bool) -> Option<(bool, &'static str)> {
    let find = |names: &[&'static str]| names.iter().find(|name| has(name)).copied();
    match (find(&REALTIME_ONLY), find(&OTHERS_ONLY)) {
        (Some(name), None) => Some((true, name)),
        (None, Some(name)) => Some((false, name)),
        _ => None,
    }
}

impl Kernel {
    internal_fn! {
        /// Is it built with CONFIG_PREEMPT_RT? Shown by its configuration, its version magic, its version line (5.10 on, init/Makefile,
        /// before 6.1 scripts/mkcompile_h), or its exports. `None` where none of them shows it.
        fn realtime(&self) -> Option<Fact<bool>> {
            let facts = &self.facts;
            if let Some(config) = &facts.config {
                let value = ["PREEMPT_RT", "PREEMPT_RT_FULL"].iter().any(|option| config.value.contains_key(*option));
                return Some(Fact {
                    value,
                    source: Origin::ConfigOption {
                        option: "CONFIG_PREEMPT_RT".to_owned(),
                        of: Box::new(config.source.clone()),
                    },
                });
            }
            let version = self.release_parts().and_then(|release| release.version());
            if let Some(banner) = &facts.banner
                && let Some((_, build)) = banner.value.split_once(" #")
            {
                let source = Origin::VersionLine(Box::new(banner.source.clone()));
                match build.contains("PREEMPT_RT") || build.contains("PREEMPT RT") {
                    true => return Some(Fact { value: true, source }),
                    false if version >= Some((5, 10)) => return Some(Fact { value: false, source }),
                    false => {}
                }
            }
            if let Some(vermagic) = &self.vermagic
                && let Some((value, what)) = vermagic.value.realtime()
            {
                return Some(Fact {
                    value,
                    source: Origin::VermagicWord { word: what.to_string(), of: Box::new(vermagic.source.clone()) },
                });
            }
            let exports = facts.exports.as_ref()?;
            let (value, symbol) = by_symbols(|name| exports.value.symbols.contains_key(name))?;
            Some(Fact { value, source: Origin::Export { symbol: symbol.to_owned(), of: Box::new(exports.source.clone()) } })
        }
    }
}

/// Was a module built for a realtime kernel? Shown by its version magic or by the symbols that it imports. `None` where
/// neither shows it.
pub fn of_module(module: &Module) -> Option<Fact<bool>> {
    if let Some((value, what)) = module.vermagic().and_then(|vermagic| vermagic.realtime()) {
        return Some(Fact {
            value,
            source: Origin::VermagicWord { word: what.to_string(), of: Box::new(Origin::OwnVermagic) },
        });
    }
    let names: std::collections::HashSet<&[u8]> = module.imports.iter().map(|import| import.name.as_slice()).collect();
    let (value, symbol) = by_symbols(|name| names.contains(name.as_bytes()))?;
    Some(Fact { value, source: Origin::Import(symbol.to_owned()) })
}

/// How a module and a kernel differ in CONFIG_PREEMPT_RT, in words. `None` where they agree, where either is not known, and
/// where their version magics differ in preemption already.
pub fn difference(module: &Module, kernel: &Kernel) -> Option<String> {
    use crate::vermagic::TokenKind::PreemptRt;
    let (ours, theirs) = (of_module(module)?, kernel.realtime()?);
    let has_token = module.vermagic().is_some_and(|vermagic| vermagic.has(PreemptRt));
    let is_shown = kernel.vermagic.as_ref().is_some_and(|theirs| has_token != theirs.value.has(PreemptRt));
    if ours.value == theirs.value || is_shown {
        return None;
    }
    let said = |fact: &Fact<bool>| format!("{} ({})", if fact.value { "yes" } else { "no" }, fact.source);
    Some(format!("realtime (CONFIG_PREEMPT_RT): module {}, kernel {}", said(&ours), said(&theirs)))
}
