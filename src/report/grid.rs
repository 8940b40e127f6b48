//! The heat map's table: modules by origin in rows, kernels and load modes in columns.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::lab::record::{LoadMode, Trial};
use crate::report::order::NaturalOrder;
use crate::report::text;

/// A trial and its anchor.
#[derive(Clone, Debug)]
pub(super) struct PlacedTrial<'c> {
    /// The trial.
    pub(super) trial: &'c Trial,
    /// The name of its article's anchor, without `#`: a letter and plain characters.
    pub(super) anchor: String,
}

/// A table of trials.
#[derive(Debug, Default)]
pub(super) struct Grid<'c> {
    /// The kernels; each has a group of columns.
    pub(super) kernels: Vec<KernelColumn<'c>>,
    /// The load modes that occur, in the order of tables.
    pub(super) load_modes: Vec<LoadMode>,
    /// The rows, by the modules' origin.
    pub(super) groups: Vec<OriginGroup<'c>>,
}

/// The columns of a kernel.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KernelColumn<'c> {
    /// Its name.
    pub(super) name: &'c str,
    /// The heading: its release, with its name if several kernels have that release.
    pub(super) label: String,
}

/// The modules of one origin.
#[derive(Debug)]
pub(super) struct OriginGroup<'c> {
    /// The name of the origin; `None` for files without one.
    pub(super) origin: Option<&'c str>,
    /// The modules.
    pub(super) rows: Vec<ModuleRow<'c>>,
}

/// A module.
#[derive(Debug)]
pub(super) struct ModuleRow<'c> {
    /// Its name.
    pub(super) name: &'c str,
    /// Its path.
    pub(super) path: &'c str,
    /// Does another row have the same name, so that the path must be shown?
    pub(super) is_ambiguous: bool,
    /// The trials per column, kernel by kernel and load mode by load mode; several if their conditions differ.
    pub(super) boxes: Vec<Vec<PlacedTrial<'c>>>,
}

impl<'c> Grid<'c> {
    /// The table of these trials.
    pub(super) fn of(trials: &[PlacedTrial<'c>]) -> Grid<'c> {
        let kernels = columns(trials.iter().map(|placed| placed.trial));
        let used: BTreeSet<LoadMode> = trials.iter().map(|placed| placed.trial.load_mode).collect();
        let load_modes: Vec<LoadMode> =
            LoadMode::ALL.into_iter().filter(|load_mode| used.contains(load_mode)).collect();
        type Columns<'p, 'c> = HashMap<(&'c str, LoadMode), Vec<&'p PlacedTrial<'c>>>;
        type RowKey<'c> = (NaturalOrder<'c>, &'c str, &'c str);
        let mut groups: BTreeMap<Option<NaturalOrder<'c>>, BTreeMap<RowKey<'c>, Columns<'_, 'c>>> = BTreeMap::new();
        for placed in trials {
            let module = &placed.trial.module;
            let rows = groups.entry(module.origin.as_deref().map(NaturalOrder)).or_default();
            let row = rows.entry((NaturalOrder(&module.name), &module.path, &module.sha256)).or_default();
            row.entry((&placed.trial.kernel.name, placed.trial.load_mode)).or_default().push(placed);
        }
        let groups = groups.into_iter().map(|(origin, rows)| {
            let mut names: HashMap<&str, usize> = HashMap::new();
            rows.keys().for_each(|(name, ..)| *names.entry(name.0).or_default() += 1);
            let row = |((name, path, _), mut columns): (RowKey<'c>, Columns<'_, 'c>)| {
                let places =
                    kernels.iter().flat_map(|kernel| load_modes.iter().map(|load_mode| (kernel.name, *load_mode)));
                let boxes =
                    places.map(|place| columns.remove(&place).unwrap_or_default().into_iter().cloned().collect());
                let is_ambiguous = names.get(name.0).is_some_and(|rows| *rows > 1);
                ModuleRow { name: name.0, path, is_ambiguous, boxes: boxes.collect() }
            };
            OriginGroup { origin: origin.map(|origin| origin.0), rows: rows.into_iter().map(row).collect() }
        });
        let groups = groups.collect();
        Grid { kernels, load_modes, groups }
    }

    /// Its trials, in reading order.
    pub(super) fn trials(&self) -> impl Iterator<Item = &PlacedTrial<'c>> {
        self.groups.iter().flat_map(|group| &group.rows).flat_map(|row| &row.boxes).flatten()
    }
}

/// The kernels of these trials.
pub(super) fn columns<'c>(trials: impl Iterator<Item = &'c Trial>) -> Vec<KernelColumn<'c>> {
    let mut releases: HashMap<&str, &str> = HashMap::new();
    for trial in trials {
        releases.entry(&trial.kernel.name).or_insert(&trial.kernel.release);
    }
    let mut sorted: Vec<(NaturalOrder<'_>, NaturalOrder<'_>)> =
        releases.into_iter().map(|(name, release)| (NaturalOrder(release), NaturalOrder(name))).collect();
    sorted.sort();
    let (mut seen, mut twice) = (HashSet::new(), HashSet::new());
    twice.extend(sorted.iter().filter(|(release, _)| !seen.insert(release.0)).map(|(release, _)| release.0));
    let column = |(release, name): &(NaturalOrder<'c>, NaturalOrder<'c>)| {
        let label = match release.0 {
            "" => text::name(name.0),
            release if twice.contains(release) => format!("{} ({})", text::name(release), text::name(name.0)),
            release => text::name(release),
        };
        KernelColumn { name: name.0, label }
    };
    sorted.iter().map(column).collect()
}

/// Gives each trial an anchor: the beginning of its id, so that links stay valid when the page is generated again. An
/// id comes from a file, so one with other characters, or with the same beginning as another, is replaced by a number.
pub(super) fn place<'c>(trials: &[&'c Trial]) -> Vec<PlacedTrial<'c>> {
    let mut taken = HashSet::new();
    let anchor = |(number, trial): (usize, &&'c Trial)| {
        let short: String = trial.id.chars().take(12).collect();
        let is_plain = !short.is_empty() && short.chars().all(|c| c.is_ascii_alphanumeric());
        let anchor = match is_plain && taken.insert(short.clone()) {
            true => format!("c{short}"),
            false => format!("c-{number}"),
        };
        PlacedTrial { trial, anchor }
    };
    trials.iter().enumerate().map(anchor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::record::example;

    fn trial(id: &str, module: &str, path: &str, origin: Option<&str>, (kernel, release): (&str, &str)) -> Trial {
        let mut trial = example::trial(id);
        trial.module.name = module.to_owned();
        trial.module.path = path.to_owned();
        trial.module.sha256 = path.to_owned();
        trial.module.origin = origin.map(str::to_owned);
        trial.kernel.name = kernel.to_owned();
        trial.kernel.release = release.to_owned();
        trial
    }

    #[test]
    fn rows_are_modules_by_origin_and_columns_kernels_by_release() {
        let trials = [
            trial("1", "b", "b.ko", Some("6.12"), ("new.deb", "6.12")),
            trial("2", "a", "a.ko", Some("6.1"), ("old.deb", "6.1")),
            trial("3", "a", "x/a.ko", Some("6.1"), ("new.deb", "6.12")),
            trial("4", "c", "c.ko", None, ("old.deb", "6.1")),
            trial("5", "c", "c.ko", None, ("old.deb", "6.1")),
        ];
        let trials: Vec<&Trial> = trials.iter().collect();
        let grid = Grid::of(&place(&trials));
        assert_eq!(grid.kernels.iter().map(|kernel| kernel.label.as_str()).collect::<Vec<_>>(), ["6.1", "6.12"]);
        assert_eq!(grid.load_modes, [LoadMode::Forced]);
        let rows = grid.groups.iter().flat_map(|group| group.rows.iter().map(|row| (group.origin, row)));
        let rows = rows.map(|(origin, row)| {
            let counts: Vec<usize> = row.boxes.iter().map(Vec::len).collect();
            (origin, row.path, row.is_ambiguous, counts)
        });
        assert_eq!(
            rows.collect::<Vec<_>>(),
            [
                (None, "c.ko", false, vec![2, 0]),
                (Some("6.1"), "a.ko", true, vec![1, 0]),
                (Some("6.1"), "x/a.ko", true, vec![0, 1]),
                (Some("6.12"), "b.ko", false, vec![0, 1]),
            ]
        );
    }

    #[test]
    fn kernels_of_one_release_are_labelled_with_their_names() {
        let trials = [trial("1", "a", "", None, ("x.deb", "6.1")), trial("2", "a", "", None, ("y.deb", "6.1"))];
        let labels: Vec<String> = columns(trials.iter()).into_iter().map(|column| column.label).collect();
        assert_eq!(labels, ["6.1 (x.deb)", "6.1 (y.deb)"]);
    }

    #[test]
    fn anchors_are_plain_and_unique() {
        let ids = ["0123456789abcdef", "0123456789ab0000", "\"><b>", "", "7"];
        let trials = ids.map(|id| trial(id, "a", "", None, ("k", "k")));
        let trials: Vec<&Trial> = trials.iter().collect();
        let anchors: Vec<String> = place(&trials).into_iter().map(|placed| placed.anchor).collect();
        assert_eq!(anchors, ["c0123456789ab", "c-1", "c-2", "c-3", "c7"]);
    }
}
