/*
 * The first process of a guest that loads many module files one after the other, by the kernel's own call or by a given
 * program, and writes down what comes of each. tests/guests/vm/insmod.rs builds, starts and reads it.
 *
 * /trials has a line per trial: number, flags of finit_module(2) or "-" for a program, file, module, and for a program its
 * words. /dev/ttyS1 gets for each trial the lines "trial NUMBER", "log TEXT" (the kernel's), "says TEXT" (the program's
 * standard error), and at last "ends ERRNO TAINT" (the module's own taint; "." if it is not loaded).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static FILE *port;
static int records;

/* Passes the kernel's records on, up to the newest one; or over them. */
static void log_lines(int wanted)
{
	static char record[8192];
	ssize_t length;

	for (;;) {
		length = read(records, record, sizeof(record) - 1);
		if (length < 0 && errno == EPIPE)
			continue;
		if (length <= 0)
			return;
		record[length] = 0;
		char *text = strchr(record, ';');
		if (!text || !wanted)
			continue;
		text[strcspn(text, "\n")] = 0;
		fprintf(port, "log %s\n", text + 1);
	}
}

/* Runs a program, and passes on what it complains about. Its exit status is all that it says of the outcome. */
static int run(char **words)
{
	static char text[8192];
	int ends[2], status = 0;
	size_t have = 0;
	ssize_t more;

	if (pipe(ends))
		return errno;
	pid_t child = fork();
	if (!child) {
		char *nothing[] = {"PATH=/", NULL};

		dup2(ends[1], 2);
		close(ends[0]);
		close(ends[1]);
		execve(words[0], words, nothing);
		perror(words[0]);
		_exit(127);
	}
	close(ends[1]);
	while (have < sizeof(text) - 1 && (more = read(ends[0], text + have, sizeof(text) - 1 - have)) > 0)
		have += more;
	close(ends[0]);
	text[have] = 0;
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		fprintf(port, "says %s\n", line);
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void trial(char *line)
{
	char *words[32], path[256], taint[64] = ".";
	int count = 0, error;

	for (char *word = strtok(line, " \n"); word && count < 31; word = strtok(NULL, " \n"))
		words[count++] = word;
	words[count] = NULL;
	if (count < 4)
		return;
	/* Some messages end without a newline and would come with the next record. */
	int kmsg = open("/dev/kmsg", O_WRONLY);
	dprintf(kmsg, "trial %s\n", words[0]);
	close(kmsg);
	log_lines(0);
	fprintf(port, "trial %s\n", words[0]);
	if (!strcmp(words[1], "-")) {
		error = run(words + 4);
	} else {
		int file = open(words[2], O_RDONLY);

		error = syscall(SYS_finit_module, file, "", atoi(words[1])) ? errno : 0;
		close(file);
	}
	log_lines(1);
	snprintf(path, sizeof(path), "/sys/module/%s/taint", words[3]);
	FILE *state = fopen(path, "r");
	if (state) {
		strcpy(taint, "-");
		if (fscanf(state, "%63s", taint) != 1)
			strcpy(taint, "-");
		fclose(state);
		syscall(SYS_delete_module, words[3], O_NONBLOCK);
	}
	fprintf(port, "ends %d %s\n", error, taint);
	fflush(port);
}

int main(void)
{
	static char line[4096];

	mkdir("/dev", 0755);
	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	port = fopen("/dev/ttyS1", "w");
	records = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	FILE *trials = fopen("/trials", "r");
	if (!port || records < 0 || !trials) {
		perror("insmod: /dev/ttyS1, /dev/kmsg, /trials");
		sleep(1);
		return 1;
	}
	while (fgets(line, sizeof(line), trials))
		trial(line);
	fprintf(port, "over\n");
	fflush(port);
	sync();
	sleep(1);
	reboot(RB_AUTOBOOT);
	return 0;
}
