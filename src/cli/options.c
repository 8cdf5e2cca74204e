/* SPDX-License-Identifier: MIT */
/* The option table of all commands, and what walks it. */
#include <errno.h>
#include <string.h>

#include "src/base/base.h"
#include "src/cli/config.h"
#include "src/cli/nearest.h"
#include "src/cli/options.h"
#include "src/sight/pcap.h"
#include "tcpstack/capture.h"
#include "tcpstack/limits.h"

#define FIELD(f) offsetof(struct run_options, f)

static const char *const transports[] = { [VM_PCI] = "pci", [VM_MMIO] = "mmio", NULL };
static const char *const log_levels[] = {
	[LOG_ERROR] = "error", [LOG_WARN] = "warn", [LOG_INFO] = "info", [LOG_DEBUG] = "debug", NULL
};

static const char *const log_formats[] = { [LOG_TEXT] = "text", [LOG_JSON] = "json", NULL };

static const char *const profiles[] = {
	[POLICY_OPEN] = "open", [POLICY_MONITORED] = "monitored", [POLICY_ALLOWLIST] = "allowlist",
	[POLICY_NONE] = "none", [POLICY_PROFILES] = NULL,
};

static_assert(ARRAY_SIZE(log_levels) == LOG_LEVELS + 1, "a word for each level");
static_assert(ARRAY_SIZE(log_formats) == LOG_FORMATS + 1, "a word for each format");

static const char *const bulk_words[] = {
	[STACK_BULK_AUTO] = "auto",	    [STACK_BULK_COPY] = "copy",
	[STACK_BULK_SPLICE] = "splice",	    [STACK_BULK_URING] = "uring",
	[STACK_BULK_ZEROCOPY] = "zerocopy", NULL
};

#define RUN   (1U << COMMAND_RUN)
#define VHOST (1U << COMMAND_VHOST_USER)
#define BOTH  (RUN | VHOST)

/*
 * In the order in which --help shows them; a row without a name is a heading
 * for the commands that it names.
 */
const struct option_def option_table[] = {
	{ .commands = RUN, .help = "Machine" },
	{ "kernel", "FILE", "machine.kernel", "bzImage or ELF kernel; else the guest image's", RUN,
	  OPT_STRING, FIELD(kernel), 0, 0, NULL },
	{ "initrd", "FILE", "machine.initrd", "initramfs, or none; else the guest image's", RUN,
	  OPT_STRING, FIELD(initrd), 0, 0, NULL },
	{ "cmdline", "TEXT", "machine.cmdline", "appended to the kernel command line", RUN,
	  OPT_STRING, FIELD(cmdline), 0, 0, NULL },
	{ "memory", "SIZE", "machine.memory", "guest memory, as 512M or 4G", RUN, OPT_BYTES64,
	  FIELD(memory), RAM_SIZE_MIN, RAM_SIZE_MAX, NULL },
	{ "cpus", "N", "machine.cpus", "virtual CPUs", RUN, OPT_U32, FIELD(cpus), 1, VCPUS_MAX,
	  NULL },
	{ "hugepages", NULL, "machine.hugepages", "guest memory in huge pages", RUN, OPT_FLAG,
	  FIELD(hugepages), 0, 0, NULL },
	{ "transport", "KIND", "machine.transport", "of the virtio devices", RUN, OPT_WORD,
	  FIELD(transport), 0, 0, transports },
	{ "console", "WHERE", "machine.console",
	  "serial console: stdio, stderr, none or a file; auto is stdio without COMMAND, none with "
	  "it",
	  RUN, OPT_STRING, FIELD(console), 0, 0, NULL },
	{ .commands = VHOST, .help = "Front-end" },
	{ "socket", "PATH", "vhost_user.socket", "Unix socket to listen on; made by us", VHOST,
	  OPT_STRING, FIELD(socket), 0, 0, NULL },
	{ "once", NULL, "vhost_user.once", "end when the first front-end has gone", VHOST, OPT_FLAG,
	  FIELD(once), 0, 0, NULL },
	{ .commands = BOTH, .help = "Network" },
	{ "net", "on|off", "net.enabled", "whether the guest has a network device", RUN, OPT_ONOFF,
	  FIELD(net), 0, 0, NULL },
	{ "subnet", "CIDR", "net.subnet", "addresses: gateway is its host 2, DNS 3, the guest 15",
	  BOTH, OPT_SUBNET, FIELD(stack), 8, 27, NULL },
	{ "ipv6", "on|off", "net.ipv6", "whether the guest has IPv6 as well; not below MTU 1280",
	  BOTH, OPT_ONOFF, FIELD(stack.ip6), 0, 0, NULL },
	{ "prefix6", "PREFIX/64", "net.prefix6",
	  "IPv6 addresses: gateway is its ::2, DNS ::3, the guest ::15 and what it makes itself",
	  BOTH, OPT_PREFIX6, FIELD(stack), 0, 0, NULL },
	{ "mtu", "BYTES", "net.mtu", "of the guest's link", BOTH, OPT_U16, FIELD(stack.mtu),
	  STACK_MTU_MIN, STACK_MTU_MAX, NULL },
	{ "dns", "ADDR[:PORT]", "net.dns",
	  "resolver to ask, repeatable; else those of /etc/resolv.conf", BOTH, OPT_DNS,
	  FIELD(stack), 0, 0, NULL },
	{ "dns-name", "NAME=ADDR[,ADDR...]", "net.dns_name",
	  "a name that the guest's DNS serves by itself, as it does gateway, repeatable; ADDR may "
	  "be the word gateway",
	  BOTH, OPT_NAME, FIELD(dns_name), 0, 0, NULL },
	{ "dns-cache", "N|off", "net.dns_cache",
	  "answers of resolvers to keep while their records hold", BOTH, OPT_U32_OFF,
	  FIELD(stack.dns_cache), 1, LIMIT_DNS_CACHE_MAX, NULL },
	{ "hostname", "NAME", "net.hostname", "given to the guest by DHCP", BOTH, OPT_HOSTNAME,
	  FIELD(stack.hostname), 0, sizeof(((struct stack_config *)0)->hostname), NULL },
	{ "gateway-is-host", "on|off", "net.gateway_is_host",
	  "the gateway's address reaches 127.0.0.1", BOTH, OPT_ONOFF, FIELD(stack.gateway_is_host),
	  0, 0, NULL },
	{ "publish", "SPEC", "net.publish",
	  "or -p: forward [ADDR:]PORT[-PORT]:GUESTPORT[/udp] of the host to the guest, "
	  "repeatable; ADDR is 127.0.0.1 unless given, PORT 0 is any and printed",
	  BOTH, OPT_PUBLISH, FIELD(publish), 0, 0, NULL },
	{ .commands = BOTH, .help = "Policy" },
	{ "policy", "PROFILE", "policy.profile", "what becomes of what no rule names", BOTH,
	  OPT_WORD, FIELD(policy.profile), 0, 0, profiles },
	{ "allow", "RULE", "policy.allow",
	  "[tcp:|udp:|icmp:]WHERE[:PORT[-PORT]]; WHERE is an address, CIDR, name, *.name or *; "
	  "repeatable, the first rule that fits decides",
	  BOTH, OPT_ALLOW, FIELD(policy), 0, 0, NULL },
	{ "deny", "RULE", "policy.deny", "the same, to refuse", BOTH, OPT_DENY, FIELD(policy), 0, 0,
	  NULL },
	{ "rule", "VERDICT RULE", "policy.rules",
	  "one rule with its verdict, as \"deny 10.0.0.0/8\"; lists of them keep their order", BOTH,
	  OPT_RULE, FIELD(policy), 0, 0, NULL },
	{ "gateway-ports", "LIST", "policy.gateway_ports",
	  "ports of the host's 127.0.0.1 that the gateway's address reaches, as 80,8000-8100", BOTH,
	  OPT_GATEWAY_PORTS, FIELD(policy), 0, 0, NULL },
	{ "audit", "FILE|unix:PATH", "policy.audit",
	  "a line of JSON for each decision and each flow's end, appended to FILE or sent to a "
	  "socket",
	  BOTH, OPT_STRING, FIELD(audit), 0, 0, NULL },
	{ .commands = BOTH, .help = "Capture" },
	{ "pcap", "FILE", "pcap.file", "frames into a pcapng file, from the first one on", BOTH,
	  OPT_STRING, FIELD(pcap), 0, 0, NULL },
	{ "pcap-filter", "EXPR", "pcap.filter", "which ones, as \"tcp and not port 22\"; else all",
	  BOTH, OPT_STRING, FIELD(pcap_filter), 0, 0, NULL },
	{ "pcap-snaplen", "BYTES", "pcap.snaplen", "kept of each frame", BOTH, OPT_U32,
	  FIELD(pcap_snaplen), CAPTURE_SNAPLEN_MIN, CAPTURE_SNAPLEN_MAX, NULL },
	{ "pcap-limit", "SIZE", "pcap.limit", "of the file; then the capture ends", BOTH,
	  OPT_BYTES64, FIELD(pcap_limit), PCAP_LIMIT_MIN, PCAP_LIMIT_MAX, NULL },
	{ .commands = BOTH, .help = "Limits and sockets" },
	{ "max-conns", "N", "net.max_conns", "TCP connections at one time", BOTH, OPT_U32,
	  FIELD(stack.max_tcp), 1, LIMIT_FLOWS_MAX, NULL },
	{ "max-conn-rate", "N", "net.max_conn_rate", "new TCP connections a second, 0 is no limit",
	  BOTH, OPT_U32, FIELD(stack.max_conn_rate), 0, LIMIT_CONN_RATE_MAX, NULL },
	{ "max-udp", "N", "net.max_udp", "UDP flows at one time", BOTH, OPT_U32,
	  FIELD(stack.max_udp), 1, LIMIT_FLOWS_MAX, NULL },
	{ "max-ping", "N", "net.max_ping", "ICMP echo flows at one time", BOTH, OPT_U32,
	  FIELD(stack.max_ping), 1, LIMIT_FLOWS_MAX, NULL },
	{ "rate-out", "SIZE", "net.rate_out",
	  "bytes a second that the guest may send, 0 is no limit", BOTH, OPT_BYTES64,
	  FIELD(stack.rate_out), 0, LIMIT_RATE_MAX, NULL },
	{ "rate-in", "SIZE", "net.rate_in",
	  "bytes a second that the guest may receive, 0 is no limit", BOTH, OPT_BYTES64,
	  FIELD(stack.rate_in), 0, LIMIT_RATE_MAX, NULL },
	{ "rate-out-packets", "N", "net.rate_out_packets", "the same in packets", BOTH, OPT_BYTES64,
	  FIELD(stack.rate_out_packets), 0, LIMIT_RATE_MAX, NULL },
	{ "rate-in-packets", "N", "net.rate_in_packets", "the same in packets", BOTH, OPT_BYTES64,
	  FIELD(stack.rate_in_packets), 0, LIMIT_RATE_MAX, NULL },
	{ "rate-burst", "MS", "net.rate_burst",
	  "how much may come at once: milliseconds of the rate", BOTH, OPT_U32,
	  FIELD(stack.rate_burst_ms), 1, LIMIT_RATE_BURST_MS_MAX, NULL },
	{ "sndbuf", "SIZE", "net.sndbuf", "SO_SNDBUF of host sockets, 0 is the kernel's choice",
	  BOTH, OPT_BYTES32, FIELD(stack.sndbuf), 0, INT32_MAX / 2, NULL },
	{ "rcvbuf", "SIZE", "net.rcvbuf", "SO_RCVBUF of host sockets, 0 is the kernel's choice",
	  BOTH, OPT_BYTES32, FIELD(stack.rcvbuf), 0, INT32_MAX / 2, NULL },
	{ "congestion", "NAME", "net.congestion",
	  "TCP congestion control of host sockets; else the kernel's choice", BOTH, OPT_CHARS,
	  FIELD(stack.congestion), 0, sizeof(((struct stack_config *)0)->congestion), NULL },
	{ "bulk", "ENGINE", "net.bulk", "how payload goes into host sockets", BOTH, OPT_WORD,
	  FIELD(stack.bulk), 0, 0, bulk_words },
	{ "splice-to", "CIDR|any", "net.splice_to",
	  "peers on this host that may get the guest's pages instead of copies, repeatable", BOTH,
	  OPT_NET, FIELD(stack), 0, 0, NULL },
	{ "poll-us", "N|off", "net.poll_us",
	  "look for work for up to N microseconds before a sleep: quicker, for a processor", BOTH,
	  OPT_U32_OFF, FIELD(poll_us), 1, 1000, NULL },
	{ .commands = RUN, .help = "Command" },
	{ "env", "NAME=VALUE", "command.env", "set in COMMAND's environment, repeatable", RUN,
	  OPT_ENV, FIELD(env), 0, 0, NULL },
	{ "timeout", "SECONDS", "command.timeout", "end the guest after so long, 0 is never", RUN,
	  OPT_U32, FIELD(timeout), 0, 10000000, NULL },
	{ .commands = BOTH, .help = "Sluice" },
	{ "config", "FILE", NULL, "options from a file of JSON; those given here count over them",
	  BOTH, OPT_CONFIG, 0, 0, 0, NULL },
	{ "stats", "[=FILE]", "stats", "at the end, a table on standard error or JSON in FILE",
	  BOTH, OPT_OPTIONAL, FIELD(stats), 0, 0, NULL },
	{ "alloc-report", "[=FILE]", "alloc_report",
	  "at the end, who holds memory and who called the allocator", BOTH, OPT_OPTIONAL,
	  FIELD(alloc_report), 0, 0, NULL },
	{ "log-level", "LEVEL", "log.level", "what is worth a line", BOTH, OPT_WORD,
	  FIELD(log_level), 0, 0, log_levels },
	{ "log-format", "FORMAT", "log.format", "lines for people, or an object of JSON each", BOTH,
	  OPT_WORD, FIELD(log_format), 0, 0, log_formats },
	{ "control", "PATH", "control.socket", "Unix socket to listen on for `sluice ctl`", BOTH,
	  OPT_STRING, FIELD(control), 0, 0, NULL },
	{ "jail", "on|off", "jail", "give up all rights but those that a running guest needs", BOTH,
	  OPT_ONOFF, FIELD(jail), 0, 0, NULL },
	{ "force", NULL, "force", "run even where KVM cannot be expected to boot Linux", RUN,
	  OPT_FLAG, FIELD(force), 0, 0, NULL },
	{ "help", NULL, NULL, "this text", BOTH, OPT_FLAG, FIELD(help), 0, 0, NULL },
};

const size_t option_rows = ARRAY_SIZE(option_table);

/**
 * run_options_defaults() - what holds where the user says nothing
 */
void run_options_defaults(struct run_options *o)
{
	*o = (struct run_options){
		.memory = RUN_MEMORY_DEF,
		.cpus = 1,
		.transport = VM_PCI,
		.console = "auto",
		.net = true,
		.jail = true,
		.log_level = LOG_WARN,
		.pcap_snaplen = CAPTURE_SNAPLEN_DEF,
		.pcap_limit = PCAP_LIMIT_DEF,
	};
	stack_config_defaults(&o->stack);
}

/**
 * run_options_free() - what parsing took from the heap; the options are then gone
 */
void run_options_free(struct run_options *o)
{
	config_free(o);
	policy_list_free(&o->policy);
}

static const char *const command_names[] = {
	[COMMAND_RUN] = "run",
	[COMMAND_VHOST_USER] = "vhost-user",
};

static_assert(ARRAY_SIZE(command_names) == COMMANDS, "a name for each command");

/* The row of @command's option whose name is the first @len bytes of @name. */
static const struct option_def *find(enum command command, const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(option_table); i++) {
		const struct option_def *d = &option_table[i];

		if (d->name && (d->commands & 1U << command) && strlen(d->name) == len &&
		    memcmp(d->name, name, len) == 0)
			return d;
	}
	return NULL;
}

/* That @command has no option @name, its first @len bytes, and what it may have been. */
static int no_such(enum command command, const char *name, size_t len, char *why, size_t why_len)
{
	char typed[64];
	struct nearest n = { .typed = typed };

	snprintf(typed, sizeof(typed), "%.*s", (int)MIN(len, sizeof(typed)), name);
	for (size_t i = 0; i < ARRAY_SIZE(option_table); i++)
		if (option_table[i].name && (option_table[i].commands & 1U << command))
			nearest_offer(&n, option_table[i].name);
	if (n.best)
		snprintf(why, why_len, "--%s: no such option; is it --%s?", typed, n.best);
	else
		snprintf(why, why_len, "--%s: no such option; see sluice %s --help", typed,
			 command_names[command]);
	return -EINVAL;
}

/* One way through the words: for the configuration file, or for all other options. */
static int walk(struct run_options *o, enum command command, int argc, char **argv, bool config,
		char *why, size_t why_len)
{
	for (int i = 0; i < argc; i++) {
		const char *name = argv[i], *value;
		const struct option_def *d;
		int err = 0;

		if (strcmp(name, "--") == 0) {
			o->command = i + 1 < argc ? argv + i + 1 : NULL;
			return 0;
		}
		if (strcmp(name, "-h") == 0)
			name = "--help";
		if (strcmp(name, "-p") == 0)
			name = "--publish";
		if (strncmp(name, "--", 2) != 0) {
			snprintf(why, why_len, "%s: not an option; a command goes after --", name);
			return -EINVAL;
		}
		name += 2;
		value = strchr(name, '=');
		d = find(command, name, value ? (size_t)(value - name) : strlen(name));
		if (!d && !value && strncmp(name, "no-", 3) == 0) {
			d = find(command, name + 3, strlen(name + 3));
			if (d && d->type == OPT_ONOFF)
				value = "=off";
			else
				d = NULL;
		}
		if (!d)
			return no_such(command, name, value ? (size_t)(value - name) : strlen(name),
				       why, why_len);
		if (value)
			value++;
		else if (d->arg && d->type != OPT_OPTIONAL && i + 1 < argc)
			value = argv[++i];
		if (config != (d->type == OPT_CONFIG))
			continue;
		err = option_set(d, o, value, why, why_len);
		if (err == 0 && config)
			err = config_load(o, command, value, why, why_len);
		if (err < 0)
			return err;
		if (o->help)
			return 0;
	}
	return 0;
}

/* What a file or a word brought into @why neither ends the line nor moves the cursor. */
static void one_line(char *why)
{
	for (; *why; why++)
		if ((unsigned char)*why < ' ' || *why == 0x7f)
			*why = '?';
}

/**
 * run_options_parse() - read a command line, and the configuration file that it names
 * @o:		defaults; on failure half changed
 * @command:	whose options
 * @argc, @argv:	what follows the command's name
 * @why:	on failure, one line
 *
 * Options end at "--"; what follows is the command. Wherever --config stands, its
 * file is read first, so that the command line counts over it. config_free() gives
 * back what @o then refers to. Main thread.
 *
 * Return: 0 or -EINVAL
 */
int run_options_parse(struct run_options *o, enum command command, int argc, char **argv, char *why,
		      size_t why_len)
{
	int err = walk(o, command, argc, argv, true, why, why_len);

	if (err == 0)
		err = walk(o, command, argc, argv, false, why, why_len);
	if (err == 0 && !o->help)
		err = policy_list_check(&o->policy, &o->stack, why, why_len);
	if (err < 0) {
		one_line(why);
		config_free(o);
	}
	return err;
}

/* Text from column @indent on, broken at spaces before column 80; @at is where we stand. */
static void wrap(FILE *out, const char *text, int at, int indent)
{
	while (*text) {
		size_t word = strcspn(text, " ");

		if (at > indent && at + 1 + (int)word > 79) {
			fprintf(out, "\n%*s", indent, "");
			at = indent;
		} else if (at > indent) {
			fputc(' ', out);
			at++;
		}
		fprintf(out, "%.*s", (int)word, text);
		at += (int)word;
		text += word;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

static void help_row(FILE *out, const struct option_def *d, const struct run_options *defaults)
{
	char left[64], shown[64], text[256];
	const int indent = 28;
	int n;

	n = snprintf(left, sizeof(left), "  --%s%s%s", d->name,
		     d->arg && d->arg[0] != '[' ? " " : "", d->arg ? d->arg : "");
	fputs(left, out);
	if (n > indent - 2) {
		fputc('\n', out);
		n = 0;
	}
	fprintf(out, "%*s", indent - n, "");
	n = snprintf(text, sizeof(text), "%s", d->help);
	if (d->words) {
		for (size_t i = 0; d->words[i] && n < (int)sizeof(text); i++)
			n += snprintf(text + n, sizeof(text) - (size_t)n, "%s %s", i ? "," : ":",
				      d->words[i]);
	}
	option_show(d, defaults, shown, sizeof(shown));
	if (shown[0] && n < (int)sizeof(text))
		snprintf(text + n, sizeof(text) - (size_t)n, " [%s]", shown);
	wrap(out, text, indent, indent);
}

static const char run_intro[] =
	"usage: sluice run [options] [-- COMMAND [ARGUMENT...]]\n\n"
	"Boots a Linux guest on KVM. With COMMAND, runs it there with these standard\n"
	"streams and ends with its status; without, gives a shell on the console\n"
	"(Ctrl-A x ends it).\n";

static const char run_outro[] = "\nExit status: COMMAND's own, or 128 + the signal that ended it;\n"
				"  0    without COMMAND, the guest switched itself off\n"
				"  2    an option was wrong, nothing was started\n"
				"  124  --timeout ended the guest\n"
				"  125  sluice could not run the guest, or lost it\n"
				"  126  COMMAND could not be executed\n"
				"  127  COMMAND was not found\n"
				"  128+N  signal N ended sluice\n";

static const char vhost_intro[] =
	"usage: sluice vhost-user --socket PATH [options]\n\n"
	"Serves the network device to another VMM (QEMU, Cloud Hypervisor, crosvm) over\n"
	"the vhost-user protocol, until a signal ends it. A front-end that comes back\n"
	"finds a fresh device.\n";

static const char vhost_outro[] =
	"\nExit status:\n"
	"  0    SIGTERM or SIGINT, or with --once the front-end has gone\n"
	"  2    an option was wrong, nothing was started\n"
	"  125  the socket or the device could not be made\n";

/**
 * run_options_help() - `sluice COMMAND --help`
 */
void run_options_help(enum command command, FILE *out)
{
	struct run_options defaults;

	run_options_defaults(&defaults);
	fputs(command == COMMAND_RUN ? run_intro : vhost_intro, out);
	for (size_t i = 0; i < ARRAY_SIZE(option_table); i++) {
		const struct option_def *d = &option_table[i];

		if (!(d->commands & 1U << command))
			continue;
		if (d->name)
			help_row(out, d, &defaults);
		else
			fprintf(out, "\n%s:\n", d->help);
	}
	fputs(command == COMMAND_RUN ? run_outro : vhost_outro, out);
}

/**
 * run_options_begin() - what a command begins with: its options, and a log as they have it
 * @argc, @argv:	what follows the command's word
 * @status:	out, on false
 *
 * Return: false: the program ends with *@status; what there was to say has been said
 */
bool run_options_begin(struct run_options *o, enum command command, int argc, char **argv,
		       int *status)
{
	char why[VM_WHY_MAX];

	run_options_defaults(o);
	if (run_options_parse(o, command, argc, argv, why, sizeof(why)) < 0) {
		fprintf(stderr, "sluice: %s\n", why);
		*status = EXIT_USAGE;
		return false;
	}
	if (o->help) {
		run_options_help(command, stdout);
		*status = 0;
		return false;
	}
	log_set_level((enum log_level)o->log_level);
	log_set_format((enum log_format)o->log_format);
	return true;
}
