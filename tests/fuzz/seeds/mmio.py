# SPDX-License-Identifier: MIT
"""Seeds of fuzz_mmio.c: what the kernel refuses, then accesses of eight bytes each."""
from struct import pack

REGISTER, ADDR, NOTIFY, EVENT = range(4)
WIDTH = {1: 0, 2: 1, 4: 2, 8: 3}
BASE, SLOT = 0xe8000000, 0x1000

# virtio 1.2, 4.2.2: registers by their offsets.
(MAGIC, VERSION, DEVICE_ID, VENDOR, DEV_FEATURES, DEV_FEATURES_SEL) = (0, 4, 8, 12, 16, 20)
DRV_FEATURES, DRV_FEATURES_SEL, QUEUE_SEL, NUM_MAX, NUM, READY = 32, 36, 48, 52, 56, 68
QUEUE_NOTIFY, ISR, ACK, STATUS = 80, 96, 100, 112
DESC, AVAIL, USED, SHM, GENERATION, CONFIG = 128, 144, 160, 176, 252, 256


def kernel(kicks=7, lines=7, second=0xff):
    """So many attachments until one is refused; 7: none is."""
    return bytes([kicks | lines << 3, second])


def access(what, off=0, value=0, width=4, read=False, second=False, event=0, odd=False):
    first = what | (8 if read else 0) | WIDTH[width] << 4 | (0x40 if second else 0)
    return pack("<BBHI", first | (0x80 if odd else 0), event, off, value & 0xffffffff)


def put(off, value, **more):
    return access(REGISTER, off, value, **more)


def get(off, **more):
    return access(REGISTER, off, read=True, **more)


def event(what, q=0, **more):
    return access(EVENT, q, event=what, **more)


SIGNAL, CHANGED, BROKEN, NO_START, CALL = range(5)
FEATURES = (put(DRV_FEATURES_SEL, 0) + put(DRV_FEATURES, 1 << 5 | 1 << 29) +
            put(DRV_FEATURES_SEL, 1) + put(DRV_FEATURES, 1))


def queue(q, size=16, desc=0x1000, avail=0x2000, used=0x3000, ready=1, high=0):
    base = 0x4000 * q
    return (put(QUEUE_SEL, q) + put(NUM, size) +
            put(DESC, base + desc) + put(DESC + 4, high) +
            put(AVAIL, base + avail) + put(AVAIL + 4, 0) +
            put(USED, base + used) + put(USED + 4, 0) + put(READY, ready))


def bring_up(queues):
    return (put(STATUS, 0) + put(STATUS, 1) + put(STATUS, 3) + FEATURES + put(STATUS, 11) +
            queues + put(STATUS, 15))


def second(records):
    """The same accesses to the other device."""
    return b"".join(bytes([records[i] | 0x40]) + records[i + 1:i + 8]
                    for i in range(0, len(records), 8))


QUEUES = queue(0) + queue(1) + queue(2)
RUNNING = kernel() + bring_up(QUEUES)
BY_HAND = kernel(0, 0, 0)
NOTIFIED = b"".join(put(QUEUE_NOTIFY, q) for q in range(4))

SEEDS = {
    "bring-up": RUNNING + get(STATUS) + get(ISR),
    "one-queue": kernel() + bring_up(queue(1)),
    "both": RUNNING + second(bring_up(QUEUES)) + event(CHANGED) + event(CHANGED, second=True),
    "probe": kernel() + b"".join(get(off) for off in range(0, CONFIG, 4)) +
             put(DEV_FEATURES_SEL, 1) + get(DEV_FEATURES) + put(DEV_FEATURES_SEL, 2) +
             get(DEV_FEATURES) + event(CHANGED),
    "interrupts": RUNNING + event(SIGNAL) + get(ISR) + put(ACK, 1) + event(CHANGED) + get(ISR) +
                  put(ACK, 2) + get(ISR),
    "interrupts-by-hand": BY_HAND + bring_up(QUEUES) + event(CALL, 1) + get(ISR) + put(ACK, 1) +
                          get(ISR) + event(CALL, 2) + event(CHANGED) + get(ISR) + put(ACK, 3) +
                          get(ISR),
    "notify": RUNNING + NOTIFIED + access(NOTIFY, QUEUE_NOTIFY, 1) +
              access(NOTIFY, QUEUE_NOTIFY, 9) + access(NOTIFY, QUEUE_NOTIFY, 1, 2),
    "notify-by-hand": BY_HAND + bring_up(QUEUES) + NOTIFIED + put(QUEUE_NOTIFY, 1, width=2) +
                      put(QUEUE_NOTIFY + 1, 1),
    "some-refused": kernel(2, 1, 2 | 2 << 3) + bring_up(QUEUES) + second(bring_up(QUEUES)) +
                    NOTIFIED + event(CALL, 2),
    "reset": RUNNING + event(CHANGED) + put(STATUS, 0) + get(ISR) + bring_up(QUEUES),
    "needs-reset": RUNNING + event(BROKEN) + get(STATUS) + get(ISR) + put(STATUS, 0) +
                   bring_up(QUEUES),
    "failed": RUNNING + put(STATUS, 0x8f) + put(STATUS, 0),
    "config": RUNNING + b"".join(get(CONFIG + off, width=w) for off in (0, 1, 7, 9, 10, 0xfc)
                                 for w in (1, 2, 4, 8)) + put(CONFIG, 0x11223344) +
              put(CONFIG + 8, 0x55667788, width=8) + get(CONFIG, width=8) +
              get(CONFIG + 3, width=2, odd=True),
    "late-writes": RUNNING + queue(0, size=32, desc=0x9000) + FEATURES + put(STATUS, 15) +
                   put(QUEUE_SEL, 1) + put(READY, 0) + get(READY),
    "bad-clear-bits": RUNNING + put(STATUS, 3) + get(STATUS) + put(STATUS, 0x100) +
                      put(STATUS, 0xff00) + get(STATUS) + get(STATUS, width=1),
    "bad-order": kernel() + put(STATUS, 15) + queue(0) + put(STATUS, 4) + put(STATUS, 8) +
                 get(STATUS, width=2),
    "bad-features": kernel() + put(STATUS, 3) + put(DRV_FEATURES_SEL, 0) +
                    put(DRV_FEATURES, 0xffffffff) + put(STATUS, 11) + get(STATUS) +
                    put(DRV_FEATURES, 0) + put(STATUS, 11) + get(STATUS, width=8),
    "bad-size": kernel() + bring_up(queue(0, size=0) + queue(1, size=512) + queue(2, size=3) +
                                    queue(9)) + get(NUM, width=1),
    "bad-rings": kernel() + bring_up(queue(0, desc=0xfffff0) + queue(1)),
    "bad-high": kernel() + bring_up(queue(0, high=0xffffffff)),
    "bad-alignment": kernel() + bring_up(queue(0, desc=0x1001)),
    "bad-start": kernel() + event(NO_START, 1) + bring_up(QUEUES) + get(STATUS) + put(STATUS, 0) +
                 event(NO_START, 0) + bring_up(QUEUES),
    "bad-widths": RUNNING + b"".join(access(REGISTER, off, 0x0f0f0f0f, w, read=r)
                                     for off in (STATUS, STATUS + 1, NUM, DESC, QUEUE_SEL, ISR)
                                     for w in (1, 2, 4, 8) for r in (False, True)),
    "bad-odd": RUNNING + get(STATUS, odd=True) + put(STATUS, 0, odd=True) +
               put(QUEUE_NOTIFY, 1, odd=True) + get(0xfd, width=4),
    "bad-ends": RUNNING + get(0x1fc, width=8) + put(0x1fe, 0xffff) + put(0xfe, 0xffffffff) +
                put(0x200, 1) + get(0x200) + get(0xfff) + access(ADDR, 0, BASE - 2) +
                access(ADDR, 0, BASE + 2 * SLOT, read=True) + access(ADDR, 0, 0xffffffff, 8),
}
