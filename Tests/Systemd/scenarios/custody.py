"""What is in the descriptor store, and when it must not be relied on."""

import signal

from manager import expect, systemctl, wait
from vmm import VMM
from scenarios.ways import settled


def upgrade(host):
    """descriptors are in the store while a guest is handed over, and gone afterwards"""
    for sev in ("none", "model"):
        host.fresh(options="--claim-ms 20000")
        source = VMM(host, sev=sev)
        source.wait_for("running")
        successor = VMM(host, sev=sev, environment=["BATON_STOP_AT=successorClaimed"])
        wait("a claim", lambda: host.state("vm1") == "claimed")
        # RAM, state, VM, facts.
        wait("descriptors in the store", lambda: host.stored >= (4 if sev == "model" else 3))
        successor.signal(signal.SIGCONT)
        settled(host, "vm1", successor)
        wait("the source's end", lambda: not source.is_alive)


def full_store(host):
    """a store without room refuses the handoff before the guest is stopped"""
    host.fresh(store=2)
    source = VMM(host)
    source.wait_for("running")
    check = host.ctl("preflight", "vm1", check=False)
    expect(check.returncode != 0 and "FileDescriptorStoreMax" in check.stdout + check.stderr,
           f"preflight counts: {check.stdout}{check.stderr}")
    successor = VMM(host)
    wait("the successor's end", lambda: successor.events() and not successor.is_alive)
    expect('"freeze"' not in host.ctl("--json", "show", "vm1").stdout, "the guest was never stopped")
    host.wait_for_log("descriptor store")
    settled(host, "vm1", source)


def no_bus(host):
    """when the count cannot be read the handoff is refused, the guest runs on, and later it goes through"""
    host.fresh()
    source = VMM(host)
    source.wait_for("running")
    systemctl("stop", "dbus.socket", "dbus.service")
    successor = VMM(host)
    wait("the successor's end", lambda: successor.events() and not successor.is_alive)
    host.wait_for_log("cannot be checked")
    systemctl("start", "dbus.socket")
    successor = VMM(host)
    settled(host, "vm1", successor)


def stop_loses_custody(host):
    """what is stopped and started, not restarted, has an empty store, and says so"""
    host.fresh(options="--claim-ms 20000")
    source = VMM(host)
    source.wait_for("running")
    successor = VMM(host, environment=["BATON_STOP_AT=successorClaimed"])
    wait("a claim", lambda: host.state("vm1") == "claimed")
    systemctl("stop", "batond.service")
    source.kill()
    successor.kill()
    systemctl("start", "batond.service")
    wait("the truth", lambda: host.state("vm1") == "lost")


SCENARIOS = [upgrade, full_store, no_bus, stop_loses_custody]
