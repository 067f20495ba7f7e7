"""The registry ends, in every way, at every step of a handoff."""

import os
import signal
import time

from guest import Guest, same_guest
from manager import Failed, expect, show, systemctl, wait
from vmm import VMM
from scenarios.ways import SETTINGS, WAYS, settled


def watchdog(host):
    """a batond that hangs is ended by the watchdog and comes back with its guests"""
    host.fresh(watchdog=2)
    vmm = VMM(host)
    vmm.wait_for("running")
    pid = host.pid
    time.sleep(3)
    expect(host.pid == pid, "one that does not hang feeds it")
    os.kill(pid, signal.SIGSTOP)
    host.wait_for_restart(pid)
    expect(int(show("batond.service", "NRestarts")) == 1, "it was started again once")
    settled(host, "vm1", vmm)


CRASH_POINTS = [
    "afterJournalAttempt", "afterPrepareSent", "afterOfferKept", "afterOfferedSent", "afterFreezeSent",
    "beforeJournalStaged", "afterJournalStaged", "afterJournalClaimed", "afterClaimSent", "beforeJournalCommit",
    "afterJournalCommit", "afterRunSent", "afterReleaseSent",
]


# At these the ways differ.
POINTS_OF_A_CONTEXT = ["beforeJournalStaged", "afterJournalStaged", "afterClaimSent", "beforeJournalCommit"]


def points(host, way):
    return CRASH_POINTS if way == "none" or host.full else POINTS_OF_A_CONTEXT


def killed_at_every_step(host):
    """batond killed at every step of a handoff: the guest ends on exactly one VMM, unharmed"""
    for way, guest in WAYS.items():
        for point in points(host, way):
            host.fresh()
            source = VMM(host, **guest)
            source.wait_for("running")
            host.crash_at(point)
            wait("the source", lambda: host.state("vm1") == "running")
            pid = host.pid
            successor = VMM(host, **guest)
            host.wait_for_restart(pid)
            try:
                owner = wait("an owner", lambda: owner_of(host, [source, successor]))
                settled(host, "vm1", owner)
                # Where the attempt was aborted, the next one goes through.
                if owner is source:
                    wait("the other's end", lambda: not successor.is_alive)
                    successor = VMM(host, **guest)
                    settled(host, "vm1", successor)
            except Failed as error:
                raise Failed(f"{point}, way {way}: {error}\n{host.log()}") from error


def owner_of(host, vmms):
    """The only one of them that runs, when the registry says that the guest runs and no handoff goes on."""
    guest = host.guest("vm1")
    alive = [vmm for vmm in vmms if vmm.is_alive]
    if guest.get("state") == "running" and len(alive) == 1 and guest["owner"]["processId"] == alive[0].pid:
        return alive[0]
    return None


def restarted_while_claimed(host):
    """restart, kill and daemon-reexec while a successor has the baton: the handoff goes on"""
    actions = {
        "restart": lambda: systemctl("restart", "batond.service"),
        "kill": host.kill,
        "daemon-reexec": lambda: systemctl("daemon-reexec"),
        "daemon-reload": lambda: systemctl("daemon-reload"),
    }
    for way, guest in WAYS.items():
        for name, action in actions.items():
            host.fresh(options="--claim-ms 20000")
            source = VMM(host, **guest)
            source.wait_for("running")
            successor = VMM(host, **guest, environment=["BATON_STOP_AT=successorClaimed"])
            wait("a claim", lambda: host.state("vm1") == "claimed")
            stored = host.stored
            action()
            expect(host.stored == stored, f"{name}: {host.stored} of {stored} descriptors are left")
            if name in ("restart", "kill"):
                host.wait_for_log("vm1 is in custody")
            successor.signal(signal.SIGCONT)
            try:
                settled(host, "vm1", successor)
            except Failed as error:
                raise Failed(f"{name}, way {way}: {error}\n{host.log()}") from error


def killed_at_every_step_in_place(host):
    """batond killed at every step of a restart in place: the guest is kept, and runs in the new process"""
    for way, settings in SETTINGS.items():
        for point in points(host, way):
            # A guest that is parked is offered to its next owner only.
            host.fresh()
            guest = Guest(host, **settings).start()
            before = guest.settled("a")
            host.crash_at(point)
            host.wait_for_state("vm1", "running")
            pid = host.pid
            guest.restart_in_background("a")
            try:
                host.wait_for_restart(pid)
                wait("the end of the restart", lambda: not systemctl(
                    "list-jobs", "--no-legend", guest.unit("a")).stdout.strip(), 30)
                same_guest(before, guest.settled("a"))
                expect(not guest.log.said("ended"), "the guest did not end")
                wait("an empty store", lambda: host.stored == 0)
            except Failed as error:
                raise Failed(f"{point}, way {way}: {error}\n{host.log()}") from error


SCENARIOS = [watchdog, restarted_while_claimed, killed_at_every_step, killed_at_every_step_in_place]
