//! Lines that a guest's kernel prints for other reasons while a module is loaded: about clocks, the scheduler, or the random
//! number generator. A busy host causes more of them.

/// Is the line one that other parts of the kernel may print at any time?
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
