/* SPDX-License-Identifier: MIT */
/*
 * The program itself in its jail: each thread of a running `sluice vhost-user` and
 * `sluice run` is made to call what it may not, as if somebody had taken it over.
 *
 * A debugger with privilege does that: it stops the thread, sets its registers to
 * a system call, and lets go. The VM's guest is two instructions: hlt and a jump.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <dirent.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/base.h"
#include "src/base/bytes.h"
#include "src/base/clock.h"
#include "src/base/unixsock.h"

/* Of src/jail/jail.h, and of sluice-run(1). */
#define JAIL_STATUS 159

#define PATIENCE_NS (60 * NS_PER_S)

/* Status of a child that could not be given what its test is about. */
#define NOT_ALLOWED 126

static char program[512], folder[] = "/tmp/sluice-jail-XXXXXX";
static char control[64], front_end[64], kernel[64], messages[64];

/* The program as a child: its messages are in a file. */
struct sluice {
	pid_t pid;
	int status;
	char text[8192];
	char state[8192]; /* its last answer */
};

/* Of a test that failed half-way, to be ended. */
static pid_t running;

static void nap(void)
{
	usleep(20000);
}

/* --- a VM's kernel ----------------------------------------------------------- */

#define LOAD_AT	 0x1000000
#define FILE_OFF 0x1000

static void write_kernel(void)
{
	static const uint8_t code[] = { 0xf4, 0xeb, 0xfd }; /* hlt; jmp to it */
	const Elf64_Ehdr eh = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			     EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_entry = LOAD_AT,
		.e_phoff = sizeof(eh),
		.e_ehsize = sizeof(eh),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 1,
	};
	const Elf64_Phdr ph = {
		.p_type = PT_LOAD,
		.p_flags = PF_R | PF_X,
		.p_offset = FILE_OFF,
		.p_vaddr = LOAD_AT,
		.p_paddr = LOAD_AT,
		.p_filesz = sizeof(code),
		.p_memsz = sizeof(code),
		.p_align = FILE_OFF,
	};
	int fd = open(kernel, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, &eh, sizeof(eh), 0), sizeof(eh));
	assert_int_equal(pwrite(fd, &ph, sizeof(ph), sizeof(eh)), sizeof(ph));
	assert_int_equal(pwrite(fd, code, sizeof(code), FILE_OFF), sizeof(code));
	close(fd);
}

static int setup(void **state)
{
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 32);

	(void)state;
	if (n < 0 || !mkdtemp(folder))
		return -1;
	program[n] = 0;
	/* BUILD/tests/vhost/test_jail -> BUILD/sluice */
	for (int i = 0; i < 3; i++)
		*strrchr(program, '/') = 0;
	strcat(program, "/sluice");
	snprintf(control, sizeof(control), "%s/ctl", folder);
	snprintf(front_end, sizeof(front_end), "%s/fe", folder);
	snprintf(kernel, sizeof(kernel), "%s/kernel", folder);
	snprintf(messages, sizeof(messages), "%s/messages", folder);
	write_kernel();
	return 0;
}

static int after_each(void **state)
{
	(void)state;
	if (running > 0) {
		kill(running, SIGKILL);
		waitpid(running, NULL, 0);
	}
	running = 0;
	unlink(control);
	unlink(front_end);
	return 0;
}

static int teardown(void **state)
{
	struct dirent *e;
	DIR *d = opendir(folder);

	(void)state;
	if (!d)
		return -1;
	/* A test that was skipped in its midst leaves files of its own. */
	while ((e = readdir(d)) != NULL)
		unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	return rmdir(folder);
}

/* --- starting and ending ------------------------------------------------------ */

static void read_messages(struct sluice *s)
{
	int fd = open(messages, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, s->text, sizeof(s->text) - 1);

	s->text[n < 0 ? 0 : n] = 0;
	if (fd >= 0)
		close(fd);
}

/* Its end, which must come by itself; false if it does not. */
static bool wait_end(struct sluice *s)
{
	uint64_t end = clock_now_ns() + PATIENCE_NS;

	while (waitpid(s->pid, &s->status, WNOHANG) == 0) {
		if (clock_now_ns() > end) {
			kill(s->pid, SIGKILL);
			waitpid(s->pid, &s->status, 0);
			read_messages(s);
			return false;
		}
		nap();
	}
	running = 0;
	read_messages(s);
	return true;
}

static void stop(struct sluice *s)
{
	kill(s->pid, SIGTERM);
	if (!wait_end(s))
		fail_msg("no end on SIGTERM: %s", s->text);
}

/* One question by the control socket; false while nobody answers. */
static bool ask(struct sluice *s, const char *question)
{
	int fd = unix_connect(control, 0);
	size_t have = 0;
	ssize_t n = 1;

	if (fd < 0)
		return false;
	if (send(fd, question, strlen(question), MSG_NOSIGNAL) < 0)
		n = 0;
	while (n > 0 && have < sizeof(s->state) - 1 && !memchr(s->state, '\n', have)) {
		n = recv(fd, s->state + have, sizeof(s->state) - 1 - have, 0);
		have += n > 0 ? (size_t)n : 0;
	}
	s->state[have] = 0;
	close(fd);
	return s->state[0] != 0;
}

/*
 * The program with @args, until it answers; then it is in its jail. @before runs
 * in the child first. Skips where it says that there is no jail or no KVM.
 */
static void start(struct sluice *s, const char *const *args, void (*before)(void))
{
	uint64_t end = clock_now_ns() + PATIENCE_NS;
	char *argv[24] = { program };
	int n = 1;

	memset(s, 0, sizeof(*s));
	while (*args)
		argv[n++] = (char *)(uintptr_t)*args++;
	unlink(messages);
	s->pid = fork();
	assert_true(s->pid >= 0);
	if (s->pid == 0) {
		int fd = open(messages, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

		dup2(fd, STDERR_FILENO);
		dup2(open("/dev/null", O_RDWR | O_CLOEXEC), STDIN_FILENO);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (before)
			before();
		execv(program, argv);
		_exit(127);
	}
	running = s->pid;
	while (!ask(s, "{\"cmd\":\"status\"}\n")) {
		if (waitpid(s->pid, &s->status, WNOHANG) != 0)
			running = 0;
		if (!running && WIFEXITED(s->status) && WEXITSTATUS(s->status) == NOT_ALLOWED) {
			print_message("SKIP: not allowed here to make such a host\n");
			skip();
		}
		if (!running || clock_now_ns() > end) {
			read_messages(s);
			fail_msg("it did not start: %s", s->text);
		}
		nap();
	}
	if (strstr(s->state, "instrumented")) {
		stop(s);
		print_message("SKIP: a sanitizer makes system calls of its own\n");
		skip();
	}
}

static void start_back_end(struct sluice *s, const char *bulk, void (*before)(void))
{
	const char *const args[] = { "vhost-user", "--socket", front_end,     "--control", control,
				     "--bulk",	   bulk,       "--splice-to", "any",	   NULL };

	start(s, args, before);
}

static void start_vm(struct sluice *s)
{
	const char *const args[] = { "run",    "--force",   "--kernel", kernel,	     "--initrd",
				     "none",   "--console", "none",	"--control", control,
				     "--cpus", "2",	    "--memory", "64M",	     NULL };

	if (access("/dev/kvm", R_OK | W_OK) < 0) {
		print_message("SKIP: no usable /dev/kvm\n");
		skip();
	}
	start(s, args, NULL);
}

/* --- taking a thread over ----------------------------------------------------- */

/* The task of @s that is called @name; -1 = none. */
static pid_t find_thread(const struct sluice *s, const char *name)
{
	char path[64], comm[32];
	pid_t found = -1;
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", s->pid);
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d)) && found < 0) {
		FILE *f = NULL;

		snprintf(path, sizeof(path), "/proc/%d/task/%.20s/comm", s->pid, e->d_name);
		if (e->d_name[0] != '.')
			f = fopen(path, "re");
		if (!f)
			continue;
		if (fgets(comm, sizeof(comm), f) && comm[strcspn(comm, "\n")] == '\n') {
			comm[strcspn(comm, "\n")] = 0;
			if (strcmp(comm, name) == 0)
				found = (pid_t)atoi(e->d_name);
		}
		fclose(f);
	}
	closedir(d);
	return found;
}

struct call {
	const char *name;
	unsigned long long nr, arg[4];
};

/*
 * Make thread @tid call @c. It rests in a system call as a rule, and then the
 * instruction for one is just behind it.
 */
static void inject(pid_t tid, const struct call *c)
{
	uint64_t end = clock_now_ns() + PATIENCE_NS;

	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) < 0) {
		assert_int_equal(errno, EPERM);
		print_message("SKIP: the jail keeps a debugger without privilege out\n");
		skip();
	}
	for (;;) {
		struct user_regs_struct r;
		int status;

		assert_true(clock_now_ns() < end);
		assert_int_equal(ptrace(PTRACE_INTERRUPT, tid, NULL, NULL), 0);
		assert_int_equal(waitpid(tid, &status, __WALL), tid);
		assert_true(WIFSTOPPED(status));
		assert_int_equal(ptrace(PTRACE_GETREGS, tid, NULL, &r), 0);
		if ((ptrace(PTRACE_PEEKTEXT, tid, r.rip - 2, NULL) & 0xffff) == 0x050f) {
			r.rip -= 2;
			r.rax = c->nr;
			r.orig_rax = ~0ULL;
			r.rdi = c->arg[0];
			r.rsi = c->arg[1];
			r.rdx = c->arg[2];
			r.r10 = c->arg[3];
			assert_int_equal(ptrace(PTRACE_SETREGS, tid, NULL, &r), 0);
			assert_int_equal(ptrace(PTRACE_DETACH, tid, NULL, NULL), 0);
			return;
		}
		assert_int_equal(ptrace(PTRACE_CONT, tid, NULL, NULL), 0);
		nap();
	}
}

static void dies_of(struct sluice *s, const char *thread, const char *profile, const struct call *c)
{
	pid_t tid = find_thread(s, thread);
	char words[128];

	assert_true(tid > 0);
	inject(tid, c);
	if (!wait_end(s))
		fail_msg("%s in %s: it lives on: %s", c->name, thread, s->text);
	snprintf(words, sizeof(words), "thread %s, profile %s, may not call %s(0x", thread, profile,
		 c->name);
	if (!WIFEXITED(s->status) || WEXITSTATUS(s->status) != JAIL_STATUS ||
	    !strstr(s->text, words))
		fail_msg("%s in %s: status %#x: %s", c->name, thread, s->status, s->text);
	unlink(control);
	unlink(front_end);
}

static const struct call some[] = {
	{ "getppid", SYS_getppid, { 0 } },
	{ "execve", SYS_execve, { 0 } },
	{ "socket", SYS_socket, { AF_UNIX, SOCK_STREAM } },
	{ "mprotect", SYS_mprotect, { 0, 4096, PROT_READ | PROT_EXEC } },
	{ "openat", SYS_openat, { (unsigned long long)AT_FDCWD, 0, O_RDWR } },
};

static void each_thread_of_a_back_end_is_in_jail(void **state)
{
	static const struct {
		const char *thread, *bulk, *profile;
	} rows[] = {
		{ "sluice", "copy", "main-vhost-user" },
		{ "sluice-net", "copy", "net-copy" },
		{ "sluice-net", "splice", "net-splice" },
		{ "sluice-net", "zerocopy", "net-zerocopy" },
		{ "sluice-writer", "copy", "writer" },
	};
	struct sluice s;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (size_t c = 0; c < ARRAY_SIZE(some); c++) {
			start_back_end(&s, rows[i].bulk, NULL);
			dies_of(&s, rows[i].thread, rows[i].profile, &some[c]);
		}
	}
}

static void each_thread_of_a_vm_is_in_jail(void **state)
{
	static const struct {
		const char *thread, *profile;
	} rows[] = {
		{ "sluice", "main-vm" },
		{ "sluice-vcpu0", "vcpu" },
		{ "sluice-vcpu1", "vcpu" },
	};
	static const struct call connects = { "connect", SYS_connect, { 0 } };
	static const struct call memory = { "ioctl", SYS_ioctl, { 0, KVM_SET_USER_MEMORY_REGION } };
	struct sluice s;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (size_t c = 0; c < ARRAY_SIZE(some); c++) {
			start_vm(&s);
			dies_of(&s, rows[i].thread, rows[i].profile, &some[c]);
		}
		start_vm(&s);
		dies_of(&s, rows[i].thread, rows[i].profile, &connects);
		start_vm(&s);
		dies_of(&s, rows[i].thread, rows[i].profile, &memory);
	}
}

/* The line "NAME:\tVALUE" of a task's status. */
static unsigned long long task_value(pid_t pid, const char *tid, const char *name, int base)
{
	char path[64], line[256];
	unsigned long long v = ~0ULL;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%.20s/status", pid, tid);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
			v = strtoull(line + strlen(name) + 1, NULL, base);
	}
	fclose(f);
	return v;
}

static void check_tasks(const struct sluice *s, unsigned int at_least)
{
	static const char *const caps[] = { "CapInh", "CapPrm", "CapEff", "CapAmb" };
	unsigned int tasks = 0;
	struct dirent *e;
	char path[64];
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", s->pid);
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		tasks++;
		assert_int_equal(task_value(s->pid, e->d_name, "NoNewPrivs", 10), 1);
		assert_int_equal(task_value(s->pid, e->d_name, "Seccomp", 10), 2);
		for (size_t i = 0; i < ARRAY_SIZE(caps); i++)
			assert_int_equal(task_value(s->pid, e->d_name, caps[i], 16), 0);
	}
	closedir(d);
	assert_true(tasks >= at_least);
}

/* As the kernel has it, from outside; and as the program says (H80). */
static void no_task_has_rights_left(void **state)
{
	struct sluice s;

	(void)state;
	start_back_end(&s, "auto", NULL);
	check_tasks(&s, 3);
	assert_non_null(strstr(s.state, "\"jail\":{\"mode\":\"on\""));
	assert_non_null(strstr(s.state, "\"main\":\"main-vhost-user\""));
	assert_non_null(strstr(s.state, "\"net\":\"net-splice-"));
	stop(&s);
	assert_int_equal(WEXITSTATUS(s.status), 0);
	assert_string_equal(s.text, "");
	assert_int_not_equal(access(control, F_OK), 0);
	assert_int_not_equal(access(front_end, F_OK), 0);
}

static void no_task_of_a_vm_has_rights_left(void **state)
{
	struct sluice s;

	(void)state;
	start_vm(&s);
	check_tasks(&s, 5);
	assert_non_null(strstr(s.state, "\"vcpu\":\"vcpu\""));
	stop(&s);
	assert_int_equal(WEXITSTATUS(s.status), 128 + SIGTERM);
	assert_int_not_equal(access(control, F_OK), 0);
}

static void a_jail_that_is_off_is_seen_to_be(void **state)
{
	const char *const args[] = { "vhost-user", "--socket",	  front_end, "--control", control,
				     "--jail=off", "--log-level", "error",   NULL };
	char tid[16];
	struct sluice s;

	(void)state;
	start(&s, args, NULL);
	snprintf(tid, sizeof(tid), "%d", s.pid);
	assert_int_equal(task_value(s.pid, tid, "Seccomp", 10), 0);
	assert_non_null(strstr(s.state, "\"jail\":{\"mode\":\"off\""));
	stop(&s);
	assert_non_null(strstr(s.text, "warning: the jail is OFF (--jail=off)"));
}

/* What takes a right is done before it goes; later it is refused, with advice. */
static void low_ports_are_bound_at_the_start(void **state)
{
	const char *const args[] = { "vhost-user", "--socket",	front_end,	    "--control",
				     control,	   "--publish", "127.83.7.1:83:80", NULL };
	FILE *f = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");
	int first = 0;
	struct sluice s;

	(void)state;
	if (f) {
		(void)!fscanf(f, "%d", &first);
		fclose(f);
	}
	if (first <= 84 || geteuid() != 0) {
		print_message("SKIP: ports below 1024 take no privilege here, or we have none\n");
		skip();
	}
	start(&s, args, NULL);
	assert_true(ask(&s, "{\"cmd\":\"forward list\"}\n"));
	assert_non_null(strstr(s.state, "127.83.7.1:83"));
	assert_true(ask(&s, "{\"cmd\":\"forward add\",\"args\":[\"127.83.7.1:84:80\"]}\n"));
	assert_non_null(strstr(s.state, "\"ok\":false"));
	assert_non_null(strstr(s.state, "use --publish at the start"));
	assert_true(ask(&s, "{\"cmd\":\"forward add\",\"args\":[\"127.83.7.1:0:80\"]}\n"));
	assert_non_null(strstr(s.state, "\"ok\":true"));
	stop(&s);
}

/* The calls that a forward takes are there once rights are gone, in both families. */
static void forwards_of_udp_are_added_in_jail(void **state)
{
	const char *const args[] = {
		"vhost-user", "--socket", front_end, "--control", control, NULL
	};
	struct sluice s;

	(void)state;
	start(&s, args, NULL);
	assert_true(ask(&s, "{\"cmd\":\"forward add\",\"args\":[\"0.0.0.0:0:53/udp\"]}\n"));
	assert_non_null(strstr(s.state, "\"ok\":true"));
	assert_true(ask(&s, "{\"cmd\":\"forward add\",\"args\":[\"[::]:0:53/udp\"]}\n"));
	/* A host without IPv6 says so; it takes no call that is not allowed. */
	assert_non_null(strstr(s.state, "\"ok\":"));
	assert_true(ask(&s, "{\"cmd\":\"forward list\"}\n"));
	assert_non_null(strstr(s.state, "\"proto\":\"udp\""));
	stop(&s);
}

/* --- the host's resolvers, which change while we run -------------------------------- */

#define ETC_RESOLV "/etc/resolv.conf"
#define RUN_FOLDER "/run/sluice-resolve"
#define RUN_RESOLV RUN_FOLDER "/resolv.conf"

/* A file of a child's mount namespace, seen from here. */
static const char *theirs(const struct sluice *s, const char *path)
{
	static char buf[4][128];
	static unsigned int at;
	char *p = buf[at++ % ARRAY_SIZE(buf)];

	snprintf(p, sizeof(buf[0]), "/proc/%d/root%s", s->pid, path);
	return p;
}

static bool write_resolver(const char *path, const char *address)
{
	FILE *f = fopen(path, "we");

	return f && fprintf(f, "nameserver %s\n", address) > 0 && fclose(f) == 0;
}

/* /etc and /run of its own, on which nothing else depends. */
static void own_etc(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("test", "/etc", "tmpfs", 0, NULL) < 0 ||
	    mount("test", "/run", "tmpfs", 0, NULL) < 0 || mkdir(RUN_FOLDER, 0755) < 0)
		_exit(NOT_ALLOWED);
}

static void resolv_in_etc(void)
{
	own_etc();
	if (!write_resolver(ETC_RESOLV, "127.0.0.11"))
		_exit(NOT_ALLOWED);
}

static void resolv_by_link(void)
{
	own_etc();
	if (!write_resolver(RUN_RESOLV, "127.0.0.11") || symlink(RUN_RESOLV, ETC_RESOLV) < 0)
		_exit(NOT_ALLOWED);
}

static bool has_resolver(struct sluice *s, const char *address)
{
	return ask(s, "{\"cmd\":\"status\"}\n") && strstr(s->state, address);
}

static void wait_resolver(struct sluice *s, const char *address)
{
	uint64_t end = clock_now_ns() + PATIENCE_NS;

	while (!has_resolver(s, address)) {
		if (clock_now_ns() > end)
			fail_msg("%s is not asked: %s", address, s->state);
		nap();
	}
}

static void wait_message(struct sluice *s, const char *words)
{
	uint64_t end = clock_now_ns() + PATIENCE_NS;

	while (read_messages(s), !strstr(s->text, words)) {
		if (clock_now_ns() > end)
			fail_msg("it does not say \"%s\": %s", words, s->text);
		nap();
	}
}

static void the_hosts_resolvers_are_followed(void **state)
{
	struct sluice s;

	(void)state;
	if (geteuid() != 0) {
		print_message("SKIP: no right to an /etc of our own\n");
		skip();
	}
	/* Written in place, and then replaced: which root, who could read more, may not follow. */
	start_back_end(&s, "copy", resolv_in_etc);
	assert_true(has_resolver(&s, "127.0.0.11:53"));
	assert_true(write_resolver(theirs(&s, ETC_RESOLV), "127.0.0.12"));
	wait_resolver(&s, "127.0.0.12:53");
	assert_true(write_resolver(theirs(&s, "/etc/new"), "127.0.0.13"));
	assert_int_equal(rename(theirs(&s, "/etc/new"), theirs(&s, ETC_RESOLV)), 0);
	wait_message(&s, "the jail does not let us read");
	assert_true(has_resolver(&s, "127.0.0.12:53"));
	stop(&s);

	/* In a folder of its own, as systemd-resolved and NetworkManager have it. */
	start_back_end(&s, "copy", resolv_by_link);
	assert_true(has_resolver(&s, "127.0.0.11:53"));
	assert_true(write_resolver(theirs(&s, RUN_FOLDER "/new"), "127.0.0.14"));
	assert_int_equal(rename(theirs(&s, RUN_FOLDER "/new"), theirs(&s, RUN_RESOLV)), 0);
	wait_resolver(&s, "127.0.0.14:53");
	stop(&s);
	assert_string_equal(s.text, "");
}

/* --- files that are opened anew ------------------------------------------------------ */

/* As logrotate does: main may make files where the audit is, and nothing else there. */
static void an_audit_file_is_opened_anew(void **state)
{
	char audit[64], moved[64];
	const char *const args[] = { "vhost-user", "--socket", front_end, "--control",
				     control,	   "--audit",  audit,	  NULL };
	struct sluice s;

	(void)state;
	snprintf(audit, sizeof(audit), "%s/audit", folder);
	snprintf(moved, sizeof(moved), "%s/audit.1", folder);
	start(&s, args, NULL);
	assert_non_null(strstr(s.state, "\"writer\":\"writer\""));
	assert_int_equal(rename(audit, moved), 0);
	assert_true(ask(&s, "{\"cmd\":\"audit reopen\"}\n"));
	assert_non_null(strstr(s.state, "\"ok\":true"));
	assert_int_equal(unlink(audit), 0); /* it is there again */
	unlink(moved);
	stop(&s);
	assert_int_equal(WEXITSTATUS(s.status), 0);
	assert_string_equal(s.text, "");
	unlink(audit);
}

/* --- hosts and containers that do not have all of it ------------------------------ */

/* @nr fails with @err from now on. */
static void take_away(uint32_t nr, uint32_t err)
{
	const struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog f = { ARRAY_SIZE(code), (struct sock_filter *)(uintptr_t)code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &f) < 0)
		_exit(NOT_ALLOWED);
}

static void without_landlock(void)
{
	take_away(SYS_landlock_create_ruleset, ENOSYS);
}

static void without_files_kept_away(void)
{
	take_away(SYS_landlock_create_ruleset, ENOSYS);
	take_away(SYS_unshare, EPERM);
}

static void without_seccomp(void)
{
	take_away(SYS_seccomp, ENOSYS);
}

static void without_io_uring(void)
{
	take_away(SYS_io_uring_setup, EPERM);
}

/* Nothing of the host's files is left, and the sockets are still removed. */
static void mounts_stand_in_for_landlock(void **state)
{
	char secret[64];
	struct sluice s;

	(void)state;
	start_back_end(&s, "copy", without_landlock);
	assert_non_null(strstr(s.state, "\"landlock\":0"));
	if (strstr(s.state, "\"own_mounts\":false")) {
		stop(&s);
		print_message("SKIP: no mount namespace is to be had here\n");
		skip();
	}
	snprintf(secret, sizeof(secret), "/proc/%d/root/etc/passwd", s.pid);
	/* Of a process that cannot be dumped, privilege alone shows the root. */
	if (geteuid() == 0)
		assert_int_not_equal(access(secret, F_OK), 0);
	stop(&s);
	assert_int_equal(WEXITSTATUS(s.status), 0);
	assert_string_equal(s.text, "");
	assert_int_not_equal(access(control, F_OK), 0);
	assert_int_not_equal(access(front_end, F_OK), 0);
}

static void what_is_not_offered_is_said(void **state)
{
	static const struct {
		void (*before)(void);
		const char *says, *shows;
	} rows[] = {
		{ without_files_kept_away, "no Landlock and no mount namespace here",
		  "\"missing\":\"Landlock and no mount namespace\"" },
		{ without_seccomp, "no seccomp here", "\"missing\":\"seccomp\"" },
	};
	struct sluice s;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		start_back_end(&s, "copy", rows[i].before);
		assert_non_null(strstr(s.state, rows[i].shows));
		assert_non_null(strstr(s.state, "\"jail\":{\"mode\":\"on\""));
		stop(&s);
		assert_int_equal(WEXITSTATUS(s.status), 0);
		assert_non_null(strstr(s.text, rows[i].says));
	}
}

/* Where io_uring is forbidden the worker may not use it either (H81). */
static void engines_that_are_not_there_are_not_allowed(void **state)
{
	struct sluice s;

	(void)state;
	start_back_end(&s, "uring", without_io_uring);
	assert_non_null(strstr(s.state, "\"net\":\"net-zerocopy\""));
	stop(&s);
	assert_int_equal(WEXITSTATUS(s.status), 0);
}

/* --- limits ------------------------------------------------------------------------ */

static void few_files(void)
{
	const struct rlimit rl = { 1000, 1000 };

	if (setrlimit(RLIMIT_NOFILE, &rl) < 0)
		_exit(NOT_ALLOWED);
	/* Without the right to raise it. */
	if (getuid() == 0 && (setregid(65534, 65534) < 0 || setreuid(65534, 65534) < 0))
		_exit(NOT_ALLOWED);
}

static void too_few_descriptors_are_refused_with_advice(void **state)
{
	struct sluice s = { .pid = 0 };
	size_t len = 0;
	ssize_t n;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	s.pid = fork();
	if (s.pid == 0) {
		char *argv[] = { program, (char *)(uintptr_t) "vhost-user",
				 (char *)(uintptr_t) "--socket=/tmp/sluice-jail-none",
				 (char *)(uintptr_t) "--max-conns=2000", NULL };

		dup2(fds[1], STDERR_FILENO);
		few_files();
		if (access(program, X_OK) < 0)
			_exit(NOT_ALLOWED);
		execv(program, argv);
		_exit(127);
	}
	close(fds[1]);
	while ((n = read(fds[0], s.text + len, sizeof(s.text) - 1 - len)) > 0)
		len += (size_t)n;
	close(fds[0]);
	assert_int_equal(waitpid(s.pid, &s.status, 0), s.pid);
	if (WEXITSTATUS(s.status) == NOT_ALLOWED) {
		print_message("SKIP: no other user may run the program where it is\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(s.status), 125);
	assert_non_null(strstr(s.text, "--max-conns 2000"));
	assert_non_null(strstr(s.text, "the limit is 1000"));
	assert_non_null(strstr(s.text, "ulimit -n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(each_thread_of_a_back_end_is_in_jail, after_each),
		cmocka_unit_test_teardown(each_thread_of_a_vm_is_in_jail, after_each),
		cmocka_unit_test_teardown(no_task_has_rights_left, after_each),
		cmocka_unit_test_teardown(no_task_of_a_vm_has_rights_left, after_each),
		cmocka_unit_test_teardown(a_jail_that_is_off_is_seen_to_be, after_each),
		cmocka_unit_test_teardown(low_ports_are_bound_at_the_start, after_each),
		cmocka_unit_test_teardown(forwards_of_udp_are_added_in_jail, after_each),
		cmocka_unit_test_teardown(the_hosts_resolvers_are_followed, after_each),
		cmocka_unit_test_teardown(an_audit_file_is_opened_anew, after_each),
		cmocka_unit_test_teardown(mounts_stand_in_for_landlock, after_each),
		cmocka_unit_test_teardown(what_is_not_offered_is_said, after_each),
		cmocka_unit_test_teardown(engines_that_are_not_there_are_not_allowed, after_each),
		cmocka_unit_test_teardown(too_few_descriptors_are_refused_with_advice, after_each),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
