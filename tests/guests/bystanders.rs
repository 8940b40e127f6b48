//! Lines that a guest's kernel prints by itself while a module is loaded: of clocks, of the scheduler, of its generator of
//! random numbers. A busy host brings more of them.

/// Is the line one that others say when they like to?
pub(crate) fn is_of_bystanders(line: &str) -> bool {
    const BEGINNINGS: [&str; 11] = [
        "random: ",
        "clocksource: ",
        "tsc: ",
        "TSC ",
        "input: ",
        "hrtimer: ",
        "sched: RT throttling",
        "sched_clock: ",
        "workqueue: ",
        "rcu: INFO: ",
        "perf: interrupt took too long",
    ];
    BEGINNINGS.iter().any(|beginning| line.starts_with(beginning))
}
