# SPDX-License-Identifier: MIT
"""Seeds of fuzz_ndp.c."""
from ipaddress import ip_address
from struct import pack

from .packets import A, B, C, DNS6, GATEWAY6, GUEST6, GUEST_MAC, LINK6, PREFIX6, record

MESSAGE, TIME = 0, 1
UNSPECIFIED = B | C
RS, RA, NS, NA, REDIRECT = range(133, 138)


def opt(kind, data, units=None):
    return bytes([kind, (len(data) + 2) // 8 if units is None else units]) + data


SOURCE, TARGET = opt(1, GUEST_MAC), opt(2, GUEST_MAC)


def msg(kind, body=b"", how=0, code=0):
    return record(MESSAGE, bytes([kind, code, 0, 0]) + body, how)


def solicit(addr, *options, **more):
    return msg(NS, bytes(4) + ip_address(addr).packed + b"".join(options), **more)


def advert(addr, *options, flags=0x60000000, **more):
    return msg(NA, pack(">I", flags) + ip_address(addr).packed + b"".join(options), **more)


SEEDS = {
    "router-solicit": msg(RS, bytes(4) + SOURCE),
    "router-solicit-unspecified": msg(RS, bytes(4), UNSPECIFIED),
    "router-solicit-global": msg(RS, bytes(4) + SOURCE, B),
    "solicit-gateway": solicit(GATEWAY6, SOURCE) + solicit(DNS6, SOURCE),
    "solicit-link-local": solicit("fe80::9855:9aff:fe55:9a55", SOURCE),
    "solicit-neighbour": solicit(PREFIX6 + "99", SOURCE, how=B),
    "probe": solicit(GUEST6, how=UNSPECIFIED) + solicit(LINK6, how=UNSPECIFIED) +
             solicit(GATEWAY6, how=UNSPECIFIED),
    "solicit-nonce": solicit(GATEWAY6, SOURCE, opt(14, b"nonce!")),
    "own-address": solicit(PREFIX6 + "55", how=UNSPECIFIED) + solicit(GATEWAY6, SOURCE, how=C),
    "many-addresses": b"".join(solicit(PREFIX6 + f"{0x100 + i:x}", how=UNSPECIFIED)
                               for i in range(20)) + solicit(GATEWAY6, SOURCE),
    "advert": advert(GUEST6, TARGET, how=B) + solicit(GATEWAY6, SOURCE),
    "echo": msg(128, b"\0\1\0\1ping", B),
    "periodic": record(TIME, arg=60000) * 12 + msg(RS, bytes(4) + SOURCE),
    "often": (msg(RS, bytes(4)) + record(TIME, arg=10)) * 6,
    "bad-hops": solicit(GATEWAY6, SOURCE, how=A),
    "bad-code": solicit(GATEWAY6, SOURCE, code=1),
    "bad-short": msg(NS, bytes(19)) + msg(RS, bytes(3)) + msg(NA, bytes(4)) + msg(NS),
    "bad-multicast": solicit("ff02::1", SOURCE),
    "bad-option-zero": solicit(GATEWAY6, opt(1, GUEST_MAC, 0)),
    "bad-option-long": solicit(GATEWAY6, opt(1, GUEST_MAC, 2)),
    "bad-option-cut": solicit(GATEWAY6, b"\1"),
    "bad-probe-with-source": solicit(GATEWAY6, SOURCE, how=UNSPECIFIED),
    "bad-rs-with-source": msg(RS, bytes(4) + SOURCE, UNSPECIFIED),
    "bad-router": msg(RA, bytes(12)) + msg(REDIRECT, bytes(36)),
    "bad-advert": advert(GATEWAY6, TARGET) + advert("ff02::1"),
    "bad-elsewhere": solicit("2001:db8::1", SOURCE),
}
