/* SPDX-License-Identifier: MIT */
/*
 * The Internet checksum, RFC 1071.
 *
 * Theory of operation: one's-complement addition does not care for byte order
 * (RFC 1071 section 2 (B)), so memory is added eight bytes at a time as the
 * machine loads it, carries included, and the 16-bit result is swapped once at
 * the end. Sums that pass between functions are of big-endian 16-bit words in
 * host order, and every addition to them carries around, so that any number of
 * pieces can be added.
 */
#include "tcpstack/frame.h"

#include "src/base/base.h"

static uint64_t add_carry64(uint64_t a, uint64_t b)
{
	uint64_t sum;
	uint64_t carry = (uint64_t)__builtin_add_overflow(a, b, &sum);

	/* Two operands carry at most once, and then the sum is not full. */
	return sum + carry;
}

static uint32_t add_carry32(uint32_t a, uint32_t b)
{
	uint32_t sum;
	uint32_t carry = (uint32_t)__builtin_add_overflow(a, b, &sum);

	return sum + carry;
}

static uint16_t fold64(uint64_t s)
{
	s = (s >> 32) + (s & 0xffffffff);
	s = (s >> 32) + (s & 0xffffffff);
	s = (s >> 16) + (s & 0xffff);
	s = (s >> 16) + (s & 0xffff);
	s = (s >> 16) + (s & 0xffff);
	return (uint16_t)s;
}

/**
 * csum_add() - add @len bytes to a sum; any thread
 * @sum:	from an earlier call, or 0
 * @data:	no alignment asked for
 * @len:	an odd length is padded with a zero byte, so only the last of
 *		several pieces may be odd (csum_add_iov() has no such limit)
 */
uint32_t csum_add(uint32_t sum, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t a = 0, b = 0, last = 0;

	for (; len >= 32; len -= 32, p += 32) {
		a = add_carry64(a, get_le64(p));
		b = add_carry64(b, get_le64(p + 8));
		a = add_carry64(a, get_le64(p + 16));
		b = add_carry64(b, get_le64(p + 24));
	}
	a = add_carry64(a, b);
	for (; len >= 8; len -= 8, p += 8)
		a = add_carry64(a, get_le64(p));
	memcpy(&last, p, len);
	a = add_carry64(a, last);
	return add_carry32(sum, __builtin_bswap16(fold64(a)));
}

/**
 * csum_add_iov() - add bytes [@off, @off + @len) of scattered memory; any thread
 *
 * Pieces may begin and end anywhere: one that starts at an odd distance from
 * @off is summed with its bytes swapped (RFC 1071 section 2 (B)). Bytes that
 * @iov does not have count as zero.
 */
uint32_t csum_add_iov(uint32_t sum, const struct iovec *iov, uint32_t cnt, uint32_t off,
		      uint32_t len)
{
	bool odd = false;

	for (; cnt > 0 && len > 0; iov++, cnt--) {
		size_t have = iov->iov_len;
		uint16_t part;

		if (off >= have) {
			off -= (uint32_t)have;
			continue;
		}
		have = MIN(have - off, (size_t)len);
		part = (uint16_t)~csum_fold(csum_add(0, (uint8_t *)iov->iov_base + off, have));
		sum = add_carry32(sum, odd ? __builtin_bswap16(part) : part);
		odd ^= have & 1;
		len -= (uint32_t)have;
		off = 0;
	}
	return sum;
}

/**
 * csum_pseudo() - sum of the pseudo header, RFC 9293 3.1 and RFC 8200 8.1; any thread
 * @src, @dst:	of one family
 * @l4_len:	bytes of transport header and payload
 */
uint32_t csum_pseudo(const struct ipaddr *src, const struct ipaddr *dst, uint8_t proto,
		     uint32_t l4_len)
{
	/* The IPv4 prefix of a mapped address must not be summed. */
	uint32_t skip = ipaddr_is_v4(src) ? 12 : 0;
	uint32_t sum = (l4_len >> 16) + (l4_len & 0xffff) + proto;

	sum = csum_add(sum, src->b + skip, 16 - skip);
	return csum_add(sum, dst->b + skip, 16 - skip);
}

/**
 * csum_fold() - the checksum of a sum: folded to 16 bits and complemented; any thread
 *
 * For put_be16(). Over a packet whose checksum field is right it yields 0. UDP
 * sends 0xffff in place of 0 (RFC 768); that is for the caller.
 */
uint16_t csum_fold(uint32_t sum)
{
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)~sum;
}
