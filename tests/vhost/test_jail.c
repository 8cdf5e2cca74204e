/* SPDX-License-Identifier: MIT */
/*
 * The program itself in its jail: each thread of a running `sluice vhost-user` and
 * `sluice run` is made to call what it may not, as if somebody had taken it over.
 *
 * A debugger with privilege does that: it stops the thread, sets its registers to
 * a system call, and lets go. The VM's guest is two instructions: hlt and a jump.
 */
#include "tests/vhost/program.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/base/clock.h"

/* Of src/jail/jail.h, and of sluice-run(1). */
#define JAIL_STATUS 159

static char kernel[64];

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
	if (program_setup(state) < 0)
		return -1;
	snprintf(kernel, sizeof(kernel), "%s/kernel", folder);
	write_kernel();
	return 0;
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
	program_start(s, args, NULL);
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
	if (!program_wait(s))
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
			program_back_end(&s, rows[i].bulk, NULL);
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
	program_back_end(&s, "auto", NULL);
	check_tasks(&s, 3);
	assert_non_null(strstr(s.state, "\"jail\":{\"mode\":\"on\""));
	assert_non_null(strstr(s.state, "\"main\":\"main-vhost-user\""));
	assert_non_null(strstr(s.state, "\"net\":\"net-splice-"));
	program_stop(&s);
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
	program_stop(&s);
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
	program_start(&s, args, NULL);
	snprintf(tid, sizeof(tid), "%d", s.pid);
	assert_int_equal(task_value(s.pid, tid, "Seccomp", 10), 0);
	assert_non_null(strstr(s.state, "\"jail\":{\"mode\":\"off\""));
	program_stop(&s);
	assert_non_null(strstr(s.text, "warning: the jail is OFF (--jail=off)"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(each_thread_of_a_back_end_is_in_jail, program_after_each),
		cmocka_unit_test_teardown(each_thread_of_a_vm_is_in_jail, program_after_each),
		cmocka_unit_test_teardown(no_task_has_rights_left, program_after_each),
		cmocka_unit_test_teardown(no_task_of_a_vm_has_rights_left, program_after_each),
		cmocka_unit_test_teardown(a_jail_that_is_off_is_seen_to_be, program_after_each),
	};

	return cmocka_run_group_tests(tests, setup, program_teardown);
}
