/* SPDX-License-Identifier: MIT */
/*
 * Captures: what their files hold, how they end, and what full disks and slow readers
 * cost. The frames are made up and put where the stack would put them, on its thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "src/base/log.h"
#include "src/base/utc.h"
#include "src/sight/pcap.h"
#include "src/sight/sight.h"
#include "tcpstack/capture.h"
#include "tcpstack/limits.h"
#include "tests/unit/pcapngcheck.h"
#include "virtio/net_worker.h"

#define FRAMES_MAX 20000

#define SOON(expr)                                                      \
	do {                                                            \
		uint64_t since_ = clock_now_ns();                       \
		while (!(expr)) {                                       \
			if (clock_now_ns() - since_ > 60 * NS_PER_S)    \
				fail_msg("%s: not in a minute", #expr); \
			usleep(1000);                                   \
		}                                                       \
	} while (0)

static char path[64];
static struct net_worker *worker;
static struct sight sight;
static uint64_t put, lost; /* frames that were offered, and those without room */

static int begin(void **state)
{
	struct net_worker_config wc;
	char why[128];
	int fd;

	(void)state;
	strcpy(path, "/tmp/sluice-pcap-XXXXXX");
	fd = mkstemp(path);
	if (fd < 0)
		return -1;
	close(fd);
	log_set_level(LOG_ERROR);
	put = lost = 0;
	memset(&wc, 0, sizeof(wc));
	memset(&sight, 0, sizeof(sight));
	stack_config_defaults(&wc.stack);
	memcpy(wc.net.mac, wc.stack.guest_mac, 6);
	wc.net.mtu = wc.stack.mtu;
	return net_worker_new(&worker, &wc) ||
	       sight_open(&sight, NULL, NULL, NULL, why, sizeof(why)) ||
	       sight_start(&sight, why, sizeof(why));
}

static int end(void **state)
{
	(void)state;
	net_worker_free(worker);
	sight_close(&sight);
	return unlink(path);
}

/* Frame number @n: its length, and its bytes, which say who it is. */
static uint32_t length_of(uint64_t n)
{
	return 60 + (uint32_t)(n * 7919 % 1400);
}

static void fill(uint8_t *data, uint64_t n, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		data[i] = (uint8_t)(n * 31 + i * 7 + 1);
}

/* As capture.c would, on its thread: @ctx frames more. */
static int put_frames(void *ctx, struct stack *st)
{
	struct capture *c = stack_set_capture(st, NULL);
	uint64_t more = *(uint64_t *)ctx;

	for (uint64_t end = put + more; c && put < end; put++) {
		uint32_t len = length_of(put), keep = MIN(len, c->snaplen);
		struct capture_record *r;

		if (atomic_load(&c->enough))
			break;
		counter_inc(&c->seen);
		counter_inc(&c->matched);
		r = spsc_reserve(&c->ring, (uint32_t)sizeof(*r) + keep);
		if (!r)
			continue;
		*r = (struct capture_record){ .time_ns = clock_now_ns(),
					      .lost = counter_get(&c->ring.lost),
					      .orig_len = len,
					      .len = keep,
					      .to_guest = put % 3 == 0,
					      .has_flow = put % 2,
					      .flow_proto = FLOW_UDP,
					      .flow = { (uint32_t)put, 7 } };
		fill(r->data, put, keep);
		spsc_commit(&c->ring);
	}
	if (c)
		lost = counter_get(&c->ring.lost);
	stack_set_capture(st, c);
	return 0;
}

static void offer(uint64_t n)
{
	net_worker_call(worker, put_frames, &n);
}

static int start_with(int fd, const char *filter, uint32_t snaplen, uint64_t limit, char *why)
{
	const struct pcap_config c = { .name = path,
				       .program = "sluice 1.2.3",
				       .filter = filter,
				       .fd = fd,
				       .snaplen = snaplen,
				       .limit = limit };

	return pcap_start(&sight, worker, &c, why, 128);
}

static void start(int fd, uint32_t snaplen, uint64_t limit)
{
	char why[128];

	if (start_with(fd, "", snaplen, limit, why) < 0)
		fail_msg("%s", why);
}

static int file(int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static struct pcap_status status(void)
{
	struct pcap_status s;

	assert_int_equal(pcap_status(&sight, worker, &s), 0);
	return s;
}

/* The file as it is now; the caller frees. */
static uint8_t *contents(size_t *len)
{
	int fd = file(O_RDONLY);
	struct stat st;
	uint8_t *p;

	assert_int_equal(fstat(fd, &st), 0);
	p = malloc((size_t)st.st_size + 1);
	assert_non_null(p);
	assert_int_equal(read(fd, p, (size_t)st.st_size), st.st_size);
	close(fd);
	*len = (size_t)st.st_size;
	return p;
}

/* A frame of the file is one that was offered, in every byte. Which one: its number. */
static uint64_t check_packet(const struct png_packet *k, uint64_t at_least, uint32_t snaplen)
{
	uint8_t want[2048];
	char comment[64];
	uint64_t n = at_least + k->lost;

	assert_true(n < put);
	assert_int_equal(k->orig_len, length_of(n));
	assert_int_equal(k->len, MIN(length_of(n), snaplen));
	fill(want, n, k->len);
	assert_memory_equal(k->data, want, k->len);
	assert_int_equal(k->flags, n % 3 == 0 ? 1 : 2); /* inbound, outbound */
	snprintf(comment, sizeof(comment), "flow udp-%u.7", (uint32_t)n);
	assert_string_equal(k->comment, n % 2 ? comment : "");
	return n;
}

/* Every frame that is there, in order; those that are not are told of where they miss. */
static uint64_t check(const uint8_t *p, size_t len, uint32_t snaplen, struct png *f)
{
	uint64_t n = 0, next = 0, before = 0;
	struct png_packet k;
	int ret = png_begin(f, p, len);

	if (ret < 0)
		fail_msg("%s", f->why);
	assert_string_equal(f->program, "sluice 1.2.3");
	assert_int_equal(f->snaplen, snaplen);
	while ((ret = png_next(f, &k)) > 0) {
		next = check_packet(&k, next, snaplen) + 1;
		assert_true(k.time_ns >= before);
		before = k.time_ns;
		n++;
	}
	if (ret < 0)
		fail_msg("%s", f->why);
	assert_true(f->start_ns <= f->end_ns && before <= f->end_ns);
	assert_int_equal(f->written, n);
	assert_int_equal(f->matched, f->written + f->lost);
	return n;
}

static uint64_t check_file(uint32_t snaplen, struct png *f)
{
	size_t len;
	uint8_t *p = contents(&len);
	uint64_t n = check(p, len, snaplen, f);

	free(p);
	return n;
}

static void stop(void)
{
	assert_int_equal(pcap_stop(&sight, worker), 0);
	SOON(status().state == PCAP_ENDED);
	assert_int_equal(status().end, PCAP_STOPPED);
}

static void a_file_holds_every_frame_to_the_byte(void **state)
{
	struct png f;

	(void)state;
	start(file(O_WRONLY), 1500, PCAP_LIMIT_DEF);
	assert_int_equal(status().state, PCAP_RUNNING);
	for (int i = 0; i < 20; i++)
		offer(100);
	SOON(status().written == 2000);
	offer(7);
	stop();
	assert_int_equal(check_file(1500, &f), 2007);
	assert_int_equal(f.seen, 2007);
	assert_int_equal(f.lost, 0);
	assert_int_equal(status().lost, 0);
	/* The time of day, as far as a test can tell. */
	assert_true(utc_now_ns() - f.end_ns < 600 * NS_PER_S);
}

static void an_empty_capture_is_a_file_all_the_same(void **state)
{
	struct png f;
	char why[128];

	(void)state;
	assert_int_equal(start_with(file(O_WRONLY), "tcp and port 80", 64, PCAP_LIMIT_MIN, why), 0);
	stop();
	assert_int_equal(check_file(64, &f), 0);
	assert_string_equal(f.filter, "tcp and port 80");
}

/* What stood in the file before is gone, were it longer or not. */
static void a_file_is_emptied_first(void **state)
{
	static const uint8_t old[100000];
	int fd = file(O_WRONLY);
	struct png f;

	(void)state;
	assert_int_equal(write(fd, old, sizeof(old)), sizeof(old));
	start(fd, 64, PCAP_LIMIT_DEF);
	offer(3);
	stop();
	assert_int_equal(check_file(64, &f), 3);
	/* And so again, with the place that is left of the first one. */
	put = 0;
	start(file(O_RDWR), 64, PCAP_LIMIT_DEF);
	offer(2);
	stop();
	assert_int_equal(check_file(64, &f), 2);
}

static void snaplen_cuts(void **state)
{
	struct png f;

	(void)state;
	start(file(O_WRONLY), 100, PCAP_LIMIT_DEF);
	offer(500);
	stop();
	assert_int_equal(check_file(100, &f), 500);
}

static void a_file_is_no_longer_than_it_may_be(void **state)
{
	struct stat st;
	struct png f;
	uint64_t n;

	(void)state;
	start(file(O_WRONLY), 1500, PCAP_LIMIT_MIN);
	for (int i = 0; i < 10; i++)
		offer(50);
	SOON(status().end == PCAP_FULL);
	SOON(status().state == PCAP_ENDED); /* without a word from anybody */
	n = check_file(1500, &f);
	assert_int_equal(stat(path, &st), 0);
	assert_true((uint64_t)st.st_size <= PCAP_LIMIT_MIN);
	assert_true((uint64_t)st.st_size > PCAP_LIMIT_MIN - 2000);
	assert_true(n > 50 && n < 500);
	assert_int_equal(status().bytes, st.st_size);
	assert_int_equal(status().written, n);
	/* Once it is gone another one may follow. */
	put = 0;
	start(file(O_WRONLY), 64, PCAP_LIMIT_DEF);
	offer(5);
	stop();
	assert_int_equal(check_file(64, &f), 5);
}

/* H86: the disk ends somewhere in a block. The file has whole ones, and the rest is counted. */
static void a_full_disk_ends_it_and_leaves_whole_blocks(void **state)
{
	const struct rlimit small = { 300001, RLIM_INFINITY };
	struct rlimit old;
	struct png_packet k;
	uint64_t n = 0, next = 0;
	struct png f;
	size_t len;
	uint8_t *p;
	int ret;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	start(file(O_WRONLY), 1500, PCAP_LIMIT_DEF);
	SOON((offer(50), status().end == PCAP_FAILED));
	assert_int_equal(status().error, EFBIG);
	SOON(status().state == PCAP_ENDED);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	p = contents(&len);
	assert_true(len <= small.rlim_cur && len > small.rlim_cur - 2000);
	assert_int_equal(png_begin(&f, p, len), 0);
	while (f.at < f.len) {
		ret = png_next(&f, &k);
		if (ret <= 0)
			fail_msg("%d %s", ret, f.why);
		next = check_packet(&k, next, 1500) + 1;
		n++;
	}
	free(p);
	assert_int_equal(status().bytes, len);
	assert_int_equal(status().written, n);
	assert_int_equal(status().matched, n + status().lost);
}

/* All that comes by @fd until its end; its length. */
static size_t drain(int fd, uint8_t *p)
{
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, p + len, 1U << 16)) > 0)
		len += (size_t)n;
	assert_int_equal(n, 0);
	return len;
}

/* A capture into a socket that nobody reads, until its ring is full. */
static int start_unread(void)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	start(pair[1], 1500, PCAP_LIMIT_DEF);
	while (lost == 0 && put < FRAMES_MAX)
		offer(100);
	assert_true(lost > 0);
	return pair[0];
}

/*
 * H86: a reader that sleeps loses frames, and nobody waits for it. When it wakes it is
 * told how many, by the first frame behind the gap and by the file's end.
 */
static void a_slow_reader_loses_frames_and_is_told(void **state)
{
	int fd = start_unread();
	uint64_t before;
	size_t some = 0, rest;
	struct png f;
	uint8_t *p;

	(void)state;
	offer(10); /* they find no room either */
	before = lost;
	assert_true(before >= 10 && status().lost == before);
	p = malloc(64U << 20);
	assert_non_null(p);
	for (ssize_t n; some < (1U << 20); some += (size_t)n) {
		n = read(fd, p + some, (1U << 20) - some);
		assert_true(n > 0);
	}
	offer(20);
	assert_int_equal(lost, before);
	assert_int_equal(pcap_stop(&sight, worker), 0);
	rest = drain(fd, p + some);
	assert_int_equal(check(p, some + rest, 1500, &f), put - lost);
	free(p);
	assert_int_equal(f.lost, lost);
	assert_int_equal(status().lost, lost);
	close(fd);
}

static void a_reader_that_goes_ends_it(void **state)
{
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	start(pair[1], 64, PCAP_LIMIT_DEF);
	offer(1);
	close(pair[0]);
	SOON((offer(1), status().end == PCAP_UNREAD));
	SOON(status().state == PCAP_ENDED);
	assert_int_equal(status().matched, status().written + status().lost);
}

/* A reader that never reads holds up nobody at the end. */
static void the_end_does_not_wait_for_a_reader_for_long(void **state)
{
	int fd = start_unread();

	(void)state;
	assert_int_equal(pcap_stop(&sight, worker), 0);
	assert_int_equal(status().state, PCAP_ENDING);
	SOON(status().state == PCAP_ENDED);
	assert_int_equal(status().matched, status().written + status().lost);
	close(fd);
}

/* What is refused stays the caller's, and costs nothing that there was. */
static void what_cannot_be_captured_is_refused(void **state)
{
	char why[128];
	int fd, pipes[2];

	(void)state;
	fd = file(O_RDONLY);
	assert_int_equal(start_with(fd, "", 64, PCAP_LIMIT_DEF, why), -EINVAL);
	assert_non_null(strstr(why, "not open for writing"));
	close(fd);
	fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	assert_int_equal(start_with(fd, "", 64, PCAP_LIMIT_DEF, why), -EINVAL);
	assert_non_null(strstr(why, "neither"));
	close(fd);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(start_with(pipes[1], "", 64, PCAP_LIMIT_DEF, why), -EINVAL);
	close(pipes[0]);
	close(pipes[1]);
	fd = file(O_WRONLY);
	assert_int_equal(start_with(fd, "tcpx", 64, PCAP_LIMIT_DEF, why), -EINVAL);
	assert_non_null(strstr(why, "\"tcpx\""));
	assert_int_equal(pcap_stop(&sight, worker), -ENOENT);
	start(fd, 64, PCAP_LIMIT_DEF);
	fd = file(O_WRONLY);
	assert_int_equal(start_with(fd, "", 64, PCAP_LIMIT_DEF, why), -EBUSY);
	assert_non_null(strstr(why, path));
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
	offer(1);
	stop();
	assert_int_equal(status().written, 1);
	assert_int_equal(pcap_stop(&sight, worker), -ENOENT);
}

/* One that nobody stops has its file whole when the program ends. */
static void the_end_of_the_program_completes_the_file(void **state)
{
	struct png f;

	start(file(O_WRONLY), 1500, PCAP_LIMIT_DEF);
	offer(1000);
	net_worker_free(worker);
	sight_close(&sight);
	assert_int_equal(check_file(1500, &f), 1000);
	unlink(path);
	assert_int_equal(begin(state), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(a_file_holds_every_frame_to_the_byte),
		TEST(an_empty_capture_is_a_file_all_the_same),
		TEST(a_file_is_emptied_first),
		TEST(snaplen_cuts),
		TEST(a_file_is_no_longer_than_it_may_be),
		TEST(a_full_disk_ends_it_and_leaves_whole_blocks),
		TEST(a_slow_reader_loses_frames_and_is_told),
		TEST(a_reader_that_goes_ends_it),
		TEST(the_end_does_not_wait_for_a_reader_for_long),
		TEST(what_cannot_be_captured_is_refused),
		TEST(the_end_of_the_program_completes_the_file),
	};

	return cmocka_run_group_tests_name("pcap", tests, NULL, NULL);
}
