"""`batonctl upgrade --fallback`: the local way first, and the other host only when that is refused."""

import json
import os
import pty

from checks import SECONDS, expect
from pair import PATIENCE
from scenario import named

# With one address-space identifier the successor of a SEV guest has none.
FULL = ("--asids", "1")
REFUSED = "the local way is refused"
NO_IDENTIFIER = "preflight failed: freeASID"


class Case:
    """A guest at north, and a VMM at south that waits for it."""

    def __init__(self, pair, *, full=False):
        pair.prepare(north=FULL if full else ())
        self.pair = pair
        self.plan = pair.plan()
        self.owner = pair.start(pair.north, self.plan)
        self.target = pair.wait_for_guest(pair.south, self.plan)
        self.events_path = f"{pair.north.folder}/{self.plan.name}-successor.events"

    def successor(self, *options):
        """The command line of a VMM that takes the guest over on its own host."""
        return [f"{self.pair.north.programs}/baton-vmm", "--vm", "{guest}", *self.plan.options(),
                "--events", self.events_path, "--console", self.pair.console(self.plan).path, *options]

    def arguments(self, successor, *options):
        return ["upgrade", self.plan.name, "--fallback", self.pair.south.name, *options, "--exec", *successor]

    def upgrade(self, successor, *options, json_lines=False):
        """batonctl's end: its status, what it wrote, its errors."""
        done = self.pair.north.batonctl(
            *(["--json"] if json_lines else []), *self.arguments(successor, *options))
        return done.returncode, done.stdout, done.stderr

    def answer(self, successor, text):
        """The same at a terminal, where somebody answers so to the question; all that was shown, and its status."""
        ours, theirs = pty.openpty()
        process = self.pair.north.start(
            "batonctl", *self.arguments(successor, *PATIENCE), stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        shown = b""
        try:
            while True:
                try:
                    more = os.read(ours, 4096)
                except OSError:
                    break
                if not more:
                    break
                was_asked = b"[y/N]" in shown
                shown += more
                if b"[y/N]" in shown and not was_asked:
                    os.write(ours, text.encode() + b"\n")
        finally:
            os.close(ours)
        return process.wait_for_end(), shown.decode(errors="replace").replace("\r\n", "\n")

    def expect_here(self, said):
        """Nothing but the local way was tried, or planned: the guest runs on in the process that it was in."""
        expect(not self.owner.said("migrationStarted"), f"a migration was measured\n{said}")
        expect(not self.target.said("arriving"), f"the target was asked\n{said}")
        self.owner.expect_good()
        expect(self.pair.owned(self.owner, self.plan), f"the guest's owner is another one\n{said}")
        self.pair.console(self.plan).expect_whole()

    def expect_there(self, said):
        self.target.wait_for("running")
        self.pair.expect_moved(self.owner, self.target, self.plan, 2 * SECONDS)
        return said


def refused_by_preflight(pair, _):
    """with no address-space identifier for its successor a guest goes to the other host, and it is said why"""
    case = Case(pair, full=True)
    status, said, errors = case.upgrade(case.successor(), "--yes", *PATIENCE)
    text = said + errors
    expect(status == 0, f"batonctl upgrade --fallback ended with {status}\n{text}")
    line = next((line for line in errors.splitlines() if REFUSED in line), "")
    expect(NO_IDENTIFIER in line and f"a move to {pair.south.name} is planned instead" in line,
           f"it is not said which refusal led there\n{text}")
    expect(not os.path.exists(case.events_path), f"a successor was started\n{text}")
    case.expect_there(text)
    return [line]


def refused_by_successor(pair, _):
    """a guest whose successor is too old to read its state goes to the other host, and its JSON says why"""
    case = Case(pair)
    status, said, errors = case.upgrade(case.successor("--state-format", "1"), "--yes", *PATIENCE, json_lines=True)
    expect(status == 0, f"batonctl upgrade --fallback ended with {status}\n{said}{errors}")
    end = [json.loads(line) for line in said.splitlines()][-1]
    expect(end.get("outcome") == "moved" and end.get("fallbackFrom", "").startswith("stateUnreadable: "),
           f"the last line is {end}\n{said}{errors}")
    case.expect_there(said)
    return [end["fallbackFrom"]]


def nobody_to_ask(pair, _):
    """without --yes and without a terminal nothing is tried and nothing is measured"""
    case = Case(pair, full=True)
    for json_lines, why in ((False, "there is no terminal to ask on"), (True, "with --json nobody is asked")):
        status, said, errors = case.upgrade(case.successor(), json_lines=json_lines)
        expect(status == 1 and why in errors, f"batonctl upgrade --fallback ended with {status}\n{said}{errors}")
        expect(REFUSED not in errors, f"the local way was tried\n{errors}")
        case.expect_here(said + errors)
    return [errors.strip()]


def asked(pair, is_full):
    """at a terminal the plan is shown and asked about, and without a yes the guest stays"""
    case = Case(pair, full=True)
    status, shown = case.answer(case.successor(), "n")
    expect(status == 1 and NO_IDENTIFIER in shown and "Move " in shown and "the plan was not accepted" in shown,
           f"after the answer no batonctl ended with {status}\n{shown}")
    case.owner.expect_good()
    expect(pair.owned(case.owner, case.plan)["epoch"] == 1 and not case.target.said("arrived"),
           f"something was moved without a yes\n{shown}")
    if not is_full:
        return
    status, shown = case.answer(case.successor(), "y")
    expect(status == 0, f"after the answer yes batonctl ended with {status}\n{shown}")
    case.expect_there(shown)


def local_way_works(pair, _):
    """a guest that its host can hand over stays there, and the other host is not asked"""
    case = Case(pair)
    status, said, errors = case.upgrade(case.successor(), "--yes", *PATIENCE)
    expect(status == 0 and REFUSED not in errors, f"batonctl upgrade --fallback ended with {status}\n{said}{errors}")
    expect(case.owner.process.wait_for_end() == 0, f"its former owner ended with {case.owner.process.status}")
    guest = pair.north.guest(case.plan.name)
    expect(guest["state"] == "running" and guest["epoch"] == 2, f"north's registry says {guest}\n{said}{errors}")
    expect(not case.owner.said("migrationStarted") and not case.target.said("arriving"),
           f"a migration was measured\n{said}{errors}")
    pair.console(case.plan).expect_whole()


def accident(pair, _):
    """a successor that only fails is no refusal: the guest is not moved, and it is said why"""
    case = Case(pair)
    status, said, errors = case.upgrade(["/bin/false"], "--yes", *PATIENCE)
    expect(status not in (0, None) and f"not moved to {pair.south.name}: it was not refused, it failed" in errors,
           f"batonctl upgrade --fallback ended with {status}\n{said}{errors}")
    case.expect_here(said + errors)
    return [errors.strip().splitlines()[-1]]


def scenarios():
    return [
        named(refused_by_preflight, prefix="fallback"), named(refused_by_successor, prefix="fallback", is_quick=False),
        named(nobody_to_ask, prefix="fallback"), named(asked, prefix="fallback"),
        named(local_way_works, prefix="fallback"), named(accident, prefix="fallback"),
    ]
