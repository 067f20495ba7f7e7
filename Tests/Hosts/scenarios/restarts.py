"""A registry is stopped properly and comes back, in the middle of a migration: it goes on."""

from checks import SECONDS, expect, wait
from pair import PATIENCE
from scenario import Scenario, named
from scenarios.deaths import POINTS, Death

SIDES = ("source", "target")
QUICK = {
    "source": ("source-migration-departing",),
    "target": ("target-migration-arrived",),
}


class Restart(Death):
    """The registry of one side gets SIGTERM at one step."""

    def kill(self):
        side, _ = self.victim.split("-")
        restart(self.vmms[side].host)


def restart(host):
    host.daemons["registry"].stop()
    status = host.daemons["registry"].status
    expect(status == 0, f"the registry of {host.name} ended with {status} after SIGTERM")
    host.start_daemon("registry")


def scenario(side, point):
    def body(pair, _):
        pair.prepare()
        story = Restart(pair, f"{side}-registry", point)
        story.happen()
        place, settled = story.rest()
        story.check(place)
        expect(place == "target" and not settled,
               f"the migration did not go on: the guest is at {place}, {settled}")
        return [f"the guest is at {place}; the call ended with: {story.migration.end()}"]
    at, _, step = point.split("-")
    return Scenario(f"{side}-registry-restarts-at-{point}",
                    f"the {side} host's registry is stopped at the {at}'s step '{step}' and comes back: it goes on",
                    body, is_quick=point in QUICK[side], seconds=10 * SECONDS)


def followed(pair, _):
    """batonctl migrate follows a migration through a restart of its registry"""
    pair.prepare()
    plan = pair.plan(duty=20)
    owner = pair.start(pair.north, plan, stop_at="source-migration-sent")
    target = pair.wait_for_guest(pair.south, plan)
    command = pair.begin(owner, plan, *PATIENCE)
    wait("source-migration-sent", lambda: owner.process.is_stopped)
    restart(pair.north)
    owner.process.go_on()
    status, said, errors = pair.finish(command)
    expect(status == 0 and said and said[-1]["outcome"] == "moved",
           f"batonctl migrate ended with {status}\n{errors}\n{said[-1:]}")
    target.wait_for("running")
    pair.expect_moved(owner, target, plan, 2 * SECONDS)
    return errors.strip().splitlines()


def scenarios():
    return [named(followed, prefix="registry-restart")] + [scenario(side, point) for side in SIDES for point in POINTS]
