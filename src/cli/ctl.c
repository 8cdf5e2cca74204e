/* SPDX-License-Identifier: MIT */
/*
 * `sluice ctl`: words of the command line become a request, the answer a text.
 *
 * What there is to ask stands in the tables of src/control, which this program
 * has as well as the one that it asks.
 */
#include "src/cli/ctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/cli/ctl_top.h"
#include "src/cli/nearest.h"
#include "src/cli/options.h"
#include "src/control/command.h"

#define WHY_MAX 512

/**
 * struct ctl_options - what stands before the command
 * @words, @nwords:	the command and its arguments
 */
struct ctl_options {
	const char *control;
	bool json, help;
	char **words;
	int nwords;
};

static const char intro[] =
	"usage: sluice ctl [--control PATH] [--json] COMMAND [ARGUMENT...]\n\n"
	"Asks a running `sluice run` or `sluice vhost-user` that was started with\n"
	"--control PATH, or changes it.\n\n"
	"  --control PATH   its socket; else the one that $" CTL_ENV " names\n"
	"  --json           the answer as it came, one line of JSON\n"
	"  --help           this text\n\n"
	"Arguments stand in the order shown, or as NAME=VALUE in any order.\n\n"
	"Commands:\n";

static const char outro[] =
	"\nExamples:\n"
	"  sluice ctl --control /run/vm.ctl status\n"
	"  sluice ctl flows proto=tcp stall=host-full    who does not read what we send?\n"
	"  sluice ctl metrics prometheus                 for a scraper\n"
	"  sluice ctl pcap start x.pcapng limit=100M tcp and port 443\n"
	"  sluice ctl pcap start - snaplen=1500 | tcpdump -nr -\n"
	"  sluice ctl log level debug\n\n"
	"Exit status:\n"
	"  0    done\n"
	"  1    the request was refused, the reason is on standard error\n"
	"  2    the command line was wrong, nothing was asked\n"
	"  3    nobody answers at the socket\n\n"
	"The protocol is one line of JSON each way, for programs of your own:\n"
	"  echo '{\"cmd\":\"status\"}' | nc -NU /run/vm.ctl\n";

static void help_command(const struct ctl_command *cmd, FILE *out)
{
	const int column = 44;
	bool by_name = false;
	int n = fprintf(out, "  %s", cmd->name);

	for (size_t i = 0; i < CTL_PARAMS_MAX && cmd->params[i].name; i++) {
		const char *more = cmd->params[i].rest ? "..." : by_name ? "=" : "";

		n += fprintf(out, cmd->params[i].required ? " %s%s" : " [%s%s]",
			     cmd->params[i].name, more);
		by_name |= cmd->params[i].rest;
	}
	if (n > column - 2) {
		fputc('\n', out);
		n = 0;
	}
	fprintf(out, "%*s%s\n", column - n, "", cmd->help);
	for (size_t i = 0; i < CTL_PARAMS_MAX && cmd->params[i].name; i++)
		fprintf(out, "      %-12s %s\n", cmd->params[i].name, cmd->params[i].help);
}

static void help(FILE *out)
{
	const struct ctl_command *cmd = NULL;

	fputs(intro, out);
	while ((cmd = ctl_command_next(cmd)))
		help_command(cmd, out);
	fputs("  top                                       a live view: rates, flows, drops, "
	      "pools; q "
	      "ends it\n",
	      out);
	fputs(outro, out);
}

static int parse(struct ctl_options *o, int argc, char **argv)
{
	int i;

	*o = (struct ctl_options){ .control = getenv(CTL_ENV) };
	for (i = 0; i < argc && argv[i][0] == '-'; i++) {
		const char *a = argv[i];

		if (strcmp(a, "--json") == 0) {
			o->json = true;
		} else if (strcmp(a, "--help") == 0 || strcmp(a, "-h") == 0) {
			o->help = true;
		} else if (strncmp(a, "--control=", 10) == 0) {
			o->control = a + 10;
		} else if (strcmp(a, "--control") == 0 && i + 1 < argc) {
			o->control = argv[++i];
		} else if (strcmp(a, "--control") == 0) {
			fprintf(stderr, "sluice: %s: needs an argument: PATH\n", a);
			return -EINVAL;
		} else {
			fprintf(stderr, "sluice: %s: no such option; see sluice ctl --help\n", a);
			return -EINVAL;
		}
	}
	o->words = argv + i;
	o->nwords = argc - i;
	return 0;
}

/* The command whose name the first words are; *@used = how many. The longest wins. */
static const struct ctl_command *find(const struct ctl_options *o, int *used)
{
	char name[128] = "";
	const struct ctl_command *best = NULL, *cmd;
	size_t len = 0;

	for (int i = 0; i < o->nwords && i < 3; i++) {
		int n = snprintf(name + len, sizeof(name) - len, "%s%s", i ? " " : "", o->words[i]);

		if (n < 0 || (size_t)n >= sizeof(name) - len)
			break;
		len += (size_t)n;
		cmd = ctl_command_find(name);
		if (cmd) {
			best = cmd;
			*used = i + 1;
		}
	}
	return best;
}

/* Of no command, and which one it may have been: its first word, or its first two. */
static int no_such_command(const struct ctl_options *o)
{
	char typed[64];

	for (int words = 1; words <= 2 && words <= o->nwords; words++) {
		struct nearest n = { .typed = typed };
		const struct ctl_command *cmd = NULL;

		snprintf(typed, sizeof(typed), "%s%s%s", o->words[0], words > 1 ? " " : "",
			 words > 1 ? o->words[1] : "");
		while ((cmd = ctl_command_next(cmd)))
			nearest_offer(&n, cmd->name);
		nearest_offer(&n, "top");
		if (n.best) {
			fprintf(stderr, "sluice: %s: no such command; is it %s?\n", typed, n.best);
			return EXIT_USAGE;
		}
	}
	fprintf(stderr, "sluice: %s: no such command; see sluice ctl --help\n", o->words[0]);
	return EXIT_USAGE;
}

/* Nobody is there: a path without a socket, or one whose program has gone. */
static int unreachable(const char *path, int err)
{
	fprintf(stderr, "sluice: --control: %s: %s%s\n", path, strerror(-err),
		err == -ENOENT || err == -ECONNREFUSED ? "; is there a sluice with this --control?"
						       : "");
	return EXIT_UNREACHABLE;
}

static const struct ctl_param *named(const struct ctl_command *cmd, const char *word, size_t len)
{
	for (size_t i = 0; i < CTL_PARAMS_MAX && cmd->params[i].name; i++)
		if (strlen(cmd->params[i].name) == len &&
		    memcmp(cmd->params[i].name, word, len) == 0)
			return &cmd->params[i];
	return NULL;
}

/* Words to an object; NULL when there are too many or one is not UTF-8. */
static json_t *arguments(const struct ctl_command *cmd, char **words, int nwords)
{
	json_t *args = json_object(), *rest = NULL;
	size_t at = 0;

	for (int i = 0; i < nwords; i++) {
		const char *eq = strchr(words[i], '=');
		const struct ctl_param *p = eq && !rest
						    ? named(cmd, words[i], (size_t)(eq - words[i]))
						    : NULL;
		json_t *value = json_string(p ? eq + 1 : words[i]);

		if (!p && !rest) {
			/* Those that were named already are passed over. */
			while (at < CTL_PARAMS_MAX && cmd->params[at].name &&
			       json_object_get(args, cmd->params[at].name))
				at++;
			p = at < CTL_PARAMS_MAX && cmd->params[at].name ? &cmd->params[at] : NULL;
			if (p && p->rest) {
				rest = json_array();
				json_object_set_new(args, p->name, rest);
			}
		}
		if ((!p && !rest) || !value) {
			json_decref(value);
			json_decref(args);
			return NULL;
		}
		if (rest)
			json_array_append_new(rest, value);
		else
			json_object_set_new(args, p->name, value);
	}
	return args;
}

static int top(const struct ctl_options *o)
{
	struct ctl_link *l;
	char why[WHY_MAX] = "";
	int err = ctl_link_open(&l, o->control);

	if (err < 0)
		return unreachable(o->control, err);
	err = ctl_top(l, isatty(STDOUT_FILENO) != 1, why, sizeof(why));
	ctl_link_close(l);
	if (err == 0)
		return 0;
	fprintf(stderr, "sluice: %s\n", why);
	return err == -EREMOTEIO ? EXIT_REFUSED : EXIT_UNREACHABLE;
}

static int ask(const struct ctl_options *o, const struct ctl_command *cmd, json_t *args)
{
	FILE *out = ctl_takes_stdout(cmd->name, args) ? stderr : stdout;
	struct ctl_link *l;
	char why[WHY_MAX];
	json_t *result;
	int err = ctl_link_open(&l, o->control);

	if (err < 0) {
		json_decref(args);
		return unreachable(o->control, err);
	}
	result = ctl_is_pcap(cmd->name) ? ctl_pcap(l, cmd->name, args, why, sizeof(why))
					: ctl_link_ask(l, cmd->name, args, why, sizeof(why));
	if (!result) {
		err = errno == EREMOTEIO ? EXIT_REFUSED : EXIT_UNREACHABLE;
		fprintf(stderr, "sluice: %s\n", why);
	} else if (o->json) {
		json_dumpf(result, out, JSON_COMPACT);
		fputc('\n', out);
	} else if (cmd->print) {
		cmd->print(result, out);
	} else {
		ctl_print(result, out);
	}
	json_decref(result);
	ctl_link_close(l);
	return err;
}

/**
 * ctl_main() - `sluice ctl`
 * @argc, @argv:	what follows the word "ctl"
 *
 * Return: the program's exit status, as its --help lists them
 */
int ctl_main(int argc, char **argv)
{
	const struct ctl_command *cmd;
	struct ctl_options o;
	int used = 0;
	bool is_top;
	json_t *args;

	if (parse(&o, argc, argv) < 0)
		return EXIT_USAGE;
	if (o.help) {
		help(stdout);
		return 0;
	}
	if (o.nwords == 0) {
		fputs("sluice: no command; see sluice ctl --help\n", stderr);
		return EXIT_USAGE;
	}
	is_top = strcmp(o.words[0], "top") == 0 && o.nwords == 1;
	cmd = find(&o, &used);
	if (!cmd && !is_top)
		return no_such_command(&o);
	if (!o.control) {
		fputs("sluice: --control PATH is needed, or $" CTL_ENV "\n", stderr);
		return EXIT_USAGE;
	}
	if (is_top)
		return top(&o);
	args = arguments(cmd, o.words + used, o.nwords - used);
	if (!args) {
		fprintf(stderr, "sluice: %s: wrong arguments; see sluice ctl --help\n", cmd->name);
		return EXIT_USAGE;
	}
	return ask(&o, cmd, args);
}
