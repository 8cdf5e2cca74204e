# SPDX-License-Identifier: MIT
"""Seeds of fuzz_vhost.c: messages of a front-end."""
from struct import pack

(GET_FEATURES, SET_FEATURES, SET_OWNER, RESET_OWNER, SET_MEM_TABLE) = range(1, 6)
(SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE, GET_VRING_BASE, SET_VRING_KICK, SET_VRING_CALL,
 SET_VRING_ERR, GET_PROTO, SET_PROTO, GET_QUEUE_NUM, SET_VRING_ENABLE, SEND_RARP,
 SET_MTU) = range(8, 21)
GET_CONFIG, SET_CONFIG = 24, 25
RESET_DEVICE, GET_SLOTS, ADD_REG, REM_REG = 34, 36, 37, 38

BIG, SMALL, EVENT, EVENT2, PIPE, SOCKET = range(6)
SIZE, SMALL_SIZE = 256 << 10, 8192
REPLY, LONGER, VERSION, SPLIT = 0x10, 0x20, 0x40, 0x80
V1, EVENT_IDX, INDIRECT, MRG, PROTO = 1 << 32, 1 << 29, 1 << 28, 1 << 15, 1 << 30


def msg(request, payload=b"", fds=0, first=BIG, flags=0):
    return bytes([request, fds | flags, first, len(payload)]) + payload


def u64(request, v, **more):
    return msg(request, pack("<Q", v), **more)


def state(request, index, num, **more):
    return msg(request, pack("<II", index, num), **more)


def region(gpa=0, size=SIZE, uva=0x10000000, offset=0):
    return pack("<QQQQ", gpa, size, uva, offset)


def table(*regions, n=None, **more):
    more.setdefault("fds", len(regions))
    count = len(regions) if n is None else n
    return msg(SET_MEM_TABLE, pack("<II", count, 0) + b"".join(regions), **more)


def addr(index, at, **more):
    at += 0x10000000 + 0x3000 * index
    return msg(SET_VRING_ADDR, pack("<IIQQQQ", index, 0, at, at + 0x2000, at + 0x1000, 0), **more)


def ring(q, at=0):
    return (state(SET_VRING_NUM, q, 16) + addr(q, at) + state(SET_VRING_BASE, q, 0) +
            u64(SET_VRING_KICK, q, fds=1, first=EVENT) +
            u64(SET_VRING_CALL, q, fds=1, first=EVENT2))


FEATURES = u64(SET_FEATURES, V1 | PROTO | MRG)
PROTOCOL = u64(SET_PROTO, 0x8 | 0x10 | 0x200 | 0x2000 | 0x8000)
HELLO = msg(GET_FEATURES) + msg(SET_OWNER) + msg(GET_PROTO) + PROTOCOL + FEATURES
ENABLE = state(SET_VRING_ENABLE, 0, 1) + state(SET_VRING_ENABLE, 1, 1)
START = HELLO + table(region()) + ring(0) + ring(1) + ENABLE

SEEDS = {
    "hello": HELLO,
    "start": START,
    "start-without-protocol": u64(SET_FEATURES, V1) + table(region()) + ring(0) + ring(1),
    "start-early-enable": HELLO + ENABLE + ring(0) + ring(1) + table(region()),
    "stop": START + state(GET_VRING_BASE, 0, 0) + state(GET_VRING_BASE, 1, 0),
    "stop-and-go-on": START + state(GET_VRING_BASE, 0, 0) + state(SET_VRING_BASE, 0, 2) +
                      u64(SET_VRING_KICK, 0, fds=1, first=EVENT),
    "other-memory": START + table(region(), region(SIZE, SMALL_SIZE, 0x20000000)),
    "add-and-remove": HELLO + msg(ADD_REG, bytes(8) + region(), fds=1) + ring(0) + ring(1) +
                      ENABLE + msg(ADD_REG, bytes(8) + region(SIZE, SMALL_SIZE, 0x20000000), fds=1,
                                   first=SMALL) +
                      msg(REM_REG, bytes(8) + region(SIZE, SMALL_SIZE, 0x20000000)) +
                      msg(REM_REG, bytes(8) + region()),
    "slots-and-numbers": HELLO + msg(GET_SLOTS) + msg(GET_QUEUE_NUM),
    "config": HELLO + msg(GET_CONFIG, pack("<III", 0, 12, 0) + bytes(12)),
    "reset": START + msg(RESET_DEVICE) + ring(0) + ring(1) + ENABLE,
    "new-call": START + u64(SET_VRING_CALL, 1, fds=1, first=EVENT) + u64(SET_VRING_CALL, 0x101),
    "errors": START + u64(SET_VRING_ERR, 0, fds=1, first=EVENT2),
    "acknowledged": HELLO + state(SET_VRING_NUM, 0, 64, flags=REPLY) + u64(SET_MTU, 1500,
                                                                            flags=REPLY),
    "in-pieces": b"".join(state(SET_VRING_NUM, q, 16, first=3, flags=SPLIT) for q in (0, 1)) +
                 table(region(), first=64 + SMALL, flags=SPLIT) + msg(GET_FEATURES),
    "offset": HELLO + table(region(0, SIZE - 8192, 0x10000000, 8192)) + ring(0) + ring(1) + ENABLE,
    "bad-request": HELLO + msg(99) + msg(0) + state(7, 0, 0, flags=REPLY),
    "bad-version": msg(GET_FEATURES, flags=VERSION),
    "bad-length": HELLO + msg(SET_FEATURES, b"\0"),
    "bad-header-length": HELLO + u64(SET_FEATURES, V1, flags=LONGER) + msg(GET_FEATURES),
    "bad-features": HELLO + u64(SET_FEATURES, 2 ** 64 - 1, flags=REPLY),
    "bad-legacy": HELLO + u64(SET_FEATURES, PROTO, flags=REPLY),
    "bad-many-regions": HELLO + table(region(), n=9, flags=REPLY),
    "bad-fewer-fds": HELLO + table(region(), region(SIZE), fds=1, flags=REPLY),
    "bad-overlap": HELLO + table(region(), region(4096), flags=REPLY),
    "bad-beyond-file": HELLO + table(region(size=SIZE + 4096), flags=REPLY),
    "bad-offset-wraps": HELLO + table(region(offset=2 ** 64 - 4096), flags=REPLY),
    "bad-gpa-wraps": HELLO + table(region(gpa=2 ** 64 - 4096), flags=REPLY),
    "bad-empty-region": HELLO + table(region(size=0), flags=REPLY),
    "bad-pipe-memory": HELLO + table(region(), first=PIPE, flags=REPLY),
    "bad-huge-event-memory": HELLO + table(region(size=1 << 40), first=EVENT, flags=REPLY),
    "bad-pipe-kick": HELLO + u64(SET_VRING_KICK, 0, fds=1, first=PIPE, flags=REPLY),
    "bad-socket-call": HELLO + u64(SET_VRING_CALL, 0, fds=1, first=SOCKET, flags=REPLY),
    "bad-many-fds": HELLO + u64(SET_VRING_KICK, 0, fds=15, first=EVENT),
    "bad-fds-to-none": HELLO + msg(GET_FEATURES, fds=3),
    "bad-ring-size": HELLO + state(SET_VRING_NUM, 0, 0, flags=REPLY) +
                     state(SET_VRING_NUM, 0, 2048, flags=REPLY) +
                     state(SET_VRING_NUM, 0, 3, flags=REPLY),
    "bad-index": HELLO + state(SET_VRING_NUM, 2, 16, flags=REPLY) +
                 state(SET_VRING_ENABLE, 0xffffffff, 1, flags=REPLY),
    "bad-base": HELLO + state(SET_VRING_BASE, 0, 0x10000, flags=REPLY),
    "bad-rings": HELLO + table(region()) + ring(0) + ring(1, 0x3f000) + ENABLE +
                 state(SET_VRING_BASE, 0, 0, flags=REPLY),
    "bad-rings-misaligned": HELLO + table(region()) + ring(0, 1) + ring(1) + ENABLE +
                            state(SET_VRING_BASE, 0, 0, flags=REPLY),
    "bad-remove": HELLO + msg(REM_REG, bytes(8) + region(), flags=REPLY),
    "bad-config": HELLO + msg(GET_CONFIG, pack("<III", 250, 200, 0)),
    "bad-broken-ring": HELLO + table(region()) + ring(0) + ring(1) +
                       u64(SET_VRING_ERR, 1, fds=1, first=EVENT) +
                       state(SET_VRING_BASE, 1, 0x4000) + ENABLE + msg(SET_CONFIG),
}
