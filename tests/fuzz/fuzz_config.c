/* SPDX-License-Identifier: MIT */
/*
 * Command lines and configuration files of any content.
 *
 * The input is text: the command, "run" or "vhost-user", then one word of its command
 * line on each line, then an empty line and the configuration file, which may be
 * missing. What is accepted has to lie within the bounds of the option table, whichever
 * way it came; what is refused has to say why in one line.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "src/cli/netcfg.h"
#include "src/cli/options.h"
#include "tests/fuzz/fuzz.h"

#define WORDS_MAX 64
#define WHY_LEN	  256

const struct fuzz_target fuzz_target = {
	.name = "config",
	.done = "configurations accepted",
	.refused = "refused",
	.floor = 12,
	.alloc_one = 16384,
	.alloc_all = 65536,
	.alloc_per_byte = 512, /* a word of a list is a node, a string and a rule */
};

/**
 * struct words - a command line
 * @text:	what it lies in; each word ends in NUL there
 */
struct words {
	char *text;
	char *argv[WORDS_MAX + 2];
	int argc;
};

/* No file of this machine is read: --config is ours. */
static bool is_config(const char *word)
{
	return strncmp(word, "--config", 8) == 0;
}

/* Take the lines up to the empty one. Return: what is behind it, or NULL */
static const char *read_words(struct words *w, char *at)
{
	while (at && *at && *at != '\n') {
		char *end = strchr(at, '\n');

		if (end)
			*end = 0;
		if (!is_config(at) && w->argc < WORDS_MAX)
			w->argv[w->argc++] = at;
		at = end ? end + 1 : NULL;
	}
	return at && *at ? at + 1 : NULL;
}

static uint64_t number_at(const struct run_options *o, const struct option_def *d)
{
	const uint8_t *p = (const uint8_t *)o + d->offset;
	uint64_t u64 = 0;
	uint32_t u32;
	uint16_t u16;

	switch (d->type) {
	case OPT_U16:
		memcpy(&u16, p, sizeof(u16));
		return u16;
	case OPT_BYTES64:
		memcpy(&u64, p, sizeof(u64));
		return u64;
	default:
		memcpy(&u32, p, sizeof(u32));
		return u32;
	}
}

static bool is_number(const struct option_def *d)
{
	return d->type == OPT_U16 || d->type == OPT_U32 || d->type == OPT_BYTES32 ||
	       d->type == OPT_BYTES64 || d->type == OPT_U32_OFF || d->type == OPT_WORD;
}

static void check_row(const struct run_options *o, const struct option_def *d)
{
	uint64_t max = d->max, v;
	char shown[64];

	memset(shown, 0x55, sizeof(shown));
	option_show(d, o, shown, sizeof(shown));
	FUZZ_CHECK(memchr(shown, 0, sizeof(shown)), "--%s", d->name);
	if (d->type == OPT_CHARS)
		FUZZ_CHECK(memchr((const uint8_t *)o + d->offset, 0, d->max), "--%s", d->name);
	if (!is_number(d))
		return;
	v = number_at(o, d);
	for (max = d->words ? 0 : d->max; d->words && d->words[max + 1]; max++)
		;
	/* 0 is the kernel's choice, or "off". */
	FUZZ_CHECK(v <= max, "--%s: %llu", d->name, (unsigned long long)v);
	FUZZ_CHECK(v >= d->min || (v == 0 && (d->type == OPT_BYTES32 || d->type == OPT_U32_OFF)),
		   "--%s: %llu", d->name, (unsigned long long)v);
}

static void check_accepted(struct run_options *o, enum command command)
{
	if (o->help)
		return;
	for (size_t i = 0; i < option_rows; i++)
		if (option_table[i].name && option_table[i].commands & 1U << command)
			check_row(o, &option_table[i]);
	FUZZ_CHECK(o->npublish <= RUN_PUBLISH_MAX && o->nenv <= RUN_ENV_MAX &&
		   o->ndns_name <= RUN_NAMES_MAX && o->stack.nresolvers <= STACK_RESOLVERS_MAX &&
		   o->stack.nsplice_to <= STACK_SPLICE_TO_MAX);
	for (uint32_t i = 0; i < o->nenv; i++)
		FUZZ_CHECK(strchr(o->env[i], '='), "%s", o->env[i]);
}

static void check_refusal(const char *why)
{
	FUZZ_CHECK(memchr(why, 0, WHY_LEN) && why[0]);
	FUZZ_CHECK(!strchr(why, '\n'), "more than a line: %s", why);
}

/* The file's name, good while @fd is open. */
static int make_file(const char *text, char *name, size_t len)
{
	size_t n = strlen(text);
	int fd = memfd_create("config", MFD_CLOEXEC);

	FUZZ_CHECK(fd >= 0, "%s", strerror(errno));
	FUZZ_CHECK(write(fd, text, n) == (ssize_t)n);
	snprintf(name, len, "/proc/self/fd/%d", fd);
	return fd;
}

void fuzz_one(const uint8_t *data, size_t len)
{
	char name[64], why[WHY_LEN], option[] = "--config";
	struct words w = { .text = malloc(len + 1) };
	enum command command;
	const char *file;
	struct run_options o;
	char *at = w.text;
	int fd = -1;

	FUZZ_CHECK(w.text, "out of memory");
	memcpy(w.text, data, len);
	w.text[len] = 0;
	command = at[0] == 'v' ? COMMAND_VHOST_USER : COMMAND_RUN;
	at = strchr(at, '\n');
	file = read_words(&w, at ? at + 1 : NULL);
	if (file) {
		fd = make_file(file, name, sizeof(name));
		memmove(w.argv + 2, w.argv, sizeof(w.argv) - 2 * sizeof(w.argv[0]));
		w.argv[0] = option;
		w.argv[1] = name;
		w.argc += 2;
	}
	memset(why, 0x55, sizeof(why));
	run_options_defaults(&o);
	if (run_options_parse(&o, command, w.argc, w.argv, why, sizeof(why)) == 0) {
		check_accepted(&o, command);
		fuzz_work.done++;
	} else {
		check_refusal(why);
		fuzz_work.refused++;
	}
	run_options_free(&o);
	if (fd >= 0)
		close(fd);
	free(w.text);
}
