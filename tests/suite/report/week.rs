//! An invented week of a journal: nothing of it was done. The lines are chained as the program chains them, and the files of the
//! last day exist.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::support::KMODLAB;

/// Texts that a page must show and not obey: as file names, user names, hosts, notes and kernels.
pub(crate) const HOSTILE: [&str; 4] = [
    "<img src=x onerror=\"window.owned=1\">",
    "</style><script>window.owned=1</script>",
    "\" onmouseover=\"window.owned=1",
    "gnp.\u{202e}ok.evil\u{200b}",
];

/// A folder with modules and a state folder.
pub(crate) struct Week {
    folder: TempDir,
    lines: String,
    prev: String,
    seq: u64,
}

fn hash(bytes: impl AsRef<[u8]>) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The contents of a module of the week, before or after.
fn contents(name: &str, version: usize) -> String {
    format!("{name}, version {version}")
}

impl Week {
    pub(crate) fn new() -> Week {
        let folder = tempfile::tempdir().unwrap();
        for name in ["state/objects", "modules"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let mut week = Week { folder, lines: String::new(), prev: "0".repeat(64), seq: 0 };
        week.live();
        fs::write(week.folder.path().join("state/journal.jsonl"), &week.lines).unwrap();
        week
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join("modules").join(name)
    }

    /// Runs the program there.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(KMODLAB);
        command.args(arguments).current_dir(self.folder.path()).env("KMODLAB_STATE_DIR", "state").env("TZ", "UTC");
        command.output().unwrap()
    }

    /// The page of the journal.
    pub(crate) fn page(&self, arguments: &[&str]) -> String {
        let output = self.run(&[&["report", "--html", "-"], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn head(&self) -> &str {
        &self.prev
    }

    fn line(&mut self, time: &str, operation: &str, mut rest: Value) {
        self.seq += 1;
        let fixed = json!({
            "schema_version": 1, "seq": self.seq, "time": time, "id": format!("{}-1", self.seq), "operation": operation,
            "tool": "kmodlab 0.1.0", "prev": self.prev,
        });
        rest.as_object_mut().unwrap().extend(fixed.as_object().unwrap().clone());
        let text = rest.to_string();
        let text = text.strip_suffix('}').unwrap();
        self.prev = hash(text);
        self.lines.push_str(&format!("{text},\"hash\":\"{}\"}}\n", self.prev));
    }

    /// A patch or a restore of a module, from one version of its contents to another.
    fn change(&self, name: &str, [from, to]: [usize; 2], more: Value) -> Value {
        let (before, after) = (contents(name, from), contents(name, to));
        fs::write(self.folder.path().join("state/objects").join(hash(&before)), &before).unwrap();
        let magic = |version| match version {
            1 => "6.1.0-47-amd64 SMP preempt mod_unload modversions ",
            _ => "6.12.48-rt-amd64 SMP preempt_rt mod_unload modversions ",
        };
        let mut change = json!({
            "path": self.path(name), "module": name.trim_end_matches(".ko"), "how": "in-place", "before": hash(&before),
            "after": hash(&after), "size_before": before.len(), "size_after": after.len(), "edits": [],
            "metadata": {"mode": 420, "uid": 0, "gid": 0, "accessed": {"seconds": 0, "nanoseconds": 0},
                "modified": {"seconds": 0, "nanoseconds": 0}, "xattrs": {}},
            "vermagic_before": magic(from), "vermagic_after": magic(to),
        });
        change.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        change
    }

    fn live(&mut self) {
        let run = |user: &str, host: &str, message: Option<&str>, command: &str| {
            let mut run = json!({
                "uid": 0, "user": "root", "login_uid": 1000, "sudo": {"uid": 1000, "user": user}, "host": host,
                "machine": hash("a machine"), "command": command.split(' ').collect::<Vec<_>>(),
            });
            if let Some(message) = message {
                run["message"] = json!(message);
            }
            run
        };
        let kernel = json!({"name": "/srv/kernels/linux-image-6.12.48-rt-amd64.deb", "release": "6.12.48-rt-amd64",
            "sources": [{"path": "/srv/kernels/linux-image-6.12.48-rt-amd64.deb", "sha256": hash("a package")}]});
        let patch = |signature: Option<&str>| {
            let mut patch = json!({"kernel": kernel, "crcs": "rewritten", "btf": "kept"});
            if let Some(signature) = signature {
                patch["signature"] = json!(signature);
            }
            patch
        };
        let command = "kmodlab patch modules --to /srv/kernels/linux-image-6.12.48-rt-amd64.deb --modversions rewrite";
        let ticket = Some("LAB-311: the realtime rig, until the vendor rebuilds its driver");

        self.line(
            "2026-03-02T08:12:09Z",
            "enrol",
            json!({"note": "this machine was declared a lab machine",
            "run": run("anna", "rig-3", Some("the rig in room 4, nobody will miss it"), "kmodlab enrol")}),
        );
        for (at, name) in ["dummy.ko", "veth.ko", "vxlan.ko", "tun.ko"].into_iter().enumerate() {
            let signature = (at % 2 == 0).then_some("stripped");
            let more = json!({"patch": patch(signature), "overrides": ["signed", "crc"], "plan": hash(name)});
            let change = self.change(name, [1, 2], more);
            self.line(
                &format!("2026-03-02T09:40:1{at}Z"),
                "patch",
                json!({"change": change,
                "run": run("anna", "rig-3", ticket, command)}),
            );
        }
        let change = self.change("veth.ko", [2, 1], json!({}));
        self.line(
            "2026-03-03T16:05:44Z",
            "restore",
            json!({"change": change,
            "run": run("boris", "rig-3", Some("tests are green without it"), "kmodlab restore modules/veth.ko")}),
        );
        let change =
            self.change("ifb.ko", [1, 2], json!({"patch": {"kernel": kernel, "btf": "hidden"}, "overrides": ["btf"]}));
        self.line(
            "2026-03-04T07:30:00Z",
            "undone",
            json!({"change": change, "recovered": true,
            "run": run("anna", "rig-3", None, "kmodlab patch modules/ifb.ko --drop-btf"),
            "recovered_by": run("boris", "rig-3", None, "kmodlab recover")}),
        );
        let change = self.change("tun.ko", [2, 1], json!({"overrides": ["discard-changes"]}));
        self.line("2026-03-05T11:59:30Z", "restore", json!({"change": change,
            "note": "changes made by somebody else were discarded", "run": run("boris", "rig-3", None, "kmodlab restore --all")}));
        for (at, text) in HOSTILE.into_iter().enumerate() {
            let name = format!("{}-{at}.ko", text.replace('/', "_"));
            let kernel =
                json!({"name": text, "release": text, "sources": [{"path": format!("/{text}"), "sha256": hash(text)}]});
            let more = json!({"patch": {"kernel": kernel, "signature": "kept"}, "overrides": [text], "module": text,
                "vermagic_before": text, "vermagic_after": format!("{text} ")});
            let change = self.change(&name, [1, 2], more);
            self.line(
                &format!("2026-03-06T18:00:0{at}Z"),
                "patch",
                json!({"change": change, "note": text,
                "run": run(text, text, Some(text), text)}),
            );
        }
        self.line(
            "2026-03-07T10:00:00Z",
            "drop",
            json!({"dropped": [hash("x")], "note": "1 backup",
            "run": run("anna", "desk", Some("room for new ones"), "kmodlab vault drop --unneeded")}),
        );
        // A line from before lines had a run.
        let change = self.change("old.ko", [1, 2], json!({}));
        self.line("2026-03-08T23:59:59Z", "patch", json!({"change": change}));

        for (name, version) in [("dummy.ko", 2), ("veth.ko", 1), ("tun.ko", 1), ("vxlan.ko", 7), ("ifb.ko", 1)] {
            write(&self.path(name), &contents(name, version));
        }
    }
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}
