/* SPDX-License-Identifier: MIT */
/*
 * A writer of ACPI Machine Language (ACPI 6.4, chapter 20) and of resource
 * descriptors (section 6.4), no more of either than our DSDT needs.
 *
 * Packages nest: aml_open() starts one, aml_close() inserts its length, which
 * AML wants in front. A caller that overflows the buffer is our bug.
 */
#ifndef SLUICE_VMM_AML_H
#define SLUICE_VMM_AML_H

#include <stdint.h>

/**
 * struct aml - output buffer
 * @buf, @size:	the caller's
 * @len:	bytes written
 */
struct aml {
	uint8_t *buf;
	uint32_t size;
	uint32_t len;
};

/* What aml_open() can start; what follows the length is the caller's to write. */
enum aml_op {
	AML_SCOPE = 0x10,
	AML_BUFFER = 0x11,
	AML_PACKAGE = 0x12,
	AML_DEVICE = 0x5b82, /* ExtOpPrefix DeviceOp */
};

/* aml.c */
void aml_bytes(struct aml *a, const void *data, uint32_t len);
uint32_t aml_open(struct aml *a, enum aml_op op);
void aml_close(struct aml *a, uint32_t mark);
void aml_byte(struct aml *a, uint8_t v);
void aml_int(struct aml *a, uint32_t v);
void aml_segment(struct aml *a, const char name[4]);
void aml_name_int(struct aml *a, const char name[4], uint32_t v);
void aml_name_string(struct aml *a, const char name[4], const char *value);
void aml_name_eisaid(struct aml *a, const char name[4], uint16_t pnp_id);
uint32_t aml_resources_open(struct aml *a);
void aml_resources_close(struct aml *a, uint32_t mark);
void aml_resource_io(struct aml *a, uint16_t base, uint8_t len);
void aml_resource_edge_irq(struct aml *a, uint32_t gsi);
void aml_resource_memory_fixed(struct aml *a, uint32_t base, uint32_t len);
void aml_resource_bus_range(struct aml *a, uint16_t first, uint16_t last);
void aml_resource_memory_window(struct aml *a, uint32_t base, uint32_t len);

#endif
