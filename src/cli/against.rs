//! Modules compared with a kernel's own, as `verify --against` prints them.

use std::cell::OnceCell;
use std::ffi::OsStr;

use crate::against::{AgainstRequest, ComparedModule, OriginalComparison, RelationToOriginal, compare_with};
use crate::cli::modules::Modules;
use crate::cli::output::{self, Failure, Paint, Progress, Session, count, grouped};
use crate::cli::status::Status;
use crate::escape::for_eyes;

/// `verify --against`
pub(super) fn verify(
    kernel: &OsStr,
    modules: &Modules,
    is_json: bool,
    session: &mut Session<'_>,
) -> Result<Status, Failure> {
    let (kernel, selection) = (session.kernel_name(kernel), modules.selection_in(session));
    let lookup = session.lookup();
    let request = AgainstRequest { kernel: &kernel, selection: &selection, lookup: &lookup };
    let progress = OnceCell::new();
    let begin = |files| drop(progress.set(Progress::new("module", files)));
    let step = || progress.get().into_iter().for_each(Progress::step);
    let report = compare_with(&request, begin, step)?;
    drop(progress);
    for error in &report.errors {
        session.complain(error);
    }
    for module in &report.modules {
        match is_json {
            true => session.json(module)?,
            false if module.comparison.relation == RelationToOriginal::Original => {}
            false => print(module, session)?,
        }
    }
    let counts = report.counts();
    if !is_json {
        let parts = counts.iter().map(|(relation, count)| format!("{} {}", grouped(*count as u64), relation.name()));
        let failed = report.errors.len();
        let failures = (failed > 0).then(|| format!("{} not readable", grouped(failed as u64)));
        let parts: Vec<String> = parts.chain(failures).collect();
        let tree = report.tree.as_deref().map(|tree| format!("{}: ", output::path(tree))).unwrap_or_default();
        let all = count(report.modules.len() + failed, "module");
        let parts = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
        writeln!(session.out, "{tree}{all}{parts}")?;
    }
    let is_all_original = counts.keys().all(|relation| *relation == RelationToOriginal::Original);
    Ok(match (report.errors.is_empty(), is_all_original, report.modules.is_empty()) {
        (true, true, _) => Status::Done,
        (true, false, _) => Status::Negative,
        (false, _, true) => Status::Failed,
        (false, _, false) => Status::Partial,
    })
}

fn print(module: &ComparedModule, session: &mut Session<'_>) -> Result<(), Failure> {
    let relation = module.comparison.relation;
    let paint = match relation {
        RelationToOriginal::Original => Paint::Good,
        RelationToOriginal::Recompressed | RelationToOriginal::Patched | RelationToOriginal::Extra => Paint::Odd,
        _ => Paint::Bad,
    };
    let relation = session.paint(paint, relation.name());
    writeln!(session.out, "{}: {relation}", output::path(&module.path))?;
    print_differences(&module.comparison, session)
}

/// Prints how a file differs from its original, a line each.
pub(super) fn print_differences(comparison: &OriginalComparison, session: &mut Session<'_>) -> Result<(), Failure> {
    for line in comparison.in_words() {
        writeln!(session.out, "  {}", for_eyes(&line))?;
    }
    Ok(())
}
