"""Guests that run when the host goes down.

The scenario leaves them behind; what they did then is checked from outside, once the container is gone:
left_behind.py DIRECTORY prints a line `passed: …` or `failed: …`.
"""

import json
import os
import sys

PLACE = "/out/left"
DAEMONS = ("batond", "sevmodeld")


def guests_left_behind(host):
    """guests are running when the host goes down (what they did then is looked at afterwards)"""
    from guest import Guest
    from manager import drop_in, systemctl
    host.fresh()
    os.makedirs(PLACE, exist_ok=True)
    for daemon in DAEMONS:
        drop_in(f"{daemon}.service", f"""[Service]
ExecStopPost=+/usr/bin/python3 -c "import time; print(time.monotonic_ns(), file=open('{PLACE}/{daemon}', 'w'))"
""", "left")
    for slot in "ab":
        drop_in(f"baton-vmm-{slot}@.service", f"[Service]\nReadWritePaths={PLACE}\n", "left")
    systemctl("daemon-reload")
    for name, settings in (("vm1", {}), ("vm2", {"SEV": "model"}), ("vm3", {})):
        guest = Guest(host, name, **settings)
        path = f"{PLACE}/{name}.events"
        with open(path, "w"):
            pass
        os.chmod(path, 0o666)
        guest.log.path = path
        guest.set(EVENTS=path)
        guest.start("a").settled("a")
    # One that has moved must end as well.
    guest.upgrade("b")


def expect_order(directory):
    """When the host went down every guest ended properly, and before the registry and the model."""
    ends = {}
    for daemon in DAEMONS:
        with open(f"{directory}/{daemon}") as file:
            ends[daemon] = int(file.read())
    for file in sorted(os.listdir(directory)):
        if not file.endswith(".events"):
            continue
        with open(f"{directory}/{file}") as lines:
            events = [json.loads(line) for line in lines]
        last = events[-1]
        assert last["event"] == "ended", f"{file}: the last word is {last}"
        report = [event for event in events if event["event"] == "report"][-1]["report"]
        assert report["pageErrors"] == 0 and not report["problems"], f"{file}: {report}"
        for daemon, end in ends.items():
            assert last["at"] < end, f"{file}: {daemon} ended {(last['at'] - end) / 1e6} ms before the guest"


SCENARIOS = [guests_left_behind]

if __name__ == "__main__":
    try:
        expect_order(sys.argv[1])
        print(f"passed: {expect_order.__doc__[0].lower()}{expect_order.__doc__[1:-1]}")
    except (AssertionError, OSError, IndexError) as problem:
        print(f"failed: {expect_order.__doc__[0].lower()}{expect_order.__doc__[1:-1]}\n   | {problem}")
