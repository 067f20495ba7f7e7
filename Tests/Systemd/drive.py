"""Runs scenarios under a real systemd, as root inside the container.

Usage: drive.py [--full] [--guests N] PREFIX BOOT [NAME…], or drive.py --list

Prints `passed: …`, `failed: …` or `SKIPPED: …` for each, and a last line `N scenarios passed, N failed`.
"""

import argparse
import importlib
import sys
import time
import traceback

from host import Host
from manager import Failed, Skipped, journal

# Which modules of `scenarios` share a boot. A boot of its own is for what changes the system.
BOOTS = {
    "registry": ["sockets", "registry_ends", "custody", "fence", "journal_fields", "idle", "varlink_clients"],
    "units": ["settings", "side_by_side", "in_place", "slots", "left_behind"],
    "many": ["everybody_dies", "phases", "rolling"],
    "remote": ["remote"],
    "package": ["package", "guide"],
}


def scenarios(boot):
    for name in BOOTS[boot]:
        yield from importlib.import_module(f"scenarios.{name}").SCENARIOS


def attempt(scenario, host):
    """Runs one scenario; returns whether it passed, nothing when it was skipped."""
    began, began_at = time.monotonic(), time.time()
    try:
        said = scenario(host)
    except Skipped as reason:
        print(f"SKIPPED: {scenario.__doc__}: {reason}", flush=True)
        return None
    except Exception as error:  # pylint: disable=broad-except
        text = str(error) if isinstance(error, Failed) else traceback.format_exc()
        text += "\nthe journal:\n" + journal(began_at)
        print(f"failed: {scenario.__doc__} [{scenario.__name__}, {time.monotonic() - began:.1f} s]\n   | "
              + text.replace("\n", "\n   | "), flush=True)
        return False
    print(f"passed: {scenario.__doc__} ({time.monotonic() - began:.1f} s)", flush=True)
    # What it measured; never a reason to pass or fail.
    for line in said or []:
        print(f"   {line}", flush=True)
    return True


def main():
    if sys.argv[1:] == ["--list"]:
        for boot in BOOTS:
            for scenario in scenarios(boot):
                print(boot, scenario.__name__)
        return
    parser = argparse.ArgumentParser()
    parser.add_argument("prefix")
    parser.add_argument("boot", choices=BOOTS)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--guests", type=int, default=50)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    host = Host(options.prefix, guests=options.guests, full=options.full)
    if options.boot != "package":
        host.install()
    results = [
        attempt(scenario, host) for scenario in scenarios(options.boot)
        if not options.names or scenario.__name__ in options.names
    ]
    print(f"{results.count(True)} scenarios passed, {results.count(False)} failed", flush=True)
    sys.exit(1 if False in results else 0)


if __name__ == "__main__":
    main()
