"""One order while another one is carried out, and orders about guests that are not there."""

import signal

from checks import SECONDS, expect, wait
from pair import PATIENCE, PATIENCE_MILLISECONDS
from registry import Migration
from scenario import named
from vmm import BatonVMM

SLOW = ("--pages-per-second", "400")
# batonctl's exit statuses.
UNKNOWN_GUEST, UNDER_WAY, OPEN = 8, 10, 11


def under_way(pair, _, kind=BatonVMM):
    """while a guest migrates a second migration and an upgrade are refused as migrationUnderWay, on either host"""
    pair.prepare(model=SLOW)
    plan = pair.plan(memory="64M", duty=5)
    owner = pair.start(pair.north, plan, kind=kind)
    target = pair.wait_for_guest(pair.south, plan, kind=kind)
    migration = Migration(pair.north, plan.name, host=pair.south.name, maxPauseMilliseconds=PATIENCE_MILLISECONDS)
    wait("the arrival in the target's registry", lambda: target.host.guest(plan.name)["state"] == "arriving")
    lines = []
    for host, *order in (
            (pair.north, "migrate", plan.name, "--to", pair.south.name, "--yes"),
            (pair.north, "preflight", plan.name, "--remote", pair.south.name),
            (pair.north, "upgrade", plan.name, "--exec", "/bin/false"),
            (pair.north, "upgrade", plan.name, "--fallback", pair.south.name, "--yes", "--exec", "/bin/false"),
            (pair.south, "migrate", plan.name, "--to", pair.north.name, "--yes"),
            (pair.south, "upgrade", plan.name, "--exec", "/bin/false")):
        done = host.batonctl(*order)
        text = f"batonctl {' '.join(order)} on {host.name} ended with {done.returncode}\n{done.stdout}{done.stderr}"
        expect(done.returncode == UNDER_WAY, text)
        expect("migration " in done.stderr and " is under way" in done.stderr, text)
        lines.append(f"{host.name}: {done.stderr.strip().splitlines()[-1]}")
    expect(not owner.said("migrationFailed") and len(owner.said("migrationStarted")) == 1,
           "the migration under way suffered")
    done = pair.north.batonctl("abort", plan.name)
    # It says that it is being cancelled, and does not wait for that.
    expect(done.returncode in (0, OPEN), f"batonctl abort ended with {done.returncode}\n{done.stdout}{done.stderr}")
    ended = migration.end()
    expect(ended == "stayed migrationCancelled", f"after batonctl abort the migration ended with: {ended}")
    owner.expect_good()
    wait("the end of the arrival", lambda: target.host.guest(plan.name)["state"] in ("unknown", "ended"))
    expect(not target.said("running"), "the guest runs at the target after batonctl abort")
    return lines


def cancel_too_late(pair, _, kind=BatonVMM):
    """^C when the source has asked to give the guest up cancels nothing, and says so; the guest goes over"""
    pair.prepare()
    plan = pair.plan(duty=20)
    owner = pair.start(pair.north, plan, stop_at="source-migration-departing", kind=kind)
    target = pair.wait_for_guest(pair.south, plan, kind=kind)
    command = pair.begin(owner, plan, *PATIENCE)
    wait("source-migration-departing", lambda: owner.process.is_stopped)
    command.signal(signal.SIGINT)
    wait("batonctl's word that it is too late", lambda: "cannot be" in command.tail())
    owner.process.go_on()
    status, said, errors = pair.finish(command)
    expect(status == 0, f"batonctl migrate ended with {status}\n{errors}\n{said[-1:]}")
    target.wait_for("running")
    pair.expect_moved(owner, target, plan, 2 * SECONDS)
    return errors.strip().splitlines()


def unknown_guest(pair, _):
    """orders about a guest that nobody knows are refused as unknownGuest"""
    pair.prepare()
    lines = []
    for order in (("migrate", "nobody", "--to", pair.south.name, "--yes"), ("settle", "nobody"),
                  ("preflight", "nobody", "--remote", pair.south.name),
                  ("upgrade", "nobody", "--fallback", pair.south.name, "--yes", "--exec", "/bin/false")):
        done = pair.north.batonctl(*order)
        text = f"batonctl {' '.join(order)} ended with {done.returncode}\n{done.stdout}{done.stderr}"
        expect(done.returncode == UNKNOWN_GUEST and "nobody" in done.stderr, text)
        lines.append(done.stderr.strip().splitlines()[-1])
    return lines


def scenarios():
    return [named(under_way), named(cancel_too_late), named(unknown_guest)]
