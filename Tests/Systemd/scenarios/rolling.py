"""A rolling upgrade of a host's guests while somebody kills."""

import json
import os
import random
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import asking
from guest import Guest
from manager import Failed, expect, systemctl, wait

# Exit statuses of batonctl for a guest's end.
COMMITTED, SAFE_FAILURE, LOST, PAUSED, ENDED = 0, 3, 4, 5, 12
BEFORE_CLAIM = {"attach", "prepare", "offer", "ready", None}


class Victim:
    """A process that was killed, and what the registry said of its guest at that moment."""

    def __init__(self, guest, role, pid, known):
        self.guest, self.role, self.pid, self.known = guest, role, pid, known

    def __str__(self):
        return f"{self.guest}: {self.role} {self.pid} while {self.known.get('state')}, phase {self.known.get('phase')}"


class Bystander(threading.Thread):
    """Kills a process of a guest in handoff again and again, until it is told to stop."""

    def __init__(self, fleet, interval, roles, is_fair_game, delay):
        super().__init__(daemon=True)
        self.fleet, self.interval, self.roles = fleet, interval, roles
        self.is_fair_game, self.delay = is_fair_game, delay
        self.victims = []
        self.failure = None
        self.over = threading.Event()
        # The same choices again in every run.
        self.random = random.Random(20)

    def run(self):
        try:
            while not self.over.is_set():
                if self.strikes():
                    self.over.wait(self.interval)
                else:
                    time.sleep(0.005)
        except Exception as error:  # pylint: disable=broad-except
            self.failure = error

    def strikes(self):
        try:
            return self.strike()
        except ProcessLookupError:
            # It has gone by itself, or the fence was faster.
            return False

    def strike(self):
        """Kills one, if there is one to be killed now."""
        with asking.Connection() as registry:
            struck = {victim.guest for victim in self.victims}
            moving = [known for known in registry.call("List")["guests"]
                      if known.get("handoff") and known["name"] not in struck]
            if not moving:
                return False
            # Those moments are rare.
            paused = [known["name"] for known in moving if known["state"] not in ("running", "preparing")]
            name = self.random.choice(paused or [known["name"] for known in moving])
            role = self.random.choice(self.roles)
            if not paused:
                time.sleep(self.random.random() * self.delay)
            pid = self.fleet[name].pid("b" if role == "successor" else "a")
            if not pid:
                return False
            # What stands still cannot come further between the look and the kill.
            os.kill(pid, signal.SIGSTOP)
            known = registry.call("Describe", guest=name)["guest"]
            if not self.is_fair_game(known):
                self.fleet[name].continued("b" if role == "successor" else "a")
                return False
            os.kill(pid, signal.SIGKILL)
            if role == "source":
                self.fleet[name].continued("b")
            self.victims.append(Victim(name, role, pid, known))
            return True

    def stop(self):
        self.over.set()
        self.join(10)
        if self.failure:
            raise Failed(f"the bystander failed: {self.failure!r}")


def fleet_of(host, settings_of):
    names = [f"r{number:02}" for number in range(host.guests)]
    fleet = {name: Guest(host, name, MEMORY="64M", DUTY="2", **settings_of(number))
             for number, name in enumerate(names)}
    systemctl("start", *(guest.unit("a") for guest in fleet.values()), timeout=120)
    wait("all guests", lambda: [known["state"] for known in asking.guests().values()] == ["running"] * len(names), 30)
    return fleet


def roll(host, bystander, *options):
    """Runs the rolling upgrade under the bystander; returns its ends by guest, and its report."""
    bystander.start()
    done = subprocess.run(
        [f"{host.prefix}/bin/batonctl", "--json", "upgrade", "--all", "--max-parallel", "4", "--max-failures",
         str(host.guests), *options], capture_output=True, text=True, timeout=600, check=False)
    bystander.stop()
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    reports = [line for line in lines if line["type"] == "report"]
    expect(len(reports) == 1, f"one report: {done.returncode} {done.stdout[-2000:]} {done.stderr[-2000:]}")
    expect(reports[0]["exitStatus"] == done.returncode, f"the status is the report's: {done.returncode}, {reports[0]}")
    return {line["guest"]: line for line in reports[0]["guests"]}, reports[0]


def all_settled(fleet, slot_of):
    """Every guest is in the slot where it has to be, unharmed, and nowhere else."""
    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(guest.settled, slot_of(guest.name), 40) for guest in fleet.values()]:
            future.result()


def counted(report, ends, statuses):
    """The report's sums are those of its lines, and each of these is as it has to be."""
    expect(report["committed"] == sum(line["exitStatus"] == COMMITTED for line in ends.values()), f"{report}")
    expect(report["failed"] == sum(line["exitStatus"] != COMMITTED for line in ends.values()), f"{report}")
    expect(report["notTried"] == 0, f"{report}")
    wrong = {name: line for name, line in ends.items() if line["exitStatus"] not in statuses}
    expect(not wrong, f"ends that are not to be: {wrong}")


def rolling_upgrade(host):
    """a rolling upgrade while somebody kills a successor every second before it claims: every guest has one owner"""
    host.fresh()
    fleet = fleet_of(host, lambda number: {})
    began = time.monotonic()
    bystander = Bystander(fleet, 1, ["successor"], lambda known: known["state"] == "preparing"
                          and known.get("phase") in BEFORE_CLAIM, 0.05)
    ends, report = roll(host, bystander)
    took = time.monotonic() - began
    killed = {victim.guest for victim in bystander.victims}
    story = "\n".join(str(victim) for victim in bystander.victims)
    expect(killed, "somebody was killed")
    expect(set(ends) == set(fleet), "the report names every guest")
    counted(report, ends, {COMMITTED, SAFE_FAILURE})
    failed = {name for name, line in ends.items() if line["exitStatus"] == SAFE_FAILURE}
    expect(failed == killed, f"failed are {failed}, killed were {killed}:\n{story}\n{ends}")
    all_settled(fleet, lambda name: "a" if name in killed else "b")
    # The next run brings the others over: an upgrade asks for the slots that failed.
    host.ctl("upgrade", *sorted(killed), "--max-parallel", "4", timeout=120)
    all_settled({name: fleet[name] for name in killed}, lambda name: "b")
    wait("an empty store", lambda: host.stored == 0)
    return [f"{len(fleet)} guests in {took:.1f} s, {len(killed)} successors killed"]


def allowed(victim, way):
    """What the failure table says may become of a guest with this victim: the states that are not a running one."""
    phase, state = victim.known.get("phase"), victim.known["state"]
    if victim.role == "source":
        # Before it has staged the guest ends with its VMM; afterwards custody keeps it.
        return {"ended"} if state in ("running", "preparing", "frozen") else set()
    if state == "running" or phase in ("run", "release"):
        # It was the owner already: as any VMM crash.
        return {"ended"}
    if way == "token" and phase in ("claim", "receive", "commit"):
        return {"lost"}
    return {"ended"} if phase == "commit" else set()


def killed_at_any_time(host):
    """a rolling upgrade while sources and successors are killed at any time: each loss is one that the table allows"""
    host.fresh(options="--claim-ms 20000")
    ways = [{}, {"SEV": "model", "HANDOFF": "token"}, {"SEV": "model", "HANDOFF": "move"}]
    fleet = fleet_of(host, lambda number: ways[number % 3])
    # Some stand still in the middle, so that they can be met there.
    for number, guest in enumerate(fleet.values()):
        if number % 4 == 3:
            guest.arm("b", STOP_AT="successorContextReceived" if guest.settings.get("SEV") else "successorClaimed")
    way_of = {name: asking.guests()[name]["way"] for name in fleet}
    bystander = Bystander(fleet, 0.25, ["source", "successor", "successor"], lambda known: True, 0.2)
    ends, report = roll(host, bystander)
    expect(bystander.victims, "somebody was killed")
    expect(set(ends) == set(fleet), "the report names every guest")
    victims = {victim.guest: victim for victim in bystander.victims}
    story = "\n".join(str(victim) for victim in bystander.victims)
    counted(report, ends, {COMMITTED, SAFE_FAILURE, LOST, PAUSED, ENDED})
    tally = {}
    for name, guest in fleet.items():
        known, end = host.guest(name), ends[name]["exitStatus"]
        what = f"{name}, {way_of[name]}: the registry says {known}\nthe report says {ends[name]}\n{story}\n" \
            + guest.said()
        if known["state"] == "waiting":
            expect(end == PAUSED, f"the report says that it is paused: {what}")
            host.ctl("upgrade", name)
        elif known["state"] in ("lost", "ended"):
            expect(name in victims, f"nobody harmed it: {what}")
            expect(known["state"] in allowed(victims[name], way_of[name]), f"the table does not allow it: {what}")
            # One that was killed as the owner may have been committed when the report was written.
            expect(end == {"lost": LOST, "ended": ENDED}[known["state"]] or end == COMMITTED
                   and known["state"] == "ended", f"the report names it: {what}")
            expect(known.get("endSentence"), f"it says how it ended: {what}")
            for slot in "ab":
                expect(not guest.pid(slot), f"nobody runs it: {what}")
            tally[known["state"]] = tally.get(known["state"], 0) + 1
            continue
        else:
            expect(end in (COMMITTED, SAFE_FAILURE), f"the report says that it runs: {what}")
            expect((end == COMMITTED) == (known["owner"]["unit"] == guest.unit("b")), f"and where: {what}")
        guest.settled_somewhere()
        tally["running"] = tally.get("running", 0) + 1
    wait("an empty store", lambda: host.stored == 0)
    return [f"{len(fleet)} guests, {len(victims)} processes killed: {tally}", *story.splitlines()]


SCENARIOS = [rolling_upgrade, killed_at_any_time]
