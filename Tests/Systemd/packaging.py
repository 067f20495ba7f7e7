"""What can be said of the installed tree and the package without a service manager.

Usage: packaging.py PROJECT TREE, where TREE is what Scripts/install made with PREFIX at its top.
Prints a line `passed: …` or `failed: …` for each check.
"""

import glob
import hashlib
import os
import re
import subprocess
import sys
import tempfile

import guide_text

project, tree = (os.path.abspath(path) for path in sys.argv[1:3])


def run(*arguments, **options):
    return subprocess.run(arguments, capture_output=True, text=True, timeout=300, check=False, **options)


def contents(root):
    """Every file with its mode and digest, every directory with its mode."""
    found = {}
    for directory, _, files in os.walk(root):
        found[directory] = os.stat(directory).st_mode
        for name in files:
            path = os.path.join(directory, name)
            with open(path, "rb") as file:
                found[path] = os.stat(path).st_mode, hashlib.sha256(file.read()).hexdigest()
    return found


def installs_twice():
    """installing a second time changes nothing"""
    with tempfile.TemporaryDirectory() as root:
        seen = []
        for _ in range(2):
            done = run(f"{project}/Scripts/install", "--bin-dir", f"{tree}/bin",
                       env={**os.environ, "DESTDIR": root, "PREFIX": "/usr"})
            assert done.returncode == 0, done.stdout + done.stderr
            seen.append(contents(root))
        assert seen[0] == seen[1], set(seen[0].items()) ^ set(seen[1].items())
        assert sorted(os.listdir(root)) == ["etc", "usr"], os.listdir(root)


def example_has_every_key():
    """the example of a guest's settings has every key that baton-vmm knows, and no other"""
    known = run(f"{tree}/bin/baton-vmm", "--vm", "vm1", "--settings-from-environment",
                env={"PATH": "/usr/bin", "BATON_MEMORY": "16M", "BATON_NO_SUCH_KEY": "1"})
    assert known.returncode == 64, f"an unknown key is an error, not {known.returncode}: {known.stderr}"
    listed = re.search(r"there are (.*)", known.stderr)
    assert listed, known.stderr
    with open(f"{project}/units/guest.conf.example", encoding="utf-8") as file:
        written = set(re.findall(r"^#?(BATON_\w+)=", file.read(), re.MULTILINE))
    assert written == set(re.findall(r"BATON_\w+", listed[1])), f"{sorted(written)}: {listed[1]}"


def drop_ins_are_ignored():
    """a drop-in for newer systemd says nothing that this one takes for wrong"""
    drop_ins = glob.glob(f"{tree}/share/baton/drop-ins/*.conf")
    assert drop_ins, "there are some"
    for drop_in in drop_ins:
        unit = re.match(r"\d+-(.*)\.conf", os.path.basename(drop_in))[1]
        with tempfile.TemporaryDirectory() as directory:
            for path in glob.glob(f"{tree}/lib/systemd/system/batond*"):
                with open(path, encoding="utf-8") as file:
                    text = re.sub(r"(ExecStart=)\S*/bin/", rf"\1{tree}/bin/", file.read())
                with open(f"{directory}/{os.path.basename(path)}", "w", encoding="utf-8") as file:
                    file.write(text)
            os.mkdir(f"{directory}/{unit}.d")
            with open(drop_in, encoding="utf-8") as source, open(f"{directory}/{unit}.d/1.conf", "w", encoding="utf-8") as copy:
                copy.write(source.read())
            said = run("systemd-analyze", "verify", "--man=no", f"{directory}/{unit}").stderr.splitlines()
            assert all("Unknown key" in line for line in said), f"{drop_in}: {said}"


def guide_is_runnable():
    """every block of commands in the operator's guide says how it is run"""
    steps = guide_text.read(f"{project}/Docs/operators.md")
    assert sum(isinstance(step, guide_text.Commands) for step in steps) > 20, steps


def scripts_are_posix():
    """the package's scripts are shell that dash reads"""
    scripts = glob.glob(f"{project}/units/debian/*.p*")
    assert len(scripts) >= 3, scripts
    for script in scripts:
        done = run("dash", "-n", script)
        assert done.returncode == 0, done.stderr


def metrics_sandbox():
    """baton-metrics.service: exposure at most 1.5"""
    done = run("systemd-analyze", "security", "--offline=yes", "--threshold=15",
               f"{tree}/lib/systemd/system/baton-metrics.service")
    assert done.returncode == 0, done.stdout + done.stderr


CHECKS = [
    installs_twice, example_has_every_key, drop_ins_are_ignored, guide_is_runnable, scripts_are_posix, metrics_sandbox,
]
failed = 0
for check in CHECKS:
    try:
        check()
        print(f"passed: {check.__doc__}", flush=True)
    except Exception as error:  # pylint: disable=broad-except
        failed += 1
        print(f"failed: {check.__doc__}\n   | {type(error).__name__}: {error}", flush=True)
sys.exit(1 if failed else 0)
