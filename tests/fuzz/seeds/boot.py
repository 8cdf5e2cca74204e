# SPDX-License-Identifier: MIT
"""Seeds of fuzz_boot.c: five bytes of circumstances and a kernel file."""
from struct import pack

HIGH = 0x1000000          # where kernels like to be
LOW = 0x100000            # the lowest place there is


def seed(kernel, memory=4, initrd=0, cmdline=16):
    """@memory in steps of 2 MiB beyond the first, @initrd in sectors, @cmdline in bytes."""
    return pack("<BHH", memory, initrd, cmdline) + kernel


def bzimage(pref=LOW, init_size=0x40000, payload=2048, sects=1, version=0x20f, xload=1,
            loadflags=1, syssize=None, initrd_max=0x7fffffff, cmdline_size=2047, jump=0x6a,
            magic=b"HdrS"):
    """Linux Documentation/arch/x86/boot.rst; the header begins at 0x1f1."""
    h = bytearray(0x290 - 0x1f1)
    body = (syssize if syssize is not None else (payload + 15) // 16)
    h[0] = sects
    h[3:7] = pack("<I", body)
    h[0xd:0xf] = pack("<H", 0xaa55)
    h[0xf:0x11] = bytes([0xeb, jump])
    h[0x11:0x15] = magic
    h[0x15:0x17] = pack("<H", version)
    h[0x20] = loadflags
    h[0x3b:0x3f] = pack("<I", initrd_max)
    h[0x45:0x47] = pack("<H", xload)
    h[0x47:0x4b] = pack("<I", cmdline_size)
    h[0x67:0x6f] = pack("<Q", pref)
    h[0x6f:0x73] = pack("<I", init_size)
    head = (bytes(0x1f1) + bytes(h)).ljust((sects + 1) * 512, b"\0")
    return head + bytes(i * 5 & 0xff for i in range(payload))


def phdr(kind, offset, paddr, filesz, memsz, align=4):
    return pack("<IIQQQQQQ", kind, 7, offset, paddr, paddr, filesz, memsz, align)


def elf(phdrs, body=b"", entry=LOW, machine=62, kind=2, phnum=None, phentsize=56):
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    n = len(phdrs) if phnum is None else phnum
    head = ident + pack("<HHIQQQIHHHHHH", kind, machine, 1, entry, 64, 0, 0, 64, phentsize, n,
                        0, 0, 0)
    return head + b"".join(phdrs) + body


def note(entry, name=b"Xen\0", kind=18, width=4):
    return pack("<III", len(name), width, kind) + name + entry.to_bytes(width, "little")


CODE = bytes(512)
AT1 = 64 + 56             # where the body of a file with one program header is
AT2 = 64 + 2 * 56
LOAD, NOTE = 1, 4
PVH = elf([phdr(LOAD, AT2, LOW, 512, 8192), phdr(NOTE, AT2 + 512, 0, 20, 20)],
          CODE + note(LOW + 16))

SEEDS = {
    "bzimage": seed(bzimage()),
    "bzimage-initrd": seed(bzimage(), initrd=300),
    "bzimage-tight": seed(bzimage(init_size=0x100000 - 0x1000), memory=0, initrd=8),
    "bzimage-signed": seed(bzimage() + b"signature" * 40),
    "bzimage-initrd-low": seed(bzimage(initrd_max=0x2fffff), initrd=1),
    "elf": seed(elf([phdr(LOAD, AT1, LOW, 512, 512)], CODE)),
    "elf-bss": seed(elf([phdr(LOAD, AT1, LOW, 512, 0x80000)], CODE), initrd=64),
    "elf-pvh": seed(PVH),
    "elf-pvh-initrd": seed(PVH, initrd=100, cmdline=2047),
    "elf-two": seed(elf([phdr(LOAD, AT2, LOW, 256, 256), phdr(LOAD, AT2 + 256, 0x200000, 256,
                                                               4096)], CODE)),
    "elf-note64": seed(elf([phdr(LOAD, AT2, LOW, 512, 512), phdr(NOTE, AT2 + 512, 0, 24, 24, 8)],
                           CODE + note(LOW, width=8))),
    "bad-empty": seed(b""),
    "bad-text": seed(b"#!/bin/sh\n" * 80),
    "bad-old": seed(bzimage(version=0x20b)),
    "bad-32-bit": seed(bzimage(xload=0)),
    "bad-zimage": seed(bzimage(loadflags=0)),
    "bad-low": seed(bzimage(pref=0x1000)),
    "bad-high": seed(bzimage(pref=HIGH), memory=0),
    "bad-pref-wraps": seed(bzimage(pref=0xfffffffffffff000)),
    "bad-init-size": seed(bzimage(init_size=0xffffffff)),
    "bad-syssize": seed(bzimage(syssize=0xffffffff)),
    "bad-cut": seed(bzimage()[:1000]),
    "bad-sects": seed(bzimage(sects=1)[:0x1f1] + b"\xff" + bzimage()[0x1f2:]),
    "bad-jump": seed(bzimage(jump=0)),
    "bad-cmdline": seed(bzimage(cmdline_size=10), cmdline=11),
    "cmdline-long": seed(bzimage(cmdline_size=0xffffffff), cmdline=65535),
    "bad-initrd": seed(bzimage(), memory=0, initrd=4000),
    "bad-initrd-top": seed(bzimage(initrd_max=0xffffffff), memory=1, initrd=8192),
    "bad-machine": seed(elf([phdr(LOAD, AT1, LOW, 512, 512)], CODE, machine=3)),
    "bad-object": seed(elf([phdr(LOAD, AT1, LOW, 512, 512)], CODE, kind=1)),
    "bad-phnum": seed(elf([phdr(LOAD, AT1, LOW, 512, 512)], CODE, phnum=33)),
    "bad-phentsize": seed(elf([phdr(LOAD, AT1, LOW, 512, 512)], CODE, phentsize=32)),
    "bad-segment": seed(elf([phdr(LOAD, AT1, 0x400, 512, 512)], CODE, entry=0x400)),
    "bad-segment-end": seed(elf([phdr(LOAD, AT1, 0x9fff00, 512, 512)], CODE, entry=0x9fff00)),
    "bad-segment-wraps": seed(elf([phdr(LOAD, AT1, LOW, 512, 2 ** 64 - 1)], CODE)),
    "bad-filesz": seed(elf([phdr(LOAD, AT1, LOW, 512, 256)], CODE)),
    "bad-offset": seed(elf([phdr(LOAD, 2 ** 63, LOW, 512, 512)], CODE)),
    "bad-segment-empty": seed(elf([phdr(LOAD, AT1, 0x5000, 512, 0)], CODE, entry=0x5000)),
    "bad-entry": seed(elf([phdr(LOAD, AT1, LOW, 512, 512)], CODE, entry=LOW + 512)),
    "bad-note-entry": seed(elf([phdr(LOAD, AT2, LOW, 512, 512), phdr(NOTE, AT2 + 512, 0, 20, 20)],
                               CODE + note(0x1000))),
    "bad-note-sizes": seed(elf([phdr(LOAD, AT2, LOW, 512, 512),
                                phdr(NOTE, AT2 + 512, 0, 12, 12)],
                               CODE + pack("<III", 0xffffffff, 0xffffffff, 18), entry=0)),
}
