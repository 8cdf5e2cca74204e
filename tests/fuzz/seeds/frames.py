# SPDX-License-Identifier: MIT
"""Seeds of fuzz_frames.c."""
from struct import pack

from .packets import (A, ACK, ALL, B, C, D, DNS, FIN, GATEWAY, GATEWAY6, GUEST, PSH, RST, SYN, URG,
                      arp, checksum, echo, eth, ip4, ip6, record, tcp, udp)

FRAME, TIME, HOST, DRIVER, REFILL, FORWARD = range(6)
WRITE, WRITE_MUCH, HALF_CLOSE, CLOSE, RESET, NOTHING, MUTE, TALK = range(8)
ISN = 1000
OPTIONS = bytes.fromhex("020405b4" "0402" "01" "030307" "0000")  # MSS, SACK, window scale


def frame(data, how=0):
    return record(FRAME, data, how)


def time(ms):
    return record(TIME, arg=ms)


def host(what):
    return record(HOST, arg=what)


def seg(flags, seq=ISN + 1, payload=b"", sport=4000, how=D, ack=0, v6=False, **more):
    """A segment that acknowledges all that came, @ack more or less."""
    t = tcp(sport, 7, seq, ack & 0xffffffff, flags, payload, **more)
    return frame(ip6(6, t) if v6 else ip4(6, t), how)


def syn(**more):
    more.setdefault("options", OPTIONS)
    return seg(SYN, ISN, how=0, **more)


def opened(**more):
    return syn(**more) + seg(ACK, **more)


DATA = bytes(range(256)) * 4
UPLOAD = opened() + seg(ACK | PSH, payload=DATA) + seg(ACK, ISN + 1 + len(DATA))


def pieces(proto, body, v6=False, cut=400):
    """A datagram in fragments of @cut bytes."""
    out = []
    for at in range(0, len(body), cut):
        more = at + cut < len(body)
        if v6:
            head = pack(">BBHI", proto, 0, at | more, 7)
            out.append(frame(ip6(44, head + body[at:at + cut])))
        else:
            out.append(frame(ip4(proto, body[at:at + cut], frag=at // 8 | more << 13, ident=7)))
    return out


DGRAM = udp(5000, 7, b"x" * 1200)

SEEDS = {
    "arp": frame(arp(GATEWAY)) + frame(arp(DNS)) + frame(arp("10.0.2.99")),
    "echo": frame(ip4(1, echo(1, 1, b"ping"))) + frame(ip6(58, echo(1, 1, b"ping", 128))),
    "udp": frame(ip4(17, udp(5000, 7, b"hello"))) + frame(ip4(17, udp(5000, 7))) +
           frame(ip6(17, udp(5001, 7, b"hello", ))),
    "udp-checksum-left": frame(ip4(17, udp(5000, 7, b"hello")), B),
    "udp-segmented": frame(ip4(17, udp(5000, 7, b"s" * 1700)), B | C) +
                     frame(ip6(17, udp(5000, 7, b"s" * 1500)), B | C),
    "udp-many": b"".join(frame(ip4(17, udp(5000 + i, 7, b"x"))) for i in range(12)) + time(400),
    "udp-old": frame(ip4(17, udp(5000, 7, b"x"))) + time(65535) * 5 +
               frame(ip4(17, udp(5000, 7, b"x"))),
    "udp-fragments": b"".join(pieces(17, DGRAM)) + b"".join(pieces(17, DGRAM, v6=True)),
    "udp-big-answer": b"".join(pieces(17, udp(5000, 7, b"y" * 6000), cut=1480)),
    "ping-fragments": b"".join(pieces(1, checksum(echo(9, 1, b"z" * 2000)), cut=1024)),
    "port-closed": frame(ip4(17, udp(5000, 9, b"x"))) + time(10) + frame(ip4(17, udp(5000, 9))),
    "tcp-upload": UPLOAD,
    "tcp-upload-v6": opened(v6=True) + seg(ACK | PSH, payload=DATA, v6=True),
    "tcp-whole-life": UPLOAD + seg(ACK | FIN, ISN + 1 + len(DATA)) + host(CLOSE) +
                      seg(ACK, ISN + 2 + len(DATA)) + time(1000),
    "tcp-refused": frame(ip4(6, tcp(4000, 9, ISN, 0, SYN))),
    "tcp-host-writes": opened() + host(WRITE) + seg(ACK) + host(WRITE_MUCH) + seg(ACK) + seg(ACK) +
                       seg(ACK),
    "tcp-host-half-closes": opened() + host(HALF_CLOSE) + seg(ACK) +
                            seg(ACK | PSH, payload=DATA) + seg(ACK | FIN, ISN + 1 + len(DATA)),
    "tcp-host-resets": opened() + host(RESET) + seg(ACK, payload=b"late"),
    "tcp-guest-resets": opened() + seg(RST | ACK),
    "tcp-lost": opened() + host(WRITE) + time(300) + time(1000) + seg(ACK, ack=-500) + seg(ACK),
    "tcp-duplicate-acks": opened() + host(WRITE_MUCH) + seg(ACK, ack=-4000) * 4 + seg(ACK),
    "tcp-out-of-order": opened() + seg(ACK, ISN + 1 + 500, DATA[:500]) +
                        seg(ACK, ISN + 1, DATA[:500]) + seg(ACK, ISN + 1001),
    "tcp-overlap": opened() + seg(ACK, ISN + 1, DATA) + seg(ACK, ISN + 300, DATA),
    "tcp-sack": opened() + host(WRITE_MUCH) +
                seg(ACK, ack=-3000, options=b"\x01\x01\x05\x0a" + pack(">II", 10, 20)),
    "tcp-window-shut": opened() + host(WRITE_MUCH) + seg(ACK, window=0) + time(2000) +
                       seg(ACK, window=100) + seg(ACK),
    "tcp-stalled": opened() + host(MUTE) + b"".join(
        seg(ACK | PSH, ISN + 1 + i * 1024, DATA) for i in range(8)) + time(200) + host(TALK),
    "tcp-segmented": opened() + seg(ACK | PSH, payload=DATA * 8, how=D | B | C),
    "tcp-urgent": opened() + seg(ACK | URG, payload=DATA, urgent=10),
    "tcp-syn-again": syn() + syn() + seg(ACK) + time(65535),
    "tcp-many": b"".join(syn(sport=4000 + i) for i in range(12)),
    "tcp-keepalive": opened() + seg(ACK, ISN) + seg(ACK, ISN + 1),
    "tcp-simultaneous-end": opened() + host(HALF_CLOSE) + seg(FIN | ACK) + seg(ACK, ISN + 2),
    "driver-goes": UPLOAD + host(WRITE) + record(DRIVER) + seg(ACK) + record(DRIVER),
    "starved": opened() + record(REFILL, arg=0) + host(WRITE_MUCH) * 3 + seg(ACK) +
               record(REFILL, arg=4) + seg(ACK) + record(REFILL, arg=65535) + seg(ACK),
    "forward": record(FORWARD) + frame(arp(GATEWAY)) +
               frame(ip4(6, tcp(80, 1, 0, 0, RST | ACK)), D) + time(1000) + time(3000),
    "ttl": frame(ip4(17, udp(5000, 7, b"x"), ttl=1, dst="192.0.2.1")),
    "broadcast": frame(eth(0x800, ip4(17, udp(5000, 9, b"x"), dst="255.255.255.255")[14:],
                           dst=ALL)) + frame(arp(GATEWAY)),
    "bad-short": b"".join(frame(ip4(6, tcp(1, 7, 1, 0, SYN))[:n]) for n in (1, 13, 14, 33, 34, 53)),
    "bad-checksum": frame(ip4(17, udp(5000, 7, b"x"))[:-1] + b"\x55", A) +
                    frame(ip4(6, tcp(4000, 7, 1, 0, SYN)), A),
    "bad-source": frame(ip4(17, udp(5000, 7, b"x"), src="10.0.2.16")),
    "bad-source-v6": frame(ip6(17, udp(5000, 7, b"x"), src="2001:db8::1")),
    "bad-destination": frame(ip4(17, udp(5000, 7, b"x"), dst="127.0.0.1")) +
                       frame(ip4(6, tcp(4000, 80, 1, 0, SYN), dst="169.254.169.254")) +
                       frame(ip6(17, udp(5000, 7), dst="::1")),
    "ip-options": frame(ip4(17, udp(5000, 7, b"x"), options=b"\x44\xff\0\0")),
    "bad-tcp-offset": frame(ip4(6, tcp(4000, 7, 1, 0, SYN)[:12] + b"\xf0" +
                                tcp(4000, 7, 1, 0, SYN)[13:])),
    "bad-tcp-options": syn(options=b"\x02\xff\x03\x00") + syn(options=b"\x03\x03\xff\x05") +
                       syn(sport=7, options=b"\x02\x00\x00\x00") +
                       frame(ip4(6, tcp(4000, 7, 1, 0, SYN)), A),
    "bad-length": frame(ip4(17, udp(5000, 7, b"x"))[:16] + b"\xff\xff" +
                        ip4(17, udp(5000, 7, b"x"))[18:]) +
                  frame(ip4(17, pack(">HHHH", 1, 7, 4, 0))),
    "bad-offload": frame(ip4(17, udp(5000, 7, b"x")), A | B) + seg(SYN, ISN, how=A | B | C) +
                   frame(ip4(17, udp(5000, 7, b"x")), B | C),
    "bad-fragments": frame(pieces(17, DGRAM)[1][3:]) + b"".join(reversed(pieces(17, DGRAM))) +
                     b"".join(pieces(6, tcp(1, 7, 1, 0, SYN, DATA), cut=40)),
    "bad-extensions": frame(ip6(0, bytes([43, 200]) + bytes(6))) +
                      frame(ip6(0, bytes([17, 0, 5, 2, 0, 0, 1, 0]) + udp(1, 7))) +
                      frame(ip6(44, bytes(8))),
    "bad-protocol": frame(ip4(47, b"gre")) + frame(ip6(132, b"sctp")),
    "bad-ethertype": frame(eth(0x88cc, b"lldp")) + frame(eth(0x8100, b"\0\1\x08\0" + b"x" * 40)),
    "bad-unknown-flow": seg(ACK, payload=DATA) + seg(FIN | ACK) + seg(RST) +
                        frame(ip4(6, tcp(1, 7, 1, 0, RST)), A),
    "bad-ack": syn() + seg(ACK, ack=1000) + seg(ACK, ack=-1000) +
               frame(ip4(6, tcp(4000, 7, ISN, 5, ACK)), A),
    "bad-mac": frame(b"\x52\x54\0\0\0\1" + ip4(17, udp(1, 7))[6:]) +
               frame(ip4(17, udp(1, 7))[:6] + b"\1" * 6 + ip4(17, udp(1, 7))[12:], A),
    "bad-icmp": frame(ip4(1, b"\x05\x01" + bytes(30))) + frame(ip4(1, echo(1, 1)[:7])) +
                frame(ip6(58, b"\x89\0" + bytes(40), dst=GATEWAY6)),
    "bad-arp": frame(arp(GATEWAY, sender="10.0.2.99")) + frame(arp(GATEWAY)[:30]) +
               frame(arp(GUEST, op=7)),
}
