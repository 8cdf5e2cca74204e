/* SPDX-License-Identifier: MIT */
/* The program: finds the subcommand and leaves the rest to it. */
#include <stdio.h>
#include <string.h>

#include "src/base/base.h"
#include "src/cli/ctl.h"
#include "src/cli/nearest.h"
#include "src/cli/options.h"
#include "src/cli/run.h"
#include "src/cli/version.h"
#include "src/cli/vhost.h"

static const struct {
	const char *name;
	const char *help;
	int (*main)(int argc, char **argv);
} commands[] = {
	{ "run", "boot a Linux guest and run a command or a shell in it", run_main },
	{ "vhost-user", "be the network of another VMM's guest", vhost_main },
	{ "ctl", "ask or change a running sluice", ctl_main },
};

static void usage(FILE *out)
{
	fputs("usage: sluice COMMAND [options]\n\n"
	      "A KVM microVM monitor with a user-mode network of its own.\n\n"
	      "Commands:\n",
	      out);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(out, "  %-12s%s\n", commands[i].name, commands[i].help);
	fputs("\n`sluice COMMAND --help` tells more; `sluice --version` which one this is.\n", out);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";
	struct nearest near = { .typed = name };

	if (strcmp(name, "--version") == 0) {
		printf("sluice %s\n", sluice_version);
		return 0;
	}
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
		usage(stdout);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(name, commands[i].name) == 0)
			return commands[i].main(argc - 2, argv + 2);
		nearest_offer(&near, commands[i].name);
	}
	if (near.best)
		fprintf(stderr, "sluice: %s: no such command; is it %s?\n", name, near.best);
	else if (*name)
		fprintf(stderr, "sluice: %s: no such command; see sluice --help\n", name);
	else
		usage(stderr);
	return EXIT_USAGE;
}
