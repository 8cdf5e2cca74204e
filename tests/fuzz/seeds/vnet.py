# SPDX-License-Identifier: MIT
"""Seeds of fuzz_vnet.c."""
from struct import pack

from .ring import (BUF, EVENT_IDX, HIGH, INDEX, INDIRECT, LARGE, NEXT, OWN_6, OWN_7, OWN_8, OWN_13,
                   RESTART, TABLE, TABLES, TABLE_LEN, WRITABLE, desc, fill, offer, place, restart,
                   step, turn, without, write)

FRAME, HOLD, GIVE, KICK = OWN_6, OWN_7, OWN_8, OWN_13
RX, TX, CTRL = range(3)
MRG, CTRL_VQ = 1 << 15, 1 << 17


def frame(want, length=None, how=0):
    return step(FRAME, 0, pack("<HHB", want, want if length is None else length, how))


drained = step(RESTART, 0, b"\x01")


def hold(n):
    return step(HOLD, 0, bytes([n]))


def give(n):
    return step(GIVE, 0, bytes([n]))


def rx(head, addr, length, **more):
    return desc(RX, head, addr, length, WRITABLE, **more) + offer(RX, head)


def tx(head, addr=BUF, length=12 + 60, flags=0):
    return desc(TX, head, addr, length, flags) + offer(TX, head)


SEND = tx(0) + turn
RECEIVE = b"".join(rx(i, BUF + 0x400 * i, 0x400) for i in range(8))
COMMAND = (write(BUF, bytes([0, 0, 1])) + desc(CTRL, 0, BUF, 3, NEXT, 1) +
           desc(CTRL, 1, BUF + 16, 1, WRITABLE) + offer(CTRL, 0) + turn)

SEEDS = {
    "send": SEND,
    "send-chain": desc(TX, 0, BUF, 12, NEXT, 1) + desc(TX, 1, BUF + 64, 14, NEXT, 2) +
                  desc(TX, 2, BUF + 128, 1000) + offer(TX, 0) + turn,
    "send-indirect": desc(TX, 0, TABLES + TABLE_LEN, 32, INDIRECT) +
                     desc(TX, 0, BUF, 12, NEXT, 1, what=TABLE) +
                     desc(TX, 1, BUF + 12, 500, what=TABLE) + offer(TX, 0) + turn,
    "send-pieces": b"".join(desc(TX, i, BUF + i, 2, NEXT, i + 1) for i in range(15)) +
                   desc(TX, 15, BUF + 15, 20) + offer(TX, 0) + turn,
    "send-checksum": write(BUF, bytes([1, 0, 0, 0, 0])) + write(BUF + 6, bytes([14, 0, 16, 0])) +
                     tx(0, length=12 + 100) + turn,
    "send-segmented": write(BUF, bytes([1, 1, 54, 0, 0xb4])) +
                      write(BUF + 5, bytes([5, 34, 0, 16, 0])) + tx(0, length=12 + 3000) + turn,
    "send-many": b"".join(tx(i) for i in range(16)) + turn + b"".join(tx(i) for i in range(16)) +
                 turn,
    "hold": hold(3) + b"".join(tx(i) for i in range(4)) + turn + give(1) + turn + tx(5) + turn,
    "hold-over-reset": hold(8) + b"".join(tx(i) for i in range(4)) + turn + restart + SEND,
    "receive": RECEIVE + frame(60) + frame(1000) + frame(14),
    "receive-merged": RECEIVE + frame(3000) + frame(2000, 100) + frame(5000),
    "receive-rewound": RECEIVE + frame(1000, how=2) + frame(1000) + frame(60, how=1),
    "receive-late": frame(500) + RECEIVE + step(KICK) + frame(500),
    "receive-big": without(MRG) + restart + rx(0, BUF, 0x1000) + frame(1500) + turn,
    "receive-drained": RECEIVE + frame(100) + drained,
    "commands": COMMAND + write(BUF, bytes([1, 1])) + fill(BUF + 2, 6, 0x52) +
                desc(CTRL, 0, BUF, 8, NEXT, 1) + offer(CTRL, 0) + turn,
    "command-tables": write(BUF, bytes([1, 0, 1, 0, 0])) + desc(CTRL, 0, BUF, 16, NEXT, 1) +
                      desc(CTRL, 1, BUF + 64, 1, WRITABLE) + offer(CTRL, 0) + turn,
    "other-place": place(RX, 3, 0x3400, 0x3600, 0x3700) + place(TX, 5, BUF + 0x3000, BUF + 0x3400,
                                                                 BUF + 0x3800) + restart +
                   SEND + rx(0, BUF, 0x800) + frame(500),
    "one-entry": place(TX, 0, 0x3400, 0x3500, 0x3600) + restart + SEND + tx(0) + turn,
    "no-events": without(EVENT_IDX) + restart + SEND + RECEIVE + frame(100),
    "no-commands": without(CTRL_VQ) + restart + SEND,
    "reset": SEND + RECEIVE + frame(60) + restart + SEND + RECEIVE + frame(60) + restart + COMMAND,
    "overlap-used": tx(0, addr=0x1800, length=100) + turn + SEND,
    "write-over-ring": rx(0, 0x0000, 0x400) + frame(300) + SEND + turn,
    "bad-cycle": desc(TX, 0, BUF, 100, NEXT, 1) + desc(TX, 1, BUF, 100, NEXT, 0) +
                 offer(TX, 0) + turn,
    "bad-empty": desc(TX, 0, BUF, 0) + offer(TX, 0) + turn,
    "bad-short": tx(0, length=20) + turn,
    "bad-long": desc(TX, 0, BUF, 0x3fff, NEXT, 1) + desc(TX, 1, BUF, 0x3fff, NEXT, 2) +
                desc(TX, 2, BUF, 0x3fff, NEXT, 3) + desc(TX, 3, BUF, 0x3fff, NEXT, 4) +
                desc(TX, 4, BUF, 0x3fff) + offer(TX, 0) + turn,
    "bad-address": tx(0, addr=BUF + 0x3fff, length=100) + tx(1, addr=0x9000, length=64) +
                   tx(2, addr=0xfff0, length=64, flags=HIGH) + turn,
    "bad-length": tx(0, length=0xffff, flags=LARGE) + rx(0, BUF, 0) + frame(60) + turn,
    "bad-direction": tx(0, flags=WRITABLE) + desc(RX, 0, BUF, 1500) + offer(RX, 0) + frame(60) +
                     turn,
    "bad-order": desc(CTRL, 0, BUF, 1, WRITABLE | NEXT, 1) + desc(CTRL, 1, BUF + 8, 2) +
                 offer(CTRL, 0) + turn,
    "bad-next": desc(TX, 0, BUF, 100, NEXT, 16) + offer(TX, 0) + turn,
    "bad-head": offer(TX, 16) + turn + SEND,
    "bad-gap": step(INDEX, TX, pack("<H", 17)) + turn,
    "bad-backwards": SEND + step(INDEX, TX, pack("<h", -1)) + turn,
    "bad-nested": desc(TX, 0, TABLES + TABLE_LEN, 16, INDIRECT) +
                  desc(TX, 0, TABLES + TABLE_LEN, 16, INDIRECT, what=TABLE) + offer(TX, 0) + turn,
    "bad-table": desc(TX, 0, TABLES, 15, INDIRECT) + offer(TX, 0) +
                 desc(TX, 1, TABLES, 0x200, INDIRECT) + offer(TX, 1) +
                 desc(TX, 2, BUF + 0x3ff8, 16, INDIRECT) + offer(TX, 2) + turn,
    "bad-twice": hold(1) + tx(0) + offer(TX, 0) + turn,
    "bad-header": write(BUF, bytes([0, 9])) + tx(0) + write(BUF + 64, bytes([1, 0, 0, 0, 0])) +
                  write(BUF + 70, bytes([0xff, 0xff, 0xff, 0xff])) + tx(1, addr=BUF + 64) + turn,
    "bad-no-answer": desc(CTRL, 0, BUF, 2) + offer(CTRL, 0) + turn,
    "bad-receive-tiny": b"".join(rx(i, BUF + 16 * i, 1 + i) for i in range(11)) + frame(60) + turn,
    "bad-receive-small": without(MRG) + restart + rx(0, BUF, 200) + rx(1, BUF + 0x400, 0x400) +
                         frame(500),
    "bad-place": place(TX, 4, 0x3ff0, 0x3600, 0x3700) + restart + SEND,
    "bad-place-size": place(RX, 0x80 | 3, 0x3400, 0x3600, 0x3700) + restart,
}
