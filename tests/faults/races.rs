//! Two runs patch the module at once; and other processes truncate, replace, rename and write it while a run reads or writes
//! it.
//!
//! A run cannot undo what another process does to a module. But no such process makes a run crash or panic, or makes it follow
//! a link that was put in place meanwhile, and everything that a run overwrote can be restored.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use kmodlab::vault::Vault;
use kmodlab::vault::history::backups;

use crate::scene::{Doing, Scene, Side};
use crate::workshop::{Looks, Ran, Workshop, run, whole};

const ROUNDS: usize = 50;

/// Why the second of two runs stops.
const SECOND: [&str; 4] = [
    "another kmodlab is writing with this state folder",
    "another run is writing this file",
    "changed since the plan was confirmed",
    "already as requested",
];

/// Runs both at once and returns which was first. The other one must report why it stopped.
fn first_of(both: [&[OsString]; 2]) -> usize {
    let runs = thread::scope(|scope| both.map(|line| scope.spawn(|| run(line))).map(|run| run.join().unwrap()));
    let is_first = |ran: &Ran| ran.code == Some(0) && ran.out.starts_with("patched");
    let first = runs.iter().position(is_first).unwrap_or_else(|| panic!("none was first: {runs:?}"));
    let second = &runs[1 - first];
    let says_why = |why: &&str| second.err.contains(why) || second.out.contains(why);
    assert!(SECOND.iter().any(says_why) && matches!(second.code, Some(0 | 2)), "{second:?}");
    first
}

#[test]
fn of_two_runs_at_once_exactly_one_patches() {
    let scene = Scene::patch();
    for _ in 0..ROUNDS {
        scene.reset();
        first_of([&scene.line, &scene.line]);
        assert_eq!(scene.side(), Some(Side::After));
        assert_eq!(scene.aftermath(), Side::After);
    }
    println!("two runs at once: {ROUNDS} rounds, one patched in each, the original back in each");
}

#[test]
fn of_two_runs_with_a_state_folder_each_exactly_one_patches() {
    let scene = Scene::patch();
    let shop = &scene.shop;
    let other = shop.home.join("other state");
    let mut other_line = scene.line.clone();
    other_line[2] = other.clone().into();
    let mut firsts = [0, 0];
    for _ in 0..ROUNDS {
        scene.reset();
        let first = first_of([&scene.line, &other_line]);
        firsts[first] += 1;
        assert_eq!(scene.side(), Some(Side::After));
        let mut restore = shop.line(&shop.restore());
        restore[2] = [&shop.state, &other][first].into();
        run(&restore).with(0);
        assert!(shop.now() == shop.original);
    }
    println!(
        "two runs with a state folder each: {ROUNDS} rounds, the first was first in {}, the other in {}",
        firsts[0], firsts[1]
    );
}

/// What another process does to a module, again and again.
type Trouble = (&'static str, fn(&Path, &Looks, &Path, usize));

/// Each of them leaves a regular file at the end.
const TROUBLES: [Trouble; 5] = [
    ("truncate", |module, original, _, n| {
        let Ok(file) = OpenOptions::new().write(true).open(module) else { return };
        let _ = file.set_len((n * 97 % original.bytes.len()) as u64);
        let _ = file.write_all_at(&original.bytes, 0);
    }),
    ("second writer", |module, original, _, n| {
        let Ok(file) = OpenOptions::new().write(true).open(module) else { return };
        let at = n * 89 % (original.bytes.len() - 8);
        let _ = file.write_all_at(b"somebody", at as u64);
        let _ = file.write_all_at(&original.bytes, 0);
    }),
    ("rename", |module, original, _, _| {
        let new = module.with_extension("new");
        original.put(&new);
        fs::rename(&new, module).unwrap();
    }),
    ("rename away and back", |module, _, _, _| {
        let away = module.with_extension("away");
        if fs::rename(module, &away).is_ok() {
            fs::rename(&away, module).unwrap();
        }
    }),
    ("symlink swap", |module, _, bystander, _| {
        let (away, link) = (module.with_extension("away"), module.with_extension("link"));
        if fs::hard_link(module, &away).is_ok() {
            symlink(bystander, &link).unwrap();
            fs::rename(&link, module).unwrap();
            fs::rename(&away, module).unwrap();
        }
    }),
];

/// Runs a command while another process interferes.
fn amid(trouble: &Trouble, shop: &Workshop, bystander: &Path, line: &[OsString]) -> Ran {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let maker = scope.spawn(|| {
            let mut n = 0;
            while !is_over.load(Ordering::Relaxed) {
                trouble.1(&shop.module, &shop.original, bystander, n);
                n += 1;
            }
        });
        let ran = run(line);
        is_over.store(true, Ordering::Relaxed);
        maker.join().unwrap();
        ran
    })
}

/// The conditions that must hold whatever another process did meanwhile.
fn must_be_sound(shop: &Workshop, ran: &Ran) {
    assert!(matches!(ran.code, Some(0 | 2 | 3)), "{ran:?}");
    assert!(!ran.err.contains("panicked"), "{ran:?}");
    let vault = Vault::at(&shop.state);
    let entries = whole(vault.journal().unwrap()).unwrap();
    let pending = vault.pending().unwrap();
    let read = pending.iter().map(|intent| intent.change.before).chain(backups(&entries).into_keys());
    for sha in read {
        assert!(shop.has_backup(sha), "{sha} was written over and is lost");
    }
}

#[test]
fn whatever_others_do_meanwhile_no_run_is_killed_and_none_writes_another_file() {
    const ROUNDS: usize = 35;
    let (mut rounds, mut done) = (0, 0);
    for scene in [Scene::patch(), Scene::strip()] {
        let shop = &scene.shop;
        let bystander = shop.home.join("bystander.ko");
        shop.original.put(&bystander);
        let as_it_was = Looks::of(&bystander).unwrap();
        let show = shop.line(&["show", shop.module()]);
        for trouble in &TROUBLES {
            for line in [&scene.line, &scene.line, &show] {
                for _ in 0..ROUNDS {
                    fs::remove_file(&shop.module).unwrap();
                    scene.reset();
                    shop.original.put(&bystander);
                    let _doing = Doing(format!("{} amid {}", scene.name, trouble.0));
                    let ran = amid(trouble, shop, &bystander, line);
                    must_be_sound(shop, &ran);
                    assert!(Looks::of(&bystander).unwrap() == as_it_was, "another file was written");
                    let settled = shop.run(&["recover"]);
                    assert!(matches!(settled.code, Some(0 | 5)), "{settled:?}");
                    rounds += 1;
                    done += usize::from(ran.code == Some(0));
                }
            }
        }
    }
    println!(
        "races: {rounds} rounds, {done} done, {} refused or failed, none killed, no other file written",
        rounds - done
    );
}

#[test]
fn a_file_that_takes_the_place_of_a_deleted_module_meanwhile_is_not_replaced() {
    const ROUNDS: u64 = 120;
    const THEIRS: &[u8] = b"somebody's own file";
    let scene = Scene::recreate();
    let shop = &scene.shop;
    let mut first = 0;
    for round in 0..ROUNDS {
        scene.reset();
        let (ran, theirs) = thread::scope(|scope| {
            let other = scope.spawn(|| {
                thread::sleep(Duration::from_micros(round * 300));
                let file = File::create_new(&shop.module);
                file.map(|file| file.write_all_at(THEIRS, 0).unwrap()).is_ok()
            });
            (run(&scene.line), other.join().unwrap())
        });
        assert!(matches!(ran.code, Some(0 | 2 | 5)) && !ran.err.contains("panicked"), "{ran:?}");
        let now = shop.now();
        match theirs {
            true => assert!(now.bytes == THEIRS && ran.code != Some(0), "{ran:?}"),
            false => assert!(now == shop.original && ran.code == Some(0), "{ran:?}"),
        }
        first += usize::from(theirs);
        shop.run(&["recover"]).with(0);
        assert_eq!(shop.leftover(), None);
    }
    println!("a file in the place of a deleted module: {ROUNDS} rounds, first in {first}, never replaced");
}

#[test]
fn a_file_that_somebody_has_open_for_writing_is_shown_all_the_same() {
    let shop = Workshop::of("hello-4.ko");
    let file = File::options().write(true).open(&shop.module).unwrap();
    for len in (0..shop.original.bytes.len()).step_by(7) {
        let (show, cut) = thread::scope(|scope| {
            let show = scope.spawn(|| shop.run(&["show", shop.module()]));
            (scope.spawn(|| file.set_len(len as u64)).join().unwrap(), show.join().unwrap())
        });
        show.unwrap();
        assert!(matches!(cut.code, Some(0 | 2)), "{cut:?}");
        shop.write(&shop.original.bytes);
    }
}
