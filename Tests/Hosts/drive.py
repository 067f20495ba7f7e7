"""Runs the scenarios; see the file run beside it."""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback

import linux
from checks import Failed, Skipped
from pair import Pair
from scenarios import deaths, fallback, journeys, library, network, orders, plans, platforms, refusals, restarts

MODULES = (network, journeys, plans, orders, fallback, refusals, platforms, restarts, library, deaths)
PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Run:
    def __init__(self, programs, examples, is_full):
        self.programs = programs
        self.examples = examples
        self.is_full = is_full
        self.pair = None
        self.folder = None

    def fresh_pair(self):
        """Two hosts; the same ones until something fails on them."""
        if self.pair is None:
            self.folder = tempfile.TemporaryDirectory(prefix="baton-hosts-")
            self.pair = Pair(self.folder.name, self.programs, self.examples)
        return self.pair

    def tails(self):
        try:
            return self.pair.tails()
        except Exception:  # pylint: disable=broad-except
            return f"what they said cannot be told: {traceback.format_exc()}"

    def close(self):
        if self.pair is not None:
            self.pair.close()
            self.pair = None
        if self.folder is not None:
            self.folder.cleanup()
            self.folder = None

    def attempt(self, scenario):
        """Runs one scenario; returns whether it passed, nothing when it was skipped."""
        began = time.monotonic()
        signal.alarm(scenario.seconds)
        try:
            pair = self.fresh_pair()
            pair.mark()
            said = scenario.body(pair, self.is_full)
        except Skipped as reason:
            print(f"SKIPPED: {scenario.sentence}: {reason}", flush=True)
            return None
        except Exception as error:  # pylint: disable=broad-except
            expected = (Failed, subprocess.TimeoutExpired)
            text = str(error) if isinstance(error, expected) else traceback.format_exc()
            signal.alarm(0)
            if self.pair is not None:
                text += "\nwhat the hosts said:\n" + self.tails()
            print(f"failed: {scenario.sentence} [{scenario.name}, {time.monotonic() - began:.1f} s]\n   | "
                  + text.replace("\n", "\n   | "), flush=True)
            self.close()
            return False
        finally:
            signal.alarm(0)
        print(f"passed: {scenario.sentence} ({time.monotonic() - began:.1f} s)", flush=True)
        # What it measured; never a reason to pass or fail.
        for line in said or []:
            print(f"   {line}", flush=True)
        return True


def out_of_time(*_):
    raise Failed("the scenario's time is over")


def programs_of(options):
    if options.programs:
        return os.path.abspath(options.programs)
    return subprocess.run(["swift", "build", "--show-bin-path"], cwd=PROJECT, capture_output=True, text=True,
                          check=True).stdout.strip()


def examples_of(options, folder):
    """Where the VMM with libbaton is, and what is loaded before it."""
    if options.examples:
        return os.path.abspath(options.examples)
    made = subprocess.run([os.path.join(PROJECT, "Tests", "CLibrary", "examples"), folder], cwd=PROJECT,
                          capture_output=True, text=True, check=False)
    if made.returncode != 0:
        sys.exit(f"the VMM with libbaton cannot be built:\n{made.stdout}{made.stderr}")
    return folder


def main():
    parser = argparse.ArgumentParser(prog="Tests/Hosts/run")
    parser.add_argument("--full", action="store_true", help="every victim at every step; ten times there and back")
    parser.add_argument("--programs", metavar="DIR", help="where the programs are; by default .build's debug build")
    parser.add_argument("--examples", metavar="DIR",
                        help="what Tests/CLibrary/examples made; by default it is made anew")
    parser.add_argument("--list", action="store_true", help="print the scenarios of the quick or full run")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only scenarios whose name begins so")
    options = parser.parse_args()
    known = [scenario for module in MODULES for scenario in module.scenarios()]
    chosen = [scenario for scenario in known if any(scenario.name.startswith(name) for name in options.names)]
    if options.names and not chosen:
        parser.error(f"no scenario begins with {' or '.join(options.names)}; see --list --full")
    if not options.names:
        chosen = [scenario for scenario in known if options.full or scenario.is_quick]
    if options.list:
        for scenario in chosen:
            print(f"{scenario.name}: {scenario.sentence}")
        return 0
    reason = linux.missing()
    if reason:
        print(f"SKIPPED: everything between two hosts ({len(chosen)} scenarios): {reason}\n0 passed, 0 failed")
        return 0
    signal.signal(signal.SIGALRM, out_of_time)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = tempfile.TemporaryDirectory(prefix="baton-examples-")
    run = Run(programs_of(options), examples_of(options, folder.name), options.full)
    try:
        results = [run.attempt(scenario) for scenario in chosen]
    finally:
        run.close()
        folder.cleanup()
    print(f"{results.count(True)} passed, {results.count(False)} failed", flush=True)
    return int(False in results)


if __name__ == "__main__":
    sys.exit(main())
