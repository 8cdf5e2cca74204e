# SPDX-License-Identifier: MIT
"""Seeds of fuzz_rng.c."""
from struct import pack

from .ring import (BUF, EVENT_IDX, HIGH, INDEX, INDIRECT, INDIRECT_DESC, LARGE, NEXT, REGION, TABLE,
                   TABLES, WRITABLE, desc, offer, place, restart, step, turn, without)


def ask(head, addr=BUF, length=64, flags=WRITABLE):
    return desc(0, head, addr, length, flags) + offer(0, head)


MANY = b"".join(ask(i, BUF + 0x400 * i, 0x400) for i in range(16))
# Four times the second region: more than one call's budget.
LONG = b"".join(ask(i, BUF, REGION) for i in range(8))
CHAIN = (desc(0, 0, BUF, 10, WRITABLE | NEXT, 1) + desc(0, 1, BUF + 64, 100, WRITABLE | NEXT, 2) +
         desc(0, 2, BUF + 512, 1, WRITABLE) + offer(0, 0))
TABLE_OF_TWO = (desc(0, 0, TABLES, 32, INDIRECT) +
                desc(0, 0, BUF, 12, WRITABLE | NEXT, 1, what=TABLE) +
                desc(0, 1, BUF + 12, 500, WRITABLE, what=TABLE) + offer(0, 0))

SEEDS = {
    "ask": ask(0) + turn + ask(0) + ask(1) + turn,
    "many": MANY + turn + MANY,
    "long": LONG + turn + turn,
    # Four have been seen and not taken; sixteen more are a gap only until these are.
    "more-behind-what-is-known": LONG + turn + step(INDEX, 0, pack("<H", 16)) +
                                 b"".join(desc(0, i, BUF, 64, WRITABLE) for i in range(8)) + turn,
    "chain": CHAIN + turn,
    "indirect": TABLE_OF_TWO + turn,
    "unasked": turn + ask(0),
    "no-events": without(EVENT_IDX) + restart + MANY + turn + ask(0),
    "reset": MANY + restart + MANY + turn + restart + ask(3),
    "other-place": place(0, 5, BUF + 0x3000, BUF + 0x3400, BUF + 0x3800) + restart + ask(0) +
                   ask(31) + turn,
    "one-entry": place(0, 0, 0x3400, 0x3500, 0x3600) + restart + ask(0) + turn + ask(0) + turn,
    "over-the-ring": ask(0) + turn + ask(0, 0x400, 64) + turn + ask(1, 0, 0x400) + turn + turn,
    "over-the-table": ask(0) + turn + TABLE_OF_TWO + ask(1, TABLES, 32) + turn + turn,
    "same-twice": ask(0) + offer(0, 0) + turn,
    "bad-readable": ask(0, flags=0) + ask(1, flags=0) + ask(2) + turn,
    "bad-order": desc(0, 0, BUF, 8, WRITABLE | NEXT, 1) + desc(0, 1, BUF, 8) + offer(0, 0) + turn,
    "bad-cycle": desc(0, 0, BUF, 8, WRITABLE | NEXT, 1) +
                 desc(0, 1, BUF, 8, WRITABLE | NEXT, 0) + offer(0, 0) + turn,
    "bad-empty": ask(0, length=0) + turn,
    "bad-address": ask(0, BUF + 0x3fff, 100) + ask(1, 0x9000) +
                   ask(2, 0xfff0, flags=WRITABLE | HIGH) + turn,
    "bad-length": ask(0, length=0xffff, flags=WRITABLE | LARGE) + turn,
    "bad-next": desc(0, 0, BUF, 8, WRITABLE | NEXT, 16) + offer(0, 0) + turn,
    "bad-head": ask(0) + offer(0, 16) + turn + ask(1) + turn + restart + ask(0),
    "bad-gap": step(INDEX, 0, pack("<H", 17)) + turn + restart + MANY,
    "bad-backwards": ask(0) + turn + step(INDEX, 0, pack("<h", -1)) + turn,
    "bad-nested": desc(0, 0, TABLES, 16, INDIRECT) +
                  desc(0, 0, TABLES, 16, INDIRECT, what=TABLE) + offer(0, 0) + turn,
    "bad-table": ask(0, TABLES, 15, INDIRECT) + ask(1, BUF + 0x3ff8, 16, INDIRECT) + turn,
    "bad-indirect": without(INDIRECT_DESC) + restart + TABLE_OF_TWO + turn,
    "bad-place": place(0, 4, 0x3ff0, 0x3600, 0x3700) + restart + ask(0),
}
