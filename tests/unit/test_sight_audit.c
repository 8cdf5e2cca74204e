/* SPDX-License-Identifier: MIT */
/* The audit log: where its lines go when disks and readers misbehave. */
#include "tests/unit/jsonget.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "src/base/log.h"
#include "src/base/unixsock.h"
#include "src/sight/audit_log.h"
#include "src/sight/writer.h"
#include "tcpstack/audit.h"

static char dir[] = "/tmp/sluice-audit-XXXXXX";
static char path[128], where[160];
static struct writer *writer;
static struct audit_log *log_;
static uint64_t told; /* records put into the ring, or lost there */

static int begin(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/sluice-audit-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/audit", dir);
	snprintf(where, sizeof(where), "%s", path);
	log_set_level(LOG_ERROR);
	told = 0;
	log_ = NULL;
	return writer_new(&writer, NULL, NULL) || writer_start(writer);
}

static int end(void **state)
{
	struct dirent *e;
	DIR *d;

	(void)state;
	audit_log_free(log_);
	writer_free(writer);
	d = opendir(dir);
	while ((e = readdir(d)))
		unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	return rmdir(dir);
}

static void open_log(void)
{
	char why[256] = "";

	if (audit_log_new(&log_, where, writer, why, sizeof(why)))
		fail_msg("%s", why);
}

/* What the stack does. */
static void tell(const struct audit_record *r, const char *name, const char *rule)
{
	struct audit *a = audit_log_stack(log_);
	uint32_t len = (uint32_t)sizeof(*r) + r->name_len + r->rule_len;
	struct audit_record *out = spsc_reserve(&a->ring, len);

	told++;
	if (!out)
		return;
	*out = *r;
	memcpy(out->text, name ? name : "", r->name_len);
	memcpy(out->text + r->name_len, rule ? rule : "", r->rule_len);
	spsc_commit(&a->ring);
}

/* A flow's end; its number is in tx_bytes. */
static void tell_number(uint64_t n)
{
	const struct audit_record r = { .time_ns = clock_now_ns(),
					.event = AUDIT_CLOSE,
					.has_flow = true,
					.flow = { 3, 1 },
					.tx_bytes = n };

	tell(&r, NULL, NULL);
}

static struct audit_log_status status(void)
{
	struct audit_log_status s;

	audit_log_status(log_, &s);
	return s;
}

#define SOON(expr)                                                                    \
	do {                                                                          \
		uint64_t since_ = clock_now_ns();                                     \
		while (!(expr)) {                                                     \
			if (clock_now_ns() - since_ > 60 * NS_PER_S)                  \
				fail_msg("%s:%d: not %s", __FILE__, __LINE__, #expr); \
			usleep(1000);                                                 \
		}                                                                     \
	} while (0)

/* Whole lines of @text in order; each is JSON; their numbers go to @seen. Lost ones: the sum */
static uint64_t read_lines(const char *text, size_t len, uint8_t *seen, uint64_t *last)
{
	uint64_t lost = 0;

	while (len) {
		const char *nl = memchr(text, '\n', len);
		size_t n;
		json_t *j;

		if (!nl)
			fail_msg("a torn line: %.*s", (int)len, text);
		n = (size_t)(nl - text) + 1;
		j = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
		if (!j)
			fail_msg("no JSON: %.*s", (int)n, text);
		if (strcmp(str(j, "event"), "lost") == 0) {
			lost += (uint64_t)num(j, "lost");
		} else {
			uint64_t number = (uint64_t)num(j, "tx_bytes");

			assert_true(number < told && number >= *last);
			assert_int_equal(seen[number], 0);
			seen[number] = 1;
			*last = number;
		}
		json_decref(j);
		text += n;
		len -= n;
	}
	return lost;
}

static uint64_t read_file(const char *name, uint8_t *seen, uint64_t *last)
{
	static char text[16U << 20];
	FILE *f = fopen(name, "r");
	size_t n;

	assert_non_null(f);
	n = fread(text, 1, sizeof(text), f);
	assert_true(n < sizeof(text));
	fclose(f);
	return read_lines(text, n, seen, last);
}

static uint64_t count(const uint8_t *seen)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < told; i++)
		n += seen[i];
	return n;
}

static void lines_are_appended_to_a_file_of_ours(void **state)
{
	uint8_t seen[8] = { 0 };
	uint64_t last = 0;
	struct stat st;

	(void)state;
	open_log();
	tell_number(0);
	SOON(status().lines == 1);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	audit_log_free(log_);
	open_log();
	tell_number(1);
	tell_number(2);
	audit_log_free(log_); /* what was told is written */
	log_ = NULL;
	assert_int_equal(read_file(path, seen, &last), 0);
	assert_int_equal(count(seen), 3);
}

static void a_wrong_destination_is_known_at_once(void **state)
{
	char why[256] = "";

	(void)state;
	assert_int_equal(audit_log_new(&log_, "/nowhere/at/all", writer, why, sizeof(why)),
			 -ENOENT);
	assert_non_null(strstr(why, "--audit: /nowhere/at/all"));
	snprintf(where, sizeof(where), AUDIT_UNIX "%s", path);
	assert_int_equal(audit_log_new(&log_, where, writer, why, sizeof(why)), -ENOENT);
	log_ = NULL;
}

/* No more than the ring holds, should the writer not run at all. */
#define ROTATIONS 40
#define EACH	  100

/* logrotate: moved away under load and made anew; no line is lost, torn or twice. */
static void a_file_may_be_rotated_at_any_time(void **state)
{
	static uint8_t seen[ROTATIONS * EACH];
	uint64_t last = 0;
	char name[160];

	(void)state;
	memset(seen, 0, sizeof(seen));
	open_log();
	for (int i = 0; i < ROTATIONS; i++) {
		for (int k = 0; k < EACH; k++)
			tell_number(told);
		snprintf(name, sizeof(name), "%s.%d", path, i);
		assert_int_equal(rename(path, name), 0);
		assert_int_equal(audit_log_reopen(log_), 0);
	}
	audit_log_free(log_);
	log_ = NULL;
	for (int i = 0; i < ROTATIONS; i++) {
		snprintf(name, sizeof(name), "%s.%d", path, i);
		read_file(name, seen, &last);
	}
	read_file(path, seen, &last);
	assert_int_equal(told, ROTATIONS * EACH);
	assert_int_equal(count(seen), told);
}

static int said_fd[2];

/* Lines that the log of the program has had since. */
static int said(void)
{
	char text[4096];
	ssize_t n = read(said_fd[0], text, sizeof(text));
	int lines = 0;

	for (ssize_t i = 0; i < n; i++)
		lines += text[i] == '\n';
	return lines;
}

/* More than buffer and ring hold. */
#define TOO_MANY 20000

/*
 * A disk that is full: the writer keeps what it can and tries again, the log has
 * one line, and when there is room the audit says how much it has lost.
 */
static void a_full_disk_costs_lines_and_says_how_many(void **state)
{
	static uint8_t seen[TOO_MANY];
	uint64_t last = 0, lost;
	char real[160];

	(void)state;
	memset(seen, 0, sizeof(seen));
	snprintf(real, sizeof(real), "%s.real", path);
	assert_int_equal(symlink("/dev/full", path), 0);
	assert_int_equal(pipe2(said_fd, O_NONBLOCK | O_CLOEXEC), 0);
	log_set_fd(said_fd[1]);
	log_set_level(LOG_WARN);
	open_log();
	while (told < TOO_MANY)
		tell_number(told);
	SOON(status().failures >= 3);
	assert_int_equal(status().error, ENOSPC);
	assert_int_equal(status().lines, 0);
	assert_int_equal(said(), 1);
	lost = status().lost;
	assert_true(lost > 0 && lost < TOO_MANY);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(real, path), 0);
	assert_int_equal(audit_log_reopen(log_), 0);
	SOON(status().waiting == 0 && status().lines >= TOO_MANY - lost);
	assert_int_equal(status().error, 0);
	audit_log_free(log_);
	log_ = NULL;
	assert_int_equal(said(), 1);
	log_set_fd(STDERR_FILENO);
	close(said_fd[0]);
	close(said_fd[1]);
	assert_int_equal(read_file(real, seen, &last), lost);
	assert_int_equal(count(seen) + lost, TOO_MANY);
}

/* All that @fd has until @want records are known of, kept or lost, or it ends. */
static void read_until(int fd, uint64_t want, uint8_t *seen, uint64_t *last, uint64_t *lost)
{
	static char text[1U << 20];
	static size_t have;

	if (*last == 0)
		have = 0;

	SOON(({
		ssize_t n = recv(fd, text + have, sizeof(text) - have, MSG_DONTWAIT);

		if (n < 0 && errno == ENOTSOCK)
			n = read(fd, text + have, sizeof(text) - have);
		if (n > 0) {
			char *nl;

			have += (size_t)n;
			nl = memrchr(text, '\n', have);
			if (nl) {
				size_t whole = (size_t)(nl - text) + 1;

				*lost += read_lines(text, whole, seen, last);
				have -= whole;
				memmove(text, text + whole, have);
			}
		}
		count(seen) + *lost >= want;
	}));
}

/*
 * A pipe that is full, then has room for two pages: what is told fills them, and the
 * last line there is cut. Return: the pipe; *@filler = bytes of the test's own in it
 */
static int cut_a_line(size_t *filler)
{
	char page[4096];
	int fd;

	assert_int_equal(mkfifo(path, 0600), 0);
	fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	assert_true(fd >= 0);
	memset(page, 'x', sizeof(page));
	for (*filler = 0; write(fd, page, sizeof(page)) > 0; *filler += sizeof(page))
		;
	open_log();
	while (told < 2000)
		tell_number(told);
	SOON(status().waiting > 2 * sizeof(page));
	assert_int_equal(status().bytes, 0);
	for (int i = 0; i < 2; i++, *filler -= sizeof(page))
		assert_int_equal(read(fd, page, sizeof(page)), sizeof(page));
	SOON(status().bytes == 2 * sizeof(page));
	return fd;
}

static void read_filler(int fd, size_t filler)
{
	char page[4096];

	for (; filler; filler -= sizeof(page))
		assert_int_equal(read(fd, page, sizeof(page)), sizeof(page));
}

/* What the pipe did not take of a line follows, in its place. */
static void a_line_that_was_cut_goes_on_where_it_stopped(void **state)
{
	static uint8_t seen[2000];
	uint64_t last = 0, lost = 0;
	size_t filler;
	int fd;

	(void)state;
	memset(seen, 0, sizeof(seen));
	fd = cut_a_line(&filler);
	read_filler(fd, filler);
	read_until(fd, told, seen, &last, &lost);
	assert_int_equal(lost, 0);
	assert_int_equal(status().failures, 0);
	close(fd);
}

/* ... unless there is another file by then: it has the line from its beginning. */
static void a_line_that_was_cut_begins_anew_in_the_next_file(void **state)
{
	static uint8_t seen[2000];
	uint64_t last = 0;
	char text[3 * 4096];
	size_t filler;
	char *nl;
	int fd;

	(void)state;
	memset(seen, 0, sizeof(seen));
	fd = cut_a_line(&filler);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(audit_log_reopen(log_), 0);
	SOON(status().waiting == 0 && status().lines == told);
	read_filler(fd, filler);
	assert_int_equal(read(fd, text, sizeof(text)), 2 * 4096);
	nl = memrchr(text, '\n', 2 * 4096);
	assert_ptr_not_equal(nl, text + 2 * 4096 - 1); /* it was cut */
	read_lines(text, (size_t)(nl - text) + 1, seen, &last);
	read_file(path, seen, &last);
	assert_int_equal(count(seen), told);
	close(fd);
}

static int listen_at(void)
{
	int fd = unix_listen(path, 0600, 4);

	assert_true(fd >= 0);
	snprintf(where, sizeof(where), AUDIT_UNIX "%s", path);
	return fd;
}

static int accept_one(int lfd)
{
	int fd = -1;

	SOON((fd = accept4(lfd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0);
	return fd;
}

/* A consumer that has connected at *@lfd and does not read, and @n records told since. */
static int consumer(int *lfd, uint64_t n)
{
	int fd;

	*lfd = listen_at();
	open_log();
	fd = accept_one(*lfd);
	while (told < n)
		tell_number(told);
	return fd;
}

/* A consumer that sleeps and then reads: whole lines, and one that says what it missed. */
static void a_slow_consumer_loses_lines_and_is_told(void **state)
{
	static uint8_t seen[TOO_MANY + 1];
	uint64_t last = 0, lost = 0;
	int lfd, fd;

	(void)state;
	memset(seen, 0, sizeof(seen));
	fd = consumer(&lfd, TOO_MANY);
	assert_true(status().lost > 0);
	read_until(fd, told, seen, &last, &lost);
	assert_int_equal(lost, status().lost);
	tell_number(told); /* and it goes on */
	read_until(fd, told, seen, &last, &lost);
	close(fd);
	close(lfd);
}

/*
 * A consumer that is started anew gets lines from their beginning. What the first
 * one had not read is gone with its connection; what was told since is all there.
 */
static void a_consumer_may_come_back(void **state)
{
	static uint8_t seen[4000];
	uint64_t last = 0, lost = 0;
	char some[100];
	int lfd, fd;

	(void)state;
	memset(seen, 0, sizeof(seen));
	fd = consumer(&lfd, 2000);
	SOON(recv(fd, some, sizeof(some), MSG_DONTWAIT) == sizeof(some));
	close(fd);
	close(lfd);
	unlink(path);
	SOON(status().failures > 0);
	while (told < 4000)
		tell_number(told);
	lfd = listen_at();
	fd = accept_one(lfd);
	read_until(fd, 2000, seen, &last, &lost);
	for (uint64_t since = clock_now_ns(); !seen[3999];) {
		assert_true(clock_now_ns() - since < 60 * NS_PER_S);
		read_until(fd, 0, seen, &last, &lost);
	}
	assert_int_equal(lost, 0);
	for (int i = 2000; i < 4000; i++)
		assert_int_equal(seen[i], 1);
	close(fd);
	close(lfd);
}

/* At the end nobody is waited for without end. */
static void the_end_does_not_wait_for_a_consumer_for_long(void **state)
{
	uint64_t since;
	int lfd, fd;

	(void)state;
	fd = consumer(&lfd, TOO_MANY);
	since = clock_now_ns();
	audit_log_free(log_);
	log_ = NULL;
	assert_true(clock_now_ns() - since < 60 * NS_PER_S);
	close(fd);
	close(lfd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(lines_are_appended_to_a_file_of_ours),
		TEST(a_wrong_destination_is_known_at_once),
		TEST(a_file_may_be_rotated_at_any_time),
		TEST(a_full_disk_costs_lines_and_says_how_many),
		TEST(a_line_that_was_cut_goes_on_where_it_stopped),
		TEST(a_line_that_was_cut_begins_anew_in_the_next_file),
		TEST(a_slow_consumer_loses_lines_and_is_told),
		TEST(a_consumer_may_come_back),
		TEST(the_end_does_not_wait_for_a_consumer_for_long),
	};

	return cmocka_run_group_tests_name("audit log", tests, NULL, NULL);
}
