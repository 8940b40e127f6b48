//! The disk is full: at each of 64 sizes, for the state folder, and for the module's own folder.

use std::env;
use std::path::Path;
use std::process::Command;

use crate::crowd::{Crowd, is_all};
use crate::scene::{Doing, Scene, Side, Tally};
use crate::workshop::run;

/// Set when the test runs a second time, in its own mount namespace.
const INSIDE: &str = "KMODLAB_FAULTS_INSIDE";

/// Runs mount(8) or a similar program.
fn must_run(program: &str, arguments: &[&str]) {
    let ran = Command::new(program).args(arguments).output().unwrap();
    assert!(ran.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
}

/// Runs the scene's command with a small disk at `place`, of 1 to 8 pages and `inodes` to `inodes + 7` inodes.
fn on_small_disks(scene: &Scene, place: &Path, inodes: usize) -> Tally {
    let place = place.to_str().unwrap();
    let mut tally = Tally::default();
    for (pages, inodes) in (1..=8).flat_map(|pages| (inodes..inodes + 8).map(move |inodes| (pages, inodes))) {
        let _doing = Doing(format!("{}: {pages} pages and {inodes} inodes at {place}", scene.name));
        scene.reset();
        std::fs::create_dir_all(place).unwrap();
        let size = format!("size={}k,nr_inodes={inodes},mode=0700", 4 * pages);
        must_run("mount", &["-t", "tmpfs", "-o", &size, "small", place]);
        scene.shop.original.put(&scene.shop.module);

        let ran = run(&scene.line);
        let side = scene.side().unwrap();
        match ran.code {
            Some(0) => assert_eq!(side, Side::After),
            // If not even the journal's line could be written, the program reports the patch as interrupted.
            Some(2) => assert!(side == Side::Before || ran.err.contains("interrupted"), "{ran:?}"),
            _ => panic!("{ran:?}"),
        }
        assert_eq!(ran.err.lines().count(), usize::from(ran.code != Some(0)), "{ran:?}");
        tally.count(side);

        // After space was made, everything works again.
        must_run("mount", &["-o", "remount,size=1m,nr_inodes=100", place]);
        assert_eq!(scene.aftermath(), side);
        must_run("umount", &[place]);
    }
    tally
}

#[test]
#[ignore = "needs to mount: tests/run runs it"]
fn a_full_disk_loses_nothing() {
    if env::var_os(INSIDE).is_none() {
        return in_a_namespace("full::a_full_disk_loses_nothing");
    }
    let patch = Scene::patch();
    println!("state folder full: {}", on_small_disks(&patch, &patch.shop.state, 1));
    // Other commands that behave the same take long: they run only with KMODLAB_FAULTS=all.
    for scene in if is_all() { vec![Scene::grow(), Scene::pack()] } else { vec![] } {
        println!("{}, state folder full: {}", scene.name, on_small_disks(&scene, &scene.shop.state, 1));
    }
    let others = if is_all() { vec![Scene::patch(), Scene::strip(), Scene::pack()] } else { vec![] };
    for scene in [Scene::grow()].into_iter().chain(others) {
        println!("{}, the module's own disk full: {}", scene.name, on_small_disks(&scene, &scene.shop.home, 3));
    }
}

/// Patches many modules with a small disk at `place`, of 64 sizes from `pages` on. Each module that could not be patched is reported,
/// and nothing is lost.
fn many_on_small_disks(crowd: &Crowd, place: &Path, pages: usize) -> (usize, usize) {
    let place = place.to_str().unwrap();
    let (mut sums, mut without_space) = ((0, 0), 0);
    for pages in pages..pages + 64 {
        let _doing = Doing(format!("many modules: {pages} pages at {place}"));
        crowd.reset();
        std::fs::create_dir_all(place).unwrap();
        must_run("mount", &["-t", "tmpfs", "-o", &format!("size={}k,mode=0700", 4 * pages), "small", place]);
        crowd.put_modules();
        let ran = crowd.try_it();
        assert!(matches!(ran.code, Some(0 | 2 | 4)), "{ran:?}");
        if ran.err.contains("writing: No space left on device") && ran.err.contains("/objects/") {
            assert!(ran.err.contains(": this backup needs "), "{ran:?}");
            let remedy = " are free; make room there; patch --vault-compress compresses backups";
            assert!(ran.err.contains(remedy), "{ran:?}");
            without_space += 1;
        }

        must_run("mount", &["-o", "remount,size=8m", place]);
        let (before, after) = crowd.aftermath();
        sums = (sums.0 + before, sums.1 + after);
        must_run("umount", &[place]);
    }
    assert!(crowd.places()[1] != Path::new(place) || without_space > 0, "no disk was too small for a backup");
    sums
}

#[test]
#[ignore = "needs to mount: tests/run runs it"]
fn a_disk_that_fills_up_with_many_loses_nothing() {
    if env::var_os(INSIDE).is_none() {
        return in_a_namespace("full::a_disk_that_fills_up_with_many_loses_nothing");
    }
    let crowd = Crowd::patch();
    let [modules, state] = crowd.places();
    for (what, place, pages) in [("state folder", state, 1), ("modules' own disk", modules, 11)] {
        let (before, after) = many_on_small_disks(&crowd, place, pages);
        println!("many modules, {what} full: 64 sizes, {before} modules before, {after} after, 0 between");
    }
}

/// Runs this test in its own mount namespace, so that nothing stays mounted on this machine.
fn in_a_namespace(test: &str) {
    let mut unshare = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        unshare.arg("--map-root-user");
    }
    unshare.args(["--mount", "--propagation", "private"]).arg(env::current_exe().unwrap());
    unshare.args(["--exact", test, "--include-ignored", "--nocapture"]).env(INSIDE, "yes");
    let ran = unshare.output().unwrap();
    let out = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{out}{}", String::from_utf8_lossy(&ran.stderr));
    out.lines().filter(|line| line.contains(" full: ")).for_each(|line| println!("{line}"));
}
