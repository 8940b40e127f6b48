//! Where each cell stands in the heat map: modules by origin are rows, kernels and ways are columns.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::lab::record::{Cell, Way};
use crate::report::order::Natural;
use crate::report::text;

/// A cell with what links to it.
#[derive(Clone, Debug)]
pub(super) struct Placed<'c> {
    /// The cell.
    pub(super) cell: &'c Cell,
    /// The name of its article's anchor, without `#`; a letter and plain characters.
    pub(super) anchor: String,
}

/// A table of cells.
#[derive(Debug, Default)]
pub(super) struct Grid<'c> {
    /// The kernels, each one group of columns.
    pub(super) kernels: Vec<Column<'c>>,
    /// The ways that occur, in the order of tables.
    pub(super) ways: Vec<Way>,
    /// The rows, by where the modules are from.
    pub(super) groups: Vec<Group<'c>>,
}

/// A kernel's columns.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Column<'c> {
    /// What it is called.
    pub(super) name: &'c str,
    /// What stands above the columns: its release, and its name too where several have that release.
    pub(super) label: String,
}

/// Modules of one origin.
#[derive(Debug)]
pub(super) struct Group<'c> {
    /// What the origin is called; `None` for files that were named one by one.
    pub(super) origin: Option<&'c str>,
    /// The modules.
    pub(super) rows: Vec<Row<'c>>,
}

/// A module.
#[derive(Debug)]
pub(super) struct Row<'c> {
    /// Its name.
    pub(super) name: &'c str,
    /// Its file.
    pub(super) path: &'c str,
    /// Has another row the same name, so that the path must tell them apart?
    pub(super) is_ambiguous: bool,
    /// What stands in each column, kernel by kernel and way by way; two where something else was asked for too.
    pub(super) boxes: Vec<Vec<Placed<'c>>>,
}

impl<'c> Grid<'c> {
    /// The table of these cells.
    pub(super) fn of(cells: &[Placed<'c>]) -> Grid<'c> {
        let kernels = columns(cells.iter().map(|placed| placed.cell));
        let used: BTreeSet<Way> = cells.iter().map(|placed| placed.cell.way).collect();
        let ways: Vec<Way> = Way::ALL.into_iter().filter(|way| used.contains(way)).collect();
        type Columns<'p, 'c> = HashMap<(&'c str, Way), Vec<&'p Placed<'c>>>;
        type Key<'c> = (Natural<'c>, &'c str, &'c str);
        let mut groups: BTreeMap<Option<Natural<'c>>, BTreeMap<Key<'c>, Columns<'_, 'c>>> = BTreeMap::new();
        for placed in cells {
            let module = &placed.cell.module;
            let rows = groups.entry(module.origin.as_deref().map(Natural)).or_default();
            let row = rows.entry((Natural(&module.name), &module.path, &module.sha256)).or_default();
            row.entry((&placed.cell.kernel.name, placed.cell.way)).or_default().push(placed);
        }
        let groups = groups.into_iter().map(|(origin, rows)| {
            let mut names: HashMap<&str, usize> = HashMap::new();
            rows.keys().for_each(|(name, ..)| *names.entry(name.0).or_default() += 1);
            let row = |((name, path, _), mut columns): (Key<'c>, Columns<'_, 'c>)| {
                let places = kernels.iter().flat_map(|kernel| ways.iter().map(|way| (kernel.name, *way)));
                let boxes =
                    places.map(|place| columns.remove(&place).unwrap_or_default().into_iter().cloned().collect());
                let is_ambiguous = names.get(name.0).is_some_and(|rows| *rows > 1);
                Row { name: name.0, path, is_ambiguous, boxes: boxes.collect() }
            };
            Group { origin: origin.map(|origin| origin.0), rows: rows.into_iter().map(row).collect() }
        });
        let groups = groups.collect();
        Grid { kernels, ways, groups }
    }

    /// Its cells, as one reads them.
    pub(super) fn cells(&self) -> impl Iterator<Item = &Placed<'c>> {
        self.groups.iter().flat_map(|group| &group.rows).flat_map(|row| &row.boxes).flatten()
    }
}

/// The kernels of some cells.
pub(super) fn columns<'c>(cells: impl Iterator<Item = &'c Cell>) -> Vec<Column<'c>> {
    let mut releases: HashMap<&str, &str> = HashMap::new();
    for cell in cells {
        releases.entry(&cell.kernel.name).or_insert(&cell.kernel.release);
    }
    let mut sorted: Vec<(Natural<'_>, Natural<'_>)> =
        releases.into_iter().map(|(name, release)| (Natural(release), Natural(name))).collect();
    sorted.sort();
    let (mut seen, mut twice) = (HashSet::new(), HashSet::new());
    twice.extend(sorted.iter().filter(|(release, _)| !seen.insert(release.0)).map(|(release, _)| release.0));
    let column = |(release, name): &(Natural<'c>, Natural<'c>)| {
        let label = match release.0 {
            "" => text::name(name.0),
            release if twice.contains(release) => format!("{} ({})", text::name(release), text::name(name.0)),
            release => text::name(release),
        };
        Column { name: name.0, label }
    };
    sorted.iter().map(column).collect()
}

/// Gives each cell its anchor: the beginning of its id, so that a link still leads to the same cell when the page is made
/// anew. An id comes from a file: one that is not plain, or begins as another does, gets its number instead.
pub(super) fn place<'c>(cells: &[&'c Cell]) -> Vec<Placed<'c>> {
    let mut taken = HashSet::new();
    let anchor = |(number, cell): (usize, &&'c Cell)| {
        let short: String = cell.id.chars().take(12).collect();
        let is_plain = !short.is_empty() && short.chars().all(|c| c.is_ascii_alphanumeric());
        let anchor = match is_plain && taken.insert(short.clone()) {
            true => format!("c{short}"),
            false => format!("c-{number}"),
        };
        Placed { cell, anchor }
    };
    cells.iter().enumerate().map(anchor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::record::example;

    fn cell(id: &str, module: &str, path: &str, origin: Option<&str>, (kernel, release): (&str, &str)) -> Cell {
        let mut cell = example::cell(id);
        cell.module.name = module.to_owned();
        cell.module.path = path.to_owned();
        cell.module.sha256 = path.to_owned();
        cell.module.origin = origin.map(str::to_owned);
        cell.kernel.name = kernel.to_owned();
        cell.kernel.release = release.to_owned();
        cell
    }

    #[test]
    fn rows_are_modules_by_origin_and_columns_kernels_by_release() {
        let cells = [
            cell("1", "b", "b.ko", Some("6.12"), ("new.deb", "6.12")),
            cell("2", "a", "a.ko", Some("6.1"), ("old.deb", "6.1")),
            cell("3", "a", "x/a.ko", Some("6.1"), ("new.deb", "6.12")),
            cell("4", "c", "c.ko", None, ("old.deb", "6.1")),
            cell("5", "c", "c.ko", None, ("old.deb", "6.1")),
        ];
        let cells: Vec<&Cell> = cells.iter().collect();
        let grid = Grid::of(&place(&cells));
        assert_eq!(grid.kernels.iter().map(|kernel| kernel.label.as_str()).collect::<Vec<_>>(), ["6.1", "6.12"]);
        assert_eq!(grid.ways, [Way::Forced]);
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
    fn kernels_of_one_release_are_told_apart() {
        let cells = [cell("1", "a", "", None, ("x.deb", "6.1")), cell("2", "a", "", None, ("y.deb", "6.1"))];
        let labels: Vec<String> = columns(cells.iter()).into_iter().map(|column| column.label).collect();
        assert_eq!(labels, ["6.1 (x.deb)", "6.1 (y.deb)"]);
    }

    #[test]
    fn an_anchor_is_plain_and_its_cells_own() {
        let ids = ["0123456789abcdef", "0123456789ab0000", "\"><b>", "", "7"];
        let cells = ids.map(|id| cell(id, "a", "", None, ("k", "k")));
        let cells: Vec<&Cell> = cells.iter().collect();
        let anchors: Vec<String> = place(&cells).into_iter().map(|placed| placed.anchor).collect();
        assert_eq!(anchors, ["c0123456789ab", "c-1", "c-2", "c-3", "c7"]);
    }
}
