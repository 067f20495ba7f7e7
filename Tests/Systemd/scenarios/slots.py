"""Who may succeed whom: the other slot of the same guest, and nobody else."""

import signal

from guest import Guest, same_guest
from manager import drop_in, expect, run, systemctl, wait
from vmm import VMM


def foreign(host, guest, slot, name, text="wrongPeer"):
    """The unit is made to claim that it is a VMM of `name`, and is refused."""
    drop_in(guest.unit(slot), f"""[Service]
ExecStart=
ExecStart={host.prefix}/bin/baton-vmm --vm {name} --settings-from-environment
""", "once")
    systemctl("daemon-reload")
    status = guest.failed_start(slot)
    guest.expect_unit(slot, ActiveState="failed", ExecMainStatus="7")
    expect(text in status + guest.said(), f"the status says {text}:\n{status}")


def another_guests_slot(host):
    """a unit of another guest's slot may not take over a guest, nor begin one under its name"""
    host.fresh()
    guest, other = Guest(host, "vm1").start(), Guest(host, "vm2")
    before = guest.settled("a")
    foreign(host, other, "b", "vm1")
    foreign(host, other, "b", "vm3")
    expect("vm3" not in host.ctl("list").stdout, "no such guest is there")
    same_guest(before, guest.settled("a"))


def same_slot(host):
    """a second process in the owner's own slot, and one outside of any slot, are refused"""
    host.fresh()
    guest = Guest(host).start()
    before = guest.settled("a")
    # In the slot's own control group, as a process that the unit started would be.
    outside = VMM(host, guest="vm1", user="baton-vmm")
    wait("its end", lambda: not outside.is_alive)
    refused = outside.log.said("refused")
    expect(refused and refused[0]["refusal"] == "wrongPeer", f"outside of a slot: {outside.events()}")
    drop_in(guest.unit("b"), f"""[Service]
ExecStart=
ExecStart=/bin/sh -c 'exec {host.prefix}/bin/baton-vmm --vm vm1 --settings-from-environment'
""", "once")
    systemctl("daemon-reload")
    group = run("systemctl", "show", "-P", "ControlGroup", guest.unit("a")).stdout.strip()
    inside = run(
        "sh", "-c", f"echo $$ >/sys/fs/cgroup{group}/cgroup.procs; exec setpriv --reuid baton-vmm --regid baton-vmm "
        f"--init-groups {host.prefix}/bin/baton-vmm --vm vm1 --memory 16M --vcpus 1 --vcpu software", check=False)
    expect(inside.returncode == 7 and "wrongPeer" in inside.stderr, f"in the same slot: {inside}")
    same_guest(before, guest.settled("a"))
    guest.upgrade("b")


def barred(host):
    """a slot that has failed is refused with the reason until an operator asks"""
    host.fresh()
    guest = Guest(host).start()
    before = guest.settled("a")
    guest.arm("b", CRASH_AT="successorReady")
    guest.failed_start("b")
    bars = wait("a bar", lambda: host.guest("vm1").get("barredSlots"))
    expect([bar["slot"] for bar in bars] == ["b"] and bars[0]["sentence"], f"{bars}")
    guest.arm("b")
    status = guest.failed_start("b")
    expect("fencedInThisEpoch" in status + guest.said() and "batonctl upgrade vm1" in status + guest.said(),
           f"the status says what to do:\n{status}\n{guest.said()}")
    same_guest(before, guest.settled("a"))
    host.ctl("upgrade", "vm1")
    same_guest(before, guest.settled("b"))
    expect(not host.guest("vm1").get("barredSlots"), "a commit clears all bars")


def fenced_owner(host):
    """an owner that does not let go is fenced, its unit fails and does not come back, and its slot is barred"""
    host.fresh(options="--release-ms 1000")
    guest = Guest(host)
    guest.arm("a", MISBEHAVE="run-after-release")
    guest.start("a")
    guest.settled("a")
    pid = guest.pid("a")
    text = host.ctl("preflight", "vm1", check=False).stdout
    expect(f"may end process {pid}" in text, f"batond says that it can: {text}")
    expect(guest.unit("a") in host.ctl("--json", "show", "vm1").stdout, "and names the unit")
    systemctl("start", guest.unit("b"))
    guest.expect_unit("a", ActiveState="failed", Result="signal", MainPID="0")
    host.wait_for_log("ended by the fence")
    owner = host.guest("vm1")["owner"]
    expect(owner["processId"] == guest.pid("b") and owner["unit"] == guest.unit("b"), f"slot b has it: {owner}")
    guest.arm("a")
    systemctl("reset-failed", guest.unit("a"))
    status = guest.failed_start("a")
    expect("fencedInThisEpoch" in status + guest.said(), status + guest.said())
    host.ctl("upgrade", "vm1")
    # Two ran it for a moment, which is what misbehaving means: no look at its pages.
    wait("slot a", lambda: host.guest("vm1").get("owner", {}).get("processId") == guest.pid("a"))


def registry_forgets_bars(host):
    """a restart of batond forgets which slots failed"""
    host.fresh()
    guest = Guest(host).start()
    before = guest.settled("a")
    guest.arm("b", CRASH_AT="successorOffered")
    guest.failed_start("b")
    wait("a bar", lambda: host.guest("vm1").get("barredSlots"))
    systemctl("restart", "batond.service")
    host.wait_for_state("vm1", "running")
    expect(not host.guest("vm1").get("barredSlots"), f"{host.guest('vm1')}")
    guest.arm("b")
    same_guest(before, guest.upgrade("b"))


def dead_owner(host):
    """with the owner gone for good either slot may start the guest anew"""
    for slot in "ab":
        host.fresh()
        guest = Guest(host).start()
        guest.settled("a")
        guest.kill("a", signal.SIGKILL)
        host.wait_for_state("vm1", "ended")
        with open(guest.console, "w"):
            pass
        guest.start(slot)
        guest.settled(slot)


SCENARIOS = [another_guests_slot, same_slot, barred, fenced_owner, registry_forgets_bars, dead_owner]
