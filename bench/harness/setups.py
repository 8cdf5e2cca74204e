# SPDX-License-Identifier: MIT
"""The ways in which a client reaches the server: one class for each.

A set-up is started once, stays for the whole run, and runs the load generator at the
client's end when told. What it costs is metered at its network processes: those that
stand between the client's kernel and the server's socket.
"""
import json
import os
import shutil
import signal
import subprocess
import time

from . import isolate, meter

GUEST = "10.0.2.15"
GATEWAY = "10.0.2.2"
MTU_MAX = 65520


class Failed(Exception):
    """What went wrong with a set-up or one of its samples; text for people."""


def last_json(text):
    """The last line of the load generator's output that is a result."""
    for line in reversed(text.splitlines()):
        # A shell's prompt may stand in front of it.
        at = line.find('{"ok"')
        if at >= 0:
            return json.loads(line[at:])
    raise Failed(f"no result in {text.strip()[-200:]!r}")


def wait_for(what, seconds, condition):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failed(f"{what} did not come about in {seconds} s")
        time.sleep(0.02)


def _package_version(path):
    """Of the Debian package that has the file @path; None when no package has it."""
    owner = subprocess.run(["dpkg-query", "-S", os.path.realpath(path)], capture_output=True,
                           text=True, check=False).stdout.partition(":")[0]
    if not owner:
        return None
    done = subprocess.run(["dpkg-query", "-W", "-f=${Package} ${Version}", owner],
                          capture_output=True, text=True, check=False)
    return done.stdout or None


def version_of(command):
    """The first line that says something; programs differ in where they say it."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = [line.strip() for line in (done.stdout + done.stderr).splitlines()
            if line.strip() and "AVX2" not in line]
    if said and "unknown" not in said[0]:
        return said[0]
    return (shutil.which("dpkg-query") and _package_version(command[0])) or "unknown"


class Rig:
    """What all set-ups share: programs, a folder, the server, processes to end."""

    def __init__(self, where, build, programs, kvm, log=True):
        self.where = where
        self.build = build
        self.programs = programs  # name -> path, or None where it is absent
        self.kvm = kvm
        self.servers = {}    # milliseconds away -> the server's process
        self.addresses = {}  # milliseconds away -> (host, port)
        self.log = open(f"{where}/log", "ab") if log else None

    def tool(self, name):
        return f"{self.build}/{name}"

    def spawn(self, command, **how):
        how.setdefault("stdin", subprocess.DEVNULL)
        how.setdefault("stdout", self.log)
        how.setdefault("stderr", self.log)
        return subprocess.Popen(command, **how)

    def logged(self):
        """The end of what the programs have said."""
        self.log.flush()
        with open(f"{self.where}/log", "rb") as f:
            return f.read()[-600:].decode(errors="replace")

    def _serve(self, delay, command, host, *words):
        path = f"{self.where}/port-{delay}"
        proc = self.spawn([*command, self.tool("load"), "serve", "--cc", "reno",
                           "--port-file", path, *words])
        wait_for("the server", 10, lambda: os.path.exists(path))
        with open(path, encoding="ascii") as f:
            self.addresses[delay] = (host, int(f.read()))
        return proc

    def serve(self):
        self.servers[0] = self._serve(0, [], "127.0.0.1")

    def serve_far(self, delay):
        """A server that is @delay milliseconds away, each way."""
        proc = self._serve(delay, [self.tool("distance"), "--delay", str(delay), "--"],
                           "10.98.0.2", "--listen", "10.98.0.2")
        self.servers[delay] = Process(descendant(proc.pid, "load"))

    def server_stats(self, delay):
        host, port = self.addresses[delay]
        done = subprocess.run([self.tool("load"), "stats", "--to", f"{host}:{port}"],
                              capture_output=True, text=True, check=False)
        return last_json(done.stdout)


class Process:
    """One that somebody else has started."""

    def __init__(self, pid):
        self.pid = pid


def descendant(pid, name):
    """The process called @name: @pid or one below it; None when there is none."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
            if f.read().strip() == name:
                return pid
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            below = f.read().split()
    except OSError:
        return None
    for child in below:
        found = descendant(int(child), name)
        if found:
            return found
    return None


class Setup:
    """Base class. Subclasses start themselves, and give @self.client and @self.network."""

    kind = "native"
    engine = None
    host = GATEWAY  # the server's address as the client sees it
    mtu_max = MTU_MAX
    needs = ()  # programs besides our own
    far = True  # reaches servers elsewhere by the way that it stands for

    def __init__(self, name, title):
        self.name = name
        self.title = title
        self.client = []   # words that put a command at the client's end
        self.network = []  # process ids whose cost is the network's
        self.others = []   # process ids that belong to the set-up as well
        self.procs = []
        self.skipped = None
        self.notes = {}
        self.mtu = None
        self.buffers = None

    def missing(self, rig):
        """Why it cannot be had here; None when it can."""
        for name in self.needs:
            if not rig.programs.get(name):
                return f"no {name}"
        return None

    def start(self, rig):
        raise NotImplementedError

    def ready(self, rig):
        """Wait until it is usable; start() may leave that to this."""

    def all_pids(self):
        return self.network + self.others

    def alive(self):
        return all(p.poll() is None for p in self.procs)

    def stop(self):
        for p in self.procs:
            if p.poll() is None:
                p.terminate()
        for p in self.procs:
            try:
                p.wait(5)
            except subprocess.TimeoutExpired:
                p.kill()

    def _target(self, rig, delay):
        """HOST:PORT of the server as the client sees it."""
        host, port = rig.addresses[delay]
        return f"{host if delay else self.host}:{port}"

    def _begin(self, rig, args, timeout, cpus, delay=0):
        command = [*self.client, rig.tool("load"), args[0],
                   "--to", self._target(rig, delay), "--cc", "reno", *args[1:],
                   "--timeout", str(timeout)]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=(lambda: os.sched_setaffinity(0, cpus)) if cpus else None)

    def load(self, rig, args, timeout, cpus=None, delay=0):
        """Run the load generator at the client's end. Its result, a dict.

        @delay: of the server, milliseconds
        """
        run = self._begin(rig, args, timeout, cpus, delay)
        try:
            out, err = run.communicate(timeout=timeout + 10)
        except subprocess.TimeoutExpired as late:
            run.kill()
            run.communicate()
            raise Failed(f"{self.name}: load {args[0]} did not end") from late
        try:
            return last_json(out)
        except Failed as bad:
            raise Failed(f"{self.name}: load {args[0]}: {bad}; {err.strip()[-200:]}") from bad

    def load_during(self, rig, args, timeout, cpus, seconds, look):
        """The same for `idle`: its result, and what @look saw at two moments of it.

        Return: (result, (first, last, seconds between them))
        """
        run = self._begin(rig, args, timeout, cpus)
        try:
            if "idle" not in run.stdout.readline():
                raise Failed(f"{self.name}: the connections do not come about")
            time.sleep(seconds * 0.5)  # what came before has its after-effects
            began = time.monotonic()
            first = look()
            time.sleep(seconds * 0.4)
            last, gap = look(), time.monotonic() - began
            out, _ = run.communicate(timeout=timeout)
        finally:
            if run.poll() is None:
                run.kill()
                run.communicate()
        return last_json(out), (first, last, gap)

    def set_mtu(self, mtu):
        """MTU of the client's link, which decides the segments of both directions."""
        mtu = min(mtu, self.mtu_max)
        if mtu != self.mtu and self.client:
            subprocess.run([*self.client, "ip", "link", "set", self.link, "mtu", str(mtu)],
                           check=True, capture_output=True)
        self.mtu = mtu

    def set_buffers(self, buffers):
        if buffers != self.buffers and self.client:
            isolate.set_tcp(buffers, prefix=self.client)
        self.buffers = buffers

    def counters(self, _rig):
        """Counters that the network process keeps of itself; none by default."""
        return {}

    # Virtual machines stand still while it is not their turn.
    def freeze(self):
        pass

    def thaw(self):
        pass


class Direct(Setup):
    """No network process at all: what the two kernels cost."""

    host = "127.0.0.1"

    def start(self, rig):
        pass

    def set_mtu(self, mtu):
        # lo has 65536 and keeps it: the far end of every set-up uses it too.
        self.mtu = mtu


def enter_net(pid):
    return ["nsenter", f"--net=/proc/{pid}/ns/net"]


class NamespaceGuest(Setup):
    """The client is in a network namespace with Linux's own TCP."""

    link = "eth0"

    # What holds the namespace. Its process id is looked for out here: pasta puts it into
    # a process namespace of its own, where it does not know it.
    HOLD = ("sleep", "infinity")

    def _make_folder(self, rig):
        self.folder = f"{rig.where}/{self.name}"
        os.mkdir(self.folder)

    def _find_guest(self, seconds=15):
        wait_for(f"{self.name}: the guest's namespace", seconds,
                 lambda: not self.alive() or descendant(self.procs[-1].pid, self.HOLD[0]))
        if not self.alive():
            raise Failed(f"{self.name}: a program ended at once")
        self.guest = descendant(self.procs[-1].pid, self.HOLD[0])
        self.client = enter_net(self.guest)

    def _note_tap(self):
        """A TAP without the virtio header has no offloads; where it has, it cannot be asked."""
        done = subprocess.run([*self.client, "ip", "-d", "link", "show", self.link],
                              capture_output=True, text=True, check=False)
        if "vnet_hdr off" in done.stdout:
            self.notes["features"] = ["none, as its TAP has no virtio header"]


class VhostUser(NamespaceGuest):
    """A vhost-user back-end whose guest is a namespace, by bench/nsguest."""

    def back_end(self, rig, socket):
        raise NotImplementedError

    def start(self, rig):
        self._make_folder(rig)
        socket = f"{self.folder}/socket"
        back = rig.spawn(self.back_end(rig, socket))
        self.procs.append(back)
        self.network = [back.pid]
        self.notes["command"] = " ".join(self.back_end(rig, "SOCKET"))
        wait_for(f"{self.name}: its socket", 10,
                 lambda: os.path.exists(socket) or not self.alive())
        self.guest_log = open(f"{self.folder}/nsguest.log", "w+b")
        front = rig.spawn([rig.tool("nsguest"), "--socket", socket, "--addr", f"{GUEST}/24",
                           "--gateway", GATEWAY, "--dns", "10.0.2.3", "--mtu", str(MTU_MAX),
                           "--stats", "--", *self.HOLD], stderr=self.guest_log)
        self.procs.append(front)
        self.others = [front.pid]
        self._find_guest()

    def stop(self):
        """The front-end says at its end which features were agreed on."""
        if len(self.procs) == 2 and self.alive():
            os.kill(self.guest, signal.SIGTERM)
            try:
                self.procs[1].wait(5)
                self.guest_log.seek(0)
                self.notes["features"] = last_features(self.guest_log.read().decode())
            except (subprocess.TimeoutExpired, ValueError):
                pass
        super().stop()


def last_features(text):
    """Offloads by name, of the features that nsguest prints at its end."""
    for line in reversed(text.splitlines()):
        if line.startswith('{"features"'):
            return feature_names(int(json.loads(line)["features"], 16))
    raise ValueError("nsguest has not said")


# Bits of virtio 1.2 section 5.1.3 and 6 that matter for speed.
FEATURES = {0: "csum", 1: "guest_csum", 7: "guest_tso4", 8: "guest_tso6", 11: "tso4", 12: "tso6",
            15: "mrg_rxbuf", 28: "indirect", 29: "event_idx"}


def feature_names(bits):
    return [name for bit, name in FEATURES.items() if bits >> bit & 1]


class Sluice(VhostUser):
    def __init__(self, name, title, engine, options=(), binary=None):
        super().__init__(name, title)
        self.engine = engine
        self.options = list(options)
        self.binary = binary

    def back_end(self, rig, socket):
        return [self.binary or rig.tool("sluice"), "vhost-user", "--socket", socket,
                "--control", f"{self.folder}/control", "--max-conns", "8192", *self.options]

    def counters(self, rig):
        return metrics(self, self.binary or rig.tool("sluice"), f"{self.folder}/control")


def metrics(setup, sluice, control):
    """All metrics of a sluice right now, by the path that leads to each in its JSON."""
    done = subprocess.run([sluice, "ctl", "--control", control, "--json", "metrics", "json"],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        setup.notes["no counters"] = (done.stderr or done.stdout).strip()
        return {}
    return dict(flatten(json.loads(done.stdout)))


def flatten(tree, path=""):
    """(path, number) of every number in nested dicts."""
    for key, value in tree.items():
        here = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            yield from flatten(value, here)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield here, value


class Passt(VhostUser):
    engine = "passt"
    needs = ("passt",)

    def missing(self, rig):
        why = super().missing(rig)
        if why:
            return why
        text = subprocess.run([rig.programs["passt"], "--help"], capture_output=True, text=True,
                              check=False)
        if "vhost-user" not in text.stdout + text.stderr:
            return "this passt has no --vhost-user"
        return None

    def back_end(self, rig, socket):
        return passt_command(rig, socket, "--vhost-user")


def as_own_root(command):
    """passt and pasta become `nobody` when they are root; in a user namespace they stay."""
    return ["unshare", "--user", "--map-root-user", *command]


def passt_command(rig, socket, *more):
    passt = rig.programs["passt"]
    return as_own_root([passt, *more, "-s", socket, "-f", "-q", *address_options(passt)])


def address_options(passt):
    """Addresses as ours; the gateway's reaches the host in old ones without saying."""
    text = subprocess.run([passt, "--help"], capture_output=True, text=True, check=False)
    loop = ["--map-host-loopback", GATEWAY] \
        if "map-host-loopback" in text.stdout + text.stderr else []
    return ["-a", GUEST, "-n", "24", "-g", GATEWAY, *loop, "-m", str(MTU_MAX)]


class Pump(Setup):
    """A vhost-user back-end alone; bench/ringpump is its guest, anew for each sample.

    No TAP and no guest kernel: what is left is the back-end and the host's sockets.
    """

    kind = "pump"

    def __init__(self, name, title, back):
        super().__init__(name, title)
        self.back = back
        self.engine = back.engine
        self.needs = back.needs

    def missing(self, rig):
        return self.back.missing(rig)

    def start(self, rig):
        self.back.folder = f"{rig.where}/{self.name}"
        os.mkdir(self.back.folder)
        self.socket = f"{self.back.folder}/socket"
        proc = rig.spawn(self.back.back_end(rig, self.socket))
        self.procs = [proc]
        self.network = self.back.network = [proc.pid]
        self.notes["command"] = " ".join(self.back.back_end(rig, "SOCKET"))
        wait_for(f"{self.name}: its socket", 10, lambda: os.path.exists(self.socket))

    def set_mtu(self, mtu):
        self.mtu = mtu

    def load(self, rig, args, timeout, cpus=None, delay=0):
        done = subprocess.run([rig.tool("ringpump"), "--socket", self.socket,
                               "--pid", str(self.network[0]), "--mtu", str(self.mtu), *args],
                              capture_output=True, text=True, check=False, timeout=timeout)
        if done.returncode:
            raise Failed(f"{self.name}: ringpump: {done.stderr.strip()[-200:]}")
        return {"ok": True, "errors": 0, **json.loads(done.stdout)}


class Pasta(NamespaceGuest):
    engine = "pasta"
    needs = ("pasta",)
    link = "eth0"

    def __init__(self, name, title, spliced=False):
        super().__init__(name, title)
        self.spliced = spliced
        if spliced:
            self.host = "127.0.0.1"
            self.far = False

    def start(self, rig):
        self._make_folder(rig)
        pasta = rig.programs["pasta"]
        # -T: its own lo in front of ours, socket to socket.
        forward = ["-T", str(rig.addresses[0][1])] if self.spliced else []
        command = as_own_root([pasta, "-f", "-q", "--config-net", "-I", self.link, *forward,
                               *address_options(pasta)])
        self.notes["command"] = " ".join(command)
        proc = rig.spawn([*command, "--", *self.HOLD])
        self.procs.append(proc)
        self.network = [proc.pid]
        self._find_guest()

    def ready(self, _rig):
        self._note_tap()

    def set_mtu(self, mtu):
        if self.spliced:
            self.mtu = mtu
        else:
            super().set_mtu(mtu)


class Slirp4netns(NamespaceGuest):
    engine = "libslirp"
    needs = ("slirp4netns",)
    link = "tap0"

    def start(self, rig):
        self._make_folder(rig)
        holder = rig.spawn(["unshare", "--net", *self.HOLD])
        self.procs.append(holder)
        self.others = [holder.pid]
        self._find_guest()
        ready, ours = os.pipe()
        command = [rig.programs["slirp4netns"], "--configure", f"--mtu={MTU_MAX}",
                   f"--ready-fd={ours}", str(holder.pid), self.link]
        self.notes["command"] = " ".join(command[:3])
        proc = rig.spawn(command, pass_fds=[ours])
        self.procs.append(proc)
        self.network = [proc.pid]
        os.close(ours)
        said = os.read(ready, 1)
        os.close(ready)
        if not said:
            raise Failed(f"{self.name}: it did not start")

    def ready(self, _rig):
        self._note_tap()


def programs(overrides):
    """Where the peers are: what the caller says, else what PATH has."""
    found = {}
    for name in ("passt", "pasta", "slirp4netns", "qemu-system-x86_64"):
        path = overrides.get(name) or shutil.which(name)
        found[name] = path if path and os.access(path, os.X_OK) else None
    return found


ENGINES = {
    "auto": [],
    "copy": ["--bulk=copy"],
    "splice": ["--bulk=splice", "--splice-to=any"],
}


def native():
    """The set-ups without a machine in between."""
    out = [Direct("host-direct", "host to host, no network process")]
    for engine, options in ENGINES.items():
        out.append(Sluice(f"sluice-{engine}", f"sluice vhost-user, {engine}", engine, options))
    out += [
        Passt("passt-vu", "passt --vhost-user"),
        Pasta("pasta", "pasta, by its tap"),
        Pasta("pasta-splice", "pasta, its spliced lo", spliced=True),
        Slirp4netns("slirp4netns", "slirp4netns (libslirp)"),
    ]
    return out


def pumps():
    """The same back-ends without a guest kernel, for what segment sizes do to them."""
    out = [Pump(f"pump-{engine}", f"ringpump, sluice {engine}", Sluice("", "", engine, options))
           for engine, options in ENGINES.items()]
    return [*out, Pump("pump-passt", "ringpump, passt --vhost-user", Passt("", ""))]


def settle(setup, cpus):
    """Where the processes of a set-up may run from now on."""
    meter.pin(setup.all_pids(), cpus)
