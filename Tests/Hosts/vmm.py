"""A VMM on one of the hosts, what it says, and what its guest says of itself."""

import json
import os
import signal
import time

from checks import SECONDS, Failed, expect, wait


class BatonVMM:
    """Which program it is, and what that wants to be told."""

    command = ("baton-vmm",)

    @staticmethod
    def options(_host, plan):
        return plan.options()

    @staticmethod
    def environment(_plan):
        return {}


class LibraryVMM:
    """The VMM in C with libbaton. Its SEV guests have the model by way of the preload library, as if it were the kernel."""

    def __init__(self, examples, *before, program="guest-vmm-c"):
        self.command = (*before, f"{examples}/{program}")
        self.crash_points = f"{examples}/crash-points.so"
        self.preload = f"{examples}/libsevmodel-preload.so"
        self.trusts_model_root = True

    def options(self, host, plan):
        sev = ("--sev", "auto", "--signed-cek", f"{host.folder}/cek.cert", "--amd-chain", f"{host.folder}/ask_ark.cert",
               *(("--trust-model-root",) if self.trusts_model_root else ()))
        return ["--memory", plan.memory, "--vcpus", str(plan.vcpus), "--vcpu", plan.vcpu, "--duty", str(plan.duty),
                *(() if plan.sev == "none" else sev)]

    def environment(self, plan):
        if plan.sev == "none":
            return {"LD_PRELOAD": self.crash_points}
        return {"LD_PRELOAD": f"{self.crash_points} {self.preload}", "SEVMODEL_SOCKET": "/run/baton/sevmodeld"}


class VMM:
    count = 0

    def __init__(self, host, plan, console, *options, crash_at=None, stop_at=None, kind=BatonVMM):
        VMM.count += 1
        self.host = host
        self.plan = plan
        # MiB: the most that it was seen to have, without the guest's memory.
        self.memory = 0.0
        self.events_path = f"{host.folder}/{plan.name}-{VMM.count}.events"
        environment = {"BATON_CRASH_AT": crash_at or "", "BATON_STOP_AT": stop_at or "", **kind.environment(plan)}
        self.process = host.start(
            *kind.command, "--vm", plan.name, *kind.options(host, plan), "--link-timeout", str(host.silence),
            "--events", self.events_path, "--console", console, *options,
            name=plan.name, environment=environment)

    @property
    def pid(self):
        return self.process.pid

    @property
    def is_alive(self):
        return self.process.is_alive

    def look_at_memory(self):
        """Remembers what it has now of memory of its own; the guest's is a shared file."""
        if self.is_alive:
            self.memory = max(self.memory, self.process.memory("RssAnon"))

    def events(self):
        try:
            with open(self.events_path) as file:
                return [json.loads(line) for line in file.read().split("\n")[:-1]]
        except FileNotFoundError:
            return []

    def said(self, event):
        return [line for line in self.events() if line["event"] == event]

    def wait_for(self, event, count=1, seconds=SECONDS):
        def ask():
            found = self.said(event)
            if len(found) < count and not self.is_alive and len(self.said(event)) < count:
                raise Failed(f"{self.process.name} ended with {self.process.status} without the event {event}")
            return found[count - 1:]
        try:
            return wait(f"the event {event} of {self.process.name}", ask, seconds)[0]
        except Failed as error:
            raise Failed(f"{error}\n{self.history()}") from None

    def verdict(self):
        """The guest's own report; it is as old as the guest's last instruction."""
        count = len(self.said("report"))
        self.process.signal(signal.SIGUSR1)
        return self.wait_for("report", count + 1)["report"]

    def expect_good(self, checks=1, seconds=2 * SECONDS):
        """The guest runs here and looks at so many of its pages again; none was damaged. Returns its report."""
        first = self.verdict()
        def has_looked():
            now = self.verdict()
            return now["counter"] > first["counter"] and now["pagesChecked"] >= first["pagesChecked"] + checks
        wait(f"{checks} pages that the guest looks at in {self.process.name}", has_looked, seconds)
        last = self.verdict()
        expect(not last["pageErrors"] and not last["problems"],
               f"the guest in {self.process.name} found {last['pageErrors']} wrong pages and says {last['problems']}")
        return last

    def stands_still(self):
        """Whether the guest makes no instruction here; one that has not come makes none."""
        if not self.said("arrived") and not self.said("running"):
            return True
        first = self.verdict()["counter"]
        time.sleep(0.1)
        return self.verdict()["counter"] == first

    def history(self):
        """What it said and how it stands, for a failure."""
        status = "runs" if self.is_alive else f"ended with {self.process.status}"
        return "\n".join([self.story(), self.process.tail(), f"    {self.process.name} {status}"])

    def story(self):
        """Its events, without the guest's reports."""
        lines = [json.dumps(line) for line in self.events() if line["event"] != "report"][-40:]
        return "\n".join(f"    {self.process.name}: {line}" for line in lines)


class GuestPlan:
    """What a guest is like; the same options start its first owner and the VMM that waits for it elsewhere."""

    def __init__(self, name, memory="16M", vcpus=2, vcpu="software", sev="model", duty=30, options=()):
        self.name = name
        self.memory = memory
        self.vcpus = vcpus
        self.vcpu = vcpu
        self.sev = sev
        self.duty = duty
        self.more = options

    @property
    def pages(self):
        """All that a guest with software vCPUs looks at; one with real ones has 2,048 of them."""
        return 2048 if self.vcpu == "kvm" else int(self.memory[:-1]) << 8

    def options(self):
        return ["--memory", self.memory, "--vcpus", str(self.vcpus), "--vcpu", self.vcpu, "--sev", self.sev,
                "--duty", str(self.duty), *self.more]


class Console:
    """The file that all VMMs of one guest append to: a gap is lost work, a line again is a second guest."""

    def __init__(self, path):
        self.path = path

    def begin(self):
        with open(self.path, "w"):
            pass

    def expect_whole(self):
        """Returns how many lines there are."""
        with open(self.path, "rb") as file:
            lines = file.read().split(b"\n")[:-1]
        for number, line in enumerate(lines):
            expect(line == b"guest %012d" % number, f"line {number} of {os.path.basename(self.path)} is {line!r}")
        return len(lines)
