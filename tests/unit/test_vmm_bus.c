/* SPDX-License-Identifier: MIT */
/* Address look-up, and the ports by which a guest ends itself. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "src/vmm/bus.h"
#include "src/vmm/layout.h"
#include "src/vmm/legacy.h"

struct probe {
	uint64_t off;
	uint32_t len;
	unsigned reads, writes;
};

static void probe_read(void *ctx, uint64_t off, void *data, uint32_t len)
{
	struct probe *p = ctx;

	p->off = off;
	p->len = len;
	p->reads++;
	memset(data, 0x5a, len);
}

static void probe_write(void *ctx, uint64_t off, const void *data, uint32_t len)
{
	struct probe *p = ctx;

	(void)data;
	p->off = off;
	p->len = len;
	p->writes++;
}

static const struct bus_ops probe_ops = { .read = probe_read, .write = probe_write };

static void the_owner_of_an_address_is_found(void **state)
{
	struct probe p[3] = { 0 };
	struct bus b = { 0 };
	uint32_t v = 0;

	(void)state;
	/* Not in order of address. */
	assert_int_equal(bus_add(&b, 0x2000, 0x100, &probe_ops, &p[1]), 0);
	assert_int_equal(bus_add(&b, 0x3000, 0x10, &probe_ops, &p[2]), 0);
	assert_int_equal(bus_add(&b, 0x1000, 0x1000, &probe_ops, &p[0]), 0);
	bus_read(&b, 0x1ffc, &v, 4);
	assert_int_equal(p[0].off, 0xffc);
	assert_int_equal(v, 0x5a5a5a5a);
	bus_write(&b, 0x2000, &v, 4);
	assert_int_equal(p[1].writes, 1);
	assert_int_equal(p[1].off, 0);
	bus_write(&b, 0x300f, &v, 1);
	assert_int_equal(p[2].off, 15);
}

static void nobody_answers_all_ones_and_ignores_writes(void **state)
{
	struct probe p = { 0 };
	struct bus b = { 0 };
	uint64_t v = 0;

	(void)state;
	assert_int_equal(bus_add(&b, 0x1000, 8, &probe_ops, &p), 0);
	bus_read(&b, 0xfff, &v, 1);
	assert_int_equal(v, 0xff);
	v = 0;
	bus_read(&b, 0x1008, &v, 8);
	assert_true(v == UINT64_MAX);
	/* An access that leaves the range is nobody's: the device never sees part of it. */
	v = 0;
	bus_read(&b, 0x1006, &v, 4);
	assert_int_equal(v, UINT32_MAX);
	bus_write(&b, UINT64_MAX, &v, 8);
	assert_int_equal(p.reads + p.writes, 0);
}

static void overlaps_and_nonsense_are_refused(void **state)
{
	struct bus b = { 0 };

	(void)state;
	assert_int_equal(bus_add(&b, 0x1000, 0x100, &probe_ops, NULL), 0);
	assert_int_equal(bus_add(&b, 0x1000, 0x100, &probe_ops, NULL), -EEXIST);
	assert_int_equal(bus_add(&b, 0x10ff, 1, &probe_ops, NULL), -EEXIST);
	assert_int_equal(bus_add(&b, 0xfff, 2, &probe_ops, NULL), -EEXIST);
	assert_int_equal(bus_add(&b, 0, 0x10000, &probe_ops, NULL), -EEXIST);
	assert_int_equal(bus_add(&b, 5, 0, &probe_ops, NULL), -EINVAL);
	assert_int_equal(bus_add(&b, UINT64_MAX, 2, &probe_ops, NULL), -EINVAL);
	assert_int_equal(bus_add(&b, 0xfff, 1, &probe_ops, NULL), 0);
	assert_int_equal(bus_add(&b, 0x1100, 1, &probe_ops, NULL), 0);
	assert_int_equal(b.n, 3);
}

static void a_full_bus_says_so(void **state)
{
	struct bus b = { 0 };

	(void)state;
	for (uint64_t i = 0; i < BUS_RANGES_MAX; i++)
		assert_int_equal(bus_add(&b, i * 16, 16, &probe_ops, NULL), 0);
	assert_int_equal(bus_add(&b, 0x10000, 1, &probe_ops, NULL), -ENOSPC);
}

struct events {
	unsigned poweroff, reset;
};

static void on_event(void *ctx, enum legacy_event event)
{
	struct events *e = ctx;

	if (event == LEGACY_POWEROFF)
		e->poweroff++;
	else
		e->reset++;
}

static void outb(const struct bus *b, uint16_t port, uint8_t v)
{
	bus_write(b, port, &v, 1);
}

static void sleep_and_reset_ports_end_the_guest(void **state)
{
	struct events e = { 0 };
	struct legacy l = { .event = on_event, .ctx = &e };
	struct bus b = { 0 };

	(void)state;
	assert_int_equal(legacy_attach(&l, &b), 0);
	outb(&b, PORT_ACPI_SLEEP_CONTROL, ACPI_SLP_TYP_S5 << 2); /* no SLP_EN */
	outb(&b, PORT_ACPI_SLEEP_CONTROL, 1 << 5);		 /* S0 */
	assert_int_equal(e.poweroff, 0);
	outb(&b, PORT_ACPI_SLEEP_CONTROL, ACPI_SLEEP_S5_VALUE);
	assert_int_equal(e.poweroff, 1);
	outb(&b, PORT_ACPI_RESET, 0);
	outb(&b, PORT_I8042_CMD, 0xd1);
	assert_int_equal(e.reset, 0);
	outb(&b, PORT_ACPI_RESET, ACPI_RESET_VALUE);
	outb(&b, PORT_I8042_CMD, 0xfe);
	assert_int_equal(e.reset, 2);
}

/* A port that reads all ones here costs a kernel seconds of waiting for "not busy". */
static void clock_and_keyboard_are_never_busy(void **state)
{
	struct legacy l = { .event = on_event };
	struct bus b = { 0 };
	uint8_t v = 0xff;

	(void)state;
	assert_int_equal(legacy_attach(&l, &b), 0);
	outb(&b, PORT_RTC, 0x0a);
	bus_read(&b, PORT_RTC + 1, &v, 1);
	assert_int_equal(v & 0x80, 0); /* update in progress */
	v = 0xff;
	bus_read(&b, PORT_I8042_CMD, &v, 1);
	assert_int_equal(v & 3, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_owner_of_an_address_is_found),
		cmocka_unit_test(nobody_answers_all_ones_and_ignores_writes),
		cmocka_unit_test(overlaps_and_nonsense_are_refused),
		cmocka_unit_test(a_full_bus_says_so),
		cmocka_unit_test(sleep_and_reset_ports_end_the_guest),
		cmocka_unit_test(clock_and_keyboard_are_never_busy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
