/* SPDX-License-Identifier: MIT */
/* The ACPI tables: every pointer and checksum by hand, the grammar by iasl. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/base.h"
#include "src/base/bytes.h"
#include "src/vmm/acpi.h"
#include "src/vmm/aml.h"
#include "src/vmm/layout.h"

#define RAM (2U << 20)

struct machine_mem {
	uint8_t *ram;
	struct gmem mem;
	uint64_t rsdp;
};

static void build(struct machine_mem *m, unsigned vcpus, unsigned slots)
{
	const struct acpi_config cfg = { .vcpus = vcpus, .mmio_slots = slots };

	m->ram = malloc(RAM);
	assert_non_null(m->ram);
	memset(m->ram, 0xa5, RAM); /* the builder must not count on zeroes */
	m->mem = (struct gmem){ .nregions = 1, .regions = { { 0, RAM, m->ram, 0 } } };
	assert_int_equal(acpi_build(&cfg, &m->mem, &m->rsdp), 0);
}

static uint8_t sum(const uint8_t *p, uint32_t len)
{
	uint8_t s = 0;

	for (uint32_t i = 0; i < len; i++)
		s = (uint8_t)(s + p[i]);
	return s;
}

/* The table at @gpa: in the area, with the signature given, whole and sealed. */
static const uint8_t *table(const struct machine_mem *m, uint64_t gpa, const char *signature,
			    uint32_t *len)
{
	assert_true(gpa >= ACPI_TABLES_ADDR);
	assert_true(range_ok(gpa - ACPI_TABLES_ADDR, 36, ACPI_TABLES_SIZE));
	*len = get_le32(m->ram + gpa + 4);
	assert_true(range_ok(gpa - ACPI_TABLES_ADDR, *len, ACPI_TABLES_SIZE));
	assert_memory_equal(m->ram + gpa, signature, 4);
	assert_int_equal(sum(m->ram + gpa, *len), 0);
	return m->ram + gpa;
}

static const uint8_t *find(const struct machine_mem *m, const char *signature, uint32_t *len)
{
	const uint8_t *rsdp = m->ram + m->rsdp;
	const uint8_t *xsdt = table(m, get_le64(rsdp + 24), "XSDT", len);
	uint32_t n = (*len - 36) / 8;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t gpa = get_le64(xsdt + 36 + i * 8ULL);

		if (memcmp(m->ram + gpa, signature, 4) == 0)
			return table(m, gpa, signature, len);
	}
	fail_msg("no table %s", signature);
	return NULL;
}

static void rsdp_is_sealed_twice_and_leads_to_the_tables(void **state)
{
	struct machine_mem m;
	uint32_t len;

	(void)state;
	build(&m, 2, 1);
	assert_int_equal(m.rsdp, ACPI_TABLES_ADDR);
	assert_memory_equal(m.ram + m.rsdp, "RSD PTR ", 8);
	assert_int_equal(sum(m.ram + m.rsdp, 20), 0);
	assert_int_equal(sum(m.ram + m.rsdp, 36), 0);
	find(&m, "FACP", &len);
	find(&m, "APIC", &len);
	find(&m, "MCFG", &len);
	free(m.ram);
}

static void fadt_describes_hardware_reduced_machine(void **state)
{
	struct machine_mem m;
	const uint8_t *t;
	uint32_t len;

	(void)state;
	build(&m, 1, 0);
	t = find(&m, "FACP", &len);
	assert_int_equal(len, 276);
	assert_int_equal(get_le16(t + 109), 0x24); /* no VGA, no RTC; MSI works */
	assert_true(get_le32(t + 112) & 1U << 20);
	assert_true(get_le32(t + 112) & 1U << 10);
	assert_int_equal(get_le64(t + 116 + 4), PORT_ACPI_RESET);
	assert_int_equal(t[128], ACPI_RESET_VALUE);
	assert_int_equal(get_le64(t + 244 + 4), PORT_ACPI_SLEEP_CONTROL);
	assert_int_equal(get_le64(t + 256 + 4), PORT_ACPI_SLEEP_STATUS);
	table(&m, get_le64(t + 140), "DSDT", &len);
	free(m.ram);
}

static void madt_lists_each_vcpu_and_the_io_apic(void **state)
{
	(void)state;
	for (unsigned vcpus = 1; vcpus <= VCPUS_MAX; vcpus++) {
		unsigned lapics = 0, ioapics = 0;
		struct machine_mem m;
		const uint8_t *t;
		uint32_t len;

		build(&m, vcpus, 0);
		t = find(&m, "APIC", &len);
		for (uint32_t off = 44; off < len; off += t[off + 1]) {
			assert_true(t[off + 1] >= 2);
			if (t[off] == 0) {
				assert_int_equal(t[off + 3], lapics++);
				assert_int_equal(get_le32(t + off + 4), 1);
			} else if (t[off] == 1) {
				assert_int_equal(get_le32(t + off + 4), IOAPIC_BASE);
				ioapics++;
			}
		}
		assert_int_equal(lapics, vcpus);
		assert_int_equal(ioapics, 1);
		free(m.ram);
	}
}

static void mcfg_gives_the_ecam_of_bus_zero(void **state)
{
	struct machine_mem m;
	const uint8_t *t;
	uint32_t len;

	(void)state;
	build(&m, 1, 0);
	t = find(&m, "MCFG", &len);
	assert_int_equal(len, 60);
	assert_int_equal(get_le64(t + 44), ECAM_BASE);
	assert_int_equal(t[54], 0);
	assert_int_equal(t[55], ECAM_BUS_LAST);
	free(m.ram);
}

static void more_than_the_machine_has_is_refused(void **state)
{
	const struct acpi_config bad[] = { { 0, 0 }, { VCPUS_MAX + 1, 0 }, { 1, 9 } };
	struct machine_mem m;
	uint64_t rsdp;

	(void)state;
	build(&m, 1, 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(acpi_build(&bad[i], &m.mem, &rsdp), -EINVAL);
	free(m.ram);
}

/* Package lengths of one, two and three bytes, at both sides of each edge. */
static void aml_package_length_counts_its_own_bytes(void **state)
{
	static const uint32_t bodies[] = { 0, 1, 62, 63, 4093, 4094, 5000 };
	static uint8_t buf[8192], zero[8192];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		struct aml a = { .buf = buf, .size = sizeof(buf) };
		uint32_t mark = aml_open(&a, AML_SCOPE), n, len;

		aml_bytes(&a, zero, bodies[i]);
		aml_close(&a, mark);
		n = (buf[1] >> 6) + 1U;
		len = n == 1 ? buf[1] : buf[1] & 0xf;
		for (uint32_t k = 1; k < n; k++)
			len |= (uint32_t)buf[1 + k] << (4 + 8 * (k - 1));
		assert_int_equal(len, bodies[i] + n);
		assert_int_equal(a.len, 1 + n + bodies[i]);
	}
}

static void dump(const char *dir, const char *name, const uint8_t *t, uint32_t len)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s.aml", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(t, 1, len, f), len);
	fclose(f);
}

static int shell(const char *dir, const char *command)
{
	char line[512];

	snprintf(line, sizeof(line), "cd '%s' && { %s; } >>log 2>&1", dir, command);
	return system(line); /* NOLINT(cert-env33-c): a fixed command in a private directory */
}

/* iasl reads the tables, and can compile again what it read in the DSDT. */
static void iasl_disassembles_without_a_complaint(void **state)
{
	char dir[] = "/tmp/sluice-acpi-XXXXXX";
	struct machine_mem m;
	const uint8_t *t;
	uint32_t len;

	(void)state;
	if (system("command -v iasl >/dev/null 2>&1") != 0) { /* NOLINT(cert-env33-c) */
		print_message("SKIP: iasl is not installed\n");
		skip();
	}
	assert_non_null(mkdtemp(dir));
	build(&m, VCPUS_MAX, VIRTIO_MMIO_SLOTS);
	t = find(&m, "APIC", &len);
	dump(dir, "apic", t, len);
	t = find(&m, "MCFG", &len);
	dump(dir, "mcfg", t, len);
	t = find(&m, "FACP", &len);
	dump(dir, "facp", t, len);
	t = table(&m, get_le64(t + 140), "DSDT", &len);
	dump(dir, "dsdt", t, len);
	assert_int_equal(shell(dir, "for t in apic mcfg facp dsdt; do iasl -d $t.aml; done;"
				    "iasl -p again dsdt.dsl"),
			 0);
	assert_int_equal(shell(dir, "mv log l1; test -s apic.dsl && test -s mcfg.dsl &&"
				    "test -s facp.dsl && grep -q '0 Errors, 0 Warnings' l1"),
			 0);
	assert_int_not_equal(shell(dir, "grep -v '0 Errors, 0 Warnings' l1 | cat - *.dsl |"
					"grep -iE 'error|warning|invalid|bad'"),
			     0);
	assert_int_equal(shell(dir, "grep -c LNRO0005 dsdt.dsl | grep -x 8"), 0);
	assert_int_equal(shell(dir, "rm -f *.aml *.dsl l1 log"), 0);
	rmdir(dir);
	free(m.ram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rsdp_is_sealed_twice_and_leads_to_the_tables),
		cmocka_unit_test(fadt_describes_hardware_reduced_machine),
		cmocka_unit_test(madt_lists_each_vcpu_and_the_io_apic),
		cmocka_unit_test(mcfg_gives_the_ecam_of_bus_zero),
		cmocka_unit_test(more_than_the_machine_has_is_refused),
		cmocka_unit_test(aml_package_length_counts_its_own_bytes),
		cmocka_unit_test(iasl_disassembles_without_a_complaint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
