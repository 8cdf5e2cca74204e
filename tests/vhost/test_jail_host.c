/* SPDX-License-Identifier: MIT */
/*
 * What the program still does in its jail: follow the host's resolvers, add forwards, open
 * its audit anew; and what it says on hosts that offer less.
 */
#include "tests/vhost/program.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/base/clock.h"

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
	program_start(&s, args, NULL);
	assert_true(program_ask(&s, "{\"cmd\":\"forward list\"}\n"));
	assert_non_null(strstr(s.state, "127.83.7.1:83"));
	assert_true(program_ask(&s, "{\"cmd\":\"forward add\",\"args\":[\"127.83.7.1:84:80\"]}\n"));
	assert_non_null(strstr(s.state, "\"ok\":false"));
	assert_non_null(strstr(s.state, "use --publish at the start"));
	assert_true(program_ask(&s, "{\"cmd\":\"forward add\",\"args\":[\"127.83.7.1:0:80\"]}\n"));
	assert_non_null(strstr(s.state, "\"ok\":true"));
	program_stop(&s);
}

/* The calls that a forward takes are there once rights are gone, in both families. */
static void forwards_of_udp_are_added_in_jail(void **state)
{
	const char *const args[] = {
		"vhost-user", "--socket", front_end, "--control", control, NULL
	};
	struct sluice s;

	(void)state;
	program_start(&s, args, NULL);
	assert_true(program_ask(&s, "{\"cmd\":\"forward add\",\"args\":[\"0.0.0.0:0:53/udp\"]}\n"));
	assert_non_null(strstr(s.state, "\"ok\":true"));
	assert_true(program_ask(&s, "{\"cmd\":\"forward add\",\"args\":[\"[::]:0:53/udp\"]}\n"));
	/* A host without IPv6 says so; it takes no call that is not allowed. */
	assert_non_null(strstr(s.state, "\"ok\":"));
	assert_true(program_ask(&s, "{\"cmd\":\"forward list\"}\n"));
	assert_non_null(strstr(s.state, "\"proto\":\"udp\""));
	program_stop(&s);
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
	return program_ask(s, "{\"cmd\":\"status\"}\n") && strstr(s->state, address);
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

	while (program_messages(s), !strstr(s->text, words)) {
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
	program_back_end(&s, "copy", resolv_in_etc);
	assert_true(has_resolver(&s, "127.0.0.11:53"));
	assert_true(write_resolver(theirs(&s, ETC_RESOLV), "127.0.0.12"));
	wait_resolver(&s, "127.0.0.12:53");
	assert_true(write_resolver(theirs(&s, "/etc/new"), "127.0.0.13"));
	assert_int_equal(rename(theirs(&s, "/etc/new"), theirs(&s, ETC_RESOLV)), 0);
	wait_message(&s, "the jail does not let us read");
	assert_true(has_resolver(&s, "127.0.0.12:53"));
	program_stop(&s);

	/* In a folder of its own, as systemd-resolved and NetworkManager have it. */
	program_back_end(&s, "copy", resolv_by_link);
	assert_true(has_resolver(&s, "127.0.0.11:53"));
	assert_true(write_resolver(theirs(&s, RUN_FOLDER "/new"), "127.0.0.14"));
	assert_int_equal(rename(theirs(&s, RUN_FOLDER "/new"), theirs(&s, RUN_RESOLV)), 0);
	wait_resolver(&s, "127.0.0.14:53");
	program_stop(&s);
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
	program_start(&s, args, NULL);
	assert_non_null(strstr(s.state, "\"writer\":\"writer\""));
	assert_int_equal(rename(audit, moved), 0);
	assert_true(program_ask(&s, "{\"cmd\":\"audit reopen\"}\n"));
	assert_non_null(strstr(s.state, "\"ok\":true"));
	assert_int_equal(unlink(audit), 0); /* it is there again */
	unlink(moved);
	program_stop(&s);
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
	program_back_end(&s, "copy", without_landlock);
	assert_non_null(strstr(s.state, "\"landlock\":0"));
	if (strstr(s.state, "\"own_mounts\":false")) {
		program_stop(&s);
		print_message("SKIP: no mount namespace is to be had here\n");
		skip();
	}
	snprintf(secret, sizeof(secret), "/proc/%d/root/etc/passwd", s.pid);
	/* Of a process that cannot be dumped, privilege alone shows the root. */
	if (geteuid() == 0)
		assert_int_not_equal(access(secret, F_OK), 0);
	program_stop(&s);
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
		program_back_end(&s, "copy", rows[i].before);
		assert_non_null(strstr(s.state, rows[i].shows));
		assert_non_null(strstr(s.state, "\"jail\":{\"mode\":\"on\""));
		program_stop(&s);
		assert_int_equal(WEXITSTATUS(s.status), 0);
		assert_non_null(strstr(s.text, rows[i].says));
	}
}

/* Where io_uring is forbidden the worker may not use it either (H81). */
static void engines_that_are_not_there_are_not_allowed(void **state)
{
	struct sluice s;

	(void)state;
	program_back_end(&s, "uring", without_io_uring);
	assert_non_null(strstr(s.state, "\"net\":\"net-zerocopy\""));
	program_stop(&s);
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
		cmocka_unit_test_teardown(low_ports_are_bound_at_the_start, program_after_each),
		cmocka_unit_test_teardown(forwards_of_udp_are_added_in_jail, program_after_each),
		cmocka_unit_test_teardown(the_hosts_resolvers_are_followed, program_after_each),
		cmocka_unit_test_teardown(an_audit_file_is_opened_anew, program_after_each),
		cmocka_unit_test_teardown(mounts_stand_in_for_landlock, program_after_each),
		cmocka_unit_test_teardown(what_is_not_offered_is_said, program_after_each),
		cmocka_unit_test_teardown(engines_that_are_not_there_are_not_allowed,
					  program_after_each),
		cmocka_unit_test_teardown(too_few_descriptors_are_refused_with_advice,
					  program_after_each),
	};

	return cmocka_run_group_tests(tests, program_setup, program_teardown);
}
