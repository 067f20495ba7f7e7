"""The registry ends, in every way, while many guests stand at every phase of an upgrade.

Each guest has a VMM that stops itself (BATON_STOP_AT) at one phase, so that one end of the registry meets all of them.
"""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

from guest import Guest, same_guest
from manager import Failed, expect, systemctl, wait
from scenarios.ways import SETTINGS

# The steps at which a process stands still, in their order, and the way that has them.
SOURCE = ["sourcePrepare", "sourceOffered", "sourceFrozen", "sourceContextSent", "sourceStaged", "sourceReleased"]
SUCCESSOR = ["successorOffered", "successorReady", "successorClaimed", "successorContextReceived", "successorReceived",
             "successorRunning"]
# Once the source has staged, the handoff goes on, whatever happens to the registry.
BEFORE_STAGED = {"sourcePrepare", "sourceOffered", "successorOffered", "sourceFrozen", "sourceContextSent"}


# Where the ways differ.
OF_A_CONTEXT = {"sourceContextSent", "sourceStaged", "successorClaimed", "successorContextReceived"}


def steps(way):
    """Which steps a guest of this way is tried at; the ones without kernel's context are the same for every way."""
    for point in SOURCE + SUCCESSOR:
        if point == "sourceContextSent" and way != "token" or point == "successorContextReceived" and way == "none":
            continue
        if way == "none" or point in OF_A_CONTEXT:
            yield point


class Traveller:
    """A guest on its way to `target`, with one process that stands still."""

    def __init__(self, host, way, point, target):
        self.point, self.target = point, target
        self.guest = Guest(host, f"{way}-{point}-{target}", DUTY="2", **SETTINGS[way])
        self.is_source = point.startswith("source")
        # Which slot has the process that stops.
        self.slot = "a" if self.is_source else target

    def start(self):
        if self.is_source:
            self.guest.arm("a", STOP_AT=self.point)
        self.guest.start("a")
        self.guest.wait_for_event("running", self.guest.pid("a"))
        self.before = self.guest.verdict("a")

    def leave(self):
        self.guest.arm(self.target, **({} if self.is_source else {"STOP_AT": self.point}))
        if self.target == "b":
            self.guest.start_in_background("b")
        else:
            self.guest.restart_in_background("a")
        self.pid = self.guest.wait_for_stop(self.slot, self.point)

    def go_on(self):
        # The next one does not stop.
        for slot in "ab":
            self.guest.arm(slot)
        try:
            os.kill(self.pid, signal.SIGCONT)
        except ProcessLookupError:
            pass

    def arrive(self, is_undisturbed):
        try:
            wait("the end of the job", lambda: not systemctl(
                "list-jobs", "--no-legend", self.guest.unit("a"), self.guest.unit("b")).stdout.strip(), 40)
            slot = self.guest.settled_somewhere(40)
            expect(not self.guest.log.said("ended"), "the guest did not end")
            if slot != self.target:
                expect(self.point in BEFORE_STAGED and not is_undisturbed, f"it is to be in slot {self.target}")
                self.guest.upgrade(self.target)
            same_guest(self.before, self.guest.verdict(self.target))
        except Failed as error:
            raise Failed(f"{self.guest.name}: {error}") from error


def each(function, travellers):
    """Does the same with all of them, some at once; every failure is told."""
    failures = []

    def attempt(traveller):
        try:
            function(traveller)
        except Failed as error:
            failures.append(str(error))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(attempt, travellers))
    if failures:
        raise Failed(f"{len(failures)} of {len(travellers)} guests: " + "\n".join(failures))


def through(host, action, is_undisturbed=False, watchdog=60):
    host.fresh(options="--claim-ms 60000 --prepare-ms 60000 --release-ms 60000", freeze=60_000, watchdog=watchdog)
    travellers = [Traveller(host, way, point, target) for target in "ba" for way in SETTINGS for point in steps(way)]
    each(Traveller.start, travellers)
    each(Traveller.leave, travellers)
    stored = host.stored
    expect(stored > 0, "descriptors are in the store")
    began = time.monotonic()
    action()
    took = time.monotonic() - began
    # A new registry lets go of what belongs to an attempt that had not staged.
    expect(host.stored == stored or not is_undisturbed and 0 < host.stored < stored,
           f"{host.stored} of {stored} descriptors are left in the store")
    for traveller in travellers:
        traveller.go_on()
    each(lambda traveller: traveller.arrive(is_undisturbed), travellers)
    wait("an empty store", lambda: host.stored == 0)
    return [f"{len(travellers)} guests, {stored} descriptors in the store; the registry was back after {took:.1f} s"]


def killed_at_every_phase(host):
    """kill -9 batond while guests are at every phase of an upgrade and of a restart in place: nothing is lost"""
    return through(host, host.kill)


def restarted_at_every_phase(host):
    """systemctl restart batond while guests are at every phase: nothing is lost"""
    return through(host, lambda: systemctl("restart", "batond.service"))


def watchdog_at_every_phase(host):
    """a watchdog expiry of batond while guests are at every phase: nothing is lost"""
    def hang():
        pid = host.pid
        os.kill(pid, signal.SIGSTOP)
        host.wait_for_restart(pid)
    return through(host, hang, watchdog=4)


def reexec_at_every_phase(host):
    """daemon-reexec and daemon-reload while guests are at every phase: nobody notices"""
    def reexec():
        pid = host.pid
        systemctl("daemon-reexec")
        systemctl("daemon-reload")
        expect(host.pid == pid, "batond goes on")
    return through(host, reexec, is_undisturbed=True)


SCENARIOS = [killed_at_every_phase, restarted_at_every_phase, watchdog_at_every_phase, reexec_at_every_phase]
