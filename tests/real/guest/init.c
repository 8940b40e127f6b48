/*
 * The witness: PID 1 of a guest, alone in its initramfs with the modules. It loads what it is told to, one module after
 * the other, and reports what the kernel answered.
 *
 * Second serial port, a line each way:
 *   in   ID FLAGS PATH
 *   out  {"ready":"5.10.0-..."} once, then for each command
 *        {"id":..,"errno":..,"accepted":..,"log":[..],"taint_before":..,"taint_after":..,"signal":..,"timeout":..}
 *
 * errno is that of finit_module, 0 if it returned 0, -1 if it never returned. accepted: the trace event
 * module:module_load was seen, which the loader sends when all its checks are passed and before the module's own init
 * runs (kernel/module.c, load_module). log: the lines that the kernel logged meanwhile.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_SECONDS 10
#define EVENT "/sys/kernel/tracing/events/module/module_load/enable"
#define TRACE "/sys/kernel/tracing/trace"

static int port = -1, console = -1, kmsg = -1;

static void complain(const char *what)
{
	dprintf(console, "witness: %s: %s\n", what, strerror(errno));
}

/* PID 1 must not end: it says why and waits for its host to lose patience. */
static void give_up(const char *what)
{
	complain(what);
	for (;;)
		pause();
}

/* What is said is gathered here, and written in one go. */
static char *said;
static size_t said_len, said_room;

static void say(const char *text, size_t len)
{
	if (said_len + len > said_room) {
		said_room = (said_len + len) * 2;
		said = realloc(said, said_room);
		if (!said)
			give_up("realloc");
	}
	memcpy(said + said_len, text, len);
	said_len += len;
}

static void say_text(const char *text)
{
	say(text, strlen(text));
}

/* JSON's string; a byte beyond ASCII stands for the character of its number. */
static void say_string(const char *text, size_t len)
{
	say_text("\"");
	for (size_t i = 0; i < len; i++) {
		unsigned char c = text[i];
		char escaped[8];

		if (c < ' ' || c > '~' || c == '"' || c == '\\') {
			snprintf(escaped, sizeof(escaped), "\\u%04x", c);
			say_text(escaped);
		} else {
			say(text + i, 1);
		}
	}
	say_text("\"");
}

static void send_said(void)
{
	say_text("\n");
	for (size_t at = 0; at < said_len;) {
		ssize_t n = write(port, said + at, said_len - at);

		if (n < 0 && errno != EINTR)
			give_up("write to the result port");
		if (n > 0)
			at += n;
	}
	said_len = 0;
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The text of a record of /dev/kmsg ("priority,sequence,time,flags;text\n KEY=value\n"), its \xNN undone. */
static size_t text_of(char *record, size_t len, char **text)
{
	char *end = record + len, *from = memchr(record, ';', len), *to;

	if (!from)
		return 0;
	*text = to = ++from;
	while (from < end && *from != '\n') {
		if (end - from >= 4 && from[0] == '\\' && from[1] == 'x' && hex(from[2]) >= 0 && hex(from[3]) >= 0) {
			*to++ = hex(from[2]) * 16 + hex(from[3]);
			from += 4;
		} else {
			*to++ = *from++;
		}
	}
	return to - *text;
}

/* Reads the log to its end; says its lines if asked to. */
static void read_log(int is_said)
{
	static char record[16384];
	int is_first = 1;

	for (;;) {
		ssize_t n = read(kmsg, record, sizeof(record));
		char *text, *line;
		size_t len;

		if (n < 0 && (errno == EPIPE || errno == EINTR))
			continue; /* records were overwritten: the next read goes on with what is there */
		if (n <= 0)
			return;
		if (!is_said)
			continue;
		len = text_of(record, n, &text);
		/* One message may be several lines. */
		while ((line = memchr(text, '\n', len)) || len) {
			size_t one = line ? (size_t)(line - text) : len;

			if (!is_first)
				say_text(",");
			is_first = 0;
			say_string(text, one);
			text += one + !!line;
			len -= one + !!line;
		}
	}
}

static long taint(void)
{
	char text[32] = "";
	int fd = open("/proc/sys/kernel/tainted", O_RDONLY);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		give_up("/proc/sys/kernel/tainted");
	close(fd);
	return atol(text);
}

/* Whether an event is in the trace: a line that is no comment. */
static int is_traced(void)
{
	FILE *trace = fopen(TRACE, "r");
	char line[1024];
	int found = 0;

	if (!trace)
		give_up(TRACE);
	while (fgets(line, sizeof(line), trace))
		found |= !!strstr(line, "module_load:");
	fclose(trace);
	return found;
}

static void forget_trace(void)
{
	int fd = open(TRACE, O_WRONLY | O_TRUNC);

	if (fd < 0)
		give_up(TRACE);
	close(fd);
}

static void say_number(const char *name, long value)
{
	char text[64];

	snprintf(text, sizeof(text), ",\"%s\":%ld", name, value);
	say_text(text);
}

/* The errno comes back through the pipe, so that "no answer" is not mistaken for 0. */
static void load(const char *id, int flags, const char *path)
{
	int answer[2], code = -1, status = 0, timed_out = 1;
	long before;
	pid_t child;

	forget_trace();
	read_log(0);
	before = taint();
	if (pipe(answer))
		give_up("pipe");
	child = fork();
	if (child < 0)
		give_up("fork");
	if (!child) {
		int fd = open(path, O_RDONLY | O_CLOEXEC), result;

		if (fd < 0) {
			complain(path);
			_exit(1);
		}
		result = syscall(SYS_finit_module, fd, "", flags) ? errno : 0;
		if (write(answer[1], &result, sizeof(result)) != sizeof(result))
			_exit(1);
		_exit(0);
	}
	close(answer[1]);
	for (int i = 0; i < LIMIT_SECONDS * 200; i++) {
		if (waitpid(child, &status, WNOHANG) == child) {
			timed_out = 0;
			break;
		}
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	}
	if (!timed_out && read(answer[0], &code, sizeof(code)) != sizeof(code))
		code = -1;
	close(answer[0]);
	if (timed_out)
		kill(child, SIGKILL);

	say_text("{\"id\":");
	say_string(id, strlen(id));
	say_number("errno", code);
	say_text(is_traced() ? ",\"accepted\":true" : ",\"accepted\":false");
	say_text(",\"log\":[");
	read_log(1);
	say_text("]");
	say_number("taint_before", before);
	say_number("taint_after", taint());
	say_number("signal", !timed_out && WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	say_text(timed_out ? ",\"timeout\":true}" : ",\"timeout\":false}");
	send_said();
}

static void mount_on(const char *kind, const char *path)
{
	mkdir(path, 0755);
	/* EBUSY: the kernel mounted devtmpfs itself. */
	if (mount(kind, path, kind, 0, "") && errno != EBUSY)
		give_up(path);
}

static void command(char *line)
{
	char *id = strtok(line, " "), *flags = strtok(NULL, " "), *path = strtok(NULL, "");

	if (!id || !flags || !path)
		return;
	load(id, atoi(flags), path);
}

int main(void)
{
	struct termios raw;
	struct utsname name;
	FILE *commands;
	char line[4096];
	int fd;

	mount_on("devtmpfs", "/dev");
	console = open("/dev/console", O_WRONLY | O_NOCTTY);
	mount_on("proc", "/proc");
	mount_on("sysfs", "/sys");
	mount_on("tracefs", "/sys/kernel/tracing");
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	if (kmsg < 0)
		give_up("/dev/kmsg");
	port = open("/dev/ttyS1", O_RDWR | O_NOCTTY);
	if (port < 0 || tcgetattr(port, &raw))
		give_up("/dev/ttyS1");
	cfmakeraw(&raw);
	cfsetspeed(&raw, B115200);
	raw.c_cflag |= CLOCAL;
	if (tcsetattr(port, TCSANOW, &raw))
		give_up("/dev/ttyS1");
	fd = open(EVENT, O_WRONLY);
	if (fd < 0 || write(fd, "1", 1) != 1)
		give_up(EVENT);
	close(fd);
	if (uname(&name))
		give_up("uname");
	say_text("{\"ready\":");
	say_string(name.release, strlen(name.release));
	say_text("}");
	send_said();
	commands = fdopen(dup(port), "r");
	while (commands && fgets(line, sizeof(line), commands)) {
		line[strcspn(line, "\n")] = 0;
		command(line);
	}
	give_up("the result port is closed");
	return 0;
}
