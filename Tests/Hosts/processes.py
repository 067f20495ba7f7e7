"""Processes that end with the test, whatever happens."""

import os
import signal
import subprocess

import linux
from checks import SECONDS, Failed, wait


class Process:
    """One program, in the namespaces of its host; what it says goes to its log."""

    def __init__(self, name, arguments, log, namespaces=(), environment=None, **pipes):
        self.name = name
        self.log = log
        # What was in the log before the scenario.
        self.skipped = 0

        def prepare():
            linux.end_with_parent()
            linux.enter(namespaces)

        with open(log, "ab") as file:
            self.child = subprocess.Popen(
                arguments, preexec_fn=prepare, cwd="/", env={**os.environ, **(environment or {})},
                **{"stdin": subprocess.DEVNULL, "stdout": file, "stderr": file, **pipes})

    @property
    def pid(self):
        return self.child.pid

    @property
    def status(self):
        """Its exit status, minus the signal that ended it, or nothing while it lives."""
        return self.child.poll()

    @property
    def is_alive(self):
        return self.status is None

    @property
    def is_stopped(self):
        """Whether it stands still because of a signal."""
        try:
            with open(f"/proc/{self.pid}/stat") as file:
                return self.is_alive and file.read().rsplit(")", 1)[1].split()[0] == "T"
        except FileNotFoundError:
            return False

    def signal(self, number):
        if self.is_alive:
            self.child.send_signal(number)

    def go_on(self):
        self.signal(signal.SIGCONT)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.child.wait()

    def stop(self, seconds=SECONDS):
        """SIGTERM; SIGKILL, and a failure, when that is not enough."""
        self.signal(signal.SIGTERM)
        try:
            self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed(f"{self.name} did not end within {seconds} s after SIGTERM") from None

    def wait_for_end(self, seconds=SECONDS):
        try:
            wait(f"the end of {self.name}", lambda: not self.is_alive, seconds)
        except Failed as error:
            raise Failed(f"{error}\n{self.tail()}") from None
        return self.status

    def memory(self, field="VmHWM"):
        """MiB: what it ever had (VmHWM) in memory, or what of its own it has (RssAnon)."""
        with open(f"/proc/{self.pid}/status") as file:
            for line in file:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) / 1024
        # It is about to end.
        return 0.0

    def mark(self):
        """A new scenario begins."""
        self.skipped = os.path.getsize(self.log)

    def tail(self, lines=40):
        """The end of what it said in this scenario, for a failure."""
        with open(self.log, errors="replace") as file:
            file.seek(self.skipped)
            return "\n".join(f"    {self.name}: {line}" for line in file.read().splitlines()[-lines:])
