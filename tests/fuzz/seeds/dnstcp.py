# SPDX-License-Identifier: MIT
"""Seeds of fuzz_dnstcp.c."""
from struct import pack

from .dns import HERE, OPT, QR, SOA, T_A, T_CNAME, T_TXT, header, name, question, rr
from .packets import A, B, C, D, record

OPEN, SEND, CLOSE, ANSWER, RAW, HANGUP, TIME, FLUSH = range(8)
T_IXFR, T_AXFR = 251, 252


def opens(conn=0, how=0):
    return record(OPEN, how=how, arg=conn)


def send(data, conn=0):
    return record(SEND, data, conn << 6)


def message(data):
    return pack(">H", len(data)) + data


def query(text="a.test", kind=T_A, more=b"", ar=0, **head):
    return message(header(ar=ar, **head) + question(text, kind) + more)


def ask(*args, conn=0, **more):
    return send(query(*args, **more), conn)


def closes(conn=0, how=0):
    return record(CLOSE, how=how, arg=conn)


def answer(*answers, ns=(), ar=(), how=0):
    return record(ANSWER, pack(">HHH", len(answers), len(ns), len(ar)) +
                  b"".join([*answers, *ns, *ar]), how)


def whole(data, how=0):
    return record(ANSWER, data, A | how)


def raw(data):
    return record(RAW, data)


def hangs_up(how=0):
    return record(HANGUP, how=how)


def time(seconds):
    return record(TIME, arg=int(seconds * 1000))


def in_pieces(data, n=1, conn=0):
    return b"".join(send(data[i:i + n], conn) for i in range(0, len(data), n))


ADDR = rr(HERE, T_A, 60, b"\xc0\0\2\1")
TRANSFER = opens() + ask("zone.test", T_AXFR)
SOA_FIRST = answer(rr(HERE, 6, 900, SOA[12:]))

SEEDS = {
    "ask": opens() + ask() + answer(ADDR) + closes(),
    "ask-v6": opens(0, A) + ask() + answer(ADDR) + closes(),
    "pieces": opens() + in_pieces(query()) + answer(ADDR),
    "pieces-of-seven": opens() + in_pieces(query(more=OPT, ar=1), 7) + answer(ADDR),
    "several-at-once": opens() + send(query("a.test") + query("b.test", ident=8)) + answer(ADDR) +
                       answer(ADDR),
    "across-messages": opens() + in_pieces(query("a.test") + query("b.test", ident=8), 23) +
                       answer(ADDR) + answer(ADDR),
    "several-connections": b"".join(opens(i) + ask(f"n{i}.test", conn=i) for i in range(4)) +
                           answer(ADDR) * 4,
    "cached": opens() + ask() + answer(ADDR) + ask(ident=8) + time(20) + ask(ident=9) + time(25) +
              ask(ident=10),
    "gateway": opens() + ask("gateway") + ask("2.2.0.10.in-addr.arpa", 12),
    "long": opens() + ask() + answer(ADDR, how=B) + ask("b.test", ident=8) + answer(ADDR, how=B),
    "long-in-a-small-window": opens(0, B) + ask() + answer(ADDR, how=B) + time(1) + closes(),
    "transfer": TRANSFER + SOA_FIRST + answer(ADDR) + whole(header(flags=QR, an=1) + ADDR) +
                answer(SOA) + hangs_up(),
    "transfer-reset": TRANSFER + SOA_FIRST + hangs_up(A),
    "transfer-silent": TRANSFER + SOA_FIRST + time(31),
    "transfer-wrong": TRANSFER + SOA_FIRST + whole(header(flags=0)),
    "transfer-incremental": opens() + ask("zone.test", T_IXFR) + answer(SOA) + time(1) +
                            answer(SOA) + hangs_up(B),
    "answer-in-pieces": opens() + ask() + raw(b"\0") + raw(b"\x20") + raw(b"ab") + time(1) +
                        hangs_up() + answer(ADDR),
    "bare-error": opens() + ask() + whole(header(flags=QR | 4, qd=0)) + ask("b.test") +
                  answer(ADDR),
    "server-failure": opens() + ask() + whole(header(flags=QR | 2) + question("a.test")) +
                      answer(ADDR),
    "both-fail": opens() + ask() + (whole(header(flags=QR | 5) + question("a.test"))) * 2,
    "silence": opens() + ask() + time(2) + time(2) + time(5) + ask(ident=8) + answer(ADDR),
    "hang-up": opens() + ask() + hangs_up() + answer(ADDR),
    "hang-ups": opens() + ask() + hangs_up(A) + hangs_up(A) + hangs_up(A),
    "half-closed-guest": opens() + ask() + closes() + answer(ADDR),
    "more-than-asked": opens() + ask() + answer(ADDR) + answer(ADDR) + raw(b"\0\1x") +
                       ask("b.test", ident=8) + answer(ADDR),
    "text": opens() + ask(kind=T_TXT) + answer(rr(HERE, T_TXT, 5, b"\4text")) + record(FLUSH),
    "alias": opens() + ask() + answer(rr(HERE, T_CNAME, 30, name("b.test")),
                                      rr(name("b.test"), T_A, 20, b"\xc0\0\2\2")),
    "again": (opens() + ask() + answer(ADDR) + closes()) * 4,
    "guest-resets": opens() + ask() + closes(0, A) + answer(ADDR) + opens() + ask() + answer(ADDR),
    "idle": opens() + ask() + answer(ADDR) + time(31) + ask(ident=8),
    "full-window": opens() + send(query("a.test") * 200) + answer(ADDR),
    "bad-length": opens() + send(b"\xff\xff") + send(b"x" * 100),
    "bad-zero": opens() + send(b"\0\0") + ask(),
    "bad-query": opens() + send(message(header(flags=QR) + question("a.test"))),
    "bad-cut": opens() + send(message((header() + question("a.test"))[:-1])),
    "bad-two": opens() + send(message(header(qd=2) + question("a.test") * 2)),
    "bad-id": opens() + ask() + answer(ADDR, how=C) + answer(ADDR),
    "bad-question": opens() + ask() + whole(header(flags=QR, an=1) + question("b.test") + ADDR) +
                    answer(ADDR),
    "bad-answer-length": opens() + ask() + answer(ADDR, how=D) + time(2) + raw(b"\0\0") + time(2),
    "bad-answer-zero": opens() + ask() + raw(b"\0\0") + raw(b"\0\0") + hangs_up() * 2 + time(5) +
                       hangs_up() * 2,
    "bad-opcode": opens() + ask() + whole(header(flags=QR | 0x2800) + question("a.test")) * 3,
}
