"""`systemctl restart` of a slot keeps the guest; everything else that ends a VMM ends its guest."""

import time

import kvm
from guest import Guest, same_guest
from manager import Skipped, drop_in, expect, forget_drop_ins, is_alive, systemctl, wait

HOPS = 5


def five_restarts(host, **settings):
    guest = Guest(host, **settings).start()
    before = guest.settled("a")
    for _ in range(HOPS):
        after = guest.restart("a")
        same_guest(before, after)
        before = after
    wait("an empty store", lambda: host.stored == 0)
    expect(not guest.log.said("ended"), "the guest never ended")
    expect(host.guest("vm1")["epoch"] == HOPS + 1, f"{HOPS} restarts raise the epoch: {host.guest('vm1')}")
    return guest


def restarts_plain(host):
    """five restarts in place of a plain guest, with the guest's verdict after each"""
    host.fresh()
    five_restarts(host)


def restarts_real_vcpus(host):
    """five restarts in place of a guest with real vCPUs"""
    reason = kvm.missing()
    if reason:
        raise Skipped(reason)
    host.fresh()
    guest = five_restarts(host, VCPU="kvm", VCPUS="2")
    vcpus = {line["vcpus"] for line in guest.log.said("started")}
    expect(vcpus == {"kvm"}, f"every VMM has real vCPUs: {vcpus}")


def restarts_sev_token(host):
    """five restarts in place of a SEV guest of the model, by LOCAL_SEND's token"""
    host.fresh()
    five_restarts(host, SEV="model", HANDOFF="token")


def restarts_sev_move(host):
    """five restarts in place of a SEV-ES guest of the model, by moving its context"""
    host.fresh()
    five_restarts(host, SEV="model", SEV_ES="yes", HANDOFF="move")


def every_kind_of_restart(host):
    """try-restart, reload-or-restart and two restarts at once keep the guest; side by side works afterwards"""
    host.fresh()
    guest = Guest(host).start()
    before = guest.settled("a")
    for words in (["try-restart"], ["reload-or-restart"], ["try-reload-or-restart"]):
        pid = guest.pid("a")
        systemctl(*words, guest.unit("a"))
        expect(guest.pid("a") not in (0, pid), f"{words} makes a new process")
        after = guest.settled("a")
        same_guest(before, after)
        before = after
    guest.restart_in_background("a")
    guest.restart_in_background("a")
    wait("the last restart", lambda: not systemctl("list-jobs", "--no-legend", guest.unit("a")).stdout.strip())
    same_guest(before, guest.settled("a"))
    guest.upgrade("b")
    guest.restart("b")
    guest.upgrade("a")


def stop_ends_the_guest(host):
    """a real stop ends the guest properly and says so, and stop with start makes a new guest"""
    host.fresh()
    guest = Guest(host).start()
    guest.settled("a")
    pid = guest.pid("a")
    systemctl("stop", guest.unit("a"))
    guest.expect_unit("a", ActiveState="inactive", Result="success")
    expect(guest.log.said("ended", pid), "the guest was ended, not left")
    expect(guest.log.said("report", pid)[-1]["report"]["pageErrors"] == 0, "and was well until then")
    expect(host.wait_for_state("vm1", "ended").get("endSentence"), f"list says how: {host.guest('vm1')}")
    expect("stop" in guest.said(), f"the journal says that it was a stop:\n{guest.said()}")
    with open(guest.console, "w"):
        pass
    guest.start("a")
    after = guest.settled("a")
    # Its console began again, or there would be a gap.
    expect(len(guest.log.said("ended")) == 1, "the former one ended once")
    expect(after["consoleSequence"] <= guest.expect_gapless_console(), "and this is a new one")


def no_bus_means_stop(host):
    """when nobody says what the pending job is, SIGTERM means stop, and the journal says that"""
    host.fresh()
    guest = Guest(host).start()
    guest.settled("a")
    pid = guest.pid("a")
    systemctl("stop", "dbus.socket", "dbus.service")
    try:
        systemctl("restart", guest.unit("a"))
    finally:
        systemctl("start", "dbus.socket")
    expect(guest.log.said("ended", pid), "the guest was ended")
    wait("a word about it", lambda: "bus" in guest.said())
    guest.expect_unit("a", ActiveState="active")


def killed(host):
    """SIGKILL of a VMM ends its guest: the journal and `list` say it plainly, and nothing stays in custody"""
    host.fresh()
    guest = Guest(host).start()
    guest.settled("a")
    systemctl("kill", "-s", "KILL", guest.unit("a"))
    guest.expect_unit("a", ActiveState="failed", Result="signal", MainPID="0")
    known = host.wait_for_state("vm1", "ended")
    expect("killed" in (known.get("endSentence") or ""), f"list says how: {known}")
    expect("vm1" in host.ctl("list").stdout, host.ctl("list").stdout)
    host.wait_for_log("vm1")
    expect(host.stored == 0, "the store is empty")
    # Restart=no: nothing comes back by itself.
    time.sleep(0.5)
    guest.expect_unit("a", ActiveState="failed")


def bad_binary(host):
    """a new binary that does not start leaves the guest paused in custody, `list` says what settles it, and a good one
    takes it"""
    for settings in ({}, {"SEV": "model", "HANDOFF": "token"}, {"SEV": "model", "HANDOFF": "move"}):
        host.fresh()
        guest = Guest(host, **settings).start()
        before = guest.settled("a")
        drop_in(guest.unit("a"), "[Service]\nExecStart=\nExecStart=/bin/false\n", "once")
        systemctl("daemon-reload")
        expect(systemctl("restart", guest.unit("a"), check=False).returncode != 0, "the restart's job fails")
        known = host.wait_for_state("vm1", "waiting")
        expect(known.get("waitingSinceRealtimeMicroseconds"), f"since when: {known}")
        expect("batonctl upgrade vm1" in known["alarm"]["command"], f"the command that settles it: {known}")
        expect("batonctl upgrade vm1" in host.ctl("list").stdout, host.ctl("list").stdout)
        expect(host.stored >= 3, f"it is in the store: {host.stored}")
        # Not even the registry's end loses it.
        host.kill()
        host.wait_for_state("vm1", "waiting")
        systemctl("restart", "batond.service")
        host.wait_for_state("vm1", "waiting")
        forget_drop_ins("once")
        systemctl("daemon-reload")
        host.ctl("upgrade", "vm1")
        slot = guest.settled_somewhere()
        same_guest(before, guest.settled(slot))
        wait("an empty store", lambda: host.stored == 0)
        expect(not host.guest("vm1").get("alarm"), f"the alarm is over: {host.guest('vm1')}")


def start_settles_a_waiting_guest(host):
    """a guest that waits in custody is taken by starting either slot, with no word to the registry"""
    for slot in "ab":
        host.fresh()
        guest = Guest(host).start()
        before = guest.settled("a")
        drop_in(guest.unit("a"), "[Service]\nExecStart=\nExecStart=/bin/false\n", "once")
        systemctl("daemon-reload")
        systemctl("restart", guest.unit("a"), check=False)
        host.wait_for_state("vm1", "waiting")
        forget_drop_ins("once")
        systemctl("daemon-reload")
        systemctl("reset-failed", guest.unit("a"))
        guest.start(slot)
        same_guest(before, guest.settled(slot))


def crashing_restart(host):
    """a restarted VMM that crashes before the commit leaves the guest in custody for the next one"""
    for settings, points in (
            ({}, ["successorOffered", "successorReady", "successorClaimed"]),
            ({"SEV": "model", "HANDOFF": "token"}, ["successorClaimed"]),
            ({"SEV": "model", "HANDOFF": "move"}, ["successorClaimed", "successorContextReceived"])):
        for point in points:
            host.fresh()
            guest = Guest(host, **settings).start()
            before = guest.settled("a")
            guest.arm("a", CRASH_AT=point)
            expect(systemctl("restart", guest.unit("a"), check=False).returncode != 0, f"{point}: the job fails")
            host.wait_for_state("vm1", "waiting")
            guest.arm("a")
            host.ctl("upgrade", "vm1")
            same_guest(before, guest.settled(guest.settled_somewhere()))


def restart_with_full_store(host):
    """without room in the store a restart in place does not lose the guest silently: it is refused or said before"""
    host.fresh(store=2)
    guest = Guest(host).start()
    guest.settled("a")
    check = host.ctl("preflight", "vm1", check=False)
    expect(check.returncode != 0 and "FileDescriptorStoreMax" in check.stdout + check.stderr,
           f"preflight counts: {check.stdout}{check.stderr}")
    pid = guest.pid("a")
    # It asks again for as long as it may take to stop.
    drop_in(guest.unit("a"), "[Service]\nTimeoutStopSec=8s\n", "once")
    systemctl("daemon-reload")
    systemctl("restart", guest.unit("a"), check=False)
    # The process has to go; what it does about its guest is said.
    wait("the old process's end", lambda: not is_alive(pid))
    expect(guest.log.said("ended", pid), "the guest was ended properly, not dropped")
    expect("store" in guest.said() + host.log(), f"and the reason is said:\n{guest.said()}")


def restart_of_everything(host):
    """batond and a guest restarted by one command: the guest is kept"""
    host.fresh()
    guest = Guest(host).start()
    before = guest.settled("a")
    systemctl("restart", "batond.service", guest.unit("a"))
    same_guest(before, guest.settled("a"))
    systemctl("restart", "batond.service")
    same_guest(before, guest.settled("a"))


def hanging_source(host):
    """a VMM that hangs while it is restarted is killed by the manager in the end, and its guest ends: said plainly"""
    host.fresh()
    guest = Guest(host)
    guest.arm("a", STOP_AT="sourceFrozen")
    guest.start("a").settled("a")
    drop_in(guest.unit("a"), "[Service]\nTimeoutStopSec=3s\n", "once")
    systemctl("daemon-reload")
    guest.restart_in_background("a")
    pid = guest.wait_for_stop("a", "sourceFrozen")
    guest.arm("a")
    with open(guest.console, "w"):
        pass
    # It may have asked for more time before.
    wait("its end", lambda: not is_alive(pid), 30)
    host.wait_for_log("ended without a word")
    guest.settled("a")


SCENARIOS = [
    restarts_plain, restarts_real_vcpus, restarts_sev_token, restarts_sev_move, every_kind_of_restart,
    stop_ends_the_guest, no_bus_means_stop, killed, bad_binary, start_settles_a_waiting_guest, crashing_restart,
    restart_with_full_store, restart_of_everything, hanging_source,
]
