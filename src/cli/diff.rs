//! `diff`: what differs between two modules, by meaning first, then by bytes.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::cli::output::{self, Failure, Paint, Session, count, grouped};
use crate::cli::{Status, hexview};
use crate::error::Error;
use crate::escape::bytes_for_eyes;
use crate::kernel::realtime;
use crate::module::container::Container;
use crate::module::{Module, elf, file};
use crate::vermagic::compare;

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
    /// By meaning alone, without the bytes
    #[arg(short, long)]
    brief: bool,
}

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let (stored_a, a) = open(&args.a, session.max_size)?;
    let (stored_b, b) = open(&args.b, session.max_size)?;
    if stored_a == stored_b {
        writeln!(session.out, "the same: {} and {}", output::path(&args.a), output::path(&args.b))?;
        return Ok(Status::Done);
    }
    let old = session.paint(Paint::Bad, format_args!("- {}", output::path(&args.a)));
    let new = session.paint(Paint::Good, format_args!("+ {}", output::path(&args.b)));
    writeln!(session.out, "{old}\n{new}")?;
    let meanings = by_meaning(&a, &b);
    if meanings.is_empty() {
        writeln!(session.out, "nothing differs that kmodlab gives a meaning")?;
    }
    for difference in meanings {
        let label = session.paint(Paint::Strong, crate::escape::for_eyes(&difference.what));
        writeln!(session.out, "{label}")?;
        for (sign, paint, side) in [('-', Paint::Bad, &difference.a), ('+', Paint::Good, &difference.b)] {
            for line in side {
                let line = session.paint(paint, format_args!("{sign} {line}"));
                writeln!(session.out, "  {line}")?;
            }
        }
        for note in &difference.notes {
            writeln!(session.out, "    {}", crate::escape::for_eyes(note))?;
        }
    }
    if !args.brief {
        by_bytes(&stored_a, &stored_b, session)?;
    }
    Ok(Status::Negative)
}

/// The uncompressed bytes, and what they say.
fn open(path: &Path, max_size: u64) -> Result<(Vec<u8>, Module), Error> {
    let contents = file::read(path)?;
    let bytes = Container::of(contents.bytes()).decompress(contents.bytes(), max_size).map_err(|e| e.on(path))?;
    let module = Module::read(&bytes).map_err(|e| e.on(path))?;
    Ok((bytes, module))
}

/// One thing that differs.
struct Meaning {
    what: String,
    a: Vec<String>,
    b: Vec<String>,
    notes: Vec<String>,
}

fn by_meaning(a: &Module, b: &Module) -> Vec<Meaning> {
    let mut found = Vec::new();
    let mut line = |what: &str, a: String, b: String| {
        if a != b {
            found.push(Meaning { what: what.to_owned(), a: vec![a], b: vec![b], notes: Vec::new() });
        }
    };
    let class = |m: &Module| format!("{} {} {}", m.class.name(), m.endian.name(), elf::machine_name(m.machine));
    line("class", class(a), class(b));
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
    line("build-id", or_none(a.build_id.as_ref().map(hex::encode)), or_none(b.build_id.as_ref().map(hex::encode)));
    let print = |m: &Module| {
        let at = |place: Option<u64>| place.map_or("none".to_owned(), |offset| format!("0x{offset:x}"));
        or_none(m.this_module.as_ref().map(|t| {
            format!(
                "0x{:x} bytes, init {}, exit {}",
                t.fingerprint.size,
                at(t.fingerprint.init),
                at(t.fingerprint.exit)
            )
        }))
    };
    line("struct module", print(a), print(b));
    let realtime = |m: &Module| match realtime::of_module(m) {
        Some(fact) if fact.value => "yes".to_owned(),
        Some(_) => "no".to_owned(),
        None => "not known".to_owned(),
    };
    line("realtime (CONFIG_PREEMPT_RT)", realtime(a), realtime(b));
    let signature = |m: &Module| {
        or_none(m.trailer.as_ref().map(|t| {
            let signer = t.signer.as_deref().map(bytes_for_eyes).unwrap_or_default();
            format!("{} by {signer}, {} bytes", t.format.name(), t.len)
        }))
    };
    line("signature", signature(a), signature(b));
    line("BTF", or_none(a.btf.map(|n| n.to_string())), or_none(b.btf.map(|n| n.to_string())));
    let size = |m: &Module| format!("{} bytes", grouped(m.size as u64));
    line("size", size(a), size(b));

    if let Some(vermagic) = vermagic(a, b) {
        found.insert(0, vermagic);
    }
    let modinfo = |m: &Module| {
        let entries = m.modinfo.entries.iter().filter(|e| e.key != b"vermagic");
        entries.map(|e| format!("{}={}", bytes_for_eyes(&e.key), bytes_for_eyes(&e.value))).collect::<Vec<_>>()
    };
    let versions = |m: &Module| {
        let all = m.versions.extended.iter().chain(m.versions.basic.iter()).flatten();
        all.map(|v| format!("0x{:08x} {}", v.crc, bytes_for_eyes(&v.symbol))).collect::<Vec<_>>()
    };
    let imports = |m: &Module| m.imports.iter().map(|i| bytes_for_eyes(&i.name)).collect::<Vec<_>>();
    let exports = |m: &Module| m.exports.iter().map(|e| bytes_for_eyes(&e.name)).collect::<Vec<_>>();
    found.extend(lists("modinfo", modinfo(a), modinfo(b)));
    found.extend(lists("symbol versions", versions(a), versions(b)));
    found.extend(lists("imports", imports(a), imports(b)));
    found.extend(lists("exports", exports(a), exports(b)));
    found
}

fn vermagic(a: &Module, b: &Module) -> Option<Meaning> {
    let (ours, theirs) = (a.vermagic(), b.vermagic());
    if ours == theirs {
        return None;
    }
    let shown = |v: &Option<crate::vermagic::Vermagic>| match v {
        Some(v) => output::vermagic(v.as_bytes()),
        None => "none".to_owned(),
    };
    let notes = match (&ours, &theirs) {
        (Some(ours), Some(theirs)) => {
            let comparison = compare(ours, theirs);
            comparison.differences().iter().map(|d| format!("{} ({})", d.kind.name(), d.origin)).collect()
        }
        _ => Vec::new(),
    };
    Some(Meaning { what: "vermagic".to_owned(), a: vec![shown(&ours)], b: vec![shown(&theirs)], notes })
}

/// What only one of two lists has.
fn lists(what: &str, a: Vec<String>, b: Vec<String>) -> Option<Meaning> {
    let lacks = |in_this: &[String], of_that: &[String]| {
        let known: std::collections::HashSet<&String> = in_this.iter().collect();
        of_that.iter().filter(|item| !known.contains(item)).cloned().collect::<Vec<_>>()
    };
    let (only_a, only_b) = (lacks(&b, &a), lacks(&a, &b));
    if a == b {
        return None;
    }
    let notes = if only_a.is_empty() && only_b.is_empty() {
        vec!["the same, in another order or number".to_owned()]
    } else {
        vec![]
    };
    Some(Meaning { what: what.to_owned(), a: only_a, b: only_b, notes })
}

fn by_bytes(a: &[u8], b: &[u8], session: &mut Session<'_>) -> Result<(), Failure> {
    let spans = spans(a, b);
    let differing = |span: &Span<'_>| match span.old.len() == span.new.len() {
        true => span.old.iter().zip(span.new).filter(|(old, new)| old != new).count(),
        false => span.old.len().max(span.new.len()),
    };
    let bytes: usize = spans.iter().map(differing).sum();
    let heading = session.paint(Paint::Strong, "bytes");
    writeln!(session.out, "{heading}\n  {} in {} differ", count(bytes, "byte"), count(spans.len(), "span"))?;
    for span in spans.iter().take(SPANS) {
        hexview::print_sides(session, "  ", span.offset, (span.old, span.new), ROWS)?;
    }
    if spans.len() > SPANS {
        writeln!(session.out, "  and {} more", count(spans.len() - SPANS, "span"))?;
    }
    Ok(())
}

/// A span that differs: where it begins, and what each file has there.
struct Span<'f> {
    offset: u64,
    old: &'f [u8],
    new: &'f [u8],
}

/// The spans that differ; spans that are near each other are shown as one, since a row has sixteen bytes anyway.
fn spans<'f>(a: &'f [u8], b: &'f [u8]) -> Vec<Span<'f>> {
    const NEAR: usize = 8;
    if a.len() != b.len() {
        // What stands between the common beginning and the common end.
        let start = a.iter().zip(b).take_while(|(x, y)| x == y).count();
        let (a, b) = (a.get(start..).unwrap_or_default(), b.get(start..).unwrap_or_default());
        let tail = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
        let middle = |side: &'f [u8]| side.get(..side.len() - tail).unwrap_or_default();
        return vec![Span { offset: start as u64, old: middle(a), new: middle(b) }];
    }
    let mut runs: Vec<Range<usize>> = Vec::new();
    for at in a.iter().zip(b).enumerate().filter(|(_, (old, new))| old != new).map(|(at, _)| at) {
        match runs.last_mut().filter(|run| at - run.end <= NEAR) {
            Some(run) => run.end = at + 1,
            None => runs.push(at..at + 1),
        }
    }
    let side = |bytes: &'f [u8], run: &Range<usize>| bytes.get(run.clone()).unwrap_or_default();
    runs.iter().map(|run| Span { offset: run.start as u64, old: side(a, run), new: side(b, run) }).collect()
}
