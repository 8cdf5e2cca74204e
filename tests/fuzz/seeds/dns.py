# SPDX-License-Identifier: MIT
"""Seeds of fuzz_dns.c."""
from struct import pack

from .packets import A, B, C, record

QUERY, ANSWER, TIME, FLUSH = range(4)
T_A, T_CNAME, T_SOA, T_PTR, T_TXT, T_AAAA, T_OPT, T_ANY = 1, 5, 6, 12, 16, 28, 41, 255
RD, QR = 0x100, 0x8180
HERE = b"\xc0\x0c"        # the name in the question


def name(text):
    return b"".join(bytes([len(p)]) + p.encode() for p in text.split(".") if p) + b"\0"


def question(text, kind=T_A, klass=1):
    return (text if isinstance(text, bytes) else name(text)) + pack(">HH", kind, klass)


def header(ident=7, flags=RD, qd=1, an=0, ns=0, ar=0):
    return pack(">HHHHHH", ident, flags, qd, an, ns, ar)


def rr(owner, kind, ttl, data, klass=1):
    return owner + pack(">HHIH", kind, klass, ttl, len(data)) + data


OPT = rr(b"\0", T_OPT, 0x8000, b"", 1232)


def ask(text="a.test", kind=T_A, how=0, more=b"", ar=0, **head):
    return record(QUERY, header(ar=ar, **head) + question(text, kind) + more, how)


def answer(*answers, ns=(), ar=(), how=0):
    return record(ANSWER, pack(">HHH", len(answers), len(ns), len(ar)) +
                  b"".join([*answers, *ns, *ar]), how)


def whole(data, how=0):
    return record(ANSWER, data, A | how)


def time(seconds):
    return record(TIME, arg=int(seconds * 1000))


ADDR = rr(HERE, T_A, 60, b"\xc0\0\2\1")
SOA = rr(HERE, T_SOA, 900, name("ns.test") + name("x.test") + pack(">IIIII", 1, 2, 3, 4, 30))

SEEDS = {
    "address": ask() + answer(ADDR),
    "address-v6": ask(kind=T_AAAA, how=A) + answer(rr(HERE, T_AAAA, 60, bytes(16))),
    "cached": ask() + answer(ADDR) + ask(ident=8) + time(30) + ask(ident=9) + time(31) +
              ask(ident=10) + answer(ADDR),
    "cached-edns": ask(more=OPT, ar=1) + answer(ADDR, ar=[OPT]) + ask(more=OPT, ar=1, ident=9),
    "alias": ask() + answer(rr(HERE, T_CNAME, 30, name("b.test")),
                            rr(name("b.test"), T_A, 20, b"\xc0\0\2\2")),
    "no-such-name": ask() + whole(header(flags=QR | 3, ns=1) + question("a.test") + SOA) +
                    ask(ident=8),
    "nothing-of-that-type": ask(kind=T_AAAA) + answer(ns=[SOA]),
    "other-type": ask(kind=T_TXT) + answer(rr(HERE, T_TXT, 5, b"\4text")),
    "gateway": ask("gateway") + ask("2.2.0.10.in-addr.arpa", T_PTR),
    "too-long": ask() + answer(*[rr(HERE, T_A, 60, bytes(4))] * 40),
    "long-with-edns": ask(more=OPT, ar=1) + answer(*[rr(HERE, T_A, 60, bytes(4))] * 40),
    "server-failure": ask() + whole(header(flags=QR | 2) + question("a.test")) + ask(ident=8),
    "silence": ask() + time(1) + ask(ident=8) + time(2) + time(5),
    "asked-again": ask() + time(2) + answer(ADDR) + answer(ADDR),
    "evicted": b"".join(ask(f"n{i}.test", ident=i) + answer(ADDR) for i in range(20)) +
               ask("n0.test"),
    "flushed": ask() + answer(ADDR) + record(FLUSH) + ask(ident=8) + answer(ADDR),
    "case": ask("A.TeSt") + answer(ADDR) + ask("a.test", ident=8),
    "ttl-huge": ask() + answer(rr(HERE, T_A, 0xffffffff, bytes(4))) + ask(ident=8),
    "ttl-zero": ask() + answer(rr(HERE, T_A, 0, bytes(4))) + ask(ident=8) + answer(ADDR),
    "opcode": record(QUERY, header(flags=0x2800) + question("a.test")) +
              whole(header(flags=QR | 0x2800 | 4) + question("a.test")),
    "full-table": b"".join(ask(f"n{i}.test", ident=i) for i in range(12)) + answer(ADDR),
    "bad-empty": record(QUERY, b"\0"),
    "bad-header": record(QUERY, header(qd=1)),
    "bad-answer-as-query": record(QUERY, header(flags=QR) + question("a.test")),
    "bad-two-questions": record(QUERY, header(qd=2) + question("a.test") * 2),
    "bad-label": record(QUERY, header() + b"\x3f" + b"x" * 10),
    "bad-pointer": record(QUERY, header() + b"\xc0\x0c\0\1\0\1"),
    "bad-long-name": record(QUERY, header() + (b"\x3f" + b"y" * 63) * 5 + b"\0\0\1\0\1"),
    "bad-long-query": record(QUERY, header() + question("a.test") + bytes(1300)),
    "bad-id": ask() + answer(ADDR, how=C) + answer(ADDR),
    "other-port": ask() + answer(ADDR, how=B) + time(2) + answer(ADDR),
    "bad-question": ask() + whole(header(flags=QR, an=1) + question("b.test") + ADDR) + time(1) +
                    whole(b"x"),
    "loops": ask() + answer(rr(HERE, T_CNAME, 30, HERE)) + ask(ident=8),
    "pointer-loops": ask() + answer(rr(b"\xc0\x1c", T_A, 30, bytes(4))) + ask(ident=8),
    "cut-record": ask() + answer(ADDR[:-2]) + ask(ident=8),
    "counts-lie": ask() + record(ANSWER, pack(">HHH", 0xffff, 0xffff, 0xffff) + ADDR) +
                  ask(ident=8),
}
