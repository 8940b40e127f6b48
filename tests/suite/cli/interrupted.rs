//! Sessions after an interruption. The interruption is simulated: the state folder is reset to the moment between the write of
//! the module and the line in the journal, as a power cut would leave it. (`tests/faults` makes real interruptions.)

use std::fs;
use std::path::{Path, PathBuf};

use kmodlab::digest::sha256;
use kmodlab::vault::{Intent, Vault};
use snapbox::str;
use tempfile::TempDir;

use crate::cli::answers::{run, story};

/// The patch that is interrupted.
const PATCH: &str = "patch poet_atkm.ko --vermagic 2.6.5 --allow-abi-mismatch";

/// A folder with a module and an interrupted patch of that module.
pub(crate) struct Scene {
    folder: TempDir,
    /// The module before.
    before: Vec<u8>,
    /// The module after.
    after: Vec<u8>,
}

impl Scene {
    pub(crate) fn new() -> Scene {
        let scene = Scene { folder: tempfile::tempdir().unwrap(), before: Vec::new(), after: Vec::new() };
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/modules/poet_atkm.ko");
        fs::copy(fixture, scene.module()).unwrap();
        let before = fs::read(scene.module()).unwrap();
        let plan = story(&run(scene.folder.path(), PATCH.split(' ').chain(["-n"])));
        let digest = plan.lines().find_map(|line| line.trim().strip_prefix("digest")).unwrap().trim();
        scene.says(&format!("{PATCH} --confirm {digest}"));
        scene.back_to_the_intent();
        let after = fs::read(scene.module()).unwrap();
        Scene { before, after, ..scene }
    }

    pub(crate) fn module(&self) -> PathBuf {
        self.folder.path().join("poet_atkm.ko")
    }

    /// Its state folder.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Removes the only line from the journal, and restores the intent that preceded it.
    fn back_to_the_intent(&self) {
        let state = self.state();
        let entry = Vault::at(&state).journal().unwrap().entries.remove(0);
        for name in ["journal.jsonl", "journal.copy.jsonl"] {
            fs::remove_file(state.join(name)).unwrap();
        }
        let mut intent = Intent {
            schema_version: entry.schema_version,
            id: entry.id,
            operation: entry.operation,
            identity: identity(&self.module()),
            change: entry.change.unwrap(),
            metadata_after: None,
            temporary: None,
            note: None,
            run: None,
            checksum: None,
        };
        intent.checksum = Some(sha256(&serde_json::to_vec(&intent).unwrap()));
        let name = format!("intents/{}.json", intent.id);
        fs::write(state.join(name), serde_json::to_vec(&intent).unwrap()).unwrap();
    }

    /// The output of a call, with `[CWD]` instead of the folder's name.
    fn says(&self, call: &str) -> String {
        let story = story(&run(self.folder.path(), call.split(' ')));
        let folder = self.folder.path().canonicalize().unwrap();
        story.replace(folder.to_str().unwrap(), "[CWD]")
    }
}

fn identity(path: &Path) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    let meta = fs::metadata(path).unwrap();
    (meta.dev(), meta.ino())
}

#[test]
fn a_patch_that_was_written_is_finished() {
    let scene = Scene::new();
    snapbox::assert_data_eq!(
        scene.says("verify poet_atkm.ko"),
        str![[r#"
exit 1
[CWD]/poet_atkm.ko: unknown
  an operation on it was interrupted; kmodlab recover settles it

"#]]
    );
    let plan = scene.says("patch poet_atkm.ko --vermagic 2.6.6 -n");
    assert!(plan.contains("kmodlab recover comes first, and may change the plan"), "{plan}");
    snapbox::assert_data_eq!(
        scene.says("recover"),
        str![[r#"
exit 0
[CWD]/poet_atkm.ko: interrupted patch, completed: the file has its new contents

"#]]
    );
    snapbox::assert_data_eq!(
        scene.says("verify poet_atkm.ko"),
        str![[r#"
exit 0
[CWD]/poet_atkm.ko: patched
  original 651f8ca822419744abdddbb3005a28b0014687ec69f24daa5943650ad2f01b98, backup whole

"#]]
    );
    assert_eq!(fs::read(scene.module()).unwrap(), scene.after);
}

#[test]
fn a_patch_that_was_torn_is_undone() {
    let scene = Scene::new();
    let middle = scene.before.iter().zip(&scene.after).position(|(old, new)| old != new).unwrap() + 5;
    fs::write(scene.module(), [&scene.after[..middle], &scene.before[middle..]].concat()).unwrap();
    snapbox::assert_data_eq!(
        scene.says("recover"),
        str![[r#"
exit 0
[CWD]/poet_atkm.ko: interrupted patch, rolled back: the file has its old contents

"#]]
    );
    assert_eq!(fs::read(scene.module()).unwrap(), scene.before);
    snapbox::assert_data_eq!(
        scene.says("recover"),
        str![[r#"
exit 0
nothing to recover

"#]]
    );
}

#[test]
fn an_interrupted_patch_is_reported_as_json() {
    let scene = Scene::new();
    let said = scene.says("recover --json");
    let expected =
        r#"{"schema_version":1,"module":"[CWD]/poet_atkm.ko","operation":"patch","outcome":"completed","why":null}"#;
    assert_eq!(said.lines().collect::<Vec<_>>(), ["exit 0", expected]);
}

#[test]
fn each_command_that_writes_recovers_first() {
    let scene = Scene::new();
    snapbox::assert_data_eq!(
        scene.says("restore poet_atkm.ko"),
        str![[r#"
exit 0
restored  [CWD]/poet_atkm.ko
  now     651f8ca822419744abdddbb3005a28b0014687ec69f24daa5943650ad2f01b98
kmodlab: [CWD]/poet_atkm.ko: an interrupted operation was completed (patch)

"#]]
    );
    assert_eq!(fs::read(scene.module()).unwrap(), scene.before);
}

#[test]
fn a_file_that_somebody_else_wrote_meanwhile_is_a_conflict() {
    let scene = Scene::new();
    let theirs = [&scene.before[..], b"a note of mine"].concat();
    fs::write(scene.module(), &theirs).unwrap();
    snapbox::assert_data_eq!(
        scene.says("recover"),
        str![[r#"
exit 5
[CWD]/poet_atkm.ko: interrupted patch, conflict: somebody else changed it meanwhile; nothing was written (kmodlab restore --discard-changes puts the original back)

"#]]
    );
    snapbox::assert_data_eq!(
        scene.says("verify poet_atkm.ko"),
        str![[r#"
exit 1
[CWD]/poet_atkm.ko: unknown
  an operation on it was interrupted; kmodlab recover settles it

"#]]
    );
    snapbox::assert_data_eq!(
        scene.says("patch --mode blank poet_atkm.ko"),
        str![[r#"
exit 5
kmodlab: [CWD]/poet_atkm.ko: an interrupted operation can't be settled: somebody else changed it meanwhile (patch)
kmodlab: [CWD]/poet_atkm.ko: somebody else changed this file since it was patched; nothing was written; restore --discard-changes puts the original back and keeps a backup of what is there now

"#]]
    );
    snapbox::assert_data_eq!(
        scene.says("restore poet_atkm.ko"),
        str![[r#"
exit 5
kmodlab: [CWD]/poet_atkm.ko: an interrupted operation can't be settled: somebody else changed it meanwhile (patch)
kmodlab: [CWD]/poet_atkm.ko: somebody else changed this file since it was patched; nothing was written; restore --discard-changes puts the original back and keeps a backup of what is there now

"#]]
    );
    assert_eq!(fs::read(scene.module()).unwrap(), theirs);

    // A person decides to discard it: the original is restored, and the discarded contents are kept in the vault.
    let plan = scene.says("restore -n --discard-changes poet_atkm.ko");
    let digest = plan.lines().find_map(|line| line.trim().strip_prefix("digest")).unwrap().trim();
    scene.says(&format!("restore --discard-changes poet_atkm.ko --confirm {digest}"));
    assert_eq!(fs::read(scene.module()).unwrap(), scene.before);
    assert_eq!(fs::read(scene.folder.path().join("state/objects").join(sha256(&theirs).to_string())).unwrap(), theirs);
    snapbox::assert_data_eq!(
        scene.says("recover"),
        str![[r#"
exit 0
nothing to recover

"#]]
    );
}
