"""What the registry costs while nothing happens, and how soon it answers when it was not there."""

import os
import re
import time

import asking
from guest import Guest
from manager import STATE, Skipped, expect, run, systemctl

SECONDS = 10
WATCHDOG_SECONDS = 10


def no_wake_ups(host):
    """batond with idle guests wakes up for its watchdog and for nothing else"""
    host.fresh(watchdog=WATCHDOG_SECONDS)
    for name in ("vm1", "vm2"):
        Guest(host, name, DUTY="1").start()
    # What the guests' coming left to be done.
    time.sleep(2)
    output = f"{STATE}/strace"
    done = run("timeout", "--signal=INT", str(SECONDS), "strace", "-q", "-c", "-f", "-o", output, "-p", str(host.pid),
               check=False, timeout=SECONDS + 20)
    with open(output) as file:
        table = file.read()
    if "attach: ptrace" in done.stderr:
        raise Skipped(f"this machine allows no strace: {done.stderr.strip()}")
    # The last column but one or the last is the call's name; its count stands before (and errors, if there were any).
    counts = {}
    for line in table.splitlines():
        fields = line.split()
        if len(fields) >= 5 and re.fullmatch(r"[\d.]+", fields[0]) and fields[-1] != "total":
            counts[fields[-1]] = int(fields[3])
    waits = counts.get("epoll_wait", 0) + counts.get("epoll_pwait", 0) + counts.get("ppoll", 0) + counts.get("poll", 0)
    # sd-event feeds it between a half and three quarters of the time; the wait under way counts once more.
    expect(waits <= SECONDS / WATCHDOG_SECONDS * 2 + 2, f"{waits} waits in {SECONDS} s:\n{table}")
    expect(sum(counts.values()) <= 10 * (waits + 1), f"few calls each:\n{table}")
    return [f"in {SECONDS} s: " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))]


def first_answer(host):
    """batond answers the first call through socket activation every time"""
    host.fresh()
    # The shipped unit, without what tests add.
    os.remove("/run/systemd/system/batond.service.d/test.conf")
    systemctl("daemon-reload")
    times = []
    for _ in range(21):
        systemctl("stop", "batond.service")
        began = time.monotonic()
        expect(asking.ask("List")["guests"] == [], "it answers, and there is no guest")
        times.append((time.monotonic() - began) * 1000)
    times.sort()
    return [f"start to first answer through socket activation: p50 {times[10]:.1f} ms, max {times[-1]:.1f} ms"]


SCENARIOS = [no_wake_ups, first_answer]
