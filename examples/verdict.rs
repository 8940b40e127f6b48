//! How would this kernel answer this module? Prints the verdict, the errno, the log lines and the loader's steps.
//!
//! ```sh
//! cargo run --example verdict -- fixtures/modules/hello-4.ko fixtures/modules/hello-4-rt.ko
//! ```
//!
//! A kernel is named as in the program: `running`, an image, a module tree, a package, a module of that kernel, or
//! `vermagic:STRING`.

#![allow(clippy::print_stdout, reason = "an example prints what it found")]

use std::ffi::OsString;
use std::path::PathBuf;

use kmodlab::{Decision, Kernel, KernelName, LoadOptions, Lookup, Result, predict_file};

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let file = arguments.next().map_or_else(|| "fixtures/modules/hello-4.ko".into(), PathBuf::from);
    let name = arguments.next().unwrap_or_else(|| OsString::from("fixtures/modules/hello-4-rt.ko"));

    let kernel = Kernel::read(&KernelName::from(name.as_os_str()), &Lookup::default())?;
    let verdict = predict_file(&file, &kernel, &LoadOptions::default())?;

    match verdict.answer {
        Decision::Accepted => println!("accepted, taint {}", verdict.taint.as_deref().unwrap_or("not known")),
        Decision::Refused => println!("refused: {}", verdict.errno_words().unwrap_or_default()),
        Decision::Unknown => println!("not refused by what is known"),
    }
    for line in &verdict.dmesg {
        println!("  the kernel logs: {}", line.escape_debug());
    }
    for finding in &verdict.findings {
        println!("  {:<14} {:?}: {}", finding.step.name(), finding.result, finding.note.escape_debug());
    }
    Ok(())
}
