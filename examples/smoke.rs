#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing)]
use kmodlab::lab::guest::*;
use kmodlab::lab::wire::*;
use std::time::Instant;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let image = std::fs::read(&a[1]).unwrap();
    let m = std::fs::read(&a[2]).unwrap();
    let settings = Settings {
        kmodlab: a[3].clone().into(),
        agent: None,
        cache: None,
        limits: Limits::default(),
        acceleration: std::env::var("TCG").ok().map(|_| kmodlab::lab::acceleration::Acceleration::Tcg),
        isolation: Isolation::Clone,
        command_line: String::new(),
        witness: vec![],
    };
    let files = [("m/dummy.ko".to_owned(), m.as_slice())];
    let t = Instant::now();
    let g = match Guest::boot(&Contents { machine: 62, image: &image, files: &files }, &settings) {
        Ok(g) => g,
        Err(NoGuest::NoBoot(w, c)) => {
            println!("{w}\n{c}");
            return;
        }
        Err(e) => panic!("{e:?}"),
    };
    println!("up {} {} {:?} total {:?}", g.release, g.traces, g.boot, t.elapsed());
    for flags in [0, 3, 3, 0] {
        let t = Instant::now();
        let o = g.run(&Order {
            cell: 1,
            name: a[4].clone(),
            file: "m/dummy.ko".into(),
            flags,
            params: String::new(),
            before: vec![],
            exercise: Some(Exercise { links: vec!["dummy".into()], ..Default::default() }),
            unload: Some(Force::No),
        });
        println!("{:?} {:#?}", t.elapsed(), o);
    }
}
