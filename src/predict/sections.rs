//! Steps that check sections and marks: livepatch, no section both writable and executable, only one table of constructors.

use crate::predict::attempt::Attempt;
use crate::predict::availability::Availability;
use crate::predict::errno;
use crate::predict::load_info::{LoadInfo, SHF_EXECINSTR, SHF_WRITE};
use crate::predict::message::{Effect, messages};
use crate::predict::record::{AttemptRecord, Flow};
use crate::predict::rules::Rule;
use crate::predict::verdict::LoaderStep;

/// `check_modinfo_livepatch` (6.12).
pub(super) fn livepatch(attempt: &Attempt<'_>, loaded: &LoadInfo<'_>, record: &mut AttemptRecord) -> Flow {
    if loaded.modinfo("livepatch").is_none() {
        return Ok(());
    }
    match attempt.rules.has(Rule::Livepatch) {
        Some(true) => {
            record.pass(LoaderStep::Livepatch, "a livepatch, and the kernel accepts livepatches", None);
            Ok(())
        }
        Some(false) => {
            record.say(NO_LIVEPATCHES.line([&loaded.own_name]));
            record.fail(LoaderStep::Livepatch, errno::ENOEXEC, "a livepatch, and the kernel accepts none", None)
        }
        None => {
            record.unknown(
                LoaderStep::Livepatch,
                "does the kernel accept livepatches? (CONFIG_LIVEPATCH in its configuration)",
            );
            Ok(())
        }
    }
}

/// `module_enforce_rwx_sections` (kernel/module/strict_rwx.c, 6.1).
pub(super) fn write_or_execute(attempt: &Attempt<'_>, loaded: &LoadInfo<'_>, record: &mut AttemptRecord) -> Flow {
    let both = SHF_WRITE | SHF_EXECINSTR;
    let found = loaded.sections.iter().enumerate().find(|(_, section)| section.flags & both == both);
    let Some((index, section)) = found else { return Ok(()) };
    let section = String::from_utf8_lossy(loaded.name_of(section)).into_owned();
    match attempt.rules.has(Rule::WriteOrExecute) {
        Some(true) => {
            record.say(WRITE_AND_EXECUTE.line([&loaded.own_name, &section, &index]));
            let note = format!("section {section} is both writable and executable");
            record.fail(LoaderStep::Sections, errno::ENOEXEC, note, None)
        }
        Some(false) => Ok(()),
        None => {
            let note = format!(
                "section {section} is both writable and executable; does the kernel refuse that? \
                 (CONFIG_STRICT_MODULE_RWX)"
            );
            record.unknown(LoaderStep::Sections, note);
            Ok(())
        }
    }
}

/// `find_module_sections` (kernel/module/main.c, 6.12): compilers put constructors into one of two sections.
pub(super) fn constructors(attempt: &Attempt<'_>, loaded: &LoadInfo<'_>, record: &mut AttemptRecord) -> Flow {
    if loaded.find(".ctors").is_none() || loaded.find(".init_array").is_none() {
        return Ok(());
    }
    match attempt.rules.has(Rule::Constructors) {
        Some(true) => {
            record.say(TWO_CONSTRUCTORS.line([&loaded.own_name]));
            let note = "it has constructors in both .ctors and .init_array";
            record.fail(LoaderStep::Sections, errno::EINVAL, note, None)
        }
        Some(false) => Ok(()),
        None => {
            record.otherwise.push(errno::EINVAL);
            let note =
                "it has constructors in both .ctors and .init_array; does the kernel run any? (CONFIG_CONSTRUCTORS)";
            record.unknown(LoaderStep::Sections, note);
            Ok(())
        }
    }
}

messages! {
    Some(LoaderStep::Sections);
    NO_LIVEPATCHES[1] => Livepatch Effect::Refuses(errno::ENOEXEC), Availability::Version((4, 7)),
        "{module}: module is marked as livepatch module, but livepatch support is disabled",
        "it is a livepatch, and the kernel was built without CONFIG_LIVEPATCH";
    WRITE_AND_EXECUTE[3] Effect::Refuses(errno::ENOEXEC), Availability::Rule(Rule::WriteOrExecute),
        "{module}: section {section:*} (index {index:d}) has invalid WRITE|EXEC flags",
        "section {section} is both writable and executable";
    TWO_CONSTRUCTORS[1] Effect::Refuses(errno::EINVAL), Availability::Rule(Rule::Constructors),
        "{module}: has both .ctors and .init_array.",
        "it has constructors in both .ctors and .init_array";
}
