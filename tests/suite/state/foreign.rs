//! Files that a person put into the state folder: recovery removes files that this program left incomplete, and no others.

use std::fs;

use crate::state::scene::{Scene, write};

#[test]
fn recovery_removes_its_own_temporary_files_and_no_others() {
    let scene = Scene::new();
    let hash = "0123456789abcdef".repeat(4);
    let own = [
        "intents/17-4.json.tmp".to_owned(),
        "intents/17-4.jsonl.tmp".to_owned(),
        format!("objects/{hash}.tmp"),
        format!("objects/{hash}.zst.tmp"),
    ];
    let foreign = [
        "intents/precious.tmp".to_owned(),
        "intents/17.json.tmp".to_owned(),
        "intents/17-4.tmp".to_owned(),
        "intents/17-4.txt.tmp".to_owned(),
        "intents/.tmp".to_owned(),
        format!("intents/{hash}.tmp"),
        "objects/notes.tmp".to_owned(),
        "objects/17-4.json.tmp".to_owned(),
        format!("objects/{}.tmp", hash.to_uppercase()),
        format!("objects/{hash}0.tmp"),
        format!("objects/{hash}.gz.tmp"),
        format!("objects/{hash}.tmp.old"),
        "notes.tmp".to_owned(),
    ];
    for name in own.iter().chain(&foreign) {
        write(&scene.state().join(name), b"a file");
    }
    let answer = scene.run(["recover"]);
    assert_eq!(answer.status, 0, "{answer:?}");
    for name in own {
        assert!(!scene.state().join(&name).exists(), "{name}");
    }
    for name in foreign {
        assert_eq!(fs::read(scene.state().join(&name)).unwrap(), b"a file", "{name}");
    }
}
