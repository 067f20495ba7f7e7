"""Starting the other slot is the upgrade."""

import time

import kvm
from guest import OTHER, Guest, same_guest
from manager import Skipped, drop_in, expect, is_alive, show, systemctl, wait

HOPS = 5


def five_upgrades(host, **settings):
    guest = Guest(host, **settings).start()
    before = guest.settled("a")
    for hop in range(HOPS):
        after = guest.upgrade("b" if hop % 2 == 0 else "a")
        same_guest(before, after)
        before = after
    wait("an empty store", lambda: host.stored == 0)
    expect(host.guest("vm1")["epoch"] == HOPS + 1, f"{HOPS} upgrades raise the epoch: {host.guest('vm1')}")
    return guest


def upgrades_plain(host):
    """five upgrades side by side of a plain guest, with the guest's verdict after each"""
    host.fresh()
    five_upgrades(host)


def upgrades_real_vcpus(host):
    """five upgrades side by side of a guest with real vCPUs"""
    reason = kvm.missing()
    if reason:
        raise Skipped(reason)
    host.fresh()
    guest = five_upgrades(host, VCPU="kvm", VCPUS="2")
    vcpus = {line["vcpus"] for line in guest.log.said("started")}
    expect(vcpus == {"kvm"}, f"every VMM has real vCPUs: {vcpus}")


def upgrades_sev_token(host):
    """five upgrades side by side of a SEV guest of the model, by LOCAL_SEND's token"""
    host.fresh()
    five_upgrades(host, SEV="model", HANDOFF="token")
    expect(host.guest("vm1")["way"] == "token", f"the way is the token's: {host.guest('vm1')}")


def upgrades_sev_move(host):
    """five upgrades side by side of a SEV-ES guest of the model, by moving its context"""
    host.fresh()
    five_upgrades(host, SEV="model", SEV_ES="yes", HANDOFF="move")
    expect(host.guest("vm1")["way"] == "move", f"the way is the move's: {host.guest('vm1')}")


def ready_means_running(host):
    """the start job ends when the guest runs in the new slot, not before; progress is the unit's status"""
    host.fresh(options="--claim-ms 20000")
    guest = Guest(host).start()
    guest.settled("a")
    guest.arm("b", STOP_AT="successorClaimed")
    guest.start_in_background("b")
    guest.wait_for_stop("b", "successorClaimed")
    guest.expect_unit("b", ActiveState="activating", SubState="start")
    expect(show(guest.unit("b"), "StatusText"), "the unit says how far it is")
    # One that is ready too early would be it by now.
    time.sleep(0.3)
    guest.expect_unit("b", ActiveState="activating", SubState="start")
    guest.continued("b")
    guest.expect_unit("b", ActiveState="active", SubState="running")
    guest.expect_unit("a", ActiveState="inactive", Result="success", ExecMainStatus="0")
    expect("b" in show(guest.unit("b"), "StatusText") or show(guest.unit("b"), "StatusText"), "and that it runs")
    guest.settled("b")


def failing(host, guest, slot, words, **properties):
    """The start of `slot` fails and says one of `words`; the guest runs on in the other one."""
    status = guest.failed_start(slot)
    guest.expect_unit(slot, ActiveState="failed", **properties)
    expect(any(word in status for word in words), f"the status says why, with one of {words}:\n{status}")
    guest.settled(OTHER[slot])
    wait("an empty store", lambda: host.stored == 0)


def crashing_successor(host):
    """a successor that crashes at any step before the commit leaves the guest where it was, and the job failed"""
    for settings in ({}, {"SEV": "model", "HANDOFF": "token"}, {"SEV": "model", "HANDOFF": "move"}):
        host.fresh()
        guest = Guest(host, **settings).start()
        before = guest.settled("a")
        for point in ("successorOffered", "successorReady", "successorClaimed"):
            # A slot that failed is barred, and a restarted registry forgets it.
            systemctl("restart", "batond.service")
            host.wait_for_state("vm1", "running")
            guest.arm("b", CRASH_AT=point)
            failing(host, guest, "b", ["signal", "KILL"], Result="signal")
            after = guest.settled("a")
            same_guest(before, after)
            before = after
        guest.arm("b")
        systemctl("restart", "batond.service")
        host.wait_for_state("vm1", "running")
        same_guest(before, guest.upgrade("b"))


def hanging_successor(host):
    """a successor that hangs is ended at the deadline; the guest goes on, and the job has failed"""
    for point in ("successorOffered", "successorClaimed"):
        host.fresh(options="--prepare-ms 1500 --claim-ms 1500")
        guest = Guest(host).start()
        before = guest.settled("a")
        guest.arm("b", STOP_AT=point)
        guest.start_in_background("b")
        guest.wait_for_stop("b", point)
        if point == "successorClaimed":
            # Nothing in the kernel arbitrates a plain guest, so the claimant is ended before the source goes on.
            guest.expect_unit("b", ActiveState="failed")
        else:
            wait("the attempt's end", lambda: host.state("vm1") == "running" and not host.guest("vm1").get("handoff"))
            guest.continued("b")
            guest.expect_unit("b", ActiveState="failed")
        same_guest(before, guest.settled("a"))


def unreadable_state(host):
    """a successor that cannot read the source's state is refused before the guest is stopped"""
    host.fresh()
    guest = Guest(host).start()
    before = guest.settled("a")
    guest.arm("b", STATE_FORMAT="1")
    failing(host, guest, "b", ["stateUnreadable", "state format", "format"])
    shown = host.ctl("--json", "show", "vm1").stdout
    expect("stateUnreadable" in shown, f"the handoff says why: {shown}")
    expect('"freeze"' not in shown, f"the guest was never stopped: {shown}")
    same_guest(before, guest.settled("a"))


def declining_successor(host):
    """a successor that declines leaves the guest running, and its slot is barred with the reason"""
    host.fresh()
    guest = Guest(host).start()
    guest.settled("a")
    guest.arm("b", MISBEHAVE="decline")
    failing(host, guest, "b", ["declines", "successorDeclined"])
    expect([bar["slot"] for bar in host.guest("vm1").get("barredSlots") or []] == ["b"], f"{host.guest('vm1')}")


def no_program(host):
    """a new binary that cannot be started at all: the job fails, and the guest never noticed"""
    host.fresh()
    guest = Guest(host).start()
    guest.settled("a")
    drop_in(guest.unit("b"), "[Service]\nExecStart=\nExecStart=/bin/false\n", "once")
    systemctl("daemon-reload")
    pid = guest.pid("a")
    guest.failed_start("b")
    expect(guest.pid("a") == pid and is_alive(pid), "the same process has the guest")
    expect(host.guest("vm1")["epoch"] == 1, "nothing was tried")
    guest.settled("a")


def aborted(host):
    """an operator aborts before and after the successor has the baton: the job fails, and the source goes on"""
    host.fresh(options="--claim-ms 20000")
    guest = Guest(host).start()
    before = guest.settled("a")
    for point in ("successorOffered", "successorClaimed"):
        guest.arm("b", STOP_AT=point)
        guest.start_in_background("b")
        guest.wait_for_stop("b", point)
        # 11: it is being taken back.
        expect(host.ctl("abort", "vm1", check=False).returncode in (0, 11), "it can be aborted")
        guest.continued("b")
        guest.expect_unit("b", ActiveState="failed")
        after = guest.settled("a")
        same_guest(before, after)
        # An operator's word bars nobody.
        expect(not host.guest("vm1").get("barredSlots"), f"{point}: {host.guest('vm1')}")
        before = after
    guest.arm("b")
    guest.upgrade("b")


SCENARIOS = [
    upgrades_plain, upgrades_real_vcpus, upgrades_sev_token, upgrades_sev_move, ready_means_running,
    crashing_successor, hanging_successor, unreadable_state, declining_successor, no_program, aborted,
]
