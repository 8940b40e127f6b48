//! The facts of a bundle: files of a folder or a package, classified by their places ([`crate::kernel::place`]), read and merged
//! by the kernel that they belong to.

use std::collections::{BTreeMap, BTreeSet};

use crate::budget::WorkBudget;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::facts::{Fact, Facts};
use crate::kernel::gather::{self, GatheredModules};
use crate::kernel::merge::merge;
use crate::kernel::origin::Origin;
use crate::kernel::place::{self, FileRole, KernelGroup};
use crate::kernel::preference::DepmodOrder;
use crate::kernel::{config, image, symvers, system_map};

/// The facts of a bundle, gathered by kernel.
pub(super) struct Bundle<'b> {
    budget: &'b WorkBudget,
    found: BTreeMap<KernelGroup, GroupFacts>,
}

/// The facts of one group.
#[derive(Default)]
struct GroupFacts {
    /// From the best kind of source to the worst.
    facts: BTreeMap<Precedence, Vec<Facts>>,
    release: Option<String>,
    built_in: Option<Vec<u8>>,
    built_in_modinfo: Option<Vec<u8>>,
    order: Option<Vec<u8>>,
    modules: Option<(Origin, GatheredModules)>,
}

/// The precedence of kinds of sources.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Precedence {
    Image,
    Modules,
    Symvers,
    SystemMap,
    Config,
    BaseRelease,
}

impl Bundle<'_> {
    /// An empty bundle, whose files are decompressed within this budget.
    pub(super) fn new(budget: &WorkBudget) -> Bundle<'_> {
        Bundle { budget, found: BTreeMap::new() }
    }

    /// Adds the facts of an image that was read elsewhere.
    pub(super) fn add_image(&mut self, group: KernelGroup, facts: Facts) {
        let found = self.found.entry(group).or_default();
        if found.release.is_none() {
            found.release = facts.release.as_ref().map(|release| release.value.clone());
        }
        found.facts.entry(Precedence::Image).or_default().push(facts);
    }

    /// Adds the facts of a module tree that was read elsewhere.
    pub(super) fn add_tree(&mut self, group: KernelGroup, facts: Facts) {
        self.found.entry(group).or_default().facts.entry(Precedence::Modules).or_default().push(facts);
    }

    /// Adds gathered modules; the name is their tree.
    pub(super) fn add_modules(&mut self, group: KernelGroup, name: Origin, modules: GatheredModules) {
        let found = self.found.entry(group).or_default();
        found.modules = Some(match found.modules.take() {
            Some((name, known)) => (name, known.join(modules)),
            None => (name, modules),
        });
    }

    /// Adds what another thread has read of the same bundle.
    pub(super) fn join(&mut self, other: Bundle<'_>) {
        for (group, theirs) in other.found {
            if let Some((name, modules)) = theirs.modules {
                self.add_modules(group.clone(), name, modules);
            }
            let found = self.found.entry(group).or_default();
            for (rank, facts) in theirs.facts {
                found.facts.entry(rank).or_default().extend(facts);
            }
            found.release = found.release.take().or(theirs.release);
            found.built_in = found.built_in.take().or(theirs.built_in);
            found.built_in_modinfo = found.built_in_modinfo.take().or(theirs.built_in_modinfo);
            found.order = found.order.take().or(theirs.order);
        }
    }

    /// Adds any other file, with all its bytes.
    ///
    /// # Errors
    ///
    /// Those of [`image::facts`], except for a file that has a kernel's name but is not a kernel: it is left out.
    pub(super) fn add(&mut self, role: FileRole, group: KernelGroup, source: &Origin, bytes: Vec<u8>) -> Result<()> {
        if role == FileRole::Image {
            match image::facts(source, &bytes, self.budget) {
                Ok(facts) => self.add_image(group, facts),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            return Ok(());
        }
        let found = self.found.entry(group).or_default();
        let (rank, facts) = match role {
            FileRole::Symvers => (Precedence::Symvers, symvers::read(&bytes, source, self.budget)),
            FileRole::SystemMap => (Precedence::SystemMap, system_map::facts(&String::from_utf8_lossy(&bytes), source)),
            FileRole::Config => (Precedence::Config, config::facts(&String::from_utf8_lossy(&bytes), source)),
            FileRole::Release => {
                let release = place::release(&String::from_utf8_lossy(&bytes));
                found.release = found.release.take().or_else(|| release.clone());
                let known = release.map(|value| Fact { value, source: source.clone() });
                (Precedence::Config, Facts { release: known, ..Facts::default() })
            }
            FileRole::BaseRelease => {
                let release = place::release(&String::from_utf8_lossy(&bytes));
                let known = release.map(|value| Fact { value, source: source.clone() });
                (Precedence::BaseRelease, Facts { release: known, ..Facts::default() })
            }
            FileRole::BuiltIn => {
                found.built_in = Some(bytes);
                return Ok(());
            }
            FileRole::BuiltInModinfo => {
                found.built_in_modinfo = Some(bytes);
                return Ok(());
            }
            FileRole::Order => {
                found.order = Some(bytes);
                return Ok(());
            }
            FileRole::Image | FileRole::Module => return Ok(()),
        };
        found.facts.entry(rank).or_default().push(facts);
        Ok(())
    }

    /// The facts of the only kernel in the bundle.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is none, [`ErrorKind::Ambiguous`] with their names if there are several.
    pub(super) fn facts(self) -> Result<Facts> {
        let mut kernels: BTreeMap<Option<String>, (bool, Facts)> = BTreeMap::new();
        for (group, found) in self.found {
            let (is_kernel, mut facts) = found.facts()?;
            if let KernelGroup::Release(release) = &group {
                facts.learn_release_of_folder(release);
            }
            let release = match group {
                KernelGroup::Release(release) => Some(release),
                KernelGroup::Folder(_) => facts.release.as_ref().map(|release| release.value.clone()),
            };
            let (was_kernel, known) = kernels.remove(&release).unwrap_or_default();
            kernels.insert(release, (is_kernel || was_kernel, merge(known, facts)));
        }
        // Many systems have headers of other kernels.
        if kernels.values().any(|(is_kernel, _)| *is_kernel) {
            kernels.retain(|_, (is_kernel, _)| *is_kernel);
        }
        let names: BTreeSet<&str> =
            kernels.keys().map(|release| release.as_deref().unwrap_or("one without a release")).collect();
        place::must_be_one(&names)?;
        let facts = kernels.into_values().next().map(|(_, facts)| facts);
        facts.ok_or_else(|| {
            let what = "no kernel in it: no image, modules, configuration or Module.symvers";
            Error::new(ErrorKind::NotFound, what)
        })
    }
}

impl GroupFacts {
    /// The merged facts of the group, and whether they include an image or modules.
    fn facts(mut self) -> Result<(bool, Facts)> {
        let lists = gather::ModuleLists {
            built_in: gather::built_in(self.built_in.as_deref(), self.built_in_modinfo.as_deref()),
            names: self.order.as_deref().and_then(gather::names_in),
        };
        let is_kernel = self.facts.keys().any(|rank| matches!(rank, Precedence::Image | Precedence::Modules))
            || self.modules.is_some();
        let (name, modules) =
            self.modules.unwrap_or_else(|| (Origin::from("modules.builtin"), GatheredModules::default()));
        self.facts.entry(Precedence::Modules).or_default().push(modules.facts(&name, lists, &DepmodOrder::default()));
        let merged = self.facts.into_values().flatten().reduce(merge).unwrap_or_default();
        Ok((is_kernel, merged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_kernels_are_named() {
        let budget = WorkBudget::new(1 << 20);
        let mut bundle = Bundle::new(&budget);
        for release in ["6.1", "6.2"] {
            let facts = Facts {
                release: Some(Fact { value: release.to_owned(), source: Origin::default() }),
                ..Facts::default()
            };
            bundle.add_image(KernelGroup::Release(release.to_owned()), facts);
        }
        let error = bundle.facts().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Ambiguous);
        assert_eq!(error.what(), "2 kernels in it: 6.1, 6.2");
    }
}
