#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Reads a capture file of ours, strictly, and says what is in it.

    pcapng.py FILE                      a line of JSON about the file
    pcapng.py FILE in|out PORT          the payload of the one TCP connection whose
                                        remote port it is, to standard output

An error is anything that tests/unit/pcapngcheck.h would not accept either.
"""
import json
import struct
import sys


def fail(text):
    sys.exit(f"pcapng: {text}")


def options(data):
    """The options of a block, as (code, value) pairs."""
    at = 0
    while True:
        if len(data) - at < 4:
            fail("options without an end")
        code, length = struct.unpack_from("<HH", data, at)
        at += 4
        if code == 0:
            if length or at != len(data):
                fail("something behind the options")
            return
        if at + (length + 3) // 4 * 4 > len(data):
            fail(f"option {code} is too long")
        yield code, data[at:at + length]
        at += (length + 3) // 4 * 4


def blocks(data):
    """(type, body) of each block."""
    at = 0
    while at < len(data):
        if len(data) - at < 12:
            fail("half a block at the end")
        kind, length = struct.unpack_from("<II", data, at)
        if length % 4 or length < 12 or at + length > len(data):
            fail(f"a block of {length} bytes at {at}")
        if struct.unpack_from("<I", data, at + length - 4)[0] != length:
            fail("the lengths of a block differ")
        yield kind, data[at + 8:at + length - 4]
        at += length


class Packet:
    """One frame: flags is 1 to the guest, 2 from it."""

    def __init__(self, body):
        interface, high, low, kept, self.length = struct.unpack_from("<IIIII", body)
        if interface or kept > self.length:
            fail("a packet's head")
        self.time = high << 32 | low
        self.data = body[20:20 + kept]
        self.flags = self.lost = 0
        self.comment = ""
        for code, value in options(body[20 + (kept + 3) // 4 * 4:]):
            if code == 2:
                self.flags = struct.unpack("<I", value)[0]
            elif code == 4:
                self.lost = struct.unpack("<Q", value)[0]
            elif code == 1:
                self.comment = value.decode()
            else:
                fail(f"option {code} of a packet")
        if self.flags not in (1, 2):
            fail("a packet without direction")


def read(path):
    """(packets, statistics by option) of a file."""
    packets, stats = [], None
    with open(path, "rb") as file:
        found = list(blocks(file.read()))
    if [kind for kind, _ in found[:2]] != [0x0a0d0d0a, 1]:
        fail("no section with an interface")
    if struct.unpack_from("<IHH", found[0][1]) != (0x1a2b3c4d, 1, 0):
        fail("the section")
    interface = dict(options(found[1][1][8:]))
    if struct.unpack_from("<H", found[1][1])[0] != 1 or interface.get(9) != b"\x09":
        fail("the interface is no Ethernet with nanoseconds")
    for kind, body in found[2:]:
        if stats is not None:
            fail("something behind the statistics")
        if kind == 6:
            packets.append(Packet(body))
        elif kind == 5:
            stats = dict(options(body[12:]))
        else:
            fail(f"a block of type {kind}")
    if any(a.time > b.time for a, b in zip(packets, packets[1:])):
        fail("time goes back")
    if stats is not None and struct.unpack("<Q", stats[8])[0] != len(packets):
        fail("the statistics count other packets")
    return packets, stats


def segment(packet, inbound, port):
    """(flags, sequence, payload) of a frame of the connection, or None."""
    data = packet.data
    if packet.flags != (1 if inbound else 2) or data[12:14] != b"\x08\x00" or data[23] != 6:
        return None
    tcp = 14 + (data[14] & 15) * 4
    total = struct.unpack_from(">H", data, 16)[0]
    if struct.unpack_from(">H", data, tcp + (0 if inbound else 2))[0] != port:
        return None
    if len(data) != packet.length:
        fail("a frame that was cut")
    payload = data[tcp + (data[tcp + 12] >> 4) * 4:14 + total]
    return data[tcp + 13], struct.unpack_from(">I", data, tcp + 4)[0], payload


def payload(packets, inbound, port):
    """The bytes of one direction; each byte that came twice was the same twice."""
    start, stream = None, bytearray()
    for packet in packets:
        found = segment(packet, inbound, port)
        if not found:
            continue
        flags, sequence, data = found
        if flags & 2:
            start = sequence + 1
        if not data:
            continue
        if start is None:
            fail("no SYN before the payload")
        at = (sequence - start) % (1 << 32)
        if at > len(stream):
            fail(f"bytes are missing at {len(stream)}")
        old = stream[at:at + len(data)]
        if old != data[:len(old)]:
            fail(f"other bytes at {at} than before")
        stream[at:at + len(data)] = data
    return bytes(stream)


def main():
    packets, stats = read(sys.argv[1])
    if len(sys.argv) > 2:
        sys.stdout.buffer.write(payload(packets, sys.argv[2] == "in", int(sys.argv[3])))
        return
    print(json.dumps({
        "packets": len(packets),
        "inbound": sum(p.flags == 1 for p in packets),
        "outbound": sum(p.flags == 2 for p in packets),
        "cut": sum(len(p.data) < p.length for p in packets),
        "longest": max((len(p.data) for p in packets), default=0),
        "flows": sorted({p.comment for p in packets if p.comment}),
        "complete": stats is not None,
        "lost": struct.unpack("<Q", stats[5])[0] if stats else None,
        "start_s": struct.unpack("<II", stats[2])[0] * 2**32 / 1e9 if stats else None,
    }))


if __name__ == "__main__":
    main()
