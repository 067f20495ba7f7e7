"""The service manager that everything runs under, and waiting for what it does."""

import glob
import json
import os
import subprocess
import time

# Where scenarios keep what units write.
STATE = "/run/t"


class Failed(AssertionError):
    """A scenario did not go as it should."""


class Skipped(Exception):
    """A scenario cannot be tried here; the reason is said loudly."""


def expect(condition, what):
    if not condition:
        raise Failed(what)


def run(*arguments, check=True, timeout=60, environment=None):
    try:
        done = subprocess.run(
            arguments, capture_output=True, text=True, timeout=timeout,
            env=None if environment is None else {**os.environ, **environment})
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{' '.join(arguments)} did not end within {timeout} s") from error
    if check and done.returncode != 0:
        raise Failed(f"{' '.join(arguments)} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done


def systemctl(*arguments, check=True, timeout=60):
    return run("systemctl", *arguments, check=check, timeout=timeout)


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


def properties(unit, *names):
    """Several properties of a unit, read at one moment."""
    text = systemctl("show", "-p", ",".join(names), unit).stdout
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def journal(since, *units, lines=100):
    """The last of what was said since a moment, by everybody or by some units."""
    which = [word for unit in units for word in ("-u", unit)]
    # With --since, -n would give the first ones.
    text = run("journalctl", "-q", "-o", "short-monotonic", *which, f"--since=@{since:.6f}", check=False).stdout
    return "".join(text.splitlines(keepends=True)[-lines:])


def journal_entries(since, *matches):
    """Entries of the journal as objects, by fields such as BATON_VM=vm1."""
    text = run("journalctl", "-q", "-o", "json", f"--since=@{since:.6f}", *matches, check=False).stdout
    return [json.loads(line) for line in text.splitlines()]


def drop_in(unit, text, name="test"):
    """Settings for a unit or a template, until `forget_drop_ins`; whether the manager has to read them."""
    path = f"/run/systemd/system/{unit}.d/{name}.conf"
    if os.path.exists(path):
        with open(path) as file:
            if file.read() == text:
                return False
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    return True


def forget_drop_ins(name):
    """Removes what `drop_in` wrote under this name; whether there was something."""
    files = glob.glob(f"/run/systemd/system/*.d/{name}.conf")
    for file in files:
        os.remove(file)
    return bool(files)


def process_state(pid):
    """The letter of /proc/PID/stat; None when there is no such process, and for the number 0."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def is_alive(pid):
    return process_state(pid) not in (None, "Z", "X")


def status_field(pid, name):
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith(name + ":"):
                return line.split()[1]
    raise Failed(f"process {pid} has no {name}")
