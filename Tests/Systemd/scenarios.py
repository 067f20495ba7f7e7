"""Scenarios under a real systemd. Usage: scenarios.py PREFIX [NAME…], as root inside the container.

Prints `passed: …` or `failed: …` for each, and a last line `N scenarios passed, N failed`.
"""

import os
import signal
import sys
import time
import traceback

from container import Failed, Host, VMM, journal, run, show, systemctl, wait

CAP_KILL = 1 << 5


def expect(condition, what):
    if not condition:
        raise Failed(what)


def status_field(pid, name):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith(name + ":"):
            return line.split()[1]
    raise Failed(f"process {pid} has no {name}")


def settled(host, guest, owner):
    """The guest is with this VMM, runs there, and nothing is left in the store."""
    wait(f"{guest} with {owner.unit}", lambda: (host.guest(guest) or {}).get("state") == "running"
         and (host.guest(guest) or {}).get("owner", {}).get("processId") == owner.pid)
    owner.expect_good()
    wait("an empty store", lambda: host.stored == 0)


def socket_activation(host):
    """batond and sevmodeld start when somebody connects, on the sockets that systemd holds"""
    host.fresh()
    systemctl("stop", "batond.service", "sevmodeld.service")
    expect(host.pid == 0, "batond is not to run yet")
    expect("vm1" not in host.ctl("list").stdout, "no guest is there")
    expect(show("batond.service", "ActiveState") == "active", "the call has started batond")
    pid = host.pid
    expect(status_field(pid, "Uid") == run("id", "-u", "baton").stdout.strip(), "batond runs as baton")
    for name in ("CapEff", "CapPrm", "CapBnd"):
        expect(int(status_field(pid, name), 16) == CAP_KILL, f"{name} is CAP_KILL and nothing else")
    expect(status_field(pid, "Seccomp") == "2", "a filter of system calls is on")
    expect(show("batond.service", "StatusText") != "", "it says how it is")
    expect(show("sevmodeld.service", "MainPID") == "0", "the model is not to run yet")
    VMM(host, sev="model").wait_for("running")
    expect(show("sevmodeld.service", "ActiveState") == "active", "the VMM has started the model")
    wait("the status", lambda: show("batond.service", "StatusText").startswith("1 guest"))
    systemctl("stop", "batond.service")
    expect(os.path.exists("/run/baton/registry.journal"), "the journal outlives the service")
    expect(os.path.exists("/run/baton/handoff"), "the sockets are the units'")


def stray_socket(host):
    """a socket of an unknown name is closed and said"""
    host.fresh()
    systemctl("stop", "batond.service")
    with open("/run/systemd/system/stray.socket", "w") as file:
        file.write("[Socket]\nListenStream=/run/t/stray\nFileDescriptorName=nobody-knows\nService=batond.service\n")
    with open("/run/systemd/system/batond.service.d/stray.conf", "w") as file:
        file.write("[Service]\nSockets=stray.socket\n")
    try:
        systemctl("daemon-reload")
        systemctl("start", "stray.socket")
        systemctl("start", "batond.service")
        host.wait_for_log("nobody-knows was passed")
        expect(host.ctl("list").returncode == 0, "it serves its own sockets")
    finally:
        os.remove("/run/systemd/system/batond.service.d/stray.conf")
        systemctl("stop", "stray.socket")
        os.remove("/run/systemd/system/stray.socket")
        systemctl("daemon-reload")


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


def upgrade(host):
    """descriptors are in the store while a guest is handed over, and gone afterwards"""
    for sev in ("none", "model"):
        host.fresh(options="--claim-ms 20000")
        source = VMM(host, sev=sev)
        source.wait_for("running")
        successor = VMM(host, sev=sev, environment=["BATON_STOP_AT=successorClaimed"])
        wait("a claim", lambda: (host.guest("vm1") or {}).get("state") == "claimed")
        # RAM, state, VM, facts.
        wait("descriptors in the store", lambda: host.stored >= (4 if sev == "model" else 3))
        successor.signal(signal.SIGCONT)
        settled(host, "vm1", successor)
        wait("the source's end", lambda: not source.is_alive)


# By what the guest's context moves: nothing, LOCAL_SEND's token, VM_MOVE_ENC_CONTEXT_FROM.
WAYS = {
    "none": {"sev": "none"},
    "token": {"sev": "model", "options": ["--handoff", "token"]},
    "move": {"sev": "model", "options": ["--handoff", "move"]},
}

CRASH_POINTS = [
    "afterJournalAttempt", "afterPrepareSent", "afterOfferKept", "afterOfferedSent", "afterFreezeSent",
    "beforeJournalStaged", "afterJournalStaged", "afterJournalClaimed", "afterClaimSent", "beforeJournalCommit",
    "afterJournalCommit", "afterRunSent", "afterReleaseSent",
]


def killed_at_every_step(host):
    """batond killed at every step of a handoff: the guest ends on exactly one VMM, unharmed"""
    for way, guest in WAYS.items():
        for point in CRASH_POINTS:
            host.fresh()
            source = VMM(host, **guest)
            source.wait_for("running")
            host.crash_at(point)
            wait("the source", lambda: (host.guest("vm1") or {}).get("state") == "running")
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
    guest = host.guest("vm1") or {}
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
            wait("a claim", lambda: (host.guest("vm1") or {}).get("state") == "claimed")
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


def everybody_dies(host):
    """batond and both VMMs end at once: the guest waits in custody and a next successor takes it"""
    points = {
        # The step of batond, and what keeps the successor from going further.
        "afterJournalStaged": [],
        "afterClaimSent": ["BATON_STOP_AT=successorClaimed"],
        # It has the context already.
        "beforeJournalCommit": [],
    }
    for way, guest in WAYS.items():
        for point, environment in points.items():
            # Both VMMs have to be gone before it is back.
            host.fresh(restart_seconds=3, options="--claim-ms 20000")
            source = VMM(host, **guest)
            source.wait_for("running")
            before = source.verdict()
            host.crash_at(point)
            wait("the source", lambda: (host.guest("vm1") or {}).get("state") == "running")
            pid = host.pid
            successor = VMM(host, **guest, environment=environment)
            wait("batond's end", lambda: host.pid == 0)
            source.kill()
            successor.kill()
            expect(host.stored >= 3, f"{host.stored} descriptors are left in the store")
            host.wait_for_restart(pid)
            try:
                waiting = wait("a guest in custody", lambda: host.guest("vm1"))
                if point == "beforeJournalCommit" and way == "token":
                    # The token was used, and only the next claimant can find that out.
                    VMM(host, **guest)
                    wait("the truth", lambda: (host.guest("vm1") or {}).get("state") == "lost")
                    continue
                expect(waiting["state"] not in ("lost", "ended"), f"the guest is {waiting['state']}")
                expect("vm1" in host.ctl("list").stdout, "an operator sees it")
                third = VMM(host, **guest)
                settled(host, "vm1", third)
                after = third.verdict()
                expect(after["counter"] > before["counter"] and after["consoleSequence"] >= before["consoleSequence"],
                       f"the guest goes on where it was: {before}, {after}")
            except Failed as error:
                raise Failed(f"{point}, way {way}: {error}\n{host.log()}") from error


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


def fence(host):
    """the shipped unit ends a VMM of another user that does not let go, and names its unit"""
    host.fresh(options="--release-ms 1000")
    source = VMM(host, user="vmm", options=["--misbehave", "run-after-release"])
    source.wait_for("running")
    expect(status_field(source.pid, "Uid") != "0", "the VMM is another user's")
    text = host.ctl("preflight", "vm1", check=False).stdout
    expect(f"may end process {source.pid}" in text, text)
    expect(source.unit in host.ctl("--json", "show", "vm1").stdout, host.ctl("--json", "show", "vm1").stdout)
    successor = VMM(host, user="vmm")
    # Two run the guest now until one is ended; what that does to it is not looked at.
    wait("the fence", lambda: not source.is_alive)
    expect((host.guest("vm1") or {}).get("owner", {}).get("processId") == successor.pid, "the successor owns the guest")
    expect(successor.is_alive, "and is not ended")
    host.wait_for_log("ended by the fence")


def stop_loses_custody(host):
    """what is stopped and started, not restarted, has an empty store, and says so"""
    host.fresh(options="--claim-ms 20000")
    source = VMM(host)
    source.wait_for("running")
    successor = VMM(host, environment=["BATON_STOP_AT=successorClaimed"])
    wait("a claim", lambda: (host.guest("vm1") or {}).get("state") == "claimed")
    systemctl("stop", "batond.service")
    source.kill()
    successor.kill()
    systemctl("start", "batond.service")
    wait("the truth", lambda: (host.guest("vm1") or {}).get("state") == "lost")


SCENARIOS = [
    socket_activation, stray_socket, watchdog, upgrade, restarted_while_claimed, everybody_dies, full_store, no_bus,
    fence, stop_loses_custody, killed_at_every_step,
]


def main():
    host = Host(sys.argv[1])
    wanted = sys.argv[2:]
    known = {scenario.__name__ for scenario in SCENARIOS}
    for name in wanted:
        if name not in known:
            sys.exit(f"there is no scenario {name}; there are {', '.join(sorted(known))}")
    host.install()
    passed = failed = 0
    for scenario in SCENARIOS:
        if wanted and scenario.__name__ not in wanted:
            continue
        began, began_at = time.monotonic(), time.time()
        try:
            scenario(host)
            passed += 1
            print(f"passed: {scenario.__doc__} ({time.monotonic() - began:.1f} s)", flush=True)
        except Exception as error:  # pylint: disable=broad-except
            failed += 1
            text = str(error) if isinstance(error, Failed) else traceback.format_exc()
            text += "\nthe journal:\n" + journal(began_at)
            print(f"failed: {scenario.__doc__}\n   | " + text.replace("\n", "\n   | "), flush=True)
    print(f"{passed} scenarios passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()
