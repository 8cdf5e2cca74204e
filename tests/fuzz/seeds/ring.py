# SPDX-License-Identifier: MIT
"""Steps of ring.h, eight bytes each, for the seeds of devices."""
from struct import pack

(DESC, OFFER, INDEX, WRITE, FILL, TURN, OWN_6, OWN_7, OWN_8, FEATURE, PLACE, RESTART, TABLE,
 OWN_13, OWN_14, OWN_15) = range(16)
NEXT, WRITABLE, INDIRECT, LARGE, HIGH = 1, 2, 4, 0x20, 0x40
REGION = 0x4000           # addresses from here on are the second region's
BUF = REGION
TABLES, TABLE_LEN = 0x3000, 0x200
INDIRECT_DESC, EVENT_IDX = 1 << 28, 1 << 29


def step(what, q=0, rest=b""):
    return (bytes([what | q << 4]) + rest).ljust(8, b"\0")


def desc(q, index, addr, length, flags=0, nxt=0, what=DESC):
    return step(what, q, pack("<BHHBB", index, addr, length, flags, nxt))


def offer(q, head):
    return step(OFFER, q, bytes([head]))


def fill(addr, length, byte):
    return step(FILL, 0, pack("<HHB", addr, length, byte))


def write(addr, data):
    return step(WRITE, 0, pack("<H", addr) + data.ljust(5, b"\0"))


def place(q, size, d, a, u):
    return step(PLACE, q, pack("<BHHH", size, d, a, u))


def without(bits):
    return step(FEATURE, 0, pack("<I", bits))


turn = step(TURN)
restart = step(RESTART)
