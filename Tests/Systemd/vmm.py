"""A VMM in a transient unit: outside of the shipped slots, so that the rule of the user holds."""

import json
import os
import signal

from manager import STATE, Failed, is_alive, run, wait


class EventLog:
    """What VMMs say in a file of JSON lines."""

    def __init__(self, path):
        self.path = path
        # Opened by the VMM's user.
        with open(path, "w"):
            pass
        os.chmod(path, 0o666)

    def all(self):
        with open(self.path) as file:
            lines = file.read().split("\n")[:-1]
        return [json.loads(line) for line in lines]

    def said(self, event, pid=None):
        return [line for line in self.all() if line["event"] == event and pid in (None, line["pid"])]


def expect_progress(what, verdict):
    """The guest runs, and nothing of it was damaged; `verdict` asks it. Returns its last report."""
    first = verdict()
    wait(f"instructions of {what}", lambda: verdict()["counter"] > first["counter"])
    last = verdict()
    if last["pageErrors"] or last["problems"]:
        raise Failed(f"{what} found {last['pageErrors']} wrong pages and says {last['problems']}")
    return last


class VMM:
    count = 0

    def __init__(self, host, guest="vm1", sev="none", options=(), environment=(), user=None, memory="16M"):
        VMM.count += 1
        self.unit = f"vmm-{VMM.count}.service"
        self.log = EventLog(f"{STATE}/{VMM.count}.events")
        properties = [f"--setenv={text}" for text in environment]
        if user:
            properties += [f"--uid={user}", "--property=SupplementaryGroups=baton"]
        run("systemd-run", "--quiet", f"--unit={self.unit}", "--collect", *properties,
            f"{host.prefix}/bin/baton-vmm", "--vm", guest, "--memory", memory, "--vcpus", "2", "--vcpu", "software",
            "--sev", sev, "--events", self.log.path, *options)

    def events(self):
        return self.log.all()

    def wait_for(self, event, count=1, seconds=20):
        return wait(f"event {event} of {self.unit}", lambda: self.log.said(event)[count - 1:], seconds)[0]

    @property
    def pid(self):
        return wait(f"the first event of {self.unit}", self.events)[0]["pid"]

    @property
    def is_alive(self):
        return is_alive(self.pid)

    def signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        if self.is_alive:
            self.signal(signal.SIGKILL)
        wait(f"the end of {self.unit}", lambda: not self.is_alive)

    def verdict(self):
        count = len(self.log.said("report"))
        self.signal(signal.SIGUSR1)
        return self.wait_for("report", count + 1)["report"]

    def expect_good(self):
        return expect_progress(f"the guest of {self.unit}", self.verdict)
