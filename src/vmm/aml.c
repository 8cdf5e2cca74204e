/* SPDX-License-Identifier: MIT */
/* The AML writer: see aml.h. */
#include <string.h>

#include "src/base/base.h"
#include "src/base/bytes.h"
#include "src/vmm/aml.h"

/* ACPI 6.4, section 20.2.3 */
#define AML_ZERO	0x00
#define AML_ONE		0x01
#define AML_NAME	0x08
#define AML_BYTE_CONST	0x0a
#define AML_WORD_CONST	0x0b
#define AML_DWORD_CONST 0x0c
#define AML_STRING	0x0d

/* Section 20.2.4: one byte of length, or a lead byte with its low four bits and 1..2 more. */
#define PKG_ONE_BYTE_MAX 0x3fU
#define PKG_TWO_BYTE_MAX 0xfffU
#define PKG_LEN_MAX	 0xfffffU

/* Section 6.4: tags, and the flags that we use */
#define RES_IO		   0x47
#define RES_IO_DECODE16	   1
#define RES_END		   0x79
#define RES_MEMORY32_FIXED 0x86
#define RES_MEMORY_RW	   1
#define RES_DWORD_SPACE	   0x87
#define RES_WORD_SPACE	   0x88
#define RES_SPACE_MEMORY   0
#define RES_SPACE_BUS	   2
#define RES_SPACE_FIXED	   0x0c /* both ends fixed, positive decode, producer */
#define RES_EXTENDED_IRQ   0x89
#define RES_IRQ_EDGE_HIGH  0x03 /* consumer, edge, active high, exclusive */

/**
 * aml_bytes() - append raw bytes
 */
void aml_bytes(struct aml *a, const void *data, uint32_t len)
{
	BUG_ON(!range_ok(a->len, len, a->size));
	memcpy(a->buf + a->len, data, len);
	a->len += len;
}

void aml_byte(struct aml *a, uint8_t v)
{
	aml_bytes(a, &v, 1);
}

static void aml_le16(struct aml *a, uint16_t v)
{
	aml_bytes(a, &v, sizeof(v));
}

static void aml_le32(struct aml *a, uint32_t v)
{
	aml_bytes(a, &v, sizeof(v));
}

/**
 * aml_open() - start something that has a package length
 *
 * Return: what aml_close() wants back
 */
uint32_t aml_open(struct aml *a, enum aml_op op)
{
	if (op > 0xff)
		aml_byte(a, (uint8_t)(op >> 8));
	aml_byte(a, (uint8_t)op);
	return a->len;
}

/**
 * aml_close() - end the innermost thing open and put its length in front
 * @mark:	what aml_open() returned
 */
void aml_close(struct aml *a, uint32_t mark)
{
	uint32_t body = a->len - mark;
	uint8_t enc[3];
	uint32_t n;

	/* The length counts its own bytes. */
	if (body + 1 <= PKG_ONE_BYTE_MAX) {
		n = 1;
		enc[0] = (uint8_t)(body + n);
	} else {
		n = body + 2 <= PKG_TWO_BYTE_MAX ? 2 : 3;
		BUG_ON(body + n > PKG_LEN_MAX);
		enc[0] = (uint8_t)((n - 1) << 6 | ((body + n) & 0xf));
		enc[1] = (uint8_t)((body + n) >> 4);
		enc[2] = (uint8_t)((body + n) >> 12);
	}
	BUG_ON(!range_ok(a->len, n, a->size));
	memmove(a->buf + mark + n, a->buf + mark, body);
	memcpy(a->buf + mark, enc, n);
	a->len += n;
}

/**
 * aml_int() - an integer in its shortest form
 */
void aml_int(struct aml *a, uint32_t v)
{
	if (v == 0) {
		aml_byte(a, AML_ZERO);
	} else if (v == 1) {
		aml_byte(a, AML_ONE);
	} else if (v <= 0xff) {
		aml_byte(a, AML_BYTE_CONST);
		aml_byte(a, (uint8_t)v);
	} else if (v <= 0xffff) {
		aml_byte(a, AML_WORD_CONST);
		aml_le16(a, (uint16_t)v);
	} else {
		aml_byte(a, AML_DWORD_CONST);
		aml_le32(a, v);
	}
}

/**
 * aml_segment() - a name of exactly four characters
 */
void aml_segment(struct aml *a, const char name[4])
{
	aml_bytes(a, name, 4);
}

void aml_name_int(struct aml *a, const char name[4], uint32_t v)
{
	aml_byte(a, AML_NAME);
	aml_segment(a, name);
	aml_int(a, v);
}

void aml_name_string(struct aml *a, const char name[4], const char *value)
{
	aml_byte(a, AML_NAME);
	aml_segment(a, name);
	aml_byte(a, AML_STRING);
	aml_bytes(a, value, (uint32_t)strlen(value) + 1);
}

/**
 * aml_name_eisaid() - a compressed id of vendor PNP (section 19.3.4)
 * @pnp_id:	the four hexadecimal digits
 */
void aml_name_eisaid(struct aml *a, const char name[4], uint16_t pnp_id)
{
	uint8_t id[4] = { 0x41, 0xd0 }; /* "PNP", five bits a letter */

	put_be16(id + 2, pnp_id);
	aml_byte(a, AML_NAME);
	aml_segment(a, name);
	aml_byte(a, AML_DWORD_CONST);
	aml_bytes(a, id, sizeof(id));
}

/**
 * aml_resources_open() - start _CRS, a buffer of resource descriptors
 */
uint32_t aml_resources_open(struct aml *a)
{
	aml_byte(a, AML_NAME);
	aml_segment(a, "_CRS");
	return aml_open(a, AML_BUFFER);
}

void aml_resources_close(struct aml *a, uint32_t mark)
{
	uint32_t body;

	aml_byte(a, RES_END);
	aml_byte(a, 0); /* checksum: none given */
	/* The buffer's size, an integer, goes between package length and bytes. */
	body = a->len - mark;
	BUG_ON(body > 0xff);
	aml_le16(a, 0);
	memmove(a->buf + mark + 2, a->buf + mark, body);
	a->buf[mark] = AML_BYTE_CONST;
	a->buf[mark + 1] = (uint8_t)body;
	aml_close(a, mark);
}

void aml_resource_io(struct aml *a, uint16_t base, uint8_t len)
{
	aml_byte(a, RES_IO);
	aml_byte(a, RES_IO_DECODE16);
	aml_le16(a, base);
	aml_le16(a, base);
	aml_byte(a, 1);
	aml_byte(a, len);
}

void aml_resource_edge_irq(struct aml *a, uint32_t gsi)
{
	aml_byte(a, RES_EXTENDED_IRQ);
	aml_le16(a, 6);
	aml_byte(a, RES_IRQ_EDGE_HIGH);
	aml_byte(a, 1);
	aml_le32(a, gsi);
}

void aml_resource_memory_fixed(struct aml *a, uint32_t base, uint32_t len)
{
	aml_byte(a, RES_MEMORY32_FIXED);
	aml_le16(a, 9);
	aml_byte(a, RES_MEMORY_RW);
	aml_le32(a, base);
	aml_le32(a, len);
}

void aml_resource_bus_range(struct aml *a, uint16_t first, uint16_t last)
{
	aml_byte(a, RES_WORD_SPACE);
	aml_le16(a, 13);
	aml_byte(a, RES_SPACE_BUS);
	aml_byte(a, RES_SPACE_FIXED);
	aml_byte(a, 0);
	aml_le16(a, 0);
	aml_le16(a, first);
	aml_le16(a, last);
	aml_le16(a, 0);
	aml_le16(a, (uint16_t)(last - first + 1));
}

void aml_resource_memory_window(struct aml *a, uint32_t base, uint32_t len)
{
	aml_byte(a, RES_DWORD_SPACE);
	aml_le16(a, 23);
	aml_byte(a, RES_SPACE_MEMORY);
	aml_byte(a, RES_SPACE_FIXED);
	aml_byte(a, RES_MEMORY_RW); /* not cacheable */
	aml_le32(a, 0);
	aml_le32(a, base);
	aml_le32(a, base + (len - 1));
	aml_le32(a, 0);
	aml_le32(a, len);
}
