# SPDX-License-Identifier: MIT
"""Set-ups whose client is in a virtual machine.

The same Debian kernel, the same initramfs and virtio-pci for all. On KVM `sluice run`
stands beside QEMU. Where there is no VT-x or SVM, QEMU emulates the processor (TCG):
then `sluice run` has no place, but sluice as the back-end of that same QEMU has, next
to the other networks of it. Emulated guests are slow; only ratios within such a row
of set-ups mean anything.

The guest's shell is on the serial line (QEMU) or behind the command channel (sluice
run); the commands are the same.
"""
import os
import re
import select
import signal
import subprocess
import time

from . import isolate
from .setups import (Failed, Passt, Setup, Sluice, feature_names, last_json, metrics,
                     passt_command, wait_for)

MEMORY = 256  # MiB

# An emulated processor is so much slower that its own watchdogs and clocks complain.
CMDLINE = "console=ttyS0 quiet panic=-1 mitigations=off"
CMDLINE_TCG = " tsc_early_khz=2300000 tsc=reliable no_timer_check rcupdate.rcu_cpu_stall_suppress=1"


class Shell:
    """A shell at the other end of two pipes."""

    def __init__(self, proc):
        self.proc = proc
        self.out = b""
        self.turn = 0
        os.set_blocking(proc.stdout.fileno(), False)

    def _read(self, until):
        while True:
            match = re.search(until, self.out)
            if match:
                text, self.out = self.out[:match.start()], self.out[match.end():]
                return text.decode(errors="replace").replace("\r", ""), match
            left = self.deadline - time.monotonic()
            if left <= 0 or not select.select([self.proc.stdout], [], [], left)[0]:
                raise Failed(f"the guest does not answer: {self.out[-200:]!r}")
            piece = os.read(self.proc.stdout.fileno(), 65536)
            if not piece:
                raise Failed(f"the machine has ended: {self.out[-200:]!r}")
            self.out += piece

    def run(self, command, timeout):
        """(status, output) of a line of shell."""
        self.turn += 1
        self.deadline = time.monotonic() + timeout
        # The echo of this line cannot be taken for its answer: that has digits twice.
        line = f"{command}; echo done-{self.turn}-$?\n"
        self.proc.stdin.write(line.encode())
        self.proc.stdin.flush()
        text, match = self._read(rf"done-{self.turn}-(\d+)\r?\n".encode())
        return int(match.group(1)), text

    def wait_prompt(self, timeout):
        self.deadline = time.monotonic() + timeout
        self._read(rb"~ # ")
        self.run("stty -echo", timeout)


class Machine(Setup):
    """Base class: the client is behind a shell."""

    kind = "vm"
    link = "eth0"

    def missing(self, rig):
        why = super().missing(rig)
        for name in ("vmlinuz", "initramfs.cpio.gz"):
            if not os.path.exists(f"{rig.build}/guest/{name}"):
                why = why or f"no guest image in {rig.build}/guest (make guest)"
        return why

    def _run(self, command, timeout):
        status, text = self.shell.run(command, timeout)
        if status:
            raise Failed(f"{self.name}: `{command}` in the guest: {text.strip()[-200:]}")
        return text

    def load(self, rig, args, timeout, cpus=None, delay=0):
        words = " ".join(args[1:])
        _, text = self.shell.run(f"load {args[0]} --to {self._target(rig, delay)} --cc reno {words}"
                                 f" --timeout {timeout}", timeout + 20)
        return last_json(text)

    def set_mtu(self, mtu):
        mtu = min(mtu, self.mtu_max)
        if mtu != self.mtu:
            self._run(f"ip link set {self.link} mtu {mtu}", 10)
        self.mtu = mtu

    def set_buffers(self, buffers):
        if buffers == self.buffers:
            return
        for name, value in zip(("rmem", "wmem"), isolate.BUFFERS[buffers]):
            self._run(f"echo {value} >/proc/sys/net/ipv4/tcp_{name}", 10)
        self.buffers = buffers

    def freeze(self):
        for pid in self.frozen:
            os.kill(pid, signal.SIGSTOP)

    def thaw(self):
        for pid in self.frozen:
            os.kill(pid, signal.SIGCONT)


class SluiceRun(Machine):
    engine = "auto"

    def missing(self, rig):
        if not rig.kvm:
            return "no VT-x or SVM: `sluice run` has nothing to run on"
        return super().missing(rig)

    def start(self, rig):
        guest = f"{rig.build}/guest"
        self.control = f"{rig.where}/{self.name}.control"
        command = [rig.tool("sluice"), "run", "--control", self.control,
                   "--kernel", f"{guest}/vmlinuz", "--initrd", f"{guest}/initramfs.cpio.gz",
                   "--memory", f"{MEMORY}M",
                   "--cpus", "1", "--cmdline", "mitigations=off", "--max-conn-rate", "0",
                   "--max-conns", "4096", "--", "sh"]
        self.notes["command"] = " ".join(command)
        proc = rig.spawn(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.procs = [proc]
        self.network = self.frozen = [proc.pid]
        self.shell = Shell(proc)

    def ready(self, rig):
        self._run("true", 60)

    def counters(self, rig):
        return metrics(self, rig.tool("sluice"), self.control)


class Qemu(Machine):
    """QEMU with some network; subclasses say which."""

    needs = ("qemu-system-x86_64",)
    device = "virtio-net-pci,netdev=n0"

    def netdev(self, rig):
        raise NotImplementedError

    def start(self, rig):
        self.folder = f"{rig.where}/{self.name}"
        os.mkdir(self.folder)
        net = self.netdev(rig)
        guest = f"{rig.build}/guest"
        # MSI-X of an emulated processor and vhost-user do not go together in QEMU 7.2; so
        # that all are alike, none has it there.
        device = self.device if rig.kvm else f"{self.device},vectors=0"
        command = [rig.programs["qemu-system-x86_64"], "-accel", "kvm" if rig.kvm else "tcg",
                   *(["-cpu", "host"] if rig.kvm else []),
                   "-m", str(MEMORY), "-smp", "1", "-nodefaults", "-no-reboot",
                   "-display", "none", "-serial", "stdio", "-name", "bench,debug-threads=on",
                   "-object", f"memory-backend-memfd,id=mem0,size={MEMORY}M,share=on",
                   "-machine", "q35,memory-backend=mem0", *net, "-device", device,
                   "-kernel", f"{guest}/vmlinuz", "-initrd", f"{guest}/initramfs.cpio.gz",
                   "-append", CMDLINE + ("" if rig.kvm else CMDLINE_TCG)]
        self.notes["command"] = " ".join([*net, "-device", device])
        proc = rig.spawn(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.procs.append(proc)
        self.frozen = [proc.pid]
        self.network = [*self.network, proc.pid]
        self.shell = Shell(proc)

    def ready(self, rig):
        self.shell.wait_prompt(120)
        features = self._run("cat /sys/bus/virtio/drivers/virtio_net/virtio*/features", 20)
        found = re.search("[01]{64}", features)  # bit 0 first
        bits = int(found.group()[::-1], 2) if found else 0
        self.notes["features"] = feature_names(bits)


class QemuSlirp(Qemu):
    engine = "libslirp"
    mtu_max = 1500  # this -netdev has no option for more

    def netdev(self, rig):
        return ["-netdev", "user,id=n0"]


class QemuPasst(Qemu):
    engine = "passt"
    needs = ("qemu-system-x86_64", "passt")

    def netdev(self, rig):
        socket = f"{self.folder}/socket"
        proc = rig.spawn(passt_command(rig, socket))
        self.procs.append(proc)
        self.network = [proc.pid]
        wait_for(f"{self.name}: its socket", 10, lambda: os.path.exists(socket))
        return ["-netdev", f"stream,id=n0,server=off,addr.type=unix,addr.path={socket}"]


class QemuVhost(Qemu):
    """QEMU in front of a vhost-user back-end of the native set-ups."""

    def __init__(self, name, title, back):
        super().__init__(name, title)
        self.back = back
        self.engine = back.engine
        self.needs = (*Qemu.needs, *back.needs)

    def missing(self, rig):
        return super().missing(rig) or self.back.missing(rig)

    def netdev(self, rig):
        socket = f"{self.folder}/socket"
        self.back.folder = self.folder
        proc = rig.spawn(self.back.back_end(rig, socket))
        self.procs.append(proc)
        self.network = [proc.pid]
        self.back.network = [proc.pid]
        wait_for(f"{self.name}: its socket", 10, lambda: os.path.exists(socket))
        return ["-chardev", f"socket,id=chr0,path={socket}",
                "-netdev", "vhost-user,id=n0,chardev=chr0"]

    def counters(self, rig):
        return self.back.counters(rig)


def virtual():
    return [
        SluiceRun("sluice-run", "sluice run"),
        QemuVhost("qemu-sluice-vu", "qemu + sluice vhost-user", Sluice("", "", "auto")),
        QemuSlirp("qemu-libslirp", "qemu + libslirp (-netdev user)"),
        QemuPasst("qemu-passt", "qemu + passt (-netdev stream)"),
        QemuVhost("qemu-passt-vu", "qemu + passt --vhost-user", Passt("", "")),
    ]

