/* SPDX-License-Identifier: MIT */
/*
 * Positions inside scattered memory. Offsets count from the first byte of the
 * first entry; entries of length zero are allowed and skipped.
 */
#include "tcpstack/frame.h"

#include "src/base/base.h"

/**
 * struct iov_walk - the pieces of a byte range, one after the other
 * @skip:	bytes to pass over before the range begins
 * @len:	bytes of the range not yet yielded
 */
struct iov_walk {
	const struct iovec *iov;
	uint32_t cnt;
	uint32_t skip;
	uint32_t len;
};

/* The next piece, never empty; false at the end of the range or of the memory. */
static bool iov_next(struct iov_walk *w, struct iovec *piece)
{
	for (; w->cnt > 0 && w->len > 0; w->iov++, w->cnt--) {
		size_t have = w->iov->iov_len;

		if (w->skip >= have) {
			w->skip -= (uint32_t)have;
			continue;
		}
		piece->iov_base = (uint8_t *)w->iov->iov_base + w->skip;
		piece->iov_len = MIN(have - w->skip, (size_t)w->len);
		w->len -= (uint32_t)piece->iov_len;
		w->skip = 0;
		w->iov++;
		w->cnt--;
		return true;
	}
	return false;
}

/**
 * iov_slice() - bytes [@off, @off + @len) of @iov as entries of their own
 * @out:	receives at most @out_max entries
 *
 * Return: entries written; 0 when @len is 0, when @iov holds less than asked
 * for, or when @out_max entries do not suffice. Any thread.
 */
uint32_t iov_slice(const struct iovec *iov, uint32_t cnt, uint32_t off, uint32_t len,
		   struct iovec *out, uint32_t out_max)
{
	struct iov_walk w = { iov, cnt, off, len };
	struct iovec piece;
	uint32_t n = 0;

	while (iov_next(&w, &piece)) {
		if (n == out_max)
			return 0;
		out[n++] = piece;
	}
	return w.len == 0 ? n : 0;
}

/**
 * iov_write() - copy @len bytes of @data to offset @off of @iov; any thread
 *
 * The caller knows that @iov has the room: less is a bug of ours.
 */
void iov_write(const struct iovec *iov, uint32_t cnt, uint32_t off, const void *data, uint32_t len)
{
	struct iov_walk w = { iov, cnt, off, len };
	const uint8_t *from = data;
	struct iovec piece;

	while (iov_next(&w, &piece)) {
		memcpy(piece.iov_base, from, piece.iov_len);
		from += piece.iov_len;
	}
	BUG_ON(w.len != 0);
}

/**
 * iov_read() - copy @len bytes from offset @off of @iov to @data; any thread
 *
 * The caller knows that @iov has the bytes: less is a bug of ours.
 */
void iov_read(const struct iovec *iov, uint32_t cnt, uint32_t off, void *data, uint32_t len)
{
	struct iov_walk w = { iov, cnt, off, len };
	uint8_t *to = data;
	struct iovec piece;

	while (iov_next(&w, &piece)) {
		memcpy(to, piece.iov_base, piece.iov_len);
		to += piece.iov_len;
	}
	BUG_ON(w.len != 0);
}
