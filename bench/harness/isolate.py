# SPDX-License-Identifier: MIT
"""A place that goes away with us.

Everything runs in a network, a mount and a process namespace of its own. When the
program inside ends, however it ends, the kernel kills every process of the namespace
and with the last of them the networks go; there is nothing to tidy up. A pipe from
the program outside says when that one has gone, so that a SIGKILL out there is
enough as well. Files live in a tmpfs that only this mount namespace sees.

        harness, server, network processes      the host of every set-up: lo, and an
                                                uplink that leads nowhere, since pasta
                                                and passt will not start without one
        one namespace for each guest            made by its set-up

As an ordinary user all this is in a user namespace, where tracepoints cannot be had.
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

INSIDE = "SLUICE_BENCH_INSIDE"

# Both report what the client's and the server's kernel may buffer for a connection:
# minimum, initial, maximum bytes. "stock" is what Linux has on its own; "raised" is
# what passt's own performance tests set.
BUFFERS = {
    "stock": ("4096 131072 6291456", "4096 16384 4194304"),
    "raised": ("4096 131072 268435456", "4096 131072 268435456"),
}


def missing():
    """Why we cannot isolate ourselves here; None when we can."""
    for tool in ("unshare", "nsenter", "ip", "mount"):
        if not shutil.which(tool):
            return f"no {tool}"
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    probe = subprocess.run(["unshare", *user, "--net", "--mount", "--pid", "--fork", "true"],
                           capture_output=True, text=True, check=False)
    if probe.returncode:
        return f"no right to make namespaces: {probe.stderr.strip()}"
    return None


class Ended(Exception):
    """By a signal, whose number is its argument."""


def _end(number, _frame):
    raise Ended(number)


def end_by_exception():
    """Signals that end us become an Ended, so that what is there to undo is undone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)


def _supervise(argv):
    """Outside: run ourselves again inside, and pass on how that ended."""
    end_by_exception()
    where = tempfile.mkdtemp(prefix="sluice-bench.")
    alive, ours = os.pipe()
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    env = dict(os.environ, **{INSIDE: f"{alive}:{where}"})
    # Signals are for the one outside, which takes the inside with it.
    child = subprocess.Popen(
        ["unshare", *user, "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
         sys.executable, *argv], env=env, pass_fds=[alive], start_new_session=True)
    os.close(alive)

    try:
        return child.wait()
    except Ended as why:
        return 128 + why.args[0]
    finally:
        child.kill()
        child.wait()
        os.close(ours)
        shutil.rmtree(where, ignore_errors=True)


def _end_with(alive):
    os.read(alive, 1)
    os._exit(143)


def enter(argv):
    """Return the path of an empty folder, inside. Outside this does not return."""
    if INSIDE not in os.environ:
        sys.exit(_supervise(argv))
    alive, where = os.environ.pop(INSIDE).split(":", 1)
    threading.Thread(target=_end_with, args=(int(alive),), daemon=True).start()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "bench", where], check=True)
    _make_network()
    return where


def _ip(words):
    subprocess.run(["ip", *words.split()], check=True, capture_output=True)


def _make_network():
    _ip("link set lo up")
    _ip("link add uplink0 type veth peer name uplink1")
    _ip("addr add 10.99.99.2/24 dev uplink0")
    _ip("link set uplink0 up")
    _ip("link set uplink1 up")
    _ip("route add default via 10.99.99.1")


def set_tcp(buffers, congestion="reno", prefix=()):
    """Limits of TCP in the network namespace in which the command @prefix runs."""
    rmem, wmem = BUFFERS[buffers]
    script = (f"cd /proc/sys/net/ipv4 && echo {rmem} >tcp_rmem && echo {wmem} >tcp_wmem &&"
              f" echo {congestion} >tcp_congestion_control")
    subprocess.run([*prefix, "sh", "-c", script], check=True)

