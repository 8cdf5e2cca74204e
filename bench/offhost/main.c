/* SPDX-License-Identifier: MIT */
/*
 * offhost: run a command on a machine whose only neighbour is not itself.
 *
 * Theory of operation. Two network namespaces, near and far, joined by a veth
 * pair of MTU 65520. On a plain veth, as on loopback, a sender's pages travel
 * by reference into the peer's receive queue, and the kernel copies what was
 * sent by MSG_ZEROCOPY on the way; so it does for a TUN. A real NIC reads the
 * pages and is done with them. That is what the far end does here: it has an
 * XDP program, and although the program lets everything pass, the driver first
 * copies each frame into pages of its own, in a kernel thread of its own
 * (threaded NAPI). To the sender this looks as DMA does: references drop soon
 * after the frame left, nobody near pays for the copy, and the notification
 * says that nothing was copied. Behind it stands Linux's whole TCP and any
 * program that reads: what arrives can be compared byte by byte.
 *
 *	near 10.99.0.1  wire0 ------------- wire1  far 10.99.0.2
 *	     fd99::1				       fd99::2
 *	COMMAND runs here		    `offhost --far COMMAND` from within
 *
 * The far namespace is held by a child; its name travels in the environment.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/base.h"

/* Where `--far` finds the other namespace. */
#define FAR_ENV "OFFHOST_FAR"

#define EXIT_FAIL 125
#define EXIT_SKIP 77

static const char usage[] =
	"usage: offhost [--veth] -- COMMAND [ARG...]\n"
	"       offhost --far COMMAND [ARG...]\n"
	"\n"
	"Run COMMAND in a network namespace, address 10.99.0.1, that is joined to a second\n"
	"one, address 10.99.0.2, by a link that takes frames as a NIC does. Within COMMAND,\n"
	"the second form runs a command in that second namespace. Exits with COMMAND's\n"
	"status (77: this needs privileges that we do not have, 125: offhost failed).\n"
	"\n"
	"  --veth       a plain veth instead: the pages themselves reach the far end\n";

NORETURN static void fail(const char *what)
{
	int err = errno;

	fprintf(stderr, "offhost: %s: %s\n", what, strerror(err));
	exit(err == EPERM || err == EACCES ? EXIT_SKIP : EXIT_FAIL);
}

/* Run `ip` with these words; it knows more of netlink than this program should. */
static void ip(const char *words)
{
	char cmd[256];
	int status;

	snprintf(cmd, sizeof(cmd), "ip %s", words);
	status = system(cmd);
	if (status != 0) {
		fprintf(stderr, "offhost: %s: failed\n", cmd);
		exit(EXIT_FAIL);
	}
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		fail(path);
	close(fd);
}

static int sys_bpf(int cmd, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

/* r0 = XDP_PASS; exit. It takes frames in several pieces, or none of this length could pass. */
static int load_pass(void)
{
	static const struct bpf_insn code[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_XDP,
		.insn_cnt = ARRAY_SIZE(code),
		.insns = (uintptr_t)code,
		.license = (uintptr_t) "MIT",
		.prog_flags = BPF_F_XDP_HAS_FRAGS,
	};

	return sys_bpf(BPF_PROG_LOAD, &attr);
}

/* Frames that reach @ifname are copied out of the sender's pages. */
static void copy_on_arrival(const char *ifname)
{
	union bpf_attr attr = { .link_create = { .attach_type = BPF_XDP,
						 .flags = XDP_FLAGS_DRV_MODE } };
	int prog = load_pass();

	if (prog < 0)
		fail("loading an XDP program");
	attr.link_create.prog_fd = (uint32_t)prog;
	attr.link_create.target_ifindex = if_nametoindex(ifname);
	if (sys_bpf(BPF_LINK_CREATE, &attr) < 0) /* stays open, and so in place */
		fail("attaching an XDP program");
}

static void tell(int fd)
{
	if (write(fd, "", 1) != 1)
		_exit(EXIT_FAIL);
}

static bool hear(int fd)
{
	char c;

	return read(fd, &c, 1) == 1;
}

/* The child: a namespace, and the far end of the link once it is there. */
NORETURN static void far_end(int in, int out, bool plain)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (unshare(CLONE_NEWNET) < 0)
		fail("a second namespace");
	tell(out);
	if (!hear(in))
		exit(EXIT_FAIL);
	ip("link set lo up");
	ip("addr add 10.99.0.2/24 dev wire1");
	ip("addr add fd99::2/64 dev wire1 nodad");
	if (!plain)
		copy_on_arrival("wire1");
	ip("link set wire1 up");
	if (!plain) {
		/* sysfs shows the namespace of whoever mounted it. */
		if (unshare(CLONE_NEWNS) < 0 || mount("sysfs", "/sys", "sysfs", 0, NULL) < 0)
			fail("sysfs");
		write_file("/sys/class/net/wire1/threaded", "1");
	}
	tell(out);
	for (;;)
		pause();
}

static void near_end(pid_t far, int in, int out)
{
	char words[128];

	if (!hear(in))
		exit(EXIT_SKIP); /* the child has said why */
	snprintf(words, sizeof(words),
		 "link add wire0 mtu 65520 type veth peer name wire1 mtu 65520 netns %d", far);
	ip(words);
	tell(out);
	if (!hear(in))
		exit(EXIT_SKIP);
	ip("link set lo up");
	ip("addr add 10.99.0.1/24 dev wire0");
	ip("addr add fd99::1/64 dev wire0 nodad");
	ip("link set wire0 up");
}

static int run_far(char **command)
{
	const char *path = getenv(FAR_ENV);
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		fail("--far works inside of COMMAND only");
	execvp(command[0], command);
	fail(command[0]);
}

int main(int argc, char **argv)
{
	int to_far[2], from_far[2], status, at = 1;
	bool plain = false;
	char path[64];
	pid_t far, pid;

	if (argc > 2 && strcmp(argv[1], "--far") == 0)
		return run_far(argv + 2);
	if (at < argc && strcmp(argv[at], "--veth") == 0) {
		plain = true;
		at++;
	}
	if (at < argc && strcmp(argv[at], "--") == 0)
		at++;
	if (at >= argc || argv[at][0] == '-') {
		fputs(usage, stderr);
		return EXIT_FAIL;
	}
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		fail("making a namespace");
	if (pipe2(to_far, O_CLOEXEC) < 0 || pipe2(from_far, O_CLOEXEC) < 0)
		fail("pipe");
	far = fork();
	if (far == 0) {
		close(to_far[1]);
		close(from_far[0]);
		far_end(to_far[0], from_far[1], plain);
	}
	close(to_far[0]);
	close(from_far[1]);
	near_end(far, from_far[0], to_far[1]);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", far);
	setenv(FAR_ENV, path, 1);
	pid = fork();
	if (pid == 0) {
		execvp(argv[at], argv + at);
		fail(argv[at]);
	}
	signal(SIGINT, SIG_IGN);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		fail("the command");
	kill(far, SIGKILL);
	waitpid(far, NULL, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
