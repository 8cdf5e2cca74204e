# SPDX-License-Identifier: MIT
"""Seeds of fuzz_dhcp.c."""
from ipaddress import ip_address
from struct import pack

from .packets import A, DNS, GATEWAY, GUEST, GUEST6, GUEST_MAC, record

V4, V6 = 0, 1
DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM = range(1, 9)
COOKIE = b"\x63\x82\x53\x63"


def opt(kind, data):
    return bytes([kind, len(data)]) + data


def bootp(*options, op=1, htype=1, hlen=6, flags=0, ciaddr="0.0.0.0", cookie=COOKIE, pad=300,
          end=True, overload=b""):
    fixed = pack(">BBBBIHH", op, htype, hlen, 0, 0x01020304, 3, flags)
    fixed += ip_address(ciaddr).packed + bytes(12) + GUEST_MAC + bytes(10)
    fixed += overload.ljust(192, b"\0") + cookie
    return (fixed + b"".join(options) + (b"\xff" if end else b"")).ljust(pad, b"\0")


def message(kind):
    return opt(53, bytes([kind]))


def wants(addr):
    return opt(50, ip_address(addr).packed)


def server(addr):
    return opt(54, ip_address(addr).packed)


def v4(*options, how=0, **more):
    return record(V4, bootp(*options, **more), how)


LIST = opt(55, bytes([1, 3, 6, 12, 15, 26, 51, 121, 119]))
CLIENT = opt(61, b"\1" + GUEST_MAC)


def opt6(kind, data=b""):
    return pack(">HH", kind, len(data)) + data


def v6(kind, *options):
    return record(V6, bytes([kind, 1, 2, 3]) + b"".join(options))


SOLICIT6, ADVERTISE6, REQUEST6, CONFIRM6, RENEW6, REBIND6, REPLY6, RELEASE6, DECLINE6 = range(1, 10)
INFORM6, RELAY6 = 11, 12
DUID = opt6(1, b"\0\3\0\1" + GUEST_MAC)
ADDR = opt6(5, ip_address(GUEST6).packed + bytes(8))
IA = opt6(3, bytes(12))
IA_ADDR = opt6(3, bytes(12) + ADDR)
OPTIONS6 = opt6(6, pack(">HH", 23, 24))
OUR_DUID = opt6(2, b"\0\3\0\1" + bytes.fromhex("9a559a559a55"))

SEEDS = {
    "discover": v4(message(DISCOVER), LIST),
    "discover-named": v4(message(DISCOVER), opt(12, b"host"), CLIENT, LIST, opt(57, b"\5\xdc")),
    "discover-rapid": v4(message(DISCOVER), opt(80, b""), LIST),
    "request": v4(message(REQUEST), wants(GUEST), server(GATEWAY), LIST),
    "request-init-reboot": v4(message(REQUEST), wants(GUEST)),
    "request-renew": v4(message(REQUEST), ciaddr=GUEST, how=A),
    "request-other": v4(message(REQUEST), wants("10.0.2.77")),
    "request-from-elsewhere": v4(message(REQUEST), wants(GUEST), ciaddr="0.2.0.0"),
    "inform": v4(message(INFORM), LIST, ciaddr=GUEST, how=A),
    "broadcast-flag": v4(message(DISCOVER), LIST, flags=0x8000),
    "long-list": v4(message(DISCOVER), opt(55, bytes(range(1, 251))), pad=600),
    "padded": v4(b"\0\0\0", message(DISCOVER), b"\0", LIST),
    "bad-no-end": v4(message(DISCOVER), end=False),
    "whole-lease": v4(message(DISCOVER)) + v4(message(REQUEST), wants(GUEST), server(GATEWAY)) +
                   v4(message(RELEASE), ciaddr=GUEST, how=A),
    "overloaded": v4(message(DISCOVER), opt(52, b"\3"), overload=opt(12, b"x") + b"\xff"),
    "v6-solicit": v6(SOLICIT6, DUID, IA, OPTIONS6, opt6(8, b"\0\0")),
    "v6-rapid": v6(SOLICIT6, DUID, IA, opt6(14)),
    "v6-request": v6(REQUEST6, DUID, OUR_DUID, IA_ADDR),
    "v6-renew": v6(RENEW6, DUID, OUR_DUID, IA_ADDR),
    "v6-rebind": v6(REBIND6, DUID, IA_ADDR),
    "v6-confirm": v6(CONFIRM6, DUID, IA_ADDR),
    "v6-inform": v6(INFORM6, DUID, OPTIONS6),
    "v6-release": v6(SOLICIT6, DUID, IA) + v6(RELEASE6, DUID, OUR_DUID, IA_ADDR),
    "v6-many": v6(SOLICIT6, DUID, *[IA] * 20),
    "bad-short": record(V4, bootp(message(DISCOVER))[:239]),
    "bad-cut": record(V4, bootp(message(DISCOVER))[:242]),
    "bad-cookie": v4(message(DISCOVER), cookie=b"\0\0\0\0"),
    "bad-op": v4(message(DISCOVER), op=2),
    "bad-hardware": v4(message(DISCOVER), htype=6) + v4(message(DISCOVER), hlen=255),
    "bad-option": v4(b"\x35\xff\1"),
    "bad-type-length": v4(opt(53, b""), opt(53, b"\1\1")),
    "bad-type": v4(message(0)) + v4(message(99)) + v4(message(OFFER)),
    "bad-other-server": v4(message(REQUEST), wants(GUEST), server(DNS)),
    "bad-none": v4(LIST),
    "bad-v6-short": record(V6, b"\1\2\3"),
    "bad-v6-option": v6(SOLICIT6, DUID, pack(">HH", 3, 0xffff)),
    "bad-v6-nested": v6(SOLICIT6, DUID, opt6(3, bytes(12) + pack(">HH", 5, 100))),
    "bad-v6-no-client": v6(SOLICIT6, IA),
    "bad-v6-long-client": v6(SOLICIT6, opt6(1, b"x" * 131), IA),
    "bad-v6-other-server": v6(REQUEST6, DUID, opt6(2, b"other"), IA),
    "bad-v6-reply": v6(REPLY6, DUID) + v6(ADVERTISE6) + v6(RELAY6, bytes(32)),
}
