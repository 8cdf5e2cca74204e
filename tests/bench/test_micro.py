# SPDX-License-Identifier: MIT
"""What must not grow: instructions of a look-up with what it looks through.

Instructions, not time: the same on a machine that is busy.
"""
import json
import os
import shutil
import subprocess

from run import Skip

MICRO = os.path.join(os.environ.get("BUILD", "build"), "micro")


def instructions(name):
    """{size: instructions} of an operation."""
    if not os.access(MICRO, os.X_OK):
        raise Skip(f"no {MICRO}")
    if not shutil.which("valgrind"):
        raise Skip("no valgrind")
    done = subprocess.run([MICRO, "--quick", "--json", name], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) >= 3, done.stdout
    return {row["size"]: row["instructions"] for row in rows}


def expect_flat(name):
    found = instructions(name)
    first = found[min(found)]
    assert first > 20, found
    assert all(n < 1.2 * first for n in found.values()), found


def test_a_flow_is_found_as_fast_among_65536():
    expect_flat("flow")


def test_a_timer_is_armed_as_fast_among_65536():
    expect_flat("timer")


def test_a_rule_is_found_as_fast_among_100000():
    expect_flat("policy")


def test_room_for_more_flows_costs_an_idle_cycle_nothing():
    expect_flat("idle-cycle")


def test_what_must_grow_grows():
    found = instructions("checksum")
    assert found[65480] > 30 * found[1448] and found[1448] > 3 * found[64], found
