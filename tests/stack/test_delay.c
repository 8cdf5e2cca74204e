/* SPDX-License-Identifier: MIT */
/* How long bytes were ours: from the guest's ring to the socket, and back. */
#include "tests/stack/pair_rig.h"

static const struct hist *to_socket(struct rig *r)
{
	return &stack_counters(rig_stack(r))->ring_to_socket_ns;
}

static const struct hist *to_ring(struct rig *r)
{
	return &stack_counters(rig_stack(r))->socket_to_ring_ns;
}

/* There are values of nothing and of @ns, as near as a histogram knows, and no others. */
static void assert_delays(const struct hist *h, uint64_t ns)
{
	for (unsigned int i = 1; i < HIST_BUCKETS; i++)
		if (counter_get(&h->n[i]))
			assert_in_range(hist_upper(i), ns, ns + ns / 4 + 1);
	assert_true(hist_quantile(h, 1000) >= ns);
}

/* The rig's clock stands still: what was not kept waiting has waited for nothing. */
static void bytes_that_pass_at_once_count_as_no_delay(void **state)
{
	struct pair u;

	(void)state;
	pair_open(&u, NULL);
	RIG_UNTIL(u.r, pair_upload(&u, MIB, 1460));
	assert_true(hist_count(to_socket(u.r)) > 0);
	assert_int_equal(hist_count(to_socket(u.r)), COUNT(u.r, tx_batches));
	assert_int_equal(counter_get(&to_socket(u.r)->sum), 0);
	pair_end(&u);
}

/* The host does not read for @ns: what was parked meanwhile has waited for so long. */
static void upload_that_stalls(uint64_t ns)
{
	struct pair u;

	pair_open(&u, NULL);
	pair_upload_fill(&u, 32 * MIB, 1460);
	assert_true(COUNT(u.r, parked_bytes) > 0);
	assert_int_equal(counter_get(&to_socket(u.r)->sum), 0);
	rig_advance(u.r, ns);
	RIG_UNTIL(u.r, pair_upload(&u, u.c.tx_bytes, 1460));
	assert_delays(to_socket(u.r), ns);
	pair_end(&u);
}

/* Short enough that the bytes stay in the guest's frames, and too long for that. */
static void parked_bytes_are_as_old_as_they_are(void **state)
{
	(void)state;
	upload_that_stalls(20 * NS_PER_MS);
	upload_that_stalls(300 * NS_PER_MS);
}

/* The guest gives no buffers for two seconds; then what waited goes, and more at once. */
static void bytes_that_wait_for_buffers_are_counted_from_their_event(void **state)
{
	struct rig_config cfg;
	uint64_t sent = 0;
	struct pair u;

	(void)state;
	rig_config_defaults(&cfg);
	cfg.auto_refill = false;
	cfg.rx_buffers = 16;
	pair_open(&u, &cfg);
	rig_pump_write(u.fd, u.c.rx_seed, &sent, 1000);
	RIG_CONN_UNTIL(&u.c, u.c.rx_bytes == 1000);
	assert_int_equal(hist_count(to_ring(u.r)), 1);
	assert_int_equal(counter_get(&to_ring(u.r)->sum), 0);
	/* As many ACKs as there are buffers left. */
	while (rig_rx_free(u.r) > 0) {
		rig_conn_send(&u.c, 1);
		rig_cycle(u.r);
	}
	rig_pump_write(u.fd, u.c.rx_seed, &sent, 2000);
	for (int i = 0; i < 20; i++)
		rig_cycle(u.r);
	assert_int_equal(hist_count(to_ring(u.r)), 1);
	rig_advance(u.r, 2 * NS_PER_S);
	rig_refill(u.r, UINT32_MAX);
	rig_set_auto_refill(u.r, true);
	RIG_CONN_UNTIL(&u.c, u.c.rx_bytes == 2000);
	assert_int_equal(hist_count(to_ring(u.r)), 2);
	assert_delays(to_ring(u.r), 2 * NS_PER_S);
	pair_read(&u);
	pair_end(&u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_that_pass_at_once_count_as_no_delay),
		cmocka_unit_test(parked_bytes_are_as_old_as_they_are),
		cmocka_unit_test(bytes_that_wait_for_buffers_are_counted_from_their_event),
	};

	return cmocka_run_group_tests_name("delay", tests, NULL, NULL);
}
