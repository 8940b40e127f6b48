/*
 * A first process that lies: instead of the agent it says over the result port what no agent would. What it does, the
 * name of the module in the order tells; tests/guests/vm/hostile.rs gives the orders.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

static int port;

static unsigned crc32_of(const char *text)
{
	unsigned crc = ~0u;

	for (; *text; text++) {
		crc ^= (unsigned char)*text;
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
	}
	return ~crc;
}

/* A record as the agent makes them; everything about it fits. */
static void record(int seq, const char *body)
{
	dprintf(port, "{\"seq\":%d,\"crc\":%u,\"body\":%s}\n", seq, crc32_of(body), body);
}

static void forever(void)
{
	for (;;)
		pause();
}

static int is(const char *order, const char *name)
{
	char text[64];

	snprintf(text, sizeof(text), "\"name\":\"%s\"", name);
	return !!strstr(order, text);
}

int main(void)
{
	static char order[4096], flood[65536];
	struct termios raw;
	int console;

	mount("devtmpfs", "/dev", "devtmpfs", 0, "");
	console = open("/dev/console", O_WRONLY | O_NOCTTY);
	port = open("/dev/ttyS1", O_RDWR | O_NOCTTY);
	if (port < 0 || tcgetattr(port, &raw))
		forever();
	cfmakeraw(&raw);
	tcsetattr(port, TCSANOW, &raw);
	record(0, "{\"say\":\"ready\",\"release\":\"a liar\",\"traces\":true}");
	/* It comes in pieces. */
	for (size_t len = 0; !strchr(order, '\n');) {
		ssize_t n = read(port, order + len, sizeof(order) - 1 - len);

		if (n <= 0)
			forever();
		len += n;
	}
	memset(flood, 'A', sizeof(flood));
	if (is(order, "says-nothing"))
		forever();
	if (is(order, "floods-the-console"))
		for (;;)
			if (write(console, flood, sizeof(flood)) < 0)
				forever();
	if (is(order, "never-ends-a-line"))
		for (;;)
			if (write(port, flood, sizeof(flood)) < 0)
				forever();
	if (is(order, "beats-for-ever"))
		for (int seq = 1;; seq++) {
			record(seq, "{\"say\":\"beat\"}");
			usleep(100000);
		}
	if (is(order, "never-stops-talking")) {
		static char log[20000];

		snprintf(log, sizeof(log), "{\"say\":\"log\",\"phase\":\"load\",\"lines\":[\"%.*s\"]}", 10000, flood);
		for (int seq = 1;; seq++)
			record(seq, log);
	}
	if (is(order, "wrong-number"))
		record(7, "{\"say\":\"begin\",\"trial\":1}");
	if (is(order, "wrong-checksum"))
		dprintf(port, "{\"seq\":1,\"crc\":1,\"body\":{\"say\":\"begin\",\"trial\":1}}\n");
	if (is(order, "another-trial"))
		record(1, "{\"say\":\"begin\",\"trial\":2}");
	if (is(order, "no-json"))
		dprintf(port, "\x1b[2Jhello\n");
	if (is(order, "loaded-before-it-began"))
		record(1, "{\"say\":\"loaded\",\"errno\":0,\"accepted\":true,\"init\":{\"init\":\"returned\",\"returned\":0},"
			  "\"state\":null}");
	if (is(order, "unknown-record"))
		record(1, "{\"say\":\"all is well\"}");
	if (is(order, "ends"))
		return 0;
	forever();
}
