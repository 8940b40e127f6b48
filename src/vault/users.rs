//! The users of this machine, as passwd(5) lists them. Users of other databases (nsswitch.conf(5)) are not known.

use std::io::Read;
use std::path::PathBuf;

use crate::text;

/// How much of a file about users is read, in bytes.
const MOST_READ: u64 = 4 << 20;

/// The name of a user.
pub(super) fn name_of(user: u32) -> Option<String> {
    field_of(user, 0).map(|name| text::cut(&name))
}

/// The home folder of a user.
pub(super) fn home_of(user: u32) -> Option<PathBuf> {
    field_of(user, 5).map(PathBuf::from).filter(|home| home.is_absolute())
}

/// The field with this number of a user's line.
fn field_of(user: u32, number: usize) -> Option<String> {
    let users = read_start("/etc/passwd")?;
    let is_it = |line: &&str| line.split(':').nth(2).and_then(|field| field.parse().ok()) == Some(user);
    users.lines().find(is_it)?.split(':').nth(number).map(str::to_owned)
}

/// The first bytes of a file of the system, as text.
pub(super) fn read_start(path: &str) -> Option<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).and_then(|file| file.take(MOST_READ).read_to_end(&mut bytes)).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_a_name_and_a_home_folder() {
        assert_eq!(name_of(0).as_deref(), Some("root"));
        assert!(home_of(0).is_some_and(|home| home.is_absolute()));
        assert_eq!(home_of(u32::MAX), None);
    }
}
