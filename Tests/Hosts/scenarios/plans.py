"""What is planned, shown and not tried; and what is ended by hand."""

import json
import signal

from checks import expect, wait
from pair import PATIENCE
from scenario import named
from vmm import BatonVMM

SLOW = ("--pages-per-second", "400")


def plan_of(said):
    """What batonctl says of the plan."""
    plans = [line["migration"]["progress"] for line in said if line["type"] == "plan"]
    expect(plans, f"no plan in {said}")
    return plans[-1]


def plan_only(pair, _, kind=BatonVMM):
    """--plan shows pages, rate and time, changes nothing, and the guest runs on"""
    pair.prepare()
    plan = pair.plan(memory="32M")
    owner = pair.start(pair.north, plan, kind=kind)
    target = pair.wait_for_guest(pair.south, plan, kind=kind)
    status, said, errors = pair.migrate(owner, plan, "--plan", *PATIENCE)
    expect(status == 0, f"batonctl migrate --plan ended with {status}\n{errors}\n{said}")
    shown = plan_of(said)
    expect(shown["pagesTotal"] >= 32 << 8, f"a plan of {shown['pagesTotal']} pages for 32 MiB")
    owner.expect_good()
    expect(not target.said("running"), "the guest runs at the target after a plan")
    expect(pair.owned(owner, plan)["epoch"] == 1, "the plan raised the epoch")
    return [json.dumps(shown)]


def slow_device(pair, _):
    """with a device that sends 400 pages a second the plan has the time, and a guest that dirties faster is refused"""
    pair.prepare(model=SLOW)
    plan = pair.plan(memory="64M", duty=100)
    owner = pair.start(pair.north, plan)
    pair.wait_for_guest(pair.south, plan)
    status, said, errors = pair.migrate(owner, plan, "--plan")
    shown = plan_of(said)
    # 64 MiB at 400 pages a second take 41 s, dirty pages come on top.
    expect(shown["expectedMilliseconds"] >= 30_000, f"the plan says {shown['expectedMilliseconds']} ms: {shown}")
    expect(not shown["willConverge"], f"the plan says that it converges: {shown}")
    status, said, errors = pair.migrate(owner, plan)
    expect(status not in (0, None) and "will not converge" in errors, f"batonctl migrate ended with {status}\n{errors}")
    owner.expect_good()
    pair.console(plan).expect_whole()
    return [json.dumps(shown)]


def cancelled(pair, _, kind=BatonVMM):
    """an operator's ^C while pages go over ends the migration, and the guest runs on at its source"""
    pair.prepare(model=SLOW)
    plan = pair.plan(memory="64M", duty=5)
    owner = pair.start(pair.north, plan, kind=kind)
    target = pair.wait_for_guest(pair.south, plan, kind=kind)
    command = pair.begin(owner, plan, *PATIENCE)
    # The first time for the plan, the second for the guest itself.
    owner.wait_for("migrationStarted", 2)
    target.wait_for("arriving", 2)
    command.signal(signal.SIGINT)
    status = command.wait_for_end()
    expect(status not in (0, None), f"batonctl migrate ended with {status} after ^C")
    owner.wait_for("migrationFailed")
    owner.expect_good()
    wait("the end of the arrival", lambda: target.host.guest(plan.name)["state"] in ("unknown", "ended"))
    expect(not target.said("running"), "the guest runs at the target after ^C")
    pair.console(plan).expect_whole()


def scenarios():
    return [named(plan_only), named(slow_device, seconds=300), named(cancelled)]
