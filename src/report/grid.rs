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
