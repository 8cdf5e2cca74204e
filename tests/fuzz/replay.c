/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target without libFuzzer: each seed, which has to do its work, then
 * mutations of the seeds. Everything follows from the seeds and a number, so two runs
 * are the same. An input that ends the program is left in a file that is named.
 *
 *	replay_NAME			what `make check` does
 *	replay_NAME FILE...		these inputs only
 *	FUZZ_MUTATIONS=N replay_NAME	more or fewer of them
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

#define MUTATIONS 3000
#define SEEDS_MAX 1024
#define INPUT_MAX (1U << 20)

struct input {
	char name[256];
	uint8_t *data;
	size_t len;
};

static struct input seeds[SEEDS_MAX];
static size_t nseeds;

/* What is being run. */
static struct input now;

/* Only what a signal handler may call. */
static void on_death(int signo)
{
	char path[128];
	int fd, n = snprintf(path, sizeof(path), "/tmp/fuzz-%s-%d", fuzz_target.name, getpid());

	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (n > 0 && fd >= 0 && write(fd, now.data, now.len) == (ssize_t)now.len)
		fprintf(stderr, "%s: ended by %s, which is in %s\n", fuzz_target.name, now.name,
			path);
	signal(signo, SIG_DFL);
	raise(signo);
}

static void catch_deaths(void)
{
	static const int deaths[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL };

	for (size_t i = 0; i < ARRAY_SIZE(deaths); i++)
		signal(deaths[i], on_death);
}

static void load(struct input *in, const char *path, const char *name)
{
	FILE *f = fopen(path, "rb");

	if (!f) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(1);
	}
	snprintf(in->name, sizeof(in->name), "%s", name);
	in->data = malloc(INPUT_MAX);
	FUZZ_CHECK(in->data, "out of memory");
	in->len = fread(in->data, 1, INPUT_MAX, f);
	in->data = realloc(in->data, in->len ? in->len : 1);
	fclose(f);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct input *)a)->name, ((const struct input *)b)->name);
}

static void load_seeds(void)
{
	char path[768], dir[300];
	const struct dirent *e;
	DIR *d;

	snprintf(dir, sizeof(dir), "tests/fuzz/corpus/%s", fuzz_target.name);
	d = opendir(dir);
	while (d && (e = readdir(d)) && nseeds < SEEDS_MAX) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		load(&seeds[nseeds++], path, e->d_name);
	}
	if (d)
		closedir(d);
	qsort(seeds, nseeds, sizeof(*seeds), by_name);
}

/* On memory of its exact size, so that a sanitizer sees what reads beyond it. */
static void run(const struct input *in)
{
	uint8_t *copy = malloc(in->len ? in->len : 1);

	FUZZ_CHECK(copy, "out of memory");
	memcpy(copy, in->data, in->len);
	now = *in;
	LLVMFuzzerTestOneInput(copy, in->len);
	free(copy);
}

/* Does the seed do what its name says? */
static bool works(const struct input *in)
{
	const struct fuzz_work before = fuzz_work;
	uint64_t done, refused;

	run(in);
	done = fuzz_work.done - before.done;
	refused = fuzz_work.refused - before.refused;
	if (strncmp(in->name, "bad-", 4) == 0 ? refused > 0 : done > 0)
		return true;
	printf("FAIL fuzz-%s-seeds-work %s: %llu %s, %llu %s\n", fuzz_target.name, in->name,
	       (unsigned long long)done, fuzz_target.done, (unsigned long long)refused,
	       fuzz_target.refused);
	return false;
}

/* --- mutations ---------------------------------------------------------------- */

static uint64_t rng;

static uint32_t below(uint32_t n)
{
	rng ^= rng >> 12;
	rng ^= rng << 25;
	rng ^= rng >> 27;
	return (uint32_t)((rng * 0x2545f4914f6cdd1dULL) >> 33) % n;
}

static const struct input *any_seed(void)
{
	return &seeds[below((uint32_t)nseeds)];
}

/* Move what is behind @at by @by bytes; what comes free is noise. */
static void open_gap(uint8_t *b, size_t *len, size_t at, size_t by)
{
	if (*len + by > INPUT_MAX)
		return;
	memmove(b + at + by, b + at, *len - at);
	for (size_t i = 0; i < by; i++)
		b[at + i] = (uint8_t)below(256);
	*len += by;
}

static void close_gap(uint8_t *b, size_t *len, size_t at, size_t by)
{
	by = MIN(by, *len - at);
	memmove(b + at, b + at + by, *len - at - by);
	*len -= by;
}

static void overwrite_from(uint8_t *b, size_t len, size_t at, const struct input *from)
{
	size_t n = below(64) + 1, start;

	if (from->len == 0)
		return;
	start = below((uint32_t)from->len);
	n = MIN(n, from->len - start);
	n = MIN(n, len - at);
	memcpy(b + at, from->data + start, n);
}

static void mutate_once(uint8_t *b, size_t *len)
{
	static const uint8_t edges[] = { 0, 1, 0x7f, 0x80, 0xff };
	size_t at = *len ? below((uint32_t)*len) : 0;

	switch (*len ? below(7) : 0) {
	case 0:
		open_gap(b, len, at, 1 + below(16));
		break;
	case 1:
		close_gap(b, len, at, 1 + below(16));
		break;
	case 2:
		b[at] = (uint8_t)(b[at] ^ 1U << below(8));
		break;
	case 3:
		b[at] = edges[below(ARRAY_SIZE(edges))];
		break;
	case 4:
		overwrite_from(b, *len, at, any_seed());
		break;
	case 5:
		*len = at; /* cut short */
		break;
	case 6:
		b[at] = (uint8_t)(b[at] + below(35) - 17);
		break;
	default:
		break;
	}
}

static void mutate(uint64_t n)
{
	static uint8_t buf[INPUT_MAX];

	for (uint64_t i = 0; i < n; i++) {
		struct input in = { .data = buf };
		const struct input *from;

		rng = i * 0x9e3779b97f4a7c15ULL + 1;
		from = any_seed();
		memcpy(buf, from->data, from->len);
		in.len = from->len;
		for (uint32_t k = 1 + below(6); k > 0; k--)
			mutate_once(buf, &in.len);
		snprintf(in.name, sizeof(in.name), "mutation %llu of %.128s", (unsigned long long)i,
			 from->name);
		run(&in);
	}
}

static int replay_files(int n, char **path)
{
	for (int i = 0; i < n; i++) {
		struct input in = { .len = 0 };

		load(&in, path[i], path[i]);
		run(&in);
		free(in.data);
	}
	return 0;
}

static void free_seeds(void)
{
	for (size_t i = 0; i < nseeds; i++)
		free(seeds[i].data);
}

int main(int argc, char **argv)
{
	const char *wish = getenv("FUZZ_MUTATIONS");
	bool ok = true;

	setvbuf(stdout, NULL, _IOLBF, 0);
	load_seeds(); /* before the target goes anywhere */
	catch_deaths();
	LLVMFuzzerInitialize(&argc, &argv);
	if (argc > 1) {
		free_seeds();
		return replay_files(argc - 1, argv + 1);
	}
	for (size_t i = 0; i < nseeds; i++)
		ok = works(&seeds[i]) && ok;
	if (ok && fuzz_work.done >= fuzz_target.floor && nseeds) {
		printf("PASS fuzz-%s-seeds-work\n", fuzz_target.name);
	} else if (ok) {
		printf("FAIL fuzz-%s-seeds-work %zu seeds: %llu %s, less than %llu\n",
		       fuzz_target.name, nseeds, (unsigned long long)fuzz_work.done,
		       fuzz_target.done, (unsigned long long)fuzz_target.floor);
		ok = false;
	}
	if (nseeds)
		mutate(wish		       ? strtoull(wish, NULL, 10)
		       : fuzz_target.mutations ? fuzz_target.mutations
					       : MUTATIONS);
	printf("PASS fuzz-%s-mutations\n", fuzz_target.name);
	free_seeds();
	return !ok;
}
