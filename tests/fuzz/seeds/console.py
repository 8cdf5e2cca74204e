# SPDX-License-Identifier: MIT
"""Seeds of fuzz_console.c."""
from struct import pack

from .ring import (BUF, EVENT_IDX, HIGH, INDEX, INDIRECT, LARGE, NEXT, OWN_6, OWN_7, OWN_8, OWN_13,
                   TABLE, TABLES, TABLE_LEN, WRITABLE, desc, offer, place, restart, step, turn,
                   without)

MESSAGE, WRITE, TAKE, OPEN = OWN_6, OWN_7, OWN_8, OWN_13
RX0, TX0, CTL_RX, CTL_TX, RX1, TX1 = range(6)
MULTIPORT = 2
READY, ADD, REMOVE, PORT_READY, CONSOLE, RESIZE, PORT_OPEN, NAME = range(8)


def message(event, port=0, value=1, index=0):
    return step(MESSAGE, 0, bytes([port, event, value, index]))


def owner_writes(port, n):
    return step(WRITE, 0, pack("<BH", port, n))


def takes(port, n, resumed=0):
    return step(TAKE, 0, pack("<BHB", port, n, resumed))


def owner_opens(port, is_open=1):
    return step(OPEN, 0, bytes([port, is_open]))


def rx(q, head, addr, length=64, **more):
    return desc(q, head, addr, length, WRITABLE, **more) + offer(q, head)


def tx(q, head=0, addr=BUF, length=60, flags=0):
    return desc(q, head, addr, length, flags) + offer(q, head)


def buffers(q, at, n=8, length=64):
    return b"".join(rx(q, i, BUF + at + length * i, length) for i in range(n))


# What Linux's driver does: buffers, then DEVICE_READY, then each port.
UP = (buffers(CTL_RX, 0x1000) + message(READY) + turn + message(PORT_READY, 0, 1, 1) +
      message(PORT_READY, 1, 1, 2) + turn + message(PORT_OPEN, 0, 1, 3) +
      message(PORT_OPEN, 1, 1, 4) + turn)
IN0, IN1 = buffers(RX0, 0x2000), buffers(RX1, 0x2400)

SEEDS = {
    "up": UP,
    "no-buffers-for-messages": message(READY) + turn + message(PORT_READY, 0) +
                               message(PORT_READY, 1) + turn + buffers(CTL_RX, 0x1000) + turn,
    "send": UP + tx(TX0) + tx(TX1) + turn,
    "send-unopened": tx(TX1) + tx(TX0) + turn,
    "send-many": UP + b"".join(tx(TX1, i) for i in range(16)) + turn +
                 b"".join(tx(TX1, i) for i in range(16)) + turn,
    "send-chain": UP + desc(TX1, 0, BUF, 12, NEXT, 1) + desc(TX1, 1, BUF + 64, 14, NEXT, 2) +
                  desc(TX1, 2, BUF + 128, 1000) + offer(TX1, 0) + turn,
    "send-indirect": UP + desc(TX1, 0, TABLES + TABLE_LEN * TX1, 32, INDIRECT) +
                     desc(TX1, 0, BUF, 12, NEXT, 1, what=TABLE) +
                     desc(TX1, 1, BUF + 12, 500, what=TABLE) + offer(TX1, 0) + turn,
    "send-stalled": UP + takes(1, 7) + tx(TX1) + tx(TX1, 1) + turn + takes(1, 20, 1) + turn +
                    takes(1, 0, 1) + turn,
    "send-stalled-over-reset": UP + takes(1, 0) + tx(TX1) + turn + restart + UP + tx(TX1) + turn,
    "send-stalled-and-closed": UP + takes(1, 5) + tx(TX1) + turn + message(PORT_OPEN, 1, 0, 5) +
                               turn + takes(1, 1000, 1) + turn,
    "receive": UP + IN1 + owner_writes(1, 100) + owner_writes(1, 1) + turn,
    "receive-terminal": UP + IN0 + owner_writes(0, 40) + turn,
    "receive-more-than-room": UP + IN1 + owner_writes(1, 4000) + turn + IN1 + turn +
                              owner_writes(1, 4000),
    "receive-late": UP + owner_writes(1, 100) + turn + IN1 + turn + owner_writes(1, 100),
    "receive-chain": UP + desc(RX1, 0, BUF, 10, WRITABLE | NEXT, 1) +
                     desc(RX1, 1, BUF + 64, 100, WRITABLE) + offer(RX1, 0) +
                     owner_writes(1, 60) + turn,
    "receive-closed": IN1 + owner_writes(1, 100) + UP + owner_writes(1, 100),
    "owner-closes": UP + owner_opens(1, 0) + turn + owner_opens(1) + owner_opens(1, 0) + turn,
    "owner-closes-unheard": UP + owner_opens(1, 0) + restart + UP,
    "guest-closes": UP + tx(TX1) + message(PORT_OPEN, 1, 0, 5) + turn +
                    message(PORT_OPEN, 1, 1, 6) + turn,
    "ready-again": UP + buffers(CTL_RX, 0x1000) + message(READY, 0, 1, 5) + turn +
                   message(PORT_READY, 1, 0, 6) + turn,
    "one-port": without(MULTIPORT) + restart + tx(TX0) + IN0 + turn + owner_writes(0, 100) +
                owner_writes(1, 100) + turn,
    "no-events": without(EVENT_IDX) + restart + UP + IN1 + tx(TX1) + owner_writes(1, 100) + turn,
    "other-place": place(TX1, 4, 0x3c00, 0x3e00, 0x3f00) + restart + UP + tx(TX1) + turn,
    "reset": UP + IN1 + owner_writes(1, 100) + restart + UP + IN1 + owner_writes(1, 1000) + restart,
    "message-over-ring": tx(TX0) + turn + rx(CTL_RX, 0, 0x0000, 64) + message(READY) + turn,
    "bad-message-short": buffers(CTL_RX, 0x1000) + tx(CTL_TX, 0, BUF, 7) + turn,
    "bad-message-port": message(PORT_READY, 9) + message(PORT_OPEN, 200, 1, 1) + turn,
    "bad-message-event": message(NAME, 1) + message(200, 1, 1, 1) + turn,
    "bad-message-buffers": b"".join(rx(CTL_RX, i, BUF + 16 * i, 1 + i) for i in range(11)) +
                           message(READY) + turn,
    "bad-direction": UP + tx(TX1, flags=WRITABLE) + desc(RX1, 0, BUF, 64) + offer(RX1, 0) + turn +
                     owner_writes(1, 10),
    "bad-cycle": desc(TX1, 0, BUF, 100, NEXT, 1) + desc(TX1, 1, BUF, 100, NEXT, 0) +
                 offer(TX1, 0) + turn,
    "bad-empty": tx(TX0, length=0) + tx(CTL_TX, length=0) + turn,
    "bad-address": tx(TX1, addr=BUF + 0x3fff, length=100) + tx(TX1, 1, addr=0xfff0, flags=HIGH) +
                   turn,
    "bad-length": UP + tx(TX1, length=0xffff, flags=LARGE) + rx(RX1, 0, BUF, 0) + turn +
                  owner_writes(1, 10),
    "bad-head": UP + offer(TX1, 16) + turn + owner_writes(1, 10) + turn + restart + UP,
    "bad-head-of-input": UP + offer(RX1, 16) + owner_writes(1, 10) + turn,
    "bad-gap": step(INDEX, CTL_TX, pack("<H", 17)) + turn,
    "bad-gap-of-messages": UP + step(INDEX, CTL_RX, pack("<H", 99)) +
                           (owner_opens(1, 0) + turn + owner_opens(1) + turn) * 2,
    "bad-nested": desc(TX1, 0, TABLES + TABLE_LEN * TX1, 16, INDIRECT) +
                  desc(TX1, 0, TABLES + TABLE_LEN * TX1, 16, INDIRECT, what=TABLE) +
                  offer(TX1, 0) + turn,
    "bad-place": place(RX1, 4, 0x3ff0, 0x3600, 0x3700) + restart + UP,
}
