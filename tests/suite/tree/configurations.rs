//! Compares `tree` with the real build, for each configuration of Debian's linux-source-6.1 made by
//! `tests/real/configurations`.

use std::collections::BTreeSet;
use std::process::Command;

use super::{KMODLAB, json, top};

/// A line of `real.tsv`: a tree, and the version magic that its own build gives a module.
struct Measured {
    name: String,
    folder: String,
    now: String,
    rebuilt: String,
}

fn measured() -> Vec<Measured> {
    let list = top().join("configurations/real.tsv");
    let text = std::fs::read_to_string(&list).unwrap_or_else(|error| {
        panic!("{}: {error}: run tests/real/chroot source, tests/real/configurations", list.display())
    });
    text.lines()
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            assert_eq!(fields.len(), 5, "{line:?}");
            let [name, folder, now, rebuilt] = [0, 1, 2, 3].map(|index| fields[index].to_owned());
            Measured { name, folder, now, rebuilt }
        })
        .collect()
}

#[test]
#[ignore = "needs tests/real/configurations: tests/run"]
fn each_configuration_predicts_what_its_own_build_gives_a_module() {
    let list = measured();
    assert!(list.len() >= 4, "only {} configurations: run tests/real/configurations", list.len());
    let mut wrong = Vec::new();
    for tree in &list {
        let folder = top().join("configurations").join(&tree.folder);
        let mut command = Command::new(KMODLAB);
        command.arg("tree").arg(&folder).args(["--json", "--for", &format!("vermagic:{}", tree.now)]);
        let output = command.output().unwrap();
        match json(&output) {
            Err(error) => wrong.push(format!("{}: {error}", tree.name)),
            Ok(said) => {
                if !output.status.success() {
                    wrong.push(format!(
                        "{}: it is said to differ from its own version magic, {:?}",
                        tree.name, tree.now
                    ));
                }
                for (when, real) in [("current", &tree.now), ("rebuilt", &tree.rebuilt)] {
                    if said[when]["vermagic"]["value"].as_str() != Some(real) {
                        wrong.push(format!(
                            "{}: {when} really {real:?}, said {}",
                            tree.name, said[when]["vermagic"]["value"]
                        ));
                    }
                }
            }
        }
    }
    let different: BTreeSet<&str> = list.iter().map(|tree| tree.now.as_str()).collect();
    println!("{} configurations, {} version magics, {} wrong", list.len(), different.len(), wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
