"""One guest, handed on by VMMs in five languages. Usage: handoffs.py BIN-DIR LANGUAGE=PROGRAM…

A program with arguments of its own before the socket is written with commas: python=python3,counter_vmm.py,LIBRARY.

The last line is `N passed, N failed`.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time

ENDLESS = "1000000000000"


class Failed(AssertionError):
    """Something did not go as it should."""


def expect(condition, what):
    if not condition:
        raise Failed(what)


class Host:
    """A registry of its own, and the VMMs that come to it."""

    def __init__(self, bin_dir, programs):
        self.programs = {"swift": [f"{bin_dir}/example-vmm"], **programs}
        self.bin_dir = bin_dir
        self.folder = tempfile.TemporaryDirectory(prefix="baton-c-")
        self.socket = f"{self.folder.name}/handoff"
        self.processes = []
        self.batond = self.start_registry()

    def start_registry(self):
        batond = subprocess.Popen(
            [f"{self.bin_dir}/batond", "--runtime-directory", self.folder.name, "--quiet", "--settle-ms", "200"])
        self.processes.append(batond)
        return batond

    def vmm(self, language, ticks=ENDLESS):
        process = subprocess.Popen(
            [*self.programs[language], self.socket, "vm1", ticks], stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        return process

    def guest(self):
        done = subprocess.run(
            [f"{self.bin_dir}/batonctl", "--json", "--socket", f"{self.folder.name}/varlink", "show", "vm1"],
            capture_output=True, text=True, timeout=20)
        return json.loads(done.stdout.splitlines()[0])["guest"] if done.returncode == 0 else None

    def wait(self, what, condition, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            guest = self.guest()
            if guest is not None and condition(guest):
                return guest
            time.sleep(0.05)
        raise Failed(f"{what} did not come within {seconds} s: {self.guest()}")

    def runs_in(self, process):
        return self.wait(
            f"the guest in process {process.pid}",
            lambda guest: guest["state"] == "running" and (guest.get("owner") or {}).get("processId") == process.pid)

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.folder.cleanup()


def last_words(process, seconds=20):
    output, _ = process.communicate(timeout=seconds)
    expect(process.returncode == 0, f"process {process.pid} ended with {process.returncode}")
    return json.loads(output)


def alternating(host):
    """ten handoffs, C to Swift and Swift to C, each owner one epoch"""
    owner = host.vmm("c")
    host.runs_in(owner)
    counter = 0
    for number in range(10):
        successor = host.vmm("swift" if number % 2 == 0 else "c")
        said = last_words(owner)
        expect(said["released"], f"owner {number} was not released: {said}")
        expect(said["epochs"] == [number + 1], f"owner {number} had the epochs {said['epochs']}")
        expect(said["counter"] > counter, f"the counter stood still: {said}")
        counter = said["counter"]
        host.runs_in(successor)
        owner = successor


def every_language(host):
    """from each language to each other one: C, C++, Rust, Python and Swift"""
    languages = sorted(host.programs)
    # Each ordered pair once: a walk over all edges of the complete graph.
    pairs = [(a, b) for a in languages for b in languages if a != b]
    walk = [languages[0]]
    while pairs:
        step = next((pair for pair in pairs if pair[0] == walk[-1]), None)
        if step is None:
            step = (walk[-1], pairs[0][0])
        else:
            pairs.remove(step)
        walk.append(step[1])
    owner = host.vmm(walk[0])
    host.runs_in(owner)
    for number, language in enumerate(walk[1:]):
        successor = host.vmm(language)
        said = last_words(owner)
        expect(said["released"], f"{walk[number]} was not released to {language}: {said}")
        expect(said["epochs"] == [number + 1], f"{walk[number]} had the epochs {said['epochs']}")
        host.runs_in(successor)
        owner = successor


def same_language(host):
    """C to C, and the last owner ends the guest"""
    first = host.vmm("c")
    host.runs_in(first)
    second = host.vmm("c", ticks="1")
    expect(last_words(first)["released"], "the first was not released")
    said = last_words(second)
    expect(not said["released"] and said["epochs"] == [2], f"the second did not end the guest: {said}")
    host.wait("the guest's end", lambda guest: guest["state"] == "ended")


def parked(host):
    """SIGTERM: the guest waits in custody until a next process, in C or in Swift, takes it"""
    owner = host.vmm("c")
    for number, language in enumerate(["c", "swift"]):
        host.runs_in(owner)
        owner.send_signal(signal.SIGTERM)
        said = last_words(owner)
        expect(said["released"], f"the parked owner was not released: {said}")
        host.wait("the guest in custody", lambda guest: guest["state"] == "waiting")
        owner = host.vmm(language)
        guest = host.runs_in(owner)
        expect(guest["epoch"] == number + 2, f"epoch {guest['epoch']} after {number + 1} replacements")


def registry_dies(host):
    """batond is killed and comes back: the owner in C runs on, and hands the guest over"""
    owner = host.vmm("c")
    host.runs_in(owner)
    host.batond.kill()
    host.batond.wait()
    time.sleep(0.3)
    expect(owner.poll() is None, "the owner ended with its registry")
    host.start_registry()
    host.runs_in(owner)
    successor = host.vmm("swift")
    expect(last_words(owner)["released"], "the owner was not released")
    host.runs_in(successor)


def successor_dies(host):
    """a successor in C that is killed at once leaves the guest where it was"""
    owner = host.vmm("swift")
    host.runs_in(owner)
    for delay in (0, 0.001, 0.002, 0.005, 0.01):
        successor = host.vmm("c")
        time.sleep(delay)
        successor.kill()
        successor.wait()
        guest = host.wait("the guest somewhere", lambda guest: guest["state"] in ("running", "ended", "lost"))
        if guest["state"] != "running":
            # It was killed as the owner, with the guest in it.
            expect(owner.wait(timeout=20) == 0, "the source failed")
            return
        expect(guest["owner"]["processId"] in (owner.pid, successor.pid), f"a third owner: {guest}")


def main():
    bin_dir = sys.argv[1]
    programs = dict(argument.split("=", 1) for argument in sys.argv[2:])
    programs = {language: program.split(",") for language, program in programs.items()}
    passed = failed = 0
    for scenario in (alternating, every_language, same_language, parked, registry_dies, successor_dies):
        host = Host(bin_dir, programs)
        try:
            scenario(host)
            passed += 1
            print(f"passed: {scenario.__doc__}")
        except (Failed, subprocess.SubprocessError, ValueError, KeyError, IndexError) as error:
            failed += 1
            print(f"failed: {scenario.__doc__}: {error}")
        finally:
            host.close()
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
