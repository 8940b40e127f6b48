//! Reads one line of console output: the beginning or end of a report, a location, a function of a call trace.
//!
//! Pure. The parent module lists the kernel sources from which the forms are taken.

use crate::lab::record::CrashKind;

/// The most bytes that are read and kept of a line. The kernel's own lines are shorter (LOG_LINE_MAX, 1024 minus a
/// prefix).
pub const LONGEST_LINE: usize = 1024;

/// The meaning of a line on its own.
pub(super) enum ConsoleEvent {
    /// A standstill, or the first line of a fault.
    Crash(CrashKind),
    /// The line with an oops's number.
    Died,
    /// A panic, or the standstill for which a watchdog panicked.
    Panic(CrashKind),
    /// A report that the kernel survives.
    Warning(ReportEnd),
    /// A WARN or a BUG begins.
    Begin,
    /// The end of a report.
    End,
}

/// How a report ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ReportEnd {
    /// With `---[ end trace`: WARN, BUG and oopses.
    AtMark,
    /// With the end of its trace: standstills and bare panics.
    WithTrace,
    /// At any line: there may be no trace. A trace that has begun has an end.
    Anywhere,
}

/// The report event on a line, if there is one: its beginning or its end.
///
/// The result for a prefix of a line is never worse than for the whole line, so a truncated log never looks worse than the
/// complete one.
pub(super) fn event(line: &str, is_whole: bool) -> Option<ConsoleEvent> {
    // The fast path for nearly all lines.
    if !line.starts_with(|c: char| c.is_ascii_alphabetic() || c == '-' || c == '[') {
        return None;
    }
    if line.starts_with("------------[ cut here ]") {
        return Some(ConsoleEvent::Begin);
    }
    let ends = ["---[ end ", "Kernel Offset: ", "Rebooting in "];
    if ends.iter().any(|end| line.starts_with(end)) {
        return Some(ConsoleEvent::End);
    }
    if let Some(reason) = line.strip_prefix("Kernel panic - not syncing") {
        return panic_kind(reason.trim_start_matches([':', ' ']), is_whole).map(ConsoleEvent::Panic);
    }
    if let Some(kind) = standstill(line) {
        return Some(ConsoleEvent::Crash(kind));
    }
    if is_bug(line) {
        return Some(ConsoleEvent::Crash(CrashKind::Bug));
    }
    if is_fault(line) {
        return Some(ConsoleEvent::Crash(CrashKind::Oops));
    }
    if has_oops_number(line, is_whole) {
        return Some(ConsoleEvent::Died);
    }
    warning(line, is_whole).map(ConsoleEvent::Warning)
}

/// The cause of a panic: the kernel, or a watchdog. `None` if the line is truncated before that is clear.
fn panic_kind(reason: &str, is_whole: bool) -> Option<CrashKind> {
    const WATCHDOGS: [(&str, CrashKind); 4] = [
        // kernel/watchdog.c, kernel/watchdog_hld.c
        ("softlockup: ", CrashKind::SoftLockup),
        ("Hard LOCKUP", CrashKind::HardLockup),
        // kernel/rcu/tree_stall.h
        ("RCU Stall", CrashKind::RcuStall),
        // kernel/hung_task.c
        ("hung_task: ", CrashKind::HungTask),
    ];
    if let Some((_, kind)) = WATCHDOGS.iter().find(|(words, _)| reason.starts_with(words)) {
        return Some(*kind);
    }
    let may_become = WATCHDOGS.iter().any(|(words, _)| words.starts_with(reason));
    (is_whole || !may_become).then_some(CrashKind::Panic)
}

fn standstill(line: &str) -> Option<CrashKind> {
    let watched = ["watchdog: ", "NMI watchdog: "].iter().find_map(|name| line.strip_prefix(name));
    let said = watched.unwrap_or(line);
    if said.starts_with("BUG: soft lockup - CPU#") {
        return Some(CrashKind::SoftLockup);
    }
    let is_hard = said.contains("hard LOCKUP") || said.contains("Hard LOCKUP");
    // The watchdog's name is followed by "CPU0: " from 6.5 on; powerpc prints "CPU 3 Hard LOCKUP".
    let is_watchdogs = said.starts_with("Watchdog ") || watched.is_some_and(|said| said.starts_with("CPU"));
    if is_hard && is_watchdogs {
        return Some(CrashKind::HardLockup);
    }
    let of_rcu = line.strip_prefix("rcu: ").unwrap_or(line);
    // kernel/rcu/tree_stall.h, kernel/rcu/tree.c since 4.1: "rcu_sched kthread starved for 5252 jiffies!"
    let is_starved = |(name, behind): (&str, &str)| {
        !name.contains(' ') && name.starts_with("rcu") && behind.starts_with(|c: char| c.is_ascii_digit())
    };
    let starving = [" kthread starved for ", " kthread timer wakeup didn't happen for "];
    if starving.iter().any(|words| of_rcu.split_once(words).is_some_and(is_starved)) {
        return Some(CrashKind::RcuStall);
    }
    let info = of_rcu.strip_prefix("INFO: ")?;
    let stalls = [" self-detected stall", " detected stall", " detected expedited stall"];
    if info.starts_with("rcu") && stalls.iter().any(|words| info.contains(words)) {
        return Some(CrashKind::RcuStall);
    }
    let task = info.strip_prefix("task ")?;
    let waits = [" blocked for more than ", " blocked in I/O wait for more than ", " can't die for more than "];
    waits.iter().any(|words| task.contains(words)).then_some(CrashKind::HungTask)
}

/// `kernel BUG at FILE:LINE!` (lib/bug.c).
fn is_bug(line: &str) -> bool {
    let Some(place) = line.strip_prefix("kernel BUG at ") else { return false };
    let by_line = place.split_once('!').and_then(|(place, _)| place.rsplit_once(':'));
    by_line.is_some_and(|(file, line)| !file.is_empty() && !line.is_empty() && line.bytes().all(|b| b.is_ascii_digit()))
        || place.contains(" [verbose debug info unavailable]")
}

/// Is it the line that names the kind of fault, which precedes the oops's number?
fn is_fault(line: &str) -> bool {
    // x86, and powerpc with a capital letter
    const BUGS: [&str; 7] = [
        "unable to handle page fault for address",
        "kernel NULL pointer dereference, address",
        "unable to handle kernel NULL pointer dereference",
        "unable to handle kernel paging request",
        "Kernel NULL pointer dereference on ",
        "Unable to handle kernel ",
        "Unable to handle unknown paging fault",
    ];
    if let Some(what) = line.strip_prefix("BUG: ") {
        return BUGS.iter().any(|words| what.starts_with(words)) || what.contains("stack guard page was hit at ");
    }
    // MIPS and LoongArch begin with the processor.
    let cpu = line.strip_prefix("CPU ").and_then(|rest| rest.split_once(' ')).filter(|(number, _)| is_number(number));
    // arm, arm64, riscv, s390
    if let Some(what) = cpu.map_or(line, |(_, rest)| rest).strip_prefix("Unable to handle kernel ") {
        let is_it = ["NULL pointer dereference", "pointer dereference", "paging request"];
        return is_it.iter().any(|words| what.starts_with(words)) || what.contains(" at virtual address ");
    }
    // parisc_terminate() (arch/parisc/kernel/traps.c): "Kernel Fault: Code=15 (Data TLB miss fault) at addr 00000000"
    let terminated = line.split_once(": Code=").map(|(_, behind)| behind);
    if terminated.is_some_and(|behind| behind.starts_with(|c: char| c.is_ascii_digit()) && behind.contains("ddr")) {
        return true;
    }
    line.strip_prefix("traps: ").unwrap_or(line).starts_with("PANIC: double fault")
}

/// Is it the line with `[#1]`, which die() prints on every architecture? Its forms (arch/*/kernel/{traps,dumpstack}.c):
///
/// ```text
/// divide error: 0000 [#1] PREEMPT SMP NOPTI                 x86, sh; up to 6.8 also general protection fault and others
/// Oops: Kernel access of bad area, sig: 11 [#1]             powerpc, xtensa
/// Internal error: Oops: 0000000096000004 [#1] SMP           arm, arm64
/// monitor event: 0040 ilc:2 [#1] SMP                        s390
/// Oops - illegal instruction [#1]                           riscv, csky
/// Kernel bug detected[#1]:                                  MIPS, LoongArch
/// init(1): Kernel bad trap [#1]                             sparc
/// ```
fn has_oops_number(line: &str, is_whole: bool) -> bool {
    let Some((before, number)) = line.rsplit_once("[#") else { return false };
    let Some((number, behind)) = number.split_once(']') else { return false };
    // The configuration follows: PREEMPT SMP NOPTI; ARM or THUMB2; on MIPS and LoongArch a colon.
    let is_configuration = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, ' ' | '_' | '=');
    // Another line may begin before this one has ended.
    let (own, is_followed) = behind.split_once(" [").map_or((behind, false), |(own, _)| (own, true));
    let is_configured = own.is_empty() || own.starts_with(' ') && own.chars().all(is_configuration);
    // Whatever a line that breaks off here would have gone on with.
    if !is_whole && !is_followed && !behind.starts_with(" LE ") {
        return false;
    }
    if !is_number(number) || !is_configured && behind.trim_end() != ":" && !behind.starts_with(" LE ") {
        return false;
    }
    let Some(before) = before.strip_suffix(' ') else {
        // "%s[#%d]:\n", with a sentence or "Oops".
        let is_sentence = before.contains(' ') && before.starts_with(|c: char| c.is_ascii_uppercase());
        return behind.trim_end() == ":" && (is_sentence || before == "Oops");
    };
    // riscv: "Oops [#1]", "Kernel BUG [#1]"; arm64: "Internal error: Oops: 0000000096000004 [#1]"
    let names = ["Oops: ", "Oops - ", "Internal error: ", "kernel BUG", "Kernel BUG"];
    if before == "Oops" || names.iter().any(|name| before.starts_with(name)) {
        return true;
    }
    // sparc: the process, then the words.
    let process = before.split_once("): ").and_then(|(process, _)| process.rsplit_once('('));
    if process.is_some_and(|(name, pid)| !name.is_empty() && is_number(pid)) {
        return true;
    }
    // xtensa: "Unhandled … in kernel: sig: 9 [#1]"
    if before.rsplit_once(": sig: ").is_some_and(|(_, signal)| is_number(signal)) {
        return true;
    }
    let Some((_, code)) = before.rsplit_once(": ") else { return false };
    // s390 also prints the length of the instruction.
    let code = code.split_once(" ilc:").map_or(code, |(code, _)| code);
    code.len() >= 4 && code.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Is it a report that the kernel survives, and how does it end? The line ends here if `is_whole`.
fn warning(line: &str, is_whole: bool) -> Option<ReportEnd> {
    const BUGS: [&str; 26] = [
        "KASAN: ",
        "KFENCE: ",
        "KCSAN: ",
        "KMSAN: ",
        "sleeping function called from invalid context at ",
        "scheduling while atomic: ",
        "scheduling in a non-blocking section: ",
        "assuming atomic context at ",
        "assuming non migratable context at ",
        "Bad page state",
        "Bad page map",
        "Bad page cache in process ",
        "Bad rss-counter state ",
        "non-zero pgtables_bytes on freeing mm: ",
        "spinlock ",
        "rwlock ",
        "using smp_processor_id() in preemptible ",
        "using __this_cpu_",
        "workqueue leaked ",
        "workqueue lockup - pool",
        "mempool element poison mismatch",
        "looking up invalid subclass: ",
        "Dentry ",
        // lockdep's tables are full, so it stops.
        "MAX_STACK_TRACE_ENTRIES too low!",
        "MAX_LOCK_DEPTH too low!",
        "MAX_LOCKDEP_",
    ];
    // kernel/locking/lockdep.c, kernel/rcu/update.c: up to 4.11 "[ INFO: … ]", then "WARNING: …"; some stay "[ BUG: … ]".
    const LOCKS: [&str; 14] = [
        "possible circular locking dependency detected",
        "possible recursive locking detected",
        "possible irq lock inversion dependency detected",
        "inconsistent lock state",
        "suspicious RCU usage",
        "bad unlock balance detected!",
        "held lock freed!",
        "lock held when returning to user space!",
        "Nested lock was not taken",
        "Invalid wait context",
        "HARDIRQ-safe -> HARDIRQ-unsafe lock order detected",
        "SOFTIRQ-safe -> SOFTIRQ-unsafe lock order detected",
        "RECLAIM_FS-safe -> RECLAIM_FS-unsafe lock order detected",
        "bad contention detected!",
    ];
    // arch/x86/kernel/unwind_frame.c, since 4.9
    const STACKS: [&str; 2] = ["kernel stack regs at ", "kernel stack frame pointer at "];
    const OTHERS: [&str; 18] = [
        "list_add corruption",
        "list_del corruption",
        "list_add double add",
        "CFI failure at ",
        "CFI failure (target: ",
        "refcount_t: saturated",
        "refcount_t: addition on 0",
        "refcount_t: underflow",
        "refcount_t: decrement hit 0",
        "usercopy: Kernel memory ",
        "unregister_netdevice: waiting for ",
        "VFS: Busy inodes after unmount",
        "sysfs: cannot create duplicate filename ",
        "INFO: trying to register non-static key",
        // fs/open.c
        "VFS: Close: file count is ",
        // mm/slab.c, up to 6.7
        "Slab corruption",
        // mm/kmemleak.c
        "unreferenced object 0x",
        "slab error in ",
    ];
    let begins = |words: &[&str], text: &str| words.iter().any(|words| text.starts_with(words));
    if let Some(what) = line.strip_prefix("WARNING: ") {
        // Up to about 6.18 "CPU: 0 PID: 1 at FILE:LINE FUNCTION", in later versions "FILE:LINE at FUNCTION, CPU#0: NAME/PID".
        if what.starts_with("CPU: ") || what.contains(", CPU#") {
            return Some(ReportEnd::AtMark);
        }
        let is_stack = begins(&STACKS, what) && [" has bad ", " decodes to bad "].iter().any(|bad| what.contains(bad));
        let is_it = begins(&LOCKS, what) || is_whole && what.ends_with(" still has locks held!") || is_stack;
        return is_it.then_some(ReportEnd::Anywhere);
    }
    if let Some(what) = line.strip_prefix("[ ").and_then(|line| line.strip_suffix(" ]")).filter(|_| is_whole) {
        let what = ["INFO: ", "BUG: ", "WARNING: "].iter().find_map(|level| what.strip_prefix(level))?;
        return (begins(&LOCKS, what) || what.ends_with(" still has locks held!")).then_some(ReportEnd::Anywhere);
    }
    // mm/kmemleak.c: "kmemleak: 1 new suspected memory leaks (see /sys/kernel/debug/kmemleak)"
    let leaks = line.strip_prefix("kmemleak: ").and_then(|what| what.split_once(" new suspected memory leaks"));
    if leaks.is_some_and(|(number, _)| is_number(number)) {
        return Some(ReportEnd::Anywhere);
    }
    let is_it = match line.strip_prefix("BUG: ") {
        Some(what) => begins(&BUGS, what),
        // mm/slub.c: "BUG kmalloc-64 (Not tainted): Poison overwritten"
        None if line.starts_with("BUG ") => line.contains(" (Tainted: ") || line.contains(" (Not tainted): "),
        None if line.starts_with("UBSAN: ") => line.contains(" in "),
        None => begins(&OTHERS, line),
    };
    is_it.then_some(ReportEnd::Anywhere)
}

pub(super) fn is_trace_begin(line: &str) -> bool {
    // x86, s390, powerpc, riscv; arm and arm64
    line.starts_with("Call Trace:") || line.starts_with("Call trace:")
}

/// A line of a call trace.
pub(super) enum TraceLine<'l> {
    /// A function, as the kernel prints it.
    Sure(&'l str),
    /// A function whose address was found on the stack; it may be a leftover.
    Unsure,
    /// Registers, or the name of a stack.
    Between,
    /// The end of the trace.
    Last,
    /// Not part of a trace.
    None,
}

pub(super) fn call(line: &str) -> TraceLine<'_> {
    if let Some(stack) = line.trim().strip_prefix('<') {
        // "<TASK>" is the last stack; after "<IRQ>" and similar stacks another one follows.
        return match stack {
            "/TASK>" => TraceLine::Last,
            stack if stack.ends_with('>') && !stack.contains(' ') => TraceLine::Between,
            _ => TraceLine::None,
        };
    }
    if is_register(line) {
        return TraceLine::Between;
    }
    let (is_indented, text) = (line.starts_with([' ', '\t']), line.trim());
    // s390 prints unreliable entries in parentheses.
    if text.starts_with("([<") || text.starts_with("? ") {
        return TraceLine::Unsure;
    }
    let plain = behind_addresses(text);
    let had_address = plain.len() < text.len();
    if had_address && plain.starts_with("? ") || plain.ends_with(" (unreliable)") {
        return TraceLine::Unsure;
    }
    match function(plain) {
        Some(function) if is_indented || had_address => TraceLine::Sure(function),
        // A function without a name.
        None if had_address || is_indented && is_address(text) => TraceLine::Between,
        _ => TraceLine::None,
    }
}

/// Registers and code, printed in the middle of a trace at the point of an interrupt.
fn is_register(line: &str) -> bool {
    const NAMES: [&str; 24] = [
        "RIP: ",
        "Code: ",
        "RSP: ",
        "RAX: ",
        "RDX: ",
        "RBP: ",
        "R10: ",
        "R13: ",
        "FS: ",
        "CS: ",
        "CR2: ",
        "DR0: ",
        "DR3: ",
        "PKRU: ",
        "EIP: ",
        "EAX: ",
        "ESI: ",
        "DS: ",
        "CR0: ",
        "ORIG_RAX: ",
        "ESP: ",
        "EDX: ",
        "--- interrupt: ",
        "NIP: ",
    ];
    NAMES.iter().any(|name| line.starts_with(name))
}

/// The function in a line with a processor's instruction pointer.
pub(super) fn place(line: &str) -> Option<&str> {
    let is_pointer = |selector: &str| {
        // The two lowest bits are the ring, which is 0 for the kernel.
        u16::from_str_radix(selector, 16).is_ok_and(|selector| selector & 3 == 0)
    };
    if let Some(pointer) = line.strip_prefix("RIP: ").or_else(|| line.strip_prefix("EIP: ")) {
        // Since 4.10, i386 prints no selector before a function.
        let (selector, at) = pointer.split_once(':').filter(|(s, _)| s.len() == 4).unwrap_or(("0000", pointer));
        let at = behind_addresses(at);
        let address = at.split_whitespace().next().filter(|at| is_address(at));
        return function(at).or(address).filter(|_| is_pointer(selector));
    }
    // arm64; arm; i386 up to 4.9; riscv; powerpc
    let names = ["pc : ", "PC is at ", "EIP is at ", "epc : ", "NIP "];
    if let Some(at) = names.iter().find_map(|name| line.strip_prefix(name)) {
        return function(behind_addresses(at));
    }
    let psw = line.strip_prefix("Krnl PSW : ")?;
    function(psw.split_once('(')?.1)
}

/// A pointer without a symbol name, as the kernel prints it.
fn is_address(text: &str) -> bool {
    text.strip_prefix("0x").is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The text after addresses in brackets: `[<ffffffff81000000>]`, `[c000000000001000]`.
fn behind_addresses(text: &str) -> &str {
    let mut rest = text.trim_start();
    while let Some((address, behind)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let digits = address.trim_start_matches('<').trim_end_matches('>');
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            break;
        }
        rest = behind.trim_start();
    }
    rest
}

/// `NAME+0xOFFSET/0xSIZE` at the beginning of a text, with `[MODULE]` after it if there is one (kernel/kallsyms.c).
pub(super) fn function(text: &str) -> Option<&str> {
    let (name, behind) = text.split_once("+0x")?;
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return None;
    }
    let hex = |text: &str| text.bytes().take_while(u8::is_ascii_hexdigit).count();
    let size = behind.get(hex(behind)..)?.strip_prefix("/0x")?;
    let digits = hex(size);
    let rest = size.get(digits..).filter(|_| digits > 0)?;
    let module = rest.strip_prefix(" [").and_then(|module| module.find(']')).map_or(0, |at| at + 3);
    text.get(..text.len() - rest.len() + module)
}

/// A line without the kernel's prefixes (`<4>`, `[    1.234567]`, `[   T42]`, each once, then a space) and without
/// what stands before them: terminal sequences, the kernel's own remark that it dropped messages, and another program's text
/// that does not end with its line. At most [`LONGEST_LINE`] bytes.
pub(super) fn bare(line: &str) -> &str {
    let mut rest = behind_others(line.strip_suffix('\r').unwrap_or(line));
    let (mut has_level, mut has_time, mut has_caller) = (false, false, false);
    loop {
        rest = behind_noise(rest);
        let level = rest.strip_prefix('<').and_then(|rest| rest.split_once('>'));
        if let Some((_, behind)) = level.filter(|(level, _)| !has_level && is_number(level) && level.len() <= 3) {
            (has_level, rest) = (true, behind);
            continue;
        }
        // In logs that another program wrote, a space may precede the caller.
        let spaced = if has_time && !has_caller { rest.strip_prefix(' ').unwrap_or(rest) } else { rest };
        let stamp = spaced.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        match stamp.map(|(stamp, behind)| (stamp.trim_start(), behind)) {
            Some((stamp, behind)) if !has_time && !has_caller && is_time(stamp) => (has_time, rest) = (true, behind),
            Some((stamp, behind)) if !has_caller && is_caller(stamp) => (has_caller, rest) = (true, behind),
            _ => break,
        }
    }
    if has_time || has_caller {
        rest = behind_noise(rest.strip_prefix(' ').unwrap_or(rest));
    }
    // Terminal sequences after the text are not the kernel's.
    let rest = rest.split('\x1b').next().unwrap_or(rest);
    let end = (0..=LONGEST_LINE.min(rest.len())).rev().find(|at| rest.is_char_boundary(*at)).unwrap_or(0);
    rest.get(..end).unwrap_or(rest)
}

/// The text from the first time stamp of the kernel's own form on, if text of others precedes it; otherwise all of it.
///
/// Others are a remark of printk ("** 12 printk messages dropped ** ", kernel/printk/printk.c), and programs that share the
/// console: a login prompt, a line without an end. A program that quotes the kernel has a quotation mark, a bracket or a
/// separator before the stamp.
fn behind_others(line: &str) -> &str {
    const DROPPED: &str = " printk messages dropped ** ";
    let line = match line.find(DROPPED).map(|at| (at, at + DROPPED.len())) {
        Some((at, end)) if line.get(..at).is_some_and(is_drop_count) => line.get(end..).unwrap_or_default(),
        _ => line,
    };
    let is_stamp = |at: &usize| {
        let stamp = line.get(*at..).and_then(|rest| rest.strip_prefix('[')?.split_once(']'));
        // The kernel pads the seconds to five places.
        stamp.is_some_and(|(stamp, _)| stamp.len() >= 12 && is_time(stamp.trim_start()))
    };
    let mut stamps = line.match_indices('[').map(|(at, _)| at).filter(is_stamp);
    let is_text = |before: &str| {
        let is_end_of_text = |c: char| c.is_alphanumeric() || matches!(c, '.' | '!' | '?' | '#' | '$' | '%');
        before.ends_with(is_end_of_text) || ["login:", "Password:"].iter().any(|prompt| before.ends_with(prompt))
    };
    let follows = |at: usize, is_second: bool| {
        let (before, from) = line.split_at_checked(at)?;
        // A line that begins with a stamp quotes the second one, unless that breaks into a word (up to 4.x).
        is_text(if is_second { before } else { before.trim_end_matches(' ') }).then_some(from)
    };
    let from = match stamps.next() {
        Some(0) => stamps.find_map(|at| follows(at, true)),
        Some(first) => follows(first, false),
        None => None,
    };
    from.unwrap_or(line)
}

/// `** 12`, first on its line or after text of others.
fn is_drop_count(text: &str) -> bool {
    let (before, number) = text.rsplit_once("** ").unwrap_or_default();
    is_number(number) && before.trim_end().chars().next_back().is_none_or(|last| last == ']' || last.is_alphanumeric())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// `1.234567`; other programs write fewer or more digits.
fn is_time(stamp: &str) -> bool {
    stamp.split_once('.').is_some_and(|(seconds, parts)| is_number(seconds) && is_number(parts))
}

/// `T42` for a thread, `C0` for a processor (CONFIG_PRINTK_CALLER).
fn is_caller(stamp: &str) -> bool {
    stamp.trim_end().strip_prefix(['T', 'C']).is_some_and(is_number)
}

/// The text after control characters, invalid bytes and terminal sequences (ECMA-48: ESC `[` … a letter).
fn behind_noise(text: &str) -> &str {
    let mut rest = text;
    loop {
        if let Some(command) = rest.strip_prefix("\x1b[") {
            let end = command.find(|c: char| !matches!(c, '0'..='9' | ';' | '?' | '=' | ' '));
            let Some(mut behind) = end.and_then(|at| command.get(at..)).map(str::chars) else { return "" };
            behind.next();
            rest = behind.as_str();
            continue;
        }
        match rest.chars().next() {
            Some('\t') => return rest,
            Some(c) if c.is_control() || c == char::REPLACEMENT_CHARACTER => {
                rest = rest.get(c.len_utf8()..).unwrap_or("")
            }
            _ => return rest,
        }
    }
}
