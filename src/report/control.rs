//! The control beside a cell: the kernel's own module, loaded in the same manner.

use std::collections::{BTreeMap, HashMap};

use crate::lab::record::{Cell, Role, Seen, Way};

/// The controls among some cells, by kernel and module.
#[derive(Debug, Default)]
pub(super) struct Controls<'c>(HashMap<(&'c str, &'c str), Vec<&'c Cell>>);

impl<'c> Controls<'c> {
    /// Looks for them.
    pub(super) fn of(cells: &[&'c Cell]) -> Controls<'c> {
        let mut controls: HashMap<_, Vec<&Cell>> = HashMap::new();
        for cell in cells.iter().filter(|cell| cell.role == Role::Control) {
            controls.entry((cell.kernel.name.as_str(), cell.module.name.as_str())).or_default().push(cell);
        }
        Controls(controls)
    }

    /// The control of a cell: loaded in the same way, or else forced as it was forced, or unforced as it was.
    pub(super) fn beside(&self, cell: &Cell) -> Option<&'c Cell> {
        if cell.role == Role::Control {
            return None;
        }
        let controls = self.0.get(&(cell.kernel.name.as_str(), cell.module.name.as_str()))?;
        let is_forced = |way: Way| way.flags() != 0;
        let same = controls.iter().find(|control| control.way == cell.way);
        same.or_else(|| controls.iter().find(|control| is_forced(control.way) == is_forced(cell.way))).copied()
    }
}

/// One thing that a witness looked at, beside what the control's witness saw; `None` where it was not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair<'c> {
    pub(super) what: &'c str,
    pub(super) how: Option<&'c str>,
    pub(super) control: Option<&'c str>,
}

/// What two witnesses saw, thing by thing: first what the cell's saw, then what only the control's did.
pub(super) fn pairs<'c>(ours: &'c [Seen], control: &'c [Seen]) -> Vec<Pair<'c>> {
    let theirs: BTreeMap<&str, &str> = control.iter().map(|seen| (seen.what.as_str(), seen.how.as_str())).collect();
    let known: BTreeMap<&str, &str> = ours.iter().map(|seen| (seen.what.as_str(), seen.how.as_str())).collect();
    let both = ours.iter().map(|seen| {
        let what = seen.what.as_str();
        Pair { what, how: Some(&seen.how), control: theirs.get(what).copied() }
    });
    let missing = control.iter().filter(|seen| !known.contains_key(seen.what.as_str()));
    let missing = missing.map(|seen| Pair { what: &seen.what, how: None, control: Some(&seen.how) });
    both.chain(missing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_the_control_did_is_missing() {
        let seen = |what: &str, how: &str| Seen { what: what.to_owned(), how: how.to_owned() };
        let ours = [seen("dummy0 exists", "yes"), seen("dummy0 sends", "0 packets")];
        let control = [seen("dummy0 sends", "3 packets"), seen("dummy0 goes", "yes")];
        assert_eq!(
            pairs(&ours, &control),
            [
                Pair { what: "dummy0 exists", how: Some("yes"), control: None },
                Pair { what: "dummy0 sends", how: Some("0 packets"), control: Some("3 packets") },
                Pair { what: "dummy0 goes", how: None, control: Some("yes") },
            ]
        );
    }
}
