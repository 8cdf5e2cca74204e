# SPDX-License-Identifier: MIT
"""Seeds of fuzz_config.c: a command, words of its command line, an empty line, a file."""
import json


def seed(command, words=(), file=None):
    text = "\n".join([command, *words]) + "\n"
    if file is not None:
        text += "\n" + (file if isinstance(file, str) else json.dumps(file))
    return text.encode()


SEEDS = {
    "machine": seed("run", ["--memory=1G", "--cpus", "4", "--transport=mmio", "--kernel=/k",
                            "--initrd=none", "--cmdline=quiet", "--hugepages", "--force",
                            "--console=none", "--timeout=60", "--env=A=1", "--", "id"]),
    "network": seed("run", ["--mtu=9000", "--subnet=192.168.7.0/24", "--prefix6=fd00:1:2:3::/64",
                            "--dns=127.0.0.53", "--dns=[::1]:5353", "--hostname=guest",
                            "--ipv6=off", "--dns-name=a.test=10.1.2.3,::1"]),
    "publish": seed("vhost-user", ["--socket=/tmp/s", "-p", "8080:80", "-p",
                                   "127.0.0.1:9000-9009:90", "--publish=[::1]:70:7", "--once"]),
    "policy": seed("run", ["--policy=allowlist", "--allow=*.debian.org:443",
                           "--deny=10.0.0.0/8", "--allow=tcp:192.0.2.1:80-90",
                           "--rule=deny icmp:*", "--gateway-ports=80,8000-8100",
                           "--audit=unix:/tmp/a"]),
    "limits": seed("run", ["--max-conns=100", "--max-udp=5", "--max-ping=1", "--rate-out=10M",
                           "--rate-in=1G", "--rate-out-packets=1000", "--rate-burst=50",
                           "--max-conn-rate=10", "--sndbuf=256K", "--rcvbuf=0",
                           "--congestion=cubic"]),
    "engines": seed("vhost-user", ["--socket=/s", "--bulk=splice", "--splice-to=any",
                                   "--splice-to=127.0.0.0/8", "--splice-to=fd00::/8"]),
    "sluice": seed("run", ["--log-level=debug", "--log-format=json", "--stats=/tmp/s",
                           "--alloc-report", "--control=/c", "--jail=off"]),
    "help": seed("run", ["--help"]),
    "nothing": seed("run"),
    "file-machine": seed("run", ["--cpus=2"], {
        "machine": {"memory": "1G", "cpus": 3, "hugepages": True, "transport": "pci"},
        "command": {"env": ["A=1", "B=2"], "timeout": 5}, "stats": True, "jail": False}),
    "file-network": seed("run", [], {
        "net": {"enabled": True, "mtu": 1500, "sndbuf": 65536, "gateway_is_host": "off",
                "dns": ["1.2.3.4", "[::1]:53"], "dns_cache": False, "subnet": "10.9.0.0/16",
                "publish": ["80:8080", "443:443/tcp"], "splice_to": ["10.0.0.0/8"],
                "dns_name": ["a=1.2.3.4", "b=::1,gateway"]}}),
    "file-policy": seed("vhost-user", ["--deny=*"], {
        "vhost_user": {"socket": "/s", "once": True},
        "policy": {"profile": "monitored", "rules": ["allow 10.0.0.1", "deny tcp:*:25"],
                   "gateway_ports": "none", "audit": "/a"},
        "log": {"level": "info", "format": "text"}, "control": {"socket": "/c"}}),
    "bad-option": seed("run", ["--no-such=1"]),
    "bad-word": seed("run", ["id"]),
    "bad-number": seed("run", ["--cpus=17"]),
    "bad-size": seed("run", ["--memory=99999999999999999999G"]),
    "bad-overflow": seed("run", ["--memory=18446744073709551615K"]),
    "bad-subnet": seed("run", ["--subnet=10.0.2.1/24"]),
    "bad-prefix6": seed("run", ["--prefix6=fd00::1/64"]),
    "bad-rule": seed("run", ["--allow=10.0.0.0/33:1-0"]),
    "bad-publish": seed("run", ["--publish=1-65535:1-2"]),
    "bad-other-command": seed("vhost-user", ["--memory=1G"]),
    "bad-syntax": seed("run", [], "{\"net\":"),
    "bad-key": seed("run", [], {"net": {"no such": 1}}),
    "bad-group": seed("run", [], {"net": 5}),
    "bad-type": seed("run", [], {"machine": {"cpus": [1, 2]}}),
    "bad-twice": seed("run", [], "{\"stats\":true,\"stats\":false}"),
    "bad-depth": seed("run", [], "[" * 3000),
    "bad-array": seed("run", [], "[]"),
    "bad-line": seed("run", [], {"net": {"mtu": "a\nb"}}),
}
