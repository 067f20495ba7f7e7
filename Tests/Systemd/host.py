"""The installed tree, and the registry under it."""

import glob
import os
import shutil
import signal
import time

import asking
from manager import STATE, drop_in, forget_drop_ins, journal, run, show, systemctl, wait
from manager import Failed

CRASH_AT = "/run/baton/crash-at"


class Host:
    def __init__(self, prefix, guests=50, full=False):
        self.prefix = prefix
        # How many guests a rolling upgrade has.
        self.guests = guests
        # Whether long runs are wanted.
        self.full = full
        self.began = time.time()

    def install(self):
        """What a package does."""
        os.makedirs("/run/systemd/system", exist_ok=True)
        for unit in glob.glob(f"{self.prefix}/lib/systemd/system/*"):
            if os.path.isdir(unit):
                shutil.copytree(unit, f"/run/systemd/system/{os.path.basename(unit)}", dirs_exist_ok=True)
            else:
                shutil.copy(unit, "/run/systemd/system/")
        run("systemd-sysusers", *glob.glob(f"{self.prefix}/lib/sysusers.d/*.conf"))
        run("systemd-tmpfiles", "--create", *glob.glob(f"{self.prefix}/lib/tmpfiles.d/*.conf"))
        # A user of its own for VMMs outside of the shipped units.
        run("systemd-sysusers", "--inline", 'u vmm - "A VMM"', "m vmm baton")
        os.makedirs("/etc/baton/guests", exist_ok=True)
        # SEV-ES guests need identifiers of their own.
        with open("/etc/baton/sevmodeld.conf", "w") as file:
            file.write("SEVMODELD_OPTIONS=--es-asids 100\n")
        os.makedirs(STATE, exist_ok=True)
        os.chmod(STATE, 0o1777)
        systemctl("daemon-reload")
        systemctl("start", "dbus.socket")

    def configure(self, options="", restart_seconds=0.1, watchdog=10, store=2048, freeze=20_000):
        """Options for batond, and a way to let it die at a crash point (BATON_CRASH_AT) once."""
        has_changed = drop_in("batond.service", f"""[Service]
ExecStart=
ExecStart=/bin/sh -c 'if [ -s {CRASH_AT} ]; then export BATON_CRASH_AT=$$(cat {CRASH_AT}); : >{CRASH_AT}; fi; \\
  exec {self.prefix}/bin/batond --admin-group baton-admin --settle-ms 200 --freeze-ms {freeze} {options}'
RestartSec={int(restart_seconds * 1000)}ms
WatchdogSec={watchdog}
FileDescriptorStoreMax={store}
""")
        # What a test tells one slot of one guest, such as a crash point; and where guests write for a test.
        for slot in "ab":
            has_changed |= drop_in(f"baton-vmm-{slot}@.service", f"""[Service]
EnvironmentFile=-{STATE}/env/%p@%i
ReadWritePaths={STATE}
# A SEV guest's memory is pinned, and in a container no limit can be raised.
CapabilityBoundingSet=CAP_IPC_LOCK
AmbientCapabilities=CAP_IPC_LOCK
""")
        # Reading all units again takes half a second.
        if forget_drop_ins("once") or has_changed:
            systemctl("daemon-reload")

    def fresh(self, **settings):
        """A registry that knows nothing, and no VMM left from before."""
        self.end_all_vmms()
        systemctl("stop", "batond.service", "sevmodeld.service")
        for path in glob.glob("/run/baton/registry.*") + [CRASH_AT] + glob.glob(f"{STATE}/*"):
            if os.path.isdir(path):
                shutil.rmtree(path)
            elif os.path.exists(path):
                os.remove(path)
        for path in glob.glob("/etc/baton/guests/*"):
            os.remove(path)
        os.makedirs(f"{STATE}/env")
        self.configure(**settings)
        systemctl("reset-failed", "batond.service", check=False)
        systemctl("start", "batond.socket", "batond-handoff.socket", "sevmodeld.socket")
        systemctl("start", "batond.service")
        self.began = time.time()

    @staticmethod
    def end_all_vmms():
        listed = systemctl("list-units", "--plain", "--no-legend", "--all", "vmm-*", "baton-vmm-*").stdout
        units = [line.split()[0] for line in listed.splitlines()]
        if not units:
            return
        # A stopped or patient one would make the next scenario wait.
        systemctl("kill", "-s", "KILL", *units, check=False)
        systemctl("stop", *units, check=False)
        systemctl("reset-failed", *units, check=False)

    def crash_at(self, point):
        """The next batond dies there; the one after it does not."""
        with open(CRASH_AT, "w") as file:
            file.write(point)
        shutil.chown(CRASH_AT, "baton", "baton")
        systemctl("restart", "batond.service")

    @property
    def pid(self):
        return int(show("batond.service", "MainPID"))

    @property
    def stored(self):
        return int(show("batond.service", "NFileDescriptorStore"))

    def wait_for_restart(self, pid):
        try:
            wait("another batond", lambda: self.pid not in (0, pid)
                 and show("batond.service", "ActiveState") == "active", 40)
        except Failed as error:
            raise Failed(f"{error}; {self.log()}") from error

    def kill(self):
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        self.wait_for_restart(pid)

    def ctl(self, *arguments, check=True, timeout=60):
        return run(f"{self.prefix}/bin/batonctl", *arguments, check=check, timeout=timeout)

    def guest(self, name):
        """What the registry says of a guest; an empty answer while it is away or does not know it."""
        return asking.guests().get(name, {})

    def state(self, name):
        return self.guest(name).get("state")

    def wait_for_state(self, name, *states, seconds=20):
        try:
            return wait(f"{name} {' or '.join(states)}",
                        lambda: self.state(name) in states and self.guest(name), seconds)
        except Failed as error:
            raise Failed(f"{error}; it is {self.guest(name)}") from error

    def wait_for_log(self, text):
        """The journal takes a moment."""
        try:
            wait(f"'{text}' in the log", lambda: text in self.log(), 10)
        except Failed as error:
            raise Failed(f"{error}\n{self.log()}") from error

    def log(self):
        return journal(self.began, "batond.service", lines=400)
