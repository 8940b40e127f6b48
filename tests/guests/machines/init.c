/*
 * The first process of a guest that is asked about modules: it loads each module of its list with the flags of its list,
 * and reports what the kernel answered, in lines with checksums, over the result port. It needs no C library, so that
 * one compiler builds it for every architecture.
 *
 * /list has a line for each trial: NUMBER FILE FLAGS KEEPS NAME. KEEPS is 1 if the guest must end when the module cannot
 * be unloaded. The first line has the result port's device.
 *
 * Reported: "b RELEASE" once; for each trial "s NUMBER", "r ERRNO", "t TRACE" (the event module:module_load: the loader
 * accepted the module), "a TAINT" (/sys/module/NAME/taint), "u ERRNO" (of delete_module), "c LINES" at the end of the
 * process that loads it, "w BEFORE AFTER" (the kernel's taint), "l LINE" for each line of the log, "e NUMBER LINES STATUS"
 * at its end; "k NUMBER" for a trial that waits for another boot; "z" at the end. LINES is how many lines of this trial the
 * process has sent before: a port may lose some.
 */
#include "system_call.h"

enum { FOLDER = -100 /* AT_FDCWD */, READ_ONLY = 0, WRITE_ONLY = 1 };

/* SIGCHLD. */
#if defined(__mips__)
enum { CHILD_ENDS = 18 };
#else
enum { CHILD_ENDS = 17 };
#endif

static int port, log_file = -1, trace = -1;

/* How many lines this process has sent for this trial. */
static long lines;

static unsigned long length(const char *text)
{
	unsigned long n = 0;

	while (text[n])
		n++;
	return n;
}

static int same(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

/* Compilers make calls of these two for loops and structures. */
void *memset(void *to, int byte, unsigned long n)
{
	volatile char *at = to;

	while (n--)
		*at++ = byte;
	return to;
}

void *memcpy(void *to, const void *from, unsigned long n)
{
	volatile char *at = to;
	const char *source = from;

	while (n--)
		*at++ = *source++;
	return to;
}

static long opened(const char *path, long flags)
{
	return ask(OPEN_AT, FOLDER, (long)path, flags, 0, 0);
}

/* Reads a whole small file; its length, or a negative number. */
static long content(const char *path, char *to, long room)
{
	long file = opened(path, READ_ONLY), n = 0, got;

	if (file < 0)
		return file;
	while (n < room - 1 && (got = ask(READ, file, (long)to + n, room - 1 - n, 0, 0)) > 0)
		n += got;
	to[n] = 0;
	ask(CLOSE, file, 0, 0, 0, 0);
	return n;
}

static void put(const char *path, const char *text)
{
	long file = opened(path, WRITE_ONLY);

	if (file < 0)
		return;
	ask(WRITE, file, (long)text, length(text), 0, 0);
	ask(CLOSE, file, 0, 0, 0, 0);
}

/* A line in the making. */
struct line {
	char text[4096];
	unsigned long n;
};

static void add(struct line *line, const char *text)
{
	while (*text && *text != '\n' && line->n < sizeof(line->text) - 2)
		line->text[line->n++] = *text++;
}

static void add_number(struct line *line, long number)
{
	char digits[24], *at = digits + sizeof(digits) - 1;
	unsigned long left = number < 0 ? -(unsigned long)number : (unsigned long)number;

	*at = 0;
	do
		*--at = '0' + left % 10;
	while (left /= 10);
	if (number < 0)
		*--at = '-';
	add(line, at);
}

/* Sends a line behind its checksum (FNV-1a), in one piece. */
static void send(struct line *line)
{
	static char out[4200];
	unsigned sum = 2166136261u;
	unsigned long n = 0, sent = 0;

	lines++;
	for (unsigned long at = 0; at < line->n; at++)
		sum = (sum ^ (unsigned char)line->text[at]) * 16777619u;
	for (int shift = 28; shift >= 0; shift -= 4)
		out[n++] = "0123456789abcdef"[sum >> shift & 15];
	out[n++] = ' ';
	for (unsigned long at = 0; at < line->n; at++)
		out[n++] = line->text[at];
	out[n++] = '\n';
	while (sent < n) {
		long got = ask(WRITE, port, (long)out + sent, n - sent, 0, 0);

		if (got > 0)
			sent += got;
		else if (got != -4 && got != -11)
			break;
	}
}

static void say(const char *word, const char *text)
{
	struct line line = { .n = 0 };

	add(&line, word);
	add(&line, text);
	send(&line);
}

static void say_number(const char *word, long number)
{
	struct line line = { .n = 0 };

	add(&line, word);
	add_number(&line, number);
	send(&line);
}

static void wait_ms(long ms)
{
	long time[2] = { ms / 1000, ms % 1000 * 1000000 };

	ask(SLEEP, (long)time, 0, 0, 0, 0);
}

/* A line into the kernel's log. It also ends a line before it that had no end. */
static void mark(const char *text, long number)
{
	struct line line = { .n = 0 };
	long file = opened("/dev/kmsg", WRITE_ONLY);

	add(&line, "<6>kmodlab: ");
	add(&line, text);
	add_number(&line, number);
	line.text[line.n++] = '\n';
	ask(WRITE, file, (long)line.text, line.n, 0, 0);
	ask(CLOSE, file, 0, 0, 0, 0);
}

/* Reports the log's new lines; they come as "priority,sequence,time,flags;text\n KEY=value\n". */
static void say_log(int is_said)
{
	static char record[9000];
	long got;

	for (;;) {
		char *text = record;

		got = ask(READ, log_file, (long)record, sizeof(record) - 1, 0, 0);
		/* EPIPE: the oldest lines were overwritten. */
		if (got == -32)
			continue;
		if (got <= 0)
			return;
		record[got] = 0;
		while (*text && *text != ';')
			text++;
		if (is_said && *text)
			say("l ", text + 1);
	}
}

/* What the trace has of the loader; the text behind "module_load: ", or nothing. */
static const char *accepted(void)
{
	static const char event[] = "module_load: ";
	static char seen[8192], found[200];
	long got, is_found = 0;

	while ((got = ask(READ, trace, (long)seen, sizeof(seen) - 1, 0, 0)) > 0) {
		seen[got] = 0;
		for (char *at = seen; *at && !is_found; at++) {
			unsigned long n = 0;

			while (event[n] && at[n] == event[n])
				n++;
			if (event[n])
				continue;
			for (at += n, n = 0; at[n] && at[n] != '\n' && n < sizeof(found) - 1; n++)
				found[n] = at[n];
			found[n] = 0;
			is_found = 1;
			break;
		}
	}
	return is_found ? found : 0;
}

struct trial {
	long number, flags;
	int keeps;
	const char *file, *name;
};

/* One trial, in a process of its own, which an oops may end. Its status: 0, or 1 if the module stays in the kernel. */
static int attempt(const struct trial *trial)
{
	char path[300] = "/m/", taint[100], name[100];
	struct line line = { .n = 0 };
	const char *event;
	unsigned long n;
	long file, result;

	add(&line, path);
	add(&line, trial->file);
	line.text[line.n] = 0;
	file = opened(line.text, READ_ONLY);
	if (file < 0) {
		say_number("r cannot open the module: ", -file);
		return 0;
	}
	result = ask(LOAD_MODULE, file, (long)"", trial->flags, 0, 0);
	say_number("r ", -result);
	ask(CLOSE, file, 0, 0, 0, 0);
	event = accepted();
	if (event)
		say("t ", event);
	if (result)
		return 0;
	/* The name that the loader says, which may be another than the file's. */
	for (n = 0; event && event[n] && event[n] != ' ' && n < sizeof(name) - 1; n++)
		name[n] = event[n];
	name[n] = 0;
	line.n = 0;
	add(&line, "/sys/module/");
	add(&line, name);
	add(&line, "/taint");
	line.text[line.n] = 0;
	if (content(line.text, taint, sizeof(taint)) >= 0)
		say("a ", taint);
	result = ask(DELETE_MODULE, (long)name, NO_WAIT, 0, 0, 0);
	say_number("u ", -result);
	return result != 0;
}

static long taint_now(void)
{
	char text[32];
	long n = 0;

	content("/proc/sys/kernel/tainted", text, sizeof(text));
	for (char *at = text; *at >= '0' && *at <= '9'; at++)
		n = n * 10 + *at - '0';
	return n;
}

/* The next word of the list, ended by a NUL; the list goes on behind it. */
static char *word(char **list)
{
	char *begin = *list, *at = begin;

	while (*at && *at != ' ' && *at != '\n')
		at++;
	if (*at)
		*at++ = 0;
	*list = at;
	return begin;
}

static long number(const char *text)
{
	long n = 0;

	while (*text >= '0' && *text <= '9')
		n = n * 10 + *text++ - '0';
	return n;
}

/* Runs a trial and reports it; the process's status as wait4(2) has it, or -1 if it did not end. */
static int run(const struct trial *trial)
{
	struct line line = { .n = 0 };
	const char *event;
	long child, before = taint_now();
	int status = 0, step, ended = 0;

	lines = 0;
	say_number("s ", trial->number);
	mark("begin ", trial->number);
	say_log(0);
#if defined(__s390x__)
	child = ask(CLONE, 0, CHILD_ENDS, 0, 0, 0);
#else
	child = ask(CLONE, CHILD_ENDS, 0, 0, 0, 0);
#endif
	if (child == 0) {
		lines = 0;
		status = attempt(trial);
		say_number("c ", lines);
		for (;;)
			ask(EXIT, status, 0, 0, 0, 0);
	}
	/* 20 s, by the guest's own clock. */
	for (step = 0; step < 1200; step++) {
		ended = ask(WAIT, child, (long)&status, 1, 0, 0) == child;
		if (ended)
			break;
		wait_ms(step < 200 ? 1 : 20);
	}
	/* What the child did not come to. */
	event = accepted();
	if (event)
		say("t ", event);
	mark("end ", trial->number);
	say_log(1);
	add(&line, "w ");
	add_number(&line, before);
	add(&line, " ");
	add_number(&line, taint_now());
	send(&line);
	line.n = 0;
	add(&line, "e ");
	add_number(&line, trial->number);
	add(&line, " ");
	add_number(&line, lines);
	add(&line, " ");
	add_number(&line, ended ? status : -1);
	send(&line);
	return ended ? status : -1;
}

static void stop(void)
{
	say("z", "");
	/* RESTART: QEMU ends, where it is told not to start again. */
	ask(REBOOT, (long)0xfee1dead, 672274793, 0x01234567, 0, 0);
	for (;;)
		wait_ms(1000);
}

static char list[1 << 18];
static const char *kept[256];

static void main_process(void)
{
	static char version[300];
	char *at = list;
	int kept_count = 0;

	ask(MAKE_FOLDER_AT, FOLDER, (long)"/dev", 0755, 0, 0);
	ask(MAKE_FOLDER_AT, FOLDER, (long)"/proc", 0755, 0, 0);
	ask(MAKE_FOLDER_AT, FOLDER, (long)"/sys", 0755, 0, 0);
	ask(MOUNT, (long)"d", (long)"/dev", (long)"devtmpfs", 0, 0);
	ask(MOUNT, (long)"p", (long)"/proc", (long)"proc", 0, 0);
	ask(MOUNT, (long)"s", (long)"/sys", (long)"sysfs", 0, 0);
	ask(MOUNT, (long)"t", (long)"/sys/kernel/tracing", (long)"tracefs", 0, 0);
	content("/list", list, sizeof(list));
	port = opened(word(&at), 2 /* O_RDWR */);
	content("/proc/sys/kernel/osrelease", version, sizeof(version));
	say("b ", version);
	log_file = opened("/dev/kmsg", READ_ONLY | NO_WAIT);
	put("/sys/kernel/tracing/events/module/module_load/enable", "1");
	trace = opened("/sys/kernel/tracing/trace_pipe", READ_ONLY | NO_WAIT);
	if (log_file < 0 || trace < 0)
		say_number("x no log or no trace: ", trace);
	put("/proc/sys/kernel/printk_devkmsg", "on");
	say_log(0);
	while (*at) {
		struct trial trial;
		int status, is_taken = 0;

		trial.number = number(word(&at));
		trial.file = word(&at);
		trial.flags = number(word(&at));
		trial.keeps = number(word(&at));
		trial.name = word(&at);
		for (int n = 0; n < kept_count; n++)
			is_taken |= same(kept[n], trial.name);
		if (is_taken) {
			say_number("k ", trial.number);
			continue;
		}
		status = run(&trial);
		if (status == 0x100 && !trial.keeps && kept_count < 256)
			kept[kept_count++] = trial.name;
		else if (status)
			break;
	}
	stop();
}

#if defined(__x86_64__) || defined(__i386__)
__attribute__((force_align_arg_pointer))
#endif
void _start(void)
{
	main_process();
	for (;;)
		;
}
