"""The registry and both VMMs end at once."""

from guest import Guest, same_guest
from manager import Failed, expect, wait
from scenarios.ways import SETTINGS

# The step of batond, and where the successor stands then.
POINTS = {
    "staged": ("afterJournalStaged", {}),
    "claimed": ("afterClaimSent", {"STOP_AT": "successorClaimed"}),
    # It has the context already.
    "received": ("beforeJournalCommit", {}),
}


def all_killed(host, settings, point, environment):
    """An upgrade in the middle of which nobody is left; returns the guest and its last report."""
    # Both VMMs have to be gone before batond is back.
    host.fresh(restart_seconds=1.5, options="--claim-ms 20000")
    guest = Guest(host, **settings).start()
    before = guest.settled("a")
    host.crash_at(point)
    host.wait_for_state("vm1", "running")
    pid = host.pid
    guest.arm("b", **environment)
    guest.start_in_background("b")
    wait("batond's end", lambda: host.pid == 0)
    guest.kill("a")
    guest.kill("b")
    expect(host.stored >= 3, f"{host.stored} descriptors are left in the store")
    host.wait_for_restart(pid)
    guest.arm("b")
    return guest, before


def everybody_dies(host):
    """batond and both VMMs killed at once: the guest waits in custody, and ends as the table says"""
    for way, settings in SETTINGS.items():
        for step, (point, environment) in POINTS.items():
            guest, before = all_killed(host, settings, point, environment)
            try:
                waiting = wait("a guest in custody", lambda: host.guest("vm1"))
                expect(waiting["state"] not in ("lost", "ended"), f"the guest is {waiting['state']}")
                expect("vm1" in host.ctl("list").stdout, "an operator sees it")
                if (way, step) == ("token", "received"):
                    # The token was used, and only the next claimant can find that out.
                    expect(host.ctl("upgrade", "vm1", check=False).returncode == 4, "it is said to be lost")
                    host.wait_for_state("vm1", "lost")
                    continue
                host.ctl("upgrade", "vm1")
                same_guest(before, guest.settled(guest.settled_somewhere()))
                wait("an empty store", lambda: host.stored == 0)
            except Failed as error:
                raise Failed(f"{step}, way {way}: {error}\n{host.log()}") from error


SCENARIOS = [everybody_dies]
