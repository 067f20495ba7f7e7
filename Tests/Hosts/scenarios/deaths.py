"""Everything is killed, and the network cut, at every step of a migration."""

from checks import SECONDS, Failed, expect, wait
from host import CUT_MILLISECONDS, SILENCE_MILLISECONDS
from pair import PATIENCE_MILLISECONDS
from registry import Migration
from scenario import Scenario
from vmm import BatonVMM

# The steps in the order in which they come.
SOURCE_STEPS = ("connected", "checked", "copying", "stopped", "sent", "departing", "finished", "departed", "confirmed")
TARGET_STEPS = ("connected", "checked", "receiving", "received", "restored", "arrived", "presented", "running")
POINTS = tuple(f"source-migration-{step}" for step in SOURCE_STEPS) + tuple(
    f"target-migration-{step}" for step in TARGET_STEPS)

DAEMON_VICTIMS = tuple(f"{side}-{kind}" for side in ("source", "target") for kind in ("sidecar", "registry", "model"))
VICTIMS = ("link", "source-vmm", "target-vmm", *DAEMON_VICTIMS)

# VMMs with libbaton can be stopped at fewer steps, and at two of their own: the target's word that it has everything is
# out, and the receipt is.
READY = "target-migration-ready"
RECEIPT = "source-migration-receipt"
# Where the source's registry may give the guest up: the target said that it has everything.
MAY_DEPART = ("source-migration-departing", "source-migration-finished", READY)
DEPARTED = ("source-migration-departed", RECEIPT, "source-migration-confirmed", "target-migration-presented",
            "target-migration-running")
# The receipt is nowhere but in the source's registry then.
NEEDS_SETTLING = (
    ("link", "source-migration-departed"), ("source-vmm", "source-migration-departing"),
    ("source-vmm", "source-migration-finished"), ("source-vmm", "source-migration-departed"))
# batonctl's exit status for a guest that is nowhere any more.
LOST = 4
ARRIVED = "target-migration-arrived"
# The target has all of it, or soon will.
ALL_SENT = ("source-migration-sent", "target-migration-received", "target-migration-restored", ARRIVED)

# Each victim at the steps where its death means something else; --full has all of them.
QUICK = {
    "link": ("source-migration-copying", "source-migration-sent", ARRIVED, "source-migration-departing",
             "source-migration-departed", "target-migration-presented"),
    "source-vmm": ("source-migration-copying", "source-migration-stopped", "source-migration-departing",
                   "source-migration-finished", "source-migration-departed"),
    "target-vmm": ("target-migration-receiving", "target-migration-restored", ARRIVED, "target-migration-running"),
    "source-sidecar": ("source-migration-copying", "source-migration-finished", "source-migration-departed"),
    "target-sidecar": ("target-migration-checked", ARRIVED, "source-migration-departed"),
    "source-registry": ("source-migration-checked", "source-migration-departing", "source-migration-finished",
                        "source-migration-departed"),
    "target-registry": ("target-migration-receiving", ARRIVED, "target-migration-presented"),
    "source-model": ("source-migration-copying", "source-migration-departing"),
    "target-model": ("target-migration-receiving", ARRIVED),
}

LIBRARY_POINTS = (
    "source-migration-copying", "source-migration-stopped", "source-migration-sent", "source-migration-departing", RECEIPT,
    "source-migration-confirmed", "target-migration-connected", "target-migration-checked", "target-migration-received",
    "target-migration-restored", READY, "target-migration-running")
LIBRARY_QUICK = {
    "link": (READY,),
    "source-vmm": ("source-migration-stopped", "source-migration-departing", RECEIPT),
    "target-vmm": ("target-migration-restored", READY, "target-migration-running"),
    "target-sidecar": (READY,),
    "source-registry": ("source-migration-departing",),
    "target-registry": (READY,),
}


def may_rest(victim, point):
    """Where the guest may be in the end: `source`, `target`, `nowhere`."""
    has_departed = point in DEPARTED
    may_depart = point in MAY_DEPART
    if victim == "source-vmm":
        # Its guest ends with it until it has asked to give it up; from then on the target has everything.
        if point in ("source-migration-departing", READY):
            return {"target", "nowhere"}
        return {"target"} if has_departed or may_depart else {"nowhere"}
    if victim == "target-vmm":
        return {"nowhere"} if has_departed else {"source", "nowhere"} if may_depart else {"source"}
    if victim == "source-model":
        # The guest runs without the firmware, unless its memory is encrypted; it cannot be sent any more.
        return {"target"} if has_departed else {"source", "target", "nowhere"} if may_depart else {"source", "nowhere"}
    if victim == "target-model":
        # Once everything was received the target does not need it to run the guest.
        if has_departed:
            return {"target", "nowhere"}
        if may_depart:
            return {"source", "target", "nowhere"}
        return {"source", "target"} if point in ALL_SENT else {"source"}
    if has_departed:
        return {"target"}
    # A registry comes back and the migration may go on; a stream that broke does not.
    return {"source", "target"} if may_depart or victim.endswith("registry") else {"source"}


class Death:
    """One victim at one step."""

    def __init__(self, pair, victim, point, kind=BatonVMM):
        self.pair = pair
        self.victim = victim
        self.point = point
        self.plan = pair.plan(memory="16M", duty=20)
        side = point.split("-")[0]
        points = {"crash_at": point} if victim == f"{side}-vmm" else {"stop_at": point}
        self.source = pair.start(pair.north, self.plan, kind=kind, **(points if side == "source" else {}))
        self.target = pair.wait_for_guest(pair.south, self.plan, kind=kind, **(points if side == "target" else {}))
        self.vmms = {"source": self.source, "target": self.target}
        self.at_point = self.vmms[side]
        self.migration = None

    def happen(self):
        self.migration = Migration(
            self.source.host, self.plan.name, host=self.target.host.name, maxPauseMilliseconds=PATIENCE_MILLISECONDS)
        if self.victim == self.point.split("-")[0] + "-vmm":
            expect(self.at_point.process.wait_for_end() == -9,
                   f"{self.point} was not reached\n{self.at_point.history()}")
        else:
            self.wait_for_stop()
            self.kill()
            self.at_point.process.go_on()

    def wait_for_stop(self):
        def stands():
            process = self.at_point.process
            if not process.is_alive:
                raise Failed(f"{process.name} ended with {process.status} before {self.point}")
            if not process.is_stopped and self.source.said("migrationFailed"):
                raise Failed(f"the migration failed before {self.point}")
            return process.is_stopped
        try:
            wait(f"{self.point}", stands)
        except Failed as error:
            raise Failed(f"{error}\n{self.source.history()}\n{self.target.history()}") from None

    def kill(self):
        side, kind = self.victim.split("-") if "-" in self.victim else (None, None)
        if side is None:
            self.pair.link.cut()
        elif kind == "vmm":
            self.vmms[side].process.kill()
        else:
            host = self.vmms[side].host
            host.daemons[kind].kill()
            # A dead model stays away meanwhile: a machine has one Secure Processor.
            if kind != "model":
                host.start_daemon(kind)

    def rest(self):
        """
        Waits until the guest is at rest: it runs in exactly one place, or nowhere and nobody waits for anything.

        Alarms are answered as an operator would: with the command that they name, when the network is whole again.
        """
        settled = []

        def look():
            states = {side: vmm.host.guest(self.plan.name) for side, vmm in self.vmms.items()}
            running = [side for side, vmm in self.vmms.items() if self.runs(vmm, states[side])]
            others = [side for side, vmm in self.vmms.items() if side not in running and self.holds(vmm, states[side])]
            alarms = self.pair.alarms(self.plan)
            if alarms and not (running and not others):
                # While nobody can bring it anything.
                self.expect_no_run_without_verdict()
                self.pair.link.heal()
                # What the other one says may be settled with it.
                host, command = alarms[0]
                done = self.pair.settle(host, command, self.plan)
                said = done.stdout.strip() or done.stderr.strip()
                settled.append(f"{host.name}: {command}: {done.returncode} {said}")
                if done.returncode == LOST and not running and not others:
                    return "nowhere"
                return None
            if running and not others:
                expect(len(running) == 1, f"the guest runs at both: {states}")
                return running[0]
            if not running and not others and not alarms:
                return "nowhere"
            return None
        try:
            place = wait("an end", look, 2 * SECONDS)
        except Failed as error:
            raise Failed("\n".join([
                str(error), *settled, *(f"{side}: {vmm.host.guest(self.plan.name)}" for side, vmm in self.vmms.items()),
                self.source.history(), self.target.history()])) from None
        return place, settled

    def expect_no_run_without_verdict(self):
        """A guest that arrived stands still as long as its registry has not let it run."""
        if self.target.is_alive and not self.target.stands_still():
            guest = self.target.host.guest(self.plan.name)
            expect(guest["state"] == "running", f"the guest runs at the target, whose registry says {guest}")

    def runs(self, vmm, guest):
        migration = guest.get("migration") or {}
        return vmm.is_alive and guest.get("state") == "running" and migration.get("outcome") != "inProgress" \
            and (guest.get("owner") or {}).get("processId") == vmm.pid

    @staticmethod
    def holds(vmm, guest):
        """Whether this VMM has something of the guest, or nobody can tell; one that waits for the next has not."""
        return vmm.is_alive and not (
            guest["state"] in ("unknown", "ended", "lost") and vmm.said("waiting") and not vmm.said("running"))

    def check(self, place):
        expected = may_rest(self.victim, self.point)
        expect(place in expected, f"the guest is at rest at {place}, it may be at {sorted(expected)}"
               f"\n{self.source.history()}\n{self.target.history()}")
        if place != "nowhere":
            self.vmms[place].expect_good(self.plan.pages)
        self.pair.console(self.plan).expect_whole()


def scenario(victim, point, quick, is_library=False):
    def body(pair, _):
        pair.prepare(silence=CUT_MILLISECONDS if victim == "link" else SILENCE_MILLISECONDS)
        death = Death(pair, victim, point, pair.library_vmm if is_library else BatonVMM)
        death.happen()
        place, settled = death.rest()
        death.check(place)
        expect(settled or (victim, point) not in NEEDS_SETTLING, "the guest runs, and nobody has settled where")
        return [f"the guest is at {place}; the call ended with: {death.migration.end()}", *settled]
    side, _, step = point.split("-")
    if victim == "link":
        name, what = f"link-cut-at-{point}", "the network is cut"
    else:
        place, kind = victim.split("-")
        name, what = f"{victim}-dies-at-{point}", f"the {place} host's {kind.replace('vmm', 'VMM')} is killed"
    if is_library:
        name, what = f"library-{name}", f"VMMs with libbaton: {what}"
    return Scenario(name, f"{what} at the {side}'s step '{step}'", body, is_quick=point in quick.get(victim, ()),
                    seconds=10 * SECONDS)


def scenarios():
    return [
        *(scenario(victim, point, QUICK) for victim in VICTIMS for point in POINTS),
        *(scenario(victim, point, LIBRARY_QUICK, True) for victim in VICTIMS for point in LIBRARY_POINTS),
    ]
