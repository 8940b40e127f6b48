/*
 * How a program without a C library asks Linux on eight architectures. Numbers: arch/.../syscall.tbl and
 * include/uapi/asm-generic/unistd.h, Linux 6.12. Errors come back as negative numbers, whatever the architecture does.
 */
#if defined(__x86_64__)
enum { READ = 0, WRITE = 1, CLOSE = 3, SLEEP = 35, CLONE = 56, EXIT = 60, WAIT = 61, KILL = 62, MOUNT = 165, REBOOT = 169,
       DELETE_MODULE = 176, OPEN_AT = 257, MAKE_FOLDER_AT = 258, LOAD_MODULE = 313 };
#elif defined(__i386__)
enum { EXIT = 1, READ = 3, WRITE = 4, CLOSE = 6, MOUNT = 21, KILL = 37, REBOOT = 88, WAIT = 114, CLONE = 120,
       DELETE_MODULE = 129, SLEEP = 162, OPEN_AT = 295, MAKE_FOLDER_AT = 296, LOAD_MODULE = 350 };
#elif defined(__aarch64__) || defined(__riscv)
enum { MAKE_FOLDER_AT = 34, MOUNT = 40, OPEN_AT = 56, CLOSE = 57, READ = 63, WRITE = 64, EXIT = 93, SLEEP = 101,
       DELETE_MODULE = 106, KILL = 129, REBOOT = 142, CLONE = 220, WAIT = 260, LOAD_MODULE = 273 };
#elif defined(__arm__)
enum { EXIT = 1, READ = 3, WRITE = 4, CLOSE = 6, MOUNT = 21, KILL = 37, REBOOT = 88, WAIT = 114, CLONE = 120,
       DELETE_MODULE = 129, SLEEP = 162, OPEN_AT = 322, MAKE_FOLDER_AT = 323, LOAD_MODULE = 379 };
#elif defined(__s390x__)
enum { EXIT = 1, READ = 3, WRITE = 4, CLOSE = 6, MOUNT = 21, KILL = 37, REBOOT = 88, WAIT = 114, CLONE = 120,
       DELETE_MODULE = 129, SLEEP = 162, OPEN_AT = 288, MAKE_FOLDER_AT = 289, LOAD_MODULE = 344 };
#elif defined(__powerpc64__)
enum { EXIT = 1, READ = 3, WRITE = 4, CLOSE = 6, MOUNT = 21, KILL = 37, REBOOT = 88, WAIT = 114, CLONE = 120,
       DELETE_MODULE = 129, SLEEP = 162, OPEN_AT = 286, MAKE_FOLDER_AT = 287, LOAD_MODULE = 353 };
#elif defined(__mips64)
enum { READ = 5000, WRITE = 5001, CLOSE = 5003, SLEEP = 5034, CLONE = 5055, EXIT = 5058, WAIT = 5059, KILL = 5060,
       MOUNT = 5160, REBOOT = 5164, DELETE_MODULE = 5169, OPEN_AT = 5247, MAKE_FOLDER_AT = 5248, LOAD_MODULE = 5307 };
#elif defined(__mips__)
enum { EXIT = 4001, READ = 4003, WRITE = 4004, CLOSE = 4006, MOUNT = 4021, KILL = 4037, REBOOT = 4088, WAIT = 4114,
       CLONE = 4120, DELETE_MODULE = 4129, SLEEP = 4166, OPEN_AT = 4288, MAKE_FOLDER_AT = 4289, LOAD_MODULE = 4348 };
#else
#error "not an architecture with a machine"
#endif

/* O_NONBLOCK, which delete_module(2) takes as well (arch/mips/include/uapi/asm/fcntl.h, asm-generic/fcntl.h). */
#if defined(__mips__)
enum { NO_WAIT = 0x80 };
#else
enum { NO_WAIT = 0x800 };
#endif

/* A system call of up to five arguments. */
static long ask(long number, long a, long b, long c, long d, long e)
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	long result;

	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return result;
#elif defined(__i386__)
	long result;

	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory");
	return result;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
	return x0;
#elif defined(__arm__)
	register long r7 __asm__("r7") = number;
	register long r0 __asm__("r0") = a;
	register long r1 __asm__("r1") = b;
	register long r2 __asm__("r2") = c;
	register long r3 __asm__("r3") = d;
	register long r4 __asm__("r4") = e;

	__asm__ volatile("svc 0" : "+r"(r0) : "r"(r7), "r"(r1), "r"(r2), "r"(r3), "r"(r4) : "memory");
	return r0;
#elif defined(__riscv)
	register long a7 __asm__("a7") = number;
	register long a0 __asm__("a0") = a;
	register long a1 __asm__("a1") = b;
	register long a2 __asm__("a2") = c;
	register long a3 __asm__("a3") = d;
	register long a4 __asm__("a4") = e;

	__asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4) : "memory");
	return a0;
#elif defined(__s390x__)
	register long r1 __asm__("1") = number;
	register long r2 __asm__("2") = a;
	register long r3 __asm__("3") = b;
	register long r4 __asm__("4") = c;
	register long r5 __asm__("5") = d;
	register long r6 __asm__("6") = e;

	__asm__ volatile("svc 0" : "+d"(r2) : "d"(r1), "d"(r3), "d"(r4), "d"(r5), "d"(r6) : "memory");
	return r2;
#elif defined(__powerpc64__)
	register long r0 __asm__("r0") = number;
	register long r3 __asm__("r3") = a;
	register long r4 __asm__("r4") = b;
	register long r5 __asm__("r5") = c;
	register long r6 __asm__("r6") = d;
	register long r7 __asm__("r7") = e;

	/* An error is a positive number, and the summary overflow bit is set. */
	__asm__ volatile("sc\n\tbns+ 1f\n\tneg 3, 3\n1:"
			 : "+r"(r0), "+r"(r3), "+r"(r4), "+r"(r5), "+r"(r6), "+r"(r7)
			 :: "memory", "cr0", "ctr", "r8", "r9", "r10", "r11", "r12");
	return r3;
#elif defined(__mips__)
	register long v0 __asm__("$2") = number;
	register long a0 __asm__("$4") = a;
	register long a1 __asm__("$5") = b;
	register long a2 __asm__("$6") = c;
	register long a3 __asm__("$7") = d;
#if defined(__mips64)
	register long a4 __asm__("$8") = e;

	__asm__ volatile("syscall" : "+r"(v0), "+r"(a3), "+r"(a4) : "r"(a0), "r"(a1), "r"(a2)
			 : "$1", "$3", "$9", "$10", "$11", "$12", "$13", "$14", "$15", "$24", "$25", "hi", "lo", "memory");
#else
	/* The fifth argument is on the stack, behind room for the first four. */
	__asm__ volatile(".set push\n\t.set noreorder\n\taddiu $29, $29, -32\n\tsw %5, 16($29)\n\tsyscall\n\t"
			 "addiu $29, $29, 32\n\t.set pop"
			 : "+r"(v0), "+r"(a3) : "r"(a0), "r"(a1), "r"(a2), "r"(e)
			 : "$1", "$3", "$8", "$9", "$10", "$11", "$12", "$13", "$14", "$15", "$24", "$25", "hi", "lo", "memory");
#endif
	/* An error is a positive number, and a3 is not zero. */
	return a3 ? -v0 : v0;
#endif
}
