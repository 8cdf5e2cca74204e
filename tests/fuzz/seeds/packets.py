# SPDX-License-Identifier: MIT
"""Records of net.h and packets; checksums are the target's business."""
from ipaddress import ip_address
from struct import pack

A, B, C, D = 0x10, 0x20, 0x40, 0x80

GUEST, GATEWAY, DNS = "10.0.2.15", "10.0.2.2", "10.0.2.3"
PREFIX6 = "fd73:6c75:6963:0::"
GUEST6, GATEWAY6, DNS6 = PREFIX6 + "15", PREFIX6 + "2", PREFIX6 + "3"
LINK6 = "fe80::5054:ff:fe12:3456"
OUR_MAC, GUEST_MAC, ALL = bytes.fromhex("9a559a559a55"), bytes.fromhex("525400123456"), b"\xff" * 6


def record(what, data=b"", how=0, arg=None):
    return pack("<BH", what | how, len(data) if arg is None else arg) + data


def eth(ethertype, payload, dst=None, src=GUEST_MAC):
    return (dst or OUR_MAC) + src + pack(">H", ethertype) + payload


def ip4(proto, payload, src=GUEST, dst=GATEWAY, frag=0x4000, ttl=64, options=b"", ident=0):
    ihl = 5 + len(options) // 4
    head = pack(">BBHHHBBH", 0x40 | ihl, 0, ihl * 4 + len(payload), ident, frag, ttl, proto, 0)
    return eth(0x800, head + ip_address(src).packed + ip_address(dst).packed + options + payload)


def ip6(proto, payload, src=GUEST6, dst=GATEWAY6, hops=64):
    head = pack(">IHBB", 6 << 28, len(payload), proto, hops)
    return eth(0x86dd, head + ip_address(src).packed + ip_address(dst).packed + payload)


def udp(sport, dport, payload=b""):
    return pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload


FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32


def tcp(sport, dport, seq, ack, flags, payload=b"", window=65535, options=b"", urgent=0):
    return pack(">HHIIBBHHH", sport, dport, seq & 0xffffffff, ack, (5 + len(options) // 4) << 4,
                flags, window, 0, urgent) + options + payload


def echo(ident, seq, payload=b"", kind=8):
    return pack(">BBHHH", kind, 0, 0, ident, seq) + payload


def checksum(data, at=2):
    """@data with its RFC 1071 checksum in place, for what is cut in pieces afterwards."""
    total = sum(data[i] << 8 | (data[i + 1] if i + 1 < len(data) else 0)
                for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return data[:at] + pack(">H", ~total & 0xffff) + data[at + 2:]


def arp(target, sender=GUEST, op=1):
    return eth(0x806, pack(">HHBBH", 1, 0x800, 6, 4, op) + GUEST_MAC + ip_address(sender).packed +
               bytes(6) + ip_address(target).packed, dst=ALL)
