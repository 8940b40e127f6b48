//! `diff`: the differences between two modules, by meaning first, then by bytes.

use std::path::{Path, PathBuf};

use crate::cli::output::{self, Failure, Paint, Session, count};
use crate::cli::status::Status;
use crate::comparison::{ModuleComparison, compare_modules};
use crate::error::Error;
use crate::escape::for_eyes;
use crate::module::container::Container;
use crate::module::file;

/// How many rows of a span are shown, and how many spans.
const ROWS: usize = 16;
const SPANS: usize = 16;

#[derive(clap::Args)]
pub(super) struct Args {
    /// One module file
    #[arg(value_name = "A")]
    a: PathBuf,
    /// The other
    #[arg(value_name = "B")]
    b: PathBuf,
    /// Only by meaning, without the bytes
    #[arg(short, long)]
    brief: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let [a, b] = [read(&args.a, session.max_size)?, read(&args.b, session.max_size)?];
    let mut comparison = compare_modules((&args.a, &a), (&args.b, &b))?;
    if args.brief {
        comparison.spans.clear();
    }
    match args.json {
        true => session.json(&comparison)?,
        false => print(&comparison, &args, session)?,
    }
    Ok(if comparison.equal { Status::Done } else { Status::Negative })
}

/// The uncompressed bytes of a module.
fn read(path: &Path, max_size: u64) -> Result<Vec<u8>, Error> {
    let contents = file::read_up_to(path, max_size)?;
    Container::of(contents.bytes()).decompress(contents.bytes(), max_size).map_err(|e| e.on(path))
}

fn print(comparison: &ModuleComparison<'_>, args: &Args, session: &mut Session<'_>) -> Result<(), Failure> {
    if comparison.equal {
        writeln!(session.out, "the same: {} and {}", output::path(&args.a), output::path(&args.b))?;
        return Ok(());
    }
    let old = session.paint(Paint::Bad, format_args!("- {}", output::path(&args.a)));
    let new = session.paint(Paint::Good, format_args!("+ {}", output::path(&args.b)));
    writeln!(session.out, "{old}\n{new}")?;
    if comparison.differences.is_empty() {
        writeln!(session.out, "no difference of known meaning")?;
    }
    for difference in &comparison.differences {
        let label = session.paint(Paint::Strong, difference.aspect.name());
        writeln!(session.out, "{label}")?;
        for (sign, paint, side) in [('-', Paint::Bad, &difference.a), ('+', Paint::Good, &difference.b)] {
            for line in side {
                let line = session.paint(paint, format_args!("{sign} {line}"));
                writeln!(session.out, "  {line}")?;
            }
        }
        for note in &difference.notes {
            writeln!(session.out, "    {}", for_eyes(note))?;
        }
    }
    if !args.brief {
        print_bytes(comparison, session)?;
    }
    Ok(())
}

fn print_bytes(comparison: &ModuleComparison<'_>, session: &mut Session<'_>) -> Result<(), Failure> {
    let spans = &comparison.spans;
    let bytes: usize = spans.iter().map(|span| span.differing()).sum();
    let heading = session.paint(Paint::Strong, "bytes");
    writeln!(session.out, "{heading}\n  {} in {} differ", count(bytes, "byte"), count(spans.len(), "span"))?;
    for span in spans.iter().take(SPANS) {
        output::print_sides(session, "  ", span.offset, (span.a, span.b), ROWS)?;
    }
    if spans.len() > SPANS {
        writeln!(session.out, "  and {} more", count(spans.len() - SPANS, "span"))?;
    }
    Ok(())
}
