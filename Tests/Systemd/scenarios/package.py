"""The Debian package: installed, upgraded under running guests, downgraded, removed."""

import glob
import os
import signal

import debian
from debian import NEW, OLD
from guest import Guest, same_guest
from manager import drop_in, expect, properties, run, show, systemctl, wait

# What no upgrade of the package may touch.
UNTOUCHED = ("batond.socket", "batond-handoff.socket", "sevmodeld.socket", "sevmodeld.service")


def invocations(*guests):
    """Who runs, by unit: a unit that was started again has another id."""
    units = [*UNTOUCHED, *(guest.unit(slot) for guest in guests for slot in "ab")]
    return {unit: properties(unit, "InvocationID", "MainPID", "NRestarts") for unit in units}


def running_program(pid):
    return os.readlink(f"/proc/{pid}/exe")


def outdated(host):
    return {line.split()[0] for line in host.ctl("list", "--outdated").stdout.splitlines()[1:] if line.strip()}


def registry_with(options):
    """The shipped unit with other options, for this scenario."""
    drop_in("batond.service", f"""[Service]
ExecStart=
ExecStart=/usr/bin/batond --admin-group baton-admin {options}
""", "once")


def two_guests(host):
    """One plain guest and one under the model, so that sevmodeld runs."""
    systemctl("start", "sevmodeld.socket")
    return Guest(host, "vm1").start(), Guest(host, "vm2", SEV="model").start()


def installed(host):
    """installing the package makes the registry available and starts nothing else; a guest starts by its unit"""
    debian.prepare(host)
    said = debian.install(OLD).stdout
    expect(debian.status() == f"install ok installed {OLD}", debian.status())
    for unit in ("batond.socket", "batond-handoff.socket"):
        expect(show(unit, "ActiveState") == "active", f"{unit} listens: {said}")
        expect(show(unit, "UnitFileState") == "enabled", f"{unit} is enabled")
    for unit in ("batond.service", "sevmodeld.socket", "sevmodeld.service", "baton-metrics.timer"):
        expect(show(unit, "ActiveState") == "inactive", f"{unit} is not started")
    expect(show("baton-metrics.timer", "UnitFileState") == "disabled", "metrics are written for those who want them")
    groups = run("id", "-Gn", "baton-vmm").stdout.split()
    expect({"baton", "kvm"} <= set(groups), f"VMMs are in the groups baton and kvm, not in {groups}")
    expect(not glob.glob("/etc/baton/guests/*.conf"), "no guest has settings")
    expect("baton" in run("journalctl", "--list-catalog").stdout.lower(), "the journal's catalog has the entries")
    guest = Guest(host).start()
    guest.settled("a")
    expect(show("batond.service", "ActiveState") == "active", "the guest has brought the registry")
    # A second time is no change.
    before = invocations(guest)
    debian.install(OLD)
    expect(invocations(guest) == before, "the same package again touches nobody but batond")
    guest.settled("a")


def upgraded_and_downgraded(host):
    """an upgrade and a downgrade restart batond only; list shows who is outdated, and upgrade brings them over"""
    debian.prepare(host)
    debian.install(OLD)
    guests = two_guests(host)
    slot = "a"
    for version in (NEW, OLD):
        seen = [guest.settled(slot) for guest in guests]
        before, pid = invocations(*guests), host.pid
        expect(outdated(host) == set(), f"nobody is outdated before {version} comes")
        said = debian.install(version).stdout
        expect("list --outdated" in said, f"the package says what is next: {said}")
        expect(host.pid not in (0, pid), "batond is another process")
        expect(not running_program(host.pid).endswith("(deleted)"), "of the new program")
        after = invocations(*guests)
        expect(after == before, f"nobody else is touched: {before}, {after}")
        for guest, report in zip(guests, seen):
            expect(running_program(guest.pid(slot)).endswith("(deleted)"), "the VMM is the former program")
            same_guest(report, guest.settled(slot))
        expect(outdated(host) == {"vm1", "vm2"}, f"both are outdated, {outdated(host)} are shown")
        # The other slot is the successor, of the program that is installed now.
        host.ctl("upgrade", "--all", "--outdated", "--max-parallel", "2")
        slot = {"a": "b", "b": "a"}[slot]
        for guest, report in zip(guests, seen):
            same_guest(report, guest.settled(slot))
            expect(running_program(guest.pid(slot)) == "/usr/bin/baton-vmm", "the VMM is the installed program")
        expect(outdated(host) == set(), "nobody is outdated any more")


def expect_not_removed(guest):
    done = debian.dpkg("--remove", "baton", check=False)
    expect(done.returncode != 0 and guest in done.stderr and "custody" in done.stderr,
           f"the package is not removed now: {done.returncode}: {done.stdout}{done.stderr}")
    expect(show("batond.service", "ActiveState") == "active", "batond goes on")


def depends_on_custody(host):
    """while a guest is handed over or waits, an upgrade of the package keeps custody, and a removal is refused"""
    debian.prepare(host)
    debian.install(OLD)
    registry_with("--claim-ms 30000")
    systemctl("daemon-reload")
    guest = Guest(host).start()
    report = guest.settled("a")
    guest.arm("b", STOP_AT="successorClaimed")
    guest.start_in_background("b")
    host.wait_for_state("vm1", "claimed")
    stored = host.stored
    expect(stored > 0, "custody is in the store")
    debian.install(NEW)
    expect(host.stored == stored, f"{host.stored} of {stored} descriptors are left")
    expect_not_removed("vm1")
    guest.kill("b", signal.SIGCONT)
    same_guest(report, guest.settled("b"))
    expect(debian.status().endswith(NEW), debian.status())
    # Restarted in place, with a program that does not start.
    drop_in("baton-vmm-b@vm1.service", "[Service]\nExecStart=\nExecStart=/bin/false\n", "once")
    systemctl("daemon-reload")
    systemctl("restart", guest.unit("b"), check=False)
    host.wait_for_state("vm1", "waiting")
    expect_not_removed("vm1")
    debian.install(OLD)
    host.wait_for_state("vm1", "waiting")
    systemctl("start", guest.unit("a"))
    same_guest(report, guest.settled("a"))


def broken_upgrade(host):
    """a package whose batond does not start fails with a sentence, harms no guest, and the former one goes back"""
    debian.prepare(host)
    debian.install(OLD)
    guest = Guest(host).start()
    report = guest.settled("a")
    before = invocations(guest)
    done = debian.install(debian.broken("1.2"), check=False)
    expect(done.returncode != 0 and "Guests run on" in done.stderr, f"{done.returncode}: {done.stdout}{done.stderr}")
    debian.install(OLD)
    expect(debian.status() == f"install ok installed {OLD}", debian.status())
    expect(invocations(guest) == before, "nobody else was touched")
    same_guest(report, guest.settled("a"))


def removed(host):
    """removed under a running guest: it is named and runs on; installed again: it is known; purged: its files stay"""
    debian.prepare(host)
    debian.install(NEW)
    guest = Guest(host).start()
    systemctl("enable", guest.unit("a"))
    report = guest.settled("a")
    pid = guest.pid("a")
    said = debian.dpkg("--remove", "baton").stdout
    expect("vm1" in said and "run on" in said, f"the guest is named: {said}")
    for unit in ("batond.service", "batond.socket", "batond-handoff.socket"):
        expect(show(unit, "ActiveState") == "inactive", f"{unit} is stopped")
    expect(guest.pid("a") == pid, "the VMM goes on")
    debian.install(NEW)
    wait("the guest", lambda: host.state("vm1") == "running")
    same_guest(report, guest.settled("a"))
    systemctl("stop", guest.unit("a"))
    guest.expect_unit("a", ActiveState="inactive", Result="success")

    disk = "/var/lib/baton/guests/vm1.raw"
    with open(disk, "w") as file:
        file.write("an operating system")
    said = debian.dpkg("--purge", "baton").stdout
    expect(os.path.exists(disk) and os.path.exists("/etc/baton/guests/vm1.conf"), "a guest's files are the operator's")
    expect("/var/lib/baton/guests is kept" in said, said)
    expect(debian.status() == "", f"dpkg knows nothing of it, not: {debian.status()}")
    left = [
        path for pattern in ("/etc/systemd/system/*", "/etc/systemd/system/*.wants/*", "/etc/needrestart/conf.d/*",
                             "/usr/lib/systemd/system/*", "/usr/bin/*", "/etc/baton/guests/*")
        for path in glob.glob(pattern)
        if "baton" in os.path.basename(path) or "sevmodeld" in path or "example" in os.path.basename(path)
    ]
    expect(left == [], f"nothing else is left: {left}")


SCENARIOS = [installed, upgraded_and_downgraded, depends_on_custody, broken_upgrade, removed]
