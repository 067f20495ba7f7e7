"""A guest with settings of its own, in the shipped units of its two slots."""

import os
import signal

from manager import STATE, Failed, expect, is_alive, journal, process_state, properties, show, systemctl, wait
from vmm import EventLog, expect_progress

OTHER = {"a": "b", "b": "a"}
UNIT = ("ActiveState", "SubState", "Result", "MainPID", "ExecMainStatus", "ExecMainCode")


class Guest:
    def __init__(self, host, name="vm1", **settings):
        self.host = host
        self.name = name
        self.log = EventLog(f"{STATE}/{name}.events")
        self.console = f"{STATE}/{name}.console"
        with open(self.console, "w"):
            pass
        os.chmod(self.console, 0o666)
        self.settings = {
            "MEMORY": "16M", "VCPUS": "1", "VCPU": "software", "DUTY": "20", "EVENTS": self.log.path,
            "CONSOLE": self.console,
        }
        self.set(**settings)

    def set(self, **settings):
        """Writes the settings as an operator would; None takes one out."""
        for key, value in settings.items():
            if value is None:
                self.settings.pop(key, None)
            else:
                self.settings[key] = value
        with open(f"/etc/baton/guests/{self.name}.conf", "w") as file:
            file.write("".join(f"BATON_{key}={value}\n" for key, value in self.settings.items()))

    def arm(self, slot, **variables):
        """What the next process in this slot is told beside the settings, such as STOP_AT."""
        with open(f"{STATE}/env/baton-vmm-{slot}@{self.name}", "w") as file:
            file.write("".join(f"BATON_{key}={value}\n" for key, value in variables.items()))

    def unit(self, slot):
        return f"baton-vmm-{slot}@{self.name}.service"

    def pid(self, slot):
        return int(show(self.unit(slot), "MainPID"))

    def start(self, slot="a"):
        systemctl("start", self.unit(slot))
        return self

    def start_in_background(self, slot):
        systemctl("start", "--no-block", self.unit(slot))

    def restart_in_background(self, slot):
        systemctl("restart", "--no-block", self.unit(slot))

    def unit_state(self, slot):
        return properties(self.unit(slot), *UNIT)

    def expect_unit(self, slot, **wanted):
        """The unit is, or soon gets, as it should be: properties such as ActiveState="inactive"."""
        try:
            wait("that", lambda: all(self.unit_state(slot)[name] == value for name, value in wanted.items()), 10)
        except Failed:
            raise Failed(f"{self.unit(slot)} is to be {wanted} and is {self.unit_state(slot)}"
                         f"\n{self.said()}") from None

    def said(self):
        """The journal of both slots."""
        return journal(self.host.began, self.unit("a"), self.unit("b"), lines=60)

    def wait_for_stop(self, slot, point):
        """The process in this slot stands still at the point that it was armed with."""
        def stopped():
            pid = self.pid(slot)
            return pid if pid and process_state(pid) == "T" else None
        try:
            return wait(f"{point}", stopped)
        except Failed as error:
            raise Failed(f"{self.unit(slot)}: {error}; it is {self.unit_state(slot)}\n{self.said()}") from None

    def wait_for_event(self, event, pid, count=1, seconds=20):
        try:
            return wait(f"event {event} of {self.name}", lambda: self.log.said(event, pid)[count - 1:], seconds)[0]
        except Failed as error:
            raise Failed(f"{error}\n{self.said()}") from None

    def verdict(self, slot):
        """The guest's own report, asked for as an operator would."""
        return self.report(self.pid(slot), lambda: systemctl("kill", "-s", "USR1", "--kill-who=main", self.unit(slot)))

    def report(self, pid, ask):
        count = len(self.log.said("report", pid))
        ask()
        return self.wait_for_event("report", pid, count + 1)["report"]

    def expect_gapless_console(self):
        with open(self.console, "rb") as file:
            lines = file.read().split(b"\n")[:-1]
        for number, line in enumerate(lines):
            if line != b"guest %012d" % number:
                raise Failed(f"line {number} of the console of {self.name} is {line!r}")
        return len(lines)

    def expect_good(self, slot):
        """The guest runs in this slot, and nothing of it was damaged. Returns its report."""
        self.verdict(slot)
        pid = self.pid(slot)
        report = expect_progress(
            f"{self.name} in slot {slot}", lambda: self.report(pid, lambda: os.kill(pid, signal.SIGUSR1)))
        expect(self.expect_gapless_console() >= report["consoleSequence"] // 2, f"{self.name}: the console is behind")
        return report

    def settled(self, slot, seconds=20):
        """The guest is with the process of this slot, runs there unharmed, and nobody else does. Returns its report."""
        def is_owner():
            guest = self.host.guest(self.name)
            return guest.get("state") == "running" and guest["owner"]["processId"] == self.pid(slot)
        try:
            wait(f"{self.name} in slot {slot}", is_owner, seconds)
            self.expect_unit(slot, ActiveState="active", SubState="running")
            self.expect_unit(OTHER[slot], MainPID="0")
            return self.expect_good(slot)
        except Failed as error:
            raise Failed(f"{error}\nthe registry says {self.host.guest(self.name)}\n"
                         f"a: {self.unit_state('a')}\nb: {self.unit_state('b')}\n{self.said()}") from None

    def owner_slot(self):
        """The only slot with a process that the registry calls the owner of a running guest, when nothing goes on."""
        guest = self.host.guest(self.name)
        if guest.get("state") != "running":
            return None
        units = {slot: self.unit_state(slot) for slot in "ab"}
        alive = [slot for slot in "ab" if is_alive(int(units[slot]["MainPID"]))]
        if len(alive) == 1 and units[alive[0]]["ActiveState"] == "active" \
                and guest["owner"]["processId"] == int(units[alive[0]]["MainPID"]):
            return alive[0]
        return None

    def settled_somewhere(self, seconds=30):
        """Waits until exactly one slot has the guest, and returns the slot."""
        try:
            slot = wait(f"an owner of {self.name}", self.owner_slot, seconds)
        except Failed as error:
            raise Failed(f"{error}\nthe registry says {self.host.guest(self.name)}\n"
                         f"a: {self.unit_state('a')}\nb: {self.unit_state('b')}\n{self.said()}") from None
        self.settled(slot)
        return slot

    def upgrade(self, to):
        """Starts the other slot, which is the upgrade; the start job waits until the guest runs there."""
        systemctl("start", self.unit(to))
        self.expect_unit(OTHER[to], ActiveState="inactive", Result="success", ExecMainStatus="0")
        return self.settled(to)

    def restart(self, slot):
        pid = self.pid(slot)
        systemctl("restart", self.unit(slot))
        expect(self.pid(slot) not in (0, pid), "a new process is there")
        return self.settled(slot)

    def failed_start(self, slot):
        """A start job that fails; returns what the unit's status says."""
        done = systemctl("start", self.unit(slot), check=False)
        expect(done.returncode != 0, f"the start of {self.unit(slot)} is to fail")
        return systemctl("status", "--no-pager", "-l", "-n", "30", self.unit(slot), check=False).stdout

    def signalled(self, slot, number):
        """Signals the process of this slot, if there is one; returns its number."""
        pid = self.pid(slot)
        if pid:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return 0
        return pid

    def kill(self, slot, number=signal.SIGKILL):
        pid = self.signalled(slot, number)
        if pid and number == signal.SIGKILL:
            wait(f"the end of {self.unit(slot)}", lambda: not is_alive(pid))

    def continued(self, slot):
        self.signalled(slot, signal.SIGCONT)


def same_guest(before, after):
    """It went on where it was, and was not started anew."""
    expect(after["counter"] > before["counter"] and after["consoleSequence"] >= before["consoleSequence"],
           f"the guest goes on where it was: {before}, {after}")
