"""The operator's guide, command by command."""

import os
import subprocess

import debian
import guide_text
from manager import Failed, expect

GUIDE = "/docs/operators.md"
SECONDS = 120


def node_exporter():
    """Its package makes this directory."""
    os.makedirs("/var/lib/prometheus/node-exporter", exist_ok=True)


HOOKS = {hook.__name__: hook for hook in (node_exporter,)}


def type_in(command):
    """As a person would, where the packages are."""
    try:
        return subprocess.run(
            ["bash", "-c", command], cwd=debian.PACKAGES, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=SECONDS, check=False,
            env={**os.environ, "SYSTEMD_PAGER": "", "LANG": "C.UTF-8", **debian.ENVIRONMENT})
    except subprocess.TimeoutExpired as error:
        raise Failed(f"'{command}' did not end within {SECONDS} s") from error


def follow(step):
    if isinstance(step, guide_text.File):
        os.makedirs(os.path.dirname(step.path), exist_ok=True)
        with open(step.path, "w") as file:
            file.write(step.text)
        return
    if step.first:
        HOOKS[step.first]()
    shown = ""
    for command in step.commands:
        wanted = step.status if command == step.commands[-1] else 0
        done = type_in(command)
        shown += done.stdout
        expect(done.returncode == wanted,
               f"line {step.line}: '{command}' ends with {done.returncode}, not {wanted}:\n{done.stdout}")
    expect(step.shows in shown, f"line {step.line}: {step.name} does not show '{step.shows}':\n{shown}")


def operators_guide(host):
    """every command of the operator's guide does what the guide says"""
    debian.prepare(host)
    for step in guide_text.read(GUIDE):
        follow(step)


SCENARIOS = [operators_guide]
