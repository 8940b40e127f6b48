//! Trace events of the loader and of init functions (Documentation/trace/ftrace.rst): `module:module_load` after all
//! checks have passed and before the module's own code runs (load_module, kernel/module/main.c);
//! `initcall:initcall_start` and `initcall_finish` before and after its init function (do_one_initcall, init/main.c).

use std::fs;

use crate::lab::record::Init;

const FOLDER: &str = "/sys/kernel/tracing";

/// Enables the events; false if this kernel does not have them.
pub(super) fn enable() -> bool {
    ["module/module_load", "initcall/initcall_start", "initcall/initcall_finish"]
        .iter()
        .all(|event| fs::write(format!("{FOLDER}/events/{event}/enable"), "1").is_ok())
}

/// The events of this module: was it accepted, and what happened to its init function? Events of modules loaded
/// earlier precede them in the trace. (Clearing the trace in between would take 30 ms, since it waits for all
/// readers.)
pub(super) fn read(name: &str) -> (bool, Init) {
    told(
        &fs::read(format!("{FOLDER}/trace"))
            .map(|text| String::from_utf8_lossy(&text).into_owned())
            .unwrap_or_default(),
        name,
    )
}

fn told(trace: &str, name: &str) -> (bool, Init) {
    let mut told = (false, Init::NotReached);
    for line in trace.lines().filter(|line| !line.starts_with('#')) {
        // TASK-PID [CPU] FLAGS TIME: EVENT: FIELDS
        let event = |event: &str| line.split_once(&format!(" {event}: ")).map(|(_, fields)| fields);
        if let Some(fields) = event("module_load") {
            if fields.split_whitespace().next() == Some(name) {
                told = (true, Init::NeverRan);
            }
        } else if told.0 && event("initcall_start").is_some() {
            told.1 = Init::Began;
        } else if let Some(fields) = event("initcall_finish").filter(|_| told.1 == Init::Began) {
            let returned = fields.rsplit_once("ret=").and_then(|(_, number)| number.trim().parse().ok());
            told.1 = returned.map_or(told.1, Init::Returned);
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_init_function_that_ran_is_recognised() {
        let head = "# tracer: nop\n#\n";
        let load = "   agent-27  [000] .....  2.1: module_load: dummy E\n";
        let start = "   agent-27  [000] .....  2.2: initcall_start: func=dummy_init_module+0x0/0x1000 [dummy]\n";
        let finish = "   agent-27  [000] .....  2.3: initcall_finish: func=0xffffffffc0400000 ret=-17\n";
        let told = |lines: &[&str]| told(&[&[head], lines].concat().concat(), "dummy");
        assert_eq!(told(&[]), (false, Init::NotReached));
        assert_eq!(told(&[load]), (true, Init::NeverRan));
        assert_eq!(told(&[load, start]), (true, Init::Began));
        assert_eq!(told(&[load, start, finish]), (true, Init::Returned(-17)));
        assert_eq!(told(&[start, finish]), (false, Init::NotReached));
    }
}
