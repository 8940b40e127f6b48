//! Where state folders are: of root, of this user, and of the user who called sudo(8).

use std::path::{Path, PathBuf};

use crate::vault::users;

/// The state folder of root.
pub(crate) const ROOTS_FOLDER: &str = "/var/lib/kmodlab";

/// The state folder of this user: for root `/var/lib/kmodlab`, else a folder in `$XDG_STATE_HOME` or in the home folder. `None`
/// without a home folder.
pub(crate) fn default_folder() -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Some(ROOTS_FOLDER.into());
    }
    let home = folder_in("XDG_STATE_HOME").or_else(|| folder_in("HOME").map(|home| home.join(".local/state")));
    home.map(|home| home.join("kmodlab"))
}

/// The state folders at the usual places that exist, except for this one.
pub(crate) fn others(than: &Path) -> Vec<PathBuf> {
    let in_home = |home: PathBuf| home.join(".local/state/kmodlab");
    let caller = std::env::var("SUDO_UID").ok().and_then(|user| users::home_of(user.parse().ok()?));
    let places = [
        folder_in("XDG_STATE_HOME").map(|state| state.join("kmodlab")),
        folder_in("HOME").map(in_home),
        caller.map(in_home),
        Some(PathBuf::from(ROOTS_FOLDER)),
    ];
    let mut others: Vec<PathBuf> = Vec::new();
    for place in places.into_iter().flatten().filter(|place| place != than && place.is_dir()) {
        if !others.contains(&place) {
            others.push(place);
        }
    }
    others
}

/// The absolute path in a variable of the environment.
fn folder_in(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}
