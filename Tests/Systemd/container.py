"""What the scenarios do with the real systemd that they run under."""

import glob
import json
import os
import shutil
import signal
import subprocess
import time

STATE = "/run/t"
CRASH_AT = "/run/baton/crash-at"


class Failed(AssertionError):
    """A scenario did not go as it should."""


def run(*arguments, check=True, timeout=60):
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=timeout)
    if check and done.returncode != 0:
        raise Failed(f"{' '.join(arguments)} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done


def systemctl(*arguments, check=True):
    return run("systemctl", *arguments, check=check)


def wait(what, condition, seconds=20):
    """Waits until `condition` gives something, and returns it."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise Failed(f"{what} did not come within {seconds} s")
        time.sleep(0.02)


def show(unit, name):
    return systemctl("show", "-P", name, unit).stdout.strip()


def journal(since, unit=None):
    """What was said since a moment, by everybody or by one unit."""
    unit = ["-u", unit] if unit else ["-n", "60"]
    return run("journalctl", "-q", "-o", "short-monotonic", *unit, f"--since=@{since:.6f}", check=False).stdout


class Host:
    """The installed tree, and batond under it."""

    def __init__(self, prefix):
        self.prefix = prefix
        self.began = time.time()
        self.drop_in = "/run/systemd/system/batond.service.d"

    def install(self):
        """What a package does."""
        os.makedirs("/run/systemd/system", exist_ok=True)
        for unit in glob.glob(f"{self.prefix}/lib/systemd/system/*"):
            shutil.copy(unit, "/run/systemd/system/")
        run("systemd-sysusers", f"{self.prefix}/lib/sysusers.d/baton.conf")
        run("systemd-tmpfiles", "--create", f"{self.prefix}/lib/tmpfiles.d/baton.conf")
        # A user of its own for VMMs.
        run("systemd-sysusers", "--inline", 'u vmm - "A VMM"', "m vmm baton")
        os.makedirs(STATE, exist_ok=True)
        os.chmod(STATE, 0o1777)
        systemctl("daemon-reload")
        systemctl("start", "dbus.socket")

    def configure(self, options="", restart_seconds=0.1, watchdog=10, store=2048):
        """Options for batond, and a way to let it die at a crash point (BATON_CRASH_AT) once."""
        os.makedirs(self.drop_in, exist_ok=True)
        with open(f"{self.drop_in}/test.conf", "w") as file:
            file.write(f"""[Service]
ExecStart=
ExecStart=/bin/sh -c 'if [ -s {CRASH_AT} ]; then export BATON_CRASH_AT=$$(cat {CRASH_AT}); : >{CRASH_AT}; fi; \\
  exec {self.prefix}/bin/batond --admin-group baton-admin --settle-ms 200 --freeze-ms 20000 {options}'
RestartSec={int(restart_seconds * 1000)}ms
WatchdogSec={watchdog}
FileDescriptorStoreMax={store}
""")
        systemctl("daemon-reload")

    def fresh(self, **settings):
        """A registry that knows nothing, and no VMM left from before."""
        for unit in run("systemctl", "list-units", "--plain", "--no-legend", "--all", "vmm-*").stdout.splitlines():
            systemctl("kill", "-s", "KILL", unit.split()[0], check=False)
            systemctl("reset-failed", unit.split()[0], check=False)
        systemctl("stop", "batond.service", "sevmodeld.service")
        for file in glob.glob("/run/baton/registry.*") + [CRASH_AT] + glob.glob(f"{STATE}/*"):
            if os.path.exists(file):
                os.remove(file)
        self.configure(**settings)
        systemctl("reset-failed", "batond.service", check=False)
        systemctl("start", "batond.socket", "batond-handoff.socket", "sevmodeld.socket")
        systemctl("start", "batond.service")
        self.began = time.time()

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
        wait("another batond", lambda: self.pid not in (0, pid)
             and show("batond.service", "ActiveState") == "active")

    def kill(self):
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        self.wait_for_restart(pid)

    def ctl(self, *arguments, check=True):
        return run(f"{self.prefix}/bin/batonctl", *arguments, check=check)

    def guest(self, name):
        """What the registry says of a guest, or nothing while it is away."""
        done = self.ctl("--json", "list", check=False)
        for line in done.stdout.splitlines():
            guest = json.loads(line)
            if guest.get("name") == name:
                return guest
        return None

    def wait_for_log(self, text):
        """The journal takes a moment."""
        try:
            wait(f"'{text}' in the log", lambda: text in self.log(), 10)
        except Failed as error:
            raise Failed(f"{error}\n{self.log()}") from error

    def log(self):
        return journal(self.began, "batond.service")


class VMM:
    """A VMM in a unit of its own."""

    count = 0

    def __init__(self, host, guest="vm1", sev="none", options=(), environment=(), user=None, memory="16M"):
        VMM.count += 1
        self.unit = f"vmm-{VMM.count}.service"
        self.events_path = f"{STATE}/{VMM.count}.events"
        # Opened by the VMM's user.
        with open(self.events_path, "w"):
            pass
        os.chmod(self.events_path, 0o666)
        properties = [f"--setenv={text}" for text in environment]
        if user:
            properties += [f"--uid={user}", "--property=SupplementaryGroups=baton"]
        run("systemd-run", "--quiet", f"--unit={self.unit}", "--collect", *properties,
            f"{host.prefix}/bin/baton-vmm", "--vm", guest, "--memory", memory, "--vcpus", "2", "--vcpu", "software",
            "--sev", sev, "--events", self.events_path, *options)

    def events(self):
        with open(self.events_path) as file:
            lines = file.read().split("\n")[:-1]
        return [json.loads(line) for line in lines]

    def said(self, event):
        return [line for line in self.events() if line["event"] == event]

    def wait_for(self, event, count=1, seconds=20):
        return wait(f"event {event} of {self.unit}", lambda: self.said(event)[count - 1:], seconds)[0]

    @property
    def pid(self):
        return self.events()[0]["pid"]

    @property
    def is_alive(self):
        return os.path.exists(f"/proc/{self.pid}") and "Z" not in \
            open(f"/proc/{self.pid}/stat").read().rsplit(")", 1)[1].split()[0]

    def signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        if self.is_alive:
            self.signal(signal.SIGKILL)
        wait(f"the end of {self.unit}", lambda: not self.is_alive)

    def verdict(self):
        count = len(self.said("report"))
        self.signal(signal.SIGUSR1)
        return self.wait_for("report", count + 1)["report"]

    def expect_good(self):
        """The guest runs here, and nothing of it was damaged."""
        first = self.verdict()
        wait("guest instructions", lambda: self.verdict()["counter"] > first["counter"])
        last = self.verdict()
        if last["pageErrors"] or last["problems"]:
            raise Failed(f"the guest found {last['pageErrors']} wrong pages and says {last['problems']}")
