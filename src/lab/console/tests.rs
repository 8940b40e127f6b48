use super::*;

fn crash(console: &str) -> Crash {
    read(console).crash.expect("a crash")
}

fn kind(line: &str) -> Option<CrashKind> {
    read(&format!("{line}\n")).crash.map(|crash| crash.kind)
}

#[test]
fn what_the_kernel_puts_before_a_line_is_taken_off() {
    for line in [
        "hello",
        "[    1.234567] hello",
        "[12345.678901] hello\r",
        "[    1.234567][   T42] hello",
        "[    1.234567] [C0] hello",
        "<6>[    1.234567] hello",
        "[  T42] hello",
        "\x1b[32m[    1.234567] \x1b[0mhello\x1b[0m",
        "\0\u{fffd}\x07hello",
        // Logs that other programs wrote.
        "[1.5] hello",
        "[    1.234567890] hello",
        "[    1.234567][ T42 ] hello",
        // What others left on the line.
        "** 12 printk messages dropped ** [    1.234567] hello",
        "[    0.9] ** 3 printk messages dropped ** hello",
        "debian login: [    1.234567] hello",
        "executing program[    1.234567][   T42] hello",
        "[    1.000000] hello: 34359738352 bytes[    1.234567] hello",
        "CCCC** 1196 printk messages dropped ** hello",
    ] {
        assert_eq!(bare(line), "hello", "{line:?}");
    }
}

#[test]
fn what_only_looks_like_it_stays() {
    for line in
        ["[1.x] hello", "<hello> you", "[hello] you", "[    1.234567x] hello", " hello", "<1234>hello", "[T] hello"]
    {
        assert_eq!(bare(line), line);
    }
    assert_eq!(bare("[    1.234567]  hello"), " hello");
    assert_eq!(bare("[    1.000000] [    2.000000] hello"), "[    2.000000] hello");
    // A program that quotes the kernel.
    for line in [
        "pstore: [    1.234567] hello",
        "dmesg | tail -1 prints \"[    1.234567] hello\"",
        "> [    1.234567] hello",
        "(** 12 printk messages dropped ** or none) hello",
    ] {
        assert_eq!(bare(line), line);
    }
}

/// The first lines of crashes, and their kinds.
const CRASHES: &[(&str, CrashKind)] = {
    use CrashKind::{Bug, HardLockup, HungTask, Oops, Panic, RcuStall, SoftLockup};
    &[
        ("BUG: unable to handle page fault for address: ffffc90000a4f000", Oops),
        ("BUG: kernel NULL pointer dereference, address: 0000000000000000", Oops),
        ("BUG: unable to handle kernel paging request at ffffc90000a4f000", Oops),
        ("BUG: unable to handle kernel NULL pointer dereference at           (null)", Oops),
        ("BUG: Unable to handle kernel data access on read at 0xc00a000000000000", Oops),
        ("BUG: TASK stack guard page was hit at 00000000a1b2c3d4 (stack is 0..1)", Oops),
        ("Unable to handle kernel paging request at virtual address ffff800001a2f000", Oops),
        ("Unable to handle kernel read from unreadable memory at virtual address 0000000000000008", Oops),
        ("Unable to handle kernel pointer dereference in virtual kernel address space", Oops),
        ("general protection fault, probably for non-canonical address 0xdead000000000100: 0000 [#1] SMP", Oops),
        ("general protection fault: 0000 [#1] SMP PTI", Oops),
        ("invalid opcode: 0000 [#1] SMP", Oops),
        ("divide error: 0000 [#3] PREEMPT SMP NOPTI", Oops),
        ("Oops: 0000 [#1] SMP", Oops),
        ("Oops: general protection fault, kernel NULL pointer dereference 0x8: 0000 [#1] SMP NOPTI", Oops),
        ("Oops: Exception in kernel mode, sig: 4 [#1]", Oops),
        ("Oops - illegal instruction [#1]", Oops),
        ("Internal error: Oops - Undefined instruction: 0000000002000000 [#1] SMP", Oops),
        ("specification exception: 0006 ilc:1 [#1] SMP ", Oops),
        ("PANIC: double fault, error_code: 0x0", Oops),
        ("divide_error: 0000 [#1] PREEMPT SMP", Oops),
        ("stack segment: 0000 [#2] SMP", Oops),
        ("general protection fault: 0000 [#1] [    2.345678] audit: type=1326", Oops),
        ("Oops: Kernel access of bad area, sig: 11 [#1]", Oops),
        ("Unhandled unaligned access in kernel: sig: 9 [#1] PREEMPT", Oops),
        ("Internal error: Oops: 0000000096000004 [#1] PREEMPT SMP ARM", Oops),
        ("Oops: Exception in kernel mode, sig: 5 [#1] LE PAGE_SIZE=64K MMU=Radix SMP NR_CPUS=2048 NUMA pSeries", Oops),
        ("Oops - load access fault [#1] SMP", Oops),
        ("Oops[#1]:", Oops),
        ("Kernel bug detected[#1]:", Oops),
        ("Reserved instruction in kernel code[#1]:", Oops),
        (
            "CPU 1 Unable to handle kernel paging request at virtual address 0000000000000008, epc == 80123456, ra == 80123460",
            Oops,
        ),
        ("init(1): Kernel bad sw trap 5 [#1]", Oops),
        ("Kernel Fault: Code=15 (Data TLB miss fault) at addr 0000000000000008", Oops),
        ("Kernel Fault: Code=26 regs=4f5c8000 (Addr=00000008)", Oops),
        ("kernel BUG at lib/list_debug.c:51!", Bug),
        ("kernel BUG at hello_init+0x5/0x10 [hello] [verbose debug info unavailable]", Bug),
        ("Kernel panic - not syncing: Fatal exception", Panic),
        ("Kernel panic - not syncing: softlockup: hung tasks", SoftLockup),
        ("Kernel panic - not syncing: Hard LOCKUP", HardLockup),
        ("Kernel panic - not syncing: RCU Stall", RcuStall),
        ("Kernel panic - not syncing: hung_task: blocked tasks", HungTask),
        ("watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [init:74]", SoftLockup),
        ("NMI watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [init:74]", SoftLockup),
        ("BUG: soft lockup - CPU#0 stuck for 61s! [init:74]", SoftLockup),
        ("NMI watchdog: Watchdog detected hard LOCKUP on cpu 0", HardLockup),
        ("watchdog: CPU0: Watchdog detected hard LOCKUP on cpu 1", HardLockup),
        ("watchdog: CPU 3 self-detected hard LOCKUP @ hello+0x1/0x2", HardLockup),
        ("Watchdog CPU:59 Hard LOCKUP", HardLockup),
        ("rcu: INFO: rcu_sched self-detected stall on CPU", RcuStall),
        ("INFO: rcu_sched detected stalls on CPUs/tasks: { 1} (detected by 0, t=5252 jiffies)", RcuStall),
        ("rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-... } 21 jiffies s: 9", RcuStall),
        ("INFO: rcu_tasks detected stalls on tasks:", RcuStall),
        ("rcu_sched kthread starved for 5252 jiffies!", RcuStall),
        (
            "rcu: rcu_preempt kthread starved for 10500 jiffies! g7 f0x0 RCU_GP_WAIT_FQS(5) ->state=0x0 ->cpu=1",
            RcuStall,
        ),
        (
            "rcu: rcu_sched kthread timer wakeup didn't happen for 5251 jiffies! g7 f0x0 RCU_GP_WAIT_FQS(5) ->state=0x402",
            RcuStall,
        ),
        ("INFO: task init:81 blocked for more than 120 seconds.", HungTask),
        ("INFO: task init:81 blocked in I/O wait for more than 120 seconds.", HungTask),
    ]
};

#[test]
fn each_kind_is_told_by_its_line() {
    for (line, expected) in CRASHES {
        assert_eq!(kind(line), Some(*expected), "{line}");
    }
}

/// The first lines of what the kernel survives.
const WARNINGS: &[&str] = &[
    "WARNING: CPU: 0 PID: 1 at net/core/dev.c:10341 netdev_run_todo+0x1b0/0x2e0",
    "WARNING: net/core/dev.c:11731 at netdev_run_todo+0x53a/0x5c0, CPU#1: init/74",
    "WARNING: possible circular locking dependency detected",
    "WARNING: suspicious RCU usage",
    "BUG: KASAN: slab-use-after-free in hello+0x1/0x2",
    "BUG: KFENCE: memory corruption in hello+0x1/0x2",
    "UBSAN: shift-out-of-bounds in hello.c:1:2",
    "BUG: Bad page map in process init  pte:00000001 pmd:00000002",
    "BUG kmalloc-64 (Not tainted): Object already free",
    "list_add corruption. next->prev should be prev (1), but was 2. (next=3).",
    "refcount_t: addition on 0; use-after-free.",
    "sysfs: cannot create duplicate filename '/module/dummy/sections'",
    "unregister_netdevice: waiting for dummy0 to become free. Usage count = 2",
    "[ INFO: possible circular locking dependency detected ]",
    "[ INFO: inconsistent lock state ]",
    "[ INFO: suspicious RCU usage. ]",
    "[ INFO: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected ]",
    "[ BUG: bad unlock balance detected! ]",
    "[ BUG: init/74 still has locks held! ]",
    "[ BUG: Invalid wait context ]",
    "WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected",
    "WARNING: SOFTIRQ-safe -> SOFTIRQ-unsafe lock order detected",
    "WARNING: init/74 still has locks held!",
    "WARNING: kernel stack regs at 00000000a1b2c3d4 in init:74 has bad 'bp' value 00000000b1b2c3d4",
    "WARNING: kernel stack frame pointer at 00000000a1b2c3d4 in init:74 has bad value           (null)",
    "VFS: Close: file count is 0",
    "VFS: Close: file count is 0 (f_op=hello_fops)",
    "Slab corruption: start=d14227e0, expend=d142285f, problemat=d14227e8",
    "Slab corruption (Not tainted): kmalloc-64 start=ffff888003c4d000, len=64",
    "slab error in verify_redzone_free(): cache `kmalloc-64': double free detected",
    "kmemleak: 1 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
    "unreferenced object 0xffff888006fe8600 (size 256):",
    "BUG: MAX_STACK_TRACE_ENTRIES too low!",
    "BUG: MAX_LOCKDEP_CHAINS too low!",
];

#[test]
fn what_the_kernel_survives_is_a_warning() {
    for line in WARNINGS {
        let reading = read(&format!("{line}\n"));
        assert_eq!((reading.crash, reading.warnings), (None, vec![(*line).to_owned()]));
    }
}

/// What drivers, programs and quotations print, and what the kernel prints without being at fault.
#[test]
fn what_is_no_fault_of_the_kernel_is_none() {
    for line in [
        "hello: Oops: no card",
        "Oops: no card",
        "mydev: Oops [#1] try again",
        "card[#1]: reset",
        "card[#1]:",
        "port [#1]: link up",
        "config: 00ff [#1] of 4 read",
        "usb 1-1: device descriptor: 0012 [#1, last]",
        "hello[74]: segfault at 8 ip 0000000000401000 sp 00007ffc0 error 4 in hello[401000+1000]",
        "traps: hello[74] general protection fault ip:401000 sp:7ffc0 error:0 in hello[401000+1000]",
        "hello: page allocation failure: order:4, mode:0xcc0(GFP_KERNEL), nodemask=(null)",
        "Out of memory: Killed process 74 (hello) total-vm:1kB, anon-rss:1kB",
        "pstore: [    1.234567] BUG: kernel NULL pointer dereference, address: 0000000000000000",
        "> [    1.234567] kernel BUG at hello.c:1!",
        "[    1.000000] hello: read [    1.234567] kernel BUG at hello.c:1!",
        "the log says \"[    1.234567] Oops: 0000 [#1] SMP\"",
        "kmemleak: Kernel memory leak detector initialized (mem pool available: 15672)",
        "kmemleak: Automatic memory scanning thread started",
        "rcu: \tOffload RCU callbacks from CPUs: (none).",
        "hello: kthread starved for attention",
        "[ OK ] Started hello.",
        "[ INFO: hello ]",
        "WARNING: hello is old",
        "VFS: Mounted root (ext4 filesystem) on device 8:1.",
        "hello: Slab corruption is what this driver avoids",
        "Error: Code=12 is unknown",
    ] {
        let reading = read(&format!("{line}\n"));
        assert_eq!((reading.crash, reading.warnings), (None, Vec::new()), "{line}");
    }
}

#[test]
fn a_fault_beats_a_standstill_and_is_not_beaten() {
    let hung = "INFO: task init:81 blocked for more than 120 seconds.\n";
    let stall = "rcu: INFO: rcu_sched self-detected stall on CPU\n";
    let bug = "kernel BUG at hello.c:1!\n";
    let trap = "invalid opcode: 0000 [#1] SMP\n";
    let panic = "Kernel panic - not syncing: Fatal exception\n";
    assert_eq!(crash(&[hung, stall].concat()).kind, CrashKind::HungTask);
    assert_eq!(crash(&[hung, bug, trap, panic].concat()).kind, CrashKind::Bug);
    assert_eq!(crash(&[trap, bug, panic].concat()).kind, CrashKind::Oops);
    assert_eq!(crash(&[stall, panic].concat()).kind, CrashKind::Panic);
    assert_eq!(crash(&[stall, "Kernel panic - not syncing: RCU Stall\n"].concat()).kind, CrashKind::RcuStall);
}

#[test]
fn the_phase_is_that_of_the_last_whole_mark_before() {
    let bug = "kernel BUG at hello.c:1!\n";
    let phase = |before: &str| crash(&[before, bug].concat()).phase;
    assert_eq!(phase(""), Phase::Boot);
    assert_eq!(phase("[    1.000000] kmodlab: phase load\r\n"), Phase::Load);
    assert_eq!(phase("kmodlab: phase load\nkmodlab: phase unload\n"), Phase::Unload);
    assert_eq!(phase("kmodlab: phase load\nkmodlab: phase loading\n"), Phase::Load);
    assert_eq!(phase("kmodlab: phase load\nhello: kmodlab: phase unload\n"), Phase::Load);
    assert_eq!(crash(&[bug, "kmodlab: phase load\n"].concat()).phase, Phase::Boot);
}

#[test]
fn a_place_is_read_on_each_architecture() {
    for (line, expected) in [
        ("RIP: 0010:register_netdevice+0x38/0x5c0", Some("register_netdevice+0x38/0x5c0")),
        ("RIP: 0010:fill+0x28/0x60 [hello]", Some("fill+0x28/0x60 [hello]")),
        ("RIP: 0010:[<ffffffffc0412048>]  [<ffffffffc0412048>] fill+0x28/0x60 [hello]", Some("fill+0x28/0x60 [hello]")),
        ("RIP: 0010:0x0", Some("0x0")),
        ("RIP: 0033:0x435129", None),
        ("EIP: fill+0x28/0x60 [hello]", Some("fill+0x28/0x60 [hello]")),
        ("EIP is at fill+0x28/0x60", Some("fill+0x28/0x60")),
        ("pc : fill+0x28/0x60 [hello]", Some("fill+0x28/0x60 [hello]")),
        ("PC is at fill+0x28/0x60 [hello]", Some("fill+0x28/0x60 [hello]")),
        ("epc : fill+0x28/0x60", Some("fill+0x28/0x60")),
        ("NIP [c00800000a2f0058] fill+0x28/0x60", Some("fill+0x28/0x60")),
        ("Krnl PSW : 0704c00180000000 000003ff80002034 (fill+0x28/0x60 [hello])", Some("fill+0x28/0x60 [hello]")),
        ("Krnl PSW : 0704c00180000000 0000000000000000", None),
        ("RIP: nowhere", None),
    ] {
        assert_eq!(place(line), expected, "{line}");
    }
}

#[test]
fn a_trace_ends_where_the_kernel_ends_it() {
    let report = |rest: &str| format!("BUG: kernel NULL pointer dereference, address: 00\nCall Trace:\n{rest}\n");
    let trace = |rest: &str| crash(&report(rest)).trace;
    assert_eq!(
        trace(" one+0x1/0x2\n two+0x1/0x2\nModules linked in: x\n three+0x1/0x2"),
        ["one+0x1/0x2", "two+0x1/0x2"]
    );
    assert_eq!(trace(" <TASK>\n one+0x1/0x2 [x]\n ? two+0x1/0x2\n </TASK>\n three+0x1/0x2"), ["one+0x1/0x2 [x]"]);
    assert_eq!(trace(" one+0x1/0x2\n---[ end trace 0 ]---\n two+0x1/0x2"), ["one+0x1/0x2"]);
    assert_eq!(trace(" one+0x1/0x2\nRAX: 1 RBX: 2\n two+0x1/0x2"), ["one+0x1/0x2", "two+0x1/0x2"]);
    assert_eq!(trace(&" one+0x1/0x2\n".repeat(100)).len(), MOST_CALLS);
}

#[test]
fn a_log_is_cut_in_a_line_or_in_a_report() {
    let is_cut = |console: &str| read(console).is_cut;
    assert!(!is_cut(""));
    assert!(!is_cut("hello\n"));
    assert!(is_cut("hello"));
    assert!(is_cut("hello\n\r"));
    assert!(is_cut("------------[ cut here ]------------\n"));
    assert!(is_cut("Oops: 0000 [#1] SMP\n"));
    assert!(!is_cut("Oops: 0000 [#1] SMP\n---[ end trace 0 ]---\n"));
    assert!(is_cut("Kernel panic - not syncing: no working init found\n"));
    assert!(!is_cut("Kernel panic - not syncing: no working init found\nKernel Offset: disabled\n"));
    assert!(!is_cut("Oops: 0000 [#1]\n---[ end trace 0 ]---\nKernel panic - not syncing: Fatal exception\n"));
    assert!(!is_cut("BUG: scheduling while atomic: init/74/0x00000002\n"));
    assert!(is_cut("BUG: scheduling while atomic: init/74/0x00000002\nCall Trace:\n one+0x1/0x2\n"));
}

#[test]
fn a_line_that_breaks_off_is_not_believed_to_be_worse() {
    assert_eq!(read("Kernel panic - not syncing: hung_t").crash, None);
    assert_eq!(read("Kernel panic - not syncing: ").crash, None);
    assert_eq!(read("kernel BUG at hello.c:1").crash, None);
    assert_eq!(crash("Kernel panic - not syncing: Fat").kind, CrashKind::Panic);
}

/// Wherever a line breaks off, and however it would have gone on.
#[test]
fn a_part_of_a_line_never_looks_worse_than_the_line() {
    let severity = |console: &str| {
        let reading = read(console);
        (reading.crash.map_or(0, |crash| if is_standstill(crash.kind) { 1 } else { 2 }), reading.warnings.len())
    };
    let lines = CRASHES.iter().map(|(line, _)| *line).chain(WARNINGS.iter().copied());
    let mut compared = 0;
    for line in lines {
        for at in (1..=line.len()).filter(|at| line.is_char_boundary(*at)) {
            let (part, rest) = line.split_at(at);
            for end in [rest, "", " ", "x", " x", ": x", "]x", " ]x", "\0\0NOPTI", "_", " it was"] {
                let (part, whole) = (severity(part), severity(&format!("{part}{end}\n")));
                assert!(part.0 <= whole.0 && part.0 + part.1 <= whole.0 + whole.1, "{line:?} up to {at}, then {end:?}");
                compared += 1;
            }
        }
    }
    assert!(compared > 10_000, "{compared}");
}
