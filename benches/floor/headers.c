/* The minimum that a scan needs: walks a folder, opens each module, reads its ELF header and its section headers. It
 * interprets nothing and prints only their number. On two threads, or THREADS.
 *
 *   cc -O2 -pthread -o headers benches/floor/headers.c && ./headers FOLDER [THREADS]
 */
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <fts.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 8, LONGEST = 4096 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static FTS *walk;
static long files, headers;

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* The next modules, sorted as a scan has them. */
static int fetch(char paths[BATCH][LONGEST])
{
	int count = 0;
	FTSENT *entry;

	pthread_mutex_lock(&lock);
	while (count < BATCH && walk && (entry = fts_read(walk)))
		if ((entry->fts_info == FTS_NSOK || entry->fts_info == FTS_F) && entry->fts_namelen > 3 &&
		    !strcmp(entry->fts_name + entry->fts_namelen - 3, ".ko"))
			snprintf(paths[count++], LONGEST, "%s", entry->fts_path);
	if (count < BATCH)
		walk = NULL;
	pthread_mutex_unlock(&lock);
	return count;
}

static void *work(void *unused)
{
	static __thread char paths[BATCH][LONGEST], table[1 << 20];
	long files_here = 0, headers_here = 0;
	int count, i;

	while ((count = fetch(paths)) > 0)
		for (i = 0; i < count; i++) {
			Elf64_Ehdr header;
			int fd = open(paths[i], O_RDONLY | O_CLOEXEC | O_NOATIME);

			if (fd < 0)
				fd = open(paths[i], O_RDONLY | O_CLOEXEC);
			if (fd < 0 || pread(fd, &header, sizeof header, 0) != sizeof header) {
				perror(paths[i]);
				exit(1);
			}
			if (pread(fd, table, (size_t)header.e_shnum * header.e_shentsize, header.e_shoff) <= 0) {
				perror(paths[i]);
				exit(1);
			}
			close(fd);
			files_here++;
			headers_here += header.e_shnum;
		}
	pthread_mutex_lock(&lock);
	files += files_here;
	headers += headers_here;
	pthread_mutex_unlock(&lock);
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t threads[64];
	int count = argc > 2 ? atoi(argv[2]) : 2, i;

	if (argc < 2 || count < 1 || count > 64) {
		fprintf(stderr, "usage: headers FOLDER [THREADS]\n");
		return 2;
	}
	walk = fts_open((char *[]){ argv[1], NULL }, FTS_PHYSICAL | FTS_NOSTAT | FTS_NOCHDIR, by_name);
	if (!walk) {
		perror(argv[1]);
		return 1;
	}
	for (i = 0; i < count; i++)
		if (pthread_create(&threads[i], NULL, work, NULL))
			return 1;
	for (i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	printf("%ld files, %ld section headers\n", files, headers);
	return 0;
}
