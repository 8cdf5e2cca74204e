/* SPDX-License-Identifier: MIT */
/* Configuration space by both ways, BARs and who answers in the window. */
#include <errno.h>
#include <linux/pci_regs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/base.h"
#include "src/base/bytes.h"
#include "src/vmm/layout.h"
#include "src/vmm/pci_bus.h"

/* A function that remembers: flat configuration space, and the last BAR access. */
struct fake {
	struct pci_func f;
	uint8_t cfg[256];
	uint64_t bar_off;
	uint32_t bar_len;
	unsigned bar_reads, bar_writes;
};

static uint32_t fake_config_read(struct pci_func *f, uint32_t off, uint32_t len)
{
	struct fake *k = container_of(f, struct fake, f);
	uint32_t v = 0;

	assert_true(range_ok(off, len, sizeof(k->cfg)));
	memcpy(&v, k->cfg + off, len);
	return v;
}

static void fake_config_write(struct pci_func *f, uint32_t off, uint32_t value, uint32_t len)
{
	struct fake *k = container_of(f, struct fake, f);

	assert_true(range_ok(off, len, sizeof(k->cfg)));
	memcpy(k->cfg + off, &value, len);
}

static void fake_bar_read(struct pci_func *f, uint64_t off, void *data, uint32_t len)
{
	struct fake *k = container_of(f, struct fake, f);

	k->bar_off = off;
	k->bar_len = len;
	k->bar_reads++;
	memset(data, 0x77, len);
}

static void fake_bar_write(struct pci_func *f, uint64_t off, const void *data, uint32_t len)
{
	struct fake *k = container_of(f, struct fake, f);

	(void)data;
	k->bar_off = off;
	k->bar_len = len;
	k->bar_writes++;
}

static const struct pci_func_ops fake_ops = {
	.config_read = fake_config_read,
	.config_write = fake_config_write,
	.bar_read = fake_bar_read,
	.bar_write = fake_bar_write,
};

struct rig {
	struct pci_bus pci;
	struct bus pio, mmio;
	struct fake dev[2];
	unsigned resets;
};

static void on_reset(void *ctx)
{
	struct rig *r = ctx;

	r->resets++;
}

static void rig_init(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	pci_bus_init(&r->pci, on_reset, r);
	assert_int_equal(pci_bus_attach(&r->pci, &r->pio, &r->mmio), 0);
	for (unsigned i = 0; i < 2; i++) {
		r->dev[i].f.ops = &fake_ops;
		r->dev[i].f.bar_size = 0x8000;
		put_le32(r->dev[i].cfg, 0x10411af4 + (i << 16));
		assert_int_equal(pci_bus_add(&r->pci, &r->dev[i].f), i + 1);
	}
}

static uint32_t ecam_read32(struct rig *r, unsigned device, unsigned fn, uint32_t reg)
{
	uint32_t v = 0;

	bus_read(&r->mmio, ECAM_BASE + (device << 15) + (fn << 12) + reg, &v, 4);
	return v;
}

static uint32_t cf8_read32(struct rig *r, uint32_t addr)
{
	uint32_t v;

	bus_write(&r->pio, PORT_PCI_CONFIG_ADDR, &addr, 4);
	bus_read(&r->pio, PORT_PCI_CONFIG_DATA, &v, 4);
	return v;
}

static void both_ways_show_bridge_and_functions(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r);
	assert_int_equal(ecam_read32(&r, 0, 0, 0) & 0xffff, 0x1b36);
	assert_int_equal(ecam_read32(&r, 0, 0, PCI_CLASS_REVISION) >> 16, 0x0600);
	assert_int_equal(ecam_read32(&r, 1, 0, 0), 0x10411af4);
	assert_int_equal(ecam_read32(&r, 2, 0, 0), 0x10421af4);
	assert_int_equal(cf8_read32(&r, 0x80000000 | 1 << 11), 0x10411af4);
	assert_int_equal(cf8_read32(&r, 0x80000000 | 2 << 11), 0x10421af4);
}

static void absent_functions_read_all_ones(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r);
	assert_int_equal(ecam_read32(&r, 3, 0, 0), UINT32_MAX);
	assert_int_equal(ecam_read32(&r, 1, 1, 0), UINT32_MAX);		    /* function 1 */
	assert_int_equal(ecam_read32(&r, 1, 0, 0x100), UINT32_MAX);	    /* extended space */
	assert_int_equal(cf8_read32(&r, 1 << 11), UINT32_MAX);		    /* enable bit off */
	assert_int_equal(cf8_read32(&r, 0x80010000 | 1 << 11), UINT32_MAX); /* bus 1 */
	assert_int_equal(cf8_read32(&r, 0x80000100 | 1 << 11), UINT32_MAX); /* function 1 */
}

/* Accesses that a function must never see: it indexes its registers by them. */
static void odd_configuration_accesses_stop_at_the_bus(void **state)
{
	struct rig r;
	uint64_t v = 0;

	(void)state;
	rig_init(&r);
	bus_read(&r.mmio, ECAM_BASE + (1 << 15) + 1, &v, 4); /* misaligned */
	assert_int_equal((uint32_t)v, UINT32_MAX);
	v = 0;
	bus_read(&r.mmio, ECAM_BASE + (1 << 15) + 0xf8, &v, 8); /* too wide */
	assert_true(v == UINT64_MAX);
	v = 0x1234;
	bus_write(&r.mmio, ECAM_BASE + (1 << 15) + 0xff, &v, 2);
	bus_write(&r.mmio, ECAM_BASE + (1 << 15) + 0xffc, &v, 4);
	assert_int_equal(r.dev[0].cfg[0xff], 0);
}

static void narrow_port_accesses_reach_their_bytes(void **state)
{
	uint32_t addr = 0x80000000 | 1 << 11 | 0x40;
	struct rig r;
	uint8_t v = 0xab;
	uint16_t w = 0;

	(void)state;
	rig_init(&r);
	bus_write(&r.pio, PORT_PCI_CONFIG_ADDR, &addr, 4);
	bus_write(&r.pio, PORT_PCI_CONFIG_DATA + 3, &v, 1);
	assert_int_equal(r.dev[0].cfg[0x43], 0xab);
	bus_read(&r.pio, PORT_PCI_CONFIG_DATA + 2, &w, 2);
	assert_int_equal(w, 0xab00);
	/* A byte written to the address port changes no address. */
	bus_write(&r.pio, PORT_PCI_CONFIG_ADDR, &v, 1);
	bus_read(&r.pio, PORT_PCI_CONFIG_ADDR, &addr, 4);
	assert_int_equal(addr, 0x80000000 | 1 << 11 | 0x40);
}

static void bars_are_placed_apart_and_aligned(void **state)
{
	struct rig r;
	uint32_t a, b;

	(void)state;
	rig_init(&r);
	a = get_le32(r.dev[0].cfg + PCI_BASE_ADDRESS_0);
	b = get_le32(r.dev[1].cfg + PCI_BASE_ADDRESS_0);
	assert_true(a >= PCI_WINDOW_BASE && b >= a + 0x8000);
	assert_int_equal(a % 0x8000, 0);
	assert_int_equal(b % 0x8000, 0);
}

static void a_full_window_or_bus_refuses(void **state)
{
	struct fake big = { .f = { .ops = &fake_ops, .bar_size = PCI_WINDOW_SIZE } };
	struct fake small[PCI_DEVICES] = { 0 };
	struct rig r;

	(void)state;
	rig_init(&r);
	assert_int_equal(pci_bus_add(&r.pci, &big.f), -ENOSPC);
	for (int i = 3; i < PCI_DEVICES; i++) {
		small[i].f.ops = &fake_ops;
		assert_int_equal(pci_bus_add(&r.pci, &small[i].f), i);
	}
	assert_int_equal(pci_bus_add(&r.pci, &small[0].f), -ENOSPC);
}

/* H19: the only thing looked at is where the BAR is now. */
static void the_window_follows_the_bars(void **state)
{
	const uint64_t a = PCI_WINDOW_BASE + 0x100000, b = PCI_WINDOW_BASE + 0x200000;
	struct rig r;
	uint64_t v = 0;

	(void)state;
	rig_init(&r);
	bus_read(&r.mmio, a, &v, 4); /* decoding is off */
	assert_int_equal(v, UINT32_MAX);
	atomic_store(&r.dev[0].f.bar_base, a);
	atomic_store(&r.dev[1].f.bar_base, b);
	bus_read(&r.mmio, a + 0x7ffc, &v, 4);
	assert_int_equal(r.dev[0].bar_off, 0x7ffc);
	bus_write(&r.mmio, b + 8, &v, 8);
	assert_int_equal(r.dev[1].bar_len, 8);
	bus_write(&r.mmio, a + 0x7ffc, &v, 8); /* leaves the BAR */
	assert_int_equal(r.dev[0].bar_writes, 0);
	atomic_store(&r.dev[0].f.bar_base, 0);
	bus_read(&r.mmio, a, &v, 4);
	assert_int_equal(r.dev[0].bar_reads, 1);
}

static void port_cf9_resets(void **state)
{
	struct rig r;
	uint8_t v = 0x02;

	(void)state;
	rig_init(&r);
	bus_write(&r.pio, PORT_PCI_RESET, &v, 1);
	assert_int_equal(r.resets, 0);
	v = 0x06;
	bus_write(&r.pio, PORT_PCI_RESET, &v, 1);
	assert_int_equal(r.resets, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ways_show_bridge_and_functions),
		cmocka_unit_test(absent_functions_read_all_ones),
		cmocka_unit_test(odd_configuration_accesses_stop_at_the_bus),
		cmocka_unit_test(narrow_port_accesses_reach_their_bytes),
		cmocka_unit_test(bars_are_placed_apart_and_aligned),
		cmocka_unit_test(a_full_window_or_bus_refuses),
		cmocka_unit_test(the_window_follows_the_bars),
		cmocka_unit_test(port_cf9_resets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
