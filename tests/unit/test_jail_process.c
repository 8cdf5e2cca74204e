/* SPDX-License-Identifier: MIT */
/* What the jail takes from the process as a whole, each part in a child of its own. */
#include "tests/unit/jailrig.h"

#include <fcntl.h>
#include <grp.h>
#include <liburing.h>
#include <linux/capability.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#define NOBODY 65534

static char top[] = "/tmp/sluice-jail-XXXXXX";
static char inside[64], outside[64], file_in[80], file_out[80];

static void make_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x", 1), 1);
	close(fd);
}

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(top) || chmod(top, 0755) < 0)
		return -1;
	snprintf(inside, sizeof(inside), "%s/in", top);
	snprintf(outside, sizeof(outside), "%s/out", top);
	snprintf(file_in, sizeof(file_in), "%s/file", inside);
	snprintf(file_out, sizeof(file_out), "%s/file", outside);
	if (mkdir(inside, 0777) < 0 || chmod(inside, 0777) < 0 || mkdir(outside, 0755) < 0)
		return -1;
	make_file(file_in);
	make_file(file_out);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(file_in);
	unlink(file_out);
	rmdir(inside);
	rmdir(outside);
	return rmdir(top);
}

static bool can_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0644);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void become_nobody(void)
{
	if (getuid() != 0)
		return;
	CHECK(setgroups(0, NULL) == 0);
	CHECK(setresgid(NOBODY, NOBODY, NOBODY) == 0);
	CHECK(setresuid(NOBODY, NOBODY, NOBODY) == 0);
}

/* --- descriptors ------------------------------------------------------------ */

static void close_strangers(void *arg)
{
	struct jail_config cfg = { .on = true, .keep = { 40, 20 }, .nkeep = 2 };
	struct rlimit core;
	struct jail j;
	char why[256];

	(void)arg;
	for (int fd = 10; fd <= 60; fd++)
		CHECK(dup2(STDERR_FILENO, fd) == fd);
	CHECK(jail_begin(&j, &cfg, why, sizeof(why)) == 0);
	for (int fd = 10; fd <= 60; fd++)
		CHECK((fcntl(fd, F_GETFD) >= 0) == (fd == 20 || fd == 40));
	CHECK(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0);
	jail_free(&j);
}

static void only_known_descriptors_stay_open(void **state)
{
	struct outcome o;

	(void)state;
	skip_if_instrumented();
	in_child(close_strangers, NULL, &o);
	assert_child_is_well(&o);
}

static void begin_without_stdin(void *arg)
{
	struct jail_config cfg = { .on = true };
	struct stat st, null;
	struct jail j;
	char why[256];

	(void)arg;
	close(STDIN_FILENO);
	close(STDOUT_FILENO);
	CHECK(jail_begin(&j, &cfg, why, sizeof(why)) == 0);
	CHECK(stat("/dev/null", &null) == 0);
	for (int fd = 0; fd <= 1; fd++)
		CHECK(fstat(fd, &st) == 0 && st.st_rdev == null.st_rdev);
	jail_free(&j);
}

/* Else the next file that is opened would be "standard output". */
static void missing_standard_streams_lead_nowhere(void **state)
{
	struct outcome o;

	(void)state;
	in_child(begin_without_stdin, NULL, &o);
	assert_child_is_well(&o);
}

static void begin_without_jail(void *arg)
{
	struct jail_config cfg = { .on = false };
	struct jail j;
	char why[256];

	(void)arg;
	CHECK(dup2(STDERR_FILENO, 20) == 20);
	CHECK(jail_begin(&j, &cfg, why, sizeof(why)) == 0);
	CHECK(jail_allow(&j, "/nowhere", JAIL_READ) == 0);
	CHECK(jail_enter(&j, why, sizeof(why)) == 0);
	CHECK(jail_thread_net(&j) == 0);
	CHECK(jail_close(&j, why, sizeof(why)) == 0);
	CHECK(fcntl(20, F_GETFD) >= 0);
	CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0);
	CHECK(!j.status.on);
	jail_free(&j);
	exit(0);
}

static void a_jail_that_is_off_says_so_and_does_nothing(void **state)
{
	struct outcome o;

	(void)state;
	in_child(begin_without_jail, NULL, &o);
	assert_child_is_well(&o);
	assert_non_null(strstr(o.text, "warning: the jail is OFF (--jail=off)"));
}

/* --- capabilities ----------------------------------------------------------- */

static uint64_t status_hex(const char *name)
{
	FILE *f = fopen("/proc/thread-self/status", "re");
	char line[256];
	unsigned long long v = 1;

	CHECK(f != NULL);
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, name, strlen(name)) == 0)
			CHECK(sscanf(line + strlen(name), ":%llx", &v) == 1);
	}
	fclose(f);
	return v;
}

static void drop_caps(void *arg)
{
	static const char *const sets[] = { "CapInh", "CapPrm", "CapEff", "CapAmb" };
	bool bounding, privileged = prctl(PR_CAPBSET_DROP, CAP_WAKE_ALARM, 0, 0, 0) == 0;

	(void)arg;
	CHECK(caps_drop(&bounding) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		CHECK(status_hex(sets[i]) == 0);
	CHECK(bounding == privileged);
	CHECK(!bounding || status_hex("CapBnd") == 0);
	CHECK(chroot("/") < 0 && errno == EPERM);
}

static void drop_caps_as_nobody(void *arg)
{
	become_nobody();
	drop_caps(arg);
}

static void no_capability_is_left(void **state)
{
	struct outcome o;

	(void)state;
	in_child(drop_caps, NULL, &o);
	assert_child_is_well(&o);
	in_child(drop_caps_as_nobody, NULL, &o);
	assert_child_is_well(&o);
}

/* --- files ------------------------------------------------------------------ */

static struct jail_path path_of(const char *path, unsigned int access)
{
	struct jail_path p = { open(path, O_PATH | O_CLOEXEC), access };

	CHECK(p.fd >= 0);
	return p;
}

static void enter_landlock(const char *path, unsigned int access)
{
	struct jail_path p = path_of(path, access);

	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(landlock_enter(landlock_abi(), &p, 1) == 0);
}

static void read_folder(void *arg)
{
	char made[96];

	(void)arg;
	snprintf(made, sizeof(made), "%s/made", inside);
	enter_landlock(inside, JAIL_READ);
	CHECK(can_open(file_in, O_RDONLY));
	CHECK(!can_open(file_in, O_RDWR) && errno == EACCES);
	CHECK(!can_open(file_in, O_RDONLY | O_TRUNC) || landlock_abi() < 3);
	CHECK(!can_open(made, O_WRONLY | O_CREAT) && errno == EACCES);
	CHECK(!can_open(file_out, O_RDONLY) && errno == EACCES);
	CHECK(!can_open("/etc/passwd", O_RDONLY) && errno == EACCES);
	CHECK(!can_open("/proc/self/mem", O_RDONLY) && errno == EACCES);
	CHECK(unlink(file_in) < 0 && errno == EACCES);
}

/* A file that is replaced is another one: its folder is what counts. */
static void read_replaced(void *arg)
{
	char other[96];

	(void)arg;
	snprintf(other, sizeof(other), "%s/other", inside);
	make_file(other);
	enter_landlock(inside, JAIL_READ | JAIL_CREATE | JAIL_REMOVE);
	CHECK(rename(other, file_in) == 0);
	CHECK(can_open(file_in, O_RDONLY));
}

static void read_one_file(void *arg)
{
	(void)arg;
	enter_landlock(file_in, JAIL_READ | JAIL_CREATE | JAIL_REMOVE);
	CHECK(can_open(file_in, O_RDWR | O_TRUNC));
	CHECK(!can_open(file_out, O_RDONLY) && errno == EACCES);
	CHECK(unlink(file_in) < 0 && errno == EACCES);
}

static void create_and_remove(void *arg)
{
	char made[96];

	(void)arg;
	snprintf(made, sizeof(made), "%s/made", inside);
	enter_landlock(inside, JAIL_CREATE | JAIL_REMOVE);
	CHECK(can_open(made, O_WRONLY | O_CREAT | O_EXCL));
	CHECK(can_open(made, O_WRONLY | O_TRUNC));
	CHECK(!can_open(made, O_RDONLY) && errno == EACCES);
	CHECK(unlink(made) == 0);
	CHECK(!can_open(file_out, O_WRONLY) && errno == EACCES);
	CHECK(symlink("/etc", made) < 0 && errno == EACCES);
	CHECK(mkdir(made, 0700) < 0 && errno == EACCES);
}

static void landlock_keeps_files_away(void **state)
{
	static void (*const parts[])(void *) = { read_folder, read_replaced, read_one_file,
						 create_and_remove };
	struct outcome o;

	(void)state;
	if (!landlock_abi()) {
		print_message("SKIP: this kernel has no Landlock\n");
		skip();
	}
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		in_child(parts[i], NULL, &o);
		assert_child_is_well(&o);
	}
}

static void signal_and_connect(void *arg)
{
	static const struct sockaddr_un sa = { .sun_family = AF_UNIX, .sun_path = "\0sluice-jail" };
	const socklen_t len = offsetof(struct sockaddr_un, sun_path) + sizeof("\0sluice-jail") - 1;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)arg;
	CHECK(fd >= 0);
	enter_landlock(inside, JAIL_READ);
	CHECK(kill(getppid(), 0) < 0 && errno == EPERM);
	CHECK(kill(getpid(), 0) == 0);
	CHECK(connect(fd, (const struct sockaddr *)&sa, len) < 0 && errno == EPERM);
}

static void landlock_keeps_other_processes_away(void **state)
{
	static const struct sockaddr_un sa = { .sun_family = AF_UNIX, .sun_path = "\0sluice-jail" };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct outcome o;

	(void)state;
	if (landlock_abi() < 6) {
		close(fd);
		print_message("SKIP: Landlock knows no scopes before ABI 6 (Linux 6.12)\n");
		skip();
	}
	assert_int_equal(bind(fd, (const struct sockaddr *)&sa,
			      offsetof(struct sockaddr_un, sun_path) + sizeof("\0sluice-jail") - 1),
			 0);
	assert_int_equal(listen(fd, 1), 0);
	in_child(signal_and_connect, NULL, &o);
	close(fd);
	assert_child_is_well(&o);
}

static void live_in_mounts(void *arg)
{
	struct jail_path p[] = { path_of(inside, JAIL_READ), path_of(outside, JAIL_REMOVE) };
	int err;

	(void)arg;
	CHECK(chdir(inside) == 0);
	err = mounts_enter(p, ARRAY_SIZE(p));
	if (err == -EPERM)
		_exit(77);
	errno = -err;
	CHECK(err == 0);
	CHECK(can_open(file_in, O_RDONLY));
	CHECK(can_open("file", O_RDONLY)); /* relative to where we were */
	CHECK(!can_open(file_in, O_WRONLY) && errno == EROFS);
	CHECK(!can_open("made", O_WRONLY | O_CREAT) && errno == EROFS);
	CHECK(!can_open("/etc/passwd", O_RDONLY) && errno == ENOENT);
	CHECK(!can_open("/proc/self/status", O_RDONLY) && errno == ENOENT);
	CHECK(!can_open("/../etc/passwd", O_RDONLY) && errno == ENOENT);
	CHECK(!can_open("/made", O_WRONLY | O_CREAT) && errno == EROFS);
}

static void live_in_mounts_as_nobody(void *arg)
{
	become_nobody();
	live_in_mounts(arg);
}

/* Where there is no Landlock. */
static void mounts_keep_files_away(void **state)
{
	static void (*const who[])(void *) = { live_in_mounts, live_in_mounts_as_nobody };
	size_t refused = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(who); i++) {
		struct outcome o;

		in_child(who[i], NULL, &o);
		if (o.status == 77)
			refused++;
		else
			assert_child_is_well(&o);
	}
	if (refused == ARRAY_SIZE(who)) {
		print_message("SKIP: no mount namespace is to be had here\n");
		skip();
	}
}

/* --- threads ---------------------------------------------------------------- */

static void *sit(void *arg)
{
	(void)arg;
	for (;;)
		pause();
	return NULL;
}

static void *jailed(void *arg)
{
	CHECK(jail_thread_net(arg) == 0);
	for (;;)
		poll(NULL, 0, -1);
	return NULL;
}

static void *call_home(void *arg)
{
	CHECK(prctl(PR_SET_NAME, "sluice-net") == 0);
	CHECK(jail_thread_net(arg) == 0);
	(void)getppid();
	return NULL;
}

static void enter(struct jail *j)
{
	struct jail_config cfg = { .on = true };
	char why[256] = "";

	CHECK(jail_begin(j, &cfg, why, sizeof(why)) == 0);
	CHECK(jail_enter(j, why, sizeof(why)) == 0);
}

static void forget_a_thread(void *arg)
{
	char why[256] = "";
	struct jail j;
	pthread_t t;

	(void)arg;
	enter(&j);
	if (j.tasks < 0)
		_exit(77);
	CHECK(pthread_create(&t, NULL, sit, NULL) == 0);
	CHECK(jail_close(&j, why, sizeof(why)) == -EBUSY);
	CHECK(strstr(why, "1 of 1 threads have no filter") != NULL);
}

/* H80: seccomp on one harmless thread, and absent on another. */
static void a_thread_without_a_filter_stops_all(void **state)
{
	struct outcome o;

	(void)state;
	skip_if_instrumented();
	in_child(forget_a_thread, NULL, &o);
	if (o.status == 77) {
		print_message("SKIP: no /proc here\n");
		skip();
	}
	assert_child_is_well(&o);
}

static void have_threads_before(void *arg)
{
	struct jail_config cfg = { .on = true };
	char why[256] = "";
	struct jail j;
	pthread_t t;

	(void)arg;
	CHECK(jail_begin(&j, &cfg, why, sizeof(why)) == 0);
	if (j.tasks < 0)
		_exit(77);
	CHECK(pthread_create(&t, NULL, sit, NULL) == 0);
	CHECK(jail_enter(&j, why, sizeof(why)) == -EBUSY);
}

static void threads_come_after_the_jail(void **state)
{
	struct outcome o;

	(void)state;
	skip_if_instrumented();
	in_child(have_threads_before, NULL, &o);
	if (o.status == 77) {
		print_message("SKIP: no /proc here\n");
		skip();
	}
	assert_child_is_well(&o);
}

static void have_kernel_worker_before(void *arg)
{
	struct jail_config cfg = { .on = true, .nkeep = 1 };
	struct io_uring ring;
	struct io_uring_sqe *sqe;
	char why[256] = "";
	struct jail j;

	(void)arg;
	if (io_uring_queue_init(4, &ring, 0) < 0)
		_exit(77);
	cfg.keep[0] = ring.ring_fd;
	CHECK(jail_begin(&j, &cfg, why, sizeof(why)) == 0);
	if (j.tasks < 0)
		_exit(77);
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_nop(sqe);
	io_uring_sqe_set_flags(sqe, IOSQE_ASYNC);
	CHECK(io_uring_submit_and_wait(&ring, 1) == 1);
	CHECK(jail_enter(&j, why, sizeof(why)) == 0);
	if (j.workers == 0)
		_exit(77); /* it ended at once, or this kernel does not show it */
	CHECK(jail_close(&j, why, sizeof(why)) == 0);
}

/* KVM and io_uring make tasks in our name that never run our code. */
static void a_worker_of_the_kernel_is_no_thread(void **state)
{
	struct outcome o;

	(void)state;
	skip_if_instrumented();
	in_child(have_kernel_worker_before, NULL, &o);
	if (o.status == 77) {
		print_message("SKIP: no io_uring here, or no /proc\n");
		skip();
	}
	assert_child_is_well(&o);
}

static void whole_jail(void *arg)
{
	char why[256] = "";
	struct jail j;
	pthread_t t;

	(void)arg;
	enter(&j);
	CHECK(pthread_create(&t, NULL, jailed, &j) == 0);
	while (atomic_load(&j.threads) == 0)
		sched_yield();
	CHECK(jail_close(&j, why, sizeof(why)) == 0);
	(void)getppid();
}

static void whole_jail_of_a_thread(void *arg)
{
	struct jail j;
	pthread_t t;

	(void)arg;
	enter(&j);
	CHECK(pthread_create(&t, NULL, call_home, &j) == 0);
	pthread_join(t, NULL);
}

static void the_whole_jail_holds(void **state)
{
	struct outcome o;

	(void)state;
	skip_if_instrumented();
	if (!filter_offered()) {
		print_message("SKIP: this kernel or container has no seccomp filters\n");
		skip();
	}
	in_child(whole_jail, NULL, &o);
	assert_int_equal(o.status, JAIL_EXIT_STATUS);
	assert_non_null(strstr(o.text, "profile main-vhost-user, may not call getppid("));
	in_child(whole_jail_of_a_thread, NULL, &o);
	assert_int_equal(o.status, JAIL_EXIT_STATUS);
	assert_non_null(
		strstr(o.text, "thread sluice-net, profile net-copy, may not call getppid("));
}

static void install_without_privilege(void *arg)
{
	const struct sock_fprog *f = arg;

	become_nobody();
	CHECK(filter_install(f) == -EACCES); /* no_new_privs is not set */
}

static void enter_with_broken_filter(void *arg)
{
	char why[256] = "";
	struct jail j;

	(void)arg;
	enter(&j);
	j.filter[JAIL_MAIN].filter[0].code = 0xffff;
	CHECK(jail_close(&j, why, sizeof(why)) == -EINVAL);
	CHECK(strstr(why, "--jail: seccomp: ") != NULL);
}

/* Nothing that fails is passed over. */
static void a_filter_that_cannot_be_installed_is_an_error(void **state)
{
	const struct jail_config cfg = { .on = true };
	struct sock_fprog f = { .len = 0 };
	struct jail_profile p;
	struct outcome o;

	(void)state;
	skip_if_instrumented();
	jail_profile(&p, JAIL_NET, &cfg, 0);
	assert_int_equal(filter_build(&f, &p), 0);
	in_child(install_without_privilege, &f, &o);
	filter_free(&f);
	assert_child_is_well(&o);
	in_child(enter_with_broken_filter, NULL, &o);
	assert_child_is_well(&o);
}

static void leave_a_dump(void *arg)
{
	struct jail j;

	(void)arg;
	enter(&j);
	CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
	CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
}

static void nothing_is_dumped_and_nothing_gained(void **state)
{
	struct outcome o;

	(void)state;
	skip_if_instrumented();
	in_child(leave_a_dump, NULL, &o);
	assert_child_is_well(&o);
}

/* --- limits ----------------------------------------------------------------- */

static void raise_files(void *arg)
{
	struct rlimit rl = { 64, 128 };

	(void)arg;
	CHECK(setrlimit(RLIMIT_NOFILE, &rl) == 0);
	become_nobody();
	CHECK(rlimit_raise(RLIMIT_NOFILE, 32) == 64); /* never lowered */
	CHECK(rlimit_raise(RLIMIT_NOFILE, 100) == 100);
	CHECK(rlimit_raise(RLIMIT_NOFILE, 1000) == 128);
	CHECK(getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur == 128);
}

static void limits_are_raised_as_far_as_allowed(void **state)
{
	struct outcome o;

	(void)state;
	in_child(raise_files, NULL, &o);
	assert_child_is_well(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_known_descriptors_stay_open),
		cmocka_unit_test(missing_standard_streams_lead_nowhere),
		cmocka_unit_test(a_jail_that_is_off_says_so_and_does_nothing),
		cmocka_unit_test(no_capability_is_left),
		cmocka_unit_test(landlock_keeps_files_away),
		cmocka_unit_test(landlock_keeps_other_processes_away),
		cmocka_unit_test(mounts_keep_files_away),
		cmocka_unit_test(a_thread_without_a_filter_stops_all),
		cmocka_unit_test(threads_come_after_the_jail),
		cmocka_unit_test(a_worker_of_the_kernel_is_no_thread),
		cmocka_unit_test(the_whole_jail_holds),
		cmocka_unit_test(a_filter_that_cannot_be_installed_is_an_error),
		cmocka_unit_test(nothing_is_dumped_and_nothing_gained),
		cmocka_unit_test(limits_are_raised_as_far_as_allowed),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
