//! `doctor`: what this machine can do, and the command that installs what is missing.

use crate::cli::output::{self, Failure, Paint, Session, grouped};
use crate::cli::status::Status;
use crate::doctor::{Examination, FolderState, KvmState, examine};
use crate::escape::for_eyes;
use crate::guard::machine::Machine;
use crate::lab::acceleration::Acceleration;

#[derive(clap::Args)]
pub(super) struct Args {
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let vault = session.vault_unchecked().ok();
    let machine = vault.as_ref().map(|vault| session.machine(vault)).unwrap_or_else(|| Machine::here(None));
    let state = vault.as_ref().map(|vault| vault.folder().to_owned());
    let examination = examine(&machine, state, session.lookup().cache);
    if let Some(Err(error)) = vault.map(|vault| vault.must_be_trusted()) {
        session.complain(&error);
    }
    match args.json {
        true => session.json(&examination)?,
        false => print(&examination, session)?,
    }
    Ok(if examination.can_run_guests { Status::Done } else { Status::Negative })
}

fn print(examination: &Examination, session: &mut Session<'_>) -> Result<(), Failure> {
    let Examination { qemu, kvm, kernels, temporary, memory_mib, modinfo, state, cache, guards, .. } = examination;
    let mut row = |what: &str, text: &str| writeln!(session.out, "  {what:<13} {text}");
    for installed in qemu {
        let what = if installed.is_native { "QEMU" } else { "other QEMU" };
        let version = installed.version.as_deref().map_or_else(|| "of unknown version".to_owned(), for_eyes);
        let text = match &installed.path {
            Some(path) => format!("{} {version}, {}", installed.program, output::path(path)),
            None => format!("{} is not on PATH", installed.program),
        };
        row(what, &text)?;
    }
    row("acceleration", kvm_text(kvm))?;
    for kernel in kernels {
        let image = match (&kernel.image, kernel.is_readable) {
            (Some(image), true) => output::path(image),
            (Some(image), false) => format!("{}, which you may not read", output::path(image)),
            (None, _) => "no image".to_owned(),
        };
        let modules = if kernel.modules.is_some() { "with modules" } else { "without modules" };
        row("kernel", &format!("{} {modules}, {image}", for_eyes(&kernel.release)))?;
    }
    if kernels.is_empty() {
        row("kernel", "none is installed; the lab takes packages too")?;
    }
    row("temporary", &folder_text(temporary))?;
    row("memory", &memory_mib.map_or_else(|| "not known".to_owned(), |mib| format!("{} MiB free", grouped(mib))))?;
    let modinfo = modinfo
        .as_ref()
        .map_or_else(|| "not on PATH; kmodlab does its work without".to_owned(), |path| output::path(path));
    row("modinfo", &modinfo)?;
    let no_home = || "nowhere: there is no home folder".to_owned();
    row("state folder", &state.as_ref().map_or_else(no_home, folder_text))?;
    row("cache folder", &cache.as_ref().map_or_else(no_home, folder_text))?;
    let lab_machine = match guards.is_lab_machine {
        true => "a lab machine: the guards live-tree and loaded do not refuse",
        false => "no lab machine: modules in use are not patched (kmodlab enrol)",
    };
    row("guards", lab_machine)?;
    let loaded = output::count(guards.loaded, "loaded module");
    row("", &format!("the running kernel is {}, with {loaded}", for_eyes(&guards.running)))?;
    if let Some(traces) = &guards.virtual_traces {
        row("", &format!("it looks like {}, which unlocks nothing", for_eyes(traces)))?;
    }
    row(
        "",
        match guards.ima {
            Some(true) => "an IMA policy appraises modules",
            Some(false) => "no IMA policy appraises modules",
            None => "whether an IMA policy appraises modules can't be read",
        },
    )?;
    let (paint, text) = match examination.can_run_guests {
        true => (Paint::Good, "a virtual machine can be run here"),
        false => (Paint::Bad, "no virtual machine can be run here"),
    };
    let text = session.paint(paint, text);
    writeln!(session.out, "{text}")?;
    for missing in &examination.missing {
        writeln!(session.out, "  missing       {missing}")?;
    }
    if let Some(command) = &examination.install {
        writeln!(session.out, "  install       {command}")?;
    }
    Ok(())
}

fn kvm_text(kvm: &KvmState) -> &'static str {
    match kvm {
        KvmState { is_there: false, .. } => "no /dev/kvm: guests are translated (TCG), which is slower",
        KvmState { opens: false, .. } => "/dev/kvm does not open for you: guests are translated (TCG), which is slower",
        KvmState { found: Some(Acceleration::Kvm), .. } => "/dev/kvm opens, and a guest came up on it",
        KvmState { found: Some(Acceleration::Tcg), .. } => {
            "/dev/kvm opens, but no guest comes up on it: guests are translated (TCG), which is slower"
        }
        KvmState { found: None, .. } => "/dev/kvm opens, but is not proved until a guest has come up on it",
    }
}

fn folder_text(folder: &FolderState) -> String {
    let state = match (folder.is_there, folder.is_writable) {
        (true, true) => "",
        (true, false) => ", can't be written",
        (false, true) => ", not there yet",
        (false, false) => ", not there, and can't be made",
    };
    let free = folder.free_mib.map(|mib| format!(", {} MiB free", grouped(mib))).unwrap_or_default();
    format!("{}{state}{free}", output::path(&folder.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kvm_counts_only_after_a_guest_came_up_on_it() {
        let text = |is_there, opens, found| kvm_text(&KvmState { is_there, opens, found });
        assert!(text(false, false, None).starts_with("no /dev/kvm"));
        assert!(text(true, false, None).contains("does not open"));
        assert!(text(true, true, None).contains("not proved until a guest"));
        assert!(text(true, true, Some(Acceleration::Tcg)).contains("no guest comes up"));
        assert!(text(true, true, Some(Acceleration::Kvm)).ends_with("a guest came up on it"));
    }
}
