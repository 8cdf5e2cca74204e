# SPDX-License-Identifier: MIT
"""Seeds of fuzz_pci.c: accesses of eight bytes each."""
from struct import pack

ECAM, PORTS, BAR, ADDR, NOTIFY, EVENT, PORT = range(7)
WIDTH = {1: 0, 2: 1, 4: 2, 8: 3}


def access(what, off=0, value=0, width=4, read=False, second=False, event=0):
    first = what | (8 if read else 0) | WIDTH[width] << 4 | (0x40 if second else 0)
    return pack("<BBHI", first, event, off, value & 0xffffffff)


def config(off, value, width=2, **more):
    return access(ECAM, off, value, width, **more)


def common(off, value, width, **more):
    return access(BAR, off, value, width, **more)


def event(what, q=0, **more):
    return access(EVENT, q, event=what, **more)


SIGNAL, CHANGED, PUMP, BROKEN, NO_KICKS, NO_MSIS, NO_START, CALL = range(8)

MEMORY_ON = config(4, 6)
# virtio 1.2, 4.1.4.3: offsets of the common configuration.
FEATURES = b"".join([common(8, 0, 4), common(12, 1 << 5, 4), common(8, 1, 4), common(12, 1, 4)])
STATUS = 20


def queue(q, size=16, desc=0x1000, avail=0x2000, used=0x3000, enable=True):
    base = 0x4000 * q
    parts = [common(22, q, 2), common(24, size, 2), common(32, base + desc, 4), common(36, 0, 4),
             common(40, base + avail, 4), common(44, 0, 4), common(48, base + used, 4),
             common(52, 0, 4)]
    return b"".join(parts) + (common(28, 1, 2) if enable else b"")


def bring_up(queues):
    return (common(STATUS, 0, 1) + common(STATUS, 1, 1) + common(STATUS, 3, 1) + FEATURES +
            common(STATUS, 11, 1) + queues + common(STATUS, 15, 1))


def entry(v, addr=0xfee00000, data=0x4000, ctrl=0):
    at = 0x4000 + 16 * v
    return b"".join([common(at, addr, 4), common(at + 4, 0, 4), common(at + 8, data + v, 4),
                     common(at + 12, ctrl, 4)])


def second(records):
    """The same accesses to the other function."""
    return b"".join(bytes([records[i] | 0x40]) + records[i + 1:i + 8]
                    for i in range(0, len(records), 8))


MSIX_ON = config(0x42, 0x8000)
VECTORS = b"".join(entry(v) for v in range(4))
MAP = b"".join(common(22, q, 2) + common(26, q, 2) for q in range(3)) + common(16, 3, 2)
QUEUES = queue(0) + queue(1) + queue(2)
RUNNING = MEMORY_ON + VECTORS + MSIX_ON + bring_up(QUEUES + MAP)  # a reset unmaps

SEEDS = {
    "bring-up": MEMORY_ON + bring_up(QUEUES),
    "one-queue": MEMORY_ON + bring_up(queue(1)),
    "vectors": MEMORY_ON + VECTORS + MSIX_ON + MAP,
    "running": RUNNING + event(SIGNAL) + event(PUMP) + event(CHANGED) + event(PUMP),
    "both": RUNNING + second(RUNNING),
    "shared-vector": MEMORY_ON + VECTORS + MSIX_ON +
                     b"".join(common(22, q, 2) + common(26, 1, 2) for q in range(3)) +
                     event(SIGNAL, 0) + event(SIGNAL, 1) + event(PUMP),
    "mask-and-unmask": RUNNING + entry(0, ctrl=1) + event(SIGNAL, 0) +
                       common(0x5000, 0, 8, read=True) + entry(0) + event(PUMP),
    "function-masked": RUNNING + config(0x42, 0xc000) + event(SIGNAL, 1) + event(CHANGED) +
                       config(0x42, 0x8000) + event(PUMP),
    "retarget": RUNNING + entry(0, addr=0xfee01000, data=0x55) + event(SIGNAL, 0) + event(PUMP),
    "reset": RUNNING + common(STATUS, 0, 1) + bring_up(QUEUES),
    "move-bar": RUNNING + config(0x10, 0xd0000000, 4) + event(SIGNAL),
    "bar-over-ram": RUNNING + config(0x10, 0x00008000, 4) + access(ADDR, 0, 0x8000, read=True) +
                    access(ADDR, 0x3000, 0x8000, 2),
    "bar-over-ecam": RUNNING + config(0x10, 0xe0000000, 4) + access(ADDR, 0, 0xe0003000, 2),
    "bar-on-bar": MEMORY_ON + config(4, 6, second=True) + config(0x10, 0xc0008000, 4),
    "size-bar": MEMORY_ON + config(0x10, 0xffffffff, 4) + config(0x10, 0, 4, read=True) +
                config(0x10, 0xc0000000, 4),
    "decoding-off": RUNNING + config(4, 0) + common(0, 0, 4, read=True) + config(4, 6),
    "by-ports": access(PORTS, 4, 6, 2) + access(PORTS, 0, 0, 4, read=True) +
                access(PORTS, 0x10, 0, 4, read=True),
    "window": MEMORY_ON + config(0x94, 0, 1) + config(0x98, 0x14, 4) + config(0x9c, 1, 4) +
              config(0xa0, 1, 1) + config(0xa0, 0, 1, read=True) + config(0x98, 0x4000, 4) +
              config(0x9c, 4, 4) + config(0xa0, 0xfee00000, 4),
    "notify": RUNNING + access(NOTIFY, 0, 0, 2) + access(NOTIFY, 4, 1, 2) + common(0x3008, 2, 2),
    "kicks-refused": event(NO_KICKS, 1) + MEMORY_ON + bring_up(QUEUES) + common(0x3000, 0, 2),
    "routes-refused": event(NO_MSIS, 1) + RUNNING + event(CALL, 0),
    "widths": MEMORY_ON + b"".join(common(off, 0, w, read=True) for off in (0, 1, 20, 55, 60)
                                   for w in (1, 2, 4, 8)) + common(32, 0x1000, 8),
    "needs-reset": RUNNING + event(BROKEN) + common(0x1000, 0, 1, read=True) +
                   common(STATUS, 0, 1) + bring_up(QUEUES),
    "bad-size": MEMORY_ON + bring_up(queue(0, size=0) + queue(1, size=300) + queue(2, size=3)) +
                access(BAR, 0, 0) + config(4, 0) + access(BAR, 0, 0),
    "bad-rings": MEMORY_ON + bring_up(queue(0, desc=0xfffff0) + queue(1)),
    "bad-late-size": RUNNING + queue(0, size=256) + config(4, 0) + common(24, 8, 2),
    "bad-start": MEMORY_ON + event(NO_START, 1) + bring_up(QUEUES),
    "bad-vector": MEMORY_ON + common(22, 0, 2) + common(26, 17, 2) + common(26, 0xffff, 2) +
                  common(16, 0x7fff, 2) + config(4, 0) + common(26, 0, 2),
    "bad-address": access(BAR, 0, 0) + access(ADDR, 0xffff, 0xffffffff, 8) +
                   access(PORT, 0xcf9, 6, 1) + access(PORT, 0xcf8, 0x80000000, 4) +
                   access(PORT, 0xcfc, 0, 4, read=True),
}
